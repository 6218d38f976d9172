// SPDX-License-Identifier: GPL-2.0
/*
 * Arithmetic, logic, shifts and bit instructions, with exact flags.
 * Entered from emul_exec() through the opcode rows.
 * No locks: they compute on ctx alone.
 * AMD APM vol. 3 "General-Purpose Instruction Reference".
 *
 * Results and flags come from running the same instruction on the values, so that they are
 * those of the processor, the flags that the manual leaves undefined included. The six
 * arithmetic flags go in and out by SAHF, LAHF and OF's own way, without the stack: a POPF would
 * be slower and could touch IF.
 */
#include "internal.h"

#define LOAD_FLAGS	"addb $0x7f, %%al\n\tsahf\n\t"	/* AL was OF: 1 + 7fh overflows */
#define SAVE_FLAGS	"\n\tlahf\n\tseto %%al"
#define LAHF_FLAGS	0xd5

/* AX for LOAD_FLAGS: AH as SAHF wants it, AL 1 if OF. */
static u32 flags_in(const struct emul_ctx *ctx)
{
	return (ctx->rflags & LAHF_FLAGS) << 8 | (ctx->rflags & FLAG_OF ? 1 : 0);
}

static void flags_out(struct emul_ctx *ctx, u32 ax)
{
	ctx->rflags &= ~(u64)FLAGS_ARITH;
	ctx->rflags |= ax >> 8 & LAHF_FLAGS;
	if (ax & 0xff)
		ctx->rflags |= FLAG_OF;
}

/* Run an instruction with ctx's flags and take the new ones. */
#define RUN2(text, ctx, dst, src) \
do { \
	u32 ax = flags_in(ctx); \
	\
	asm volatile(LOAD_FLAGS text SAVE_FLAGS \
		     : [d] "+r" (dst), "+a" (ax) : [s] "r" (src) : "cc"); \
	flags_out(ctx, ax); \
} while (0)

#define RUN1(text, ctx, dst) \
do { \
	u32 ax = flags_in(ctx); \
	\
	asm volatile(LOAD_FLAGS text SAVE_FLAGS : [d] "+r" (dst), "+a" (ax) : : "cc"); \
	flags_out(ctx, ax); \
} while (0)

#define RUN_CL(text, ctx, dst, src, count) \
do { \
	u32 ax = flags_in(ctx); \
	\
	asm volatile(LOAD_FLAGS text SAVE_FLAGS \
		     : [d] "+r" (dst), "+a" (ax) : [s] "r" (src), "c" (count) : "cc"); \
	flags_out(ctx, ax); \
} while (0)

/* The instruction of the operand's size: its suffix, and the registers' names of that size. */
#define SIZES_WLQ(bytes, run, insn, regs, ...) \
do { \
	switch (bytes) { \
	case 2: \
		run(insn "w " regs(w), __VA_ARGS__); \
		break; \
	case 4: \
		run(insn "l " regs(k), __VA_ARGS__); \
		break; \
	default: \
		run(insn "q " regs(q), __VA_ARGS__); \
	} \
} while (0)

#define SIZES(bytes, run, insn, regs, ...) \
do { \
	if ((bytes) == 1) \
		run(insn "b " regs(b), __VA_ARGS__); \
	else \
		SIZES_WLQ(bytes, run, insn, regs, __VA_ARGS__); \
} while (0)

#define S_D(m)		"%" #m "[s], %" #m "[d]"
#define ONLY_D(m)	"%" #m "[d]"
#define CL_D(m)		"%%cl, %" #m "[d]"
#define CL_S_D(m)	"%%cl, %" #m "[s], %" #m "[d]"

/* dst = dst op src */
#define ALU2(name, insn) \
int em_##name(struct emul_ctx *ctx) \
{ \
	u64 d = ctx->dst.val, s = ctx->src.val; \
	\
	SIZES(ctx->dst.bytes, RUN2, insn, S_D, ctx, d, s); \
	ctx->dst.val = d; \
	return EMUL_OK; \
}

ALU2(add, "add")
ALU2(or, "or")
ALU2(adc, "adc")
ALU2(sbb, "sbb")
ALU2(and, "and")
ALU2(sub, "sub")
ALU2(xor, "xor")
ALU2(test, "test")

void emul_cmp_flags(struct emul_ctx *ctx, u64 dst, u64 src, unsigned int bytes)
{
	SIZES(bytes, RUN2, "cmp", S_D, ctx, dst, src);
}

/* The same without a byte form; what has more to it than the run calls that. */
#define ALU2_WLQ(name, insn) \
static void run_##name(struct emul_ctx *ctx) \
{ \
	u64 d = ctx->dst.val, s = ctx->src.val; \
	\
	SIZES_WLQ(ctx->dst.bytes, RUN2, insn, S_D, ctx, d, s); \
	ctx->dst.val = d; \
}

ALU2_WLQ(bt, "bt")
ALU2_WLQ(bts, "bts")
ALU2_WLQ(btr, "btr")
ALU2_WLQ(btc, "btc")
ALU2_WLQ(popcnt, "popcnt")
ALU2_WLQ(imul, "imul")
ALU2_WLQ(bsf, "bsf")
ALU2_WLQ(bsr, "bsr")
ALU2_WLQ(tzcnt, "tzcnt")
ALU2_WLQ(lzcnt, "lzcnt")

#define RUN_ONLY(name) \
int em_##name(struct emul_ctx *ctx) \
{ \
	run_##name(ctx); \
	return EMUL_OK; \
}

RUN_ONLY(bt)
RUN_ONLY(bts)
RUN_ONLY(btr)
RUN_ONLY(btc)
RUN_ONLY(popcnt)

/* dst = op dst */
#define ALU1(name, insn) \
int em_##name(struct emul_ctx *ctx) \
{ \
	u64 d = ctx->dst.val; \
	\
	SIZES(ctx->dst.bytes, RUN1, insn, ONLY_D, ctx, d); \
	ctx->dst.val = d; \
	return EMUL_OK; \
}

ALU1(inc, "inc")
ALU1(dec, "dec")
ALU1(not, "not")
ALU1(neg, "neg")

/* dst = dst shifted by src, which may be 1, CL or an immediate */
#define SHIFT(name, insn) \
int em_##name(struct emul_ctx *ctx) \
{ \
	u64 d = ctx->dst.val, s = 0; \
	u8 count = ctx->src.val; \
	\
	SIZES(ctx->dst.bytes, RUN_CL, insn, CL_D, ctx, d, s, count); \
	ctx->dst.val = d; \
	return EMUL_OK; \
}

SHIFT(rol, "rol")
SHIFT(ror, "ror")
SHIFT(rcl, "rcl")
SHIFT(rcr, "rcr")
SHIFT(shl, "shl")
SHIFT(shr, "shr")
SHIFT(sar, "sar")

#define SHIFT_DOUBLE(name, insn) \
int em_##name(struct emul_ctx *ctx) \
{ \
	u64 d = ctx->dst.val, s = ctx->src.val; \
	u8 count = ctx->src2.val; \
	\
	SIZES_WLQ(ctx->dst.bytes, RUN_CL, insn, CL_S_D, ctx, d, s, count); \
	ctx->dst.val = d; \
	return EMUL_OK; \
}

SHIFT_DOUBLE(shld, "shld")
SHIFT_DOUBLE(shrd, "shrd")

/* A zero source leaves the destination as it was, its upper half too. */
static void keep_if_zero_source(struct emul_ctx *ctx)
{
	if (!(ctx->src.val & emul_mask(ctx->src.bytes)))
		ctx->dst.kind = OPD_NONE;
}

int em_bsf(struct emul_ctx *ctx)
{
	keep_if_zero_source(ctx);
	run_bsf(ctx);
	return EMUL_OK;
}

int em_bsr(struct emul_ctx *ctx)
{
	keep_if_zero_source(ctx);
	run_bsr(ctx);
	return EMUL_OK;
}

/* A processor without these takes the F3 prefix for nothing. */
int em_tzcnt(struct emul_ctx *ctx)
{
	if (!(ctx->features & EMUL_FEAT_BMI1))
		return em_bsf(ctx);
	run_tzcnt(ctx);
	return EMUL_OK;
}

int em_lzcnt(struct emul_ctx *ctx)
{
	if (!(ctx->features & EMUL_FEAT_LZCNT))
		return em_bsr(ctx);
	run_lzcnt(ctx);
	return EMUL_OK;
}

/* Two operands: dst *= src. Three: dst = src * src2. */
int em_imul(struct emul_ctx *ctx)
{
	if (ctx->src2.kind != OPD_NONE)
		ctx->dst.val = ctx->src2.val;
	run_imul(ctx);
	return EMUL_OK;
}

/*
 * MUL, IMUL, DIV, IDIV: RDX:RAX (or AX) by the source. The results are moved away before LAHF
 * takes RAX.
 */
#define RUN_RDX_RAX(text, ctx, low, high, src) \
do { \
	u64 ax = flags_in(ctx); \
	\
	asm volatile(LOAD_FLAGS "movq %[lo], %%rax\n\t" text "\n\tmovq %%rax, %[lo]" SAVE_FLAGS \
		     : [lo] "+&r" (low), "+&d" (high), "+&a" (ax) : [s] "r" (src) : "cc"); \
	flags_out(ctx, ax); \
} while (0)

#define ONLY_S(m)	"%" #m "[s]"

#define RDX_RAX(name, insn) \
static void run_##name(struct emul_ctx *ctx) \
{ \
	u64 lo = ctx->gpr[EMUL_RAX], hi = ctx->gpr[EMUL_RDX], s = ctx->src.val; \
	unsigned int bytes = ctx->src.bytes; \
	\
	SIZES(bytes, RUN_RDX_RAX, insn, ONLY_S, ctx, lo, hi, s); \
	emul_reg_set(ctx, EMUL_RAX, lo, bytes == 1 ? 2 : bytes); \
	if (bytes > 1) \
		emul_reg_set(ctx, EMUL_RDX, hi, bytes); \
}

RDX_RAX(mul, "mul")
RDX_RAX(imul1, "imul")
RDX_RAX(div, "div")
RDX_RAX(idiv, "idiv")

RUN_ONLY(mul)
RUN_ONLY(imul1)

/* The dividend's halves, each of the operand's size. */
static void dividend(const struct emul_ctx *ctx, u64 *hi, u64 *lo)
{
	unsigned int bytes = ctx->src.bytes;

	*lo = ctx->gpr[EMUL_RAX] & emul_mask(bytes);
	if (bytes == 1)
		*hi = ctx->gpr[EMUL_RAX] >> 8 & 0xff;
	else
		*hi = ctx->gpr[EMUL_RDX] & emul_mask(bytes);
}

int em_div(struct emul_ctx *ctx)
{
	u64 hi, lo;

	dividend(ctx, &hi, &lo);
	if (hi >= ctx->src.val)		/* the quotient would not fit; zero divisor as well */
		return emul_fault(ctx, VEC_DE, 0);
	run_div(ctx);
	return EMUL_OK;
}

/*
 * Would IDIV's quotient not fit? By magnitudes, as an unsigned division that cannot trap: it is
 * scaled up so that every size is one of 128 bits by 64.
 */
static bool idiv_overflows(u64 hi, u64 lo, u64 divisor, unsigned int bytes)
{
	u64 sign = 1ull << (8 * bytes - 1), mask = emul_mask(bytes);
	bool neg_n = hi & sign, neg_d = divisor & sign;
	u64 quotient, remainder;

	if (neg_d)
		divisor = -divisor & mask;
	if (neg_n) {
		lo = -lo & mask;
		hi = (~hi + !lo) & mask;
	}
	if (hi >= divisor)
		return true;
	if (bytes < 8) {
		lo |= hi << (8 * bytes);
		hi = 0;
	}
	asm("divq %[d]" : "=a" (quotient), "=d" (remainder)
	    : [d] "r" (divisor), "0" (lo), "1" (hi) : "cc");
	return quotient > sign - (neg_n == neg_d);
}

int em_idiv(struct emul_ctx *ctx)
{
	u64 hi, lo;

	dividend(ctx, &hi, &lo);
	if (idiv_overflows(hi, lo, ctx->src.val, ctx->src.bytes))
		return emul_fault(ctx, VEC_DE, 0);
	run_idiv(ctx);
	return EMUL_OK;
}

/* CBW, CWDE, CDQE */
int em_cbw(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;

	emul_reg_set(ctx, EMUL_RAX, emul_sext(ctx->gpr[EMUL_RAX], bytes / 2), bytes);
	return EMUL_OK;
}

/* CWD, CDQ, CQO */
int em_cwd(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->insn.op_bytes;
	s64 acc = emul_sext(ctx->gpr[EMUL_RAX], bytes);

	emul_reg_set(ctx, EMUL_RDX, acc < 0 ? ~0ull : 0, bytes);
	return EMUL_OK;
}

int em_xadd(struct emul_ctx *ctx)
{
	u64 old = ctx->dst.val;

	em_add(ctx);
	emul_operand_set_reg(ctx, &ctx->src, old);
	return EMUL_OK;
}

/* Memory is written either way, as the processor does; a register that differs is not. */
int em_cmpxchg(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->dst.bytes;
	u64 acc = emul_reg_get(ctx, EMUL_RAX, bytes);

	emul_cmp_flags(ctx, acc, ctx->dst.val, bytes);
	if (acc == ctx->dst.val) {
		ctx->dst.val = ctx->src.val;
		return EMUL_OK;
	}
	emul_reg_set(ctx, EMUL_RAX, ctx->dst.val, bytes);
	if (ctx->dst.kind == OPD_REG)
		ctx->dst.kind = OPD_NONE;
	return EMUL_OK;
}

/* CMPXCHG8B, CMPXCHG16B: RDX:RAX against memory, RCX:RBX into it. */
int em_cmpxchg8b(struct emul_ctx *ctx)
{
	unsigned int half = ctx->insn.op_bytes == 8 ? 8 : 4;
	unsigned int access = EMUL_ACC_RMW | (ctx->insn.lock ? EMUL_ACC_LOCK : 0);
	u8 old[16], new[16], expected[16];
	u64 linear;
	int r;

	if (half == 8 && !(ctx->features & EMUL_FEAT_CX16))
		return emul_ud(ctx);
	r = emul_mem_linear(ctx, 2 * half, access, &linear);
	if (r)
		return r;
	if (half == 8 && linear & 15)
		return emul_gp(ctx, 0);
	r = emul_read(ctx, linear, old, 2 * half, access);
	if (r)
		return r;

	memcpy(expected, &ctx->gpr[EMUL_RAX], half);
	memcpy(expected + half, &ctx->gpr[EMUL_RDX], half);
	memcpy(new, &ctx->gpr[EMUL_RBX], half);
	memcpy(new + half, &ctx->gpr[EMUL_RCX], half);
	if (memcmp(old, expected, 2 * half)) {
		u64 lo = 0, hi = 0;

		memcpy(&lo, old, half);
		memcpy(&hi, old + half, half);
		emul_reg_set(ctx, EMUL_RAX, lo, half);
		emul_reg_set(ctx, EMUL_RDX, hi, half);
		ctx->rflags &= ~(u64)FLAG_ZF;
		/* The CPU writes in any case: what was there, here. */
		memcpy(new, old, sizeof(new));
	} else {
		ctx->rflags |= FLAG_ZF;
	}
	if (ctx->insn.lock)
		return ctx->ops->cmpxchg_mem(ctx, linear, old, new, 2 * half);
	return emul_write(ctx, linear, new, 2 * half, EMUL_ACC_WRITE);
}

/* ---- decimal adjustments, which 64-bit code cannot run ---- */

static void set_szp(struct emul_ctx *ctx, u8 val)
{
	ctx->rflags &= ~(u64)(FLAG_SF | FLAG_ZF | FLAG_PF);
	ctx->rflags |= (val & 0x80 ? FLAG_SF : 0) | (val ? 0 : FLAG_ZF) |
		       (__builtin_parity(val) ? 0 : FLAG_PF);
}

static void set_ac(struct emul_ctx *ctx, bool af, bool cf)
{
	ctx->rflags &= ~(u64)(FLAG_AF | FLAG_CF);
	ctx->rflags |= (af ? FLAG_AF : 0) | (cf ? FLAG_CF : 0);
}

/* DAA 27h, DAS 2Fh */
int em_daa(struct emul_ctx *ctx)
{
	u8 old = ctx->gpr[EMUL_RAX], al = old;
	bool sub = ctx->insn.opcode == 0x2f;
	bool af = (old & 15) > 9 || ctx->rflags & FLAG_AF;
	bool cf = old > 0x99 || ctx->rflags & FLAG_CF;

	if (af)
		al += sub ? -6 : 6;
	if (cf)
		al += sub ? -0x60 : 0x60;
	set_ac(ctx, af, cf || (sub && af && old < 6));
	set_szp(ctx, al);
	emul_reg_set(ctx, EMUL_RAX, al, 1);
	return EMUL_OK;
}

/* AAA 37h, AAS 3Fh */
int em_aaa(struct emul_ctx *ctx)
{
	u16 ax = ctx->gpr[EMUL_RAX];
	bool adjust = (ax & 15) > 9 || ctx->rflags & FLAG_AF;

	if (adjust)
		ax += ctx->insn.opcode == 0x37 ? 0x106 : -0x106;
	ax &= 0xff0f;
	set_ac(ctx, adjust, adjust);
	set_szp(ctx, ax);
	emul_reg_set(ctx, EMUL_RAX, ax, 2);
	return EMUL_OK;
}

int em_aam(struct emul_ctx *ctx)
{
	u8 al = ctx->gpr[EMUL_RAX], base = ctx->src.val;

	if (!base)
		return emul_fault(ctx, VEC_DE, 0);
	emul_reg_set(ctx, EMUL_RAX, (al / base) << 8 | al % base, 2);
	set_ac(ctx, false, false);
	ctx->rflags &= ~(u64)FLAG_OF;
	set_szp(ctx, al % base);
	return EMUL_OK;
}

int em_aad(struct emul_ctx *ctx)
{
	u16 ax = ctx->gpr[EMUL_RAX];
	u8 al = ax + (ax >> 8) * ctx->src.val;

	emul_reg_set(ctx, EMUL_RAX, al, 2);
	set_ac(ctx, false, false);
	ctx->rflags &= ~(u64)FLAG_OF;
	set_szp(ctx, al);
	return EMUL_OK;
}

/* CRC32C, bit by bit: the CPU's own instruction may be missing where the guest has it. */
int em_crc32(struct emul_ctx *ctx)
{
	u32 crc = ctx->dst.val;
	unsigned int i;

	for (i = 0; i < 8u * ctx->src.bytes; i++) {
		crc ^= ctx->src.val >> i & 1;
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	ctx->dst.val = crc;
	return EMUL_OK;
}

static u64 swap_bytes(u64 val, unsigned int bytes)
{
	return __builtin_bswap64(val) >> (64 - 8 * bytes);
}

/* With a 16-bit operand it is undefined; processors give zero. */
int em_bswap(struct emul_ctx *ctx)
{
	ctx->dst.val = ctx->dst.bytes == 2 ? 0 : swap_bytes(ctx->dst.val, ctx->dst.bytes);
	return EMUL_OK;
}

int em_movbe(struct emul_ctx *ctx)
{
	ctx->dst.val = swap_bytes(ctx->src.val, ctx->src.bytes);
	return EMUL_OK;
}
