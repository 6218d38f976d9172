// SPDX-License-Identifier: GPL-2.0
/*
 * Memslots: which guest frames are memory, where the VMM has it, and the log of dirty frames.
 * Entered from the VM's ioctls (writers) and from every access to guest memory (readers).
 * Writers hold vm->slots_lock and replace the array; readers hold vm->srcu or vm->mmu_lock.
 * Linux, Documentation/virt/kvm/api.rst: KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "minihv.h"

#define SLOT_FLAGS	(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

/*
 * Generations that may wait to be freed: a new slot takes no memory from
 * anybody, so whoever adds slots one by one need not wait for readers each time.
 */
#define MAX_OLDER	8

/* Words of the dirty bitmap that are collected under one hold of mmu_lock. */
#define DIRTY_CHUNK	64

/* What a search finds first when none has found anything yet: it has no frames. */
static const struct mhv_memslot no_slot;

static struct mhv_memslots *slots_alloc(unsigned int nr)
{
	struct mhv_memslots *slots;
	size_t size = struct_size(slots, slot, nr) + nr * sizeof(*slots->by_hva);

	slots = kvzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!slots)
		return NULL;
	slots->nr = nr;
	slots->last = &no_slot;
	slots->by_hva = (void *)&slots->slot[nr];
	return slots;
}

/* Free the generations that no reader can hold any more. */
static void slots_free_older(struct mhv_memslots *slots)
{
	struct mhv_memslots *old = slots->older, *next;

	for (; old; old = next) {
		next = old->older;
		kvfree(old);
	}
	slots->older = NULL;
	slots->nr_older = 0;
}

static unsigned long slot_hva_end(const struct mhv_memslot *slot)
{
	return slot->hva + (slot->npages << PAGE_SHIFT);
}

/*
 * The next generation: @old without @del (may be NULL), with @add (may be
 * NULL), both orders kept by merging.
 */
static struct mhv_memslots *slots_build(const struct mhv_memslots *old,
					const struct mhv_memslot *del,
					const struct mhv_memslot *add)
{
	struct mhv_memslots *new = slots_alloc(old->nr - !!del + !!add);
	const struct mhv_memslot *slot, *todo = add;
	unsigned long max_end = 0;
	unsigned int i, n;

	if (!new)
		return NULL;
	new->generation = old->generation + 1;
	new->ids = old->ids;

	for (i = 0, n = 0; i <= old->nr; i++) {
		slot = i < old->nr ? old->slot[i] : NULL;
		if (todo && (!slot || todo->base < slot->base)) {
			new->slot[n++] = todo;
			todo = NULL;
		}
		if (slot && slot != del)
			new->slot[n++] = slot;
	}

	todo = add;
	for (i = 0, n = 0; i <= old->nr; i++) {
		slot = i < old->nr ? old->by_hva[i].slot : NULL;
		if (todo && (!slot || todo->hva < slot->hva)) {
			new->by_hva[n++].slot = todo;
			todo = NULL;
		}
		if (slot && slot != del)
			new->by_hva[n++].slot = slot;
	}
	for (i = 0; i < n; i++) {
		max_end = max(max_end, slot_hva_end(new->by_hva[i].slot));
		new->by_hva[i].max_end = max_end;
	}
	return new;
}

/* Does a slot other than @self have a frame of [base, base + npages)? */
static bool slots_overlap(const struct mhv_memslots *slots, const struct mhv_memslot *self,
			  gfn_t base, unsigned long npages)
{
	unsigned int lo = 0, hi = slots->nr, mid;

	/* The first slot that ends beyond base; slots do not overlap each other. */
	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (slots->slot[mid]->base + slots->slot[mid]->npages <= base)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < slots->nr && slots->slot[lo] == self)
		lo++;
	return lo < slots->nr && slots->slot[lo]->base < base + npages;
}

/**
 * mhv_memslots_init - give a new VM its empty set of slots
 * @vm: the VM, not yet visible to userspace
 *
 * Context: may sleep.  Returns: 0 or -ENOMEM.
 */
int mhv_memslots_init(struct mhv_vm *vm)
{
	struct mhv_memslots *slots = slots_alloc(0);

	if (!slots)
		return -ENOMEM;
	slots->ids = kzalloc(sizeof(*slots->ids), GFP_KERNEL_ACCOUNT);
	if (!slots->ids) {
		kvfree(slots);
		return -ENOMEM;
	}
	xa_init_flags(slots->ids, XA_FLAGS_ACCOUNT);
	vm->slots = slots;
	return 0;
}

/**
 * mhv_memslots_destroy - free a VM's slots
 * @vm: the VM, that nobody else can reach any more; its MMU notifier is gone
 *
 * Context: may sleep.  Copes with a VM whose mhv_memslots_init() failed.
 */
void mhv_memslots_destroy(struct mhv_vm *vm)
{
	struct mhv_memslots *slots = vm->slots;
	unsigned int i;

	if (!slots)
		return;
	slots_free_older(slots);
	for (i = 0; i < slots->nr; i++) {
		kvfree(slots->slot[i]->dirty);
		kfree(slots->slot[i]);
	}
	xa_destroy(slots->ids);
	kfree(slots->ids);
	kvfree(slots);
	vm->slots = NULL;
}

static unsigned long dirty_words(const struct mhv_memslot *slot)
{
	return BITS_TO_LONGS(slot->npages);
}

/* With all bits set to begin with, nothing need be caught until some are cleared. */
static bool initially_set(struct mhv_vm *vm)
{
	return READ_ONCE(vm->manual_dirty_log) & KVM_DIRTY_LOG_INITIALLY_SET &&
	       !READ_ONCE(vm->dirty_ring_bytes);
}

/*
 * Put @add in the place of @del (either may be NULL) where readers find it.
 * What they may still hold is freed when they have been waited for: here if a
 * slot goes or changes, so that nobody uses it as it was after the ioctl.
 */
static int slots_replace(struct mhv_vm *vm, const struct mhv_memslot *del,
			 struct mhv_memslot *add)
{
	struct mhv_memslots *old = vm->slots, *new;
	bool moved = del && (!add || add->base != del->base);

	new = slots_build(old, del, add);
	if (!new)
		return -ENOMEM;
	if (add) {
		void *prev = xa_store(old->ids, add->id, add, GFP_KERNEL_ACCOUNT);

		if (xa_is_err(prev)) {
			kvfree(new);
			return xa_err(prev);
		}
	} else {
		xa_erase(old->ids, del->id);
	}

	/*
	 * A slot that leaves stays in sight of the MMU notifier until its
	 * mappings are gone: memory that the VMM unmaps meanwhile must not
	 * stay mapped in the guest.
	 */
	mhv_mmu_publish(vm, new, moved ? del : NULL);
	if (moved) {
		mhv_mmu_zap_slot(vm, del);
		mhv_mmu_publish(vm, new, NULL);
	} else if (del && add->dirty && !del->dirty) {
		if (!initially_set(vm))
			mhv_mmu_start_logging(vm, add);
	} else if (del && !add->dirty && del->dirty) {
		mhv_mmu_zap_slot(vm, add);	/* come back as large pages */
	}

	new->older = old;
	new->nr_older = old->nr_older + 1;
	if (!del && new->nr_older < MAX_OLDER)
		return 0;
	synchronize_srcu_expedited(&vm->srcu);
	slots_free_older(new);
	if (del) {
		if (!add || add->dirty != del->dirty)
			kvfree(del->dirty);
		kfree(del);
	}
	return 0;
}

/* What concerns the request alone, whatever slots there are. */
static bool region_valid(const struct kvm_userspace_memory_region *mem)
{
	if (mem->flags & ~SLOT_FLAGS)
		return false;
	if (mem->slot >= MHV_NR_MEMSLOTS)
		return false;
	if (!PAGE_ALIGNED(mem->memory_size) || !PAGE_ALIGNED(mem->guest_phys_addr) ||
	    !PAGE_ALIGNED(mem->userspace_addr))
		return false;
	if (mem->userspace_addr != untagged_addr(mem->userspace_addr) ||
	    !access_ok((void __user *)(unsigned long)mem->userspace_addr, mem->memory_size))
		return false;
	if (mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return false;
	return (mem->memory_size >> PAGE_SHIFT) <= MHV_MAX_SLOT_PAGES;
}

/* Make the slot that a valid request describes, with its dirty bitmap. */
static struct mhv_memslot *slot_create(struct mhv_vm *vm,
				       const struct kvm_userspace_memory_region *mem,
				       const struct mhv_memslot *old)
{
	struct mhv_memslot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base = mem->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = mem->memory_size >> PAGE_SHIFT;
	slot->hva = mem->userspace_addr;
	slot->flags = mem->flags;
	slot->id = mem->slot;
	if (!(mem->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return slot;

	slot->dirty = old ? old->dirty : NULL;
	if (slot->dirty)
		return slot;
	slot->dirty = kvcalloc(dirty_words(slot), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty) {
		kfree(slot);
		return NULL;
	}
	if (initially_set(vm))
		bitmap_set(slot->dirty, 0, slot->npages);
	return slot;
}

static int slot_set(struct mhv_vm *vm, const struct kvm_userspace_memory_region *mem)
{
	const struct mhv_memslot *old = xa_load(vm->slots->ids, mem->slot);
	gfn_t base = mem->guest_phys_addr >> PAGE_SHIFT;
	unsigned long npages = mem->memory_size >> PAGE_SHIFT;
	struct mhv_memslot *new;
	int r;

	if (!npages)
		return old ? slots_replace(vm, old, NULL) : -EINVAL;

	if (old) {
		if (mem->userspace_addr != old->hva || npages != old->npages ||
		    ((mem->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (base == old->base && mem->flags == old->flags)
			return 0;
	}
	if (!old || base != old->base) {
		if (slots_overlap(vm->slots, old, base, npages))
			return -EEXIST;
		if (base + npages - 1 > mhv_mmu_max_gfn())
			return -EINVAL;
	}

	new = slot_create(vm, mem, old);
	if (!new)
		return -ENOMEM;
	r = slots_replace(vm, old, new);
	if (r) {
		if (!old || new->dirty != old->dirty)
			kvfree(new->dirty);
		kfree(new);
	}
	return r;
}

/**
 * mhv_memslot_set - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM
 * @mem: the request, already copied from userspace
 *
 * Creates, moves or deletes a slot, or changes its flags.
 *
 * Context: may sleep; takes slots_lock; waits for readers where memory goes,
 * so the caller holds no srcu.
 *
 * Returns: 0; -EINVAL for a request that breaks a rule (alignment, unknown
 * flag, number or range out of bounds, deletion of no slot, change of size,
 * address or KVM_MEM_READONLY); -EEXIST if it overlaps another slot; -ENOMEM.
 */
int mhv_memslot_set(struct mhv_vm *vm, const struct kvm_userspace_memory_region *mem)
{
	int r;

	if (!region_valid(mem))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = slot_set(vm, mem);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/**
 * mhv_memslot_find - the slot of a guest frame
 * @vm: the VM
 * @gfn: the frame
 *
 * Context: any; the caller holds vm->srcu for as long as it uses the slot.
 *
 * Returns: the slot or NULL.
 */
const struct mhv_memslot *mhv_memslot_find(struct mhv_vm *vm, gfn_t gfn)
{
	return mhv_slots_find(READ_ONCE(vm->slots), gfn);
}

/**
 * mhv_gfn_to_hva - where the VMM has a guest frame
 * @vm: the VM
 * @gfn: the frame
 * @write: to write there
 *
 * Context: any; the caller holds vm->srcu.
 *
 * Returns: the virtual address in vm->mm, page-aligned; 0 if there is no
 * slot, or if it is read-only and @write.  (Page 0 can be a slot's, but no
 * VMM may map it unless the administrator lets it.)
 */
unsigned long mhv_gfn_to_hva(struct mhv_vm *vm, gfn_t gfn, bool write)
{
	const struct mhv_memslot *slot = mhv_memslot_find(vm, gfn);

	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return 0;
	return mhv_slot_hva(slot, gfn);
}

/**
 * mhv_mark_dirty - log that a frame was written
 * @vm: the VM
 * @slot: its slot
 * @gfn: the frame
 *
 * After the write, so that a reader of the log that clears the bit in between
 * finds it set the next time.
 *
 * Context: any; the caller holds vm->srcu or vm->mmu_lock.
 */
void mhv_mark_dirty(struct mhv_vm *vm, const struct mhv_memslot *slot, gfn_t gfn)
{
	unsigned long bit = gfn - slot->base;

	if (!slot->dirty)
		return;
	/*
	 * The test spares the cache line that all vCPUs would fight for.  What
	 * was written must be visible before it: whoever clears the bit after
	 * the test reads the frame next.  Pairs with the atomic operation in
	 * mhv_mmu_collect_dirty().
	 */
	smp_mb();
	if (test_bit(bit, slot->dirty))
		return;
	if (!test_and_set_bit(bit, slot->dirty) && READ_ONCE(vm->dirty_ring_bytes))
		mhv_dirty_ring_push(vm, slot->id, bit);
}

/* Put bits back that could not be given to userspace. */
static void dirty_restore(const struct mhv_memslot *slot, unsigned long first,
			  unsigned int nr, const unsigned long *bits)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		atomic_long_or(bits[i], (atomic_long_t *)&slot->dirty[first + i]);
}

static int dirty_copy(struct mhv_vm *vm, const struct mhv_memslot *slot,
		      unsigned long __user *out)
{
	unsigned long buf[DIRTY_CHUNK], first, words = dirty_words(slot);
	unsigned int nr;
	bool any = false;
	int r = 0;

	for (first = 0; first < words && !r; first += nr) {
		nr = min_t(unsigned long, words - first, DIRTY_CHUNK);
		memset(buf, 0xff, nr * sizeof(long));
		mhv_mmu_collect_dirty(vm, slot, first, nr, buf);
		any = any || memchr_inv(buf, 0, nr * sizeof(long));
		if (copy_to_user(out + first, buf, nr * sizeof(long))) {
			dirty_restore(slot, first, nr, buf);
			r = -EFAULT;
		}
		cond_resched();
	}

	/*
	 * A CPU that still has a writable translation may write without
	 * being logged until here; userspace reads the pages afterwards.
	 */
	if (any)
		mhv_mmu_flush(vm);
	return r;
}

/**
 * mhv_dirty_log_get - KVM_GET_DIRTY_LOG
 * @vm: the VM
 * @log: the request, already copied from userspace
 *
 * Gives the bitmap of frames written since the last call, rounded up to 64
 * bits, and starts anew: they are write-protected again.  Where userspace
 * chose KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 it does the latter itself, by
 * KVM_CLEAR_DIRTY_LOG, and until then bits only come.
 *
 * Context: may sleep; takes slots_lock.
 *
 * Returns: 0; -ENXIO if dirty rings are used; -EINVAL for a slot number out of
 * bounds; -ENOENT if there is no such slot or it does not log; -EFAULT.
 */
int mhv_dirty_log_get(struct mhv_vm *vm, struct kvm_dirty_log *log)
{
	const struct mhv_memslot *slot;
	int r = -ENOENT;

	if (READ_ONCE(vm->dirty_ring_bytes))
		return -ENXIO;
	if (log->slot >= MHV_NR_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = xa_load(vm->slots->ids, log->slot);
	if (slot && slot->dirty && READ_ONCE(vm->manual_dirty_log))
		r = copy_to_user(log->dirty_bitmap, slot->dirty,
				 dirty_words(slot) * sizeof(long)) ? -EFAULT : 0;
	else if (slot && slot->dirty)
		r = dirty_copy(vm, slot, log->dirty_bitmap);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* Does the range begin at a word, and end at one or at the slot's end? */
static bool clear_valid(const struct mhv_memslot *slot, const struct kvm_clear_dirty_log *log)
{
	if (log->first_page % BITS_PER_LONG || log->first_page > slot->npages ||
	    log->num_pages > slot->npages - log->first_page)
		return false;
	return log->num_pages == slot->npages - log->first_page ||
	       log->num_pages % BITS_PER_LONG == 0;
}

static int dirty_clear(struct mhv_vm *vm, const struct mhv_memslot *slot,
		       const struct kvm_clear_dirty_log *log)
{
	unsigned long words = BITS_TO_LONGS((unsigned long)log->num_pages);
	unsigned long first = log->first_page / BITS_PER_LONG;
	unsigned long __user *in = log->dirty_bitmap;
	unsigned long buf[DIRTY_CHUNK], at;
	unsigned int nr;
	bool any = false;
	int r = 0;

	for (at = 0; at < words; at += nr) {
		nr = min_t(unsigned long, words - at, DIRTY_CHUNK);
		if (copy_from_user(buf, in + at, nr * sizeof(long))) {
			r = -EFAULT;
			break;
		}
		mhv_mmu_collect_dirty(vm, slot, first + at, nr, buf);
		any = any || memchr_inv(buf, 0, nr * sizeof(long));
		cond_resched();
	}
	if (any)
		mhv_mmu_flush(vm);
	return r;
}

/**
 * mhv_dirty_log_clear - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM
 * @log: the request, already copied from userspace
 *
 * Logs the frames anew whose bits userspace gives, and which are dirty.
 *
 * Context: may sleep; takes slots_lock.
 *
 * Returns: 0; -ENXIO if dirty rings are used; -EINVAL for a slot number or a
 * range out of bounds, or not of whole words; -ENOENT if there is no such slot
 * or it does not log; -EFAULT.
 */
int mhv_dirty_log_clear(struct mhv_vm *vm, struct kvm_clear_dirty_log *log)
{
	const struct mhv_memslot *slot;
	int r;

	if (READ_ONCE(vm->dirty_ring_bytes))
		return -ENXIO;
	if (log->slot >= MHV_NR_MEMSLOTS || log->first_page % BITS_PER_LONG)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = xa_load(vm->slots->ids, log->slot);
	if (!slot || !slot->dirty)
		r = -ENOENT;
	else if (!clear_valid(slot, log))
		r = -EINVAL;
	else
		r = dirty_clear(vm, slot, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}
