// SPDX-License-Identifier: GPL-2.0
/*
 * host_state.c - what a guest does to its registers stays in it: after exits, and after a guest
 * that never came back by itself, the host process has its own MSRs, segments and FPU.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "guest.h"
#include "vm.h"

static void spoil(void)
{
	u64 garbage = 0x00007abcdef01230;

	wrmsr(0xc0000081, 0x0033002200000000);	/* STAR */
	wrmsr(0xc0000082, garbage);		/* LSTAR */
	wrmsr(0xc0000083, garbage);		/* CSTAR */
	wrmsr(0xc0000084, 0x700);		/* SFMASK */
	wrmsr(0xc0000100, garbage);		/* FS_BASE */
	wrmsr(0xc0000101, garbage);		/* GS_BASE */
	wrmsr(0xc0000102, garbage);		/* KERNEL_GS_BASE */
	wrmsr(0x174, 0x33);			/* SYSENTER */
	wrmsr(0x175, garbage);
	wrmsr(0x176, garbage);
	wrmsr(0x277, 0);			/* PAT: all uncached */
	asm volatile("fninit\n fldpi\n pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm15, %%xmm15" : :
		     : "memory");
	asm volatile("mov %0, %%dr0\n mov %0, %%dr1" : : "r" (garbage));
	asm volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs" : : "r" (0));
}

static void guest(void)
{
	for (;;) {
		spoil();
		guest_sync(0);
	}
}

static void spin_guest(void)
{
	spoil();
	for (;;)
		cpu_pause();
}

static u64 fs_base(void)
{
	u64 base;

	/* The first word of a thread's control block is its own address. */
	asm volatile("mov %%fs:0, %0" : "=r" (base));
	return base;
}

static u32 cpu_by_rdtscp(void)
{
	u32 a, d, c;

	asm volatile("rdtscp" : "=a" (a), "=d" (d), "=c" (c));
	return c & 0xfff;
}

static void expect_own_state(u64 own_fs, u32 mxcsr)
{
	unsigned int cpu;
	u64 xmm0, xmm15;
	u32 now;
	u16 fcw;

	asm volatile("movq %%xmm0, %0\n movq %%xmm15, %1" : "=r" (xmm0), "=r" (xmm15));
	asm volatile("stmxcsr %0\n fnstcw %1" : "=m" (now), "=m" (fcw));
	EXPECT_EQ(xmm0, 0x1234);
	EXPECT_EQ(xmm15, 0x5678);
	EXPECT_EQ(now, mxcsr);
	EXPECT_EQ(fcw, 0x37f);
	EXPECT_EQ(fs_base(), own_fs);
	EXPECT_EQ(syscall(SYS_getpid), getpid());
	/* TSC_AUX has the CPU's number, which the vDSO relies on. */
	syscall(SYS_getcpu, &cpu, NULL, NULL);
	EXPECT_EQ(cpu_by_rdtscp(), cpu);
}

static void set_own_state(void)
{
	asm volatile("movq %0, %%xmm0\n movq %1, %%xmm15" : : "r" (0x1234UL), "r" (0x5678UL));
}

static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	ASSERT_RET(sched_setaffinity(0, sizeof(set), &set), 0);
}

TEST(after_exits)
{
	struct vcpu *vcpu = guest_new(guest);
	u64 own_fs = fs_base();
	struct kvm_sregs sregs;
	u32 mxcsr;

	stay_on_one_cpu();
	asm volatile("stmxcsr %0" : "=m" (mxcsr));
	for (int i = 0; i < 20; i++) {
		set_own_state();
		expect_exit(vcpu, KVM_EXIT_IO);
		expect_own_state(own_fs, mxcsr);
	}
	/* And the guest has its own. */
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.gs.base, 0);		/* by the load of a null selector */
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000102), 0x00007abcdef01230);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000082), 0x00007abcdef01230);
}

static void nothing(int signal)
{
	(void)signal;
}

static void *kick(void *thread)
{
	usleep(50000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

TEST(after_a_signal)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	struct sigaction sa = { .sa_handler = nothing };
	pthread_t me = pthread_self(), other;
	u64 own_fs = fs_base();
	u32 mxcsr;

	stay_on_one_cpu();
	sigaction(SIGUSR1, &sa, NULL);
	asm volatile("stmxcsr %0" : "=m" (mxcsr));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(pthread_create(&other, NULL, kick, &me), 0);
		set_own_state();
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
		ASSERT_EQ(pthread_join(other, NULL), 0);
		set_own_state();
		expect_own_state(own_fs, mxcsr);
	}
}
