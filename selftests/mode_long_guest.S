/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mode_long_guest.S - the kernel's side of SYSCALL: gives RDI + 1 back, and ends on 0x77.
 */
	.text
	.globl	syscall_entry
syscall_entry:
	cmp	$0x77, %edi
	je	1f
	inc	%edi
	sysretq
1:	lea	stack_top(%rip), %rsp
	jmp	user_done

	.bss
	.balign	16
	.space	4096
stack_top:
	.space	8			/* as after a call */

	.section .note.GNU-stack, "", @progbits
