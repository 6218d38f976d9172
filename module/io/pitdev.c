// SPDX-License-Identifier: GPL-2.0
/*
 * The PIT of a VM: its model joined to a host timer, ports and GSI 0.
 * Entered from vm.c (ioctls), port I/O, its timer, routing.c (EOIs of GSI 0).
 * pit->lock, raw and irqsave; the chips' locks nest in it.
 * KVM API, "KVM_CREATE_PIT2", "KVM_SET_PIT2", "KVM_REINJECT_CONTROL".
 */
#include <linux/slab.h>

#include "compat.h"
#include "minihv.h"
#include "pit.h"

/* The guest chooses the period; the host must be left with time of its own. */
#define PIT_MIN_PERIOD_NS	(200 * NSEC_PER_USEC)

/* The counters' ports, or those of the speaker, of which there is the first. */
struct pitdev {
	struct mhv_iodev dev;
	struct mhv_pit *pit;
};

/**
 * struct mhv_pit - a VM's PIT
 * @lock: of all that follows
 * @vm: whose
 * @pit: the model
 * @timer: fires when channel 0 interrupts
 * @armed: and is meant to; a callback already under way looks at it
 * @period: ns, 0 if it fires once
 * @reinject: a tick that finds the last one unserved waits, and is not lost
 * @acked: the last tick sent was served
 * @pending: ticks sent, or waiting, and not served
 * @dev: ports 0x40 to 0x43
 * @speaker: port 0x61
 */
struct mhv_pit {
	raw_spinlock_t lock;
	struct mhv_vm *vm;
	struct pit pit;
	struct hrtimer timer;
	bool armed;
	u64 period;
	bool reinject;
	bool acked;
	u32 pending;
	struct pitdev dev;
	struct pitdev speaker;
};

static void pit_reset_reinject(struct mhv_pit *pit)
{
	pit->pending = 0;
	pit->acked = true;
}

/*
 * GSI 0 is an edge.  LAPICs whose LINT0 is an NMI see it too: a watchdog.  A
 * tick that nobody takes (all masked, or a LAPIC that is off, as it is in a VM
 * whose PIT is restored before its vCPUs) has no EOI to wait for: to wait would
 * end the ticks for good.
 */
static void pit_tick(struct mhv_pit *pit)
{
	int taken;

	if (pit->reinject) {
		if (!pit->acked)
			return;
		pit->acked = false;
	}
	taken = mhv_irq_set(pit->vm, MHV_SRC_PIT, 0, 1);
	mhv_irq_set(pit->vm, MHV_SRC_PIT, 0, 0);
	if (taken <= 0)
		pit_reset_reinject(pit);
	mhv_lapic_nmi_watchdog(pit->vm);
}

static enum hrtimer_restart pit_expired(struct hrtimer *timer)
{
	struct mhv_pit *pit = container_of(timer, struct mhv_pit, timer);
	enum hrtimer_restart ret = HRTIMER_NORESTART;
	unsigned long flags;
	u64 ticks = 1;

	raw_spin_lock_irqsave(&pit->lock, flags);
	/* Stopped, or started anew, while this callback was on its way? */
	if (!pit->armed || hrtimer_is_queued(timer))
		goto out;
	if (pit->period) {
		ticks = hrtimer_forward_now(timer, ns_to_ktime(pit->period));
		ret = HRTIMER_RESTART;
	} else {
		pit->armed = false;
	}
	if (pit->reinject)
		pit->pending = min_t(u64, pit->pending + ticks, U32_MAX);
	pit_tick(pit);
out:
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return ret;
}

/* Channel 0 was loaded: have the timer follow.  Without an IOAPIC nobody is told. */
static void pit_restart(struct mhv_pit *pit, u64 now)
{
	struct pit_alarm alarm = pit_alarm(&pit->pit);

	/* Not hrtimer_cancel(): it would wait for a callback that wants the lock. */
	hrtimer_try_to_cancel(&pit->timer);
	pit->armed = alarm.ns && pit->vm->irqchip.mode == MHV_IRQCHIP_FULL;
	if (!pit->armed)
		return;
	pit_reset_reinject(pit);
	pit->period = alarm.periodic ? max_t(u64, alarm.ns, PIT_MIN_PERIOD_NS) : 0;
	hrtimer_start(&pit->timer, ns_to_ktime(now + alarm.ns), HRTIMER_MODE_ABS_HARD);
}

static struct mhv_pit *pit_of(struct mhv_vm *vm)
{
	/* Pairs with the release in mhv_pit_create(). */
	return smp_load_acquire(&vm->irqchip.pit);
}

/**
 * mhv_pit_wants_ack - does the PIT listen for EOIs of GSI 0?
 * @vm: the VM
 *
 * Context: any.
 */
bool mhv_pit_wants_ack(struct mhv_vm *vm)
{
	struct mhv_pit *pit = pit_of(vm);

	return pit && READ_ONCE(pit->reinject);
}

/**
 * mhv_pit_acked - a tick was served
 * @vm: the VM
 *
 * Sends the next one if it waits.  Context: any, without the chips' locks.
 */
void mhv_pit_acked(struct mhv_vm *vm)
{
	struct mhv_pit *pit = pit_of(vm);
	unsigned long flags;

	if (!pit || !READ_ONCE(pit->reinject))
		return;
	raw_spin_lock_irqsave(&pit->lock, flags);
	pit->acked = true;
	if (pit->pending && --pit->pending)
		pit_tick(pit);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

/**
 * mhv_pit_unmasked - the guest unmasked GSI 0: what came before is forgotten
 * @vm: the VM
 *
 * Context: any, without the chips' locks.
 */
void mhv_pit_unmasked(struct mhv_vm *vm)
{
	struct mhv_pit *pit = pit_of(vm);
	unsigned long flags;

	if (!pit || !READ_ONCE(pit->reinject))
		return;
	raw_spin_lock_irqsave(&pit->lock, flags);
	pit_reset_reinject(pit);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
}

/* ---- ports ---- */

static int pitdev_write(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			int len, const void *data)
{
	struct mhv_pit *pit = container_of(dev, struct pitdev, dev)->pit;
	u64 now = ktime_get_ns();
	unsigned long flags;

	if (addr > PIT_SPEAKER)
		return -EOPNOTSUPP;
	raw_spin_lock_irqsave(&pit->lock, flags);
	if (pit_write(&pit->pit, addr, *(u8 *)data, now))
		pit_restart(pit, now);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static int pitdev_read(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
		       int len, void *data)
{
	struct mhv_pit *pit = container_of(dev, struct pitdev, dev)->pit;
	unsigned long flags;

	if (addr > PIT_SPEAKER)
		return -EOPNOTSUPP;
	memset(data, 0, len);
	raw_spin_lock_irqsave(&pit->lock, flags);
	*(u8 *)data = pit_read(&pit->pit, addr, ktime_get_ns());
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

static const struct mhv_iodev_ops pitdev_ops = {
	.read = pitdev_read,
	.write = pitdev_write,
};

/* ---- ioctls ---- */

static void pit_unplug(struct mhv_vm *vm, struct mhv_pit *pit)
{
	mutex_lock(&vm->slots_lock);
	mhv_iobus_remove(vm, MHV_BUS_PIO, &pit->dev.dev);
	mhv_iobus_remove(vm, MHV_BUS_PIO, &pit->speaker.dev);
	mutex_unlock(&vm->slots_lock);
}

static int pit_plug(struct mhv_vm *vm, struct mhv_pit *pit, bool speaker)
{
	int ret;

	mutex_lock(&vm->slots_lock);
	ret = mhv_iobus_add(vm, MHV_BUS_PIO, PIT_PORT, PIT_PORTS, &pit->dev.dev);
	if (!ret && speaker)
		ret = mhv_iobus_add(vm, MHV_BUS_PIO, PIT_SPEAKER, 4, &pit->speaker.dev);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/**
 * mhv_pit_create - KVM_CREATE_PIT2
 * @vm: the VM
 * @flags: KVM_PIT_SPEAKER_DUMMY: port 0x61 too; others mean nothing
 *
 * Context: sleeps; vm->lock held.  Returns 0, -EEXIST or -ENOMEM.
 */
int mhv_pit_create(struct mhv_vm *vm, u32 flags)
{
	struct mhv_pit *pit;

	lockdep_assert_held(&vm->lock);
	if (vm->irqchip.pit)
		return -EEXIST;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	raw_spin_lock_init(&pit->lock);
	pit->vm = vm;
	pit->dev = (struct pitdev){ { &pitdev_ops }, pit };
	pit->speaker = pit->dev;
	pit->reinject = true;
	pit_init(&pit->pit, ktime_get_ns());
	pit_reset_reinject(pit);
	mhv_hrtimer_setup(&pit->timer, pit_expired, HRTIMER_MODE_ABS_HARD);

	if (pit_plug(vm, pit, flags & KVM_PIT_SPEAKER_DUMMY)) {
		pit_unplug(vm, pit);
		hrtimer_cancel(&pit->timer);
		kfree(pit);
		return -ENOMEM;
	}
	/* Pairs with the acquire in pit_of(). */
	smp_store_release(&vm->irqchip.pit, pit);
	mhv_ioapic_rescan(vm);
	return 0;
}

/**
 * mhv_pit_destroy - stop and free the PIT
 * @vm: a VM that nobody can reach any more
 */
void mhv_pit_destroy(struct mhv_vm *vm)
{
	struct mhv_pit *pit = vm->irqchip.pit;

	if (!pit)
		return;
	pit_unplug(vm, pit);
	hrtimer_cancel(&pit->timer);
	vm->irqchip.pit = NULL;
	kfree(pit);
}

/**
 * mhv_pit_get - KVM_GET_PIT2
 * @vm: the VM
 * @state: filled
 *
 * Returns 0, or -ENXIO without a PIT.
 */
int mhv_pit_get(struct mhv_vm *vm, struct kvm_pit_state2 *state)
{
	struct mhv_pit *pit = pit_of(vm);
	unsigned long flags;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->lock, flags);
	pit_get_state(&pit->pit, state);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/**
 * mhv_pit_set - KVM_SET_PIT2
 * @vm: the VM
 * @state: the new state; all channels start to count at once
 *
 * Returns 0, or -ENXIO without a PIT.
 */
int mhv_pit_set(struct mhv_vm *vm, const struct kvm_pit_state2 *state)
{
	struct mhv_pit *pit = pit_of(vm);
	u64 now = ktime_get_ns();
	unsigned long flags;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->lock, flags);
	pit_set_state(&pit->pit, state, now);
	pit_restart(pit, now);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	return 0;
}

/**
 * mhv_pit_reinject - KVM_REINJECT_CONTROL
 * @vm: the VM
 * @reinject: ticks that the guest was too slow for are sent later
 *
 * Returns 0, or -ENXIO without a PIT.
 */
int mhv_pit_reinject(struct mhv_vm *vm, bool reinject)
{
	struct mhv_pit *pit = pit_of(vm);
	unsigned long flags;

	if (!pit)
		return -ENXIO;
	raw_spin_lock_irqsave(&pit->lock, flags);
	if (reinject && !pit->reinject)
		pit_reset_reinject(pit);
	WRITE_ONCE(pit->reinject, reinject);
	raw_spin_unlock_irqrestore(&pit->lock, flags);
	mhv_ioapic_rescan(vm);
	return 0;
}
