/* SPDX-License-Identifier: GPL-2.0 */
/*
 * machine.h - the machine that the tests of rows run instructions on.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdio.h>
#include "../internal.h"

#define MEM_SIZE	0x100000
#define MMIO_BASE	0xa0000		/* reads here need userspace; writes ask to stop */
#define MMIO_END	0xb0000
#define GDT		0x5000
#define TSS		0x6000
#define CODE		0x1000

/* A small machine: memory, an MMIO window, ports, registers; and what was done to it. */
struct machine {
	u8 mem[MEM_SIZE + 16];
	struct emul_ctx ctx;
	struct emul_seg seg[EMUL_NR_SREGS];
	u64 cr[16], dr[8], msr;
	u64 set_reg[3];		/* class, index, value of the last set_reg */
	unsigned int answers;	/* how many MMIO or port reads userspace has answered */
	unsigned int asked;
	unsigned int special, nspecial;
	u64 special_arg;
	u16 port;
	unsigned int pio_size, pio_count, npio;
	unsigned int ncmpxchg;
	bool lose_race;
	u8 ymm[16][32];
};

extern struct machine m;

#define GPR(r)	m.ctx.gpr[EMUL_##r]

/* One expectation; the line goes out when it fails. */
#define EXPECT(cond) \
	do { \
		if (!(cond)) { \
			printf("# %s:%d: %s\n", __func__, __LINE__, #cond); \
			ok = false; \
		} \
	} while (0)

/** reset() - the machine as a test finds it, in @mode. */
void reset(enum emul_mode mode);

/** make_gdt() - a GDT with one segment of each kind, see there. */
void make_gdt(void);

/** decode_at() - decode @n bytes: what emul_decode() returns; the instruction is in m.ctx. */
int decode_at(const u8 *bytes, unsigned int n);

/** run() - decode and execute one instruction of @n bytes: EMUL_OK, or why not. */
int run(unsigned int n, ...);

/** faulted() - is @r, of run(), this exception? */
bool faulted(int r, u8 vector, u32 error_code);

/** mem16() - memory at @addr. */
u16 mem16(u64 addr);

/** mem32() - memory at @addr. */
u32 mem32(u64 addr);

/** put() - write the lower @bytes of @val to @addr. */
void put(u64 addr, u64 val, unsigned int bytes);

/* rows-system.c */
bool test_descriptors(void);
bool test_tasks(void);
bool test_task_limits(void);
bool test_far(void);
bool test_privilege(void);
bool test_system(void);
bool test_monitor(void);
bool test_sysexit(void);
bool test_long_descriptors(void);

#endif
