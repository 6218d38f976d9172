// SPDX-License-Identifier: GPL-2.0
/*
 * system.c - the oracle's kind "system": what a device says of itself. No chance is in it.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 */
#include <stdlib.h>

#include "diff.h"

static int by_number(const void *a, const void *b)
{
	const u32 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* What the device says of MSRs that describe the CPU, and what it has in them. */
static void say_features(struct diff *d)
{
	static struct {
		struct kvm_msr_list head;
		u32 index[64];
	} list = { .head.nmsrs = ARRAY_SIZE(list.index) };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1 };

	must(d, ioctl(d->dev, KVM_GET_MSR_FEATURE_INDEX_LIST, &list), "msr-feature-list");
	qsort(list.index, list.head.nmsrs, sizeof(list.index[0]), by_number);
	for (u32 i = 0; i < list.head.nmsrs; i++) {
		u64 mask = msr_mask(list.index[i]);

		if (!mask)
			continue;
		one.entry.index = list.index[i];
		if (ioctl(d->dev, KVM_GET_MSRS, &one) == 1)
			say(d, "feature msr %x: %llx", list.index[i],
			    (unsigned long long)(one.entry.data & mask));
		else
			say(d, "feature msr %x: cannot be read", list.index[i]);
	}
}

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
	say_features(d);
}

/* A VM may have other answers than the device. */
static void act(struct diff *d)
{
	int vm = must(d, ioctl(d->dev, KVM_CREATE_VM, 0L), "create-vm");

	for (long cap = 0; cap <= 300; cap++)
		if (!cap_hidden(cap))
			say(d, "cap %ld %d, of the VM %d", cap,
			    ioctl(d->dev, KVM_CHECK_EXTENSION, cap),
			    ioctl(vm, KVM_CHECK_EXTENSION, cap));
}

const struct kind kind_system = { "system", 1, begin, act };
