// SPDX-License-Identifier: GPL-2.0
/*
 * state_mp.c - KVM_GET/SET_MP_STATE with and without an in-kernel APIC.
 */
#include <linux/kvm_para.h>

#include "guest.h"
#include "vm.h"

#define MSR_SPEC_CTRL	0x48

static u32 get(struct vcpu *vcpu)
{
	struct kvm_mp_state mp;

	xioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	return mp.mp_state;
}

static int set(struct vcpu *vcpu, u32 state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	return ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp);
}

TEST(no_irqchip)
{
	struct vm *vm = vm_new();
	struct vcpu *a = vcpu_new(vm, 0), *b = vcpu_new(vm, 1);

	EXPECT_EQ(get(a), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(get(b), KVM_MP_STATE_RUNNABLE);
	EXPECT_RET(set(a, KVM_MP_STATE_RUNNABLE), 0);
	EXPECT_ERRNO(set(a, KVM_MP_STATE_UNINITIALIZED), EINVAL);
	EXPECT_ERRNO(set(a, KVM_MP_STATE_INIT_RECEIVED), EINVAL);
	EXPECT_ERRNO(set(a, KVM_MP_STATE_SIPI_RECEIVED), EINVAL);
	EXPECT_ERRNO(set(a, KVM_MP_STATE_HALTED), EINVAL);
	EXPECT_ERRNO(set(a, KVM_MP_STATE_STOPPED), EINVAL);
	EXPECT_ERRNO(set(a, 100), EINVAL);
}

TEST(irqchip)
{
	struct vm *vm = vm_new_irqchip();
	struct vcpu *bsp = vcpu_new(vm, 0), *ap = vcpu_new(vm, 1);
	static const u32 states[] = {
		KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_HALTED,
		KVM_MP_STATE_RUNNABLE,
	};

	EXPECT_EQ(get(bsp), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(get(ap), KVM_MP_STATE_UNINITIALIZED);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		EXPECT_RET(set(ap, states[i]), 0);
		EXPECT_EQ(get(ap), states[i]);
	}
	EXPECT_ERRNO(set(ap, KVM_MP_STATE_STOPPED), EINVAL);
	EXPECT_ERRNO(set(ap, 100), EINVAL);
}

static void guest(void)
{
	guest_done();
}

/* An AP that is made runnable by userspace runs as a BSP does. */
TEST(ap_made_runnable)
{
	struct vm *vm = vm_new_irqchip();
	struct vcpu *ap;

	vcpu_new(vm, 0);
	ap = vcpu_new(vm, 1);
	vcpu_cpuid(ap);
	vcpu_long(ap, guest, 0);
	EXPECT_RET(set(ap, KVM_MP_STATE_RUNNABLE), 0);
	run_done(ap);
}

/* SIPI_RECEIVED with a vector in VCPU_EVENTS: GET_MP_STATE, or a run, starts the AP there. */
TEST(sipi_by_userspace)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct vcpu *ap;

	vcpu_new(vm, 0);
	ap = vcpu_new(vm, 1);
	vcpu_cpuid(ap);
	xioctl(ap->fd, KVM_GET_VCPU_EVENTS, &events);
	events.sipi_vector = 0x12;
	events.flags = KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	xioctl(ap->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_RET(set(ap, KVM_MP_STATE_SIPI_RECEIVED), 0);
	EXPECT_EQ(get(ap), KVM_MP_STATE_RUNNABLE);
	vcpu_get_sregs(ap, &sregs);
	vcpu_get_regs(ap, &regs);
	EXPECT_EQ(sregs.cs.selector, 0x1200);
	EXPECT_EQ(sregs.cs.base, 0x12000);
	EXPECT_EQ(regs.rip, 0);
}

static void init_after_sipi_guest(void)
{
	apic_enable();
	apic_write(APIC_ICR2, 1 << 24);
	apic_write(APIC_ICR, 0x4600 | 0x12);
	apic_write(APIC_ICR, 0x4500);
	guest_done();
}

/* An INIT makes a SIPI void that came before it: the AP waits for another. */
TEST(init_after_sipi)
{
	struct vcpu *bsp = guest_new_irqchip(init_after_sipi_guest);
	struct vcpu *ap = vcpu_new(bsp->vm, 1);

	vcpu_cpuid(ap);
	run_done(bsp);
	EXPECT_EQ(get(ap), KVM_MP_STATE_INIT_RECEIVED);
	EXPECT_EQ(get(ap), KVM_MP_STATE_INIT_RECEIVED);
}

static void init_guest(void)
{
	apic_enable();
	apic_write(APIC_ICR2, 1 << 24);
	apic_write(APIC_ICR, 0x4500);
	guest_done();
}

/* INIT takes back what the host writes to the guest's memory unasked, and what one kernel chose. */
TEST(init_ends_sharing)
{
	static const struct {
		u32 index;
		u64 value;
	} msrs[] = {
		{ MSR_KVM_STEAL_TIME, GUEST_FREE | 1 },
		{ MSR_KVM_SYSTEM_TIME_NEW, (GUEST_FREE + 0x40) | 1 },
		{ MSR_KVM_PV_EOI_EN, (GUEST_FREE + 0x80) | 1 },
		{ MSR_SPEC_CTRL, 1 },
	};
	struct vcpu *bsp = guest_new_irqchip(init_guest);
	struct vcpu *ap = vcpu_new(bsp->vm, 1);
	int set[ARRAY_SIZE(msrs)];

	vcpu_cpuid(ap);
	/* One that the host does not have is none that INIT clears. */
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		set[i] = vcpu_set_msr(ap, msrs[i].index, msrs[i].value);
	run_done(bsp);
	EXPECT_EQ(get(ap), KVM_MP_STATE_INIT_RECEIVED);
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		test_context("MSR %#x", msrs[i].index);
		if (set[i])
			EXPECT_EQ(vcpu_get_msr(ap, msrs[i].index), 0);
	}
}

static void start_guest(void)
{
	apic_enable();
	apic_write(APIC_ICR2, 1 << 24);
	apic_write(APIC_ICR, 0x4500);
	apic_write(APIC_ICR, 0x4600 | 0x12);
	guest_done();
}

/* Nothing is completed where a SIPI has put the AP, though its RIP be that of what was to be. */
TEST(sipi_while_pending)
{
	struct vcpu *bsp = guest_new_irqchip(start_guest);
	struct vcpu *ap = vcpu_new(bsp->vm, 1);
	struct kvm_sregs sregs;

	/* out %al, $0x40; out %al, $0x41 */
	memcpy(bsp->vm->ram + 0x11000, "\xe6\x40\xe6\x41", 4);
	memcpy(bsp->vm->ram + 0x12000, "\xe6\x40\xe6\x41", 4);
	vcpu_cpuid(ap);
	vcpu_real(ap, 0);
	vcpu_get_sregs(ap, &sregs);
	sregs.cs.selector = 0x1100;
	sregs.cs.base = 0x11000;
	vcpu_set_sregs(ap, &sregs);
	EXPECT_RET(set(ap, KVM_MP_STATE_RUNNABLE), 0);
	expect_pio(ap, KVM_EXIT_IO_OUT, 0x40, 1, 1);
	run_done(bsp);
	EXPECT_EQ(get(ap), KVM_MP_STATE_RUNNABLE);
	expect_pio(ap, KVM_EXIT_IO_OUT, 0x40, 1, 1);
	vcpu_get_sregs(ap, &sregs);
	EXPECT_EQ(sregs.cs.base, 0x12000);
}

/* So it is with MMIO, whose instruction KVM completes wherever the AP is. */
TEST(sipi_while_mmio_pending)
{
	struct vcpu *bsp = guest_new_irqchip(start_guest);
	struct vcpu *ap = vcpu_new(bsp->vm, 1);
	struct kvm_sregs sregs;

	if (!on_minihv())
		test_skip("KVM completes the instruction wherever RIP is");
	/* mov 0, %al; there: out %al, $0x40; out %al, $0x41 */
	memcpy(bsp->vm->ram + 0x11000, "\xa0\x00\x00", 3);
	memcpy(bsp->vm->ram + 0x12000, "\xe6\x40\xe6\x41", 4);
	vcpu_cpuid(ap);
	vcpu_real(ap, 0);
	vcpu_get_sregs(ap, &sregs);
	sregs.cs.selector = 0x1100;
	sregs.cs.base = 0x11000;
	sregs.ds.base = 0xd0000000;
	vcpu_set_sregs(ap, &sregs);
	EXPECT_RET(set(ap, KVM_MP_STATE_RUNNABLE), 0);
	*expect_mmio(ap, 0, 0xd0000000, 1) = 0x55;
	run_done(bsp);
	EXPECT_EQ(get(ap), KVM_MP_STATE_RUNNABLE);
	EXPECT_EQ(*(u8 *)expect_pio(ap, KVM_EXIT_IO_OUT, 0x40, 1, 1), 0);
}

static volatile u32 nmis;

static void on_nmi(struct isr_frame *frame)
{
	(void)frame;
	nmis++;
}

static void woken_guest(void)
{
	isr_table[2] = on_nmi;
	guest_sync(0x100);
	GUEST_EXPECT_EQ(nmis, 1);
	guest_done();
}

/* Held after a reset, as an SEV-ES guest asks for it: an event ends that like a halt. */
TEST(reset_hold_ends)
{
	struct vcpu *vcpu = guest_new_irqchip(woken_guest);

	EXPECT_EQ(run_sync(vcpu), 0x100);
	vcpu_finish_io(vcpu);
	if (set(vcpu, KVM_MP_STATE_AP_RESET_HOLD))
		return;
	xioctl(vcpu->fd, KVM_NMI, 0);
	run_done(vcpu);
	EXPECT_EQ(get(vcpu), KVM_MP_STATE_RUNNABLE);
}

/* Older VMMs reset a CPU that had halted by its registers alone: the BSP is to run then. */
TEST(reset_vector_wakes)
{
	struct vm *vm = vm_new_irqchip();
	struct vcpu *bsp = vcpu_new(vm, 0), *ap = vcpu_new(vm, 1);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_regs(bsp, &regs);
	xioctl(bsp->fd, KVM_GET_SREGS, &sregs);
	EXPECT_RET(set(bsp, KVM_MP_STATE_HALTED), 0);
	vcpu_set_regs(bsp, &regs);
	EXPECT_EQ(get(bsp), KVM_MP_STATE_HALTED);
	xioctl(bsp->fd, KVM_SET_SREGS, &sregs);
	EXPECT_EQ(get(bsp), KVM_MP_STATE_RUNNABLE);
	/* Elsewhere it stays as it is, and so does an AP. */
	EXPECT_RET(set(bsp, KVM_MP_STATE_HALTED), 0);
	regs.rip = 0x1000;
	vcpu_set_regs(bsp, &regs);
	xioctl(bsp->fd, KVM_SET_SREGS, &sregs);
	EXPECT_EQ(get(bsp), KVM_MP_STATE_HALTED);
	EXPECT_RET(set(ap, KVM_MP_STATE_HALTED), 0);
	xioctl(ap->fd, KVM_GET_SREGS, &sregs);
	xioctl(ap->fd, KVM_SET_SREGS, &sregs);
	EXPECT_EQ(get(ap), KVM_MP_STATE_HALTED);
}
