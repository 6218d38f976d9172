// SPDX-License-Identifier: GPL-2.0
/*
 * mmu_running.c - the host changes guest memory while the guest runs: pages thrown away and moved,
 * huge pages made and split, dirty logging, two vCPUs that fault, and never a stale translation.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define PAGES	64
#define SIZE	(PAGES * 0x1000ULL)

static volatile u64 rounds, stop, wrong;

/* Each page's first word may be zero (thrown away) or what the guest has written last. */
static void writer_guest(void)
{
	u64 n = 0;

	sti();
	while (!stop) {
		guest_turn();
		n++;
		for (u64 i = 0; i < PAGES; i++)
			*(volatile u64 *)(BASE + i * 0x1000) = n;
		for (u64 i = 0; i < PAGES; i++) {
			u64 seen = *(volatile u64 *)(BASE + i * 0x1000);

			if (seen && seen != n)
				wrong++;
		}
		rounds = n;
	}
	guest_done();
}

static struct vcpu *start(u8 *mem)
{
	struct vcpu *vcpu = guest_new(writer_guest);

	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, SIZE, mem), 0);
	vcpu_start(vcpu);
	while (guest_var(vcpu->vm, rounds) < 3)
		usleep(1000);
	return vcpu;
}

static void finish(struct vcpu *vcpu)
{
	u64 before = guest_var(vcpu->vm, rounds);

	/* It still makes progress. */
	while (guest_var(vcpu->vm, rounds) < before + 3)
		usleep(1000);
	guest_var(vcpu->vm, stop) = 1;
	vcpu_join(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, wrong), 0);
}

TEST(dontneed)
{
	u8 *mem = mem_alloc(SIZE);
	struct vcpu *vcpu = start(mem);

	for (int i = 0; i < 300; i++)
		ASSERT_RET(madvise(mem + i % (PAGES - 2) * 0x1000, 0x1000 * (1 + i % 3),
				   MADV_DONTNEED), 0);
	finish(vcpu);
}

/*
 * A page that was the guest's is somebody else's at once: one that has been moved away must
 * never again change by the guest's hand.
 */
TEST(no_stale_write)
{
	u8 *mem = mem_alloc(SIZE), *away = mem_alloc(0x1000);
	struct vcpu *vcpu = start(mem);

	for (int i = 0; i < 200; i++) {
		u64 *page = (u64 *)away, first;

		/* Move a page out from under the guest; a fresh one comes at its next access. */
		ASSERT_TRUE(mremap(mem + 0x5000, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED |
				   MREMAP_DONTUNMAP, away) == away);
		first = *(volatile u64 *)page;
		for (int j = 0; j < 2000; j++)
			ASSERT_EQ(*(volatile u64 *)page, first);
	}
	finish(vcpu);
}

/* Huge pages are split, lose parts, and are made anew. */
TEST(huge_pages)
{
	u8 *area = mem_alloc(0x600000), *mem;
	struct vcpu *vcpu;

	mem = (u8 *)(((uintptr_t)area + 0x1fffff) & ~0x1fffffUL);
	madvise(mem, 0x400000, MADV_HUGEPAGE);
	memset(mem, 0, 0x400000);
	vcpu = guest_new(writer_guest);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, 0x400000, mem), 0);
	vcpu_start(vcpu);
	for (int i = 0; i < 50; i++) {
		/* Splits the huge page, throws parts away, lets the rest be made huge again. */
		madvise(mem + 0x100000, 0x1000, MADV_DONTNEED);
		madvise(mem + (i % 8) * 0x1000, 0x1000, MADV_DONTNEED);
		madvise(mem, 0x400000, i & 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		madvise(mem, 0x400000, MADV_COLLAPSE);
	}
	finish(vcpu);
}

TEST(dirty_logging_comes_and_goes)
{
	u8 *mem = mem_alloc(SIZE), bitmap[8];
	struct vcpu *vcpu = start(mem);
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	u64 before;

	for (int i = 0; i < 20; i++) {
		ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE, mem), 0);
		before = guest_var(vcpu->vm, rounds);
		while (guest_var(vcpu->vm, rounds) < before + 2)
			usleep(500);
		xioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		/* Two rounds have passed: every page was written since. */
		EXPECT_EQ(*(u64 *)bitmap, ~0ULL);
		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, SIZE, mem), 0);
	}
	finish(vcpu);
}

/* Two vCPUs fault on the same pages at the same time. */
static void race_guest(u64 me)
{
	sti();
	for (u64 n = 0; n < 4; n++)
		for (u64 i = 0; i < 256; i++)
			__atomic_add_fetch((u64 *)(BASE + i * 0x1000), me + 1, __ATOMIC_SEQ_CST);
	guest_done();
}

TEST(two_vcpus_fault_together)
{
	struct vm *vm = vm_new();
	u64 *mem = mem_alloc(0x100000);

	ASSERT_RET(vm_slot(vm, 1, 0, BASE, 0x100000, mem), 0);
	for (int i = 0; i < 2; i++) {
		vcpu_cpuid(vcpu_new(vm, i));
		vcpu_long(&vm->vcpu[i], race_guest, i);
		vcpu_start(&vm->vcpu[i]);
	}
	for (int i = 0; i < 2; i++)
		vcpu_join(&vm->vcpu[i]);
	for (int i = 0; i < 256; i++)
		EXPECT_EQ(mem[i * 512], 12);
}
