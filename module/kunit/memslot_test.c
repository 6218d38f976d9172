// SPDX-License-Identifier: GPL-2.0
/*
 * Memslots: requests beside a model that is a plain list, and what each generation must be.
 * Entered from KUnit.
 * No locks.
 * Linux, Documentation/virt/kvm/api.rst: KVM_SET_USER_MEMORY_REGION.
 */
#include "../mem/memslot.c"

#include "kunit.h"

#define NR_REF	12	/* slot ids in use */
#define FRAMES	256	/* guest frames looked at */
#define HVA	0x7f0000000000UL

struct ref_slot {
	gfn_t base;
	unsigned long npages;	/* 0: none */
	unsigned long hva;
	u32 flags;
};

static void vm_teardown(struct kunit_resource *res)
{
	struct mhv_vm *vm = res->data;

	mhv_mmu_destroy(vm);
	mhv_memslots_destroy(vm);
}

static struct mhv_vm *slots_vm(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);

	KUNIT_ASSERT_EQ(test, mhv_memslots_init(vm), 0);
	KUNIT_ASSERT_EQ(test, mhv_mmu_create(vm), 0);
	kunit_alloc_resource(test, NULL, vm_teardown, GFP_KERNEL, vm);
	return vm;
}

static int set(struct mhv_vm *vm, u32 id, u32 flags, gfn_t base, unsigned long npages,
	       unsigned long hva)
{
	struct kvm_userspace_memory_region mem = {
		.slot = id, .flags = flags, .guest_phys_addr = base << PAGE_SHIFT,
		.memory_size = npages << PAGE_SHIFT, .userspace_addr = hva,
	};

	return mhv_memslot_set(vm, &mem);
}

/* Sorted, without overlap, each in both orders and by its id. */
static void check_generation(struct kunit *test, struct mhv_vm *vm)
{
	const struct mhv_memslots *slots = vm->slots;
	unsigned long max_end = 0;
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		const struct mhv_memslot *slot = slots->slot[i], *h = slots->by_hva[i].slot;

		KUNIT_ASSERT_NE(test, slot->npages, 0UL);
		KUNIT_ASSERT_PTR_EQ(test, xa_load(slots->ids, slot->id), (void *)slot);
		KUNIT_ASSERT_EQ(test, !!slot->dirty, !!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES));
		if (i) {
			const struct mhv_memslot *prev = slots->slot[i - 1];

			KUNIT_ASSERT_LE(test, prev->base + prev->npages, slot->base);
			KUNIT_ASSERT_LE(test, slots->by_hva[i - 1].slot->hva, h->hva);
		}
		max_end = max(max_end, h->hva + (h->npages << PAGE_SHIFT));
		KUNIT_ASSERT_EQ(test, slots->by_hva[i].max_end, max_end);
		KUNIT_ASSERT_PTR_EQ(test, xa_load(slots->ids, h->id), (void *)h);
	}
	KUNIT_ASSERT_LT(test, slots->nr_older, (unsigned int)MAX_OLDER);
}

static const struct ref_slot *ref_find(const struct ref_slot *ref, gfn_t gfn)
{
	unsigned int i;

	for (i = 0; i < NR_REF; i++)
		if (ref[i].npages && gfn >= ref[i].base && gfn < ref[i].base + ref[i].npages)
			return &ref[i];
	return NULL;
}

static void check_lookup(struct kunit *test, struct mhv_vm *vm, const struct ref_slot *ref)
{
	gfn_t gfn;

	for (gfn = 0; gfn < FRAMES; gfn++) {
		const struct mhv_memslot *slot = mhv_memslot_find(vm, gfn);
		const struct ref_slot *want = ref_find(ref, gfn);
		unsigned long hva;

		KUNIT_ASSERT_EQ_MSG(test, !!slot, !!want, "frame %llu", gfn);
		if (!want) {
			KUNIT_ASSERT_EQ(test, mhv_gfn_to_hva(vm, gfn, false), 0UL);
			continue;
		}
		hva = want->hva + ((gfn - want->base) << PAGE_SHIFT);
		KUNIT_ASSERT_EQ(test, (long)slot->id, want - ref);
		KUNIT_ASSERT_EQ(test, mhv_gfn_to_hva(vm, gfn, false), hva);
		KUNIT_ASSERT_EQ(test, mhv_gfn_to_hva(vm, gfn, true),
				want->flags & KVM_MEM_READONLY ? 0 : hva);
	}
}

static int ref_set(struct ref_slot *ref, u32 id, const struct ref_slot *new)
{
	struct ref_slot *old = &ref[id];
	unsigned int i;

	if (!new->npages) {
		if (!old->npages)
			return -EINVAL;
		old->npages = 0;
		return 0;
	}
	if (old->npages && (old->npages != new->npages || old->hva != new->hva ||
			    (old->flags ^ new->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	for (i = 0; i < NR_REF; i++)
		if (i != id && ref[i].npages && ref[i].base < new->base + new->npages &&
		    new->base < ref[i].base + ref[i].npages)
			return -EEXIST;
	*old = *new;
	return 0;
}

static void test_reference(struct kunit *test)
{
	struct mhv_vm *vm = slots_vm(test);
	struct ref_slot ref[NR_REF] = {}, new;
	unsigned int i, done = 0;
	u64 seed = 0x5107;

	for (i = 0; i < 1500; i++) {
		u32 x = mhv_kunit_random(&seed), id = x % NR_REF;

		new = (struct ref_slot) {
			.base = (x >> 8) % (FRAMES - 40), .npages = (x >> 16) % 40,
			/* Slots may share virtual addresses. */
			.hva = HVA + ((x >> 5) % 64 << PAGE_SHIFT), .flags = x >> 28 & 3,
		};
		if (ref[id].npages && x & 0x300) {	/* mostly what can be done to it */
			new.npages = ref[id].npages;
			new.hva = ref[id].hva;
			new.flags = (new.flags & ~KVM_MEM_READONLY) |
				    (ref[id].flags & KVM_MEM_READONLY);
			if (x & 0x100)
				new.base = ref[id].base;
		}
		KUNIT_ASSERT_EQ(test, set(vm, id, new.flags, new.base, new.npages, new.hva),
				ref_set(ref, id, &new));
		done += ref[id].npages != 0;
		check_generation(test, vm);
		if (i % 8 == 0)
			check_lookup(test, vm, ref);
	}
	KUNIT_EXPECT_GT(test, done, 100U);
}

/* The first and the last frame of a slot are its own, those beside it are not. */
static void test_edges(struct kunit *test)
{
	struct mhv_vm *vm = slots_vm(test);
	unsigned int i;
	gfn_t base;

	for (i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, set(vm, i, 0, 10 * i + 10, 3, HVA), 0);
	for (i = 0; i < 64; i++) {
		base = 10 * i + 10;
		/* The hint of the search before it must not matter. */
		KUNIT_EXPECT_NULL(test, (void *)mhv_memslot_find(vm, base - 1));
		KUNIT_EXPECT_EQ(test, mhv_memslot_find(vm, base)->id, i);
		KUNIT_EXPECT_EQ(test, mhv_memslot_find(vm, base + 2)->id, i);
		KUNIT_EXPECT_NULL(test, (void *)mhv_memslot_find(vm, base + 3));
		KUNIT_EXPECT_EQ(test, mhv_memslot_find(vm, 10 * (63 - i) + 10)->id, 63 - i);
		KUNIT_EXPECT_NULL(test, (void *)mhv_memslot_find(vm, ~0ULL));
		KUNIT_EXPECT_NULL(test, (void *)mhv_memslot_find(vm, 0));
	}
	/* Touching is no overlap; one frame is. */
	KUNIT_EXPECT_EQ(test, set(vm, 100, 0, 13, 7, HVA), 0);
	KUNIT_EXPECT_EQ(test, set(vm, 101, 0, 22, 2, HVA), -EEXIST);
	KUNIT_EXPECT_EQ(test, set(vm, 101, 0, 29, 2, HVA), -EEXIST);
	KUNIT_EXPECT_EQ(test, set(vm, 101, 0, 0, 11, HVA), -EEXIST);
	KUNIT_EXPECT_EQ(test, set(vm, 101, 0, 0, 10, HVA), 0);
}

static void test_refused(struct kunit *test)
{
	static const struct kvm_userspace_memory_region bad[] = {
		{ .memory_size = PAGE_SIZE, .flags = 4 },
		{ .memory_size = PAGE_SIZE, .flags = ~0U },
		{ .memory_size = PAGE_SIZE, .slot = MHV_NR_MEMSLOTS },
		{ .memory_size = PAGE_SIZE, .slot = 1 << 16 },
		{ .memory_size = PAGE_SIZE, .slot = ~0U },
		{ .memory_size = PAGE_SIZE, .guest_phys_addr = 1 },
		{ .memory_size = PAGE_SIZE, .userspace_addr = 1 },
		{ .memory_size = PAGE_SIZE + 1 },
		{ .memory_size = 2 * PAGE_SIZE, .guest_phys_addr = ~0ULL & PAGE_MASK },
		{ .memory_size = ~0ULL & PAGE_MASK },
		{ .memory_size = PAGE_SIZE, .userspace_addr = 0xffff800000000000ULL },
		{ .memory_size = PAGE_SIZE, .guest_phys_addr = BIT_ULL(52) },
		{ .memory_size = PAGE_SIZE * BIT(31) },
		{ .memory_size = 0 },
	};
	struct mhv_vm *vm = slots_vm(test);
	u64 generation = vm->slots->generation;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, mhv_memslot_set(vm, &bad[i]), -EINVAL, "row %u", i);
	KUNIT_EXPECT_EQ(test, vm->slots->generation, generation);
}

/* The bitmap goes with the slot when it moves, and away with the flag. */
static void test_dirty(struct kunit *test)
{
	struct mhv_vm *vm = slots_vm(test);
	const struct mhv_memslot *slot;
	unsigned long *dirty;

	KUNIT_ASSERT_EQ(test, set(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 100, 130, HVA), 0);
	slot = mhv_memslot_find(vm, 100);
	dirty = slot->dirty;
	KUNIT_EXPECT_EQ(test, dirty_words(slot), 3UL);
	mhv_mark_dirty(vm, slot, 100);
	mhv_mark_dirty(vm, slot, 229);
	KUNIT_EXPECT_EQ(test, dirty[0], BIT(0));
	KUNIT_EXPECT_EQ(test, dirty[2], BIT(1));
	KUNIT_ASSERT_EQ(test, set(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 300, 130, HVA), 0);
	KUNIT_EXPECT_PTR_EQ(test, mhv_memslot_find(vm, 300)->dirty, dirty);
	KUNIT_EXPECT_EQ(test, dirty[0], BIT(0));
	KUNIT_ASSERT_EQ(test, set(vm, 0, 0, 300, 130, HVA), 0);
	KUNIT_EXPECT_NULL(test, mhv_memslot_find(vm, 300)->dirty);
	vm->manual_dirty_log = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	KUNIT_ASSERT_EQ(test, set(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 300, 130, HVA), 0);
	dirty = mhv_memslot_find(vm, 300)->dirty;
	KUNIT_EXPECT_EQ(test, dirty[1], ~0UL);
	KUNIT_EXPECT_EQ(test, dirty[2], 3UL);	/* and no bit beyond the slot */
}

/* A log that could not be given to userspace is there the next time. */
static void test_get_fault(struct kunit *test)
{
	struct mhv_vm *vm = slots_vm(test);
	struct kvm_dirty_log log = { .dirty_bitmap = (void __user *)8 };
	const struct mhv_memslot *slot;

	KUNIT_ASSERT_EQ(test, set(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 100, 5000, HVA), 0);
	slot = mhv_memslot_find(vm, 100);
	mhv_mark_dirty(vm, slot, 100);
	mhv_mark_dirty(vm, slot, 100 + 63 * BITS_PER_LONG);
	mhv_mark_dirty(vm, slot, 100 + 64 * BITS_PER_LONG);
	KUNIT_EXPECT_EQ(test, mhv_dirty_log_get(vm, &log), -EFAULT);
	KUNIT_EXPECT_EQ(test, slot->dirty[0], 1UL);
	KUNIT_EXPECT_EQ(test, slot->dirty[63], 1UL);
	KUNIT_EXPECT_EQ(test, slot->dirty[64], 1UL);
}

static void test_clear_valid(struct kunit *test)
{
	struct mhv_memslot slot = { .npages = 130 };
	static const struct {
		u64 first;
		u32 num;
		bool valid;
	} rows[] = {
		{ 0, 130, true }, { 0, 64, true }, { 0, 0, true }, { 64, 66, true },
		{ 128, 2, true }, { 64, 64, true },
		{ 0, 131, false }, { 0, 65, false }, { 1, 64, false },
		{ 64, 128, false }, { 128, 1, false }, { 192, 0, false }, { ~63ULL, 64, false },
		{ 0, ~0U, false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kvm_clear_dirty_log log = {
			.first_page = rows[i].first, .num_pages = rows[i].num
		};

		KUNIT_EXPECT_EQ_MSG(test, clear_valid(&slot, &log), rows[i].valid, "row %u", i);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_reference),
	KUNIT_CASE(test_edges),
	KUNIT_CASE(test_refused),
	KUNIT_CASE(test_dirty),
	KUNIT_CASE(test_get_fault),
	KUNIT_CASE(test_clear_valid),
	{}
};

static struct kunit_suite suite = { .name = "minihv_memslot", .test_cases = cases };
kunit_test_suite(suite);
