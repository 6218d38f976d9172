/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pic.h - a guest that uses the 8259A pair and logs the vectors that come; for one source file.
 */
#ifndef MHV_TEST_PIC_H
#define MHV_TEST_PIC_H

#include "guest.h"

static volatile u32 log[16];
static volatile u32 logged;

static inline void on_irq(struct isr_frame *frame)
{
	log[logged++ & 15] = frame->vector;
}

static inline void eoi(void)
{
	outb(0x20, 0x20);
}

static inline u8 read_isr(u16 port)
{
	outb(port, 0x0b);
	return inb(port);
}

static inline u8 read_irr(u16 port)
{
	outb(port, 0x0a);
	return inb(port);
}

/* Take what there is, one interrupt; 0 for none. */
static inline u32 take(void)
{
	u32 before = logged;

	sti_nop();
	return logged == before ? 0 : log[(logged - 1) & 15];
}

static inline void setup(u16 mask)
{
	for (int i = 0x20; i < 0x30; i++)
		isr_table[i] = on_irq;
	pic_init(mask);
}

#endif
