// SPDX-License-Identifier: GPL-2.0
/*
 * mem_swap.c - the host swaps a running guest's memory out, collapses it to huge pages, moves it
 * away and back, copies it on write after a fork: no write is lost, and none comes late.
 *
 * Two guests count in each of their pages, and in memory that nobody touches. Where there is no
 * swap space, a zram device is made to one for the time, if that can be.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define BASE		0x10000000ULL
#define PAGES		2048
#define SIZE		(PAGES * 0x1000ULL)
#define LARGE		0x200000ULL
#define VCPUS		2
#define ROUNDS		300
#define WRITES		200
#define SECONDS		5
#define SWAP		"/dev/zram0"

/* The guest's: how often each vCPU has counted in each page; what was not as it should be. */
static volatile u64 counted[VCPUS][PAGES], wrong, stop;

static void counter(u64 me)
{
	u64 x = 0x9e3779b97f4a7c15ULL * (me + 1);

	sti();
	while (!stop) {
		u64 n, *word;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		n = x % PAGES;
		word = (u64 *)(BASE + n * 0x1000) + 8 * me;
		if (*(volatile u64 *)word != counted[me][n])
			wrong++;
		if (x >> 62) {
			counted[me][n]++;
			__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
		}
		guest_cpuid(0, 0);	/* not too fast for the host */
	}
	guest_done();
}

/* The host's. */
static struct vm *vm;
static u8 *mem;
static volatile u32 efaults;

/* What is moved away is not there for a while. */
static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0L))
			break;
		if (errno == EFAULT)
			__atomic_add_fetch(&efaults, 1, __ATOMIC_SEQ_CST);
		else if (errno != EINTR)
			test_fail(__FILE__, __LINE__, "KVM_RUN: %s", strerror(errno));
	}
	return NULL;
}

static void start(void)
{
	u8 *area = mem_alloc(SIZE + LARGE);

	mem = (u8 *)(((uintptr_t)area + LARGE - 1) & ~(LARGE - 1));
	madvise(mem, SIZE, MADV_NOHUGEPAGE);
	for (int i = 0; i < PAGES; i++)
		mem[i * 0x1000 + 0x800] = 1;
	vm = vm_new_irqchip();
	ASSERT_RET(vm_slot(vm, 1, 0, BASE, SIZE, mem), 0);
	for (int i = 0; i < VCPUS; i++) {
		struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
		struct vcpu *vcpu = vcpu_new(vm, i);

		vcpu_cpuid(vcpu);
		xioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable);
		vcpu_long(vcpu, counter, i);
		ASSERT_EQ(pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu), 0);
	}
}

static void finish(void)
{
	u64 total = 0, bad = 0;

	guest_var(vm, stop) = 1;
	for (int i = 0; i < VCPUS; i++) {
		pthread_join(vm->vcpu[i].thread, NULL);
		EXPECT_EQ(vm->vcpu[i].run->exit_reason, KVM_EXIT_IO);
		for (int n = 0; n < PAGES; n++) {
			bad += ((u64 *)(mem + n * 0x1000))[8 * i] !=
			       guest_var(vm, counted[i][n]);
			total += guest_var(vm, counted[i][n]);
		}
	}
	EXPECT_EQ(bad, 0);
	EXPECT_EQ(guest_var(vm, wrong), 0);
	test_info("%lu writes, KVM_RUN failed %u times", total, efaults);
}

/* Enough changes, and the guests got somewhere; or time is over. */
static bool is_enough(void)
{
	static time_t end;
	static u32 rounds;
	u64 total = 0;

	if (!end)
		end = time(NULL) + SECONDS;
	if (time(NULL) >= end)
		return true;
	if (++rounds <= ROUNDS)
		return false;
	for (int n = 0; n < VCPUS * PAGES; n++)
		total += guest_var(vm, counted[n / PAGES][n % PAGES]);
	return total > WRITES;
}

/* The number after a name at the beginning of a line, 0 if there is none. */
static u64 number_in(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	char line[256];
	u64 n = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			n = strtoull(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return n;
}

/* A swap header on a zram device of 32 MiB. */
static bool make_swap(void)
{
	static u8 page[4096];
	int fd = open("/sys/block/zram0/disksize", O_WRONLY);

	if (fd < 0 || write(fd, "33554432", 8) != 8)
		return false;
	close(fd);
	*(u32 *)(page + 1024) = 1;			/* version */
	*(u32 *)(page + 1028) = 33554432 / 4096 - 1;	/* last page */
	memcpy(page + 4086, "SWAPSPACE2", 10);
	fd = open(SWAP, O_WRONLY);
	if (fd < 0 || write(fd, page, sizeof(page)) != sizeof(page))
		return false;
	close(fd);
	return !swapon(SWAP, 0);
}

TEST(swapped_out)
{
	u64 out = number_in("/proc/vmstat", "pswpout "), in = number_in("/proc/vmstat", "pswpin ");
	bool made = false;

	if (!number_in("/proc/meminfo", "SwapTotal:")) {
		if (system("modprobe -q zram 2> /dev/null") || !make_swap())
			test_skip("no swap space");
		made = true;
	}
	start();
	/* What was used since the last time stays; so a few pages, more than once. */
	for (u64 at = 0; !is_enough(); at += SIZE / 256)
		for (int i = 0; i < 2; i++)
			ASSERT_RET(madvise(mem + at % SIZE, SIZE / 256, MADV_PAGEOUT), 0);
	finish();
	out = number_in("/proc/vmstat", "pswpout ") - out;
	in = number_in("/proc/vmstat", "pswpin ") - in;
	test_info("%lu pages went out, %lu came back", out, in);
	EXPECT_TRUE(out > 0);
	EXPECT_TRUE(in > 0);
	if (made && !swapoff(SWAP))
		system("modprobe -q -r zram");
}

/* Each large page once: what is split again is not collapsed again. */
TEST(collapsed)
{
	u32 made = 0;

	start();
	ASSERT_RET(madvise(mem, SIZE, MADV_HUGEPAGE), 0);
	for (u64 at = 0; at < SIZE; at += LARGE) {
		for (int tries = 0; tries < 20; tries++) {
			if (!madvise(mem + at, LARGE, MADV_COLLAPSE)) {
				made++;
				break;
			}
			if (errno == EINVAL)
				test_skip("no MADV_COLLAPSE");
		}
		ASSERT_RET(mprotect(mem + at, 0x1000, PROT_READ), 0);
		ASSERT_RET(mprotect(mem + at, 0x1000, PROT_READ | PROT_WRITE), 0);
	}
	while (!is_enough())
		usleep(1000);
	finish();
	test_info("%u of %llu", made, SIZE / LARGE);
	EXPECT_TRUE(made > 0);
}

TEST(moved_away_and_back)
{
	u8 *away = mem_alloc(SIZE);

	start();
	for (u64 n = 1; !is_enough(); n = n * 7 + 3) {
		u64 at = n % (PAGES - 64) * 0x1000, len = (1 + n % 64) * 0x1000;

		ASSERT_TRUE(mremap(mem + at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				   away + at) == away + at);
		ASSERT_TRUE(mremap(away + at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
				   mem + at) == mem + at);
	}
	finish();
}

TEST(copied_on_write)
{
	u32 children = 0;

	start();
	while (!is_enough()) {
		u8 *word = mem + children % PAGES * 0x1000;
		pid_t child = fork();
		int status;

		if (!child) {
			u64 first = *(volatile u64 *)word;

			/* The child's memory stands still. */
			for (int i = 0; i < 20000; i++)
				if (*(volatile u64 *)word != first)
					_exit(1);
			_exit(0);
		}
		ASSERT_TRUE(child > 0);
		ASSERT_EQ(waitpid(child, &status, 0), child);
		EXPECT_EQ(status, 0);
		children++;
	}
	finish();
	test_info("%u children", children);
}
