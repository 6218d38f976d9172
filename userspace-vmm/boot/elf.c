// SPDX-License-Identifier: GPL-2.0
/*
 * ELF kernels by PVH: segments to their physical addresses, the entry from a Xen note.
 * Entered from boot_load().
 * No locks: set-up, on the main thread.
 * Xen: public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY), public/arch-x86/hvm/start_info.h.
 */
#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "boot/boot.h"
#include "machine.h"

#define NOTE_PHYS32_ENTRY	18
#define START_MAGIC		0x336ec578	/* "xEn3" with the top bit of E set */

/* The start info, and what it points to; the layout is Xen's. */
struct pvh_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct pvh_module {
	uint64_t paddr, size, cmdline, reserved;
};

struct pvh_memmap {
	uint64_t addr, size;
	uint32_t type, reserved;
};

struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module module;
	struct pvh_memmap map[BOOT_RANGES];
};

static bool inside(uint64_t offset, uint64_t len, uint64_t size)
{
	return offset <= size && len <= size - offset;
}

/* Look through one PT_NOTE segment, already known to lie in the file. */
static void find_entry(const uint8_t *notes, uint64_t len, struct elf_image *out)
{
	uint64_t at = 0;

	while (inside(at, sizeof(Elf64_Nhdr), len)) {
		uint64_t name, desc, next;
		uint32_t entry32;
		Elf64_Nhdr n;

		memcpy(&n, notes + at, sizeof(n));
		name = at + sizeof(n);
		desc = name + ((n.n_namesz + 3ull) & ~3ull);
		next = desc + ((n.n_descsz + 3ull) & ~3ull);
		if (!inside(desc, n.n_descsz, len))
			return;
		if (n.n_type == NOTE_PHYS32_ENTRY && n.n_namesz == 4 && n.n_descsz >= 4 &&
		    !memcmp(notes + name, "Xen", 4)) {
			memcpy(&entry32, notes + desc, sizeof(entry32));
			out->pvh_entry = entry32;
			return;
		}
		at = next;
	}
}

static const char *add_segment(struct elf_image *out, const Elf64_Phdr *p)
{
	if (!p->p_memsz)
		return NULL;
	if (p->p_filesz > p->p_memsz)
		return "an ELF file with a segment larger in the file than in memory";
	if (out->nr_segments == ELF_SEGMENTS_MAX)
		return "an ELF file with too many segments";
	out->segment[out->nr_segments].offset = p->p_offset;
	out->segment[out->nr_segments].filesz = p->p_filesz;
	out->segment[out->nr_segments].paddr = p->p_paddr;
	out->segment[out->nr_segments].memsz = p->p_memsz;
	out->nr_segments++;
	return NULL;
}

const char *elf_parse(const uint8_t *file, size_t size, struct elf_image *out)
{
	const char *why = NULL;
	Elf64_Ehdr h;
	unsigned int i;

	memset(out, 0, sizeof(*out));
	if (size < sizeof(h))
		return "too short for an ELF file";
	memcpy(&h, file, sizeof(h));
	if (memcmp(h.e_ident, ELFMAG, SELFMAG))
		return "not an ELF file";
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_machine != EM_X86_64)
		return "an ELF file, but not for x86-64";
	if (h.e_phentsize != sizeof(Elf64_Phdr) ||
	    !inside(h.e_phoff, (uint64_t)h.e_phnum * sizeof(Elf64_Phdr), size))
		return "an ELF file with a damaged program header table";
	for (i = 0; i < h.e_phnum && !why; i++) {
		Elf64_Phdr p;

		memcpy(&p, file + h.e_phoff + i * sizeof(p), sizeof(p));
		if (p.p_type != PT_LOAD && p.p_type != PT_NOTE)
			continue;
		if (!inside(p.p_offset, p.p_filesz, size))
			return "a truncated ELF file";
		if (p.p_type == PT_LOAD)
			why = add_segment(out, &p);
		else if (!out->pvh_entry)
			find_entry(file + p.p_offset, p.p_filesz, out);
	}
	if (why)
		return why;
	if (!out->pvh_entry)
		return "an ELF file without a PVH entry note (CONFIG_PVH)";
	if (!out->nr_segments)
		return "an ELF file with nothing to load";
	return NULL;
}

/* Return: the end of what was loaded. */
static uint64_t load_segments(struct machine *m, const uint8_t *file, const struct elf_image *img)
{
	uint64_t end = BOOT_HIGH;
	unsigned int i;

	for (i = 0; i < img->nr_segments; i++) {
		uint64_t paddr = img->segment[i].paddr, memsz = img->segment[i].memsz;
		uint8_t *to = mem_ptr(m, paddr, memsz);

		if (paddr < BOOT_HIGH)
			die("--kernel %s: wants to be loaded below 1 MiB", m->cfg.kernel);
		if (!to)
			die("--kernel %s: wants 0x%llx bytes at 0x%llx, where there is no RAM",
			    m->cfg.kernel, (unsigned long long)memsz, (unsigned long long)paddr);
		memcpy(to, file + img->segment[i].offset, img->segment[i].filesz);
		memset(to + img->segment[i].filesz, 0, memsz - img->segment[i].filesz);
		if (paddr + memsz > end && paddr + memsz <= MEM_HOLE_BASE)
			end = paddr + memsz;
	}
	if (!mem_ptr(m, img->pvh_entry, 1))
		die("--kernel %s: its PVH entry is not in RAM", m->cfg.kernel);
	return end;
}

void elf_load(struct machine *m, const uint8_t *file, const struct elf_image *img,
	      uint64_t rsdp, struct boot_entry *entry)
{
	struct pvh_page *page = mem_ptr(m, BOOT_PVH_INFO, sizeof(*page));
	uint64_t end = load_segments(m, file, img);
	struct boot_range map[BOOT_RANGES];
	unsigned int i, n;

	memset(page, 0, sizeof(*page));
	boot_cmdline(m, BOOT_CMDLINE_MAX - 1);
	n = boot_memory_map(m, map);
	for (i = 0; i < n; i++) {
		page->map[i].addr = map[i].start;
		page->map[i].size = map[i].len;
		page->map[i].type = map[i].type;
	}
	page->info = (struct pvh_start_info){
		.magic = START_MAGIC,
		.version = 1,
		.cmdline = BOOT_CMDLINE,
		.rsdp = rsdp,
		.memmap = BOOT_PVH_INFO + offsetof(struct pvh_page, map),
		.memmap_entries = n,
	};
	if (m->cfg.initrd) {
		page->module.paddr = boot_initrd(m, end, MEM_HOLE_BASE, &page->module.size);
		page->info.modules = BOOT_PVH_INFO + offsetof(struct pvh_page, module);
		page->info.nr_modules = 1;
	}
	*entry = (struct boot_entry){
		.mode = BOOT_PROTECTED,
		.rip = img->pvh_entry,
		.params = BOOT_PVH_INFO,
	};
}
