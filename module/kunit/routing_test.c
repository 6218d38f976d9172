// SPDX-License-Identifier: GPL-2.0
/*
 * GSI routing and what an MSI's address and data say.
 * Entered from KUnit.
 * No locks.
 * Linux, Documentation/virt/kvm/api.rst: KVM_SET_GSI_ROUTING; Intel SDM, "Message Signalled
 * Interrupts".
 */
#include "../minihv.h"

/* What reached the chips and the LAPICs. */
static struct {
	u32 ioapic_high, ioapic_low;
	u16 pic_high, pic_low;
	unsigned int msis;
	struct mhv_apic_msg msg;
	int answer;
} seen;

static int see_ioapic(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src, bool level,
		      bool want_status)
{
	*(level ? &seen.ioapic_high : &seen.ioapic_low) |= BIT(pin);
	return seen.answer;
}

static int see_pic(struct mhv_vm *vm, unsigned int pin, enum mhv_irq_source src, bool level)
{
	*(level ? &seen.pic_high : &seen.pic_low) |= BIT(pin);
	return seen.answer;
}

static int see_msi(struct mhv_vm *vm, struct mhv_vcpu *src, const struct mhv_apic_msg *msg)
{
	seen.msis++;
	seen.msg = *msg;
	return seen.answer;
}

#define mhv_ioapic_set see_ioapic
#define mhv_pic_set see_pic
#define mhv_lapic_deliver see_msi
#define mhv_ioapic_rescan(vm) do { } while (0)
#include "../io/routing.c"

#include "kunit.h"

static void table_free(struct kunit_resource *res)
{
	mhv_routing_destroy(res->data);
}

static struct mhv_vm *routing_vm(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	kunit_alloc_resource(test, NULL, table_free, GFP_KERNEL, vm);
	memset(&seen, 0, sizeof(seen));
	seen.answer = 1;
	return vm;
}

static struct kvm_irq_routing_entry to_pin(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static struct kvm_irq_routing_entry to_msi(u32 gsi, u32 lo, u32 hi, u32 data)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = lo, .address_hi = hi, .data = data },
	};
}

static void test_default(struct kunit *test)
{
	struct mhv_vm *vm = routing_vm(test);
	u32 gsi;

	KUNIT_ASSERT_EQ(test, mhv_routing_default(vm), 0);
	for (gsi = 0; gsi < 24; gsi++) {
		memset(&seen, 0, sizeof(seen));
		seen.answer = 1;
		KUNIT_EXPECT_EQ(test, mhv_irq_set(vm, MHV_SRC_USER, gsi, 1), gsi < 16 ? 2 : 1);
		KUNIT_EXPECT_EQ(test, seen.ioapic_high, (u32)BIT(gsi));
		KUNIT_EXPECT_EQ(test, seen.pic_high, (u16)(gsi < 16 ? BIT(gsi) : 0));
		KUNIT_EXPECT_EQ(test, seen.ioapic_low | seen.pic_low, 0U);
		KUNIT_EXPECT_EQ(test, routing_gsi_of(vm, KVM_IRQCHIP_IOAPIC, gsi), (int)gsi);
	}
	/* Beyond the table, to the last number: nothing. */
	for (gsi = 24; gsi; gsi = gsi * 2 > gsi ? gsi * 2 : 0)
		KUNIT_EXPECT_EQ(test, mhv_irq_set(vm, MHV_SRC_USER, gsi, 1), -1);
	KUNIT_EXPECT_EQ(test, mhv_irq_set(vm, MHV_SRC_USER, ~0U, 1), -1);
}

static void test_pulse(struct kunit *test)
{
	struct kvm_irq_routing_entry e[] = {
		to_pin(5, KVM_IRQCHIP_IOAPIC, 7), to_msi(6, 0xfee00000, 0, 0x40)
	};
	struct mhv_vm *vm = routing_vm(test);

	KUNIT_ASSERT_EQ(test, mhv_routing_set(vm, e, 2), 0);
	mhv_irq_pulse(vm, 5);
	KUNIT_EXPECT_EQ(test, seen.ioapic_high, (u32)BIT(7));
	KUNIT_EXPECT_EQ(test, seen.ioapic_low, (u32)BIT(7));
	/* An MSI is one message; a level that falls is none. */
	mhv_irq_pulse(vm, 6);
	KUNIT_EXPECT_EQ(test, seen.msis, 1U);
	KUNIT_EXPECT_EQ(test, mhv_irq_set(vm, MHV_SRC_USER, 6, 0), -1);
	KUNIT_EXPECT_EQ(test, seen.msis, 1U);
}

static void test_refused(struct kunit *test)
{
	struct kvm_irq_routing_entry good = to_pin(3, KVM_IRQCHIP_IOAPIC, 9);
	struct kvm_irq_routing_entry bad[] = {
		to_pin(MHV_MAX_GSI, KVM_IRQCHIP_IOAPIC, 0),
		to_pin(~0U, KVM_IRQCHIP_IOAPIC, 0),
		to_pin(0, 3, 0),
		to_pin(0, ~0U, 0),
		to_pin(0, KVM_IRQCHIP_IOAPIC, 24),
		to_pin(0, KVM_IRQCHIP_PIC_MASTER, 8),
		to_pin(0, KVM_IRQCHIP_PIC_SLAVE, ~0U),
		{ .type = 0 }, { .type = KVM_IRQ_ROUTING_S390_ADAPTER }, { .type = ~0U },
	};
	struct kvm_irq_routing_entry pair[2];
	struct mhv_vm *vm = routing_vm(test);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, mhv_routing_set(vm, &good, 1), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		pair[0] = to_pin(1, KVM_IRQCHIP_IOAPIC, 1);
		pair[1] = bad[i];
		KUNIT_EXPECT_EQ_MSG(test, mhv_routing_set(vm, pair, 2), -EINVAL, "entry %u", i);
	}
	/* One GSI: once to a chip; pins or an MSI. */
	pair[0] = to_pin(1, KVM_IRQCHIP_IOAPIC, 1);
	pair[1] = to_pin(1, KVM_IRQCHIP_IOAPIC, 2);
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, pair, 2), -EINVAL);
	pair[1] = to_msi(1, 0xfee00000, 0, 0x40);
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, pair, 2), -EINVAL);
	pair[0] = pair[1];
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, pair, 2), -EINVAL);
	pair[1] = to_pin(1, KVM_IRQCHIP_IOAPIC, 2);
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, pair, 2), -EINVAL);
	/* The table that was stays. */
	KUNIT_EXPECT_EQ(test, mhv_irq_set(vm, MHV_SRC_USER, 3, 1), 1);
	KUNIT_EXPECT_EQ(test, seen.ioapic_high, (u32)BIT(9));
	/* The largest there is. */
	good.gsi = MHV_MAX_GSI - 1;
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, &good, 1), 0);
	KUNIT_EXPECT_EQ(test, routing_gsi_of(vm, KVM_IRQCHIP_IOAPIC, 9), MHV_MAX_GSI - 1);
	/* A split chip has no pins. */
	vm->irqchip.mode = MHV_IRQCHIP_SPLIT;
	KUNIT_EXPECT_EQ(test, mhv_routing_set(vm, &good, 1), -EINVAL);
}

static void test_result(struct kunit *test)
{
	struct kvm_irq_routing_entry e[] = {
		to_pin(5, KVM_IRQCHIP_IOAPIC, 5), to_pin(5, KVM_IRQCHIP_PIC_MASTER, 5),
	};
	struct mhv_vm *vm = routing_vm(test);
	struct kvm_irq_level line = { .irq = 5, .level = 1 };

	KUNIT_ASSERT_EQ(test, mhv_routing_set(vm, e, 2), 0);
	seen.answer = -1;
	KUNIT_EXPECT_EQ(test, mhv_irq_line(vm, &line, true), 0);
	KUNIT_EXPECT_EQ(test, (s32)line.status, -1);
	seen.answer = 0;
	line.irq = 5;	/* the status was put in its place */
	mhv_irq_line(vm, &line, true);
	KUNIT_EXPECT_EQ(test, (s32)line.status, 0);
	vm->irqchip.mode = MHV_IRQCHIP_NONE;
	KUNIT_EXPECT_EQ(test, mhv_irq_line(vm, &line, true), -ENXIO);
}

/* Every field of an MSI by itself, with all others 0 and with all others 1. */
static void test_msi(struct kunit *test)
{
	struct mhv_vm *vm = routing_vm(test);
	unsigned int i, bit, others;
	struct mhv_apic_msg msg;
	u32 lo, data;

	for (i = 0; i < 2; i++) {
		others = i ? ~0U : 0;
		for (bit = 0; bit < 64; bit++) {
			lo = bit < 32 ? others ^ BIT(bit) : others;
			data = bit < 32 ? others : others ^ BIT(bit - 32);
			msi_decode(vm, &(struct mhv_msi){ lo, 0, data }, &msg);
			KUNIT_EXPECT_EQ(test, msg.dest, lo << 12 >> 24);
			KUNIT_EXPECT_EQ(test, msg.logical, (lo / 4) % 2 == 1);
			KUNIT_EXPECT_EQ(test, msg.redirect, (lo / 8) % 2 == 1);
			KUNIT_EXPECT_EQ(test, (u32)msg.vector, data % 256);
			KUNIT_EXPECT_EQ(test, (u32)msg.delivery, data / 256 % 8 * 256);
			KUNIT_EXPECT_EQ(test, msg.level, (data >> 15) % 2 == 1);
			KUNIT_EXPECT_TRUE(test, msg.assert);
			KUNIT_EXPECT_EQ(test, msg.shorthand, 0);
		}
	}
	/* Upper bits of the destination where userspace says that they are. */
	msi_decode(vm, &(struct mhv_msi){ 0xfee12000, 0x34500, 0 }, &msg);
	KUNIT_EXPECT_EQ(test, msg.dest, 0x12U);
	vm->caps |= BIT(MHV_VMCAP_X2APIC_32BIT);
	msi_decode(vm, &(struct mhv_msi){ 0xfee12000, 0x34500, 0 }, &msg);
	KUNIT_EXPECT_EQ(test, msg.dest, 0x34512U);
	KUNIT_EXPECT_EQ(test, msi_send(vm, &(struct mhv_msi){ 0xfee12000, 0x34501, 0 }), -EINVAL);
	KUNIT_EXPECT_EQ(test, seen.msis, 0U);
}

static void test_signal_msi(struct kunit *test)
{
	struct mhv_vm *vm = routing_vm(test);
	struct kvm_msi msi = { .address_lo = 0xfee03000, .data = 0x4099 };

	KUNIT_EXPECT_EQ(test, mhv_signal_msi(vm, &msi), 1);
	KUNIT_EXPECT_EQ(test, seen.msg.dest, 3U);
	KUNIT_EXPECT_EQ(test, (u32)seen.msg.vector, 0x99U);
	msi.flags = KVM_MSI_VALID_DEVID;
	KUNIT_EXPECT_EQ(test, mhv_signal_msi(vm, &msi), 1);
	msi.flags = 2;
	KUNIT_EXPECT_EQ(test, mhv_signal_msi(vm, &msi), -EINVAL);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_default),
	KUNIT_CASE(test_pulse),
	KUNIT_CASE(test_refused),
	KUNIT_CASE(test_result),
	KUNIT_CASE(test_msi),
	KUNIT_CASE(test_signal_msi),
	{}
};

static struct kunit_suite suite = { .name = "minihv_routing", .test_cases = cases };
kunit_test_suite(suite);
