// SPDX-License-Identifier: GPL-2.0
/*
 * vCPU threads: KVM_RUN, and a table of what each exit leads to.
 * Entered from machine_run(); ended by machine_stop() on any thread.
 * No locks; buses and devices have theirs.
 * KVM API documentation: KVM_RUN, "The kvm_run structure".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kvm.h"
#include "machine.h"
#include "vcpu.h"

#define SIG_KICK	SIGUSR1

static void exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i;

	/* A string instruction brings several items for the same port. */
	for (i = 0; i < run->io.count; i++, data += run->io.size)
		bus_access(&vcpu->m->pio, run->io.port, data, run->io.size, write);
}

static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	bus_access(&vcpu->m->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
		   run->mmio.is_write);
}

static void exit_intr(struct vcpu *vcpu)
{
	(void)vcpu;		/* a signal, or the scheduler's whim: go on */
}

static void exit_crash(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	char why[128];

	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		snprintf(why, sizeof(why), "triple fault");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(why, sizeof(why), "the processor refused to enter the guest, code 0x%llx",
			 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(why, sizeof(why), "the hypervisor gave up, suberror %u%s",
			 run->internal.suberror,
			 run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ?
			 " (instruction not emulated)" : "");
		break;
	default:
		snprintf(why, sizeof(why), "exit %u (%s) that nothing handles", run->exit_reason,
			 vcpu_exit_name(run->exit_reason));
	}
	vcpu_dump(vcpu, why);
	machine_stop(vcpu->m, EXIT_CRASH);
}

static void exit_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_stop(vcpu->m, EXIT_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_reset_request(vcpu->m);
		break;
	default:
		exit_crash(vcpu);
	}
}

/* Exits that are not here (HLT belongs to the in-kernel LAPIC) end the guest with a dump. */
static void (*const exit_table[])(struct vcpu *) = {
	[KVM_EXIT_IO]			= exit_io,
	[KVM_EXIT_MMIO]			= exit_mmio,
	[KVM_EXIT_INTR]			= exit_intr,
	[KVM_EXIT_IRQ_WINDOW_OPEN]	= exit_intr,
	[KVM_EXIT_SHUTDOWN]		= exit_crash,
	[KVM_EXIT_FAIL_ENTRY]		= exit_crash,
	[KVM_EXIT_INTERNAL_ERROR]	= exit_crash,
	[KVM_EXIT_SYSTEM_EVENT]		= exit_system_event,
};

static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN]		= "unknown hardware exit",
	[KVM_EXIT_EXCEPTION]		= "exception",
	[KVM_EXIT_IO]			= "port I/O",
	[KVM_EXIT_HYPERCALL]		= "hypercall",
	[KVM_EXIT_DEBUG]		= "debug",
	[KVM_EXIT_HLT]			= "halt",
	[KVM_EXIT_MMIO]			= "memory-mapped I/O",
	[KVM_EXIT_IRQ_WINDOW_OPEN]	= "interrupt window",
	[KVM_EXIT_SHUTDOWN]		= "shutdown",
	[KVM_EXIT_FAIL_ENTRY]		= "failed entry",
	[KVM_EXIT_INTR]			= "signal",
	[KVM_EXIT_SET_TPR]		= "TPR written",
	[KVM_EXIT_NMI]			= "NMI",
	[KVM_EXIT_INTERNAL_ERROR]	= "internal error",
	[KVM_EXIT_SYSTEM_EVENT]		= "system event",
	[KVM_EXIT_IOAPIC_EOI]		= "IOAPIC EOI",
	[KVM_EXIT_X86_RDMSR]		= "RDMSR",
	[KVM_EXIT_X86_WRMSR]		= "WRMSR",
};

const char *vcpu_exit_name(unsigned int reason)
{
	if (reason < sizeof(exit_names) / sizeof(exit_names[0]) && exit_names[reason])
		return exit_names[reason];
	return "no name";
}

static void dispatch(struct vcpu *vcpu)
{
	unsigned int reason = vcpu->run->exit_reason;

	if (reason < sizeof(exit_table) / sizeof(exit_table[0]) && exit_table[reason])
		exit_table[reason](vcpu);
	else
		exit_crash(vcpu);
}

/*
 * The stop flag is looked at between the exits, and the kick's signal makes a KVM_RUN that has
 * begun come back; immediate_exit covers the step between the two.
 */
static void *vcpu_main(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct machine *m = vcpu->m;
	char why[96];
	int ret;

	snprintf(why, sizeof(why), "vcpu%u", vcpu->id);
	prctl(PR_SET_NAME, why);
	while (!machine_stopping(m)) {
		ret = kvm_try(vcpu->fd, KVM_RUN, 0);
		if (!ret) {
			dispatch(vcpu);
		} else if (ret != -EINTR && ret != -EAGAIN) {
			snprintf(why, sizeof(why), "KVM_RUN failed: %s", strerror(-ret));
			vcpu_dump(vcpu, why);
			machine_stop(m, EXIT_HOST);
		}
	}
	return NULL;
}

static void vcpu_cleanup(void *opaque)
{
	struct machine *m = opaque;
	unsigned int i;

	for (i = 0; i < m->cfg.cpus; i++) {
		munmap(m->vcpu[i].run, m->run_size);
		close(m->vcpu[i].fd);
	}
	free(m->vcpu);
}

void vcpu_create_all(struct machine *m)
{
	unsigned int i;

	m->vcpu = calloc(m->cfg.cpus, sizeof(*m->vcpu));
	if (!m->vcpu)
		die("out of memory");
	for (i = 0; i < m->cfg.cpus; i++) {
		struct vcpu *vcpu = &m->vcpu[i];

		vcpu->m = m;
		vcpu->id = i;
		vcpu->fd = kvm_must(m->vm_fd, KVM_CREATE_VCPU, i);
		vcpu->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED)
			die("cannot map vCPU %u: %s", i, strerror(errno));
		vcpu_cpuid_setup(vcpu);
		vcpu_reset_setup(vcpu);
	}
	machine_at_exit(m, vcpu_cleanup, m);
}

static void on_kick(int sig)
{
	(void)sig;		/* its arrival is all that counts */
}

void vcpu_start_all(struct machine *m)
{
	struct sigaction sa = { .sa_handler = on_kick };
	sigset_t mask, old;
	unsigned int i;
	int ret;

	sigaction(SIG_KICK, &sa, NULL);
	sigfillset(&mask);
	sigdelset(&mask, SIG_KICK);
	sigdelset(&mask, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	for (i = 0; i < m->cfg.cpus; i++) {
		struct vcpu *vcpu = &m->vcpu[i];

		ret = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
		if (ret) {
			complain("cannot start a thread for vCPU %u: %s", i, strerror(ret));
			machine_stop(m, EXIT_HOST);
			break;
		}
		vcpu->running = true;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void vcpu_stop_all(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < m->cfg.cpus; i++) {
		if (!m->vcpu[i].running)
			continue;
		__atomic_store_n(&m->vcpu[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(m->vcpu[i].thread, SIG_KICK);
	}
	for (i = 0; i < m->cfg.cpus; i++) {
		if (!m->vcpu[i].running)
			continue;
		pthread_join(m->vcpu[i].thread, NULL);
		m->vcpu[i].running = false;
	}
}
