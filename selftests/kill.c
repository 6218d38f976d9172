// SPDX-License-Identifier: GPL-2.0
/*
 * kill.c - a VMM can be killed within a second, whatever its guest does: loops that exit all the
 * time or never, events that cause themselves, string instructions without end, interrupt storms.
 */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define VICTIMS	2	/* vCPUs */

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000UL + t.tv_nsec / 1000000;
}

static void *run_forever(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;)
		ioctl(vcpu->fd, KVM_RUN, 0);
	return NULL;
}

/* A process with two vCPUs in @fn; it tells when they are about to run. */
static pid_t start_victim(void (*fn)(void), int *ready)
{
	int pipe_fd[2];
	pid_t pid;

	ASSERT_RET(pipe(pipe_fd), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
		struct vm *vm = vm_new_irqchip();

		xioctl(vm->fd, KVM_CREATE_PIT2, &pit);
		for (int i = 0; i < VICTIMS; i++) {
			struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
			struct vcpu *vcpu = vcpu_new(vm, i);

			vcpu_cpuid(vcpu);
			vcpu_long(vcpu, fn, 0);
			xioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
			if (pthread_create(&vcpu->thread, NULL, run_forever, vcpu))
				_exit(1);
		}
		if (write(pipe_fd[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipe_fd[1]);
	*ready = pipe_fd[0];
	return pid;
}

static u64 kill_ms(pid_t pid)
{
	u64 begin = now_ms();
	int status;

	ASSERT_RET(kill(pid, SIGKILL), 0);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return now_ms() - begin;
}

/* How long it takes on this machine, as loaded as it is, to kill a process that merely spins. */
static u64 plain_kill_ms(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		for (;;)
			;
	usleep(20000);
	return kill_ms(pid);
}

static void kill_in(void (*fn)(void))
{
	u64 plain = plain_kill_ms(), took;
	pid_t pid;
	int ready;
	char c;

	NEED_CAP(KVM_CAP_PIT2);
	need_interruptible_guests();
	pid = start_victim(fn, &ready);
	ASSERT_RET(read(ready, &c, 1), 1);
	usleep(100000);
	took = kill_ms(pid);
	if (took > 1000 * test_slow() + 10 * plain)
		test_fail(__FILE__, __LINE__, "took %llu ms, a plain process %llu ms",
			  (unsigned long long)took, (unsigned long long)plain);
}

/* The guest is NAME_guest(). */
#define KILL(name)			\
TEST(name)				\
{					\
	kill_in(name##_guest);		\
}

static void spin_guest(void)
{
	for (;;)
		asm volatile("" : : : "memory");
}

KILL(spin)

static void pauses_guest(void)
{
	for (;;)
		cpu_pause();
}

KILL(pauses)

static void cpuid_exits_guest(void)
{
	for (;;)
		guest_cpuid(1, 0);
}

KILL(cpuid_exits)

static void halted_for_ever_guest(void)
{
	for (;;)
		asm volatile("cli; hlt" : : : "memory");
}

KILL(halted_for_ever)

static void user_exits_guest(void)
{
	for (;;)
		outb(0x3f8, 0);
}

KILL(user_exits)

static void port_of_a_kernel_device_guest(void)
{
	for (;;)
		inb(0x40);
}

KILL(port_of_a_kernel_device)

/* OUTS without end, to a device in the kernel: it reads on through memory, and then MMIO. */
static void outs_without_end_guest(void)
{
	for (;;) {
		u64 count = ~0ULL, from = 0x1000;

		asm volatile("rep outsb" : "+c" (count), "+S" (from) : "d" (0x20) : "memory");
	}
}

KILL(outs_without_end)

static void stos_without_end_to_a_kernel_device_guest(void)
{
	for (;;) {
		u64 count = ~0ULL >> 8, to = IOAPIC_BASE;

		asm volatile("rep stosb" : "+c" (count), "+D" (to) : "a" (0) : "memory");
	}
}

KILL(stos_without_end_to_a_kernel_device)

static void movs_without_end_at_the_lapic_guest(void)
{
	for (;;) {
		u64 count = ~0ULL >> 8, to = APIC_BASE + 0x80, from = APIC_BASE + 0x20;

		asm volatile("std; rep movsl; cld"
			     : "+c" (count), "+D" (to), "+S" (from) : : "memory");
	}
}

KILL(movs_without_end_at_the_lapic)

static void stos_without_end_to_userspace_guest(void)
{
	for (;;) {
		u64 count = ~0ULL >> 8, to = 0x80000000;

		asm volatile("rep stosq" : "+c" (count), "+D" (to) : "a" (0) : "memory");
	}
}

KILL(stos_without_end_to_userspace)

static void eoi_only(struct isr_frame *frame)
{
	(void)frame;
	apic_write(APIC_EOI, 0);
}

static void ipi_storm_guest(void)
{
	isr_table[0x50] = eoi_only;
	apic_enable();
	sti();
	for (;;)
		apic_write(APIC_ICR, 0x80050);		/* all, themselves too */
}

KILL(ipi_storm)

static void timer_storm_guest(void)
{
	isr_table[0x51] = eoi_only;
	apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x20051);
	apic_write(APIC_TMICT, 1);
	for (;;)
		sti_hlt();
}

KILL(timer_storm)

static void tick_only(struct isr_frame *frame)
{
	(void)frame;
	outb(0x20, 0x20);
}

static void pit_storm_guest(void)
{
	isr_table[0x20] = tick_only;
	pic_init(0xfffe);
	outb(0x43, 0x34);
	outb(0x40, 1);
	outb(0x40, 0);
	for (;;)
		sti_hlt();
}

KILL(pit_storm)

/* An NMI that sends the next one. */
static void nmi_again(struct isr_frame *frame)
{
	(void)frame;
	apic_write(APIC_ICR, 0x80400);
}

static void nmi_storm_guest(void)
{
	isr_table[2] = nmi_again;
	apic_enable();
	apic_write(APIC_ICR, 0x80400);
	for (;;)
		cpu_pause();
}

KILL(nmi_storm)

/* A level that is never lowered: again after each EOI. */
static void level_storm_guest(void)
{
	isr_table[0x52] = eoi_only;
	apic_enable();
	for (int pin = 0; pin < 24; pin++)
		ioapic_entry(pin, 0x8052 | (u64)0xff << 56);
	for (;;)
		sti_hlt();
}

KILL(level_storm)

static void init_storm_guest(void)
{
	for (;;)
		apic_write(APIC_ICR, 0x44500 | 3 << 18);	/* INIT to the other */
}

KILL(init_storm)

static void ignore(struct isr_frame *frame)
{
	(void)frame;
}

/* Exceptions for ever: UD2 again and again. */
static void exception_storm_guest(void)
{
	isr_table[6] = ignore;
	for (;;)
		asm volatile("ud2");
}

KILL(exception_storm)

/*
 * #DB whose delivery is the next one: the breakpoint watches the stack that it
 * is delivered on (CVE-2015-8104).
 */
static void db_guest(void)
{
	u64 sp;

	isr_table[1] = ignore;
	asm volatile("mov %%rsp, %0" : "=r" (sp));
	asm volatile("mov %0, %%dr0" : : "r" ((sp - 0x28) & ~7ULL));
	asm volatile("mov %0, %%dr7" : : "r" (0xb0402ULL));
	for (;;)
		asm volatile("push %%rax; pop %%rax; int $1" : : : "memory");
}

TEST(db_that_causes_itself)
{
	struct cpuid_regs host = guest_cpuid(0x40000000, 0);

	/* "TCGTCGTCGTCG" */
	if (host.b == 0x54474354)
		test_skip("QEMU's emulated CPU ends with an assertion of its own");
	kill_in(db_guest);
}

/* #AC with alignment checks on and a stack that is not aligned (CVE-2015-5307). */
static void ac_that_causes_itself_guest(void)
{
	u64 cr0;

	isr_table[17] = ignore;
	asm volatile("mov %%cr0, %0" : "=r" (cr0));
	asm volatile("mov %0, %%cr0" : : "r" (cr0 | CR0_AM));
	asm volatile("mov %%rsp, %%rax\n"
		     "pushq %0\n pushq %%rax\n pushq $0x40002\n pushq %1\n"
		     "lea 1f(%%rip), %%rax\n pushq %%rax\n iretq\n"
		     "1: mov 1(%%rsp), %%rax\n jmp 1b"
		     : : "i" (GUEST_UDS), "i" (GUEST_UCS64) : "rax", "memory");
}

KILL(ac_that_causes_itself)

static void tlb_flushes_guest(void)
{
	u64 cr3;

	asm volatile("mov %%cr3, %0" : "=r" (cr3));
	for (;;)
		asm volatile("mov %0, %%cr3\n invlpg (%1)\n wbinvd" : : "r" (cr3), "r" (0x1000UL)
			     : "memory");
}

KILL(tlb_flushes)

static void msr_storm_guest(void)
{
	for (;;) {
		wrmsr(0x4b564d01, 0x1001);	/* the clock's page, anew each time */
		wrmsr(MSR_TSC, 0);
		wrmsr(MSR_TSCDEADLINE, 1);
	}
}

KILL(msr_storm)

/* A guest whose own tables are where no memory is. */
static void triple_faults_guest(void)
{
	asm volatile("lidt %0\n ud2" : : "m" (*(u64 *)GUEST_FREE));
}

KILL(triple_faults)
