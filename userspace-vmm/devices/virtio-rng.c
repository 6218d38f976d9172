// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-rng: the host's random numbers for the guest.
 * Entered from its own thread alone. No locks.
 * VIRTIO 1.1: Entropy Device.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "devices/virtio.h"

#define RNG_QUEUE_SIZE	8
#define RNG_BYTES_MAX	4096	/* for one request: a guest gets no CPU hog out of it */

static void rng_serve(struct virtio_dev *vdev, struct virtqueue *vq)
{
	uint8_t buf[256];
	uint32_t done = 0;

	while (vdev->chain.in_len && done < RNG_BYTES_MAX) {
		/* Up to 256 bytes come whole and without a wait, once the host has booted. */
		ssize_t n = getrandom(buf, sizeof(buf), 0);

		if (n <= 0)
			break;
		done += chain_write(&vdev->chain, buf, n);
	}
	explicit_bzero(buf, sizeof(buf));
	virtio_push(vdev, vq, done);
}

static void rng_kick(struct virtio_dev *vdev, struct virtqueue *vq)
{
	virtio_serve(vdev, vq, rng_serve);
}

static void rng_destroy(struct virtio_dev *vdev)
{
	free(vdev);
}

static const struct virtio_ops rng_ops = {
	.kick = rng_kick,
	.destroy = rng_destroy,
};

void virtio_rng_create(struct machine *m)
{
	static const uint16_t queue = RNG_QUEUE_SIZE;
	struct virtio_dev *vdev = calloc(1, sizeof(*vdev));

	if (!vdev)
		die("virtio-rng: %s", strerror(ENOMEM));
	virtio_init(vdev, m, &rng_ops, VIRTIO_ID_RNG, "virtio-rng", &queue, 1);
	virtio_pci_add(vdev, 0x00ff00);
}
