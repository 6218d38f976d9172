// SPDX-License-Identifier: GPL-2.0
/*
 * system.c - the oracle's kind "system": what a device says of itself. No chance is in it.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 */
#include "diff.h"

static void begin(struct diff *d)
{
	struct kvm_cpuid2 *cpuid = common_cpuid(d);
	unsigned int n;
	const u32 *msr = msr_common(d, &n);

	for (u32 i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		say(d, "cpuid %x %x flags %x: %08x %08x %08x %08x", e->function, e->index, e->flags,
		    e->eax, e->ebx, e->ecx, e->edx);
	}
	for (u32 i = 0; i < n; i++)
		say(d, "msr %x", msr[i]);
}

static void act(struct diff *d)
{
	for (long cap = 0; cap < 256; cap++)
		if (!cap_hidden(cap))
			say(d, "cap %ld %d", cap, ioctl(d->dev, KVM_CHECK_EXTENSION, cap));
}

const struct kind kind_system = { "system", 1, begin, act };
