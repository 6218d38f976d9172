// SPDX-License-Identifier: GPL-2.0
/*
 * life_kill.c - kill -9 in the middle of everything: processes that make VMs, run them on
 * several threads, and change slots, irqfds and routes meanwhile. What is left: nothing, and a
 * host that works.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

#define ROUNDS		60
#define BASE		0x10000000ULL
#define SIZE		0x100000ULL

static void busy(void)
{
	for (u64 i = 0; ; i++) {
		*(volatile u64 *)(BASE + i * 4096 % SIZE) = i;
		if (i % 16 == 0)
			outb(0x21, 0xff);
		if (i % 64 == 0)
			guest_sync(i);
	}
}

/* A slot may be away: the write is a device's then. */
static void *runner(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;)
		ioctl(vcpu->fd, KVM_RUN, 0);
	return NULL;
}

static void *changer(void *arg)
{
	u8 *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static u64 bitmap[SIZE / 0x1000 / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct kvm_irqfd irqfd = { .fd = eventfd(0, 0), .gsi = 5 };
	struct vm *vm = arg;
	u64 one = 1;

	for (;;) {
		vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, SIZE, mem);
		irqfd.flags = 0;
		ioctl(vm->fd, KVM_IRQFD, &irqfd);
		if (write(irqfd.fd, &one, 8) != 8)
			return NULL;
		ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
		madvise(mem, SIZE / 2, MADV_DONTNEED);
		irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
		ioctl(vm->fd, KVM_IRQFD, &irqfd);
		vm_slot(vm, 1, 0, BASE, 0, NULL);
	}
	return NULL;
}

static void victim(void)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_pit_config pit = { 0 };

	for (;;) {
		struct vm *vm = vm_new_irqchip();
		pthread_t thread;

		xioctl(vm->fd, KVM_CREATE_PIT2, &pit);
		pthread_create(&thread, NULL, changer, vm);
		for (int i = 0; i < 2; i++) {
			vcpu_cpuid(vcpu_new(vm, i));
			vcpu_long(&vm->vcpu[i], busy, 0);
			xioctl(vm->vcpu[i].fd, KVM_SET_MP_STATE, &runnable);
			pthread_create(&thread, NULL, runner, &vm->vcpu[i]);
		}
		usleep(20000);
	}
}

static void sane(void)
{
	guest_sync(42);
}

TEST(at_any_moment)
{
	int status;

	NEED_CAP(KVM_CAP_IRQCHIP);
	srand(2);
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();

		if (!pid)
			victim();
		usleep(rand() % 80000);
		kill(pid, SIGKILL);
		ASSERT_RET(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			test_fail(__FILE__, __LINE__, "ended by itself: %#x", status);
	}
	EXPECT_EQ(run_sync(guest_new(sane)), 42);
}
