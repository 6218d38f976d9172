// SPDX-License-Identifier: GPL-2.0
/*
 * pv_eoi.c - an EOI by clearing a bit in memory: when it is offered, that it is one, and which
 * values the MSR takes.
 */
#include <linux/kvm_para.h>
#include <stdbool.h>

#include "guest.h"
#include "vm.h"

#define BYTE		GUEST_FREE
#define READ_ONLY	0x40000000ULL

static volatile u8 *const byte = (void *)BYTE;
static volatile u64 taken, offered, plain, in_service;

/* As Linux does it. */
static bool eoi_by_bit(void)
{
	bool was;

	asm volatile("btrw $0, %1" : "=@ccc" (was), "+m" (*(volatile u16 *)byte) : : "memory");
	return was;
}

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	taken++;
	if (eoi_by_bit()) {
		offered++;
	} else {
		plain++;
		apic_write(APIC_EOI, 0);
	}
}

/* Nothing but the bit in the handler: what the LAPIC says is right afterwards. */
static u32 isr_bit(u8 vector)
{
	return apic_read(APIC_ISR + vector / 32 * 16) >> vector % 32 & 1;
}

static void on_watched(struct isr_frame *frame)
{
	taken++;
	in_service = isr_bit(frame->vector);
	/* That was an exit: the offer has been withdrawn, and need not be made again. */
	if (!eoi_by_bit())
		apic_write(APIC_EOI, 0);
}

static void self_ipi(u8 vector)
{
	apic_write(APIC_ICR, 0x40000 | vector);
}

static void start(void)
{
	apic_enable();
	*byte = 0;
	GUEST_EXPECT_EQ(rdmsr(MSR_KVM_PV_EOI_EN), 0);
	wrmsr(MSR_KVM_PV_EOI_EN, BYTE | 1);
	GUEST_EXPECT_EQ(rdmsr(MSR_KVM_PV_EOI_EN), BYTE | 1);
}

static void guest(void)
{
	isr_table[0x45] = on_irq;
	isr_table[0x65] = on_irq;
	isr_table[0x55] = on_watched;
	start();
	sti();
	/* Each comes, so each before had its end. */
	for (u64 n = 1; n <= 10; n++) {
		self_ipi(0x45);
		GUEST_WAIT(taken == n);
		GUEST_EXPECT_EQ(isr_bit(0x45), 0);
		GUEST_EXPECT_EQ(*byte, 0);
	}
	/* Not where an interrupt of the host's takes the offer back. */
	GUEST_EXPECT(offered >= 4);
	/* While another waits the end of the first has to be seen at once. */
	cli();
	self_ipi(0x45);
	self_ipi(0x65);
	offered = 0;
	plain = 0;
	sti();
	GUEST_WAIT(taken == 12);
	GUEST_EXPECT_EQ(plain, 1);
	GUEST_EXPECT_EQ(offered, 1);
	self_ipi(0x55);
	GUEST_WAIT(taken == 13);
	GUEST_EXPECT_EQ(in_service, 1);
	GUEST_EXPECT_EQ(isr_bit(0x55), 0);
	wrmsr(MSR_KVM_PV_EOI_EN, BYTE);
	self_ipi(0x45);
	GUEST_WAIT(taken == 14);
	GUEST_EXPECT_EQ(plain, 2);
	guest_done();
}

static void need_pv_eoi(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), KVM_CPUID_FEATURES, 0);

	if (!e || !(e->eax & BIT(KVM_FEATURE_PV_EOI)))
		test_skip("no EOI by a bit");
}

TEST(eoi)
{
	need_pv_eoi();
	run_done(guest_new_irqchip(guest));
}

/* The first time the handler's page is not there yet, and an exit takes back what was offered. */
#define ROUNDS	3

/* The line falls before the EOI. */
static void on_level(struct isr_frame *frame)
{
	(void)frame;
	GUEST_EXPECT_EQ(*byte, 0);
	taken++;
	guest_sync(9);
	if (eoi_by_bit())
		offered++;
	else
		plain++;
	apic_write(APIC_EOI, 0);
}

static void ioapic_guest(void)
{
	isr_table[0x45] = on_level;
	start();
	ioapic_entry(20, 0x45 | 0x8000);		/* level */
	sti();
	for (u64 n = 1; n <= ROUNDS; n++) {
		guest_sync(1);
		GUEST_WAIT(taken == n);
		guest_sync(2);
	}
	cli();
	GUEST_EXPECT_EQ(offered, 0);
	GUEST_EXPECT_EQ(plain, ROUNDS);
	GUEST_EXPECT_EQ(ioapic_read(0x10 + 40) & BIT(14), 0);	/* remote IRR */
	guest_done();
}

/* The end of a level-triggered interrupt is the IOAPIC's business. */
TEST(not_for_the_ioapic)
{
	struct vcpu *vcpu;

	need_pv_eoi();
	vcpu = guest_new_irqchip(ioapic_guest);
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(run_sync(vcpu), 1);
		vm_irq_line(vcpu->vm, 20, 1);
		EXPECT_EQ(run_sync(vcpu), 9);
		vm_irq_line(vcpu->vm, 20, 0);
		EXPECT_EQ(run_sync(vcpu), 2);
	}
	run_done(vcpu);
}

static void rtc_guest(void)
{
	isr_table[0x45] = on_irq;
	isr_table[0x65] = on_irq;
	start();
	outb(0x21, 0xff);
	ioapic_entry(8, 0x65);
	sti();
	for (u64 n = 1; n <= 3; n++) {
		self_ipi(0x45);
		GUEST_WAIT(taken == n);
	}
	GUEST_EXPECT(offered >= 1);
	offered = 0;
	for (u64 n = 4; n <= 6; n++) {
		guest_sync(n);
		GUEST_WAIT(taken == n);
	}
	GUEST_EXPECT_EQ(offered, 0);
	guest_done();
}

/* The RTC's ticks are counted as lost while the last one is in service, so its end must be seen. */
TEST(not_for_the_rtc)
{
	struct vcpu *vcpu;

	need_pv_eoi();
	vcpu = guest_new_irqchip(rtc_guest);
	for (u64 n = 4; n <= 6; n++) {
		EXPECT_EQ(run_sync(vcpu), n);
		vm_irq_line(vcpu->vm, 8, 1);
		vm_irq_line(vcpu->vm, 8, 0);
	}
	run_done(vcpu);
}

static void served_guest(void)
{
	isr_table[0x45] = on_irq;
	start();
	sti();
	self_ipi(0x45);
	GUEST_WAIT(taken == 1);
	guest_sync(*byte);
	self_ipi(0x45);
	GUEST_WAIT(taken == 2);
	guest_sync(*byte);
	guest_done();
}

/* What userspace sees of the LAPIC is right, whatever stands in memory. */
TEST(state)
{
	struct kvm_lapic_state state;
	struct vcpu *vcpu;

	need_pv_eoi();
	vcpu = guest_new_irqchip(served_guest);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(run_sync(vcpu), 0);
		xioctl(vcpu->fd, KVM_GET_LAPIC, &state);
		for (int n = 0; n < 8; n++)
			EXPECT_EQ(*(u32 *)(state.regs + APIC_ISR + 16 * n), 0);
	}
	run_done(vcpu);
	EXPECT_TRUE(guest_var(vcpu->vm, offered) >= 1);
}

TEST(values)
{
	struct vcpu *vcpu;

	need_pv_eoi();
	vcpu = vcpu_new(vm_new_irqchip(), 0);
	vcpu_cpuid(vcpu);
	ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_READONLY, READ_ONLY, 4096, mem_alloc(4096)), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, BYTE | 1), 1);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, (BYTE + 4) | 1), 1);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, BYTE | 2), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, BYTE | 3), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, RAM_SIZE | 1), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, RAM_SIZE), 1);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_PV_EOI_EN, READ_ONLY | 1), 0);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_KVM_PV_EOI_EN), RAM_SIZE);
	/* The other one that says how a guest waits. */
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_KVM_POLL_CONTROL), 1);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_POLL_CONTROL, 2), 0);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_POLL_CONTROL, 0), 1);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_KVM_POLL_CONTROL), 0);
}
