// SPDX-License-Identifier: GPL-2.0
/*
 * load_nth.c - load a module with its 1st, 2nd, ... nth allocation failing, until none is left to
 * fail, or until the LAST that is wanted: load_nth MODULE [FIRST [STEP [LAST]]]
 * First it says how many a load has, and how many before its parameters are read: those are the
 * loader's own (sections, tracepoints, static keys), the others sysfs's and the module's. FIRST may
 * be "init", which is there. What failed must have said so with ENOMEM (EFAULT, where it was a copy
 * from or to the process), and must leave nothing that can be seen; what did without must work, and
 * go. Whether memory leaked, kmemleak knows. The module is not loaded when it begins, nor when it
 * ends. FAIL_NTH may name another file than /proc/self/fail-nth: that of failalloc.ko.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

#define MOST	1000000		/* no load has so many */
#define SAY	20		/* attempts between two lines that say how far it is */

static int nth_fd, module_fd, init;

static void knobs(void)
{
	static const struct {
		const char *path, *value;
	} knob[] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(knob); i++) {
		char path[96];
		int fd;

		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", knob[i].path);
		fd = open(path, O_WRONLY);
		if (fd < 0)
			continue;
		if (write(fd, knob[i].value, strlen(knob[i].value)) < 0)
			printf("# %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* The write itself copies, and takes what may be left from before: then it is tried once more. */
static int set_nth(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	return pwrite(nth_fd, text, len, 0) == len || pwrite(nth_fd, text, len, 0) == len ? 0 : -1;
}

/*
 * Load with the @n-th allocation failing: 0, or -errno; @left is what is left of @n, 0 if the
 * failure was injected. The file is open already: what opening it allocates is no business of the
 * module's.
 */
static int load(const char *parameters, int n, int *left)
{
	char text[16] = "";
	int e;

	if (set_nth(n))
		return -EIO;
	e = syscall(SYS_finit_module, module_fd, parameters, 0) ? -errno : 0;
	/* The read copies, too: if that is what failed, the load had one less. */
	*left = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 1;
	return set_nth(0) ? -EIO : e;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "minihv", O_NONBLOCK) ? errno : 0;
}

static int file_has(const char *path, const char *word)
{
	static char text[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t r;

	while (fd >= 0 && (r = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += r;
	close(fd);
	text[len] = 0;
	return !!strstr(text, word);
}

/* What is there of minihv that can be seen: its name, or NULL. */
static const char *trace_of_it(void)
{
	static const char *const file[] = {
		"/dev/minihv", "/dev/kvm", "/sys/module/minihv", "/sys/class/misc/minihv",
		"/sys/kernel/debug/minihv", "/sys/kernel/tracing/events/minihv",
	};
	static const char *const list[] = {
		"/proc/modules", "/proc/misc", "/sys/devices/system/cpu/hotplug/states",
	};

	for (size_t i = 0; i < ARRAY_SIZE(file); i++)
		if (!access(file[i], F_OK))
			return file[i];
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (file_has(list[i], "minihv"))
			return list[i];
	return NULL;
}

/* Can a VM with a vCPU be made? */
static int works(void)
{
	int dev = open("/dev/minihv", O_RDWR | O_CLOEXEC);
	int vm = ioctl(dev, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	close(vcpu);
	close(vm);
	close(dev);
	return vcpu >= 0;
}

/* One attempt: what is wrong, or NULL. */
static const char *attempt(int n, int *left, int *failed)
{
	int e = load("", n, left);

	*failed = e != 0;
	if (!e && !works())
		return "loaded, and does not work";
	if (!e && unload())
		return "loaded, and cannot be unloaded";
	if (e && *left)
		return "failed without a reason";
	if (e && e != -ENOMEM && e != -EFAULT)
		return strerror(-e);
	return trace_of_it();
}

static int ready(const char *path)
{
	int left = 0, failed = 0;
	const char *wrong;

	nth_fd = open(getenv("FAIL_NTH") ?: "/proc/self/fail-nth", O_RDWR);
	module_fd = path ? open(path, O_RDONLY) : -1;
	if (nth_fd < 0 || module_fd < 0)
		return 0;
	knobs();
	/* Its own page faults are not what is to fail. */
	if (mlockall(MCL_CURRENT))
		printf("# mlockall: %s\n", strerror(errno));
	/* The second load counts: the first one finds caches empty. */
	for (int i = 0; i < 2; i++) {
		wrong = attempt(MOST, &left, &failed);
		if (wrong) {
			printf("not ok 1 load # without a failure: %s\n", wrong);
			exit(1);
		}
	}
	init = MOST;
	if (load("kvm_minor=?", MOST, &init) != -EINVAL) {
		printf("not ok 1 load # a bad parameter was taken\n");
		exit(1);
	}
	init = MOST - init;
	printf("# a load has %d allocations, %d before its parameters are read\n", MOST - left,
	       init);
	return 1;
}

int main(int argc, char **argv)
{
	int n, step = argc > 3 ? atoi(argv[3]) : 1;
	int last = argc > 4 ? atoi(argv[4]) : MOST - 1;
	int left = 0, failed, nr_failed = 0, nr_loaded = 0, bad = 0, hits = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..1\n");
	if (!ready(argc > 1 ? argv[1] : NULL)) {
		printf("ok 1 load # SKIP no fault injection, or no module\n");
		return 4;
	}
	n = argc > 2 ? atoi(argv[2]) : 1;
	if (argc > 2 && !strcmp(argv[2], "init"))
		n = init;
	for (; n <= last && !left && bad < 10; n += step) {
		const char *wrong = attempt(n, &left, &failed);

		if (wrong) {
			printf("# number %d: %s\n", n, wrong);
			bad++;
		}
		hits += !left;
		nr_failed += failed;
		nr_loaded += !failed;
		if ((nr_failed + nr_loaded) % SAY == 0)
			printf("# number %d: %d loads failed, %d did not\n", n, nr_failed,
			       nr_loaded);
	}
	printf("# %d loads failed, %d did not, the last was number %d%s\n", nr_failed, nr_loaded,
	       n - step, left ? ", which had no failure" : "");
	if (attempt(MOST, &left, &failed))
		bad++;
	printf("%s 1 load\n", bad || !hits ? "not ok" : "ok");
	return bad || !hits;
}
