/* SPDX-License-Identifier: GPL-2.0 */
/*
 * mmio_insns_guest.S - instructions with a memory operand, a row each: the accesses it makes
 * (r or w and the length of each), the flags that are defined after it, the instruction.
 * RBX, RBP+0x10, R12 and R13 point to the operand, RSI 0x20 and RDI 0x40 beyond it,
 * RCX is 3, R8 0x10, R14 -8, CF is set.
 */
	.set	ALL, 0x8d5		/* OF SF ZF AF PF CF */
	.set	NOAF, 0x8c5
	.set	NOOF, 0x0c5		/* shifts by more than one */
	.set	CFONLY, 0x001
	.set	CFOF, 0x801
	.set	ZFONLY, 0x040
	.set	NONE, 0

	.macro	row	accesses, mask, insn
	.pushsection .rodata.str
91:	.asciz	"\insn"
92:	.asciz	"\accesses"
	.popsection
	.pushsection .rodata.code
93:	\insn
94:
	.popsection
	.quad	91b, 92b, 93b, 94b - 93b, \mask
	.endm

	.set	IMAGE, 52		/* 8 bytes each */

	/* The same after zeroes for FXSAVE's image; STORES and LOADS of 8 bytes. */
	.macro	image	stores, loads, insn
	.pushsection .rodata.str
91:	.asciz	"\insn"
92:	.rept	\stores
	.ascii	"w8"
	.endr
	.rept	\loads
	.ascii	"r8"
	.endr
	.asciz	""
	.popsection
	.pushsection .rodata.code
93:	xorl	%eax, %eax
	movl	$IMAGE, %ecx
	movq	%rbx, %rdi
	rep stosq
	\insn
94:
	.popsection
	.quad	91b, 92b, 93b, 94b - 93b, ALL
	.endm

	.section .rodata
	.globl	insn_rows, insn_rows_end, more_rows_end
	.balign	8
insn_rows:
	/* MOV, each direction, width and encoding */
	row	"r1", ALL, "movb (%rbx), %al"
	row	"r2", ALL, "movw (%rbx), %ax"
	row	"r4", ALL, "movl (%rbx), %eax"
	row	"r8", ALL, "movq (%rbx), %rax"
	row	"r1", ALL, "movb (%rbx), %ch"
	row	"r1", ALL, "movb (%rbx), %sil"
	row	"r1", ALL, "movb (%rbx), %r15b"
	row	"r4", ALL, "movl (%rbx), %r9d"
	row	"w1", ALL, "movb %cl, (%rbx)"
	row	"w1", ALL, "movb %dh, (%rbx)"
	row	"w1", ALL, "movb %dil, (%rbx)"
	row	"w2", ALL, "movw %r9w, (%rbx)"
	row	"w4", ALL, "movl %edx, (%rbx)"
	row	"w8", ALL, "movq %r9, (%rbx)"
	row	"w1", ALL, "movb $0x5a, (%rbx)"
	row	"w2", ALL, "movw $0x5a5b, (%rbx)"
	row	"w4", ALL, "movl $0x5a5b5c5d, (%rbx)"
	row	"w8", ALL, "movq $-2, (%rbx)"
	row	"r1", ALL, "movabsb 0x8000000800, %al"
	row	"r4", ALL, "movabsl 0x8000000801, %eax"
	row	"r8", ALL, "movabsq 0x8000000802, %rax"
	row	"w2", ALL, "movabsw %ax, 0x8000000803"
	row	"w8", ALL, "movabsq %rax, 0x8000000804"
	row	"w4", ALL, "movnti %edx, (%rbx)"
	row	"w2", ALL, "movw %ds, (%rbx)"
	row	"r1", ALL, "movzbl (%rbx), %eax"
	row	"r1", ALL, "movzbw (%rbx), %ax"
	row	"r1", ALL, "movzbq (%rbx), %r9"
	row	"r2", ALL, "movzwl (%rbx), %eax"
	row	"r2", ALL, "movzwq (%rbx), %rax"
	row	"r1", ALL, "movsbl 0x70(%rbx), %eax"
	row	"r1", ALL, "movsbq 0x70(%rbx), %rax"
	row	"r2", ALL, "movswl 0x70(%rbx), %eax"
	row	"r2", ALL, "movswq 0x70(%rbx), %rax"
	row	"r4", ALL, "movslq 0x70(%rbx), %rax"

	/* addressing */
	row	"r4", ALL, "movl 8(%rbx), %eax"
	row	"r4", ALL, "movl -0x400(%rbx), %eax"
	row	"r4", ALL, "movl 0x10(%rbp), %eax"
	row	"r4", ALL, "movl (%r12), %eax"
	row	"r4", ALL, "movl (%r13), %eax"
	row	"r4", ALL, "movl (%rbx,%rcx,8), %eax"
	row	"r4", ALL, "movl 0x12(%rbp,%r8,2), %eax"
	row	"r4", ALL, "movl (%r12,%r14,4), %eax"
	row	"r4", ALL, "movl -0x20(%r13,%r8), %eax"
	row	"r4", ALL, "movl -0x780(%rip), %eax"
	row	"w4", ALL, "movl $0x12345678, -0x790(%rip)"
	row	"w1", ALL, "movb $0x77, -0x790(%rip)"
	row	"r4", ALL, "movl %fs:(%r8), %eax"
	row	"r4", ALL, "movl %gs:0x20, %eax"
	row	"w8", ALL, "movq %rdx, %gs:(%rcx,%rcx,4)"

	/* arithmetic and logic */
	row	"r1w1", ALL, "addb %al, (%rbx)"
	row	"r2w2", ALL, "addw %ax, (%rbx)"
	row	"r4w4", ALL, "addl %eax, (%rbx)"
	row	"r8w8", ALL, "addq %rax, (%rbx)"
	row	"r1", ALL, "addb (%rbx), %al"
	row	"r8", ALL, "addq (%rbx), %rax"
	row	"r4w4", NOAF, "orl %edx, (%rbx)"
	row	"r4", NOAF, "orl (%rbx), %edx"
	row	"r4w4", ALL, "adcl %edx, (%rbx)"
	row	"r8", ALL, "adcq (%rbx), %rdx"
	row	"r4w4", ALL, "sbbl %edx, (%rbx)"
	row	"r2", ALL, "sbbw (%rbx), %dx"
	row	"r1w1", NOAF, "andb %dl, (%rbx)"
	row	"r4", NOAF, "andl (%rbx), %edx"
	row	"r4w4", ALL, "subl %edx, (%rbx)"
	row	"r4", ALL, "subl (%rbx), %edx"
	row	"r8w8", NOAF, "xorq %rdx, (%rbx)"
	row	"r4", NOAF, "xorl (%rbx), %edx"
	row	"r1", ALL, "cmpb %dl, (%rbx)"
	row	"r4", ALL, "cmpl (%rbx), %edx"
	row	"r4", ALL, "cmpl $0x14111111, (%rbx)"
	row	"r8", ALL, "cmpq $-5, (%rbx)"
	row	"r4w4", ALL, "addl $0x12345678, (%rbx)"
	row	"r4w4", NOAF, "orl $-2, (%rbx)"
	row	"r1w1", NOAF, "andb $0x0f, (%rbx)"
	row	"r2w2", ALL, "subw $0x1234, (%rbx)"
	row	"r8w8", NOAF, "xorq $0x7fffffff, (%rbx)"
	row	"r1", NOAF, "testb $0x10, (%rbx)"
	row	"r4", NOAF, "testl $0x80000000, (%rbx)"
	row	"r4", NOAF, "testl %edx, (%rbx)"
	row	"r8", NOAF, "testq %rdx, (%rbx)"
	row	"r4w4", ALL, "incl (%rbx)"
	row	"r1w1", ALL, "decb (%rbx)"
	row	"r8w8", ALL, "notq (%rbx)"
	row	"r4w4", ALL, "negl (%rbx)"
	row	"r4w4", ALL, "lock incl (%rbx)"
	row	"r4w4", NOAF, "lock orl $0x100, (%rbx)"
	row	"r8w8", ALL, "lock addq %rdx, (%rbx)"

	/* shifts, bits */
	row	"r4w4", NOAF, "shll (%rbx)"
	row	"r1w1", NOAF, "shrb (%rbx)"
	row	"r8w8", NOAF, "sarq (%rbx)"
	row	"r4w4", NOOF, "shll $5, (%rbx)"
	row	"r4w4", NOOF, "shrl %cl, (%rbx)"
	row	"r2w2", CFOF, "rolw (%rbx)"
	row	"r4w4", CFONLY, "rorl $7, (%rbx)"
	row	"r4w4", CFOF, "rcll (%rbx)"
	row	"r4w4", CFONLY, "rcrl %cl, (%rbx)"
	row	"r4w4", NOOF, "shldl $4, %edx, (%rbx)"
	row	"r8w8", NOOF, "shrdq %cl, %rdx, (%rbx)"
	row	"r4", CFONLY, "btl $3, (%rbx)"
	row	"r4w4", CFONLY, "btsl $31, (%rbx)"
	row	"r8w8", CFONLY, "btrq $33, (%rbx)"
	row	"r4w4", CFONLY, "btcl $1, (%rbx)"
	row	"r4", CFONLY, "movl $100, %edx; btl %edx, (%rbx)"
	row	"r4w4", CFONLY, "movl $-40, %edx; btsl %edx, (%rbx)"
	row	"r4w4", CFONLY, "lock btsl $2, (%rbx)"
	row	"r4", ZFONLY, "bsfl (%rbx), %eax"
	row	"r8", ZFONLY, "bsrq (%rbx), %rax"
	row	"r1", ALL, "setc %al; movb (%rbx), %cl"
	row	"w1", ALL, "setc (%rbx)"
	row	"w1", ALL, "setnc (%rbx)"
	row	"r4", ALL, "cmovcl (%rbx), %eax"
	row	"r4", ALL, "cmovncl (%rbx), %eax"

	/* multiplication, division */
	row	"r1", CFOF, "mulb (%rbx)"
	row	"r4", CFOF, "mull (%rbx)"
	row	"r8", CFOF, "mulq (%rbx)"
	row	"r4", CFOF, "imull (%rbx)"
	row	"r4", CFOF, "imull (%rbx), %edx"
	row	"r4", CFOF, "imull $0x123, (%rbx), %edx"
	row	"r2", CFOF, "imulw $5, (%rbx), %dx"
	row	"r4", NONE, "xorl %edx, %edx; divl (%rbx)"
	row	"r8", NONE, "xorl %edx, %edx; divq (%rbx)"
	row	"r4", NONE, "cltd; idivl (%rbx)"
	row	"r1", NONE, "movw $200, %ax; divb (%rbx)"

	/* exchange */
	row	"r1w1", ALL, "xchgb %al, (%rbx)"
	row	"r4w4", ALL, "xchgl %edx, (%rbx)"
	row	"r8w8", ALL, "xchgq %r9, (%rbx)"
	row	"r4w4", ALL, "xaddl %edx, (%rbx)"
	row	"r8w8", ALL, "lock xaddq %rdx, (%rbx)"
	row	"r4w4", ALL, "cmpxchgl %edx, (%rbx)"
	row	"r4w4", ALL, "movl $0x1a171411, %eax; lock cmpxchgl %edx, (%rbx)"
	row	"r8w8", ZFONLY, "lock cmpxchg8b (%rbx)"

	/* stack, jumps, strings */
	row	"r8", ALL, "pushq (%rbx)"
	row	"w8", ALL, "popq (%rbx)"
	row	"r8", ALL, "jmp *-8(%rsi); ud2; nop"
	row	"r1w1", ALL, "movsb"
	row	"r2w2", ALL, "movsw"
	row	"r4w4", ALL, "movsl"
	row	"r8w8", ALL, "movsq"
	row	"w1", ALL, "stosb"
	row	"w8", ALL, "stosq"
	row	"r1", ALL, "lodsb"
	row	"r4", ALL, "lodsl"
	row	"r1", ALL, "scasb"
	row	"r4", ALL, "scasl"
	row	"r1r1", ALL, "cmpsb"
	row	"r8r8", ALL, "cmpsq"
	row	"r4w4", ALL, "std; movsl; cld"
	row	"w2", ALL, "std; stosw; cld"
	row	"r1", ALL, "movb $4, %al; xlatb"

	/* SSE and MMX moves, as drivers and C libraries use them on device memory */
	row	"r8r8", ALL, "movups (%rbx), %xmm0"
	row	"w8w8", ALL, "movups %xmm1, (%rbx)"
	row	"r8r8", ALL, "movaps (%rbx), %xmm9"
	row	"w8w8", ALL, "movaps %xmm1, (%rbx)"
	row	"r8r8", ALL, "movdqu 4(%rbx), %xmm0"
	row	"w8w8", ALL, "movdqu %xmm1, 4(%rbx)"
	row	"r8r8", ALL, "movdqa (%rbx), %xmm0"
	row	"w8w8", ALL, "movdqa %xmm1, (%rbx)"
	row	"w8w8", ALL, "movntdq %xmm1, (%rbx)"
	row	"w8w8", ALL, "movntps %xmm1, (%rbx)"
insn_rows_end:

	/* What KVM's emulator does not know. */
	row	"r4", ALL, "movbel (%rbx), %eax"
	row	"w8", ALL, "movbeq %rdx, (%rbx)"
	row	"r4", ALL, "crc32l (%rbx), %eax"
	row	"r4", ALL, "popcntl (%rbx), %eax"
	row	"r8r8w8w8", ALL, "lock cmpxchg16b (%rbx)"
	row	"w8w8r8r8w8w8", ALL, "movq %rax, (%rbx); movq %rdx, 8(%rbx); cmpxchg16b (%rbx)"
	row	"r4w4r4w4r4w4", ALL, "rep movsl"
	row	"w8w8w8", ALL, "rep stosq"
	row	"r1r1r1", ALL, "movb 1(%rdi), %al; repne scasb"
	row	"r2r2", ALL, "repe cmpsw"

	/* the stack on a device */
	row	"w8r8", ALL, "movq %rbx, %rsp; pushq %rdx; popq %rax"
	row	"w8r8", ALL, "movq %rbx, %rsp; pushfq; popfq"
	row	"w8", ALL, "movq %rbx, %rsp; enter $16, $0"
	row	"r8", ALL, "movq %rbx, %rbp; leave"
	row	"w8r8", ALL, "movq %rbx, %rsp; call 1f; jmp 2f; 1: ret; 2:"
	row	"w2", ALL, "movq %rbx, %rsp; pushw %dx"

	/* segments and tables */
	row	"w2r2", ALL, "movw %ds, (%rbx); movw (%rbx), %es"
	row	"w4w2r6", ALL, "movl $0x1234, (%rbx); movw %ds, 4(%rbx); lfs (%rbx), %eax"
	row	"w8w2w8w2", ALL, "sgdt (%rbx); sidt 0x10(%rbx)"
	row	"w8w2r8r2", ALL, "sgdt (%rbx); lgdt (%rbx)"
	row	"w8w2r8r2", ALL, "sidt (%rbx); lidt (%rbx)"
	row	"w2w2", ALL, "str (%rbx); sldt 2(%rbx)"
	row	"w2r2", ALL, "movw $0, (%rbx); lldt (%rbx)"
	row	"w2r2", ALL, "smsw (%rbx); lmsw (%rbx)"
	row	"w2r2", ZFONLY, "movw %ds, (%rbx); verw (%rbx)"
	row	"w2r2", NONE, "movw %ds, (%rbx); larw (%rbx), %ax"

	/* control words of the x87 and of SSE */
	row	"w2", ALL, "fnstcw (%rbx)"
	row	"w2", ALL, "fnstsw (%rbx)"
	row	"w2r2", ALL, "movw $0x27f, (%rbx); fldcw (%rbx)"
	row	"w4", ALL, "stmxcsr (%rbx)"
	row	"w4r4", ALL, "movl $0x1fa0, (%rbx); ldmxcsr (%rbx)"
	/* Over zeroes: QEMU's TCG leaves as it was what it does not know. */
	image	2*IMAGE, 0, "fxsave (%rbx)"
	image	2*IMAGE, IMAGE, "fxsave (%rbx); movaps %xmm3, %xmm5; fxrstor (%rbx)"
more_rows_end:

	.section .note.GNU-stack, "", @progbits
