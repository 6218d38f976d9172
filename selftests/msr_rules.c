// SPDX-License-Identifier: GPL-2.0
/*
 * msr_rules.c - RDMSR and WRMSR in a guest: values that fault, values that are dropped, MSRs that
 * only userspace writes, and MSRs that do not exist.
 */
#include "guest.h"
#include "vm.h"

#define GP	13
#define NONE	256

/* One write: the exception, and what is read back if there is none. */
static const struct {
	u32 index;
	u64 value;
	u64 vector;
	u64 back;
} writes[] = {
	/* Memory types: 2 and 3 do not exist, WC (1) and UC- (7, PAT only) do. */
	{ 0x277, 0x0007040600070402, GP, 0 },
	{ 0x277, 0x0307040600070406, GP, 0 },
	{ 0x277, 0x0007040600070401, NONE, 0x0007040600070401 },
	{ 0x277, 0x0007040600070406, NONE, 0x0007040600070406 },
	{ 0x2ff, 0x807, GP, 0 },
	{ 0x2ff, 0x1006, GP, 0 },
	{ 0x2ff, 0xc06, NONE, 0xc06 },
	{ 0x250, 0x0606060606060602, GP, 0 },
	{ 0x268, 0x0606060606060606, NONE, 0x0606060606060606 },
	{ 0x200, 0x80000002, GP, 0 },
	{ 0x200, 0x80000106, GP, 0 },
	{ 0x200, 0x80000006, NONE, 0x80000006 },
	{ 0x201, 0x1, GP, 0 },
	{ 0x210, 0, GP, 0 },
	/* Read-only, or userspace's. */
	{ 0xfe, 0x508, GP, 0 },
	{ 0x179, 0, GP, 0 },
	{ 0x10a, 0, GP, 0 },
	{ 0xce, 0, GP, 0 },
	{ 0x34, 0, GP, 0 },
	/* Dropped. */
	{ 0x8b, 0x55, NONE, ~0ULL },
	{ 0x79, 0x1000, NONE, ~0ULL },
	{ 0xc001001f, BIT(46), NONE, 0 },
	/* HWCR: bits 3, 6 and 8 are dropped; of the others, case hwcr has more. */
	{ 0xc0010015, 0x148, NONE, 0 },
	{ 0xc0010015, 1, GP, 0 },
	{ 0xc0010015, BIT(18), NONE, BIT(18) },
	/* Machine check before anything was set up: 32 banks, no MCG_CTL. */
	{ 0x17b, 0, GP, 0 },
	{ 0x400, ~0ULL, NONE, ~0ULL },
	{ 0x400, 5, GP, 0 },
	{ 0x480, 0, GP, 0 },
	{ 0x280, 0, GP, 0 },
	/* What is nowhere. */
	{ 0x1, 0, GP, 0 },
	{ 0x900, 0, GP, 0 },
	{ 0x12345678, 0, GP, 0 },
	{ 0xc0002000, 0, GP, 0 },
	{ 0xffffffff, 0, GP, 0 },
};

static void write_guest(void)
{
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		u64 vector = wrmsr_try(writes[i].index, writes[i].value);

		if (vector != writes[i].vector)
			guest_sync(i);
		if (vector != NONE || writes[i].back == ~0ULL)
			continue;
		if (rdmsr_try(writes[i].index, &value) != NONE || value != writes[i].back)
			guest_sync(i);
	}
	guest_sync(~0ULL);
}

TEST(writes_by_the_guest)
{
	struct vcpu *vcpu = guest_new(write_guest);
	u64 row;

	while ((row = run_sync(vcpu)) != ~0ULL)
		test_fail(__FILE__, __LINE__, "MSR %#x, value %#llx", writes[row].index,
			  (unsigned long long)writes[row].value);
}

/* Reads that must not fault, for the guests that make them unasked; and some that must. */
static const struct {
	u32 index;
	u64 vector;
} reads[] = {
	{ 0x17, NONE }, { 0x1b, NONE }, { 0x2a, NONE }, { 0xcd, NONE }, { 0xfe, NONE },
	{ 0x11e, NONE }, { 0x179, NONE }, { 0x17a, NONE }, { 0x198, NONE }, { 0x199, NONE },
	{ 0x1a0, NONE }, { 0x1d9, NONE }, { 0x1db, NONE }, { 0x606, NONE }, { 0x611, NONE },
	{ 0x639, NONE }, { 0xc0010010, NONE }, { 0xc0010015, NONE }, { 0xc001001f, NONE },
	{ 0xc0010055, NONE }, { 0xc0010112, NONE }, { 0xc0011022, NONE },
	{ 0x79, GP }, { 0x49, GP }, { 0x480, GP }, { 0x802, GP }, { 0x900, GP },
	{ 0xc0000085, GP }, { 0xc0010020, GP }, { 0xdeadbeef, GP },
};

/* A guest with VMX has VMX's MSRs. */
static int says_nothing(u32 index)
{
	return index == 0x480 && guest_cpuid(1, 0).c >> 5 & 1;
}

static void read_guest(void)
{
	u64 value;

	/* DE_CFG is AMD's CPUs'. */
	if (rdmsr_try(0xc0011029, &value) != (guest_cpuid(0, 0).b == 0x68747541 ? NONE : GP))
		guest_sync(ARRAY_SIZE(reads));
	for (size_t i = 0; i < ARRAY_SIZE(reads); i++)
		if (!says_nothing(reads[i].index) &&
		    rdmsr_try(reads[i].index, &value) != reads[i].vector)
			guest_sync(i);
	guest_sync(~0ULL);
}

TEST(reads_by_the_guest)
{
	struct vcpu *vcpu = guest_new(read_guest);
	u64 row;

	while ((row = run_sync(vcpu)) != ~0ULL)
		test_fail(__FILE__, __LINE__, "MSR %#x",
			  row < ARRAY_SIZE(reads) ? reads[row].index : 0xc0011029);
}

/*
 * HWCR has McStatusWrEn and TscFreqSel, and a write of 0 clears them. KVM before 6.7 kept the
 * former then, and did not know the latter.
 */
static void hwcr_guest(void)
{
	u64 value;

	for (int bit = 0; bit < 64; bit++) {
		u64 kept = BIT(bit) & (BIT(18) | BIT(24)), dropped = BIT(bit) & 0x148;

		if (wrmsr_try(0xc0010015, BIT(bit)) != (kept | dropped ? NONE : GP))
			guest_sync(bit);
		if (rdmsr_try(0xc0010015, &value) != NONE || value != kept)
			guest_sync(bit);
		wrmsr_try(0xc0010015, 0);
	}
	/* A bank's status is writable with the bit set, and not after that. */
	GUEST_EXPECT_EQ(wrmsr_try(0xc0010015, BIT(18)), NONE);
	GUEST_EXPECT_EQ(wrmsr_try(0x401, 1), NONE);
	GUEST_EXPECT_EQ(wrmsr_try(0xc0010015, 0), NONE);
	GUEST_EXPECT_EQ(wrmsr_try(0x401, 1), GP);
	guest_sync(~0ULL);
}

TEST(hwcr)
{
	struct vcpu *vcpu;
	u64 bit;

	if (cpuid_entry(supported_cpuid(), 0, 0)->ebx != 0x68747541)
		test_skip("AMD's CPUs have HWCR");
	vcpu = guest_new(hwcr_guest);
	while ((bit = run_sync(vcpu)) != ~0ULL)
		test_fail(__FILE__, __LINE__, "bit %d", (int)bit);
}

static void fault_guest(void)
{
	struct cpuid_regs r = guest_cpuid(0, 0);

	GUEST_EXPECT_EQ(wrmsr_try(0x140, 2), GP);
	GUEST_EXPECT_EQ(wrmsr_try(0x140, 1), NONE);
	/* CPL 0 is exempt. */
	GUEST_EXPECT_EQ(guest_cpuid(0, 0).a, r.a);
	GUEST_EXPECT_EQ(wrmsr_try(0x140, 0), NONE);
	guest_done();
}

TEST(cpuid_faulting)
{
	struct vcpu *vcpu = guest_new(fault_guest);

	EXPECT_EQ(vcpu_get_msr(vcpu, 0xce) >> 31 & 1, 1);
	run_done(vcpu);
	EXPECT_EQ(vcpu_set_msr(vcpu, 0xce, 0), 1);
	EXPECT_EQ(vcpu_set_msr(vcpu, 0x140, 1), 0);
}

/* AMD's CPUs keep the lower half of what guests write to SYSENTER's MSRs; DE_CFG begins as 0. */
static void amd_guest(void)
{
	u64 value;

	for (u32 msr = 0x175; msr <= 0x176; msr++) {
		GUEST_EXPECT_EQ(wrmsr_try(msr, 0x123456789abcdef0), NONE);
		GUEST_EXPECT_EQ(rdmsr_try(msr, &value), NONE);
		guest_sync(value);
	}
	GUEST_EXPECT_EQ(rdmsr_try(0xc0011029, &value), NONE);
	guest_sync(value);
	guest_done();
}

TEST(amd)
{
	struct vcpu *vcpu;

	if (cpuid_entry(supported_cpuid(), 0, 0)->ebx != 0x68747541)
		test_skip("not AMD's");
	vcpu = guest_new(amd_guest);
	/* What the guest reads is the CPU's, which QEMU's TCG has with all 64 bits. */
	for (u32 msr = 0x175; msr <= 0x176; msr++) {
		EXPECT_EQ((u32)run_sync(vcpu), 0x9abcdef0);
		if (msr == 0x176)	/* KVM looks at the upper half of this one alone */
			EXPECT_EQ(vcpu_get_msr(vcpu, msr), 0x9abcdef0);
	}
	EXPECT_EQ(run_sync(vcpu), 0);
}

/* A triple fault is as good as INIT for the rest; of MSRs it takes those that SVM's VMCB has. */
TEST(triple_fault)
{
	struct kvm_regs regs = { .rip = 0x1000, .rflags = RFLAGS_FIXED };
	struct kvm_sregs sregs;
	struct vcpu *vcpu;

	if (cpuid_entry(supported_cpuid(), 0, 0)->ebx != 0x68747541)
		test_skip("not AMD's");
	need_shutdown();
	vcpu = guest_new(NULL);
	ASSERT_EQ(vcpu_set_msr(vcpu, 0xc0000082, 0x1234), 1);
	ASSERT_EQ(vcpu_set_msr(vcpu, 0x174, 0x8), 1);
	ASSERT_EQ(vcpu_set_msr(vcpu, 0x277, 0x0606060606060606), 1);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.limit = 0;
	vcpu_set_sregs(vcpu, &sregs);
	memcpy(vcpu->vm->ram + 0x1000, "\x0f\x0b", 2);
	vcpu_set_regs(vcpu, &regs);
	expect_shutdown(vcpu);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000082), 0);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x174), 0);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x277), 0x0606060606060606);
}

#define MASK_OLD	BIT(18)		/* AC */
#define MASK_NEW	(BIT(32) | RFLAGS_DF)

extern u8 syscall_target[];

/*
 * Whether the upper half of SFMASK can be written is up to the CPU (Intel's refuse it); what was
 * not refused is what SYSCALL uses.
 */
static void sfmask_guest(void)
{
	u64 value, flags, vector, cs;

	wrmsr(0xc0000080, rdmsr(0xc0000080) | EFER_SCE);
	wrmsr(0xc0000081, (u64)GUEST_CS64 << 32);
	wrmsr(0xc0000082, (uintptr_t)syscall_target);
	wrmsr(0xc0000084, MASK_OLD);
	vector = wrmsr_try(0xc0000084, MASK_NEW);
	GUEST_EXPECT(vector == NONE || vector == GP);
	GUEST_EXPECT_EQ(rdmsr_try(0xc0000084, &value), NONE);
	GUEST_EXPECT_EQ(value, vector == GP ? MASK_OLD : MASK_NEW);
	asm volatile(".globl syscall_target\n"
		     "pushfq\n orq %1, (%%rsp)\n popfq\n syscall\n"
		     "syscall_target: pushfq\n pop %0\n andq %2, %%r11\n push %%r11\n popfq"
		     : "=&r" (flags) : "e" ((int)(MASK_OLD | RFLAGS_DF)),
		       "e" ((int)~(MASK_OLD | RFLAGS_DF)) : "rcx", "r11", "memory");
	GUEST_EXPECT_EQ(flags & (MASK_OLD | RFLAGS_DF), vector == GP ? RFLAGS_DF : MASK_OLD);
	asm volatile("mov %%cs, %0" : "=r" (cs));
	GUEST_EXPECT_EQ(cs, GUEST_CS64);		/* of STAR */
	guest_done();
}

TEST(sfmask)
{
	run_done(guest_new(sfmask_guest));
}
