// SPDX-License-Identifier: GPL-2.0
/*
 * SYSCALL, SYSENTER, SYSEXIT; RDPID.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 2 "Fast System Call and Return"; Intel SDM vol. 3 "Fast System Calls".
 */
#include "internal.h"

#define MSR_STAR	0xc0000081
#define MSR_LSTAR	0xc0000082
#define MSR_CSTAR	0xc0000083
#define MSR_SFMASK	0xc0000084
#define MSR_TSC_AUX	0xc0000103
#define MSR_SYSENTER_CS	0x174
#define MSR_SYSENTER_SP	0x175
#define MSR_SYSENTER_IP	0x176
#define EFER_SCE	1

static int get_msr(struct emul_ctx *ctx, u32 index, u64 *val)
{
	*val = 0;
	return ctx->ops->get_reg(ctx, EMUL_REG_MSR, index, val);
}

/* Flat code and stack of a privilege level; no descriptor is read. */
static void set_flat(struct emul_ctx *ctx, u16 cs, u16 ss, unsigned int cpl, bool is_long)
{
	u32 attr = EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_G | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED |
		   cpl << EMUL_SEG_DPL_SHIFT;
	struct emul_seg s = { .limit = 0xffffffff, .sel = cs | cpl };

	s.attr = attr | EMUL_SEG_CODE | (is_long ? EMUL_SEG_L : EMUL_SEG_DB);
	emul_seg_update(ctx, EMUL_CS, &s);
	s.sel = ss | cpl;
	s.attr = attr | EMUL_SEG_DB;
	emul_seg_update(ctx, EMUL_SS, &s);
}

int em_syscall(struct emul_ctx *ctx)
{
	u64 star, target, mask = FLAG_VM | FLAG_IF;
	bool lma = emul_lma(ctx);
	int r;

	if (!(ctx->efer & EFER_SCE) ||
	    (ctx->mode != EMUL_MODE_LONG && !(ctx->features & EMUL_FEAT_SYSCALL32)))
		return emul_ud(ctx);
	r = get_msr(ctx, MSR_STAR, &star);
	target = (u32)star;
	if (!r && lma) {
		r = get_msr(ctx, ctx->mode == EMUL_MODE_LONG ? MSR_LSTAR : MSR_CSTAR, &target);
		if (!r)
			r = get_msr(ctx, MSR_SFMASK, &mask);
	}
	if (r)
		return r;
	emul_reg_set(ctx, EMUL_RCX, ctx->next_rip, lma ? 8 : 4);
	if (lma)
		ctx->gpr[EMUL_R11] = ctx->rflags;
	ctx->rflags = (ctx->rflags & ~mask) | 2;
	ctx->new_tf = true;	/* a kernel has it in SFMASK, so as not to be stepped through */
	set_flat(ctx, star >> 32 & 0xfffc, (star >> 32 & 0xfffc) + 8, 0, lma);
	ctx->next_rip = target;
	return EMUL_OK;
}

/*
 * SYSENTER and SYSEXIT of AMD's do not exist in long mode; in real mode all are #GP(0), not #UD.
 * So they are with a null selector.
 */
static int sysenter_cs(struct emul_ctx *ctx, u64 *cs)
{
	int r;

	if (emul_lma(ctx) && ctx->features & EMUL_FEAT_SYSCALL32)
		return emul_ud(ctx);
	if (ctx->mode == EMUL_MODE_REAL)
		return emul_gp(ctx, 0);
	r = get_msr(ctx, MSR_SYSENTER_CS, cs);
	*cs &= 0xfffc;
	if (!r && !*cs)
		return emul_gp(ctx, 0);
	return r;
}

int em_sysenter(struct emul_ctx *ctx)
{
	u64 cs, sp, ip;
	int r;

	r = sysenter_cs(ctx, &cs);
	if (!r)
		r = get_msr(ctx, MSR_SYSENTER_SP, &sp);
	if (!r)
		r = get_msr(ctx, MSR_SYSENTER_IP, &ip);
	if (r)
		return r;
	ctx->rflags &= ~(u64)(FLAG_VM | FLAG_IF);
	set_flat(ctx, cs, cs + 8, 0, emul_lma(ctx));
	ctx->next_rip = emul_lma(ctx) ? ip : (u32)ip;
	ctx->gpr[EMUL_RSP] = emul_lma(ctx) ? sp : (u32)sp;
	return EMUL_OK;
}

int em_sysexit(struct emul_ctx *ctx)
{
	bool wide = ctx->insn.op_bytes == 8;
	u64 cs, ip = ctx->gpr[EMUL_RDX], sp = ctx->gpr[EMUL_RCX];
	int r = sysenter_cs(ctx, &cs);

	if (r)
		return r;
	if (wide && !(emul_canonical(ctx, ip) && emul_canonical(ctx, sp)))
		return emul_gp(ctx, 0);
	cs += wide ? 32 : 16;
	set_flat(ctx, cs, cs + 8, 3, wide);
	ctx->next_rip = wide ? ip : (u32)ip;
	ctx->gpr[EMUL_RSP] = wide ? sp : (u32)sp;
	return EMUL_OK;
}

int em_rdpid(struct emul_ctx *ctx)
{
	return get_msr(ctx, MSR_TSC_AUX, &ctx->dst.val);
}
