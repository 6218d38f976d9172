// SPDX-License-Identifier: GPL-2.0
/*
 * Counters under debugfs: minihv/<pid>-<vm>/vm and .../vcpu<id>, a line each.
 * Entered from the creation and destruction of VMs and vCPUs.
 * No locks: each counter is written by the vCPU's thread alone, read racily.
 */
#include <linux/debugfs.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "minihv.h"

static struct dentry *root;

static int vcpu_show(struct seq_file *m, void *unused)
{
	struct mhv_vcpu *vcpu = m->private;
	unsigned int i;

	for (i = 0; i < MHV_NR_COUNTERS; i++)
		seq_printf(m, "%s %llu\n", mhv_counters[i].name, mhv_counter(vcpu, i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpu);

/* The VM's own, then the sums over its vCPUs. */
static int vm_show(struct seq_file *m, void *unused)
{
	struct mhv_vm *vm = m->private;
	struct mhv_vcpu *vcpu;
	unsigned long n;
	unsigned int i;
	u64 sum;

	seq_printf(m, "vcpus %u\nmmu_pages %ld\n", READ_ONCE(vm->nr_vcpus),
		   atomic_long_read(&vm->mmu.pages));
	for (i = 0; i < MHV_NR_COUNTERS; i++) {
		sum = 0;
		mhv_for_each_vcpu(n, vcpu, vm)
			sum += mhv_counter(vcpu, i);
		seq_printf(m, "%s %llu\n", mhv_counters[i].name, sum);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vm);

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
	debugfs_create_file("vm", 0444, vm->debugfs, vm, &vm_fops);
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
 * mhv_debugfs_vcpu() - make a vCPU's file
 * @vcpu: the vCPU
 *
 * One file, not one a counter: each costs more than the rest of the vCPU.
 */
void mhv_debugfs_vcpu(struct mhv_vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	debugfs_create_file(name, 0444, vcpu->vm->debugfs, vcpu, &vcpu_fops);
}
