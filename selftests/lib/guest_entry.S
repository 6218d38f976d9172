/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guest_entry.S - interrupt entries of the long-mode guest, and an AP's way into long mode.
 * Entered by the guest's IDT, and by SIPI with vector AP_TRAMPOLINE >> 12.
 * No locks. AMD APM vol. 2, "Exceptions and Interrupts", "Processor Initialization and
 * Long Mode Activation".
 */

/* Where vm.h has them. */
#define GDT		0x80000
#define IDT		0x81000
#define PML4		0x90000
#define STACKS		0x100000
#define STACK_SHIFT	14
#define CS32		0x08
#define DS		0x10
#define CS64		0x18
#define TR		0x30
#define AP		0x8000

	.text
	.code64

/* One entry of 16 bytes for each vector; the CPU pushes an error code for some. */
	.globl	isr_entries
	.balign	16
isr_entries:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	isr_common
	.set	vector, vector + 1
	.endr

isr_common:
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$-16, %rsp
	call	isr_dispatch
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp
	iretq

	.globl	sti_hlt, sti_hlt_sleeps
sti_hlt:
	sti
sti_hlt_sleeps:
	hlt
	cli
	ret

/* Copied to AP; CS is AP >> 4 and IP is 0. */
	.globl	ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	ap_gdt - ap_trampoline
	lidtl	ap_idt - ap_trampoline
	mov	$0x33, %eax			/* NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmpl	$CS32, $AP + (1f - ap_trampoline)
	.code32
/* A CPU may refuse to go to long mode with the 16-bit TSS that TR has from reset. */
1:	mov	$DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	$1, %eax
	cpuid
	shr	$24, %ebx			/* the initial APIC id */
	mov	%ebx, %edi
	lea	1(%ebx), %esp
	shl	$STACK_SHIFT, %esp
	add	$STACKS, %esp
	shl	$4, %ebx
	add	$TR, %ebx
	andb	$~2, GDT + 5(%ebx)		/* not busy, if this CPU was here before */
	ltr	%bx
	mov	%cr4, %eax
	or	$0x620, %eax			/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$PML4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x900, %eax			/* EFER.LME, EFER.NXE */
	wrmsr
	mov	$0x80010033, %eax		/* PG, WP, and as before */
	mov	%eax, %cr0
	ljmpl	$CS64, $AP + (2f - ap_trampoline)
	.code64
2:	mov	$ap_main, %eax
	call	*(%rax)
3:	cli
	hlt
	jmp	3b
	.balign	8
ap_gdt:	.word	0xfff
	.long	GDT
ap_idt:	.word	0xfff
	.long	IDT
ap_trampoline_end:

	.section .note.GNU-stack, "", @progbits
