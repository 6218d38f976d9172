// SPDX-License-Identifier: GPL-2.0
/*
 * bzImage by the 64-bit boot protocol.
 * Entered from boot_load().
 * No locks: set-up, on the main thread.
 * Linux: Documentation/x86/boot.rst, "The Real-Mode Kernel Header", "64-bit Boot Protocol".
 */
#include <stdbool.h>
#include <string.h>

#include "boot/boot.h"
#include "machine.h"

#define HEADER_OFFSET	0x1f1		/* of struct setup_header in the file */
#define BOOT_FLAG	0xaa55
#define HEADER_MAGIC	0x53726448	/* "HdrS" */
#define ENTRY_64	0x200		/* startup_64, from the load address */
#define SECTOR		512
#define MIN_VERSION	0x020c		/* 2.12 brought xloadflags */
#define LOADER_UNDEFINED 0xff
#define VIDEO_NORMAL	0xffff

const char *bzimage_parse(const uint8_t *file, size_t size, struct bzimage *out)
{
	struct setup_header *h = &out->header;
	size_t header_end, setup;

	if (size < HEADER_OFFSET + sizeof(*h))
		return "too short for a bzImage";
	memset(out, 0, sizeof(*out));

	/* The byte of the jump instruction at 0x201 says where the header of this version ends. */
	memcpy(h, file + HEADER_OFFSET, sizeof(*h));
	if (h->boot_flag != BOOT_FLAG || h->header != HEADER_MAGIC)
		return "neither a bzImage nor an ELF file";
	if (h->version < MIN_VERSION)
		return "a bzImage of a boot protocol older than 2.12";
	if (!(h->xloadflags & XLF_KERNEL_64))
		return "a bzImage of a 32-bit kernel; minivmm boots 64-bit ones";
	header_end = 0x202 + file[0x201];
	if (header_end < HEADER_OFFSET + offsetof(struct setup_header, init_size) +
			 sizeof(h->init_size))
		return "a bzImage with a truncated setup header";
	if (header_end < HEADER_OFFSET + sizeof(*h))
		memset((uint8_t *)h + (header_end - HEADER_OFFSET), 0,
		       HEADER_OFFSET + sizeof(*h) - header_end);

	setup = ((h->setup_sects ? h->setup_sects : 4) + 1) * SECTOR;
	if (setup >= size || size - setup <= ENTRY_64)
		return "a bzImage with nothing behind its setup code";
	out->kernel_offset = setup;
	out->kernel_len = size - setup;
	if (h->syssize && (uint64_t)h->syssize * 16 < out->kernel_len)
		out->kernel_len = (size_t)h->syssize * 16;	/* a signature may follow */
	if ((uint64_t)h->syssize * 16 > size - setup + 15)
		return "a truncated bzImage";
	if (out->kernel_len > h->init_size)
		return "a bzImage whose init_size is smaller than itself";
	if (h->relocatable_kernel &&
	    (!h->kernel_alignment || (h->kernel_alignment & (h->kernel_alignment - 1))))
		return "a bzImage whose alignment is not a power of two";
	return NULL;
}

/* The preferred address where that is RAM; otherwise the lowest aligned one that will do. */
static uint64_t choose_address(struct machine *m, const struct setup_header *h)
{
	uint64_t align = h->kernel_alignment, addr = h->pref_address;

	if (addr >= BOOT_HIGH && mem_ptr(m, addr, h->init_size) && addr < MEM_HOLE_BASE)
		return addr;
	if (h->relocatable_kernel) {
		addr = (BOOT_HIGH + align - 1) & ~(align - 1);
		if (mem_ptr(m, addr, h->init_size))
			return addr;
	}
	die("--memory %llu MiB is too small for --kernel %s: it needs %llu MiB from 0x%llx",
	    (unsigned long long)m->mem.total >> 20, m->cfg.kernel,
	    ((unsigned long long)h->init_size + 0xfffff) >> 20, (unsigned long long)addr);
}

static void setup_memory_map(struct machine *m, struct boot_params *zero)
{
	struct boot_range map[BOOT_RANGES];
	unsigned int i, n = boot_memory_map(m, map);

	for (i = 0; i < n; i++) {
		zero->e820_table[i].addr = map[i].start;
		zero->e820_table[i].size = map[i].len;
		zero->e820_table[i].type = map[i].type;
	}
	zero->e820_entries = n;
}

void bzimage_load(struct machine *m, const uint8_t *file, const struct bzimage *img,
		  uint64_t rsdp, struct boot_entry *entry)
{
	const struct setup_header *h = &img->header;
	struct boot_params *zero = mem_ptr(m, BOOT_ZERO_PAGE, sizeof(*zero));
	uint64_t load = choose_address(m, h);
	uint64_t initrd_end, initrd_len = 0, initrd = 0;

	mem_write(m, load, file + img->kernel_offset, img->kernel_len);

	memset(zero, 0, sizeof(*zero));
	zero->hdr = *h;
	zero->hdr.type_of_loader = LOADER_UNDEFINED;
	zero->hdr.vid_mode = VIDEO_NORMAL;
	zero->hdr.code32_start = load;
	zero->hdr.loadflags &= ~CAN_USE_HEAP;
	zero->acpi_rsdp_addr = rsdp;

	boot_cmdline(m, h->cmdline_size);
	zero->hdr.cmd_line_ptr = BOOT_CMDLINE;
	if (m->cfg.initrd) {
		initrd_end = (uint64_t)h->initrd_addr_max + 1;
		initrd = boot_initrd(m, load + h->init_size, initrd_end, &initrd_len);
	}
	zero->hdr.ramdisk_image = initrd;
	zero->hdr.ramdisk_size = initrd_len;
	setup_memory_map(m, zero);

	*entry = (struct boot_entry){
		.mode = BOOT_LONG,
		.rip = load + ENTRY_64,
		.params = BOOT_ZERO_PAGE,
	};
}
