// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator on a real vCPU: fetch, decode, execute, and what comes of it.
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
#include <linux/module.h>
#include <linux/slab.h>

#include "glue.h"

static bool force_emulation_prefix;
module_param(force_emulation_prefix, bool, 0644);
MODULE_PARM_DESC(force_emulation_prefix, "emulate what follows UD2 and \"kvm\", for tests");

static const struct emul_ops ops = {
	.read_mem = glue_read_mem,
	.write_mem = glue_write_mem,
	.cmpxchg_mem = glue_cmpxchg_mem,
	.probe_mem = glue_probe_mem,
	.pio_in = glue_pio_in,
	.pio_out = glue_pio_out,
	.get_seg = glue_get_seg,
	.set_seg = glue_set_seg,
	.get_reg = glue_get_reg,
	.set_reg = glue_set_reg,
	.read_fpu = glue_read_fpu,
	.write_fpu = glue_write_fpu,
	.special = glue_special,
};

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
		{ 20, EMUL_FEAT_SSE42 }, { 22, EMUL_FEAT_MOVBE },
		{ 23, EMUL_FEAT_POPCNT }, { 28, EMUL_FEAT_AVX },
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
	if (seven && (seven->ecx & BIT(22)))
		features |= EMUL_FEAT_RDPID;
	if (vcpu->features & MHV_GUEST_AMD)
		features |= EMUL_FEAT_SYSCALL32;
	if (ext && (ext->edx & BIT(27)))
		features |= EMUL_FEAT_RDTSCP;
	if (ext && (ext->ecx & BIT(5)))
		features |= EMUL_FEAT_LZCNT;
	vcpu->emul_features = features;
}

/**
 * glue_fail() - the instruction cannot be emulated
 * @e: the emulator
 *
 * Return: MHV_RESUME or MHV_USER, as mhv_emulation_failure().
 */
int glue_fail(struct mhv_emul *e)
{
	return mhv_emulation_failure(e->vcpu, e->bytes, e->nbytes);
}

/*
 * As words: what follows the instruction is compared with it, and as a rule has not changed
 * either.
 */
static bool same_bytes(const struct mhv_emul *e)
{
	const u64 *a = (const u64 *)e->bytes, *b = (const u64 *)e->decoded;

	BUILD_BUG_ON(sizeof(e->bytes) != 2 * sizeof(*a) || sizeof(e->decoded) != 2 * sizeof(*b));
	return e->nbytes == e->decoded_len && a[0] == b[0] && a[1] == b[1];
}

/*
 * A driver comes back to its few instructions again and again: the last one
 * that was decoded is taken as it is if these are its bytes.
 */
static int decode(struct mhv_emul *e, enum emul_mode mode)
{
	unsigned int flags = mhv_backend->caps.decode_flags;
	int r;

	if (mode == EMUL_MODE_REAL && e->vcpu->state.seg[MHV_CS].attr & MHV_SEG_DB)
		flags |= EMUL_DEC_CODE32;
	if (same_bytes(e) && e->ctx.insn.mode == mode && e->decoded_flags == flags)
		return EMUL_OK;
	r = emul_decode(&e->ctx.insn, e->bytes, e->nbytes, mode, flags);
	e->decoded_flags = flags;
	e->decoded_len = r ? 0 : e->nbytes;
	memcpy(e->decoded, e->bytes, sizeof(e->decoded));
	if (!r)
		glue_classify(e);
	return r;
}

/*
 * Fetch up to the end of the page, or on from there: a page that the instruction does not reach is
 * not looked at, and its accessed bit stays clear.
 */
static unsigned int fetch_bytes(u64 linear, bool beyond)
{
	return beyond ? EMUL_MAX_INSN :
	       min_t(unsigned int, EMUL_MAX_INSN, PAGE_SIZE - offset_in_page(linear));
}

static int fetch_decode(struct mhv_emul *e, enum emul_mode mode, bool beyond, struct mhv_walk *walk)
{
	u64 linear = linear_rip(e->vcpu, mode);
	int got = mhv_fetch(e->vcpu, linear, e->bytes, fetch_bytes(linear, beyond), walk);

	e->nbytes = max(got, 0);
	return got > 0 ? decode(e, mode) : EMUL_MORE_BYTES;
}

/**
 * glue_fetch_decode() - have the instruction at RIP in @e->ctx.insn
 * @e: the emulator
 * @bytes: the instruction if the CPU reported it
 * @n: how many bytes of it
 *
 * Context: vm->srcu held.
 * Return: EMUL_OK; EMUL_FAULT with the exception pending; EMUL_UNHANDLEABLE.
 */
int glue_fetch_decode(struct mhv_emul *e, const u8 *bytes, unsigned int n)
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
	if (r == EMUL_MORE_BYTES)
		r = fetch_decode(e, mode, false, &walk);
	if (r == EMUL_MORE_BYTES && e->nbytes && e->nbytes < EMUL_MAX_INSN)
		r = fetch_decode(e, mode, true, &walk);
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
	e->pos = 0;
	e->nposted = 0;
	e->next_posted = 0;
	e->pio_out = false;
	e->queued = false;
	e->halt = false;
	e->hypercall = false;
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
	else if (f->vector == X86_TRAP_DB)
		mhv_queue_event(e->vcpu, &(struct mhv_event){
				.type = MHV_EV_EXCEPTION, .vector = X86_TRAP_DB,
				.has_payload = true, .payload = f->address });
	else
		mhv_queue_exception(e->vcpu, f->vector);
	return MHV_RESUME;
}

/* The instruction is done: its results become the vCPU's. */
static int retire(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	struct emul_ctx *ctx = &e->ctx;
	/* A task switch ends single steps: another task's flags count from here on. */
	bool step = vcpu->state.rflags & X86_EFLAGS_TF && !ctx->switched &&
		    !(ctx->new_tf && !(ctx->rflags & X86_EFLAGS_TF));
	int r = MHV_RESUME;

	mhv_state_change(vcpu, MHV_G_GPR | MHV_G_RIP_FLAGS);
	memcpy(vcpu->state.gpr, ctx->gpr, sizeof(ctx->gpr));
	mhv_state_need(vcpu, MHV_G_INTR);
	if (vcpu->state.shadow != ctx->shadow) {
		mhv_state_change(vcpu, MHV_G_INTR);
		vcpu->state.shadow = ctx->shadow;
	}
	if (vcpu->state.nmi_masked && ctx->iret) {
		mhv_state_change(vcpu, MHV_G_INTR);
		vcpu->state.nmi_masked = false;
		mhv_request(vcpu, MHV_REQ_EVENT);
	}
	/* But for SYSCALL, a step is up to the TF that the instruction began with. */
	if (step)
		r = mhv_skip(vcpu, ctx->rip);
	vcpu->state.rip = ctx->rip;
	vcpu->state.rflags = ctx->rflags;

	if (unlikely(ctx->after))
		return deliver_fault(e);
	if (e->hypercall)
		mhv_hypercall(vcpu);
	if (e->halt && r == MHV_RESUME)
		return mhv_hlt(vcpu);
	if (e->pio_out)
		return mhv_user_pio(vcpu, e->pio.port, e->pio.size, e->pio.count, false);
	return e->nposted ? glue_next_posted(e) : r;
}

/**
 * glue_finish() - what came of an execution becomes the vCPU's
 * @e: the emulator
 * @r: what emul_exec() returned
 *
 * Return: MHV_RESUME or MHV_USER.
 */
int glue_finish(struct mhv_emul *e, int r)
{
	switch (r) {
	case EMUL_OK:
		return retire(e);
	case EMUL_FAULT:
		return deliver_fault(e);
	case EMUL_IO_NEEDED:
		return glue_ask_userspace(e);
	case EMUL_RETRY:
		return MHV_RESUME;
	default:
		return glue_fail(e);
	}
}

/**
 * glue_execute() - execute the decoded instruction, from its beginning
 * @e: the emulator
 *
 * Context: may sleep, vm->srcu held or not.
 * Return: MHV_RESUME or MHV_USER.
 */
int glue_execute(struct mhv_emul *e)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	int idx, r;

	e->want.len = 0;
	load_ctx(e);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = emul_exec(&e->ctx);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return glue_finish(e, r);
}

/**
 * glue_switch_task() - switch to another task
 * @e: the emulator
 * @task: to which, and why
 * @next_rip: where the old one is to go on
 *
 * Context: may sleep, vm->srcu not held.
 * Return: as emul_exec(), for glue_finish().
 */
int glue_switch_task(struct mhv_emul *e, const struct emul_task *task, u64 next_rip)
{
	struct mhv_vcpu *vcpu = e->vcpu;
	int idx, r;

	vcpu->stat.emulations++;
	e->ctx.mode = emul_mode(vcpu);
	e->nlog = 0;
	load_ctx(e);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = emul_task_switch(&e->ctx, task, next_rip);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/**
 * mhv_emulate() - execute the instruction at RIP
 * @vcpu: the vCPU, within KVM_RUN
 *
 * Context: process, may sleep, vm->srcu not held.
 * Return: MHV_RESUME or MHV_USER.
 */
int mhv_emulate(struct mhv_vcpu *vcpu)
{
	struct mhv_emul *e = vcpu->emul;
	int idx, r;

	vcpu->stat.emulations++;
	e->hint_valid = false;
	e->nlog = 0;
	e->pio_answered = false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = glue_fetch_decode(e, NULL, 0);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r == EMUL_FAULT)
		return MHV_RESUME;
	if (r)
		return glue_fail(e);
	e->rip = vcpu->state.rip;
	e->simple = false;
	return glue_execute(e);
}

/**
 * mhv_emul_forced() - does the guest ask for its next instruction to be emulated?
 * @vcpu: the vCPU, with a #UD
 *
 * For tests: UD2 and "kvm" before an instruction, if the module's parameter says so.  RIP is at
 * the instruction itself then.
 *
 * Context: process, may sleep, vm->srcu not held.
 */
bool mhv_emul_forced(struct mhv_vcpu *vcpu)
{
	static const u8 prefix[5] = { 0x0f, 0x0b, 'k', 'v', 'm' };
	struct mhv_walk walk;
	u8 bytes[sizeof(prefix)];
	int idx, n;

	if (!force_emulation_prefix)
		return false;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	n = mhv_fetch(vcpu, linear_rip(vcpu, emul_mode(vcpu)), bytes, sizeof(bytes), &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (n != sizeof(bytes) || memcmp(bytes, prefix, sizeof(bytes)))
		return false;
	mhv_state_change(vcpu, MHV_G_RIP_FLAGS);
	vcpu->state.rip += sizeof(bytes);
	vcpu->state.rflags &= ~(u64)X86_EFLAGS_RF;
	return true;
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
	unsigned int want = fetch_bytes(linear, false);
	struct mhv_emul *e = vcpu->emul;
	struct mhv_walk walk;
	int idx, n, r;

	idx = srcu_read_lock(&vcpu->vm->srcu);
	n = mhv_fetch(vcpu, linear, e->bytes, want, &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (unlikely(n <= 0))
		return 0;
	if (likely(expect.len && n >= expect.len &&
		   !((*(u32 *)e->bytes ^ expect.bytes) &
		     (BIT_ULL(expect.len * 8) - 1))))
		return expect.len;
	e->nbytes = n;
	r = decode(e, emul_mode(vcpu));
	if (r == EMUL_MORE_BYTES && want < EMUL_MAX_INSN) {
		idx = srcu_read_lock(&vcpu->vm->srcu);
		r = fetch_decode(e, emul_mode(vcpu), true, &walk);
		srcu_read_unlock(&vcpu->vm->srcu, idx);
	}
	return r ? 0 : e->ctx.insn.length;
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
