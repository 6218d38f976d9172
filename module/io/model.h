/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the pure device models (pic.c, ioapic.c, pit.c) include.
 * They run in the kernel, in KUnit, and compiled natively in userspace.
 * No locks: whoever joins a model to a VM serialises the calls.
 * Registers are laid out as <linux/kvm.h> saves and restores them.
 */
#ifndef MHV_MODEL_H
#define MHV_MODEL_H

#ifdef __KERNEL__
#include <linux/bits.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#define BIT(n)		(1UL << (n))
#define BIT_ULL(n)	(1ULL << (n))
#define array_index_nospec(index, size)	(index)
#endif

#include <linux/kvm.h>

#endif /* MHV_MODEL_H */
