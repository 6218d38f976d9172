// SPDX-License-Identifier: GPL-2.0
/*
 * real_irq.c - events in real mode, through the interrupt vector table at 0: INT n, faults,
 * external interrupts, NMI; FLAGS, CS and IP as they are pushed.
 */
#include "guest.h"
#include "vm.h"

#define CODE	0x1000
#define HANDLER	0x2000

/* Says what it was called for (BX), what it was pushed, and goes back. */
GUEST_ASM(handler, 16,
	  "push %bp\n mov %sp, %bp\n mov %bx, %ax\n out %ax, $0x10\n mov 2(%bp), %ax\n"
	  "out %ax, $0x11\n mov 4(%bp), %ax\n out %ax, $0x12\n mov 6(%bp), %ax\n out %ax, $0x13\n"
	  "mov %di, 2(%bp)\n pop %bp\n iret");

/* DI is where the handler goes back to. */
GUEST_ASM(code, 16,
	  "mov $1, %bx\n mov $(1f - code + 0x1000), %di\n .globl at_int\n at_int: int $0x21\n"
	  "1: mov $2, %bx\n mov $(2f - code + 0x1000), %di\n xor %cx, %cx\n"
	  ".globl at_div\n at_div: div %cx\n"
	  "2: mov $3, %bx\n mov $(3f - code + 0x1000), %di\n .globl at_ud\n at_ud: ud2\n"
	  "3: mov $4, %bx\n mov $(4f - code + 0x1000), %di\n sti\n hlt\n .globl at_hlt\n at_hlt: nop\n"
	  "4: cli\n mov $5, %bx\n mov $(5f - code + 0x1000), %di\n hlt\n"
	  ".globl at_nmi\n at_nmi: nop\n 5: hlt");

extern const u8 at_int[], at_div[], at_ud[], at_hlt[], at_nmi[];

static void expect_event(struct vcpu *vcpu, u16 what, u16 ip, u16 flag_if)
{
	test_context("event %u", what);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1), what);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 2, 1), ip);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x12, 2, 1), 0);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x13, 2, 1) & 0x202, flag_if | 2);
	test_context("");
}

static u16 at(const u8 *label)
{
	return CODE + (label - code);
}

TEST(through_the_ivt)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_interrupt irq = { .irq = 0x48 };
	static const u8 vectors[] = { 0, 2, 6, 0x21, 0x48 };

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		*(u32 *)(vm->ram + 4 * vectors[i]) = HANDLER;
	GUEST_ASM_COPY(vm, CODE, code);
	GUEST_ASM_COPY(vm, HANDLER, handler);
	vcpu_real(vcpu, CODE);

	expect_event(vcpu, 1, at(at_int) + 2, 0);
	expect_event(vcpu, 2, at(at_div), 0);
	expect_event(vcpu, 3, at(at_ud), 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
	xioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	expect_event(vcpu, 4, at(at_hlt), 0x200);
	expect_exit(vcpu, KVM_EXIT_HLT);
	xioctl(vcpu->fd, KVM_NMI, 0);
	expect_event(vcpu, 5, at(at_nmi), 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
}

/* Segments of real mode: any base is its selector times 16, also at the end of the first MiB. */
GUEST_ASM(segments, 16,
	  "mov $0xffff, %ax\n mov %ax, %ds\n mov 0x20, %ax\n out %ax, $0x10\n"
	  "mov $0x1234, %ax\n mov %ax, %es\n mov %es:0x10, %ax\n out %ax, $0x10\n"
	  "ljmp $0x200, $(1f - segments)\n 1: mov %cs, %ax\n out %ax, $0x10\n hlt");

TEST(segments_and_the_high_area)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	struct kvm_sregs sregs;

	GUEST_ASM_COPY(vm, 0x2000, segments);
	*(u16 *)(vm->ram + 0x100010) = 0xabcd;	/* 0xffff:0x0020, with A20 on */
	*(u16 *)(vm->ram + 0x12350) = 0x5678;
	vcpu_real(vcpu, 0x2000);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1), 0xabcd);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.ds.base, 0xffff0);
	EXPECT_EQ(sregs.ds.selector, 0xffff);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1), 0x5678);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1), 0x200);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cs.base, 0x2000);
}
