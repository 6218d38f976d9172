// SPDX-License-Identifier: GPL-2.0
/*
 * Virtqueues against a driver that keeps the rules, and against ones that do not.
 * Runs natively: a machine that has nothing but RAM.
 * Each hostile case must end with the queue broken, its device told once, and nothing served.
 * VIRTIO 1.1: Split Virtqueues.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "devices/virtqueue.h"
#include "machine.h"

#define RAM_SIZE	(1ull << 30)	/* large in address, small in use: mapped without reserve */
#define SIZE		8
#define DESC		0x1000ull
#define AVAIL		0x2000ull
#define USED		0x3000ull
#define TABLE		0x4000ull	/* for indirect descriptors */
#define DATA		0x10000ull

#define EVENT_IDX	(1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT	(1ull << VIRTIO_RING_F_INDIRECT_DESC)

static struct machine machine;
static uint8_t *ram;
static struct virtqueue vq;
static struct virtq_chain chain;
static unsigned int broken_calls;

static void count_broken(struct virtqueue *q)
{
	assert_ptr_equal(q, &vq);
	broken_calls++;
}

/* ---- The driver's side ---- */

static struct vring_avail *avail(void)
{
	return (struct vring_avail *)(ram + AVAIL);
}

static struct vring_used *used(void)
{
	return (struct vring_used *)(ram + USED);
}

static void put(uint64_t table, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	struct vring_desc *d = (struct vring_desc *)(ram + table) + i;

	*d = (struct vring_desc) { .addr = addr, .len = len, .flags = flags, .next = next };
}

static void offer(uint16_t head)
{
	avail()->ring[avail()->idx % SIZE] = head;
	avail()->idx++;
}

static void set_up(uint64_t features)
{
	memset(ram, 0, DATA);
	memset(&vq, 0, sizeof(vq));
	vq.m = &machine;
	vq.size_max = SIZE;
	vq.on_broken = count_broken;
	virtqueue_reset(&vq);
	vq.desc_gpa = DESC;
	vq.avail_gpa = AVAIL;
	vq.used_gpa = USED;
	broken_calls = 0;
	assert_true(virtqueue_start(&vq, features));
}

static void assert_broken(void)
{
	assert_false(virtqueue_pop(&vq, &chain));
	assert_non_null(vq.broken);
	assert_int_equal(broken_calls, 1);
	/* A good chain after that changes nothing. */
	put(DESC, 0, DATA, 16, 0, 0);
	offer(0);
	assert_false(virtqueue_pop(&vq, &chain));
	assert_false(virtqueue_enable_kicks(&vq));
	assert_false(virtqueue_wants_interrupt(&vq));
	assert_int_equal(broken_calls, 1);
	assert_int_equal(used()->idx, 0);
}

static int map_ram(void **state)
{
	(void)state;
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	machine.mem.region[0] = (struct mem_region) { .len = RAM_SIZE, .hva = ram };
	machine.mem.nr = 1;
	return ram == MAP_FAILED;
}

/* ---- Drivers that keep the rules ---- */

static void test_chain(void **state)
{
	(void)state;
	set_up(0);
	assert_false(virtqueue_pop(&vq, &chain));
	put(DESC, 5, DATA, 16, VRING_DESC_F_NEXT, 2);
	put(DESC, 2, DATA + 0x100, 32, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 7);
	put(DESC, 7, DATA + 0x200, 1, VRING_DESC_F_WRITE, 0);
	offer(5);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.head, 5);
	assert_int_equal(chain.nr_out, 1);
	assert_int_equal(chain.nr_in, 2);
	assert_int_equal(chain.out_len, 16);
	assert_int_equal(chain.in_len, 33);
	assert_ptr_equal(chain.out[0].iov_base, ram + DATA);
	assert_ptr_equal(chain.in[1].iov_base, ram + DATA + 0x200);
	assert_false(virtqueue_pop(&vq, &chain));
	virtqueue_push(&vq, &chain, 33);
	assert_int_equal(used()->idx, 1);
	assert_int_equal(used()->ring[0].id, 5);
	assert_int_equal(used()->ring[0].len, 33);
	assert_null(vq.broken);
}

static void test_index_wraps(void **state)
{
	(void)state;
	set_up(EVENT_IDX);
	for (unsigned int i = 0; i < SIZE; i++)
		put(DESC, i, DATA + i, 1, 0, 0);
	for (unsigned int i = 0; i < 70000; i++) {
		offer(i % SIZE);
		assert_true(virtqueue_pop(&vq, &chain));
		assert_ptr_equal(chain.out[0].iov_base, ram + DATA + i % SIZE);
		virtqueue_push(&vq, &chain, 0);
		assert_int_equal(used()->idx, (uint16_t)(i + 1));
	}
}

static void test_full_ring(void **state)
{
	(void)state;
	set_up(0);
	for (unsigned int i = 0; i < SIZE; i++) {
		put(DESC, i, DATA, 1, 0, 0);
		offer(i);
	}
	for (unsigned int i = 0; i < SIZE; i++)
		assert_true(virtqueue_pop(&vq, &chain));
	assert_false(virtqueue_pop(&vq, &chain));
	assert_null(vq.broken);
}

static void test_indirect(void **state)
{
	(void)state;
	set_up(INDIRECT);
	put(TABLE, 0, DATA, 16, VRING_DESC_F_NEXT, 9);
	put(TABLE, 9, DATA + 16, 16, VRING_DESC_F_WRITE, 0);
	/* After a direct descriptor, and with a flag that has no meaning there. */
	put(DESC, 0, DATA + 32, 4, VRING_DESC_F_NEXT, 1);
	put(DESC, 1, TABLE, 10 * 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.nr_out, 2);
	assert_int_equal(chain.nr_in, 1);
	assert_int_equal(chain.out_len, 20);
}

static void test_unaligned_table(void **state)
{
	const struct vring_desc d = { .addr = DATA, .len = 16, .flags = VRING_DESC_F_WRITE };

	(void)state;
	set_up(INDIRECT);
	memcpy(ram + TABLE + 1, &d, sizeof(d));
	put(DESC, 0, TABLE + 1, sizeof(d), VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.in_len, 16);
}

static void test_longest_chain(void **state)
{
	(void)state;
	set_up(INDIRECT);
	/* The one that points to the table does not count. */
	for (unsigned int i = 0; i < VIRTQUEUE_CHAIN_MAX; i++)
		put(TABLE, i, DATA, 1, i < VIRTQUEUE_CHAIN_MAX - 1 ? VRING_DESC_F_NEXT : 0, i + 1);
	put(DESC, 0, TABLE, VIRTQUEUE_CHAIN_MAX * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.nr_out, VIRTQUEUE_CHAIN_MAX);
}

static void test_empty_descriptors(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, ~0ull, 0, VRING_DESC_F_NEXT, 1);	/* no byte of it is touched */
	put(DESC, 1, DATA, 4, 0, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.nr_out, 1);
	assert_int_equal(chain.out_len, 4);
}

static void test_unpop(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, 0, 0);
	put(DESC, 1, DATA, 8, 0, 0);
	offer(0);
	offer(1);
	assert_true(virtqueue_pop(&vq, &chain));
	virtqueue_fill(&vq, chain.head, 0);
	assert_true(virtqueue_pop(&vq, &chain));
	virtqueue_unpop(&vq, 2);
	virtqueue_unfill(&vq, 1);
	virtqueue_flush(&vq);
	assert_int_equal(used()->idx, 0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_int_equal(chain.head, 0);
}

static void test_bytes_of_a_chain(void **state)
{
	uint8_t buf[8];

	(void)state;
	set_up(0);
	memcpy(ram + DATA, "abcdef", 6);
	put(DESC, 0, DATA, 2, VRING_DESC_F_NEXT, 1);
	put(DESC, 1, DATA + 2, 4, VRING_DESC_F_NEXT, 2);
	put(DESC, 2, DATA + 0x100, 3, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	put(DESC, 3, DATA + 0x200, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
	assert_ptr_equal(chain_take_last(&chain), ram + DATA + 0x200);
	assert_int_equal(chain.nr_in, 1);
	assert_int_equal(chain_read(&chain, buf, 3), 3);
	assert_memory_equal(buf, "abc", 3);
	chain_skip_out(&chain, 1);
	assert_int_equal(chain_read(&chain, buf, 8), 2);
	assert_memory_equal(buf, "ef", 2);
	assert_int_equal(chain.nr_out, 0);
	assert_int_equal(chain_write(&chain, "xyzw", 4), 3);
	assert_memory_equal(ram + DATA + 0x100, "xyz", 3);
	assert_int_equal(chain.in_len, 0);
	assert_null(chain_take_last(&chain));
}

/* ---- Notification suppression ---- */

static void test_interrupt_flag(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, 0, 0);
	assert_false(virtqueue_wants_interrupt(&vq));	/* nothing has been used */
	for (int no = 0; no < 2; no++) {
		offer(0);
		assert_true(virtqueue_pop(&vq, &chain));
		virtqueue_push(&vq, &chain, 0);
		avail()->flags = no ? VRING_AVAIL_F_NO_INTERRUPT : 0;
		assert_int_equal(virtqueue_wants_interrupt(&vq), !no);
		assert_false(virtqueue_wants_interrupt(&vq));
	}
}

static void test_interrupt_event(void **state)
{
	(void)state;
	set_up(EVENT_IDX);
	put(DESC, 0, DATA, 4, 0, 0);
	avail()->ring[SIZE] = 2;	/* with the third buffer */
	for (unsigned int i = 0; i < 5; i++) {
		offer(0);
		assert_true(virtqueue_pop(&vq, &chain));
		virtqueue_push(&vq, &chain, 0);
		assert_int_equal(virtqueue_wants_interrupt(&vq), i == 2);
	}
	/* Several at once pass over the event: it still counts. */
	avail()->ring[SIZE] = 6;
	for (unsigned int i = 0; i < 4; i++) {
		offer(0);
		assert_true(virtqueue_pop(&vq, &chain));
		virtqueue_push(&vq, &chain, 0);
	}
	assert_true(virtqueue_wants_interrupt(&vq));
}

static void test_kick_flag(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, 0, 0);
	virtqueue_disable_kicks(&vq);
	assert_int_equal(used()->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtqueue_enable_kicks(&vq));
	assert_int_equal(used()->flags, 0);
	offer(0);
	assert_true(virtqueue_enable_kicks(&vq));	/* came before we asked: look again */
}

static void test_kick_event(void **state)
{
	uint16_t *event = (uint16_t *)&used()->ring[SIZE];

	(void)state;
	set_up(EVENT_IDX);
	put(DESC, 0, DATA, 4, 0, 0);
	offer(0);
	assert_true(virtqueue_enable_kicks(&vq));
	assert_int_equal(*event, 0);
	assert_true(virtqueue_pop(&vq, &chain));
	virtqueue_disable_kicks(&vq);
	assert_int_equal(used()->flags, 0);
	assert_false(virtqueue_enable_kicks(&vq));
	assert_int_equal(*event, 1);
}

/* ---- Drivers that break the rules ---- */

static void test_bad_rings(void **state)
{
	static const struct {
		uint64_t desc, avail, used;
		bool good;
	} t[] = {
		{ DESC, AVAIL, USED, true },
		{ DESC + 8, AVAIL, USED, false },
		{ DESC, AVAIL + 1, USED, false },
		{ DESC, AVAIL, USED + 2, false },
		{ RAM_SIZE - 16 * SIZE, AVAIL, USED, true },
		{ RAM_SIZE - 16 * SIZE + 16, AVAIL, USED, false },
		{ DESC, RAM_SIZE - 6 - 2 * SIZE, USED, true },
		{ DESC, RAM_SIZE - 4 - 2 * SIZE, USED, false },	/* its event field is outside */
		{ DESC, AVAIL, RAM_SIZE - 8 - 8 * SIZE, true },
		{ DESC, AVAIL, RAM_SIZE - 4 - 8 * SIZE, false },
		{ ~0ull & ~15ull, AVAIL, USED, false },
		{ DESC, RAM_SIZE, USED, false },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(0);
		virtqueue_reset(&vq);
		vq.desc_gpa = t[i].desc;
		vq.avail_gpa = t[i].avail;
		vq.used_gpa = t[i].used;
		assert_int_equal(virtqueue_start(&vq, EVENT_IDX), t[i].good);
		assert_int_equal(broken_calls, !t[i].good);
		if (!t[i].good)
			assert_false(virtqueue_pop(&vq, &chain));
	}
}

static void test_index_ran_ahead(void **state)
{
	(void)state;
	set_up(0);
	avail()->idx = SIZE + 1;
	assert_broken();
	set_up(0);
	avail()->idx = 0xffff;
	assert_broken();
}

static void test_head_beyond(void **state)
{
	(void)state;
	set_up(0);
	offer(SIZE);
	assert_broken();
	set_up(0);
	offer(0xffff);
	assert_broken();
}

static void test_next_beyond(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, VRING_DESC_F_NEXT, SIZE);
	offer(0);
	assert_broken();
}

static void test_loops(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, VRING_DESC_F_NEXT, 0);
	offer(0);
	assert_broken();
	set_up(0);
	put(DESC, 0, DATA, 0, VRING_DESC_F_NEXT, 1);	/* of no length at all */
	put(DESC, 1, DATA, 0, VRING_DESC_F_NEXT, 0);
	offer(0);
	assert_broken();
	set_up(INDIRECT);
	put(TABLE, 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	put(TABLE, 1, DATA, 4, VRING_DESC_F_NEXT, 0);
	put(DESC, 0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_broken();
}

static void test_chain_too_long(void **state)
{
	(void)state;
	set_up(INDIRECT);
	for (unsigned int i = 0; i <= VIRTQUEUE_CHAIN_MAX; i++)
		put(TABLE, i, DATA, 1, i < VIRTQUEUE_CHAIN_MAX ? VRING_DESC_F_NEXT : 0, i + 1);
	put(DESC, 0, TABLE, (VIRTQUEUE_CHAIN_MAX + 1) * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_broken();
	set_up(INDIRECT);	/* the same, through a direct descriptor */
	for (unsigned int i = 0; i < VIRTQUEUE_CHAIN_MAX; i++)
		put(TABLE, i, DATA, 1, i < VIRTQUEUE_CHAIN_MAX - 1 ? VRING_DESC_F_NEXT : 0, i + 1);
	put(DESC, 0, DATA, 1, VRING_DESC_F_NEXT, 1);
	put(DESC, 1, TABLE, VIRTQUEUE_CHAIN_MAX * 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_broken();
}

static void test_too_many_bytes(void **state)
{
	(void)state;
	set_up(0);
	for (unsigned int i = 0; i < 5; i++)
		put(DESC, i, 0, RAM_SIZE, i < 4 ? VRING_DESC_F_NEXT : 0, i + 1);
	offer(0);
	assert_broken();
	set_up(0);
	put(DESC, 3, 0, RAM_SIZE, 0, 0);	/* 4 GiB to the byte are allowed */
	for (unsigned int i = 0; i < 3; i++)
		put(DESC, i, 0, RAM_SIZE, VRING_DESC_F_NEXT, i + 1);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
}

static void test_bad_buffers(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
	} t[] = {
		{ RAM_SIZE, 1 },
		{ RAM_SIZE - 1, 2 },
		{ ~0ull, 1 },
		{ ~0ull, 2 },
		{ ~0ull - 0xffff, 0xffffffff },
		{ 0, 0xffffffff },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		for (unsigned int write = 0; write < 2; write++) {
			set_up(0);
			put(DESC, 0, t[i].addr, t[i].len, write ? VRING_DESC_F_WRITE : 0, 0);
			offer(0);
			assert_broken();
		}
	}
}

static void test_readable_after_writable(void **state)
{
	(void)state;
	set_up(0);
	put(DESC, 0, DATA, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	put(DESC, 1, DATA, 4, 0, 0);
	offer(0);
	assert_broken();
}

static void test_bad_indirect(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
		uint64_t features;
	} t[] = {
		{ TABLE, 16, 0, 0 },				/* not negotiated */
		{ TABLE, 16, VRING_DESC_F_NEXT, INDIRECT },
		{ TABLE, 0, 0, INDIRECT },
		{ TABLE, 15, 0, INDIRECT },
		{ TABLE, 17, 0, INDIRECT },
		{ RAM_SIZE - 16, 32, 0, INDIRECT },
		{ RAM_SIZE, 16, 0, INDIRECT },
		{ ~0ull & ~15ull, 16, 0, INDIRECT },
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		set_up(t[i].features);
		put(TABLE, 0, DATA, 4, 0, 0);
		put(DESC, 0, t[i].addr, t[i].len, t[i].flags | VRING_DESC_F_INDIRECT, 1);
		offer(0);
		assert_broken();
	}
	set_up(INDIRECT);	/* a table in a table */
	put(TABLE, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	put(DESC, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_broken();
	set_up(INDIRECT);	/* and out of it */
	put(TABLE, 0, DATA, 4, VRING_DESC_F_NEXT, 1);
	put(DESC, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	assert_broken();
}

static void test_reset_mends(void **state)
{
	(void)state;
	set_up(0);
	offer(SIZE);
	assert_broken();
	virtqueue_reset(&vq);
	assert_false(virtqueue_pop(&vq, &chain));
	assert_int_equal(vq.size, SIZE);
	assert_int_equal(vq.desc_gpa, 0);
	set_up(0);
	put(DESC, 0, DATA, 4, 0, 0);
	offer(0);
	assert_true(virtqueue_pop(&vq, &chain));
}

/* Rings of random bytes, biased to what is nearly right: whatever is served must lie in RAM. */
static void test_random(void **state)
{
	unsigned int served = 0, refused = 0;

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 200000; round++) {
		set_up(random() & 1 ? INDIRECT : INDIRECT | EVENT_IDX);
		for (unsigned int i = 0; i < 2 * SIZE; i++) {
			uint64_t addr = random() % 4 ? (uint64_t)random() % RAM_SIZE :
						       (uint64_t)random() << (random() % 34);
			uint32_t len = random() >> (random() % 31);
			bool indirect = !(random() % 16);

			put(i < SIZE ? DESC : TABLE, i % SIZE, indirect ? TABLE : addr,
			    indirect ? 16 * (random() % SIZE) : len,
			    (random() & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE)) |
			    (indirect ? VRING_DESC_F_INDIRECT : 0), random() % (SIZE + 1));
		}
		for (unsigned int i = 0; i < SIZE; i++)
			avail()->ring[i] = random() % (SIZE + 1);
		avail()->idx = random() % (SIZE + 2);
		while (virtqueue_pop(&vq, &chain)) {
			for (unsigned int i = 0; i < chain.nr_out + chain.nr_in; i++) {
				uint8_t *p = chain.iov[i].iov_base;

				assert_true(p >= ram && p + chain.iov[i].iov_len <= ram + RAM_SIZE);
			}
			virtqueue_push(&vq, &chain, 0);
			served++;
		}
		refused += broken_calls;
	}
	/* The bias holds: both ways out were taken, often. */
	assert_true(served > 10000 && refused > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_index_wraps),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_unaligned_table),
		cmocka_unit_test(test_longest_chain),
		cmocka_unit_test(test_empty_descriptors),
		cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_bytes_of_a_chain),
		cmocka_unit_test(test_interrupt_flag),
		cmocka_unit_test(test_interrupt_event),
		cmocka_unit_test(test_kick_flag),
		cmocka_unit_test(test_kick_event),
		cmocka_unit_test(test_bad_rings),
		cmocka_unit_test(test_index_ran_ahead),
		cmocka_unit_test(test_head_beyond),
		cmocka_unit_test(test_next_beyond),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_chain_too_long),
		cmocka_unit_test(test_too_many_bytes),
		cmocka_unit_test(test_bad_buffers),
		cmocka_unit_test(test_readable_after_writable),
		cmocka_unit_test(test_bad_indirect),
		cmocka_unit_test(test_reset_mends),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, map_ram, NULL);
}
