/* SPDX-License-Identifier: GPL-2.0 */
#ifndef MHV_SELFTEST_FUZZ_H
#define MHV_SELFTEST_FUZZ_H

#include <stddef.h>

#include "guest.h"

#define FUZZ_MEM_SIZE	0x400000UL	/* of the guest, at 0; code all over it */
#define FUZZ_HOLE	0x10000000UL	/* where no memory is: MMIO */

/**
 * fuzz_rnd(), fuzz_rnd64() - the next number; @seed is not 0, and becomes another
 */
u32 fuzz_rnd(u64 *seed);
u64 fuzz_rnd64(u64 *seed);

/**
 * fuzz_addr() - an address that means something: a device, an end of memory, somewhere in it
 */
u64 fuzz_addr(u64 *seed);

/**
 * fuzz_code() - fill @size bytes with instructions that reach the hypervisor, and others
 * @at: where
 * @size: more than 32; the last 32 may stay as they are
 * @seed: of the numbers
 * @lng: for 64-bit mode
 */
void fuzz_code(u8 *at, size_t size, u64 *seed, int lng);

/**
 * fuzz_spare_vm() - if $MHV_NO_LME is set, no guest sets EFER.LME by itself
 * @vm_fd: the VM, which gets a filter: writes of EFER end KVM_RUN with KVM_EXIT_X86_WRMSR
 *
 * QEMU's TCG loses its host at an exit of a guest that has LME set, and neither paging nor PAE on.
 */
void fuzz_spare_vm(int vm_fd);

/**
 * fuzz_spare_vcpu() - if $MHV_NO_BREAKPOINTS is set, the guest's breakpoints are not the CPU's
 * @fd: the vCPU, which gets a debugger, who has none
 *
 * TCG ends itself when a breakpoint on data hits while it delivers an interrupt.
 */
void fuzz_spare_vcpu(int fd);

#endif
