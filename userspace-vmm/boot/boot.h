/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loading a kernel: bzImage by the 64-bit Linux boot protocol, ELF by PVH.
 * Entered from machine_create(), on the main thread.
 * No locks. The parsers look at bytes alone and are tested apart; files are not trusted.
 * Linux: Documentation/x86/boot.rst; Xen: "PVH guests", start_info.h.
 */
#ifndef MINIVMM_BOOT_H
#define MINIVMM_BOOT_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* Where things lie in the first MiB. */
#define BOOT_GDT	0x00000500ull
#define BOOT_PVH_INFO	0x00006000ull	/* hvm_start_info, module list, memory map */
#define BOOT_ZERO_PAGE	0x00007000ull	/* struct boot_params */
#define BOOT_STACK	0x00008ff0ull
#define BOOT_PAGES	0x00009000ull	/* PML4, PDPT, four page directories */
#define BOOT_CMDLINE	0x00020000ull
#define BOOT_CMDLINE_MAX 0x00010000ull
#define BOOT_EBDA	0x0009fc00ull	/* end of conventional memory */
#define BOOT_ACPI	0x000e0000ull	/* RSDP first, where the guest's search finds it */
#define BOOT_ACPI_SIZE	0x00020000ull
#define BOOT_HIGH	0x00100000ull

#define BOOT_CODE_SEL	0x10		/* __BOOT_CS and __BOOT_DS of the boot protocol */
#define BOOT_DATA_SEL	0x18
#define BOOT_TSS_SEL	0x20

enum boot_mode {
	BOOT_LONG,			/* 64-bit, 4 GiB mapped one to one */
	BOOT_PROTECTED,			/* 32-bit, flat, no paging */
};

/** struct boot_entry - how vCPU 0 begins */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip;
	uint64_t params;		/* RSI (long) or EBX (protected) */
};

/** struct bzimage - what a bzImage's setup header says, checked against the file's size */
struct bzimage {
	struct setup_header header;	/* to be copied into boot_params */
	size_t kernel_offset;		/* of the protected-mode part in the file */
	size_t kernel_len;
};

#define ELF_SEGMENTS_MAX	16

/** struct elf_image - what an ELF kernel wants loaded, checked against the file's size */
struct elf_image {
	struct {
		uint64_t offset, filesz;	/* in the file */
		uint64_t paddr, memsz;		/* in the guest */
	} segment[ELF_SEGMENTS_MAX];
	unsigned int nr_segments;
	uint64_t pvh_entry;
};

/** bzimage_parse() - read a bzImage's header. Return: NULL, or in words why it cannot be booted */
const char *bzimage_parse(const uint8_t *file, size_t size, struct bzimage *out);

/** elf_parse() - read an ELF kernel with a PVH note. Return: NULL, or in words why not */
const char *elf_parse(const uint8_t *file, size_t size, struct elf_image *out);

/** bzimage_load() - place a parsed bzImage, initrd, command line and zero page. Dies */
void bzimage_load(struct machine *m, const uint8_t *file, const struct bzimage *img,
		  uint64_t rsdp, struct boot_entry *entry);

/** elf_load() - place a parsed ELF kernel, initrd, command line and start info. Dies */
void elf_load(struct machine *m, const uint8_t *file, const struct elf_image *img,
	      uint64_t rsdp, struct boot_entry *entry);

/** boot_load() - load m->cfg.kernel by the protocol that its format calls for. Dies */
void boot_load(struct machine *m, uint64_t rsdp, struct boot_entry *entry);

/** struct boot_range - a piece of the memory map; @type as E820 and PVH both have it */
struct boot_range {
	uint64_t start, len;
	uint32_t type;
};

#define BOOT_RANGE_RAM		1
#define BOOT_RANGE_RESERVED	2
#define BOOT_RANGES		5

/** boot_memory_map() - fill @map. Return: how many of its BOOT_RANGES entries are used */
unsigned int boot_memory_map(struct machine *m, struct boot_range *map);

/** boot_initrd() - place m->cfg.initrd page-aligned and as high as fits in [@lowest, @end). Dies */
uint64_t boot_initrd(struct machine *m, uint64_t lowest, uint64_t end, uint64_t *len);

/** boot_cmdline() - place the command line, which may have @max bytes. Return: its length. Dies */
size_t boot_cmdline(struct machine *m, size_t max);

#endif
