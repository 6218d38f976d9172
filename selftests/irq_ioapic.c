// SPDX-License-Identifier: GPL-2.0
/*
 * irq_ioapic.c - the IOAPIC: registers, edges, levels with remote IRR and EOI, masks, NMI.
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

static u32 low(void)
{
	return ioapic_read(0x10 + 2 * PIN);
}

static void register_guest(void)
{
	GUEST_EXPECT_EQ(ioapic_read(1) & 0xff00ff, 0x170011);
	ioapic_write(0, 0x05000000);
	GUEST_EXPECT_EQ(ioapic_read(0), 0x05000000);
	GUEST_EXPECT_EQ(mmio_read32(IOAPIC_BASE), 0);
	for (int pin = 0; pin < 24; pin++)
		GUEST_EXPECT_EQ(ioapic_read(0x10 + 2 * pin), 0x10000);
	/* Registers of 32 bits: what a wider read has more is nobody's. */
	mmio_write32(IOAPIC_BASE, 0x3f);
	GUEST_EXPECT_EQ(*(volatile u64 *)IOAPIC_BASE, 0x3f);
	ioapic_entry(PIN, 0x0300000000010000 | 0xa9ff);
	GUEST_EXPECT_EQ(ioapic_read(0x11 + 2 * PIN), 0x03000000);
	/* Remote IRR and delivery status cannot be written. */
	ioapic_write(0x10 + 2 * PIN, 0x1ffff);
	GUEST_EXPECT_EQ(low() & 0x1ffff & ~0x5000, 0x1afff);
	GUEST_EXPECT_EQ(low() & 0x5000, 0);
	guest_done();
}

TEST(registers)
{
	run_done(guest_new_irqchip(register_guest));
}

static void edge_guest(void)
{
	setup();
	ioapic_entry(PIN, VECTOR);
	guest_sync(0x100);
	GUEST_EXPECT_EQ(take(), 1);
	eoi();
	GUEST_EXPECT_EQ(take(), 0);
	guest_sync(0x100);			/* high already: no edge */
	GUEST_EXPECT_EQ(take(), 0);
	guest_sync(0x200);
	guest_sync(0x100);
	guest_sync(0x200);			/* the edge is kept, the level is not needed */
	GUEST_EXPECT_EQ(take(), 1);
	eoi();
	ioapic_entry(PIN, VECTOR | 0x10000);
	guest_sync(0x100);
	GUEST_EXPECT_EQ(take(), 0);
	guest_done();
}

static void level_guest(void)
{
	setup();
	ioapic_entry(PIN, VECTOR | 0x8000);
	guest_sync(0x100);
	GUEST_EXPECT_EQ(low(), VECTOR | 0xc000);
	GUEST_EXPECT_EQ(apic_read(APIC_TMR + 0x20), 1 << (VECTOR - 0x40));
	GUEST_EXPECT_EQ(take(), 1);
	GUEST_EXPECT_EQ(low(), VECTOR | 0xc000);
	eoi();
	GUEST_EXPECT_EQ(take(), 1);		/* it is still high */
	guest_sync(0x200);
	GUEST_EXPECT_EQ(low(), VECTOR | 0xc000);
	eoi();
	GUEST_EXPECT_EQ(low(), VECTOR | 0x8000);
	GUEST_EXPECT_EQ(take(), 0);
	/* Masked: nothing; unmasked with the line high: at once. */
	ioapic_entry(PIN, VECTOR | 0x18000);
	guest_sync(0x100);
	GUEST_EXPECT_EQ(take(), 0);
	ioapic_entry(PIN, VECTOR | 0x8000);
	GUEST_EXPECT_EQ(take(), 1);
	guest_sync(0x200);
	eoi();
	/* Of two levels before the guest looks, one comes. */
	guest_sync(0x100);
	guest_sync(0x200);
	GUEST_EXPECT_EQ(take(), 1);
	eoi();
	GUEST_EXPECT_EQ(take(), 0);
	guest_done();
}

static void nmi_guest(void)
{
	setup();
	isr_table[2] = on_irq;
	ioapic_entry(PIN, 0x400);		/* NMI, whatever the vector */
	guest_sync(0x100);
	GUEST_EXPECT_EQ(count, 1);
	guest_done();
}

static void serve(void (*fn)(void), int requests)
{
	struct vcpu *vcpu = guest_new_irqchip(fn);

	while (requests--)
		vm_irq_line(vcpu->vm, PIN, run_sync(vcpu) == 0x100);
	run_done(vcpu);
}

TEST(edges)
{
	serve(edge_guest, 6);
}

TEST(levels)
{
	serve(level_guest, 6);
}

TEST(nmi_by_a_pin)
{
	serve(nmi_guest, 1);
}
