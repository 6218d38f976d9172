// SPDX-License-Identifier: GPL-2.0
/*
 * Why an entry failed before there was one: the CPU's checks of controls and of
 * host state, in its order, as far as they concern what is used here.
 * Entered from vmx_dump(), after a VMLAUNCH or VMRESUME that failed.
 * vcpu->mutex held, the vCPU loaded; no other lock.
 * Intel SDM volume 3, "VM Entries": "Checks on VM-Execution Control Fields" and the
 * two sections after it, "Checks on Host Control Registers, MSRs, and SSP" and the
 * two after that.
 */
#include <linux/align.h>
#include <asm/processor-flags.h>

#include "vmx.h"

/* A control that must be off, or on, while another one is. */
static const struct {
	u8 if_word, if_on, word, on;
	u32 if_bit, bit;
	const char *what;
} rules[] = {
	{ VMX_PIN, false, VMX_PIN, false, PIN_BASED_NMI_EXITING, PIN_BASED_VIRTUAL_NMIS,
	  "virtual NMIs without NMI exiting" },
	{ VMX_PIN, false, VMX_PROC, false, PIN_BASED_VIRTUAL_NMIS, CPU_BASED_NMI_WINDOW_EXITING,
	  "NMI-window exiting without virtual NMIs" },
	{ VMX_PROC, false, VMX_PROC2, false, CPU_BASED_TPR_SHADOW,
	  SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, "virtual x2APIC mode without TPR shadow" },
	{ VMX_PROC, false, VMX_PROC2, false, CPU_BASED_TPR_SHADOW,
	  SECONDARY_EXEC_APIC_REGISTER_VIRT, "APIC-register virtualization without TPR shadow" },
	{ VMX_PROC, false, VMX_PROC2, false, CPU_BASED_TPR_SHADOW,
	  SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY, "virtual-interrupt delivery without TPR shadow" },
	{ VMX_PROC2, true, VMX_PROC2, false, SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE,
	  SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES, "virtual APIC accesses in x2APIC mode" },
	{ VMX_PROC2, true, VMX_PIN, true, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY,
	  PIN_BASED_EXT_INTR_MASK,
	  "virtual-interrupt delivery without external-interrupt exiting" },
	{ VMX_PIN, true, VMX_PROC2, true, PIN_BASED_POSTED_INTR,
	  SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY,
	  "posted interrupts without virtual-interrupt delivery" },
	{ VMX_PIN, true, VMX_EXIT, true, PIN_BASED_POSTED_INTR, VM_EXIT_ACK_INTR_ON_EXIT,
	  "posted interrupts without acknowledgment on exit" },
	{ VMX_PROC2, false, VMX_PROC2, false, SECONDARY_EXEC_ENABLE_EPT, SECONDARY_EXEC_ENABLE_PML,
	  "page-modification log without EPT" },
	{ VMX_PROC2, false, VMX_PROC2, false, SECONDARY_EXEC_ENABLE_EPT,
	  SECONDARY_EXEC_UNRESTRICTED_GUEST, "unrestricted guest without EPT" },
	{ VMX_PIN, false, VMX_EXIT, false, PIN_BASED_VMX_PREEMPTION_TIMER,
	  VM_EXIT_SAVE_VMX_PREEMPTION_TIMER, "save preemption timer without the timer" },
};

/* A field with a physical address, of something aligned, that counts while a control is on. */
static const struct {
	u8 word;
	u32 bit, field, align;
	const char *what;
} addresses[] = {
	{ VMX_PROC, CPU_BASED_USE_IO_BITMAPS, IO_BITMAP_A, PAGE_SIZE, "I/O bitmap A: address" },
	{ VMX_PROC, CPU_BASED_USE_IO_BITMAPS, IO_BITMAP_B, PAGE_SIZE, "I/O bitmap B: address" },
	{ VMX_PROC, CPU_BASED_USE_MSR_BITMAPS, MSR_BITMAP, PAGE_SIZE, "MSR bitmap: address" },
	{ VMX_PROC, CPU_BASED_TPR_SHADOW, VIRTUAL_APIC_PAGE_ADDR, PAGE_SIZE,
	  "virtual-APIC page: address" },
	{ VMX_PROC2, SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES, APIC_ACCESS_ADDR, PAGE_SIZE,
	  "APIC-access page: address" },
	{ VMX_PROC2, SECONDARY_EXEC_ENABLE_PML, PML_ADDRESS, PAGE_SIZE,
	  "page-modification log: address" },
};

/* The areas of MSRs: as many entries as the count says, and none of them if it is 0. */
static const struct {
	u32 count, field;
	const char *what;
} areas[] = {
	{ VM_EXIT_MSR_STORE_COUNT, VM_EXIT_MSR_STORE_ADDR, "exit MSR-store area: address" },
	{ VM_EXIT_MSR_LOAD_COUNT, VM_EXIT_MSR_LOAD_ADDR, "exit MSR-load area: address" },
	{ VM_ENTRY_MSR_LOAD_COUNT, VM_ENTRY_MSR_LOAD_ADDR, "entry MSR-load area: address" },
};

static const struct {
	u32 field;
	bool null;	/* may it be null? */
	const char *what;
} host_selectors[] = {
	{ HOST_CS_SELECTOR, false, "host CS" }, { HOST_SS_SELECTOR, true, "host SS" },
	{ HOST_DS_SELECTOR, true, "host DS" }, { HOST_ES_SELECTOR, true, "host ES" },
	{ HOST_FS_SELECTOR, true, "host FS" }, { HOST_GS_SELECTOR, true, "host GS" },
	{ HOST_TR_SELECTOR, false, "host TR" },
};

static const struct {
	u32 field;
	const char *what;
} host_linear[] = {
	{ HOST_IA32_SYSENTER_ESP, "host SYSENTER_ESP: not canonical" },
	{ HOST_IA32_SYSENTER_EIP, "host SYSENTER_EIP: not canonical" },
	{ HOST_FS_BASE, "host FS: base not canonical" },
	{ HOST_GS_BASE, "host GS: base not canonical" },
	{ HOST_GDTR_BASE, "host GDTR: base not canonical" },
	{ HOST_IDTR_BASE, "host IDTR: base not canonical" },
	{ HOST_TR_BASE, "host TR: base not canonical" },
	{ HOST_RIP, "host RIP: not canonical" },
};

static bool address_fits(u64 addr, u32 align, const struct vmx_limits *lim)
{
	return IS_ALIGNED(addr, align) && !(addr >> lim->phys_bits);
}

/* Bits that the CPU wants set or clear in a word: the first of them by its name. */
static bool check_words(const struct vmx_limits *lim, const u32 *ctl, struct vmx_refusal *why)
{
	unsigned int word;
	u32 bad;

	for (word = 0; word < VMX_NR_WORDS; word++) {
		if (word == VMX_PROC2 && !(ctl[VMX_PROC] & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS))
			continue;
		bad = (lim->must[word] & ~ctl[word]) | (ctl[word] & ~lim->may[word]);
		if (!bad)
			continue;
		*why = (struct vmx_refusal){ vmx_control_name(word, bad), bad };
		return true;
	}
	return false;
}

static bool check_rules(const u32 *ctl, struct vmx_refusal *why)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		if (!!(ctl[rules[i].if_word] & rules[i].if_bit) != rules[i].if_on ||
		    !!(ctl[rules[i].word] & rules[i].bit) == rules[i].on)
			continue;
		*why = (struct vmx_refusal){ rules[i].what, rules[i].bit };
		return true;
	}
	return false;
}

static bool check_addresses(const struct vmx_limits *lim, const u32 *ctl, struct vmx_refusal *why)
{
	unsigned int i;
	u64 addr, count;

	for (i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (!(ctl[addresses[i].word] & addresses[i].bit))
			continue;
		addr = vmcs_read(addresses[i].field);
		*why = (struct vmx_refusal){ addresses[i].what, addr };
		if (!address_fits(addr, addresses[i].align, lim))
			return true;
	}
	for (i = 0; i < ARRAY_SIZE(areas); i++) {
		count = vmcs_read(areas[i].count);
		if (!count)
			continue;
		addr = vmcs_read(areas[i].field);
		*why = (struct vmx_refusal){ areas[i].what, addr };
		if (!address_fits(addr, 16, lim) ||
		    (addr + count * sizeof(struct vmx_msr_entry) - 1) >> lim->phys_bits)
			return true;
	}
	return false;
}

static const char *check_eptp(const struct vmx_limits *lim, u64 eptp)
{
	u64 type = eptp & VMX_EPTP_MT_MASK, walk = eptp & VMX_EPTP_PWL_MASK;

	if (!(type == VMX_EPTP_MT_UC && lim->ept & VMX_EPTP_UC_BIT) &&
	    !(type == VMX_EPTP_MT_WB && lim->ept & VMX_EPTP_WB_BIT))
		return "EPT pointer: memory type";
	if (!(walk == VMX_EPTP_PWL_4 && lim->ept & VMX_EPT_PAGE_WALK_4_BIT) &&
	    !(walk == VMX_EPTP_PWL_5 && lim->ept & VMX_EPT_PAGE_WALK_5_BIT))
		return "EPT pointer: length of the walk";
	if (eptp & VMX_EPTP_AD_ENABLE_BIT && !(lim->ept & VMX_EPT_AD_BIT))
		return "EPT pointer: accessed and dirty bits";
	if (eptp & 0xf80 || eptp >> lim->phys_bits)
		return "EPT pointer: reserved bits, or address";
	return NULL;
}

/* Fields that are values, not addresses. */
static bool check_values(const struct vmx_limits *lim, const u32 *ctl, u8 tpr,
			 struct vmx_refusal *why)
{
	u64 val;

	val = vmcs_read(CR3_TARGET_COUNT);
	*why = (struct vmx_refusal){ "CR3-target count", val };
	if (val > lim->cr3_targets)
		return true;
	if (ctl[VMX_PROC] & CPU_BASED_TPR_SHADOW &&
	    !(ctl[VMX_PROC2] & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)) {
		val = vmcs_read(TPR_THRESHOLD);
		*why = (struct vmx_refusal){ "TPR threshold", val };
		if (val > 15 || (!(ctl[VMX_PROC2] & SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES) &&
				 val > tpr >> 4))
			return true;
	}
	if (ctl[VMX_PROC2] & SECONDARY_EXEC_ENABLE_VPID) {
		*why = (struct vmx_refusal){ "VPID", 0 };
		if (!vmcs_read(VIRTUAL_PROCESSOR_ID))
			return true;
	}
	if (ctl[VMX_PROC2] & SECONDARY_EXEC_ENABLE_EPT) {
		val = vmcs_read(EPT_POINTER);
		*why = (struct vmx_refusal){ check_eptp(lim, val), val };
		if (why->what)
			return true;
	}
	if (ctl[VMX_PROC2] & SECONDARY_EXEC_TSC_SCALING) {
		*why = (struct vmx_refusal){ "TSC multiplier", 0 };
		if (!vmcs_read(TSC_MULTIPLIER))
			return true;
	}
	return false;
}

/* Exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC. */
#define HAS_ERROR_CODE	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17))

static const char *check_injection(const struct vmx_limits *lim, u32 info)
{
	u32 type = info & INTR_INFO_INTR_TYPE_MASK, vector = info & INTR_INFO_VECTOR_MASK;
	bool code = info & INTR_INFO_DELIVER_CODE_MASK;
	bool exception = type == INTR_TYPE_HARD_EXCEPTION;
	u64 len;

	if (type == INTR_TYPE_RESERVED || info & INTR_INFO_RESVD_BITS_MASK)
		return "injected event: type, or reserved bits";
	if ((type == INTR_TYPE_NMI_INTR && vector != 2) || (exception && vector > 31) ||
	    (type == INTR_TYPE_OTHER_EVENT && vector))
		return "injected event: vector";
	/* A CPU that does not care says so. */
	if (code && (!exception || !(vmcs_read(GUEST_CR0) & X86_CR0_PE)))
		return "injected event: an error code in real mode, or of no exception";
	if (!lim->any_error_code && exception && vmcs_read(GUEST_CR0) & X86_CR0_PE &&
	    code != !!(HAS_ERROR_CODE & BIT(vector)))
		return "injected event: an error code where there is none, or none";
	if (code && vmcs_read(VM_ENTRY_EXCEPTION_ERROR_CODE) >> 16)
		return "injected event: reserved bits of the error code";
	if (type != INTR_TYPE_SOFT_INTR && type != INTR_TYPE_PRIV_SW_EXCEPTION &&
	    type != INTR_TYPE_SOFT_EXCEPTION)
		return NULL;
	len = vmcs_read(VM_ENTRY_INSTRUCTION_LEN);
	return len > 15 || (!len && !lim->zero_len) ? "injected event: instruction length" : NULL;
}

/**
 * vmx_check_controls() - the first control that the CPU refuses
 * @lim: what this CPU allows
 * @tpr: the guest's, on its virtual-APIC page
 * @injected: what was to be injected, as in VM_ENTRY_INTR_INFO_FIELD
 *
 * Return: what it is, and its value or bits; NULL and 0 if nothing was found.
 */
struct vmx_refusal vmx_check_controls(const struct vmx_limits *lim, u8 tpr, u32 injected)
{
	u32 ctl[VMX_NR_WORDS] = {
		[VMX_PIN] = vmcs_read(PIN_BASED_VM_EXEC_CONTROL),
		[VMX_PROC] = vmcs_read(CPU_BASED_VM_EXEC_CONTROL),
		[VMX_EXIT] = vmcs_read(VM_EXIT_CONTROLS),
		[VMX_ENTRY] = vmcs_read(VM_ENTRY_CONTROLS),
	};
	struct vmx_refusal why;

	if (ctl[VMX_PROC] & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		ctl[VMX_PROC2] = vmcs_read(SECONDARY_VM_EXEC_CONTROL);
	if (check_words(lim, ctl, &why) || check_rules(ctl, &why) ||
	    check_values(lim, ctl, tpr, &why) || check_addresses(lim, ctl, &why))
		return why;
	why = (struct vmx_refusal){ NULL, injected };
	if (injected & INTR_INFO_VALID_MASK)
		why.what = check_injection(lim, injected);
	if (!why.what)
		why.value = 0;
	return why;
}

static bool pat_fits(u64 pat)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8)
		if (!(BIT((pat >> i) & 7) & 0xf3) || (pat >> i) & 0xf8)
			return false;
	return true;
}

static struct vmx_refusal check_host_registers(const struct vmx_limits *lim)
{
	u64 cr0 = vmcs_read(HOST_CR0), cr3 = vmcs_read(HOST_CR3), cr4 = vmcs_read(HOST_CR4);
	u64 exit = vmcs_read(VM_EXIT_CONTROLS), val;

	if (lim->cr0_must & ~cr0 || cr0 & ~lim->cr0_may)
		return (struct vmx_refusal){ "host CR0", cr0 };
	if (lim->cr4_must & ~cr4 || cr4 & ~lim->cr4_may)
		return (struct vmx_refusal){ "host CR4", cr4 };
	if (cr3 >> lim->phys_bits)
		return (struct vmx_refusal){ "host CR3", cr3 };
	val = vmcs_read(HOST_IA32_PAT);
	if (exit & VM_EXIT_LOAD_IA32_PAT && !pat_fits(val))
		return (struct vmx_refusal){ "host PAT", val };
	val = vmcs_read(HOST_IA32_EFER);
	if (exit & VM_EXIT_LOAD_IA32_EFER &&
	    (val & (EFER_LMA | EFER_LME)) != (EFER_LMA | EFER_LME))
		return (struct vmx_refusal){ "host EFER: no long mode", val };
	if (!(exit & VM_EXIT_HOST_ADDR_SPACE_SIZE) || !(cr4 & X86_CR4_PAE))
		return (struct vmx_refusal){ "64-bit host: exit control, or host CR4.PAE", cr4 };
	return (struct vmx_refusal){};
}

/**
 * vmx_check_host() - the first field of the host state that the CPU refuses
 * @lim: what this CPU allows
 *
 * Return: as vmx_check_controls().
 */
struct vmx_refusal vmx_check_host(const struct vmx_limits *lim)
{
	struct vmx_refusal why = check_host_registers(lim);
	unsigned int i;
	u64 val;

	for (i = 0; !why.what && i < ARRAY_SIZE(host_selectors); i++) {
		val = vmcs_read(host_selectors[i].field);
		if (val & 7 || (!val && !host_selectors[i].null))
			why = (struct vmx_refusal){ host_selectors[i].what, val };
	}
	for (i = 0; !why.what && i < ARRAY_SIZE(host_linear); i++) {
		val = vmcs_read(host_linear[i].field);
		if (!__is_canonical_address(val, lim->virt_bits))
			why = (struct vmx_refusal){ host_linear[i].what, val };
	}
	return why;
}
