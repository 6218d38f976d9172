/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back.  Called by svm_run() with interrupts and GIF off.
 * No locks.  AMD APM volume 2, "VMRUN Instruction" and "#VMEXIT".
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>

/* Offsets in gpr[], which is indexed as instructions encode registers. */
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

#define STACK_GPR	0
#define STACK_HOST	8
#define STACK_VMCB	16
#define STACK_SPEC	24

.section .noinstr.text, "ax"

/*
 * void svm_enter(u64 vmcb_pa, u64 *gpr, u64 host_pa, u32 spec_ctrl)
 *
 * RAX, RSP, RIP and RFLAGS are switched by VMRUN itself; FS, GS, TR, LDTR and
 * the system-call MSRs by VMLOAD and VMSAVE; the rest here.  The GS base is
 * the guest's from the first VMLOAD to the last: no per-CPU variable and no
 * stack protector in between.
 */
SYM_FUNC_START(svm_enter)
	push %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
	push %rcx		/* STACK_SPEC */
	push %rdi		/* STACK_VMCB */
	push %rdx		/* STACK_HOST */
	push %rsi		/* STACK_GPR */

	/*
	 * The guest's IA32_SPEC_CTRL, where the CPU does not switch it.  From
	 * here to VMRUN no return and no indirect branch: they could be
	 * predicted with the guest's setting.
	 */
	ALTERNATIVE_2 "jmp .Lspec_in_done", \
		"", X86_FEATURE_MSR_SPEC_CTRL, \
		"jmp .Lspec_in_done", X86_FEATURE_V_SPEC_CTRL
	mov %ecx, %eax
	cmp PER_CPU_VAR(x86_spec_ctrl_current), %eax
	je .Lspec_in_done
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_in_done:

	mov %rdi, %rax
1:	vmload %rax

	mov RCX(%rsi), %rcx
	mov RDX(%rsi), %rdx
	mov RBX(%rsi), %rbx
	mov RBP(%rsi), %rbp
	mov RDI(%rsi), %rdi
	mov R8(%rsi), %r8
	mov R9(%rsi), %r9
	mov R10(%rsi), %r10
	mov R11(%rsi), %r11
	mov R12(%rsi), %r12
	mov R13(%rsi), %r13
	mov R14(%rsi), %r14
	mov R15(%rsi), %r15

	/* Buffers that a guest could sample (TSA); changes ZF only. */
#ifdef VM_CLEAR_CPU_BUFFERS
	VM_CLEAR_CPU_BUFFERS
#endif

	/*
	 * RFLAGS.IF of the host decides whether host interrupts make the guest
	 * exit (V_INTR_MASKING); GIF is clear, so none is taken before VMRUN.
	 * VMRUN must not be the next instruction: CPUs take STI's shadow for the
	 * guest's if it exits before it has executed an instruction.
	 */
	sti
	mov RSI(%rsi), %rsi
2:	vmrun %rax
	cli

	mov STACK_GPR(%rsp), %rax
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

	mov STACK_VMCB(%rsp), %rax
3:	vmsave %rax
	mov STACK_HOST(%rsp), %rax
4:	vmload %rax

	/* Before the first RET: the guest has filled the return stack. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE

	/* The guest cannot have changed SPEC_CTRL: its writes exit. */
	ALTERNATIVE_2 "jmp .Lspec_out_done", \
		"", X86_FEATURE_MSR_SPEC_CTRL, \
		"jmp .Lspec_out_done", X86_FEATURE_V_SPEC_CTRL
	mov PER_CPU_VAR(x86_spec_ctrl_current), %eax
	cmp STACK_SPEC(%rsp), %eax
	je .Lspec_out_done
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_out_done:

	/* Zen 1 and 2 predict returns from what the guest trained. */
	UNTRAIN_RET

#ifdef X86_FEATURE_IBPB_ON_VMEXIT
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif

	/* No value of the guest's is left for speculation to use. */
	xor %ecx, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %edi, %edi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d

	add $32, %rsp
	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET

	/*
	 * A crash or reboot on another CPU has switched SVM off under us: each
	 * of the four then faults and is stepped over.  The exit code that
	 * svm_run() laid down before says that no exit happened.
	 */
.Lskip_vmload:
	jmp 1b + 3
.Lskip_vmrun:
	jmp 2b + 3
.Lskip_vmsave:
	jmp 3b + 3
.Lskip_vmload_host:
	jmp 4b + 3

	_ASM_EXTABLE(1b, .Lskip_vmload)
	_ASM_EXTABLE(2b, .Lskip_vmrun)
	_ASM_EXTABLE(3b, .Lskip_vmsave)
	_ASM_EXTABLE(4b, .Lskip_vmload_host)
SYM_FUNC_END(svm_enter)
