/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A vCPU's local APIC, as lapic.c, lapic_timer.c and ipi.c know it; others use
 * irqchip.h.
 * No lock: the vCPU's thread owns it, but for what is tagged [a]: other
 * threads and timers set bits there, and then request and kick.
 * Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef MHV_LAPIC_H
#define MHV_LAPIC_H

#include <linux/bitmap.h>
#include <linux/hrtimer.h>
#include <asm/apicdef.h>

#include "minihv.h"

#define ICR_SHORTHAND	(3U << 18)

#define LAPIC_VECTORS	256
#define LAPIC_NR_LVT	6U
#define LAPIC_FIRST_VECTOR 16	/* those below are for exceptions: illegal here */

/* lapic->events */
#define LAPIC_EV_INIT	0
#define LAPIC_EV_SIPI	1

/**
 * struct lapic_timer - the timer; counts ns, as the bus clock is 1 GHz
 * @hrtimer: armed while it counts
 * @cpu: on which it was armed
 * @mode: APIC_LVT_TIMER_*
 * @mode_mask: which of them the guest's CPUID offers
 * @divide: bus clocks per count
 * @period: ns from initial count to zero; 0 if the initial count is
 * @target: [a] when the count is zero
 * @deadline: [a] guest's TSC, 0 when disarmed; TSC-deadline mode
 * @early: [a] the deadline of an interrupt that was requested, perhaps ahead of
 *	time, and is not yet taken; 0: none is
 * @ahead: it was
 * @advance_ns: by so much
 */
struct lapic_timer {
	struct hrtimer hrtimer;
	int cpu;
	u32 mode;
	u32 mode_mask;
	u32 divide;
	u32 advance_ns;
	u64 period;
	ktime_t target;
	u64 deadline;
	u64 early;
	bool ahead;
};

/**
 * struct mhv_lapic - the local APIC
 * @vcpu: whose
 * @irr_pending: [a] a hint: false if IRR is empty
 * @hw_enabled: by IA32_APIC_BASE
 * @sw_enabled: by the spurious-interrupt vector register
 * @x2apic: in x2APIC mode
 * @lint0_nmi: counted in vm->irqchip.lint0_nmi
 * @isr_top: highest vector in service, or -1
 * @base: of the MMIO page
 * @irr: [a] requested
 * @isr: in service
 * @tmr: [a] came as a level
 * @eoi_exits: split irqchip: vectors whose EOI userspace wants to see
 * @regs: the other registers, by offset / 16
 * @events: [a] LAPIC_EV_*
 * @sipi_vector: [a] of the SIPI in @events
 * @errors: [a] bits that the next write to ESR will show
 * @timer: the timer
 */
struct mhv_lapic {
	struct mhv_vcpu *vcpu;
	bool irr_pending;
	bool hw_enabled;
	bool sw_enabled;
	bool x2apic;
	bool lint0_nmi;
	s16 isr_top;
	gpa_t base;
	DECLARE_BITMAP(irr, LAPIC_VECTORS);
	DECLARE_BITMAP(isr, LAPIC_VECTORS);
	DECLARE_BITMAP(tmr, LAPIC_VECTORS);
	DECLARE_BITMAP(eoi_exits, LAPIC_VECTORS);
	u32 regs[64];
	unsigned long events;
	u8 sipi_vector;
	unsigned long errors;
	struct lapic_timer timer;
};

static inline u32 lapic_get(const struct mhv_lapic *lapic, unsigned int offset)
{
	return READ_ONCE(lapic->regs[offset >> 4]);
}

static inline void lapic_set(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	WRITE_ONCE(lapic->regs[offset >> 4], val);
}

/* Requested or in service: its EOI is still to come. */
static inline bool lapic_has_vector(const struct mhv_lapic *lapic, u8 vector)
{
	return test_bit(vector, lapic->irr) || test_bit(vector, lapic->isr);
}

static inline u32 lapic_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1 << (id & 0xf);
}

bool lapic_accept(struct mhv_lapic *lapic, const struct mhv_apic_msg *msg, bool self);

int lapic_top(const unsigned long *vectors);
u32 lapic_bitmap_reg(const unsigned long *vectors, unsigned int offset);
void lapic_update_ppr(struct mhv_lapic *lapic);
void lapic_set_spiv(struct mhv_lapic *lapic, u32 val);
void lapic_count_lint0_nmi(struct mhv_lapic *lapic);
void lapic_eoi(struct mhv_lapic *lapic);
void lapic_set_tpr(struct mhv_lapic *lapic, u32 tpr);

/* vapic.c */
void lapic_tpr_accessed(struct mhv_lapic *lapic, bool write);

void lapic_timer_init(struct mhv_lapic *lapic);
void lapic_timer_cancel(struct mhv_lapic *lapic);
void lapic_timer_reset(struct mhv_lapic *lapic);
void lapic_timer_load(struct mhv_lapic *lapic, u32 count);
u32 lapic_timer_current(const struct mhv_lapic *lapic);
u32 lapic_timer_saved(const struct mhv_lapic *lapic);
void lapic_timer_set_mode(struct mhv_lapic *lapic);
void lapic_timer_set_divide(struct mhv_lapic *lapic);
void lapic_timer_restore(struct mhv_lapic *lapic, u32 count);
void lapic_timer_wait(struct mhv_lapic *lapic);

void lapic_map_stale(struct mhv_vm *vm);
void lapic_map_update(struct mhv_vm *vm);

#endif /* MHV_LAPIC_H */
