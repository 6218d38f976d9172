// SPDX-License-Identifier: GPL-2.0
/*
 * irq_shadow.c - the shadow of STI ends behind an instruction that exits, as behind any other; one
 * that userspace restores lasts as long.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0x51

static volatile u64 taken_at;

static void on_irq(struct isr_frame *frame)
{
	taken_at = frame->rip;
	apic_write(APIC_EOI, 0);
}

/*
 * STI's shadow is over once the CPUID behind it is: the interrupt is taken then, not one
 * instruction later. (If the shadow was lost on the way, it is taken before.)
 */
static void shadow_guest(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	for (int i = 0; i < 20; i++) {
		u64 after, a = 0, c = 0;

		taken_at = 0;
		apic_write(APIC_ICR, 0x40000 | VECTOR);
		asm volatile("lea 1f(%%rip), %[after]\n\t"
			     "sti\n\tcpuid\n"
			     "1:\tnop\n\tnop\n\tnop\n\tcli"
			     : [after] "=&r" (after), "+a" (a), "+c" (c)
			     : : "rbx", "rdx", "memory");
		GUEST_EXPECT(taken_at);
		GUEST_EXPECT_EQ(taken_at > after ? taken_at - after : 0, 0);
	}
	guest_done();
}

TEST(shadow_ends)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_IRQCHIP);
	vcpu = guest_new_irqchip(shadow_guest);
	run_done(vcpu);
}

extern u8 restored_from[], restored_1[];

static void restored_guest(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	sti();
	for (;;) {
		guest_sync(taken_at);
		asm volatile(".globl restored_from, restored_1\n"
			     "restored_from: nop\n restored_1: nop\n nop");
	}
}

/* Of either kind: an interrupt that waits is taken behind one instruction, not before it. */
TEST(restored)
{
	struct kvm_msi msi = { .address_lo = APIC_BASE, .data = VECTOR };
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VCPU_EVENTS);
	if (!(guest_cpuid(1, 0).c & BIT(5)))
		test_skip("where SVM is emulated, the interrupt comes first");
	vcpu = guest_new_irqchip(restored_guest);
	run_sync(vcpu);
	for (u8 kind = 1; kind <= 2; kind++) {
		test_context("shadow %u", kind);
		vcpu_finish_io(vcpu);
		vcpu_get_regs(vcpu, &regs);
		regs.rip = (uintptr_t)restored_from;
		vcpu_set_regs(vcpu, &regs);
		xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		events.interrupt.shadow = kind;
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		xioctl(vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);
		EXPECT_EQ(run_sync(vcpu), (uintptr_t)restored_1);
	}
}

static void off_guest(void)
{
	for (;;)
		guest_sync(0);
}

/*
 * What userspace says need not be what a CPU can have: STI's shadow with interrupts off, or both
 * kinds at once. It is over behind the next instruction all the same.
 */
TEST(impossible_ones)
{
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VCPU_EVENTS);
	if (!on_minihv() && guest_cpuid(1, 0).c & BIT(5))
		test_skip("KVM's entry is refused");
	vcpu = guest_new(off_guest);
	run_sync(vcpu);
	for (u8 kind = 1; kind <= 3; kind++) {
		test_context("shadow %u", kind);
		xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		events.interrupt.shadow = kind;
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		vcpu_finish_io(vcpu);
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		EXPECT_EQ(run_sync(vcpu), 0);
		xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		EXPECT_EQ(events.interrupt.shadow, 0);
	}
}
