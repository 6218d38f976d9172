// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_fault.c - faults that the emulation of an MMIO instruction itself must raise in the
 * guest: the other operand's page, rights, non-canonical addresses, division.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define ABSENT	0x8000000000ULL
#define READONLY 0x8000001000ULL
#define USER	0x8000002000ULL

static u64 a, c, d;

/* Source is a device, destination not there: the read has happened, the fault comes then. */
static void destination_guest(void)
{
	u64 si = MMIO, di = ABSENT;

	guest_fault.vector = 256;
	asm volatile("lea 1f(%%rip), %%r8\n mov %%r8, guest_resume(%%rip)\n movsl\n 1:"
		     : "+S" (si), "+D" (di) : : "r8", "memory");
	guest_resume = 0;
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 2);
	GUEST_EXPECT_EQ(guest_fault.cr2, ABSENT);
	/* Nothing moved. */
	GUEST_EXPECT_EQ(si, MMIO);
	GUEST_EXPECT_EQ(di, ABSENT);

	di = READONLY;
	asm volatile("lea 1f(%%rip), %%r8\n mov %%r8, guest_resume(%%rip)\n movsl\n 1:"
		     : "+S" (si), "+D" (di) : : "r8", "memory");
	guest_resume = 0;
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 3);
	GUEST_EXPECT_EQ(guest_fault.cr2, READONLY);
	guest_done();
}

TEST(page_fault_of_the_other_operand)
{
	struct vcpu *vcpu = guest_new(destination_guest);

	vm_map(vcpu->vm, READONLY, GUEST_FREE, PTE_P);
	*(u32 *)expect_mmio(vcpu, 0, MMIO, 4) = 1;
	*(u32 *)expect_mmio(vcpu, 0, MMIO, 4) = 1;
	run_done(vcpu);
}

/* PUSH of device memory with no stack to push to; POP from a stack into a device. */
static void stack_guest(void)
{
	c = MMIO;
	GUEST_TRY("mov %%rsp, %%rdx\n mov $0x8000000100, %%rsp\n pushq (%%rcx)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 256);
	guest_done();
}

static volatile u64 df_seen;

static void on_df(struct isr_frame *frame)
{
	(void)frame;
	df_seen = 1;
	guest_done();
}

static void push_guest(void)
{
	isr_table[8] = on_df;
	stack_guest();
}

/* The #PF of the push finds no stack either: #DF by way of IST 1, as the CPU would have it. */
TEST(double_fault)
{
	struct vcpu *vcpu = guest_new(push_guest);
	u64 *idt = (u64 *)(vcpu->vm->ram + GUEST_IDT);
	u64 ist = 0x70000;

	memcpy(vcpu->vm->ram + GUEST_TSS + 0x24, &ist, 8);
	idt[16] |= 1ULL << 32;
	expect_mmio(vcpu, 0, MMIO, 8);
	run_done(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, df_seen), 1);
}

static void division_guest(void)
{
	c = MMIO;
	a = 5;
	d = 0;
	GUEST_TRY("divl (%%rcx)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 0);
	GUEST_EXPECT_EQ(a, 5);
	d = 10;
	GUEST_TRY("divl 4(%%rcx)", a, c, d);	/* quotient too big */
	GUEST_EXPECT_EQ(guest_fault.vector, 0);
	GUEST_EXPECT_EQ(d, 10);
	guest_done();
}

TEST(division_by_a_device)
{
	struct vcpu *vcpu = guest_new(division_guest);

	*(u32 *)expect_mmio(vcpu, 0, MMIO, 4) = 0;
	*(u32 *)expect_mmio(vcpu, 0, MMIO + 4, 4) = 2;
	run_done(vcpu);
}

static void canonical_guest(void)
{
	u64 si = MMIO, di = 0x8000000000000000;

	guest_fault.vector = 256;
	asm volatile("lea 1f(%%rip), %%r8\n mov %%r8, guest_resume(%%rip)\n movsl\n 1:"
		     : "+S" (si), "+D" (di) : : "r8", "memory");
	guest_resume = 0;
	GUEST_EXPECT_EQ(guest_fault.vector, 13);
	GUEST_EXPECT_EQ(guest_fault.error, 0);
	guest_done();
}

TEST(non_canonical)
{
	struct vcpu *vcpu = guest_new(canonical_guest);

	*(u32 *)expect_mmio(vcpu, 0, MMIO, 4) = 1;
	run_done(vcpu);
}

/* LOCK where it may not be: #UD before any access. */
static void lock_guest(void)
{
	c = MMIO;
	GUEST_TRY(".byte 0xf0, 0x8b, 0x01", a, c, d);	/* lock mov (%rcx), %eax */
	GUEST_EXPECT_EQ(guest_fault.vector, 6);
	GUEST_TRY(".byte 0xf0, 0x39, 0x01", a, c, d);	/* lock cmp %eax, (%rcx) */
	GUEST_EXPECT_EQ(guest_fault.vector, 6);
	guest_done();
}

TEST(lock_prefix)
{
	run_done(guest_new(lock_guest));
}

static void idt_guest(void)
{
	guest_sync(0);
	asm volatile("ud2");
}

/*
 * No instruction accesses the IDT: where it is a device's, the exception cannot be delivered, and
 * userspace has to know. KVM on SVM executes the instruction at RIP instead.
 */
TEST(idt_in_a_device)
{
	struct vcpu *vcpu = guest_new(idt_guest);
	struct kvm_sregs sregs;

	if (!on_minihv())
		test_skip("KVM executes what is at RIP");
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.base = MMIO;
	vcpu_set_sregs(vcpu, &sregs);
	expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(vcpu->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	EXPECT_EQ(vcpu->run->internal.data[0], 6);
	EXPECT_EQ(vcpu->run->internal.data[3] >> 12, MMIO >> 12);
}

#define TABLE_VA	(9ULL << 30)

static void table_guest(void)
{
	c = TABLE_VA;
	GUEST_TRY("mov (%%rcx), %%eax", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 0);
	GUEST_EXPECT_EQ(guest_fault.cr2, TABLE_VA);
	guest_done();
}

/* A page table where no memory is: nothing is present there, and no device is asked. */
TEST(page_table_in_a_device)
{
	struct vcpu *vcpu = guest_new(table_guest);
	u64 *pdpt = (u64 *)(vcpu->vm->ram + GUEST_PT + 0x1000);

	pdpt[TABLE_VA >> 30] = GUEST_FREE | PTE_P | PTE_W;
	*(u64 *)(vcpu->vm->ram + GUEST_FREE) = MMIO | PTE_P | PTE_W;
	/* KVM of 6.1 takes the entry's address for the operand's, and asks. */
	if (!on_minihv())
		test_skip("KVM takes the table for the operand");
	if (getenv("MHV_NO_SHUTDOWN"))
		test_skip("Bochs's SVM gives the guest the host's CR2");
	run_done(vcpu);
}

static void read_only_guest(void)
{
	c = READONLY;
	a = 1;
	GUEST_TRY("add %%eax, (%%rcx)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 3);
	GUEST_EXPECT_EQ(guest_fault.cr2, READONLY);
	guest_done();
}

/*
 * A device that may only be read: where the CPU reads first, that is all that it has checked. KVM
 * on SVM checks no more.
 */
TEST(add_to_a_read_only_device)
{
	struct vcpu *vcpu;

	if (!on_minihv())
		test_skip("KVM writes");
	vcpu = guest_new(read_only_guest);
	vm_map(vcpu->vm, READONLY, MMIO, PTE_P);
	while (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
		ASSERT_EQ(vcpu->run->mmio.is_write, 0);
		memset(vcpu->run->mmio.data, 0, 8);
	}
	EXPECT_EQ(*((u8 *)vcpu->run + vcpu->run->io.data_offset), UCALL_DONE);
}
