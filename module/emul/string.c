// SPDX-License-Identifier: GPL-2.0
/*
 * String instructions, with and without REP.
 * Entered from emul_exec() through the opcode rows.
 * No locks: see emulate.h.
 * AMD APM vol. 3 "Repeat Prefixes"; Intel SDM vol. 2 "REP/REPE/REPZ/REPNE/REPNZ".
 *
 * One call makes a bounded number of iterations. What is done is kept: a fault or a need for
 * userspace at a later iteration ends the call with ctx->more, and the guest comes back to it.
 */
#include "internal.h"

static unsigned int element_bytes(const struct emul_ctx *ctx)
{
	return ctx->insn.opcode & 1 ? ctx->insn.op_bytes : 1;
}

static unsigned int source_seg(const struct emul_ctx *ctx)
{
	return ctx->insn.seg_override == EMUL_NO_SEG ? EMUL_DS : ctx->insn.seg_override;
}

static u64 offset_of(const struct emul_ctx *ctx, unsigned int reg)
{
	return emul_reg_get(ctx, reg, ctx->insn.addr_bytes);
}

static void advance(struct emul_ctx *ctx, unsigned int reg, unsigned int bytes)
{
	s64 delta = ctx->rflags & FLAG_DF ? -(s64)bytes : (s64)bytes;

	emul_reg_add(ctx, reg, delta, ctx->insn.addr_bytes);
}

/* One iteration each; on anything but EMUL_OK no register has changed. */

static int movs_one(struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);
	u64 val;
	int r;

	r = emul_read_seg(ctx, source_seg(ctx), offset_of(ctx, EMUL_RSI), &val, bytes,
			  EMUL_ACC_READ);
	if (!r)
		r = emul_write_seg(ctx, EMUL_ES, offset_of(ctx, EMUL_RDI), val, bytes);
	if (r)
		return r;
	advance(ctx, EMUL_RSI, bytes);
	advance(ctx, EMUL_RDI, bytes);
	return EMUL_OK;
}

static int stos_one(struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);
	int r = emul_write_seg(ctx, EMUL_ES, offset_of(ctx, EMUL_RDI), ctx->gpr[EMUL_RAX], bytes);

	if (!r)
		advance(ctx, EMUL_RDI, bytes);
	return r;
}

static int lods_one(struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);
	u64 val;
	int r = emul_read_seg(ctx, source_seg(ctx), offset_of(ctx, EMUL_RSI), &val, bytes,
			      EMUL_ACC_READ);

	if (r)
		return r;
	emul_reg_set(ctx, EMUL_RAX, val, bytes);
	advance(ctx, EMUL_RSI, bytes);
	return EMUL_OK;
}

static int cmps_one(struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);
	u64 a, b;
	int r;

	r = emul_read_seg(ctx, source_seg(ctx), offset_of(ctx, EMUL_RSI), &a, bytes,
			  EMUL_ACC_READ);
	if (!r)
		r = emul_read_seg(ctx, EMUL_ES, offset_of(ctx, EMUL_RDI), &b, bytes,
				  EMUL_ACC_READ);
	if (r)
		return r;
	emul_cmp_flags(ctx, a, b, bytes);
	advance(ctx, EMUL_RSI, bytes);
	advance(ctx, EMUL_RDI, bytes);
	return EMUL_OK;
}

static int scas_one(struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);
	u64 val;
	int r = emul_read_seg(ctx, EMUL_ES, offset_of(ctx, EMUL_RDI), &val, bytes, EMUL_ACC_READ);

	if (r)
		return r;
	emul_cmp_flags(ctx, emul_reg_get(ctx, EMUL_RAX, bytes), val, bytes);
	advance(ctx, EMUL_RDI, bytes);
	return EMUL_OK;
}

/*
 * MOVS, CMPS, STOS, LODS, SCAS.  Before the last iteration the flags stay what
 * they were: a fault in one of the next finds them so.
 */
int em_string(struct emul_ctx *ctx)
{
	static int (*const elements[8])(struct emul_ctx *ctx) = {
		[2] = movs_one, cmps_one, [5] = stos_one, lods_one, scas_one,
	};
	unsigned int which = ctx->insn.opcode >> 1 & 7, i;
	bool compares = (which & 3) == 3, while_zf = ctx->insn.rep == 0xf3;
	u64 rflags = ctx->rflags;
	int r;

	if (!ctx->insn.rep)
		return elements[which](ctx);
	if (!offset_of(ctx, EMUL_RCX))
		return EMUL_OK;
	for (i = 0; i < EMUL_REP_BUDGET && !ctx->stop; i++) {
		r = elements[which](ctx);
		if (r && i == 0)
			return r;
		if (r)
			break;
		emul_reg_add(ctx, EMUL_RCX, -1, ctx->insn.addr_bytes);
		if (!offset_of(ctx, EMUL_RCX))
			return EMUL_OK;
		if (compares && while_zf != !!(ctx->rflags & FLAG_ZF))
			return EMUL_OK;
	}
	ctx->rflags = rflags;
	ctx->more = true;
	return EMUL_OK;
}

/*
 * How many elements of INS or OUTS go in one callback: up to the end of the page, EMUL_PIO_BATCH
 * bytes, RCX, and the wrap of the offset. Downwards it is one at a time.
 */
static u64 batch(const struct emul_ctx *ctx, u64 offset, u64 linear, unsigned int bytes)
{
	u64 wrap = (emul_mask(ctx->insn.addr_bytes) - offset) / bytes;
	u64 page = (4096 - (linear & 4095)) / bytes;
	u64 n = EMUL_PIO_BATCH / bytes;

	if (!ctx->insn.rep || ctx->rflags & FLAG_DF)
		return 1;
	if (offset_of(ctx, EMUL_RCX) < n)
		n = offset_of(ctx, EMUL_RCX);
	if (page < n)
		n = page;
	if (wrap < n)
		n = wrap;
	return n ?: 1;
}

/*
 * Linear address and number of elements of a run, all of it inside the segment. A device sees one
 * access for each element, of its size. That a store will not fault is known before the port is
 * read, which may not be undone.
 */
static int string_io_run(struct emul_ctx *ctx, unsigned int seg, unsigned int reg,
			 unsigned int access, unsigned int bytes, u64 *linear, u64 *count)
{
	u64 offset = offset_of(ctx, reg);
	int r = emul_linear(ctx, seg, offset, bytes, access, linear);

	if (r)
		return r;
	*count = batch(ctx, offset, *linear, bytes);
	if (*count > 1 && emul_linear(ctx, seg, offset, *count * bytes, access, linear))
		*count = 1;
	if (*count == 1 && !(access & EMUL_ACC_WRITE))
		return EMUL_OK;
	ctx->device = false;
	r = ctx->ops->probe_mem(ctx, *linear, *count * bytes, access);
	if (ctx->device)
		*count = 1;
	return r;
}

static void string_io_done(struct emul_ctx *ctx, unsigned int reg, unsigned int bytes, u64 count)
{
	advance(ctx, reg, count * bytes);
	if (!ctx->insn.rep)
		return;
	emul_reg_add(ctx, EMUL_RCX, -(s64)count, ctx->insn.addr_bytes);
	ctx->more = offset_of(ctx, EMUL_RCX) != 0;
}

static unsigned int io_bytes(const struct emul_ctx *ctx)
{
	unsigned int bytes = element_bytes(ctx);

	return bytes == 8 ? 4 : bytes;
}

int em_ins(struct emul_ctx *ctx)
{
	unsigned int bytes = io_bytes(ctx);
	u16 port = ctx->gpr[EMUL_RDX];
	u8 data[EMUL_PIO_BATCH];
	u64 linear, count;
	int r;

	r = emul_io_allowed(ctx, port, bytes);
	if (!r && ctx->insn.rep && !offset_of(ctx, EMUL_RCX))
		return EMUL_OK;
	if (!r)
		r = string_io_run(ctx, EMUL_ES, EMUL_RDI, EMUL_ACC_WRITE, bytes, &linear, &count);
	if (!r)
		r = ctx->ops->pio_in(ctx, port, bytes, count, data);
	if (!r)
		r = emul_write(ctx, linear, data, count * bytes, EMUL_ACC_WRITE);
	if (!r)
		string_io_done(ctx, EMUL_RDI, bytes, count);
	return r;
}

int em_outs(struct emul_ctx *ctx)
{
	unsigned int bytes = io_bytes(ctx);
	u16 port = ctx->gpr[EMUL_RDX];
	u8 data[EMUL_PIO_BATCH];
	u64 linear, count;
	int r;

	r = emul_io_allowed(ctx, port, bytes);
	if (!r && ctx->insn.rep && !offset_of(ctx, EMUL_RCX))
		return EMUL_OK;
	if (!r)
		r = string_io_run(ctx, source_seg(ctx), EMUL_RSI, EMUL_ACC_READ, bytes, &linear,
				  &count);
	if (!r)
		r = emul_read(ctx, linear, data, count * bytes, EMUL_ACC_READ);
	if (!r)
		r = ctx->ops->pio_out(ctx, port, bytes, count, data);
	if (!r)
		string_io_done(ctx, EMUL_RSI, bytes, count);
	return r;
}
