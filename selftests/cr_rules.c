// SPDX-License-Identifier: GPL-2.0
/*
 * cr_rules.c - MOV to CR0, CR3, CR4, CR8, WRMSR to EFER and MOV to debug registers in a guest in
 * long mode: what faults, what does not, and that a fault changes nothing. Left out is what the
 * CPU checks by itself, of which CPU models in software do not see all (upper halves, CR8).
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
