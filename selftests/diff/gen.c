// SPDX-License-Identifier: GPL-2.0
/*
 * gen.c - random instructions: templates with random prefixes, operands and addressing.
 * Entered from the oracle's kinds that run code.
 * No locks: one thread.
 * AMD APM vol. 3, "Instruction Encoding", "Opcode and Operand Encodings".
 */
#include "gen.h"

#define OSZAPC	0x8d5
#define MAX_CODE 96

struct code {
	u8 byte[MAX_CODE];
	unsigned int n;
};

/* Instructions with a ModRM byte. */
struct op {
	u16 first, last;	/* opcodes; 0x100 and more: after 0F, 0x200: 0F38, 0x300: 0F3A */
	u8 imm;			/* bytes of an immediate; 4 is that of the operand's size */
	u8 ext;			/* reg field 0 to ext - 1 are operations; 0: it is a register */
	u16 undef;		/* flags that are undefined afterwards */
	char prefix;		/* 's': 66, F3, F2 make other instructions; 'n': or none */
};

static const struct op ops[] = {
	{ 0x00, 0x03, 0, 0, 0, 0 }, { 0x08, 0x0b, 0, 0, 0x10, 0 }, { 0x10, 0x13, 0, 0, 0, 0 },
	{ 0x18, 0x1b, 0, 0, 0, 0 }, { 0x20, 0x23, 0, 0, 0x10, 0 }, { 0x28, 0x2b, 0, 0, 0, 0 },
	{ 0x30, 0x33, 0, 0, 0x10, 0 }, { 0x38, 0x3b, 0, 0, 0, 0 },
	{ 0x63, 0x63, 0, 0, 0, 0 }, { 0x69, 0x69, 4, 0, OSZAPC, 0 },
	{ 0x6b, 0x6b, 1, 0, OSZAPC, 0 },
	{ 0x80, 0x80, 1, 8, 0x10, 0 }, { 0x81, 0x81, 4, 8, 0x10, 0 }, { 0x83, 0x83, 1, 8, 0x10, 0 },
	{ 0x84, 0x85, 0, 0, 0x10, 0 }, { 0x86, 0x8b, 0, 0, 0, 0 }, { 0x8c, 0x8c, 0, 0, 0, 0 },
	{ 0x8d, 0x8d, 0, 0, 0, 0 }, { 0x8e, 0x8e, 0, 0, 0, 0 }, { 0x8f, 0x8f, 0, 1, 0, 0 },
	{ 0xc0, 0xc1, 1, 8, OSZAPC, 0 }, { 0xd0, 0xd3, 0, 8, OSZAPC, 0 },
	{ 0xc6, 0xc6, 1, 1, 0, 0 }, { 0xc7, 0xc7, 4, 1, 0, 0 },
	{ 0xf6, 0xf7, 0, 8, OSZAPC, 'f' }, { 0xfe, 0xfe, 0, 2, 0, 0 }, { 0xff, 0xff, 0, 7, 0, 0 },
	{ 0x140, 0x14f, 0, 0, 0, 0 }, { 0x190, 0x19f, 0, 0, 0, 0 },
	{ 0x1a3, 0x1a3, 0, 0, 0x8d4, 0 }, { 0x1ab, 0x1ab, 0, 0, 0x8d4, 0 },
	{ 0x1b3, 0x1b3, 0, 0, 0x8d4, 0 }, { 0x1bb, 0x1bb, 0, 0, 0x8d4, 0 },
	{ 0x1ba, 0x1ba, 1, 8, 0x8d4, 0 }, { 0x1a4, 0x1a4, 1, 0, OSZAPC, 0 },
	{ 0x1a5, 0x1a5, 0, 0, OSZAPC, 0 }, { 0x1ac, 0x1ac, 1, 0, OSZAPC, 0 },
	{ 0x1ad, 0x1ad, 0, 0, OSZAPC, 0 }, { 0x1af, 0x1af, 0, 0, OSZAPC, 0 },
	{ 0x1b0, 0x1b1, 0, 0, 0, 0 }, { 0x1c0, 0x1c1, 0, 0, 0, 0 }, { 0x1c7, 0x1c7, 0, 8, 0, 0 },
	{ 0x1b2, 0x1b2, 0, 0, 0, 0 }, { 0x1b4, 0x1b7, 0, 0, 0, 0 }, { 0x1be, 0x1bf, 0, 0, 0, 0 },
	{ 0x1bc, 0x1bd, 0, 0, OSZAPC, 0 }, { 0x2f0, 0x2f1, 0, 0, 0, 0 },
	{ 0x110, 0x111, 0, 0, 0, 's' }, { 0x128, 0x129, 0, 0, 0, 's' },
	{ 0x16f, 0x16f, 0, 0, 0, 's' }, { 0x17f, 0x17f, 0, 0, 0, 's' },
	{ 0x12b, 0x12b, 0, 0, 0, 's' }, { 0x1e7, 0x1e7, 0, 0, 0, 's' },
	{ 0x1c3, 0x1c3, 0, 0, 0, 'n' }, { 0x16e, 0x16e, 0, 0, 0, 's' },
	{ 0x17e, 0x17e, 0, 0, 0, 's' }, { 0x1d6, 0x1d6, 0, 0, 0, 's' },
	{ 0x1f0, 0x1f0, 0, 0, 0, 's' }, { 0x112, 0x113, 0, 0, 0, 's' },
	{ 0x116, 0x117, 0, 0, 0, 's' }, { 0x118, 0x118, 0, 8, 0, 0 },
	{ 0x10d, 0x10d, 0, 8, 0, 0 },
	{ 0x100, 0x100, 0, 6, 0, 0 }, { 0x101, 0x101, 0, 8, 0, 0 }, { 0x1ae, 0x1ae, 0, 4, 0, 'n' },
	{ 0xd8, 0xdf, 0, 8, 0, 0 }, { 0x62, 0x62, 0, 0, 0, 0 }, { 0xc4, 0xc5, 0, 0, 0, 0 },
	{ 0x102, 0x103, 0, 0, 0, 0 },
};

/* Instructions of fixed bytes. */
static const struct fixed {
	u8 n;
	u8 byte[6];
} fixed[] = {
	{ 1, { 0xf4 } }, { 1, { 0xfa } }, { 1, { 0xfb } }, { 1, { 0xcc } }, { 1, { 0xce } },
	{ 2, { 0xcd, 0x30 } }, { 2, { 0xcd, 0x21 } }, { 1, { 0xf1 } }, { 1, { 0xcf } },
	{ 1, { 0x9c } }, { 1, { 0x9d } }, { 1, { 0x60 } }, { 1, { 0x61 } }, { 1, { 0x9e } },
	{ 1, { 0x9f } }, { 1, { 0x9b } }, { 1, { 0xc9 } }, { 4, { 0xc8, 0x10, 0, 0 } },
	{ 1, { 0xd7 } }, { 2, { 0x0f, 0x06 } }, { 2, { 0x0f, 0x08 } }, { 2, { 0x0f, 0x09 } },
	{ 2, { 0x0f, 0x0b } }, { 2, { 0x0f, 0xa2 } }, { 2, { 0x0f, 0xaa } }, { 2, { 0x0f, 0x05 } },
	{ 2, { 0x0f, 0x07 } }, { 2, { 0x0f, 0x34 } }, { 2, { 0x0f, 0x35 } },
	{ 3, { 0x0f, 0x01, 0xd9 } }, { 3, { 0x0f, 0x01, 0xc1 } }, { 3, { 0x0f, 0x01, 0xd0 } },
	{ 3, { 0x0f, 0x01, 0xd1 } }, { 3, { 0x0f, 0x01, 0xd8 } }, { 3, { 0x0f, 0x01, 0xda } },
	{ 3, { 0x0f, 0x01, 0xdb } }, { 3, { 0x0f, 0x01, 0xdc } }, { 3, { 0x0f, 0x01, 0xdd } },
	{ 3, { 0x0f, 0x01, 0xde } }, { 3, { 0x0f, 0x01, 0xdf } }, { 3, { 0x0f, 0x01, 0xf8 } },
	{ 3, { 0x0f, 0x01, 0xc8 } }, { 3, { 0x0f, 0x01, 0xc9 } }, { 3, { 0x0f, 0x01, 0xca } },
	{ 3, { 0x0f, 0x01, 0xcb } }, { 2, { 0xf3, 0x90 } }, { 1, { 0x16 } }, { 1, { 0x17 } },
	{ 2, { 0x0f, 0x77 } }, { 1, { 0xcb } }, { 1, { 0xc3 } }, { 1, { 0x1f } }, { 1, { 0x07 } },
	{ 2, { 0x0f, 0xa1 } }, { 2, { 0x0f, 0xa9 } }, { 1, { 0x98 } }, { 1, { 0x99 } },
};

static void put(struct code *c, u8 byte)
{
	if (c->n < MAX_CODE)
		c->byte[c->n++] = byte;
}

static void put_n(struct code *c, u64 value, unsigned int n)
{
	while (n--) {
		put(c, value);
		value >>= 8;
	}
}

static bool code16(const struct diff *d)
{
	return d->mode <= MODE_PROT16;
}

enum operand { ANY, REGISTER, MEMORY };

/* ModRM with what follows it. 16-bit addresses are a byte or two of displacement at most. */
static void put_modrm(struct diff *d, struct code *c, u8 reg, bool a16, enum operand operand)
{
	u8 mod = one_in(d, 6) ? 3 : below(d, 3), rm = below(d, 8);

	if (operand == REGISTER)
		mod = 3;
	else if (operand == MEMORY && mod == 3)
		mod = 0;
	put(c, mod << 6 | reg << 3 | rm);
	if (mod == 3)
		return;
	if (a16) {
		if (mod == 0 && rm == 6)
			put_n(c, below(d, 0x2000), 2);
		else if (mod)
			put_n(c, below(d, 0x80), mod);
		return;
	}
	if (rm == 4) {
		u8 sib = rnd(d) & (one_in(d, 3) ? 0xff : 0x3f);

		put(c, sib);
		if ((sib & 7) == 5 && mod == 0)
			put_n(c, (d->stepping ? DIFF_DATA : DIFF_MMIO) + below(d, 0x100), 4);
	}
	if (mod == 0 && rm == 5)
		put_n(c, (d->stepping ? DIFF_DATA : DIFF_MMIO) + below(d, 64) -
			 (d->mode == MODE_LONG ? DIFF_CODE : 0), 4);
	else if (mod == 1)
		put(c, below(d, 0x40));
	else if (mod == 2)
		put_n(c, below(d, 0x1000), 4);
}

/*
 * A segment prefix. Not CS where it cannot be written: of an instruction that reads and writes, KVM
 * makes the read, of a device too, before it finds that the write is not allowed. In 64-bit mode
 * the CPU ignores SS, and KVM raises #SS for it.
 */
static u8 pick_segment(struct diff *d)
{
	static const u8 prefix[] = { 0x26, 0x36, 0x3e, 0x64, 0x65, 0x2e };
	u8 p = prefix[below(d, d->mode == MODE_REAL || d->mode == MODE_LONG ? 6 : 5)];

	return d->mode == MODE_LONG && p == 0x36 ? 0x3e : p;
}

/* In 64-bit mode, 66 makes CALL and JMP of 16 bits on AMD's CPUs, not in KVM's emulator. */
static bool is_near_jump(const struct diff *d, u16 opcode)
{
	return d->mode == MODE_LONG && opcode == 0xff;
}

/* Prefixes; is the operand's size 16 bits, is the address's? */
static void put_prefixes(struct diff *d, struct code *c, const struct op *op, u16 opcode,
			 bool *o16, bool *a16)
{
	*o16 = code16(d);
	*a16 = code16(d);
	if (op->prefix == 's') {
		u8 p = pick(d, ((u8[]){ 0, 0x66, 0xf3, 0xf2 }));

		if (p)
			put(c, p);
	} else if (op->prefix != 'n' && one_in(d, 4) && !is_near_jump(d, opcode)) {
		put(c, 0x66);
		*o16 = !*o16;
	}
	if (one_in(d, 10)) {
		put(c, 0x67);
		*a16 = d->mode == MODE_LONG ? false : !*a16;
	}
	if (one_in(d, 6))
		put(c, pick_segment(d));
	if (op->prefix != 'n' && one_in(d, 20)) {
		u8 rep = 0xf2 + below(d, 2);

		/* KVM's emulator takes TZCNT and LZCNT for BSF and BSR. */
		put(c, opcode == 0x1bc || opcode == 0x1bd ? 0xf2 : rep);
	}
	if (d->mode == MODE_LONG && !one_in(d, 3)) {
		u8 rex = 0x40 | below(d, 16);

		/*
		 * The CPU ignores R with segment registers, KVM's emulator does not; and with W it
		 * stores eight bytes of one.
		 */
		if (opcode == 0x8c || opcode == 0x8e)
			rex &= ~0xc;
		put(c, rex);
		if (rex & 8)
			*o16 = false;
	}
}

/*
 * While the guest is stepped, see ends_steps(): LMSW, INVLPG, CALL, JMP, and what loads segments,
 * which may be anywhere in real mode.
 */
static bool leads_astray(u16 opcode)
{
	static const u16 list[] = { 0x101, 0xff, 0x8e, 0xc4, 0xc5, 0x1b2, 0x1b4, 0x1b5 };

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (opcode == list[i])
			return true;
	return false;
}

/*
 * FNSTENV and FNSAVE: QEMU's TCG has whosever FPU instruction was the last in FIP and FDP. INVLPG,
 * for RDTSCP has the same opcode, and what RDRAND and RDSEED have theirs with.
 */
static bool shows_others(u16 opcode, u8 reg)
{
	return ((opcode == 0xd9 || opcode == 0xdd) && reg == 6) || (opcode == 0x101 && reg == 7) ||
	       (opcode == 0x1c7 && reg >= 6);
}

static void put_op(struct diff *d, struct code *c)
{
	const struct op *op = &pick(d, ops);
	u16 opcode = op->first + below(d, op->last - op->first + 1);
	u8 reg = op->ext ? below(d, one_in(d, 12) ? 8 : op->ext) : below(d, 8);
	enum operand operand = ANY;
	unsigned int imm = op->imm;
	bool o16, a16;

	if ((d->stepping && leads_astray(opcode)) || shows_others(opcode, reg))
		return;
	put_prefixes(d, c, op, opcode, &o16, &a16);
	if (opcode >= 0x100)
		put(c, 0x0f);
	if (opcode >= 0x200)
		put(c, opcode < 0x300 ? 0x38 : 0x3a);
	put(c, opcode);
	/*
	 * For SLDT and STR to a device, KVM reads there first; for LLDT and LTR of a selector of
	 * the LDT's, its error code is 0. VMCALL has no prefix.
	 */
	if (opcode == 0x100 && reg < 4)
		operand = REGISTER;
	else if (opcode == 0x101 && reg == 0)
		operand = MEMORY;
	put_modrm(d, c, reg, a16, operand);
	if (op->prefix == 'f' && reg < 2)
		imm = opcode & 1 ? 4 : 1;
	if (imm == 4)
		put_n(c, rnd_value(d), o16 ? 2 : 4);
	else
		put_n(c, rnd_value(d), imm);
	if (op->undef && !one_in(d, 4))
		put_n(c, 0xc039, 2);	/* CMP of AX with itself: all flags are defined */
	else
		d->flags_hidden |= op->undef;
}

static void put_string(struct diff *d, struct code *c)
{
	static const u8 string[] = {
		0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0x6c, 0x6d, 0x6e, 0x6f,
	};

	u8 op = pick(d, string);

	/* KVM forgets the step for them. */
	if (d->stepping && op < 0x70)
		return;
	if (op < 0x70 || !one_in(d, 3)) {
		put(c, 0xb9);		/* MOV to CX: how often */
		put_n(c, below(d, 24), code16(d) ? 2 : 4);
	}
	/*
	 * INS goes to plain memory: KVM reads the port many times at once, and what it has read is
	 * lost if the first store goes to a device or faults.
	 */
	if (op == 0x6c || op == 0x6d) {
		if (d->mode != MODE_LONG)
			put_n(c, 0x0716, 2);	/* PUSH SS, POP ES */
		put(c, 0xbf);			/* MOV to DI */
		put_n(c, DIFF_SCRATCH + 0x100 + below(d, 0xd00), code16(d) ? 2 : 4);
	}
	if (one_in(d, 4))
		put(c, 0x66);
	if (one_in(d, 10) && op >= 0x70)
		put(c, 0x67);
	if (one_in(d, 8))
		put(c, pick_segment(d));
	/* A trap after each iteration, as the CPU has it, KVM's emulator does not take. */
	if (!d->stepping && !one_in(d, 3))
		put(c, 0xf2 + below(d, 2));
	if (d->mode == MODE_LONG && one_in(d, 4))
		put(c, 0x48);
	put(c, op);
}

static void put_pio(struct diff *d, struct code *c)
{
	static const u8 pio[] = { 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef };
	u8 op = pick(d, pio);

	if (op >= 0xec && !one_in(d, 4)) {
		put(c, 0xba);		/* MOV to DX: the port */
		put_n(c, 0x100 + below(d, 0x400), code16(d) ? 2 : 4);
	}
	if (one_in(d, 4))
		put(c, 0x66);
	put(c, op);
	if (op < 0xec)
		put(c, rnd(d));
}

static void put_mov_imm(struct diff *d, struct code *c, u8 reg, u64 value)
{
	put(c, 0xb8 + reg);
	put_n(c, value, code16(d) ? 2 : 4);
}

static void put_msr(struct diff *d, struct code *c)
{
	static const u32 bases[] = {
		0x174, 0x175, 0x176, 0x1b, 0x277, 0x200, 0x250, 0x2ff, 0xc0000080, 0xc0000081,
		0xc0000082, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0x8b, 0x1d9, 0xce,
		0x179, 0x400, 0xc0010015, 0xc001001f, 0xc0000103, 0xc0011029, 0xfe,
		0x17a, 0x801,
		0x12345678, 0xc0011022, 0xc0010112, 0xc0010140, 0xda0, 0x122, 0x34, 0x3b,
	};
	u32 msr = pick(d, bases);

	/* EFER: see tcg_survives(). */
	if (msr_hidden(msr) || (msr == 0xc0000080 && d->mode < MODE_PAGED32))
		msr = 0x174;
	if (code16(d))
		put(c, 0x66);
	put(c, 0xb9);
	put_n(c, msr, 4);
	if (one_in(d, 2)) {
		put_n(c, 0x320f, 2);
		return;
	}
	if (!one_in(d, 3))
		put_mov_imm(d, c, 0, rnd_value(d));
	if (!one_in(d, 3))
		put_mov_imm(d, c, 2, one_in(d, 2) ? 0 : rnd_value(d));
	put_n(c, 0x300f, 2);
}

static void put_control(struct diff *d, struct code *c)
{
	static const u64 bits[] = {
		0x31, 0x11, 0x80010031, 0x80000011, 0x60000010, 0x20000011, 0x620, 0x6a0, 0x20,
		0x1000, 0x2000, 0, 0xffff0ff0, 0x400, 0x55, 0x2401, 8, 15, 16,
	};
	static const u8 written[] = { 0, 1, 2, 3, 4, 6 };
	u8 reg = below(d, one_in(d, 6) ? 8 : 5), gpr = below(d, 4);
	bool debug = one_in(d, 3);

	if (d->stepping)		/* see ends_steps() */
		return;

	if (!one_in(d, 3))
		put_mov_imm(d, c, gpr, pick(d, bits));
	if (d->mode == MODE_LONG && one_in(d, 5))
		put(c, 0x40 | below(d, 16));
	put(c, 0x0f);
	if (!debug) {
		put(c, 0x20 + 2 * below(d, 2));
		put(c, 0xc0 | reg << 3 | gpr);
	} else if (one_in(d, 2)) {
		put(c, 0x21);
		put(c, 0xc0 | below(d, 8) << 3 | gpr);
	} else {			/* not DR7: QEMU's TCG may crash with breakpoints on */
		put(c, 0x23);
		put(c, 0xc0 | pick(d, written) << 3 | gpr);
	}
}

static void put_far(struct diff *d, struct code *c)
{
	static const u16 selectors[] = {
		0, SEL_CS32, SEL_DS, SEL_CS64, SEL_UDS, SEL_UCS32, SEL_CS16, SEL_GATE, SEL_ODD,
		SEL_ODD + 0x10, SEL_ODD + 0x20, SEL_END,
	};
	u16 selector = d->mode == MODE_REAL ? 0 : pick(d, selectors);
	u8 reg = below(d, 8);

	if (d->stepping)
		return;
	switch (below(d, 3)) {
	case 0:
		put(c, one_in(d, 2) ? 0x9a : 0xea);
		put_n(c, DIFF_HANDLERS + 4 * 0xf6, code16(d) ? 2 : 4);
		put_n(c, selector, 2);
		break;
	case 1:				/* MOV to AX, MOV to a segment; DS has to be writable */
		put_mov_imm(d, c, 0, reg == 3 && selector ? SEL_DS : selector);
		put(c, 0x8e);
		put(c, 0xc0 | reg << 3);
		break;
	default:			/* LTR, LLDT, VERR, LAR of AX */
		put_mov_imm(d, c, 0, selector);
		if (one_in(d, 2))
			put_n(c, 0x000f | (0xc0 | below(d, 6) << 3) << 16, 3);
		else
			put_n(c, (one_in(d, 2) ? 0x020f : 0x030f) | 0xd8 << 16, 3);
	}
}

/* Intel's hypercall, which is rewritten into the CPU's own. */
static bool is_vmcall(const struct fixed *f)
{
	return f->byte[0] == 0x0f && f->byte[1] == 0x01 && f->byte[2] == 0xc1;
}

/*
 * While the guest is stepped: KVM forgets the step for HLT, and steps no more after what loads TF
 * or what its emulator executes; nothing may lead to code that does either.
 */
static bool ends_steps(const struct fixed *f)
{
	static const u8 one[] = { 0xf4, 0x9d, 0xcf, 0xc3, 0xcb, 0x07, 0x17, 0x1f };
	static const u8 two[] = { 0x06, 0x07, 0xaa, 0xa1, 0xa9 };

	for (size_t i = 0; i < ARRAY_SIZE(one); i++)
		if (f->byte[0] == one[i])
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(two); i++)
		if (f->byte[0] == 0x0f && f->byte[1] == two[i])
			return true;
	return is_vmcall(f);
}

static void put_fixed(struct diff *d, struct code *c)
{
	static const u32 leaves[] = {
		0, 1, 7, 0xd, 0x80000001, 0x80000008, 0x40000000, 0x40000001, 0x12345, 0x80000020,
	};
	const struct fixed *f = &pick(d, fixed);

	if (d->stepping && ends_steps(f))
		return;
	/* SYSEXIT is none of AMD's in long mode; KVM emulates it. */
	if (d->mode >= MODE_COMPAT && f->byte[0] == 0x0f && f->byte[1] == 0x35)
		return;
	/* Cut short, it is injected by KVM, and if its gate refuses it RIP is behind it. */
	if (d->user && f->byte[0] == 0xcd)
		return;
	/* KVM rewrites the prefix, too, and what remains is another instruction. */
	if (one_in(d, 8) && !is_vmcall(f))
		put(c, pick(d, ((u8[]){ 0x66, 0x67, 0xf2, 0xf3, 0x2e })));
	if (f->byte[0] == 0x0f && f->byte[1] == 0xa2)
		put_mov_imm(d, c, 0, pick(d, leaves));
	for (int i = 0; i < f->n; i++)
		put(c, f->byte[i]);
}

void make_program(struct diff *d, u64 at, unsigned int n)
{
	static void (*const puts[])(struct diff *d, struct code *c) = {
		put_op, put_op, put_op, put_op, put_op, put_op, put_op, put_op, put_string,
		put_string, put_pio, put_pio, put_msr, put_control,
		put_control, put_far, put_fixed, put_fixed,
	};
	struct code c = { .n = 0 };
	char text[2 * MAX_CODE + 1] = "";

	while (n--)
		pick(d, puts)(d, &c);
	for (unsigned int i = 0; i < c.n; i++)
		sprintf(text + 2 * i, "%02x", c.byte[i]);
	say(d, "mode %d code %s", d->mode, text);
	if (c.n > MAX_CODE - 8)
		c.n = MAX_CODE - 8;
	put_n(&c, 0xf4f5e6, 3);		/* OUT to port 0xf5, HLT */
	while (c.n < MAX_CODE)
		put(&c, 0xf4);
	memcpy(d->ram + at, c.byte, c.n);
}
