/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A machine without a hypervisor, for tests that drive a virtio device as a guest's driver would.
 * The ioctls of irq.c end in __wrap_kvm_ioctl() here (the Makefile links it so), which keeps what
 * they set. Included by one file of each test: what it defines is static.
 * The device is in slot 1; its queue n uses vector n + 1, the configuration vector 0.
 */
#ifndef MINIVMM_TESTS_GUEST_H
#define MINIVMM_TESTS_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm.h"
#include "machine.h"

#define RAM_SIZE	(16ull << 20)
#define SLOT		1
#define DOORBELLS_MAX	16
#define WAIT_MS		10000		/* for what must come */
#define QUIET_MS	50		/* for what must not */
#define RING_SIZE	64

/* Guest physical addresses of queue q's rings */
#define DESC(q)		(0x10000ull * ((q) + 1))
#define AVAIL(q)	(DESC(q) + 0x1000)
#define USED(q)		(DESC(q) + 0x2000)

static struct machine m;
static uint8_t *ram;
static uint64_t regs;			/* where BAR 0 is */
static uint64_t msix;			/* where BAR 1 is */

/* ---- The hypervisor ---- */

static struct kvm_irq_routing_entry route[GSI_MAX];
static int irqfd_of[GSI_MAX];
static _Atomic bool line[GSI_PINS];
static uint64_t doorbell[DOORBELLS_MAX];

int __wrap_kvm_ioctl(int fd, unsigned long cmd, unsigned long arg);

static inline int set_routes(const struct kvm_irq_routing *table)
{
	memset(route, 0, sizeof(route));
	for (unsigned int i = 0; i < table->nr; i++)
		route[table->entries[i].gsi] = table->entries[i];
	return 0;
}

static inline int set_doorbell(const struct kvm_ioeventfd *io)
{
	bool del = io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;

	for (unsigned int i = 0; i < DOORBELLS_MAX; i++) {
		if (doorbell[i] != (del ? io->addr : 0))
			continue;
		doorbell[i] = del ? 0 : io->addr;
		return 0;
	}
	return del ? -ENOENT : -ENOSPC;
}

int __wrap_kvm_ioctl(int fd, unsigned long cmd, unsigned long arg)
{
	const struct kvm_irq_level *level = (void *)arg;
	const struct kvm_irqfd *irqfd = (void *)arg;

	(void)fd;
	switch (cmd) {
	case KVM_SET_GSI_ROUTING:
		return set_routes((void *)arg);
	case KVM_IOEVENTFD:
		return set_doorbell((void *)arg);
	case KVM_IRQ_LINE:
		line[level->irq] = level->level;
		return 0;
	case KVM_IRQFD:
		irqfd_of[irqfd->gsi] = irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN ? -1 : (int)irqfd->fd;
		return 0;
	}
	return -EINVAL;
}

/* Whether an interrupt with this message's data comes within a time; it is taken then. */
static inline bool interrupt_comes(uint32_t data, int ms)
{
	for (unsigned int gsi = GSI_PINS; gsi < GSI_MAX; gsi++) {
		struct pollfd p = { .fd = irqfd_of[gsi], .events = POLLIN };
		uint64_t count;

		if (route[gsi].type != KVM_IRQ_ROUTING_MSI || route[gsi].u.msi.data != data)
			continue;
		return poll(&p, 1, ms) == 1 &&
		       read(p.fd, &count, sizeof(count)) == sizeof(count);
	}
	return false;
}

/* ---- The guest's CPU ---- */

static inline uint64_t access_bus(struct bus *bus, uint64_t addr, unsigned int len, uint64_t val,
				  bool write)
{
	bus_access(bus, addr, &val, len, write);
	return len == 8 ? val : val & ((1ull << 8 * len) - 1);
}

static inline uint64_t rd(uint64_t addr, unsigned int len)
{
	return access_bus(&m.mmio, addr, len, 0, false);
}

static inline void wr(uint64_t addr, unsigned int len, uint64_t val)
{
	access_bus(&m.mmio, addr, len, val, true);
}

static inline uint64_t cfg_addr(unsigned int slot, unsigned int off)
{
	return PCI_ECAM_BASE + (slot << 15) + off;
}

static inline uint32_t cfg_rd(unsigned int off, unsigned int len)
{
	return rd(cfg_addr(SLOT, off), len);
}

static inline void cfg_wr(unsigned int off, unsigned int len, uint32_t val)
{
	wr(cfg_addr(SLOT, off), len, val);
}

/* The same through ports. */
static inline uint32_t port_rd(unsigned int slot, unsigned int off, unsigned int len)
{
	access_bus(&m.pio, 0xcf8, 4, 0x80000000u | slot << 11 | (off & ~3u), true);
	return access_bus(&m.pio, 0xcfc + (off & 3), len, 0, false);
}

static inline unsigned int find_cap(uint8_t id, uint8_t virtio_type)
{
	unsigned int cap = cfg_rd(PCI_CAPABILITY_LIST, 1);

	for (unsigned int n = 0; cap && n < 48; n++) {
		if (cfg_rd(cap, 1) == id &&
		    (id != PCI_CAP_ID_VNDR || cfg_rd(cap + 3, 1) == virtio_type))
			return cap;
		cap = cfg_rd(cap + 1, 1);
	}
	fail_msg("no capability %u/%u", id, virtio_type);
	return 0;
}

/* A virtio structure's address, from its capability. */
static inline uint64_t structure(uint8_t type)
{
	unsigned int cap = find_cap(PCI_CAP_ID_VNDR, type);

	assert_int_equal(cfg_rd(cap + offsetof(struct virtio_pci_cap, bar), 1), 0);
	return regs + cfg_rd(cap + offsetof(struct virtio_pci_cap, offset), 4);
}

static inline uint64_t common(unsigned int reg)
{
	return structure(VIRTIO_PCI_CAP_COMMON_CFG) + reg;
}

/* ---- The guest's driver ---- */

static inline uint8_t status(void)
{
	return rd(common(VIRTIO_PCI_COMMON_STATUS), 1);
}

static inline void set_status(uint8_t val)
{
	wr(common(VIRTIO_PCI_COMMON_STATUS), 1, val);
}

static inline void set_features(uint64_t features)
{
	for (unsigned int sel = 0; sel < 2; sel++) {
		wr(common(VIRTIO_PCI_COMMON_GFSELECT), 4, sel);
		wr(common(VIRTIO_PCI_COMMON_GF), 4, features >> 32 * sel & 0xffffffff);
	}
}

static inline uint64_t offered(void)
{
	uint64_t features = 0;

	for (unsigned int sel = 0; sel < 2; sel++) {
		wr(common(VIRTIO_PCI_COMMON_DFSELECT), 4, sel);
		features |= rd(common(VIRTIO_PCI_COMMON_DF), 4) << 32 * sel;
	}
	return features;
}

static inline void set_up_queue(unsigned int q, uint64_t desc)
{
	const uint64_t addr[] = { desc, AVAIL(q), USED(q) };

	memset(ram + DESC(q), 0, DESC(1) - DESC(0));
	wr(common(VIRTIO_PCI_COMMON_Q_SELECT), 2, q);
	assert_int_equal(rd(common(VIRTIO_PCI_COMMON_Q_SIZE), 2), 256);
	wr(common(VIRTIO_PCI_COMMON_Q_SIZE), 2, RING_SIZE);
	for (unsigned int i = 0; i < 3; i++) {
		wr(common(VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i), 4, addr[i] & 0xffffffff);
		wr(common(VIRTIO_PCI_COMMON_Q_DESCHI + 8 * i), 4, addr[i] >> 32);
	}
	wr(common(VIRTIO_PCI_COMMON_Q_MSIX), 2, q + 1);
	wr(common(VIRTIO_PCI_COMMON_Q_ENABLE), 2, 1);
}

/* From reset to DRIVER_OK, with all features but those in @without. */
static inline void negotiate(uint64_t without, uint64_t desc_of_queue0)
{
	unsigned int queues = rd(common(VIRTIO_PCI_COMMON_NUMQ), 2);

	set_status(0);
	set_status(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set_features(offered() & ~without);
	set_status(status() | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(status() & VIRTIO_CONFIG_S_FEATURES_OK);
	wr(common(VIRTIO_PCI_COMMON_MSIX), 2, 0);
	for (unsigned int q = 0; q < queues; q++)
		set_up_queue(q, q ? DESC(q) : desc_of_queue0);
	set_status(status() | VIRTIO_CONFIG_S_DRIVER_OK);
}

static inline void program_vector(unsigned int i, uint32_t data)
{
	wr(msix + 16 * i, 4, 0xfee00000);
	wr(msix + 16 * i + 4, 4, 0);
	wr(msix + 16 * i + 8, 4, data);
	wr(msix + 16 * i + 12, 4, 0);
}

#define DATA_CONFIG	0x40
#define DATA_QUEUE(q)	(0x41 + (q))

static inline void start(uint64_t without)
{
	unsigned int queues = rd(common(VIRTIO_PCI_COMMON_NUMQ), 2);

	cfg_wr(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	cfg_wr(find_cap(PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	for (unsigned int i = 0; i <= queues; i++)
		program_vector(i, DATA_CONFIG + i);
	negotiate(without, DESC(0));
}

static inline void kick(unsigned int q)
{
	wr(structure(VIRTIO_PCI_CAP_NOTIFY_CFG) + 4 * q, 2, q);
}

static inline struct vring_desc *desc(unsigned int q)
{
	return (struct vring_desc *)(ram + DESC(q));
}

static inline struct vring_avail *avail(unsigned int q)
{
	return (struct vring_avail *)(ram + AVAIL(q));
}

static inline struct vring_used *used(unsigned int q)
{
	return (struct vring_used *)(ram + USED(q));
}

/* Make a chain available; no kick. */
static inline void offer(unsigned int q, uint16_t head)
{
	avail(q)->ring[avail(q)->idx % RING_SIZE] = head;
	__atomic_store_n(&avail(q)->idx, avail(q)->idx + 1, __ATOMIC_SEQ_CST);
}

/* ---- The machine ---- */

/* Up to where the devices are made. */
static inline int machine_begin(void)
{
	memset(&m, 0, sizeof(m));
	memset(irqfd_of, 0xff, sizeof(irqfd_of));
	for (unsigned int i = 0; i < GSI_PINS; i++)
		line[i] = false;
	memset(doorbell, 0, sizeof(doorbell));
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return -1;
	m.mem.region[0] = (struct mem_region) { .len = RAM_SIZE, .hva = ram };
	m.mem.nr = 1;
	m.vm_fd = -1;
	m.sys_fd = -1;
	m.stop_fd = -1;
	m.status = -1;		/* it runs */
	m.loop = loop_create("io");
	bus_init(&m.pio, 0xffff);
	bus_init(&m.mmio, UINT64_MAX);
	irq_init(&m);
	pci_host_create(&m);
	return 0;
}

/* After them: what firmware would know. */
static inline void machine_find_device(void)
{
	regs = cfg_rd(PCI_BASE_ADDRESS_0, 4);
	msix = cfg_rd(PCI_BASE_ADDRESS_1, 4);
}

/* Nothing may be left behind. */
static inline int machine_end(void **state)
{
	(void)state;
	machine_destroy(&m);
	for (unsigned int gsi = GSI_PINS; gsi < GSI_MAX; gsi++) {
		if (irqfd_of[gsi] >= 0)
			return -1;
	}
	for (unsigned int i = 0; i < DOORBELLS_MAX; i++) {
		if (doorbell[i])
			return -1;
	}
	return munmap(ram, RAM_SIZE);
}

#endif
