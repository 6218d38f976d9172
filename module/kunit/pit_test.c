// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254: control words, latches, the count and OUT of each mode at its edges.
 * Entered from KUnit.
 * No locks.
 * Intel 8254 data sheet, "Control Word Format", "Mode Definitions", "Read-Back Command".
 */
#include "../io/pit.c"

#include "kunit.h"

#define T0	1000000000ULL	/* when the counters are loaded */

/* The first moment at which so many input clocks have passed. */
static u64 at(u64 clocks)
{
	return T0 + DIV_ROUND_UP_ULL(clocks * NS_PER_SEC, PIT_HZ);
}

static struct pit *pit_new(struct kunit *test)
{
	struct pit *pit = kunit_kzalloc(test, sizeof(*pit), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pit);
	pit_init(pit, T0);
	return pit;
}

/* Channel @n in @mode, both bytes, binary. */
static void load(struct pit *pit, unsigned int n, unsigned int mode, u16 count, bool bcd)
{
	pit_write(pit, 0x43, n << 6 | 0x30 | mode << 1 | bcd, T0);
	pit_write(pit, 0x40 + n, count, T0);
	pit_write(pit, 0x40 + n, count >> 8, T0);
}

static u16 read16(struct pit *pit, unsigned int n, u64 now)
{
	u16 low = pit_read(pit, 0x40 + n, now);

	return low | pit_read(pit, 0x40 + n, now) << 8;
}

static bool out(struct pit *pit, unsigned int n, u64 now)
{
	pit_write(pit, 0x43, 0xe0 | 2 << n, now);
	return pit_read(pit, 0x40 + n, now) & 0x80;
}

static void test_bytes(struct kunit *test)
{
	struct pit *pit = pit_new(test);

	/* Channel 0 alone has somebody to wake; the first byte of two loads nothing. */
	pit_write(pit, 0x43, 0x34, T0);
	KUNIT_EXPECT_FALSE(test, pit_write(pit, 0x40, 0x34, T0));
	KUNIT_EXPECT_TRUE(test, pit_write(pit, 0x40, 0x12, T0));
	KUNIT_EXPECT_EQ(test, pit->channel[0].count, 0x1234U);
	pit_write(pit, 0x43, 0x50, T0);		/* channel 1, low byte */
	KUNIT_EXPECT_FALSE(test, pit_write(pit, 0x41, 0x77, T0));
	KUNIT_EXPECT_EQ(test, pit->channel[1].count, 0x77U);
	pit_write(pit, 0x43, 0xa0, T0);		/* channel 2, high byte */
	pit_write(pit, 0x42, 0x77, T0);
	KUNIT_EXPECT_EQ(test, pit->channel[2].count, 0x7700U);
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x42, T0), 0x77);
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x43, T0), 0);
}

static void test_zero_is_most(struct kunit *test)
{
	struct pit *pit = pit_new(test);

	load(pit, 0, 2, 0, false);
	KUNIT_EXPECT_EQ(test, pit->channel[0].count, 0x10000U);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(0)), 0);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(1)), 0xffff);
	load(pit, 0, 2, 0, true);
	KUNIT_EXPECT_EQ(test, pit->channel[0].count, 10000U);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(1)), 0x9999);
}

static void test_bcd(struct kunit *test)
{
	struct pit *pit = pit_new(test);
	u32 i;

	for (i = 0; i < 10000; i++)
		KUNIT_ASSERT_EQ(test, pit_from_bcd(pit_to_bcd(i)), i);
	KUNIT_EXPECT_EQ(test, pit_to_bcd(1234), 0x1234U);
	load(pit, 0, 0, 0x1000, true);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(1)), 0x0999);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(1001)), 0x9999);
}

static void test_latch(struct kunit *test)
{
	struct pit *pit = pit_new(test);

	load(pit, 0, 0, 1000, false);
	pit_write(pit, 0x43, 0x00, at(10));
	/* A second latch command before the read changes nothing. */
	pit_write(pit, 0x43, 0x00, at(20));
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(100)), 990);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(100)), 900);
}

static void test_read_back(struct kunit *test)
{
	struct pit *pit = pit_new(test);

	load(pit, 0, 2, 1000, false);
	load(pit, 2, 0, 500, false);
	/* Count and status of channels 0 and 2: status comes first. */
	pit_write(pit, 0x43, 0xca, at(100));
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x40, at(200)) & 0x3f, 0x34);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, at(200)), 900);
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x42, at(200)) & 0x3f, 0x30);
	KUNIT_EXPECT_EQ(test, read16(pit, 2, at(200)), 400);
	/* Channel 1 was not named. */
	KUNIT_EXPECT_EQ(test, pit->channel[1].status_latched, 0);
	KUNIT_EXPECT_EQ(test, pit->channel[1].count_latched, 0);
}

static void test_mode_aliases(struct kunit *test)
{
	static const u8 becomes[8] = { 0, 1, 2, 3, 4, 5, 2, 3 };
	struct pit *pit = pit_new(test);
	unsigned int mode;

	for (mode = 0; mode < 8; mode++) {
		load(pit, 1, mode, 100, false);
		KUNIT_EXPECT_EQ(test, pit->channel[1].mode, becomes[mode]);
	}
}

/* OUT just before, at, and after the moments at which it changes. */
static void test_out(struct kunit *test)
{
	static const struct {
		u8 mode;
		u16 count;
		u16 clocks;
		bool out;
	} rows[] = {
		/* 0: low until the count is over */
		{ 0, 10, 0, false }, { 0, 10, 9, false }, { 0, 10, 10, true }, { 0, 10, 99, true },
		/* 1: the same, from the gate's edge on */
		{ 1, 10, 0, false }, { 1, 10, 9, false }, { 1, 10, 10, true },
		/* 3: high for the first half; for the longer one if the count is odd */
		{ 3, 10, 0, true }, { 3, 10, 4, true }, { 3, 10, 5, false }, { 3, 10, 9, false },
		{ 3, 10, 10, true }, { 3, 5, 2, true }, { 3, 5, 3, false }, { 3, 5, 5, true },
		/* 2: low for the clock in which the count is 1 */
		{ 2, 10, 0, true }, { 2, 10, 8, true }, { 2, 10, 9, false }, { 2, 10, 10, true },
		{ 2, 10, 19, false },
		/* 4 and 5: low for one clock when the count is over */
		{ 4, 10, 9, true }, { 4, 10, 10, false }, { 4, 10, 11, true },
		{ 5, 10, 10, false }, { 5, 10, 11, true },
	};
	struct pit *pit = pit_new(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		load(pit, 1, rows[i].mode, rows[i].count, false);
		KUNIT_EXPECT_EQ_MSG(test, out(pit, 1, at(rows[i].clocks)), rows[i].out,
				    "row %u", i);
	}
}

static void test_count(struct kunit *test)
{
	static const struct {
		u8 mode;
		u16 count;
		u32 clocks;
		u16 reads;
	} rows[] = {
		{ 0, 10, 0, 10 }, { 0, 10, 10, 0 }, { 0, 10, 11, 0xffff }, { 0, 10, 65546, 0 },
		{ 2, 10, 0, 10 }, { 2, 10, 9, 1 }, { 2, 10, 10, 10 }, { 2, 10, 15, 5 },
		{ 3, 10, 1, 8 }, { 3, 10, 4, 2 }, { 3, 10, 5, 10 }, { 4, 3, 4, 0xffff },
	};
	struct pit *pit = pit_new(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		load(pit, 1, rows[i].mode, rows[i].count, false);
		KUNIT_EXPECT_EQ_MSG(test, read16(pit, 1, at(rows[i].clocks)), rows[i].reads,
				    "row %u", i);
	}
}

/* Time that runs backwards is none; a guest that is up for centuries overflows nothing. */
static void test_clocks(struct kunit *test)
{
	struct pit *pit = pit_new(test);
	struct kvm_pit_channel_state *c = &pit->channel[0];

	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 + NS_PER_SEC), 0ULL);	/* not programmed */
	load(pit, 0, 2, 1, false);
	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 - 1), 0ULL);
	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 + 838), 0ULL);
	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 + 839), 1ULL);
	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 + NS_PER_SEC), (u64)PIT_HZ);
	KUNIT_EXPECT_EQ(test, pit_clocks(c, T0 + NS_PER_SEC * 9000000000ULL),
			PIT_HZ * 9000000000ULL);
	KUNIT_EXPECT_EQ(test, read16(pit, 0, S64_MAX), 1);
}

static void test_alarm(struct kunit *test)
{
	struct pit *pit = pit_new(test);
	struct pit_alarm alarm;
	unsigned int mode;

	KUNIT_EXPECT_EQ(test, pit_alarm(pit).ns, 0ULL);
	for (mode = 0; mode < 6; mode++) {
		load(pit, 0, mode, 11932, false);	/* 100 Hz */
		alarm = pit_alarm(pit);
		if (mode == 5)
			KUNIT_EXPECT_EQ(test, alarm.ns, 0ULL);
		else
			KUNIT_EXPECT_EQ(test, alarm.ns, 10000159ULL);
		KUNIT_EXPECT_EQ(test, alarm.periodic, mode == 2 || mode == 3);
	}
	load(pit, 0, 2, 1, false);
	KUNIT_EXPECT_EQ(test, pit_alarm(pit).ns, 838ULL);
	load(pit, 0, 2, 0, false);
	KUNIT_EXPECT_EQ(test, pit_alarm(pit).ns, 54925447ULL);
	pit->flags = KVM_PIT_FLAGS_HPET_LEGACY;
	KUNIT_EXPECT_EQ(test, pit_alarm(pit).ns, 0ULL);
}

static void test_speaker(struct kunit *test)
{
	struct pit *pit = pit_new(test);

	load(pit, 2, 2, 1000, false);
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x61, T0) & 3, 0);
	pit_write(pit, 0x61, 3, at(500));
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x61, T0) & 3, 3);
	/* The rising gate restarted it. */
	KUNIT_EXPECT_EQ(test, read16(pit, 2, at(501)), 999);
	pit_write(pit, 0x61, 1, at(600));
	KUNIT_EXPECT_EQ(test, read16(pit, 2, at(600)), 900);
	pit_write(pit, 0x61, 0, at(600));
	KUNIT_EXPECT_EQ(test, pit_read(pit, 0x61, at(600)) & 3, 0);
}

static void test_any_state(struct kunit *test)
{
	struct pit *pit = pit_new(test);
	struct kvm_pit_state2 s;
	unsigned int i, j;
	u64 seed = 3;

	for (i = 0; i < 5000; i++) {
		for (j = 0; j < sizeof(s); j++)
			((u8 *)&s)[j] = mhv_kunit_random(&seed);
		if (i & 1)
			s.channels[i % 3].count = 0;
		pit_set_state(pit, &s, T0);
		for (j = 0; j < 3; j++) {
			KUNIT_ASSERT_NE(test, pit->channel[j].count, 0U);
			read16(pit, j, at(mhv_kunit_random(&seed)));
			out(pit, j, at(mhv_kunit_random(&seed)));
		}
		pit_read(pit, 0x61, at(i));
		pit_alarm(pit);
	}
	pit_set_state(pit, &s, T0);
	s.channels[0].count_load_time = T0;
	pit_get_state(pit, &s);
	KUNIT_EXPECT_EQ(test, memcmp(s.channels, pit->channel, sizeof(s.channels)), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_bytes),
	KUNIT_CASE(test_zero_is_most),
	KUNIT_CASE(test_bcd),
	KUNIT_CASE(test_latch),
	KUNIT_CASE(test_read_back),
	KUNIT_CASE(test_mode_aliases),
	KUNIT_CASE(test_out),
	KUNIT_CASE(test_count),
	KUNIT_CASE(test_clocks),
	KUNIT_CASE(test_alarm),
	KUNIT_CASE(test_speaker),
	KUNIT_CASE(test_any_state),
	{}
};

static struct kunit_suite suite = { .name = "minihv_pit", .test_cases = cases };
kunit_test_suite(suite);
