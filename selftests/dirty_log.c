// SPDX-License-Identifier: GPL-2.0
/*
 * dirty_log.c - KVM_GET_DIRTY_LOG: the pages the guest wrote since the last call, no others.
 */
#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define PAGES	700

static u8 bitmap[(PAGES + 63) / 64 * 8 + 8];

static int get_log(struct vm *vm, u32 slot)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bitmap };

	memset(bitmap, 0xee, sizeof(bitmap));
	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

/* The bitmap must hold exactly the pages that are listed, up to a -1. */
static void expect_dirty(struct vm *vm, const int *pages)
{
	u8 want[sizeof(bitmap)] = { 0 };

	for (; *pages >= 0; pages++)
		want[*pages / 8] |= 1 << *pages % 8;
	memset(want + sizeof(want) - 8, 0xee, 8);	/* not written beyond its end */
	ASSERT_RET(get_log(vm, 1), 0);
	for (size_t i = 0; i < sizeof(want); i++) {
		test_context("byte %zu", i);
		EXPECT_EQ(bitmap[i], want[i]);
	}
	test_context("");
}

#define PAGE(n) (*(volatile u32 *)(BASE + (n) * 0x1000ULL))

static void guest(void)
{
	PAGE(0) = 1;
	PAGE(63) = 1;
	PAGE(64) = 1;
	PAGE(PAGES - 1) = 1;
	guest_sync(PAGE(5));
	guest_sync(0);
	PAGE(64)++;
	asm volatile("lock incl %0" : "+m" (PAGE(513)));
	*(volatile u64 *)(BASE + 0x2ffc) = 1;	/* two pages */
	guest_sync(0);
	for (int i = 0; i < PAGES; i++)
		PAGE(i) = i;
	guest_sync(0);
	guest_done();
}

TEST(exact_pages)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(PAGES * 0x1000);
	static int all[PAGES + 1];

	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000, mem), 0);
	expect_dirty(vm, (int[]){ -1 });
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 0, 63, 64, PAGES - 1, -1 });
	/* Read and cleared. */
	expect_dirty(vm, (int[]){ -1 });
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ -1 });
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 2, 3, 64, 513, -1 });
	run_sync(vcpu);
	for (int i = 0; i < PAGES; i++)
		all[i] = i;
	all[PAGES] = -1;
	expect_dirty(vm, all);
}

/* Logging that starts on a slot in use sees pages that were writable before. */
TEST(turned_on_later)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(PAGES * 0x1000);

	ASSERT_RET(vm_slot(vm, 1, 0, BASE, PAGES * 0x1000, mem), 0);
	run_sync(vcpu);
	run_sync(vcpu);
	EXPECT_ERRNO(get_log(vm, 1), ENOENT);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000, mem), 0);
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 2, 3, 64, 513, -1 });
	ASSERT_RET(vm_slot(vm, 1, 0, BASE, PAGES * 0x1000, mem), 0);
	EXPECT_ERRNO(get_log(vm, 1), ENOENT);
	run_sync(vcpu);
	run_done(vcpu);
}

static void ins_guest(void)
{
	u64 di = BASE + 0x1ffe, n = 4;

	asm volatile("rep insb" : "+D" (di), "+c" (n) : "d" (0x60) : "memory");
	guest_sync(0);
}

/* Pages that the hypervisor itself writes for the guest are dirty, too. */
TEST(written_by_emulation)
{
	struct vcpu *vcpu = guest_new(ins_guest);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(PAGES * 0x1000);
	u32 done = 0;

	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000, mem), 0);
	while (done < 4) {
		expect_exit(vcpu, KVM_EXIT_IO);
		done += vcpu->run->io.count;
	}
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 1, 2, -1 });
}

#define MMIO		0xd0000000ULL
#define TABLE_VA	(8ULL << 30)

static void movs_guest(void)
{
	u64 si = MMIO, di = TABLE_VA;

	asm volatile("movsb" : "+S" (si), "+D" (di) : : "memory");
	guest_sync(0);
}

/* So is a page table in which an emulated instruction sets accessed and dirty bits. */
TEST(tables_by_emulation)
{
	struct vcpu *vcpu = guest_new(movs_guest);
	struct vm *vm = vcpu->vm;
	u64 *pdpt = (u64 *)(vm->ram + GUEST_PT + 0x1000);
	u64 *table = (u64 *)mem_alloc(0x1000);

	memset(bitmap, 0, sizeof(bitmap));
	pdpt[TABLE_VA >> 30] = GUEST_FREE | PTE_P | PTE_W;
	*(u64 *)(vm->ram + GUEST_FREE) = BASE | PTE_P | PTE_W;
	table[0] = (GUEST_FREE + 0x1000) | PTE_P | PTE_W;
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, 0x1000, table), 0);
	expect_exit(vcpu, KVM_EXIT_MMIO);
	run_sync(vcpu);
	EXPECT_EQ(table[0] & 0x60, 0x60);
	ASSERT_RET(get_log(vm, 1), 0);
	EXPECT_EQ(bitmap[0], 1);
}

TEST(errors)
{
	struct vm *vm = vm_new();
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = NULL };

	EXPECT_ERRNO(get_log(vm, 0), ENOENT);
	EXPECT_ERRNO(get_log(vm, 1), ENOENT);
	EXPECT_ERRNO(get_log(vm, dev_cap(KVM_CAP_NR_MEMSLOTS)), EINVAL);
	EXPECT_ERRNO(get_log(vm, 256 << 16), EINVAL);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, 0x1000, mem_alloc(0x1000)), 0);
	log.dirty_bitmap = (void *)8;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), EFAULT);
}

static int clear_log(struct vm *vm, u32 first, u32 npages)
{
	struct kvm_clear_dirty_log log = {
		.slot = 1, .first_page = first, .num_pages = npages, .dirty_bitmap = bitmap,
	};

	return ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log);
}

static int manual_protect(struct vm *vm, u64 how)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { how },
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

/* Reading leaves the bits; what is cleared by page is logged anew, the rest stays dirty. */
TEST(cleared_by_page)
{
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(PAGES * 0x1000);

	if (!(dev_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		test_skip("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	EXPECT_ERRNO(manual_protect(vm, 8), EINVAL);
	EXPECT_ERRNO(manual_protect(vm, KVM_DIRTY_LOG_INITIALLY_SET), EINVAL);
	ASSERT_RET(manual_protect(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE), 0);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000, mem), 0);
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 0, 63, 64, PAGES - 1, -1 });
	expect_dirty(vm, (int[]){ 0, 63, 64, PAGES - 1, -1 });

	memset(bitmap, 0xff, sizeof(bitmap));
	EXPECT_ERRNO(clear_log(vm, 1, 64), EINVAL);
	EXPECT_ERRNO(clear_log(vm, 0, 65), EINVAL);
	EXPECT_ERRNO(clear_log(vm, 0, PAGES + 1), EINVAL);
	EXPECT_ERRNO(clear_log(vm, 704, 0), EINVAL);
	expect_dirty(vm, (int[]){ 0, 63, 64, PAGES - 1, -1 });

	/* Page 0 alone of the first word; then all of the last, which is not whole. */
	memset(bitmap, 0, sizeof(bitmap));
	bitmap[0] = 3;
	ASSERT_RET(clear_log(vm, 0, 64), 0);
	expect_dirty(vm, (int[]){ 63, 64, PAGES - 1, -1 });
	memset(bitmap, 0xff, sizeof(bitmap));
	ASSERT_RET(clear_log(vm, 640, PAGES - 640), 0);
	expect_dirty(vm, (int[]){ 63, 64, -1 });

	run_sync(vcpu);
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 2, 3, 63, 64, 513, -1 });
	memset(bitmap, 0xff, sizeof(bitmap));
	ASSERT_RET(clear_log(vm, 0, PAGES), 0);
	expect_dirty(vm, (int[]){ -1 });
}

static void write_guest(void)
{
	for (;;) {
		PAGE(0)++;
		guest_sync(0);
	}
}

/* Who has read the log copies the pages: no CPU may write them by what it remembers of tables. */
TEST(translations_go)
{
	struct vcpu *vcpu = guest_new(write_guest);
	struct vm *vm = vcpu->vm;
	u64 before;
	int stats;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	stats = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000,
			   mem_alloc(PAGES * 0x1000)), 0);
	run_sync(vcpu);
	before = stats_counter(stats, "tlb_flush");
	expect_dirty(vm, (int[]){ 0, -1 });
	run_sync(vcpu);
	EXPECT_TRUE(stats_counter(stats, "tlb_flush") > before);

	if (!(dev_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return;
	ASSERT_RET(manual_protect(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE), 0);
	run_sync(vcpu);
	before = stats_counter(stats, "tlb_flush");
	memset(bitmap, 0xff, sizeof(bitmap));
	ASSERT_RET(clear_log(vm, 0, 64), 0);
	run_sync(vcpu);
	EXPECT_TRUE(stats_counter(stats, "tlb_flush") > before);
}

/* A log of more words than can be handled at once: each bit is that of its own page. */
#define MANY	(3 * 4096 + 100)

static u8 many[(MANY + 63) / 64 * 8];

static void many_guest(void)
{
	static const u32 pages[] = { 5, 4095, 4096, 4096 + 5, 8192 + 70, MANY - 1 };

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		PAGE(pages[i]) = i;
	guest_sync(0);
	PAGE(4096 + 5) = 1;
	guest_sync(0);
}

static void expect_many(struct vm *vm, const u32 *pages, unsigned int n)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = many };
	static u8 want[sizeof(many)];

	memset(want, 0, sizeof(want));
	for (unsigned int i = 0; i < n; i++)
		want[pages[i] / 8] |= 1 << pages[i] % 8;
	memset(many, 0xee, sizeof(many));
	ASSERT_RET(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), 0);
	EXPECT_EQ(memcmp(many, want, sizeof(want)), 0);
}

TEST(many_words)
{
	static const u32 all[] = { 5, 4095, 4096, 4096 + 5, 8192 + 70, MANY - 1 };
	static const u32 left[] = { 5, 4095, 4096, MANY - 1 };
	static const u32 again[] = { 5, 4095, 4096, 4096 + 5, MANY - 1 };
	struct kvm_clear_dirty_log clear = {
		.slot = 1, .num_pages = MANY, .dirty_bitmap = many,
	};
	struct vcpu *vcpu = guest_new(many_guest);
	struct vm *vm = vcpu->vm;

	if (!(dev_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		test_skip("no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
	ASSERT_RET(manual_protect(vm, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE), 0);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, MANY * 0x1000ULL,
			   mem_alloc(MANY * 0x1000ULL)), 0);
	run_sync(vcpu);
	expect_many(vm, all, ARRAY_SIZE(all));
	memset(many, 0, sizeof(many));
	many[(4096 + 5) / 8] = 1 << 5 % 8;
	many[(8192 + 70) / 8] = 1 << 70 % 8;
	ASSERT_RET(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear), 0);
	expect_many(vm, left, ARRAY_SIZE(left));
	/* Of these two, the one that is written is logged anew. */
	run_sync(vcpu);
	expect_many(vm, again, ARRAY_SIZE(again));
}

/* Without manual protection reading clears: in all parts, too. */
TEST(many_words_read)
{
	static const u32 all[] = { 5, 4095, 4096, 4096 + 5, 8192 + 70, MANY - 1 };
	static const u32 again[] = { 4096 + 5 };
	struct vcpu *vcpu = guest_new(many_guest);
	struct vm *vm = vcpu->vm;

	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, MANY * 0x1000ULL,
			   mem_alloc(MANY * 0x1000ULL)), 0);
	run_sync(vcpu);
	expect_many(vm, all, ARRAY_SIZE(all));
	run_sync(vcpu);
	expect_many(vm, again, ARRAY_SIZE(again));
	expect_many(vm, NULL, 0);
}

/* All pages begin dirty; those that are cleared are logged from then on. */
TEST(initially_set)
{
	const u32 both = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(PAGES * 0x1000);
	static int all[PAGES + 1];
	u64 faults;
	int fd;

	if ((dev_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) & both) != both)
		test_skip("no KVM_DIRTY_LOG_INITIALLY_SET");
	for (int i = 0; i < PAGES; i++)
		all[i] = i;
	all[PAGES] = -1;
	ASSERT_RET(manual_protect(vm, both), 0);
	/* Written, and writable, before the log began. */
	ASSERT_RET(vm_slot(vm, 1, 0, BASE, PAGES * 0x1000, mem), 0);
	run_sync(vcpu);
	run_sync(vcpu);
	run_sync(vcpu);
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000, mem), 0);
	expect_dirty(vm, all);
	/* No write of theirs need be caught. */
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	faults = stats_counter(fd, on_minihv() ? "faults" : "pf_fixed");
	vcpu_long(vcpu, guest, 0);
	run_sync(vcpu);
	run_sync(vcpu);
	run_sync(vcpu);
	EXPECT_EQ(stats_counter(fd, on_minihv() ? "faults" : "pf_fixed"), faults);
	vcpu_long(vcpu, guest, 0);
	run_sync(vcpu);
	ASSERT_RET(clear_log(vm, 0, PAGES), 0);
	expect_dirty(vm, (int[]){ -1 });
	run_sync(vcpu);
	run_sync(vcpu);
	expect_dirty(vm, (int[]){ 2, 3, 64, 513, -1 });
}

/* What userspace could not be given is not lost. KVM's log has begun anew by then. */
TEST(nowhere_to_put_it)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = (void *)8 };
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;

	if (!on_minihv())
		test_skip("KVM forgets");
	ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * 0x1000,
			   mem_alloc(PAGES * 0x1000)), 0);
	run_sync(vcpu);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), EFAULT);
	expect_dirty(vm, (int[]){ 0, 63, 64, PAGES - 1, -1 });
}

TEST(clear_errors)
{
	struct vm *vm = vm_new();
	struct kvm_clear_dirty_log log = { .slot = 1, .num_pages = 64, .dirty_bitmap = bitmap };

	EXPECT_ERRNO(clear_log(vm, 0, 64), ENOENT);
	log.slot = dev_cap(KVM_CAP_NR_MEMSLOTS);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log), EINVAL);
	ASSERT_RET(vm_slot(vm, 1, 0, BASE, 0x40000, mem_alloc(0x40000)), 0);
	EXPECT_ERRNO(clear_log(vm, 0, 64), ENOENT);
	ASSERT_RET(vm_slot(vm, 2, KVM_MEM_LOG_DIRTY_PAGES, BASE + 0x40000, 0x40000,
			   mem_alloc(0x40000)), 0);
	log.slot = 2;
	log.dirty_bitmap = (void *)8;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log), EFAULT);
}
