// SPDX-License-Identifier: GPL-2.0
/*
 * irqchip_state.c - KVM_GET/SET_IRQCHIP: what the guest programmed is there, and what
 * userspace sets is what the guest finds.
 */
#include "guest.h"
#include "vm.h"

static volatile u32 vector;

static void on_irq(struct isr_frame *frame)
{
	vector = frame->vector;
}

static void guest(void)
{
	for (int i = 0x20; i < 0x100; i++)
		isr_table[i] = on_irq;
	pic_init(0xfdb3);
	outb(0x4d0, 0x20);
	ioapic_write(0, 0x03000000);
	ioapic_entry(9, 0x0100000000018939);
	mmio_write32(IOAPIC_BASE, 0x12);
	guest_sync(0);
	/* Set by userspace. */
	GUEST_EXPECT_EQ(inb(0x21), 0xfe);
	GUEST_EXPECT_EQ(inb(0x4d1), 0x0e);
	GUEST_EXPECT_EQ(mmio_read32(IOAPIC_BASE), 1);
	GUEST_EXPECT_EQ(ioapic_read(0x10 + 2 * 11), 0x1a5b);
	GUEST_EXPECT_EQ(ioapic_read(0x11 + 2 * 11), 0x0f000000);
	sti_nop();
	GUEST_EXPECT_EQ(vector, 0x70);		/* the pending IRQ 0, by the new base */
	guest_done();
}

static void get(struct vm *vm, struct kvm_irqchip *chip, u32 id)
{
	memset(chip, 0xee, sizeof(*chip));
	chip->chip_id = id;
	xioctl(vm->fd, KVM_GET_IRQCHIP, chip);
	EXPECT_EQ(chip->chip_id, id);
}

static void check_pics(struct vm *vm)
{
	struct kvm_irqchip chip;

	get(vm, &chip, KVM_IRQCHIP_PIC_MASTER);
	EXPECT_EQ(chip.chip.pic.irq_base, 0x20);
	EXPECT_EQ(chip.chip.pic.imr, 0xb3);
	EXPECT_EQ(chip.chip.pic.isr, 0);
	EXPECT_EQ(chip.chip.pic.elcr, 0x20);
	EXPECT_EQ(chip.chip.pic.elcr_mask, 0xf8);
	EXPECT_EQ(chip.chip.pic.init_state, 0);
	EXPECT_EQ(chip.chip.pic.auto_eoi, 0);
	EXPECT_EQ(chip.chip.pic.init4, 1);
	get(vm, &chip, KVM_IRQCHIP_PIC_SLAVE);
	EXPECT_EQ(chip.chip.pic.irq_base, 0x28);
	EXPECT_EQ(chip.chip.pic.imr, 0xfd);
	EXPECT_EQ(chip.chip.pic.elcr_mask, 0xde);
	chip.chip.pic.elcr = 0x0e;
	xioctl(vm->fd, KVM_SET_IRQCHIP, &chip);

	get(vm, &chip, KVM_IRQCHIP_PIC_MASTER);
	chip.chip.pic.imr = 0xfe;
	chip.chip.pic.irq_base = 0x70;
	chip.chip.pic.irr = 1;
	xioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
}

static void check_ioapic(struct vm *vm)
{
	struct kvm_irqchip chip;

	get(vm, &chip, KVM_IRQCHIP_IOAPIC);
	EXPECT_EQ(chip.chip.ioapic.base_address, 0xfec00000);
	EXPECT_EQ(chip.chip.ioapic.ioregsel, 0x12);
	EXPECT_EQ(chip.chip.ioapic.id, 3);
	EXPECT_EQ(chip.chip.ioapic.irr, 0);
	EXPECT_EQ(chip.chip.ioapic.redirtbl[9].bits, 0x0100000000018939);
	EXPECT_EQ(chip.chip.ioapic.redirtbl[10].bits, 0x10000);
	chip.chip.ioapic.ioregsel = 1;
	chip.chip.ioapic.redirtbl[11].bits = 0x0f00000000001a5b;
	xioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
}

TEST(both_ways)
{
	struct vcpu *vcpu = guest_new_irqchip(guest);

	run_sync(vcpu);
	check_pics(vcpu->vm);
	check_ioapic(vcpu->vm);
	run_done(vcpu);
}

TEST(round_trip)
{
	struct vcpu *vcpu = guest_new_irqchip(guest);
	struct kvm_irqchip in, out;

	run_sync(vcpu);
	for (u32 id = 0; id < 3; id++) {
		test_context("chip %u", id);
		get(vcpu->vm, &in, id);
		if (id == KVM_IRQCHIP_IOAPIC)	/* of 8 bits, but all is kept */
			in.chip.ioapic.ioregsel = 0x12345;
		xioctl(vcpu->vm->fd, KVM_SET_IRQCHIP, &in);
		get(vcpu->vm, &out, id);
		EXPECT_EQ(memcmp(&in, &out, sizeof(in)), 0);
	}
}

TEST(refused)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_irqchip chip = { .chip_id = 3 };

	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_IRQCHIP, &chip), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_IRQCHIP, &chip), EINVAL);
}
