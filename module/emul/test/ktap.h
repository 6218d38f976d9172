/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KTAP output for the emulator's native tests.
 * Entered from the test programs beside it.
 * No locks: one thread.
 * Documentation/dev-tools/ktap.rst, "The Kernel Test Anything Protocol".
 */
#ifndef EMUL_KTAP_H
#define EMUL_KTAP_H

#include <stdio.h>

static unsigned int ktap_nr, ktap_failed;

static inline void ktap_plan(unsigned int n)
{
	printf("KTAP version 1\n1..%u\n", n);
}

static inline void ktap_result(bool ok, const char *name)
{
	printf("%s %u %s\n", ok ? "ok" : "not ok", ++ktap_nr, name);
	if (!ok)
		ktap_failed++;
	fflush(stdout);
}

static inline void ktap_skip(const char *name, const char *why)
{
	printf("ok %u %s # SKIP %s\n", ++ktap_nr, name, why);
}

/* The exit status that goes with what was printed. */
static inline int ktap_exit(void)
{
	return ktap_failed ? 1 : 0;
}

#endif /* EMUL_KTAP_H */
