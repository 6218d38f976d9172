// SPDX-License-Identifier: GPL-2.0
/*
 * pcid.c - process-context identifiers: when they may be switched on and off, what CR3 then
 * holds, that each has its translations, INVPCID. QEMU's emulated CPU and AMD's before Zen 3 have
 * none; there it is seen that a guest has none.
 */
#include "guest.h"
#include "vm.h"

#define GP	13
#define NONE	256
#define PCIDE	BIT(17)
#define VA	BIT(39)
#define OTHER	(GUEST_FREE_LOW + 0x1000)	/* the other root */

#define READ()	(*(volatile u64 *)VA)

static int has_pcid(void)
{
	return cpuid_entry(supported_cpuid(), 1, 0)->ecx >> 17 & 1;
}

static u64 invpcid(u64 type, u64 pcid, u64 addr)
{
	u64 desc[2] = { pcid, addr }, a = type, c = (u64)desc, d = 0;

	GUEST_TRY("invpcid (%%rcx), %%rax", a, c, d);
	return guest_fault.vector;
}

static void rules_guest(void)
{
	u64 cr0 = GET("cr0"), cr3 = GET("cr3"), cr4 = GET("cr4");

	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3 | BIT(63)), GP);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3 | 1), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | PCIDE), GP);
	GUEST_EXPECT_EQ(GET("cr4"), cr4);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | PCIDE), NONE);
	GUEST_EXPECT_EQ(GET("cr4"), cr4 | PCIDE);
	GUEST_EXPECT_EQ(TRY_MOV("cr0", cr0 & ~CR0_PG), GP);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3 | 0xfff), NONE);
	GUEST_EXPECT_EQ(GET("cr3"), cr3 | 0xfff);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", cr3 | 7 | BIT(63)), NONE);
	GUEST_EXPECT_EQ(GET("cr3"), cr3 | 7);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", (cr4 | PCIDE) ^ CR4_PGE), NONE);
	/* Off is possible with any, and leaves the bits in CR3 alone; but not on again. */
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4), NONE);
	GUEST_EXPECT_EQ(GET("cr3"), cr3 | 7);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | PCIDE), GP);
	GUEST_EXPECT_EQ(GET("cr4"), cr4);
	guest_done();
}

TEST(rules)
{
	if (!has_pcid())
		test_skip("no PCIDs");
	run_done(guest_new(rules_guest));
}

static void contexts_guest(void)
{
	u64 root = GET("cr3"), *pml4 = (u64 *)root, *other = (u64 *)OTHER;
	int insn = guest_cpuid(7, 0).b >> 10 & 1;

	for (unsigned int i = 0; i < 512; i++)
		other[i] = pml4[i];
	other[1] = pml4[2];
	GUEST_EXPECT_EQ(TRY_MOV("cr4", GET("cr4") | PCIDE), NONE);
	for (unsigned int i = 0; i < 4; i++) {
		u64 keep = i >= 2 ? BIT(63) : 0;

		GUEST_EXPECT_EQ(TRY_MOV("cr3", root | 1 | keep), NONE);
		GUEST_EXPECT_EQ(READ(), 0xaaaa);
		GUEST_EXPECT_EQ(TRY_MOV("cr3", OTHER | 2 | keep), NONE);
		GUEST_EXPECT_EQ(READ(), 0xbbbb);
	}
	/* No table of PCID 1 counts any more once its translations are gone. */
	pml4[1] = pml4[2];
	if (insn) {
		GUEST_EXPECT_EQ(invpcid(1, 1, 0), NONE);
		GUEST_EXPECT_EQ(TRY_MOV("cr3", root | 1 | BIT(63)), NONE);
		GUEST_EXPECT_EQ(READ(), 0xbbbb);
		GUEST_EXPECT_EQ(invpcid(0, 1, VA), NONE);
		GUEST_EXPECT_EQ(invpcid(2, 0, 0), NONE);
		GUEST_EXPECT_EQ(invpcid(3, 0, 0), NONE);
		GUEST_EXPECT_EQ(invpcid(4, 0, 0), GP);
		GUEST_EXPECT_EQ(invpcid(1, BIT(12), 0), GP);
		GUEST_EXPECT_EQ(invpcid(0, 1, BIT(47)), GP);	/* not canonical */
	}
	GUEST_EXPECT_EQ(TRY_MOV("cr3", root | 1), NONE);
	GUEST_EXPECT_EQ(READ(), 0xbbbb);
	guest_sync(GET("cr3"));
	GUEST_EXPECT_EQ(GET("cr3"), OTHER | 5);
	GUEST_EXPECT_EQ(READ(), 0xcccc);
	GUEST_EXPECT_EQ(TRY_MOV("cr3", root), NONE);
	GUEST_EXPECT_EQ(TRY_MOV("cr4", GET("cr4") & ~PCIDE), NONE);
	if (insn) {
		GUEST_EXPECT_EQ(invpcid(1, 1, 0), GP);
		GUEST_EXPECT_EQ(invpcid(1, 0, 0), NONE);
	}
	guest_done();
}

TEST(contexts)
{
	struct kvm_sregs sregs;
	struct vcpu *vcpu;
	u64 *ram;

	if (!has_pcid())
		test_skip("no PCIDs");
	vcpu = guest_new(contexts_guest);
	vm_map(vcpu->vm, VA, GUEST_FREE, PTE_P | PTE_W);
	vm_map(vcpu->vm, 2 * VA, GUEST_FREE + 0x1000, PTE_P | PTE_W);
	vm_map(vcpu->vm, 3 * VA, GUEST_FREE + 0x2000, PTE_P | PTE_W);
	*(u64 *)(vcpu->vm->ram + GUEST_FREE) = 0xaaaa;
	*(u64 *)(vcpu->vm->ram + GUEST_FREE + 0x1000) = 0xbbbb;
	*(u64 *)(vcpu->vm->ram + GUEST_FREE + 0x2000) = 0xcccc;
	EXPECT_EQ(run_sync(vcpu) & 0xfff, 1);
	/* Userspace sees the identifier, and can change it; no stale translation then. */
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr3 & 0xfff, 1);
	EXPECT_EQ(sregs.cr4 & PCIDE, PCIDE);
	ram = (u64 *)(vcpu->vm->ram + OTHER);
	ram[1] = ((u64 *)(vcpu->vm->ram + (sregs.cr3 & ~0xfffULL)))[3];
	sregs.cr3 = OTHER | 5;
	vcpu_set_sregs(vcpu, &sregs);
	run_done(vcpu);
}

static void none_guest(void)
{
	u64 cr4 = GET("cr4");

	GUEST_EXPECT_EQ(TRY_MOV("cr4", cr4 | PCIDE), GP);
	GUEST_EXPECT_EQ(GET("cr4"), cr4);
	guest_done();
}

TEST(without)
{
	struct kvm_cpuid2 *cpuid;
	struct kvm_sregs sregs;
	struct vcpu *vcpu = guest_new(none_guest);

	cpuid = supported_cpuid();
	cpuid_entry(cpuid, 1, 0)->ecx &= ~BIT(17);
	ASSERT_EQ(ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid), 0);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr4 |= PCIDE;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), EINVAL);
	run_done(vcpu);
}
