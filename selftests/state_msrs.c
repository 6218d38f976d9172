// SPDX-License-Identifier: GPL-2.0
/*
 * state_msrs.c - KVM_GET/SET_MSRS: counts, the MSRs that VMMs save, and that guest and
 * userspace see one value.
 */
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

struct msr_buf {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[300];
};

static struct msr_buf msrs;

/* A value that each must take and give back, guest and userspace alike. */
static const struct {
	u32 index;
	u64 value;
} plain[] = {
	{ 0x174, 0x10 }, { 0x175, 0x12345678 }, { 0x176, 0x87654321 },	/* SYSENTER */
	{ 0x277, 0x0007040600070406 },					/* PAT */
	{ 0xc0000081, 0x0023001000000000 },				/* STAR */
	{ 0xc0000082, 0xffffffff81000000 },				/* LSTAR */
	{ 0xc0000083, 0xffffffff81000100 },				/* CSTAR */
	{ 0xc0000084, 0x47700 },					/* SFMASK */
	{ 0xc0000102, 0xffff888012345678 },				/* KERNEL_GS_BASE */
	{ 0xc0000100, 0x00007f0012345678 },				/* FS_BASE */
	{ 0x2ff, 0xc06 }, { 0x250, 0x0606060606060606 }, { 0x26f, 0x0505050505050505 },
	{ 0x200, 0x80000006 }, { 0x201, 0xff80000800 },			/* MTRRs */
	{ 0x1a0, 1 },							/* MISC_ENABLE */
};

/* What QEMU puts and gets whatever CPU it models (value as a reset has it). */
static const struct {
	u32 first, last;
} unconditional[] = {
	{ 0x10, 0x10 }, { 0x11, 0x12 }, { 0x174, 0x176 }, { 0x17a, 0x17b }, { 0x200, 0x20f },
	{ 0x250, 0x250 }, { 0x258, 0x259 }, { 0x268, 0x26f }, { 0x277, 0x277 }, { 0x2ff, 0x2ff },
	{ 0x400, 0x427 }, { 0xc0000081, 0xc0000084 }, { 0xc0000102, 0xc0000102 },
};

TEST(round_trip)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);

	vcpu_cpuid(vcpu);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		test_context("MSR %#x", plain[i].index);
		EXPECT_EQ(vcpu_set_msr(vcpu, plain[i].index, plain[i].value), 1);
		EXPECT_EQ(vcpu_get_msr(vcpu, plain[i].index), plain[i].value);
	}
}

static void guest(void)
{
	u64 value;

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (plain[i].index == 0xc0000100)
			continue;
		GUEST_EXPECT_EQ(rdmsr_try(plain[i].index, &value), 256);
		GUEST_EXPECT_EQ(value, plain[i].value);
		GUEST_EXPECT_EQ(wrmsr_try(plain[i].index, plain[i].value), 256);
	}
	wrmsr(0xc0000081, 0x0013000800000000);
	wrmsr(0xc0000082, 0xffffffff81234567);
	wrmsr(0xc0000083, 0xffffffff81234568);
	wrmsr(0xc0000084, 0x47200);
	wrmsr(0xc0000102, 0x123456);
	wrmsr(0x174, 0x18);
	wrmsr(0x175, 0xabcdef);
	wrmsr(0x176, 0xabcdee);
	wrmsr(0x277, 0x0007040600070401);
	guest_sync(0);
	/* What must not be: reserved types, reserved bits, long mode left, no MSR at all. */
	GUEST_EXPECT_EQ(wrmsr_try(0x277, 2), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, BIT(63)), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME), 13);
	GUEST_EXPECT_EQ(wrmsr_try(0x2ff, 2), 13);
	GUEST_EXPECT_EQ(wrmsr_try(0x250, 2), 13);
	GUEST_EXPECT_EQ(wrmsr_try(0x26f, 2ULL << 56), 13);
	GUEST_EXPECT_EQ(rdmsr_try(0x12345678, &value), 13);
	GUEST_EXPECT_EQ(wrmsr_try(0x12345678, 0), 13);
	GUEST_EXPECT_EQ(guest_fault.error, 0);
	GUEST_EXPECT_EQ(rdmsr(0xc0000082), 0xffffffff81234567);
	guest_done();
}

TEST(guest_and_userspace)
{
	struct vcpu *vcpu = guest_new(guest);

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		ASSERT_EQ(vcpu_set_msr(vcpu, plain[i].index, plain[i].value), 1);
	run_sync(vcpu);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000081), 0x0013000800000000);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000082), 0xffffffff81234567);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000083), 0xffffffff81234568);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000084), 0x47200);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0xc0000102), 0x123456);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x174), 0x18);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x175), 0xabcdef);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x176), 0xabcdee);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x277), 0x0007040600070401);
	run_done(vcpu);
}

#define TSC_AUX	0xc0000103

/* Of any bits: the host uses the MSR, too, and has the CPU's number there. */
static void aux_guest(void)
{
	u32 a, c, d;

	for (u32 i = 1;; i++) {
		asm volatile("rdtscp" : "=a" (a), "=c" (c), "=d" (d));
		guest_sync(c);
		wrmsr(TSC_AUX, 0x87654000 + i);
		asm volatile("rdtscp" : "=a" (a), "=c" (c), "=d" (d));
		GUEST_EXPECT_EQ(rdmsr(TSC_AUX), 0x87654000 + i);
		guest_sync(c);
	}
}

/* What the guest reads by RDTSCP is its own, and each of two guests has another. */
TEST(tsc_aux)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0x80000001, 0);
	struct vcpu *vcpu, *other;

	if (!e || !(e->edx >> 27 & 1))
		test_skip("no RDTSCP");
	vcpu = guest_new(aux_guest);
	other = guest_new(aux_guest);
	for (u32 i = 1; i < 4; i++) {
		EXPECT_EQ(vcpu_set_msr(vcpu, TSC_AUX, 0x12340000 + i), 1);
		EXPECT_EQ(vcpu_set_msr(other, TSC_AUX, 0x56780000 + i), 1);
		EXPECT_EQ(run_sync(vcpu), 0x12340000 + i);
		EXPECT_EQ(run_sync(other), 0x56780000 + i);
		EXPECT_EQ(run_sync(vcpu), 0x87654000 + i);
		EXPECT_EQ(vcpu_get_msr(vcpu, TSC_AUX), 0x87654000 + i);
		EXPECT_EQ(run_sync(other), 0x87654000 + i);
	}
}

#define KERNEL_GS_BASE	0xc0000102

static void keeping_guest(u64 mine)
{
	sti();
	wrmsr(KERNEL_GS_BASE, mine);
	for (int i = 0; i < 1000000; i++) {
		if (!(i & 255))
			GUEST_EXPECT_EQ(rdmsr(KERNEL_GS_BASE), mine);
		asm volatile("" : : : "memory");
	}
	guest_done();
}

/* Two guests that take turns on one CPU, in the midst of what they do. */
TEST(kept_while_another_runs)
{
	struct vcpu *one = guest_new(NULL), *other = guest_new(NULL);

	stay_on_one_cpu();
	vcpu_long(one, keeping_guest, 0x123456789000);
	vcpu_long(other, keeping_guest, 0xffff888000001230);
	vcpu_start(one);
	vcpu_start(other);
	vcpu_join(one);
	vcpu_join(other);
}

TEST(unconditional_ones)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	u32 n = 0;

	vcpu_cpuid(vcpu);
	for (size_t i = 0; i < ARRAY_SIZE(unconditional); i++)
		for (u32 m = unconditional[i].first; m <= unconditional[i].last; m++)
			msrs.entries[n++] = (struct kvm_msr_entry){
				.index = m, .data = m == 0x277 ? 0x0007040600070406 : 0 };
	msrs.head.nmsrs = n;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_MSRS, &msrs), n);
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, &msrs), n);
}

TEST(counts)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);

	vcpu_cpuid(vcpu);
	msrs.entries[0] = (struct kvm_msr_entry){ .index = 0x174, .data = 1 };
	msrs.entries[1] = (struct kvm_msr_entry){ .index = 0x175, .data = 2 };
	msrs.entries[2] = (struct kvm_msr_entry){ .index = 0x12345678, .data = 3 };
	msrs.entries[3] = (struct kvm_msr_entry){ .index = 0x176, .data = 4 };
	msrs.head.nmsrs = 4;
	/* It stops at the first that fails, and says how many went well. */
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_MSRS, &msrs), 2);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x175), 2);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x176), 0);
	msrs.entries[0].data = 99;
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, &msrs), 2);
	EXPECT_EQ(msrs.entries[0].data, 1);
	/* One that there is not reads as 0, and those after it are left alone. */
	EXPECT_EQ(msrs.entries[2].data, 0);
	EXPECT_EQ(msrs.entries[3].data, 4);
	msrs.head.nmsrs = 0;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_MSRS, &msrs), 0);
	msrs.head.nmsrs = 256;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_MSRS, &msrs), E2BIG);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MSRS, &msrs), E2BIG);
	msrs.head.nmsrs = 255;
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, &msrs), 2);
}

/* Nowhere to put what was read. */
TEST(to_read_only_memory)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct msr_buf *buf = mem_alloc(sizeof(*buf));

	buf->head.nmsrs = 1;
	buf->entries[0].index = 0x174;
	EXPECT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, buf), 1);
	ASSERT_RET(mprotect(buf, sizeof(*buf), PROT_READ), 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_MSRS, buf), 1);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_MSRS, buf), EFAULT);
}

static void shutdown_guest(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0 };

	asm volatile("lidt %0\n\tud2" : : "m" (idt));
}

/* A triple fault resets as INIT does, which leaves the PAT alone. */
TEST(pat_after_shutdown)
{
	const u64 pat = 0x0007040600070401;
	struct vcpu *vcpu;

	need_shutdown();
	vcpu = guest_new(shutdown_guest);
	ASSERT_RET(vcpu_set_msr(vcpu, 0x277, pat), 1);
	expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
	EXPECT_EQ(vcpu_get_msr(vcpu, 0x277), pat);
}
