// SPDX-License-Identifier: GPL-2.0
/*
 * The VM object: creation, destruction, its fd, and the table of its ioctls.
 * Entered from /dev/minihv (creation) and the VM fd; any process that has it.
 * vm->lock for what is set up once; the parts have their own, see minihv.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "backend.h"
#include "ioctl.h"

static DEFINE_MUTEX(vm_list_lock);
static LIST_HEAD(vm_list);
static u32 next_vm_id;

/**
 * mhv_vm_kill() - a bug of ours: this VM is over
 * @vm: the VM
 * @file: where
 * @line: where
 * @what: the condition
 *
 * Every ioctl on it gives -EIO from now on.  Logs once per VM.
 *
 * Context: any.
 */
void mhv_vm_kill(struct mhv_vm *vm, const char *file, int line, const char *what)
{
	if (xchg(&vm->dead, true))
		return;
	if (file)
		pr_err_ratelimited("VM %u is dead: %s at %s:%d\n", vm->vm_id, what,
				   kbasename(file), line);
	mhv_request_all(vm, MHV_REQ_VM_DEAD);
}

/* ---- destruction: the last of the VM's fds and its vCPUs' is closed ---- */

static void vm_free_vcpus(struct mhv_vm *vm)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;

	mhv_for_each_vcpu(i, vcpu, vm)
		mhv_vcpu_destroy(vcpu);
	xa_destroy(&vm->vcpus);
}

/* In the reverse order of vm_build(); each copes with what was never built. */
static void vm_destroy(struct mhv_vm *vm)
{
	mhv_debugfs_vm_remove(vm);
	mhv_irqfd_release(vm);
	mhv_iobus_destroy(vm);
	mhv_irqchip_destroy(vm);
	mhv_routing_destroy(vm);
	mhv_coalesced_destroy(vm);
	mhv_notifier_unregister(vm);
	vm_free_vcpus(vm);
	mhv_mmu_destroy(vm);
	mhv_memslots_destroy(vm);
	mhv_msr_filter_destroy(vm);
	cleanup_srcu_struct(&vm->irq_srcu);
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	kvfree(vm);
}

/**
 * mhv_vms_resumed() - the machine woke up: let guests' time go on
 *
 * Context: one CPU, interrupts off; every thread of a VMM is frozen, so that
 * the list holds still.
 */
void mhv_vms_resumed(void)
{
	struct mhv_vm *vm;

	list_for_each_entry(vm, &vm_list, link)
		mhv_clock_resume(vm);
}

static void vm_last_put(struct kref *users)
{
	struct mhv_vm *vm = container_of(users, struct mhv_vm, users);

	mutex_lock(&vm_list_lock);
	list_del(&vm->link);
	mutex_unlock(&vm_list_lock);
	vm_destroy(vm);
	mhv_hardware_put();
}

/**
 * mhv_vm_get() - take a reference
 * @vm: the VM
 */
void mhv_vm_get(struct mhv_vm *vm)
{
	kref_get(&vm->users);
}

/**
 * mhv_vm_put() - drop a reference; the last one destroys the VM
 * @vm: the VM
 *
 * Context: process, may sleep.
 */
void mhv_vm_put(struct mhv_vm *vm)
{
	kref_put(&vm->users, vm_last_put);
}

/* ---- ioctls ---- */

static long ioc_create_vcpu(void *obj, void *arg)
{
	unsigned long id = (unsigned long)arg;

	return mhv_vcpu_create(obj, min_t(unsigned long, id, U32_MAX));
}

MHV_IOC_FN(check_extension, mhv_check_extension(obj, (long)arg))

/*
 * Both forms: the second begins like the first, and what it has more is for
 * KVM_MEM_GUEST_MEMFD, a flag that is refused.
 */
MHV_IOC_FN(set_memory_region, mhv_memslot_set(obj, arg))

/* A 32-bit process sets the lower half of the pointer only. */
static void __user *bitmap_pointer(void __user *bitmap)
{
	return in_compat_syscall() ? compat_ptr((uintptr_t)bitmap) : bitmap;
}

static long ioc_get_dirty_log(void *obj, void *arg)
{
	struct kvm_dirty_log *log = arg;

	log->dirty_bitmap = bitmap_pointer(log->dirty_bitmap);
	return mhv_dirty_log_get(obj, log);
}

static long ioc_clear_dirty_log(void *obj, void *arg)
{
	struct kvm_clear_dirty_log *log = arg;

	log->dirty_bitmap = bitmap_pointer(log->dirty_bitmap);
	return mhv_dirty_log_clear(obj, log);
}

MHV_IOC_FN(reset_dirty_rings, mhv_dirty_rings_reset(obj))
MHV_IOC_FN(set_msr_filter, mhv_msr_filter_set(obj, arg))

#ifdef CONFIG_COMPAT
#define COMPAT_SET_MSR_FILTER	_IOW(KVMIO, 0xc6, struct mhv_compat_msr_filter)

MHV_IOC_FN(set_msr_filter_compat, mhv_msr_filter_set_compat(obj, arg))
#endif

MHV_IOC_FN(coalesced_add, mhv_coalesced_add(obj, arg))
MHV_IOC_FN(coalesced_remove, mhv_coalesced_remove(obj, arg))
MHV_IOC_FN(irqfd, mhv_irqfd(obj, arg))
MHV_IOC_FN(ioeventfd, mhv_ioeventfd(obj, arg))
MHV_IOC_FN(signal_msi, mhv_signal_msi(obj, arg))

static long ioc_set_gsi_routing(void *obj, void *arg)
{
	struct kvm_irq_routing __user *user = (void __user *)arg;
	struct kvm_irq_routing_entry *entries = NULL;
	struct mhv_vm *vm = obj;
	struct kvm_irq_routing head;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (vm->irqchip.mode == MHV_IRQCHIP_NONE || head.nr > MHV_MAX_GSI || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(user->entries,
				       array_size(sizeof(*entries), head.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = mhv_routing_set(vm, entries, head.nr);
	kvfree(entries);
	return r;
}

static long ioc_create_irqchip(void *obj, void *arg)
{
	struct mhv_vm *vm = obj;
	long r;

	mutex_lock(&vm->lock);
	r = mhv_irqchip_create(vm);
	mutex_unlock(&vm->lock);
	return r;
}

MHV_IOC_FN(get_irqchip, mhv_irqchip_get(obj, arg))
MHV_IOC_FN(set_irqchip, mhv_irqchip_set(obj, arg))

static long create_pit(struct mhv_vm *vm, u32 flags)
{
	long r;

	mutex_lock(&vm->lock);
	r = mhv_pit_create(vm, flags);
	mutex_unlock(&vm->lock);
	return r;
}

MHV_IOC_FN(create_pit, create_pit(obj, KVM_PIT_SPEAKER_DUMMY))
MHV_IOC_FN(create_pit2, create_pit(obj, ((const struct kvm_pit_config *)arg)->flags))
MHV_IOC_FN(get_pit2, mhv_pit_get(obj, arg))
MHV_IOC_FN(set_pit2, mhv_pit_set(obj, arg))

/* The older pair: the same channels, without flags. */
static long ioc_get_pit(void *obj, void *arg)
{
	struct kvm_pit_state2 state = {};
	long r = mhv_pit_get(obj, &state);

	if (!r)
		memcpy(arg, state.channels, sizeof(struct kvm_pit_state));
	return r;
}

static long ioc_set_pit(void *obj, void *arg)
{
	struct kvm_pit_state2 state = {};
	long r = mhv_pit_get(obj, &state);

	if (r)
		return r;
	memcpy(state.channels, arg, sizeof(struct kvm_pit_state));
	return mhv_pit_set(obj, &state);
}

/* Encoded without a size, though it takes a structure. */
static long ioc_reinject_control(void *obj, void *arg)
{
	struct kvm_reinject_control control;

	if (copy_from_user(&control, (void __user *)arg, sizeof(control)))
		return -EFAULT;
	return mhv_pit_reinject(obj, control.pit_reinject);
}

MHV_IOC_FN(irq_line, mhv_irq_line(obj, arg, false))
MHV_IOC_FN(irq_line_status, mhv_irq_line(obj, arg, true))

/* Where VMX without unrestricted guest would put a TSS, and its page table: no use to us. */
static long ioc_set_tss_addr(void *obj, void *arg)
{
	return (unsigned long)arg > (unsigned int)(-3 * PAGE_SIZE) ? -EINVAL : 0;
}

static long ioc_set_identity_map_addr(void *obj, void *arg)
{
	struct mhv_vm *vm = obj;
	long r = -EINVAL;
	u64 addr;

	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus)
		r = get_user(addr, (u64 __user *)arg);
	mutex_unlock(&vm->lock);
	return r;
}

static long ioc_set_boot_cpu_id(void *obj, void *arg)
{
	struct mhv_vm *vm = obj;
	unsigned long id = (unsigned long)arg;
	long r = 0;

	mutex_lock(&vm->lock);
	if (vm->nr_vcpus)
		r = -EBUSY;
	else if (id > vm->max_vcpu_id)
		r = -EINVAL;
	else
		vm->boot_cpu_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

/* A hint for shadow page tables, which there are none of: kept, not used. */
static long ioc_set_nr_mmu_pages(void *obj, void *arg)
{
	unsigned long n = (unsigned long)arg;
	struct mhv_vm *vm = obj;

	if (n < 64)
		return -EINVAL;
	vm->nr_mmu_pages = n;
	return 0;
}

MHV_IOC_FN(get_nr_mmu_pages, ((struct mhv_vm *)obj)->nr_mmu_pages)
MHV_IOC_VOID_FN(get_clock, mhv_get_clock(obj, arg))
MHV_IOC_FN(set_clock, mhv_set_clock(obj, arg))
MHV_IOC_FN(get_stats_fd, mhv_stats_fd(obj, NULL))
MHV_IOC_FN(get_tsc_khz, READ_ONCE(((struct mhv_vm *)obj)->default_tsc_khz))
MHV_IOC_FN(set_tsc_khz, mhv_set_default_tsc_khz(obj, (unsigned long)arg))

/* ---- KVM_ENABLE_CAP ---- */

static long cap_split_irqchip(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	long r;

	mutex_lock(&vm->lock);
	r = mhv_irqchip_split(vm, cap->args[0]);
	mutex_unlock(&vm->lock);
	return r;
}

static long set_vm_cap(struct mhv_vm *vm, enum mhv_vm_cap cap, bool on)
{
	mutex_lock(&vm->lock);
	if (on)
		vm->caps |= BIT(cap);
	else
		vm->caps &= ~BIT(cap);
	mutex_unlock(&vm->lock);
	return 0;
}

static long cap_x2apic_api(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
		set_vm_cap(vm, MHV_VMCAP_X2APIC_32BIT, true);
	if (cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		set_vm_cap(vm, MHV_VMCAP_X2APIC_NO_BCAST, true);
	return 0;
}

static long cap_exception_payload(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_vm_cap(vm, MHV_VMCAP_EXC_PAYLOAD, cap->args[0]);
}

static long cap_triple_fault(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_vm_cap(vm, MHV_VMCAP_TRIPLE_FAULT, cap->args[0]);
}

static long cap_platform_info(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_vm_cap(vm, MHV_VMCAP_NO_PLATFORM_INFO, !cap->args[0]);
}

/* Once, and not below the id of the vCPU to boot: as KVM has it since 6.11. */
static long cap_max_vcpu_id(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	long r = -EINVAL;

	if (cap->args[0] > MHV_MAX_VCPU_ID || !cap->args[0])
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->boot_cpu_id > cap->args[0]) {
		r = -EINVAL;
	} else if (vm->max_vcpu_id == cap->args[0]) {
		r = 0;
	} else if (!vm->max_vcpu_id_set) {
		vm->max_vcpu_id = cap->args[0];
		vm->max_vcpu_id_set = true;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long cap_user_space_msr(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	WRITE_ONCE(vm->user_msrs, cap->args[0]);
	return 0;
}

static long cap_disable_quirks(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	WRITE_ONCE(vm->disabled_quirks, cap->args[0]);
	return 0;
}

static long cap_manual_dirty_log(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->args[0] & ~allowed)
		return -EINVAL;
	WRITE_ONCE(vm->manual_dirty_log, cap->args[0]);
	return 0;
}

static long cap_disable_exits(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	if (!mhv_exits_to_disable())
		return -EINVAL;
	mutex_lock(&vm->lock);
	/* Those that this host cannot do without are not disabled. */
	vm->disabled_exits |= cap->args[0] & mhv_exits_to_disable();
	mutex_unlock(&vm->lock);
	return 0;
}

static long cap_exit_hypercall(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	WRITE_ONCE(vm->exit_hypercalls, cap->args[0]);
	return 0;
}

static long cap_emulation_failure(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	return set_vm_cap(vm, MHV_VMCAP_EMUL_FAIL_EXIT, cap->args[0]);
}

static long cap_dirty_ring(struct mhv_vm *vm, const struct kvm_enable_cap *cap)
{
	long r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus)
		r = mhv_dirty_rings_enable(vm, cap->args[0]);
	mutex_unlock(&vm->lock);
	return r;
}

#define ANY	~0ULL

static const struct {
	u32 cap;
	u64 allowed;	/* bits of args[0] */
	long (*enable)(struct mhv_vm *vm, const struct kvm_enable_cap *cap);
} vm_caps[] = {
	{ KVM_CAP_SPLIT_IRQCHIP, ANY, cap_split_irqchip },
	{ KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS |
			      KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, cap_x2apic_api },
	{ KVM_CAP_EXCEPTION_PAYLOAD, ANY, cap_exception_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, ANY, cap_triple_fault },
	{ KVM_CAP_MSR_PLATFORM_INFO, ANY, cap_platform_info },
	{ KVM_CAP_MAX_VCPU_ID, ANY, cap_max_vcpu_id },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, ANY, cap_manual_dirty_log },
	{ KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_VALID_EXITS, cap_disable_exits },
	{ KVM_CAP_EXIT_HYPERCALL, MHV_EXIT_HYPERCALLS, cap_exit_hypercall },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, cap_emulation_failure },
	{ KVM_CAP_DIRTY_LOG_RING, ANY, cap_dirty_ring },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, ANY, cap_dirty_ring },
	{ KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
				      KVM_MSR_EXIT_REASON_FILTER, cap_user_space_msr },
	/* Of the older capability, bits that mean nothing do nothing. */
	{ KVM_CAP_DISABLE_QUIRKS, ANY, cap_disable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, MHV_QUIRKS, cap_disable_quirks },
};

static long ioc_enable_cap(void *obj, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	size_t i;

	if (cap->flags)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(vm_caps); i++)
		if (vm_caps[i].cap == cap->cap && !(cap->args[0] & ~vm_caps[i].allowed))
			return vm_caps[i].enable(obj, cap);
	return -EINVAL;
}

#define IN	MHV_IOC_IN
#define OUT	MHV_IOC_OUT
#define USER	MHV_IOC_USER
#define VALUE	MHV_IOC_VALUE

static const struct mhv_ioctl vm_ioctls[] = {
	{ KVM_CHECK_EXTENSION,		VALUE,	ioc_check_extension },
	{ KVM_CREATE_VCPU,		VALUE,	ioc_create_vcpu },
	{ KVM_SET_USER_MEMORY_REGION,	IN,	ioc_set_memory_region },
	{ KVM_SET_USER_MEMORY_REGION2,	IN,	ioc_set_memory_region },
	{ KVM_GET_DIRTY_LOG,		IN,	ioc_get_dirty_log },
	{ KVM_CLEAR_DIRTY_LOG,		IN,	ioc_clear_dirty_log },
	{ KVM_RESET_DIRTY_RINGS,	0,	ioc_reset_dirty_rings },
	{ KVM_REGISTER_COALESCED_MMIO,	IN,	ioc_coalesced_add },
	{ KVM_UNREGISTER_COALESCED_MMIO, IN,	ioc_coalesced_remove },
	{ KVM_IRQFD,			IN,	ioc_irqfd },
	{ KVM_IOEVENTFD,		IN,	ioc_ioeventfd },
	{ KVM_SIGNAL_MSI,		IN,	ioc_signal_msi },
	{ KVM_SET_GSI_ROUTING,		USER,	ioc_set_gsi_routing },
	{ KVM_CREATE_IRQCHIP,		0,	ioc_create_irqchip },
	{ KVM_GET_IRQCHIP,		IN | OUT, ioc_get_irqchip },
	{ KVM_SET_IRQCHIP,		IN,	ioc_set_irqchip },
	{ KVM_CREATE_PIT,		0,	ioc_create_pit },
	{ KVM_CREATE_PIT2,		IN,	ioc_create_pit2 },
	{ KVM_GET_PIT,			IN | OUT, ioc_get_pit },
	{ KVM_SET_PIT,			IN,	ioc_set_pit },
	{ KVM_GET_PIT2,			OUT,	ioc_get_pit2 },
	{ KVM_SET_PIT2,			IN,	ioc_set_pit2 },
	{ KVM_REINJECT_CONTROL,		USER,	ioc_reinject_control },
	{ KVM_IRQ_LINE,			IN,	ioc_irq_line },
	{ KVM_IRQ_LINE_STATUS,		IN | OUT, ioc_irq_line_status },
	{ KVM_SET_TSS_ADDR,		VALUE,	ioc_set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR,	USER,	ioc_set_identity_map_addr },
	{ KVM_SET_BOOT_CPU_ID,		VALUE,	ioc_set_boot_cpu_id },
	{ KVM_SET_NR_MMU_PAGES,		VALUE,	ioc_set_nr_mmu_pages },
	{ KVM_GET_NR_MMU_PAGES,		VALUE,	ioc_get_nr_mmu_pages },
	{ KVM_GET_CLOCK,		OUT,	ioc_get_clock },
	{ KVM_SET_CLOCK,		IN,	ioc_set_clock },
	{ KVM_GET_TSC_KHZ,		0,	ioc_get_tsc_khz },
	{ KVM_SET_TSC_KHZ,		VALUE,	ioc_set_tsc_khz },
	{ KVM_ENABLE_CAP,		IN,	ioc_enable_cap },
	{ KVM_GET_STATS_FD,		0,	ioc_get_stats_fd },
	{ KVM_X86_SET_MSR_FILTER,	IN,	ioc_set_msr_filter },
#ifdef CONFIG_COMPAT
	{ COMPAT_SET_MSR_FILTER,	IN,	ioc_set_msr_filter_compat },
#endif
};

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mhv_vm *vm = file->private_data;
	const struct mhv_ioctl *row;

	if (unlikely(vm->mm != current->mm || READ_ONCE(vm->dead)))
		return -EIO;
	row = mhv_ioctl_find(vm_ioctls, ARRAY_SIZE(vm_ioctls), cmd);
	return row ? mhv_ioctl_call(row, vm, arg) : -ENOTTY;
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct mhv_vm *vm = file->private_data;

	mhv_irqfd_release(vm);
	mhv_vm_put(vm);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/* ---- creation ---- */

static int vm_build(struct mhv_vm *vm)
{
	int r;

	r = mhv_memslots_init(vm);
	if (!r)
		r = mhv_mmu_create(vm);
	if (!r)
		r = mhv_iobus_init(vm);
	if (!r)
		r = mhv_coalesced_init(vm);
	if (!r)
		r = mhv_notifier_register(vm);
	return r;
}

static struct mhv_vm *vm_alloc(void)
{
	struct mhv_vm *vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->users);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	rwlock_init(&vm->mmu_lock);
	xa_init(&vm->vcpus);
	vm->max_vcpu_id = MHV_MAX_VCPU_ID;
	if (init_srcu_struct(&vm->srcu))
		goto free;
	if (init_srcu_struct(&vm->irq_srcu))
		goto srcu;
	mmgrab(current->mm);
	vm->mm = current->mm;
	mhv_clock_vm_init(vm);
	mhv_eventfd_init(vm);
	r = vm_build(vm);
	if (!r)
		return vm;
	vm_destroy(vm);
	return ERR_PTR(r);
srcu:
	cleanup_srcu_struct(&vm->srcu);
free:
	kvfree(vm);
	return ERR_PTR(r);
}

/**
 * mhv_vm_create() - KVM_CREATE_VM
 * @type: 0, the only type of VM there is
 *
 * Context: process, may sleep.
 * Return: an fd; -EINVAL (another type), -EBUSY (another hypervisor has the
 * hardware), -ENOMEM, -EMFILE.
 */
long mhv_vm_create(unsigned long type)
{
	struct mhv_vm *vm;
	long r;

	if (type)
		return -EINVAL;
	r = mhv_hardware_get();
	if (r)
		return r;
	vm = vm_alloc();
	if (IS_ERR(vm)) {
		mhv_hardware_put();
		return PTR_ERR(vm);
	}
	mutex_lock(&vm_list_lock);
	vm->vm_id = next_vm_id++;
	list_add_tail(&vm->link, &vm_list);
	mutex_unlock(&vm_list_lock);
	mhv_debugfs_vm(vm);

	r = anon_inode_getfd("kvm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (r < 0)
		mhv_vm_put(vm);
	return r;
}
