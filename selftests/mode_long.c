// SPDX-License-Identifier: GPL-2.0
/*
 * mode_long.c - long mode: entered by SREGS and by the guest itself, 64-bit registers, ring 3
 * and SYSCALL, compatibility mode.
 */
#include "guest.h"
#include "vm.h"

static void registers_guest(void)
{
	u64 sum;

	asm volatile("mov $0x1111111111111111, %%r8\n mov %%r8, %%r15\n add %%r8, %%r15\n"
		     "mov %%r15, %0" : "=r" (sum) : : "r8", "r15");
	GUEST_EXPECT_EQ(sum, 0x2222222222222222);
	GUEST_EXPECT_EQ(rdmsr(MSR_EFER) & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME);
	guest_done();
}

TEST(by_sregs)
{
	struct vcpu *vcpu = guest_new(registers_guest);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	run_done(vcpu);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.efer, EFER_LME | EFER_LMA | EFER_NX);
	EXPECT_EQ(sregs.cs.l, 1);
	EXPECT_EQ(sregs.cr3, GUEST_PT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.r15, 0x2222222222222222);
}

static void ap_body(u32 id)
{
	guest_sync(id + 0x1000);
	guest_done();
}

/* The AP's trampoline does it by way of protected mode; a BSP can run it just as well. */
TEST(by_the_guest)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct vm *vm = vcpu->vm;
	struct kvm_regs regs = { .rflags = RFLAGS_FIXED };
	struct kvm_sregs sregs, reset;

	vcpu_get_sregs(vcpu_new(vm, 1), &reset);
	reset.cs.selector = AP_TRAMPOLINE >> 4;
	reset.cs.base = AP_TRAMPOLINE;
	reset.apic_base |= 0x100;
	vcpu_set_sregs(vcpu, &reset);
	vcpu_set_regs(vcpu, &regs);
	guest_var(vm, ap_main) = ap_body;

	EXPECT_EQ(run_sync(vcpu), 0x1000);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.efer, EFER_LME | EFER_LMA | EFER_NX);
	EXPECT_EQ(sregs.cs.selector, GUEST_CS64);
	EXPECT_EQ(sregs.cs.l, 1);
	EXPECT_EQ(sregs.tr.selector, GUEST_TR);
	EXPECT_EQ(sregs.tr.base, GUEST_TSS);
	EXPECT_EQ(sregs.tr.type, 11);
	EXPECT_EQ(sregs.cr0, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	run_done(vcpu);
}

/*
 * All at once from real mode, with the TSS of 16 bits that TR has from reset: hypervisors allow it.
 * Bochs refuses it on its own, as the manuals' "Long-Mode Consistency Checks" have it.
 */
GUEST_ASM(at_once, 16,
	  "mov $0x20, %eax\n mov %eax, %cr4\n mov $0x90000, %eax\n mov %eax, %cr3\n"
	  "mov $0xc0000080, %ecx\n rdmsr\n or $0x900, %eax\n wrmsr\n"
	  "mov $0x80010033, %eax\n mov %eax, %cr0\n hlt");

TEST(at_once_from_real_mode)
{
	struct vcpu *vcpu;
	struct kvm_sregs sregs;
	struct vm *vm;

	need_shutdown();
	/* With a TSS of 16 bits in TR, or of 32: which one a reset leaves there differs. */
	for (u8 type = 3; type <= 11; type += 8) {
		test_context("TSS of type %u", type);
		vm = vm_new();
		vcpu = vcpu_new(vm, 0);
		GUEST_ASM_COPY(vm, AP_TRAMPOLINE, at_once);
		vcpu_cpuid(vcpu);
		vcpu_real(vcpu, AP_TRAMPOLINE);
		vcpu_get_sregs(vcpu, &sregs);
		sregs.tr.type = type;
		vcpu_set_sregs(vcpu, &sregs);
		expect_exit(vcpu, KVM_EXIT_HLT);
		vcpu_get_sregs(vcpu, &sregs);
		EXPECT_EQ(sregs.efer, EFER_LME | EFER_LMA | EFER_NX);
		EXPECT_EQ(sregs.cs.l, 0);
	}
}

/* Ring 3 at a page of its own: SYSCALL with a value in RDI; the kernel gives RDI + 1 back. */
#define USER_VA 0x8000000000ULL
GUEST_ASM(user, 64,
	  "mov $41, %edi\n syscall\n cmp $42, %edi\n jne 1f\n mov $0x77, %edi\n syscall\n 1: ud2");

extern const u8 syscall_entry[];
/* Called by syscall_entry, on a stack of the kernel. */
void user_done(void);

void user_done(void)
{
	u16 cs;

	asm volatile("mov %%cs, %0" : "=r" (cs));
	GUEST_EXPECT_EQ(cs & 3, 0);
	guest_done();
}

static void ring3_guest(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	/* SYSRET takes SS from +8 and CS from +16 of the upper half: 0x23, 0x2b. */
	wrmsr(0xc0000081, (u64)GUEST_CS64 << 32 | 0x1bULL << 48);
	wrmsr(0xc0000082, (u64)syscall_entry);
	wrmsr(0xc0000084, RFLAGS_IF);
	asm volatile("push %0\n push %1\n push $2\n push %2\n push %3\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_VA + 0x1000), "r" ((u64)GUEST_UCS64),
			 "r" (USER_VA));
}

TEST(ring3_and_syscall)
{
	struct vcpu *vcpu = guest_new(ring3_guest);

	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	run_done(vcpu);
}

/* 32-bit code under a 64-bit kernel: addresses and registers are cut to 32 bits. */
GUEST_ASM(compat, 32,
	  "mov $0xffffffff, %eax\n inc %eax\n jnz 1f\n mov $0x900000, %ebx\n mov 4(%ebx), %eax\n"
	  "out %eax, $0x10\n ljmp *8(%ebx)\n 1: ud2");

static void back_in_64(void)
{
	guest_done();
}

static void compat_guest(void)
{
	struct {
		u32 offset, selector;
	} __attribute__((packed)) target = { 0xa00000, GUEST_CS32 };

	asm volatile("ljmpl *%0" : : "m" (target));
}

TEST(compatibility_mode)
{
	struct vcpu *vcpu = guest_new(compat_guest);
	u8 *ram = vcpu->vm->ram;

	GUEST_ASM_COPY(vcpu->vm, 0xa00000, compat);
	*(u32 *)(ram + 0x900004) = 0xc0ffee;
	*(u32 *)(ram + 0x900008) = (u32)(uintptr_t)back_in_64;
	*(u32 *)(ram + 0x90000c) = GUEST_CS64;
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0xc0ffee);
	run_done(vcpu);
}

/* Its last instruction before 4 GiB: what comes next is at 0, where VMX accepts no other RIP. */
#define LAST_PAGE	0xfffff000UL
GUEST_ASM(at_zero, 32, "out %eax, $0x10\n ljmp *0x900008");

static void last_guest(void)
{
	struct {
		u32 offset, selector;
	} __attribute__((packed)) target = { LAST_PAGE + 0xffe, GUEST_CS32 };

	asm volatile("ljmpl *%0" : : "m" (target), "a" (0x80000000) : "memory");
}

static void expect_wrap(const char *insn)
{
	struct vcpu *vcpu = guest_new(last_guest);
	u8 *page = mem_alloc(0x1000), *ram = vcpu->vm->ram;

	memcpy(page + 0xffe, insn, 2);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, LAST_PAGE, 0x1000, page), 0);
	GUEST_ASM_COPY(vcpu->vm, 0, at_zero);
	*(u32 *)(ram + 0x900008) = (u32)(uintptr_t)back_in_64;
	*(u32 *)(ram + 0x90000c) = GUEST_CS64;
	if (*insn == '\xe6')
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x20, 1, 1);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1);
	run_done(vcpu);
}

TEST(end_of_32_bits)
{
	expect_wrap("\x0f\xa2");	/* CPUID */
	expect_wrap("\xe6\x20");	/* OUT */
}
