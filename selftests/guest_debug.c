// SPDX-License-Identifier: GPL-2.0
/*
 * guest_debug.c - KVM_SET_GUEST_DEBUG: software breakpoints exit to userspace, single steps go
 * one instruction at a time, out of HLT too, and without it the guest has its own #BP and #DB.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

static volatile u32 own_bp;
static volatile u64 own_rip;

static void on_bp(struct isr_frame *frame)
{
	own_rip = frame->rip;
	own_bp++;
}

extern u8 bp_here[], step_from[], step_1[], step_2[], step_3[];

static void guest(void)
{
	u64 a = 0, c = 0, d = 0;

	isr_table[3] = on_bp;
	/* So that IDT and stack are mapped: a delivery cut short has INT3 executed anew. */
	GUEST_TRY("ud2", a, c, d);
	guest_sync(0);
	asm volatile(".globl bp_here, step_from, step_1, step_2, step_3\n"
		     "bp_here: int3\n"
		     "step_from: nop\n step_1: xor %%eax, %%eax\n step_2: cpuid\n step_3: nop"
		     : : : "eax", "ebx", "ecx", "edx");
	guest_sync(own_bp);
	guest_done();
}

static int debug(struct vcpu *vcpu, u32 control)
{
	struct kvm_guest_debug d = { .control = control };

	return ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d);
}

TEST(without)
{
	struct vcpu *vcpu = guest_new(guest);

	run_sync(vcpu);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

/* There is room for one exception. */
TEST(one_to_inject)
{
	struct vcpu *vcpu = guest_new(guest);

	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP), 0);
	EXPECT_ERRNO(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP), EBUSY);
	EXPECT_ERRNO(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_DB), EBUSY);
}

extern u8 dr_access[];

static void dr_guest(void)
{
	u64 val;

	guest_sync(0);
	asm volatile(".globl dr_access\ndr_access: mov %%dr0, %0" : "=r" (val));
	guest_sync(1);
	guest_done();
}

/*
 * GD in the debugger's DR7: an access to a debug register exits before it is made. KVM has that on
 * VMX alone.
 */
TEST(debug_register)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg[7] = 0x400 | BIT(13),
	};
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	vcpu = guest_new(dr_guest);
	run_sync(vcpu);
	ASSERT_RET(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d), 0);
	expect_exit(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu->run->debug.arch.exception, 1);
	EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)dr_access);
	EXPECT_EQ(vcpu->run->debug.arch.dr6, 0xffff0ff0 | BIT(13));
	EXPECT_EQ(vcpu->run->debug.arch.dr7, 0x400 | BIT(13));
	ASSERT_RET(debug(vcpu, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

/*
 * QEMU's emulated CPU (7.2) does not intercept the #BP of INT3. It can be told by the error code
 * that it gives for INT n through a bad gate: n * 16 + 2, where any other CPU has n * 8 + 2.
 */
static void gate_guest(void)
{
	u64 a = 0, c = 0, d = 0;

	GUEST_TRY("int $0x85", a, c, d);
	guest_sync(guest_fault.error);
}

static int int3_exits(void)
{
	struct vcpu *vcpu = guest_new(gate_guest);

	((u64 *)(vcpu->vm->ram + GUEST_IDT))[2 * 0x85] &= ~(0xfULL << 40);
	return run_sync(vcpu) != 0x85 * 16 + 2;
}

TEST(software_breakpoint)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	if (!int3_exits())
		test_skip("the CPU does not intercept INT3");
	vcpu = guest_new(guest);
	run_sync(vcpu);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP), 0);
	expect_exit(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu->run->debug.arch.exception, 3);
	EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)bp_here);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, (uintptr_t)bp_here);
	/* Userspace steps over it; the guest has not seen it. */
	regs.rip++;
	vcpu_set_regs(vcpu, &regs);
	EXPECT_EQ(run_sync(vcpu), 0);
	run_done(vcpu);
}

/* A breakpoint that is none of the debugger's goes to the guest: it returns behind its INT3. */
TEST(the_guests_own)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;
	int exits;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	exits = int3_exits();
	vcpu = guest_new(guest);
	run_sync(vcpu);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP), 0);
	if (exits) {
		expect_exit(vcpu, KVM_EXIT_DEBUG);
	} else {
		vcpu_finish_io(vcpu);
		vcpu_get_regs(vcpu, &regs);
		regs.rip = (uintptr_t)bp_here;
		vcpu_set_regs(vcpu, &regs);
	}
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			       KVM_GUESTDBG_INJECT_BP), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(guest_var(vcpu->vm, own_rip), (uintptr_t)bp_here + 1);
	run_done(vcpu);
}

extern u8 prefixed_bp[];

static void prefixed_guest(void)
{
	u64 a = 0, c = 0, d = 0;

	isr_table[3] = on_bp;
	GUEST_TRY("ud2", a, c, d);
	guest_sync(0);
	asm volatile(".globl prefixed_bp\nprefixed_bp: .byte 0x3e\n int3");
	guest_sync(own_bp);
	guest_done();
}

/* The same with a prefix, which the CPU skips over: the INT3 is two bytes. */
TEST(the_guests_own_with_a_prefix)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	if (!int3_exits())
		test_skip("the CPU does not intercept INT3");
	vcpu = guest_new(prefixed_guest);
	run_sync(vcpu);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP), 0);
	expect_exit(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)prefixed_bp);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			       KVM_GUESTDBG_INJECT_BP), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(guest_var(vcpu->vm, own_rip), (uintptr_t)prefixed_bp + 2);
	run_done(vcpu);
}

#define NESTED_STACK	(GUEST_FREE + 0x11030)

extern u8 nested_bp[], nested_int[], nested_end[];
static volatile u64 nested_rip, nested_stack;

static void nested_guest(void)
{
	u64 a = 0, c = 0, d = 0;

	GUEST_TRY("ud2", a, c, d);
	*(volatile u64 *)NESTED_STACK = 0;
	guest_sync(0);
	asm volatile(".globl nested_bp, nested_int, nested_end\n"
		     "nested_bp: int3\n"
		     "hlt\n"
		     "nested_int: int $0x81\n"
		     "hlt\n"
		     "nested_end: mov %%rsp, %0\n"
		     "mov (%%rsp), %%rax\n"
		     "mov %%rax, %1"
		     : "=m" (nested_stack), "=m" (nested_rip) : : "rax", "memory");
	guest_sync(1);
	guest_done();
}

static void set_gate(struct vm *vm, unsigned int vector, const u8 *handler)
{
	u64 *gate = (u64 *)(vm->ram + GUEST_IDT + vector * 16);
	u64 at = (uintptr_t)handler;

	gate[0] = (gate[0] & 0x0000ffffffff0000) | (at & 0xffff) | (at >> 16 & 0xffff) << 48;
	gate[1] = at >> 32;
}

/*
 * The handler of an injected #BP begins with an INT n, of which the delivery is cut short by a page
 * that the host has yet to map: it is the handler's instruction that is executed anew.
 */
TEST(in_the_handler)
{
	struct kvm_regs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	vcpu = guest_new(nested_guest);
	set_gate(vcpu->vm, 3, nested_int);
	set_gate(vcpu->vm, 0x81, nested_end);
	/* Split before the guest runs, should it be a huge page: the upper half stays mapped. */
	vcpu->vm->ram[NESTED_STACK] = 0;
	ASSERT_RET(madvise(vcpu->vm->ram + NESTED_STACK - 0x1030, 0x1000, MADV_DONTNEED), 0);
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = (uintptr_t)nested_bp;
	/* Five words for the #BP, the next five in the page below. */
	regs.rsp = NESTED_STACK;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
			       KVM_GUESTDBG_INJECT_BP), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(guest_var(vcpu->vm, nested_stack), NESTED_STACK - 0x30 - 0x28);
	EXPECT_EQ(guest_var(vcpu->vm, nested_rip), (uintptr_t)nested_int + 2);
	run_done(vcpu);
}

TEST(single_step)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;
	const u8 *const stops[] = { step_1, step_2, step_3 };

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	need_step();
	vcpu = guest_new(guest);
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = (uintptr_t)step_from;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP), 0);
	/* CPUID, which exits, is one step like the others. */
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		expect_exit(vcpu, KVM_EXIT_DEBUG);
		EXPECT_EQ(vcpu->run->debug.arch.exception, 1);
		EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)stops[i]);
		EXPECT_EQ(vcpu->run->debug.arch.dr6 & BIT(14), BIT(14));
	}
	ASSERT_RET(debug(vcpu, 0), 0);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rflags & BIT(8), 0);
	EXPECT_EQ(run_sync(vcpu), 0);
	run_done(vcpu);
}

static volatile u32 taken;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	taken++;
	apic_write(APIC_EOI, 0);
}

extern u8 halt[], halt_1[], halt_2[];

static void halting_guest(void)
{
	isr_table[0x40] = on_irq;
	apic_enable();
	sti();
	guest_sync(0);
	asm volatile(".globl halt, halt_1, halt_2\n"
		     "halt: hlt\n halt_1: nop\n halt_2: nop");
	guest_sync(taken);
	guest_done();
}

/*
 * A step with interrupts blocked, as a debugger makes it, out of HLT: an interrupt ends the halt
 * all the same, and is taken once they are not blocked any more.
 */
TEST(step_out_of_halt)
{
	const u32 step = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
	struct kvm_msi msi = { .address_lo = APIC_BASE, .data = 0x40 };
	const u8 *const stops[] = { halt_1, halt_2 };
	struct vcpu *vcpu;
	struct kvm_regs regs;

	if (!(dev_cap(KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		test_skip("no KVM_GUESTDBG_BLOCKIRQ");
	need_step();
	vcpu = guest_new_irqchip(halting_guest);
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = (uintptr_t)halt;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RET(debug(vcpu, step), 0);
	xioctl(vcpu->vm->fd, KVM_SIGNAL_MSI, &msi);
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		expect_exit(vcpu, KVM_EXIT_DEBUG);
		EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)stops[i]);
	}
	EXPECT_EQ(guest_var(vcpu->vm, taken), 0);
	ASSERT_RET(debug(vcpu, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

extern u8 after_sti[];

static void sti_guest(void)
{
	guest_sync(0);
	asm volatile(".globl after_sti\ncli\n sti\n after_sti: nop\n nop\n cli");
	guest_done();
}

/* Behind an STI, too, a step is an instruction. */
TEST(step_in_a_shadow)
{
	struct kvm_vcpu_events e;
	struct kvm_regs regs;
	struct vcpu *vcpu;

	need_step();
	vcpu = guest_new(sti_guest);
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = (uintptr_t)after_sti;
	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	ASSERT_RET(debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP), 0);
	for (int n = 1; n <= 2; n++) {
		expect_exit(vcpu, KVM_EXIT_DEBUG);
		EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)after_sti + n);
	}
	ASSERT_RET(debug(vcpu, 0), 0);
	run_done(vcpu);
}

/*
 * The debugger's breakpoint on an instruction: before it, and told to him alone. He then moves it
 * further.
 */
TEST(hardware_breakpoint)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [0] = (uintptr_t)step_1, [7] = 0x402 },
	};
	struct kvm_debugregs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	if (getenv("SVM_HOST"))
		test_skip("QEMU's emulated SVM has no breakpoints for a guest");
	stay_on_one_cpu();
	vcpu = guest_new(guest);
	run_sync(vcpu);
	ASSERT_RET(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d), 0);
	expect_exit(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu->run->debug.arch.exception, 1);
	EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)step_1);
	EXPECT_EQ(vcpu->run->debug.arch.dr6 & 0xf, 1);
	EXPECT_EQ(vcpu->run->debug.arch.dr7 & 0xff, 2);
	d.arch.debugreg[0] = 0;
	d.arch.debugreg[3] = (uintptr_t)step_3;
	d.arch.debugreg[7] = 0x480;
	ASSERT_RET(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d), 0);
	expect_exit(vcpu, KVM_EXIT_DEBUG);
	EXPECT_EQ(vcpu->run->debug.arch.pc, (uintptr_t)step_3);
	EXPECT_EQ(vcpu->run->debug.arch.dr6 & 0xf, 8);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	EXPECT_EQ(regs.db[0] | regs.db[3], 0);
	EXPECT_EQ(regs.dr7, 0x400);
	ASSERT_RET(debug(vcpu, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

GUEST_ASM(user_dr, 64, "mov %rax, %dr0\n ud2");
GUEST_ASM(user_dr4, 64, "mov %rax, %db4\n hlt");
#define USER_VA	0x8000000000ULL

static void on_fault(struct isr_frame *frame)
{
	guest_sync(frame->vector);
	guest_done();
}

static void user_guest(void)
{
	isr_table[6] = on_fault;
	isr_table[13] = on_fault;
	asm volatile("push %0\n push %1\n push $2\n push %2\n push %3\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_VA + 0x1000), "r" ((u64)GUEST_UCS64),
			 "r" (USER_VA));
}

/* While a debugger has the debug registers, too, ring 3 may not write one. */
TEST(debug_register_in_ring3)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg[7] = 0x400,
	};
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	vcpu = guest_new(user_guest);
	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_dr);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	ASSERT_RET(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d), 0);
	EXPECT_EQ(run_sync(vcpu), 13);
}

/* Nor one that there is not, by CR4.DE: that comes first. */
TEST(debug_register_4_in_ring3)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg[7] = 0x400,
	};
	struct kvm_sregs sregs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_SET_GUEST_DEBUG);
	if (getenv("SVM_HOST"))
		test_skip("QEMU looks at the privilege level first");
	vcpu = guest_new(user_guest);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= BIT(3);
	vcpu_set_sregs(vcpu, &sregs);
	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_dr4);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	ASSERT_RET(ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &d), 0);
	EXPECT_EQ(run_sync(vcpu), 6);
}
