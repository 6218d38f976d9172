/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vm.h - VMs and vCPUs for the tests, through <linux/kvm.h> and nothing else.
 *
 * A VM has 16 MiB of RAM at GPA 0 in slot 0. The test program itself is copied into it, at
 * the addresses it was linked for, so a C function of the test can be the guest's code:
 * it sees a copy of the globals, and must call nothing outside of the test.
 *
 *   0x001000  free                    0x100000  stacks, 16 KiB for each vCPU, 64 of them
 *   0x080000  GDT, IDT, TSSs          0x400000  the program
 *   0x090000  page tables, 4 KiB ones taken from here on
 *                                     0x800000  free
 */
#ifndef MINIHV_SELFTEST_VM_H
#define MINIHV_SELFTEST_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "test.h"

/* Linux 6.1 has it, the C library of its time has not. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define MAX_VCPUS	64
#define RAM_SIZE	0x1000000ULL
#define GUEST_FREE_LOW	0x1000ULL
#define GUEST_GDT	0x80000ULL
#define GUEST_IDT	0x81000ULL
#define GUEST_TSS	0x82000ULL
#define GUEST_PT	0x90000ULL
#define GUEST_PT_END	0xa0000ULL
#define GUEST_STACKS	0x100000ULL
#define GUEST_STACK_SIZE 0x4000ULL
#define GUEST_FREE	0x800000ULL

#define GUEST_CS32	0x08
#define GUEST_DS	0x10
#define GUEST_CS64	0x18
#define GUEST_UDS	0x23
#define GUEST_UCS64	0x2b
#define GUEST_TR	0x30	/* one TSS descriptor of 16 bytes for each vCPU */

#define CR0_PE		BIT(0)
#define CR0_MP		BIT(1)
#define CR0_EM		BIT(2)
#define CR0_TS		BIT(3)
#define CR0_ET		BIT(4)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_AM		BIT(18)
#define CR0_NW		BIT(29)
#define CR0_CD		BIT(30)
#define CR0_PG		BIT(31)
#define CR4_PSE		BIT(4)
#define CR4_PAE		BIT(5)
#define CR4_PGE		BIT(7)
#define CR4_OSFXSR	BIT(9)
#define CR4_OSXMMEXCPT	BIT(10)
#define CR4_OSXSAVE	BIT(18)
#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NX		BIT(11)
#define RFLAGS_FIXED	BIT(1)
#define RFLAGS_DF	BIT(10)
#define RFLAGS_IF	BIT(9)

#define PTE_P		BIT(0)
#define PTE_W		BIT(1)
#define PTE_U		BIT(2)
#define PTE_D		BIT(6)
#define PTE_PS		BIT(7)
#define PTE_NX		BIT(63)

struct vcpu {
	struct vm *vm;
	int fd;
	int id;
	struct kvm_run *run;
	pthread_t thread;
};

struct vm {
	int dev;
	int fd;
	u8 *ram;
	u64 pt_next;
	struct vcpu vcpu[MAX_VCPUS];
};

/* Ioctls that must work: the value returned, or the test ends. */
#define xioctl(fd, cmd, arg) ({							\
	long r__ = ioctl(fd, cmd, arg);						\
										\
	if (r__ < 0) {								\
		test_fail(__FILE__, __LINE__, "%s: errno %d (%s)", #cmd, errno,	\
			  strerror(errno));					\
		test_abort();							\
	}									\
	r__;									\
})

/** dev_open() - open the device under test; the case is skipped where there is none. */
int dev_open(void);

/** stay_on_one_cpu() - keep this thread where it is. */
void stay_on_one_cpu(void);

/** on_minihv() - is the device minihv's, whatever its path? */
int on_minihv(void);

/** dev_cap() - what CHECK_EXTENSION of the system fd answers. */
int dev_cap(int cap);

/** need_cap() - skip the case unless the device has @cap. */
void need_cap(int cap, const char *name);
#define NEED_CAP(cap) need_cap(cap, #cap)

/** vm_bare() - a VM with nothing in it: no memory, no irqchip. */
struct vm *vm_bare(void);

/** vm_new() - a VM with RAM, the program, GDT, IDT, page tables; no irqchip. */
struct vm *vm_new(void);

/** vm_new_irqchip() - the same, with the full in-kernel irqchip. */
struct vm *vm_new_irqchip(void);

/** vm_free() - unmap and close all of it. */
void vm_free(struct vm *vm);

/** stats_counter() - the value of a counter whose name begins so; @fd is of KVM_GET_STATS_FD. */
u64 stats_counter(int fd, const char *name);

/**
 * eventfd_number() - the highest of the numbers that a few new eventfds have, -1 if they have none
 *
 * The kernel takes the lowest that is free: eventfds that are never freed show, also where others
 * that were made between them are.
 */
int eventfd_number(void);

/** vm_slot() - KVM_SET_USER_MEMORY_REGION; 0 or -1 and errno. */
int vm_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *hva);

/** mem_alloc() - anonymous private memory, page aligned, zeroed. */
void *mem_alloc(size_t size);

/** vm_map() - map 4 KiB of GPA @gpa at guest VA @va with @flags (PTE_*), outside of 0..4 GiB. */
void vm_map(struct vm *vm, u64 va, u64 gpa, u64 flags);

/** vm_pte() - the 4 KiB PTE that vm_map() made for @va. */
u64 *vm_pte(struct vm *vm, u64 va);

/** vm_irq_line() - KVM_IRQ_LINE. */
void vm_irq_line(struct vm *vm, u32 gsi, u32 level);

/* The guest's copy of a global of the test. */
#define guest_var(vm, x) (*(typeof(x) *)((vm)->ram + (uintptr_t)&(x)))

/** vcpu_new() - a vCPU as KVM_CREATE_VCPU leaves it. */
struct vcpu *vcpu_new(struct vm *vm, int id);

/** vcpu_cpuid() - give it all that GET_SUPPORTED_CPUID offers, with its APIC id. */
void vcpu_cpuid(struct vcpu *vcpu);

/** supported_cpuid() - GET_SUPPORTED_CPUID; valid until the next call. */
struct kvm_cpuid2 *supported_cpuid(void);

/** cpuid_entry() - the entry for (@function, @index), or NULL. */
struct kvm_cpuid_entry2 *cpuid_entry(struct kvm_cpuid2 *cpuid, u32 function, u32 index);

/** vcpu_real() - set it to run real-mode code at 0:@ip, stack at 0:0x7000. */
void vcpu_real(struct vcpu *vcpu, u16 ip);

/** vcpu_flat32() - set it to run flat 32-bit code at @eip, no paging. */
void vcpu_flat32(struct vcpu *vcpu, u32 eip);

/** vcpu_long() - set it to run @fn(@arg) in long mode, 0..4 GiB mapped one to one. */
void vcpu_long(struct vcpu *vcpu, void *fn, u64 arg);

/** guest_new() - vm_new() and vCPU 0 about to run @fn(); the usual start of a test. */
struct vcpu *guest_new(void (*fn)(void));

/** guest_new_irqchip() - the same with the in-kernel irqchip. */
struct vcpu *guest_new_irqchip(void (*fn)(void));

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/** vcpu_get_msr() - one MSR; the test ends if it cannot be read. */
u64 vcpu_get_msr(struct vcpu *vcpu, u32 index);

/** vcpu_set_msr() - what KVM_SET_MSRS with one entry returns (1, or 0 if refused). */
int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 value);

/** vcpu_run() - KVM_RUN, that must return 0; the exit reason. */
int vcpu_run(struct vcpu *vcpu);

/** vcpu_finish_io() - KVM_RUN with immediate_exit: complete the exit's I/O and no more. */
void vcpu_finish_io(struct vcpu *vcpu);

/** expect_pio() - run to a port access; @dir KVM_EXIT_IO_*. Returns the data. */
void *expect_pio(struct vcpu *vcpu, int dir, u16 port, int size, u32 count);

/** expect_mmio() - run to an MMIO access; returns its data bytes. */
u8 *expect_mmio(struct vcpu *vcpu, int is_write, u64 gpa, u32 len);

/** expect_exit() - run to exit @reason; if another comes, say which and end the test. */
void expect_exit(struct vcpu *vcpu, u32 reason);

/**
 * need_shutdown() - skip the case where a guest must not triple-fault ($MHV_NO_SHUTDOWN is set):
 * Bochs 2.7 has SVM without the SHUTDOWN intercept, and gives up instead.
 */
void need_shutdown(void);

/**
 * need_step() - skip the case where a guest must not single-step ($MHV_NO_STEP is set): in Bochs
 * 2.7's SVM the #DB that an exit leaves pending hits the host, which still has the guest's GS.
 */
void need_step(void);

/** expect_shutdown() - as the end of a case: run to KVM_EXIT_SHUTDOWN, where that can be had. */
void expect_shutdown(struct vcpu *vcpu);

/** run_sync() - run to the guest's guest_sync(); its value. */
u64 run_sync(struct vcpu *vcpu);

/** run_interrupted() - run a guest that does not come back, until a signal ends that. */
void run_interrupted(struct vcpu *vcpu);

/** run_done() - run to the guest's guest_done(). */
void run_done(struct vcpu *vcpu);

/** vcpu_start() - run the vCPU to guest_done() in a thread of its own. */
void vcpu_start(struct vcpu *vcpu);

/** vcpu_join() - wait for that. */
void vcpu_join(struct vcpu *vcpu);

/** vcpu_dump() - print the exit and where the vCPU is. */
void vcpu_dump(struct vcpu *vcpu);

#endif
