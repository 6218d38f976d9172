// SPDX-License-Identifier: GPL-2.0
/*
 * intercepts.c - instructions that must not be left to the guest: each makes an exit, which the
 * counter of exits shows where the result does not.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define TIMES	2000

#define LOOP(insn) do {								\
	for (int i = 0; i < TIMES; i++) {					\
		u64 a = 0, c = 0, d = 0;					\
										\
		GUEST_TRY(insn, a, c, d);					\
	}									\
	guest_sync(0);								\
} while (0)

/* Whether it faults is not asked here. */
static void guest(void)
{
	guest_sync(0);
	LOOP("cpuid");
	LOOP("invd");
	LOOP("mov $0x12345678, %%ecx\n rdmsr");
	LOOP("rdpmc");
	LOOP("hlt");
	if (guest_cpuid(0x80000000, 0).a >= 0x80000001 && guest_cpuid(0, 0).b != 0x756e6547) {
		LOOP("invlpga");
		LOOP("skinit");
		LOOP("wbinvd");
	}
	guest_done();
}

TEST(each_exits)
{
	static const char * const names[] = {
		"CPUID", "INVD", "RDMSR", "RDPMC", "HLT", "INVLPGA", "SKINIT", "WBINVD",
	};
	struct vcpu *vcpu = guest_new(guest);
	u64 before, after;
	size_t i = 0;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	run_sync(vcpu);
	before = stats_counter(fd, "exits");
	for (;;) {
		struct kvm_regs regs;
		int reason = vcpu_run(vcpu);

		/* Without an APIC of the kernel's, HLT is userspace's. */
		if (reason == KVM_EXIT_HLT)
			continue;
		ASSERT_EQ(reason, KVM_EXIT_IO);
		vcpu_get_regs(vcpu, &regs);
		if ((regs.rax & 0xff) == UCALL_DONE)
			break;
		ASSERT_EQ(regs.rax & 0xff, UCALL_SYNC);
		ASSERT_TRUE(i < ARRAY_SIZE(names));
		after = stats_counter(fd, "exits");
		test_context("%s", names[i]);
		EXPECT_GE(after - before, TIMES);
		test_context("");
		before = after;
		i++;
	}
	EXPECT_GE(i, 5);
}

GUEST_ASM(prefixed, 64, ".byte 0x66\n cpuid\n hlt");

/* Its length is not to be told by its beginning, which is all that the first page has. */
TEST(over_two_pages)
{
	struct kvm_regs regs = { .rflags = RFLAGS_FIXED };
	struct vcpu *vcpu = guest_new(NULL);

	for (u64 n = 1; n < 3; n++) {
		regs.rip = GUEST_FREE + 4096 - n;
		regs.rax = 0x40000000;
		GUEST_ASM_COPY(vcpu->vm, regs.rip, prefixed);
		vcpu_set_regs(vcpu, &regs);
		expect_exit(vcpu, KVM_EXIT_HLT);
		vcpu_get_regs(vcpu, &regs);
		EXPECT_EQ(regs.rip, GUEST_FREE + 4096 - n + 4);
		EXPECT_EQ(regs.rbx, 0x4b4d564b);
	}
}
