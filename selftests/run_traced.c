// SPDX-License-Identifier: GPL-2.0
/*
 * run_traced.c - a thread in KVM_RUN that is stopped, traced, or has used up its CPU time: the
 * guest notices nothing, or ends with its process.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

static volatile u64 counter, wrong;

static void guest(void)
{
	u64 a = 0x1111, b = 0x2222;

	for (;;) {
		asm volatile("inc %0; inc %1" : "+r" (a), "+r" (b));
		wrong |= b - a != 0x1111;
		counter++;
		guest_turn();
	}
}

/* Runs for ever; what it has in common with the parent is the guest's memory. */
static pid_t start(struct vm **vmp)
{
	pid_t pid = fork();

	if (!pid) {
		struct vcpu *vcpu = guest_new(guest);

		/* So that the parent sees the counter. */
		*vmp = vcpu->vm;
		for (;;) {
			if (ioctl(vcpu->fd, KVM_RUN, 0) && errno != EINTR)
				_exit(1);
		}
	}
	return pid;
}

/* The counter in the other process's memory. */
static u64 peek(pid_t pid, struct vm **vmp)
{
	long vm = ptrace(PTRACE_PEEKDATA, pid, vmp, 0);
	long ram = ptrace(PTRACE_PEEKDATA, pid, vm + offsetof(struct vm, ram), 0);

	EXPECT_EQ(ptrace(PTRACE_PEEKDATA, pid, ram + (long)&wrong, 0), 0);
	return ptrace(PTRACE_PEEKDATA, pid, ram + (long)&counter, 0);
}

TEST(interrupted_by_a_tracer)
{
	static struct vm *vm;
	struct user_regs_struct regs;
	int status, in_ioctl = 0;
	u64 last = 0, now;
	pid_t pid = start(&vm);

	usleep(300000);
	ASSERT_RET(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	for (int i = 0; i < 50; i++) {
		ASSERT_RET(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
		ASSERT_RET(waitpid(pid, &status, 0), pid);
		ASSERT_TRUE(WIFSTOPPED(status));
		ASSERT_RET(ptrace(PTRACE_GETREGS, pid, 0, &regs), 0);
		in_ioctl += regs.orig_rax == 16 || regs.rax == (u64)-EINTR;
		now = peek(pid, &vm);
		EXPECT_GE(now, last);
		last = now;
		ASSERT_RET(ptrace(PTRACE_CONT, pid, 0, 0), 0);
		usleep(5000);
	}
	EXPECT_TRUE(in_ioctl > 0);
	EXPECT_TRUE(last > 0);
	kill(pid, SIGKILL);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
}

TEST(stopped_and_continued)
{
	static struct vm *vm;
	int status;
	pid_t pid = start(&vm);
	u64 last = 0, now;

	usleep(300000);
	for (int i = 0; i < 30; i++) {
		kill(pid, SIGSTOP);
		ASSERT_RET(waitpid(pid, &status, WUNTRACED), pid);
		ASSERT_TRUE(WIFSTOPPED(status));
		kill(pid, SIGCONT);
		usleep(3000);
	}
	ASSERT_RET(ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	last = peek(pid, &vm);
	ASSERT_RET(ptrace(PTRACE_CONT, pid, 0, 0), 0);
	usleep(50000);
	kill(pid, SIGSTOP);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	now = peek(pid, &vm);
	EXPECT_TRUE(now > last);
	kill(pid, SIGKILL);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
}

/* A guest's time is its process's. */
TEST(cpu_time_is_over)
{
	struct rlimit limit = { .rlim_cur = 1, .rlim_max = 3 };
	static struct vm *vm;
	int status;
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_CPU, &limit);
		pid = start(&vm);
		ASSERT_RET(waitpid(pid, &status, 0), pid);
		_exit(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	}
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(WEXITSTATUS(status), SIGXCPU);
}
