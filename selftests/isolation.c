// SPDX-License-Identifier: GPL-2.0
/*
 * isolation.c - a guest reads and writes what its slots map, and no byte beside it: pattern-filled
 * neighbours stay as they are, whichever way the guest goes about it, and are never seen.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x20000000ULL
#define SIZE	0x10000ULL
#define GUARD	0x10000ULL
#define PATTERN	0xa7

static u8 *mem;

/* A slot of SIZE bytes at BASE, in the middle of pattern. */
static void add_slot(struct vm *vm, u32 flags)
{
	u8 *all = mem_alloc(SIZE + 2 * GUARD);

	memset(all, PATTERN, SIZE + 2 * GUARD);
	mem = all + GUARD;
	memset(mem, 0, SIZE);
	ASSERT_RET(vm_slot(vm, 1, flags, BASE, SIZE, mem), 0);
}

static void expect_guards(void)
{
	for (u64 i = 0; i < GUARD; i++) {
		ASSERT_EQ(mem[-1 - (long)i], PATTERN);
		ASSERT_EQ(mem[SIZE + i], PATTERN);
	}
}

/* Run to the end; what is beside the slot is MMIO, and reads as @answer. */
static void run_answering(struct vcpu *vcpu, u8 answer, unsigned int *accesses)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;

	for (*accesses = 0; *accesses < 100000; ++*accesses) {
		switch (vcpu_run(vcpu)) {
		case KVM_EXIT_MMIO:
			/* Nothing that is in the slot ever gets here. */
			EXPECT_TRUE(run->mmio.phys_addr < BASE ||
				    run->mmio.phys_addr >= BASE + SIZE);
			memset(run->mmio.data, answer, 8);
			continue;
		case KVM_EXIT_IO:
			vcpu_get_regs(vcpu, &regs);
			if ((regs.rax & 0xff) == UCALL_DONE)
				return;
			ASSERT_EQ(regs.rax & 0xff, UCALL_SYNC);
			/* What it read beside the slot is the answer, not the pattern. */
			EXPECT_NE(regs.rdi & 0xff, PATTERN);
			continue;
		default:
			vcpu_dump(vcpu);
			test_abort();
		}
	}
	test_abort();
}

/* Each width at each place around both edges. */
static void edges_guest(void)
{
	static const u64 edge[2] = { BASE, BASE + SIZE };

	for (int e = 0; e < 2; e++) {
		for (u64 at = edge[e] - 9; at != edge[e] + 9; at++) {
			*(volatile u8 *)at = 0x11;
			*(volatile u16 *)at = 0x2222;
			*(volatile u32 *)at = 0x33333333;
			*(volatile u64 *)at = 0x4444444444444444;
			asm volatile("movups %%xmm0, (%0)" : : "r" (at) : "memory");
			asm volatile("addl $1, (%0)\n incq (%0)" : : "r" (at) : "memory");
			asm volatile("xchgl %%eax, (%0)" : : "r" (at) : "eax", "memory");
		}
	}
	for (u64 at = BASE + SIZE; at < BASE + SIZE + 64; at++)
		guest_sync(*(volatile u8 *)at);
	for (u64 at = BASE - 64; at < BASE; at++)
		guest_sync(*(volatile u8 *)at);
	guest_done();
}

TEST(edges)
{
	struct vcpu *vcpu = guest_new(edges_guest);
	unsigned int accesses;

	add_slot(vcpu->vm, 0);
	run_answering(vcpu, 0x5c, &accesses);
	EXPECT_TRUE(accesses > 500);
	expect_guards();
	/* What was written inside is there. */
	EXPECT_NE(mem[0], 0);
	EXPECT_NE(mem[SIZE - 1], 0);
}

static void string_guest(void)
{
	u64 count, from, to;

	/* Out of the slot at either end, forwards and backwards, in all widths. */
	count = 64; to = BASE + SIZE - 32;
	asm volatile("rep stosb" : "+c" (count), "+D" (to) : "a" (0x61) : "memory");
	count = 16; to = BASE + SIZE - 60;
	asm volatile("rep stosq" : "+c" (count), "+D" (to) : "a" (0x62) : "memory");
	count = 64; to = BASE + 32;
	asm volatile("std; rep stosb; cld" : "+c" (count), "+D" (to) : "a" (0x63) : "memory");
	count = 16; to = BASE + SIZE - 30; from = BASE - 30;
	asm volatile("rep movsl" : "+c" (count), "+D" (to), "+S" (from) : : "memory");
	count = 16; to = BASE - 30; from = BASE + SIZE - 30;
	asm volatile("rep movsl" : "+c" (count), "+D" (to), "+S" (from) : : "memory");
	for (u64 at = BASE; at < BASE + 64; at++)
		guest_sync(*(volatile u8 *)at);
	guest_done();
}

TEST(string_instructions)
{
	struct vcpu *vcpu = guest_new(string_guest);
	unsigned int accesses;

	add_slot(vcpu->vm, 0);
	run_answering(vcpu, 0x5c, &accesses);
	expect_guards();
}

/* The hypervisor's own writes to guest memory: the clock's pages, at the slot's very end. */
static void clock_guest(void)
{
	u64 a = 0, c = 0, d = 0;

	for (u64 at = BASE + SIZE - 32; at < BASE + SIZE + 32; at += 4) {
		wrmsr_try(0x4b564d00, at);		/* wall clock: 12 bytes */
		wrmsr_try(0x4b564d01, at | 1);		/* system time: 32 bytes */
		GUEST_TRY("cpuid", a, c, d);
	}
	wrmsr_try(0x4b564d01, 0);
	guest_done();
}

TEST(clock_pages)
{
	struct vcpu *vcpu = guest_new(clock_guest);
	unsigned int accesses;

	add_slot(vcpu->vm, 0);
	run_answering(vcpu, 0, &accesses);
	expect_guards();
	EXPECT_TRUE(*(u32 *)(mem + SIZE - 32) != 0);	/* what fits was written */
}

static void read_only_guest(void)
{
	u64 count, to;

	for (u64 at = BASE; at < BASE + SIZE; at += 0x800)
		*(volatile u32 *)at = 0x77777777;
	count = 100;
	to = BASE + 0x100;
	asm volatile("rep stosb" : "+c" (count), "+D" (to) : "a" (0x61) : "memory");
	asm volatile("lock incq (%0)" : : "r" (BASE + 0x200) : "memory");
	wrmsr_try(0x4b564d00, BASE + 0x1000);
	wrmsr_try(0x4b564d01, (BASE + 0x2000) | 1);
	guest_done();
}

TEST(read_only)
{
	struct vcpu *vcpu = guest_new(read_only_guest);
	struct kvm_run *run = vcpu->run;

	NEED_CAP(KVM_CAP_READONLY_MEM);
	add_slot(vcpu->vm, KVM_MEM_READONLY);
	/* Each write comes out as MMIO. */
	for (int i = 0; i < 1000; i++) {
		if (vcpu_run(vcpu) != KVM_EXIT_MMIO)
			break;
		EXPECT_TRUE(run->mmio.is_write);
	}
	EXPECT_EQ(run->exit_reason, KVM_EXIT_IO);
	for (u64 i = 0; i < SIZE; i++)
		ASSERT_EQ(mem[i], 0);
	expect_guards();
}

static volatile u64 seen;

static void reader_guest(void)
{
	for (;;) {
		seen = *(volatile u64 *)BASE;
		guest_sync(seen);
	}
}

/* Two VMs with slots at the same address have each their own; what is taken away is gone. */
TEST(two_vms)
{
	struct vcpu *a = guest_new(reader_guest), *b = guest_new(reader_guest);
	u64 *mem_a, *mem_b;

	add_slot(a->vm, 0);
	mem_a = (u64 *)mem;
	add_slot(b->vm, 0);
	mem_b = (u64 *)mem;
	*mem_a = 0x1111;
	*mem_b = 0x2222;
	EXPECT_EQ(run_sync(a), 0x1111);
	EXPECT_EQ(run_sync(b), 0x2222);
	ASSERT_RET(vm_slot(a->vm, 1, 0, 0, 0, NULL), 0);
	EXPECT_EQ(vcpu_run(a), KVM_EXIT_MMIO);
	EXPECT_EQ(run_sync(b), 0x2222);
	/* What the VMM unmaps, the guest loses, and what comes in its place it sees. */
	ASSERT_TRUE(mmap(mem_b, 0x1000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mem_b);
	*mem_b = 0x3333;
	EXPECT_EQ(run_sync(b), 0x3333);
	ASSERT_RET(munmap(mem_b, 0x1000), 0);
	EXPECT_ERRNO(ioctl(b->fd, KVM_RUN, 0), EFAULT);
}

#define MSR_WALL_CLOCK	0x4b564d00

/*
 * What the hypervisor itself writes over the border of two slots goes to both of them, and not to
 * what the VMM has behind the first.
 */
TEST(over_a_border)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	u8 *second;
	u32 seconds, nsec;

	vcpu_cpuid(vcpu);
	add_slot(vcpu->vm, 0);
	second = mem_alloc(SIZE);
	ASSERT_RET(vm_slot(vcpu->vm, 2, 0, BASE + SIZE, SIZE, second), 0);
	/* Version and seconds are in the one slot, nanoseconds in the next. */
	ASSERT_EQ(vcpu_set_msr(vcpu, MSR_WALL_CLOCK, BASE + SIZE - 8), 1);
	expect_guards();
	memcpy(&seconds, mem + SIZE - 4, 4);
	memcpy(&nsec, second, 4);
	EXPECT_NE(seconds, 0);
	EXPECT_TRUE(nsec && nsec < 1000000000);
	for (u64 i = 4; i < SIZE; i++)
		ASSERT_EQ(second[i], 0);
}

extern u8 watched[];
static volatile u64 found;

static void watching_guest(void)
{
	asm volatile("mov %0, %%dr0\n mov %0, %%dr1\n mov %0, %%dr2\n mov %0, %%dr3"
		     : : "r" (watched));
	guest_sync(0);
	asm volatile("mov %0, %%dr7" : : "r" (0x401UL));
	guest_sync(1);
	guest_done();
}

static void on_step(struct isr_frame *frame)
{
	asm volatile("mov %%dr6, %0" : "=r" (found));
	frame->rflags &= ~0x100ULL;
}

static void stepping_guest(void)
{
	isr_table[1] = on_step;
	asm volatile("pushf\n orl $0x100, (%%rsp)\n popf\n nop\n .globl watched\nwatched: nop"
		     : : : "memory", "cc");
	guest_sync(found);
	guest_done();
}

/* A breakpoint that is not the guest's own may yet be seen, in DR6 of a trap where it is. */
TEST(breakpoints)
{
	struct vcpu *other = guest_new(watching_guest), *vcpu;

	stay_on_one_cpu();
	/* Then they are enabled, which QEMU's TCG does not survive. */
	for (u64 round = 0; round < 2 && !(round && getenv("SVM_HOST")); round++) {
		EXPECT_EQ(run_sync(other), round);
		vcpu = guest_new(stepping_guest);
		EXPECT_EQ(run_sync(vcpu), 0xffff0ff0 | BIT(14));
		run_done(vcpu);
	}
}
