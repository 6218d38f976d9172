/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rules of x86 paging, as pure functions: modes, reserved bits, permissions, error codes.
 * Entered from walk.c; from KUnit and native tests.
 * No locks, no state, no memory access.
 * AMD APM volume 2, "Page Translation and Protection"; Intel SDM volume 3, "Paging".
 */
#ifndef MHV_PAGING_H
#define MHV_PAGING_H

#include "mem.h"

/* An entry of the guest's tables; the same positions in all modes. */
#define GPTE_P		BIT_ULL(0)
#define GPTE_W		BIT_ULL(1)
#define GPTE_U		BIT_ULL(2)
#define GPTE_A		BIT_ULL(5)
#define GPTE_D		BIT_ULL(6)
#define GPTE_PS		BIT_ULL(7)
#define GPTE_NX		BIT_ULL(63)
#define GPTE_ADDR	GENMASK_ULL(51, 12)

/* CR0, CR4 and EFER bits; the kernel's names exist in the kernel only. */
#define PG_CR0_WP	BIT_ULL(16)
#define PG_CR0_PG	BIT_ULL(31)
#define PG_CR4_PSE	BIT_ULL(4)
#define PG_CR4_PAE	BIT_ULL(5)
#define PG_CR4_LA57	BIT_ULL(12)
#define PG_CR4_SMEP	BIT_ULL(20)
#define PG_CR4_SMAP	BIT_ULL(21)
#define PG_EFER_LMA	BIT_ULL(10)
#define PG_EFER_NXE	BIT_ULL(11)

#define PG_MAX_LEVELS	5

/**
 * struct paging - how the guest's tables are to be read
 * @levels: 0: no paging; 2: 32-bit; 3: PAE; 4 and 5: long mode
 * @cr0: the guest's
 * @cr4: the guest's
 * @efer: the guest's
 * @maxphyaddr: physical address bits, by the guest's CPUID
 * @gbpages: pages of 1 GiB exist
 */
struct paging {
	unsigned int levels;
	u64 cr0;
	u64 cr4;
	u64 efer;
	u8 maxphyaddr;
	bool gbpages;
};

/*
 * CR0.PG  CR4.PAE  EFER.LMA  CR4.LA57	levels
 *   0	      -	       -	 -	0
 *   1	      0	       -	 -	2
 *   1	      1	       0	 -	3
 *   1	      1	       1	 0	4
 *   1	      1	       1	 1	5
 */
static __always_inline unsigned int paging_levels(u64 cr0, u64 cr4, u64 efer)
{
	if (!(cr0 & PG_CR0_PG))
		return 0;
	if (!(cr4 & PG_CR4_PAE))
		return 2;
	if (!(efer & PG_EFER_LMA))
		return 3;
	return cr4 & PG_CR4_LA57 ? 5 : 4;
}

/* Bits of the linear address below those that index the table of this level. */
static __always_inline unsigned int paging_shift(unsigned int levels, unsigned int level)
{
	return 12 + (level - 1) * (levels == 2 ? 10 : 9);
}

/* Does this entry map a page rather than point to a table? */
static __always_inline bool paging_is_leaf(unsigned int levels, u64 cr4, unsigned int level,
					   u64 pte)
{
	if (level == 1)
		return true;
	if (!(pte & GPTE_PS))
		return false;
	if (level == 2)
		return levels > 2 || (cr4 & PG_CR4_PSE);
	return level == 3 && levels > 3;
}

/* Where a leaf's page begins.  A 4 MiB page's address has its bits 39:32 in 20:13. */
static __always_inline u64 paging_leaf_base(unsigned int levels, unsigned int level, u64 pte)
{
	u64 mask = BIT_ULL(paging_shift(levels, level)) - 1;

	if (levels == 2 && level == 2)
		return (pte & ~mask) | ((pte >> 13) & 0xff) << 32;
	return pte & GPTE_ADDR & ~mask;
}

static inline u64 paging_bits(unsigned int hi, unsigned int lo)
{
	return hi < lo ? 0 : GENMASK_ULL(hi, lo);
}

/**
 * paging_reserved - the bits that must be zero in a present entry
 * @p: the mode
 * @level: the entry's
 * @leaf: it maps a page
 *
 * Returns: a mask.
 */
static inline u64 paging_reserved(const struct paging *p, unsigned int level, bool leaf)
{
	unsigned int pa = p->maxphyaddr;
	u64 rsvd;

	if (p->levels == 2) {
		if (!leaf || level == 1)
			return 0;
		return BIT_ULL(21) | paging_bits(20, 13 + clamp(pa, 32U, 40U) - 32);
	}
	if (p->levels == 3 && level == 3)
		return paging_bits(63, pa) | paging_bits(8, 5) | paging_bits(2, 1);

	rsvd = paging_bits(p->levels == 3 ? 62 : 51, pa);
	if (!(p->efer & PG_EFER_NXE))
		rsvd |= GPTE_NX;
	if (level > 3 || (level == 3 && !p->gbpages))
		rsvd |= GPTE_PS;
	if (leaf && level > 1)
		rsvd |= paging_bits(paging_shift(p->levels, level) - 1, 13);
	return rsvd;
}

/**
 * paging_denied - do the permissions forbid an access?
 * @p: the mode
 * @all: the conjunction of all entries on the way: W and U count
 * @any: their disjunction: NX counts
 * @access: MHV_ACC_*
 * @ac: EFLAGS.AC
 *
 *	access		  page	forbidden if
 *	user		  super	always
 *	write		  !W	by user, or CR0.WP
 *	fetch		  NX	always
 *	supervisor fetch  user	CR4.SMEP
 *	supervisor data	  user	CR4.SMAP, unless explicit and EFLAGS.AC
 */
static inline bool paging_denied(const struct paging *p, u64 all, u64 any, u32 access, bool ac)
{
	bool user = access & MHV_ACC_USER;

	if ((access & MHV_ACC_WRITE) && !(all & GPTE_W) && (user || (p->cr0 & PG_CR0_WP)))
		return true;
	if ((access & MHV_ACC_FETCH) && (any & GPTE_NX))
		return true;
	if (user)
		return !(all & GPTE_U);
	if (!(all & GPTE_U))
		return false;
	if (access & MHV_ACC_FETCH)
		return p->cr4 & PG_CR4_SMEP;
	return (p->cr4 & PG_CR4_SMAP) && (!ac || (access & MHV_ACC_IMPLICIT));
}

/**
 * paging_error - the error code of a #PF
 * @p: the mode
 * @access: the access
 * @why: 0 for an entry that is not present, MHV_ACC_PRESENT for a protection
 *	violation, that and MHV_ACC_RSVD for reserved bits
 *
 * A fetch is only told apart where the CPU could have refused it as one.
 */
static inline u32 paging_error(const struct paging *p, u32 access, u32 why)
{
	bool nx = p->levels > 2 && (p->efer & PG_EFER_NXE);

	why |= access & (MHV_ACC_WRITE | MHV_ACC_USER);
	if ((access & MHV_ACC_FETCH) && (nx || (p->cr4 & PG_CR4_SMEP)))
		why |= MHV_ACC_FETCH;
	return why;
}

#endif /* MHV_PAGING_H */
