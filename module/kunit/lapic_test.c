// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC: registers by mode, priorities beside a second model, errors, INIT and SIPI.
 * Entered from KUnit.
 * No locks.
 * Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "../io/lapic.c"

#include "kunit.h"

static struct mhv_vcpu *lapic_vcpu(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	return mhv_kunit_vcpu(test, vm, 0);
}

static u32 rd(struct mhv_vcpu *vcpu, unsigned int offset)
{
	u32 val = 0xdeadbeef;

	mhv_lapic_mmio_read(vcpu, 0xfee00000 + offset, 4, &val);
	return val;
}

static void wr(struct mhv_vcpu *vcpu, unsigned int offset, u32 val)
{
	mhv_lapic_mmio_write(vcpu, 0xfee00000 + offset, 4, &val);
}

static void enable(struct mhv_vcpu *vcpu)
{
	wr(vcpu, APIC_SPIV, 0x1ff);
}

static void x2apic(struct mhv_vcpu *vcpu)
{
	u64 base = vcpu->apic_base | X2APIC_ENABLE;

	mhv_lapic_set_base(vcpu, base, vcpu->apic_base);
	vcpu->apic_base = base;
}

static bool fixed(struct mhv_vcpu *vcpu, u8 vector, bool level)
{
	struct mhv_apic_msg msg = {
		.vector = vector, .delivery = APIC_DM_FIXED, .level = level, .assert = true,
	};

	return lapic_accept(vcpu->lapic, &msg, false);
}

static void test_power_on(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ID), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_LVR), 0x50014U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TASKPRI), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_LDR), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_DFR), ~0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_SPIV), 0xffU);
	for (i = APIC_LVTT; i <= APIC_LVTERR; i += 0x10)
		KUNIT_EXPECT_EQ(test, rd(vcpu, i),
				i == APIC_LVT0 ? APIC_DM_EXTINT : APIC_LVT_MASKED);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMICT), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TMCCT), 0U);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TDCR), 0U);
	KUNIT_EXPECT_FALSE(test, fixed(vcpu, 0x40, false));	/* off by software */
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), -1);
}

/* Which registers x2APIC mode has, by the SDM's table; all others are a #GP. */
static void test_x2apic_access(struct kunit *test)
{
	static const struct {
		u16 index;
		u16 last;
		bool read;
		bool write;
	} rows[] = {
		{ 0x802, 0x803, true, false }, { 0x808, 0x808, true, true },
		{ 0x80a, 0x80a, true, false }, { 0x80b, 0x80b, false, true },
		{ 0x80d, 0x80d, true, false }, { 0x80f, 0x80f, true, true },
		{ 0x810, 0x827, true, false }, { 0x828, 0x828, true, true },
		{ 0x830, 0x830, true, true }, { 0x832, 0x838, true, true },
		{ 0x839, 0x839, true, false }, { 0x83e, 0x83e, true, true },
		{ 0x83f, 0x83f, false, true },
	};
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	bool may_read, may_write;
	unsigned int i;
	u32 index;
	u64 val;

	/* Not in that mode yet. */
	KUNIT_EXPECT_NE(test, mhv_lapic_msr_read(vcpu, 0x802, &val), 0);
	x2apic(vcpu);
	for (index = 0x800; index < 0x900; index++) {
		may_read = false;
		may_write = false;
		for (i = 0; i < ARRAY_SIZE(rows); i++) {
			if (index < rows[i].index || index > rows[i].last)
				continue;
			may_read = rows[i].read;
			may_write = rows[i].write;
		}
		KUNIT_EXPECT_EQ_MSG(test, !mhv_lapic_msr_read(vcpu, index, &val), may_read,
				    "read of MSR %x", index);
		val = index == 0x83f ? 0x50 : 0;
		KUNIT_EXPECT_EQ_MSG(test, !mhv_lapic_msr_write(vcpu, index, val), may_write,
				    "write of MSR %x", index);
		/* But for the ICR they are 32 bits wide. */
		if (index != 0x830)
			KUNIT_EXPECT_NE(test, mhv_lapic_msr_write(vcpu, index, BIT_ULL(32)), 0);
	}
	/* Reserved bits. */
	KUNIT_EXPECT_NE(test, mhv_lapic_msr_write(vcpu, 0x828, 1), 0);
	KUNIT_EXPECT_NE(test, mhv_lapic_msr_write(vcpu, 0x83f, 0x100), 0);
	KUNIT_EXPECT_NE(test, mhv_lapic_msr_write(vcpu, 0x830, BIT(13)), 0);
	KUNIT_EXPECT_NE(test, mhv_lapic_msr_write(vcpu, 0x830, BIT(20)), 0);
}

/* In xAPIC mode nothing faults: what is not there reads as 0 and takes no write. */
static void test_mmio_access(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	unsigned int i;
	u64 val;

	for (i = 0x400; i < 0x1000; i += 0x10) {
		wr(vcpu, i, ~0);
		KUNIT_ASSERT_EQ(test, rd(vcpu, i), 0U);
	}
	/* A register's bytes can be read, but not across two; writes are whole. */
	val = ~0;
	KUNIT_EXPECT_EQ(test, mhv_lapic_mmio_read(vcpu, 0xfee00032, 1, &val), 0);
	KUNIT_EXPECT_EQ(test, (u8)val, 0x05);
	KUNIT_EXPECT_EQ(test, mhv_lapic_mmio_read(vcpu, 0xfee00032, 4, &val), 0);
	KUNIT_EXPECT_EQ(test, (u32)val, 0U);
	KUNIT_EXPECT_EQ(test, mhv_lapic_mmio_read(vcpu, 0xfee00ff8, 8, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 0ULL);
	val = 0x77;
	mhv_lapic_mmio_write(vcpu, 0xfee00080, 1, &val);
	mhv_lapic_mmio_write(vcpu, 0xfee00084, 4, &val);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_TASKPRI), 0U);
	/* Beside the page. */
	KUNIT_EXPECT_EQ(test, mhv_lapic_mmio_read(vcpu, 0xfee01000, 4, &val), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, mhv_lapic_mmio_read(vcpu, 0xfedfffff, 4, &val), -EOPNOTSUPP);
	/* Read-only ones. */
	wr(vcpu, APIC_LVR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_LVR), 0x50014U);
	wr(vcpu, APIC_ISR, ~0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ISR), 0U);
}

/* ---- priorities, and a model of bool arrays beside them ---- */

struct ref {
	bool irr[256], isr[256], tmr[256];
	u8 tpr;
};

static int ref_top(const bool *set)
{
	int i;

	for (i = 255; i >= 0 && !set[i]; i--)
		;
	return i;
}

/* SDM: the higher class of TPR and ISR; TPR as it is if its class is at least that. */
static u8 ref_ppr(const struct ref *ref)
{
	int isrv = max(ref_top(ref->isr), 0);

	return ref->tpr >> 4 >= isrv >> 4 ? ref->tpr : isrv & 0xf0;
}

static int ref_pending(const struct ref *ref)
{
	int vector = ref_top(ref->irr);

	return vector >= 0 && vector >> 4 > ref_ppr(ref) >> 4 ? vector : -1;
}

static void ref_step(struct kunit *test, struct mhv_vcpu *vcpu, struct ref *ref, u64 *seed)
{
	u32 x = mhv_kunit_random(seed);
	u8 vector = x >> 8;
	int pending = ref_pending(ref), top;

	switch (x % 8) {
	case 0:
	case 1:
	case 2:
		KUNIT_ASSERT_EQ(test, fixed(vcpu, vector, x >> 16 & 1), vector >= 16);
		if (vector >= 16) {
			ref->irr[vector] = true;
			ref->tmr[vector] = x >> 16 & 1;
		}
		break;
	case 3:
	case 4:
		if (pending < 0)
			break;
		mhv_lapic_ack(vcpu, pending);
		ref->irr[pending] = false;
		ref->isr[pending] = true;
		break;
	case 5:
	case 6:
		wr(vcpu, APIC_EOI, 0);
		top = ref_top(ref->isr);
		if (top >= 0)
			ref->isr[top] = false;
		break;
	case 7:
		ref->tpr = x >> 17 & 3 ? 0 : vector;
		if (vector & 1)
			wr(vcpu, APIC_TASKPRI, ref->tpr);
		else
			mhv_lapic_set_tpr(vcpu, (ref->tpr &= 0xf0) >> 4);
		/* CR8 has no lower bits: the same class leaves those of TPR alone. */
		ref->tpr = rd(vcpu, APIC_TASKPRI);
		break;
	}
}

static void ref_compare(struct kunit *test, struct mhv_vcpu *vcpu, const struct ref *ref)
{
	int top = ref_top(ref->irr), held;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, mhv_lapic_pending(vcpu), ref_pending(ref));
	KUNIT_ASSERT_EQ(test, rd(vcpu, APIC_PROCPRI), (u32)ref_ppr(ref));
	KUNIT_ASSERT_EQ(test, (int)vcpu->lapic->isr_top, ref_top(ref->isr));
	held = top >= 16 && top >> 4 <= ref->tpr >> 4 ? top >> 4 : 0;
	KUNIT_ASSERT_EQ(test, (int)mhv_lapic_tpr_threshold(vcpu), held);
	for (i = 0; i < 256; i++) {
		u32 bit = BIT(i & 31), reg = (i >> 5) << 4;

		KUNIT_ASSERT_EQ(test, !!(rd(vcpu, APIC_IRR + reg) & bit), ref->irr[i]);
		KUNIT_ASSERT_EQ(test, !!(rd(vcpu, APIC_ISR + reg) & bit), ref->isr[i]);
		KUNIT_ASSERT_EQ(test, !!(rd(vcpu, APIC_TMR + reg) & bit), ref->tmr[i]);
	}
}

static void test_reference(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	struct ref *ref = kunit_kzalloc(test, sizeof(*ref), GFP_KERNEL);
	u64 seed = 0x1234567;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, ref);
	enable(vcpu);
	for (i = 0; i < 3000; i++) {
		ref_step(test, vcpu, ref, &seed);
		ref_compare(test, vcpu, ref);
	}
}

/* Highest first, and what is in service holds back its own class and those below. */
static void test_nesting(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);

	enable(vcpu);
	fixed(vcpu, 0x41, false);
	fixed(vcpu, 0x52, false);
	fixed(vcpu, 0x55, false);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), 0x55);
	mhv_lapic_ack(vcpu, 0x55);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), -1);
	fixed(vcpu, 0x60, false);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), 0x60);
	mhv_lapic_ack(vcpu, 0x60);
	wr(vcpu, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), -1);
	wr(vcpu, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), 0x52);
}

/* ---- errors ---- */

static void test_errors(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);

	enable(vcpu);
	wr(vcpu, APIC_LVTERR, 0xfe);
	KUNIT_EXPECT_FALSE(test, fixed(vcpu, 15, false));
	/* Shown by the next write to ESR, not before; it interrupts at once. */
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), 0U);
	KUNIT_EXPECT_EQ(test, mhv_lapic_pending(vcpu), 0xfe);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), (u32)APIC_ESR_RECVILL);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), 0U);
	wr(vcpu, APIC_ICR, APIC_DEST_SELF | 3);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), (u32)APIC_ESR_SENDILL);
	/* An illegal vector in the error's own entry must not recurse. */
	wr(vcpu, APIC_LVTERR, 0x05);
	fixed(vcpu, 1, false);
	wr(vcpu, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ESR), (u32)APIC_ESR_RECVILL);
}

static void test_lvt(struct kunit *test)
{
	static const struct {
		u16 offset;
		u32 bits;
	} rows[] = {
		{ APIC_LVTT, 0x300ff }, { APIC_LVTTHMR, 0x107ff }, { APIC_LVTPC, 0x107ff },
		{ APIC_LVT0, 0x1e7ff }, { APIC_LVT1, 0x1e7ff }, { APIC_LVTERR, 0x100ff },
	};
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	unsigned int i;

	enable(vcpu);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		wr(vcpu, rows[i].offset, ~0);
		KUNIT_EXPECT_EQ_MSG(test, rd(vcpu, rows[i].offset) & ~(u32)APIC_SEND_PENDING,
				    rows[i].bits, "LVT at %x", rows[i].offset);
		wr(vcpu, rows[i].offset, 0x40);
		KUNIT_EXPECT_EQ(test, rd(vcpu, rows[i].offset), 0x40U);
	}
	/* Switched off by software, all are masked, and stay so. */
	wr(vcpu, APIC_SPIV, 0xff);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		KUNIT_EXPECT_EQ(test, rd(vcpu, rows[i].offset), 0x40U | APIC_LVT_MASKED);
		wr(vcpu, rows[i].offset, 0x40);
		KUNIT_EXPECT_EQ(test, rd(vcpu, rows[i].offset), 0x40U | APIC_LVT_MASKED);
	}
}

static void test_local_nmi(struct kunit *test)
{
	struct kvm_lapic_state *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct mhv_vcpu *vcpu = lapic_vcpu(test);

	KUNIT_ASSERT_NOT_NULL(test, s);
	enable(vcpu);
	wr(vcpu, APIC_LVT0, APIC_DM_NMI);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->vm->irqchip.lint0_nmi), 1);
	mhv_lapic_local_deliver(vcpu, APIC_LVT0);
	mhv_lapic_local_deliver(vcpu, APIC_LVT0);
	mhv_lapic_local_deliver(vcpu, APIC_LVT0);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->nmi_queued), 2);
	wr(vcpu, APIC_LVT0, APIC_DM_NMI | APIC_LVT_MASKED);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->vm->irqchip.lint0_nmi), 0);
	wr(vcpu, APIC_LVT0, APIC_DM_NMI);
	mhv_lapic_get_state(vcpu, s);
	mhv_lapic_reset(vcpu, false);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->vm->irqchip.lint0_nmi), 0);
	KUNIT_EXPECT_EQ(test, mhv_lapic_set_state(vcpu, s), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&vcpu->vm->irqchip.lint0_nmi), 1);
}

static int send_logical(struct mhv_vm *vm, u32 dest)
{
	struct mhv_apic_msg msg = {
		.dest = dest, .logical = true, .vector = 0x40, .delivery = APIC_DM_FIXED,
		.assert = true,
	};

	return mhv_lapic_deliver(vm, NULL, &msg);
}

/* Who is addressed, by the map of ids, follows what a guest writes at once. */
static void test_addressed(struct kunit *test)
{
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	struct mhv_vm *vm = vcpu->vm;
	u64 off = vcpu->apic_base & ~(u64)MSR_IA32_APICBASE_ENABLE;

	enable(vcpu);
	wr(vcpu, APIC_LDR, 0x02000000);
	lapic_map_stale(vm);
	lapic_map_update(vm);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 2), 1);
	wr(vcpu, APIC_LDR, 0x04000000);
	KUNIT_EXPECT_LE(test, send_logical(vm, 2), 0);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 4), 1);
	/* In the cluster's model 4 is cluster 0, bit 2; 14h is another cluster. */
	wr(vcpu, APIC_DFR, 0);
	KUNIT_EXPECT_LE(test, send_logical(vm, 0x14), 0);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 4), 1);
	wr(vcpu, APIC_SPIV, 0xff);
	KUNIT_EXPECT_LE(test, send_logical(vm, 4), 0);
	enable(vcpu);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 4), 1);
	/* Switched off as a whole, and on again. */
	mhv_lapic_set_base(vcpu, off, vcpu->apic_base);
	lapic_map_update(vm);
	KUNIT_EXPECT_LE(test, send_logical(vm, 4), 0);
	mhv_lapic_set_base(vcpu, vcpu->apic_base, off);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 4), 1);
	lapic_map_update(vm);
	KUNIT_EXPECT_EQ(test, send_logical(vm, 4), 1);
}

/* A SIPI counts for one that waits for it; an INIT makes one before it void. */
static void test_init_sipi(struct kunit *test)
{
	struct mhv_apic_msg init = { .delivery = APIC_DM_INIT, .level = true, .assert = true };
	struct mhv_apic_msg deassert = { .delivery = APIC_DM_INIT, .level = true };
	struct mhv_apic_msg sipi = { .delivery = APIC_DM_STARTUP, .vector = 0x9a };
	struct mhv_vcpu *vcpu = lapic_vcpu(test);

	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	KUNIT_EXPECT_FALSE(test, lapic_accept(vcpu->lapic, &deassert, false));
	lapic_accept(vcpu->lapic, &sipi, false);
	mhv_lapic_accept_events(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->mp_state, (u32)KVM_MP_STATE_RUNNABLE);
	KUNIT_EXPECT_NE(test, vcpu->state.seg[MHV_CS].selector, 0x9a00);
	lapic_accept(vcpu->lapic, &sipi, false);
	lapic_accept(vcpu->lapic, &init, false);
	mhv_lapic_accept_events(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->mp_state, (u32)KVM_MP_STATE_INIT_RECEIVED);
	lapic_accept(vcpu->lapic, &sipi, false);
	mhv_lapic_accept_events(vcpu);
	KUNIT_EXPECT_EQ(test, vcpu->mp_state, (u32)KVM_MP_STATE_RUNNABLE);
	KUNIT_EXPECT_EQ(test, vcpu->state.seg[MHV_CS].selector, 0x9a00);
	KUNIT_EXPECT_EQ(test, vcpu->state.seg[MHV_CS].base, 0x9a000ULL);
	KUNIT_EXPECT_EQ(test, vcpu->state.rip, 0ULL);
	KUNIT_EXPECT_FALSE(test, mhv_lapic_has_events(vcpu));
}

static void test_ids(struct kunit *test)
{
	struct mhv_vm *vm = mhv_kunit_vm(test);
	struct mhv_vcpu *vcpu;
	u64 val;

	vm->irqchip.mode = MHV_IRQCHIP_FULL;
	vcpu = mhv_kunit_vcpu(test, vm, 0x35);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ID), 0x35000000U);
	wr(vcpu, APIC_ID, 0x12345678);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ID), 0x12000000U);
	wr(vcpu, APIC_DFR, 0);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_DFR), 0x0fffffffU);
	x2apic(vcpu);
	KUNIT_EXPECT_EQ(test, mhv_lapic_msr_read(vcpu, 0x802, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 0x35ULL);
	/* Cluster and bit of the id. */
	KUNIT_EXPECT_EQ(test, mhv_lapic_msr_read(vcpu, 0x80d, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 0x30020ULL);
	/* Back in one step, as userspace may. */
	mhv_lapic_set_base(vcpu, vcpu->apic_base & ~(u64)X2APIC_ENABLE, vcpu->apic_base);
	KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_ID), 0x35000000U);
}

/* What is saved can be restored, and any bytes are safe. */
static void test_state(struct kunit *test)
{
	struct kvm_lapic_state *s = kunit_kzalloc(test, 3 * sizeof(*s), GFP_KERNEL);
	struct mhv_vcpu *vcpu = lapic_vcpu(test);
	unsigned int i, j;
	u64 seed = 9;

	KUNIT_ASSERT_NOT_NULL(test, s);
	enable(vcpu);
	fixed(vcpu, 0x55, true);
	fixed(vcpu, 0x77, false);
	mhv_lapic_ack(vcpu, 0x77);
	mhv_lapic_get_state(vcpu, &s[0]);
	mhv_lapic_reset(vcpu, false);
	KUNIT_EXPECT_EQ(test, mhv_lapic_set_state(vcpu, &s[0]), 0);
	mhv_lapic_get_state(vcpu, &s[1]);
	KUNIT_EXPECT_EQ(test, memcmp(&s[0], &s[1], sizeof(*s)), 0);
	KUNIT_EXPECT_EQ(test, (int)vcpu->lapic->isr_top, 0x77);

	for (i = 0; i < 300; i++) {
		for (j = 0; j < sizeof(*s); j++)
			s[2].regs[j] = mhv_kunit_random(&seed);
		mhv_lapic_set_state(vcpu, &s[2]);
		for (j = 0; j < 0x400; j += 0x10)
			rd(vcpu, j);
		KUNIT_EXPECT_EQ(test, rd(vcpu, APIC_LVR), 0x50014U);
		for (j = 0; j < 300; j++)
			wr(vcpu, APIC_EOI, 0);
		KUNIT_EXPECT_EQ(test, (int)vcpu->lapic->isr_top, -1);
	}
	mhv_lapic_reset(vcpu, false);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_power_on),
	KUNIT_CASE(test_x2apic_access),
	KUNIT_CASE(test_mmio_access),
	KUNIT_CASE(test_reference),
	KUNIT_CASE(test_nesting),
	KUNIT_CASE(test_errors),
	KUNIT_CASE(test_lvt),
	KUNIT_CASE(test_local_nmi),
	KUNIT_CASE(test_addressed),
	KUNIT_CASE(test_init_sipi),
	KUNIT_CASE(test_ids),
	KUNIT_CASE(test_state),
	{}
};

static struct kunit_suite suite = { .name = "minihv_lapic", .test_cases = cases };
kunit_test_suite(suite);
