// SPDX-License-Identifier: GPL-2.0
/*
 * rules.c - what differs between KVM and minihv on purpose, or with time: it is not compared.
 * Documentation/oracle.rst gives the reasons at length.
 * Entered from all parts of minihv-diff.
 * No locks: one thread.
 */
#include <cpuid.h>
#include <stdlib.h>

#include "diff.h"

#define MAX_CPUID	256
#define MAX_MSRS	512

/* CPUID bits that are hidden. */
static const struct cpuid_rule {
	u32 function, index;
	u32 eax, ebx, ecx, edx;
	const char *why;
} cpuid_rules[] = {
	{ 1, 0, 0, 0, BIT(5), 0, "no nested virtualization" },
	{ 0x40000001, 0, BIT(4) | BIT(10) | BIT(14), 0, 0, 0, "no asynchronous page faults" },
	{ 0x80000001, 0, 0, 0, BIT(2), 0, "no nested virtualization" },
	{ 0x80000008, 0, 0, BIT(25), 0, 0, "no VIRT_SPEC_CTRL" },
	{ 0x8000000a, 0, ~0U, ~0U, ~0U, ~0U, "no nested virtualization" },
};

/* MSRs, or bits of them, that are hidden. */
static const struct msr_rule {
	u32 first, last;
	u64 bits;
	const char *why;
} msr_rules[] = {
	{ 0x10, 0x10, ~0ULL, "TSC: time" },
	{ 0x3a, 0x3a, ~0ULL, "feature control: KVM lists it on CPUs that have none" },
	{ 0x48, 0x48, ~0ULL, "KVM lets userspace have it where the CPU has none" },
	{ 0x49, 0x49, ~0ULL, "KVM lets userspace write it where the CPU has none" },
	{ 0x9e, 0x9e, ~0ULL, "no system management mode" },
	{ 0xc1, 0xc8, ~0ULL, "no performance counters" },
	{ 0x10a, 0x10a, BIT(3), "no nested virtualization" },
	{ 0x186, 0x18d, ~0ULL, "no performance counters" },
	{ 0x309, 0x30c, ~0ULL, "no performance counters" },
	{ 0x345, 0x345, ~0ULL, "no performance counters" },
	{ 0x38d, 0x391, ~0ULL, "no performance counters" },
	{ 0x3f1, 0x3f2, ~0ULL, "no performance counters" },
	{ 0x480, 0x491, ~0ULL, "no nested virtualization" },
	{ 0x4d0, 0x4d0, ~0ULL, "no local machine checks" },
	{ 0x600, 0x600, ~0ULL, "no performance counters" },
	{ 0x40000000, 0x400001ff, ~0ULL, "no Hyper-V" },
	{ 0x4b564d02, 0x4b564d02, ~0ULL, "no asynchronous page faults" },
	{ 0x4b564d06, 0x4b564d07, ~0ULL, "no asynchronous page faults" },
	{ 0xc0000104, 0xc0000104, ~0ULL, "TSC ratio: no nested virtualization" },
	{ 0xc0010000, 0xc0010007, ~0ULL, "no performance counters" },
	{ 0xc0010114, 0xc0010119, ~0ULL, "no nested virtualization" },
	{ 0xc001011f, 0xc001011f, ~0ULL, "no VIRT_SPEC_CTRL" },
	{ 0xc0010200, 0xc001020b, ~0ULL, "no performance counters" },
};

/* Capabilities that are hidden. */
static const struct cap_rule {
	int first, last;
	const char *why;
} cap_rules[] = {
	{ KVM_CAP_HYPERV, KVM_CAP_HYPERV_SPIN, "no Hyper-V" },
	{ KVM_CAP_PCI_SEGMENT, KVM_CAP_PCI_SEGMENT, "no device assignment" },
	{ KVM_CAP_ASYNC_PF, KVM_CAP_ASYNC_PF, "no asynchronous page faults" },
	{ KVM_CAP_MAX_VCPUS, KVM_CAP_MAX_VCPUS, "fewer vCPUs" },
	{ KVM_CAP_EXT_EMUL_CPUID, KVM_CAP_EXT_EMUL_CPUID, "nothing that the emulator alone has" },
	{ KVM_CAP_HYPERV_TIME, KVM_CAP_HYPERV_TIME, "no Hyper-V" },
	{ KVM_CAP_X86_SMM, KVM_CAP_MULTI_ADDRESS_SPACE, "no system management mode" },
	{ KVM_CAP_HYPERV_SYNIC, KVM_CAP_HYPERV_SYNIC, "no Hyper-V" },
	{ KVM_CAP_MAX_VCPU_ID, KVM_CAP_MAX_VCPU_ID, "fewer vCPUs" },
	{ KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_VP_INDEX, "no Hyper-V" },
	{ KVM_CAP_HYPERV_EVENTFD, KVM_CAP_HYPERV_TLBFLUSH, "no Hyper-V" },
	{ KVM_CAP_NESTED_STATE, KVM_CAP_NESTED_STATE, "no nested virtualization" },
	{ KVM_CAP_HYPERV_ENLIGHTENED_VMCS, KVM_CAP_HYPERV_ENLIGHTENED_VMCS, "no Hyper-V" },
	{ KVM_CAP_HYPERV_DIRECT_TLBFLUSH, KVM_CAP_HYPERV_DIRECT_TLBFLUSH, "no Hyper-V" },
	{ KVM_CAP_HYPERV_SEND_IPI, KVM_CAP_HYPERV_SEND_IPI, "no Hyper-V" },
	{ KVM_CAP_HYPERV_CPUID, KVM_CAP_HYPERV_CPUID, "no Hyper-V" },
	{ KVM_CAP_PMU_EVENT_FILTER, KVM_CAP_PMU_EVENT_FILTER, "no performance counters" },
	{ KVM_CAP_HALT_POLL, KVM_CAP_HALT_POLL, "no polling" },
	{ KVM_CAP_ASYNC_PF_INT, KVM_CAP_ASYNC_PF_INT, "no asynchronous page faults" },
	{ KVM_CAP_SYS_HYPERV_CPUID, KVM_CAP_SYS_HYPERV_CPUID, "no Hyper-V" },
	{ KVM_CAP_X86_BUS_LOCK_EXIT, KVM_CAP_X86_BUS_LOCK_EXIT, "KVM takes it without the CPU's" },
	{ KVM_CAP_SGX_ATTRIBUTE, KVM_CAP_VM_COPY_ENC_CONTEXT_FROM, "no enclaves, no encryption" },
	{ KVM_CAP_HYPERV_ENFORCE_CPUID, KVM_CAP_HYPERV_ENFORCE_CPUID, "no Hyper-V" },
	{ KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, "no encryption" },
	{ 215, 215, "no such exit" },		/* KVM_CAP_SYSTEM_EVENT_DATA */
	{ 220, 220, "no such workaround" },	/* KVM_CAP_VM_DISABLE_NX_HUGE_PAGES */
	{ 224, 300, "later than 6.1's KVM" },
};

/* Ioctls that only KVM serves: their numbers, whatever size is encoded. */
static const struct ioctl_rule {
	u8 first, last;
	const char *why;
} ioctl_rules[] = {
	{ 0x09, 0x09, "KVM_GET_EMULATED_CPUID" },
	{ 0x40, 0x40, "KVM_SET_MEMORY_REGION" },
	{ 0x7a, 0x7a, "KVM_XEN_HVM_CONFIG" },
	{ 0x8a, 0x8a, "KVM_SET_CPUID: the old form" },
	{ 0xa2, 0xa2, "KVM_SET_TSC_KHZ: no TSC catch-up" },
	{ 0xb2, 0xb2, "KVM_SET_PMU_EVENT_FILTER: no performance counters" },
	{ 0xb7, 0xb7, "KVM_SMI: no system management mode" },
	{ 0xba, 0xbf, "no encrypted guests, no Hyper-V, no nested virtualization" },
	{ 0xc1, 0xc1, "KVM_GET_SUPPORTED_HV_CPUID: no Hyper-V" },
	{ 0xc8, 0xcb, "no Xen" },
	{ 0xd0, 0xd1, "no Xen" },
	{ 0xe0, 0xe0, "KVM_CREATE_DEVICE: no devices" },
};

bool host_is_intel(void)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == 0x756e6547;		/* "Genu" */
}

bool nmis_work(void)
{
	return !getenv("MHV_NO_NMI");
}

bool steps_linger(void)
{
	return getenv("MHV_STEP_LINGERS");
}

u32 without_nmi(u32 low)
{
	return (low & 0x700) == 0x400 && !nmis_work() ? low | 0x100 : low;
}

static void hide(struct kvm_cpuid_entry2 *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(cpuid_rules); i++) {
		const struct cpuid_rule *rule = &cpuid_rules[i];

		if (rule->function != e->function || rule->index != e->index)
			continue;
		e->eax &= ~rule->eax;
		e->ebx &= ~rule->ebx;
		e->ecx &= ~rule->ecx;
		e->edx &= ~rule->edx;
	}
}

static int by_leaf(const void *a, const void *b)
{
	const struct kvm_cpuid_entry2 *x = a, *y = b;

	if (x->function != y->function)
		return x->function < y->function ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

struct kvm_cpuid2 *common_cpuid(struct diff *d)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));
	if (!cpuid)
		abort();
	cpuid->nent = MAX_CPUID;
	must(d, ioctl(d->dev, KVM_GET_SUPPORTED_CPUID, cpuid), "supported-cpuid");
	for (u32 i = 0; i < cpuid->nent; i++)
		hide(&cpuid->entries[i]);
	qsort(cpuid->entries, cpuid->nent, sizeof(cpuid->entries[0]), by_leaf);
	return cpuid;
}

u64 msr_mask(u32 index)
{
	u64 mask = ~0ULL;

	/* Nothing of it works in guests. KVM on VMX knows which bits there could be. */
	if (index == 0x1d9 && host_is_intel())
		return 0;
	/* SYSENTER_CS is a field of 32 bits there. */
	if (index == 0x174 && host_is_intel())
		mask = 0xffffffff;
	for (size_t i = 0; i < ARRAY_SIZE(msr_rules); i++)
		if (index >= msr_rules[i].first && index <= msr_rules[i].last)
			mask &= ~msr_rules[i].bits;
	/* SYSENTER's: AMD's CPUs keep 32 bits of what guests write, QEMU's TCG all. */
	if ((index == 0x175 || index == 0x176) && !host_is_intel())
		mask &= 0xffffffff;
	return mask;
}

bool msr_hidden(u32 index)
{
	return !msr_mask(index);
}

bool msr_is_clock(u32 index)
{
	return index == 0x11 || index == 0x12 || (index >= 0x4b564d00 && index <= 0x4b564d01) ||
	       index == 0x4b564d03;
}

bool cap_hidden(int cap)
{
	/* On VMX, KVM can also leave a guest the counters of time in C-states. */
	if (cap == KVM_CAP_X86_DISABLE_EXITS && host_is_intel())
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(cap_rules); i++)
		if (cap >= cap_rules[i].first && cap <= cap_rules[i].last)
			return true;
	return false;
}

bool ioctl_hidden(u8 nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(ioctl_rules); i++)
		if (nr >= ioctl_rules[i].first && nr <= ioctl_rules[i].last)
			return true;
	return false;
}

static int by_number(const void *a, const void *b)
{
	const u32 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

const u32 *msr_common(struct diff *d, unsigned int *n)
{
	static struct {
		struct kvm_msr_list head;
		u32 index[MAX_MSRS];
	} list;
	static unsigned int count;

	if (!count) {
		list.head.nmsrs = ARRAY_SIZE(list.index);
		must(d, ioctl(d->dev, KVM_GET_MSR_INDEX_LIST, &list), "msr-list");
		for (u32 i = 0; i < list.head.nmsrs; i++)
			if (!msr_hidden(list.index[i]))
				list.index[count++] = list.index[i];
		qsort(list.index, count, sizeof(u32), by_number);
	}
	*n = count;
	return list.index;
}
