// SPDX-License-Identifier: GPL-2.0
/*
 * msr_index.c - KVM_GET_MSR_INDEX_LIST and the feature list: sizes, and that what they list
 * can be read and written.
 */
#include <stdlib.h>

#include "vm.h"

static struct kvm_msr_list *get_list(int dev, unsigned long cmd)
{
	struct kvm_msr_list probe = { .nmsrs = 0 }, *list;

	EXPECT_ERRNO(ioctl(dev, cmd, &probe), E2BIG);
	EXPECT_GE(probe.nmsrs, 1);
	list = calloc(1, sizeof(*list) + 4 * (probe.nmsrs + 1));
	ASSERT_TRUE(list);
	list->nmsrs = probe.nmsrs - 1;
	EXPECT_ERRNO(ioctl(dev, cmd, list), E2BIG);
	EXPECT_EQ(list->nmsrs, probe.nmsrs);
	list->indices[probe.nmsrs] = 0xdeadbeef;
	list->nmsrs = probe.nmsrs + 1;
	ASSERT_RET(ioctl(dev, cmd, list), 0);
	EXPECT_EQ(list->nmsrs, probe.nmsrs);
	EXPECT_EQ(list->indices[probe.nmsrs], 0xdeadbeef);
	return list;
}

static int listed(struct kvm_msr_list *list, u32 index)
{
	for (u32 i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == index)
			return 1;
	return 0;
}

TEST(saved_msrs)
{
	struct vcpu *vcpu = vcpu_new(vm_new_irqchip(), 0);
	struct kvm_msr_list *list = get_list(vcpu->vm->dev, KVM_GET_MSR_INDEX_LIST);
	static const u32 must[] = {
		0x10, 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
		0xc0000102, 0x1a0, 0x277,
	};

	for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
		test_context("MSR %#x", must[i]);
		EXPECT_TRUE(listed(list, must[i]));
	}
	vcpu_cpuid(vcpu);
	for (u32 i = 0; i < list->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} msr = { .head.nmsrs = 1, .entry.index = list->indices[i] };

		test_context("MSR %#x", list->indices[i]);
		for (u32 j = 0; j < i; j++)
			EXPECT_NE(list->indices[i], list->indices[j]);
		EXPECT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, &msr), 1);
		EXPECT_RET(ioctl(vcpu->fd, KVM_SET_MSRS, &msr), 1);
	}
}

TEST(feature_msrs)
{
	int dev = dev_open();
	struct kvm_msr_list *list;

	NEED_CAP(KVM_CAP_GET_MSR_FEATURES);
	list = get_list(dev, KVM_GET_MSR_FEATURE_INDEX_LIST);
	for (u32 i = 0; i < list->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} msr = { .head.nmsrs = 1, .entry.index = list->indices[i] };

		test_context("MSR %#x", list->indices[i]);
		EXPECT_RET(ioctl(dev, KVM_GET_MSRS, &msr), 1);
	}
}
