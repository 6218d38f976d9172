// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest that knows it is one can ask for: stolen time, the flush of the TLB of a vCPU that
 * does not run, to wake one that has halted; hypercalls, whichever vendor's instruction it uses.
 * Entered from its MSR, hypercalls, the run loop's request, and when a vCPU leaves its CPU.
 * vcpu->mutex; the vCPU's thread writes the guest's page.
 * Linux, Documentation/virt/kvm/x86/msr.rst: MSR_KVM_STEAL_TIME; hypercalls.rst: KVM_HC_KICK_CPU.
 */
#include <linux/kvm_para.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>

#include "backend.h"
#include "compat.h"

#define STEAL_RESERVED	GENMASK_ULL(5, 1)
#define STEAL_TRIES	8	/* before the run loop looks at what else there is */

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
	unsigned int i;
	int r = -EAGAIN;

	for (i = 0; r == -EAGAIN && i < STEAL_TRIES; i++)
		r = mhv_gmem_cmpxchg(vcpu->vm, gpa, &old, &new, sizeof(old));
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

/* ---- hypercalls ---- */

/*
 * The thread in KVM_RUN on a vCPU, with a reference.  It cannot exit before it
 * has cleared vcpu->task, and what it is stays for an RCU grace period more.
 */
static struct task_struct *vcpu_task(struct mhv_vcpu *vcpu)
{
	struct task_struct *task;

	rcu_read_lock();
	task = READ_ONCE(vcpu->task);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	return task;
}

/**
 * mhv_yield_to() - give this CPU's time to a vCPU that the scheduler took off its own
 * @vcpu: the vCPU; not the caller's
 *
 * Context: a vCPU's thread; may sleep.
 * Return: true if there was somebody to give it to.
 */
bool mhv_yield_to(struct mhv_vcpu *vcpu)
{
	struct task_struct *task = READ_ONCE(vcpu->preempted) ? vcpu_task(vcpu) : NULL;

	if (!task)
		return false;
	yield_to(task, true);
	put_task_struct(task);
	return true;
}

static struct mhv_vcpu *vcpu_of(struct mhv_vm *vm, u64 apic_id)
{
	if (apic_id >= MHV_MAX_VCPU_ID)
		return NULL;
	return READ_ONCE(vm->vcpu_by_id[array_index_nospec(apic_id, MHV_MAX_VCPU_ID)]);
}

/* The guest has work for another vCPU that does not run: this CPU is better used for that. */
static u64 hc_sched_yield(struct mhv_vcpu *vcpu, u64 apic_id)
{
	struct mhv_vcpu *other = vcpu_of(vcpu->vm, apic_id);

	if (other && other != vcpu)
		mhv_yield_to(other);
	return 0;
}

/*
 * Wake a vCPU out of HLT, or have it not fall asleep.  It has something to do: let it have this CPU
 * if it has none.
 */
static u64 hc_kick(struct mhv_vcpu *vcpu, u64 apic_id)
{
	struct mhv_vcpu *other = vcpu_of(vcpu->vm, apic_id);

	if (other) {
		WRITE_ONCE(other->pv_unhalted, true);
		mhv_kick(other);	/* a full barrier comes first: see wait_for_work() */
	}
	return hc_sched_yield(vcpu, apic_id);
}

/**
 * mhv_pv_allows() - may the guest use a paravirtual feature?
 * @vcpu: the vCPU
 * @feature: KVM_FEATURE_*
 *
 * Whether CPUID tells of it matters only if userspace said so, by
 * KVM_CAP_ENFORCE_PV_FEATURE_CPUID.
 */
bool mhv_pv_allows(struct mhv_vcpu *vcpu, unsigned int feature)
{
	return !vcpu->pv_enforced || vcpu->pv_features & BIT(feature);
}

/**
 * mhv_hypercall() - serve a hypercall
 * @vcpu: the vCPU; number in RAX, result to RAX
 *
 * KVM's numbers and results, for what its PV leaf of CPUID offers here.
 */
void mhv_hypercall(struct mhv_vcpu *vcpu)
{
	bool long_mode = mhv_is_64bit_mode(vcpu);
	u64 nr = mhv_gpr(vcpu, MHV_RAX);
	u64 ret;

	vcpu->stat.hypercalls++;
	if (!long_mode)
		nr = (u32)nr;
	if (mhv_cpl(vcpu))
		ret = -KVM_EPERM;
	else if (nr == KVM_HC_VAPIC_POLL_IRQ)
		ret = 0;	/* the exit itself was the poll */
	else if (nr == KVM_HC_SCHED_YIELD && mhv_pv_allows(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
		ret = hc_sched_yield(vcpu, mhv_gpr(vcpu, MHV_RBX));
	else if (nr == KVM_HC_KICK_CPU && vcpu->lapic &&
		 mhv_pv_allows(vcpu, KVM_FEATURE_PV_UNHALT))
		ret = hc_kick(vcpu, mhv_gpr(vcpu, MHV_RCX));
	else if (nr == KVM_HC_SEND_IPI && vcpu->lapic &&
		 mhv_pv_allows(vcpu, KVM_FEATURE_PV_SEND_IPI))
		ret = mhv_lapic_pv_ipi(vcpu->vm, mhv_gpr(vcpu, MHV_RBX), mhv_gpr(vcpu, MHV_RCX),
				       mhv_gpr(vcpu, MHV_RDX), mhv_gpr(vcpu, MHV_RSI), long_mode);
	else
		ret = -KVM_ENOSYS;
	mhv_set_gpr(vcpu, MHV_RAX, long_mode ? ret : (u32)ret);
}

static int complete_hypercall(struct mhv_vcpu *vcpu)
{
	u64 ret = vcpu->run->hypercall.ret;

	if (mhv_rip(vcpu) != vcpu->pio.rip)
		return MHV_RESUME;
	mhv_set_gpr(vcpu, MHV_RAX, mhv_is_64bit_mode(vcpu) ? ret : (u32)ret);
	return mhv_skip(vcpu, vcpu->pio.next_rip);
}

/* The guest tells which of its memory is shared with the host: userspace's matter. */
static int map_gpa_range(struct mhv_vcpu *vcpu, u64 next)
{
	bool long_mode = mhv_is_64bit_mode(vcpu);
	u64 mask = long_mode ? ~0ULL : U32_MAX;
	u64 gpa = mhv_gpr(vcpu, MHV_RBX) & mask, n = mhv_gpr(vcpu, MHV_RCX) & mask;
	struct kvm_run *run = vcpu->run;

	if (!PAGE_ALIGNED(gpa) || !n || (gpa >> PAGE_SHIFT) + n <= gpa >> PAGE_SHIFT) {
		mhv_set_gpr(vcpu, MHV_RAX, (u64)-KVM_EINVAL & mask);
		return mhv_skip(vcpu, next);
	}
	run->exit_reason = KVM_EXIT_HYPERCALL;
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = n;
	run->hypercall.args[2] = mhv_gpr(vcpu, MHV_RDX) & mask;
	mhv_hypercall_long_mode(run, long_mode);
	vcpu->pio.rip = mhv_rip(vcpu);
	vcpu->pio.next_rip = next;
	vcpu->complete = complete_hypercall;
	return MHV_USER;
}

/**
 * mhv_hypercall_at() - serve the hypercall that the guest is at
 * @vcpu: the vCPU
 * @next: where its instruction ends
 *
 * Context: the vCPU's thread, may sleep.
 * Return: MHV_RESUME, or MHV_USER for one that userspace wants to see.
 */
int mhv_hypercall_at(struct mhv_vcpu *vcpu, u64 next)
{
	u64 nr = mhv_gpr(vcpu, MHV_RAX);

	if (!mhv_is_64bit_mode(vcpu))
		nr = (u32)nr;
	if (unlikely(nr == KVM_HC_MAP_GPA_RANGE) && !mhv_cpl(vcpu) &&
	    READ_ONCE(vcpu->vm->exit_hypercalls) & BIT(KVM_HC_MAP_GPA_RANGE))
		return map_gpa_range(vcpu, next);
	mhv_hypercall(vcpu);
	return mhv_skip(vcpu, next);
}

/**
 * mhv_exit_hypercall() - VMMCALL or VMCALL, whichever the CPU has
 * @vcpu: the vCPU
 */
int mhv_exit_hypercall(struct mhv_vcpu *vcpu)
{
	u64 next;

	if (!static_call(mhv_backend_next_rip)(vcpu, &next))
		return MHV_RESUME;
	return mhv_hypercall_at(vcpu, next);
}

/* How VMCALL (0f 01 c1) and VMMCALL (0f 01 d9) differ. */
#define VMCALL_BYTE	0xc1
#define VMMCALL_BYTE	0xd9

/*
 * Have the guest execute what its CPU knows, from the next time on.  Where it
 * may not write its code, each one faults as this one did.
 */
static void patch_hypercall(struct mhv_vcpu *vcpu, u64 linear, const u8 *bytes)
{
	u32 access = MHV_ACC_WRITE | (mhv_cpl(vcpu) == 3 ? MHV_ACC_USER : 0);
	u8 other = bytes[2] ^ VMCALL_BYTE ^ VMMCALL_BYTE;
	struct mhv_walk walk;
	u64 last = linear + 2;

	if (!mhv_is_64bit_mode(vcpu))
		last = (u32)last;
	/* The whole of it is written, as far as page tables are concerned. */
	if (!mhv_walk(vcpu, linear, access, &walk) && !mhv_walk(vcpu, last, access, &walk))
		mhv_gmem_write(vcpu->vm, walk.gpa, &other, 1);
}

static bool in_protected_mode(struct mhv_vcpu *vcpu)
{
	mhv_state_need(vcpu, MHV_G_CR);
	return vcpu->state.cr0 & X86_CR0_PE && !(vcpu->state.rflags & X86_EFLAGS_VM);
}

/**
 * mhv_foreign_hypercall() - is the guest at the other vendor's hypercall?
 * @vcpu: the vCPU, which took a #UD
 *
 * VMCALL on a CPU whose hypercall is VMMCALL, and the reverse, are #UD.  A
 * guest may have been moved here from the other kind: it is served, and its
 * code patched. As KVM has it, VMCALL outside of privilege level 0 is #GP(0),
 * and VMMCALL outside of protected mode stays the #UD that the CPU made it.
 *
 * Context: the vCPU's thread, may sleep.
 * Return: 3, its length, if it is to be served; 0 if it is another instruction;
 * -EPERM if #GP is pending.
 */
int mhv_foreign_hypercall(struct mhv_vcpu *vcpu)
{
	struct mhv_walk walk;
	u8 bytes[3];
	int r = 0;
	u64 linear;
	int idx;

	mhv_state_need(vcpu, MHV_G_SEG);
	linear = vcpu->state.rip;
	if (!mhv_is_64bit_mode(vcpu))
		linear = (u32)(linear + vcpu->state.seg[MHV_CS].base);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (mhv_fetch(vcpu, linear, bytes, sizeof(bytes), &walk) == sizeof(bytes) &&
	    bytes[0] == 0x0f && bytes[1] == 0x01 &&
	    (bytes[2] == VMCALL_BYTE || bytes[2] == VMMCALL_BYTE)) {
		if (mhv_cpl(vcpu) && bytes[2] == VMCALL_BYTE) {
			mhv_queue_exception_e(vcpu, X86_TRAP_GP, 0);
			r = -EPERM;
		} else if (bytes[2] == VMMCALL_BYTE && !in_protected_mode(vcpu)) {
			r = 0;
		} else if (!(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)) {
			patch_hypercall(vcpu, linear, bytes);
			r = sizeof(bytes);
		}
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}
