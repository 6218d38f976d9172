// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest and its LAPIC share in memory, so that it need not exit: the VAPIC page of 32-bit
 * Windows under QEMU, and EOI by a bit. And the report to userspace that the TPR was accessed, by
 * which QEMU finds the instructions that it replaces by such as use the page.
 * Entered from run.c around each entry, lapic.c (TPR), msr.c and vcpu.c (set-up).
 * The vCPU's thread alone; takes vm->srcu.
 * Linux, Documentation/virt/kvm/api.rst: KVM_SET_VAPIC_ADDR, KVM_TPR_ACCESS_REPORTING;
 * Documentation/virt/kvm/x86/msr.rst: MSR_KVM_PV_EOI_EN.
 */
#include <linux/kvm_para.h>
#include <linux/mm.h>

#include "compat.h"
#include "lapic.h"

static gpa_t eoi_gpa(const struct mhv_vcpu *vcpu)
{
	return vcpu->vapic.eoi_msr & ~(u64)KVM_MSR_ENABLED;
}

static bool writable(struct mhv_vcpu *vcpu, gpa_t gpa, unsigned int len)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	bool r = mhv_gmem_is_writable(vcpu->vm, gpa, len);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/* The next exit is to look at what the guest has written. */
static void look(struct mhv_vcpu *vcpu)
{
	vcpu->shown_tpr = MHV_TPR_LOOK;
}

/**
 * mhv_vapic_set_addr() - KVM_SET_VAPIC_ADDR
 * @vcpu: the vCPU, which has a LAPIC in the kernel
 * @gpa: of the 4 bytes that guest and LAPIC share; 0: none
 *
 * Context: vcpu->mutex held.
 * Return: 0, or -EINVAL where there is no memory to write.
 */
int mhv_vapic_set_addr(struct mhv_vcpu *vcpu, gpa_t gpa)
{
	if (gpa && !writable(vcpu, gpa, sizeof(u32)))
		return -EINVAL;
	vcpu->vapic.page = gpa;
	look(vcpu);
	return 0;
}

/**
 * mhv_pv_eoi_set() - MSR_KVM_PV_EOI_EN is written
 * @vcpu: the vCPU
 * @val: guest-physical address of a byte, a multiple of 4; bit 0 enables
 *
 * Context: vcpu->mutex held.
 * Return: 0, or 1: #GP, for an address that is not aligned, or no memory.
 */
int mhv_pv_eoi_set(struct mhv_vcpu *vcpu, u64 val)
{
	gpa_t gpa = val & ~(u64)KVM_MSR_ENABLED;

	if (!IS_ALIGNED(gpa, 4))
		return 1;
	if (val & KVM_MSR_ENABLED && !writable(vcpu, gpa, sizeof(u8)))
		return 1;
	vcpu->vapic.eoi_msr = val;
	return 0;
}

/**
 * mhv_vapic_reset() - a reset or INIT: the LAPIC shares nothing any more
 * @vcpu: the vCPU
 */
void mhv_vapic_reset(struct mhv_vcpu *vcpu)
{
	vcpu->vapic.page = 0;
	vcpu->vapic.eoi_msr = 0;
	vcpu->vapic.eoi_pending = false;
}

/**
 * lapic_tpr_accessed() - tell userspace, if it wants to know
 * @lapic: the LAPIC
 * @write: else read
 *
 * KVM_RUN ends after the instruction, with where it stood.
 */
void lapic_tpr_accessed(struct mhv_lapic *lapic, bool write)
{
	struct mhv_vcpu *vcpu = lapic->vcpu;

	if (likely(!vcpu->vapic.report_tpr))
		return;
	mhv_state_need(vcpu, MHV_G_RIP_FLAGS);
	vcpu->vapic.tpr_rip = vcpu->state.rip;
	vcpu->vapic.tpr_write = write;
	mhv_request(vcpu, MHV_REQ_TPR_ACCESS);
}

/*
 * May the guest end the interrupt in service by clearing a bit?  Not while
 * another one waits for that, and not if an IOAPIC or userspace has to know.
 */
static bool may_skip_eoi(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	int vector = lapic->isr_top;

	if (!(vcpu->vapic.eoi_msr & KVM_MSR_ENABLED) || vector < 0 ||
	    READ_ONCE(lapic->irr_pending))
		return false;
	if (vcpu->vm->irqchip.mode == MHV_IRQCHIP_SPLIT)
		return !test_bit(vector, lapic->eoi_exits);
	return !test_bit(vector, vcpu->vm->irqchip.eoi_vectors);
}

/* The page: TPR, class of the highest vector in service, highest vector requested. */
static u32 page_value(struct mhv_lapic *lapic)
{
	u32 isr = max_t(int, lapic->isr_top, 0);
	u32 irr = max_t(int, lapic_top(lapic->irr), 0);

	return lapic_get(lapic, APIC_TASKPRI) | (isr & 0xf0) << 8 | irr << 24;
}

/**
 * mhv_vapic_enter() - before an entry: show the guest the state of its LAPIC
 * @vcpu: the vCPU, with MHV_REQ_EVENT served
 *
 * A VAPIC page that is not there now is written by mhv_vapic_write_late(); an
 * EOI then costs an exit.
 *
 * Context: interrupts off.
 */
void mhv_vapic_enter(struct mhv_vcpu *vcpu)
{
	const u8 enabled = KVM_PV_EOI_ENABLED;
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 value;
	int idx;

	if (vcpu->vapic.page)
		look(vcpu);
	if (!lapic->hw_enabled || !lapic->sw_enabled)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (may_skip_eoi(vcpu) &&
	    !mhv_gmem_write_nofault(vcpu->vm, eoi_gpa(vcpu), &enabled, sizeof(enabled)))
		vcpu->vapic.eoi_pending = true;
	if (vcpu->vapic.page) {
		value = page_value(lapic);
		vcpu->vapic.late = offset_in_page(vcpu->vapic.page) > PAGE_SIZE - sizeof(value) ||
				   mhv_gmem_write_nofault(vcpu->vm, vcpu->vapic.page, &value,
							  sizeof(value));
		if (vcpu->vapic.late) {
			mhv_request(vcpu, MHV_REQ_VAPIC);
			mhv_send_reschedule(vcpu->cpu);	/* come back at once */
		}
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (vcpu->vapic.eoi_pending)
		look(vcpu);
}

/**
 * mhv_vapic_write_late() - MHV_REQ_VAPIC: the page had to be brought in
 * @vcpu: the vCPU
 *
 * Context: vcpu->mutex held; may sleep.
 */
void mhv_vapic_write_late(struct mhv_vcpu *vcpu)
{
	u32 value;
	int idx;

	if (!vcpu->vapic.page)
		return;
	value = page_value(vcpu->lapic);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	mhv_gmem_write(vcpu->vm, vcpu->vapic.page, &value, sizeof(value));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	vcpu->vapic.late = false;
}

/*
 * Take the permission back.  If the guest has used it, that was its EOI; and
 * so if nobody can tell, since the memory is gone.
 */
static void take_eoi(struct mhv_vcpu *vcpu)
{
	const u8 disabled = KVM_PV_EOI_DISABLED;
	u8 now;

	vcpu->vapic.eoi_pending = false;
	if (!(vcpu->vapic.eoi_msr & KVM_MSR_ENABLED))
		return;
	if (!mhv_gmem_read(vcpu->vm, eoi_gpa(vcpu), &now, sizeof(now)) &&
	    now & KVM_PV_EOI_ENABLED &&
	    !mhv_gmem_write(vcpu->vm, eoi_gpa(vcpu), &disabled, sizeof(disabled)))
		return;
	lapic_eoi(vcpu->lapic);
}

/**
 * mhv_vapic_exit() - after an exit: what did the guest write?
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, before the exit is handled; may sleep.
 */
void mhv_vapic_exit(struct mhv_vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	u32 value;

	if (vcpu->vapic.eoi_pending)
		take_eoi(vcpu);
	if (vcpu->vapic.page) {
		look(vcpu);
		if (!vcpu->vapic.late &&
		    !mhv_gmem_read(vcpu->vm, vcpu->vapic.page, &value, sizeof(value)))
			lapic_set_tpr(vcpu->lapic, value);
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}
