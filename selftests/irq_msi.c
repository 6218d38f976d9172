// SPDX-License-Identifier: GPL-2.0
/*
 * irq_msi.c - KVM_SIGNAL_MSI: destinations, delivery modes, and the number it returns.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0x51

static volatile u32 count, nmis;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	count++;
	apic_write(APIC_EOI, 0);
}

static void on_nmi(struct isr_frame *frame)
{
	(void)frame;
	nmis++;
}

static void guest(void)
{
	isr_table[VECTOR] = on_irq;
	isr_table[2] = on_nmi;
	guest_sync(0);				/* APIC off by software */
	GUEST_EXPECT_EQ(count, 0);
	apic_enable();
	apic_write(APIC_LDR, 0x04000000);
	for (;;) {
		guest_sync(count | (u64)nmis << 32);
		sti_nop();
	}
}

static int msi(struct vm *vm, u32 lo, u32 data)
{
	struct kvm_msi m = { .address_lo = 0xfee00000 | lo, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &m);
}

TEST(one_vcpu)
{
	struct vcpu *vcpu = guest_new_irqchip(guest);
	struct vm *vm = vcpu->vm;

	NEED_CAP(KVM_CAP_SIGNAL_MSI);
	run_sync(vcpu);
	EXPECT_RET(msi(vm, 0, VECTOR), 0);		/* blocked */
	EXPECT_EQ(run_sync(vcpu), 0);
	EXPECT_RET(msi(vm, 0, VECTOR), 1);
	EXPECT_RET(msi(vm, 0, VECTOR), 1);		/* pending: the two are one */
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_RET(msi(vm, 7 << 12, VECTOR), 0);	/* nobody there */
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_RET(msi(vm, 0xff << 12, VECTOR), 1);	/* broadcast */
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_RET(msi(vm, 4 << 12 | 4, VECTOR), 1);	/* logical */
	EXPECT_EQ(run_sync(vcpu), 3);
	EXPECT_RET(msi(vm, 8 << 12 | 4, VECTOR), 0);
	EXPECT_EQ(run_sync(vcpu), 3);
	EXPECT_RET(msi(vm, 4 << 12 | 0xc, VECTOR | 0x100), 1);	/* lowest priority */
	EXPECT_EQ(run_sync(vcpu), 4);
	EXPECT_RET(msi(vm, 0, 0x400), 1);		/* NMI */
	EXPECT_EQ(run_sync(vcpu), 4 | 1ULL << 32);
	/* Unknown flags. */
	{
		struct kvm_msi m = { .address_lo = 0xfee00000, .data = VECTOR, .flags = 2 };

		EXPECT_ERRNO(ioctl(vm->fd, KVM_SIGNAL_MSI, &m), EINVAL);
	}
}

static volatile u32 awake;

static void sleeper(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	__atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
	sti_hlt();
	guest_done();
}

/* Halted vCPUs, each in its thread, wake by an MSI to all. */
TEST(wakes_all)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };

	for (int id = 0; id < 4; id++) {
		struct vcpu *vcpu = vcpu_new(vm, id);

		vcpu_cpuid(vcpu);
		vcpu_long(vcpu, sleeper, 0);
		xioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable);
		vcpu_start(vcpu);
	}
	while (guest_var(vm, awake) != 4)
		usleep(1000);
	/* Whether they halt first or not: the interrupt waits for STI. */
	EXPECT_RET(msi(vm, 0xff << 12, VECTOR), 4);
	for (int id = 0; id < 4; id++)
		vcpu_join(&vm->vcpu[id]);
}

/* An id that nobody has: nobody takes it, and that is no error, before any vCPU ran either. */
TEST(nobody)
{
	struct vm *vm = vm_new_irqchip();

	vcpu_cpuid(vcpu_new(vm, 0));
	EXPECT_RET(msi(vm, 0xdf << 12, VECTOR), 0);
	EXPECT_RET(msi(vm, 2 << 12 | 8, VECTOR | 0x100), 0);
}
