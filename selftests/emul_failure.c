// SPDX-License-Identifier: GPL-2.0
/*
 * emul_failure.c - an instruction on device memory that nobody emulates: the kernel's own is an
 * internal error with its bytes, a user program's is #UD and leaves the VM alone.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define USER_VA	0x8000000000ULL
#define USER_MMIO 0x8000002000ULL

extern const u8 failing_insn[];

static void guest(void)
{
	asm volatile(".globl failing_insn\n failing_insn: fbld (%0)" : : "r" (MMIO));
	guest_done();
}

TEST(by_the_kernel)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;

	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	EXPECT_GE(run->emulation_failure.ndata, 3);
	EXPECT_EQ(run->emulation_failure.flags & 1, 1);
	EXPECT_EQ(run->emulation_failure.insn_size, 15);
	EXPECT_EQ(memcmp(run->emulation_failure.insn_bytes, failing_insn, 2), 0);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, (uintptr_t)failing_insn);
	/* Userspace can do the instruction's work and go on behind it. */
	regs.rip += 2;
	vcpu_set_regs(vcpu, &regs);
	run_done(vcpu);
}

GUEST_ASM(user_code, 64, "mov $0x8000002000, %rax\n fbld (%rax)");

static void on_ud(struct isr_frame *frame)
{
	guest_sync(frame->rip);
	guest_done();
}

static void user_guest(void)
{
	isr_table[6] = on_ud;
	asm volatile("push %0\n push %1\n push $2\n push %2\n push %3\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_VA + 0x1000), "r" ((u64)GUEST_UCS64),
			 "r" (USER_VA));
}

TEST(by_a_user_program)
{
	struct vcpu *vcpu = guest_new(user_guest);

	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_code);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	vm_map(vcpu->vm, USER_MMIO, MMIO, PTE_P | PTE_W | PTE_U);
	EXPECT_EQ(run_sync(vcpu), USER_VA + 10);
	run_done(vcpu);
}
