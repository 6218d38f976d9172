// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC of a vCPU: its creation, reset, and the state that userspace saves.
 * Entered from vcpu.c and cpuid.c.
 * No lock: see lapic.h for what other threads may touch.
 * Intel SDM vol. 3, "Local APIC Status and Location", "Local APIC State After Power-Up or Reset".
 */
#include <linux/slab.h>

#include "lapic.h"

#define LAPIC_VERSION		0x14U

static bool cpuid_has(struct mhv_vcpu *vcpu, u32 ecx_bit)
{
	const struct kvm_cpuid_entry2 *leaf = mhv_cpuid_find(vcpu, 1, 0);

	return leaf && (leaf->ecx & ecx_bit);
}

/*
 * The IOAPIC in the kernel has no EOI register, so EOIs must be broadcast to
 * it; userspace's may have one.
 */
static void set_version(struct mhv_lapic *lapic)
{
	u32 version = LAPIC_VERSION | (LAPIC_NR_LVT - 1) << 16;

	if (lapic->vcpu->vm->irqchip.mode == MHV_IRQCHIP_SPLIT &&
	    cpuid_has(lapic->vcpu, BIT(21)))	/* x2APIC */
		version |= APIC_LVR_DIRECTED_EOI;
	lapic_set(lapic, APIC_LVR, version);
}

/**
 * mhv_lapic_cpuid_changed - CPUID was set: what the LAPIC offers follows it
 * @vcpu: the vCPU
 *
 * Context: vcpu->mutex held.
 */
void mhv_lapic_cpuid_changed(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = vcpu->lapic;

	set_version(lapic);
	lapic->timer.mode_mask = APIC_LVT_TIMER_PERIODIC;
	if (cpuid_has(vcpu, BIT(24)))		/* TSC deadline */
		lapic->timer.mode_mask |= APIC_LVT_TIMER_TSCDEADLINE;
}

/**
 * mhv_lapic_create - give a new vCPU its LAPIC
 * @vcpu: the vCPU, which nobody else can see yet
 *
 * mhv_vcpu_reset() brings it to its power-on state.  Returns 0 or -ENOMEM.
 */
int mhv_lapic_create(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = kzalloc(sizeof(*lapic), GFP_KERNEL_ACCOUNT);

	if (!lapic)
		return -ENOMEM;
	lapic->vcpu = vcpu;
	lapic->isr_top = -1;
	lapic_timer_init(lapic);
	vcpu->lapic = lapic;
	return 0;
}

/**
 * mhv_lapic_destroy - free a vCPU's LAPIC, if it has one
 * @vcpu: the vCPU, which nothing can send to any more
 */
void mhv_lapic_destroy(struct mhv_vcpu *vcpu)
{
	if (!vcpu->lapic)
		return;
	lapic_timer_cancel(vcpu->lapic);
	kfree(vcpu->lapic);
	vcpu->lapic = NULL;
}

/* The boot CPU's LINT0 is open to the PIC, as firmware would have left it. */
static u32 reset_lint0(struct mhv_vcpu *vcpu)
{
	if (vcpu->id == vcpu->vm->boot_cpu_id &&
	    !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		return APIC_DM_EXTINT;
	return APIC_LVT_MASKED;
}

/**
 * mhv_lapic_reset - power-on state, or what INIT leaves
 * @vcpu: the vCPU; its IA32_APIC_BASE is already reset
 * @init: INIT, which leaves id and mode
 *
 * Context: the vCPU's thread.
 */
void mhv_lapic_reset(struct mhv_vcpu *vcpu, bool init)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 id = lapic_get(lapic, APIC_ID), ldr = lapic_get(lapic, APIC_LDR);
	unsigned int lvt;

	lapic_timer_cancel(lapic);
	memset(lapic->regs, 0, sizeof(lapic->regs));
	lapic_set(lapic, APIC_ID, init ? id : vcpu->id << 24);
	lapic_set(lapic, APIC_LDR, lapic->x2apic ? ldr : 0);
	lapic_set(lapic, APIC_DFR, APIC_DFR_FLAT);
	set_version(lapic);
	for (lvt = APIC_LVTT; lvt <= APIC_LVTERR; lvt += 0x10)
		lapic_set(lapic, lvt, APIC_LVT_MASKED);
	lapic_set(lapic, APIC_LVT0, reset_lint0(vcpu));
	lapic_count_lint0_nmi(lapic);
	lapic_set_spiv(lapic, 0xff);
	lapic_timer_reset(lapic);

	/*
	 * The hint comes first: a bit that is set meanwhile is cleared, or has
	 * its hint after this.
	 */
	WRITE_ONCE(lapic->irr_pending, false);
	smp_wmb();	/* pairs with test_and_set_bit() in set_irr() */
	bitmap_zero(lapic->irr, LAPIC_VECTORS);
	bitmap_zero(lapic->isr, LAPIC_VECTORS);
	bitmap_zero(lapic->tmr, LAPIC_VECTORS);
	lapic->isr_top = -1;
	lapic->errors = 0;
	lapic_update_ppr(lapic);
	mhv_vapic_reset(vcpu);
	/* Its owner will write registers before anybody has reason to hurry. */
	lapic_map_stale(vcpu->vm);
}

static u32 *state_reg(struct kvm_lapic_state *state, unsigned int offset)
{
	return (u32 *)(state->regs + offset);
}

/* x2APIC ids are 32 bits wide, but userspace may not know yet. */
static bool wide_ids(struct mhv_vcpu *vcpu)
{
	return vcpu->vm->caps & BIT(MHV_VMCAP_X2APIC_32BIT);
}

/**
 * mhv_lapic_get_state - KVM_GET_LAPIC
 * @vcpu: the vCPU
 * @state: filled, as an xAPIC's page
 *
 * Context: vcpu->mutex held.
 */
void mhv_lapic_get_state(struct mhv_vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 count = lapic_timer_saved(lapic);
	unsigned int i;

	memset(state, 0, sizeof(*state));
	for (i = 0; i < ARRAY_SIZE(lapic->regs); i++)
		*state_reg(state, i << 4) = lapic->regs[i];
	for (i = 0; i < 0x80; i += 0x10) {
		*state_reg(state, APIC_ISR + i) = lapic_bitmap_reg(lapic->isr, i);
		*state_reg(state, APIC_TMR + i) = lapic_bitmap_reg(lapic->tmr, i);
		*state_reg(state, APIC_IRR + i) = lapic_bitmap_reg(lapic->irr, i);
	}
	*state_reg(state, APIC_TMCCT) = count;
	if (lapic->x2apic && !wide_ids(vcpu))
		*state_reg(state, APIC_ID) <<= 24;
}

static void set_bitmaps(struct mhv_lapic *lapic, struct kvm_lapic_state *state)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		((u32 *)lapic->isr)[i] = *state_reg(state, APIC_ISR + (i << 4));
		((u32 *)lapic->tmr)[i] = *state_reg(state, APIC_TMR + (i << 4));
		((u32 *)lapic->irr)[i] = *state_reg(state, APIC_IRR + (i << 4));
	}
	lapic->isr_top = lapic_top(lapic->isr);
	WRITE_ONCE(lapic->irr_pending, true);
}

/**
 * mhv_lapic_set_state - KVM_SET_LAPIC
 * @vcpu: the vCPU
 * @state: any bytes are safe
 *
 * Context: vcpu->mutex held; may sleep.  Returns 0, or -EINVAL for an x2APIC
 * id that is not this vCPU's, which no LAPIC can have.
 */
int mhv_lapic_set_state(struct mhv_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct kvm_lapic_state s = *state;
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 *id = state_reg(&s, APIC_ID);
	unsigned int i;

	if (lapic->x2apic) {
		if (!wide_ids(vcpu))
			*id >>= 24;
		else if (*id != vcpu->id)
			return -EINVAL;
		*state_reg(&s, APIC_LDR) = lapic_x2apic_ldr(*id);
	}
	lapic_timer_cancel(lapic);
	for (i = 0; i < ARRAY_SIZE(lapic->regs); i++)
		lapic_set(lapic, i << 4, *state_reg(&s, i << 4));
	lapic_set(lapic, APIC_TMCCT, 0);
	lapic_set_spiv(lapic, lapic_get(lapic, APIC_SPIV));
	set_version(lapic);
	set_bitmaps(lapic, &s);
	lapic_update_ppr(lapic);
	lapic_count_lint0_nmi(lapic);
	lapic_timer_restore(lapic, *state_reg(&s, APIC_TMCCT));
	lapic_map_stale(vcpu->vm);
	lapic_map_update(vcpu->vm);
	mhv_request(vcpu, MHV_REQ_EVENT);
	return 0;
}
