// SPDX-License-Identifier: GPL-2.0
/*
 * sync_regs.c - KVM_CAP_SYNC_REGS: registers by the run page, out at exits and in at entries.
 */
#include "guest.h"
#include "vm.h"

static void guest(void)
{
	asm volatile("mov $0x1111, %%ebx\n 1: out %%al, %0\n inc %%rbx\n jmp 1b"
		     : : "N" (0x10) : "rbx");
}

static struct vcpu *start(void)
{
	NEED_CAP(KVM_CAP_SYNC_REGS);
	EXPECT_EQ(dev_cap(KVM_CAP_SYNC_REGS),
		  KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS);
	return guest_new(guest);
}

TEST(out)
{
	struct vcpu *vcpu = start();
	struct kvm_sync_regs *s = &vcpu->run->s.regs;
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(s->regs.rbx, 0);		/* not asked for */
	vcpu->run->kvm_valid_regs = 7;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(s->regs.rbx, 0x1112);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(memcmp(&regs, &s->regs, sizeof(regs)), 0);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(memcmp(&sregs, &s->sregs, sizeof(sregs)), 0);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	/* Not valid without its flag; KVM leaves in it what its stack held. */
	events.triple_fault.pending = 0;
	s->events.triple_fault.pending = 0;
	EXPECT_EQ(memcmp(&events, &s->events, sizeof(events)), 0);
	/* No more asked for: they stay as they were. */
	vcpu->run->kvm_valid_regs = 0;
	s->regs.rbx = 0xaaaa;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(s->regs.rbx, 0xaaaa);
}

TEST(in)
{
	struct vcpu *vcpu = start();
	struct kvm_sync_regs *s = &vcpu->run->s.regs;

	vcpu->run->kvm_valid_regs = 7;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	/* Changed, but not marked: no effect. */
	s->regs.rbx = 0x5000;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(s->regs.rbx, 0x1112);
	s->regs.rbx = 0x6000;
	s->sregs.fs.base = 0x7777000;
	vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	EXPECT_EQ(s->regs.rbx, 0x6001);
	EXPECT_EQ(s->sregs.fs.base, 0x7777000);
	/* The bits are cleared by the entry. */
	EXPECT_EQ(vcpu->run->kvm_dirty_regs, 0);
}

TEST(refused)
{
	struct vcpu *vcpu = start();

	vcpu->run->kvm_valid_regs = 8;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINVAL);
	vcpu->run->kvm_valid_regs = 0;
	vcpu->run->kvm_dirty_regs = 0x80;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINVAL);
	/* Bad contents, too: a CR4 that cannot be. */
	vcpu->run->kvm_dirty_regs = 0;
	vcpu->run->kvm_valid_regs = 7;
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	vcpu->run->s.regs.sregs.cr4 |= BIT(31);
	vcpu->run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINVAL);
}
