// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's timer: its arithmetic at the edges, and the modes' transitions.
 * Entered from KUnit.
 * No locks.
 * Intel SDM vol. 3, "APIC Timer", "Divide Configuration Register".
 */
#include "../io/lapic_timer.c"

#include "kunit.h"

static struct mhv_lapic *timer_lapic(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);
	struct mhv_vcpu *vcpu;

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	vcpu = mhv_kunit_vcpu(test, vm, 0);
	vcpu->lapic->timer.mode_mask = APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE;
	return vcpu->lapic;
}

static void divide(struct mhv_lapic *lapic, u32 tdcr)
{
	lapic_set(lapic, APIC_TDCR, tdcr);
	timer_set_divide(lapic);
}

static void mode(struct mhv_lapic *lapic, u32 bits)
{
	lapic_set(lapic, APIC_LVTT, APIC_LVT_MASKED | bits | 0x40);
	lapic_timer_set_mode(lapic);
}

static void test_divide(struct kunit *test)
{
	static const struct {
		u8 tdcr;
		u8 by;
	} rows[] = {
		{ 0x0, 2 }, { 0x1, 4 }, { 0x2, 8 }, { 0x3, 16 },
		{ 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
	};
	struct mhv_lapic *lapic = timer_lapic(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		divide(lapic, rows[i].tdcr);
		KUNIT_EXPECT_EQ(test, lapic->timer.divide, (u32)rows[i].by);
	}
	for (i = 0; i < 0x100; i++) {	/* other bits do not count */
		divide(lapic, i);
		KUNIT_EXPECT_LE(test, lapic->timer.divide, 128U);
		KUNIT_EXPECT_NE(test, lapic->timer.divide, 0U);
	}
}

static void test_period(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;

	/* The largest count with the largest divisor does not overflow. */
	divide(lapic, 0xa);
	lapic_timer_load(lapic, ~0U);
	KUNIT_EXPECT_EQ(test, t->period, 0xffffffffULL * 128);
	KUNIT_EXPECT_GE(test, lapic_timer_current(lapic), ~0U - 100000000);
	/* One shot may be short; periods leave the host time of its own. */
	divide(lapic, 0xb);
	lapic_timer_load(lapic, 1);
	KUNIT_EXPECT_EQ(test, t->period, 1ULL);
	mode(lapic, APIC_LVT_TIMER_PERIODIC);
	lapic_timer_load(lapic, 1);
	KUNIT_EXPECT_EQ(test, t->period, (u64)LAPIC_MIN_PERIOD_NS);
	lapic_timer_load(lapic, LAPIC_MIN_PERIOD_NS);
	KUNIT_EXPECT_EQ(test, t->period, (u64)LAPIC_MIN_PERIOD_NS);
	lapic_timer_load(lapic, LAPIC_MIN_PERIOD_NS + 1);
	KUNIT_EXPECT_EQ(test, t->period, (u64)LAPIC_MIN_PERIOD_NS + 1);
	/* 0 stops it. */
	lapic_timer_load(lapic, 0);
	KUNIT_EXPECT_EQ(test, t->period, 0ULL);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&t->hrtimer));
	KUNIT_EXPECT_EQ(test, lapic_timer_current(lapic), 0U);
}

static void test_current(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;

	divide(lapic, 0x3);
	lapic_set(lapic, APIC_TMICT, 1000000000);
	timer_set_period(lapic);
	t->target = ktime_sub_ns(ktime_get(), 1);		/* over */
	KUNIT_EXPECT_EQ(test, lapic_timer_current(lapic), 0U);
	t->target = ktime_add_ns(ktime_get(), 16ULL * 500000000);	/* half-way */
	KUNIT_EXPECT_LE(test, lapic_timer_current(lapic), 500000000U);
	KUNIT_EXPECT_GE(test, lapic_timer_current(lapic), 400000000U);
	/* A tick that the host is late for: never more than the initial count. */
	t->target = ktime_add_ns(ktime_get(), 16ULL * 1500000000);
	KUNIT_EXPECT_LE(test, lapic_timer_current(lapic), 1000000000U);
	t->mode = APIC_LVT_TIMER_TSCDEADLINE;
	KUNIT_EXPECT_EQ(test, lapic_timer_current(lapic), 0U);
}

static void test_modes(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;

	divide(lapic, 0xb);
	lapic_timer_load(lapic, 2000000000);
	KUNIT_EXPECT_TRUE(test, hrtimer_active(&t->hrtimer));
	/* From one shot to periodic it goes on. */
	mode(lapic, APIC_LVT_TIMER_PERIODIC);
	KUNIT_EXPECT_TRUE(test, hrtimer_active(&t->hrtimer));
	/* To deadlines and back it is disarmed. */
	mode(lapic, APIC_LVT_TIMER_TSCDEADLINE);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&t->hrtimer));
	KUNIT_EXPECT_EQ(test, lapic_get(lapic, APIC_TMICT), 0U);
	lapic_timer_load(lapic, 12345);		/* ignored there */
	KUNIT_EXPECT_EQ(test, lapic_get(lapic, APIC_TMICT), 0U);
	t->deadline = ~0ULL;
	mode(lapic, 0);
	KUNIT_EXPECT_EQ(test, t->deadline, 0ULL);
	/* A mode that CPUID does not offer is none. */
	t->mode_mask = APIC_LVT_TIMER_PERIODIC;
	mode(lapic, APIC_LVT_TIMER_TSCDEADLINE);
	KUNIT_EXPECT_EQ(test, t->mode, 0U);
}

static void test_deadline(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;
	struct mhv_vcpu *vcpu = lapic->vcpu;
	s64 ns;

	vcpu->clock.tsc_khz = tsc_khz;
	mhv_lapic_set_tscdeadline(vcpu, 1);	/* another mode: ignored */
	KUNIT_EXPECT_EQ(test, mhv_lapic_get_tscdeadline(vcpu, false), 0ULL);
	mode(lapic, APIC_LVT_TIMER_TSCDEADLINE);
	/* Past: at once. */
	mhv_lapic_set_tscdeadline(vcpu, 1);
	KUNIT_EXPECT_EQ(test, mhv_lapic_get_tscdeadline(vcpu, false), 0ULL);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&t->hrtimer));
	/* Ten seconds. */
	mhv_lapic_set_tscdeadline(vcpu, mhv_guest_tsc(vcpu, rdtsc()) + 10000ULL * tsc_khz);
	KUNIT_EXPECT_TRUE(test, hrtimer_active(&t->hrtimer));
	ns = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	KUNIT_EXPECT_LE(test, ns, (s64)(10ULL * NSEC_PER_SEC));
	KUNIT_EXPECT_GE(test, ns, (s64)(8ULL * NSEC_PER_SEC));
	/* The end of time: far away, and no overflow. */
	mhv_lapic_set_tscdeadline(vcpu, ~0ULL);
	ns = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	KUNIT_EXPECT_GT(test, ns, (s64)((LAPIC_MAX_DELAY_S - 10) * NSEC_PER_SEC));
	KUNIT_EXPECT_LE(test, ns, (s64)((LAPIC_MAX_DELAY_S + 1) * NSEC_PER_SEC));
	/* The guest's TSC is set: the deadline is nearer, or further away, or over. */
	mhv_tsc_adjust(vcpu, 100000ULL * tsc_khz);
	mhv_lapic_set_tscdeadline(vcpu, mhv_guest_tsc(vcpu, rdtsc()) + 10000ULL * tsc_khz);
	mhv_tsc_adjust(vcpu, -(s64)(10000ULL * tsc_khz));
	ns = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	KUNIT_EXPECT_GE(test, ns, (s64)(18ULL * NSEC_PER_SEC));
	mhv_tsc_adjust(vcpu, 30000ULL * tsc_khz);
	KUNIT_EXPECT_EQ(test, t->deadline, 0ULL);
	/* 0 disarms. */
	mhv_lapic_set_tscdeadline(vcpu, ~0ULL);
	mhv_lapic_set_tscdeadline(vcpu, 0);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&t->hrtimer));
}

/* The count goes on where it was; its pace changes. */
static void test_divide_running(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;
	s64 ns;

	divide(lapic, 0xb);
	lapic_timer_load(lapic, 4000000000U);
	lapic_set(lapic, APIC_TDCR, 0x3);
	lapic_timer_set_divide(lapic);
	ns = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	KUNIT_EXPECT_LE(test, ns, 16 * 4000000000LL);
	KUNIT_EXPECT_GE(test, ns, 16 * 3000000000LL);
	KUNIT_EXPECT_EQ(test, t->period, 16 * 4000000000ULL);
	lapic_timer_cancel(lapic);
}

static void test_restore(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;
	s64 ns;

	lapic_set(lapic, APIC_TDCR, 0xb);
	lapic_set(lapic, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | APIC_LVT_MASKED);
	lapic_set(lapic, APIC_TMICT, 3000000000U);
	/* A count beyond the initial one cannot be. */
	lapic_timer_restore(lapic, ~0U);
	ns = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	KUNIT_EXPECT_LE(test, ns, 3000000000LL);
	KUNIT_EXPECT_EQ(test, t->mode, (u32)APIC_LVT_TIMER_PERIODIC);
	/* Periodic at 0 is about to begin anew; one shot at 0 has fired. */
	lapic_timer_restore(lapic, 0);
	KUNIT_EXPECT_TRUE(test, hrtimer_active(&t->hrtimer));
	lapic_timer_cancel(lapic);
	lapic_set(lapic, APIC_LVTT, APIC_LVT_MASKED);
	lapic_timer_restore(lapic, 0);
	KUNIT_EXPECT_FALSE(test, hrtimer_active(&t->hrtimer));
	KUNIT_EXPECT_EQ(test, lapic_timer_current(lapic), 0U);
}

static void test_advance(struct kunit *test)
{
	struct mhv_lapic *lapic = timer_lapic(test);
	struct lapic_timer *t = &lapic->timer;
	unsigned int i;

	for (i = 0; i < 1000; i++)
		timer_learn(t, ADVANCE_OUTLIER_NS);
	KUNIT_EXPECT_EQ(test, t->advance_ns, (u32)ADVANCE_MAX_NS);
	for (i = 0; i < 1000; i++)
		timer_learn(t, -ADVANCE_OUTLIER_NS);
	KUNIT_EXPECT_EQ(test, t->advance_ns, 0U);
	timer_learn(t, ADVANCE_OUTLIER_NS + 1);
	timer_learn(t, S64_MIN + 1);
	KUNIT_EXPECT_EQ(test, t->advance_ns, 0U);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_divide),
	KUNIT_CASE(test_period),
	KUNIT_CASE(test_current),
	KUNIT_CASE(test_modes),
	KUNIT_CASE(test_deadline),
	KUNIT_CASE(test_divide_running),
	KUNIT_CASE(test_restore),
	KUNIT_CASE(test_advance),
	{}
};

static struct kunit_suite suite = { .name = "minihv_lapic_timer", .test_cases = cases };
kunit_test_suite(suite);
