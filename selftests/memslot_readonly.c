// SPDX-License-Identifier: GPL-2.0
/*
 * memslot_readonly.c - a KVM_MEM_READONLY slot: read and executed like memory, written like MMIO.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define ROM	0x10000000ULL

static void guest(void)
{
	volatile u32 *rom = (u32 *)ROM;

	GUEST_EXPECT_EQ(rom[0], 0x11111111);
	rom[0] = 0x22222222;
	/* Memory is as it was; what userspace does with the write is its own affair. */
	GUEST_EXPECT_EQ(rom[0], 0x11111111);
	rom[1024] = 0x33333333;
	asm volatile("lock incl %0" : "+m" (rom[1]));
	GUEST_EXPECT_EQ(rom[1], 7);
	((void (*)(void))(ROM + 0x1800))();
	guest_done();
}

TEST(reads_and_writes)
{
	struct vcpu *vcpu;
	u32 *rom;

	NEED_CAP(KVM_CAP_READONLY_MEM);
	vcpu = guest_new(guest);
	rom = mem_alloc(0x4000);
	rom[0] = 0x11111111;
	rom[1] = 7;
	*((u8 *)rom + 0x1800) = 0xc3;
	/* Not even writable here: the kernel must not ask for more than to read it. */
	ASSERT_RET(mprotect(rom, 0x4000, PROT_READ), 0);
	ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_READONLY, ROM, 0x4000, rom), 0);

	EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, ROM, 4), 0x22222222);
	EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, ROM + 4096, 4), 0x33333333);
	EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, ROM + 4, 4), 8);
	run_done(vcpu);
	EXPECT_EQ(rom[0], 0x11111111);
	EXPECT_EQ(rom[1], 7);
	EXPECT_EQ(rom[1024], 0);
}

static void toggling_guest(void)
{
	volatile u32 *rom = (u32 *)ROM;

	for (;;) {
		rom[0]++;
		guest_sync(rom[0]);
	}
}

/* How flash works: read-only, then RAM, at one place and with the same memory. */
TEST(rom_becomes_ram)
{
	struct vcpu *vcpu;
	u32 *mem;

	NEED_CAP(KVM_CAP_READONLY_MEM);
	vcpu = guest_new(toggling_guest);
	mem = mem_alloc(0x1000);
	for (u32 i = 0; i < 4; i++) {
		mem[0] = 10 * i;
		ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_READONLY, ROM, 0x1000, mem), 0);
		EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, ROM, 4), 10 * i + 1);
		EXPECT_EQ(run_sync(vcpu), 10 * i);
		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, 0, 0, NULL), 0);
		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, ROM, 0x1000, mem), 0);
		EXPECT_EQ(run_sync(vcpu), 10 * i + 1);
		EXPECT_EQ(mem[0], 10 * i + 1);
		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, 0, 0, NULL), 0);
	}
}
