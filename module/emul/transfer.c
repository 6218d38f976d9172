// SPDX-License-Identifier: GPL-2.0
/*
 * Far transfers, also to other tasks; IRET; real-mode INT.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 2 "Control Transfers"; Intel SDM vol. 3 "Protection".
 *
 * Transfers through gates and between privilege levels are not executed here.
 */
#include "internal.h"

/*
 * A code segment for a far jump or call (return: false) or a far return or IRET (true), without
 * a change of privilege.
 *
 *		jump, call			return
 * conforming	DPL <= CPL			DPL <= RPL
 * else		DPL == CPL, RPL <= CPL		DPL == RPL
 */
static bool code_allowed(const struct emul_ctx *ctx, const struct emul_seg *s, bool is_return)
{
	unsigned int rpl = s->sel & SEL_RPL;

	if (s->attr & EMUL_SEG_EXPDOWN)
		return emul_dpl(s) <= (is_return ? rpl : ctx->cpl);
	if (is_return)
		return emul_dpl(s) == rpl;
	return emul_dpl(s) == ctx->cpl && rpl <= ctx->cpl;
}

/*
 * A far jump or call to what is no segment: to another task, by its TSS or through a task gate.
 * Who may is said by what the selector names, not by the TSS behind a gate.
 */
static int system_target(struct emul_ctx *ctx, const struct emul_seg *s)
{
	bool call = ctx->insn.op->exec == em_call_far;
	struct emul_task task = {
		.reason = call ? EMUL_TASK_CALL : EMUL_TASK_JMP,
		.sel = s->sel,
	};
	unsigned int type = s->attr & EMUL_SEG_TYPE;

	if (type == TYPE_CALL_GATE16 || type == TYPE_CALL_GATE)
		return EMUL_UNHANDLEABLE;
	if (emul_lma(ctx) ||
	    (type != TYPE_TSS16 && type != TYPE_TSS && type != TYPE_TASK_GATE) ||
	    emul_dpl(s) < ctx->cpl || emul_dpl(s) < (s->sel & SEL_RPL))
		return emul_sel_fault(ctx, VEC_GP, s->sel);
	if (!(s->attr & EMUL_SEG_P))
		return emul_sel_fault(ctx, VEC_NP, s->sel);
	if (type == TYPE_TASK_GATE)
		task.sel = s->base;
	return emul_switch(ctx, &task);
}

static int load_code_segment(struct emul_ctx *ctx, u16 sel, struct emul_seg *s, bool is_return)
{
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return emul_gp(ctx, 0);
	r = emul_read_descriptor(ctx, sel, s, &where, VEC_GP);
	if (r)
		return r;
	if (!(s->attr & EMUL_SEG_S))	/* gates and TSSs; on a return it is a fault */
		return is_return ? emul_sel_fault(ctx, VEC_GP, sel) : system_target(ctx, s);
	if (!(s->attr & EMUL_SEG_CODE) || !code_allowed(ctx, s, is_return))
		return emul_sel_fault(ctx, VEC_GP, sel);
	if (emul_lma(ctx) && s->attr & EMUL_SEG_L && s->attr & EMUL_SEG_DB)
		return emul_sel_fault(ctx, VEC_GP, sel);
	if (!(s->attr & EMUL_SEG_P))
		return emul_sel_fault(ctx, VEC_NP, sel);
	s->sel = (sel & ~SEL_RPL) | ctx->cpl;
	return emul_mark_descriptor(ctx, s, where, EMUL_SEG_ACCESSED);
}

/* A call's stack is looked at after the segment and before the offset, also by who pushes later. */
static int probe_frame(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	int r;

	if (ctx->insn.op->exec != em_call_far)
		return EMUL_OK;
	r = emul_probe_stack(ctx, bytes, bytes);
	return r ?: emul_probe_stack(ctx, 2 * bytes, bytes);
}

/* Go to @sel:@offset. The target is judged by the new segment, which may change the mode. */
static int far_transfer(struct emul_ctx *ctx, u16 sel, u64 offset, bool is_return)
{
	struct emul_seg s;
	int r;

	if (!emul_protected(ctx)) {
		r = probe_frame(ctx);
		if (r)
			return r;
		emul_load_real(ctx, EMUL_CS, sel);
		if (ctx->mode == EMUL_MODE_REAL && offset > emul_seg(ctx, EMUL_CS)->limit)
			return emul_gp(ctx, 0);
		ctx->next_rip = offset;
		return EMUL_OK;
	}
	r = load_code_segment(ctx, sel, &s, is_return);
	if (!r && !ctx->switched)
		r = probe_frame(ctx);
	if (r || ctx->switched)
		return r;
	if (emul_lma(ctx) && s.attr & EMUL_SEG_L ? !emul_canonical(ctx, offset) :
						   offset > s.limit)
		return emul_gp(ctx, 0);
	emul_seg_update(ctx, EMUL_CS, &s);
	ctx->next_rip = offset;
	return EMUL_OK;
}

/* The far pointer of a jump or call, in the instruction or in memory. */
static int far_target(struct emul_ctx *ctx, u64 *offset, u16 *sel)
{
	if (ctx->insn.has_mem)
		return emul_read_far_ptr(ctx, offset, sel);
	*offset = ctx->insn.imm;
	*sel = ctx->insn.imm2;
	return EMUL_OK;
}

int em_jmp_far(struct emul_ctx *ctx)
{
	u64 offset;
	u16 sel;
	int r = far_target(ctx, &offset, &sel);

	return r ?: far_transfer(ctx, sel, offset, false);
}

int em_call_far(struct emul_ctx *ctx)
{
	u64 offset, ret = ctx->next_rip;
	u16 sel, old_cs = emul_seg(ctx, EMUL_CS)->sel;
	int r = far_target(ctx, &offset, &sel);

	if (!r)
		r = far_transfer(ctx, sel, offset, false);
	if (r || ctx->switched)
		return r;
	r = emul_push(ctx, old_cs, ctx->insn.op_bytes);
	return r ?: emul_push(ctx, ret, ctx->insn.op_bytes);
}

/* RPL of the CS that a return goes to: below CPL a fault, above it another privilege level. */
static int check_return_rpl(struct emul_ctx *ctx, u16 sel)
{
	if (!emul_protected(ctx) || (sel & SEL_RPL) == ctx->cpl)
		return EMUL_OK;
	if ((sel & SEL_RPL) < ctx->cpl)
		return emul_sel_fault(ctx, VEC_GP, sel);
	return EMUL_UNHANDLEABLE;
}

int em_ret_far(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	u64 offset, sel;
	int r;

	r = emul_peek(ctx, bytes, &sel, bytes);
	if (!r)
		r = emul_pop(ctx, &offset, bytes);
	if (!r)
		r = check_return_rpl(ctx, sel);
	if (r)
		return r;
	emul_reg_add(ctx, EMUL_RSP, bytes, emul_stack_bytes(ctx));
	if (ctx->src.kind == OPD_IMM)
		emul_reg_add(ctx, EMUL_RSP, ctx->src.val, emul_stack_bytes(ctx));
	return far_transfer(ctx, sel, offset, true);
}

/* The flags that IRET may set, with VM left alone. */
static u64 iret_mask(const struct emul_ctx *ctx)
{
	u64 mask = emul_popf_mask(ctx);

	if (ctx->insn.op_bytes > 2)
		mask |= FLAG_RF;
	if (ctx->insn.op_bytes > 2 && emul_protected(ctx) && ctx->cpl == 0)
		mask |= FLAG_VIF | FLAG_VIP;
	return mask;
}

/* With NT set the task that was interrupted goes on. */
static int return_to_task(struct emul_ctx *ctx)
{
	struct emul_task task = { .reason = EMUL_TASK_IRET };
	int r;

	if (emul_lma(ctx))
		return emul_gp(ctx, 0);
	r = emul_read(ctx, emul_seg(ctx, EMUL_TR)->base, &task.sel, 2, EMUL_ACC_SYSTEM);
	return r ?: emul_switch(ctx, &task);
}

int em_iret(struct emul_ctx *ctx)
{
	bool to_stack = ctx->mode == EMUL_MODE_LONG;	/* there SS:RSP is popped always */
	u64 frame[5] = { 0 }, mask = iret_mask(ctx);	/* RIP, CS, RFLAGS, RSP, SS */
	static const u8 order[5] = { 2, 1, 0, 3, 4 };	/* in which a processor reads it */
	unsigned int bytes = ctx->insn.op_bytes, i;
	int r = EMUL_OK;

	if (ctx->mode == EMUL_MODE_VM86)
		return EMUL_UNHANDLEABLE;
	ctx->iret = true;
	if (emul_protected(ctx) && ctx->rflags & FLAG_NT)
		return return_to_task(ctx);
	for (i = 0; i < (to_stack ? 5 : 3) && !r; i++)
		r = emul_peek(ctx, order[i] * bytes, &frame[order[i]], bytes);
	if (r)
		return r;
	if (emul_protected(ctx) && !emul_lma(ctx) && frame[2] & FLAG_VM && ctx->cpl == 0)
		return EMUL_UNHANDLEABLE;
	r = check_return_rpl(ctx, frame[1]);
	if (!r)
		r = far_transfer(ctx, frame[1], frame[0], true);
	if (!r && to_stack)
		r = emul_load_sreg(ctx, EMUL_SS, frame[4]);
	if (r)
		return r;
	if (to_stack)
		emul_reg_set(ctx, EMUL_RSP, frame[3], bytes == 2 ? 2 : 8);
	else
		emul_reg_add(ctx, EMUL_RSP, 3 * bytes, emul_stack_bytes(ctx));
	ctx->rflags = (ctx->rflags & ~mask) | (frame[2] & mask);
	return EMUL_OK;
}

/* Through the real-mode vector table. */
static int real_interrupt(struct emul_ctx *ctx, u8 vector)
{
	const struct emul_seg *idt = emul_seg(ctx, EMUL_IDTR);
	u16 old_cs = emul_seg(ctx, EMUL_CS)->sel, entry[2];
	u64 ret = ctx->next_rip;
	int r;

	if (ctx->mode != EMUL_MODE_REAL)
		return EMUL_UNHANDLEABLE;
	if (vector * 4u + 3 > idt->limit)
		return emul_gp(ctx, 0);
	r = emul_read(ctx, (u32)idt->base + vector * 4u, entry, 4, EMUL_ACC_SYSTEM);
	if (!r)
		r = emul_push(ctx, ctx->rflags, 2);
	if (!r)
		r = emul_push(ctx, old_cs, 2);
	if (!r)
		r = emul_push(ctx, ret, 2);
	if (r)
		return r;
	ctx->rflags &= ~(u64)(FLAG_IF | FLAG_TF | FLAG_AC);
	return far_transfer(ctx, entry[1], entry[0], false);
}

/* INT3 and INT n */
int em_int(struct emul_ctx *ctx)
{
	return real_interrupt(ctx, ctx->insn.opcode == 0xcc ? VEC_BP : ctx->insn.imm);
}

int em_into(struct emul_ctx *ctx)
{
	if (!(ctx->rflags & FLAG_OF))
		return EMUL_OK;
	return real_interrupt(ctx, VEC_OF);
}
