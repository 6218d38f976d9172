// SPDX-License-Identifier: GPL-2.0
/*
 * mmu_host.c - the host changes the guest's memory under it: what the guest sees next is what
 * the process has there now. Unmapping, protection, DONTNEED, mremap, copy on write, files.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define SIZE	0x400000ULL

/* Reads the word and writes it, incremented, to the next one; says what it has read. */
static void guest(void)
{
	volatile u64 *word = (u64 *)BASE;

	for (;;) {
		u64 value = word[0];

		word[1] = value + 1;
		guest_sync(value);
	}
}

static struct vcpu *start(u64 **mem)
{
	struct vcpu *vcpu = guest_new(guest);

	*mem = mem_alloc(SIZE);
	(*mem)[0] = 1;
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, SIZE, *mem), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ((*mem)[1], 2);
	return vcpu;
}

TEST(dontneed)
{
	u64 *mem;
	struct vcpu *vcpu = start(&mem);

	for (int i = 0; i < 20; i++) {
		ASSERT_RET(madvise(mem, 0x1000, MADV_DONTNEED), 0);
		EXPECT_EQ(run_sync(vcpu), 0);
		EXPECT_EQ(mem[1], 1);
		mem[0] = i;
		EXPECT_EQ(run_sync(vcpu), i);
	}
}

TEST(unmapped_and_mapped_again)
{
	u64 *mem, *again;
	struct vcpu *vcpu = start(&mem);

	ASSERT_RET(munmap(mem, SIZE), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	again = mmap(mem, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		     -1, 0);
	ASSERT_TRUE(again == mem);
	mem[0] = 77;
	EXPECT_EQ(run_sync(vcpu), 77);
	EXPECT_EQ(mem[1], 78);
}

TEST(protection)
{
	u64 *mem;
	struct vcpu *vcpu = start(&mem);

	ASSERT_RET(mprotect(mem, SIZE, PROT_READ), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	ASSERT_RET(mprotect(mem, SIZE, PROT_NONE), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	ASSERT_RET(mprotect(mem, SIZE, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
}

TEST(moved)
{
	u64 *mem, *away = mem_alloc(SIZE), *other;
	struct vcpu *vcpu = start(&mem);

	/* The pages go, with what they hold, and new ones are in their place. */
	other = mremap(mem, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, away);
	ASSERT_TRUE(other == away);
	ASSERT_TRUE(mmap(mem, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	mem[0] = 5;
	EXPECT_EQ(run_sync(vcpu), 5);
	EXPECT_EQ(mem[1], 6);
	EXPECT_EQ(other[0], 1);
	EXPECT_EQ(other[1], 2);
}

/* After fork() both have the old pages; a write by either copies, and the guest is the parent's. */
TEST(copy_on_write)
{
	u64 *mem;
	struct vcpu *vcpu = start(&mem);
	int to_child[2], to_parent[2], status;
	pid_t pid;
	char c;

	ASSERT_RET(pipe(to_child), 0);
	ASSERT_RET(pipe(to_parent), 0);
	pid = fork();
	if (!pid) {
		int good;

		ASSERT_RET(read(to_child[0], &c, 1), 1);
		good = mem[0] == 1 && mem[1] == 2;
		mem[0] = 0xbad;
		ASSERT_RET(write(to_parent[1], "x", 1), 1);
		_exit(!good);
	}
	mem[0] = 10;
	EXPECT_EQ(run_sync(vcpu), 10);
	EXPECT_EQ(mem[1], 11);
	ASSERT_RET(write(to_child[1], "x", 1), 1);
	ASSERT_RET(read(to_parent[0], &c, 1), 1);
	EXPECT_EQ(run_sync(vcpu), 10);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

/* The guest alone writes after fork(): it must not write into the page that the child has. */
TEST(guest_write_after_fork)
{
	u64 *mem;
	struct vcpu *vcpu = start(&mem);
	int pipe_fd[2], status;
	pid_t pid;
	char c;

	ASSERT_RET(pipe(pipe_fd), 0);
	mem[1] = 0x1111;
	pid = fork();
	if (!pid) {
		ASSERT_RET(read(pipe_fd[0], &c, 1), 1);
		_exit(mem[1] != 0x1111);
	}
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(mem[1], 2);
	ASSERT_RET(write(pipe_fd[1], "x", 1), 1);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

TEST(shared_file)
{
	struct vcpu *vcpu = guest_new(guest);
	int fd = memfd_create("guest", MFD_CLOEXEC);
	u64 *a, *b;

	ASSERT_RET(ftruncate(fd, SIZE), 0);
	a = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_TRUE(a != MAP_FAILED && b != MAP_FAILED);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, SIZE, a), 0);
	b[0] = 42;
	EXPECT_EQ(run_sync(vcpu), 42);
	EXPECT_EQ(b[1], 43);
	/* A hole punched is zeroes; cut off is a fault for the process, an error of KVM_RUN. */
	ASSERT_RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0x1000), 0);
	EXPECT_EQ(run_sync(vcpu), 0);
	EXPECT_EQ(b[1], 1);
	ASSERT_RET(ftruncate(fd, 0), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	ASSERT_RET(ftruncate(fd, SIZE), 0);
	EXPECT_EQ(run_sync(vcpu), 0);
}

/* The run page of a vCPU is no guest memory, but a slot may lie over anything that can be read. */
TEST(private_file)
{
	struct vcpu *vcpu = guest_new(guest);
	int fd = open("/proc/self/exe", O_RDONLY);
	u64 *mem = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), elf;

	ASSERT_TRUE(mem != MAP_FAILED);
	memcpy(&elf, "\177ELF\2\1\1", 8);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, 0x1000, mem), 0);
	EXPECT_EQ(run_sync(vcpu), elf);
	EXPECT_EQ(mem[1], elf + 1);
}
