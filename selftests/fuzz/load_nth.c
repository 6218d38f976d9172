// SPDX-License-Identifier: GPL-2.0
/*
 * load_nth.c - load a module with its 1st, 2nd, ... nth allocation failing, until none is left to
 * fail, or until the LAST that is wanted: load_nth MODULE [FIRST [STEP [LAST]]]
 * What failed must leave nothing: the next attempt works, and the module can be unloaded. Whether
 * memory leaked, kmemleak knows. The module is not loaded when it begins, nor when it ends.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

#define MOST	20000

static int nth_fd;

static void knob(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		if (write(fd, value, strlen(value)) < 0)
			printf("# %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

static int load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	r = syscall(SYS_finit_module, fd, "", 0);
	close(fd);
	return r;
}

/* The file is opened before: what opening it allocates is no business of the module's. */
static int load_failing(int fd, int n, int *used)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n), r, e;

	if (pwrite(nth_fd, text, len, 0) != len)
		return -1;
	r = syscall(SYS_finit_module, fd, "", 0);
	e = errno;
	memset(text, 0, sizeof(text));
	*used = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	if (pwrite(nth_fd, "0", 1, 0) != 1)
		return -1;
	errno = e;
	return r;
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 1, step = argc > 3 ? atoi(argv[3]) : 1;
	int last = argc > 4 ? atoi(argv[4]) : MOST - 1;
	int fd, used = 1, failed = 0, loaded = 0, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..1\n");
	nth_fd = open("/proc/self/fail-nth", O_RDWR);
	fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	if (nth_fd < 0 || fd < 0) {
		printf("ok 1 load # SKIP no fault injection, or no module\n");
		return 4;
	}
	knob("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	knob("/sys/kernel/debug/failslab/verbose", "0");
	knob("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	knob("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	knob("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	knob("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	for (; n <= last && used && !bad; n += step) {
		if (load_failing(fd, n, &used)) {
			failed++;
			if (!used || access("/dev/minihv", F_OK) == 0) {
				printf("# attempt %d: %s, or something was left\n", n,
				       strerror(errno));
				bad = 1;
			}
			continue;
		}
		loaded++;
		bad = syscall(SYS_delete_module, "minihv", O_NONBLOCK) != 0;
	}
	bad |= load(argv[1]) || syscall(SYS_delete_module, "minihv", O_NONBLOCK);
	printf("# %d loads failed, %d did not, the last was number %d%s\n", failed, loaded,
	       n - step, used ? "" : ", which had no failure");
	printf("%s 1 load\n", bad || !failed ? "not ok" : "ok");
	return bad || !failed;
}
