/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, under events/minihv; field names are KVM's where it has them.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM minihv

#if !defined(MHV_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MHV_TRACE_H

#include <linux/tracepoint.h>
#include <linux/version.h>

#include "minihv.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define mhv_assign_str(dst, src)	__assign_str(dst)
#else
#define mhv_assign_str(dst, src)	__assign_str(dst, src)
#endif

TRACE_EVENT(mhv_entry,
	TP_PROTO(u32 vcpu_id, u64 rip),
	TP_ARGS(vcpu_id, rip),
	TP_STRUCT__entry(
		__field(u32, vcpu_id)
		__field(u64, rip)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rip = rip;
	),
	TP_printk("vcpu %u, rip 0x%llx", __entry->vcpu_id, __entry->rip)
);

TRACE_EVENT(mhv_exit,
	TP_PROTO(u32 vcpu_id, u32 exit_reason, const char *name, u64 guest_rip,
		 u64 info1, u64 info2),
	TP_ARGS(vcpu_id, exit_reason, name, guest_rip, info1, info2),
	TP_STRUCT__entry(
		__field(u32, vcpu_id)
		__field(u32, exit_reason)
		__string(name, name)
		__field(u64, guest_rip)
		__field(u64, info1)
		__field(u64, info2)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->exit_reason = exit_reason;
		mhv_assign_str(name, name);
		__entry->guest_rip = guest_rip;
		__entry->info1 = info1;
		__entry->info2 = info2;
	),
	TP_printk("vcpu %u reason %s (0x%x) rip 0x%llx info1 0x%llx info2 0x%llx",
		  __entry->vcpu_id, __get_str(name), __entry->exit_reason,
		  __entry->guest_rip, __entry->info1, __entry->info2)
);

TRACE_EVENT(mhv_inject,
	TP_PROTO(u32 vcpu_id, const struct mhv_event *ev),
	TP_ARGS(vcpu_id, ev),
	TP_STRUCT__entry(
		__field(u32, vcpu_id)
		__field(u8, type)
		__field(u8, vector)
		__field(u8, has_error)
		__field(u32, error_code)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->type = ev->type;
		__entry->vector = ev->vector;
		__entry->has_error = ev->has_error;
		__entry->error_code = ev->error;
	),
	TP_printk("vcpu %u %s 0x%x error %s0x%x", __entry->vcpu_id,
		  __print_symbolic(__entry->type,
				   { MHV_EV_INTR, "irq" }, { MHV_EV_NMI, "nmi" },
				   { MHV_EV_EXCEPTION, "exception" }),
		  __entry->vector, __entry->has_error ? "" : "none, ",
		  __entry->error_code)
);

TRACE_EVENT(mhv_page_fault,
	TP_PROTO(u32 vcpu_id, u64 guest_rip, u64 fault_address, u32 error_code),
	TP_ARGS(vcpu_id, guest_rip, fault_address, error_code),
	TP_STRUCT__entry(
		__field(u32, vcpu_id)
		__field(u64, guest_rip)
		__field(u64, fault_address)
		__field(u32, error_code)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->guest_rip = guest_rip;
		__entry->fault_address = fault_address;
		__entry->error_code = error_code;
	),
	TP_printk("vcpu %u rip 0x%llx address 0x%llx error_code 0x%x", __entry->vcpu_id,
		  __entry->guest_rip, __entry->fault_address, __entry->error_code)
);

#define MHV_TRACE_MMIO_READ	1
#define MHV_TRACE_MMIO_WRITE	2
#define MHV_TRACE_MMIO_UNSATISFIED 0

TRACE_EVENT(mhv_mmio,
	TP_PROTO(int type, u32 len, u64 gpa, u64 val),
	TP_ARGS(type, len, gpa, val),
	TP_STRUCT__entry(
		__field(u32, type)
		__field(u32, len)
		__field(u64, gpa)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->type = type;
		__entry->len = len;
		__entry->gpa = gpa;
		__entry->val = val;
	),
	TP_printk("mmio %s len %u gpa 0x%llx val 0x%llx",
		  __print_symbolic(__entry->type,
				   { MHV_TRACE_MMIO_UNSATISFIED, "unsatisfied-read" },
				   { MHV_TRACE_MMIO_READ, "read" },
				   { MHV_TRACE_MMIO_WRITE, "write" }),
		  __entry->len, __entry->gpa, __entry->val)
);

TRACE_EVENT(mhv_pio,
	TP_PROTO(u32 rw, u32 port, u32 size, u32 count, u32 val),
	TP_ARGS(rw, port, size, count, val),
	TP_STRUCT__entry(
		__field(u32, rw)
		__field(u32, port)
		__field(u32, size)
		__field(u32, count)
		__field(u32, val)
	),
	TP_fast_assign(
		__entry->rw = rw;
		__entry->port = port;
		__entry->size = size;
		__entry->count = count;
		__entry->val = val;
	),
	TP_printk("pio_%s at 0x%x size %u count %u val 0x%x",
		  __entry->rw ? "write" : "read", __entry->port, __entry->size,
		  __entry->count, __entry->val)
);

TRACE_EVENT(mhv_msr,
	TP_PROTO(u32 write, u32 ecx, u64 data, bool exception),
	TP_ARGS(write, ecx, data, exception),
	TP_STRUCT__entry(
		__field(u32, write)
		__field(u32, ecx)
		__field(u64, data)
		__field(u8, exception)
	),
	TP_fast_assign(
		__entry->write = write;
		__entry->ecx = ecx;
		__entry->data = data;
		__entry->exception = exception;
	),
	TP_printk("msr_%s %x = 0x%llx%s", __entry->write ? "write" : "read",
		  __entry->ecx, __entry->data, __entry->exception ? " (#GP)" : "")
);

TRACE_EVENT(mhv_cpuid,
	TP_PROTO(u32 function, u32 index, u64 rax, u64 rbx, u64 rcx, u64 rdx),
	TP_ARGS(function, index, rax, rbx, rcx, rdx),
	TP_STRUCT__entry(
		__field(u32, function)
		__field(u32, index)
		__field(u64, rax)
		__field(u64, rbx)
		__field(u64, rcx)
		__field(u64, rdx)
	),
	TP_fast_assign(
		__entry->function = function;
		__entry->index = index;
		__entry->rax = rax;
		__entry->rbx = rbx;
		__entry->rcx = rcx;
		__entry->rdx = rdx;
	),
	TP_printk("func %x idx %x rax %llx rbx %llx rcx %llx rdx %llx",
		  __entry->function, __entry->index, __entry->rax, __entry->rbx,
		  __entry->rcx, __entry->rdx)
);

TRACE_EVENT(mhv_apic,
	TP_PROTO(u32 vcpu_id, u32 rw, u32 reg, u64 val),
	TP_ARGS(vcpu_id, rw, reg, val),
	TP_STRUCT__entry(
		__field(u32, vcpu_id)
		__field(u32, rw)
		__field(u32, reg)
		__field(u64, val)
	),
	TP_fast_assign(
		__entry->vcpu_id = vcpu_id;
		__entry->rw = rw;
		__entry->reg = reg;
		__entry->val = val;
	),
	TP_printk("vcpu %u apic_%s 0x%x = 0x%llx", __entry->vcpu_id,
		  __entry->rw ? "write" : "read", __entry->reg, __entry->val)
);

TRACE_EVENT(mhv_msi_set_irq,
	TP_PROTO(u64 address, u64 data),
	TP_ARGS(address, data),
	TP_STRUCT__entry(
		__field(u64, address)
		__field(u64, data)
	),
	TP_fast_assign(
		__entry->address = address;
		__entry->data = data;
	),
	TP_printk("dst %llx vec %u (address 0x%llx data 0x%llx)",
		  (__entry->address >> 12) & 0xff, (u8)__entry->data,
		  __entry->address, __entry->data)
);

TRACE_EVENT(mhv_userspace_exit,
	TP_PROTO(u32 reason, int errno),
	TP_ARGS(reason, errno),
	TP_STRUCT__entry(
		__field(u32, reason)
		__field(int, errno)
	),
	TP_fast_assign(
		__entry->reason = reason;
		__entry->errno = errno;
	),
	TP_printk("reason %u (%d)", __entry->reason, __entry->errno)
);

#endif /* MHV_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
