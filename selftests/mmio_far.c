// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_far.c - far pointers with REX.W in MMIO are of eight bytes and a selector, whoever made the
 * CPU: KVM emulates them so, though AMD's own would read four.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define OFFSET	0x1122334455667788ULL

GUEST_ASM(jump, 64, "rex.W ljmp *(%rbx)\n hlt");
GUEST_ASM(at_1100, 64,
	  "rex.W lcall *0x10(%rbx)\n .byte 0x48, 0x0f, 0xb4, 0x43, 0x20\n mov %fs, %edx\n hlt");
GUEST_ASM(at_1200, 64, "mov $0x77, %ecx\n rex.W lret");

static u8 dev[0x30];

static void put(int at, u64 offset, u16 sel)
{
	memcpy(dev + at, &offset, 8);
	memcpy(dev + at + 8, &sel, 2);
}

TEST(wide_pointers)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED, .rbx = MMIO, .rsp = 0x7000,
	};
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	put(0, 0x1100, sregs.cs.selector);
	put(0x10, 0x1200, sregs.cs.selector);
	put(0x20, OFFSET, sregs.ss.selector);
	GUEST_ASM_COPY(vcpu->vm, 0x1000, jump);
	GUEST_ASM_COPY(vcpu->vm, 0x1100, at_1100);
	GUEST_ASM_COPY(vcpu->vm, 0x1200, at_1200);
	vcpu_set_regs(vcpu, &regs);
	while (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
		u64 at = run->mmio.phys_addr - MMIO;

		ASSERT_TRUE(!run->mmio.is_write && at + run->mmio.len <= sizeof(dev));
		memcpy(run->mmio.data, dev + at, run->mmio.len);
	}
	EXPECT_EQ(run->exit_reason, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0x77);
	EXPECT_EQ(regs.rax, OFFSET);
	EXPECT_EQ(regs.rdx, sregs.ss.selector);
	EXPECT_EQ(regs.rsp, 0x7000);
	EXPECT_EQ(regs.rip, 0x1100 + (at_1100_end - at_1100));
}
