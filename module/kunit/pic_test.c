// SPDX-License-Identifier: GPL-2.0
/*
 * The 8259A pair: command words, priorities, rotation, and a second model beside it.
 * Entered from KUnit.
 * No locks.
 * Intel 8259A data sheet, "Programming the 8259A", "Operation of the Interrupt Request".
 */
#include "../io/pic.c"

#include "kunit.h"

struct outputs {
	bool intr;
	u32 acked;
	u32 unmasked;
};

static void out_intr(void *ctx, bool level)
{
	((struct outputs *)ctx)->intr = level;
}

static void out_acked(void *ctx, unsigned int pin)
{
	((struct outputs *)ctx)->acked |= BIT(pin);
}

static void out_unmasked(void *ctx, unsigned int pin)
{
	((struct outputs *)ctx)->unmasked |= BIT(pin);
}

static const struct pic_ops outputs_ops = { out_intr, out_acked, out_unmasked };

struct rig {
	struct pic_pair pic;
	struct outputs out;
};

/* As a PC's firmware does it; @icw4 for both. */
static void program(struct rig *r, u8 icw4)
{
	pic_write(&r->pic, 0x20, 0x11);
	pic_write(&r->pic, 0x21, 0x08);
	pic_write(&r->pic, 0x21, 0x04);
	pic_write(&r->pic, 0x21, icw4);
	pic_write(&r->pic, 0xa0, 0x11);
	pic_write(&r->pic, 0xa1, 0x70);
	pic_write(&r->pic, 0xa1, 0x02);
	pic_write(&r->pic, 0xa1, icw4);
	r->out = (struct outputs){};
}

static struct rig *rig(struct kunit *test, u8 icw4)
{
	struct rig *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, r);
	pic_init(&r->pic, &outputs_ops, &r->out);
	program(r, icw4);
	return r;
}

static void edge(struct rig *r, unsigned int pin)
{
	pic_set_level(&r->pic, pin, 0, true);
	pic_set_level(&r->pic, pin, 0, false);
}

static u8 isr(struct rig *r, u16 port)
{
	pic_write(&r->pic, port, 0x0b);
	return pic_read(&r->pic, port);
}

static u8 irr(struct rig *r, u16 port)
{
	pic_write(&r->pic, port, 0x0a);
	return pic_read(&r->pic, port);
}

static void test_init(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	/* ICW2's lower three bits are the pin's. */
	pic_write(&r->pic, 0x20, 0x11);
	pic_write(&r->pic, 0x21, 0x37);
	KUNIT_EXPECT_EQ(test, r->pic.chip[0].irq_base, 0x30);
	/* Not yet done: nothing is asked for. */
	edge(r, 1);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x21, 0x04);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x21, 0x01);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x31);
	/* Without ICW4, initialisation ends with ICW3. */
	pic_write(&r->pic, 0x20, 0x10);
	pic_write(&r->pic, 0x21, 0x40);
	pic_write(&r->pic, 0x21, 0x04);
	pic_write(&r->pic, 0x21, 0xa5);
	KUNIT_EXPECT_EQ(test, pic_read(&r->pic, 0x21), 0xa5);
	/* ICW1 clears the mask and forgets edges, but not levels. */
	pic_write(&r->pic, 0x4d0, 0x08);
	pic_set_level(&r->pic, 3, 0, true);
	edge(r, 5);
	pic_write(&r->pic, 0x20, 0x11);
	KUNIT_EXPECT_EQ(test, r->pic.chip[0].irr, 0x08);
	KUNIT_EXPECT_EQ(test, r->pic.chip[0].imr, 0);
	KUNIT_EXPECT_EQ(test, r->out.acked, BIT(5));
}

static void test_priorities(struct kunit *test)
{
	unsigned int a, b, first;
	struct rig *r;

	for (a = 0; a < 8; a++) {
		for (b = 0; b < 8; b++) {
			if (a == b || a == PIC_CASCADE || b == PIC_CASCADE)
				continue;
			r = rig(test, 0x01);
			edge(r, a);
			edge(r, b);
			first = min(a, b);
			KUNIT_EXPECT_EQ(test, irr(r, 0x20), BIT(a) | BIT(b));
			KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + first);
			KUNIT_EXPECT_EQ(test, isr(r, 0x20), BIT(first));
			/* The lower one waits for the higher one's end. */
			KUNIT_EXPECT_FALSE(test, r->out.intr);
			pic_write(&r->pic, 0x20, 0x20);
			KUNIT_EXPECT_EQ(test, r->out.acked, BIT(first));
			KUNIT_EXPECT_TRUE(test, r->out.intr);
			KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + max(a, b));
		}
	}
}

static void test_nesting(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);
	int pin;

	/* Each more urgent one interrupts the one before. */
	for (pin = 7; pin > PIC_CASCADE; pin--) {
		edge(r, pin);
		KUNIT_EXPECT_TRUE(test, r->out.intr);
		KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + pin);
	}
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0xf8);
	/* The same again waits; a non-specific EOI ends the most urgent. */
	edge(r, 3);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x20, 0x20);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0xf0);
	/* A specific one ends the one named. */
	pic_write(&r->pic, 0x20, 0x66);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0xb0);
}

static void test_cascade(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	edge(r, 12);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x74);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), BIT(PIC_CASCADE));
	KUNIT_EXPECT_EQ(test, isr(r, 0xa0), BIT(4));
	/* More urgent at the slave: the master lets it through in SFNM alone. */
	edge(r, 9);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0xa0, 0x20);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x20, 0x20);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x71);

	program(r, 0x11);
	r->pic.chip[0].isr = 0;
	r->pic.chip[1].isr = 0;
	edge(r, 12);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x74);
	edge(r, 9);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x71);
	KUNIT_EXPECT_EQ(test, isr(r, 0xa0), BIT(4) | BIT(1));
}

static void test_spurious(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 7);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0);
	/* A level that is gone before the INTA cycle. */
	pic_write(&r->pic, 0x4d0, 0x20);
	pic_set_level(&r->pic, 5, 0, true);
	pic_set_level(&r->pic, 5, 0, false);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 7);
	/* At the slave: its pin 7, and the master's cascade is in service. */
	edge(r, 11);
	pic_write(&r->pic, 0xa1, 0xff);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 0x77);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), BIT(PIC_CASCADE));
	KUNIT_EXPECT_EQ(test, isr(r, 0xa0), 0);
}

/* "Set priority": the pin named is the lowest from then on, the next one the highest. */
static void test_rotation(struct kunit *test)
{
	unsigned int lowest, i, pin;
	struct rig *r;

	for (lowest = 0; lowest < 8; lowest++) {
		r = rig(test, 0x01);
		pic_write(&r->pic, 0x20, 0xc0 | lowest);
		for (pin = 0; pin < 8; pin++)
			edge(r, pin);
		for (i = 1; i <= 8; i++) {
			pin = (lowest + i) & 7;
			/* The cascade with nothing behind it is spurious at the slave. */
			KUNIT_EXPECT_EQ(test, pic_ack(&r->pic),
					pin == PIC_CASCADE ? 0x77 : 8 + pin);
			pic_write(&r->pic, 0x20, 0x20);
		}
		KUNIT_EXPECT_FALSE(test, r->out.intr);
	}

	/* "Rotate on non-specific EOI": the one served is the lowest. */
	r = rig(test, 0x01);
	edge(r, 3);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 3);
	pic_write(&r->pic, 0x20, 0xa0);
	edge(r, 3);
	edge(r, 4);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 4);
	/* "Rotate on specific EOI" */
	pic_write(&r->pic, 0x20, 0xe4);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0);
	edge(r, 4);
	edge(r, 5);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 5);
}

static void test_auto_eoi(struct kunit *test)
{
	struct rig *r = rig(test, 0x03);

	edge(r, 4);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 4);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), 0);
	KUNIT_EXPECT_EQ(test, r->out.acked, BIT(4));
	pic_write(&r->pic, 0x20, 0x80);		/* rotate in automatic EOI mode */
	edge(r, 4);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 4);
	edge(r, 4);
	edge(r, 6);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 6);
	pic_write(&r->pic, 0x20, 0x00);		/* and no more */
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 4);
	KUNIT_EXPECT_EQ(test, r->pic.chip[0].priority_add, 7);
}

/* In special mask mode a pin in service blocks nobody while it is masked. */
static void test_special_mask(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	edge(r, 3);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 3);
	edge(r, 6);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x21, BIT(3));
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_write(&r->pic, 0x20, 0x68);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	/* Nor does an EOI that does not name it end it. */
	pic_write(&r->pic, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), BIT(3));
	pic_write(&r->pic, 0x20, 0x48);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	/* OCW3 without ESMM leaves the mode alone. */
	pic_write(&r->pic, 0x20, 0x28);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
}

static void test_poll(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	pic_write(&r->pic, 0x20, 0x0c);
	KUNIT_EXPECT_EQ(test, pic_read(&r->pic, 0x20), 0);
	edge(r, 6);
	pic_write(&r->pic, 0x20, 0x0c);
	KUNIT_EXPECT_EQ(test, pic_read(&r->pic, 0x20), 0x86);
	KUNIT_EXPECT_EQ(test, isr(r, 0x20), BIT(6));
	KUNIT_EXPECT_FALSE(test, r->out.intr);
}

static void test_mask(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	pic_write(&r->pic, 0x21, 0xff);
	KUNIT_EXPECT_EQ(test, pic_set_level(&r->pic, 4, 0, true), -1);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	KUNIT_EXPECT_EQ(test, irr(r, 0x20), BIT(4));
	pic_write(&r->pic, 0x21, 0xaf);
	KUNIT_EXPECT_EQ(test, r->out.unmasked, BIT(4) | BIT(6));
	KUNIT_EXPECT_TRUE(test, r->out.intr);
}

static void test_trigger(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);

	/* Not all pins can be levels. */
	pic_write(&r->pic, 0x4d0, 0xff);
	KUNIT_EXPECT_EQ(test, pic_read(&r->pic, 0x4d0), 0xf8);
	pic_write(&r->pic, 0x4d1, 0xff);
	KUNIT_EXPECT_EQ(test, pic_read(&r->pic, 0x4d1), 0xde);

	/* A level: any source holds it; it asks again until it is low. */
	KUNIT_EXPECT_EQ(test, pic_set_level(&r->pic, 5, 0, true), 1);
	KUNIT_EXPECT_EQ(test, pic_set_level(&r->pic, 5, 63, true), 0);
	pic_set_level(&r->pic, 5, 0, false);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 5);
	pic_write(&r->pic, 0x20, 0x20);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
	pic_set_level(&r->pic, 5, 63, false);
	KUNIT_EXPECT_FALSE(test, r->out.intr);

	/* An edge: one interrupt each, and high is not another. */
	KUNIT_EXPECT_EQ(test, pic_set_level(&r->pic, 1, 0, true), 1);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 1);
	pic_write(&r->pic, 0x20, 0x20);
	pic_set_level(&r->pic, 1, 0, true);
	KUNIT_EXPECT_FALSE(test, r->out.intr);
	pic_set_level(&r->pic, 1, 0, false);
	pic_set_level(&r->pic, 1, 0, true);
	KUNIT_EXPECT_TRUE(test, r->out.intr);
}

/* ---- a model made in another way: the order of priorities is a list ---- */

struct ref_chip {
	u8 order[8];
	bool irr[8], isr[8], imr[8], line[8], level[8];
	bool special_mask, auto_eoi, rotate;
};

static bool ref_in_service(const struct ref_chip *c, unsigned int pin)
{
	return c->isr[pin] && !(c->special_mask && c->imr[pin]);
}

static int ref_request(const struct ref_chip *c)
{
	unsigned int i, pin;

	for (i = 0; i < 8; i++) {
		pin = c->order[i];
		if (ref_in_service(c, pin))
			return -1;
		if (c->irr[pin] && !c->imr[pin])
			return pin;
	}
	return -1;
}

static void ref_lowest(struct ref_chip *c, unsigned int pin)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		c->order[i] = (pin + 1 + i) % 8;
}

static void ref_line(struct ref_chip *c, unsigned int pin, bool high)
{
	if (c->level[pin])
		c->irr[pin] = high;
	else if (high && !c->line[pin])
		c->irr[pin] = true;
	c->line[pin] = high;
}

static void ref_serve(struct ref_chip *c, unsigned int pin)
{
	if (!c->level[pin])
		c->irr[pin] = false;
	if (!c->auto_eoi)
		c->isr[pin] = true;
	else if (c->rotate)
		ref_lowest(c, pin);
}

static void ref_cascade(struct ref_chip *c)
{
	if (ref_request(&c[1]) >= 0)
		c[0].irr[PIC_CASCADE] = true;
}

static int ref_ack(struct ref_chip *c)
{
	int pin = ref_request(&c[0]);

	if (pin < 0)
		return 8 + 7;
	ref_serve(&c[0], pin);
	if (pin != PIC_CASCADE)
		return 8 + pin;
	pin = ref_request(&c[1]);
	if (pin < 0)
		return 0x77;
	ref_serve(&c[1], pin);
	return 0x70 + pin;
}

/* An EOI of any kind; bit 7 of @ocw2: rotate. */
static void ref_eoi(struct ref_chip *c, u8 ocw2)
{
	unsigned int i, pin = ocw2 & 7;

	if (!(ocw2 & 0x40)) {
		for (i = 0; i < 8 && !ref_in_service(c, c->order[i]); i++)
			;
		if (i == 8)
			return;
		pin = c->order[i];
	}
	c->isr[pin] = false;
	if (ocw2 & 0x80)
		ref_lowest(c, pin);
}

static void ref_step(struct kunit *test, struct rig *r, struct ref_chip *ref, u64 *seed)
{
	u32 x = mhv_kunit_random(seed);
	unsigned int pin = x & 15, n = pin / 8, i;
	u16 port = n ? 0xa0 : 0x20;
	u8 val = x >> 8;

	switch ((x >> 16) % 8) {
	case 0:
	case 1:
		if (pin == PIC_CASCADE)
			break;
		pic_set_level(&r->pic, pin, 0, val & 1);
		ref_line(&ref[n], pin % 8, val & 1);
		break;
	case 2:
	case 3:
		KUNIT_EXPECT_EQ(test, (int)pic_ack(&r->pic), ref_ack(ref));
		break;
	case 4:
		val = (val & 0xc7) | 0x20;
		pic_write(&r->pic, port, val);
		ref_eoi(&ref[n], val);
		break;
	case 5:
		pic_write(&r->pic, port + 1, val & (x >> 24));
		for (i = 0; i < 8; i++)
			ref[n].imr[i] = val & (x >> 24) & BIT(i);
		break;
	case 6:
		pic_write(&r->pic, port, 0xc0 | (val & 7));
		ref_lowest(&ref[n], val & 7);
		break;
	case 7:
		pic_write(&r->pic, port, 0x48 | (val & 0x20));
		ref[n].special_mask = val & 0x20;
		break;
	}
	ref_cascade(ref);
}

static u8 ref_bits(const bool *bits)
{
	unsigned int i;
	u8 mask = 0;

	for (i = 0; i < 8; i++)
		mask |= bits[i] << i;
	return mask;
}

static void run_ref(struct kunit *test, u64 seed, u8 icw4, unsigned int steps)
{
	struct ref_chip *ref = kunit_kzalloc(test, 2 * sizeof(*ref), GFP_KERNEL);
	struct rig *r = rig(test, icw4);
	unsigned int i, n;

	KUNIT_ASSERT_NOT_NULL(test, ref);
	for (n = 0; n < 2; n++) {
		u8 elcr = mhv_kunit_random(&seed) & (n ? 0xde : 0xf8);

		pic_write(&r->pic, 0x4d0 + n, elcr);
		ref_lowest(&ref[n], 7);
		ref[n].auto_eoi = icw4 & 2;
		for (i = 0; i < 8; i++)
			ref[n].level[i] = elcr & BIT(i);
	}
	for (i = 0; i < steps; i++) {
		ref_step(test, r, ref, &seed);
		for (n = 0; n < 2; n++) {
			KUNIT_ASSERT_EQ(test, r->pic.chip[n].irr, ref_bits(ref[n].irr));
			KUNIT_ASSERT_EQ(test, r->pic.chip[n].isr, ref_bits(ref[n].isr));
			KUNIT_ASSERT_EQ(test, r->pic.chip[n].imr, ref_bits(ref[n].imr));
		}
		KUNIT_ASSERT_EQ(test, r->out.intr, ref_request(&ref[0]) >= 0);
	}
}

static void test_reference(struct kunit *test)
{
	u64 seed;

	for (seed = 1; seed <= 20; seed++)
		run_ref(test, seed * 0x9e3779b97f4a7c15ULL, seed & 1 ? 1 : 3, 2000);
}

/* Any bytes that userspace restores are safe: no index goes astray, no call loops. */
static void test_any_state(struct kunit *test)
{
	struct rig *r = rig(test, 0x01);
	struct kvm_pic_state s;
	unsigned int i, j;
	u64 seed = 77;

	for (i = 0; i < 2000; i++) {
		for (j = 0; j < sizeof(s); j++)
			((u8 *)&s)[j] = mhv_kunit_random(&seed);
		pic_set_state(&r->pic, i & 1, &s);
		KUNIT_EXPECT_LE(test, pic_request(&r->pic, 0), 7);
		KUNIT_EXPECT_LE(test, pic_request(&r->pic, 1), 7);
		pic_ack(&r->pic);
		pic_write(&r->pic, 0x20 + (j & 1) + (i & 0x80), j);
		pic_read(&r->pic, 0x20);
		pic_read(&r->pic, 0xa0);
	}
	program(r, 0x01);
	r->pic.chip[0].isr = 0;
	r->pic.chip[1].isr = 0;
	r->pic.chip[0].elcr = 0;
	r->pic.chip[0].irr = 0;
	edge(r, 1);
	KUNIT_EXPECT_EQ(test, pic_ack(&r->pic), 8 + 1);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_init),
	KUNIT_CASE(test_priorities),
	KUNIT_CASE(test_nesting),
	KUNIT_CASE(test_cascade),
	KUNIT_CASE(test_spurious),
	KUNIT_CASE(test_rotation),
	KUNIT_CASE(test_auto_eoi),
	KUNIT_CASE(test_special_mask),
	KUNIT_CASE(test_poll),
	KUNIT_CASE(test_mask),
	KUNIT_CASE(test_trigger),
	KUNIT_CASE(test_reference),
	KUNIT_CASE(test_any_state),
	{}
};

static struct kunit_suite suite = { .name = "minihv_pic", .test_cases = cases };
kunit_test_suite(suite);
