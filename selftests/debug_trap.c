// SPDX-License-Identifier: GPL-2.0
/*
 * debug_trap.c - the guest single-steps its own code by RFLAGS.TF: one #DB after each instruction,
 * with RIP behind it and DR6.BS, also where the instruction exits and somebody else carries it out.
 */
#include "guest.h"
#include "vm.h"

#define RFLAGS_TF	0x100
#define DR6_BS		BIT(14)
#define DR6_RESET	0xffff0ff0UL
#define PORT		"0x510"
#define MMIO		0x1800000UL
#define PIC_MASK	"0x21"
#define MAX_STEPS	32

static struct {
	u64 rip, dr6;
} step[MAX_STEPS];
static u64 steps, last;

/* Each step is noted; at the last one TF is cleared. */
static void on_db(struct isr_frame *frame)
{
	if (steps < MAX_STEPS) {
		step[steps].rip = frame->rip;
		asm volatile("mov %%dr6, %0" : "=r" (step[steps].dr6));
	}
	steps++;
	asm volatile("mov %0, %%dr6" : : "r" (DR6_RESET));
	if (frame->rip == last || steps >= MAX_STEPS)
		frame->rflags &= ~(u64)RFLAGS_TF;
}

/*
 * Step through @insns, each of which ends with "P", which notes where the next begins. places[] is
 * RIP after each.
 */
#define P	"\n 999: .pushsection .rodata\n .quad 999b\n .popsection\n"
#define STEPS(name, insns)							\
	extern const u64 name##_places[], name##_places_end[];			\
	static void name(void)							\
	{									\
		u64 count = name##_places_end - name##_places, i;		\
										\
		isr_table[1] = on_db;						\
		asm volatile("mov %0, %%dr6" : : "r" (DR6_RESET));		\
		last = name##_places[count - 1];				\
		asm volatile(".pushsection .rodata\n .balign 8\n"		\
			     ".globl " #name "_places\n" #name "_places:\n"	\
			     ".popsection\n"					\
			     "pushf\n orl $0x100, (%%rsp)\n popf\n"		\
			     insns						\
			     ".pushsection .rodata\n"				\
			     ".globl " #name "_places_end\n"			\
			     #name "_places_end:\n .popsection"			\
			     : : "D" (MMIO), "S" (APIC_BASE)			\
			     : "rax", "rbx", "rcx", "rdx", "memory", "cc");	\
		GUEST_EXPECT_EQ(steps, count);					\
		for (i = 0; i < count; i++) {					\
			GUEST_EXPECT_EQ(step[i].rip, name##_places[i]);		\
			GUEST_EXPECT_EQ(step[i].dr6, DR6_RESET | DR6_BS);	\
		}								\
		guest_done();							\
	}

#define KERNEL_STEPS							\
	"nop" P								\
	"xor %%eax, %%eax" P						\
	"cpuid" P							\
	"mov $0x10, %%ecx" P						\
	"rdmsr" P							\
	"mov $0xc0000082, %%ecx" P					\
	"wrmsr" P							\
	"mov %%cr0, %%rax" P						\
	"mov %%rax, %%cr0" P						\
	"mov %%cr4, %%rax" P						\
	"mov %%rax, %%cr4" P						\
	"clts" P							\
	"invlpg (%%rdi)" P						\
	"wbinvd" P							\
	"mov $0x12345, %%eax" P						\
	"vmmcall" P							\
	"nop" P

STEPS(kernel_guest, KERNEL_STEPS)

TEST(carried_out_by_the_kernel)
{
	need_step();
	run_done(guest_new(kernel_guest));
}

#define USER_STEPS							\
	"mov $" PORT ", %%edx" P					\
	"in %%dx, %%eax" P						\
	"nop" P								\
	"mov (%%rdi), %%eax" P						\
	"nop" P

STEPS(user_guest, USER_STEPS)

TEST(carried_out_by_userspace)
{
	struct vcpu *vcpu;

	need_step();
	vcpu = guest_new(user_guest);
	expect_exit(vcpu, KVM_EXIT_IO);
	expect_mmio(vcpu, 0, MMIO, 4);
	run_done(vcpu);
}

/* KVM 6.1 forgets the #DB of an instruction whose last access is a write that userspace serves. */
#define WRITE_STEPS							\
	"mov $" PORT ", %%edx" P					\
	"out %%al, %%dx" P						\
	"nop" P								\
	"mov %%eax, (%%rdi)" P						\
	"nop" P								\
	"addl $1, (%%rdi)" P						\
	"nop" P

STEPS(write_guest, WRITE_STEPS)

TEST(written_to_userspace)
{
	struct vcpu *vcpu;

	need_step();
	vcpu = guest_new(write_guest);
	expect_exit(vcpu, KVM_EXIT_IO);
	expect_mmio(vcpu, 1, MMIO, 4);
	memset(expect_mmio(vcpu, 0, MMIO, 4), 0, 4);
	EXPECT_EQ(*(u32 *)expect_mmio(vcpu, 1, MMIO, 4), 1);
	run_done(vcpu);
}

#define CHIP_STEPS							\
	"in $" PIC_MASK ", %%al" P					\
	"out %%al, $" PIC_MASK P					\
	"mov 0x30(%%rsi), %%eax" P					\
	"mov 0x80(%%rsi), %%eax" P					\
	"mov %%eax, 0x80(%%rsi)" P					\
	"mov %%cr8, %%rax" P						\
	"mov %%rax, %%cr8" P						\
	"nop" P

STEPS(chip_guest, CHIP_STEPS)

TEST(carried_out_by_the_irqchip)
{
	need_step();
	run_done(guest_new_irqchip(chip_guest));
}

/* The step after a load of SS comes with the next instruction's. */
#define SHADOW_STEPS							\
	"mov %%ss, %%eax" P						\
	"mov %%eax, %%ss\n cpuid" P					\
	"mov %%ss, %%eax" P						\
	"mov %%eax, %%ss\n nop" P					\
	"nop" P

STEPS(shadow_guest, SHADOW_STEPS)

TEST(after_a_load_of_ss)
{
	need_step();
	run_done(guest_new(shadow_guest));
}

/* An exit is no end of that shadow: the page is new to the host, and the access is repeated. */
#define EXIT_STEPS							\
	"mov %%ss, %%eax" P						\
	"mov %%eax, %%ss\n mov %%eax, 0xc00000" P			\
	"mov %%eax, %%ss\n mov 0xe00000, %%ebx" P			\
	"nop" P

STEPS(exit_guest, EXIT_STEPS)

TEST(exit_after_a_load_of_ss)
{
	need_step();
	run_done(guest_new(exit_guest));
}

extern u8 restored[];

static void restored_guest(void)
{
	isr_table[1] = on_db;
	guest_sync(0);
	asm volatile(".globl restored\nrestored: nop\n nop\n nop" : : : "memory");
	guest_sync(1);
	GUEST_EXPECT_EQ(steps, 2);
	GUEST_EXPECT_EQ(step[0].rip, (u64)restored + 1);
	GUEST_EXPECT_EQ(step[0].dr6, DR6_RESET | DR6_BS);
	GUEST_EXPECT_EQ(step[1].rip, (u64)restored + 2);
	guest_done();
}

/* As when a vCPU is saved behind the load of SS: the first step is the instruction behind it. */
TEST(restored_behind_a_load_of_ss)
{
	struct vcpu *vcpu = guest_new(restored_guest);
	struct kvm_vcpu_events e;
	struct kvm_regs regs;

	need_step();
	if (!on_minihv() && guest_cpuid(1, 0).c & BIT(5))
		test_skip("KVM's entry is refused");
	guest_var(vcpu->vm, last) = (u64)restored + 2;
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = (u64)restored;
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(vcpu, &regs);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	e.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

static volatile u64 int1s, int1_rip, no_int1;
extern u8 int1_end[];

static void on_int1(struct isr_frame *frame)
{
	int1_rip = frame->rip;
	if (++int1s > 1)
		frame->rip = (u64)int1_end;
}

static void on_no_int1(struct isr_frame *frame)
{
	no_int1 = frame->vector;
	frame->rip = (u64)int1_end;
}

static void int1_guest(void)
{
	isr_table[1] = on_int1;
	isr_table[6] = on_no_int1;
	isr_table[13] = on_no_int1;
	asm volatile("mov %%ss, %%eax\n mov %%eax, %%ss\n .byte 0xf1\n"
		     ".globl int1_end\nint1_end: nop" : : : "rax", "memory");
	guest_sync(no_int1);
	GUEST_EXPECT_EQ(int1s, 1);
	GUEST_EXPECT_EQ(int1_rip, (u64)int1_end);
	guest_done();
}

/* INT1 is no fault: its handler returns behind it. */
TEST(int1)
{
	struct vcpu *vcpu = guest_new(int1_guest);

	if (run_sync(vcpu))
		test_skip("the CPU has no INT1");
	run_done(vcpu);
}
