// SPDX-License-Identifier: GPL-2.0
/*
 * memslot_rules.c - what KVM_SET_USER_MEMORY_REGION takes and refuses.
 */
#include <sys/mman.h>

#include "vm.h"

#define MB 0x100000ULL

TEST(alignment_and_sizes)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(4 * MB);

	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0x800, MB, mem), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, MB + 1, mem), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, MB, mem + 1), EINVAL);
	/* HVAs of the kernel's half, and a GPA that wraps. */
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, MB, (void *)0xffff888000000000), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0xfffffffffffff000, 0x2000, mem), EINVAL);
	/* More pages than a 31-bit count has. */
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, BIT(43), mem), EINVAL);
	EXPECT_RET(vm_slot(vm, 0, 0, 0, 0x1000, mem), 0);
}

TEST(flags)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(MB);

	for (int bit = 2; bit < 32; bit++) {
		test_context("flag %d", bit);
		EXPECT_ERRNO(vm_slot(vm, 0, 1U << bit, 0, MB, mem), EINVAL);
	}
	test_context("");
	EXPECT_RET(vm_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MB, mem), 0);
	EXPECT_RET(vm_slot(vm, 0, 0, 0, MB, mem), 0);
	if (dev_cap(KVM_CAP_READONLY_MEM) > 0)
		EXPECT_RET(vm_slot(vm, 1, KVM_MEM_READONLY, MB, MB, mem), 0);
	else
		EXPECT_ERRNO(vm_slot(vm, 1, KVM_MEM_READONLY, MB, MB, mem), EINVAL);
}

TEST(slot_numbers)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(MB);
	int count = dev_cap(KVM_CAP_NR_MEMSLOTS);

	EXPECT_RET(vm_slot(vm, count - 1, 0, 0, MB, mem), 0);
	EXPECT_ERRNO(vm_slot(vm, count, 0, 16 * MB, MB, mem), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0xffff, 0, 16 * MB, MB, mem), EINVAL);
	/* The upper half is the address space; where SMM has one there are two, never 256. */
	EXPECT_ERRNO(vm_slot(vm, 256U << 16, 0, 16 * MB, MB, mem), EINVAL);
}

TEST(overlap)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(16 * MB);

	ASSERT_RET(vm_slot(vm, 0, 0, 4 * MB, 4 * MB, mem), 0);
	EXPECT_ERRNO(vm_slot(vm, 1, 0, 4 * MB, 4 * MB, mem), EEXIST);
	EXPECT_ERRNO(vm_slot(vm, 1, 0, 3 * MB, MB + 0x1000, mem), EEXIST);
	EXPECT_ERRNO(vm_slot(vm, 1, 0, 8 * MB - 0x1000, 0x1000, mem), EEXIST);
	EXPECT_ERRNO(vm_slot(vm, 1, 0, 5 * MB, MB, mem), EEXIST);
	EXPECT_ERRNO(vm_slot(vm, 1, 0, 0, 16 * MB, mem), EEXIST);
	/* Neighbours are none; the same host memory in two slots is no overlap. */
	EXPECT_RET(vm_slot(vm, 1, 0, 3 * MB, MB, mem), 0);
	EXPECT_RET(vm_slot(vm, 2, 0, 8 * MB, MB, mem), 0);
	/* A move onto a neighbour is refused, and the slot stays. */
	EXPECT_ERRNO(vm_slot(vm, 2, 0, 7 * MB, MB, mem), EEXIST);
	EXPECT_ERRNO(vm_slot(vm, 3, 0, 8 * MB, MB, mem), EEXIST);
}

TEST(changes_of_a_live_slot)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(16 * MB);

	ASSERT_RET(vm_slot(vm, 0, 0, 4 * MB, 4 * MB, mem), 0);
	EXPECT_RET(vm_slot(vm, 0, 0, 4 * MB, 4 * MB, mem), 0);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 4 * MB, 4 * MB, mem + 0x1000), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 4 * MB, 8 * MB, mem), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 4 * MB, MB, mem), EINVAL);
	EXPECT_ERRNO(vm_slot(vm, 0, KVM_MEM_READONLY, 4 * MB, 4 * MB, mem), EINVAL);
	EXPECT_RET(vm_slot(vm, 0, 0, 6 * MB, 4 * MB, mem), 0);
	EXPECT_RET(vm_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 6 * MB, 4 * MB, mem), 0);
	EXPECT_RET(vm_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 4 * MB, 4 * MB, mem), 0);
	/* Where it was, there is room again. */
	EXPECT_RET(vm_slot(vm, 1, 0, 8 * MB, 2 * MB, mem), 0);
}

TEST(deletion)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(MB);

	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, 0, NULL), EINVAL);
	ASSERT_RET(vm_slot(vm, 0, 0, 0, MB, mem), 0);
	/* What else the request says is of no account. */
	EXPECT_RET(vm_slot(vm, 0, 0, 16 * MB, 0, mem), 0);
	EXPECT_ERRNO(vm_slot(vm, 0, 0, 0, 0, mem), EINVAL);
	EXPECT_RET(vm_slot(vm, 1, 0, 0, MB, mem), 0);
}

/* The memory need not exist: the guest's access finds out. */
TEST(hva_without_memory)
{
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(MB);
	struct vcpu *vcpu;

	munmap(mem, MB);
	EXPECT_RET(vm_slot(vm, 0, 0, 0, MB, mem), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_real(vcpu, 0x1000);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
}

/* Every slot in use, each of one page and each with its own contents. */
TEST(many_slots)
{
	int count = dev_cap(KVM_CAP_NR_MEMSLOTS);
	struct vm *vm = vm_bare();
	u8 *mem = mem_alloc(MB);

	if (count > 509)
		count = 509;
	for (int i = 0; i < count; i++)
		ASSERT_RET(vm_slot(vm, i, 0, 0x10000ULL * (count - i), 0x1000, mem), 0);
	for (int i = 0; i < count; i += 2)
		ASSERT_RET(vm_slot(vm, i, 0, 0, 0, mem), 0);
	for (int i = 1; i < count; i += 2)
		EXPECT_ERRNO(vm_slot(vm, 0, 0, 0x10000ULL * (count - i), 0x1000, mem), EEXIST);
}
