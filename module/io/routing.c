// SPDX-License-Identifier: GPL-2.0
/*
 * GSI routing: from a global system interrupt to pins of the chips, or an MSI.
 * Entered from vm.c (ioctls), irqfd wakeups, the PIT's timer, the chips' EOIs.
 * Readers hold vm->irq_srcu and may be in any context; writers vm->irq_lock.
 * KVM API, "KVM_SET_GSI_ROUTING"; Intel SDM, "Message Signalled Interrupts".
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <asm/apicdef.h>

#include "minihv.h"
#include "lapic.h"
#include "trace.h"

#define ROUTING_CHIPS	3	/* KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC */
#define NO_GSI		-1

enum route_kind { ROUTE_NONE, ROUTE_PINS, ROUTE_MSI };

struct mhv_msi {
	u32 lo;
	u32 hi;
	u32 data;
};

/**
 * struct mhv_route - where one GSI goes
 * @kind: nowhere, to pins, or an MSI
 * @chips: bitmap of the chips in @pin
 * @pin: of each chip in @chips
 * @msi: the message
 */
struct mhv_route {
	u8 kind;
	u8 chips;
	union {
		u8 pin[ROUTING_CHIPS];
		struct mhv_msi msi;
	};
};

/**
 * struct mhv_routing - a VM's table, replaced as a whole
 * @nr: of GSIs
 * @gsi: the reverse: which GSI goes to a chip's pin, or NO_GSI
 * @route: by GSI
 */
struct mhv_routing {
	unsigned int nr;
	s16 gsi[ROUTING_CHIPS][MHV_IRQCHIP_PINS];
	struct mhv_route route[];
};

static bool x2apic_format(struct mhv_vm *vm)
{
	return READ_ONCE(vm->caps) & BIT(MHV_VMCAP_X2APIC_32BIT);
}

static bool msi_valid(struct mhv_vm *vm, const struct mhv_msi *msi)
{
	return !x2apic_format(vm) || !(msi->hi & 0xff);
}

/* What an MSI's address and data say; the format is that of a local bus message. */
static void msi_decode(struct mhv_vm *vm, const struct mhv_msi *msi, struct mhv_apic_msg *msg)
{
	*msg = (struct mhv_apic_msg) {
		.dest = (msi->lo >> 12) & 0xff,
		.vector = msi->data,
		.delivery = msi->data & APIC_MODE_MASK,
		.logical = msi->lo & BIT(2),
		.redirect = msi->lo & BIT(3),
		.level = msi->data & BIT(15),
		.assert = true,
	};
	if (x2apic_format(vm))
		msg->dest |= msi->hi & 0xffffff00;
}

static int msi_send(struct mhv_vm *vm, const struct mhv_msi *msi)
{
	struct mhv_apic_msg msg;

	if (!msi_valid(vm, msi))
		return -EINVAL;
	trace_mhv_msi_set_irq(msi->lo | (x2apic_format(vm) ? (u64)msi->hi << 32 : 0), msi->data);
	msi_decode(vm, msi, &msg);
	return mhv_lapic_deliver(vm, NULL, &msg);
}

/* The table, and the route of a GSI or NULL; vm->irq_srcu held. */
static const struct mhv_route *routing_find(struct mhv_vm *vm, u32 gsi)
{
	/* Pairs with the release in routing_publish(). */
	const struct mhv_routing *rt = READ_ONCE(vm->routing);

	if (!rt || gsi >= rt->nr)
		return NULL;
	return &rt->route[array_index_nospec(gsi, rt->nr)];
}

static int routing_set_pin(struct mhv_vm *vm, unsigned int chip, unsigned int pin,
			   enum mhv_irq_source src, int level, bool status)
{
	if (chip == KVM_IRQCHIP_IOAPIC)
		return mhv_ioapic_set(vm, pin, src, level, status);
	return mhv_pic_set(vm, pin + 8 * chip, src, level);
}

/*
 * Which chip the guest uses cannot be known, so all that the GSI is wired to
 * see the level; the guest masks what it does not use.
 */
static int route_set(struct mhv_vm *vm, const struct mhv_route *route,
		     enum mhv_irq_source src, int level, bool status)
{
	int ret = -1, r;
	unsigned int chip;

	if (!route)
		return -1;
	if (route->kind == ROUTE_MSI)
		return level ? msi_send(vm, &route->msi) : -1;
	for (chip = 0; chip < ROUTING_CHIPS; chip++) {
		if (!(route->chips & BIT(chip)))
			continue;
		r = routing_set_pin(vm, chip, route->pin[chip], src, level, status);
		if (r >= 0)
			ret = r + max(ret, 0);
	}
	return ret;
}

static int routing_set_level(struct mhv_vm *vm, enum mhv_irq_source src, u32 gsi, int level,
			     bool status)
{
	int idx, ret;

	idx = srcu_read_lock(&vm->irq_srcu);
	ret = route_set(vm, routing_find(vm, gsi), src, level, status);
	srcu_read_unlock(&vm->irq_srcu, idx);
	return ret;
}

/**
 * mhv_irq_set - a source raises or lowers a GSI
 * @vm: the VM, with an irqchip in the kernel
 * @src: whose level it is
 * @gsi: any number; one without a route is ignored
 * @level: zero is low; an MSI is sent when it is not
 *
 * Context: any, also with interrupts off.  Returns how many CPUs it went to, 0
 * if it was coalesced with an interrupt before, negative if it was not sent.
 */
int mhv_irq_set(struct mhv_vm *vm, enum mhv_irq_source src, u32 gsi, int level)
{
	return routing_set_level(vm, src, gsi, level, false);
}

/**
 * mhv_irq_pulse - an edge on a GSI, as an irqfd makes it
 * @vm: the VM, with an irqchip in the kernel
 * @gsi: any number
 *
 * Context: any, also with interrupts off.  Returns as mhv_irq_set().
 */
int mhv_irq_pulse(struct mhv_vm *vm, u32 gsi)
{
	const struct mhv_route *route;
	int idx, ret;

	idx = srcu_read_lock(&vm->irq_srcu);
	route = routing_find(vm, gsi);
	ret = route_set(vm, route, MHV_SRC_USER, 1, false);
	if (route && route->kind == ROUTE_PINS)
		route_set(vm, route, MHV_SRC_USER, 0, false);
	srcu_read_unlock(&vm->irq_srcu, idx);
	return ret;
}

/**
 * mhv_irq_line - KVM_IRQ_LINE and KVM_IRQ_LINE_STATUS
 * @vm: the VM
 * @line: GSI and level; the result is left in @line->status
 * @status: userspace will look at the result
 *
 * Context: any.  Returns 0, or -ENXIO without an irqchip in the kernel.
 */
int mhv_irq_line(struct mhv_vm *vm, struct kvm_irq_level *line, bool status)
{
	if (vm->irqchip.mode == MHV_IRQCHIP_NONE)
		return -ENXIO;
	line->status = routing_set_level(vm, MHV_SRC_USER, line->irq, line->level, status);
	return 0;
}

/**
 * mhv_signal_msi - KVM_SIGNAL_MSI
 * @vm: the VM
 * @msi: the message
 *
 * Context: may sleep.
 * Returns how many LAPICs took it, 0 if it was blocked or nobody has the id,
 * or -EINVAL.
 */
int mhv_signal_msi(struct mhv_vm *vm, const struct kvm_msi *msi)
{
	struct mhv_msi m = { msi->address_lo, msi->address_hi, msi->data };

	if (vm->irqchip.mode == MHV_IRQCHIP_NONE || (msi->flags & ~KVM_MSI_VALID_DEVID))
		return -EINVAL;
	/* The answer for an id that nobody has is the map's. */
	lapic_map_update(vm);
	return msi_send(vm, &m);
}

/* ---- what comes back from a pin ---- */

static int routing_gsi_of(struct mhv_vm *vm, unsigned int chip, unsigned int pin)
{
	const struct mhv_routing *rt = READ_ONCE(vm->routing);

	return rt ? rt->gsi[chip][pin] : NO_GSI;
}

/**
 * mhv_irq_acked - the guest is done with the interrupt of a pin
 * @vm: the VM
 * @irqchip: KVM_IRQCHIP_*
 * @pin: of that chip
 *
 * Context: any, without the chips' locks: whoever is told may set levels.
 */
void mhv_irq_acked(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin)
{
	int idx, gsi;

	idx = srcu_read_lock(&vm->irq_srcu);
	gsi = routing_gsi_of(vm, irqchip, pin);
	if (gsi == 0)
		mhv_pit_acked(vm);
	if (gsi != NO_GSI)
		mhv_irqfd_acked(vm, gsi);
	srcu_read_unlock(&vm->irq_srcu, idx);
}

/**
 * mhv_irq_wants_ack - does anyone listen for EOIs of a pin?
 * @vm: the VM
 * @irqchip: KVM_IRQCHIP_*
 * @pin: of that chip
 *
 * Context: any.
 */
bool mhv_irq_wants_ack(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin)
{
	bool ret;
	int idx, gsi;

	idx = srcu_read_lock(&vm->irq_srcu);
	gsi = routing_gsi_of(vm, irqchip, pin);
	ret = (gsi == 0 && mhv_pit_wants_ack(vm)) ||
	      (gsi != NO_GSI && mhv_irqfd_wants_ack(vm, gsi));
	srcu_read_unlock(&vm->irq_srcu, idx);
	return ret;
}

/**
 * mhv_irq_unmasked - the guest unmasked a pin
 * @vm: the VM
 * @irqchip: KVM_IRQCHIP_*
 * @pin: of that chip
 *
 * Context: any, without the chips' locks.
 */
void mhv_irq_unmasked(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin)
{
	int idx;

	idx = srcu_read_lock(&vm->irq_srcu);
	if (routing_gsi_of(vm, irqchip, pin) == 0)
		mhv_pit_unmasked(vm);
	srcu_read_unlock(&vm->irq_srcu, idx);
}

/**
 * mhv_routing_scan_eoi - which vectors userspace's IOAPIC sends as levels
 * @vcpu: to whom
 * @vectors: bitmap of 256; those bits are set
 *
 * Userspace describes its IOAPIC's pins as MSI routes of the first GSIs.  One
 * that was sent here before its route led elsewhere still has its EOI here.
 */
void mhv_routing_scan_eoi(struct mhv_vcpu *vcpu, unsigned long *vectors)
{
	struct mhv_vm *vm = vcpu->vm;
	const struct mhv_route *route;
	struct mhv_apic_msg msg;
	unsigned int gsi;
	int idx;

	idx = srcu_read_lock(&vm->irq_srcu);
	for (gsi = 0; gsi < vm->irqchip.reserved_pins; gsi++) {
		route = routing_find(vm, gsi);
		if (!route)
			break;
		if (route->kind != ROUTE_MSI)
			continue;
		msi_decode(vm, &route->msi, &msg);
		if (msg.level && (mhv_lapic_addressed(vcpu, msg.dest, msg.logical) ||
				  lapic_has_vector(vcpu->lapic, msg.vector)))
			__set_bit(msg.vector, vectors);
	}
	srcu_read_unlock(&vm->irq_srcu, idx);
}

/* ---- the table is replaced ---- */

static int routing_add_pin(struct mhv_vm *vm, struct mhv_routing *rt, u32 gsi,
			   const struct kvm_irq_routing_irqchip *to)
{
	struct mhv_route *route = &rt->route[gsi];
	unsigned int pins = to->irqchip == KVM_IRQCHIP_IOAPIC ? MHV_IRQCHIP_PINS : 8;
	u32 chip, pin;

	if (vm->irqchip.mode == MHV_IRQCHIP_SPLIT)
		return -EINVAL;
	if (to->irqchip >= ROUTING_CHIPS || to->pin >= pins)
		return -EINVAL;
	chip = array_index_nospec(to->irqchip, ROUTING_CHIPS);
	pin = array_index_nospec(to->pin, MHV_IRQCHIP_PINS);
	/* To several chips, but to each one only once. */
	if (route->kind == ROUTE_MSI || (route->chips & BIT(chip)))
		return -EINVAL;
	route->kind = ROUTE_PINS;
	route->chips |= BIT(chip);
	route->pin[chip] = pin;
	rt->gsi[chip][pin] = gsi;
	return 0;
}

static int routing_add_msi(struct mhv_vm *vm, struct mhv_routing *rt, u32 gsi,
			   const struct kvm_irq_routing_msi *to)
{
	struct mhv_route *route = &rt->route[gsi];

	if (route->kind != ROUTE_NONE)
		return -EINVAL;
	route->kind = ROUTE_MSI;
	route->msi = (struct mhv_msi) { to->address_lo, to->address_hi, to->data };
	return msi_valid(vm, &route->msi) ? 0 : -EINVAL;
}

static int routing_add(struct mhv_vm *vm, struct mhv_routing *rt,
		       const struct kvm_irq_routing_entry *e)
{
	u32 gsi = array_index_nospec(e->gsi, MHV_MAX_GSI);

	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (e->flags)
			return -EINVAL;
		return routing_add_pin(vm, rt, gsi, &e->u.irqchip);
	case KVM_IRQ_ROUTING_MSI:
		if (e->flags & ~KVM_MSI_VALID_DEVID)
			return -EINVAL;
		return routing_add_msi(vm, rt, gsi, &e->u.msi);
	default:
		return -EINVAL;
	}
}

static void routing_publish(struct mhv_vm *vm, struct mhv_routing *new)
{
	struct mhv_routing *old;

	mutex_lock(&vm->irq_lock);
	old = vm->routing;
	/* Pairs with READ_ONCE() in routing_find(). */
	smp_store_release(&vm->routing, new);
	mutex_unlock(&vm->irq_lock);
	synchronize_srcu_expedited(&vm->irq_srcu);
	kvfree(old);

	/* Which EOIs matter depends on the table. */
	if (vm->irqchip.mode == MHV_IRQCHIP_SPLIT)
		mhv_request_all(vm, MHV_REQ_SCAN_EOI);
	else
		mhv_ioapic_rescan(vm);
}

/**
 * mhv_routing_set - replace the table: KVM_SET_GSI_ROUTING
 * @vm: the VM
 * @entries: the whole new table, in the kernel's memory
 * @nr: how many, 0 to 4096
 *
 * Context: sleeps; takes vm->irq_lock.  Returns 0, -EINVAL or -ENOMEM; the
 * old table stays if it is not 0.
 */
int mhv_routing_set(struct mhv_vm *vm, const struct kvm_irq_routing_entry *entries,
		    unsigned int nr)
{
	struct mhv_routing *rt;
	unsigned int i, nr_gsi = 1;
	int ret;

	for (i = 0; i < nr; i++) {
		if (entries[i].gsi >= MHV_MAX_GSI)
			return -EINVAL;
		nr_gsi = max(nr_gsi, entries[i].gsi + 1);
	}
	rt = kvzalloc(struct_size(rt, route, nr_gsi), GFP_KERNEL_ACCOUNT);
	if (!rt)
		return -ENOMEM;
	rt->nr = nr_gsi;
	memset(rt->gsi, NO_GSI, sizeof(rt->gsi));
	for (i = 0; i < nr; i++) {
		ret = routing_add(vm, rt, &entries[i]);
		if (ret) {
			kvfree(rt);
			return ret;
		}
	}
	routing_publish(vm, rt);
	return 0;
}

/**
 * mhv_routing_default - the table that comes with PICs and IOAPIC
 * @vm: the VM
 *
 * GSIs 0 to 15 go to a PIC and to the IOAPIC, 16 to 23 to the IOAPIC.
 * Returns 0 or -ENOMEM.
 */
int mhv_routing_default(struct mhv_vm *vm)
{
	struct kvm_irq_routing_entry *entries, *e;
	unsigned int gsi;
	int ret;

	entries = kcalloc(MHV_IRQCHIP_PINS + 16, sizeof(*entries), GFP_KERNEL);
	if (!entries)
		return -ENOMEM;
	e = entries;
	for (gsi = 0; gsi < MHV_IRQCHIP_PINS; gsi++, e++) {
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = gsi;
	}
	for (gsi = 0; gsi < 16; gsi++, e++) {
		e->gsi = gsi;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		e->u.irqchip.pin = gsi % 8;
	}
	ret = mhv_routing_set(vm, entries, e - entries);
	kfree(entries);
	return ret;
}

/**
 * mhv_routing_destroy - free the table
 * @vm: a VM that nobody can reach any more
 */
void mhv_routing_destroy(struct mhv_vm *vm)
{
	kvfree(vm->routing);
	vm->routing = NULL;
}
