// SPDX-License-Identifier: GPL-2.0
/*
 * nmi_window.c - an NMI that has to wait for one instruction or for an IRET: what is done to
 * notice its moment leaves no trace, also where the instruction exits or userspace restored the
 * state.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define RFLAGS_TF	BIT(8)

static volatile u32 nmis, traps, flags;
static volatile u64 nmi_rip;

static void on_nmi(struct isr_frame *frame)
{
	nmis++;
	flags |= frame->rflags;
	nmi_rip = frame->rip;
}

static void on_trap(struct isr_frame *frame)
{
	traps++;
	frame->rflags &= ~RFLAGS_TF;
}

static void init(void)
{
	isr_table[1] = on_trap;
	isr_table[2] = on_nmi;
}

/* In an interrupt shadow, which userspace restores: */
static void shadow_events(struct vcpu *vcpu)
{
	struct kvm_vcpu_events ev;

	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	ev.flags = KVM_VCPUEVENT_VALID_SHADOW;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	xioctl(vcpu->fd, KVM_NMI, 0);
}

/* The instruction after the OUT exits, or does not. */
static void shadow_guest(void)
{
	u32 a = 0, c = 0;

	init();
	sti();		/* a shadow of STI's is only where interrupts are on */
	asm volatile("out %%al, %%dx; cpuid"
		     : "+a" (a), "+c" (c) : "d" (UCALL_PORT), "D" (0), "S" (0)
		     : "rbx", "memory");
	asm volatile("nop; nop");
	GUEST_EXPECT_EQ(nmis, 1);
	GUEST_EXPECT_EQ(traps, 0);
	GUEST_EXPECT_EQ(flags & RFLAGS_TF, 0);
	asm volatile("out %%al, %%dx; nop; nop; nop"
		     : : "a" (0), "d" (UCALL_PORT), "D" (0), "S" (0) : "memory");
	GUEST_EXPECT_EQ(nmis, 2);
	GUEST_EXPECT_EQ(traps, 0);
	GUEST_EXPECT_EQ(flags & RFLAGS_TF, 0);
	guest_done();
}

TEST(in_a_shadow)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	need_step();	/* which SVM finds the moment with */
	vcpu = guest_new(shadow_guest);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, UCALL_PORT, 1, 1);
	shadow_events(vcpu);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, UCALL_PORT, 1, 1);
	shadow_events(vcpu);
	run_done(vcpu);
}

static void no_shadow_guest(void)
{
	init();
	guest_sync(0x100);
	asm volatile("nop; nop");
	GUEST_EXPECT_EQ(nmis, 1);
	guest_done();
}

/* With interrupts off STI leaves no shadow, whatever userspace says: none holds an NMI back. */
TEST(no_shadow_of_sti)
{
	struct vcpu *vcpu;

	if (!on_minihv())
		test_skip("KVM tells VMX of the shadow, which refuses the entry");
	need_step();	/* which SVM finds the moment with */
	vcpu = guest_new(no_shadow_guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	shadow_events(vcpu);
	run_done(vcpu);
}

/* Userspace says that an NMI is being handled: the next one waits for an IRET. */
static void masked_guest(void)
{
	init();
	guest_sync(0x100);
	GUEST_EXPECT_EQ(nmis, 0);
	asm volatile("mov %%rsp, %%rax\n\t"
		     "mov %%ss, %%ecx\n\t"
		     "push %%rcx\n\t"
		     "push %%rax\n\t"
		     "pushf\n\t"
		     "mov %%cs, %%ecx\n\t"
		     "push %%rcx\n\t"
		     "lea 1f(%%rip), %%rax\n\t"
		     "push %%rax\n\t"
		     "iretq\n"
		     "1: nop; nop" : : : "rax", "rcx", "memory");
	GUEST_EXPECT_EQ(nmis, 1);
	GUEST_EXPECT_EQ(traps, 0);
	GUEST_EXPECT_EQ(flags & RFLAGS_TF, 0);
	guest_sync(0x101);
	guest_done();
}

TEST(masked_by_userspace)
{
	struct kvm_vcpu_events ev;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	need_step();	/* which SVM finds the moment with */
	vcpu = guest_new(masked_guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.nmi.masked = 1;
	ev.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	xioctl(vcpu->fd, KVM_NMI, 0);
	EXPECT_EQ(run_sync(vcpu), 0x101);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(ev.nmi.masked, 0);
	run_done(vcpu);
}

#define FRAME	0x10000000UL

extern u8 faulting_iret[];

static void iret_done(void)
{
	GUEST_EXPECT_EQ(nmis, 1);
	GUEST_EXPECT(nmi_rip != (u64)faulting_iret);
	GUEST_EXPECT_EQ(traps, 0);
	GUEST_EXPECT_EQ(flags & RFLAGS_TF, 0);
	guest_sync(0x101);
	guest_done();
}

static void faulting_guest(void)
{
	volatile u64 *frame = (u64 *)FRAME;
	u16 cs, ss;

	init();
	asm volatile("mov %%cs, %0\n mov %%ss, %1" : "=r" (cs), "=r" (ss));
	frame[0] = (u64)iret_done;
	frame[1] = cs;
	frame[2] = RFLAGS_FIXED;
	frame[3] = FRAME + 0x2ff8;
	frame[4] = ss;
	guest_sync(0x100);
	asm volatile(".globl faulting_iret\n"
		     "mov %0, %%rsp\n"
		     "faulting_iret: iretq" : : "r" (frame) : "memory");
}

/*
 * Of that IRET the stack is not mapped: it is executed twice, and the NMI comes behind it. A CPU
 * may have unmasked NMIs before it saw that.
 */
TEST(iret_that_faults)
{
	u8 *mem = mem_alloc(0x4000), *copy = mem_alloc(0x1000);
	struct kvm_vcpu_events ev;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	need_step();	/* which SVM finds the moment with */
	vcpu = guest_new(faulting_guest);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, FRAME, 0x4000, mem), 0);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	vcpu_finish_io(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.nmi.masked = 1;
	ev.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	xioctl(vcpu->fd, KVM_NMI, 0);
	memcpy(copy, mem, 0x1000);
	ASSERT_RET(madvise(mem, 0x1000, MADV_DONTNEED), 0);
	memcpy(mem, copy, 0x1000);
	EXPECT_EQ(run_sync(vcpu), 0x101);
	run_done(vcpu);
}

/* An exception and an NMI at once: both are handled, and neither handler sees a TF. */
static void on_ud(struct isr_frame *frame)
{
	frame->rip += 2;
}

static void both_guest(void)
{
	init();
	isr_table[6] = on_ud;
	guest_sync(0x100);
	GUEST_EXPECT_EQ(nmis, 1);
	GUEST_EXPECT_EQ(traps, 0);
	guest_done();
}

TEST(with_an_exception)
{
	struct kvm_vcpu_events ev;
	struct kvm_regs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_USER_NMI);
	need_step();	/* which SVM finds the moment with */
	vcpu = guest_new(both_guest);
	EXPECT_EQ(run_sync(vcpu), 0x100);
	vcpu_finish_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	regs.rip -= 2;				/* on_ud() steps over as much */
	vcpu_set_regs(vcpu, &regs);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	ev.exception.injected = 1;
	ev.exception.nr = 6;
	ev.nmi.pending = 1;
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	run_done(vcpu);
}
