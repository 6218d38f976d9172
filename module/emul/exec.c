// SPDX-License-Identifier: GPL-2.0
/*
 * Executes one decoded instruction: legality, operands, handler, write-back; the moves.
 * Entered through emul_exec() from emul/glue.c, KUnit, the native tests and fuzzers.
 * No locks: see emulate.h.
 * AMD APM vol. 3 "General-Purpose Instruction Reference"; Intel SDM vol. 2.
 */
#include "internal.h"

/* Where an operand kind comes from, and its size; 0 is the operand size. */
enum source { SRC_NONE, SRC_RM, SRC_BITS, SRC_RMREG, SRC_REG, SRC_OPREG, SRC_GPR, SRC_MOFFS,
	      SRC_IMM, SRC_ONE };

static const struct {
	u8 source;
	u8 bytes;
	u8 reg;
} kinds[O_NR_KINDS] = {
	[O_EB] = { SRC_RM, 1 },
	[O_EW] = { SRC_RM, 2 },
	[O_ED] = { SRC_RM, 4 },
	[O_EV] = { SRC_RM, 0 },
	[O_EY] = { SRC_RM, 4 },
	[O_EVW] = { SRC_RM, 0 },
	[O_EBIT] = { SRC_BITS, 0 },
	[O_RV] = { SRC_RMREG, 0 },
	[O_GB] = { SRC_REG, 1 },
	[O_GW] = { SRC_REG, 2 },
	[O_GY] = { SRC_REG, 4 },
	[O_GV] = { SRC_REG, 0 },
	[O_ZB] = { SRC_OPREG, 1 },
	[O_ZV] = { SRC_OPREG, 0 },
	[O_AL] = { SRC_GPR, 1, EMUL_RAX },
	[O_AX] = { SRC_GPR, 0, EMUL_RAX },
	[O_CL] = { SRC_GPR, 1, EMUL_RCX },
	[O_DX] = { SRC_GPR, 2, EMUL_RDX },
	[O_ONE] = { SRC_ONE, 1 },
	[O_IB] = { SRC_IMM }, [O_IBU] = { SRC_IMM }, [O_IW] = { SRC_IMM }, [O_IZ] = { SRC_IMM },
	[O_IV] = { SRC_IMM }, [O_JB] = { SRC_IMM }, [O_JZ] = { SRC_IMM },
	[O_OB] = { SRC_MOFFS, 1 },
	[O_OV] = { SRC_MOFFS, 0 },
};

static unsigned int operand_bytes(const struct emul_insn *insn, unsigned int kind)
{
	switch (kind) {
	case O_EVW:
		return insn->has_mem ? 2 : insn->op_bytes;
	case O_EY: case O_GY:
		return insn->rex & 8 ? 8 : 4;
	case O_RV:
		return insn->mode == EMUL_MODE_LONG ? 8 : 4;
	}
	return kinds[kind].bytes ?: insn->op_bytes;
}

/* Without a REX prefix byte registers 4 to 7 are AH, CH, DH, BH. */
static void reg_operand(struct emul_ctx *ctx, struct emul_operand *o, unsigned int reg)
{
	o->kind = OPD_REG;
	if (o->bytes == 1 && reg >= 4 && reg < 8 && !ctx->insn.rex) {
		o->high_byte = true;
		reg -= 4;
	}
	o->linear = reg;
	o->val = (ctx->gpr[reg] >> (o->high_byte ? 8 : 0)) & emul_mask(o->bytes);
}

void emul_operand_set_reg(struct emul_ctx *ctx, const struct emul_operand *o, u64 val)
{
	u64 *reg = &ctx->gpr[o->linear];

	if (o->high_byte)
		*reg = (*reg & ~0xff00ull) | (val & 0xff) << 8;
	else
		emul_reg_set(ctx, o->linear, val, o->bytes);
}

/* BT and its kin with a register bit number reach beyond the operand: by bytes, signed. */
static u64 bit_string_offset(const struct emul_ctx *ctx, unsigned int bytes)
{
	s64 bit = (s64)emul_sext(ctx->gpr[ctx->insn.reg], bytes);

	return (u64)(bit >> 3) & ~(u64)(bytes - 1);
}

static int mem_operand(struct emul_ctx *ctx, struct emul_operand *o, bool bits,
		       unsigned int access)
{
	struct emul_mem mem = ctx->insn.mem;
	int r;

	if (bits)
		mem.disp += bit_string_offset(ctx, o->bytes);
	o->kind = OPD_MEM;
	r = emul_linear(ctx, mem.seg, emul_effective(ctx, &mem), o->bytes, access, &o->linear);
	if (r || access == EMUL_ACC_WRITE)
		return r;
	return emul_read(ctx, o->linear, &o->val, o->bytes, access);
}

/* Fetch an operand: registers and memory with their value, unless it is only written. */
static int fetch(struct emul_ctx *ctx, struct emul_operand *o, unsigned int kind,
		 unsigned int access)
{
	const struct emul_insn *insn = &ctx->insn;
	unsigned int source = kinds[kind].source;

	*o = (struct emul_operand){ .bytes = operand_bytes(insn, kind) };
	switch (source) {
	case SRC_RM: case SRC_BITS: case SRC_MOFFS:
		if (insn->has_mem)
			return mem_operand(ctx, o, source == SRC_BITS, access);
		reg_operand(ctx, o, insn->rm);
		break;
	case SRC_RMREG:
		reg_operand(ctx, o, insn->rm);
		break;
	case SRC_REG:
		reg_operand(ctx, o, insn->reg);
		break;
	case SRC_OPREG:
		reg_operand(ctx, o, (insn->opcode & 7) | (insn->rex & 1 ? 8 : 0));
		break;
	case SRC_GPR:
		reg_operand(ctx, o, kinds[kind].reg);
		break;
	case SRC_IMM:
		o->kind = OPD_IMM;
		o->val = insn->imm;
		break;
	case SRC_ONE:
		o->kind = OPD_IMM;
		o->val = 1;
		break;
	default:
		o->kind = OPD_NONE;
	}
	return EMUL_OK;
}

/* XCHG with memory is locked whether it says so or not. */
static bool is_locked(const struct emul_ctx *ctx)
{
	return ctx->insn.lock || ctx->insn.op->exec == em_xchg;
}

static unsigned int dst_access(const struct emul_ctx *ctx)
{
	u32 fl = ctx->insn.op->flags;

	if (fl & F_NOWB)
		return EMUL_ACC_READ;
	if (fl & F_MOV)
		return EMUL_ACC_WRITE;
	return EMUL_ACC_RMW | (is_locked(ctx) ? EMUL_ACC_LOCK : 0);
}

static int fetch_operands(struct emul_ctx *ctx)
{
	const struct emul_opcode *op = ctx->insn.op;
	int r;

	r = fetch(ctx, &ctx->src, op->src, EMUL_ACC_READ);
	if (!r)
		r = fetch(ctx, &ctx->src2, op->src2, EMUL_ACC_READ);
	if (!r)
		r = fetch(ctx, &ctx->dst, op->dst, dst_access(ctx));
	ctx->dst.old = ctx->dst.val;
	return r;
}

static int write_back(struct emul_ctx *ctx)
{
	struct emul_operand *o = &ctx->dst;

	if (ctx->insn.op->flags & F_NOWB)
		return EMUL_OK;
	if (o->kind == OPD_REG)
		emul_operand_set_reg(ctx, o, o->val);
	if (o->kind != OPD_MEM)
		return EMUL_OK;
	if (is_locked(ctx))
		return ctx->ops->cmpxchg_mem(ctx, o->linear, &o->old, &o->val, o->bytes);
	return emul_write(ctx, o->linear, &o->val, o->bytes, EMUL_ACC_WRITE);
}

/* VEX needs AVX enabled by the operating system; SSE and MMX their bits in CR0 and CR4. */
static int check_fpu(struct emul_ctx *ctx)
{
	u32 fl = ctx->insn.op->flags;
	u64 xcr0 = 0;
	int r;

	if (ctx->insn.enc == EMUL_ENC_VEX) {
		if (!emul_protected(ctx) || !(ctx->features & EMUL_FEAT_AVX) ||
		    !(ctx->cr4 & EMUL_CR4_OSXSAVE))
			return emul_ud(ctx);
		r = ctx->ops->get_reg(ctx, EMUL_REG_XCR, 0, &xcr0);
		if (r)
			return r;
		if ((xcr0 & 6) != 6)
			return emul_ud(ctx);
	} else {
		if (ctx->cr0 & EMUL_CR0_EM)
			return emul_ud(ctx);
		if (fl & F_SSE && !(ctx->cr4 & EMUL_CR4_OSFXSR))
			return emul_ud(ctx);
	}
	if (ctx->cr0 & EMUL_CR0_TS)
		return emul_fault(ctx, VEC_NM, 0);
	return EMUL_OK;
}

static int check_legal(struct emul_ctx *ctx)
{
	const struct emul_opcode *op = ctx->insn.op;

	if (op->feature & ~ctx->features)
		return emul_ud(ctx);
	if (op->flags & F_PROT && !emul_protected(ctx))
		return emul_ud(ctx);
	if (op->flags & F_PRIV && ctx->cpl)
		return emul_gp(ctx, 0);
	if (op->flags & F_UMIP && ctx->cpl && ctx->cr4 & EMUL_CR4_UMIP)
		return emul_gp(ctx, 0);
	if (op->flags & (F_SSE | F_MMX))
		return check_fpu(ctx);
	return EMUL_OK;
}

static void commit(struct emul_ctx *ctx)
{
	unsigned int i;

	for (i = 0; ctx->seg_dirty >> i; i++)
		if (ctx->seg_dirty & 1 << i)
			ctx->ops->set_seg(ctx, i, &ctx->seg[i]);
	/* Between iterations RF says that this instruction has had its breakpoints. */
	if (ctx->more)
		ctx->rflags |= FLAG_RF;
	else
		ctx->rip = ctx->next_rip;
}

static void begin(struct emul_ctx *ctx)
{
	ctx->stop = false;
	ctx->more = false;
	ctx->shadow = 0;
	ctx->after = false;
	ctx->switched = false;
	ctx->new_tf = false;
	ctx->iret = false;
	ctx->seg_cached = 0;
	ctx->seg_dirty = 0;
}

int emul_task_switch(struct emul_ctx *ctx, const struct emul_task *task, u64 next_rip)
{
	int r;

	begin(ctx);
	ctx->next_rip = next_rip;
	r = emul_switch(ctx, task);
	if (!r)
		commit(ctx);
	return r;
}

int emul_exec(struct emul_ctx *ctx)
{
	int r;

	begin(ctx);
	ctx->next_rip = ctx->rip + ctx->insn.length;
	if (ctx->mode != EMUL_MODE_LONG)
		ctx->next_rip = (u32)ctx->next_rip;
	if (!ctx->insn.op->exec)
		return EMUL_UNHANDLEABLE;

	r = check_legal(ctx);
	if (!r)
		r = fetch_operands(ctx);
	if (r)
		return r;
	ctx->rflags &= ~(u64)FLAG_RF;
	r = ctx->insn.op->exec(ctx);
	if (!r)
		r = write_back(ctx);
	if (!r)
		commit(ctx);
	return r;
}

int em_mov(struct emul_ctx *ctx)
{
	ctx->dst.val = ctx->src.val;
	return EMUL_OK;
}

int em_movsx(struct emul_ctx *ctx)
{
	ctx->dst.val = emul_sext(ctx->src.val, ctx->src.bytes);
	return EMUL_OK;
}

int em_lea(struct emul_ctx *ctx)
{
	ctx->dst.val = emul_effective(ctx, &ctx->insn.mem);
	return EMUL_OK;
}

int em_xchg(struct emul_ctx *ctx)
{
	u64 old = ctx->dst.val;

	/* 90h is NOP: it does not even clear the upper half of RAX. */
	if (ctx->insn.opcode == 0x90 && ctx->dst.linear == EMUL_RAX) {
		ctx->dst.kind = OPD_NONE;
		return EMUL_OK;
	}
	ctx->dst.val = ctx->src.val;
	emul_operand_set_reg(ctx, &ctx->src, old);
	return EMUL_OK;
}

/* F3 90h, which with REX.B is XCHG R8 still. */
int em_pause(struct emul_ctx *ctx)
{
	if (ctx->dst.linear != EMUL_RAX)
		return em_xchg(ctx);
	ctx->dst.kind = OPD_NONE;
	return ctx->ops->special(ctx, EMUL_SP_PAUSE, 0);
}

int em_nop(struct emul_ctx *ctx)
{
	return EMUL_OK;
}

int em_ud(struct emul_ctx *ctx)
{
	return emul_ud(ctx);
}

/* CLFLUSH and kin: the address is translated, the data stays. */
int em_touch(struct emul_ctx *ctx)
{
	u64 linear;
	int r = emul_mem_linear(ctx, 1, EMUL_ACC_READ, &linear);

	return r ?: ctx->ops->probe_mem(ctx, linear, 1, EMUL_ACC_READ);
}

/* The condition of Jcc, SETcc, CMOVcc: eight tests, each with its negation. */
bool emul_cond(u64 rflags, unsigned int cc)
{
	static const u32 any_of[8] = {
		FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_SF, FLAG_PF, 0, FLAG_ZF
	};
	bool r = rflags & any_of[cc >> 1 & 7];

	if ((cc & 15) >= 12)	/* L, LE: SF != OF */
		r |= !(rflags & FLAG_SF) != !(rflags & FLAG_OF);
	return r != (cc & 1);
}

int em_setcc(struct emul_ctx *ctx)
{
	ctx->dst.val = emul_cond(ctx->rflags, ctx->insn.opcode);
	return EMUL_OK;
}

int em_cmov(struct emul_ctx *ctx)
{
	if (emul_cond(ctx->rflags, ctx->insn.opcode))
		ctx->dst.val = ctx->src.val;
	return EMUL_OK;
}

int em_xlat(struct emul_ctx *ctx)
{
	const struct emul_mem *mem = &ctx->insn.mem;
	u64 offset = ctx->gpr[EMUL_RBX] + (u8)ctx->gpr[EMUL_RAX], val;
	unsigned int seg = ctx->insn.seg_override;
	int r;

	if (seg == EMUL_NO_SEG)
		seg = EMUL_DS;
	r = emul_read_seg(ctx, seg, offset & emul_mask(mem->addr_bytes), &val, 1, EMUL_ACC_READ);
	if (!r)
		emul_reg_set(ctx, EMUL_RAX, val, 1);
	return r;
}

int em_lahf(struct emul_ctx *ctx)
{
	u64 ah = (ctx->rflags & 0xd5) | 2;

	ctx->gpr[EMUL_RAX] = (ctx->gpr[EMUL_RAX] & ~0xff00ull) | ah << 8;
	return EMUL_OK;
}

int em_sahf(struct emul_ctx *ctx)
{
	ctx->rflags = (ctx->rflags & ~0xd5ull) | (ctx->gpr[EMUL_RAX] >> 8 & 0xd5);
	return EMUL_OK;
}

int em_cmc(struct emul_ctx *ctx)
{
	ctx->rflags ^= FLAG_CF;
	return EMUL_OK;
}

/* CLC, STC, CLD, STD: the opcode's low bit is the value. */
int em_flag(struct emul_ctx *ctx)
{
	u64 flag = ctx->insn.opcode >= 0xfc ? FLAG_DF : FLAG_CF;

	ctx->rflags &= ~flag;
	if (ctx->insn.opcode & 1)
		ctx->rflags |= flag;
	return EMUL_OK;
}

/*
 * The flag that CLI and STI change, or 0 for #GP(0) (APM vol. 3 "CLI", "STI").
 *
 * mode			IOPL >= CPL	VME (VM86), PVI (CPL 3)	flag
 * real			-		-			IF
 * any			yes		-			IF
 * VM86, CPL 3		no		yes			VIF
 * else			no		no			#GP(0)
 */
static u64 interrupt_flag(const struct emul_ctx *ctx)
{
	unsigned int iopl = (ctx->rflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;

	if (ctx->mode == EMUL_MODE_REAL)
		return FLAG_IF;
	if (ctx->mode == EMUL_MODE_VM86) {
		if (iopl == 3)
			return FLAG_IF;
		return ctx->cr4 & EMUL_CR4_VME ? FLAG_VIF : 0;
	}
	if (ctx->cpl <= iopl)
		return FLAG_IF;
	return ctx->cpl == 3 && ctx->cr4 & EMUL_CR4_PVI ? FLAG_VIF : 0;
}

int em_cli(struct emul_ctx *ctx)
{
	u64 flag = interrupt_flag(ctx);

	if (!flag)
		return emul_gp(ctx, 0);
	ctx->rflags &= ~flag;
	return EMUL_OK;
}

int em_sti(struct emul_ctx *ctx)
{
	u64 flag = interrupt_flag(ctx);

	if (!flag || (flag == FLAG_VIF && ctx->rflags & FLAG_VIP))
		return emul_gp(ctx, 0);
	if (flag == FLAG_IF && !(ctx->rflags & FLAG_IF))
		ctx->shadow = EMUL_SHADOW_STI;
	ctx->rflags |= flag;
	return EMUL_OK;
}

int em_salc(struct emul_ctx *ctx)
{
	emul_reg_set(ctx, EMUL_RAX, ctx->rflags & FLAG_CF ? 0xff : 0, 1);
	return EMUL_OK;
}

int em_bound(struct emul_ctx *ctx)
{
	const struct emul_mem *mem = &ctx->insn.mem;
	unsigned int bytes = ctx->insn.op_bytes;
	u64 ea = emul_effective(ctx, mem), low, high;
	s64 index = emul_sext(ctx->dst.val, bytes);
	int r;

	r = emul_read_seg(ctx, mem->seg, ea, &low, bytes, EMUL_ACC_READ);
	ea = (ea + bytes) & emul_mask(mem->addr_bytes);
	if (!r)
		r = emul_read_seg(ctx, mem->seg, ea, &high, bytes, EMUL_ACC_READ);
	if (r)
		return r;
	if (index < (s64)emul_sext(low, bytes) || index > (s64)emul_sext(high, bytes))
		return emul_fault(ctx, VEC_BR, 0);
	return EMUL_OK;
}

/* IN and OUT have no 64-bit form: REX.W is ignored. */
int em_in(struct emul_ctx *ctx)
{
	u16 port = ctx->src.val;
	u32 val = 0;
	int r;

	if (ctx->dst.bytes == 8)
		ctx->dst.bytes = 4;
	r = emul_io_allowed(ctx, port, ctx->dst.bytes);
	if (!r)
		r = ctx->ops->pio_in(ctx, port, ctx->dst.bytes, 1, &val);
	ctx->dst.val = val;
	return r;
}

int em_out(struct emul_ctx *ctx)
{
	unsigned int bytes = ctx->dst.bytes == 8 ? 4 : ctx->dst.bytes;
	u16 port = ctx->src.val;
	u32 val = ctx->dst.val;
	int r = emul_io_allowed(ctx, port, bytes);

	return r ?: ctx->ops->pio_out(ctx, port, bytes, 1, &val);
}
