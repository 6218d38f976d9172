// SPDX-License-Identifier: GPL-2.0
/*
 * The modern virtio-pci transport: the registers through which a driver sees a virtio device.
 * Entered from vCPU threads (BAR and configuration accesses) and device threads (interrupts).
 * virtio_dev.lock guards the common configuration; isr_lock (a leaf but for pci_intx_set()) ISR.
 * VIRTIO 1.1: Virtio Over PCI Bus.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci.h"
#include "devices/virtio.h"

#define VENDOR_VIRTIO		0x1af4
#define DEVICE_MODERN		0x1040		/* plus the virtio device type */
#define SUBDEVICE_MODERN	0x40

/* BAR 0: one page each, so that a guest can map them apart. BAR 1: MSI-X. */
#define REGS_BAR		0
#define MSIX_BAR		1
#define REGION_SIZE		0x1000
#define COMMON_OFFSET		0x0000
#define ISR_OFFSET		0x1000
#define CONFIG_OFFSET		0x2000
#define NOTIFY_OFFSET		0x3000
#define REGS_SIZE		0x4000
#define NOTIFY_MULTIPLIER	4		/* queue n is notified at NOTIFY_OFFSET + 4 n */

#define ISR_QUEUE		1
#define ISR_CONFIG		2

struct virtio_pci {
	struct pci_dev pci;		/* first: its hooks get this, and cast it back */
	struct virtio_dev *vdev;

	/* The common configuration's selectors, under vdev->lock */
	uint32_t device_feature_sel, driver_feature_sel;
	uint16_t queue_sel;

	_Atomic uint16_t config_vector;
	_Atomic uint16_t queue_vector[VIRTIO_QUEUES_MAX];
	_Atomic uint8_t generation;
	bool doorbell[VIRTIO_QUEUES_MAX];	/* its ioeventfd is registered; pci_host.lock */

	pthread_mutex_t isr_lock;	/* ISR and INTx change together: no interrupt gets lost */
	uint8_t isr;

	unsigned int window;		/* offset of the PCI_CFG capability */
};

/* ---- Interrupts ---- */

static void interrupt(struct virtio_pci *vp, uint16_t vector, uint8_t cause)
{
	if (pci_msix_enabled(&vp->pci)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_msix_raise(&vp->pci, vector);
		return;
	}
	pthread_mutex_lock(&vp->isr_lock);
	vp->isr |= cause;
	pci_intx_set(&vp->pci, true);
	pthread_mutex_unlock(&vp->isr_lock);
}

static void queue_interrupt(struct virtio_dev *vdev, unsigned int index)
{
	struct virtio_pci *vp = vdev->transport_data;

	interrupt(vp, atomic_load(&vp->queue_vector[index]), ISR_QUEUE);
}

static void config_interrupt(struct virtio_dev *vdev)
{
	struct virtio_pci *vp = vdev->transport_data;

	atomic_fetch_add(&vp->generation, 1);
	interrupt(vp, atomic_load(&vp->config_vector), ISR_CONFIG);
}

static const struct virtio_transport virtio_pci_transport = {
	.queue_interrupt = queue_interrupt,
	.config_interrupt = config_interrupt,
};

static void isr_access(struct virtio_pci *vp, uint64_t off, void *data, unsigned int len,
		       bool write)
{
	if (write)
		return;
	memset(data, 0, len);
	if (off)
		return;
	pthread_mutex_lock(&vp->isr_lock);
	*(uint8_t *)data = vp->isr;
	vp->isr = 0;
	pci_intx_set(&vp->pci, false);
	pthread_mutex_unlock(&vp->isr_lock);
}

/* ---- Common configuration: one row a register ---- */

/* The selected queue; NULL if there is none of that number. */
static struct virtqueue *selected(struct virtio_pci *vp)
{
	return vp->queue_sel < vp->vdev->nr_queues ? &vp->vdev->vq[vp->queue_sel] : NULL;
}

/* The selected queue, if the driver may still set it up. */
static struct virtqueue *settable(struct virtio_pci *vp)
{
	struct virtqueue *vq = selected(vp);

	return vq && !vq->enabled && !vp->vdev->handed_over ? vq : NULL;
}

static uint32_t get_device_feature_sel(struct virtio_pci *vp)
{
	return vp->device_feature_sel;
}

static void set_device_feature_sel(struct virtio_pci *vp, uint32_t val)
{
	vp->device_feature_sel = val;
}

static uint32_t get_device_feature(struct virtio_pci *vp)
{
	uint32_t sel = vp->device_feature_sel;

	return sel < 2 ? vp->vdev->host_features >> 32 * sel : 0;
}

static uint32_t get_driver_feature_sel(struct virtio_pci *vp)
{
	return vp->driver_feature_sel;
}

static void set_driver_feature_sel(struct virtio_pci *vp, uint32_t val)
{
	vp->driver_feature_sel = val;
}

static uint32_t get_driver_feature(struct virtio_pci *vp)
{
	uint32_t sel = vp->driver_feature_sel;

	return sel < 2 ? vp->vdev->features >> 32 * sel : 0;
}

static void set_driver_feature(struct virtio_pci *vp, uint32_t val)
{
	virtio_set_features(vp->vdev, vp->driver_feature_sel, val);
}

/* A vector that there is not reads back as "none": so the driver learns that it failed. */
static uint16_t vector_or_none(struct virtio_pci *vp, uint32_t val)
{
	return val < vp->pci.nr_vectors ? val : VIRTIO_MSI_NO_VECTOR;
}

static uint32_t get_config_vector(struct virtio_pci *vp)
{
	return atomic_load(&vp->config_vector);
}

static void set_config_vector(struct virtio_pci *vp, uint32_t val)
{
	atomic_store(&vp->config_vector, vector_or_none(vp, val));
}

static uint32_t get_num_queues(struct virtio_pci *vp)
{
	return vp->vdev->nr_queues;
}

static uint32_t get_status(struct virtio_pci *vp)
{
	return atomic_load(&vp->vdev->status);
}

static void set_status(struct virtio_pci *vp, uint32_t val)
{
	virtio_set_status(vp->vdev, val);
	if (val)
		return;
	/* Reset: the transport's registers too, and no interrupt may be left standing. */
	vp->device_feature_sel = 0;
	vp->driver_feature_sel = 0;
	vp->queue_sel = 0;
	atomic_store(&vp->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		atomic_store(&vp->queue_vector[i], VIRTIO_MSI_NO_VECTOR);
	pthread_mutex_lock(&vp->isr_lock);
	vp->isr = 0;
	pci_intx_set(&vp->pci, false);
	pthread_mutex_unlock(&vp->isr_lock);
}

static uint32_t get_generation(struct virtio_pci *vp)
{
	return atomic_load(&vp->generation);
}

static uint32_t get_queue_sel(struct virtio_pci *vp)
{
	return vp->queue_sel;
}

static void set_queue_sel(struct virtio_pci *vp, uint32_t val)
{
	vp->queue_sel = val;
}

static uint32_t get_queue_size(struct virtio_pci *vp)
{
	struct virtqueue *vq = selected(vp);

	return vq ? vq->size : 0;
}

static void set_queue_size(struct virtio_pci *vp, uint32_t val)
{
	struct virtqueue *vq = settable(vp);

	/* A split ring's size is a power of two; anything else is not taken. */
	if (vq && val && val <= vq->size_max && !(val & (val - 1)))
		vq->size = val;
}

static uint32_t get_queue_vector(struct virtio_pci *vp)
{
	return selected(vp) ? atomic_load(&vp->queue_vector[vp->queue_sel]) : VIRTIO_MSI_NO_VECTOR;
}

static void set_queue_vector(struct virtio_pci *vp, uint32_t val)
{
	if (selected(vp))
		atomic_store(&vp->queue_vector[vp->queue_sel], vector_or_none(vp, val));
}

static uint32_t get_queue_enable(struct virtio_pci *vp)
{
	struct virtqueue *vq = selected(vp);

	return vq && vq->enabled;
}

static void set_queue_enable(struct virtio_pci *vp, uint32_t val)
{
	struct virtqueue *vq = settable(vp);

	if (vq && val == 1)
		vq->enabled = true;
}

static uint32_t get_notify_off(struct virtio_pci *vp)
{
	return selected(vp) ? vp->queue_sel : 0;
}

static uint32_t half(uint64_t val, unsigned int hi)
{
	return val >> 32 * hi;
}

static void set_half(uint64_t *field, unsigned int hi, uint32_t val)
{
	*field = (*field & ~(0xffffffffull << 32 * hi)) | (uint64_t)val << 32 * hi;
}

/* The three ring addresses, in two halves each. */
#define RING_HALF(ring, name, hi)						\
static uint32_t get_##name(struct virtio_pci *vp)				\
{										\
	struct virtqueue *vq = selected(vp);					\
										\
	return vq ? half(vq->ring##_gpa, hi) : 0;				\
}										\
										\
static void set_##name(struct virtio_pci *vp, uint32_t val)			\
{										\
	struct virtqueue *vq = settable(vp);					\
										\
	if (vq)									\
		set_half(&vq->ring##_gpa, hi, val);				\
}

RING_HALF(desc, desc_lo, 0)
RING_HALF(desc, desc_hi, 1)
RING_HALF(avail, avail_lo, 0)
RING_HALF(avail, avail_hi, 1)
RING_HALF(used, used_lo, 0)
RING_HALF(used, used_hi, 1)

struct common_reg {
	unsigned int off, len;
	uint32_t (*get)(struct virtio_pci *vp);
	void (*set)(struct virtio_pci *vp, uint32_t val);	/* NULL: read-only */
};

static const struct common_reg common_regs[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, get_device_feature_sel, set_device_feature_sel },
	{ VIRTIO_PCI_COMMON_DF, 4, get_device_feature, NULL },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, get_driver_feature_sel, set_driver_feature_sel },
	{ VIRTIO_PCI_COMMON_GF, 4, get_driver_feature, set_driver_feature },
	{ VIRTIO_PCI_COMMON_MSIX, 2, get_config_vector, set_config_vector },
	{ VIRTIO_PCI_COMMON_NUMQ, 2, get_num_queues, NULL },
	{ VIRTIO_PCI_COMMON_STATUS, 1, get_status, set_status },
	{ VIRTIO_PCI_COMMON_CFGGENERATION, 1, get_generation, NULL },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, get_queue_sel, set_queue_sel },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, get_queue_size, set_queue_size },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, get_queue_vector, set_queue_vector },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, get_queue_enable, set_queue_enable },
	{ VIRTIO_PCI_COMMON_Q_NOFF, 2, get_notify_off, NULL },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, get_desc_lo, set_desc_lo },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, get_desc_hi, set_desc_hi },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, get_avail_lo, set_avail_lo },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, get_avail_hi, set_avail_hi },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, get_used_lo, set_used_lo },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, get_used_hi, set_used_hi },
};

/* The driver must access each register by its own width; nothing else does anything. */
static void common_access(struct virtio_pci *vp, uint64_t off, void *data, unsigned int len,
			  bool write)
{
	const struct common_reg *reg = NULL;
	uint32_t val = 0;

	for (unsigned int i = 0; i < sizeof(common_regs) / sizeof(common_regs[0]); i++) {
		if (common_regs[i].off == off && common_regs[i].len == len)
			reg = &common_regs[i];
	}
	if (!write)
		memset(data, 0, len);
	if (!reg)
		return;
	pthread_mutex_lock(&vp->vdev->lock);
	if (write && reg->set) {
		memcpy(&val, data, len);
		reg->set(vp, le32toh(val));
	} else if (!write) {
		val = htole32(reg->get(vp));
		memcpy(data, &val, len);
	}
	pthread_mutex_unlock(&vp->vdev->lock);
}

/* ---- BAR 0 and its doorbells ---- */

static void notify_access(struct virtio_pci *vp, uint64_t off, void *data, unsigned int len,
			  bool write)
{
	if (!write)
		memset(data, 0, len);
	else if (off / NOTIFY_MULTIPLIER < vp->vdev->nr_queues)
		virtio_kick(vp->vdev, off / NOTIFY_MULTIPLIER);
}

static void config_access(struct virtio_pci *vp, uint64_t off, void *data, unsigned int len,
			  bool write)
{
	virtio_config_access(vp->vdev, off, data, len, write);
}

static void regs_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	static void (*const region[])(struct virtio_pci *vp, uint64_t off, void *data,
				      unsigned int len, bool write) = {
		[COMMON_OFFSET / REGION_SIZE] = common_access,
		[ISR_OFFSET / REGION_SIZE] = isr_access,
		[CONFIG_OFFSET / REGION_SIZE] = config_access,
		[NOTIFY_OFFSET / REGION_SIZE] = notify_access,
	};
	struct virtio_pci *vp = opaque;

	if (offset % REGION_SIZE + len <= REGION_SIZE)
		region[offset / REGION_SIZE](vp, offset % REGION_SIZE, data, len, write);
}

static uint64_t doorbell_gpa(uint64_t bar, unsigned int queue)
{
	return bar + NOTIFY_OFFSET + queue * NOTIFY_MULTIPLIER;
}

/*
 * A two byte write to a queue's doorbell goes from the kernel straight to the device's thread.
 * Where that cannot be had (no ioeventfd left), the write comes to notify_access() instead.
 */
static void regs_mapped(struct pci_dev *pci, uint64_t gpa)
{
	struct virtio_pci *vp = (struct virtio_pci *)pci;

	for (unsigned int i = 0; i < vp->vdev->nr_queues; i++)
		vp->doorbell[i] = !ioeventfd_add(pci->m, doorbell_gpa(gpa, i), 2, NULL, false,
						 vp->vdev->vq[i].kick_fd);
}

static void regs_unmapped(struct pci_dev *pci, uint64_t gpa)
{
	struct virtio_pci *vp = (struct virtio_pci *)pci;

	for (unsigned int i = 0; i < vp->vdev->nr_queues; i++) {
		if (vp->doorbell[i])
			ioeventfd_del(pci->m, doorbell_gpa(gpa, i), 2, NULL, false,
				      vp->vdev->vq[i].kick_fd);
		vp->doorbell[i] = false;
	}
}

/* ---- Configuration space ---- */

/*
 * The PCI_CFG capability is a window on BAR 0 for firmware that cannot reach it: the driver
 * writes bar, offset and length, then accesses the data field.
 */
static void window_access(struct virtio_pci *vp, bool write)
{
	struct virtio_pci_cfg_cap cap;
	uint32_t off, len;

	memcpy(&cap, vp->pci.cfg + vp->window, sizeof(cap));
	off = le32toh(cap.cap.offset);
	len = le32toh(cap.cap.length);
	if (cap.cap.bar != REGS_BAR || (len != 1 && len != 2 && len != 4) || off % len ||
	    off > REGS_SIZE - len)
		return;
	if (!write)
		memset(cap.pci_cfg_data, 0xff, sizeof(cap.pci_cfg_data));
	regs_access(vp, off, cap.pci_cfg_data, len, write);
	memcpy(vp->pci.cfg + vp->window, &cap, sizeof(cap));
}

static bool in_window_data(struct virtio_pci *vp, unsigned int off, unsigned int len)
{
	unsigned int data = vp->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	return off < data + 4 && data < off + len;
}

static void before_cfg_read(struct pci_dev *pci, unsigned int off, unsigned int len)
{
	struct virtio_pci *vp = (struct virtio_pci *)pci;

	if (in_window_data(vp, off, len))
		window_access(vp, false);
}

static void after_cfg_write(struct pci_dev *pci, unsigned int off, unsigned int len)
{
	struct virtio_pci *vp = (struct virtio_pci *)pci;

	if (in_window_data(vp, off, len))
		window_access(vp, true);
}

static void bus_master(struct pci_dev *pci, bool on)
{
	virtio_set_bus_master(((struct virtio_pci *)pci)->vdev, on);
}

/* Append a virtio capability; @extra is what the NOTIFY and PCI_CFG ones have behind the rest. */
static unsigned int add_cap(struct virtio_pci *vp, uint8_t type, uint32_t off, uint32_t len,
			    uint32_t extra, bool has_extra)
{
	struct virtio_pci_notify_cap cap = {
		.cap = {
			.cap_len = sizeof(cap.cap) + (has_extra ? sizeof(extra) : 0),
			.cfg_type = type,
			.bar = REGS_BAR,
			.offset = htole32(off),
			.length = htole32(len),
		},
		.notify_off_multiplier = htole32(extra),
	};

	return pci_add_cap(&vp->pci, PCI_CAP_ID_VNDR, (uint8_t *)&cap + 2, cap.cap.cap_len - 2);
}

static void add_caps(struct virtio_pci *vp)
{
	uint8_t *mask;

	add_cap(vp, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFFSET, sizeof(struct virtio_pci_common_cfg),
		0, false);
	add_cap(vp, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFFSET, 1, 0, false);
	if (vp->vdev->config_len)
		add_cap(vp, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_OFFSET, vp->vdev->config_len, 0,
			false);
	add_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_OFFSET,
		vp->vdev->nr_queues * NOTIFY_MULTIPLIER, NOTIFY_MULTIPLIER, true);
	vp->window = add_cap(vp, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, true);
	mask = vp->pci.wmask + vp->window;
	mask[offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(mask + offsetof(struct virtio_pci_cap, offset), 0xff, 4);
	memset(mask + offsetof(struct virtio_pci_cap, length), 0xff, 4);
	memset(mask + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), 0xff, 4);
}

/* The device's thread first: it writes to the vectors' eventfds. */
static void virtio_pci_remove(void *opaque)
{
	struct virtio_pci *vp = opaque;

	virtio_stop_thread(vp->vdev);
	pci_dev_remove(&vp->pci);
	virtio_free(vp->vdev);
	free(vp);
}

void virtio_pci_add(struct virtio_dev *vdev, uint32_t class)
{
	const struct pci_ident id = {
		.vendor = VENDOR_VIRTIO,
		.device = DEVICE_MODERN + vdev->type,
		.subvendor = VENDOR_VIRTIO,
		.subdevice = SUBDEVICE_MODERN + vdev->type,
		.revision = 1,
		.class = class,
		.intx = true,
	};
	struct virtio_pci *vp = calloc(1, sizeof(*vp));

	if (!vp)
		die("%s: %s", vdev->name, strerror(ENOMEM));
	vp->vdev = vdev;
	pthread_mutex_init(&vp->isr_lock, NULL);
	atomic_store(&vp->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		atomic_store(&vp->queue_vector[i], VIRTIO_MSI_NO_VECTOR);
	pci_dev_init(&vp->pci, vdev->m, vdev->name, &id);
	vp->pci.bar[REGS_BAR].size = REGS_SIZE;
	vp->pci.bar[REGS_BAR].access = regs_access;
	vp->pci.bar[REGS_BAR].mapped = regs_mapped;
	vp->pci.bar[REGS_BAR].unmapped = regs_unmapped;
	vp->pci.before_read = before_cfg_read;
	vp->pci.after_write = after_cfg_write;
	vp->pci.bus_master = bus_master;
	add_caps(vp);
	pci_msix_init(&vp->pci, MSIX_BAR, vdev->nr_queues + 1);
	vdev->transport = &virtio_pci_transport;
	vdev->transport_data = vp;
	pci_dev_add(&vp->pci);
	machine_at_exit(vdev->m, virtio_pci_remove, vp);
}
