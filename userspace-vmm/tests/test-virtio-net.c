// SPDX-License-Identifier: GPL-2.0
/*
 * A virtio network card on the user mode network, driven as a guest's driver would: ARP and ICMP
 * with the gateway, which libslirp answers by itself, so nothing leaves this process; and a
 * connection to a forwarded port.
 * Runs natively: see guest.h.
 * VIRTIO 1.1: Network Device; Notification Suppression.
 */
#include "tests/guest.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>

#define RX		0
#define TX		1
#define HDR		sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define ETHERNET	14
#define HEADERS		(ETHERNET + 20 + 8)	/* of a ping */

/* Guest physical addresses: receive buffer n, and the frame to send */
#define BUFFER(n)	(0x100000ull + 0x10000 * (n))
#define FRAME		0x800000ull

static const uint8_t guest_mac[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static uint8_t gateway_mac[6];
static uint16_t seen;			/* used receive buffers that were looked at */
static bool event_idx;			/* what says whether to kick */

static struct net_forward forward = { .text = "the test's", .guest_port = 80 };

/* A port of the loopback interface that nobody has: what the kernel gave a socket just before. */
static void choose_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	forward.host.s_addr = htonl(INADDR_LOOPBACK);
	forward.guest.s_addr = inet_addr("10.0.2.15");
	sin.sin_addr = forward.host;
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	forward.host_port = ntohs(sin.sin_port);
	close(fd);
}

static int power_on(void **state)
{
	struct net_option opt = { .kind = NET_USER, .mac = "52:54:00:12:34:56", .nr_forwards = 1 };

	(void)state;
	if (machine_begin())
		return -1;
	choose_port();
	opt.forward[0] = forward;
	virtio_net_create(&m, &opt);
	machine_find_device();
	seen = 0;
	event_idx = true;
	return 0;
}

/* ---- The driver ---- */

static bool kick_wanted(unsigned int q, uint16_t old)
{
	uint16_t event = *(uint16_t *)&used(q)->ring[RING_SIZE];

	if (!event_idx)
		return !(used(q)->flags & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(event, avail(q)->idx, old);
}

/* Give the card @n receive buffers; kick if it asked for that, as a driver must. */
static void give_buffers(unsigned int first, unsigned int n, uint32_t len)
{
	uint16_t old = avail(RX)->idx;

	for (unsigned int i = first; i < first + n; i++) {
		desc(RX)[i] = (struct vring_desc) { BUFFER(i), len, VRING_DESC_F_WRITE, 0 };
		offer(RX, i);
	}
	if (kick_wanted(RX, old))
		kick(RX);
}

static void transmit(uint32_t len)
{
	uint16_t old = avail(TX)->idx;

	memset(ram + FRAME - HDR, 0, HDR);
	desc(TX)[0] = (struct vring_desc) { FRAME - HDR, HDR + len, 0, 0 };
	offer(TX, 0);
	if (kick_wanted(TX, old))
		kick(TX);
	for (unsigned int ms = 0; ms < WAIT_MS; ms++) {
		if (__atomic_load_n(&used(TX)->idx, __ATOMIC_ACQUIRE) == avail(TX)->idx)
			return;
		usleep(1000);
	}
	fail_msg("the frame was not sent");
}

/* Wait for a frame and join its buffers. Return: its length, 0 if none comes. */
static unsigned int receive(uint8_t *frame, int ms)
{
	struct virtio_net_hdr_mrg_rxbuf *hdr;
	unsigned int len = 0, n;

	for (; used(RX)->idx == seen; ms--) {
		if (ms <= 0)
			return 0;
		usleep(1000);
	}
	hdr = (void *)(ram + BUFFER(used(RX)->ring[seen % RING_SIZE].id));
	n = hdr->num_buffers;
	assert_in_range((uint16_t)(used(RX)->idx - seen), n, RING_SIZE);
	for (unsigned int i = 0; i < n; i++, seen++) {
		struct vring_used_elem *e = &used(RX)->ring[seen % RING_SIZE];

		memcpy(frame + len, ram + BUFFER(e->id), e->len);
		len += e->len;
	}
	memmove(frame, frame + HDR, len - HDR);
	return len - HDR;
}

/* ---- Its protocols ---- */

static uint16_t checksum(const uint8_t *p, unsigned int len)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < len; i += 2)
		sum += p[i] << 8 | (i + 1 < len ? p[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static void ethernet(const uint8_t *to, uint16_t type)
{
	memcpy(ram + FRAME, to, 6);
	memcpy(ram + FRAME + 6, guest_mac, 6);
	ram[FRAME + 12] = type >> 8;
	ram[FRAME + 13] = type & 0xff;
}

/* Ask for the gateway's address; its frames need ours, too. */
static void resolve(void)
{
	static const uint8_t all[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	static const uint8_t from[] = { 10, 0, 2, 15 }, to[] = { 10, 0, 2, 2 };
	uint8_t frame[0x20000];
	uint8_t *arp = ram + FRAME + ETHERNET;

	ethernet(all, 0x0806);
	memset(arp, 0, 46);
	memcpy(arp, request, sizeof(request));
	memcpy(arp + 8, guest_mac, 6);
	memcpy(arp + 14, from, 4);
	memcpy(arp + 24, to, 4);
	transmit(ETHERNET + 46);
	do {		/* past what was on its way before a reset */
		assert_true(receive(frame, WAIT_MS) >= ETHERNET + 28);
	} while (frame[12] != 8 || frame[13] != 6);
	assert_memory_equal(frame + ETHERNET + 14, to, 4);
	memcpy(gateway_mac, frame + ETHERNET + 8, 6);
}

static void ping(unsigned int size)
{
	uint8_t *ip = ram + FRAME + ETHERNET, *icmp = ip + 20;
	uint16_t len = 28 + size, sum;
	const uint8_t header[20] = { 0x45, 0, len >> 8, len & 0xff, 0, 1, 0, 0, 64, 1, 0, 0,
				     10, 0, 2, 15, 10, 0, 2, 2 };

	ethernet(gateway_mac, 0x0800);
	memcpy(ip, header, sizeof(header));
	sum = checksum(ip, 20);
	memcpy(ip + 10, &sum, 2);
	memset(icmp, 0, 8);
	icmp[0] = 8;
	for (unsigned int i = 0; i < size; i++)
		icmp[8 + i] = i * 7 + (i >> 8);
	sum = checksum(icmp, 8 + size);
	memcpy(icmp + 2, &sum, 2);
	transmit(HEADERS + size);
}

static void pong(unsigned int size, int ms)
{
	uint8_t frame[0x20000];

	assert_int_equal(receive(frame, ms), HEADERS + size);
	assert_int_equal(frame[ETHERNET + 20], 0);
	for (unsigned int i = 0; i < size; i++)
		assert_int_equal(frame[HEADERS + i], (uint8_t)(i * 7 + (i >> 8)));
}

/* ---- The tests ---- */

static void test_config(void **state)
{
	uint64_t config = structure(VIRTIO_PCI_CAP_DEVICE_CFG);
	uint16_t mtu = rd(config + offsetof(struct virtio_net_config, mtu), 2);

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(rd(config + i, 1), guest_mac[i]);
	assert_int_equal(rd(config + offsetof(struct virtio_net_config, status), 2),
			 VIRTIO_NET_S_LINK_UP);
	assert_in_range(mtu, 1500, 65535);
	wr(config, 4, 0);
	assert_int_equal(rd(config, 1), guest_mac[0]);
}

static void test_ping(void **state)
{
	(void)state;
	start(0);
	give_buffers(0, 32, 2048);
	resolve();
	ping(56);
	pong(56, WAIT_MS);
	assert_true(interrupt_comes(DATA_QUEUE(RX), WAIT_MS));
}

static void test_merged_buffers(void **state)
{
	(void)state;
	start(0);
	give_buffers(0, 32, 2048);
	resolve();
	ping(9000);
	pong(9000, WAIT_MS);
}

/*
 * A frame that needs more buffers than there are waits for them; the card must ask for a kick with
 * the next one, not with one that it has seen and put back.
 */
static void test_waits_for_buffers(void **state)
{
	(void)state;
	start(0);
	give_buffers(0, 1, 2048);
	resolve();
	give_buffers(1, 2, 2048);
	ping(9000);
	usleep(QUIET_MS * 1000);
	assert_int_equal(used(RX)->idx, seen);
	give_buffers(3, 1, 2048);
	usleep(QUIET_MS * 1000);
	assert_int_equal(used(RX)->idx, seen);
	give_buffers(4, 8, 2048);
	pong(9000, WAIT_MS);
	ping(100);			/* the rest of the buffers are there */
	pong(100, WAIT_MS);
}

/* Neither merged buffers nor event indices: flags say when to kick, one buffer takes a frame. */
static void test_without_merging(void **state)
{
	(void)state;
	event_idx = false;
	start(1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_RING_F_EVENT_IDX);
	give_buffers(0, 8, 2048);
	resolve();
	ping(9000);			/* too large for any: lost */
	ping(1400);
	pong(1400, WAIT_MS);
}

/* A frame that no number of buffers could hold is dropped, and the card goes on. */
static void test_too_large(void **state)
{
	(void)state;
	start(0);
	give_buffers(0, RING_SIZE, 64);
	resolve();
	ping(9000);
	usleep(QUIET_MS * 1000);
	give_buffers(0, seen, 64);
	ping(100);
	pong(100, WAIT_MS);
}

static void test_odd_frames(void **state)
{
	static const uint32_t len[] = { 0, 1, 13, 14, 20, 65535, 65554, 0x20000 };

	(void)state;
	start(0);
	give_buffers(0, 32, 2048);
	resolve();
	for (unsigned int i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		ethernet(gateway_mac, 0x0800);
		transmit(len[i]);
	}
	ping(56);
	pong(56, WAIT_MS);
}

static void test_no_room_for_header(void **state)
{
	(void)state;
	start(0);
	give_buffers(0, 4, 2048);
	resolve();
	give_buffers(4, 4, HDR - 1);
	for (unsigned int i = 0; i < 4; i++)
		ping(56);
	for (unsigned int ms = 0; ms < WAIT_MS && !(status() & VIRTIO_CONFIG_S_NEEDS_RESET); ms++)
		usleep(1000);
	assert_true(status() & VIRTIO_CONFIG_S_NEEDS_RESET);
	seen = 0;
	start(0);
	give_buffers(0, 8, 2048);
	resolve();
}

/* A driver may cut its buffers anywhere, within the header's last field too. */
static void test_header_in_pieces(void **state)
{
	const uint32_t len[] = { 1, HDR - 2, 2048 };
	uint64_t at = BUFFER(0);

	(void)state;
	start(0);
	give_buffers(8, 1, 2048);
	resolve();
	for (unsigned int i = 0; i < 3; at += len[i++])
		desc(RX)[i] = (struct vring_desc) { at, len[i], VRING_DESC_F_WRITE |
						    (i < 2 ? VRING_DESC_F_NEXT : 0), i + 1 };
	memset(ram + BUFFER(0), 0xff, HDR);
	offer(RX, 0);
	kick(RX);
	ping(56);
	pong(56, WAIT_MS);
}

/* A frame that the driver before had no room for is not the next one's. */
static void test_reset_with_frame_waiting(void **state)
{
	uint8_t frame[0x20000];

	(void)state;
	start(0);
	give_buffers(0, 1, 2048);
	resolve();
	ping(56);
	usleep(QUIET_MS * 1000);
	start(0);
	seen = 0;
	give_buffers(0, 8, 2048);
	assert_int_equal(receive(frame, QUIET_MS), 0);
	resolve();
}

/* Who connects to a forwarded port is a connection from the gateway to the guest's port. */
static void test_forward(void **state)
{
	const uint8_t to_guest[] = { 10, 0, 2, 15 };
	struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(forward.host_port),
		.sin_addr = forward.host,
	};
	uint8_t frame[0x20000], *tcp = frame + ETHERNET + 20;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	start(0);
	give_buffers(0, 32, 2048);
	resolve();
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	do {		/* past what else the gateway has to say */
		assert_true(receive(frame, WAIT_MS) > 0);
	} while (frame[12] != 8 || frame[13] != 0 || frame[ETHERNET + 9] != IPPROTO_TCP);
	assert_memory_equal(frame + ETHERNET + 16, to_guest, 4);
	assert_int_equal(tcp[2] << 8 | tcp[3], 80);
	assert_int_equal(tcp[13], 2);		/* SYN */
	close(fd);
}

#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, power_on, machine_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config),
		TEST(test_ping),
		TEST(test_merged_buffers),
		TEST(test_waits_for_buffers),
		TEST(test_without_merging),
		TEST(test_too_large),
		TEST(test_odd_frames),
		TEST(test_no_room_for_header),
		TEST(test_header_in_pieces),
		TEST(test_reset_with_frame_waiting),
		TEST(test_forward),
	};

	return cmocka_run_group_tests_name("virtio-net", tests, NULL, NULL);
}
