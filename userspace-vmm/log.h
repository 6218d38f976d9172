/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What minivmm says to its user: one line to stderr, "minivmm: ...", raw terminal or not.
 * Entered from everywhere. No locks: a line is one write(2).
 */
#ifndef MINIVMM_LOG_H
#define MINIVMM_LOG_H

/*
 * The exit statuses. A reset is not 0: a Linux guest with panic=N and without a pvpanic driver
 * ends its panic by one, and that must not look like success.
 */
#define EXIT_POWEROFF	0	/* the guest switched itself off, or the user quit */
#define EXIT_HOST	1	/* minivmm or the host failed while the guest ran */
#define EXIT_USAGE	2	/* a wrong option or unusable file: nothing was started */
#define EXIT_PANIC	3	/* the guest reported a panic */
#define EXIT_CRASH	4	/* the guest cannot go on: triple fault, entry failure, ... */
#define EXIT_RESET	5	/* the guest reset itself */

/** die() - one line, then exit with EXIT_USAGE. For set-up alone, before a vCPU runs */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/** complain() - one line; the caller goes on. Any thread */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
