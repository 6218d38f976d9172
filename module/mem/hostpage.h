/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the VMM has at an address of its own: from its page tables, or by a fault.
 */
#ifndef MHV_HOSTPAGE_H
#define MHV_HOSTPAGE_H

#include <linux/kvm_types.h>
#include <linux/mm.h>

/* Levels: 1 maps pages of 4 KiB, 2 large ones of 2 MiB. */
#define LEVEL_PAGE	1
#define LEVEL_LARGE	2

/**
 * struct host_page - what the VMM has at an address
 * @pfn: the frame, of the very page
 * @level: how large a page the VMM's page table maps there
 * @writable: may be mapped writable, for the VMM's mapping is and is dirty:
 *	whatever makes that page clean again calls the notifier
 * @device: not RAM
 * @page: a reference to put, or NULL
 */
struct host_page {
	kvm_pfn_t pfn;
	u8 level;
	bool writable;
	bool device;
	struct page *page;
};

int host_find(struct mm_struct *mm, unsigned long hva, bool write, struct host_page *hp);

/**
 * host_put() - drop what host_find() got
 * @hp: the page
 *
 * Context: any.
 */
static inline void host_put(struct host_page *hp)
{
	if (hp->page)
		put_page(hp->page);
	hp->page = NULL;
}

#endif /* MHV_HOSTPAGE_H */
