// SPDX-License-Identifier: GPL-2.0
/*
 * state_mce.c - KVM_X86_SETUP_MCE and KVM_X86_SET_MCE: what MCG_CAP may be, an error that is
 * raised, one that is only logged, one that the guest cannot take.
 */
#include "guest.h"
#include "vm.h"

#define MCG_CAP		0x179
#define MCG_STATUS	0x17a
#define MCG_CTL		0x17b
#define MC_CTL(bank)	(0x400 + 4 * (bank))
#define MC_STATUS(bank)	(0x401 + 4 * (bank))
#define MC_ADDR(bank)	(0x402 + 4 * (bank))

#define MCG_CTL_P	BIT(8)
#define STATUS_VAL	BIT(63)
#define STATUS_OVER	BIT(62)
#define STATUS_UC	BIT(61)
#define STATUS_EN	BIT(60)
#define STATUS_PCC	BIT(57)
#define CR4_MCE		BIT(6)

static int setup(struct vcpu *vcpu, u64 cap)
{
	return ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap);
}

static int inject(struct vcpu *vcpu, int bank, u64 status, u64 addr)
{
	struct kvm_x86_mce mce = {
		.bank = bank, .status = status, .addr = addr, .mcg_status = 5,
	};

	return ioctl(vcpu->fd, KVM_X86_SET_MCE, &mce);
}

TEST(capability)
{
	struct vcpu *vcpu;
	u64 cap;

	NEED_CAP(KVM_CAP_MCE);
	EXPECT_GE(dev_cap(KVM_CAP_MCE), 10);
	vcpu = vcpu_new(vm_new(), 0);
	xioctl(vcpu->vm->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap);
	EXPECT_TRUE(cap & MCG_CTL_P);
	EXPECT_ERRNO(setup(vcpu, cap), EINVAL);			/* no bank */
	EXPECT_ERRNO(setup(vcpu, cap | 33), EINVAL);
	EXPECT_ERRNO(setup(vcpu, cap | BIT(40) | 10), EINVAL);
	EXPECT_RET(setup(vcpu, cap | 10), 0);
	/* AMD's has no bits above. */
	EXPECT_EQ(vcpu_get_msr(vcpu, MCG_CAP) & 0x1ff, (cap | 10) & 0x1ff);
	EXPECT_EQ(vcpu_get_msr(vcpu, MCG_CTL), ~0ULL);
	EXPECT_EQ(vcpu_get_msr(vcpu, MC_CTL(0)), ~0ULL);
	EXPECT_EQ(vcpu_get_msr(vcpu, MC_CTL(9)), ~0ULL);
	EXPECT_EQ(vcpu_set_msr(vcpu, MC_CTL(10), 0), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MC_CTL(1), 5), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MC_STATUS(1), 5), 1);
}

static volatile u64 hits, status_seen, addr_seen, mcg_seen;

static void on_mc(struct isr_frame *frame)
{
	(void)frame;
	hits++;
	status_seen = rdmsr(MC_STATUS(3));
	addr_seen = rdmsr(MC_ADDR(3));
	mcg_seen = rdmsr(MCG_STATUS);
	wrmsr(MC_STATUS(3), 0);
	wrmsr(MCG_STATUS, 0);
}

static void guest(void)
{
	u64 cr4;

	isr_table[18] = on_mc;
	GUEST_EXPECT_EQ(wrmsr_try(MC_STATUS(3), 1), 13);
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_MCE));
	guest_sync(1);
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(status_seen, STATUS_VAL | STATUS_UC | STATUS_EN | STATUS_PCC | 0x150);
	GUEST_EXPECT_EQ(addr_seen, 0x123000);
	GUEST_EXPECT_EQ(mcg_seen, 5);
	guest_sync(2);
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(rdmsr(MC_STATUS(3)), STATUS_VAL | STATUS_OVER | 0x151);
	wrmsr(MCG_CTL, 0);
	guest_sync(3);
	GUEST_EXPECT_EQ(hits, 1);
	wrmsr(MCG_CTL, ~0ULL);
	asm volatile("mov %0, %%cr4" : : "r" (cr4));
	guest_sync(4);
	guest_done();
}

TEST(errors)
{
	const u64 fatal = STATUS_VAL | STATUS_UC | STATUS_EN | STATUS_PCC | 0x150;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_MCE);
	vcpu = guest_new(guest);
	xioctl(vcpu->fd, KVM_X86_SETUP_MCE, &(u64){ MCG_CTL_P | 10 });
	EXPECT_ERRNO(inject(vcpu, 10, fatal, 0), EINVAL);
	EXPECT_ERRNO(inject(vcpu, 3, fatal & ~STATUS_VAL, 0), EINVAL);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_RET(inject(vcpu, 3, fatal, 0x123000), 0);
	EXPECT_EQ(run_sync(vcpu), 2);
	/* Corrected ones are logged; the second finds the first. */
	EXPECT_RET(inject(vcpu, 3, STATUS_VAL | 0x150, 0x1000), 0);
	EXPECT_RET(inject(vcpu, 3, STATUS_VAL | 0x151, 0x2000), 0);
	EXPECT_EQ(run_sync(vcpu), 3);
	/* Reporting is off. */
	EXPECT_RET(inject(vcpu, 3, fatal, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 4);
	/* CR4.MCE is clear. */
	EXPECT_RET(inject(vcpu, 3, fatal, 0), 0);
	expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
}

static void on_first_mc(struct isr_frame *frame)
{
	(void)frame;
	hits++;
}

static void busy_guest(void)
{
	u64 cr4;

	isr_table[18] = on_first_mc;
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_MCE));
	guest_sync(1);
	GUEST_EXPECT_EQ(hits, 1);
	guest_sync(2);
	guest_done();
}

/* A second one while the first is being handled. */
TEST(second_in_progress)
{
	const u64 fatal = STATUS_VAL | STATUS_UC | STATUS_EN | STATUS_PCC | 0x150;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_MCE);
	vcpu = guest_new(busy_guest);
	xioctl(vcpu->fd, KVM_X86_SETUP_MCE, &(u64){ MCG_CTL_P | 10 });
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_RET(inject(vcpu, 3, fatal, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_RET(inject(vcpu, 3, fatal, 0), 0);
	expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
}

/* A corrected error does not take the place of an uncorrected one that nobody has read yet. */
TEST(worse_one_stays)
{
	const u64 worse = STATUS_VAL | STATUS_UC | STATUS_EN | 0x150;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_MCE);
	vcpu = guest_new(guest);
	xioctl(vcpu->fd, KVM_X86_SETUP_MCE, &(u64){ MCG_CTL_P | 10 });
	ASSERT_RET(vcpu_set_msr(vcpu, MC_STATUS(3), worse), 1);
	ASSERT_RET(vcpu_set_msr(vcpu, MC_ADDR(3), 0x123000), 1);
	EXPECT_RET(inject(vcpu, 3, STATUS_VAL | 0x151, 0x2000), 0);
	EXPECT_EQ(vcpu_get_msr(vcpu, MC_STATUS(3)), worse | STATUS_OVER);
	EXPECT_EQ(vcpu_get_msr(vcpu, MC_ADDR(3)), 0x123000);
}
