// SPDX-License-Identifier: GPL-2.0
/*
 * MSRs: a row for each, by which guests and userspace read and write them.
 * Entered from RDMSR and WRMSR exits and from the MSR ioctls.
 * vcpu->mutex held, the vCPU loaded.
 * Intel SDM volume 4, "Model-Specific Registers"; AMD APM volume 2,
 * "Model-Specific Registers (MSRs)".
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>

#include "backend.h"
#include "msr.h"

#define MSRS_PER_IOCTL	256	/* one ioctl takes fewer than so many */
#define MTRR_VAR	8	/* variable-range MTRRs */

/* Plain values: what is read is what was written. */
enum msr_slot {
	SLOT_UCODE_REV,
	SLOT_SMI_COUNT,
	SLOT_ARCH_CAPS,
	SLOT_PLATFORM_INFO,
	SLOT_MISC_FEATURES,
	SLOT_POWER_CTL,
	SLOT_HWCR,
	SLOT_DE_CFG,
	SLOT_OSVW_LENGTH,
	SLOT_OSVW_STATUS,
	SLOT_MTRR_DEFTYPE,
	SLOT_MTRR_FIX64K,
	SLOT_MTRR_FIX16K,
	SLOT_MTRR_FIX4K = SLOT_MTRR_FIX16K + 2,
	SLOT_MTRR_VAR = SLOT_MTRR_FIX4K + 8,
	NR_SLOTS = SLOT_MTRR_VAR + 2 * MTRR_VAR,
};

struct mhv_msr_store {
	u64 slot[NR_SLOTS];
};

static u64 *slot(struct mhv_vcpu *vcpu, const struct msr_access *a)
{
	return &vcpu->msrs->slot[a->row->where + array_index_nospec(a->nr, a->row->nr ?: 1)];
}

/* ---- handlers that many rows share ---- */

static int get_zero(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = 0;
	return 0;
}

/* For userspace alone, as guests are never told that they have it. */
static int get_host_zero(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = 0;
	return !a->host;
}

static int set_ignore(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return 0;
}

static int set_zero(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return !!val;
}

static int get_slot(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = *slot(vcpu, a);
	return 0;
}

static int set_slot(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	*slot(vcpu, a) = val;
	return 0;
}

static int get_field(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	mhv_state_need(vcpu, a->row->group);
	*val = *(u64 *)((void *)vcpu + a->row->where);
	return 0;
}

static int set_field(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	mhv_state_change(vcpu, a->row->group);
	*(u64 *)((void *)vcpu + a->row->where) = val;
	return 0;
}

/* ---- time ---- */

static int get_tsc(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = mhv_guest_tsc(vcpu, rdtsc());
	return 0;
}

static int set_tsc(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	mhv_tsc_write(vcpu, val, a->host);
	return 0;
}

/* Userspace restores the value; the TSC that came of it, it restores too. */
static int set_tsc_adjust(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!(vcpu->features & MHV_GUEST_TSC_ADJUST))
		return 0;
	if (!a->host)
		mhv_tsc_adjust(vcpu, val - vcpu->clock.tsc_adjust);
	vcpu->clock.tsc_adjust = val;
	return 0;
}

static int get_tsc_deadline(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = vcpu->lapic ? mhv_lapic_get_tscdeadline(vcpu, a->host) : 0;
	return 0;
}

static int set_tsc_deadline(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (vcpu->lapic)
		mhv_lapic_set_tscdeadline(vcpu, val);
	return 0;
}

static int set_tsc_aux(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	/* The upper half is reserved on Intel's CPUs, ignored by AMD's. */
	if (vcpu->features & MHV_GUEST_INTEL && val >> 32)
		return 1;
	vcpu->tsc_aux = (u32)val;
	return 0;
}

static int get_pv(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	return mhv_pv_allows(vcpu, a->row->pv) ? get_field(vcpu, a, val) : 1;
}

static int set_system_time(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return mhv_pv_allows(vcpu, a->row->pv) ? mhv_kvmclock_set(vcpu, val) : 1;
}

static int get_wall_clock(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	if (!mhv_pv_allows(vcpu, a->row->pv))
		return 1;
	*val = vcpu->vm->clock.wall_clock_msr;
	return 0;
}

static int set_wall_clock(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!mhv_pv_allows(vcpu, a->row->pv))
		return 1;
	mhv_wall_clock_set(vcpu->vm, val);
	return 0;
}

static int set_steal(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return mhv_pv_allows(vcpu, a->row->pv) ? mhv_steal_set(vcpu, val) : 1;
}

static int set_pv_eoi(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return mhv_pv_allows(vcpu, a->row->pv) ? mhv_pv_eoi_set(vcpu, val) : 1;
}

/* May the host poll while the guest is halted?  It never does: either answer is kept to. */
static int set_poll_control(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!mhv_pv_allows(vcpu, a->row->pv) || val & ~1ULL)
		return 1;
	vcpu->poll_control = val;
	return 0;
}

/* ---- system state ---- */

static int set_efer(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return mhv_set_efer(vcpu, val, a->host);
}

/* AMD's SYSENTER has no 64-bit form: its CPUs ignore the upper half. */
static int set_sysenter(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (vcpu->features & MHV_GUEST_INTEL)
		val = (u64)((s64)(val << 16) >> 16);
	else
		val = (u32)val;
	return set_field(vcpu, a, val);
}

/* Intel's CPUs refuse the upper half, others may have it: ask this one. */
static bool sfmask_valid(u64 val)
{
	unsigned long flags;
	u64 saved;
	bool ok;

	if (likely(!(val >> 32)))
		return true;
	local_irq_save(flags);
	rdmsrl(MSR_SYSCALL_MASK, saved);
	ok = !wrmsrl_safe(MSR_SYSCALL_MASK, val);
	wrmsrl(MSR_SYSCALL_MASK, saved);
	local_irq_restore(flags);
	return ok;
}

static int set_sfmask(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return sfmask_valid(val) ? set_field(vcpu, a, val) : 1;
}

static bool pat_valid(u64 val)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = val >> i;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static int set_pat(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return pat_valid(val) ? set_field(vcpu, a, val) : 1;
}

static int set_apic_base(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return mhv_set_apic_base(vcpu, val, a->host);
}

static int get_x2apic(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	return vcpu->lapic ? mhv_lapic_msr_read(vcpu, a->index, val) : 1;
}

static int set_x2apic(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return vcpu->lapic ? mhv_lapic_msr_write(vcpu, a->index, val) : 1;
}

/* ---- what guests are told of the CPU, and may tell it ---- */

#define MISC_ENABLE_RO	(MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL)

static int set_misc_enable(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	u64 old = vcpu->misc_enable;

	if (!a->host) {
		if ((old ^ val) & MISC_ENABLE_RO)
			return 1;
		val &= ~MSR_IA32_MISC_ENABLE_EMON;
		val |= old & MSR_IA32_MISC_ENABLE_EMON;
	}
	if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT &&
	    (old ^ val) & MSR_IA32_MISC_ENABLE_MWAIT) {
		if (!(vcpu->features & MHV_GUEST_SSE3))
			return 1;
		vcpu->misc_enable = val;
		mhv_cpuid_runtime(vcpu);
	}
	vcpu->misc_enable = val;
	return 0;
}

static int set_ucode_rev(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	/* A guest writes 0 before it reads the revision by CPUID. */
	return a->host ? set_slot(vcpu, a, val) : 0;
}

static int get_platform_info(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	if (!a->host && vcpu->vm->caps & BIT(MHV_VMCAP_NO_PLATFORM_INFO))
		return 1;
	return get_slot(vcpu, a, val);
}

static int set_platform_info(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!(val & MSR_PLATFORM_INFO_CPUID_FAULT) && vcpu->cpuid_faults)
		return 1;
	return set_slot(vcpu, a, val);
}

static int set_misc_features(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	u64 info = vcpu->msrs->slot[SLOT_PLATFORM_INFO];

	if (val & ~MSR_MISC_FEATURES_ENABLES_CPUID_FAULT ||
	    (val && !(info & MSR_PLATFORM_INFO_CPUID_FAULT)))
		return 1;
	vcpu->cpuid_faults = val;
	return set_slot(vcpu, a, val);
}

static int get_constant(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	switch (a->index) {
	case MSR_FSB_FREQ:
		*val = 3;
		break;
	case MSR_EBC_FREQUENCY_ID:
		*val = 1 << 24;		/* core clock : bus clock, never 0 */
		break;
	case MSR_IA32_BBL_CR_CTL3:
		*val = 0xbe702111;	/* an L2 cache that is there and on */
		break;
	case MSR_IA32_PERF_STATUS:
		*val = 1000 | 4ull << 40;
		break;
	case MSR_K7_CLK_CTL:
		*val = 0x20000000;	/* the ramp-up count that K7 drivers expect */
		break;
	case MSR_MTRRcap:
		*val = BIT(10) | BIT(8) | MTRR_VAR;	/* WC and fixed ranges */
		break;
	default:
		return 1;
	}
	return 0;
}

/* ---- AMD's ---- */

static int set_hwcr(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	/* Caches, flush filter and IGNNE are not for the guest: no effect. */
	val &= ~(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8));
	/* McStatusWrEn; TscFreqSel, of which Linux misses the 1 that CPUs have. */
	if (val & ~(BIT_ULL(18) | BIT_ULL(24)))
		return 1;
	vcpu->mce.status_writable = val & BIT_ULL(18);
	return set_slot(vcpu, a, val);
}

static int set_de_cfg(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	u64 supported = mhv_de_cfg();

	if (val & ~supported || (!a->host && val != supported))
		return 1;
	return set_slot(vcpu, a, val);
}

/* ---- speculation control ---- */

/* Which bits are reserved differs from CPU to CPU: ask this one. */
static bool spec_ctrl_valid(u64 val)
{
	unsigned long flags;
	u64 saved;
	bool ok;

	local_irq_save(flags);
	ok = !rdmsrl_safe(MSR_IA32_SPEC_CTRL, &saved) &&
	     !wrmsrl_safe(MSR_IA32_SPEC_CTRL, val);
	if (ok)
		wrmsrl(MSR_IA32_SPEC_CTRL, saved);
	local_irq_restore(flags);
	return ok;
}

static int set_spec_ctrl(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!spec_ctrl_valid(val))
		return 1;
	vcpu->spec_ctrl = val;
	return 0;
}

static int set_pred_cmd(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (val & ~PRED_CMD_IBPB || !boot_cpu_has(X86_FEATURE_IBPB))
		return 1;
	if (val)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

/* ---- MTRRs: kept for the guest to read; nested paging decides alone ---- */

static bool memtype_valid(u8 type)
{
	return type < 8 && BIT(type) & 0x73;	/* UC, WC, WT, WP, WB */
}

static u64 reserved_gpa_bits(struct mhv_vcpu *vcpu)
{
	return vcpu->maxphyaddr < 64 ? ~0ull << vcpu->maxphyaddr : 0;
}

static int set_mtrr_deftype(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (val & ~0xcffull || !memtype_valid(val))
		return 1;
	return set_slot(vcpu, a, val);
}

static int set_mtrr_fixed(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	unsigned int i;

	for (i = 0; i < 64; i += 8)
		if (!memtype_valid(val >> i))
			return 1;
	return set_slot(vcpu, a, val);
}

static int get_mtrr_var(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = *slot(vcpu, a) & ~reserved_gpa_bits(vcpu);
	return 0;
}

static int set_mtrr_var(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	bool is_mask = a->nr & 1;
	u64 reserved = reserved_gpa_bits(vcpu) | (is_mask ? 0x7ff : 0xf00);

	if (val & reserved || (!is_mask && !memtype_valid(val)))
		return 1;
	return set_slot(vcpu, a, val);
}

/* ---- the rows ---- */

#define FIELD(f)	.where = offsetof(struct mhv_vcpu, f), .get = get_field
#define STATE(f, g)	FIELD(state.f), .group = MHV_G_##g
#define PV(f, p)	.where = offsetof(struct mhv_vcpu, f), .pv = KVM_FEATURE_##p, .get = get_pv

static const struct msr_row rows[] = {
	/* Machine check as the Pentium had it. */
	{ 0x00, .nr = 2, .get = get_zero },
	{ MSR_IA32_TSC, .flags = MSR_LISTED, .get = get_tsc, .set = set_tsc },
	{ MSR_KVM_WALL_CLOCK, .flags = MSR_LISTED, .pv = KVM_FEATURE_CLOCKSOURCE,
	  .get = get_wall_clock, .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME, .flags = MSR_LISTED,
	  PV(clock.system_time_msr, CLOCKSOURCE), .set = set_system_time },
	{ MSR_IA32_PLATFORM_ID, .get = get_zero },
	{ MSR_IA32_APICBASE, FIELD(apic_base), .set = set_apic_base },
	{ MSR_IA32_EBL_CR_POWERON, .get = get_zero },
	{ MSR_EBC_FREQUENCY_ID, .get = get_constant },
	{ MSR_SMI_COUNT, .flags = MSR_LISTED | MSR_HOST_SET, .where = SLOT_SMI_COUNT,
	  .get = get_slot, .set = set_slot },
	{ MSR_IA32_TSC_ADJUST, .flags = MSR_LISTED, FIELD(clock.tsc_adjust),
	  .set = set_tsc_adjust },
	{ MSR_IA32_SPEC_CTRL, .flags = MSR_LISTED | MSR_NEED_SPEC,
	  .feature = MHV_GUEST_SPEC_CTRL, FIELD(spec_ctrl), .set = set_spec_ctrl },
	{ MSR_IA32_PRED_CMD, .feature = MHV_GUEST_PRED_CMD, .set = set_pred_cmd },
	{ MSR_IA32_UCODE_WRITE, .set = set_ignore },
	{ MSR_IA32_UCODE_REV, .flags = MSR_LISTED | MSR_FEATURE, .where = SLOT_UCODE_REV,
	  .get = get_slot, .set = set_ucode_rev },
	/* Counters that never count: there is no PMU. */
	{ MSR_P6_PERFCTR0, .nr = 2, .get = get_zero, .set = set_ignore },
	{ MSR_FSB_FREQ, .get = get_constant },
	{ MSR_PLATFORM_INFO, .flags = MSR_LISTED | MSR_HOST_SET,
	  .where = SLOT_PLATFORM_INFO, .get = get_platform_info, .set = set_platform_info },
	{ MSR_MTRRcap, .get = get_constant },
	{ MSR_IA32_ARCH_CAPABILITIES, .flags = MSR_LISTED | MSR_FEATURE | MSR_HOST_SET,
	  .feature = MHV_GUEST_ARCH_CAPS, .where = SLOT_ARCH_CAPS,
	  .get = get_slot, .set = set_slot },
	{ MSR_IA32_BBL_CR_CTL3, .get = get_constant, .set = set_ignore },
	{ MSR_MISC_FEATURES_ENABLES, .flags = MSR_LISTED, .where = SLOT_MISC_FEATURES,
	  .get = get_slot, .set = set_misc_features },
	{ MSR_IA32_SYSENTER_CS, .flags = MSR_LISTED, STATE(sysenter_cs, SYSMSR),
	  .set = set_field },
	{ MSR_IA32_SYSENTER_ESP, .flags = MSR_LISTED, STATE(sysenter_esp, SYSMSR),
	  .set = set_sysenter },
	{ MSR_IA32_SYSENTER_EIP, .flags = MSR_LISTED, STATE(sysenter_eip, SYSMSR),
	  .set = set_sysenter },
	{ MSR_IA32_MCG_CAP, .get = mce_get_cap },
	{ MSR_IA32_MCG_STATUS, .flags = MSR_LISTED, FIELD(mce.status), .set = set_field },
	{ MSR_IA32_MCG_CTL, .flags = MSR_LISTED, .get = mce_get_ctl, .set = mce_set_ctl },
	{ MSR_P6_EVNTSEL0, .nr = 2, .get = get_zero, .set = set_ignore },
	{ MSR_IA32_PERF_STATUS, .get = get_constant },
	{ MSR_IA32_PERF_CTL, .get = get_zero },
	{ MSR_IA32_MISC_ENABLE, .flags = MSR_LISTED, FIELD(misc_enable),
	  .set = set_misc_enable },
	/* No last-branch records: a guest may write what it likes to the control. */
	{ MSR_IA32_DEBUGCTLMSR, .get = get_zero, .set = set_ignore },
	{ MSR_IA32_LASTBRANCHFROMIP, .nr = 4, .get = get_zero },
	{ MSR_IA32_POWER_CTL, .flags = MSR_LISTED, .where = SLOT_POWER_CTL,
	  .get = get_slot, .set = set_slot },
	{ 0x200, .nr = 2 * MTRR_VAR, .where = SLOT_MTRR_VAR, .get = get_mtrr_var,
	  .set = set_mtrr_var },
	{ MSR_MTRRfix64K_00000, .where = SLOT_MTRR_FIX64K, .get = get_slot,
	  .set = set_mtrr_fixed },
	{ MSR_MTRRfix16K_80000, .nr = 2, .where = SLOT_MTRR_FIX16K, .get = get_slot,
	  .set = set_mtrr_fixed },
	{ MSR_MTRRfix4K_C0000, .nr = 8, .where = SLOT_MTRR_FIX4K, .get = get_slot,
	  .set = set_mtrr_fixed },
	{ MSR_IA32_PERF_CAPABILITIES, .flags = MSR_FEATURE | MSR_HOST_SET,
	  .get = get_host_zero, .set = set_zero },
	{ MSR_IA32_CR_PAT, .flags = MSR_LISTED, STATE(pat, SYSMSR), .set = set_pat },
	{ MSR_IA32_MC0_CTL2, .nr = MHV_MCE_BANKS, .get = mce_get_ctl2, .set = mce_set_ctl2 },
	{ MSR_MTRRdefType, .where = SLOT_MTRR_DEFTYPE, .get = get_slot,
	  .set = set_mtrr_deftype },
	{ MSR_IA32_MC0_CTL, .nr = 4 * MHV_MCE_BANKS, .get = mce_get_bank,
	  .set = mce_set_bank },
	/* Energy counters: Linux guests on such CPUs read them unasked. */
	{ MSR_RAPL_POWER_UNIT, .get = get_zero },
	{ MSR_PKG_ENERGY_STATUS, .get = get_zero },
	{ MSR_DRAM_ENERGY_STATUS, .get = get_zero },
	{ MSR_PP0_ENERGY_STATUS, .get = get_zero },
	{ MSR_PP1_ENERGY_STATUS, .get = get_zero },
	{ MSR_IA32_TSC_DEADLINE, .flags = MSR_LISTED, .get = get_tsc_deadline,
	  .set = set_tsc_deadline },
	{ 0x800, .nr = 0x100, .get = get_x2apic, .set = set_x2apic },
	/* No supervisor state component can be given. */
	{ MSR_IA32_XSS, .feature = MHV_GUEST_XSAVES, FIELD(xss), .set = set_zero },

	{ MSR_KVM_WALL_CLOCK_NEW, .flags = MSR_LISTED, .pv = KVM_FEATURE_CLOCKSOURCE2,
	  .get = get_wall_clock, .set = set_wall_clock },
	{ MSR_KVM_SYSTEM_TIME_NEW, .flags = MSR_LISTED,
	  PV(clock.system_time_msr, CLOCKSOURCE2), .set = set_system_time },
	{ MSR_KVM_STEAL_TIME, .flags = MSR_LISTED, PV(steal.msr, STEAL_TIME), .set = set_steal },
	{ MSR_KVM_PV_EOI_EN, .flags = MSR_LISTED, PV(vapic.eoi_msr, PV_EOI), .set = set_pv_eoi },
	{ MSR_KVM_POLL_CONTROL, .flags = MSR_LISTED, PV(poll_control, POLL_CONTROL),
	  .set = set_poll_control },

	{ MSR_EFER, STATE(efer, EFER), .set = set_efer },
	{ MSR_STAR, .flags = MSR_LISTED, STATE(star, SYSMSR), .set = set_field },
	{ MSR_LSTAR, .flags = MSR_LISTED | MSR_CANONICAL, STATE(lstar, SYSMSR),
	  .set = set_field },
	{ MSR_CSTAR, .flags = MSR_LISTED | MSR_CANONICAL, STATE(cstar, SYSMSR),
	  .set = set_field },
	{ MSR_SYSCALL_MASK, .flags = MSR_LISTED, STATE(sfmask, SYSMSR), .set = set_sfmask },
	{ MSR_FS_BASE, .flags = MSR_CANONICAL, STATE(seg[MHV_FS].base, SEG), .set = set_field },
	{ MSR_GS_BASE, .flags = MSR_CANONICAL, STATE(seg[MHV_GS].base, SEG), .set = set_field },
	{ MSR_KERNEL_GS_BASE, .flags = MSR_LISTED | MSR_CANONICAL,
	  STATE(kernel_gs_base, SYSMSR), .set = set_field },
	{ MSR_TSC_AUX, .flags = MSR_LISTED | MSR_NEED_AUX, .feature = MHV_GUEST_TSC_AUX,
	  FIELD(tsc_aux), .set = set_tsc_aux },

	{ MSR_K7_EVNTSEL0, .nr = 4, .get = get_zero, .set = set_ignore },
	{ MSR_K7_PERFCTR0, .nr = 4, .get = get_zero, .set = set_ignore },
	{ MSR_AMD64_SYSCFG, .get = get_zero },
	{ MSR_K7_HWCR, .flags = MSR_LISTED, .where = SLOT_HWCR, .get = get_slot,
	  .set = set_hwcr },
	{ MSR_K7_CLK_CTL, .get = get_constant, .set = set_ignore },
	{ MSR_AMD64_NB_CFG, .get = get_zero, .set = set_ignore },
	{ MSR_AMD64_PATCH_LOADER, .set = set_ignore },
	{ MSR_K8_INT_PENDING_MSG, .get = get_zero },
	{ MSR_FAM10H_MMIO_CONF_BASE, .get = get_zero, .set = set_zero },
	{ MSR_K8_TSEG_ADDR, .nr = 2, .get = get_zero },
	{ MSR_VM_CR, .get = get_zero, .set = set_zero },
	{ MSR_VM_IGNNE, .set = set_ignore },
	{ MSR_AMD64_OSVW_ID_LENGTH, .nr = 2, .feature = MHV_GUEST_OSVW,
	  .where = SLOT_OSVW_LENGTH, .get = get_slot, .set = set_slot },
	{ MSR_F15H_IC_CFG, .get = get_zero },
	{ MSR_AMD64_DC_CFG, .nr = 2, .get = get_zero, .set = set_ignore },
	{ MSR_AMD64_DE_CFG, .flags = MSR_FEATURE | MSR_NEED_DE_CFG, .where = SLOT_DE_CFG,
	  .get = get_slot, .set = set_de_cfg },
	{ MSR_AMD64_BU_CFG2, .get = get_zero, .set = set_ignore },
	{ MSR_F15H_EX_CFG, .get = get_zero, .set = set_ignore },
};

/* Rows whose MSR this host can serve. */
static bool row_usable(const struct msr_row *row)
{
	if (row->flags & MSR_NEED_AUX)
		return !(mhv_backend->caps.lacks & MHV_GUEST_TSC_AUX) &&
		       (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID));
	if (row->flags & MSR_NEED_SPEC)
		return mhv_backend->caps.spec_ctrl;
	if (row->flags & MSR_NEED_DE_CFG)
		return mhv_backend->caps.de_cfg;
	return true;
}

/* ---- look-up: from an MSR's number to its row without a search ---- */

static const struct {
	u32 base;
	u32 size;
	u32 at;		/* where its part of row_of[] begins */
} windows[] = {
	{ 0x00000000, 0x1000, 0x0000 },
	{ 0xc0000000, 0x0200, 0x1000 },
	{ 0xc0010000, 0x1200, 0x1200 },
	{ 0x4b564d00, 0x0010, 0x2400 },
};

static u8 row_of[0x2410] __ro_after_init;	/* row + 1; 0: no such MSR */

/* Position in row_of[], or -1. */
static int lookup_slot(u32 index)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(windows); i++)
		if (index - windows[i].base < windows[i].size)
			return windows[i].at + (index - windows[i].base);
	return -1;
}

static bool find(u32 index, bool host, struct msr_access *a)
{
	int at = lookup_slot(index);
	u8 row;

	if (at < 0)
		return false;
	row = row_of[array_index_nospec(at, ARRAY_SIZE(row_of))];
	if (!row)
		return false;
	a->row = &rows[row - 1];
	a->index = index;
	a->nr = index - a->row->index;
	a->host = host;
	return true;
}

/**
 * mhv_msr_get - read an MSR
 * @vcpu: the vCPU, loaded
 * @index: which
 * @val: its value
 * @host: for userspace, to which CPUID does not matter
 *
 * Context: vcpu->mutex held.
 * Return: 0, or why not (enum mhv_msr_why): #GP to a guest, if userspace does
 * not want to know.
 */
int mhv_msr_get(struct mhv_vcpu *vcpu, u32 index, u64 *val, bool host)
{
	struct msr_access a;

	if (!host && unlikely(mhv_msr_filtered(vcpu->vm, index, KVM_MSR_FILTER_READ)))
		return MHV_MSR_FILTERED;
	if (!find(index, host, &a) || !a.row->get)
		return MHV_MSR_UNKNOWN;
	if (a.row->feature && !host && !(vcpu->features & a.row->feature))
		return MHV_MSR_INVALID;
	return a.row->get(vcpu, &a, val) ? MHV_MSR_INVALID : 0;
}

/**
 * mhv_msr_set - write an MSR
 * @vcpu: the vCPU, loaded
 * @index: which
 * @val: its new value
 * @host: for userspace, which may also write what guests can only read
 *
 * Context: vcpu->mutex held; may sleep.
 * Return: 0, or why not (enum mhv_msr_why).  Nothing is changed then.
 */
int mhv_msr_set(struct mhv_vcpu *vcpu, u32 index, u64 val, bool host)
{
	struct msr_access a;

	if (!host && unlikely(mhv_msr_filtered(vcpu->vm, index, KVM_MSR_FILTER_WRITE)))
		return MHV_MSR_FILTERED;
	if (!find(index, host, &a) || !a.row->set)
		return MHV_MSR_UNKNOWN;
	if (!host && (a.row->flags & MSR_HOST_SET ||
		      (a.row->feature && !(vcpu->features & a.row->feature))))
		return MHV_MSR_INVALID;
	if (a.row->flags & MSR_CANONICAL && !__is_canonical_address(val, 48))
		return MHV_MSR_INVALID;
	return a.row->set(vcpu, &a, val) ? MHV_MSR_INVALID : 0;
}

/* ---- the ioctls ---- */

static u32 io_entries(struct mhv_vcpu *vcpu, struct kvm_msr_entry *e, u32 nr, bool write)
{
	u32 i;
	int r;

	for (i = 0; i < nr; i++) {
		if (!vcpu)
			r = mhv_msr_feature(e[i].index, &e[i].data);
		else if (write)
			r = mhv_msr_set(vcpu, e[i].index, e[i].data, true);
		else
			r = mhv_msr_get(vcpu, e[i].index, &e[i].data, true);
		if (r) {
			if (!write && (!vcpu || r == MHV_MSR_UNKNOWN))
				e[i].data = 0;	/* as KVM tells it */
			break;
		}
	}
	return i;
}

/**
 * mhv_msrs_io - KVM_GET_MSRS and KVM_SET_MSRS
 * @vcpu: the vCPU, loaded; NULL reads the feature MSRs: the system fd's
 * @user: the MSRs
 * @write: SET rather than GET
 *
 * Context: vcpu->mutex held; may sleep.
 * Return: how many were done before one failed; -E2BIG for 256 or more;
 * -EFAULT; -ENOMEM.
 */
int mhv_msrs_io(struct mhv_vcpu *vcpu, struct kvm_msrs __user *user, bool write)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	int done;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MSRS_PER_IOCTL)
		return -E2BIG;
	size = head.nmsrs * sizeof(*entries);
	entries = memdup_user(user->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	done = io_entries(vcpu, entries, head.nmsrs, write);
	if (!write && copy_to_user(user->entries, entries, size))
		done = -EFAULT;
	kfree(entries);
	return done;
}

static bool row_listed(const struct msr_row *row, bool features)
{
	u64 val;

	if (!(row->flags & (features ? MSR_FEATURE : MSR_LISTED)) || !row_usable(row))
		return false;
	return !features || !mhv_msr_feature(row->index, &val);
}

/**
 * mhv_msr_index_list - KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST
 * @user: nmsrs, and room for that many numbers
 * @features: the latter
 *
 * Context: may sleep.
 * Return: 0; -E2BIG with nmsrs the number needed; -EFAULT.
 */
int mhv_msr_index_list(struct kvm_msr_list __user *user, bool features)
{
	u32 room, nr = 0, i;

	if (get_user(room, &user->nmsrs))
		return -EFAULT;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		nr += row_listed(&rows[i], features);
	if (put_user(nr, &user->nmsrs))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	for (i = 0, nr = 0; i < ARRAY_SIZE(rows); i++) {
		if (!row_listed(&rows[i], features))
			continue;
		if (put_user(rows[i].index, &user->indices[nr++]))
			return -EFAULT;
	}
	return 0;
}

/* ---- setting up ---- */

/* Errata 0 to 2 concern no guest; the others, if any, are the CPU's. */
static void init_osvw(struct mhv_msr_store *store)
{
	u64 length, status;

	if (!boot_cpu_has(X86_FEATURE_OSVW) ||
	    rdmsrl_safe(MSR_AMD64_OSVW_ID_LENGTH, &length) ||
	    rdmsrl_safe(MSR_AMD64_OSVW_STATUS, &status)) {
		length = 0;
		status = 0;
	}
	store->slot[SLOT_OSVW_LENGTH] = max(length, 3ull);
	store->slot[SLOT_OSVW_STATUS] = status & ~6ull;
}

/**
 * mhv_msr_vcpu_init - allocate a vCPU's plain MSR values
 * @vcpu: the vCPU
 *
 * Context: creation of the vCPU, before mhv_vcpu_reset(); may sleep.
 * Return: 0 or -ENOMEM.
 */
int mhv_msr_vcpu_init(struct mhv_vcpu *vcpu)
{
	struct mhv_msr_store *store = kzalloc(sizeof(*store), GFP_KERNEL_ACCOUNT);

	if (!store)
		return -ENOMEM;
	vcpu->msrs = store;
	vcpu->mce.cap = MHV_MCE_BANKS;
	store->slot[SLOT_ARCH_CAPS] = mhv_arch_capabilities();
	store->slot[SLOT_PLATFORM_INFO] = MSR_PLATFORM_INFO_CPUID_FAULT;
	store->slot[SLOT_UCODE_REV] = mhv_backend->caps.ucode_rev;
	init_osvw(store);
	return 0;
}

/**
 * mhv_msr_vcpu_free - free what mhv_msr_vcpu_init() allocated
 * @vcpu: the vCPU, half-built perhaps
 */
void mhv_msr_vcpu_free(struct mhv_vcpu *vcpu)
{
	kfree(vcpu->msrs);
	vcpu->msrs = NULL;
}

/**
 * mhv_msr_reset - MSRs at power-on or INIT
 * @vcpu: the vCPU
 * @init: INIT, which leaves most alone
 *
 * Those that are in state groups are mhv_vcpu_reset()'s.
 *
 * Context: vcpu->mutex held.
 */
void mhv_msr_reset(struct mhv_vcpu *vcpu, bool init)
{
	vcpu->clock.system_time_msr = 0;
	vcpu->clock.active = false;
	/* Whoever owns the memory after an INIT does not expect it to be written. */
	vcpu->steal.msr = 0;
	vcpu->spec_ctrl = 0;
	vcpu->msrs->slot[SLOT_SMI_COUNT] = 0;
	if (init)
		return;
	vcpu->msrs->slot[SLOT_MISC_FEATURES] = 0;
	vcpu->cpuid_faults = false;
	vcpu->misc_enable = MISC_ENABLE_RO;
	vcpu->xss = 0;
}

/**
 * mhv_msr_setup - build the look-up table
 *
 * Context: module load, after the backend's setup().
 */
void mhv_msr_setup(void)
{
	unsigned int i, j;

	BUILD_BUG_ON(ARRAY_SIZE(rows) > U8_MAX);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!row_usable(&rows[i]))
			continue;
		for (j = 0; j < max_t(u32, rows[i].nr, 1); j++) {
			int at = lookup_slot(rows[i].index + j);

			if (at >= 0)
				row_of[at] = i + 1;
		}
	}
}
