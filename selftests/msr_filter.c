// SPDX-License-Identifier: GPL-2.0
/*
 * msr_filter.c - MSRs that userspace keeps from the guest, and those it serves itself.
 */
#include "guest.h"
#include "vm.h"

#define MSR_NONE	0xdead0000	/* there is none */
#define MSR_STAR	0xc0000081	/* no exit, as long as no filter is about it */
#define MSR_LSTAR	0xc0000082
#define MSR_PAT		0x277

#define ALL_REASONS	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |	\
			 KVM_MSR_EXIT_REASON_FILTER)

static u8 none[8], all[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static int user_msrs(struct vm *vm, u64 reasons)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { reasons } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int filter(struct vm *vm, u32 how, u32 flags, u32 base, u32 nr, u8 *bitmap)
{
	struct kvm_msr_filter f = {
		.flags = how, .ranges[3] = { flags, nr, base, bitmap },
	};

	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &f);
}

static struct vcpu *start(void (*fn)(void))
{
	NEED_CAP(KVM_CAP_X86_USER_SPACE_MSR);
	NEED_CAP(KVM_CAP_X86_MSR_FILTER);
	return guest_new_irqchip(fn);
}

static void one_of_each(void)
{
	u64 value = 0;

	guest_sync(rdmsr_try(MSR_NONE, &value));
	guest_sync(value);
	guest_sync(wrmsr_try(MSR_NONE, 0x123456789abcdef0));
	guest_sync(wrmsr_try(MSR_PAT, 2));
	guest_done();
}

/* To userspace; its answer is @value, or the fault. */
static void expect_msr(struct vcpu *vcpu, u32 exit, u32 reason, u32 index, u64 data,
		       int error, u64 value)
{
	expect_exit(vcpu, exit);
	EXPECT_EQ(vcpu->run->msr.reason, reason);
	EXPECT_EQ(vcpu->run->msr.index, index);
	EXPECT_EQ(vcpu->run->msr.data, data);
	EXPECT_EQ(vcpu->run->msr.error, 0);
	vcpu->run->msr.error = error;
	vcpu->run->msr.data = value;
}

/* Where userspace has sent the guest elsewhere, there is nothing to complete. KVM completes it. */
TEST(sent_elsewhere)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;

	if (!on_minihv())
		test_skip("KVM completes the instruction wherever RIP is");
	vcpu = start(one_of_each);
	ASSERT_RET(user_msrs(vcpu->vm, ALL_REASONS), 0);
	expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE, 0, 0,
		   0x1111111122222222);
	vcpu_get_regs(vcpu, &regs);
	regs.rip += 0x100;
	regs.rax = 1;
	regs.rdx = 2;
	vcpu_set_regs(vcpu, &regs);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, 1);
	EXPECT_EQ(regs.rdx, 2);
}

TEST(served_by_userspace)
{
	struct vcpu *vcpu = start(one_of_each);

	EXPECT_ERRNO(user_msrs(vcpu->vm, 1ULL << 40), EINVAL);
	ASSERT_RET(user_msrs(vcpu->vm, ALL_REASONS), 0);
	expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE, 0,
		   0, 0xfedcba9876543210);
	EXPECT_EQ(run_sync(vcpu), 256);
	EXPECT_EQ(run_sync(vcpu), 0xfedcba9876543210);
	expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE,
		   0x123456789abcdef0, 0, 0);
	EXPECT_EQ(run_sync(vcpu), 256);
	expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_PAT, 2, 1, 0);
	EXPECT_EQ(run_sync(vcpu), 13);
	run_done(vcpu);
}

/* Only what userspace asked for; it may have the guest fault. */
TEST(some_reasons)
{
	struct vcpu *vcpu = start(one_of_each);

	ASSERT_RET(user_msrs(vcpu->vm, KVM_MSR_EXIT_REASON_INVAL), 0);
	EXPECT_EQ(run_sync(vcpu), 13);
	run_sync(vcpu);
	EXPECT_EQ(run_sync(vcpu), 13);
	expect_msr(vcpu, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_PAT, 2, 0, 0);
	EXPECT_EQ(run_sync(vcpu), 256);
	run_done(vcpu);
}

static void stars(void)
{
	u64 value;

	for (;;) {
		guest_sync(rdmsr_try(MSR_STAR, &value));
		guest_sync(wrmsr_try(MSR_STAR, 0x1122334455667788));
		guest_sync(rdmsr_try(MSR_LSTAR, &value));
		guest_sync(wrmsr_try(MSR_LSTAR, 0x1000));
	}
}

static void expect_vectors(struct vcpu *vcpu, const char *what, u64 a, u64 b, u64 c, u64 d)
{
	test_context("%s", what);
	EXPECT_EQ(run_sync(vcpu), a);
	EXPECT_EQ(run_sync(vcpu), b);
	EXPECT_EQ(run_sync(vcpu), c);
	EXPECT_EQ(run_sync(vcpu), d);
	test_context("");
}

/* A filter comes, changes and goes while the guest runs, and is about MSRs that never exit. */
TEST(filtered)
{
	const u32 rw = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
	struct vcpu *vcpu = start(stars);
	struct vm *vm = vcpu->vm;

	expect_vectors(vcpu, "no filter", 256, 256, 256, 256);
	ASSERT_RET(filter(vm, 0, KVM_MSR_FILTER_WRITE, MSR_STAR, 1, none), 0);
	expect_vectors(vcpu, "writes of STAR", 256, 13, 256, 256);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_STAR), 0x1122334455667788);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_STAR, 5), 1);
	ASSERT_RET(filter(vm, 0, rw, MSR_STAR, 2, (u8[8]) { 2 }), 0);
	expect_vectors(vcpu, "STAR", 13, 13, 256, 256);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_STAR), 5);
	ASSERT_RET(filter(vm, KVM_MSR_FILTER_DEFAULT_DENY, rw, MSR_STAR, 1, all), 0);
	expect_vectors(vcpu, "all but STAR", 256, 256, 13, 13);
	ASSERT_RET(filter(vm, 0, 0, 0, 0, NULL), 0);
	expect_vectors(vcpu, "none again", 256, 256, 256, 256);

	ASSERT_RET(filter(vm, 0, KVM_MSR_FILTER_READ, MSR_STAR, 1, none), 0);
	ASSERT_RET(user_msrs(vm, KVM_MSR_EXIT_REASON_FILTER), 0);
	expect_msr(vcpu, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_STAR, 0, 0, 7);
	expect_vectors(vcpu, "to userspace", 256, 256, 256, 256);
}

TEST(bad_filters)
{
	struct vm *vm;

	NEED_CAP(KVM_CAP_X86_MSR_FILTER);
	vm = vm_new();
	EXPECT_ERRNO(filter(vm, 2, KVM_MSR_FILTER_READ, 0, 1, all), EINVAL);
	EXPECT_ERRNO(filter(vm, 0, 0, 0, 1, all), EINVAL);
	EXPECT_ERRNO(filter(vm, 0, 4, 0, 1, all), EINVAL);
	EXPECT_ERRNO(filter(vm, 0, KVM_MSR_FILTER_READ, 0, 0x600 * 8 + 1, all), EINVAL);
	EXPECT_ERRNO(filter(vm, 0, KVM_MSR_FILTER_READ, 0, 0xffffffff, all), EINVAL);
	EXPECT_ERRNO(filter(vm, 0, KVM_MSR_FILTER_READ, 0, 1, (u8 *)8), EFAULT);
	EXPECT_ERRNO(filter(vm, KVM_MSR_FILTER_DEFAULT_DENY, 0, 0, 0, NULL), EINVAL);
}

static void x2apic_guest(void)
{
	u64 value;

	x2apic_enable();
	guest_sync(rdmsr_try(MSR_X2APIC + 2, &value));
	guest_done();
}

/* The APIC's registers are never filtered. */
TEST(x2apic)
{
	struct vcpu *vcpu = start(x2apic_guest);

	ASSERT_RET(filter(vcpu->vm, 0, KVM_MSR_FILTER_READ, MSR_X2APIC, 64, none), 0);
	EXPECT_EQ(run_sync(vcpu), 256);
	run_done(vcpu);
}
