// SPDX-License-Identifier: GPL-2.0
/*
 * dirty_exact.c - two vCPUs write all the time, in every way there is, while the log is read, or
 * cleared by page, or the rings are harvested; who copies what is dirty ends with an equal copy.
 *
 * Ways: stores, locked ones, stores to two pages, INS from a port of the kernel's (the hypervisor
 * writes), the kvmclock pages (likewise). Memory is of huge pages, which logging splits, and which
 * are made anew when it ends.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define BASE		0x10000000ULL
#define PAGES		1024
#define SIZE		(PAGES * 0x1000ULL)
#define WRITTEN		(PAGES - 2)	/* the last two are the clocks' */
#define VCPUS		2
/* MHV_EPOCHS=200 makes it some millions of writes. */
#define EPOCHS		((u32)atoi(getenv("MHV_EPOCHS") ?: "4"))
#define EPOCH_MS	700
#define RING_BYTES	0x1000		/* the smallest: it is full all the time */
#define RING_ENTRIES	(RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define MSR_KVM_CLOCK	0x4b564d01

enum mode { READ_LOG, CLEAR_LOG, RING };

/* The guest's. */
static volatile u64 hold, writes[VCPUS];

/* The host's. */
static enum mode mode;
static struct vm *vm;
static u8 *mem, *copy;
static u64 bitmap[PAGES / 64];
static struct kvm_dirty_gfn *ring[VCPUS];
static u32 ring_next[VCPUS];
static volatile u32 at_rest, epoch, full_exits;
static u64 copied;

static void writer(u64 me)
{
	u64 x = 0x9e3779b97f4a7c15ULL * (me + 1);

	wrmsr(MSR_KVM_CLOCK, (BASE + (WRITTEN + me) * 0x1000) | 1);
	for (;;) {
		u8 *page;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		page = (u8 *)(BASE + x % WRITTEN * 0x1000);
		switch (x >> 61) {
		case 0:
			asm volatile("insb" : "+D" (page) : "d" (0x21) : "memory");
			break;
		case 1:
			if (page + 0x1000 < (u8 *)(BASE + WRITTEN * 0x1000))
				*(volatile u64 *)(page + 0xffc) = x;
			break;
		case 2:
		case 3:
			__atomic_add_fetch((u64 *)(page + 64), x, __ATOMIC_SEQ_CST);
			break;
		default:
			*(volatile u64 *)(page + 128 + 8 * me) = x;
		}
		writes[me]++;
		if (hold)
			guest_sync(me);
	}
}

/* The thread of a vCPU: it rests where the guest calls, until the next epoch. */
static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	u32 here = 0;

	while (epoch < EPOCHS) {
		u32 reason = vcpu_run(vcpu);

		if (reason == KVM_EXIT_DIRTY_RING_FULL) {
			__atomic_add_fetch(&full_exits, 1, __ATOMIC_SEQ_CST);
			usleep(100);
			continue;
		}
		ASSERT_EQ(reason, KVM_EXIT_IO);
		ASSERT_EQ(vcpu->run->io.port, UCALL_PORT);
		vcpu_finish_io(vcpu);
		__atomic_add_fetch(&at_rest, 1, __ATOMIC_SEQ_CST);
		while (epoch == here)
			usleep(100);
		here = epoch;
	}
	return NULL;
}

static void copy_page(u64 n)
{
	ASSERT_TRUE(n < PAGES);
	memcpy(copy + n * 0x1000, mem + n * 0x1000, 0x1000);
	copied++;
}

static void harvest_log(void)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	xioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
	if (mode == CLEAR_LOG) {
		struct kvm_clear_dirty_log clear = {
			.slot = 1, .num_pages = PAGES, .dirty_bitmap = bitmap,
		};

		xioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear);
	}
	for (u64 n = 0; n < PAGES; n++)
		if (bitmap[n / 64] & BIT(n % 64))
			copy_page(n);
}

static void harvest_rings(void)
{
	static u64 found[VCPUS * RING_ENTRIES];
	u32 n = 0;

	for (int i = 0; i < VCPUS; i++) {
		for (;; ring_next[i]++) {
			struct kvm_dirty_gfn *gfn = &ring[i][ring_next[i] % RING_ENTRIES];

			if (__atomic_load_n(&gfn->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
				break;
			ASSERT_EQ(gfn->slot, 1);
			found[n++] = gfn->offset;
			__atomic_store_n(&gfn->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		}
	}
	ASSERT_RET(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), n);
	while (n)
		copy_page(found[--n]);
}

static void harvest(void)
{
	if (mode == RING)
		harvest_rings();
	else
		harvest_log();
}

static void set_logging(int on)
{
	ASSERT_RET(vm_slot(vm, 1, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, BASE, SIZE, mem), 0);
}

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* All that was written since logging began must be in the copy. */
static void one_epoch(void)
{
	u64 end = now_ms() + EPOCH_MS, bad = 0;
	struct kvm_clock_data clock = { .clock = 1000000 };

	set_logging(1);
	for (u64 n = 0; n < PAGES; n++)
		copy_page(n);
	while (now_ms() < end) {
		harvest();
		clock.clock += 1000000;
		xioctl(vm->fd, KVM_SET_CLOCK, &clock);
	}
	guest_var(vm, hold) = 1;
	while (at_rest < VCPUS)
		harvest();
	harvest();
	for (u64 n = 0; n < PAGES; n++)
		bad += !!memcmp(copy + n * 0x1000, mem + n * 0x1000, 0x1000);
	EXPECT_EQ(bad, 0);
	/* Nobody writes: nothing is dirty. */
	bad = copied;
	harvest();
	EXPECT_EQ(copied, bad);

	set_logging(0);
	madvise(mem, SIZE, MADV_COLLAPSE);
	at_rest = 0;
	guest_var(vm, hold) = 0;
	__atomic_add_fetch(&epoch, 1, __ATOMIC_SEQ_CST);
}

static void enable(u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	xioctl(vm->fd, KVM_ENABLE_CAP, &enable);
}

static void prepare(void)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	u8 *area = mem_alloc(SIZE + 0x200000);

	mem = (u8 *)(((uintptr_t)area + 0x1fffff) & ~0x1fffffUL);
	madvise(mem, SIZE, MADV_HUGEPAGE);
	memset(mem, 0, SIZE);
	copy = mem_alloc(SIZE);
	vm = vm_new_irqchip();
	if (mode == CLEAR_LOG)
		enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	if (mode == RING)
		enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
	set_logging(0);
	for (int i = 0; i < VCPUS; i++) {
		vcpu_cpuid(vcpu_new(vm, i));
		xioctl(vm->vcpu[i].fd, KVM_SET_MP_STATE, &runnable);
		vcpu_long(&vm->vcpu[i], writer, i);
		if (mode != RING)
			continue;
		ring[i] = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			       vm->vcpu[i].fd, KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
		ASSERT_TRUE(ring[i] != MAP_FAILED);
	}
}

static void run(enum mode m)
{
	u64 total = 0;

	mode = m;
	prepare();
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(pthread_create(&vm->vcpu[i].thread, NULL, vcpu_main, &vm->vcpu[i]), 0);
	for (u32 i = 0; i < EPOCHS; i++)
		one_epoch();
	for (int i = 0; i < VCPUS; i++) {
		vcpu_join(&vm->vcpu[i]);
		EXPECT_TRUE(guest_var(vm, writes[i]) > 100);
		total += guest_var(vm, writes[i]);
	}
	test_info("%lu writes, %lu pages copied, %u times full", total, copied, full_exits);
}

TEST(log_is_read)
{
	run(READ_LOG);
}

TEST(log_is_cleared)
{
	NEED_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
	run(CLEAR_LOG);
}

TEST(rings)
{
	NEED_CAP(KVM_CAP_DIRTY_LOG_RING);
	run(RING);
	EXPECT_TRUE(full_exits > 0);
}
