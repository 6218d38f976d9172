// SPDX-License-Identifier: GPL-2.0
/*
 * lapic_timer.c - the APIC timer: one-shot, periodic, TSC deadline; its counter and divider.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0xe0

static volatile u32 ticks;

static void on_tick(struct isr_frame *frame)
{
	(void)frame;
	ticks++;
	apic_write(APIC_EOI, 0);
}

static void setup(u32 lvtt)
{
	isr_table[VECTOR] = on_tick;
	apic_enable();
	apic_write(APIC_TDCR, 0xb);		/* by 1 */
	apic_write(APIC_LVTT, lvtt);
}

static void one_shot_guest(void)
{
	setup(VECTOR);
	GUEST_EXPECT_EQ(apic_read(APIC_TMCCT), 0);
	for (u32 i = 0; i < 20; i++) {
		apic_write(APIC_TMICT, 100000);
		while (ticks == i)
			sti_hlt();
		GUEST_EXPECT_EQ(apic_read(APIC_TMCCT), 0);
		GUEST_EXPECT_EQ(apic_read(APIC_TMICT), 100000);
	}
	/* Masked, it counts but does not tell. */
	apic_write(APIC_LVTT, VECTOR | 0x10000);
	apic_write(APIC_TMICT, 1000);
	GUEST_WAIT(apic_read(APIC_TMCCT) == 0);
	sti_nop();
	GUEST_EXPECT_EQ(ticks, 20);
	/* Stopped by a zero. */
	apic_write(APIC_LVTT, VECTOR);
	apic_write(APIC_TMICT, 50000000);
	apic_write(APIC_TMICT, 0);
	GUEST_EXPECT_EQ(apic_read(APIC_TMCCT), 0);
	guest_done();
}

TEST(one_shot)
{
	run_done(guest_new_irqchip(one_shot_guest));
}

static void counter_guest(void)
{
	u32 last = 0xf0000000, value;

	setup(VECTOR | 0x10000);
	apic_write(APIC_TMICT, last);
	for (int i = 0; i < 1000; i++) {
		value = apic_read(APIC_TMCCT);
		GUEST_EXPECT(value && value < last);
		last = value;
	}
	/* By 128 it moves less. */
	apic_write(APIC_TDCR, 0xa);
	GUEST_EXPECT_EQ(apic_read(APIC_TDCR), 0xa);
	apic_write(APIC_TMICT, 0xf0000000);
	value = apic_read(APIC_TMCCT);
	GUEST_EXPECT(value <= 0xf0000000 && value > 0xe0000000);
	guest_done();
}

TEST(counter)
{
	run_done(guest_new_irqchip(counter_guest));
}

static void periodic_guest(void)
{
	setup(VECTOR | 0x20000);
	apic_write(APIC_TMICT, 2000000);	/* 2 ms at 1 GHz */
	while (ticks < 20)
		sti_hlt();
	apic_write(APIC_LVTT, VECTOR | 0x30000);
	sti_nop();
	ticks = 0;
	for (int i = 0; i < 1000; i++)
		apic_read(APIC_TMCCT);
	sti_nop();
	GUEST_EXPECT_EQ(ticks, 0);
	guest_done();
}

TEST(periodic)
{
	run_done(guest_new_irqchip(periodic_guest));
}

static void deadline_guest(void)
{
	u64 deadline;
	u32 seen, late;

	setup(VECTOR | 0x40000);
	for (u32 i = 0; i < 20; i++) {
		deadline = rdtsc() + 200000;
		wrmsr(MSR_TSCDEADLINE, deadline);
		while (ticks == i)
			sti_hlt();
		GUEST_EXPECT(rdtsc() >= deadline);
		GUEST_EXPECT_EQ(rdmsr(MSR_TSCDEADLINE), 0);
	}
	/* In the past: at once. */
	wrmsr(MSR_TSCDEADLINE, 1);
	while (ticks == 20)
		sti_hlt();
	/* Disarmed by a zero; the initial count is of no use in this mode. */
	wrmsr(MSR_TSCDEADLINE, rdtsc() + (1ULL << 40));
	GUEST_EXPECT(rdmsr(MSR_TSCDEADLINE) != 0);
	wrmsr(MSR_TSCDEADLINE, 0);
	GUEST_EXPECT_EQ(rdmsr(MSR_TSCDEADLINE), 0);
	apic_write(APIC_TMICT, 10);
	GUEST_EXPECT_EQ(apic_read(APIC_TMCCT), 0);
	sti_nop();
	GUEST_EXPECT_EQ(ticks, 21);
	/* Nor does one come that was near. */
	do {
		deadline = rdtsc() + 20000000;
		wrmsr(MSR_TSCDEADLINE, deadline);
		wrmsr(MSR_TSCDEADLINE, 0);
		late = rdtsc() >= deadline;
		sti_nop();
		seen = ticks;
	} while (late);
	while (rdtsc() < deadline + 20000000)
		cpu_pause();
	sti_nop();
	GUEST_EXPECT_EQ(ticks, seen);
	/* In the other modes the MSR reads as zero. */
	apic_write(APIC_LVTT, VECTOR | 0x10000);
	wrmsr(MSR_TSCDEADLINE, rdtsc() + 1000);
	GUEST_EXPECT_EQ(rdmsr(MSR_TSCDEADLINE), 0);
	guest_done();
}

TEST(tsc_deadline)
{
	struct vcpu *vcpu;
	struct kvm_cpuid2 *cpuid;

	NEED_CAP(KVM_CAP_TSC_DEADLINE_TIMER);
	vcpu = vcpu_new(vm_new_irqchip(), 0);
	/* Not in GET_SUPPORTED_CPUID, by tradition: userspace adds it. */
	cpuid = supported_cpuid();
	cpuid_entry(cpuid, 1, 0)->ecx |= BIT(24);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	vcpu_long(vcpu, deadline_guest, 0);
	run_done(vcpu);
}

/* A timer that is running is part of the state. */
static void saved_guest(void)
{
	setup(VECTOR);
	apic_write(APIC_TMICT, 4000000000U);
	guest_sync(0);
	while (!ticks)
		sti_hlt();
	guest_done();
}

static void tsc_moved_guest(void)
{
	isr_table[0x50] = on_tick;
	apic_enable();
	apic_write(APIC_LVTT, 2 << 17 | 0x50);
	wrmsr(MSR_TSCDEADLINE, rdtsc() + (1ULL << 45));
	wrmsr(MSR_TSC, rdtsc() + (1ULL << 46));
	sti();
	GUEST_WAIT(ticks == 1);
	GUEST_EXPECT_EQ(rdmsr(MSR_TSCDEADLINE), 0);
	guest_done();
}

/* The deadline is the guest's TSC's, wherever that is put. KVM's stays when it was to be. */
TEST(tsc_moved)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct vcpu *vcpu;

	if (!on_minihv())
		test_skip("KVM's deadline does not move");
	NEED_CAP(KVM_CAP_TSC_DEADLINE_TIMER);
	vcpu = guest_new_irqchip(tsc_moved_guest);
	cpuid_entry(cpuid, 1, 0)->ecx |= BIT(24);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	run_done(vcpu);
}

TEST(restored_state_rearms)
{
	struct vcpu *vcpu = guest_new_irqchip(saved_guest);
	struct kvm_lapic_state s;

	run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	EXPECT_EQ(*(u32 *)(s.regs + APIC_TMICT), 4000000000U);
	EXPECT_LE(*(u32 *)(s.regs + APIC_TMCCT), 4000000000U);
	*(u32 *)(s.regs + APIC_TMICT) = 1000000;
	*(u32 *)(s.regs + APIC_TMCCT) = 1000000;
	xioctl(vcpu->fd, KVM_SET_LAPIC, &s);
	run_done(vcpu);
}
