// SPDX-License-Identifier: GPL-2.0
/*
 * debug_forced.c - breakpoints and steps of the guest's at instructions whose emulation a prefix
 * forces: the CPU has looked at the prefix alone.
 */

#include "guest.h"
#include "vm.h"

#define DR6_RESET	0xffff0ff0UL
#define RFLAGS_RF	0x10000

static volatile u64 hits, hit_rip, hit_dr6;

static void on_db(struct isr_frame *frame)
{
	hits++;
	hit_rip = frame->rip;
	asm volatile("mov %%dr6, %0" : "=r" (hit_dr6));
	frame->rflags |= RFLAGS_RF;
}

static void on_step(struct isr_frame *frame)
{
	hits++;
	hit_rip = frame->rip;
}

/* Run "mov $0x33, %ecx" by force, with a breakpoint @at bytes behind its start. */
#define FORCED(at, dr7, place, rcx) ({						\
	asm volatile("lea 1f(%%rip), %0\n lea " at "(%0), %%rax\n"		\
		     "mov %%rax, %%dr0\n mov %3, %%dr7\n"			\
		     "ud2\n .ascii \"kvm\"\n 1: mov $0x33, %%ecx\n"		\
		     "mov %2, %%dr7"						\
		     : "=&r" (place), "=&c" (rcx)				\
		     : "r" (0x400UL), "r" ((u64)(dr7)) : "rax", "memory");	\
})

static void guest(void)
{
	u64 place, rcx;

	isr_table[1] = on_db;
	FORCED("0", 0x402, place, rcx);
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(hit_rip, place);
	GUEST_EXPECT_EQ(hit_dr6, DR6_RESET | 1);
	GUEST_EXPECT_EQ(rcx, 0x33);
	FORCED("0", 0x400, place, rcx);			/* off */
	FORCED("0", 0x10402, place, rcx);		/* on writes */
	FORCED("1", 0x402, place, rcx);			/* not at its start */
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(rcx, 0x33);
	guest_done();
}

TEST(breakpoint_behind_the_prefix)
{
	if (!test_force_emulation())
		test_skip("the prefix is not on");
	/* QEMU's TCG keeps a breakpoint on the CPU where it was set, till it is cleared there. */
	stay_on_one_cpu();
	run_done(guest_new(guest));
}

/* POPF sets TF; a second one, by force, clears it: TF was set when that began. */
static void popf_guest(void)
{
	u64 end;

	isr_table[1] = on_step;
	asm volatile("pushf\n pushf\n orq $0x100, (%%rsp)\n lea 1f(%%rip), %0\n popf\n"
		     "ud2\n .ascii \"kvm\"\n popf\n 1: nop\n"
		     : "=r" (end) : : "cc", "memory");
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(hit_rip, end);
	guest_done();
}

TEST(last_step)
{
	if (!on_minihv() || !test_force_emulation())
		test_skip("KVM's emulator takes no step after POPF");
	run_done(guest_new(popf_guest));
}

static void on_entry_step(struct isr_frame *frame)
{
	on_step(frame);
	frame->rflags &= ~0x100UL;
	frame->cs = GUEST_CS64;		/* the GDT has nothing that fits what SYSCALL loads */
	frame->ss = GUEST_DS;
}

/* SYSCALL under TF, by force, to the instruction behind it; the mask of flags is @mask. */
#define SYSCALL(mask, end) ({							\
	wrmsr(0xc0000084, mask);						\
	asm volatile("lea 1f(%%rip), %0\n mov %0, %%rax\n mov %0, %%rdx\n"	\
		     "shr $32, %%rdx\n mov $0xc0000082, %%ecx\n wrmsr\n"	\
		     "pushf\n orq $0x100, (%%rsp)\n popf\n"			\
		     "ud2\n .ascii \"kvm\"\n syscall\n"				\
		     "1: mov %1, %%ss\n pushf\n andq $~0x100, (%%rsp)\n popf"	\
		     : "=&r" (end) : "r" (GUEST_DS)				\
		     : "rax", "rcx", "rdx", "r11", "cc", "memory");		\
})

static void syscall_guest(void)
{
	u64 end;

	isr_table[1] = on_entry_step;
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(0xc0000081, (u64)GUEST_CS64 << 32);
	SYSCALL(0x100, end);
	GUEST_EXPECT_EQ(hits, 0);
	SYSCALL(0, end);
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(hit_rip, end);
	guest_done();
}

TEST(no_step_into_syscall)
{
	if (!test_force_emulation())
		test_skip("the prefix is not on");
	run_done(guest_new(syscall_guest));
}
