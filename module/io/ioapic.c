// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O APIC: redirection table, edges and levels, remote IRR, EOI.
 * Entered from irqchip.c: MMIO, pins that change, EOIs that LAPICs broadcast.
 * No locks: the caller serialises; a leaf that knows neither VM nor vCPU.
 * Intel 82093AA data sheet, "I/O APIC Registers".
 */
#include "ioapic.h"

#define REG_SELECT	0x00	/* offsets in its MMIO page */
#define REG_WINDOW	0x10

#define IND_ID		0x00	/* values of REG_SELECT */
#define IND_VERSION	0x01
#define IND_ARB		0x02
#define IND_TABLE	0x10	/* low half of entry 0 */

#define IOAPIC_VERSION	0x11	/* of an 82093AA: no EOI register */

/*
 * After this many EOIs in a row that found the level still high, deliver the
 * next one later: a guest that never serves its device makes progress, slowly.
 */
#define STORM_EOIS	10000

/* Send @pin's interrupt unless it is masked or waits for an EOI; see deliver(). */
static int ioapic_send(struct ioapic *io, unsigned int pin)
{
	u64 entry = io->entry[pin];
	int ret;

	if (entry & IOAPIC_MASKED)
		return -1;
	if ((entry & IOAPIC_LEVEL) && (entry & IOAPIC_REMOTE_IRR))
		return -1;
	if (!(entry & IOAPIC_LEVEL))
		io->delivered |= BIT(pin);
	ret = io->ops->deliver(io->ctx, entry);
	if (ret && (entry & IOAPIC_LEVEL))
		io->entry[pin] |= IOAPIC_REMOTE_IRR;
	return ret;
}

/**
 * ioapic_init - power-on state
 * @io: what to initialise
 * @ops: where its outputs go
 * @ctx: first argument of @ops
 */
void ioapic_init(struct ioapic *io, const struct ioapic_ops *ops, void *ctx)
{
	unsigned int pin;

	memset(io, 0, sizeof(*io));
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		io->entry[pin] = IOAPIC_MASKED;
	io->base = IOAPIC_BASE;
	io->ops = ops;
	io->ctx = ctx;
}

/* The wire of @pin is high or went low. */
static int ioapic_pin(struct ioapic *io, unsigned int pin, bool level, bool want_status)
{
	u64 entry = io->entry[pin];
	bool was_set = io->irr & BIT(pin);

	if (!level) {
		io->irr &= ~BIT(pin);
		return 1;
	}
	/*
	 * Whoever asks about the RTC wants to know of ticks that the guest
	 * loses, to send them again: for it, one not yet EOIed counts too.
	 */
	if (pin == IOAPIC_RTC_PIN && want_status && !(entry & IOAPIC_MASKED) &&
	    io->ops->in_service(io->ctx, entry))
		return 0;
	io->irr |= BIT(pin);
	if (!(entry & IOAPIC_LEVEL)) {
		io->delivered &= ~BIT(pin);
		if (was_set)
			return 0;
	}
	return ioapic_send(io, pin);
}

/**
 * ioapic_set_level - a source raises or lowers a pin
 * @io: the I/O APIC
 * @pin: 0 to 23
 * @source: whose level it is, 0 to 63; the pin is high while any source is
 * @level: high
 * @want_status: the caller looks at the result to find lost RTC ticks
 *
 * Returns how many LAPICs took the interrupt, 0 if it was coalesced with one
 * before, negative if it was not sent; 1 for a level that went low.
 */
int ioapic_set_level(struct ioapic *io, unsigned int pin, unsigned int source, bool level,
		     bool want_status)
{
	if (level)
		io->levels[pin] |= BIT(source);
	else
		io->levels[pin] &= ~BIT(source);
	return ioapic_pin(io, pin, io->levels[pin], want_status);
}

/**
 * ioapic_pins_of - the pins that send a vector
 * @io: the I/O APIC
 * @vector: the vector
 *
 * Returns a bitmap of pins.
 */
u32 ioapic_pins_of(const struct ioapic *io, u8 vector)
{
	unsigned int pin;
	u32 pins = 0;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (IOAPIC_VECTOR(io->entry[pin]) == vector)
			pins |= BIT(pin);
	return pins;
}

/**
 * ioapic_eoi - an EOI for levels of these pins was broadcast
 * @io: the I/O APIC
 * @pins: bitmap, from ioapic_pins_of(); everyone who lowers their level on
 *	an EOI has done so
 *
 * Returns true if a pin is still high after so many EOIs that it is to be
 * sent again only after a while: call ioapic_resume() then.
 */
bool ioapic_eoi(struct ioapic *io, u32 pins)
{
	unsigned int pin;
	bool storm = false;

	for (pin = 0; pin < IOAPIC_PINS; pin++) {
		if (!(pins & BIT(pin)))
			continue;
		io->entry[pin] &= ~IOAPIC_REMOTE_IRR;
		if ((io->entry[pin] & IOAPIC_MASKED) || !(io->irr & BIT(pin)) ||
		    !(io->entry[pin] & IOAPIC_LEVEL)) {
			io->eois[pin] = 0;
		} else if (++io->eois[pin] == STORM_EOIS) {
			io->eois[pin] = 0;
			storm = true;
		} else {
			ioapic_send(io, pin);
		}
	}
	return storm;
}

/**
 * ioapic_resume - send what ioapic_eoi() put off
 * @io: the I/O APIC
 */
void ioapic_resume(struct ioapic *io)
{
	unsigned int pin;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if ((io->entry[pin] & IOAPIC_LEVEL) && (io->irr & BIT(pin)))
			ioapic_send(io, pin);
}

/**
 * ioapic_read - a 32-bit read
 * @io: the I/O APIC
 * @offset: in its page
 *
 * Returns the register.
 */
u32 ioapic_read(const struct ioapic *io, unsigned int offset)
{
	unsigned int pin = (io->select - IND_TABLE) >> 1;
	u64 entry;

	if (offset == REG_SELECT)
		return io->select;
	if (offset != REG_WINDOW)
		return 0;
	switch (io->select) {
	case IND_VERSION:
		return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	case IND_ID:
	case IND_ARB:
		return (io->id & 0xf) << 24;
	}
	if (pin >= IOAPIC_PINS)
		return ~0;
	entry = io->entry[array_index_nospec(pin, IOAPIC_PINS)];
	return io->select & 1 ? entry >> 32 : entry;
}

/* Half of a redirection entry is written. */
static void ioapic_write_entry(struct ioapic *io, unsigned int pin, bool high, u32 val)
{
	const u64 read_only = IOAPIC_REMOTE_IRR | IOAPIC_STATUS;
	u64 old = io->entry[pin], new;

	if (high)
		new = (u32)old | (u64)val << 32;
	else
		new = (old & ~0xffffffffULL) | val;
	new = (new & ~read_only) | (old & read_only);
	/*
	 * Guests make an entry edge-triggered and back to clear remote IRR:
	 * it stands in for the EOI register that this version lacks.
	 */
	if (!(new & IOAPIC_LEVEL))
		new &= ~IOAPIC_REMOTE_IRR;
	io->entry[pin] = new;
	io->ops->changed(io->ctx);
	if (old & ~new & IOAPIC_MASKED)
		io->ops->unmasked(io->ctx, pin);
	if ((new & IOAPIC_LEVEL) && (io->irr & BIT(pin)))
		ioapic_send(io, pin);
}

/**
 * ioapic_write - a 32-bit write
 * @io: the I/O APIC
 * @offset: in its page
 * @val: the value; narrower writes are zero-extended
 */
void ioapic_write(struct ioapic *io, unsigned int offset, u32 val)
{
	unsigned int pin = (io->select - IND_TABLE) >> 1;

	if (offset == REG_SELECT)
		io->select = val & 0xff;
	else if (offset != REG_WINDOW)
		return;
	else if (io->select == IND_ID)
		io->id = (val >> 24) & 0xf;
	else if (io->select >= IND_TABLE && pin < IOAPIC_PINS)
		ioapic_write_entry(io, array_index_nospec(pin, IOAPIC_PINS),
				   io->select & 1, val);
}

/**
 * ioapic_get_state - what userspace saves
 * @io: the I/O APIC
 * @state: filled
 */
void ioapic_get_state(const struct ioapic *io, struct kvm_ioapic_state *state)
{
	unsigned int pin;

	memset(state, 0, sizeof(*state));
	state->base_address = io->base;
	state->ioregsel = io->select;
	state->id = io->id;
	state->irr = io->irr & ~io->delivered;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		state->redirtbl[pin].bits = io->entry[pin];
}

/**
 * ioapic_set_state - what userspace restores
 * @io: the I/O APIC
 * @state: any bytes are safe
 *
 * Interrupts that waited are sent.
 */
void ioapic_set_state(struct ioapic *io, const struct kvm_ioapic_state *state)
{
	unsigned int pin;

	io->base = state->base_address;
	io->select = state->ioregsel;
	io->id = state->id;
	io->irr = 0;
	io->delivered = 0;
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		io->entry[pin] = state->redirtbl[pin].bits;
	io->ops->changed(io->ctx);
	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if (state->irr & BIT(pin))
			ioapic_pin(io, pin, true, true);
}
