// SPDX-License-Identifier: GPL-2.0
/*
 * xsetbv.c - XSETBV by the guest: XCR0's rules, and CPUID leaf 0xd that follows it.
 */
#include "guest.h"
#include "vm.h"

#define XFEATURE_YMM	4

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

static u64 xsetbv_try(u32 index, u64 value)
{
	u64 a = (u32)value, c = index, d = value >> 32;

	GUEST_TRY("xsetbv", a, c, d);
	return guest_fault.vector;
}

/*
 * A CPU model that does not intercept XSETBV (QEMU 7.2's) lets the guest turn on what its CPUID
 * lacks, and the hypervisor, which has not seen it, puts the old XCR0 back after the next exit.
 */
static void unseen_guest(void)
{
	u64 cr4, vector, at_once;

	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_OSXSAVE));
	guest_sync(0);
	vector = xsetbv_try(0, 7);
	at_once = xgetbv();
	guest_sync(vector == 256 && at_once == 7);
	guest_sync(xgetbv());
}

static void need_xsetbv_intercept(void)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_cpuid2 *cpuid = supported_cpuid();

	cpuid_entry(cpuid, 0xd, 0)->eax = 3;
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	vcpu_long(vcpu, unseen_guest, 0);
	run_sync(vcpu);
	if (run_sync(vcpu) == 1 && run_sync(vcpu) == 1)
		test_skip("the CPU does not intercept XSETBV");
}

static void xsetbv_guest(void)
{
	u64 a = 0, c = 0, d = 0, cr4;

	GUEST_TRY("xgetbv", a, c, d);		/* no CR4.OSXSAVE yet */
	GUEST_EXPECT_EQ(guest_fault.vector, 6);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 0);
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_OSXSAVE));
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 1);
	GUEST_EXPECT_EQ(xgetbv(), 1);
	GUEST_EXPECT_EQ(guest_cpuid(0xd, 0).b, 576);
	GUEST_EXPECT_EQ(xsetbv_try(0, 7), 256);
	GUEST_EXPECT_EQ(xgetbv(), 7);
	GUEST_EXPECT_EQ(guest_cpuid(0xd, 0).b, 832);
	GUEST_EXPECT_EQ(xsetbv_try(0, 0), 13);		/* x87 must be on */
	GUEST_EXPECT_EQ(xsetbv_try(0, 5), 13);		/* YMM without SSE */
	GUEST_EXPECT_EQ(xsetbv_try(0, BIT(62) | 7), 13);
	GUEST_EXPECT_EQ(xsetbv_try(1, 7), 13);
	GUEST_EXPECT_EQ(xgetbv(), 7);
	guest_sync(1);
	guest_done();
}

TEST(xsetbv_by_the_guest)
{
	struct kvm_xcrs xcrs = { 0 };
	struct vcpu *vcpu;

	need_avx();
	need_xsetbv_intercept();
	vcpu = guest_new(xsetbv_guest);
	EXPECT_EQ(run_sync(vcpu), 1);
	xioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(xcrs.nr_xcrs, 1);
	EXPECT_EQ(xcrs.xcrs[0].xcr, 0);
	EXPECT_EQ(xcrs.xcrs[0].value, 7);
	run_done(vcpu);
}

GUEST_ASM(user_code, 64, "xor %ecx, %ecx\n xor %edx, %edx\n mov $7, %eax\n xsetbv\n ud2");
#define USER_VA	0x8000000000ULL

static void on_fault(struct isr_frame *frame)
{
	guest_sync(frame->vector);
	guest_done();
}

static void user_guest(void)
{
	u64 cr4;

	isr_table[6] = on_fault;
	isr_table[13] = on_fault;
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_OSXSAVE));
	asm volatile("push %0\n push %1\n push $2\n push %2\n push %3\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_VA + 0x1000), "r" ((u64)GUEST_UCS64),
			 "r" (USER_VA));
}

TEST(not_in_ring3)
{
	struct kvm_xcrs xcrs = { 0 };
	struct vcpu *vcpu;

	need_avx();
	vcpu = guest_new(user_guest);
	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_code);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	EXPECT_EQ(run_sync(vcpu), 13);
	xioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(xcrs.xcrs[0].value, 1);
}
