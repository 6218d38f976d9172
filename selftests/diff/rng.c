// SPDX-License-Identifier: GPL-2.0
/*
 * rng.c - the oracle's random numbers: a seed and a step's number determine all of a step, so that
 * leaving out other steps does not change it.
 * Entered from all parts of minihv-diff.
 * No locks: one thread.
 * The generator is splitmix64.
 */
#include "diff.h"

static u64 next(struct rng *rng)
{
	u64 z = (rng->state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void rng_seed(struct rng *rng, u64 a, u64 b)
{
	rng->state = a * 0xd1342543de82ef95ULL;
	rng->state = next(rng) ^ b;
	next(rng);
}

u64 rnd(struct diff *d)
{
	return next(&d->rng);
}

u64 below(struct diff *d, u64 n)
{
	return n ? rnd(d) % n : 0;
}

bool one_in(struct diff *d, u64 n)
{
	return !below(d, n);
}

u64 rnd_value(struct diff *d)
{
	static const u64 values[] = {
		0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff,
		0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0xfee00000, 0xfee00900,
		0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000,
		0xffffffffff, 0x10000000000, 0xfffffffff000, 0xffffffff80000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff,
	};

	switch (below(d, 6)) {
	case 0:
		return rnd(d);
	case 1:
		return below(d, 0x100);
	case 2:
		return BIT(below(d, 64));
	case 3:
		return (u32)rnd(d);
	default:
		return pick(d, values);
	}
}

u64 rnd_bits(struct diff *d, u64 old, u64 mask)
{
	for (u64 n = 1 + below(d, 3); n; n--) {
		u64 bit = BIT(below(d, 64));

		for (int try = 0; try < 256 && !(bit & mask); try++)
			bit = BIT(below(d, 64));
		old ^= bit & mask;
	}
	return old;
}
