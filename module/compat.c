// SPDX-License-Identifier: GPL-2.0
/*
 * The one file that knows struct kvm_vcpu: the kernel's entry code wants one.
 * Entered from run.c, and from main.c at load.
 * No locks.
 */
#include <linux/kvm_host.h>
#include <linux/slab.h>

#include "compat.h"

/*
 * xfer_to_guest_mode_handle_work() does what is due before a return to user
 * mode: reschedule, task work, rseq, memory throttling.  It takes KVM's vCPU,
 * into which it writes the exit reason if a signal is pending.  This is one
 * that nobody reads, shared by all: what is written into it is lost, and
 * run.c writes the exit reason itself.
 */
static struct kvm_vcpu *scratch;

/**
 * mhv_compat_init() - allocate what stands in for KVM's objects
 *
 * Context: process. Return: 0 or -ENOMEM.
 */
int mhv_compat_init(void)
{
	scratch = kvzalloc(sizeof(*scratch), GFP_KERNEL);
	if (!scratch)
		return -ENOMEM;
	scratch->run = (void *)get_zeroed_page(GFP_KERNEL);
	if (!scratch->run) {
		kvfree(scratch);
		return -ENOMEM;
	}
	return 0;
}

/**
 * mhv_compat_exit() - free it
 *
 * Context: process; no vCPU runs.
 */
void mhv_compat_exit(void)
{
	free_page((unsigned long)scratch->run);
	kvfree(scratch);
}

/**
 * mhv_user_mode_work() - do what is due before a return to user mode
 *
 * Context: the vCPU's thread, may sleep.
 * Return: 0, or -EINTR if a signal is pending.
 */
int mhv_user_mode_work(void)
{
	return xfer_to_guest_mode_handle_work(scratch);
}
