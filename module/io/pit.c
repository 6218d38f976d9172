// SPDX-License-Identifier: GPL-2.0
/*
 * The 8254 interval timer: counters, latches, the speaker port.
 * Entered from pitdev.c: port I/O and the state that userspace saves.
 * No locks: the caller serialises; a leaf to which time is an argument.
 * Intel 8254 data sheet, "Mode Definitions" and "Read Operations".
 */
#ifdef __KERNEL__
#include <linux/math64.h>
#else
#define mul_u64_u32_div(a, mul, div) ((u64)((__uint128_t)(a) * (mul) / (div)))
#endif
#include "pit.h"

#define NS_PER_SEC	1000000000U

/* channel->rw_mode, and what read_state, write_state and count_latched hold. */
enum { RW_NONE, RW_LSB, RW_MSB, RW_WORD_LSB, RW_WORD_MSB };

#define CW_READ_BACK	3		/* bits 7:6 of a control word */
#define CW_RB_NO_COUNT	BIT(5)
#define CW_RB_NO_STATUS	BIT(4)

/* Port 0x61. */
#define SPK_GATE	BIT(0)
#define SPK_DATA	BIT(1)
#define SPK_REFRESH	BIT(4)
#define SPK_OUT		BIT(5)

static u32 pit_from_bcd(u32 val)
{
	return (val & 0xf) + ((val >> 4) & 0xf) * 10 + ((val >> 8) & 0xf) * 100 +
	       ((val >> 12) & 0xf) * 1000;
}

static u32 pit_to_bcd(u32 val)
{
	return val % 10 | (val / 10 % 10) << 4 | (val / 100 % 10) << 8 | (val / 1000 % 10) << 12;
}

/* Input clocks since @c was loaded. */
static u64 pit_clocks(const struct kvm_pit_channel_state *c, u64 now)
{
	s64 ns = now - c->count_load_time;

	if (c->mode == PIT_MODE_NONE || ns < 0)
		return 0;
	return mul_u64_u32_div(ns, PIT_HZ, NS_PER_SEC);
}

/* The counting element, as two bytes that a read returns. */
static u16 pit_count(const struct kvm_pit_channel_state *c, u64 now)
{
	u64 clocks = pit_clocks(c, now);
	u32 wrap = c->bcd ? 10000 : 0x10000;
	u32 count;

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:	/* goes on below zero */
		count = (c->count + wrap - clocks % wrap) % wrap;
		break;
	case 3:	/* by twos */
		count = (c->count - 2 * clocks % c->count) % wrap;
		break;
	default:
		count = (c->count - clocks % c->count) % wrap;
		break;
	}
	return c->bcd ? pit_to_bcd(count) : count;
}

/*
 * The OUT pin.  Modes 1 and 0 are low until the count is over; mode 2 is low in
 * each count's last clock, modes 4 and 5 in the clock after the count.
 */
static bool pit_out(const struct kvm_pit_channel_state *c, u64 now)
{
	u64 clocks = pit_clocks(c, now);

	switch (c->mode) {
	case 2:
		return clocks % c->count != c->count - 1;
	case 3:
		return clocks % c->count < (c->count + 1) / 2;
	case 4:
	case 5:
		return clocks != c->count;
	default:
		return clocks >= c->count;
	}
}

static void pit_load(struct kvm_pit_channel_state *c, u32 val, u64 now)
{
	if (c->bcd)
		val = pit_from_bcd(val);
	if (!val)
		val = c->bcd ? 10000 : 0x10000;
	c->count = val;
	c->count_load_time = now;
}

static void pit_latch_count(struct kvm_pit_channel_state *c, u64 now)
{
	if (c->count_latched)
		return;
	c->latched_count = pit_count(c, now);
	c->count_latched = c->rw_mode;
}

static void pit_latch_status(struct kvm_pit_channel_state *c, u64 now)
{
	if (c->status_latched)
		return;
	c->status = pit_out(c, now) << 7 | c->rw_mode << 4 | (c->mode & 7) << 1 | c->bcd;
	c->status_latched = 1;
}

static void pit_control(struct pit *pit, u8 val, u64 now)
{
	struct kvm_pit_channel_state *c;
	unsigned int n = val >> 6, rw = (val >> 4) & 3;

	if (n == CW_READ_BACK) {
		for (n = 0; n < 3; n++) {
			if (!(val & (2 << n)))
				continue;
			if (!(val & CW_RB_NO_COUNT))
				pit_latch_count(&pit->channel[n], now);
			if (!(val & CW_RB_NO_STATUS))
				pit_latch_status(&pit->channel[n], now);
		}
		return;
	}
	c = &pit->channel[array_index_nospec(n, 3)];
	if (rw == RW_NONE) {
		pit_latch_count(c, now);
		return;
	}
	c->rw_mode = rw;
	c->read_state = rw;
	c->write_state = rw;
	c->mode = (val >> 1) & 7;
	if (c->mode > 5)	/* 6 and 7 are other names of 2 and 3 */
		c->mode -= 4;
	c->bcd = val & 1;
}

static void pit_speaker_write(struct pit *pit, u8 val, u64 now)
{
	struct kvm_pit_channel_state *c = &pit->channel[2];
	bool gate = val & SPK_GATE;

	if (val & SPK_DATA)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	/* A rising gate starts modes 1 and 5, and restarts 2 and 3. */
	if (gate && !c->gate && c->mode != 0 && c->mode != 4)
		c->count_load_time = now;
	c->gate = gate;
}

/**
 * pit_init - power-on state
 * @pit: what to initialise
 * @now: the time
 */
void pit_init(struct pit *pit, u64 now)
{
	unsigned int n;

	memset(pit, 0, sizeof(*pit));
	for (n = 0; n < 3; n++) {
		pit->channel[n].mode = PIT_MODE_NONE;
		pit->channel[n].gate = n != 2;
		pit_load(&pit->channel[n], 0, now);
	}
}

/**
 * pit_write - OUT of a byte
 * @pit: the timer
 * @port: 0x40 to 0x43, or 0x61
 * @val: the byte
 * @now: the time, in ns
 *
 * Returns true if channel 0 was loaded: pit_alarm() says what follows.
 */
bool pit_write(struct pit *pit, u16 port, u8 val, u64 now)
{
	unsigned int n = port & 3;
	struct kvm_pit_channel_state *c;

	if (port == PIT_SPEAKER) {
		pit_speaker_write(pit, val, now);
		return false;
	}
	if (n == 3) {
		pit_control(pit, val, now);
		return false;
	}
	c = &pit->channel[array_index_nospec(n, 3)];
	switch (c->write_state) {
	case RW_MSB:
		pit_load(c, val << 8, now);
		break;
	case RW_WORD_LSB:
		c->write_latch = val;
		c->write_state = RW_WORD_MSB;
		return false;
	case RW_WORD_MSB:
		pit_load(c, c->write_latch | val << 8, now);
		c->write_state = RW_WORD_LSB;
		break;
	default:
		pit_load(c, val, now);
		break;
	}
	return n == 0;
}

static u8 pit_read_latch(struct kvm_pit_channel_state *c)
{
	switch (c->count_latched) {
	case RW_MSB:
		c->count_latched = RW_NONE;
		return c->latched_count >> 8;
	case RW_WORD_LSB:
		c->count_latched = RW_MSB;
		return c->latched_count;
	default:
		c->count_latched = RW_NONE;
		return c->latched_count;
	}
}

/**
 * pit_read - IN of a byte
 * @pit: the timer
 * @port: 0x40 to 0x43, or 0x61
 * @now: the time, in ns
 *
 * Returns the byte.
 */
u8 pit_read(struct pit *pit, u16 port, u64 now)
{
	struct kvm_pit_channel_state *c;
	unsigned int n = port & 3;
	u16 count;

	if (port == PIT_SPEAKER)
		return (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? SPK_DATA : 0) |
		       (pit->channel[2].gate ? SPK_GATE : 0) |
		       (pit_out(&pit->channel[2], now) ? SPK_OUT : 0) |
		       /* DRAM refresh: a square wave of about 15 us */
		       (now & (1 << 14) ? SPK_REFRESH : 0);
	if (n == 3)	/* the control word cannot be read */
		return 0;
	c = &pit->channel[array_index_nospec(n, 3)];
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return pit_read_latch(c);
	count = pit_count(c, now);
	switch (c->read_state) {
	case RW_WORD_LSB:
		c->read_state = RW_WORD_MSB;
		return count;
	case RW_WORD_MSB:
		c->read_state = RW_WORD_LSB;
		return count >> 8;
	case RW_MSB:
		return count >> 8;
	default:
		return count;
	}
}

/**
 * pit_alarm - when channel 0 interrupts, as it is programmed now
 * @pit: the timer
 *
 * Returns the time from its load.
 */
struct pit_alarm pit_alarm(const struct pit *pit)
{
	const struct kvm_pit_channel_state *c = &pit->channel[0];
	struct pit_alarm alarm = { 0 };

	/* Mode 5 waits for a gate that is wired high; the HPET may own the pin. */
	if (c->mode > 4 || (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return alarm;
	alarm.ns = mul_u64_u32_div(c->count, NS_PER_SEC, PIT_HZ);
	alarm.periodic = c->mode == 2 || c->mode == 3;
	return alarm;
}

/**
 * pit_get_state - what userspace saves
 * @pit: the timer
 * @state: filled
 */
void pit_get_state(const struct pit *pit, struct kvm_pit_state2 *state)
{
	memset(state, 0, sizeof(*state));
	memcpy(state->channels, pit->channel, sizeof(state->channels));
	state->flags = pit->flags;
}

/**
 * pit_set_state - what userspace restores
 * @pit: the timer
 * @state: any bytes are safe
 * @now: the time, in ns; all channels are loaded anew at it
 */
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *state, u64 now)
{
	struct kvm_pit_channel_state *c;

	memcpy(pit->channel, state->channels, sizeof(pit->channel));
	pit->flags = state->flags;
	for (c = pit->channel; c < pit->channel + 3; c++) {
		if (!c->count)
			c->count = c->bcd ? 10000 : 0x10000;
		c->count_load_time = now;
	}
}
