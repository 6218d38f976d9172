// SPDX-License-Identifier: GPL-2.0
/*
 * Which features of VMX this CPU has, and which of them are used.
 * Entered from vmx_supported(), once, at module load.
 * No locks.
 * Intel SDM volume 3, appendix "VMX Capability Reporting Facility".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "vmx.h"

struct vmx_caps vmx_caps;

/* A capability MSR: its lower half has the bits that must be 1, its upper those that may be. */
static const struct {
	const char *name;
	u32 msr;
	u32 true_msr;	/* the same, and tells which "must be 1" need not be */
} words[] = {
	[VMX_PIN]   = { "pin-based", MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS },
	[VMX_PROC]  = { "processor-based", MSR_IA32_VMX_PROCBASED_CTLS,
			MSR_IA32_VMX_TRUE_PROCBASED_CTLS },
	[VMX_PROC2] = { "secondary processor-based", MSR_IA32_VMX_PROCBASED_CTLS2,
			MSR_IA32_VMX_PROCBASED_CTLS2 },
	[VMX_EXIT]  = { "exit", MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS },
	[VMX_ENTRY] = { "entry", MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS },
};

enum need {
	REQUIRED,	/* on; no minihv without */
	WANTED,		/* on where the CPU has it */
	CLEAR,		/* off; no minihv where it cannot be */
};

/*
 * Every bit of the control words that is on at times, or must be able to be off.
 */
static const struct {
	u8 word;
	u8 need;
	bool later;	/* begins off: vmx_control() switches it */
	u32 bit;
	const char *name;
} controls[] = {
	{ VMX_PIN, REQUIRED, false, PIN_BASED_EXT_INTR_MASK, "external-interrupt exiting" },
	{ VMX_PIN, REQUIRED, false, PIN_BASED_NMI_EXITING, "NMI exiting" },
	{ VMX_PIN, REQUIRED, false, PIN_BASED_VIRTUAL_NMIS, "virtual NMIs" },

	{ VMX_PROC, REQUIRED, true, CPU_BASED_INTR_WINDOW_EXITING, "interrupt-window exiting" },
	{ VMX_PROC, REQUIRED, true, CPU_BASED_NMI_WINDOW_EXITING, "NMI-window exiting" },
	{ VMX_PROC, REQUIRED, true, CPU_BASED_CR8_LOAD_EXITING, "CR8-load exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_USE_TSC_OFFSETTING, "TSC offsetting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_HLT_EXITING, "HLT exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_MWAIT_EXITING, "MWAIT exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_MONITOR_EXITING, "MONITOR exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_RDPMC_EXITING, "RDPMC exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_MOV_DR_EXITING, "MOV-DR exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_UNCOND_IO_EXITING, "unconditional I/O exiting" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_USE_MSR_BITMAPS, "MSR bitmaps" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_TPR_SHADOW, "TPR shadow" },
	{ VMX_PROC, REQUIRED, false, CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
	  "secondary controls" },
	/* With EPT the guest's page tables are its own affair. */
	{ VMX_PROC, CLEAR, false, CPU_BASED_CR3_LOAD_EXITING, "CR3-load exiting" },
	{ VMX_PROC, CLEAR, false, CPU_BASED_CR3_STORE_EXITING, "CR3-store exiting" },
	{ VMX_PROC, CLEAR, false, CPU_BASED_INVLPG_EXITING, "INVLPG exiting" },

	{ VMX_PROC2, REQUIRED, false, SECONDARY_EXEC_ENABLE_EPT,
	  "nested paging (extended page tables, EPT)" },
	{ VMX_PROC2, REQUIRED, false, SECONDARY_EXEC_UNRESTRICTED_GUEST, "unrestricted guest" },
	{ VMX_PROC2, REQUIRED, false, SECONDARY_EXEC_WBINVD_EXITING, "WBINVD exiting" },
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_ENABLE_VPID, "VPID" },
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_PAUSE_LOOP_EXITING, "PAUSE-loop exiting" },
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_TSC_SCALING, "TSC scaling" },
	/* Without these the guest's instruction is #UD, whatever the CPU has. */
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_ENABLE_RDTSCP, "RDTSCP" },
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_ENABLE_INVPCID, "INVPCID" },
	{ VMX_PROC2, WANTED, false, MHV_EXEC_XSAVES, "XSAVES" },
	/* And with these. */
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_RDRAND_EXITING, "RDRAND exiting" },
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_RDSEED_EXITING, "RDSEED exiting" },
	/* Without this one, it is executed: no enclaves for guests. */
	{ VMX_PROC2, WANTED, false, SECONDARY_EXEC_ENCLS_EXITING, "ENCLS exiting" },
	/* What UMIP is made of where the CPU has none. */
	{ VMX_PROC2, WANTED, true, SECONDARY_EXEC_DESC, "descriptor-table exiting" },

	{ VMX_EXIT, REQUIRED, false, VM_EXIT_SAVE_DEBUG_CONTROLS, "save debug controls" },
	{ VMX_EXIT, REQUIRED, false, VM_EXIT_HOST_ADDR_SPACE_SIZE, "64-bit host" },
	{ VMX_EXIT, REQUIRED, false, VM_EXIT_LOAD_IA32_PAT, "load PAT" },
	{ VMX_EXIT, REQUIRED, false, VM_EXIT_LOAD_IA32_EFER, "load EFER" },
	/* The host takes the interrupt when it lets interrupts in, as on SVM. */
	{ VMX_EXIT, CLEAR, false, VM_EXIT_ACK_INTR_ON_EXIT, "acknowledge interrupt" },

	{ VMX_ENTRY, REQUIRED, false, VM_ENTRY_LOAD_DEBUG_CONTROLS, "load debug controls" },
	{ VMX_ENTRY, REQUIRED, true, VM_ENTRY_IA32E_MODE, "IA-32e mode guest" },
	{ VMX_ENTRY, REQUIRED, false, VM_ENTRY_LOAD_IA32_PAT, "load PAT" },
	{ VMX_ENTRY, REQUIRED, false, VM_ENTRY_LOAD_IA32_EFER, "load EFER" },
};

/* What IA32_VMX_EPT_VPID_CAP must have. */
static const struct {
	u64 bits;	/* any of them */
	const char *name;
} ept_needs[] = {
	{ VMX_EPT_PAGE_WALK_4_BIT, "a walk of 4 levels" },
	{ VMX_EPTP_WB_BIT, "write-back tables" },
	{ VMX_EPT_2MB_PAGE_BIT, "pages of 2 MiB" },
	{ VMX_EPT_INVEPT_BIT, "INVEPT" },
	{ VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT, "any type of INVEPT" },
};

/* Of IA32_VMX_BASIC. */
#define BASIC_TRUE_MSRS		BIT_ULL(55)
#define BASIC_ANY_ERROR_CODE	BIT_ULL(56)

/* IA32_VMX_EPT_VPID_CAP has the part about INVVPID in its upper half. */
#define VPID_CAP(bit)	((u64)(bit) << 32)

static int word_read(unsigned int word, u64 basic, u64 *cap)
{
	return rdmsrl_safe(basic & BASIC_TRUE_MSRS ? words[word].true_msr : words[word].msr, cap);
}

static bool word_negotiate(unsigned int word, u64 basic, bool *ok)
{
	u64 cap;
	u32 must, may, ctl, later = 0;
	size_t i;

	if (word_read(word, basic, &cap)) {
		pr_err("VMX without %s controls is not supported\n", words[word].name);
		return false;
	}
	must = (u32)cap;
	may = cap >> 32;
	ctl = must;
	for (i = 0; i < ARRAY_SIZE(controls); i++) {
		bool has = may & controls[i].bit;

		if (controls[i].word != word)
			continue;
		if (controls[i].need == CLEAR) {
			if (!(must & controls[i].bit))
				continue;
			pr_err("VMX with \"%s\" always on is not supported\n", controls[i].name);
			*ok = false;
		} else if (has) {
			if (!controls[i].later)
				ctl |= controls[i].bit;
			else
				later |= controls[i].bit;
		} else if (controls[i].need == REQUIRED) {
			pr_err("VMX without %s is not supported\n", controls[i].name);
			*ok = false;
		}
	}
	vmx_caps.ctl[word] = ctl;
	vmx_caps.later[word] = later & ~must;
	return true;
}

static bool ept_negotiate(void)
{
	u64 cap, vpid;
	bool ok = true;
	size_t i;

	if (rdmsrl_safe(MSR_IA32_VMX_EPT_VPID_CAP, &cap))
		cap = 0;
	for (i = 0; i < ARRAY_SIZE(ept_needs); i++) {
		if (cap & ept_needs[i].bits)
			continue;
		pr_err("EPT without %s is not supported\n", ept_needs[i].name);
		ok = false;
	}
	vmx_caps.ept_ad = cap & VMX_EPT_AD_BIT;
	vmx_caps.invept_context = cap & VMX_EPT_EXTENT_CONTEXT_BIT;
	vpid = VPID_CAP(VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT);
	vmx_caps.vpid = vmx_caps.ctl[VMX_PROC2] & SECONDARY_EXEC_ENABLE_VPID &&
			(cap & vpid) == vpid;
	if (!vmx_caps.vpid)
		vmx_caps.ctl[VMX_PROC2] &= ~SECONDARY_EXEC_ENABLE_VPID;
	return ok;
}

/**
 * vmx_caps_probe() - read the capability MSRs; fill vmx_caps
 *
 * Context: any; no side effects.
 * Return: 0, or -EOPNOTSUPP after logging everything that is missing.
 */
int vmx_caps_probe(void)
{
	bool ok = true;
	unsigned int word;
	u64 basic;

	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic))
		return -EOPNOTSUPP;
	vmx_caps.revision = vmx_basic_vmcs_revision_id(basic);
	/* A VMCS is up to a page, write-back memory, at any physical address. */
	if (vmx_basic_vmcs_size(basic) > PAGE_SIZE || ((basic >> 50) & 15) != 6 ||
	    basic & BIT_ULL(48)) {
		pr_err("VMX with a VMCS of this kind (%#llx) is not supported\n", basic);
		return -EOPNOTSUPP;
	}
	for (word = 0; word < VMX_NR_WORDS; word++)
		if (!word_negotiate(word, basic, &ok))
			return -EOPNOTSUPP;
	if (!ept_negotiate())
		ok = false;
	return ok ? 0 : -EOPNOTSUPP;
}

/**
 * vmx_caps_fit() - can this CPU do what the one can that vmx_caps is of?
 *
 * Not all CPUs of a machine need be of a kind, or have the same microcode.
 *
 * Context: any; VMX is supported.
 */
bool vmx_caps_fit(void)
{
	unsigned int word;
	u64 basic, cap;

	if (rdmsrl_safe(MSR_IA32_VMX_BASIC, &basic) ||
	    vmx_basic_vmcs_revision_id(basic) != vmx_caps.revision)
		return false;
	for (word = 0; word < VMX_NR_WORDS; word++)
		if (word_read(word, basic, &cap) || (u32)cap & ~vmx_caps.ctl[word] ||
		    (vmx_caps.ctl[word] | vmx_caps.later[word]) & ~(u32)(cap >> 32))
			return false;
	return true;
}

/**
 * vmx_read_limits() - what the CPU allows in a VMCS
 * @lim: result
 *
 * Context: any; VMX is supported.  Slow: for vmx_dump().
 */
void vmx_read_limits(struct vmx_limits *lim)
{
	unsigned int word;
	u64 basic, cap, misc;

	memset(lim, 0, sizeof(*lim));
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	for (word = 0; word < VMX_NR_WORDS; word++) {
		if (word_read(word, basic, &cap))
			continue;
		lim->must[word] = cap;
		lim->may[word] = cap >> 32;
	}
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, lim->ept);
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, lim->cr0_must);
	rdmsrl(MSR_IA32_VMX_CR0_FIXED1, lim->cr0_may);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, lim->cr4_must);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, lim->cr4_may);
	lim->phys_bits = boot_cpu_data.x86_phys_bits;
	lim->virt_bits = boot_cpu_data.x86_virt_bits;
	lim->cr3_targets = (misc >> 16) & 0x1ff;
	lim->any_error_code = basic & BASIC_ANY_ERROR_CODE;
	lim->zero_len = misc & VMX_MISC_ZERO_LEN_INS;
}

/**
 * vmx_control_name() - what a control is called
 * @word: the control word
 * @bits: of it
 *
 * Return: the name of one of @bits that is in the table above, or else the word's.
 */
const char *vmx_control_name(unsigned int word, u32 bits)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(controls); i++)
		if (controls[i].word == word && controls[i].bit & bits)
			return controls[i].name;
	return words[word].name;
}
