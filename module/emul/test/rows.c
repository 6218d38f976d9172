// SPDX-License-Identifier: GPL-2.0
/*
 * What a user process cannot compare with the processor: real mode, privilege, segments and
 * descriptors, port I/O, string batches, replay, intercepted instructions' names.
 * Entered from the command line: rows.
 * No locks: one thread.
 * AMD APM vol. 2 and 3; Intel SDM vol. 3.
 */
#include <stdarg.h>
#include <stdlib.h>
#include "../internal.h"
#include "ktap.h"

#define MEM_SIZE	0x100000
#define MMIO_BASE	0xa0000		/* reads here need userspace; writes ask to stop */
#define MMIO_END	0xb0000
#define GDT		0x5000
#define TSS		0x6000
#define CODE		0x1000

/* A small machine: memory, an MMIO window, ports, registers; and what was done to it. */
static struct {
	u8 mem[MEM_SIZE + 16];
	struct emul_ctx ctx;
	struct emul_seg seg[EMUL_NR_SREGS];
	u64 cr[16], dr[8], msr;
	u64 set_reg[3];		/* class, index, value of the last set_reg */
	unsigned int answers;	/* how many MMIO or port reads userspace has answered */
	unsigned int asked;
	unsigned int special, nspecial;
	u64 special_arg;
	u16 port;
	unsigned int pio_size, pio_count, npio;
	unsigned int ncmpxchg;
	bool lose_race;
	u8 ymm[16][32];
} m;

static bool in_mmio(u64 linear)
{
	return linear >= MMIO_BASE && linear < MMIO_END;
}

/* Page faults: everything beyond the memory; supervisor pages from 0xf0000. */
static int translate(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access)
{
	u32 error = access & (EMUL_ACC_WRITE | EMUL_ACC_RMW) ? 2 : 0;

	if (ctx->cpl == 3 && !(access & EMUL_ACC_SYSTEM))
		error |= 4;
	if (linear >= MEM_SIZE || linear + len > MEM_SIZE)
		return emul_page_fault(ctx, linear < MEM_SIZE ? MEM_SIZE : linear, error);
	if (error & 4 && linear + len > 0xf0000)
		return emul_page_fault(ctx, linear, error | 1);
	return EMUL_OK;
}

static int read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		    unsigned int access)
{
	int r = translate(ctx, linear, len, access);

	if (r)
		return r;
	if (in_mmio(linear) && m.asked++ >= m.answers)
		return EMUL_IO_NEEDED;
	memcpy(data, m.mem + linear, len);
	return EMUL_OK;
}

static int write_mem(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
		     unsigned int access)
{
	int r = translate(ctx, linear, len, access);

	if (r)
		return r;
	if (in_mmio(linear))
		ctx->stop = true;
	memcpy(m.mem + linear, data, len);
	return EMUL_OK;
}

static int cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		       unsigned int len)
{
	int r = translate(ctx, linear, len, EMUL_ACC_WRITE);

	m.ncmpxchg++;
	if (r)
		return r;
	if (m.lose_race || memcmp(m.mem + linear, old, len))
		return EMUL_RETRY;
	memcpy(m.mem + linear, new, len);
	return EMUL_OK;
}

static int pio(u16 port, unsigned int size, unsigned int count)
{
	m.port = port;
	m.pio_size = size;
	m.pio_count = count;
	m.npio++;
	return EMUL_OK;
}

static int pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		  void *data)
{
	unsigned int i;

	pio(port, size, count);
	if (m.asked++ >= m.answers)
		return EMUL_IO_NEEDED;
	for (i = 0; i < size * count; i++)
		((u8 *)data)[i] = 0x80 + i;
	return EMUL_OK;
}

static int pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		   const void *data)
{
	return pio(port, size, count);
}

static void get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	*seg = m.seg[sreg];
}

static void set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	m.seg[sreg] = *seg;
}

static int get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	*value = class == EMUL_REG_CR ? m.cr[index] : class == EMUL_REG_DR ? m.dr[index] :
		 class == EMUL_REG_XCR ? 7 : m.msr;
	return EMUL_OK;
}

static int set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	m.set_reg[0] = class;
	m.set_reg[1] = index;
	m.set_reg[2] = value;
	return EMUL_OK;
}

static int read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *data,
		    unsigned int len)
{
	memcpy(data, m.ymm[reg], len);
	return EMUL_OK;
}

static int write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		     const void *data, unsigned int len)
{
	if (kind == EMUL_FPU_AVX)
		memset(m.ymm[reg], 0, 32);
	memcpy(m.ymm[reg], data, len);
	return EMUL_OK;
}

static int special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	m.special = what;
	m.nspecial++;
	m.special_arg = arg;
	return EMUL_OK;
}

static const struct emul_ops ops = {
	.read_mem = read_mem, .write_mem = write_mem, .cmpxchg_mem = cmpxchg_mem,
	.probe_mem = translate, .pio_in = pio_in, .pio_out = pio_out, .get_seg = get_seg,
	.set_seg = set_seg, .get_reg = get_reg, .set_reg = set_reg, .read_fpu = read_fpu,
	.write_fpu = write_fpu, .special = special,
};

#define GPR(r)	m.ctx.gpr[EMUL_##r]

/* A fresh machine in @mode at CPL 0: flat segments, or real mode's of 64 KiB. */
static void reset(enum emul_mode mode)
{
	bool real = mode == EMUL_MODE_REAL || mode == EMUL_MODE_VM86;
	struct emul_seg d = { .limit = real ? 0xffff : 0xffffffff, .attr = real ? 0xf3 : 0xc093 };
	unsigned int i;

	memset(&m, 0, sizeof(m));
	if (mode == EMUL_MODE_PROT16)
		d = (struct emul_seg){ .limit = 0xffff, .attr = 0x93 };
	for (i = EMUL_ES; i <= EMUL_GS; i++)
		m.seg[i] = d;
	if (!real)
		m.seg[EMUL_CS].attr = mode == EMUL_MODE_LONG ? 0xa09b :
				      mode == EMUL_MODE_PROT32 ? 0xc09b : 0x9b;
	if (mode == EMUL_MODE_VM86)
		m.ctx.rflags = FLAG_VM;
	m.seg[EMUL_LDTR].attr = EMUL_SEG_UNUSABLE;
	m.seg[EMUL_TR] = (struct emul_seg){ .base = TSS, .limit = 0xff, .attr = 0x8b };
	m.seg[EMUL_GDTR] = (struct emul_seg){ .base = GDT, .limit = 0xff };
	m.ctx.ops = &ops;
	m.ctx.mode = mode;
	m.ctx.cpl = mode == EMUL_MODE_VM86 ? 3 : 0;
	m.ctx.cr0 = real && mode == EMUL_MODE_REAL ? 0x10 : 0x80000011;
	m.ctx.cr4 = EMUL_CR4_OSFXSR;
	m.ctx.efer = mode == EMUL_MODE_LONG ? 0xd00 : 0;
	m.ctx.features = EMUL_FEAT_ALL;
	m.ctx.rip = CODE;
	m.ctx.rflags |= 2;
	GPR(RSP) = 0x8000;
}

static int decode_at(const u8 *bytes, unsigned int n)
{
	return emul_decode(&m.ctx.insn, bytes, n, m.ctx.mode, 0);
}

/* Decode and execute @n bytes as the vCPU would: registers are taken only on EMUL_OK. */
static int run(unsigned int n, ...)
{
	struct emul_ctx before;
	u8 bytes[16] = { 0 };
	unsigned int i;
	va_list ap;
	int r;

	va_start(ap, n);
	for (i = 0; i < n; i++)
		bytes[i] = va_arg(ap, int);
	va_end(ap);
	r = decode_at(bytes, n);
	if (r)
		return r;
	before = m.ctx;
	m.asked = 0;
	r = emul_exec(&m.ctx);
	if (r) {
		memcpy(m.ctx.gpr, before.gpr, sizeof(before.gpr));
		m.ctx.rip = before.rip;
		m.ctx.rflags = before.rflags;
	}
	return r;
}

static bool faulted(int r, u8 vector, u32 error_code)
{
	return r == EMUL_FAULT && m.ctx.fault.vector == vector &&
	       m.ctx.fault.error_code == error_code;
}

static u16 mem16(u64 addr)
{
	return m.mem[addr] | m.mem[addr + 1] << 8;
}

static u32 mem32(u64 addr)
{
	return mem16(addr) | (u32)mem16(addr + 2) << 16;
}

static void put(u64 addr, u64 val, unsigned int bytes)
{
	memcpy(m.mem + addr, &val, bytes);
}

/* One expectation; the line goes out when it fails. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) { \
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond); \
			ok = false; \
		} \
	} while (0)

static bool test_truncated(void)
{
	static const u8 insns[][15] = {
		{ 0x8b, 0x84, 0x88, 1, 2, 3, 4 }, { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8 },
		{ 0x66, 0x0f, 0x3a, 0x0f, 0x40, 1, 2 }, { 0xc4, 0xe2, 0x7d, 0x2a, 0x40, 1 },
		{ 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x80, 1, 2, 3, 4 }, { 0xf3, 0x48, 0xa5 },
	};
	static const u8 lengths[] = { 7, 10, 7, 6, 10, 3 };
	static const u8 not_movq[] = { 0xf2, 0x0f, 0x6f, 0xc0 };
	unsigned int i, n;
	bool ok = true;
	u8 prefixes[16];

	reset(EMUL_MODE_LONG);
	for (i = 0; i < sizeof(lengths); i++) {
		for (n = 0; n < lengths[i]; n++)
			EXPECT(decode_at(insns[i], n) == EMUL_MORE_BYTES);
		EXPECT(decode_at(insns[i], n) == EMUL_OK && m.ctx.insn.length == n);
	}
	memset(prefixes, 0x66, sizeof(prefixes));
	prefixes[14] = 0x90;
	EXPECT(decode_at(prefixes, 15) == EMUL_OK && m.ctx.insn.length == 15);
	prefixes[14] = 0x66;
	prefixes[15] = 0x90;
	EXPECT(decode_at(prefixes, 16) == EMUL_TOO_LONG);
	EXPECT(decode_at(prefixes, 15) == EMUL_TOO_LONG);
	EXPECT(decode_at(prefixes, 14) == EMUL_MORE_BYTES);
	/* MOVQ with a prefix that it does not have: nothing, once ModRM is there. */
	EXPECT(decode_at(not_movq, 3) == EMUL_MORE_BYTES);
	EXPECT(decode_at(not_movq, 4) == EMUL_UD);
	return ok;
}

static bool test_special_registers(void)
{
	const struct emul_insn *insn = &m.ctx.insn;
	bool ok = true;

	reset(EMUL_MODE_LONG);
	/* mov %r9, %cr8; lock mov %eax, %cr0 (which is CR8); mov %dr7, %rsi with ModRM.mod 0 */
	EXPECT(decode_at((u8[]){ 0x45, 0x0f, 0x22, 0xc1 }, 4) == EMUL_OK);
	EXPECT(insn->reg == 8 && insn->rm == EMUL_R9);
	EXPECT(decode_at((u8[]){ 0xf0, 0x0f, 0x22, 0xc0 }, 4) == EMUL_OK);
	EXPECT(insn->reg == 8 && insn->rm == EMUL_RAX);
	EXPECT(decode_at((u8[]){ 0x0f, 0x21, 0x3e }, 3) == EMUL_OK);
	EXPECT(insn->reg == 7 && insn->rm == EMUL_RSI && !insn->has_mem);
	return ok;
}

/* Where IDIV's quotient just fits, and just does not: the processor must not see the latter. */
static bool test_idiv_edges(void)
{
	static const struct {
		u8 bytes;
		u8 insn[3];
	} sizes[] = {
		{ 1, { 0xf6, 0xf9, 0x90 } }, { 2, { 0x66, 0xf7, 0xf9 } },
		{ 4, { 0xf7, 0xf9, 0x90 } }, { 8, { 0x48, 0xf7, 0xf9 } },
	};
	unsigned int i, n;
	bool ok = true;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const u8 *b = sizes[i].insn;
		u64 mask = emul_mask(sizes[i].bytes), edge = mask / 2 + 1;
		/* The dividend's halves, the divisor, whether the quotient fits */
		const u64 rows[][4] = {
			{ mask, edge, mask, false },		/* -edge / -1 */
			{ mask, edge, 1, true },
			{ 0, edge, 1, false },
			{ 0, edge, mask, true },		/* edge / -1 */
			{ 0, edge - 1, 1, true },
			{ mask, edge - 1, 1, false },		/* (-edge - 1) / 1 */
			{ mask, edge - 1, mask, false },
			{ 0, 1, 0, false },
		};

		for (n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
			int r;

			reset(EMUL_MODE_LONG);
			GPR(RAX) = rows[n][1];
			if (sizes[i].bytes == 1)
				GPR(RAX) |= rows[n][0] << 8;
			GPR(RDX) = rows[n][0];
			GPR(RCX) = rows[n][2];
			r = run(3, b[0], b[1], b[2]);
			if (rows[n][3])
				EXPECT(r == EMUL_OK && (GPR(RAX) & mask) ==
				       (rows[n][2] == 1 ? rows[n][1] : edge));
			else
				EXPECT(faulted(r, VEC_DE, 0));
		}
	}
	return ok;
}

static bool test_real_memory(void)
{
	bool ok = true;

	reset(EMUL_MODE_REAL);
	m.seg[EMUL_DS].base = 0x20000;
	GPR(RBX) = 0xfff0;
	GPR(RSI) = 0x20;
	GPR(RAX) = 0x1234;
	EXPECT(run(2, 0x89, 0x00) == EMUL_OK);			/* mov %ax, (%bx,%si) wraps */
	EXPECT(mem16(0x20010) == 0x1234 && m.ctx.rip == CODE + 2);
	GPR(RSI) = 0xf;
	EXPECT(faulted(run(2, 0x89, 0x00), VEC_GP, 0));		/* a word at ffffh */
	GPR(RBP) = 0xfff0;
	EXPECT(faulted(run(2, 0x89, 0x02), VEC_SS, 0));		/* (%bp,%si): SS */
	EXPECT(run(3, 0x3e, 0x88, 0x02) == EMUL_OK);		/* ds: a byte there is in */
	m.seg[EMUL_DS].limit = 0xffffffff;			/* unreal mode */
	GPR(RAX) = 0x9000;
	EXPECT(run(4, 0x67, 0x66, 0x89, 0x00) == EMUL_OK);	/* mov %eax, (%eax) */
	EXPECT(mem32(0x29000) == 0x9000);
	return ok;
}

static bool test_real_control(void)
{
	bool ok = true;

	reset(EMUL_MODE_REAL);
	m.seg[EMUL_IDTR].limit = 0x3ff;
	m.seg[EMUL_CS].sel = 0x70;
	m.seg[EMUL_CS].base = 0x700;
	put(0x10 * 4, 0xf0001234, 4);
	m.ctx.rflags |= FLAG_IF | FLAG_CF;
	EXPECT(run(2, 0xcd, 0x10) == EMUL_OK);
	EXPECT(m.ctx.rip == 0x1234 && m.seg[EMUL_CS].sel == 0xf000);
	EXPECT(m.seg[EMUL_CS].base == 0xf0000 && GPR(RSP) == 0x7ffa);
	EXPECT(mem16(0x7ffa) == CODE + 2 && mem16(0x7ffc) == 0x70);
	EXPECT(mem16(0x7ffe) == (FLAG_IF | FLAG_CF | 2) && !(m.ctx.rflags & FLAG_IF));
	EXPECT(run(1, 0xcf) == EMUL_OK);
	EXPECT(m.ctx.rip == CODE + 2 && m.seg[EMUL_CS].base == 0x700 && GPR(RSP) == 0x8000);
	EXPECT(m.ctx.rflags & FLAG_IF);

	EXPECT(run(5, 0x9a, 0x78, 0x56, 0x34, 0x12) == EMUL_OK);	/* lcall $0x1234, $0x5678 */
	EXPECT(m.ctx.rip == 0x5678 && m.seg[EMUL_CS].base == 0x12340);
	EXPECT(run(3, 0xca, 4, 0) == EMUL_OK);				/* lret $4 */
	EXPECT(m.ctx.rip == CODE + 7 && m.seg[EMUL_CS].sel == 0x70 && GPR(RSP) == 0x8004);

	m.seg[EMUL_IDTR].limit = 0x3f;
	EXPECT(faulted(run(2, 0xcd, 0x10), VEC_GP, 0));
	return ok;
}

static bool test_real_system(void)
{
	bool ok = true;

	reset(EMUL_MODE_REAL);
	put(0x3000, 0xffee87654321, 6);
	EXPECT(run(5, 0x0f, 0x01, 0x16, 0x00, 0x30) == EMUL_OK);	/* lgdt 0x3000 */
	EXPECT(m.seg[EMUL_GDTR].limit == 0x4321 && m.seg[EMUL_GDTR].base == 0xee8765);
	EXPECT(run(6, 0x66, 0x0f, 0x01, 0x16, 0x00, 0x30) == EMUL_OK);
	EXPECT(m.seg[EMUL_GDTR].base == 0xffee8765);
	EXPECT(run(5, 0x0f, 0x01, 0x06, 0x00, 0x31) == EMUL_OK);	/* sgdt 0x3100 */
	EXPECT(!memcmp(m.mem + 0x3000, m.mem + 0x3100, 6));
	GPR(RAX) = 1;
	EXPECT(run(3, 0x0f, 0x01, 0xf0) == EMUL_OK);			/* lmsw %ax */
	EXPECT(m.set_reg[0] == EMUL_REG_CR && m.set_reg[1] == 0 && m.set_reg[2] == 0x11);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_UD, 0));		/* ltr: not in real mode */
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xc0), VEC_UD, 0));		/* sldt: neither */
	EXPECT(run(1, 0xf4) == EMUL_OK && m.special == EMUL_SP_HLT);
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK);				/* mov %ax, %ds */
	EXPECT(m.seg[EMUL_DS].base == 0x10 && m.seg[EMUL_DS].limit == 0xffff);
	EXPECT(run(2, 0x8e, 0xd0) == EMUL_OK && m.ctx.shadow == EMUL_SHADOW_MOV_SS);
	EXPECT(run(2, 0x8e, 0xc8) == EMUL_UD);				/* CS */
	return ok;
}

static bool test_string_pio(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	GPR(RDX) = 0x1f0;
	GPR(RCX) = 3000;
	GPR(RDI) = 0x2000;
	EXPECT(run(2, 0xf3, 0x66) == EMUL_MORE_BYTES);
	EXPECT(run(3, 0xf3, 0x66, 0x6d) == EMUL_IO_NEEDED);		/* rep insw */
	EXPECT(m.port == 0x1f0 && m.pio_size == 2 && m.pio_count == 512 && GPR(RCX) == 3000);
	m.answers = 1;
	EXPECT(run(3, 0xf3, 0x66, 0x6d) == EMUL_OK);
	EXPECT(m.ctx.more && GPR(RCX) == 3000 - 512 && GPR(RDI) == 0x2400 && m.ctx.rip == CODE);
	EXPECT(m.mem[0x2000] == 0x80 && m.mem[0x23ff] == 0x7f);

	GPR(RDI) = 0x2ff6;		/* up to the page's end; then one that crosses it */
	EXPECT(run(2, 0xf3, 0x6d) == EMUL_OK && m.pio_count == 2 && m.pio_size == 4);
	EXPECT(GPR(RDI) == 0x2ffe && run(2, 0xf3, 0x6d) == EMUL_OK && m.pio_count == 1);
	EXPECT(GPR(RDI) == 0x3002);

	GPR(RCX) = 5;			/* downwards: one at a time */
	m.ctx.rflags |= FLAG_DF;
	EXPECT(run(2, 0xf3, 0x6c) == EMUL_OK && m.pio_count == 1 && GPR(RDI) == 0x3001);
	m.ctx.rflags &= ~(u64)FLAG_DF;
	EXPECT(run(2, 0xf3, 0x6c) == EMUL_OK && m.pio_count == 4);
	EXPECT(!m.ctx.more && GPR(RCX) == 0 && m.ctx.rip == CODE + 2);
	m.npio = 0;
	EXPECT(run(2, 0xf3, 0x6c) == EMUL_OK && !m.npio);		/* RCX is 0 */

	m.ctx.rip = CODE;		/* rep outsb: at most EMUL_PIO_BATCH */
	GPR(RCX) = 1025;
	GPR(RSI) = 0x2000;
	EXPECT(run(2, 0xf3, 0x6e) == EMUL_OK && m.pio_count == 1024 && m.ctx.more);
	EXPECT(run(2, 0xf3, 0x6e) == EMUL_OK && m.pio_count == 1 && !m.ctx.more);
	EXPECT(GPR(RSI) == 0x2401 && m.ctx.rip == CODE + 2);

	m.ctx.rip = CODE;		/* 16-bit addresses: not beyond where the offset wraps */
	GPR(RCX) = 3;
	GPR(RSI) = 0xffff;
	m.seg[EMUL_DS].base = 0x800;
	EXPECT(run(3, 0x67, 0xf3, 0x6e) == EMUL_OK && m.pio_count == 1 && m.ctx.more);
	EXPECT(GPR(RSI) == 0 && run(3, 0x67, 0xf3, 0x6e) == EMUL_OK && m.pio_count == 2);

	GPR(RCX) = 1;			/* the store would fault: the port is not touched */
	GPR(RDI) = MEM_SIZE;
	m.npio = 0;
	EXPECT(faulted(run(2, 0xf3, 0x6c), VEC_PF, 2) && !m.npio);
	EXPECT(m.ctx.fault.address == MEM_SIZE);
	return ok;
}

static bool test_pio(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.answers = 1;
	GPR(RAX) = 0x1122334455667788;
	EXPECT(run(2, 0xe4, 0x60) == EMUL_OK && m.port == 0x60 && m.pio_size == 1);
	EXPECT(GPR(RAX) == 0x1122334455667780);
	GPR(RDX) = 0xffff0cf8;
	EXPECT(run(2, 0x48, 0xed) == EMUL_OK && m.pio_size == 4);	/* REX.W is no matter */
	EXPECT(GPR(RAX) == 0x83828180 && m.port == 0xcf8);
	EXPECT(run(3, 0x66, 0xe7, 0x92) == EMUL_OK && m.port == 0x92 && m.pio_size == 2);
	m.answers = 0;
	m.ctx.rip = CODE;
	EXPECT(run(1, 0xed) == EMUL_IO_NEEDED && m.ctx.rip == CODE);
	return ok;
}

static bool test_io_permission(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	m.answers = 1;
	m.ctx.cpl = 3;
	put(TSS + 102, 0x80, 2);			/* the bitmap's offset */
	put(TSS + 0x80 + 0x60 / 8, 1 << 4, 1);		/* port 64h is forbidden */
	EXPECT(run(2, 0xe4, 0x60) == EMUL_OK);
	EXPECT(faulted(run(2, 0xe4, 0x64), VEC_GP, 0));
	EXPECT(faulted(run(2, 0xe5, 0x61), VEC_GP, 0));	/* four bytes, the last is port 64h */
	GPR(RDX) = 0x3f8;				/* bitmap byte ffh: the second is outside */
	EXPECT(faulted(run(1, 0xec), VEC_GP, 0));
	m.seg[EMUL_TR].limit = 0x100;
	EXPECT(run(1, 0xec) == EMUL_OK);
	m.ctx.rflags |= FLAG_IOPL;
	EXPECT(run(2, 0xe4, 0x64) == EMUL_OK);
	m.ctx.rflags &= ~(u64)FLAG_IOPL;
	m.seg[EMUL_TR].attr = 0x83;			/* a 16-bit TSS has no bitmap */
	EXPECT(faulted(run(2, 0xe4, 0x60), VEC_GP, 0));
	m.seg[EMUL_TR].attr = 0x8b;
	put(TSS + 102, 0, 2);
	m.seg[EMUL_TR].limit = 103;
	EXPECT(run(2, 0xe4, 0x60) == EMUL_OK);
	m.seg[EMUL_TR].limit = 102;			/* half of the bitmap's offset is outside */
	EXPECT(faulted(run(2, 0xe4, 0x60), VEC_GP, 0));
	reset(EMUL_MODE_VM86);
	m.answers = 1;
	m.ctx.rflags |= FLAG_IOPL;			/* no matter in virtual-8086 mode */
	put(TSS + 102, 0x80, 2);
	put(TSS + 0x80 + 0x60 / 8, 1 << 4, 1);
	EXPECT(run(2, 0xe4, 0x60) == EMUL_OK);
	EXPECT(faulted(run(2, 0xe4, 0x64), VEC_GP, 0));
	return ok;
}

static bool test_rep_budget(void)
{
	unsigned int calls = 0;
	bool ok = true;
	u64 rcx;

	reset(EMUL_MODE_LONG);
	GPR(RCX) = 1000;
	GPR(RDI) = 0x2000;
	GPR(RAX) = 0xab;
	do {
		rcx = GPR(RCX);
		EXPECT(run(2, 0xf3, 0xaa) == EMUL_OK);		/* rep stosb */
		EXPECT(rcx - GPR(RCX) <= EMUL_REP_BUDGET && rcx != GPR(RCX));
		EXPECT(m.ctx.rip == (m.ctx.more ? CODE : CODE + 2));
		EXPECT(!(m.ctx.rflags & FLAG_RF) == !m.ctx.more);
	} while (m.ctx.more && ++calls < 100);
	EXPECT(GPR(RCX) == 0 && GPR(RDI) == 0x2000 + 1000 && m.mem[0x23e7] == 0xab);
	EXPECT(m.mem[0x23e8] == 0);
	/* A fault after iterations that went well: those stay, the next call faults. */
	m.ctx.rip = CODE;
	GPR(RCX) = 20;
	GPR(RDI) = MEM_SIZE - 8;
	EXPECT(run(2, 0xf3, 0xaa) == EMUL_OK && m.ctx.more && GPR(RCX) == 12);
	EXPECT(faulted(run(2, 0xf3, 0xaa), VEC_PF, 2) && m.ctx.fault.address == MEM_SIZE);
	EXPECT(GPR(RCX) == 12);
	/* A comparison's flags are those of before until its end, for a fault as well. */
	m.ctx.rip = CODE;
	GPR(RCX) = 20;
	GPR(RDI) = MEM_SIZE - 8;
	GPR(RAX) = 0;
	memset(m.mem + MEM_SIZE - 8, 1, 8);
	m.ctx.rflags = 0x2 | FLAG_PF | FLAG_OF;
	EXPECT(run(2, 0xf2, 0xae) == EMUL_OK && m.ctx.more && GPR(RCX) == 12);
	EXPECT(faulted(run(2, 0xf2, 0xae), VEC_PF, 0));
	EXPECT(m.ctx.rflags == (0x2 | FLAG_RF | FLAG_PF | FLAG_OF));
	m.mem[MEM_SIZE - 1] = 0;
	m.ctx.rip = CODE;
	GPR(RDI) = MEM_SIZE - 8;
	EXPECT(run(2, 0xf2, 0xae) == EMUL_OK && !m.ctx.more && GPR(RCX) == 4);
	EXPECT(m.ctx.rflags == (0x2 | FLAG_PF | FLAG_ZF));
	return ok;
}

static bool test_replay(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	put(MMIO_BASE, 0x1111222233334444, 8);
	GPR(RSI) = MMIO_BASE;
	GPR(RDI) = 0x2000;
	GPR(RCX) = 4;
	EXPECT(run(2, 0xf3, 0xa4) == EMUL_IO_NEEDED);		/* rep movsb from a device */
	EXPECT(GPR(RCX) == 4 && GPR(RSI) == MMIO_BASE && !m.mem[0x2000]);
	m.answers = 1;		/* answered once: one iteration stays, the next asks anew */
	EXPECT(run(2, 0xf3, 0xa4) == EMUL_OK && m.ctx.more);
	EXPECT(GPR(RCX) == 3 && m.mem[0x2000] == 0x44 && !m.mem[0x2001]);
	/* To a device: the callee asks to stop after each write. */
	GPR(RSI) = 0x2000;
	GPR(RDI) = MMIO_BASE + 0x100;
	EXPECT(run(2, 0xf3, 0xa4) == EMUL_OK && m.ctx.more && GPR(RCX) == 2);
	GPR(RCX) = 1;
	EXPECT(run(2, 0xf3, 0xa4) == EMUL_OK && !m.ctx.more && m.ctx.rip == CODE + 2);
	/* Two reads in one instruction: the second is asked for after the first is known. */
	GPR(RSI) = MMIO_BASE;
	GPR(RDI) = MMIO_BASE;
	m.answers = 0;
	EXPECT(run(1, 0xa6) == EMUL_IO_NEEDED && m.asked == 1);	/* cmpsb */
	m.answers = 1;
	EXPECT(run(1, 0xa6) == EMUL_IO_NEEDED && m.asked == 2);
	m.answers = 2;
	EXPECT(run(1, 0xa6) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	/* A read-modify-write of a device. */
	put(MMIO_BASE, 0xf0, 1);
	GPR(RBX) = MMIO_BASE;
	EXPECT(run(3, 0x80, 0x0b, 0x0f) == EMUL_OK && m.mem[MMIO_BASE] == 0xff);
	return ok;
}

static bool test_lock(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	GPR(RBX) = 0x2000;
	EXPECT(run(3, 0xf0, 0x01, 0xd8) == EMUL_UD);		/* lock add %ebx, %eax */
	EXPECT(run(3, 0xf0, 0x8b, 0x03) == EMUL_UD);		/* lock mov */
	EXPECT(run(3, 0xf0, 0x39, 0x03) == EMUL_UD);		/* lock cmp */
	EXPECT(run(3, 0xf0, 0x03, 0x03) == EMUL_UD);		/* lock add (%rbx), %eax */
	EXPECT(run(2, 0xf0, 0x90) == EMUL_UD);
	EXPECT(run(4, 0xf0, 0x0f, 0xa3, 0x03) == EMUL_UD);	/* lock bt */
	GPR(RAX) = 5;
	EXPECT(run(3, 0xf0, 0x01, 0x03) == EMUL_OK && m.ncmpxchg == 1 && mem32(0x2000) == 5);
	EXPECT(run(2, 0x01, 0x03) == EMUL_OK && m.ncmpxchg == 1 && mem32(0x2000) == 10);
	EXPECT(run(2, 0x87, 0x03) == EMUL_OK && m.ncmpxchg == 2 && GPR(RAX) == 10);
	m.lose_race = true;
	m.ctx.rip = CODE;
	EXPECT(run(2, 0x87, 0x03) == EMUL_RETRY && GPR(RAX) == 10 && m.ctx.rip == CODE);
	m.lose_race = false;
	GPR(RBX) = 7;
	GPR(RCX) = 8;
	GPR(RAX) = 5;
	GPR(RSI) = 0x2000;
	EXPECT(run(4, 0xf0, 0x0f, 0xc7, 0x0e) == EMUL_OK);	/* lock cmpxchg8b (%rsi) */
	EXPECT(m.ctx.rflags & FLAG_ZF && mem32(0x2000) == 7 && mem32(0x2004) == 8);
	EXPECT(run(4, 0xf0, 0x0f, 0xc7, 0x0e) == EMUL_OK && !(m.ctx.rflags & FLAG_ZF));
	EXPECT(GPR(RAX) == 7 && GPR(RDX) == 8);
	GPR(RBX) = 0x5555;
	EXPECT(run(3, 0x0f, 0xc7, 0x0e) == EMUL_OK && mem32(0x2000) == 0x5555);
	GPR(RSI) = 0x2008;
	EXPECT(faulted(run(4, 0x48, 0x0f, 0xc7, 0x0e), VEC_GP, 0));	/* cmpxchg16b */
	m.ctx.features &= ~(u32)EMUL_FEAT_CX16;
	EXPECT(faulted(run(4, 0x48, 0x0f, 0xc7, 0x0e), VEC_UD, 0));
	return ok;
}

static bool test_segments(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	GPR(RBX) = 0x2000;
	m.seg[EMUL_DS].attr = 0xc091;				/* read-only */
	EXPECT(run(2, 0x8b, 0x03) == EMUL_OK);
	EXPECT(faulted(run(2, 0x89, 0x03), VEC_GP, 0));
	EXPECT(faulted(run(2, 0x01, 0x03), VEC_GP, 0));
	m.seg[EMUL_DS].attr = EMUL_SEG_UNUSABLE;		/* null */
	EXPECT(faulted(run(2, 0x8b, 0x03), VEC_GP, 0));
	m.seg[EMUL_CS].attr = 0xc099;				/* execute-only */
	EXPECT(faulted(run(3, 0x2e, 0x8b, 0x03), VEC_GP, 0));
	m.seg[EMUL_CS].attr = 0xc09b;
	EXPECT(run(3, 0x2e, 0x8b, 0x03) == EMUL_OK);
	EXPECT(faulted(run(3, 0x2e, 0x89, 0x03), VEC_GP, 0));
	/* Expand-down: valid above the limit, up to FFFFh or FFFFFFFFh by the B bit. */
	m.seg[EMUL_ES] = (struct emul_seg){ .limit = 0x1fff, .attr = 0x97 };
	EXPECT(run(3, 0x26, 0x8b, 0x03) == EMUL_OK);
	GPR(RBX) = 0x1fff;
	EXPECT(faulted(run(3, 0x26, 0x8b, 0x03), VEC_GP, 0));
	GPR(RBX) = 0xfffd;
	EXPECT(faulted(run(3, 0x26, 0x8b, 0x03), VEC_GP, 0));
	m.seg[EMUL_ES].attr |= EMUL_SEG_DB;
	EXPECT(run(3, 0x26, 0x8b, 0x03) == EMUL_OK);
	/* #AC, which has an error code: of CPL 3 alone, where CR0.AM and EFLAGS.AC are set. */
	GPR(RBX) = 0x2001;
	m.seg[EMUL_DS] = (struct emul_seg){ .limit = 0xffffffff, .attr = 0xc0f3 };
	m.ctx.cr0 |= EMUL_CR0_AM;
	m.ctx.rflags |= FLAG_AC;
	EXPECT(run(2, 0x8b, 0x03) == EMUL_OK);
	m.ctx.cpl = 3;
	EXPECT(faulted(run(2, 0x8b, 0x03), VEC_AC, 0) && m.ctx.fault.has_error_code);
	EXPECT(run(2, 0x8a, 0x03) == EMUL_OK);
	m.ctx.rflags &= ~(u64)FLAG_AC;
	EXPECT(run(2, 0x8b, 0x03) == EMUL_OK);
	m.ctx.cpl = 0;
	/* Stack: its own vector. */
	m.seg[EMUL_SS].limit = 0x7fff;
	EXPECT(faulted(run(1, 0x58), VEC_SS, 0));
	EXPECT(run(1, 0x50) == EMUL_OK && GPR(RSP) == 0x7ffc);
	/* 64-bit mode has no limits, but canonical addresses; FS and GS keep their bases. */
	reset(EMUL_MODE_LONG);
	m.seg[EMUL_DS] = (struct emul_seg){ .base = 0x500, .attr = EMUL_SEG_UNUSABLE };
	m.seg[EMUL_GS].base = 0x3000;
	put(0x3010, 0x77, 1);
	GPR(RBX) = 0x10;
	EXPECT(run(3, 0x65, 0x8a, 0x03) == EMUL_OK && GPR(RAX) == 0x77);
	EXPECT(run(2, 0x88, 0x03) == EMUL_OK && m.mem[0x10] == 0x77);
	GPR(RBX) = 0x7ffffffffffd;
	EXPECT(faulted(run(2, 0x8b, 0x03), VEC_GP, 0));		/* the last byte is not */
	GPR(RSP) = 0x800000000000;
	EXPECT(faulted(run(1, 0x58), VEC_SS, 0));
	return ok;
}

/* A GDT: 8 code, 10h data, 18h not present, 20h code conforming, 28h LDT, 30h TSS, 38h data 3. */
static void make_gdt(void)
{
	static const u64 gdt[] = {
		0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf12000000ffff,
		0x00cf9e000000ffff, 0x0000820070000027, 0x0000890060000067, 0x00cff2000000ffff,
	};

	memcpy(m.mem + GDT, gdt, sizeof(gdt));
}

static bool test_descriptors(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	make_gdt();
	GPR(RAX) = 0x10;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK && m.seg[EMUL_DS].attr == 0xc093);
	EXPECT(m.seg[EMUL_DS].limit == 0xffffffff && m.seg[EMUL_DS].sel == 0x10);
	EXPECT(m.mem[GDT + 0x15] == 0x93);			/* accessed */
	GPR(RAX) = 0x18;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_NP, 0x18));
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_SS, 0x18));
	GPR(RAX) = 0x08;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK);			/* code that can be read */
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0x08));
	GPR(RAX) = 0x28;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x28));
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);		/* lldt */
	EXPECT(m.seg[EMUL_LDTR].base == 0x7000 && m.seg[EMUL_LDTR].limit == 0x27);
	GPR(RAX) = 0x100;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x100));	/* beyond the limit */
	GPR(RAX) = 0x2c;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x2c));	/* beyond the LDT's */
	GPR(RAX) = 0;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK && m.seg[EMUL_DS].attr & EMUL_SEG_UNUSABLE);
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0));
	GPR(RAX) = 0x13;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x10));	/* RPL 3 of a DPL 0 segment */
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0x10));
	GPR(RAX) = 0x30;
	EXPECT(run(3, 0x0f, 0x00, 0xd8) == EMUL_OK && m.mem[GDT + 0x35] == 0x8b);	/* ltr */
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* busy now */
	m.ctx.cpl = 3;
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0));
	GPR(RAX) = 0x3b;
	EXPECT(run(2, 0x8e, 0xc0) == EMUL_OK && run(2, 0x8e, 0xd0) == EMUL_OK);
	GPR(RAX) = 0x10;
	EXPECT(faulted(run(2, 0x8e, 0xc0), VEC_GP, 0x10));
	return ok;
}

/* One task, of the TSS at 0x6000, runs; another, of that at 0x6100, is to. */
static void make_tasks(void)
{
	reset(EMUL_MODE_PROT32);
	make_gdt();
	put(GDT + 0x40, 0x00008b0060000067, 8);
	put(GDT + 0x48, 0x0000890061000067, 8);
	m.seg[EMUL_GDTR].limit = 0x4f;
	m.seg[EMUL_TR] = (struct emul_seg){ .base = 0x6000, .limit = 0x67, .sel = 0x40,
					    .attr = 0x8b };
	m.seg[EMUL_CS].sel = 8;
	put(0x6100 + 0x20, 0x4000, 4);
	put(0x6100 + 0x24, 2, 4);
	put(0x6100 + 0x38, 0x7000, 4);
	put(0x6100 + 0x4c, 8, 4);
	put(0x6100 + 0x50, 0x10, 4);
}

/* From one to the other and back; what faults before, what after. */
static bool test_tasks(void)
{
	bool ok = true;

	make_tasks();
	GPR(RBX) = 0x1234;
	EXPECT(faulted(run(7, 0xea, 0, 0, 0, 0, 0x40, 0), VEC_GP, 0x40));	/* busy */
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	EXPECT(m.ctx.rip == 0x4000 && GPR(RSP) == 0x7000 && m.special == EMUL_SP_TASK);
	EXPECT(mem32(0x6020) == CODE + 7 && mem32(0x6034) == 0x1234 && mem16(0x6100) == 0x40);
	EXPECT(m.seg[EMUL_TR].sel == 0x48 && m.seg[EMUL_TR].attr == 0x8b);
	EXPECT(m.seg[EMUL_DS].attr & EMUL_SEG_UNUSABLE && m.ctx.rflags == (FLAG_NT | 2));
	EXPECT(m.mem[GDT + 0x4d] == 0x8b);
	m.mem[0x6064] = 1;			/* the T bit */
	put(0x604c, 8, 4);
	put(0x6050, 0x10, 4);
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.after && m.ctx.fault.vector == VEC_DB);
	EXPECT(m.ctx.rip == CODE + 7 && GPR(RBX) == 0x1234 && m.mem[GDT + 0x4d] == 0x89);
	EXPECT(mem32(0x6124) == 2);		/* the task that IRET left is not nested any more */
	put(0x6100 + 0x54, 0x18, 4);		/* DS is not present */
	EXPECT(run(7, 0xea, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.after);
	EXPECT(m.ctx.fault.vector == VEC_NP && m.ctx.fault.error_code == 0x18);
	EXPECT(m.mem[GDT + 0x45] == 0x89 && m.mem[GDT + 0x4d] == 0x8b);
	put(0x604c, 0xb, 4);			/* CS of level 0 in a task of level 3 */
	EXPECT(run(7, 0xea, 0, 0, 0, 0, 0x40, 0) == EMUL_OK && m.ctx.after);
	EXPECT(m.ctx.fault.vector == VEC_TS && m.ctx.fault.error_code == 8);
	return ok;
}

/* Both TSSs have to be long enough, the old one for what is saved; nothing is written before. */
static bool test_task_limits(void)
{
	bool ok = true;

	make_tasks();
	put(GDT + 0x48, 0x0000890061000066, 8);
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x48));
	put(GDT + 0x48, 0x000081006100002a, 8);
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x48));
	put(GDT + 0x48, 0x0000890061000067, 8);
	m.seg[EMUL_TR].limit = 0x5e;
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x40));
	EXPECT(!mem32(0x6020) && !mem16(0x6100));
	m.seg[EMUL_TR].limit = 0x5f;
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	/* Virtual-8086 mode is of level 3, whatever its CS. */
	make_tasks();
	put(0x6124, FLAG_VM | 2, 4);
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	EXPECT(m.ctx.cpl == 3 && m.ctx.mode == EMUL_MODE_VM86 && m.seg[EMUL_CS].base == 0x80);
	return ok;
}

static bool test_far(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	make_gdt();
	m.seg[EMUL_CS].sel = 8;
	EXPECT(run(7, 0x9a, 0x00, 0x40, 0, 0, 0x08, 0x00) == EMUL_OK);	/* lcall $8, $0x4000 */
	EXPECT(m.ctx.rip == 0x4000 && mem32(0x7ff8) == CODE + 7 && mem16(0x7ffc) == 8);
	EXPECT(run(1, 0xcb) == EMUL_OK && m.ctx.rip == CODE + 7 && GPR(RSP) == 0x8000);
	EXPECT(faulted(run(7, 0xea, 0, 0x40, 0, 0, 0x10, 0), VEC_GP, 0x10));	/* data */
	EXPECT(run(7, 0xea, 0, 0x50, 0, 0, 0x20, 0) == EMUL_OK);	/* conforming */
	EXPECT(m.ctx.rip == 0x5000 && m.seg[EMUL_CS].sel == 0x20);
	put(0x7ff4, 0x4444, 4);			/* iret to the same level */
	put(0x7ff8, 8, 4);
	put(0x7ffc, FLAG_IF | FLAG_ZF | 2, 4);
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rip == 0x4444 && GPR(RSP) == 0x8000);
	EXPECT(m.ctx.rflags == (FLAG_IF | FLAG_ZF | 2));
	put(0x7ffc, FLAG_RF | FLAG_AC | 2, 4);	/* past a breakpoint that has hit */
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rflags == (FLAG_RF | FLAG_AC | 2));
	put(0x7ffc, FLAG_VIF | FLAG_VIP | FLAG_VM | 2, 4);
	GPR(RSP) = 0x7ff4;
	m.ctx.efer = 1 << 10;			/* no way to virtual-8086 mode */
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rflags == (FLAG_VIF | FLAG_VIP | 2));
	m.ctx.efer = 0;
	put(0x7ff8, 0xb, 4);			/* to a lower privilege: not here */
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_UNHANDLEABLE);
	EXPECT(run(2, 0xcd, 0x80) == EMUL_UNHANDLEABLE);

	reset(EMUL_MODE_LONG);			/* 64-bit: SS:RSP comes along */
	make_gdt();
	put(GDT + 8, 0x00af9a000000ffff, 8);
	put(0x7fd8, 0x123456, 8);
	put(0x7fe0, 8, 8);
	put(0x7fe8, FLAG_CF | 2, 8);
	put(0x7ff0, 0xffff800000001000, 8);
	put(0x7ff8, 0x10, 8);
	GPR(RSP) = 0x7fd8;
	EXPECT(run(2, 0x48, 0xcf) == EMUL_OK && m.ctx.rip == 0x123456);
	EXPECT(GPR(RSP) == 0xffff800000001000 && m.seg[EMUL_SS].sel == 0x10);
	m.ctx.rflags |= FLAG_NT;
	EXPECT(faulted(run(2, 0x48, 0xcf), VEC_GP, 0));
	return ok;
}

static bool test_privilege(void)
{
	static const u8 privileged[][3] = {
		{ 0xf4 }, { 0x0f, 0x32 }, { 0x0f, 0x30 }, { 0x0f, 0x06 }, { 0x0f, 0x08 },
		{ 0x0f, 0x09 }, { 0x0f, 0x20, 0xc0 }, { 0x0f, 0x22, 0xc0 }, { 0x0f, 0x21, 0xc0 },
		{ 0x0f, 0x23, 0xc0 }, { 0x0f, 0x01, 0x38 }, { 0x0f, 0x01, 0x10 },
		{ 0x0f, 0x01, 0xf0 }, { 0xfa }, { 0xfb }, { 0x0f, 0x00, 0xd0 },
	};
	static const u8 umip[][3] = {
		{ 0x0f, 0x01, 0x00 }, { 0x0f, 0x01, 0x08 }, { 0x0f, 0x01, 0xe0 },
		{ 0x0f, 0x00, 0xc0 }, { 0x0f, 0x00, 0xc8 },
	};
	unsigned int i;
	bool ok = true;

	reset(EMUL_MODE_LONG);
	GPR(RAX) = 0x2000;
	for (i = 0; i < sizeof(privileged) / 3; i++) {
		const u8 *b = privileged[i];

		m.ctx.cpl = 3;
		EXPECT(faulted(run(3, b[0], b[1], b[2]), VEC_GP, 0));
	}
	for (i = 0; i < sizeof(umip) / 3; i++) {
		const u8 *b = umip[i];

		m.ctx.cr4 &= ~(u64)EMUL_CR4_UMIP;
		EXPECT(run(3, b[0], b[1], b[2]) == EMUL_OK);
		m.ctx.cr4 |= EMUL_CR4_UMIP;
		EXPECT(faulted(run(3, b[0], b[1], b[2]), VEC_GP, 0));
	}
	EXPECT(run(2, 0x0f, 0x31) == EMUL_OK && m.special == EMUL_SP_RDTSC);
	m.ctx.cr4 |= EMUL_CR4_TSD;
	EXPECT(faulted(run(2, 0x0f, 0x31), VEC_GP, 0));
	EXPECT(faulted(run(2, 0x0f, 0x33), VEC_GP, 0));
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd1), VEC_UD, 0));	/* xsetbv without OSXSAVE */
	m.ctx.cr4 |= EMUL_CR4_OSXSAVE;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd1), VEC_GP, 0));
	EXPECT(run(3, 0x0f, 0x01, 0xd9) == EMUL_OK && m.special == EMUL_SP_VMMCALL);
	EXPECT(run(2, 0x0f, 0xa2) == EMUL_OK && m.special == EMUL_SP_CPUID);
	return ok;
}

static bool test_system(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.msr = 0x1122334455667788;
	GPR(RCX) = 0xfffffffc0000080;
	EXPECT(run(2, 0x0f, 0x32) == EMUL_OK);
	EXPECT(GPR(RAX) == 0x55667788 && GPR(RDX) == 0x11223344);
	GPR(RDX) = ~0ull;
	EXPECT(run(2, 0x0f, 0x30) == EMUL_OK && m.set_reg[0] == EMUL_REG_MSR);
	EXPECT(m.set_reg[1] == 0xc0000080 && m.set_reg[2] == 0xffffffff55667788);
	m.cr[8] = 9;
	EXPECT(run(4, 0x44, 0x0f, 0x20, 0xc3) == EMUL_OK && GPR(RBX) == 9);	/* %cr8, %rbx */
	EXPECT(run(4, 0xf0, 0x0f, 0x22, 0xc3) == EMUL_OK && m.set_reg[1] == 8);
	EXPECT(faulted(run(3, 0x0f, 0x20, 0xc8), VEC_UD, 0));		/* CR1 */
	m.dr[6] = 0xffff0ff0;
	EXPECT(run(3, 0x0f, 0x21, 0xe0) == EMUL_OK && GPR(RAX) == 0xffff0ff0);	/* DR4 */
	m.ctx.cr4 |= EMUL_CR4_DE;
	EXPECT(faulted(run(3, 0x0f, 0x21, 0xe0), VEC_UD, 0));
	GPR(RAX) = 1ull << 32;
	EXPECT(faulted(run(3, 0x0f, 0x23, 0xf8), VEC_GP, 0));		/* DR7's upper half */
	m.dr[7] = DR7_GD;
	EXPECT(faulted(run(3, 0x0f, 0x21, 0xc0), VEC_DB, 0) && m.ctx.fault.address == DR6_BD);
	m.seg[EMUL_GS].base = 0x1000;
	GPR(RBX) = 0x800000000000;
	EXPECT(run(4, 0x65, 0x0f, 0x01, 0x3b) == EMUL_OK);		/* invlpg %gs:(%rbx) */
	EXPECT(m.special == EMUL_SP_INVLPG && m.special_arg == 0x800000001000);
	EXPECT(run(3, 0x0f, 0x01, 0xf8) == EMUL_OK);			/* swapgs */
	EXPECT(m.seg[EMUL_GS].base == 0x1122334455667788 && m.set_reg[2] == 0x1000);
	GPR(RBX) = 0x2000;
	put(0x2002, 0x8000000000000000, 8);
	EXPECT(faulted(run(3, 0x0f, 0x01, 0x13), VEC_GP, 0));		/* lgdt, not canonical */
	EXPECT(run(3, 0x0f, 0x01, 0xcb) == EMUL_OK && m.ctx.rflags & FLAG_AC);	/* stac */
	EXPECT(run(3, 0x0f, 0x01, 0xca) == EMUL_OK && !(m.ctx.rflags & FLAG_AC));
	m.ctx.cr4 = EMUL_CR4_OSXSAVE;
	EXPECT(run(3, 0x0f, 0x01, 0xd0) == EMUL_OK && GPR(RAX) == 7 && !GPR(RDX));	/* xgetbv */
	EXPECT(run(3, 0x0f, 0x01, 0xd1) == EMUL_OK && m.special == EMUL_SP_XSETBV);
	m.ctx.cr4 = 0;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd0), VEC_UD, 0));
	m.ctx.cr0 |= EMUL_CR0_TS;
	EXPECT(run(2, 0x0f, 0x06) == EMUL_OK && !(m.set_reg[2] & EMUL_CR0_TS));
	return ok;
}

static bool test_monitor(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.seg[EMUL_FS].base = 0x100;
	GPR(RAX) = 0x2000;
	EXPECT(run(4, 0x64, 0x0f, 0x01, 0xc8) == EMUL_OK);
	EXPECT(m.special == EMUL_SP_MONITOR && m.special_arg == 0x2100);
	EXPECT(run(3, 0x0f, 0x01, 0xc9) == EMUL_OK && m.special == EMUL_SP_MWAIT);
	GPR(RCX) = 1;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc8), VEC_GP, 0));
	m.ctx.cpl = 3;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc8), VEC_UD, 0));
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc9), VEC_UD, 0));
	m.ctx.cpl = 0;
	m.ctx.features &= ~(u32)EMUL_FEAT_MONITOR;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc9), VEC_UD, 0));
	return ok;
}

/* SYSEXIT to 64-bit code: both addresses have to be canonical, or it is the kernel's own #GP. */
static bool test_sysexit(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.ctx.features = 0;			/* as Intel's CPUs have it */
	m.msr = 8;
	GPR(RDX) = 0x4000;
	GPR(RCX) = 0x800000000000;
	EXPECT(faulted(run(3, 0x48, 0x0f, 0x35), VEC_GP, 0));
	GPR(RDX) = 0x800000000000;
	GPR(RCX) = 0x7000;
	EXPECT(faulted(run(3, 0x48, 0x0f, 0x35), VEC_GP, 0));
	GPR(RDX) = 0x4000;
	EXPECT(run(3, 0x48, 0x0f, 0x35) == EMUL_OK && m.ctx.rip == 0x4000);
	EXPECT(GPR(RSP) == 0x7000 && m.seg[EMUL_CS].sel == 0x2b && m.seg[EMUL_SS].sel == 0x33);
	return ok;
}

/* In long mode the descriptors of LDT and TSS have 16 bytes. */
static bool test_long_descriptors(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	make_gdt();
	put(GDT + 0x38, 0xffff8000, 8);
	GPR(RAX) = 0x30;
	EXPECT(run(3, 0x0f, 0x00, 0xd8) == EMUL_OK);		/* ltr */
	EXPECT(m.seg[EMUL_TR].base == 0xffff800000006000);
	EXPECT(m.seg[EMUL_TR].attr == 0x8b && m.seg[EMUL_TR].limit == 0x67);
	put(GDT + 0x30, 0x0000890060000067, 8);
	put(GDT + 0x38, 0x8000, 8);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* base not canonical */
	/* A 16-bit TSS is none in long mode, and a task gate no gate; an LDT is one. */
	put(GDT + 0x30, 0x0000810060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && !(m.ctx.rflags & FLAG_ZF));	/* lsl */
	put(GDT + 0x30, 0x0000850060000067, 8);
	EXPECT(run(3, 0x0f, 0x02, 0xd8) == EMUL_OK && !(m.ctx.rflags & FLAG_ZF));	/* lar */
	put(GDT + 0x30, 0x0000820060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	EXPECT(GPR(RBX) == 0x67);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd0), VEC_GP, 0x30));	/* lldt: not canonical */
	put(GDT + 0x38, 0xffff8000, 8);
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);
	EXPECT(m.seg[EMUL_LDTR].base == 0xffff800000006000);
	m.ctx.mode = EMUL_MODE_PROT32;
	m.ctx.efer = 0;
	put(GDT + 0x30, 0x0000810060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	put(GDT + 0x30, 0x0000850060000067, 8);
	EXPECT(run(3, 0x0f, 0x02, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	m.ctx.mode = EMUL_MODE_LONG;
	m.ctx.efer = 0xd00;
	m.seg[EMUL_GDTR].limit = 0x37;
	put(GDT + 0x30, 0x0000890060000067, 8);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* only half is inside */
	GPR(RAX) = 0;
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0));
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);		/* lldt of null */
	EXPECT(m.seg[EMUL_LDTR].attr & EMUL_SEG_UNUSABLE);
	EXPECT(run(2, 0x8e, 0xd0) == EMUL_OK);			/* a null SS is fine at CPL 0 */
	m.ctx.cpl = 3;
	GPR(RAX) = 3;
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0));
	return ok;
}

static bool test_flags(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	EXPECT(run(1, 0xfb) == EMUL_OK && m.ctx.shadow == EMUL_SHADOW_STI);
	EXPECT(m.ctx.rflags & FLAG_IF);
	EXPECT(run(1, 0xfb) == EMUL_OK && !m.ctx.shadow);	/* IF was set: no shadow */
	put(0x8000, FLAG_IOPL, 4);
	EXPECT(run(1, 0x9d) == EMUL_OK && m.ctx.rflags == (FLAG_IOPL | 2));
	m.ctx.cpl = 3;
	m.ctx.rflags = 2 | FLAG_IF;
	GPR(RSP) = 0x8000;
	put(0x8000, FLAG_IOPL | FLAG_CF | FLAG_VM | FLAG_RF, 4);
	EXPECT(run(1, 0x9d) == EMUL_OK && m.ctx.rflags == (2 | FLAG_IF | FLAG_CF));
	/* Virtual-8086 mode below IOPL 3: refused, or VIF with VME. */
	reset(EMUL_MODE_VM86);
	EXPECT(faulted(run(1, 0x9c), VEC_GP, 0) && faulted(run(1, 0x9d), VEC_GP, 0));
	EXPECT(faulted(run(1, 0xfa), VEC_GP, 0) && faulted(run(1, 0xf4), VEC_GP, 0));
	m.ctx.cr4 |= EMUL_CR4_VME;
	EXPECT(run(1, 0xfb) == EMUL_OK && m.ctx.rflags & FLAG_VIF && !(m.ctx.rflags & FLAG_IF));
	EXPECT(run(1, 0x9c) == EMUL_OK && mem16(0x7ffe) == (2 | FLAG_IF | FLAG_IOPL));
	EXPECT(faulted(run(2, 0x66, 0x9c), VEC_GP, 0));
	m.ctx.rflags |= FLAG_VIP;
	EXPECT(faulted(run(1, 0xfb), VEC_GP, 0) && faulted(run(1, 0x9d), VEC_GP, 0));
	return ok;
}

static bool test_features(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	GPR(RBX) = 0x2000;
	put(0x2000, 0x11223344, 4);
	EXPECT(run(4, 0x0f, 0x38, 0xf0, 0x03) == EMUL_OK && GPR(RAX) == 0x44332211);	/* movbe */
	EXPECT(run(3, 0x0f, 0x6f, 0x03) == EMUL_OK && m.ymm[0][0] == 0x44);	/* movq mm */
	EXPECT(run(3, 0x0f, 0x10, 0x03) == EMUL_OK);				/* movups */
	EXPECT(faulted(run(4, 0xc5, 0xf8, 0x10, 0x03), VEC_UD, 0));		/* no OSXSAVE */
	m.ctx.cr4 |= EMUL_CR4_OSXSAVE;
	memset(m.ymm, 0xff, sizeof(m.ymm));
	EXPECT(run(4, 0xc5, 0xf8, 0x10, 0x03) == EMUL_OK && !m.ymm[0][31]);
	EXPECT(run(4, 0xc5, 0xe8, 0x10, 0x03) == EMUL_UD);			/* vvvv */
	m.ctx.features &= ~(u32)(EMUL_FEAT_AVX2 | EMUL_FEAT_BMI1 | EMUL_FEAT_LZCNT);
	EXPECT(run(5, 0xc4, 0xe2, 0x79, 0x2a, 0x03) == EMUL_OK);		/* vmovntdqa */
	EXPECT(faulted(run(5, 0xc4, 0xe2, 0x7d, 0x2a, 0x03), VEC_UD, 0));
	GPR(RCX) = 0x10;
	EXPECT(run(4, 0xf3, 0x0f, 0xbd, 0xc1) == EMUL_OK && GPR(RAX) == 4);	/* BSR, not LZCNT */
	GPR(RCX) = 0;
	GPR(RAX) = 0x1234567800000009;
	EXPECT(run(4, 0xf3, 0x0f, 0xbc, 0xc1) == EMUL_OK);			/* BSF of nothing */
	EXPECT(GPR(RAX) == 0x1234567800000009 && m.ctx.rflags & FLAG_ZF);
	m.ctx.features = 0;
	EXPECT(faulted(run(4, 0x0f, 0x38, 0xf0, 0x03), VEC_UD, 0));
	EXPECT(faulted(run(4, 0xc5, 0xf8, 0x10, 0x03), VEC_UD, 0));
	m.ctx.cr0 |= EMUL_CR0_TS;
	EXPECT(faulted(run(3, 0x0f, 0x10, 0x03), VEC_NM, 0));
	EXPECT(faulted(run(3, 0x0f, 0x6f, 0x03), VEC_NM, 0));
	m.ctx.cr0 |= EMUL_CR0_EM;
	EXPECT(faulted(run(3, 0x0f, 0x10, 0x03), VEC_UD, 0));
	m.ctx.cr0 = 0x80000011;
	m.ctx.cr4 = 0;
	EXPECT(faulted(run(3, 0x0f, 0x10, 0x03), VEC_UD, 0));
	m.ctx.cr4 = EMUL_CR4_OSFXSR;
	GPR(RBX) = 0x2001;
	EXPECT(faulted(run(3, 0x0f, 0x28, 0x03), VEC_GP, 0));			/* movaps */
	EXPECT(run(3, 0x0f, 0xae, 0x3b) == EMUL_OK);				/* clflush */
	EXPECT(run(2, 0xd8, 0x03) == EMUL_UNHANDLEABLE);			/* x87 */
	EXPECT(run(4, 0x62, 0xf1, 0x7c, 0x48) == EMUL_MORE_BYTES);
	EXPECT(run(6, 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x03) == EMUL_UNHANDLEABLE);
	return ok;
}

/* #PF error codes by access, and a read-modify-write that asks for the write at its read. */
static bool test_page_faults(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	GPR(RBX) = MEM_SIZE - 2;
	EXPECT(faulted(run(2, 0x8b, 0x03), VEC_PF, 0) && m.ctx.fault.address == MEM_SIZE);
	EXPECT(faulted(run(2, 0x89, 0x03), VEC_PF, 2));
	EXPECT(faulted(run(2, 0x01, 0x03), VEC_PF, 2));
	EXPECT(faulted(run(2, 0x39, 0x03), VEC_PF, 0));
	m.ctx.cpl = 3;
	GPR(RBX) = 0xf0000;
	EXPECT(faulted(run(2, 0x01, 0x03), VEC_PF, 7) && m.ctx.fault.address == 0xf0000);
	/* Descriptor tables are read as supervisor whatever CPL is. */
	make_gdt();
	memcpy(m.mem + 0xf1000, m.mem + GDT, 64);
	m.seg[EMUL_GDTR].base = 0xf1000;
	GPR(RAX) = 0x3b;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK && m.mem[0xf103d] == 0xf3);
	return ok;
}

int main(void)
{
	static const struct {
		bool (*fn)(void);
		const char *name;
	} tests[] = {
		{ test_truncated, "truncated and overlong instructions" },
		{ test_special_registers, "operands of MOV to and from CR and DR" },
		{ test_idiv_edges, "idiv where its quotient just fits" },
		{ test_real_memory, "real mode: wrap, limits, unreal mode" },
		{ test_real_control, "real mode: INT, IRET, far call and return" },
		{ test_real_system, "real mode: LGDT, LMSW, segment loads" },
		{ test_pio, "IN and OUT" },
		{ test_string_pio, "INS and OUTS in batches" },
		{ test_io_permission, "IOPL and the I/O permission bitmap" },
		{ test_rep_budget, "REP in bounded steps" },
		{ test_replay, "replay after userspace's answer" },
		{ test_lock, "LOCK, XCHG, CMPXCHG8B/16B" },
		{ test_segments, "segment types and limits, canonical addresses" },
		{ test_descriptors, "segment register loads" },
		{ test_sysexit, "SYSEXIT" },
		{ test_tasks, "task switches" },
		{ test_task_limits, "task switches: limits, virtual-8086 mode" },
		{ test_far, "far transfers and IRET" },
		{ test_privilege, "privileged instructions above CPL 0" },
		{ test_system, "system registers" },
		{ test_monitor, "MONITOR and MWAIT" },
		{ test_long_descriptors, "system descriptors in long mode" },
		{ test_flags, "IF, IOPL, VIF, interrupt shadow" },
		{ test_features, "instruction sets that the guest lacks" },
		{ test_page_faults, "page faults" },
	};
	unsigned int i;

	ktap_plan(sizeof(tests) / sizeof(tests[0]));
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		ktap_result(tests[i].fn(), tests[i].name);
	return ktap_exit();
}
