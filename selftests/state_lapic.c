// SPDX-License-Identifier: GPL-2.0
/*
 * state_lapic.c - KVM_GET/SET_LAPIC: the reset state, registers both ways, pending interrupts
 * that come with the state, x2APIC ids, a deadline that comes in between.
 */
#include "guest.h"
#include "vm.h"

static u32 reg(struct kvm_lapic_state *s, u32 offset)
{
	return *(u32 *)(s->regs + offset);
}

static void set_reg(struct kvm_lapic_state *s, u32 offset, u32 value)
{
	*(u32 *)(s->regs + offset) = value;
}

TEST(reset_state)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_lapic_state s;

	for (int id = 0; id < 2; id++) {
		struct vcpu *vcpu = vcpu_new(vm, id);

		test_context("APIC %d", id);
		xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
		EXPECT_EQ(reg(&s, APIC_ID), id << 24);
		EXPECT_EQ(reg(&s, APIC_VERSION), 0x50014);
		EXPECT_EQ(reg(&s, APIC_TPR), 0);
		EXPECT_EQ(reg(&s, APIC_LDR), 0);
		EXPECT_EQ(reg(&s, APIC_DFR), 0xffffffff);
		EXPECT_EQ(reg(&s, APIC_SPIV), 0xff);
		EXPECT_EQ(reg(&s, APIC_LVTT), 0x10000);
		/* LINT0 of the BSP lets the PIC through, as a BIOS would set it. */
		EXPECT_EQ(reg(&s, APIC_LVT0), id ? 0x10000 : 0x700);
		EXPECT_EQ(reg(&s, APIC_LVT1), 0x10000);
		EXPECT_EQ(reg(&s, APIC_LVTERR), 0x10000);
		for (int i = 0; i < 8; i++)
			EXPECT_EQ(reg(&s, APIC_IRR + 16 * i) | reg(&s, APIC_ISR + 16 * i), 0);
	}
}

static void guest(void)
{
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x20);
	GUEST_EXPECT_EQ(apic_read(APIC_SPIV), 0x1f3);
	GUEST_EXPECT_EQ(apic_read(APIC_LVT0), 0x10700);
	GUEST_EXPECT_EQ(apic_read(APIC_LDR), 0x42000000);
	apic_write(APIC_TPR, 0x30);
	apic_write(APIC_LVT1, 0x400);
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_ICR2, 0x07000000);
	guest_sync(0);
	guest_done();
}

TEST(both_ways)
{
	struct vcpu *vcpu = guest_new_irqchip(guest);
	struct kvm_lapic_state s;

	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	set_reg(&s, APIC_TPR, 0x20);
	set_reg(&s, APIC_SPIV, 0x1f3);
	set_reg(&s, APIC_LVT0, 0x10700);
	set_reg(&s, APIC_LDR, 0x42000000);
	xioctl(vcpu->fd, KVM_SET_LAPIC, &s);
	run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	EXPECT_EQ(reg(&s, APIC_TPR), 0x30);
	EXPECT_EQ(reg(&s, APIC_PPR), 0x30);
	EXPECT_EQ(reg(&s, APIC_LVT1), 0x400);
	EXPECT_EQ(reg(&s, APIC_DFR), 0x0fffffff);
	EXPECT_EQ(reg(&s, APIC_ICR2), 0x07000000);
	EXPECT_EQ(vcpu->run->cr8, 3);
	run_done(vcpu);
}

static volatile u64 seen[2];
static volatile u32 count;

static void on_irq(struct isr_frame *frame)
{
	seen[count++ & 1] = frame->vector;
	apic_write(APIC_EOI, 0);
}

static void irr_guest(void)
{
	isr_table[0x45] = on_irq;
	isr_table[0xc1] = on_irq;
	guest_sync(0);
	sti_nop();
	GUEST_EXPECT_EQ(count, 2);
	GUEST_EXPECT_EQ(seen[0], 0xc1);
	GUEST_EXPECT_EQ(seen[1], 0x45);
	guest_done();
}

TEST(pending_interrupts)
{
	struct vcpu *vcpu = guest_new_irqchip(irr_guest);
	struct kvm_lapic_state s;

	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	set_reg(&s, APIC_SPIV, 0x1ff);
	set_reg(&s, APIC_IRR + 0x20, 1 << 5);
	set_reg(&s, APIC_IRR + 0x60, 1 << 1);
	xioctl(vcpu->fd, KVM_SET_LAPIC, &s);
	run_done(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(reg(&s, APIC_IRR + 16 * i) | reg(&s, APIC_ISR + 16 * i), 0);
}

static void set_timer(struct vcpu *vcpu, u32 count)
{
	struct kvm_lapic_state s;

	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	set_reg(&s, APIC_SPIV, 0x1ff);
	set_reg(&s, APIC_LVTT, 0x45);
	set_reg(&s, APIC_TDCR, 0xb);
	set_reg(&s, APIC_TMICT, count);
	set_reg(&s, APIC_TMCCT, count);
	xioctl(vcpu->fd, KVM_SET_LAPIC, &s);
}

static void waiting_guest(void)
{
	for (;;)
		guest_sync(apic_read(APIC_IRR + 0x20));
}

/* A timer that ran before is not the restored state's. KVM's interrupt comes after an exit. */
TEST(restored_stopped)
{
	struct vcpu *vcpu = guest_new_irqchip(waiting_guest);

	run_sync(vcpu);
	set_timer(vcpu, 50000000);
	set_timer(vcpu, 0);
	usleep(100000);
	run_sync(vcpu);
	EXPECT_EQ(run_sync(vcpu), 0);
	/* And one that runs fires. */
	set_timer(vcpu, 1000000);
	usleep(50000);
	run_sync(vcpu);
	EXPECT_EQ(run_sync(vcpu), 1 << 5);
}

/* Whom an interrupt reaches is up to the restored state at once. */
TEST(addressed_as_restored)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | 0x40 << 12 | 4, .data = 0x46 };
	struct vm *vm = vm_new_irqchip();
	struct vcpu *vcpu[2] = { vcpu_new(vm, 0), vcpu_new(vm, 1) };
	struct kvm_lapic_state s;

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 2; i++) {
			xioctl(vcpu[i]->fd, KVM_GET_LAPIC, &s);
			set_reg(&s, APIC_SPIV, 0x1ff);
			set_reg(&s, APIC_LDR, (i == (round & 1) ? 0x40 : 0x80) << 24);
			set_reg(&s, APIC_IRR + 0x20, 0);
			xioctl(vcpu[i]->fd, KVM_SET_LAPIC, &s);
		}
		EXPECT_RET(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi), 1);
		for (int i = 0; i < 2; i++) {
			xioctl(vcpu[i]->fd, KVM_GET_LAPIC, &s);
			EXPECT_EQ(reg(&s, APIC_IRR + 0x20), i == (round & 1) ? 1 << 6 : 0);
		}
	}
}

static void x2apic_guest(void)
{
	x2apic_enable();
	GUEST_EXPECT_EQ(x2apic_read(APIC_ID), 0);
	x2apic_write(APIC_ICR, 0x0000000500004000 | 0x33);
	guest_sync(0);
	guest_done();
}

TEST(x2apic_layout)
{
	struct vcpu *vcpu = guest_new_irqchip(x2apic_guest);
	struct kvm_lapic_state s;

	run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	EXPECT_EQ(reg(&s, APIC_ID), 0);
	EXPECT_EQ(reg(&s, APIC_LDR), 1);
	EXPECT_EQ(reg(&s, APIC_ICR) & 0xff, 0x33);
	EXPECT_EQ(reg(&s, APIC_ICR2), 5);
	EXPECT_EQ(vcpu->run->apic_base, 0xfee00d00);
	run_done(vcpu);
}

TEST(needs_an_irqchip)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_lapic_state s = { 0 };

	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_LAPIC, &s), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_LAPIC, &s), EINVAL);
}

static volatile u32 over;

static void on_deadline(struct isr_frame *frame)
{
	(void)frame;
	over++;
	apic_write(APIC_EOI, 0);
}

static void deadline_guest(void)
{
	isr_table[0x50] = on_deadline;
	apic_enable();
	apic_write(APIC_LVTT, 2 << 17 | 0x50);
	wrmsr(MSR_TSCDEADLINE, rdtsc() + 50000000);
	guest_sync(0);
	/* To the guest it is over when it is over. */
	while (rdmsr(MSR_TSCDEADLINE))
		cpu_pause();
	GUEST_EXPECT_EQ(apic_read(APIC_IRR + 0x20), BIT(0x10));
	guest_sync(0);
	sti_nop();
	GUEST_EXPECT_EQ(over, 1);
	guest_sync(0);
	guest_done();
}

/*
 * Userspace that has saved the registers before the deadline finds it in the MSR after it, until
 * the guest has taken the interrupt: else it would be in neither.
 */
TEST(deadline_over_but_not_taken)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_lapic_state s;
	struct vcpu *vcpu;
	u64 deadline;

	NEED_CAP(KVM_CAP_TSC_DEADLINE_TIMER);
	vcpu = guest_new_irqchip(deadline_guest);
	cpuid_entry(cpuid, 1, 0)->ecx |= BIT(24);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s);
	deadline = vcpu_get_msr(vcpu, MSR_TSCDEADLINE);
	for (int i = 0; i < 1000 && vcpu_get_msr(vcpu, MSR_TSC) < deadline; i++)
		usleep(1000);
	usleep(50000);
	EXPECT_TRUE(deadline);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_TSCDEADLINE), deadline);
	run_sync(vcpu);
	run_sync(vcpu);
	EXPECT_EQ(vcpu_get_msr(vcpu, MSR_TSCDEADLINE), 0);
	run_done(vcpu);
}
