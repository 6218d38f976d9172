// SPDX-License-Identifier: GPL-2.0
/*
 * immediate_exit.c - kvm_run.immediate_exit: pending I/O is completed, the guest is not entered.
 */
#include "guest.h"
#include "vm.h"

GUEST_ASM(code, 16, "in $0x40, %al\n inc %bx\n out %al, $0x41\n inc %bx\n hlt");

static struct vcpu *start(void)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	NEED_CAP(KVM_CAP_IMMEDIATE_EXIT);
	GUEST_ASM_COPY(vm, 0x1000, code);
	vcpu_real(vcpu, 0x1000);
	return vcpu;
}

TEST(nothing_runs)
{
	struct vcpu *vcpu = start();
	struct kvm_regs regs;

	vcpu->run->exit_reason = 0x1234;
	vcpu->run->if_flag = 0x55;
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	/* The kernel leaves the field, and the exit reason, alone. */
	EXPECT_EQ(vcpu->run->immediate_exit, 1);
	EXPECT_EQ(vcpu->run->exit_reason, 0x1234);
	/* But what comes with every return is there. */
	EXPECT_EQ(vcpu->run->if_flag, 0);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x1000);
	EXPECT_EQ(regs.rbx, 0);

	vcpu->run->immediate_exit = 0;
	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
}

TEST(completes_in)
{
	struct vcpu *vcpu = start();
	struct kvm_regs regs;

	*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1) = 0x5a;
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x1000);
	EXPECT_EQ(regs.rax, 0);

	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x1002);
	EXPECT_EQ(regs.rax, 0x5a);
	EXPECT_EQ(regs.rbx, 0);

	/* Nothing is left to complete: the data is not taken twice. */
	*((u8 *)vcpu->run + vcpu->run->io.data_offset) = 0x77;
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1), 0x5a);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rbx, 1);
}

TEST(completes_out)
{
	struct vcpu *vcpu = start();
	struct kvm_regs regs;

	expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x1005);
	EXPECT_EQ(regs.rbx, 1);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rbx, 2);
}

/* A vCPU that waits to be started does not wait then. */
TEST(not_started)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_mp_state state;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_IMMEDIATE_EXIT);
	vcpu_new(vm, 0);
	vcpu = vcpu_new(vm, 1);
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	xioctl(vcpu->fd, KVM_GET_MP_STATE, &state);
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_UNINITIALIZED);
}
