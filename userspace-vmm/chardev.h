/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The terminal (or pipe) behind a console device, 16550 or virtio-console; exactly one has it.
 * Input comes on the machine's loop thread. Output may come from any thread.
 * The receive callback runs without any lock of chardev's, but within the loop's.
 */
#ifndef MINIVMM_CHARDEV_H
#define MINIVMM_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

struct machine;

/**
 * typedef chardev_receive - input for the guest
 *
 * On the loop's thread. Return: how many bytes were taken; with fewer than @len, input stops
 * until chardev_resume().
 */
typedef size_t (*chardev_receive)(void *opaque, const uint8_t *buf, size_t len);

/** chardev_attach() - who gets the input. Before the machine starts */
void chardev_attach(struct machine *m, chardev_receive receive, void *opaque);

/** chardev_resume() - the receiver has room again. Any thread; cheap when nothing waits */
void chardev_resume(struct machine *m);

/** chardev_write() - guest output to stdout; waits while a slow reader's buffer is full */
void chardev_write(struct machine *m, const uint8_t *buf, size_t len);

/** chardev_flush() - have what the guest wrote appear before what we are about to say */
void chardev_flush(struct machine *m);

#endif
