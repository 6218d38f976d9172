// SPDX-License-Identifier: GPL-2.0
/*
 * memslot_none.c - a guest where no memory is: at the reset vector, and by a bad jump.
 */
#include "guest.h"
#include "vm.h"

/*
 * KVM sizes its page-table budget by the memory that a VM has; with none, it must be told a
 * number before the first run, or KVM_RUN fails with ENOSPC.
 */
static struct vcpu *vcpu_without_memory(void)
{
	struct vcpu *vcpu = vcpu_new(vm_bare(), 0);

	xioctl(vcpu->vm->fd, KVM_SET_NR_MMU_PAGES, 64L);
	return vcpu;
}

TEST(run_without_memory)
{
	struct vcpu *vcpu = vcpu_without_memory();

	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(vcpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	/* And again: the state is as it was. */
	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
}

GUEST_ASM(jump, 16, "mov $0x42, %bx\n mov $0xf000, %ax\n mov %ax, %ds\n ljmp $0xf000, $0xfff0");

/* Code is fetched from memory only; from MMIO it is an internal error, at that RIP. */
TEST(fetch_from_mmio)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu;
	struct kvm_regs regs;
	u8 *mem = mem_alloc(0x10000);

	ASSERT_RET(vm_slot(vm, 0, 0, 0, 0x10000, mem), 0);
	vcpu = vcpu_new(vm, 0);
	memcpy(mem + 0x1000, jump, jump_end - jump);
	vcpu_real(vcpu, 0x1000);
	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(vcpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0xfff0);
	EXPECT_EQ(regs.rbx, 0x42);
}

/*
 * A slot that comes later makes the same vCPU run on. The error has left it with a #UD to come,
 * which setting the registers does away with.
 */
TEST(memory_comes_later)
{
	struct vcpu *vcpu = vcpu_without_memory();
	u8 *mem = mem_alloc(0x10000);
	struct kvm_regs regs;

	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	memcpy(mem + 0xfff0, "\xe6\x10\xf4", 3);
	ASSERT_RET(vm_slot(vcpu->vm, 3, 0, 0xffff0000, 0x10000, mem), 0);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0xfff0);
	vcpu_set_regs(vcpu, &regs);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	expect_exit(vcpu, KVM_EXIT_HLT);
}
