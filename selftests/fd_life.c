// SPDX-License-Identifier: GPL-2.0
/*
 * fd_life.c - lifetimes of the fds: a VM lives as long as any of its fds, vCPU ids stay taken,
 * the mappings outlive the fds, and a VM belongs to the process that made it.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

static void guest(void)
{
	for (u64 i = 0; ; i++)
		guest_sync(i);
}

TEST(vcpu_outlives_vm_fd)
{
	struct vcpu *vcpu = guest_new(guest);

	EXPECT_EQ(run_sync(vcpu), 0);
	close(vcpu->vm->fd);
	close(vcpu->vm->dev);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run_sync(vcpu), 2);
}

TEST(run_page_outlives_vcpu_fd)
{
	struct vcpu *vcpu = guest_new(guest);

	run_sync(vcpu);
	close(vcpu->fd);
	close(vcpu->vm->fd);
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_IO);
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(munmap(vcpu->run, 12288), 0);
}

TEST(vcpu_ids)
{
	struct vm *vm = vm_bare();
	int max = dev_cap(KVM_CAP_MAX_VCPU_ID), fd;

	fd = xioctl(vm->fd, KVM_CREATE_VCPU, 7L);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 7L), EEXIST);
	/* Closing the fd does not give the id back. */
	close(fd);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 7L), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, (long)max), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, -1L), EINVAL);
	EXPECT_TRUE(ioctl(vm->fd, KVM_CREATE_VCPU, (long)max - 1) >= 0);
}

TEST(as_many_vcpus_as_said)
{
	struct vm *vm = vm_bare();
	int max = dev_cap(KVM_CAP_MAX_VCPUS);

	if (max > 1000)
		max = 1000;
	for (int i = 0; i < max; i++) {
		int fd = ioctl(vm->fd, KVM_CREATE_VCPU, (long)i);

		ASSERT_TRUE(fd >= 0);
		close(fd);
	}
	if (max == dev_cap(KVM_CAP_MAX_VCPUS))
		EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, (long)max), EINVAL);
}

/* What a fork() inherits is of no use to the child: not its memory, not its guest. */
TEST(another_process)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	int status;
	pid_t pid;

	run_sync(vcpu);
	pid = fork();
	if (!pid) {
		struct kvm_regs regs;

		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EIO);
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_REGS, &regs), EIO);
		EXPECT_ERRNO(ioctl(vcpu->fd, 0x1234, &regs), EIO);
		EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_VCPU, 1L), EIO);
		EXPECT_ERRNO(ioctl(vm->fd, KVM_CHECK_EXTENSION, 0L), EIO);
		/* The system fd is nobody's own. */
		EXPECT_RET(ioctl(vm->dev, KVM_GET_API_VERSION, 0), 12);
		close(vcpu->fd);
		close(vm->fd);
		_exit(0);
	}
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(run_sync(vcpu), 1);
}

TEST(mmap_of_the_vcpu)
{
	struct vcpu *vcpu = guest_new(guest);
	int size = xioctl(vcpu->vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	u8 *again = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	volatile u8 *page;
	struct kvm_run *run;
	int status;
	pid_t pid;

	ASSERT_TRUE(again != MAP_FAILED);
	run = (struct kvm_run *)again;
	run_sync(vcpu);
	EXPECT_EQ(run->exit_reason, KVM_EXIT_IO);
	/* Beyond the end is SIGBUS, not somebody's memory. */
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, vcpu->fd, 200 * 4096);
	if (page == MAP_FAILED)
		return;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		page[0];
		_exit(0);
	}
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

/* An irqfd does not keep its VM, and ends with the VM's fd while a vCPU fd is still open. */
TEST(irqfd_ends_with_the_vm_fd)
{
	struct kvm_irqfd request = { .fd = eventfd(0, EFD_NONBLOCK), .gsi = 20 };
	struct vcpu *vcpu;
	u64 one = 1;

	NEED_CAP(KVM_CAP_IRQFD);
	vcpu = guest_new_irqchip(guest);
	xioctl(vcpu->vm->fd, KVM_IRQFD, &request);
	close(vcpu->vm->fd);
	usleep(20000);
	ASSERT_RET(write(request.fd, &one, 8), 8);
	usleep(20000);
	EXPECT_RET(read(request.fd, &one, 8), 8);
	EXPECT_EQ(run_sync(vcpu), 0);
}
