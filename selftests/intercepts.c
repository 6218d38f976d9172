// SPDX-License-Identifier: GPL-2.0
/*
 * intercepts.c - instructions that must not be left to the guest: each makes an exit, which the
 * counter of exits shows where the result does not. And those that are left to it, which make none.
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

/* To the guest's next guest_sync(): how many exits that took; 0 at its end. */
static u64 exits_of_loop(struct vcpu *vcpu, int fd)
{
	u64 before = stats_counter(fd, "exits");
	struct kvm_regs regs;
	int reason;

	do {
		reason = vcpu_run(vcpu);
		/* Without an APIC of the kernel's, HLT is userspace's. */
	} while (reason == KVM_EXIT_HLT);
	ASSERT_EQ(reason, KVM_EXIT_IO);
	vcpu_get_regs(vcpu, &regs);
	if ((regs.rax & 0xff) == UCALL_DONE)
		return 0;
	ASSERT_EQ(regs.rax & 0xff, UCALL_SYNC);
	return stats_counter(fd, "exits") - before;
}

TEST(each_exits)
{
	static const char * const names[] = {
		"CPUID", "INVD", "RDMSR", "RDPMC", "HLT", "INVLPGA", "SKINIT", "WBINVD",
	};
	struct vcpu *vcpu = guest_new(guest);
	size_t i = 0;
	u64 exits;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	run_sync(vcpu);
	while ((exits = exits_of_loop(vcpu, fd))) {
		ASSERT_TRUE(i < ARRAY_SIZE(names));
		test_context("%s", names[i++]);
		EXPECT_GE(exits, TIMES);
		test_context("");
	}
	EXPECT_GE(i, 5);
}

/* MSRs of either half of a bitmap, and what nested paging and an offset of the TSC are for. */
static void alone_guest(void)
{
	guest_sync(0);
	LOOP("mov $0x174, %%ecx\n rdmsr");
	LOOP("mov $0x174, %%ecx\n wrmsr");
	LOOP("mov $0xc0000100, %%ecx\n rdmsr");
	LOOP("mov $0xc0000100, %%ecx\n wrmsr");
	LOOP("mov $0xc0000101, %%ecx\n rdmsr");
	LOOP("mov $0xc0000101, %%ecx\n wrmsr");
	LOOP("mov $0xc0000102, %%ecx\n rdmsr");
	LOOP("mov $0xc0000102, %%ecx\n wrmsr");
	LOOP("mov %%cr3, %%rax\n mov %%rax, %%cr3");
	LOOP("invlpg (%%rax)");
	LOOP("rdtsc");
	LOOP("int3");
	LOOP("mov $0x8000000000, %%rcx\n mov (%%rcx), %%rax");
	/* But for the first. */
	LOOP("mov %%dr0, %%rax\n mov %%rax, %%dr0");
	if (guest_cpuid(0, 0).b == 0x756e6547) {
		LOOP("mov $0x175, %%ecx\n rdmsr\n wrmsr");
		LOOP("mov $0x176, %%ecx\n rdmsr\n wrmsr");
		LOOP("clts");
		LOOP("mov %%cr0, %%rax\n btc $3, %%rax\n mov %%rax, %%cr0");
		LOOP("mov %%cr4, %%rax\n btc $2, %%rax\n mov %%rax, %%cr4");
		LOOP("mov %%cr4, %%rax\n btc $3, %%rax\n mov %%rax, %%cr4");
		LOOP("mov %%cr4, %%rax\n btc $7, %%rax\n mov %%rax, %%cr4");
		LOOP("mov %%cr4, %%rax\n btc $8, %%rax\n mov %%rax, %%cr4");
		LOOP("mov %%cr4, %%rax\n btc $9, %%rax\n mov %%rax, %%cr4");
		LOOP("mov %%cr4, %%rax\n btc $10, %%rax\n mov %%rax, %%cr4");
		/* On KVM these exit. */
		LOOP("mov %%cr0, %%rax\n btc $1, %%rax\n mov %%rax, %%cr0");
		LOOP("mov %%cr0, %%rax\n btc $16, %%rax\n mov %%rax, %%cr0");
		LOOP("mov %%cr0, %%rax\n btc $18, %%rax\n mov %%rax, %%cr0");
		if (guest_cpuid(7, 0).b & BIT(0))
			LOOP("mov %%cr4, %%rax\n btc $16, %%rax\n mov %%rax, %%cr4");
	}
	guest_done();
}

TEST(none_exits)
{
	static const char * const names[] = {
		"RDMSR 0x174", "WRMSR 0x174", "RDMSR FS_BASE", "WRMSR FS_BASE",
		"RDMSR GS_BASE", "WRMSR GS_BASE", "RDMSR KERNEL_GS_BASE", "WRMSR KERNEL_GS_BASE",
		"CR3", "INVLPG", "RDTSC", "INT3", "#PF", "DR0",
		"MSR 0x175", "MSR 0x176", "CLTS", "CR0.TS", "CR4.TSD", "CR4.DE", "CR4.PGE",
		"CR4.PCE", "CR4.OSFXSR", "CR4.OSXMMEXCPT", "CR0.MP", "CR0.WP", "CR0.AM",
		"CR4.FSGSBASE",
	};
	const size_t on_kvm = ARRAY_SIZE(names) - 4;
	struct kvm_guest_debug debugger = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP,
	};
	struct vcpu *vcpu = guest_new(alone_guest);
	size_t i = 0;
	u64 exits;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	/* A debugger that has gone takes its breakpoints with it. */
	xioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debugger);
	run_sync(vcpu);
	debugger.control = 0;
	xioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debugger);
	while ((exits = exits_of_loop(vcpu, fd))) {
		ASSERT_TRUE(i < ARRAY_SIZE(names));
		test_context("%s", names[i++]);
		/* The host's own interrupts are among them. */
		if (i <= on_kvm || on_minihv())
			EXPECT_LE(exits, TIMES / 4);
		test_context("");
	}
	EXPECT_GE(i, 14);
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
