// SPDX-License-Identifier: GPL-2.0
/*
 * Instruction decoder: bytes to struct emul_insn, with the length of every instruction.
 * Entered through emul_decode() from emul/glue.c, KUnit, the native tests and fuzzers.
 * No locks; it touches nothing but its arguments.
 * AMD APM vol. 3 "Instruction Encoding"; Intel SDM vol. 2 "Instruction Format".
 */
#include "internal.h"

/* A cursor over the bytes; the first error sticks and later reads give zeroes. */
struct cursor {
	const u8 *bytes;
	unsigned int n;
	unsigned int pos;
	int err;
};

static u8 get8(struct cursor *c)
{
	if (c->err)
		return 0;
	if (c->pos >= EMUL_MAX_INSN) {
		c->err = EMUL_TOO_LONG;
		return 0;
	}
	if (c->pos >= c->n) {
		c->err = EMUL_MORE_BYTES;
		return 0;
	}
	return c->bytes[c->pos++];
}

static u8 peek8(struct cursor *c)
{
	u8 b = get8(c);

	if (!c->err)
		c->pos--;
	return b;
}

static u64 get_bytes(struct cursor *c, unsigned int bytes)
{
	u64 val = 0;
	unsigned int i;

	for (i = 0; i < bytes; i++)
		val |= (u64)get8(c) << (8 * i);
	return val;
}

static u64 get_signed(struct cursor *c, unsigned int bytes)
{
	unsigned int shift = 64 - 8 * bytes;

	return (u64)((s64)(get_bytes(c, bytes) << shift) >> shift);
}

/* Rows for the encodings whose instructions are known by their length alone. */
static const struct emul_opcode row_undefined;
static const struct emul_opcode row_plain = { .flags = F_DEF };
static const struct emul_opcode row_modrm = { .flags = F_DEF | F_MODRM };
static const struct emul_opcode row_modrm_imm8 = { .flags = F_DEF | F_MODRM | F_IMM8 };
static const struct emul_opcode row_modrm_imm32 = { .flags = F_DEF | F_MODRM | F_IMM32 };

static bool is_long(const struct emul_insn *insn)
{
	return insn->mode == EMUL_MODE_LONG;
}

static void take_prefix_66_67(struct emul_insn *insn, u8 b)
{
	static const u8 other[] = { [2] = 4, [4] = 2, [8] = 4 };

	if (b == 0x66)
		insn->opsize_pfx = true;
	else
		insn->addr_bytes = other[insn->code_bytes];
}

/* Legacy and REX prefixes; the first other byte is left in the stream. */
static void decode_prefixes(struct cursor *c, struct emul_insn *insn)
{
	for (;; c->pos++) {
		u8 b = peek8(c);

		if (c->err)
			return;
		if (is_long(insn) && (b & 0xf0) == 0x40) {
			insn->rex = b;
			continue;
		}
		switch (b) {
		case 0x26: case 0x2e: case 0x36: case 0x3e:
			/* In 64-bit mode these four are no overrides, nor do they cancel one. */
			if (!is_long(insn))
				insn->seg_override = (b >> 3) & 3;
			break;
		case 0x64: case 0x65:
			insn->seg_override = EMUL_FS + (b & 1);
			break;
		case 0x66: case 0x67:
			take_prefix_66_67(insn, b);
			break;
		case 0xf0:
			insn->lock = true;
			break;
		case 0xf2: case 0xf3:
			insn->rep = b;
			break;
		default:
			if (insn->rep)
				insn->pp = insn->rep;
			else if (insn->opsize_pfx)
				insn->pp = 0x66;
			return;
		}
		insn->rex = 0;	/* REX counts only right before the opcode */
	}
}

static const u8 pp_prefix[4] = { 0, 0x66, 0xf3, 0xf2 };

static unsigned int pp_index(u8 pp)
{
	return pp == 0x66 ? 1 : pp == 0xf3 ? 2 : pp == 0xf2 ? 3 : 0;
}

/* The byte with W, vvvv, L and pp that VEX, XOP and EVEX share. */
static void take_w_vvvv_l_pp(struct emul_insn *insn, u8 b)
{
	insn->vlen = b & 4 ? 32 : 16;
	insn->vvvv = ~(b >> 3) & 15;
	insn->pp = pp_prefix[b & 3];
	if (is_long(insn))
		insn->rex |= 0x40 | (b & 0x80 ? 8 : 0);
	else
		insn->vvvv &= 7;
}

/* R, X, B come inverted in the top three bits. */
static void take_rxb(struct emul_insn *insn, u8 b)
{
	if (is_long(insn))
		insn->rex = 0x40 | (~b >> 5 & 7);
}

static int decode_vex(struct cursor *c, struct emul_insn *insn, u8 first)
{
	u8 b = get8(c);

	insn->enc = EMUL_ENC_VEX;
	if (first == 0xc5) {
		insn->map = EMUL_MAP_0F;
		take_w_vvvv_l_pp(insn, b & 0x7f);
		if (is_long(insn))
			insn->rex = 0x40 | (b & 0x80 ? 0 : 4);
		return EMUL_OK;
	}
	take_rxb(insn, b);
	if ((b & 31) < 1 || (b & 31) > 3)
		return EMUL_UD;
	insn->map = EMUL_MAP_0F + (b & 31) - 1;
	take_w_vvvv_l_pp(insn, get8(c));
	return EMUL_OK;
}

static int decode_xop(struct cursor *c, struct emul_insn *insn)
{
	u8 b = get8(c);

	insn->enc = EMUL_ENC_XOP;
	take_rxb(insn, b);
	if ((b & 31) > 10)
		return EMUL_UD;
	insn->map = EMUL_MAP_XOP8 + (b & 31) - 8;
	take_w_vvvv_l_pp(insn, get8(c));
	return EMUL_OK;
}

static int decode_evex(struct cursor *c, struct emul_insn *insn)
{
	static const u8 maps[8] = { 0, EMUL_MAP_0F, EMUL_MAP_0F38, EMUL_MAP_0F3A, 0,
				    EMUL_MAP_EVEX5, EMUL_MAP_EVEX6, 0 };
	u8 b = get8(c);

	insn->enc = EMUL_ENC_EVEX;
	take_rxb(insn, b);
	if (b & 8 || !maps[b & 7])
		return EMUL_UD;
	insn->map = maps[b & 7];
	b = get8(c);
	if (!(b & 4) && !c->err)
		return EMUL_UD;
	take_w_vvvv_l_pp(insn, b);	/* L is elsewhere: below */
	b = get8(c);
	insn->vlen = 16 << (b >> 5 & 3);
	return EMUL_OK;
}

/*
 * VEX, EVEX, XOP: the legacy row if it says that it serves VEX, else one that has the length.
 * VZEROUPPER has no ModRM; of the 0F map the legacy opcodes with imm8 have it here too.
 */
static const struct emul_opcode *vector_row(const struct emul_insn *insn)
{
	switch (insn->map) {
	case EMUL_MAP_0F:
		switch (insn->opcode) {
		case 0x77:
			return insn->enc == EMUL_ENC_VEX ? &row_plain : &row_modrm;
		case 0x70: case 0x71: case 0x72: case 0x73:
		case 0xc2: case 0xc4: case 0xc5: case 0xc6:
			return &row_modrm_imm8;
		}
		return &row_modrm;
	case EMUL_MAP_0F3A:
	case EMUL_MAP_XOP8:
		return &row_modrm_imm8;
	case EMUL_MAP_XOPA:
		return &row_modrm_imm32;
	default:
		return &row_modrm;
	}
}

static const struct emul_opcode *legacy_row(const struct emul_insn *insn)
{
	switch (insn->map) {
	case EMUL_MAP_1B:
		return &emul_map_1b[insn->opcode];
	case EMUL_MAP_0F:
		return &emul_map_0f[insn->opcode];
	case EMUL_MAP_0F38:
		return &emul_map_0f38[insn->opcode];
	case EMUL_MAP_0F3A:
		return &emul_map_0f3a[insn->opcode];
	default:
		return &row_modrm_imm8;		/* 3DNow! */
	}
}

/* Does this byte begin a vector encoding? Outside 64-bit mode only if LES, LDS, BOUND cannot be. */
static bool is_vector_escape(struct cursor *c, const struct emul_insn *insn, u8 b)
{
	switch (b) {
	case 0x62: case 0xc4: case 0xc5:
		if (is_long(insn))
			return true;
		if (insn->mode == EMUL_MODE_REAL || insn->mode == EMUL_MODE_VM86)
			return false;
		return (peek8(c) & 0xc0) == 0xc0;
	case 0x8f:
		return (peek8(c) & 31) >= 8;
	}
	return false;
}

static int decode_vector(struct cursor *c, struct emul_insn *insn, u8 first)
{
	int r;

	if (insn->pp || insn->lock || insn->rex || insn->opsize_pfx)
		return EMUL_UD;
	if (first == 0x62)
		r = decode_evex(c, insn);
	else if (first == 0x8f)
		r = decode_xop(c, insn);
	else
		r = decode_vex(c, insn, first);
	insn->opcode = get8(c);
	return r;
}

static int decode_opcode(struct cursor *c, struct emul_insn *insn)
{
	u8 b = get8(c);

	if (is_vector_escape(c, insn, b))
		return decode_vector(c, insn, b);
	insn->opcode = b;
	if (b != 0x0f)
		return EMUL_OK;
	insn->map = EMUL_MAP_0F;
	b = get8(c);
	insn->opcode = b;
	if (b == 0x38)
		insn->map = EMUL_MAP_0F38;
	else if (b == 0x3a)
		insn->map = EMUL_MAP_0F3A;
	else if (b == 0x0f)
		insn->map = EMUL_MAP_0F0F;
	if (insn->map == EMUL_MAP_0F38 || insn->map == EMUL_MAP_0F3A)
		insn->opcode = get8(c);
	return EMUL_OK;
}

static bool kind_has_modrm(unsigned int kind)
{
	return kind >= O_EB && kind <= O_GV;
}

static bool row_has_modrm(const struct emul_opcode *op)
{
	return op->flags & (F_MODRM | F_GROUP | F_MODSEL | F_RMSEL) ||
	       kind_has_modrm(op->dst) || kind_has_modrm(op->src) || kind_has_modrm(op->src2);
}

static void take_modrm(struct cursor *c, struct emul_insn *insn)
{
	if (insn->has_modrm)
		return;
	insn->has_modrm = true;
	insn->modrm = get8(c);
	insn->reg = (insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8 : 0);
	insn->rm = (insn->modrm & 7) | (insn->rex & 1 ? 8 : 0);
}

/* Walks groups and prefix tables down to the row that is the instruction. */
static const struct emul_opcode *select_row(struct cursor *c, struct emul_insn *insn,
					    const struct emul_opcode *op)
{
	for (;;) {
		if (row_has_modrm(op))
			take_modrm(c, insn);
		switch (op->flags & F_SELECT) {
		case F_GROUP:
			op = &op->sub[insn->modrm >> 3 & 7];
			break;
		case F_MODSEL:
			op = &op->sub[insn->modrm >= 0xc0];
			break;
		case F_RMSEL:
			op = &op->sub[insn->modrm & 7];
			break;
		case F_PFX:
			/* The CPU has ModRM before it finds no instruction with this prefix. */
			if (row_has_modrm(op->sub))
				take_modrm(c, insn);
			op = &op->sub[pp_index(insn->pp)];
			break;
		case F_LONGSEL:
			op = &op->sub[is_long(insn)];
			break;
		default:
			return op;
		}
	}
}

static const struct emul_opcode *find_row(struct cursor *c, struct emul_insn *insn)
{
	const struct emul_opcode *op;

	if (insn->enc == EMUL_ENC_LEGACY) {
		op = select_row(c, insn, legacy_row(insn));
		return op->flags & F_VEX_ONLY ? &row_undefined : op;
	}
	if (insn->enc == EMUL_ENC_VEX && insn->map <= EMUL_MAP_0F38) {
		/* Every row of these maps that serves VEX has a ModRM byte. */
		if (vector_row(insn)->flags & F_MODRM)
			take_modrm(c, insn);
		op = select_row(c, insn, legacy_row(insn));
		if (op->flags & F_VEX)
			return op;
	}
	op = vector_row(insn);
	if (op->flags & F_MODRM)
		take_modrm(c, insn);
	return op;
}

static void decode_mem16(struct cursor *c, struct emul_insn *insn)
{
	static const u8 base[8] = { EMUL_RBX, EMUL_RBX, EMUL_RBP, EMUL_RBP,
				    EMUL_RSI, EMUL_RDI, EMUL_RBP, EMUL_RBX };
	static const u8 index[8] = { EMUL_RSI, EMUL_RDI, EMUL_RSI, EMUL_RDI,
				     EMUL_NO_REG, EMUL_NO_REG, EMUL_NO_REG, EMUL_NO_REG };
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;
	struct emul_mem *m = &insn->mem;

	m->base = base[rm];
	m->index = index[rm];
	if (mod == 0 && rm == 6) {
		m->base = EMUL_NO_REG;
		m->disp = get_bytes(c, 2);
	} else if (mod) {
		m->disp = get_signed(c, mod);
	}
}

static void decode_sib(struct cursor *c, struct emul_insn *insn, unsigned int mod)
{
	struct emul_mem *m = &insn->mem;
	u8 sib = get8(c);

	m->scale = 1 << (sib >> 6);
	m->index = (sib >> 3 & 7) | (insn->rex & 2 ? 8 : 0);
	if (m->index == EMUL_RSP)
		m->index = EMUL_NO_REG;
	m->base = (sib & 7) | (insn->rex & 1 ? 8 : 0);
	if ((sib & 7) == 5 && mod == 0) {
		m->base = EMUL_NO_REG;
		m->disp = get_signed(c, 4);
	}
}

static void decode_mem32(struct cursor *c, struct emul_insn *insn)
{
	unsigned int mod = insn->modrm >> 6, rm = insn->modrm & 7;
	struct emul_mem *m = &insn->mem;

	if (rm == 4) {
		decode_sib(c, insn, mod);
	} else if (rm == 5 && mod == 0) {
		m->rip_rel = is_long(insn);
		m->disp = get_signed(c, 4);
	} else {
		m->base = insn->rm;
	}
	if (mod)
		m->disp = get_signed(c, mod == 1 ? 1 : 4);
}

static void set_segment(struct emul_insn *insn)
{
	struct emul_mem *m = &insn->mem;

	if (insn->seg_override != EMUL_NO_SEG)
		m->seg = insn->seg_override;
	else if (m->base == EMUL_RSP || m->base == EMUL_RBP)
		m->seg = EMUL_SS;
}

static void decode_modrm_mem(struct cursor *c, struct emul_insn *insn)
{
	if (!insn->has_modrm || insn->modrm >= 0xc0 || insn->op->flags & F_MODREG)
		return;
	insn->has_mem = true;
	if (insn->addr_bytes == 2)
		decode_mem16(c, insn);
	else
		decode_mem32(c, insn);
	set_segment(insn);
}

/* 66h, REX.W and the row's defaults. */
static void set_op_bytes(struct emul_insn *insn, unsigned int flags)
{
	u32 fl = insn->op->flags;
	bool pfx = insn->opsize_pfx;

	if (is_long(insn)) {
		if (fl & F_F64 && !(flags & EMUL_DEC_BRANCH16))
			pfx = false;
		if (fl & F_FAR && flags & EMUL_DEC_FAR32)
			insn->op_bytes = pfx && !(insn->rex & 8) ? 2 : 4;
		else if (insn->rex & 8 || (fl & (F_D64 | F_F64) && !pfx))
			insn->op_bytes = 8;
		else
			insn->op_bytes = pfx ? 2 : 4;
		return;
	}
	insn->op_bytes = (insn->code_bytes == 4) != pfx ? 4 : 2;
}

static void decode_operand(struct cursor *c, struct emul_insn *insn, unsigned int kind, u64 *imm)
{
	unsigned int z = insn->op_bytes == 2 ? 2 : 4;

	switch (kind) {
	case O_IB: case O_JB:
		*imm = get_signed(c, 1);
		break;
	case O_IBU:
		*imm = get8(c);
		break;
	case O_IW:
		*imm = get_bytes(c, 2);
		break;
	case O_IZ: case O_JZ:
		*imm = get_signed(c, z);
		break;
	case O_IV:
		*imm = get_bytes(c, insn->op_bytes);
		break;
	case O_AP:
		insn->imm = get_bytes(c, z);
		insn->imm2 = get_bytes(c, 2);
		break;
	case O_OB: case O_OV:
		insn->has_mem = true;
		insn->mem.disp = get_bytes(c, insn->addr_bytes);
		set_segment(insn);
		break;
	}
}

static void decode_immediates(struct cursor *c, struct emul_insn *insn)
{
	const struct emul_opcode *op = insn->op;

	/* ENTER alone has two; its second is in src2. */
	decode_operand(c, insn, op->dst, &insn->imm);
	decode_operand(c, insn, op->src, &insn->imm);
	decode_operand(c, insn, op->src2, op->src == O_IW ? &insn->imm2 : &insn->imm);
	if (op->flags & F_IMM8)
		insn->imm = get8(c);
	if (op->flags & F_IMM16)
		insn->imm = get_bytes(c, 2);
	if (op->flags & F_IMM32)
		insn->imm = get_bytes(c, 4);
	if (insn->map == EMUL_MAP_0F0F)
		insn->opcode = insn->imm;
}

/* LOCK MOV to or from CR0 is CR8 on AMD processors (APM vol. 3 "MOV CRn"). */
static bool lock_is_cr8(struct emul_insn *insn)
{
	if (insn->reg || (insn->op->exec != em_mov_from_cr && insn->op->exec != em_mov_to_cr))
		return false;
	insn->reg = 8;
	return true;
}

static bool vex_is_legal(const struct emul_insn *insn)
{
	u32 fl = insn->op->flags;

	if (insn->enc != EMUL_ENC_VEX || !(fl & F_VEX))
		return true;
	if (fl & F_VEX128 && insn->vlen == 32)
		return false;
	/* VMOVSS and VMOVSD between registers merge with vvvv's upper part. */
	return !insn->vvvv || fl & F_VVVV || (insn->op->arg && !insn->has_mem);
}

static bool is_legal(struct emul_insn *insn)
{
	u32 fl = insn->op->flags;

	if (fl & (is_long(insn) ? F_NO64 : F_ONLY64))
		return false;
	if (insn->has_mem ? fl & F_REG : fl & F_MEM)
		return false;
	if (insn->lock && !(fl & F_LOCK && insn->has_mem) && !lock_is_cr8(insn))
		return false;
	return vex_is_legal(insn);
}

int emul_decode(struct emul_insn *insn, const u8 *bytes, unsigned int n, enum emul_mode mode,
		unsigned int flags)
{
	static const u8 code_bytes[] = { 2, 2, 2, 4, 8 };
	struct cursor c = { .bytes = bytes, .n = n };
	int r;

	memset(insn, 0, sizeof(*insn));
	insn->mode = mode;
	insn->seg_override = EMUL_NO_SEG;
	insn->code_bytes = code_bytes[mode];
	/* Between leaving protected mode and the far jump that follows. */
	if (mode == EMUL_MODE_REAL && flags & EMUL_DEC_CODE32)
		insn->code_bytes = 4;
	insn->addr_bytes = insn->code_bytes;
	insn->mem = (struct emul_mem){ .seg = EMUL_DS, .base = EMUL_NO_REG,
				       .index = EMUL_NO_REG, .scale = 1 };

	decode_prefixes(&c, insn);
	r = decode_opcode(&c, insn);
	if (c.err || r)
		return c.err ?: r;
	insn->op = find_row(&c, insn);
	if (c.err)
		return c.err;
	if (!(insn->op->flags & F_DEF))
		return EMUL_UD;
	insn->mem.addr_bytes = insn->addr_bytes;
	set_op_bytes(insn, flags);
	decode_modrm_mem(&c, insn);
	decode_immediates(&c, insn);
	if (c.err)
		return c.err;
	insn->length = c.pos;
	return is_legal(insn) ? EMUL_OK : EMUL_UD;
}
