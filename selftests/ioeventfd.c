// SPDX-License-Identifier: GPL-2.0
/*
 * ioeventfd.c - KVM_IOEVENTFD: ports and MMIO, lengths, datamatch, any length, collisions.
 * What matches signals the eventfd without an exit; all else exits.
 */
#include <sys/eventfd.h>

#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define PORT	0xc100

static int ioeventfd(struct vm *vm, int fd, u64 addr, u32 len, u32 flags, u64 match)
{
	struct kvm_ioeventfd request = {
		.datamatch = match, .addr = addr, .len = len, .fd = fd, .flags = flags,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &request);
}

static u64 taken(int fd)
{
	u64 value = 0;

	return read(fd, &value, 8) == 8 ? value : 0;
}

#define PIO	KVM_IOEVENTFD_FLAG_PIO
#define MATCH	KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static void mmio_guest(void)
{
	*(volatile u16 *)MMIO = 1;
	*(volatile u16 *)MMIO = 2;
	guest_sync(0);
	*(volatile u32 *)MMIO = 3;		/* another length */
	*(volatile u8 *)MMIO = 0x33;
	*(volatile u16 *)(MMIO + 2) = 4;	/* another address */
	guest_sync(*(volatile u16 *)MMIO);	/* a read */
	*(volatile u8 *)(MMIO + 0x10) = 5;
	*(volatile u64 *)(MMIO + 0x20) = 0x1234567800000006;
	*(volatile u64 *)(MMIO + 0x20) = 6;
	guest_done();
}

TEST(mmio)
{
	struct vcpu *vcpu;
	struct vm *vm;
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK),
	    c = eventfd(0, EFD_NONBLOCK);

	NEED_CAP(KVM_CAP_IOEVENTFD);
	vcpu = guest_new(mmio_guest);
	vm = vcpu->vm;
	ASSERT_RET(ioeventfd(vm, a, MMIO, 2, 0, 0), 0);
	ASSERT_RET(ioeventfd(vm, b, MMIO + 0x10, 1, 0, 0), 0);
	ASSERT_RET(ioeventfd(vm, c, MMIO + 0x20, 8, MATCH, 0x1234567800000006), 0);
	run_sync(vcpu);
	EXPECT_EQ(taken(a), 2);
	EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, MMIO, 4), 3);
	EXPECT_EQ(*(u8 *)expect_mmio(vcpu, 1, MMIO, 1), 0x33);
	EXPECT_EQ(*(u16 *)expect_mmio(vcpu, 1, MMIO + 2, 2), 4);
	*(u16 *)expect_mmio(vcpu, 0, MMIO, 2) = 77;
	EXPECT_EQ(run_sync(vcpu), 77);
	EXPECT_EQ(*(u64 *)expect_mmio(vcpu, 1, MMIO + 0x20, 8), 6);
	run_done(vcpu);
	EXPECT_EQ(taken(a), 0);
	EXPECT_EQ(taken(b), 1);
	EXPECT_EQ(taken(c), 1);
}

static void port_guest(void)
{
	static const u8 string[4] = { 7, 8, 7, 7 };
	const u8 *si = string;
	u64 n = 4;

	outb(PORT, 7);
	outb(PORT, 8);
	outb(PORT, 9);
	outb(PORT + 8, 0x34);			/* of a device of two bytes */
	asm volatile("outw %%ax, %%dx" : : "a" (0x107), "d" (PORT));
	asm volatile("rep outsb" : "+S" (si), "+c" (n) : "d" (PORT) : "memory");
	guest_done();
}

TEST(ports_by_data)
{
	struct vcpu *vcpu;
	struct vm *vm;
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);

	NEED_CAP(KVM_CAP_IOEVENTFD);
	vcpu = guest_new(port_guest);
	vm = vcpu->vm;
	ASSERT_RET(ioeventfd(vm, a, PORT, 1, PIO | MATCH, 7), 0);
	ASSERT_RET(ioeventfd(vm, b, PORT, 1, PIO | MATCH, 8), 0);
	ASSERT_RET(ioeventfd(vm, b, PORT + 8, 2, PIO, 0), 0);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, PORT, 1, 1), 9);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, PORT + 8, 1, 1), 0x34);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, PORT, 2, 1), 0x107);
	run_done(vcpu);
	EXPECT_EQ(taken(a), 4);
	EXPECT_EQ(taken(b), 2);
}

static void any_guest(void)
{
	*(volatile u8 *)MMIO = 1;
	*(volatile u32 *)MMIO = 1;
	*(volatile u64 *)MMIO = 1;
	*(volatile u8 *)(MMIO + 1) = 1;
	outb(PORT, 1);
	outl(PORT, 1);
	guest_done();
}

TEST(any_length)
{
	struct vcpu *vcpu;
	struct vm *vm;
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);

	NEED_CAP(KVM_CAP_IOEVENTFD_ANY_LENGTH);
	vcpu = guest_new(any_guest);
	vm = vcpu->vm;
	ASSERT_RET(ioeventfd(vm, a, MMIO, 0, 0, 0), 0);
	ASSERT_RET(ioeventfd(vm, b, PORT, 0, PIO, 0), 0);
	EXPECT_ERRNO(ioeventfd(vm, a, MMIO + 8, 0, MATCH, 0), EINVAL);
	expect_mmio(vcpu, 1, MMIO + 1, 1);
	run_done(vcpu);
	EXPECT_EQ(taken(a), 3);
	EXPECT_EQ(taken(b), 2);
	EXPECT_RET(ioeventfd(vm, a, MMIO, 0, DEASSIGN, 0), 0);
	EXPECT_ERRNO(ioeventfd(vm, a, MMIO, 0, DEASSIGN, 0), ENOENT);
}

TEST(collisions)
{
	struct vm *vm;
	int a = eventfd(0, 0), b = eventfd(0, 0);

	NEED_CAP(KVM_CAP_IOEVENTFD);
	vm = vm_new();
	ASSERT_RET(ioeventfd(vm, a, PORT, 2, PIO | MATCH, 1), 0);
	EXPECT_RET(ioeventfd(vm, b, PORT, 2, PIO | MATCH, 2), 0);
	EXPECT_ERRNO(ioeventfd(vm, b, PORT, 2, PIO | MATCH, 1), EEXIST);
	EXPECT_ERRNO(ioeventfd(vm, b, PORT, 2, PIO, 0), EEXIST);
	/* Another length, another bus, another address. */
	EXPECT_RET(ioeventfd(vm, b, PORT, 4, PIO | MATCH, 1), 0);
	EXPECT_RET(ioeventfd(vm, b, PORT, 2, MATCH, 1), 0);
	EXPECT_RET(ioeventfd(vm, b, PORT + 1, 2, PIO | MATCH, 1), 0);

	/* Deassigning must name it exactly. */
	EXPECT_ERRNO(ioeventfd(vm, b, PORT, 2, PIO | MATCH | DEASSIGN, 1), ENOENT);
	EXPECT_ERRNO(ioeventfd(vm, a, PORT, 2, PIO | MATCH | DEASSIGN, 3), ENOENT);
	EXPECT_ERRNO(ioeventfd(vm, a, PORT, 2, PIO | DEASSIGN, 0), ENOENT);
	EXPECT_ERRNO(ioeventfd(vm, a, PORT, 2, MATCH | DEASSIGN, 1), ENOENT);
	EXPECT_ERRNO(ioeventfd(vm, a, PORT, 1, PIO | MATCH | DEASSIGN, 1), ENOENT);
	EXPECT_RET(ioeventfd(vm, a, PORT, 2, PIO | MATCH | DEASSIGN, 1), 0);
	ASSERT_RET(ioeventfd(vm, a, PORT + 8, 2, PIO | MATCH, 0), 0);
	EXPECT_ERRNO(ioeventfd(vm, a, PORT + 8, 2, PIO | DEASSIGN, 0), ENOENT);
	EXPECT_RET(ioeventfd(vm, b, PORT, 2, PIO | MATCH, 1), 0);
}

TEST(refused)
{
	struct vm *vm;
	int fd = eventfd(0, 0);

	NEED_CAP(KVM_CAP_IOEVENTFD);
	vm = vm_new();
	EXPECT_ERRNO(ioeventfd(vm, fd, MMIO, 3, 0, 0), EINVAL);
	EXPECT_ERRNO(ioeventfd(vm, fd, MMIO, 16, 0, 0), EINVAL);
	EXPECT_ERRNO(ioeventfd(vm, fd, ~0ULL - 1, 4, 0, 0), EINVAL);
	EXPECT_ERRNO(ioeventfd(vm, fd, MMIO, 4, 1 << 7, 0), EINVAL);
	EXPECT_ERRNO(ioeventfd(vm, -1, MMIO, 4, 0, 0), EBADF);
	EXPECT_ERRNO(ioeventfd(vm, vm->fd, MMIO, 4, 0, 0), EINVAL);
	EXPECT_ERRNO(ioeventfd(vm, -1, MMIO, 4, DEASSIGN, 0), EBADF);
}

/* What is refused, and what is taken back, holds on to no eventfd. */
TEST(references)
{
	int a = eventfd(0, 0), before = eventfd_number();
	struct vm *vm;

	NEED_CAP(KVM_CAP_IOEVENTFD);
	if (before < 0)
		test_skip("this kernel does not number eventfds");
	vm = vm_new();
	ASSERT_RET(ioeventfd(vm, a, PORT, 2, PIO, 0), 0);
	for (int i = 0; i < 60; i++) {
		int fd = eventfd(0, 0);

		EXPECT_ERRNO(ioeventfd(vm, fd, PORT, 2, PIO | MATCH, 1), EEXIST);
		EXPECT_ERRNO(ioeventfd(vm, fd, PORT, 2, PIO | DEASSIGN, 0), ENOENT);
		ASSERT_RET(ioeventfd(vm, fd, PORT, 4, PIO, 0), 0);
		ASSERT_RET(ioeventfd(vm, fd, PORT, 4, PIO | DEASSIGN, 0), 0);
		close(fd);
	}
	EXPECT_TRUE(eventfd_number() <= before + 20);
}
