// SPDX-License-Identifier: GPL-2.0
/*
 * Counters as a file: KVM_GET_STATS_FD of a VM and of a vCPU, and the names of the counters.
 * Entered from the ioctls, and from reads of the file by whoever has it.
 * No locks: each counter is written by one thread, and read racily.
 * Linux, Documentation/virt/kvm/api.rst: KVM_GET_STATS_FD.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "minihv.h"

/* Bytes of a name, and of the string that says whose counters they are. */
#define NAME_SIZE	48

#define COUNT	(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define NOW	(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)

/* In the order of enum mhv_vm_counter. */
static const struct {
	const char *name;
	u32 flags;
} vm_counters[] = {
	{ "vcpus",		NOW },
	{ "mmu_pages",		NOW },
	{ "remote_tlb_flush",	COUNT },
};

const struct mhv_counter mhv_counters[MHV_NR_COUNTERS] = {
#define COUNTER(name) { #name, offsetof(struct mhv_vcpu_stat, name) }
	COUNTER(exits), COUNTER(io_exits), COUNTER(mmio_exits), COUNTER(irq_exits),
	COUNTER(nmi_exits), COUNTER(halt_exits), COUNTER(irq_injections),
	COUNTER(nmi_injections), COUNTER(exceptions), COUNTER(irq_window_exits),
	COUNTER(faults), COUNTER(emulations), COUNTER(signal_exits),
	COUNTER(hypercalls), COUNTER(user_exits), COUNTER(tlb_flushes),
#undef COUNTER
};

/* struct kvm_stats_desc with its name, of which the kernel's own has none, or from 6.5 on some. */
struct stats_desc {
	__u32 flags;
	__s16 exponent;
	__u16 size;
	__u32 offset;
	__u32 bucket_size;
	char name[NAME_SIZE];
};

/**
 * struct stats_file - what a descriptor of counters is about
 * @vm: the VM, with a reference
 * @vcpu: the vCPU, or NULL: the VM's own counters
 * @id: says so
 */
struct stats_file {
	struct mhv_vm *vm;
	struct mhv_vcpu *vcpu;
	char id[NAME_SIZE];
};

static unsigned int nr_counters(const struct stats_file *sf)
{
	return sf->vcpu ? MHV_NR_COUNTERS : ARRAY_SIZE(vm_counters);
}

static void fill_values(const struct stats_file *sf, u64 *value)
{
	unsigned int i;

	if (!sf->vcpu) {
		value[0] = READ_ONCE(sf->vm->nr_vcpus);
		value[1] = atomic_long_read(&sf->vm->mmu.pages);
		value[2] = atomic64_read(&sf->vm->tlb_gen);
		return;
	}
	for (i = 0; i < MHV_NR_COUNTERS; i++)
		value[i] = mhv_counter(sf->vcpu, i);
}

/* Header, id, descriptors, values: one after the other. */
static void fill(const struct stats_file *sf, void *buf)
{
	struct kvm_stats_header *head = buf;
	unsigned int i, nr = nr_counters(sf);
	struct stats_desc *desc;

	head->name_size = NAME_SIZE;
	head->num_desc = nr;
	head->id_offset = sizeof(*head);
	head->desc_offset = head->id_offset + NAME_SIZE;
	head->data_offset = head->desc_offset + nr * sizeof(*desc);
	memcpy(buf + head->id_offset, sf->id, NAME_SIZE);
	desc = buf + head->desc_offset;
	for (i = 0; i < nr; i++, desc++) {
		desc->flags = sf->vcpu ? COUNT : vm_counters[i].flags;
		desc->size = 1;
		desc->offset = i * sizeof(u64);
		strscpy(desc->name, sf->vcpu ? mhv_counters[i].name : vm_counters[i].name,
			NAME_SIZE);
	}
	fill_values(sf, (u64 *)desc);
}

static ssize_t stats_read(struct file *file, char __user *user, size_t n, loff_t *pos)
{
	const struct stats_file *sf = file->private_data;
	size_t size = sizeof(struct kvm_stats_header) + NAME_SIZE +
		      nr_counters(sf) * (sizeof(struct stats_desc) + sizeof(u64));
	void *buf = kzalloc(size, GFP_KERNEL);
	ssize_t r;

	if (!buf)
		return -ENOMEM;
	fill(sf, buf);
	r = simple_read_from_buffer(user, n, pos, buf, size);
	kfree(buf);
	return r;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *sf = file->private_data;

	mhv_vm_put(sf->vm);
	kfree(sf);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

/**
 * mhv_stats_fd() - KVM_GET_STATS_FD
 * @vm: the VM
 * @vcpu: one of its vCPUs, or NULL for what is the VM's own
 *
 * The file can be read by whoever has it, also once the VM is dead.
 *
 * Context: process, may sleep.
 * Return: an fd; -ENOMEM, -EMFILE.
 */
long mhv_stats_fd(struct mhv_vm *vm, struct mhv_vcpu *vcpu)
{
	struct stats_file *sf = kzalloc(sizeof(*sf), GFP_KERNEL_ACCOUNT);
	int fd = get_unused_fd_flags(O_CLOEXEC);
	char name[32] = "kvm-vm-stats";
	struct file *file;

	if (!sf || fd < 0)
		goto free;
	sf->vm = vm;
	sf->vcpu = vcpu;
	snprintf(sf->id, sizeof(sf->id), "kvm-%d", task_tgid_nr(current));
	if (vcpu) {
		snprintf(sf->id, sizeof(sf->id), "kvm-%d/vcpu-%u", task_tgid_nr(current),
			 vcpu->id);
		snprintf(name, sizeof(name), "kvm-vcpu-stats:%u", vcpu->id);
	}
	file = anon_inode_getfile(name, &stats_fops, sf, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		kfree(sf);
		return PTR_ERR(file);
	}
	mhv_vm_get(vm);		/* the file's */
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
free:
	if (fd >= 0)
		put_unused_fd(fd);
	kfree(sf);
	return fd < 0 ? fd : -ENOMEM;
}
