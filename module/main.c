// SPDX-License-Identifier: GPL-2.0
/*
 * Load and unload, hardware on and off on every CPU, /dev/minihv's ioctls.
 * Entered from the module loader, CPU hotplug, suspend, reboot and crash, open().
 * mhv_global guards the enable count; cpus_read_lock is outside it.
 * AMD APM volume 2, "Enabling SVM"; Intel SDM volume 3, "Enabling and Entering VMX".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/sched/stat.h>
#include <linux/syscore_ops.h>
#include <linux/minihv.h>
#include <asm/reboot.h>

#include "backend.h"
#include "compat.h"
#include "ioctl.h"

const struct mhv_backend *mhv_backend;

static struct mhv_backend *const backends[] = {
	&mhv_svm_backend,
	&mhv_vmx_backend,
};

static DEFINE_MUTEX(mhv_global);
static unsigned int hardware_users;	/* VMs; mhv_global */
static bool hardware_on;		/* cpus_write_lock or mhv_global */
static bool going_down;			/* a reboot has begun */
static atomic_t hardware_failed;
static int cpuhp_state;

static bool kvm_minor;
module_param(kvm_minor, bool, 0444);
MODULE_PARM_DESC(kvm_minor, "also serve KVM's device number (10, 232), if KVM is not loaded");

/* ---- hardware on and off ---- */

static void cpu_on(void *unused)
{
	if (mhv_backend->cpu_on())
		atomic_inc(&hardware_failed);
}

static void cpu_off(void *unused)
{
	mhv_backend->cpu_off();
}

/**
 * mhv_hardware_get() - a VM comes to be: switch the hardware on for the first
 *
 * Context: process, may sleep.
 * Return: 0, or -EBUSY while another hypervisor has it on some CPU, or the
 * machine is going down.
 */
int mhv_hardware_get(void)
{
	int r = 0;

	cpus_read_lock();
	mutex_lock(&mhv_global);
	if (READ_ONCE(going_down)) {
		r = -EBUSY;
	} else if (!hardware_users) {
		atomic_set(&hardware_failed, 0);
		on_each_cpu(cpu_on, NULL, 1);
		if (atomic_read(&hardware_failed)) {
			on_each_cpu(cpu_off, NULL, 1);
			r = -EBUSY;
		} else {
			hardware_on = true;
		}
	}
	if (!r)
		hardware_users++;
	mutex_unlock(&mhv_global);
	cpus_read_unlock();
	return r;
}

/**
 * mhv_hardware_put() - a VM is gone: off after the last
 *
 * Context: process, may sleep.
 */
void mhv_hardware_put(void)
{
	cpus_read_lock();
	mutex_lock(&mhv_global);
	if (!--hardware_users) {
		hardware_on = false;
		on_each_cpu(cpu_off, NULL, 1);
	}
	mutex_unlock(&mhv_global);
	cpus_read_unlock();
}

/*
 * A CPU that comes up while VMs exist has to be able to run them, or it must
 * not come up.  cpus_write_lock is held, so no mhv_hardware_get() is under way.
 */
static int cpu_comes(unsigned int cpu)
{
	unsigned long flags;
	int r = 0;

	local_irq_save(flags);
	if (hardware_on)
		r = mhv_backend->cpu_on();
	local_irq_restore(flags);
	return r;
}

static int cpu_goes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	mhv_backend->cpu_off();
	local_irq_restore(flags);
	return 0;
}

/* Suspend: the other CPUs are offline by now; this is about the last one. */
static int mhv_suspend(void)
{
	mhv_clock_suspend();
	mhv_backend->cpu_off();
	return 0;
}

static void mhv_resume(void)
{
	mhv_vms_resumed();
	if (hardware_on && mhv_backend->cpu_on())
		pr_err("the hardware is somebody else's after resume; VMs will fail to run\n");
}

/* Reboot and kexec: what boots next must find INIT and NMI unblocked. */
static void mhv_shutdown(void)
{
	WRITE_ONCE(going_down, true);
	on_each_cpu(cpu_off, NULL, 1);
}

/* Before 6.8, a kexec does not call the syscore operations. */
static int mhv_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	mhv_shutdown();
	return NOTIFY_OK;
}

static struct notifier_block mhv_reboot_notifier = {
	.notifier_call = mhv_reboot,
};

static struct syscore_ops mhv_syscore_ops = {
	.suspend = mhv_suspend,
	.resume = mhv_resume,
	.shutdown = mhv_shutdown,
};

/* ---- /dev/minihv ---- */

MHV_IOC_FN(get_api_version, KVM_API_VERSION)
MHV_IOC_FN(create_vm, mhv_vm_create((unsigned long)arg))
MHV_IOC_FN(check_extension, mhv_check_extension(NULL, (long)arg))

/* kvm_run, the PIO data page, the coalesced ring. */
MHV_IOC_FN(get_vcpu_mmap_size, 3 * PAGE_SIZE)
MHV_IOC_FN(get_supported_cpuid, mhv_cpuid_supported((void __user *)arg))
MHV_IOC_FN(get_msr_index_list, mhv_msr_index_list((void __user *)arg, false))
MHV_IOC_FN(get_msr_feature_list, mhv_msr_index_list((void __user *)arg, true))
MHV_IOC_FN(get_msrs, mhv_msrs_io(NULL, (void __user *)arg, false))

static long ioc_get_mce_cap(void *obj, void *arg)
{
	*(u64 *)arg = mhv_mce_supported();
	return 0;
}

MHV_IOC_FN(has_attr, mhv_dev_attr(arg, false))
MHV_IOC_FN(get_attr, mhv_dev_attr(arg, true))

static const struct mhv_ioctl dev_ioctls[] = {
	{ KVM_GET_API_VERSION,		MHV_IOC_ZERO,	ioc_get_api_version },
	{ KVM_CREATE_VM,		MHV_IOC_VALUE,	ioc_create_vm },
	{ KVM_CHECK_EXTENSION,		MHV_IOC_VALUE,	ioc_check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE,	MHV_IOC_ZERO,	ioc_get_vcpu_mmap_size },
	{ KVM_GET_SUPPORTED_CPUID,	MHV_IOC_USER,	ioc_get_supported_cpuid },
	{ KVM_GET_MSR_INDEX_LIST,	MHV_IOC_USER,	ioc_get_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, MHV_IOC_USER,	ioc_get_msr_feature_list },
	{ KVM_GET_MSRS,			MHV_IOC_USER,	ioc_get_msrs },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, MHV_IOC_OUT,	ioc_get_mce_cap },
	{ KVM_HAS_DEVICE_ATTR,		MHV_IOC_IN,	ioc_has_attr },
	{ KVM_GET_DEVICE_ATTR,		MHV_IOC_IN,	ioc_get_attr },
};

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct mhv_ioctl *row = mhv_ioctl_find(dev_ioctls, ARRAY_SIZE(dev_ioctls), cmd);

	return row ? mhv_ioctl_call(row, NULL, arg) : -EINVAL;
}

/*
 * A capability is a row; one without a row is 0.  All of it works, or it has
 * none.
 */
static const struct {
	u32 cap;
	u32 value;
} caps[] = {
	{ MINIHV_CAP_VERSION,			MINIHV_VERSION },
	{ KVM_CAP_USER_MEMORY,			1 },
	{ KVM_CAP_USER_MEMORY2,			1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS,	1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,	1 },
	{ KVM_CAP_NR_MEMSLOTS,			MHV_NR_MEMSLOTS },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL,	1 },
	{ KVM_CAP_READONLY_MEM,			1 },
	{ KVM_CAP_SYNC_MMU,			1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,	KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
						KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_DIRTY_LOG_RING,		MHV_DIRTY_RING_MAX },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL,	MHV_DIRTY_RING_MAX },
	{ KVM_CAP_MAX_VCPUS,			MHV_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID,			MHV_MAX_VCPU_ID },
	{ KVM_CAP_IMMEDIATE_EXIT,		1 },
	{ KVM_CAP_HLT,				1 },
	{ KVM_CAP_SET_TSS_ADDR,			1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR,	1 },
	{ KVM_CAP_SET_BOOT_CPU_ID,		1 },
	{ KVM_CAP_EXT_CPUID,			1 },
	{ KVM_CAP_GET_MSR_FEATURES,		1 },
	{ KVM_CAP_MCE,				MHV_MCE_BANKS },
	{ KVM_CAP_MP_STATE,			1 },
	{ KVM_CAP_VCPU_EVENTS,			1 },
	{ KVM_CAP_DEBUGREGS,			1 },
	{ KVM_CAP_XSAVE,			1 },
	{ KVM_CAP_XSAVE2,			sizeof(struct kvm_xsave) },
	{ KVM_CAP_XCRS,				1 },
	{ KVM_CAP_SREGS2,			1 },
	{ KVM_CAP_SYNC_REGS,			MHV_SYNC_FIELDS },
	{ KVM_CAP_GET_TSC_KHZ,			1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER,		1 },
	{ KVM_CAP_ADJUST_CLOCK,			KVM_CLOCK_TSC_STABLE |
						KVM_CLOCK_REALTIME |
						KVM_CLOCK_HOST_TSC },
	{ KVM_CAP_CLOCKSOURCE,			1 },
	{ KVM_CAP_KVMCLOCK_CTRL,		1 },
	{ KVM_CAP_IRQCHIP,			1 },
	{ KVM_CAP_SPLIT_IRQCHIP,		1 },
	{ KVM_CAP_IRQ_ROUTING,			MHV_MAX_GSI },
	{ KVM_CAP_IRQ_INJECT_STATUS,		1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED,	1 },
	{ KVM_CAP_SIGNAL_MSI,			1 },
	{ KVM_CAP_IRQFD,			1 },
	{ KVM_CAP_IRQFD_RESAMPLE,		1 },
	{ KVM_CAP_IOEVENTFD,			1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH,		1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH,		1 },
	{ KVM_CAP_COALESCED_MMIO,		KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_COALESCED_PIO,		1 },
	{ KVM_CAP_VAPIC,			1 },
	{ KVM_CAP_PIT,				1 },
	{ KVM_CAP_PIT2,				1 },
	{ KVM_CAP_PIT_STATE2,			1 },
	{ KVM_CAP_REINJECT_CONTROL,		1 },
	{ KVM_CAP_USER_NMI,			1 },
	{ KVM_CAP_NOP_IO_DELAY,			1 },
	{ KVM_CAP_X2APIC_API,			KVM_X2APIC_API_USE_32BIT_IDS |
						KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	{ KVM_CAP_EXCEPTION_PAYLOAD,		1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT,	1 },
	{ KVM_CAP_MSR_PLATFORM_INFO,		1 },
	{ KVM_CAP_SET_GUEST_DEBUG,		1 },
	{ KVM_CAP_SET_GUEST_DEBUG2,		MHV_GUEST_DEBUG },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP,	1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA,		1 },
	{ KVM_CAP_LAST_CPU,			1 },
	{ KVM_CAP_X86_USER_SPACE_MSR,		1 },
	{ KVM_CAP_X86_MSR_FILTER,		1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID,	1 },
	{ KVM_CAP_SYS_ATTRIBUTES,		1 },
	{ KVM_CAP_VCPU_ATTRIBUTES,		1 },
	{ KVM_CAP_EXIT_HYPERCALL,		MHV_EXIT_HYPERCALLS },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE,	1 },
	{ KVM_CAP_BINARY_STATS_FD,		1 },
	{ KVM_CAP_DISABLE_QUIRKS,		1 },
	{ KVM_CAP_DISABLE_QUIRKS2,		MHV_QUIRKS },
	{ KVM_CAP_ENABLE_CAP,			1 },
	{ KVM_CAP_ENABLE_CAP_VM,		1 },
	{ KVM_CAP_CHECK_EXTENSION_VM,		1 },
};

/**
 * mhv_exits_to_disable() - instructions that guests can be left to execute
 *
 * MWAIT only where the CPU wakes from it by any interrupt, and its timers go
 * on meanwhile.
 *
 * Return: KVM_X86_DISABLE_EXITS_*.
 */
u32 mhv_exits_to_disable(void)
{
	u32 exits = mhv_backend->caps.disable_exits;

	if (!boot_cpu_has(X86_FEATURE_MWAIT) || boot_cpu_has_bug(X86_BUG_MONITOR) ||
	    !boot_cpu_has(X86_FEATURE_ARAT))
		exits &= ~KVM_X86_DISABLE_EXITS_MWAIT;
	return exits;
}

/**
 * mhv_check_extension() - KVM_CHECK_EXTENSION
 * @vm: the VM whose fd was asked, or NULL for the device's
 * @cap: KVM_CAP_*
 *
 * Return: what the capability is worth; 0 for one that there is not.
 */
int mhv_check_extension(struct mhv_vm *vm, long cap)
{
	size_t i;

	switch (cap) {
	case KVM_CAP_NR_VCPUS:
		return min_t(unsigned int, num_online_cpus(), MHV_MAX_VCPUS);
	case KVM_CAP_STEAL_TIME:
		return sched_info_on();
	case KVM_CAP_X86_DISABLE_EXITS:
		return mhv_exits_to_disable();
	case KVM_CAP_TSC_CONTROL:
		return mhv_backend->caps.tsc_scaling;
	case KVM_CAP_VM_TSC_CONTROL:
		return mhv_backend->caps.tsc_scaling;
	}
	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].cap == cap)
			return caps[i].value;
	return 0;
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice mhv_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "minihv",
	.fops = &dev_fops,
	.mode = 0660,
};

static struct miscdevice kvm_dev = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &dev_fops,
	.mode = 0660,
};

static int register_devices(void)
{
	int r = misc_register(&mhv_dev);

	if (r || !kvm_minor)
		return r;
	r = misc_register(&kvm_dev);
	if (r) {
		pr_err("kvm_minor: device number (10, %d) is taken: is KVM loaded?\n", KVM_MINOR);
		misc_deregister(&mhv_dev);
	}
	return r;
}

/* ---- load and unload ---- */

static int choose_backend(void)
{
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		r = backends[i]->supported();
		if (!r) {
			mhv_backend = backends[i];
			return 0;
		}
		if (r != -ENODEV)
			return r;
	}
	pr_err("this CPU has no hardware virtualization that minihv knows\n");
	return -ENODEV;
}

static int __init register_hooks(void)
{
	int r = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "virt/minihv:online",
					  cpu_comes, cpu_goes);

	if (r < 0)
		return r;
	cpuhp_state = r;
	r = register_reboot_notifier(&mhv_reboot_notifier);
	if (r)
		goto cpuhp;
	r = mhv_emergency_init();
	if (r)
		goto reboot;
	register_syscore_ops(&mhv_syscore_ops);
	/*
	 * The static key behind preempt notifiers is flipped once, here, not
	 * with each VM: that would patch the scheduler's code again and again.
	 */
	preempt_notifier_inc();
	return 0;
reboot:
	unregister_reboot_notifier(&mhv_reboot_notifier);
cpuhp:
	cpuhp_remove_state_nocalls(cpuhp_state);
	return r;
}

static void unregister_hooks(void)
{
	preempt_notifier_dec();
	unregister_syscore_ops(&mhv_syscore_ops);
	mhv_emergency_exit();
	unregister_reboot_notifier(&mhv_reboot_notifier);
	cpuhp_remove_state_nocalls(cpuhp_state);
}

static int __init mhv_init(void)
{
	int r = choose_backend();

	if (r)
		return r;
	r = mhv_compat_init();
	if (r)
		return r;
	r = mhv_backend->setup();
	if (r)
		goto compat;
	mhv_run_setup();
	mhv_cpuid_setup();
	mhv_msr_setup();
	r = mhv_eventfd_module_init();
	if (r)
		goto backend;
	r = register_hooks();
	if (r)
		goto eventfd;
	mhv_debugfs_init();
	r = register_devices();
	if (r)
		goto hooks;
	pr_info("%s with nested paging%s\n", mhv_backend->name,
		mhv_backend->caps.tsc_scaling ? ", TSC scaling" : "");
	return 0;
hooks:
	mhv_debugfs_exit();
	unregister_hooks();
eventfd:
	mhv_eventfd_module_exit();
backend:
	mhv_backend->teardown();
compat:
	mhv_compat_exit();
	return r;
}

static void __exit mhv_exit(void)
{
	if (kvm_minor)
		misc_deregister(&kvm_dev);
	misc_deregister(&mhv_dev);
	mhv_debugfs_exit();
	unregister_hooks();
	mhv_eventfd_module_exit();
	mhv_backend->teardown();
	mhv_compat_exit();
}

module_init(mhv_init);
module_exit(mhv_exit);

MODULE_DESCRIPTION("A hypervisor that speaks KVM's ABI");
MODULE_LICENSE("GPL");
MODULE_ALIAS("devname:minihv");
