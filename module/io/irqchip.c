// SPDX-License-Identifier: GPL-2.0
/*
 * The PICs and the IOAPIC of a VM: their models joined to buses, LAPICs, locks.
 * Entered from vm.c (ioctls), routing.c (pins), lapic.c (EOIs), run.c (INTA).
 * Raw, irqsave locks: pic->lock, ioapic->lock; who is told of an EOI is told
 * after they were dropped, as he may set levels again.
 * KVM API, "KVM_CREATE_IRQCHIP", "KVM_GET_IRQCHIP", "KVM_SET_IRQCHIP".
 */
#include <linux/nospec.h>
#include <linux/slab.h>

#include "minihv.h"
#include "ioapic.h"
#include "pic.h"

/* ---- the PICs ---- */

/* The ports of one chip, or the ELCRs of both. */
struct picdev {
	struct mhv_iodev dev;
	struct mhv_pic *pic;
};

/**
 * struct mhv_pic - a VM's pair of PICs
 * @lock: of the model and of what follows it
 * @vm: whose
 * @pair: the model
 * @acked: pins whose EOI is still to be told, once @lock is dropped
 * @unmasked: the same for pins unmasked
 * @rose: INTR rose: so are the vCPUs
 * @dev: ports of the master, the slave, the ELCRs
 */
struct mhv_pic {
	raw_spinlock_t lock;
	struct mhv_vm *vm;
	struct pic_pair pair;
	u16 acked;
	u16 unmasked;
	bool rose;
	struct picdev dev[3];
};

static const u16 pic_ports[] = { 0x20, 0xa0, 0x4d0 };

static unsigned int pic_chip_of(unsigned int pin)
{
	return pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
}

static void pic_on_intr(void *ctx, bool level)
{
	struct mhv_pic *pic = ctx;

	if (level && !pic->vm->irqchip.pic_output)
		pic->rose = true;
	WRITE_ONCE(pic->vm->irqchip.pic_output, level);
}

static void pic_on_ack(void *ctx, unsigned int pin)
{
	struct mhv_pic *pic = ctx;

	pic->acked |= BIT(pin);
}

static void pic_on_unmask(void *ctx, unsigned int pin)
{
	struct mhv_pic *pic = ctx;

	pic->unmasked |= BIT(pin);
}

static const struct pic_ops pic_model_ops = {
	.intr = pic_on_intr,
	.acked = pic_on_ack,
	.unmasked = pic_on_unmask,
};

/* Drop the lock, then tell others what happened under it. */
static void pic_unlock(struct mhv_pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	unsigned long acked = pic->acked, unmasked = pic->unmasked;
	struct mhv_vm *vm = pic->vm;
	bool rose = pic->rose;
	unsigned int pin;

	pic->acked = 0;
	pic->unmasked = 0;
	pic->rose = false;
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (rose)
		mhv_lapic_pic_changed(vm);
	for_each_set_bit(pin, &unmasked, PIC_PINS)
		mhv_irq_unmasked(vm, pic_chip_of(pin), pin % 8);
	for_each_set_bit(pin, &acked, PIC_PINS)
		mhv_irq_acked(vm, pic_chip_of(pin), pin % 8);
}

/**
 * mhv_pic_set - a source raises or lowers a pin of the PICs
 * @vm: the VM
 * @pin: 0 to 15
 * @src: whose level it is
 * @level: high
 *
 * Context: any.  Returns as pic_set_level().
 */
int mhv_pic_set(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src, bool level)
{
	struct mhv_pic *pic = vm->irqchip.pic;
	unsigned long flags;
	int ret;

	raw_spin_lock_irqsave(&pic->lock, flags);
	ret = pic_set_level(&pic->pair, pin, src, level);
	pic_unlock(pic, flags);
	return ret;
}

/**
 * mhv_pic_ack - the CPU's INTA cycle
 * @vm: the VM, with PICs in the kernel
 *
 * Context: any.  Returns the vector; the spurious one if INTR fell meanwhile.
 */
int mhv_pic_ack(struct mhv_vm *vm)
{
	struct mhv_pic *pic = vm->irqchip.pic;
	unsigned long flags;
	int vector;

	raw_spin_lock_irqsave(&pic->lock, flags);
	vector = pic_ack(&pic->pair);
	pic_unlock(pic, flags);
	return vector;
}

/* These are byte ports; a wider access is none of theirs, and is lost. */
static int picdev_read(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
		       int len, void *data)
{
	struct mhv_pic *pic = container_of(dev, struct picdev, dev)->pic;
	unsigned long flags;

	memset(data, 0, len);
	if (len != 1)
		return 0;
	raw_spin_lock_irqsave(&pic->lock, flags);
	*(u8 *)data = pic_read(&pic->pair, addr);
	pic_unlock(pic, flags);
	return 0;
}

static int picdev_write(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			int len, const void *data)
{
	struct mhv_pic *pic = container_of(dev, struct picdev, dev)->pic;
	unsigned long flags;

	if (len != 1)
		return 0;
	raw_spin_lock_irqsave(&pic->lock, flags);
	pic_write(&pic->pair, addr, *(u8 *)data);
	pic_unlock(pic, flags);
	return 0;
}

static const struct mhv_iodev_ops picdev_ops = {
	.read = picdev_read,
	.write = picdev_write,
};

static void pic_destroy(struct mhv_vm *vm)
{
	struct mhv_pic *pic = vm->irqchip.pic;
	unsigned int i;

	if (!pic)
		return;
	mutex_lock(&vm->slots_lock);
	for (i = 0; i < ARRAY_SIZE(pic->dev); i++)
		mhv_iobus_remove(vm, MHV_BUS_PIO, &pic->dev[i].dev);
	mutex_unlock(&vm->slots_lock);
	vm->irqchip.pic = NULL;
	kfree(pic);
}

static int pic_create(struct mhv_vm *vm)
{
	struct mhv_pic *pic;
	unsigned int i;
	int ret = 0;

	pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);
	if (!pic)
		return -ENOMEM;
	raw_spin_lock_init(&pic->lock);
	pic->vm = vm;
	pic_init(&pic->pair, &pic_model_ops, pic);
	vm->irqchip.pic = pic;

	mutex_lock(&vm->slots_lock);
	for (i = 0; i < ARRAY_SIZE(pic->dev) && !ret; i++) {
		pic->dev[i].dev.ops = &picdev_ops;
		pic->dev[i].pic = pic;
		ret = mhv_iobus_add(vm, MHV_BUS_PIO, pic_ports[i], 2, &pic->dev[i].dev);
	}
	mutex_unlock(&vm->slots_lock);
	if (ret)
		pic_destroy(vm);
	return ret;
}

/* ---- the IOAPIC ---- */

/* How long a level that the guest never serves waits, once it is a storm. */
#define STORM_DELAY	(HZ / 100)

/**
 * struct mhv_ioapic - a VM's IOAPIC
 * @lock: of the model and @unmasked
 * @vm: whose
 * @io: the model
 * @unmasked: pins unmasked, still to be told once @lock is dropped
 * @storm: sends, after a while, what an EOI found still high
 * @dev: its MMIO page
 */
struct mhv_ioapic {
	raw_spinlock_t lock;
	struct mhv_vm *vm;
	struct ioapic io;
	u32 unmasked;
	struct delayed_work storm;
	struct mhv_iodev dev;
};

static int ioapic_on_deliver(void *ctx, u64 entry)
{
	struct mhv_ioapic *ioapic = ctx;
	struct mhv_apic_msg msg = {
		.dest = IOAPIC_DEST(entry),
		.vector = IOAPIC_VECTOR(entry),
		.delivery = IOAPIC_DELIVERY(entry),
		.logical = entry & IOAPIC_LOGICAL,
		.level = entry & IOAPIC_LEVEL,
		.assert = true,
	};

	return mhv_lapic_deliver(ioapic->vm, NULL, &msg);
}

static bool ioapic_on_in_service(void *ctx, u64 entry)
{
	struct mhv_ioapic *ioapic = ctx;

	return mhv_lapic_in_service(ioapic->vm, IOAPIC_DEST(entry), entry & IOAPIC_LOGICAL,
				    IOAPIC_VECTOR(entry));
}

/*
 * LAPICs pass on EOIs of levels only, and of edges that somebody listens for.
 * And the RTC's: no EOI of its ticks may pass unseen, or ioapic_pin() takes the
 * next one for coalesced.  A stale bit does no harm: the vector is found on no
 * pin.
 */
static void ioapic_on_change(void *ctx)
{
	struct mhv_ioapic *ioapic = ctx;
	unsigned long *vectors = ioapic->vm->irqchip.eoi_vectors;
	DECLARE_BITMAP(want, 256) = { 0 };
	unsigned int pin, i;

	for (pin = 0; pin < IOAPIC_PINS; pin++)
		if ((ioapic->io.entry[pin] & IOAPIC_LEVEL) || pin == IOAPIC_RTC_PIN ||
		    mhv_irq_wants_ack(ioapic->vm, KVM_IRQCHIP_IOAPIC, pin))
			__set_bit(IOAPIC_VECTOR(ioapic->io.entry[pin]), want);
	for (i = 0; i < BITS_TO_LONGS(256); i++)
		WRITE_ONCE(vectors[i], want[i]);
}

static void ioapic_on_unmask(void *ctx, unsigned int pin)
{
	struct mhv_ioapic *ioapic = ctx;

	ioapic->unmasked |= BIT(pin);
}

static const struct ioapic_ops ioapic_model_ops = {
	.deliver = ioapic_on_deliver,
	.in_service = ioapic_on_in_service,
	.changed = ioapic_on_change,
	.unmasked = ioapic_on_unmask,
};

/**
 * mhv_ioapic_set - a source raises or lowers a pin of the IOAPIC
 * @vm: the VM
 * @pin: 0 to 23
 * @src: whose level it is
 * @level: high
 * @want_status: the caller looks for lost RTC ticks
 *
 * Context: any.  Returns as ioapic_set_level().
 */
int mhv_ioapic_set(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src,
		   bool level, bool want_status)
{
	struct mhv_ioapic *ioapic = vm->irqchip.ioapic;
	unsigned long flags;
	int ret;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ret = ioapic_set_level(&ioapic->io, pin, src, level, want_status);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	return ret;
}

/**
 * mhv_ioapic_rescan - gather anew which EOIs the IOAPIC has to see
 * @vm: the VM; without an IOAPIC in the kernel nothing happens
 *
 * Called when who listens for EOIs, or the routing, changed.  Context: any.
 */
void mhv_ioapic_rescan(struct mhv_vm *vm)
{
	/* Pairs with the release in ioapic_create(). */
	struct mhv_ioapic *ioapic = smp_load_acquire(&vm->irqchip.ioapic);
	unsigned long flags;

	if (!ioapic)
		return;
	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic_on_change(ioapic);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

/**
 * mhv_ioapic_eoi - a LAPIC broadcasts an EOI
 * @vcpu: whose
 * @vector: one in vm->irqchip.eoi_vectors
 * @level: its bit in the TMR
 * @suppressed: the LAPIC was told not to: listeners hear of it, the pins not
 *
 * Context: the vCPU's thread.
 */
void mhv_ioapic_eoi(struct mhv_vcpu *vcpu, u8 vector, bool level, bool suppressed)
{
	struct mhv_ioapic *ioapic = vcpu->vm->irqchip.ioapic;
	unsigned long flags, pins;
	unsigned int pin;
	bool storm;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	pins = ioapic_pins_of(&ioapic->io, vector);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);

	/*
	 * Listeners lower their levels now.  Remote IRR is still set, so one
	 * that is raised again meanwhile waits for the second step.
	 */
	for_each_set_bit(pin, &pins, IOAPIC_PINS)
		mhv_irq_acked(vcpu->vm, KVM_IRQCHIP_IOAPIC, pin);

	if (!level || suppressed)
		return;
	raw_spin_lock_irqsave(&ioapic->lock, flags);
	storm = ioapic_eoi(&ioapic->io, pins);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	if (storm)
		schedule_delayed_work(&ioapic->storm, STORM_DELAY);
}

static void ioapic_storm(struct work_struct *work)
{
	struct mhv_ioapic *ioapic = container_of(work, struct mhv_ioapic, storm.work);
	unsigned long flags;

	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic_resume(&ioapic->io);
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
}

static bool ioapic_in_page(const struct mhv_ioapic *ioapic, gpa_t addr)
{
	return addr - ioapic->io.base < IOAPIC_LENGTH;
}

static int ioapicdev_read(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			  int len, void *data)
{
	struct mhv_ioapic *ioapic = container_of(dev, struct mhv_ioapic, dev);
	unsigned long flags;
	u64 val;

	if (!ioapic_in_page(ioapic, addr))
		return -EOPNOTSUPP;
	raw_spin_lock_irqsave(&ioapic->lock, flags);
	val = ioapic_read(&ioapic->io, addr & (IOAPIC_LENGTH - 1));
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	memcpy(data, &val, len);
	return 0;
}

static int ioapicdev_write(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			   int len, const void *data)
{
	struct mhv_ioapic *ioapic = container_of(dev, struct mhv_ioapic, dev);
	unsigned long flags, unmasked;
	unsigned int pin;
	u32 val = 0;

	if (!ioapic_in_page(ioapic, addr))
		return -EOPNOTSUPP;
	memcpy(&val, data, min_t(int, len, sizeof(val)));
	raw_spin_lock_irqsave(&ioapic->lock, flags);
	ioapic_write(&ioapic->io, addr & (IOAPIC_LENGTH - 1), val);
	unmasked = ioapic->unmasked;
	ioapic->unmasked = 0;
	raw_spin_unlock_irqrestore(&ioapic->lock, flags);
	for_each_set_bit(pin, &unmasked, IOAPIC_PINS)
		mhv_irq_unmasked(ioapic->vm, KVM_IRQCHIP_IOAPIC, pin);
	return 0;
}

static const struct mhv_iodev_ops ioapicdev_ops = {
	.read = ioapicdev_read,
	.write = ioapicdev_write,
};

static int ioapic_create(struct mhv_vm *vm)
{
	struct mhv_ioapic *ioapic;
	int ret;

	ioapic = kzalloc(sizeof(*ioapic), GFP_KERNEL_ACCOUNT);
	if (!ioapic)
		return -ENOMEM;
	raw_spin_lock_init(&ioapic->lock);
	ioapic->vm = vm;
	ioapic_init(&ioapic->io, &ioapic_model_ops, ioapic);
	INIT_DELAYED_WORK(&ioapic->storm, ioapic_storm);
	ioapic->dev.ops = &ioapicdev_ops;
	/* Pairs with the acquire in mhv_ioapic_rescan(). */
	smp_store_release(&vm->irqchip.ioapic, ioapic);

	mutex_lock(&vm->slots_lock);
	ret = mhv_iobus_add(vm, MHV_BUS_MMIO, IOAPIC_BASE, IOAPIC_LENGTH, &ioapic->dev);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

static void ioapic_destroy(struct mhv_vm *vm)
{
	struct mhv_ioapic *ioapic = vm->irqchip.ioapic;

	if (!ioapic)
		return;
	mutex_lock(&vm->slots_lock);
	mhv_iobus_remove(vm, MHV_BUS_MMIO, &ioapic->dev);
	mutex_unlock(&vm->slots_lock);
	cancel_delayed_work_sync(&ioapic->storm);
	vm->irqchip.ioapic = NULL;
	kfree(ioapic);
}

/* ---- ioctls ---- */

static int irqchip_may_create(struct mhv_vm *vm, int with_vcpus)
{
	lockdep_assert_held(&vm->lock);
	if (vm->irqchip.mode != MHV_IRQCHIP_NONE)
		return -EEXIST;
	if (vm->nr_vcpus)
		return with_vcpus;
	mutex_init(&vm->irqchip.apic_map_lock);
	return 0;
}

static void irqchip_publish(struct mhv_vm *vm, enum mhv_irqchip_mode mode)
{
	/* Everything is in place: from now on others may look. */
	smp_store_release(&vm->irqchip.mode, mode);
}

/**
 * mhv_irqchip_create - KVM_CREATE_IRQCHIP: PICs, IOAPIC, and LAPICs to come
 * @vm: the VM
 *
 * Context: sleeps; vm->lock held.  Returns 0, -EEXIST if there is an irqchip,
 * -EINVAL if there is a vCPU, or -ENOMEM.
 */
int mhv_irqchip_create(struct mhv_vm *vm)
{
	int ret = irqchip_may_create(vm, -EINVAL);

	if (ret)
		return ret;
	ret = pic_create(vm);
	if (!ret)
		ret = ioapic_create(vm);
	if (!ret)
		ret = mhv_routing_default(vm);
	if (ret) {
		ioapic_destroy(vm);
		pic_destroy(vm);
		return ret;
	}
	irqchip_publish(vm, MHV_IRQCHIP_FULL);
	return 0;
}

/**
 * mhv_irqchip_split - KVM_CAP_SPLIT_IRQCHIP: only LAPICs, for vCPUs to come
 * @vm: the VM
 * @reserved_pins: GSIs that are routed as the pins of userspace's IOAPIC
 *
 * Context: sleeps; vm->lock held.  Returns 0, -EINVAL for too many pins,
 * -EEXIST if there is an irqchip or a vCPU, or -ENOMEM.
 */
int mhv_irqchip_split(struct mhv_vm *vm, u64 reserved_pins)
{
	int ret;

	if (reserved_pins > MHV_MAX_GSI)
		return -EINVAL;
	ret = irqchip_may_create(vm, -EEXIST);
	if (!ret)
		ret = mhv_routing_set(vm, NULL, 0);
	if (ret)
		return ret;
	vm->irqchip.reserved_pins = reserved_pins;
	irqchip_publish(vm, MHV_IRQCHIP_SPLIT);
	return 0;
}

/**
 * mhv_irqchip_destroy - free PICs, IOAPIC and PIT
 * @vm: a VM that nobody can reach any more
 */
void mhv_irqchip_destroy(struct mhv_vm *vm)
{
	mhv_pit_destroy(vm);
	ioapic_destroy(vm);
	pic_destroy(vm);
	mhv_lapic_map_free(vm);
}

static struct kvm_pic_state *irqchip_pic_state(struct mhv_pic *pic, u32 chip_id)
{
	return &pic->pair.chip[array_index_nospec(chip_id, 2)];
}

/**
 * mhv_irqchip_get - KVM_GET_IRQCHIP
 * @vm: the VM
 * @chip: which; filled
 *
 * Context: sleeps.  Returns 0, -ENXIO without all chips in the kernel, or
 * -EINVAL for a chip that there is not.
 */
int mhv_irqchip_get(struct mhv_vm *vm, struct kvm_irqchip *chip)
{
	unsigned long flags;

	if (vm->irqchip.mode != MHV_IRQCHIP_FULL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		raw_spin_lock_irqsave(&vm->irqchip.pic->lock, flags);
		chip->chip.pic = *irqchip_pic_state(vm->irqchip.pic, chip->chip_id);
		raw_spin_unlock_irqrestore(&vm->irqchip.pic->lock, flags);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		raw_spin_lock_irqsave(&vm->irqchip.ioapic->lock, flags);
		ioapic_get_state(&vm->irqchip.ioapic->io, &chip->chip.ioapic);
		raw_spin_unlock_irqrestore(&vm->irqchip.ioapic->lock, flags);
		return 0;
	}
	return -EINVAL;
}

/**
 * mhv_irqchip_set - KVM_SET_IRQCHIP
 * @vm: the VM
 * @chip: which, and its new state
 *
 * Context: sleeps.  Returns 0, -ENXIO without all chips in the kernel, or
 * -EINVAL for a chip that there is not.
 */
int mhv_irqchip_set(struct mhv_vm *vm, const struct kvm_irqchip *chip)
{
	unsigned long flags;

	if (vm->irqchip.mode != MHV_IRQCHIP_FULL)
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		raw_spin_lock_irqsave(&vm->irqchip.pic->lock, flags);
		pic_set_state(&vm->irqchip.pic->pair, array_index_nospec(chip->chip_id, 2),
			      &chip->chip.pic);
		pic_unlock(vm->irqchip.pic, flags);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		raw_spin_lock_irqsave(&vm->irqchip.ioapic->lock, flags);
		ioapic_set_state(&vm->irqchip.ioapic->io, &chip->chip.ioapic);
		raw_spin_unlock_irqrestore(&vm->irqchip.ioapic->lock, flags);
		return 0;
	}
	return -EINVAL;
}
