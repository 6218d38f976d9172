// SPDX-License-Identifier: GPL-2.0
/*
 * What some of AMD's CPUs need so that no guest can make them fail, or learn what it may not.
 * Entered from svm.c.
 * No locks.
 * AMD, Revision Guide for Family 10h Processors, erratum 383; SEV-SNP, Linux's host support.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <asm/cpufeature.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "svm.h"

/* Of DC_CFG, and MC0_STATUS but for whether there was more than one error. */
#define DC_CFG_383	BIT_ULL(47)
#define MC0_383		0xb600000000010015ULL

#define MC_BANKS	6

/**
 * svm_alloc_page() - a page for the CPU to keep a VMCB or the host's state in
 * @node: the memory node, or NUMA_NO_NODE
 * @gfp: as for the page allocator
 *
 * While a guest runs, a CPU with SEV-SNP switched on guards these pages.  Where one begins a
 * large page, the first of these CPUs guard all of that.  The second of two pages begins none.
 *
 * Context: may sleep.
 * Return: the page, zeroed; or NULL.
 */
struct page *svm_alloc_page(int node, gfp_t gfp)
{
	struct page *pages = alloc_pages_node(node, gfp | __GFP_ZERO, 1);

	if (!pages)
		return NULL;
	split_page(pages, 1);
	__free_page(pages);
	return pages + 1;
}

/**
 * svm_errata_on() - make this CPU ready for guests
 *
 * With erratum 383, a guest that changes the size of pages can have two translations of one
 * address: that is to be a machine check that can be told from others.
 *
 * Where guests can steer what the host's returns speculate on (SRSO), the kernel may have chosen
 * a bit that makes the CPU speculate less, to be set while there are guests.
 *
 * Context: interrupts off, as SVM is switched on.
 */
void svm_errata_on(void)
{
	u64 val;

	if (boot_cpu_has_bug(X86_BUG_AMD_TLB_MMATCH) && !rdmsrl_safe(MSR_AMD64_DC_CFG, &val))
		wrmsrl_safe(MSR_AMD64_DC_CFG, val | DC_CFG_383);
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
	if (cpu_feature_enabled(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		msr_set_bit(MSR_ZEN4_BP_CFG, MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
#endif
}

/**
 * svm_errata_off() - there will be no more guests
 *
 * Context: interrupts off, as SVM is switched off; in a crash as well.
 */
void svm_errata_off(void)
{
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
	if (cpu_feature_enabled(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		msr_clear_bit(MSR_ZEN4_BP_CFG, MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
#endif
}

/* Then the machine is sound once the error is cleared, and what was cached of translations gone. */
static bool take_383(void)
{
	unsigned int i;
	u64 status;

	if (!boot_cpu_has_bug(X86_BUG_AMD_TLB_MMATCH) ||
	    rdmsrl_safe(MSR_IA32_MC0_STATUS, &status) ||
	    (status & ~MCI_STATUS_OVER) != MC0_383)
		return false;
	for (i = 0; i < MC_BANKS; i++)
		wrmsrl_safe(MSR_IA32_MCx_STATUS(i), 0);
	if (!rdmsrl_safe(MSR_IA32_MCG_STATUS, &status))
		wrmsrl_safe(MSR_IA32_MCG_STATUS, status & ~MCG_STATUS_MCIP);
	__flush_tlb_all();
	return true;
}

/**
 * svm_machine_check() - a machine check that came while the guest ran
 * @vcpu: the vCPU
 *
 * The host's, unless the guest has caused it: then it is the end of the guest.
 *
 * Context: interrupts off, after the exit.
 */
void svm_machine_check(struct mhv_vcpu *vcpu)
{
	if (likely(!take_383())) {
		mhv_host_mce();
		return;
	}
	pr_err_ratelimited("a guest has made the CPU fail by its page tables\n");
	mhv_request(vcpu, MHV_REQ_TRIPLE_FAULT);
}
