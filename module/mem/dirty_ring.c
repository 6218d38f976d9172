// SPDX-License-Identifier: GPL-2.0
/*
 * Dirty rings: each vCPU tells userspace, through memory that both map, which frames it dirtied.
 * Entered from whatever marks a frame dirty, from KVM_RESET_DIRTY_RINGS, and with a vCPU's life.
 * ring->lock for who adds; slots_lock for who resets.  Userspace may write anything to the entries.
 * Linux, Documentation/virt/kvm/api.rst: KVM_CAP_DIRTY_LOG_RING.
 *
 * The slot's bitmap is kept beside the rings: a frame whose bit is set is in some ring already.  So
 * each frame is in the rings once, however often it is written, until userspace has it reset.
 */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "minihv.h"

/* What one exit may dirty, with room to spare; the guest is not entered with less. */
#define RING_RESERVED		64

static struct kvm_dirty_gfn *ring_entry(struct mhv_dirty_ring *ring, u32 index)
{
	return &ring->gfns[index & (ring->nr - 1)];
}

static u32 ring_used(const struct mhv_dirty_ring *ring)
{
	return READ_ONCE(ring->dirty) - READ_ONCE(ring->reset);
}

/**
 * mhv_dirty_ring_full() - is the guest to wait until userspace has made room?
 * @vcpu: the vCPU
 *
 * Context: any.
 */
bool mhv_dirty_ring_full(struct mhv_vcpu *vcpu)
{
	const struct mhv_dirty_ring *ring = &vcpu->dirty_ring;

	return ring->nr && ring_used(ring) >= ring->nr - RING_RESERVED;
}

/**
 * mhv_dirty_ring_push() - tell userspace of a frame that became dirty
 * @vm: the VM, which has dirty rings
 * @slot: number of the frame's slot
 * @offset: the frame's number in it
 *
 * It goes to the ring of the vCPU that is loaded here.  A ring has room for
 * what can come before the next entry; userspace that makes a vCPU write more
 * than that, without running it, loses what does not fit.
 *
 * Context: any but interrupts; also in the scheduler.
 */
void mhv_dirty_ring_push(struct mhv_vm *vm, u32 slot, u64 offset)
{
	struct mhv_vcpu *vcpu = mhv_loaded_vcpu();
	struct mhv_dirty_ring *ring;
	struct kvm_dirty_gfn *entry;
	unsigned long flags;

	if (!vcpu || vcpu->vm != vm)
		vcpu = xa_load(&vm->vcpus, 0);
	if (!vcpu)
		return;
	ring = &vcpu->dirty_ring;
	raw_spin_lock_irqsave(&ring->lock, flags);
	if (ring_used(ring) < ring->nr) {
		entry = ring_entry(ring, ring->dirty);
		WRITE_ONCE(entry->slot, slot);
		WRITE_ONCE(entry->offset, offset);
		/* Whoever sees the flag finds the rest: userspace reads it first. */
		smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
		WRITE_ONCE(ring->dirty, ring->dirty + 1);
	}
	raw_spin_unlock_irqrestore(&ring->lock, flags);
	if (mhv_dirty_ring_full(vcpu))
		mhv_request(vcpu, MHV_REQ_RING_FULL);
}

/* Log frames of one word of a slot's bitmap anew; what userspace says is checked. */
static void reset_word(struct mhv_vm *vm, u32 slot_id, u64 word, unsigned long bits)
{
	const struct mhv_memslot *slot;

	if (!bits || slot_id >= MHV_NR_MEMSLOTS)
		return;
	slot = xa_load(vm->slots->ids, slot_id);
	if (slot && slot->dirty && word < BITS_TO_LONGS(slot->npages))
		mhv_mmu_collect_dirty(vm, slot, word, 1, &bits);
}

/* Take back the entries that userspace is done with.  Returns how many. */
static u32 ring_reset(struct mhv_vm *vm, struct mhv_dirty_ring *ring)
{
	unsigned long bits = 0;
	u32 count = 0, slot = 0;
	u64 word = 0;

	while (READ_ONCE(ring->dirty) != ring->reset) {
		struct kvm_dirty_gfn *entry = ring_entry(ring, ring->reset);
		u64 offset;
		u32 id;

		/* Pairs with userspace's release after it has read the entry. */
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		id = READ_ONCE(entry->slot);
		offset = READ_ONCE(entry->offset);
		if (id != slot || offset / BITS_PER_LONG != word) {
			reset_word(vm, slot, word, bits);
			slot = id;
			word = offset / BITS_PER_LONG;
			bits = 0;
		}
		bits |= BIT(offset % BITS_PER_LONG);
		/* Empty before it counts as room: whoever adds looks at the count. */
		smp_store_release(&entry->flags, 0);
		/* Pairs with the lock's acquire in mhv_dirty_ring_push(). */
		smp_store_release(&ring->reset, ring->reset + 1);
		count++;
		cond_resched();
	}
	reset_word(vm, slot, word, bits);
	return count;
}

/**
 * mhv_dirty_rings_reset() - KVM_RESET_DIRTY_RINGS
 * @vm: the VM
 *
 * Makes room of all entries that userspace has flagged, and write-protects
 * their frames; after it returns no write to them goes unnoticed.
 *
 * Context: may sleep; takes slots_lock.
 * Return: how many entries; -EINVAL if the VM has no dirty rings.
 */
long mhv_dirty_rings_reset(struct mhv_vm *vm)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;
	long count = 0;

	if (!vm->dirty_ring_bytes)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	mhv_for_each_vcpu(i, vcpu, vm)
		count += ring_reset(vm, &vcpu->dirty_ring);
	if (count)
		mhv_mmu_flush(vm);
	mutex_unlock(&vm->slots_lock);
	return count;
}

/**
 * mhv_dirty_rings_enable() - have the VM's vCPUs log to rings, not to bitmaps
 * @vm: the VM, without vCPUs; vm->lock is held
 * @bytes: of each ring
 *
 * Context: may sleep; takes slots_lock.
 * Return: 0; -EINVAL for a size that is no power of two or too small, or the
 * second time; -E2BIG.
 */
long mhv_dirty_rings_enable(struct mhv_vm *vm, u32 bytes)
{
	const struct mhv_memslot *slot;
	unsigned int i;

	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE ||
	    bytes < RING_RESERVED * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (bytes > MHV_DIRTY_RING_MAX)
		return -E2BIG;
	if (vm->dirty_ring_bytes)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	/* Bits that are set without an entry would keep their frames out of the rings. */
	for (i = 0; i < vm->slots->nr; i++) {
		slot = vm->slots->slot[i];
		if (slot->dirty)
			bitmap_zero(slot->dirty, slot->npages);
	}
	WRITE_ONCE(vm->dirty_ring_bytes, bytes);
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/**
 * mhv_dirty_ring_create() - give a new vCPU its ring, where the VM has them
 * @vcpu: the vCPU, which nobody else can see yet
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int mhv_dirty_ring_create(struct mhv_vcpu *vcpu)
{
	struct mhv_dirty_ring *ring = &vcpu->dirty_ring;
	u32 bytes = vcpu->vm->dirty_ring_bytes;

	raw_spin_lock_init(&ring->lock);
	if (!bytes)
		return 0;
	ring->gfns = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->gfns)
		return -ENOMEM;
	ring->nr = bytes / sizeof(*ring->gfns);
	return 0;
}

/**
 * mhv_dirty_ring_destroy() - free it, if there is one
 * @vcpu: the vCPU
 *
 * Pages that userspace still maps are freed when it no longer does.
 */
void mhv_dirty_ring_destroy(struct mhv_vcpu *vcpu)
{
	vfree(vcpu->dirty_ring.gfns);
}

/**
 * mhv_dirty_ring_page() - a page of the ring, for the vCPU's mapping
 * @vcpu: the vCPU
 * @pgoff: offset in the mapping, in pages
 *
 * Return: the page, or NULL if there is none of the ring's.
 */
struct page *mhv_dirty_ring_page(struct mhv_vcpu *vcpu, unsigned long pgoff)
{
	struct mhv_dirty_ring *ring = &vcpu->dirty_ring;

	if (pgoff < KVM_DIRTY_LOG_PAGE_OFFSET ||
	    pgoff - KVM_DIRTY_LOG_PAGE_OFFSET >= vcpu->vm->dirty_ring_bytes / PAGE_SIZE)
		return NULL;
	return vmalloc_to_page((void *)ring->gfns +
			       (pgoff - KVM_DIRTY_LOG_PAGE_OFFSET) * PAGE_SIZE);
}
