// SPDX-License-Identifier: GPL-2.0
/*
 * cpuid_semantics.c - what GET_SUPPORTED_CPUID offers must be so: the leaves that clients need,
 * what must not be offered, bits that follow the guest's state, instructions that then work.
 */
#include "guest.h"
#include "vm.h"

static struct kvm_cpuid2 *cpuid;

static struct kvm_cpuid_entry2 *leaf(u32 function, u32 index)
{
	struct kvm_cpuid_entry2 *e;

	if (!cpuid)
		cpuid = supported_cpuid();
	e = cpuid_entry(cpuid, function, index);
	if (!e) {
		test_fail(__FILE__, __LINE__, "no leaf %#x.%u", function, index);
		test_abort();
	}
	return e;
}

TEST(leaves_that_must_be)
{
	struct kvm_cpuid_entry2 *zero = leaf(0, 0), *one = leaf(1, 0);
	int amd = zero->ebx == 0x68747541, intel = zero->ebx == 0x756e6547;

	EXPECT_TRUE(amd || intel);
	EXPECT_GE(zero->eax, 7);
	leaf(7, 0);
	EXPECT_GE(leaf(0x80000000, 0)->eax, 0x80000008);
	leaf(0x80000001, 0);
	/* What a 64-bit kernel wants. */
	EXPECT_EQ(one->edx & 0x0780a179, 0x0780a179);
	EXPECT_EQ(leaf(0x80000001, 0)->edx >> 29 & 1, 1);
	EXPECT_EQ(leaf(0x80000001, 0)->edx >> 11 & 1, 1);
	EXPECT_EQ(leaf(0x80000001, 0)->edx >> 20 & 1, 1);
	EXPECT_GE(leaf(0x80000008, 0)->eax & 0xff, 36);
	EXPECT_EQ(leaf(0x80000008, 0)->eax >> 8 & 0xff, 48);
	EXPECT_EQ(leaf(0x40000000, 0)->eax, 0x40000001);
	leaf(0x40000001, 0);
	/* TSC deadline is a capability; OSXSAVE and MONITOR are not offered. */
	EXPECT_EQ(one->ecx >> 24 & 1, 0);
	EXPECT_EQ(one->ecx >> 27 & 1, 0);
	EXPECT_EQ(one->ecx >> 3 & 1, 0);
	/* Each once. */
	for (u32 i = 0; i < cpuid->nent; i++)
		for (u32 j = 0; j < i; j++)
			EXPECT_TRUE(cpuid->entries[i].function != cpuid->entries[j].function ||
				    cpuid->entries[i].index != cpuid->entries[j].index);
}

static void osxsave_guest(void)
{
	u64 cr4;

	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 0);
	asm volatile("mov %0, %%cr4" : : "r" (cr4 | CR4_OSXSAVE));
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 1);
	asm volatile("mov %0, %%cr4" : : "r" (cr4));
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 0);
	guest_sync(1);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).c >> 27 & 1, 1);
	guest_done();
}

TEST(osxsave_follows_cr4)
{
	struct vcpu *vcpu;
	struct kvm_sregs sregs;

	if (!(leaf(1, 0)->ecx >> 26 & 1))
		test_skip("no XSAVE");
	vcpu = guest_new(osxsave_guest);
	run_sync(vcpu);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= CR4_OSXSAVE;
	vcpu_set_sregs(vcpu, &sregs);
	run_done(vcpu);
}

static void apic_guest(void)
{
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).d >> 9 & 1, 1);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).b >> 24, 3);
	wrmsr(MSR_APICBASE, 0xfee00000);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).d >> 9 & 1, 0);
	wrmsr(MSR_APICBASE, 0xfee00800);
	GUEST_EXPECT_EQ(guest_cpuid(1, 0).d >> 9 & 1, 1);
	guest_done();
}

TEST(apic_follows_its_base)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct vcpu *vcpu = vcpu_new(vm, 3);

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, apic_guest, 0);
	xioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable);
	run_done(vcpu);
}

u64 sixteen[2] __attribute__((aligned(16)));

/* Each instruction whose feature bit the guest sees must work, and those that it does not: #UD. */
static void feature_guest(void)
{
	struct cpuid_regs one = guest_cpuid(1, 0), seven = guest_cpuid(7, 0),
			  ext = guest_cpuid(0x80000001, 0);
	u64 a, c, d;

#define TRY(insn) do {						\
	a = 8;							\
	c = 0;							\
	d = 1;							\
	GUEST_TRY(insn, a, c, d);				\
} while (0)
	if (one.c >> 23 & 1) {
		TRY("popcnt %%rax, %%rax");
		GUEST_EXPECT_EQ(a, 1);
	}
	if (one.c >> 13 & 1) {
		TRY("cmpxchg16b sixteen(%%rip)");
		GUEST_EXPECT_EQ(guest_fault.vector, 256);
	}
	if (ext.d >> 27 & 1) {
		TRY("rdtscp");
		GUEST_EXPECT_EQ(guest_fault.vector, 256);
	}
	if (ext.c >> 5 & 1) {
		TRY("lzcnt %%eax, %%eax");
		GUEST_EXPECT_EQ(a, 28);
	}
	if (seven.b >> 3 & 1) {
		TRY("blsr %%eax, %%ecx");
		GUEST_EXPECT_EQ(guest_fault.vector, 256);
	}
	if (one.c >> 30 & 1) {
		TRY("rdrand %%rax");
		GUEST_EXPECT_EQ(guest_fault.vector, 256);
	}
	if (!(ext.c >> 2 & 1)) {		/* no SVM in the guest */
		TRY("vmmcall");
		GUEST_EXPECT_EQ(guest_fault.vector, 256);
		TRY("stgi");
		GUEST_EXPECT_EQ(guest_fault.vector, 6);
		TRY("clgi");
		GUEST_EXPECT_EQ(guest_fault.vector, 6);
		a = 0;
		GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) | BIT(12)), 13);
	}
	guest_done();
}

TEST(instructions)
{
	run_done(guest_new(feature_guest));
}

/* 32 bits below and above: the index leaf 0xd tells sizes of, and what XCR0 may hold. */
TEST(xsave_leaves)
{
	struct kvm_cpuid_entry2 *d;
	u32 size = 576;

	if (!(leaf(1, 0)->ecx >> 26 & 1))
		test_skip("no XSAVE");
	d = leaf(0xd, 0);
	EXPECT_EQ(d->eax & 3, 3);
	for (u32 i = 2; i < 32; i++) {
		struct kvm_cpuid_entry2 *e;

		if (!(d->eax >> i & 1))
			continue;
		e = leaf(0xd, i);
		EXPECT_GE(e->eax, 1);
		EXPECT_GE(e->ebx, 576);
		if (e->ebx + e->eax > size)
			size = e->ebx + e->eax;
	}
	EXPECT_EQ(d->ecx, size);
}
