// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptors: segment register loads with their checks, and the instructions that ask about them.
 * Entered from emul_exec() through the opcode rows; from transfer.c and task.c.
 * No locks: see emulate.h.
 * AMD APM vol. 2 "Segment-Protection Checks"; Intel SDM vol. 3 "Protection".
 */
#include "internal.h"

static void unpack(u64 desc, u16 sel, struct emul_seg *s)
{
	s->sel = sel;
	s->base = (desc >> 16 & 0xffffff) | (desc >> 32 & 0xff000000);
	s->limit = (desc & 0xffff) | (desc >> 32 & 0xf0000);
	s->attr = (desc >> 40 & 0xff) | (desc >> 40 & 0xf000);
	if (s->attr & EMUL_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
}

/**
 * emul_read_descriptor() - read a descriptor from its table
 * @ctx: context
 * @sel: its selector, not null
 * @s: result
 * @where: result: its linear address
 * @vector: the fault if the table does not have it: #GP or #TS
 *
 * A system descriptor in long mode is 16 bytes.
 *
 * Return: EMUL_OK, or what a callback returned, or EMUL_FAULT.
 */
int emul_read_descriptor(struct emul_ctx *ctx, u16 sel, struct emul_seg *s, u64 *where, u8 vector)
{
	const struct emul_seg *table = emul_seg(ctx, sel & SEL_TI ? EMUL_LDTR : EMUL_GDTR);
	u32 offset = sel & ~7u;
	u64 desc = 0, high = 0;
	int r;

	if (sel & SEL_TI && table->attr & EMUL_SEG_UNUSABLE)
		return emul_sel_fault(ctx, vector, sel);
	if (offset + 7 > table->limit)
		return emul_sel_fault(ctx, vector, sel);
	*where = table->base + offset;
	r = emul_read(ctx, *where, &desc, 8, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	unpack(desc, sel, s);
	if (s->attr & EMUL_SEG_S || !emul_lma(ctx))
		return EMUL_OK;
	if (offset + 15 > table->limit)
		return emul_sel_fault(ctx, vector, sel);
	r = emul_read(ctx, *where + 8, &high, 8, EMUL_ACC_SYSTEM);
	s->base |= high << 32;
	return r;
}

/**
 * emul_mark_descriptor() - set bits of a descriptor's type, in memory and in the copy
 * @ctx: context
 * @s: the copy
 * @where: linear address of the descriptor
 * @bits: EMUL_SEG_ACCESSED, or TSS_BUSY
 */
int emul_mark_descriptor(struct emul_ctx *ctx, struct emul_seg *s, u64 where, u32 bits)
{
	u8 type;

	if ((s->attr & bits) == bits)
		return EMUL_OK;
	s->attr |= bits;
	type = s->attr;
	return emul_write(ctx, where + 5, &type, 1, EMUL_ACC_SYSTEM);
}

/**
 * emul_load_real() - load a segment register in real or virtual-8086 mode
 * @ctx: context
 * @sreg: which
 * @sel: selector
 *
 * Selector and base are set; in real mode the limit stays.
 */
void emul_load_real(struct emul_ctx *ctx, unsigned int sreg, u16 sel)
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

/**
 * emul_ss_allowed() - may this segment be the stack, at ctx->cpl?
 * @ctx: context
 * @s: the segment
 */
bool emul_ss_allowed(const struct emul_ctx *ctx, const struct emul_seg *s)
{
	if ((s->attr & (EMUL_SEG_S | EMUL_SEG_CODE | EMUL_SEG_WRITE)) !=
	    (EMUL_SEG_S | EMUL_SEG_WRITE))
		return false;
	return (s->sel & SEL_RPL) == ctx->cpl && emul_dpl(s) == ctx->cpl;
}

/**
 * emul_data_allowed() - may this segment be in ES, DS, FS or GS, at ctx->cpl?
 * @ctx: context
 * @s: the segment
 */
bool emul_data_allowed(const struct emul_ctx *ctx, const struct emul_seg *s)
{
	if (!(s->attr & EMUL_SEG_S))
		return false;
	if (s->attr & EMUL_SEG_CODE) {
		if (!(s->attr & EMUL_SEG_WRITE))	/* not readable */
			return false;
		if (s->attr & EMUL_SEG_EXPDOWN)		/* conforming */
			return true;
	}
	return (s->sel & SEL_RPL) <= emul_dpl(s) && ctx->cpl <= emul_dpl(s);
}

/* Load ES, SS, DS, FS or GS. */
int emul_load_sreg(struct emul_ctx *ctx, unsigned int sreg, u16 sel)
{
	struct emul_seg s;
	u64 where;
	int r;

	if (!emul_protected(ctx)) {
		emul_load_real(ctx, sreg, sel);
		return EMUL_OK;
	}
	if (!(sel & ~SEL_RPL))
		return load_null(ctx, sreg, sel);
	r = emul_read_descriptor(ctx, sel, &s, &where, VEC_GP);
	if (r)
		return r;
	if (sreg == EMUL_SS ? !emul_ss_allowed(ctx, &s) : !emul_data_allowed(ctx, &s))
		return emul_sel_fault(ctx, VEC_GP, sel);
	if (!(s.attr & EMUL_SEG_P))
		return emul_sel_fault(ctx, sreg == EMUL_SS ? VEC_SS : VEC_NP, sel);
	r = emul_mark_descriptor(ctx, &s, where, EMUL_SEG_ACCESSED);
	if (!r)
		emul_seg_update(ctx, sreg, &s);
	return r;
}

/* SLDT and STR as well */
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

/**
 * emul_read_far_ptr() - a far pointer in memory: the offset, then the selector
 * @ctx: context
 * @offset: result
 * @sel: result
 *
 * Two operands for the checks, but one access, unless the address wraps between them.
 */
int emul_read_far_ptr(struct emul_ctx *ctx, u64 *offset, u16 *sel)
{
	const struct emul_mem *mem = &ctx->insn.mem;
	unsigned int bytes = ctx->insn.op_bytes;
	u64 ea = emul_effective(ctx, mem), first, second;
	u8 data[10] = { 0 };
	int r;

	r = emul_linear(ctx, mem->seg, ea, bytes, EMUL_ACC_READ, &first);
	ea = (ea + bytes) & emul_mask(mem->addr_bytes);
	if (r)
		return r;
	r = emul_linear(ctx, mem->seg, ea, 2, EMUL_ACC_READ, &second);
	if (r)		/* the offset has been read by then, or that is the fault */
		return emul_read(ctx, first, data, bytes, EMUL_ACC_READ) ?: r;
	if (second == first + bytes) {
		r = emul_read(ctx, first, data, bytes + 2, EMUL_ACC_READ);
	} else {
		r = emul_read(ctx, first, data, bytes, EMUL_ACC_READ);
		if (!r)
			r = emul_read(ctx, second, data + bytes, 2, EMUL_ACC_READ);
	}
	*offset = 0;
	memcpy(offset, data, bytes);
	memcpy(sel, data + bytes, 2);
	return r;
}

/* LES, LDS, LSS, LFS, LGS */
int em_load_far_ptr(struct emul_ctx *ctx)
{
	u64 offset;
	u16 sel;
	int r = emul_read_far_ptr(ctx, &offset, &sel);

	if (!r)
		r = emul_load_sreg(ctx, ctx->insn.op->arg, sel);
	if (!r)
		emul_reg_set(ctx, ctx->insn.reg, offset, ctx->insn.op_bytes);
	return r;
}

/* The descriptor of an LDT or a TSS, of one of @types. */
static int read_system(struct emul_ctx *ctx, u16 sel, u32 types, struct emul_seg *s, u64 *where)
{
	int r;

	if (sel & SEL_TI)
		return emul_sel_fault(ctx, VEC_GP, sel);
	r = emul_read_descriptor(ctx, sel, s, where, VEC_GP);
	if (r)
		return r;
	if (s->attr & EMUL_SEG_S || !(types >> (s->attr & EMUL_SEG_TYPE) & 1))
		return emul_sel_fault(ctx, VEC_GP, sel);
	if (!(s->attr & EMUL_SEG_P))
		return emul_sel_fault(ctx, VEC_NP, sel);
	if (emul_lma(ctx) && !emul_canonical(ctx, s->base))
		return emul_sel_fault(ctx, VEC_GP, sel);
	return EMUL_OK;
}

int em_lldt(struct emul_ctx *ctx)
{
	u16 sel = ctx->src.val;
	struct emul_seg s = { .sel = sel, .attr = EMUL_SEG_UNUSABLE };
	int r = EMUL_OK;
	u64 where;

	if (sel & ~SEL_RPL)
		r = read_system(ctx, sel, 1 << TYPE_LDT, &s, &where);
	if (!r)
		emul_seg_update(ctx, EMUL_LDTR, &s);
	return r;
}

int em_ltr(struct emul_ctx *ctx)
{
	u32 types = 1 << TYPE_TSS | (emul_lma(ctx) ? 0 : 1 << TYPE_TSS16);
	u16 sel = ctx->src.val;
	struct emul_seg s;
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return emul_gp(ctx, 0);
	r = read_system(ctx, sel, types, &s, &where);
	if (!r)
		r = emul_mark_descriptor(ctx, &s, where, TSS_BUSY);
	if (!r)
		emul_seg_update(ctx, EMUL_TR, &s);
	return r;
}

/* The destination need not be writable if nothing is written. */
int em_arpl(struct emul_ctx *ctx)
{
	struct emul_operand *o = &ctx->dst;
	u64 linear;
	int r;

	if ((o->val & SEL_RPL) >= (ctx->src.val & SEL_RPL)) {
		ctx->rflags &= ~(u64)FLAG_ZF;
		return EMUL_OK;
	}
	ctx->rflags |= FLAG_ZF;
	o->val = (o->val & ~(u64)SEL_RPL) | (ctx->src.val & SEL_RPL);
	if (o->kind == OPD_REG) {
		emul_operand_set_reg(ctx, o, o->val);
		return EMUL_OK;
	}
	r = emul_mem_linear(ctx, 2, EMUL_ACC_WRITE, &linear);
	return r ?: emul_write(ctx, linear, &o->val, 2, EMUL_ACC_WRITE);
}

/* The descriptor of a selector that is asked about; that there is none is no fault but *@found. */
static int ask(struct emul_ctx *ctx, struct emul_seg *s, u64 *where, bool *found)
{
	u16 sel = ctx->src.val;
	int r;

	ctx->rflags &= ~(u64)FLAG_ZF;
	*found = false;
	if (!(sel & ~SEL_RPL))
		return EMUL_OK;
	r = emul_read_descriptor(ctx, sel, s, where, VEC_GP);
	if (r == EMUL_FAULT && ctx->fault.vector == VEC_GP)
		return EMUL_OK;
	*found = !r;
	return r;
}

/* Conforming code is for everybody. */
static bool privileged_for(const struct emul_ctx *ctx, const struct emul_seg *s)
{
	u32 conforming = EMUL_SEG_S | EMUL_SEG_CODE | EMUL_SEG_EXPDOWN;

	return (s->attr & conforming) == conforming ||
	       (emul_dpl(s) >= ctx->cpl && emul_dpl(s) >= (s->sel & SEL_RPL));
}

/* VERR, VERW: the row's argument is 1 for the latter */
int em_verr(struct emul_ctx *ctx)
{
	struct emul_seg s;
	u64 where;
	bool found, code;
	int r = ask(ctx, &s, &where, &found);

	if (r || !found || !(s.attr & EMUL_SEG_S))
		return r;
	code = s.attr & EMUL_SEG_CODE;
	if (ctx->insn.op->arg ? code || !(s.attr & EMUL_SEG_WRITE) :
				code && !(s.attr & EMUL_SEG_WRITE))
		return EMUL_OK;
	if (privileged_for(ctx, &s))
		ctx->rflags |= FLAG_ZF;
	return EMUL_OK;
}

/* System descriptors that LAR and LSL know, by type; in long mode there are fewer. */
#define LSL_TYPES	0x0a0eu
#define LAR_TYPES	(LSL_TYPES | 0x1030u)	/* gates for calls and tasks */
#define LONG_TYPES	0x1a04u

/* May LAR or LSL, which know @types, tell of the descriptor?  Then ZF is set. */
static int ask_about(struct emul_ctx *ctx, u32 types, struct emul_seg *s, u64 *where)
{
	bool found;
	int r = ask(ctx, s, where, &found);

	if (emul_lma(ctx))
		types &= LONG_TYPES;
	if (!r && found && (s->attr & EMUL_SEG_S || types >> (s->attr & EMUL_SEG_TYPE) & 1) &&
	    privileged_for(ctx, s))
		ctx->rflags |= FLAG_ZF;
	else
		ctx->dst.kind = OPD_NONE;
	return r;
}

int em_lar(struct emul_ctx *ctx)
{
	struct emul_seg s;
	u64 where;
	u32 high;
	int r = ask_about(ctx, LAR_TYPES, &s, &where);

	if (ctx->rflags & FLAG_ZF) {
		r = emul_read(ctx, where + 4, &high, 4, EMUL_ACC_SYSTEM);
		ctx->dst.val = high & 0xffff00;
	}
	return r;
}

int em_lsl(struct emul_ctx *ctx)
{
	struct emul_seg s;
	u64 where;
	int r = ask_about(ctx, LSL_TYPES, &s, &where);

	if (ctx->rflags & FLAG_ZF)
		ctx->dst.val = s.limit;
	return r;
}
