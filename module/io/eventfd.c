// SPDX-License-Identifier: GPL-2.0
/*
 * irqfd: an eventfd that raises a GSI; ioeventfd: a guest's write that signals one.
 * Entered from vm.c (ioctls), the eventfds' wakeups, bus writes, routing.c (EOIs).
 * irqfds.lock guards the list of irqfds, irq_lock and irq_srcu the resamplers,
 * slots_lock the ioeventfds.
 * KVM API, "KVM_IRQFD" and "KVM_IOEVENTFD".
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/log2.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "minihv.h"

/*
 * An irqfd is taken apart in a work item: the eventfd may be closed, and says
 * so in a context where its wait queue cannot be left.
 */
static struct workqueue_struct *irqfd_wq;

/**
 * struct resampler - a GSI whose level irqfds raise, and its EOI lowers; in vm->irqfds.resamplers
 * @gsi: the GSI
 * @irqfds: who raise it, and are told of the EOI; irq_lock / irq_srcu
 */
struct resampler {
	u32 gsi;
	struct list_head irqfds;
};

/**
 * struct irqfd - an eventfd that raises a GSI
 * @vm: whose GSI; it outlives the irqfd, which goes when the VM fd is closed
 * @gsi: which; looked up in the routing anew each time
 * @eventfd: the eventfd
 * @wait: in its wait queue
 * @pt: how it came there
 * @link: in vm->irqfds.items; empty once it is being taken apart
 * @shutdown: takes it apart
 * @resampler: NULL for an edge
 * @resample: signalled on EOI
 * @resample_link: in @resampler->irqfds
 */
struct irqfd {
	struct mhv_vm *vm;
	u32 gsi;
	struct eventfd_ctx *eventfd;
	wait_queue_entry_t wait;
	poll_table pt;
	struct list_head link;
	struct work_struct shutdown;
	struct resampler *resampler;
	struct eventfd_ctx *resample;
	struct list_head resample_link;
};

/**
 * mhv_eventfd_init - prepare a new VM's lists
 * @vm: the VM
 */
void mhv_eventfd_init(struct mhv_vm *vm)
{
	spin_lock_init(&vm->irqfds.lock);
	INIT_LIST_HEAD(&vm->irqfds.items);
	xa_init_flags(&vm->irqfds.resamplers, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&vm->irqfds.ioeventfds);
}

/* ---- resampling: levels from eventfds ---- */

/**
 * mhv_irqfd_wants_ack - does an irqfd listen for EOIs of this GSI?
 * @vm: the VM
 * @gsi: the GSI
 *
 * Context: any; vm->irq_srcu or vm->irq_lock held.
 */
bool mhv_irqfd_wants_ack(struct mhv_vm *vm, u32 gsi)
{
	return xa_load(&vm->irqfds.resamplers, gsi);
}

/**
 * mhv_irqfd_acked - a GSI had its EOI: lower it, have devices look again
 * @vm: the VM
 * @gsi: the GSI
 *
 * Lowered once for all irqfds that share it, and before any is told, as each
 * may raise it again at once.  Context: any; vm->irq_srcu held.
 */
void mhv_irqfd_acked(struct mhv_vm *vm, u32 gsi)
{
	struct resampler *r = xa_load(&vm->irqfds.resamplers, gsi);
	struct irqfd *irqfd;

	if (!r)
		return;
	mhv_irq_set(vm, MHV_SRC_RESAMPLE, gsi, 0);
	list_for_each_entry_srcu(irqfd, &r->irqfds, resample_link,
				 srcu_read_lock_held(&vm->irq_srcu))
		mhv_eventfd_signal(irqfd->resample);
}

static struct resampler *resampler_create(struct mhv_vm *vm, u32 gsi)
{
	struct resampler *r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);

	if (!r)
		return NULL;
	r->gsi = gsi;
	INIT_LIST_HEAD(&r->irqfds);
	if (xa_is_err(xa_store(&vm->irqfds.resamplers, gsi, r, GFP_KERNEL_ACCOUNT))) {
		kfree(r);
		return NULL;
	}
	return r;
}

/* Join the irqfds that raise the same GSI by level. */
static int resampler_join(struct irqfd *irqfd)
{
	struct mhv_vm *vm = irqfd->vm;
	struct resampler *r;

	mutex_lock(&vm->irq_lock);
	r = xa_load(&vm->irqfds.resamplers, irqfd->gsi);
	if (!r) {
		r = resampler_create(vm, irqfd->gsi);
		if (!r) {
			mutex_unlock(&vm->irq_lock);
			return -ENOMEM;
		}
	}
	irqfd->resampler = r;
	list_add_rcu(&irqfd->resample_link, &r->irqfds);
	mutex_unlock(&vm->irq_lock);
	mhv_ioapic_rescan(vm);
	return 0;
}

static void resampler_leave(struct irqfd *irqfd)
{
	struct resampler *r = irqfd->resampler;
	struct mhv_vm *vm = irqfd->vm;

	mutex_lock(&vm->irq_lock);
	list_del_rcu(&irqfd->resample_link);
	if (list_empty(&r->irqfds)) {
		xa_erase(&vm->irqfds.resamplers, r->gsi);
		synchronize_srcu(&vm->irq_srcu);
		mhv_irq_set(vm, MHV_SRC_RESAMPLE, r->gsi, 0);
		mhv_ioapic_rescan(vm);
		kfree(r);
	} else {
		synchronize_srcu(&vm->irq_srcu);
	}
	mutex_unlock(&vm->irq_lock);
}

/* ---- irqfd ---- */

static void irqfd_raise(struct irqfd *irqfd)
{
	if (irqfd->resampler)
		mhv_irq_set(irqfd->vm, MHV_SRC_RESAMPLE, irqfd->gsi, 1);
	else
		mhv_irq_pulse(irqfd->vm, irqfd->gsi);
}

static void irqfd_shutdown(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, shutdown);
	u64 count;

	/* Wait for irqfd_assign_file(), if it is still at work on this one. */
	synchronize_srcu(&irqfd->vm->irq_srcu);
	/* Takes the wait queue's lock: no wakeup is under way after it. */
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	if (irqfd->resampler) {
		resampler_leave(irqfd);
		eventfd_ctx_put(irqfd->resample);
	}
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* Off the list, by whoever is first; irqfds.lock held. */
static void irqfd_deactivate(struct irqfd *irqfd)
{
	list_del_init(&irqfd->link);
	queue_work(irqfd_wq, &irqfd->shutdown);
}

/* The eventfd is signalled, or closed.  Its lock is held, interrupts are off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	struct mhv_vm *vm = irqfd->vm;
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;
	int ret = 0;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_raise(irqfd);
		ret = 1;
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&vm->irqfds.lock, flags);
		if (!list_empty(&irqfd->link))
			irqfd_deactivate(irqfd);
		spin_unlock_irqrestore(&vm->irqfds.lock, flags);
	}
	return ret;
}

static void irqfd_queue(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	struct irqfd *irqfd = container_of(pt, struct irqfd, pt);

	/* First in the queue, so that signals do not reach readers too. */
	add_wait_queue_priority(wqh, &irqfd->wait);
}

/* On the list, unless its eventfd is there already. */
static int irqfd_activate(struct irqfd *irqfd)
{
	struct mhv_vm *vm = irqfd->vm;
	struct irqfd *other;
	int ret = 0;

	spin_lock_irq(&vm->irqfds.lock);
	list_for_each_entry(other, &vm->irqfds.items, link)
		if (other->eventfd == irqfd->eventfd)
			ret = -EBUSY;
	if (!ret)
		list_add_tail(&irqfd->link, &vm->irqfds.items);
	spin_unlock_irq(&vm->irqfds.lock);
	return ret;
}

static int irqfd_set_resample(struct irqfd *irqfd, int fd)
{
	int ret;

	irqfd->resample = eventfd_ctx_fdget(fd);
	if (IS_ERR(irqfd->resample))
		return PTR_ERR(irqfd->resample);
	ret = resampler_join(irqfd);
	if (ret)
		eventfd_ctx_put(irqfd->resample);
	return ret;
}

/* @file is held by the caller, so the eventfd is not closed meanwhile. */
static int irqfd_assign_file(struct mhv_vm *vm, const struct kvm_irqfd *args, struct file *file)
{
	struct irqfd *irqfd;
	int ret, idx;

	irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);
	if (!irqfd)
		return -ENOMEM;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_WORK(&irqfd->shutdown, irqfd_shutdown);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->pt, irqfd_queue);
	irqfd->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(irqfd->eventfd)) {
		ret = PTR_ERR(irqfd->eventfd);
		goto free;
	}
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		ret = irqfd_set_resample(irqfd, args->resamplefd);
		if (ret)
			goto put;
	}
	/* Others can find it now; irqfd_shutdown() waits for the end of this. */
	idx = srcu_read_lock(&vm->irq_srcu);
	ret = irqfd_activate(irqfd);
	/* In the wait queue from here on; what was signalled before counts too. */
	if (!ret && (vfs_poll(file, &irqfd->pt) & EPOLLIN))
		irqfd_raise(irqfd);
	srcu_read_unlock(&vm->irq_srcu, idx);
	if (!ret)
		return 0;

	if (irqfd->resampler) {
		resampler_leave(irqfd);
		eventfd_ctx_put(irqfd->resample);
	}
put:
	eventfd_ctx_put(irqfd->eventfd);
free:
	kfree(irqfd);
	return ret;
}

static int irqfd_assign(struct mhv_vm *vm, const struct kvm_irqfd *args)
{
	struct file *file;
	int ret;

	if (vm->irqchip.mode == MHV_IRQCHIP_NONE)
		return -EINVAL;
	/* Only the chips in the kernel say when they see an EOI. */
	if ((args->flags & KVM_IRQFD_FLAG_RESAMPLE) && vm->irqchip.mode != MHV_IRQCHIP_FULL)
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	ret = irqfd_assign_file(vm, args, file);
	fput(file);
	return ret;
}

/* Take apart what matches; @eventfd NULL: all.  Nothing is raised afterwards. */
static void irqfd_remove(struct mhv_vm *vm, const struct eventfd_ctx *eventfd, u32 gsi)
{
	struct irqfd *irqfd, *tmp;

	spin_lock_irq(&vm->irqfds.lock);
	list_for_each_entry_safe(irqfd, tmp, &vm->irqfds.items, link)
		if (!eventfd || (irqfd->eventfd == eventfd && irqfd->gsi == gsi))
			irqfd_deactivate(irqfd);
	spin_unlock_irq(&vm->irqfds.lock);
	flush_workqueue(irqfd_wq);
}

static int irqfd_deassign(struct mhv_vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	irqfd_remove(vm, eventfd, args->gsi);
	eventfd_ctx_put(eventfd);
	return 0;
}

/**
 * mhv_irqfd - KVM_IRQFD
 * @vm: the VM
 * @args: as userspace gave them
 *
 * Context: sleeps.  Returns 0; -EINVAL for unknown flags, without an irqchip
 * in the kernel, for resampling without all chips in the kernel, or for an fd
 * that is no eventfd; -EBADF for none at all; -EBUSY if the eventfd is in use
 * as an irqfd of this VM; -ENOMEM.
 */
int mhv_irqfd(struct mhv_vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

/**
 * mhv_irqfd_release - take apart all irqfds, as the VM fd was closed
 * @vm: the VM
 *
 * Context: sleeps.
 */
void mhv_irqfd_release(struct mhv_vm *vm)
{
	irqfd_remove(vm, NULL, 0);
}

/**
 * mhv_eventfd_module_init - at load
 *
 * Returns 0 or -ENOMEM.
 */
int mhv_eventfd_module_init(void)
{
	irqfd_wq = alloc_workqueue("mhv-irqfd", 0, 0);
	return irqfd_wq ? 0 : -ENOMEM;
}

/**
 * mhv_eventfd_module_exit - at unload; no VM is left
 */
void mhv_eventfd_module_exit(void)
{
	destroy_workqueue(irqfd_wq);
}

/* ---- ioeventfd ---- */

/**
 * struct ioeventfd - a write of the guest that signals an eventfd
 * @dev: on the bus
 * @link: vm->irqfds.ioeventfds
 * @bus: which bus
 * @addr: the address it must begin at
 * @len: the width it must have; 0: any
 * @wildcard: whatever is written
 * @datamatch: else what must be written
 * @eventfd: what is signalled
 */
struct ioeventfd {
	struct mhv_iodev dev;
	struct list_head link;
	enum mhv_bus bus;
	gpa_t addr;
	u32 len;
	bool wildcard;
	u64 datamatch;
	struct eventfd_ctx *eventfd;
};

/* What was written, 1, 2, 4 or 8 bytes, as a number. */
static u64 written(const void *data, int len)
{
	switch (len) {
	case 1:
		return *(const u8 *)data;
	case 2:
		return *(const u16 *)data;
	case 4:
		return *(const u32 *)data;
	default:
		return *(const u64 *)data;
	}
}

static int ioeventfd_write(struct mhv_iodev *dev, struct mhv_vcpu *vcpu, gpa_t addr,
			   int len, const void *data)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	/* The bus asks only for what lies inside: with this length, it is at this address. */
	if (p->len && len != p->len)
		return -EOPNOTSUPP;
	/* Without a length it is a wildcard: see ioeventfd_valid(). */
	if (!p->wildcard && written(data, len) != p->datamatch)
		return -EOPNOTSUPP;
	mhv_eventfd_signal(p->eventfd);
	return 0;
}

static void ioeventfd_free(struct mhv_iodev *dev)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	list_del(&p->link);
	eventfd_ctx_put(p->eventfd);
	kfree(p);
}

static const struct mhv_iodev_ops ioeventfd_ops = {
	.write = ioeventfd_write,
	.destroy = ioeventfd_free,
};

/**
 * mhv_is_ioeventfd - is this device an ioeventfd?
 * @dev: a device on a bus
 *
 * They do not count against a bus's limit of devices.
 */
bool mhv_is_ioeventfd(const struct mhv_iodev *dev)
{
	return dev->ops == &ioeventfd_ops;
}

/* Could one write match both? */
static bool ioeventfd_collides(const struct ioeventfd *a, const struct ioeventfd *b)
{
	if (a->bus != b->bus || a->addr != b->addr)
		return false;
	if (!a->len || !b->len)
		return true;
	return a->len == b->len &&
	       (a->wildcard || b->wildcard || a->datamatch == b->datamatch);
}

static void ioeventfd_describe(struct ioeventfd *p, const struct kvm_ioeventfd *args)
{
	p->dev.ops = &ioeventfd_ops;
	p->bus = args->flags & KVM_IOEVENTFD_FLAG_PIO ? MHV_BUS_PIO : MHV_BUS_MMIO;
	p->addr = args->addr;
	p->len = args->len;
	p->wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
	p->datamatch = p->wildcard ? 0 : args->datamatch;
}

static bool ioeventfd_valid(const struct kvm_ioeventfd *args)
{
	const u32 flags = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			  KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->len > 8 || (args->len && !is_power_of_2(args->len)))
		return false;
	if (args->addr + args->len < args->addr || (args->flags & ~flags))
		return false;
	return args->len || !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH);
}

static int ioeventfd_assign(struct mhv_vm *vm, const struct kvm_ioeventfd *args)
{
	struct ioeventfd *p, *other;
	int ret = 0;

	if (!ioeventfd_valid(args))
		return -EINVAL;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	ioeventfd_describe(p, args);
	p->eventfd = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(p->eventfd)) {
		ret = PTR_ERR(p->eventfd);
		kfree(p);
		return ret;
	}

	mutex_lock(&vm->slots_lock);
	list_for_each_entry(other, &vm->irqfds.ioeventfds, link)
		if (ioeventfd_collides(other, p))
			ret = -EEXIST;
	if (!ret)
		ret = mhv_iobus_add(vm, p->bus, p->addr, p->len, &p->dev);
	if (!ret)
		list_add_tail(&p->link, &vm->irqfds.ioeventfds);
	mutex_unlock(&vm->slots_lock);
	if (ret) {
		eventfd_ctx_put(p->eventfd);
		kfree(p);
	}
	return ret;
}

static int ioeventfd_deassign(struct mhv_vm *vm, const struct kvm_ioeventfd *args)
{
	struct eventfd_ctx *eventfd = eventfd_ctx_fdget(args->fd);
	struct ioeventfd *p, want = {};
	int ret = -ENOENT;

	if (IS_ERR(eventfd))
		return PTR_ERR(eventfd);
	ioeventfd_describe(&want, args);
	mutex_lock(&vm->slots_lock);
	list_for_each_entry(p, &vm->irqfds.ioeventfds, link) {
		if (p->eventfd != eventfd || p->bus != want.bus || p->addr != want.addr ||
		    p->len != want.len || p->wildcard != want.wildcard ||
		    p->datamatch != want.datamatch)
			continue;
		mhv_iobus_remove(vm, p->bus, &p->dev);
		ioeventfd_free(&p->dev);
		ret = 0;
		break;
	}
	mutex_unlock(&vm->slots_lock);
	eventfd_ctx_put(eventfd);
	return ret;
}

/**
 * mhv_ioeventfd - KVM_IOEVENTFD
 * @vm: the VM
 * @args: as userspace gave them
 *
 * Context: sleeps; takes vm->slots_lock.  Returns 0; -EINVAL for a bad length
 * or flag, or an fd that is no eventfd; -EBADF; -EEXIST if a write could match
 * this and one that is there; -ENOENT if there is none to take away; -ENOMEM.
 */
int mhv_ioeventfd(struct mhv_vm *vm, const struct kvm_ioeventfd *args)
{
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return ioeventfd_deassign(vm, args);
	return ioeventfd_assign(vm, args);
}
