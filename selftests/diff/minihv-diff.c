// SPDX-License-Identifier: GPL-2.0
/*
 * minihv-diff.c - the oracle: carries out sequences that seeds determine on one device, and prints
 * what could be observed. scripts/lib/diff-compare compares what two devices printed.
 * Entered as minihv-diff --device DEV --kind KIND --seeds A-B [--only STEP,...].
 * No locks: each seed is a process of its own, under a time limit.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "diff.h"

#define SEED_SECONDS	30
#define MAX_STEPS	64

static const struct kind *const kinds[NR_KINDS] = {
	[KIND_SYSTEM] = &kind_system,
	[KIND_IOCTL] = &kind_ioctl,
	[KIND_STATE] = &kind_state,
	[KIND_INSN] = &kind_insn,
	[KIND_IRQ] = &kind_irq,
	[KIND_SLOTS] = &kind_slots,
};

static const char *device = "/dev/minihv";
static u64 only = ~0ULL;		/* the steps that are carried out */

static void one_seed(enum kind_id id, u64 seed)
{
	const struct kind *kind = kinds[id];
	static struct diff d;
	unsigned int steps;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(SEED_SECONDS);
	d.kind = id;
	d.seed = seed;
	d.dev = open(device, O_RDWR | O_CLOEXEC);
	must(&d, d.dev, "open");
	rng_seed(&d.rng, seed, ~0ULL - id);
	steps = kind->steps > 1 ? kind->steps / 2 + below(&d, kind->steps / 2) : kind->steps;
	kind->begin(&d);
	for (d.step = 1; d.step <= steps && !d.stop; d.step++) {
		if (!(only & BIT(d.step - 1)))
			continue;
		rng_seed(&d.rng, seed, (u64)id << 32 | d.step);
		kind->act(&d);
	}
	fflush(stdout);
	_exit(0);
}

static void run_seed(enum kind_id id, u64 seed)
{
	int status;
	pid_t pid;

	printf("= %s %llu\n", kinds[id]->name, (unsigned long long)seed);
	fflush(stdout);
	pid = fork();
	if (!pid)
		one_seed(id, seed);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		printf("? cannot fork\n");
	else if (WIFSIGNALED(status))
		printf("? ended by signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		printf("? ended with status %d\n", WEXITSTATUS(status));
}

static int usage(void)
{
	fprintf(stderr,
		"Usage: minihv-diff [--device DEV] --kind KIND --seeds A[-B] [--only STEP,...]\n"
		"Kinds:");
	for (int i = 0; i < NR_KINDS; i++)
		if (kinds[i])
			fprintf(stderr, " %s", kinds[i]->name);
	fprintf(stderr, "\n");
	return 2;
}

static void parse_only(char *list)
{
	only = 0;
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ","))
		if (atoi(word) >= 1 && atoi(word) <= MAX_STEPS)
			only |= BIT(atoi(word) - 1);
}

int main(int argc, char **argv)
{
	u64 first = 1, last = 1;
	int kind = NR_KINDS;

	/* Some errors depend on where memory is mapped: at the same place each time. */
	if (!(personality(0xffffffff) & ADDR_NO_RANDOMIZE) &&
	    personality(ADDR_NO_RANDOMIZE) >= 0)
		execv("/proc/self/exe", argv);
	for (int i = 1; i + 1 < argc; i += 2) {
		char *value = argv[i + 1];

		if (!strcmp(argv[i], "--device")) {
			device = value;
		} else if (!strcmp(argv[i], "--kind")) {
			for (kind = 0; kind < NR_KINDS; kind++)
				if (kinds[kind] && !strcmp(kinds[kind]->name, value))
					break;
		} else if (!strcmp(argv[i], "--seeds")) {
			first = strtoull(value, &value, 0);
			last = *value == '-' ? strtoull(value + 1, NULL, 0) : first;
		} else if (!strcmp(argv[i], "--only")) {
			parse_only(value);
		} else {
			return usage();
		}
	}
	if (argc < 2 || kind == NR_KINDS)
		return usage();
	for (u64 seed = first; seed <= last; seed++)
		run_seed(kind, seed);
	return 0;
}
