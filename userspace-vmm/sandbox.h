/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What minivmm may still do once the guest runs.
 * Entered from machine_run().
 * No locks.
 */
#ifndef MINIVMM_SANDBOX_H
#define MINIVMM_SANDBOX_H

/**
 * sandbox_user() - give up root for @name, its group and no other groups, in every thread. Dies
 *
 * All that needs root (the device, disks, tap) is open by then.
 */
void sandbox_user(const char *name);

/**
 * sandbox_enter() - no new privileges, and a seccomp filter on every thread
 *
 * A system call that is not on the list ends the process with one line that names it. Dies when
 * the filter cannot be installed.
 */
void sandbox_enter(void);

#endif
