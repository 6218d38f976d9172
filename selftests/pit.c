// SPDX-License-Identifier: GPL-2.0
/*
 * pit.c - the in-kernel 8254's interrupts through the PIC: channel 0, periodic and one-shot.
 */
#include "guest.h"
#include "pit.h"
#include "vm.h"

#define HZ	1193182ULL

static volatile u32 ticks;

static void on_tick(struct isr_frame *frame)
{
	(void)frame;
	ticks++;
	outb(0x20, 0x20);
}

static void setup(void)
{
	isr_table[0x20] = on_tick;
	pic_init(0xfffe);
}

static u64 now_in_counts(u64 *last, u64 *total)
{
	u16 counter = pit_latch(2);

	*total += (u16)(*last - counter);
	*last = counter;
	return *total;
}

/* Wait by channel 2, counting down from 65536 in mode 2: no interrupt is needed for it. */
static void wait_counts(u64 counts)
{
	u64 last, total = 0;

	outb(0x61, inb(0x61) | 1);
	pit_program(0xb4, 0);
	for (last = pit_latch(2); now_in_counts(&last, &total) < counts; )
		;
}

static void periodic_guest(void)
{
	u32 seen;

	setup();
	pit_program(0x34, 11932);			/* mode 2, 100 Hz */
	sti();
	GUEST_WAIT(ticks >= 5);
	cli();
	/* Half a second by channel 2 is about 50 ticks; the host may be busy. */
	ticks = 0;
	sti();
	wait_counts(HZ / 2);
	cli();
	seen = ticks;
	GUEST_EXPECT(seen >= 20 && seen <= 80);
	pit_program(0x36, 23864);			/* mode 3, 50 Hz */
	ticks = 0;
	sti();
	GUEST_WAIT(ticks >= 5);
	guest_done();
}

TEST(periodic)
{
	run_done(pit_vm(periodic_guest));
}

static void one_shot_guest(void)
{
	setup();
	pit_program(0x30, 5000);
	while (!ticks)
		sti_hlt();
	GUEST_EXPECT_EQ(ticks, 1);
	wait_counts(20000);
	sti_nop();
	GUEST_EXPECT_EQ(ticks, 1);
	/* Written again, it counts again. */
	outb(0x40, 0x10);
	outb(0x40, 0x10);
	while (ticks == 1)
		sti_hlt();
	/* Low byte only. */
	outb(0x43, 0x10);
	outb(0x40, 0xff);
	while (ticks == 2)
		sti_hlt();
	guest_done();
}

TEST(one_shot)
{
	run_done(pit_vm(one_shot_guest));
}

static void on_apic_tick(struct isr_frame *frame)
{
	(void)frame;
	ticks++;
	apic_write(APIC_EOI, 0);
}

/*
 * Ticks that the LAPIC, being off, did not take are not waited for: the timer goes on when it is
 * on. So it is for a VM whose PIT is restored some time before its vCPUs. KVM's PIT waits for ever.
 */
static void lapic_off_guest(void)
{
	isr_table[0x41] = on_apic_tick;
	pic_init(0xffff);
	apic_write(APIC_SPIV, 0xff);
	ioapic_entry(0, 0x41);
	pit_program(0x34, 11932);
	wait_counts(HZ / 20);
	apic_enable();
	sti();
	for (int i = 0; i < 20 && ticks < 3; i++)
		wait_counts(HZ / 4);
	GUEST_EXPECT(ticks >= 3);
	guest_done();
}

/* Counts until four ticks have come, of which the guest has not taken any for six periods. */
static u64 backlog(void)
{
	u64 last, total = 0;

	cli();
	pit_program(0x34, 0);				/* 18 Hz */
	wait_counts(6 * 65536);
	/* Another pin's, and the select register. */
	ioapic_write(0x10 + 2 * 5, 0x10000);
	ticks = 0;
	pit_program(0xb4, 0);
	sti();
	for (last = pit_latch(2); ticks < 4; )
		now_in_counts(&last, &total);
	cli();
	return total;
}

static void backlog_guest(void)
{
	u64 counts = ~0ULL;

	isr_table[0x41] = on_apic_tick;
	pic_init(0xffff);
	apic_enable();
	ioapic_entry(0, 0x41);
	/* The host may be busy for once. */
	for (int i = 0; i < 3 && counts > 2 * 65536; i++)
		counts = backlog();
	GUEST_EXPECT(counts <= 2 * 65536);
	guest_done();
}

/* Ticks that wait come one after another, whatever the guest writes to the IOAPIC meanwhile. */
TEST(late_ticks)
{
	run_done(pit_vm(backlog_guest));
}

TEST(lapic_off_meanwhile)
{
	run_done(pit_vm(lapic_off_guest));
}

static void anew_guest(void)
{
	isr_table[0x41] = on_apic_tick;
	pic_init(0xffff);
	apic_enable();
	guest_sync(0);
	ioapic_entry(0, 0x41);
	pit_program(0x34, 11932);
	guest_sync(1);
	sti();
	GUEST_WAIT(ticks >= 3);
	guest_done();
}

/* Reinjection that is switched on again has to hear of EOIs again. */
TEST(reinjected_again)
{
	struct kvm_reinject_control control = { .pit_reinject = 0 };
	struct vcpu *vcpu;

	NEED_CAP(KVM_CAP_REINJECT_CONTROL);
	vcpu = pit_vm(anew_guest);
	EXPECT_EQ(run_sync(vcpu), 0);
	xioctl(vcpu->vm->fd, KVM_REINJECT_CONTROL, &control);
	EXPECT_EQ(run_sync(vcpu), 1);
	control.pit_reinject = 1;
	xioctl(vcpu->vm->fd, KVM_REINJECT_CONTROL, &control);
	run_done(vcpu);
}
