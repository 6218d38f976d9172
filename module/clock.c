// SPDX-License-Identifier: GPL-2.0
/*
 * Guest time: a vCPU's TSC, the kvmclock page and the VM's wall clock.
 * Entered from MSR accesses, the clock ioctls, and the run loop's request.
 * vcpu->mutex for a vCPU's part; vm->clock.lock for the VM's.
 * Intel SDM volume 3, "Time-Stamp Counter"; Documentation/virt/kvm/x86/msr.rst
 * of the kernel for the page's layout.
 */
#include <linux/math64.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "minihv.h"
#include "backend.h"

/* A guest TSC this near to the host's runs at the host's: 250 ppm. */
#define TSC_TOLERANCE_PPM	250

#define PAIR_TRIES	5
#define PAIR_CLOSE	20000	/* ticks, some microseconds */

/**
 * struct clock_pair - one moment, told by two clocks
 * @tsc: the host's TSC
 * @cpu: which CPU's
 * @ns: time since boot, suspend included, at the raw (undisciplined) rate
 * @real: wall clock in ns
 * @stable: the host keeps its own time by the TSC, so @tsc and @ns are the
 *	very same moment, and the TSCs of all CPUs agree
 */
struct clock_pair {
	u64 tsc;
	int cpu;
	s64 ns;
	s64 real;
	bool stable;
};

static s64 boot_offset(void)
{
	return ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

static s64 base_ns(void)
{
	return ktime_to_ns(ktime_get_raw()) + boot_offset();
}

/*
 * Where the timekeeper counts TSC ticks it read one itself.  Elsewhere the two
 * clocks are read one after the other, and an SMI or an outer hypervisor may
 * come in between: the closest of a few tries is taken.
 */
static void read_pair(struct clock_pair *pair)
{
	struct system_time_snapshot snap;
	u64 before, after, best = U64_MAX;
	unsigned long flags;
	unsigned int i;
	int cpu;

	for (i = 0; i < PAIR_TRIES; i++) {
		local_irq_save(flags);
		before = rdtsc_ordered();
		ktime_get_snapshot(&snap);
		after = rdtsc_ordered();
		cpu = smp_processor_id();
		local_irq_restore(flags);

		if (after - before >= best)
			continue;
		best = after - before;
		pair->stable = snap.cycles - before <= best && !check_tsc_unstable();
		pair->tsc = pair->stable ? snap.cycles : before;
		pair->cpu = cpu;
		pair->ns = ktime_to_ns(snap.raw) + boot_offset();
		pair->real = ktime_to_ns(snap.real);
		if (pair->stable || best < PAIR_CLOSE)
			break;
	}
}

/*
 * Factors for ns = ((ticks << shift) * mul) >> 32, with mul as large as fits:
 * what the kvmclock page and __pvclock_read_cycles() want.
 */
static void ns_scale(u32 khz, s8 *shift, u32 *mul)
{
	u64 num = 1000000, den = khz;

	*shift = 0;
	while (num >= den) {
		den <<= 1;
		(*shift)++;
	}
	while (num << 1 < den) {
		num <<= 1;
		(*shift)--;
	}
	*mul = div64_u64(num << 32, den);
}

/* ---- the TSC ---- */

static u64 scale_tsc(const struct mhv_vcpu *vcpu, u64 host_tsc)
{
	if (likely(!vcpu->clock.tsc_ratio))
		return host_tsc;
	return mul_u64_u64_shr(host_tsc, vcpu->clock.tsc_ratio,
			       mhv_backend->caps.tsc_ratio_frac_bits);
}

/**
 * mhv_guest_tsc - what the guest's TSC was at a moment
 * @vcpu: the vCPU
 * @host_tsc: the host's TSC at that moment
 *
 * Context: any; vcpu->state.tsc_offset is never only in the control block.
 */
u64 mhv_guest_tsc(struct mhv_vcpu *vcpu, u64 host_tsc)
{
	return scale_tsc(vcpu, host_tsc) + vcpu->state.tsc_offset;
}

static void set_offset(struct mhv_vcpu *vcpu, u64 offset)
{
	mhv_state_change(vcpu, MHV_G_TSC);
	WRITE_ONCE(vcpu->state.tsc_offset, offset);
	/* The page holds the guest's TSC; the timer counts it. */
	if (vcpu->clock.active)
		mhv_request(vcpu, MHV_REQ_CLOCK);
	if (vcpu->lapic)
		mhv_lapic_timer_restart(vcpu);
}

/**
 * mhv_tsc_adjust - move the guest's TSC
 * @vcpu: the vCPU, loaded
 * @delta: by so many guest ticks
 *
 * Context: vcpu->mutex held.
 */
void mhv_tsc_adjust(struct mhv_vcpu *vcpu, s64 delta)
{
	mhv_state_need(vcpu, MHV_G_TSC);
	set_offset(vcpu, vcpu->state.tsc_offset + delta);
}

/*
 * Userspace restores the TSCs of several vCPUs one after another, and means
 * them to agree.  A write within a second of what the last written TSC has
 * become by now is taken for that: the same offset, exactly.  So is 0, which
 * a new vCPU starts with.  What it starts with is nothing to agree with,
 * though: a guest that is younger than a second would lose its age in a move.
 */
static bool tsc_write_matches(struct mhv_vcpu *vcpu, u64 val, s64 now)
{
	struct mhv_vm_clock *clock = &vcpu->vm->clock;
	u64 expected, hz = vcpu->clock.tsc_khz * 1000ull;

	if (!vcpu->clock.tsc_khz || vcpu->clock.tsc_khz != clock->last_tsc_khz)
		return false;
	if (!val)
		return true;
	if (!clock->tsc_restored)
		return false;
	expected = clock->last_tsc_write +
		   mul_u64_u32_div(now - clock->last_tsc_ns, vcpu->clock.tsc_khz, 1000000);
	return val < expected + hz && val + hz > expected;
}

static void tsc_write_host(struct mhv_vcpu *vcpu, u64 val, bool restore)
{
	struct mhv_vm_clock *clock = &vcpu->vm->clock;
	struct clock_pair pair;
	unsigned long flags;
	u64 offset;
	s64 now;

	read_pair(&pair);
	raw_spin_lock_irqsave(&clock->lock, flags);
	offset = val - scale_tsc(vcpu, pair.tsc);
	now = pair.ns;
	if (tsc_write_matches(vcpu, val, now)) {
		if (!check_tsc_unstable()) {
			offset = clock->last_tsc_offset;
		} else {
			/*
			 * A new vCPU is where the others have come to by now.  One
			 * that is restored goes on by what has passed since the last
			 * one was: never behind what it has seen.
			 */
			val = (val ?: clock->last_tsc_write) +
			      mul_u64_u32_div(now - clock->last_tsc_ns,
					      vcpu->clock.tsc_khz, 1000000);
			offset = val - scale_tsc(vcpu, pair.tsc);
		}
	}
	clock->last_tsc_ns = now;
	clock->last_tsc_write = val;
	clock->last_tsc_khz = vcpu->clock.tsc_khz;
	clock->last_tsc_offset = offset;
	clock->tsc_restored |= restore;
	raw_spin_unlock_irqrestore(&clock->lock, flags);

	set_offset(vcpu, offset);
}

/**
 * mhv_tsc_set_offset - KVM_VCPU_TSC_OFFSET is written
 * @vcpu: the vCPU, loaded
 * @offset: what is added to the host's TSC; TSCs that are written to the VM's
 *	other vCPUs within a second are matched with it
 *
 * Context: vcpu->mutex held.
 */
void mhv_tsc_set_offset(struct mhv_vcpu *vcpu, u64 offset)
{
	struct mhv_vm_clock *clock = &vcpu->vm->clock;
	struct clock_pair pair;
	unsigned long flags;

	read_pair(&pair);
	raw_spin_lock_irqsave(&clock->lock, flags);
	clock->last_tsc_ns = pair.ns;
	clock->last_tsc_write = scale_tsc(vcpu, pair.tsc) + offset;
	clock->last_tsc_khz = vcpu->clock.tsc_khz;
	clock->last_tsc_offset = offset;
	clock->tsc_restored = true;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	set_offset(vcpu, offset);
}

/**
 * mhv_tsc_write - IA32_TSC is written
 * @vcpu: the vCPU, loaded
 * @val: the TSC from now on
 * @host: by userspace, which may mean to synchronize several vCPUs; the
 *	guest's own write moves IA32_TSC_ADJUST along
 *
 * Context: vcpu->mutex held.
 */
void mhv_tsc_write(struct mhv_vcpu *vcpu, u64 val, bool host)
{
	u64 delta;

	if (host) {
		tsc_write_host(vcpu, val, true);
		return;
	}
	mhv_state_need(vcpu, MHV_G_TSC);
	delta = val - scale_tsc(vcpu, rdtsc()) - vcpu->state.tsc_offset;
	vcpu->clock.tsc_adjust += delta;
	mhv_tsc_adjust(vcpu, delta);
}

/*
 * The ratio for a frequency; 0 is the host's own.  -EINVAL for one that is not
 * the host's within 250 ppm where the CPU cannot scale, or not that far.
 */
static int tsc_ratio_of(u32 khz, u64 *ratio)
{
	const struct mhv_caps *caps = &mhv_backend->caps;
	u64 tolerance = div_u64((u64)tsc_khz * TSC_TOLERANCE_PPM, 1000000);

	*ratio = 0;
	if (!khz || khz >= INT_MAX)
		return -EINVAL;
	if (khz >= tsc_khz - tolerance && khz <= tsc_khz + tolerance)
		return 0;
	if (!caps->tsc_scaling)
		return -EINVAL;
	*ratio = mul_u64_u32_div(BIT_ULL(caps->tsc_ratio_frac_bits), khz, tsc_khz);
	return !*ratio || *ratio >= caps->tsc_max_ratio ? -EINVAL : 0;
}

/**
 * mhv_set_default_tsc_khz - KVM_SET_TSC_KHZ of a VM
 * @vm: the VM
 * @khz: frequency of the TSC of vCPUs to come; 0: the host's
 *
 * Context: any.
 * Return: 0, or -EINVAL as mhv_set_tsc_khz().
 */
int mhv_set_default_tsc_khz(struct mhv_vm *vm, u32 khz)
{
	u64 ratio;

	if (!khz)
		khz = tsc_khz;
	if (tsc_ratio_of(khz, &ratio))
		return -EINVAL;
	WRITE_ONCE(vm->default_tsc_khz, khz);
	return 0;
}

/**
 * mhv_set_tsc_khz - KVM_SET_TSC_KHZ
 * @vcpu: the vCPU, loaded
 * @khz: frequency of the guest's TSC; 0: the host's
 *
 * Context: vcpu->mutex held.
 * Return: 0, or -EINVAL for a frequency that is not the host's within 250 ppm
 * where the CPU cannot scale, or cannot scale that far.
 */
int mhv_set_tsc_khz(struct mhv_vcpu *vcpu, u32 khz)
{
	u64 ratio;

	if (!khz)
		khz = tsc_khz;
	if (tsc_ratio_of(khz, &ratio))
		return -EINVAL;
	mhv_state_change(vcpu, MHV_G_TSC);
	vcpu->clock.tsc_khz = khz;
	vcpu->clock.tsc_ratio = ratio;
	if (vcpu->clock.active)
		mhv_request(vcpu, MHV_REQ_CLOCK);
	return 0;
}

/* ---- the VM's clock ---- */

/* With one offset for all, one pair serves all vCPUs' pages. */
static bool tscs_agree(struct mhv_vm *vm)
{
	struct mhv_vcpu *vcpu, *first = NULL;
	unsigned long i;

	mhv_for_each_vcpu(i, vcpu, vm) {
		if (!first)
			first = vcpu;
		else if (READ_ONCE(vcpu->state.tsc_offset) !=
			 READ_ONCE(first->state.tsc_offset) ||
			 vcpu->clock.tsc_ratio != first->clock.tsc_ratio)
			return false;
	}
	return true;
}

/*
 * Decide whether the VM's clock is derived from the TSC by one pair for all
 * vCPUs (so that guests may read any vCPU's page on any vCPU and see time go
 * forward), and take that pair when it begins, or when asked.  It is not taken
 * anew in between: two vCPUs that use different pairs could see time run back
 * by the pairs' error.  Returns whether the decision changed.
 */
static bool update_master(struct mhv_vm *vm, const struct clock_pair *now, bool take)
{
	struct mhv_vm_clock *clock = &vm->clock;
	bool was = clock->master;

	lockdep_assert_held(&clock->lock);
	clock->master = now->stable && tscs_agree(vm);
	if (clock->master && (!was || take)) {
		clock->master_tsc = now->tsc;
		clock->master_ns = now->ns;
	}
	return clock->master != was;
}

static u64 clock_at(const struct mhv_vm_clock *clock, const struct clock_pair *now)
{
	u32 mul;
	s8 shift;

	if (!clock->master)
		return now->ns + clock->offset;
	/* As the guest works it out, so that both agree to the nanosecond. */
	ns_scale(tsc_khz, &shift, &mul);
	return clock->master_ns + clock->offset +
	       pvclock_scale_delta(now->tsc - clock->master_tsc, mul, shift);
}

/* The VM's clock, in ns. */
static u64 vm_clock_ns(struct mhv_vm *vm)
{
	struct clock_pair now;
	unsigned long flags;
	u64 ns;

	read_pair(&now);
	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	ns = clock_at(&vm->clock, &now);
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
	return ns;
}

/**
 * mhv_get_clock - KVM_GET_CLOCK
 * @vm: the VM
 * @data: filled; wall clock and host TSC of the same moment only where the
 *	host's time comes from its TSC
 *
 * Context: may sleep.
 */
void mhv_get_clock(struct mhv_vm *vm, struct kvm_clock_data *data)
{
	struct mhv_vm_clock *clock = &vm->clock;
	struct clock_pair now;
	unsigned long flags;
	bool changed;

	memset(data, 0, sizeof(*data));
	read_pair(&now);
	raw_spin_lock_irqsave(&clock->lock, flags);
	changed = update_master(vm, &now, false);
	data->clock = clock_at(clock, &now);
	if (clock->master) {
		data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
		data->realtime = now.real;
		data->host_tsc = now.tsc;
	}
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	if (changed)
		mhv_request_all(vm, MHV_REQ_CLOCK);
}

/**
 * mhv_set_clock - KVM_SET_CLOCK
 * @vm: the VM
 * @data: the clock from now on; with KVM_CLOCK_REALTIME, what it was at that
 *	wall-clock time
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL for unknown flags.
 */
int mhv_set_clock(struct mhv_vm *vm, const struct kvm_clock_data *data)
{
	struct mhv_vm_clock *clock = &vm->clock;
	struct clock_pair now;
	unsigned long flags;
	u64 ns = data->clock;

	if (data->flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		return -EINVAL;
	read_pair(&now);
	/* Never backwards, should the wall clock have been set back. */
	if (data->flags & KVM_CLOCK_REALTIME && now.real > (s64)data->realtime)
		ns += now.real - data->realtime;

	raw_spin_lock_irqsave(&clock->lock, flags);
	update_master(vm, &now, true);
	clock->offset = ns - now.ns;
	raw_spin_unlock_irqrestore(&clock->lock, flags);
	mhv_request_all(vm, MHV_REQ_CLOCK);
	return 0;
}

/* ---- the kvmclock page ---- */

/*
 * A structure that begins with its version, in @data with the last one.  A guest
 * may read it while it is written, also on another vCPU: the version is odd
 * meanwhile.
 */
static void write_versioned(struct mhv_vm *vm, gpa_t gpa, void *data, unsigned int len)
{
	u32 *version = data;

	*version = (*version + 1) | 1;
	if (mhv_gmem_write(vm, gpa, version, sizeof(*version)))
		return;
	smp_wmb();	/* pairs with the guest's reading of version, data, version */
	mhv_gmem_write(vm, gpa, data, len);
	smp_wmb();	/* pairs with the same */
	++*version;
	mhv_gmem_write(vm, gpa, version, sizeof(*version));
}

/* The stopped flag is the guest's to clear: it stays. */
static void write_page(struct mhv_vcpu *vcpu, struct pvclock_vcpu_time_info *info)
{
	gpa_t gpa = vcpu->clock.system_time_msr & ~1ull;
	struct pvclock_vcpu_time_info old;

	if (mhv_gmem_read(vcpu->vm, gpa, &old, sizeof(old)))
		return;
	info->flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	info->version = old.version;
	write_versioned(vcpu->vm, gpa, info, sizeof(*info));
}

/**
 * mhv_clock_update - write the vCPU's kvmclock page anew: MHV_REQ_CLOCK
 * @vcpu: the vCPU
 *
 * Context: vcpu->mutex held; may sleep.
 */
void mhv_clock_update(struct mhv_vcpu *vcpu)
{
	struct mhv_vm *vm = vcpu->vm;
	struct pvclock_vcpu_time_info info = {};
	struct clock_pair now;
	unsigned long flags;
	bool changed;
	int idx;

	if (!vcpu->clock.active)
		return;
	read_pair(&now);
	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	changed = update_master(vm, &now, false);
	if (vm->clock.master) {
		now.tsc = vm->clock.master_tsc;
		now.ns = vm->clock.master_ns;
		info.flags = PVCLOCK_TSC_STABLE_BIT;
	}
	info.system_time = now.ns + vm->clock.offset;
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);

	vcpu->clock.cpu = now.cpu;
	info.tsc_timestamp = mhv_guest_tsc(vcpu, now.tsc);
	ns_scale(vcpu->clock.tsc_ratio ? vcpu->clock.tsc_khz : tsc_khz,
		 &info.tsc_shift, &info.tsc_to_system_mul);
	if (vcpu->clock.guest_stopped) {
		info.flags |= PVCLOCK_GUEST_STOPPED;
		vcpu->clock.guest_stopped = false;
	}
	idx = srcu_read_lock(&vm->srcu);
	write_page(vcpu, &info);
	srcu_read_unlock(&vm->srcu, idx);
	if (changed)
		mhv_request_all(vm, MHV_REQ_CLOCK);
}

/**
 * mhv_clock_load - the vCPU is loaded on a CPU
 * @vcpu: the vCPU
 * @cpu: this CPU
 *
 * Without one pair for all, the page's pair is good on its own CPU only.
 *
 * Context: preemption off.
 */
void mhv_clock_load(struct mhv_vcpu *vcpu, int cpu)
{
	if (vcpu->clock.active && vcpu->clock.cpu != cpu &&
	    !READ_ONCE(vcpu->vm->clock.master))
		mhv_request(vcpu, MHV_REQ_CLOCK);
}

/* ---- suspend ---- */

static u64 suspend_tsc;

/**
 * mhv_clock_suspend - the machine is about to sleep
 *
 * Context: one CPU left, interrupts off, every thread of a VMM frozen.
 */
void mhv_clock_suspend(void)
{
	suspend_tsc = rdtsc();
}

/**
 * mhv_clock_resume - the machine woke up, perhaps with its TSC back at 0
 * @vm: a VM; its guest's TSCs go on from where they were, its clock by the
 *	time that the machine slept
 *
 * Context: as mhv_clock_suspend(), after the timekeeper's own resume.
 */
void mhv_clock_resume(struct mhv_vm *vm)
{
	u64 tsc = rdtsc(), lost = tsc < suspend_tsc ? suspend_tsc - tsc : 0;
	struct mhv_vcpu *vcpu;
	struct clock_pair now;
	unsigned long i, flags;

	mhv_for_each_vcpu(i, vcpu, vm) {
		vcpu->state.tsc_offset += scale_tsc(vcpu, lost);
		vcpu->avail |= MHV_G_TSC;	/* the CPU never changes it */
		vcpu->dirty |= MHV_G_TSC;
		mhv_request(vcpu, MHV_REQ_CLOCK);
	}
	read_pair(&now);
	raw_spin_lock_irqsave(&vm->clock.lock, flags);
	vm->clock.last_tsc_offset += lost;
	update_master(vm, &now, true);
	raw_spin_unlock_irqrestore(&vm->clock.lock, flags);
}

/**
 * mhv_kvmclock_set - MSR_KVM_SYSTEM_TIME, old or new, is written
 * @vcpu: the vCPU
 * @val: guest-physical address of the page; bit 0 enables
 *
 * Context: vcpu->mutex held.
 * Return: 0.  An address at which the page cannot be is stored, and unused.
 */
int mhv_kvmclock_set(struct mhv_vcpu *vcpu, u64 val)
{
	gpa_t gpa = val & ~1ull;

	vcpu->clock.system_time_msr = val;
	vcpu->clock.active = val & 1 && offset_in_page(gpa) +
			     sizeof(struct pvclock_vcpu_time_info) <= PAGE_SIZE;
	mhv_request(vcpu, MHV_REQ_CLOCK);
	return 0;
}

/**
 * mhv_kvmclock_stopped - KVM_KVMCLOCK_CTRL: tell the guest that it was stopped
 * @vcpu: the vCPU
 *
 * Context: vcpu->mutex held.
 * Return: 0, or -EINVAL if the guest has no kvmclock.
 */
int mhv_kvmclock_stopped(struct mhv_vcpu *vcpu)
{
	if (!vcpu->clock.active)
		return -EINVAL;
	vcpu->clock.guest_stopped = true;
	mhv_request(vcpu, MHV_REQ_CLOCK);
	return 0;
}

/**
 * mhv_wall_clock_set - MSR_KVM_WALL_CLOCK, old or new, is written
 * @vm: the VM
 * @gpa: where the guest wants to find the wall-clock time at which its clock
 *	was 0; 0: nowhere
 *
 * Context: may sleep.
 */
void mhv_wall_clock_set(struct mhv_vm *vm, u64 gpa)
{
	struct pvclock_wall_clock wall;
	u32 nsec;
	u64 ns;
	int idx;

	WRITE_ONCE(vm->clock.wall_clock_msr, gpa);
	if (!gpa)
		return;
	idx = srcu_read_lock(&vm->srcu);
	if (!mhv_gmem_read(vm, gpa, &wall.version, sizeof(wall.version))) {
		ns = ktime_get_real_ns() - vm_clock_ns(vm);
		wall.sec = div_u64_rem(ns, NSEC_PER_SEC, &nsec);
		wall.nsec = nsec;
		write_versioned(vm, gpa, &wall, sizeof(wall));
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/**
 * mhv_clock_vm_init - a new VM's clock starts at 0
 * @vm: the VM
 */
void mhv_clock_vm_init(struct mhv_vm *vm)
{
	raw_spin_lock_init(&vm->clock.lock);
	vm->clock.offset = -base_ns();
	vm->default_tsc_khz = tsc_khz;
}

/**
 * mhv_clock_vcpu_init - a new vCPU's TSC starts where the VM's others are
 * @vcpu: the vCPU, loaded; its LAPIC, if any, exists
 *
 * Context: creation of the vCPU, vcpu->mutex held.
 */
void mhv_clock_vcpu_init(struct mhv_vcpu *vcpu)
{
	/* Cannot fail with the host's own; another was checked when it was set. */
	if (mhv_set_tsc_khz(vcpu, vcpu->vm->default_tsc_khz))
		mhv_set_tsc_khz(vcpu, 0);
	tsc_write_host(vcpu, 0, false);
}
