// SPDX-License-Identifier: GPL-2.0
/*
 * slots.c - the oracle's kind "slots": memslots made, moved, deleted, with and without dirty log,
 * and a guest that reads and writes there.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 * Linux Documentation/virt/kvm/api.rst, "KVM_SET_USER_MEMORY_REGION", "KVM_GET_DIRTY_LOG".
 */
#include <sys/mman.h>

#include "gen.h"

#define PAGES		64
#define AREA		0x60000ULL	/* where slots are */
#define AREA_PAGES	96
#define NR_SLOTS	6

/* A page that a guest only reads may be dirty on KVM: seeds that log have no plain loads. */
static bool logs(struct diff *d)
{
	return d->seed & 1;
}

static u8 *backing;
static u8 backing_shown[PAGES * 0x1000];

static void set_region(struct diff *d)
{
	u64 pages = 1 + below(d, 16);
	struct kvm_userspace_memory_region r = {
		.slot = 1 + below(d, NR_SLOTS - 1),
		.guest_phys_addr = AREA + 0x1000 * below(d, AREA_PAGES - 16),
		.memory_size = pages * 0x1000,
		.userspace_addr = (uintptr_t)backing + 0x1000 * below(d, PAGES - 16),
	};

	if (logs(d) && one_in(d, 2))
		r.flags = KVM_MEM_LOG_DIRTY_PAGES;
	if (one_in(d, 6))
		r.flags |= KVM_MEM_READONLY;
	if (one_in(d, 4))
		r.memory_size = 0;
	if (one_in(d, 12))
		switch (below(d, 6)) {
		case 0:
			r.flags = rnd_value(d) & ~(logs(d) ? 0 : KVM_MEM_LOG_DIRTY_PAGES);
			break;
		case 1:
			r.slot = below(d, 2) ? rnd_value(d) & 0xffff : 509;
			break;
		case 2:
			r.guest_phys_addr = rnd_value(d);
			break;
		case 3:
			r.memory_size = rnd_value(d);
			break;
		case 4:
			r.userspace_addr = rnd_value(d);
			break;
		default:
			r.guest_phys_addr += 8;
			break;
		}
	say_ret(d, ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &r),
		"region %u flags %x gpa %llx size %llx", r.slot, r.flags, r.guest_phys_addr,
		r.memory_size);
}

/* The flags of a slot that is there change, or it moves: what it is, is remembered. */
static void set_again(struct diff *d)
{
	static struct kvm_userspace_memory_region r;

	if (!r.memory_size || one_in(d, 4)) {
		r = (struct kvm_userspace_memory_region) {
			.slot = NR_SLOTS, .guest_phys_addr = AREA + 0x1000 * below(d, AREA_PAGES),
			.memory_size = 0x4000, .userspace_addr = (uintptr_t)backing,
		};
		ioctl(d->vm, KVM_SET_USER_MEMORY_REGION,
		      &(struct kvm_userspace_memory_region){ .slot = NR_SLOTS });
	} else if (one_in(d, 3)) {
		r.guest_phys_addr = AREA + 0x1000 * below(d, AREA_PAGES);
	}
	r.flags = below(d, 4) & ~(logs(d) ? 0 : KVM_MEM_LOG_DIRTY_PAGES);
	say_ret(d, ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &r), "again flags %x gpa %llx", r.flags,
		r.guest_phys_addr);
}

static void get_log(struct diff *d)
{
	u64 bitmap[8] = { 0 };
	struct kvm_dirty_log log = { .slot = below(d, NR_SLOTS + 1), .dirty_bitmap = bitmap };

	if (one_in(d, 16))
		log.slot = rnd_value(d) & 0xffff;
	say_ret(d, ioctl(d->vm, KVM_GET_DIRTY_LOG, &log), "get-dirty-log %u", log.slot);
	for (int i = 0; i < 8; i++)
		if (bitmap[i])
			say(d, "dirty[%d] %llx", i, (unsigned long long)bitmap[i]);
}

static void clear_log(struct diff *d)
{
	u64 bitmap[8] = { rnd(d) };
	struct kvm_clear_dirty_log log = {
		.slot = 1 + below(d, NR_SLOTS), .num_pages = 1 + below(d, 16),
		.dirty_bitmap = bitmap,
	};

	if (one_in(d, 3))
		log.num_pages = 64;
	if (one_in(d, 6))
		log.first_page = one_in(d, 2) ? 64 : below(d, 100);
	say_ret(d, ioctl(d->vm, KVM_CLEAR_DIRTY_LOG, &log),
		"clear-dirty-log %u first %llu pages %u", log.slot, log.first_page, log.num_pages);
}

/* Loads and stores of 4 bytes, at addresses here and there. */
static void access_guest(struct diff *d)
{
	struct kvm_regs regs = { .rip = DIFF_CODE, .rsp = DIFF_STACK, .rflags = RFLAGS_FIXED };
	u8 *code = d->ram + DIFF_CODE;

	for (u64 n = 1 + below(d, 8); n; n--) {
		u32 address = AREA + 0x1000 * below(d, AREA_PAGES) + 4 * below(d, 4);

		if (one_in(d, 10))
			address = AREA + 0x1000 * below(d, AREA_PAGES) - 2;
		*code++ = pick(d, ((u8[]){ logs(d) ? 0x89 : 0x8b, 0x89, 0x89, 0x01, 0x87 }));
		*code++ = 0x05;
		memcpy(code, &address, 4);
		code += 4;
	}
	memcpy(code, "\xe6\xf5\xf4", 3);
	regs.rax = rnd(d);
	must(d, ioctl(d->vcpu[0], KVM_SET_REGS, &regs), "set-regs");
	run_vcpu(d, 0, 40);
}

static void host_write(struct diff *d)
{
	u64 at = 0x1000 * below(d, PAGES) + 8 * below(d, 4);

	if (one_in(d, 2))
		madvise(backing + (at & ~0xfffULL), 0x1000, MADV_DONTNEED);
	memcpy(backing + at, &d->step, sizeof(d->step));
	say(d, "host-write %llx", (unsigned long long)at);
}

static void begin(struct diff *d)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args[0] = below(d, 4),
	};

	make_vm(d, 1, one_in(d, 2));
	backing = mmap(NULL, PAGES * 0x1000, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(d, backing == MAP_FAILED ? -1 : 0, "backing");
	if (one_in(d, 2))
		say_ret(d, ioctl(d->vm, KVM_ENABLE_CAP, &cap), "manual-protect %llx", cap.args[0]);
	d->mode = MODE_PROT32;
	make_tables(d, d->mode);
	set_mode(d, 0, d->mode, false);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
}

static void act(struct diff *d)
{
	static void (*const acts[])(struct diff *d) = {
		set_region, set_region, set_region, set_again, set_again, get_log, get_log, get_log,
		clear_log, access_guest, access_guest, access_guest, host_write,
	};
	struct kvm_regs regs;

	pick(d, acts)(d);
	must(d, ioctl(d->vcpu[0], KVM_GET_REGS, &regs), "get-regs");
	say(d, "rax %llx rip %llx rflags %llx", regs.rax, regs.rip, regs.rflags);
	show_vm(d);
	for (u64 page = 0; page < PAGES; page++)
		if (memcmp(backing + page * 0x1000, backing_shown + page * 0x1000, 0x1000)) {
			char name[16];

			snprintf(name, sizeof(name), "page %llu", (unsigned long long)page);
			say_words(d, name, backing + page * 0x1000, backing_shown + page * 0x1000,
				  0x1000, 8);
		}
}

const struct kind kind_slots = { "slots", 60, begin, act };
