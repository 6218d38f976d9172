/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What minivmm says to its user: one line to stderr, "minivmm: ...", raw terminal or not.
 * Entered from everywhere. No locks: a line is one write(2).
 */
#ifndef MINIVMM_LOG_H
#define MINIVMM_LOG_H

#define EXIT_POWEROFF	0	/* the guest switched itself off, or reset itself */
#define EXIT_FAILURE_	1	/* minivmm or the host failed while the guest ran */
#define EXIT_USAGE	2	/* a wrong option or unusable file: nothing was started */
#define EXIT_PANIC	3	/* the guest reported a panic */
#define EXIT_CRASH	4	/* the guest cannot go on: triple fault, entry failure, ... */

/** die() - one line, then exit with EXIT_USAGE. For set-up alone, before a vCPU runs */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/** complain() - one line; the caller goes on */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
