/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory: memslots, access to guest memory from the kernel, the nested
 * page tables, and the walk of the guest's own page tables.
 *
 * A memslot maps a range of guest frames to a range of the VMM's virtual
 * addresses.  Nothing else maps memory; the nested page tables are a cache of
 * memslots and of the VMM's page tables, kept coherent by an MMU notifier.
 */
#ifndef MHV_MEM_H
#define MHV_MEM_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/nospec.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct mhv_vm;
struct mhv_vcpu;
struct mhv_event;

/* Access to memory, in the bit positions of a page fault's error code. */
#define MHV_ACC_PRESENT		BIT(0)	/* the translation was present */
#define MHV_ACC_WRITE		BIT(1)
#define MHV_ACC_USER		BIT(2)	/* made at CPL 3: the caller says so */
#define MHV_ACC_RSVD		BIT(3)
#define MHV_ACC_FETCH		BIT(4)
/* Beyond the error code: of a nested fault, whose access it was. */
#define MHV_ACC_GUEST_TABLE	BIT(8)	/* the CPU's walk of the guest's tables */
/* Beyond the error code: to mhv_walk(). */
#define MHV_ACC_IMPLICIT	BIT(9)	/* not by an operand (descriptor tables): AC is no excuse */

#define MHV_NR_MEMSLOTS		32764	/* ids 0 to 32763, as KVM has them */
#define MHV_MAX_SLOT_PAGES	(BIT(31) - 1)

/**
 * struct mhv_memslot - a range of guest memory; immutable once published
 * @base: first guest frame
 * @npages: how many, never 0
 * @hva: where the first one is in the VMM's address space
 * @dirty: with KVM_MEM_LOG_DIRTY_PAGES: one bit per frame, else NULL; handed
 *	on when a slot moves, so it outlives this struct; with dirty rings, a
 *	set bit says that the frame is in one of them
 * @flags: KVM_MEM_*
 * @id: as userspace chose
 */
struct mhv_memslot {
	gfn_t base;
	unsigned long npages;
	unsigned long hva;
	unsigned long *dirty;
	u32 flags;
	u16 id;
};

/**
 * struct mhv_hva_ref - a slot in the order of virtual addresses
 * @slot: the slot
 * @max_end: the highest end of this slot and all before it: slots may overlap
 *	in virtual addresses, and a search downwards stops by this
 */
struct mhv_hva_ref {
	const struct mhv_memslot *slot;
	unsigned long max_end;
};

/**
 * struct mhv_memslots - one generation of a VM's slots, replaced as a whole
 * @generation: changes with each replacement; caches compare it
 * @last: the slot that the last search found, or an empty one; a hint, written
 *	without a lock
 * @nr: how many
 * @by_hva: the same slots, sorted by virtual address
 * @ids: slot by id; one for all generations, under slots_lock
 * @older: generations before this that a reader may still hold
 * @nr_older: how many
 * @slot: sorted by base
 */
struct mhv_memslots {
	u64 generation;
	const struct mhv_memslot *last;
	unsigned int nr;
	struct mhv_hva_ref *by_hva;
	struct xarray *ids;
	struct mhv_memslots *older;
	unsigned int nr_older;
	const struct mhv_memslot *slot[];
};

/* ---- memslot.c ---- */
int mhv_memslots_init(struct mhv_vm *vm);
void mhv_memslots_destroy(struct mhv_vm *vm);
int mhv_memslot_set(struct mhv_vm *vm, const struct kvm_userspace_memory_region *mem);
const struct mhv_memslot *mhv_memslot_find(struct mhv_vm *vm, gfn_t gfn);
unsigned long mhv_gfn_to_hva(struct mhv_vm *vm, gfn_t gfn, bool write);
int mhv_dirty_log_get(struct mhv_vm *vm, struct kvm_dirty_log *log);
int mhv_dirty_log_clear(struct mhv_vm *vm, struct kvm_clear_dirty_log *log);
void mhv_mark_dirty(struct mhv_vm *vm, const struct mhv_memslot *slot, gfn_t gfn);

/* ---- dirty_ring.c ---- */
#define MHV_DIRTY_RING_MAX	1048576	/* bytes, as KVM has it */
bool mhv_dirty_ring_full(struct mhv_vcpu *vcpu);
void mhv_dirty_ring_push(struct mhv_vm *vm, u32 slot, u64 offset);
long mhv_dirty_rings_reset(struct mhv_vm *vm);
long mhv_dirty_rings_enable(struct mhv_vm *vm, u32 bytes);
int mhv_dirty_ring_create(struct mhv_vcpu *vcpu);
void mhv_dirty_ring_destroy(struct mhv_vcpu *vcpu);
struct page *mhv_dirty_ring_page(struct mhv_vcpu *vcpu, unsigned long pgoff);

static __always_inline bool mhv_slot_has(const struct mhv_memslot *slot, gfn_t gfn)
{
	return gfn - slot->base < slot->npages;
}

/**
 * mhv_slots_find - the slot of a guest frame
 * @slots: a generation of slots, protected by vm->srcu or vm->mmu_lock
 * @gfn: the frame
 *
 * Calls nothing, so that it may stand in a section of user access.
 *
 * Returns: the slot, or NULL if there is none.
 */
static __always_inline const struct mhv_memslot *
mhv_slots_find(struct mhv_memslots *slots, gfn_t gfn)
{
	const struct mhv_memslot *slot = READ_ONCE(slots->last);
	unsigned int lo = 0, hi = slots->nr;

	if (likely(mhv_slot_has(slot, gfn)))
		return slot;
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		slot = slots->slot[mid];
		if (mhv_slot_has(slot, gfn)) {
			WRITE_ONCE(slots->last, slot);
			return slot;
		}
		if (gfn < slot->base)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/**
 * mhv_slot_hva - where a slot has one of its frames
 * @slot: the slot
 * @gfn: a frame in it
 *
 * The frame is a guest's choice, so the offset is also bounded when the CPU
 * speculates past the caller's check.
 *
 * Returns: the virtual address in the VMM.
 */
static __always_inline unsigned long mhv_slot_hva(const struct mhv_memslot *slot, gfn_t gfn)
{
	unsigned long offset = array_index_nospec(gfn - slot->base, slot->npages);

	return slot->hva + (offset << PAGE_SHIFT);
}

/* ---- gmem.c: caller holds vm->srcu; may sleep ---- */
int mhv_gmem_read(struct mhv_vm *vm, gpa_t gpa, void *data, unsigned int len);
int mhv_gmem_write(struct mhv_vm *vm, gpa_t gpa, const void *data, unsigned int len);
bool mhv_gmem_is_writable(struct mhv_vm *vm, gpa_t gpa, unsigned int len);
int mhv_gmem_write_nofault(struct mhv_vm *vm, gpa_t gpa, const void *data, unsigned int len);
int mhv_gmem_cmpxchg(struct mhv_vm *vm, gpa_t gpa, void *old, const void *new,
		     unsigned int len);

/* ---- mmu.c ---- */

/**
 * struct mhv_pte_format - where a backend's nested PTE keeps what
 * @present: bits that a present entry has
 * @write: writable
 * @exec: set to allow execution (0 if there is none)
 * @user: set in every entry where the hardware wants it (0 if not)
 * @accessed: the accessed bit (0 if there is none)
 * @dirty: the dirty bit (0 if there is none)
 * @huge: this entry maps a large page
 * @huge_lacks: bits of a leaf that a large one must not have: @exec, on CPUs that
 *	code in large pages can crash
 * @memtype: bits of a leaf that maps normal, write-back memory
 * @memtype_mmio: bits of a leaf that maps a device's memory, uncached
 */
struct mhv_pte_format {
	u64 present;
	u64 write;
	u64 exec;
	u64 user;
	u64 accessed;
	u64 dirty;
	u64 huge;
	u64 huge_lacks;
	u64 memtype;
	u64 memtype_mmio;
};

/**
 * struct mhv_mmu - a VM's nested page tables [m]
 * @root: of the tables; the same page while the VM lives
 * @root_gen: changes when the root does; vCPUs compare it
 * @table_bits: what an entry that points to a table has set [I]
 * @leaf_bits: what a leaf has set, beside type and permission to write [I]
 * @seq: changes with each invalidation by the MMU notifier that ended
 * @invalidating: invalidations under way
 * @inv_start: virtual addresses that those under way span together
 * @inv_end: end of that range
 * @leaving: a slot out of vm->slots whose mappings are being zapped: the MMU
 *	notifier must still see it
 * @device: a device's memory is mapped, or was [a]
 * @pages: table pages, for memory accounting
 * @freed: table pages taken out, to be freed once no CPU can be using them
 */
struct mhv_mmu {
	u64 *root;
	u64 root_gen;
	u64 table_bits;
	u64 leaf_bits;
	unsigned long seq;
	unsigned int invalidating;
	unsigned long inv_start;
	unsigned long inv_end;
	const struct mhv_memslot *leaving;
	bool device;
	atomic_long_t pages;
	struct list_head freed;
};

/* What mhv_mmu_fault() returns, beside -errno. */
enum mhv_fault {
	MHV_FAULT_FIXED = 1,	/* mapped, or already was: enter again */
	MHV_FAULT_MMIO = 0,	/* no memory there, or a write to read-only memory */
};

int mhv_mmu_create(struct mhv_vm *vm);
void mhv_mmu_destroy(struct mhv_vm *vm);
int mhv_mmu_fault(struct mhv_vcpu *vcpu, gpa_t gpa, u32 access);
gfn_t mhv_mmu_max_gfn(void);
void mhv_mmu_publish(struct mhv_vm *vm, struct mhv_memslots *slots,
		     const struct mhv_memslot *leaving);
void mhv_mmu_zap_slot(struct mhv_vm *vm, const struct mhv_memslot *slot);
void mhv_mmu_start_logging(struct mhv_vm *vm, const struct mhv_memslot *slot);
void mhv_mmu_collect_dirty(struct mhv_vm *vm, const struct mhv_memslot *slot,
			   unsigned long first, unsigned int nr, unsigned long *bits);
void mhv_mmu_flush(struct mhv_vm *vm);
int mhv_notifier_register(struct mhv_vm *vm);
void mhv_notifier_unregister(struct mhv_vm *vm);
hpa_t mhv_mmu_root(struct mhv_vm *vm);

/* ---- walk.c: caller holds vm->srcu; may sleep ---- */

/**
 * struct mhv_walk - a walk of the guest's page tables
 * @gpa: result: the guest-physical address
 * @fault_addr: result of a failed walk: the #PF's address (CR2)
 * @fault_error: result of a failed walk: the #PF's error code
 * @faulted: the guest's tables do not allow it: there is a #PF to deliver
 */
struct mhv_walk {
	gpa_t gpa;
	u64 fault_addr;
	u32 fault_error;
	bool faulted;
};

int mhv_walk(struct mhv_vcpu *vcpu, gva_t linear, u32 access, struct mhv_walk *walk);
void mhv_translate(struct mhv_vcpu *vcpu, struct kvm_translation *tr);
int mhv_load_pdptrs(struct mhv_vcpu *vcpu, u64 cr3);
int mhv_fetch(struct mhv_vcpu *vcpu, gva_t linear, u8 *buf, unsigned int len,
	      struct mhv_walk *walk);

#endif /* MHV_MEM_H */
