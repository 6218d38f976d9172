// SPDX-License-Identifier: GPL-2.0
/*
 * What a user process cannot compare with the processor: real mode, segments,
 * port I/O, string batches, replay, intercepted instructions' names.
 * Entered from the command line: rows.
 * No locks: one thread.
 * AMD APM vol. 2 and 3; Intel SDM vol. 3.
 */
#include "machine.h"
#include "ktap.h"

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
