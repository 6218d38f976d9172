// SPDX-License-Identifier: GPL-2.0
/*
 * misc_ioctls.c - small ioctls that clients make: ENABLE_CAP, VAPIC_ADDR, TPR reports, MMU
 * pages, REINJECT_CONTROL, TRANSLATE, X86_SETUP_MCE, each with its errors.
 */
#include "guest.h"
#include "vm.h"

static void guest(void)
{
	guest_done();
}

TEST(enable_cap)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_enable_cap cap = { .cap = 100000 };

	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap.cap = KVM_CAP_SPLIT_IRQCHIP;
	cap.flags = 1;
	EXPECT_ERRNO(ioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap), EINVAL);
}

TEST(vapic_addr)
{
	struct vcpu *vcpu = guest_new_irqchip(guest), *plain = guest_new(guest);
	struct kvm_vapic_addr addr = { .vapic_addr = 0 };

	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_VAPIC_ADDR, &addr), 0);
	EXPECT_ERRNO(ioctl(plain->fd, KVM_SET_VAPIC_ADDR, &addr), EINVAL);
	run_done(vcpu);
}

TEST(mmu_pages)
{
	struct vm *vm = vm_new();

	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 63L), EINVAL);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 64L), 0);
	EXPECT_RET(ioctl(vm->fd, KVM_SET_NR_MMU_PAGES, 1000L), 0);
}

TEST(reinject_control)
{
	struct kvm_reinject_control control = { .pit_reinject = 0 };
	struct kvm_pit_config config = { 0 };
	struct vm *vm;

	NEED_CAP(KVM_CAP_REINJECT_CONTROL);
	vm = vm_new_irqchip();
	EXPECT_ERRNO(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control), ENXIO);
	xioctl(vm->fd, KVM_CREATE_PIT2, &config);
	EXPECT_RET(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control), 0);
	control.pit_reinject = 1;
	EXPECT_RET(ioctl(vm->fd, KVM_REINJECT_CONTROL, &control), 0);
}

TEST(translate)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_translation t = { .linear_address = 0x8000000123 };

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0 && errno == EINVAL)
		test_skip("no KVM_TRANSLATE");
	EXPECT_EQ(t.valid, 0);
	vm_map(vcpu->vm, 0x8000000000, GUEST_FREE, PTE_P | PTE_W);
	ASSERT_RET(ioctl(vcpu->fd, KVM_TRANSLATE, &t), 0);
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, GUEST_FREE + 0x123);
	/* It is a walk like any other. */
	EXPECT_EQ(*vm_pte(vcpu->vm, 0x8000000000), GUEST_FREE | PTE_P | PTE_W | BIT(5));
}

/* Without paging the answer is the question, even where the CPU would take 32 bits of it. */
TEST(translate_unpaged)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_translation t = { .linear_address = 0x8781b64dd83b0bcf };

	ASSERT_RET(ioctl(vcpu->fd, KVM_TRANSLATE, &t), 0);
	EXPECT_EQ(t.valid, 1);
	EXPECT_EQ(t.physical_address, 0x8781b64dd83b0bcf);
}

TEST(machine_check_banks)
{
	struct vcpu *vcpu = guest_new(guest);
	u64 supported, cap;

	NEED_CAP(KVM_CAP_MCE);
	EXPECT_GE(dev_cap(KVM_CAP_MCE), 10);
	xioctl(vcpu->vm->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported);
	cap = (supported & 0x100) | 10;
	EXPECT_RET(ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap), 0);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x179), cap);
	cap = 255;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap), EINVAL);
}
