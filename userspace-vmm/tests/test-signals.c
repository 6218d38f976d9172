// SPDX-License-Identifier: GPL-2.0
/*
 * What signals do to a machine and its terminal, from the outside: it runs in a child process, on a
 * pseudo-terminal, with a hypervisor whose guest does nothing.
 * Runs natively: ioctls end in __wrap_ioctl() here (the Makefile links it so).
 * No locks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/boot.h"
#include "machine.h"

#define SETUP		(5 * 512)	/* a bzImage's boot sector and four setup sectors */
#define KERNEL		8192
#define RUN_SIZE	16384
#define WAIT_MS		10000
#define QUIET_MS	100

static char kernel_path[32];
static pid_t child;
static int terminal;			/* its master's side */

/* ---- The hypervisor ---- */

int __wrap_ioctl(int fd, unsigned long cmd, void *arg);
int __real_ioctl(int fd, unsigned long cmd, void *arg);

static int make_vcpu(void)
{
	int fd = memfd_create("vcpu", 0);

	return ftruncate(fd, RUN_SIZE) ? -1 : fd;
}

int __wrap_ioctl(int fd, unsigned long cmd, void *arg)
{
	if (_IOC_TYPE(cmd) != KVMIO)
		return __real_ioctl(fd, cmd, arg);
	switch (cmd) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CREATE_VM:
		return dup(STDIN_FILENO);
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 0;
		return 0;
	case KVM_CREATE_VCPU:
		return make_vcpu();
	case KVM_RUN:
		poll(NULL, 0, 10);
		errno = EINTR;
		return -1;
	case KVM_CHECK_EXTENSION:
		return CPUS_MAX;
	case KVM_SET_MSRS:
		return 1;
	}
	return 0;
}

/* ---- The machine ---- */

static int make_kernel(void **state)
{
	static uint8_t file[SETUP + KERNEL];
	struct setup_header *h = (struct setup_header *)(file + 0x1f1);
	int fd = mkstemp(strcpy(kernel_path, "/tmp/test-signals.XXXXXX"));

	(void)state;
	h->setup_sects = 4;
	h->boot_flag = 0xaa55;
	h->jump = 0x6aeb;
	h->header = 0x53726448;
	h->version = 0x020f;
	h->xloadflags = XLF_KERNEL_64;
	h->syssize = KERNEL / 16;
	h->init_size = KERNEL;
	h->pref_address = 0x200000;
	h->cmdline_size = 2047;
	return write(fd, file, sizeof(file)) == sizeof(file) ? close(fd) : -1;
}

static int remove_kernel(void **state)
{
	(void)state;
	return unlink(kernel_path);
}

__attribute__((noreturn))
static void run(void)
{
	static struct machine m = {
		.cfg = {
			.device = "/dev/null", .kernel = kernel_path, .cmdline = "",
			.memory = 16 << 20, .cpus = 2,
#ifndef __SANITIZE_ADDRESS__
			.sandbox = true,
#endif
		},
	};
	int status;

	machine_create(&m);
	status = machine_run(&m);
	machine_destroy(&m);
	exit(status);
}

static bool is_raw(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(terminal, &t), 0);
	return !(t.c_lflag & ICANON);
}

static void wait_for_terminal(bool raw)
{
	for (unsigned int ms = 0; is_raw() != raw; ms++) {
		assert_true(ms < WAIT_MS);
		usleep(1000);
	}
}

/* Start it; @ignored, if not 0, is a signal that its starter ignores. */
static void start(int ignored)
{
	child = forkpty(&terminal, NULL, NULL, NULL);
	assert_true(child >= 0);
	if (!child) {
		if (ignored)
			signal(ignored, SIG_IGN);
		run();
	}
	wait_for_terminal(true);
}

static void assert_exit(int status)
{
	int got;

	assert_int_equal(waitpid(child, &got, 0), child);
	assert_true(WIFEXITED(got));
	assert_int_equal(WEXITSTATUS(got), status);
	assert_false(is_raw());
	close(terminal);
}

/* ---- The tests ---- */

static const int ends[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };

static void test_ends(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		start(0);
		kill(child, ends[i]);
		assert_exit(EXIT_HOST);
	}
}

/* As under nohup, or in the background of a script. */
static void test_ignored(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < 4; i++) {
		start(ends[i]);
		kill(child, ends[i]);
		usleep(QUIET_MS * 1000);
		assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
		kill(child, SIGTERM);
		assert_exit(EXIT_HOST);
	}
}

static void test_stop(void **state)
{
	int got;

	(void)state;
	start(0);
	for (unsigned int round = 0; round < 2; round++) {
		kill(child, SIGTSTP);
		assert_int_equal(waitpid(child, &got, WUNTRACED), child);
		assert_true(WIFSTOPPED(got));
		assert_false(is_raw());
		kill(child, SIGCONT);
		wait_for_terminal(true);
	}
	kill(child, SIGTERM);
	assert_exit(EXIT_HOST);
}

static void test_quit_key(void **state)
{
	(void)state;
	start(0);
	assert_int_equal(write(terminal, "\001x", 2), 2);
	assert_exit(EXIT_POWEROFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_quit_key),
	};

	alarm(120);		/* nothing waits for ever */
	return cmocka_run_group_tests_name("signals", tests, make_kernel, remove_kernel);
}
