// SPDX-License-Identifier: GPL-2.0
/*
 * pio_width.c - IN and OUT of each width, by immediate and by DX, and what they leave of RAX.
 */
#include "guest.h"
#include "vm.h"

#define PATTERN 0x1122334455667788ULL

static void out_guest(void)
{
	u64 a = PATTERN;

	asm volatile("outb %%al, $0x10" : : "a" (a));
	asm volatile("outw %%ax, $0x20" : : "a" (a));
	asm volatile("outl %%eax, $0x30" : : "a" (a));
	asm volatile("outb %%al, %%dx" : : "a" (a), "d" (0xcafe1234));
	asm volatile("outw %%ax, %%dx" : : "a" (a), "d" (0xffff));
	asm volatile("outl %%eax, %%dx" : : "a" (a), "d" (0xfffc));
	guest_done();
}

TEST(out_widths)
{
	struct vcpu *vcpu = guest_new(out_guest);

	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1), 0x88);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x20, 2, 1), 0x7788);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x30, 4, 1), 0x55667788);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x1234, 1, 1), 0x88);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0xffff, 2, 1), 0x7788);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0xfffc, 4, 1), 0x55667788);
	run_done(vcpu);
}

static void in_guest(void)
{
	u64 a;

	a = PATTERN;
	asm volatile("inb $0x10, %%al" : "+a" (a));
	guest_sync(a);
	a = PATTERN;
	asm volatile("inw $0x20, %%ax" : "+a" (a));
	guest_sync(a);
	a = PATTERN;
	asm volatile("inl $0x30, %%eax" : "+a" (a));
	guest_sync(a);
	a = PATTERN;
	asm volatile("inb %%dx, %%al" : "+a" (a) : "d" (0x1234));
	guest_sync(a);
	a = PATTERN;
	asm volatile("inw %%dx, %%ax" : "+a" (a) : "d" (0x1234));
	guest_sync(a);
	a = PATTERN;
	asm volatile("inl %%dx, %%eax" : "+a" (a) : "d" (0x1234));
	guest_sync(a);
	/* REX.W does not make it wider. */
	a = PATTERN;
	asm volatile(".byte 0x48; inl %%dx, %%eax" : "+a" (a) : "d" (0x1234));
	guest_sync(a);
	guest_done();
}

TEST(in_widths)
{
	struct vcpu *vcpu = guest_new(in_guest);
	static const struct {
		u16 port;
		u8 size;
		u64 rax;
	} want[] = {
		{ 0x10, 1, 0x11223344556677e0 }, { 0x20, 2, 0x112233445566e1e0 },
		{ 0x30, 4, 0xe3e2e1e0 },
		{ 0x1234, 1, 0x11223344556677e0 }, { 0x1234, 2, 0x112233445566e1e0 },
		{ 0x1234, 4, 0xe3e2e1e0 }, { 0x1234, 4, 0xe3e2e1e0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		test_context("IN %zu", i);
		memcpy(expect_pio(vcpu, KVM_EXIT_IO_IN, want[i].port, want[i].size, 1),
		       "\xe0\xe1\xe2\xe3\xe4\xe5\xe6\xe7", 8);
		EXPECT_EQ(run_sync(vcpu), want[i].rax);
	}
	run_done(vcpu);
}

/* What only begins at a device in the kernel (a PIC has two ports) is userspace's, whole. */
static void beyond_guest(void)
{
	u64 a = PATTERN;

	asm volatile("outw %%ax, $0x21" : : "a" (a));
	asm volatile("outl %%eax, %%dx" : : "a" (a), "d" (0xa0));
	asm volatile("inw $0xa1, %%ax" : "+a" (a));
	guest_sync(a & 0xffff);
	guest_sync(inb(0x21));
	guest_done();
}

TEST(beyond_a_device)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_IRQCHIP);
	vcpu = guest_new_irqchip(beyond_guest);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x21, 2, 1), 0x7788);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0xa0, 4, 1), 0x55667788);
	memcpy(expect_pio(vcpu, KVM_EXIT_IO_IN, 0xa1, 2, 1), "\x34\x12", 2);
	EXPECT_EQ(run_sync(vcpu), 0x1234);
	EXPECT_EQ(run_sync(vcpu), 0);		/* the PIC's mask was not written */
	run_done(vcpu);
}
