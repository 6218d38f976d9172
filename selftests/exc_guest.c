// SPDX-License-Identifier: GPL-2.0
/*
 * exc_guest.c - exceptions that the guest's own code raises: they are the guest's affair, with
 * the right vector, error code, CR2 and RIP; and those raised by instructions that exit.
 */
#include "guest.h"
#include "vm.h"

#define VA	0x8000000000ULL

static u64 a, c, d;

#define EXPECT_FAULT(want_vector, want_error, insn) do {			\
	GUEST_TRY(insn, a, c, d);						\
	GUEST_EXPECT_EQ(guest_fault.vector, want_vector);			\
	if ((want_vector) < 256)						\
		GUEST_EXPECT_EQ(guest_fault.error, want_error);			\
} while (0)

static void cpu_guest(void)
{
	u64 value;

	EXPECT_FAULT(256, 0, "nop");
	EXPECT_FAULT(6, 0, "ud2");
	EXPECT_FAULT(3, 0, "int3");
	a = 1;
	d = 0;
	c = 0;
	EXPECT_FAULT(0, 0, "div %%ecx");
	EXPECT_FAULT(13, 0, "mov $0x8000000000000000, %%rcx\n mov (%%rcx), %%rax");
	EXPECT_FAULT(13, 0x18, "mov $0x18, %%eax\n mov %%eax, %%ss");	/* a code segment */
	EXPECT_FAULT(13, 0xfff0, "mov $0xfff0, %%eax\n mov %%eax, %%ds");
	GUEST_TRY("int $0x85", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 13);

	c = VA;
	EXPECT_FAULT(14, 0, "mov (%%rcx), %%rax");
	GUEST_EXPECT_EQ(guest_fault.cr2, VA);
	EXPECT_FAULT(14, 2, "mov %%rax, 8(%%rcx)");
	GUEST_EXPECT_EQ(guest_fault.cr2, VA + 8);
	c = VA + 0x1000;		/* read-only */
	EXPECT_FAULT(256, 0, "mov (%%rcx), %%rax");
	EXPECT_FAULT(14, 3, "mov %%rax, (%%rcx)");
	c = VA + 0x2000;		/* no execution */
	asm volatile("mov %%rsp, %0" : "=r" (value));
	GUEST_TRY("mov %%rsp, %%rdx\n jmp *%%rcx", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, 14);
	GUEST_EXPECT_EQ(guest_fault.error, 0x11);
	GUEST_EXPECT_EQ(guest_fault.rip, VA + 0x2000);
	guest_done();
}

TEST(by_the_cpu)
{
	struct vcpu *vcpu = guest_new(cpu_guest);
	u64 *idt = (u64 *)(vcpu->vm->ram + GUEST_IDT);

	vm_map(vcpu->vm, VA + 0x1000, GUEST_FREE, PTE_P);
	vm_map(vcpu->vm, VA + 0x2000, GUEST_FREE, PTE_P | PTE_NX);
	/* A gate of a type that is none. */
	idt[2 * 0x85] &= ~(0xfULL << 40);
	run_done(vcpu);
}

/* Instructions that exit: the hypervisor raises what the CPU would. */
static void exit_guest(void)
{
	u64 cr0, cr4;

	asm volatile("mov %%cr0, %0" : "=r" (cr0));
	asm volatile("mov %%cr4, %0" : "=r" (cr4));
	c = cr0 & ~CR0_PE;
	EXPECT_FAULT(13, 0, "mov %%rcx, %%cr0");	/* PG without PE */
	c = (cr0 | CR0_NW) & ~CR0_CD;
	EXPECT_FAULT(13, 0, "mov %%rcx, %%cr0");
	c = cr4 & ~CR4_PAE;
	EXPECT_FAULT(13, 0, "mov %%rcx, %%cr4");	/* PAE off in long mode */
	c = cr4 | BIT(31);
	EXPECT_FAULT(13, 0, "mov %%rcx, %%cr4");
	c = 16;
	EXPECT_FAULT(13, 0, "mov %%rcx, %%cr8");
	c = 0x12345678;
	EXPECT_FAULT(13, 0, "rdmsr");
	EXPECT_FAULT(13, 0, "wrmsr");
	EXPECT_FAULT(13, 0, "rdpmc");			/* no such counter */
	EXPECT_FAULT(6, 0, "rsm");			/* not in SMM */
	EXPECT_FAULT(6, 0, "vmrun");			/* EFER.SVME is not there */
	/* They would take a physical address of the host's, or its interrupts. */
	EXPECT_FAULT(6, 0, "vmload");
	EXPECT_FAULT(6, 0, "vmsave");
	EXPECT_FAULT(6, 0, "clgi");
	EXPECT_FAULT(6, 0, "stgi");
	EXPECT_FAULT(6, 0, "skinit");
	EXPECT_FAULT(6, 0, "vmxoff");
	c = (uintptr_t)&a;
	EXPECT_FAULT(6, 0, "vmxon (%%rcx)");
	EXPECT_FAULT(6, 0, "vmclear (%%rcx)");
	EXPECT_FAULT(6, 0, "vmptrld (%%rcx)");
	EXPECT_FAULT(6, 0, "vmptrst (%%rcx)");
	EXPECT_FAULT(6, 0, "vmread %%rax, %%rdx");
	EXPECT_FAULT(6, 0, "vmwrite %%rax, %%rdx");
	EXPECT_FAULT(6, 0, "vmlaunch");
	EXPECT_FAULT(6, 0, "vmresume");
	EXPECT_FAULT(6, 0, "vmfunc");
	EXPECT_FAULT(6, 0, "invept (%%rcx), %%rax");
	EXPECT_FAULT(6, 0, "invvpid (%%rcx), %%rax");
	EXPECT_FAULT(256, 0, "wbinvd");
	EXPECT_FAULT(256, 0, "invd");
	EXPECT_FAULT(256, 0, "clts");
	EXPECT_FAULT(256, 0, "invlpg (%%rcx)");
	asm volatile("mov %%cr0, %0" : "=r" (a));
	GUEST_EXPECT_EQ(a, cr0);
	asm volatile("mov %%cr4, %0" : "=r" (a));
	GUEST_EXPECT_EQ(a, cr4);
	guest_done();
}

TEST(by_the_hypervisor)
{
	run_done(guest_new(exit_guest));
}

/* CR0.TS and EM belong to the guest: #NM and #UD, and CLTS. */
static void fpu_guest(void)
{
	u64 cr0;

	asm volatile("mov %%cr0, %0" : "=r" (cr0));
	asm volatile("mov %0, %%cr0" : : "r" (cr0 | CR0_TS));
	EXPECT_FAULT(7, 0, "fninit");
	EXPECT_FAULT(7, 0, "movups %%xmm0, %%xmm1");
	asm volatile("clts");
	EXPECT_FAULT(256, 0, "movups %%xmm0, %%xmm1");
	asm volatile("mov %0, %%cr0" : : "r" ((cr0 | CR0_EM) & ~CR0_MP));
	EXPECT_FAULT(7, 0, "fninit");
	EXPECT_FAULT(6, 0, "movups %%xmm0, %%xmm1");
	asm volatile("mov %0, %%cr0" : : "r" (cr0));
	EXPECT_FAULT(256, 0, "movups %%xmm0, %%xmm1");
	guest_done();
}

TEST(fpu_of_the_guest)
{
	run_done(guest_new(fpu_guest));
}

/* #PF while #PF's own frame is pushed: the third fault ends it. */
static void triple_guest(void)
{
	static const struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = { 0, 0 };

	guest_sync(1);
	asm volatile("lidt %0\n ud2" : : "m" (none));
}

TEST(triple_fault)
{
	struct vcpu *vcpu;

	need_shutdown();
	vcpu = guest_new(triple_guest);
	run_sync(vcpu);
	expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
	/* The vCPU can be set up again and run. */
	vcpu_long(vcpu, triple_guest, 0);
	{
		struct kvm_sregs sregs;

		vcpu_get_sregs(vcpu, &sregs);
		sregs.idt.limit = 0xfff;
		vcpu_set_sregs(vcpu, &sregs);
	}
	EXPECT_EQ(run_sync(vcpu), 1);
}
