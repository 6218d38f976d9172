/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The I/O APIC, 24 pins, version 0x11: the model's interface.
 * Entered from irqchip.c, KUnit and native tests; outputs leave by callbacks.
 * No locks: the caller serialises everything on one I/O APIC.
 * Intel 82093AA data sheet, "I/O APIC Registers".
 */
#ifndef MHV_IOAPIC_H
#define MHV_IOAPIC_H

#include "model.h"

#define IOAPIC_PINS	24
#define IOAPIC_BASE	0xfec00000
#define IOAPIC_LENGTH	0x100
#define IOAPIC_RTC_PIN	8

/* A redirection entry. */
#define IOAPIC_VECTOR(e)	((u8)(e))
#define IOAPIC_DELIVERY(e)	((u16)((e) & 0x700))	/* as in an ICR */
#define IOAPIC_LOGICAL		BIT_ULL(11)
#define IOAPIC_STATUS		BIT_ULL(12)
#define IOAPIC_REMOTE_IRR	BIT_ULL(14)
#define IOAPIC_LEVEL		BIT_ULL(15)
#define IOAPIC_MASKED		BIT_ULL(16)
#define IOAPIC_DEST(e)		((u8)((e) >> 56))

/**
 * struct ioapic_ops - where its outputs go
 * @deliver: send the message of a redirection entry; how many LAPICs took it,
 *	0 if none could, negative if none is addressed
 * @in_service: has the last interrupt of this entry yet to see its EOI?
 * @changed: a redirection entry is not what it was
 * @unmasked: the mask of @pin was cleared
 */
struct ioapic_ops {
	int (*deliver)(void *ctx, u64 entry);
	bool (*in_service)(void *ctx, u64 entry);
	void (*changed)(void *ctx);
	void (*unmasked)(void *ctx, unsigned int pin);
};

/**
 * struct ioapic - registers, and what they do not show
 * @base: where its page is; only restoring a state moves it
 * @id: register 0, shifted down
 * @select: the index register; one of 8 bits, but all that userspace sets is kept
 * @irr: pins whose interrupt waits, or whose level is high
 * @delivered: edge pins whose bit in @irr was already sent
 * @entry: the redirection table
 * @levels: of each pin, one bit per source that holds it high
 * @eois: of each pin, EOIs in a row after which it was still high
 * @ops: outputs
 * @ctx: their first argument
 */
struct ioapic {
	u64 base;
	u32 id;
	u32 select;
	u32 irr;
	u32 delivered;
	u64 entry[IOAPIC_PINS];
	unsigned long levels[IOAPIC_PINS];
	u32 eois[IOAPIC_PINS];
	const struct ioapic_ops *ops;
	void *ctx;
};

void ioapic_init(struct ioapic *io, const struct ioapic_ops *ops, void *ctx);
int ioapic_set_level(struct ioapic *io, unsigned int pin, unsigned int source, bool level,
		     bool want_status);
u32 ioapic_pins_of(const struct ioapic *io, u8 vector);
bool ioapic_eoi(struct ioapic *io, u32 pins);
void ioapic_resume(struct ioapic *io);
u32 ioapic_read(const struct ioapic *io, unsigned int offset);
void ioapic_write(struct ioapic *io, unsigned int offset, u32 val);
void ioapic_get_state(const struct ioapic *io, struct kvm_ioapic_state *state);
void ioapic_set_state(struct ioapic *io, const struct kvm_ioapic_state *state);

#endif /* MHV_IOAPIC_H */
