// SPDX-License-Identifier: GPL-2.0
/*
 * irqchip_order.c - when irqchip and PIT may be created, and which ioctls need them.
 */
#include "vm.h"

static int create_pit2(struct vm *vm)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return ioctl(vm->fd, KVM_CREATE_PIT2, &config);
}

TEST(irqchip)
{
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQCHIP);
	vm = vm_bare();
	EXPECT_RET(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	/* After a vCPU it is too late. */
	vm = vm_bare();
	vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EINVAL);
}

TEST(pit)
{
	struct vm *vm;

	NEED_CAP(KVM_CAP_PIT2);
	vm = vm_new_irqchip();
	EXPECT_RET(create_pit2(vm), 0);
	EXPECT_ERRNO(create_pit2(vm), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_PIT, 0), EEXIST);
}

TEST(without_irqchip)
{
	struct vm *vm = vm_bare();
	struct kvm_irq_level level = { .irq = 3, .level = 1 };
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };
	struct kvm_irqfd irqfd = { .fd = 0, .gsi = 3 };
	struct kvm_pit_state2 pit;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routing = { .head.nr = 0 };

	NEED_CAP(KVM_CAP_IRQCHIP);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQ_LINE, &level), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_IRQFD, &irqfd), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routing), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_PIT, (void *)1), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_PIT2, &pit), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_PIT2, &pit), ENXIO);
}

/* KVM before 6.11 lets the vCPU to boot have an id that none may have. */
TEST(boot_cpu_id_bound)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { 3 } };
	struct vm *vm;

	NEED_CAP(KVM_CAP_SET_BOOT_CPU_ID);
	vm = vm_bare();
	EXPECT_RET(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 4L), 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap.args[0] = 4;
	EXPECT_RET(ioctl(vm->fd, KVM_ENABLE_CAP, &cap), 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 5L), EINVAL);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1L), 0);
}

TEST(boot_cpu_id)
{
	struct vm *vm;
	struct vcpu *a, *b;
	struct kvm_sregs sregs;

	NEED_CAP(KVM_CAP_SET_BOOT_CPU_ID);
	vm = vm_new_irqchip();
	EXPECT_RET(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1L), 0);
	a = vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 0L), EBUSY);
	b = vcpu_new(vm, 1);
	vcpu_get_sregs(a, &sregs);
	EXPECT_EQ(sregs.apic_base, 0xfee00800);
	vcpu_get_sregs(b, &sregs);
	EXPECT_EQ(sregs.apic_base, 0xfee00900);
}

TEST(identity_map_and_tss)
{
	struct vm *vm = vm_bare();
	u64 address = 0xfffbc000;

	EXPECT_RET(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000L), 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xffffffffL), EINVAL);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &address), 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, 8), EFAULT);
	vcpu_new(vm, 0);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &address), EINVAL);
	/* It is too late, whatever is at the address. */
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, 8), EINVAL);
}
