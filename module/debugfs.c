// SPDX-License-Identifier: GPL-2.0
/*
 * Counters under debugfs: minihv/<pid>-<vm>/vcpu<id>/<counter>.
 * Entered from the creation and destruction of VMs and vCPUs.
 * No locks: each counter is written by the vCPU's thread alone, read racily.
 */
#include <linux/debugfs.h>
#include <linux/sched.h>

#include "minihv.h"

static struct dentry *root;

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define COUNTER(name) { #name, offsetof(struct mhv_vcpu, stat.name) }
	COUNTER(exits), COUNTER(io_exits), COUNTER(mmio_exits), COUNTER(irq_exits),
	COUNTER(nmi_exits), COUNTER(halt_exits), COUNTER(irq_injections),
	COUNTER(nmi_injections), COUNTER(exceptions), COUNTER(irq_window_exits),
	COUNTER(faults), COUNTER(emulations), COUNTER(signal_exits),
	COUNTER(hypercalls), COUNTER(user_exits), COUNTER(tlb_flushes),
#undef COUNTER
};

static int mmu_pages_get(void *data, u64 *val)
{
	*val = atomic_long_read(&((struct mhv_vm *)data)->mmu.pages);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(mmu_pages_fops, mmu_pages_get, NULL, "%llu\n");

/**
 * mhv_debugfs_init() - make the directory of all VMs
 */
void mhv_debugfs_init(void)
{
	root = debugfs_create_dir("minihv", NULL);
}

/**
 * mhv_debugfs_exit() - remove it
 */
void mhv_debugfs_exit(void)
{
	debugfs_remove_recursive(root);
}

/**
 * mhv_debugfs_vm() - make a VM's directory
 * @vm: the VM
 */
void mhv_debugfs_vm(struct mhv_vm *vm)
{
	char name[32];

	snprintf(name, sizeof(name), "%d-%u", task_pid_nr(current), vm->vm_id);
	vm->debugfs = debugfs_create_dir(name, root);
	debugfs_create_file("mmu_pages", 0444, vm->debugfs, vm, &mmu_pages_fops);
}

/**
 * mhv_debugfs_vm_remove() - remove it and all its vCPUs'
 * @vm: the VM, about to be freed
 */
void mhv_debugfs_vm_remove(struct mhv_vm *vm)
{
	debugfs_remove_recursive(vm->debugfs);
}

/**
 * mhv_debugfs_vcpu() - make a vCPU's directory with its counters
 * @vcpu: the vCPU
 */
void mhv_debugfs_vcpu(struct mhv_vcpu *vcpu)
{
	char name[16];
	size_t i;

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	vcpu->debugfs = debugfs_create_dir(name, vcpu->vm->debugfs);
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		debugfs_create_u64(counters[i].name, 0444, vcpu->debugfs,
				   (void *)vcpu + counters[i].offset);
}
