// SPDX-License-Identifier: GPL-2.0
/*
 * run_signal.c - signals and KVM_RUN: EINTR with exit reason INTR out of a running or a halted
 * guest, KVM_SET_SIGNAL_MASK, a kick with immediate_exit, and SIGKILL.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

static struct vcpu *current;

static void nothing(int signal)
{
	(void)signal;
}

static void set_immediate_exit(int signal)
{
	(void)signal;
	current->run->immediate_exit = 1;
}

static void catch(void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler };

	ASSERT_RET(sigaction(SIGUSR1, &sa, NULL), 0);
}

static void *kick(void *thread)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static void kick_me_later(void)
{
	static pthread_t me, other;

	me = pthread_self();
	ASSERT_EQ(pthread_create(&other, NULL, kick, &me), 0);
}

static volatile u64 spins;

static void spin_guest(void)
{
	for (;;) {
		spins++;
		guest_turn();
	}
}

TEST(running_guest)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	u64 before;

	catch(nothing);
	for (int i = 0; i < 3; i++) {
		before = guest_var(vcpu->vm, spins);
		vcpu->run->exit_reason = 0x1234;
		kick_me_later();
		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
		EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_INTR);
		EXPECT_NE(guest_var(vcpu->vm, spins), before);
	}
}

static void halt_guest(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

TEST(halted_guest)
{
	struct vcpu *vcpu = guest_new_irqchip(halt_guest);
	struct kvm_mp_state mp;

	catch(nothing);
	kick_me_later();
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_INTR);
	xioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_HALTED);
	/* And it stays asleep. */
	kick_me_later();
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
}

/* An AP that waits for SIPI is woken by a signal, too. */
TEST(waiting_ap)
{
	struct vm *vm = vm_new_irqchip();
	struct vcpu *ap;
	struct kvm_mp_state mp;

	vcpu_new(vm, 0);
	ap = vcpu_new(vm, 1);
	catch(nothing);
	kick_me_later();
	EXPECT_ERRNO(ioctl(ap->fd, KVM_RUN, 0), EINTR);
	EXPECT_EQ(ap->run->exit_reason, KVM_EXIT_INTR);
	xioctl(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
}

/* A signal that is pending when KVM_RUN begins. */
TEST(pending_signal)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	sigset_t set;

	catch(nothing);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	/* Blocked, it is no reason to come back: only the mask below lets it in. */
	{
		struct {
			u32 len;
			u8 mask[8];
		} __attribute__((packed)) mask = { .len = 8 };

		xioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask);
	}
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_INTR);
	/* It was not consumed, and the thread's own mask is back. */
	sigpending(&set);
	EXPECT_EQ(sigismember(&set, SIGUSR1), 1);
	sigprocmask(SIG_BLOCK, NULL, &set);
	EXPECT_EQ(sigismember(&set, SIGUSR1), 1);
}

static void *ignored_then_kick(void *thread)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)thread, SIGUSR2);
	return kick(thread);
}

/*
 * A signal that the thread blocks, and is to ignore, comes while KVM_RUN's mask lets it in. It ends
 * KVM_RUN and stays pending, as in sigtimedwait(): what is blocked is not discarded.
 */
TEST(ignored_but_blocked)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	struct sigaction sa = { .sa_handler = SIG_IGN };
	pthread_t me = pthread_self(), other;
	struct {
		u32 len;
		u8 mask[8];
	} __attribute__((packed)) mask = { .len = 8 };
	sigset_t set;

	catch(nothing);
	ASSERT_RET(sigaction(SIGUSR2, &sa, NULL), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	xioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask);
	ASSERT_EQ(pthread_create(&other, NULL, ignored_then_kick, &me), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	pthread_join(other, NULL);
	sigpending(&set);
	EXPECT_EQ(sigismember(&set, SIGUSR2), 1);
}

TEST(signal_mask_errors)
{
	struct vcpu *vcpu = guest_new(spin_guest);
	struct {
		u32 len;
		u8 mask[8];
	} __attribute__((packed)) mask = { .len = 4 };

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask), EINVAL);
	mask.len = 8;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask), 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL), 0);
}

/* The way of VMMs: the handler sets immediate_exit, so that no kick is lost. */
TEST(kick_by_immediate_exit)
{
	struct vcpu *vcpu = guest_new(spin_guest);

	current = vcpu;
	catch(set_immediate_exit);
	kick_me_later();
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	EXPECT_EQ(vcpu->run->immediate_exit, 1);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
}

/* SIGKILL ends a process with a guest that runs or sleeps, whatever the mask. */
static void kill_one(struct vcpu *(*start)(void (*)(void)), void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct vcpu *vcpu = start(fn);
		struct {
			u32 len;
			u8 mask[8];
		} __attribute__((packed)) mask = { .len = 8 };

		memset(mask.mask, 0xff, sizeof(mask.mask));
		xioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask);
		for (;;)
			ioctl(vcpu->fd, KVM_RUN, 0);
	}
	usleep(200000);
	kill(pid, SIGKILL);
	ASSERT_RET(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(sigkill)
{
	kill_one(guest_new, spin_guest);
	if (dev_cap(KVM_CAP_IRQCHIP) > 0)
		kill_one(guest_new_irqchip, halt_guest);
}
