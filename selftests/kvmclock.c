// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclock.c - the paravirtual clock: its CPUID leaf, system time and wall clock pages, and
 * KVM_GET/SET_CLOCK, KVMCLOCK_CTRL.
 */
#include <time.h>

#include "guest.h"
#include "vm.h"

#define MSR_WALL	0x4b564d00
#define MSR_SYSTEM	0x4b564d01
#define MSR_WALL_OLD	0x11
#define MSR_SYSTEM_OLD	0x12

struct wall {
	u32 version, sec, nsec;
} __attribute__((packed));

static struct pvclock page __attribute__((aligned(64)));
static struct wall wall __attribute__((aligned(64)));
static u32 msr_wall, msr_system;

static void guest(void)
{
	u64 last = 0, now;

	wrmsr(msr_system, (u64)&page | 1);
	GUEST_EXPECT_EQ(rdmsr(msr_system), (u64)&page | 1);
	for (int i = 0; i < 1000; i++) {
		now = pvclock_read(&page);
		GUEST_EXPECT(now >= last);
		last = now;
	}
	wrmsr(msr_wall, (u64)&wall);
	GUEST_EXPECT_EQ(wall.version & 1, 0);
	guest_sync(pvclock_read(&page));
	for (;;)
		guest_sync(pvclock_read(&page));
}

static u64 monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static u64 get_clock(struct vm *vm)
{
	struct kvm_clock_data data;

	xioctl(vm->fd, KVM_GET_CLOCK, &data);
	return data.clock;
}

#define SECOND 1000000000ULL

static void check(u32 wall_index, u32 system_index)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct vm *vm = vcpu->vm;
	u64 first, second, host;
	struct wall *w;

	guest_var(vm, msr_wall) = wall_index;
	guest_var(vm, msr_system) = system_index;
	vcpu_long(vcpu, guest, 0);
	first = run_sync(vcpu);
	host = monotonic();
	/* What userspace reads is the same clock. */
	EXPECT_GE(get_clock(vm), first);
	EXPECT_LE(get_clock(vm), first + 10 * SECOND);
	/* Wall time at system time zero, so now is their sum. */
	w = &guest_var(vm, wall);
	EXPECT_LE(w->nsec, SECOND - 1);
	EXPECT_GE(w->sec + first / SECOND + 5, (u64)time(NULL));
	EXPECT_LE(w->sec + first / SECOND, (u64)time(NULL) + 5);

	usleep(300000);
	second = run_sync(vcpu);
	host = monotonic() - host;
	EXPECT_GE(second - first, 250000000);
	EXPECT_LE(second - first, host + SECOND);
	/* The page is the guest's to move or give up. */
	EXPECT_EQ(vcpu_get_msr(vcpu, system_index), (u64)(uintptr_t)&page | 1);
	EXPECT_EQ(vcpu_get_msr(vcpu, wall_index), (u64)(uintptr_t)&wall);
	EXPECT_EQ(vcpu_set_msr(vcpu, system_index, 0), 1);
}

TEST(old_and_new_msrs)
{
	struct kvm_cpuid_entry2 *sig = cpuid_entry(supported_cpuid(), 0x40000000, 0), *features;

	if (!sig || sig->ebx != 0x4b4d564b || sig->ecx != 0x564b4d56 || sig->edx != 0x4d)
		test_skip("no KVM signature in CPUID");
	EXPECT_EQ(sig->eax, 0x40000001);
	features = cpuid_entry(supported_cpuid(), 0x40000001, 0);
	ASSERT_TRUE(features);
	if (features->eax & 8)
		check(MSR_WALL, MSR_SYSTEM);
	if (features->eax & 1)
		check(MSR_WALL_OLD, MSR_SYSTEM_OLD);
	if (!(features->eax & 9))
		test_skip("no kvmclock");
}

TEST(get_and_set)
{
	struct kvm_clock_data data = { .clock = 1000 * SECOND };
	struct vcpu *vcpu;
	struct vm *vm;
	u64 now;

	NEED_CAP(KVM_CAP_ADJUST_CLOCK);
	vcpu = guest_new(NULL);
	vm = vcpu->vm;
	/* It starts at 0 when the VM is made. */
	EXPECT_LE(get_clock(vm), 10 * SECOND);
	xioctl(vm->fd, KVM_SET_CLOCK, &data);
	EXPECT_GE(get_clock(vm), 1000 * SECOND);
	EXPECT_LE(get_clock(vm), 1010 * SECOND);
	guest_var(vm, msr_wall) = MSR_WALL;
	guest_var(vm, msr_system) = MSR_SYSTEM;
	vcpu_long(vcpu, guest, 0);
	now = run_sync(vcpu);
	EXPECT_GE(now, 1000 * SECOND);
	EXPECT_LE(now, 1020 * SECOND);
	data.flags = 1U << 31;
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_CLOCK, &data), EINVAL);
	/* Of a moment that is yet to come: the clock is not less than it was to be. */
	data.flags = KVM_CLOCK_REALTIME;
	data.realtime = ~0ULL >> 2;
	xioctl(vm->fd, KVM_SET_CLOCK, &data);
	EXPECT_GE(get_clock(vm), 1000 * SECOND);
	EXPECT_LE(get_clock(vm), 1010 * SECOND);
}

/* A page that the guest has already tells of the new time. */
TEST(set_while_in_use)
{
	struct kvm_clock_data data = { .clock = 5000 * SECOND };
	struct vcpu *vcpu;
	u64 now;

	NEED_CAP(KVM_CAP_ADJUST_CLOCK);
	vcpu = guest_new(NULL);
	guest_var(vcpu->vm, msr_wall) = MSR_WALL;
	guest_var(vcpu->vm, msr_system) = MSR_SYSTEM;
	vcpu_long(vcpu, guest, 0);
	EXPECT_LE(run_sync(vcpu), 100 * SECOND);
	xioctl(vcpu->vm->fd, KVM_SET_CLOCK, &data);
	now = run_sync(vcpu);
	EXPECT_GE(now, 5000 * SECOND);
	EXPECT_LE(now, 5020 * SECOND);
}

static void turn_guest(void)
{
	for (;;)
		guest_sync(0);
}

/* A clock that would be over the end of a page is not written. */
TEST(end_of_a_page)
{
	struct vcpu *vcpu = guest_new(turn_guest);
	u8 *mem = vcpu->vm->ram + GUEST_FREE;
	u32 sum = 0;

	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_SYSTEM, (GUEST_FREE + 0xfe4) | 1), 1);
	run_sync(vcpu);
	for (int i = 0; i < 0x1100; i++)
		sum |= mem[i];
	EXPECT_EQ(sum, 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_SYSTEM, (GUEST_FREE + 0xfe0) | 1), 1);
	run_sync(vcpu);
	EXPECT_NE(*(u32 *)(mem + 0xfe0), 0);
}

static struct pvclock pages[2] __attribute__((aligned(64)));

static void two_guest(void)
{
	for (u64 i = guest_cpuid(1, 0).b >> 24;;) {
		wrmsr(MSR_SYSTEM, (u64)&pages[i] | 1);
		guest_sync(pages[i].flags & 1);		/* PVCLOCK_TSC_STABLE_BIT */
	}
}

/* One vCPU's page serves another only if their TSCs are the same, however good the host's is. */
TEST(tscs_that_differ)
{
	struct vcpu *a, *b;

	NEED_CAP(KVM_CAP_ADJUST_CLOCK);
	a = guest_new(two_guest);
	b = vcpu_new(a->vm, 1);
	vcpu_cpuid(b);
	vcpu_long(b, two_guest, 0);
	EXPECT_EQ(vcpu_set_msr(a, 0x10, 0), 1);
	EXPECT_EQ(vcpu_set_msr(b, 0x10, 0), 1);
	run_sync(a);
	run_sync(b);
	if (!run_sync(a))
		test_skip("no one TSC of the host's");
	EXPECT_EQ(vcpu_set_msr(b, 0x10, 1ULL << 50), 1);
	run_sync(b);
	EXPECT_EQ(run_sync(a), 0);
	EXPECT_EQ(run_sync(b), 0);
}

TEST(paused)
{
	struct vcpu *vcpu;
	u32 version;

	NEED_CAP(KVM_CAP_KVMCLOCK_CTRL);
	vcpu = guest_new(NULL);
	/* A guest without kvmclock cannot be told. */
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	guest_var(vcpu->vm, msr_wall) = MSR_WALL;
	guest_var(vcpu->vm, msr_system) = MSR_SYSTEM;
	vcpu_long(vcpu, guest, 0);
	run_sync(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, page).flags & 2, 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0), 0);
	run_sync(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, page).flags & 2, 2);
	/* It is the guest's to clear: the page is written anew, and it stays. */
	version = guest_var(vcpu->vm, page).version;
	xioctl(vcpu->vm->fd, KVM_SET_CLOCK, &(struct kvm_clock_data){ .clock = SECOND });
	run_sync(vcpu);
	EXPECT_NE(guest_var(vcpu->vm, page).version, version);
	EXPECT_EQ(guest_var(vcpu->vm, page).flags & 2, 2);
	guest_var(vcpu->vm, page).flags = 0;
	xioctl(vcpu->vm->fd, KVM_SET_CLOCK, &(struct kvm_clock_data){ .clock = SECOND });
	run_sync(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, page).flags & 2, 0);
}
