// SPDX-License-Identifier: GPL-2.0
/*
 * irq_pic_modes.c - the 8259A pair's other modes: level-triggered inputs, rotating priorities,
 * automatic EOI, polling.
 */
#include "guest.h"
#include "pic.h"
#include "vm.h"

static void level_guest(void)
{
	setup(0);
	outb(0x4d0, 1 << 5);
	GUEST_EXPECT_EQ(inb(0x4d0), 1 << 5);
	outb(0x4d0, 0xff);			/* 0, 1 and 2 are always of edges */
	GUEST_EXPECT_EQ(inb(0x4d0), 0xf8);
	outb(0x4d1, 0xff);			/* 8 and 13, too */
	GUEST_EXPECT_EQ(inb(0x4d1), 0xde);
	guest_sync(0x105);
	GUEST_EXPECT_EQ(take(), 0x25);
	eoi();
	GUEST_EXPECT_EQ(take(), 0x25);		/* still there */
	guest_sync(0x205);
	eoi();
	GUEST_EXPECT_EQ(take(), 0);
	guest_done();
}

static void rotation_guest(void)
{
	setup(0);
	outb(0x20, 0xc0 | 3);			/* lowest is 3: 4 5 6 7 0 1 2 3 */
	guest_sync(0x101);
	guest_sync(0x105);
	GUEST_EXPECT_EQ(take(), 0x25);
	GUEST_EXPECT_EQ(take(), 0);
	outb(0x20, 0xa0);			/* EOI and rotate: 6 7 0 1 ... */
	GUEST_EXPECT_EQ(take(), 0x21);
	eoi();
	/* Automatic EOI: nothing is ever in service. */
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 3);
	outb(0x21, 0);
	guest_sync(0x201);
	guest_sync(0x101);
	GUEST_EXPECT_EQ(take(), 0x21);
	GUEST_EXPECT_EQ(read_isr(0x20), 0);
	guest_done();
}

static void poll_guest(void)
{
	setup(0);
	guest_sync(0x106);
	outb(0x20, 0x0c);
	/* KVM leaves out bit 7, and has the interrupt out of service at once. */
	GUEST_EXPECT_EQ(inb(0x20) & 0x7f, 6);
	eoi();
	GUEST_EXPECT_EQ(read_irr(0x20), 0);
	GUEST_EXPECT_EQ(take(), 0);
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

TEST(levels)
{
	serve(level_guest, 2);
}

TEST(rotation_and_automatic_eoi)
{
	serve(rotation_guest, 4);
}

TEST(poll)
{
	serve(poll_guest, 1);
}
