/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The seam between the core and a vendor's hardware: an ops table that each
 * backend exports as its one symbol, and the services that it may call.
 *
 * Backends translate, the core decides.  A backend turns hardware fields into
 * plain arguments and calls one service; it never touches kvm_run, and never
 * knows the other backend.
 */
#ifndef MHV_BACKEND_H
#define MHV_BACKEND_H

#include <linux/static_call.h>

#include "minihv.h"

/**
 * struct mhv_caps - what the hardware in use can do; filled by setup()
 * @pte: format of a nested page table's entries
 * @levels: levels of the nested page tables
 * @tsc_scaling: the guest's TSC can run at another frequency
 * @tsc_ratio_frac_bits: fraction bits of the scaling ratio
 * @tsc_max_ratio: the largest ratio
 * @decode_flags: EMUL_DEC_*: where instruction sets differ
 * @umip: guests can have UMIP though the CPU has it not; SMSW stays theirs then
 * @lacks: MHV_GUEST_* of INVPCID, TSC_AUX (RDTSCP, RDPID) and XSAVES, if guests
 *	cannot have them though the CPU does
 * @spec_ctrl: IA32_SPEC_CTRL can be given to guests
 * @disable_exits: KVM_X86_DISABLE_EXITS_* that vm->disabled_exits may have
 * @pdptr_cached: the CPU keeps the PDPTEs of PAE paging that it loaded with CR3
 * @ucode_rev: IA32_UCODE_REV of a vCPU, until the VMM sets another
 * @de_cfg: there is an MSR_AMD64_DE_CFG
 * @one_shadow: the CPU does not tell the interrupt shadow of STI from that of MOV SS
 *
 * The core tests these, never the vendor.
 */
struct mhv_caps {
	struct mhv_pte_format pte;
	u8 levels;
	u8 decode_flags;
	bool tsc_scaling;
	bool spec_ctrl;
	bool pdptr_cached;
	bool one_shadow;
	bool de_cfg;
	bool umip;
	u8 disable_exits;
	u8 tsc_ratio_frac_bits;
	u32 lacks;
	u64 tsc_max_ratio;
	u64 ucode_rev;
};

/* Classes of event for open_window(). */
#define MHV_WINDOW_INTR		BIT(0)
#define MHV_WINDOW_NMI		BIT(1)

/**
 * struct mhv_backend - one vendor's hardware virtualization
 *
 * Context: P may sleep, N preemption off, I interrupts off.  Ops on a vCPU
 * run with vcpu->mutex held and the vCPU loaded on this CPU, unless said.
 *
 * @name: for the log: "SVM" or "VMX"
 * @vcpu_size: bytes of the backend's vCPU, whose first member is struct mhv_vcpu
 * @supported: P.  Probe CPUID, firmware lock and mandatory features without
 *	side effects.  Returns 0, or -ENODEV (no such hardware) or -EOPNOTSUPP
 *	(switched off, or a feature missing) after logging which.
 * @setup: P.  Global allocations; fills @caps.  0 or -ENOMEM.
 * @teardown: P.  Undoes setup().
 * @cpu_on: I.  Enter SVM or VMX root operation on this CPU.  Idempotent.
 *	-EBUSY if another hypervisor has it.
 * @cpu_off: I.  Leave it.  Idempotent; called in a crash as well, so it takes
 *	no lock.
 * @vcpu_create: P, not loaded.  Allocate the control block and bitmaps.
 *	0 or -ENOMEM.
 * @vcpu_destroy: P, not loaded.  Copes with a half-built vCPU.
 * @vcpu_reset: P.  Control fields to power-on; state groups are the core's,
 *	but for the types of segments, which these CPUs may have of their own.
 * @vcpu_load: N.  Bind to this CPU; save the host state that entries switch.
 * @vcpu_put: N.  Restore the host state that is switched lazily.
 * @state_load: N.  Copy exactly these groups from the control block to
 *	vcpu->state.  Cannot fail.
 * @set_root: I.  The nested page table's root.
 * @flush_tlb: I.  No translation older than now survives the next entry.
 * @inject: I.  Program one event for the next entry; called at most once per
 *	entry, after the last bail-out.
 * @open_window: I.  Exit as soon as the classes in @which (MHV_WINDOW_*) are
 *	deliverable.  Replaces what was asked for before; 0 asks for nothing.
 * @sync_tpr: I.  Show @tpr (CR8, 0 to 15) to the guest, and exit when it
 *	writes one below @threshold (0: never).
 * @update_intercepts: P.  vcpu->guest_debug, vcpu->features or the VM's filter
 *	of MSRs changed; choose intercepts anew.
 * @run: I.  Store the groups in vcpu->dirty, whose values are already validated,
 *	in the control block and enter the guest; come back with the host's state safe,
 *	speculation controls done, NMI and #MC given to the host, GPR and
 *	RIP_FLAGS marked available, vcpu->reinject and vcpu->hw_tpr filled.
 * @handle_exit: P.  Dispatch on the exit reason through a table.  Returns
 *	MHV_RESUME, MHV_USER or -errno.
 * @exit_reason: N.  Reason and its name, of the last exit; for tracepoints.
 * @next_rip: P.  Where the instruction that exited ends, so that it can be
 *	stepped over.  False if it cannot be fetched (any more): then nothing
 *	may change, and the guest executes it again.
 * @dump: P.  Log control fields after a refused entry, rate-limited.
 */
struct mhv_backend {
	const char *name;
	size_t vcpu_size;
	struct mhv_caps caps;

	int (*supported)(void);
	int (*setup)(void);
	void (*teardown)(void);
	int (*cpu_on)(void);
	void (*cpu_off)(void);

	int (*vcpu_create)(struct mhv_vcpu *vcpu);
	void (*vcpu_destroy)(struct mhv_vcpu *vcpu);
	void (*vcpu_reset)(struct mhv_vcpu *vcpu, bool init);
	void (*vcpu_load)(struct mhv_vcpu *vcpu, int cpu);
	void (*vcpu_put)(struct mhv_vcpu *vcpu);

	void (*state_load)(struct mhv_vcpu *vcpu, u32 groups);
	void (*set_root)(struct mhv_vcpu *vcpu, hpa_t root);
	void (*flush_tlb)(struct mhv_vcpu *vcpu);
	void (*inject)(struct mhv_vcpu *vcpu, const struct mhv_event *ev);
	void (*open_window)(struct mhv_vcpu *vcpu, unsigned int which);
	void (*sync_tpr)(struct mhv_vcpu *vcpu, u8 tpr, u8 threshold);
	void (*update_intercepts)(struct mhv_vcpu *vcpu);

	void (*run)(struct mhv_vcpu *vcpu);
	int (*handle_exit)(struct mhv_vcpu *vcpu);
	u32 (*exit_reason)(struct mhv_vcpu *vcpu, const char **name, u64 *info1, u64 *info2);
	bool (*next_rip)(struct mhv_vcpu *vcpu, u64 *next);
	void (*dump)(struct mhv_vcpu *vcpu);
};

extern struct mhv_backend mhv_svm_backend;
extern struct mhv_backend mhv_vmx_backend;

/* The backend in use; set once, before the device can be opened. */
extern const struct mhv_backend *mhv_backend;

/*
 * Its ops that nearly each exit takes, as direct calls, patched in at load by
 * mhv_run_setup(): an indirect call and the return from its thunk are some ten
 * instructions more, and a branch to be predicted.
 */
DECLARE_STATIC_CALL(mhv_backend_run, *mhv_backend->run);
DECLARE_STATIC_CALL(mhv_backend_handle_exit, *mhv_backend->handle_exit);
DECLARE_STATIC_CALL(mhv_backend_next_rip, *mhv_backend->next_rip);

/* ---- services: what a backend may call (exits.c) ---- */

/**
 * struct mhv_npf_exit - a nested page fault
 * @gpa: the guest-physical address
 * @access: MHV_ACC_* (mem/mem.h)
 * @insn: bytes at RIP where the CPU reports them, or NULL
 * @ninsn: how many
 */
struct mhv_npf_exit {
	gpa_t gpa;
	u32 access;
	const u8 *insn;
	u8 ninsn;
};

/* Why a task is switched; the numbers of the emulator's enum emul_task_reason. */
enum mhv_task_reason { MHV_TASK_CALL, MHV_TASK_IRET, MHV_TASK_JMP, MHV_TASK_GATE };

/**
 * struct mhv_task_exit - a task switch that exited
 * @selector: of the new TSS
 * @reason: enum mhv_task_reason; MHV_TASK_GATE: an event came through a task gate in the IDT.
 *	Unless it was a software one, it is in vcpu->reinject.
 * @skip: an instruction did it (also INT n, INT3, INTO, INT1), and the old task is to go on
 *	behind it
 * @has_error: the event pushes an error code
 * @error: that
 */
struct mhv_task_exit {
	u16 selector;
	u8 reason;
	bool skip;
	bool has_error;
	u32 error;
};

int mhv_exit_task_switch(struct mhv_vcpu *vcpu, const struct mhv_task_exit *exit);
int mhv_exit_pio(struct mhv_vcpu *vcpu);
int mhv_exit_string_pio(struct mhv_vcpu *vcpu);
int mhv_exit_npf(struct mhv_vcpu *vcpu, const struct mhv_npf_exit *npf);
int mhv_exit_cpuid(struct mhv_vcpu *vcpu);
int mhv_exit_rdmsr(struct mhv_vcpu *vcpu);
int mhv_exit_wrmsr(struct mhv_vcpu *vcpu);
int mhv_exit_hlt(struct mhv_vcpu *vcpu);
int mhv_exit_cr_write(struct mhv_vcpu *vcpu, unsigned int cr, u64 val);
int mhv_exit_cr_read(struct mhv_vcpu *vcpu, unsigned int cr, unsigned int gpr);
int mhv_exit_dr_detect(struct mhv_vcpu *vcpu);
int mhv_exit_dr(struct mhv_vcpu *vcpu, unsigned int dr, unsigned int gpr, bool write);
int mhv_exit_xsetbv(struct mhv_vcpu *vcpu);
int mhv_exit_hypercall(struct mhv_vcpu *vcpu);
int mhv_exit_exception(struct mhv_vcpu *vcpu, const struct mhv_event *ev);
void mhv_exit_behind(struct mhv_vcpu *vcpu, u64 next);
int mhv_exit_interrupt(struct mhv_vcpu *vcpu);	/* the host's, served by now */
int mhv_exit_window(struct mhv_vcpu *vcpu);
int mhv_exit_tpr(struct mhv_vcpu *vcpu);
int mhv_exit_pause(struct mhv_vcpu *vcpu);
int mhv_exit_nop(struct mhv_vcpu *vcpu);	/* INVD, WBINVD */
int mhv_exit_mwait(struct mhv_vcpu *vcpu);
int mhv_exit_undefined(struct mhv_vcpu *vcpu);	/* an instruction guests lack */
int mhv_exit_emulate(struct mhv_vcpu *vcpu);	/* decode and execute it */
int mhv_exit_shutdown(struct mhv_vcpu *vcpu);
int mhv_exit_entry_failed(struct mhv_vcpu *vcpu, u64 reason);
int mhv_exit_unknown(struct mhv_vcpu *vcpu, u64 reason);

/* run.c; interrupts off */
void mhv_host_mce(void);
void mhv_load_dr(const u64 *dr);
void mhv_read_dr(u64 *dr);

/* ---- the length of an intercepted instruction (emul/glue.c) ---- */

/**
 * struct mhv_opcode - the bytes of an instruction without prefixes
 * @bytes: little endian
 * @len: how many; 0: not known beforehand
 */
struct mhv_opcode {
	u32 bytes;
	u8 len;
};

int mhv_insn_length(struct mhv_vcpu *vcpu, u64 linear, struct mhv_opcode expect);

#endif /* MHV_BACKEND_H */
