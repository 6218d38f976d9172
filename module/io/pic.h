/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pair of 8259A interrupt controllers of a PC: the model's interface.
 * Entered from irqchip.c, KUnit and native tests; outputs leave by callbacks.
 * No locks: the caller serialises everything on one pair.
 * Intel 8259A data sheet; Intel 82371FB (PIIX), "Edge/Level Control Registers".
 */
#ifndef MHV_PIC_H
#define MHV_PIC_H

#include "model.h"

#define PIC_PINS	16	/* 0 to 7 the master's, 8 to 15 the slave's */
#define PIC_CASCADE	2	/* the master's pin that the slave's output drives */

/**
 * struct pic_ops - where the pair's outputs go
 * @intr: the master's INT pin, as it is now; may be told the same twice
 * @acked: an interrupt of @pin was acknowledged for good: its EOI
 * @unmasked: @pin's bit in an IMR went from 1 to 0
 */
struct pic_ops {
	void (*intr)(void *ctx, bool level);
	void (*acked)(void *ctx, unsigned int pin);
	void (*unmasked)(void *ctx, unsigned int pin);
};

/**
 * struct pic_pair - master and slave
 * @chip: registers, in the form in which userspace saves them; 0 is the master
 * @levels: of each pin, one bit per source that holds it high
 * @ops: outputs
 * @ctx: their first argument
 */
struct pic_pair {
	struct kvm_pic_state chip[2];
	unsigned long levels[PIC_PINS];
	const struct pic_ops *ops;
	void *ctx;
};

void pic_init(struct pic_pair *pair, const struct pic_ops *ops, void *ctx);
int pic_set_level(struct pic_pair *pair, unsigned int pin, unsigned int source, bool level);
u8 pic_ack(struct pic_pair *pair);
u8 pic_read(struct pic_pair *pair, u16 port);
void pic_write(struct pic_pair *pair, u16 port, u8 val);
void pic_set_state(struct pic_pair *pair, unsigned int chip, const struct kvm_pic_state *state);

#endif /* MHV_PIC_H */
