// SPDX-License-Identifier: GPL-2.0
/*
 * The vCPU object: creation, its fd, its mapping, and the table of its ioctls.
 * Entered from the VM fd (creation), the vCPU fd, and the VM's destruction.
 * vm->lock for creation; vcpu->mutex for every ioctl on the vCPU.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>

#include "backend.h"
#include "compat.h"
#include "ioctl.h"

/* ---- registers in kvm_run ---- */

/**
 * mhv_sync_regs_in() - apply the registers that userspace left in kvm_run
 * @vcpu: the vCPU, loaded
 *
 * Return: 0 or -EINVAL (unknown bits, or values that SET_SREGS refuses).
 */
int mhv_sync_regs_in(struct mhv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 dirty = run->kvm_dirty_regs;

	if ((run->kvm_valid_regs | dirty) & ~(u64)MHV_SYNC_FIELDS)
		return -EINVAL;
	if (likely(!dirty))
		return 0;
	if (dirty & KVM_SYNC_X86_REGS) {
		mhv_set_regs(vcpu, &run->s.regs.regs);
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_REGS;
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs = run->s.regs.sregs;

		if (mhv_set_sregs(vcpu, &sregs))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_SREGS;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		struct kvm_vcpu_events events = run->s.regs.events;

		if (mhv_set_vcpu_events(vcpu, &events))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)KVM_SYNC_X86_EVENTS;
	}
	mhv_request(vcpu, MHV_REQ_EVENT);
	return 0;
}

/**
 * mhv_sync_regs_out() - leave the registers that userspace asked for in kvm_run
 * @vcpu: the vCPU, loaded
 */
void mhv_sync_regs_out(struct mhv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 valid = run->kvm_valid_regs;

	if (likely(!valid))
		return;
	if (valid & KVM_SYNC_X86_REGS)
		mhv_get_regs(vcpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		mhv_get_sregs(vcpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		mhv_get_vcpu_events(vcpu, &run->s.regs.events);
}

/* ---- ioctls: rows call these with vcpu->mutex held and the vCPU loaded ---- */

/* KVM_RUN is not here: it loads the vCPU itself, and has no time for a table. */

MHV_IOC_VOID_FN(get_regs, mhv_get_regs(obj, arg))
MHV_IOC_VOID_FN(set_regs, mhv_set_regs(obj, arg))
MHV_IOC_VOID_FN(get_sregs, mhv_get_sregs(obj, arg))
MHV_IOC_FN(set_sregs, mhv_set_sregs(obj, arg))
MHV_IOC_VOID_FN(get_sregs2, mhv_get_sregs2(obj, arg))
MHV_IOC_FN(set_sregs2, mhv_set_sregs2(obj, arg))
MHV_IOC_VOID_FN(get_fpu, mhv_get_fpu(obj, arg))
MHV_IOC_VOID_FN(set_fpu, mhv_set_fpu(obj, arg))
MHV_IOC_VOID_FN(get_xcrs, mhv_get_xcrs(obj, arg))
MHV_IOC_FN(set_xcrs, mhv_set_xcrs(obj, arg))
MHV_IOC_VOID_FN(get_debugregs, mhv_get_debugregs(obj, arg))
MHV_IOC_FN(set_debugregs, mhv_set_debugregs(obj, arg))
MHV_IOC_VOID_FN(get_vcpu_events, mhv_get_vcpu_events(obj, arg))
MHV_IOC_FN(set_vcpu_events, mhv_set_vcpu_events(obj, arg))
MHV_IOC_VOID_FN(get_mp_state, mhv_get_mp_state(obj, arg))
MHV_IOC_FN(set_mp_state, mhv_set_mp_state(obj, arg))
MHV_IOC_VOID_FN(translate, mhv_translate(obj, arg))
MHV_IOC_VOID_FN(get_xsave, mhv_get_xsave(obj, arg))
MHV_IOC_FN(set_xsave, mhv_set_xsave(obj, arg))
MHV_IOC_FN(set_cpuid2, mhv_cpuid_set(obj, (void __user *)arg))
MHV_IOC_FN(get_cpuid2, mhv_cpuid_get(obj, (void __user *)arg))
MHV_IOC_FN(get_msrs, mhv_msrs_io(obj, (void __user *)arg, false))
MHV_IOC_FN(set_msrs, mhv_msrs_io(obj, (void __user *)arg, true))

static long ioc_get_lapic(void *obj, void *arg)
{
	struct mhv_vcpu *vcpu = obj;

	if (!vcpu->lapic)
		return -EINVAL;
	mhv_lapic_get_state(vcpu, arg);
	return 0;
}

static long ioc_set_lapic(void *obj, void *arg)
{
	struct mhv_vcpu *vcpu = obj;

	return vcpu->lapic ? mhv_lapic_set_state(vcpu, arg) : -EINVAL;
}

/*
 * Without any chip in the kernel the interrupt is delivered at the next entry,
 * whatever RFLAGS.IF says: userspace has checked.  With a split chip it is the
 * userspace PIC's, and waits for the LAPIC to let it through.
 */
static long ioc_interrupt(void *obj, void *arg)
{
	const struct kvm_interrupt *irq = arg;
	struct mhv_vcpu *vcpu = obj;

	if (irq->irq > 255)
		return -EINVAL;
	switch (vcpu->vm->irqchip.mode) {
	case MHV_IRQCHIP_NONE:
		/* Behind an exception or NMI that is half delivered it has to wait. */
		if (vcpu->reinject.type && vcpu->reinject.type != MHV_EV_INTR)
			vcpu->extint = irq->irq;
		else
			vcpu->reinject = (struct mhv_event){
				.type = MHV_EV_INTR, .vector = irq->irq };
		return 0;
	case MHV_IRQCHIP_FULL:
		return -ENXIO;
	default:
		if (vcpu->extint >= 0)
			return -EEXIST;
		vcpu->extint = irq->irq;
		return 0;
	}
}

static long ioc_nmi(void *obj, void *arg)
{
	struct mhv_vcpu *vcpu = obj;

	atomic_inc(&vcpu->nmi_queued);
	mhv_request(vcpu, MHV_REQ_NMI);
	return 0;
}

static long ioc_set_signal_mask(void *obj, void *arg)
{
	struct kvm_signal_mask __user *user = (void __user *)arg;
	struct mhv_vcpu *vcpu = obj;
	u32 len;

	if (!user) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (get_user(len, &user->len))
		return -EFAULT;
	if (len != sizeof(sigset_t))
		return -EINVAL;
	if (copy_from_user(&vcpu->sigset, user->sigset, sizeof(sigset_t)))
		return -EFAULT;
	sigdelsetmask(&vcpu->sigset, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset_active = true;
	return 0;
}

MHV_IOC_FN(get_tsc_khz, ((struct mhv_vcpu *)obj)->clock.tsc_khz)
MHV_IOC_FN(set_tsc_khz, mhv_set_tsc_khz(obj, (unsigned long)arg))
MHV_IOC_FN(setup_mce, mhv_mce_setup(obj, *(const u64 *)arg))
MHV_IOC_FN(set_mce, mhv_mce_inject(obj, arg))
MHV_IOC_FN(kvmclock_ctrl, mhv_kvmclock_stopped(obj))

/* What breakpoints the CPU has to watch: the debugger's, or the guest's. */
static void update_debug(struct mhv_vcpu *vcpu)
{
	mhv_state_change(vcpu, MHV_G_DR);
	mhv_dr7_changed(vcpu);
	mhv_backend->update_intercepts(vcpu);
}

static void inject_debug(struct mhv_vcpu *vcpu, u8 vector)
{
	struct mhv_event ev = { .type = MHV_EV_EXCEPTION, .vector = vector };

	if (vector == X86_TRAP_BP && mhv_rip(vcpu) == vcpu->bp_rip)
		ev.insn_len = vcpu->bp_len;
	mhv_queue_event(vcpu, &ev);
}

static long ioc_set_guest_debug(void *obj, void *arg)
{
	const struct kvm_guest_debug *dbg = arg;
	struct mhv_vcpu *vcpu = obj;

	if (dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->exception.type)
			return -EBUSY;
		inject_debug(vcpu, dbg->control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB :
									   X86_TRAP_BP);
	}
	/* What single steps had set in RFLAGS goes with them. */
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP) {
		mhv_state_change(vcpu, MHV_G_RIP_FLAGS);
		vcpu->state.rflags &= ~(u64)X86_EFLAGS_TF;
	}
	vcpu->guest_debug = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control : 0;
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		memcpy(vcpu->debug_dr, dbg->arch.debugreg, sizeof(vcpu->debug_dr));
		vcpu->debug_dr7 = dbg->arch.debugreg[7];
	}
	update_debug(vcpu);
	return 0;
}

static long ioc_set_vapic_addr(void *obj, void *arg)
{
	struct mhv_vcpu *vcpu = obj;
	struct kvm_vapic_addr va;

	if (!vcpu->lapic)
		return -EINVAL;
	if (copy_from_user(&va, (void __user *)arg, sizeof(va)))
		return -EFAULT;
	return mhv_vapic_set_addr(vcpu, va.vapic_addr);
}

static long ioc_tpr_access_reporting(void *obj, void *arg)
{
	const struct kvm_tpr_access_ctl *ctl = arg;
	struct mhv_vcpu *vcpu = obj;

	if (ctl->flags)
		return -EINVAL;
	vcpu->vapic.report_tpr = ctl->enabled;
	return 0;
}

MHV_IOC_FN(has_attr, mhv_vcpu_attr(obj, arg, KVM_HAS_DEVICE_ATTR))
MHV_IOC_FN(get_attr, mhv_vcpu_attr(obj, arg, KVM_GET_DEVICE_ATTR))
MHV_IOC_FN(set_attr, mhv_vcpu_attr(obj, arg, KVM_SET_DEVICE_ATTR))

static long ioc_get_stats_fd(void *obj, void *arg)
{
	struct mhv_vcpu *vcpu = obj;

	return mhv_stats_fd(vcpu->vm, vcpu);
}

static long ioc_enable_cap(void *obj, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	struct mhv_vcpu *vcpu = obj;

	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	vcpu->pv_enforced = cap->args[0];
	return 0;
}

#define IN	MHV_IOC_IN
#define OUT	MHV_IOC_OUT
#define USER	MHV_IOC_USER
#define EVENT	MHV_IOC_EVENT

static const struct mhv_ioctl vcpu_ioctls[] = {
	{ KVM_GET_REGS,		OUT,		ioc_get_regs },
	{ KVM_SET_REGS,		IN | EVENT,	ioc_set_regs },
	{ KVM_GET_SREGS,	OUT,		ioc_get_sregs },
	{ KVM_SET_SREGS,	IN | EVENT,	ioc_set_sregs },
	{ KVM_GET_SREGS2,	OUT,		ioc_get_sregs2 },
	{ KVM_SET_SREGS2,	IN | EVENT,	ioc_set_sregs2 },
	{ KVM_GET_FPU,		OUT,		ioc_get_fpu },
	{ KVM_SET_FPU,		IN,		ioc_set_fpu },
	{ KVM_GET_XSAVE,	OUT,		ioc_get_xsave },
	{ KVM_GET_XSAVE2,	OUT,		ioc_get_xsave },
	{ KVM_SET_XSAVE,	IN,		ioc_set_xsave },
	{ KVM_GET_XCRS,		OUT,		ioc_get_xcrs },
	{ KVM_SET_XCRS,		IN,		ioc_set_xcrs },
	{ KVM_GET_MSRS,		USER,		ioc_get_msrs },
	{ KVM_SET_MSRS,		USER | EVENT,	ioc_set_msrs },
	{ KVM_GET_CPUID2,	USER,		ioc_get_cpuid2 },
	{ KVM_SET_CPUID2,	USER,		ioc_set_cpuid2 },
	{ KVM_GET_LAPIC,	OUT,		ioc_get_lapic },
	{ KVM_SET_LAPIC,	IN | EVENT,	ioc_set_lapic },
	{ KVM_GET_MP_STATE,	OUT,		ioc_get_mp_state },
	{ KVM_SET_MP_STATE,	IN | EVENT,	ioc_set_mp_state },
	{ KVM_GET_VCPU_EVENTS,	OUT,		ioc_get_vcpu_events },
	{ KVM_SET_VCPU_EVENTS,	IN | EVENT,	ioc_set_vcpu_events },
	{ KVM_GET_DEBUGREGS,	OUT,		ioc_get_debugregs },
	{ KVM_SET_DEBUGREGS,	IN,		ioc_set_debugregs },
	{ KVM_INTERRUPT,	IN | EVENT,	ioc_interrupt },
	{ KVM_NMI,		EVENT,		ioc_nmi },
	{ KVM_TRANSLATE,	IN | OUT,	ioc_translate },
	{ KVM_SET_GUEST_DEBUG,	IN | EVENT,	ioc_set_guest_debug },
	{ KVM_SET_SIGNAL_MASK,	USER,		ioc_set_signal_mask },
	{ KVM_GET_TSC_KHZ,	0,		ioc_get_tsc_khz },
	{ KVM_SET_TSC_KHZ,	MHV_IOC_VALUE,	ioc_set_tsc_khz },
	{ KVM_KVMCLOCK_CTRL,	0,		ioc_kvmclock_ctrl },
	{ KVM_X86_SETUP_MCE,	IN,		ioc_setup_mce },
	{ KVM_X86_SET_MCE,	IN | EVENT,	ioc_set_mce },
	{ KVM_ENABLE_CAP,	IN,		ioc_enable_cap },
	{ KVM_SET_VAPIC_ADDR,	USER,		ioc_set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING, IN | OUT,	ioc_tpr_access_reporting },
	{ KVM_GET_STATS_FD,	0,		ioc_get_stats_fd },
	{ KVM_HAS_DEVICE_ATTR,	IN,		ioc_has_attr },
	{ KVM_GET_DEVICE_ATTR,	IN,		ioc_get_attr },
	{ KVM_SET_DEVICE_ATTR,	IN,		ioc_set_attr },
};

static long vcpu_ioctl_locked(struct mhv_vcpu *vcpu, unsigned int cmd, unsigned long arg)
{
	const struct mhv_ioctl *row;
	long r;

	if (likely(cmd == KVM_RUN))
		return arg ? -EINVAL : mhv_vcpu_run(vcpu);
	row = mhv_ioctl_find(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), cmd);
	if (!row)
		return -EINVAL;
	mhv_vcpu_load(vcpu);
	r = mhv_ioctl_call(row, vcpu, arg);
	if (row->flags & MHV_IOC_EVENT)
		mhv_request(vcpu, MHV_REQ_EVENT);
	mhv_vcpu_put(vcpu);
	return r;
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mhv_vcpu *vcpu = file->private_data;
	long r;

	/* Guest memory is the creator's: nobody else can run on it. */
	if (unlikely(vcpu->vm->mm != current->mm || READ_ONCE(vcpu->vm->dead)))
		return -EIO;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = vcpu_ioctl_locked(vcpu, cmd, arg);
	mutex_unlock(&vcpu->mutex);
	return r;
}

/* ---- the fd and its mapping ---- */

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct mhv_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff == 0)
		page = virt_to_page(vcpu->run);
	else if (vmf->pgoff == KVM_PIO_PAGE_OFFSET)
		page = virt_to_page(vcpu->pio_data);
	else if (vmf->pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		page = virt_to_page(vcpu->vm->coalesced.ring);
	else
		page = mhv_dirty_ring_page(vcpu, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct mhv_vcpu *vcpu = file->private_data;
	unsigned long last = vma->vm_pgoff + vma_pages(vma) - 1;

	/* Userspace gives entries of the ring back by writing to them. */
	if ((mhv_dirty_ring_page(vcpu, vma->vm_pgoff) || mhv_dirty_ring_page(vcpu, last)) &&
	    (vma->vm_flags & (VM_EXEC | VM_SHARED)) != VM_SHARED)
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct mhv_vcpu *vcpu = file->private_data;

	mhv_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

static struct file *vcpu_open(struct mhv_vcpu *vcpu)
{
	char name[8 + 1 + 10 + 1];

	snprintf(name, sizeof(name), "kvm-vcpu:%u", vcpu->id);
	return anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
}

/* ---- creation and destruction ---- */

/**
 * mhv_vcpu_destroy() - free a vCPU
 * @vcpu: which may be half built; no fd of it is left
 *
 * Context: process, may sleep.
 */
void mhv_vcpu_destroy(struct mhv_vcpu *vcpu)
{
	mhv_dirty_ring_destroy(vcpu);
	mhv_lapic_destroy(vcpu);
	mhv_emul_destroy(vcpu);
	mhv_msr_vcpu_free(vcpu);
	mhv_backend->vcpu_destroy(vcpu);
	mhv_run_forget(vcpu);
	if (vcpu->fpu.fpstate)
		fpu_free_guest_fpstate(&vcpu->fpu);
	kvfree(vcpu->cpuid);
	free_page((unsigned long)vcpu->run);
	free_page((unsigned long)vcpu->pio_data);
	kvfree(vcpu);
}

static int vcpu_build(struct mhv_vcpu *vcpu)
{
	int r;

	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data || !fpu_alloc_guest_fpstate(&vcpu->fpu))
		return -ENOMEM;
	mhv_cpuid_vcpu_init(vcpu);
	r = mhv_dirty_ring_create(vcpu);
	if (!r)
		r = mhv_backend->vcpu_create(vcpu);
	if (!r)
		r = mhv_msr_vcpu_init(vcpu);
	if (!r)
		r = mhv_emul_create(vcpu);
	if (!r && vcpu->vm->irqchip.mode != MHV_IRQCHIP_NONE)
		r = mhv_lapic_create(vcpu);
	return r;
}

static struct mhv_vcpu *vcpu_alloc(struct mhv_vm *vm, u32 id)
{
	struct mhv_vcpu *vcpu;
	int r;

	vcpu = kvzalloc(mhv_backend->vcpu_size, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->extint = -1;
	vcpu->poll_control = 1;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	r = vcpu_build(vcpu);
	if (r) {
		mhv_vcpu_destroy(vcpu);
		return ERR_PTR(r);
	}
	/* All but the boot CPU wait for INIT and SIPI, if there is a LAPIC. */
	vcpu->mp_state = vcpu->lapic && id != vm->boot_cpu_id ?
			 KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
	mutex_lock(&vcpu->mutex);
	mhv_vcpu_load(vcpu);
	mhv_clock_vcpu_init(vcpu);
	mhv_vcpu_reset(vcpu, false);
	mhv_vcpu_put(vcpu);
	mutex_unlock(&vcpu->mutex);
	return vcpu;
}

/*
 * Give it its place, then its fd.  Nothing may fail once it has its place, and
 * it may not run before: whoever flushes TLBs would miss it.
 */
static long vcpu_publish(struct mhv_vm *vm, struct mhv_vcpu *vcpu)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	struct file *file;
	int r;

	if (fd < 0)
		return fd;
	vcpu->index = vm->nr_vcpus;
	r = xa_reserve(&vm->vcpus, vcpu->index, GFP_KERNEL_ACCOUNT);
	if (r)
		goto put_fd;
	file = vcpu_open(vcpu);
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto release;
	}
	mhv_vm_get(vm);		/* the file's */
	xa_store(&vm->vcpus, vcpu->index, vcpu, GFP_KERNEL_ACCOUNT);
	WRITE_ONCE(vm->vcpu_by_id[vcpu->id], vcpu);
	mhv_lapic_published(vm);
	vm->nr_vcpus++;
	fd_install(fd, file);
	return fd;
release:
	xa_release(&vm->vcpus, vcpu->index);
put_fd:
	put_unused_fd(fd);
	return r;
}

/**
 * mhv_vcpu_create() - KVM_CREATE_VCPU
 * @vm: the VM
 * @id: as userspace chose; the APIC id
 *
 * Context: process, vm->lock not held; may sleep.
 * Return: an fd; -EINVAL (id too large, or too many vCPUs), -EEXIST, -ENOMEM,
 * -EMFILE.
 */
long mhv_vcpu_create(struct mhv_vm *vm, u32 id)
{
	struct mhv_vcpu *vcpu;
	long r = -EINVAL;

	if (id >= MHV_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->nr_vcpus >= MHV_MAX_VCPUS || id >= vm->max_vcpu_id)
		goto unlock;
	r = -EEXIST;
	if (vm->vcpu_by_id[id])
		goto unlock;
	vcpu = vcpu_alloc(vm, id);
	if (IS_ERR(vcpu)) {
		r = PTR_ERR(vcpu);
		goto unlock;
	}
	r = vcpu_publish(vm, vcpu);
	if (r < 0)
		mhv_vcpu_destroy(vcpu);
	else
		mhv_debugfs_vcpu(vcpu);
unlock:
	mutex_unlock(&vm->lock);
	return r;
}
