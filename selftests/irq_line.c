// SPDX-License-Identifier: GPL-2.0
/*
 * irq_line.c - KVM_IRQ_LINE and IRQ_LINE_STATUS: what became of an interrupt, and which chips a
 * GSI leads to before any routing is set.
 */
#include "guest.h"
#include "vm.h"

#define PIN	19
#define VECTOR	0x55

static volatile u32 count;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	count++;
}

static u32 take(void)
{
	u32 before = count;

	sti_nop();
	return count - before;
}

static void setup(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
}

static void eoi(void)
{
	apic_write(APIC_EOI, 0);
}

static void status_guest(void)
{
	setup();
	ioapic_entry(PIN, VECTOR | 0x10000);
	guest_sync(0);
	ioapic_entry(PIN, VECTOR);
	guest_sync(0);
	GUEST_EXPECT_EQ(take(), 1);
	eoi();
	guest_sync(0);
	guest_done();
}

static int line_status(struct vm *vm, u32 level)
{
	struct kvm_irq_level line = { .irq = PIN, .level = level };

	xioctl(vm->fd, KVM_IRQ_LINE_STATUS, &line);
	return line.status;
}

TEST(irq_line_status)
{
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQ_INJECT_STATUS);
	vcpu = guest_new_irqchip(status_guest);
	vm = vcpu->vm;
	run_sync(vcpu);
	EXPECT_EQ(line_status(vm, 1), -1);	/* masked: ignored */
	EXPECT_EQ(line_status(vm, 0), 1);
	run_sync(vcpu);
	EXPECT_EQ(line_status(vm, 1), 1);	/* delivered */
	EXPECT_EQ(line_status(vm, 1), 0);	/* high already: coalesced */
	EXPECT_EQ(line_status(vm, 0), 1);
	run_sync(vcpu);
	EXPECT_EQ(line_status(vm, 1), 1);
	run_done(vcpu);
}

/* A GSI of 0..15 goes to the PIC and the IOAPIC, 16..23 to the IOAPIC, others nowhere. */
static void both_guest(void)
{
	setup();
	isr_table[0x23] = on_irq;
	pic_init(0);
	ioapic_entry(3, VECTOR);
	guest_sync(0);
	GUEST_EXPECT_EQ(take(), 2);
	guest_done();
}

TEST(default_routing)
{
	struct vcpu *vcpu = guest_new_irqchip(both_guest);

	run_sync(vcpu);
	vm_irq_line(vcpu->vm, 3, 1);
	vm_irq_line(vcpu->vm, 24, 1);
	vm_irq_line(vcpu->vm, 4095, 1);
	run_done(vcpu);
}
