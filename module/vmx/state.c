// SPDX-License-Identifier: GPL-2.0
/*
 * State groups between the VMCS's guest-state area and struct mhv_state.
 * Entered from the core through state_load(), and from vmx_run().
 * vcpu->mutex held, the vCPU loaded; no other lock.
 * Intel SDM volume 3, "Guest-State Area" and "Checks on the Guest State Area".
 */
#include <asm/tlbflush.h>

#include "vmx.h"

/*
 * What the guest may change without an exit: no translation and nothing else
 * that we keep account of depends on it.  All other bits exit when they are
 * written, and read as in the shadow.
 */
#define CR0_OWNED	(X86_CR0_MP | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define CR4_OWNED	(X86_CR4_TSD | X86_CR4_DE | X86_CR4_PCE | X86_CR4_PGE | X86_CR4_PVI | \
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE)

/* A single step that is due, of GUEST_PENDING_DBG_EXCEPTIONS. */
#define PENDING_BS	BIT(14)

/* The fields of a segment register: those of ES, and twice its number in VMX's order. */
static const u8 vmx_sreg[MHV_NR_SREGS] = {
	[MHV_ES] = 0, [MHV_CS] = 2, [MHV_SS] = 4, [MHV_DS] = 6, [MHV_FS] = 8, [MHV_GS] = 10,
	[MHV_LDTR] = 12, [MHV_TR] = 14,
};

/* The access rights are a descriptor's, as ours; an unusable register has a bit for it. */
static void load_seg(struct mhv_state *state, enum mhv_sreg n)
{
	struct mhv_segment *seg = &state->seg[n];
	u32 ar = vmcs_read(GUEST_ES_AR_BYTES + vmx_sreg[n]);

	seg->base = vmcs_read(GUEST_ES_BASE + vmx_sreg[n]);
	seg->limit = vmcs_read(GUEST_ES_LIMIT + vmx_sreg[n]);
	seg->selector = vmcs_read(GUEST_ES_SELECTOR + vmx_sreg[n]);
	seg->attr = ar;
	if (ar & VMX_AR_UNUSABLE_MASK)
		seg->attr &= ~MHV_SEG_P;
}

/*
 * The CPU checks attributes that it never looks at otherwise: that a segment
 * in use has been accessed, that G is what the limit needs, that the TSS is
 * busy, and of the kind that the mode wants.
 */
static u32 access_rights(const struct mhv_state *state, enum mhv_sreg n)
{
	const struct mhv_segment *seg = &state->seg[n];
	u32 ar = seg->attr & ~MHV_SEG_G;

	if (!(ar & MHV_SEG_P))
		return ar | VMX_AR_UNUSABLE_MASK;
	if (seg->limit > 0xfffff)
		ar |= MHV_SEG_G;
	if (ar & MHV_SEG_S)
		ar |= VMX_AR_TYPE_ACCESSES_MASK;
	if (n == MHV_TR)
		ar |= state->efer & EFER_LMA ? VMX_AR_TYPE_BUSY_64_TSS : VMX_AR_TYPE_BUSY_16_TSS;
	return ar;
}

static void store_seg(const struct mhv_state *state, enum mhv_sreg n)
{
	const struct mhv_segment *seg = &state->seg[n];

	vmcs_write(GUEST_ES_BASE + vmx_sreg[n], seg->base);
	vmcs_write(GUEST_ES_LIMIT + vmx_sreg[n], seg->limit);
	vmcs_write(GUEST_ES_SELECTOR + vmx_sreg[n], seg->selector);
	vmcs_write(GUEST_ES_AR_BYTES + vmx_sreg[n], access_rights(state, n));
}

static const u8 data_sregs[] = { MHV_ES, MHV_DS, MHV_FS, MHV_GS, MHV_LDTR, MHV_TR };

static void load_data(struct mhv_state *state)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(data_sregs); i++)
		load_seg(state, data_sregs[i]);
}

static void store_data(const struct mhv_state *state)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(data_sregs); i++)
		store_seg(state, data_sregs[i]);
}

static void load_dt(struct mhv_state *state)
{
	state->gdt.base = vmcs_read(GUEST_GDTR_BASE);
	state->gdt.limit = vmcs_read(GUEST_GDTR_LIMIT);
	state->idt.base = vmcs_read(GUEST_IDTR_BASE);
	state->idt.limit = vmcs_read(GUEST_IDTR_LIMIT);
}

static void store_dt(const struct mhv_state *state)
{
	vmcs_write(GUEST_GDTR_BASE, state->gdt.base);
	vmcs_write(GUEST_GDTR_LIMIT, state->gdt.limit);
	vmcs_write(GUEST_IDTR_BASE, state->idt.base);
	vmcs_write(GUEST_IDTR_LIMIT, state->idt.limit);
}

/* The bits that are not the guest's own are as the core set them: writes exit. */
static void load_cr(struct vmx_vcpu *vmx)
{
	struct mhv_state *state = &vmx->vcpu.state;
	u64 cr4_owned = ~vmx->cr4_mask;

	state->cr0 = (state->cr0 & ~(u64)CR0_OWNED) | (vmcs_read(GUEST_CR0) & CR0_OWNED);
	state->cr2 = vmx->cr2;
	state->cr3 = vmcs_read(GUEST_CR3);
	state->cr4 = (state->cr4 & ~cr4_owned) | (vmcs_read(GUEST_CR4) & cr4_owned);
}

/*
 * A CPU without UMIP refuses an entry with CR4.UMIP set.  Where guests have it all the same, all
 * instructions exit that load or store GDTR, IDTR, LDTR or TR, and the emulator minds the bit.
 * SMSW, which UMIP is about as well, has no exit: it reads CR0's shadow at any privilege level.
 * Return: CR4 as the CPU can have it.
 */
static u64 store_umip(struct vmx_vcpu *vmx, u64 cr4)
{
	if (!mhv_backend->caps.umip)
		return cr4;
	vmx_control(vmx, VMX_PROC2, SECONDARY_EXEC_DESC, cr4 & X86_CR4_UMIP);
	return cr4 & ~(u64)X86_CR4_UMIP;
}

/*
 * VMX has CR0.NE and CR4.VMXE set.  An entry leaves CR0.CD and CR0.NW as the
 * host has them, whatever the guest's say.  CR4.MCE is set whenever the host
 * has it: without, a machine check would shut the host down.  The guest sees
 * the shadow.
 */
static void store_cr(struct vmx_vcpu *vmx)
{
	struct mhv_state *state = &vmx->vcpu.state;
	u64 host_mce = cr4_read_shadow() & X86_CR4_MCE;
	u64 mask = ~(u64)(CR4_OWNED & vmx->vcpu.cr4_allowed);

	vmcs_write(GUEST_CR0, state->cr0 | X86_CR0_NE);
	vmcs_write(CR0_READ_SHADOW, state->cr0);
	vmx->cr2 = state->cr2;
	vmcs_write(GUEST_CR3, state->cr3);
	vmcs_write(GUEST_CR4, store_umip(vmx, state->cr4) | X86_CR4_VMXE | host_mce);
	vmcs_write(CR4_READ_SHADOW, state->cr4);
	if (mask != vmx->cr4_mask) {
		vmx->cr4_mask = mask;
		vmcs_write(CR4_GUEST_HOST_MASK, mask);
	}
}

/*
 * The entry control and EFER.LMA must agree, and so must EFER.LME while there
 * is paging.  TR may hold a 16-bit TSS from reset as long mode is entered.
 */
static void store_efer(struct vmx_vcpu *vmx)
{
	const struct mhv_state *state = &vmx->vcpu.state;
	bool lma = state->efer & EFER_LMA;

	vmcs_write(GUEST_IA32_EFER, lma ? state->efer : state->efer & ~(u64)EFER_LME);
	vmx_control(vmx, VMX_ENTRY, VM_ENTRY_IA32E_MODE, lma);
	if (lma)
		vmcs_write(GUEST_TR_AR_BYTES,
			   vmcs_read(GUEST_TR_AR_BYTES) | VMX_AR_TYPE_BUSY_64_TSS);
}

static void load_pdptr(struct mhv_state *state)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(state->pdptr); i++)
		state->pdptr[i] = vmcs_read(GUEST_PDPTR0 + 2 * i);
}

static void store_pdptr(const struct mhv_state *state)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(state->pdptr); i++)
		vmcs_write(GUEST_PDPTR0 + 2 * i, state->pdptr[i]);
}

/* STAR, LSTAR, CSTAR, SFMASK and PAT are as the core set them: writes exit. */
static void load_sysmsrs(struct vmx_vcpu *vmx)
{
	struct mhv_state *state = &vmx->vcpu.state;

	if (vmx->switched)
		rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	state->kernel_gs_base = vmx->kernel_gs_base;
	state->sysenter_cs = vmcs_read(GUEST_SYSENTER_CS);
	state->sysenter_esp = vmcs_read(GUEST_SYSENTER_ESP);
	state->sysenter_eip = vmcs_read(GUEST_SYSENTER_EIP);
}

static void store_sysmsrs(struct vmx_vcpu *vmx)
{
	const struct mhv_state *state = &vmx->vcpu.state;

	vmx->kernel_gs_base = state->kernel_gs_base;
	if (vmx->switched)
		vmx_load_msrs(vmx);
	vmcs_write(GUEST_SYSENTER_CS, state->sysenter_cs);
	vmcs_write(GUEST_SYSENTER_ESP, state->sysenter_esp);
	vmcs_write(GUEST_SYSENTER_EIP, state->sysenter_eip);
	vmcs_write(GUEST_IA32_PAT, state->pat);
}

/* There can be but one kind of shadow, and an STI's only with interrupts on. */
static void store_intr(const struct mhv_state *state)
{
	u32 blocked = 0;

	if (state->shadow & MHV_SHADOW_MOV_SS)
		blocked |= GUEST_INTR_STATE_MOV_SS;
	else if (state->shadow && state->rflags & X86_EFLAGS_IF)
		blocked |= GUEST_INTR_STATE_STI;
	if (state->nmi_masked)
		blocked |= GUEST_INTR_STATE_NMI;
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, blocked);
	if (!state->shadow)
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
}

/**
 * vmx_pending_debug() - make the pending single step what TF and the shadow say
 * @vmx: the vCPU, in an interrupt shadow
 *
 * An instruction under TF is followed by a #DB, which waits while the shadow
 * lasts.  The CPU refuses an entry with both where the step is not pending.
 * STI's shadow lets it come at once, without another instruction: where TF is
 * the debugger's, who wants to be one further, that shadow is over.
 */
void vmx_pending_debug(struct vmx_vcpu *vmx)
{
	u64 pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) & ~(u64)PENDING_BS;

	if (vmx->vcpu.guest_debug & KVM_GUESTDBG_SINGLESTEP &&
	    !(vmx->vcpu.state.shadow & MHV_SHADOW_MOV_SS)) {
		vmx->vcpu.state.shadow = 0;
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~GUEST_INTR_STATE_STI);
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
		return;
	}
	if (vmx->vcpu.state.rflags & X86_EFLAGS_TF)
		pending |= PENDING_BS;
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
}

/**
 * vmx_state_init() - what of the guest's state has no group, at reset
 * @vmx: the vCPU, loaded; all groups are to be stored
 */
void vmx_state_init(struct vmx_vcpu *vmx)
{
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write(CR0_GUEST_HOST_MASK, ~(u64)CR0_OWNED);
	vmx->cr4_mask = 0;	/* what no store_cr() has: written by the first one */
	/* RIP, RSP and RFLAGS are written if they differ from what is there. */
	vmx->rip = ~0ull;
	vmx->rsp = ~0ull;
	vmx->rflags = ~0ull;
}

/**
 * vmx_state_load() - state_load of the ops table
 * @vcpu: the vCPU
 * @groups: groups to copy from the VMCS
 */
void vmx_state_load(struct mhv_vcpu *vcpu, u32 groups)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct mhv_state *state = &vcpu->state;

	if (groups & MHV_G_CODE) {
		load_seg(state, MHV_CS);
		load_seg(state, MHV_SS);
	}
	if (groups & MHV_G_DATA)
		load_data(state);
	if (groups & MHV_G_DT)
		load_dt(state);
	if (groups & MHV_G_CR)
		load_cr(vmx);
	if (groups & MHV_G_PDPTR)
		load_pdptr(state);
	if (groups & MHV_G_SYSMSR)
		load_sysmsrs(vmx);
	/* GPR, RIP_FLAGS and INTR are copied at each exit; the CPU changes no other. */
}

static void store_tsc(struct vmx_vcpu *vmx)
{
	vmcs_write(TSC_OFFSET, vmx->vcpu.state.tsc_offset);
	if (vmx->ctl[VMX_PROC2] & SECONDARY_EXEC_TSC_SCALING)
		vmcs_write(TSC_MULTIPLIER, vmx->vcpu.clock.tsc_ratio ?: BIT_ULL(VMX_TSC_FRAC_BITS));
}

/* The groups that an ordinary exit does not touch. */
static noinline void store_rare(struct mhv_vcpu *vcpu, u32 groups)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct mhv_state *state = &vcpu->state;

	if (groups & MHV_G_CODE) {
		store_seg(state, MHV_CS);
		store_seg(state, MHV_SS);
	}
	if (groups & MHV_G_DATA)
		store_data(state);
	if (groups & MHV_G_DT)
		store_dt(state);
	if (groups & MHV_G_CR)
		store_cr(vmx);
	if (groups & MHV_G_EFER)
		store_efer(vmx);
	if (groups & MHV_G_PDPTR)
		store_pdptr(state);
	if (groups & MHV_G_SYSMSR)
		store_sysmsrs(vmx);
	if (groups & MHV_G_DR) {
		bool user = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;

		vmcs_write(GUEST_DR7, (u32)(user ? vcpu->debug_dr7 : state->dr7));
	}
	if (groups & MHV_G_INTR)
		store_intr(state);
	if (groups & MHV_G_TSC)
		store_tsc(vmx);
}

/**
 * vmx_state_store() - the reverse, before an entry
 * @vcpu: the vCPU
 * @groups: groups to copy to the VMCS
 *
 * Context: interrupts off.
 */
void vmx_state_store(struct mhv_vcpu *vcpu, u32 groups)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	const struct mhv_state *state = &vcpu->state;

	/* Three fields: comparing costs less than a VMWRITE. */
	if (state->rip != vmx->rip) {
		vmx->rip = state->rip;
		vmcs_write(GUEST_RIP, state->rip);
		/* A step over the old instruction: whoever completed that has raised it. */
		if (unlikely(vmx->rflags & X86_EFLAGS_TF))
			vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	}
	if (state->rflags != vmx->rflags) {
		vmx->rflags = state->rflags;
		vmcs_write(GUEST_RFLAGS, state->rflags);
	}
	if (state->gpr[MHV_RSP] != vmx->rsp) {
		vmx->rsp = state->gpr[MHV_RSP];
		vmcs_write(GUEST_RSP, vmx->rsp);
	}
	if (unlikely(groups & ~(MHV_G_GPR | MHV_G_RIP_FLAGS)))
		store_rare(vcpu, groups);
}
