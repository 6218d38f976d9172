// SPDX-License-Identifier: GPL-2.0
/*
 * pio_complete.c - the instruction of a PIO exit: RIP stays at it, and completion at the next
 * KVM_RUN moves RIP on, unless userspace moved it first.
 */
#include "guest.h"
#include "vm.h"

/* 0x1000: in (2 bytes), out (2), out 0x7e (2), hlt */
GUEST_ASM(code, 16, "in $0x40, %al\n out %al, $0x41\n out %al, $0x7e\n hlt");

static struct vcpu *start(void)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	GUEST_ASM_COPY(vm, 0x1000, code);
	vcpu_real(vcpu, 0x1000);
	return vcpu;
}

static u64 rip(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	return regs.rip;
}

TEST(rip_at_the_instruction)
{
	struct vcpu *vcpu = start();

	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
	EXPECT_EQ(rip(vcpu), 0x1000);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1);
	EXPECT_EQ(rip(vcpu), 0x1002);
	/* Port 0x7e is the one exception, for firmware that looks at RIP there. */
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x7e, 1, 1);
	EXPECT_EQ(rip(vcpu), 0x1006);
	expect_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(rip(vcpu), 0x1007);
}

TEST(out_is_not_skipped_if_rip_moved)
{
	struct vcpu *vcpu = start();
	struct kvm_regs regs;

	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = 0x1000;
	vcpu_set_regs(vcpu, &regs);
	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
	EXPECT_EQ(rip(vcpu), 0x1000);
}

/* The same RIP in another segment is another place. */
TEST(out_is_not_skipped_if_cs_moved)
{
	struct vcpu *vcpu = start();
	struct kvm_sregs sregs;

	GUEST_ASM_COPY(vcpu->vm, 0x2000, code);
	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.base += 0x1000;
	vcpu_set_sregs(vcpu, &sregs);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1);
	EXPECT_EQ(rip(vcpu), 0x1002);
}

TEST(registers_change_while_pending)
{
	struct vcpu *vcpu = start();
	struct kvm_regs regs;

	*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1) = 0xab;
	vcpu_get_regs(vcpu, &regs);
	regs.rax = 0x1234567890ULL;
	regs.rbx = 7;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1), 0xab);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, 0x12345678ab);
	EXPECT_EQ(regs.rbx, 7);
}

TEST(not_faulted_by_iopl)
{
	/* Ring 3 with IOPL 0 and a TSS without a bitmap: #GP, and no exit. */
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, NULL, 0);
	/* The #GP handler of the library tells us; code that ring 3 may run, at 4 GiB. */
	vm_map(vm, 0x8000000000, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	memcpy(vm->ram + GUEST_FREE, "\xe6\x10\xf4", 3);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.selector = GUEST_UCS64;
	sregs.cs.dpl = 3;
	sregs.ss.selector = GUEST_UDS;
	sregs.ss.dpl = 3;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = 0x8000000000;
	regs.rsp = 0x8000001000;
	vcpu_set_regs(vcpu, &regs);

	expect_pio(vcpu, KVM_EXIT_IO_OUT, UCALL_PORT, 1, 1);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax & 0xff, UCALL_EXCEPTION);
	EXPECT_EQ(regs.rdi, 13);
	EXPECT_EQ(regs.rsi, 0);
	EXPECT_EQ(regs.rcx, 0x8000000000);
}

/* mov (%ebx), %eax; add (%ebx), %eax; insb; each of which userspace sends the guest away from. */
GUEST_ASM(reads, 32, "mov (%ebx), %eax\n add (%ebx), %eax\n insb\n hlt");

/* So it is with what the emulator has begun. KVM goes on with its instruction. */
TEST(reads_are_forgotten_if_rip_moved)
{
	static const u8 length[] = { 2, 2, 1 };
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_regs regs;
	u64 at = 0x1000;

	if (!on_minihv())
		test_skip("KVM completes it");
	GUEST_ASM_COPY(vm, at, reads);
	vm->ram[0x2000] = 0xf4;
	vcpu_flat32(vcpu, at);
	for (size_t i = 0; i < ARRAY_SIZE(length); i++) {
		vcpu_get_regs(vcpu, &regs);
		regs.rip = at;
		regs.rax = 5;
		regs.rbx = 0xd0000000;
		regs.rdx = 0x40;
		regs.rdi = GUEST_FREE;
		vcpu_set_regs(vcpu, &regs);
		test_context("instruction %zu", i);
		if (i < 2)
			*(u32 *)expect_mmio(vcpu, 0, 0xd0000000, 4) = 7;
		else
			*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1) = 7;
		regs.rip = 0x2000;
		vcpu_set_regs(vcpu, &regs);
		expect_exit(vcpu, KVM_EXIT_HLT);
		vcpu_get_regs(vcpu, &regs);
		EXPECT_EQ(regs.rip, 0x2001);
		EXPECT_EQ(regs.rax, 5);
		EXPECT_EQ(regs.rdi, GUEST_FREE);
		EXPECT_EQ(vm->ram[GUEST_FREE], 0);
		at += length[i];
	}
}

/* An INS whose port is another now has not been answered. KVM takes the answer for the new one. */
TEST(another_port_is_asked)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_regs regs;

	if (!on_minihv())
		test_skip("KVM takes the answer");
	GUEST_ASM_COPY(vm, 0x1000, reads);
	vcpu_flat32(vcpu, 0x1004);
	vcpu_get_regs(vcpu, &regs);
	regs.rdx = 0x40;
	regs.rdi = GUEST_FREE;
	vcpu_set_regs(vcpu, &regs);
	*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1) = 7;
	regs.rdx = 0x41;
	vcpu_set_regs(vcpu, &regs);
	*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x41, 1, 1) = 8;
	expect_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(vm->ram[GUEST_FREE], 8);
}
