// SPDX-License-Identifier: GPL-2.0
/*
 * mem_walk.c - the emulator's walk of the guest's page tables against the CPU's own: random
 * tables and modes; the same MOVSB once to or from memory, and once from or to a device.
 */
#include "guest.h"
#include "vm.h"

#define TABLES	0x800000ULL	/* PDPT, PD, PT, page */
#define PLACE	0x803000ULL
#define VA	(0x700000000000ULL + PLACE)
#define CODE	0x804000ULL
#define RAM	0x805000ULL
#define DEVICE	0xe0000000ULL
#define ALIASES	0x8000000000ULL	/* below: CODE, RAM, DEVICE; + 1 GiB: the same for CPL 3 */
#define USER	0x40000000ULL
#define ROUNDS	3000

#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define FLAG_AC	BIT(18)

struct outcome {
	u64 vector, error, cr2;
	u64 pte[4];
	u8 moved;
};

static volatile struct outcome outcome;
static volatile u64 saved_rsp;
static u64 seed = 1;

static u64 any(u64 mask)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 24) & mask;
}

/* One in @n. */
static int rarely(u64 n)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 33) % n == 0;
}

/* UD2 after the access, or its fault: back to where it was begun. */
extern const u8 resume[];

static void on_exception(struct isr_frame *frame)
{
	outcome.vector = frame->vector;
	outcome.error = frame->error;
	if (outcome.error & BIT(3))
		outcome.error |= BIT(0);	/* QEMU's TCG forgets P with reserved bits */
	asm volatile("mov %%cr2, %0" : "=r" (outcome.cr2));
	frame->rip = (u64)resume;
	frame->cs = GUEST_CS64;
	frame->ss = GUEST_DS;
	frame->rsp = saved_rsp;
	frame->rflags = RFLAGS_FIXED;
}

static void movsb(u64 rsi, u64 rdi, int user, u64 ac)
{
	asm volatile("mov %%rsp, %[saved]\n\t"
		     "push %[ss]; push %[saved]; push %[flags]; push %[cs]; push %[rip]\n\t"
		     "iretq\n\t"
		     ".globl resume\n"
		     "resume:"
		     : "+S" (rsi), "+D" (rdi), [saved] "+m" (saved_rsp)
		     : [ss] "r" ((u64)(user ? GUEST_UDS : GUEST_DS)),
		       [flags] "r" (RFLAGS_FIXED | ac),
		       [cs] "r" ((u64)(user ? GUEST_UCS64 : GUEST_CS64)),
		       [rip] "r" (ALIASES + (user ? USER : 0)) : "memory", "cc");
}

static volatile u64 *entry(int level)
{
	static const u64 at[] = { GUEST_PT + 224 * 8, TABLES, TABLES + 0x1000 + 4 * 8,
				  TABLES + 0x2000 + 3 * 8 };

	return (u64 *)at[level];
}

/* The tables of this round; a large page begins so that the place is the same. */
static void random_tables(u64 *pte)
{
	for (int i = 0; i < 4; i++) {
		pte[i] = TABLES + i * 0x1000;
		if (i == 2 && rarely(4))
			pte[i] = TABLES | PTE_PS;
		if (i == 1 && rarely(8))
			pte[i] = PTE_PS;
		pte[i] |= PTE_P | PTE_W | PTE_U | any(BIT(5));
		if (i == 3)
			pte[i] |= any(BIT(6));
		if (rarely(8))
			pte[i] &= ~PTE_W;
		if (rarely(8))
			pte[i] &= ~PTE_U;
		if (rarely(12))
			pte[i] |= PTE_NX;
		if (rarely(24))
			pte[i] &= ~PTE_P;
		if (rarely(24))
			pte[i] |= BIT(52 + any(7));
		if (rarely(24))
			pte[i] |= BIT(12 + any(7));
		if (rarely(32))
			pte[i] |= BIT(51);
		if (rarely(24))
			pte[i] ^= PTE_PS;
	}
}

static void access_once(const u64 *pte, u64 other, int write, int user, u64 ac)
{
	u64 alias = ALIASES + (user ? USER : 0) + other;
	volatile u8 *to = (u8 *)(write ? PLACE : RAM), *from = (u8 *)(write ? RAM : PLACE);

	*from = 0x5a;
	*to = 0;
	for (int i = 0; i < 4; i++)
		*entry(i) = pte[i];
	asm volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
	movsb(write ? alias : VA, write ? VA : alias, user, ac);
	outcome.moved = *to;
	for (int i = 0; i < 4; i++)
		outcome.pte[i] = *entry(i);
}

static void compare(const struct outcome *cpu)
{
	GUEST_EXPECT_EQ(outcome.vector, cpu->vector);
	GUEST_EXPECT_EQ(outcome.error, cpu->error);
	if (cpu->vector == 14) {
		GUEST_EXPECT_EQ(outcome.cr2, cpu->cr2);
		return;
	}
	/* How far accessed bits are set on the way to a fault is the CPU's choice. */
	for (int i = 0; i < 4; i++)
		GUEST_EXPECT_EQ(outcome.pte[i], cpu->pte[i]);
}

static void guest(void)
{
	u64 cr0, cr4, modes = 0, pte[4], faults = 0;
	struct outcome cpu;

	isr_table[6] = on_exception;
	isr_table[14] = on_exception;
	if (guest_cpuid(7, 0).b & BIT(7))
		modes |= CR4_SMEP;
	if (guest_cpuid(7, 0).b & BIT(20))
		modes |= CR4_SMAP;
	asm volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r" (cr0), "=r" (cr4));
	for (int i = 0; i < ROUNDS; i++) {
		int write = !rarely(3), user = !rarely(3);
		u64 ac = any(FLAG_AC);

		asm volatile("mov %0, %%cr0; mov %1, %%cr4"
			     : : "r" ((cr0 & ~CR0_WP) | any(CR0_WP)), "r" (cr4 | any(modes)));
		wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~EFER_NX) | any(EFER_NX));
		random_tables(pte);
		access_once(pte, 0x1000, write, user, ac);
		cpu = outcome;
		access_once(pte, 0x2000, write, user, ac);
		if (!write)
			outcome.moved = cpu.moved;
		GUEST_EXPECT_EQ(outcome.moved, cpu.moved);
		compare(&cpu);
		faults += cpu.vector == 14;
	}
	asm volatile("mov %0, %%cr0; mov %1, %%cr4" : : "r" (cr0), "r" (cr4));
	guest_sync(faults);
	guest_done();
}

TEST(random_tables_and_modes)
{
	static const u8 code[] = { 0xa4, 0x0f, 0x0b };	/* movsb; ud2 */
	struct vcpu *vcpu = guest_new(guest);
	struct vm *vm = vcpu->vm;
	u64 reads = 0, writes = 0;

	memcpy(vm->ram + CODE, code, sizeof(code));
	for (int user = 0; user < 2; user++) {
		u64 va = ALIASES + user * USER, flags = PTE_P | PTE_W | (user ? PTE_U : 0);

		vm_map(vm, va, CODE, flags);
		vm_map(vm, va + 0x1000, RAM, flags);
		vm_map(vm, va + 0x2000, DEVICE, flags);
	}
	for (;;) {
		struct kvm_run *run = vcpu->run;
		struct kvm_regs regs;

		if (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
			EXPECT_EQ(run->mmio.phys_addr, DEVICE);
			if (run->mmio.is_write)
				writes++;
			else
				reads++;
			run->mmio.data[0] = 0x5a;
			continue;
		}
		ASSERT_EQ(run->exit_reason, KVM_EXIT_IO);
		vcpu_get_regs(vcpu, &regs);
		if ((regs.rax & 0xff) == UCALL_SYNC) {
			test_info("%llu faults, %lu reads and %lu writes of the device", regs.rdi,
				  reads, writes);
			EXPECT_GE(regs.rdi, ROUNDS / 8);
			EXPECT_GE(reads, ROUNDS / 8);
			EXPECT_GE(writes, ROUNDS / 16);
			return;
		}
		const struct guest_failure *failure = (void *)regs.rdi;

		ASSERT_EQ(regs.rax & 0xff, UCALL_FAIL);
		test_fail(failure->file, failure->line, "%s: %#llx against %#llx", failure->what,
			  regs.rsi, regs.rcx);
		test_abort();
	}
}

/* An intercepted instruction at the end of its page: the next page is not touched. */
TEST(code_ends_with_its_page)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct vm *vm = vcpu->vm;
	struct kvm_regs regs = { .rip = ALIASES + 0xffb, .rflags = RFLAGS_FIXED };

	memcpy(vm->ram + CODE + 0xffb, "\x0f\xa2\xe6\x10\xf4", 5);	/* CPUID, OUT, HLT */
	vm_map(vm, ALIASES, CODE, PTE_P | PTE_W);
	vm_map(vm, ALIASES + 0x1000, RAM, PTE_P | PTE_W);
	vcpu_set_regs(vcpu, &regs);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	expect_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(*vm_pte(vm, ALIASES) & 0x20, 0x20);
	EXPECT_EQ(*vm_pte(vm, ALIASES + 0x1000) & 0x20, 0);
}
