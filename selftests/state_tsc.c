// SPDX-License-Identifier: GPL-2.0
/*
 * state_tsc.c - the guest's TSC: it counts as the host's does, offset by writes of either side;
 * TSC_ADJUST, TSC_KHZ, TSC_AUX.
 */
#include "guest.h"
#include "vm.h"

static void guest(void)
{
	u64 a = rdtsc(), b = rdmsr(MSR_TSC), c = rdtsc();

	GUEST_EXPECT(a < b && b < c);
	guest_sync(a);

	/* The guest's write moves TSC and TSC_ADJUST alike. */
	GUEST_EXPECT_EQ(rdmsr(MSR_TSC_ADJUST), 0);
	wrmsr(MSR_TSC, 1ULL << 50);
	b = rdtsc();
	GUEST_EXPECT(b >= 1ULL << 50 && b < (1ULL << 50) + (1ULL << 40));
	a = rdmsr(MSR_TSC_ADJUST);
	GUEST_EXPECT(a > 1ULL << 49 && a <= 1ULL << 50);
	guest_sync(b);

	/* And a write to TSC_ADJUST moves TSC by the difference. */
	a = rdmsr(MSR_TSC_ADJUST);
	wrmsr(MSR_TSC_ADJUST, a + (1ULL << 52));
	c = rdtsc();
	GUEST_EXPECT(c - b >= 1ULL << 52 && c - b < (1ULL << 52) + (1ULL << 40));
	guest_sync(c);
	guest_sync(rdtsc());
	guest_done();
}

static void need_tsc_adjust(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 7, 0);

	if (!e || !(e->ebx & 2))
		test_skip("no TSC_ADJUST");
}

#define NEAR (1ULL << 40)	/* minutes, at any clock */

TEST(writes_of_both_sides)
{
	struct vcpu *vcpu;
	u64 tsc, adjust, last;

	need_tsc_adjust();
	vcpu = guest_new(guest);
	/* It starts near 0 when the vCPU is made. */
	EXPECT_LE(run_sync(vcpu), NEAR);
	tsc = run_sync(vcpu);
	EXPECT_GE(vcpu_get_msr(vcpu, MSR_TSC), tsc);
	EXPECT_LE(vcpu_get_msr(vcpu, MSR_TSC), tsc + NEAR);
	tsc = run_sync(vcpu);
	adjust = vcpu_get_msr(vcpu, MSR_TSC_ADJUST);
	last = vcpu_get_msr(vcpu, MSR_TSC);
	EXPECT_GE(last, tsc);

	/* Userspace's write of TSC is a restore: TSC_ADJUST stays. */
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_TSC, 1ULL << 45), 1);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_TSC_ADJUST), adjust);
	tsc = run_sync(vcpu);
	EXPECT_GE(tsc, 1ULL << 45);
	EXPECT_LE(tsc, (1ULL << 45) + NEAR);

	/* And its write of TSC_ADJUST leaves TSC alone. */
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_TSC_ADJUST, 42), 1);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_TSC_ADJUST), 42);
	last = vcpu_get_msr(vcpu, MSR_TSC);
	EXPECT_GE(last, tsc);
	EXPECT_LE(last, tsc + NEAR);
}

TEST(frequency)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	int khz;

	NEED_CAP(KVM_CAP_GET_TSC_KHZ);
	khz = xioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	EXPECT_GE(khz, 1000);
	/* The frequency that it has is always taken. */
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (long)khz), 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), khz);
}

static void scaled_guest(void)
{
	for (;;)
		guest_sync(rdtsc());
}

/* At three halves of the host's frequency. What passes meanwhile is known within limits. */
TEST(tsc_scaled)
{
	struct vcpu *vcpu = guest_new(scaled_guest);
	u64 before[2], after[2], guest[2];
	u32 khz;

	if (ioctl(vcpu->vm->dev, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) <= 0)
		test_skip("no TSC scaling");
	khz = xioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0x7fffffffL), EINVAL);
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), khz);
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz / 2 * 3L), 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), khz / 2 * 3);
	run_sync(vcpu);
	for (int i = 0; i < 2; i++) {
		before[i] = rdtsc();
		guest[i] = run_sync(vcpu);
		after[i] = rdtsc();
		while (rdtsc() - after[i] < 10000000)
			;
	}
	EXPECT_GE(guest[1] - guest[0], (before[1] - after[0]) / 2 * 3);
	EXPECT_GE((after[1] - before[0]) / 2 * 3 + 3, guest[1] - guest[0]);
	/* And back again. */
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (long)khz), 0);
	before[0] = rdtsc();
	guest[0] = run_sync(vcpu);
	guest[1] = run_sync(vcpu);
	after[1] = rdtsc();
	EXPECT_GE(after[1] - before[0], guest[1] - guest[0]);
}

static void aux_guest(void)
{
	u32 a, c, d;

	asm volatile("rdtscp" : "=a" (a), "=c" (c), "=d" (d));
	GUEST_EXPECT_EQ(c, 0x1234);
	wrmsr(0xc0000103, 0x777);
	asm volatile("rdtscp" : "=a" (a), "=c" (c), "=d" (d));
	GUEST_EXPECT_EQ(c, 0x777);
	guest_done();
}

TEST(tsc_aux)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0x80000001, 0);
	struct vcpu *vcpu;

	if (!e || !(e->edx >> 27 & 1))
		test_skip("no RDTSCP");
	vcpu = guest_new(aux_guest);
	EXPECT_EQ(vcpu_set_msr(vcpu, 0xc0000103, 0x1234), 1);
	run_done(vcpu);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000103), 0x777);
}

/* vCPUs made one after the other agree: userspace writes 0 to each at boot. */
static void tsc_guest(void)
{
	for (;;)
		guest_sync(rdtsc());
}

TEST(synchronised)
{
	struct vcpu *a = guest_new(tsc_guest), *b = vcpu_new(a->vm, 1);
	u64 last = 0;

	vcpu_cpuid(b);
	vcpu_long(b, tsc_guest, 0);
	EXPECT_EQ(vcpu_set_msr(a, MSR_TSC, 0), 1);
	usleep(20000);
	EXPECT_EQ(vcpu_set_msr(b, MSR_TSC, 0), 1);
	for (int i = 0; i < 50; i++) {
		u64 now = run_sync(i & 1 ? a : b);

		EXPECT_TRUE(now > last);
		last = now;
	}
}

/*
 * A guest that moves into a new VM when it is younger than a second: what the new vCPUs began with
 * is no reason to set its TSC back. KVM has so since Linux 6.7; before, this fails there.
 */
TEST(restored_young)
{
	struct vcpu *a = guest_new(tsc_guest), *b = vcpu_new(a->vm, 1);
	u64 age = (u64)xioctl(a->fd, KVM_GET_TSC_KHZ, 0) * 700, first;

	vcpu_cpuid(b);
	vcpu_long(b, tsc_guest, 0);
	EXPECT_EQ(vcpu_set_msr(a, MSR_TSC, age), 1);
	EXPECT_EQ(vcpu_set_msr(b, MSR_TSC, age), 1);
	first = run_sync(a);
	EXPECT_GE(first, age);
	EXPECT_GE(run_sync(b), first);
}
