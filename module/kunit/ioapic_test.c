// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O APIC: registers, edges, levels, remote IRR, EOIs.
 * Entered from KUnit.
 * No locks.
 * Intel 82093AA data sheet, "I/O APIC Registers", "Redirection Table".
 */
#include "../io/ioapic.c"

#include "kunit.h"

struct rig {
	struct ioapic io;
	unsigned int sent;	/* messages */
	u64 last;
	int answer;		/* LAPICs that take them */
	bool in_service;
	unsigned int changed;
	u32 unmasked;
	bool wrong;		/* a message that must not be sent */
};

static int out_deliver(void *ctx, u64 entry)
{
	struct rig *r = ctx;

	r->sent++;
	r->last = entry;
	if ((entry & IOAPIC_MASKED) || (entry & IOAPIC_LEVEL && entry & IOAPIC_REMOTE_IRR))
		r->wrong = true;
	return r->answer;
}

static bool out_in_service(void *ctx, u64 entry)
{
	return ((struct rig *)ctx)->in_service;
}

static void out_changed(void *ctx)
{
	((struct rig *)ctx)->changed++;
}

static void out_unmasked(void *ctx, unsigned int pin)
{
	((struct rig *)ctx)->unmasked |= BIT(pin);
}

static const struct ioapic_ops rig_ops = {
	out_deliver, out_in_service, out_changed, out_unmasked
};

static struct rig *rig(struct kunit *test)
{
	struct rig *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->answer = 1;
	ioapic_init(&r->io, &rig_ops, r);
	return r;
}

static void set(struct rig *r, u8 index, u32 val)
{
	ioapic_write(&r->io, REG_SELECT, index);
	ioapic_write(&r->io, REG_WINDOW, val);
}

static u32 get(struct rig *r, u8 index)
{
	ioapic_write(&r->io, REG_SELECT, index);
	return ioapic_read(&r->io, REG_WINDOW);
}

static void entry(struct rig *r, unsigned int pin, u64 val)
{
	set(r, 0x10 + 2 * pin, val);
	set(r, 0x11 + 2 * pin, val >> 32);
}

static void test_registers(struct kunit *test)
{
	struct rig *r = rig(test);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, get(r, 0x01), 0x00170011U);
	set(r, 0x01, ~0);
	KUNIT_EXPECT_EQ(test, get(r, 0x01), 0x00170011U);
	set(r, 0x00, ~0);
	KUNIT_EXPECT_EQ(test, get(r, 0x00), 0x0f000000U);
	KUNIT_EXPECT_EQ(test, get(r, 0x02), 0x0f000000U);
	for (i = 0; i < IOAPIC_PINS; i++) {
		KUNIT_EXPECT_EQ(test, get(r, 0x10 + 2 * i), (u32)IOAPIC_MASKED);
		KUNIT_EXPECT_EQ(test, get(r, 0x11 + 2 * i), 0U);
		entry(r, i, 0xab00000000010000ULL | i);
	}
	for (i = 0; i < IOAPIC_PINS; i++) {
		KUNIT_EXPECT_EQ(test, get(r, 0x10 + 2 * i), 0x10000U | i);
		KUNIT_EXPECT_EQ(test, get(r, 0x11 + 2 * i), 0xab000000U);
	}
	/* Beyond the table there is nothing, and nothing is written. */
	for (i = 0x40; i < 0x100; i++) {
		set(r, i, 0);
		KUNIT_EXPECT_EQ(test, get(r, i), ~0U);
	}
	KUNIT_EXPECT_EQ(test, get(r, 0x3e), 0x10017U);
	/* Other offsets of the page. */
	ioapic_write(&r->io, 0x20, 0x1234);
	KUNIT_EXPECT_EQ(test, ioapic_read(&r->io, 0x20), 0U);
	KUNIT_EXPECT_EQ(test, r->sent, 0U);
}

static void test_read_only(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 3, IOAPIC_MASKED | IOAPIC_LEVEL | IOAPIC_REMOTE_IRR | IOAPIC_STATUS | 0x31);
	KUNIT_EXPECT_EQ(test, r->io.entry[3], IOAPIC_MASKED | IOAPIC_LEVEL | 0x31);
}

static void test_edge(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 5, 0x0200000000000035ULL);
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 5, 0, true, false), 1);
	KUNIT_EXPECT_EQ(test, r->sent, 1U);
	KUNIT_EXPECT_EQ(test, r->last, 0x0200000000000035ULL);
	KUNIT_EXPECT_EQ(test, r->io.entry[5] & IOAPIC_REMOTE_IRR, 0ULL);
	/* High still: no other edge. */
	ioapic_set_level(&r->io, 5, 0, true, false);
	KUNIT_EXPECT_EQ(test, r->sent, 1U);
	ioapic_set_level(&r->io, 5, 0, false, false);
	ioapic_set_level(&r->io, 5, 0, true, false);
	KUNIT_EXPECT_EQ(test, r->sent, 2U);
	/* An EOI sends no edge again. */
	ioapic_eoi(&r->io, BIT(5));
	KUNIT_EXPECT_EQ(test, r->sent, 2U);
	/* Masked, an edge is lost. */
	ioapic_set_level(&r->io, 5, 0, false, false);
	entry(r, 5, 0x35 | IOAPIC_MASKED);
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 5, 0, true, false), -1);
	KUNIT_EXPECT_EQ(test, r->sent, 2U);
}

static void test_level(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 9, IOAPIC_LEVEL | 0x39);
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 9, 0, true, false), 1);
	KUNIT_EXPECT_TRUE(test, r->io.entry[9] & IOAPIC_REMOTE_IRR);
	/* Until its EOI it is not sent again, whoever raises it. */
	ioapic_set_level(&r->io, 9, 1, true, false);
	KUNIT_EXPECT_EQ(test, r->sent, 1U);
	/* Still high at the EOI: again, remote IRR too. */
	ioapic_set_level(&r->io, 9, 0, false, false);
	ioapic_eoi(&r->io, ioapic_pins_of(&r->io, 0x39));
	KUNIT_EXPECT_EQ(test, r->sent, 2U);
	KUNIT_EXPECT_TRUE(test, r->io.entry[9] & IOAPIC_REMOTE_IRR);
	/* Low at the EOI: over. */
	ioapic_set_level(&r->io, 9, 1, false, false);
	ioapic_eoi(&r->io, BIT(9));
	KUNIT_EXPECT_EQ(test, r->sent, 2U);
	KUNIT_EXPECT_FALSE(test, r->io.entry[9] & IOAPIC_REMOTE_IRR);
	/* An EOI of other pins is none of this one. */
	ioapic_set_level(&r->io, 9, 0, true, false);
	ioapic_eoi(&r->io, ~(u32)BIT(9));
	KUNIT_EXPECT_TRUE(test, r->io.entry[9] & IOAPIC_REMOTE_IRR);
	/* Made an edge and back, as guests do in the place of an EOI register. */
	entry(r, 9, IOAPIC_MASKED | 0x39);
	KUNIT_EXPECT_FALSE(test, r->io.entry[9] & IOAPIC_REMOTE_IRR);
}

static void test_level_masked(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 10, IOAPIC_MASKED | IOAPIC_LEVEL | 0x3a);
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 10, 0, true, false), -1);
	r->unmasked = 0;
	entry(r, 10, IOAPIC_LEVEL | 0x3a);
	KUNIT_EXPECT_EQ(test, r->sent, 1U);
	KUNIT_EXPECT_EQ(test, r->unmasked, (u32)BIT(10));
	/* Nobody took it: not in service anywhere, so no remote IRR. */
	ioapic_eoi(&r->io, BIT(10));
	r->answer = 0;
	ioapic_set_level(&r->io, 10, 0, false, false);
	ioapic_eoi(&r->io, BIT(10));
	ioapic_set_level(&r->io, 10, 0, true, false);
	KUNIT_EXPECT_FALSE(test, r->io.entry[10] & IOAPIC_REMOTE_IRR);
}

/* After many EOIs that found it high, one is put off; ioapic_resume() makes up for it. */
static void test_storm(struct kunit *test)
{
	struct rig *r = rig(test);
	unsigned int i, sent;

	entry(r, 11, IOAPIC_LEVEL | 0x3b);
	ioapic_set_level(&r->io, 11, 0, true, false);
	for (i = 1; i < STORM_EOIS; i++)
		KUNIT_ASSERT_FALSE(test, ioapic_eoi(&r->io, BIT(11)));
	sent = r->sent;
	KUNIT_EXPECT_TRUE(test, ioapic_eoi(&r->io, BIT(11)));
	KUNIT_EXPECT_EQ(test, r->sent, sent);
	ioapic_resume(&r->io);
	KUNIT_EXPECT_EQ(test, r->sent, sent + 1);
	/* One that found it low begins anew. */
	for (i = 0; i < 5; i++)
		ioapic_eoi(&r->io, BIT(11));
	KUNIT_EXPECT_EQ(test, r->io.eois[11], 5U);
	ioapic_set_level(&r->io, 11, 0, false, false);
	ioapic_eoi(&r->io, BIT(11));
	KUNIT_EXPECT_EQ(test, r->io.eois[11], 0U);
}

static void test_rtc(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 8, 0x38);
	r->in_service = true;
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 8, 0, true, true), 0);
	KUNIT_EXPECT_EQ(test, r->sent, 0U);
	r->in_service = false;
	KUNIT_EXPECT_EQ(test, ioapic_set_level(&r->io, 8, 0, true, true), 1);
}

static void test_pins_of(struct kunit *test)
{
	struct rig *r = rig(test);

	entry(r, 0, 0x41);
	entry(r, 17, 0x41 | IOAPIC_MASKED);
	entry(r, 23, 0x142);
	KUNIT_EXPECT_EQ(test, ioapic_pins_of(&r->io, 0x41), (u32)(BIT(0) | BIT(17)));
	KUNIT_EXPECT_EQ(test, ioapic_pins_of(&r->io, 0x42), (u32)BIT(23));
	KUNIT_EXPECT_EQ(test, ioapic_pins_of(&r->io, 0x43), 0U);
}

static void test_state(struct kunit *test)
{
	struct rig *r = rig(test);
	struct kvm_ioapic_state a, b;
	unsigned int i, j, changed;
	u64 seed = 5;

	entry(r, 9, IOAPIC_LEVEL | 0x39);
	ioapic_set_level(&r->io, 9, 0, true, false);
	/* An edge that was sent is not sent again where the state is restored. */
	entry(r, 5, 0x35);
	ioapic_set_level(&r->io, 5, 0, true, false);
	ioapic_get_state(&r->io, &a);
	KUNIT_EXPECT_EQ(test, a.base_address, (u64)IOAPIC_BASE);
	KUNIT_EXPECT_EQ(test, a.irr, (u32)BIT(9));
	r->answer = 0;
	changed = r->changed;
	ioapic_set_state(&r->io, &a);
	KUNIT_EXPECT_GT(test, r->changed, changed);
	ioapic_get_state(&r->io, &b);
	KUNIT_EXPECT_EQ(test, memcmp(&a, &b, sizeof(a)), 0);

	for (i = 0; i < 500; i++) {
		for (j = 0; j < sizeof(a); j++)
			((u8 *)&a)[j] = mhv_kunit_random(&seed);
		ioapic_set_state(&r->io, &a);
		for (j = 0; j < 0x100; j++)
			get(r, j);
		ioapic_eoi(&r->io, ~0);
		KUNIT_EXPECT_LE(test, r->io.select, 0xffU);
	}
}

/* Whatever comes in which order: what is sent may be sent, and remote IRR is a level's. */
static void test_invariants(struct kunit *test)
{
	struct rig *r = rig(test);
	unsigned int i, pin;
	u64 seed = 99;
	u32 x;

	for (i = 0; i < 50000; i++) {
		x = mhv_kunit_random(&seed);
		pin = (x >> 8) % IOAPIC_PINS;
		r->answer = (int)(x >> 30) - 1;
		switch (x % 4) {
		case 0:
			ioapic_set_level(&r->io, pin, x >> 13 & 1, x >> 14 & 1, false);
			break;
		case 1:
			set(r, 0x10 + 2 * pin, mhv_kunit_random(&seed) & 0x1ffff);
			break;
		case 2:
			ioapic_eoi(&r->io, BIT(pin));
			break;
		case 3:
			ioapic_resume(&r->io);
			break;
		}
		KUNIT_ASSERT_FALSE(test, r->wrong);
		for (pin = 0; pin < IOAPIC_PINS; pin++) {
			u64 e = r->io.entry[pin];

			KUNIT_ASSERT_FALSE(test, (e & IOAPIC_REMOTE_IRR) && !(e & IOAPIC_LEVEL));
			KUNIT_ASSERT_EQ(test, e & IOAPIC_STATUS, 0ULL);
		}
	}
}

/* Beyond the last pin there is nothing: no write changes anything, reads are all ones. */
static void test_no_such_pin(struct kunit *test)
{
	struct rig *r = rig(test);
	struct ioapic *before = kunit_kzalloc(test, sizeof(*before), GFP_KERNEL);
	unsigned int select;

	KUNIT_ASSERT_NOT_NULL(test, before);
	for (select = IND_TABLE + 2 * IOAPIC_PINS; select < 256; select++) {
		ioapic_write(&r->io, REG_SELECT, select);
		*before = r->io;
		ioapic_write(&r->io, REG_WINDOW, ~0);
		KUNIT_ASSERT_EQ(test, memcmp(before, &r->io, sizeof(*before)), 0);
		KUNIT_ASSERT_EQ(test, ioapic_read(&r->io, REG_WINDOW), ~0U);
	}
	KUNIT_EXPECT_EQ(test, r->sent, 0U);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_registers),
	KUNIT_CASE(test_read_only),
	KUNIT_CASE(test_edge),
	KUNIT_CASE(test_level),
	KUNIT_CASE(test_level_masked),
	KUNIT_CASE(test_storm),
	KUNIT_CASE(test_rtc),
	KUNIT_CASE(test_pins_of),
	KUNIT_CASE(test_no_such_pin),
	KUNIT_CASE(test_state),
	KUNIT_CASE(test_invariants),
	{}
};

static struct kunit_suite suite = { .name = "minihv_ioapic", .test_cases = cases };
kunit_test_suite(suite);
