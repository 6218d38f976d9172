/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the MSR table shares with files that serve some of its rows.
 */
#ifndef MHV_MSR_H
#define MHV_MSR_H

#include "minihv.h"

struct msr_access;

/**
 * struct msr_row - one MSR, or @nr consecutive ones of a kind
 * @index: the first
 * @nr: how many; 0 counts as 1
 * @flags: MSR_*
 * @where: for the handlers: a slot, or an offset into struct mhv_vcpu
 * @group: the state group of that offset, 0 if it is in none
 * @pv: for the handlers: the KVM_FEATURE_* that it belongs to
 * @feature: the guest may access it only with this of enum mhv_guest_feature
 * @get: 0 with *val filled, or 1; NULL: reading faults
 * @set: 0, or 1; NULL: writing faults
 */
struct msr_row {
	u32 index;
	u16 nr;
	u16 flags;
	u16 where;
	u16 group;
	u8 pv;
	u32 feature;
	int (*get)(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val);
	int (*set)(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val);
};

#define MSR_LISTED	BIT(0)	/* in KVM_GET_MSR_INDEX_LIST: host get and set work */
#define MSR_FEATURE	BIT(1)	/* in KVM_GET_MSR_FEATURE_INDEX_LIST */
#define MSR_HOST_SET	BIT(2)	/* only userspace writes */
#define MSR_CANONICAL	BIT(3)	/* writing a non-canonical address faults */
#define MSR_NEED_AUX	BIT(4)	/* only where the CPU has TSC_AUX */
#define MSR_NEED_SPEC	BIT(5)	/* only where IA32_SPEC_CTRL can be given */
#define MSR_NEED_DE_CFG	BIT(6)	/* only where the CPUs have MSR_AMD64_DE_CFG */

/* One access: the row, the MSR's position in it, and whose access it is. */
struct msr_access {
	const struct msr_row *row;
	u32 index;
	u32 nr;
	bool host;
};

/* msr_feature.c */
u64 mhv_arch_capabilities(void);
u64 mhv_de_cfg(void);

/* mce.c */
int mce_get_cap(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val);
int mce_get_ctl(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val);
int mce_set_ctl(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val);
int mce_get_bank(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val);
int mce_set_bank(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val);
int mce_get_ctl2(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 *val);
int mce_set_ctl2(struct mhv_vcpu *vcpu, const struct msr_access *a, u64 val);

#endif /* MHV_MSR_H */
