// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-blk: a file or a block device of the host as the guest's disk.
 * Entered from its own thread, which does one request after the other: so a reset, which is run by
 * the same thread, finds none in flight. No locks.
 * VIRTIO 1.1: Block Device.
 */
#include <errno.h>
#include <endian.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio.h"

#define SECTOR			512
#define BLK_QUEUE_SIZE		256
#define BLK_SEG_MAX		(VIRTQUEUE_CHAIN_MAX - 2)	/* less header and status */
#define BLK_DISCARD_MAX		(1u << 21)	/* sectors in one request: 1 GiB */
#define BLK_ZERO_CHUNK		(64u << 10)	/* bytes, where zeroes have to be written */

/* What our features speak of: newer headers have more. */
#define BLK_CONFIG_LEN		(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)

_Static_assert(BLK_CONFIG_LEN <= VIRTIO_CONFIG_MAX, "virtio_dev.config is too small");

struct blk {
	struct virtio_dev vdev;		/* first: the ops cast it back */
	int fd;
	bool readonly;
	uint64_t sectors;
	char serial[VIRTIO_BLK_ID_BYTES];
};

/* A request type's handler returns a status byte, and counts the bytes it wrote to the guest. */
typedef uint8_t (*blk_request)(struct blk *blk, uint64_t sector, uint32_t *written);

static bool range_valid(const struct blk *blk, uint64_t sector, uint64_t bytes)
{
	return bytes % SECTOR == 0 && sector <= blk->sectors &&
	       bytes / SECTOR <= blk->sectors - sector;
}

static uint8_t blk_read(struct blk *blk, uint64_t sector, uint32_t *written)
{
	struct virtq_chain *c = &blk->vdev.chain;
	off_t at = sector * SECTOR;

	if (!range_valid(blk, sector, c->in_len))
		return VIRTIO_BLK_S_IOERR;
	while (c->nr_in) {
		ssize_t n = preadv(blk->fd, c->in, c->nr_in, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;	/* 0: somebody has cut the file */
		chain_skip_in(c, n);
		at += n;
		*written += n;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t blk_flush(struct blk *blk, uint64_t sector, uint32_t *written)
{
	(void)sector;
	(void)written;
	return fdatasync(blk->fd) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* A driver that did not negotiate FLUSH relies on a write being stable when it completes. */
static uint8_t blk_written(struct blk *blk)
{
	if (virtio_has(&blk->vdev, VIRTIO_BLK_F_FLUSH))
		return VIRTIO_BLK_S_OK;
	return blk_flush(blk, 0, NULL);
}

static uint8_t blk_write(struct blk *blk, uint64_t sector, uint32_t *written)
{
	struct virtq_chain *c = &blk->vdev.chain;
	off_t at = sector * SECTOR;

	(void)written;
	if (blk->readonly || !range_valid(blk, sector, c->out_len))
		return VIRTIO_BLK_S_IOERR;
	while (c->nr_out) {
		ssize_t n = pwritev(blk->fd, c->out, c->nr_out, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;
		chain_skip_out(c, n);
		at += n;
	}
	return blk_written(blk);
}

static uint8_t blk_get_id(struct blk *blk, uint64_t sector, uint32_t *written)
{
	(void)sector;
	*written = chain_write(&blk->vdev.chain, blk->serial, sizeof(blk->serial));
	return VIRTIO_BLK_S_OK;
}

static bool write_zeroes_by_hand(struct blk *blk, off_t at, uint64_t bytes)
{
	static const uint8_t zeroes[BLK_ZERO_CHUNK];

	while (bytes) {
		ssize_t n = pwrite(blk->fd, zeroes, bytes < sizeof(zeroes) ? bytes : sizeof(zeroes),
				   at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		bytes -= n;
	}
	return true;
}

/*
 * Both kinds of request carry one range (config says so: their *_seg limits are 1). Where the
 * host's file system cannot do it, or its disk's sectors are larger than ours (EINVAL), a discard
 * is a hint that may be dropped; zeroes are not.
 */
static uint8_t blk_range(struct blk *blk, bool zero)
{
	struct virtio_blk_discard_write_zeroes r;
	uint64_t sector, bytes;
	uint32_t flags;
	int mode = FALLOC_FL_KEEP_SIZE;

	if (chain_read(&blk->vdev.chain, &r, sizeof(r)) != sizeof(r) || blk->vdev.chain.out_len)
		return VIRTIO_BLK_S_UNSUPP;
	sector = le64toh(r.sector);
	bytes = (uint64_t)le32toh(r.num_sectors) * SECTOR;
	flags = le32toh(r.flags);
	if (flags & ~(zero ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0))
		return VIRTIO_BLK_S_UNSUPP;
	if (blk->readonly || bytes > (uint64_t)BLK_DISCARD_MAX * SECTOR ||
	    !range_valid(blk, sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	if (!bytes)
		return VIRTIO_BLK_S_OK;
	/* A hole reads as zeroes too; a range that is to stay allocated is zeroed in place. */
	mode |= !zero || flags ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	if (fallocate(blk->fd, mode, sector * SECTOR, bytes)) {
		if (!zero)
			return errno == EOPNOTSUPP || errno == EINVAL ? VIRTIO_BLK_S_OK :
									VIRTIO_BLK_S_IOERR;
		if (!write_zeroes_by_hand(blk, sector * SECTOR, bytes))
			return VIRTIO_BLK_S_IOERR;
	}
	return blk_written(blk);
}

static uint8_t blk_discard(struct blk *blk, uint64_t sector, uint32_t *written)
{
	(void)sector;
	(void)written;
	return blk_range(blk, false);
}

static uint8_t blk_write_zeroes(struct blk *blk, uint64_t sector, uint32_t *written)
{
	(void)sector;
	(void)written;
	return blk_range(blk, true);
}

static const struct {
	blk_request fn;
	int feature;		/* without which the driver must not send it; -1: always there */
} blk_requests[] = {
	[VIRTIO_BLK_T_IN] = { blk_read, -1 },
	[VIRTIO_BLK_T_OUT] = { blk_write, -1 },
	[VIRTIO_BLK_T_FLUSH] = { blk_flush, -1 },
	[VIRTIO_BLK_T_GET_ID] = { blk_get_id, -1 },
	[VIRTIO_BLK_T_DISCARD] = { blk_discard, VIRTIO_BLK_F_DISCARD },
	[VIRTIO_BLK_T_WRITE_ZEROES] = { blk_write_zeroes, VIRTIO_BLK_F_WRITE_ZEROES },
};

static uint8_t blk_dispatch(struct blk *blk, uint32_t *written)
{
	struct virtio_blk_outhdr hdr;
	uint32_t type;

	if (chain_read(&blk->vdev.chain, &hdr, sizeof(hdr)) != sizeof(hdr))
		return VIRTIO_BLK_S_IOERR;
	type = le32toh(hdr.type);
	if (type >= sizeof(blk_requests) / sizeof(blk_requests[0]) || !blk_requests[type].fn)
		return VIRTIO_BLK_S_UNSUPP;
	if (blk_requests[type].feature >= 0 && !virtio_has(&blk->vdev, blk_requests[type].feature))
		return VIRTIO_BLK_S_UNSUPP;
	return blk_requests[type].fn(blk, le64toh(hdr.sector), written);
}

static void blk_serve(struct virtio_dev *vdev, struct virtqueue *vq)
{
	/* The status is the last byte that the driver left for us to write. */
	uint8_t *status = chain_take_last(&vdev->chain);
	uint32_t written = 0;

	if (!status) {
		virtqueue_break(vq, "a block request has no room for its status");
		return;
	}
	*status = blk_dispatch((struct blk *)vdev, &written);
	virtio_push(vdev, vq, written + 1);
}

static void blk_kick(struct virtio_dev *vdev, struct virtqueue *vq)
{
	virtio_serve(vdev, vq, blk_serve);
}

static void blk_destroy(struct virtio_dev *vdev)
{
	struct blk *blk = (struct blk *)vdev;

	close(blk->fd);
	free(blk);
}

static const struct virtio_ops blk_ops = {
	.kick = blk_kick,
	.destroy = blk_destroy,
};

/* Dies unless the file can be a disk. */
static void blk_open(struct blk *blk, const struct disk_option *opt)
{
	struct stat st;
	uint64_t bytes;

	blk->readonly = opt->readonly;
	/* O_NONBLOCK: a FIFO given by mistake must be refused, not waited for. */
	blk->fd = open(opt->path, (opt->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (blk->fd < 0 || fstat(blk->fd, &st))
		die("--disk %s: %s", opt->path, strerror(errno));
	bytes = st.st_size;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		die("--disk %s: neither a regular file nor a block device", opt->path);
	if (S_ISBLK(st.st_mode) && ioctl(blk->fd, BLKGETSIZE64, &bytes))
		die("--disk %s: %s", opt->path, strerror(errno));
	if (!bytes)
		die("--disk %s: is empty", opt->path);
	if (bytes % SECTOR)
		die("--disk %s: its size, %llu bytes, is not a multiple of %u", opt->path,
		    (unsigned long long)bytes, SECTOR);
	if (flock(blk->fd, (opt->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) && errno == EWOULDBLOCK)
		die("--disk %s: another virtual machine or process has it locked", opt->path);
	blk->sectors = bytes / SECTOR;
}

void virtio_blk_create(struct machine *m, const struct disk_option *opt)
{
	static unsigned int count;
	static const uint16_t queue = BLK_QUEUE_SIZE;
	struct blk *blk = calloc(1, sizeof(*blk));
	struct virtio_blk_config config = { 0 };
	char name[sizeof(blk->vdev.name)];

	if (!blk)
		die("--disk %s: %s", opt->path, strerror(ENOMEM));
	blk_open(blk, opt);
	snprintf(name, sizeof(name), "virtio-blk%u", count);
	snprintf(blk->serial, sizeof(blk->serial), "minivmm-disk%u", count++);
	virtio_init(&blk->vdev, m, &blk_ops, VIRTIO_ID_BLOCK, name, &queue, 1);
	blk->vdev.host_features |= 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
				   1ull << VIRTIO_BLK_F_FLUSH;
	if (blk->readonly)
		blk->vdev.host_features |= 1ull << VIRTIO_BLK_F_RO;
	else
		blk->vdev.host_features |= 1ull << VIRTIO_BLK_F_DISCARD |
					   1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	config.capacity = htole64(blk->sectors);
	config.seg_max = htole32(BLK_SEG_MAX);
	config.blk_size = htole32(SECTOR);
	config.max_discard_sectors = htole32(BLK_DISCARD_MAX);
	config.max_discard_seg = htole32(1);
	config.discard_sector_alignment = htole32(1);
	config.max_write_zeroes_sectors = htole32(BLK_DISCARD_MAX);
	config.max_write_zeroes_seg = htole32(1);
	config.write_zeroes_may_unmap = 1;
	blk->vdev.config_len = BLK_CONFIG_LEN;
	memcpy(blk->vdev.config, &config, BLK_CONFIG_LEN);
	virtio_pci_add(&blk->vdev, 0x010000);
}
