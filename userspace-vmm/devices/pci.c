// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI host: bus 0, reached through ports 0xcf8/0xcfc and through MMCONFIG, and its functions.
 * Entered from vCPU threads (configuration, MSI-X tables) and from device threads (interrupts).
 * pci_host.lock: configuration and BAR placement. pci_dev.irq_lock: MSI-X and INTx state.
 * PCI Local Bus Specification 3.0: Configuration Space, MSI-X Capability and Table Structure.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/pci.h"

#define CONFIG_ADDRESS		0xcf8
#define CONFIG_DATA		0xcfc
#define CONFIG_ENABLE		0x80000000u
#define RESET_CONTROL		1	/* port 0xcf9, byte wide, lies within CONFIG_ADDRESS */
#define RESET_CPU		0x04

#define MSIX_PBA		(PCI_MSIX_BAR_SIZE / 2)
#define MSIX_CAP_LEN		10	/* message control, table and PBA offsets */

struct pci_host {
	struct machine *m;
	pthread_mutex_t lock;		/* all functions' configuration space, and BAR placement */
	struct pci_dev *slot[PCI_SLOTS];
	uint32_t address;		/* the register at 0xcf8 */
	uint64_t next_bar;		/* first free address of the MMIO window, in set-up */
	struct pci_dev bridge;		/* 00:00.0 */
	struct bus_region address_ports, data_ports, ecam;

	pthread_mutex_t intx_lock;
	unsigned int intx_count[4];	/* functions that hold GSI_PCI_INTX + n up */
};

static uint16_t cfg_u16(const struct pci_dev *dev, unsigned int off)
{
	uint16_t val;

	memcpy(&val, dev->cfg + off, sizeof(val));
	return le16toh(val);
}

static uint32_t cfg_u32(const struct pci_dev *dev, unsigned int off)
{
	uint32_t val;

	memcpy(&val, dev->cfg + off, sizeof(val));
	return le32toh(val);
}

static void cfg_set(struct pci_dev *dev, unsigned int off, uint32_t val, unsigned int len)
{
	val = htole32(val);
	memcpy(dev->cfg + off, &val, len);
}

static bool overlaps(unsigned int off, unsigned int len, unsigned int reg, unsigned int reg_len)
{
	return off < reg + reg_len && reg < off + len;
}

/* ---- BARs ---- */

/*
 * Where a BAR ought to answer now: 0 for nowhere. The bridge forwards its window alone, so a BAR
 * that is being sized (all ones), or that was put over RAM or the APICs, is off the bus.
 */
static uint64_t bar_target(const struct pci_dev *dev, unsigned int i)
{
	uint64_t addr = cfg_u32(dev, PCI_BASE_ADDRESS_0 + 4 * i);

	addr &= PCI_BASE_ADDRESS_MEM_MASK;
	if (!dev->bar[i].size || !(cfg_u16(dev, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	if (addr < PCI_MMIO_BASE || addr + dev->bar[i].size > PCI_MMIO_BASE + PCI_MMIO_SIZE)
		return 0;
	return addr;
}

static void bar_unmap(struct pci_dev *dev, struct pci_bar *bar)
{
	if (bar->unmapped)
		bar->unmapped(dev, bar->region.base);
	/* Not bus_unregister(): this may run in the handler of this very BAR (virtio's PCI_CFG). */
	bus_disable(&dev->m->mmio, &bar->region);
	bar->on_bus = false;
}

static void bar_map(struct pci_dev *dev, struct pci_bar *bar, uint64_t gpa)
{
	bar->region.base = gpa;
	if (bus_register(&dev->m->mmio, &bar->region))
		return;		/* the guest put it over another: it answers once that one moves */
	bar->on_bus = true;
	if (bar->mapped)
		bar->mapped(dev, gpa);
}

/*
 * Bring the bus in line with all command registers and BARs. First everything that moves goes,
 * then everything comes, so that two BARs may trade places and one that was hidden comes back.
 */
static void update_mappings(struct pci_host *host)
{
	for (int map = 0; map < 2; map++) {
		for (unsigned int s = 0; s < PCI_SLOTS; s++) {
			struct pci_dev *dev = host->slot[s];

			for (unsigned int i = 0; dev && i < PCI_BARS; i++) {
				struct pci_bar *bar = &dev->bar[i];
				uint64_t target = bar_target(dev, i);

				if (!map && bar->on_bus && bar->region.base != target)
					bar_unmap(dev, bar);
				else if (map && !bar->on_bus && target)
					bar_map(dev, bar, target);
			}
		}
	}
}

/* ---- INTx ---- */

/* Called with irq_lock held: drive the GSI as enable bits and the device's wish have it. */
static void intx_update(struct pci_dev *dev)
{
	struct pci_host *host = dev->m->pci;
	bool level = dev->intx_wanted && !dev->intx_off && !dev->msix_on;
	unsigned int line = dev->slot % 4;

	if (level == dev->intx_level)
		return;
	dev->intx_level = level;
	pthread_mutex_lock(&host->intx_lock);
	/* Functions share a line: it is up as long as one holds it. */
	if (level ? !host->intx_count[line]++ : !--host->intx_count[line])
		irq_line(dev->m, GSI_PCI_INTX + line, level);
	pthread_mutex_unlock(&host->intx_lock);
}

void pci_intx_set(struct pci_dev *dev, bool level)
{
	pthread_mutex_lock(&dev->irq_lock);
	dev->intx_wanted = level;
	intx_update(dev);
	pthread_mutex_unlock(&dev->irq_lock);
}

/* ---- MSI-X ---- */

static bool vector_masked(const struct pci_dev *dev, const struct pci_vector *v)
{
	return !dev->msix_on || dev->msix_masked ||
	       (le32toh(v->entry[3]) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void vector_signal(struct pci_vector *v)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full: then it is signalled already. */
	if (write(v->irqfd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		complain("an MSI-X vector's eventfd: %s", strerror(errno));
}

/* Called with irq_lock held, after a mask or an entry changed. */
static void vector_update(struct pci_dev *dev, unsigned int i)
{
	struct pci_vector *v = &dev->vector[i];

	if (vector_masked(dev, v))
		return;		/* the entry may be half written: its route waits for the unmask */
	if (irq_msi_set(dev->m, v->gsi, le32toh(v->entry[0]), le32toh(v->entry[1]),
			le32toh(v->entry[2])))
		return;		/* no message that an APIC takes: like a write to nowhere */
	if (dev->pending & (1ull << i)) {
		dev->pending &= ~(1ull << i);
		vector_signal(v);
	}
}

void pci_msix_raise(struct pci_dev *dev, unsigned int vector)
{
	if (vector >= dev->nr_vectors)
		return;
	pthread_mutex_lock(&dev->irq_lock);
	if (vector_masked(dev, &dev->vector[vector]))
		dev->pending |= 1ull << vector;
	else
		vector_signal(&dev->vector[vector]);
	pthread_mutex_unlock(&dev->irq_lock);
}

bool pci_msix_enabled(struct pci_dev *dev)
{
	bool on;

	pthread_mutex_lock(&dev->irq_lock);
	on = dev->msix_on;
	pthread_mutex_unlock(&dev->irq_lock);
	return on;
}

/* Called after a write to the command register or to MSI-X's message control. */
static void irq_config_changed(struct pci_dev *dev)
{
	pthread_mutex_lock(&dev->irq_lock);
	dev->intx_off = cfg_u16(dev, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
	if (dev->msix_cap) {
		uint16_t ctrl = cfg_u16(dev, dev->msix_cap + PCI_MSIX_FLAGS);

		dev->msix_on = ctrl & PCI_MSIX_FLAGS_ENABLE;
		dev->msix_masked = ctrl & PCI_MSIX_FLAGS_MASKALL;
		for (unsigned int i = 0; i < dev->nr_vectors; i++)
			vector_update(dev, i);
	}
	intx_update(dev);
	pthread_mutex_unlock(&dev->irq_lock);
}

/*
 * The table takes naturally aligned 4 and 8 byte accesses, as the specification has it; others
 * do nothing and read as ones. Beyond the table reads as zero, beyond the PBA too.
 */
static void msix_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct pci_dev *dev = opaque;
	unsigned int i = offset / PCI_MSIX_ENTRY_SIZE;

	if ((len != 4 && len != 8) || offset % len)
		return;
	pthread_mutex_lock(&dev->irq_lock);
	if (i < dev->nr_vectors) {
		uint8_t *at = (uint8_t *)dev->vector[i].entry + offset % PCI_MSIX_ENTRY_SIZE;

		memcpy(write ? at : data, write ? data : at, len);
		if (write)
			vector_update(dev, i);
	} else if (!write) {
		uint64_t pending = htole64(dev->pending);

		memset(data, 0, len);
		if (offset >= MSIX_PBA && offset < MSIX_PBA + sizeof(pending))
			memcpy(data, (uint8_t *)&pending + offset - MSIX_PBA, len);
	}
	pthread_mutex_unlock(&dev->irq_lock);
}

void pci_msix_init(struct pci_dev *dev, unsigned int bar, unsigned int nr_vectors)
{
	uint8_t body[MSIX_CAP_LEN] = { 0 };
	uint16_t ctrl = htole16(nr_vectors - 1);
	uint32_t table = htole32(bar), pba = htole32(MSIX_PBA | bar);
	unsigned int cap;

	memcpy(body, &ctrl, sizeof(ctrl));
	memcpy(body + 2, &table, sizeof(table));
	memcpy(body + 6, &pba, sizeof(pba));
	cap = pci_add_cap(dev, PCI_CAP_ID_MSIX, body, sizeof(body));
	dev->wmask[cap + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	dev->msix_cap = cap;
	dev->nr_vectors = nr_vectors;
	dev->bar[bar].size = PCI_MSIX_BAR_SIZE;
	dev->bar[bar].access = msix_access;

	for (unsigned int i = 0; i < nr_vectors; i++) {
		struct pci_vector *v = &dev->vector[i];
		int err;

		v->entry[3] = htole32(PCI_MSIX_ENTRY_CTRL_MASKBIT);
		v->gsi = irq_msi_alloc(dev->m);
		v->irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->gsi < 0 || v->irqfd < 0)
			die("%s: no resources for an interrupt vector", dev->name);
		err = irqfd_attach(dev->m, v->gsi, v->irqfd);
		if (err)
			die("%s: KVM_IRQFD: %s", dev->name, strerror(-err));
	}
}

/* ---- Configuration space ---- */

static void cfg_read(struct pci_dev *dev, unsigned int off, uint8_t *data, unsigned int len)
{
	if (dev->before_read)
		dev->before_read(dev, off, len);
	if (overlaps(off, len, PCI_STATUS, 1)) {
		pthread_mutex_lock(&dev->irq_lock);
		dev->cfg[PCI_STATUS] &= ~PCI_STATUS_INTERRUPT;
		if (dev->intx_wanted && !dev->msix_on)
			dev->cfg[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
		pthread_mutex_unlock(&dev->irq_lock);
	}
	memcpy(data, dev->cfg + off, len);
}

static void cfg_write(struct pci_dev *dev, unsigned int off, const uint8_t *data, unsigned int len)
{
	bool master = dev->cfg[PCI_COMMAND] & PCI_COMMAND_MASTER;

	for (unsigned int i = 0; i < len; i++) {
		uint8_t mask = dev->wmask[off + i];

		dev->cfg[off + i] = (dev->cfg[off + i] & ~mask) | (data[i] & mask);
	}
	if (overlaps(off, len, PCI_COMMAND, 2) ||
	    overlaps(off, len, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		update_mappings(dev->m->pci);
	if (overlaps(off, len, PCI_COMMAND, 2) ||
	    (dev->msix_cap && overlaps(off, len, dev->msix_cap + PCI_MSIX_FLAGS, 2)))
		irq_config_changed(dev);
	if (dev->bus_master && master != !!(dev->cfg[PCI_COMMAND] & PCI_COMMAND_MASTER))
		dev->bus_master(dev, !master);
	if (dev->after_write)
		dev->after_write(dev, off, len);
}

/*
 * One access to a function's registers. What does not exist, a function or the space beyond 256
 * bytes (no function here is PCI Express), reads as all ones: @data comes filled with them.
 */
static void cfg_access(struct pci_host *host, unsigned int slot, unsigned int fn, unsigned int off,
		       uint8_t *data, unsigned int len, bool write)
{
	pthread_mutex_lock(&host->lock);
	if (!fn && host->slot[slot] && off + len <= PCI_CFG_SIZE) {
		if (write)
			cfg_write(host->slot[slot], off, data, len);
		else
			cfg_read(host->slot[slot], off, data, len);
	}
	pthread_mutex_unlock(&host->lock);
}

static void ecam_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	if (offset >> 20)
		return;		/* bus 0 alone exists */
	cfg_access(opaque, offset >> 15, offset >> 12 & 7, offset & 0xfff, data, len, write);
}

static void address_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct pci_host *host = opaque;

	if (offset == RESET_CONTROL && len == 1) {
		if (write && (*(uint8_t *)data & RESET_CPU))
			machine_reset_request(host->m);
		else if (!write)
			*(uint8_t *)data = 0;
		return;
	}
	if (len != 4)
		return;		/* only a whole dword reaches CONFIG_ADDRESS */
	pthread_mutex_lock(&host->lock);
	memcpy(write ? (void *)&host->address : data, write ? data : &host->address, 4);
	pthread_mutex_unlock(&host->lock);
}

static void data_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct pci_host *host = opaque;
	uint32_t address;

	pthread_mutex_lock(&host->lock);
	address = le32toh(host->address);
	pthread_mutex_unlock(&host->lock);
	if (!(address & CONFIG_ENABLE) || (address >> 16 & 0xff))
		return;
	cfg_access(host, address >> 11 & 31, address >> 8 & 7, (address & 0xfc) + offset, data, len,
		   write);
}

/* ---- Set-up ---- */

void pci_dev_init(struct pci_dev *dev, struct machine *m, const char *name,
		  const struct pci_ident *id)
{
	memset(dev, 0, sizeof(*dev));
	dev->m = m;
	dev->name = name;
	pthread_mutex_init(&dev->irq_lock, NULL);
	cfg_set(dev, PCI_VENDOR_ID, id->vendor, 2);
	cfg_set(dev, PCI_DEVICE_ID, id->device, 2);
	cfg_set(dev, PCI_CLASS_REVISION, id->class << 8 | id->revision, 4);
	cfg_set(dev, PCI_SUBSYSTEM_VENDOR_ID, id->subvendor, 2);
	cfg_set(dev, PCI_SUBSYSTEM_ID, id->subdevice, 2);
	dev->cfg_used = PCI_STD_HEADER_SIZEOF;
	dev->wmask[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY;
	dev->wmask[PCI_COMMAND + 1] = (PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE) >> 8;
	dev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	if (id->intx) {
		dev->cfg[PCI_INTERRUPT_PIN] = 1;
		dev->wmask[PCI_INTERRUPT_LINE] = 0xff;
	}
}

unsigned int pci_add_cap(struct pci_dev *dev, uint8_t id, const void *body, unsigned int len)
{
	unsigned int cap = dev->cfg_used;
	uint8_t *link = &dev->cfg[PCI_CAPABILITY_LIST];

	if (cap + 2 + len > PCI_CFG_SIZE)
		die("%s: too many PCI capabilities", dev->name);
	while (*link)
		link = &dev->cfg[*link + PCI_CAP_LIST_NEXT];
	*link = cap;
	dev->cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->cfg[cap + PCI_CAP_LIST_ID] = id;
	memcpy(dev->cfg + cap + 2, body, len);
	dev->cfg_used = (cap + 2 + len + 3) & ~3u;
	return cap;
}

/* BARs get their addresses here, as firmware would do it: the guest may keep or move them. */
static void assign_bars(struct pci_host *host, struct pci_dev *dev)
{
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bar[i];
		unsigned int reg = PCI_BASE_ADDRESS_0 + 4 * i;
		uint32_t mask = htole32(~(bar->size - 1));
		uint64_t addr = (host->next_bar + bar->size - 1) & -(uint64_t)bar->size;

		if (!bar->size)
			continue;
		if (addr + bar->size > PCI_MMIO_BASE + PCI_MMIO_SIZE)
			die("%s: the PCI memory window is full", dev->name);
		host->next_bar = addr + bar->size;
		cfg_set(dev, reg, addr, 4);
		memcpy(dev->wmask + reg, &mask, sizeof(mask));
		bar->region = (struct bus_region) {
			.len = bar->size,
			.handler = bar->access,
			.opaque = dev,
			.name = dev->name,
		};
	}
	cfg_set(dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

void pci_dev_add(struct pci_dev *dev)
{
	struct pci_host *host = dev->m->pci;
	unsigned int slot = 0;

	pthread_mutex_lock(&host->lock);
	while (slot < PCI_SLOTS && host->slot[slot])
		slot++;
	if (slot == PCI_SLOTS)
		die("%s: all %u PCI slots are taken", dev->name, PCI_SLOTS);
	dev->slot = slot;
	if (dev->cfg[PCI_INTERRUPT_PIN])
		dev->cfg[PCI_INTERRUPT_LINE] = GSI_PCI_INTX + slot % 4;
	host->slot[slot] = dev;
	assign_bars(host, dev);
	update_mappings(host);
	pthread_mutex_unlock(&host->lock);
}

static void add_region(struct bus *bus, struct bus_region *r, uint64_t base, uint64_t len,
		       bus_handler handler, struct pci_host *host)
{
	int err;

	*r = (struct bus_region) {
		.base = base,
		.len = len,
		.handler = handler,
		.opaque = host,
		.name = "pci-host",
	};
	err = bus_register(bus, r);
	if (err)
		die("PCI host at %#llx: %s", (unsigned long long)base, strerror(-err));
}

static void pci_host_destroy(void *opaque)
{
	struct pci_host *host = opaque;

	bus_unregister(&host->m->pio, &host->address_ports);
	bus_unregister(&host->m->pio, &host->data_ports);
	bus_unregister(&host->m->mmio, &host->ecam);
	host->m->pci = NULL;
	free(host);
}

void pci_dev_remove(struct pci_dev *dev)
{
	struct pci_host *host = dev->m->pci;

	pthread_mutex_lock(&host->lock);
	host->slot[dev->slot] = NULL;
	for (unsigned int i = 0; i < PCI_BARS; i++) {
		if (dev->bar[i].on_bus)
			bar_unmap(dev, &dev->bar[i]);
	}
	pthread_mutex_unlock(&host->lock);
	for (unsigned int i = 0; i < dev->nr_vectors; i++) {
		irqfd_detach(dev->m, dev->vector[i].gsi, dev->vector[i].irqfd);
		irq_msi_free(dev->m, dev->vector[i].gsi);
		close(dev->vector[i].irqfd);
	}
}

void pci_host_create(struct machine *m)
{
	static const struct pci_ident bridge = {
		.vendor = 0x1b36, .device = 0x0008,	/* a host bridge that needs no driver */
		.class = 0x060000,
	};
	struct pci_host *host = calloc(1, sizeof(*host));

	if (!host)
		die("PCI host: %s", strerror(ENOMEM));
	host->m = m;
	host->next_bar = PCI_MMIO_BASE;
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->intx_lock, NULL);
	m->pci = host;
	add_region(&m->pio, &host->address_ports, CONFIG_ADDRESS, 4, address_access, host);
	add_region(&m->pio, &host->data_ports, CONFIG_DATA, 4, data_access, host);
	add_region(&m->mmio, &host->ecam, PCI_ECAM_BASE, PCI_ECAM_SIZE, ecam_access, host);
	pci_dev_init(&host->bridge, m, "host bridge", &bridge);
	pci_dev_add(&host->bridge);
	machine_at_exit(m, pci_host_destroy, host);
}
