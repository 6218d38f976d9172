// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: the table of what is offered, a vCPU's look-up beside a search, and what follows it.
 * Entered from KUnit.
 * No locks.
 * Intel SDM volume 2, "CPUID"; AMD APM volume 3, "Obtaining Processor Information Via the CPUID
 * Instruction".
 */
#include "../cpuid.c"

#include "kunit.h"

static void test_rows(struct kunit *test)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < i; j++)
			KUNIT_EXPECT_FALSE(test, rows[i].leaf == rows[j].leaf &&
					   rows[i].sub == rows[j].sub);
		if (rows[i].sub)
			KUNIT_EXPECT_TRUE(test, leaf_is_indexed(rows[i].leaf));
	}
}

/* What guests are never to be told, whatever the CPU has. */
static void test_never(struct kunit *test)
{
	static const struct {
		u32 leaf, sub;
		u8 reg;
		u8 bit;
	} never[] = {
		{ 1, 0, ECX, 5 },		/* VMX */
		{ 1, 0, ECX, 3 },		/* MONITOR */
		{ 1, 0, ECX, 6 },		/* SMX */
		{ 1, 0, ECX, 15 },		/* PDCM: no counters */
		{ 1, 0, EDX, 21 },		/* debug store */
		{ 0x80000001, 0, ECX, 2 },	/* SVM */
		{ 0x80000001, 0, ECX, 12 },	/* SKINIT */
		{ 0x80000001, 0, ECX, 23 },	/* counters */
		{ 7, 0, EBX, 2 },		/* SGX */
		{ 7, 0, EBX, 25 },		/* PT */
		{ 7, 0, ECX, 3 },		/* protection keys */
		{ 7, 0, ECX, 7 },		/* shadow stacks */
		{ 7, 0, ECX, 16 },		/* 5-level paging */
		{ 7, 0, EDX, 24 },		/* AMX */
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(never); i++)
		KUNIT_EXPECT_FALSE_MSG(test, host_has(never[i].leaf, never[i].sub, never[i].reg,
						      BIT(never[i].bit)),
				       "leaf %x register %u bit %u", never[i].leaf, never[i].reg,
				       never[i].bit);
}

static void test_supported(struct kunit *test)
{
	unsigned int i, j;

	KUNIT_EXPECT_GT(test, nr_supported, 10U);
	KUNIT_EXPECT_LE(test, nr_supported, (u32)MHV_MAX_CPUID);
	for (i = 0; i < nr_supported; i++) {
		const struct kvm_cpuid_entry2 *e = &supported[i];

		for (j = 0; j < i; j++)
			KUNIT_EXPECT_FALSE(test, e->function == supported[j].function &&
					   e->index == supported[j].index);
		KUNIT_EXPECT_EQ(test, !!e->flags, leaf_is_indexed(e->function));
		for (j = 0; j < ARRAY_SIZE(e->padding); j++)
			KUNIT_EXPECT_EQ(test, e->padding[j], 0U);
	}
	/* Each class's last leaf is in the table. */
	for (i = 0; i < nr_supported; i++) {
		const struct kvm_cpuid_entry2 *e = &supported[i];
		bool found = false;

		if (e->function & 0x3fffffff)
			continue;
		for (j = 0; j < nr_supported; j++)
			found |= supported[j].function == e->eax;
		KUNIT_EXPECT_TRUE_MSG(test, found, "leaf %x", e->eax);
	}
	KUNIT_EXPECT_TRUE(test, host_has(1, 0, ECX, F(X2APIC)));
	/* State components: what XCR0 can have. */
	if (host_xcr0) {
		KUNIT_EXPECT_TRUE(test, host_has(0xd, 0, EAX, (u32)host_xcr0));
		KUNIT_EXPECT_FALSE(test, host_has(0xd, 0, EAX, ~(u32)host_xcr0));
	}
	KUNIT_EXPECT_EQ(test, xstate_size(0, false), 576U);
	KUNIT_EXPECT_EQ(test, xstate_size(3, false), 576U);
	KUNIT_EXPECT_EQ(test, xstate_size(3, true), 576U);
}

/* The CPU has it, but cannot let guests have it. */
static void test_lacks(struct kunit *test)
{
	struct kvm_cpuid_entry2 e = { .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u }, all = e;

	fix_80000001(&e);
	KUNIT_EXPECT_EQ(test, e.edx, ~0u);
	mhv_kunit_backend.caps.lacks = MHV_GUEST_INVPCID | MHV_GUEST_TSC_AUX | MHV_GUEST_XSAVES;
	fix_80000001(&e);
	KUNIT_EXPECT_EQ(test, e.edx, (u32)~F(RDTSCP));
	fix_7(&e);
	KUNIT_EXPECT_EQ(test, e.ebx, (u32)~F(INVPCID));
	KUNIT_EXPECT_EQ(test, e.ecx, (u32)~F(RDPID));
	fix_d_1(&all);
	KUNIT_EXPECT_EQ(test, all.eax, (u32)~F(XSAVES));
	mhv_kunit_backend.caps.lacks = 0;
}

/* The CPU has no UMIP, but guests can be let have it. */
static void test_umip(struct kunit *test)
{
	struct kvm_cpuid_entry2 e = {};

	fix_7(&e);
	KUNIT_EXPECT_EQ(test, e.ecx, 0U);
	mhv_kunit_backend.caps.umip = true;
	fix_7(&e);
	KUNIT_EXPECT_EQ(test, e.ecx, (u32)F(UMIP));
	mhv_kunit_backend.caps.umip = false;
}

static void give(struct kunit *test, struct mhv_vcpu *vcpu, const struct kvm_cpuid_entry2 *e,
		 u32 nr)
{
	struct kvm_cpuid_entry2 *copy = kvcalloc(max(nr, 1U), sizeof(*e), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, copy);
	if (nr)
		memcpy(copy, e, nr * sizeof(*e));
	kvfree(vcpu->cpuid);
	vcpu->cpuid_set = true;
	install(vcpu, copy, nr);
	derive(vcpu);
}

/* The first entry that matches, in the order given. */
static const struct kvm_cpuid_entry2 *search(const struct mhv_vcpu *vcpu, u32 leaf, u32 sub)
{
	u32 i;

	for (i = 0; i < vcpu->nr_cpuid; i++) {
		const struct kvm_cpuid_entry2 *e = &vcpu->cpuid[i];

		if (e->function == leaf && (!(e->flags & 1) || e->index == sub))
			return e;
	}
	return NULL;
}

static u32 pick_leaf(u64 *seed)
{
	static const u32 base[] = {
		0, 0, 0x40000000, 0x80000000, 0xc0000000, 0x40000100, 0xffffffc0
	};
	u32 x = mhv_kunit_random(seed);

	return base[x % ARRAY_SIZE(base)] + (x >> 8) % 70;
}

static void test_lookup(struct kunit *test)
{
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	struct kvm_cpuid_entry2 *e = kunit_kcalloc(test, 64, sizeof(*e), GFP_KERNEL);
	u64 seed = 0xc9;
	u32 i, j, nr;

	KUNIT_ASSERT_NOT_NULL(test, e);
	for (i = 0; i < 100; i++) {
		nr = mhv_kunit_random(&seed) % 65;
		for (j = 0; j < nr; j++) {
			e[j].function = pick_leaf(&seed);
			e[j].index = mhv_kunit_random(&seed) % 3;
			e[j].flags = mhv_kunit_random(&seed) & 1;
			e[j].eax = mhv_kunit_random(&seed);
		}
		give(test, vcpu, e, nr);
		for (j = 0; j < 500; j++) {
			u32 leaf = pick_leaf(&seed), sub = mhv_kunit_random(&seed) % 4;

			KUNIT_ASSERT_PTR_EQ(test, mhv_cpuid_find(vcpu, leaf, sub),
					    search(vcpu, leaf, sub));
		}
		KUNIT_ASSERT_PTR_EQ(test, mhv_cpuid_find(vcpu, ~0U, 0), search(vcpu, ~0U, 0));
	}
}

/* Leaves that are not there: zeros on AMD's, the last basic leaf on Intel's. */
static void test_absent(struct kunit *test)
{
	struct kvm_cpuid_entry2 e[] = {
		{ .function = 0, .eax = 2, .ebx = 0x756e6547, .edx = 0x49656e69,
		  .ecx = 0x6c65746e },
		{ .function = 2, .eax = 11, .ebx = 12, .ecx = 13, .edx = 14 },
		{ .function = 0x80000000, .eax = 0x80000001 },
	};
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	u32 a = 5, b = 1, c = 0, d = 1;

	give(test, vcpu, e, ARRAY_SIZE(e));
	KUNIT_EXPECT_TRUE(test, vcpu->features & MHV_GUEST_INTEL);
	mhv_cpuid(vcpu, &a, &b, &c, &d);
	KUNIT_EXPECT_EQ(test, a + b + c + d, 50U);
	a = 1;
	c = 0;
	mhv_cpuid(vcpu, &a, &b, &c, &d);	/* in range, not given */
	KUNIT_EXPECT_EQ(test, a | b | c | d, 0U);
	a = 0x80000005;
	mhv_cpuid(vcpu, &a, &b, &c, &d);
	KUNIT_EXPECT_EQ(test, a, 11U);
	memcpy(&e[0].ebx, "Auth", 4);
	memcpy(&e[0].edx, "enti", 4);
	memcpy(&e[0].ecx, "cAMD", 4);
	give(test, vcpu, e, ARRAY_SIZE(e));
	KUNIT_EXPECT_TRUE(test, vcpu->features & MHV_GUEST_AMD);
	a = 5;
	mhv_cpuid(vcpu, &a, &b, &c, &d);
	KUNIT_EXPECT_EQ(test, a | b | c | d, 0U);
	/* Beyond the last level of topology: the sub-leaf's number, and the x2APIC id. */
	e[0].eax = 0xb;
	e[1] = (struct kvm_cpuid_entry2) {
		.function = 0xb, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = 4, .ebx = 8, .ecx = 0x201, .edx = 0x77,
	};
	give(test, vcpu, e, ARRAY_SIZE(e));
	a = 0xb;
	c = 0x105;
	mhv_cpuid(vcpu, &a, &b, &c, &d);
	KUNIT_EXPECT_EQ(test, a | b, 0U);
	KUNIT_EXPECT_EQ(test, c, 5U);
	KUNIT_EXPECT_EQ(test, d, 0x77U);
}

/* Each feature that the core asks for: its bit, and no other, brings it. */
static void test_features(struct kunit *test)
{
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	struct kvm_cpuid_entry2 e = {};
	u32 *reg[4] = { &e.eax, &e.ebx, &e.ecx, &e.edx };
	unsigned int i;

	give(test, vcpu, NULL, 0);
	KUNIT_EXPECT_EQ(test, vcpu->features, 0U);
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		memset(&e, 0, sizeof(e));
		e.function = features[i].leaf;
		*reg[features[i].reg] = features[i].mask;
		give(test, vcpu, &e, 1);
		KUNIT_EXPECT_EQ(test, vcpu->features & features[i].feature, features[i].feature);
		*reg[features[i].reg] = ~features[i].mask;
		give(test, vcpu, &e, 1);
		KUNIT_EXPECT_NE(test, vcpu->features & features[i].feature, features[i].feature);
	}
}

static void test_cr4(struct kunit *test)
{
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	unsigned int i;

	give(test, vcpu, NULL, 0);
	KUNIT_EXPECT_EQ(test, vcpu->cr4_allowed, (u64)CR4_ALWAYS);
	give(test, vcpu, supported, nr_supported);
	for (i = 0; i < ARRAY_SIZE(cr4_bits); i++)
		KUNIT_EXPECT_EQ(test, !!(vcpu->cr4_allowed & cr4_bits[i].cr4),
				host_has(cr4_bits[i].leaf, 0, cr4_bits[i].reg, cr4_bits[i].mask));
	KUNIT_EXPECT_EQ(test, vcpu->cr4_allowed & (X86_CR4_VMXE | X86_CR4_SMXE | X86_CR4_LA57 |
						   X86_CR4_PKE | X86_CR4_CET), 0ULL);
	KUNIT_EXPECT_EQ(test, vcpu->xcr0_supported, host_xcr0);
}

static void test_runtime(struct kunit *test)
{
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);
	struct kvm_cpuid_entry2 e[] = { { .function = 1 }, { .function = 0xd, .flags = 1 } };

	vcpu->apic_base = MSR_IA32_APICBASE_ENABLE;
	vcpu->state.cr4 = X86_CR4_OSXSAVE;
	vcpu->xcr0 = XFEATURE_MASK_FP;
	give(test, vcpu, e, 2);
	KUNIT_EXPECT_TRUE(test, vcpu->cpuid[0].edx & BIT(9));
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		KUNIT_EXPECT_TRUE(test, vcpu->cpuid[0].ecx & BIT(27));
	KUNIT_EXPECT_EQ(test, vcpu->cpuid[1].ebx, 576U);
	vcpu->apic_base = 0;
	vcpu->state.cr4 = 0;
	mhv_cpuid_runtime(vcpu);
	KUNIT_EXPECT_FALSE(test, vcpu->cpuid[0].edx & BIT(9));
	KUNIT_EXPECT_FALSE(test, vcpu->cpuid[0].ecx & BIT(27));
}

static void test_width(struct kunit *test)
{
	struct kvm_cpuid_entry2 e = { .function = 0x80000008 };
	u32 virt;

	for (virt = 0; virt < 256; virt++) {
		e.eax = virt << 8 | 40;
		KUNIT_EXPECT_EQ(test, check_cpuid(&e, 1),
				virt == 0 || virt == 48 || virt == 57 ? 0 : -EINVAL);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_rows),
	KUNIT_CASE(test_never),
	KUNIT_CASE(test_supported),
	KUNIT_CASE(test_lacks),
	KUNIT_CASE(test_umip),
	KUNIT_CASE(test_lookup),
	KUNIT_CASE(test_absent),
	KUNIT_CASE(test_features),
	KUNIT_CASE(test_cr4),
	KUNIT_CASE(test_runtime),
	KUNIT_CASE(test_width),
	{}
};

/* KUnit runs the suites before the module's own init function. */
static int setup(struct kunit_suite *suite)
{
	mhv_cpuid_setup();
	return 0;
}

static struct kunit_suite suite = {
	.name = "minihv_cpuid", .suite_init = setup, .test_cases = cases,
};

kunit_test_suite(suite);
