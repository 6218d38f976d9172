// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's file, initrd and command line into guest RAM; the memory map.
 * Entered from machine_create().
 * No locks: set-up, on the main thread.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "machine.h"

/* Open a regular file for reading, or die naming the option it came from. */
static int open_file(const char *option, const char *path, uint64_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		die("%s %s: %s", option, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die("%s %s: not a regular file", option, path);
	if (!st.st_size)
		die("%s %s: the file is empty", option, path);
	*size = st.st_size;
	return fd;
}

static void read_all(const char *option, const char *path, int fd, uint8_t *to, uint64_t size)
{
	while (size) {
		ssize_t n = read(fd, to, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("%s %s: %s", option, path, n ? strerror(errno) : "it shrank meanwhile");
		to += n;
		size -= n;
	}
	close(fd);
}

uint64_t boot_initrd(struct machine *m, uint64_t lowest, uint64_t end, uint64_t *len)
{
	uint64_t ram_end = m->mem.region[0].gpa + m->mem.region[0].len;
	uint64_t size, addr;
	int fd = open_file("--initrd", m->cfg.initrd, &size);

	if (end > ram_end)
		end = ram_end;
	if (lowest > end || size > end - lowest || ((end - size) & ~0xfffull) < lowest)
		die("--initrd %s: %llu MiB do not fit beside the kernel in --memory %llu MiB",
		    m->cfg.initrd, ((unsigned long long)size + 0xfffff) >> 20,
		    (unsigned long long)m->mem.total >> 20);
	addr = (end - size) & ~0xfffull;
	read_all("--initrd", m->cfg.initrd, fd, mem_ptr(m, addr, size), size);
	*len = size;
	return addr;
}

size_t boot_cmdline(struct machine *m, size_t max)
{
	size_t len = strlen(m->cfg.cmdline);

	if (max > BOOT_CMDLINE_MAX - 1)
		max = BOOT_CMDLINE_MAX - 1;
	if (len > max)
		die("--cmdline: %zu bytes, and this kernel takes %zu", len, max);
	mem_write(m, BOOT_CMDLINE, m->cfg.cmdline, len + 1);
	return len;
}

unsigned int boot_memory_map(struct machine *m, struct boot_range *map)
{
	const struct mem_region *low = &m->mem.region[0], *high = &m->mem.region[1];
	unsigned int n = 0;

	map[n++] = (struct boot_range){ 0, BOOT_EBDA, BOOT_RANGE_RAM };
	map[n++] = (struct boot_range){ BOOT_EBDA, BOOT_HIGH - BOOT_EBDA, BOOT_RANGE_RESERVED };
	map[n++] = (struct boot_range){ BOOT_HIGH, low->len - BOOT_HIGH, BOOT_RANGE_RAM };
	map[n++] = (struct boot_range){ PCI_ECAM_BASE, PCI_ECAM_SIZE, BOOT_RANGE_RESERVED };
	if (m->mem.nr > 1)
		map[n++] = (struct boot_range){ high->gpa, high->len, BOOT_RANGE_RAM };
	return n;
}

void boot_load(struct machine *m, uint64_t rsdp, struct boot_entry *entry)
{
	struct elf_image elf;
	struct bzimage bz;
	const char *why;
	uint64_t size;
	uint8_t *file;
	int fd;

	fd = open_file("--kernel", m->cfg.kernel, &size);
	if (size > m->mem.total)
		die("--kernel %s: larger than --memory", m->cfg.kernel);
	file = malloc(size);
	if (!file)
		die("--kernel %s: out of memory", m->cfg.kernel);
	read_all("--kernel", m->cfg.kernel, fd, file, size);

	if (size >= SELFMAG && !memcmp(file, ELFMAG, SELFMAG)) {
		why = elf_parse(file, size, &elf);
		if (!why)
			elf_load(m, file, &elf, rsdp, entry);
	} else {
		why = bzimage_parse(file, size, &bz);
		if (!why)
			bzimage_load(m, file, &bz, rsdp, entry);
	}
	if (why)
		die("--kernel %s: %s", m->cfg.kernel, why);
	free(file);
}
