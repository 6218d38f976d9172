/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vCPUs: their threads, their initial state, and what is said when one cannot go on.
 * Entered from the machine's set-up and end; each vCPU then has its own thread.
 * No locks: a vCPU's ioctls are issued by its thread alone, once it runs.
 */
#ifndef MINIVMM_VCPU_H
#define MINIVMM_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>

struct machine;
struct boot_entry;

/** struct vcpu - one virtual processor */
struct vcpu {
	struct machine *m;
	unsigned int id;		/* also its APIC ID */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool running;			/* the thread exists */
};

/** vcpu_create_all() - make m->cfg.cpus vCPUs with CPUID, LAPIC, FPU and MSRs set. Dies */
void vcpu_create_all(struct machine *m);

/** vcpu_start_all() - start a thread each; vCPU 0 runs, the others wait for INIT and SIPI */
void vcpu_start_all(struct machine *m);

/** vcpu_stop_all() - make every thread leave the guest and end. After machine_stop() */
void vcpu_stop_all(struct machine *m);

/** vcpu_cpuid_setup() - what this vCPU's CPUID instruction answers (cpuid.c). Dies */
void vcpu_cpuid_setup(struct vcpu *vcpu);

/** cpuid_phys_bits() - the width of a guest's physical addresses (cpuid.c). Dies */
unsigned int cpuid_phys_bits(struct machine *m);

/** vcpu_boot_setup() - registers of vCPU 0 at the kernel's entry (regs.c). Dies */
void vcpu_boot_setup(struct vcpu *vcpu, const struct boot_entry *entry);

/** vcpu_reset_setup() - MSRs, FPU and LAPIC pins that firmware would have set (regs.c). Dies */
void vcpu_reset_setup(struct vcpu *vcpu);

/**
 * vcpu_dump() - tell all about a vCPU that cannot go on, on stderr (dump.c)
 * @why: one line in words
 *
 * On the vCPU's thread, or on any while it does not run. One at a time.
 */
void vcpu_dump(struct vcpu *vcpu, const char *why);

/** vcpu_exit_name() - a KVM_EXIT_* in words */
const char *vcpu_exit_name(unsigned int reason);

#endif
