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
#include <linux/types.h>

struct mhv_vm;
struct mhv_vcpu;
struct mhv_event;

/* Access to memory, in the bit positions of a page fault's error code. */
#define MHV_ACC_PRESENT		BIT(0)	/* the translation was present */
#define MHV_ACC_WRITE		BIT(1)
#define MHV_ACC_USER		BIT(2)
#define MHV_ACC_RSVD		BIT(3)
#define MHV_ACC_FETCH		BIT(4)
/* Beyond the error code: of a nested fault, whose access it was. */
#define MHV_ACC_GUEST_TABLE	BIT(8)	/* the CPU's walk of the guest's tables */
#define MHV_ACC_IMPLICIT	BIT(9)	/* supervisor whatever the CPL (descriptor tables) */

#define MHV_NR_MEMSLOTS		32764	/* ids 0 to 32763, as KVM has them */

/**
 * struct mhv_memslot - a range of guest memory; immutable once published
 * @base: first guest frame
 * @npages: how many, never 0
 * @hva: where the first one is in the VMM's address space
 * @id: as userspace chose
 * @flags: KVM_MEM_*
 * @dirty: with KVM_MEM_LOG_DIRTY_PAGES: one bit per frame, else NULL; the
 *	bitmap belongs to the slot id and outlives a change of flags
 */
struct mhv_memslot {
	gfn_t base;
	unsigned long npages;
	unsigned long hva;
	u16 id;
	u32 flags;
	unsigned long *dirty;
};

/**
 * struct mhv_memslots - one generation of a VM's slots, replaced as a whole
 * @generation: changes with each replacement; caches compare it
 * @nr: how many
 * @slot: sorted by base
 */
struct mhv_memslots {
	u64 generation;
	unsigned int nr;
	struct mhv_memslot slot[];
};

/* ---- memslot.c ---- */
int mhv_memslots_init(struct mhv_vm *vm);
void mhv_memslots_destroy(struct mhv_vm *vm);
int mhv_memslot_set(struct mhv_vm *vm, const struct kvm_userspace_memory_region *mem);
const struct mhv_memslot *mhv_memslot_find(struct mhv_vm *vm, gfn_t gfn);
unsigned long mhv_gfn_to_hva(struct mhv_vm *vm, gfn_t gfn, bool write);
int mhv_dirty_log_get(struct mhv_vm *vm, struct kvm_dirty_log *log);
void mhv_mark_dirty(struct mhv_vm *vm, const struct mhv_memslot *slot, gfn_t gfn);

/* ---- gmem.c: caller holds vm->srcu; may sleep ---- */
int mhv_gmem_read(struct mhv_vm *vm, gpa_t gpa, void *data, unsigned int len);
int mhv_gmem_write(struct mhv_vm *vm, gpa_t gpa, const void *data, unsigned int len);
int mhv_gmem_cmpxchg(struct mhv_vm *vm, gpa_t gpa, void *old, const void *new,
		     unsigned int len);

/* ---- mmu.c ---- */

/**
 * struct mhv_pte_format - where a backend's nested PTE keeps what
 * @present: bits that a present entry has
 * @write: writable
 * @exec: set to allow execution (0 if there is none)
 * @nx: set to forbid it (0 if there is none)
 * @user: set in every entry where the hardware wants it (0 if not)
 * @accessed: the accessed bit (0 if there is none)
 * @dirty: the dirty bit (0 if there is none)
 * @huge: this entry maps a large page
 * @memtype: bits of a leaf that maps normal, write-back memory
 * @memtype_mmio: bits of a leaf that maps a device's memory, uncached
 */
struct mhv_pte_format {
	u64 present;
	u64 write;
	u64 exec;
	u64 nx;
	u64 user;
	u64 accessed;
	u64 dirty;
	u64 huge;
	u64 memtype;
	u64 memtype_mmio;
};

/**
 * struct mhv_mmu - a VM's nested page tables [m]
 * @root: of the tables
 * @root_gen: changes when the root does; vCPUs compare it
 * @seq: changes with each invalidation by the MMU notifier
 * @invalidating: invalidations under way
 * @pages: table pages, for memory accounting
 * @freed: table pages taken out, to be freed once no CPU can be using them
 */
struct mhv_mmu {
	u64 *root;
	u64 root_gen;
	unsigned long seq;
	unsigned int invalidating;
	unsigned long pages;
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
void mhv_mmu_zap_slot(struct mhv_vm *vm, const struct mhv_memslot *slot);
void mhv_mmu_write_protect(struct mhv_vm *vm, const struct mhv_memslot *slot,
			   gfn_t base, unsigned long mask);
int mhv_notifier_register(struct mhv_vm *vm);
void mhv_notifier_unregister(struct mhv_vm *vm);
hpa_t mhv_mmu_root(struct mhv_vm *vm);

/* ---- walk.c: caller holds vm->srcu; may sleep ---- */

/**
 * struct mhv_walk - a walk of the guest's page tables
 * @gpa: result: the guest-physical address
 * @fault: result of a failed walk: the #PF to deliver (payload: the address)
 * @page_size: result: bytes that the translation covers
 */
struct mhv_walk {
	gpa_t gpa;
	u64 fault_addr;
	u32 fault_error;
	unsigned long page_size;
};

int mhv_walk(struct mhv_vcpu *vcpu, gva_t linear, u32 access, struct mhv_walk *walk);
int mhv_translate(struct mhv_vcpu *vcpu, struct kvm_translation *tr);
int mhv_load_pdptrs(struct mhv_vcpu *vcpu, u64 cr3);

int mhv_fetch(struct mhv_vcpu *vcpu, gva_t linear, u8 *buf, unsigned int len,
	      struct mhv_walk *walk);

#endif /* MHV_MEM_H */
