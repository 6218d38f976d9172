// SPDX-License-Identifier: GPL-2.0
/*
 * Exits as both vendors have them: decide, act, resume or leave to userspace.
 * Entered from a backend's exit table, through the services of backend.h.
 * vcpu->mutex held, interrupts and preemption on; vm->srcu is taken here.
 * AMD APM volume 2, "Instruction Intercepts"; Intel SDM volume 3, "VM Exits".
 */
#include <linux/sched.h>
#include <asm/debugreg.h>

#include "backend.h"
#include "compat.h"
#define CREATE_TRACE_POINTS
#include "trace.h"

/* ---- exceptions to the guest ---- */

static bool is_contributory(u8 vector)
{
	return vector == X86_TRAP_DE || (vector >= X86_TRAP_TS && vector <= X86_TRAP_GP);
}

/*
 * A second exception while the first is still to be delivered: a double
 * fault, a triple fault, or the second alone.  AMD APM volume 2, "#DF".
 */
static void merge_exception(struct mhv_vcpu *vcpu, const struct mhv_event *first,
			    const struct mhv_event *ev)
{
	if (first->vector == X86_TRAP_DF) {
		vcpu->exception.type = MHV_EV_NONE;
		vcpu->reinject.type = MHV_EV_NONE;
		mhv_request(vcpu, MHV_REQ_TRIPLE_FAULT);
		return;
	}
	if ((is_contributory(first->vector) && is_contributory(ev->vector)) ||
	    (first->vector == X86_TRAP_PF &&
	     (ev->vector == X86_TRAP_PF || is_contributory(ev->vector)))) {
		vcpu->reinject.type = MHV_EV_NONE;
		vcpu->exception = (struct mhv_event){
			.type = MHV_EV_EXCEPTION,
			.vector = X86_TRAP_DF,
			.has_error = true,
		};
		return;
	}
	/* The first is raised again when its instruction is executed again. */
	vcpu->reinject.type = MHV_EV_NONE;
	vcpu->exception = *ev;
}

/**
 * mhv_queue_event() - make an exception pending
 * @vcpu: the vCPU
 * @ev: an exception, hardware or software
 */
void mhv_queue_event(struct mhv_vcpu *vcpu, const struct mhv_event *ev)
{
	mhv_request(vcpu, MHV_REQ_EVENT);
	if (vcpu->exception.type)
		merge_exception(vcpu, &vcpu->exception, ev);
	else if (vcpu->reinject.type == MHV_EV_EXCEPTION)
		merge_exception(vcpu, &vcpu->reinject, ev);
	else
		vcpu->exception = *ev;
	/* Only what KVM_SET_VCPU_EVENTS makes pending has it until the delivery. */
	mhv_deliver_payload(vcpu, &vcpu->exception);
}

/**
 * mhv_queue_exception() - make an exception without error code pending
 * @vcpu: the vCPU
 * @vector: #UD and the like
 */
void mhv_queue_exception(struct mhv_vcpu *vcpu, u8 vector)
{
	mhv_queue_event(vcpu, &(struct mhv_event){
			.type = MHV_EV_EXCEPTION, .vector = vector });
}

/**
 * mhv_queue_exception_e() - make an exception with error code pending
 * @vcpu: the vCPU
 * @vector: #GP and the like
 * @error: the code; left out in real mode, where none is pushed
 */
void mhv_queue_exception_e(struct mhv_vcpu *vcpu, u8 vector, u32 error)
{
	mhv_state_need(vcpu, MHV_G_CR);
	mhv_queue_event(vcpu, &(struct mhv_event){
			.type = MHV_EV_EXCEPTION, .vector = vector,
			.has_error = vcpu->state.cr0 & X86_CR0_PE, .error = error });
}

/**
 * mhv_queue_page_fault() - make a page fault pending
 * @vcpu: the vCPU
 * @addr: goes to CR2 on delivery
 * @error: page fault error code
 */
void mhv_queue_page_fault(struct mhv_vcpu *vcpu, u64 addr, u32 error)
{
	mhv_queue_event(vcpu, &(struct mhv_event){
			.type = MHV_EV_EXCEPTION, .vector = X86_TRAP_PF,
			.has_error = true, .error = error,
			.has_payload = true, .payload = addr });
}

static int general_protection(struct mhv_vcpu *vcpu)
{
	mhv_queue_exception_e(vcpu, X86_TRAP_GP, 0);
	return MHV_RESUME;
}

/* ---- leaving to userspace ---- */

/**
 * mhv_internal_error() - leave with KVM_EXIT_INTERNAL_ERROR
 * @vcpu: the vCPU
 * @suberror: KVM_INTERNAL_ERROR_*
 * @ndata: words of @data, at most 16
 * @data: what userspace may want to print
 *
 * Return: MHV_USER.
 */
int mhv_internal_error(struct mhv_vcpu *vcpu, u32 suberror, unsigned int ndata,
		       const u64 *data)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	run->internal.ndata = ndata;
	if (ndata)
		memcpy(run->internal.data, data, ndata * sizeof(*data));
	return MHV_USER;
}

/**
 * mhv_emulation_failure() - an instruction that cannot be emulated
 * @vcpu: the vCPU
 * @bytes: the instruction, as far as it was fetched
 * @n: how many bytes
 *
 * The guest gets #UD.  If its kernel did it, userspace is told as well; a
 * guest's user program must not be able to stop its VM.
 *
 * Return: MHV_USER or MHV_RESUME.
 */
int mhv_emulation_failure(struct mhv_vcpu *vcpu, const u8 *bytes, unsigned int n)
{
	struct kvm_run *run = vcpu->run;
	const char *name;
	u64 info1, info2;

	/* Userspace that wants to see all of them decides what becomes of the guest. */
	if (!(READ_ONCE(vcpu->vm->caps) & BIT(MHV_VMCAP_EMUL_FAIL_EXIT))) {
		mhv_queue_exception(vcpu, X86_TRAP_UD);
		if (mhv_cpl(vcpu))
			return MHV_RESUME;
	}
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 5;
	run->emulation_failure.flags = 0;
	if (n) {
		run->emulation_failure.flags |=
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = n;
		memset(run->emulation_failure.insn_bytes, 0x90,
		       sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, bytes, n);
	}
	/* After the documented part: the exit, for whoever debugs it. */
	run->internal.data[3] = mhv_backend->exit_reason(vcpu, &name, &info1, &info2);
	run->internal.data[4] = info1;
	return MHV_USER;
}

static int debug_exit(struct mhv_vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;

	mhv_state_need(vcpu, MHV_G_SEG | MHV_G_DR);
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	arch->exception = vector;
	arch->pc = vcpu->state.seg[MHV_CS].base + vcpu->state.rip;
	arch->dr6 = dr6;
	arch->dr7 = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP ?
		    vcpu->debug_dr7 : vcpu->state.dr7;
	return MHV_USER;
}

/* With RFLAGS.TF set: the CPU did not execute the instruction, so its trap is raised here. */
static noinline int step_trap(struct mhv_vcpu *vcpu)
{
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return debug_exit(vcpu, X86_TRAP_DB, DR_STEP | DR6_RESERVED);
	mhv_queue_event(vcpu, &(struct mhv_event){
			.type = MHV_EV_EXCEPTION, .vector = X86_TRAP_DB,
			.has_payload = true, .payload = DR_STEP });
	return MHV_RESUME;
}

/*
 * Only a carry out of 32 bits asks which mode this is: a CPU refuses to enter
 * a guest at such an address of 32-bit code, and a guest's program can run there.
 */
static __always_inline void go_behind(struct mhv_vcpu *vcpu, u64 next)
{
	struct mhv_state *state = &vcpu->state;

	mhv_state_need(vcpu, MHV_G_RIP_FLAGS | MHV_G_INTR);
	vcpu->dirty |= MHV_G_RIP_FLAGS;
	if (unlikely((next ^ state->rip) >> 31 == 3) && !mhv_is_64bit_mode(vcpu))
		next = (u32)next;
	state->rip = next;
	if (unlikely(state->shadow)) {
		mhv_state_change(vcpu, MHV_G_INTR);
		state->shadow = 0;
	}
	state->rflags &= ~(u64)X86_EFLAGS_RF;
}

/**
 * mhv_exit_behind() - the CPU exited before an instruction that has no effect but its exception
 * @vcpu: the vCPU
 * @next: where the instruction ends
 *
 * INT1, whose handler returns there.  No single step comes with it.
 */
void mhv_exit_behind(struct mhv_vcpu *vcpu, u64 next)
{
	go_behind(vcpu, next);
}

/* mhv_skip(), for the exits that are many. */
static __always_inline int skip(struct mhv_vcpu *vcpu, u64 next)
{
	go_behind(vcpu, next);
	if (unlikely(vcpu->state.rflags & X86_EFLAGS_TF))
		return step_trap(vcpu);
	return MHV_RESUME;
}

/**
 * mhv_skip() - step over the instruction that exited
 * @vcpu: the vCPU
 * @next: where it ends
 *
 * An interrupt shadow ends with it.  With RFLAGS.TF set the step is a single
 * step.
 *
 * Return: MHV_RESUME, or MHV_USER if a debugger is stepping.
 */
int mhv_skip(struct mhv_vcpu *vcpu, u64 next)
{
	return skip(vcpu, next);
}

/* ---- CPUID, MSRs, HLT ---- */

/**
 * mhv_exit_cpuid() - CPUID
 * @vcpu: the vCPU
 */
int mhv_exit_cpuid(struct mhv_vcpu *vcpu)
{
	u64 *gpr = vcpu->state.gpr;
	u32 eax, ebx, ecx, edx;
	u64 next;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	if (unlikely(vcpu->cpuid_faults) && mhv_cpl(vcpu))
		return general_protection(vcpu);
	mhv_state_change(vcpu, MHV_G_GPR);
	eax = gpr[MHV_RAX];
	ecx = gpr[MHV_RCX];
	mhv_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
	trace_mhv_cpuid(gpr[MHV_RAX], gpr[MHV_RCX], eax, ebx, ecx, edx);
	gpr[MHV_RAX] = eax;
	gpr[MHV_RBX] = ebx;
	gpr[MHV_RCX] = ecx;
	gpr[MHV_RDX] = edx;
	return skip(vcpu, next);
}

/*
 * Userspace has served the MSR, or wants the guest to have its fault.  If it
 * moved RIP, there is nothing left to complete.
 */
static int complete_wrmsr(struct mhv_vcpu *vcpu)
{
	if (mhv_rip(vcpu) != vcpu->pio.rip)
		return MHV_RESUME;
	if (vcpu->run->msr.error)
		return general_protection(vcpu);
	return mhv_skip(vcpu, vcpu->pio.next_rip);
}

static int complete_rdmsr(struct mhv_vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	u64 val = run->msr.data;

	if (!run->msr.error && mhv_rip(vcpu) == vcpu->pio.rip) {
		mhv_set_gpr(vcpu, MHV_RAX, (u32)val);
		mhv_set_gpr(vcpu, MHV_RDX, val >> 32);
	}
	return complete_wrmsr(vcpu);
}

/* An MSR that the guest cannot have: a fault, unless userspace serves the like. */
static int msr_failed(struct mhv_vcpu *vcpu, bool write, u64 val, u64 next,
		      enum mhv_msr_why why)
{
	struct kvm_run *run = vcpu->run;

	if (!(READ_ONCE(vcpu->vm->user_msrs) & BIT(why - 1)))
		return general_protection(vcpu);
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = BIT(why - 1);
	run->msr.index = mhv_gpr(vcpu, MHV_RCX);
	run->msr.data = val;
	vcpu->pio.rip = mhv_rip(vcpu);
	vcpu->pio.next_rip = next;
	vcpu->complete = write ? complete_wrmsr : complete_rdmsr;
	return MHV_USER;
}

/**
 * mhv_exit_rdmsr() - RDMSR of an MSR that is not passed through
 * @vcpu: the vCPU
 */
int mhv_exit_rdmsr(struct mhv_vcpu *vcpu)
{
	u64 *gpr = vcpu->state.gpr;
	u64 next, val = 0;
	int r;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	mhv_state_change(vcpu, MHV_G_GPR);
	r = mhv_msr_get(vcpu, gpr[MHV_RCX], &val, false);
	trace_mhv_msr(0, gpr[MHV_RCX], val, r);
	if (r)
		return msr_failed(vcpu, false, 0, next, r);
	gpr[MHV_RAX] = (u32)val;
	gpr[MHV_RDX] = val >> 32;
	return mhv_skip(vcpu, next);
}

/**
 * mhv_exit_wrmsr() - WRMSR
 * @vcpu: the vCPU
 */
int mhv_exit_wrmsr(struct mhv_vcpu *vcpu)
{
	const u64 *gpr = vcpu->state.gpr;
	u64 next, val;
	int r;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	mhv_state_need(vcpu, MHV_G_GPR);
	val = (u32)gpr[MHV_RAX] | gpr[MHV_RDX] << 32;
	r = mhv_msr_set(vcpu, gpr[MHV_RCX], val, false);
	trace_mhv_msr(1, gpr[MHV_RCX], val, r);
	if (r)
		return msr_failed(vcpu, true, val, next, r);
	return mhv_skip(vcpu, next);
}

/**
 * mhv_hlt() - halt, RIP being past the HLT
 * @vcpu: the vCPU
 *
 * Return: MHV_RESUME if interrupts are the kernel's, so that it waits; else
 * MHV_USER.
 */
int mhv_hlt(struct mhv_vcpu *vcpu)
{
	vcpu->stat.halt_exits++;
	if (vcpu->lapic) {
		vcpu->mp_state = KVM_MP_STATE_HALTED;
		return MHV_RESUME;
	}
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return MHV_USER;
}

/**
 * mhv_exit_hlt() - HLT
 * @vcpu: the vCPU
 */
int mhv_exit_hlt(struct mhv_vcpu *vcpu)
{
	u64 next;
	int r;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	r = mhv_skip(vcpu, next);
	return r == MHV_RESUME ? mhv_hlt(vcpu) : r;
}

/**
 * mhv_exit_nop() - an instruction that does nothing in a guest
 * @vcpu: the vCPU
 *
 * Caches are coherent, so WBINVD and INVD have nothing to do (INVD must not
 * throw away the host's dirty lines).
 */
int mhv_exit_nop(struct mhv_vcpu *vcpu)
{
	u64 next;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	return mhv_skip(vcpu, next);
}

/**
 * mhv_exit_mwait() - MONITOR or MWAIT
 * @vcpu: the vCPU
 *
 * Nothing happens, as MWAIT may wake at any time; or, where userspace wants no
 * quirk and the guest's CPUID has no MWAIT, they are undefined.
 */
int mhv_exit_mwait(struct mhv_vcpu *vcpu)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) {
		mhv_cpuid(vcpu, &eax, &ebx, &ecx, &edx);
		if (!(ecx & BIT(3)))
			return mhv_exit_undefined(vcpu);
	}
	return mhv_exit_nop(vcpu);
}

/**
 * mhv_exit_undefined() - an instruction that the guest's CPU does not have
 * @vcpu: the vCPU
 */
int mhv_exit_undefined(struct mhv_vcpu *vcpu)
{
	mhv_queue_exception(vcpu, X86_TRAP_UD);
	return MHV_RESUME;
}

/**
 * mhv_exit_pause() - the guest spins
 * @vcpu: the vCPU
 *
 * Whoever it waits for may be a vCPU that the scheduler took off its CPU:
 * give this CPU's time to one such.
 */
int mhv_exit_pause(struct mhv_vcpu *vcpu)
{
	struct mhv_vcpu *other;
	unsigned long i;
	u64 next;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	mhv_for_each_vcpu(i, other, vcpu->vm)
		if (other != vcpu && mhv_yield_to(other))
			break;
	return mhv_skip(vcpu, next);
}

/* ---- control and debug registers, XCR0 ---- */

/* A task priority that fell is news to a userspace irqchip.  @r: what comes of the instruction. */
static int tpr_fell(struct mhv_vcpu *vcpu, u64 old, int r)
{
	if (r == MHV_RESUME && !vcpu->lapic && vcpu->cr8 < old) {
		vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
		return MHV_USER;
	}
	return r;
}

/**
 * mhv_exit_emulate() - have the emulator execute the instruction that exited
 * @vcpu: the vCPU
 *
 * For what the CPU does not decode.
 */
int mhv_exit_emulate(struct mhv_vcpu *vcpu)
{
	u64 cr8 = vcpu->cr8;

	return tpr_fell(vcpu, cr8, mhv_emulate(vcpu));
}

/**
 * mhv_exit_cr_write() - MOV to a control register
 * @vcpu: the vCPU
 * @cr: 0, 3, 4 or 8
 * @val: the new value
 */
int mhv_exit_cr_write(struct mhv_vcpu *vcpu, unsigned int cr, u64 val)
{
	u64 next, cr8 = vcpu->cr8;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	if (!mhv_is_64bit_mode(vcpu))
		val = (u32)val;
	if (mhv_set_cr(vcpu, cr, val))
		return general_protection(vcpu);
	return tpr_fell(vcpu, cr8, mhv_skip(vcpu, next));
}

/**
 * mhv_exit_cr_read() - MOV from a control register
 * @vcpu: the vCPU
 * @cr: 0, 2, 3, 4 or 8
 * @gpr: destination
 */
int mhv_exit_cr_read(struct mhv_vcpu *vcpu, unsigned int cr, unsigned int gpr)
{
	u64 next;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	mhv_set_gpr(vcpu, gpr, mhv_get_cr(vcpu, cr));
	return mhv_skip(vcpu, next);
}

/**
 * mhv_dr_access() - may the guest access this debug register?
 * @vcpu: the vCPU
 * @dr: its number; 4 and 5 become 6 and 7 where they are other names of them
 *
 * Return: true; or false with #UD or #DB pending.
 */
bool mhv_dr_access(struct mhv_vcpu *vcpu, unsigned int *dr)
{
	mhv_state_need(vcpu, MHV_G_CR | MHV_G_DR);
	if (*dr == 4 || *dr == 5) {
		if (vcpu->state.cr4 & X86_CR4_DE) {
			mhv_queue_exception(vcpu, X86_TRAP_UD);
			return false;
		}
		*dr += 2;
	}
	if (vcpu->state.dr7 & DR7_GD) {
		mhv_queue_event(vcpu, &(struct mhv_event){
				.type = MHV_EV_EXCEPTION, .vector = X86_TRAP_DB,
				.has_payload = true, .payload = DR6_BD });
		return false;
	}
	return true;
}

/**
 * mhv_exit_dr_detect() - a debugger has set GD in its DR7: it wants to see this access
 * @vcpu: the vCPU, at a MOV to or from a debug register
 *
 * Return: MHV_USER with KVM_EXIT_DEBUG; MHV_RESUME if it does not.
 */
int mhv_exit_dr_detect(struct mhv_vcpu *vcpu)
{
	if (!(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP) || !(vcpu->debug_dr7 & DR7_GD))
		return MHV_RESUME;
	return debug_exit(vcpu, X86_TRAP_DB, DR6_BD | DR6_RESERVED);
}

/**
 * mhv_exit_dr() - MOV to or from a debug register
 * @vcpu: the vCPU
 * @dr: which
 * @gpr: the general register
 * @write: to the debug register
 */
int mhv_exit_dr(struct mhv_vcpu *vcpu, unsigned int dr, unsigned int gpr, bool write)
{
	u64 next, val;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	if (!mhv_dr_access(vcpu, &dr))
		return MHV_RESUME;
	if (write) {
		val = mhv_gpr(vcpu, gpr);
		if (!mhv_is_64bit_mode(vcpu))
			val = (u32)val;
		if (mhv_set_dr(vcpu, dr, val))
			return general_protection(vcpu);
	} else {
		mhv_set_gpr(vcpu, gpr, mhv_get_dr(vcpu, dr));
	}
	return mhv_skip(vcpu, next);
}

/**
 * mhv_exit_xsetbv() - XSETBV
 * @vcpu: the vCPU
 */
int mhv_exit_xsetbv(struct mhv_vcpu *vcpu)
{
	const u64 *gpr = vcpu->state.gpr;
	u64 next, val;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	mhv_state_need(vcpu, MHV_G_GPR);
	val = (u32)gpr[MHV_RAX] | gpr[MHV_RDX] << 32;
	if (mhv_cpl(vcpu) || (u32)gpr[MHV_RCX] || mhv_set_xcr0(vcpu, val))
		return general_protection(vcpu);
	return mhv_skip(vcpu, next);
}

/* ---- port I/O ---- */

static int finish_in(struct mhv_vcpu *vcpu)
{
	struct mhv_pio *pio = &vcpu->pio;
	u64 rax = pio->data, mask;

	/* As any write of a register: 32 bits clear the upper half. */
	if (pio->size < 4) {
		mask = BIT_ULL(pio->size * 8) - 1;
		rax = (mhv_gpr(vcpu, MHV_RAX) & ~mask) | (rax & mask);
	}
	mhv_set_gpr(vcpu, MHV_RAX, rax);
	return skip(vcpu, pio->next_rip);
}

/*
 * Userspace has served the access.  RIP still is at the instruction; if
 * userspace moved it, the instruction is not completed.
 */
static int complete_pio(struct mhv_vcpu *vcpu)
{
	struct mhv_pio *pio = &vcpu->pio;

	if (mhv_rip(vcpu) != pio->rip)
		return MHV_RESUME;
	if (!pio->in)
		return mhv_skip(vcpu, pio->next_rip);
	memcpy(&pio->data, vcpu->pio_data, sizeof(pio->data));
	return finish_in(vcpu);
}

/**
 * mhv_user_pio() - leave with KVM_EXIT_IO
 * @vcpu: the vCPU; data of an OUT is in vcpu->pio_data already
 * @port: the port
 * @size: 1, 2 or 4
 * @count: elements; they fit the page
 * @in: direction
 *
 * Return: MHV_USER.
 */
int mhv_user_pio(struct mhv_vcpu *vcpu, u16 port, unsigned int size,
		 unsigned int count, bool in)
{
	struct kvm_run *run = vcpu->run;

	if (in)
		memset(vcpu->pio_data, 0, size * count);
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = PAGE_SIZE;
	return MHV_USER;
}

/**
 * mhv_exit_string_pio() - INS or OUTS
 * @vcpu: the vCPU
 */
int mhv_exit_string_pio(struct mhv_vcpu *vcpu)
{
	vcpu->stat.io_exits++;
	return mhv_emulate(vcpu);
}

/*
 * No device in the kernel serves it.  Windows' and Linux's delay port 0x7e
 * advances RIP before the exit, a quirk that QEMU's VAPIC ROM needs.
 */
static int pio_to_user(struct mhv_vcpu *vcpu)
{
	struct mhv_pio *pio = &vcpu->pio;
	int r;

	memcpy(vcpu->pio_data, &pio->data, pio->size);
	if (pio->port == 0x7e && !pio->in &&
	    !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
		r = mhv_skip(vcpu, pio->next_rip);
		if (r != MHV_RESUME)
			return r;
	} else {
		pio->rip = vcpu->state.rip;
		vcpu->complete = complete_pio;
	}
	return mhv_user_pio(vcpu, pio->port, pio->size, 1, pio->in);
}

static int exit_in(struct mhv_vcpu *vcpu)
{
	struct mhv_pio *pio = &vcpu->pio;
	int idx, r;

	pio->data = 0;
	trace_mhv_pio(0, pio->port, pio->size, 1, 0);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = mhv_iobus_read(vcpu, MHV_BUS_PIO, pio->port, pio->size, &pio->data);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r ? pio_to_user(vcpu) : finish_in(vcpu);
}

/**
 * mhv_exit_pio() - IN or OUT
 * @vcpu: the vCPU; vcpu->pio has the operands but @rip and @data
 *
 * A device in the kernel serves it, or userspace.
 */
int mhv_exit_pio(struct mhv_vcpu *vcpu)
{
	struct mhv_pio *pio = &vcpu->pio;
	int idx, r;

	vcpu->stat.io_exits++;
	if (pio->in)
		return exit_in(vcpu);

	pio->data = mhv_gpr(vcpu, MHV_RAX);
	if (trace_mhv_pio_enabled())	/* else its arguments are loaded, too */
		trace_mhv_pio(1, pio->port, pio->size, 1, pio->data);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = mhv_iobus_write(vcpu, MHV_BUS_PIO, pio->port, pio->size, &pio->data);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r ? pio_to_user(vcpu) : skip(vcpu, pio->next_rip);
}

/* ---- memory ---- */

/* An event cannot be delivered: what the CPU needs for that is no memory. */
static int delivery_failed(struct mhv_vcpu *vcpu, const struct mhv_npf_exit *npf)
{
	const char *name;
	u64 info1, info2, data[5];

	data[0] = vcpu->reinject.vector;
	data[1] = mhv_backend->exit_reason(vcpu, &name, &info1, &info2);
	data[2] = info1;
	data[3] = npf->gpa;
	data[4] = raw_smp_processor_id();
	return mhv_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, ARRAY_SIZE(data), data);
}

/* A device's: no slot has it. */
static int mmio(struct mhv_vcpu *vcpu, const struct mhv_npf_exit *npf)
{
	vcpu->stat.mmio_exits++;
	/* A stack or a table of the guest's is there, not an operand. */
	if (unlikely(vcpu->reinject.type))
		return delivery_failed(vcpu, npf);
	return mhv_emulate_mmio(vcpu, npf->gpa, npf->access, npf->insn, npf->ninsn);
}

/**
 * mhv_exit_npf() - a nested page fault
 * @vcpu: the vCPU
 * @npf: where and what
 *
 * Memory that a memslot has is mapped, and the guest tries again; anything
 * else is a device's, and the instruction is emulated.
 *
 * Return: MHV_RESUME, MHV_USER, or -EFAULT for a hole in the VMM's memory.
 */
int mhv_exit_npf(struct mhv_vcpu *vcpu, const struct mhv_npf_exit *npf)
{
	int idx, r;

	vcpu->stat.faults++;
	trace_mhv_page_fault(vcpu->id, vcpu->state.rip, npf->gpa, npf->access);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = mhv_mmu_fault(vcpu, npf->gpa, npf->access);
	if (r == MHV_FAULT_MMIO)
		r = mmio(vcpu, npf);
	else if (r == MHV_FAULT_FIXED || r == -EINTR || r == -EAGAIN)
		r = MHV_RESUME;		/* the loop sees the signal */
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

/* ---- events of the CPU itself ---- */

/* The breakpoints on execution that @dr7 has on at @linear, as DR6 says it. */
static u64 code_breakpoints(const u64 *dr, u64 dr7, u64 linear)
{
	unsigned int i;
	u64 hit = 0;

	for (i = 0; i < 4; i++)
		if (dr7 >> (2 * i) & 3 && !(dr7 >> (16 + 4 * i) & 15) && dr[i] == linear)
			hit |= BIT_ULL(i);
	return hit;
}

/*
 * Emulate the instruction behind a prefix that asked for it. The CPU looked for breakpoints at the
 * prefix: here is the look at the instruction.
 */
static int emulate_forced(struct mhv_vcpu *vcpu)
{
	const struct mhv_state *state = &vcpu->state;
	bool user = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;
	u64 linear, hit;

	if (likely(!vcpu->dr_active))
		return mhv_emulate(vcpu);
	mhv_state_need(vcpu, MHV_G_DR | MHV_G_CODE | MHV_G_EFER);
	linear = state->rip;
	if (!(state->efer & EFER_LMA && state->seg[MHV_CS].attr & MHV_SEG_L))
		linear = (u32)(linear + state->seg[MHV_CS].base);
	hit = user ? code_breakpoints(vcpu->debug_dr, vcpu->debug_dr7, linear) :
		     code_breakpoints(state->dr, state->dr7, linear);
	if (!hit)
		return mhv_emulate(vcpu);
	if (user)
		return debug_exit(vcpu, X86_TRAP_DB, hit | DR6_RESERVED);
	mhv_queue_event(vcpu, &(struct mhv_event){
			.type = MHV_EV_EXCEPTION, .vector = X86_TRAP_DB,
			.has_payload = true, .payload = hit });
	return MHV_RESUME;
}

/* Should the debugger give it to the guest: with prefixes, an INT3 is longer than a byte. */
static void note_breakpoint(struct mhv_vcpu *vcpu)
{
	u64 next;

	vcpu->bp_rip = vcpu->state.rip;
	vcpu->bp_len = static_call(mhv_backend_next_rip)(vcpu, &next) ? next - vcpu->bp_rip : 0;
}

/**
 * mhv_exit_exception() - an intercepted exception
 * @vcpu: the vCPU
 * @ev: the exception, as it would have been delivered
 *
 * A debugger outside gets those it asked for; the rest is the guest's.
 */
int mhv_exit_exception(struct mhv_vcpu *vcpu, const struct mhv_event *ev)
{
	if (ev->vector == X86_TRAP_DB &&
	    vcpu->guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_exit(vcpu, ev->vector, ev->payload ^ DR6_RESERVED);
	if (ev->vector == X86_TRAP_BP && vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP) {
		note_breakpoint(vcpu);
		return debug_exit(vcpu, ev->vector, 0);
	}
	if (ev->vector == X86_TRAP_UD && mhv_emul_forced(vcpu))
		return emulate_forced(vcpu);
	if (ev->vector == X86_TRAP_UD) {
		int len = mhv_foreign_hypercall(vcpu);

		if (len)
			return len < 0 ? MHV_RESUME : mhv_hypercall_at(vcpu, vcpu->state.rip + len);
	}
	mhv_queue_event(vcpu, ev);
	return MHV_RESUME;
}

/**
 * mhv_exit_interrupt() - an interrupt of the host's ended the guest's run
 * @vcpu: the vCPU
 *
 * The run loop has let the host serve it.  It may have been RCU's.
 */
int mhv_exit_interrupt(struct mhv_vcpu *vcpu)
{
	vcpu->stat.irq_exits++;
	vcpu->note_qs = true;
	return MHV_RESUME;
}

/**
 * mhv_exit_window() - an event that waited can be delivered now
 * @vcpu: the vCPU
 */
int mhv_exit_window(struct mhv_vcpu *vcpu)
{
	vcpu->stat.irq_window_exits++;
	mhv_request(vcpu, MHV_REQ_EVENT);
	return MHV_RESUME;
}

/**
 * mhv_exit_tpr() - the guest lowered its task priority, and something waits
 * @vcpu: the vCPU
 *
 * The run loop has told the LAPIC what the CPU now has.
 */
int mhv_exit_tpr(struct mhv_vcpu *vcpu)
{
	mhv_request(vcpu, MHV_REQ_EVENT);
	return MHV_RESUME;
}

/**
 * mhv_exit_shutdown() - a triple fault
 * @vcpu: the vCPU; if the CPU's state is gone with it, the backend has reset it
 */
int mhv_exit_shutdown(struct mhv_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return MHV_USER;
}

/**
 * mhv_exit_entry_failed() - the CPU refused the entry
 * @vcpu: the vCPU
 * @reason: as the hardware has it
 */
int mhv_exit_entry_failed(struct mhv_vcpu *vcpu, u64 reason)
{
	struct kvm_run *run = vcpu->run;

	mhv_backend->dump(vcpu);
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = reason;
	run->fail_entry.cpu = raw_smp_processor_id();
	return MHV_USER;
}

/**
 * mhv_exit_unknown() - an exit that no row is for
 * @vcpu: the vCPU
 * @reason: as the hardware has it
 */
int mhv_exit_unknown(struct mhv_vcpu *vcpu, u64 reason)
{
	u64 data[2] = { reason, raw_smp_processor_id() };

	return mhv_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
				  ARRAY_SIZE(data), data);
}
