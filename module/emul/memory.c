// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's registers, segments, linear addresses, memory accesses and faults.
 * Entered from the handlers.
 * No locks: see emulate.h.
 * AMD APM vol. 2 "Segmented Virtual Memory"; Intel SDM vol. 3 "Protected-Mode Memory Management".
 */
#include "internal.h"

u64 emul_mask(unsigned int bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

u64 emul_sext(u64 val, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (u64)((s64)(val << shift) >> shift);
}

u64 emul_reg_get(const struct emul_ctx *ctx, unsigned int reg, unsigned int bytes)
{
	return ctx->gpr[reg] & emul_mask(bytes);
}

/* A 4-byte write clears the upper half, shorter ones leave the rest. */
void emul_reg_set(struct emul_ctx *ctx, unsigned int reg, u64 val, unsigned int bytes)
{
	u64 mask = emul_mask(bytes);

	if (bytes >= 4)
		ctx->gpr[reg] = val & mask;
	else
		ctx->gpr[reg] = (ctx->gpr[reg] & ~mask) | (val & mask);
}

void emul_reg_add(struct emul_ctx *ctx, unsigned int reg, s64 delta, unsigned int bytes)
{
	emul_reg_set(ctx, reg, ctx->gpr[reg] + delta, bytes);
}

bool emul_protected(const struct emul_ctx *ctx)
{
	return ctx->mode >= EMUL_MODE_PROT16;
}

bool emul_canonical(const struct emul_ctx *ctx, u64 addr)
{
	unsigned int unused = ctx->cr4 & EMUL_CR4_LA57 ? 7 : 16;

	return (u64)((s64)(addr << unused) >> unused) == addr;
}

int emul_fault(struct emul_ctx *ctx, u8 vector, u32 error_code)
{
	ctx->fault = (struct emul_fault){
		.vector = vector,
		.error_code = error_code,
		.has_error_code = vector == VEC_DF || vector == VEC_AC ||
				  (vector >= VEC_TS && vector <= VEC_PF) ||
				  vector == 21 || vector == 29 || vector == 30,
	};
	return EMUL_FAULT;
}

int emul_page_fault(struct emul_ctx *ctx, u64 linear, u32 error_code)
{
	emul_fault(ctx, VEC_PF, error_code);
	ctx->fault.address = linear;
	return EMUL_FAULT;
}

int emul_gp(struct emul_ctx *ctx, u32 error_code)
{
	return emul_fault(ctx, VEC_GP, error_code);
}

/* A fault whose error code is a selector. */
int emul_sel_fault(struct emul_ctx *ctx, u8 vector, u16 sel)
{
	return emul_fault(ctx, vector, sel & ~SEL_RPL);
}

int emul_ud(struct emul_ctx *ctx)
{
	return emul_fault(ctx, VEC_UD, 0);
}

struct emul_seg *emul_seg(struct emul_ctx *ctx, unsigned int sreg)
{
	if (!(ctx->seg_cached & 1 << sreg)) {
		ctx->ops->get_seg(ctx, sreg, &ctx->seg[sreg]);
		ctx->seg_cached |= 1 << sreg;
	}
	return &ctx->seg[sreg];
}

/* The new value is what later accesses of this instruction see; set_seg() comes at its end. */
void emul_seg_update(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	ctx->seg[sreg] = *seg;
	ctx->seg_cached |= 1 << sreg;
	ctx->seg_dirty |= 1 << sreg;
}

/* The offset in its segment, wrapped at the address size. */
u64 emul_effective(const struct emul_ctx *ctx, const struct emul_mem *mem)
{
	u64 ea = mem->disp;

	if (mem->base != EMUL_NO_REG)
		ea += ctx->gpr[mem->base];
	if (mem->index != EMUL_NO_REG)
		ea += ctx->gpr[mem->index] * mem->scale;
	if (mem->rip_rel)
		ea += ctx->rip + ctx->insn.length;
	return ea & emul_mask(mem->addr_bytes);
}

static int seg_fault(struct emul_ctx *ctx, unsigned int seg)
{
	return emul_fault(ctx, seg == EMUL_SS ? VEC_SS : VEC_GP, 0);
}

/*
 * Type and limit of a segment outside 64-bit mode.
 *
 * attr		read		write
 * data		yes		if WRITE
 * code		if WRITE (= R)	no
 */
static bool seg_allows(struct emul_ctx *ctx, const struct emul_seg *s, u64 offset,
		       unsigned int len, unsigned int access)
{
	bool write = access & (EMUL_ACC_WRITE | EMUL_ACC_RMW);
	u64 last = offset + len - 1, top;

	if (emul_protected(ctx)) {
		if (s->attr & EMUL_SEG_UNUSABLE)
			return false;
		if (write ? (s->attr & (EMUL_SEG_CODE | EMUL_SEG_WRITE)) != EMUL_SEG_WRITE :
			    (s->attr & (EMUL_SEG_CODE | EMUL_SEG_WRITE)) == EMUL_SEG_CODE)
			return false;
	}
	if ((s->attr & (EMUL_SEG_CODE | EMUL_SEG_EXPDOWN)) != EMUL_SEG_EXPDOWN)
		return last <= s->limit;
	top = s->attr & EMUL_SEG_DB ? 0xffffffff : 0xffff;
	return offset > s->limit && last <= top;
}

/* #AC is for natural alignment of CPL 3 accesses alone; odd sizes (far pointers) are let be. */
static bool misaligned(const struct emul_ctx *ctx, u64 linear, unsigned int len,
		       unsigned int access)
{
	if (ctx->cpl != 3 || !(ctx->rflags & FLAG_AC) || !(ctx->cr0 & EMUL_CR0_AM))
		return false;
	return !(access & EMUL_ACC_SYSTEM) && len <= 32 && !(len & (len - 1)) && linear & (len - 1);
}

/*
 * Limits, types, null selectors, canonical form, alignment if it is checked; @len 0 checks
 * nothing (INVLPG).
 */
int emul_linear(struct emul_ctx *ctx, unsigned int seg, u64 offset, unsigned int len,
		unsigned int access, u64 *linear)
{
	bool flat = ctx->mode == EMUL_MODE_LONG && seg < EMUL_FS;
	u64 la = offset;

	if (!flat) {
		struct emul_seg *s = emul_seg(ctx, seg);

		la += s->base;
		if (ctx->mode != EMUL_MODE_LONG) {
			la = (u32)la;
			if (len && !seg_allows(ctx, s, offset, len, access))
				return seg_fault(ctx, seg);
		}
	}
	if (ctx->mode == EMUL_MODE_LONG && len &&
	    !(emul_canonical(ctx, la) && emul_canonical(ctx, la + len - 1)))
		return seg_fault(ctx, seg);
	if (len && misaligned(ctx, la, len, access))
		return emul_fault(ctx, VEC_AC, 0);
	*linear = la;
	return EMUL_OK;
}

int emul_mem_linear(struct emul_ctx *ctx, unsigned int len, unsigned int access, u64 *linear)
{
	const struct emul_mem *mem = &ctx->insn.mem;

	return emul_linear(ctx, mem->seg, emul_effective(ctx, mem), len, access, linear);
}

/* Bytes before the linear address wraps at 4 GiB, which it does outside 64-bit mode. */
static unsigned int before_wrap(const struct emul_ctx *ctx, u64 linear, unsigned int len)
{
	u64 room = (1ull << 32) - linear;

	return ctx->mode != EMUL_MODE_LONG && room < len ? room : len;
}

int emul_read(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
	      unsigned int access)
{
	unsigned int first = before_wrap(ctx, linear, len);
	int r = ctx->ops->read_mem(ctx, linear, data, first, access);

	if (!r && first < len)
		r = ctx->ops->read_mem(ctx, 0, data + first, len - first, access);
	return r;
}

int emul_write(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
	       unsigned int access)
{
	unsigned int first = before_wrap(ctx, linear, len);
	int r = ctx->ops->write_mem(ctx, linear, data, first, access | EMUL_ACC_WRITE);

	if (!r && first < len)
		r = ctx->ops->write_mem(ctx, 0, data + first, len - first,
					access | EMUL_ACC_WRITE);
	return r;
}

int emul_read_seg(struct emul_ctx *ctx, unsigned int seg, u64 offset, u64 *val,
		  unsigned int len, unsigned int access)
{
	u64 linear;
	int r = emul_linear(ctx, seg, offset, len, access, &linear);

	*val = 0;
	return r ?: emul_read(ctx, linear, val, len, access);
}

int emul_write_seg(struct emul_ctx *ctx, unsigned int seg, u64 offset, u64 val,
		   unsigned int len)
{
	u64 linear;
	int r = emul_linear(ctx, seg, offset, len, EMUL_ACC_WRITE, &linear);

	return r ?: emul_write(ctx, linear, &val, len, EMUL_ACC_WRITE);
}

/* The I/O permission bitmap of the TSS: two bytes are read so that any width is covered. */
static int io_bitmap_allows(struct emul_ctx *ctx, u16 port, unsigned int size)
{
	const struct emul_seg *tr = emul_seg(ctx, EMUL_TR);
	u16 base = 0, bits = 0;
	int r;

	/* Only the 386 TSS, types 9 and 11, has one; its last fixed byte is 103. */
	if (tr->attr & EMUL_SEG_UNUSABLE || !(tr->attr & EMUL_SEG_CODE) || tr->limit < 103)
		return emul_gp(ctx, 0);
	r = emul_read(ctx, tr->base + 102, &base, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	if ((u32)base + port / 8 + 1 > tr->limit)
		return emul_gp(ctx, 0);
	r = emul_read(ctx, tr->base + base + port / 8, &bits, 2, EMUL_ACC_SYSTEM);
	if (r)
		return r;
	if (bits >> (port & 7) & ((1 << size) - 1))
		return emul_gp(ctx, 0);
	return EMUL_OK;
}

/* May this code use the port? #GP(0) if not. */
int emul_io_allowed(struct emul_ctx *ctx, u16 port, unsigned int size)
{
	unsigned int iopl = (ctx->rflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;

	if (ctx->mode == EMUL_MODE_REAL)
		return EMUL_OK;
	if (ctx->mode != EMUL_MODE_VM86 && ctx->cpl <= iopl)
		return EMUL_OK;
	return io_bitmap_allows(ctx, port, size);
}
