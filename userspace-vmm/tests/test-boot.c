// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel file parsers against whole, damaged and cut-off files.
 * Entered from make check.
 * No locks.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/boot.h"

#define BZ_SETUP	(5 * 512)	/* four setup sectors and the boot sector */
#define BZ_KERNEL	8192
#define BZ_SIZE		(BZ_SETUP + BZ_KERNEL)

static struct setup_header *bz_header(uint8_t *file)
{
	return (struct setup_header *)(file + 0x1f1);
}

static void bz_make(uint8_t *file)
{
	struct setup_header *h = bz_header(file);

	memset(file, 0, BZ_SIZE);
	h->setup_sects = 4;
	h->boot_flag = 0xaa55;
	h->jump = 0x6aeb;		/* the header ends at 0x202 + 0x6a */
	h->header = 0x53726448;
	h->version = 0x020f;
	h->xloadflags = XLF_KERNEL_64;
	h->syssize = BZ_KERNEL / 16;
	h->init_size = 2 * BZ_KERNEL;
	h->relocatable_kernel = 1;
	h->kernel_alignment = 0x200000;
	h->pref_address = 0x1000000;
	h->cmdline_size = 2047;
	h->initrd_addr_max = 0x7fffffff;
}

static void bzimage_whole(void **state)
{
	static uint8_t file[BZ_SIZE];
	struct bzimage img;

	(void)state;
	bz_make(file);
	assert_null(bzimage_parse(file, BZ_SIZE, &img));
	assert_int_equal(img.kernel_offset, BZ_SETUP);
	assert_int_equal(img.kernel_len, BZ_KERNEL);
	assert_int_equal(img.header.pref_address, 0x1000000);

	/* setup_sects 0 means 4 */
	bz_header(file)->setup_sects = 0;
	assert_null(bzimage_parse(file, BZ_SIZE, &img));
	assert_int_equal(img.kernel_offset, BZ_SETUP);
}

/* A signed kernel has its signature behind what syssize counts. */
static void bzimage_trailer(void **state)
{
	static uint8_t file[BZ_SIZE];
	struct bzimage img;

	(void)state;
	bz_make(file);
	bz_header(file)->syssize = BZ_KERNEL / 32;
	assert_null(bzimage_parse(file, BZ_SIZE, &img));
	assert_int_equal(img.kernel_len, BZ_KERNEL / 2);
}

/* An older header ends before the fields of a newer one: they read as zero. */
static void bzimage_short_header(void **state)
{
	static uint8_t file[BZ_SIZE];
	struct bzimage img;

	(void)state;
	bz_make(file);
	file[0x201] = 0x62;		/* up to and with init_size */
	bz_header(file)->handover_offset = 0xdead;
	assert_null(bzimage_parse(file, BZ_SIZE, &img));
	assert_int_equal(img.header.handover_offset, 0);
	assert_int_equal(img.header.init_size, 2 * BZ_KERNEL);
	file[0x201] = 0x40;
	assert_non_null(bzimage_parse(file, BZ_SIZE, &img));
}

#define BZ_REFUSED(change) do {						\
	bz_make(file);							\
	change;								\
	assert_non_null(bzimage_parse(file, BZ_SIZE, &img));		\
} while (0)

static void bzimage_refused(void **state)
{
	static uint8_t file[BZ_SIZE];
	struct setup_header *h = bz_header(file);
	struct bzimage img;

	(void)state;
	BZ_REFUSED(h->boot_flag = 0);
	BZ_REFUSED(h->header = 0);
	BZ_REFUSED(h->version = 0x020b);
	BZ_REFUSED(h->xloadflags = 0);
	BZ_REFUSED(h->setup_sects = 255);
	BZ_REFUSED(h->syssize = BZ_KERNEL / 16 + 1);
	BZ_REFUSED(h->syssize = 0xffffffff);
	BZ_REFUSED(h->init_size = BZ_KERNEL - 1);
	BZ_REFUSED(h->kernel_alignment = 0);
	BZ_REFUSED(h->kernel_alignment = 0x300000);
}

/* Every length: nothing is read beyond the end (the copy is exactly as long: ASAN=1 sees it). */
static void bzimage_cut_off(void **state)
{
	static uint8_t file[BZ_SIZE];
	struct bzimage img;
	uint8_t *copy;
	size_t size;

	(void)state;
	bz_make(file);
	for (size = 0; size < BZ_SIZE - 16; size += size < 0x300 ? 1 : 61) {
		copy = malloc(size + !size);
		memcpy(copy, file, size);
		assert_non_null(bzimage_parse(copy, size, &img));
		free(copy);
	}
}

struct elf_file {
	Elf64_Ehdr h;
	Elf64_Phdr p[2];
	struct {
		Elf64_Nhdr n;
		char name[4];
		uint32_t desc;
	} note[2];
	uint8_t code[256];
};

static void elf_make(struct elf_file *f)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->h.e_ident, ELFMAG, SELFMAG);
	f->h.e_ident[EI_CLASS] = ELFCLASS64;
	f->h.e_ident[EI_DATA] = ELFDATA2LSB;
	f->h.e_machine = EM_X86_64;
	f->h.e_phoff = offsetof(struct elf_file, p);
	f->h.e_phentsize = sizeof(Elf64_Phdr);
	f->h.e_phnum = 2;
	f->p[0] = (Elf64_Phdr) {
		.p_type = PT_LOAD, .p_offset = offsetof(struct elf_file, code),
		.p_paddr = 0x1000000, .p_filesz = sizeof(f->code), .p_memsz = 4096,
	};
	f->p[1] = (Elf64_Phdr) {
		.p_type = PT_NOTE, .p_offset = offsetof(struct elf_file, note),
		.p_filesz = sizeof(f->note), .p_memsz = sizeof(f->note),
	};
	f->note[0].n = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 6 };
	f->note[1].n = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = 4, .n_type = 18 };
	memcpy(f->note[0].name, "Xen", 4);
	memcpy(f->note[1].name, "Xen", 4);
	f->note[1].desc = 0x1000040;
}

static const char *elf_try(const struct elf_file *f, struct elf_image *img)
{
	return elf_parse((const uint8_t *)f, sizeof(*f), img);
}

static void elf_whole(void **state)
{
	struct elf_image img;
	struct elf_file f;

	(void)state;
	elf_make(&f);
	assert_null(elf_try(&f, &img));
	assert_int_equal(img.pvh_entry, 0x1000040);
	assert_int_equal(img.nr_segments, 1);
	assert_int_equal(img.segment[0].paddr, 0x1000000);
	assert_int_equal(img.segment[0].filesz, 256);
	assert_int_equal(img.segment[0].memsz, 4096);
}

#define ELF_REFUSED(change) do {					\
	elf_make(&f);							\
	change;								\
	assert_non_null(elf_try(&f, &img));				\
} while (0)

static void elf_refused(void **state)
{
	struct elf_image img;
	struct elf_file f;

	(void)state;
	ELF_REFUSED(f.h.e_ident[0] = 0);
	ELF_REFUSED(f.h.e_ident[EI_CLASS] = ELFCLASS32);
	ELF_REFUSED(f.h.e_machine = EM_AARCH64);
	ELF_REFUSED(f.h.e_phoff = UINT64_MAX - 8);
	ELF_REFUSED(f.h.e_phoff = sizeof(f));
	ELF_REFUSED(f.h.e_phnum = 0xffff);
	ELF_REFUSED(f.h.e_phentsize = 1);
	ELF_REFUSED(f.p[0].p_offset = UINT64_MAX);
	ELF_REFUSED(f.p[0].p_filesz = UINT64_MAX);
	ELF_REFUSED(f.p[0].p_filesz = sizeof(f.code) + 1);
	ELF_REFUSED(f.p[0].p_memsz = 255);
	ELF_REFUSED(f.p[0].p_memsz = 0);
	ELF_REFUSED(f.p[1].p_type = PT_NULL);
	ELF_REFUSED(f.p[1].p_offset = sizeof(f));
	ELF_REFUSED(f.note[1].n.n_type = 17);
	ELF_REFUSED(f.note[1].name[0] = 'x');
	ELF_REFUSED(f.note[0].n.n_descsz = 0xffffffff);
	ELF_REFUSED(f.note[0].n.n_namesz = 0xffffffff);
	ELF_REFUSED(f.note[1].n.n_descsz = 8);
}

static void elf_cut_off(void **state)
{
	struct elf_image img;
	struct elf_file f;
	uint8_t *copy;
	size_t size;

	(void)state;
	elf_make(&f);
	for (size = 0; size < sizeof(f); size++) {
		copy = malloc(size + !size);
		memcpy(copy, &f, size);
		assert_non_null(elf_parse(copy, size, &img));
		free(copy);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_whole),
		cmocka_unit_test(bzimage_trailer),
		cmocka_unit_test(bzimage_short_header),
		cmocka_unit_test(bzimage_refused),
		cmocka_unit_test(bzimage_cut_off),
		cmocka_unit_test(elf_whole),
		cmocka_unit_test(elf_refused),
		cmocka_unit_test(elf_cut_off),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
