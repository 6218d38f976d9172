// SPDX-License-Identifier: GPL-2.0
/*
 * Architectural state as userspace reads and writes it: the KVM_GET_* and
 * KVM_SET_* of a vCPU.  What values are possible, state.c knows.
 * Entered from vCPU ioctls, and from KVM_RUN for what is synchronized there.
 * vcpu->mutex held, the vCPU loaded; vm->srcu is taken below.
 * Documentation/virt/kvm/api.rst of the kernel.
 */
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/trapnr.h>

#include "minihv.h"
#include "backend.h"
#include "compat.h"

/* The part that KVM_GET_SREGS and KVM_GET_SREGS2 have in common. */
#define SREGS_COMMON	offsetof(struct kvm_sregs, interrupt_bitmap)

static_assert(offsetof(struct kvm_sregs2, flags) == SREGS_COMMON);

/* ---- general registers ---- */

/* Where struct kvm_regs has each register that instructions number. */
static const u16 regs_offset[16] = {
	[MHV_RAX] = offsetof(struct kvm_regs, rax), [MHV_RCX] = offsetof(struct kvm_regs, rcx),
	[MHV_RDX] = offsetof(struct kvm_regs, rdx), [MHV_RBX] = offsetof(struct kvm_regs, rbx),
	[MHV_RSP] = offsetof(struct kvm_regs, rsp), [MHV_RBP] = offsetof(struct kvm_regs, rbp),
	[MHV_RSI] = offsetof(struct kvm_regs, rsi), [MHV_RDI] = offsetof(struct kvm_regs, rdi),
	[MHV_R8] = offsetof(struct kvm_regs, r8), [MHV_R9] = offsetof(struct kvm_regs, r9),
	[MHV_R10] = offsetof(struct kvm_regs, r10), [MHV_R11] = offsetof(struct kvm_regs, r11),
	[MHV_R12] = offsetof(struct kvm_regs, r12), [MHV_R13] = offsetof(struct kvm_regs, r13),
	[MHV_R14] = offsetof(struct kvm_regs, r14), [MHV_R15] = offsetof(struct kvm_regs, r15),
};

/**
 * mhv_get_regs - KVM_GET_REGS
 * @vcpu: the vCPU, loaded
 * @regs: filled
 */
void mhv_get_regs(struct mhv_vcpu *vcpu, struct kvm_regs *regs)
{
	unsigned int i;

	mhv_state_need(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	for (i = 0; i < 16; i++)
		*(u64 *)((void *)regs + regs_offset[i]) = vcpu->state.gpr[i];
	regs->rip = vcpu->state.rip;
	regs->rflags = vcpu->state.rflags;
	/* A debugger's single step is not the guest's business, nor its own TF. */
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		regs->rflags &= ~(u64)X86_EFLAGS_TF;
}

/**
 * mhv_set_regs - KVM_SET_REGS
 * @vcpu: the vCPU, loaded
 * @regs: the values; an exception that was pending belonged to the old ones
 *	and is forgotten
 */
void mhv_set_regs(struct mhv_vcpu *vcpu, const struct kvm_regs *regs)
{
	unsigned int i;

	mhv_state_change(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	for (i = 0; i < 16; i++)
		vcpu->state.gpr[i] = *(const u64 *)((const void *)regs + regs_offset[i]);
	vcpu->state.rip = regs->rip;
	vcpu->state.rflags = regs->rflags | X86_EFLAGS_FIXED;
	vcpu->exception.type = MHV_EV_NONE;
	mhv_request(vcpu, MHV_REQ_EVENT);
}

/* ---- segments and control registers ---- */

static void get_segment(const struct mhv_segment *seg, struct kvm_segment *out)
{
	*out = (struct kvm_segment){
		.base = seg->base,
		.limit = seg->limit,
		.selector = seg->selector,
		.type = seg->attr & MHV_SEG_TYPE,
		.s = !!(seg->attr & MHV_SEG_S),
		.dpl = MHV_SEG_DPL(seg->attr),
		.present = !!(seg->attr & MHV_SEG_P),
		.avl = !!(seg->attr & MHV_SEG_AVL),
		.l = !!(seg->attr & MHV_SEG_L),
		.db = !!(seg->attr & MHV_SEG_DB),
		/* Not every CPU keeps G; it follows from the limit. */
		.g = seg->limit > 0xfffff,
		.unusable = !(seg->attr & MHV_SEG_P),
	};
}

static void set_segment(struct mhv_segment *seg, const struct kvm_segment *in)
{
	seg->base = in->base;
	seg->limit = in->limit;
	seg->selector = in->selector;
	seg->attr = (in->type & MHV_SEG_TYPE) | (in->s & 1) << 4 | (in->dpl & 3) << 5 |
		    (in->present & 1 && !in->unusable) << 7 | (in->avl & 1) << 12 |
		    (in->l & 1) << 13 | (in->db & 1) << 14 | (in->g & 1) << 15;
}

/* What the CPU sets when it loads a segment register is set in what we tell. */
static void get_segments(struct mhv_vcpu *vcpu, struct kvm_sregs *sregs)
{
	const struct mhv_segment *seg = vcpu->state.seg;
	struct kvm_segment *data[] = { &sregs->ds, &sregs->es, &sregs->fs, &sregs->gs };
	unsigned int i;

	get_segment(&seg[MHV_CS], &sregs->cs);
	get_segment(&seg[MHV_DS], &sregs->ds);
	get_segment(&seg[MHV_ES], &sregs->es);
	get_segment(&seg[MHV_FS], &sregs->fs);
	get_segment(&seg[MHV_GS], &sregs->gs);
	get_segment(&seg[MHV_SS], &sregs->ss);
	get_segment(&seg[MHV_TR], &sregs->tr);
	get_segment(&seg[MHV_LDTR], &sregs->ldt);
	for (i = 0; i < ARRAY_SIZE(data); i++)
		if (!data[i]->unusable)
			data[i]->type |= 1;	/* accessed */
	sregs->tr.type |= 2;			/* busy */
	if (sregs->ss.unusable)
		sregs->ss.db = 0;
}

static void get_sregs_common(struct mhv_vcpu *vcpu, struct kvm_sregs *sregs)
{
	const struct mhv_state *state = &vcpu->state;

	mhv_state_need(vcpu, MHV_G_SEG | MHV_G_DT | MHV_G_CR | MHV_G_EFER);
	memset(sregs, 0, sizeof(*sregs));
	get_segments(vcpu, sregs);
	sregs->gdt.base = state->gdt.base;
	sregs->gdt.limit = state->gdt.limit;
	sregs->idt.base = state->idt.base;
	sregs->idt.limit = state->idt.limit;
	sregs->cr0 = state->cr0;
	sregs->cr2 = state->cr2;
	sregs->cr3 = state->cr3;
	sregs->cr4 = state->cr4;
	sregs->cr8 = mhv_get_cr8(vcpu);
	sregs->efer = state->efer;
	sregs->apic_base = vcpu->apic_base;
}

/* The vector of what is half delivered, or waits though userspace has the interrupt chip; or -1. */
static int injected_interrupt(struct mhv_vcpu *vcpu)
{
	if (vcpu->reinject.type == MHV_EV_INTR)
		return vcpu->reinject.vector;
	return vcpu->lapic ? -1 : vcpu->extint;
}

/**
 * mhv_get_sregs - KVM_GET_SREGS
 * @vcpu: the vCPU, loaded
 * @sregs: filled
 */
void mhv_get_sregs(struct mhv_vcpu *vcpu, struct kvm_sregs *sregs)
{
	int vector;

	get_sregs_common(vcpu, sregs);
	vector = injected_interrupt(vcpu);
	if (vector >= 0)
		__set_bit(vector, (unsigned long *)sregs->interrupt_bitmap);
}

/**
 * mhv_get_sregs2 - KVM_GET_SREGS2
 * @vcpu: the vCPU, loaded
 * @sregs2: filled; PDPTRs are valid with PAE paging
 */
void mhv_get_sregs2(struct mhv_vcpu *vcpu, struct kvm_sregs2 *sregs2)
{
	struct kvm_sregs sregs;

	get_sregs_common(vcpu, &sregs);
	memset(sregs2, 0, sizeof(*sregs2));
	memcpy(sregs2, &sregs, SREGS_COMMON);
	if (!mhv_is_pae_paging(vcpu))
		return;
	/* Where the CPU does not cache them, memory has them, once the guest has run. */
	if (!mhv_backend->caps.pdptr_cached && !(vcpu->dirty & MHV_G_PDPTR))
		mhv_load_pdptrs(vcpu, vcpu->state.cr3);
	mhv_state_need(vcpu, MHV_G_PDPTR);
	memcpy(sregs2->pdptrs, vcpu->state.pdptr, sizeof(sregs2->pdptrs));
	sregs2->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
}

static bool sregs_valid(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (sregs->efer & EFER_LME && sregs->cr0 & X86_CR0_PG) {
		/* Long mode, though perhaps in a 32-bit code segment. */
		if (!(sregs->cr4 & X86_CR4_PAE) || !(sregs->efer & EFER_LMA) ||
		    mhv_gpa_illegal(vcpu, sregs->cr3))
			return false;
	} else if (sregs->efer & EFER_LMA || sregs->cs.l) {
		return false;
	}
	/* The CPU itself runs with SVME set: a guest's could not be told apart. */
	if (sregs->efer & EFER_SVME)
		return false;
	return mhv_cr4_valid(vcpu, sregs->cr4) && mhv_cr0_valid(sregs->cr0);
}

static void set_segments(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	struct mhv_segment *seg = vcpu->state.seg;

	set_segment(&seg[MHV_CS], &sregs->cs);
	set_segment(&seg[MHV_DS], &sregs->ds);
	set_segment(&seg[MHV_ES], &sregs->es);
	set_segment(&seg[MHV_FS], &sregs->fs);
	set_segment(&seg[MHV_GS], &sregs->gs);
	set_segment(&seg[MHV_SS], &sregs->ss);
	set_segment(&seg[MHV_TR], &sregs->tr);
	set_segment(&seg[MHV_LDTR], &sregs->ldt);
}

/* A BSP whose CS:RIP is put to the reset vector is to run, halted or not. */
static bool at_reset_vector(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return vcpu->apic_base & MSR_IA32_APICBASE_BSP && mhv_rip(vcpu) == 0xfff0 &&
	       sregs->cs.selector == 0xf000 && sregs->cs.base == 0xffff0000 &&
	       !(sregs->cr0 & X86_CR0_PE);
}

static int set_sregs_common(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs,
			    const u64 *pdptrs)
{
	struct mhv_state *state = &vcpu->state;
	u64 old_cr4;

	if (!sregs_valid(vcpu, sregs) || mhv_set_apic_base(vcpu, sregs->apic_base, true))
		return -EINVAL;

	mhv_state_change(vcpu, MHV_G_SEG | MHV_G_DT | MHV_G_CR | MHV_G_EFER);
	/* RIP is another place then, where nothing is left to complete. */
	if (state->seg[MHV_CS].base != sregs->cs.base)
		vcpu->pio.rip = ~0ULL;
	set_segments(vcpu, sregs);
	state->gdt.base = sregs->gdt.base;
	state->gdt.limit = sregs->gdt.limit;
	state->idt.base = sregs->idt.base;
	state->idt.limit = sregs->idt.limit;
	old_cr4 = state->cr4;
	state->cr0 = sregs->cr0;
	state->cr2 = sregs->cr2;
	state->cr3 = sregs->cr3;
	state->cr4 = sregs->cr4;
	state->efer = sregs->efer;
	mhv_set_cr8(vcpu, sregs->cr8);

	if (pdptrs) {
		mhv_state_change(vcpu, MHV_G_PDPTR);
		memcpy(state->pdptr, pdptrs, sizeof(state->pdptr));
	} else if (mhv_is_pae_paging(vcpu)) {
		/* Bad ones fault the guest when it uses them; until then the old ones are shown. */
		if (mhv_load_pdptrs(vcpu, state->cr3))
			mhv_state_change(vcpu, MHV_G_PDPTR);
	}
	mhv_backend->flush_tlb(vcpu);
	if ((old_cr4 ^ state->cr4) & X86_CR4_OSXSAVE)
		mhv_cpuid_runtime(vcpu);
	if (at_reset_vector(vcpu, sregs))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

/**
 * mhv_set_sregs - KVM_SET_SREGS
 * @vcpu: the vCPU, loaded
 * @sregs: the values; an interrupt in the bitmap is injected
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL for values that no CPU can have; nothing is changed
 * then.
 */
int mhv_set_sregs(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	unsigned int vector;
	int r = set_sregs_common(vcpu, sregs, NULL);

	if (r)
		return r;
	vector = find_first_bit((const unsigned long *)sregs->interrupt_bitmap,
				KVM_NR_INTERRUPTS);
	/* What KVM_GET_SREGS told of waits already, maybe behind another event. */
	if (vector < KVM_NR_INTERRUPTS && vector != injected_interrupt(vcpu)) {
		vcpu->reinject = (struct mhv_event){
			.type = MHV_EV_INTR, .vector = vector };
		mhv_request(vcpu, MHV_REQ_EVENT);
	}
	return 0;
}

/**
 * mhv_set_sregs2 - KVM_SET_SREGS2
 * @vcpu: the vCPU, loaded
 * @sregs2: the values; PDPTRs, if given, go before those in memory
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL for unknown flags, PDPTRs without PAE paging, or values
 * that no CPU can have; nothing is changed then.
 */
int mhv_set_sregs2(struct mhv_vcpu *vcpu, const struct kvm_sregs2 *sregs2)
{
	bool pae = sregs2->cr0 & X86_CR0_PG && sregs2->cr4 & X86_CR4_PAE &&
		   !(sregs2->efer & EFER_LMA);
	bool pdptrs = sregs2->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs sregs = {};

	if (sregs2->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID || (pdptrs && !pae))
		return -EINVAL;
	memcpy(&sregs, sregs2, SREGS_COMMON);
	return set_sregs_common(vcpu, &sregs, pdptrs ? sregs2->pdptrs : NULL);
}

/* ---- FPU and extended state ---- */

/**
 * mhv_get_fpu - KVM_GET_FPU
 * @vcpu: the vCPU; its FPU state is not in the CPU
 * @fpu: filled, but for MXCSR, which KVM leaves out as well
 */
void mhv_get_fpu(struct mhv_vcpu *vcpu, struct kvm_fpu *fpu)
{
	const struct fxregs_state *fx = &vcpu->fpu.fpstate->regs.fxsave;

	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, fx->st_space, sizeof(fpu->fpr));
	fpu->fcw = fx->cwd;
	fpu->fsw = fx->swd;
	fpu->ftwx = fx->twd;
	fpu->last_opcode = fx->fop;
	fpu->last_ip = fx->rip;
	fpu->last_dp = fx->rdp;
	memcpy(fpu->xmm, fx->xmm_space, sizeof(fpu->xmm));
}

/**
 * mhv_set_fpu - KVM_SET_FPU
 * @vcpu: the vCPU; its FPU state is not in the CPU
 * @fpu: the values; MXCSR stays
 */
void mhv_set_fpu(struct mhv_vcpu *vcpu, const struct kvm_fpu *fpu)
{
	union fpregs_state *regs = &vcpu->fpu.fpstate->regs;
	struct fxregs_state *fx = &regs->fxsave;

	memcpy(fx->st_space, fpu->fpr, sizeof(fpu->fpr));
	fx->cwd = fpu->fcw;
	fx->swd = fpu->fsw;
	fx->twd = fpu->ftwx;
	fx->fop = fpu->last_opcode;
	fx->rip = fpu->last_ip;
	fx->rdp = fpu->last_dp;
	memcpy(fx->xmm_space, fpu->xmm, sizeof(fpu->xmm));
	/* Or XRSTOR would take both for being in their initial state. */
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		regs->xsave.header.xfeatures |= XFEATURE_MASK_FPSSE;
}

/**
 * mhv_get_xsave - KVM_GET_XSAVE, and KVM_GET_XSAVE2, which needs no more room
 * @vcpu: the vCPU; its FPU state is not in the CPU
 * @xsave: filled, in XSAVE's standard format
 *
 * No guest can be given state components that would need more than the first
 * page: those the kernel switches on by request are not offered.
 */
void mhv_get_xsave(struct mhv_vcpu *vcpu, struct kvm_xsave *xsave)
{
	/* No component that the guest lacks: other hosts may not have it. */
	memset(xsave, 0, sizeof(*xsave));
	mhv_fpu_to_user(&vcpu->fpu, xsave, sizeof(*xsave),
			vcpu->xcr0_supported | XFEATURE_MASK_FPSSE, 0);
}

/**
 * mhv_set_xsave - KVM_SET_XSAVE
 * @vcpu: the vCPU; its FPU state is not in the CPU
 * @xsave: the values
 *
 * Return: 0, or -EINVAL for components that the host lacks, or a bad header or
 * MXCSR.
 */
int mhv_set_xsave(struct mhv_vcpu *vcpu, const struct kvm_xsave *xsave)
{
	return fpu_copy_uabi_to_guest_fpstate(&vcpu->fpu, xsave,
					      mhv_host_xcr0() | XFEATURE_MASK_FPSSE, NULL);
}

/**
 * mhv_get_xcrs - KVM_GET_XCRS
 * @vcpu: the vCPU
 * @xcrs: filled with XCR0, or nothing where the CPU has no XSAVE
 */
void mhv_get_xcrs(struct mhv_vcpu *vcpu, struct kvm_xcrs *xcrs)
{
	memset(xcrs, 0, sizeof(*xcrs));
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return;
	xcrs->nr_xcrs = 1;
	xcrs->xcrs[0].xcr = XCR_XFEATURE_ENABLED_MASK;
	xcrs->xcrs[0].value = vcpu->xcr0;
}

/**
 * mhv_set_xcrs - KVM_SET_XCRS
 * @vcpu: the vCPU, loaded
 * @xcrs: the values, of which XCR0 is taken
 *
 * Return: 0, or -EINVAL.
 */
int mhv_set_xcrs(struct mhv_vcpu *vcpu, const struct kvm_xcrs *xcrs)
{
	unsigned int i;

	if (!boot_cpu_has(X86_FEATURE_XSAVE) || xcrs->nr_xcrs > KVM_MAX_XCRS || xcrs->flags)
		return -EINVAL;
	for (i = 0; i < xcrs->nr_xcrs; i++)
		if (xcrs->xcrs[i].xcr == XCR_XFEATURE_ENABLED_MASK)
			return mhv_set_xcr0(vcpu, xcrs->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}

/**
 * mhv_get_debugregs - KVM_GET_DEBUGREGS
 * @vcpu: the vCPU, loaded
 * @dbg: filled
 */
void mhv_get_debugregs(struct mhv_vcpu *vcpu, struct kvm_debugregs *dbg)
{
	mhv_state_need(vcpu, MHV_G_DR);
	memset(dbg, 0, sizeof(*dbg));
	memcpy(dbg->db, vcpu->state.dr, sizeof(dbg->db));
	dbg->dr6 = vcpu->state.dr6;
	dbg->dr7 = vcpu->state.dr7;
}

/**
 * mhv_set_debugregs - KVM_SET_DEBUGREGS
 * @vcpu: the vCPU, loaded
 * @dbg: the values
 *
 * Return: 0, or -EINVAL for flags or values beyond 32 bits in DR6 and DR7.
 */
int mhv_set_debugregs(struct mhv_vcpu *vcpu, const struct kvm_debugregs *dbg)
{
	if (dbg->flags || dbg->dr6 >> 32 || dbg->dr7 >> 32)
		return -EINVAL;
	mhv_state_change(vcpu, MHV_G_DR);
	memcpy(vcpu->state.dr, dbg->db, sizeof(dbg->db));
	vcpu->state.dr6 = dbg->dr6;
	vcpu->state.dr7 = dbg->dr7;
	mhv_dr7_changed(vcpu);
	return 0;
}

/* ---- events ---- */

static bool has_payload_cap(struct mhv_vcpu *vcpu)
{
	return vcpu->vm->caps & BIT(MHV_VMCAP_EXC_PAYLOAD);
}

static bool has_triple_fault_cap(struct mhv_vcpu *vcpu)
{
	return vcpu->vm->caps & BIT(MHV_VMCAP_TRIPLE_FAULT);
}

static void get_exception(struct mhv_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	const struct mhv_event *e = &vcpu->exception;

	if (e->type == MHV_EV_NONE)
		e = &vcpu->reinject;
	/*
	 * A soft exception is left out: the ABI has no instruction length, and
	 * the guest will raise it again, its RIP being still where it was.
	 */
	if (e->type != MHV_EV_EXCEPTION || e->vector == X86_TRAP_BP || e->vector == X86_TRAP_OF)
		return;
	ev->exception.pending = e == &vcpu->exception;
	ev->exception.injected = e == &vcpu->reinject;
	/* Userspace that knows no payload knows no difference either. */
	if (!has_payload_cap(vcpu))
		ev->exception.injected |= ev->exception.pending;
	ev->exception.nr = e->vector;
	ev->exception.has_error_code = e->has_error;
	ev->exception.error_code = e->error;
	ev->exception_has_payload = e->has_payload;
	ev->exception_payload = e->payload;
}

/**
 * mhv_get_vcpu_events - KVM_GET_VCPU_EVENTS
 * @vcpu: the vCPU, loaded
 * @ev: filled
 */
void mhv_get_vcpu_events(struct mhv_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	int vector;

	mhv_state_need(vcpu, MHV_G_INTR);
	memset(ev, 0, sizeof(*ev));
	/* Without the capability userspace would lose CR2 or DR6: write them now. */
	if (!has_payload_cap(vcpu) && vcpu->exception.type)
		mhv_deliver_payload(vcpu, &vcpu->exception);
	get_exception(vcpu, ev);
	vector = injected_interrupt(vcpu);
	if (vector >= 0) {
		ev->interrupt.injected = 1;
		ev->interrupt.nr = vector;
	}
	if (vcpu->state.shadow & MHV_SHADOW_STI)
		ev->interrupt.shadow |= KVM_X86_SHADOW_INT_STI;
	if (vcpu->state.shadow & MHV_SHADOW_MOV_SS)
		ev->interrupt.shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	ev->nmi.injected = vcpu->reinject.type == MHV_EV_NMI;
	ev->nmi.pending = vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued);
	ev->nmi.masked = vcpu->state.nmi_masked;
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (has_payload_cap(vcpu))
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (has_triple_fault_cap(vcpu)) {
		ev->triple_fault.pending = test_bit(MHV_REQ_TRIPLE_FAULT, &vcpu->requests);
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

static bool events_valid(struct mhv_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	bool payload = ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (ev->flags & ~(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			  KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
			  KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT))
		return false;
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && !has_triple_fault_cap(vcpu))
		return false;
	if (payload && !has_payload_cap(vcpu))
		return false;
	if ((ev->exception.injected || (payload && ev->exception.pending)) &&
	    (ev->exception.nr > 31 || ev->exception.nr == X86_TRAP_NMI))
		return false;
	/* There is no system management mode to be in. */
	return !(ev->flags & KVM_VCPUEVENT_VALID_SMM) ||
	       !(ev->smi.smm || ev->smi.pending || ev->smi.smm_inside_nmi ||
		 ev->smi.latched_init);
}

/*
 * An exception, an NMI and an interrupt may all be told to be half delivered,
 * though a CPU delivers one at a time.  The first of them is; the others wait.
 */
static void set_injected(struct mhv_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	vcpu->reinject = (struct mhv_event){};
	vcpu->exception = (struct mhv_event){};
	if (!vcpu->lapic)
		vcpu->extint = -1;

	if (ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD && ev->exception.pending) {
		vcpu->exception = (struct mhv_event){
			.type = MHV_EV_EXCEPTION,
			.vector = ev->exception.nr,
			.has_error = ev->exception.has_error_code,
			.error = ev->exception.error_code,
			.has_payload = ev->exception_has_payload,
			.payload = ev->exception_payload,
		};
	} else if (ev->exception.injected) {
		vcpu->reinject = (struct mhv_event){
			.type = MHV_EV_EXCEPTION,
			.vector = ev->exception.nr,
			.has_error = ev->exception.has_error_code,
			.error = ev->exception.error_code,
		};
	}
	if (ev->nmi.injected) {
		if (vcpu->reinject.type)
			vcpu->nmi_pending = min(vcpu->nmi_pending + 1, 2);
		else
			vcpu->reinject = (struct mhv_event){
				.type = MHV_EV_NMI, .vector = X86_TRAP_NMI };
	}
	if (ev->interrupt.injected && !ev->interrupt.soft) {
		if (vcpu->reinject.type)
			vcpu->extint = ev->interrupt.nr;
		else
			vcpu->reinject = (struct mhv_event){
				.type = MHV_EV_INTR, .vector = ev->interrupt.nr };
	}
}

/* A CPU that tells the two apart has one at a time: that of MOV SS, which holds back more. */
static void set_shadow(struct mhv_vcpu *vcpu, u8 shadow)
{
	struct mhv_state *state = &vcpu->state;

	state->shadow = 0;
	if (mhv_backend->caps.one_shadow && shadow)
		state->shadow = MHV_SHADOW_STI | MHV_SHADOW_MOV_SS;
	else if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		state->shadow = MHV_SHADOW_MOV_SS;
	else if (shadow & KVM_X86_SHADOW_INT_STI)
		state->shadow = MHV_SHADOW_STI;
}

/**
 * mhv_set_vcpu_events - KVM_SET_VCPU_EVENTS
 * @vcpu: the vCPU, loaded
 * @ev: the values
 *
 * Return: 0, or -EINVAL for unknown flags, flags whose capability is not
 * enabled, or an exception that does not exist; nothing is changed then.
 */
int mhv_set_vcpu_events(struct mhv_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	if (!events_valid(vcpu, ev))
		return -EINVAL;
	mhv_state_change(vcpu, MHV_G_INTR);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (ev->triple_fault.pending)
			mhv_request(vcpu, MHV_REQ_TRIPLE_FAULT);
		else
			mhv_take_request(vcpu, MHV_REQ_TRIPLE_FAULT);
	}
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		atomic_set(&vcpu->nmi_queued, 0);
		vcpu->nmi_pending = min_t(u8, ev->nmi.pending, 2);
	}
	set_injected(vcpu, ev);
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		set_shadow(vcpu, ev->interrupt.shadow);
	vcpu->state.nmi_masked = ev->nmi.masked;
	if (ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR && vcpu->lapic)
		mhv_lapic_set_sipi_vector(vcpu, ev->sipi_vector);
	mhv_request(vcpu, MHV_REQ_EVENT);
	return 0;
}

/**
 * mhv_get_mp_state - KVM_GET_MP_STATE
 * @vcpu: the vCPU, loaded
 * @mp: filled, after a pending INIT or SIPI was served: it shows in all state
 *
 * Context: may sleep.
 */
void mhv_get_mp_state(struct mhv_vcpu *vcpu, struct kvm_mp_state *mp)
{
	if (vcpu->lapic)
		mhv_lapic_accept_events(vcpu);
	mp->mp_state = vcpu->mp_state;
	/* It is about to wake, which nothing else of its state says. */
	if ((mp->mp_state == KVM_MP_STATE_HALTED ||
	     mp->mp_state == KVM_MP_STATE_AP_RESET_HOLD) && READ_ONCE(vcpu->pv_unhalted))
		mp->mp_state = KVM_MP_STATE_RUNNABLE;
}

/**
 * mhv_set_mp_state - KVM_SET_MP_STATE
 * @vcpu: the vCPU, loaded
 * @mp: the value
 *
 * Return: 0, or -EINVAL for states that do not exist, or that need a LAPIC in
 * the kernel.
 */
int mhv_set_mp_state(struct mhv_vcpu *vcpu, const struct kvm_mp_state *mp)
{
	switch (mp->mp_state) {
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_AP_RESET_HOLD:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	case KVM_MP_STATE_RUNNABLE:
		break;
	default:
		return -EINVAL;
	}
	if (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		mhv_lapic_queue_sipi(vcpu);
	} else {
		vcpu->mp_state = mp->mp_state;
	}
	mhv_request(vcpu, MHV_REQ_EVENT);
	return 0;
}
