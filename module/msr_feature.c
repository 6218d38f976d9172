// SPDX-License-Identifier: GPL-2.0
/*
 * The feature MSRs: what this host tells a VMM of its CPUs by MSRs rather than
 * by CPUID.  Entered from the MSR ioctls on the system's file descriptor.
 */
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "backend.h"
#include "msr.h"

/* A kernel that does not know of these has nothing to say of them. */
#ifndef ARCH_CAP_BHI_NO
#define ARCH_CAP_BHI_NO		0
#endif
#ifndef ARCH_CAP_RFDS_CLEAR
#define ARCH_CAP_RFDS_CLEAR	0
#endif

#define ARCH_CAPS_PASSED	(ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA |		\
				 ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO |	\
				 ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO |			\
				 ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | \
				 ARCH_CAP_PBRSB_NO | ARCH_CAP_BHI_NO | ARCH_CAP_RFDS_CLEAR)

/**
 * mhv_arch_capabilities - what guests may know of the CPU's faults
 *
 * What the CPU says, and what the kernel knows of CPUs that say nothing.
 * Intel SDM volume 4, "IA32_ARCH_CAPABILITIES".
 *
 * Context: any.
 * Return: the value of IA32_ARCH_CAPABILITIES.
 */
u64 mhv_arch_capabilities(void)
{
	u64 val = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES) &&
	    !rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &val))
		val &= ARCH_CAPS_PASSED;
	/* Guests have no guests, and where the CPU is affected no code in large pages. */
	val |= ARCH_CAP_PSCHANGE_MC_NO;
	if (!boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		val |= ARCH_CAP_RDCL_NO;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		val |= ARCH_CAP_SSB_NO;
	if (!boot_cpu_has_bug(X86_BUG_MDS))
		val |= ARCH_CAP_MDS_NO;
	if (boot_cpu_has(X86_FEATURE_RTM) && !boot_cpu_has_bug(X86_BUG_TAA))
		val |= ARCH_CAP_TAA_NO;
#ifdef ARCH_CAP_GDS_NO
	if (!boot_cpu_has_bug(X86_BUG_GDS) || gds_ucode_mitigated())
		val |= ARCH_CAP_GDS_NO;
#endif
#ifdef ARCH_CAP_RFDS_NO
	if (!boot_cpu_has_bug(X86_BUG_RFDS))
		val |= ARCH_CAP_RFDS_NO;
#endif
#ifdef ARCH_CAP_ITS_NO
	if (!boot_cpu_has_bug(X86_BUG_ITS))
		val |= ARCH_CAP_ITS_NO;
#endif
	return val;
}

/**
 * mhv_de_cfg - bits of MSR_AMD64_DE_CFG that guests may set
 *
 * AMD APM volume 2, "Model-Specific Registers (MSRs)".
 *
 * Context: any.
 * Return: the bits.
 */
u64 mhv_de_cfg(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

/**
 * mhv_msr_feature - what an MSR of the feature list tells of this host
 * @index: which
 * @val: its value
 *
 * Context: any.
 * Return: 0, or 1 if it is not in that list.
 */
int mhv_msr_feature(u32 index, u64 *val)
{
	*val = 0;
	switch (index) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = mhv_arch_capabilities();
		return 0;
	case MSR_IA32_UCODE_REV:
		/* Absent on some CPUs: then 0. */
		if (rdmsrl_safe(index, val))
			*val = 0;
		return 0;
	case MSR_AMD64_DE_CFG:
		if (!mhv_backend->caps.de_cfg)
			break;
		*val = mhv_de_cfg();
		return 0;
	case MSR_IA32_PERF_CAPABILITIES:
		return 0;	/* no performance counters */
	}
	return 1;
}
