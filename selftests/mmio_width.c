// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_width.c - MMIO loads and stores of each width at each alignment within eight bytes.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define VALUE	0x8877665544332211ULL

static void store_guest(void)
{
	for (u64 i = 0; i < 8; i++) {
		u64 at = MMIO + i;

		asm volatile("movb %b1, (%0)" : : "r" (at), "r" (VALUE) : "memory");
		asm volatile("movw %w1, (%0)" : : "r" (at), "r" (VALUE) : "memory");
		asm volatile("movl %k1, (%0)" : : "r" (at), "r" (VALUE) : "memory");
		asm volatile("movq %1, (%0)" : : "r" (at), "r" (VALUE) : "memory");
	}
	guest_done();
}

TEST(stores)
{
	struct vcpu *vcpu = guest_new(store_guest);

	for (u64 i = 0; i < 8; i++) {
		for (int size = 1; size <= 8; size *= 2) {
			u64 value = 0;

			memcpy(&value, expect_mmio(vcpu, 1, MMIO + i, size), size);
			EXPECT_EQ(value, VALUE & (~0ULL >> (64 - 8 * size)));
		}
	}
	run_done(vcpu);
}

static void load_guest(void)
{
	for (u64 i = 0; i < 8; i++) {
		u64 at = MMIO + 0x1000 + i, value;

		value = VALUE;
		asm volatile("movb (%1), %b0" : "+r" (value) : "r" (at) : "memory");
		guest_sync(value);
		value = VALUE;
		asm volatile("movw (%1), %w0" : "+r" (value) : "r" (at) : "memory");
		guest_sync(value);
		value = VALUE;
		asm volatile("movl (%1), %k0" : "+r" (value) : "r" (at) : "memory");
		guest_sync(value);
		asm volatile("movq (%1), %0" : "=r" (value) : "r" (at) : "memory");
		guest_sync(value);
	}
	guest_done();
}

TEST(loads)
{
	static const u64 want[] = {
		0x88776655443322a0, 0x887766554433a1a0, 0xa3a2a1a0, 0xa7a6a5a4a3a2a1a0,
	};
	struct vcpu *vcpu = guest_new(load_guest);

	for (u64 i = 0; i < 8; i++) {
		for (int n = 0; n < 4; n++) {
			memcpy(expect_mmio(vcpu, 0, MMIO + 0x1000 + i, 1 << n),
			       "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7", 8);
			EXPECT_EQ(run_sync(vcpu), want[n]);
		}
	}
	run_done(vcpu);
}

/* RIP is at the instruction until KVM_RUN completes it. */
TEST(completion)
{
	struct vcpu *vcpu = guest_new(load_guest);
	struct kvm_regs before, pending, after;

	vcpu_get_regs(vcpu, &before);
	*expect_mmio(vcpu, 0, MMIO + 0x1000, 1) = 0x42;
	vcpu_get_regs(vcpu, &pending);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &after);
	EXPECT_NE(pending.rip, before.rip);
	EXPECT_TRUE(after.rip > pending.rip && after.rip <= pending.rip + 15);
	EXPECT_EQ(run_sync(vcpu), (VALUE & ~0xffULL) | 0x42);
}

static void real_mode_top(void)
{
	guest_sync(*(volatile u32 *)0xfffffff0);
	guest_sync(*(volatile u32 *)0xa0000000);
	*(volatile u8 *)(0x100000000ULL - 1) = 1;
	guest_done();
}

/* GPAs at the edges of what is mapped one to one, and the upper half of 4 GiB. */
TEST(edges)
{
	struct vcpu *vcpu = guest_new(real_mode_top);

	*(u32 *)expect_mmio(vcpu, 0, 0xfffffff0, 4) = 5;
	EXPECT_EQ(run_sync(vcpu), 5);
	*(u32 *)expect_mmio(vcpu, 0, 0xa0000000, 4) = 6;
	EXPECT_EQ(run_sync(vcpu), 6);
	expect_mmio(vcpu, 1, 0xffffffff, 1);
	run_done(vcpu);
}
