// SPDX-License-Identifier: GPL-2.0
/*
 * run_threads.c - threads and vCPUs: one vCPU run by several threads in turn and at once,
 * ioctls that wait for a run to end, vCPUs that run at the same time.
 */
#include <signal.h>

#include "guest.h"
#include "vm.h"

static volatile u64 counter, stop;

static void count_guest(void)
{
	for (;;)
		guest_sync(++counter);
}

static void *run_hundred(void *vcpu)
{
	for (int i = 0; i < 100; i++)
		run_sync(vcpu);
	return NULL;
}

TEST(moves_between_threads)
{
	struct vcpu *vcpu = guest_new(count_guest);
	pthread_t thread;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(pthread_create(&thread, NULL, run_hundred, vcpu), 0);
		ASSERT_EQ(pthread_join(thread, NULL), 0);
	}
	EXPECT_EQ(run_sync(vcpu), 1001);
}

static void spin_guest(void)
{
	while (!stop) {
		counter++;
		guest_turn();
	}
	guest_done();
}

static void nothing(int signal)
{
	(void)signal;
}

static void *get_regs(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	/* The run has ended before we got in. */
	EXPECT_EQ(guest_var(vcpu->vm, stop), 1);
	return NULL;
}

/* An ioctl of a second thread waits while the vCPU runs. */
TEST(second_thread_waits)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	pthread_t thread;

	vcpu_start(vcpu);
	while (!guest_var(vcpu->vm, counter))
		usleep(1000);
	ASSERT_EQ(pthread_create(&thread, NULL, get_regs, vcpu), 0);
	usleep(100000);
	guest_var(vcpu->vm, stop) = 1;
	vcpu_join(vcpu);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}

static void *run_blocked(void *arg)
{
	struct vcpu *vcpu = arg;

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	return NULL;
}

/* Two KVM_RUN on one vCPU: the second waits, and a signal ends each. */
TEST(two_runs_of_one_vcpu)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	struct sigaction sa = { .sa_handler = nothing };
	pthread_t a, b;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(pthread_create(&a, NULL, run_blocked, vcpu), 0);
	ASSERT_EQ(pthread_create(&b, NULL, run_blocked, vcpu), 0);
	usleep(100000);
	/* Whichever runs comes back first, then the other gets in and is told to end, too. */
	for (int i = 0; i < 50; i++) {
		pthread_kill(a, SIGUSR1);
		pthread_kill(b, SIGUSR1);
		usleep(20000);
		if (!pthread_tryjoin_np(a, NULL)) {
			a = b;
			break;
		}
		if (!pthread_tryjoin_np(b, NULL))
			break;
	}
	for (int i = 0; i < 50; i++) {
		pthread_kill(a, SIGUSR1);
		usleep(20000);
		if (!pthread_tryjoin_np(a, NULL))
			return;
	}
	test_fail(__FILE__, __LINE__, "the second KVM_RUN did not end");
}

static volatile u32 flag[2];

static void ping_pong(u64 me)
{
	for (u32 i = 1; i <= 200; i++) {
		flag[me] = i;
		GUEST_WAIT(flag[!me] >= i);
	}
	guest_done();
}

/* Two vCPUs of one VM make progress together: each waits for the other. */
TEST(two_vcpus_at_once)
{
	struct vm *vm = vm_new();

	for (int i = 0; i < 2; i++) {
		vcpu_cpuid(vcpu_new(vm, i));
		vcpu_long(&vm->vcpu[i], ping_pong, i);
	}
	for (int i = 0; i < 2; i++)
		vcpu_start(&vm->vcpu[i]);
	for (int i = 0; i < 2; i++)
		vcpu_join(&vm->vcpu[i]);
}
