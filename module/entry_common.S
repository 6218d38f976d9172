/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the backends' entry.S share: the guest's general registers, which neither
 * kind of CPU switches, and its IA32_SPEC_CTRL.
 */
#ifndef MHV_ENTRY_H
#define MHV_ENTRY_H

#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>

/* Offsets in gpr[], which is indexed as instructions encode registers. */
#define RAX	(0 * 8)
#define RCX	(1 * 8)
#define RDX	(2 * 8)
#define RBX	(3 * 8)
#define RBP	(5 * 8)
#define RSI	(6 * 8)
#define RDI	(7 * 8)
#define R8	(8 * 8)
#define R9	(9 * 8)
#define R10	(10 * 8)
#define R11	(11 * 8)
#define R12	(12 * 8)
#define R13	(13 * 8)
#define R14	(14 * 8)
#define R15	(15 * 8)

/* The registers that belong to the caller of a C function. */
.macro PUSH_CALLERS
	push %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
.endm

.macro POP_CALLERS
	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
.endm

/* All but RAX, RSI and RSP; changes no flag. */
.macro LOAD_GPRS gpr:req
	mov RCX(\gpr), %rcx
	mov RDX(\gpr), %rdx
	mov RBX(\gpr), %rbx
	mov RBP(\gpr), %rbp
	mov RDI(\gpr), %rdi
	mov R8(\gpr), %r8
	mov R9(\gpr), %r9
	mov R10(\gpr), %r10
	mov R11(\gpr), %r11
	mov R12(\gpr), %r12
	mov R13(\gpr), %r13
	mov R14(\gpr), %r14
	mov R15(\gpr), %r15
.endm

/* All but RAX, which has their address, and RSP. */
.macro STORE_GPRS
	mov %rcx, RCX(%rax)
	mov %rdx, RDX(%rax)
	mov %rbx, RBX(%rax)
	mov %rbp, RBP(%rax)
	mov %rsi, RSI(%rax)
	mov %rdi, RDI(%rax)
	mov %r8, R8(%rax)
	mov %r9, R9(%rax)
	mov %r10, R10(%rax)
	mov %r11, R11(%rax)
	mov %r12, R12(%rax)
	mov %r13, R13(%rax)
	mov %r14, R14(%rax)
	mov %r15, R15(%rax)
.endm

/*
 * All but RAX, RBX and RSP: no value of the guest's is left for speculation, not
 * even in those that are about to be popped.
 */
.macro CLEAR_GPRS
	xor %ecx, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %edi, %edi
	xor %ebp, %ebp
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d
.endm

/*
 * The guest's IA32_SPEC_CTRL, which ECX has, where the CPU does not switch it.
 * From here to the entry no return and no indirect branch: they could be
 * predicted with the guest's setting.  Clobbers EAX, ECX and EDX.
 */
.macro SPEC_CTRL_TO_GUEST
	ALTERNATIVE_2 "jmp .Lspec_in_done_\@", \
		"", X86_FEATURE_MSR_SPEC_CTRL, \
		"jmp .Lspec_in_done_\@", X86_FEATURE_V_SPEC_CTRL
	mov %ecx, %eax
	cmp PER_CPU_VAR(x86_spec_ctrl_current), %eax
	je .Lspec_in_done_\@
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_in_done_\@:
.endm

/*
 * Overwrite what the guest left in the return stack, before the first RET, as
 * the kernel's FILL_RETURN_BUFFER does, but without its loop: that is half of
 * the instructions, on each exit.  With @ftr2 one entry is enough.
 */
.macro FILL_RETURN_STACK ftr:req ftr2=ALT_NOT(X86_FEATURE_ALWAYS)
	ALTERNATIVE_2 "jmp .Lfilled_\@", "", \ftr, "jmp .Lfill_one_\@", \ftr2
	.rept RSB_CLEAR_LOOPS - 1
	__FILL_RETURN_SLOT
	.endr
	add $8 * (RSB_CLEAR_LOOPS - 1), %rsp
.Lfill_one_\@:
	__FILL_RETURN_SLOT
	add $8, %rsp
	lfence		/* no RET ahead of the calls, by speculation */
#ifdef CREDIT_CALL_DEPTH
	CREDIT_CALL_DEPTH
#endif
.Lfilled_\@:
.endm

#endif /* MHV_ENTRY_H */
