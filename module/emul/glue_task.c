// SPDX-License-Identifier: GPL-2.0
/*
 * Task switches that the CPU leaves to its hypervisor.
 * Entered from a backend's exit table.
 * vcpu->mutex held; vm->srcu is taken around the switch.
 * AMD APM volume 2, "Task Switch Intercept"; Intel SDM volume 3, "Treatment of Task Switches".
 */
#include "../backend.h"
#include "glue.h"

/*
 * A fault through a task gate: the image of RFLAGS in the old task's TSS has RF set, as the one
 * on a fault handler's stack has.
 */
static bool is_fault(const struct mhv_event *ev)
{
	return ev->type == MHV_EV_EXCEPTION && ev->vector != X86_TRAP_DB;
}

/*
 * The event that came through the gate is delivered by the switch, or lost if the gate leads
 * nowhere.  But a fault of the switch makes a double fault of an exception, which stays noted.
 */
static void take_event(struct mhv_vcpu *vcpu, int r)
{
	if (r != EMUL_OK && (r != EMUL_FAULT || vcpu->reinject.type == MHV_EV_EXCEPTION))
		return;
	if (vcpu->reinject.type == MHV_EV_NMI) {
		mhv_state_change(vcpu, MHV_G_INTR);
		vcpu->state.nmi_masked = true;
	}
	vcpu->reinject.type = MHV_EV_NONE;
}

/**
 * mhv_exit_task_switch() - the guest switches tasks
 * @vcpu: the vCPU; what is being delivered through a task gate is in vcpu->reinject
 * @exit: to which, and why
 *
 * Protected mode only; in long mode there are no tasks to switch.
 *
 * Context: process, may sleep, vm->srcu not held.
 * Return: MHV_RESUME; MHV_USER with KVM_EXIT_INTERNAL_ERROR if a TSS or a descriptor table is not
 * in memory.
 */
int mhv_exit_task_switch(struct mhv_vcpu *vcpu, const struct mhv_task_exit *exit)
{
	const struct mhv_event *ev = &vcpu->reinject;
	struct emul_task task = {
		.reason = exit->reason,
		.sel = exit->selector,
		.has_error = exit->has_error,
		.error_code = exit->error,
		.external = exit->reason == MHV_TASK_GATE && !exit->skip,
	};
	u64 next = mhv_rip(vcpu);
	int r;

	if (exit->skip && !static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	if (exit->reason == MHV_TASK_GATE && is_fault(ev)) {
		mhv_state_change(vcpu, MHV_G_RIP_FLAGS);
		vcpu->state.rflags |= X86_EFLAGS_RF;
	}
	r = glue_switch_task(vcpu->emul, &task, next);
	if (r == EMUL_UNHANDLEABLE)
		return mhv_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, 0, NULL);
	if (exit->reason == MHV_TASK_GATE)
		take_event(vcpu, r);
	return glue_finish(vcpu->emul, r);
}
