// SPDX-License-Identifier: GPL-2.0
/*
 * attributes.c - KVM_HAS/GET/SET_DEVICE_ATTR of the device and of a vCPU: XCR0, the TSC's offset;
 * and the TSC's frequency of a whole VM.
 */
#include <asm/kvm.h>

#include "guest.h"
#include "vm.h"

static int attr(int fd, unsigned long cmd, u32 group, u64 number, void *value)
{
	struct kvm_device_attr attr = {
		.group = group, .attr = number, .addr = (uintptr_t)value,
	};

	return ioctl(fd, cmd, &attr);
}

TEST(of_the_device)
{
	int fd = dev_open();
	struct kvm_cpuid_entry2 *e;
	u64 xcr0 = 0;

	NEED_CAP(KVM_CAP_SYS_ATTRIBUTES);
	EXPECT_RET(attr(fd, KVM_HAS_DEVICE_ATTR, 0, KVM_X86_XCOMP_GUEST_SUPP, NULL), 0);
	EXPECT_RET(attr(fd, KVM_GET_DEVICE_ATTR, 0, KVM_X86_XCOMP_GUEST_SUPP, &xcr0), 0);
	e = cpuid_entry(supported_cpuid(), 0xd, 0);
	if (e)
		EXPECT_EQ(xcr0, e->eax | (u64)e->edx << 32);
	EXPECT_ERRNO(attr(fd, KVM_HAS_DEVICE_ATTR, 1, 0, NULL), ENXIO);
	EXPECT_ERRNO(attr(fd, KVM_HAS_DEVICE_ATTR, 0, 1, NULL), ENXIO);
	EXPECT_ERRNO(attr(fd, KVM_GET_DEVICE_ATTR, 0, 1, &xcr0), ENXIO);
	EXPECT_ERRNO(attr(fd, KVM_GET_DEVICE_ATTR, 0, 0, (void *)8), EFAULT);
	EXPECT_ERRNO(attr(fd, KVM_SET_DEVICE_ATTR, 0, 0, &xcr0), EINVAL);
}

static void guest(void)
{
	for (;;)
		guest_sync(rdtsc());
}

/* vCPU 1 is restored half a second after vCPU 0, with what that had then: both have one offset. */
TEST(tsc_offset_and_a_write)
{
	u64 offset = 1ULL << 50, tsc, other = 0, tick = 0;
	struct vm *vm;

	NEED_CAP(KVM_CAP_VCPU_ATTRIBUTES);
	if (!on_minihv())
		test_skip("KVM moves offsets where the host's TSC is not stable");
	/* The host may be busy for once. */
	for (int i = 0; i < 3; i++) {
		vm = vm_new();
		vcpu_new(vm, 0);
		vcpu_new(vm, 1);
		tick = xioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0);
		ASSERT_RET(attr(vm->vcpu[0].fd, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL,
				KVM_VCPU_TSC_OFFSET, &offset), 0);
		tsc = rdtsc() + offset;
		usleep(500000);
		EXPECT_EQ(vcpu_set_msr(&vm->vcpu[1], 0x10, tsc), 1);
		ASSERT_RET(attr(vm->vcpu[1].fd, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL,
				KVM_VCPU_TSC_OFFSET, &other), 0);
		vm_free(vm);
		if (other - offset + tick * 250 < tick * 500)
			return;
	}
	EXPECT_GE(other, offset - tick * 250);
	EXPECT_LE(other, offset + tick * 250);
}

/* Where the host's TSC is not stable, KVM has the guest's stand still between runs. */
static int near(u64 a, u64 b)
{
	return a - b < 1ULL << 40 || b - a < 1ULL << 40;
}

TEST(tsc_offset)
{
	u64 offset = 0, moved, before, after;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VCPU_ATTRIBUTES);
	vcpu = guest_new(guest);
	EXPECT_RET(attr(vcpu->fd, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			NULL), 0);
	ASSERT_RET(attr(vcpu->fd, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			&offset), 0);
	before = run_sync(vcpu);
	moved = offset + (1ULL << 50);
	ASSERT_RET(attr(vcpu->fd, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			&moved), 0);
	after = run_sync(vcpu);
	EXPECT_TRUE(near(after - before, 1ULL << 50));
	ASSERT_RET(attr(vcpu->fd, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET,
			&offset), 0);
	EXPECT_TRUE(near(offset, moved));
	/* As the guest sees it, it is what the host's TSC and the offset make. */
	EXPECT_TRUE(near(run_sync(vcpu), rdtsc() + offset));
	EXPECT_ERRNO(attr(vcpu->fd, KVM_HAS_DEVICE_ATTR, 0, 1, NULL), ENXIO);
	EXPECT_ERRNO(attr(vcpu->fd, KVM_SET_DEVICE_ATTR, 9, 0, &offset), ENXIO);
	EXPECT_ERRNO(attr(vcpu->fd, KVM_SET_DEVICE_ATTR, 0, 0, (void *)8), EFAULT);
}

/* vCPUs that are made later have what the VM was told; those that there are keep theirs. */
TEST(tsc_khz_of_a_vm)
{
	struct vm *vm = vm_bare();
	int khz = xioctl(vm->fd, KVM_GET_TSC_KHZ, NULL);
	struct vcpu *vcpu = vcpu_new(vm, 0);

	EXPECT_TRUE(khz > 0);
	EXPECT_EQ(xioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL), khz);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_TSC_KHZ, (long)khz - 1), 0);
	EXPECT_EQ(xioctl(vm->fd, KVM_GET_TSC_KHZ, NULL), khz - 1);
	EXPECT_EQ(xioctl(vcpu->fd, KVM_GET_TSC_KHZ, NULL), khz);
	EXPECT_EQ(xioctl(vcpu_new(vm, 1)->fd, KVM_GET_TSC_KHZ, NULL), khz - 1);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_TSC_KHZ, 0L), 0);
	EXPECT_EQ(xioctl(vm->fd, KVM_GET_TSC_KHZ, NULL), khz);
}
