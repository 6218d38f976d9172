// SPDX-License-Identifier: GPL-2.0
/*
 * mem_stress.c - memory and slots change while vCPUs run: nothing stale is seen, nothing is lost.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define OTHER	0x20000000ULL
#define PAGES	1024ULL
#define PAGE	0x1000ULL
#define SIZE	(PAGES * PAGE)
#define NO_MEM	0x4e4f4e4f	/* what a read of no memory gets */
#define STALE	0x57414c45	/* what is in memory that the guest must not see */
#define VCPUS	2
#define MSECS	1500

static volatile u32 stop;

/* What the vCPU threads do with exits until the guest is done. */
static void *run_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_run *run = vcpu->run;

	for (;;) {
		switch (vcpu_run(vcpu)) {
		case KVM_EXIT_MMIO:
			if (!run->mmio.is_write)
				memcpy(run->mmio.data, &(u64){ NO_MEM }, run->mmio.len);
			break;
		case KVM_EXIT_IO: {
			struct kvm_regs regs;

			vcpu_get_regs(vcpu, &regs);
			if ((regs.rax & 0xff) == UCALL_DONE)
				return NULL;
			test_fail(__FILE__, __LINE__, "vCPU %d: ucall %llu: %#llx %#llx %#llx",
				  vcpu->id, regs.rax & 0xff, regs.rdi, regs.rsi, regs.rcx);
			return NULL;
		}
		default:
			vcpu_dump(vcpu);
			test_abort();
		}
	}
}

static struct vm *vm;
static u8 *mem;
static pthread_t threads[VCPUS];

static void start(void (*fn)(u64 id), u32 flags)
{
	mem = (u8 *)(((uintptr_t)mem_alloc(SIZE + 0x200000) + 0x1fffff) & ~0x1fffffULL);
	vm = vm_new();
	ASSERT_RET(vm_slot(vm, 1, flags, BASE, SIZE, mem), 0);
	for (int i = 0; i < VCPUS; i++) {
		vcpu_new(vm, i);
		vcpu_cpuid(&vm->vcpu[i]);
		vcpu_long(&vm->vcpu[i], fn, i);
	}
	for (int i = 0; i < VCPUS; i++)
		ASSERT_RET(pthread_create(&threads[i], NULL, run_thread, &vm->vcpu[i]), 0);
}

static u64 msecs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void finish(void)
{
	guest_var(vm, stop) = 1;
	for (int i = 0; i < VCPUS; i++)
		pthread_join(threads[i], NULL);
}

#define WORD(n, id) (*(volatile u32 *)(BASE + (n) * PAGE + (id) * 4))

/* Each vCPU has a word of each page; it counts, and knows what it counted. */
static u32 counts[VCPUS][PAGES];

static void counting_guest(u64 id)
{
	sti();
	for (u32 seed = 1 + id; !stop; seed = seed * 1103515245 + 12345) {
		u32 n = seed >> 8 & (PAGES - 1);

		GUEST_EXPECT_EQ(WORD(n, id), counts[id][n]);
		WORD(n, id) = ++counts[id][n];
		guest_turn();
	}
	guest_done();
}

static void expect_counts(const u8 *copy)
{
	for (u64 n = 0; n < PAGES; n++) {
		for (int id = 0; id < VCPUS; id++) {
			test_context("page %lu", n);
			ASSERT_EQ(*(u32 *)(copy + n * PAGE + id * 4),
				  guest_var(vm, counts)[id][n]);
		}
	}
}

static void fork_once(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
}

/* Whatever the host does to keep, share, move or merge pages, the guest's data stay. */
TEST(data_is_kept)
{
	u64 end;

	start(counting_guest, 0);
	end = msecs() + 2 * MSECS;
	for (u32 i = 0; msecs() < end; i++) {
		u8 *part = mem + (i * 37 % PAGES & ~63ULL) * PAGE;

		switch (i % 6) {
		case 0:
			fork_once();
			break;
		case 1:
			madvise(part, 64 * PAGE, MADV_PAGEOUT);
			break;
		case 2:
			madvise(mem, SIZE, MADV_HUGEPAGE);
			madvise(mem, SIZE, MADV_COLLAPSE);
			break;
		case 3:
			madvise(part, 64 * PAGE, 20 /* MADV_COLD */);
			break;
		case 4:
			madvise(mem, SIZE, MADV_MERGEABLE);
			break;
		case 5:
			madvise(part, 64 * PAGE, MADV_NOHUGEPAGE);
			madvise(part, 64 * PAGE, MADV_UNMERGEABLE);
			break;
		}
	}
	finish();
	expect_counts(mem);
}

/* Migration in small: what the log says was written is copied; in the end all is there. */
TEST(dirty_log_is_complete)
{
	static u64 bitmap[PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	u8 *copy = mem_alloc(SIZE);
	u64 end, logging = 1;

	start(counting_guest, KVM_MEM_LOG_DIRTY_PAGES);
	end = msecs() + MSECS;
	while (logging) {
		if (msecs() >= end) {
			finish();
			logging = 0;
		}
		xioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
		for (u64 n = 0; n < PAGES; n++) {
			if (bitmap[n / 64] & BIT(n % 64))
				memcpy(copy + n * PAGE, mem + n * PAGE, PAGE);
		}
	}
	expect_counts(copy);
}

/* Reads only, of a place that is memory now and then: never what was in memory taken away. */
static void watching_guest(u64 id)
{
	sti();
	for (u64 n = id; !stop; n++) {
		u64 gpa = (n & 1 ? BASE : OTHER) + (n >> 1) % 8 * PAGE;
		u32 got = *(volatile u32 *)gpa;

		GUEST_EXPECT(got == 0 || got == NO_MEM);
		guest_turn();
	}
	guest_done();
}

static void poison_and_renew(void)
{
	for (u64 n = 0; n < 8; n++)
		*(volatile u32 *)(mem + n * PAGE) = STALE;
	ASSERT_RET(madvise(mem, SIZE, MADV_DONTNEED), 0);
}

TEST(slots_come_and_go)
{
	u64 end;

	start(watching_guest, 0);
	end = msecs() + MSECS;
	for (u32 i = 0; msecs() < end && !test_failed(); i++) {
		ASSERT_RET(vm_slot(vm, 1, 0, i & 1 ? OTHER : BASE, SIZE, mem), 0);
		if (i % 5 == 0)
			ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, i & 1 ? OTHER : BASE,
					   SIZE, mem), 0);
		ASSERT_RET(vm_slot(vm, 1, 0, 0, 0, NULL), 0);
		poison_and_renew();
	}
	finish();
}

/* A slot that moves back and forth is always in one of the two places. */
TEST(slot_moves)
{
	u64 end;

	start(watching_guest, 0);
	end = msecs() + MSECS;
	for (u32 i = 0; msecs() < end && !test_failed(); i++)
		ASSERT_RET(vm_slot(vm, 1, 0, i & 1 ? BASE : OTHER, SIZE, mem), 0);
	finish();
}
