/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The other end of a network card: a file descriptor that gives and takes one Ethernet frame a
 * call, a tap device's or the socket of the user mode network.
 * Entered from virtio-net's set-up, its thread (offloads) and its end. No locks.
 */
#ifndef MINIVMM_NET_BACKEND_H
#define MINIVMM_NET_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

struct net_option;

#define NET_FRAME_MAX	(65536 + 18)	/* an IP packet of any size, Ethernet header and VLAN tag */

/** struct net_backend - filled by one of the functions below */
struct net_backend {
	int fd;			/* non-blocking; reads and writes whole frames */
	bool vnet_hdr;		/* a virtio_net_hdr_mrg_rxbuf precedes each frame, both ways */
	uint16_t mtu;		/* what the guest should use; 0: does not matter */
	uint64_t features;	/* VIRTIO_NET_F_* offloads that it can do */
	void (*set_features)(struct net_backend *be, uint64_t features);	/* optional */
	void (*close)(struct net_backend *be);
	void *opaque;
};

/** net_tap_open() - attach to the existing tap device @ifname. Dies */
void net_tap_open(struct net_backend *be, const char *ifname);

/**
 * net_user_open() - a network of our own behind the host's sockets, by libslirp
 *
 * The guest is 10.0.2.15 (DHCP), the gateway 10.0.2.2 is the host itself, loopback included, and
 * 10.0.2.3 its name server. What @opt has in forward[] listens on the host from now on. Runs a
 * thread. Dies.
 */
void net_user_open(struct net_backend *be, const struct net_option *opt);

#endif
