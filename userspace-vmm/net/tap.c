// SPDX-License-Identifier: GPL-2.0
/*
 * A tap device as a network card's other end.
 * Entered from virtio-net: set-up, feature negotiation, end. No locks.
 * Linux: Documentation/networking/tuntap.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "log.h"
#include "net/backend.h"

/* What the guest takes, tap may hand over: frames of several segments, checksums left blank. */
static void tap_set_features(struct net_backend *be, uint64_t features)
{
	unsigned int offload = 0;

	if (features & (1ull << VIRTIO_NET_F_GUEST_CSUM)) {
		offload = TUN_F_CSUM;
		if (features & (1ull << VIRTIO_NET_F_GUEST_TSO4))
			offload |= TUN_F_TSO4;
		if (features & (1ull << VIRTIO_NET_F_GUEST_TSO6))
			offload |= TUN_F_TSO6;
	}
	ioctl(be->fd, TUNSETOFFLOAD, offload);	/* part of what net_tap_open() has tried */
}

static void tap_close(struct net_backend *be)
{
	close(be->fd);
}

void net_tap_open(struct net_backend *be, const char *ifname)
{
	int hdr_size = sizeof(struct virtio_net_hdr_mrg_rxbuf);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (!*ifname || strlen(ifname) >= sizeof(ifr.ifr_name))
		die("--net tap=%s: not a valid interface name", ifname);
	/* TUNSETIFF would make one that nobody has set up. */
	if (!if_nametoindex(ifname))
		die("--net tap=%s: %s", ifname, strerror(errno));
	strcpy(ifr.ifr_name, ifname);
	be->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (be->fd < 0)
		die("--net tap=%s: /dev/net/tun: %s", ifname, strerror(errno));
	if (ioctl(be->fd, TUNSETIFF, &ifr))
		die("--net tap=%s: %s", ifname,
		    errno == EINVAL ? "not a tap interface of one queue" : strerror(errno));
	if (ioctl(be->fd, TUNSETVNETHDRSZ, &hdr_size) ||
	    ioctl(be->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) ||
	    ioctl(be->fd, TUNSETOFFLOAD, 0))
		die("--net tap=%s: the host's tap cannot do virtio's offloads: %s", ifname,
		    strerror(errno));
	be->vnet_hdr = true;
	be->features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
		       1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_CSUM |
		       1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6;
	be->set_features = tap_set_features;
	be->close = tap_close;
}
