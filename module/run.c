// SPDX-License-Identifier: GPL-2.0
/*
 * The run loop: what happens between KVM_RUN and its return, and kicks.
 * Entered from vcpu.c with vcpu->mutex held; kicks come from any thread.
 * Takes vm->srcu around what looks at memslots; no lock while in the guest.
 * AMD APM volume 2, "Event Injection"; Intel SDM volume 3, "VM Entries".
 */
#include <linux/cpumask.h>
#include <linux/kvm_types.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/mce.h>

#include "backend.h"
#include "compat.h"
#include "trace.h"

DEFINE_STATIC_CALL_NULL(mhv_backend_run, *mhv_backend->run);
DEFINE_STATIC_CALL_NULL(mhv_backend_handle_exit, *mhv_backend->handle_exit);
DEFINE_STATIC_CALL_NULL(mhv_backend_next_rip, *mhv_backend->next_rip);

static u64 host_xcr0;
static u64 host_xss;

/**
 * mhv_run_setup() - have exits call the backend, and note the host state that a guest's replaces
 *
 * Context: module load, the backend chosen; sleeps.
 */
void mhv_run_setup(void)
{
	static_call_update(mhv_backend_run, mhv_backend->run);
	static_call_update(mhv_backend_handle_exit, mhv_backend->handle_exit);
	static_call_update(mhv_backend_next_rip, mhv_backend->next_rip);
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);
}

/**
 * mhv_state_fetch() - copy groups from the control block to vcpu->state
 * @vcpu: the vCPU, loaded
 * @groups: none of which is available
 *
 * Use mhv_state_need().  A group that is newer in vcpu->state is available by
 * definition; one that is not would lose its value here.
 */
void mhv_state_fetch(struct mhv_vcpu *vcpu, u32 groups)
{
	if (MHV_BUG_ON(groups & vcpu->dirty, vcpu->vm))
		return;
	mhv_backend->state_load(vcpu, groups);
	vcpu->avail |= groups;
}

/* ---- kicks ---- */

/**
 * mhv_kick() - make a vCPU look at its requests
 * @vcpu: any vCPU
 *
 * Wakes it if it is halted; makes it exit if it is in the guest.  The full
 * barrier pairs with the one in run_once(): either that CPU sees the request
 * before it enters, or this one sees MHV_IN_GUEST and interrupts it.
 *
 * Context: any, also with raw locks held and interrupts off.
 */
void mhv_kick(struct mhv_vcpu *vcpu)
{
	int cpu;

	/* Its own thread looks at its requests before it enters anyway. */
	if (READ_ONCE(vcpu->task) == current && !in_interrupt())
		return;
	if (rcuwait_wake_up(&vcpu->wait))
		return;
	smp_mb();	/* pairs with the barrier in run_once() */
	if (READ_ONCE(vcpu->mode) != MHV_IN_GUEST)
		return;
	preempt_disable();
	cpu = READ_ONCE(vcpu->cpu);
	if (cpu >= 0 && cpu != smp_processor_id() && cpu_online(cpu))
		mhv_send_reschedule(cpu);
	preempt_enable();
}

static void kicked(void *unused)
{
}

/**
 * mhv_kick_all() - make every vCPU of a VM leave the guest
 * @vm: the VM
 * @wait: return only once each that was in the guest has left it
 *
 * Context: preemptible or not, interrupts on if @wait.
 */
void mhv_kick_all(struct mhv_vm *vm, bool wait)
{
	struct mhv_vcpu *vcpu;
	cpumask_var_t mask;
	bool have;
	unsigned long i;
	int cpu;

	/* Without memory for a mask every CPU gets the interrupt. */
	have = zalloc_cpumask_var(&mask, GFP_ATOMIC);
	preempt_disable();
	smp_mb();	/* pairs with the barrier in run_once(), as in mhv_kick() */
	mhv_for_each_vcpu(i, vcpu, vm) {
		cpu = READ_ONCE(vcpu->cpu);
		if (have && cpu >= 0 && READ_ONCE(vcpu->mode) == MHV_IN_GUEST)
			cpumask_set_cpu(cpu, mask);
	}
	smp_call_function_many(have ? mask : cpu_online_mask, kicked, NULL, wait);
	preempt_enable();
	if (have)
		free_cpumask_var(mask);
}

/**
 * mhv_request_all() - the same request to every vCPU, and a kick
 * @vm: the VM
 * @req: what
 *
 * Context: any.
 */
void mhv_request_all(struct mhv_vm *vm, enum mhv_request req)
{
	struct mhv_vcpu *vcpu;
	unsigned long i;

	mhv_for_each_vcpu(i, vcpu, vm) {
		mhv_request(vcpu, req);
		mhv_kick(vcpu);
	}
}

/* ---- which event is delivered next ---- */

/* With PIC and IOAPIC in the kernel, userspace has no interrupts of its own. */
static bool full_chip(struct mhv_vcpu *vcpu)
{
	return vcpu->vm->irqchip.mode == MHV_IRQCHIP_FULL;
}

/*
 * Would the guest take an interrupt now?  Whether a debugger blocks them is not asked: one that
 * may not be delivered ends a halt all the same, or a step out of HLT would never end.
 */
static bool interrupts_allowed(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_RIP_FLAGS | MHV_G_INTR);
	return (vcpu->state.rflags & X86_EFLAGS_IF) && !vcpu->state.shadow;
}

/* May userspace, which has the PIC, inject an interrupt now? */
static bool ready_for_injection(struct mhv_vcpu *vcpu)
{
	return !vcpu->reinject.type && !vcpu->exception.type && vcpu->extint < 0 &&
	       interrupts_allowed(vcpu) &&
	       (!vcpu->lapic || mhv_lapic_accepts_extint(vcpu));
}

static bool nmi_allowed(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_INTR);
	return !vcpu->state.nmi_masked && !vcpu->state.shadow;
}

/* Is there an external interrupt for this vCPU, from the PIC or its LAPIC? */
static bool has_interrupt(struct mhv_vcpu *vcpu)
{
	if (vcpu->extint >= 0)
		return true;
	if (!vcpu->lapic)
		return false;
	if (READ_ONCE(vcpu->vm->irqchip.pic_output) && mhv_lapic_accepts_extint(vcpu))
		return true;
	return mhv_lapic_pending(vcpu) >= 0;
}

/* Take it: the PIC's first, as its INTR pin bypasses the LAPIC's priorities. */
static int take_interrupt(struct mhv_vcpu *vcpu)
{
	int vector = vcpu->extint;

	if (vector >= 0) {
		vcpu->extint = -1;
		return vector;
	}
	if (READ_ONCE(vcpu->vm->irqchip.pic_output) && mhv_lapic_accepts_extint(vcpu)) {
		vector = mhv_pic_ack(vcpu->vm);
		if (vector >= 0)
			return vector;
	}
	vector = mhv_lapic_pending(vcpu);
	if (vector >= 0)
		mhv_lapic_ack(vcpu, vector);
	return vector;
}

/*
 * NMIs that were sent since: one can be held while another is handled, more
 * are lost, as the CPU latches but one.
 */
static void collect_nmis(struct mhv_vcpu *vcpu)
{
	unsigned int limit = 2;

	if (vcpu->state.nmi_masked || vcpu->reinject.type == MHV_EV_NMI)
		limit = 1;
	vcpu->nmi_pending = min_t(unsigned int, limit, vcpu->nmi_pending +
				  atomic_xchg(&vcpu->nmi_queued, 0));
}

/**
 * mhv_deliver_payload() - write an exception's payload where the guest finds it
 * @vcpu: the vCPU, loaded
 * @ev: the exception; #PF's address and #DB's cause become visible when it is
 *	delivered, not when it is raised
 */
void mhv_deliver_payload(struct mhv_vcpu *vcpu, struct mhv_event *ev)
{
	if (!ev->has_payload)
		return;
	if (ev->vector == X86_TRAP_PF) {
		mhv_state_change(vcpu, MHV_G_CR);
		vcpu->state.cr2 = ev->payload;
	} else if (ev->vector == X86_TRAP_DB) {
		mhv_state_change(vcpu, MHV_G_DR);
		vcpu->state.dr6 &= ~(u64)(DR_TRAP_BITS | BIT(12));	/* 12 is always 0 */
		vcpu->state.dr6 |= ev->payload | DR6_RESERVED;
		vcpu->state.dr7 &= ~(u64)DR7_GD;
	}
	ev->has_payload = false;
	ev->payload = 0;
}

static void inject(struct mhv_vcpu *vcpu, struct mhv_event *ev)
{
	/* In real mode none is pushed; but userspace may have said that there is one. */
	if (ev->has_error) {
		mhv_state_need(vcpu, MHV_G_CR);
		ev->has_error = vcpu->state.cr0 & X86_CR0_PE;
	}
	trace_mhv_inject(vcpu->id, ev);
	mhv_backend->inject(vcpu, ev);
}

/*
 * The one thing that was cut short, or else the one exception that is pending;
 * whatever it is, nothing else can be injected with it.
 */
static bool inject_pending(struct mhv_vcpu *vcpu)
{
	if (vcpu->reinject.type) {
		inject(vcpu, &vcpu->reinject);
		vcpu->reinject.type = MHV_EV_NONE;
		return true;
	}
	if (vcpu->exception.type) {
		mhv_deliver_payload(vcpu, &vcpu->exception);
		/* A fault's handler must find RF set, or it faults again on IRET. */
		if (vcpu->exception.vector != X86_TRAP_DB &&
		    vcpu->exception.type == MHV_EV_EXCEPTION) {
			mhv_state_change(vcpu, MHV_G_RIP_FLAGS);
			vcpu->state.rflags |= X86_EFLAGS_RF;
		}
		inject(vcpu, &vcpu->exception);
		vcpu->exception.type = MHV_EV_NONE;
		vcpu->stat.exceptions++;
		return true;
	}
	return false;
}

/*
 * Order: what was interrupted, exceptions, NMI, PIC, LAPIC.  What has to wait
 * gets a window: an exit at the moment it can be delivered.
 */
static void choose_event(struct mhv_vcpu *vcpu)
{
	struct mhv_event ev = {};
	unsigned int window = 0;
	bool done;

	if (atomic_read(&vcpu->nmi_queued))
		collect_nmis(vcpu);
	done = inject_pending(vcpu);
	/* No window either: it would open at once, and the guest never get on. */
	if (unlikely(vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ))
		goto windows;

	if (vcpu->nmi_pending && !done && nmi_allowed(vcpu)) {
		vcpu->nmi_pending--;
		ev.type = MHV_EV_NMI;
		ev.vector = X86_TRAP_NMI;
		vcpu->stat.nmi_injections++;
		inject(vcpu, &ev);
		done = true;
	}
	if (vcpu->nmi_pending) {
		/*
		 * Where only the other event is in its way it is next: come back at
		 * once.  A step would put TF on the stack of that event's handler.
		 */
		if (done && !vcpu->state.nmi_masked) {
			mhv_request(vcpu, MHV_REQ_EVENT);
			mhv_send_reschedule(vcpu->cpu);
		} else {
			window |= MHV_WINDOW_NMI;
		}
	}

	if (has_interrupt(vcpu)) {
		int vector = -1;

		if (!done && interrupts_allowed(vcpu))
			vector = take_interrupt(vcpu);
		if (vector >= 0) {
			ev.type = MHV_EV_INTR;
			ev.vector = vector;
			vcpu->stat.irq_injections++;
			inject(vcpu, &ev);
		}
		if (has_interrupt(vcpu))
			window |= MHV_WINDOW_INTR;
	} else if (vcpu->run->request_interrupt_window && !full_chip(vcpu) &&
		   (!vcpu->lapic || mhv_lapic_accepts_extint(vcpu))) {
		/* With LINT0 masked it would open at once, each time, for nobody to use it. */
		window |= MHV_WINDOW_INTR;
	}
windows:
	if (window | vcpu->window) {
		vcpu->window = window;
		mhv_backend->open_window(vcpu, window);
	}
}

/* Show the task priority; have the guest exit where lowering it matters. */
static void sync_tpr(struct mhv_vcpu *vcpu)
{
	u8 tpr, threshold;

	if (vcpu->lapic) {
		tpr = mhv_lapic_get_tpr(vcpu);
		threshold = mhv_lapic_tpr_threshold(vcpu);
	} else {
		tpr = vcpu->cr8;
		threshold = 16;		/* userspace wants to see every change */
	}
	vcpu->shown_tpr = tpr;
	mhv_backend->sync_tpr(vcpu, tpr, threshold);
	if (unlikely(vcpu->vapic.page | vcpu->vapic.eoi_msr) && vcpu->lapic)
		mhv_vapic_enter(vcpu);
}

/* ---- requests ---- */

/* Those that may sleep or leave; MHV_REQ_EVENT waits for interrupts off. */
static int serve_requests(struct mhv_vcpu *vcpu)
{
	if (test_bit(MHV_REQ_VM_DEAD, &vcpu->requests))
		return -EIO;	/* and stays dead */
	if (mhv_take_request(vcpu, MHV_REQ_RING_FULL) && mhv_dirty_ring_full(vcpu)) {
		mhv_request(vcpu, MHV_REQ_RING_FULL);	/* until there is room */
		vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
		return MHV_USER;
	}
	if (mhv_take_request(vcpu, MHV_REQ_TRIPLE_FAULT))
		return mhv_exit_shutdown(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_TPR_ACCESS)) {
		vcpu->run->exit_reason = KVM_EXIT_TPR_ACCESS;
		vcpu->run->tpr_access.rip = vcpu->vapic.tpr_rip;
		vcpu->run->tpr_access.is_write = vcpu->vapic.tpr_write;
		return MHV_USER;
	}
	if (mhv_take_request(vcpu, MHV_REQ_SCAN_EOI) && vcpu->lapic)
		mhv_lapic_scan_eoi(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_CLOCK))
		mhv_clock_update(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_STEAL))
		mhv_steal_update(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_VAPIC))
		mhv_vapic_write_late(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_IOAPIC_EOI)) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->eoi_vector;
		return MHV_USER;
	}
	if (mhv_take_request(vcpu, MHV_REQ_MSR_FILTER))
		mhv_backend->update_intercepts(vcpu);
	if (mhv_take_request(vcpu, MHV_REQ_NMI))
		mhv_request(vcpu, MHV_REQ_EVENT);
	mhv_take_request(vcpu, MHV_REQ_UNBLOCK);

	/* An INIT that came while running: the vCPU is reset or waits for SIPI. */
	if (vcpu->lapic)
		mhv_lapic_accept_events(vcpu);
	return MHV_RESUME;
}

#define REQ_EVENT_ONLY	BIT(MHV_REQ_EVENT)

static bool user_work_pending(void)
{
	return READ_ONCE(current_thread_info()->flags) & XFER_TO_GUEST_MODE_WORK;
}

static int signalled(struct mhv_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	vcpu->stat.signal_exits++;
	return -EINTR;
}

/* A signal, or a turn for another thread. */
static int serve_user_work(struct mhv_vcpu *vcpu)
{
	if (user_work_pending() && (signal_pending(current) || mhv_user_mode_work()))
		return signalled(vcpu);
	return MHV_RESUME;
}

/* What the last look before an entry has found, served with interrupts on. */
static noinline int serve_pending(struct mhv_vcpu *vcpu)
{
	if (vcpu->requests & ~REQ_EVENT_ONLY) {
		int r = serve_requests(vcpu);

		if (r != MHV_RESUME)
			return r;
	}
	return serve_user_work(vcpu);
}

/* ---- one entry ---- */

static noinline void trace_exit(struct mhv_vcpu *vcpu)
{
	const char *name;
	u64 info1, info2;
	u32 reason;

	reason = mhv_backend->exit_reason(vcpu, &name, &info1, &info2);
	trace_mhv_exit(vcpu->id, reason, name, vcpu->state.rip, info1, info2);
}

/*
 * Guest values of host state that neither vendor's entry switches.  Each is
 * loaded only where it differs, and only if the guest can get at it.
 */
static void load_guest_xstate(struct mhv_vcpu *vcpu)
{
	if (!(vcpu->state.cr4 & X86_CR4_OSXSAVE))
		return;
	if (vcpu->xcr0 != host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
	if (vcpu->xss != host_xss)
		wrmsrl(MSR_IA32_XSS, vcpu->xss);
}

static void load_host_xstate(struct mhv_vcpu *vcpu)
{
	if (!(vcpu->state.cr4 & X86_CR4_OSXSAVE))
		return;
	if (vcpu->xcr0 != host_xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, host_xcr0);
	if (vcpu->xss != host_xss)
		wrmsrl(MSR_IA32_XSS, host_xss);
}

/**
 * mhv_load_dr() - put breakpoints' addresses into the CPU, where none is on
 * @dr: DR0 to DR3
 *
 * Context: interrupts off, about to enter the guest, or back from it.
 */
void mhv_load_dr(const u64 *dr)
{
	set_debugreg(0, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

static const u64 no_dr[4];

/**
 * mhv_read_dr() - the breakpoints' addresses that a guest has left in the CPU
 * @dr: result: DR0 to DR3
 *
 * They go from there: DR6 of the next guest's traps would tell of them.
 *
 * Context: interrupts off, after an exit.
 */
void mhv_read_dr(u64 *dr)
{
	unsigned long val[4];
	unsigned int i;

	get_debugreg(val[0], 0);
	get_debugreg(val[1], 1);
	get_debugreg(val[2], 2);
	get_debugreg(val[3], 3);
	for (i = 0; i < ARRAY_SIZE(val); i++)
		dr[i] = val[i];
	mhv_load_dr(no_dr);
}

static noinline void load_guest_dr(struct mhv_vcpu *vcpu)
{
	mhv_load_dr(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP ? vcpu->debug_dr : vcpu->state.dr);
	vcpu->dr_loaded = true;
}

/* Nor are these for the next guest.  The host's, if it has any, are back since the exit. */
static noinline void forget_guest_dr(struct mhv_vcpu *vcpu)
{
	unsigned long flags;

	vcpu->dr_loaded = false;
	local_irq_save(flags);
	if (!hw_breakpoint_active())
		mhv_load_dr(no_dr);
	local_irq_restore(flags);
}

/* Which root, and is anything cached from it too old? */
static void sync_mmu(struct mhv_vcpu *vcpu)
{
	struct mhv_vm *vm = vcpu->vm;
	u64 gen = atomic64_read(&vm->tlb_gen);

	if (unlikely(vcpu->root_gen != READ_ONCE(vm->mmu.root_gen))) {
		vcpu->root_gen = READ_ONCE(vm->mmu.root_gen);
		mhv_backend->set_root(vcpu, mhv_mmu_root(vm));
	}
	if (unlikely(vcpu->tlb_gen != gen)) {
		vcpu->tlb_gen = gen;
		vcpu->stat.tlb_flushes++;
		mhv_backend->flush_tlb(vcpu);
	}
}

/**
 * mhv_host_mce() - a machine check that came while the guest ran
 *
 * The host's handler decides what it means.
 *
 * Context: interrupts off, as soon after the exit as can be.
 */
void mhv_host_mce(void)
{
	struct pt_regs regs = {
		.cs = 3,	/* as if it had come in user mode */
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
}

/* The last steps: nothing from here on can fail or be undone. */
static void enter(struct mhv_vcpu *vcpu)
{
	if (mhv_take_request(vcpu, MHV_REQ_EVENT)) {
		choose_event(vcpu);
		sync_tpr(vcpu);
	}
	sync_mmu(vcpu);
	if (unlikely(vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)) {
		mhv_state_change(vcpu, MHV_G_RIP_FLAGS);
		vcpu->state.rflags |= X86_EFLAGS_TF;
	}
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
	load_guest_xstate(vcpu);
	if (unlikely(vcpu->dr_active))
		load_guest_dr(vcpu);

	trace_mhv_entry(vcpu->id, vcpu->state.rip);
	vtime_account_guest_enter();
	static_call(mhv_backend_run)(vcpu);
	mhv_note_guest_ran();

	/* Every exit leaves DR7 with no breakpoint on, the host's included. */
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	load_host_xstate(vcpu);
}

/*
 * The last look at requests, signals and rescheduling.  vcpu->mode says
 * MHV_IN_GUEST before it: whoever comes later sees that and sends an interrupt.
 *
 * Returns: true with preemption and interrupts off; or false, and neither is.
 */
static bool may_enter(struct mhv_vcpu *vcpu)
{
	preempt_disable();
	local_irq_disable();
	smp_store_mb(vcpu->mode, MHV_IN_GUEST);	/* pairs with mhv_kick() */
	if (unlikely((vcpu->requests & ~REQ_EVENT_ONLY) || user_work_pending())) {
		vcpu->mode = MHV_OUTSIDE;
		local_irq_enable();
		preempt_enable();
		return false;
	}
	return true;
}

/* Enter the guest once and handle its exit. */
static int run_once(struct mhv_vcpu *vcpu)
{
	while (unlikely(!may_enter(vcpu))) {
		int r = serve_pending(vcpu);

		if (r != MHV_RESUME || vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
			return r;
	}
	enter(vcpu);
	/* Before the guest's memory may be unmapped under a later exit. */
	smp_store_release(&vcpu->mode, MHV_OUTSIDE);

	/* The host interrupt that caused the exit is served here, as guest time. */
	local_irq_enable();
	vcpu->stat.exits++;
	local_irq_disable();
	vtime_account_guest_exit();
	local_irq_enable();
	preempt_enable();

	if (unlikely(vcpu->hw_tpr != vcpu->shown_tpr) && vcpu->lapic) {
		vcpu->shown_tpr = vcpu->hw_tpr;
		mhv_lapic_set_tpr(vcpu, vcpu->hw_tpr);
		if (vcpu->vapic.page | vcpu->vapic.eoi_msr)
			mhv_vapic_exit(vcpu);
	}
	if (trace_mhv_exit_enabled())
		trace_exit(vcpu);
	return static_call(mhv_backend_handle_exit)(vcpu);
}

/* ---- waiting ---- */

/* Would the guest have something to do if it were not halted? */
static bool has_work(struct mhv_vcpu *vcpu)
{
	if (vcpu->lapic && mhv_lapic_has_events(vcpu))
		return true;
	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED ||
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return false;
	if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
		return true;
	if (vcpu->exception.type || vcpu->reinject.type || READ_ONCE(vcpu->pv_unhalted))
		return true;
	if ((vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued)) && nmi_allowed(vcpu))
		return true;
	return has_interrupt(vcpu) && interrupts_allowed(vcpu);
}

/* Sleep until there is work, a signal, or the VM dies. */
static void wait_for_work(struct mhv_vcpu *vcpu)
{
	/* The hidden part of the state is in memory while another vCPU runs. */
	mhv_state_need(vcpu, MHV_G_RIP_FLAGS | MHV_G_INTR);
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (has_work(vcpu) || signal_pending(current) ||
		    mhv_take_request(vcpu, MHV_REQ_UNBLOCK) ||
		    test_bit(MHV_REQ_VM_DEAD, &vcpu->requests))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

static int halted(struct mhv_vcpu *vcpu)
{
	if (!has_work(vcpu))
		wait_for_work(vcpu);
	if (test_bit(MHV_REQ_VM_DEAD, &vcpu->requests))
		return -EIO;
	if (vcpu->lapic)
		mhv_lapic_accept_events(vcpu);
	if ((vcpu->mp_state == KVM_MP_STATE_HALTED ||
	     vcpu->mp_state == KVM_MP_STATE_AP_RESET_HOLD) && has_work(vcpu)) {
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		WRITE_ONCE(vcpu->pv_unhalted, false);
		mhv_request(vcpu, MHV_REQ_EVENT);
	}
	return serve_user_work(vcpu);
}

/* A userspace irqchip asked to be told when it may inject. */
static bool wants_window(struct mhv_vcpu *vcpu)
{
	return vcpu->run->request_interrupt_window && !full_chip(vcpu) &&
	       ready_for_injection(vcpu);
}

static int run_loop(struct mhv_vcpu *vcpu)
{
	int r;

	for (;;) {
		if (likely(vcpu->mp_state == KVM_MP_STATE_RUNNABLE))
			r = run_once(vcpu);
		else
			r = halted(vcpu);
		if (r != MHV_RESUME)
			return r;
		if (unlikely(vcpu->run->request_interrupt_window) && wants_window(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			return MHV_USER;
		}
	}
}

/* ---- KVM_RUN ---- */

/* A vCPU that was never started: wait for INIT and SIPI, then say -EAGAIN. */
static int wait_for_start(struct mhv_vcpu *vcpu)
{
	if (mhv_immediate_exit(vcpu->run))
		return -EINTR;
	wait_for_work(vcpu);
	if (test_bit(MHV_REQ_VM_DEAD, &vcpu->requests))
		return -EIO;
	mhv_lapic_accept_events(vcpu);
	if (signal_pending(current))
		return signalled(vcpu);
	return -EAGAIN;
}

static int run_checked(struct mhv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int (*complete)(struct mhv_vcpu *vcpu);
	int r;

	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED)
		return wait_for_start(vcpu);
	r = mhv_sync_regs_in(vcpu);
	if (r)
		return r;
	if (!vcpu->lapic && mhv_set_cr8(vcpu, run->cr8))
		return -EINVAL;

	/* First finish what userspace has served, even on the way out again. */
	complete = vcpu->complete;
	if (complete) {
		vcpu->complete = NULL;
		r = complete(vcpu);
		if (r != MHV_RESUME)
			return r;
	}
	if (mhv_immediate_exit(run))
		return -EINTR;
	if (run->request_interrupt_window || vcpu->window)
		mhv_request(vcpu, MHV_REQ_EVENT);
	return run_loop(vcpu);
}

/* What userspace may read in kvm_run after every return, -EINTR included. */
static void fill_run(struct mhv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	mhv_state_need(vcpu, MHV_G_RIP_FLAGS);
	run->if_flag = !!(vcpu->state.rflags & X86_EFLAGS_IF);
	run->cr8 = mhv_get_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->ready_for_interrupt_injection = full_chip(vcpu) || ready_for_injection(vcpu);
	mhv_sync_regs_out(vcpu);
}

/**
 * mhv_vcpu_run() - the KVM_RUN ioctl
 * @vcpu: the vCPU
 *
 * Context: process, vcpu->mutex held; may sleep for as long as the guest runs.
 * Return: 0 with run->exit_reason filled; -EINTR (a signal, or
 * immediate_exit), -EAGAIN (woken by a SIPI), -EINVAL (unknown bits in
 * kvm_valid_regs or kvm_dirty_regs, or bad values), -EFAULT (guest memory that
 * the VMM has not mapped), -EIO (the VM is dead).
 */
int mhv_vcpu_run(struct mhv_vcpu *vcpu)
{
	int r;

	WRITE_ONCE(vcpu->task, current);
	mhv_vcpu_load(vcpu);
	/* As in sigtimedwait(): what is blocked otherwise is not discarded. */
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
	vcpu->run->flags = 0;
	vcpu->note_qs = true;
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);

	r = run_checked(vcpu);

	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
	fill_run(vcpu);
	if (vcpu->sigset_active) {
		sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
		sigemptyset(&current->real_blocked);
	}
	mhv_vcpu_put(vcpu);
	WRITE_ONCE(vcpu->task, NULL);
	vcpu->stat.user_exits++;
	trace_mhv_userspace_exit(vcpu->run->exit_reason, r);
	return r;
}

/* ---- on and off a CPU ---- */

static DEFINE_PER_CPU(struct mhv_vcpu *, loaded_vcpu);
static DEFINE_PER_CPU(void *, last_vcpu);	/* was loaded last; never dereferenced */

/**
 * mhv_loaded_vcpu() - the vCPU that is loaded by this thread
 *
 * Context: any but interrupts.
 * Return: the vCPU, or NULL.
 */
struct mhv_vcpu *mhv_loaded_vcpu(void)
{
	struct mhv_vcpu *vcpu;

	preempt_disable();
	vcpu = __this_cpu_read(loaded_vcpu);
	preempt_enable();
	return vcpu;
}

/**
 * mhv_run_forget() - a vCPU goes
 * @vcpu: the vCPU, not loaded
 *
 * A new one at the same address is another guest to put_on_cpu().
 *
 * Context: any.
 */
void mhv_run_forget(struct mhv_vcpu *vcpu)
{
	int cpu;

	for_each_possible_cpu(cpu)
		cmpxchg(per_cpu_ptr(&last_vcpu, cpu), (void *)vcpu, NULL);
}

static void put_on_cpu(struct mhv_vcpu *vcpu, int cpu)
{
	mhv_backend->vcpu_load(vcpu, cpu);
	/* What another guest has trained must not steer this one. */
	if (__this_cpu_read(last_vcpu) != vcpu) {
		__this_cpu_write(last_vcpu, vcpu);
		indirect_branch_prediction_barrier();
	}
	mhv_clock_load(vcpu, cpu);
	if (vcpu->lapic)
		mhv_lapic_load(vcpu, cpu);
	if (vcpu->steal.msr & KVM_MSR_ENABLED)
		mhv_request(vcpu, MHV_REQ_STEAL);
	WRITE_ONCE(vcpu->cpu, cpu);
	__this_cpu_write(loaded_vcpu, vcpu);
}

static void take_off_cpu(struct mhv_vcpu *vcpu)
{
	if (unlikely(vcpu->dr_loaded))
		forget_guest_dr(vcpu);
	mhv_backend->vcpu_put(vcpu);
	WRITE_ONCE(vcpu->cpu, -1);
	__this_cpu_write(loaded_vcpu, NULL);
}

static void sched_in(struct preempt_notifier *pn, int cpu)
{
	struct mhv_vcpu *vcpu = container_of(pn, struct mhv_vcpu, preempt);

	WRITE_ONCE(vcpu->preempted, false);
	vcpu->note_qs = true;
	put_on_cpu(vcpu, cpu);
}

static void sched_out(struct preempt_notifier *pn, struct task_struct *next)
{
	struct mhv_vcpu *vcpu = container_of(pn, struct mhv_vcpu, preempt);

	if (task_is_running(current)) {
		WRITE_ONCE(vcpu->preempted, true);
		if (vcpu->steal.msr & KVM_MSR_ENABLED)
			mhv_steal_preempted(vcpu);
	}
	take_off_cpu(vcpu);
}

static struct preempt_ops preempt_ops = {
	.sched_in = sched_in,
	.sched_out = sched_out,
};

/**
 * mhv_vcpu_load() - bind a vCPU to this thread and CPU
 * @vcpu: the vCPU
 *
 * Until mhv_vcpu_put() the backend's state follows the thread from CPU to CPU.
 *
 * Context: process, vcpu->mutex held.
 */
void mhv_vcpu_load(struct mhv_vcpu *vcpu)
{
	int cpu = get_cpu();

	preempt_notifier_init(&vcpu->preempt, &preempt_ops);
	preempt_notifier_register(&vcpu->preempt);
	put_on_cpu(vcpu, cpu);
	put_cpu();
}

/**
 * mhv_vcpu_put() - the reverse
 * @vcpu: the vCPU
 *
 * Context: process, vcpu->mutex held.
 */
void mhv_vcpu_put(struct mhv_vcpu *vcpu)
{
	preempt_disable();
	take_off_cpu(vcpu);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}
