/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bus: address intervals and the devices that answer in them. A machine has two, pio and mmio.
 * Entered from the vCPU threads on each exit, and from devices that move their BARs.
 * A rwlock guards the table; a handler runs without it, so it may call any function here
 * except bus_unregister() of its own region.
 */
#ifndef MINIVMM_BUS_H
#define MINIVMM_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * typedef bus_handler - a device's answer to one access
 * @opaque: as registered
 * @offset: from the region's base; @offset + @len never passes its end
 * @data: the bytes, little-endian; filled with 0xff before a read
 * @len: 1, 2, 4 or 8 (8 on MMIO alone)
 * @write: the guest's direction
 *
 * Called on a vCPU thread, by several at once: the device has its own lock.
 */
typedef void (*bus_handler)(void *opaque, uint64_t offset, void *data, unsigned int len,
			    bool write);

/**
 * struct bus_region - one interval; the device owns the storage
 *
 * Fill the first five fields, leave the rest zero, and change nothing while it is registered.
 */
struct bus_region {
	uint64_t base;
	uint64_t len;
	bus_handler handler;
	void *opaque;
	const char *name;

	/* private to bus.c */
	unsigned int busy;		/* handlers running now */
	bool registered;
};

/** struct bus - the table, sorted by base */
struct bus {
	pthread_rwlock_t lock;
	pthread_mutex_t idle_lock;	/* with idle: bus_unregister() waits for busy == 0 */
	pthread_cond_t idle;
	struct bus_region **region;
	unsigned int nr, cap;
	unsigned int waiters;		/* in bus_unregister(); pairs with region.busy */
	uint64_t limit;			/* the last valid address */
};

/** bus_init() - an empty bus whose last address is @limit */
void bus_init(struct bus *bus, uint64_t limit);

/**
 * bus_register() - let a region answer
 *
 * Any thread. Return: 0; -EINVAL for an empty region or one beyond the bus; -EEXIST when it
 * overlaps another; -ENOMEM.
 */
int bus_register(struct bus *bus, struct bus_region *r);

/**
 * bus_unregister() - take a region off the bus, and wait until its handler has come back
 *
 * Any thread, but not from this region's own handler. Nothing happens if it is not registered.
 */
void bus_unregister(struct bus *bus, struct bus_region *r);

/**
 * bus_move() - give a registered region another base, in one step for those who look it up
 *
 * Any thread, also from a handler. An access that is under way finishes with its old offset.
 * Return: 0; -EINVAL (not registered, or beyond the bus) or -EEXIST, and then it has not moved.
 */
int bus_move(struct bus *bus, struct bus_region *r, uint64_t base);

/**
 * bus_disable() - like bus_unregister(), but without the wait, so a handler may call it on itself
 *
 * For a device that stops decoding (PCI command register, BAR being sized). The handler may still
 * be running when this returns. bus_register() brings the region back.
 */
void bus_disable(struct bus *bus, struct bus_region *r);

/**
 * bus_access() - one guest access
 *
 * Reads of nothing give all ones, writes to nothing are dropped, as on a PC.
 * Return: whether a device answered.
 */
bool bus_access(struct bus *bus, uint64_t addr, void *data, unsigned int len, bool write);

#endif
