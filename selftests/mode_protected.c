// SPDX-License-Identifier: GPL-2.0
/*
 * mode_protected.c - 32-bit guests: flat from SREGS, from real mode by their own hand, with
 * segments that have bases and limits, and with 4 KiB and 4 MiB pages.
 */
#include "guest.h"
#include "vm.h"

#define CODE 0x10000

GUEST_ASM(sum, 32,
	  "xor %eax, %eax\n 1: add %ecx, %eax\n loop 1b\n out %eax, $0x10\n hlt");

TEST(flat)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_regs regs;

	GUEST_ASM_COPY(vm, CODE, sum);
	vcpu_flat32(vcpu, CODE);
	vcpu_get_regs(vcpu, &regs);
	regs.rcx = 100000;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1),
		  (u32)(100000ULL * 100001 / 2));
	expect_exit(vcpu, KVM_EXIT_HLT);
}

/* The way in: GDT, CR0.PE, far jump, data segments; then the way back. */
GUEST_ASM(enter, 16,
	  "cli\n lgdtl (gdtr - enter + 0x1000)\n mov %cr0, %eax\n or $1, %eax\n mov %eax, %cr0\n"
	  "ljmpl $8, $(1f - enter + 0x1000)\n"
	  ".code32\n 1: mov $0x10, %ax\n mov %ax, %ds\n mov %ax, %ss\n mov $0x7000, %esp\n"
	  "mov 0x900000, %eax\n out %eax, $0x10\n"
	  "push $0x12345678\n pop %ebx\n mov %ebx, 0x900004\n"
	  "ljmp $0x38, $(2f - enter + 0x1000)\n"
	  ".code16\n 2: mov $0x40, %ax\n mov %ax, %ds\n mov %ax, %ss\n"
	  "mov %cr0, %eax\n and $~1, %al\n mov %eax, %cr0\n ljmp $0, $(3f - enter + 0x1000)\n"
	  "3: xor %ax, %ax\n mov %ax, %ds\n mov $0x5a, %al\n out %al, $0x11\n hlt\n"
	  ".balign 8\n gdtr: .word 0x7f\n .long 0x80000\n");

TEST(real_to_protected_and_back)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	u64 *gdt = (u64 *)(vm->ram + GUEST_GDT);
	struct kvm_sregs sregs;

	gdt[7] = 0x00009b000000ffff;	/* 0x38, 0x40: 16 bits, as real mode has them */
	gdt[8] = 0x000093000000ffff;
	GUEST_ASM_COPY(vm, 0x1000, enter);
	*(u32 *)(vm->ram + 0x900000) = 0xfeedface;
	vcpu_real(vcpu, 0x1000);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0xfeedface);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr0 & CR0_PE, CR0_PE);
	EXPECT_EQ(sregs.cs.selector, 8);
	EXPECT_EQ(sregs.cs.db, 1);
	EXPECT_EQ(sregs.cs.limit, 0xffffffff);
	EXPECT_EQ(sregs.ds.selector, 0x10);
	EXPECT_EQ(sregs.gdt.base, GUEST_GDT);
	EXPECT_EQ(sregs.gdt.limit, 0x7f);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1), 0x5a);
	EXPECT_EQ(*(u32 *)(vm->ram + 0x900004), 0x12345678);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr0 & CR0_PE, 0);
	EXPECT_EQ(sregs.cs.selector, 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
}

GUEST_ASM(segment, 32, "mov %fs:4, %eax\n out %eax, $0x10\n ud2");

/* The base is added; base and limit come back as they were; #UD without an IDT: shutdown. */
TEST(segment_base_and_limit)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_sregs sregs;

	GUEST_ASM_COPY(vm, CODE, segment);
	*(u32 *)(vm->ram + 0x900004) = 0x600d600d;
	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.fs.base = 0x900000;
	sregs.fs.limit = 7;
	sregs.fs.g = 0;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x600d600d);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.fs.base, 0x900000);
	EXPECT_EQ(sregs.fs.limit, 7);
	EXPECT_EQ(sregs.fs.g, 0);
	expect_shutdown(vcpu);
}

GUEST_ASM(device, 32, "mov %eax, %fs:4\n mov %eax, %fs:8\n hlt");

/* A plain move to a device ends where the segment does. */
TEST(device_beyond_the_limit)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_sregs sregs;

	GUEST_ASM_COPY(vm, CODE, device);
	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.fs.base = 0xd0000000;
	sregs.fs.limit = 7;
	sregs.fs.g = 0;
	vcpu_set_sregs(vcpu, &sregs);
	expect_mmio(vcpu, 1, 0xd0000004, 4);
	expect_shutdown(vcpu);
}

GUEST_ASM(paged, 32,
	  "mov 0x40000000, %eax\n out %eax, $0x10\n mov 0x40801000, %eax\n out %eax, $0x10\n"
	  "movl $0x1111, 0x40801004\n hlt");

/* 4 MiB page at 1 GiB to 0x800000; at 1 GiB + 8 MiB a table of 4 KiB pages. */
TEST(two_level_paging)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	u32 *pd = (u32 *)(vm->ram + 0x20000), *pt = (u32 *)(vm->ram + 0x21000);
	struct kvm_sregs sregs;

	GUEST_ASM_COPY(vm, CODE, paged);
	pd[0] = 0 | PTE_PS | PTE_P | PTE_W;
	pd[256] = 0x800000 | PTE_PS | PTE_P | PTE_W;
	pd[258] = 0x21000 | PTE_P | PTE_W;
	pt[1] = 0x30000 | PTE_P | PTE_W;
	*(u32 *)(vm->ram + 0x800000) = 0x44444444;
	*(u32 *)(vm->ram + 0x30000) = 0x55555555;

	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 = 0x20000;
	sregs.cr4 |= CR4_PSE;
	sregs.cr0 |= CR0_PG | CR0_WP;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x44444444);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x55555555);
	expect_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(*(u32 *)(vm->ram + 0x30004), 0x1111);
	/* Accessed and dirty, set by the walk. */
	EXPECT_EQ(pt[1] & 0x60, 0x60);
	EXPECT_EQ(pd[256] & 0x60, 0x20);
}

GUEST_ASM(rings, 32,
	  "mov $0x58, %eax\n ltr %ax\n mov 0xd0000000, %es\n"
	  "pushl $0x53\n pushl $0x802000\n pushl $2\n pushl $0x4b\n"
	  "pushl $(1f - rings + 0x10000)\n iretl\n 1: int $0x20\n ud2");
GUEST_ASM(ring0, 32,
	  "mov %esp, %eax\n out %eax, $0x10\n mov %es, %eax\n out %eax, $0x11\n hlt");

/*
 * A selector that a device gives, to an instruction that is emulated, then ring 3, and back by
 * way of the TSS. A CPU may keep a type of TSS in TR that is not the one which software is told;
 * an emulated CPU does not survive it if it is given that one back with the other segments.
 */
TEST(ring3_and_back)
{
	static const u16 selector = 0x53;
	struct kvm_sregs sregs;
	struct vcpu *vcpu;
	u64 *gdt, *idt;
	struct vm *vm;
	u32 *tss;

	/* In Bochs's SVM the way back to ring 0 is a triple fault. */
	need_shutdown();
	vm = vm_new();
	vcpu = vcpu_new(vm, 0);
	gdt = (u64 *)(vm->ram + GUEST_GDT);
	idt = (u64 *)(vm->ram + 0x801000);
	tss = (u32 *)(vm->ram + 0x800000);
	GUEST_ASM_COPY(vm, CODE, rings);
	GUEST_ASM_COPY(vm, CODE + 0x1000, ring0);
	gdt[9] = 0x00cffb000000ffff;		/* 0x4b and 0x53: code and data of ring 3 */
	gdt[10] = 0x00cff3000000ffff;
	gdt[11] = 0x0000898000000067;		/* 0x58: the TSS */
	tss[1] = 0x803000;			/* ESP and SS of ring 0 */
	tss[2] = GUEST_DS;
	idt[0x20] = 0x0001ee0000081000;		/* ring 3 may; CS32 and ring0 */

	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt = (struct kvm_dtable){ .base = 0x801000, .limit = 0x107 };
	vcpu_set_sregs(vcpu, &sregs);
	memcpy(expect_mmio(vcpu, 0, 0xd0000000, 2), &selector, sizeof(selector));
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x803000 - 20);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 4, 1), 0x53);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.tr.type, 11);
	EXPECT_EQ(sregs.tr.selector, 0x58);
	expect_exit(vcpu, KVM_EXIT_HLT);
}

/* HLT as the last byte of 4 GiB: EIP has 32 bits. */
TEST(end_of_4_gib)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	u8 *last = mem_alloc(4096);
	struct kvm_regs regs;

	last[4095] = 0xf4;
	ASSERT_RET(vm_slot(vm, 1, 0, 0xfffff000, 4096, last), 0);
	vcpu_flat32(vcpu, 0xffffffff);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0);
}

GUEST_ASM(to_dr7, 32, "mov %ebx, %dr7\n mov %dr7, %ecx\n hlt");

/*
 * What a register has above its 32 bits is nothing to 32-bit code. With a debugger the access
 * exits; else the CPU makes it, and QEMU's does not cut.
 */
TEST(upper_halves)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg[7] = 0x400,
	};
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_regs regs;

	GUEST_ASM_COPY(vm, CODE, to_dr7);
	vcpu_flat32(vcpu, CODE);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = 0xffff000000000700;
	vcpu_set_regs(vcpu, &regs);
	xioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0x700);
}
