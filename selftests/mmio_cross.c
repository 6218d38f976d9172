// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_cross.c - one access on two pages: both MMIO, memory and MMIO, and pages that lie apart.
 * The parts arrive as exits of one instruction, the lower address first.
 */
#include "guest.h"
#include "vm.h"

#define VA	0x8000000000ULL
#define DEV_A	0xd0000000ULL
#define DEV_B	0xe0010000ULL
#define VALUE	0x8877665544332211ULL

static void guest(void)
{
	u64 at = VA + 0xffd;

	*(volatile u64 *)at = VALUE;
	*(volatile u32 *)(VA + 0xffe) = 0xa4a3a2a1;
	*(volatile u16 *)(VA + 0xfff) = 0xb2b1;
	guest_sync(*(volatile u64 *)at);
	asm volatile("addl $1, %0" : "+m" (*(volatile u32 *)(VA + 0xffe)));
	guest_done();
}

static u64 write_part(struct vcpu *vcpu, u64 gpa, int len)
{
	u64 value = 0;

	memcpy(&value, expect_mmio(vcpu, 1, gpa, len), len);
	return value;
}

TEST(two_devices)
{
	struct vcpu *vcpu = guest_new(guest);
	u32 sum;

	vm_map(vcpu->vm, VA, DEV_A, PTE_P | PTE_W);
	vm_map(vcpu->vm, VA + 0x1000, DEV_B, PTE_P | PTE_W);

	EXPECT_EQ(write_part(vcpu, DEV_A + 0xffd, 3), 0x332211);
	EXPECT_EQ(write_part(vcpu, DEV_B, 5), 0x8877665544);
	EXPECT_EQ(write_part(vcpu, DEV_A + 0xffe, 2), 0xa2a1);
	EXPECT_EQ(write_part(vcpu, DEV_B, 2), 0xa4a3);
	EXPECT_EQ(write_part(vcpu, DEV_A + 0xfff, 1), 0xb1);
	EXPECT_EQ(write_part(vcpu, DEV_B, 1), 0xb2);

	memcpy(expect_mmio(vcpu, 0, DEV_A + 0xffd, 3), "\x01\x02\x03", 3);
	memcpy(expect_mmio(vcpu, 0, DEV_B, 5), "\x04\x05\x06\x07\x08", 5);
	EXPECT_EQ(run_sync(vcpu), 0x0807060504030201);

	memcpy(expect_mmio(vcpu, 0, DEV_A + 0xffe, 2), "\xff\xff", 2);
	memcpy(expect_mmio(vcpu, 0, DEV_B, 2), "\x05\x00", 2);
	sum = write_part(vcpu, DEV_A + 0xffe, 2);
	sum |= write_part(vcpu, DEV_B, 2) << 16;
	EXPECT_EQ(sum, 0x60000);
	run_done(vcpu);
}

TEST(memory_then_device)
{
	struct vcpu *vcpu = guest_new(guest);
	u8 *page = vcpu->vm->ram + GUEST_FREE;

	vm_map(vcpu->vm, VA, GUEST_FREE, PTE_P | PTE_W);
	vm_map(vcpu->vm, VA + 0x1000, DEV_B, PTE_P | PTE_W);

	EXPECT_EQ(write_part(vcpu, DEV_B, 5), 0x8877665544);
	EXPECT_EQ(page[0xffd] | page[0xffe] << 8 | page[0xfff] << 16, 0x332211);
	EXPECT_EQ(write_part(vcpu, DEV_B, 2), 0xa4a3);
	EXPECT_EQ(page[0xffe] | page[0xfff] << 8, 0xa2a1);
	EXPECT_EQ(write_part(vcpu, DEV_B, 1), 0xb2);
	EXPECT_EQ(page[0xfff], 0xb1);
	memcpy(expect_mmio(vcpu, 0, DEV_B, 5), "\x04\x05\x06\x07\x08", 5);
	EXPECT_EQ(run_sync(vcpu), 0x0807060504b1a111);
}

TEST(device_then_memory)
{
	struct vcpu *vcpu = guest_new(guest);
	u8 *page = vcpu->vm->ram + GUEST_FREE;

	vm_map(vcpu->vm, VA, DEV_A, PTE_P | PTE_W);
	vm_map(vcpu->vm, VA + 0x1000, GUEST_FREE, PTE_P | PTE_W);

	EXPECT_EQ(write_part(vcpu, DEV_A + 0xffd, 3), 0x332211);
	EXPECT_EQ(write_part(vcpu, DEV_A + 0xffe, 2), 0xa2a1);
	EXPECT_EQ(*(u64 *)page >> 16 & 0xffffff, 0x887766);
	EXPECT_EQ(write_part(vcpu, DEV_A + 0xfff, 1), 0xb1);
	EXPECT_EQ(*(u64 *)page >> 8 & 0xffffffff, 0x887766a4);
	memcpy(expect_mmio(vcpu, 0, DEV_A + 0xffd, 3), "\x01\x02\x03", 3);
	EXPECT_EQ(run_sync(vcpu), 0x887766a4b2030201);
}

/* The second page is not mapped: #PF with its address, and the device sees nothing. */
static void faulting_guest(void)
{
	u64 a = VALUE, c = VA + 0xffd, d = 0;

	GUEST_TRY("mov %%rax, (%%rcx)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 2);
	GUEST_EXPECT_EQ(guest_fault.cr2, VA + 0x1000);
	guest_done();
}

TEST(second_page_missing)
{
	struct vcpu *vcpu = guest_new(faulting_guest);

	vm_map(vcpu->vm, VA, DEV_A, PTE_P | PTE_W);
	run_done(vcpu);
}
