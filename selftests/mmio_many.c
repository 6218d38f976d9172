// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_many.c - an instruction with more accesses to a device than a hypervisor may have room to
 * remember comes to an end, done or as an internal error; it does not start again for ever.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define ENOUGH	300		/* 31 levels: 32 reads and 33 writes, each perhaps in two */

static void enter_guest(void)
{
	asm volatile("mov %%rsp, %%rbx\n mov %%rbp, %%r12\n mov %0, %%rsp\n mov %0, %%rbp\n"
		     "enter $16, $31\n mov %%rbx, %%rsp\n mov %%r12, %%rbp"
		     : : "r" (MMIO + 0x800) : "rbx", "r12", "memory");
	guest_done();
}

TEST(enter_with_31_levels)
{
	struct vcpu *vcpu = guest_new(enter_guest);
	int n, reads = 0, reason = 0;

	for (n = 0; n < ENOUGH; n++) {
		reason = vcpu_run(vcpu);
		if (reason != KVM_EXIT_MMIO)
			break;
		reads += !vcpu->run->mmio.is_write;
		memset(vcpu->run->mmio.data, 0x40, 8);
	}
	test_info("%d reads, %d writes, then exit %d", reads, n - reads, reason);
	EXPECT_TRUE(n < ENOUGH);
	EXPECT_TRUE(reason == KVM_EXIT_INTERNAL_ERROR || reason == KVM_EXIT_IO);
}

/* More elements than the emulator logs of an instruction; the IOAPIC, in the kernel, takes all. */
static void long_strings(void)
{
	static u8 copy[256];	/* as long as the IOAPIC */
	void *at = (void *)IOAPIC_BASE;
	u64 n = sizeof(copy);

	asm volatile("rep stosb" : "+D" (at), "+c" (n) : "a" (0) : "memory");
	GUEST_EXPECT_EQ(n, 0);
	GUEST_EXPECT_EQ((u64)at, IOAPIC_BASE + sizeof(copy));
	for (int i = 0; i < 2; i++) {
		void *from = (void *)IOAPIC_BASE, *to = copy;

		n = sizeof(copy);
		asm volatile("rep movsb" : "+S" (from), "+D" (to), "+c" (n) : : "memory");
		GUEST_EXPECT_EQ(n, 0);
	}
	guest_done();
}

TEST(long_strings_to_the_ioapic)
{
	run_done(guest_new_irqchip(long_strings));
}
