// SPDX-License-Identifier: GPL-2.0
/*
 * The walk of the guest's own page tables, and the fetch of instruction bytes.
 * Entered from the emulator, from backends that decode an instruction, and KVM_TRANSLATE.
 * The caller holds vm->srcu and has the vCPU loaded; reading the tables may sleep.
 * AMD APM volume 2, "Page Translation and Protection"; Intel SDM volume 3, "Paging".
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "backend.h"
#include "paging.h"

/* Attempts to set accessed and dirty bits while others change the entry. */
#define MAX_AD_TRIES	16

/**
 * struct trail - the entries that a walk went through
 * @gpa: where each is, by level
 * @pte: its value
 * @leaf: the level of the last
 */
struct trail {
	gpa_t gpa[PG_MAX_LEVELS + 1];
	u64 pte[PG_MAX_LEVELS + 1];
	unsigned int leaf;
};

static bool read_entry(struct mhv_memslots *slots, gpa_t gpa, unsigned int size, u64 *pte)
{
	const struct mhv_memslot *slot = mhv_slots_find(slots, gpa >> PAGE_SHIFT);
	const void __user *from;
	u32 narrow;

	if (unlikely(!slot))
		return false;
	from = (const void __user *)(mhv_slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
	if (!user_read_access_begin(from, size))
		return false;
	if (size == 8) {
		unsafe_get_user(*pte, (const u64 __user *)from, fault);
	} else {
		unsafe_get_user(narrow, (const u32 __user *)from, fault);
		*pte = narrow;
	}
	user_read_access_end();
	return true;
fault:
	user_read_access_end();
	return false;
}

/* Before the first table: the root, or in PAE mode the PDPTE if the CPU keeps those. */
static gpa_t first_table(struct mhv_vcpu *vcpu, unsigned int levels)
{
	u64 cr3 = vcpu->state.cr3;

	if (levels == 2)
		return cr3 & 0xfffff000;
	if (levels == 3)
		return cr3 & 0xffffffe0;
	return cr3 & GPTE_ADDR;
}

static int walk_fault(const struct paging *p, u64 linear, u32 access, u32 why,
		      struct mhv_walk *walk)
{
	walk->faulted = true;
	walk->fault_addr = linear;
	walk->fault_error = paging_error(p, access, why);
	return -EFAULT;
}

/* In PAE mode, PDPTEs that the CPU loads with CR3 count, not those in memory. */
static bool read_level(struct mhv_vcpu *vcpu, const struct paging *p, unsigned int level,
		       struct trail *trail)
{
	unsigned int size = p->levels == 2 ? 4 : 8;

	if (p->levels == 3 && level == 3 && mhv_backend->caps.pdptr_cached) {
		mhv_state_need(vcpu, MHV_G_PDPTR);
		trail->pte[level] = vcpu->state.pdptr[(trail->gpa[level] >> 3) & 3];
		return true;
	}
	return read_entry(READ_ONCE(vcpu->vm->slots), trail->gpa[level], size, &trail->pte[level]);
}

/*
 * Go down the tables, and check what every access is checked for.
 *
 * Returns: 0 with @trail and @walk->gpa filled, or -EFAULT with the #PF in @walk.
 */
static int walk_tables(struct mhv_vcpu *vcpu, const struct paging *p, u64 linear, u32 access,
		       struct trail *trail, struct mhv_walk *walk)
{
	unsigned int size = p->levels == 2 ? 4 : 8, level, shift;
	gpa_t table = first_table(vcpu, p->levels);
	u64 pte, all = ~0ULL, any = 0;
	bool leaf;

	for (level = p->levels; ; level--) {
		shift = paging_shift(p->levels, level);
		trail->gpa[level] = table + ((linear >> shift) & (PAGE_SIZE / size - 1)) * size;
		/* A table that is not in memory reads as nothing present. */
		if (!read_level(vcpu, p, level, trail) || !(trail->pte[level] & GPTE_P))
			return walk_fault(p, linear, access, 0, walk);
		pte = trail->pte[level];
		table = pte & GPTE_ADDR;
		/*
		 * A PDPTE of PAE has no permissions, and its reserved bits are
		 * looked at when CR3 is loaded: some CPUs set bit 5 later on.
		 */
		if (p->levels == 3 && level == 3)
			continue;
		leaf = paging_is_leaf(p->levels, p->cr4, level, pte);
		if (pte & paging_reserved(p, level, leaf))
			return walk_fault(p, linear, access, MHV_ACC_PRESENT | MHV_ACC_RSVD, walk);
		all &= pte;
		any |= pte;
		if (leaf)
			break;
	}
	if (paging_denied(p, all, any, access, vcpu->state.rflags & X86_EFLAGS_AC))
		return walk_fault(p, linear, access, MHV_ACC_PRESENT, walk);
	trail->leaf = level;
	walk->gpa = paging_leaf_base(p->levels, level, pte) | (linear & (BIT_ULL(shift) - 1));
	return 0;
}

/*
 * Set accessed bits on the way, and the leaf's dirty bit for a write, as the
 * CPU does.  Tables in read-only memory stay as they are.
 *
 * Returns: whether an entry changed meanwhile, so that the walk is void.
 */
static bool set_accessed_dirty(struct mhv_vcpu *vcpu, const struct paging *p,
			       struct trail *trail, bool write)
{
	unsigned int level, top = p->levels == 3 ? 2 : p->levels;
	unsigned int size = p->levels == 2 ? 4 : 8;

	for (level = top; level >= trail->leaf; level--) {
		u64 old = trail->pte[level], new = old | GPTE_A;

		if (level == trail->leaf && write)
			new |= GPTE_D;
		if (new != old &&
		    mhv_gmem_cmpxchg(vcpu->vm, trail->gpa[level], &old, &new, size) == -EAGAIN)
			return true;
	}
	return false;
}

/**
 * mhv_walk - translate a linear address by the guest's page tables
 * @vcpu: the vCPU, loaded
 * @linear: the address; its upper half counts in long mode alone
 * @access: MHV_ACC_WRITE, _FETCH, _USER (CPL 3; not for an access that is
 *	supervisor's whatever the CPL), _IMPLICIT
 * @walk: result
 *
 * Checks permissions and reserved bits as the CPU would, and sets accessed and
 * dirty bits.  Whether there is memory at the result is another question.
 *
 * Context: a thread of the VMM, vm->srcu held, may sleep.
 *
 * Returns: 0 with @walk->gpa filled, or -EFAULT with faulted set and the #PF
 * to deliver in fault_addr and fault_error.
 */
int mhv_walk(struct mhv_vcpu *vcpu, gva_t linear, u32 access, struct mhv_walk *walk)
{
	struct paging p;
	struct trail trail;
	unsigned int tries;
	int r;

	mhv_state_need(vcpu, MHV_G_CR | MHV_G_EFER | MHV_G_RIP_FLAGS);
	p.cr0 = vcpu->state.cr0;
	p.cr4 = vcpu->state.cr4;
	p.efer = vcpu->state.efer;
	p.maxphyaddr = vcpu->maxphyaddr;
	p.gbpages = boot_cpu_has(X86_FEATURE_GBPAGES);	/* it is the CPU that walks */
	p.levels = paging_levels(p.cr0, p.cr4, p.efer);
	walk->faulted = false;
	if (p.levels < 4)
		linear = (u32)linear;
	if (!p.levels) {
		walk->gpa = linear;
		return 0;
	}
	for (tries = 0; ; tries++) {
		r = walk_tables(vcpu, &p, linear, access, &trail, walk);
		if (r || tries == MAX_AD_TRIES)
			return r;
		if (!set_accessed_dirty(vcpu, &p, &trail, access & MHV_ACC_WRITE))
			return 0;
	}
}

/**
 * struct stretch - the guest memory of one slot, in bytes
 * @base: its first guest-physical address
 * @size: how many; 0: of no slot yet
 * @hva: where the VMM has @base
 */
struct stretch {
	gpa_t base;
	u64 size;
	unsigned long hva;
};

/*
 * Where the VMM has a guest-physical address.  @s is where the last one was: code and the tables
 * that lead to it are in one slot, as a rule.  Calls nothing.
 *
 * Returns: whether there is memory.
 */
static __always_inline bool quick_hva(struct mhv_memslots *slots, gpa_t gpa, struct stretch *s,
				      unsigned long *hva)
{
	if (unlikely(gpa - s->base >= s->size)) {
		const struct mhv_memslot *slot = mhv_slots_find(slots, gpa >> PAGE_SHIFT);

		if (!slot)
			return false;
		s->base = slot->base << PAGE_SHIFT;
		s->size = (u64)slot->npages << PAGE_SHIFT;
		s->hva = slot->hva;
	}
	/* A guest's choice: bounded also when the CPU speculates past the check. */
	*hva = s->hva + array_index_nospec(gpa - s->base, s->size);
	return true;
}

#define USER_PTR(type, addr)	((const type __user *)(addr))

/*
 * Fetch bytes of one page in long mode.  This is what every intercepted
 * instruction costs on a CPU that does not report its length, so: one section
 * of user access for all (the addresses were checked when the slots were set),
 * no check but for presence (the CPU has executed the instruction a moment
 * ago), loads that overlap rather than a loop.
 *
 * Returns: whether @buf is filled.  If not, the long way says why.
 */
static __always_inline bool fetch_quick(struct mhv_vcpu *vcpu, u64 linear, u8 *buf,
					unsigned int n)
{
	struct mhv_memslots *slots = READ_ONCE(vcpu->vm->slots);
	u64 pte = vcpu->state.cr3, mask;
	unsigned int shift = vcpu->state.cr4 & PG_CR4_LA57 ? 57 : 48;
	struct stretch memory = {};
	unsigned long from;

	__uaccess_begin_nospec();
	do {
		shift -= 9;
		if (!quick_hva(slots, (pte & GPTE_ADDR) | ((linear >> shift) & 511) << 3,
			       &memory, &from))
			goto fail;
		unsafe_get_user(pte, USER_PTR(u64, from), fail);
		if (!(pte & GPTE_P))
			goto fail;
	} while (shift > PAGE_SHIFT && !(pte & GPTE_PS));

	mask = BIT_ULL(shift) - 1;
	if (!quick_hva(slots, (pte & GPTE_ADDR & ~mask) | (linear & mask), &memory, &from))
		goto fail;
	if (n >= 8) {
		unsafe_get_user(*(u64 *)buf, USER_PTR(u64, from), fail);
		unsafe_get_user(*(u64 *)(buf + n - 8), USER_PTR(u64, from + n - 8), fail);
	} else if (n >= 2) {
		for (; n >= 2; n -= 2, buf += 2, from += 2)
			unsafe_get_user(*(u16 *)buf, USER_PTR(u16, from), fail);
	}
	if (n == 1)
		unsafe_get_user(*buf, USER_PTR(u8, from), fail);
	__uaccess_end();
	return true;
fail:
	__uaccess_end();
	return false;
}

/* The instruction bytes of one page.  Returns 0, -EFAULT (a #PF) or -ENXIO. */
static noinline int fetch_slow(struct mhv_vcpu *vcpu, u64 linear, u8 *buf,
			       unsigned int n, struct mhv_walk *walk)
{
	u32 user = mhv_cpl(vcpu) == 3 ? MHV_ACC_USER : 0;
	int r = mhv_walk(vcpu, linear, MHV_ACC_FETCH | user, walk);

	if (r)
		return r;
	return mhv_gmem_read(vcpu->vm, walk->gpa, buf, n) ? -ENXIO : 0;
}

/**
 * mhv_fetch - read the bytes of the instruction that the vCPU has just executed
 * @vcpu: the vCPU, loaded
 * @linear: CS.base + RIP
 * @buf: to here
 * @len: 1 to 15 bytes; the instruction may be shorter
 * @walk: what is wrong with the bytes that are missing: faulted with the #PF,
 *	or not faulted if there is no memory
 *
 * The CPU has fetched the instruction, so permissions are not checked again.
 *
 * Context: a thread of the VMM, vm->srcu held, may sleep.
 *
 * Returns: how many bytes there are: less than @len if the next page has none,
 * which matters only if the instruction goes on there.  -EFAULT for a #PF at
 * the first byte (another vCPU has changed the tables), -ENXIO if there is no
 * memory.
 */
int mhv_fetch(struct mhv_vcpu *vcpu, gva_t linear, u8 *buf, unsigned int len,
	      struct mhv_walk *walk)
{
	unsigned int n = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
	int r;

	walk->faulted = false;
	mhv_state_need(vcpu, MHV_G_CR | MHV_G_EFER);
	if (unlikely(!(vcpu->state.efer & PG_EFER_LMA) || !fetch_quick(vcpu, linear, buf, n))) {
		r = fetch_slow(vcpu, linear, buf, n, walk);
		if (r)
			return r;
	}
	if (likely(n == len))
		return len;
	return fetch_slow(vcpu, linear + n, buf + n, len - n, walk) ? n : len;
}

/**
 * mhv_translate - KVM_TRANSLATE
 * @vcpu: the vCPU, loaded
 * @tr: linear_address is the question; the rest is the answer
 *
 * The translation that a supervisor's read would take, accessed bits included.
 * Like KVM, says nothing of permissions; without paging, the answer is the
 * address, all 64 bits of it, but for the one that stands for none.
 *
 * Context: a thread of the VMM, may sleep; takes vm->srcu.
 */
void mhv_translate(struct mhv_vcpu *vcpu, struct kvm_translation *tr)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	struct mhv_walk walk;
	bool ok;

	ok = !mhv_walk(vcpu, tr->linear_address, 0, &walk);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (!(vcpu->state.cr0 & PG_CR0_PG))
		walk.gpa = tr->linear_address;
	tr->physical_address = ok ? walk.gpa : ~0ULL;
	tr->valid = tr->physical_address != ~0ULL;
	tr->writeable = 1;
	tr->usermode = 0;
}

/**
 * mhv_load_pdptrs - load the four PDPTEs, as PAE paging does with CR3
 * @vcpu: the vCPU, loaded
 * @cr3: where they are
 *
 * Context: a thread of the VMM, may sleep; takes vm->srcu.
 *
 * Returns: 0, or -EINVAL, and nothing changed, if one that is present has
 * reserved bits set, or they are not in memory: MOV to CR is then to raise #GP.
 */
int mhv_load_pdptrs(struct mhv_vcpu *vcpu, u64 cr3)
{
	const struct paging p = { .levels = 3, .maxphyaddr = vcpu->maxphyaddr };
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	u64 pdptr[4];
	unsigned int i;
	int r;

	r = mhv_gmem_read(vcpu->vm, cr3 & 0xffffffe0, pdptr, sizeof(pdptr));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	if (r)
		return -EINVAL;
	for (i = 0; i < 4; i++) {
		if ((pdptr[i] & GPTE_P) && (pdptr[i] & paging_reserved(&p, 3, false)))
			return -EINVAL;
	}
	mhv_state_change(vcpu, MHV_G_PDPTR);
	memcpy(vcpu->state.pdptr, pdptr, sizeof(pdptr));
	return 0;
}
