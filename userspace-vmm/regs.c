// SPDX-License-Identifier: GPL-2.0
/*
 * Initial vCPU state: what firmware leaves behind, and the registers at a kernel's entry.
 * Entered from vcpu_create_all() and machine_create().
 * No locks: set-up, on the main thread.
 * Linux boot protocol: "64-bit Boot Protocol"; PVH: "start_info"; Intel SDM: "Local APIC".
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "boot/boot.h"
#include "kvm.h"
#include "machine.h"
#include "vcpu.h"

#define CR0_PE		(1ull << 0)
#define CR0_ET		(1ull << 4)
#define CR0_PG		(1ull << 31)
#define CR4_PAE		(1ull << 5)
#define EFER_LME	(1ull << 8)
#define EFER_LMA	(1ull << 10)

#define MSR_MTRR_DEF_TYPE	0x2ff
#define MTRR_ENABLE_WB		0x806	/* enabled, everything write-back */

#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_DM_NMI	0x400
#define APIC_DM_EXTINT	0x700

#define PTE_PRESENT_RW	0x3ull
#define PTE_LARGE	0x80ull

/* LINT0 takes the PIC's output, LINT1 is NMI: virtual wire mode, as firmware leaves it. */
static void setup_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	uint32_t lvt;

	kvm_must(vcpu->fd, KVM_GET_LAPIC, &lapic);
	lvt = APIC_DM_EXTINT;
	memcpy(lapic.regs + APIC_LVT0, &lvt, sizeof(lvt));
	lvt = APIC_DM_NMI;
	memcpy(lapic.regs + APIC_LVT1, &lvt, sizeof(lvt));
	kvm_must(vcpu->fd, KVM_SET_LAPIC, &lapic);
}

void vcpu_reset_setup(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[1];
	} msrs = {
		.head = { .nmsrs = 1 },
		.entry = { { .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLE_WB } },
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };

	if (kvm_must(vcpu->fd, KVM_SET_MSRS, &msrs) != 1)
		die("KVM_SET_MSRS: MSR 0x%x was refused", MSR_MTRR_DEF_TYPE);
	kvm_must(vcpu->fd, KVM_SET_FPU, &fpu);
	setup_lapic(vcpu);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool code, bool wide)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code && wide,
		.db = !(code && wide),
	};
}

/* The descriptor that loads as @s: "Segment Descriptors" in both manuals. */
static uint64_t descriptor(const struct kvm_segment *s)
{
	uint64_t limit = s->g ? s->limit >> 12 : s->limit;

	return (limit & 0xffff) | (limit >> 16 & 0xf) << 48 |
	       (s->base & 0xffffff) << 16 | (s->base >> 24 & 0xff) << 56 |
	       (uint64_t)s->type << 40 | (uint64_t)s->s << 44 | (uint64_t)s->dpl << 45 |
	       (uint64_t)s->present << 47 | (uint64_t)s->l << 53 | (uint64_t)s->db << 54 |
	       (uint64_t)s->g << 55;
}

static void setup_segments(struct machine *m, struct kvm_sregs *sregs, bool wide)
{
	struct kvm_segment code = flat_segment(BOOT_CODE_SEL, 0xb, true, wide);
	struct kvm_segment data = flat_segment(BOOT_DATA_SEL, 0x3, false, wide);
	struct kvm_segment tss = {
		.limit = 0x67, .selector = BOOT_TSS_SEL, .type = 0xb, .present = 1,
	};
	uint64_t gdt[5] = { 0, 0, descriptor(&code), descriptor(&data), descriptor(&tss) };

	if (!mem_write(m, BOOT_GDT, gdt, sizeof(gdt)))
		die("--memory: no room for the descriptor table");
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	sregs->cs = code;
	sregs->ds = data;
	sregs->es = data;
	sregs->fs = data;
	sregs->gs = data;
	sregs->ss = data;
	sregs->tr = tss;
}

/* 4 GiB, one to one, in 2 MiB pages: kernel, zero page, command line and initrd are in there. */
static void setup_page_tables(struct machine *m)
{
	uint64_t *table = mem_ptr(m, BOOT_PAGES, 6 * 4096);
	unsigned int i;

	if (!table)
		die("--memory: no room for the page tables");
	memset(table, 0, 6 * 4096);
	table[0] = (BOOT_PAGES + 0x1000) | PTE_PRESENT_RW;
	for (i = 0; i < 4; i++)
		table[512 + i] = (BOOT_PAGES + 0x2000 + i * 0x1000) | PTE_PRESENT_RW;
	for (i = 0; i < 4 * 512; i++)
		table[1024 + i] = (uint64_t)i << 21 | PTE_PRESENT_RW | PTE_LARGE;
}

void vcpu_boot_setup(struct vcpu *vcpu, const struct boot_entry *entry)
{
	bool wide = entry->mode == BOOT_LONG;
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rflags = 2, .rip = entry->rip, .rsp = BOOT_STACK };

	kvm_must(vcpu->fd, KVM_GET_SREGS, &sregs);
	setup_segments(vcpu->m, &sregs, wide);
	sregs.cr0 = CR0_PE | CR0_ET;
	sregs.cr4 = 0;
	if (wide) {
		setup_page_tables(vcpu->m);
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = BOOT_PAGES;
		sregs.cr4 = CR4_PAE;
		sregs.efer |= EFER_LME | EFER_LMA;
		regs.rsi = entry->params;
	} else {
		regs.rbx = entry->params;
	}
	kvm_must(vcpu->fd, KVM_SET_SREGS, &sregs);
	kvm_must(vcpu->fd, KVM_SET_REGS, &regs);
}
