// SPDX-License-Identifier: GPL-2.0
/*
 * pit_state.c - the in-kernel 8254 as it is read: latched counters, read-back, channel 2 with
 * the speaker port, KVM_GET/SET_PIT2, and what is userspace's where the PIT is not.
 */
#include "guest.h"
#include "pit.h"
#include "vm.h"

#define NOBODYS	0x510		/* a port */

static void counter_guest(void)
{
	u16 first, second;
	u8 status;

	pit_program(0x74, 0xf000);			/* channel 1, mode 2 */
	for (int i = 0; i < 1000; i++) {
		first = pit_latch(1);
		GUEST_EXPECT(first && first <= 0xf000);
	}
	/* A latched value stays until it is read. */
	outb(0x43, 0x40);
	for (int i = 0; i < 100; i++)
		inb(0x43);
	outb(0x43, 0x40);
	first = inb(0x41);
	first |= inb(0x41) << 8;
	second = pit_latch(1);
	GUEST_EXPECT(first != second);
	/* Read-back: status of channel 1. */
	outb(0x43, 0xe4);
	status = inb(0x41);
	GUEST_EXPECT_EQ(status & 0x3f, 0x34);
	/* Read-back of both: the status first, then the count. */
	outb(0x43, 0xc4);
	status = inb(0x41);
	GUEST_EXPECT_EQ(status & 0x3f, 0x34);
	first = inb(0x41);
	first |= inb(0x41) << 8;
	GUEST_EXPECT(first && first <= 0xf000);
	guest_done();
}

TEST(reading)
{
	run_done(pit_vm(counter_guest));
}

static u32 wide[16];

static void read_wide(u64 port)
{
	u64 n = ARRAY_SIZE(wide);
	void *to = wide;

	asm volatile("rep insl" : "+D" (to), "+c" (n) : "d" (port) : "memory");
}

static void wide_guest(void)
{
	read_wide(NOBODYS);
	GUEST_EXPECT_EQ(wide[ARRAY_SIZE(wide) - 1], ~0U);
	read_wide(0x61);
	for (size_t i = 0; i < ARRAY_SIZE(wide); i++)
		GUEST_EXPECT_EQ(wide[i] >> 8, 0);
	guest_done();
}

/* A read that is wider than the register has nothing more in it, such as what was read before. */
TEST(wide_read)
{
	struct vcpu *vcpu = pit_vm(wide_guest);
	struct kvm_run *run = vcpu->run;
	unsigned int left = ARRAY_SIZE(wide);

	while (left) {
		expect_exit(vcpu, KVM_EXIT_IO);
		ASSERT_EQ(run->io.port, NOBODYS);
		memset((u8 *)run + run->io.data_offset, 0xff, run->io.size * run->io.count);
		left -= run->io.count;
	}
	run_done(vcpu);
}

static void speaker_guest(void)
{
	outb(0x61, 0);
	pit_program(0xb0, 2000);			/* channel 2, mode 0, gate off */
	GUEST_EXPECT_EQ(inb(0x61) & 0x23, 0);
	outb(0x61, 1);				/* the gate starts it */
	GUEST_WAIT(inb(0x61) & 0x20);
	GUEST_EXPECT_EQ(inb(0x61) & 3, 1);
	outb(0x61, 3);
	GUEST_EXPECT_EQ(inb(0x61) & 3, 3);
	/* Bit 4 is the refresh clock: it toggles. */
	for (int seen = 0; seen != 3; )
		seen |= inb(0x61) & 0x10 ? 1 : 2;
	guest_done();
}

TEST(speaker_port)
{
	run_done(pit_vm(speaker_guest));
}

static void state_guest(void)
{
	pit_program(0x34, 0x1234);
	pit_program(0xb6, 0x4321);
	outb(0x61, 3);
	guest_sync(0);
	GUEST_EXPECT(pit_latch(1) <= 0x2000);
	guest_done();
}

TEST(get_and_set)
{
	struct kvm_pit_state2 state;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_PIT_STATE2);
	vcpu = pit_vm(state_guest);
	run_sync(vcpu);
	xioctl(vcpu->vm->fd, KVM_GET_PIT2, &state);
	EXPECT_EQ(state.channels[0].count, 0x1234);
	EXPECT_EQ(state.channels[0].mode, 2);
	EXPECT_EQ(state.channels[0].bcd, 0);
	EXPECT_EQ(state.channels[0].rw_mode, 3);
	EXPECT_EQ(state.channels[0].gate, 1);
	EXPECT_EQ(state.channels[2].count, 0x4321);
	EXPECT_EQ(state.channels[2].mode, 3);
	EXPECT_EQ(state.channels[2].gate, 1);
	EXPECT_EQ(state.flags & KVM_PIT_FLAGS_HPET_LEGACY, 0);
	EXPECT_EQ(state.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	state.channels[1].count = 0x2000;
	state.channels[1].mode = 2;
	state.channels[1].rw_mode = 3;
	state.channels[1].gate = 1;
	state.flags = 0;
	xioctl(vcpu->vm->fd, KVM_SET_PIT2, &state);
	xioctl(vcpu->vm->fd, KVM_GET_PIT2, &state);
	EXPECT_EQ(state.channels[1].count, 0x2000);
	EXPECT_EQ(state.flags, 0);
	run_done(vcpu);
}

/* The older ioctls know the channels alone: the rest stays as it is. */
TEST(channels_alone)
{
	struct kvm_pit_state2 state;
	struct kvm_pit_state old;
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_PIT_STATE2);
	vcpu = pit_vm(state_guest);
	run_sync(vcpu);
	xioctl(vcpu->vm->fd, KVM_GET_PIT, &old);
	EXPECT_EQ(old.channels[2].count, 0x4321);
	old.channels[2].count = 0x1111;
	xioctl(vcpu->vm->fd, KVM_SET_PIT, &old);
	xioctl(vcpu->vm->fd, KVM_GET_PIT2, &state);
	EXPECT_EQ(state.channels[2].count, 0x1111);
	EXPECT_EQ(state.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
}

static void no_speaker_guest(void)
{
	outb(0x43, 0x34);
	guest_sync(inb(0x61));
}

/* Without the flag, port 0x61 is userspace's; so is port 0x40 where there is no PIT. */
TEST(port_0x61_is_optional)
{
	struct kvm_pit_config config = { .flags = 0 };
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_PIT2);
	vcpu = guest_new_irqchip(no_speaker_guest);
	xioctl(vcpu->vm->fd, KVM_CREATE_PIT2, &config);
	*(u8 *)expect_pio(vcpu, KVM_EXIT_IO_IN, 0x61, 1, 1) = 0x77;
	EXPECT_EQ(run_sync(vcpu), 0x77);
	vcpu = guest_new_irqchip(no_speaker_guest);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x43, 1, 1);
}
