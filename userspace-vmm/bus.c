// SPDX-License-Identifier: GPL-2.0
/*
 * The port I/O and the MMIO bus: a sorted table of regions, searched on each exit.
 * Entered from the vCPU threads, and from devices that map and move their registers.
 * bus.lock (rwlock) guards the table; region.busy counts handlers that run without it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"

void bus_init(struct bus *bus, uint64_t limit)
{
	memset(bus, 0, sizeof(*bus));
	pthread_rwlock_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->idle_lock, NULL);
	pthread_cond_init(&bus->idle, NULL);
	bus->limit = limit;
}

/* Index of the first region whose end lies above @addr. */
static unsigned int bus_find(const struct bus *bus, uint64_t addr)
{
	unsigned int lo = 0, hi = bus->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;
		const struct bus_region *r = bus->region[mid];

		if (addr - r->base < r->len || addr < r->base)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int bus_insert(struct bus *bus, struct bus_region *r, uint64_t base)
{
	unsigned int at;

	if (!r->len || base > bus->limit || r->len - 1 > bus->limit - base)
		return -EINVAL;
	at = bus_find(bus, base);
	if (at < bus->nr && bus->region[at]->base <= base + (r->len - 1))
		return -EEXIST;
	if (bus->nr == bus->cap) {
		unsigned int cap = bus->cap ? 2 * bus->cap : 16;
		struct bus_region **bigger = realloc(bus->region, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		bus->region = bigger;
		bus->cap = cap;
	}
	memmove(bus->region + at + 1, bus->region + at, (bus->nr - at) * sizeof(*bus->region));
	bus->region[at] = r;
	bus->nr++;
	r->base = base;
	r->registered = true;
	return 0;
}

static void bus_remove(struct bus *bus, struct bus_region *r)
{
	unsigned int at = bus_find(bus, r->base);

	bus->nr--;
	memmove(bus->region + at, bus->region + at + 1, (bus->nr - at) * sizeof(*bus->region));
	r->registered = false;
}

int bus_register(struct bus *bus, struct bus_region *r)
{
	int ret;

	pthread_rwlock_wrlock(&bus->lock);
	ret = r->registered ? -EEXIST : bus_insert(bus, r, r->base);
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

void bus_disable(struct bus *bus, struct bus_region *r)
{
	pthread_rwlock_wrlock(&bus->lock);
	if (r->registered)
		bus_remove(bus, r);
	pthread_rwlock_unlock(&bus->lock);
}

void bus_unregister(struct bus *bus, struct bus_region *r)
{
	bus_disable(bus, r);

	pthread_mutex_lock(&bus->idle_lock);
	/* Pairs with region_put(): it drops busy, then looks for waiters. */
	__atomic_add_fetch(&bus->waiters, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&r->busy, __ATOMIC_SEQ_CST))
		pthread_cond_wait(&bus->idle, &bus->idle_lock);
	__atomic_sub_fetch(&bus->waiters, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&bus->idle_lock);
}

int bus_move(struct bus *bus, struct bus_region *r, uint64_t base)
{
	uint64_t old = r->base;
	int ret = -EINVAL;

	pthread_rwlock_wrlock(&bus->lock);
	if (r->registered) {
		bus_remove(bus, r);
		ret = bus_insert(bus, r, base);
		if (ret)
			bus_insert(bus, r, old);	/* its place is still free: cannot fail */
	}
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

static struct bus_region *region_get(struct bus *bus, uint64_t addr, uint64_t *offset)
{
	struct bus_region *r = NULL;
	unsigned int at;

	pthread_rwlock_rdlock(&bus->lock);
	at = bus_find(bus, addr);
	if (at < bus->nr && bus->region[at]->base <= addr) {
		r = bus->region[at];
		*offset = addr - r->base;
		__atomic_add_fetch(&r->busy, 1, __ATOMIC_SEQ_CST);
	}
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

/* The region may be gone once busy is 0: only the bus is touched after that. */
static void region_put(struct bus *bus, struct bus_region *r)
{
	if (__atomic_sub_fetch(&r->busy, 1, __ATOMIC_SEQ_CST) ||
	    !__atomic_load_n(&bus->waiters, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&bus->idle_lock);
	pthread_cond_broadcast(&bus->idle);
	pthread_mutex_unlock(&bus->idle_lock);
}

bool bus_access(struct bus *bus, uint64_t addr, void *data, unsigned int len, bool write)
{
	struct bus_region *r;
	bool answered = false;
	uint64_t offset;
	unsigned int i;

	if (!write)
		memset(data, 0xff, len);
	r = region_get(bus, addr, &offset);
	if (r && len <= r->len - offset) {
		r->handler(r->opaque, offset, data, len, write);
		region_put(bus, r);
		return true;
	}
	if (r)
		region_put(bus, r);
	if (len == 1)
		return false;

	/* It straddles an edge: bytes, as a PC's bus makes of it. */
	for (i = 0; i < len && addr + i <= bus->limit; i++)
		answered |= bus_access(bus, addr + i, (uint8_t *)data + i, 1, write);
	return answered;
}
