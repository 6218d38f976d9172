// SPDX-License-Identifier: GPL-2.0
/*
 * Virtqueues over memory that a driver filled with anything: every buffer that a device is given
 * lies in the guest's RAM, and a queue that is broken gives none.
 * Entered from libFuzzer. The input is the rings' addresses, then RAM from its beginning.
 * No locks.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "devices/virtqueue.h"
#include "machine.h"

#define RAM_SIZE	(1ull << 20)
#define POPS		64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;
static uint8_t *ram;

static void broken(struct virtqueue *vq)
{
	(void)vq;
}

static void check(const struct iovec *iov, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t *at = iov[i].iov_base;

		if (at < ram || iov[i].iov_len > RAM_SIZE ||
		    at + iov[i].iov_len > ram + RAM_SIZE)
			abort();
	}
}

static void serve(struct virtqueue *vq, struct virtq_chain *chain, uint8_t how)
{
	uint8_t buf[512];
	uint64_t n;

	check(chain->out, chain->nr_out);
	check(chain->in, chain->nr_in);
	if (chain->nr_out + chain->nr_in > VIRTQUEUE_CHAIN_MAX)
		abort();
	if (how & 1)
		chain_take_last(chain);
	if (how & 2)
		chain_skip_out(chain, chain->out_len / 2);
	n = chain_read(chain, buf, sizeof(buf));
	chain_write(chain, buf, n);
	if (how & 4)
		chain_skip_in(chain, chain->in_len);
	virtqueue_push(vq, chain, n);
	virtqueue_wants_interrupt(vq);
	if (how & 8 && virtqueue_enable_kicks(vq))
		virtqueue_disable_kicks(vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtq_chain chain;
	struct virtqueue vq = { .m = &machine, .size_max = VIRTQUEUE_SIZE_MAX,
				.on_broken = broken, .kick_fd = -1 };
	uint16_t head[5];

	if (size < sizeof(head))
		return 0;
	if (!ram) {
		ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
		if (ram == MAP_FAILED)
			abort();
		machine.mem.region[0] = (struct mem_region){ .len = RAM_SIZE, .hva = ram };
		machine.mem.nr = 1;
	}
	memcpy(head, data, sizeof(head));
	data += sizeof(head);
	size -= sizeof(head);
	memset(ram, 0, 0x10000);
	memcpy(ram, data, size < RAM_SIZE ? size : RAM_SIZE);
	virtqueue_reset(&vq);
	vq.size = 1 << head[3] % 9;
	vq.desc_gpa = (uint64_t)head[0] << 4;
	vq.avail_gpa = head[1];
	vq.used_gpa = (uint64_t)head[2] << 2;
	if (!virtqueue_start(&vq, (uint64_t)head[4] << 24))
		return 0;
	for (int i = 0; i < POPS && virtqueue_pop(&vq, &chain); i++) {
		if (vq.broken)
			abort();
		serve(&vq, &chain, head[4] >> 8);
	}
	return 0;
}
