// SPDX-License-Identifier: GPL-2.0
/*
 * The pair of 8259A interrupt controllers: registers, priorities, acknowledge.
 * Entered from irqchip.c: port I/O, pins that change, INTA cycles.
 * No locks: the caller serialises; a leaf that knows neither VM nor vCPU.
 * Intel 8259A data sheet, "Programming the 8259A".
 */
#include "pic.h"

#define PIC_NONE	8	/* a priority below all: nothing there */

/* First byte at the even port: which command word it is. */
#define ICW1		BIT(4)
#define ICW1_NEED_ICW4	BIT(0)
#define OCW3		BIT(3)
#define OCW3_READ_ISR	BIT(0)
#define OCW3_READ	BIT(1)
#define OCW3_POLL	BIT(2)
#define OCW3_SMM	BIT(5)
#define OCW3_SET_SMM	BIT(6)

#define ICW4_AEOI	BIT(1)
#define ICW4_SFNM	BIT(4)

/* chip->init_state: what the next byte at the odd port is. */
enum { PIC_READY, PIC_WANT_ICW2, PIC_WANT_ICW3, PIC_WANT_ICW4 };

/* Bits 7:5 of OCW2: rotate, specific, EOI. */
enum ocw2 {
	OCW2_AEOI_ROTATE_OFF,
	OCW2_EOI,
	OCW2_NOP,
	OCW2_SPECIFIC_EOI,
	OCW2_AEOI_ROTATE_ON,
	OCW2_EOI_ROTATE,
	OCW2_SET_PRIORITY,
	OCW2_SPECIFIC_EOI_ROTATE,
};

/* The priority of the most urgent bit in @mask: 0 is the highest, 7 the lowest. */
static unsigned int pic_priority(const struct kvm_pic_state *chip, u8 mask)
{
	unsigned int priority;

	for (priority = 0; priority < PIC_NONE; priority++)
		if (mask & BIT((priority + chip->priority_add) & 7))
			break;
	return priority;
}

/*
 * The pins in service that count: in special mask mode one that is masked
 * blocks nobody, and no EOI but a specific one ends it.
 */
static u8 pic_in_service(const struct kvm_pic_state *chip)
{
	return chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
}

/*
 * The pin that @chip asks to have served, or -1.
 *
 * In special fully nested mode the master lets a second interrupt of the slave
 * through while the first is in service.
 */
static int pic_request(const struct pic_pair *pair, unsigned int n)
{
	const struct kvm_pic_state *chip = &pair->chip[n];
	u8 isr = pic_in_service(chip);
	unsigned int priority;

	if (chip->init_state != PIC_READY)
		return -1;
	priority = pic_priority(chip, chip->irr & ~chip->imr);
	if (priority == PIC_NONE)
		return -1;
	if (chip->special_fully_nested_mode && n == 0)
		isr &= ~BIT(PIC_CASCADE);
	if (priority >= pic_priority(chip, isr))
		return -1;
	return (priority + chip->priority_add) & 7;
}

/* A pin changes; 1 if this is news, 0 if it was pending already, -1 if masked. */
static int pic_pin(struct kvm_pic_state *chip, unsigned int pin, bool level)
{
	u8 mask = BIT(pin);
	int ret = 1;

	if (!level) {
		if (chip->elcr & mask)
			chip->irr &= ~mask;
		chip->last_irr &= ~mask;
	} else {
		if ((chip->elcr & mask) || !(chip->last_irr & mask)) {
			ret = !(chip->irr & mask);
			chip->irr |= mask;
		}
		chip->last_irr |= mask;
	}
	return (chip->imr & mask) ? -1 : ret;
}

/* Work out the outputs; wanted after whatever may have changed a request. */
static void pic_update(struct pic_pair *pair)
{
	if (pic_request(pair, 1) >= 0) {
		pic_pin(&pair->chip[0], PIC_CASCADE, true);
		pic_pin(&pair->chip[0], PIC_CASCADE, false);
	}
	pair->ops->intr(pair->ctx, pic_request(pair, 0) >= 0);
}

/* @pin of chip @n is out of service: it may interrupt again. */
static void pic_end(struct pic_pair *pair, unsigned int n, unsigned int pin)
{
	pair->chip[n].isr &= ~BIT(pin);
	pair->ops->acked(pair->ctx, pin + 8 * n);
}

/* An INTA cycle, or a poll that acts as one, takes @pin into service. */
static void pic_serve(struct pic_pair *pair, unsigned int n, unsigned int pin)
{
	struct kvm_pic_state *chip = &pair->chip[n];

	chip->isr |= BIT(pin);
	if (!(chip->elcr & BIT(pin)))
		chip->irr &= ~BIT(pin);
	if (chip->auto_eoi) {
		if (chip->rotate_on_auto_eoi)
			chip->priority_add = (pin + 1) & 7;
		pic_end(pair, n, pin);
	}
}

/**
 * pic_init - power-on state
 * @pair: what to initialise
 * @ops: where its outputs go
 * @ctx: first argument of @ops
 */
void pic_init(struct pic_pair *pair, const struct pic_ops *ops, void *ctx)
{
	memset(pair, 0, sizeof(*pair));
	/* Timer, keyboard, cascade, RTC and FPU are always edge-triggered. */
	pair->chip[0].elcr_mask = 0xf8;
	pair->chip[1].elcr_mask = 0xde;
	pair->ops = ops;
	pair->ctx = ctx;
}

/**
 * pic_set_level - a source raises or lowers a pin
 * @pair: the pair
 * @pin: 0 to 15
 * @source: whose level it is, 0 to 63; the pin is high while any source is
 * @level: high
 *
 * Returns 1 if the interrupt is now pending, 0 if it was already, -1 if the
 * pin is masked.
 */
int pic_set_level(struct pic_pair *pair, unsigned int pin, unsigned int source, bool level)
{
	int ret;

	if (level)
		pair->levels[pin] |= BIT(source);
	else
		pair->levels[pin] &= ~BIT(source);
	ret = pic_pin(&pair->chip[pin / 8], pin % 8, pair->levels[pin]);
	pic_update(pair);
	return ret;
}

/**
 * pic_ack - an INTA cycle of the CPU
 * @pair: the pair
 *
 * Returns the vector; that of a spurious interrupt (pin 7) if there is none.
 */
u8 pic_ack(struct pic_pair *pair)
{
	int pin = pic_request(pair, 0);
	unsigned int n = 0;

	if (pin >= 0)
		pic_serve(pair, 0, pin);
	if (pin == PIC_CASCADE) {
		n = 1;
		pin = pic_request(pair, 1);
		if (pin >= 0)
			pic_serve(pair, 1, pin);
	}
	if (pin < 0)
		pin = 7;
	pic_update(pair);
	return pair->chip[n].irq_base + pin;
}

/* ICW1: initialisation begins, and edges seen before it are forgotten. */
static void pic_icw1(struct pic_pair *pair, unsigned int n, u8 val)
{
	struct kvm_pic_state *chip = &pair->chip[n];
	u8 edges = chip->irr & ~chip->elcr;
	unsigned int pin;

	chip->init4 = val & ICW1_NEED_ICW4;
	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->imr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	if (!chip->init4) {
		chip->special_fully_nested_mode = 0;
		chip->auto_eoi = 0;
	}
	chip->init_state = PIC_WANT_ICW2;
	for (pin = 0; pin < 8; pin++)
		if (edges & BIT(pin))
			pic_end(pair, n, pin);
}

/* OCW2: end of interrupt, and who has the lowest priority from now on. */
static void pic_ocw2(struct pic_pair *pair, unsigned int n, u8 val)
{
	struct kvm_pic_state *chip = &pair->chip[n];
	enum ocw2 cmd = val >> 5;
	unsigned int pin = val & 7, priority;

	switch (cmd) {
	case OCW2_AEOI_ROTATE_OFF:
	case OCW2_AEOI_ROTATE_ON:
		chip->rotate_on_auto_eoi = cmd == OCW2_AEOI_ROTATE_ON;
		break;
	case OCW2_EOI:
	case OCW2_EOI_ROTATE:
		priority = pic_priority(chip, pic_in_service(chip));
		if (priority == PIC_NONE)
			break;
		pin = (priority + chip->priority_add) & 7;
		if (cmd == OCW2_EOI_ROTATE)
			chip->priority_add = (pin + 1) & 7;
		pic_end(pair, n, pin);
		break;
	case OCW2_SPECIFIC_EOI_ROTATE:
		chip->priority_add = (pin + 1) & 7;
		pic_end(pair, n, pin);
		break;
	case OCW2_SPECIFIC_EOI:
		pic_end(pair, n, pin);
		break;
	case OCW2_SET_PRIORITY:
		chip->priority_add = (pin + 1) & 7;
		break;
	case OCW2_NOP:
		break;
	}
}

static void pic_ocw3(struct kvm_pic_state *chip, u8 val)
{
	if (val & OCW3_POLL)
		chip->poll = 1;
	if (val & OCW3_READ)
		chip->read_reg_select = val & OCW3_READ_ISR;
	if (val & OCW3_SET_SMM)
		chip->special_mask = !!(val & OCW3_SMM);
}

/* OCW1: the mask. */
static void pic_ocw1(struct pic_pair *pair, unsigned int n, u8 val)
{
	u8 unmasked = pair->chip[n].imr & ~val;
	unsigned int pin;

	pair->chip[n].imr = val;
	for (pin = 0; pin < 8; pin++)
		if (unmasked & BIT(pin))
			pair->ops->unmasked(pair->ctx, pin + 8 * n);
}

/* The odd port: ICW2 to ICW4 while initialising, else OCW1. */
static void pic_write_data(struct pic_pair *pair, unsigned int n, u8 val)
{
	struct kvm_pic_state *chip = &pair->chip[n];

	switch (chip->init_state) {
	case PIC_WANT_ICW2:
		chip->irq_base = val & 0xf8;
		chip->init_state = PIC_WANT_ICW3;
		break;
	case PIC_WANT_ICW3:	/* who is whose slave is wired: nothing to learn */
		chip->init_state = chip->init4 ? PIC_WANT_ICW4 : PIC_READY;
		break;
	case PIC_WANT_ICW4:
		chip->special_fully_nested_mode = !!(val & ICW4_SFNM);
		chip->auto_eoi = !!(val & ICW4_AEOI);
		chip->init_state = PIC_READY;
		break;
	case PIC_READY:
		pic_ocw1(pair, n, val);
		break;
	}
}

/**
 * pic_write - OUT of a byte
 * @pair: the pair
 * @port: 0x20, 0x21, 0xa0, 0xa1, 0x4d0 or 0x4d1
 * @val: the byte
 */
void pic_write(struct pic_pair *pair, u16 port, u8 val)
{
	unsigned int n = port >= 0x4d0 ? port & 1 : port >> 7;
	struct kvm_pic_state *chip = &pair->chip[n];

	if (port >= 0x4d0)
		chip->elcr = val & chip->elcr_mask;
	else if (port & 1)
		pic_write_data(pair, n, val);
	else if (val & ICW1)
		pic_icw1(pair, n, val);
	else if (val & OCW3)
		pic_ocw3(chip, val);
	else
		pic_ocw2(pair, n, val);
	pic_update(pair);
}

/* A read after the poll command is the acknowledge: bit 7 says whose it was. */
static u8 pic_poll(struct pic_pair *pair, unsigned int n)
{
	int pin = pic_request(pair, n);

	pair->chip[n].poll = 0;
	if (pin >= 0)
		pic_serve(pair, n, pin);
	pic_update(pair);
	return pin >= 0 ? BIT(7) | pin : 0;
}

/**
 * pic_read - IN of a byte
 * @pair: the pair
 * @port: 0x20, 0x21, 0xa0, 0xa1, 0x4d0 or 0x4d1
 *
 * Returns the byte.
 */
u8 pic_read(struct pic_pair *pair, u16 port)
{
	unsigned int n = port >= 0x4d0 ? port & 1 : port >> 7;
	struct kvm_pic_state *chip = &pair->chip[n];

	if (port >= 0x4d0)
		return chip->elcr;
	if (chip->poll)
		return pic_poll(pair, n);
	if (port & 1)
		return chip->imr;
	return chip->read_reg_select ? chip->isr : chip->irr;
}

/**
 * pic_set_state - replace one chip's registers
 * @pair: the pair
 * @chip: 0 the master, 1 the slave
 * @state: from userspace; any bytes are safe
 */
void pic_set_state(struct pic_pair *pair, unsigned int chip, const struct kvm_pic_state *state)
{
	pair->chip[chip] = *state;
	pic_update(pair);
}
