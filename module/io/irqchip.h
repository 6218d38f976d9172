/* SPDX-License-Identifier: GPL-2.0 */
/*
 * I/O buses, eventfds, GSI routing and the in-kernel interrupt controllers.
 *
 * The models (pic.c, ioapic.c, pit.c) are leaves: they know registers and
 * pins, and reach the world through callbacks, so that they run in KUnit and
 * in userspace too.  lapic.c, routing.c and eventfd.c join them to vCPUs.
 */
#ifndef MHV_IRQCHIP_H
#define MHV_IRQCHIP_H

#include <linux/bitmap.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct mhv_vm;
struct mhv_vcpu;
struct mhv_pic;		/* irqchip.c, around the model in pic.h */
struct mhv_ioapic;	/* irqchip.c, around ioapic.h */
struct mhv_pit;		/* pitdev.c, around pit.h */
struct mhv_apic_map;	/* ipi.c: which LAPIC has which id */
struct mhv_lapic;	/* lapic.c */
struct mhv_iobus;
struct mhv_routing;

/* ---- iobus.c ---- */

enum mhv_bus { MHV_BUS_PIO, MHV_BUS_MMIO, MHV_NR_BUSES };

struct mhv_iodev;

/**
 * struct mhv_iodev_ops - a device on a bus, in the kernel
 * @read: serve a read of @len bytes at @addr; 0, or -EOPNOTSUPP: not mine;
 *	NULL: never
 * @write: the same for a write
 * @destroy: the bus goes, with this device still on it: free it; NULL: the
 *	device has another owner
 *
 * Context of read and write: the vCPU's thread, vm->srcu held, may sleep.
 */
struct mhv_iodev_ops {
	int (*read)(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
		    int len, void *data);
	int (*write)(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
		     int len, const void *data);
	void (*destroy)(struct mhv_iodev *dev);
};

/* Embedded in whatever is the device. */
struct mhv_iodev {
	const struct mhv_iodev_ops *ops;
};

int mhv_iobus_init(struct mhv_vm *vm);
void mhv_iobus_destroy(struct mhv_vm *vm);
int mhv_iobus_add(struct mhv_vm *vm, enum mhv_bus bus, gpa_t addr, int len,
		  struct mhv_iodev *dev);
int mhv_iobus_remove(struct mhv_vm *vm, enum mhv_bus bus, struct mhv_iodev *dev);
int mhv_iobus_read(struct mhv_vcpu *vcpu, enum mhv_bus bus, gpa_t addr, int len,
		   void *data);
int mhv_iobus_write(struct mhv_vcpu *vcpu, enum mhv_bus bus, gpa_t addr, int len,
		    const void *data);

/* Coalesced MMIO and PIO: writes that wait in a ring shared with userspace. */
struct mhv_coalesced {
	spinlock_t lock;		/* the ring's producer side */
	struct kvm_coalesced_mmio_ring *ring;	/* one page */
	struct list_head zones;		/* slots_lock */
};

int mhv_coalesced_init(struct mhv_vm *vm);
void mhv_coalesced_destroy(struct mhv_vm *vm);
int mhv_coalesced_add(struct mhv_vm *vm, const struct kvm_coalesced_mmio_zone *zone);
int mhv_coalesced_remove(struct mhv_vm *vm, const struct kvm_coalesced_mmio_zone *zone);

/* ---- eventfd.c ---- */

struct mhv_irqfds {
	spinlock_t lock;		/* items; taken in the eventfd's wakeup */
	struct list_head items;
	struct xarray resamplers;	/* by GSI; irq_lock / irq_srcu */
	struct list_head ioeventfds;	/* slots_lock */
};

void mhv_eventfd_init(struct mhv_vm *vm);
int mhv_irqfd(struct mhv_vm *vm, const struct kvm_irqfd *args);
int mhv_ioeventfd(struct mhv_vm *vm, const struct kvm_ioeventfd *args);
bool mhv_is_ioeventfd(const struct mhv_iodev *dev);
bool mhv_irqfd_wants_ack(struct mhv_vm *vm, u32 gsi);
void mhv_irqfd_acked(struct mhv_vm *vm, u32 gsi);	/* irq_srcu held */
void mhv_irqfd_release(struct mhv_vm *vm);	/* the VM fd was closed */
int mhv_eventfd_module_init(void);
void mhv_eventfd_module_exit(void);

/* ---- routing.c ---- */

#define MHV_MAX_GSI		4096
#define MHV_IRQCHIP_PINS	24	/* of the IOAPIC; the PICs have 16 */

/* Whose level it is; a line is high while any source holds it high. */
enum mhv_irq_source {
	MHV_SRC_USER,		/* KVM_IRQ_LINE, irqfd */
	MHV_SRC_RESAMPLE,	/* irqfd with a resample eventfd */
	MHV_SRC_PIT,
};

int mhv_irq_set(struct mhv_vm *vm, enum mhv_irq_source src, u32 gsi, int level);
int mhv_irq_pulse(struct mhv_vm *vm, u32 gsi);
int mhv_irq_line(struct mhv_vm *vm, struct kvm_irq_level *line, bool status);
int mhv_routing_set(struct mhv_vm *vm, const struct kvm_irq_routing_entry *entries,
		    unsigned int nr);
int mhv_routing_default(struct mhv_vm *vm);
void mhv_routing_destroy(struct mhv_vm *vm);
int mhv_signal_msi(struct mhv_vm *vm, const struct kvm_msi *msi);
void mhv_irq_acked(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin);
bool mhv_irq_wants_ack(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin);
void mhv_irq_unmasked(struct mhv_vm *vm, unsigned int irqchip, unsigned int pin);
void mhv_routing_scan_eoi(struct mhv_vcpu *vcpu, unsigned long *vectors);

/* ---- the chips of one VM ---- */

enum mhv_irqchip_mode { MHV_IRQCHIP_NONE, MHV_IRQCHIP_FULL, MHV_IRQCHIP_SPLIT };

struct mhv_irqchip {
	enum mhv_irqchip_mode mode;	/* [l] set once, before any vCPU */
	u32 reserved_pins;		/* split: GSIs that are the IOAPIC's */
	struct mhv_pic *pic;
	struct mhv_ioapic *ioapic;
	struct mhv_pit *pit;
	bool pic_output;		/* [a] INTR of the master PIC */
	/* Vectors whose EOI concerns the IOAPIC in the kernel. */
	DECLARE_BITMAP(eoi_vectors, 256); /* [a] */

	struct mhv_apic_map __rcu *apic_map; /* apic_map_lock / RCU */
	atomic_t apic_map_stale;	/* [a] ids or modes changed since */
	struct mutex apic_map_lock;
	atomic_t lint0_nmi;		/* [a] LAPICs whose LINT0 is an NMI */
};

int mhv_irqchip_create(struct mhv_vm *vm);
int mhv_irqchip_split(struct mhv_vm *vm, u64 reserved_pins);
void mhv_irqchip_destroy(struct mhv_vm *vm);
int mhv_irqchip_get(struct mhv_vm *vm, struct kvm_irqchip *chip);
int mhv_irqchip_set(struct mhv_vm *vm, const struct kvm_irqchip *chip);
int mhv_pic_ack(struct mhv_vm *vm);	/* the vector for an INTA cycle */
int mhv_pic_set(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src, bool level);
int mhv_ioapic_set(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src,
		   bool level, bool want_status);
void mhv_ioapic_rescan(struct mhv_vm *vm);

int mhv_pit_create(struct mhv_vm *vm, u32 flags);
int mhv_pit_get(struct mhv_vm *vm, struct kvm_pit_state2 *state);
int mhv_pit_set(struct mhv_vm *vm, const struct kvm_pit_state2 *state);
int mhv_pit_reinject(struct mhv_vm *vm, bool reinject);
void mhv_pit_destroy(struct mhv_vm *vm);
bool mhv_pit_wants_ack(struct mhv_vm *vm);
void mhv_pit_acked(struct mhv_vm *vm);		/* GSI 0 had its EOI */
void mhv_pit_unmasked(struct mhv_vm *vm);	/* GSI 0 was unmasked */

/* ---- lapic.c, lapic_state.c, lapic_timer.c, ipi.c ---- */

/**
 * struct mhv_apic_msg - an interrupt message on its way to LAPICs
 * @dest: destination, in the format of the mode
 * @vector: for fixed and lowest-priority; SIPI: the page
 * @delivery: APIC_DM_* as in an ICR's bits 10:8 (not shifted down)
 * @logical: destination mode
 * @level: trigger mode level
 * @assert: ICR level bit
 * @shorthand: 0 none, 1 self, 2 all, 3 all but self
 * @redirect: MSI redirection hint: lowest priority
 */
struct mhv_apic_msg {
	u32 dest;
	u8 vector;
	u8 shorthand;
	u16 delivery;
	bool logical;
	bool level;
	bool assert;
	bool redirect;
};

int mhv_lapic_create(struct mhv_vcpu *vcpu);
void mhv_lapic_destroy(struct mhv_vcpu *vcpu);
void mhv_lapic_reset(struct mhv_vcpu *vcpu, bool init);
int mhv_lapic_deliver(struct mhv_vm *vm, struct mhv_vcpu *src, const struct mhv_apic_msg *msg);
bool mhv_lapic_addressed(struct mhv_vcpu *vcpu, u32 dest, bool logical);
bool mhv_lapic_in_service(struct mhv_vm *vm, u32 dest, bool logical, u8 vector);
int mhv_lapic_pv_ipi(struct mhv_vm *vm, u64 low, u64 high, u32 min, u64 icr, bool long_mode);
void mhv_lapic_map_free(struct mhv_vm *vm);
void mhv_lapic_published(struct mhv_vm *vm);
void mhv_lapic_cpuid_changed(struct mhv_vcpu *vcpu);
void mhv_lapic_queue_sipi(struct mhv_vcpu *vcpu);
void mhv_lapic_set_sipi_vector(struct mhv_vcpu *vcpu, u8 vector);
int mhv_lapic_pending(struct mhv_vcpu *vcpu);
u8 mhv_lapic_tpr_threshold(struct mhv_vcpu *vcpu);
void mhv_lapic_ack(struct mhv_vcpu *vcpu, u8 vector);	/* IRR -> ISR */
bool mhv_lapic_accepts_extint(struct mhv_vcpu *vcpu);
u8 mhv_lapic_get_tpr(struct mhv_vcpu *vcpu);		/* CR8: 0 to 15 */
void mhv_lapic_set_tpr(struct mhv_vcpu *vcpu, u8 cr8);
void mhv_lapic_set_base(struct mhv_vcpu *vcpu, u64 base, u64 old);
int mhv_lapic_mmio_read(struct mhv_vcpu *vcpu, gpa_t gpa, int len, void *data);
int mhv_lapic_mmio_write(struct mhv_vcpu *vcpu, gpa_t gpa, int len, const void *data);
int mhv_lapic_msr_read(struct mhv_vcpu *vcpu, u32 index, u64 *val);
int mhv_lapic_msr_write(struct mhv_vcpu *vcpu, u32 index, u64 val);
u64 mhv_lapic_get_tscdeadline(struct mhv_vcpu *vcpu, bool host);
void mhv_lapic_set_tscdeadline(struct mhv_vcpu *vcpu, u64 val);
void mhv_lapic_get_state(struct mhv_vcpu *vcpu, struct kvm_lapic_state *state);
int mhv_lapic_set_state(struct mhv_vcpu *vcpu, const struct kvm_lapic_state *state);
void mhv_lapic_accept_events(struct mhv_vcpu *vcpu);
bool mhv_lapic_has_events(struct mhv_vcpu *vcpu);	/* INIT or SIPI pending */
void mhv_lapic_load(struct mhv_vcpu *vcpu, int cpu);	/* the timer follows the vCPU */
void mhv_lapic_timer_restart(struct mhv_vcpu *vcpu);	/* its TSC was set */
void mhv_lapic_local_deliver(struct mhv_vcpu *vcpu, int lvt);	/* APIC_LVT* offset */
void mhv_lapic_nmi_watchdog(struct mhv_vm *vm);	/* PIT through LINT0 as NMI */
void mhv_lapic_pic_changed(struct mhv_vm *vm);	/* the PIC's INTR rose: wake who takes it */
void mhv_lapic_scan_eoi(struct mhv_vcpu *vcpu);

/* ---- vapic.c ---- */

int mhv_vapic_set_addr(struct mhv_vcpu *vcpu, gpa_t gpa);
int mhv_pv_eoi_set(struct mhv_vcpu *vcpu, u64 val);
void mhv_vapic_reset(struct mhv_vcpu *vcpu);
void mhv_vapic_enter(struct mhv_vcpu *vcpu);
void mhv_vapic_exit(struct mhv_vcpu *vcpu);
void mhv_vapic_write_late(struct mhv_vcpu *vcpu);

/* ---- ioapic joined to LAPICs ---- */
void mhv_ioapic_eoi(struct mhv_vcpu *vcpu, u8 vector, bool level, bool suppressed);

#endif /* MHV_IRQCHIP_H */
