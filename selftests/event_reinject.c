// SPDX-License-Identifier: GPL-2.0
/*
 * event_reinject.c - an event whose delivery itself faults in the nested page tables: the page
 * of the IDT, of the GDT, of the stack is fetched, and the event comes, once.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define VECTOR	0x50
#define IDT_GPA	0x10000000ULL
#define STACK	0x10010000ULL

static volatile u32 taken;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	taken++;
	apic_write(APIC_EOI, 0);
}

static void on_int(struct isr_frame *frame)
{
	(void)frame;
	taken++;
}

/* Ask for the pages to be thrown away, then take one event of each kind. */
static void guest(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0xfff, IDT_GPA };

	isr_table[VECTOR] = on_irq;
	isr_table[0x51] = on_int;
	isr_table[2] = on_int;
	asm volatile("lidt %0" : : "m" (idt));
	apic_enable();

	guest_sync(1);
	apic_write(APIC_ICR, 0x40000 | VECTOR);
	sti_nop();
	GUEST_EXPECT_EQ(taken, 1);

	guest_sync(1);
	asm volatile("int $0x51");
	GUEST_EXPECT_EQ(taken, 2);

	guest_sync(1);
	apic_write(APIC_ICR, 0x400);
	GUEST_WAIT(taken >= 3);

	guest_sync(1);
	{
		u64 a = 0, c = 0, d = 0;

		GUEST_TRY("ud2", a, c, d);
		GUEST_EXPECT_EQ(guest_fault.vector, 6);
	}
	guest_done();
}

/* The slot of @fn's IDT and stack loses its mappings, and keeps its contents, each time it asks. */
static void run_unmapped(void (*fn)(void), u64 want)
{
	struct vcpu *vcpu = guest_new_irqchip(fn);
	struct vm *vm = vcpu->vm;
	u8 *mem = mem_alloc(0x20000), *swap = mem_alloc(0x20000);
	struct kvm_regs regs;

	memcpy(mem, vm->ram + GUEST_IDT, 0x1000);
	ASSERT_RET(vm_slot(vm, 1, 0, IDT_GPA, 0x20000, mem), 0);
	vcpu_get_regs(vcpu, &regs);
	regs.rsp = STACK + 0xff8;
	vcpu_set_regs(vcpu, &regs);
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(run_sync(vcpu), 1);
		memcpy(swap, mem, 0x20000);
		ASSERT_RET(madvise(mem, 0x20000, MADV_DONTNEED), 0);
		memcpy(mem, swap, 0x20000);
	}
	run_done(vcpu);
	EXPECT_EQ(guest_var(vm, taken), want);
}

TEST(idt_and_stack_not_mapped)
{
	run_unmapped(guest, 3);
}

static volatile u64 bp_rip;

static void on_bp(struct isr_frame *frame)
{
	taken++;
	bp_rip = frame->rip;
}

static void bp_guest(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0xfff, IDT_GPA };

	isr_table[3] = on_bp;
	asm volatile("lidt %0" : : "m" (idt));
	for (u32 i = 1; i <= 4; i++) {
		u64 after;

		guest_sync(1);
		asm volatile("lea 1f(%%rip), %0\n\tint3\n1:" : "=r" (after) : : "memory");
		GUEST_EXPECT_EQ(taken, i);
		GUEST_EXPECT_EQ(bp_rip, after);
	}
	guest_done();
}

/* An instruction's own: it comes once, and returns behind it. */
TEST(breakpoint_instruction)
{
	run_unmapped(bp_guest, 4);
}

static void error_guest(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0xfff, IDT_GPA };

	asm volatile("lidt %0" : : "m" (idt));
	for (u32 i = 1; i <= 4; i++) {
		u64 a = 0x7ff8, c = 0, d = 0;

		guest_sync(1);
		GUEST_TRY("mov %%eax, %%es", a, c, d);
		GUEST_EXPECT_EQ(guest_fault.vector, 13);
		GUEST_EXPECT_EQ(guest_fault.error, 0x7ff8);
	}
	guest_done();
}

/* A selector that there is not: the #GP names it, also the second time. */
TEST(exception_with_error_code)
{
	run_unmapped(error_guest, 0);
}

static u8 order[2];

static void on_first(struct isr_frame *frame)
{
	(void)frame;
	order[taken++ & 1] = 1;
}

static void on_late_irq(struct isr_frame *frame)
{
	(void)frame;
	order[taken++ & 1] = 2;
	apic_write(APIC_EOI, 0);
}

/* An interrupt waits, and what STI protects is an INT whose delivery faults. */
static void guest_shadow(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0xfff, IDT_GPA };

	isr_table[VECTOR] = on_late_irq;
	isr_table[0x51] = on_first;
	asm volatile("lidt %0" : : "m" (idt));
	apic_enable();
	for (int i = 0; i < 4; i++) {
		apic_write(APIC_ICR, 0x40000 | VECTOR);
		guest_sync(1);
		/* Two lengths of it, and an old stack or one never touched. */
		if (i & 1)
			asm volatile("sti\n\tint $0x51\n\tcli" : : : "memory");
		else
			asm volatile("sti\n\t.byte 0x2e\n\tint $0x51\n\tcli" : : : "memory");
		GUEST_EXPECT_EQ(taken, 2 * (i + 1));
		GUEST_EXPECT_EQ(order[0], 1);
		GUEST_EXPECT_EQ(order[1], 2);
	}
	guest_done();
}

TEST(int_in_the_shadow_of_sti)
{
	if (getenv("VMX_HOST"))
		test_skip("Bochs forgets the shadow when the delivery of an INT exits");
	run_unmapped(guest_shadow, 8);
}
