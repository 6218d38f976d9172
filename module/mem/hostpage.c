// SPDX-License-Identifier: GPL-2.0
/*
 * What the VMM has at an address of its own: a look at its page tables, or the kernel's fault.
 * Entered from mmu.c, for a nested fault.
 * No lock of minihv's; the mmap lock where a driver's range is looked up.
 * Intel SDM volume 3, "Paging", for the format of the host's own tables.
 *
 * Nothing here keeps the page from going away again: mmu.c compares mmu.seq for that.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <asm/pgtable.h>

#include "compat.h"
#include "hostpage.h"

#ifdef _PAGE_DEVMAP
#define HOST_ODD	(_PAGE_SPECIAL | _PAGE_DEVMAP)
#else
#define HOST_ODD	_PAGE_SPECIAL
#endif

/*
 * A leaf of the VMM's page tables: may the guest have it?  Not what has no
 * struct page, or one with a life of its own; not for a write what is not
 * writable, or still clean: the slow path makes it dirty properly.
 */
static bool host_leaf(u64 pte, unsigned int level, bool write, struct host_page *hp)
{
	const u64 wanted = _PAGE_PRESENT | _PAGE_USER;

	if ((pte & (wanted | HOST_ODD)) != wanted)
		return false;
	hp->writable = (pte & (_PAGE_RW | _PAGE_DIRTY)) == (_PAGE_RW | _PAGE_DIRTY);
	if (write && !hp->writable)
		return false;
	hp->level = level;
	hp->device = false;
	hp->page = NULL;
	return true;
}

/*
 * Look the page up in the VMM's page tables.  Interrupts are off for as long
 * as the tables are read: that keeps them from being freed, as it does for
 * the kernel's own lock-free walks.
 *
 * Returns: whether @hp has been filled.  If not, host_fault() knows more.
 */
static bool host_lookup(struct mm_struct *mm, unsigned long hva, bool write,
			struct host_page *hp)
{
	unsigned long flags;
	bool found = false;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;
	pte_t pte;

	/* Where access_ok() only looks at bit 63, a slot may be beyond: the index would wrap. */
	if (unlikely(hva >= TASK_SIZE_MAX))
		return false;
	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_val(pud) & _PAGE_PSE) {
		hp->pfn = pud_pfn(pud) + ((hva & ~PUD_MASK) >> PAGE_SHIFT);
		found = host_leaf(pud_val(pud), LEVEL_LARGE, write, hp);
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !(pmd_val(pmd) & _PAGE_PRESENT))
		goto out;
	if (pmd_val(pmd) & _PAGE_PSE) {
		hp->pfn = pmd_pfn(pmd) + ((hva & ~PMD_MASK) >> PAGE_SHIFT);
		found = host_leaf(pmd_val(pmd), LEVEL_LARGE, write, hp);
		goto out;
	}
	pte = READ_ONCE(*pte_offset_kernel(&pmd, hva));
	hp->pfn = pte_pfn(pte);
	found = host_leaf(pte_val(pte), LEVEL_PAGE, write, hp);
out:
	local_irq_restore(flags);
	return found;
}

/*
 * A range without struct pages, that a driver gave to the VMM by mmap().
 * Returns as host_fault(), and -EROFS for a write to what may only be read.
 */
static int host_device(unsigned long hva, bool write, struct host_page *hp)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	bool unlocked = false;
	unsigned long pfn = 0;
	int r = -EFAULT;

	mmap_read_lock(mm);
	vma = find_vma_intersection(mm, hva, hva + 1);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	r = mhv_follow_pfnmap(vma, hva, &pfn, &hp->writable);
	if (!r && write && !(vma->vm_flags & VM_WRITE)) {
		r = -EROFS;
	} else if (r || (write && !hp->writable)) {
		/* The driver is asked for the page; lock and VMA may be others then. */
		r = fixup_user_fault(mm, hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
		if (!r)
			r = -EAGAIN;
	}
	hp->pfn = pfn;
	hp->level = LEVEL_PAGE;
	hp->device = !page_is_ram(pfn);
	hp->page = NULL;
out:
	mmap_read_unlock(mm);
	return r;
}

/*
 * Have the kernel make the page present, and for a write writable and dirty.
 * Sleeps: the page may have to be allocated, copied, or read from swap.
 *
 * Returns: 0 and @hp filled, with a reference; -EAGAIN to look again; -EINTR
 * if a signal is pending; -EHWPOISON; -EFAULT.
 */
static int host_fault(unsigned long hva, bool write, struct host_page *hp)
{
	struct page *page;
	long r;

	r = get_user_pages_unlocked(hva, 1, &page, FOLL_HWPOISON | MHV_FOLL_FAULT |
				    (write ? FOLL_WRITE : 0));
	if (r != 1) {
		if (r == -EHWPOISON)
			return r;
		if ((r == -EINTR || r == -ERESTARTSYS || r == -EAGAIN) && signal_pending(current))
			return -EINTR;
		return host_device(hva, write, hp);
	}
	if (write && !PageDirty(page))
		set_page_dirty_lock(page);
	hp->pfn = page_to_pfn(page);
	hp->level = LEVEL_PAGE;
	hp->writable = write;
	hp->device = false;
	hp->page = page;
	return 0;
}

/**
 * host_find() - find the page at an address, by whatever way it takes
 * @mm: the VMM's
 * @hva: the address
 * @write: the page is to be written
 * @hp: filled; host_put() it
 *
 * The quick look-up is tried again after the slow path: it knows whether the
 * page is part of a large one.
 *
 * Context: may sleep.
 * Return: 0; -EAGAIN to look again; -EROFS for a write to a device's range that
 * may only be read; -EINTR if a signal is pending; -EHWPOISON; -EFAULT, also
 * where only the slow path would help and @mm is another process's.
 */
int host_find(struct mm_struct *mm, unsigned long hva, bool write, struct host_page *hp)
{
	struct host_page quick;
	int r;

	if (likely(host_lookup(mm, hva, write, hp)))
		return 0;
	if (current->mm != mm)
		return -EFAULT;
	r = host_fault(hva, write, hp);
	if (!r && hp->page && host_lookup(mm, hva, write, &quick)) {
		host_put(hp);
		*hp = quick;
	}
	return r;
}
