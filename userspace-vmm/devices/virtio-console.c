// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-console: one port, bound to the terminal that minivmm runs on (chardev.h).
 * Entered from its own thread, and with input from the machine's loop.
 * input_lock guards the ring between the two; it is a leaf.
 * VIRTIO 1.1: Console Device.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"
#include "devices/virtio.h"

#define RX			0
#define TX			1
#define CONSOLE_QUEUE_SIZE	64
#define INPUT_SIZE		4096	/* a power of two: indices run freely */

struct console {
	struct virtio_dev vdev;		/* first: the ops cast it back */
	pthread_mutex_t input_lock;
	bool heard;			/* the driver has sent something; our thread's own */
	uint32_t head, tail;		/* bytes taken in, bytes given to the guest */
	uint8_t input[INPUT_SIZE];
};

/* On the machine's loop: keep what there is room for, and wake our own thread. */
static size_t console_input(void *opaque, const uint8_t *buf, size_t len)
{
	struct console *con = opaque;
	size_t n = 0;

	pthread_mutex_lock(&con->input_lock);
	while (n < len && con->head - con->tail < INPUT_SIZE)
		con->input[con->head++ % INPUT_SIZE] = buf[n++];
	pthread_mutex_unlock(&con->input_lock);
	virtio_kick(&con->vdev, RX);
	return n;
}

static size_t input_take(struct console *con, uint8_t *buf, size_t len)
{
	size_t n = 0;

	pthread_mutex_lock(&con->input_lock);
	while (n < len && con->tail != con->head)
		buf[n++] = con->input[con->tail++ % INPUT_SIZE];
	pthread_mutex_unlock(&con->input_lock);
	return n;
}

static bool input_waits(struct console *con)
{
	bool waits;

	pthread_mutex_lock(&con->input_lock);
	waits = con->head != con->tail;
	pthread_mutex_unlock(&con->input_lock);
	return waits;
}

/*
 * Linux fills the receive queue before it is ready to keep what comes, and drops it till then; so
 * input waits for the first output.
 */
static void console_receive(struct console *con)
{
	struct virtqueue *vq = &con->vdev.vq[RX];
	uint8_t buf[256];

	if (!con->heard)
		return;
	do {
		virtqueue_disable_kicks(vq);
		/* A buffer is taken only when there is something to put into it. */
		while (input_waits(con) && virtqueue_pop(vq, &con->vdev.chain)) {
			uint64_t room = con->vdev.chain.in_len;
			size_t n = input_take(con, buf, room < sizeof(buf) ? room : sizeof(buf));

			virtio_push(&con->vdev, vq, chain_write(&con->vdev.chain, buf, n));
		}
		chardev_resume(con->vdev.m);
	} while (virtqueue_enable_kicks(vq) && input_waits(con));
}

static void console_send(struct virtio_dev *vdev, struct virtqueue *vq)
{
	struct virtq_chain *c = &vdev->chain;
	uint8_t buf[1024];
	uint64_t n;

	((struct console *)vdev)->heard = true;
	while ((n = chain_read(c, buf, sizeof(buf))) > 0)
		chardev_write(vdev->m, buf, n);
	virtio_push(vdev, vq, 0);
}

static void console_kick(struct virtio_dev *vdev, struct virtqueue *vq)
{
	struct console *con = (struct console *)vdev;
	bool heard = con->heard;

	if (vq->index == TX)
		virtio_serve(vdev, vq, console_send);
	if (vq->index == RX || heard != con->heard)
		console_receive(con);
}

static void console_destroy(struct virtio_dev *vdev)
{
	free(vdev);
}

static const struct virtio_ops console_ops = {
	.kick = console_kick,
	.destroy = console_destroy,
};

void virtio_console_create(struct machine *m)
{
	static const uint16_t queues[] = { CONSOLE_QUEUE_SIZE, CONSOLE_QUEUE_SIZE };
	struct console *con = calloc(1, sizeof(*con));

	if (!con)
		die("--console: %s", strerror(ENOMEM));
	pthread_mutex_init(&con->input_lock, NULL);
	virtio_init(&con->vdev, m, &console_ops, VIRTIO_ID_CONSOLE, "virtio-console", queues, 2);
	chardev_attach(m, console_input, con);
	virtio_pci_add(&con->vdev, 0x078000);
}
