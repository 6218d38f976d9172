// SPDX-License-Identifier: GPL-2.0
/*
 * Which MSRs a guest may read and write at all, and those that userspace serves.
 * Entered from the VM's ioctl, from RDMSR and WRMSR exits, and from the backend.
 * vm->lock to replace the filter; vm->srcu to look into it.
 * Linux, Documentation/virt/kvm/api.rst: KVM_X86_SET_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR.
 */
#include <linux/compat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "backend.h"

#define RANGE_FLAGS	(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

/* The registers of an x2APIC are no matter of the filter. */
#define X2APIC_FIRST	0x800
#define X2APIC_LAST	0x8ff

/**
 * struct msr_range - MSRs one after another, and which of them are allowed
 * @base: the first
 * @nr: how many
 * @flags: KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE: what it is about
 * @bitmap: a bit for each; set: allowed
 */
struct msr_range {
	u32 base;
	u32 nr;
	u32 flags;
	unsigned long *bitmap;
};

/**
 * struct mhv_msr_filter - a VM's filter; immutable once published
 * @deny: what is in no range is denied
 * @nr: how many ranges; the first that fits decides
 * @range: the ranges
 */
struct mhv_msr_filter {
	bool deny;
	u32 nr;
	struct msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct mhv_msr_filter *filter)
{
	u32 i;

	if (!filter)
		return;
	for (i = 0; i < filter->nr; i++)
		kfree(filter->range[i].bitmap);
	kfree(filter);
}

static int range_add(struct mhv_msr_filter *filter, const struct kvm_msr_filter_range *user)
{
	struct msr_range *range = &filter->range[filter->nr];
	size_t size = BITS_TO_LONGS((size_t)user->nmsrs) * sizeof(long);

	if (!user->nmsrs)
		return 0;
	if (!user->flags || user->flags & ~RANGE_FLAGS || size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	range->bitmap = memdup_user((void __user *)user->bitmap, size);
	if (IS_ERR(range->bitmap))
		return PTR_ERR(range->bitmap);
	range->base = user->base;
	range->nr = user->nmsrs;
	range->flags = user->flags;
	filter->nr++;
	return 0;
}

static struct mhv_msr_filter *filter_create(const struct kvm_msr_filter *user)
{
	struct mhv_msr_filter *filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	u32 i;
	int r = 0;

	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->deny = user->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; i < ARRAY_SIZE(user->ranges) && !r; i++)
		r = range_add(filter, &user->ranges[i]);
	/* To deny everything makes no sense. */
	if (!r && filter->deny && !filter->nr)
		r = -EINVAL;
	if (!r)
		return filter;
	filter_free(filter);
	return ERR_PTR(r);
}

/**
 * mhv_msr_filter_set - KVM_X86_SET_MSR_FILTER
 * @vm: the VM
 * @user: the request, already copied from userspace
 *
 * Context: may sleep; takes vm->lock, waits for readers.
 *
 * Returns: 0; -EINVAL for unknown flags, a range about nothing or too long, or
 * if nothing at all would be allowed; -EFAULT; -ENOMEM.
 */
int mhv_msr_filter_set(struct mhv_vm *vm, const struct kvm_msr_filter *user)
{
	struct mhv_msr_filter *filter, *old;

	if (user->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	filter = filter_create(user);
	if (IS_ERR(filter))
		return PTR_ERR(filter);
	mutex_lock(&vm->lock);
	old = vm->msr_filter;
	/* Pairs with the acquire in the look-up: a filter is complete once seen. */
	smp_store_release(&vm->msr_filter, filter);
	/* vCPUs that are being created wait for vm->lock, and will see it. */
	mhv_request_all(vm, MHV_REQ_MSR_FILTER);
	synchronize_srcu_expedited(&vm->srcu);
	mutex_unlock(&vm->lock);
	filter_free(old);
	return 0;
}

#ifdef CONFIG_COMPAT
/**
 * mhv_msr_filter_set_compat - the same from a 32-bit process
 * @vm: the VM
 * @user: the request, already copied from userspace
 *
 * Context and result: as mhv_msr_filter_set().
 */
int mhv_msr_filter_set_compat(struct mhv_vm *vm, const struct mhv_compat_msr_filter *user)
{
	struct kvm_msr_filter filter = { .flags = user->flags };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(filter.ranges); i++)
		filter.ranges[i] = (struct kvm_msr_filter_range){
			.flags = user->range[i].flags,
			.nmsrs = user->range[i].nmsrs,
			.base = user->range[i].base,
			.bitmap = (u8 *)(unsigned long)user->range[i].bitmap,
		};
	return mhv_msr_filter_set(vm, &filter);
}
#endif

/**
 * mhv_msrs_filtered - does the filter keep the guest from any of these MSRs?
 * @vm: the VM
 * @index: the MSRs, that are passed through to the guest otherwise
 * @nr: how many
 *
 * Context: any, vm->srcu not needed.
 */
bool mhv_msrs_filtered(struct mhv_vm *vm, const u32 *index, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (mhv_msr_filtered(vm, index[i], KVM_MSR_FILTER_READ) ||
		    mhv_msr_filtered(vm, index[i], KVM_MSR_FILTER_WRITE))
			return true;
	return false;
}

/**
 * mhv_msr_filter_destroy - free a VM's filter
 * @vm: the VM, that nobody else can reach any more
 */
void mhv_msr_filter_destroy(struct mhv_vm *vm)
{
	filter_free(vm->msr_filter);
}

/**
 * mhv_msr_filtered - does the filter keep the guest from an MSR?
 * @vm: the VM
 * @index: the MSR
 * @what: KVM_MSR_FILTER_READ or KVM_MSR_FILTER_WRITE
 *
 * Context: any, vm->srcu not needed.
 */
bool mhv_msr_filtered(struct mhv_vm *vm, u32 index, u32 what)
{
	const struct mhv_msr_filter *filter;
	bool filtered = false;
	int idx;
	u32 i;

	if (likely(!READ_ONCE(vm->msr_filter)) || (index >= X2APIC_FIRST && index <= X2APIC_LAST))
		return false;
	idx = srcu_read_lock(&vm->srcu);
	/* Pairs with the release where it is set. */
	filter = smp_load_acquire(&vm->msr_filter);
	filtered = filter->deny;
	for (i = 0; i < filter->nr; i++) {
		const struct msr_range *range = &filter->range[i];

		if (range->flags & what && index >= range->base &&
		    index - range->base < range->nr) {
			filtered = !test_bit(index - range->base, range->bitmap);
			break;
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
	return filtered;
}
