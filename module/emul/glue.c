// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's callbacks on a real vCPU: memory, devices, registers.
 * Entered from exits.c and the backends; completions from run.c.
 * vcpu->mutex held; vm->srcu is taken around an execution.
 * AMD APM volume 2, "Instruction Intercepts"; Intel SDM volume 3, "VM Exits".
 *
 * An instruction that needs a device which userspace serves is executed twice
 * or more.  A read leaves with KVM_EXIT_MMIO; what userspace answers is put
 * into a log, and the instruction starts anew: its accesses come in the same
 * order, and those in the log are answered from it and not made again.
 * Writes are only noted, and leave one by one once the instruction is done.
 */
#include <linux/slab.h>
#include <asm/fpu/api.h>
#include <asm/debugreg.h>

#include "../backend.h"
#include "../compat.h"
#include "../trace.h"
#include "emulate.h"

#define MMIO_CHUNK	8	/* most that one exit carries */
#define LOG_ENTRIES	32
#define LOG_RESERVE	10	/* one string iteration: 2 operands of 32 bytes, crossing */
#define MAX_POSTED	10

/* One access to a device, done. */
struct mmio_access {
	gpa_t gpa;
	u8 len;
	bool write;
	u8 data[MMIO_CHUNK];
};

/**
 * struct mhv_emul - a vCPU's emulator
 * @ctx: the instruction
 * @vcpu: whose
 * @rip: where the instruction stands
 * @bytes: the instruction, for an error exit
 * @nbytes: how many were fetched
 * @decoded: bytes of the instruction in ctx->insn
 * @decoded_len: how many; 0: none
 * @hint_valid: the CPU told which address the memory operand has
 * @hint: that address
 * @hint_write: the CPU has checked that it may be written, not only read
 * @log: accesses to devices that this instruction has made
 * @nlog: how many
 * @pos: how many of them this execution has come to
 * @posted: writes that userspace is to see
 * @nposted: how many
 * @next_posted: the next one to leave with
 * @want: the read that userspace is to serve
 * @pio: the port access that @pio_answered and @pio_out are about
 * @pio_answered: vcpu->pio_data has what an INS or IN asked for
 * @pio_out: vcpu->pio_data has what an OUTS or OUT wrote, for userspace
 * @queued: a fault that is pending already, not in ctx->fault
 * @simple: a plain move, done by simple_move()
 * @store: it is to memory
 * @halt: the instruction was HLT
 * @hypercall: it was a hypercall
 */
struct mhv_emul {
	struct emul_ctx ctx;
	struct mhv_vcpu *vcpu;
	u64 rip;
	u8 bytes[EMUL_MAX_INSN] __aligned(4);
	u8 nbytes;
	u8 decoded[EMUL_MAX_INSN] __aligned(4);
	u8 decoded_len;
	bool hint_valid;
	bool hint_write;
	gpa_t hint;
	struct mmio_access log[LOG_ENTRIES];
	unsigned int nlog;
	unsigned int pos;
	struct mmio_access posted[MAX_POSTED];
	unsigned int nposted;
	unsigned int next_posted;
	struct mmio_access want;
	bool pio_answered;
	struct {
		u16 port;
		u8 size;
		u16 count;
	} pio;
	bool pio_out;
	bool queued;
	bool simple;
	bool store;
	bool halt;
	bool hypercall;
};

static int execute(struct mhv_emul *e);
static int simple_move(struct mhv_emul *e);

static struct mhv_vcpu *to_vcpu(struct emul_ctx *ctx)
{
	return ((struct mhv_emul *)ctx->priv)->vcpu;
}

/* ---- devices ---- */

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

static void log_add(struct mhv_emul *e, gpa_t gpa, unsigned int len, bool write,
		    const void *data)
{
	struct mmio_access *a;

	if (e->nlog >= LOG_ENTRIES)
		return;
	a = &e->log[e->nlog++];
	a->gpa = gpa;
	a->len = len;
	a->write = write;
	memcpy(a->data, data, len);
	e->pos = e->nlog;
	/* A string instruction makes room by ending, to be entered again. */
	if (e->nlog > LOG_ENTRIES - LOG_RESERVE)
		e->ctx.stop = true;
}

static int device_read(struct mhv_emul *e, gpa_t gpa, void *data, unsigned int len)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct mmio_access *done = log_next(e, gpa, len, false);
	u64 val = 0;

	if (done) {
		memcpy(data, done->data, len);
		return EMUL_OK;
	}
	if (!(vcpu->lapic && !mhv_lapic_mmio_read(vcpu, gpa, len, data)) &&
	    mhv_iobus_read(vcpu, MHV_BUS_MMIO, gpa, len, data)) {
		trace_mhv_mmio(MHV_TRACE_MMIO_UNSATISFIED, len, gpa, 0);
		e->want.gpa = gpa;
		e->want.len = len;
		return EMUL_IO_NEEDED;
	}
	memcpy(&val, data, len);
	trace_mhv_mmio(MHV_TRACE_MMIO_READ, len, gpa, val);
	log_add(e, gpa, len, false, data);
	return EMUL_OK;
}

static int device_write(struct mhv_emul *e, gpa_t gpa, const void *data, unsigned int len)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct mmio_access *a;
	u64 val = 0;

	if (log_next(e, gpa, len, true))
		return EMUL_OK;
	memcpy(&val, data, len);
	trace_mhv_mmio(MHV_TRACE_MMIO_WRITE, len, gpa, val);
	log_add(e, gpa, len, true, data);
	if (vcpu->lapic && !mhv_lapic_mmio_write(vcpu, gpa, len, data))
		return EMUL_OK;
	if (!mhv_iobus_write(vcpu, MHV_BUS_MMIO, gpa, len, data))
		return EMUL_OK;
	if (e->nposted >= MAX_POSTED)
		return EMUL_UNHANDLEABLE;
	a = &e->posted[e->nposted++];
	a->gpa = gpa;
	a->len = len;
	memcpy(a->data, data, len);
	e->ctx.stop = true;
	return EMUL_OK;
}

/* ---- memory ---- */

static u32 walk_access(const struct emul_ctx *ctx, unsigned int access)
{
	u32 acc = 0;

	if (access & (EMUL_ACC_WRITE | EMUL_ACC_RMW))
		acc |= MHV_ACC_WRITE;
	if (access & EMUL_ACC_FETCH)
		acc |= MHV_ACC_FETCH;
	if (access & EMUL_ACC_SYSTEM)
		acc |= MHV_ACC_IMPLICIT;
	else if (ctx->cpl == 3)
		acc |= MHV_ACC_USER;
	return acc;
}

static int translate(struct mhv_emul *e, u64 linear, unsigned int access, gpa_t *gpa)
{
	struct mhv_walk walk;
	int r;

	if (e->hint_valid && offset_in_page(linear) == offset_in_page(e->hint) &&
	    (e->hint_write || !(access & (EMUL_ACC_WRITE | EMUL_ACC_RMW)))) {
		*gpa = e->hint;
		return EMUL_OK;
	}
	r = mhv_walk(e->vcpu, linear, walk_access(&e->ctx, access), &walk);
	if (r == 0) {
		*gpa = walk.gpa;
		return EMUL_OK;
	}
	if (r == -EFAULT && walk.faulted)
		return emul_page_fault(&e->ctx, walk.fault_addr, walk.fault_error);
	return EMUL_UNHANDLEABLE;
}

/* The parts of an operand in its one or two pages, both translated first. */
struct span {
	gpa_t gpa[2];
	unsigned int len[2];
};

static int translate_span(struct mhv_emul *e, u64 linear, unsigned int len,
			  unsigned int access, struct span *span)
{
	unsigned int first = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
	int r;

	span->len[0] = first;
	span->len[1] = len - first;
	if (span->len[1])
		e->hint_valid = false;
	r = translate(e, linear, access, &span->gpa[0]);
	if (r || !span->len[1])
		return r;
	linear += first;
	if (e->ctx.mode != EMUL_MODE_LONG)
		linear = (u32)linear;
	return translate(e, linear, access, &span->gpa[1]);
}

/*
 * An access to memory failed.  If the slot has gone since it was looked up,
 * the instruction starts anew; else the process has nothing there.
 */
static int memory_failed(struct mhv_emul *e, gpa_t gpa, bool write)
{
	return mhv_gfn_to_hva(e->vcpu->vm, gpa >> PAGE_SHIFT, write) ?
		EMUL_UNHANDLEABLE : EMUL_RETRY;
}

static int read_part(struct mhv_emul *e, gpa_t gpa, u8 *data, unsigned int len)
{
	struct mhv_vm *vm = e->vcpu->vm;
	unsigned int n;
	int r;

	if (mhv_gfn_to_hva(vm, gpa >> PAGE_SHIFT, false))
		return mhv_gmem_read(vm, gpa, data, len) ?
			memory_failed(e, gpa, false) : EMUL_OK;
	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, MMIO_CHUNK);
		r = device_read(e, gpa, data, n);
		if (r)
			return r;
	}
	return EMUL_OK;
}

static int write_part(struct mhv_emul *e, gpa_t gpa, const u8 *data, unsigned int len)
{
	struct mhv_vm *vm = e->vcpu->vm;
	unsigned int n;
	int r;

	if (mhv_gfn_to_hva(vm, gpa >> PAGE_SHIFT, true))
		return mhv_gmem_write(vm, gpa, data, len) ?
			memory_failed(e, gpa, true) : EMUL_OK;
	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, MMIO_CHUNK);
		r = device_write(e, gpa, data, n);
		if (r)
			return r;
	}
	return EMUL_OK;
}

static int op_read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		       unsigned int access)
{
	struct mhv_emul *e = ctx->priv;
	struct span span;
	int r = translate_span(e, linear, len, access, &span);

	if (!r)
		r = read_part(e, span.gpa[0], data, span.len[0]);
	if (!r && span.len[1])
		r = read_part(e, span.gpa[1], data + span.len[0], span.len[1]);
	return r;
}

static int op_write_mem(struct emul_ctx *ctx, u64 linear, const void *data,
			unsigned int len, unsigned int access)
{
	struct mhv_emul *e = ctx->priv;
	struct span span;
	int r = translate_span(e, linear, len, access | EMUL_ACC_WRITE, &span);

	if (!r)
		r = write_part(e, span.gpa[0], data, span.len[0]);
	if (!r && span.len[1])
		r = write_part(e, span.gpa[1], data + span.len[0], span.len[1]);
	return r;
}

/* Atomic within a page of memory; over two pages and on devices, a write. */
static int op_cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old,
			  const void *new, unsigned int len)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vm *vm = e->vcpu->vm;
	struct span span;
	u8 expected[16];
	int r;

	r = translate_span(e, linear, len, EMUL_ACC_WRITE, &span);
	if (r)
		return r;
	if (span.len[1] ||
	    !mhv_gfn_to_hva(vm, span.gpa[0] >> PAGE_SHIFT, true))
		return op_write_mem(ctx, linear, new, len, EMUL_ACC_WRITE);
	memcpy(expected, old, len);
	r = mhv_gmem_cmpxchg(vm, span.gpa[0], expected, new, len);
	if (r == -EAGAIN)
		return EMUL_RETRY;
	return r ? memory_failed(e, span.gpa[0], true) : EMUL_OK;
}

static int op_probe_mem(struct emul_ctx *ctx, u64 linear, unsigned int len,
			unsigned int access)
{
	struct span span;

	return translate_span(ctx->priv, linear, len, access, &span);
}

/* ---- port I/O ---- */

static int op_pio_in(struct emul_ctx *ctx, u16 port, unsigned int size,
		     unsigned int count, void *data)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;
	unsigned int i;

	if (e->pio_answered && e->pio.port == port && e->pio.size == size &&
	    e->pio.count == count) {
		memcpy(data, vcpu->pio_data, size * count);
		return EMUL_OK;
	}
	for (i = 0; i < count; i++) {
		if (!mhv_iobus_read(vcpu, MHV_BUS_PIO, port, size, data + i * size))
			continue;
		if (i) {	/* the device has gone meanwhile */
			memset(data + i * size, 0xff, (count - i) * size);
			break;
		}
		e->pio.port = port;
		e->pio.size = size;
		e->pio.count = count;
		return EMUL_IO_NEEDED;
	}
	/* Should the store fault, the device must not be read again. */
	memcpy(vcpu->pio_data, data, size * count);
	ctx->stop = true;
	return EMUL_OK;
}

static int op_pio_out(struct emul_ctx *ctx, u16 port, unsigned int size,
		      unsigned int count, const void *data)
{
	struct mhv_emul *e = ctx->priv;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (!mhv_iobus_write(e->vcpu, MHV_BUS_PIO, port, size, data + i * size))
			continue;
		if (i)
			break;
		memcpy(e->vcpu->pio_data, data, size * count);
		e->pio.port = port;
		e->pio.size = size;
		e->pio.count = count;
		e->pio_out = true;
		break;
	}
	ctx->stop = true;
	return EMUL_OK;
}

/* ---- registers ---- */

static const u8 to_sreg[] = {
	[EMUL_ES] = MHV_ES, [EMUL_CS] = MHV_CS, [EMUL_SS] = MHV_SS, [EMUL_DS] = MHV_DS,
	[EMUL_FS] = MHV_FS, [EMUL_GS] = MHV_GS, [EMUL_LDTR] = MHV_LDTR, [EMUL_TR] = MHV_TR,
};

static void op_get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	struct mhv_vcpu *vcpu = to_vcpu(ctx);
	const struct mhv_segment *s;

	mhv_state_need(vcpu, MHV_G_SEG | MHV_G_DT);
	if (sreg == EMUL_GDTR || sreg == EMUL_IDTR) {
		const struct mhv_dtable *dt = sreg == EMUL_GDTR ? &vcpu->state.gdt :
								  &vcpu->state.idt;
		*seg = (struct emul_seg){ .base = dt->base, .limit = dt->limit };
		return;
	}
	s = &vcpu->state.seg[to_sreg[sreg]];
	seg->base = s->base;
	seg->limit = s->limit;
	seg->sel = s->selector;
	seg->attr = s->attr;
	if (!(s->attr & MHV_SEG_P))
		seg->attr |= EMUL_SEG_UNUSABLE;
}

static void op_set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	struct mhv_vcpu *vcpu = to_vcpu(ctx);
	struct mhv_segment *s;

	mhv_state_change(vcpu, MHV_G_SEG | MHV_G_DT);
	if (sreg == EMUL_GDTR || sreg == EMUL_IDTR) {
		struct mhv_dtable *dt = sreg == EMUL_GDTR ? &vcpu->state.gdt :
							    &vcpu->state.idt;
		dt->base = seg->base;
		dt->limit = seg->limit;
		return;
	}
	s = &vcpu->state.seg[to_sreg[sreg]];
	s->base = seg->base;
	s->limit = seg->limit;
	s->selector = seg->sel;
	s->attr = seg->attr;
	if (seg->attr & EMUL_SEG_UNUSABLE)
		s->attr &= ~(u16)MHV_SEG_P;
}

static int get_cr(struct mhv_vcpu *vcpu, u32 index, u64 *value)
{
	mhv_state_need(vcpu, MHV_G_CR);
	switch (index) {
	case 0:
		*value = vcpu->state.cr0;
		return EMUL_OK;
	case 2:
		*value = vcpu->state.cr2;
		return EMUL_OK;
	case 3:
		*value = vcpu->state.cr3;
		return EMUL_OK;
	case 4:
		*value = vcpu->state.cr4;
		return EMUL_OK;
	case 8:
		*value = mhv_get_cr8(vcpu);
		return EMUL_OK;
	}
	return EMUL_UNHANDLEABLE;
}

static int set_cr(struct mhv_vcpu *vcpu, u32 index, u64 value)
{
	switch (index) {
	case 0:
		return mhv_set_cr0(vcpu, value);
	case 2:
		mhv_state_change(vcpu, MHV_G_CR);
		vcpu->state.cr2 = value;
		return 0;
	case 3:
		return mhv_set_cr3(vcpu, value);
	case 4:
		return mhv_set_cr4(vcpu, value);
	default:
		return mhv_set_cr8(vcpu, value);
	}
}

static int op_get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;

	switch (class) {
	case EMUL_REG_CR:
		return get_cr(vcpu, index, value);
	case EMUL_REG_DR:
		if (!mhv_dr_access(vcpu, &index)) {
			e->queued = true;
			return EMUL_FAULT;
		}
		*value = mhv_get_dr(vcpu, index);
		return EMUL_OK;
	case EMUL_REG_MSR:
		if (!mhv_msr_get(vcpu, index, value, false))
			return EMUL_OK;
		break;
	case EMUL_REG_XCR:
		if (!index) {
			*value = vcpu->xcr0;
			return EMUL_OK;
		}
		break;
	}
	return emul_fault(ctx, X86_TRAP_GP, 0);
}

static int op_set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;
	int r = 1;

	switch (class) {
	case EMUL_REG_CR:
		r = set_cr(vcpu, index, value);
		break;
	case EMUL_REG_DR:
		if (!mhv_dr_access(vcpu, &index)) {
			e->queued = true;
			return EMUL_FAULT;
		}
		r = mhv_set_dr(vcpu, index, value);
		break;
	case EMUL_REG_MSR:
		r = mhv_msr_set(vcpu, index, value, false);
		break;
	case EMUL_REG_XCR:
		r = index || mhv_set_xcr0(vcpu, value);
		break;
	}
	return r ? emul_fault(ctx, X86_TRAP_GP, 0) : EMUL_OK;
}

/* ---- FPU registers: the guest's are in the CPU while KVM_RUN lasts ---- */

#define FPU_CASE(n, insn, reg, load)					\
	case n:								\
		if (load)						\
			asm volatile(insn " (%0), %%" reg #n : : "r" (p) : "memory"); \
		else							\
			asm volatile(insn " %%" reg #n ", (%0)" : : "r" (p) : "memory"); \
		break;

#define FPU_CASES8(insn, reg, load)					\
	FPU_CASE(0, insn, reg, load) FPU_CASE(1, insn, reg, load)	\
	FPU_CASE(2, insn, reg, load) FPU_CASE(3, insn, reg, load)	\
	FPU_CASE(4, insn, reg, load) FPU_CASE(5, insn, reg, load)	\
	FPU_CASE(6, insn, reg, load) FPU_CASE(7, insn, reg, load)

#define FPU_CASES16(insn, reg, load)					\
	FPU_CASES8(insn, reg, load)					\
	FPU_CASE(8, insn, reg, load) FPU_CASE(9, insn, reg, load)	\
	FPU_CASE(10, insn, reg, load) FPU_CASE(11, insn, reg, load)	\
	FPU_CASE(12, insn, reg, load) FPU_CASE(13, insn, reg, load)	\
	FPU_CASE(14, insn, reg, load) FPU_CASE(15, insn, reg, load)

static void move_mmx(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES8("movq", "mm", load)
	}
}

static void move_sse(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES16("movdqu", "xmm", load)
	}
}

static void move_avx(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES16("vmovdqu", "ymm", load)
	}
}

/* A VEX-encoded write of 16 bytes clears the rest, whatever its width. */
static void clear_above_sse(void *p, unsigned int reg)
{
	switch (reg) {
	FPU_CASES16("vmovdqu", "xmm", true)
	}
}

static void fpu_begin(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static bool x87_exception_pending(void)
{
	u16 sw;

	asm volatile("fnstsw %0" : "=a" (sw));
	return sw & BIT(7);
}

static int move_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		    void *data, unsigned int len, bool load)
{
	u8 buf[32];
	int r = EMUL_OK;

	if (len > sizeof(buf))
		return EMUL_UNHANDLEABLE;
	fpu_begin();
	switch (kind) {
	case EMUL_FPU_MMX:
		if (x87_exception_pending()) {
			r = emul_fault(ctx, X86_TRAP_MF, 0);
			break;
		}
		memcpy(buf, data, load ? len : 0);
		move_mmx(buf, reg, load);
		break;
	case EMUL_FPU_SSE:
		if (load && len < 16)
			move_sse(buf, reg, false);
		memcpy(buf, data, load ? len : 0);
		move_sse(buf, reg, load);
		break;
	case EMUL_FPU_AVX:
		memcpy(buf, data, load ? len : 0);
		if (load && len <= 16)
			clear_above_sse(buf, reg);
		else
			move_avx(buf, reg, load);
		break;
	}
	fpregs_unlock();
	if (!r && !load)
		memcpy(data, buf, len);
	return r;
}

static int op_read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		       void *data, unsigned int len)
{
	return move_fpu(ctx, kind, reg, data, len, false);
}

static int op_write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
			const void *data, unsigned int len)
{
	return move_fpu(ctx, kind, reg, (void *)data, len, true);
}

/* ---- instructions with an effect of their own ---- */

static int sp_cpuid(struct emul_ctx *ctx)
{
	u32 eax = ctx->gpr[EMUL_RAX], ecx = ctx->gpr[EMUL_RCX], ebx, edx;

	mhv_cpuid(to_vcpu(ctx), &eax, &ebx, &ecx, &edx);
	ctx->gpr[EMUL_RAX] = eax;
	ctx->gpr[EMUL_RBX] = ebx;
	ctx->gpr[EMUL_RCX] = ecx;
	ctx->gpr[EMUL_RDX] = edx;
	return EMUL_OK;
}

static int sp_rdtsc(struct emul_ctx *ctx, bool aux)
{
	u64 tsc = mhv_guest_tsc(to_vcpu(ctx), rdtsc());

	ctx->gpr[EMUL_RAX] = (u32)tsc;
	ctx->gpr[EMUL_RDX] = tsc >> 32;
	if (aux)
		ctx->gpr[EMUL_RCX] = (u32)to_vcpu(ctx)->tsc_aux;
	return EMUL_OK;
}

static int sp_xsetbv(struct emul_ctx *ctx)
{
	u64 val = (u32)ctx->gpr[EMUL_RAX] | ctx->gpr[EMUL_RDX] << 32;

	return op_set_reg(ctx, EMUL_REG_XCR, ctx->gpr[EMUL_RCX], val);
}

static int op_special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	struct mhv_emul *e = ctx->priv;

	switch (what) {
	case EMUL_SP_CPUID:
		return sp_cpuid(ctx);
	case EMUL_SP_RDTSC:
	case EMUL_SP_RDTSCP:
		return sp_rdtsc(ctx, what == EMUL_SP_RDTSCP);
	case EMUL_SP_RDPMC:
		return emul_fault(ctx, X86_TRAP_GP, 0);	/* no counter is offered */
	case EMUL_SP_HLT:
		e->halt = true;
		return EMUL_OK;
	case EMUL_SP_VMMCALL:
	case EMUL_SP_VMCALL:
		e->hypercall = true;
		return EMUL_OK;
	case EMUL_SP_XSETBV:
		return sp_xsetbv(ctx);
	case EMUL_SP_INVLPG:
		mhv_backend->flush_tlb(e->vcpu);
		return EMUL_OK;
	case EMUL_SP_PAUSE:
	case EMUL_SP_INVD:
	case EMUL_SP_WBINVD:
	case EMUL_SP_MONITOR:
	case EMUL_SP_MWAIT:
		return EMUL_OK;
	}
	return EMUL_UNHANDLEABLE;
}

static const struct emul_ops ops = {
	.read_mem = op_read_mem,
	.write_mem = op_write_mem,
	.cmpxchg_mem = op_cmpxchg_mem,
	.probe_mem = op_probe_mem,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.get_seg = op_get_seg,
	.set_seg = op_set_seg,
	.get_reg = op_get_reg,
	.set_reg = op_set_reg,
	.read_fpu = op_read_fpu,
	.write_fpu = op_write_fpu,
	.special = op_special,
};

/* ---- one instruction ---- */

static enum emul_mode emul_mode(struct mhv_vcpu *vcpu)
{
	const struct mhv_state *state = &vcpu->state;
	u16 cs;

	mhv_state_need(vcpu, MHV_G_CR | MHV_G_CODE | MHV_G_RIP_FLAGS | MHV_G_EFER);
	cs = state->seg[MHV_CS].attr;
	if (!(state->cr0 & X86_CR0_PE))
		return EMUL_MODE_REAL;
	if (state->rflags & X86_EFLAGS_VM)
		return EMUL_MODE_VM86;
	if ((state->efer & EFER_LMA) && (cs & MHV_SEG_L))
		return EMUL_MODE_LONG;
	return cs & MHV_SEG_DB ? EMUL_MODE_PROT32 : EMUL_MODE_PROT16;
}

static u64 linear_rip(struct mhv_vcpu *vcpu, enum emul_mode mode)
{
	u64 rip = vcpu->state.rip;

	return mode == EMUL_MODE_LONG ? rip : (u32)(rip + vcpu->state.seg[MHV_CS].base);
}

/**
 * mhv_emul_cpuid() - the guest's CPUID was set: what it has of instructions
 * @vcpu: the vCPU
 */
void mhv_emul_cpuid(struct mhv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *one = mhv_cpuid_find(vcpu, 1, 0);
	const struct kvm_cpuid_entry2 *seven = mhv_cpuid_find(vcpu, 7, 0);
	const struct kvm_cpuid_entry2 *ext = mhv_cpuid_find(vcpu, 0x80000001, 0);
	static const struct {
		u8 bit;
		u32 feature;
	} leaf1[] = {
		{ 0, EMUL_FEAT_SSE3 }, { 13, EMUL_FEAT_CX16 }, { 19, EMUL_FEAT_SSE41 },
		{ 22, EMUL_FEAT_MOVBE }, { 23, EMUL_FEAT_POPCNT }, { 28, EMUL_FEAT_AVX },
	};
	u32 features = 0;
	size_t i;

	for (i = 0; one && i < ARRAY_SIZE(leaf1); i++)
		if (one->ecx & BIT(leaf1[i].bit))
			features |= leaf1[i].feature;
	if (seven && (seven->ebx & BIT(3)))
		features |= EMUL_FEAT_BMI1;
	if (seven && (seven->ebx & BIT(5)))
		features |= EMUL_FEAT_AVX2;
	if (seven && (seven->ebx & BIT(20)))
		features |= EMUL_FEAT_SMAP;
	if (ext && (ext->edx & BIT(27)))
		features |= EMUL_FEAT_RDTSCP;
	if (ext && (ext->ecx & BIT(5)))
		features |= EMUL_FEAT_LZCNT;
	vcpu->emul_features = features;
}

static int fail(struct mhv_emul *e)
{
	return mhv_emulation_failure(e->vcpu, e->bytes, e->nbytes);
}

/*
 * A driver comes back to its few instructions again and again: the last one
 * that was decoded is taken as it is if these are its bytes.
 */
static int decode(struct mhv_emul *e, enum emul_mode mode)
{
	unsigned int len = e->decoded_len;
	int r;

	if (len && len <= e->nbytes && e->ctx.insn.mode == mode &&
	    !memcmp(e->decoded, e->bytes, len))
		return EMUL_OK;
	r = emul_decode(&e->ctx.insn, e->bytes, e->nbytes, mode,
			mhv_backend->caps.decode_flags);
	e->decoded_len = r ? 0 : e->ctx.insn.length;
	memcpy(e->decoded, e->bytes, sizeof(e->decoded));
	return r;
}

/*
 * Fetch and decode.  Returns EMUL_OK, or EMUL_FAULT with the exception
 * pending, or EMUL_UNHANDLEABLE.
 */
static int fetch_decode(struct mhv_emul *e, const u8 *bytes, unsigned int n)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	enum emul_mode mode = emul_mode(vcpu);
	struct mhv_walk walk = {};
	int r = EMUL_MORE_BYTES;

	e->nbytes = 0;
	if (n) {
		memcpy(e->bytes, bytes, n);
		e->nbytes = n;
		r = decode(e, mode);
	}
	if (r == EMUL_MORE_BYTES) {
		int got = mhv_fetch(vcpu, linear_rip(vcpu, mode), e->bytes,
				    EMUL_MAX_INSN, &walk);

		e->nbytes = max(got, 0);
		if (got > 0)
			r = decode(e, mode);
	}
	switch (r) {
	case EMUL_MORE_BYTES:
		if (!walk.faulted)
			return EMUL_UNHANDLEABLE;
		mhv_queue_page_fault(vcpu, walk.fault_addr, walk.fault_error);
		return EMUL_FAULT;
	case EMUL_UD:
		mhv_queue_exception(vcpu, X86_TRAP_UD);
		return EMUL_FAULT;
	case EMUL_TOO_LONG:
		mhv_queue_exception_e(vcpu, X86_TRAP_GP, 0);
		return EMUL_FAULT;
	}
	e->ctx.mode = mode;
	return EMUL_OK;
}

static void load_ctx(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct emul_ctx *ctx = &e->ctx;
	const struct mhv_state *state = &vcpu->state;

	mhv_state_need(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS | MHV_G_CR | MHV_G_EFER | MHV_G_CODE);
	memcpy(ctx->gpr, state->gpr, sizeof(ctx->gpr));
	ctx->rip = state->rip;
	ctx->rflags = state->rflags;
	ctx->cr0 = state->cr0;
	ctx->cr4 = state->cr4;
	ctx->efer = state->efer;
	ctx->features = vcpu->emul_features;
	ctx->cpl = mhv_cpl(vcpu);
	ctx->stop = false;
	ctx->more = false;
	ctx->shadow = 0;
	ctx->seg_cached = 0;
	e->pos = 0;
	e->nposted = 0;
	e->next_posted = 0;
	e->pio_out = false;
	e->queued = false;
	e->halt = false;
	e->hypercall = false;
}

/* ---- leaving to userspace, and coming back ---- */

static int complete_mmio_write(struct mhv_vcpu *vcpu);

static int next_posted(struct mhv_emul *e)
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
	memcpy(run->mmio.data, a->data, a->len);
	vcpu->complete = complete_mmio_write;
	return MHV_USER;
}

static int complete_mmio_write(struct mhv_vcpu *vcpu)
{
	return next_posted(vcpu->emul);
}

static int again(struct mhv_vcpu *vcpu)
{
	struct mhv_emul *e = vcpu->emul;

	/* Userspace sent the guest elsewhere: the instruction is forgotten. */
	if (mhv_rip(vcpu) != e->rip)
		return MHV_RESUME;
	return e->simple ? simple_move(e) : execute(e);
}

static int complete_mmio_read(struct mhv_vcpu *vcpu)
{
	struct mhv_emul *e = vcpu->emul;

	log_add(e, e->want.gpa, e->want.len, false, vcpu->run->mmio.data);
	return again(vcpu);
}

static int complete_pio_in(struct mhv_vcpu *vcpu)
{
	vcpu->emul->pio_answered = true;
	return again(vcpu);
}

static int ask_userspace(struct mhv_emul *e)
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

/* The instruction is done: its results become the vCPU's. */
static int retire(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct emul_ctx *ctx = &e->ctx;
	bool step = vcpu->state.rflags & X86_EFLAGS_TF;
	int r = MHV_RESUME;

	mhv_state_change(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	memcpy(vcpu->state.gpr, ctx->gpr, sizeof(ctx->gpr));
	vcpu->state.rflags = ctx->rflags;
	mhv_state_need(vcpu, MHV_G_INTR);
	if (vcpu->state.shadow != ctx->shadow) {
		mhv_state_change(vcpu, MHV_G_INTR);
		vcpu->state.shadow = ctx->shadow;
	}
	if (vcpu->state.nmi_masked && emul_insn_is(&ctx->insn, EMUL_ID_IRET)) {
		mhv_state_change(vcpu, MHV_G_INTR);
		vcpu->state.nmi_masked = false;
		mhv_request(vcpu, MHV_REQ_EVENT);
	}
	if (step)
		r = mhv_skip(vcpu, ctx->rip);
	else
		vcpu->state.rip = ctx->rip;

	if (e->hypercall)
		mhv_hypercall(vcpu);
	if (e->halt && r == MHV_RESUME)
		return mhv_hlt(vcpu);
	if (e->pio_out)
		return mhv_user_pio(vcpu, e->pio.port, e->pio.size, e->pio.count, false);
	return e->nposted ? next_posted(e) : r;
}

static int deliver_fault(struct mhv_emul *e)
{
	const struct emul_fault *f = &e->ctx.fault;

	if (e->queued)
		return MHV_RESUME;
	if (f->vector == X86_TRAP_PF)
		mhv_queue_page_fault(e->vcpu, f->address, f->error_code);
	else if (f->has_error_code)
		mhv_queue_exception_e(e->vcpu, f->vector, f->error_code);
	else
		mhv_queue_exception(e->vcpu, f->vector);
	return MHV_RESUME;
}

static int execute(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	int idx, r;

	e->want.len = 0;
	load_ctx(e);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = emul_exec(&e->ctx);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	switch (r) {
	case EMUL_OK:
		return retire(e);
	case EMUL_FAULT:
		return deliver_fault(e);
	case EMUL_IO_NEEDED:
		return ask_userspace(e);
	case EMUL_RETRY:
		return MHV_RESUME;
	default:
		return fail(e);
	}
}

static int emulate(struct mhv_vcpu *vcpu, const u8 *bytes, unsigned int n)
{
	struct mhv_emul *e = vcpu->emul;
	int idx, r;

	vcpu->stat.emulations++;
	e->nlog = 0;
	e->pio_answered = false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = fetch_decode(e, bytes, n);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r == EMUL_FAULT)
		return MHV_RESUME;
	if (r)
		return fail(e);
	e->rip = vcpu->state.rip;
	e->simple = false;
	return execute(e);
}

/**
 * mhv_emulate() - execute the instruction at RIP
 * @vcpu: the vCPU, within KVM_RUN
 * @bytes: the instruction if the CPU reported it, or NULL
 * @n: how many bytes of it
 *
 * Context: process, may sleep, vm->srcu not held.
 * Return: MHV_RESUME or MHV_USER.
 */
int mhv_emulate(struct mhv_vcpu *vcpu, const u8 *bytes, unsigned int n)
{
	vcpu->emul->hint_valid = false;
	return emulate(vcpu, bytes, n);
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

/*
 * What drivers do to registers of devices is nearly always a plain move, and
 * the CPU has checked its segment, its page and its privilege before it
 * reported the address: what is left is to move the data.  MOV between a
 * register or an immediate and memory, and MOVZX from memory.
 */
static bool is_simple_move(struct mhv_emul *e)
{
	const struct emul_insn *insn = &e->ctx.insn;
	unsigned int len = insn->op_bytes;

	if (!e->hint_valid || (insn->mode != EMUL_MODE_LONG && insn->mode != EMUL_MODE_PROT32) ||
	    offset_in_page(e->hint) + len > PAGE_SIZE)
		return false;
	/* The start of a page may be the second half of an operand. */
	if (!offset_in_page(e->hint) && !starts_page(e))
		return false;
	if (insn->map == EMUL_MAP_0F) {
		e->store = false;
		return (insn->opcode == 0xb6 || insn->opcode == 0xb7) && !e->hint_write;
	}
	if (insn->opcode >= 0x88 && insn->opcode <= 0x8b)
		e->store = !(insn->opcode & 2);
	else if (insn->opcode >= 0xa0 && insn->opcode <= 0xa3)
		e->store = insn->opcode & 2;
	else if (insn->opcode == 0xc6 || insn->opcode == 0xc7)
		e->store = true;
	else
		return false;
	/* Other code may have come there since: what was checked must be what is done. */
	return e->store == e->hint_write;
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

static int simple_move(struct mhv_emul *e)
{
	const struct emul_insn *insn = &e->ctx.insn;
	struct mhv_vcpu *vcpu = e->vcpu;
	bool wide = insn->opcode & 1, movzx = insn->map == EMUL_MAP_0F;
	unsigned int len = !wide ? 1 : movzx ? 2 : insn->op_bytes;
	u64 val = 0;
	int idx, r;

	e->want.len = 0;
	e->pos = 0;
	e->nposted = 0;
	e->next_posted = 0;
	mhv_state_need(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (e->store) {
		val = move_source(vcpu, insn, len);
		r = device_write(e, e->hint, &val, len);
	} else {
		r = device_read(e, e->hint, &val, len);
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r == EMUL_IO_NEEDED)
		return ask_userspace(e);
	if (r)
		return fail(e);
	if (!e->store)
		move_result(vcpu, insn, len, val);
	r = mhv_skip(vcpu, vcpu->state.rip + insn->length);
	return e->nposted ? next_posted(e) : r;
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
 * mhv_emulate_mmio() - execute an instruction that touched no memory of a slot
 * @vcpu: the vCPU, within KVM_RUN
 * @gpa: the address
 * @access: MHV_ACC_* of the access
 * @bytes: the instruction if the CPU reported it, or NULL
 * @n: how many bytes of it
 *
 * Context: process, may sleep, vm->srcu not held.
 * Return: MHV_RESUME or MHV_USER.
 */
int mhv_emulate_mmio(struct mhv_vcpu *vcpu, gpa_t gpa, u64 access,
		     const u8 *bytes, unsigned int n)
{
	struct mhv_emul *e = vcpu->emul;
	int idx, r;

	vcpu->stat.emulations++;
	e->nlog = 0;
	e->pio_answered = false;
	e->hint_valid = false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = access & MHV_ACC_FETCH ? EMUL_UNHANDLEABLE : fetch_decode(e, bytes, n);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r == EMUL_FAULT)
		return MHV_RESUME;
	if (r) {
		if (access & MHV_ACC_FETCH)
			e->nbytes = 0;
		return fail(e);
	}
	/* The CPU checked the guest's tables for just this access. */
	if (!(access & MHV_ACC_GUEST_TABLE) && one_operand(&e->ctx.insn)) {
		e->hint_valid = true;
		e->hint_write = access & MHV_ACC_WRITE;
		e->hint = gpa;
	}
	e->rip = vcpu->state.rip;
	e->simple = is_simple_move(e);
	return e->simple ? simple_move(e) : execute(e);
}

/**
 * mhv_insn_length() - the length of the instruction at RIP
 * @vcpu: the vCPU, just after an exit
 * @linear: where the instruction is
 * @expect: what it is if it has no prefixes
 *
 * On the way of every intercepted instruction where the CPU does not report
 * lengths: the general decoder is asked only if a prefix is in the way.
 *
 * Context: process, may sleep, vm->srcu not held.
 * Return: 1 to 15; 0 if it cannot be fetched any more: enter the guest again.
 */
int mhv_insn_length(struct mhv_vcpu *vcpu, u64 linear, struct mhv_opcode expect)
{
	struct mhv_emul *e = vcpu->emul;
	struct mhv_walk walk;
	int idx, n;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	n = mhv_fetch(vcpu, linear, e->bytes, EMUL_MAX_INSN, &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (unlikely(n <= 0))
		return 0;
	if (likely(expect.len && n >= expect.len &&
		   !((*(u32 *)e->bytes ^ expect.bytes) &
		     (BIT_ULL(expect.len * 8) - 1))))
		return expect.len;
	e->nbytes = n;
	return decode(e, emul_mode(vcpu)) ? 0 : e->ctx.insn.length;
}

/**
 * mhv_emul_create() - allocate a vCPU's emulator
 * @vcpu: the vCPU
 *
 * Return: 0 or -ENOMEM.
 */
int mhv_emul_create(struct mhv_vcpu *vcpu)
{
	vcpu->emul = kzalloc(sizeof(*vcpu->emul), GFP_KERNEL_ACCOUNT);
	if (!vcpu->emul)
		return -ENOMEM;
	vcpu->emul->vcpu = vcpu;
	vcpu->emul->ctx.ops = &ops;
	vcpu->emul->ctx.priv = vcpu->emul;
	return 0;
}

/**
 * mhv_emul_destroy() - free it
 * @vcpu: the vCPU
 */
void mhv_emul_destroy(struct mhv_vcpu *vcpu)
{
	kfree(vcpu->emul);
}
