// SPDX-License-Identifier: GPL-2.0
/*
 * Arbitrary bytes as an instruction in an arbitrary state: the contract of emulate.h holds.
 * Entered from libFuzzer, or from main() with random inputs: fuzz [seed [count]].
 * No locks: one thread.
 * The contract is in emulate.h: results, sizes of accesses, bounds, replay.
 */
#include <stdio.h>
#include <stdlib.h>
#include "../internal.h"
#include "ktap.h"

#define MAX_ACCESSES	512

/* What one input consists of; shorter inputs are filled with zeroes. */
struct input {
	u8 bytes[EMUL_MAX_INSN];
	u8 mode;
	u64 gpr[16];
	u64 rip, rflags, cr0, cr4, efer, answer;
	u32 features;
	u8 cpl;
	u8 flags;
	u8 fail_at;		/* this callback fails, */
	u8 fail_how;		/* so */
	u8 io_every;		/* reads that need userspace: each so many */
	struct emul_seg seg[EMUL_NR_SREGS];
};

struct access {
	u8 what;
	u8 len;
	u64 where;
};

static struct {
	const struct input *in;
	struct access log[MAX_ACCESSES];
	unsigned int n, before;	/* accesses of this execution, of the one before it */
	unsigned int calls, reads, answered;
	bool io_needed;
	unsigned int bytes_moved;
} w;

#define REQUIRE(cond) \
	do { \
		if (!(cond)) { \
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond); \
			fflush(stdout); \
			abort(); \
		} \
	} while (0)

/* Every callback comes here: it may fail as the input says, and replays must repeat it. */
static int called(struct emul_ctx *ctx, u8 what, u64 where, unsigned int len)
{
	struct access a = { .what = what, .len = len, .where = where };

	REQUIRE(w.n < MAX_ACCESSES);
	if (w.n < w.before)
		REQUIRE(!memcmp(&w.log[w.n].what, &a.what, 1) && w.log[w.n].where == where &&
			w.log[w.n].len == a.len);
	w.log[w.n++] = a;
	if (++w.calls != w.in->fail_at)
		return EMUL_OK;
	switch (w.in->fail_how & 3) {
	case 0:
		return emul_page_fault(ctx, where, 6);
	case 1:
		return EMUL_UNHANDLEABLE;
	case 2:
		return what == 'c' ? EMUL_RETRY : emul_fault(ctx, VEC_GP, 0);
	default:
		ctx->stop = true;
		return EMUL_OK;
	}
}

/* A read that userspace has to answer, unless it has. */
static int answered(struct emul_ctx *ctx)
{
	if (!w.in->io_every || ++w.reads % w.in->io_every || w.reads <= w.answered)
		return EMUL_OK;
	w.io_needed = true;
	w.answered = w.reads;
	return EMUL_IO_NEEDED;
}

static void fill(void *data, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		((u8 *)data)[i] = w.in->answer >> (8 * (i & 7));
}

static int read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		    unsigned int access)
{
	int r = called(ctx, 'r', linear, len);

	REQUIRE(len >= 1 && len <= EMUL_PIO_BATCH && !(access & EMUL_ACC_WRITE));
	if (!r)
		r = answered(ctx);
	if (!r)
		fill(data, len);
	return r;
}

static int write_mem(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
		     unsigned int access)
{
	static u8 sink[EMUL_PIO_BATCH];

	REQUIRE(len >= 1 && len <= EMUL_PIO_BATCH && access & EMUL_ACC_WRITE);
	memcpy(sink, data, len);
	return called(ctx, 'w', linear, len);
}

static int cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		       unsigned int len)
{
	u8 sink[32];

	REQUIRE(len && len <= 16 && !(len & (len - 1)));
	memcpy(sink, old, len);
	memcpy(sink, new, len);
	return called(ctx, 'c', linear, len);
}

static int probe_mem(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access)
{
	REQUIRE(len >= 1 && len <= EMUL_PIO_BATCH);
	return called(ctx, 'p', linear, len);
}

static void check_pio(unsigned int size, unsigned int count)
{
	REQUIRE(size == 1 || size == 2 || size == 4);
	REQUIRE(count >= 1 && count * size <= EMUL_PIO_BATCH);
}

static int pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		  void *data)
{
	int r = called(ctx, 'i', port, size);

	check_pio(size, count);
	if (!r)
		r = answered(ctx);
	if (!r)
		fill(data, size * count);
	return r;
}

static int pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		   const void *data)
{
	static u8 sink[EMUL_PIO_BATCH];

	check_pio(size, count);
	memcpy(sink, data, size * count);
	return called(ctx, 'o', port, size);
}

static void get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	REQUIRE(sreg < EMUL_NR_SREGS);
	*seg = w.in->seg[sreg];
}

static void set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	REQUIRE(sreg < EMUL_NR_SREGS);
}

static int get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	REQUIRE(class != EMUL_REG_CR || index <= 8);
	REQUIRE(class != EMUL_REG_DR || (index < 8 && index != 4 && index != 5));
	*value = w.in->answer;
	return called(ctx, 'g', index, 8);
}

static int set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	REQUIRE(class != EMUL_REG_CR || index <= 8);
	REQUIRE(class != EMUL_REG_DR || (index < 8 && index != 4 && index != 5));
	REQUIRE(!ctx->cpl || ctx->switched);	/* a task switch loads CR3 */
	return called(ctx, 's', index, 8);
}

static void check_fpu(enum emul_fpu_kind kind, unsigned int reg, unsigned int len)
{
	if (kind == EMUL_FPU_CONTROL || kind == EMUL_FPU_IMAGE) {
		REQUIRE(reg <= (kind == EMUL_FPU_IMAGE ? 1 : EMUL_CTL_MXCSR));
		REQUIRE(len == (kind == EMUL_FPU_IMAGE ? EMUL_FXSAVE :
				reg == EMUL_CTL_MXCSR ? 4 : 2));
		return;
	}
	REQUIRE(reg < (kind == EMUL_FPU_MMX ? 8 : 16));
	REQUIRE(kind == EMUL_FPU_MMX ? len <= 8 : len == 16 || (len == 32 && kind == EMUL_FPU_AVX));
}

static int read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *data,
		    unsigned int len)
{
	check_fpu(kind, reg, len);
	fill(data, len);
	return called(ctx, 'f', reg, len);
}

static int write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		     const void *data, unsigned int len)
{
	u8 sink[EMUL_FXSAVE];

	check_fpu(kind, reg, len);
	memcpy(sink, data, len);
	return called(ctx, 'F', reg, len);
}

static int special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	REQUIRE(!ctx->cpl || (what != EMUL_SP_HLT && what != EMUL_SP_INVLPG &&
			      what != EMUL_SP_WBINVD && what != EMUL_SP_XSETBV));
	return called(ctx, 'x', arg, what);
}

static const struct emul_ops ops = {
	.read_mem = read_mem, .write_mem = write_mem, .cmpxchg_mem = cmpxchg_mem,
	.probe_mem = probe_mem, .pio_in = pio_in, .pio_out = pio_out, .get_seg = get_seg,
	.set_seg = set_seg, .get_reg = get_reg, .set_reg = set_reg, .read_fpu = read_fpu,
	.write_fpu = write_fpu, .special = special,
};

/* The same bytes, cut: one less is too few, exactly as many do. */
static bool check_decode(struct emul_insn *insn, const struct input *in, enum emul_mode mode)
{
	struct emul_insn cut;
	unsigned int flags = in->flags & (EMUL_DEC_BRANCH16 | EMUL_DEC_FAR32);
	int r = emul_decode(insn, in->bytes, EMUL_MAX_INSN, mode, flags);

	REQUIRE(r == EMUL_OK || r == EMUL_UD || r == EMUL_TOO_LONG);
	if (r)
		return false;
	REQUIRE(insn->length >= 1 && insn->length <= EMUL_MAX_INSN);
	REQUIRE(emul_decode(&cut, in->bytes, insn->length, mode, flags) == EMUL_OK);
	REQUIRE(cut.length == insn->length);
	REQUIRE(emul_decode(&cut, in->bytes, insn->length - 1, mode, flags) == EMUL_MORE_BYTES);
	return true;
}

static void set_state(struct emul_ctx *ctx, const struct input *in, enum emul_mode mode)
{
	unsigned int i;

	memcpy(ctx->gpr, in->gpr, sizeof(ctx->gpr));
	ctx->rip = in->rip;
	ctx->rflags = in->rflags;
	ctx->cr0 = in->cr0;
	ctx->cr4 = in->cr4;
	ctx->efer = in->efer;
	ctx->features = in->features;
	ctx->mode = mode;
	ctx->cpl = mode == EMUL_MODE_REAL ? 0 : mode == EMUL_MODE_VM86 ? 3 : in->cpl & 3;
	ctx->priv = NULL;
	ctx->ops = &ops;
	if (mode == EMUL_MODE_LONG)
		return;
	ctx->rip = (u32)ctx->rip;
	for (i = 0; i < 16; i++)
		ctx->gpr[i] = (u32)ctx->gpr[i];
}

static void execute(struct emul_ctx *ctx, const struct input *in, enum emul_mode mode)
{
	unsigned int tries;
	u64 rip;
	int r;

	memset(&w, 0, sizeof(w));
	w.in = in;
	for (tries = 0; ; tries++) {
		REQUIRE(tries < 64);
		set_state(ctx, in, mode);
		rip = ctx->rip;
		w.n = 0;
		w.calls = 0;
		w.reads = 0;
		w.io_needed = false;
		r = emul_exec(ctx);
		if (r != EMUL_IO_NEEDED)
			break;
		REQUIRE(w.io_needed);
		w.before = w.n;
	}
	REQUIRE(r == EMUL_OK || r == EMUL_FAULT || r == EMUL_RETRY || r == EMUL_UNHANDLEABLE);
	if (r == EMUL_FAULT)
		REQUIRE(ctx->fault.vector < 32);
	if (r == EMUL_OK && ctx->more)
		REQUIRE(ctx->rip == rip && ctx->insn.rep && ctx->insn.op->flags & F_STRING);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct emul_ctx ctx;
	struct input in = { 0 };
	enum emul_mode mode;

	memcpy(&in, data, size < sizeof(in) ? size : sizeof(in));
	mode = in.mode % 5;
	if (check_decode(&ctx.insn, &in, mode))
		execute(&ctx, &in, mode);
	return 0;
}

#ifndef LIBFUZZER
static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

/* Random, but with few failures and mostly plausible segments, so that most run to their end. */
static void random_input(struct input *in)
{
	unsigned int i;

	for (i = 0; i < sizeof(*in); i++)
		((u8 *)in)[i] = rnd();
	if (rnd() & 1)
		in->bytes[0] = 0x0f;
	if (rnd() & 3)
		in->fail_at = 0;
	in->io_every &= 7;
	for (i = 0; i < 16; i++)
		in->gpr[i] >>= rnd() & 63;
	for (i = 0; i < EMUL_NR_SREGS; i++) {
		if (rnd() & 7)
			in->seg[i].attr = 0xc093;
		if (rnd() & 7)
			in->seg[i].limit = ~0u;
	}
	if (rnd() & 1) {
		in->cpl = 0;
		in->cr0 &= ~0xcull;
		in->cr4 |= EMUL_CR4_OSXSAVE | EMUL_CR4_OSFXSR;
		in->answer |= 7;
	}
}

int main(int argc, char **argv)
{
	unsigned long count = 1000000, i;
	struct input in;

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		count = strtoul(argv[2], NULL, 0);
	ktap_plan(1);
	for (i = 0; i < count; i++) {
		random_input(&in);
		LLVMFuzzerTestOneInput((u8 *)&in, sizeof(in));
	}
	ktap_result(true, "the contract holds for random inputs");
	return ktap_exit();
}
#endif
