// SPDX-License-Identifier: GPL-2.0
/*
 * sys_api.c - the system fd's ioctls, and what each kind of fd answers to unknown ones.
 */
#include <fcntl.h>

#include "vm.h"

static int open_fd_link(int fd, char *name, size_t size)
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, name, size - 1);
	if (len < 0)
		return -1;
	name[len] = 0;
	return 0;
}

TEST(api_version)
{
	int dev = dev_open();

	EXPECT_RET(ioctl(dev, KVM_GET_API_VERSION, 0), 12);
	EXPECT_ERRNO(ioctl(dev, KVM_GET_API_VERSION, 1), EINVAL);
}

TEST(vcpu_mmap_size)
{
	int dev = dev_open();

	EXPECT_RET(ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0), 12288);
	EXPECT_ERRNO(ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 1), EINVAL);
}

TEST(create_vm_type)
{
	int dev = dev_open();

	EXPECT_ERRNO(ioctl(dev, KVM_CREATE_VM, 1), EINVAL);
	EXPECT_ERRNO(ioctl(dev, KVM_CREATE_VM, -1L), EINVAL);
}

TEST(check_extension)
{
	static const struct {
		int cap, value;
	} exact[] = {
		{ KVM_CAP_USER_MEMORY, 1 }, { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
		{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 }, { KVM_CAP_SET_TSS_ADDR, 1 },
		{ KVM_CAP_HLT, 1 }, { KVM_CAP_NOP_IO_DELAY, 1 }, { KVM_CAP_IMMEDIATE_EXIT, 1 },
		{ KVM_CAP_CHECK_EXTENSION_VM, 1 }, { KVM_CAP_ENABLE_CAP_VM, 1 },
		{ KVM_CAP_EXT_CPUID, 1 }, { KVM_CAP_SYNC_MMU, 1 }, { KVM_CAP_COALESCED_MMIO, 2 },
		{ 100000, 0 }, { 0x7fffffff, 0 }, { -1, 0 },
	};
	struct vm *vm = vm_bare();

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
		test_context("capability %d", exact[i].cap);
		EXPECT_RET(ioctl(vm->dev, KVM_CHECK_EXTENSION, (long)exact[i].cap), exact[i].value);
		EXPECT_RET(ioctl(vm->fd, KVM_CHECK_EXTENSION, (long)exact[i].cap), exact[i].value);
	}
	test_context("");
	EXPECT_GE(dev_cap(KVM_CAP_NR_MEMSLOTS), 32);
	EXPECT_GE(dev_cap(KVM_CAP_NR_VCPUS), 1);
	EXPECT_GE(dev_cap(KVM_CAP_MAX_VCPUS), dev_cap(KVM_CAP_NR_VCPUS));
	EXPECT_GE(dev_cap(KVM_CAP_MAX_VCPUS), 64);
	EXPECT_GE(dev_cap(KVM_CAP_MAX_VCPU_ID), dev_cap(KVM_CAP_MAX_VCPUS));
}

TEST(unknown_ioctls)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	static const unsigned long unknown[] = {
		0, 0x5401, _IO(KVMIO, 0x3f), _IOW(KVMIO, 0xfe, u64), _IOR(KVMIO, 0x3e, u32),
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		test_context("ioctl %#lx", unknown[i]);
		/* 0x5401 is TCGETS: no fd of ours is a terminal. */
		EXPECT_ERRNO(ioctl(vm->dev, unknown[i], 0), EINVAL);
		EXPECT_ERRNO(ioctl(vm->fd, unknown[i], 0), ENOTTY);
		EXPECT_ERRNO(ioctl(vcpu->fd, unknown[i], 0), EINVAL);
	}
	test_context("");
	/* A command that belongs to another kind of fd is unknown, too. */
	EXPECT_ERRNO(ioctl(vm->dev, KVM_RUN, 0), EINVAL);
	EXPECT_ERRNO(ioctl(vm->dev, KVM_CREATE_VCPU, 0), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_RUN, 0), ENOTTY);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_API_VERSION, 0), ENOTTY);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_CREATE_VCPU, 1), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_CREATE_VM, 0), EINVAL);
}

/* Same low 16 bits as a command that exists, another size or direction. */
TEST(whole_command_counts)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu = vcpu_new(vm, 0);
	u8 buf[4096] = { 0 };

	EXPECT_ERRNO(ioctl(vm->dev, _IOW(KVMIO, _IOC_NR(KVM_GET_API_VERSION), u64), 0), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, _IOR(KVMIO, _IOC_NR(KVM_GET_REGS), u64), buf), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, _IOW(KVMIO, _IOC_NR(KVM_GET_SREGS), struct kvm_sregs), buf),
		     EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, _IOW(KVMIO, _IOC_NR(KVM_SET_USER_MEMORY_REGION), u64), buf),
		     ENOTTY);
}

TEST(bad_pointers)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REGS, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_REGS, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MSRS, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vm->dev, KVM_GET_SUPPORTED_CPUID, 8), EFAULT);
	EXPECT_ERRNO(ioctl(vm->dev, KVM_GET_MSR_INDEX_LIST, 8), EFAULT);
}

TEST(fd_names_and_flags)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu = vcpu_new(vm, 5);
	char name[64];

	ASSERT_RET(open_fd_link(vm->fd, name, sizeof(name)), 0);
	EXPECT_EQ(strcmp(name, "anon_inode:kvm-vm"), 0);
	ASSERT_RET(open_fd_link(vcpu->fd, name, sizeof(name)), 0);
	EXPECT_EQ(strcmp(name, "anon_inode:kvm-vcpu:5"), 0);
	EXPECT_RET(fcntl(vm->fd, F_GETFD), FD_CLOEXEC);
	EXPECT_RET(fcntl(vcpu->fd, F_GETFD), FD_CLOEXEC);
	EXPECT_EQ(fcntl(vm->fd, F_GETFL) & O_ACCMODE, O_RDWR);
	EXPECT_EQ(fcntl(vcpu->fd, F_GETFL) & O_ACCMODE, O_RDWR);
}
