/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The console's making and unmaking; devices see chardev.h alone.
 * Entered from machine.c, and terminal_restore() from exits and signal handlers.
 * No locks.
 */
#ifndef MINIVMM_TERMINAL_H
#define MINIVMM_TERMINAL_H

struct machine;

/** chardev_create() - before the devices, which attach themselves to it. Dies */
void chardev_create(struct machine *m);

/** chardev_start() - make a terminal raw and let input come. After everything that may die */
void chardev_start(struct machine *m);

/** terminal_restore() - as it was before; signal-safe, harmless when repeated */
void terminal_restore(void);

/** terminal_stop() - stop the process, the terminal as it was before; raw again when continued */
void terminal_stop(void);

/** terminal_die() - a signal handler: restore the terminal, then die of that signal */
void terminal_die(int sig);

#endif
