/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest RAM: its layout, and the one accessor through which device code sees it.
 * Entered from the machine's set-up, the boot loaders and every device thread.
 * No locks: the layout never changes after machine_create(); contents race with the guest.
 * RAM is below MEM_HOLE_BASE and, for what does not fit there, from MEM_HIGH_BASE on.
 */
#ifndef MINIVMM_MEMORY_H
#define MINIVMM_MEMORY_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;

/* The guest physical address map. The ACPI tables say the same to the guest. */
#define MEM_HOLE_BASE	0xc0000000ull	/* end of low RAM at most: 3 GiB */
#define MEM_HIGH_BASE	0x100000000ull	/* RAM goes on here */
#define PCI_MMIO_BASE	0xc0000000ull	/* 32-bit BARs */
#define PCI_MMIO_SIZE	0x20000000ull
#define PCI_ECAM_BASE	0xe0000000ull	/* MMCONFIG: bus 0 alone is populated */
#define PCI_ECAM_SIZE	0x01000000ull	/* 16 buses' worth is decoded */
#define PCI_PIO_BASE	0x1000u		/* I/O BARs */
#define PCI_PIO_SIZE	0xf000u
#define IOAPIC_BASE	0xfec00000ull	/* in the kernel, as is the LAPIC */
#define LAPIC_BASE	0xfee00000ull
#define KVM_TSS_BASE	0xfffbd000ull	/* three pages KVM may use on Intel */
#define KVM_IDMAP_BASE	0xfffbc000ull	/* one page, likewise */

#define MEM_REGIONS_MAX	2

/** struct mem_region - one contiguous piece of guest RAM */
struct mem_region {
	uint64_t gpa;
	uint64_t len;
	uint8_t *hva;
};

/** struct memory - all guest RAM, sorted by guest address */
struct memory {
	struct mem_region region[MEM_REGIONS_MAX];
	unsigned int nr;
	uint64_t total;
};

/**
 * mem_create() - allocate guest RAM and give it to the VM as memslots
 * @m: the machine, its vm_fd open
 * @bytes: RAM size; a multiple of 4096
 *
 * Dies with one line and exit status 2 when the host refuses.
 */
void mem_create(struct machine *m, uint64_t bytes);

/**
 * mem_ptr() - host address of a range of guest RAM
 * @m: the machine
 * @gpa: guest physical address
 * @len: bytes; zero gives NULL
 *
 * The pointer stays valid as long as the machine. The guest may write the bytes at any time:
 * read each value once.
 *
 * Any thread. Return: NULL unless every byte of the range is RAM and contiguous.
 */
void *mem_ptr(struct machine *m, uint64_t gpa, uint64_t len);

/** mem_read() - copy @len bytes out of guest RAM. Return: false (and @buf untouched) if not RAM */
bool mem_read(struct machine *m, uint64_t gpa, void *buf, uint64_t len);

/** mem_write() - copy @len bytes into guest RAM. Return: false (nothing written) if not RAM */
bool mem_write(struct machine *m, uint64_t gpa, const void *buf, uint64_t len);

/*
 * Little-endian values, host order on our side. A naturally aligned one is moved in a single
 * access, so that a virtqueue index is never torn.
 */
bool mem_read_u16(struct machine *m, uint64_t gpa, uint16_t *val);
bool mem_read_u32(struct machine *m, uint64_t gpa, uint32_t *val);
bool mem_read_u64(struct machine *m, uint64_t gpa, uint64_t *val);
bool mem_write_u16(struct machine *m, uint64_t gpa, uint16_t val);
bool mem_write_u32(struct machine *m, uint64_t gpa, uint32_t val);
bool mem_write_u64(struct machine *m, uint64_t gpa, uint64_t val);

#endif
