// SPDX-License-Identifier: GPL-2.0
/*
 * state_events.c - KVM_GET/SET_VCPU_EVENTS: exceptions, interrupts and NMIs put in by
 * userspace, the interrupt shadow, and what is refused.
 */
#include "guest.h"
#include "vm.h"

static struct kvm_vcpu_events events;

static void get(struct vcpu *vcpu)
{
	memset(&events, 0xff, sizeof(events));
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
}

static volatile u64 vector, error, nmis;
#define NONE 0xee

static void on_event(struct isr_frame *frame)
{
	vector = frame->vector;
	error = frame->error;
	nmis += frame->vector == 2;
}

static void guest(void)
{
	for (int i = 0; i < 256; i++)
		isr_table[i] = on_event;
	sti();		/* an interrupt that is injected must be one that can come */
	for (;;) {
		u64 value = vector | error << 32;

		vector = NONE;
		error = 0;
		guest_sync(value);
	}
}

static struct vcpu *start(void)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VCPU_EVENTS);
	vcpu = guest_new(guest);
	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	get(vcpu);
	return vcpu;
}

TEST(nothing_pending)
{
	start();
	EXPECT_EQ(events.exception.injected, 0);
	EXPECT_EQ(events.interrupt.injected, 0);
	EXPECT_EQ(events.interrupt.shadow, 0);
	EXPECT_EQ(events.nmi.injected, 0);
	EXPECT_EQ(events.nmi.pending, 0);
	EXPECT_EQ(events.nmi.masked, 0);
	EXPECT_EQ(events.sipi_vector, 0);
	EXPECT_EQ(events.flags & (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW),
		  KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW);
}

TEST(exceptions)
{
	struct vcpu *vcpu = start();
	static const struct {
		u8 nr, has_error;
		u32 error;
	} rows[] = {
		{ 0, 0, 0 }, { 1, 0, 0 }, { 6, 0, 0 }, { 13, 1, 0x18 },
		{ 14, 1, 2 }, { 12, 1, 0x10 }, { 16, 0, 0 }, { 17, 1, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		test_context("vector %u", rows[i].nr);
		get(vcpu);
		events.exception.injected = 1;
		events.exception.nr = rows[i].nr;
		events.exception.has_error_code = rows[i].has_error;
		events.exception.error_code = rows[i].error;
		events.flags = 0;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		get(vcpu);
		EXPECT_EQ(events.exception.injected, 1);
		EXPECT_EQ(events.exception.nr, rows[i].nr);
		EXPECT_EQ(events.exception.has_error_code, rows[i].has_error);
		EXPECT_EQ(events.exception.error_code, rows[i].error);
		EXPECT_EQ(run_sync(vcpu), rows[i].nr | (u64)rows[i].error << 32);
		vcpu_finish_io(vcpu);
		get(vcpu);
		EXPECT_EQ(events.exception.injected, 0);
	}
}

/* Intel's CPUs have error codes of 16 bits, and VMX accepts no others; AMD's have 32. */
TEST(wide_error_code)
{
	struct vcpu *vcpu = start();
	u64 got;

	events.exception.injected = 1;
	events.exception.nr = 13;
	events.exception.has_error_code = 1;
	events.exception.error_code = 0x12340018;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(events.exception.error_code, 0x12340018);
	got = run_sync(vcpu);
	EXPECT_EQ(got & 0xffffffffffffUL, 13 | 0x18UL << 32);
}

TEST(interrupt_and_nmi)
{
	struct vcpu *vcpu = start();

	events.interrupt.injected = 1;
	events.interrupt.nr = 0x41;
	events.interrupt.soft = 0;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(events.interrupt.injected, 1);
	EXPECT_EQ(events.interrupt.nr, 0x41);
	EXPECT_EQ(run_sync(vcpu), 0x41);
	vcpu_finish_io(vcpu);

	get(vcpu);
	EXPECT_EQ(events.interrupt.injected, 0);
	events.nmi.pending = 1;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(events.nmi.pending, 1);
	EXPECT_EQ(run_sync(vcpu), 2);
	vcpu_finish_io(vcpu);

	/* Masked: it waits until the guest's IRET. */
	get(vcpu);
	EXPECT_EQ(events.nmi.pending, 0);
	EXPECT_EQ(events.nmi.masked, 0);
	events.nmi.pending = 1;
	events.nmi.masked = 1;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_EQ(run_sync(vcpu), NONE);
	vcpu_finish_io(vcpu);
	get(vcpu);
	EXPECT_EQ(events.nmi.pending, 1);
	EXPECT_EQ(events.nmi.masked, 1);

	/* Without the flag, the pending count is left alone. */
	events.nmi.pending = 0;
	events.nmi.masked = 0;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_EQ(run_sync(vcpu), 2);
}

/* One that is delivered, and one that waits for its end. */
TEST(two_nmis)
{
	struct vcpu *vcpu = start();

	events.nmi.pending = 2;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(!!events.nmi.pending, 1);
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_EQ(guest_var(vcpu->vm, nmis), 2);
}

/* Without a chip: what KVM_INTERRUPT has put in, behind #UD or not, userspace can take back. */
TEST(interrupt_taken_back)
{
	struct kvm_interrupt irq = { .irq = 0x40 };
	struct vcpu *vcpu = start();

	for (int behind = 0; behind < 2; behind++) {
		events.exception.injected = behind;
		events.exception.nr = 6;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		xioctl(vcpu->fd, KVM_INTERRUPT, &irq);
		get(vcpu);
		EXPECT_EQ(events.interrupt.injected, 1);
		EXPECT_EQ(events.interrupt.nr, 0x40);
		events.exception.injected = 0;
		events.interrupt.injected = 0;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		get(vcpu);
		EXPECT_EQ(events.interrupt.injected, 0);
		EXPECT_EQ(run_sync(vcpu), NONE);
		vcpu_finish_io(vcpu);
		get(vcpu);
	}
}

/* One that has just been sent is told of, and can be taken back. */
TEST(nmi_just_sent)
{
	struct vcpu *vcpu = start();

	xioctl(vcpu->fd, KVM_NMI, 0);
	get(vcpu);
	EXPECT_EQ(events.nmi.pending, 1);
	xioctl(vcpu->fd, KVM_NMI, 0);
	events.nmi.pending = 0;
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(events.nmi.pending, 0);
	EXPECT_EQ(run_sync(vcpu), NONE);
	EXPECT_EQ(guest_var(vcpu->vm, nmis), 0);
}

static void trap_guest(void)
{
	guest_sync(0);
	guest_done();
}

/* The trap of an OUT that userspace has served: DR6 has its cause before it is delivered. */
TEST(cause_of_a_pending_trap)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };
	struct kvm_debugregs dr;
	struct kvm_regs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_EXCEPTION_PAYLOAD);
	NEED_CAP(KVM_CAP_DEBUGREGS);
	vcpu = guest_new(trap_guest);
	xioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap);
	run_sync(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rflags |= BIT(8);		/* TF */
	vcpu_set_regs(vcpu, &regs);
	vcpu_finish_io(vcpu);
	get(vcpu);
	EXPECT_EQ(events.exception.pending, 1);
	EXPECT_EQ(events.exception.nr, 1);
	EXPECT_EQ(events.exception_has_payload, 0);
	EXPECT_EQ(events.exception_payload, 0);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(dr.dr6, 0xffff4ff0);
}

static void shadow_guest(void)
{
	for (;;)
		asm volatile("sti\n outb %%al, $0x10\n cli" : : "a" (0));
}

TEST(interrupt_shadow)
{
	struct vcpu *vcpu = guest_new(shadow_guest);

	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	get(vcpu);
	EXPECT_TRUE(events.interrupt.shadow & 3);
	events.flags = KVM_VCPUEVENT_VALID_SHADOW;
	events.interrupt.shadow = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	get(vcpu);
	EXPECT_EQ(events.interrupt.shadow, 0);
	/* Completing the instruction ends the shadow as well. */
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	get(vcpu);
	EXPECT_TRUE(events.interrupt.shadow & 3);
	vcpu_finish_io(vcpu);
	get(vcpu);
	EXPECT_EQ(events.interrupt.shadow, 0);
}

static void ss_guest(void)
{
	u32 ss;

	for (;;)
		asm volatile("mov %%ss, %0\n mov %0, %%ss\n outb %%al, $0x10\n outb %%al, $0x11"
			     : "=c" (ss) : "a" (0));
}

TEST(shadow_of_a_load_of_ss)
{
	struct vcpu *vcpu = guest_new(ss_guest);

	for (int i = 0; i < 2; i++) {
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
		get(vcpu);
		EXPECT_EQ(events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS,
			  KVM_X86_SHADOW_INT_MOV_SS);
		expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);
		get(vcpu);
		EXPECT_EQ(events.interrupt.shadow, 0);
	}
}

/* A CPU that does not tell the shadow of STI from that of MOV SS reports both, at once. */
TEST(shadow_kinds)
{
	struct vcpu *vcpu = guest_new(shadow_guest);
	u8 both, one;

	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	get(vcpu);
	both = events.interrupt.shadow == 3 ? 3 : 0;
	for (u8 set = 1; set <= 3; set++) {
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		events.interrupt.shadow = set;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
		get(vcpu);
		/* A CPU that tells them apart has that of MOV SS if both are said. */
		one = set == 3 ? KVM_X86_SHADOW_INT_MOV_SS : set;
		EXPECT_EQ(events.interrupt.shadow, both ?: one);
	}
}

static void out_guest(void)
{
	for (;;)
		asm volatile("outb %%al, $0x10\n outb %%al, $0x11" : : "a" (0));
}

/* The second OUT is the first instruction of its entry: no shadow, of whatever the host did. */
TEST(no_shadow)
{
	struct vcpu *vcpu = guest_new(out_guest);

	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	get(vcpu);
	EXPECT_EQ(events.interrupt.shadow, 0);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x11, 1, 1);
	get(vcpu);
	EXPECT_EQ(events.interrupt.shadow, 0);
}

TEST(refused)
{
	struct vcpu *vcpu = start();
	struct kvm_vcpu_events good = events;

	events.flags = 1U << 31;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), EINVAL);
	/* Payloads only where the capability was enabled. */
	events = good;
	events.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), EINVAL);
	events = good;
	events.flags = 0;
	events.exception.injected = 1;
	events.exception.nr = 32;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), EINVAL);
	events.exception.nr = 2;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), EINVAL);
	EXPECT_EQ(run_sync(vcpu), NONE);
}

static void idle(void)
{
	guest_sync(1);
	guest_done();
}

/* A triple fault that is pending where a vCPU was saved still is where it is restored. */
TEST(triple_fault)
{
	struct vcpu *vcpu;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = { 1 } };
	struct kvm_vcpu_events ev;

	NEED_CAP(KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	vcpu = guest_new(idle);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(ev.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT, 0);
	ev.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev), EINVAL);

	xioctl(vcpu->vm->fd, KVM_ENABLE_CAP, &cap);
	ev.triple_fault.pending = 1;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(!!(ev.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT), 1);
	EXPECT_EQ(ev.triple_fault.pending, 1);
	ev.triple_fault.pending = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(run_sync(vcpu), 1);
	ev.triple_fault.pending = 1;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
}

/* The ABI has no length for INT3 and INTO: the guest is to execute them again. */
TEST(soft_exceptions_are_not_told)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_vcpu_events e;

	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	for (int nr = 3; nr <= 5; nr++) {
		e.exception.injected = 1;
		e.exception.nr = nr;
		e.flags = 0;
		xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e);
		xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
		EXPECT_EQ(e.exception.injected, nr == 5);
	}
}

/*
 * An entry that the CPU refuses, here for a limit that no segment can have: what was to come with
 * it can still be taken back.
 */
TEST(taken_back_after_a_refused_entry)
{
	struct vcpu *vcpu = start();
	struct kvm_sregs good, bad;

	if (!on_minihv())
		test_skip("KVM on VMX does not take it back");
	vcpu_get_sregs(vcpu, &good);
	bad = good;
	bad.es.limit = 0x123456ff;
	vcpu_set_sregs(vcpu, &bad);
	events.exception.injected = 1;
	events.exception.nr = 6;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	if (vcpu_run(vcpu) != KVM_EXIT_FAIL_ENTRY)
		test_skip("the CPU takes it");
	get(vcpu);
	events.exception.injected = 0;
	events.exception.pending = 0;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	vcpu_set_sregs(vcpu, &good);
	EXPECT_EQ(run_sync(vcpu), NONE);
}

/* The handler of #GP tells how far the stack went down: 6 bytes, and no error code. */
GUEST_ASM(real_handler, 16, "mov %sp, %ax\n out %ax, $0x10\n 1: jmp 1b");

TEST(error_code_in_real_mode)
{
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_VCPU_EVENTS);
	vm = vm_new();
	vcpu = vcpu_new(vm, 0);
	memset(vm->ram, 0, 0x400);
	*(u32 *)(vm->ram + 13 * 4) = 0x1000;
	GUEST_ASM_COPY(vm, 0x1000, real_handler);
	vcpu_real(vcpu, 0x2000);
	get(vcpu);
	events.exception.injected = 1;
	events.exception.nr = 13;
	events.exception.has_error_code = 1;
	events.exception.error_code = 0x18;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_EQ(*(u16 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 2, 1), 0x7000 - 6);
}
