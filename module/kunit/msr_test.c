// SPDX-License-Identifier: GPL-2.0
/*
 * MSRs: the table, its look-up beside a search, and what every row must hold to.
 * Entered from KUnit.
 * No locks.
 * Intel SDM volume 4, "Model-Specific Registers"; AMD APM volume 2, "Model-Specific Registers".
 */
#include "../msr.c"

#include "kunit.h"

static unsigned int row_nr(const struct msr_row *row)
{
	return max_t(unsigned int, row->nr, 1);
}

static const struct msr_row *search(u32 index)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (index - rows[i].index < row_nr(&rows[i]) && row_usable(&rows[i]))
			return &rows[i];
	return NULL;
}

static void slots_free(struct kunit_resource *res)
{
	mhv_memslots_destroy(res->data);
}

static struct mhv_vcpu *msr_vcpu(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);
	struct mhv_vcpu *vcpu;

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	KUNIT_ASSERT_EQ(test, mhv_memslots_init(vm), 0);	/* for MSRs that name a page */
	kunit_alloc_resource(test, NULL, slots_free, GFP_KERNEL, vm);
	vcpu = mhv_kunit_vcpu(test, vm, 0);
	vcpu->clock.tsc_khz = 1000000;
	vcpu->cpu = raw_smp_processor_id();
	mhv_msr_reset(vcpu, false);
	return vcpu;
}

static void test_rows(struct kunit *test)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct msr_row *a = &rows[i];

		/* Reachable, as a whole; and nobody else's. */
		KUNIT_EXPECT_GE(test, lookup_slot(a->index), 0);
		KUNIT_EXPECT_EQ(test, lookup_slot(a->index + row_nr(a) - 1),
				lookup_slot(a->index) + (int)row_nr(a) - 1);
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_FALSE_MSG(test, a->index < rows[j].index + row_nr(&rows[j]) &&
					       rows[j].index < a->index + row_nr(a),
					       "%x and %x", a->index, rows[j].index);
		KUNIT_EXPECT_TRUE(test, a->get || a->set);
		/* Listed is what userspace saves and restores; a feature is one that it reads. */
		if (a->flags & MSR_LISTED) {
			KUNIT_EXPECT_TRUE_MSG(test, a->get && a->set, "MSR %x", a->index);
			KUNIT_EXPECT_EQ(test, row_nr(a), 1U);
		}
		if (a->flags & MSR_FEATURE) {
			u64 val;

			KUNIT_EXPECT_EQ_MSG(test, mhv_msr_feature(a->index, &val), 0,
					    "MSR %x", a->index);
		}
	}
}

static void test_lookup(struct kunit *test)
{
	struct msr_access a;
	unsigned int i;
	u32 index;
	u64 seed = 4;

	for (i = 0; i < ARRAY_SIZE(windows); i++) {
		u32 end = windows[i].base + windows[i].size + 2;

		for (index = windows[i].base; index != end; index++) {
			const struct msr_row *row = search(index);

			KUNIT_ASSERT_EQ_MSG(test, find(index, true, &a), !!row, "MSR %x", index);
			if (!row)
				continue;
			KUNIT_ASSERT_PTR_EQ(test, a.row, row);
			KUNIT_ASSERT_EQ(test, a.nr, index - row->index);
		}
	}
	for (i = 0; i < 100000; i++) {
		index = mhv_kunit_random(&seed);
		KUNIT_ASSERT_EQ(test, find(index, true, &a), !!search(index));
	}
}

/* A listed MSR takes back what was read, and then reads the same. */
static void test_round_trip(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int i;
	u64 a, b;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!(rows[i].flags & MSR_LISTED) || !row_usable(&rows[i]))
			continue;
		KUNIT_EXPECT_EQ_MSG(test, mhv_msr_get(vcpu, rows[i].index, &a, true), 0, "MSR %x",
				    rows[i].index);
		KUNIT_EXPECT_EQ_MSG(test, mhv_msr_set(vcpu, rows[i].index, a, true), 0, "MSR %x",
				    rows[i].index);
		KUNIT_EXPECT_EQ(test, mhv_msr_get(vcpu, rows[i].index, &b, true), 0);
		if (rows[i].index != MSR_IA32_TSC)
			KUNIT_EXPECT_EQ_MSG(test, a, b, "MSR %x", rows[i].index);
	}
}

/* A write that is refused changes nothing. */
static void test_refused(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int i, j, refused = 0;
	u64 before, after, seed = 8;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!row_usable(&rows[i]) || rows[i].index == MSR_IA32_TSC)
			continue;
		for (j = 0; j < 64; j++) {
			u64 val = (u64)mhv_kunit_random(&seed) << 32 | mhv_kunit_random(&seed);
			u32 index = rows[i].index + j % row_nr(&rows[i]);

			if (mhv_msr_get(vcpu, index, &before, true) ||
			    !mhv_msr_set(vcpu, index, val, j & 1))
				continue;
			refused++;
			KUNIT_EXPECT_EQ(test, mhv_msr_get(vcpu, index, &after, true), 0);
			KUNIT_EXPECT_EQ_MSG(test, before, after, "MSR %x", index);
		}
	}
	KUNIT_EXPECT_GT(test, refused, 1000U);
}

static void test_canonical(struct kunit *test)
{
	static const u64 bad[] = {
		BIT_ULL(47), BIT_ULL(63), 0xffff7fffffffffffULL, 0x7fffffffffffffffULL
	};
	static const u64 good[] = { 0, 0x7fffffffffffULL, 0xffff800000000000ULL, ~0ULL };
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!(rows[i].flags & MSR_CANONICAL))
			continue;
		for (j = 0; j < ARRAY_SIZE(bad); j++)
			KUNIT_EXPECT_NE_MSG(test, mhv_msr_set(vcpu, rows[i].index, bad[j], true),
					    0, "MSR %x", rows[i].index);
		for (j = 0; j < ARRAY_SIZE(good); j++)
			KUNIT_EXPECT_EQ_MSG(test, mhv_msr_set(vcpu, rows[i].index, good[j], true),
					    0, "MSR %x", rows[i].index);
	}
}

/* Memory types: 2 and 3, and those from 8 on, are none. */
static void test_pat(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int field, type;

	for (field = 0; field < 8; field++) {
		for (type = 0; type < 256; type++) {
			bool valid = type < 8 && type != 2 && type != 3;

			KUNIT_EXPECT_EQ(test, !mhv_msr_set(vcpu, MSR_IA32_CR_PAT,
							   (u64)type << field * 8, false), valid);
		}
	}
}

/* MTRRs: which bits a base and a mask may have. */
static void test_mtrr(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int bit;

	for (bit = 0; bit < 64; bit++) {
		bool address = bit >= 12 && bit < vcpu->maxphyaddr;

		KUNIT_EXPECT_EQ_MSG(test, !mhv_msr_set(vcpu, 0x200, BIT_ULL(bit), false),
				    address || bit == 0 || bit == 2, "base, bit %u", bit);
		KUNIT_EXPECT_EQ_MSG(test, !mhv_msr_set(vcpu, 0x201, BIT_ULL(bit), false),
				    address || bit == 11, "mask, bit %u", bit);
	}
}

/* After INIT nothing is written to the page of the clock: the guest may use it otherwise. */
static void test_clock_reset(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	u64 val;

	KUNIT_EXPECT_EQ(test, mhv_msr_set(vcpu, MSR_KVM_SYSTEM_TIME_NEW, 0x1001, false), 0);
	KUNIT_EXPECT_TRUE(test, vcpu->clock.active);
	mhv_msr_reset(vcpu, true);
	KUNIT_EXPECT_FALSE(test, vcpu->clock.active);
	KUNIT_EXPECT_EQ(test, mhv_msr_get(vcpu, MSR_KVM_SYSTEM_TIME_NEW, &val, false), 0);
	KUNIT_EXPECT_EQ(test, val, 0ULL);
}

/* Each row has its values to itself. */
static void test_slots(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	u32 owner[NR_SLOTS] = {};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].get != get_slot)
			continue;
		for (j = 0; j < row_nr(&rows[i]); j++) {
			struct msr_access a = { .row = &rows[i], .nr = j };
			u64 at = slot(vcpu, &a) - vcpu->msrs->slot;

			KUNIT_ASSERT_LT(test, at, (u64)NR_SLOTS);
			KUNIT_EXPECT_EQ_MSG(test, owner[at], 0U, "MSR %x", rows[i].index + j);
			owner[at] = rows[i].index + j + 1;
		}
	}
}

/* What a guest's CPUID does not offer, it cannot reach; userspace can. */
static void test_feature_gate(struct kunit *test)
{
	struct mhv_vcpu *vcpu = msr_vcpu(test);
	unsigned int i;
	u64 val;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!rows[i].feature || !row_usable(&rows[i]) || !rows[i].get)
			continue;
		vcpu->features = 0;
		KUNIT_EXPECT_EQ_MSG(test, mhv_msr_get(vcpu, rows[i].index, &val, false),
				    (int)MHV_MSR_INVALID, "MSR %x", rows[i].index);
		if (rows[i].set)
			KUNIT_EXPECT_EQ(test, mhv_msr_set(vcpu, rows[i].index, 0, false),
					(int)MHV_MSR_INVALID);
		vcpu->features = rows[i].feature;
		KUNIT_EXPECT_EQ(test, mhv_msr_get(vcpu, rows[i].index, &val, false), 0);
	}
	KUNIT_EXPECT_EQ(test, mhv_msr_get(vcpu, 0xdeadbeef, &val, true), (int)MHV_MSR_UNKNOWN);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_rows),
	KUNIT_CASE(test_lookup),
	KUNIT_CASE(test_round_trip),
	KUNIT_CASE(test_refused),
	KUNIT_CASE(test_canonical),
	KUNIT_CASE(test_pat),
	KUNIT_CASE(test_mtrr),
	KUNIT_CASE(test_clock_reset),
	KUNIT_CASE(test_slots),
	KUNIT_CASE(test_feature_gate),
	{}
};

/* KUnit runs the suites before the module's own init function. */
static int setup(struct kunit_suite *suite)
{
	mhv_msr_setup();
	return 0;
}

static struct kunit_suite suite = {
	.name = "minihv_msr", .suite_init = setup, .test_cases = cases,
};

kunit_test_suite(suite);
