// SPDX-License-Identifier: GPL-2.0
/*
 * Devices as the emulator meets them: the log of accesses, exits to userspace and back, and
 * plain moves, which go past the emulator.
 * Entered from exits.c for each access that no memory is behind; completions from run.c.
 * vcpu->mutex held; vm->srcu is taken around accesses.
 * AMD APM volume 2, "Nested Paging"; Intel SDM volume 3, "EPT Violations".
 */
#include "../trace.h"
#include "glue.h"

/* ---- devices ---- */

/* Data passes as a word: lengths of 1, 2, 4 and 8 are worth more than a general copy. */
static __always_inline u64 to_word(const void *data, unsigned int len)
{
	u64 val = 0;

	switch (len) {
	case 1:
		memcpy(&val, data, 1);
		break;
	case 2:
		memcpy(&val, data, 2);
		break;
	case 4:
		memcpy(&val, data, 4);
		break;
	case 8:
		memcpy(&val, data, 8);
		break;
	default:
		memcpy(&val, data, min_t(unsigned int, len, sizeof(val)));
	}
	return val;
}

/* The log's answer to the next access, or NULL if it was never made. */
static struct mmio_access *log_next(struct mhv_emul *e, gpa_t gpa, unsigned int len, bool write)
{
	struct mmio_access *a = &e->log[e->pos];

	if (e->pos >= e->nlog)
		return NULL;
	if (a->gpa != gpa || a->len != len || a->write != write) {
		/* The guest's tables or registers changed: the rest is of no use. */
		e->nlog = e->pos;
		return NULL;
	}
	e->pos++;
	return a;
}

/* The callers have seen to it that there is room. */
static void log_add(struct mhv_emul *e, gpa_t gpa, unsigned int len, bool write, u64 data)
{
	struct mmio_access *a = &e->log[e->nlog++];

	a->gpa = gpa;
	a->len = len;
	a->write = write;
	a->data = data;
	e->pos = e->nlog;
	/* A string instruction makes room by ending, to be entered again. */
	if (e->nlog > LOG_ENTRIES - LOG_RESERVE)
		e->ctx.stop = true;
}

/**
 * glue_device_read() - read from a device
 * @e: the emulator
 * @gpa: address
 * @data: result
 * @len: at most MMIO_CHUNK bytes
 *
 * Return: EMUL_OK; EMUL_IO_NEEDED, with @e->want filled: userspace has it;
 * EMUL_UNHANDLEABLE if there were too many accesses.
 */
int glue_device_read(struct mhv_emul *e, gpa_t gpa, void *data, unsigned int len)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct mmio_access *done = log_next(e, gpa, len, false);
	u64 val;

	if (done) {
		memcpy(data, &done->data, len);
		return EMUL_OK;
	}
	if (unlikely(e->nlog >= LOG_ENTRIES))
		return EMUL_UNHANDLEABLE;
	if (!(vcpu->lapic && !mhv_lapic_mmio_read(vcpu, gpa, len, data)) &&
	    mhv_iobus_read(vcpu, MHV_BUS_MMIO, gpa, len, data)) {
		trace_mhv_mmio(MHV_TRACE_MMIO_UNSATISFIED, len, gpa, 0);
		e->want.gpa = gpa;
		e->want.len = len;
		return EMUL_IO_NEEDED;
	}
	val = to_word(data, len);
	trace_mhv_mmio(MHV_TRACE_MMIO_READ, len, gpa, val);
	log_add(e, gpa, len, false, val);
	return EMUL_OK;
}

/* A write that has not been made yet.  Returns as glue_device_write(). */
static int write_once(struct mhv_emul *e, gpa_t gpa, u64 val, unsigned int len)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct mmio_access *a;

	trace_mhv_mmio(MHV_TRACE_MMIO_WRITE, len, gpa, val);
	if (vcpu->lapic && !mhv_lapic_mmio_write(vcpu, gpa, len, &val))
		return EMUL_OK;
	if (!mhv_iobus_write(vcpu, MHV_BUS_MMIO, gpa, len, &val))
		return EMUL_OK;
	if (e->nposted >= MAX_POSTED)
		return EMUL_UNHANDLEABLE;
	a = &e->posted[e->nposted++];
	a->gpa = gpa;
	a->len = len;
	a->data = val;
	e->ctx.stop = true;
	return EMUL_OK;
}

/**
 * glue_device_write() - write to a device, or note that userspace is to see it
 * @e: the emulator
 * @gpa: address
 * @data: what
 * @len: at most MMIO_CHUNK bytes
 *
 * Return: EMUL_OK; EMUL_UNHANDLEABLE if there were too many.
 */
int glue_device_write(struct mhv_emul *e, gpa_t gpa, const void *data, unsigned int len)
{
	u64 val;

	if (log_next(e, gpa, len, true))
		return EMUL_OK;
	if (unlikely(e->nlog >= LOG_ENTRIES))
		return EMUL_UNHANDLEABLE;
	val = to_word(data, len);
	log_add(e, gpa, len, true, val);
	return write_once(e, gpa, val, len);
}

/* ---- leaving to userspace, and coming back ---- */

static int complete_mmio_write(struct mhv_vcpu *vcpu);
static int simple_move(struct mhv_emul *e);

/**
 * glue_next_posted() - leave with the next write that userspace is to see
 * @e: the emulator, whose instruction is done
 *
 * Return: MHV_USER, or MHV_RESUME if there is none.
 */
int glue_next_posted(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct kvm_run *run = vcpu->run;
	const struct mmio_access *a;

	if (e->next_posted >= e->nposted)
		return MHV_RESUME;
	a = &e->posted[e->next_posted++];
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = a->gpa;
	run->mmio.len = a->len;
	run->mmio.is_write = 1;
	memcpy(run->mmio.data, &a->data, a->len);
	vcpu->complete = complete_mmio_write;
	return MHV_USER;
}

static int complete_mmio_write(struct mhv_vcpu *vcpu)
{
	return glue_next_posted(vcpu->emul);
}

static int again(struct mhv_vcpu *vcpu)
{
	struct mhv_emul *e = vcpu->emul;
	int idx, r;

	/* Userspace sent the guest elsewhere: the instruction is forgotten. */
	if (mhv_rip(vcpu) != e->rip)
		return MHV_RESUME;
	if (!e->simple)
		return glue_execute(e);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = simple_move(e);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

static int complete_mmio_read(struct mhv_vcpu *vcpu)
{
	struct mhv_emul *e = vcpu->emul;

	log_add(e, e->want.gpa, e->want.len, false, to_word(vcpu->run->mmio.data, e->want.len));
	return again(vcpu);
}

static int complete_pio_in(struct mhv_vcpu *vcpu)
{
	vcpu->emul->pio_answered = true;
	return again(vcpu);
}

/**
 * glue_ask_userspace() - leave with the read that stopped the execution
 * @e: the emulator
 *
 * Return: MHV_USER.
 */
int glue_ask_userspace(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct kvm_run *run = vcpu->run;

	if (!e->want.len) {
		vcpu->complete = complete_pio_in;
		return mhv_user_pio(vcpu, e->pio.port, e->pio.size, e->pio.count, true);
	}
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = e->want.gpa;
	run->mmio.len = e->want.len;
	run->mmio.is_write = 0;
	vcpu->complete = complete_mmio_read;
	return MHV_USER;
}

/* ---- moves, without the emulator ---- */

/* Is the memory operand's address that of a page?  Its low bits are enough. */
static bool starts_page(struct mhv_emul *e)
{
	const struct emul_mem *mem = &e->ctx.insn.mem;
	const struct mhv_state *state = &e->vcpu->state;
	u64 addr = mem->disp;

	if (mem->base != EMUL_NO_REG)
		addr += state->gpr[mem->base];
	if (mem->index != EMUL_NO_REG)
		addr += state->gpr[mem->index] * mem->scale;
	if (mem->rip_rel)
		addr += state->rip + e->ctx.insn.length;
	if (e->ctx.insn.mode != EMUL_MODE_LONG || mem->seg >= EMUL_FS) {
		mhv_state_need(e->vcpu, MHV_G_SEG);
		addr += state->seg[mem->seg].base;
	}
	return !offset_in_page(addr);
}

/* Outside 64-bit mode segments have limits, which QEMU's TCG leaves to us. */
static bool is_flat(struct mhv_emul *e)
{
	if (e->ctx.insn.mode == EMUL_MODE_LONG)
		return true;
	mhv_state_need(e->vcpu, MHV_G_SEG);
	return e->vcpu->state.seg[e->ctx.insn.mem.seg].limit == U32_MAX;
}

/* The plain moves. */
static enum glue_move move_of(const struct emul_insn *insn)
{
	if (insn->mode != EMUL_MODE_LONG && insn->mode != EMUL_MODE_PROT32)
		return GLUE_NO_MOVE;
	if (insn->map == EMUL_MAP_0F)
		return insn->opcode == 0xb6 || insn->opcode == 0xb7 ? GLUE_LOAD : GLUE_NO_MOVE;
	if (insn->opcode >= 0x88 && insn->opcode <= 0x8b)
		return insn->opcode & 2 ? GLUE_LOAD : GLUE_STORE;
	if (insn->opcode >= 0xa0 && insn->opcode <= 0xa3)
		return insn->opcode & 2 ? GLUE_STORE : GLUE_LOAD;
	return insn->opcode == 0xc6 || insn->opcode == 0xc7 ? GLUE_STORE : GLUE_NO_MOVE;
}

/*
 * Does the instruction have one memory operand that is accessed once, so that
 * the faulting address must be its?  Moves and ALU forms, not strings and
 * stack operations, which have two.
 */
static bool one_operand(const struct emul_insn *insn)
{
	if (!insn->has_mem || insn->enc != EMUL_ENC_LEGACY)
		return false;
	if (insn->map == EMUL_MAP_1B)
		return insn->opcode < 0x40 || (insn->opcode >= 0x80 && insn->opcode <= 0x8b) ||
		       (insn->opcode >= 0xa0 && insn->opcode <= 0xa3) ||
		       insn->opcode == 0xc6 || insn->opcode == 0xc7;
	return insn->map == EMUL_MAP_0F && (insn->opcode & 0xf6) == 0xb6;
}

/**
 * glue_classify() - what mhv_emulate_mmio() has to know of an instruction, once for all times
 * @e: the emulator, which has just decoded it
 */
void glue_classify(struct mhv_emul *e)
{
	e->one_operand = one_operand(&e->ctx.insn);
	e->move = e->one_operand ? move_of(&e->ctx.insn) : GLUE_NO_MOVE;
}

/*
 * What drivers do to registers of devices is nearly always a plain move, and
 * the CPU has checked its segment, its page and its privilege before it
 * reported the address: what is left is to move the data.
 */
static bool is_simple_move(struct mhv_emul *e)
{
	/* Other code may have come there since: what was checked must be what is done. */
	if (!e->hint_valid || e->move != (e->hint_write ? GLUE_STORE : GLUE_LOAD) || !is_flat(e))
		return false;
	/* The start of a page may be the second half of an operand. */
	return offset_in_page(e->hint) + e->ctx.insn.op_bytes <= PAGE_SIZE &&
	       (offset_in_page(e->hint) || starts_page(e));
}

/* AH to BH are the second bytes of the first four registers, without REX. */
static bool is_high_byte(const struct emul_insn *insn, unsigned int reg, unsigned int len)
{
	return len == 1 && !insn->rex && reg >= 4;
}

static u64 move_source(struct mhv_vcpu *vcpu, const struct emul_insn *insn, unsigned int len)
{
	unsigned int reg = insn->opcode < 0xa0 ? insn->reg : MHV_RAX;

	if (insn->opcode >= 0xc6)
		return insn->imm;
	if (is_high_byte(insn, reg, len))
		return vcpu->state.gpr[reg - 4] >> 8;
	return vcpu->state.gpr[reg];
}

static void move_result(struct mhv_vcpu *vcpu, const struct emul_insn *insn,
			unsigned int len, u64 val)
{
	bool accumulator = insn->map == EMUL_MAP_1B && insn->opcode >= 0xa0;
	unsigned int reg = accumulator ? MHV_RAX : insn->reg;
	unsigned int bytes = insn->map == EMUL_MAP_0F ? insn->op_bytes : len;
	u64 *gpr = &vcpu->state.gpr[reg], mask;

	mhv_state_change(vcpu, MHV_G_GPR);
	if (bytes >= 4) {
		*gpr = val;	/* 32 bits clear the upper half */
	} else if (is_high_byte(insn, reg, bytes)) {
		gpr = &vcpu->state.gpr[reg - 4];
		*gpr = (*gpr & ~0xff00ull) | val << 8;
	} else {
		mask = BIT_ULL(bytes * 8) - 1;
		*gpr = (*gpr & ~mask) | val;
	}
}

/* vm->srcu is held. */
static int simple_move(struct mhv_emul *e)
{
	const struct emul_insn *insn = &e->ctx.insn;
	struct mhv_vcpu *vcpu = e->vcpu;
	bool wide = insn->opcode & 1, movzx = insn->map == EMUL_MAP_0F;
	unsigned int len = !wide ? 1 : movzx ? 2 : insn->op_bytes;
	bool store = e->move == GLUE_STORE;
	u64 val = 0;
	int r;

	e->want.len = 0;
	e->pos = 0;
	e->nposted = 0;
	e->next_posted = 0;
	mhv_state_need(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	/* A store is made but once: only a load is begun anew with userspace's answer. */
	if (store) {
		val = move_source(vcpu, insn, len) & GENMASK_ULL(8 * len - 1, 0);
		r = write_once(e, e->hint, val, len);
	} else {
		r = glue_device_read(e, e->hint, &val, len);
	}
	if (r == EMUL_IO_NEEDED)
		return glue_ask_userspace(e);
	if (r)
		return glue_fail(e);
	if (!store)
		move_result(vcpu, insn, len, val);
	r = mhv_skip(vcpu, vcpu->state.rip + insn->length);
	return e->nposted ? glue_next_posted(e) : r;
}

/* The instruction is known: note what it accesses.  Is it a simple move? */
static bool decoded(struct mhv_emul *e, gpa_t gpa, u64 access)
{
	/* The CPU checked the guest's tables for just this access. */
	if (!(access & MHV_ACC_GUEST_TABLE) && e->one_operand) {
		e->hint_valid = true;
		e->hint_write = access & MHV_ACC_WRITE;
		e->hint = gpa;
	}
	e->rip = e->vcpu->state.rip;
	e->simple = is_simple_move(e);
	return e->simple;
}

/*
 * There is nothing at RIP to execute. Not every CPU (QEMU's TCG does not) has looked at the code
 * segment's limit before it comes to that.
 */
static int fetch_fails(struct mhv_vcpu *vcpu)
{
	const struct mhv_segment *cs = &vcpu->state.seg[MHV_CS];

	mhv_state_need(vcpu, MHV_G_CR | MHV_G_CODE | MHV_G_RIP_FLAGS | MHV_G_EFER);
	if (vcpu->state.rip > cs->limit &&
	    !(vcpu->state.efer & EFER_LMA && cs->attr & MHV_SEG_L)) {
		mhv_queue_exception_e(vcpu, X86_TRAP_GP, 0);
		return MHV_RESUME;
	}
	vcpu->emul->nbytes = 0;
	return glue_fail(vcpu->emul);
}

/**
 * mhv_emulate_mmio() - execute an instruction that touched no memory of a slot
 * @vcpu: the vCPU, within KVM_RUN
 * @gpa: the address
 * @access: MHV_ACC_* of the access
 * @bytes: the instruction if the CPU reported it, or NULL
 * @n: how many bytes of it
 *
 * Context: process, may sleep, vm->srcu held.
 * Return: MHV_RESUME or MHV_USER.
 */
int mhv_emulate_mmio(struct mhv_vcpu *vcpu, gpa_t gpa, u64 access,
		     const u8 *bytes, unsigned int n)
{
	struct mhv_emul *e = vcpu->emul;
	int r;

	vcpu->stat.emulations++;
	e->nlog = 0;
	e->pio_answered = false;
	e->hint_valid = false;
	if (access & MHV_ACC_FETCH)
		return fetch_fails(vcpu);
	r = glue_fetch_decode(e, bytes, n);
	if (r == EMUL_OK && decoded(e, gpa, access))
		return simple_move(e);
	if (r == EMUL_FAULT)
		return MHV_RESUME;
	return r ? glue_fail(e) : glue_execute(e);
}
