// SPDX-License-Identifier: GPL-2.0
/*
 * Why the CPU refused an entry: the checks that it makes of the guest's state,
 * one after another (check_control.c has the others); and what is said of it.
 * Entered from the core through dump(), after a refused entry.
 * vcpu->mutex held, the vCPU loaded; no other lock.
 * Intel SDM volume 3, "VM Entries": "Checks on the Guest State Area"; "VM
 * Instruction Error Numbers".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <asm/processor-flags.h>

#include "vmx.h"

/* What several checks look at. */
struct guest {
	u64 cr0, cr3, cr4, efer, rflags, rip;
	u32 entry, intr, blocked, pending;
	bool long_mode, v86;
};

static void read_guest(struct guest *g, u32 injected)
{
	g->cr0 = vmcs_read(GUEST_CR0);
	g->cr3 = vmcs_read(GUEST_CR3);
	g->cr4 = vmcs_read(GUEST_CR4);
	g->efer = vmcs_read(GUEST_IA32_EFER);
	g->rflags = vmcs_read(GUEST_RFLAGS);
	g->rip = vmcs_read(GUEST_RIP);
	g->entry = vmcs_read(VM_ENTRY_CONTROLS);
	g->intr = injected;
	g->blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	g->pending = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS);
	g->long_mode = g->entry & VM_ENTRY_IA32E_MODE;
	g->v86 = g->rflags & X86_EFLAGS_VM;
}

static bool canonical(u64 addr)
{
	return __is_canonical_address(addr, boot_cpu_data.x86_virt_bits);
}

/* Control registers, EFER, debug registers, and the MSRs of SYSENTER. */
static const char *check_registers(const struct vmx_limits *lim, const struct guest *g)
{
	if (g->cr0 & X86_CR0_PG && !(g->cr0 & X86_CR0_PE))
		return "CR0: paging without protection";
	if (g->cr0 >> 32)
		return "CR0: reserved bits";
	if (g->cr4 & ~lim->cr4_may)
		return "CR4: bits that the CPU lacks";
	if (g->long_mode && !(g->cr0 & X86_CR0_PG && g->cr4 & X86_CR4_PAE))
		return "long mode without paging, or without CR4.PAE";
	if (!g->long_mode && g->cr4 & X86_CR4_PCIDE)
		return "CR4.PCIDE outside of long mode";
	if (g->cr3 >> lim->phys_bits)
		return "CR3: address too large";
	if (!!(g->efer & EFER_LMA) != g->long_mode)
		return "EFER.LMA is not what the entry control says";
	if (g->cr0 & X86_CR0_PG && !(g->efer & EFER_LMA) != !(g->efer & EFER_LME))
		return "EFER.LME without EFER.LMA, while there is paging";
	if (vmcs_read(GUEST_DR7) >> 32)
		return "DR7: reserved bits";
	if (!canonical(vmcs_read(GUEST_SYSENTER_ESP)) || !canonical(vmcs_read(GUEST_SYSENTER_EIP)))
		return "SYSENTER_ESP or SYSENTER_EIP: not canonical";
	return NULL;
}

static const char *check_v86(void)
{
	unsigned int i;

	for (i = 0; i < 12; i += 2) {
		if (vmcs_read(GUEST_ES_BASE + i) != vmcs_read(GUEST_ES_SELECTOR + i) << 4)
			return "a segment's base in virtual-8086 mode";
		if (vmcs_read(GUEST_ES_LIMIT + i) != 0xffff ||
		    vmcs_read(GUEST_ES_AR_BYTES + i) != 0xf3)
			return "a segment's limit or access rights in virtual-8086 mode";
	}
	return NULL;
}

static bool limit_fits(u32 limit, u32 ar)
{
	return ar & VMX_AR_G_MASK ? (limit & 0xfff) == 0xfff : !(limit >> 20);
}

static const char *check_cs_ss(const struct guest *g)
{
	u32 cs = vmcs_read(GUEST_CS_AR_BYTES), ss = vmcs_read(GUEST_SS_AR_BYTES);
	u32 type = cs & VMX_AR_TYPE_MASK;

	if (cs & VMX_AR_UNUSABLE_MASK || !(cs & VMX_AR_P_MASK) || !(cs & VMX_AR_S_MASK))
		return "CS: not present, or a system segment";
	if (type != 3 && !(type & VMX_AR_TYPE_CODE_MASK && type & 1))
		return "CS: type is neither accessed code nor 3";
	if (type == 3 && VMX_AR_DPL(cs))
		return "CS: of data type, and DPL is not 0";
	if ((type == 9 || type == 11) && VMX_AR_DPL(cs) != VMX_AR_DPL(ss))
		return "CS: DPL is not SS's";
	if ((type == 13 || type == 15) && VMX_AR_DPL(cs) > VMX_AR_DPL(ss))
		return "CS: conforming, and DPL is above SS's";
	if (g->long_mode && cs & VMX_AR_L_MASK && cs & VMX_AR_DB_MASK)
		return "CS: both L and D";
	if (cs & VMX_AR_RESERVD_MASK || !limit_fits(vmcs_read(GUEST_CS_LIMIT), cs))
		return "CS: reserved bits, or G does not fit the limit";
	if (vmcs_read(GUEST_CS_BASE) >> 32)
		return "CS: base too large";
	if ((!(g->cr0 & X86_CR0_PE) || type == 3) && VMX_AR_DPL(ss))
		return "SS: DPL is not 0 in real mode";
	if (ss & VMX_AR_UNUSABLE_MASK)
		return NULL;
	type = ss & VMX_AR_TYPE_MASK;
	if (type != 3 && type != 7)
		return "SS: type is not writable accessed data";
	if (!(ss & VMX_AR_P_MASK) || !(ss & VMX_AR_S_MASK) ||
	    !limit_fits(vmcs_read(GUEST_SS_LIMIT), ss) || vmcs_read(GUEST_SS_BASE) >> 32)
		return "SS: not present, a system segment, a wrong G or base";
	return NULL;
}

static const char *check_data(void)
{
	static const char * const names[] = {
		[0] = "ES: type, S, P or G", [6] = "DS: type, S, P or G",
		[8] = "FS: type, S, P or G", [10] = "GS: type, S, P or G",
	};
	unsigned int i;
	u32 ar;

	for (i = 0; i < ARRAY_SIZE(names); i += 2) {
		ar = vmcs_read(GUEST_ES_AR_BYTES + i);
		if (!names[i] || ar & VMX_AR_UNUSABLE_MASK)
			continue;
		if (!(ar & 1) || (ar & VMX_AR_TYPE_CODE_MASK && !(ar & 2)) ||
		    !(ar & VMX_AR_S_MASK) || !(ar & VMX_AR_P_MASK) ||
		    !limit_fits(vmcs_read(GUEST_ES_LIMIT + i), ar))
			return names[i];
	}
	return NULL;
}

static const char *check_system(const struct guest *g)
{
	u32 tr = vmcs_read(GUEST_TR_AR_BYTES), ldtr = vmcs_read(GUEST_LDTR_AR_BYTES);
	u32 type = tr & VMX_AR_TYPE_MASK;

	if (tr & VMX_AR_UNUSABLE_MASK || !(tr & VMX_AR_P_MASK) || tr & VMX_AR_S_MASK ||
	    vmcs_read(GUEST_TR_SELECTOR) & 4)
		return "TR: not present, no system segment, or in the LDT";
	if (type != VMX_AR_TYPE_BUSY_64_TSS && (g->long_mode || type != VMX_AR_TYPE_BUSY_16_TSS))
		return "TR: type is not that of a busy TSS";
	if (!limit_fits(vmcs_read(GUEST_TR_LIMIT), tr) || !canonical(vmcs_read(GUEST_TR_BASE)))
		return "TR: G or base";
	if (!(ldtr & VMX_AR_UNUSABLE_MASK) &&
	    ((ldtr & VMX_AR_TYPE_MASK) != VMX_AR_TYPE_LDT || ldtr & VMX_AR_S_MASK ||
	     !(ldtr & VMX_AR_P_MASK) || !limit_fits(vmcs_read(GUEST_LDTR_LIMIT), ldtr) ||
	     !canonical(vmcs_read(GUEST_LDTR_BASE))))
		return "LDTR: type, S, P, G or base";
	if (!canonical(vmcs_read(GUEST_GDTR_BASE)) || !canonical(vmcs_read(GUEST_IDTR_BASE)) ||
	    vmcs_read(GUEST_GDTR_LIMIT) > 0xffff || vmcs_read(GUEST_IDTR_LIMIT) > 0xffff)
		return "GDTR or IDTR";
	return NULL;
}

/* RIP, RFLAGS, and what is to be injected or is blocked. */
static const char *check_events(const struct guest *g)
{
	u32 cs = vmcs_read(GUEST_CS_AR_BYTES);
	bool in_shadow = g->blocked & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	u32 type = g->intr & INTR_INFO_INTR_TYPE_MASK;

	if (!(g->long_mode && cs & VMX_AR_L_MASK) && g->rip >> 32)
		return "RIP: above 4 GiB outside of 64-bit mode";
	if (g->rflags & ~0x3f7fd7ull || !(g->rflags & X86_EFLAGS_FIXED))
		return "RFLAGS: reserved bits";
	if (g->v86 && (g->long_mode || !(g->cr0 & X86_CR0_PE)))
		return "RFLAGS.VM in long or real mode";
	if (g->intr & INTR_INFO_VALID_MASK && type == INTR_TYPE_EXT_INTR &&
	    (!(g->rflags & X86_EFLAGS_IF) || in_shadow))
		return "an interrupt is injected while RFLAGS.IF or a shadow forbids it";
	if (g->intr & INTR_INFO_VALID_MASK && type == INTR_TYPE_NMI_INTR &&
	    (in_shadow || g->blocked & GUEST_INTR_STATE_NMI))
		return "an NMI is injected while NMIs are blocked";
	if (in_shadow && !!(g->pending & BIT(14)) != !!(g->rflags & X86_EFLAGS_TF))
		return "the pending single step is not what RFLAGS.TF says";
	return NULL;
}

static const char *guest_error(const struct vmx_limits *lim, u32 injected)
{
	const char *why;
	struct guest g;

	read_guest(&g, injected);
	why = check_registers(lim, &g);
	if (!why)
		why = check_events(&g);
	if (!why && g.v86)
		why = check_v86();
	else if (!why)
		why = check_cs_ss(&g);
	if (!why && !g.v86)
		why = check_data();
	if (!why)
		why = check_system(&g);
	return why ?: "a check that is not known here";
}

static const char *instruction_error(u32 error)
{
	static const char * const names[] = {
		[0] = "VMX is off",
		[VMXERR_VMLAUNCH_NONCLEAR_VMCS] = "VMLAUNCH of a VMCS that was launched",
		[VMXERR_VMRESUME_NONLAUNCHED_VMCS] = "VMRESUME of a VMCS that was not launched",
		[VMXERR_VMRESUME_AFTER_VMXOFF] = "VMRESUME after VMXOFF",
		[VMXERR_ENTRY_INVALID_CONTROL_FIELD] = "a control field is invalid",
		[VMXERR_ENTRY_INVALID_HOST_STATE_FIELD] = "a host-state field is invalid",
		[VMXERR_ENTRY_EVENTS_BLOCKED_BY_MOV_SS] = "the host is in a MOV SS shadow",
	};

	return error < ARRAY_SIZE(names) && names[error] ? names[error] : "unknown";
}

/* There was no entry at all: the error tells which checks to look through. */
static struct vmx_refusal no_entry(const struct vmx_limits *lim, const struct vmx_vcpu *vmx)
{
	struct vmx_refusal why = {};

	if (vmx->error == VMXERR_ENTRY_INVALID_CONTROL_FIELD)
		why = vmx_check_controls(lim, *(u8 *)(vmx->apic + APIC_TASKPRI), vmx->exit_intr);
	else if (vmx->error == VMXERR_ENTRY_INVALID_HOST_STATE_FIELD)
		why = vmx_check_host(lim);
	if (!why.what)
		why.what = instruction_error(vmx->error);
	return why;
}

static struct vmx_refusal failure(const struct vmx_vcpu *vmx)
{
	u64 info = vmcs_read(EXIT_QUALIFICATION);
	struct vmx_limits lim;

	vmx_read_limits(&lim);
	switch ((u16)vmx->exit_reason) {
	case 0:
		return no_entry(&lim, vmx);
	case EXIT_REASON_INVALID_STATE:
		return (struct vmx_refusal){ guest_error(&lim, vmx->exit_intr), info };
	case EXIT_REASON_MSR_LOAD_FAIL:
		return (struct vmx_refusal){ "an MSR could not be loaded: which one", info };
	case EXIT_REASON_MCE_DURING_VMENTRY:
		return (struct vmx_refusal){ "a machine check", 0 };
	}
	return (struct vmx_refusal){ "unknown", 0 };
}

/**
 * vmx_dump() - dump of the ops table
 * @vcpu: the vCPU
 */
void vmx_dump(struct mhv_vcpu *vcpu)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct vmx_refusal why;

	if (!__ratelimit(&limit))
		return;
	why = failure(vmx);
	pr_info("vcpu %u: entry refused: exit reason %#x, instruction error %u: %s (%#llx); cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx rflags %#llx rip %#llx cs %#llx/%#llx ss %#llx/%#llx tr %#llx/%#llx pin %#x proc %#x/%#x entry %#x exit %#x inject %#x blocked %#llx\n",
		vcpu->id, vmx->exit_reason, vmx->error, why.what, why.value,
		vmcs_read(GUEST_CR0), vmcs_read(GUEST_CR3), vmcs_read(GUEST_CR4),
		vmcs_read(GUEST_IA32_EFER), vmcs_read(GUEST_RFLAGS),
		vmcs_read(GUEST_RIP),
		vmcs_read(GUEST_CS_SELECTOR), vmcs_read(GUEST_CS_AR_BYTES),
		vmcs_read(GUEST_SS_SELECTOR), vmcs_read(GUEST_SS_AR_BYTES),
		vmcs_read(GUEST_TR_SELECTOR), vmcs_read(GUEST_TR_AR_BYTES),
		vmx->ctl[VMX_PIN], vmx->ctl[VMX_PROC], vmx->ctl[VMX_PROC2],
		vmx->ctl[VMX_ENTRY], vmx->ctl[VMX_EXIT],
		vmx->exit_intr,
		vmcs_read(GUEST_INTERRUPTIBILITY_INFO));
}
