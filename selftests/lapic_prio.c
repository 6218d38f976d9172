// SPDX-License-Identifier: GPL-2.0
/*
 * lapic_prio.c - TPR, PPR, CR8, nesting of interrupts by priority, EOI, ISR and IRR.
 */
#include "guest.h"
#include "vm.h"

static volatile u32 order[8], taken;

static void self_ipi(u8 vector)
{
	apic_write(APIC_ICR, 0x40000 | vector);
}

static void on_irq(struct isr_frame *frame)
{
	order[taken++ & 7] = frame->vector;
}

static void on_irq_eoi(struct isr_frame *frame)
{
	on_irq(frame);
	apic_write(APIC_EOI, 0);
}

static u32 bit(u32 reg, u8 vector)
{
	return apic_read(reg + vector / 32 * 16) >> vector % 32 & 1;
}

static u64 read_cr8(void)
{
	u64 value;

	asm volatile("mov %%cr8, %0" : "=r" (value) : : "memory");
	return value;
}

static void write_cr8(u64 value)
{
	asm volatile("mov %0, %%cr8" : : "r" (value) : "memory");
}

static void tpr_guest(void)
{
	for (int i = 0x20; i < 0x100; i++)
		isr_table[i] = on_irq_eoi;
	apic_enable();
	apic_write(APIC_TPR, 0x50);
	GUEST_EXPECT_EQ(apic_read(APIC_PPR), 0x50);
	GUEST_EXPECT_EQ(read_cr8(), 5);
	self_ipi(0x45);
	self_ipi(0x5f);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 0);
	GUEST_EXPECT_EQ(bit(APIC_IRR, 0x45) & bit(APIC_IRR, 0x5f), 1);
	self_ipi(0x60);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 1);
	GUEST_EXPECT_EQ(order[0], 0x60);
	/* Lowered by CR8 with interrupts on: they come at once, the higher one first. */
	sti();
	write_cr8(4);
	asm volatile("nop");
	GUEST_EXPECT_EQ(taken, 2);
	GUEST_EXPECT_EQ(order[1], 0x5f);
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x40);
	write_cr8(3);
	asm volatile("nop");
	GUEST_EXPECT_EQ(order[2], 0x45);
	cli();
	/* Raised again, and lowered by the register. */
	write_cr8(15);
	self_ipi(0xfe);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 3);
	apic_write(APIC_TPR, 0);
	sti_nop();
	GUEST_EXPECT_EQ(order[3], 0xfe);
	guest_done();
}

TEST(tpr_and_cr8)
{
	run_done(guest_new_irqchip(tpr_guest));
}

static void nesting_guest(void)
{
	for (int i = 0x20; i < 0x100; i++)
		isr_table[i] = on_irq;
	apic_enable();
	self_ipi(0x41);
	sti_nop();
	GUEST_EXPECT_EQ(bit(APIC_ISR, 0x41), 1);
	GUEST_EXPECT_EQ(bit(APIC_IRR, 0x41), 0);
	GUEST_EXPECT_EQ(apic_read(APIC_PPR), 0x40);
	/* The same class, and the same vector, wait; a higher class does not. */
	self_ipi(0x4e);
	self_ipi(0x41);
	self_ipi(0x71);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 2);
	GUEST_EXPECT_EQ(order[1], 0x71);
	GUEST_EXPECT_EQ(apic_read(APIC_PPR), 0x70);
	apic_write(APIC_EOI, 0);
	GUEST_EXPECT_EQ(bit(APIC_ISR, 0x71), 0);
	GUEST_EXPECT_EQ(apic_read(APIC_PPR), 0x40);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 2);
	apic_write(APIC_EOI, 0);
	sti_nop();
	GUEST_EXPECT_EQ(order[2], 0x4e);
	apic_write(APIC_EOI, 0);
	sti_nop();
	GUEST_EXPECT_EQ(order[3], 0x41);
	apic_write(APIC_EOI, 0);
	GUEST_EXPECT_EQ(apic_read(APIC_PPR), 0);
	/* An EOI of nothing is nothing. */
	apic_write(APIC_EOI, 0);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 4);
	guest_done();
}

TEST(nesting)
{
	run_done(guest_new_irqchip(nesting_guest));
}

/* CR8 as userspace sees it at each exit. */
static void exit_guest(void)
{
	write_cr8(7);
	guest_sync(0);
	apic_write(APIC_TPR, 0xa0);
	guest_sync(0);
	guest_done();
}

TEST(cr8_at_exits)
{
	struct vcpu *vcpu = guest_new_irqchip(exit_guest);
	struct kvm_sregs sregs;

	run_sync(vcpu);
	EXPECT_EQ(vcpu->run->cr8, 7);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr8, 7);
	run_sync(vcpu);
	EXPECT_EQ(vcpu->run->cr8, 10);
	/* With an in-kernel APIC the run page's value is output only. */
	vcpu->run->cr8 = 1;
	run_done(vcpu);
	EXPECT_EQ(vcpu->run->cr8, 10);
}

/* An IPI is sent at once: it is never under way when ICR is read. */
static void status_guest(void)
{
	isr_table[0x80] = on_irq_eoi;
	apic_enable();
	apic_write(APIC_ICR2, 0x01000000);
	apic_write(APIC_ICR, 0x41080 | BIT(12));
	GUEST_EXPECT_EQ(apic_read(APIC_ICR), 0x40080);
	GUEST_EXPECT_EQ(apic_read(APIC_ICR2), 0x01000000);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 1);
	guest_done();
}

TEST(delivery_status)
{
	run_done(guest_new_irqchip(status_guest));
}

/* APIC off by software: LVTs are masked, and fixed interrupts are not taken. */
static void disabled_guest(void)
{
	isr_table[0xf0] = on_irq_eoi;
	apic_enable();
	apic_write(APIC_LVTERR, 0xf0);
	apic_write(APIC_SPIV, 0xff);
	GUEST_EXPECT_EQ(apic_read(APIC_LVTERR), 0x100f0);
	apic_write(APIC_LVTERR, 0xf1);
	GUEST_EXPECT_EQ(apic_read(APIC_LVTERR), 0x100f1);
	self_ipi(0xf0);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 0);
	guest_done();
}

TEST(software_disabled)
{
	run_done(guest_new_irqchip(disabled_guest));
}
