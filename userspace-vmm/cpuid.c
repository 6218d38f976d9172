// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID of each vCPU: what the host supports, with our topology written over it.
 * Entered from mem_create() and vcpu_create_all().
 * No locks: set-up, on the main thread.
 * Intel SDM: "CPUID-CPU Identification"; AMD APM: "CPUID Specification" (extended leaves).
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"
#include "vcpu.h"

#define ENTRIES_MAX	256
#define PHYS_BITS_DEFAULT 36		/* where leaf 0x80000008 is not there to say */

#define HTT		(1u << 28)	/* leaf 1 EDX: more than one logical processor */
#define HYPERVISOR	(1u << 31)	/* leaf 1 ECX */
#define TSC_DEADLINE	(1u << 24)	/* leaf 1 ECX */
#define CMP_LEGACY	(1u << 1)	/* leaf 0x80000001 ECX: the cores are cores, not threads */

/* One package of m->cfg.cpus cores, one thread each; the last level cache is common to all. */
static unsigned int core_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* Leaves 4 and 0x8000001d: how many share the cache of this subleaf. */
static void patch_cache(struct kvm_cpuid_entry2 *e, const struct vcpu *vcpu)
{
	unsigned int cpus = vcpu->m->cfg.cpus;
	unsigned int level = (e->eax >> 5) & 7;
	uint32_t eax;

	if (!(e->eax & 0x1f))
		return;
	eax = e->eax & ~0x03ffc000u;
	if (level >= 3)
		eax |= (cpus - 1) << 14;
	if (e->function == 4)
		eax = (eax & ~0xfc000000u) | ((cpus - 1) & 0x3f) << 26;
	e->eax = eax;
}

static void patch_basic(struct kvm_cpuid_entry2 *e, const struct vcpu *vcpu)
{
	struct machine *m = vcpu->m;

	e->ebx = (e->ebx & 0xffff) | m->cfg.cpus << 16 | vcpu->id << 24;
	e->ecx |= HYPERVISOR;
	if (kvm_try(m->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		e->ecx |= TSC_DEADLINE;
	else
		e->ecx &= ~TSC_DEADLINE;
	e->edx = m->cfg.cpus > 1 ? e->edx | HTT : e->edx & ~HTT;
}

static void patch_topology(struct kvm_cpuid_entry2 *e, const struct vcpu *vcpu)
{
	unsigned int cpus = vcpu->m->cfg.cpus;

	e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	e->eax = 0;
	e->ebx = 0;
	e->ecx = e->index;
	e->edx = vcpu->id;
	if (e->index == 0) {			/* threads of a core */
		e->ebx = 1;
		e->ecx |= 1 << 8;
	} else if (e->index == 1) {		/* cores of the package */
		e->eax = core_bits(cpus);
		e->ebx = cpus;
		e->ecx |= 2 << 8;
	}
}

static void patch(struct kvm_cpuid_entry2 *e, const struct vcpu *vcpu)
{
	unsigned int cpus = vcpu->m->cfg.cpus;

	switch (e->function) {
	case 1:
		patch_basic(e, vcpu);
		break;
	case 4:
	case 0x8000001d:
		patch_cache(e, vcpu);
		break;
	case 0x0b:
		patch_topology(e, vcpu);
		break;
	case 0x80000001:
		e->ecx = cpus > 1 ? e->ecx | CMP_LEGACY : e->ecx & ~CMP_LEGACY;
		break;
	case 0x80000008:
		e->ecx = (e->ecx & ~0xf0ffu) | (cpus - 1) | core_bits(cpus) << 12;
		break;
	case 0x8000001e:
		e->eax = vcpu->id;
		e->ebx = vcpu->id;		/* core ID; one thread per core */
		e->ecx = 0;			/* one node */
		break;
	}
}

/* CMP_LEGACY belongs to AMD's way of counting; an Intel leaf has another bit there. */
static bool patched_here(const struct kvm_cpuid_entry2 *e, bool amd)
{
	if (e->function == 0x80000001 || e->function == 0x80000008)
		return amd;
	return true;
}

static struct kvm_cpuid2 *supported(struct machine *m)
{
	struct kvm_cpuid2 *cpuid;
	int ret;

	cpuid = calloc(1, sizeof(*cpuid) + (ENTRIES_MAX + 2) * sizeof(cpuid->entries[0]));
	if (!cpuid)
		die("out of memory");
	cpuid->nent = ENTRIES_MAX;
	ret = kvm_try(m->sys_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (ret < 0)
		die("KVM_GET_SUPPORTED_CPUID failed: %s", strerror(-ret));
	return cpuid;
}

unsigned int cpuid_phys_bits(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = supported(m);
	unsigned int i, bits = PHYS_BITS_DEFAULT;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 0x80000008)
			bits = cpuid->entries[i].eax & 0xff;
	}
	free(cpuid);
	return bits;
}

/*
 * The extended topology leaf is left to the VMM: the host's own entries, if any, describe the
 * host. Put two subleaves and a terminator in, when the guest may ask for it at all.
 */
static void add_topology(struct kvm_cpuid2 *cpuid)
{
	unsigned int i, n = 0, max = 0;

	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0)
			max = e->eax;
		if (e->function == 0x0b || e->function == 0x1f)
			continue;
		cpuid->entries[n++] = *e;
	}
	for (i = 0; max >= 0x0b && i < 3 && n < ENTRIES_MAX; i++)
		cpuid->entries[n++] = (struct kvm_cpuid_entry2){ .function = 0x0b, .index = i };
	cpuid->nent = n;
}

void vcpu_cpuid_setup(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = supported(vcpu->m);
	bool amd = false;
	unsigned int i;

	add_topology(cpuid);
	for (i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		/* "AuthenticAMD" and "HygonGenuine" */
		if (e->function == 0)
			amd = e->ebx == 0x68747541 || e->ebx == 0x6f677948;
	}
	for (i = 0; i < cpuid->nent; i++) {
		if (patched_here(&cpuid->entries[i], amd))
			patch(&cpuid->entries[i], vcpu);
	}
	kvm_must(vcpu->fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
}
