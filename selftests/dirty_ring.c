// SPDX-License-Identifier: GPL-2.0
/*
 * dirty_ring.c - dirty rings: which sizes, their mapping, what is in them, full ones, and resets;
 * and that nothing userspace writes to one does harm.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define BASE		0x10000000ULL
#define PAGES		600
#define BYTES		0x1000
#define ENTRIES		(BYTES / sizeof(struct kvm_dirty_gfn))
#define RESERVED	64
#define PAGE(n)		(*(volatile u64 *)(BASE + (n) * 0x1000ULL))

static struct kvm_dirty_gfn *ring;
static u32 next;

static int enable(struct vm *vm, u64 bytes)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { bytes } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static void *map_ring(struct vcpu *vcpu, int prot, int flags)
{
	return mmap(NULL, BYTES, prot, flags, vcpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * 4096L);
}

static struct vcpu *start(void (*fn)(void))
{
	struct vm *vm;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_DIRTY_LOG_RING);
	vm = vm_new();
	ASSERT_RET(enable(vm, BYTES), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, fn, 0);
	ring = map_ring(vcpu, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_TRUE(ring != MAP_FAILED);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000,
			   mem_alloc(PAGES * 0x1000)), 0);
	return vcpu;
}

static struct kvm_dirty_gfn *entry(void)
{
	return &ring[next % ENTRIES];
}

static void expect_next(u64 offset)
{
	EXPECT_EQ(entry()->flags, KVM_DIRTY_GFN_F_DIRTY);
	EXPECT_EQ(entry()->slot, 1);
	EXPECT_EQ(entry()->offset, offset);
	entry()->flags = KVM_DIRTY_GFN_F_RESET;
	next++;
}

static int reset(struct vcpu *vcpu)
{
	return ioctl(vcpu->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
}

static void guest(void)
{
	PAGE(5) = 1;
	PAGE(7) = PAGE(8);
	PAGE(5) = 2;
	*(volatile u64 *)(BASE + 0x2ffc) = 1;
	guest_sync(0);
	PAGE(5) = 3;
	guest_sync(0);
	PAGE(5) = 4;
	PAGE(7) = 4;
	guest_sync(0);
	for (u64 i = 0; i < PAGES; i++)
		PAGE(i) = i + 1;
	guest_done();
}

TEST(sizes)
{
	struct vm *vm = vm_new();
	int max = dev_cap(KVM_CAP_DIRTY_LOG_RING);

	NEED_CAP(KVM_CAP_DIRTY_LOG_RING);
	EXPECT_RET(dev_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL), max);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), EINVAL);
	EXPECT_ERRNO(enable(vm, 0), EINVAL);
	EXPECT_ERRNO(enable(vm, 0x800), EINVAL);
	EXPECT_ERRNO(enable(vm, 0x3000), EINVAL);
	EXPECT_ERRNO(enable(vm, 2 * max), E2BIG);
	EXPECT_RET(enable(vm, max), 0);
	EXPECT_ERRNO(enable(vm, max), EINVAL);
	EXPECT_RET(ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0), 0);
	vm = vm_new();
	vcpu_new(vm, 0);
	EXPECT_ERRNO(enable(vm, BYTES), EINVAL);
}

TEST(mapping)
{
	struct vcpu *vcpu = start(guest);

	EXPECT_TRUE(map_ring(vcpu, PROT_READ, MAP_PRIVATE) == MAP_FAILED && errno == EINVAL);
	EXPECT_TRUE(map_ring(vcpu, PROT_READ | PROT_EXEC, MAP_SHARED) == MAP_FAILED &&
		    errno == EINVAL);
	EXPECT_TRUE(mmap(NULL, (KVM_DIRTY_LOG_PAGE_OFFSET + 1) * 4096L, PROT_READ, MAP_PRIVATE,
			 vcpu->fd, 0) == MAP_FAILED && errno == EINVAL);
	EXPECT_TRUE(map_ring(vcpu, PROT_READ, MAP_SHARED) != MAP_FAILED);
	EXPECT_EQ(xioctl(vcpu->vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0), 3 * 4096);
}

TEST(no_bitmap_beside_it)
{
	struct vcpu *vcpu = start(guest);
	static u64 bits[PAGES / 64 + 1];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .slot = 1, .num_pages = 64, .dirty_bitmap = bits };

	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log), ENXIO);
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear), ENXIO);
	log.slot = 9;
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log), ENXIO);
}

TEST(entries_in_order)
{
	struct vcpu *vcpu = start(guest);

	EXPECT_EQ(entry()->flags, 0);
	run_sync(vcpu);
	EXPECT_RET(reset(vcpu), 0);
	expect_next(5);
	expect_next(7);
	expect_next(2);
	expect_next(3);
	EXPECT_EQ(entry()->flags, 0);
	/* Not yet reset: writes go on unnoticed. */
	run_sync(vcpu);
	EXPECT_EQ(entry()->flags, 0);
	EXPECT_RET(reset(vcpu), 4);
	EXPECT_EQ(ring[0].flags, 0);
	EXPECT_RET(reset(vcpu), 0);
	run_sync(vcpu);
	expect_next(5);
	expect_next(7);
	/* The first that is not given back holds up those behind it. */
	ring[4].flags = KVM_DIRTY_GFN_F_DIRTY;
	EXPECT_RET(reset(vcpu), 0);
	ring[4].flags = KVM_DIRTY_GFN_F_RESET;
	EXPECT_RET(reset(vcpu), 2);
}

/* Frames of a bitmap that was all set to begin with are in the ring once they are written. */
TEST(set_before_the_rings)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	};
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_DIRTY_LOG_RING);
	vm = vm_new();
	xioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000,
			   mem_alloc(PAGES * 0x1000)), 0);
	ASSERT_RET(enable(vm, BYTES), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, guest, 0);
	ring = map_ring(vcpu, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_TRUE(ring != MAP_FAILED);
	run_sync(vcpu);
	expect_next(5);
	expect_next(7);
}

/* What was given back is noticed from then on: no CPU writes by what it remembers of tables. */
TEST(translations_go)
{
	struct vcpu *vcpu = start(guest);
	u64 before;
	int stats;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	stats = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	run_sync(vcpu);
	expect_next(5);
	before = stats_counter(stats, "tlb_flush");
	EXPECT_RET(reset(vcpu), 1);
	run_sync(vcpu);
	EXPECT_TRUE(stats_counter(stats, "tlb_flush") > before);
}

static u32 dirty_entries(void)
{
	u32 n = 0;

	for (u32 i = 0; i < ENTRIES; i++)
		n += ring[i].flags == KVM_DIRTY_GFN_F_DIRTY;
	return n;
}

TEST(full)
{
	struct vcpu *vcpu = start(guest);
	u32 reason, n, found = 0, exits = 0;

	for (int i = 0; i < 3; i++) {
		run_sync(vcpu);
		while (entry()->flags == KVM_DIRTY_GFN_F_DIRTY)
			expect_next(entry()->offset);
		reset(vcpu);
	}
	while ((reason = vcpu_run(vcpu)) == KVM_EXIT_DIRTY_RING_FULL) {
		exits++;
		n = dirty_entries();
		EXPECT_TRUE(n <= ENTRIES - RESERVED);
		/* It does not run before there is room. */
		EXPECT_EQ(vcpu_run(vcpu), KVM_EXIT_DIRTY_RING_FULL);
		EXPECT_RET(reset(vcpu), 0);
		EXPECT_EQ(vcpu_run(vcpu), KVM_EXIT_DIRTY_RING_FULL);
		EXPECT_EQ(dirty_entries(), n);
		EXPECT_TRUE(ring[(next + ENTRIES - RESERVED - 1) % ENTRIES].flags ==
			    KVM_DIRTY_GFN_F_DIRTY);
		/* The page that was the last has not been written yet, and comes again. */
		if (found && entry()->offset == found - 1)
			expect_next(found - 1);
		while (entry()->flags == KVM_DIRTY_GFN_F_DIRTY)
			expect_next(found++);
		EXPECT_TRUE(reset(vcpu) >= (int)(ENTRIES - RESERVED));
	}
	EXPECT_EQ(reason, KVM_EXIT_IO);
	if (entry()->offset == found - 1)
		expect_next(found - 1);
	while (entry()->flags == KVM_DIRTY_GFN_F_DIRTY)
		expect_next(found++);
	EXPECT_EQ(found, PAGES);
	EXPECT_TRUE(exits >= PAGES / ENTRIES);
}

/* A slot that is gone, one that does not log any more, and nonsense. */
TEST(entries_of_nothing)
{
	struct vcpu *vcpu = start(guest);
	struct vm *vm = vcpu->vm;

	run_sync(vcpu);
	ring[0].slot = 0xffffffff;
	ring[1].offset = ~0ULL;
	ring[2].slot = 7;
	ring[3].offset = PAGES;
	for (int i = 0; i < 4; i++)
		ring[i].flags = 0xffffffff;
	EXPECT_RET(reset(vcpu), 4);
	ASSERT_RET(vm_slot(vm, 1, 0, BASE, PAGES * 0x1000, NULL), -1);
	run_sync(vcpu);
	run_sync(vcpu);
	ASSERT_RET(vm_slot(vm, 1, 0, 0, 0, NULL), 0);
	for (u32 i = 0; i < ENTRIES; i++)
		ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	EXPECT_TRUE(reset(vcpu) >= 0);
}
