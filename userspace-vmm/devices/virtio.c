// SPDX-License-Identifier: GPL-2.0
/*
 * The virtio core: status and feature negotiation, reset, configuration, and queue service.
 * Entered from vCPU threads (set_*, config_access) and from the device's thread (serve, push).
 * virtio_dev.lock: vCPU threads alone. Hand-over of the queues: see struct virtio_dev.
 * VIRTIO 1.1: Device Status Field; Feature Bits; Device Initialization; Device Cleanup.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio.h"

/* ---- The device's thread ---- */

static void queue_broken(struct virtqueue *vq)
{
	struct virtio_dev *vdev = vq->owner;

	/* A driver that resets and errs again must not fill the log. */
	if (!vdev->complained)
		complain("%s: queue %u: the guest's driver is at fault: %s", vdev->name, vq->index,
			 vq->broken);
	vdev->complained = true;
	atomic_fetch_or(&vdev->status, VIRTIO_CONFIG_S_NEEDS_RESET);
	vdev->transport->config_interrupt(vdev);
}

static void kick_event(void *opaque, uint32_t events)
{
	struct virtqueue *vq = opaque;
	struct virtio_dev *vdev = vq->owner;
	uint64_t count;

	(void)events;
	if (read(vq->kick_fd, &count, sizeof(count)) < 0)
		return;		/* EAGAIN: somebody has drained it */
	if (vdev->serving && vq->running)
		vdev->ops->kick(vdev, vq);
}

static void begin_service(struct virtio_dev *vdev)
{
	vdev->serving = true;
	if (vdev->ops->start)
		vdev->ops->start(vdev);
	/* Buffers may have come before we listened. */
	for (unsigned int i = 0; i < vdev->nr_queues; i++) {
		if (vdev->vq[i].running)
			vdev->ops->kick(vdev, &vdev->vq[i]);
	}
}

static void end_service(struct virtio_dev *vdev)
{
	if (vdev->serving && vdev->ops->stop)
		vdev->ops->stop(vdev);
	vdev->serving = false;
}

static void do_start(struct virtio_dev *vdev)
{
	for (unsigned int i = 0; i < vdev->nr_queues; i++) {
		if (vdev->vq[i].enabled)
			virtqueue_start(&vdev->vq[i], vdev->features);
	}
	if (atomic_load(&vdev->bus_master))
		begin_service(vdev);
}

static void do_reset(struct virtio_dev *vdev)
{
	end_service(vdev);
	for (unsigned int i = 0; i < vdev->nr_queues; i++)
		virtqueue_reset(&vdev->vq[i]);
}

static void do_bus_master(struct virtio_dev *vdev)
{
	bool ready = atomic_load(&vdev->status) & VIRTIO_CONFIG_S_DRIVER_OK;

	if (!atomic_load(&vdev->bus_master))
		end_service(vdev);
	else if (ready && !vdev->serving)
		begin_service(vdev);
}

void virtio_serve(struct virtio_dev *vdev, struct virtqueue *vq, virtio_serve_one one)
{
	unsigned int budget = vq->size;

	do {
		virtqueue_disable_kicks(vq);
		/* A ring of large requests may take minutes: who ends the run does not wait. */
		while (!machine_stopping(vdev->m) && virtqueue_pop(vq, &vdev->chain)) {
			one(vdev, vq);
			if (!--budget) {
				virtio_kick(vdev, vq->index);
				return;
			}
		}
	} while (!machine_stopping(vdev->m) && virtqueue_enable_kicks(vq));
}

void virtio_interrupt(struct virtio_dev *vdev, struct virtqueue *vq)
{
	if (virtqueue_wants_interrupt(vq))
		vdev->transport->queue_interrupt(vdev, vq->index);
}

void virtio_push(struct virtio_dev *vdev, struct virtqueue *vq, uint32_t len)
{
	virtqueue_push(vq, &vdev->chain, len);
	virtio_interrupt(vdev, vq);
}

/* ---- Calls from vCPU threads into the device's thread ---- */

struct call {
	struct virtio_dev *vdev;
	void (*fn)(struct virtio_dev *vdev);
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void run_call(void *opaque, uint32_t events)
{
	struct call *call = opaque;

	(void)events;
	call->fn(call->vdev);
	pthread_mutex_lock(&call->lock);
	call->done = true;
	pthread_cond_signal(&call->cond);
	pthread_mutex_unlock(&call->lock);
}

/* Run @fn on the device's thread and wait: between two chains, so nothing is half done. */
static void call_device(struct virtio_dev *vdev, void (*fn)(struct virtio_dev *vdev))
{
	struct call call = {
		.vdev = vdev,
		.fn = fn,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};

	if (loop_post(vdev->loop, run_call, &call)) {
		/* Without memory for the call the device cannot be stopped safely. */
		complain("%s: %s", vdev->name, strerror(ENOMEM));
		machine_stop(vdev->m, EXIT_HOST);
		return;
	}
	pthread_mutex_lock(&call.lock);
	while (!call.done)
		pthread_cond_wait(&call.cond, &call.lock);
	pthread_mutex_unlock(&call.lock);
}

/* ---- The transport's side ---- */

static bool features_acceptable(const struct virtio_dev *vdev)
{
	return !(vdev->features & ~vdev->host_features) &&
	       (vdev->features & (1ull << VIRTIO_F_VERSION_1));
}

void virtio_set_status(struct virtio_dev *vdev, uint8_t val)
{
	uint8_t old = atomic_load(&vdev->status);

	if (!val) {
		call_device(vdev, do_reset);
		vdev->handed_over = false;
		vdev->features = 0;
		atomic_store(&vdev->status, 0);
		return;
	}
	/* Bits are only ever added; the device alone sets NEEDS_RESET. */
	val &= ~(old | VIRTIO_CONFIG_S_NEEDS_RESET);
	if ((val & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(vdev))
		val &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!((old | val) & VIRTIO_CONFIG_S_FEATURES_OK))
		val &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	atomic_fetch_or(&vdev->status, val);
	if (val & VIRTIO_CONFIG_S_DRIVER_OK) {
		vdev->handed_over = true;
		call_device(vdev, do_start);
	}
}

void virtio_set_features(struct virtio_dev *vdev, uint32_t sel, uint32_t val)
{
	/* After FEATURES_OK they are agreed. */
	if (sel > 1 || (atomic_load(&vdev->status) & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	vdev->features &= ~(0xffffffffull << 32 * sel);
	vdev->features |= (uint64_t)val << 32 * sel;
}

void virtio_set_bus_master(struct virtio_dev *vdev, bool on)
{
	pthread_mutex_lock(&vdev->lock);
	atomic_store(&vdev->bus_master, on);
	if (vdev->handed_over)
		call_device(vdev, do_bus_master);
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_config_access(struct virtio_dev *vdev, uint64_t off, void *data, unsigned int len,
			  bool write)
{
	uint8_t *byte = data;
	bool changed = false;

	pthread_mutex_lock(&vdev->lock);
	if (off < vdev->config_len && len <= vdev->config_len - off) {
		if (!write)
			memcpy(data, vdev->config + off, len);
		for (unsigned int i = 0; write && i < len; i++) {
			if (vdev->config_wmask[off + i]) {
				vdev->config[off + i] = byte[i];
				changed = true;
			}
		}
		if (changed && vdev->ops->config_written)
			vdev->ops->config_written(vdev);
	}
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_kick(struct virtio_dev *vdev, unsigned int index)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full: the thread will come. */
	if (write(vdev->vq[index].kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		complain("%s: eventfd: %s", vdev->name, strerror(errno));
}

/* ---- Set-up and end ---- */

void virtio_init(struct virtio_dev *vdev, struct machine *m, const struct virtio_ops *ops,
		 uint16_t type, const char *name, const uint16_t *queue_sizes,
		 unsigned int nr_queues)
{
	vdev->m = m;
	vdev->ops = ops;
	vdev->type = type;
	snprintf(vdev->name, sizeof(vdev->name), "%s", name);
	vdev->nr_queues = nr_queues;
	vdev->host_features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			      1ull << VIRTIO_RING_F_INDIRECT_DESC;
	pthread_mutex_init(&vdev->lock, NULL);
	vdev->loop = loop_create(vdev->name);
	for (unsigned int i = 0; i < nr_queues; i++) {
		struct virtqueue *vq = &vdev->vq[i];
		int err;

		*vq = (struct virtqueue) {
			.m = m,
			.owner = vdev,
			.index = i,
			.size_max = queue_sizes[i],
			.size = queue_sizes[i],
			.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.on_broken = queue_broken,
		};
		if (vq->kick_fd < 0)
			die("%s: eventfd: %s", name, strerror(errno));
		err = loop_add_fd(vdev->loop, vq->kick_fd, EPOLLIN, kick_event, vq);
		if (err)
			die("%s: epoll: %s", name, strerror(-err));
	}
	loop_start(vdev->loop);
}

void virtio_stop_thread(struct virtio_dev *vdev)
{
	loop_stop(vdev->loop);
	end_service(vdev);
}

void virtio_free(struct virtio_dev *vdev)
{
	loop_destroy(vdev->loop);
	for (unsigned int i = 0; i < vdev->nr_queues; i++)
		close(vdev->vq[i].kick_fd);
	vdev->ops->destroy(vdev);
}
