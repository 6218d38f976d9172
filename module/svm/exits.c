// SPDX-License-Identifier: GPL-2.0
/*
 * From the VMCB's exit code to a service of the core: one row per exit code.
 * Entered from the run loop after each #VMEXIT, interrupts and preemption on.
 * vcpu->mutex held; no other lock.
 * AMD APM volume 2, "SVM Intercept Codes"; per intercept, "Instruction Intercepts".
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <asm/traps.h>

#include "svm.h"

struct svm_exit {
	const char *name;
	int (*handle)(struct mhv_vcpu *vcpu);
	struct mhv_opcode opcode;	/* what to expect at RIP, to skip it */
};

/* EXITINFO1 of an IOIO intercept. */
static int exit_ioio(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct mhv_pio *pio = &vcpu->pio;
	u32 info = c->exit_info_1;

	if (info & SVM_IOIO_STR_MASK)
		return mhv_exit_string_pio(vcpu);
	pio->next_rip = c->exit_info_2;
	pio->port = info >> 16;
	pio->size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	pio->in = info & SVM_IOIO_TYPE_MASK;
	return mhv_exit_pio(vcpu);
}

static int exit_msr(struct mhv_vcpu *vcpu)
{
	return to_svm(vcpu)->vmcb->control.exit_info_1 ? mhv_exit_wrmsr(vcpu) :
							 mhv_exit_rdmsr(vcpu);
}

/*
 * The low bits of EXITINFO1 are a page fault's error code.  The CPU always
 * walks as a user in nested tables; whose access it was, bit 33 says.
 */
static int exit_npf(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct mhv_npf_exit npf = {
		.gpa = c->exit_info_2,
		.access = c->exit_info_1 & (MHV_ACC_PRESENT | MHV_ACC_WRITE |
					    MHV_ACC_RSVD | MHV_ACC_FETCH),
	};

	if (c->exit_info_1 & BIT_ULL(33))
		npf.access |= MHV_ACC_GUEST_TABLE;
	if (boot_cpu_has(X86_FEATURE_DECODEASSISTS)) {
		npf.insn = c->insn_bytes;
		npf.ninsn = min_t(u8, c->insn_len, sizeof(c->insn_bytes));
	}
	if (unlikely(to_svm(vcpu)->int_cut))
		svm_measure_int(to_svm(vcpu));
	return mhv_exit_npf(vcpu, &npf);
}

/*
 * With decode assists EXITINFO1 names the general register; bit 63 tells a
 * MOV from LMSW, SMSW and CLTS.  Without, the emulator reads the instruction.
 */
static int exit_cr(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	unsigned int cr = c->exit_code & 0xf;
	unsigned int gpr = c->exit_info_1 & 0xf;

	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS) ||
	    !(c->exit_info_1 & BIT_ULL(63)) || !boot_cpu_has(X86_FEATURE_NRIPS))
		return mhv_exit_emulate(vcpu);
	if (c->exit_code == SVM_EXIT_CR0_SEL_WRITE)
		return mhv_exit_cr_write(vcpu, 0, vcpu->state.gpr[gpr]);
	if (c->exit_code >= SVM_EXIT_WRITE_CR0)
		return mhv_exit_cr_write(vcpu, cr, vcpu->state.gpr[gpr]);
	return mhv_exit_cr_read(vcpu, cr, gpr);
}

static int exit_dr(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;

	if (!vcpu->guest_debug) {
		to_svm(vcpu)->dr_lent = true;	/* and the access is repeated */
		return MHV_RESUME;
	}
	if (mhv_exit_dr_detect(vcpu) == MHV_USER)
		return MHV_USER;
	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS) || !boot_cpu_has(X86_FEATURE_NRIPS))
		return mhv_exit_emulate(vcpu);
	return mhv_exit_dr(vcpu, c->exit_code & 0xf, c->exit_info_1 & 0xf,
			   c->exit_code >= SVM_EXIT_WRITE_DR0);
}

/*
 * A step that an NMI waited for has served its purpose when the #DB comes; the
 * guest sees it only if TF was its own, or a breakpoint was hit as well.
 */
static bool nmi_step_over(struct svm_vcpu *svm, struct mhv_event *ev)
{
	if (!svm->nmi_step)
		return false;
	svm->nmi_step = false;
	if (svm->step_tf || svm->vcpu.guest_debug & KVM_GUESTDBG_SINGLESTEP)
		return false;
	ev->payload &= ~(u64)DR_STEP;
	return !(ev->payload & (DR_TRAP_BITS | DR6_BD));
}

static int exit_db(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	struct mhv_event ev = {
		.type = MHV_EV_EXCEPTION,
		.vector = X86_TRAP_DB,
		.has_payload = true,
		.payload = vmcb->save.dr6 ^ DR6_RESERVED,
	};

	vmcb->save.dr6 = DR6_RESERVED;
	vmcb->control.clean &= ~SVM_CLEAN_DR;
	if (nmi_step_over(svm, &ev))
		return MHV_RESUME;
	return mhv_exit_exception(vcpu, &ev);
}

/* The exceptions that are intercepted and carry no state of their own. */
static int exit_exception(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	struct mhv_event ev = {
		.type = MHV_EV_EXCEPTION,
		.vector = c->exit_code - SVM_EXIT_EXCP_BASE,
		.has_error = c->exit_code == SVM_EXIT_EXCP_BASE + X86_TRAP_AC,
		.error = c->exit_info_1,
	};

	return mhv_exit_exception(vcpu, &ev);
}

/* EXITINFO1 is the new TSS's selector; EXITINFO2 says why, an event's EXITINTINFO the rest. */
static int exit_task_switch(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	u32 event = c->exit_int_info & SVM_EXITINTINFO_TYPE_MASK;
	u8 vector = c->exit_int_info & SVM_EXITINTINFO_VEC_MASK;
	struct mhv_task_exit task = {
		.selector = c->exit_info_1,
		.has_error = c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_HAS_ERROR_CODE),
		.error = c->exit_info_2,
	};

	if (c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_IRET))
		task.reason = MHV_TASK_IRET;
	else if (c->exit_info_2 & BIT_ULL(SVM_EXITINFOSHIFT_TS_REASON_JMP))
		task.reason = MHV_TASK_JMP;
	else if (c->exit_int_info & SVM_EXITINTINFO_VALID)
		task.reason = MHV_TASK_GATE;
	else
		task.reason = MHV_TASK_CALL;
	task.skip = task.reason != MHV_TASK_GATE || event == SVM_EXITINTINFO_TYPE_SOFT ||
		    (event == SVM_EXITINTINFO_TYPE_EXEPT &&
		     (vector == X86_TRAP_BP || vector == X86_TRAP_OF));
	return mhv_exit_task_switch(vcpu, &task);
}

/* svm_run() gave it to the host already, with interrupts off. */
static int exit_host(struct mhv_vcpu *vcpu)
{
	return MHV_RESUME;
}

static int exit_nmi(struct mhv_vcpu *vcpu)
{
	vcpu->stat.nmi_exits++;
	return exit_host(vcpu);
}

/*
 * NMIs stay masked until the IRET has been executed, and the intercept comes
 * before it: note where it is.  svm_run() sees RIP move on.
 */
static int exit_iret(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm_intercept(svm, INTERCEPT_IRET, false);
	svm->awaiting_iret = true;
	svm->iret_rip = vcpu->state.rip;
	mhv_request(vcpu, MHV_REQ_EVENT);
	return MHV_RESUME;
}

/*
 * The VMCB's state is undefined after a triple fault; what the core resets
 * and stores is all that stays: the vCPU is left as after INIT, and the MSRs
 * that are in the VMCB are lost.
 */
static int exit_shutdown(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 pat = vcpu->state.pat;	/* which guests do not write without an exit */

	memset(&svm->vmcb->save, 0, sizeof(svm->vmcb->save));
	svm_state_load(vcpu, MHV_G_SYSMSR);
	vcpu->state.pat = pat;
	vcpu->avail = MHV_G_ALL;
	vcpu->dirty = MHV_G_ALL;
	mhv_vcpu_reset(vcpu, true);
	return mhv_exit_shutdown(vcpu);
}

#define CR_ROWS(rw, base) \
	[(base) + 0] = { rw "_cr0", exit_cr }, [(base) + 2] = { rw "_cr2", exit_cr }, \
	[(base) + 3] = { rw "_cr3", exit_cr }, [(base) + 4] = { rw "_cr4", exit_cr }
#define DR_ROWS(rw, base) \
	[(base) + 0] = { rw "_dr0", exit_dr }, [(base) + 1] = { rw "_dr1", exit_dr }, \
	[(base) + 2] = { rw "_dr2", exit_dr }, [(base) + 3] = { rw "_dr3", exit_dr }, \
	[(base) + 4] = { rw "_dr4", exit_dr }, [(base) + 5] = { rw "_dr5", exit_dr }, \
	[(base) + 6] = { rw "_dr6", exit_dr }, [(base) + 7] = { rw "_dr7", exit_dr }
#define EXCEPTION(vec)		(SVM_EXIT_EXCP_BASE + (vec))

/*
 * One row per exit code that the intercepts of svm_set_intercepts() can give.
 * SVM's own instructions are refused with #UD: guests are told there is no SVM.
 */
static const struct svm_exit svm_exits[] = {
	CR_ROWS("read", SVM_EXIT_READ_CR0),
	CR_ROWS("write", SVM_EXIT_WRITE_CR0),
	[SVM_EXIT_WRITE_CR8]	= { "write_cr8", exit_cr },
	DR_ROWS("read", SVM_EXIT_READ_DR0),
	DR_ROWS("write", SVM_EXIT_WRITE_DR0),
	[EXCEPTION(X86_TRAP_DB)]	= { "#DB", exit_db },
	[EXCEPTION(X86_TRAP_BP)]	= { "#BP", exit_exception, { 0xcc, 1 } },
	[EXCEPTION(X86_TRAP_UD)]	= { "#UD", exit_exception },
	[EXCEPTION(X86_TRAP_AC)]	= { "#AC", exit_exception },
	[EXCEPTION(X86_TRAP_MC)]	= { "#MC", exit_host },
	[SVM_EXIT_INTR]		= { "interrupt", mhv_exit_interrupt },
	[SVM_EXIT_NMI]		= { "nmi", exit_nmi },
	[SVM_EXIT_SMI]		= { "smi", exit_host },
	[SVM_EXIT_INIT]		= { "init", exit_host },
	[SVM_EXIT_TASK_SWITCH]	= { "task_switch", exit_task_switch },
	[SVM_EXIT_VINTR]	= { "vintr", mhv_exit_window },
	[SVM_EXIT_CR0_SEL_WRITE] = { "cr0_sel_write", exit_cr },
	[SVM_EXIT_RDPMC]	= { "rdpmc", mhv_exit_emulate },
	[SVM_EXIT_CPUID]	= { "cpuid", mhv_exit_cpuid, { 0xa20f, 2 } },
	[SVM_EXIT_IRET]		= { "iret", exit_iret },
	[SVM_EXIT_INVD]		= { "invd", mhv_exit_nop, { 0x080f, 2 } },
	[SVM_EXIT_PAUSE]	= { "pause", mhv_exit_pause, { 0x90f3, 2 } },
	[SVM_EXIT_HLT]		= { "hlt", mhv_exit_hlt, { 0xf4, 1 } },
	[SVM_EXIT_INVLPGA]	= { "invlpga", mhv_exit_undefined },
	[SVM_EXIT_IOIO]		= { "io", exit_ioio },
	[SVM_EXIT_MSR]		= { "msr", exit_msr, { 0x320f, 2 } },
	[SVM_EXIT_SHUTDOWN]	= { "shutdown", exit_shutdown },
	[SVM_EXIT_VMRUN]	= { "vmrun", mhv_exit_undefined },
	[SVM_EXIT_VMMCALL]	= { "hypercall", mhv_exit_hypercall, { 0xd9010f, 3 } },
	[SVM_EXIT_VMLOAD]	= { "vmload", mhv_exit_undefined },
	[SVM_EXIT_VMSAVE]	= { "vmsave", mhv_exit_undefined },
	[SVM_EXIT_STGI]		= { "stgi", mhv_exit_undefined },
	[SVM_EXIT_CLGI]		= { "clgi", mhv_exit_undefined },
	[SVM_EXIT_SKINIT]	= { "skinit", mhv_exit_undefined },
	[SVM_EXIT_WBINVD]	= { "wbinvd", mhv_exit_nop, { 0x090f, 2 } },
	[SVM_EXIT_MONITOR]	= { "monitor", mhv_exit_mwait, { 0xc8010f, 3 } },
	[SVM_EXIT_MWAIT]	= { "mwait", mhv_exit_mwait, { 0xc9010f, 3 } },
	[SVM_EXIT_XSETBV]	= { "xsetbv", mhv_exit_xsetbv, { 0xd1010f, 3 } },
	[SVM_EXIT_RDTSCP]	= { "rdtscp", mhv_exit_undefined },
	[SVM_EXIT_RDPRU]	= { "rdpru", mhv_exit_undefined },
	[SVM_EXIT_INVPCID]	= { "invpcid", mhv_exit_undefined },
};

static const struct svm_exit svm_exit_npf = { "npf", exit_npf };

static const struct svm_exit *svm_exit_row(u32 code)
{
	if (code == SVM_EXIT_NPF)
		return &svm_exit_npf;
	if (code >= ARRAY_SIZE(svm_exits))
		return NULL;
	return &svm_exits[array_index_nospec(code, ARRAY_SIZE(svm_exits))];
}

/**
 * svm_handle_exit() - handle_exit of the ops table
 * @vcpu: the vCPU
 *
 * Return: MHV_RESUME, MHV_USER or -errno.
 */
int svm_handle_exit(struct mhv_vcpu *vcpu)
{
	u32 code = to_svm(vcpu)->vmcb->control.exit_code;
	const struct svm_exit *row;

	/* Not in the table of codes from 0 on, so called as what it is. */
	if (code == SVM_EXIT_NPF)
		return exit_npf(vcpu);
	row = svm_exit_row(code);
	if (unlikely(!row || !row->handle)) {
		if (code == (u32)SVM_EXIT_ERR)
			return mhv_exit_entry_failed(vcpu, code);
		return mhv_exit_unknown(vcpu, code);
	}
	return row->handle(vcpu);
}

/**
 * svm_exit_reason() - exit_reason of the ops table
 * @vcpu: the vCPU
 * @name: result: the exit code's name
 * @info1: result: EXITINFO1
 * @info2: result: EXITINFO2
 *
 * Return: the exit code.
 */
u32 svm_exit_reason(struct mhv_vcpu *vcpu, const char **name, u64 *info1, u64 *info2)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	const struct svm_exit *row = svm_exit_row(c->exit_code);

	*name = row && row->name ? row->name : "unknown";
	*info1 = c->exit_info_1;
	*info2 = c->exit_info_2;
	return c->exit_code;
}

/**
 * svm_expected_opcode() - the instruction that gave the last exit
 * @c: of the vCPU
 *
 * Return: its bytes without prefixes; length 0 if they differ from case to case.
 */
struct mhv_opcode svm_expected_opcode(const struct vmcb_control_area *c)
{
	const struct svm_exit *row = svm_exit_row(c->exit_code);

	if (c->exit_code == SVM_EXIT_MSR && c->exit_info_1)
		return (struct mhv_opcode){ 0x300f, 2 };	/* WRMSR */
	return row ? row->opcode : (struct mhv_opcode){};
}
