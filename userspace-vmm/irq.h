/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts into the VM: lines, MSI routes, irqfds; and doorbells out of it, ioeventfds.
 * Entered from devices on any thread. The interrupt controllers themselves are in the kernel.
 * irq.lock (in irq.c) guards the route table; it is a leaf: nothing is called with it held.
 * KVM API documentation: KVM_IRQ_LINE, KVM_SET_GSI_ROUTING, KVM_IRQFD, KVM_IOEVENTFD.
 */
#ifndef MINIVMM_IRQ_H
#define MINIVMM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* GSIs of the board. 0 to 23 are the IOAPIC's pins; MSIs get numbers above. */
#define GSI_PIT		0	/* reaches IOAPIC pin 2: the MADT has the override */
#define GSI_COM1	4
#define GSI_RTC		8
#define GSI_SCI		9	/* level, active high: the MADT has the override */
#define GSI_PCI_INTX	16	/* INTA..INTD of slot n: 16 + (n + pin) % 4, see the DSDT's _PRT */
#define GSI_PINS	24
#define GSI_MAX		1024	/* end of the MSI range */

/** irq_init() - install the board's routes. In machine set-up, after KVM_CREATE_IRQCHIP */
void irq_init(struct machine *m);

/**
 * irq_line() - set the level of a GSI
 * @gsi: below GSI_PINS
 * @level: edge-triggered GSIs (COM1, RTC) pulse by true, then false
 *
 * A line that devices share is theirs to OR. Any thread.
 */
void irq_line(struct machine *m, unsigned int gsi, bool level);

/**
 * irq_msi_alloc() - get a GSI for one MSI or MSI-X vector. It has no route until irq_msi_set()
 *
 * Return: the GSI, or -ENOSPC.
 */
int irq_msi_alloc(struct machine *m);

/** irq_msi_free() - drop the route and give the GSI back; its irqfd must be detached */
void irq_msi_free(struct machine *m, int gsi);

/**
 * irq_msi_set() - route a GSI to an MSI message
 *
 * The whole table is replaced in one ioctl, so an interrupt that is being raised takes the old
 * or the new route. The same message again costs nothing. Any thread.
 * Return: 0 or -errno of KVM_SET_GSI_ROUTING (and then the old route stays).
 */
int irq_msi_set(struct machine *m, int gsi, uint32_t addr_lo, uint32_t addr_hi, uint32_t data);

/** irq_msi_clear() - take the GSI's route away; signals of its irqfd then go nowhere */
int irq_msi_clear(struct machine *m, int gsi);

/** irq_msi_send() - deliver one message now, without GSI or irqfd. Return: 0 or -errno */
int irq_msi_send(struct machine *m, uint32_t addr_lo, uint32_t addr_hi, uint32_t data);

/** irqfd_attach() - a write to @eventfd raises @gsi (as an edge). Return: 0 or -errno */
int irqfd_attach(struct machine *m, int gsi, int eventfd);

/** irqfd_detach() - undo irqfd_attach(). Return: 0 or -errno */
int irqfd_detach(struct machine *m, int gsi, int eventfd);

/**
 * ioeventfd_add() - let a guest write signal an eventfd instead of coming to the bus
 * @addr: port or guest physical address
 * @len: 1, 2, 4, 8; 0 for any width (then without @datamatch)
 * @datamatch: the value that must be written, or NULL for any
 * @pio: port I/O rather than MMIO
 * @fd: the eventfd; it stays the caller's
 *
 * Register the same range on the bus too: what does not match goes there.
 * Return: 0 or -errno.
 */
int ioeventfd_add(struct machine *m, uint64_t addr, unsigned int len, const uint64_t *datamatch,
		  bool pio, int fd);

/** ioeventfd_del() - undo ioeventfd_add(); every argument must be the same. Return: 0 or -errno */
int ioeventfd_del(struct machine *m, uint64_t addr, unsigned int len, const uint64_t *datamatch,
		  bool pio, int fd);

#endif
