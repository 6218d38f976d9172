// SPDX-License-Identifier: GPL-2.0
/*
 * split_irqchip.c - KVM_CAP_SPLIT_IRQCHIP: APICs in the kernel, PIC and IOAPIC in userspace:
 * EOI exits, external interrupts by KVM_INTERRUPT, IRQ_LINE through MSI routes, errnos.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0x55
#define EXTINT	0x30

static volatile u32 count, extints;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	count++;
	apic_write(APIC_EOI, 0);
}

static void on_extint(struct isr_frame *frame)
{
	(void)frame;
	extints++;
}

static int split(struct vm *vm, u64 pins)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = pins };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct vm *split_vm(void)
{
	struct vm *vm;

	NEED_CAP(KVM_CAP_SPLIT_IRQCHIP);
	vm = vm_new();
	ASSERT_RET(split(vm, 24), 0);
	return vm;
}

static void route_to(struct vm *vm, u32 dest, u32 gsi, u32 vector, int level)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} r = {
		.head.nr = 1, .e.gsi = gsi, .e.type = KVM_IRQ_ROUTING_MSI,
		.e.u.msi = { .address_lo = 0xfee00000 | dest << 12,
			      .data = vector | (level ? 0xc000 : 0) },
	};

	xioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

static void route(struct vm *vm, u32 gsi, u32 vector, int level)
{
	route_to(vm, 0, gsi, vector, level);
}

static void guest(void)
{
	isr_table[VECTOR] = on_irq;
	isr_table[EXTINT] = on_extint;
	apic_enable();
	for (;;) {
		guest_sync(count | (u64)extints << 32);
		sti_nop();
	}
}

static struct vcpu *start(struct vm *vm)
{
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, guest, 0);
	run_sync(vcpu);
	return vcpu;
}

TEST(eoi_exits)
{
	struct vm *vm = split_vm();
	struct vcpu *vcpu = start(vm);

	/* A level on one of the reserved GSIs: userspace's IOAPIC must hear of the EOI. */
	route(vm, 5, VECTOR, 1);
	vm_irq_line(vm, 5, 1);
	expect_exit(vcpu, KVM_EXIT_IOAPIC_EOI);
	EXPECT_EQ(vcpu->run->eoi.vector, VECTOR);
	EXPECT_EQ(run_sync(vcpu), 1);
	/* An edge: no exit. Nor a level on a GSI beyond them. */
	route(vm, 5, VECTOR, 0);
	vm_irq_line(vm, 5, 1);
	EXPECT_EQ(run_sync(vcpu), 2);
	route(vm, 30, VECTOR, 1);
	vm_irq_line(vm, 30, 1);
	EXPECT_EQ(run_sync(vcpu), 3);
}

static void on_held(struct isr_frame *frame)
{
	(void)frame;
	guest_sync(9);
	apic_write(APIC_EOI, 0);
}

static void held_guest(void)
{
	isr_table[VECTOR] = on_held;
	apic_enable();
	for (;;) {
		guest_sync(1);
		sti_nop();
	}
}

/* The pin leads to another CPU by the time of the EOI, which ends the interrupt all the same. */
TEST(moved_while_in_service)
{
	struct vm *vm = split_vm();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	if (!on_minihv())
		test_skip("KVM of Linux 6.1 loses the EOI");
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, held_guest, 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	route(vm, 5, VECTOR, 1);
	vm_irq_line(vm, 5, 1);
	EXPECT_EQ(run_sync(vcpu), 9);
	route_to(vm, 1, 5, VECTOR, 1);
	expect_exit(vcpu, KVM_EXIT_IOAPIC_EOI);
	EXPECT_EQ(vcpu->run->eoi.vector, VECTOR);
	EXPECT_EQ(run_sync(vcpu), 1);
}

TEST(external_interrupts)
{
	struct vm *vm = split_vm();
	struct vcpu *vcpu = start(vm);
	struct kvm_interrupt irq = { .irq = EXTINT };

	vcpu->run->request_interrupt_window = 1;
	expect_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
	vcpu->run->request_interrupt_window = 0;
	ASSERT_RET(ioctl(vcpu->fd, KVM_INTERRUPT, &irq), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_INTERRUPT, &irq), EEXIST);
	EXPECT_EQ(run_sync(vcpu), 1ULL << 32);
	ASSERT_RET(ioctl(vcpu->fd, KVM_INTERRUPT, &irq), 0);
	EXPECT_EQ(run_sync(vcpu), 2ULL << 32);
}

static void masked_guest(void)
{
	apic_enable();
	apic_write(APIC_LVT0, 0x10000);
	sti();
	for (u64 i = 1; i <= 3; i++)
		guest_sync(i);
	apic_write(APIC_LVT0, 0x700);
	for (;;)
		guest_sync(4);
}

/* With LINT0 masked there is no window for userspace's PIC, and the guest gets on without. */
TEST(no_window_while_masked)
{
	struct vcpu *vcpu = vcpu_new(split_vm(), 0);

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, masked_guest, 0);
	vcpu->run->request_interrupt_window = 1;
	for (u64 i = 1; i <= 3; i++) {
		EXPECT_EQ(run_sync(vcpu), i);
		EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 0);
	}
	expect_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(vcpu->run->ready_for_interrupt_injection, 1);
}

TEST(errors)
{
	struct vm *vm = split_vm();
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_lapic_state lapic;
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e;
	} pin = { .head.nr = 1, .e = { .gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP } };

	EXPECT_ERRNO(split(vm, 24), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_GSI_ROUTING, &pin), EINVAL);
	xioctl(vcpu_new(vm, 0)->fd, KVM_GET_LAPIC, &lapic);

	vm = vm_new();
	EXPECT_ERRNO(split(vm, 4097), EINVAL);
	vcpu_new(vm, 0);
	EXPECT_ERRNO(split(vm, 24), EEXIST);
	vm = vm_new_irqchip();
	EXPECT_ERRNO(split(vm, 24), EEXIST);
}
