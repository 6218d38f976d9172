/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects of minihv: a VM, its vCPUs, and a vCPU's architectural state.
 *
 * Included by every file above the pure models.  Nothing in here, and nothing
 * that includes it outside svm/ and vmx/, knows which vendor's hardware is in
 * use: the core asks capability bits (struct mhv_caps in backend.h), never
 * "is this AMD".
 *
 * Locks, outermost first; take them in this order only:
 *
 *   mhv_global      mutex   hardware enable count
 *   vm->lock        mutex   creation of vCPUs, irqchip, PIT; capabilities
 *   vcpu->mutex     mutex   every vCPU ioctl; owns each [v] field
 *   vm->slots_lock  mutex   writers of memslots and I/O buses, dirty log
 *   vm->irq_lock    mutex   writers of GSI routing and irqfds
 *   mmap_lock               the kernel's
 *   vm->mmu_lock    rwlock  nested page tables, notifier sequence
 *   pit->lock       raw     then ioapic->lock or pic->lock (raw, irqsave)
 *   irqfds.lock     spin
 *
 *   vm->srcu        readers of memslots and buses
 *   vm->irq_srcu    readers of GSI routing
 *
 * Legend of the field tags:
 *   [I] immutable once the object can be seen   [v] vcpu->mutex
 *   [s] written under slots_lock, read in srcu  [m] mmu_lock
 *   [a] atomic, any thread                      [t] the vCPU's thread only
 *   [l] vm->lock
 */
#ifndef MHV_MINIHV_H
#define MHV_MINIHV_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/kvm_types.h>
#include <linux/hrtimer.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/srcu.h>
#include <linux/xarray.h>
#include <asm/fpu/api.h>
#include <asm/debugreg.h>
#include <asm/fpu/types.h>
#include <asm/trapnr.h>

/* Of DR7 and DR6, beside what the kernel's <asm/debugreg.h> has. */
#define DR7_GD		BIT(13)		/* any access to a DR is a #DB */
#ifndef DR6_BD
#define DR6_BD		BIT(13)		/* that was one */
#endif

#include "mem/mem.h"
#include "io/irqchip.h"

#define MHV_MAX_VCPUS		128
#define MHV_MAX_VCPU_ID		255	/* ids 0..254: all that xAPIC can name */
#define MHV_SYNC_FIELDS		(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)
#define MHV_GUEST_DEBUG		(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |		\
				 KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |		\
				 KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |		\
				 KVM_GUESTDBG_BLOCKIRQ)
#define MHV_QUIRKS		(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |	\
				 KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |	\
				 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |				\
				 KVM_X86_QUIRK_FIX_HYPERCALL_INSN |				\
				 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)
#define MHV_EXIT_HYPERCALLS	BIT(KVM_HC_MAP_GPA_RANGE)	/* that userspace may serve */
#define MHV_MAX_CPUID		80	/* entries; what the smallest client takes */

/* What a handler of the core returns, beside -errno. */
enum mhv_next {
	MHV_USER = 0,		/* kvm_run is filled: return to userspace */
	MHV_RESUME = 1,		/* go on with the guest */
};

/* Index of a general register: the number that instructions encode. */
enum mhv_gpr {
	MHV_RAX, MHV_RCX, MHV_RDX, MHV_RBX, MHV_RSP, MHV_RBP, MHV_RSI, MHV_RDI,
	MHV_R8, MHV_R9, MHV_R10, MHV_R11, MHV_R12, MHV_R13, MHV_R14, MHV_R15,
};

/* Index of a segment register: 0 to 5 as instructions encode them. */
enum mhv_sreg {
	MHV_ES, MHV_CS, MHV_SS, MHV_DS, MHV_FS, MHV_GS, MHV_LDTR, MHV_TR,
	MHV_NR_SREGS,
};

/**
 * struct mhv_segment - a segment register with its hidden part
 * @base: linear base
 * @limit: in bytes, granularity already applied
 * @selector: the visible part
 * @attr: bits 8 to 23 of the descriptor's upper half: type, S, DPL and P in
 *        bits 0 to 7, AVL, L, D/B and G in bits 12 to 15.  P clear: unusable.
 */
struct mhv_segment {
	u64 base;
	u32 limit;
	u16 selector;
	u16 attr;
};

#define MHV_SEG_TYPE	0x000f
#define MHV_SEG_S	BIT(4)
#define MHV_SEG_DPL(a)	(((a) >> 5) & 3)
#define MHV_SEG_P	BIT(7)
#define MHV_SEG_AVL	BIT(12)
#define MHV_SEG_L	BIT(13)
#define MHV_SEG_DB	BIT(14)
#define MHV_SEG_G	BIT(15)

struct mhv_dtable {
	u64 base;
	u16 limit;
};

/*
 * State groups.  A group's value is in the hardware's control block, in
 * vcpu->state, or in both; two bitmaps say which:
 *
 *   avail dirty
 *     0     0    only the control block has it
 *     1     0    vcpu->state is a clean copy
 *     1     1    vcpu->state is newer: stored before the next entry
 *     0     1    a bug of ours: the VM dies
 */
enum mhv_group {
	MHV_G_GPR	= BIT(0),	/* gpr[] */
	MHV_G_RIP_FLAGS	= BIT(1),	/* rip, rflags */
	MHV_G_CODE	= BIT(2),	/* seg[] of CS and SS (the CPL is SS's DPL) */
	MHV_G_DT	= BIT(3),	/* gdt, idt */
	MHV_G_CR	= BIT(4),	/* cr0, cr2, cr3, cr4 */
	MHV_G_EFER	= BIT(5),	/* efer */
	MHV_G_PDPTR	= BIT(6),	/* pdptr[]; where hardware caches them */
	MHV_G_SYSMSR	= BIT(7),	/* star ... pat */
	MHV_G_DR	= BIT(8),	/* dr[], dr6, dr7 */
	MHV_G_INTR	= BIT(9),	/* shadow, nmi_masked */
	MHV_G_TSC	= BIT(10),	/* tsc_offset */
	MHV_G_DATA	= BIT(11),	/* the rest of seg[] */
	MHV_G_SEG	= MHV_G_CODE | MHV_G_DATA,
	MHV_G_ALL	= BIT(12) - 1,
};

/* state.shadow: what the last instruction blocks for the next one. */
#define MHV_SHADOW_STI		BIT(0)
#define MHV_SHADOW_MOV_SS	BIT(1)

struct mhv_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	struct mhv_segment seg[MHV_NR_SREGS];
	struct mhv_dtable gdt;
	struct mhv_dtable idt;
	u64 cr0;
	u64 cr2;
	u64 cr3;
	u64 cr4;
	u64 efer;
	u64 pdptr[4];
	u64 star;
	u64 lstar;
	u64 cstar;
	u64 sfmask;
	u64 kernel_gs_base;
	u64 sysenter_cs;
	u64 sysenter_esp;
	u64 sysenter_eip;
	u64 pat;
	u64 dr[4];
	u64 dr6;
	u64 dr7;
	u64 tsc_offset;
	u8 shadow;
	bool nmi_masked;
};

/* What can be delivered through the guest's IDT. */
enum mhv_event_type {
	MHV_EV_NONE,
	MHV_EV_INTR,		/* an external interrupt */
	MHV_EV_NMI,
	MHV_EV_EXCEPTION,
};

/**
 * struct mhv_event - one event to deliver, or whose delivery was cut short
 * @type: enum mhv_event_type
 * @vector: IDT vector
 * @has_error: an error code is pushed
 * @has_payload: @payload is still to be written to CR2 (#PF) or DR6 (#DB)
 * @insn_len: #BP: the length of the instruction; 0: not known
 * @error: the error code
 * @payload: see @has_payload
 */
struct mhv_event {
	u8 type;
	u8 vector;
	bool has_error;
	bool has_payload;
	u8 insn_len;
	u32 error;
	u64 payload;
};

/* Requests to a vCPU, served before the next entry in this order. */
enum mhv_request {
	MHV_REQ_VM_DEAD,	/* leave with -EIO */
	MHV_REQ_RING_FULL,	/* leave with KVM_EXIT_DIRTY_RING_FULL */
	MHV_REQ_TRIPLE_FAULT,	/* leave with KVM_EXIT_SHUTDOWN */
	MHV_REQ_TPR_ACCESS,	/* leave with KVM_EXIT_TPR_ACCESS */
	MHV_REQ_SCAN_EOI,	/* the set of vectors whose EOI is reported changed */
	MHV_REQ_CLOCK,		/* write the kvmclock page anew */
	MHV_REQ_STEAL,		/* write the page of stolen time */
	MHV_REQ_VAPIC,		/* write the VAPIC page */
	MHV_REQ_IOAPIC_EOI,	/* leave with KVM_EXIT_IOAPIC_EOI */
	MHV_REQ_MSR_FILTER,	/* other MSRs are filtered than before */
	MHV_REQ_NMI,		/* take vcpu->nmi_queued into account */
	MHV_REQ_UNBLOCK,	/* INIT or SIPI, or a halted vCPU is to look again */
	MHV_REQ_EVENT,		/* look again whether something can be injected */
};

/* vcpu->mode; IN_GUEST is set before the last look at vcpu->requests. */
enum mhv_mode { MHV_OUTSIDE, MHV_IN_GUEST };

/* Counters, all u64, that debugfs and KVM_GET_STATS_FD show; stats.c has their names. */
struct mhv_vcpu_stat {
	u64 exits;		/* 0: never entered */
	u64 io_exits;
	u64 mmio_exits;
	u64 irq_exits;
	u64 nmi_exits;
	u64 halt_exits;
	u64 irq_injections;
	u64 nmi_injections;
	u64 exceptions;
	u64 irq_window_exits;
	u64 faults;
	u64 emulations;
	u64 signal_exits;
	u64 hypercalls;
	u64 user_exits;
	u64 tlb_flushes;
};

struct mhv_emul;	/* emul/glue.h */

/*
 * Features of the guest's CPUID that the core asks for: vcpu->features, worked
 * out once when userspace sets the CPUID.
 */
enum mhv_guest_feature {
	MHV_GUEST_AMD		= BIT(0),	/* vendor AMD or Hygon */
	MHV_GUEST_INTEL		= BIT(1),	/* vendor Intel */
	MHV_GUEST_X2APIC	= BIT(2),
	MHV_GUEST_TSC_DEADLINE	= BIT(3),
	MHV_GUEST_SSE3		= BIT(4),
	MHV_GUEST_PCID		= BIT(5),
	MHV_GUEST_TSC_ADJUST	= BIT(6),
	MHV_GUEST_RTM		= BIT(7),
	MHV_GUEST_TSC_AUX	= BIT(8),	/* RDTSCP or RDPID */
	MHV_GUEST_ARCH_CAPS	= BIT(9),
	MHV_GUEST_SPEC_CTRL	= BIT(10),
	MHV_GUEST_PRED_CMD	= BIT(11),
	MHV_GUEST_LM		= BIT(12),
	MHV_GUEST_NX		= BIT(13),
	MHV_GUEST_FXSR_OPT	= BIT(14),
	MHV_GUEST_OSVW		= BIT(15),
	MHV_GUEST_XSAVES	= BIT(16),
	MHV_GUEST_RDTSCP	= BIT(17),
	MHV_GUEST_INVPCID	= BIT(18),
	MHV_GUEST_RDRAND	= BIT(19),
	MHV_GUEST_RDSEED	= BIT(20),
};

/* The guest's kvmclock and its view of time (clock.c). */
struct mhv_vcpu_clock {
	u64 system_time_msr;	/* [v] MSR_KVM_SYSTEM_TIME_NEW, bit 0: enabled */
	u64 tsc_adjust;		/* [v] IA32_TSC_ADJUST */
	u64 tsc_ratio;		/* [v] caps.tsc_ratio_frac_bits fixed point; 0: no scaling */
	u32 tsc_khz;		/* [v] the guest's TSC frequency */
	int cpu;		/* [v] where the page's TSC was read */
	bool active;		/* [v] there is a page to write */
	bool guest_stopped;	/* [v] KVM_KVMCLOCK_CTRL */
};

#define MHV_MCE_BANKS	32

/* The guest's machine-check registers (mce.c). */
struct mhv_vcpu_mce {
	u64 cap;		/* [v] IA32_MCG_CAP */
	u64 status;		/* [v] IA32_MCG_STATUS */
	u64 ctl;		/* [v] IA32_MCG_CTL */
	u64 bank[MHV_MCE_BANKS][4]; /* [v] control, status, address, misc */
	bool status_writable;	/* [v] HWCR.McStatusWrEn */
};

/* Time that the host took from a vCPU (pv.c). */
struct mhv_steal {
	u64 msr;		/* MSR_KVM_STEAL_TIME */
	u64 last;		/* the thread's delay when last told */
	pid_t thread;		/* whose that was */
	bool shown_preempted;	/* the page says that the vCPU does not run */
};

/* shown_tpr: no CR8 is this, so the next exit looks at what the guest and its LAPIC share. */
#define MHV_TPR_LOOK	0xff

/* What a guest and its LAPIC share in memory (io/vapic.c). */
struct mhv_vapic {
	gpa_t page;		/* KVM_SET_VAPIC_ADDR; 0: none */
	u64 eoi_msr;		/* MSR_KVM_PV_EOI_EN */
	u64 tpr_rip;		/* of the instruction that accessed the TPR */
	bool tpr_write;		/* and how */
	bool report_tpr;	/* KVM_TPR_ACCESS_REPORTING */
	bool eoi_pending;	/* the guest may end the interrupt by clearing a bit */
	bool late;		/* the page could not be written before the entry */
};

/* Where userspace finds the frames that a vCPU dirtied (mem/dirty_ring.c). */
struct mhv_dirty_ring {
	raw_spinlock_t lock;		/* who adds */
	struct kvm_dirty_gfn *gfns;	/* [I] NULL without dirty rings */
	u32 nr;				/* [I] entries; a power of two, or 0 */
	u32 dirty;			/* entries added so far */
	u32 reset;			/* and taken back; slots_lock */
};

/**
 * struct mhv_pio - an IN or OUT, until its instruction is done (exits.c)
 * @rip: where the instruction stands, if userspace serves it
 * @next_rip: of the instruction after it
 * @data: what is written, or was read; more than @size bytes of it may be set
 * @port: the port
 * @size: 1, 2 or 4
 * @in: IN rather than OUT
 */
struct mhv_pio {
	u64 rip;
	u64 next_rip;
	u32 data;
	u16 port;
	u8 size;
	bool in;
};

struct mhv_vcpu {
	struct mhv_vm *vm;		/* [I] */
	struct kvm_run *run;		/* [I] page 0 of the mapping */
	void *pio_data;			/* [I] page 1 */
	u32 id;				/* [I] as userspace chose; the APIC id */
	u32 index;			/* [I] position in vm->vcpus */

	struct mutex mutex;		/* all [v] fields; see the legend above */
	unsigned long requests;		/* [a] BIT(enum mhv_request) */
	int mode;			/* [a] enum mhv_mode */
	int cpu;			/* [t] loaded on this CPU, or -1 */
	u32 avail;			/* [v] groups valid in state */
	u32 dirty;			/* [v] groups newer in state */
	struct mhv_state state;		/* [v] */

	struct mhv_event reinject;	/* [v] cut short, or injected anew */
	struct mhv_event exception;	/* [v] pending, not yet injected */
	u8 nmi_pending;			/* [v] 0, 1 or 2 */
	u8 window;			/* [v] MHV_WINDOW_* that is open */
	u8 eoi_vector;			/* [v] for MHV_REQ_IOAPIC_EOI */
	int extint;			/* [v] vector of KVM_INTERRUPT with a split chip, or -1 */
	atomic_t nmi_queued;		/* [a] NMIs sent, not yet in nmi_pending */

	u64 tlb_gen;			/* [v] vm->tlb_gen when last flushed */
	u64 root_gen;			/* [v] vm->mmu.root_gen when last set */
	u8 hw_tpr;			/* [v] CR8 as the guest left it */
	u8 shown_tpr;			/* [v] as sync_tpr() showed it, or MHV_TPR_LOOK */
	bool dr_active;			/* [v] DR7 has a breakpoint on: load DR0 to DR3 */
	bool dr_loaded;			/* [v] the CPU has them still */
	u64 xcr0;			/* [v] */
	u64 xcr0_supported;		/* [v] by the guest's CPUID */
	u64 xss;			/* [v] */
	u64 spec_ctrl;			/* [v] guest's IA32_SPEC_CTRL */
	u64 tsc_aux;			/* [v] */
	u64 misc_enable;		/* [v] IA32_MISC_ENABLE */
	bool cpuid_faults;		/* [v] CPUID outside CPL 0 is a #GP */
	u64 cr4_allowed;		/* [v] CR4 bits that the guest's CPUID permits */
	u64 cr8;			/* [v] task priority where no LAPIC is in the kernel */
	u64 apic_base;			/* [v] IA32_APIC_BASE */
	u8 maxphyaddr;			/* [v] */

	u32 mp_state;			/* [v] KVM_MP_STATE_* */
	struct mhv_lapic *lapic;	/* [I] NULL without one in the kernel */
	struct mhv_vapic vapic;		/* [v] */

	u32 bus_hint[MHV_NR_BUSES];	/* [v] where the last access of each was found */
	int (*complete)(struct mhv_vcpu *vcpu);	/* [v] finishes a user exit */
	struct mhv_pio pio;		/* [v] */
	struct mhv_emul *emul;		/* [I] */

	struct kvm_cpuid_entry2 *cpuid;	/* [v] as userspace set it */
	u32 nr_cpuid;			/* [v] */
	u16 cpuid_index[3][64];		/* [v] leaf -> first entry + 1; 0: none */
	u32 features;			/* [v] enum mhv_guest_feature, from the CPUID */
	u32 emul_features;		/* [v] EMUL_FEAT_*, likewise */
	u32 pv_features;		/* [v] KVM_FEATURE_*, likewise */
	bool pv_unhalted;		/* [a] KVM_HC_KICK_CPU: the next HLT ends at once */
	bool pv_enforced;		/* [v] the guest may use no others */
	bool cpuid_set;			/* [v] userspace has set one */

	struct mhv_msr_store *msrs;	/* [I] plain values of MSRs: msr.c */
	struct mhv_vcpu_clock clock;	/* [v] */
	struct mhv_vcpu_mce mce;	/* [v] */
	struct mhv_steal steal;		/* [t] */
	u64 poll_control;		/* [v] MSR_KVM_POLL_CONTROL */

	u32 guest_debug;		/* [v] KVM_GUESTDBG_* */
	u64 debug_dr[4];		/* [v] the debugger's DR0 to DR3 */
	u64 debug_dr7;			/* [v] */
	u64 bp_rip;			/* [v] where the debugger was last told of an INT3 */
	u8 bp_len;			/* [v] that INT3's length, or 0 */

	struct mhv_dirty_ring dirty_ring; /* own lock */
	struct rcuwait wait;		/* [a] the vCPU's thread while halted */
	struct preempt_notifier preempt;
	struct fpu_guest fpu;		/* [v] */
	u64 host_tsc_aux;		/* [t] */

	sigset_t sigset;		/* [v] */
	bool sigset_active;		/* [v] */
	bool note_qs;			/* [t] the next entry is a quiescent state of RCU */
	bool preempted;			/* [t] */
	struct task_struct *task;	/* [a] the thread in KVM_RUN, to yield to */
	struct mhv_vcpu_stat stat;	/* [t] read racily by debugfs */
};

/* VM-wide time (clock.c). */
struct mhv_vm_clock {
	raw_spinlock_t lock;
	s64 offset;		/* kvmclock = boot time in ns + offset */
	u64 wall_clock_msr;	/* MSR_KVM_WALL_CLOCK_NEW, as last written */
	u64 last_tsc_write;	/* matching of TSCs written one after another */
	s64 last_tsc_ns;
	u64 last_tsc_offset;
	u32 last_tsc_khz;
	bool tsc_restored;	/* userspace has written one of them */
	bool master;		/* one pair of TSC and ns serves all vCPUs */
	u64 master_tsc;
	s64 master_ns;
};

struct mhv_vm {
	struct list_head link;		/* mhv_global */
	struct kref users;		/* VM fd, vCPU fds, devices */
	struct mm_struct *mm;		/* [I] the creator's */
	bool dead;			/* [a] a bug of ours, or the mm is gone */
	struct mutex lock;		/* all [l] fields */
	struct mutex slots_lock;	/* writers of [s] fields */
	struct mutex irq_lock;		/* writers of routing and irqfds */
	struct srcu_struct srcu;
	struct srcu_struct irq_srcu;

	struct xarray vcpus;		/* [l] by index; read anywhere */
	u32 nr_vcpus;			/* [l] */
	struct mhv_vcpu *vcpu_by_id[MHV_MAX_VCPU_ID]; /* [l] */
	u32 boot_cpu_id;		/* [l] */
	u32 max_vcpu_id;		/* [l] KVM_CAP_MAX_VCPU_ID */
	bool max_vcpu_id_set;		/* [l] by userspace */

	struct mhv_memslots *slots;	/* [s] */
	rwlock_t mmu_lock;
	struct mhv_mmu mmu;		/* [m] */
	atomic64_t tlb_gen;		/* [a] nothing older survives an entry */
	struct mmu_notifier notifier;

	struct mhv_iobus *buses[MHV_NR_BUSES];	/* [s] */
	struct mhv_coalesced coalesced;		/* own lock */
	struct mhv_irqchip irqchip;		/* [l] set once */
	struct mhv_routing *routing;		/* irq_lock / irq_srcu */
	struct mhv_irqfds irqfds;

	struct mhv_vm_clock clock;
	u32 default_tsc_khz;		/* [l] for vCPUs to come */
	u64 disabled_quirks;		/* [a] KVM_X86_QUIRK_* that userspace does without */
	u32 user_msrs;			/* [a] KVM_MSR_EXIT_REASON_* that userspace serves */
	struct mhv_msr_filter *msr_filter; /* [l] read in srcu; NULL: all MSRs are allowed */
	u32 disabled_exits;		/* [l] KVM_X86_DISABLE_EXITS_*, of vCPUs to come */
	u32 exit_hypercalls;		/* [a] BIT(KVM_HC_*) that userspace serves */
	u32 manual_dirty_log;		/* [a] KVM_DIRTY_LOG_* */
	u32 dirty_ring_bytes;		/* [l] of each vCPU's dirty ring; 0: bitmaps */
	unsigned long nr_mmu_pages;	/* [l] told, and not used */
	u32 caps;			/* [l] BIT(enum mhv_vm_cap), once set stays */
	struct dentry *debugfs;		/* [I] */
	u32 vm_id;			/* [I] its number in debugfs */
};

/* vm->caps: behaviour that KVM_ENABLE_CAP switched on. */
enum mhv_vm_cap {
	MHV_VMCAP_X2APIC_32BIT,		/* X2APIC_API: 32-bit ids */
	MHV_VMCAP_X2APIC_NO_BCAST,	/* X2APIC_API: 0xff is no broadcast */
	MHV_VMCAP_EXC_PAYLOAD,		/* exception payloads are userspace's */
	MHV_VMCAP_TRIPLE_FAULT,		/* pending triple faults are userspace's */
	MHV_VMCAP_EMUL_FAIL_EXIT,	/* userspace sees each failed emulation */
	MHV_VMCAP_NO_PLATFORM_INFO,	/* guests cannot read MSR_PLATFORM_INFO */
};

/**
 * mhv_for_each_vcpu - walk the vCPUs of a VM that exist by now
 * @i: unsigned long, the index
 * @vcpu: struct mhv_vcpu *, the cursor
 * @vm: the VM
 *
 * Context: any; vCPUs are only ever added while the VM lives.
 */
#define mhv_for_each_vcpu(i, vcpu, vm) \
	xa_for_each(&(vm)->vcpus, i, vcpu)

/* ---- state groups ---- */

void mhv_state_fetch(struct mhv_vcpu *vcpu, u32 groups);

/**
 * mhv_state_need - make groups valid in vcpu->state
 * @vcpu: the vCPU, loaded
 * @groups: enum mhv_group
 */
static inline void mhv_state_need(struct mhv_vcpu *vcpu, u32 groups)
{
	if (unlikely(groups & ~vcpu->avail))
		mhv_state_fetch(vcpu, groups & ~vcpu->avail);
}

/**
 * mhv_state_change - make groups valid and mark them to be stored
 * @vcpu: the vCPU, loaded
 * @groups: enum mhv_group that the caller is about to modify in vcpu->state
 */
static inline void mhv_state_change(struct mhv_vcpu *vcpu, u32 groups)
{
	mhv_state_need(vcpu, groups);
	vcpu->dirty |= groups;
}

static inline u64 mhv_gpr(struct mhv_vcpu *vcpu, unsigned int reg)
{
	mhv_state_need(vcpu, MHV_G_GPR);
	return vcpu->state.gpr[reg];
}

static inline void mhv_set_gpr(struct mhv_vcpu *vcpu, unsigned int reg, u64 val)
{
	mhv_state_change(vcpu, MHV_G_GPR);
	vcpu->state.gpr[reg] = val;
}

static inline u64 mhv_rip(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_RIP_FLAGS);
	return vcpu->state.rip;
}

static inline unsigned int mhv_cpl(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_CODE);
	return MHV_SEG_DPL(vcpu->state.seg[MHV_SS].attr);
}

bool mhv_is_64bit_mode(struct mhv_vcpu *vcpu);	/* CS.L in long mode */

/* ---- requests and kicks: the two calls that go up (run.c) ---- */

/**
 * mhv_request - ask a vCPU for something before its next entry
 * @vcpu: any vCPU
 * @req: what
 *
 * The caller's stores before it are seen by whoever serves the request.  Does
 * not wake or interrupt the vCPU: mhv_kick() does.  Context: any.
 */
static inline void mhv_request(struct mhv_vcpu *vcpu, enum mhv_request req)
{
	smp_wmb();	/* pairs with the rmb in mhv_take_request() */
	set_bit(req, &vcpu->requests);
}

static inline bool mhv_take_request(struct mhv_vcpu *vcpu, enum mhv_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	smp_mb__after_atomic();	/* pairs with the wmb in mhv_request() */
	return true;
}

void mhv_kick(struct mhv_vcpu *vcpu);
void mhv_kick_all(struct mhv_vm *vm, bool wait);
void mhv_request_all(struct mhv_vm *vm, enum mhv_request req);

/* ---- a bug of ours kills the VM, not the host ---- */

void mhv_vm_kill(struct mhv_vm *vm, const char *file, int line, const char *what);

/**
 * MHV_BUG_ON - an invariant of minihv that does not hold
 * @cond: the broken condition
 * @vm: whose; from now on every ioctl on it gives -EIO
 *
 * Logs once per VM.  Evaluates to @cond.
 */
#define MHV_BUG_ON(cond, vm) ({						\
	bool __bad = unlikely(!!(cond));				\
	if (__bad)							\
		mhv_vm_kill((vm), __FILE__, __LINE__, #cond);		\
	__bad;								\
})

/* ---- state.c ---- */
void mhv_vcpu_reset(struct mhv_vcpu *vcpu, bool init);
bool mhv_cr0_valid(u64 cr0);
bool mhv_cr4_valid(struct mhv_vcpu *vcpu, u64 cr4);
int mhv_set_cr0(struct mhv_vcpu *vcpu, u64 cr0);
int mhv_set_cr8(struct mhv_vcpu *vcpu, u64 cr8);
int mhv_set_cr(struct mhv_vcpu *vcpu, unsigned int cr, u64 val);
u64 mhv_get_cr8(struct mhv_vcpu *vcpu);
u64 mhv_get_cr(struct mhv_vcpu *vcpu, unsigned int cr);
int mhv_set_efer(struct mhv_vcpu *vcpu, u64 efer, bool host);
int mhv_set_xcr0(struct mhv_vcpu *vcpu, u64 xcr0);
int mhv_set_dr(struct mhv_vcpu *vcpu, unsigned int n, u64 val);
u64 mhv_get_dr(struct mhv_vcpu *vcpu, unsigned int n);
bool mhv_is_pae_paging(struct mhv_vcpu *vcpu);
bool mhv_gpa_illegal(struct mhv_vcpu *vcpu, u64 gpa);
void mhv_dr7_changed(struct mhv_vcpu *vcpu);
int mhv_set_apic_base(struct mhv_vcpu *vcpu, u64 val, bool host);

/* ---- stateio.c ---- */
void mhv_get_regs(struct mhv_vcpu *vcpu, struct kvm_regs *regs);
void mhv_set_regs(struct mhv_vcpu *vcpu, const struct kvm_regs *regs);
void mhv_get_sregs(struct mhv_vcpu *vcpu, struct kvm_sregs *sregs);
int mhv_set_sregs(struct mhv_vcpu *vcpu, const struct kvm_sregs *sregs);
void mhv_get_sregs2(struct mhv_vcpu *vcpu, struct kvm_sregs2 *sregs2);
int mhv_set_sregs2(struct mhv_vcpu *vcpu, const struct kvm_sregs2 *sregs2);
void mhv_get_fpu(struct mhv_vcpu *vcpu, struct kvm_fpu *fpu);
void mhv_set_fpu(struct mhv_vcpu *vcpu, const struct kvm_fpu *fpu);
void mhv_get_xsave(struct mhv_vcpu *vcpu, struct kvm_xsave *xsave);
int mhv_set_xsave(struct mhv_vcpu *vcpu, const struct kvm_xsave *xsave);
void mhv_get_xcrs(struct mhv_vcpu *vcpu, struct kvm_xcrs *xcrs);
int mhv_set_xcrs(struct mhv_vcpu *vcpu, const struct kvm_xcrs *xcrs);
void mhv_get_debugregs(struct mhv_vcpu *vcpu, struct kvm_debugregs *dbg);
int mhv_set_debugregs(struct mhv_vcpu *vcpu, const struct kvm_debugregs *dbg);
void mhv_get_vcpu_events(struct mhv_vcpu *vcpu, struct kvm_vcpu_events *ev);
int mhv_set_vcpu_events(struct mhv_vcpu *vcpu, const struct kvm_vcpu_events *ev);
void mhv_get_mp_state(struct mhv_vcpu *vcpu, struct kvm_mp_state *mp);
int mhv_set_mp_state(struct mhv_vcpu *vcpu, const struct kvm_mp_state *mp);

/* ---- cpuid.c ---- */
int mhv_cpuid_supported(struct kvm_cpuid2 __user *user);
int mhv_cpuid_set(struct mhv_vcpu *vcpu, struct kvm_cpuid2 __user *user);
int mhv_cpuid_get(struct mhv_vcpu *vcpu, struct kvm_cpuid2 __user *user);
void mhv_cpuid(struct mhv_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
struct kvm_cpuid_entry2 *mhv_cpuid_find(struct mhv_vcpu *vcpu, u32 leaf, u32 sub);
void mhv_cpuid_runtime(struct mhv_vcpu *vcpu);
void mhv_cpuid_vcpu_init(struct mhv_vcpu *vcpu);
void mhv_cpuid_setup(void);
u64 mhv_host_xcr0(void);

/* ---- msr.c ---- */
int mhv_msr_get(struct mhv_vcpu *vcpu, u32 index, u64 *val, bool host);
int mhv_msr_set(struct mhv_vcpu *vcpu, u32 index, u64 val, bool host);
int mhv_msrs_io(struct mhv_vcpu *vcpu, struct kvm_msrs __user *user, bool write);
int mhv_msr_index_list(struct kvm_msr_list __user *user, bool features);
int mhv_msr_feature(u32 index, u64 *val);
int mhv_msr_vcpu_init(struct mhv_vcpu *vcpu);
void mhv_msr_vcpu_free(struct mhv_vcpu *vcpu);
void mhv_msr_reset(struct mhv_vcpu *vcpu, bool init);
void mhv_msr_setup(void);

/* Why an MSR cannot be read or written; KVM_MSR_EXIT_REASON_* is BIT(why - 1). */
enum mhv_msr_why {
	MHV_MSR_INVALID = 1,	/* not this value, or not by this guest */
	MHV_MSR_UNKNOWN,	/* there is no such MSR */
	MHV_MSR_FILTERED,	/* userspace does not want it */
};

/* ---- msr_filter.c ---- */

/* struct kvm_msr_filter as a 32-bit process has it. */
struct mhv_compat_msr_filter {
	u32 flags;
	struct {
		u32 flags;
		u32 nmsrs;
		u32 base;
		u32 bitmap;
	} range[KVM_MSR_FILTER_MAX_RANGES];
};

int mhv_msr_filter_set(struct mhv_vm *vm, const struct kvm_msr_filter *user);
int mhv_msr_filter_set_compat(struct mhv_vm *vm, const struct mhv_compat_msr_filter *user);
void mhv_msr_filter_destroy(struct mhv_vm *vm);
bool mhv_msr_filtered(struct mhv_vm *vm, u32 index, u32 what);
bool mhv_msrs_filtered(struct mhv_vm *vm, const u32 *index, unsigned int nr);

/* ---- mce.c ---- */
u64 mhv_mce_supported(void);
int mhv_mce_setup(struct mhv_vcpu *vcpu, u64 cap);
int mhv_mce_inject(struct mhv_vcpu *vcpu, const struct kvm_x86_mce *mce);

/* ---- clock.c ---- */
u64 mhv_guest_tsc(struct mhv_vcpu *vcpu, u64 host_tsc);
void mhv_tsc_write(struct mhv_vcpu *vcpu, u64 val, bool host);
void mhv_tsc_set_offset(struct mhv_vcpu *vcpu, u64 offset);
void mhv_tsc_adjust(struct mhv_vcpu *vcpu, s64 delta);
void mhv_get_clock(struct mhv_vm *vm, struct kvm_clock_data *data);
int mhv_set_clock(struct mhv_vm *vm, const struct kvm_clock_data *data);
int mhv_set_tsc_khz(struct mhv_vcpu *vcpu, u32 khz);
int mhv_set_default_tsc_khz(struct mhv_vm *vm, u32 khz);
int mhv_kvmclock_set(struct mhv_vcpu *vcpu, u64 val);
void mhv_wall_clock_set(struct mhv_vm *vm, u64 gpa);
int mhv_kvmclock_stopped(struct mhv_vcpu *vcpu);
void mhv_clock_update(struct mhv_vcpu *vcpu);
void mhv_clock_load(struct mhv_vcpu *vcpu, int cpu);
void mhv_clock_suspend(void);
void mhv_clock_resume(struct mhv_vm *vm);
void mhv_clock_vm_init(struct mhv_vm *vm);
void mhv_clock_vcpu_init(struct mhv_vcpu *vcpu);

/* ---- pv.c ---- */
int mhv_steal_set(struct mhv_vcpu *vcpu, u64 val);
void mhv_steal_update(struct mhv_vcpu *vcpu);
void mhv_steal_preempted(struct mhv_vcpu *vcpu);

/* ---- attr.c ---- */
int mhv_dev_attr(const struct kvm_device_attr *attr, bool get);
int mhv_vcpu_attr(struct mhv_vcpu *vcpu, const struct kvm_device_attr *attr, unsigned int cmd);

/* ---- exits.c ---- */
void mhv_queue_exception(struct mhv_vcpu *vcpu, u8 vector);
void mhv_queue_exception_e(struct mhv_vcpu *vcpu, u8 vector, u32 error);
void mhv_queue_page_fault(struct mhv_vcpu *vcpu, u64 addr, u32 error);
void mhv_queue_event(struct mhv_vcpu *vcpu, const struct mhv_event *ev);
int mhv_internal_error(struct mhv_vcpu *vcpu, u32 suberror, unsigned int ndata,
		       const u64 *data);
int mhv_emulation_failure(struct mhv_vcpu *vcpu, const u8 *bytes, unsigned int n);
int mhv_hlt(struct mhv_vcpu *vcpu);
int mhv_skip(struct mhv_vcpu *vcpu, u64 next_rip);
void mhv_hypercall(struct mhv_vcpu *vcpu);
int mhv_hypercall_at(struct mhv_vcpu *vcpu, u64 next);
int mhv_foreign_hypercall(struct mhv_vcpu *vcpu);
bool mhv_yield_to(struct mhv_vcpu *vcpu);
bool mhv_pv_allows(struct mhv_vcpu *vcpu, unsigned int feature);
bool mhv_dr_access(struct mhv_vcpu *vcpu, unsigned int *dr);
int mhv_user_pio(struct mhv_vcpu *vcpu, u16 port, unsigned int size,
		 unsigned int count, bool in);

/* ---- emul/glue.c, glue_mmio.c ---- */
int mhv_emulate(struct mhv_vcpu *vcpu);
int mhv_emulate_mmio(struct mhv_vcpu *vcpu, gpa_t gpa, u64 access,
		     const u8 *bytes, unsigned int nbytes);
bool mhv_emul_forced(struct mhv_vcpu *vcpu);
void mhv_emul_cpuid(struct mhv_vcpu *vcpu);
int mhv_emul_create(struct mhv_vcpu *vcpu);
void mhv_emul_destroy(struct mhv_vcpu *vcpu);

/* ---- run.c ---- */
int mhv_vcpu_run(struct mhv_vcpu *vcpu);
void mhv_vcpu_load(struct mhv_vcpu *vcpu);
void mhv_vcpu_put(struct mhv_vcpu *vcpu);
void mhv_run_forget(struct mhv_vcpu *vcpu);
struct mhv_vcpu *mhv_loaded_vcpu(void);
void mhv_run_setup(void);
void mhv_deliver_payload(struct mhv_vcpu *vcpu, struct mhv_event *ev);

/* ---- vcpu.c, vm.c, main.c ---- */
int mhv_sync_regs_in(struct mhv_vcpu *vcpu);
void mhv_sync_regs_out(struct mhv_vcpu *vcpu);
long mhv_vcpu_create(struct mhv_vm *vm, u32 id);
void mhv_vcpu_destroy(struct mhv_vcpu *vcpu);
long mhv_vm_create(unsigned long type);
void mhv_vm_get(struct mhv_vm *vm);
void mhv_vm_put(struct mhv_vm *vm);
void mhv_vms_resumed(void);
u32 mhv_exits_to_disable(void);
int mhv_check_extension(struct mhv_vm *vm, long cap);
int mhv_hardware_get(void);
void mhv_hardware_put(void);

/* ---- stats.c ---- */
#define MHV_NR_COUNTERS		(sizeof(struct mhv_vcpu_stat) / sizeof(u64))

/* A counter of vCPUs: its name, and where struct mhv_vcpu_stat has it. */
struct mhv_counter {
	const char *name;
	size_t offset;
};

extern const struct mhv_counter mhv_counters[MHV_NR_COUNTERS];
long mhv_stats_fd(struct mhv_vm *vm, struct mhv_vcpu *vcpu);

static inline u64 mhv_counter(const struct mhv_vcpu *vcpu, unsigned int i)
{
	return READ_ONCE(*(const u64 *)((const void *)&vcpu->stat + mhv_counters[i].offset));
}

/* ---- emergency.c ---- */
int mhv_emergency_init(void);
void mhv_emergency_exit(void);

/* ---- debugfs.c ---- */
void mhv_debugfs_init(void);
void mhv_debugfs_exit(void);
void mhv_debugfs_vm(struct mhv_vm *vm);
void mhv_debugfs_vm_remove(struct mhv_vm *vm);
void mhv_debugfs_vcpu(struct mhv_vcpu *vcpu);

#endif /* MHV_MINIHV_H */
