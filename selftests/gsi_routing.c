// SPDX-License-Identifier: GPL-2.0
/*
 * gsi_routing.c - KVM_SET_GSI_ROUTING: each call replaces the table; what a table may hold.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

static volatile u32 last, count;

static void on_irq(struct isr_frame *frame)
{
	last = frame->vector;
	count++;
	apic_write(APIC_EOI, 0);
}

static void guest(void)
{
	for (int i = 0x40; i < 0x80; i++)
		isr_table[i] = on_irq;
	pic_init(0xffff);
	apic_enable();
	ioapic_entry(2, 0x42);
	ioapic_entry(5, 0x45);
	for (;;) {
		guest_sync(last | (u64)count << 32);
		last = 0;
		count = 0;
		sti_nop();
	}
}

static struct {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry e[8];
} table;

static struct kvm_irq_routing_entry pin(u32 gsi, u32 chip, u32 n)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { chip, n } };
}

static struct kvm_irq_routing_entry msi(u32 gsi, u32 vector)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = vector } };
}

static int set(struct vm *vm, u32 nr)
{
	table.head.nr = nr;
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &table);
}

static u64 pulse(struct vcpu *vcpu, u32 gsi)
{
	vm_irq_line(vcpu->vm, gsi, 1);
	vm_irq_line(vcpu->vm, gsi, 0);
	return run_sync(vcpu);
}

#define ONE(vector) ((vector) | 1ULL << 32)

TEST(replacing)
{
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQ_ROUTING);
	vcpu = guest_new_irqchip(guest);
	vm = vcpu->vm;
	run_sync(vcpu);
	EXPECT_EQ(pulse(vcpu, 5), ONE(0x45));
	EXPECT_EQ(pulse(vcpu, 2), ONE(0x42));

	/* GSI 0 to pin 2, as PCs have it; GSI 30 an MSI; nothing else. */
	table.e[0] = pin(0, KVM_IRQCHIP_IOAPIC, 2);
	table.e[1] = msi(30, 0x60);
	ASSERT_RET(set(vm, 2), 0);
	EXPECT_EQ(pulse(vcpu, 0), ONE(0x42));
	EXPECT_EQ(pulse(vcpu, 30), ONE(0x60));
	EXPECT_EQ(pulse(vcpu, 5), 0);
	EXPECT_EQ(pulse(vcpu, 2), 0);

	table.e[0] = msi(0, 0x61);
	table.e[1] = pin(30, KVM_IRQCHIP_IOAPIC, 5);
	ASSERT_RET(set(vm, 2), 0);
	EXPECT_EQ(pulse(vcpu, 0), ONE(0x61));
	EXPECT_EQ(pulse(vcpu, 30), ONE(0x45));

	ASSERT_RET(set(vm, 0), 0);
	EXPECT_EQ(pulse(vcpu, 0), 0);
	EXPECT_EQ(pulse(vcpu, 30), 0);

	/* One GSI to two chips. */
	table.e[0] = pin(7, KVM_IRQCHIP_IOAPIC, 5);
	table.e[1] = pin(7, KVM_IRQCHIP_PIC_MASTER, 7);
	ASSERT_RET(set(vm, 2), 0);
	EXPECT_EQ(pulse(vcpu, 7), ONE(0x45));
}

/* A refused table leaves the old one. */
TEST(refused)
{
	const struct kvm_irq_routing_entry unknown = { .gsi = 1, .type = 0x77 };
	const struct kvm_irq_routing_entry flagged = {
		.gsi = 1, .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1,
	};
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQ_ROUTING);
	vcpu = guest_new_irqchip(guest);
	vm = vcpu->vm;
	run_sync(vcpu);
#define REFUSE(entry0, nr) do {						\
	memset(table.e, 0, sizeof(table.e));				\
	table.e[0] = entry0;						\
	test_context("%s", #entry0);					\
	EXPECT_ERRNO(set(vm, nr), EINVAL);				\
	test_context("");						\
} while (0)
	REFUSE(pin(4096, KVM_IRQCHIP_IOAPIC, 2), 1);
	REFUSE(pin(0, KVM_IRQCHIP_IOAPIC, 24), 1);
	REFUSE(pin(0, KVM_IRQCHIP_PIC_MASTER, 8), 1);
	REFUSE(pin(0, KVM_IRQCHIP_PIC_SLAVE, 8), 1);
	REFUSE(pin(0, 3, 0), 1);
	REFUSE(unknown, 1);
	REFUSE(flagged, 1);
	/* Two MSIs, or an MSI and a pin, on one GSI; one pin twice. */
	table.e[0] = msi(40, 0x60);
	table.e[1] = msi(40, 0x61);
	EXPECT_ERRNO(set(vm, 2), EINVAL);
	table.e[1] = pin(40, KVM_IRQCHIP_IOAPIC, 5);
	EXPECT_ERRNO(set(vm, 2), EINVAL);
	table.e[0] = pin(40, KVM_IRQCHIP_IOAPIC, 6);
	EXPECT_ERRNO(set(vm, 2), EINVAL);
	table.head.flags = 1;
	EXPECT_ERRNO(set(vm, 0), EINVAL);
	table.head.flags = 0;
	EXPECT_ERRNO(set(vm, 4097), EINVAL);
	EXPECT_EQ(pulse(vcpu, 5), ONE(0x45));
}

TEST(as_many_as_said)
{
	int max = dev_cap(KVM_CAP_IRQ_ROUTING);
	struct vcpu *vcpu;
	struct kvm_irq_routing *big;

	NEED_CAP(KVM_CAP_IRQ_ROUTING);
	vcpu = guest_new_irqchip(guest);
	EXPECT_GE(max, 1024);
	big = calloc(1, sizeof(*big) + max * sizeof(big->entries[0]));
	ASSERT_TRUE(big);
	big->nr = max;
	for (int i = 0; i < max; i++)
		big->entries[i] = msi(i, 0x40 + i % 64);
	run_sync(vcpu);
	ASSERT_RET(ioctl(vcpu->vm->fd, KVM_SET_GSI_ROUTING, big), 0);
	EXPECT_EQ(pulse(vcpu, max - 1), ONE(0x40 + (max - 1) % 64));
	EXPECT_EQ(pulse(vcpu, 70), ONE(0x46));
}
