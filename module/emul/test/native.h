/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs one instruction on the real processor, from a given state, and gives the state after it.
 * Entered from differ.c.
 * No locks: one thread; it uses signals and their frames.
 * sigaction(2), sigreturn(2), sigaltstack(2), modify_ldt(2).
 */
#ifndef EMUL_NATIVE_H
#define EMUL_NATIVE_H

#include "../emulate.h"

/* All below 2 GiB, so that every address size reaches them. */
#define CODE_BASE	0x30000000ul
#define DATA_BASE	0x20000000ul
#define DATA_SIZE	0x2000ul	/* what lies after it is not mapped */
#define SEG16_CODE	0x31000000ul	/* bases of the 16-bit segments */
#define SEG16_DATA	0x20000000ul

/* Selectors that the Linux ABI fixes, and those of the LDT entries made here. */
#define SEL_CS64	0x33
#define SEL_CS32	0x23
#define SEL_DS		0x2b
#define SEL_CS16	0x07
#define SEL_DS16	0x0f

struct native_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u16 cs, ss, ds, es;
	u8 vec[16][32];		/* YMM registers */
	u64 mm[8];
	int trap;		/* out: exception's vector, 1 if it came to its end */
	u32 error_code;
	u64 cr2;
};

/* Map code and data, make the LDT entries, install handlers. False: this machine cannot. */
bool native_init(void);
/* From now on few system calls can be made: whatever runs, it does no harm. False: not here. */
bool native_confine(void);
/* Has the processor AVX, and may it be used? */
bool native_has_avx(void);
/*
 * Run the instruction at CS:RIP to its end or its fault. INT3 must stand behind it, or TF be set
 * in rflags for one that goes elsewhere.
 */
void native_run(struct native_state *s);

#endif /* EMUL_NATIVE_H */
