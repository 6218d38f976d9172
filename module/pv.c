// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest that knows it is one can ask for: stolen time, the flush of the TLB of a vCPU that
 * does not run, and to wake one that has halted.
 * Entered from its MSR, hypercalls, the run loop's request, and when a vCPU leaves its CPU.
 * vcpu->mutex; the vCPU's thread writes the guest's page.
 * Linux, Documentation/virt/kvm/x86/msr.rst: MSR_KVM_STEAL_TIME; hypercalls.rst: KVM_HC_KICK_CPU.
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "backend.h"

#define STEAL_RESERVED	GENMASK_ULL(5, 1)

static gpa_t steal_gpa(const struct mhv_vcpu *vcpu)
{
	return vcpu->steal.msr & ~(STEAL_RESERVED | KVM_MSR_ENABLED);
}

/**
 * mhv_steal_set() - MSR_KVM_STEAL_TIME is written
 * @vcpu: the vCPU
 * @val: guest-physical address of a struct kvm_steal_time; bit 0 enables
 *
 * Context: vcpu->mutex held.
 * Return: 0, or 1: #GP, for a reserved bit or where the host does not know.
 */
int mhv_steal_set(struct mhv_vcpu *vcpu, u64 val)
{
	if (!sched_info_on() || val & STEAL_RESERVED)
		return 1;
	vcpu->steal.msr = val;
	vcpu->steal.shown_preempted = false;
	if (val & KVM_MSR_ENABLED)
		mhv_request(vcpu, MHV_REQ_STEAL);
	return 0;
}

/* How long this thread was ready to run, and did not, since the last time. */
static u64 stolen_since(struct mhv_vcpu *vcpu)
{
	u64 now = current->sched_info.run_delay, since = 0;

	/* Of another thread's past nothing was stolen from this vCPU. */
	if (vcpu->steal.thread == task_pid_nr(current))
		since = now - vcpu->steal.last;
	vcpu->steal.thread = task_pid_nr(current);
	vcpu->steal.last = now;
	return since;
}

/*
 * It runs again. Meanwhile another vCPU may have left word that its TLB is to
 * be flushed, instead of sending an IPI. Returns 0 or -errno.
 */
static int not_preempted(struct mhv_vcpu *vcpu)
{
	gpa_t gpa = steal_gpa(vcpu) + offsetof(struct kvm_steal_time, preempted);
	u8 old = KVM_VCPU_PREEMPTED, new = 0;
	int r;

	do {
		r = mhv_gmem_cmpxchg(vcpu->vm, gpa, &old, &new, sizeof(old));
	} while (r == -EAGAIN && !signal_pending(current));
	if (r == -EAGAIN)
		mhv_request(vcpu, MHV_REQ_STEAL);	/* a guest that writes and writes */
	if (r)
		return r;
	vcpu->steal.shown_preempted = false;
	if (old & KVM_VCPU_FLUSH_TLB && mhv_pv_allows(vcpu, KVM_FEATURE_PV_TLB_FLUSH)) {
		vcpu->stat.tlb_flushes++;
		mhv_backend->flush_tlb(vcpu);
	}
	return 0;
}

/**
 * mhv_steal_update() - tell the guest what was stolen: MHV_REQ_STEAL
 * @vcpu: the vCPU
 *
 * The version is odd while the rest is written.
 *
 * Context: vcpu->mutex held; may sleep.
 */
void mhv_steal_update(struct mhv_vcpu *vcpu)
{
	gpa_t gpa = steal_gpa(vcpu);
	struct mhv_vm *vm = vcpu->vm;
	struct kvm_steal_time st;
	int idx;

	if (!(vcpu->steal.msr & KVM_MSR_ENABLED))
		return;
	idx = srcu_read_lock(&vm->srcu);
	if (not_preempted(vcpu) || mhv_gmem_read(vm, gpa, &st, sizeof(st)))
		goto out;
	st.version = (st.version + 1) | 1;
	if (mhv_gmem_write(vm, gpa + offsetof(struct kvm_steal_time, version), &st.version,
			   sizeof(st.version)))
		goto out;
	smp_wmb();	/* pairs with the guest's reading of version, data, version */
	st.steal += stolen_since(vcpu);
	mhv_gmem_write(vm, gpa, &st.steal, sizeof(st.steal));
	smp_wmb();	/* pairs with the same */
	st.version++;
	mhv_gmem_write(vm, gpa + offsetof(struct kvm_steal_time, version), &st.version,
		       sizeof(st.version));
out:
	srcu_read_unlock(&vm->srcu, idx);
}

/**
 * mhv_steal_preempted() - tell other vCPUs that this one would run if it could
 * @vcpu: the vCPU, whose CPU is taken from it
 *
 * Context: the vCPU's thread, in the scheduler: does not sleep.
 */
void mhv_steal_preempted(struct mhv_vcpu *vcpu)
{
	gpa_t gpa = steal_gpa(vcpu) + offsetof(struct kvm_steal_time, preempted);
	const u8 preempted = KVM_VCPU_PREEMPTED;
	int idx;

	if (vcpu->steal.shown_preempted)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (!mhv_gmem_write_nofault(vcpu->vm, gpa, &preempted, sizeof(preempted)))
		vcpu->steal.shown_preempted = true;
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

/**
 * mhv_pv_kick() - KVM_HC_KICK_CPU: wake a vCPU out of HLT, or have it not fall asleep
 * @vm: the VM, whose vCPUs have LAPICs in the kernel
 * @apic_id: whose
 *
 * Context: any.
 */
void mhv_pv_kick(struct mhv_vm *vm, u64 apic_id)
{
	struct mhv_vcpu *vcpu;

	if (apic_id >= MHV_MAX_VCPU_ID)
		return;
	vcpu = READ_ONCE(vm->vcpu_by_id[array_index_nospec(apic_id, MHV_MAX_VCPU_ID)]);
	if (!vcpu)
		return;
	WRITE_ONCE(vcpu->pv_unhalted, true);
	mhv_kick(vcpu);		/* a full barrier comes first: see wait_for_work() */
}
