// SPDX-License-Identifier: GPL-2.0
/*
 * The machine's life: set-up in order, the run, taking it down in reverse.
 * Entered from main(); machine_stop() from any thread.
 * No locks: set-up and end are the main thread's; m->status is atomic.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acpi/acpi.h"
#include "boot/boot.h"
#include "devices/board.h"
#include "kvm.h"
#include "machine.h"
#include "sandbox.h"
#include "terminal.h"
#include "vcpu.h"

#define RUNNING		(-1)
#define SHUTDOWN_NS	30000000000ull	/* from the power button to the plug */

struct machine_exit_hook {
	struct machine_exit_hook *next;
	machine_cleanup fn;
	void *opaque;
};

void machine_at_exit(struct machine *m, machine_cleanup fn, void *opaque)
{
	struct machine_exit_hook *h = calloc(1, sizeof(*h));

	if (!h)
		die("out of memory");
	*h = (struct machine_exit_hook){ .next = m->hooks, .fn = fn, .opaque = opaque };
	m->hooks = h;
}

void machine_stop(struct machine *m, int status)
{
	uint64_t one = 1;
	int running = RUNNING;

	if (__atomic_compare_exchange_n(&m->status, &running, status, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST) &&
	    write(m->stop_fd, &one, sizeof(one)) < 0)
		abort();		/* an eventfd written once takes it */
}

void machine_reset_request(struct machine *m)
{
	machine_stop(m, EXIT_RESET);
}

bool machine_stopping(struct machine *m)
{
	return __atomic_load_n(&m->status, __ATOMIC_SEQ_CST) != RUNNING;
}

static void create_devices(struct machine *m)
{
	unsigned int i;

	chardev_create(m);
	serial_create(m);
	rtc_create(m);
	i8042_create(m);
	pm_create(m);
	pvpanic_create(m);

	pci_host_create(m);
	for (i = 0; i < m->cfg.nr_disks; i++)
		virtio_blk_create(m, &m->cfg.disk[i]);
	for (i = 0; i < m->cfg.nr_nets; i++)
		virtio_net_create(m, &m->cfg.net[i]);
	if (m->cfg.rng)
		virtio_rng_create(m);
	if (m->cfg.console == CONSOLE_VIRTIO)
		virtio_console_create(m);
}

void machine_create(struct machine *m)
{
	struct boot_entry entry;

	m->status = RUNNING;
	m->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (m->stop_fd < 0)
		die("cannot make an eventfd: %s", strerror(errno));
	/* A closed pipe at stdout, or a peer that left, is an error code, not the end. */
	signal(SIGPIPE, SIG_IGN);

	kvm_create(m);
	mem_create(m, m->cfg.memory);
	bus_init(&m->pio, 0xffff);
	bus_init(&m->mmio, UINT64_MAX);
	irq_init(m);
	m->loop = loop_create("io");
	create_devices(m);
	vcpu_create_all(m);
	boot_load(m, acpi_install(m), &entry);
	vcpu_boot_setup(&m->vcpu[0], &entry);
}

static const int end_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };

#define END_SIGNALS (sizeof(end_signals) / sizeof(end_signals[0]))

/*
 * A signal that is blocked is queued even if it is ignored, so what our starter ignores (nohup, a
 * shell's "&") is left out, to stay so.
 */
static void add_unless_ignored(sigset_t *mask, int sig)
{
	struct sigaction sa;

	if (!sigaction(sig, NULL, &sa) && sa.sa_handler != SIG_IGN)
		sigaddset(mask, sig);
}

/* What the main thread takes by signalfd. */
static void block_signals(sigset_t *mask)
{
	unsigned int i;

	sigemptyset(mask);
	add_unless_ignored(mask, SIGTSTP);
	for (i = 0; i < END_SIGNALS; i++)
		add_unless_ignored(mask, end_signals[i]);
	pthread_sigmask(SIG_BLOCK, mask, NULL);
}

/*
 * The first SIGTERM is the power button, if the guest listens, and it has SHUTDOWN_NS to heed it.
 * SIGTSTP stops us; any other signal ends the run. Return: the deadline, or 0 for none.
 */
static uint64_t on_signal(struct machine *m, int fd, uint64_t deadline)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return deadline;
	if (info.ssi_signo == SIGTSTP) {
		terminal_stop();
		return deadline;
	}
	if (info.ssi_signo == SIGTERM && !deadline && pm_power_button(m))
		return loop_now_ns() + SHUTDOWN_NS;
	machine_stop(m, EXIT_HOST);
	return deadline;
}

static void wait_for_end(struct machine *m, int signal_fd)
{
	struct pollfd p[2] = {
		{ .fd = m->stop_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};
	uint64_t deadline = 0;

	while (!machine_stopping(m)) {
		if (poll(p, 2, deadline ? 1000 : -1) > 0 && p[1].revents)
			deadline = on_signal(m, signal_fd, deadline);
		if (deadline && loop_now_ns() > deadline) {
			complain("the guest did not heed its power button");
			machine_stop(m, EXIT_HOST);
		}
	}
}

int machine_run(struct machine *m)
{
	sigset_t mask;
	unsigned int i;
	int fd;

	block_signals(&mask);
	fd = signalfd(-1, &mask, SFD_CLOEXEC);
	if (fd < 0)
		die("cannot make a signalfd: %s", strerror(errno));

	if (m->cfg.user)
		sandbox_user(m->cfg.user);
	chardev_start(m);
	loop_start(m->loop);
	if (m->cfg.sandbox)
		sandbox_enter();
	vcpu_start_all(m);
	wait_for_end(m, fd);
	close(fd);

	/* From here on a signal kills, lest something that hangs while it ends cannot be ended. */
	for (i = 0; i < END_SIGNALS; i++) {
		if (sigismember(&mask, end_signals[i]))
			signal(end_signals[i], terminal_die);
	}
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	return __atomic_load_n(&m->status, __ATOMIC_SEQ_CST);
}

void machine_destroy(struct machine *m)
{
	vcpu_stop_all(m);
	loop_stop(m->loop);
	while (m->hooks) {
		struct machine_exit_hook *h = m->hooks;

		m->hooks = h->next;
		h->fn(h->opaque);
		free(h);
	}
	loop_destroy(m->loop);
	free(m->pio.region);
	free(m->mmio.region);
	close(m->vm_fd);
	close(m->sys_fd);
	close(m->stop_fd);
}
