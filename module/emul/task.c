// SPDX-License-Identifier: GPL-2.0
/*
 * Task switches: from one TSS to another, of 16 and of 32 bits.
 * Entered through emul_task_switch() from emul/glue.c when the CPU leaves one to us; from
 * transfer.c for an instruction that is executed here.
 * No locks: see emulate.h.
 * Intel SDM vol. 3 "Task Switching"; AMD APM vol. 2 "Hardware Task-State Switch".
 *
 * Up to the first write everything is checked, and a fault is the old task's. From there on
 * nothing is undone: a fault is the new task's, and is delivered when its state is in place.
 */
#include "internal.h"

#define TSS_SIZE	104
#define TSS16_SIZE	44
#define TSS_T		100		/* bit 0: #DB when the task is switched to */
#define TSS_CR3		28
#define DR6_BT		0x8000
#define FLAGS_VALID	0x3f7fd5u	/* of those that a TSS holds */

/* Where a TSS has what is saved and loaded; registers and segments follow in their order. */
struct layout {
	u8 ip;
	u8 flags;
	u8 gpr;
	u8 seg;
	u8 ldt;
	u8 bytes;	/* of a register; a selector always has 2 */
	u8 nr_segs;	/* ES, CS, SS, DS, and in the larger one FS, GS */
	u8 size;
};

static const struct layout layout16 = {
	.ip = 14, .flags = 16, .gpr = 18, .seg = 34, .ldt = 42, .bytes = 2, .nr_segs = 4,
	.size = TSS16_SIZE,
};

static const struct layout layout32 = {
	.ip = 32, .flags = 36, .gpr = 40, .seg = 72, .ldt = 96, .bytes = 4, .nr_segs = 6,
	.size = TSS_SIZE,
};

/* Types 1 and 3 are of 16 bits, 9 and 11 of 32. */
static const struct layout *layout_of(const struct emul_seg *tss)
{
	return tss->attr & EMUL_SEG_CODE ? &layout32 : &layout16;
}

static u32 get(const u8 *tss, unsigned int at, unsigned int bytes)
{
	u32 val = 0;

	memcpy(&val, tss + at, bytes);
	return val;
}

static bool nests(const struct emul_task *task)
{
	return task->reason == EMUL_TASK_CALL || task->reason == EMUL_TASK_GATE;
}

/* Error codes say whether something outside of the program was the cause. */
static int fault(struct emul_ctx *ctx, const struct emul_task *task, u8 vector, u16 sel)
{
	return emul_fault(ctx, vector, (sel & ~SEL_RPL) | task->external);
}

/* The new TSS: its descriptor, and what is in it. */
static int read_new(struct emul_ctx *ctx, const struct emul_task *task, struct emul_seg *s,
		    u64 *where, u8 *tss)
{
	bool is_iret = task->reason == EMUL_TASK_IRET;
	u8 vector = is_iret ? VEC_TS : VEC_GP;
	int r;

	if (!(task->sel & ~SEL_RPL) || task->sel & SEL_TI)
		return fault(ctx, task, vector, task->sel);
	r = emul_read_descriptor(ctx, task->sel, s, where, vector);
	if (r == EMUL_FAULT && ctx->fault.vector != VEC_PF)
		ctx->fault.error_code |= task->external;
	if (r)
		return r;
	if ((s->attr & (EMUL_SEG_S | (EMUL_SEG_TYPE & ~EMUL_SEG_CODE))) !=
	    (TYPE_TSS16 | (is_iret ? TSS_BUSY : 0)))
		return fault(ctx, task, vector, task->sel);
	if (!(s->attr & EMUL_SEG_P))
		return fault(ctx, task, VEC_NP, task->sel);
	if (s->limit < layout_of(s)->size - 1u)
		return fault(ctx, task, VEC_TS, task->sel);
	return emul_read(ctx, s->base, tss, layout_of(s)->size, EMUL_ACC_SYSTEM);
}

static int probe(struct emul_ctx *ctx, u64 linear, unsigned int len)
{
	return ctx->ops->probe_mem(ctx, linear, len, EMUL_ACC_SYSTEM | EMUL_ACC_WRITE);
}

/* The old task's registers, as they are to be in its TSS from @from on; returns the length. */
static unsigned int save_old(struct emul_ctx *ctx, const struct emul_task *task,
			     const struct layout *l, u8 *tss)
{
	u32 flags = ctx->rflags;
	unsigned int i;

	if (task->reason == EMUL_TASK_IRET)
		flags &= ~FLAG_NT;
	memcpy(tss + l->ip, &ctx->next_rip, l->bytes);
	memcpy(tss + l->flags, &flags, l->bytes);
	for (i = 0; i < 8; i++)
		memcpy(tss + l->gpr + i * l->bytes, &ctx->gpr[i], l->bytes);
	for (i = 0; i < l->nr_segs; i++)
		memcpy(tss + l->seg + i * l->bytes, &emul_seg(ctx, i)->sel, 2);
	return l->seg + l->nr_segs * l->bytes - l->ip;
}

/* Linear address of the old TSS's descriptor; false if there is none. */
static bool old_descriptor(struct emul_ctx *ctx, u64 *where)
{
	const struct emul_seg *tr = emul_seg(ctx, EMUL_TR), *gdt = emul_seg(ctx, EMUL_GDTR);

	*where = gdt->base + (tr->sel & ~7u);
	return tr->sel & ~7u && (tr->sel & ~7u) + 7 <= gdt->limit;
}

/* All that is written: first whether it can be, then the writes; the busy bits come last. */
static int write_tables(struct emul_ctx *ctx, const struct emul_task *task,
			const struct emul_seg *new, u64 where)
{
	const struct emul_seg *tr = emul_seg(ctx, EMUL_TR);
	const struct layout *l = layout_of(tr);
	u8 tss[TSS_SIZE], type = new->attr | TSS_BUSY, old_type = tr->attr & ~TSS_BUSY;
	u64 base = tr->base, old_where = 0;
	unsigned int len = l->seg + l->nr_segs * l->bytes - l->ip;
	bool unbusy = !nests(task) && old_descriptor(ctx, &old_where);
	int r;

	if (tr->limit < l->ip + len - 1)
		return fault(ctx, task, VEC_TS, tr->sel);
	r = emul_read(ctx, base + l->ip, tss + l->ip, len, EMUL_ACC_SYSTEM);
	if (!r)
		r = probe(ctx, base + l->ip, len);
	if (!r && nests(task))
		r = probe(ctx, new->base, 2);
	if (!r && unbusy)
		r = probe(ctx, old_where + 5, 1);
	if (!r && task->reason != EMUL_TASK_IRET)
		r = probe(ctx, where + 5, 1);
	if (r)
		return r;

	save_old(ctx, task, l, tss);
	r = emul_write(ctx, base + l->ip, tss + l->ip, len, EMUL_ACC_SYSTEM);
	if (!r && nests(task))
		r = emul_write(ctx, new->base, &tr->sel, 2, EMUL_ACC_SYSTEM);
	if (!r && unbusy)
		r = emul_write(ctx, old_where + 5, &old_type, 1, EMUL_ACC_SYSTEM);
	if (!r && task->reason != EMUL_TASK_IRET)
		r = emul_write(ctx, where + 5, &type, 1, EMUL_ACC_SYSTEM);
	return r;
}

/* Registers and flags; the segment registers get their selectors, and nothing valid behind. */
static void load_registers(struct emul_ctx *ctx, const struct emul_task *task,
			   const struct layout *l, const u8 *tss)
{
	struct emul_seg s = { .attr = EMUL_SEG_UNUSABLE };
	unsigned int i;

	ctx->next_rip = get(tss, l->ip, l->bytes);
	ctx->rflags = (get(tss, l->flags, l->bytes) & FLAGS_VALID) | 2;
	if (nests(task))
		ctx->rflags |= FLAG_NT;
	for (i = 0; i < 8; i++)
		ctx->gpr[i] = get(tss, l->gpr + i * l->bytes, l->bytes);

	ctx->cpl = ctx->rflags & FLAG_VM ? 3 : get(tss, l->seg + EMUL_CS * l->bytes, 2) & SEL_RPL;
	ctx->mode = ctx->rflags & FLAG_VM ? EMUL_MODE_VM86 : EMUL_MODE_PROT32;
	for (i = EMUL_ES; i <= EMUL_GS; i++) {
		/* What the entry checks of a code segment must hold, should it be left so. */
		if (i == EMUL_CS)
			s.attr = (emul_seg(ctx, i)->attr & EMUL_SEG_DB) | EMUL_SEG_P | EMUL_SEG_S |
				 EMUL_SEG_CODE | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED |
				 ctx->cpl << EMUL_SEG_DPL_SHIFT;
		else
			s.attr = EMUL_SEG_UNUSABLE | ctx->cpl << EMUL_SEG_DPL_SHIFT;
		s.limit = i == EMUL_CS ? 0xffff : 0;
		s.sel = i < l->nr_segs ? get(tss, l->seg + i * l->bytes, 2) : 0;
		emul_seg_update(ctx, i, &s);
	}
	s = (struct emul_seg){ .sel = get(tss, l->ldt, 2), .attr = EMUL_SEG_UNUSABLE };
	emul_seg_update(ctx, EMUL_LDTR, &s);
}

static int load_ldt(struct emul_ctx *ctx, const struct emul_task *task)
{
	u16 sel = emul_seg(ctx, EMUL_LDTR)->sel;
	struct emul_seg s;
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return EMUL_OK;
	if (sel & SEL_TI)
		return fault(ctx, task, VEC_TS, sel);
	r = emul_read_descriptor(ctx, sel, &s, &where, VEC_TS);
	if (r)
		return r;
	if ((s.attr & (EMUL_SEG_S | EMUL_SEG_TYPE)) != TYPE_LDT || !(s.attr & EMUL_SEG_P))
		return fault(ctx, task, VEC_TS, sel);
	emul_seg_update(ctx, EMUL_LDTR, &s);
	return EMUL_OK;
}

/* Conforming code may be more privileged than the selector says, other code must be as much. */
static bool cs_allowed(const struct emul_seg *s)
{
	unsigned int rpl = s->sel & SEL_RPL;

	if ((s->attr & (EMUL_SEG_S | EMUL_SEG_CODE)) != (EMUL_SEG_S | EMUL_SEG_CODE))
		return false;
	return s->attr & EMUL_SEG_EXPDOWN ? emul_dpl(s) <= rpl : emul_dpl(s) == rpl;
}

static bool allowed(const struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *s)
{
	switch (sreg) {
	case EMUL_CS:
		return cs_allowed(s);
	case EMUL_SS:
		return emul_ss_allowed(ctx, s);
	default:
		return emul_data_allowed(ctx, s);
	}
}

static int load_seg(struct emul_ctx *ctx, const struct emul_task *task, unsigned int sreg)
{
	u16 sel = emul_seg(ctx, sreg)->sel;
	struct emul_seg s;
	u64 where;
	int r;

	if (!(sel & ~SEL_RPL))
		return sreg == EMUL_CS || sreg == EMUL_SS ? fault(ctx, task, VEC_TS, sel) : EMUL_OK;
	r = emul_read_descriptor(ctx, sel, &s, &where, VEC_TS);
	if (r == EMUL_FAULT && ctx->fault.vector == VEC_TS)
		ctx->fault.error_code |= task->external;
	if (r)
		return r;
	if (!allowed(ctx, sreg, &s))
		return fault(ctx, task, VEC_TS, sel);
	if (!(s.attr & EMUL_SEG_P))
		return fault(ctx, task, sreg == EMUL_SS ? VEC_SS : VEC_NP, sel);
	r = emul_mark_descriptor(ctx, &s, where, EMUL_SEG_ACCESSED);
	if (r)
		return r;
	emul_seg_update(ctx, sreg, &s);
	if (sreg == EMUL_CS)
		ctx->mode = s.attr & EMUL_SEG_DB ? EMUL_MODE_PROT32 : EMUL_MODE_PROT16;
	return EMUL_OK;
}

static int load_segments(struct emul_ctx *ctx, const struct emul_task *task)
{
	static const u8 order[] = { EMUL_CS, EMUL_SS, EMUL_ES, EMUL_DS, EMUL_FS, EMUL_GS };
	unsigned int i;
	int r;

	r = load_ldt(ctx, task);
	for (i = 0; i < sizeof(order) && !r; i++) {
		if (ctx->mode == EMUL_MODE_VM86)
			emul_load_real(ctx, order[i], emul_seg(ctx, order[i])->sel);
		else
			r = load_seg(ctx, task, order[i]);
	}
	return r;
}

/* In the new task: what can fault there, with its T bit's trap as the last. */
static int enter_new(struct emul_ctx *ctx, const struct emul_task *task, const struct layout *l,
		     const u8 *tss)
{
	int r = EMUL_OK;

	if (l == &layout32 && ctx->cr0 >> 31 & 1)
		r = ctx->ops->set_reg(ctx, EMUL_REG_CR, 3, get(tss, TSS_CR3, 4));
	load_registers(ctx, task, l, tss);
	if (!r)
		r = load_segments(ctx, task);
	if (!r && task->has_error)
		r = emul_push(ctx, task->error_code, l->bytes);
	if (!r && l == &layout32 && tss[TSS_T] & 1) {
		r = emul_fault(ctx, VEC_DB, 0);
		ctx->fault.address = DR6_BT;
	}
	return r;
}

/**
 * emul_switch() - switch to another task; ctx->next_rip is where the old one goes on
 * @ctx: context, in protected mode
 * @task: to which, and why
 *
 * Return: EMUL_OK, with ctx->after set if the new task begins with an exception; EMUL_FAULT, the
 * old task's; or what a callback returned.
 */
int emul_switch(struct emul_ctx *ctx, const struct emul_task *task)
{
	struct emul_seg new;
	u8 tss[TSS_SIZE] = { 0 };
	u64 where;
	int r;

	if (emul_lma(ctx))
		return fault(ctx, task, VEC_GP, task->sel);
	r = read_new(ctx, task, &new, &where, tss);
	if (!r)
		r = write_tables(ctx, task, &new, where);
	/* Memory that moves away under our hands, or that is no memory: nothing to go on with. */
	if (r == EMUL_IO_NEEDED)
		return EMUL_UNHANDLEABLE;
	if (r)
		return r;

	ctx->switched = true;
	ctx->iret = task->reason == EMUL_TASK_IRET;
	new.attr |= TSS_BUSY;
	emul_seg_update(ctx, EMUL_TR, &new);
	r = ctx->ops->special(ctx, EMUL_SP_TASK, 0);
	if (!r)
		r = enter_new(ctx, task, layout_of(&new), tss);
	ctx->after = r == EMUL_FAULT;
	return r == EMUL_OK || ctx->after ? EMUL_OK : EMUL_UNHANDLEABLE;
}
