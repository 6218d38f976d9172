// SPDX-License-Identifier: GPL-2.0
/*
 * State groups between the VMCB's save area and struct mhv_state.
 * Entered from the core through state_load(), and from svm_run().
 * vcpu->mutex held, the vCPU loaded; no other lock.
 * AMD APM volume 2, "VMCB State Save Area" and "Segment State in the VMCB".
 */
#include <asm/tlbflush.h>

#include "svm.h"

/* The VMCB packs the attributes: AVL, L, D/B, G follow P without a gap. */
static u16 attr_from_vmcb(u16 attr)
{
	return (attr & 0xff) | (attr & 0xf00) << 4;
}

static u16 attr_to_vmcb(u16 attr)
{
	return (attr & 0xff) | (attr & 0xf000) >> 4;
}

/*
 * The CPU does not keep every attribute as a descriptor would have it: G is
 * whatever the limit needs.
 */
static void load_seg(struct mhv_segment *seg, const struct vmcb_seg *s)
{
	u16 attr = attr_from_vmcb(s->attrib) & ~MHV_SEG_G;

	seg->base = s->base;
	seg->limit = s->limit;
	seg->selector = s->selector;
	if (s->limit > 0xfffff)
		attr |= MHV_SEG_G;
	seg->attr = attr;
}

static void load_code(struct mhv_state *state, const struct vmcb_save_area *save)
{
	u16 *ss = &state->seg[MHV_SS].attr;

	load_seg(&state->seg[MHV_CS], &save->cs);
	load_seg(&state->seg[MHV_SS], &save->ss);
	/* The CPL has a field of its own, and SS's DPL may be stale. */
	*ss = (*ss & ~(3 << 5)) | (save->cpl & 3) << 5;
}

static void load_data(struct mhv_state *state, const struct vmcb_save_area *save)
{
	load_seg(&state->seg[MHV_ES], &save->es);
	load_seg(&state->seg[MHV_DS], &save->ds);
	load_seg(&state->seg[MHV_FS], &save->fs);
	load_seg(&state->seg[MHV_GS], &save->gs);
	load_seg(&state->seg[MHV_LDTR], &save->ldtr);
	/*
	 * A TSS in TR is busy by definition, but not on each CPU by its cached type. Whoever
	 * asks is told so; the CPU gets back what it had.
	 */
	load_seg(&state->seg[MHV_TR], &save->tr);
}

static void store_seg(struct vmcb_seg *s, const struct mhv_segment *seg)
{
	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->selector;
	s->attrib = attr_to_vmcb(seg->attr);
}

static void store_code(struct vmcb_save_area *save, const struct mhv_state *state)
{
	store_seg(&save->cs, &state->seg[MHV_CS]);
	store_seg(&save->ss, &state->seg[MHV_SS]);
	save->cpl = MHV_SEG_DPL(state->seg[MHV_SS].attr);
}

static void store_data(struct vmcb_save_area *save, const struct mhv_state *state)
{
	store_seg(&save->es, &state->seg[MHV_ES]);
	store_seg(&save->ds, &state->seg[MHV_DS]);
	store_seg(&save->fs, &state->seg[MHV_FS]);
	store_seg(&save->gs, &state->seg[MHV_GS]);
	store_seg(&save->ldtr, &state->seg[MHV_LDTR]);
	store_seg(&save->tr, &state->seg[MHV_TR]);
}

static void load_sysmsrs(struct mhv_state *state, const struct vmcb_save_area *save)
{
	state->star = save->star;
	state->lstar = save->lstar;
	state->cstar = save->cstar;
	state->sfmask = save->sfmask;
	state->kernel_gs_base = save->kernel_gs_base;
	state->sysenter_cs = save->sysenter_cs;
	state->sysenter_esp = save->sysenter_esp;
	state->sysenter_eip = save->sysenter_eip;
	state->pat = save->g_pat;
}

static void store_sysmsrs(struct vmcb_save_area *save, const struct mhv_state *state)
{
	save->star = state->star;
	save->lstar = state->lstar;
	save->cstar = state->cstar;
	save->sfmask = state->sfmask;
	save->kernel_gs_base = state->kernel_gs_base;
	save->sysenter_cs = state->sysenter_cs;
	save->sysenter_esp = state->sysenter_esp;
	save->sysenter_eip = state->sysenter_eip;
	save->g_pat = state->pat;
}

/*
 * The CPU runs with caches on whatever the guest's CR0 says, and with CR4.MCE
 * set whenever the host has it: without, a machine check would shut the host
 * down.  While the CPU's value differs from the guest's, reads exit too.
 */
static void store_cr(struct svm_vcpu *svm)
{
	struct vmcb_save_area *save = &svm->vmcb->save;
	struct mhv_state *state = &svm->vcpu.state;
	u64 host_mce = cr4_read_shadow() & X86_CR4_MCE;

	svm->cd_nw = svm->vcpu.vm->disabled_quirks & KVM_X86_QUIRK_CD_NW_CLEARED ? 0 :
		     state->cr0 & (X86_CR0_CD | X86_CR0_NW);
	save->cr0 = state->cr0 & ~(u64)(X86_CR0_CD | X86_CR0_NW);
	save->cr2 = state->cr2;
	save->cr3 = state->cr3;
	save->cr4 = state->cr4 | host_mce;

	svm_intercept(svm, INTERCEPT_CR0_READ, svm->cd_nw);
	svm_intercept(svm, INTERCEPT_CR0_WRITE, svm->cd_nw);
	svm_intercept(svm, INTERCEPT_CR4_READ, save->cr4 != state->cr4);
}

/**
 * svm_state_load() - state_load of the ops table
 * @vcpu: the vCPU
 * @groups: groups to copy from the VMCB
 */
void svm_state_load(struct mhv_vcpu *vcpu, u32 groups)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_save_area *save = &svm->vmcb->save;
	struct mhv_state *state = &vcpu->state;

	if (groups & MHV_G_CODE)
		load_code(state, save);
	if (groups & MHV_G_DATA)
		load_data(state, save);
	if (groups & MHV_G_DT) {
		state->gdt.base = save->gdtr.base;
		state->gdt.limit = save->gdtr.limit;
		state->idt.base = save->idtr.base;
		state->idt.limit = save->idtr.limit;
	}
	if (groups & MHV_G_CR) {
		/* CR4 stays as the core set it: every write of it exits. */
		state->cr0 = save->cr0 | svm->cd_nw;
		state->cr2 = save->cr2;
		state->cr3 = save->cr3;
	}
	if (groups & MHV_G_SYSMSR) {
		load_sysmsrs(state, save);
		/* Guests write them without an exit; AMD's CPUs keep 32 bits, QEMU's TCG all. */
		if (!(vcpu->features & MHV_GUEST_INTEL)) {
			state->sysenter_esp = (u32)state->sysenter_esp;
			state->sysenter_eip = (u32)state->sysenter_eip;
		}
	}
	/* GPR, RIP_FLAGS and INTR are copied at each exit; the CPU changes no other. */
}

/**
 * svm_state_store() - the reverse, of what svm_run() does not store itself
 * @vcpu: the vCPU
 * @groups: groups to copy to the VMCB; GPR and RIP_FLAGS are passed over
 *
 * Context: interrupts off, about to enter the guest.
 */
void svm_state_store(struct mhv_vcpu *vcpu, u32 groups)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	struct vmcb_save_area *save = &vmcb->save;
	struct mhv_state *state = &vcpu->state;

	if (groups & MHV_G_CODE)
		store_code(save, state);
	if (groups & MHV_G_DATA)
		store_data(save, state);
	if (groups & MHV_G_SEG)
		vmcb->control.clean &= ~SVM_CLEAN_SEG;
	if (groups & MHV_G_DT) {
		save->gdtr.base = state->gdt.base;
		save->gdtr.limit = state->gdt.limit;
		save->idtr.base = state->idt.base;
		save->idtr.limit = state->idt.limit;
		vmcb->control.clean &= ~SVM_CLEAN_DT;
	}
	if (groups & MHV_G_CR) {
		store_cr(svm);
		vmcb->control.clean &= ~(SVM_CLEAN_CR | SVM_CLEAN_CR2);
	}
	if (groups & MHV_G_EFER) {
		save->efer = state->efer | EFER_SVME;
		vmcb->control.clean &= ~SVM_CLEAN_CR;
	}
	if (groups & MHV_G_SYSMSR) {
		store_sysmsrs(save, state);
		vmcb->control.clean &= ~SVM_CLEAN_NPT;
	}
	if (groups & MHV_G_DR) {
		bool user = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;

		/*
		 * All reads of DR6 exit: the CPU's copy only has to say what
		 * the next #DB is for, so it starts out with nothing set.
		 */
		save->dr6 = DR6_RESERVED;
		save->dr7 = user ? vcpu->debug_dr7 : state->dr7;
		vmcb->control.clean &= ~SVM_CLEAN_DR;
	}
	if (groups & MHV_G_INTR) {
		vmcb->control.int_state &= ~(u32)SVM_INTERRUPT_SHADOW_MASK;
		if (state->shadow)
			vmcb->control.int_state |= SVM_INTERRUPT_SHADOW_MASK;
		/* Userspace may have said that an NMI is being handled, elsewhere. */
		if (state->rip != svm->iret_rip)
			svm->awaiting_iret = false;
		svm_intercept(svm, INTERCEPT_IRET, state->nmi_masked && !svm->awaiting_iret);
	}
	if (groups & MHV_G_TSC) {
		vmcb->control.tsc_offset = state->tsc_offset;
		vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
	}
}
