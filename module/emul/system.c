// SPDX-License-Identifier: GPL-2.0
/*
 * System instructions: control, debug and model-specific registers, descriptor tables, and
 * those that the caller does itself (CPUID, HLT, ...).
 * Entered from emul_exec() through the opcode rows, after the CPL check.
 * No locks: see emulate.h.
 * AMD APM vol. 3 "System Instruction Reference"; Intel SDM vol. 3 "System Instructions".
 */
#include "internal.h"

#define MSR_KERNEL_GS	0xc0000102

static u64 edx_eax(const struct emul_ctx *ctx)
{
	return emul_reg_get(ctx, EMUL_RDX, 4) << 32 | emul_reg_get(ctx, EMUL_RAX, 4);
}

static void set_edx_eax(struct emul_ctx *ctx, u64 val)
{
	emul_reg_set(ctx, EMUL_RDX, val >> 32, 4);
	emul_reg_set(ctx, EMUL_RAX, val, 4);
}

/* The row's argument says which: CPUID, HLT, PAUSE, INVD, WBINVD, MWAIT, VMMCALL, VMCALL. */
int em_special(struct emul_ctx *ctx)
{
	return ctx->ops->special(ctx, ctx->insn.op->arg, 0);
}

/* RDTSC, RDTSCP */
int em_rdtsc(struct emul_ctx *ctx)
{
	if (ctx->cpl && ctx->cr4 & EMUL_CR4_TSD)
		return emul_gp(ctx, 0);
	return em_special(ctx);
}

int em_rdpmc(struct emul_ctx *ctx)
{
	if (ctx->cpl && !(ctx->cr4 & EMUL_CR4_PCE))
		return emul_gp(ctx, 0);
	return ctx->ops->special(ctx, EMUL_SP_RDPMC, 0);
}

int em_rdmsr(struct emul_ctx *ctx)
{
	u64 val = 0;
	int r = ctx->ops->get_reg(ctx, EMUL_REG_MSR, emul_reg_get(ctx, EMUL_RCX, 4), &val);

	if (!r)
		set_edx_eax(ctx, val);
	return r;
}

int em_wrmsr(struct emul_ctx *ctx)
{
	return ctx->ops->set_reg(ctx, EMUL_REG_MSR, emul_reg_get(ctx, EMUL_RCX, 4), edx_eax(ctx));
}

/* No such register comes before no such privilege. */
static int check_cr(struct emul_ctx *ctx)
{
	const u32 existing = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8;

	if (!(existing & 1 << ctx->insn.reg))
		return emul_ud(ctx);
	return ctx->cpl ? emul_gp(ctx, 0) : EMUL_OK;
}

int em_mov_from_cr(struct emul_ctx *ctx)
{
	int r = check_cr(ctx);

	return r ?: ctx->ops->get_reg(ctx, EMUL_REG_CR, ctx->insn.reg, &ctx->dst.val);
}

int em_mov_to_cr(struct emul_ctx *ctx)
{
	int r = check_cr(ctx);

	return r ?: ctx->ops->set_reg(ctx, EMUL_REG_CR, ctx->insn.reg, ctx->src.val);
}

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE; DR7.GD makes any access #DB. */
static int debug_register(struct emul_ctx *ctx, u32 *index)
{
	u64 dr7;
	int r;

	*index = ctx->insn.reg;
	if (*index > 7)
		return emul_ud(ctx);
	if (*index == 4 || *index == 5) {
		if (ctx->cr4 & EMUL_CR4_DE)
			return emul_ud(ctx);
		*index += 2;
	}
	if (ctx->cpl)
		return emul_gp(ctx, 0);
	r = ctx->ops->get_reg(ctx, EMUL_REG_DR, 7, &dr7);
	if (r)
		return r;
	if (dr7 & DR7_GD) {
		emul_fault(ctx, VEC_DB, 0);
		ctx->fault.address = DR6_BD;
		return EMUL_FAULT;
	}
	return EMUL_OK;
}

int em_mov_from_dr(struct emul_ctx *ctx)
{
	u32 index;
	int r = debug_register(ctx, &index);

	return r ?: ctx->ops->get_reg(ctx, EMUL_REG_DR, index, &ctx->dst.val);
}

int em_mov_to_dr(struct emul_ctx *ctx)
{
	u32 index;
	int r = debug_register(ctx, &index);

	if (r)
		return r;
	if (index >= 6 && ctx->src.val >> 32)
		return emul_gp(ctx, 0);
	return ctx->ops->set_reg(ctx, EMUL_REG_DR, index, ctx->src.val);
}

int em_clts(struct emul_ctx *ctx)
{
	return ctx->ops->set_reg(ctx, EMUL_REG_CR, 0, ctx->cr0 & ~(u64)EMUL_CR0_TS);
}

int em_smsw(struct emul_ctx *ctx)
{
	ctx->dst.val = ctx->cr0;
	return EMUL_OK;
}

/* LMSW loads PE, MP, EM, TS; it can set PE, not clear it. */
int em_lmsw(struct emul_ctx *ctx)
{
	u64 cr0 = (ctx->cr0 & ~0xeull) | (ctx->src.val & 0xf);

	return ctx->ops->set_reg(ctx, EMUL_REG_CR, 0, cr0);
}

static unsigned int table_base_bytes(const struct emul_ctx *ctx)
{
	return ctx->mode == EMUL_MODE_LONG ? 8 : 4;
}

/* LGDT, LIDT. With a 16-bit operand the base has 24 bits. */
int em_lgdt(struct emul_ctx *ctx)
{
	unsigned int base_bytes = table_base_bytes(ctx);
	struct emul_seg s = { 0 };
	u64 linear;
	u8 data[10];
	int r;

	r = emul_mem_linear(ctx, 2 + base_bytes, EMUL_ACC_READ, &linear);
	if (!r)
		r = emul_read(ctx, linear, data, 2 + base_bytes, EMUL_ACC_READ);
	if (r)
		return r;
	s.limit = data[0] | data[1] << 8;
	memcpy(&s.base, data + 2, base_bytes);
	if (ctx->mode != EMUL_MODE_LONG && ctx->insn.op_bytes == 2)
		s.base &= 0xffffff;
	if (ctx->mode == EMUL_MODE_LONG && !emul_canonical(ctx, s.base))
		return emul_gp(ctx, 0);
	emul_seg_update(ctx, ctx->insn.op->arg, &s);
	return EMUL_OK;
}

/* SGDT, SIDT. All of the base is stored whatever the operand size, as today's processors do. */
int em_sgdt(struct emul_ctx *ctx)
{
	const struct emul_seg *s = emul_seg(ctx, ctx->insn.op->arg);
	unsigned int base_bytes = table_base_bytes(ctx);
	u64 linear;
	u8 data[10];
	int r;

	data[0] = s->limit;
	data[1] = s->limit >> 8;
	memcpy(data + 2, &s->base, base_bytes);
	r = emul_mem_linear(ctx, 2 + base_bytes, EMUL_ACC_WRITE, &linear);
	return r ?: emul_write(ctx, linear, data, 2 + base_bytes, EMUL_ACC_WRITE);
}

/* No segment or canonical check: a bad address is a no-op. */
int em_invlpg(struct emul_ctx *ctx)
{
	u64 linear;
	int r = emul_mem_linear(ctx, 0, EMUL_ACC_READ, &linear);

	return r ?: ctx->ops->special(ctx, EMUL_SP_INVLPG, linear);
}

int em_xgetbv(struct emul_ctx *ctx)
{
	u64 val = 0;
	int r;

	if (!(ctx->cr4 & EMUL_CR4_OSXSAVE))
		return emul_ud(ctx);
	r = ctx->ops->get_reg(ctx, EMUL_REG_XCR, emul_reg_get(ctx, EMUL_RCX, 4), &val);
	if (!r)
		set_edx_eax(ctx, val);
	return r;
}

/* The missing instruction comes before the missing privilege, so the row has no F_PRIV. */
int em_xsetbv(struct emul_ctx *ctx)
{
	if (!(ctx->cr4 & EMUL_CR4_OSXSAVE))
		return emul_ud(ctx);
	if (ctx->cpl)
		return emul_gp(ctx, 0);
	return ctx->ops->special(ctx, EMUL_SP_XSETBV, 0);
}

/* MONITOR and MWAIT: above CPL 0 they do not exist (MSR HWCR's MonMwaitUserEn is not modelled). */
int em_monitor(struct emul_ctx *ctx)
{
	unsigned int seg = ctx->insn.seg_override == EMUL_NO_SEG ? EMUL_DS : ctx->insn.seg_override;
	u64 linear;
	int r;

	if (ctx->cpl)
		return emul_ud(ctx);
	if (emul_reg_get(ctx, EMUL_RCX, 4))
		return emul_gp(ctx, 0);
	r = emul_linear(ctx, seg, emul_reg_get(ctx, EMUL_RAX, ctx->insn.addr_bytes), 1,
			EMUL_ACC_READ, &linear);
	return r ?: ctx->ops->special(ctx, EMUL_SP_MONITOR, linear);
}

int em_mwait(struct emul_ctx *ctx)
{
	return ctx->cpl ? emul_ud(ctx) : ctx->ops->special(ctx, EMUL_SP_MWAIT, 0);
}

int em_swapgs(struct emul_ctx *ctx)
{
	struct emul_seg gs = *emul_seg(ctx, EMUL_GS);
	u64 base = gs.base;
	int r;

	r = ctx->ops->get_reg(ctx, EMUL_REG_MSR, MSR_KERNEL_GS, &gs.base);
	if (!r)
		r = ctx->ops->set_reg(ctx, EMUL_REG_MSR, MSR_KERNEL_GS, base);
	if (!r)
		emul_seg_update(ctx, EMUL_GS, &gs);
	return r;
}

/* CLAC CAh, STAC CBh; at CPL above 0 they do not exist. */
int em_clac_stac(struct emul_ctx *ctx)
{
	if (ctx->cpl)
		return emul_ud(ctx);
	ctx->rflags &= ~(u64)FLAG_AC;
	if (ctx->insn.modrm & 1)
		ctx->rflags |= FLAG_AC;
	return EMUL_OK;
}
