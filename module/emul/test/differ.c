// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against the processor: random instructions on random states, run by both.
 * Entered from the command line: differ [seed [count]], differ corpus DIR; from libFuzzer.
 * No locks: one thread.
 * AMD APM vol. 3; the processor that runs this is the oracle, undefined flags included.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include "../internal.h"
#include "ktap.h"
#include "native.h"

#define FAKE_GDT	0xffffa00000000000ull	/* the emulator's idea of the kernel's tables */
#define FAKE_LDT	0xffffa00000001000ull
#define FLAGS_COMPARED	(~(u64)(FLAG_TF | FLAG_RF))

/* Not <unistd.h>, whose F_LOCK is another. */
long syscall(long number, ...);

static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

static bool one_in(unsigned int n)
{
	return rnd() % n == 0;
}

static const struct machine {
	const char *name;
	enum emul_mode mode;
	unsigned int bits;
	u16 cs, ds;
	u64 code, data;		/* segment bases */
} machines[] = {
	{ "long", EMUL_MODE_LONG, 64, SEL_CS64, SEL_DS, 0, 0 },
	{ "prot32", EMUL_MODE_PROT32, 32, SEL_CS32, SEL_DS, 0, 0 },
	{ "prot16", EMUL_MODE_PROT16, 16, SEL_CS16, SEL_DS16, SEG16_CODE, SEG16_DATA },
};

/* One test case: what went in, and the emulator's world. */
static struct test {
	const struct machine *m;
	u8 bytes[16];
	struct native_state in, native, emul;
	struct emul_ctx ctx;
	struct emul_seg seg[EMUL_NR_SREGS];
	bool outside;		/* the emulator wanted something that is not modelled */
} t;

static u8 base[DATA_SIZE], pattern[DATA_SIZE], shadow[DATA_SIZE];
static u8 *const data = (u8 *)DATA_BASE;

/* Linux's GDT: what a user may load, and what gives #GP. Entries 8 to 15 are not modelled. */
static const u64 gdt[8] = {
	0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff,
	0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0,
};

static const u64 ldt[2] = { 0x3100fb000000ffff, 0x2000f3000000ffff };

static int outside(void)
{
	t.outside = true;
	return EMUL_UNHANDLEABLE;
}

static int page_fault(struct emul_ctx *ctx, u64 linear, unsigned int access)
{
	bool write = access & (EMUL_ACC_WRITE | EMUL_ACC_RMW);

	return emul_page_fault(ctx, linear, write ? 6 : 4);
}

/* Data, the unmapped page after it (faults), nothing else. */
static int check(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access)
{
	if (linear < 0x10000 - EMUL_PIO_BATCH)
		return page_fault(ctx, linear, access);
	if (linear < DATA_BASE || linear > DATA_BASE + DATA_SIZE + 0x800)
		return outside();
	if (linear >= DATA_BASE + DATA_SIZE)
		return page_fault(ctx, linear, access);
	if (linear + len > DATA_BASE + DATA_SIZE)
		return page_fault(ctx, DATA_BASE + DATA_SIZE, access);
	return EMUL_OK;
}

static int read_mem(struct emul_ctx *ctx, u64 linear, void *buf, unsigned int len,
		    unsigned int access)
{
	int r;

	if (access & EMUL_ACC_SYSTEM) {
		if (linear >= FAKE_GDT && linear + len <= FAKE_GDT + sizeof(gdt))
			memcpy(buf, (u8 *)gdt + (linear - FAKE_GDT), len);
		else if (linear >= FAKE_LDT && linear + len <= FAKE_LDT + sizeof(ldt))
			memcpy(buf, (u8 *)ldt + (linear - FAKE_LDT), len);
		else
			return outside();
		return EMUL_OK;
	}
	r = check(ctx, linear, len, access);
	if (!r)
		memcpy(buf, shadow + (linear - DATA_BASE), len);
	return r;
}

static int write_mem(struct emul_ctx *ctx, u64 linear, const void *buf, unsigned int len,
		     unsigned int access)
{
	int r = access & EMUL_ACC_SYSTEM ? outside() : check(ctx, linear, len, access);

	if (!r)
		memcpy(shadow + (linear - DATA_BASE), buf, len);
	return r;
}

static int cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		       unsigned int len)
{
	int r = check(ctx, linear, len, EMUL_ACC_WRITE);

	if (r)
		return r;
	if (memcmp(shadow + (linear - DATA_BASE), old, len))
		return outside();
	memcpy(shadow + (linear - DATA_BASE), new, len);
	return EMUL_OK;
}

static int pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		  void *buf)
{
	return outside();
}

static int pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		   const void *buf)
{
	return outside();
}

static void get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	*seg = t.seg[sreg];
}

static void set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	t.seg[sreg] = *seg;
}

static int get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	u32 lo, hi;

	if (class != EMUL_REG_XCR || index)
		return outside();
	asm volatile("xgetbv" : "=a" (lo), "=d" (hi) : "c" (0));
	*value = (u64)hi << 32 | lo;
	return EMUL_OK;
}

static int set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	return outside();
}

static int read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *buf,
		    unsigned int len)
{
	if (kind == EMUL_FPU_CONTROL || kind == EMUL_FPU_IMAGE)
		return outside();
	memcpy(buf, kind == EMUL_FPU_MMX ? (u8 *)&t.emul.mm[reg] : t.emul.vec[reg], len);
	return EMUL_OK;
}

static int write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		     const void *buf, unsigned int len)
{
	if (kind == EMUL_FPU_CONTROL || kind == EMUL_FPU_IMAGE)
		return outside();
	if (kind == EMUL_FPU_AVX)
		memset(t.emul.vec[reg], 0, 32);
	memcpy(kind == EMUL_FPU_MMX ? (u8 *)&t.emul.mm[reg] : t.emul.vec[reg], buf, len);
	return EMUL_OK;
}

static int special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	return what == EMUL_SP_PAUSE ? EMUL_OK : outside();
}

static const struct emul_ops ops = {
	.read_mem = read_mem, .write_mem = write_mem, .cmpxchg_mem = cmpxchg_mem,
	.probe_mem = check, .pio_in = pio_in, .pio_out = pio_out, .get_seg = get_seg,
	.set_seg = set_seg, .get_reg = get_reg, .set_reg = set_reg, .read_fpu = read_fpu,
	.write_fpu = write_fpu, .special = special,
};

/* Segments as Linux gives them to a user process. */
static void set_segments(const struct machine *m)
{
	struct emul_seg d = { .sel = m->ds, .base = m->data, .limit = 0xffffffff, .attr = 0xc0f3 };
	struct emul_seg c = { .sel = m->cs, .base = m->code, .limit = 0xffffffff };
	struct emul_seg none = { .attr = EMUL_SEG_UNUSABLE };

	c.attr = m->bits == 64 ? 0xa0fb : m->bits == 32 ? 0xc0fb : 0x00fb;
	if (m->bits == 16) {
		c.limit = 0xffff;
		d.limit = 0xffff;
		d.attr = 0x00f3;
	}
	t.seg[EMUL_ES] = d;
	t.seg[EMUL_SS] = d;
	t.seg[EMUL_DS] = d;
	t.seg[EMUL_CS] = c;
	t.seg[EMUL_FS] = none;
	if (m->bits == 64)
		syscall(SYS_arch_prctl, ARCH_GET_FS, &t.seg[EMUL_FS].base);
	t.seg[EMUL_GS] = none;
	t.seg[EMUL_TR] = (struct emul_seg){ .sel = 0x40, .limit = 103, .attr = 0x8b };
	t.seg[EMUL_LDTR] = (struct emul_seg){ .sel = 0x50, .base = FAKE_LDT, .limit = 15,
					      .attr = 0x82 };
	t.seg[EMUL_GDTR] = (struct emul_seg){ .base = FAKE_GDT, .limit = 127 };
}

static u64 interesting(void)
{
	static const u64 edges[] = { 0, 1, ~0ull, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
				     0x7fffffff, 0x80000000, 0xffffffff, 1ull << 63,
				     ~(1ull << 63) };

	switch (rnd() % 4) {
	case 0:
		return edges[rnd() % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return rnd() & 0xff;
	default:
		return rnd();
	}
}

/* An offset in the data segment: mostly well inside, sometimes at the end of what is mapped. */
static u64 data_offset(void)
{
	u64 off = one_in(12) ? DATA_SIZE - 40 + rnd() % 44 : 0x100 + rnd() % (DATA_SIZE - 0x200);

	if (!one_in(4))
		off &= ~31ull;
	return t.m->bits == 16 ? off : DATA_BASE + off;
}

static void random_state(const struct machine *m)
{
	struct native_state *s = &t.in;
	u64 mask = m->bits == 64 ? ~0ull : 0xffffffff;
	unsigned int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 16; i++)
		s->gpr[i] = interesting() & mask;
	s->gpr[EMUL_RSP] = data_offset();
	s->gpr[EMUL_RSI] = data_offset();
	s->gpr[EMUL_RDI] = data_offset();
	if (one_in(2))
		s->gpr[EMUL_RBP] = data_offset();
	if (one_in(4))
		s->gpr[EMUL_RBX] = data_offset() - (u8)s->gpr[EMUL_RAX];
	s->gpr[EMUL_RBX] &= mask;
	s->rip = m->bits == 16 ? 0x800 : CODE_BASE + 0x800;
	s->rflags = (rnd() & (FLAGS_ARITH | FLAG_DF)) | FLAG_IF | 2;
	if (one_in(20))
		s->rflags |= FLAG_AC;
	s->cs = m->cs;
	s->ss = m->ds;
	s->ds = m->ds;
	s->es = m->ds;
	for (i = 0; i < sizeof(s->vec); i += 8)
		*(u64 *)&s->vec[i / 32][i % 32] = rnd();
	if (!native_has_avx())
		for (i = 0; i < 16; i++)
			memset(s->vec[i] + 16, 0, 16);
	for (i = 0; i < 8; i++)
		s->mm[i] = rnd();
}

/* Where the vendors differ: 66h before a near branch in 64-bit mode, far pointers with REX.W. */
static unsigned int decode_flags;

static void detect_vendor(void)
{
	unsigned int a, b, c, d;

	/* AuthenticAMD, HygonGenuine */
	if (__get_cpuid(0, &a, &b, &c, &d) && (b == 0x68747541 || b == 0x6f677948))
		decode_flags = EMUL_DEC_BRANCH16 | EMUL_DEC_FAR32;
}

static int decode(void)
{
	return emul_decode(&t.ctx.insn, t.bytes, EMUL_MAX_INSN, t.m->mode, decode_flags);
}

/* An INT3 behind it would not be met: TF ends these (it is slow where a hypervisor sees #DB). */
static bool goes_elsewhere(void)
{
	const struct emul_opcode *op = t.ctx.insn.op;

	return op->flags & F_F64 || op->exec == em_jmp_far || op->exec == em_call_far ||
	       op->exec == em_ret_far || op->exec == em_iret;
}

/* These would break this process, or are not what the user gets from Linux (UMIP). */
static bool excluded(void)
{
	const struct emul_insn *insn = &t.ctx.insn;
	unsigned int sreg;

	if (insn->op->flags & F_UMIP)
		return true;
	if (insn->op->exec == em_loop && insn->rep)
		return true;	/* AMD processors take REPE and REPNE for LOOPE and LOOPNE */
	if (insn->op->exec == em_mov_to_seg || insn->op->exec == em_load_far_ptr ||
	    insn->op->exec == em_pop_seg)
		sreg = insn->op->arg;
	else
		return false;
	return sreg == EMUL_SS || sreg == EMUL_FS || sreg == EMUL_GS;
}

/* Write @val somewhere in the instruction so that its address becomes @want. */
static bool patch_displacement(u64 want)
{
	u8 saved[16];
	unsigned int pos, n = t.ctx.insn.mem.addr_bytes == 2 ? 2 : 4;
	u64 val = want;

	memcpy(saved, t.bytes, sizeof(saved));
	if (t.ctx.insn.mem.rip_rel)
		val -= t.in.rip + t.ctx.insn.length;
	if (t.ctx.insn.op->dst >= O_OB || t.ctx.insn.op->src >= O_OB)
		n = t.ctx.insn.mem.addr_bytes;
	for (pos = 1; pos + n <= t.ctx.insn.length; pos++) {
		memcpy(t.bytes + pos, &val, n);
		if (decode() == EMUL_OK && t.ctx.insn.has_mem) {
			memcpy(t.ctx.gpr, t.in.gpr, sizeof(t.in.gpr));
			t.ctx.rip = t.in.rip;
			if (emul_effective(&t.ctx, &t.ctx.insn.mem) == want)
				return true;
		}
		memcpy(t.bytes, saved, sizeof(saved));
	}
	return false;
}

/* Make the memory operand fall into the data. */
static void aim(void)
{
	const struct emul_mem *mem = &t.ctx.insn.mem;
	u64 want = data_offset(), mask = t.m->bits == 64 ? ~0ull : 0xffffffff, ea;
	u8 reg = mem->base;

	if (!t.ctx.insn.has_mem || one_in(40))
		return;
	memcpy(t.ctx.gpr, t.in.gpr, sizeof(t.in.gpr));
	t.ctx.rip = t.in.rip;
	if (reg == EMUL_NO_REG && mem->index == EMUL_NO_REG) {
		patch_displacement(want);
		decode();
		return;
	}
	if (reg == EMUL_NO_REG || (reg == mem->index && mem->base == EMUL_NO_REG)) {
		if (mem->scale != 1)
			return;
		reg = mem->index;
	}
	if (mem->base == mem->index)
		return;
	ea = emul_effective(&t.ctx, mem);
	t.in.gpr[reg] = (t.in.gpr[reg] + want - ea) & mask;
}

/* Operands that random values would seldom make worth a run. */
static void tune(void)
{
	static const u16 sels[] = { 0, 3, 0x2b, 0x28, 0x33, 0x23, 0x10, 0x18, 7, 0xf, 0x17, 0x3b };
	const struct emul_insn *insn = &t.ctx.insn;
	u64 *gpr = t.in.gpr;

	if (insn->op->flags & F_STRING) {
		gpr[EMUL_RCX] = one_in(16) ? 0 : rnd() & 31;
		if (one_in(2)) {	/* equal runs for CMPS and SCAS */
			gpr[EMUL_RAX] = 0;
			memset(pattern + 0x400, 0, 0x800);
			gpr[EMUL_RSI] = (t.m->bits == 16 ? 0 : DATA_BASE) + 0x600 + (rnd() & 255);
			gpr[EMUL_RDI] = (t.m->bits == 16 ? 0 : DATA_BASE) + 0x900 + (rnd() & 255);
		}
	}
	if ((insn->op->exec == em_div || insn->op->exec == em_idiv) && !one_in(4))
		gpr[EMUL_RDX] = one_in(2) ? 0 : ~0ull >> (64 - t.m->bits % 63);
	if (insn->op->exec == em_mov_to_seg && !insn->has_mem)
		gpr[insn->rm] = sels[rnd() % (sizeof(sels) / sizeof(sels[0]))];
	/*
	 * A fault within these leaves what the manual does not say: registers already popped, or
	 * the stack behind a far return's frame looked at before CS is judged.
	 */
	if (insn->op->exec == em_ret_far || insn->op->exec == em_popa ||
	    insn->op->exec == em_iret) {
		if (insn->op->src == O_IW)
			memset(t.bytes + insn->length - 2, 0, 2);
		gpr[EMUL_RSP] &= ~0x10full;
	}
	if (insn->op->exec == em_cmpxchg && !insn->has_mem && one_in(2))
		gpr[insn->rm] = gpr[EMUL_RAX];
	if (t.m->bits < 64)
		gpr[EMUL_RDX] &= 0xffffffff;
}

static u32 features(void)
{
	unsigned int eax, ebx, ecx, edx;
	u32 f = EMUL_FEAT_ALL;

	if (!native_has_avx())
		f &= ~(u32)(EMUL_FEAT_AVX | EMUL_FEAT_AVX2);
	if (!__builtin_cpu_supports("avx2"))
		f &= ~(u32)EMUL_FEAT_AVX2;
	if (!__builtin_cpu_supports("sse4.2"))
		f &= ~(u32)EMUL_FEAT_SSE42;
	if (!__builtin_cpu_supports("bmi"))
		f &= ~(u32)EMUL_FEAT_BMI1;
	if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !(ecx & 1 << 5))
		f &= ~(u32)EMUL_FEAT_LZCNT;
	return f;
}

/* Run it to its end on the emulator; EMUL_OK or EMUL_FAULT or something not comparable. */
static int run_emulator(void)
{
	struct emul_ctx *ctx = &t.ctx;
	unsigned int i;
	int r = EMUL_OK;

	t.emul = t.in;
	t.outside = false;
	set_segments(t.m);
	ctx->ops = &ops;
	ctx->mode = t.m->mode;
	ctx->cpl = 3;
	ctx->cr0 = 0x80050033;
	ctx->cr4 = 0x406f0;
	ctx->efer = 0xd01;
	ctx->features = features();
	for (i = 0; i < 100000; i++) {
		memcpy(ctx->gpr, t.emul.gpr, sizeof(ctx->gpr));
		ctx->rip = t.in.rip;
		ctx->rflags = t.emul.rflags;
		r = emul_exec(ctx);
		if (r)
			break;
		memcpy(t.emul.gpr, ctx->gpr, sizeof(ctx->gpr));
		t.emul.rip = ctx->rip;
		t.emul.rflags = ctx->rflags;
		if (!ctx->more)
			break;
	}
	t.emul.trap = r ? ctx->fault.vector : 1;
	t.emul.error_code = r && ctx->fault.has_error_code ? ctx->fault.error_code : 0;
	t.emul.cr2 = r ? ctx->fault.address : 0;
	t.emul.cs = t.seg[EMUL_CS].sel;
	t.emul.ds = t.seg[EMUL_DS].sel;
	t.emul.es = t.seg[EMUL_ES].sel;
	return t.outside ? EMUL_UNHANDLEABLE : r;
}

static void show_state(const char *who, const struct native_state *s)
{
	unsigned int i;

	printf("# %s trap %d error %x cr2 %llx rip %llx rflags %llx cs %x ds %x es %x\n#  ", who,
	       s->trap, s->error_code, (unsigned long long)s->cr2, (unsigned long long)s->rip,
	       (unsigned long long)s->rflags, s->cs, s->ds, s->es);
	for (i = 0; i < 16; i++)
		printf(" %llx", (unsigned long long)s->gpr[i]);
	printf("\n");
}

static void report(const char *what)
{
	unsigned int i;

	printf("# %s: %s differs:", t.m->name, what);
	for (i = 0; i < t.ctx.insn.length; i++)
		printf(" %02x", t.bytes[i]);
	printf("\n");
	show_state("in    ", &t.in);
	show_state("native", &t.native);
	show_state("emul  ", &t.emul);
}

/* Of a null selector the processor clears the RPL when it returns from the kernel. */
static bool same_selector(u16 a, u16 b)
{
	return a == b || (a < 4 && b < 4);
}

/* CMPS (A6h) or SCAS (AEh) */
static bool is_comparison(unsigned int opcode)
{
	return t.ctx.insn.op->exec == em_string && (t.ctx.insn.opcode & 0xfe) == opcode;
}

/* Flags that the manual leaves undefined, where the emulator does not ask the processor. */
static u64 undefined_flags(void)
{
	const struct emul_opcode *op = t.ctx.insn.op;

	if (op->exec == em_daa)
		return FLAG_OF;
	if (op->exec == em_aaa)
		return FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF;
	if (op->exec == em_aam || op->exec == em_aad)
		return FLAG_OF | FLAG_AF | FLAG_CF;
	/* A fault finds the last iteration's on AMD's processors, those of before on Intel's. */
	if ((is_comparison(0xa6) || is_comparison(0xae)) && t.native.trap)
		return FLAGS_ARITH;
	return 0;
}

/*
 * Which operand of CMPS a processor reads first is its own affair (AMD's last ones: ES:RDI). If
 * that one faults here as well, its fault is taken for the emulator's.
 */
static void other_operand_of_cmps(void)
{
	struct emul_ctx *ctx = &t.ctx;
	unsigned int bytes = ctx->insn.opcode & 1 ? ctx->insn.op_bytes : 1;
	u64 offset, linear;
	int r;

	if (!is_comparison(0xa6) || t.emul.trap == 1 ||
	    (t.emul.trap == t.native.trap && (t.emul.trap != VEC_PF || t.emul.cr2 == t.native.cr2)))
		return;
	memcpy(ctx->gpr, t.emul.gpr, sizeof(ctx->gpr));
	offset = emul_reg_get(ctx, EMUL_RDI, ctx->insn.addr_bytes);
	r = emul_linear(ctx, EMUL_ES, offset, bytes, EMUL_ACC_READ, &linear);
	if (!r)
		r = check(ctx, linear, bytes, EMUL_ACC_READ);
	if (r != EMUL_FAULT)
		return;
	t.emul.trap = ctx->fault.vector;
	t.emul.error_code = ctx->fault.has_error_code ? ctx->fault.error_code : 0;
	t.emul.cr2 = ctx->fault.address;
}

/*
 * A far call to an offset beyond the new segment's limit: AMD's processors have pushed the return
 * address by then (APM vol. 3 "CALL (Far)"), Intel's have not (SDM vol. 2), nor has the emulator.
 * What is below the stack pointer is nobody's, so either will do.
 */
static void frame_of_refused_call(void)
{
	unsigned int i, bytes = t.ctx.insn.op_bytes;
	u64 mask = t.m->bits == 16 ? 0xffff : t.m->bits == 32 ? 0xffffffff : ~0ull, at;

	if (t.ctx.insn.op->exec != em_call_far || t.native.trap != VEC_GP)
		return;
	for (i = 1; i <= 2 * bytes; i++) {
		at = t.m->data + ((t.in.gpr[EMUL_RSP] - i) & mask) - DATA_BASE;
		if (at < DATA_SIZE)
			shadow[at] = data[at];
	}
}

/*
 * An operand of up to 512 bytes (FXSAVE) that goes on at 0 behind the end of 4 GiB: the emulator
 * holds it to the segment's limit, processors may let it wrap around, to where nothing is mapped.
 */
static bool wraps_around(void)
{
	const struct emul_mem *mem = &t.ctx.insn.mem;

	if (t.m->bits != 32 || !t.ctx.insn.has_mem || t.native.trap != VEC_PF ||
	    t.native.cr2 >= 512 || (t.emul.trap != VEC_GP && t.emul.trap != VEC_SS))
		return false;
	memcpy(t.ctx.gpr, t.in.gpr, sizeof(t.in.gpr));
	return (u32)emul_effective(&t.ctx, mem) > 0xffffffff - 512;
}

/* What differs, or NULL. */
static const char *compare(void)
{
	const struct native_state *n = &t.native, *e = &t.emul;

	if (wraps_around())
		return NULL;
	other_operand_of_cmps();
	frame_of_refused_call();
	if (n->trap != e->trap)
		return "exception";
	if (n->trap != 1 && n->error_code != e->error_code)
		return "error code";
	if (n->trap == VEC_PF && n->cr2 != e->cr2)
		return "CR2";
	if (memcmp(n->gpr, e->gpr, sizeof(n->gpr)))
		return "register";
	if (n->rip != e->rip || n->cs != e->cs)
		return "RIP";
	if ((n->rflags ^ e->rflags) & FLAGS_COMPARED & ~undefined_flags())
		return "flags";
	if (!same_selector(n->ds, e->ds) || !same_selector(n->es, e->es))
		return "segment register";
	if (memcmp(n->vec, e->vec, sizeof(n->vec)))
		return "vector register";
	if (memcmp(n->mm, e->mm, sizeof(n->mm)))
		return "MMX register";
	if (memcmp(data, shadow, DATA_SIZE))
		return "memory";
	return NULL;
}

struct tally {
	unsigned long run, faults, skipped, refused, wrong;
};

/* Is LOCK the one thing that is wrong with it? Then the processor must refuse it as well. */
static bool only_lock_is_wrong(void)
{
	u8 *lock = memchr(t.bytes, 0xf0, 4);
	int r;

	if (!lock)
		return false;
	*lock = 0x3e;
	r = decode();
	*lock = 0xf0;
	return r == EMUL_OK && t.ctx.insn.op->exec && !excluded() && decode() == EMUL_UD;
}

static void one_refused(struct tally *tally)
{
	if (!only_lock_is_wrong())
		return;
	memcpy((void *)(t.m->code + t.in.rip), t.bytes, sizeof(t.bytes));
	t.native = t.in;
	t.emul = t.in;
	tally->refused++;
	native_run(&t.native);
	/* VERR and VERW read their operand before they find the prefix, on AMD's processors. */
	if (t.native.trap != 1 && t.ctx.insn.op && t.ctx.insn.op->exec == em_verr)
		return;
	if (t.native.trap != VEC_UD && tally->wrong++ < 10)
		report("LOCK");
}

/* The bytes are in t.bytes; everything else is random. */
static void one(struct tally *tally)
{
	const char *what;
	int r;

	memcpy(pattern, base, DATA_SIZE);
	random_state(t.m);
	r = decode();
	if (r == EMUL_UD)
		one_refused(tally);
	if (r != EMUL_OK || !t.ctx.insn.op->exec || excluded())
		return;
	aim();
	tune();
	if (goes_elsewhere())
		t.in.rflags |= FLAG_TF;
	t.bytes[t.ctx.insn.length] = 0xcc;
	decode();
	memcpy(shadow, pattern, DATA_SIZE);
	r = run_emulator();
	if (r != EMUL_OK && r != EMUL_FAULT) {
		tally->skipped++;
		return;
	}
	tally->run++;
	tally->faults += r == EMUL_FAULT;
	memcpy((void *)(t.m->code + t.in.rip), t.bytes, sizeof(t.bytes));
	memcpy(data, pattern, DATA_SIZE);
	t.native = t.in;
	native_run(&t.native);
	if (t.m->bits < 64)	/* Linux leaves its own in the upper half of a 16-bit stack's RSP */
		t.native.gpr[EMUL_RSP] &= 0xffffffff;
	what = compare();
	if (what && tally->wrong++ < 10)
		report(what);
}

static void random_base(void)
{
	unsigned int i;

	for (i = 0; i < DATA_SIZE; i += 8)
		*(u64 *)(base + i) = rnd();
}

#ifdef LIBFUZZER
/* A byte that says in which mode, the instruction, and a seed for everything else. */
struct input {
	u8 machine;
	u8 bytes[15];
	u64 seed;
};

int LLVMFuzzerTestOneInput(const u8 *in, size_t size)
{
	struct tally tally = { 0 };
	struct input input = { 0 };

	if (!t.m) {
		detect_vendor();
		random_base();
		if (!native_init() || !native_confine())
			exit(4);
	}
	memcpy(&input, in, size < sizeof(input) ? size : sizeof(input));
	t.m = &machines[input.machine % 3];
	memcpy(t.bytes, input.bytes, sizeof(input.bytes));
	t.bytes[15] = 0x90;
	seed = input.seed | 1;
	one(&tally);
	/* Once in some 100000 a guest's processor has done what it did not do again: not ours. */
	if (tally.wrong) {
		tally.wrong = 0;
		memcpy(t.bytes, input.bytes, sizeof(input.bytes));
		t.bytes[15] = 0x90;
		seed = input.seed | 1;
		one(&tally);
	}
	if (tally.wrong) {
		fflush(stdout);		/* abort() would lose the report */
		abort();
	}
	return 0;
}
#else
/* Prefixes, an escape, an opcode of the map at random, operand bytes. */
static void random_bytes(void)
{
	static const u8 pfx[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x3e, 0x26, 0x2e, 0x36, 0x48, 0x44,
				  0x41, 0x4f, 0x40 };
	unsigned int i, n = 0;

	for (i = 0; i < sizeof(t.bytes); i++)
		t.bytes[i] = rnd();
	while (one_in(3) && n < 3)
		t.bytes[n++] = pfx[rnd() % sizeof(pfx)];
	switch (rnd() % 8) {
	case 0: case 1: case 2:
		t.bytes[n] = 0x0f;
		break;
	case 3:
		t.bytes[n] = 0x0f;
		t.bytes[n + 1] = 0x38;
		t.bytes[n + 2] = rnd() & 1 ? 0xf0 + (rnd() & 1) : 0x2a;
		break;
	case 4:
		t.bytes[n] = 0xc5;
		t.bytes[n + 1] |= one_in(8) ? 0 : 0x78;
		break;
	}
}

/* Seeds for the fuzzer: each opcode of each map that the tables have, in each mode. */
static int write_corpus(const char *dir)
{
	static const u8 maps[][4] = { { 0 }, { 1, 0x0f }, { 2, 0x0f, 0x38 }, { 2, 0xc5, 0xf8 },
				      { 1, 0xf0 }, { 1, 0xf3 }, { 1, 0x66 }, { 2, 0x66, 0x0f },
				      { 2, 0xf3, 0x0f }, { 3, 0xf2, 0x0f, 0x38 } };
	unsigned int map, op, k;
	char name[4096];
	FILE *f;

	for (map = 0; map < sizeof(maps) / sizeof(maps[0]); map++)
		for (op = 0; op < 256; op++)
			for (k = 0; k < 3; k++) {
				u8 in[24] = { k };
				unsigned int n = maps[map][0];

				memcpy(in + 1, maps[map] + 1, n);
				in[1 + n] = op;
				in[2 + n] = 0x07;
				in[16] = op;
				snprintf(name, sizeof(name), "%s/%u-%02x-%u", dir, map, op, k);
				f = fopen(name, "w");
				if (!f || fwrite(in, sizeof(in), 1, f) != 1 || fclose(f))
					return 1;
			}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long count = 60000, i;
	unsigned int k;

	if (argc > 2 && !strcmp(argv[1], "corpus"))
		return write_corpus(argv[2]);
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	if (argc > 2)
		count = strtoul(argv[2], NULL, 0);
	detect_vendor();
	ktap_plan(sizeof(machines) / sizeof(machines[0]));
	if (!native_init() || !native_confine()) {
		for (k = 0; k < sizeof(machines) / sizeof(machines[0]); k++)
			ktap_skip(machines[k].name, "no low memory, no LDT or no seccomp here");
		return 4;
	}
	for (k = 0; k < sizeof(machines) / sizeof(machines[0]); k++) {
		struct tally tally = { 0 };

		t.m = &machines[k];
		while (tally.run < count) {
			random_base();
			for (i = 0; i < 100; i++) {
				random_bytes();
				one(&tally);
			}
		}
		printf("# %s: %lu run (%lu faults), %lu LOCKs refused, %lu skipped, %lu differ\n",
		       t.m->name, tally.run, tally.faults, tally.refused, tally.skipped,
		       tally.wrong);
		ktap_result(!tally.wrong && tally.refused, t.m->name);
	}
	return ktap_exit();
}
#endif
