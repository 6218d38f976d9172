// SPDX-License-Identifier: GPL-2.0
/*
 * What the VMM has at an address: the look at its page tables, which are made up here.
 * Entered from KUnit.
 * No locks.
 * Intel SDM volume 3, "Paging".
 */
#include "../mem/hostpage.c"

#include "kunit.h"

#define HVA	(3 * PUD_SIZE)		/* a large page */
#define SMALL	(HVA + PMD_SIZE)	/* a small one */
#define WRAP	(PTRS_PER_PGD * PGDIR_SIZE)
#define PFN	0x12345000UL		/* divisible by what a large page has */
#define USER	(_PAGE_PRESENT | _PAGE_USER)
#define DIRTY	(USER | _PAGE_RW | _PAGE_DIRTY)

struct rig {
	struct mm_struct *mm;
	u64 *pud, *pmd, *pte;
};

static u64 *table(struct kunit *test, u64 *entry)
{
	u64 *new = (u64 *)kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, new);
	KUNIT_ASSERT_TRUE(test, PAGE_ALIGNED(new));
	if (entry)
		*entry = __pa(new) | _KERNPG_TABLE | _PAGE_USER;
	return new;
}

static struct rig rig(struct kunit *test)
{
	struct rig r;

	r.mm = kunit_kzalloc(test, sizeof(*r.mm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.mm);
	r.mm->pgd = (pgd_t *)table(test, NULL);
	r.pud = table(test, (u64 *)pgd_offset(r.mm, HVA));
	r.pmd = table(test, &r.pud[3]);
	r.pte = table(test, &r.pmd[1]);
	r.pmd[0] = PFN << PAGE_SHIFT | DIRTY | _PAGE_PSE;
	r.pte[0] = (PFN + 1) << PAGE_SHIFT | DIRTY;
	return r;
}

static void test_found(struct kunit *test)
{
	struct rig r = rig(test);
	struct host_page hp;

	KUNIT_ASSERT_TRUE(test, host_lookup(r.mm, HVA + 5 * PAGE_SIZE, true, &hp));
	KUNIT_EXPECT_EQ(test, hp.pfn, PFN + 5);
	KUNIT_EXPECT_EQ(test, hp.level, LEVEL_LARGE);
	KUNIT_ASSERT_TRUE(test, host_lookup(r.mm, SMALL, true, &hp));
	KUNIT_EXPECT_EQ(test, hp.pfn, PFN + 1);
	KUNIT_EXPECT_EQ(test, hp.level, LEVEL_PAGE);
	KUNIT_EXPECT_FALSE(test, host_lookup(r.mm, SMALL + PAGE_SIZE, false, &hp));
	KUNIT_EXPECT_FALSE(test, host_lookup(r.mm, HVA + PUD_SIZE, false, &hp));
}

/* What a guest may not have as it is: the kernel is to look, too. */
static void test_leaves(struct kunit *test)
{
	static const struct { u64 bits; bool read, write; } cases[] = {
		{ DIRTY, true, true },
		{ USER | _PAGE_RW, true, false },	/* whoever writes makes it dirty */
		{ USER | _PAGE_DIRTY, true, false },
		{ USER, true, false },
		{ DIRTY & ~(u64)_PAGE_USER, false, false },
		{ DIRTY & ~(u64)_PAGE_PRESENT, false, false },
		{ (DIRTY & ~(u64)_PAGE_PRESENT) | _PAGE_PROTNONE, false, false },
		{ DIRTY | _PAGE_SPECIAL, false, false },
	};
	struct rig r = rig(test);
	struct host_page hp;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		r.pte[0] = PFN << PAGE_SHIFT | cases[i].bits;
		KUNIT_EXPECT_EQ_MSG(test, host_lookup(r.mm, SMALL, false, &hp), cases[i].read,
				    "case %u", i);
		if (cases[i].read)
			KUNIT_EXPECT_EQ(test, hp.writable, cases[i].write);
		KUNIT_EXPECT_EQ_MSG(test, host_lookup(r.mm, SMALL, true, &hp), cases[i].write,
				    "case %u", i);
	}
}

/* The same entries by another number: the MMU notifier would not know them by that. */
static void test_wrapped(struct kunit *test)
{
	struct rig r = rig(test);
	struct host_page hp;

	KUNIT_EXPECT_FALSE(test, host_lookup(r.mm, HVA + WRAP, false, &hp));
	KUNIT_EXPECT_FALSE(test, host_lookup(r.mm, SMALL + WRAP, false, &hp));
	/* The kernel's half. */
	*(u64 *)pgd_offset(r.mm, WRAP / 2) = *(u64 *)pgd_offset(r.mm, HVA);
	KUNIT_EXPECT_FALSE(test, host_lookup(r.mm, HVA + WRAP / 2, false, &hp));
}

static struct kunit_case hostpage_cases[] = {
	KUNIT_CASE(test_found),
	KUNIT_CASE(test_leaves),
	KUNIT_CASE(test_wrapped),
	{}
};

static struct kunit_suite hostpage_suite = {
	.name = "minihv_hostpage",
	.test_cases = hostpage_cases,
};

kunit_test_suite(hostpage_suite);
