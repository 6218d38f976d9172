// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-net: a network card, its other end a net_backend (tap, or the user mode network).
 * Entered from its own thread alone, which both queues and the backend's fd wake. No locks.
 * VIRTIO 1.1: Network Device.
 */
#include <errno.h>
#include <endian.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio.h"
#include "net/backend.h"

#define RX			0
#define TX			1
#define NET_QUEUE_SIZE		256
#define RX_BATCH		64	/* frames before the thread's other events are looked at */
#define STALE_MAX		1024	/* frames that a new driver is spared */
#define MAC_LEN			6
#define NET_CONFIG_LEN		offsetof(struct virtio_net_config, speed)
#define NET_HDR			sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define NUM_BUFFERS		offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers)

_Static_assert(NUM_BUFFERS + 2 == NET_HDR, "num_buffers does not end the header");
_Static_assert(NET_CONFIG_LEN <= VIRTIO_CONFIG_MAX, "virtio_dev.config is too small");

struct net {
	struct virtio_dev vdev;		/* first: the ops cast it back */
	struct net_backend be;
	uint32_t wanted;		/* events of be.fd that the loop watches */
	size_t rx_len;			/* bytes in rx_buf that wait for the guest; 0: none */
	uint8_t rx_buf[NET_HDR + NET_FRAME_MAX];	/* header and frame */
};

/* EPOLLIN: we can take a frame. EPOLLOUT: the guest has one that the backend had no room for. */
static void net_watch(struct net *net, uint32_t events)
{
	if (events != net->wanted)
		loop_mod_fd(net->vdev.loop, net->be.fd, events);
	net->wanted = events;
}

/* ---- Receive ---- */

/* Get a frame into rx_buf. Return: false if the backend has none. */
static bool rx_fetch(struct net *net)
{
	size_t skip = net->be.vnet_hdr ? 0 : NET_HDR;
	ssize_t n = read(net->be.fd, net->rx_buf + skip, sizeof(net->rx_buf) - skip);

	if (n <= 0)
		return false;
	memset(net->rx_buf, 0, skip);	/* no checksum to complete, one segment */
	net->rx_len = skip + n;
	if (net->rx_len <= NET_HDR)
		net->rx_len = 0;	/* no frame in it: the next one */
	return true;
}

/*
 * Put rx_buf into the guest's buffers: one, or with MRG_RXBUF as many as it takes.
 * Return: false if the guest has to provide more first; the frame then waits for its kick.
 */
static bool rx_deliver(struct net *net)
{
	struct virtqueue *vq = &net->vdev.vq[RX];
	struct virtq_chain *c = &net->vdev.chain;
	bool mergeable = virtio_has(&net->vdev, VIRTIO_NET_F_MRG_RXBUF);
	uint8_t *num_buffers[2] = { NULL };	/* its bytes may lie in two descriptors */
	unsigned int used = 0;
	size_t done = 0;

	while (done < net->rx_len) {
		size_t n;

		/* More than there can be at a time are an endless supply of empty ones. */
		if (used == vq->size || !virtqueue_pop(vq, c)) {
			/* Ask for a kick before what was popped goes back: its next buffer is what
			 * we wait for, not one that we have seen.
			 */
			if (used < vq->size && virtqueue_enable_kicks(vq)) {
				virtqueue_disable_kicks(vq);
				continue;
			}
			virtqueue_unpop(vq, used);
			virtqueue_unfill(vq, used);
			/* Too large for all the buffers there can be: lost, not waited for. */
			return used == vq->size;
		}
		if (!used) {
			for (unsigned int i = 0; i < 2; i++)
				num_buffers[i] = chain_in_at(c, NUM_BUFFERS + i);
			if (!num_buffers[1]) {
				virtqueue_break(vq, "a receive buffer has no room for the header");
				return false;
			}
		}
		n = chain_write(c, net->rx_buf + done, net->rx_len - done);
		done += n;
		/* Too large a frame for a driver without MRG_RXBUF is lost, its buffer is not. */
		if (!mergeable && done < net->rx_len) {
			virtqueue_unpop(vq, 1);
			return true;
		}
		virtqueue_fill(vq, c->head, n);
		used++;
	}
	*num_buffers[0] = used & 0xff;
	*num_buffers[1] = used >> 8;
	virtqueue_flush(vq);
	return true;
}

static void net_receive(struct net *net)
{
	struct virtqueue *vq = &net->vdev.vq[RX];

	virtqueue_disable_kicks(vq);
	for (unsigned int i = 0; i < RX_BATCH; i++) {
		if (!net->rx_len && !rx_fetch(net))
			break;
		if (!net->rx_len)
			continue;
		if (!rx_deliver(net)) {
			net_watch(net, net->wanted & ~EPOLLIN);
			break;
		}
		net->rx_len = 0;
	}
	virtio_interrupt(&net->vdev, vq);
}

/* ---- Transmit ---- */

/*
 * Send the popped chain. Return: false if the backend has no room; anything else that goes wrong
 * loses the frame, as on a wire.
 */
static bool tx_send(struct net *net)
{
	struct virtq_chain *c = &net->vdev.chain;

	if (!net->be.vnet_hdr)
		chain_skip_out(c, NET_HDR);
	if (!c->nr_out || c->out_len > sizeof(net->rx_buf))
		return true;
	return writev(net->be.fd, c->out, c->nr_out) >= 0 || errno != EAGAIN;
}

static void net_transmit(struct net *net)
{
	struct virtqueue *vq = &net->vdev.vq[TX];
	unsigned int budget = vq->size;

	if (net->wanted & EPOLLOUT)
		return;
	do {
		virtqueue_disable_kicks(vq);
		while (virtqueue_pop(vq, &net->vdev.chain)) {
			if (!tx_send(net)) {
				virtqueue_unpop(vq, 1);
				net_watch(net, net->wanted | EPOLLOUT);
				goto out;
			}
			virtqueue_push(vq, &net->vdev.chain, 0);
			if (!--budget) {
				virtio_kick(&net->vdev, TX);
				goto out;
			}
		}
	} while (virtqueue_enable_kicks(vq));
out:
	virtio_interrupt(&net->vdev, vq);
}

/* ---- Events ---- */

static void net_backend_event(void *opaque, uint32_t events)
{
	struct net *net = opaque;

	/* A tap that was deleted: nothing comes any more, and epoll must not spin on it. */
	if (events & (EPOLLERR | EPOLLHUP)) {
		loop_del_fd(net->vdev.loop, net->be.fd);
		return;
	}
	if (!net->vdev.serving) {
		net_watch(net, 0);
		return;
	}
	if (events & EPOLLOUT) {
		net_watch(net, net->wanted & ~EPOLLOUT);
		net_transmit(net);
	}
	if (events & EPOLLIN)
		net_receive(net);
}

static void net_kick(struct virtio_dev *vdev, struct virtqueue *vq)
{
	struct net *net = (struct net *)vdev;

	if (vq->index == TX) {
		net_transmit(net);
	} else {
		net_watch(net, net->wanted | EPOLLIN);
		net_receive(net);
	}
}

static void net_start(struct virtio_dev *vdev)
{
	struct net *net = (struct net *)vdev;

	if (net->be.set_features)
		net->be.set_features(&net->be, vdev->features);
	/* What came while there was no driver is stale, and what the one before had no room for. */
	net->rx_len = 0;
	for (unsigned int i = 0; i < STALE_MAX && rx_fetch(net); i++)
		net->rx_len = 0;
	net_watch(net, EPOLLIN);
}

static void net_stop(struct virtio_dev *vdev)
{
	net_watch((struct net *)vdev, 0);
}

static void net_destroy(struct virtio_dev *vdev)
{
	struct net *net = (struct net *)vdev;

	net->be.close(&net->be);
	free(net);
}

static const struct virtio_ops net_ops = {
	.start = net_start,
	.stop = net_stop,
	.kick = net_kick,
	.destroy = net_destroy,
};

/* ---- Set-up ---- */

static void net_mac(const struct net_option *opt, uint8_t mac[MAC_LEN])
{
	unsigned int byte[MAC_LEN];
	char end;

	if (!opt->mac) {
		/* Ours to give: locally administered, not a group's. */
		if (getrandom(mac, MAC_LEN, 0) != MAC_LEN)
			die("--net: getrandom: %s", strerror(errno));
		mac[0] = 0x52;
		mac[1] = 0x54;
		return;
	}
	if (strlen(opt->mac) != 3 * MAC_LEN - 1 ||
	    sscanf(opt->mac, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) != MAC_LEN)
		die("--net mac=%s: not of the form 52:54:00:12:34:56", opt->mac);
	for (unsigned int i = 0; i < MAC_LEN; i++)
		mac[i] = byte[i];
	if (mac[0] & 1)
		die("--net mac=%s: is a multicast address", opt->mac);
}

void virtio_net_create(struct machine *m, const struct net_option *opt)
{
	static unsigned int count;
	static const uint16_t queues[] = { NET_QUEUE_SIZE, NET_QUEUE_SIZE };
	struct net *net = calloc(1, sizeof(*net));
	struct virtio_net_config config = { 0 };
	char name[sizeof(net->vdev.name)];
	int err;

	if (!net)
		die("--net: %s", strerror(ENOMEM));
	net_mac(opt, config.mac);
	if (opt->kind == NET_TAP)
		net_tap_open(&net->be, opt->ifname);
	else
		net_user_open(&net->be, opt);
	snprintf(name, sizeof(name), "virtio-net%u", count++);
	virtio_init(&net->vdev, m, &net_ops, VIRTIO_ID_NET, name, queues, 2);
	net->vdev.host_features |= 1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS |
				   1ull << VIRTIO_NET_F_MRG_RXBUF | net->be.features;
	if (net->be.mtu)
		net->vdev.host_features |= 1ull << VIRTIO_NET_F_MTU;
	config.status = htole16(VIRTIO_NET_S_LINK_UP);
	config.max_virtqueue_pairs = htole16(1);
	config.mtu = htole16(net->be.mtu);
	net->vdev.config_len = NET_CONFIG_LEN;
	memcpy(net->vdev.config, &config, NET_CONFIG_LEN);
	err = loop_add_fd(net->vdev.loop, net->be.fd, 0, net_backend_event, net);
	if (err)
		die("--net: epoll: %s", strerror(-err));
	virtio_pci_add(&net->vdev, 0x020000);
}
