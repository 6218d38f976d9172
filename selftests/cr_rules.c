// SPDX-License-Identifier: GPL-2.0
/*
 * cr_rules.c - MOV to CR0, CR3, CR4, CR8, WRMSR to EFER and MOV to debug registers in a guest in
 * long mode: what faults, what does not, and that a fault changes nothing; what userspace sees of
 * it. Left out is what the CPU checks by itself, of which CPU models in software do not see all
 * (upper halves, CR8).
 */
#include "guest.h"
#include "vm.h"

#define GP	13
#define NONE	256
#define CR0_BITS_KEPT	(CR0_PE | CR0_ET | CR0_NE | CR0_PG)

static void cr0_guest(void)
{
	u64 cr0 = GET("cr0");

	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 & ~CR0_PE), GP);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 | CR0_NW), GP);		/* without CD */
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 & ~CR0_PG), GP);		/* in 64-bit mode */
	GUEST_EXPECT_EQ(GET("cr0"), cr0);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 | CR0_CD | CR0_NW), NONE);
	GUEST_EXPECT_EQ(GET("cr0"), cr0 | CR0_CD | CR0_NW);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0), NONE);
	GUEST_EXPECT_EQ(GET("cr0"), cr0);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 ^ CR0_WP), NONE);
	GUEST_EXPECT_EQ(GET("cr0"), cr0 ^ CR0_WP);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 ^ CR0_AM), NONE);
	GUEST_EXPECT_EQ(GET("cr0"), cr0 ^ CR0_AM);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", (cr0 & ~CR0_ET) | BIT(6)), NONE);
	GUEST_EXPECT_EQ(GET("cr0") & (CR0_BITS_KEPT | BIT(6)), cr0 & CR0_BITS_KEPT);
	guest_done();
}

TEST(cr0)
{
	run_done(guest_new(cr0_guest));
}

/* The four low bits, of which PE can only be set. */
static void lmsw_guest(void)
{
	u64 cr0 = GET("cr0");

	asm volatile("lmsw %w0" : : "r" (15));
	GUEST_EXPECT_EQ(GET("cr0"), cr0 | 15);
	asm volatile("lmsw %w0" : : "r" (0));
	GUEST_EXPECT_EQ(GET("cr0"), (cr0 & ~15ULL) | CR0_PE);
	asm volatile("lmsw %w0" : : "r" ((u32)cr0));
	GUEST_EXPECT_EQ(GET("cr0"), cr0);
	guest_done();
}

TEST(lmsw)
{
	run_done(guest_new(lmsw_guest));
}

static void cr34_guest(void)
{
	u64 cr3 = GET("cr3"), cr4 = GET("cr4");

	GUEST_EXPECT_EQ(cr4 & BIT(6), 0);	/* MCE, which the host has set */
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 & ~CR4_PAE), GP);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | BIT(15)), GP);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | BIT(31)), GP);
	if (!(guest_cpuid(1, 0).c & BIT(5)))		/* no VMX in the guest: no VMXE */
		GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | BIT(13)), GP);
	GUEST_EXPECT_EQ(GET("cr4"), cr4);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 ^ CR4_PGE), NONE);
	GUEST_EXPECT_EQ(GET("cr4"), cr4 ^ CR4_PGE);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 ^ CR4_PSE), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3), NONE);
	GUEST_EXPECT_EQ(GET("cr3"), cr3);
	guest_done();
}

TEST(cr3_cr4)
{
	run_done(guest_new(cr34_guest));
}

static void cr8_guest(void)
{
	GUEST_EXPECT_EQ(GET("cr8"), 0);
	GUEST_EXPECT_EQ(TRY_MOV("cr8", 7), NONE);
	GUEST_EXPECT_EQ(GET("cr8"), 7);
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x70);
	apic_write(APIC_TPR, 0x3c);
	GUEST_EXPECT_EQ(GET("cr8"), 3);
	guest_done();
}

TEST(cr8_is_the_tpr)
{
	NEED_CAP(KVM_CAP_IRQCHIP);
	run_done(guest_new_irqchip(cr8_guest));
}

static void efer_guest(void)
{
	u64 efer = rdmsr(MSR_EFER);

	GUEST_EXPECT_EQ(efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, efer & ~EFER_LME), GP);	/* while paging */
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, efer | BIT(1)), GP);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, efer | BIT(40)), GP);
	GUEST_EXPECT_EQ(rdmsr(MSR_EFER), efer);
	/* LMA is not the guest's to write. */
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, (efer | EFER_SCE) & ~EFER_LMA), NONE);
	GUEST_EXPECT_EQ(rdmsr(MSR_EFER), efer | EFER_SCE);
	guest_done();
}

TEST(efer)
{
	run_done(guest_new(efer_guest));
}

static void dr_guest(void)
{
	GUEST_EXPECT_EQ(TRY_MOV("dr6", BIT(32)), GP);
	GUEST_EXPECT_EQ(TRY_MOV("dr7", BIT(32)), GP);
	GUEST_EXPECT_EQ(TRY_MOV("dr6", 0), NONE);
	GUEST_EXPECT_EQ(GET("dr6"), 0xffff0ff0);
	GUEST_EXPECT_EQ(TRY_MOV("dr6", 0xf), NONE);
	GUEST_EXPECT_EQ(GET("dr6"), 0xffff0fff);
	GUEST_EXPECT_EQ(TRY_MOV("dr7", 0), NONE);
	GUEST_EXPECT_EQ(GET("dr7"), 0x400);
	GUEST_EXPECT_EQ(TRY_MOV("dr3", 0x123456789abcULL), NONE);
	GUEST_EXPECT_EQ(GET("dr3"), 0x123456789abcULL);
	guest_done();
}

TEST(debug_registers)
{
	run_done(guest_new(dr_guest));
}

#define DE	BIT(3)

/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE has taken them away. */
static void alias_guest(void)
{
	u64 a = 0, c = 0, d = 0, cr4 = GET("cr4");

	guest_sync(0);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 & ~DE), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("dr4", 5), NONE);
	GUEST_EXPECT_EQ(GET("dr6"), 0xffff0ff5);
	GUEST_EXPECT_EQ(GET("dr4"), 0xffff0ff5);
	GUEST_EXPECT_EQ(TRY_MOV("dr5", 0x300), NONE);
	GUEST_EXPECT_EQ(GET("dr7"), 0x700);
	GUEST_EXPECT_EQ(GET("dr5"), 0x700);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | DE), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("dr4", 0), 6);
	GUEST_EXPECT_EQ(TRY_MOV("dr5", 0), 6);
	GUEST_TRY("mov %%dr4, %%rax", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 6);
	GUEST_TRY("mov %%dr5, %%rax", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 6);
	GUEST_EXPECT_EQ(GET("dr6"), 0xffff0ff5);
	GUEST_EXPECT_EQ(GET("dr7"), 0x700);
	/* From and to other registers than RAX. */
	asm volatile("mov %0, %%r13\n mov %%r13, %%dr2\n mov %%dr2, %%r10\n mov %%r10, %%dr1"
		     : : "r" (0x123456789abcULL) : "r10", "r13");
	GUEST_EXPECT_EQ(GET("dr1"), 0x123456789abcULL);
	GUEST_EXPECT_EQ(GET("dr0"), 0);
	guest_sync(1);
	guest_done();
}

/* With and without a debugger, who has the registers for himself: the guest sees its own. */
TEST(debug_register_aliases)
{
	struct kvm_guest_debug debugger = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { 0x1234, 0, 0, 0, 0, 0, 0, 0x400 },
	};
	struct kvm_debugregs regs;
	struct vcpu *vcpu;

	for (int debugged = 0; debugged < 2; debugged++) {
		test_context("debugger %d", debugged);
		vcpu = guest_new(alias_guest);
		run_sync(vcpu);
		if (debugged)
			xioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debugger);
		EXPECT_EQ(run_sync(vcpu), 1);
		xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
		EXPECT_EQ(regs.db[0], 0);
		EXPECT_EQ(regs.db[1], 0x123456789abcULL);
		EXPECT_EQ(regs.db[2], 0x123456789abcULL);
		EXPECT_EQ(regs.dr6, 0xffff0ff5);
		EXPECT_EQ(regs.dr7, 0x700);
		run_done(vcpu);
	}
}

/* What a guest has written, userspace sees, and the reverse, bit by bit. */
#define CR0_PLAIN	(CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_CD)
#define CR4_PLAIN	(BIT(0) | BIT(2) | DE | CR4_PSE | BIT(6) | CR4_PGE | BIT(8) | CR4_OSFXSR | \
			 CR4_OSXMMEXCPT)

static void shared_guest(void)
{
	u64 cr0 = GET("cr0"), cr4 = GET("cr4");

	for (int bit = 0; bit < 32; bit++) {
		if (CR0_PLAIN >> bit & 1) {
			asm volatile("mov %0, %%cr0" : : "r" (cr0 ^ BIT(bit)));
			guest_sync(cr0 ^ BIT(bit));
			GUEST_EXPECT_EQ(GET("cr0"), cr0);
		}
		if (CR4_PLAIN >> bit & 1) {
			asm volatile("mov %0, %%cr4" : : "r" (cr4 ^ BIT(bit)));
			guest_sync(BIT(63) | (cr4 ^ BIT(bit)));
			GUEST_EXPECT_EQ(GET("cr4"), cr4);
		}
	}
	guest_sync(0);
	guest_done();
}

TEST(shared_with_userspace)
{
	struct vcpu *vcpu = guest_new(shared_guest);
	struct kvm_sregs first, now;
	u64 value;
	int n = 0;

	vcpu_get_sregs(vcpu, &first);
	while ((value = run_sync(vcpu))) {
		vcpu_get_sregs(vcpu, &now);
		EXPECT_EQ(now.cr0, value >> 63 ? first.cr0 : value);
		EXPECT_EQ(now.cr4, value >> 63 ? value & ~BIT(63) : first.cr4);
		now.cr0 = first.cr0;
		now.cr4 = first.cr4;
		vcpu_set_sregs(vcpu, &now);
		n++;
	}
	EXPECT_EQ(n, 16);
	run_done(vcpu);
}

GUEST_ASM(show_cr, 16, "mov %cr0, %eax\n out %eax, $0x10\n mov %cr4, %eax\n out %eax, $0x11\n"
	  "or $0x20, %al\n mov %eax, %cr4\n out %al, $0x12\n hlt");

/* VMX wants bits that the guest has not set, and has others as the host's: nobody sees them. */
TEST(as_after_reset)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_sregs before, after;

	vcpu_cpuid(vcpu);
	GUEST_ASM_COPY(vcpu->vm, 0x1000, show_cr);
	vcpu_real(vcpu, 0x1000);
	vcpu_get_sregs(vcpu, &before);
	EXPECT_EQ(before.cr0 & (CR0_CD | CR0_NW | CR0_NE), CR0_CD | CR0_NW);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), before.cr0);
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 4, 1), 0);
	vcpu_get_sregs(vcpu, &after);
	EXPECT_EQ(after.cr0, before.cr0);
	EXPECT_EQ(after.cr4, 0);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x12, 1, 1);
	vcpu_get_sregs(vcpu, &after);
	EXPECT_EQ(after.cr0, before.cr0);
	EXPECT_EQ(after.cr4, CR4_PAE);
}
