// SPDX-License-Identifier: GPL-2.0
/*
 * Machine check: the banks that a guest sees, and errors that userspace has
 * for it.  Nothing of the host's own machine checks comes here.
 * Entered from MSR rows and from KVM_X86_SETUP_MCE and KVM_X86_SET_MCE.
 * vcpu->mutex held, the vCPU loaded.
 * Intel SDM volume 3, "Machine-Check Architecture".
 */
#include <linux/nospec.h>
#include <asm/mce.h>
#include <asm/trapnr.h>

#include "msr.h"

#define MCE_CAP_SUPPORTED	(MCG_CTL_P | MCG_SER_P)
#define MCE_CAP_COUNTS		(MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK)

/* The four registers of a bank. */
enum { MCI_CTL, MCI_STATUS, MCI_ADDR, MCI_MISC };

static bool bank_exists(struct mhv_vcpu *vcpu, u32 bank)
{
	return bank < (vcpu->mce.cap & MCG_BANKCNT_MASK);
}

int mce_get_cap(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	/* AMD's has the number of banks and MCG_CTL_P alone. */
	*val = vcpu->features & MHV_GUEST_AMD ? vcpu->mce.cap & 0x1ff : vcpu->mce.cap;
	return 0;
}

int mce_get_ctl(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	if (!(vcpu->mce.cap & MCG_CTL_P) && !a->host)
		return 1;
	*val = vcpu->mce.ctl;
	return 0;
}

int mce_set_ctl(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!(vcpu->mce.cap & MCG_CTL_P) && (val || !a->host))
		return 1;
	if (val && val != ~0ull)
		return 1;
	vcpu->mce.ctl = val;
	return 0;
}

static u64 *bank_reg(struct mhv_vcpu *vcpu, u32 nr)
{
	u64 *regs = &vcpu->mce.bank[0][0];

	return &regs[array_index_nospec(nr, 4 * MHV_MCE_BANKS)];
}

int mce_get_bank(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	if (!bank_exists(vcpu, a->nr / 4))
		return 1;
	*val = *bank_reg(vcpu, a->nr);
	return 0;
}

int mce_set_bank(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	if (!bank_exists(vcpu, a->nr / 4))
		return 1;
	switch (a->nr & 3) {
	case MCI_CTL:
		/*
		 * None or all; but old kernels leave out bit 10 (a K8's GART
		 * erratum), and one UNIX bit 0.
		 */
		if (val && (val | BIT(10) | BIT(0)) != ~0ull)
			return 1;
		break;
	case MCI_STATUS:
		/* A guest clears it, or has HWCR.McStatusWrEn set. */
		if (val && !a->host && (!(vcpu->features & MHV_GUEST_AMD) ||
					!vcpu->mce.status_writable))
			return 1;
		break;
	}
	*bank_reg(vcpu, a->nr) = val;
	return 0;
}

/* No corrected-error interrupts (CMCI): the registers for them read as 0. */
int mce_get_ctl2(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val)
{
	*val = 0;
	return !bank_exists(vcpu, a->nr) || !a->host;
}

int mce_set_ctl2(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val)
{
	return !bank_exists(vcpu, a->nr) || val || !a->host;
}

/**
 * mhv_mce_supported - KVM_X86_GET_MCE_CAP_SUPPORTED
 *
 * Return: the bits beside the counts that MCG_CAP may have.
 */
u64 mhv_mce_supported(void)
{
	return MCE_CAP_SUPPORTED;
}

/**
 * mhv_mce_setup - KVM_X86_SETUP_MCE
 * @vcpu: the vCPU
 * @cap: its IA32_MCG_CAP
 *
 * Return: 0, or -EINVAL for no banks, too many, or unsupported bits.
 */
int mhv_mce_setup(struct mhv_vcpu *vcpu, u64 cap)
{
	u32 nr = cap & MCG_BANKCNT_MASK, i;

	if (!nr || nr > MHV_MCE_BANKS || cap & ~(u64)(MCE_CAP_SUPPORTED | MCE_CAP_COUNTS))
		return -EINVAL;
	vcpu->mce.cap = cap;
	if (cap & MCG_CTL_P)
		vcpu->mce.ctl = ~0ull;
	for (i = 0; i < nr; i++)
		vcpu->mce.bank[i][MCI_CTL] = ~0ull;
	return 0;
}

static void log_error(u64 *bank, const struct kvm_x86_mce *mce, u64 status)
{
	bank[MCI_STATUS] = status;
	bank[MCI_ADDR] = mce->addr;
	bank[MCI_MISC] = mce->misc;
}

/* Uncorrected, and no action is required: logged, not raised. */
static bool is_ucna(const struct kvm_x86_mce *mce)
{
	return !mce->mcg_status && mce->status & MCI_STATUS_UC &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

/* An uncorrected error: #MC, or a shutdown if the guest cannot take one. */
static void raise_mc(struct mhv_vcpu *vcpu, u64 *bank, const struct kvm_x86_mce *mce,
		     u64 status)
{
	mhv_state_need(vcpu, MHV_G_CR);
	if (vcpu->mce.status & MCG_STATUS_MCIP || !(vcpu->state.cr4 & X86_CR4_MCE)) {
		mhv_request(vcpu, MHV_REQ_TRIPLE_FAULT);
		return;
	}
	log_error(bank, mce, status);
	vcpu->mce.status = mce->mcg_status;
	mhv_queue_exception(vcpu, X86_TRAP_MC);
}

/**
 * mhv_mce_inject - KVM_X86_SET_MCE: an error as if the hardware had found it
 * @vcpu: the vCPU, loaded
 * @mce: the error
 *
 * Nothing happens if the guest has switched the reporting off.
 *
 * Return: 0, or -EINVAL for a bank that is not there or a status not valid.
 */
int mhv_mce_inject(struct mhv_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 status = mce->status;
	u64 *bank;

	if (!bank_exists(vcpu, mce->bank) || !(status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = vcpu->mce.bank[array_index_nospec(mce->bank, MHV_MCE_BANKS)];
	if (is_ucna(mce)) {
		log_error(bank, mce, status);
		vcpu->mce.status = mce->mcg_status;
		return 0;
	}
	if (status & MCI_STATUS_UC &&
	    ((vcpu->mce.cap & MCG_CTL_P && vcpu->mce.ctl != ~0ull) || bank[MCI_CTL] != ~0ull))
		return 0;

	if (bank[MCI_STATUS] & MCI_STATUS_VAL)
		status |= MCI_STATUS_OVER;
	if (status & MCI_STATUS_UC)
		raise_mc(vcpu, bank, mce, status);
	else if ((bank[MCI_STATUS] & (MCI_STATUS_VAL | MCI_STATUS_UC)) ==
		 (MCI_STATUS_VAL | MCI_STATUS_UC))
		bank[MCI_STATUS] |= MCI_STATUS_OVER;	/* the worse one stays */
	else
		log_error(bank, mce, status);
	return 0;
}
