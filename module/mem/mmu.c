// SPDX-License-Identifier: GPL-2.0
/*
 * Nested page tables: made on demand, kept coherent with the VMM's own page tables.
 * Entered from nested page faults, memslot changes, the dirty log, and the kernel's MMU notifier.
 * mmu_lock: read to add entries and to set or clear bits of one; write to take entries out.
 * AMD APM volume 2, "Nested Paging"; Intel SDM volume 3, "The Extended Page Table Mechanism".
 *
 * No reference to a host page is kept.  An entry is good for as long as the VMM's own page table
 * maps the same page with the same permission, and the MMU notifier says when that ends.  The race
 * between looking a page up and mapping it is closed by mmu.seq: read before the look-up, compared
 * under mmu_lock before the entry is made.
 */
#include <linux/mm.h>
#include <linux/mem_encrypt.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <asm/pgtable.h>

#include "backend.h"
#include "compat.h"
#include "hostpage.h"

#define LEVEL_BITS	9
#define LEVEL_ENTRIES	BIT(LEVEL_BITS)

#define LARGE_PAGES	BIT(LEVEL_BITS)		/* small pages in a large one */

/* Frames that are zapped or protected before another may have mmu_lock. */
#define CHUNK_PAGES	BIT(2 * LEVEL_BITS)

#define MAX_LEVELS	5

/* Attempts before the guest is entered again to try anew: it faults again. */
#define MAX_TRIES	4

#define PTE_ADDR	GENMASK_ULL(51, PAGE_SHIFT)

/**
 * struct fault - a nested fault being handled
 * @vm: the VM
 * @slots: the generation in which @slot was found
 * @slot: where the frame is
 * @gfn: the guest frame
 * @hva: its virtual address in the VMM
 * @seq: mmu.seq before the host's page was looked up
 * @write: the guest writes
 * @fetch: the guest executes it
 * @need: tables missing on the way, when map_page() says -ENOSPC
 * @nr_tables: how many are in @tables
 * @tables: zeroed pages to make tables of, allocated outside of mmu_lock
 */
struct fault {
	struct mhv_vm *vm;
	struct mhv_memslots *slots;
	const struct mhv_memslot *slot;
	gfn_t gfn;
	unsigned long hva;
	unsigned long seq;
	bool write;
	bool fetch;
	u8 need;
	u8 nr_tables;
	u64 *tables[MAX_LEVELS];
};

static const struct mhv_pte_format *pte_format(void)
{
	return &mhv_backend->caps.pte;
}

static unsigned int table_index(gfn_t gfn, unsigned int level)
{
	return (gfn >> (LEVEL_BITS * (level - 1))) & (LEVEL_ENTRIES - 1);
}

/* Frames that an entry of this level covers. */
static gfn_t level_pages(unsigned int level)
{
	return 1ULL << (LEVEL_BITS * (level - 1));
}

static bool is_leaf(u64 pte, unsigned int level)
{
	return level == LEVEL_PAGE || (pte & pte_format()->huge);
}

static u64 *pte_table(u64 pte)
{
	return __va(__sme_clr(pte) & PTE_ADDR);
}

static u64 *table_alloc(void)
{
	return (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

static void table_count(struct mhv_mmu *mmu, u64 *table, int n)
{
	atomic_long_add(n, &mmu->pages);
	mod_lruvec_page_state(virt_to_page(table), NR_SECONDARY_PAGETABLE, n);
}

/* ---- flushing and freeing ---- */

/**
 * mhv_mmu_flush - make every vCPU forget its cached translations
 * @vm: the VM
 *
 * When it returns, no CPU uses a translation that was taken out of the tables
 * before.  vCPUs outside of the guest flush when they enter: they compare
 * vm->tlb_gen after they have set vcpu->mode.
 *
 * Context: interrupts on; may hold mmu_lock, does not sleep.
 */
void mhv_mmu_flush(struct mhv_vm *vm)
{
	atomic64_inc(&vm->tlb_gen);
	smp_mb__after_atomic();	/* pairs with the barrier after vcpu->mode = MHV_IN_GUEST */
	mhv_kick_all(vm, true);
}

static void table_detach(struct mhv_mmu *mmu, u64 *table)
{
	table_count(mmu, table, -1);
	list_add(&virt_to_page(table)->lru, &mmu->freed);
}

/* With mmu_lock held for writing: flush, then free what no CPU uses any more. */
static void flush_and_free(struct mhv_vm *vm)
{
	struct page *page, *next;

	mhv_mmu_flush(vm);
	list_for_each_entry_safe(page, next, &vm->mmu.freed, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}

/* ---- taking entries out ---- */

/*
 * Clear the entries of [start, end) under @table, whose first entry is for
 * frame @base.  Tables of which nothing remains go to mmu.freed, save those of
 * the top levels, of which there are few.  mmu_lock held for writing.
 *
 * Returns: whether anything was taken out.
 */
static bool zap_table(struct mhv_mmu *mmu, u64 *table, unsigned int level, gfn_t base,
		      gfn_t start, gfn_t end)
{
	gfn_t span = level_pages(level), gfn;
	bool any = false;
	unsigned int i;

	for (i = table_index(start, level); i < LEVEL_ENTRIES; i++) {
		u64 pte = READ_ONCE(table[i]);

		gfn = base + i * span;
		if (gfn >= end)
			break;
		if (!pte)
			continue;
		if (!is_leaf(pte, level)) {
			bool whole = start <= gfn && end >= gfn + span;

			if (level > LEVEL_LARGE || !whole)
				any |= zap_table(mmu, pte_table(pte), level - 1, gfn,
						 max(start, gfn), min(end, gfn + span));
			if (level > LEVEL_LARGE + 1 || !whole)
				continue;
			table_detach(mmu, pte_table(pte));
		}
		WRITE_ONCE(table[i], 0);
		any = true;
	}
	return any;
}

/*
 * Take [start, end) out of the nested page tables, and out of every CPU.
 * mmu_lock held for writing; with @yield it is let go now and then, never
 * with something taken out but not flushed.
 */
static void zap_range(struct mhv_vm *vm, gfn_t start, gfn_t end, bool yield)
{
	bool any = false;
	gfn_t next;

	for (; start < end; start = next) {
		next = min(end, (start | (CHUNK_PAGES - 1)) + 1);
		any |= zap_table(&vm->mmu, vm->mmu.root, mhv_backend->caps.levels, 0,
				 start, next);
		if (!yield || !(need_resched() || rwlock_needbreak(&vm->mmu_lock)))
			continue;
		if (any)
			flush_and_free(vm);
		any = false;
		cond_resched_rwlock_write(&vm->mmu_lock);
	}
	if (any)
		flush_and_free(vm);
}

/* ---- adding entries ---- */

/* Could the whole large page around the faulting frame be mapped at once? */
static bool large_allowed(const struct fault *f)
{
	const struct mhv_memslot *slot = f->slot;
	gfn_t first = f->gfn & ~(gfn_t)(LARGE_PAGES - 1);

	if (f->fetch && pte_format()->huge_lacks & pte_format()->exec)
		return false;
	return !slot->dirty && first >= slot->base &&
	       first + LARGE_PAGES <= slot->base + slot->npages &&
	       !((f->gfn ^ (f->hva >> PAGE_SHIFT)) & (LARGE_PAGES - 1));
}

/* Put a new table into an empty entry.  Returns the entry as it is then. */
static u64 table_install(struct fault *f, u64 *entry)
{
	struct mhv_mmu *mmu = &f->vm->mmu;
	u64 *table = f->tables[f->nr_tables - 1];
	u64 new = __sme_set(__pa(table)) | mmu->table_bits;
	u64 old = cmpxchg64(entry, 0, new);

	if (old)
		return old;	/* another vCPU was faster */
	f->nr_tables--;
	table_count(mmu, table, 1);
	return new;
}

static u64 make_leaf(const struct fault *f, const struct host_page *hp, unsigned int level,
		     bool writable)
{
	const struct mhv_pte_format *fmt = pte_format();
	u64 pte = hp->pfn << PAGE_SHIFT;

	if (level == LEVEL_LARGE)
		pte = (pte & PMD_MASK) | fmt->huge;
	pte |= f->vm->mmu.leaf_bits;
	if (level == LEVEL_LARGE)
		pte &= ~fmt->huge_lacks;
	pte = hp->device ? pte | fmt->memtype_mmio : __sme_set(pte) | fmt->memtype;
	if (writable)
		pte |= fmt->write | fmt->dirty;
	return pte;
}

/*
 * Make @entry map the page.  What is there already may be the same page, by
 * another vCPU or for reading only; or an older state of affairs that a slot's
 * move has not yet zapped.
 *
 * Returns: MHV_FAULT_FIXED, -EAGAIN if the entry changed, or -ESTALE if
 * something else is mapped there.
 */
static int leaf_install(struct fault *f, const struct host_page *hp, u64 *entry,
			u64 old, unsigned int level)
{
	const struct mhv_pte_format *fmt = pte_format();
	bool logged = f->slot->dirty, writable;
	u64 new;

	writable = hp->writable && !(f->slot->flags & KVM_MEM_READONLY) &&
		   (f->write || !logged);
	new = make_leaf(f, hp, level, writable);
	if (old) {
		if ((old ^ new) & PTE_ADDR)
			return -ESTALE;
		if ((old & fmt->write) || !writable)
			return MHV_FAULT_FIXED;
	}
	if (hp->device)
		WRITE_ONCE(f->vm->mmu.device, true);
	if (cmpxchg64(entry, old, new) != old)
		return -EAGAIN;
	if (writable && logged)
		mhv_mark_dirty(f->vm, f->slot, f->gfn);
	return MHV_FAULT_FIXED;
}

/* Does a large leaf do, though it is not the one that would be made now? */
static bool leaf_serves(const struct fault *f, u64 pte)
{
	const struct mhv_pte_format *fmt = pte_format();

	return (!f->write || pte & fmt->write) && (!f->fetch || !fmt->exec || pte & fmt->exec);
}

/*
 * Walk the nested tables down to where the page belongs, and map it.
 * mmu_lock held for reading.
 *
 * Returns: as leaf_install(), or -ENOSPC with f->need set if f->tables does
 * not have enough.
 */
static int map_page(struct fault *f, const struct host_page *hp)
{
	unsigned int level = mhv_backend->caps.levels, want = LEVEL_PAGE;
	u64 *table = f->vm->mmu.root, *entry;
	u64 pte;

	if (hp->level == LEVEL_LARGE && large_allowed(f))
		want = LEVEL_LARGE;
	for (;; level--) {
		entry = &table[table_index(f->gfn, level)];
		pte = READ_ONCE(*entry);
		if (pte ? is_leaf(pte, level) : level <= want)
			break;
		if (!pte) {
			if (!f->nr_tables) {
				f->need = level - want;
				return -ENOSPC;
			}
			pte = table_install(f, entry);
			if (is_leaf(pte, level))
				break;
		}
		table = pte_table(pte);
	}
	if (level > want)
		return leaf_serves(f, pte) ? MHV_FAULT_FIXED : -ESTALE;
	return leaf_install(f, hp, entry, pte, level);
}

/* Is what was looked up since f->seq still so?  mmu_lock held. */
static bool fault_valid(const struct fault *f)
{
	const struct mhv_mmu *mmu = &f->vm->mmu;

	if (f->vm->slots != f->slots || mmu->seq != f->seq)
		return false;
	return !mmu->invalidating || f->hva < mmu->inv_start || f->hva >= mmu->inv_end;
}

static int map_valid(struct fault *f, const struct host_page *hp)
{
	int r = -EAGAIN;

	read_lock(&f->vm->mmu_lock);
	if (likely(fault_valid(f)))
		r = map_page(f, hp);
	read_unlock(&f->vm->mmu_lock);
	return r;
}

/* Something else is mapped there: take it out, so that the next try succeeds. */
static void zap_stale(struct fault *f)
{
	write_lock(&f->vm->mmu_lock);
	zap_range(f->vm, f->gfn, f->gfn + 1, false);
	write_unlock(&f->vm->mmu_lock);
}

static int fill_tables(struct fault *f)
{
	while (f->nr_tables < f->need) {
		f->tables[f->nr_tables] = table_alloc();
		if (!f->tables[f->nr_tables])
			return -ENOMEM;
		f->nr_tables++;
	}
	return 0;
}

/* One attempt.  Returns as mhv_mmu_fault(), or -EAGAIN. */
static int fault_try(struct fault *f)
{
	struct host_page hp;
	int r;

	f->seq = READ_ONCE(f->vm->mmu.seq);
	smp_rmb();	/* pairs with the wmb in invalidate_end() */
	r = host_find(f->vm->mm, f->hva, f->write, &hp);
	if (unlikely(r))
		return r;
	r = map_valid(f, &hp);
	if (r == -ENOSPC) {
		r = fill_tables(f);
		if (!r)
			r = map_valid(f, &hp);
	}
	host_put(&hp);
	if (unlikely(r == -ESTALE))
		zap_stale(f);
	return r;
}

/* What mhv_mmu_fault() makes of an attempt that did not map the page. */
static int fault_failed(const struct fault *f, int r)
{
	switch (r) {
	case -EHWPOISON:
		/* The VMM gets the signal that an access of its own would give. */
		send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f->hva, PAGE_SHIFT, current);
		return MHV_FAULT_FIXED;
	case -EAGAIN:
	case -ESTALE:
	case -ENOSPC:
		return MHV_FAULT_FIXED;
	case -EROFS:
		return MHV_FAULT_MMIO;
	default:
		return r;
	}
}

/* A fault in a slot.  @slots is the generation that it was found in. */
static noinline int memory_fault(struct mhv_vm *vm, struct mhv_memslots *slots,
				 const struct mhv_memslot *slot, gfn_t gfn, u32 access)
{
	unsigned int tries = 0;
	struct fault f;
	int r;

	f.vm = vm;
	f.gfn = gfn;
	f.slots = slots;
	f.slot = slot;
	f.write = access & MHV_ACC_WRITE;
	f.fetch = access & MHV_ACC_FETCH;
	f.nr_tables = 0;
	f.hva = mhv_slot_hva(slot, gfn);
	do {
		r = fault_try(&f);
	} while (unlikely(r == -EAGAIN || r == -ESTALE || r == -ENOSPC) &&
		 ++tries < MAX_TRIES && READ_ONCE(f.vm->slots) == f.slots);

	while (unlikely(f.nr_tables))
		free_page((unsigned long)f.tables[--f.nr_tables]);
	return likely(r >= 0) ? r : fault_failed(&f, r);
}

/**
 * mhv_mmu_fault - handle a nested page fault
 * @vcpu: the vCPU
 * @gpa: the address that the guest accessed
 * @access: how: MHV_ACC_WRITE and MHV_ACC_FETCH count
 *
 * Maps the page, after having the kernel make it present where needed.  Where
 * the VMM changes its memory at the same time, a few attempts are made; then
 * the guest may fault again.
 *
 * Context: the vCPU's thread, vm->srcu held, may sleep.
 *
 * Returns: MHV_FAULT_FIXED or MHV_FAULT_MMIO; -EFAULT if the VMM has nothing
 * (or nothing writable) mapped there; -EINTR if a signal interrupted it;
 * -ENOMEM.
 */
int mhv_mmu_fault(struct mhv_vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct mhv_memslots *slots = READ_ONCE(vcpu->vm->slots);
	const struct mhv_memslot *slot = mhv_slots_find(slots, gpa >> PAGE_SHIFT);

	if (!slot || (access & MHV_ACC_WRITE && slot->flags & KVM_MEM_READONLY))
		return MHV_FAULT_MMIO;
	return memory_fault(vcpu->vm, slots, slot, gpa >> PAGE_SHIFT, access);
}

/* ---- bits of entries ---- */

typedef bool (*leaf_fn)(u64 *entry, unsigned int level);

/*
 * Call @fn for each leaf of [start, end) under @table.  mmu_lock held, for
 * reading at least: @fn changes entries atomically.
 *
 * Returns: whether any call said true.
 */
static bool visit_leaves(u64 *table, unsigned int level, gfn_t base, gfn_t start,
			 gfn_t end, leaf_fn fn)
{
	gfn_t span = level_pages(level), gfn;
	bool any = false;
	unsigned int i;

	for (i = table_index(start, level); i < LEVEL_ENTRIES; i++) {
		u64 pte = READ_ONCE(table[i]);

		gfn = base + i * span;
		if (gfn >= end)
			break;
		if (!pte)
			continue;
		if (is_leaf(pte, level))
			any |= fn(&table[i], level);
		else
			any |= visit_leaves(pte_table(pte), level - 1, gfn, max(start, gfn),
					    min(end, gfn + span), fn);
	}
	return any;
}

static bool for_leaves(struct mhv_vm *vm, gfn_t start, gfn_t end, leaf_fn fn)
{
	return visit_leaves(vm->mmu.root, mhv_backend->caps.levels, 0, start, end, fn);
}

/* Bits are cleared one by one, atomically: the CPU sets others meanwhile. */
static bool clear_pte_bit(u64 *entry, u64 bit)
{
	if (!(READ_ONCE(*entry) & bit))
		return false;
	return test_and_clear_bit(__ffs64(bit), (unsigned long *)entry);
}

/* Large pages are taken out: the log is of small ones, and so the next fault maps. */
static bool leaf_protect(u64 *entry, unsigned int level)
{
	if (level == LEVEL_PAGE)
		return clear_pte_bit(entry, pte_format()->write);
	WRITE_ONCE(*entry, 0);
	return true;
}

static bool leaf_young(u64 *entry, unsigned int level)
{
	return READ_ONCE(*entry) & pte_format()->accessed;
}

static bool leaf_make_old(u64 *entry, unsigned int level)
{
	return clear_pte_bit(entry, pte_format()->accessed);
}

/* ---- for memslot.c ---- */

/**
 * mhv_mmu_max_gfn - the highest guest frame that can be memory
 *
 * Context: any.  Returns: the frame number, by the nested tables' levels and
 * by the host CPU's physical address width, which bounds the guest's too.
 */
gfn_t mhv_mmu_max_gfn(void)
{
	unsigned int bits = min_t(unsigned int, boot_cpu_data.x86_phys_bits,
				  LEVEL_BITS * mhv_backend->caps.levels + PAGE_SHIFT);

	return (1ULL << (bits - PAGE_SHIFT)) - 1;
}

/**
 * mhv_mmu_publish - put a generation of memslots in force
 * @vm: the VM
 * @slots: the generation
 * @leaving: a slot that is no more in it (or elsewhere) but whose mappings are
 *	yet to be zapped, or NULL
 *
 * No fault handled under the previous generation maps anything from now on.
 *
 * Context: slots_lock held.
 */
void mhv_mmu_publish(struct mhv_vm *vm, struct mhv_memslots *slots,
		     const struct mhv_memslot *leaving)
{
	write_lock(&vm->mmu_lock);
	smp_store_release(&vm->slots, slots);	/* pairs with readers' dependency on it */
	vm->mmu.leaving = leaving;
	write_unlock(&vm->mmu_lock);
}

/**
 * mhv_mmu_zap_slot - take a slot's frames out of the nested page tables
 * @vm: the VM
 * @slot: the slot, in force or leaving
 *
 * Context: slots_lock held; may sleep.
 */
void mhv_mmu_zap_slot(struct mhv_vm *vm, const struct mhv_memslot *slot)
{
	write_lock(&vm->mmu_lock);
	zap_range(vm, slot->base, slot->base + slot->npages, true);
	write_unlock(&vm->mmu_lock);
}

/**
 * mhv_mmu_start_logging - have the next write to each frame of a slot fault
 * @vm: the VM
 * @slot: the slot, in force, with a dirty bitmap
 *
 * Context: slots_lock held; may sleep.
 */
void mhv_mmu_start_logging(struct mhv_vm *vm, const struct mhv_memslot *slot)
{
	gfn_t gfn = slot->base, end = slot->base + slot->npages, next;

	write_lock(&vm->mmu_lock);
	for (; gfn < end; gfn = next) {
		next = min(end, (gfn | (CHUNK_PAGES - 1)) + 1);
		/* A large page that is only partly in the slot is taken out as well. */
		if (for_leaves(vm, gfn, next, leaf_protect))
			mhv_mmu_flush(vm);
		cond_resched_rwlock_write(&vm->mmu_lock);
	}
	write_unlock(&vm->mmu_lock);
}

/**
 * mhv_mmu_collect_dirty - move bits of a dirty bitmap out, and log anew
 * @vm: the VM
 * @slot: the slot, in force, with a dirty bitmap
 * @first: first word
 * @nr: how many
 * @bits: which bits are wanted; on return, those of them that were set
 *
 * The frames that were dirty are write-protected.  The caller flushes, once
 * for all its calls: until then a CPU may write without its being logged.
 *
 * Context: slots_lock held; takes mmu_lock.
 */
void mhv_mmu_collect_dirty(struct mhv_vm *vm, const struct mhv_memslot *slot,
			   unsigned long first, unsigned int nr, unsigned long *bits)
{
	atomic_long_t *word = (atomic_long_t *)&slot->dirty[first];
	unsigned int i, bit;
	gfn_t gfn;

	write_lock(&vm->mmu_lock);
	for (i = 0; i < nr; i++, word++) {
		bits[i] &= atomic_long_read(word);
		if (!bits[i])
			continue;
		bits[i] &= atomic_long_fetch_andnot(bits[i], word);
		for_each_set_bit(bit, &bits[i], BITS_PER_LONG) {
			gfn = slot->base + (first + i) * BITS_PER_LONG + bit;
			for_leaves(vm, gfn, gfn + 1, leaf_protect);
		}
	}
	write_unlock(&vm->mmu_lock);
}

/* ---- the MMU notifier ---- */

/**
 * struct hva_op - something to do to the guest frames of a range of addresses
 * @vm: the VM
 * @start: first address
 * @end: after the last
 * @fn: what to do to frames [start, end); returns whether any was touched
 * @blockable: @fn may let mmu_lock go and sleep
 */
struct hva_op {
	struct mhv_vm *vm;
	unsigned long start;
	unsigned long end;
	bool (*fn)(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op);
	bool blockable;
};

static bool hva_op_slot(const struct hva_op *op, const struct mhv_memslot *slot)
{
	unsigned long slot_end = slot->hva + (slot->npages << PAGE_SHIFT);
	unsigned long start = max(op->start, slot->hva), end = min(op->end, slot_end);

	if (start >= end)
		return false;
	return op->fn(op->vm, slot->base + ((start - slot->hva) >> PAGE_SHIFT),
		      slot->base + ((PAGE_ALIGN(end) - slot->hva) >> PAGE_SHIFT), op);
}

/*
 * Find the slots that have any of the range, by walking down from the last one
 * that begins below its end until none before reaches into it.  mmu_lock held;
 * vm->srcu as well if @fn lets mmu_lock go.
 */
static bool hva_op_run(const struct hva_op *op)
{
	const struct mhv_memslot *leaving = op->vm->mmu.leaving;
	const struct mhv_memslots *slots = op->vm->slots;
	unsigned int lo = 0, hi = slots->nr, mid;
	bool any = false;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (slots->by_hva[mid].slot->hva < op->end)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo && slots->by_hva[lo - 1].max_end > op->start)
		any |= hva_op_slot(op, slots->by_hva[--lo].slot);
	if (leaving)
		any |= hva_op_slot(op, leaving);
	return any;
}

static struct mhv_vm *notifier_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct mhv_vm, notifier);
}

static bool op_zap(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op)
{
	zap_range(vm, start, end, op->blockable);
	return true;
}

static void invalidation_begin(struct mhv_mmu *mmu, unsigned long start, unsigned long end)
{
	if (!mmu->invalidating++) {
		mmu->inv_start = start;
		mmu->inv_end = end;
	} else {
		mmu->inv_start = min(mmu->inv_start, start);
		mmu->inv_end = max(mmu->inv_end, end);
	}
}

static int invalidate_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct mhv_vm *vm = notifier_vm(mn);
	struct hva_op op = {
		.vm = vm, .start = range->start, .end = range->end, .fn = op_zap,
		.blockable = mmu_notifier_range_blockable(range),
	};
	int idx = srcu_read_lock(&vm->srcu);

	write_lock(&vm->mmu_lock);
	invalidation_begin(&vm->mmu, range->start, range->end);
	hva_op_run(&op);
	write_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	return 0;
}

static void invalidate_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct mhv_vm *vm = notifier_vm(mn);

	write_lock(&vm->mmu_lock);
	smp_wmb();	/* the VMM's page table first: pairs with the rmb in fault_try() */
	WRITE_ONCE(vm->mmu.seq, vm->mmu.seq + 1);
	vm->mmu.invalidating--;
	write_unlock(&vm->mmu_lock);
}

/*
 * Accessed bits, for the kernel's choice of what to swap out.  No flush: a
 * translation that a CPU still has cached only makes a page seem idle that is
 * not, which costs less than to interrupt the guest.
 */
static bool op_young(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op)
{
	return for_leaves(vm, start, end, leaf_young);
}

static bool op_make_old(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op)
{
	return for_leaves(vm, start, end, leaf_make_old);
}

/* Without accessed bits: a page that is used comes back by a fault. */
static bool op_take_out(struct mhv_vm *vm, gfn_t start, gfn_t end, const struct hva_op *op)
{
	bool any = zap_table(&vm->mmu, vm->mmu.root, mhv_backend->caps.levels, 0, start, end);

	if (any)
		flush_and_free(vm);
	return any;
}

static int age(struct mmu_notifier *mn, unsigned long start, unsigned long end, bool clear)
{
	struct hva_op op = { .vm = notifier_vm(mn), .start = start, .end = end };
	bool young;

	if (pte_format()->accessed) {
		op.fn = clear ? op_make_old : op_young;
		read_lock(&op.vm->mmu_lock);
		young = hva_op_run(&op);
		read_unlock(&op.vm->mmu_lock);
		return young;
	}
	if (!clear)
		return false;
	op.fn = op_take_out;
	write_lock(&op.vm->mmu_lock);
	young = hva_op_run(&op);
	write_unlock(&op.vm->mmu_lock);
	return young;
}

static int clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return age(mn, start, end, true);
}

static int test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long address)
{
	return age(mn, address, address + PAGE_SIZE, false);
}

/*
 * The VMM's address space goes away.  None of its threads is left, so no vCPU
 * runs; none shall ever again, as every ioctl on a dead VM fails.
 */
static void release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct mhv_vm *vm = notifier_vm(mn);
	struct hva_op op = { .vm = vm, .end = ULONG_MAX & PAGE_MASK, .fn = op_zap,
			     .blockable = true };
	int idx;

	WRITE_ONCE(vm->dead, true);
	idx = srcu_read_lock(&vm->srcu);
	write_lock(&vm->mmu_lock);
	hva_op_run(&op);
	write_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
}

static const struct mmu_notifier_ops notifier_ops = {
	.invalidate_range_start = invalidate_start,
	.invalidate_range_end = invalidate_end,
	.clear_flush_young = clear_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.release = release,
};

/**
 * mhv_notifier_register - follow the changes of the VMM's address space
 * @vm: the VM, with its mmu and memslots set up; vm->mm is current->mm
 *
 * Context: may sleep; no mmap_lock held.
 *
 * Returns: 0, -ENOMEM, or -EINTR if killed meanwhile.
 */
int mhv_notifier_register(struct mhv_vm *vm)
{
	vm->notifier.ops = &notifier_ops;
	return mmu_notifier_register(&vm->notifier, vm->mm);
}

/**
 * mhv_notifier_unregister - stop following
 * @vm: the VM, of which no vCPU runs or will
 *
 * When it returns no callback runs or will.  Before mhv_mmu_destroy() and
 * mhv_memslots_destroy().
 *
 * Context: may sleep.  Copes with a VM whose mhv_notifier_register() failed or
 * never came.
 */
void mhv_notifier_unregister(struct mhv_vm *vm)
{
	if (vm->notifier.mm)
		mmu_notifier_unregister(&vm->notifier, vm->mm);
}

/* ---- life ---- */

/**
 * mhv_mmu_create - make a VM's nested page tables, empty
 * @vm: the VM, not yet visible to userspace
 *
 * Context: may sleep.  Returns: 0 or -ENOMEM.
 */
int mhv_mmu_create(struct mhv_vm *vm)
{
	const struct mhv_pte_format *fmt = pte_format();
	struct mhv_mmu *mmu = &vm->mmu;

	INIT_LIST_HEAD(&mmu->freed);
	mmu->table_bits = fmt->present | fmt->write | fmt->exec | fmt->user | fmt->accessed;
	mmu->leaf_bits = fmt->present | fmt->exec | fmt->user | fmt->accessed;
	mmu->root = table_alloc();
	if (!mmu->root)
		return -ENOMEM;
	table_count(mmu, mmu->root, 1);
	mmu->root_gen = 1;	/* a new vCPU has 0: it sets the root first */
	return 0;
}

static void tables_free(struct mhv_mmu *mmu, u64 *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; level > LEVEL_PAGE && i < LEVEL_ENTRIES; i++) {
		if (table[i] && !is_leaf(table[i], level))
			tables_free(mmu, pte_table(table[i]), level - 1);
	}
	table_count(mmu, table, -1);
	free_page((unsigned long)table);
	cond_resched();
}

/**
 * mhv_mmu_destroy - free a VM's nested page tables
 * @vm: the VM, of which no vCPU is left and whose MMU notifier is gone
 *
 * Context: may sleep.  Copes with a VM whose mhv_mmu_create() failed.
 */
void mhv_mmu_destroy(struct mhv_vm *vm)
{
	if (!vm->mmu.root)
		return;
	tables_free(&vm->mmu, vm->mmu.root, mhv_backend->caps.levels);
	vm->mmu.root = NULL;
}

/**
 * mhv_mmu_root - the root of the nested page tables, for the backend
 * @vm: the VM
 *
 * Context: any.  Returns: its physical address, as the CPU is to be given it.
 */
hpa_t mhv_mmu_root(struct mhv_vm *vm)
{
	return __sme_set(__pa(vm->mmu.root));
}
