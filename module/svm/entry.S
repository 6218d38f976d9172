/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back.  Called by svm_run() with interrupts and GIF off.
 * No locks.  AMD APM volume 2, "VMRUN Instruction" and "#VMEXIT".
 */
#include "../entry_common.S"

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
	PUSH_CALLERS
	push %rcx		/* STACK_SPEC */
	push %rdi		/* STACK_VMCB */
	push %rdx		/* STACK_HOST */
	push %rsi		/* STACK_GPR */

	SPEC_CTRL_TO_GUEST

	mov %rdi, %rax
1:	vmload %rax

	LOAD_GPRS %rsi

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
	STORE_GPRS

	mov STACK_VMCB(%rsp), %rax
3:	vmsave %rax
	mov STACK_HOST(%rsp), %rax
4:	vmload %rax

	/* Before the first RET: the guest has filled the return stack. */
	FILL_RETURN_STACK X86_FEATURE_RETPOLINE

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

	CLEAR_GPRS
	xor %ebx, %ebx

	add $32, %rsp
	POP_CALLERS
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
