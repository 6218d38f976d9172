// SPDX-License-Identifier: GPL-2.0
/*
 * What the FPUs have beside data: control and status words, MXCSR, FXSAVE's image.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 5 "x87 Floating-Point Instruction Reference"; vol. 4 "FXSAVE and FXRSTOR".
 */
#include "internal.h"

#define EFER_FFXSR	0x4000	/* XMM registers stay out of it at CPL 0 */
#define MXCSR_AT	24	/* in the image */
#define MXCSR_MASK_AT	28
#define MXCSR_MASK	0xffbf	/* if the image says none */

/* x87 instructions are #NM under either bit; WAIT only where CR0.MP says so. */
static int check_x87(struct emul_ctx *ctx)
{
	return ctx->cr0 & (EMUL_CR0_EM | EMUL_CR0_TS) ? emul_fault(ctx, VEC_NM, 0) : EMUL_OK;
}

int em_fwait(struct emul_ctx *ctx)
{
	if ((ctx->cr0 & (EMUL_CR0_MP | EMUL_CR0_TS)) == (EMUL_CR0_MP | EMUL_CR0_TS))
		return emul_fault(ctx, VEC_NM, 0);
	return ctx->ops->special(ctx, EMUL_SP_FWAIT, 0);
}

int em_fninit(struct emul_ctx *ctx)
{
	int r = check_x87(ctx);

	return r ?: ctx->ops->special(ctx, EMUL_SP_FNINIT, 0);
}

/* FNSTCW, FNSTSW: the row's argument is which */
int em_fnst(struct emul_ctx *ctx)
{
	u16 word = 0;
	int r = check_x87(ctx);

	if (!r)
		r = ctx->ops->read_fpu(ctx, EMUL_FPU_CONTROL, ctx->insn.op->arg, &word, 2);
	ctx->dst.val = word;
	return r;
}

/* Unlike those that store it waits for exceptions, before it looks at memory. */
int em_fldcw(struct emul_ctx *ctx)
{
	u64 linear;
	u16 word;
	int r = check_x87(ctx);

	if (!r)
		r = ctx->ops->special(ctx, EMUL_SP_FWAIT, 0);
	if (!r)
		r = emul_mem_linear(ctx, sizeof(word), EMUL_ACC_READ, &linear);
	if (!r)
		r = emul_read(ctx, linear, &word, sizeof(word), EMUL_ACC_READ);
	return r ?: ctx->ops->write_fpu(ctx, EMUL_FPU_CONTROL, EMUL_CTL_CW, &word, sizeof(word));
}

int em_stmxcsr(struct emul_ctx *ctx)
{
	u32 mxcsr = 0;
	int r = ctx->ops->read_fpu(ctx, EMUL_FPU_CONTROL, EMUL_CTL_MXCSR, &mxcsr, 4);

	ctx->dst.val = mxcsr;
	return r;
}

static bool mxcsr_valid(u32 mxcsr, const u8 *image)
{
	u32 mask;

	memcpy(&mask, image + MXCSR_MASK_AT, 4);
	return !(mxcsr & ~(mask ?: MXCSR_MASK));
}

int em_ldmxcsr(struct emul_ctx *ctx)
{
	u8 image[EMUL_FXSAVE];
	u32 mxcsr = ctx->src.val;
	int r = ctx->ops->read_fpu(ctx, EMUL_FPU_IMAGE, 0, image, sizeof(image));

	if (r)
		return r;
	if (!mxcsr_valid(mxcsr, image))
		return emul_gp(ctx, 0);
	return ctx->ops->write_fpu(ctx, EMUL_FPU_CONTROL, EMUL_CTL_MXCSR, &mxcsr, 4);
}

/* How much of the image there is: no SSE without CR4.OSFXSR, 8 registers outside 64-bit mode. */
static unsigned int image_size(const struct emul_ctx *ctx)
{
	if (!(ctx->cr4 & EMUL_CR4_OSFXSR))
		return 160;
	if (ctx->efer & EFER_FFXSR && ctx->mode == EMUL_MODE_LONG && !ctx->cpl)
		return 160;
	return ctx->mode == EMUL_MODE_LONG ? 416 : 288;
}

/*
 * Its address: segment and canonical form first, then alignment: of 4 bytes, if
 * it is checked, #AC; else of 16, #GP.
 */
static int image_linear(struct emul_ctx *ctx, unsigned int access, u64 *linear)
{
	int r = check_x87(ctx);

	if (r)
		return r;
	r = emul_mem_linear(ctx, EMUL_FXSAVE, access, linear);
	if (!r)
		r = emul_mem_linear(ctx, 4, access, linear);
	if (r)
		return r;
	return *linear & 15 ? emul_gp(ctx, 0) : EMUL_OK;
}

int em_fxsave(struct emul_ctx *ctx)
{
	bool wide = ctx->insn.op_bytes == 8;
	u8 image[EMUL_FXSAVE];
	u64 linear;
	int r = image_linear(ctx, EMUL_ACC_WRITE, &linear);

	if (!r)
		r = ctx->ops->read_fpu(ctx, EMUL_FPU_IMAGE, wide, image, sizeof(image));
	return r ?: emul_write(ctx, linear, image, image_size(ctx), EMUL_ACC_WRITE);
}

int em_fxrstor(struct emul_ctx *ctx)
{
	bool wide = ctx->insn.op_bytes == 8;
	u8 image[EMUL_FXSAVE], now[EMUL_FXSAVE];
	u32 mxcsr;
	u64 linear;
	int r = image_linear(ctx, EMUL_ACC_READ, &linear);

	if (!r)
		r = ctx->ops->read_fpu(ctx, EMUL_FPU_IMAGE, wide, now, sizeof(now));
	if (r)
		return r;
	memcpy(image, now, sizeof(image));
	r = emul_read(ctx, linear, image, image_size(ctx), EMUL_ACC_READ);
	if (r)
		return r;
	if (!(ctx->cr4 & EMUL_CR4_OSFXSR))
		memcpy(image + MXCSR_AT, now + MXCSR_AT, 8);
	memcpy(&mxcsr, image + MXCSR_AT, 4);
	if (!mxcsr_valid(mxcsr, now))
		return emul_gp(ctx, 0);
	return ctx->ops->write_fpu(ctx, EMUL_FPU_IMAGE, wide, image, sizeof(image));
}
