// SPDX-License-Identifier: GPL-2.0
/*
 * Split virtqueues: the rings, in guest RAM that the guest may write at any moment.
 * Entered from a device's own thread alone.
 * No locks. Each barrier below says which access of the driver it is ordered against.
 * VIRTIO 1.1: Split Virtqueues; Virtqueue Descriptor Table; Notification Suppression.
 */
#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "devices/virtqueue.h"
#include "memory.h"

#define CHAIN_BYTES_MAX	(1ull << 32)	/* the specification's limit for one chain */

/* One access each, so that the compiler neither tears nor repeats it. */
static uint16_t ring_u16(const __virtio16 *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static void ring_set_u16(__virtio16 *p, uint16_t val)
{
	__atomic_store_n(p, htole16(val), __ATOMIC_RELAXED);
}

/* The event fields: each lies behind the other side's ring. */
static __virtio16 *avail_event(struct virtqueue *vq)
{
	return (__virtio16 *)&vq->used->ring[vq->size];
}

static __virtio16 *used_event(struct virtqueue *vq)
{
	return &vq->avail->ring[vq->size];
}

void virtqueue_break(struct virtqueue *vq, const char *why)
{
	if (vq->broken)
		return;
	vq->broken = why;
	if (vq->on_broken)
		vq->on_broken(vq);
}

bool virtqueue_start(struct virtqueue *vq, uint64_t features)
{
	uint64_t n = vq->size;

	/* Each ring's length includes its event field: no check is needed on use. */
	vq->desc = mem_ptr(vq->m, vq->desc_gpa, n * sizeof(*vq->desc));
	vq->avail = mem_ptr(vq->m, vq->avail_gpa, sizeof(*vq->avail) + (n + 1) * 2);
	vq->used = mem_ptr(vq->m, vq->used_gpa,
			   sizeof(*vq->used) + n * sizeof(vq->used->ring[0]) + 2);
	vq->event_idx = features & (1ull << VIRTIO_RING_F_EVENT_IDX);
	vq->indirect = features & (1ull << VIRTIO_RING_F_INDIRECT_DESC);
	vq->running = true;
	if (!vq->desc || !vq->avail || !vq->used ||
	    vq->desc_gpa % VRING_DESC_ALIGN_SIZE || vq->avail_gpa % VRING_AVAIL_ALIGN_SIZE ||
	    vq->used_gpa % VRING_USED_ALIGN_SIZE) {
		virtqueue_break(vq, "a ring is not aligned or not in RAM");
		return false;
	}
	return true;
}

void virtqueue_reset(struct virtqueue *vq)
{
	/* All but the constants at the front, which other threads read meanwhile. */
	memset(&vq->size, 0, sizeof(*vq) - offsetof(struct virtqueue, size));
	vq->size = vq->size_max;
}

/* An indirect table may lie anywhere. */
typedef struct vring_desc unaligned_desc __attribute__((aligned(1)));

/* Read a descriptor once: what was checked is what is used, whatever the guest writes now. */
static struct vring_desc desc_read(const struct vring_desc *table, unsigned int i)
{
	const volatile unaligned_desc *d = (const volatile unaligned_desc *)table + i;

	return (struct vring_desc) {
		.addr = le64toh(d->addr),
		.len = le32toh(d->len),
		.flags = le16toh(d->flags),
		.next = le16toh(d->next),
	};
}

/* Append one buffer. Return: NULL, or what is wrong with it. */
static const char *chain_add(struct virtqueue *vq, struct virtq_chain *chain,
			     const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	struct iovec *iov = chain->iov + chain->nr_out + chain->nr_in;

	if (!in && chain->nr_in)
		return "a readable descriptor follows a writable one";
	if (!d->len)
		return NULL;
	if (chain->nr_out + chain->nr_in == VIRTQUEUE_CHAIN_MAX)
		return "a chain is too long";
	iov->iov_base = mem_ptr(vq->m, d->addr, d->len);
	iov->iov_len = d->len;
	if (!iov->iov_base)
		return "a buffer is not in RAM";
	if (in) {
		chain->nr_in++;
		chain->in_len += d->len;
	} else {
		chain->nr_out++;
		chain->out_len += d->len;
	}
	if (chain->in_len + chain->out_len > CHAIN_BYTES_MAX)
		return "a chain is longer than 4 GiB";
	return NULL;
}

/*
 * Follow a chain. A loop ends at VIRTQUEUE_CHAIN_MAX descriptors, which no valid chain exceeds,
 * and one that points to an indirect table; chain_add() keeps to the iov array.
 */
static const char *chain_walk(struct virtqueue *vq, struct virtq_chain *chain)
{
	const struct vring_desc *table = vq->desc;
	unsigned int size = vq->size, i = chain->head;

	for (unsigned int n = 0; n <= VIRTQUEUE_CHAIN_MAX; n++) {
		struct vring_desc d;
		const char *wrong;

		if (i >= size)
			return "a descriptor index is beyond its table";
		d = desc_read(table, i);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!vq->indirect || table != vq->desc || (d.flags & VRING_DESC_F_NEXT))
				return "an indirect descriptor where none may be";
			table = mem_ptr(vq->m, d.addr, d.len);
			if (!table || d.len % sizeof(d))
				return "an indirect table is of odd length or not in RAM";
			size = d.len / sizeof(d);
			i = 0;
			continue;
		}
		wrong = chain_add(vq, chain, &d);
		if (wrong)
			return wrong;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return NULL;
		i = d.next;
	}
	return "a chain loops";
}

bool virtqueue_pop(struct virtqueue *vq, struct virtq_chain *chain)
{
	uint16_t waiting;
	const char *wrong;

	if (!vq->running || vq->broken)
		return false;
	waiting = ring_u16(&vq->avail->idx) - vq->next_avail;
	if (!waiting)
		return false;
	if (waiting > vq->size) {
		virtqueue_break(vq, "the available index ran ahead of the queue");
		return false;
	}
	/* The entry and its descriptors after the index: pairs with the driver's barrier before
	 * it stores the index.
	 */
	atomic_thread_fence(memory_order_acquire);

	chain->head = ring_u16(&vq->avail->ring[vq->next_avail % vq->size]);
	chain->nr_out = 0;
	chain->nr_in = 0;
	chain->out_len = 0;
	chain->in_len = 0;
	wrong = chain_walk(vq, chain);
	if (wrong) {
		virtqueue_break(vq, wrong);
		return false;
	}
	chain->out = chain->iov;
	chain->in = chain->iov + chain->nr_out;
	vq->next_avail++;
	return true;
}

void virtqueue_unpop(struct virtqueue *vq, unsigned int n)
{
	vq->next_avail -= n;
}

void virtqueue_fill(struct virtqueue *vq, uint16_t head, uint32_t len)
{
	volatile struct vring_used_elem *e = &vq->used->ring[vq->next_used % vq->size];

	e->id = htole32(head);
	e->len = htole32(len);
	vq->next_used++;
}

void virtqueue_unfill(struct virtqueue *vq, unsigned int n)
{
	vq->next_used -= n;
}

void virtqueue_flush(struct virtqueue *vq)
{
	/* The entries and the buffers before the index: pairs with the driver's barrier after it
	 * has loaded the index.
	 */
	atomic_thread_fence(memory_order_release);
	ring_set_u16(&vq->used->idx, vq->next_used);
	vq->published = vq->next_used;
}

void virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain, uint32_t len)
{
	virtqueue_fill(vq, chain->head, len);
	virtqueue_flush(vq);
}

bool virtqueue_wants_interrupt(struct virtqueue *vq)
{
	uint16_t old = vq->signalled;

	if (!vq->running || vq->broken || vq->published == old)
		return false;
	vq->signalled = vq->published;
	/* Our index is stored before the driver's wish is loaded. The driver stores its wish, then
	 * loads our index (virtqueue_enable_cb): one of the two sees the other.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (!vq->event_idx)
		return !(ring_u16(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(ring_u16(used_event(vq)), vq->published, old);
}

void virtqueue_disable_kicks(struct virtqueue *vq)
{
	/* With the event index nothing is to be done: the index stays where it was, behind. */
	if (vq->running && !vq->broken && !vq->event_idx)
		ring_set_u16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool virtqueue_enable_kicks(struct virtqueue *vq)
{
	if (!vq->running || vq->broken)
		return false;
	if (vq->event_idx)
		ring_set_u16(avail_event(vq), vq->next_avail);
	else
		ring_set_u16(&vq->used->flags, 0);
	/* Our wish is stored before the driver's index is loaded. The driver stores its index, then
	 * loads our wish (virtqueue_kick_prepare): one of the two sees the other.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	return ring_u16(&vq->avail->idx) != vq->next_avail;
}

/* ---- Bytes of a chain ---- */

/* Take @len bytes off the front of an iov array; @buf, if there, is copied from or to. */
static uint64_t iov_take(struct iovec **iov, unsigned int *nr, uint64_t *left, void *to,
			 const void *from, uint64_t len)
{
	uint64_t done = 0;

	while (done < len && *nr) {
		struct iovec *v = *iov;
		uint64_t n = len - done < v->iov_len ? len - done : v->iov_len;

		if (to)
			memcpy((uint8_t *)to + done, v->iov_base, n);
		if (from)
			memcpy(v->iov_base, (const uint8_t *)from + done, n);
		v->iov_base = (uint8_t *)v->iov_base + n;
		v->iov_len -= n;
		if (!v->iov_len) {
			++*iov;
			--*nr;
		}
		done += n;
	}
	*left -= done;
	return done;
}

uint64_t chain_read(struct virtq_chain *chain, void *buf, uint64_t len)
{
	return iov_take(&chain->out, &chain->nr_out, &chain->out_len, buf, NULL, len);
}

uint64_t chain_write(struct virtq_chain *chain, const void *buf, uint64_t len)
{
	return iov_take(&chain->in, &chain->nr_in, &chain->in_len, NULL, buf, len);
}

void chain_skip_in(struct virtq_chain *chain, uint64_t len)
{
	iov_take(&chain->in, &chain->nr_in, &chain->in_len, NULL, NULL, len);
}

void chain_skip_out(struct virtq_chain *chain, uint64_t len)
{
	iov_take(&chain->out, &chain->nr_out, &chain->out_len, NULL, NULL, len);
}

uint8_t *chain_in_at(const struct virtq_chain *chain, uint64_t off)
{
	for (unsigned int i = 0; i < chain->nr_in; off -= chain->in[i++].iov_len) {
		if (off < chain->in[i].iov_len)
			return (uint8_t *)chain->in[i].iov_base + off;
	}
	return NULL;
}

uint8_t *chain_take_last(struct virtq_chain *chain)
{
	struct iovec *last;

	if (!chain->nr_in)
		return NULL;
	last = &chain->in[chain->nr_in - 1];
	chain->in_len--;
	if (!--last->iov_len)
		chain->nr_in--;
	return (uint8_t *)last->iov_base + last->iov_len;
}
