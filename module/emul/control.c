// SPDX-License-Identifier: GPL-2.0
/*
 * The stack and near control transfers.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 1 "Control Transfer Considerations in 64-Bit Mode"; Intel SDM vol. 1
 * "Procedure Calls, Interrupts, and Exceptions".
 */
#include "internal.h"

/* Width of the stack pointer. */
unsigned int emul_stack_bytes(struct emul_ctx *ctx)
{
	if (ctx->mode == EMUL_MODE_LONG)
		return 8;
	return emul_seg(ctx, EMUL_SS)->attr & EMUL_SEG_DB ? 4 : 2;
}

int emul_push(struct emul_ctx *ctx, u64 val, unsigned int bytes)
{
	unsigned int sb = emul_stack_bytes(ctx);
	u64 sp = (ctx->gpr[EMUL_RSP] - bytes) & emul_mask(sb);
	int r = emul_write_seg(ctx, EMUL_SS, sp, val, bytes);

	if (!r)
		emul_reg_set(ctx, EMUL_RSP, sp, sb);
	return r;
}

/* Read @skip bytes above the stack pointer, which stays. */
int emul_peek(struct emul_ctx *ctx, u64 skip, u64 *val, unsigned int bytes)
{
	u64 sp = (ctx->gpr[EMUL_RSP] + skip) & emul_mask(emul_stack_bytes(ctx));

	return emul_read_seg(ctx, EMUL_SS, sp, val, bytes, EMUL_ACC_READ);
}

int emul_pop(struct emul_ctx *ctx, u64 *val, unsigned int bytes)
{
	int r = emul_peek(ctx, 0, val, bytes);

	if (!r)
		emul_reg_add(ctx, EMUL_RSP, bytes, emul_stack_bytes(ctx));
	return r;
}

/* Could @bytes be written @below the stack pointer? */
int emul_probe_stack(struct emul_ctx *ctx, unsigned int below, unsigned int bytes)
{
	u64 sp = (ctx->gpr[EMUL_RSP] - below) & emul_mask(emul_stack_bytes(ctx)), linear;
	int r = emul_linear(ctx, EMUL_SS, sp, bytes, EMUL_ACC_WRITE, &linear);

	return r ?: ctx->ops->probe_mem(ctx, linear, bytes, EMUL_ACC_WRITE);
}

/* Go on at @target in the present code segment; #GP(0) beyond its limit or not canonical. */
int emul_jump(struct emul_ctx *ctx, u64 target, unsigned int bytes)
{
	target &= emul_mask(bytes);
	if (ctx->mode == EMUL_MODE_LONG) {
		if (!emul_canonical(ctx, target))
			return emul_gp(ctx, 0);
	} else if (target > emul_seg(ctx, EMUL_CS)->limit) {
		return emul_gp(ctx, 0);
	}
	ctx->next_rip = target;
	return EMUL_OK;
}

static int jump_relative(struct emul_ctx *ctx)
{
	return emul_jump(ctx, ctx->next_rip + ctx->insn.imm, ctx->insn.op_bytes);
}

int em_push(struct emul_ctx *ctx)
{
	return emul_push(ctx, ctx->src.val, ctx->insn.op_bytes);
}

int em_pop(struct emul_ctx *ctx)
{
	return emul_pop(ctx, &ctx->dst.val, ctx->insn.op_bytes);
}

/* An address that uses RSP uses the one after the pop. */
int em_pop_mem(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	u64 val, linear;
	int r;

	r = emul_pop(ctx, &val, bytes);
	if (!r)
		r = emul_mem_linear(ctx, bytes, EMUL_ACC_WRITE, &linear);
	return r ?: emul_write(ctx, linear, &val, bytes, EMUL_ACC_WRITE);
}

int em_push_seg(struct emul_ctx *ctx)
{
	return emul_push(ctx, emul_seg(ctx, ctx->insn.op->arg)->sel, ctx->insn.op_bytes);
}

int em_pop_seg(struct emul_ctx *ctx)
{
	unsigned int sreg = ctx->insn.op->arg;
	u64 sel;
	int r;

	/* The stack pointer's width is the old SS's, so it moves first. */
	r = emul_pop(ctx, &sel, ctx->insn.op_bytes);
	if (r)
		return r;
	if (sreg == EMUL_SS)
		ctx->shadow = EMUL_SHADOW_MOV_SS;
	return emul_load_sreg(ctx, sreg, sel);
}

int em_pusha(struct emul_ctx *ctx)
{
	u64 sp = ctx->gpr[EMUL_RSP];
	unsigned int reg;
	int r = EMUL_OK;

	for (reg = EMUL_RAX; reg <= EMUL_RDI && !r; reg++)
		r = emul_push(ctx, reg == EMUL_RSP ? sp : ctx->gpr[reg], ctx->insn.op_bytes);
	return r;
}

int em_popa(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	u64 val;
	int reg, r;

	for (reg = EMUL_RDI; reg >= EMUL_RAX; reg--) {
		r = emul_pop(ctx, &val, bytes);
		if (r)
			return r;
		if (reg != EMUL_RSP)
			emul_reg_set(ctx, reg, val, bytes);
	}
	return EMUL_OK;
}

/* Virtual-8086 mode with IOPL below 3: VME lets the 16-bit forms through, with VIF for IF. */
static bool vm86_virtual(const struct emul_ctx *ctx)
{
	return ctx->mode == EMUL_MODE_VM86 && (ctx->rflags & FLAG_IOPL) != FLAG_IOPL;
}

static bool vme_refuses(const struct emul_ctx *ctx)
{
	return !(ctx->cr4 & EMUL_CR4_VME) || ctx->insn.op_bytes != 2;
}

int em_pushf(struct emul_ctx *ctx)
{
	u64 flags = ctx->rflags & ~(u64)(FLAG_VM | FLAG_RF);

	if (vm86_virtual(ctx)) {
		if (vme_refuses(ctx))
			return emul_gp(ctx, 0);
		flags &= ~(u64)FLAG_IF;
		flags |= FLAG_IOPL | (ctx->rflags & FLAG_VIF ? FLAG_IF : 0);
	}
	return emul_push(ctx, flags, ctx->insn.op_bytes);
}

/*
 * The flags that POPF may set, and IRET (APM vol. 3 "POPF"):
 *
 * mode			IF		IOPL
 * real, CPL 0		yes		yes
 * CPL <= IOPL		yes		no
 * VM86, IOPL 3		yes		no
 * else			no		no
 */
u64 emul_popf_mask(const struct emul_ctx *ctx)
{
	unsigned int iopl = (ctx->rflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

	if (ctx->insn.op_bytes > 2)
		mask |= FLAG_AC | FLAG_ID;
	if (ctx->mode == EMUL_MODE_REAL)
		return mask | FLAG_IF | FLAG_IOPL;
	if (ctx->mode == EMUL_MODE_VM86)
		return mask | (iopl == 3 ? FLAG_IF : 0);
	if (ctx->cpl == 0)
		mask |= FLAG_IOPL;
	if (ctx->cpl <= iopl)
		mask |= FLAG_IF;
	return mask;
}

int em_popf(struct emul_ctx *ctx)
{
	u64 mask = emul_popf_mask(ctx), val;
	int r;

	if (vm86_virtual(ctx) && vme_refuses(ctx))
		return emul_gp(ctx, 0);
	r = emul_pop(ctx, &val, ctx->insn.op_bytes);
	if (r)
		return r;
	if (vm86_virtual(ctx)) {
		if (val & FLAG_TF || (val & FLAG_IF && ctx->rflags & FLAG_VIP))
			return emul_gp(ctx, 0);
		mask |= FLAG_VIF;
		val = (val & ~(u64)FLAG_VIF) | (val & FLAG_IF ? FLAG_VIF : 0);
	}
	ctx->rflags = (ctx->rflags & ~mask) | (val & mask);
	return EMUL_OK;
}

/* The enclosing frames' pointers, for a nesting level above 1. */
static int copy_frames(struct emul_ctx *ctx, unsigned int level)
{
	unsigned int bytes = ctx->insn.op_bytes, sb = emul_stack_bytes(ctx), i;
	u64 bp = ctx->gpr[EMUL_RBP], val;
	int r = EMUL_OK;

	for (i = 1; i < level && !r; i++) {
		bp -= bytes;
		r = emul_read_seg(ctx, EMUL_SS, bp & emul_mask(sb), &val, bytes, EMUL_ACC_READ);
		if (!r)
			r = emul_push(ctx, val, bytes);
	}
	return r;
}

int em_enter(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes, sb = emul_stack_bytes(ctx);
	unsigned int level = ctx->insn.imm2 & 31;
	u64 frame;
	int r;

	r = emul_push(ctx, ctx->gpr[EMUL_RBP], bytes);
	if (r)
		return r;
	frame = ctx->gpr[EMUL_RSP];
	if (level) {
		r = copy_frames(ctx, level);
		if (!r)
			r = emul_push(ctx, frame, bytes);
		if (r)
			return r;
	}
	emul_reg_set(ctx, EMUL_RBP, frame, bytes);
	emul_reg_add(ctx, EMUL_RSP, -(s64)ctx->insn.imm, sb);
	/* The new top of the stack must be writable already now. */
	return emul_probe_stack(ctx, 0, bytes);
}

int em_leave(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	u64 val;
	int r;

	emul_reg_set(ctx, EMUL_RSP, ctx->gpr[EMUL_RBP], emul_stack_bytes(ctx));
	r = emul_pop(ctx, &val, bytes);
	if (!r)
		emul_reg_set(ctx, EMUL_RBP, val, bytes);
	return r;
}

int em_jcc(struct emul_ctx *ctx)
{
	if (!emul_cond(ctx->rflags, ctx->insn.opcode))
		return EMUL_OK;
	return jump_relative(ctx);
}

int em_jmp_rel(struct emul_ctx *ctx)
{
	return jump_relative(ctx);
}

/* The stack is checked, then the target, and only then is the stack written. */
static int call_near(struct emul_ctx *ctx, u64 target)
{
	unsigned int bytes = ctx->insn.op_bytes;
	u64 ret = ctx->next_rip;
	int r = emul_probe_stack(ctx, bytes, bytes);

	if (!r)
		r = emul_jump(ctx, target, bytes);
	return r ?: emul_push(ctx, ret, bytes);
}

int em_call_rel(struct emul_ctx *ctx)
{
	return call_near(ctx, ctx->next_rip + ctx->insn.imm);
}

int em_jmp_ind(struct emul_ctx *ctx)
{
	return emul_jump(ctx, ctx->src.val, ctx->insn.op_bytes);
}

int em_call_ind(struct emul_ctx *ctx)
{
	return call_near(ctx, ctx->src.val);
}

int em_ret(struct emul_ctx *ctx)
{
	u64 target;
	int r = emul_pop(ctx, &target, ctx->insn.op_bytes);

	if (r)
		return r;
	if (ctx->src.kind == OPD_IMM)
		emul_reg_add(ctx, EMUL_RSP, ctx->src.val, emul_stack_bytes(ctx));
	return emul_jump(ctx, target, ctx->insn.op_bytes);
}

/* LOOPNE, LOOPE, LOOP: E0h, E1h, E2h */
int em_loop(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.addr_bytes;
	bool zf = ctx->rflags & FLAG_ZF;

	emul_reg_add(ctx, EMUL_RCX, -1, bytes);
	if (!emul_reg_get(ctx, EMUL_RCX, bytes))
		return EMUL_OK;
	if (ctx->insn.opcode != 0xe2 && zf != (ctx->insn.opcode & 1))
		return EMUL_OK;
	return jump_relative(ctx);
}

int em_jcxz(struct emul_ctx *ctx)
{
	if (emul_reg_get(ctx, EMUL_RCX, ctx->insn.addr_bytes))
		return EMUL_OK;
	return jump_relative(ctx);
}
