// SPDX-License-Identifier: GPL-2.0
/*
 * machine.c - the oracle's VMs, and running them: userspace answers each access to a device with
 * what the address and a counter determine.
 * Entered from all parts of minihv-diff.
 * No locks: one thread; a timer's signal ends a KVM_RUN that blocks.
 * Linux Documentation/virt/kvm/api.rst, "KVM_RUN".
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "diff.h"

#define TICK_NS		20000000	/* the timer's period */
#define MAX_TICKS	60		/* then the guest runs away */

static timer_t timer;

long must(struct diff *d, long ret, const char *what)
{
	if (ret >= 0)
		return ret;
	say_ret(d, ret, "%s", what);
	fflush(stdout);
	exit(1);
}

static void make_vcpu(struct diff *d, int i)
{
	long size = must(d, ioctl(d->dev, KVM_GET_VCPU_MMAP_SIZE, 0), "mmap-size");

	d->vcpu[i] = must(d, ioctl(d->vm, KVM_CREATE_VCPU, (long)i), "create-vcpu");
	d->run[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, d->vcpu[i], 0);
	must(d, d->run[i] == MAP_FAILED ? -1 : 0, "mmap");
	for (u32 n = 0; n < d->cpuid->nent; n++)
		if (d->cpuid->entries[n].function == 1)
			d->cpuid->entries[n].ebx = (u32)i << 24;
	must(d, ioctl(d->vcpu[i], KVM_SET_CPUID2, d->cpuid), "set-cpuid");
	d->cpuid_nent = d->cpuid->nent;
}

static void *memory(struct diff *d, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(d, p == MAP_FAILED ? -1 : 0, "memory");
	return p;
}

void make_vm(struct diff *d, int vcpus, bool irqchip)
{
	struct kvm_userspace_memory_region region = { .memory_size = DIFF_RAM };
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 1 } };

	d->cpuid = common_cpuid(d);
	d->vm = must(d, ioctl(d->dev, KVM_CREATE_VM, 0L), "create-vm");
	must(d, ioctl(d->vm, KVM_SET_TSS_ADDR, 0xfffbd000L), "tss-addr");
	/* So that userspace is told of what KVM's emulator does not know, and not a user's code. */
	must(d, ioctl(d->vm, KVM_ENABLE_CAP, &cap), "exit-on-emulation-failure");
	d->ram = memory(d, DIFF_RAM);
	d->ram_shown = memory(d, DIFF_RAM);
	region.userspace_addr = (uintptr_t)d->ram;
	must(d, ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &region), "memory-region");
	d->irqchip = irqchip;
	if (irqchip)
		must(d, ioctl(d->vm, KVM_CREATE_IRQCHIP, 0L), "create-irqchip");
	for (int i = 0; i < vcpus; i++)
		make_vcpu(d, i);
}

/* The signal that ends a KVM_RUN. */
static void on_tick(int signal)
{
	(void)signal;
}

static void set_timer(long ns)
{
	struct itimerspec spec = { { 0, ns }, { 0, ns } };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct sigaction action = { .sa_handler = on_tick };

	if (!timer) {
		sigaction(SIGUSR1, &action, NULL);
		timer_create(CLOCK_MONOTONIC, &event, &timer);
	}
	timer_settime(timer, 0, &spec, NULL);
}

/* KVM_RUN, again after each tick unless the vCPU waits for what will not come. */
static int run_to_exit(struct diff *d, int i)
{
	struct kvm_mp_state mp = { 0 };

	for (int ticks = 0; ticks < MAX_TICKS; ) {
		int ret = ioctl(d->vcpu[i], KVM_RUN, 0L);

		if (!ret || (errno != EINTR && errno != EAGAIN) || d->run[i]->immediate_exit)
			return ret;
		ticks++;
		if (!ioctl(d->vcpu[i], KVM_GET_MP_STATE, &mp) &&
		    mp.mp_state != KVM_MP_STATE_RUNNABLE) {
			errno = EINTR;
			return ret;
		}
	}
	/* Kind insn: where KVM's emulator tries for ever, which the comparison is to know. */
	say(d, d->kind == KIND_INSN ? "v%d goes on and on" : "v%d runs away", i);
	d->stop = true;
	errno = EINTR;
	return -1;
}

/* What devices answer: bytes that follow from the access and how many there were. */
static void answer(struct diff *d, u8 *data, unsigned int n, u64 address, unsigned int count)
{
	struct rng rng;

	rng_seed(&rng, address ^ d->seed << 32, count);
	for (unsigned int k = 0; k < n; k++)
		data[k] = rng.state >> 8 * (k & 7);
}

/* Is this the exit of a handler or of a program's end, after which nothing is left to do? */
static bool is_end(struct diff *d, int i)
{
	const struct kvm_run *run = d->run[i];
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	u64 at;

	if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT)
		return false;
	ioctl(d->vcpu[i], KVM_GET_REGS, &regs);
	ioctl(d->vcpu[i], KVM_GET_SREGS, &sregs);
	at = sregs.cs.base + regs.rip;
	/* After a string's last byte RIP may be there already. */
	return at < DIFF_RAM - 2 && d->ram[at] == 0xe6 && d->ram[at + 1] == run->io.port &&
	       d->ram[at + 2] == 0xf4;
}

/* A breakpoint's instruction has not been executed, and is to be. */
static void step_over(struct diff *d, int i)
{
	struct kvm_regs regs;

	if (d->kind != KIND_INSN || d->stepping || !host_is_intel())
		return;
	ioctl(d->vcpu[i], KVM_GET_REGS, &regs);
	regs.rflags |= BIT(16);		/* RF */
	ioctl(d->vcpu[i], KVM_SET_REGS, &regs);
}

bool run_vcpu(struct diff *d, int i, unsigned int exits)
{
	struct kvm_run *run = d->run[i];
	unsigned int answers = 0;

	fflush(stdout);		/* if the host does not live through this, it is known why */
	d->ready_shown[0] = '\0';
	d->shut_down = false;
	set_timer(TICK_NS);
	for (unsigned int n = 0; !d->stop; n++) {
		int ret;

		if (n == exits) {
			set_timer(0);
			return false;
		}
		ret = run_to_exit(d, i);

		if (d->stop)
			break;
		show_exit(d, i, ret);
		if (ret || is_end(d, i))
			break;
		if (run->exit_reason == KVM_EXIT_IO) {
			for (u32 k = 0; k < run->io.count; k++, answers++)
				if (run->io.direction == KVM_EXIT_IO_IN)
					answer(d, (u8 *)run + run->io.data_offset +
					       k * run->io.size, run->io.size, run->io.port,
					       answers);
		} else if (run->exit_reason == KVM_EXIT_MMIO) {
			if (!run->mmio.is_write)
				answer(d, run->mmio.data, run->mmio.len, run->mmio.phys_addr,
				       answers++);
		} else if (run->exit_reason == KVM_EXIT_DEBUG) {
			step_over(d, i);
		} else if (run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN) {
			/* It stays open, and no entry would get further. */
			if (d->kind == KIND_INSN && host_is_intel())
				run->request_interrupt_window = 0;
		} else {
			break;
		}
	}
	set_timer(0);
	return true;
}
