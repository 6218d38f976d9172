// SPDX-License-Identifier: GPL-2.0
/*
 * Segment register loads with their descriptor checks, far transfers, IRET, real-mode INT.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 2 "Segment-Protection Checks", "Control Transfers"; Intel SDM vol. 3 "Protection".
 *
 * Transfers through gates, between privilege levels and between tasks are not executed here.
 */
#include "internal.h"

#define SEL_RPL		3u
#define SEL_TI		4u

/* System descriptor types (attr's type with S clear). */
#define TYPE_LDT	2
#define TYPE_TSS16	1
#define TYPE_TSS	9
#define TSS_BUSY	2

static bool efer_lma(const struct emul_ctx *ctx)
{
	return ctx->efer & 1 << 10;
}

static unsigned int dpl_of(const struct emul_seg *s)
{
	return s->attr >> EMUL_SEG_DPL_SHIFT & 3;
}

static int sel_fault(struct emul_ctx *ctx, u8 vector, u16 sel)
{
	return emul_fault(ctx, vector, sel & ~SEL_RPL);
}

static void unpack(u64 desc, u16 sel, struct emul_seg *s)
{
	s->sel = sel;
	s->base = (desc >> 16 & 0xffffff) | (desc >> 32 & 0xff000000);
	s->limit = (desc & 0xffff) | (desc >> 32 & 0xf0000);
	s->attr = (desc >> 40 & 0xff) | (desc >> 40 & 0xf000);
	if (s->attr & EMUL_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
}

/*
 * Read the descriptor of a selector that is not null; @where is its linear address. A system
 * descriptor in long mode is 16 bytes.
 */
static int read_descriptor(struct emul_ctx *ctx, u16 sel, struct emul_seg *s, u64 *where)
{
	const struct emul_seg *table = emul_seg(ctx, sel & SEL_TI ? EMUL_LDTR : EMUL_GDTR);
	u32 offset = sel & ~7u;
	u64 desc = 0, high = 0;
	int r;

	if (sel & SEL_TI && table->attr & EMUL_SEG_UNUSABLE)
		return sel_fault(ctx, VEC_GP, sel);
	if (offset + 7 > table->limit)
		return sel_fault(ctx, VEC_GP, sel);
	*where = table->base + offset;
	r = emul_read(ctx, *where, &desc, 8, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	unpack(desc, sel, s);
	if (s->attr & EMUL_SEG_S || !efer_lma(ctx))
		return EMUL_OK;
	if (offset + 15 > table->limit)
		return sel_fault(ctx, VEC_GP, sel);
	r = emul_read(ctx, *where + 8, &high, 8, EMUL_ACC_SYSTEM);
	s->base |= high << 32;
	return r;
}

/* Set bits of a descriptor's type, in memory and in the copy. */
static int mark_descriptor(struct emul_ctx *ctx, struct emul_seg *s, u64 where, u32 bits)
{
	u8 type;

	if ((s->attr & bits) == bits)
		return EMUL_OK;
	s->attr |= bits;
	type = s->attr;
	return emul_write(ctx, where + 5, &type, 1, EMUL_ACC_SYSTEM);
}

/* In real and virtual-8086 mode a load sets selector and base; in the former the limit stays. */
static void load_real(struct emul_ctx *ctx, unsigned int sreg, u16 sel)
{
	struct emul_seg s = *emul_seg(ctx, sreg);

	s.sel = sel;
	s.base = (u32)sel << 4;
	if (ctx->mode == EMUL_MODE_VM86) {
		s.limit = 0xffff;
		s.attr = 0xf3;
	}
	emul_seg_update(ctx, sreg, &s);
}

/* A null selector: SS only in 64-bit mode, below CPL 3, with RPL = CPL. */
static int load_null(struct emul_ctx *ctx, unsigned int sreg, u16 sel)
{
	struct emul_seg s = { .sel = sel, .attr = EMUL_SEG_UNUSABLE };

	if (sreg == EMUL_SS) {
		if (ctx->mode != EMUL_MODE_LONG || ctx->cpl == 3 || (sel & SEL_RPL) != ctx->cpl)
			return emul_gp(ctx, 0);
		s.attr |= ctx->cpl << EMUL_SEG_DPL_SHIFT;
	}
	emul_seg_update(ctx, sreg, &s);
	return EMUL_OK;
}

static bool ss_allowed(const struct emul_ctx *ctx, const struct emul_seg *s)
{
	if ((s->attr & (EMUL_SEG_S | EMUL_SEG_CODE | EMUL_SEG_WRITE)) !=
	    (EMUL_SEG_S | EMUL_SEG_WRITE))
		return false;
	return (s->sel & SEL_RPL) == ctx->cpl && dpl_of(s) == ctx->cpl;
}

static bool data_allowed(const struct emul_ctx *ctx, const struct emul_seg *s)
{
	if (!(s->attr & EMUL_SEG_S))
		return false;
	if (s->attr & EMUL_SEG_CODE) {
		if (!(s->attr & EMUL_SEG_WRITE))	/* not readable */
			return false;
		if (s->attr & EMUL_SEG_EXPDOWN)		/* conforming */
			return true;
	}
	return (s->sel & SEL_RPL) <= dpl_of(s) && ctx->cpl <= dpl_of(s);
}

/* Load ES, SS, DS, FS or GS. */
int emul_load_sreg(struct emul_ctx *ctx, unsigned int sreg, u16 sel)
{
	struct emul_seg s;
	u64 where;
	int r;

	if (!emul_protected(ctx)) {
		load_real(ctx, sreg, sel);
		return EMUL_OK;
	}
	if (!(sel & ~SEL_RPL))
		return load_null(ctx, sreg, sel);
	r = read_descriptor(ctx, sel, &s, &where);
	if (r)
		return r;
	if (sreg == EMUL_SS ? !ss_allowed(ctx, &s) : !data_allowed(ctx, &s))
		return sel_fault(ctx, VEC_GP, sel);
	if (!(s.attr & EMUL_SEG_P))
		return sel_fault(ctx, sreg == EMUL_SS ? VEC_SS : VEC_NP, sel);
	r = mark_descriptor(ctx, &s, where, EMUL_SEG_ACCESSED);
	if (!r)
		emul_seg_update(ctx, sreg, &s);
	return r;
}

int em_mov_from_seg(struct emul_ctx *ctx)
{
	ctx->dst.val = emul_seg(ctx, ctx->insn.op->arg)->sel;
	return EMUL_OK;
}

int em_mov_to_seg(struct emul_ctx *ctx)
{
	unsigned int sreg = ctx->insn.op->arg;

	if (sreg == EMUL_SS)
		ctx->shadow = EMUL_SHADOW_MOV_SS;
	return emul_load_sreg(ctx, sreg, ctx->src.val);
}

/* A far pointer in memory: the offset, then the selector. */
static int read_far_ptr(struct emul_ctx *ctx, u64 *offset, u16 *sel)
{
	const struct emul_mem *mem = &ctx->insn.mem;
	unsigned int bytes = ctx->insn.op_bytes;
	u64 ea = emul_effective(ctx, mem), val;
	int r;

	r = emul_read_seg(ctx, mem->seg, ea, offset, bytes, EMUL_ACC_READ);
	if (r)
		return r;
	ea = (ea + bytes) & emul_mask(mem->addr_bytes);
	r = emul_read_seg(ctx, mem->seg, ea, &val, 2, EMUL_ACC_READ);
	*sel = val;
	return r;
}

/* LES, LDS, LSS, LFS, LGS */
int em_load_far_ptr(struct emul_ctx *ctx)
{
	u64 offset;
	u16 sel;
	int r = read_far_ptr(ctx, &offset, &sel);

	if (!r)
		r = emul_load_sreg(ctx, ctx->insn.op->arg, sel);
	if (!r)
		emul_reg_set(ctx, ctx->insn.reg, offset, ctx->insn.op_bytes);
	return r;
}

/* SLDT, STR */
int em_sldt(struct emul_ctx *ctx)
{
	ctx->dst.val = emul_seg(ctx, ctx->insn.op->arg)->sel;
	return EMUL_OK;
}

int em_lldt(struct emul_ctx *ctx)
{
	u16 sel = ctx->src.val;
	struct emul_seg s = { .sel = sel, .attr = EMUL_SEG_UNUSABLE };
	u64 where;
	int r;

	if (sel & ~SEL_RPL) {
		if (sel & SEL_TI)
			return sel_fault(ctx, VEC_GP, sel);
		r = read_descriptor(ctx, sel, &s, &where);
		if (r)
			return r;
		if ((s.attr & (EMUL_SEG_S | EMUL_SEG_TYPE)) != TYPE_LDT)
			return sel_fault(ctx, VEC_GP, sel);
		if (!(s.attr & EMUL_SEG_P))
			return sel_fault(ctx, VEC_NP, sel);
		if (efer_lma(ctx) && !emul_canonical(ctx, s.base))
			return sel_fault(ctx, VEC_GP, sel);
	}
	emul_seg_update(ctx, EMUL_LDTR, &s);
	return EMUL_OK;
}

int em_ltr(struct emul_ctx *ctx)
{
	u16 sel = ctx->src.val;
	struct emul_seg s;
	unsigned int type;
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return emul_gp(ctx, 0);
	if (sel & SEL_TI)
		return sel_fault(ctx, VEC_GP, sel);
	r = read_descriptor(ctx, sel, &s, &where);
	if (r)
		return r;
	type = s.attr & (EMUL_SEG_S | EMUL_SEG_TYPE);
	if (type != TYPE_TSS && (type != TYPE_TSS16 || efer_lma(ctx)))
		return sel_fault(ctx, VEC_GP, sel);
	if (!(s.attr & EMUL_SEG_P))
		return sel_fault(ctx, VEC_NP, sel);
	if (efer_lma(ctx) && !emul_canonical(ctx, s.base))
		return sel_fault(ctx, VEC_GP, sel);
	r = mark_descriptor(ctx, &s, where, TSS_BUSY);
	if (!r)
		emul_seg_update(ctx, EMUL_TR, &s);
	return r;
}

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
		return dpl_of(s) <= (is_return ? rpl : ctx->cpl);
	if (is_return)
		return dpl_of(s) == rpl;
	return dpl_of(s) == ctx->cpl && rpl <= ctx->cpl;
}

static int load_code_segment(struct emul_ctx *ctx, u16 sel, struct emul_seg *s, bool is_return)
{
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return emul_gp(ctx, 0);
	r = read_descriptor(ctx, sel, s, &where);
	if (r)
		return r;
	if (!(s->attr & EMUL_SEG_S))	/* gates and TSSs; on a return it is a fault */
		return is_return ? sel_fault(ctx, VEC_GP, sel) : EMUL_UNHANDLEABLE;
	if (!(s->attr & EMUL_SEG_CODE) || !code_allowed(ctx, s, is_return))
		return sel_fault(ctx, VEC_GP, sel);
	if (efer_lma(ctx) && s->attr & EMUL_SEG_L && s->attr & EMUL_SEG_DB)
		return sel_fault(ctx, VEC_GP, sel);
	if (!(s->attr & EMUL_SEG_P))
		return sel_fault(ctx, VEC_NP, sel);
	s->sel = (sel & ~SEL_RPL) | ctx->cpl;
	return mark_descriptor(ctx, s, where, EMUL_SEG_ACCESSED);
}

/* Go to @sel:@offset. The target is judged by the new segment, which may change the mode. */
static int far_transfer(struct emul_ctx *ctx, u16 sel, u64 offset, bool is_return)
{
	struct emul_seg s;
	int r;

	if (!emul_protected(ctx)) {
		load_real(ctx, EMUL_CS, sel);
		if (ctx->mode == EMUL_MODE_REAL && offset > emul_seg(ctx, EMUL_CS)->limit)
			return emul_gp(ctx, 0);
		ctx->next_rip = offset;
		return EMUL_OK;
	}
	r = load_code_segment(ctx, sel, &s, is_return);
	if (r)
		return r;
	if (efer_lma(ctx) && s.attr & EMUL_SEG_L ? !emul_canonical(ctx, offset) :
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
		return read_far_ptr(ctx, offset, sel);
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
	if (!r)
		r = emul_push(ctx, old_cs, ctx->insn.op_bytes);
	return r ?: emul_push(ctx, ret, ctx->insn.op_bytes);
}

/* RPL of the CS that a return goes to: below CPL a fault, above it another privilege level. */
static int check_return_rpl(struct emul_ctx *ctx, u16 sel)
{
	if (!emul_protected(ctx) || (sel & SEL_RPL) == ctx->cpl)
		return EMUL_OK;
	if ((sel & SEL_RPL) < ctx->cpl)
		return sel_fault(ctx, VEC_GP, sel);
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

/* The flags that IRET may set, with VM, VIF and VIP left alone. */
static u64 iret_mask(const struct emul_ctx *ctx)
{
	unsigned int iopl = (ctx->rflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;
	u64 mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

	if (ctx->insn.op_bytes > 2)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	if (ctx->mode == EMUL_MODE_REAL || ctx->cpl == 0)
		mask |= FLAG_IOPL;
	if (ctx->mode == EMUL_MODE_REAL || ctx->cpl <= iopl)
		mask |= FLAG_IF;
	return mask;
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
	if (emul_protected(ctx) && ctx->rflags & FLAG_NT)
		return efer_lma(ctx) ? emul_gp(ctx, 0) : EMUL_UNHANDLEABLE;
	for (i = 0; i < (to_stack ? 5 : 3) && !r; i++)
		r = emul_peek(ctx, order[i] * bytes, &frame[order[i]], bytes);
	if (r)
		return r;
	if (emul_protected(ctx) && !efer_lma(ctx) && frame[2] & FLAG_VM && ctx->cpl == 0)
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
