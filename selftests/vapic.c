// SPDX-License-Identifier: GPL-2.0
/*
 * vapic.c - KVM_TPR_ACCESS_REPORTING, and the page of KVM_SET_VAPIC_ADDR, in which a guest finds
 * and sets its task priority without an exit.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define PAGE		GUEST_FREE
#define READ_ONLY	0x40000000ULL
#define LOGGED		0x40000000ULL

static volatile u64 taken, page_in_isr;
static volatile u32 *const vapic = (void *)PAGE;

extern char tpr_read[], tpr_write[], tpr_rmw[], tpr_rdmsr[], tpr_wrmsr[];

static void reported_guest(void)
{
	apic_enable();
	asm volatile("mov $0xfee00080, %%edi\n"
		     "tpr_read: mov (%%rdi), %%eax\n\t"
		     "mov $0x30, %%eax\n"
		     "tpr_write: mov %%eax, (%%rdi)\n"
		     "tpr_rmw: addl $0x10, (%%rdi)\n\t"
		     : : : "rax", "rdi", "memory", "cc");
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x40);
	x2apic_enable();
	asm volatile("mov $0x808, %%ecx\n"
		     "tpr_rdmsr: rdmsr\n"
		     "tpr_wrmsr: wrmsr\n\t"
		     : : : "rax", "rcx", "rdx", "memory");
	guest_sync(1);
	apic_write(APIC_TPR, 0);
	guest_done();
}

static void expect_tpr(struct vcpu *vcpu, char *rip, bool write)
{
	test_context("%s", rip == tpr_read ? "read" : rip == tpr_write ? "write" :
		     rip == tpr_rmw ? "read and write" : rip == tpr_rdmsr ? "rdmsr" : "wrmsr");
	expect_exit(vcpu, KVM_EXIT_TPR_ACCESS);
	EXPECT_EQ(vcpu->run->tpr_access.rip, (u64)rip);
	EXPECT_EQ(vcpu->run->tpr_access.is_write, write);
}

TEST(reporting)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1, .flags = 1 };
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = guest_new_irqchip(reported_guest);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl), EINVAL);
	ctl.flags = 0;
	ctl.reserved[0] = 7;
	EXPECT_RET(ioctl(vcpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl), 0);
	EXPECT_EQ(ctl.reserved[0], 7);
	expect_tpr(vcpu, tpr_read, false);
	expect_tpr(vcpu, tpr_write, true);
	expect_tpr(vcpu, tpr_rmw, true);
	expect_exit(vcpu, KVM_EXIT_TPR_ACCESS);		/* apic_read() */
	expect_tpr(vcpu, tpr_rdmsr, false);
	expect_tpr(vcpu, tpr_wrmsr, true);
	test_context("");
	ctl.enabled = 0;
	EXPECT_RET(ioctl(vcpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

TEST(without_lapic)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1 };
	struct kvm_vapic_addr none = { 0 };
	struct vm *vm;
	int fd;

	NEED_CAP(KVM_CAP_VAPIC);
	vm = vm_new();
	fd = vcpu_new(vm, 0)->fd;
	EXPECT_RET(ioctl(fd, KVM_TPR_ACCESS_REPORTING, &ctl), 0);
	EXPECT_ERRNO(ioctl(fd, KVM_SET_VAPIC_ADDR, &none), EINVAL);
	EXPECT_ERRNO(ioctl(fd, KVM_SET_VAPIC_ADDR, 8), EINVAL);
}

static int set_vapic(struct vcpu *vcpu, u64 gpa)
{
	struct kvm_vapic_addr va = { gpa };

	return ioctl(vcpu->fd, KVM_SET_VAPIC_ADDR, &va);
}

TEST(addresses)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = vcpu_new(vm_new_irqchip(), 0);
	ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_READONLY, READ_ONLY, 4096, mem_alloc(4096)), 0);
	EXPECT_RET(set_vapic(vcpu, PAGE), 0);
	EXPECT_RET(set_vapic(vcpu, 0), 0);
	EXPECT_RET(set_vapic(vcpu, PAGE + 1), 0);
	EXPECT_RET(set_vapic(vcpu, PAGE + 0xffe), 0);
	EXPECT_RET(set_vapic(vcpu, RAM_SIZE - 4), 0);
	EXPECT_ERRNO(set_vapic(vcpu, RAM_SIZE - 2), EINVAL);
	EXPECT_ERRNO(set_vapic(vcpu, RAM_SIZE), EINVAL);
	EXPECT_ERRNO(set_vapic(vcpu, READ_ONLY), EINVAL);
	EXPECT_ERRNO(set_vapic(vcpu, ~0ULL), EINVAL);
	EXPECT_ERRNO(set_vapic(vcpu, ~1ULL), EINVAL);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_VAPIC_ADDR, 8), EFAULT);
}

static void on_irq(struct isr_frame *frame)
{
	taken = frame->vector;
	guest_cpuid(0, 0);
	page_in_isr = *vapic;
	apic_write(APIC_EOI, 0);
}

static u64 read_cr8(void)
{
	u64 value;

	asm volatile("mov %%cr8, %0" : "=r" (value) : : "memory");
	return value;
}

static void page_guest(void)
{
	isr_table[0x45] = on_irq;
	apic_enable();
	guest_sync(*vapic);
	*(volatile u8 *)PAGE = 0x53;
	guest_sync(1);
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x53);
	GUEST_EXPECT_EQ(read_cr8(), 5);
	*(volatile u8 *)PAGE = 0x61;
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0x61);
	sti();
	apic_write(APIC_ICR, 0x40045);
	GUEST_EXPECT_EQ(taken, 0);
	GUEST_EXPECT_EQ(*vapic, 0x45000061);
	/* By the page alone nothing comes; the next exit sees it. */
	*(volatile u8 *)PAGE = 0;
	guest_cpuid(0, 0);
	GUEST_WAIT(taken);
	GUEST_EXPECT_EQ(taken, 0x45);
	GUEST_EXPECT_EQ(page_in_isr, 0x4000);
	GUEST_EXPECT_EQ(*vapic, 0);
	guest_sync(2);
	GUEST_EXPECT_EQ(apic_read(APIC_TPR), 0);
	guest_done();
}

static u32 lapic_tpr(struct vcpu *vcpu)
{
	struct kvm_lapic_state state;

	xioctl(vcpu->fd, KVM_GET_LAPIC, &state);
	return *(u32 *)(state.regs + APIC_TPR);
}

TEST(page)
{
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = guest_new_irqchip(page_guest);
	ASSERT_RET(set_vapic(vcpu, PAGE), 0);
	*(u32 *)(vcpu->vm->ram + PAGE) = 0;
	EXPECT_EQ(run_sync(vcpu), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(lapic_tpr(vcpu), 0x53);
	EXPECT_EQ(vcpu->run->cr8, 5);
	EXPECT_EQ(run_sync(vcpu), 2);
	/* No page: what stands there means nothing. */
	ASSERT_RET(set_vapic(vcpu, 0), 0);
	*(u32 *)(vcpu->vm->ram + PAGE) = 0x70;
	run_done(vcpu);
	EXPECT_EQ(lapic_tpr(vcpu), 0);
}

static void looking_guest(void)
{
	apic_enable();
	for (;;)
		guest_sync(*vapic);
}

static void set_lapic_tpr(struct vcpu *vcpu, u32 tpr)
{
	struct kvm_lapic_state state;

	xioctl(vcpu->fd, KVM_GET_LAPIC, &state);
	*(u32 *)(state.regs + APIC_TPR) = tpr;
	xioctl(vcpu->fd, KVM_SET_LAPIC, &state);
}

/* The page is memory that a log of dirty pages is about, as that which the guest writes. */
TEST(page_logged)
{
	u64 bits;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = &bits };
	u8 *page = mem_alloc(4096);
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = guest_new_irqchip(looking_guest);
	/* There before the entry: what has to be brought in may be written after the exit. */
	memset(page, 0, 4096);
	ASSERT_RET(vm_slot(vcpu->vm, 1, KVM_MEM_LOG_DIRTY_PAGES, LOGGED, 4096, page), 0);
	ASSERT_RET(set_vapic(vcpu, LOGGED), 0);
	run_sync(vcpu);
	for (int i = 1; i <= 3; i++) {
		set_lapic_tpr(vcpu, i << 4);
		run_sync(vcpu);
		xioctl(vcpu->vm->fd, KVM_GET_DIRTY_LOG, &log);
		EXPECT_EQ(bits, 1);
	}
}

/* One over the end of a page is in what the slots have there, and not in what is next to it. */
TEST(over_two_slots)
{
	u8 *mem = mem_alloc(3 * 4096);
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = guest_new_irqchip(looking_guest);
	memset(mem, 0x55, 3 * 4096);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, LOGGED, 4096, mem), 0);
	ASSERT_RET(vm_slot(vcpu->vm, 2, 0, LOGGED + 4096, 4096, mem + 2 * 4096), 0);
	ASSERT_RET(set_vapic(vcpu, LOGGED + 4094), 0);
	memset(mem + 4094, 0, 2);
	memset(mem + 8192, 0, 2);
	run_sync(vcpu);
	for (u32 tpr = 0x10; tpr < 0x60; tpr += 0x10) {
		set_lapic_tpr(vcpu, tpr);
		/* It may be written after an exit. */
		run_sync(vcpu);
		run_sync(vcpu);
		EXPECT_EQ(mem[4094], tpr);
		EXPECT_EQ(mem[8192] | mem[8193], 0);
	}
	for (int i = 0; i < 4096; i++)
		EXPECT_EQ(mem[4096 + i], 0x55);
	EXPECT_EQ(mem[4093], 0x55);
	EXPECT_EQ(mem[8194], 0x55);
}

/* The page has to be brought in before the entry; or is gone, which is the guest's loss. */
TEST(page_not_there)
{
	struct vcpu *vcpu;
	u8 *page;

	NEED_CAP(KVM_CAP_VAPIC);
	vcpu = guest_new_irqchip(looking_guest);
	page = vcpu->vm->ram + PAGE;
	ASSERT_RET(set_vapic(vcpu, PAGE), 0);
	run_sync(vcpu);
	for (u32 tpr = 0x10; tpr < 0x100; tpr += 0x10) {
		set_lapic_tpr(vcpu, tpr);
		ASSERT_RET(madvise(page, 4096, MADV_DONTNEED), 0);
		EXPECT_EQ(run_sync(vcpu), tpr);
		EXPECT_EQ(lapic_tpr(vcpu), tpr);
	}
	ASSERT_RET(mprotect(page, 4096, PROT_READ), 0);
	set_lapic_tpr(vcpu, 0x20);
	EXPECT_EQ(run_sync(vcpu), 0xf0);
	EXPECT_EQ(lapic_tpr(vcpu), 0xf0);
	ASSERT_RET(munmap(page, 4096), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, NULL), EFAULT);
}
