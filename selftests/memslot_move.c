// SPDX-License-Identifier: GPL-2.0
/*
 * memslot_move.c - slots added, moved and deleted between runs: the guest sees it at once.
 */
#include "guest.h"
#include "vm.h"

#define A	0x10000000ULL
#define B	0x20000000ULL

static void guest(void)
{
	for (;;) {
		guest_sync(*(volatile u32 *)A);
		guest_sync(*(volatile u32 *)B);
	}
}

static u32 read_by_mmio(struct vcpu *vcpu, u64 gpa, u32 answer)
{
	*(u32 *)expect_mmio(vcpu, 0, gpa, 4) = answer;
	return run_sync(vcpu);
}

TEST(add_move_delete)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u32 *mem = mem_alloc(0x200000), *other = mem_alloc(0x200000);

	mem[0] = 0xaaaa;
	other[0] = 0xbbbb;
	EXPECT_EQ(read_by_mmio(vcpu, A, 1), 1);
	EXPECT_EQ(read_by_mmio(vcpu, B, 2), 2);

	ASSERT_RET(vm_slot(vm, 1, 0, A, 0x200000, mem), 0);
	EXPECT_EQ(run_sync(vcpu), 0xaaaa);
	EXPECT_EQ(read_by_mmio(vcpu, B, 3), 3);

	ASSERT_RET(vm_slot(vm, 1, 0, B, 0x200000, mem), 0);
	EXPECT_EQ(read_by_mmio(vcpu, A, 4), 4);
	EXPECT_EQ(run_sync(vcpu), 0xaaaa);

	ASSERT_RET(vm_slot(vm, 2, 0, A, 0x200000, other), 0);
	EXPECT_EQ(run_sync(vcpu), 0xbbbb);
	ASSERT_RET(vm_slot(vm, 1, 0, B, 0, mem), 0);
	EXPECT_EQ(read_by_mmio(vcpu, B, 5), 5);

	/* Deleted and made anew with other memory at the same place. */
	ASSERT_RET(vm_slot(vm, 2, 0, A, 0, NULL), 0);
	ASSERT_RET(vm_slot(vm, 2, 0, A, 0x200000, mem), 0);
	EXPECT_EQ(run_sync(vcpu), 0xaaaa);
}

/* The guest's own code and page tables move to other memory under it. */
TEST(everything_replaced)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u8 *copy = mem_alloc(RAM_SIZE);

	EXPECT_EQ(read_by_mmio(vcpu, A, 1), 1);
	memcpy(copy, vm->ram, RAM_SIZE);
	ASSERT_RET(vm_slot(vm, 0, 0, 0, 0, NULL), 0);
	ASSERT_RET(vm_slot(vm, 0, 0, 0, RAM_SIZE, copy), 0);
	memset(vm->ram, 0xcc, RAM_SIZE);
	EXPECT_EQ(read_by_mmio(vcpu, B, 2), 2);
	EXPECT_EQ(read_by_mmio(vcpu, A, 3), 3);
}

/* Two slots side by side: one access reaches into both. */
static void straddling_guest(void)
{
	*(volatile u64 *)(A + 0xffc) = 0x1122334455667788;
	guest_sync(*(volatile u64 *)(A + 0xffe));
}

TEST(access_over_two_slots)
{
	struct vcpu *vcpu = guest_new(straddling_guest);
	u8 *low = mem_alloc(0x1000), *high = mem_alloc(0x1000);

	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, A, 0x1000, low), 0);
	ASSERT_RET(vm_slot(vcpu->vm, 2, 0, A + 0x1000, 0x1000, high), 0);
	EXPECT_EQ(run_sync(vcpu), 0x0000112233445566);
	EXPECT_EQ(*(u32 *)(low + 0xffc), 0x55667788);
	EXPECT_EQ(*(u32 *)high, 0x11223344);
}
