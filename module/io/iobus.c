// SPDX-License-Identifier: GPL-2.0
/*
 * The two I/O buses of a VM, ports and MMIO, and coalesced zones on them.
 * Entered from exits.c and emul/glue*.c (accesses), vm.c (zones), the devices.
 * Readers hold vm->srcu; writers vm->slots_lock; the ring has its own lock.
 * KVM API, "KVM_REGISTER_COALESCED_MMIO" and "The kvm_run structure".
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "minihv.h"

#define IOBUS_MAX_DEVICES	1000	/* beside ioeventfds, which fds limit */

/**
 * struct mhv_iorange - where a device is
 * @addr: its first address
 * @end: one past its last; equal to @addr: an access of any width at @addr
 * @reach: the largest @end up to and including this range
 * @dev: NULL once removed
 */
struct mhv_iorange {
	gpa_t addr;
	gpa_t end;
	gpa_t reach;
	struct mhv_iodev *dev;
};

/**
 * struct mhv_iobus - the devices of one bus; replaced as a whole to add one
 * @nr: of ranges
 * @range: 1 to @nr, sorted by @addr; [0] reaches nothing and [@nr + 1] begins
 *	at the last address, so that a search needs no look at its bounds
 */
struct mhv_iobus {
	unsigned int nr;
	struct mhv_iorange range[];
};

static struct mhv_iobus *iobus_alloc(unsigned int nr)
{
	struct mhv_iobus *bus = kvzalloc(struct_size(bus, range, nr + 2), GFP_KERNEL_ACCOUNT);

	if (bus)
		bus->range[1].addr = ~0ULL;
	return bus;
}

/**
 * mhv_iobus_init - give a new VM its empty buses
 * @vm: the VM
 *
 * Returns 0 or -ENOMEM; mhv_iobus_destroy() copes with either.
 */
int mhv_iobus_init(struct mhv_vm *vm)
{
	unsigned int i;

	for (i = 0; i < MHV_NR_BUSES; i++) {
		vm->buses[i] = iobus_alloc(0);
		if (!vm->buses[i])
			return -ENOMEM;
	}
	return 0;
}

/**
 * mhv_iobus_destroy - free the buses, and devices that have no other owner
 * @vm: a VM that nobody can reach any more
 */
void mhv_iobus_destroy(struct mhv_vm *vm)
{
	struct mhv_iodev *dev;
	unsigned int i, n;

	for (i = 0; i < MHV_NR_BUSES; i++) {
		for (n = 1; vm->buses[i] && n <= vm->buses[i]->nr; n++) {
			dev = vm->buses[i]->range[n].dev;
			if (dev && dev->ops->destroy)
				dev->ops->destroy(dev);
		}
		kvfree(vm->buses[i]);
		vm->buses[i] = NULL;
	}
}

/**
 * mhv_iobus_add - put a device on a bus
 * @vm: the VM
 * @bus: which
 * @addr: its first address
 * @len: how many; 0: accesses of any width that begin at @addr
 * @dev: the device; ranges may overlap, each is then asked
 *
 * Context: sleeps; vm->slots_lock held.  Returns 0, -ENOMEM, or -ENOSPC if
 * the bus is full.
 */
int mhv_iobus_add(struct mhv_vm *vm, enum mhv_bus bus, gpa_t addr, int len,
		  struct mhv_iodev *dev)
{
	struct mhv_iobus *old = vm->buses[bus], *new;
	struct mhv_iorange add = { .addr = addr, .end = addr + (u32)len, .dev = dev };
	unsigned int i, devices = 0;
	gpa_t reach = 0;

	lockdep_assert_held(&vm->slots_lock);
	for (i = 1; i <= old->nr; i++)
		if (old->range[i].dev && !mhv_is_ioeventfd(old->range[i].dev))
			devices++;
	if (!mhv_is_ioeventfd(dev) && devices >= IOBUS_MAX_DEVICES)
		return -ENOSPC;

	new = iobus_alloc(old->nr + 1);
	if (!new)
		return -ENOMEM;
	for (i = 1; i <= old->nr; i++) {
		if (add.dev && old->range[i].addr > addr) {
			new->range[++new->nr] = add;
			add.dev = NULL;
		}
		if (old->range[i].dev)
			new->range[++new->nr] = old->range[i];
	}
	if (add.dev)
		new->range[++new->nr] = add;
	for (i = 1; i <= new->nr; i++) {
		/* A range of length 0 reaches its own address. */
		reach = max3(reach, new->range[i].end, new->range[i].addr + 1);
		new->range[i].reach = reach;
	}
	new->range[new->nr + 1].addr = ~0ULL;
	/* Pairs with READ_ONCE() in mhv_iobus_read() and mhv_iobus_write(). */
	smp_store_release(&vm->buses[bus], new);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
	return 0;
}

/**
 * mhv_iobus_remove - take a device off a bus
 * @vm: the VM
 * @bus: which
 * @dev: the device; nobody uses it once this returns
 *
 * Context: sleeps; vm->slots_lock held.  Returns 0, or -ENOENT if it is not
 * there.  Needs no memory, so that taking away cannot fail.
 */
int mhv_iobus_remove(struct mhv_vm *vm, enum mhv_bus bus, struct mhv_iodev *dev)
{
	struct mhv_iobus *b = vm->buses[bus];
	unsigned int i;

	lockdep_assert_held(&vm->slots_lock);
	for (i = 1; b && i <= b->nr; i++) {
		if (b->range[i].dev != dev)
			continue;
		WRITE_ONCE(b->range[i].dev, NULL);
		synchronize_srcu_expedited(&vm->srcu);
		return 0;
	}
	return -ENOENT;
}

/* The last range that begins at or below @addr; 0 if none does. */
static unsigned int iobus_search(const struct mhv_iobus *bus, gpa_t addr)
{
	unsigned int low = 0, high = bus->nr, mid;

	while (low < high) {
		mid = (low + high + 1) / 2;
		if (bus->range[mid].addr <= addr)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

/* The same; as a rule, a vCPU accesses the device that it has accessed last. */
static __always_inline const struct mhv_iorange *iobus_find(const struct mhv_iobus *bus,
							    gpa_t addr, u32 *hint)
{
	const struct mhv_iorange *range = &bus->range[*hint];

	if (unlikely(*hint > bus->nr || range[0].addr > addr || range[1].addr <= addr)) {
		*hint = iobus_search(bus, addr);
		range = &bus->range[*hint];
	}
	return range;
}

/*
 * The device that takes an access, of those at *@range and below, or NULL.  A
 * device takes what lies wholly inside of it, or begins where it is if it has
 * no length.
 */
static __always_inline struct mhv_iodev *iobus_next(const struct mhv_iorange **range,
						    gpa_t addr, int len)
{
	const struct mhv_iorange *r;
	struct mhv_iodev *dev;

	for (; (r = *range)->reach > addr; (*range)--) {
		if (addr + len > r->end && !(r->addr == r->end && r->addr == addr))
			continue;
		dev = READ_ONCE(r->dev);
		if (dev)
			return dev;
	}
	return NULL;
}

/**
 * mhv_iobus_read - let a device in the kernel serve a read
 * @vcpu: whose access it is
 * @bus: which bus
 * @addr: port or guest-physical address
 * @len: 1 to 8
 * @data: filled
 *
 * Context: the vCPU's thread, vm->srcu held, may sleep.  Returns 0, or
 * -EOPNOTSUPP if no device takes it: it is userspace's.
 */
int mhv_iobus_read(struct mhv_vcpu *vcpu, enum mhv_bus bus, gpa_t addr, int len, void *data)
{
	const struct mhv_iobus *b = READ_ONCE(vcpu->vm->buses[bus]);
	const struct mhv_iorange *range = iobus_find(b, addr, &vcpu->bus_hint[bus]);
	struct mhv_iodev *dev;

	for (; (dev = iobus_next(&range, addr, len)); range--)
		if (dev->ops->read && !dev->ops->read(dev, vcpu, addr, len, data))
			return 0;
	return -EOPNOTSUPP;
}

/**
 * mhv_iobus_write - let a device in the kernel serve a write
 * @vcpu: whose access it is
 * @bus: which bus
 * @addr: port or guest-physical address
 * @len: 1 to 8
 * @data: what is written
 *
 * Context: the vCPU's thread, vm->srcu held, may sleep.  Returns 0, or
 * -EOPNOTSUPP if no device takes it: it is userspace's.
 */
int mhv_iobus_write(struct mhv_vcpu *vcpu, enum mhv_bus bus, gpa_t addr, int len,
		    const void *data)
{
	const struct mhv_iobus *b = READ_ONCE(vcpu->vm->buses[bus]);
	const struct mhv_iorange *range = iobus_find(b, addr, &vcpu->bus_hint[bus]);
	struct mhv_iodev *dev;

	for (; (dev = iobus_next(&range, addr, len)); range--)
		if (dev->ops->write && !dev->ops->write(dev, vcpu, addr, len, data))
			return 0;
	return -EOPNOTSUPP;
}

/* ---- coalesced zones ---- */

struct coalesced_zone {
	struct mhv_iodev dev;
	struct mhv_vm *vm;
	struct kvm_coalesced_mmio_zone zone;
	struct list_head link;		/* vm->coalesced.zones */
};

static bool coalesced_contains(const struct coalesced_zone *z, gpa_t addr, u32 len)
{
	return addr >= z->zone.addr && addr + len >= addr &&
	       addr + len <= z->zone.addr + z->zone.size;
}

/* A write is put in the ring, unless it is full: then userspace has it at once. */
static int coalesced_write(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			   int len, const void *data)
{
	struct coalesced_zone *z = container_of(dev, struct coalesced_zone, dev);
	struct mhv_coalesced *c = &z->vm->coalesced;
	struct kvm_coalesced_mmio_ring *ring = c->ring;
	struct kvm_coalesced_mmio *slot;
	int ret = -EOPNOTSUPP;
	u32 last, next;

	if (len > sizeof(slot->data) || !coalesced_contains(z, addr, len))
		return -EOPNOTSUPP;
	spin_lock(&c->lock);
	/* Userspace can write both indices at any time: look once, and check. */
	last = READ_ONCE(ring->last);
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (last < KVM_COALESCED_MMIO_MAX &&
	    next != READ_ONCE(ring->first) % KVM_COALESCED_MMIO_MAX) {
		slot = &ring->coalesced_mmio[last];
		slot->phys_addr = addr;
		slot->len = len;
		slot->pio = z->zone.pio;
		memcpy(slot->data, data, len);
		/* Whoever sees the new index sees the slot; pairs with userspace. */
		smp_store_release(&ring->last, next);
		ret = 0;
	}
	spin_unlock(&c->lock);
	return ret;
}

static void coalesced_free(struct mhv_iodev *dev)
{
	struct coalesced_zone *z = container_of(dev, struct coalesced_zone, dev);

	list_del(&z->link);
	kfree(z);
}

static const struct mhv_iodev_ops coalesced_ops = {
	.write = coalesced_write,
	.destroy = coalesced_free,
};

/**
 * mhv_coalesced_init - give a new VM its ring
 * @vm: the VM
 *
 * Returns 0 or -ENOMEM.
 */
int mhv_coalesced_init(struct mhv_vm *vm)
{
	BUILD_BUG_ON(struct_size(vm->coalesced.ring, coalesced_mmio, KVM_COALESCED_MMIO_MAX) >
		     PAGE_SIZE);
	spin_lock_init(&vm->coalesced.lock);
	INIT_LIST_HEAD(&vm->coalesced.zones);
	vm->coalesced.ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return vm->coalesced.ring ? 0 : -ENOMEM;
}

/**
 * mhv_coalesced_destroy - free the ring
 * @vm: a VM that nobody can reach any more; its zones go with the buses
 */
void mhv_coalesced_destroy(struct mhv_vm *vm)
{
	free_page((unsigned long)vm->coalesced.ring);
	vm->coalesced.ring = NULL;
}

static enum mhv_bus coalesced_bus(const struct kvm_coalesced_mmio_zone *zone)
{
	return zone->pio ? MHV_BUS_PIO : MHV_BUS_MMIO;
}

/**
 * mhv_coalesced_add - KVM_REGISTER_COALESCED_MMIO
 * @vm: the VM
 * @zone: where writes may wait
 *
 * Context: sleeps; takes vm->slots_lock.  Returns 0, -EINVAL, -ENOMEM, or
 * -ENOSPC if the bus is full.
 */
int mhv_coalesced_add(struct mhv_vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *z;
	int ret;

	if (zone->pio > 1)
		return -EINVAL;
	z = kzalloc(sizeof(*z), GFP_KERNEL_ACCOUNT);
	if (!z)
		return -ENOMEM;
	z->dev.ops = &coalesced_ops;
	z->vm = vm;
	z->zone = *zone;
	mutex_lock(&vm->slots_lock);
	ret = mhv_iobus_add(vm, coalesced_bus(zone), zone->addr, zone->size, &z->dev);
	if (ret)
		kfree(z);
	else
		list_add_tail(&z->link, &vm->coalesced.zones);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/**
 * mhv_coalesced_remove - KVM_UNREGISTER_COALESCED_MMIO
 * @vm: the VM
 * @zone: each zone that contains this one goes
 *
 * Context: sleeps; takes vm->slots_lock.  Returns 0, also if there is none,
 * or -EINVAL.
 */
int mhv_coalesced_remove(struct mhv_vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *z, *tmp;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe(z, tmp, &vm->coalesced.zones, link) {
		if (z->zone.pio != zone->pio || !coalesced_contains(z, zone->addr, zone->size))
			continue;
		mhv_iobus_remove(vm, coalesced_bus(zone), &z->dev);
		coalesced_free(&z->dev);
	}
	mutex_unlock(&vm->slots_lock);
	return 0;
}
