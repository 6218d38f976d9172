/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pit.h - the 8254 as a guest programs it, and a VM that has one; for one source file.
 */
#ifndef MHV_TEST_PIT_H
#define MHV_TEST_PIT_H

#include "guest.h"
#include "vm.h"

/** pit_program() - a control word, and the count of the channel it names. */
static inline void pit_program(u8 command, u16 count)
{
	u16 port = 0x40 + (command >> 6);

	outb(0x43, command);
	outb(port, count);
	outb(port, count >> 8);
}

/** pit_latch() - what a channel counts now. */
static inline u16 pit_latch(int channel)
{
	u8 low;

	outb(0x43, channel << 6);
	low = inb(0x40 + channel);
	return low | inb(0x40 + channel) << 8;
}

/** pit_vm() - a vCPU of a VM with a PIT and its speaker port. */
static inline struct vcpu *pit_vm(void (*fn)(void))
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_PIT2);
	vcpu = guest_new_irqchip(fn);
	xioctl(vcpu->vm->fd, KVM_CREATE_PIT2, &config);
	return vcpu;
}

#endif
