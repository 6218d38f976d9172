// SPDX-License-Identifier: GPL-2.0
/*
 * irqfd.c - KVM_IRQFD: an eventfd that raises a GSI, by pin and by MSI, resampling, and what
 * may be assigned and deassigned.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "guest.h"
#include "vm.h"

#define PIN	20
#define VECTOR	0x61

static volatile u32 count;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	count++;
}

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resample)
{
	struct kvm_irqfd request = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample,
	};

	return ioctl(vm->fd, KVM_IRQFD, &request);
}

static void kick(int fd)
{
	u64 one = 1;

	ASSERT_RET(write(fd, &one, 8), 8);
}

static int readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms);
}

/* Wait for the interrupt, whenever it comes; then say how many there were. */
static void guest(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	ioapic_entry(PIN, VECTOR);
	for (u32 i = 0; ; i++) {
		guest_sync(count);
		while (count == i)
			sti_hlt();
		apic_write(APIC_EOI, 0);
	}
}

TEST(by_a_pin)
{
	struct vcpu *vcpu;
	struct vm *vm;
	int fd = eventfd(0, 0), closed = eventfd(0, 0);

	NEED_CAP(KVM_CAP_IRQFD);
	vcpu = guest_new_irqchip(guest);
	vm = vcpu->vm;
	ASSERT_RET(irqfd(vm, fd, PIN, 0, 0), 0);
	run_sync(vcpu);
	for (u32 i = 1; i <= 5; i++) {
		kick(fd);
		EXPECT_EQ(run_sync(vcpu), i);
	}
	/* The kernel has taken the count. */
	EXPECT_EQ(readable(fd, 0), 0);

	/* Deassigned: the count stays in the eventfd. */
	ASSERT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	kick(fd);
	EXPECT_EQ(readable(fd, 50), 1);

	/* One that is signalled already fires when it is assigned. */
	ASSERT_RET(irqfd(vm, fd, PIN, 0, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 6);

	/* Closing the eventfd ends it; the number may be used again. */
	ASSERT_RET(irqfd(vm, closed, PIN, 0, 0), 0);
	close(closed);
	closed = eventfd(0, 0);
	usleep(10000);
	ASSERT_RET(irqfd(vm, closed, PIN, 0, 0), 0);
	kick(closed);
	EXPECT_EQ(run_sync(vcpu), 7);
}

static void route_msi(struct vm *vm, u32 gsi, u32 vector)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {
		.head.nr = 1, .entry.gsi = gsi, .entry.type = KVM_IRQ_ROUTING_MSI,
		.entry.u.msi = { .address_lo = 0xfee00000, .data = vector },
	};

	xioctl(vm->fd, KVM_SET_GSI_ROUTING, &r);
}

TEST(by_msi)
{
	struct vcpu *vcpu;
	int fd = eventfd(0, 0);

	NEED_CAP(KVM_CAP_IRQFD);
	vcpu = guest_new_irqchip(guest);
	/* First the irqfd, then its route, as some clients do; without one it is lost. */
	ASSERT_RET(irqfd(vcpu->vm, fd, 100, 0, 0), 0);
	run_sync(vcpu);
	kick(fd);
	usleep(20000);
	route_msi(vcpu->vm, 100, VECTOR);
	kick(fd);
	EXPECT_EQ(run_sync(vcpu), 1);
	kick(fd);
	EXPECT_EQ(run_sync(vcpu), 2);
}

static void resample_guest(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	ioapic_entry(PIN, VECTOR | 0x8000);
	for (u32 i = 0; ; i++) {
		guest_sync(count);
		while (count == i)
			sti_hlt();
		guest_sync(ioapic_read(0x10 + 2 * PIN));
		apic_write(APIC_EOI, 0);
		guest_sync(ioapic_read(0x10 + 2 * PIN));
	}
}

TEST(resample)
{
	struct vcpu *vcpu;
	int fd = eventfd(0, 0), ack = eventfd(0, 0), other = eventfd(0, 0);
	u64 value;

	NEED_CAP(KVM_CAP_IRQFD_RESAMPLE);
	vcpu = guest_new_irqchip(resample_guest);
	ASSERT_RET(irqfd(vcpu->vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, ack), 0);
	ASSERT_RET(irqfd(vcpu->vm, other, PIN, KVM_IRQFD_FLAG_RESAMPLE, ack), 0);
	run_sync(vcpu);
	for (u32 i = 1; i <= 3; i++) {
		kick(fd);
		/* High until the EOI, which userspace is told of. */
		EXPECT_EQ(run_sync(vcpu), VECTOR | 0xc000);
		EXPECT_EQ(readable(ack, 0), 0);
		/* The EOI has lowered it: the pin was not sent again. */
		EXPECT_EQ(run_sync(vcpu), VECTOR | 0x8000);
		EXPECT_EQ(run_sync(vcpu), i);
		EXPECT_EQ(readable(ack, 1000), 1);
		ASSERT_RET(read(ack, &value, 8), 8);
		EXPECT_GE(value, 1);
	}
}

static u32 ioapic_irr(struct vm *vm)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	xioctl(vm->fd, KVM_GET_IRQCHIP, &chip);
	return chip.chip.ioapic.irr;
}

/* What an irqfd has raised goes low when the last that shares it is taken away. */
TEST(resample_taken_away)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int fd = eventfd(0, 0), ack = eventfd(0, 0), other = eventfd(0, 0);
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQFD_RESAMPLE);
	vm = vm_new_irqchip();
	xioctl(vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[PIN].bits = VECTOR | 0x18000;	/* level, masked */
	xioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
	ASSERT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, ack), 0);
	ASSERT_RET(irqfd(vm, other, PIN, KVM_IRQFD_FLAG_RESAMPLE, ack), 0);
	EXPECT_EQ(ioapic_irr(vm), 0);
	kick(fd);
	EXPECT_EQ(ioapic_irr(vm), BIT(PIN));
	ASSERT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT_EQ(ioapic_irr(vm), BIT(PIN));
	ASSERT_RET(irqfd(vm, other, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT_EQ(ioapic_irr(vm), 0);
}

TEST(refused)
{
	struct vm *vm;
	int fd = eventfd(0, 0);

	NEED_CAP(KVM_CAP_IRQFD);
	vm = vm_new_irqchip();
	EXPECT_ERRNO(irqfd(vm, -1, PIN, 0, 0), EBADF);
	EXPECT_ERRNO(irqfd(vm, vm->fd, PIN, 0, 0), EINVAL);	/* no eventfd */
	EXPECT_ERRNO(irqfd(vm, fd, PIN, 1U << 5, 0), EINVAL);
	ASSERT_RET(irqfd(vm, fd, PIN, 0, 0), 0);
	EXPECT_ERRNO(irqfd(vm, fd, PIN, 0, 0), EBUSY);
	EXPECT_ERRNO(irqfd(vm, fd, PIN + 1, 0, 0), EBUSY);
	/* What is not assigned may be deassigned. */
	EXPECT_RET(irqfd(vm, fd, PIN + 1, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT_ERRNO(irqfd(vm, fd, PIN, 0, 0), EBUSY);
	EXPECT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	EXPECT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	if (dev_cap(KVM_CAP_IRQFD_RESAMPLE) > 0)
		EXPECT_ERRNO(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
}

/* It goes with the VM's fd, though a vCPU's keeps the VM: a signal is for others to read then. */
TEST(gone_with_the_vm)
{
	struct vcpu *vcpu;
	int fd = eventfd(0, EFD_NONBLOCK);

	NEED_CAP(KVM_CAP_IRQFD);
	vcpu = vcpu_new(vm_new_irqchip(), 0);
	ASSERT_RET(irqfd(vcpu->vm, fd, PIN, 0, 0), 0);
	kick(fd);
	EXPECT_EQ(readable(fd, 0), 0);
	ASSERT_RET(close(vcpu->vm->fd), 0);
	kick(fd);
	EXPECT_EQ(readable(fd, 0), 1);
}

/* What is refused, and what is taken back, holds on to no eventfd. */
TEST(references)
{
	struct vm *vm = vm_new_irqchip();
	int before = eventfd_number();

	if (before < 0)
		test_skip("this kernel does not number eventfds");
	for (int i = 0; i < 60; i++) {
		int fd = eventfd(0, 0), resample = eventfd(0, 0);

		EXPECT_ERRNO(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, 0), EINVAL);
		EXPECT_ERRNO(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, -1), EBADF);
		ASSERT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample), 0);
		EXPECT_ERRNO(irqfd(vm, fd, PIN, 0, 0), EBUSY);
		EXPECT_ERRNO(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_RESAMPLE, resample), EBUSY);
		ASSERT_RET(irqfd(vm, fd, PIN, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
		close(fd);
		close(resample);
	}
	/* Some may still be on their way out. */
	for (int i = 0; i < 100 && eventfd_number() > before + 20; i++)
		usleep(10000);
	EXPECT_TRUE(eventfd_number() <= before + 20);
}
