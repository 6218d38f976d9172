// SPDX-License-Identifier: GPL-2.0
/*
 * The hypervisor's device: opening it, checking its capabilities, making a VM on it.
 * Entered from machine_create(), and for single ioctls from everywhere.
 * No locks.
 * KVM API documentation: "General description", "System ioctls", "VM ioctls".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm.h"
#include "machine.h"

/* What the code relies on without a second way. */
static const struct {
	int cap;
	const char *name;
} required[] = {
#define CAP(x) { KVM_CAP_##x, "KVM_CAP_" #x }
	CAP(USER_MEMORY),
	CAP(SET_TSS_ADDR),
	CAP(EXT_CPUID),
	CAP(IRQCHIP),
	CAP(PIT2),
	CAP(IRQ_ROUTING),
	CAP(IRQFD),
	CAP(IOEVENTFD),
	CAP(SIGNAL_MSI),
	CAP(IMMEDIATE_EXIT),
#undef CAP
};

int kvm_ioctl(int fd, unsigned long cmd, unsigned long arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

int kvm_ioctl_or_die(int fd, unsigned long cmd, unsigned long arg, const char *name)
{
	int ret = kvm_ioctl(fd, cmd, arg);

	if (ret < 0)
		die("%s failed: %s", name, strerror(-ret));
	return ret;
}

static void check_device(struct machine *m)
{
	unsigned int i;
	int ret;

	ret = kvm_try(m->sys_fd, KVM_GET_API_VERSION, 0);
	if (ret < 0)
		die("--device %s: not a hypervisor: %s", m->cfg.device, strerror(-ret));
	if (ret != KVM_API_VERSION)
		die("--device %s: API version %d, not %d", m->cfg.device, ret, KVM_API_VERSION);
	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		if (kvm_try(m->sys_fd, KVM_CHECK_EXTENSION, required[i].cap) <= 0)
			die("--device %s: lacks %s", m->cfg.device, required[i].name);
	}
	ret = kvm_try(m->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (ret > 0 && (unsigned int)ret < m->cfg.cpus)
		die("--cpus %u: %s has at most %d", m->cfg.cpus, m->cfg.device, ret);
}

static void create_vm(struct machine *m)
{
	int ret;

	do {
		ret = kvm_try(m->sys_fd, KVM_CREATE_VM, 0);
	} while (ret == -EINTR);
	if (ret == -EBUSY)
		die("--device %s: another hypervisor holds the processor's virtualization",
		    m->cfg.device);
	if (ret < 0)
		die("--device %s: KVM_CREATE_VM failed: %s", m->cfg.device, strerror(-ret));
	m->vm_fd = ret;
}

void kvm_create(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t idmap = KVM_IDMAP_BASE;

	m->sys_fd = open(m->cfg.device, O_RDWR | O_CLOEXEC);
	if (m->sys_fd < 0)
		die("--device %s: %s", m->cfg.device, strerror(errno));
	check_device(m);
	create_vm(m);
	m->run_size = kvm_must(m->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (m->run_size < sizeof(struct kvm_run))
		die("--device %s: its kvm_run is too small", m->cfg.device);

	kvm_must(m->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_BASE);
	if (kvm_try(m->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
		kvm_must(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &idmap);
	kvm_must(m->vm_fd, KVM_CREATE_IRQCHIP, 0);
	kvm_must(m->vm_fd, KVM_CREATE_PIT2, &pit);
}
