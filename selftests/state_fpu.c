// SPDX-License-Identifier: GPL-2.0
/*
 * state_fpu.c - the FPU: set by userspace and seen by the guest, changed by the guest and seen
 * by userspace, kept from run to run and apart from the host's own and other vCPUs'.
 * MXCSR is not part of it: KVM neither reads nor writes the field, KVM_SET_XSAVE has it.
 */
#include "guest.h"
#include "vm.h"

static void guest(void)
{
	u64 value[2], x87;
	u32 mxcsr;
	u16 fcw;

	guest_sync(0);
	asm volatile("movups %%xmm3, %0" : "=m" (value));
	GUEST_EXPECT_EQ(value[0], 0x1716151413121110);
	GUEST_EXPECT_EQ(value[1], 0x1f1e1d1c1b1a1918);
	asm volatile("movups %%xmm15, %0" : "=m" (value));
	GUEST_EXPECT_EQ(value[0], 0xf7f6f5f4f3f2f1f0);
	asm volatile("stmxcsr %0" : "=m" (mxcsr));
	GUEST_EXPECT_EQ(mxcsr, 0x1f80);
	asm volatile("fnstcw %0" : "=m" (fcw));
	GUEST_EXPECT_EQ(fcw, 0x27f);
	guest_sync(1);

	value[0] = 0x0123456789abcdef;
	value[1] = 0xfedcba9876543210;
	mxcsr = 0x1f80;
	x87 = 77;
	asm volatile("movups %0, %%xmm7\n ldmxcsr %1\n fninit\n fildll %2"
		     : : "m" (value), "m" (mxcsr), "m" (x87));
	guest_sync(2);
	asm volatile("movups %%xmm7, %0\n fistpll %1" : "=m" (value), "=m" (x87));
	GUEST_EXPECT_EQ(value[0], 0x0123456789abcdef);
	GUEST_EXPECT_EQ(x87, 77);
	guest_done();
}

static void fill(struct kvm_fpu *fpu)
{
	memset(fpu, 0, sizeof(*fpu));
	for (size_t i = 0; i < sizeof(fpu->xmm); i++)
		((u8 *)fpu->xmm)[i] = i < 0x40 ? i - 0x20 : i;
	fpu->fcw = 0x27f;
	fpu->ftwx = 0xff;
	fpu->fpr[0][0] = 0x55;
}

TEST(set_run_get)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_fpu in, out;

	run_sync(vcpu);
	fill(&in);
	xioctl(vcpu->fd, KVM_SET_FPU, &in);
	xioctl(vcpu->fd, KVM_GET_FPU, &out);
	EXPECT_EQ(memcmp(&in.xmm, &out.xmm, sizeof(in.xmm)), 0);
	EXPECT_EQ(out.fcw, in.fcw);
	EXPECT_EQ(out.ftwx, in.ftwx);
	EXPECT_EQ(memcmp(&in.fpr, &out.fpr, sizeof(in.fpr)), 0);

	EXPECT_EQ(run_sync(vcpu), 1);
	/* The host's XMM7 in between is no concern of the guest's. */
	EXPECT_EQ(run_sync(vcpu), 2);
	asm volatile("pcmpeqd %%xmm7, %%xmm7\n fninit" : : : "memory");
	xioctl(vcpu->fd, KVM_GET_FPU, &out);
	EXPECT_EQ(*(u64 *)&out.xmm[7][0], 0x0123456789abcdef);
	EXPECT_EQ(*(u64 *)&out.xmm[7][8], 0xfedcba9876543210);
	EXPECT_EQ(out.fcw, 0x37f);
	EXPECT_EQ(out.ftwx, 0x80);
	EXPECT_EQ(out.fpr[0][7], 0x9a);		/* 77.0 = 0x9a << 56, exponent 0x4005 */
	EXPECT_EQ(out.fpr[0][8] | out.fpr[0][9] << 8, 0x4005);
	run_done(vcpu);
}

TEST(initial_state)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_fpu fpu;

	xioctl(vcpu->fd, KVM_GET_FPU, &fpu);
	EXPECT_EQ(fpu.fcw, 0x37f);
	EXPECT_EQ(fpu.fsw, 0);
	EXPECT_EQ(fpu.ftwx, 0);
	for (size_t i = 0; i < sizeof(fpu.xmm); i++)
		EXPECT_EQ(((u8 *)fpu.xmm)[i], 0);
}

static void first_guest(void)
{
	u64 value[2];

	asm volatile("movups %%xmm3, %0" : "=m" (value));
	GUEST_EXPECT_EQ(value[0], 0x1716151413121110);
	GUEST_EXPECT_EQ(value[1], 0x1f1e1d1c1b1a1918);
	guest_done();
}

/* What is set before the vCPU has ever run is no initial state. */
TEST(set_before_the_first_run)
{
	struct vcpu *vcpu = guest_new(first_guest);
	struct kvm_fpu fpu;

	if (!on_minihv())
		test_skip("KVM loses it, with XSAVE");
	fill(&fpu);
	xioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	run_done(vcpu);
}

static void spin_guest(void)
{
	u64 tag, seen;

	asm volatile("movq %%xmm1, %0" : "=r" (tag));
	for (int i = 0; i < 20; i++) {
		asm volatile("movq %%xmm1, %0" : "=r" (seen));
		GUEST_EXPECT_EQ(seen, tag);
		tag += 0x100;
		asm volatile("movq %0, %%xmm1" : : "r" (tag));
		guest_sync(tag);
	}
	guest_done();
}

/* Two vCPUs and the host take turns on one CPU. */
TEST(kept_apart)
{
	struct vcpu *a = guest_new(spin_guest), *b = vcpu_new(a->vm, 1);
	struct kvm_fpu fpu;

	vcpu_cpuid(b);
	vcpu_long(b, spin_guest, 0);
	for (int i = 1; i <= 20; i++) {
		u64 host = 0xeeee;

		asm volatile("movq %0, %%xmm1" : : "r" (host));
		EXPECT_EQ(run_sync(a), 0x100 * i);
		EXPECT_EQ(run_sync(b), 0x100 * i);
		asm volatile("movq %%xmm1, %0" : "=r" (host));
		EXPECT_EQ(host, 0xeeee);
	}
	xioctl(a->fd, KVM_GET_FPU, &fpu);
	EXPECT_EQ(*(u64 *)&fpu.xmm[1], 0x1400);
	run_done(a);
	run_done(b);
}
