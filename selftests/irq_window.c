// SPDX-License-Identifier: GPL-2.0
/*
 * irq_window.c - interrupts from a userspace irqchip: KVM_INTERRUPT, request_interrupt_window,
 * ready_for_interrupt_injection, if_flag; CR8 as a userspace APIC needs it.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0x30

static volatile u32 taken;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	taken++;
}

static int interrupt(struct vcpu *vcpu, u32 vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

static void guest(void)
{
	isr_table[VECTOR] = on_irq;
	guest_sync(0);
	sti();
	asm volatile("nop" : : : "memory");	/* STI's shadow is over after it */
	guest_sync(taken);
	cli();
	for (int i = 0; i < 1000; i++)
		cpu_pause();
	guest_sync(taken);
	sti();
	cpu_pause();
	guest_sync(taken);
	guest_done();
}

static volatile u32 faults;

static void on_ud(struct isr_frame *frame)
{
	(void)frame;
	faults++;
}

static void half_guest(void)
{
	isr_table[VECTOR] = on_irq;
	isr_table[6] = on_ud;
	guest_sync(0);
	sti_nop();
	guest_sync(faults);
	guest_done();
}

/* An exception that is half delivered is not lost to an interrupt. */
TEST(behind_an_exception)
{
	struct vcpu *vcpu = guest_new(half_guest);
	struct kvm_vcpu_events events;

	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.exception.injected = 1;
	events.exception.nr = 6;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	ASSERT_RET(interrupt(vcpu, VECTOR), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

TEST(interrupts_and_windows)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_run *run = vcpu->run;

	run_sync(vcpu);
	EXPECT_EQ(run->if_flag, 0);
	EXPECT_EQ(run->ready_for_interrupt_injection, 0);
	/* Interrupts are off: the window opens after STI and the instruction that follows. */
	run->request_interrupt_window = 1;
	expect_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(run->if_flag, 1);
	EXPECT_EQ(run->ready_for_interrupt_injection, 1);
	run->request_interrupt_window = 0;
	ASSERT_RET(interrupt(vcpu, VECTOR), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run->if_flag, 1);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run->if_flag, 0);
	/* Nobody asks: no exit when the window opens. */
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run->ready_for_interrupt_injection, 1);
	ASSERT_RET(interrupt(vcpu, VECTOR), 0);
	run_done(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, taken), 2);
}

/* One that waits for the guest shows wherever userspace may look for it. */
TEST(told_in_sregs)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;

	run_sync(vcpu);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.interrupt_bitmap[0], 0);
	ASSERT_RET(interrupt(vcpu, VECTOR), 0);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.interrupt_bitmap[0], BIT(VECTOR));
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.interrupt.injected, 1);
	EXPECT_EQ(events.interrupt.nr, VECTOR);
	/* Set again, it is what it was, and so is an exception that is being delivered. */
	events.exception.injected = 1;
	events.exception.nr = 6;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu_get_sregs(vcpu, &sregs);
	vcpu_set_sregs(vcpu, &sregs);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.exception.injected, 1);
	EXPECT_EQ(events.exception.nr, 6);
}

TEST(refused)
{
	struct vcpu *vcpu = guest_new(guest);

	EXPECT_ERRNO(interrupt(vcpu, 256), EINVAL);
	if (dev_cap(KVM_CAP_IRQCHIP) <= 0)
		return;
	/* With the whole irqchip in the kernel there is nothing to inject. */
	vcpu = guest_new_irqchip(guest);
	EXPECT_ERRNO(interrupt(vcpu, VECTOR), ENXIO);
}

static void halt_guest(void)
{
	isr_table[VECTOR] = on_irq;
	sti();
	for (;;)
		asm volatile("hlt");
}

/* HLT exits, RIP behind it; an interrupt lets it go on, and the next HLT exits again. */
TEST(halted)
{
	struct vcpu *vcpu = guest_new(halt_guest);
	struct kvm_regs first, second;

	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &first);
	EXPECT_EQ(vcpu->run->if_flag, 1);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	ASSERT_RET(interrupt(vcpu, VECTOR), 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &second);
	EXPECT_EQ(guest_var(vcpu->vm, taken), 1);
	EXPECT_EQ(second.rip, first.rip);
}

static void cr8_guest(void)
{
	u64 value;

	asm volatile("mov %0, %%cr8" : : "r" (9UL));
	guest_sync(1);
	asm volatile("mov %%cr8, %0" : "=r" (value));
	guest_sync(value);
	asm volatile("mov %0, %%cr8" : : "r" (3UL));	/* lower: userspace must know */
	guest_sync(2);
	asm volatile("mov %0, %%cr8" : : "r" (7UL));	/* higher: no exit */
	guest_sync(3);
	guest_done();
}

TEST(set_tpr)
{
	struct vcpu *vcpu = guest_new(cr8_guest);

	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(vcpu->run->cr8, 9);
	vcpu->run->cr8 = 6;
	EXPECT_EQ(run_sync(vcpu), 6);
	expect_exit(vcpu, KVM_EXIT_SET_TPR);
	EXPECT_EQ(vcpu->run->cr8, 3);
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_EQ(run_sync(vcpu), 3);
	EXPECT_EQ(vcpu->run->cr8, 7);
	run_done(vcpu);
}
