// SPDX-License-Identifier: GPL-2.0
/*
 * The host's side of the switch: what exits load, what is switched only when a
 * vCPU is loaded and put, what perf wants to have switched.
 * Entered from vmx.c.  The vCPU is loaded, preemption off.
 * No locks: what is in struct vmx_cpu belongs to this CPU.
 * Intel SDM volume 3, "Host-State Area", "VM-Exit Controls for MSRs" and
 * "VM-Entry Controls for MSRs".
 */
#include <asm/cpufeature.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/mmu_context.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "vmx.h"

static const u32 vmx_msrs[VMX_NR_MSRS] = {
	[VMX_MSR_STAR]		= MSR_STAR,
	[VMX_MSR_LSTAR]		= MSR_LSTAR,
	[VMX_MSR_CSTAR]		= MSR_CSTAR,
	[VMX_MSR_SFMASK]	= MSR_SYSCALL_MASK,
	[VMX_MSR_TSC_AUX]	= MSR_TSC_AUX,
};

/**
 * vmx_has_tsc_aux() - is there IA32_TSC_AUX, and an instruction for guests to read it?
 */
bool vmx_has_tsc_aux(void)
{
	return vmx_caps.ctl[VMX_PROC2] & SECONDARY_EXEC_ENABLE_RDTSCP &&
	       (boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID));
}

/**
 * vmx_read_host_msrs() - note what the host has in the MSRs that guests replace
 * @vc: this CPU
 */
void vmx_read_host_msrs(struct vmx_cpu *vc)
{
	unsigned int i;

	for (i = 0; i < VMX_NR_MSRS; i++) {
		if (i != VMX_MSR_TSC_AUX || vmx_has_tsc_aux())
			rdmsrl(vmx_msrs[i], vc->host_msr[i]);
		vc->msr[i] = vc->host_msr[i];
	}
}

/**
 * vmx_write_host_state() - the host state that is the same while the VMCS is active on a CPU
 * @vmx: the vCPU
 * @cpu: this CPU
 */
void vmx_write_host_state(struct vmx_vcpu *vmx, int cpu)
{
	struct desc_ptr idt;
	u64 val;

	vmcs_write(HOST_CR0, read_cr0() & ~X86_CR0_TS);
	vmx->host_cr3 = __get_current_cr3_fast();
	vmcs_write(HOST_CR3, vmx->host_cr3);
	vmx->host_cr4 = cr4_read_shadow();
	vmcs_write(HOST_CR4, vmx->host_cr4);
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_write(HOST_GDTR_BASE, (unsigned long)get_cpu_gdt_ro(cpu));
	store_idt(&idt);
	vmcs_write(HOST_IDTR_BASE, idt.address);
	rdmsrl(MSR_GS_BASE, val);
	vmcs_write(HOST_GS_BASE, val);
	rdmsrl(MSR_IA32_SYSENTER_CS, val);
	vmcs_write(HOST_IA32_SYSENTER_CS, (u32)val);
	rdmsrl(MSR_IA32_SYSENTER_ESP, val);
	vmcs_write(HOST_IA32_SYSENTER_ESP, val);
	rdmsrl(MSR_IA32_SYSENTER_EIP, val);
	vmcs_write(HOST_IA32_SYSENTER_EIP, val);
	rdmsrl(MSR_IA32_CR_PAT, val);
	vmcs_write(HOST_IA32_PAT, val);
	rdmsrl(MSR_EFER, val);
	vmcs_write(HOST_IA32_EFER, val);
	vmcs_write(HOST_RIP, (unsigned long)vmx_after_exit);
	vmx->host_rsp = 0;	/* vmx_enter() writes it */
}

/**
 * vmx_set_msr() - have this CPU hold a value in one of the MSRs of enum vmx_msr
 * @vc: this CPU
 * @i: which
 * @val: the value; written if it is not there already
 *
 * It may be a guest's: should the CPU refuse it, what was there stays.
 */
void vmx_set_msr(struct vmx_cpu *vc, enum vmx_msr i, u64 val)
{
	if (vc->msr[i] == val)
		return;
	if (!wrmsrl_safe(vmx_msrs[i], val))
		vc->msr[i] = val;
}

/**
 * vmx_load_msrs() - give the CPU the guest's MSRs
 * @vmx: the vCPU
 *
 * Context: the vCPU is switched to, or about to be.
 */
void vmx_load_msrs(struct vmx_vcpu *vmx)
{
	const struct mhv_state *state = &vmx->vcpu.state;
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);

	vmx_set_msr(vc, VMX_MSR_STAR, state->star);
	vmx_set_msr(vc, VMX_MSR_LSTAR, state->lstar);
	vmx_set_msr(vc, VMX_MSR_CSTAR, state->cstar);
	vmx_set_msr(vc, VMX_MSR_SFMASK, state->sfmask);
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
}

/**
 * vmx_switch_to_guest() - put aside what only the host's user mode needs
 * @vmx: the vCPU, about to be entered for the first time since it was loaded
 *
 * So that it need not be switched at each entry and exit.  Selectors of user
 * segments must not be in the host state of a VMCS: then 0 is, and
 * vmx_switch_to_host() loads them.
 */
void vmx_switch_to_guest(struct vmx_vcpu *vmx)
{
	vmx->switched = true;
	savesegment(ds, vmx->host.ds);
	savesegment(es, vmx->host.es);
	savesegment(fs, vmx->host.fs);
	savesegment(gs, vmx->host.gs);
	store_ldt(vmx->host.ldt);
	vmcs_write(HOST_FS_SELECTOR, vmx->host.fs & 7 ? 0 : vmx->host.fs);
	vmcs_write(HOST_GS_SELECTOR, vmx->host.gs & 7 ? 0 : vmx->host.gs);
	rdmsrl(MSR_FS_BASE, vmx->host.fs_base);
	vmcs_write(HOST_FS_BASE, vmx->host.fs_base);
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->host.kernel_gs_base);
	vmx_load_msrs(vmx);
}

/**
 * vmx_switch_to_host() - bring it back
 * @vmx: the vCPU, about to be put
 */
void vmx_switch_to_host(struct vmx_vcpu *vmx)
{
	struct vmx_cpu *vc = this_cpu_ptr(&vmx_cpu);
	unsigned int i;

	vmx->switched = false;
	for (i = 0; i < VMX_NR_MSRS; i++)
		vmx_set_msr(vc, i, vc->host_msr[i]);
	rdmsrl(MSR_KERNEL_GS_BASE, vmx->kernel_gs_base);
	/* An exit leaves LDTR empty, and loads null selectors for a user's. */
	if (unlikely(vmx->host.ldt))
		asm volatile("lldt %0" : : "m" (vmx->host.ldt));
	if (unlikely(vmx->host.gs & 7))
		load_gs_index(vmx->host.gs);
	if (unlikely(vmx->host.fs & 7)) {
		/* With FSGSBASE its base need not be what the selector's descriptor says. */
		loadsegment(fs, vmx->host.fs);
		wrmsrl(MSR_FS_BASE, vmx->host.fs_base);
	}
	if (unlikely(vmx->host.ds | vmx->host.es)) {
		loadsegment(ds, vmx->host.ds);
		loadsegment(es, vmx->host.es);
	}
	wrmsrl(MSR_KERNEL_GS_BASE, vmx->host.kernel_gs_base);
	/* It also sets the limits of TSS and GDT to what they need not be. */
	invalidate_tss_limit();
	load_fixmap_gdt(smp_processor_id());
}

/**
 * vmx_switch_perf() - have the CPU switch what perf counts in the host but not in guests
 * @vmx: the vCPU, about to be entered; interrupts off
 *
 * Most of all PEBS, which writes its records to a linear address, whoever's
 * address space is in use: the guest's memory would get them.  It must be off
 * for a while before the entry, too.
 */
void vmx_switch_perf(struct vmx_vcpu *vmx)
{
	const struct perf_guest_switch_msr *msr;
	int nr = 0, i;
	u32 n = 0;

	msr = perf_guest_get_msrs(&nr, NULL);
	if (likely(!msr))
		nr = 0;
	for (i = 0; i < nr && n < VMX_AREA_MSRS; i++) {
		if (msr[i].host == msr[i].guest)
			continue;
		if (msr[i].msr == MSR_IA32_PEBS_ENABLE)
			wrmsrl(MSR_IA32_PEBS_ENABLE, 0);
		vmx->area->guest[n] = (struct vmx_msr_entry){ msr[i].msr, 0, msr[i].guest };
		vmx->area->host[n] = (struct vmx_msr_entry){ msr[i].msr, 0, msr[i].host };
		n++;
	}
	if (likely(n == vmx->nr_area))
		return;
	vmx->nr_area = n;
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, n);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, n);
}
