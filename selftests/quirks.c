// SPDX-License-Identifier: GPL-2.0
/*
 * quirks.c - KVM_CAP_DISABLE_QUIRKS2, and PV features that must be in CPUID to be used.
 */
#include <linux/kvm_para.h>

#include "guest.h"
#include "vm.h"

static int enable_cap(int fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap ec = { .cap = cap, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &ec);
}

static struct vm *vm_without(u64 quirks)
{
	struct vm *vm;

	if ((dev_cap(KVM_CAP_DISABLE_QUIRKS2) & quirks) != quirks)
		test_skip("no KVM_CAP_DISABLE_QUIRKS2");
	vm = vm_new_irqchip();
	ASSERT_RET(enable_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2, quirks), 0);
	return vm;
}

static struct vcpu *guest_vcpu(struct vm *vm, void (*fn)(void))
{
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, fn, 0);
	return vcpu;
}

TEST(unknown_bits)
{
	struct vm *vm = vm_without(0);

	EXPECT_ERRNO(enable_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2, 1ULL << 40), EINVAL);
	/* The capability before it took anything. */
	EXPECT_RET(enable_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS, 1ULL << 40), 0);
}

/* The instruction of the other vendor, in a function of its own, which may be written. */
static const u8 vmcall[3] = { 0x0f, 0x01, 0xc1 }, vmmcall[3] = { 0x0f, 0x01, 0xd9 };
static u8 insn[4] = { 0, 0, 0, 0xc3 };

static void hypercall_guest(void)
{
	int intel = guest_cpuid(0, 0).b == 0x756e6547;
	const u8 *other = intel ? vmmcall : vmcall;
	u64 a = 0x7fff, c = (u64)insn, d = 0;

	for (int i = 0; i < 3; i++)
		insn[i] = other[i];
	GUEST_TRY("call *%%rcx", a, c, d);
	guest_sync(guest_fault.vector);
	guest_sync(insn[2] == other[2]);
	guest_sync(a);
	guest_done();
}

TEST(hypercall_is_patched)
{
	struct vm *vm = vm_without(0);
	struct vcpu *vcpu = guest_vcpu(vm, hypercall_guest);

	EXPECT_EQ(run_sync(vcpu), 256);
	EXPECT_EQ(run_sync(vcpu), 0);
	EXPECT_EQ(run_sync(vcpu), -1000);
	run_done(vcpu);
}

TEST(hypercall_is_undefined)
{
	struct vm *vm = vm_without(KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
	struct vcpu *vcpu = guest_vcpu(vm, hypercall_guest);

	EXPECT_EQ(run_sync(vcpu), 6);
	EXPECT_EQ(run_sync(vcpu), 1);
}

static u64 line[8];

static void mwait_guest(void)
{
	u64 a = (u64)line, c = 0, d = 0;

	GUEST_TRY("monitor", a, c, d);
	guest_sync(guest_fault.vector);
	GUEST_TRY("mwait", a, c, d);
	guest_sync(guest_fault.vector);
	guest_done();
}

TEST(mwait_does_nothing)
{
	struct vcpu *vcpu = guest_vcpu(vm_without(0), mwait_guest);

	EXPECT_EQ(run_sync(vcpu), 256);
	EXPECT_EQ(run_sync(vcpu), 256);
	run_done(vcpu);
}

TEST(mwait_is_undefined)
{
	struct vcpu *vcpu = guest_vcpu(vm_without(KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS),
				       mwait_guest);

	EXPECT_EQ(run_sync(vcpu), 6);
	EXPECT_EQ(run_sync(vcpu), 6);
	run_done(vcpu);
}

static void out7e_guest(void)
{
	asm volatile(".globl out7e\nout7e: out %%al, $0x7e" : : "a" (0) : "memory");
	guest_done();
}

extern const u8 out7e[];

static u64 rip_at_7e(u64 quirks)
{
	struct vcpu *vcpu = guest_vcpu(vm_without(quirks), out7e_guest);
	struct kvm_regs regs;

	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x7e, 1, 1);
	vcpu_get_regs(vcpu, &regs);
	run_done(vcpu);
	return regs.rip - (u64)out7e;
}

TEST(rip_of_port_7e)
{
	EXPECT_EQ(rip_at_7e(0), 2);
	EXPECT_EQ(rip_at_7e(KVM_X86_QUIRK_OUT_7E_INC_RIP), 0);
}

static void pv_guest(void)
{
	u64 value, a = KVM_HC_SCHED_YIELD;

	guest_sync(rdmsr_try(MSR_KVM_SYSTEM_TIME_NEW, &value));
	guest_sync(wrmsr_try(MSR_KVM_SYSTEM_TIME, 0));
	guest_sync(rdmsr_try(MSR_KVM_WALL_CLOCK, &value));
	guest_sync(wrmsr_try(MSR_KVM_WALL_CLOCK_NEW, 0));
	if (guest_cpuid(0, 0).b == 0x756e6547)
		asm volatile("vmcall" : "+a" (a) : "b" (0), "c" (0), "d" (0), "S" (0) : "memory");
	else
		asm volatile("vmmcall" : "+a" (a) : "b" (0), "c" (0), "d" (0), "S" (0) : "memory");
	guest_sync(a);
	guest_done();
}

/* What CPUID tells of counts only if userspace says so. */
TEST(pv_features)
{
	struct kvm_cpuid2 *cpuid;
	struct vcpu *vcpu;
	struct vm *vm;

	NEED_CAP(KVM_CAP_ENFORCE_PV_FEATURE_CPUID);
	for (int enforce = 0; enforce < 2; enforce++) {
		test_context("enforced %d", enforce);
		vm = vm_new_irqchip();
		vcpu = guest_vcpu(vm, pv_guest);
		EXPECT_ERRNO(enable_cap(vcpu->fd, 0xffff, 1), EINVAL);
		ASSERT_RET(enable_cap(vcpu->fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, enforce), 0);
		cpuid = supported_cpuid();
		cpuid_entry(cpuid, KVM_CPUID_FEATURES, 0)->eax = 0;
		xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(run_sync(vcpu), enforce ? 13 : 256);
		EXPECT_EQ(run_sync(vcpu), enforce ? -KVM_ENOSYS : 0);
		run_done(vcpu);
		vm_free(vm);
	}
}
