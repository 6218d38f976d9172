// SPDX-License-Identifier: GPL-2.0
/*
 * fuzz.c - random numbers, and random code for guests, of which a seed makes the same again.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fuzz.h"
#include "vm.h"

u32 fuzz_rnd(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 11;
}

u64 fuzz_rnd64(u64 *seed)
{
	return (u64)fuzz_rnd(seed) << 32 | fuzz_rnd(seed);
}

/* Instructions that reach the hypervisor; what precedes each gives it operands that matter. */
static const char *const snippets[] = {
	"\x0f\xa2",				/* cpuid */
	"\x0f\x32", "\x0f\x30",			/* rdmsr, wrmsr */
	"\x0f\x01\xd9", "\x0f\x01\xc1",		/* vmmcall, vmcall */
	"\x0f\x01\xd8", "\x0f\x01\xda", "\x0f\x01\xdb",	/* vmrun, vmload, vmsave */
	"\x0f\x01\xdc", "\x0f\x01\xdd",		/* stgi, clgi */
	"\x0f\x01\xd1", "\x0f\x01\xd0",		/* xsetbv, xgetbv */
	"\xf4", "\xfb\xf4", "\xf3\x90",		/* hlt, sti hlt, pause */
	"\x0f\x08", "\x0f\x09",			/* invd, wbinvd */
	"\x0f\x20\xc0", "\x0f\x22\xc0", "\x0f\x22\xd8", "\x0f\x22\xe0",	/* mov cr */
	"\x44\x0f\x20\xc0", "\x44\x0f\x22\xc0",	/* cr8 */
	"\x0f\x21\xf8", "\x0f\x23\xf8", "\x0f\x23\xc0", "\x0f\x23\xf0",	/* mov dr */
	"\x0f\x06", "\x0f\x01\xf0", "\x0f\x01\x38",	/* clts, lmsw, invlpg */
	"\x0f\x01\x10", "\x0f\x01\x18", "\x0f\x00\xd8", "\x0f\x00\xd0",	/* lgdt lidt ltr lldt */
	"\xec", "\xee", "\xed", "\xef", "\x66\xed", "\x66\xef",	/* in, out */
	"\xf3\x6c", "\xf3\x6e", "\xf3\x6d", "\xf3\x6f",	/* rep ins, outs */
	"\xf3\xa4", "\xf3\x48\xa5", "\xf3\xaa", "\xf3\x48\xab", "\xf3\xa6", "\xf2\xae",	/* rep */
	"\x89\x07", "\x8b\x06", "\x48\x89\x07", "\x88\x07", "\x8a\x06",	/* mov [rdi], [rsi] */
	"\xf0\x01\x07", "\xf0\x0f\xb1\x0f", "\xf0\x0f\xc7\x0f", "\x87\x07",	/* locked */
	"\x0f\x10\x06", "\x0f\x11\x07", "\xf3\x0f\x6f\x06", "\x0f\xe7\x07",	/* vectors */
	"\x0f\xb6\x06", "\x0f\xbe\x06", "\xff\x37", "\x8f\x07", "\xff\x17", "\xff\x27",
	"\xcc", "\xcd\x80", "\xcd\x02", "\xcd\x08", "\xf1", "\xcf", "\x48\xcf",	/* events */
	"\x0f\x0b", "\x0f\x05", "\x0f\x07", "\x0f\x34", "\x0f\x35",
	"\x9c", "\x9d", "\xfa", "\xfb", "\x8e\xd0", "\x8e\xd8", "\x8e\xc0",
	"\x0f\x01\xc8", "\x0f\x01\xc9", "\x0f\xae\x07", "\x0f\xae\x0f", "\x0f\xc7\x27",
	"\xf3\x0f\xae\xd0", "\x0f\x01\xf8", "\x0f\x01\xf9", "\x0f\x31", "\x0f\x33",
	"\xeb\xfe", "\xe2\xfe",			/* loops */
};

static const u32 msrs[] = {
	0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x49, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x1a0, 0x1d9, 0x200,
	0x277, 0x2ff, 0x400, 0x401, 0x6e0, 0x800, 0x802, 0x808, 0x80b, 0x80d, 0x80f, 0x828, 0x830,
	0x832, 0x838, 0x839, 0x83e, 0x83f, 0xda0, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084,
	0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xc0000104, 0xc0010015, 0xc0010114,
	0xc0010117, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x11, 0x12,
};

static const u16 ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x7e, 0x80, 0x3f8,
};

u64 fuzz_addr(u64 *seed)
{
	static const u64 odd[] = {
		0xfee00000, 0xfee00080, 0xfee000b0, 0xfee000f0, 0xfee00300, 0xfee00310, 0xfee00320,
		0xfee00380, 0xfee003e0, 0xfec00000, 0xfec00010, FUZZ_HOLE,
		FUZZ_HOLE + 0xffd, FUZZ_MEM_SIZE - 3,
		0, 0xfff, 0xffffffff, ~0ULL, 0x7fffffffffff, 0xffff800000000000, 0x800000000000,
		0xa0000, 0xfffffffd,
	};
	u32 x = fuzz_rnd(seed);

	return x % 3 ? odd[(x >> 4) % ARRAY_SIZE(odd)] : fuzz_rnd(seed) % FUZZ_MEM_SIZE;
}

/* mov reg, imm64 (or imm32): what the next instruction works with. */
static u8 *emit_operand(u8 *at, u64 *seed, int lng)
{
	u32 x = fuzz_rnd(seed);
	u64 value;
	u8 reg;

	switch (x % 6) {
	case 0:
		reg = 1;
		value = x & 64 ? msrs[(x >> 8) % ARRAY_SIZE(msrs)] : fuzz_rnd(seed);
		break;
	case 1:
		reg = 2;
		value = ports[(x >> 8) % ARRAY_SIZE(ports)];
		break;
	case 2:
		reg = 6 + (x >> 8 & 1);
		value = fuzz_addr(seed);
		break;
	case 3:
		reg = 0;
		value = x & 64 ? fuzz_rnd64(seed) : 1ULL << (x >> 8 & 63);
		break;
	case 4:
		reg = 0;		/* an ICR, a control register */
		value = x & 64 ? 0xc4500 | (x >> 8 & 0x7ff) : 0x80050033 ^ (1U << (x >> 8 & 31));
		break;
	default:
		reg = 1;
		value = x & 64 ? ~0ULL : x >> 8 & 0xffff;
		break;
	}
	if (lng)
		*at++ = 0x48;
	*at++ = 0xb8 + reg;
	memcpy(at, &value, lng ? 8 : 4);
	return at + (lng ? 8 : 4);
}

void fuzz_code(u8 *at, size_t size, u64 *seed, int lng)
{
	u8 *end = at + size - 32;

	while (at < end) {
		u32 x = fuzz_rnd(seed);

		if (x % 16 == 0) {
			*at++ = x >> 8;
		} else if (x % 16 < 8) {
			at = emit_operand(at, seed, lng);
		} else {
			const char *s = snippets[(x >> 4) % ARRAY_SIZE(snippets)];
			size_t n = strlen(s);

			/* What loops for ever is rare, or nothing else would be met. */
			if (!memcmp(s, "\xeb\xfe", 2) && fuzz_rnd(seed) % 64)
				continue;
			memcpy(at, s, n);
			at += n;
		}
	}
}

void fuzz_spare_vm(int vm_fd)
{
	static u8 none[1];
	struct kvm_msr_filter filter = { .ranges[0] = {
		.flags = KVM_MSR_FILTER_WRITE, .nmsrs = 1, .base = MSR_EFER, .bitmap = none,
	} };
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args[0] = KVM_MSR_EXIT_REASON_FILTER
	};

	if (!getenv("MHV_NO_LME"))
		return;
	if (ioctl(vm_fd, KVM_ENABLE_CAP, &cap) || ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter))
		printf("# no filter of MSRs: %s\n", strerror(errno));
}

void fuzz_spare_vcpu(int fd)
{
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, .arch.debugreg[7] = 0x400,
	};

	if (getenv("MHV_NO_BREAKPOINTS"))
		ioctl(fd, KVM_SET_GUEST_DEBUG, &debug);
}
