// SPDX-License-Identifier: GPL-2.0
/*
 * cpuid_absent.c - instructions that the CPU has and the guest's CPUID has not: #UD, where SVM or
 * VMX has a control for it. And bits of CR4: #GP.
 */
#include "guest.h"
#include "vm.h"

enum { RDTSCP, INVPCID, RDRAND, RDSEED, XSAVES, NR };

/* Where CPUID says that there is each; and what of it can be taken away. */
static const struct {
	u32 leaf, index, reg, bit;
	int svm;
} insns[NR] = {
	[RDTSCP]  = { 0x80000001, 0, 3, 27, 1 },
	[INVPCID] = { 7, 0, 1, 10, 1 },
	[RDRAND]  = { 1, 0, 2, 30, 0 },
	[RDSEED]  = { 7, 0, 1, 18, 0 },
	[XSAVES]  = { 0xd, 1, 0, 3, 0 },
};

static u32 tried, taken;	/* those that the host offers; that this guest has not */
static u8 area[4096] __attribute__((aligned(64)));

#define TRY(i, insn, rax) do {					\
	u64 a = rax, c = (u64)area, d = 0;			\
								\
	if (!(tried & BIT(i)))					\
		break;						\
	GUEST_TRY(insn, a, c, d);				\
	GUEST_EXPECT_EQ(guest_fault.vector, taken & BIT(i) ? 6 : 256);	\
} while (0)

static void guest(void)
{
	u64 cr4;

	TRY(RDTSCP, "rdtscp", 0);
	TRY(INVPCID, "invpcid (%%rcx), %%rax", 2);
	TRY(RDRAND, "rdrand %%rax", 0);
	TRY(RDSEED, "rdseed %%rax", 0);
	if (tried & BIT(XSAVES)) {
		asm volatile("mov %%cr4, %0" : "=r" (cr4));
		asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_OSXSAVE));
		TRY(XSAVES, "xsaves64 (%%rcx)", 1);
	}
	guest_done();
}

static u32 *reg(struct kvm_cpuid2 *cpuid, unsigned int i)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(cpuid, insns[i].leaf, insns[i].index);

	return e ? &(&e->eax)[insns[i].reg] : NULL;
}

/* Which are there, and can be taken away. */
static u32 offered(struct kvm_cpuid2 *cpuid)
{
	int amd = cpuid_entry(cpuid, 0, 0)->ebx == 0x68747541;
	int qemu = guest_cpuid(0x40000000, 0).b == 0x54474354;	/* "TCGTCGTCGTCG" */
	u32 bits = 0;

	for (unsigned int i = 0; i < NR; i++) {
		u32 *r = reg(cpuid, i);

		if (r && *r & BIT(insns[i].bit) && (!amd || insns[i].svm))
			bits |= BIT(i);
	}
	/* QEMU's emulated CPU (7.2) has no intercept of RDTSCP. */
	return qemu ? bits & ~BIT(RDTSCP) : bits;
}

static void run_without(u32 absent)
{
	struct kvm_cpuid2 *cpuid;
	struct kvm_cpuid_entry2 *seven;
	struct vcpu *vcpu;

	tried = offered(supported_cpuid());
	taken = absent & tried;
	if (!tried)
		test_skip("there is none that could be taken away");
	vcpu = guest_new(guest);
	cpuid = supported_cpuid();
	seven = cpuid_entry(cpuid, 7, 0);
	for (unsigned int i = 0; i < NR; i++) {
		u32 *r = reg(cpuid, i);

		if (r && taken & BIT(i))
			*r &= ~BIT(insns[i].bit);
	}
	/* VMX has one control for RDTSCP and RDPID. */
	if (taken & BIT(RDTSCP) && seven)
		seven->ecx &= ~BIT(22);
	ASSERT_EQ(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid), 0);
	run_done(vcpu);
}

TEST(all_there)
{
	run_without(0);
}

TEST(none_there)
{
	run_without(BIT(NR) - 1);
}

TEST(each_by_itself)
{
	for (unsigned int i = 0; i < NR; i++)
		run_without(BIT(i));
}

/* Bits of CR4, and the features that they are of: of leaf 1 in ECX, of leaf 7 in EBX or ECX. */
static const struct {
	u8 bit, leaf, ecx, feature;
} cr4_bits[] = {
	{ 11, 7, 1, 2 }, { 12, 7, 1, 16 }, { 16, 7, 0, 0 }, { 17, 1, 1, 17 }, { 18, 1, 1, 26 },
	{ 20, 7, 0, 7 }, { 21, 7, 0, 20 }, { 22, 7, 1, 3 },
};

static void cr4_guest(void)
{
	u64 cr4 = GET("cr4");

	for (size_t i = 0; i < ARRAY_SIZE(cr4_bits); i++)
		guest_sync(TRY_MOV("cr4", cr4 | BIT(cr4_bits[i].bit)));
	GUEST_EXPECT_EQ(GET("cr4"), cr4);
	guest_done();
}

TEST(bits_of_cr4)
{
	struct vcpu *vcpu = guest_new(cr4_guest);
	struct kvm_cpuid2 *cpuid = supported_cpuid();

	for (size_t i = 0; i < ARRAY_SIZE(cr4_bits); i++) {
		struct kvm_cpuid_entry2 *e = cpuid_entry(cpuid, cr4_bits[i].leaf, 0);

		if (e && cr4_bits[i].ecx)
			e->ecx &= ~BIT(cr4_bits[i].feature);
		else if (e)
			e->ebx &= ~BIT(cr4_bits[i].feature);
	}
	ASSERT_EQ(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cr4_bits); i++) {
		test_context("bit %u", cr4_bits[i].bit);
		EXPECT_EQ(run_sync(vcpu), 13);
	}
	run_done(vcpu);
}
