// SPDX-License-Identifier: GPL-2.0
/*
 * Destinations of interrupt messages: the map's answer and that of asking each LAPIC agree.
 * Entered from KUnit.
 * No locks.
 * Intel SDM vol. 3, "Determining IPI Destination", "Logical Destination Mode".
 */
#include "../io/lapic.h"

static u32 taken;	/* by vcpu->index */

static bool take(struct mhv_lapic *lapic, const struct mhv_apic_msg *msg, bool self)
{
	if (!lapic->sw_enabled && msg->delivery != APIC_DM_NMI)
		return false;
	taken |= BIT(lapic->vcpu->index);
	return true;
}

/* A stand-in that says who got a message. */
#define lapic_accept take
#include "../io/ipi.c"
#undef lapic_accept

#include "kunit.h"

#define NR	20

static struct mhv_vm *many(struct kunit *test, struct mhv_vcpu *vcpus[NR])
{
	struct mhv_vm *vm = mhv_kunit_vm(test);
	unsigned int i;

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	for (i = 0; i < NR; i++) {
		/* Some beyond the ids of the first x2APIC cluster. */
		vcpus[i] = mhv_kunit_vcpu(test, vm, i < NR / 2 ? i : 100 + i);
		vcpus[i]->index = i;
		vcpus[i]->lapic->sw_enabled = true;
	}
	return vm;
}

static void set_x2apic(struct mhv_vcpu *vcpu, bool on)
{
	vcpu->lapic->x2apic = on;
	lapic_set(vcpu->lapic, APIC_ID, on ? vcpu->id : vcpu->id << 24);
	if (on)
		lapic_set(vcpu->lapic, APIC_LDR, lapic_x2apic_ldr(vcpu->id));
}

static u32 deliver(struct mhv_vm *vm, struct mhv_vcpu *src, const struct mhv_apic_msg *msg,
		   int *ret)
{
	taken = 0;
	*ret = mhv_lapic_deliver(vm, src, msg);
	return taken;
}

/* By the map if there is one that can tell, and without one. */
static void compare(struct kunit *test, struct mhv_vm *vm, struct mhv_vcpu *src,
		    const struct mhv_apic_msg *msg)
{
	u32 mapped, scanned;
	int a, b;

	lapic_map_stale(vm);
	lapic_map_update(vm);
	mapped = deliver(vm, src, msg, &a);
	lapic_map_stale(vm);
	scanned = deliver(vm, src, msg, &b);
	KUNIT_ASSERT_EQ_MSG(test, mapped, scanned, "dest %x logical %d delivery %x", msg->dest,
			    msg->logical, msg->delivery);
	/* "None there" and "blocked" are told apart by the scan alone. */
	KUNIT_ASSERT_EQ(test, max(a, 0), max(b, 0));
}

static u32 pick_dest(u64 *seed)
{
	static const u32 odd[] = { 0, 0xff, 0xfe, ~0U, 0x100, 0x10000, 0x10001, 0xffff, 127, 128 };
	u32 x = mhv_kunit_random(seed);

	switch (x & 3) {
	case 0:
		return odd[(x >> 2) % ARRAY_SIZE(odd)];
	case 1:
		return (x >> 8) % 140;
	case 2:
		return (x >> 8) & 0xff;
	default:
		return (x >> 8) & 0x7ffff;
	}
}

static void shuffle(struct mhv_vcpu *vcpus[NR], u64 *seed)
{
	u32 how = mhv_kunit_random(seed);
	unsigned int i;

	for (i = 0; i < NR; i++) {
		struct mhv_lapic *lapic = vcpus[i]->lapic;
		u32 x = mhv_kunit_random(seed);

		lapic->hw_enabled = (x & 7) != 0;
		lapic->sw_enabled = (x & 0x38) != 0;
		/* All alike, or each as it likes. */
		set_x2apic(vcpus[i], how & 1 ? x & 0x40 : how & 2);
		if (lapic->x2apic)
			continue;
		lapic_set(lapic, APIC_DFR, (how & 4 ? x & 0x80 : how & 8) ?
			  APIC_DFR_CLUSTER : APIC_DFR_FLAT);
		if (how & 16)
			lapic_set(lapic, APIC_LDR, mhv_kunit_random(seed) & 0xff000000);
		else if (how & 8)
			lapic_set(lapic, APIC_LDR, (i / 4) << 28 | BIT(24 + i % 4));
		else
			lapic_set(lapic, APIC_LDR, i < 8 ? BIT(24 + i) : 0);
		if ((how & 0xe0) == 0xe0)
			lapic_set(lapic, APIC_ID, mhv_kunit_random(seed) & 0xff000000);
	}
}

static void test_map_and_scan(struct kunit *test)
{
	static const u32 delivery[] = {
		APIC_DM_FIXED, APIC_DM_LOWEST, APIC_DM_LOWEST, APIC_DM_NMI
	};
	struct mhv_vcpu *vcpus[NR];
	struct mhv_vm *vm = many(test, vcpus);
	struct mhv_apic_msg msg;
	u64 seed = 0xabcdef;
	unsigned int i, j;
	u32 x;

	for (i = 0; i < 300; i++) {
		shuffle(vcpus, &seed);
		vm->caps = mhv_kunit_random(&seed) & BIT(MHV_VMCAP_X2APIC_NO_BCAST);
		for (j = 0; j < 100; j++) {
			x = mhv_kunit_random(&seed);
			msg = (struct mhv_apic_msg) {
				.dest = pick_dest(&seed), .vector = 0x20 + (x & 0x3f),
				.logical = x >> 8 & 1, .assert = true,
				.delivery = delivery[x >> 27 & 3],
				.redirect = (x >> 10 & 7) == 7 && (x >> 27 & 3) != 3,
			};
			compare(test, vm, x >> 13 & 1 ? NULL : vcpus[x >> 16 & 7], &msg);
		}
	}
}

static void test_shorthands(struct kunit *test)
{
	struct mhv_vcpu *vcpus[NR];
	struct mhv_vm *vm = many(test, vcpus);
	struct mhv_apic_msg msg = { .vector = 0x50, .delivery = APIC_DM_FIXED, .assert = true };
	int ret;

	msg.shorthand = SHORT_SELF;
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[3], &msg, &ret), (u32)BIT(3));
	msg.shorthand = SHORT_ALL;
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[3], &msg, &ret), (u32)BIT(NR) - 1);
	KUNIT_EXPECT_EQ(test, ret, NR);
	msg.shorthand = SHORT_OTHERS;
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[3], &msg, &ret), (u32)((BIT(NR) - 1) & ~BIT(3)));
}

/* Lowest priority: one of those addressed that can take it, always the same for a vector. */
static void test_lowest(struct kunit *test)
{
	struct mhv_vcpu *vcpus[NR];
	struct mhv_vm *vm = many(test, vcpus);
	struct mhv_apic_msg msg = {
		.dest = 0xff, .delivery = APIC_DM_LOWEST, .logical = true, .assert = true
	};
	u32 all = 0, got;
	unsigned int i;
	int ret;

	for (i = 0; i < 8; i++)
		lapic_set(vcpus[i]->lapic, APIC_LDR, BIT(24 + i));
	vcpus[2]->lapic->sw_enabled = false;
	lapic_map_stale(vm);
	lapic_map_update(vm);
	msg.dest = 0x0f;
	for (i = 0x20; i < 0x40; i++) {
		msg.vector = i;
		got = deliver(vm, NULL, &msg, &ret);
		KUNIT_EXPECT_EQ(test, hweight32(got), 1U);
		KUNIT_EXPECT_EQ(test, deliver(vm, NULL, &msg, &ret), got);
		all |= got;
	}
	KUNIT_EXPECT_EQ(test, all, 0xbU);	/* each in turn, but not the one that is off */
}

static void test_pv_ipi(struct kunit *test)
{
	struct mhv_vcpu *vcpus[NR];
	struct mhv_vm *vm = many(test, vcpus);

	taken = 0;
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, 0x5, 0, 0, 0x50, true), 2);
	KUNIT_EXPECT_EQ(test, taken, 0x5U);
	taken = 0;
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, 0, BIT(47) | BIT(48), 0, 0x50, true), 2);
	KUNIT_EXPECT_EQ(test, taken, (u32)(BIT(11) | BIT(12)));
	/* Bits beyond all ids, and a lowest id at which the sum wraps. */
	taken = 0;
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, ~0ULL, ~0ULL, 200, 0x50, true), 0);
	KUNIT_EXPECT_EQ(test, taken, 0U);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, ~0ULL, ~0ULL, 255, 0x50, true), 0);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, ~0ULL, ~0ULL, ~0U, 0x50, true), 0);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, 1, 0, 0, 0x50 | APIC_DEST_LOGICAL, true),
			-KVM_EINVAL);
	/* 32-bit guests have 32 bits a word. */
	taken = 0;
	KUNIT_EXPECT_EQ(test, mhv_lapic_pv_ipi(vm, BIT_ULL(32), 0, 0, 0x50, false), 0);
	KUNIT_EXPECT_EQ(test, taken, 0U);
}

/* A vCPU that comes to be is in a map made before it had its place only after it is published. */
static void test_new_vcpu(struct kunit *test)
{
	struct mhv_vcpu *vcpus[NR], *new;
	struct mhv_vm *vm = many(test, vcpus);
	struct mhv_apic_msg msg = { .dest = 60, .delivery = APIC_DM_STARTUP, .assert = true };
	int ret;

	new = mhv_kunit_vcpu(test, vm, 60);
	new->index = NR;
	new->lapic->sw_enabled = true;
	xa_erase(&vm->vcpus, NR);
	lapic_map_update(vm);
	xa_store(&vm->vcpus, NR, new, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[0], &msg, &ret), 0U);
	mhv_lapic_published(vm);
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[0], &msg, &ret), (u32)BIT(NR));
	lapic_map_update(vm);
	KUNIT_EXPECT_EQ(test, deliver(vm, vcpus[0], &msg, &ret), (u32)BIT(NR));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_map_and_scan),
	KUNIT_CASE(test_shorthands),
	KUNIT_CASE(test_lowest),
	KUNIT_CASE(test_pv_ipi),
	KUNIT_CASE(test_new_vcpu),
	{}
};

static struct kunit_suite suite = { .name = "minihv_ipi", .test_cases = cases };
kunit_test_suite(suite);
