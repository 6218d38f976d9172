// SPDX-License-Identifier: GPL-2.0
/*
 * real_hello.c - a real-mode guest: OUT, IN and HLT exits, registers before and after.
 */
#include "guest.h"
#include "vm.h"

/* Prints BX, adds what it reads to it, prints the sum, halts; twice. */
GUEST_ASM(hello, 16,
	  "1: mov $0x3f8, %dx\n mov %bl, %al\n out %al, (%dx)\n"
	  "in $0x40, %al\n add %al, %bl\n mov %bl, %al\n out %al, $0x41\n hlt\n jmp 1b");

static struct vcpu *real_guest(u16 ip)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	GUEST_ASM_COPY(vm, ip, hello);
	vcpu_real(vcpu, ip);
	return vcpu;
}

TEST(out_in_hlt)
{
	struct vcpu *vcpu = real_guest(0x1000);
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rbx = 'A';
	vcpu_set_regs(vcpu, &regs);

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x3f8, 1, 1), 'A' + 3 * i);
		*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x40, 1, 1) = 3;
		EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x41, 1, 1), 'A' + 3 * (i + 1));
		expect_exit(vcpu, KVM_EXIT_HLT);
		vcpu_get_regs(vcpu, &regs);
		EXPECT_EQ(regs.rbx, 'A' + 3 * (i + 1));
		EXPECT_EQ(regs.rdx, 0x3f8);
		/* HLT is behind us. */
		EXPECT_EQ(regs.rip, 0x1000 + (u64)(hello_end - hello) - 2);
	}
}

TEST(reset_state)
{
	struct vcpu *vcpu = vcpu_new(vm_bare(), 0);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(regs.rip, 0xfff0);
	EXPECT_EQ(regs.rflags, 2);
	EXPECT_EQ(regs.rax | regs.rbx | regs.rcx | regs.rsi | regs.rdi | regs.rsp | regs.rbp, 0);
	/* No CPUID was set yet, so no signature in RDX but the oldest one. */
	EXPECT_EQ(regs.rdx, 0x600);
	EXPECT_EQ(sregs.cs.selector, 0xf000);
	EXPECT_EQ(sregs.cs.base, 0xffff0000);
	EXPECT_EQ(sregs.cs.limit, 0xffff);
	EXPECT_EQ(sregs.ds.base, 0);
	EXPECT_EQ(sregs.ds.limit, 0xffff);
	EXPECT_EQ(sregs.ds.present, 1);
	EXPECT_EQ(sregs.ldt.type, 2);
	/* A busy TSS; of 16 bits where the hardware lets it be. */
	EXPECT_EQ(sregs.tr.type & ~8, 3);
	EXPECT_EQ(sregs.gdt.limit, 0xffff);
	EXPECT_EQ(sregs.idt.limit, 0xffff);
	EXPECT_EQ(sregs.cr0, CR0_CD | CR0_NW | CR0_ET);
	EXPECT_EQ(sregs.cr2 | sregs.cr3 | sregs.cr4 | sregs.cr8 | sregs.efer, 0);
	EXPECT_EQ(sregs.apic_base, 0xfee00900);
}

TEST(regs_round_trip)
{
	struct vcpu *vcpu = vcpu_new(vm_bare(), 0);
	struct kvm_regs in, out;
	u64 *reg = (u64 *)&in;

	for (size_t i = 0; i < sizeof(in) / sizeof(*reg); i++)
		reg[i] = 0x0123456789abcdefULL * (i + 1);
	in.rip = 0x7fff12345678;
	in.rflags = 0x246;
	vcpu_set_regs(vcpu, &in);
	vcpu_get_regs(vcpu, &out);
	EXPECT_EQ(memcmp(&in, &out, sizeof(in)), 0);

	/* The bit that is always one reads as one. */
	in.rflags = 0;
	vcpu_set_regs(vcpu, &in);
	vcpu_get_regs(vcpu, &out);
	EXPECT_EQ(out.rflags, 2);
}

/* What KVM_RUN itself refuses, and that if_flag, cr8 and apic_base are written at each exit. */
TEST(run_page)
{
	struct vcpu *vcpu = real_guest(0x1000);
	struct kvm_run *run = vcpu->run;

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 1), EINVAL);
	run->if_flag = 0x55;
	run->flags = 0x55;
	run->apic_base = 0;
	run->ready_for_interrupt_injection = 0x55;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x3f8, 1, 1);
	EXPECT_EQ(run->if_flag, 0);
	EXPECT_EQ(run->ready_for_interrupt_injection, 0);
	EXPECT_EQ(run->apic_base, 0xfee00900);
	EXPECT_EQ(run->cr8, 0);
	EXPECT_EQ(run->flags, 0);
	EXPECT_EQ(run->io.data_offset, 4096);
}
