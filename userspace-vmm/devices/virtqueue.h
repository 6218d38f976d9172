/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One split virtqueue: take descriptor chains off the available ring, return them on the used one.
 * Entered from a device's own thread alone, once the transport has called virtqueue_start().
 * No locks: a queue belongs to one thread; what it shares with the guest is ordered by barriers.
 * VIRTIO 1.1: Split Virtqueues. Everything read from the rings is the guest's word, and checked.
 */
#ifndef MINIVMM_VIRTQUEUE_H
#define MINIVMM_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct machine;
struct vring_desc;
struct vring_avail;
struct vring_used;

#define VIRTQUEUE_SIZE_MAX	256	/* entries; a power of two */
#define VIRTQUEUE_CHAIN_MAX	256	/* buffers in one chain, directly or by an indirect table */

/** struct virtqueue - the driver's set-up, and how far the device has got */
struct virtqueue {
	/* Constant: any thread may read these */
	struct machine *m;
	void *owner;			/* the device */
	void (*on_broken)(struct virtqueue *vq);
	unsigned int index;
	int kick_fd;			/* eventfd: the driver added buffers */
	uint16_t size_max;

	/* What the driver chose; the transport's until virtqueue_start() */
	uint16_t size;
	bool enabled;
	uint64_t desc_gpa, avail_gpa, used_gpa;

	/* Running: the device thread's */
	bool running, event_idx, indirect;
	const char *broken;		/* what the driver did wrong; nothing is served any more */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail;		/* the next available entry to take */
	uint16_t next_used;		/* the next used entry to fill */
	uint16_t published;		/* the used index as the driver sees it */
	uint16_t signalled;		/* the used index at the last interrupt decision */
};

/**
 * struct virtq_chain - one descriptor chain, as host memory
 *
 * out is what the driver wrote for the device, in is what the device writes. chain_read() and
 * chain_write() consume them from the front. The driver can still change the bytes: a value that
 * is checked must be read once, by chain_read().
 */
struct virtq_chain {
	uint16_t head;
	struct iovec *out, *in;
	unsigned int nr_out, nr_in;
	uint64_t out_len, in_len;	/* bytes left in each */
	struct iovec iov[VIRTQUEUE_CHAIN_MAX];
};

/**
 * virtqueue_start() - begin to serve a queue that the driver has enabled
 * @features: what was negotiated (VIRTIO_RING_F_EVENT_IDX and INDIRECT_DESC matter)
 *
 * Return: false, and the queue is broken, unless all three rings are aligned and in guest RAM.
 */
bool virtqueue_start(struct virtqueue *vq, uint64_t features);

/** virtqueue_reset() - back to the state before the driver touched it */
void virtqueue_reset(struct virtqueue *vq);

/** virtqueue_break() - stop serving the queue for good, and tell its device. @why is constant */
void virtqueue_break(struct virtqueue *vq, const char *why);

/**
 * virtqueue_pop() - take the next available chain
 *
 * Return: false when there is none, or when the driver broke the rules: then the queue is broken.
 */
bool virtqueue_pop(struct virtqueue *vq, struct virtq_chain *chain);

/** virtqueue_unpop() - put the last @n chains back, none of which has been pushed */
void virtqueue_unpop(struct virtqueue *vq, unsigned int n);

/** virtqueue_fill() - note a used chain of which @len bytes were written; not yet visible */
void virtqueue_fill(struct virtqueue *vq, uint16_t head, uint32_t len);

/** virtqueue_unfill() - forget the last @n chains that were filled and not flushed */
void virtqueue_unfill(struct virtqueue *vq, unsigned int n);

/** virtqueue_flush() - make all that was filled visible to the driver */
void virtqueue_flush(struct virtqueue *vq);

/** virtqueue_push() - fill and flush one chain */
void virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t len);

/** virtqueue_wants_interrupt() - whether the driver asked to hear of what was flushed since */
bool virtqueue_wants_interrupt(struct virtqueue *vq);

/** virtqueue_disable_kicks() - ask the driver for no notifications while we are looking anyway */
void virtqueue_disable_kicks(struct virtqueue *vq);

/**
 * virtqueue_enable_kicks() - ask the driver for a notification with its next buffer
 *
 * Return: true if it has added one meanwhile: then there may be no notification, look again.
 */
bool virtqueue_enable_kicks(struct virtqueue *vq);

/** chain_read() - copy from the front of out and consume it. Return: bytes, fewer at its end */
uint64_t chain_read(struct virtq_chain *chain, void *buf, uint64_t len);

/** chain_write() - copy to the front of in and consume it. Return: bytes, fewer at its end */
uint64_t chain_write(struct virtq_chain *chain, const void *buf, uint64_t len);

/** chain_skip_in() - consume @len bytes of in, which somebody else has written */
void chain_skip_in(struct virtq_chain *chain, uint64_t len);

/** chain_skip_out() - consume @len bytes of out */
void chain_skip_out(struct virtq_chain *chain, uint64_t len);

/** chain_in_at() - where byte @off of in is. Return: NULL if in is not as long */
uint8_t *chain_in_at(const struct virtq_chain *chain, uint64_t off);

/** chain_take_last() - cut the last byte off in. Return: where it is; NULL if in is empty */
uint8_t *chain_take_last(struct virtq_chain *chain);

#endif
