// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupt lines, MSI routes, irqfds and ioeventfds.
 * Entered from devices, on any thread.
 * irq_router.lock guards the table; it is held across KVM_SET_GSI_ROUTING so that the kernel's
 * table is always the latest. It is a leaf.
 * KVM API documentation: KVM_SET_GSI_ROUTING, KVM_IRQFD, KVM_IOEVENTFD.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "machine.h"

#define BOARD_ROUTES	40		/* 16 of the PICs, 23 of the IOAPIC, rounded */

struct msi {
	bool used, routed;
	uint32_t addr_lo, addr_hi, data;
};

struct irq_router {
	pthread_mutex_t lock;
	struct msi msi[GSI_MAX - GSI_PINS];
	struct kvm_irq_routing_entry board[BOARD_ROUTES];
	unsigned int nr_board;
	struct kvm_irq_routing *table;	/* scratch, for the ioctl */
};

static void add_pin(struct irq_router *r, uint32_t gsi, uint32_t chip, uint32_t pin)
{
	r->board[r->nr_board++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* Called with the lock held. */
static int install(struct machine *m)
{
	struct irq_router *r = m->irq;
	unsigned int i, n = r->nr_board;

	memcpy(r->table->entries, r->board, n * sizeof(r->board[0]));
	for (i = 0; i < GSI_MAX - GSI_PINS; i++) {
		const struct msi *msi = &r->msi[i];

		if (!msi->routed)
			continue;
		r->table->entries[n++] = (struct kvm_irq_routing_entry){
			.gsi = GSI_PINS + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {
				.address_lo = msi->addr_lo,
				.address_hi = msi->addr_hi,
				.data = msi->data,
			},
		};
	}
	r->table->nr = n;
	r->table->flags = 0;
	return kvm_try(m->vm_fd, KVM_SET_GSI_ROUTING, r->table);
}

static void irq_cleanup(void *opaque)
{
	struct irq_router *r = opaque;

	free(r->table);
	free(r);
}

/*
 * ISA interrupts reach a PIC and the IOAPIC at once; the guest unmasks one of them. The PIT's
 * GSI 0 is wired to IOAPIC pin 2, as on every PC since the cascade took that number.
 */
void irq_init(struct machine *m)
{
	struct irq_router *r = calloc(1, sizeof(*r));
	unsigned int gsi;
	int ret;

	if (r)
		r->table = calloc(1, sizeof(*r->table) + (BOARD_ROUTES + GSI_MAX) *
				     sizeof(r->table->entries[0]));
	if (!r || !r->table)
		die("out of memory");
	pthread_mutex_init(&r->lock, NULL);
	m->irq = r;
	machine_at_exit(m, irq_cleanup, r);

	for (gsi = 0; gsi < 16; gsi++) {
		if (gsi == 2)
			continue;
		add_pin(r, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
	}
	for (gsi = 0; gsi < GSI_PINS; gsi++) {
		if (gsi != 2)
			add_pin(r, gsi, KVM_IRQCHIP_IOAPIC, gsi == GSI_PIT ? 2 : gsi);
	}
	ret = install(m);
	if (ret < 0)
		die("KVM_SET_GSI_ROUTING failed: %s", strerror(-ret));
}

void irq_line(struct machine *m, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (kvm_try(m->vm_fd, KVM_IRQ_LINE, &line) < 0)
		machine_stop(m, EXIT_HOST);
}

int irq_msi_alloc(struct machine *m)
{
	struct irq_router *r = m->irq;
	int i, gsi = -ENOSPC;

	pthread_mutex_lock(&r->lock);
	for (i = 0; i < GSI_MAX - GSI_PINS; i++) {
		if (r->msi[i].used)
			continue;
		r->msi[i] = (struct msi){ .used = true };
		gsi = GSI_PINS + i;
		break;
	}
	pthread_mutex_unlock(&r->lock);
	return gsi;
}

static struct msi *msi_of(struct machine *m, int gsi)
{
	return gsi >= GSI_PINS && gsi < GSI_MAX ? &m->irq->msi[gsi - GSI_PINS] : NULL;
}

/* Replace one slot and tell the kernel; the old one comes back when it refuses. */
static int msi_replace(struct machine *m, int gsi, struct msi new)
{
	struct msi old, *msi = msi_of(m, gsi);
	int ret = 0;

	if (!msi)
		return -EINVAL;
	pthread_mutex_lock(&m->irq->lock);
	old = *msi;
	if (!old.used) {
		ret = -EINVAL;
	} else if (old.routed != new.routed || old.data != new.data ||
		   old.addr_lo != new.addr_lo || old.addr_hi != new.addr_hi) {
		*msi = new;
		ret = install(m);
		if (ret < 0)
			*msi = old;
	}
	if (!ret)
		msi->used = new.used;
	pthread_mutex_unlock(&m->irq->lock);
	return ret;
}

void irq_msi_free(struct machine *m, int gsi)
{
	msi_replace(m, gsi, (struct msi){ .used = false });
}

int irq_msi_set(struct machine *m, int gsi, uint32_t addr_lo, uint32_t addr_hi, uint32_t data)
{
	return msi_replace(m, gsi, (struct msi){ .used = true, .routed = true,
						 .addr_lo = addr_lo, .addr_hi = addr_hi,
						 .data = data });
}

int irq_msi_clear(struct machine *m, int gsi)
{
	return msi_replace(m, gsi, (struct msi){ .used = true });
}

int irq_msi_send(struct machine *m, uint32_t addr_lo, uint32_t addr_hi, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = addr_lo, .address_hi = addr_hi, .data = data };
	int ret = kvm_try(m->vm_fd, KVM_SIGNAL_MSI, &msi);

	return ret < 0 ? ret : 0;
}

static int irqfd(struct machine *m, int gsi, int eventfd, uint32_t flags)
{
	struct kvm_irqfd arg = { .fd = eventfd, .gsi = gsi, .flags = flags };

	return kvm_try(m->vm_fd, KVM_IRQFD, &arg);
}

int irqfd_attach(struct machine *m, int gsi, int eventfd)
{
	return irqfd(m, gsi, eventfd, 0);
}

int irqfd_detach(struct machine *m, int gsi, int eventfd)
{
	return irqfd(m, gsi, eventfd, KVM_IRQFD_FLAG_DEASSIGN);
}

static int ioeventfd(struct machine *m, uint64_t addr, unsigned int len,
		     const uint64_t *datamatch, bool pio, int fd, uint32_t flags)
{
	struct kvm_ioeventfd arg = { .addr = addr, .len = len, .fd = fd, .flags = flags };

	if (pio)
		arg.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (datamatch) {
		arg.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		arg.datamatch = *datamatch;
	}
	return kvm_try(m->vm_fd, KVM_IOEVENTFD, &arg);
}

int ioeventfd_add(struct machine *m, uint64_t addr, unsigned int len, const uint64_t *datamatch,
		  bool pio, int fd)
{
	return ioeventfd(m, addr, len, datamatch, pio, fd, 0);
}

int ioeventfd_del(struct machine *m, uint64_t addr, unsigned int len, const uint64_t *datamatch,
		  bool pio, int fd)
{
	return ioeventfd(m, addr, len, datamatch, pio, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
