// SPDX-License-Identifier: GPL-2.0
/*
 * irq_pic.c - the 8259A pair: vectors, masks, priorities, cascade, edges, EOI, and the registers
 * that can be read.
 */
#include "guest.h"
#include "pic.h"
#include "vm.h"

static void edge_guest(void)
{
	setup(0);
	GUEST_EXPECT_EQ(inb(0x21), 0);
	/* An edge is kept when the line falls again, unlike a real 8259A's: clients pulse. */
	guest_sync(3);
	GUEST_EXPECT_EQ(read_irr(0x20), 1 << 3);
	GUEST_EXPECT_EQ(take(), 0x23);
	eoi();
	guest_sync(0x103);			/* raise 3 */
	GUEST_EXPECT_EQ(read_irr(0x20), 1 << 3);
	GUEST_EXPECT_EQ(take(), 0x23);
	GUEST_EXPECT_EQ(read_isr(0x20), 1 << 3);
	GUEST_EXPECT_EQ(read_irr(0x20), 0);
	guest_sync(0x101);			/* a higher one comes through ... */
	GUEST_EXPECT_EQ(take(), 0x21);
	guest_sync(0x105);			/* ... and a lower one does not */
	GUEST_EXPECT_EQ(take(), 0);
	eoi();
	GUEST_EXPECT_EQ(read_isr(0x20), 1 << 3);
	GUEST_EXPECT_EQ(take(), 0);
	eoi();
	GUEST_EXPECT_EQ(take(), 0x25);
	eoi();
	GUEST_EXPECT_EQ(take(), 0);		/* still high, but no new edge */
	guest_sync(0x203);			/* lower, raise: an edge */
	guest_sync(0x103);
	GUEST_EXPECT_EQ(take(), 0x23);
	outb(0x20, 0x63);			/* specific EOI */
	GUEST_EXPECT_EQ(read_isr(0x20), 0);
	guest_done();
}

static void mask_guest(void)
{
	setup(0xffff & ~(1 << 2));
	guest_sync(0x104);
	GUEST_EXPECT_EQ(take(), 0);
	GUEST_EXPECT_EQ(read_irr(0x20), 1 << 4);
	outb(0x21, 0xff & ~(1 << 4));
	GUEST_EXPECT_EQ(inb(0x21), 0xef);
	GUEST_EXPECT_EQ(take(), 0x24);
	eoi();
	guest_done();
}

static void lint0_guest(void)
{
	setup(0);
	apic_enable();
	apic_write(APIC_LVT0, 0x10700);
	guest_sync(0x103);
	GUEST_EXPECT_EQ(take(), 0);
	/* What has waited comes without anything else. */
	apic_write(APIC_LVT0, 0x700);
	GUEST_EXPECT_EQ(take(), 0x23);
	guest_done();
}

static void slave_guest(void)
{
	setup(0);
	guest_sync(0x10a);
	guest_sync(0x104);
	/* IRQ 2 is above IRQ 4. */
	GUEST_EXPECT_EQ(take(), 0x2a);
	GUEST_EXPECT_EQ(read_isr(0xa0), 1 << 2);
	GUEST_EXPECT_EQ(read_isr(0x20), 1 << 2);
	GUEST_EXPECT_EQ(take(), 0);
	outb(0xa0, 0x20);
	eoi();
	GUEST_EXPECT_EQ(take(), 0x24);
	eoi();
	guest_sync(0x10f);
	GUEST_EXPECT_EQ(take(), 0x2f);
	outb(0xa0, 0x20);
	eoi();
	GUEST_EXPECT_EQ(read_isr(0xa0) | read_isr(0x20), 0);
	guest_done();
}

/* The guest asks for lines: 0x100 + n raises, 0x200 + n lowers, n alone is a pulse. */
static void serve(void (*fn)(void), int requests)
{
	struct vcpu *vcpu = guest_new_irqchip(fn);

	while (requests--) {
		u64 what = run_sync(vcpu);

		if (what < 0x200)
			vm_irq_line(vcpu->vm, what & 0xff, 1);
		if (what < 0x100 || what >= 0x200)
			vm_irq_line(vcpu->vm, what & 0xff, 0);
	}
	run_done(vcpu);
}

TEST(edges_and_priorities)
{
	serve(edge_guest, 6);
}

TEST(masks)
{
	serve(mask_guest, 1);
}

TEST(behind_lint0)
{
	if (!on_minihv())
		test_skip("KVM does not look before there is another event");
	serve(lint0_guest, 1);
}

TEST(slave)
{
	serve(slave_guest, 3);
}
