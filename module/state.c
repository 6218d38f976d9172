// SPDX-License-Identifier: GPL-2.0
/*
 * Architectural state: what control registers may hold, what setting them
 * entails, and values at reset.
 * Entered from CR, DR and XSETBV exits, MSR rows, the emulator and stateio.c.
 * vcpu->mutex held, the vCPU loaded; vm->srcu is taken below where needed.
 * Intel SDM volume 3, "Control Registers"; AMD APM volume 2, "System Resources".
 */
#include <linux/nospec.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/debugreg.h>
#include <asm/fpu/xstate.h>

#include "minihv.h"
#include "backend.h"

#define CR0_BITS	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET |	\
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD |	\
			 X86_CR0_PG)
/* Changes that make the CPU read the PDPTRs anew, and drop translations. */
#define CR0_PDPTR_BITS	(X86_CR0_CD | X86_CR0_NW | X86_CR0_PG)
#define CR4_PDPTR_BITS	(X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_SMEP)
#define CR4_FLUSH_BITS	(CR4_PDPTR_BITS | X86_CR4_PCIDE | X86_CR4_SMAP)

#define DR6_RESET	0xffff0ff0ul	/* every bit that reads as 1 */
#define DR6_WRITABLE	(DR_TRAP_BITS | DR_STEP | DR_SWITCH | BIT(13))
#define DR6_RTM_BIT	BIT(16)		/* 0: a transaction was aborted */
#define DR7_ONE		BIT(10)
#define DR7_WRITABLE	0xffff2bfful

#define PAT_RESET	0x0007040600070406ull

/**
 * mhv_is_64bit_mode - does the guest execute 64-bit code?
 * @vcpu: the vCPU
 */
bool mhv_is_64bit_mode(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_EFER | MHV_G_CODE);
	return vcpu->state.efer & EFER_LMA && vcpu->state.seg[MHV_CS].attr & MHV_SEG_L;
}

/**
 * mhv_is_pae_paging - does the guest use PAE paging, with its four PDPTRs?
 * @vcpu: the vCPU
 */
bool mhv_is_pae_paging(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_CR | MHV_G_EFER);
	return vcpu->state.cr0 & X86_CR0_PG && vcpu->state.cr4 & X86_CR4_PAE &&
	       !(vcpu->state.efer & EFER_LMA);
}

/**
 * mhv_gpa_illegal - does an address have bits that the guest's CPU lacks?
 * @vcpu: the vCPU
 * @gpa: the address
 */
bool mhv_gpa_illegal(struct mhv_vcpu *vcpu, u64 gpa)
{
	return vcpu->maxphyaddr < 64 && gpa >> vcpu->maxphyaddr;
}

/* ---- control registers ---- */

/**
 * mhv_cr0_valid - may CR0 have this value, whatever the other registers say?
 * @cr0: the value
 */
bool mhv_cr0_valid(u64 cr0)
{
	return !(cr0 >> 32) && !(cr0 & X86_CR0_NW && !(cr0 & X86_CR0_CD)) &&
	       !(cr0 & X86_CR0_PG && !(cr0 & X86_CR0_PE));
}

/**
 * mhv_cr4_valid - may CR4 have this value, whatever the other registers say?
 * @vcpu: the vCPU
 * @cr4: the value
 */
bool mhv_cr4_valid(struct mhv_vcpu *vcpu, u64 cr4)
{
	return !(cr4 & ~vcpu->cr4_allowed);
}

/* Paging is switched on with EFER.LME set: into long mode. */
static bool may_enter_long_mode(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_SEG);
	return vcpu->state.cr4 & X86_CR4_PAE && !(vcpu->state.seg[MHV_CS].attr & MHV_SEG_L);
}

static bool cr0_change_valid(struct mhv_vcpu *vcpu, u64 old, u64 cr0)
{
	const struct mhv_state *state = &vcpu->state;

	if (!(cr0 & X86_CR0_PG))
		return !mhv_is_64bit_mode(vcpu) && !(state->cr4 & X86_CR4_PCIDE);
	if (state->efer & EFER_LME)
		return old & X86_CR0_PG || may_enter_long_mode(vcpu);
	if (state->cr4 & X86_CR4_PAE && (old ^ cr0) & CR0_PDPTR_BITS)
		return !mhv_load_pdptrs(vcpu, state->cr3);
	return true;
}

/**
 * mhv_set_cr0 - MOV to CR0, and what comes of it
 * @vcpu: the vCPU
 * @cr0: the value; reserved bits among the low 32 are ignored
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_cr0(struct mhv_vcpu *vcpu, u64 cr0)
{
	struct mhv_state *state = &vcpu->state;
	u64 old;

	if (!mhv_cr0_valid(cr0))
		return 1;
	mhv_state_change(vcpu, MHV_G_CR | MHV_G_EFER);
	cr0 = (cr0 & CR0_BITS) | X86_CR0_ET;
	old = state->cr0;
	if (!cr0_change_valid(vcpu, old, cr0))
		return 1;

	state->cr0 = cr0;
	if (!((old ^ cr0) & (X86_CR0_PG | X86_CR0_PE)))
		return 0;
	if (!(cr0 & X86_CR0_PG))
		state->efer &= ~(u64)EFER_LMA;
	else if (state->efer & EFER_LME)
		state->efer |= EFER_LMA;
	mhv_backend->flush_tlb(vcpu);
	return 0;
}

/* With PCIDs bit 63 says that no translation need go.  Returns 0, or 1: #GP. */
static int set_cr3(struct mhv_vcpu *vcpu, u64 cr3)
{
	bool keep = false;

	mhv_state_change(vcpu, MHV_G_CR);
	if (vcpu->state.cr4 & X86_CR4_PCIDE) {
		keep = cr3 & X86_CR3_PCID_NOFLUSH;
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	}
	if (mhv_gpa_illegal(vcpu, cr3))
		return 1;
	if (mhv_is_pae_paging(vcpu) && mhv_load_pdptrs(vcpu, cr3))
		return 1;
	vcpu->state.cr3 = cr3;
	if (!keep)
		mhv_backend->flush_tlb(vcpu);
	return 0;
}

static bool cr4_change_valid(struct mhv_vcpu *vcpu, u64 old, u64 cr4)
{
	const struct mhv_state *state = &vcpu->state;

	if (state->efer & EFER_LMA) {
		if (!(cr4 & X86_CR4_PAE))
			return false;
	} else if (state->cr0 & X86_CR0_PG && cr4 & X86_CR4_PAE &&
		   (old ^ cr4) & CR4_PDPTR_BITS && mhv_load_pdptrs(vcpu, state->cr3)) {
		return false;
	}
	/* PCIDs can be switched on in long mode with PCID 0 in use only. */
	return !(cr4 & X86_CR4_PCIDE) || old & X86_CR4_PCIDE ||
	       (state->efer & EFER_LMA && !(state->cr3 & X86_CR3_PCID_MASK) &&
		vcpu->features & MHV_GUEST_PCID);
}

static int set_cr4(struct mhv_vcpu *vcpu, u64 cr4)
{
	u64 old;

	if (!mhv_cr4_valid(vcpu, cr4))
		return 1;
	mhv_state_change(vcpu, MHV_G_CR);
	mhv_state_need(vcpu, MHV_G_EFER);
	old = vcpu->state.cr4;
	if (!cr4_change_valid(vcpu, old, cr4))
		return 1;

	vcpu->state.cr4 = cr4;
	if ((old ^ cr4) & CR4_FLUSH_BITS)
		mhv_backend->flush_tlb(vcpu);
	if ((old ^ cr4) & X86_CR4_OSXSAVE)
		mhv_cpuid_runtime(vcpu);
	return 0;
}

/**
 * mhv_set_cr8 - MOV to CR8: the task priority
 * @vcpu: the vCPU
 * @cr8: the value
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_cr8(struct mhv_vcpu *vcpu, u64 cr8)
{
	if (cr8 & ~(u64)X86_CR8_TPR)
		return 1;
	if (vcpu->lapic) {
		mhv_lapic_set_tpr(vcpu, cr8);
	} else if (vcpu->cr8 != cr8) {
		vcpu->cr8 = cr8;
		mhv_request(vcpu, MHV_REQ_EVENT);	/* to show it to the guest */
	}
	return 0;
}

/**
 * mhv_get_cr8 - the task priority, 0 to 15
 * @vcpu: the vCPU
 */
u64 mhv_get_cr8(struct mhv_vcpu *vcpu)
{
	return vcpu->lapic ? mhv_lapic_get_tpr(vcpu) : vcpu->cr8;
}

/**
 * mhv_set_cr - MOV to a control register, and what comes of it
 * @vcpu: the vCPU
 * @cr: which: 0, 2, 3, 4 or 8
 * @val: the value
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_cr(struct mhv_vcpu *vcpu, unsigned int cr, u64 val)
{
	switch (cr) {
	case 0:
		return mhv_set_cr0(vcpu, val);
	case 2:
		mhv_state_change(vcpu, MHV_G_CR);
		vcpu->state.cr2 = val;
		return 0;
	case 3:
		return set_cr3(vcpu, val);
	case 4:
		return set_cr4(vcpu, val);
	default:
		return mhv_set_cr8(vcpu, val);
	}
}

/**
 * mhv_get_cr - MOV from a control register
 * @vcpu: the vCPU
 * @cr: which: 0, 2, 3, 4 or 8
 */
u64 mhv_get_cr(struct mhv_vcpu *vcpu, unsigned int cr)
{
	mhv_state_need(vcpu, MHV_G_CR);
	switch (cr) {
	case 0:
		return vcpu->state.cr0;
	case 2:
		return vcpu->state.cr2;
	case 3:
		return vcpu->state.cr3;
	case 4:
		return vcpu->state.cr4;
	default:
		return mhv_get_cr8(vcpu);
	}
}

/* EFER bits that the CPU has and a guest can use. */
static u64 efer_bits(void)
{
	u64 bits = EFER_SCE | EFER_LME | EFER_LMA;

	if (boot_cpu_has(X86_FEATURE_NX))
		bits |= EFER_NX;
	if (boot_cpu_has(X86_FEATURE_FXSR_OPT))
		bits |= EFER_FFXSR;
	return bits;
}

static bool efer_guest_valid(struct mhv_vcpu *vcpu, u64 efer)
{
	if (efer & EFER_FFXSR && !(vcpu->features & MHV_GUEST_FXSR_OPT))
		return false;
	if (efer & (EFER_LME | EFER_LMA) && !(vcpu->features & MHV_GUEST_LM))
		return false;
	if (efer & EFER_NX && !(vcpu->features & MHV_GUEST_NX))
		return false;
	return !(vcpu->state.cr0 & X86_CR0_PG) || !((vcpu->state.efer ^ efer) & EFER_LME);
}

/**
 * mhv_set_efer - WRMSR to EFER
 * @vcpu: the vCPU
 * @efer: the value; LMA in it is ignored, it follows LME and CR0.PG
 * @host: for userspace: only bits that the CPU lacks are refused
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_efer(struct mhv_vcpu *vcpu, u64 efer, bool host)
{
	u64 old;

	if (efer & ~efer_bits())
		return 1;
	mhv_state_change(vcpu, MHV_G_EFER);
	mhv_state_need(vcpu, MHV_G_CR);
	if (!host && !efer_guest_valid(vcpu, efer))
		return 1;
	old = vcpu->state.efer;
	efer = (efer & ~(u64)EFER_LMA) | (old & EFER_LMA);
	vcpu->state.efer = efer;
	if ((old ^ efer) & (EFER_NX | EFER_LME))
		mhv_backend->flush_tlb(vcpu);
	return 0;
}

static bool xcr0_valid(struct mhv_vcpu *vcpu, u64 xcr0)
{
	u64 avx512 = xcr0 & XFEATURE_MASK_AVX512;

	/* x87 is always on, even where the guest's CPUID has no XSAVE. */
	if (!(xcr0 & XFEATURE_MASK_FP) ||
	    xcr0 & ~(vcpu->xcr0_supported | XFEATURE_MASK_FP))
		return false;
	if (xcr0 & XFEATURE_MASK_YMM && !(xcr0 & XFEATURE_MASK_SSE))
		return false;
	return !avx512 || (avx512 == XFEATURE_MASK_AVX512 && xcr0 & XFEATURE_MASK_YMM);
}

/**
 * mhv_set_xcr0 - XSETBV of XCR0
 * @vcpu: the vCPU
 * @xcr0: the value
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_xcr0(struct mhv_vcpu *vcpu, u64 xcr0)
{
	u64 old = vcpu->xcr0;

	if (!xcr0_valid(vcpu, xcr0))
		return 1;
	vcpu->xcr0 = xcr0;
	if (old != xcr0)
		mhv_cpuid_runtime(vcpu);
	return 0;
}

/* ---- debug registers ---- */

/**
 * mhv_dr7_changed - DR7, the guest's or the debugger's, is another now
 * @vcpu: the vCPU
 *
 * The debugger's breakpoints hide the guest's own from the CPU.
 */
void mhv_dr7_changed(struct mhv_vcpu *vcpu)
{
	bool user = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;

	vcpu->dr_active = (user ? vcpu->debug_dr7 : vcpu->state.dr7) & 0xff;
}

/**
 * mhv_set_dr - MOV to a debug register
 * @vcpu: the vCPU
 * @n: which; 4 and 5 are 6 and 7 (the caller has seen to CR4.DE)
 * @val: the value
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_dr(struct mhv_vcpu *vcpu, unsigned int n, u64 val)
{
	struct mhv_state *state = &vcpu->state;

	if (n >= 4 && val >> 32)
		return 1;
	mhv_state_change(vcpu, MHV_G_DR);
	switch (n) {
	case 0 ... 3:
		state->dr[array_index_nospec(n, ARRAY_SIZE(state->dr))] = val;
		break;
	case 4:
	case 6:
		state->dr6 = (val & (DR6_WRITABLE | DR6_RTM_BIT)) | (DR6_RESET & ~DR6_RTM_BIT);
		if (!(vcpu->features & MHV_GUEST_RTM))
			state->dr6 |= DR6_RTM_BIT;
		break;
	default:
		state->dr7 = (val & DR7_WRITABLE) | DR7_ONE;
		mhv_dr7_changed(vcpu);
		break;
	}
	return 0;
}

/**
 * mhv_get_dr - MOV from a debug register
 * @vcpu: the vCPU
 * @n: which; 4 and 5 are 6 and 7
 */
u64 mhv_get_dr(struct mhv_vcpu *vcpu, unsigned int n)
{
	mhv_state_need(vcpu, MHV_G_DR);
	switch (n) {
	case 0 ... 3:
		return vcpu->state.dr[array_index_nospec(n, ARRAY_SIZE(vcpu->state.dr))];
	case 4:
	case 6:
		return vcpu->state.dr6;
	default:
		return vcpu->state.dr7;
	}
}

/* ---- the APIC base ---- */

enum apic_mode {
	APIC_OFF	= 0,
	APIC_INVALID	= X2APIC_ENABLE,
	APIC_XAPIC	= MSR_IA32_APICBASE_ENABLE,
	APIC_X2APIC	= MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE,
};

static enum apic_mode apic_mode(u64 base)
{
	return base & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE);
}

/**
 * mhv_set_apic_base - IA32_APIC_BASE is written
 * @vcpu: the vCPU
 * @val: the value
 * @host: by userspace, which may go from any mode to any other
 *
 * Return: 0, or 1: #GP, nothing is changed.
 */
int mhv_set_apic_base(struct mhv_vcpu *vcpu, u64 val, bool host)
{
	u64 old = vcpu->apic_base;

	if (mhv_gpa_illegal(vcpu, val) || val & 0x2ff || apic_mode(val) == APIC_INVALID)
		return 1;
	if (val & X2APIC_ENABLE && !(vcpu->features & MHV_GUEST_X2APIC))
		return 1;
	if (!host && apic_mode(old) == APIC_X2APIC && apic_mode(val) == APIC_XAPIC)
		return 1;
	if (!host && apic_mode(old) == APIC_OFF && apic_mode(val) == APIC_X2APIC)
		return 1;

	vcpu->apic_base = val;
	if (vcpu->lapic)
		mhv_lapic_set_base(vcpu, val, old);
	if ((old ^ val) & MSR_IA32_APICBASE_ENABLE)
		mhv_cpuid_runtime(vcpu);
	return 0;
}

/* ---- reset ---- */

static void reset_segs(struct mhv_state *state)
{
	unsigned int i;

	for (i = 0; i < MHV_NR_SREGS; i++)
		state->seg[i] = (struct mhv_segment){
			.limit = 0xffff,
			.attr = MHV_SEG_P | MHV_SEG_S | 0x2,	/* data, read/write */
		};
	state->seg[MHV_CS].selector = 0xf000;
	state->seg[MHV_CS].base = 0xffff0000;
	state->seg[MHV_CS].attr = MHV_SEG_P | MHV_SEG_S | 0xa;	/* code, readable */
	state->seg[MHV_LDTR].attr = MHV_SEG_P | 0x2;		/* LDT */
	state->seg[MHV_TR].attr = MHV_SEG_P | 0x3;		/* busy 16-bit TSS */
	state->gdt = (struct mhv_dtable){ .limit = 0xffff };
	state->idt = (struct mhv_dtable){ .limit = 0xffff };
}

static void reset_state(struct mhv_vcpu *vcpu, bool init)
{
	const struct kvm_cpuid_entry2 *e = mhv_cpuid_find(vcpu, 1, 0);
	struct mhv_state *state = &vcpu->state;
	/* INIT leaves the caches as they are. */
	u64 cd_nw = init ? state->cr0 & (X86_CR0_CD | X86_CR0_NW) : X86_CR0_CD | X86_CR0_NW;

	memset(state->gpr, 0, sizeof(state->gpr));
	state->gpr[MHV_RDX] = e ? e->eax : 0x600;
	state->rip = 0xfff0;
	state->rflags = X86_EFLAGS_FIXED;
	reset_segs(state);
	state->cr0 = X86_CR0_ET | cd_nw;
	state->cr2 = 0;
	state->cr3 = 0;
	state->cr4 = 0;
	state->efer = 0;
	memset(state->pdptr, 0, sizeof(state->pdptr));
	memset(state->dr, 0, sizeof(state->dr));
	state->dr6 = DR6_RESET;
	state->dr7 = DR7_ONE;
	state->shadow = 0;
	state->nmi_masked = false;
	if (init)
		return;
	state->star = 0;
	state->lstar = 0;
	state->cstar = 0;
	state->sfmask = 0;
	state->kernel_gs_base = 0;
	state->sysenter_cs = 0;
	state->sysenter_esp = 0;
	state->sysenter_eip = 0;
	state->pat = PAT_RESET;
}

/**
 * mhv_vcpu_reset - power-on, or INIT
 * @vcpu: the vCPU, loaded
 * @init: INIT, which leaves MSRs, the FPU, and caching bits alone
 *
 * Context: vcpu->mutex held; may sleep.
 */
void mhv_vcpu_reset(struct mhv_vcpu *vcpu, bool init)
{
	if (init) {
		mhv_state_need(vcpu, MHV_G_ALL);
	} else {
		u64 old = vcpu->apic_base;

		vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE;
		if (vcpu->id == vcpu->vm->boot_cpu_id)
			vcpu->apic_base |= MSR_IA32_APICBASE_BSP;
		if (vcpu->lapic)
			mhv_lapic_set_base(vcpu, vcpu->apic_base, old);
		vcpu->xcr0 = XFEATURE_MASK_FP;
	}
	if (vcpu->lapic)
		mhv_lapic_reset(vcpu, init);

	atomic_set(&vcpu->nmi_queued, 0);
	vcpu->nmi_pending = 0;
	vcpu->extint = -1;
	vcpu->reinject.type = MHV_EV_NONE;
	vcpu->exception.type = MHV_EV_NONE;

	mhv_msr_reset(vcpu, init);
	reset_state(vcpu, init);
	mhv_dr7_changed(vcpu);
	vcpu->avail = MHV_G_ALL;
	vcpu->dirty = MHV_G_ALL;
	mhv_backend->vcpu_reset(vcpu, init);
	mhv_cpuid_runtime(vcpu);
	mhv_backend->flush_tlb(vcpu);
	mhv_request(vcpu, MHV_REQ_EVENT);
}
