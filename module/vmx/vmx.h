/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the VMX backend share.  The VMCS's field numbers are the
 * kernel's own <asm/vmx.h> (Intel SDM volume 3, "Virtual-Machine Control
 * Structures"; the numbers in the appendix "Field Encoding in VMCS").
 *
 * Unlike a VMCB, a VMCS is not memory to be read and written: the CPU that it
 * is loaded on keeps it, and VMREAD and VMWRITE are the only way to it.
 */
#ifndef MHV_VMX_H
#define MHV_VMX_H

#include <linux/list.h>
#include <linux/percpu.h>
#include <asm/asm.h>
#include <asm/vmx.h>

#include "../backend.h"

/* Its name in <asm/vmx.h> differs between kernels. */
#define MHV_EXEC_XSAVES		VMCS_CONTROL_BIT(XSAVES)

/* Of TSC_MULTIPLIER. */
#define VMX_TSC_FRAC_BITS	48

/* The control words, in the order of the table in vmx_caps.c. */
enum vmx_word {
	VMX_PIN,		/* pin-based: what comes from outside */
	VMX_PROC,		/* primary processor-based */
	VMX_PROC2,		/* secondary processor-based */
	VMX_EXIT,		/* what an exit loads and saves */
	VMX_ENTRY,		/* what an entry loads */
	VMX_NR_WORDS,
};

/**
 * struct vmx_caps - what this CPU's VMX can do, of what is wanted of it
 * @ctl: the control words as each vCPU starts with them
 * @later: of each control word, what can be on or off, and begins off
 * @revision: of the VMCS format
 * @ept_ad: EPT has accessed and dirty bits
 * @invept_context: INVEPT can be for one EPT only
 * @vpid: there are VPIDs, and INVVPID for one of them
 */
struct vmx_caps {
	u32 ctl[VMX_NR_WORDS];
	u32 later[VMX_NR_WORDS];
	u32 revision;
	bool ept_ad;
	bool invept_context;
	bool vpid;
};

extern struct vmx_caps vmx_caps;

/**
 * struct vmx_limits - what this CPU allows in a VMCS
 * @must: of each control word, the bits that must be 1
 * @may: of each control word, the bits that may be 1
 * @ept: IA32_VMX_EPT_VPID_CAP
 * @cr0_must: bits of CR0 that must be 1, in the host
 * @cr0_may: bits of CR0 that may be 1
 * @cr4_must: of CR4, likewise
 * @cr4_may: likewise
 * @phys_bits: width of a physical address
 * @virt_bits: width of a linear address
 * @cr3_targets: how many CR3-target values there can be
 * @any_error_code: an exception may be injected with or without an error code
 * @zero_len: an instruction that is injected may have length 0
 */
struct vmx_limits {
	u32 must[VMX_NR_WORDS];
	u32 may[VMX_NR_WORDS];
	u64 ept;
	u64 cr0_must;
	u64 cr0_may;
	u64 cr4_must;
	u64 cr4_may;
	u8 phys_bits;
	u8 virt_bits;
	u16 cr3_targets;
	bool any_error_code;
	bool zero_len;
};

/**
 * struct vmx_refusal - what the CPU did not like
 * @what: in words; NULL: not found
 * @value: the field's value, or the bits that are wrong
 */
struct vmx_refusal {
	const char *what;
	u64 value;
};

#define VMX_AREA_MSRS	32

/**
 * struct vmx_msr_area - MSRs that are switched by the CPU, at each entry and exit
 * @guest: what an entry loads
 * @host: what an exit loads
 */
struct vmx_msr_area {
	struct vmx_msr_entry guest[VMX_AREA_MSRS];
	struct vmx_msr_entry host[VMX_AREA_MSRS];
};

/**
 * struct vmx_vcpu - the backend's part of a vCPU
 * @vcpu: the core's part; first
 * @vmcs: one page, that only the CPU knows the inside of
 * @apic: one page, in which the CPU keeps the guest's TPR
 * @area: one page, the lists of MSRs that an entry and an exit load
 * @nr_area: how many each of them has
 * @link: in the list of the VMCSs that are active on @cpu
 * @cpu: where the VMCS is active, or -1
 * @vpid: its tag in the TLB; 0: none
 * @launched: VMLAUNCH has been executed since the last VMCLEAR
 * @flush: the next entry finds no old translation
 * @switched: FS, GS and the MSRs that an exit does not restore are the guest's
 * @dr_lent: the debug registers are the guest's for the next entry
 * @ctl: the control words as the VMCS has them
 * @exceptions: the exception bitmap, likewise
 * @rip: RIP, likewise
 * @rsp: RSP, likewise
 * @rflags: RFLAGS, likewise
 * @tpr_threshold: likewise
 * @cr4_mask: the CR4 bits that are not the guest's own, likewise
 * @host_rsp: host state, likewise
 * @host_cr3: likewise
 * @host_cr4: likewise
 * @cr2: the guest's: the CPU does not switch it
 * @kernel_gs_base: the guest's, while the CPU has the host's
 * @exit_reason: of the last exit; bit 31: the entry failed
 * @exit_intr: which exception or NMI it was, if it was one; after a refused
 *	entry, what was to be injected
 * @idt_info: what was being delivered
 * @error: why VMLAUNCH or VMRESUME itself failed; 0: it did not
 * @host: what put() restores
 */
struct vmx_vcpu {
	struct mhv_vcpu vcpu;
	void *vmcs;
	void *apic;
	struct vmx_msr_area *area;
	u32 nr_area;
	struct list_head link;
	int cpu;
	u16 vpid;
	bool launched;
	bool flush;
	bool switched;
	bool dr_lent;
	u32 ctl[VMX_NR_WORDS];
	u32 exceptions;
	u64 rip;
	u64 rsp;
	u64 rflags;
	u32 tpr_threshold;
	u64 cr4_mask;
	u64 host_rsp;
	u64 host_cr3;
	u64 host_cr4;
	u64 cr2;
	u64 kernel_gs_base;
	u32 exit_reason;
	u32 exit_intr;
	u32 idt_info;
	u32 error;
	struct {
		u64 kernel_gs_base;
		u64 fs_base;
		u16 ds, es, fs, gs, ldt;
	} host;
};

/* MSRs that neither an exit nor an entry switches, and that no kernel code needs. */
enum vmx_msr {
	VMX_MSR_STAR, VMX_MSR_LSTAR, VMX_MSR_CSTAR, VMX_MSR_SFMASK, VMX_MSR_TSC_AUX,
	VMX_NR_MSRS,
};

/**
 * struct vmx_cpu - what VMX needs on each CPU
 * @vmxon: the page that VMXON wants
 * @active: the VMCSs that this CPU may hold parts of
 * @current_vmcs: the one that VMREAD and VMWRITE are about
 * @host_msr: what the host wants in the MSRs of enum vmx_msr
 * @msr: what they hold now
 * @on: VMX is on here, by us
 */
struct vmx_cpu {
	void *vmxon;
	struct list_head active;
	void *current_vmcs;
	u64 host_msr[VMX_NR_MSRS];
	u64 msr[VMX_NR_MSRS];
	bool on;
};

DECLARE_PER_CPU(struct vmx_cpu, vmx_cpu);

static inline struct vmx_vcpu *to_vmx(struct mhv_vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

void vmx_field_error(unsigned long field, bool write);

/*
 * A reboot switches VMX off under threads that are still in KVM_RUN, and a CPU
 * that goes offline may once more schedule one in before it is moved away.
 * The instruction is #UD then, and stepped over; what is read is 0.
 */
static __always_inline u64 vmcs_read(unsigned long field)
{
	unsigned long val = 0;
	bool bad;

	asm volatile("1: vmread %[field], %[val]\n2:" _ASM_EXTABLE(1b, 2b)
		     : "=@ccbe" (bad), [val] "+r" (val) : [field] "r" (field));
	if (unlikely(bad))
		vmx_field_error(field, false);
	return val;
}

static __always_inline void vmcs_write(unsigned long field, u64 val)
{
	bool bad;

	asm volatile("1: vmwrite %[val], %[field]\n2:" _ASM_EXTABLE(1b, 2b)
		     : "=@ccbe" (bad) : [val] "rm" (val), [field] "r" (field));
	if (unlikely(bad))
		vmx_field_error(field, true);
}

/* entry.S */
bool vmx_enter(u64 *gpr, u64 *host_rsp, bool launched, u32 spec_ctrl);
void vmx_after_exit(void);

/* vmx_caps.c */
int vmx_caps_probe(void);
bool vmx_caps_fit(void);
void vmx_read_limits(struct vmx_limits *lim);
const char *vmx_control_name(unsigned int word, u32 bits);

/* state.c */
void vmx_state_load(struct mhv_vcpu *vcpu, u32 groups);
void vmx_state_store(struct mhv_vcpu *vcpu, u32 groups);
void vmx_state_init(struct vmx_vcpu *vmx);
void vmx_pending_debug(struct vmx_vcpu *vmx);

/* vmx.c, for state.c and exits.c */
void vmx_control(struct vmx_vcpu *vmx, enum vmx_word word, u32 bits, bool on);

/* host.c */
bool vmx_has_tsc_aux(void);
void vmx_read_host_msrs(struct vmx_cpu *vc);
void vmx_write_host_state(struct vmx_vcpu *vmx, int cpu);
void vmx_set_msr(struct vmx_cpu *vc, enum vmx_msr i, u64 val);
void vmx_load_msrs(struct vmx_vcpu *vmx);
void vmx_switch_to_guest(struct vmx_vcpu *vmx);
void vmx_switch_to_host(struct vmx_vcpu *vmx);
void vmx_switch_perf(struct vmx_vcpu *vmx);

/* exits.c */
int vmx_handle_exit(struct mhv_vcpu *vcpu);
u32 vmx_exit_reason(struct mhv_vcpu *vcpu, const char **name, u64 *info1, u64 *info2);

/* check_control.c */
struct vmx_refusal vmx_check_controls(const struct vmx_limits *lim, u8 tpr, u32 injected);
struct vmx_refusal vmx_check_host(const struct vmx_limits *lim);

/* check.c */
void vmx_dump(struct mhv_vcpu *vcpu);

#endif /* MHV_VMX_H */
