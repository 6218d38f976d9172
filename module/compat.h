/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interfaces of the kernel that differ between the versions built for
 * (6.1 and 6.12), or that KVM alone is meant to use.  One place to mend when
 * a new kernel changes one.  compat.c has what cannot be inline.
 */
#ifndef MHV_COMPAT_H
#define MHV_COMPAT_H

#include <linux/context_tracking.h>
#include <linux/entry-kvm.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/version.h>
#include <linux/vtime.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/nospec-branch.h>

/* What <linux/kvm.h> has since 6.8. */
#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_CAP_USER_MEMORY2	231

struct kvm_userspace_memory_region2 {
	__u32 slot;
	__u32 flags;
	__u64 guest_phys_addr;
	__u64 memory_size;
	__u64 userspace_addr;
	__u64 guest_memfd_offset;
	__u32 guest_memfd;
	__u32 pad1;
	__u64 pad2[14];
};

#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

int mhv_compat_init(void);
void mhv_compat_exit(void);
int mhv_user_mode_work(void);

/* The IPI that makes a CPU leave a guest; it does nothing else. */
static inline void mhv_send_reschedule(int cpu)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	arch_smp_send_reschedule(cpu);
#else
	smp_send_reschedule(cpu);
#endif
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define mhv_note_qs()	rcu_virt_note_context_switch(smp_processor_id())
#else
#define mhv_note_qs()	rcu_virt_note_context_switch()
#endif

/*
 * Tell time accounting, RCU, lockdep and irq tracing that this CPU is about
 * to run a guest with interrupts on.  Between the two nothing may be traced.
 *
 * RCU asks a CPU for a quiescent state by interrupting it, so one entry after
 * each interrupt has to note one (@note_qs); between two interrupts nothing
 * has asked.
 */
static __always_inline void mhv_guest_state_enter(bool note_qs)
{
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	if (!context_tracking_guest_enter() && note_qs) {
		instrumentation_begin();
		mhv_note_qs();
		instrumentation_end();
	}
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void mhv_guest_state_exit(void)
{
	lockdep_hardirqs_off(CALLER_ADDR0);
	context_tracking_guest_exit();
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

/*
 * Where a guest could steer what its VMM speculates on (VMSCAPE), the kernel
 * has the predictors forgotten before the next return to user mode.
 */
static inline void mhv_note_guest_ran(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/* From 6.5 on, the kernel knows what userspace calls longmode as the first of some flags. */
static inline void mhv_hypercall_long_mode(struct kvm_run *run, bool long_mode)
{
#ifdef KVM_EXIT_HYPERCALL_LONG_MODE
	run->hypercall.flags = long_mode ? KVM_EXIT_HYPERCALL_LONG_MODE : 0;
#else
	run->hypercall.longmode = long_mode;
#endif
}

/*
 * 6.12 renames for the kernel what userspace may change at any moment, so that
 * it is read once only.
 */
static inline bool mhv_immediate_exit(const struct kvm_run *run)
{
#ifdef HINT_UNSAFE_IN_KVM
	return READ_ONCE(run->HINT_UNSAFE_IN_KVM(immediate_exit));
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

static inline void mhv_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* A timer on the monotonic clock. */
static inline void mhv_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*fn)(struct hrtimer *),
				     enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, fn, CLOCK_MONOTONIC, mode);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, mode);
	timer->function = fn;
#endif
}

static inline void mhv_fpu_to_user(struct fpu_guest *fpu, void *buf,
				   unsigned int size, u64 xfeatures, u32 pkru)
{
	/* The 6.1 stable series got the argument with 6.1.62. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0) || \
	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 62) && \
	 LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0))
	fpu_copy_guest_fpstate_to_uabi(fpu, buf, size, xfeatures, pkru);
#else
	fpu_copy_guest_fpstate_to_uabi(fpu, buf, size, pkru);
#endif
}

/* A nested fault: end on any signal, and let NUMA balancing see the access. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
#define MHV_FOLL_FAULT	(FOLL_INTERRUPTIBLE | FOLL_HONOR_NUMA_FAULT)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define MHV_FOLL_FAULT	FOLL_INTERRUPTIBLE
#else
#define MHV_FOLL_FAULT	0
#endif

/*
 * The frame that a VMA without struct pages maps at @addr.  mmap_lock held.
 * 0 or -errno; the MMU notifier tells when it is no longer so.
 */
static inline int mhv_follow_pfnmap(struct vm_area_struct *vma, unsigned long addr,
				    unsigned long *pfn, bool *writable)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
	return 0;
#else
	spinlock_t *ptl;	/* the page table's */
	pte_t *pte;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	int r = follow_pte(vma, addr, &pte, &ptl);
#else
	int r = follow_pte(vma->vm_mm, addr, &pte, &ptl);
#endif

	if (r)
		return r;
	__acquire(ptl);		/* follow_pte() does not tell sparse */
	*pfn = pte_pfn(*pte);
	*writable = pte_write(*pte);
	pte_unmap_unlock(pte, ptl);
	return 0;
#endif
}

#endif /* MHV_COMPAT_H */
