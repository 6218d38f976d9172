// SPDX-License-Identifier: GPL-2.0
/*
 * MMX, SSE and AVX moves. The data passes as bytes: no FPU instruction is used here.
 * Entered from emul_exec() through the opcode rows, which have checked CR0, CR4, XCR0.
 * No locks: see emulate.h.
 * AMD APM vol. 4 "128-Bit and 256-Bit Media and Scientific Instructions"; vol. 5 "64-Bit Media".
 */
#include "internal.h"

static bool is_vex(const struct emul_ctx *ctx)
{
	return ctx->insn.enc == EMUL_ENC_VEX;
}

static enum emul_fpu_kind kind_of(const struct emul_ctx *ctx)
{
	return is_vex(ctx) ? EMUL_FPU_AVX : EMUL_FPU_SSE;
}

static unsigned int vector_bytes(const struct emul_ctx *ctx)
{
	return ctx->insn.vlen ?: 16;
}

/* Size of the memory operand: the row's, or the whole vector. */
static unsigned int move_bytes(const struct emul_ctx *ctx)
{
	return ctx->insn.op->arg ?: vector_bytes(ctx);
}

/* Alignment, where the row demands it, comes before every other check of the address. */
static int operand_linear(struct emul_ctx *ctx, unsigned int len, unsigned int access, u64 *linear)
{
	if (ctx->insn.op->flags & F_ALIGN) {
		emul_mem_linear(ctx, 0, access, linear);
		if (*linear & (len - 1))
			return emul_gp(ctx, 0);
	}
	return emul_mem_linear(ctx, len, access, linear);
}

/* 256-bit VMOVNTDQA is the one load here that came with AVX2. */
static bool lacks_avx2(const struct emul_ctx *ctx)
{
	return ctx->insn.map == EMUL_MAP_0F38 && ctx->insn.vlen == 32 &&
	       !(ctx->features & EMUL_FEAT_AVX2);
}

/* MOVAPS, MOVUPS, MOVDQA, MOVSS, ... to a register: what memory does not give is zero. */
int em_simd_load(struct emul_ctx *ctx)
{
	unsigned int bytes = move_bytes(ctx), vlen = vector_bytes(ctx);
	u8 data[32] = { 0 };
	u64 linear;
	int r;

	if (lacks_avx2(ctx))
		return emul_ud(ctx);
	if (!ctx->insn.has_mem) {
		/* Scalars between registers merge, and MOVQ does not: not for memory, not here. */
		if (ctx->insn.op->arg)
			return EMUL_UNHANDLEABLE;
		r = ctx->ops->read_fpu(ctx, kind_of(ctx), ctx->insn.rm, data, vlen);
	} else {
		r = operand_linear(ctx, bytes, EMUL_ACC_READ, &linear);
		if (!r)
			r = emul_read(ctx, linear, data, bytes, EMUL_ACC_READ);
		if (ctx->insn.op->arg)
			vlen = 16;
	}
	return r ?: ctx->ops->write_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, vlen);
}

int em_simd_store(struct emul_ctx *ctx)
{
	unsigned int bytes = move_bytes(ctx), vlen = vector_bytes(ctx);
	u8 data[32];
	u64 linear;
	int r;

	if (!ctx->insn.has_mem && ctx->insn.op->arg)
		return EMUL_UNHANDLEABLE;
	r = ctx->ops->read_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, vlen);
	if (r)
		return r;
	if (!ctx->insn.has_mem)
		return ctx->ops->write_fpu(ctx, kind_of(ctx), ctx->insn.rm, data, vlen);
	r = operand_linear(ctx, bytes, EMUL_ACC_WRITE, &linear);
	return r ?: emul_write(ctx, linear, data, bytes, EMUL_ACC_WRITE);
}

/* MOVLPS, MOVHPS and kin: 8 bytes into one half; the other is the register's, or vvvv's. */
int em_simd_half_load(struct emul_ctx *ctx)
{
	unsigned int other = is_vex(ctx) ? ctx->insn.vvvv : ctx->insn.reg;
	u8 data[16];
	u64 linear;
	int r;

	if (!ctx->insn.has_mem)
		return EMUL_UNHANDLEABLE;
	r = emul_mem_linear(ctx, 8, EMUL_ACC_READ, &linear);
	if (!r)
		r = ctx->ops->read_fpu(ctx, kind_of(ctx), other, data, 16);
	if (!r)
		r = emul_read(ctx, linear, data + ctx->insn.op->arg, 8, EMUL_ACC_READ);
	return r ?: ctx->ops->write_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, 16);
}

int em_simd_half_store(struct emul_ctx *ctx)
{
	u8 data[16];
	u64 linear;
	int r;

	r = emul_mem_linear(ctx, 8, EMUL_ACC_WRITE, &linear);
	if (!r)
		r = ctx->ops->read_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, 16);
	return r ?: emul_write(ctx, linear, data + ctx->insn.op->arg, 8, EMUL_ACC_WRITE);
}

/* MOVD, MOVQ between a general register or memory and the low end of a vector register. */
int em_simd_from_gpr(struct emul_ctx *ctx)
{
	u8 data[16] = { 0 };

	memcpy(data, &ctx->src.val, ctx->src.bytes);
	return ctx->ops->write_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, 16);
}

int em_simd_to_gpr(struct emul_ctx *ctx)
{
	u8 data[16];
	int r = ctx->ops->read_fpu(ctx, kind_of(ctx), ctx->insn.reg, data, 16);

	if (!r)
		memcpy(&ctx->dst.val, data, ctx->dst.bytes);
	return r;
}

/* The MMX registers are eight, whatever REX says. */

int em_mmx_load(struct emul_ctx *ctx)
{
	u64 linear, val = 0;
	int r;

	if (ctx->insn.has_mem) {
		r = emul_mem_linear(ctx, 8, EMUL_ACC_READ, &linear);
		if (!r)
			r = emul_read(ctx, linear, &val, 8, EMUL_ACC_READ);
	} else {
		r = ctx->ops->read_fpu(ctx, EMUL_FPU_MMX, ctx->insn.rm & 7, &val, 8);
	}
	return r ?: ctx->ops->write_fpu(ctx, EMUL_FPU_MMX, ctx->insn.reg & 7, &val, 8);
}

int em_mmx_store(struct emul_ctx *ctx)
{
	u64 linear, val = 0;
	int r;

	r = ctx->ops->read_fpu(ctx, EMUL_FPU_MMX, ctx->insn.reg & 7, &val, 8);
	if (r)
		return r;
	if (!ctx->insn.has_mem)
		return ctx->ops->write_fpu(ctx, EMUL_FPU_MMX, ctx->insn.rm & 7, &val, 8);
	r = emul_mem_linear(ctx, 8, EMUL_ACC_WRITE, &linear);
	return r ?: emul_write(ctx, linear, &val, 8, EMUL_ACC_WRITE);
}

int em_mmx_from_gpr(struct emul_ctx *ctx)
{
	return ctx->ops->write_fpu(ctx, EMUL_FPU_MMX, ctx->insn.reg & 7, &ctx->src.val, 8);
}

int em_mmx_to_gpr(struct emul_ctx *ctx)
{
	return ctx->ops->read_fpu(ctx, EMUL_FPU_MMX, ctx->insn.reg & 7, &ctx->dst.val, 8);
}
