// SPDX-License-Identifier: GPL-2.0
/*
 * mem_changes.c - the VMM changes its mappings between runs: the guest sees what the VMM sees.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define SIZE	0x400000ULL
#define LARGE	0x200000ULL
#define PAGE	0x1000ULL

static volatile u64 where, value;

/* Read, then write, one word at an address that the test chooses each time. */
static void guest(void)
{
	for (;;) {
		guest_sync(*(volatile u64 *)where);
		*(volatile u64 *)where = value;
		guest_sync(value);
	}
}

static struct vcpu *vcpu;
static u8 *mem;

static void start(int flags)
{
	u8 *raw = mem_alloc(SIZE + LARGE);

	mem = (u8 *)(((uintptr_t)raw + LARGE - 1) & ~(LARGE - 1));
	if (flags)
		madvise(mem, SIZE, flags);
	vcpu = guest_new(guest);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, SIZE, mem), 0);
}

/* The guest reads at @offset; the value. */
static u64 guest_read(u64 offset)
{
	guest_var(vcpu->vm, where) = BASE + offset;
	return run_sync(vcpu);
}

/* Then it writes there. */
static void guest_write(u64 new)
{
	guest_var(vcpu->vm, value) = new;
	run_sync(vcpu);
}

static u64 exchange(u64 offset, u64 new)
{
	u64 old = guest_read(offset);

	guest_write(new);
	return old;
}

static u64 *host(u64 offset)
{
	return (u64 *)(mem + offset);
}

static void expect_efault(void)
{
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
}

TEST(untouched_memory)
{
	start(0);
	EXPECT_EQ(guest_read(0), 0);		/* the zero page, for reading */
	*host(0) = 1;
	guest_write(2);
	EXPECT_EQ(*host(0), 2);
	EXPECT_EQ(guest_read(PAGE), 0);
	guest_write(3);
	EXPECT_EQ(*host(PAGE), 3);
	EXPECT_EQ(*host(2 * PAGE), 0);
}

TEST(replaced)
{
	start(0);
	exchange(0, 1);
	ASSERT_TRUE(mmap(mem, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem);
	*host(0) = 2;
	EXPECT_EQ(exchange(0, 3), 2);
	EXPECT_EQ(*host(0), 3);
	ASSERT_RET(madvise(mem, PAGE, MADV_DONTNEED), 0);
	EXPECT_EQ(exchange(0, 4), 0);
	EXPECT_EQ(*host(0), 4);
}

TEST(unmapped)
{
	start(0);
	exchange(PAGE, 1);
	ASSERT_RET(munmap(mem + PAGE, PAGE), 0);
	guest_var(vcpu->vm, where) = BASE + PAGE;
	expect_efault();
	expect_efault();
	ASSERT_TRUE(mmap(mem + PAGE, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem + PAGE);
	*host(PAGE) = 7;
	EXPECT_EQ(run_sync(vcpu), 7);
}

TEST(protected)
{
	start(0);
	exchange(0, 1);
	ASSERT_RET(mprotect(mem, PAGE, PROT_READ), 0);
	EXPECT_EQ(guest_read(0), 1);
	guest_var(vcpu->vm, value) = 5;
	expect_efault();
	EXPECT_EQ(*host(0), 1);
	ASSERT_RET(mprotect(mem, PAGE, PROT_NONE), 0);
	expect_efault();
	ASSERT_RET(mprotect(mem, PAGE, PROT_READ | PROT_WRITE), 0);
	EXPECT_EQ(run_sync(vcpu), 5);
	EXPECT_EQ(*host(0), 5);
}

TEST(moved)
{
	u8 *away = mem_alloc(PAGE);

	start(0);
	exchange(0, 1);
	ASSERT_TRUE(mremap(mem, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	guest_var(vcpu->vm, where) = BASE;
	expect_efault();
	*(u64 *)away = 2;
	ASSERT_TRUE(mremap(away, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, mem) == mem);
	EXPECT_EQ(run_sync(vcpu), 2);
}

/* After fork() parent and child share pages until one of them writes: the guest as well. */
TEST(copied_on_write)
{
	int status, pipefd[2];
	pid_t child;
	char c;

	start(0);
	exchange(0, 1);
	exchange(PAGE, 1);
	ASSERT_RET(pipe(pipefd), 0);
	child = fork();
	if (!child) {
		close(pipefd[1]);
		if (read(pipefd[0], &c, 1))
			_exit(2);
		_exit(*host(0) == 1 && *host(PAGE) == 1 ? 0 : 1);
	}
	EXPECT_EQ(exchange(0, 2), 1);		/* read, then written */
	guest_read(2 * PAGE);
	guest_write(0);
	*host(PAGE) = 3;
	EXPECT_EQ(exchange(PAGE, 4), 3);
	EXPECT_EQ(*host(0), 2);
	close(pipefd[0]);
	close(pipefd[1]);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(guest_read(0), 2);
}

/* A page goes out of the middle of a large one; its neighbours stay. */
TEST(large_pages)
{
	start(MADV_HUGEPAGE);
	for (u64 i = 0; i < SIZE; i += 64 * PAGE)
		exchange(i, i + 1);
	ASSERT_RET(madvise(mem + LARGE, PAGE, MADV_DONTNEED), 0);
	EXPECT_EQ(guest_read(LARGE), 0);
	guest_write(9);
	for (u64 i = 0; i < SIZE; i += 64 * PAGE) {
		EXPECT_EQ(*host(i), i == LARGE ? 9 : i + 1);
		EXPECT_EQ(exchange(i, 5), i == LARGE ? 9 : i + 1);
	}
	ASSERT_RET(madvise(mem, SIZE, MADV_DONTNEED), 0);
	for (u64 i = 0; i < SIZE; i += 64 * PAGE)
		EXPECT_EQ(exchange(i, 1), 0);
}

static void pages_are_kept(int advice)
{
	for (u64 i = 0; i < SIZE; i += 16 * PAGE)
		exchange(i, i + 1);
	if (madvise(mem, SIZE, advice))
		test_skip("no such madvise(): %s", strerror(errno));
	for (u64 i = 0; i < SIZE; i += 16 * PAGE)
		EXPECT_EQ(exchange(i, i + 2), i + 1);
	for (u64 i = 0; i < SIZE; i += 16 * PAGE)
		EXPECT_EQ(*host(i), i + 2);
}

TEST(swapped_out)
{
	start(0);
	pages_are_kept(MADV_PAGEOUT);
}

TEST(collapsed_to_large)
{
	start(MADV_NOHUGEPAGE);
	for (u64 i = 0; i < SIZE; i += PAGE)
		*host(i) = 0;
	madvise(mem, SIZE, MADV_HUGEPAGE);
	pages_are_kept(MADV_COLLAPSE);
}

TEST(shared_file)
{
	int fd = memfd_create("guest", 0);
	u8 *other;

	start(0);
	ASSERT_RET(ftruncate(fd, SIZE), 0);
	ASSERT_TRUE(mmap(mem, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == mem);
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT_EQ(exchange(PAGE, 1), 0);
	EXPECT_EQ(*(u64 *)(other + PAGE), 1);
	*(u64 *)(other + 2 * PAGE) = 2;
	EXPECT_EQ(exchange(2 * PAGE, 3), 2);
	/* A hole punched through the file takes the page from the guest, too. */
	ASSERT_RET(madvise(other, SIZE, MADV_REMOVE), 0);
	EXPECT_EQ(exchange(PAGE, 4), 0);
	EXPECT_EQ(*(u64 *)(other + PAGE), 4);
	/* Beyond the file's end there is nothing. */
	ASSERT_RET(ftruncate(fd, PAGE), 0);
	guest_var(vcpu->vm, where) = BASE + PAGE;
	expect_efault();
}
