/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An event loop on a thread of its own, for device I/O off the vCPU threads (epoll, timerfd).
 * Callbacks run on the loop's thread, one at a time; every function may be called on any thread.
 * loop.lock is held while a callback runs: deleting from another thread waits for the callback,
 * so hold no lock there that the callback takes.
 */
#ifndef MINIVMM_LOOP_H
#define MINIVMM_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct loop_timer;

/** typedef loop_cb - @events is EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll has them */
typedef void (*loop_cb)(void *opaque, uint32_t events);

/** loop_create() - a loop that does not run yet; @name becomes its thread's. Dies on failure */
struct loop *loop_create(const char *name);

/** loop_start() - run it on a thread of its own, with all signals blocked. Dies on failure */
void loop_start(struct loop *loop);

/** loop_stop() - end the thread after the present callback, and wait. Not from a callback */
void loop_stop(struct loop *loop);

/** loop_destroy() - stop, forget all fds and timers (fds stay open: they are the callers') */
void loop_destroy(struct loop *loop);

/**
 * loop_add_fd() - call @cb whenever @events come up on @fd (level-triggered unless EPOLLET)
 *
 * An eventfd is not drained: the callback reads it.
 * Return: 0; -EEXIST, -ENOMEM, -EPERM (a regular file) as epoll_ctl() has it.
 */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_cb cb, void *opaque);

/**
 * loop_mod_fd() - other events for the same callback; 0 mutes it, but for hang-ups and errors
 *
 * Return: 0 or -ENOENT.
 */
int loop_mod_fd(struct loop *loop, int fd, uint32_t events);

/** loop_del_fd() - no callback for @fd begins after this. Call it before close(). 0 or -ENOENT */
int loop_del_fd(struct loop *loop, int fd);

/** loop_post() - run @cb(@opaque, 0) once on the loop's thread, soon. Return: 0 or -ENOMEM */
int loop_post(struct loop *loop, loop_cb cb, void *opaque);

/** loop_timer_create() - a disarmed timer. Return: NULL with errno set */
struct loop_timer *loop_timer_create(struct loop *loop, loop_cb cb, void *opaque);

/** loop_timer_set() - fire once when CLOCK_MONOTONIC reaches @deadline_ns; 0 disarms */
void loop_timer_set(struct loop_timer *t, uint64_t deadline_ns);

/** loop_timer_destroy() - no callback begins after this */
void loop_timer_destroy(struct loop_timer *t);

/** loop_now_ns() - CLOCK_MONOTONIC in nanoseconds */
uint64_t loop_now_ns(void);

#endif
