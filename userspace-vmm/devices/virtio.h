/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all virtio devices share: status, features, configuration, the device's own thread.
 * Entered from vCPU threads through the transport, and from the device's thread.
 * virtio_dev.lock serialises the vCPU threads; it is held while they wait for the device's thread,
 * which therefore never takes it.
 * VIRTIO 1.1: Basic Facilities of a Virtio Device; Device Initialization.
 */
#ifndef MINIVMM_VIRTIO_H
#define MINIVMM_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtqueue.h"
#include "machine.h"

#define VIRTIO_CONFIG_MAX	64
#define VIRTIO_QUEUES_MAX	4

struct virtio_dev;

/** struct virtio_ops - a device type. All but config_written run on the device's thread */
struct virtio_ops {
	/* The queues are there: the driver is ready, and memory may be accessed. Optional. */
	void (*start)(struct virtio_dev *vdev);
	/* No buffer may be kept and no queue or guest memory touched from here on. Optional. */
	void (*stop)(struct virtio_dev *vdev);
	/* There are, or were, new buffers in this queue. */
	void (*kick)(struct virtio_dev *vdev, struct virtqueue *vq);
	/* The driver changed vdev->config. On a vCPU thread, with vdev->lock held. Optional. */
	void (*config_written)(struct virtio_dev *vdev);
	/* Free the device; its thread has ended. */
	void (*destroy)(struct virtio_dev *vdev);
};

/** struct virtio_transport - how a device interrupts its driver. Any thread */
struct virtio_transport {
	void (*queue_interrupt)(struct virtio_dev *vdev, unsigned int index);
	void (*config_interrupt)(struct virtio_dev *vdev);
};

/**
 * struct virtio_dev - one device
 *
 * Legend: [c] constant after set-up, [l] under lock, [d] the device's thread alone, [a] atomic.
 * The queues are the vCPU threads' until DRIVER_OK hands them to the device's thread; reset hands
 * them back. Either is a call that waits until the device's thread has done it.
 */
struct virtio_dev {
	const struct virtio_ops *ops;			/* [c] */
	const struct virtio_transport *transport;	/* [c] */
	void *transport_data;				/* [c] */
	struct machine *m;				/* [c] */
	struct loop *loop;				/* [c] the device's thread */
	char name[24];					/* [c] */
	uint16_t type;					/* [c] VIRTIO_ID_* */
	uint64_t host_features;				/* [c] */
	unsigned int nr_queues, config_len;		/* [c] */
	uint8_t config_wmask[VIRTIO_CONFIG_MAX];	/* [c] bytes the driver may write */

	pthread_mutex_t lock;
	uint64_t features;				/* [l]; constant while handed over */
	uint8_t config[VIRTIO_CONFIG_MAX];		/* [l] */
	bool handed_over;				/* [l] the queues are the device thread's */

	_Atomic uint8_t status;				/* [a] */
	_Atomic bool bus_master;			/* [a] we may access memory */
	bool serving;					/* [d] between ops->start and ops->stop */
	bool complained;				/* [d] about its driver: once is enough */
	struct virtqueue vq[VIRTIO_QUEUES_MAX];
	struct virtq_chain chain;			/* [d] the one being served */
};

/**
 * virtio_init() - make a device and its thread; the caller has set nothing but zeroes
 * @queue_sizes: @nr_queues of them, powers of two
 *
 * Fill in host_features, config and config_len next, then give it to its transport. Dies.
 */
void virtio_init(struct virtio_dev *vdev, struct machine *m, const struct virtio_ops *ops,
		 uint16_t type, const char *name, const uint16_t *queue_sizes,
		 unsigned int nr_queues);

/** virtio_stop_thread() - the first half of taking a device down; all vCPUs have stopped */
void virtio_stop_thread(struct virtio_dev *vdev);

/** virtio_free() - the second half; frees the device by its own ops->destroy */
void virtio_free(struct virtio_dev *vdev);

/* ---- For the transport, on vCPU threads ---- */

/** virtio_set_status() - the driver writes device status; 0 resets. Waits. vdev->lock held */
void virtio_set_status(struct virtio_dev *vdev, uint8_t val);

/** virtio_set_features() - the driver writes 32 bits, @sel 0 the low half. vdev->lock held */
void virtio_set_features(struct virtio_dev *vdev, uint32_t sel, uint32_t val);

/** virtio_set_bus_master() - let the device access memory, or stop it and wait until it has */
void virtio_set_bus_master(struct virtio_dev *vdev, bool on);

/** virtio_config_access() - device-specific configuration; beyond its end nothing happens */
void virtio_config_access(struct virtio_dev *vdev, uint64_t off, void *data, unsigned int len,
			  bool write);

/** virtio_kick() - the driver notified queue @index without an ioeventfd */
void virtio_kick(struct virtio_dev *vdev, unsigned int index);

/* ---- For the devices, on their own thread ---- */

/** typedef virtio_serve_one - handle vdev->chain, and push it or leave it for later */
typedef void (*virtio_serve_one)(struct virtio_dev *vdev, struct virtqueue *vq);

/**
 * virtio_serve() - pop and handle chains until the queue is empty
 *
 * After one ring's worth it lets the thread's other events through, and kicks itself.
 */
void virtio_serve(struct virtio_dev *vdev, struct virtqueue *vq, virtio_serve_one one);

/** virtio_push() - return vdev->chain to the driver, with an interrupt if it wants one */
void virtio_push(struct virtio_dev *vdev, struct virtqueue *vq, uint32_t len);

/** virtio_interrupt() - interrupt the driver if it wants to hear of this queue */
void virtio_interrupt(struct virtio_dev *vdev, struct virtqueue *vq);

/** virtio_has() - whether feature bit @bit was negotiated */
static inline bool virtio_has(const struct virtio_dev *vdev, unsigned int bit)
{
	return vdev->features >> bit & 1;
}

/** virtio_pci_add() - put a device on the PCI bus, and have it freed when the machine ends. Dies */
void virtio_pci_add(struct virtio_dev *vdev, uint32_t class);

#endif
