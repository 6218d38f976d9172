/* SPDX-License-Identifier: GPL-2.0 */
/*
 * modes.h - the CPU's modes in which the oracle runs code.
 */
#ifndef MINIHV_DIFF_MODES_H
#define MINIHV_DIFF_MODES_H

#include "diff.h"

enum cpu_mode {
	MODE_REAL,
	MODE_PROT16,
	MODE_PROT32,
	MODE_PAGED32,
	MODE_PAE,
	MODE_COMPAT,
	MODE_LONG,
	NR_MODES,
};

/* Selectors of the GDT. */
#define SEL_CS32	0x08
#define SEL_DS		0x10
#define SEL_CS64	0x18
#define SEL_UDS		0x23
#define SEL_UCS32	0x2b
#define SEL_UCS64	0x33
#define SEL_CS16	0x38
#define SEL_DS16	0x40
#define SEL_TSS		0x48
#define SEL_LDT		0x58
#define SEL_GATE	0x68
#define SEL_ODD		0x78	/* from here on: not present, read-only, and the like */
#define SEL_END		0xa0

/** make_tables() - GDT, IDT, handlers, TSS and page tables for @mode, in the guest's memory. */
void make_tables(struct diff *d, enum cpu_mode mode);

/* minihv refuses it, as it is always set while a guest runs. */
#define EFER_SVME	BIT(12)

/**
 * tcg_survives() - may the vCPU run in this state? QEMU's TCG leaves CR0 the guest's at a #VMEXIT,
 * which is the end of the host, if the guest has LME set, and neither paging nor PAE on.
 */
static inline bool tcg_survives(const struct kvm_sregs *s)
{
	return !(s->efer & EFER_LME) || s->cr0 & CR0_PG || s->cr4 & CR4_PAE;
}

/** sane_events() - leave out what KVM does not take as told, before KVM_SET_VCPU_EVENTS */
void sane_events(struct kvm_vcpu_events *e);

/** settle_events() - resolve what of vCPU 0's events KVM does not deliver as told */
void settle_events(struct diff *d);

/** set_mode() - vCPU @i is in @mode, at privilege level 0, or 3 if @user; flat segments. */
void set_mode(struct diff *d, int i, enum cpu_mode mode, bool user);

#endif
