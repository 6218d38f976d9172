// SPDX-License-Identifier: GPL-2.0
/*
 * exit_choices.c - exits that userspace asks for, or does without: hypercalls that it serves,
 * failed emulations, HLT and PAUSE that the guest executes by itself.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define HC_MAP_GPA_RANGE	12

static int enable(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &enable);
}

static u64 hypercall(u64 nr, u64 a, u64 b, u64 c)
{
	asm volatile("vmmcall" : "+a" (nr) : "b" (a), "c" (b), "d" (c) : "memory");
	return nr;
}

static void hc_guest(void)
{
	guest_sync(hypercall(HC_MAP_GPA_RANGE, 0x5000, 3, 7));
	guest_sync(hypercall(HC_MAP_GPA_RANGE, 0x5000, 3, 7));
	guest_sync(hypercall(HC_MAP_GPA_RANGE, 0x5001, 3, 7));
	guest_sync(hypercall(HC_MAP_GPA_RANGE, 0x5000, 0, 7));
	guest_sync(hypercall(HC_MAP_GPA_RANGE, 0x5000, ~0ULL, 7));
	guest_done();
}

TEST(hypercalls)
{
	struct vcpu *vcpu;
	struct kvm_run *run;

	NEED_CAP(KVM_CAP_EXIT_HYPERCALL);
	vcpu = guest_new(hc_guest);
	run = vcpu->run;
	EXPECT_EQ(dev_cap(KVM_CAP_EXIT_HYPERCALL), BIT(HC_MAP_GPA_RANGE));
	EXPECT_EQ(run_sync(vcpu), -1000ULL);
	EXPECT_ERRNO(enable(vcpu->vm, KVM_CAP_EXIT_HYPERCALL, BIT(HC_MAP_GPA_RANGE) | 1), EINVAL);
	ASSERT_RET(enable(vcpu->vm, KVM_CAP_EXIT_HYPERCALL, BIT(HC_MAP_GPA_RANGE)), 0);
	expect_exit(vcpu, KVM_EXIT_HYPERCALL);
	EXPECT_EQ(run->hypercall.nr, HC_MAP_GPA_RANGE);
	EXPECT_EQ(run->hypercall.args[0], 0x5000);
	EXPECT_EQ(run->hypercall.args[1], 3);
	EXPECT_EQ(run->hypercall.args[2], 7);
	EXPECT_EQ(run->hypercall.longmode, 1);
	run->hypercall.ret = 0x123456789aULL;
	EXPECT_EQ(run_sync(vcpu), 0x123456789aULL);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(run_sync(vcpu), -22ULL);
	run_done(vcpu);
}

GUEST_ASM(hc_code32, 32, "mov $12, %eax\n mov $0x5000, %ebx\n mov $3, %ecx\n mov $7, %edx\n"
			 "vmmcall\n out %eax, $0x10\n hlt");

/* Of what userspace answers, 32-bit code gets the lower half; the upper one of RAX is zero. */
TEST(hypercall_of_32_bits)
{
	struct kvm_regs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_EXIT_HYPERCALL);
	if (guest_cpuid(0, 0).b == 0x756e6547)
		test_skip("no VMMCALL");
	vcpu = vcpu_new(vm_new(), 0);
	vcpu_cpuid(vcpu);
	GUEST_ASM_COPY(vcpu->vm, 0x1000, hc_code32);
	vcpu_flat32(vcpu, 0x1000);
	ASSERT_RET(enable(vcpu->vm, KVM_CAP_EXIT_HYPERCALL, BIT(HC_MAP_GPA_RANGE)), 0);
	expect_exit(vcpu, KVM_EXIT_HYPERCALL);
	EXPECT_EQ(vcpu->run->hypercall.longmode, 0);
	vcpu->run->hypercall.ret = 0x123456789aULL;
	EXPECT_EQ(*(u32 *)expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 4, 1), 0x3456789a);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, 0x3456789a);
}

/* The exit, each time, and no #UD. */
static void bad_guest(void)
{
	asm volatile("fbld (%0)" : : "r" (0xd0000000ULL) : "memory");
	guest_done();
}

TEST(failed_emulation)
{
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	vcpu = guest_new(bad_guest);
	EXPECT_ERRNO(enable(vcpu->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 2), EINVAL);
	ASSERT_RET(enable(vcpu->vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1), 0);
	for (int i = 0; i < 2; i++) {
		expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
		EXPECT_EQ(vcpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
		xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
		EXPECT_EQ(events.exception.injected | events.exception.pending, 0);
	}
}

static volatile u64 ticks;

static void on_timer(struct isr_frame *frame)
{
	(void)frame;
	ticks++;
	apic_write(APIC_EOI, 0);
}

static void halting_guest(void)
{
	isr_table[0x40] = on_timer;
	apic_enable();
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, 0x40 | BIT(17));
	apic_write(APIC_TMICT, 3000000);
	while (ticks < 10) {
		sti_hlt();
		cpu_pause();
	}
	guest_done();
}

static u64 counter(int fd, const char *name)
{
	struct kvm_stats_header head;
	struct kvm_stats_desc *desc;
	u8 buf[64 + 1024];
	u64 value = 0;

	ASSERT_RET(pread(fd, &head, sizeof(head), 0), sizeof(head));
	desc = (void *)buf;
	for (u32 i = 0; i < head.num_desc; i++) {
		size_t size = sizeof(*desc) + head.name_size;

		ASSERT_RET(pread(fd, desc, size, head.desc_offset + i * size), size);
		if (!strcmp(desc->name, name))
			ASSERT_RET(pread(fd, &value, 8, head.data_offset + desc->offset), 8);
	}
	return value;
}

static u64 halts(u64 disabled)
{
	struct vm *vm = vm_new_irqchip();
	struct vcpu *vcpu;

	ASSERT_RET(enable(vm, KVM_CAP_X86_DISABLE_EXITS, disabled), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, halting_guest, 0);
	run_done(vcpu);
	return counter(xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL), "halt_exits");
}

TEST(halt_without_exit)
{
	struct vm *vm = vm_bare();

	NEED_CAP(KVM_CAP_X86_DISABLE_EXITS);
	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	EXPECT_ERRNO(enable(vm, KVM_CAP_X86_DISABLE_EXITS, 16), EINVAL);
	EXPECT_TRUE(halts(0) > 0);
	if (getenv("MHV_NO_SHUTDOWN"))
		test_skip("Bochs's SVM may not open the interrupt window behind STI and HLT");
	EXPECT_EQ(halts(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE), 0);
}

#define TIMES	2000

static void monitoring_guest(void)
{
	guest_sync(0);
	for (int i = 0; i < TIMES; i++)
		asm volatile("monitor" : : "a" (&ticks), "c" (0), "d" (0));
	guest_sync(1);
	guest_done();
}

/* MONITOR and MWAIT, of which the former waits for nothing. */
TEST(monitor_without_exit)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu;
	u64 before;
	int fd;

	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	if (!(dev_cap(KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_MWAIT))
		test_skip("it cannot be had");
	ASSERT_RET(enable(vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_MWAIT), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, monitoring_guest, 0);
	EXPECT_EQ(run_sync(vcpu), 0);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	before = stats_counter(fd, "exits");
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_LE(stats_counter(fd, "exits") - before, TIMES / 4);
}

static void on_ud(struct isr_frame *frame)
{
	(void)frame;
	guest_sync(2);
}

static void asleep_guest(void)
{
	isr_table[6] = on_ud;
	sti();
	guest_sync(1);
	for (;;)
		asm volatile("hlt");
}

/* A CPU that is halted takes few kinds of exception: whoever puts another one in has woken it. */
TEST(exception_for_one_that_halts)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_vcpu_events events;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_X86_DISABLE_EXITS);
	ASSERT_RET(enable(vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT), 0);
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, asleep_guest, 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_interrupted(vcpu);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.exception.injected = 1;
	events.exception.nr = 6;
	events.flags = 0;
	xioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events);
	EXPECT_EQ(run_sync(vcpu), 2);
}
