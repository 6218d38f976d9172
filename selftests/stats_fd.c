// SPDX-License-Identifier: GPL-2.0
/*
 * stats_fd.c - KVM_GET_STATS_FD: layout of the file, counters that count, and that it holds the VM.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

static void guest(void)
{
	for (u64 i = 0; ; i++)
		guest_sync(i);
}

static const struct kvm_stats_desc *desc_at(const u8 *descs, const struct kvm_stats_header *head,
					    u32 i)
{
	return (const void *)(descs + i * (sizeof(struct kvm_stats_desc) + head->name_size));
}

static struct kvm_stats_header read_header(int fd)
{
	struct kvm_stats_header head;

	ASSERT_RET(pread(fd, &head, sizeof(head), 0), sizeof(head));
	return head;
}

static u8 *read_descs(int fd, const struct kvm_stats_header *head)
{
	size_t size = head->num_desc * (sizeof(struct kvm_stats_desc) + head->name_size);
	u8 *descs = malloc(size);

	ASSERT_RET(pread(fd, descs, size, head->desc_offset), size);
	return descs;
}

/* The counter of this name. */
static u64 counter(int fd, const char *name)
{
	struct kvm_stats_header head = read_header(fd);
	u8 *descs = read_descs(fd, &head);
	u64 value;

	for (u32 i = 0; i < head.num_desc; i++) {
		const struct kvm_stats_desc *desc = desc_at(descs, &head, i);

		if (strcmp(desc->name, name))
			continue;
		ASSERT_RET(pread(fd, &value, 8, head.data_offset + desc->offset), 8);
		free(descs);
		return value;
	}
	test_fail(__FILE__, __LINE__, "no counter %s", name);
	test_abort();
}

static void check_layout(int fd, const char *id_end)
{
	struct kvm_stats_header head = read_header(fd);
	u8 *descs = read_descs(fd, &head), byte;
	u32 end = 0, sum = 0;
	char *id = calloc(1, head.name_size + 1);

	EXPECT_EQ(head.flags, 0);
	EXPECT_TRUE(head.num_desc > 0);
	EXPECT_GE(head.id_offset, sizeof(head));
	EXPECT_GE(head.desc_offset, head.id_offset + head.name_size);
	ASSERT_RET(pread(fd, id, head.name_size, head.id_offset), head.name_size);
	EXPECT_TRUE(!strncmp(id, "kvm-", 4));
	EXPECT_TRUE(strlen(id) >= strlen(id_end) &&
		    !strcmp(id + strlen(id) - strlen(id_end), id_end));
	for (u32 i = 0; i < head.num_desc; i++) {
		const struct kvm_stats_desc *desc = desc_at(descs, &head, i);

		test_context("descriptor %u", i);
		EXPECT_TRUE(*desc->name && strnlen(desc->name, head.name_size) < head.name_size);
		EXPECT_LE(desc->flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_MAX);
		EXPECT_LE(desc->flags & KVM_STATS_UNIT_MASK, KVM_STATS_UNIT_MAX);
		EXPECT_LE(desc->flags & KVM_STATS_BASE_MASK, KVM_STATS_BASE_MAX);
		EXPECT_TRUE(desc->size > 0);
		sum += desc->size * 8;
		if (desc->offset + desc->size * 8 > end)
			end = desc->offset + desc->size * 8;
		for (u32 j = 0; j < i; j++)
			EXPECT_TRUE(strcmp(desc->name, desc_at(descs, &head, j)->name));
	}
	test_context("");
	EXPECT_EQ(end, sum);
	/* That is all of the file. */
	EXPECT_RET(pread(fd, &byte, 1, head.data_offset + end - 1), 1);
	EXPECT_RET(pread(fd, &byte, 1, head.data_offset + end), 0);
	EXPECT_RET(pread(fd, &byte, 1, head.data_offset + end + 4096), 0);
	EXPECT_ERRNO(write(fd, &byte, 1), EBADF);
	free(descs);
	free(id);
}

TEST(layout)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	vcpu = guest_new(guest);
	check_layout(xioctl(vcpu->vm->fd, KVM_GET_STATS_FD, NULL), "");
	check_layout(xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL), "/vcpu-0");
	EXPECT_EQ(fcntl(xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL), F_GETFD), FD_CLOEXEC);
}

/* read() goes on where the last one ended, in pieces of any size. */
TEST(sequential)
{
	char *volatile bad = (char *)8;
	u8 whole[8192], piece[8192];
	size_t at = 0;
	ssize_t n, r;
	struct vcpu *vcpu;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	vcpu = guest_new(guest);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	n = pread(fd, whole, sizeof(whole), 0);
	ASSERT_TRUE(n > 0 && n < (ssize_t)sizeof(whole));
	while ((r = read(fd, piece + at, 1 + at % 97)) > 0)
		at += r;
	EXPECT_EQ(r, 0);
	EXPECT_EQ(at, n);
	EXPECT_TRUE(!memcmp(whole, piece, n));
	EXPECT_ERRNO(pread(fd, bad, 100, 0), EFAULT);
}

TEST(counts)
{
	struct vcpu *vcpu;
	u64 exits, io;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	vcpu = guest_new(guest);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	run_sync(vcpu);
	exits = counter(fd, "exits");
	io = counter(fd, "io_exits");
	for (int i = 0; i < 10; i++)
		run_sync(vcpu);
	EXPECT_GE(counter(fd, "exits"), exits + 10);
	EXPECT_EQ(counter(fd, "io_exits"), io + 10);
}

/* It is the last that is left of the VM, and still can be read; by another process as well. */
TEST(outlives_the_vm)
{
	struct vcpu *vcpu;
	int fd, status;
	pid_t pid;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	vcpu = guest_new(guest);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	run_sync(vcpu);
	vm_free(vcpu->vm);
	EXPECT_GE(counter(fd, "io_exits"), 1);
	pid = fork();
	if (!pid) {
		EXPECT_GE(counter(fd, "io_exits"), 1);
		_exit(0);
	}
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}
