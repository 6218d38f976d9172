/* SPDX-License-Identifier: GPL-2.0 */
/*
 * diff.h - the oracle's parts: a sequence of steps that a seed determines, carried out on one
 * device, and a transcript of all that could be observed. See Documentation/oracle.rst.
 */
#ifndef MINIHV_DIFF_H
#define MINIHV_DIFF_H

#include <stdarg.h>
#include <stdbool.h>

#include "vm.h"

#define NR_VCPUS	2

/* The guest's memory: one slot of RAM from 0; what follows it is nobody's, so userspace's. */
#define DIFF_RAM	0x40000ULL
#define DIFF_GDT	0x1000ULL
#define DIFF_IDT	0x2000ULL
#define DIFF_HANDLERS	0x3000ULL	/* 4 bytes each: OUT %al to the vector's port, HLT */
#define DIFF_TSS	0x4000ULL
#define DIFF_PT		0x5000ULL	/* to 0x9fff */
#define DIFF_CODE	0xa000ULL	/* to 0xbfff */
#define DIFF_SCRATCH	0xc000ULL	/* a page for INS */
#define DIFF_STACK	0xe000ULL	/* the top */
#define DIFF_DATA	0x10000ULL	/* to 0x1ffff */
#define DIFF_MMIO	0x40000ULL	/* to 0x5ffff: as far as the page tables go */

struct rng {
	u64 state;
};

enum kind_id {
	KIND_SYSTEM,
	KIND_IOCTL,
	KIND_STATE,
	KIND_INSN,
	KIND_IRQ,
	KIND_SLOTS,
	NR_KINDS,
};

/* What was printed last of a structure: only changes are. */
struct shown {
	u8 regs[sizeof(struct kvm_regs)];
	u8 sregs[sizeof(struct kvm_sregs2)];
	u8 events[sizeof(struct kvm_vcpu_events)];
	u8 debugregs[sizeof(struct kvm_debugregs)];
	u8 xsave[sizeof(struct kvm_xsave)];
	u8 xcrs[sizeof(struct kvm_xcrs)];
	u8 fpu[sizeof(struct kvm_fpu)];
	u8 lapic[sizeof(struct kvm_lapic_state)];
	u32 mp_state;
	u64 msr[512];
	u8 run[sizeof(struct kvm_run)];
};

struct diff {
	enum kind_id kind;
	u64 seed;
	unsigned int step;
	struct rng rng;			/* of this step alone */
	bool stop;			/* nothing more can be compared */
	int dev;
	int vm;
	int vcpu[NR_VCPUS];
	struct kvm_run *run[NR_VCPUS];
	u8 *ram;
	u8 *ram_shown;
	bool irqchip;			/* the full one is in the kernel */
	bool pit;
	struct shown shown[NR_VCPUS];
	u8 chip_shown[3][sizeof(struct kvm_irqchip)];
	u8 pit_shown[sizeof(struct kvm_pit_state2)];
	u64 flags_hidden;		/* RFLAGS that the last instruction left undefined */
	struct kvm_cpuid2 *cpuid;	/* what both devices offer */
	u32 cpuid_nent;			/* how many entries vCPU 0 has */
	int mode;			/* of the CPU, kind insn: enum cpu_mode */
	bool user;			/* it is at level 3 */
	bool stepping;			/* the guest runs in single steps */
	bool shut_down;			/* by a triple fault, in this step */
	u64 step_shown;			/* where the last single step has led */
	char ready_shown[96];		/* what the last exit said of interrupts */
	void *priv;
};

struct kind {
	const char *name;
	unsigned int steps;		/* at most */
	void (*begin)(struct diff *d);
	void (*act)(struct diff *d);
};

extern const struct kind kind_system, kind_ioctl, kind_state, kind_insn, kind_irq, kind_slots;

/* rng.c: numbers that look random, and are the same each time */

/** rng_seed() - begin anew, from two numbers. */
void rng_seed(struct rng *rng, u64 a, u64 b);

/** rnd() - any 64 bits. */
u64 rnd(struct diff *d);

/** below() - from 0 to @n - 1. */
u64 below(struct diff *d, u64 n);

/** one_in() - true once in @n times. */
bool one_in(struct diff *d, u64 n);

/** rnd_value() - 64 bits that are more often than not a limit of something. */
u64 rnd_value(struct diff *d);

/** rnd_bits() - @old with a few of the bits in @mask changed. */
u64 rnd_bits(struct diff *d, u64 old, u64 mask);

#define pick(d, array) ((array)[below(d, ARRAY_SIZE(array))])

/* out.c: the transcript */

/** say() - one line of the transcript, of this step. */
void say(struct diff *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** say_ret() - a line with what a call returned; @fmt says which. Call it at once: errno. */
void say_ret(struct diff *d, long ret, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** say_words() - lines for the @size bytes in units of @unit that are not those in @shown. */
void say_words(struct diff *d, const char *name, const void *now, void *shown, size_t size,
	       unsigned int unit);

/** show_vcpu() - all state of vCPU @i that changed since it was last shown. */
void show_vcpu(struct diff *d, int i);

/** show_vm() - interrupt chips and memory, as far as they changed. */
void show_vm(struct diff *d);

/** show_exit() - what of kvm_run is defined after KVM_RUN returned @ret. */
void show_exit(struct diff *d, int i, int ret);

/* machine.c: VMs, vCPUs, running */

/** make_vm() - a VM with RAM, and @vcpus vCPUs that have the common CPUID; irqchip if wanted. */
void make_vm(struct diff *d, int vcpus, bool irqchip);

/**
 * run_vcpu() - KVM_RUN until something is left to userspace for good; false if that was not so
 * after @exits exits; all of it is shown.
 */
bool run_vcpu(struct diff *d, int i, unsigned int exits);

/** must() - the set-up's calls: the sequence ends if one fails, which is a difference, too. */
long must(struct diff *d, long ret, const char *what);

/* rules.c: what differs on purpose */

/** common_cpuid() - GET_SUPPORTED_CPUID without what differs on purpose. */
struct kvm_cpuid2 *common_cpuid(struct diff *d);

/** msr_hidden() - must this MSR not be compared? */
bool msr_hidden(u32 index);

/** host_is_intel() - are these CPUs Intel's? */
bool host_is_intel(void);

/**
 * without_nmi() - what a message, or an LVT entry, may say
 * @low: its lower half, with a delivery mode
 *
 * Returns: @low; with INIT for an NMI where these go wrong ($MHV_NO_NMI is set).
 */
u32 without_nmi(u32 low);

/** nmis_work() - can they be sent, masked, looked at? See without_nmi() */
bool nmis_work(void);

/** steps_linger() - is a step still due after the exit that took it? ($MHV_STEP_LINGERS) */
bool steps_linger(void);

/** cap_hidden() - must this capability not be compared? */
bool cap_hidden(int cap);

/** ioctl_hidden() - must no ioctl of this number be made? */
bool ioctl_hidden(u8 nr);

/** msr_common() - the MSRs that are shown after each step; their number in *@n. */
const u32 *msr_common(struct diff *d, unsigned int *n);

/** msr_is_clock() - does this MSR make the hypervisor write the time into memory? */
bool msr_is_clock(u32 index);

/** msr_mask() - the bits of an MSR that are compared. */
u64 msr_mask(u32 index);

#endif
