// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel file parsers against any bytes: what they accept lies within the file.
 * Entered from libFuzzer.
 * No locks.
 */
#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image elf;
	struct bzimage bz;

	if (!bzimage_parse(data, size, &bz) &&
	    (bz.kernel_offset > size || bz.kernel_len > size - bz.kernel_offset))
		abort();
	if (elf_parse(data, size, &elf))
		return 0;
	if (elf.nr_segments > ELF_SEGMENTS_MAX)
		abort();
	for (unsigned int i = 0; i < elf.nr_segments; i++) {
		if (elf.segment[i].offset > size ||
		    elf.segment[i].filesz > size - elf.segment[i].offset ||
		    elf.segment[i].filesz > elf.segment[i].memsz)
			abort();
	}
	return 0;
}
