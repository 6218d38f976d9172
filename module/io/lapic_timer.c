// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC's timer: one shot, periodic, TSC deadline, on a host timer.
 * Entered from lapic.c (registers, state), msr.c (deadline), the host timer.
 * No lock: the vCPU's thread cancels the host timer before it changes what the
 * callback uses, but for the mode and the period, which it may find either way.
 * Intel SDM vol. 3, "APIC Timer".
 */
#include <linux/math64.h>
#include <asm/msr.h>

#include "compat.h"
#include "lapic.h"

/* The guest chooses the period; the host must be left with time of its own. */
#define LAPIC_MIN_PERIOD_NS	(200 * NSEC_PER_USEC)

/* A deadline further away than that is as good as never. */
#define LAPIC_MAX_DELAY_S	(365 * 24 * 3600ULL)

/*
 * A deadline's interrupt is requested ahead of time, by about what it takes
 * from the host's timer to the guest's entry, and held back there until it is
 * time.  How long that is, is learned from how early or late it was; what is
 * too far out is no measure of it.
 */
#define ADVANCE_START_NS	1000
#define ADVANCE_MAX_NS		5000
#define ADVANCE_STEP		8
#define ADVANCE_GOOD_NS		50
#define ADVANCE_OUTLIER_NS	10000

static u64 timer_ns(const struct mhv_lapic *lapic, u32 count)
{
	return (u64)count * lapic->timer.divide;
}

static void timer_set_period(struct mhv_lapic *lapic)
{
	struct lapic_timer *t = &lapic->timer;
	u64 period = timer_ns(lapic, lapic_get(lapic, APIC_TMICT));

	if (period && t->mode == APIC_LVT_TIMER_PERIODIC)
		period = max_t(u64, period, LAPIC_MIN_PERIOD_NS);
	WRITE_ONCE(t->period, period);
}

/*
 * Request the interrupt: not to be delivered before the deadline, to which
 * something is left if @ahead.  Who saves the LAPIC's registers first and the
 * deadline after finds one or the other.
 */
static void timer_deadline_over(struct mhv_lapic *lapic, bool ahead)
{
	lapic->timer.ahead = ahead;
	WRITE_ONCE(lapic->timer.early, lapic->timer.deadline);
	mhv_lapic_local_deliver(lapic->vcpu, APIC_LVTT);
	WRITE_ONCE(lapic->timer.deadline, 0);
}

static enum hrtimer_restart timer_expired(struct hrtimer *hrtimer)
{
	struct lapic_timer *t = container_of(hrtimer, struct lapic_timer, hrtimer);
	struct mhv_lapic *lapic = container_of(t, struct mhv_lapic, timer);
	u64 period = READ_ONCE(t->period);
	ktime_t now;

	if (READ_ONCE(t->mode) != APIC_LVT_TIMER_PERIODIC || !period) {
		timer_deadline_over(lapic, true);
		return HRTIMER_NORESTART;
	}
	mhv_lapic_local_deliver(lapic->vcpu, APIC_LVTT);
	/* Ticks that the host was too late for are lost, not made up for. */
	now = ktime_get();
	t->target = ktime_add_ns(t->target, period);
	if (ktime_before(t->target, now))
		t->target = now;
	hrtimer_set_expires(hrtimer, t->target);
	return HRTIMER_RESTART;
}

/* Count down from @ns, on this CPU: it is where the vCPU is. */
static void timer_start(struct mhv_lapic *lapic, u64 ns)
{
	struct lapic_timer *t = &lapic->timer;

	t->target = ktime_add_ns(ktime_get(), ns);
	t->cpu = raw_smp_processor_id();
	hrtimer_start(&t->hrtimer, t->target, HRTIMER_MODE_ABS_PINNED_HARD);
}

static void timer_start_deadline(struct mhv_lapic *lapic)
{
	struct lapic_timer *t = &lapic->timer;
	u32 khz = lapic->vcpu->clock.tsc_khz;
	u64 now, ticks, ns = 0;
	unsigned long flags;

	if (!t->deadline || unlikely(!khz))
		return;
	/* Both clocks at one moment: what comes in between makes it late. */
	local_irq_save(flags);
	now = mhv_guest_tsc(lapic->vcpu, rdtsc());
	if (t->deadline > now) {
		ticks = min(t->deadline - now, khz * 1000ULL * LAPIC_MAX_DELAY_S);
		ns = mul_u64_u32_div(ticks, USEC_PER_SEC, khz);
	}
	if (ns > t->advance_ns)
		timer_start(lapic, ns - t->advance_ns);
	local_irq_restore(flags);
	if (ns <= t->advance_ns)
		timer_deadline_over(lapic, ns);
}

/* @ns: how late the last interrupt was, or early if it is negative. */
static void timer_learn(struct lapic_timer *t, s64 ns)
{
	s64 advance;

	if (abs(ns) < ADVANCE_GOOD_NS || abs(ns) > ADVANCE_OUTLIER_NS)
		return;
	advance = t->advance_ns + ns / ADVANCE_STEP;
	t->advance_ns = clamp_t(s64, advance, 0, ADVANCE_MAX_NS);
}

/**
 * lapic_timer_wait - the timer's interrupt is being injected: is it time yet?
 * @lapic: the LAPIC, with timer.early set
 *
 * Spins for ADVANCE_OUTLIER_NS at most.  Context: the vCPU's thread.
 */
void lapic_timer_wait(struct mhv_lapic *lapic)
{
	struct lapic_timer *t = &lapic->timer;
	u64 deadline = READ_ONCE(t->early);
	u32 khz = lapic->vcpu->clock.tsc_khz;
	s64 late = mhv_guest_tsc(lapic->vcpu, rdtsc()) - deadline;
	s64 limit = (u64)khz * ADVANCE_OUTLIER_NS / USEC_PER_SEC;

	WRITE_ONCE(t->early, 0);
	/* The TSC may have been set meanwhile, or the vCPU not been running. */
	if (abs(late) > limit)
		return;
	if (t->ahead)
		timer_learn(t, late * USEC_PER_SEC / khz);
	while ((s64)(mhv_guest_tsc(lapic->vcpu, rdtsc()) - deadline) < 0)
		cpu_relax();
}

static void timer_set_divide(struct mhv_lapic *lapic)
{
	u32 tdcr = lapic_get(lapic, APIC_TDCR);

	/* 2, 4, ... 128, and then 1 */
	lapic->timer.divide = 1 << ((((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7);
}

/**
 * lapic_timer_init - a new LAPIC's timer
 * @lapic: the LAPIC
 */
void lapic_timer_init(struct mhv_lapic *lapic)
{
	lapic->timer.divide = 2;
	lapic->timer.mode_mask = APIC_LVT_TIMER_PERIODIC;
	lapic->timer.advance_ns = ADVANCE_START_NS;
	mhv_hrtimer_setup(&lapic->timer.hrtimer, timer_expired, HRTIMER_MODE_ABS_PINNED_HARD);
}

/**
 * lapic_timer_cancel - stop; the callback is not running when this returns
 * @lapic: the LAPIC
 *
 * Context: not the callback's.
 */
void lapic_timer_cancel(struct mhv_lapic *lapic)
{
	hrtimer_cancel(&lapic->timer.hrtimer);
}

/**
 * lapic_timer_reset - registers were reset; the timer is stopped
 * @lapic: the LAPIC
 */
void lapic_timer_reset(struct mhv_lapic *lapic)
{
	timer_set_divide(lapic);
	lapic_timer_set_mode(lapic);
	lapic->timer.period = 0;
	lapic->timer.deadline = 0;
	lapic->timer.early = 0;
}

/**
 * lapic_timer_load - TMICT was written
 * @lapic: the LAPIC
 * @count: the initial count; 0 stops it
 *
 * In TSC-deadline mode it is ignored.  Context: the vCPU's thread.
 */
void lapic_timer_load(struct mhv_lapic *lapic, u32 count)
{
	struct lapic_timer *t = &lapic->timer;

	if (t->mode == APIC_LVT_TIMER_TSCDEADLINE)
		return;
	lapic_timer_cancel(lapic);
	lapic_set(lapic, APIC_TMICT, count);
	timer_set_period(lapic);
	if (t->period)
		timer_start(lapic, t->period);
}

/**
 * lapic_timer_current - what TMCCT reads
 * @lapic: the LAPIC
 *
 * Context: the vCPU's thread.
 */
u32 lapic_timer_current(const struct mhv_lapic *lapic)
{
	const struct lapic_timer *t = &lapic->timer;
	s64 left;

	if (t->mode == APIC_LVT_TIMER_TSCDEADLINE || !t->period)
		return 0;
	left = ktime_to_ns(ktime_sub(READ_ONCE(t->target), ktime_get()));
	return left <= 0 ? 0 : (u64)left % t->period / t->divide;
}

/**
 * lapic_timer_saved - what TMCCT reads for userspace, which saves it
 * @lapic: the LAPIC
 *
 * To be read before IRR: a timer that fires in between is then in both, and
 * its second interrupt merges with the first.  One that is due and has not
 * fired yet is not 0, which means that it has.
 *
 * Context: the vCPU's thread.
 */
u32 lapic_timer_saved(const struct mhv_lapic *lapic)
{
	bool armed = hrtimer_active(&lapic->timer.hrtimer);
	u32 count = lapic_timer_current(lapic);

	if (!count && armed && lapic->timer.period)
		return 1;
	return count;
}

/**
 * lapic_timer_set_mode - LVTT was written: another mode, perhaps
 * @lapic: the LAPIC
 *
 * Context: the vCPU's thread.
 */
void lapic_timer_set_mode(struct mhv_lapic *lapic)
{
	struct lapic_timer *t = &lapic->timer;
	u32 mode = lapic_get(lapic, APIC_LVTT) & t->mode_mask;

	if (mode == t->mode)
		return;
	/* Counting and deadlines do not turn into each other: disarm. */
	if (mode == APIC_LVT_TIMER_TSCDEADLINE || t->mode == APIC_LVT_TIMER_TSCDEADLINE) {
		lapic_timer_cancel(lapic);
		lapic_set(lapic, APIC_TMICT, 0);
		t->deadline = 0;
		t->early = 0;
	}
	WRITE_ONCE(t->mode, mode);
	timer_set_period(lapic);
}

/**
 * lapic_timer_set_divide - TDCR was written: the count stays, its pace changes
 * @lapic: the LAPIC
 *
 * Context: the vCPU's thread.
 */
void lapic_timer_set_divide(struct mhv_lapic *lapic)
{
	struct lapic_timer *t = &lapic->timer;
	u32 old = t->divide;
	bool active;
	s64 left;

	timer_set_divide(lapic);
	if (t->divide == old || !t->period)
		return;
	active = hrtimer_cancel(&t->hrtimer);
	left = ktime_to_ns(ktime_sub(t->target, ktime_get()));
	timer_set_period(lapic);
	if (active)
		timer_start(lapic, mul_u64_u32_div(max(left, 0LL), t->divide, old));
}

/**
 * lapic_timer_restore - registers were restored; the timer is stopped
 * @lapic: the LAPIC
 * @count: TMCCT, from where it goes on
 *
 * Context: the vCPU's thread.
 */
void lapic_timer_restore(struct mhv_lapic *lapic, u32 count)
{
	struct lapic_timer *t = &lapic->timer;
	u64 left;

	t->early = 0;
	timer_set_divide(lapic);
	lapic_timer_set_mode(lapic);
	if (t->mode == APIC_LVT_TIMER_TSCDEADLINE) {
		timer_start_deadline(lapic);
		return;
	}
	timer_set_period(lapic);
	left = min(timer_ns(lapic, count), t->period);
	if (!left && t->mode == APIC_LVT_TIMER_PERIODIC)
		left = t->period;
	if (left)
		timer_start(lapic, left);
	else
		t->target = ktime_get();	/* one shot, that has been fired */
}

/**
 * mhv_lapic_load - the vCPU is loaded on a CPU: the timer follows it
 * @vcpu: the vCPU
 * @cpu: this CPU
 *
 * Context: preemption off, interrupts on.
 */
void mhv_lapic_load(struct mhv_vcpu *vcpu, int cpu)
{
	struct lapic_timer *t = &vcpu->lapic->timer;

	if (t->cpu == cpu || !hrtimer_cancel(&t->hrtimer))
		return;
	t->cpu = cpu;
	hrtimer_start_expires(&t->hrtimer, HRTIMER_MODE_ABS_PINNED_HARD);
}

/**
 * mhv_lapic_timer_restart - the guest's TSC was set: so the deadline moves
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread, interrupts on.
 */
void mhv_lapic_timer_restart(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = vcpu->lapic;

	if (lapic->timer.mode == APIC_LVT_TIMER_TSCDEADLINE &&
	    hrtimer_cancel(&lapic->timer.hrtimer))
		timer_start_deadline(lapic);
}

/**
 * mhv_lapic_get_tscdeadline - read IA32_TSC_DEADLINE
 * @vcpu: the vCPU
 * @host: for userspace, to which a deadline is over when the guest has taken
 *	the interrupt, and not when it is requested: it may have saved IRR
 *	before that
 *
 * Returns it; 0 when disarmed or the timer is in another mode.
 */
u64 mhv_lapic_get_tscdeadline(struct mhv_vcpu *vcpu, bool host)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	struct lapic_timer *t = &lapic->timer;
	u64 deadline;

	if (!lapic->hw_enabled || t->mode != APIC_LVT_TIMER_TSCDEADLINE)
		return 0;
	deadline = READ_ONCE(t->deadline);
	smp_rmb();	/* the order of timer_deadline_over() */
	if (!deadline && host && test_bit(lapic_get(lapic, APIC_LVTT) & APIC_VECTOR_MASK,
					  lapic->irr))
		deadline = READ_ONCE(t->early);
	return deadline;
}

/**
 * mhv_lapic_set_tscdeadline - write IA32_TSC_DEADLINE
 * @vcpu: the vCPU
 * @val: guest's TSC; 0 disarms.  Ignored in another mode.
 *
 * Context: the vCPU's thread.
 */
void mhv_lapic_set_tscdeadline(struct mhv_vcpu *vcpu, u64 val)
{
	struct lapic_timer *t = &vcpu->lapic->timer;

	if (!vcpu->lapic->hw_enabled || t->mode != APIC_LVT_TIMER_TSCDEADLINE)
		return;
	lapic_timer_cancel(vcpu->lapic);
	t->early = 0;
	t->deadline = val;
	timer_start_deadline(vcpu->lapic);
}
