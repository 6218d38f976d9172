// SPDX-License-Identifier: GPL-2.0
/*
 * state_debugregs.c - KVM_GET/SET_DEBUGREGS, and debug registers as the guest has them.
 */
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

static volatile u32 target;
static volatile u64 hits, dr6_seen;

static void on_db(struct isr_frame *frame)
{
	u64 dr6;

	(void)frame;
	asm volatile("mov %%dr6, %0" : "=r" (dr6));
	dr6_seen = dr6;
	hits++;
	asm volatile("mov %0, %%dr6" : : "r" (0xffff0ff0UL));
}

static void guest(void)
{
	u64 value;

	isr_table[1] = on_db;
	asm volatile("mov %%dr0, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, 0x1111);
	asm volatile("mov %%dr3, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, 0x4444);
	asm volatile("mov %%dr7, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, 0x400);

	asm volatile("mov %0, %%dr1" : : "r" (&target));
	asm volatile("mov %0, %%dr7" : : "r" (0xd00004UL | 0x400));	/* DR1, writes of 4 */
	target = 5;
	GUEST_EXPECT_EQ(hits, 1);
	GUEST_EXPECT_EQ(dr6_seen & 0xf, 2);
	guest_sync((u64)&target);
	/* Userspace has changed DR2 and DR7 meanwhile. */
	asm volatile("mov %%dr2, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, (u64)&target + 4);
	asm volatile("mov %%dr7, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, 0xd000410);
	target = 6;
	GUEST_EXPECT_EQ(hits, 1);
	guest_done();
}

TEST(round_trip)
{
	struct vcpu *vcpu;
	struct kvm_debugregs regs, out;
	u64 address;

	NEED_CAP(KVM_CAP_DEBUGREGS);
	vcpu = guest_new(guest);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	EXPECT_EQ(regs.db[0] | regs.db[1] | regs.db[2] | regs.db[3], 0);
	EXPECT_EQ(regs.dr6, 0xffff0ff0);
	EXPECT_EQ(regs.dr7, 0x400);
	EXPECT_EQ(regs.flags, 0);

	for (int i = 0; i < 4; i++)
		regs.db[i] = 0x1111 * (i + 1);
	xioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &out);
	EXPECT_EQ(memcmp(&regs, &out, sizeof(regs)), 0);

	address = run_sync(vcpu);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &out);
	EXPECT_EQ(out.db[0], 0x1111);
	EXPECT_EQ(out.db[1], address);
	EXPECT_EQ(out.dr7, 0xd00404);
	EXPECT_EQ(out.dr6, 0xffff0ff0);
	out.db[2] = address + 4;
	out.dr7 = 0xd000410;
	xioctl(vcpu->fd, KVM_SET_DEBUGREGS, &out);
	run_done(vcpu);
}

extern u8 detected[];
static u64 db_rip;

static void on_detect(struct isr_frame *frame)
{
	db_rip = frame->rip;
	on_db(frame);
}

static void detect_guest(void)
{
	u64 value;

	isr_table[1] = on_detect;
	asm volatile("mov %1, %%dr0\n mov %2, %%dr7\n"
		     ".globl detected\ndetected: mov %%dr0, %0"
		     : "=&r" (value) : "r" (0x5555UL), "r" (0x2400UL));
	guest_sync(hits);
	GUEST_EXPECT_EQ(value, 0x5555);
	GUEST_EXPECT_EQ(dr6_seen, 0xffff2ff0);
	GUEST_EXPECT_EQ(db_rip, (u64)detected);
	asm volatile("mov %%dr7, %0" : "=r" (value));
	GUEST_EXPECT_EQ(value, 0x400);
	guest_done();
}

/* GD: the next access to a debug register is a fault, before which it is off again. */
TEST(general_detect)
{
	struct vcpu *vcpu;

	if (getenv("SVM_HOST"))
		test_skip("QEMU's emulated CPU has no GD");
	vcpu = guest_new(detect_guest);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

static void watched_guest(void)
{
	isr_table[1] = on_db;
	guest_sync((u64)&target);
	target = 7;
	guest_sync(hits);
	target = 8;
	guest_sync(hits);
	GUEST_EXPECT_EQ(dr6_seen & 0xf, 4);
	guest_done();
}

/* A breakpoint that userspace has set, for a guest that has touched no debug register. */
TEST(set_by_userspace)
{
	struct kvm_debugregs regs;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_DEBUGREGS);
	if (getenv("SVM_HOST"))
		test_skip("QEMU's emulated SVM takes no breakpoints from a VMCB");
	stay_on_one_cpu();
	vcpu = guest_new(watched_guest);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	regs.db[2] = run_sync(vcpu);
	regs.dr7 = 0xd000420;
	xioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs);
	EXPECT_EQ(run_sync(vcpu), 1);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	EXPECT_EQ(regs.dr7, 0xd000420);
	regs.dr7 = 0x400;
	xioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs);
	EXPECT_EQ(run_sync(vcpu), 1);
	run_done(vcpu);
}

TEST(refused)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_debugregs regs, out;

	NEED_CAP(KVM_CAP_DEBUGREGS);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &regs);
	regs.db[0] = 7;
	regs.flags = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs), EINVAL);
	regs.flags = 0;
	regs.dr6 |= BIT(32);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs), EINVAL);
	regs.dr6 &= ~BIT(32);
	regs.dr7 |= BIT(32);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &regs), EINVAL);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &out);
	EXPECT_EQ(out.db[0], 0);
}
