/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One PCI bus: configuration space, BARs, MSI-X, INTx.
 * Entered from machine set-up, from vCPU threads (configuration and BAR accesses) and from device
 * threads (interrupts). Locks: pci_host.lock, then pci_dev.irq_lock, then pci_host.intx_lock.
 * PCI Local Bus Specification 3.0: Configuration Space, MSI-X Capability and Table Structure.
 */
#ifndef MINIVMM_PCI_H
#define MINIVMM_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

#define PCI_SLOTS	32
#define PCI_BARS	6
#define PCI_CFG_SIZE	256
#define PCI_VECTORS_MAX	64	/* MSI-X vectors of one function: the PBA is one word */
#define PCI_MSIX_BAR_SIZE 4096	/* table at 0, PBA in its second half */

struct pci_dev;

/**
 * struct pci_bar - one 32-bit memory BAR; the device fills the first four fields
 *
 * The hooks run on a vCPU thread; mapped and unmapped with pci_host.lock held, so that they come
 * in turn. The access handler runs without it, on several threads at once.
 */
struct pci_bar {
	uint32_t size;		/* a power of two, 4096 or more; 0: there is no such BAR */
	bus_handler access;	/* opaque is the pci_dev */
	void (*mapped)(struct pci_dev *dev, uint64_t gpa);	/* optional: answers there now */
	void (*unmapped)(struct pci_dev *dev, uint64_t gpa);	/* optional: is about to go */

	/* private to pci.c */
	struct bus_region region;
	bool on_bus;
};

/** struct pci_vector - one entry of the MSI-X table, and what it is wired to */
struct pci_vector {
	uint32_t entry[4];	/* address, upper address, data, control: as the guest wrote them */
	int gsi;		/* its MSI route */
	int irqfd;		/* eventfd that raises it */
};

/** struct pci_dev - one function, embedded in a device */
struct pci_dev {
	struct machine *m;
	const char *name;
	unsigned int slot;
	struct pci_bar bar[PCI_BARS];

	/* Under pci_host.lock */
	uint8_t cfg[PCI_CFG_SIZE];	/* what the guest reads */
	uint8_t wmask[PCI_CFG_SIZE];	/* the bits it may write */
	unsigned int cfg_used;		/* capabilities end here */

	/* Optional hooks around the default handling, with pci_host.lock held */
	void (*before_read)(struct pci_dev *dev, unsigned int off, unsigned int len);
	void (*after_write)(struct pci_dev *dev, unsigned int off, unsigned int len);
	void (*bus_master)(struct pci_dev *dev, bool on);	/* no access to RAM while off */

	pthread_mutex_t irq_lock;	/* guards all below */
	unsigned int nr_vectors;
	unsigned int msix_cap;		/* its offset in cfg; constant */
	struct pci_vector vector[PCI_VECTORS_MAX];
	uint64_t pending;		/* the PBA: came while masked */
	bool msix_on, msix_masked;	/* message control's two bits */
	bool intx_off;			/* command register's "interrupt disable" */
	bool intx_wanted;		/* what the device asks for */
	bool intx_level;		/* what it contributes to its GSI */
};

/** struct pci_ident - the read-only identity of a function */
struct pci_ident {
	uint16_t vendor, device;
	uint16_t subvendor, subdevice;
	uint8_t revision;
	uint32_t class;			/* 24 bits: base class, subclass, interface */
	bool intx;			/* has INTA# */
};

/** pci_dev_init() - clear a function and give it its header. Set-up alone */
void pci_dev_init(struct pci_dev *dev, struct machine *m, const char *name,
		  const struct pci_ident *id);

/**
 * pci_add_cap() - append a capability, all read-only
 * @body: what follows the id and next bytes, @len bytes of it
 *
 * Set-up alone. Return: the capability's offset in configuration space.
 */
unsigned int pci_add_cap(struct pci_dev *dev, uint8_t id, const void *body, unsigned int len);

/** pci_msix_init() - give a function MSI-X with its table in a BAR of its own. Dies on failure */
void pci_msix_init(struct pci_dev *dev, unsigned int bar, unsigned int nr_vectors);

/** pci_dev_add() - put a finished function on the bus and assign its BARs. Dies when it is full */
void pci_dev_add(struct pci_dev *dev);

/**
 * pci_dev_remove() - take a function off the bus and free its vectors
 *
 * On the main thread, with the device's own thread and all vCPUs stopped.
 */
void pci_dev_remove(struct pci_dev *dev);

/** pci_msix_enabled() - whether the guest switched from INTx to MSI-X. Any thread */
bool pci_msix_enabled(struct pci_dev *dev);

/** pci_msix_raise() - signal a vector, or note it as pending while it is masked. Any thread */
void pci_msix_raise(struct pci_dev *dev, unsigned int vector);

/** pci_intx_set() - the level the device wants on INTA#; held back while disabled. Any thread */
void pci_intx_set(struct pci_dev *dev, bool level);

#endif
