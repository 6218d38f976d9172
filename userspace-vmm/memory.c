// SPDX-License-Identifier: GPL-2.0
/*
 * Guest RAM: allocation, memslots and checked access.
 * Entered from machine set-up, then from every thread that serves a device.
 * No locks: the layout is constant once made.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "kvm.h"
#include "machine.h"
#include "vcpu.h"

static void mem_add(struct machine *m, uint64_t gpa, uint8_t *hva, uint64_t len)
{
	struct kvm_userspace_memory_region slot = {
		.slot = m->mem.nr,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)hva,
	};

	kvm_must(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot);
	m->mem.region[m->mem.nr++] = (struct mem_region){ .gpa = gpa, .len = len, .hva = hva };
}

void mem_create(struct machine *m, uint64_t bytes)
{
	uint64_t low = bytes < MEM_HOLE_BASE ? bytes : MEM_HOLE_BASE;
	uint64_t last = bytes > low ? MEM_HIGH_BASE + (bytes - low) - 1 : low - 1;
	unsigned int bits = cpuid_phys_bits(m);
	uint8_t *hva;

	if (bits < 64 && last >> bits)
		die("--memory %llu MiB: the guest's CPU has physical addresses of %u bits only",
		    (unsigned long long)bytes >> 20, bits);
	hva = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hva == MAP_FAILED)
		die("--memory: cannot map %llu MiB: %s", (unsigned long long)bytes >> 20,
		    strerror(errno));
	/* Large pages where the host has them to spare; a core dump without the guest. */
	madvise(hva, bytes, MADV_HUGEPAGE);
	madvise(hva, bytes, MADV_DONTDUMP);

	m->mem.total = bytes;
	mem_add(m, 0, hva, low);
	if (bytes > low)
		mem_add(m, MEM_HIGH_BASE, hva + low, bytes - low);
}

void *mem_ptr(struct machine *m, uint64_t gpa, uint64_t len)
{
	unsigned int i;

	if (!len)
		return NULL;
	for (i = 0; i < m->mem.nr; i++) {
		const struct mem_region *r = &m->mem.region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->len && len <= r->len - (gpa - r->gpa))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

bool mem_read(struct machine *m, uint64_t gpa, void *buf, uint64_t len)
{
	const void *p = mem_ptr(m, gpa, len);

	if (p)
		memcpy(buf, p, len);
	return p;
}

bool mem_write(struct machine *m, uint64_t gpa, const void *buf, uint64_t len)
{
	void *p = mem_ptr(m, gpa, len);

	if (p)
		memcpy(p, buf, len);
	return p;
}

/*
 * Guest addresses and host addresses agree in their low 12 bits, so an aligned value is aligned
 * here too, and its access is a single one.
 */
#define MEM_ACCESSORS(bits, type)							\
bool mem_read_u##bits(struct machine *m, uint64_t gpa, type val[])			\
{											\
	const type *p = mem_ptr(m, gpa, sizeof(*p));					\
	type raw;									\
											\
	if (!p)										\
		return false;								\
	if (gpa % sizeof(*p))								\
		memcpy(&raw, p, sizeof(raw));						\
	else										\
		raw = __atomic_load_n(p, __ATOMIC_RELAXED);				\
	*val = le##bits##toh(raw);							\
	return true;									\
}											\
											\
bool mem_write_u##bits(struct machine *m, uint64_t gpa, type val)			\
{											\
	type *p = mem_ptr(m, gpa, sizeof(*p));						\
	type raw = htole##bits(val);							\
											\
	if (!p)										\
		return false;								\
	if (gpa % sizeof(*p))								\
		memcpy(p, &raw, sizeof(raw));						\
	else										\
		__atomic_store_n(p, raw, __ATOMIC_RELAXED);				\
	return true;									\
}

MEM_ACCESSORS(16, uint16_t)
MEM_ACCESSORS(32, uint32_t)
MEM_ACCESSORS(64, uint64_t)
