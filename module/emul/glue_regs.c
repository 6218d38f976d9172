// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's callbacks on registers, and instructions with an effect of their own.
 * Entered from emul_exec(), through the table in glue.c.
 * vcpu->mutex and vm->srcu held.
 * AMD APM volume 2, "System Resources"; volume 3, "System Instruction Reference".
 */
#include "glue.h"

#define DR7_LOCAL	0x155	/* L0 to L3, LE */

/* ---- registers ---- */

static const u8 to_sreg[] = {
	[EMUL_ES] = MHV_ES, [EMUL_CS] = MHV_CS, [EMUL_SS] = MHV_SS, [EMUL_DS] = MHV_DS,
	[EMUL_FS] = MHV_FS, [EMUL_GS] = MHV_GS, [EMUL_LDTR] = MHV_LDTR, [EMUL_TR] = MHV_TR,
};

void glue_get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	struct mhv_vcpu *vcpu = to_vcpu(ctx);
	const struct mhv_segment *s;

	mhv_state_need(vcpu, MHV_G_SEG | MHV_G_DT);
	if (sreg == EMUL_GDTR || sreg == EMUL_IDTR) {
		const struct mhv_dtable *dt = sreg == EMUL_GDTR ? &vcpu->state.gdt :
								  &vcpu->state.idt;
		*seg = (struct emul_seg){ .base = dt->base, .limit = dt->limit };
		return;
	}
	s = &vcpu->state.seg[to_sreg[sreg]];
	seg->base = s->base;
	seg->limit = s->limit;
	seg->sel = s->selector;
	seg->attr = s->attr;
	if (!(s->attr & MHV_SEG_P))
		seg->attr |= EMUL_SEG_UNUSABLE;
}

void glue_set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	struct mhv_vcpu *vcpu = to_vcpu(ctx);
	struct mhv_segment *s;

	mhv_state_change(vcpu, MHV_G_SEG | MHV_G_DT);
	if (sreg == EMUL_GDTR || sreg == EMUL_IDTR) {
		struct mhv_dtable *dt = sreg == EMUL_GDTR ? &vcpu->state.gdt :
							    &vcpu->state.idt;
		dt->base = seg->base;
		dt->limit = seg->limit;
		return;
	}
	s = &vcpu->state.seg[to_sreg[sreg]];
	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->sel;
	s->attr = seg->attr;
	if (seg->attr & EMUL_SEG_UNUSABLE)
		s->attr &= ~(u16)MHV_SEG_P;
}

int glue_get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;

	switch (class) {
	case EMUL_REG_CR:
		*value = mhv_get_cr(vcpu, index);
		return EMUL_OK;
	case EMUL_REG_DR:
		if (!mhv_dr_access(vcpu, &index)) {
			e->queued = true;
			return EMUL_FAULT;
		}
		*value = mhv_get_dr(vcpu, index);
		return EMUL_OK;
	case EMUL_REG_MSR:
		if (!mhv_msr_get(vcpu, index, value, false))
			return EMUL_OK;
		break;
	case EMUL_REG_XCR:
		if (!index) {
			*value = vcpu->xcr0;
			return EMUL_OK;
		}
		break;
	}
	return emul_fault(ctx, X86_TRAP_GP, 0);
}

int glue_set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;
	int r = 1;

	switch (class) {
	case EMUL_REG_CR:
		r = mhv_set_cr(vcpu, index, value);
		break;
	case EMUL_REG_DR:
		if (!mhv_dr_access(vcpu, &index)) {
			e->queued = true;
			return EMUL_FAULT;
		}
		r = mhv_set_dr(vcpu, index, value);
		break;
	case EMUL_REG_MSR:
		r = mhv_msr_set(vcpu, index, value, false);
		break;
	case EMUL_REG_XCR:
		r = index || mhv_set_xcr0(vcpu, value);
		break;
	}
	return r ? emul_fault(ctx, X86_TRAP_GP, 0) : EMUL_OK;
}

/* ---- instructions with an effect of their own ---- */

static int sp_cpuid(struct emul_ctx *ctx)
{
	u32 eax = ctx->gpr[EMUL_RAX], ecx = ctx->gpr[EMUL_RCX], ebx, edx;

	mhv_cpuid(to_vcpu(ctx), &eax, &ebx, &ecx, &edx);
	ctx->gpr[EMUL_RAX] = eax;
	ctx->gpr[EMUL_RBX] = ebx;
	ctx->gpr[EMUL_RCX] = ecx;
	ctx->gpr[EMUL_RDX] = edx;
	return EMUL_OK;
}

static int sp_rdtsc(struct emul_ctx *ctx, bool aux)
{
	u64 tsc = mhv_guest_tsc(to_vcpu(ctx), rdtsc());

	ctx->gpr[EMUL_RAX] = (u32)tsc;
	ctx->gpr[EMUL_RDX] = tsc >> 32;
	if (aux)
		ctx->gpr[EMUL_RCX] = (u32)to_vcpu(ctx)->tsc_aux;
	return EMUL_OK;
}

static int sp_xsetbv(struct emul_ctx *ctx)
{
	u64 val = (u32)ctx->gpr[EMUL_RAX] | ctx->gpr[EMUL_RDX] << 32;

	return glue_set_reg(ctx, EMUL_REG_XCR, ctx->gpr[EMUL_RCX], val);
}

static int sp_task(struct emul_ctx *ctx)
{
	struct mhv_vcpu *vcpu = to_vcpu(ctx);

	if (mhv_set_cr0(vcpu, vcpu->state.cr0 | X86_CR0_TS))
		return EMUL_UNHANDLEABLE;
	mhv_state_need(vcpu, MHV_G_DR);
	if (vcpu->state.dr7 & DR7_LOCAL) {
		mhv_state_change(vcpu, MHV_G_DR);
		vcpu->state.dr7 &= ~(u64)DR7_LOCAL;
		mhv_dr7_changed(vcpu);
	}
	return EMUL_OK;
}

int glue_special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	struct mhv_emul *e = ctx->priv;

	switch (what) {
	case EMUL_SP_CPUID:
		return sp_cpuid(ctx);
	case EMUL_SP_RDTSC:
	case EMUL_SP_RDTSCP:
		return sp_rdtsc(ctx, what == EMUL_SP_RDTSCP);
	case EMUL_SP_RDPMC:
		return emul_fault(ctx, X86_TRAP_GP, 0);	/* no counter is offered */
	case EMUL_SP_HLT:
		e->halt = true;
		return EMUL_OK;
	case EMUL_SP_VMMCALL:
	case EMUL_SP_VMCALL:
		e->hypercall = true;
		return EMUL_OK;
	case EMUL_SP_XSETBV:
		return sp_xsetbv(ctx);
	case EMUL_SP_INVLPG:
		mhv_backend->flush_tlb(e->vcpu);
		return EMUL_OK;
	case EMUL_SP_FWAIT:
	case EMUL_SP_FNINIT:
		return glue_x87(ctx, what == EMUL_SP_FNINIT);
	case EMUL_SP_TASK:
		return sp_task(ctx);
	case EMUL_SP_PAUSE:
	case EMUL_SP_INVD:
	case EMUL_SP_WBINVD:
	case EMUL_SP_MONITOR:
	case EMUL_SP_MWAIT:
		return EMUL_OK;
	}
	return EMUL_UNHANDLEABLE;
}
