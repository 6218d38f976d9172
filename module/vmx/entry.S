/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Into the guest and back.  Called by vmx_run() with interrupts off.
 * No locks.  Intel SDM volume 3, "VM Entries" and "VM Exits".
 */
#include <asm/unwind_hints.h>

#include "../entry_common.S"

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
	PUSH_CALLERS
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

	SPEC_CTRL_TO_GUEST

	mov STACK_GPR(%rsp), %rax
	bt $0, %ebx		/* CF: launched before; no MOV changes it */
	LOAD_GPRS %rax
	mov RSI(%rax), %rsi
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
	STORE_GPRS
	xor %ebx, %ebx

.Lcommon:
	CLEAR_GPRS
	xor %eax, %eax

	/* Before the first RET: the guest has filled the return stack. */
	FILL_RETURN_STACK X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

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
	POP_CALLERS
	RET

	/* A crash or reboot on another CPU has switched VMX off under us. */
.Lfailed:
	mov $1, %ebx
	jmp .Lcommon

	_ASM_EXTABLE(1b, .Lrsp_done)
	_ASM_EXTABLE(2b, .Lfailed)
	_ASM_EXTABLE(3b, .Lfailed)
SYM_FUNC_END(vmx_enter)
