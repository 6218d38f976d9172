// SPDX-License-Identifier: GPL-2.0
/*
 * AMD SVM: the CPU's switch, one VMCB per vCPU, ASIDs, entry and injection.
 * Entered from the core through mhv_svm_backend, at the end of this file.
 * Per-CPU data belongs to its CPU with preemption off; the rest vcpu->mutex.
 * AMD APM volume 2, "Secure Virtual Machine".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/cpufeature.h>
#include <linux/mem_encrypt.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/perf_event.h>

#include "../compat.h"
#include "../emul/emulate.h"
#include "svm.h"

#define IOPM_ORDER	2	/* three pages are needed */
#define MSRPM_ORDER	1
/* A vCPU of family 17h had better have some microcode. */
#define UCODE_REV	0x01000065

/**
 * struct svm_cpu - what SVM needs on each CPU
 * @hsave: the page that VMRUN saves host state in
 * @host: a VMCB whose save area VMSAVE and VMLOAD keep the rest of it in
 * @host_pa: its physical address
 * @asid_gen: current generation of ASIDs
 * @next_asid: next to be given out; beyond max_asid the generation ends
 * @tsc_aux: what IA32_TSC_AUX holds now
 * @host_tsc_aux: what the host wants there
 * @on: SVM is enabled here, by us
 */
struct svm_cpu {
	struct page *hsave;
	struct vmcb *host;
	u64 host_pa;
	u64 asid_gen;
	u32 next_asid;
	u32 tsc_aux;
	u32 host_tsc_aux;
	bool on;
};

static DEFINE_PER_CPU(struct svm_cpu, svm_cpu);
static u32 max_asid;
static u8 *iopm;
static u8 *msrpm;

/*
 * A reboot switches SVM off under threads that are still in KVM_RUN, and a CPU
 * that goes offline may once more schedule one in before it is moved away.
 * The instruction is #UD then, and stepped over; so are those in entry.S.
 */
static __always_inline void svm_clgi(void)
{
	asm volatile("1: clgi\n2:" _ASM_EXTABLE(1b, 2b) : : : "memory");
}

static __always_inline void svm_stgi(void)
{
	asm volatile("1: stgi\n2:" _ASM_EXTABLE(1b, 2b) : : : "memory");
}

static __always_inline void svm_vmsave(u64 pa)
{
	asm volatile("1: vmsave %0\n2:" _ASM_EXTABLE(1b, 2b) : : "a" (pa) : "memory");
}

/* Those whose value VMSAVE or the save area switches: no need to exit. */
static const u32 svm_passthrough_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* ---- the CPU's switch ---- */

static int svm_supported(void)
{
	u64 vm_cr;

	if (!boot_cpu_has(X86_FEATURE_SVM) ||
	    (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	     boot_cpu_data.x86_vendor != X86_VENDOR_HYGON))
		return -ENODEV;
	if (rdmsrl_safe(MSR_VM_CR, &vm_cr) || (vm_cr & SVM_VM_CR_SVM_DIS_MASK)) {
		pr_err("SVM is disabled by firmware\n");
		return -EOPNOTSUPP;
	}
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pr_err("SVM in a guest whose memory is encrypted is not supported\n");
		return -EOPNOTSUPP;
	}
	if (!boot_cpu_has(X86_FEATURE_NPT)) {
		pr_err("SVM without nested paging (NPT) is not supported\n");
		return -EOPNOTSUPP;
	}
	if (cpuid_ebx(0x8000000a) < 2) {
		pr_err("SVM has no address space identifiers for guests\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The two bits of an MSR in the permission map: 0 read, 1 write; set: exit. */
static void msrpm_allow(u8 *map, u32 msr)
{
	unsigned int base, bit;

	if (msr < 0x2000)
		base = 0;
	else if (msr >= 0xc0000000 && msr < 0xc0002000)
		base = 0x800;
	else
		base = 0x1000;
	bit = (msr & 0x1fff) * 2;
	map[base + bit / 8] &= ~(3 << (bit % 8));
}

static void svm_free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *sc = per_cpu_ptr(&svm_cpu, cpu);

		if (sc->hsave)
			__free_page(sc->hsave);
		free_page((unsigned long)sc->host);
		memset(sc, 0, sizeof(*sc));
	}
}

static void svm_teardown(void)
{
	free_pages((unsigned long)iopm, IOPM_ORDER);
	free_pages((unsigned long)msrpm, MSRPM_ORDER);
	svm_free_cpus();
}

static int svm_alloc_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *sc = per_cpu_ptr(&svm_cpu, cpu);

		sc->hsave = svm_alloc_page(cpu_to_node(cpu), GFP_KERNEL);
		sc->host = (void *)get_zeroed_page(GFP_KERNEL);
		if (!sc->hsave || !sc->host)
			return -ENOMEM;
		sc->host_pa = __sme_set(__pa(sc->host));
	}
	return 0;
}

static int svm_setup(void)
{
	struct mhv_caps *caps = &mhv_svm_backend.caps;
	unsigned int i;

	iopm = (void *)__get_free_pages(GFP_KERNEL, IOPM_ORDER);
	msrpm = (void *)__get_free_pages(GFP_KERNEL, MSRPM_ORDER);
	if (!iopm || !msrpm || svm_alloc_cpus()) {
		svm_teardown();
		return -ENOMEM;
	}
	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	memset(msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(svm_passthrough_msrs); i++)
		msrpm_allow(msrpm, svm_passthrough_msrs[i]);

	max_asid = cpuid_ebx(0x8000000a) - 1;

	/* Nested tables have the format of the host's own, walked as a user. */
	caps->pte = (struct mhv_pte_format){
		.present = _PAGE_PRESENT,
		.write = _PAGE_RW,
		.user = _PAGE_USER,
		.accessed = _PAGE_ACCESSED,
		.dirty = _PAGE_DIRTY,
		.huge = _PAGE_PSE,
		.memtype_mmio = _PAGE_PCD | _PAGE_PWT,
	};
	/* Not EMUL_DEC_FAR32, which AMD's CPUs do: KVM widens far pointers on all of them. */
	caps->decode_flags = EMUL_DEC_BRANCH16;
	caps->levels = pgtable_l5_enabled() ? 5 : 4;
	caps->spec_ctrl = boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	caps->disable_exits = KVM_X86_DISABLE_VALID_EXITS;
	caps->one_shadow = true;
	caps->ucode_rev = UCODE_REV;
	caps->de_cfg = true;
	return 0;
}

static int svm_cpu_on(void)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpu);
	u64 efer;

	if (sc->on)
		return 0;
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __sme_set(page_to_phys(sc->hsave)));
	/* 1: an earlier kernel may have left another. */
	if (boot_cpu_has(X86_FEATURE_TSCRATEMSR))
		wrmsr(MSR_AMD64_TSC_RATIO, lower_32_bits(SVM_TSC_RATIO_DEFAULT),
		      upper_32_bits(SVM_TSC_RATIO_DEFAULT));
	svm_errata_on();
	/* The counters can tell the host from guests by now, if perf wants it. */
	amd_pmu_enable_virt();
	/* The first entry here starts a generation, which flushes every ASID. */
	sc->asid_gen++;
	sc->next_asid = max_asid + 1;
	if (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID)) {
		u64 aux;

		rdmsrl(MSR_TSC_AUX, aux);
		sc->host_tsc_aux = aux;
		sc->tsc_aux = aux;
	}
	sc->on = true;
	return 0;
}

static void svm_cpu_off(void)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpu);
	u64 efer;

	if (!sc->on)
		return;
	sc->on = false;
	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	/* GIF must be set when SVM goes, or NMIs and INIT stay blocked. */
	svm_stgi();
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
	svm_errata_off();
	amd_pmu_disable_virt();
}

/* ---- intercepts ---- */

/**
 * svm_intercept() - switch one intercept
 * @svm: the vCPU
 * @bit: INTERCEPT_*
 * @on: exit, or let the guest do it
 */
void svm_intercept(struct svm_vcpu *svm, unsigned int bit, bool on)
{
	u32 *word = &svm->vmcb->control.intercepts[bit / 32];
	u32 mask = BIT(bit % 32);

	if (!!(*word & mask) == on)
		return;
	*word ^= mask;
	svm->vmcb->control.clean &= ~SVM_CLEAN_INTERCEPTS;
}

/*
 * What makes the guest exit.  Not in the list, so done by the guest itself:
 *   CR3, CR2, INVLPG, INVPCID	nested paging leaves its page tables to it;
 *   CR0.TS and CR0.MP		CR0_SEL_WRITE passes them over;
 *   RDTSC, RDTSCP		the VMCB has a TSC offset;
 *				(INVPCID and RDTSCP exit if CPUID says that they are not there)
 *   descriptor tables, PUSHF, POPF, INT n, ICEBP, FERR_FREEZE
 * The CPU could switch tasks, too, but not on every kind of CPU: both do it the same way.
 * #AC and #DB are always taken: a guest can make either repeat inside its own
 * delivery, and the CPU would never come back.  #UD: see exits.c of the core.
 */
static const u8 svm_intercepts[] = {
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT,
	INTERCEPT_SELECTIVE_CR0, INTERCEPT_CR4_WRITE,
	INTERCEPT_TASK_SWITCH, INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_INVD, INTERCEPT_HLT,
	INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT,
	INTERCEPT_SHUTDOWN, INTERCEPT_VMRUN, INTERCEPT_VMMCALL,
	INTERCEPT_VMLOAD, INTERCEPT_VMSAVE, INTERCEPT_STGI, INTERCEPT_CLGI,
	INTERCEPT_SKINIT, INTERCEPT_WBINVD, INTERCEPT_MONITOR,
	INTERCEPT_MWAIT, INTERCEPT_XSETBV, INTERCEPT_RDPRU,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_DB,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_UD,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_AC,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_MC,
};

static void svm_set_intercepts(struct svm_vcpu *svm)
{
	struct vmcb_control_area *c = &svm->vmcb->control;
	u32 off = svm->vcpu.vm->disabled_exits;
	unsigned int i;

	memset(c->intercepts, 0, sizeof(c->intercepts));
	for (i = 0; i < ARRAY_SIZE(svm_intercepts); i++)
		svm_intercept(svm, svm_intercepts[i], true);
	c->intercepts[INTERCEPT_DR] = 0x00ff00ff;
	if (off & KVM_X86_DISABLE_EXITS_HLT)
		svm_intercept(svm, INTERCEPT_HLT, false);
	if (off & KVM_X86_DISABLE_EXITS_MWAIT) {
		svm_intercept(svm, INTERCEPT_MONITOR, false);
		svm_intercept(svm, INTERCEPT_MWAIT, false);
	}
	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER) && !(off & KVM_X86_DISABLE_EXITS_PAUSE)) {
		c->pause_filter_count = 3000;
		if (boot_cpu_has(X86_FEATURE_PFTHRESHOLD))
			c->pause_filter_thresh = 128;
		svm_intercept(svm, INTERCEPT_PAUSE, true);
	}
	c->clean = 0;
}

static void svm_update_intercepts(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	/*
	 * Must those that are passed through exit, for the sake of the VM's
	 * filter?  All bits of the longer map for ports are set: it serves for both.
	 */
	bool filtered = mhv_msrs_filtered(vcpu->vm, svm_passthrough_msrs,
					  ARRAY_SIZE(svm_passthrough_msrs));
	u64 map = __sme_set(__pa(filtered ? iopm : msrpm));

	if (c->msrpm_base_pa != map) {
		c->msrpm_base_pa = map;
		c->clean &= ~SVM_CLEAN_PERM;
	}

	svm_intercept(svm, INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_BP,
		      vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP);
	/* What the CPU has and the guest's CPUID has not is #UD. */
	svm_intercept(svm, INTERCEPT_RDTSCP, boot_cpu_has(X86_FEATURE_RDTSCP) &&
		      !(vcpu->features & MHV_GUEST_RDTSCP));
	svm_intercept(svm, INTERCEPT_INVPCID, boot_cpu_has(X86_FEATURE_INVPCID) &&
		      !(vcpu->features & MHV_GUEST_INVPCID));
	svm->dr_lent = false;
	/* The breakpoint registers in the VMCB may be the debugger's or not. */
	vcpu->dirty |= MHV_G_DR;
}

/* ---- a vCPU's life ---- */

static int svm_vcpu_create(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct page *page = svm_alloc_page(NUMA_NO_NODE, GFP_KERNEL_ACCOUNT);

	if (!page)
		return -ENOMEM;
	svm->vmcb = page_address(page);
	svm->vmcb_pa = __sme_set(__pa(svm->vmcb));
	svm->cpu = -1;
	return 0;
}

static void svm_vcpu_destroy(struct mhv_vcpu *vcpu)
{
	free_page((unsigned long)to_svm(vcpu)->vmcb);
}

static void svm_vcpu_reset(struct mhv_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;

	svm->awaiting_iret = false;
	svm->nmi_step = false;
	svm_set_intercepts(svm);
	c->iopm_base_pa = __sme_set(__pa(iopm));
	c->int_ctl = V_INTR_MASKING_MASK;
	c->int_state = 0;
	c->event_inj = 0;
	c->nested_ctl = SVM_NESTED_CTL_NP_ENABLE;
	svm->asid_gen = 0;
	svm_update_intercepts(vcpu);
}

static void svm_vcpu_load(struct mhv_vcpu *vcpu, int cpu)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpu);
	struct svm_vcpu *svm = to_svm(vcpu);

	/* An ASID means something on the CPU that gave it, and only there. */
	if (svm->cpu != cpu) {
		svm->cpu = cpu;
		svm->asid_gen = 0;
		svm->vmcb->control.clean = 0;
	}
	svm_vmsave(sc->host_pa);
}

static void svm_vcpu_put(struct mhv_vcpu *vcpu)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpu);

	if (sc->tsc_aux != sc->host_tsc_aux) {
		sc->tsc_aux = sc->host_tsc_aux;
		wrmsrl(MSR_TSC_AUX, sc->host_tsc_aux);
	}
	/*
	 * Another thread may have replaced the process's LDT since svm_vcpu_load().
	 * The GDT says where it is; VMLOAD has brought the old one back, whose
	 * memory may be free by now.
	 */
	if (unlikely(sc->host->save.ldtr.selector))
		asm volatile("lldt %0" : : "m" (sc->host->save.ldtr.selector));
}

/* ---- before an entry ---- */

static void svm_set_root(struct mhv_vcpu *vcpu, hpa_t root)
{
	struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;

	c->nested_cr3 = root;
	c->clean &= ~SVM_CLEAN_NPT;
}

/*
 * Flushing one ASID costs the guest its own translations; a CPU without that
 * gives the guest a new ASID, for which there are none.
 */
static void svm_flush_tlb(struct mhv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (boot_cpu_has(X86_FEATURE_FLUSHBYASID))
		svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		svm->asid_gen = 0;
}

static noinline void svm_new_asid(struct svm_vcpu *svm, struct svm_cpu *sc)
{
	struct vmcb_control_area *c = &svm->vmcb->control;

	if (sc->next_asid > max_asid) {
		sc->asid_gen++;
		sc->next_asid = 1;
		c->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_gen = sc->asid_gen;
	c->asid = sc->next_asid++;
	c->clean &= ~SVM_CLEAN_ASID;
}

/*
 * The handler of what is injected is to return behind the instruction.  Without
 * next-RIP save, RIP is what it returns to.
 */
static noinline void svm_return_behind(struct svm_vcpu *svm, u8 length)
{
	struct mhv_state *state = &svm->vcpu.state;

	if (boot_cpu_has(X86_FEATURE_NRIPS)) {
		svm->vmcb->control.next_rip = state->rip + length;
		return;
	}
	svm->int_rip = state->rip;
	svm->int_entry = svm->vcpu.stat.exits + 1;
	state->rip += length;
	svm->int_next = state->rip;
	svm->vcpu.dirty |= MHV_G_RIP_FLAGS;
}

static void svm_inject(struct mhv_vcpu *vcpu, const struct mhv_event *ev)
{
	static const u32 type[] = {
		[MHV_EV_INTR]		= SVM_EVTINJ_TYPE_INTR,
		[MHV_EV_NMI]		= SVM_EVTINJ_TYPE_NMI,
		[MHV_EV_EXCEPTION]	= SVM_EVTINJ_TYPE_EXEPT,
	};
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;

	c->event_inj = SVM_EVTINJ_VALID | type[ev->type] | ev->vector;
	c->event_inj_err = ev->has_error ? ev->error : 0;
	if (ev->has_error)
		c->event_inj |= SVM_EVTINJ_VALID_ERR;
	if (ev->type == MHV_EV_NMI) {
		vcpu->state.nmi_masked = true;
		svm_intercept(svm, INTERCEPT_IRET, true);
	}
	/* They come of instructions only, and return behind them. */
	if (type[ev->type] == SVM_EVTINJ_TYPE_EXEPT &&
	    (ev->vector == X86_TRAP_BP || ev->vector == X86_TRAP_OF))
		svm_return_behind(svm, ev->insn_len ?: 1);
}

/*
 * The INT n that was cut short has an interrupt shadow, and an interrupt waits
 * for the shadow's end.  A CPU is to find the shadow in the VMCB when it
 * executes the INT anew; those emulated in software that have no next-RIP save
 * do not look there, and the interrupt would come first.  So the INT is
 * injected, which nothing can precede.
 */
static noinline void svm_inject_int(struct svm_vcpu *svm)
{
	struct vmcb_control_area *c = &svm->vmcb->control;
	struct mhv_state *state = &svm->vcpu.state;

	if (state->rip == svm->int_rip && state->shadow && !(c->event_inj & SVM_EVTINJ_VALID)) {
		c->event_inj = SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_SOFT | svm->int_vector;
		svm_return_behind(svm, svm->int_length);
		state->shadow = 0;
		svm->vcpu.dirty |= MHV_G_INTR;
	}
	svm->int_length = 0;
}

/*
 * An interrupt's window: a virtual interrupt of the highest priority, which
 * exits the moment it could be taken.  An NMI's: masked by an NMI handler, the
 * IRET exits; when the IRET is next, one step over it; an interrupt shadow
 * lasts one instruction, so a step as well.
 */
static void svm_open_window(struct mhv_vcpu *vcpu, unsigned int which)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;
	u32 ctl = c->int_ctl & ~V_IRQ_INJECTION_BITS_MASK;

	if (which & MHV_WINDOW_INTR) {
		ctl |= V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK;
		if (unlikely(svm->int_length))
			svm_inject_int(svm);
	}
	if (ctl != c->int_ctl) {
		c->int_ctl = ctl;
		c->clean &= ~SVM_CLEAN_TPR;
	}
	svm_intercept(svm, INTERCEPT_VINTR, which & MHV_WINDOW_INTR);

	if (!(which & MHV_WINDOW_NMI) || svm->nmi_step)
		return;
	if (vcpu->state.nmi_masked && !svm->awaiting_iret)
		return;
	svm->nmi_step = true;
	svm->step_tf = vcpu->state.rflags & X86_EFLAGS_TF;
	vcpu->state.rflags |= X86_EFLAGS_TF;
	vcpu->dirty |= MHV_G_RIP_FLAGS;
}

static void svm_sync_tpr(struct mhv_vcpu *vcpu, u8 tpr, u8 threshold)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *c = &svm->vmcb->control;

	if ((c->int_ctl & V_TPR_MASK) != tpr) {
		c->int_ctl = (c->int_ctl & ~V_TPR_MASK) | tpr;
		c->clean &= ~SVM_CLEAN_TPR;
	}
	svm_intercept(svm, INTERCEPT_CR8_WRITE, threshold);
}

/* ---- the guest's debug registers ---- */

/*
 * A guest that touches a debug register will touch more of them: they are
 * loaded and left to it for one entry, then read back.  DR0 to DR3 are not in
 * the VMCB.  A debugger outside has them for itself: then each access exits.
 */
static noinline void svm_lend_dr(struct svm_vcpu *svm)
{
	struct mhv_state *state = &svm->vcpu.state;
	struct vmcb *vmcb = svm->vmcb;

	vmcb->control.intercepts[INTERCEPT_DR] = 0;
	vmcb->control.clean &= ~(SVM_CLEAN_INTERCEPTS | SVM_CLEAN_DR);
	vmcb->save.dr6 = state->dr6;
	vmcb->save.dr7 = state->dr7;
	mhv_load_dr(state->dr);
}

static noinline void svm_return_dr(struct svm_vcpu *svm)
{
	struct mhv_state *state = &svm->vcpu.state;
	struct vmcb *vmcb = svm->vmcb;

	svm->dr_lent = false;
	mhv_read_dr(state->dr);
	set_debugreg(DR6_RESERVED, 6);
	/* A #DB that exits has its own bits only: exit_db() is to see those. */
	if (vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB) {
		state->dr6 = vmcb->save.dr6;
		vmcb->save.dr6 = DR6_RESERVED;
	}
	state->dr7 = vmcb->save.dr7;
	svm->vcpu.dr_active = state->dr7 & 0xff;
	vmcb->control.intercepts[INTERCEPT_DR] = 0x00ff00ff;
	vmcb->control.clean &= ~(SVM_CLEAN_INTERCEPTS | SVM_CLEAN_DR);
}

/* ---- the entry itself ---- */

/*
 * Was RIP put behind the instruction for this entry?  Then back; unless that
 * event reached its handler, and what was cut short is the handler's own.
 */
static bool svm_rewind(struct svm_vcpu *svm)
{
	if (svm->int_entry != svm->vcpu.stat.exits + 1 ||
	    svm->vcpu.state.rip != svm->int_next)
		return false;
	svm->vcpu.state.rip = svm->int_rip;
	svm->vmcb->save.rip = svm->int_rip;
	svm->vcpu.dirty |= MHV_G_RIP_FLAGS;
	return true;
}

/*
 * An INT n was cut short: RIP still is at it, or it goes back there if the INT
 * had been injected, with the interrupt shadow that it then had.
 */
static void svm_note_int(struct svm_vcpu *svm, u8 vector)
{
	struct mhv_state *state = &svm->vcpu.state;

	svm->int_length = 0;
	if (svm_rewind(svm)) {
		state->shadow = MHV_SHADOW_STI | MHV_SHADOW_MOV_SS;
		svm->vcpu.dirty |= MHV_G_INTR;
	}
	if (!state->shadow || boot_cpu_has(X86_FEATURE_NRIPS))
		return;
	svm->int_cut = true;
	svm->int_vector = vector;
	svm->int_rip = state->rip;
	mhv_request(&svm->vcpu, MHV_REQ_EVENT);
}

/*
 * What was being delivered when the guest exited.  Software interrupts and
 * INT3, INTO are not injected again, but for one case: RIP still is at the
 * instruction, which is executed anew.
 */
static noinline void svm_note_reinject(struct mhv_vcpu *vcpu, u32 info, u32 error)
{
	struct mhv_event *ev = &vcpu->reinject;
	u8 vector = info & SVM_EXITINTINFO_VEC_MASK;

	switch (info & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_INTR:
		ev->type = MHV_EV_INTR;
		break;
	case SVM_EXITINTINFO_TYPE_NMI:
		ev->type = MHV_EV_NMI;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		if (vector == X86_TRAP_BP || vector == X86_TRAP_OF) {
			svm_rewind(to_svm(vcpu));
			return;
		}
		ev->type = MHV_EV_EXCEPTION;
		break;
	case SVM_EXITINTINFO_TYPE_SOFT:
		svm_note_int(to_svm(vcpu), vector);
		return;
	default:
		return;
	}
	ev->vector = vector;
	ev->has_payload = false;
	ev->has_error = info & SVM_EXITINTINFO_VALID_ERR;
	ev->error = error;
	mhv_request(vcpu, MHV_REQ_EVENT);
}

/* The IRET that ends an NMI handler has been executed once RIP moved on. */
static noinline void svm_check_iret(struct svm_vcpu *svm)
{
	if (svm->vcpu.state.rip == svm->iret_rip &&
	    svm->vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB)
		return;
	svm->awaiting_iret = false;
	svm->vcpu.state.nmi_masked = false;
	mhv_request(&svm->vcpu, MHV_REQ_EVENT);
}

static noinstr void svm_enter_exit(struct svm_vcpu *svm, u64 host_pa)
{
	mhv_guest_state_enter(svm->vcpu.note_qs);
	svm->vcpu.note_qs = false;
	svm_enter(svm->vmcb_pa, svm->vcpu.state.gpr, host_pa, svm->vcpu.spec_ctrl);
	mhv_guest_state_exit();
}

static noinline void svm_load_tsc_aux(struct svm_cpu *sc, u32 tsc_aux)
{
	sc->tsc_aux = tsc_aux;
	wrmsrl(MSR_TSC_AUX, tsc_aux);
}

/*
 * What few exits have, in one place so that the others test for it once.  A
 * single step for an NMI ends with the exit, whatever it was: neither the core
 * nor userspace sees its TF.  An IRET has put the TF there that it popped.
 */
static noinline void svm_after_special(struct svm_vcpu *svm)
{
	struct mhv_state *state = &svm->vcpu.state;
	bool was_awaiting = svm->awaiting_iret;

	if (svm->dr_lent)
		svm_return_dr(svm);
	if (was_awaiting)
		svm_check_iret(svm);
	if (!svm->nmi_step)
		return;
	if (!svm->step_tf && was_awaiting == svm->awaiting_iret &&
	    !(svm->vcpu.guest_debug & KVM_GUESTDBG_SINGLESTEP)) {
		state->rflags &= ~(u64)X86_EFLAGS_TF;
		svm->vcpu.dirty |= MHV_G_RIP_FLAGS;
	}
	/* exit_db() has to know what the #DB is for. */
	if (svm->vmcb->control.exit_code != SVM_EXIT_EXCP_BASE + X86_TRAP_DB)
		svm->nmi_step = false;
	mhv_request(&svm->vcpu, MHV_REQ_EVENT);
}

/*
 * The cause of a #DB is in the VMCB.  It is in the CPU as well: the kernel would
 * take it for one of the next #DB's.
 */
static noinline void svm_after_exception(struct mhv_vcpu *vcpu)
{
	u32 vector = to_svm(vcpu)->vmcb->control.exit_code - SVM_EXIT_EXCP_BASE;

	if (vector == X86_TRAP_DB)
		set_debugreg(DR6_RESERVED, 6);
	else if (vector == X86_TRAP_MC)
		svm_machine_check(vcpu);
}

/* The CPU refused the entry; it may not even have flushed what it was to. */
static noinline void svm_entry_refused(struct svm_vcpu *svm, struct svm_cpu *sc)
{
	svm->asid_gen = 0;
	sc->next_asid = max_asid + 1;
}

static void svm_run(struct mhv_vcpu *vcpu)
{
	struct svm_cpu *sc = this_cpu_ptr(&svm_cpu);
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	struct vmcb_control_area *c = &vmcb->control;
	struct mhv_state *state = &vcpu->state;

	/* Four fields: storing them costs less than asking which changed. */
	vmcb->save.rax = state->gpr[MHV_RAX];
	vmcb->save.rsp = state->gpr[MHV_RSP];
	vmcb->save.rip = state->rip;
	vmcb->save.rflags = state->rflags;
	if (unlikely(vcpu->dirty & ~(MHV_G_GPR | MHV_G_RIP_FLAGS)))
		svm_state_store(vcpu, vcpu->dirty);
	if (unlikely(svm->asid_gen != sc->asid_gen))
		svm_new_asid(svm, sc);
	if (unlikely(sc->tsc_aux != (u32)vcpu->tsc_aux) &&
	    (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID)))
		svm_load_tsc_aux(sc, vcpu->tsc_aux);
	if (static_cpu_has(X86_FEATURE_V_SPEC_CTRL))
		vmcb->save.spec_ctrl = vcpu->spec_ctrl;
	if (unlikely(svm->dr_lent))
		svm_lend_dr(svm);
	c->exit_code = SVM_EXIT_ERR;	/* stays if VMRUN itself faults */
	c->exit_int_info = 0;

	svm_clgi();
	svm_enter_exit(svm, sc->host_pa);
	svm_stgi();		/* a pending NMI is taken here */

	state->gpr[MHV_RAX] = vmcb->save.rax;
	state->gpr[MHV_RSP] = vmcb->save.rsp;
	state->rip = vmcb->save.rip;
	state->rflags = vmcb->save.rflags;
	state->shadow = c->int_state & SVM_INTERRUPT_SHADOW_MASK ?
			MHV_SHADOW_STI | MHV_SHADOW_MOV_SS : 0;
	c->event_inj = 0;
	c->tlb_ctl = TLB_CONTROL_DO_NOTHING;
	c->clean = SVM_CLEAN_ALL;
	vcpu->hw_tpr = c->int_ctl & V_TPR_MASK;
	vcpu->avail = MHV_G_GPR | MHV_G_RIP_FLAGS | MHV_G_EFER | MHV_G_PDPTR |
		      MHV_G_DR | MHV_G_INTR | MHV_G_TSC;
	vcpu->dirty = 0;

	if (unlikely(svm->special))
		svm_after_special(svm);
	if (unlikely(c->exit_int_info & SVM_EXITINTINFO_VALID))
		svm_note_reinject(vcpu, c->exit_int_info, c->exit_int_info_err);
	if (unlikely(c->exit_code - SVM_EXIT_EXCP_BASE < 32))
		svm_after_exception(vcpu);
	if (unlikely(c->exit_code == (u32)SVM_EXIT_ERR))
		svm_entry_refused(svm, sc);
}

/* ---- stepping over an instruction ---- */

static u64 svm_linear_rip(const struct vmcb *vmcb)
{
	const struct vmcb_save_area *s = &vmcb->save;

	if ((s->efer & EFER_LMA) && (s->cs.attrib & SVM_SELECTOR_L_MASK))
		return s->rip;
	return (u32)(s->cs.base + s->rip);
}

/**
 * svm_measure_int() - learn the length of an INT n that was cut short
 * @svm: the vCPU, with an exit of a nested page fault
 *
 * If it cannot be fetched any more it is executed anew, as every other.
 *
 * Context: process, may sleep, vm->srcu not held.
 */
void svm_measure_int(struct svm_vcpu *svm)
{
	struct mhv_opcode plain = { 0xcd | svm->int_vector << 8, 2 };

	svm->int_cut = false;
	if (svm->vcpu.state.rip == svm->int_rip)
		svm->int_length = mhv_insn_length(&svm->vcpu, svm_linear_rip(svm->vmcb), plain);
}

static bool svm_next_rip(struct mhv_vcpu *vcpu, u64 *next)
{
	struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;

	if (static_cpu_has(X86_FEATURE_NRIPS) && c->next_rip) {
		*next = c->next_rip;
	} else {
		int len = mhv_insn_length(vcpu, svm_linear_rip(to_svm(vcpu)->vmcb),
					  svm_expected_opcode(c));

		if (unlikely(len <= 0))
			return false;
		*next = vcpu->state.rip + len;
	}
	return true;
}

static void svm_dump(struct mhv_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	const struct vmcb_save_area *s = &to_svm(vcpu)->vmcb->save;

	pr_info_ratelimited("vcpu %u: VMRUN refused: exit %#x efer %#llx cr0 %#llx cr3 %#llx cr4 %#llx rflags %#llx cs %#x/%#x ss %#x/%#x asid %u int_ctl %#x event_inj %#x\n",
			    vcpu->id, c->exit_code, s->efer, s->cr0, s->cr3, s->cr4,
			    s->rflags, s->cs.selector, s->cs.attrib, s->ss.selector,
			    s->ss.attrib, c->asid, c->int_ctl, c->event_inj);
}

struct mhv_backend mhv_svm_backend = {
	.name		= "SVM",
	.vcpu_size	= sizeof(struct svm_vcpu),
	.supported	= svm_supported,
	.setup		= svm_setup,
	.teardown	= svm_teardown,
	.cpu_on		= svm_cpu_on,
	.cpu_off	= svm_cpu_off,
	.vcpu_create	= svm_vcpu_create,
	.vcpu_destroy	= svm_vcpu_destroy,
	.vcpu_reset	= svm_vcpu_reset,
	.vcpu_load	= svm_vcpu_load,
	.vcpu_put	= svm_vcpu_put,
	.state_load	= svm_state_load,
	.set_root	= svm_set_root,
	.flush_tlb	= svm_flush_tlb,
	.inject		= svm_inject,
	.open_window	= svm_open_window,
	.sync_tpr	= svm_sync_tpr,
	.update_intercepts = svm_update_intercepts,
	.run		= svm_run,
	.handle_exit	= svm_handle_exit,
	.exit_reason	= svm_exit_reason,
	.next_rip	= svm_next_rip,
	.dump		= svm_dump,
};
