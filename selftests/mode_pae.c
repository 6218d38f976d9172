// SPDX-License-Identifier: GPL-2.0
/*
 * mode_pae.c - a 32-bit guest with PAE paging: PDPTEs from SREGS and from MOV CR3, 2 MiB and
 * 4 KiB pages, memory above 4 GiB, NX.
 */
#include "guest.h"
#include "vm.h"

#define CODE	0x10000
#define PDPT	0x20000
#define HIGH	0x100000000ULL

GUEST_ASM(code, 32,
	  "mov 0x80000000, %eax\n out %eax, $0x10\n"	/* 2 MiB page */
	  "mov 0x80200000, %eax\n out %eax, $0x10\n"	/* 4 KiB page, beyond 4 GiB */
	  "incl 0x80200000\n"
	  "mov $0x20100, %eax\n mov %eax, %cr3\n"		/* PDPT at +0x100: other PDPTEs */
	  "mov 0x80000000, %eax\n out %eax, $0x10\n"
	  "mov $0x80000010, %eax\n jmp *%eax\n");		/* NX: #PF, no IDT, shutdown */

static void make_tables(struct vm *vm)
{
	u64 *pdpt = (u64 *)(vm->ram + PDPT), *pd = pdpt + 512, *pt = pdpt + 1024;

	pdpt[0] = (PDPT + 0x3000) | PTE_P;
	pdpt[2] = (PDPT + 0x1000) | PTE_P;
	pdpt[32] = pdpt[0];
	pdpt[34] = (PDPT + 0x4000) | PTE_P;
	pd[0] = 0x800000 | PTE_PS | PTE_P | PTE_W;
	pd[1] = (PDPT + 0x2000) | PTE_P | PTE_W;
	pt[0] = HIGH | PTE_P | PTE_W;
	*(u64 *)(vm->ram + PDPT + 0x3000) = 0 | PTE_PS | PTE_P | PTE_W;
	*(u64 *)(vm->ram + PDPT + 0x4000) = 0xa00000 | PTE_PS | PTE_P | PTE_W | PTE_NX;
}

TEST(pae)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	u32 *high = mem_alloc(0x1000);
	struct kvm_sregs sregs;

	ASSERT_RET(vm_slot(vm, 1, 0, HIGH, 0x1000, high), 0);
	vcpu_cpuid(vcpu);
	GUEST_ASM_COPY(vm, CODE, code);
	make_tables(vm);
	*(u32 *)(vm->ram + 0x800000) = 0x22222222;
	*(u32 *)(vm->ram + 0xa00000) = 0xaaaaaaaa;
	*high = 0x33333333;

	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 = PDPT;
	sregs.cr4 |= CR4_PAE;
	sregs.efer = EFER_NX;
	sregs.cr0 |= CR0_PG | CR0_WP;
	vcpu_set_sregs(vcpu, &sregs);

	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x22222222);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x33333333);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0xaaaaaaaa);
	EXPECT_EQ(*high, 0x33333334);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr3, PDPT + 0x100);
	EXPECT_EQ(sregs.efer, EFER_NX);
	expect_shutdown(vcpu);
}
