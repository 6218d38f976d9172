// SPDX-License-Identifier: GPL-2.0
/*
 * fd_pass.c - descriptors of a VM that are sent to another process: of no use there, until it
 * is the last that has them; and they hold the module as long as any is open.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

static void guest(void)
{
	for (u64 i = 0; ; i++)
		guest_sync(i);
}

static void send_fds(int sock, const int *fds, int n)
{
	char byte = 0, control[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	ASSERT_TRUE(cmsg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	ASSERT_RET(sendmsg(sock, &msg, 0), 1);
}

static void recv_fds(int sock, int *fds, int n)
{
	char byte, control[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};

	ASSERT_RET(recvmsg(sock, &msg, 0), 1);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), n * sizeof(int));
}

/* All of it must say EIO, and what only looks at the file must work. */
static void expect_foreign(const int *fd)
{
	struct kvm_regs regs;
	struct kvm_run *run;

	EXPECT_ERRNO(ioctl(fd[0], KVM_CHECK_EXTENSION, 0L), EIO);
	EXPECT_ERRNO(ioctl(fd[0], KVM_CREATE_VCPU, 5L), EIO);
	EXPECT_ERRNO(ioctl(fd[1], KVM_RUN, 0), EIO);
	EXPECT_ERRNO(ioctl(fd[1], KVM_GET_REGS, &regs), EIO);
	run = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd[1], 0);
	ASSERT_TRUE(run != MAP_FAILED);
	/* Of guest_sync(), or of the signal that killed its process in KVM_RUN. */
	EXPECT_TRUE(run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_INTR);
	munmap(run, 4096);
}

/* The owner goes on, whatever the other does with them. */
TEST(to_another_process)
{
	struct vcpu *vcpu = guest_new(guest);
	int sock[2], fds[2], status;
	pid_t pid;

	run_sync(vcpu);
	ASSERT_RET(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	pid = fork();
	if (!pid) {
		close(vcpu->fd);
		close(vcpu->vm->fd);
		recv_fds(sock[1], fds, 2);
		expect_foreign(fds);
		close(fds[0]);
		close(fds[1]);
		_exit(0);
	}
	fds[0] = vcpu->vm->fd;
	fds[1] = vcpu->fd;
	send_fds(sock[0], fds, 2);
	EXPECT_EQ(run_sync(vcpu), 1);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(run_sync(vcpu), 2);
}

/* The process that made the VM is killed; the last descriptors are closed elsewhere. */
TEST(from_a_process_that_dies)
{
	int sock[2], fds[2], status;
	struct vcpu *vcpu;
	pid_t pid;

	ASSERT_RET(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	pid = fork();
	if (!pid) {
		vcpu = guest_new(guest);
		run_sync(vcpu);
		fds[0] = vcpu->vm->fd;
		fds[1] = vcpu->fd;
		send_fds(sock[1], fds, 2);
		for (;;)
			run_sync(vcpu);
	}
	recv_fds(sock[0], fds, 2);
	expect_foreign(fds);
	kill(pid, SIGKILL);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(WTERMSIG(status), SIGKILL);
	expect_foreign(fds);
	EXPECT_RET(close(fds[0]), 0);
	EXPECT_ERRNO(ioctl(fds[1], KVM_RUN, 0), EIO);
	EXPECT_RET(close(fds[1]), 0);
}

/* In the queue of a socket that nobody reads, and goes with it. */
TEST(never_received)
{
	struct vcpu *vcpu = guest_new(guest);
	int sock[2], fds[2];

	run_sync(vcpu);
	ASSERT_RET(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	fds[0] = vcpu->vm->fd;
	fds[1] = vcpu->fd;
	for (int i = 0; i < 10; i++)
		send_fds(sock[0], fds, 2);
	vm_free(vcpu->vm);
	close(sock[0]);
	close(sock[1]);
	EXPECT_EQ(run_sync(guest_new(guest)), 0);
}

static const char *module_name(void)
{
	return strstr(test_device(), "kvm") ? "kvm_amd" : "minihv";
}

static int module_refs(void)
{
	char path[64];
	FILE *file;
	int n = -1;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", module_name());
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &n) != 1)
		n = -1;
	fclose(file);
	return n;
}

/* Each kind of descriptor alone keeps the module; without any it is as free as before. */
TEST(hold_the_module)
{
	int before = module_refs(), last;
	struct vm *vm;
	int fd, stats;

	if (before < 0 || geteuid())
		test_skip("no /sys/module/%s/refcnt, or not root", module_name());
	fd = dev_open();
	EXPECT_EQ(module_refs(), before + 1);
	EXPECT_TRUE(syscall(SYS_delete_module, module_name(), O_NONBLOCK) == -1 &&
		    (errno == EWOULDBLOCK || errno == EBUSY));
	close(fd);
	vm = vm_bare();
	vcpu_new(vm, 0);
	stats = dev_cap(KVM_CAP_BINARY_STATS_FD) ? xioctl(vm->vcpu[0].fd, KVM_GET_STATS_FD, NULL) :
		-1;
	close(vm->dev);
	close(vm->fd);
	EXPECT_TRUE(module_refs() > before);
	EXPECT_ERRNO(syscall(SYS_delete_module, module_name(), O_NONBLOCK), EWOULDBLOCK);
	close(vm->vcpu[0].fd);
	munmap(vm->vcpu[0].run, 12288);
	if (stats >= 0) {
		EXPECT_TRUE(module_refs() > before);
		close(stats);
	}
	/* What frees it may be on another CPU. */
	for (int i = 0; (last = module_refs()) != before && i < 100; i++)
		usleep(10000);
	EXPECT_EQ(last, before);
}
