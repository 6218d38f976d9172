// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page tables: edits beside a model that is a plain array, read back as the CPU reads them.
 * Entered from KUnit.
 * No locks but those of the code under test.
 * AMD APM volume 2, "Nested Paging".
 */
#include "../mem/mmu.c"

#include "kunit.h"

#define CHUNKS	4			/* large pages' worth of frames in each window */
#define FRAMES	(CHUNKS * LARGE_PAGES)
#define WINDOWS	3
#define REF(w, i)	((w) * FRAMES + (i))

/* Where the windows are: at 0, over the border of two 1 GiB tables, and far up. */
static const gfn_t window_base[WINDOWS] = { 0, BIT(18) - 2 * LARGE_PAGES, BIT_ULL(35) };

enum { REF_NONE, REF_READ, REF_WRITE };

struct ref {
	u8 state[WINDOWS * FRAMES];
	u8 level[WINDOWS * FRAMES];
};

struct rig {
	struct mhv_vm *vm;
	struct mhv_memslots *slots;
	struct mhv_memslot slot[WINDOWS];
	struct ref ref;
};

static void rig_free(struct kunit_resource *res)
{
	struct rig *r = res->data;

	mhv_mmu_destroy(r->vm);
}

static struct rig *rig(struct kunit *test)
{
	struct rig *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	unsigned int w;

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->vm = mhv_kunit_vm(test);
	r->slots = kunit_kzalloc(test, struct_size(r->slots, slot, WINDOWS), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r->slots);
	KUNIT_ASSERT_EQ(test, mhv_mmu_create(r->vm), 0);
	for (w = 0; w < WINDOWS; w++) {
		r->slot[w].base = window_base[w];
		r->slot[w].npages = FRAMES;
		r->slot[w].hva = (w + 1) * BIT(32);
		r->slot[w].id = w;
		r->slots->slot[w] = &r->slot[w];
	}
	r->slots->nr = WINDOWS;
	r->slots->last = &r->slot[0];
	r->vm->slots = r->slots;
	kunit_alloc_resource(test, NULL, rig_free, GFP_KERNEL, r);
	return r;
}

/* The host's frame behind a guest's: made up, but its large pages are large pages. */
static u64 host_pfn(unsigned int w, gfn_t gfn)
{
	return 0x100000 + w * 0x10000 + (gfn - window_base[w]);
}

/* Read the tables as the CPU does, with nothing of the code under test. */
static u64 cpu_walk(struct mhv_vm *vm, gfn_t gfn, unsigned int *level)
{
	u64 *table = vm->mmu.root, pte;

	for (*level = 4; ; (*level)--) {
		pte = table[(gfn >> 9 * (*level - 1)) & 511];
		if (!(pte & 1) || *level == 1 || (pte & BIT(7)))
			return pte;
		/* The CPU ANDs the permissions of all levels. */
		if ((pte & 7) != 7)
			return 0;
		table = __va(pte & 0x000ffffffffff000ULL);
	}
}

static void check_frame(struct kunit *test, struct rig *r, unsigned int w, unsigned int i)
{
	gfn_t gfn = window_base[w] + i;
	unsigned int level;
	u64 pte = cpu_walk(r->vm, gfn, &level), pfn;
	u8 state = r->ref.state[REF(w, i)];

	if (state == REF_NONE) {
		KUNIT_ASSERT_EQ_MSG(test, pte, 0ULL, "window %u frame %u", w, i);
		return;
	}
	pfn = ((pte & 0x000ffffffffff000ULL) >> 12) + (level == 2 ? gfn % 512 : 0);
	KUNIT_ASSERT_EQ_MSG(test, pfn, host_pfn(w, gfn), "window %u frame %u", w, i);
	KUNIT_ASSERT_EQ(test, level, (unsigned int)r->ref.level[REF(w, i)]);
	KUNIT_ASSERT_EQ(test, !!(pte & BIT(1)), state == REF_WRITE);
	KUNIT_ASSERT_EQ(test, pte & 5, 5ULL);
	KUNIT_ASSERT_EQ(test, pte & BIT_ULL(63), 0ULL);
}

static void check(struct kunit *test, struct rig *r)
{
	unsigned int w, i;

	for (w = 0; w < WINDOWS; w++) {
		for (i = 0; i < FRAMES; i++)
			check_frame(test, r, w, i);
	}
	/* Outside of the slots nothing is ever mapped. */
	KUNIT_ASSERT_EQ(test, cpu_walk(r->vm, FRAMES, &i), 0ULL);
	KUNIT_ASSERT_EQ(test, cpu_walk(r->vm, window_base[1] - 1, &i), 0ULL);
	KUNIT_ASSERT_EQ(test, cpu_walk(r->vm, window_base[2] + FRAMES, &i), 0ULL);
	KUNIT_ASSERT_TRUE(test, list_empty(&r->vm->mmu.freed));
}

static long count_tables(u64 *table, unsigned int level)
{
	unsigned int i;
	long n = 1;

	for (i = 0; level > 1 && i < 512; i++)
		if (table[i] && !(table[i] & BIT(7)))
			n += count_tables(__va(table[i] & 0x000ffffffffff000ULL), level - 1);
	return n;
}

/* A fault whose host page is a fact, up to and with the entry made. */
static int map_for(struct rig *r, unsigned int w, gfn_t gfn, bool write, bool writable, bool large,
		   bool fetch)
{
	struct host_page hp = {
		.pfn = host_pfn(w, gfn), .level = large ? LEVEL_LARGE : LEVEL_PAGE,
		.writable = writable,
	};
	struct fault f = {
		.vm = r->vm, .slots = r->slots, .slot = &r->slot[w], .gfn = gfn,
		.hva = r->slot[w].hva + ((gfn - window_base[w]) << PAGE_SHIFT),
		.seq = r->vm->mmu.seq, .write = write, .fetch = fetch,
	};
	int ret = map_valid(&f, &hp);

	if (ret == -ENOSPC) {
		ret = fill_tables(&f);
		if (!ret)
			ret = map_valid(&f, &hp);
	}
	if (ret == -ESTALE)
		zap_stale(&f);
	while (f.nr_tables)
		free_page((unsigned long)f.tables[--f.nr_tables]);
	return ret;
}

static int map(struct rig *r, unsigned int w, gfn_t gfn, bool write, bool writable, bool large)
{
	return map_for(r, w, gfn, write, writable, large, false);
}

static void ref_fill(struct rig *r, unsigned int w, unsigned int i, unsigned int n, u8 state,
		     u8 level)
{
	memset(&r->ref.state[REF(w, i)], state, n);
	memset(&r->ref.level[REF(w, i)], level, n);
}

/* Whether any frame of the large page around @i is mapped small; whether all of it is large. */
static bool has_small(struct rig *r, unsigned int w, unsigned int i)
{
	const u8 *level = &r->ref.level[REF(w, i & ~511U)];

	return memchr(level, LEVEL_PAGE, LARGE_PAGES);
}

static void step_map(struct kunit *test, struct rig *r, unsigned int w, unsigned int i, u32 x)
{
	bool write = x & 1, writable = write || x & 2, large = x & 4, logged = r->slot[w].dirty;
	u8 *state = &r->ref.state[REF(w, i)], was = *state, level = r->ref.level[REF(w, i)];
	int ret = map(r, w, window_base[w] + i, write, writable, large);
	u8 gives = writable && (write || !logged) ? REF_WRITE : REF_READ;

	if (level == LEVEL_LARGE && !(large && !logged) && write && was == REF_READ) {
		/* A large page that may only be read, and a small one to be written. */
		KUNIT_ASSERT_EQ(test, ret, -ESTALE);
		ref_fill(r, w, i & ~511U, LARGE_PAGES, REF_NONE, 0);
		return;
	}
	KUNIT_ASSERT_EQ(test, ret, (int)MHV_FAULT_FIXED);
	if (level == LEVEL_LARGE) {
		if (large && !logged && gives > was)
			memset(&r->ref.state[REF(w, i & ~511U)], gives, LARGE_PAGES);
	} else if (large && !logged && !has_small(r, w, i) && was == REF_NONE &&
		   /* A table that is there already, if empty, keeps its pages small. */
		   cpu_walk(r->vm, window_base[w] + i, &(unsigned int){ 0 }) & BIT(7)) {
		ref_fill(r, w, i & ~511U, LARGE_PAGES, gives, LEVEL_LARGE);
	} else {
		*state = max(was, gives);
		r->ref.level[REF(w, i)] = LEVEL_PAGE;
	}
	if (gives == REF_WRITE && logged && was != REF_WRITE)
		KUNIT_ASSERT_TRUE(test, test_bit(i, r->slot[w].dirty));
}

/* A zap takes whole large pages. */
static void ref_zap(struct rig *r, unsigned int w, unsigned int start, unsigned int end)
{
	unsigned int i;

	for (i = start; i < end; i++) {
		if (r->ref.level[REF(w, i)] == LEVEL_LARGE)
			ref_fill(r, w, i & ~511U, LARGE_PAGES, REF_NONE, 0);
		else
			ref_fill(r, w, i, 1, REF_NONE, 0);
	}
}

static void step_zap(struct rig *r, unsigned int w, unsigned int start, unsigned int end)
{
	write_lock(&r->vm->mmu_lock);
	zap_range(r->vm, window_base[w] + start, window_base[w] + end, false);
	write_unlock(&r->vm->mmu_lock);
	ref_zap(r, w, start, end);
}

static void step(struct kunit *test, struct rig *r, u64 *seed)
{
	u32 x = mhv_kunit_random(seed), y = mhv_kunit_random(seed);
	unsigned int w = x % WINDOWS, i = (x >> 8) % FRAMES, n = 1 + (y >> 8) % 700;

	if ((y & 15) < 13)
		step_map(test, r, w, i, y >> 4);
	else if ((y & 15) < 15)
		step_zap(r, w, i, min_t(unsigned int, FRAMES, i + n));
	else
		step_zap(r, w, i & ~511U,
			 min_t(unsigned int, FRAMES, (i & ~511U) + (n / 350 + 1) * 512));
}

static void test_reference(struct kunit *test)
{
	struct rig *r = rig(test);
	u64 seed = 0x77aa, gen;
	unsigned int i;

	for (i = 0; i < 3000; i++) {
		step(test, r, &seed);
		if (i % 50 == 0)
			check(test, r);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r->vm->mmu.pages),
			count_tables(r->vm->mmu.root, 4));
	/* What is taken out is flushed; nothing taken out, nothing flushed. */
	gen = atomic64_read(&r->vm->tlb_gen);
	for (i = 0; i < WINDOWS; i++)
		step_zap(r, i, 0, FRAMES);
	KUNIT_EXPECT_GT(test, (u64)atomic64_read(&r->vm->tlb_gen), gen);
	gen = atomic64_read(&r->vm->tlb_gen);
	step_zap(r, 0, 0, FRAMES);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&r->vm->tlb_gen), gen);
	check(test, r);
}

/* With the dirty log on: small pages, read-only until written, each write logged once. */
static void test_dirty_log(struct kunit *test)
{
	struct rig *r = rig(test);
	unsigned long bits[FRAMES / BITS_PER_LONG];
	u64 seed = 0xd1e7, gen;
	unsigned int i;

	for (i = 0; i < 300; i++)
		step_map(test, r, 0, mhv_kunit_random(&seed) % FRAMES, mhv_kunit_random(&seed));
	r->slot[0].dirty = kunit_kzalloc(test, FRAMES / 8, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r->slot[0].dirty);
	gen = atomic64_read(&r->vm->tlb_gen);
	mhv_mmu_start_logging(r->vm, &r->slot[0]);
	KUNIT_EXPECT_GT(test, (u64)atomic64_read(&r->vm->tlb_gen), gen);
	for (i = 0; i < FRAMES; i++) {
		if (r->ref.level[i] == LEVEL_LARGE)
			ref_fill(r, 0, i & ~511U, LARGE_PAGES, REF_NONE, 0);
		else if (r->ref.state[i] == REF_WRITE)
			r->ref.state[i] = REF_READ;
	}
	check(test, r);
	for (i = 0; i < 500; i++)
		step_map(test, r, 0, mhv_kunit_random(&seed) % FRAMES, mhv_kunit_random(&seed));
	check(test, r);
	memset(bits, 0xff, sizeof(bits));
	mhv_mmu_collect_dirty(r->vm, &r->slot[0], 0, ARRAY_SIZE(bits), bits);
	for (i = 0; i < FRAMES; i++) {
		KUNIT_ASSERT_EQ(test, test_bit(i, bits), r->ref.state[i] == REF_WRITE);
		if (r->ref.state[i] == REF_WRITE)
			r->ref.state[i] = REF_READ;
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(r->slot[0].dirty, 0, FRAMES / 8));
	check(test, r);
	/* Only the bits that are asked for. */
	set_bit(3, r->slot[0].dirty);
	set_bit(4, r->slot[0].dirty);
	bits[0] = BIT(4) | BIT(5);
	mhv_mmu_collect_dirty(r->vm, &r->slot[0], 0, 1, bits);
	KUNIT_EXPECT_EQ(test, bits[0], BIT(4));
	KUNIT_EXPECT_EQ(test, r->slot[0].dirty[0], BIT(3));
	r->slot[0].dirty = NULL;
}

/* Large pages: where the slot has all of it, both sides are aligned alike, nothing is logged. */
static void test_large(struct kunit *test)
{
	struct rig *r = rig(test);
	unsigned int level;

	map(r, 0, 513, true, true, true);
	cpu_walk(r->vm, 1023, &level);
	KUNIT_EXPECT_EQ(test, level, 2U);
	/* Not beyond the slot's end. */
	r->slot[0].npages = 1500;
	map(r, 0, 1030, true, true, true);
	cpu_walk(r->vm, 1030, &level);
	KUNIT_EXPECT_EQ(test, level, 1U);
	/* Not before its begin. */
	r->slot[1].base += 5;
	r->slot[1].hva += 5 << PAGE_SHIFT;
	map(r, 1, window_base[1] + 6, true, true, true);
	cpu_walk(r->vm, window_base[1] + 6, &level);
	KUNIT_EXPECT_EQ(test, level, 1U);
	/* Not if the VMM has it shifted. */
	r->slot[2].hva += PAGE_SIZE;
	map(r, 2, window_base[2] + 6, true, true, true);
	cpu_walk(r->vm, window_base[2] + 6, &level);
	KUNIT_EXPECT_EQ(test, level, 1U);
	/* A zap of one frame of it takes it out whole. */
	write_lock(&r->vm->mmu_lock);
	zap_range(r->vm, 700, 701, false);
	write_unlock(&r->vm->mmu_lock);
	KUNIT_EXPECT_EQ(test, cpu_walk(r->vm, 513, &level), 0ULL);
}

/* Where code in large pages can crash the CPU: a fetch has the page mapped small. */
static void test_no_code_in_large(struct kunit *test)
{
	struct mhv_pte_format *fmt = (struct mhv_pte_format *)pte_format(), saved = *fmt;
	struct rig *r = rig(test);
	unsigned int level;

	fmt->exec = BIT(2);
	fmt->huge_lacks = BIT(2);
	KUNIT_EXPECT_EQ(test, map(r, 0, 700, true, true, true), (int)MHV_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, cpu_walk(r->vm, 700, &level) & 7, 3ULL);
	KUNIT_EXPECT_EQ(test, level, 2U);
	/* Taken out, and at the next try mapped anew. */
	KUNIT_EXPECT_EQ(test, map_for(r, 0, 700, false, true, true, true), -ESTALE);
	KUNIT_EXPECT_EQ(test, map_for(r, 0, 700, false, true, true, true), (int)MHV_FAULT_FIXED);
	KUNIT_EXPECT_EQ(test, cpu_walk(r->vm, 700, &level) & 7, 7ULL);
	KUNIT_EXPECT_EQ(test, level, 1U);
	/* Data beside it then is in small pages, too. */
	KUNIT_EXPECT_EQ(test, map(r, 0, 701, true, true, true), (int)MHV_FAULT_FIXED);
	cpu_walk(r->vm, 701, &level);
	KUNIT_EXPECT_EQ(test, level, 1U);
	*fmt = saved;
}

/* What was looked up before an invalidation is not mapped after it. */
static void test_invalidation(struct kunit *test)
{
	struct rig *r = rig(test);
	struct host_page hp = { .pfn = host_pfn(0, 7), .level = LEVEL_PAGE, .writable = true };
	struct fault f = {
		.vm = r->vm, .slots = r->slots, .slot = &r->slot[0], .gfn = 7,
		.hva = r->slot[0].hva + 7 * PAGE_SIZE, .write = true,
	};

	r->vm->mmu.seq = 1;
	KUNIT_EXPECT_EQ(test, map_valid(&f, &hp), -EAGAIN);
	f.seq = 1;
	invalidation_begin(&r->vm->mmu, f.hva, f.hva + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, map_valid(&f, &hp), -EAGAIN);
	/* Two at a time count as one that spans both. */
	invalidation_begin(&r->vm->mmu, f.hva + 10 * PAGE_SIZE, f.hva + 20 * PAGE_SIZE);
	f.hva += 5 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, map_valid(&f, &hp), -EAGAIN);
	f.hva += 15 * PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, map_valid(&f, &hp), -ENOSPC);
	r->vm->mmu.invalidating = 0;
	f.slots = NULL;
	KUNIT_EXPECT_EQ(test, map_valid(&f, &hp), -EAGAIN);
}

/* Accessed bits: of the frames asked about alone. */
static void test_accessed(struct kunit *test)
{
	struct rig *r = rig(test);

	map(r, 0, 10, false, true, false);
	map(r, 0, 12, false, true, false);
	KUNIT_EXPECT_TRUE(test, for_leaves(r->vm, 10, 11, leaf_young));
	KUNIT_EXPECT_FALSE(test, for_leaves(r->vm, 11, 12, leaf_young));
	KUNIT_EXPECT_TRUE(test, for_leaves(r->vm, 0, 11, leaf_make_old));
	KUNIT_EXPECT_FALSE(test, for_leaves(r->vm, 10, 11, leaf_young));
	KUNIT_EXPECT_TRUE(test, for_leaves(r->vm, 10, 13, leaf_young));
}

/* From virtual addresses to frames, over slots that share them. */
static gfn_t op_seen[8];
static unsigned int op_nr;

static bool op_note(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op)
{
	if (op_nr + 2 <= ARRAY_SIZE(op_seen)) {
		op_seen[op_nr++] = start;
		op_seen[op_nr++] = end;
	}
	return true;
}

static void test_hva(struct kunit *test)
{
	struct rig *r = rig(test);
	struct mhv_hva_ref refs[WINDOWS];
	struct hva_op op = { .vm = r->vm, .fn = op_note };
	unsigned int i;

	r->slot[0].hva = 0x100000;
	r->slot[1].hva = 0x101000;
	r->slot[2].hva = BIT(32);
	for (i = 0; i < WINDOWS; i++) {
		refs[i].slot = &r->slot[i];
		refs[i].max_end = r->slot[i].hva + (FRAMES << PAGE_SHIFT);
	}
	r->slots->by_hva = refs;
	/* One byte of a page is the page; both slots that have it. */
	op.start = 0x101001;
	op.end = 0x101002;
	op_nr = 0;
	KUNIT_EXPECT_TRUE(test, hva_op_run(&op));
	KUNIT_ASSERT_EQ(test, op_nr, 4U);
	KUNIT_EXPECT_EQ(test, op_seen[0], window_base[1]);
	KUNIT_EXPECT_EQ(test, op_seen[1], window_base[1] + 1);
	KUNIT_EXPECT_EQ(test, op_seen[2], 1ULL);
	KUNIT_EXPECT_EQ(test, op_seen[3], 2ULL);
	/* Between slots nobody. */
	op.start = BIT(31);
	op.end = BIT(32);
	op_nr = 0;
	KUNIT_EXPECT_FALSE(test, hva_op_run(&op));
	KUNIT_EXPECT_EQ(test, op_nr, 0U);
	/* A slot that leaves is still seen. */
	r->vm->mmu.leaving = &r->slot[2];
	r->slots->nr = 2;
	op.start = BIT(32) + PAGE_SIZE;
	op.end = BIT(32) + 2 * PAGE_SIZE;
	KUNIT_EXPECT_TRUE(test, hva_op_run(&op));
	KUNIT_EXPECT_EQ(test, op_seen[0], window_base[2] + 1);
	r->vm->mmu.leaving = NULL;
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_reference),
	KUNIT_CASE(test_dirty_log),
	KUNIT_CASE(test_large),
	KUNIT_CASE(test_no_code_in_large),
	KUNIT_CASE(test_invalidation),
	KUNIT_CASE(test_accessed),
	KUNIT_CASE(test_hva),
	{}
};

static struct kunit_suite suite = { .name = "minihv_mmu", .test_cases = cases };
kunit_test_suite(suite);
