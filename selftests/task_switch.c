// SPDX-License-Identifier: GPL-2.0
/*
 * task_switch.c - switches between tasks by JMP, CALL and IRET, and by exceptions and interrupts
 * through task gates; what is saved and loaded, what is marked busy, what faults where.
 */
#include <stdbool.h>

#include "guest.h"
#include "vm.h"

#define CODE	0x10000
#define TASK	0x12000		/* the other task's code */
#define TSS_A	0x20000
#define TSS_B	0x21000
#define STACK_B	0x30000
#define LDT	0x22000
#define PD	0x40000

#define SEL_A	0x800
#define SEL_B	0x808
#define SEL_GATE 0x810
#define SEL_LDT	0x818
#define SEL_NP	0x820		/* data, not present */
#define SEL_CNP	0x828		/* code, not present */
#define SEL_UCS	0x830		/* code and data of CPL 3 */
#define SEL_UDS	0x838

#define NT	BIT(14)
#define BUSY	2

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, gpr[8], seg[6], ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, gpr[8], seg[4], ldt;
};

static struct vm *vm;
static struct vcpu *vcpu;
static struct tss32 *a, *b;
static u64 *gdt;

static u64 desc(u32 base, u32 limit, u32 access)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
}

static u8 type_of(u16 sel)
{
	return gdt[sel / 8] >> 40 & 15;
}

static bool forced;

/*
 * What an instruction does is done by the CPU, where the hypervisor leaves it to it, or by the
 * emulator: with UD2 and "kvm" before it, the latter can be had. KVM's refuses these.
 */
static void force(void)
{
	if (!on_minihv() || !test_force_emulation())
		test_skip("only minihv's emulator switches tasks by an instruction");
	forced = true;
}

#define BY_BOTH(name)								\
	static void do_##name(void);						\
	TEST(name) { do_##name(); }						\
	TEST(name##_emulated) { force(); do_##name(); }				\
	static void do_##name(void)

/* A nested fault within a switch is more than QEMU's TCG can take: no page is new to the guest. */
GUEST_ASM(touch, 32,
	  "mov $0x10000, %ebx\n 1: lock addl $0, (%ebx)\n add $0x1000, %ebx\n cmp $0xa0000, %ebx\n"
	  "jb 1b\n lock addl $0, 0x103000\n lock addl $0, 0x800000\n lock addl $0, 0xc00000\n hlt");

/* Task A runs, at CODE; B waits at TASK, with registers that tell it from A. */
static void setup(const u8 *code, size_t size)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int i;

	static const u8 prefix[5] = { 0x0f, 0x0b, 'k', 'v', 'm' };

	vm = vm_new();
	vcpu = vcpu_new(vm, 0);
	GUEST_ASM_COPY(vm, CODE, touch);
	vcpu_flat32(vcpu, CODE);
	expect_exit(vcpu, KVM_EXIT_HLT);
	memcpy(vm->ram + CODE - sizeof(prefix), prefix, sizeof(prefix));
	memcpy(vm->ram + CODE, code, size);
	a = (void *)(vm->ram + TSS_A);
	b = (void *)(vm->ram + TSS_B);
	gdt = (u64 *)(vm->ram + GUEST_GDT);
	gdt[SEL_A / 8] = desc(TSS_A, sizeof(*a) - 1, 0x8b);
	gdt[SEL_B / 8] = desc(TSS_B, sizeof(*b) - 1, 0x89);
	gdt[SEL_GATE / 8] = (u64)0x85 << 40 | (u64)SEL_B << 16;
	gdt[SEL_LDT / 8] = desc(LDT, 15, 0x82);
	gdt[SEL_NP / 8] = 0x00cf13000000ffff;
	gdt[SEL_CNP / 8] = 0x00cf1b000000ffff;
	gdt[SEL_UCS / 8] = 0x00cffb000000ffff;
	gdt[SEL_UDS / 8] = 0x00cff3000000ffff;

	b->eip = TASK;
	b->eflags = 2 | BIT(0) | BIT(11);
	for (i = 0; i < 8; i++)
		b->gpr[i] = 0xb0b00000 + i;
	b->gpr[4] = STACK_B;
	for (i = 0; i < 6; i++)
		b->seg[i] = i == 1 ? GUEST_CS32 : GUEST_DS;
	memset(vm->ram + STACK_B - 16, 0xcc, 16);
	vm->ram[TASK] = 0xf4;			/* HLT; a test may want other code there */

	vcpu_flat32(vcpu, CODE - (forced ? sizeof(prefix) : 0));
	vcpu_get_sregs(vcpu, &sregs);
	sregs.tr.base = TSS_A;
	sregs.tr.limit = sizeof(*a) - 1;
	sregs.tr.selector = SEL_A;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_get_regs(vcpu, &regs);
	regs.rax = 0xa0a00000;
	regs.rcx = 0xa0a00001;
	regs.rdi = 0xa0a00007;
	regs.rbp = 0xa0a00005;
	vcpu_set_regs(vcpu, &regs);
}

#define SETUP(name) setup(name, (size_t)(name##_end - name))

/* A gate of the IDT: to task B, or to an interrupt handler at @eip. */
static void gate(int vector, u32 eip, int dpl)
{
	u64 *idt = (u64 *)(vm->ram + GUEST_IDT);
	struct kvm_sregs sregs;

	if (eip)
		idt[vector] = (eip & 0xffff) | GUEST_CS32 << 16 | (u64)0x8e << 40 |
			      (u64)(eip >> 16) << 48;
	else
		idt[vector] = (u64)SEL_B << 16 | (u64)(0x85 | dpl << 5) << 40;
	vcpu_get_sregs(vcpu, &sregs);
	sregs.idt.limit = 0x7ff;
	vcpu_set_sregs(vcpu, &sregs);
}

/* What every switch from A to B does. */
static void check_switched(u32 old_eip)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_sregs(vcpu, &sregs);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(a->eip, old_eip);
	EXPECT_EQ(a->gpr[0], 0xa0a00000);
	EXPECT_EQ(a->gpr[1], 0xa0a00001);
	EXPECT_EQ(a->gpr[5], 0xa0a00005);
	EXPECT_EQ(a->gpr[7], 0xa0a00007);
	EXPECT_EQ(a->gpr[4], GUEST_STACKS + GUEST_STACK_SIZE);
	EXPECT_EQ(a->seg[0] & 0xffff, GUEST_DS);
	EXPECT_EQ(a->seg[1] & 0xffff, GUEST_CS32);
	EXPECT_EQ(a->seg[2] & 0xffff, GUEST_DS);
	EXPECT_EQ(a->cr3, 0);
	EXPECT_EQ(sregs.tr.selector, SEL_B);
	EXPECT_EQ(sregs.tr.base, TSS_B);
	EXPECT_EQ(sregs.tr.type, 11);
	EXPECT_EQ(sregs.cr0 & CR0_TS, CR0_TS);
	EXPECT_EQ(type_of(SEL_B), 9 | BUSY);
	EXPECT_EQ(regs.rax, 0xb0b00000);
	EXPECT_EQ(regs.rcx, 0xb0b00001);
	EXPECT_EQ(regs.rdi, 0xb0b00007);
	EXPECT_EQ(regs.rflags & (BIT(0) | BIT(11)), BIT(0) | BIT(11));
}

GUEST_ASM(jmp_tss, 32, "ljmp $0x808, $0\n hlt");

BY_BOTH(jmp)
{
	struct kvm_regs regs;

	SETUP(jmp_tss);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE + 7);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, TASK + 1);
	EXPECT_EQ(regs.rsp, STACK_B);
	EXPECT_EQ(regs.rflags & NT, 0);
	EXPECT_EQ(type_of(SEL_A), 9);
	EXPECT_EQ(b->link, 0);
}

GUEST_ASM(jmp_gate, 32, "ljmp $0x810, $0\n hlt");

BY_BOTH(jmp_through_a_gate)
{
	SETUP(jmp_gate);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE + 7);
	EXPECT_EQ(type_of(SEL_A), 9);
}

GUEST_ASM(call_tss, 32, "lcall $0x808, $0\n mov $0x77, %al\n out %al, $0x10\n hlt");
GUEST_ASM(iret_task, 32, "mov $0x11223344, %edx\n iret\n inc %eax\n hlt");

/* CALL nests: link, NT, both busy; IRET goes back, and B is to go on behind it. */
BY_BOTH(call_and_iret)
{
	struct kvm_regs regs;

	SETUP(call_tss);
	GUEST_ASM_COPY(vm, TASK, iret_task);
	EXPECT_EQ(*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1), 0x77);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rflags & NT, 0);
	EXPECT_EQ(regs.rcx, 0xa0a00001);
	EXPECT_EQ(b->link & 0xffff, SEL_A);
	EXPECT_EQ(b->gpr[2], 0x11223344);
	EXPECT_EQ(b->eip, TASK + 6);
	EXPECT_EQ(b->eflags & NT, 0);
	EXPECT_EQ(type_of(SEL_A), 9 | BUSY);
	EXPECT_EQ(type_of(SEL_B), 9);
}

BY_BOTH(call_nests)
{
	struct kvm_regs regs;

	SETUP(call_tss);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE + 7);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rflags & NT, NT);
	EXPECT_EQ(type_of(SEL_A), 9 | BUSY);
	EXPECT_EQ(b->link & 0xffff, SEL_A);
}

GUEST_ASM(int_n, 32, "int $0x40\n hlt");

TEST(int_n_through_a_gate)
{
	SETUP(int_n);
	gate(0x40, 0, 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE + 2);
	EXPECT_EQ(type_of(SEL_A), 9 | BUSY);
}

GUEST_ASM(undefined, 32, "ud2\n hlt");

TEST(fault_through_a_gate)
{
	struct kvm_regs regs;

	SETUP(undefined);
	gate(6, 0, 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rsp, STACK_B);
	EXPECT_EQ(regs.rflags & NT, NT);
}

GUEST_ASM(bad_selector, 32, "mov %edx, %fs\n hlt");

/* An error code is pushed on the new task's stack. */
TEST(error_code)
{
	struct kvm_regs regs;

	SETUP(bad_selector);
	gate(13, 0, 0);
	vcpu_get_regs(vcpu, &regs);
	regs.rdx = 0xfff0;
	vcpu_set_regs(vcpu, &regs);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rsp, STACK_B - 4);
	EXPECT_EQ(*(u32 *)(vm->ram + STACK_B - 4), 0xfff0);
}

GUEST_ASM(spin, 32, "sti\n 1: jmp 1b\n");

TEST(interrupt_through_a_gate)
{
	struct kvm_interrupt irq = { .irq = 0x50 };

	SETUP(spin);
	gate(0x50, 0, 0);
	vcpu->run->request_interrupt_window = 1;
	expect_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	xioctl(vcpu->fd, KVM_INTERRUPT, &irq);
	expect_exit(vcpu, KVM_EXIT_HLT);
	check_switched(CODE + 1);
	EXPECT_EQ(a->eflags & RFLAGS_IF, RFLAGS_IF);
}

GUEST_ASM(ports, 32, "1: out %al, $0x10\n jmp 1b\n");
GUEST_ASM(halt_and_iret, 32, "1: hlt\n iret\n jmp 1b\n");

static bool nmis_masked(void)
{
	struct kvm_vcpu_events events;

	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	return events.nmi.masked;
}

/* The handler is a task; its IRET, and that alone, lets the next NMI in. */
TEST(nmi_through_a_gate)
{
	int i;

	SETUP(ports);
	gate(2, 0, 0);
	GUEST_ASM_COPY(vm, TASK, halt_and_iret);
	for (i = 0; i < 3; i++) {
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
		EXPECT_EQ(nmis_masked(), 0);
		ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
		expect_exit(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(nmis_masked(), 1);
	}
}

/* The new task has 16 bits: halves of registers, FS and GS of no use. */
BY_BOTH(to_16_bits)
{
	struct tss16 *t;
	struct kvm_regs regs;
	int i;

	SETUP(call_tss);
	t = (void *)b;
	memset(t, 0, 128);
	t->ip = 0x2000;
	t->flags = 2 | BIT(0);
	for (i = 0; i < 8; i++)
		t->gpr[i] = 0xb000 + i;
	for (i = 0; i < 4; i++)
		t->seg[i] = i == 1 ? SEL_NP : GUEST_DS;
	gdt[SEL_NP / 8] = desc(0x10000, 0xffff, 0x9b);
	gdt[SEL_B / 8] = desc(TSS_B, sizeof(*t) - 1, 0x81);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x2001);
	EXPECT_EQ(regs.rax & 0xffff, 0xb000);
	EXPECT_EQ(regs.rbp & 0xffff, 0xb005);
	EXPECT_EQ(regs.rflags & NT, NT);
	EXPECT_EQ(t->link, SEL_A);
	EXPECT_EQ(a->gpr[1], 0xa0a00001);
	EXPECT_EQ(type_of(SEL_B), 1 | BUSY);
}

/* The LDT is loaded before the segments that are in it. */
BY_BOTH(ldt)
{
	struct kvm_sregs sregs;

	SETUP(jmp_tss);
	b->ldt = SEL_LDT;
	*(u64 *)(vm->ram + LDT + 8) = 0x00cf92000000ffff | (u64)0x12 << 16;
	b->seg[3] = 0xc;
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.ldt.selector, SEL_LDT);
	EXPECT_EQ(sregs.ldt.base, LDT);
	EXPECT_EQ(sregs.ds.selector, 0xc);
	EXPECT_EQ(sregs.ds.base, 0x12);
	if (forced)		/* QEMU's CPU does not mark it */
		EXPECT_EQ(*(u64 *)(vm->ram + LDT + 8) >> 40 & 1, 1);
}

/* With paging CR3 comes from the TSS, and the new task runs on its tables. */
BY_BOTH(cr3)
{
	struct kvm_sregs sregs;
	u32 *pd;
	int i;

	SETUP(jmp_tss);
	for (i = 0; i < 2; i++) {
		pd = (u32 *)(vm->ram + PD + i * 0x1000);
		pd[0] = PTE_PS | PTE_P | PTE_W;
		pd[1] = 0x400000 | PTE_PS | PTE_P | PTE_W;
		/* The same address is another place in each. */
		pd[256] = (i ? 0x800000 : 0xc00000) | PTE_PS | PTE_P | PTE_W;
	}
	b->cr3 = PD + 0x1000;
	b->eip = 0x40000000;
	vm->ram[0x800000] = 0xf4;
	vm->ram[0xc00000] = 0x0f;
	vm->ram[0xc00001] = 0x0b;
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 = PD;
	sregs.cr4 |= CR4_PSE;
	sregs.cr0 |= CR0_PG | CR0_WP;
	vcpu_set_sregs(vcpu, &sregs);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr3, PD + 0x1000);
	EXPECT_EQ(a->eip, CODE + 7);
	EXPECT_EQ(a->cr3, 0);
}

/* To CPL 3: the handler of an exception there could not run without ring 0's stack. */
BY_BOTH(to_a_user)
{
	struct kvm_sregs sregs;
	int i;

	SETUP(jmp_tss);
	vm->ram[TASK] = 0xeb;			/* JMP to itself */
	vm->ram[TASK + 1] = 0xfe;
	for (i = 0; i < 6; i++)
		b->seg[i] = (i == 1 ? SEL_UCS : SEL_UDS) | 3;
	b->eflags |= RFLAGS_IF;
	vcpu->run->request_interrupt_window = 1;
	expect_exit(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cs.selector, SEL_UCS | 3);
	EXPECT_EQ(sregs.cs.dpl, 3);
	EXPECT_EQ(sregs.ss.dpl, 3);
}

/* ---- faults ---- */

#define HANDLER	0x11000

/* The fault's vector is where its handler halted; its frame is on the stack of whoever has it. */
static void expect_fault(int vector, u32 error, u16 tr, u32 eip, u32 stack)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	u32 *frame;
	int i;

	for (i = 0; i < 32; i++) {
		gate(i, HANDLER + i * 16, 0);
		vm->ram[HANDLER + i * 16] = 0xf4;
	}
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ((regs.rip - HANDLER) / 16, vector);
	EXPECT_EQ(sregs.tr.selector, tr);
	frame = (u32 *)(vm->ram + (regs.rsp & 0xffffff));
	if (vector != 1) {
		EXPECT_EQ(regs.rsp, stack - 16);
		EXPECT_EQ(frame[0], error);
		frame++;
	} else {
		EXPECT_EQ(regs.rsp, stack - 12);
	}
	EXPECT_EQ(frame[0], eip);
}

#define OLD_STACK (GUEST_STACKS + GUEST_STACK_SIZE)

static void expect_old_fault(int vector, u32 error)
{
	expect_fault(vector, error, SEL_A, CODE, OLD_STACK);
	EXPECT_EQ(a->eip, 0);
	EXPECT_EQ(type_of(SEL_A), 9 | BUSY);
}

BY_BOTH(busy)
{
	SETUP(jmp_tss);
	gdt[SEL_B / 8] |= (u64)BUSY << 40;
	expect_old_fault(13, SEL_B);
}

BY_BOTH(not_present)
{
	SETUP(jmp_tss);
	gdt[SEL_B / 8] &= ~((u64)0x80 << 40);
	expect_old_fault(11, SEL_B);
}

BY_BOTH(too_short)
{
	SETUP(jmp_tss);
	gdt[SEL_B / 8] = desc(TSS_B, sizeof(*b) - 2, 0x89);
	expect_old_fault(10, SEL_B);
}

GUEST_ASM(iret_nt, 32, "iret\n hlt");

/* IRET with NT to a task that is not busy. */
BY_BOTH(iret_to_an_idle_task)
{
	struct kvm_regs regs;

	SETUP(iret_nt);
	a->link = SEL_B;
	vcpu_get_regs(vcpu, &regs);
	regs.rflags |= NT;
	vcpu_set_regs(vcpu, &regs);
	expect_old_fault(10, SEL_B);
}

/* Faults of the new task: its registers are there, EIP is where it was to begin. */
BY_BOTH(data_segment_not_present)
{
	SETUP(jmp_tss);
	b->seg[3] = SEL_NP;
	expect_fault(11, SEL_NP, SEL_B, TASK, STACK_B);
	EXPECT_EQ(a->eip, CODE + 7);
	EXPECT_EQ(type_of(SEL_A), 9);
	EXPECT_EQ(type_of(SEL_B), 9 | BUSY);
}

BY_BOTH(data_segment_is_none)
{
	SETUP(jmp_tss);
	b->seg[5] = SEL_LDT;
	expect_fault(10, SEL_LDT, SEL_B, TASK, STACK_B);
}

BY_BOTH(ldt_is_none)
{
	/* The #TS finds no stack: a triple fault, on KVM not. */
	need_shutdown();
	SETUP(jmp_tss);
	b->ldt = GUEST_DS;
	gate(10, HANDLER, 0);
	/* The stack segment was not loaded: what comes of that, the CPU's kinds differ in. */
	vcpu_run(vcpu);
	EXPECT_EQ(a->eip, CODE + 7);
}

/* These two QEMU's CPU does not do either. */
TEST(debug_trap_emulated)
{
	struct kvm_debugregs dr;

	force();
	SETUP(jmp_tss);
	b->trap = 1;
	expect_fault(1, 0, SEL_B, TASK, STACK_B);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(dr.dr6 & 0x8000, 0x8000);
}

/* Local breakpoints are the old task's. */
TEST(local_breakpoints_emulated)
{
	struct kvm_debugregs dr = { .db = { 0x500 }, .dr6 = 0xffff0ff0, .dr7 = 0x707 };

	force();
	SETUP(jmp_tss);
	xioctl(vcpu->fd, KVM_SET_DEBUGREGS, &dr);
	expect_exit(vcpu, KVM_EXIT_HLT);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(dr.dr7 & 0x3ff, 0x202);
}
