/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites share: a VM and vCPUs without hardware, random numbers.
 *
 * A suite that needs a file's static functions is NAME_test.c and begins with
 * #include "../NAME.c": the file under test is part of minihv-kunit.ko in that
 * way, and minihv.ko has nothing in it for the sake of a test.
 */
#ifndef MHV_KUNIT_H
#define MHV_KUNIT_H

#include <kunit/test.h>

#include "../backend.h"

/* main.c of this module: a backend whose hardware does nothing. */
extern struct mhv_backend mhv_kunit_backend;

struct mhv_vm *mhv_kunit_vm(struct kunit *test);
struct mhv_vcpu *mhv_kunit_vcpu(struct kunit *test, struct mhv_vm *vm, u32 id);

/**
 * mhv_kunit_random - the next of a sequence that is the same in each run
 * @seed: its state; start with anything but 0
 *
 * Returns 32 bits.
 */
static inline u32 mhv_kunit_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 16;
}

#endif /* MHV_KUNIT_H */
