// SPDX-License-Identifier: GPL-2.0
/*
 * hypercall.c - VMMCALL and VMCALL: an unknown number is -ENOSYS of KVM's kind, ring 3 may not,
 * 32-bit code is cut to 32 bits; the other vendor's instruction is put right, or is #UD.
 */
#include <stdbool.h>

#include "guest.h"
#include "vm.h"

#define ENOSYS_KVM	((u64)-1000)
#define EPERM_KVM	((u64)-1)

static u64 a, c, d;

static void guest(void)
{
	u64 kind;

	for (int i = 0; i < 3; i++) {
		a = 0x7fff;
		c = 0x1234;
		d = 0x5678;
		GUEST_TRY("vmmcall", a, c, d);
		kind = guest_fault.vector;
		GUEST_EXPECT(kind == 256 || kind == 6);
		if (kind == 256)
			GUEST_EXPECT_EQ(a, ENOSYS_KVM);
		/* Nothing else changes. */
		GUEST_EXPECT_EQ(c, 0x1234);
		GUEST_EXPECT_EQ(d, 0x5678);
	}
	a = 0x7fff;
	GUEST_TRY("vmcall", a, c, d);
	GUEST_EXPECT(guest_fault.vector == 256 || guest_fault.vector == 6);
	if (guest_fault.vector == 256)
		GUEST_EXPECT_EQ(a, ENOSYS_KVM);
	/* One of the two must be it. */
	GUEST_EXPECT(kind == 256 || guest_fault.vector == 256);
	/* KVM_HC_VAPIC_POLL_IRQ: nothing, successfully. */
	a = 1;
	if (kind == 256)
		GUEST_TRY("vmmcall", a, c, d);
	else
		GUEST_TRY("vmcall", a, c, d);
	GUEST_EXPECT_EQ(a, 0);
	guest_done();
}

TEST(numbers)
{
	run_done(guest_new_irqchip(guest));
}

GUEST_ASM(user_code, 64, "mov $1, %eax\n vmmcall\n mov %rax, %rbx\n ud2");
#define USER_VA	0x8000000000ULL

static void on_ud(struct isr_frame *frame)
{
	if (frame->rip == USER_VA + 5)
		guest_sync(6);		/* VMMCALL itself is #UD: not this vendor's */
	else
		guest_sync(frame->rbx);
	guest_done();
}

static void enter_user(void)
{
	asm volatile("push %0\n push %1\n push $2\n push %2\n push %3\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_VA + 0x1000), "r" ((u64)GUEST_UCS64),
			 "r" (USER_VA));
}

static void user_guest(void)
{
	isr_table[6] = on_ud;
	enter_user();
}

TEST(ring3)
{
	struct vcpu *vcpu = guest_new_irqchip(user_guest);
	u64 result;

	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_code);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	result = run_sync(vcpu);
	if (result == 6)
		test_skip("no VMMCALL");
	EXPECT_EQ(result, EPERM_KVM);
}

GUEST_ASM(code32, 32, "mov $0x7fff, %eax\n vmmcall\n out %eax, $0x10\n hlt");

TEST(thirty_two_bits)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_regs regs;

	vcpu_cpuid(vcpu);
	if (guest_cpuid(0, 0).b == 0x756e6547)
		test_skip("no VMMCALL");
	GUEST_ASM_COPY(vm, 0x1000, code32);
	vcpu_flat32(vcpu, 0x1000);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), (u32)-1000);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, (u32)-1000);
}

/*
 * The other vendor's instruction is patched, over two pages, too. VMCALL in ring 3 gets #GP and no
 * patch.
 */
TEST(foreign)
{
	bool amd = guest_cpuid(0, 0).b != 0x756e6547;
	struct kvm_regs regs = { .rflags = RFLAGS_FIXED, .rax = 0x7fff, .rip = GUEST_FREE + 0xffe };
	struct vcpu *vcpu = guest_new(NULL);
	u8 *code = vcpu->vm->ram + GUEST_FREE + 0xffe, other = amd ? 0xd9 : 0xc1;

	memcpy(code, "\x0f\x01\x00\xf4", 4);
	code[2] = amd ? 0xc1 : 0xd9;
	vcpu_set_regs(vcpu, &regs);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, ENOSYS_KVM);
	EXPECT_EQ(code[2], other);
}

#define RO_VA	0x8000000000ULL

static void on_write(struct isr_frame *frame)
{
	guest_sync(frame->vector);
	guest_done();
}

static void read_only_guest(void)
{
	isr_table[14] = on_write;
	((void (*)(void))RO_VA)();
	guest_sync(0);
	guest_done();
}

/* Code that the guest cannot write is not patched: it is served as it is, or KVM raises #PF. */
TEST(foreign_in_read_only_code)
{
	bool amd = guest_cpuid(0, 0).b != 0x756e6547;
	struct vcpu *vcpu = guest_new_irqchip(read_only_guest);
	u8 *code = vcpu->vm->ram + GUEST_FREE, own = amd ? 0xc1 : 0xd9;

	/* mov $1, %eax; the hypercall; ret */
	memcpy(code, "\xb8\x01\x00\x00\x00\x0f\x01\x00\xc3", 9);
	code[7] = own;
	vm_map(vcpu->vm, RO_VA, GUEST_FREE, PTE_P);
	EXPECT_EQ(run_sync(vcpu), on_minihv() ? 0 : 14);
	EXPECT_EQ(code[7], own);
}

static void on_gp(struct isr_frame *frame)
{
	guest_sync(frame->rip == USER_VA + 5 ? frame->vector : 0);
	guest_done();
}

static void foreign_guest(void)
{
	isr_table[13] = on_gp;
	isr_table[6] = on_gp;
	enter_user();
}

TEST(foreign_in_ring3)
{
	bool amd = guest_cpuid(0, 0).b != 0x756e6547;
	struct vcpu *vcpu = guest_new_irqchip(foreign_guest);
	u8 *code = vcpu->vm->ram + GUEST_FREE;

	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_code);
	code[7] = amd ? 0xc1 : 0xd9;
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	/* VMMCALL is for any privilege level. */
	EXPECT_EQ(run_sync(vcpu), amd ? 13 : 0);
	EXPECT_EQ(code[7], 0xc1);
}

GUEST_ASM(real_code, 16, "mov $1, %ax\n .byte 0x0f, 0x01, 0xc1\n out %ax, $0x10\n"
	  "mov $1, %ax\n .byte 0x0f, 0x01, 0xd9\n out %ax, $0x11\n hlt");
GUEST_ASM(real_ud, 16, "out %ax, $0x12\n hlt");

/* Intel's CPUs have no VMMCALL; in real mode it is not put right. */
TEST(real_mode)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vcpu_cpuid(vcpu);
	GUEST_ASM_COPY(vm, 0x1000, real_code);
	GUEST_ASM_COPY(vm, 0x2000, real_ud);
	*(u32 *)(vm->ram + 4 * 6) = 0x2000;
	vcpu_real(vcpu, 0x1000);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, guest_cpuid(0, 0).b == 0x756e6547 ? 0x12 : 0x11, 2, 1);
}
