// SPDX-License-Identifier: GPL-2.0
/*
 * host_state.c - what a guest does to its registers stays in it: after exits, and after a guest
 * that never came back by itself, the host process has its own MSRs, segments, FPU, breakpoints
 * and control of speculation; and none of them reaches the guest.
 */
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
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
	wrmsr_try(0xc0000103, 0x5a5);		/* TSC_AUX, if there is RDTSCP */
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

/*
 * KVM_RUN with a selector in FS whose descriptor (a user's data) has another base than FS. What the
 * base is after it; it is as before once this returns, as libc needs it.
 */
static u64 run_with_fs(struct vcpu *vcpu, u64 *before)
{
	u64 after, ret = SYS_ioctl;

	asm volatile("rdfsbase %%rbx\n mov $0x2b, %%ecx\n mov %%ecx, %%fs\n wrfsbase %%rbx\n"
		     "syscall\n rdfsbase %%rdx\n"
		     "xor %%ecx, %%ecx\n mov %%ecx, %%fs\n wrfsbase %%rbx"
		     : "=b" (*before), "+a" (ret), "=d" (after)
		     : "D" ((u64)vcpu->fd), "S" ((u64)KVM_RUN), "d" (0UL)
		     : "rcx", "r11", "memory");
	EXPECT_EQ(ret, 0);
	return after;
}

TEST(selector_in_fs)
{
	struct vcpu *vcpu = guest_new(guest);
	u64 before, after;

	if (!(getauxval(AT_HWCAP2) & BIT(1)))
		test_skip("no FSGSBASE");
	for (int i = 0; i < 3; i++) {
		after = run_with_fs(vcpu, &before);
		if (after != before && !on_minihv())
			test_skip("KVM loses the base on VMX");
		EXPECT_EQ(after, before);
	}
}

static sigjmp_buf no_tsc;

static void on_segv(int signal)
{
	(void)signal;
	siglongjmp(no_tsc, 1);
}

static int can_read_tsc(void)
{
	if (sigsetjmp(no_tsc, 1))
		return 0;
	(void)rdtsc();
	return 1;
}

/* A bit of the host's CR4 that changes between two runs of a vCPU. */
TEST(time_stamp_disabled)
{
	struct vcpu *vcpu = guest_new(guest);
	struct sigaction sa = { .sa_handler = on_segv };

	stay_on_one_cpu();
	sigaction(SIGSEGV, &sa, NULL);
	for (int i = 0; i < 4; i++) {
		ASSERT_RET(prctl(PR_SET_TSC, i & 1 ? PR_TSC_SIGSEGV : PR_TSC_ENABLE), 0);
		EXPECT_EQ(can_read_tsc(), !(i & 1));
		expect_exit(vcpu, KVM_EXIT_IO);
		EXPECT_EQ(can_read_tsc(), !(i & 1));
	}
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

/* ---- debug registers: the guest and the host each watch the same address of their own ---- */

/* Writes of 4 bytes. */
#define DR7_WATCH0	(BIT(0) | BIT(1) | BIT(8) | BIT(9) | 1 << 16 | 3 << 18)

static volatile u32 watched;
static volatile u64 traps;

static void on_trap(struct isr_frame *frame)
{
	(void)frame;
	traps++;
	asm volatile("mov %0, %%dr6" : : "r" (0xffff0ff0UL));
}

/* Alternately with its own breakpoint on, and off; the host's may never be seen. */
static void watching_guest(void)
{
	u64 dr7;

	isr_table[1] = on_trap;
	for (u64 i = 0;; i++) {
		asm volatile("mov %0, %%dr7" : : "r" (i & 1 ? DR7_WATCH0 | BIT(10) : BIT(10)));
		asm volatile("mov %0, %%dr0" : : "r" (&watched));
		traps = 0;
		watched = i;
		guest_sync(traps);
		asm volatile("mov %%dr7, %0" : "=r" (dr7));
		GUEST_EXPECT_EQ(dr7, i & 1 ? DR7_WATCH0 | BIT(10) : BIT(10));
	}
}

/* QEMU forgets what is watched when a guest is entered and left, and ends with a fault. */
static int emulated_by_qemu(void)
{
	struct cpuid_regs r = guest_cpuid(0x40000000, 0);

	return guest_cpuid(1, 0).c >> 31 && r.b == 0x54474354;		/* "TCGTCGTCGTCG" */
}

static void run_watching_guest(int counter)
{
	struct vcpu *vcpu = guest_new(watching_guest);
	u64 count, before;

	if (emulated_by_qemu())
		test_skip("QEMU does not survive it");
	for (int i = 0; i < 20; i++) {
		if (counter >= 0)
			ASSERT_EQ(read(counter, &before, 8), 8);
		/* A trap of the guest's here would be a SIGTRAP, and the end. */
		EXPECT_EQ(run_sync(vcpu), i & 1);
		watched = i;
		if (counter < 0)
			continue;
		ASSERT_EQ(read(counter, &count, 8), 8);
		EXPECT_EQ(count - before, 1);
	}
}

TEST(breakpoints_of_the_guest)
{
	run_watching_guest(-1);
}

TEST(breakpoints_of_the_host)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)&watched, .bp_len = HW_BREAKPOINT_LEN_4,
	};
	u64 count;
	int counter;

	counter = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	if (counter < 0)
		test_skip("no breakpoint to be had: %s", strerror(errno));
	watched = 1;
	ASSERT_EQ(read(counter, &count, 8), 8);
	if (count != 1)
		test_skip("this host's own breakpoints do not work");
	run_watching_guest(counter);
}

/* ---- MSRs, as the kernel reads them ---- */

static const u32 host_msrs[] = {
	0x3b, 0x48, 0xda0, 0x174, 0x175, 0x176, 0x1d9, 0x277, 0xc0000080, 0xc0000081, 0xc0000082,
	0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103, 0xc0010117, 0xc001011f,
};

/* WB, WC, UC- and UC, then WB, WP, UC- and WT: on any CPU whose PAT works. */
#define PAT_OF_LINUX	0x0407050600070106

static int msr_open(void)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", sched_getcpu());
	fd = open(path, O_RDONLY);
	if (fd < 0 && !system("modprobe -q msr 2> /dev/null"))
		fd = open(path, O_RDONLY);
	if (fd < 0)
		test_skip("%s: %s", path, strerror(errno));
	return fd;
}

/* Those that cannot be read count as 0, before and after. */
static void msrs_read(int fd, u64 *values)
{
	for (size_t i = 0; i < ARRAY_SIZE(host_msrs); i++)
		if (pread(fd, &values[i], 8, host_msrs[i]) != 8)
			values[i] = 0;
}

static u64 xgetbv0(void)
{
	u32 a, d;

	asm volatile("xgetbv" : "=a" (a), "=d" (d) : "c" (0));
	return a | (u64)d << 32;
}

/* XCR0 without what the host has in its own. */
static void spoil_xcr0(void)
{
	u64 a, c = 0, d = 0;

	if (!(guest_cpuid(1, 0).c & BIT(26)))
		return;
	asm volatile("mov %%cr4, %0" : "=r" (a));
	asm volatile("mov %0, %%cr4" : : "r" (a | CR4_OSXSAVE));
	a = 1;
	GUEST_TRY("xsetbv", a, c, d);
	GUEST_EXPECT_EQ(xgetbv0(), 1);
}

static void speculative_guest(void)
{
	u64 value = 0, odd = 0;

	for (;;) {
		spoil();
		spoil_xcr0();
		wrmsr_try(0xda0, 0);
		wrmsr_try(0xc0000103, 0x12345);
		wrmsr_try(0x1d9, 1);
		wrmsr_try(0x3b, 0x1000);
		/* SPEC_CTRL, on and off; after an exit it is what it was set to. */
		odd = !odd;
		if (wrmsr_try(0x48, odd) == 256) {
			guest_sync(1);
			GUEST_EXPECT_EQ(rdmsr_try(0x48, &value), 256);
			GUEST_EXPECT_EQ(value, odd);
		} else {
			guest_sync(0);
		}
	}
}

TEST(msrs_of_the_host)
{
	u64 before[ARRAY_SIZE(host_msrs)], after[ARRAY_SIZE(host_msrs)], has = 0;
	struct vcpu *vcpu;
	u64 xcr0 = guest_cpuid(1, 0).c & BIT(27) ? xgetbv0() : 0;
	int fd;

	stay_on_one_cpu();
	fd = msr_open();
	vcpu = guest_new(speculative_guest);
	msrs_read(fd, before);
	/* What a guest that ran before this one may have left is not what it should be. */
	for (size_t k = 0; k < ARRAY_SIZE(host_msrs); k++)
		if (host_msrs[k] == 0x277 && before[k])
			EXPECT_EQ(before[k], PAT_OF_LINUX);
	for (int i = 0; i < 6; i++) {
		has |= run_sync(vcpu);
		msrs_read(fd, after);
		if (xcr0)
			EXPECT_EQ(xgetbv0(), xcr0);
		for (size_t k = 0; k < ARRAY_SIZE(host_msrs); k++)
			if (after[k] != before[k])
				test_fail(__FILE__, __LINE__, "MSR %#x is %#llx, was %#llx",
					  host_msrs[k], (unsigned long long)after[k],
					  (unsigned long long)before[k]);
	}
	if (!has)
		test_info("this CPU has no SPEC_CTRL for guests");
}
