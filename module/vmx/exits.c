// SPDX-License-Identifier: GPL-2.0
/*
 * From the VMCS's exit reason to a service of the core: one row per reason.
 * Entered from the run loop after each exit, interrupts and preemption on.
 * vcpu->mutex held; no other lock.
 * Intel SDM volume 3, "VM Exits"; appendix "VMX Basic Exit Reasons"; per
 * reason, "Exit Qualification".
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <asm/cpu.h>
#include <asm/debugreg.h>

#include "vmx.h"

struct vmx_exit {
	const char *name;
	int (*handle)(struct mhv_vcpu *vcpu);
};

/* Bit 12, of an EPT violation's qualification and of what VM_EXIT_INTR_INFO has. */
#define IRET_UNBLOCKED_NMI	BIT(12)

/*
 * An IRET unmasks NMIs before anything else, and then may fault: it is to be
 * executed again, so they are to be masked again.  Not while an event was
 * being delivered: then the bit says nothing.
 */
static void renew_nmi_masking(struct mhv_vcpu *vcpu, u64 info)
{
	if (likely(!(info & IRET_UNBLOCKED_NMI)) ||
	    to_vmx(vcpu)->idt_info & VECTORING_INFO_VALID_MASK)
		return;
	mhv_state_change(vcpu, MHV_G_INTR);
	vcpu->state.nmi_masked = true;
}

static int exit_io(struct mhv_vcpu *vcpu)
{
	u32 info = vmcs_read(EXIT_QUALIFICATION);
	struct mhv_pio *pio = &vcpu->pio;

	if (info & BIT(4))
		return mhv_exit_string_pio(vcpu);
	pio->next_rip = vcpu->state.rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	pio->port = info >> 16;
	pio->size = (info & 7) + 1;
	pio->in = info & BIT(3);
	return mhv_exit_pio(vcpu);
}

/*
 * What the access was in the low bits; what the entry permitted in the next
 * three.  Bit 7: there was a linear address, whose translation the access was
 * if bit 8 is set; otherwise it was the CPU's, to the guest's tables.
 */
static int exit_ept_violation(struct mhv_vcpu *vcpu)
{
	u64 info = vmcs_read(EXIT_QUALIFICATION);
	struct mhv_npf_exit npf = {
		.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS),
	};

	renew_nmi_masking(vcpu, info);
	if (info & EPT_VIOLATION_RWX_MASK)
		npf.access |= MHV_ACC_PRESENT;
	if (info & EPT_VIOLATION_ACC_WRITE)
		npf.access |= MHV_ACC_WRITE;
	if (info & EPT_VIOLATION_ACC_INSTR)
		npf.access |= MHV_ACC_FETCH;
	if (info & EPT_VIOLATION_GVA_IS_VALID && !(info & EPT_VIOLATION_GVA_TRANSLATED))
		npf.access |= MHV_ACC_GUEST_TABLE;
	return mhv_exit_npf(vcpu, &npf);
}

/* The tables have an entry that the format does not allow. */
static int exit_ept_misconfig(struct mhv_vcpu *vcpu)
{
	MHV_BUG_ON(true, vcpu->vm);
	return MHV_RESUME;
}

static int exit_cr(struct mhv_vcpu *vcpu)
{
	u64 info = vmcs_read(EXIT_QUALIFICATION);
	unsigned int cr = info & 15;
	unsigned int gpr = (info >> 8) & 15;
	u64 cr0;

	switch ((info >> 4) & 3) {
	case 0:
		return mhv_exit_cr_write(vcpu, cr, vcpu->state.gpr[gpr]);
	case 1:
		return mhv_exit_cr_read(vcpu, cr, gpr);
	case 2:		/* CLTS */
		mhv_state_need(vcpu, MHV_G_CR);
		return mhv_exit_cr_write(vcpu, 0, vcpu->state.cr0 & ~(u64)X86_CR0_TS);
	default:	/* LMSW: the low four bits, and PE can only be set */
		mhv_state_need(vcpu, MHV_G_CR);
		cr0 = vcpu->state.cr0 & ~(u64)(X86_CR0_MP | X86_CR0_EM | X86_CR0_TS);
		return mhv_exit_cr_write(vcpu, 0, cr0 | ((info >> LMSW_SOURCE_DATA_SHIFT) & 15));
	}
}

/*
 * Unlike others, this exit comes before the CPU looks at the privilege level,
 * or at CR4.DE.
 */
static int exit_dr(struct mhv_vcpu *vcpu)
{
	u32 info = vmcs_read(EXIT_QUALIFICATION);
	unsigned int dr = info & DEBUG_REG_ACCESS_NUM;

	if (!vcpu->guest_debug) {
		to_vmx(vcpu)->dr_lent = true;	/* and the access is repeated */
		return MHV_RESUME;
	}
	mhv_state_need(vcpu, MHV_G_CR);
	if ((dr == 4 || dr == 5) && vcpu->state.cr4 & X86_CR4_DE)
		return mhv_exit_undefined(vcpu);
	if (mhv_cpl(vcpu)) {
		mhv_queue_exception_e(vcpu, X86_TRAP_GP, 0);
		return MHV_RESUME;
	}
	if (mhv_exit_dr_detect(vcpu) == MHV_USER)
		return MHV_USER;
	return mhv_exit_dr(vcpu, dr, DEBUG_REG_ACCESS_REG(info),
			   !(info & DEBUG_REG_ACCESS_TYPE));
}

/* INT1 exits before it is done, and returns behind itself; the others are faults or traps. */
static int exit_db(struct mhv_vcpu *vcpu, u32 intr)
{
	struct mhv_event ev = {
		.type = MHV_EV_EXCEPTION,
		.vector = X86_TRAP_DB,
		.has_payload = true,
		.payload = vmcs_read(EXIT_QUALIFICATION) & (DR_TRAP_BITS | DR_STEP | DR6_BD),
	};

	if ((intr & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		mhv_exit_behind(vcpu, vcpu->state.rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
	return mhv_exit_exception(vcpu, &ev);
}

/*
 * A host that wants to know of locks that span two cache lines is told by #AC,
 * of guests as well.  It is the guest's own only if it has asked for that.
 */
static bool ac_is_host(struct mhv_vcpu *vcpu)
{
	if (!boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT))
		return false;
	mhv_state_need(vcpu, MHV_G_CR);
	return mhv_cpl(vcpu) != 3 || !(vcpu->state.cr0 & X86_CR0_AM) ||
	       !(vcpu->state.rflags & X86_EFLAGS_AC);
}

/* The exceptions that are intercepted; and NMIs, which vmx_run() gave to the host. */
static int exit_exception(struct mhv_vcpu *vcpu)
{
	u32 intr = to_vmx(vcpu)->exit_intr;
	struct mhv_event ev = {
		.type = MHV_EV_EXCEPTION,
		.vector = intr & INTR_INFO_VECTOR_MASK,
		.has_error = intr & INTR_INFO_DELIVER_CODE_MASK,
	};

	if ((intr & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		vcpu->stat.nmi_exits++;
		return MHV_RESUME;
	}
	renew_nmi_masking(vcpu, intr);
	if (ev.has_error)
		ev.error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	switch (ev.vector) {
	case X86_TRAP_MC:
		return MHV_RESUME;	/* vmx_run() gave it to the host */
	case X86_TRAP_DB:
		return exit_db(vcpu, intr);
	case X86_TRAP_AC:
		if (ac_is_host(vcpu) && handle_guest_split_lock(vcpu->state.rip))
			return MHV_RESUME;
		break;
	}
	return mhv_exit_exception(vcpu, &ev);
}

/* The host's own signals between CPUs: done by now. */
static int exit_host(struct mhv_vcpu *vcpu)
{
	return MHV_RESUME;
}

/*
 * The CPU always leaves task switches to us.  The qualification has selector
 * and reason.  An instruction is behind it unless an event was
 * being delivered that is none's.
 */
static int exit_task_switch(struct mhv_vcpu *vcpu)
{
	u32 info = vmcs_read(EXIT_QUALIFICATION), event = vmcs_read(IDT_VECTORING_INFO_FIELD);
	u32 type = event & VECTORING_INFO_TYPE_MASK;
	bool delivered = event & VECTORING_INFO_VALID_MASK &&
			 (type == INTR_TYPE_HARD_EXCEPTION || type == INTR_TYPE_EXT_INTR ||
			  type == INTR_TYPE_NMI_INTR);
	struct mhv_task_exit task = {
		.selector = info,
		.reason = info >> 30,
		.skip = !delivered,
		.has_error = delivered && event & VECTORING_INFO_DELIVER_CODE_MASK,
	};

	if (task.has_error)
		task.error = vmcs_read(IDT_VECTORING_ERROR_CODE);
	return mhv_exit_task_switch(vcpu, &task);
}

/* Of CPUs with TDX, whether or not it is used; the kernel has no names for them. */
#define EXIT_REASON_SEAMCALL_	76
#define EXIT_REASON_TDCALL_	77

/* Reasons that one instruction of a guest has, which it is told not to have. */
#define UNDEFINED(name)		{ name, mhv_exit_undefined }

static const struct vmx_exit vmx_exits[] = {
	[EXIT_REASON_EXCEPTION_NMI]	= { "exception", exit_exception },
	[EXIT_REASON_EXTERNAL_INTERRUPT] = { "interrupt", mhv_exit_interrupt },
	[EXIT_REASON_TRIPLE_FAULT]	= { "shutdown", mhv_exit_shutdown },
	[EXIT_REASON_INIT_SIGNAL]	= { "init", exit_host },
	[EXIT_REASON_SIPI_SIGNAL]	= { "sipi", exit_host },
	[EXIT_REASON_INTERRUPT_WINDOW]	= { "interrupt_window", mhv_exit_window },
	[EXIT_REASON_NMI_WINDOW]	= { "nmi_window", mhv_exit_window },
	[EXIT_REASON_TASK_SWITCH]	= { "task_switch", exit_task_switch },
	[EXIT_REASON_CPUID]		= { "cpuid", mhv_exit_cpuid },
	[EXIT_REASON_HLT]		= { "hlt", mhv_exit_hlt },
	[EXIT_REASON_INVD]		= { "invd", mhv_exit_nop },
	[EXIT_REASON_RDPMC]		= { "rdpmc", mhv_exit_emulate },
	[EXIT_REASON_VMCALL]		= { "hypercall", mhv_exit_hypercall },
	[EXIT_REASON_VMCLEAR]		= UNDEFINED("vmclear"),
	[EXIT_REASON_VMLAUNCH]		= UNDEFINED("vmlaunch"),
	[EXIT_REASON_VMPTRLD]		= UNDEFINED("vmptrld"),
	[EXIT_REASON_VMPTRST]		= UNDEFINED("vmptrst"),
	[EXIT_REASON_VMREAD]		= UNDEFINED("vmread"),
	[EXIT_REASON_VMRESUME]		= UNDEFINED("vmresume"),
	[EXIT_REASON_VMWRITE]		= UNDEFINED("vmwrite"),
	[EXIT_REASON_VMOFF]		= UNDEFINED("vmxoff"),
	[EXIT_REASON_VMON]		= UNDEFINED("vmxon"),
	[EXIT_REASON_INVEPT]		= UNDEFINED("invept"),
	[EXIT_REASON_INVVPID]		= UNDEFINED("invvpid"),
	[EXIT_REASON_VMFUNC]		= UNDEFINED("vmfunc"),
	[EXIT_REASON_ENCLS]		= UNDEFINED("encls"),
	[EXIT_REASON_RDRAND]		= UNDEFINED("rdrand"),
	[EXIT_REASON_RDSEED]		= UNDEFINED("rdseed"),
	[EXIT_REASON_CR_ACCESS]		= { "cr", exit_cr },
	[EXIT_REASON_DR_ACCESS]		= { "dr", exit_dr },
	[EXIT_REASON_IO_INSTRUCTION]	= { "io", exit_io },
	[EXIT_REASON_MSR_READ]		= { "rdmsr", mhv_exit_rdmsr },
	[EXIT_REASON_MSR_WRITE]		= { "wrmsr", mhv_exit_wrmsr },
	[EXIT_REASON_MWAIT_INSTRUCTION]	= { "mwait", mhv_exit_mwait },
	[EXIT_REASON_MONITOR_INSTRUCTION] = { "monitor", mhv_exit_mwait },
	[EXIT_REASON_PAUSE_INSTRUCTION]	= { "pause", mhv_exit_pause },
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = { "tpr", mhv_exit_tpr },
	[EXIT_REASON_GDTR_IDTR]		= { "gdtr_idtr", mhv_exit_emulate },
	[EXIT_REASON_LDTR_TR]		= { "ldtr_tr", mhv_exit_emulate },
	[EXIT_REASON_EPT_VIOLATION]	= { "npf", exit_ept_violation },
	[EXIT_REASON_EPT_MISCONFIG]	= { "misconfig", exit_ept_misconfig },
	[EXIT_REASON_WBINVD]		= { "wbinvd", mhv_exit_nop },
	[EXIT_REASON_XSETBV]		= { "xsetbv", mhv_exit_xsetbv },
	[EXIT_REASON_SEAMCALL_]		= UNDEFINED("seamcall"),
	[EXIT_REASON_TDCALL_]		= UNDEFINED("tdcall"),
};

static const struct vmx_exit *vmx_exit_row(u32 reason)
{
	if (reason >= ARRAY_SIZE(vmx_exits))
		return NULL;
	return &vmx_exits[array_index_nospec(reason, ARRAY_SIZE(vmx_exits))];
}

/**
 * vmx_handle_exit() - handle_exit of the ops table
 * @vcpu: the vCPU
 *
 * A failed entry has bit 31 set, and the reason in the others; or, if there
 * was no exit at all, there is an error number in a field of its own.
 *
 * Return: MHV_RESUME, MHV_USER or -errno.
 */
int vmx_handle_exit(struct mhv_vcpu *vcpu)
{
	u32 reason = to_vmx(vcpu)->exit_reason;
	const struct vmx_exit *row = vmx_exit_row(reason);

	if (unlikely(!row || !row->handle)) {
		if (reason == VMX_EXIT_REASONS_FAILED_VMENTRY)
			return mhv_exit_entry_failed(vcpu, to_vmx(vcpu)->error);
		if (reason & VMX_EXIT_REASONS_FAILED_VMENTRY)
			return mhv_exit_entry_failed(vcpu, reason);
		return mhv_exit_unknown(vcpu, reason);
	}
	return row->handle(vcpu);
}

/**
 * vmx_exit_reason() - exit_reason of the ops table
 * @vcpu: the vCPU
 * @name: result: the reason's name
 * @info1: result: the exit qualification
 * @info2: result: the guest-physical address
 *
 * Return: the exit reason.
 */
u32 vmx_exit_reason(struct mhv_vcpu *vcpu, const char **name, u64 *info1, u64 *info2)
{
	u32 reason = to_vmx(vcpu)->exit_reason;
	const struct vmx_exit *row = vmx_exit_row(reason);

	*name = row && row->name ? row->name : "unknown";
	*info1 = vmcs_read(EXIT_QUALIFICATION);
	*info2 = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	return reason;
}
