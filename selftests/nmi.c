// SPDX-License-Identifier: GPL-2.0
/*
 * nmi.c - KVM_NMI: delivered with interrupts off, held back while one is served, two at most
 * wait, wakes a halted vCPU, and the window at IRET, which does not open if that faults.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

static volatile u32 nmis, irqs, depth, deepest;

static void on_nmi(struct isr_frame *frame)
{
	(void)frame;
	if (++depth > deepest)
		deepest = depth;
	nmis++;
	guest_sync(nmis);
	depth--;
}

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	irqs++;
	apic_write(APIC_EOI, 0);
}

static void guest(void)
{
	isr_table[2] = on_nmi;
	guest_sync(0x100);
	guest_sync(0x101);
	guest_sync(0x102);
	guest_done();
}

TEST(delivery_and_blocking)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	vcpu = guest_new(guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	/* In the handler: more of them wait for its IRET, and no more than one is kept. */
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_EQ(run_sync(vcpu), 0x101);
	/* Two before the next entry: one is served, one waits. */
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 3);
	EXPECT_EQ(run_sync(vcpu), 4);
	EXPECT_EQ(run_sync(vcpu), 0x102);
	run_done(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, deepest), 1);
}

static void halt_guest(void)
{
	isr_table[2] = on_nmi;
	isr_table[0x50] = on_irq;
	apic_enable();
	guest_sync(0x100);
	asm volatile("hlt");			/* interrupts are off */
	GUEST_EXPECT_EQ(nmis, 1);
	/* An interrupt and an NMI at once: both are served. */
	apic_write(APIC_ICR, 0x40000 | 0x50);
	guest_sync(0x101);
	sti_nop();
	GUEST_EXPECT_EQ(irqs, 1);
	GUEST_EXPECT_EQ(nmis, 2);
	guest_done();
}

/* The signal brings the halted vCPU back to userspace, which has the NMI to deliver. */
TEST(halted_and_with_interrupts)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	vcpu = guest_new_irqchip(halt_guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	run_interrupted(vcpu);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run_sync(vcpu), 0x101);
	ASSERT_RET(ioctl(vcpu->fd, KVM_NMI, 0), 0);
	EXPECT_EQ(run_sync(vcpu), 2);
	run_done(vcpu);
}

/* LINT1 as NMI, by an IPI to self with delivery mode NMI. */
static void ipi_guest(void)
{
	isr_table[2] = on_nmi;
	apic_enable();
	apic_write(APIC_ICR2, 0);
	apic_write(APIC_ICR, 0x400);
	GUEST_WAIT(nmis == 1);
	guest_done();
}

static void masked_guest(void)
{
	isr_table[2] = on_nmi;
	isr_table[0x40] = on_irq;
	apic_enable();
	guest_sync(0x100);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x40);
	apic_write(APIC_TMICT, 20000000);
	asm volatile("sti; hlt" : : : "memory");
	GUEST_EXPECT_EQ(irqs, 1);
	GUEST_EXPECT_EQ(nmis, 1);
	guest_done();
}

/* One that is masked ends no HLT: the timer does, whose handler's IRET lets the NMI come. */
TEST(masked_does_not_wake)
{
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	vcpu = guest_new_irqchip(masked_guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.nmi.masked = 1;
	events.nmi.pending = 1;
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

TEST(by_ipi)
{
	struct vcpu *vcpu = guest_new_irqchip(ipi_guest);

	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

#define USER_VA		0x8000000000ULL
#define USER_MMIO	(USER_VA + 0x1000)
#define USER_FRAME	(USER_VA + 0x104)	/* not aligned */

GUEST_ASM(user_iret, 64, "mov (%rdi), %eax\n iretq\n ud2");

static void on_user_fault(struct isr_frame *frame)
{
	guest_sync(frame->vector);
	/* An IRET, for what Bochs masks it does not unmask by itself. */
	frame->rip = (uintptr_t)guest_done;
	frame->cs = GUEST_CS64;
	frame->ss = GUEST_DS;
	frame->rsp = GUEST_STACKS + GUEST_STACK_SIZE / 2 - 8;
	frame->rflags = RFLAGS_FIXED;
}

static void user_guest(void)
{
	u64 cr0;

	isr_table[6] = on_user_fault;
	isr_table[17] = on_user_fault;
	asm volatile("mov %%cr0, %0" : "=r" (cr0));
	asm volatile("mov %0, %%cr0" : : "r" (cr0 | CR0_AM));
	asm volatile("push %0\n push %1\n push %2\n push %3\n push %4\n iretq"
		     : : "r" ((u64)GUEST_UDS), "r" (USER_FRAME), "r" (RFLAGS_FIXED | BIT(18)),
			 "r" ((u64)GUEST_UCS64), "r" (USER_VA), "D" (USER_MMIO));
}

/*
 * With NMIs masked, an IRET that faults: it is yet to be executed, so they stay masked. Only ring 3
 * has #AC, which on VMX always exits. SVM knows of the IRET, but not what became of it.
 */
TEST(iret_that_faults)
{
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;
	u64 vector;

	NEED_CAP(KVM_CAP_VCPU_EVENTS);
	if (!(guest_cpuid(1, 0).c & BIT(5)))
		test_skip("not on SVM");
	vcpu = guest_new(user_guest);
	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, user_iret);
	memcpy(vcpu->vm->ram + GUEST_FREE + 0x104,
	       (u64[]){ USER_VA + 4, GUEST_UCS64, RFLAGS_FIXED, USER_FRAME, GUEST_UDS }, 40);
	vm_map(vcpu->vm, USER_VA, GUEST_FREE, PTE_P | PTE_W | PTE_U);
	vm_map(vcpu->vm, USER_MMIO, 0xd0000000, PTE_P | PTE_W | PTE_U);
	memset(expect_mmio(vcpu, 0, 0xd0000000, 4), 0, 4);
	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.nmi.masked, 0);
	events.nmi.masked = 1;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	vector = run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	if (vector != 17)
		test_skip("the CPU checks no alignment");
	EXPECT_EQ(events.nmi.masked, 1);
	run_done(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.nmi.masked, 0);
}

#define IRET_STACK	0x10000000ULL

GUEST_ASM(iret_guest, 64, "1: out %al, $0x11\n jmp 1b");
GUEST_ASM(iret_handler, 64, "out %al, $0x10\n mov $0x10000000, %esp\n iretq");

/*
 * The IRET of the handler finds no memory of the VMM's for its stack. Put elsewhere then, with the
 * NMI still in service, the vCPU stays so until another IRET. KVM waits for RIP to move.
 */
TEST(iret_given_up)
{
	const u64 gate = GUEST_FREE + 0x100;
	struct kvm_vcpu_events events;
	struct kvm_regs regs, at;
	struct vcpu *vcpu;
	u64 *idt;
	u8 *mem;

	if (!on_minihv())
		test_skip("KVM takes it for executed");
	vcpu = guest_new(NULL);
	GUEST_ASM_COPY(vcpu->vm, GUEST_FREE, iret_guest);
	GUEST_ASM_COPY(vcpu->vm, gate, iret_handler);
	idt = (u64 *)(vcpu->vm->ram + GUEST_IDT) + 2 * 2;
	idt[0] = (gate & 0xffff) | GUEST_CS64 << 16 | 0x8eULL << 40 | gate >> 16 << 48;
	idt[1] = 0;
	mem = mem_alloc(4096);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, IRET_STACK, 4096, mem), 0);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = GUEST_FREE;
	vcpu_set_regs(vcpu, &regs);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);
	vcpu_get_regs(vcpu, &at);
	xioctl(vcpu->fd, KVM_NMI, 0);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	ASSERT_RET(mprotect(mem, 4096, PROT_NONE), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.nmi.masked, 1);

	vcpu_set_regs(vcpu, &at);
	events.nmi.masked = 1;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	for (int i = 0; i < 3; i++)
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.nmi.masked, 1);
	xioctl(vcpu->fd, KVM_NMI, 0);
	for (int i = 0; i < 3; i++)
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);

	/* Bochs enters all later guests with NMIs masked, until there has been one. */
	ASSERT_RET(mprotect(mem, 4096, PROT_READ | PROT_WRITE), 0);
	memcpy(mem, (u64[]){ at.rip, GUEST_CS64, RFLAGS_FIXED, at.rsp, 0 }, 40);
	vcpu_get_regs(vcpu, &regs);
	regs.rip = gate + 2;
	vcpu_set_regs(vcpu, &regs);
	events.nmi.pending = 0;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	EXPECT_EQ(events.nmi.masked, 0);
}
