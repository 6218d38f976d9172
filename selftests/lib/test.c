// SPDX-License-Identifier: GPL-2.0
/*
 * test.c - runs the cases of one test binary and prints KTAP.
 * Entered by main.c; the cases come from the section test_cases.
 * No locks: one case runs at a time, in a child process.
 * kernel: Documentation/dev-tools/ktap.rst
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define EXIT_SKIP	4
#define CASE_SECONDS	60

/* Weak: the benchmark has no cases. */
extern const struct test_case *const __start_test_cases[] __attribute__((weak));
extern const struct test_case *const __stop_test_cases[] __attribute__((weak));

static const char *device;
static char context[128];
/* Shared with the parent: threads and forks of a case must be able to fail it, too. */
static struct shared {
	int failed;
	int forced;	/* the case has switched the emulator's prefix on */
	char skip[160];
} *shared;

const char *test_device(void)
{
	return device;
}

unsigned int test_slow(void)
{
	const char *slow = getenv("MHV_SLOW");
	int times = slow ? atoi(slow) : 1;

	return times > 0 ? times : 1;
}

static int open_prefix(int flags)
{
	return open(strcmp(device, "/dev/kvm") ?
		    "/sys/module/minihv/parameters/force_emulation_prefix" :
		    "/sys/module/kvm/parameters/force_emulation_prefix", flags | O_CLOEXEC);
}

int test_force_emulation(void)
{
	int fd = open_prefix(O_RDONLY), on;
	char old = 'N';

	on = fd >= 0 && read(fd, &old, 1) == 1 && (old == 'Y' || old == '1');
	if (fd >= 0)
		close(fd);
	if (on)
		return 1;
	fd = open_prefix(O_WRONLY);
	if (fd < 0)
		return 0;
	shared->forced = 1;
	on = write(fd, "1", 1) == 1;
	close(fd);
	return on;
}

/* After the case, however it ended: what comes next must find the module as it is without. */
static void unforce_emulation(void)
{
	int fd = shared->forced ? open_prefix(O_WRONLY) : -1;

	if (fd >= 0 && write(fd, "0", 1) != 1)
		printf("# the emulator's prefix stays on\n");
	if (fd >= 0)
		close(fd);
}

int test_failed(void)
{
	return shared->failed;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A test that fails in a loop must not fill the log. */
	if (__atomic_add_fetch(&shared->failed, 1, __ATOMIC_SEQ_CST) <= 40)
		printf("# %s:%d: %s%s%s\n", file, line, context, *context ? ": " : "", text);
	fflush(stdout);
}

void test_abort(void)
{
	fflush(stdout);
	_exit(1);
}

void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->skip, sizeof(shared->skip), fmt, ap);
	va_end(ap);
	_exit(EXIT_SKIP);
}

void test_info(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
}

void test_context(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
}

static void run_child(const struct test_case *test, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* One that died before that sends no signal. */
	if (getppid() != parent)
		_exit(1);
	alarm(CASE_SECONDS * test_slow());
	test->fn();
	fflush(stdout);
	_exit(shared->failed ? 1 : 0);
}

/* Returns 0, 1 or EXIT_SKIP, having printed the case's result line. */
static int run_case(const struct test_case *test, int number)
{
	pid_t pid, self = getpid();
	int status;

	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	pid = fork();
	if (!pid)
		run_child(test, self);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("not ok %d %s # cannot fork\n", number, test->name);
		return 1;
	}
	unforce_emulation();
	if (WIFSIGNALED(status))
		printf("# %s: %s\n", test->name, WTERMSIG(status) == SIGALRM ?
		       "out of time" : strsignal(WTERMSIG(status)));
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP && !shared->failed) {
		printf("ok %d %s # SKIP %s\n", number, test->name, shared->skip);
		return EXIT_SKIP;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status) && !shared->failed) {
		printf("ok %d %s\n", number, test->name);
		return 0;
	}
	printf("not ok %d %s\n", number, test->name);
	return 1;
}

static int by_line(const void *a, const void *b)
{
	const struct test_case *const *x = a, *const *y = b;

	return (*x)->line - (*y)->line;
}

void test_setup(const char *path)
{
	device = path;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		exit(1);
}

int test_main(int argc, char **argv)
{
	size_t count = __stop_test_cases - __start_test_cases;
	const struct test_case *cases[count];
	int failed = 0, skipped = 0, done = 0;
	const char *only = argc > 2 ? argv[2] : NULL;

	test_setup(argc > 1 ? argv[1] : getenv("DEV") ? getenv("DEV") : "/dev/minihv");
	memcpy(cases, __start_test_cases, sizeof(cases));
	qsort(cases, count, sizeof(cases[0]), by_line);

	printf("TAP version 13\n1..%zu\n", only ? 1 : count);
	for (size_t i = 0; i < count; i++) {
		int result;

		if (only && strcmp(only, cases[i]->name))
			continue;
		result = run_case(cases[i], ++done);
		failed += result == 1;
		skipped += result == EXIT_SKIP;
	}
	printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n",
	       done - failed - skipped, failed, skipped);
	if (failed || !done)
		return 1;
	return skipped == done ? EXIT_SKIP : 0;
}
