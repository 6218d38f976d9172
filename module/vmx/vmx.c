// SPDX-License-Identifier: GPL-2.0
/*
 * Intel VMX: the CPU's switch, one VMCS per vCPU, VPIDs, entry and injection.
 * Entered from the core through mhv_vmx_backend, at the end of this file.
 * Per-CPU data belongs to its CPU with preemption off, the list of active
 * VMCSs with interrupts off; the rest vcpu->mutex.
 * Intel SDM volume 3, "Virtual Machine Extensions".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <asm/debugreg.h>
#include <asm/intel_pt.h>
#include <asm/mmu_context.h>
#include <asm/tlbflush.h>

#include "../compat.h"
#include "../emul/emulate.h"
#include "vmx.h"

#define L1D_ORDER	4	/* 64 KiB */
/* A vCPU of family 6 had better have some microcode. */
#define UCODE_REV	BIT_ULL(32)

DEFINE_PER_CPU(struct vmx_cpu, vmx_cpu);
static unsigned long *msr_bitmap;
static unsigned long *vpids;		/* set: in use */
static DEFINE_SPINLOCK(vpid_lock);
static bool flush_l1d;			/* at each entry: this CPU has L1TF */
static u8 *l1d_pages;			/* with these; NULL: the CPU has a command for it */

/**
 * vmx_field_error() - a field of the VMCS cannot be read or written
 * @field: which
 * @write: that was a write
 *
 * A bug of ours, unless VMX has been switched off under us.
 */
void vmx_field_error(unsigned long field, bool write)
{
	if (this_cpu_read(vmx_cpu.on))
		pr_err_ratelimited("VMCS field %#lx cannot be %s\n", field,
				   write ? "written" : "read");
}

/* Nor has an instruction failed that was not executed, VMX being off. */
static noinline void vmx_insn_error(const char *insn)
{
	if (this_cpu_read(vmx_cpu.on))
		pr_err_ratelimited("%s failed\n", insn);
}

static __always_inline bool vmx_vmxon(u64 pa)
{
	bool bad = true;

	asm volatile("1: vmxon %[pa]\n"
		     "setbe %[bad]\n"
		     "2:" _ASM_EXTABLE(1b, 2b)
		     : [bad] "+q" (bad) : [pa] "m" (pa) : "cc", "memory");
	return !bad;
}

static __always_inline void vmx_vmxoff(void)
{
	asm volatile("1: vmxoff\n2:" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
}

/* An instruction that leaves CF or ZF set where it fails. */
#define VMX_INSN(name, operands, ...)						\
do {										\
	bool bad;								\
										\
	asm volatile("1: " name " " operands "\n2:" _ASM_EXTABLE(1b, 2b)		\
		     : "=@ccbe" (bad) : __VA_ARGS__ : "memory");		\
	if (unlikely(bad))							\
		vmx_insn_error(name);						\
} while (0)

static __always_inline void vmx_vmclear(void *vmcs)
{
	u64 pa = __pa(vmcs);

	VMX_INSN("VMCLEAR", "%[pa]", [pa] "m" (pa));
}

static __always_inline void vmx_vmptrld(void *vmcs)
{
	u64 pa = __pa(vmcs);

	VMX_INSN("VMPTRLD", "%[pa]", [pa] "m" (pa));
}

static __always_inline void vmx_invept(unsigned long type, u64 eptp)
{
	struct { u64 eptp, zero; } operand = { eptp, 0 };

	VMX_INSN("INVEPT", "%[operand], %[type]", [operand] "m" (operand), [type] "r" (type));
}

static __always_inline void vmx_invvpid(unsigned long type, u16 vpid)
{
	struct { u64 vpid, linear; } operand = { vpid, 0 };

	VMX_INSN("INVVPID", "%[operand], %[type]", [operand] "m" (operand), [type] "r" (type));
}

/* Those whose value the VMCS switches, or vcpu_load() and vcpu_put(): no need to exit. */
static const u32 vmx_passthrough_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* ---- the CPU's switch ---- */

static int vmx_supported(void)
{
	if (!(cpuid_ecx(1) & BIT(5)))
		return -ENODEV;
	if (!boot_cpu_has(X86_FEATURE_VMX)) {
		pr_err("VMX is disabled by firmware\n");
		return -EOPNOTSUPP;
	}
#ifdef X86_FEATURE_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED)) {
		pr_err("VMX with FRED is not supported: boot with fred=off\n");
		return -EOPNOTSUPP;
	}
#endif
	return vmx_caps_probe();
}

/* The two bits of an MSR in the bitmap, in different halves of it; set: exit. */
static void msr_bitmap_allow(unsigned long *map, u32 msr)
{
	unsigned int read = msr < 0x2000 ? msr : 0x2000 + (msr & 0x1fff);

	__clear_bit(read, map);
	__clear_bit(0x4000 + read, map);
}

static void vmx_free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *vc = per_cpu_ptr(&vmx_cpu, cpu);

		free_page((unsigned long)vc->vmxon);
		memset(vc, 0, sizeof(*vc));
	}
}

static void vmx_teardown(void)
{
	free_page((unsigned long)msr_bitmap);
	bitmap_free(vpids);
	free_pages((unsigned long)l1d_pages, L1D_ORDER);
	vmx_free_cpus();
}

/* VMXON's region and a VMCS begin with the revision that the CPU understands. */
static void *vmx_alloc_vmcs(int node, gfp_t gfp)
{
	struct page *page = alloc_pages_node(node, gfp | __GFP_ZERO, 0);

	if (!page)
		return NULL;
	*(u32 *)page_address(page) = vmx_caps.revision;
	return page_address(page);
}

static int vmx_alloc_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *vc = per_cpu_ptr(&vmx_cpu, cpu);

		INIT_LIST_HEAD(&vc->active);
		vc->vmxon = vmx_alloc_vmcs(cpu_to_node(cpu), GFP_KERNEL);
		if (!vc->vmxon)
			return -ENOMEM;
	}
	return 0;
}

/*
 * A guest can read the L1 data cache of a CPU with L1TF, through page table
 * entries that are not present.  "l1tf=" on the kernel's command line decides.
 */
static int vmx_setup_l1tf(void)
{
	u64 caps = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl_safe(MSR_IA32_ARCH_CAPABILITIES, &caps);
	flush_l1d = boot_cpu_has_bug(X86_BUG_L1TF) && l1tf_mitigation != L1TF_MITIGATION_OFF &&
		    !(caps & ARCH_CAP_SKIP_VMENTRY_L1DFLUSH);
	if (!flush_l1d || boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		return 0;
	l1d_pages = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, L1D_ORDER);
	return l1d_pages ? 0 : -ENOMEM;
}

/*
 * Before an entry.  Microcode that is too old has no command for it: then what
 * no guest may see is displaced, by twice as much as the caches of such CPUs
 * hold.  The pages are touched first, so that no walk of tables comes between.
 */
static noinline void vmx_flush_l1d(void)
{
	unsigned int i;

	if (likely(!l1d_pages)) {
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
		return;
	}
	for (i = 0; i < PAGE_SIZE << L1D_ORDER; i += PAGE_SIZE)
		READ_ONCE(l1d_pages[i]);
	barrier_nospec();
	for (i = 0; i < PAGE_SIZE << L1D_ORDER; i += 64)
		READ_ONCE(l1d_pages[i]);
	barrier_nospec();
}

/*
 * Before an entry, where the CPU has MMIO Stale Data but none of its kin, for
 * which the buffers are cleared anyway: a guest needs a device's memory to see
 * what is in them.
 */
static noinline void vmx_clear_buffers(void)
{
	static const u16 ds = __KERNEL_DS;

	asm volatile("verw %0" : : "m" (ds) : "cc");
}

/*
 * A CPU with this erratum stops, and the machine with it, when an instruction is
 * fetched by two translations of different size: a guest could have that.
 * Then no code is in large pages, unless "mitigations=off".
 */
static bool vmx_has_multihit(void)
{
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

/* Controls that make an instruction #UD, or let it be: as the guest's CPUID has it. */
static const struct {
	u32 bit;
	bool exits;
	u32 feature;
} vmx_insns[] = {
	{ SECONDARY_EXEC_ENABLE_RDTSCP, false, MHV_GUEST_TSC_AUX },	/* and RDPID */
	{ SECONDARY_EXEC_ENABLE_INVPCID, false, MHV_GUEST_INVPCID },
	{ MHV_EXEC_XSAVES, false, MHV_GUEST_XSAVES },
	{ SECONDARY_EXEC_RDRAND_EXITING, true, MHV_GUEST_RDRAND },
	{ SECONDARY_EXEC_RDSEED_EXITING, true, MHV_GUEST_RDSEED },
};

/* What no guest can be let have. */
static u32 vmx_lacks(void)
{
	u32 lacks = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx_insns); i++)
		if (!vmx_insns[i].exits && !(vmx_caps.ctl[VMX_PROC2] & vmx_insns[i].bit))
			lacks |= vmx_insns[i].feature;
	return lacks;
}

static int vmx_setup(void)
{
	struct mhv_caps *caps = &mhv_vmx_backend.caps;
	unsigned int i;

	msr_bitmap = (void *)__get_free_page(GFP_KERNEL);
	vpids = bitmap_zalloc(VMX_NR_VPIDS, GFP_KERNEL);
	if (!msr_bitmap || !vpids || vmx_alloc_cpus() || vmx_setup_l1tf()) {
		vmx_teardown();
		return -ENOMEM;
	}
	memset(msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(vmx_passthrough_msrs); i++)
		msr_bitmap_allow(msr_bitmap, vmx_passthrough_msrs[i]);
	__set_bit(0, vpids);	/* the host's */

	/*
	 * Nested tables have a format of their own.  RAM is write-back whatever
	 * the guest's PAT says: nothing bypasses the caches to it.
	 */
	caps->pte = (struct mhv_pte_format){
		.present = VMX_EPT_READABLE_MASK,
		.write = VMX_EPT_WRITABLE_MASK,
		.exec = VMX_EPT_EXECUTABLE_MASK,
		.accessed = vmx_caps.ept_ad ? VMX_EPT_ACCESS_BIT : 0,
		.dirty = vmx_caps.ept_ad ? VMX_EPT_DIRTY_BIT : 0,
		.huge = BIT(7),
		.memtype = VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT | VMX_EPT_IPAT_BIT,
		.memtype_mmio = VMX_EPTP_MT_UC << VMX_EPT_MT_EPTE_SHIFT,
	};
	if (vmx_has_multihit())
		caps->pte.huge_lacks = VMX_EPT_EXECUTABLE_MASK;
	caps->levels = 4;
	caps->lacks = vmx_lacks();
	caps->umip = !boot_cpu_has(X86_FEATURE_UMIP) &&
		     vmx_caps.later[VMX_PROC2] & SECONDARY_EXEC_DESC;
	caps->spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	caps->pdptr_cached = true;
	caps->ucode_rev = UCODE_REV;
	caps->tsc_scaling = vmx_caps.ctl[VMX_PROC2] & SECONDARY_EXEC_TSC_SCALING;
	caps->tsc_ratio_frac_bits = VMX_TSC_FRAC_BITS;
	caps->tsc_max_ratio = ~0ull;
	caps->disable_exits = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_MWAIT |
			      KVM_X86_DISABLE_EXITS_PAUSE;
	return 0;
}

/* Nothing that an earlier life of VMX left in the TLB has a tag that is free now. */
static void vmx_flush_cpu(void)
{
	vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_caps.vpid)
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0);
}

static int vmx_cpu_on(void)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);

	if (vc->on)
		return 0;
	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;
	/* The kernel has looked at IA32_FEATURE_CONTROL as the CPU came up. */
	if (!this_cpu_has(X86_FEATURE_MSR_IA32_FEAT_CTL) || !this_cpu_has(X86_FEATURE_VMX) ||
	    !vmx_caps_fit()) {
		pr_err_ratelimited("VMX of CPU %d is switched off, or is not like that of others\n",
				   smp_processor_id());
		return -EIO;
	}
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	if (!vmx_vmxon(__pa(vc->vmxon))) {
		cr4_clear_bits(X86_CR4_VMXE);
		intel_pt_handle_vmx(0);
		return -EBUSY;
	}
	vmx_flush_cpu();
	INIT_LIST_HEAD(&vc->active);
	vc->current_vmcs = NULL;
	vmx_read_host_msrs(vc);
	vc->on = true;
	return 0;
}

/* Interrupts off: have this CPU write a VMCS back to memory, and forget it. */
static void vmx_clear_here(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);

	if (vmx->cpu != smp_processor_id())
		return;		/* vmx_cpu_off() was faster */
	vmx_vmclear(vmx->vmcs);
	if (vc->current_vmcs == vmx->vmcs)
		vc->current_vmcs = NULL;
	list_del(&vmx->link);
	vmx->cpu = -1;
	vmx->launched = false;
}

static void vmx_clear_ipi(void *vmx)
{
	vmx_clear_here(vmx);
}

/* Interrupts on, preemption off or on. */
static void vmx_clear(struct vmx_vcpu *vmx)
{
	int cpu = READ_ONCE(vmx->cpu);

	if (cpu >= 0)
		smp_call_function_single(cpu, vmx_clear_ipi, vmx, 1);
}

static void vmx_cpu_off(void)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx, *next;

	if (!vc->on)
		return;
	list_for_each_entry_safe(vmx, next, &vc->active, link)
		vmx_clear_here(vmx);
	vc->on = false;
	vmx_vmxoff();
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
}

/* ---- controls ---- */

static const u32 word_field[VMX_NR_WORDS] = {
	[VMX_PIN]	= PIN_BASED_VM_EXEC_CONTROL,
	[VMX_PROC]	= CPU_BASED_VM_EXEC_CONTROL,
	[VMX_PROC2]	= SECONDARY_VM_EXEC_CONTROL,
	[VMX_EXIT]	= VM_EXIT_CONTROLS,
	[VMX_ENTRY]	= VM_ENTRY_CONTROLS,
};

/**
 * vmx_control() - switch controls
 * @vmx: the vCPU
 * @word: the control word
 * @bits: which of its bits
 * @on: all of them on, or off
 */
void vmx_control(struct vmx_vcpu *vmx, enum vmx_word word, u32 bits, bool on)
{
	u32 ctl = on ? vmx->ctl[word] | bits : vmx->ctl[word] & ~bits;

	if (ctl == vmx->ctl[word])
		return;
	vmx->ctl[word] = ctl;
	vmcs_write(word_field[word], ctl);
}

/*
 * What makes the guest exit is in the table of vmx_caps.c.  Not in it, so done
 * by the guest itself:
 *   CR3, INVLPG, INVPCID	EPT leaves its page tables to it;
 *   RDTSC, RDTSCP		the VMCS has a TSC offset;
 *   LGDT, SGDT and the like	unless UMIP is made of their exits: store_umip();
 *   RDRAND, RDSEED		but see vmx_insns
 * CPUID, INVD, XSETBV, task switches and VMX's own instructions always exit.
 * #AC and #DB are always taken: a guest can make either repeat inside its own
 * delivery, and the CPU would never come back.  #UD: see exits.c of the core.
 */
static void vmx_set_controls(struct vmx_vcpu *vmx)
{
	u32 off = vmx->vcpu.vm->disabled_exits;
	unsigned int word;

	memcpy(vmx->ctl, vmx_caps.ctl, sizeof(vmx->ctl));
	if (!vmx->vpid)
		vmx->ctl[VMX_PROC2] &= ~SECONDARY_EXEC_ENABLE_VPID;
	if (off & KVM_X86_DISABLE_EXITS_HLT)
		vmx->ctl[VMX_PROC] &= ~CPU_BASED_HLT_EXITING;
	if (off & KVM_X86_DISABLE_EXITS_MWAIT)
		vmx->ctl[VMX_PROC] &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
	if (off & KVM_X86_DISABLE_EXITS_PAUSE)
		vmx->ctl[VMX_PROC2] &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	for (word = 0; word < VMX_NR_WORDS; word++)
		vmcs_write(word_field[word], vmx->ctl[word]);
	/* With match and mask 0, bit 14 of the bitmap alone decides on #PF: off. */
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->area->guest));
	vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->area->host));
	vmx->nr_area = 0;
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmcs_write(VMCS_LINK_POINTER, ~0ull);
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->apic));
	vmcs_write(MSR_BITMAP, __pa(msr_bitmap));
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx->ctl[VMX_PROC2] & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		/* TSC ticks: between two PAUSEs of a loop; that a loop may last. */
		vmcs_write(PLE_GAP, 128);
		vmcs_write(PLE_WINDOW, 4096);
	}
	if (vmx->ctl[VMX_PROC2] & MHV_EXEC_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	if (vmx->ctl[VMX_PROC2] & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ull);
}

static void vmx_choose_insns(struct vmx_vcpu *vmx)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vmx_insns); i++) {
		bool has = vmx->vcpu.features & vmx_insns[i].feature;

		vmx_control(vmx, VMX_PROC2, vmx_insns[i].bit & vmx_caps.ctl[VMX_PROC2],
			    has != vmx_insns[i].exits);
	}
}

static void vmx_update_intercepts(struct mhv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 exceptions = BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) |
			 BIT(X86_TRAP_MC);

	/* For the sake of the VM's filter: without a bitmap all of them exit. */
	vmx_control(vmx, VMX_PROC, CPU_BASED_USE_MSR_BITMAPS,
		    !mhv_msrs_filtered(vcpu->vm, vmx_passthrough_msrs,
				       ARRAY_SIZE(vmx_passthrough_msrs)));
	vmx_choose_insns(vmx);
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		exceptions |= BIT(X86_TRAP_BP);
	if (exceptions != vmx->exceptions) {
		vmx->exceptions = exceptions;
		vmcs_write(EXCEPTION_BITMAP, exceptions);
	}
	vmx->dr_lent = false;
	/* The breakpoint registers in the VMCS may be the debugger's or not. */
	vcpu->dirty |= MHV_G_DR;
}

/* ---- a vCPU's life ---- */

static u16 vmx_vpid_get(void)
{
	unsigned long vpid = 0;

	if (!vmx_caps.vpid)
		return 0;
	spin_lock(&vpid_lock);
	vpid = find_first_zero_bit(vpids, VMX_NR_VPIDS);
	if (vpid < VMX_NR_VPIDS)
		__set_bit(vpid, vpids);
	else
		vpid = 0;
	spin_unlock(&vpid_lock);
	return vpid;
}

static void vmx_vpid_put(u16 vpid)
{
	if (!vpid)
		return;
	spin_lock(&vpid_lock);
	__clear_bit(vpid, vpids);
	spin_unlock(&vpid_lock);
}

static int vmx_vcpu_create(struct mhv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx->cpu = -1;
	vmx->vmcs = vmx_alloc_vmcs(NUMA_NO_NODE, GFP_KERNEL_ACCOUNT);
	vmx->apic = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vmx->area = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs || !vmx->apic || !vmx->area)
		return -ENOMEM;
	vmx->vpid = vmx_vpid_get();
	return 0;
}

static void vmx_vcpu_destroy(struct mhv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->vmcs)
		vmx_clear(vmx);
	vmx_vpid_put(vmx->vpid);
	free_page((unsigned long)vmx->vmcs);
	free_page((unsigned long)vmx->apic);
	free_page((unsigned long)vmx->area);
}

static void vmx_vcpu_reset(struct mhv_vcpu *vcpu, bool init)
{
	struct mhv_segment *seg = vcpu->state.seg;
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	/* These CPUs begin with code and stack accessed, and a 32-bit TSS. */
	seg[MHV_CS].attr |= VMX_AR_TYPE_ACCESSES_MASK;
	seg[MHV_SS].attr |= VMX_AR_TYPE_ACCESSES_MASK;
	seg[MHV_TR].attr |= VMX_AR_TYPE_BUSY_32_TSS;
	vmx_set_controls(vmx);
	vmx_state_init(vmx);
	vmx->exceptions = 0;
	vmx->tpr_threshold = 0;
	vmcs_write(TPR_THRESHOLD, 0);
	vmx->flush = true;
	vmx_update_intercepts(vcpu);
}

/*
 * Make this CPU the one that has the VMCS.  The one that had it may still hold
 * parts of it in registers of its own, and must be asked to write them back.
 */
static noinline void vmx_migrate(struct vmx_vcpu *vmx, struct vmx_cpu *vc, int cpu)
{
	unsigned long flags;

	vmx_clear(vmx);
	local_irq_save(flags);
	if (vc->on) {
		vmx_vmclear(vmx->vmcs);		/* a new one: makes it valid */
		list_add(&vmx->link, &vc->active);
		vmx->cpu = cpu;
		vmx_vmptrld(vmx->vmcs);
		vc->current_vmcs = vmx->vmcs;
		vmx_write_host_state(vmx, cpu);
	}
	local_irq_restore(flags);
	/* This CPU may know translations from an earlier visit. */
	vmx->flush = true;
}

static void vmx_vcpu_load(struct mhv_vcpu *vcpu, int cpu)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (READ_ONCE(vmx->cpu) != cpu) {
		vmx_migrate(vmx, vc, cpu);
	} else if (vc->current_vmcs != vmx->vmcs) {
		vmx_vmptrld(vmx->vmcs);
		vc->current_vmcs = vmx->vmcs;
	}
}

static void vmx_vcpu_put(struct mhv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->switched)
		vmx_switch_to_host(vmx);
}

/* ---- before an entry ---- */

static void vmx_set_root(struct mhv_vcpu *vcpu, hpa_t root)
{
	u64 eptp = root | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;

	if (vmx_caps.ept_ad)
		eptp |= VMX_EPTP_AD_ENABLE_BIT;
	vmcs_write(EPT_POINTER, eptp);
}

static void vmx_flush_tlb(struct mhv_vcpu *vcpu)
{
	to_vmx(vcpu)->flush = true;
}

/* The guest's own translations have the VPID's tag, the nested ones the EPT's. */
static noinline void vmx_flush_now(struct vmx_vcpu *vmx)
{
	vmx->flush = false;
	if (vmx_caps.invept_context)
		vmx_invept(VMX_EPT_EXTENT_CONTEXT, vmcs_read(EPT_POINTER));
	else
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx->vpid)
		vmx_invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vmx->vpid);
}

static void vmx_inject(struct mhv_vcpu *vcpu, const struct mhv_event *ev)
{
	static const u32 type[] = {
		[MHV_EV_INTR]		= INTR_TYPE_EXT_INTR,
		[MHV_EV_NMI]		= INTR_TYPE_NMI_INTR,
		[MHV_EV_EXCEPTION]	= INTR_TYPE_HARD_EXCEPTION,
	};
	u32 kind = type[ev->type], info;

	/* #BP and #OF come of instructions only, and return behind them. */
	if (ev->type == MHV_EV_EXCEPTION &&
	    (ev->vector == X86_TRAP_BP || ev->vector == X86_TRAP_OF)) {
		kind = INTR_TYPE_SOFT_EXCEPTION;
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, ev->insn_len ?: 1);
	}
	info = INTR_INFO_VALID_MASK | kind | ev->vector;
	/* A guest that halts without an exit is woken; few kinds of event may find it halted. */
	if (unlikely(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	if (ev->has_error) {
		/* Nor may it have more than these CPUs' have; userspace can say anything. */
		vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, (u16)ev->error);
		info |= INTR_INFO_DELIVER_CODE_MASK;
	}
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
}

/*
 * Both windows are controls of the CPU's.  Whether an STI's shadow holds an NMI
 * back differs from CPU to CPU; the interrupt window opens when it is over.
 */
static void vmx_open_window(struct mhv_vcpu *vcpu, unsigned int which)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (which & MHV_WINDOW_NMI) {
		mhv_state_need(vcpu, MHV_G_RIP_FLAGS | MHV_G_INTR);
		if (vcpu->state.shadow & MHV_SHADOW_STI && vcpu->state.rflags & X86_EFLAGS_IF)
			which = MHV_WINDOW_INTR;
	}
	vmx_control(vmx, VMX_PROC, CPU_BASED_INTR_WINDOW_EXITING, which & MHV_WINDOW_INTR);
	vmx_control(vmx, VMX_PROC, CPU_BASED_NMI_WINDOW_EXITING, which & MHV_WINDOW_NMI);
}

/* The CPU refuses a threshold above the TPR: it would have to exit at once. */
static void vmx_sync_tpr(struct mhv_vcpu *vcpu, u8 tpr, u8 threshold)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u32 below = threshold <= 15 ? min(threshold, tpr) : 0;

	*(u32 *)(vmx->apic + APIC_TASKPRI) = tpr << 4;
	if (below != vmx->tpr_threshold) {
		vmx->tpr_threshold = below;
		vmcs_write(TPR_THRESHOLD, below);
	}
	/* More than any TPR: somebody wants to see each write. */
	vmx_control(vmx, VMX_PROC, CPU_BASED_CR8_LOAD_EXITING, threshold > 15);
}

/* ---- the guest's debug registers ---- */

/*
 * A guest that touches a debug register will touch more of them: they are
 * loaded and left to it for one entry, then read back.  DR0 to DR3 and DR6 are
 * not in the VMCS.  A debugger outside has them for itself: then each access
 * exits.
 */
static noinline void vmx_lend_dr(struct vmx_vcpu *vmx)
{
	struct mhv_state *state = &vmx->vcpu.state;

	vmx_control(vmx, VMX_PROC, CPU_BASED_MOV_DR_EXITING, false);
	vmcs_write(GUEST_DR7, state->dr7);
	mhv_load_dr(state->dr);
	set_debugreg(state->dr6, 6);
}

/* An exit has left DR7 with nothing switched on. */
static noinline void vmx_return_dr(struct vmx_vcpu *vmx)
{
	struct mhv_state *state = &vmx->vcpu.state;
	unsigned long dr6;

	vmx->dr_lent = false;
	mhv_read_dr(state->dr);
	get_debugreg(dr6, 6);
	set_debugreg(DR6_RESERVED, 6);
	state->dr6 = dr6;
	state->dr7 = vmcs_read(GUEST_DR7);
	vmx->vcpu.dr_active = state->dr7 & 0xff;
	vmx_control(vmx, VMX_PROC, CPU_BASED_MOV_DR_EXITING, true);
}

/* ---- the entry itself ---- */

/*
 * What was being delivered when the guest exited.  Software interrupts and
 * INT3, INTO are not injected again: RIP still is at the instruction, which
 * is executed anew.
 */
static noinline void vmx_note_reinject(struct mhv_vcpu *vcpu, u32 info)
{
	struct mhv_event *ev = &vcpu->reinject;

	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		ev->type = MHV_EV_INTR;
		break;
	case INTR_TYPE_NMI_INTR:
		/* Not yet in its handler: so not yet masked. */
		ev->type = MHV_EV_NMI;
		vcpu->state.nmi_masked = false;
		vcpu->dirty |= MHV_G_INTR;
		break;
	case INTR_TYPE_HARD_EXCEPTION:
		ev->type = MHV_EV_EXCEPTION;
		break;
	default:
		return;
	}
	ev->vector = info & VECTORING_INFO_VECTOR_MASK;
	ev->has_payload = false;
	ev->has_error = info & VECTORING_INFO_DELIVER_CODE_MASK;
	ev->error = ev->has_error ? vmcs_read(IDT_VECTORING_ERROR_CODE) : 0;
	mhv_request(vcpu, MHV_REQ_EVENT);
}

static __always_inline bool exit_is_nmi(u32 intr)
{
	return (intr & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK)) ==
	       (INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR);
}

/*
 * NMIs are blocked after an exit by one, until an IRET: nothing may come in
 * between that could fault.  The handler is the one that its gate leads to,
 * which expects the stack that the gate gives it: so INT 2, and no call.
 */
static noinstr void vmx_enter_exit(struct vmx_vcpu *vmx)
{
	struct mhv_vcpu *vcpu = &vmx->vcpu;

	mhv_guest_state_enter(vcpu->note_qs);
	vcpu->note_qs = false;
	if (vmx->cr2 != native_read_cr2())
		native_write_cr2(vmx->cr2);

	if (vmx_enter(vcpu->state.gpr, &vmx->host_rsp, vmx->launched, vcpu->spec_ctrl)) {
		vmx->exit_reason = VMX_EXIT_REASONS_FAILED_VMENTRY;
		vmx->error = vmcs_read(VM_INSTRUCTION_ERROR);
		mhv_guest_state_exit();
		return;
	}
	vmx->cr2 = native_read_cr2();
	vmx->exit_reason = vmcs_read(VM_EXIT_REASON);
	if (!(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		vmx->launched = true;
	if (vmx->exit_reason == EXIT_REASON_EXCEPTION_NMI) {
		vmx->exit_intr = vmcs_read(VM_EXIT_INTR_INFO);
		if (exit_is_nmi(vmx->exit_intr))
			asm volatile("int $2" : : : "memory");
	}
	mhv_guest_state_exit();
}

/* Which address space is current, and how, may change with interrupts on. */
static void vmx_sync_host_cr(struct vmx_vcpu *vmx)
{
	u64 cr3 = __get_current_cr3_fast(), cr4 = cr4_read_shadow();

	if (unlikely(cr3 != vmx->host_cr3)) {
		vmx->host_cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	if (unlikely(cr4 != vmx->host_cr4)) {
		vmx->host_cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
}

/* The CPU refused the entry; what was to be injected, and flushed, still is. */
static noinline void vmx_entry_refused(struct vmx_vcpu *vmx)
{
	vmx->flush = true;
	vmx->exit_intr = vmcs_read(VM_ENTRY_INTR_INFO_FIELD);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
}

static void vmx_run(struct mhv_vcpu *vcpu)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	struct mhv_state *state = &vcpu->state;
	u64 debugctl;
	u32 blocked;

	if (vcpu->dirty)
		vmx_state_store(vcpu, vcpu->dirty);
	if (unlikely(!vmx->switched))
		vmx_switch_to_guest(vmx);
	if (unlikely(vmx->flush))
		vmx_flush_now(vmx);
	if (unlikely(vc->msr[VMX_MSR_TSC_AUX] != (u32)vcpu->tsc_aux) && vmx_has_tsc_aux())
		vmx_set_msr(vc, VMX_MSR_TSC_AUX, (u32)vcpu->tsc_aux);
	if (unlikely(state->shadow))
		vmx_pending_debug(vmx);
	if (unlikely(vmx->dr_lent))
		vmx_lend_dr(vmx);
	vmx_sync_host_cr(vmx);
	vmx_switch_perf(vmx);
	if (unlikely(flush_l1d))
		vmx_flush_l1d();
	else if (static_branch_unlikely(&mmio_stale_data_clear) &&
		 READ_ONCE(vcpu->vm->mmu.device))
		vmx_clear_buffers();
	vmx->error = 0;
	/* perf changes it by an interrupt, at any time. */
	debugctl = get_debugctlmsr();

	vmx_enter_exit(vmx);

	/* An exit clears what the host had switched on of branch tracing. */
	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	vmx->rsp = vmcs_read(GUEST_RSP);
	vmx->rip = vmcs_read(GUEST_RIP);
	vmx->rflags = vmcs_read(GUEST_RFLAGS);
	blocked = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	vmx->idt_info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	state->gpr[MHV_RSP] = vmx->rsp;
	state->rip = vmx->rip;
	state->rflags = vmx->rflags;
	state->shadow = blocked & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	state->nmi_masked = blocked & GUEST_INTR_STATE_NMI;
	vcpu->hw_tpr = *(u32 *)(vmx->apic + APIC_TASKPRI) >> 4;
	vcpu->avail = MHV_G_GPR | MHV_G_RIP_FLAGS | MHV_G_EFER | MHV_G_DR | MHV_G_INTR |
		      MHV_G_TSC;
	vcpu->dirty = 0;

	if (unlikely(vmx->dr_lent))
		vmx_return_dr(vmx);
	if (unlikely(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY))
		vmx_entry_refused(vmx);
	else if (unlikely(vmx->idt_info & VECTORING_INFO_VALID_MASK))
		vmx_note_reinject(vcpu, vmx->idt_info);
	/* One that comes during the entry makes it fail: then bit 31 is set, too. */
	if (unlikely((u16)vmx->exit_reason == EXIT_REASON_MCE_DURING_VMENTRY ||
		     (vmx->exit_reason == EXIT_REASON_EXCEPTION_NMI &&
		      (vmx->exit_intr & INTR_INFO_VECTOR_MASK) == X86_TRAP_MC)))
		mhv_host_mce();
}

/* ---- stepping over an instruction ---- */

static bool vmx_next_rip(struct mhv_vcpu *vcpu, u64 *next)
{
	*next = vcpu->state.rip + vmcs_read(VM_EXIT_INSTRUCTION_LEN);
	return true;
}

struct mhv_backend mhv_vmx_backend = {
	.name		= "VMX",
	.vcpu_size	= sizeof(struct vmx_vcpu),
	.supported	= vmx_supported,
	.setup		= vmx_setup,
	.teardown	= vmx_teardown,
	.cpu_on		= vmx_cpu_on,
	.cpu_off	= vmx_cpu_off,
	.vcpu_create	= vmx_vcpu_create,
	.vcpu_destroy	= vmx_vcpu_destroy,
	.vcpu_reset	= vmx_vcpu_reset,
	.vcpu_load	= vmx_vcpu_load,
	.vcpu_put	= vmx_vcpu_put,
	.state_load	= vmx_state_load,
	.set_root	= vmx_set_root,
	.flush_tlb	= vmx_flush_tlb,
	.inject		= vmx_inject,
	.open_window	= vmx_open_window,
	.sync_tpr	= vmx_sync_tpr,
	.update_intercepts = vmx_update_intercepts,
	.run		= vmx_run,
	.handle_exit	= vmx_handle_exit,
	.exit_reason	= vmx_exit_reason,
	.next_rip	= vmx_next_rip,
	.dump		= vmx_dump,
};
