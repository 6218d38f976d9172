// SPDX-License-Identifier: GPL-2.0
/*
 * state_xsave.c - KVM_GET/SET_XSAVE and XCRS: AVX state both ways, and what is refused.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define XFEATURE_YMM	4
#define YMM_OFFSET	576		/* of the standard format */

static void need_avx(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0xd, 0);

	NEED_CAP(KVM_CAP_XSAVE);
	NEED_CAP(KVM_CAP_XCRS);
	if (!e || !(e->eax & XFEATURE_YMM))
		test_skip("no AVX state");
}

static u64 xgetbv(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a" (lo), "=d" (hi) : "c" (0));
	return lo | (u64)hi << 32;
}

static void avx_guest(void)
{
	u64 ymm[4];

	GUEST_EXPECT_EQ(xgetbv(), 7);
	GUEST_EXPECT_EQ(guest_cpuid(0xd, 0).b, 832);
	guest_sync(1);
	asm volatile("vmovdqu %%ymm2, %0" : "=m" (ymm));
	GUEST_EXPECT_EQ(ymm[0], 0x1111);
	GUEST_EXPECT_EQ(ymm[2], 0x2222);
	GUEST_EXPECT_EQ(ymm[3], 0x3333);
	ymm[0] = 0xaaaa;
	ymm[3] = 0xbbbb;
	asm volatile("vmovdqu %0, %%ymm5" : : "m" (ymm));
	guest_sync(2);
	guest_done();
}

TEST(avx_both_ways)
{
	struct vcpu *vcpu;
	struct kvm_xsave *area = aligned_alloc(64, sizeof(*area));
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	u8 *bytes = (u8 *)area;
	struct kvm_sregs sregs;

	need_avx();
	vcpu = guest_new(avx_guest);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= CR4_OSXSAVE;
	vcpu_set_sregs(vcpu, &sregs);
	xioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
	EXPECT_EQ(run_sync(vcpu), 1);
	xioctl(vcpu->fd, KVM_GET_XSAVE, area);
	*(u64 *)(bytes + 512) |= 7;
	*(u64 *)(bytes + 160 + 2 * 16) = 0x1111;
	*(u64 *)(bytes + YMM_OFFSET + 2 * 16) = 0x2222;
	*(u64 *)(bytes + YMM_OFFSET + 2 * 16 + 8) = 0x3333;
	xioctl(vcpu->fd, KVM_SET_XSAVE, area);
	EXPECT_EQ(run_sync(vcpu), 2);
	xioctl(vcpu->fd, KVM_GET_XSAVE, area);
	EXPECT_EQ(*(u64 *)(bytes + 512) & 6, 6);
	EXPECT_EQ(*(u64 *)(bytes + 160 + 5 * 16), 0xaaaa);
	EXPECT_EQ(*(u64 *)(bytes + YMM_OFFSET + 5 * 16), 0x2222);
	EXPECT_EQ(*(u64 *)(bytes + YMM_OFFSET + 5 * 16 + 8), 0xbbbb);
	/* The legacy part is what KVM_GET_FPU shows. */
	{
		struct kvm_fpu fpu;

		xioctl(vcpu->fd, KVM_GET_FPU, &fpu);
		EXPECT_EQ(memcmp(fpu.xmm, bytes + 160, sizeof(fpu.xmm)), 0);
	}
	run_done(vcpu);
}

TEST(xcr0_by_userspace)
{
	struct vcpu *vcpu;
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };

	need_avx();
	vcpu = vcpu_new(vm_new(), 0);
	vcpu_cpuid(vcpu);
	xioctl(vcpu->fd, KVM_SET_XCRS, &xcrs);
	xcrs.xcrs[0].value = 0;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.xcrs[0].value = 5;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.xcrs[0].value = BIT(63) | 7;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.xcrs[0].value = 3;
	xcrs.flags = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xcrs.flags = 0;
	xcrs.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), EINVAL);
	xioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(xcrs.xcrs[0].value, 7);
	/* An XCR that nobody knows is passed over. */
	xcrs.nr_xcrs = 1;
	xcrs.xcrs[0].xcr = 9;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs), 0);
}

TEST(xsave_refused)
{
	struct vcpu *vcpu;
	struct kvm_xsave *area = aligned_alloc(64, sizeof(*area));
	u8 *bytes = (u8 *)area;

	need_avx();
	vcpu = vcpu_new(vm_new(), 0);
	vcpu_cpuid(vcpu);
	xioctl(vcpu->fd, KVM_GET_XSAVE, area);
	*(u64 *)(bytes + 512) = 3;
	*(u32 *)(bytes + 24) = 0xffffffff;		/* MXCSR */
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XSAVE, area), EINVAL);
	*(u32 *)(bytes + 24) = 0x1f80;
	*(u64 *)(bytes + 512) = BIT(62);		/* a feature nobody has */
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_XSAVE, area), EINVAL);
	*(u64 *)(bytes + 512) = 3;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_XSAVE, area), 0);
	EXPECT_TRUE(dev_cap(KVM_CAP_XSAVE2) == 0 || dev_cap(KVM_CAP_XSAVE2) >= 4096);
}

/* What the guest's CPUID has not is not in its image, though the host's CPU keeps it. */
TEST(no_avx_for_the_guest)
{
	struct kvm_xsave *area = aligned_alloc(64, sizeof(*area));
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	u8 *bytes = (u8 *)area;
	struct vcpu *vcpu;

	need_avx();
	vcpu = vcpu_new(vm_new(), 0);
	cpuid_entry(cpuid, 0xd, 0)->eax = 3;
	cpuid_entry(cpuid, 0xd, 0)->edx = 0;
	cpuid_entry(cpuid, 1, 0)->ecx &= ~BIT(28);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	xioctl(vcpu->fd, KVM_GET_XSAVE, area);
	*(u64 *)(bytes + 512) = 7;
	*(u64 *)(bytes + 160) = 0x1111;
	*(u64 *)(bytes + YMM_OFFSET) = 0x2222;
	xioctl(vcpu->fd, KVM_SET_XSAVE, area);
	memset(area, 0xff, sizeof(*area));
	xioctl(vcpu->fd, KVM_GET_XSAVE, area);
	EXPECT_EQ(*(u64 *)(bytes + 512) & ~3ULL, 0);
	EXPECT_EQ(*(u64 *)(bytes + 160), 0x1111);
	EXPECT_EQ(*(u64 *)(bytes + YMM_OFFSET), 0);
}
