// SPDX-License-Identifier: GPL-2.0
/*
 * compat_ioctl.c - ioctls as a 32-bit process makes them: the same structures, but for the
 * pointer in the dirty log's, whose upper half is not the caller's to set.
 */
#include "guest.h"
#include "vm.h"

#define NR_IOCTL32	54

/* The kernel's 32-bit entry; where it is not built in, the case is skipped. */
static long ioctl32(int fd, u32 cmd, void *arg)
{
	long r;

	asm volatile("int $0x80" : "=a" (r)
		     : "a" (NR_IOCTL32), "b" (fd), "c" (cmd), "d" (arg)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static void guest(void)
{
	*(volatile u32 *)GUEST_FREE = 1;
	guest_sync(0x100);
	guest_done();
}

/* This program is linked below 4 GiB, and so are these. */
static struct kvm_regs regs, regs64;
static struct kvm_dirty_log dirty_log;
static u64 bitmap[RAM_SIZE / 4096 / 64];

TEST(three_kinds_of_fd)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;

	EXPECT_EQ(ioctl32(vm->dev, KVM_GET_API_VERSION, NULL), KVM_API_VERSION);
	EXPECT_EQ(ioctl32(vm->fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_USER_MEMORY), 1);
	EXPECT_EQ(vm_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, vm->ram), 0);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	EXPECT_EQ(ioctl32(vcpu->fd, KVM_GET_REGS, &regs), 0);
	vcpu_get_regs(vcpu, &regs64);
	EXPECT_EQ(memcmp(&regs, &regs64, sizeof(regs)), 0);

	dirty_log.dirty_bitmap = bitmap;
	dirty_log.padding2 |= 0xdead00000000ULL;
	EXPECT_EQ(ioctl32(vm->fd, KVM_GET_DIRTY_LOG, &dirty_log), 0);
	EXPECT_EQ(bitmap[GUEST_FREE / 4096 / 64] >> (GUEST_FREE / 4096 % 64) & 1, 1);
	EXPECT_EQ(ioctl32(vcpu->fd, KVM_GET_REGS, (void *)8), -EFAULT);
	run_done(vcpu);
}
