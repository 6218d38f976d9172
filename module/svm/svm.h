/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the SVM backend share.  The VMCB's layout is the kernel's
 * own <asm/svm.h> (AMD APM volume 2, "Layout of VMCB").
 */
#ifndef MHV_SVM_H
#define MHV_SVM_H

#include <asm/svm.h>

#include "../backend.h"

/* Clean bits: a set bit lets the CPU use what it cached of that part. */
#define SVM_CLEAN_INTERCEPTS	BIT(0)
#define SVM_CLEAN_PERM		BIT(1)	/* IOPM and MSRPM bases */
#define SVM_CLEAN_ASID		BIT(2)
#define SVM_CLEAN_TPR		BIT(3)	/* int_ctl, int_vector */
#define SVM_CLEAN_NPT		BIT(4)	/* nested_cr3, g_pat */
#define SVM_CLEAN_CR		BIT(5)	/* CR0, CR3, CR4, EFER */
#define SVM_CLEAN_DR		BIT(6)
#define SVM_CLEAN_DT		BIT(7)
#define SVM_CLEAN_SEG		BIT(8)	/* CS, DS, SS, ES, CPL */
#define SVM_CLEAN_CR2		BIT(9)
#define SVM_CLEAN_ALL		(BIT(10) - 1)

/**
 * struct svm_vcpu - the backend's part of a vCPU
 * @vcpu: the core's part; first
 * @vmcb: one page
 * @vmcb_pa: its physical address
 * @asid_gen: the CPU's generation that the ASID is from; 0: none
 * @cpu: loaded there last, or -1
 * @cd_nw: CR0.CD and CR0.NW as the guest set them; the CPU runs without
 * @dr_lent: the debug registers are the guest's for the next entry
 * @awaiting_iret: an IRET that ends an NMI handler is about to be executed
 * @nmi_step: the next entry is a single step, after which an NMI may come
 * @special: whether it is any of these three, which most exits ask alone
 * @step_tf: RFLAGS.TF as the guest had it before
 * @iret_rip: where that IRET is
 * @int_cut: the delivery of an INT n in an interrupt shadow was cut short
 * @int_vector: that INT's vector
 * @int_length: its length, once measured; 0: there is none to inject
 * @int_rip: where it is; or another instruction that an injected event comes of
 * @int_next: where RIP was put for it, without next-RIP save
 * @int_entry: one more than the exits there were when that was injected, and RIP
 *	put behind the instruction
 */
struct svm_vcpu {
	struct mhv_vcpu vcpu;
	struct vmcb *vmcb;
	u64 vmcb_pa;
	u64 asid_gen;
	int cpu;
	u64 cd_nw;
	union {
		struct {
			bool dr_lent;
			bool awaiting_iret;
			bool nmi_step;
		};
		u32 special;
	};
	bool step_tf;
	u64 iret_rip;
	bool int_cut;
	u8 int_vector;
	u8 int_length;
	u64 int_rip;
	u64 int_next;
	u64 int_entry;
};

static inline struct svm_vcpu *to_svm(struct mhv_vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

/* entry.S */
void svm_enter(u64 vmcb_pa, u64 *gpr, u64 host_pa, u32 spec_ctrl);

/* state.c */
void svm_state_load(struct mhv_vcpu *vcpu, u32 groups);
void svm_state_store(struct mhv_vcpu *vcpu, u32 groups);

/* errata.c */
struct page *svm_alloc_page(int node, gfp_t gfp);
void svm_errata_on(void);
void svm_errata_off(void);
void svm_machine_check(struct mhv_vcpu *vcpu);

/* svm.c, for exits.c */
void svm_intercept(struct svm_vcpu *svm, unsigned int bit, bool on);
void svm_measure_int(struct svm_vcpu *svm);

/* exits.c */
int svm_handle_exit(struct mhv_vcpu *vcpu);
u32 svm_exit_reason(struct mhv_vcpu *vcpu, const char **name, u64 *info1, u64 *info2);
struct mhv_opcode svm_expected_opcode(const struct vmcb_control_area *c);

#endif /* MHV_SVM_H */
