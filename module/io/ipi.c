// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupt messages: from whoever sends one to the LAPICs it is addressed to.
 * Entered from lapic.c (IPIs), irqchip.c and routing.c (devices), exits.c.
 * Readers of the map hold RCU and may be in any context; apic_map_lock to
 * replace it.  A map that is not up to date is not used: all LAPICs are asked.
 * Intel SDM vol. 3, "Determining IPI Destination", "Logical Destination Mode".
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <linux/slab.h>

#include "lapic.h"

#define XAPIC_BROADCAST		0xffU
#define X2APIC_BROADCAST	0xffffffffU

/* struct mhv_apic_msg's shorthand */
enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };

/* How LAPICs read a logical destination; the map serves one model at a time. */
#define LOGICAL_FLAT		BIT(0)
#define LOGICAL_CLUSTER		BIT(1)
#define LOGICAL_X2APIC		BIT(2)
#define LOGICAL_ALIASED		BIT(3)	/* one bit names several LAPICs */

/**
 * struct mhv_apic_map - which LAPIC has which id
 * @rcu: frees it
 * @logical: LOGICAL_* of the LAPICs in it
 * @aliased: an id names several LAPICs
 * @xapic: some are in xAPIC mode: to them, 0xff is a broadcast
 * @phys: by id
 * @flat: by bit of the logical id
 * @cluster: by cluster, and by bit of the logical id
 */
struct mhv_apic_map {
	struct rcu_head rcu;
	u8 logical;
	bool aliased;
	bool xapic;
	struct mhv_lapic *phys[MHV_MAX_VCPU_ID + 1];
	struct mhv_lapic *flat[8];
	struct mhv_lapic *cluster[16][4];
};

/* ---- the map ---- */

/**
 * lapic_map_stale - an id or a mode changed: the map is not to be used
 * @vm: the VM
 */
void lapic_map_stale(struct mhv_vm *vm)
{
	atomic_set_release(&vm->irqchip.apic_map_stale, 1);
}

/**
 * mhv_lapic_published - a new vCPU has its place in the VM
 * @vm: the VM
 *
 * Its reset made the map stale, but before it had that place: another vCPU may
 * have made the map anew meanwhile, without it.  Context: any.
 */
void mhv_lapic_published(struct mhv_vm *vm)
{
	lapic_map_stale(vm);
}

static void map_set(struct mhv_apic_map *map, struct mhv_lapic **place, struct mhv_lapic *lapic)
{
	if (*place)
		map->logical |= LOGICAL_ALIASED;
	*place = lapic;
}

static void map_add_logical(struct mhv_apic_map *map, struct mhv_lapic *lapic)
{
	u8 ldr = GET_APIC_LOGICAL_ID(lapic_get(lapic, APIC_LDR));
	bool flat = lapic_get(lapic, APIC_DFR) == APIC_DFR_FLAT;
	u8 bits = flat ? ldr : ldr & 0xf;

	if (lapic->x2apic) {
		map->logical |= LOGICAL_X2APIC;
		return;
	}
	if (!ldr)
		return;
	if (!is_power_of_2(bits))
		map->logical |= LOGICAL_ALIASED;
	else if (flat)
		map_set(map, &map->flat[__ffs(bits)], lapic);
	else
		map_set(map, &map->cluster[ldr >> 4][__ffs(bits)], lapic);
	map->logical |= flat ? LOGICAL_FLAT : LOGICAL_CLUSTER;
}

static void map_add(struct mhv_apic_map *map, struct mhv_lapic *lapic)
{
	u32 id = lapic->x2apic ? lapic->vcpu->id : lapic_get(lapic, APIC_ID) >> 24;

	if (map->phys[id])
		map->aliased = true;
	map->phys[id] = lapic;
	map->xapic |= !lapic->x2apic;
	/* One that software has switched off as well: it takes NMIs. */
	map_add_logical(map, lapic);
}

/**
 * lapic_map_update - make the map anew if it is stale
 * @vm: the VM
 *
 * Without memory there is no map, and delivery is slow.  Context: sleeps.
 */
void lapic_map_update(struct mhv_vm *vm)
{
	struct mhv_irqchip *chip = &vm->irqchip;
	struct mhv_apic_map *new, *old;
	struct mhv_vcpu *vcpu;
	unsigned long i;

	if (likely(!atomic_read(&chip->apic_map_stale)))
		return;
	mutex_lock(&chip->apic_map_lock);
	/*
	 * What becomes stale from here on is found by its own update, which
	 * waits for the mutex.
	 */
	if (!atomic_xchg(&chip->apic_map_stale, 0)) {
		mutex_unlock(&chip->apic_map_lock);
		return;
	}
	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (new) {
		mhv_for_each_vcpu(i, vcpu, vm)
			if (vcpu->lapic && vcpu->lapic->hw_enabled)
				map_add(new, vcpu->lapic);
	}
	old = rcu_replace_pointer(chip->apic_map, new, lockdep_is_held(&chip->apic_map_lock));
	mutex_unlock(&chip->apic_map_lock);
	if (old)
		kfree_rcu(old, rcu);
	if (chip->mode == MHV_IRQCHIP_SPLIT)
		mhv_request_all(vm, MHV_REQ_SCAN_EOI);
}

/**
 * mhv_lapic_map_free - free the map
 * @vm: a VM that nobody can reach any more
 */
void mhv_lapic_map_free(struct mhv_vm *vm)
{
	kfree(rcu_dereference_protected(vm->irqchip.apic_map, true));
	RCU_INIT_POINTER(vm->irqchip.apic_map, NULL);
}

/* ---- who is addressed ---- */

static bool match_physical(const struct mhv_lapic *target, u32 dest)
{
	if (target->x2apic)
		return dest == X2APIC_BROADCAST || dest == target->vcpu->id;
	return dest == XAPIC_BROADCAST || dest == lapic_get(target, APIC_ID) >> 24;
}

static bool match_logical(const struct mhv_lapic *target, u32 dest)
{
	u32 id = lapic_get(target, APIC_LDR);

	if (target->x2apic)
		return dest == X2APIC_BROADCAST ||
		       (id >> 16 == dest >> 16 && (id & dest & 0xffff));
	if (dest == XAPIC_BROADCAST)
		return true;
	id = GET_APIC_LOGICAL_ID(id);
	switch (lapic_get(target, APIC_DFR)) {
	case APIC_DFR_FLAT:
		return id & dest;
	case APIC_DFR_CLUSTER:
		return id >> 4 == dest >> 4 && (id & dest & 0xf);
	}
	return false;
}

/*
 * Devices know 8-bit ids only, as there is no interrupt remapping: 0xff from
 * one is a broadcast to x2APICs too, unless userspace asked otherwise.
 */
static bool quirk_broadcast(struct mhv_vm *vm)
{
	return !(READ_ONCE(vm->caps) & BIT(MHV_VMCAP_X2APIC_NO_BCAST));
}

static bool match(const struct mhv_lapic *target, const struct mhv_vcpu *src,
		  const struct mhv_apic_msg *msg)
{
	u32 dest = msg->dest;

	switch (msg->shorthand) {
	case SHORT_SELF:
		return src == target->vcpu;
	case SHORT_ALL:
		return true;
	case SHORT_OTHERS:
		return src != target->vcpu;
	}
	if (!src && dest == XAPIC_BROADCAST && target->x2apic && quirk_broadcast(target->vcpu->vm))
		dest = X2APIC_BROADCAST;
	return msg->logical ? match_logical(target, dest) : match_physical(target, dest);
}

/* 0xff is an id like others where nobody is in xAPIC mode; the map knows ids alone. */
static bool is_broadcast(struct mhv_vm *vm, const struct mhv_vcpu *src,
			 const struct mhv_apic_map *map, u32 dest)
{
	if (dest != XAPIC_BROADCAST)
		return dest == X2APIC_BROADCAST;
	return map->xapic || (quirk_broadcast(vm) && !(src && src->lapic->x2apic));
}

static bool is_lowest_priority(const struct mhv_apic_msg *msg)
{
	return msg->redirect || msg->delivery == APIC_DM_LOWEST;
}

/* ---- delivery ---- */

static bool send(struct mhv_lapic *target, const struct mhv_vcpu *src,
		 const struct mhv_apic_msg *msg)
{
	return lapic_accept(target, msg, src == target->vcpu);
}

/*
 * Lowest priority: which of several is up to the chipset, and depends on the
 * vector here, so that each interrupt stays on one CPU.
 */
static int send_one_of(struct mhv_lapic **set, unsigned long mask,
		       const struct mhv_vcpu *src, const struct mhv_apic_msg *msg)
{
	unsigned long able = 0;
	unsigned int i, n;

	for_each_set_bit(i, &mask, 16)
		if (set[i] && set[i]->sw_enabled)
			able |= BIT(i);
	if (!able)
		return 0;
	n = msg->vector % hweight16(able);
	for_each_set_bit(i, &able, 16)
		if (!n--)
			return send(set[i], src, msg);
	return 0;
}

/* Those of a set of up to 16 LAPICs that are in @mask. */
static int send_set(struct mhv_lapic **set, unsigned long mask, const struct mhv_vcpu *src,
		    const struct mhv_apic_msg *msg)
{
	unsigned int i;
	int n = 0;

	if (is_lowest_priority(msg))
		return send_one_of(set, mask, src, msg);
	for_each_set_bit(i, &mask, 16)
		if (set[i])
			n += send(set[i], src, msg);
	return n;
}

/* By the map; -1 if it cannot tell. */
static int send_mapped(struct mhv_apic_map *map, const struct mhv_vcpu *src,
		       const struct mhv_apic_msg *msg)
{
	u32 dest = msg->dest, first;
	struct mhv_lapic *target;

	if (!msg->logical) {
		if (map->aliased)
			return -1;
		if (dest >= ARRAY_SIZE(map->phys))
			return 0;
		target = map->phys[array_index_nospec(dest, ARRAY_SIZE(map->phys))];
		return target ? send(target, src, msg) : 0;
	}
	switch (map->logical) {
	case LOGICAL_X2APIC:
		if (map->xapic)		/* phys[] has others, too */
			return -1;
		first = (dest >> 16) * 16;
		if (first >= ARRAY_SIZE(map->phys))
			return 0;
		first = array_index_nospec(first, ARRAY_SIZE(map->phys));
		return send_set(&map->phys[first], dest & 0xffff, src, msg);
	case LOGICAL_FLAT:
		return send_set(map->flat, dest & 0xff, src, msg);
	case LOGICAL_CLUSTER:
		return dest > 0xff ? 0 :
		       send_set(map->cluster[(dest >> 4) & 0xf], dest & 0xf, src, msg);
	}
	return -1;
}

/* Ask each LAPIC; -1 if none is addressed. */
static int send_scan(struct mhv_vm *vm, const struct mhv_vcpu *src,
		     const struct mhv_apic_msg *msg)
{
	bool one = is_lowest_priority(msg);
	unsigned int able = 0, n;
	struct mhv_vcpu *vcpu;
	unsigned long i;
	int ret = -1;

	/* The two exclude each other: everybody gets it. */
	if (!msg->logical && msg->dest == XAPIC_BROADCAST)
		one = false;
	mhv_for_each_vcpu(i, vcpu, vm) {
		if (!vcpu->lapic->hw_enabled || !match(vcpu->lapic, src, msg))
			continue;
		if (!one)
			ret = max(ret, 0) + send(vcpu->lapic, src, msg);
		else if (vcpu->lapic->sw_enabled)
			able++;
	}
	if (!able)
		return ret;
	n = msg->vector % able;
	mhv_for_each_vcpu(i, vcpu, vm) {
		if (!vcpu->lapic->hw_enabled || !match(vcpu->lapic, src, msg) ||
		    !vcpu->lapic->sw_enabled)
			continue;
		if (!n--)
			return send(vcpu->lapic, src, msg);
	}
	return ret;
}

/**
 * mhv_lapic_deliver - bring a message to the LAPICs it is addressed to
 * @vm: the VM, whose vCPUs have LAPICs in the kernel
 * @src: the vCPU whose IPI it is, on its own thread; NULL: a device
 * @msg: the message
 *
 * Context: any.  Returns how many LAPICs took it, 0 if it was blocked, -1 if
 * none is addressed.
 */
int mhv_lapic_deliver(struct mhv_vm *vm, struct mhv_vcpu *src, const struct mhv_apic_msg *msg)
{
	struct mhv_apic_map *map;
	int ret = -1;

	if (src && msg->shorthand == SHORT_SELF)
		return lapic_accept(src->lapic, msg, true);
	rcu_read_lock();
	map = rcu_dereference(vm->irqchip.apic_map);
	if (map && msg->shorthand == SHORT_NONE &&
	    !atomic_read_acquire(&vm->irqchip.apic_map_stale) &&
	    !is_broadcast(vm, src, map, msg->dest))
		ret = send_mapped(map, src, msg);
	if (ret < 0)
		ret = send_scan(vm, src, msg);
	rcu_read_unlock();
	return ret;
}

/**
 * mhv_lapic_addressed - is this LAPIC one that a device's message would reach?
 * @vcpu: the vCPU
 * @dest: destination
 * @logical: destination mode
 *
 * Context: any.
 */
bool mhv_lapic_addressed(struct mhv_vcpu *vcpu, u32 dest, bool logical)
{
	struct mhv_apic_msg msg = { .dest = dest, .logical = logical };

	return vcpu->lapic->hw_enabled && match(vcpu->lapic, NULL, &msg);
}

/**
 * mhv_lapic_in_service - is an interrupt of a device not yet done with?
 * @vm: the VM
 * @dest: destination
 * @logical: destination mode
 * @vector: the vector
 *
 * Context: any.  Returns true while a LAPIC so addressed has the vector in its
 * IRR or ISR.
 */
bool mhv_lapic_in_service(struct mhv_vm *vm, u32 dest, bool logical, u8 vector)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;

	mhv_for_each_vcpu(i, vcpu, vm)
		if (mhv_lapic_addressed(vcpu, dest, logical) &&
		    lapic_has_vector(vcpu->lapic, vector))
			return true;
	return false;
}

static int pv_ipi_word(struct mhv_vm *vm, unsigned long ids, u32 min,
		       const struct mhv_apic_msg *msg)
{
	struct mhv_vcpu *vcpu;
	unsigned int i;
	int n = 0;

	for_each_set_bit(i, &ids, 64) {
		if (min >= MHV_MAX_VCPU_ID || min + i >= MHV_MAX_VCPU_ID)
			break;
		vcpu = READ_ONCE(vm->vcpu_by_id[array_index_nospec(min + i, MHV_MAX_VCPU_ID)]);
		if (vcpu && vcpu->lapic->hw_enabled)
			n += lapic_accept(vcpu->lapic, msg, false);
	}
	return n;
}

/**
 * mhv_lapic_pv_ipi - KVM_HC_SEND_IPI: one IPI to many
 * @vm: the VM, whose vCPUs have LAPICs in the kernel
 * @low: bitmap of APIC ids, from @min on
 * @high: and further
 * @min: the lowest
 * @icr: vector, delivery mode, level and trigger mode, as in an ICR
 * @long_mode: the bitmaps have 64 bits, not 32
 *
 * Context: any.  Returns how many LAPICs took it, or -KVM_EINVAL.
 */
int mhv_lapic_pv_ipi(struct mhv_vm *vm, u64 low, u64 high, u32 min, u64 icr, bool long_mode)
{
	unsigned int bits = long_mode ? 64 : 32;
	struct mhv_apic_msg msg = {
		.vector = icr,
		.delivery = icr & APIC_MODE_MASK,
		.level = icr & APIC_INT_LEVELTRIG,
		.assert = icr & APIC_INT_ASSERT,
	};

	if (icr & (APIC_DEST_LOGICAL | ICR_SHORTHAND))
		return -KVM_EINVAL;
	if (!long_mode) {
		low = (u32)low;
		high = (u32)high;
	}
	return pv_ipi_word(vm, low, min, &msg) +
	       (min + bits < min ? 0 : pv_ipi_word(vm, high, min + bits, &msg));
}

/**
 * mhv_lapic_pic_changed - the PIC's INTR rose: wake the vCPU that takes it
 * @vm: the VM
 *
 * Context: any.
 */
void mhv_lapic_pic_changed(struct mhv_vm *vm)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;

	mhv_for_each_vcpu(i, vcpu, vm) {
		if (!mhv_lapic_accepts_extint(vcpu))
			continue;
		mhv_request(vcpu, MHV_REQ_EVENT);
		mhv_kick(vcpu);
		return;
	}
}

/**
 * mhv_lapic_nmi_watchdog - the PIT ticked: so do LINT0s that are NMIs
 * @vm: the VM
 *
 * Context: any.
 */
void mhv_lapic_nmi_watchdog(struct mhv_vm *vm)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;

	if (likely(!atomic_read(&vm->irqchip.lint0_nmi)))
		return;
	mhv_for_each_vcpu(i, vcpu, vm)
		mhv_lapic_local_deliver(vcpu, APIC_LVT0);
}
