// SPDX-License-Identifier: GPL-2.0
/*
 * lapic_x2apic.c - x2APIC: the ways between the modes, registers as MSRs, ICR in one write,
 * self-IPI, what raises #GP.
 */
#include "guest.h"
#include "vm.h"

#define X(reg) (MSR_X2APIC + ((reg) >> 4))

static volatile u32 taken, last;

static void on_irq(struct isr_frame *frame)
{
	last = frame->vector;
	taken++;
	x2apic_write(APIC_EOI, 0);
}

static void guest(void)
{
	u64 value;

	for (int i = 0x20; i < 0x100; i++)
		isr_table[i] = on_irq;
	/* The MSRs are not there yet. */
	GUEST_EXPECT_EQ(rdmsr_try(X(APIC_ID), &value), 13);
	apic_write(APIC_TPR, 0x10);
	x2apic_enable();
	GUEST_EXPECT_EQ(rdmsr(MSR_APICBASE), 0xfee00d00);
	GUEST_EXPECT_EQ(x2apic_read(APIC_TPR), 0x10);
	GUEST_EXPECT_EQ(x2apic_read(APIC_ID), 0);
	GUEST_EXPECT_EQ(x2apic_read(APIC_LDR), 1);
	GUEST_EXPECT_EQ(x2apic_read(APIC_VERSION) & 0xff, 0x14);
	x2apic_write(APIC_TPR, 0);

	x2apic_write(APIC_ICR, 0x40000 | 0x51);		/* self, by shorthand */
	sti_nop();
	GUEST_EXPECT_EQ(last, 0x51);
	wrmsr(0x83f, 0x52);				/* self-IPI register */
	sti_nop();
	GUEST_EXPECT_EQ(last, 0x52);
	x2apic_write(APIC_ICR, 0x53);			/* physical 0 */
	sti_nop();
	GUEST_EXPECT_EQ(last, 0x53);
	x2apic_write(APIC_ICR, 0x0000000100000800 | 0x54);	/* logical, cluster 0, bit 0 */
	sti_nop();
	GUEST_EXPECT_EQ(last, 0x54);
	x2apic_write(APIC_ICR, 0xffffffff00000000 | 0x55);	/* broadcast */
	sti_nop();
	GUEST_EXPECT_EQ(last, 0x55);
	GUEST_EXPECT_EQ(taken, 5);
	GUEST_EXPECT_EQ(x2apic_read(APIC_ICR) & ~0x1000ULL, 0xffffffff00000055);

	GUEST_EXPECT_EQ(wrmsr_try(X(APIC_ID), 1), 13);		/* read-only */
	GUEST_EXPECT_EQ(wrmsr_try(X(APIC_LDR), 1), 13);
	GUEST_EXPECT_EQ(rdmsr_try(X(APIC_EOI), &value), 13);	/* write-only */
	GUEST_EXPECT_EQ(rdmsr_try(X(APIC_DFR), &value), 13);	/* not in this mode */
	GUEST_EXPECT_EQ(rdmsr_try(X(APIC_ICR2), &value), 13);
	GUEST_EXPECT_EQ(wrmsr_try(X(APIC_TPR), 0x100000000), 13);	/* reserved bits */
	GUEST_EXPECT_EQ(wrmsr_try(X(APIC_ESR), 1), 13);		/* 0 only */
	GUEST_EXPECT_EQ(wrmsr_try(X(APIC_ESR), 0), 256);
	GUEST_EXPECT_EQ(wrmsr_try(0x83f, 0x100), 13);
	GUEST_EXPECT_EQ(rdmsr_try(0x83f, &value), 13);
	GUEST_EXPECT_EQ(rdmsr_try(0x8ff, &value), 13);
	/* x2APIC to xAPIC is no way; off, and then xAPIC, is. */
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00900), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00500), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00d01), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00100), 256);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).d >> 9 & 1, 0);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00d00), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_APICBASE, 0xfee00900), 256);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).d >> 9 & 1, 1);
	GUEST_EXPECT_EQ(apic_read(APIC_ID), 0);
	guest_done();
}

static void need_x2apic(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 1, 0);

	if (!e || !(e->ecx >> 21 & 1))
		test_skip("no x2APIC");
}

TEST(modes_and_registers)
{
	need_x2apic();
	run_done(guest_new_irqchip(guest));
}

/* With x2APIC on, 0xfee00000 is a hole of the chip set, not userspace's: a quirk of KVM. */
static void window_guest(void)
{
	x2apic_enable();
	apic_write(APIC_TPR, 0x70);
	GUEST_EXPECT_EQ(x2apic_read(APIC_TPR), 0);
	guest_sync(apic_read(APIC_ID));
	guest_done();
}

TEST(no_mmio_window)
{
	struct vcpu *vcpu;

	need_x2apic();
	vcpu = guest_new_irqchip(window_guest);
	EXPECT_EQ(run_sync(vcpu), 0xffffffff);
	run_done(vcpu);
}

static void moved_guest(void)
{
	isr_table[0x51] = on_irq;
	wrmsr(MSR_APICBASE, 0xfee00000 | 0x900);
	guest_sync(rdmsr(MSR_APICBASE));
	guest_done();
}

/* CPUID without x2APIC: the bit is reserved. */
TEST(not_offered)
{
	struct vcpu *vcpu = vcpu_new(vm_new_irqchip(), 0);
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_sregs sregs, bad;

	cpuid_entry(cpuid, 1, 0)->ecx &= ~BIT(21);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	vcpu_long(vcpu, moved_guest, 0);
	vcpu_get_sregs(vcpu, &sregs);
	bad = sregs;
	bad.apic_base |= BIT(10);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	EXPECT_EQ(run_sync(vcpu), 0xfee00900);
	run_done(vcpu);
}
