/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back.  Called by vmx_run() with interrupts off.
 * No locks.  Intel SDM volume 3, "VM Entries" and "VM Exits".
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>

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

#define STACK_GPR	0
#define STACK_SPEC	8

#define VMCS_HOST_RSP	0x6c14	/* HOST_RSP of <asm/vmx.h>, which is C */

.section .noinstr.text, "ax"

/*
 * bool vmx_enter(u64 *gpr, u64 *host_rsp, bool launched, u32 spec_ctrl)
 *
 * RSP, RIP, RFLAGS, segments, control registers are switched by the entry and
 * the exit; the general registers here; the rest by C code before and after.
 * An exit goes on at vmx_after_exit, whose address is in the VMCS.
 *
 * Returns 0 after an exit; 1 if the entry instruction failed, so that there
 * was none: VM_INSTRUCTION_ERROR says why, or VMX is off.
 */
SYM_FUNC_START(vmx_enter)
	push %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
	push %rcx		/* STACK_SPEC */
	push %rdi		/* STACK_GPR */
	mov %edx, %ebx

	/* This thread's stack, seldom another one than the VMCS has. */
	cmp (%rsi), %rsp
	je .Lrsp_done
	mov %rsp, (%rsi)
	mov $VMCS_HOST_RSP, %eax
1:	vmwrite %rsp, %rax
.Lrsp_done:

	/*
	 * The guest's IA32_SPEC_CTRL.  From here to the entry no return and no
	 * indirect branch: they could be predicted with the guest's setting.
	 */
	ALTERNATIVE "jmp .Lspec_in_done", "", X86_FEATURE_MSR_SPEC_CTRL
	mov %ecx, %eax
	cmp PER_CPU_VAR(x86_spec_ctrl_current), %eax
	je .Lspec_in_done
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_in_done:

	mov STACK_GPR(%rsp), %rax
	bt $0, %ebx		/* CF: launched before; no MOV changes it */
	mov RCX(%rax), %rcx
	mov RDX(%rax), %rdx
	mov RBX(%rax), %rbx
	mov RBP(%rax), %rbp
	mov RSI(%rax), %rsi
	mov RDI(%rax), %rdi
	mov R8(%rax), %r8
	mov R9(%rax), %r9
	mov R10(%rax), %r10
	mov R11(%rax), %r11
	mov R12(%rax), %r12
	mov R13(%rax), %r13
	mov R14(%rax), %r14
	mov R15(%rax), %r15
	mov RAX(%rax), %rax

	/* Buffers that a guest could sample (MDS and its kin); changes ZF only. */
	CLEAR_CPU_BUFFERS

	jnc .Lvmlaunch
	/* What comes after it is not reached from here, as far as objtool sees. */
	UNWIND_HINT_SAVE
2:	vmresume
	jmp .Lfailed
.Lvmlaunch:
3:	vmlaunch
	jmp .Lfailed

SYM_INNER_LABEL(vmx_after_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push %rax
	mov 8 + STACK_GPR(%rsp), %rax
	pop RAX(%rax)
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
	xor %ebx, %ebx

.Lcommon:
	/* No value of the guest's is left for speculation to use. */
	xor %eax, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	xor %ebp, %ebp
	xor %esi, %esi
	xor %edi, %edi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	xor %r12d, %r12d
	xor %r13d, %r13d
	xor %r14d, %r14d
	xor %r15d, %r15d

	/* Before the first RET: the guest has filled the return stack. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	/*
	 * The guest cannot have changed SPEC_CTRL: its writes exit.  With IBRS
	 * as it first was, the write itself is what protects the host.
	 */
	ALTERNATIVE "jmp .Lspec_out_done", "", X86_FEATURE_MSR_SPEC_CTRL
	mov PER_CPU_VAR(x86_spec_ctrl_current), %eax
	ALTERNATIVE "", "jmp .Lspec_out_write", X86_FEATURE_KERNEL_IBRS
	cmp STACK_SPEC(%rsp), %eax
	je .Lspec_out_done
.Lspec_out_write:
	mov $MSR_IA32_SPEC_CTRL, %ecx
	xor %edx, %edx
	wrmsr
.Lspec_out_done:
	ALTERNATIVE "", "lfence", X86_FEATURE_LFENCE_RDTSC

#ifdef X86_FEATURE_CLEAR_BHB_LOOP
	/* The guest has filled the branch history as well. */
	CLEAR_BRANCH_HISTORY_VMEXIT
#endif

	mov %ebx, %eax
	add $16, %rsp
	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET

	/* A crash or reboot on another CPU has switched VMX off under us. */
.Lfailed:
	mov $1, %ebx
	jmp .Lcommon

	_ASM_EXTABLE(1b, .Lrsp_done)
	_ASM_EXTABLE(2b, .Lfailed)
	_ASM_EXTABLE(3b, .Lfailed)
SYM_FUNC_END(vmx_enter)
