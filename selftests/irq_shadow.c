// SPDX-License-Identifier: GPL-2.0
/*
 * irq_shadow.c - the shadow of STI ends behind an instruction that exits, as behind any other.
 */
#include "guest.h"
#include "vm.h"

#define VECTOR	0x51

static volatile u64 taken_at;

static void on_irq(struct isr_frame *frame)
{
	taken_at = frame->rip;
	apic_write(APIC_EOI, 0);
}

/*
 * STI's shadow is over once the CPUID behind it is: the interrupt is taken then, not one
 * instruction later. (If the shadow was lost on the way, it is taken before.)
 */
static void shadow_guest(void)
{
	isr_table[VECTOR] = on_irq;
	apic_enable();
	for (int i = 0; i < 20; i++) {
		u64 after, a = 0, c = 0;

		taken_at = 0;
		apic_write(APIC_ICR, 0x40000 | VECTOR);
		asm volatile("lea 1f(%%rip), %[after]\n\t"
			     "sti\n\tcpuid\n"
			     "1:\tnop\n\tnop\n\tnop\n\tcli"
			     : [after] "=&r" (after), "+a" (a), "+c" (c)
			     : : "rbx", "rdx", "memory");
		GUEST_EXPECT(taken_at);
		GUEST_EXPECT_EQ(taken_at > after ? taken_at - after : 0, 0);
	}
	guest_done();
}

TEST(shadow_ends)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_IRQCHIP);
	vcpu = guest_new_irqchip(shadow_guest);
	run_done(vcpu);
}
