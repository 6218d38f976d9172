// SPDX-License-Identifier: GPL-2.0
/*
 * Walks of a guest's page tables, in every paging mode, beside rules written down anew.
 * Entered from KUnit.
 * No locks.
 * AMD APM volume 2, "Page Translation and Protection"; Intel SDM volume 3, "Paging".
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "../minihv.h"

/* Guest memory is this suite's, not a process's: an access to it is a plain one. */
#undef user_read_access_begin
#undef user_read_access_end
#undef unsafe_get_user
#undef __uaccess_begin_nospec
#undef __uaccess_end
#define user_read_access_begin(p, n)	((void)(p), (void)(n), true)
#define user_read_access_end()		do { } while (0)
#define __uaccess_begin_nospec()	do { } while (0)
#define __uaccess_end()			do { } while (0)
#define unsafe_get_user(x, p, label)	do {				\
	if (0)								\
		goto label;						\
	(x) = *(typeof(*(p)) __force *)(p);				\
} while (0)

#define MEM_PAGES	64
#define MEM_SIZE	(MEM_PAGES * PAGE_SIZE)

static u8 *memory;		/* guest-physical address 0 on */
static unsigned int exchanges;
static bool lose_race;

static int mem_cmpxchg(struct mhv_vm *vm, gpa_t gpa, void *old, const void *new, unsigned int len)
{
	exchanges++;
	if (gpa + len > MEM_SIZE)
		return -EFAULT;
	if (lose_race || memcmp(memory + gpa, old, len))
		return -EAGAIN;
	memcpy(memory + gpa, new, len);
	return 0;
}

static int mem_read(struct mhv_vm *vm, gpa_t gpa, void *data, unsigned int len)
{
	if (gpa + len > MEM_SIZE)
		return -EFAULT;
	memcpy(data, memory + gpa, len);
	return 0;
}

#define mhv_gmem_cmpxchg mem_cmpxchg
#define mhv_gmem_read mem_read
#include "../mem/walk.c"

#include "kunit.h"

/*
 * The modes: levels of tables, where they are, and how an address is cut up.
 * Tables are at pages 1 (the root's) to 5; the leaf maps what is at 0x100000 or
 * beyond, where no memory need be.
 */
struct mode {
	const char *name;
	u64 cr0, cr4, efer;
	unsigned int levels;
	unsigned int entry;	/* bytes */
	unsigned int shift[6];	/* by level */
};

#define PE_PG	(X86_CR0_PE | X86_CR0_PG)

static const struct mode modes[] = {
	{ "32-bit", PE_PG, 0, 0, 2, 4, { 0, 12, 22 } },
	{ "32-bit PSE", PE_PG, X86_CR4_PSE, 0, 2, 4, { 0, 12, 22 } },
	{ "PAE", PE_PG, X86_CR4_PAE, 0, 3, 8, { 0, 12, 21, 30 } },
	{ "PAE NX", PE_PG, X86_CR4_PAE, EFER_NX, 3, 8, { 0, 12, 21, 30 } },
	{ "4-level", PE_PG, X86_CR4_PAE, EFER_LME | EFER_LMA, 4, 8, { 0, 12, 21, 30, 39 } },
	{ "4-level NX", PE_PG, X86_CR4_PAE, EFER_LME | EFER_LMA | EFER_NX, 4, 8,
	  { 0, 12, 21, 30, 39 } },
	{ "5-level", PE_PG, X86_CR4_PAE | X86_CR4_LA57, EFER_LME | EFER_LMA | EFER_NX, 5, 8,
	  { 0, 12, 21, 30, 39, 48 } },
};

struct rig {
	struct mhv_vcpu *vcpu;
	struct mhv_memslots *slots;
	struct mhv_memslot slot;
	const struct mode *m;
	unsigned int leaf;	/* level */
	u64 linear;
};

static struct rig *rig(struct kunit *test)
{
	struct rig *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct mhv_vm *vm = mhv_kunit_vm(test);

	KUNIT_ASSERT_NOT_NULL(test, r);
	memory = kunit_kzalloc(test, MEM_SIZE + PAGE_SIZE, GFP_KERNEL);
	r->slots = kunit_kzalloc(test, struct_size(r->slots, slot, 1), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory);
	KUNIT_ASSERT_NOT_NULL(test, r->slots);
	memory = PTR_ALIGN(memory, PAGE_SIZE);
	r->vcpu = mhv_kunit_vcpu(test, vm, 0);
	r->vcpu->maxphyaddr = 46;
	r->slot.npages = MEM_PAGES;
	r->slot.hva = (unsigned long)memory;
	r->slots->nr = 1;
	r->slots->slot[0] = &r->slot;
	r->slots->last = &r->slot;
	vm->slots = r->slots;
	lose_race = false;
	return r;
}

static u64 *entry_at(const struct rig *r, unsigned int level)
{
	unsigned int index = (r->linear >> r->m->shift[level]) & (PAGE_SIZE / r->m->entry - 1);
	unsigned int page = 1 + r->m->levels - level;

	if (r->m->levels == 3 && level == 3)
		index &= 3;
	return (u64 *)(memory + page * PAGE_SIZE + index * r->m->entry);
}

static u64 get(const struct rig *r, unsigned int level)
{
	return r->m->entry == 4 ? *(u32 *)entry_at(r, level) : *entry_at(r, level);
}

static void put(const struct rig *r, unsigned int level, u64 pte)
{
	if (r->m->entry == 4)
		*(u32 *)entry_at(r, level) = pte;
	else
		*entry_at(r, level) = pte;
}

/* Tables for @linear down to a leaf at a level; everything allowed. */
static void build(struct rig *r, const struct mode *m, u64 linear, unsigned int leaf, u64 target)
{
	unsigned int level;

	r->m = m;
	r->leaf = leaf;
	r->linear = linear;
	memset(memory, 0, MEM_SIZE);
	r->vcpu->state.cr0 = m->cr0;
	r->vcpu->state.cr4 = m->cr4;
	r->vcpu->state.efer = m->efer;
	r->vcpu->state.cr3 = PAGE_SIZE;
	r->vcpu->state.rflags = 2;
	for (level = m->levels; level > leaf; level--)
		put(r, level, (2 + m->levels - level) * PAGE_SIZE | GPTE_P |
		    (m->levels == 3 && level == 3 ? 0 : GPTE_W | GPTE_U));
	put(r, leaf, target | GPTE_P | GPTE_W | GPTE_U | (leaf > 1 ? GPTE_PS : 0));
}

static u64 linear_of(const struct mode *m)
{
	return m->levels == 5 ? 0x00ab123456789abcULL : m->levels == 4 ? 0x0000123456789abcULL :
	       0x56789abcULL;
}

static bool leaf_exists(const struct mode *m, unsigned int leaf)
{
	if (leaf == 1)
		return true;
	if (leaf == 2)
		return m->levels > 2 || (m->cr4 & X86_CR4_PSE);
	return leaf == 3 && m->levels > 3 && boot_cpu_has(X86_FEATURE_GBPAGES);
}

static void test_translate(struct kunit *test)
{
	struct rig *r = rig(test);
	struct mhv_walk walk;
	unsigned int i, leaf;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (leaf = 1; leaf <= 3; leaf++) {
			const struct mode *m = &modes[i];
			u64 size = BIT_ULL(m->shift[leaf]), linear = linear_of(m);

			if (!leaf_exists(m, leaf))
				continue;
			build(r, m, linear, leaf, 0x80000000);
			KUNIT_EXPECT_EQ_MSG(test, mhv_walk(r->vcpu, linear, 0, &walk), 0,
					    "%s, level %u", m->name, leaf);
			KUNIT_EXPECT_EQ(test, walk.gpa, 0x80000000 | (linear & (size - 1)));
			KUNIT_EXPECT_FALSE(test, walk.faulted);
		}
	}
	/* Without paging; and upper halves count in long mode alone. */
	build(r, &modes[0], 0, 1, 0);
	r->vcpu->state.cr0 = X86_CR0_PE;
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, 0xffffffff12345678ULL, 0, &walk), 0);
	KUNIT_EXPECT_EQ(test, walk.gpa, 0x12345678ULL);
	/* 4 MiB pages reach beyond 4 GiB. */
	build(r, &modes[1], 0x12345678, 2, 0x00400000 | 0x5 << 13);
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, 0x12345678, 0, &walk), 0);
	KUNIT_EXPECT_EQ(test, walk.gpa, 0x500400000ULL + 0x12345678 % 0x400000);
}

static void test_not_present(struct kunit *test)
{
	struct rig *r = rig(test);
	struct mhv_walk walk;
	unsigned int i, level;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (level = 1; level <= modes[i].levels; level++) {
			u64 linear = linear_of(&modes[i]);

			build(r, &modes[i], linear, 1, 0x80000000);
			/* Whatever else an absent entry holds. */
			put(r, level, ~GPTE_P);
			KUNIT_EXPECT_EQ(test, -EFAULT,
					mhv_walk(r->vcpu, linear, MHV_ACC_WRITE | MHV_ACC_USER,
						 &walk));
			KUNIT_EXPECT_TRUE(test, walk.faulted);
			KUNIT_EXPECT_EQ(test, walk.fault_addr, linear);
			KUNIT_EXPECT_EQ_MSG(test, walk.fault_error, 6U, "%s, level %u",
					    modes[i].name, level);
		}
	}
	/* A table that is not in memory. */
	build(r, &modes[4], linear_of(&modes[4]), 1, 0x80000000);
	put(r, 3, (u64)MEM_SIZE | GPTE_P | GPTE_W | GPTE_U);
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, r->linear, 0, &walk), -EFAULT);
	KUNIT_EXPECT_EQ(test, walk.fault_error, 0U);
}

/* Bits that must be 0 in an entry, by the manuals' figures; bit by bit. */
static u64 must_be_zero(const struct mode *m, unsigned int level, bool leaf,
			unsigned int maxphyaddr)
{
	u64 bits = 0;
	unsigned int i;

	if (m->levels == 2) {
		if (!leaf || level == 1)
			return 0;
		bits = BIT(21);		/* of a 4 MiB page */
		for (i = 13; i < 21; i++)
			if (32 + i - 13 >= maxphyaddr)
				bits |= BIT(i);
		return bits;
	}
	if (m->levels == 3 && level == 3)
		return 0;	/* a load of CR3 looks at them: test_pdptrs() */
	for (i = maxphyaddr; i < 52; i++)
		bits |= BIT_ULL(i);
	if (m->levels == 3)
		for (i = 52; i < 63; i++)
			bits |= BIT_ULL(i);
	if (!(m->efer & EFER_NX))
		bits |= BIT_ULL(63);
	if (level >= 4)
		bits |= BIT(7);
	if (leaf && level > 1)
		for (i = 13; i < m->shift[level]; i++)
			bits |= BIT_ULL(i);
	return bits;
}

static void reserved_level(struct kunit *test, struct rig *r, const struct mode *m,
			   unsigned int leaf, unsigned int level)
{
	unsigned int bit, top = m->entry * 8;
	u64 zero = must_be_zero(m, level, level == leaf, r->vcpu->maxphyaddr);
	struct mhv_walk walk;
	bool faulted;

	for (bit = 1; bit < top; bit++) {
		build(r, m, linear_of(m), leaf, 0);
		/* Bits that make it another kind of entry, or point elsewhere, are no question. */
		if (bit == 7 && level <= 3 && !(zero & BIT(7)))
			continue;
		if (level > leaf && BIT_ULL(bit) & GPTE_ADDR & ~zero)
			continue;
		put(r, level, get(r, level) | BIT_ULL(bit));
		faulted = mhv_walk(r->vcpu, r->linear, 0, &walk) &&
			  walk.fault_error == (MHV_ACC_PRESENT | MHV_ACC_RSVD);
		KUNIT_ASSERT_EQ_MSG(test, faulted, !!(zero & BIT_ULL(bit)),
				    "%s, leaf at %u, level %u, bit %u", m->name, leaf, level, bit);
	}
}

static void test_reserved(struct kunit *test)
{
	static const u8 widths[] = { 36, 40, 46, 52 };
	struct rig *r = rig(test);
	unsigned int i, leaf, level, w;

	for (w = 0; w < ARRAY_SIZE(widths); w++) {
		r->vcpu->maxphyaddr = widths[w];
		for (i = 0; i < ARRAY_SIZE(modes); i++) {
			for (leaf = 1; leaf <= 3; leaf++) {
				if (!leaf_exists(&modes[i], leaf))
					continue;
				for (level = leaf; level <= modes[i].levels; level++)
					reserved_level(test, r, &modes[i], leaf, level);
			}
		}
	}
}

/* ---- permissions: each combination, at each level ---- */

struct perms {
	bool w, u, nx;		/* of the entry looked at; the others allow everything */
	bool wp, smep, smap, ac;
	u32 access;
};

/* In the words of the manuals. */
static bool allowed(const struct perms *p)
{
	bool user = p->access & MHV_ACC_USER, write = p->access & MHV_ACC_WRITE;
	bool fetch = p->access & MHV_ACC_FETCH;

	if (fetch && p->nx)
		return false;
	if (user)
		return p->u && (!write || p->w);
	if (write && p->wp && !p->w)
		return false;
	if (!p->u)
		return true;
	if (fetch)
		return !p->smep;
	return !p->smap || (p->ac && !(p->access & MHV_ACC_IMPLICIT));
}

static void permission_case(struct kunit *test, struct rig *r, const struct mode *m,
			    unsigned int level, const struct perms *p)
{
	u64 pte, linear = linear_of(m);
	struct mhv_walk walk;
	u32 error;
	int ret;

	build(r, m, linear, 1, 0x80000000);
	pte = get(r, level) & ~(GPTE_W | GPTE_U);
	put(r, level, pte | (p->w ? GPTE_W : 0) | (p->u ? GPTE_U : 0) | (p->nx ? GPTE_NX : 0));
	r->vcpu->state.cr0 |= p->wp ? X86_CR0_WP : 0;
	r->vcpu->state.cr4 |= (p->smep ? X86_CR4_SMEP : 0) | (p->smap ? X86_CR4_SMAP : 0);
	r->vcpu->state.rflags |= p->ac ? X86_EFLAGS_AC : 0;
	ret = mhv_walk(r->vcpu, linear, p->access, &walk);
	KUNIT_ASSERT_EQ_MSG(test, !ret, allowed(p),
			    "%s level %u w%d u%d nx%d wp%d smep%d smap%d ac%d access %x", m->name,
			    level, p->w, p->u, p->nx, p->wp, p->smep, p->smap, p->ac, p->access);
	if (!ret)
		return;
	error = MHV_ACC_PRESENT | (p->access & (MHV_ACC_WRITE | MHV_ACC_USER));
	if (p->access & MHV_ACC_FETCH && ((m->efer & EFER_NX) || p->smep))
		error |= MHV_ACC_FETCH;
	KUNIT_ASSERT_EQ(test, walk.fault_error, error);
	/* A walk that faults sets no bit. */
	KUNIT_ASSERT_EQ(test, get(r, 1) & (GPTE_A | GPTE_D), 0ULL);
}

static void test_permissions(struct kunit *test)
{
	static const u32 accesses[] = {
		0, MHV_ACC_WRITE, MHV_ACC_FETCH, MHV_ACC_USER, MHV_ACC_USER | MHV_ACC_WRITE,
		MHV_ACC_USER | MHV_ACC_FETCH, MHV_ACC_IMPLICIT, MHV_ACC_IMPLICIT | MHV_ACC_WRITE,
	};
	struct rig *r = rig(test);
	unsigned int i, level, bits, a;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		for (level = 1; level <= modes[i].levels; level++) {
			if (modes[i].levels == 3 && level == 3)
				continue;
			for (bits = 0; bits < 128; bits++) {
				struct perms p = {
					.w = bits & 1, .u = bits & 2, .nx = bits & 4,
					.wp = bits & 8, .smep = bits & 16, .smap = bits & 32,
					.ac = bits & 64,
				};

				if (p.nx && !(modes[i].efer & EFER_NX))
					continue;
				for (a = 0; a < ARRAY_SIZE(accesses); a++) {
					p.access = accesses[a];
					permission_case(test, r, &modes[i], level, &p);
				}
			}
		}
	}
}

static void test_accessed_dirty(struct kunit *test)
{
	struct rig *r = rig(test);
	struct mhv_walk walk;
	unsigned int i, level;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct mode *m = &modes[i];

		build(r, m, linear_of(m), 1, 0x80000000);
		mhv_walk(r->vcpu, r->linear, 0, &walk);
		for (level = 1; level <= m->levels; level++)
			KUNIT_EXPECT_EQ_MSG(test, get(r, level) & (GPTE_A | GPTE_D),
					    m->levels == 3 && level == 3 ? 0 : GPTE_A,
					    "%s level %u", m->name, level);
		mhv_walk(r->vcpu, r->linear, MHV_ACC_WRITE, &walk);
		for (level = 1; level <= m->levels; level++)
			KUNIT_EXPECT_EQ(test, get(r, level) & GPTE_D, level == 1 ? GPTE_D : 0);
		/* Set already: nothing is written. */
		exchanges = 0;
		mhv_walk(r->vcpu, r->linear, MHV_ACC_WRITE, &walk);
		KUNIT_EXPECT_EQ(test, exchanges, 0U);
	}
	/* Others change the entry all the time: it ends. */
	build(r, &modes[4], linear_of(&modes[4]), 1, 0x80000000);
	lose_race = true;
	exchanges = 0;
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, r->linear, 0, &walk), 0);
	KUNIT_EXPECT_LE(test, exchanges, (unsigned int)MAX_AD_TRIES);
}

static void test_pdptrs(struct kunit *test)
{
	struct rig *r = rig(test);
	u64 *pdpt = (u64 *)(memory + 0x20);
	unsigned int bit;

	r->vcpu->maxphyaddr = 40;
	pdpt[0] = 0x1001;
	pdpt[1] = ~1ULL;	/* not present: anything */
	pdpt[2] = 0xfffffff001ULL | 0xe18;
	KUNIT_EXPECT_EQ(test, mhv_load_pdptrs(r->vcpu, 0x20), 0);
	KUNIT_EXPECT_EQ(test, r->vcpu->state.pdptr[2], pdpt[2]);
	for (bit = 1; bit < 64; bit++) {
		pdpt[3] = 1 | BIT_ULL(bit);
		KUNIT_EXPECT_EQ_MSG(test, mhv_load_pdptrs(r->vcpu, 0x20),
				    bit >= 40 || 0x1e6 & BIT_ULL(bit) ? -EINVAL : 0, "bit %u", bit);
	}
	KUNIT_EXPECT_EQ(test, mhv_load_pdptrs(r->vcpu, MEM_SIZE), -EINVAL);
	/* What the CPU has loaded counts, where it does so. */
	build(r, &modes[2], 0x56789abc, 1, 0x80000000);
	mhv_kunit_backend.caps.pdptr_cached = true;
	r->vcpu->state.pdptr[1] = 0;
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, r->linear, 0, &(struct mhv_walk){ 0 }), -EFAULT);
	r->vcpu->state.pdptr[1] = get(r, 3);
	put(r, 3, 0);
	KUNIT_EXPECT_EQ(test, mhv_walk(r->vcpu, r->linear, 0, &(struct mhv_walk){ 0 }), 0);
	mhv_kunit_backend.caps.pdptr_cached = false;
}

/* Bytes at the border of two pages, of which one may not be there. */
static void test_fetch(struct kunit *test)
{
	struct rig *r = rig(test);
	u64 linear = 0x0000123456789ff8ULL;
	struct mhv_walk walk;
	unsigned int n, i;
	u8 buf[15];

	build(r, &modes[4], linear, 1, 0x10000);
	for (i = 0; i < 0x2000; i++)
		memory[0x10000 + i] = i * 7;
	for (n = 1; n <= 8; n++) {
		memset(buf, 0xcc, sizeof(buf));
		KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, linear, buf, n, &walk), (int)n);
		KUNIT_EXPECT_EQ(test, memcmp(buf, memory + 0x10ff8, n), 0);
		KUNIT_EXPECT_EQ(test, buf[n], 0xcc);
	}
	/* The next page is not mapped. */
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, linear, buf, 15, &walk), 8);
	KUNIT_EXPECT_TRUE(test, walk.faulted);
	KUNIT_EXPECT_EQ(test, walk.fault_addr, linear + 8);
	/* And now it is. */
	entry_at(r, 1)[1] = 0x11000 | GPTE_P | GPTE_W | GPTE_U;
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, linear, buf, 15, &walk), 15);
	KUNIT_EXPECT_EQ(test, memcmp(buf, memory + 0x10ff8, 15), 0);
	/* The first byte's page has no memory, or is not mapped. */
	put(r, 1, (u64)MEM_SIZE | GPTE_P);
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, linear, buf, 15, &walk), -ENXIO);
	KUNIT_EXPECT_FALSE(test, walk.faulted);
	put(r, 1, 0);
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, linear, buf, 15, &walk), -EFAULT);
	KUNIT_EXPECT_TRUE(test, walk.faulted);
	/* Outside of long mode: a user's, which CR4.SMEP keeps from nobody but the kernel. */
	build(r, &modes[2], 0x56789000, 1, 0x10000);
	r->vcpu->state.cr4 |= X86_CR4_SMEP;
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, r->linear, buf, 15, &walk), -EFAULT);
	r->vcpu->state.seg[MHV_SS].attr |= 3 << 5;
	KUNIT_EXPECT_EQ(test, mhv_fetch(r->vcpu, r->linear, buf, 15, &walk), 15);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_translate),
	KUNIT_CASE(test_not_present),
	KUNIT_CASE(test_reserved),
	KUNIT_CASE(test_permissions),
	KUNIT_CASE(test_accessed_dirty),
	KUNIT_CASE(test_pdptrs),
	KUNIT_CASE(test_fetch),
	{}
};

static struct kunit_suite suite = { .name = "minihv_walk", .test_cases = cases };
kunit_test_suite(suite);
