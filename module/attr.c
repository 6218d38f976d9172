// SPDX-License-Identifier: GPL-2.0
/*
 * Attributes: small values that the device and a vCPU have, each by a group and a number.
 * Entered from KVM_HAS/GET/SET_DEVICE_ATTR.
 * vcpu->mutex for a vCPU's.
 * Linux, Documentation/virt/kvm/devices/vcpu.rst, and api.rst: KVM_GET_DEVICE_ATTR.
 */
#include <linux/uaccess.h>

#include "minihv.h"

static u64 __user *attr_user(const struct kvm_device_attr *attr)
{
	return (u64 __user *)(unsigned long)attr->addr;
}

/**
 * mhv_dev_attr() - KVM_HAS_DEVICE_ATTR and KVM_GET_DEVICE_ATTR of the device
 * @attr: KVM_X86_XCOMP_GUEST_SUPP, of group 0: the bits of XCR0 that guests can have
 * @get: not only ask whether there is such an attribute
 *
 * Return: 0; -ENXIO if there is not; -EFAULT.
 */
int mhv_dev_attr(const struct kvm_device_attr *attr, bool get)
{
	if (attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	return get ? put_user(mhv_host_xcr0(), attr_user(attr)) : 0;
}

/**
 * mhv_vcpu_attr() - KVM_HAS, GET and SET_DEVICE_ATTR of a vCPU
 * @vcpu: the vCPU, loaded
 * @attr: KVM_VCPU_TSC_OFFSET: what is added to the host's TSC
 * @cmd: the ioctl
 *
 * Context: vcpu->mutex held; may sleep.
 * Return: 0; -ENXIO if there is no such attribute; -EFAULT.
 */
int mhv_vcpu_attr(struct mhv_vcpu *vcpu, const struct kvm_device_attr *attr, unsigned int cmd)
{
	u64 offset;

	if (attr->group != KVM_VCPU_TSC_CTRL || attr->attr != KVM_VCPU_TSC_OFFSET)
		return -ENXIO;
	switch (cmd) {
	case KVM_GET_DEVICE_ATTR:
		mhv_state_need(vcpu, MHV_G_TSC);
		return put_user(vcpu->state.tsc_offset, attr_user(attr));
	case KVM_SET_DEVICE_ATTR:
		if (get_user(offset, attr_user(attr)))
			return -EFAULT;
		mhv_tsc_set_offset(vcpu, offset);
		return 0;
	}
	return 0;
}
