// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator: rows of bytes and what they do, in the kernel that will execute them.
 * Entered from KUnit.  module/emul/test/ has the many more that run natively.
 * No locks.
 * AMD APM vol. 3; Intel SDM vol. 2.
 */
#include "../emul/glue.h"
#include "kunit.h"

#define CF	BIT(0)
#define PF	BIT(2)
#define AF	BIT(4)
#define ZF	BIT(6)
#define SF	BIT(7)
#define DF	BIT(10)
#define OF	BIT(11)
#define FLAGS	(CF | PF | AF | ZF | SF | OF)

#define RIP	0x1000
#define DATA	0x2000		/* where RSI and RDI point */

static u8 memory[0x4000];
static u64 port_seen;

static int mem_read(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		    unsigned int access)
{
	if (linear + len > sizeof(memory) || linear + len < linear)
		return emul_page_fault(ctx, linear, access & EMUL_ACC_RMW ? 2 : 0);
	memcpy(data, memory + linear, len);
	return EMUL_OK;
}

static int mem_write(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
		     unsigned int access)
{
	if (linear + len > sizeof(memory) || linear + len < linear)
		return emul_page_fault(ctx, linear, 2);
	memcpy(memory + linear, data, len);
	return EMUL_OK;
}

static int mem_cmpxchg(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		       unsigned int len)
{
	if (linear + len > sizeof(memory))
		return emul_page_fault(ctx, linear, 2);
	if (memcmp(memory + linear, old, len))
		return EMUL_RETRY;
	memcpy(memory + linear, new, len);
	return EMUL_OK;
}

static int mem_probe(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access)
{
	return linear + len > sizeof(memory) ? emul_page_fault(ctx, linear, 2) : EMUL_OK;
}

static int pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count, void *data)
{
	memset(data, 0x5a, size * count);
	return EMUL_OK;
}

static int pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		   const void *data)
{
	port_seen = (u64)port << 32;
	memcpy(&port_seen, data, size);
	return EMUL_OK;
}

static void get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	*seg = (struct emul_seg) {
		.limit = ~0U, .sel = 8,
		.attr = EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_G | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED |
			(sreg == EMUL_CS ? EMUL_SEG_CODE | EMUL_SEG_L : EMUL_SEG_DB),
	};
}

static void set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
}

static int get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	*value = 0x80050033;
	return EMUL_OK;
}

static int set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	return emul_fault(ctx, 13, 0);
}

static int fpu_read(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *data,
		    unsigned int len)
{
	memset(data, reg, len);
	return EMUL_OK;
}

static int fpu_write(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		     const void *data, unsigned int len)
{
	return EMUL_OK;
}

static int special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	ctx->gpr[EMUL_RAX] = what;
	return EMUL_OK;
}

static const struct emul_ops ops = {
	.read_mem = mem_read, .write_mem = mem_write, .cmpxchg_mem = mem_cmpxchg,
	.probe_mem = mem_probe, .pio_in = pio_in, .pio_out = pio_out, .get_seg = get_seg,
	.set_seg = set_seg, .get_reg = get_reg, .set_reg = set_reg, .read_fpu = fpu_read,
	.write_fpu = fpu_write, .special = special,
};

/**
 * struct row - one instruction of 64-bit mode
 * @len: of @bytes
 * @bytes: the instruction
 * @flags: before
 * @rax: before
 * @rcx: before
 * @mem: the 8 bytes at DATA before; RBX, RSI and RDI point there
 * @want_flags: after; of FLAGS
 * @want_rax: after
 * @want_mem: after
 * @vector: the fault, or -1
 */
struct row {
	u8 len;
	u8 bytes[15];
	u32 flags;
	u64 rax, rcx, mem;
	u32 want_flags;
	u64 want_rax, want_mem;
	int vector;
};

#define OK	-1
#define B(...)	sizeof((u8[]){ __VA_ARGS__ }), { __VA_ARGS__ }
#define FF	0xffffffffffffffffULL

static const struct row rows[] = {
	/* mov [rbx], al/ax/eax/rax; and back; a 32-bit result clears what lies above it */
	{ B(0x88, 0x03), 0, 0x1122334455667788, 0, FF, 0, 0x1122334455667788,
	  0xffffffffffffff88, OK },
	{ B(0x66, 0x89, 0x03), 0, 0x7788, 0, FF, 0, 0x7788, 0xffffffffffff7788, OK },
	{ B(0x89, 0x03), 0, 0x55667788, 0, FF, 0, 0x55667788, 0xffffffff55667788, OK },
	{ B(0x48, 0x89, 0x03), 0, 0x1122334455667788, 0, FF, 0, 0x1122334455667788,
	  0x1122334455667788, OK },
	{ B(0x8a, 0x03), 0, FF, 0, 0x11, 0, 0xffffffffffffff11, 0x11, OK },
	{ B(0x8a, 0x23), 0, FF, 0, 0x11, 0, 0xffffffffffff11ff, 0x11, OK },	/* AH */
	{ B(0x66, 0x8b, 0x03), 0, FF, 0, 0x1122, 0, 0xffffffffffff1122, 0x1122, OK },
	{ B(0x8b, 0x03), 0, FF, 0, 0x99aabbccddeeff00, 0, 0xddeeff00, 0x99aabbccddeeff00, OK },
	{ B(0x48, 0x8b, 0x03), 0, 0, 0, 0x99aabbccddeeff00, 0, 0x99aabbccddeeff00,
	  0x99aabbccddeeff00, OK },
	/* mov dword/qword [rbx], imm32 */
	{ B(0xc7, 0x03, 0x78, 0x56, 0x34, 0x92), 0, 0, 0, FF, 0, 0, 0xffffffff92345678, OK },
	{ B(0x48, 0xc7, 0x03, 0x78, 0x56, 0x34, 0x92), 0, 0, 0, 0, 0, 0, 0xffffffff92345678, OK },
	{ B(0xc6, 0x03, 0xab), 0, 0, 0, 0, 0, 0, 0xab, OK },
	/* movzx, movsx, movsxd */
	{ B(0x0f, 0xb6, 0x03), 0, FF, 0, 0x80, 0, 0x80, 0x80, OK },
	{ B(0x0f, 0xb7, 0x03), 0, FF, 0, 0x8000, 0, 0x8000, 0x8000, OK },
	{ B(0x48, 0x0f, 0xbe, 0x03), 0, 0, 0, 0x80, 0, 0xffffffffffffff80, 0x80, OK },
	{ B(0x0f, 0xbf, 0x03), 0, FF, 0, 0x8000, 0, 0xffff8000, 0x8000, OK },
	{ B(0x48, 0x63, 0x03), 0, 0, 0, 0x80000000, 0, 0xffffffff80000000, 0x80000000, OK },
	/* add, with each flag */
	{ B(0x00, 0x03), 0, 0x01, 0, 0xff, CF | PF | AF | ZF, 0x01, 0x00, OK },
	{ B(0x00, 0x03), 0, 0x01, 0, 0x7f, AF | SF | OF, 0x01, 0x80, OK },
	{ B(0x01, 0x03), 0, 0x80000000, 0, 0x80000000, CF | PF | ZF | OF, 0x80000000, 0, OK },
	{ B(0x48, 0x01, 0x03), FLAGS, 1, 0, 2, PF, 1, 3, OK },
	/* adc, sbb take CF */
	{ B(0x11, 0x03), CF, 0, 0, 0xffffffff, CF | PF | AF | ZF, 0, 0, OK },
	{ B(0x19, 0x03), CF, 0, 0, 0, CF | PF | AF | SF, 0, 0xffffffff, OK },
	/* sub, cmp, neg */
	{ B(0x29, 0x03), 0, 1, 0, 0, CF | PF | AF | SF, 1, 0xffffffff, OK },
	{ B(0x28, 0x03), 0, 0x01, 0, 0x80, AF | OF, 0x01, 0x7f, OK },
	{ B(0x39, 0x03), 0, 5, 0, 5, PF | ZF, 5, 5, OK },
	{ B(0xf7, 0x1b), 0, 0, 0, 0, PF | ZF, 0, 0, OK },
	{ B(0xf6, 0x1b), 0, 0, 0, 0x80, CF | SF | OF, 0, 0x80, OK },
	/* and, or, xor, not, test */
	{ B(0x21, 0x03), FLAGS, 0xf0, 0, 0x3c, PF, 0xf0, 0x30, OK },
	{ B(0x09, 0x03), 0, 0x80000000, 0, 0x1, SF, 0x80000000, 0x80000001, OK },
	{ B(0x31, 0x03), 0, 0x55, 0, 0x55, PF | ZF, 0x55, 0, OK },
	{ B(0xf7, 0x13), FLAGS, 0, 0, 0, FLAGS, 0, 0xffffffff, OK },
	{ B(0x84, 0x03), CF | OF, 0x80, 0, 0x80, SF, 0x80, 0x80, OK },
	{ B(0xf6, 0x03, 0x01), 0, 0, 0, 0x02, PF | ZF, 0, 0x02, OK },
	/* inc, dec leave CF alone */
	{ B(0xfe, 0x03), CF, 0, 0, 0xff, CF | PF | AF | ZF, 0, 0, OK },
	{ B(0xff, 0x0b), CF, 0, 0, 0x80000000, CF | PF | AF | OF, 0, 0x7fffffff, OK },
	/* xchg, cmpxchg, xadd; with and without LOCK */
	{ B(0x87, 0x03), 0, 0x11, 0, 0x22, 0, 0x22, 0x11, OK },
	{ B(0xf0, 0x0f, 0xb1, 0x0b), 0, 7, 9, 7, PF | ZF, 7, 9, OK },
	{ B(0x0f, 0xb1, 0x0b), 0, 6, 9, 7, CF | PF | AF | SF, 7, 7, OK },
	{ B(0xf0, 0x0f, 0xc1, 0x03), 0, 3, 0, 4, 0, 4, 7, OK },
	{ B(0xf0, 0xff, 0x03), 0, 0, 0, 0, 0, 0, 1, OK },
	{ B(0xf0, 0x89, 0x03), 0, 0, 0, 0, 0, 0, 0, 6 },	/* not LOCKable */
	/* bt, bts, btr, btc */
	{ B(0x0f, 0xba, 0x23, 0x04), 0, 0, 0, 0x10, CF, 0, 0x10, OK },
	{ B(0x0f, 0xba, 0x2b, 0x05), 0, 0, 0, 0x10, 0, 0, 0x30, OK },
	{ B(0xf0, 0x0f, 0xba, 0x33, 0x04), 0, 0, 0, 0x10, CF, 0, 0x00, OK },
	{ B(0x0f, 0xbb, 0x0b), 0, 0, 3, 0, 0, 0, 0x08, OK },
	{ B(0x0f, 0xab, 0x0b), 0, 0, 33, 0, 0, 0, 0x200000000, OK },
	/* shl, shr, sar by 1 and CL */
	{ B(0xd1, 0x23), 0, 0, 0, 0x80000000, CF | PF | ZF | OF, 0, 0, OK },
	{ B(0xd1, 0x2b), 0, 0, 0, 0x3, CF, 0, 0x1, OK },
	{ B(0xd3, 0x2b), CF | ZF, 0, 32, 0x8, CF | ZF, 0, 0x8, OK },	/* by 0: no flag changes */
	/* movbe */
	{ B(0x0f, 0x38, 0xf0, 0x03), 0, 0, 0, 0x11223344, 0, 0x44332211, 0x11223344, OK },
	{ B(0x0f, 0x38, 0xf1, 0x03), 0, 0x11223344, 0, 0, 0, 0x11223344, 0x44332211, OK },
	/* movnti, moffs */
	{ B(0x0f, 0xc3, 0x03), 0, 0x12345678, 0, 0, 0, 0x12345678, 0x12345678, OK },
	{ B(0xa0, 0x00, 0x20, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0x77, 0, 0x77, 0x77, OK },
	{ B(0xa3, 0x00, 0x20, 0, 0, 0, 0, 0, 0), 0, 0x99, 0, 0, 0, 0x99, 0x99, OK },
	/* stos, lods */
	{ B(0xaa), 0, 0x41, 0, 0, 0, 0x41, 0x41, OK },
	{ B(0x48, 0xad), 0, 0, 0, 0x1234, 0, 0x1234, 0x1234, OK },
	{ B(0xf3, 0xaa), 0, 0x41, 4, 0, 0, 0x41, 0x41414141, OK },
	{ B(0xf3, 0xaa), 0, 0x41, 0, 0x99, 0, 0x41, 0x99, OK },
	/* in, out: no memory */
	{ B(0xe4, 0x60), 0, 0, 0, 0, 0, 0x5a, 0, OK },
	{ B(0xe6, 0x80), 0, 0x33, 0, 0, 0, 0x33, 0, OK },
	/* faults */
	{ B(0x0f, 0x0b), 0, 0, 0, 0, 0, 0, 0, 6 },			/* ud2 */
	{ B(0x8b, 0x04, 0x25, 0, 0, 0x10, 0), 0, 0, 0, 0, 0, 0, 0, 14 },
	{ B(0xf7, 0x33), 0, 1, 0, 0, 0, 1, 0, 0 },			/* div by 0 */
	{ B(0x8b, 0x00), 0, 0x8000000000000000, 0, 0, 0, 0x8000000000000000, 0, 13 },
	{ B(0x06), 0, 0, 0, 0, 0, 0, 0, 6 },				/* not in 64-bit mode */
};

static void test_rows(struct kunit *test)
{
	struct emul_ctx *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);
	unsigned int i;
	u64 after;
	int r;

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		memset(ctx, 0, sizeof(*ctx));
		memcpy(memory + DATA, &row->mem, 8);
		ctx->ops = &ops;
		ctx->rip = RIP;
		ctx->mode = EMUL_MODE_LONG;
		ctx->rflags = 2 | row->flags;
		ctx->cr0 = X86_CR0_PE | X86_CR0_PG;
		ctx->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
		ctx->efer = EFER_LMA | EFER_LME;
		ctx->features = EMUL_FEAT_ALL;
		ctx->gpr[EMUL_RAX] = row->rax;
		ctx->gpr[EMUL_RCX] = row->rcx;
		ctx->gpr[EMUL_RBX] = DATA;
		ctx->gpr[EMUL_RSI] = DATA;
		ctx->gpr[EMUL_RDI] = DATA;
		r = emul_decode(&ctx->insn, row->bytes, row->len, EMUL_MODE_LONG, 0);
		if (r == EMUL_UD) {
			KUNIT_EXPECT_EQ_MSG(test, row->vector, 6, "row %u", i);
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, r, (int)EMUL_OK, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, ctx->insn.length, row->len, "row %u", i);
		r = emul_exec(ctx);
		memcpy(&after, memory + DATA, 8);
		if (row->vector != OK) {
			KUNIT_EXPECT_EQ_MSG(test, r, (int)EMUL_FAULT, "row %u", i);
			KUNIT_EXPECT_EQ_MSG(test, (int)ctx->fault.vector, row->vector, "row %u", i);
			KUNIT_EXPECT_EQ(test, after, row->mem);
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, r, (int)EMUL_OK, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, ctx->rip, (u64)RIP + row->len, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, (u32)ctx->rflags & FLAGS, row->want_flags, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, ctx->gpr[EMUL_RAX], row->want_rax, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, after, row->want_mem, "row %u", i);
	}
}

/* Any bytes at all: no length beyond 15 or what was given; each prefix of them asks for more. */
/* The same bytes are another instruction where the code segment is another. */
static void test_decoded_before(struct kunit *test)
{
	static const u8 mov[] = { 0x88, 0x07 };		/* to (%edi), or to (%bx) */
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	struct mhv_emul *e = vcpu->emul;
	unsigned int i;

	vcpu->state.cr0 = 0;
	for (i = 0; i < 4; i++) {
		vcpu->state.seg[MHV_CS].attr = i & 1 ? 0x9b : 0x9b | MHV_SEG_DB;
		KUNIT_EXPECT_EQ(test, glue_fetch_decode(e, mov, sizeof(mov)), (int)EMUL_OK);
		KUNIT_EXPECT_EQ(test, (u32)e->ctx.insn.mem.base,
				(u32)(i & 1 ? EMUL_RBX : EMUL_RDI));
	}
}

static void test_decode(struct kunit *test)
{
	struct emul_insn *insn = kunit_kzalloc(test, sizeof(*insn), GFP_KERNEL);
	u64 seed = 0xdec0de;
	unsigned int i, j, n;
	u8 bytes[16];
	int r;

	KUNIT_ASSERT_NOT_NULL(test, insn);
	for (i = 0; i < 200000; i++) {
		enum emul_mode mode = mhv_kunit_random(&seed) % 5;

		for (j = 0; j < sizeof(bytes); j++)
			bytes[j] = mhv_kunit_random(&seed);
		r = emul_decode(insn, bytes, 15, mode, i & 3);
		KUNIT_ASSERT_NE(test, r, (int)EMUL_MORE_BYTES);
		if (r != EMUL_OK)
			continue;
		KUNIT_ASSERT_LE(test, insn->length, 15);
		KUNIT_ASSERT_GE(test, insn->length, 1);
		n = insn->length;
		for (j = 0; j < n && i % 16 == 0; j++)
			KUNIT_ASSERT_EQ(test, emul_decode(insn, bytes, j, mode, i & 3),
					(int)EMUL_MORE_BYTES);
	}
	memset(bytes, 0x66, sizeof(bytes));
	KUNIT_EXPECT_EQ(test, emul_decode(insn, bytes, 15, EMUL_MODE_LONG, 0), (int)EMUL_TOO_LONG);
}

/* A string instruction with any count ends soon, and says that there is more. */
static void test_budget(struct kunit *test)
{
	struct emul_ctx *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);
	static const u8 rep_stosb[] = { 0xf3, 0xaa };

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	ctx->ops = &ops;
	ctx->rip = RIP;
	ctx->mode = EMUL_MODE_LONG;
	ctx->efer = EFER_LMA | EFER_LME;
	ctx->cr0 = X86_CR0_PE | X86_CR0_PG;
	ctx->gpr[EMUL_RCX] = ~0ULL;
	ctx->gpr[EMUL_RDI] = 0;
	KUNIT_ASSERT_EQ(test, emul_decode(&ctx->insn, rep_stosb, 2, EMUL_MODE_LONG, 0),
			(int)EMUL_OK);
	KUNIT_EXPECT_EQ(test, emul_exec(ctx), (int)EMUL_OK);
	KUNIT_EXPECT_TRUE(test, ctx->more);
	KUNIT_EXPECT_EQ(test, ctx->rip, (u64)RIP);
	KUNIT_EXPECT_LE(test, ctx->gpr[EMUL_RDI], (u64)EMUL_REP_BUDGET);
	KUNIT_EXPECT_EQ(test, ctx->gpr[EMUL_RCX], ~0ULL - ctx->gpr[EMUL_RDI]);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_rows),
	KUNIT_CASE(test_decode),
	KUNIT_CASE(test_decoded_before),
	KUNIT_CASE(test_budget),
	{}
};

static struct kunit_suite suite = { .name = "minihv_emul", .test_cases = cases };
kunit_test_suite(suite);
