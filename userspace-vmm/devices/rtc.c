// SPDX-License-Identifier: GPL-2.0
/*
 * MC146818A real-time clock and its CMOS memory. It shows the host's UTC plus what the guest set.
 * Entered from vCPU threads (ports 0x70, 0x71) and the loop's thread (interrupts).
 * rtc.lock guards all.
 * Motorola MC146818A data sheet: "Registers", "Interrupts"; IBM PC/AT Technical Reference: CMOS.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "devices/board.h"

enum {
	SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM,
	WEEKDAY, DAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D,
	CENTURY = 0x32, CMOS_SIZE = 128,
};

#define A_UIP		0x80		/* update in progress: do not read the time */
#define A_RATE		0x0f
#define B_SET		0x80		/* time stands still, to be written */
#define B_PIE		0x40		/* enables of the three interrupts; the same bits flag */
#define B_AIE		0x20		/* them in register C */
#define B_UIE		0x10
#define B_BINARY	0x04
#define B_24H		0x02
#define C_IRQF		0x80
#define D_VALID		0x80
#define HOUR_PM		0x80
#define ALARM_ANY	0xc0		/* an alarm byte with both top bits matches everything */

#define NS		1000000000ull
#define UIP_NS		244000ull	/* before the second begins */

struct rtc {
	struct machine *m;
	struct bus_region region;
	struct loop_timer *timer;
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE];
	int64_t offset;			/* seconds: our time less the host's */
	int64_t last_second;		/* whose update interrupt was given */
};

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

static uint8_t encode(const struct rtc *r, unsigned int val)
{
	return r->cmos[REG_B] & B_BINARY ? val : val / 10 << 4 | val % 10;
}

static unsigned int decode(const struct rtc *r, uint8_t val)
{
	return r->cmos[REG_B] & B_BINARY ? val : (val >> 4) * 10 + (val & 15);
}

static uint8_t encode_hour(const struct rtc *r, unsigned int hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int decode_hour(const struct rtc *r, uint8_t val)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, val);
	return decode(r, val & ~HOUR_PM) % 12 + (val & HOUR_PM ? 12 : 0);
}

/* Time into the registers, unless the guest is about to write them. */
static void refresh(struct rtc *r)
{
	time_t now = host_ns() / NS + r->offset;
	struct tm tm;

	if (r->cmos[REG_B] & B_SET || !gmtime_r(&now, &tm))
		return;
	r->cmos[SECONDS] = encode(r, tm.tm_sec % 60);
	r->cmos[MINUTES] = encode(r, tm.tm_min);
	r->cmos[HOURS] = encode_hour(r, tm.tm_hour);
	r->cmos[WEEKDAY] = encode(r, tm.tm_wday + 1);
	r->cmos[DAY] = encode(r, tm.tm_mday);
	r->cmos[MONTH] = encode(r, tm.tm_mon + 1);
	r->cmos[YEAR] = encode(r, tm.tm_year % 100);
	r->cmos[CENTURY] = encode(r, (tm.tm_year + 1900) / 100);
}

/* The registers are the time from now on. */
static void take_over(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = decode(r, r->cmos[SECONDS]),
		.tm_min = decode(r, r->cmos[MINUTES]),
		.tm_hour = decode_hour(r, r->cmos[HOURS]),
		.tm_mday = decode(r, r->cmos[DAY]),
		.tm_mon = (int)decode(r, r->cmos[MONTH]) - 1,
		.tm_year = decode(r, r->cmos[CENTURY]) * 100 + decode(r, r->cmos[YEAR]) - 1900,
	};

	r->offset = timegm(&tm) - (int64_t)(host_ns() / NS);
}

static bool alarm_matches(const struct rtc *r)
{
	static const uint8_t pair[][2] = {
		{ SECONDS, SECONDS_ALARM }, { MINUTES, MINUTES_ALARM }, { HOURS, HOURS_ALARM },
	};
	unsigned int i;

	for (i = 0; i < 3; i++) {
		uint8_t alarm = r->cmos[pair[i][1]];

		if ((alarm & ALARM_ANY) != ALARM_ANY && alarm != r->cmos[pair[i][0]])
			return false;
	}
	return true;
}

/* Register C's flags and the line follow from what has happened; the line falls when C is read. */
static void raise_flags(struct rtc *r, uint8_t flags)
{
	bool was = r->cmos[REG_C] & C_IRQF;

	r->cmos[REG_C] |= flags;
	if (!was && r->cmos[REG_C] & r->cmos[REG_B] & (B_PIE | B_AIE | B_UIE)) {
		r->cmos[REG_C] |= C_IRQF;
		irq_line(r->m, GSI_RTC, true);
	}
}

static uint64_t period_ns(const struct rtc *r)
{
	unsigned int rate = r->cmos[REG_A] & A_RATE;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7;		/* 1 and 2 mean 256 and 128 Hz */
	return (NS << (rate - 1)) / 32768;
}

/* Sleep until the next event that the guest wants to hear of. */
static void rearm(struct rtc *r)
{
	uint64_t left = 0, second = NS - host_ns() % NS;

	if (r->cmos[REG_B] & B_PIE)
		left = period_ns(r);
	if (r->cmos[REG_B] & (B_AIE | B_UIE) && (!left || second < left))
		left = second;
	loop_timer_set(r->timer, left ? loop_now_ns() + left : 0);
}

static void rtc_tick(void *opaque, uint32_t events)
{
	struct rtc *r = opaque;
	int64_t second;

	(void)events;
	pthread_mutex_lock(&r->lock);
	if (r->cmos[REG_B] & B_PIE)
		raise_flags(r, B_PIE);
	second = host_ns() / NS;
	if (second != r->last_second && !(r->cmos[REG_B] & B_SET)) {
		r->last_second = second;
		refresh(r);
		raise_flags(r, B_UIE | (alarm_matches(r) ? B_AIE : 0));
	}
	rearm(r);
	pthread_mutex_unlock(&r->lock);
}

static uint8_t reg_read(struct rtc *r)
{
	uint8_t val;

	refresh(r);
	val = r->cmos[r->index];
	if (r->index == REG_A && !(r->cmos[REG_B] & B_SET) && NS - host_ns() % NS < UIP_NS)
		val |= A_UIP;
	if (r->index == REG_C) {
		if (val & C_IRQF)
			irq_line(r->m, GSI_RTC, false);
		r->cmos[REG_C] = 0;
	}
	return val;
}

static void write_control(struct rtc *r, uint8_t val)
{
	uint8_t old = r->cmos[REG_B];

	refresh(r);
	if (val & B_SET)
		val &= ~B_UIE;		/* as the chip does */
	r->cmos[REG_B] = val;
	if (old & ~val & B_SET)
		take_over(r);
	r->last_second = host_ns() / NS;
	raise_flags(r, 0);
	rearm(r);
}

static void reg_write(struct rtc *r, uint8_t val)
{
	switch (r->index) {
	case REG_A:
		r->cmos[REG_A] = val & ~A_UIP;
		rearm(r);
		break;
	case REG_B:
		write_control(r, val);
		break;
	case REG_C:
	case REG_D:
		break;			/* read-only */
	case SECONDS_ALARM:
	case MINUTES_ALARM:
	case HOURS_ALARM:
		r->cmos[r->index] = val;
		break;
	default:
		refresh(r);
		r->cmos[r->index] = val;
		if ((r->index <= YEAR || r->index == CENTURY) && !(r->cmos[REG_B] & B_SET))
			take_over(r);
	}
}

static void rtc_access(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct rtc *r = opaque;
	uint8_t *byte = data;
	unsigned int i;

	pthread_mutex_lock(&r->lock);
	for (i = 0; i < len; i++) {
		if (offset + i == 0) {
			if (write)
				r->index = byte[i] % CMOS_SIZE;	/* bit 7 masks NMI */
		} else if (write) {
			reg_write(r, byte[i]);
		} else {
			byte[i] = reg_read(r);
		}
	}
	pthread_mutex_unlock(&r->lock);
}

static void put16(struct rtc *r, unsigned int at, uint64_t val)
{
	uint16_t v = val > 0xffff ? 0xffff : val;

	r->cmos[at] = v & 0xff;
	r->cmos[at + 1] = v >> 8;
}

/* Memory sizes for those who read them here: firmware, and kernels without a memory map. */
static void set_memory(struct rtc *r)
{
	uint64_t low = r->m->mem.region[0].len, high = r->m->mem.total - low;
	uint64_t above1 = low > 1 << 20 ? low - (1 << 20) : 0;
	uint64_t above16 = low > 16 << 20 ? low - (16 << 20) : 0;

	put16(r, 0x15, 640);
	put16(r, 0x17, above1 >> 10);
	put16(r, 0x30, above1 >> 10);
	put16(r, 0x34, above16 >> 16);
	r->cmos[0x5b] = high >> 16;
	r->cmos[0x5c] = high >> 24;
	r->cmos[0x5d] = high >> 32;
}

static void rtc_cleanup(void *opaque)
{
	struct rtc *r = opaque;

	bus_unregister(&r->m->pio, &r->region);
	loop_timer_destroy(r->timer);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void rtc_create(struct machine *m)
{
	struct rtc *r = calloc(1, sizeof(*r));

	if (r)
		r->timer = loop_timer_create(m->loop, rtc_tick, r);
	if (!r || !r->timer)
		die("out of memory");
	r->m = m;
	pthread_mutex_init(&r->lock, NULL);
	r->cmos[REG_A] = 0x26;		/* 32768 Hz crystal, 1024 Hz periodic rate */
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	set_memory(r);
	r->region = (struct bus_region){
		.base = PORT_RTC, .len = 2, .handler = rtc_access, .opaque = r, .name = "rtc",
	};
	board_port(m, &r->region);
	machine_at_exit(m, rtc_cleanup, r);
}
