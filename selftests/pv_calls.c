// SPDX-License-Identifier: GPL-2.0
/*
 * pv_calls.c - hypercalls between vCPUs: one IPI to many by a bitmap, and the kick that ends a
 * HLT with interrupts off, now or the next one.
 */
#include <linux/kvm_para.h>
#include <signal.h>

#include "guest.h"
#include "vm.h"

#define VCPUS	3

static volatile u64 got[VCPUS], up, awake, stage;

static u64 call(u64 nr, u64 a, u64 b, u64 c, u64 d)
{
	asm volatile("vmmcall" : "+a" (nr) : "b" (a), "c" (b), "d" (c), "S" (d) : "memory");
	return nr;
}

static u32 me(void)
{
	return apic_read(APIC_ID) >> 24;
}

static void on_ipi(struct isr_frame *frame)
{
	(void)frame;
	got[me()]++;
	apic_write(APIC_EOI, 0);
}

static void receiver(u64 id)
{
	(void)id;
	apic_enable();
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	while (!stage)
		sti_hlt();
	guest_done();
}

static void ipi_guest(u64 id)
{
	(void)id;
	isr_table[0x50] = on_ipi;
	apic_enable();
	GUEST_WAIT(up == VCPUS - 1);
	GUEST_EXPECT_EQ(call(KVM_HC_SEND_IPI, 6, 0, 0, 0x50), 2);
	GUEST_WAIT(got[1] == 1 && got[2] == 1);
	/* From another id on; ids that there are not count for nothing. */
	GUEST_EXPECT_EQ(call(KVM_HC_SEND_IPI, 0xffff0001ULL, ~0ULL, 2, 0x50), 1);
	GUEST_WAIT(got[2] == 2);
	GUEST_EXPECT_EQ(got[1], 1);
	GUEST_EXPECT_EQ(call(KVM_HC_SEND_IPI, ~0ULL, ~0ULL, 1000, 0x50), 0);
	GUEST_EXPECT_EQ(got[0], 0);
	stage = 1;
	call(KVM_HC_SEND_IPI, 6, 0, 0, 0x50);
	guest_done();
}

static void run_all(void *first, void *others)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm *vm = vm_new_irqchip();

	for (int i = 0; i < VCPUS; i++) {
		vcpu_cpuid(vcpu_new(vm, i));
		vcpu_long(&vm->vcpu[i], i ? others : first, i);
		xioctl(vm->vcpu[i].fd, KVM_SET_MP_STATE, &runnable);
		vcpu_start(&vm->vcpu[i]);
	}
	for (int i = 0; i < VCPUS; i++)
		vcpu_join(&vm->vcpu[i]);
}

static void need_feature(int bit)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0x40000001, 0);

	if (!e || !(e->eax & BIT(bit)))
		test_skip("no feature %d", bit);
}

TEST(ipi_to_many)
{
	need_feature(KVM_FEATURE_PV_SEND_IPI);
	run_all(ipi_guest, receiver);
}

/* KVM finds no LAPIC that its vCPU has never touched. */
static void sleeper(u64 id)
{
	apic_enable();
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	asm volatile("cli; hlt" : : : "memory");
	__atomic_add_fetch(&awake, id, __ATOMIC_SEQ_CST);
	/* Kicked once more before it halts again. */
	GUEST_WAIT(stage == 1);
	asm volatile("hlt" : : : "memory");
	__atomic_add_fetch(&awake, id, __ATOMIC_SEQ_CST);
	guest_done();
}

static void kicker(u64 id)
{
	(void)id;
	GUEST_WAIT(up == VCPUS - 1);
	for (u64 i = 1; i < VCPUS; i++)
		GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, i, 0, 0), 0);
	GUEST_WAIT(awake == 3);
	GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, 99, 0, 0), 0);
	GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, ~0ULL, 0, 0), 0);
	for (u64 i = 1; i < VCPUS; i++)
		GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, i, 0, 0), 0);
	stage = 1;
	GUEST_WAIT(awake == 6);
	guest_done();
}

static void one_kick(void)
{
	guest_sync(call(KVM_HC_KICK_CPU, 0, 1, 0, 0));
	guest_done();
}

/* Whoever saves a vCPU that has been kicked, and has not run since, finds it awake. */
TEST(kick_is_saved)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_HALTED };
	struct kvm_lapic_state lapic;
	struct vcpu *vcpu, *other;

	need_feature(KVM_FEATURE_PV_UNHALT);
	vcpu = guest_new_irqchip(one_kick);
	other = vcpu_new(vcpu->vm, 1);
	/* KVM finds no LAPIC that is not on. */
	xioctl(other->fd, KVM_GET_LAPIC, &lapic);
	lapic.regs[APIC_SPIV + 1] |= 1;
	xioctl(other->fd, KVM_SET_LAPIC, &lapic);
	xioctl(other->fd, KVM_SET_MP_STATE, &state);
	xioctl(other->fd, KVM_GET_MP_STATE, &state);
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_HALTED);
	EXPECT_EQ(run_sync(vcpu), 0);
	xioctl(other->fd, KVM_GET_MP_STATE, &state);
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_RUNNABLE);
}

static void stray_kicks(u64 id)
{
	static const u64 nobody[] = { 99, 256, 0x10000, 0x7fffffff };

	(void)id;
	for (u64 i = 0; i < ARRAY_SIZE(nobody); i++)
		GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, nobody[i], 0, 0), 0);
	guest_done();
}

/* A kick of an id that nobody has wakes nobody, the first vCPU neither. */
TEST(kick_of_nobody)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm *vm = vm_new_irqchip();
	struct kvm_lapic_state lapic;
	struct vcpu *other, *kicks;

	need_feature(KVM_FEATURE_PV_UNHALT);
	other = vcpu_new(vm, 0);
	kicks = vcpu_new(vm, 1);
	vcpu_cpuid(kicks);
	vcpu_long(kicks, stray_kicks, 1);
	xioctl(kicks->fd, KVM_SET_MP_STATE, &state);
	xioctl(other->fd, KVM_GET_LAPIC, &lapic);
	lapic.regs[APIC_SPIV + 1] |= 1;
	xioctl(other->fd, KVM_SET_LAPIC, &lapic);
	state.mp_state = KVM_MP_STATE_HALTED;
	xioctl(other->fd, KVM_SET_MP_STATE, &state);
	run_done(kicks);
	xioctl(other->fd, KVM_GET_MP_STATE, &state);
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_HALTED);
}

static void two_halts(u64 id)
{
	(void)id;
	apic_enable();
	guest_sync(1);
	asm volatile("cli; hlt" : : : "memory");
	guest_sync(2);
	asm volatile("cli; hlt" : : : "memory");
	guest_sync(3);
	guest_done();
}

static void kick_the_first(u64 id)
{
	(void)id;
	GUEST_EXPECT_EQ(call(KVM_HC_KICK_CPU, 0, 0, 0, 0), 0);
	guest_done();
}

static void nothing(int signal)
{
	(void)signal;
}

/* A kick is good for one HLT. */
TEST(one_kick_one_halt)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct sigaction action = { .sa_handler = nothing };
	struct vm *vm = vm_new_irqchip();
	struct vcpu *halts, *kicks;

	need_feature(KVM_FEATURE_PV_UNHALT);
	halts = vcpu_new(vm, 0);
	kicks = vcpu_new(vm, 1);
	vcpu_cpuid(halts);
	vcpu_cpuid(kicks);
	vcpu_long(halts, two_halts, 0);
	vcpu_long(kicks, kick_the_first, 1);
	xioctl(kicks->fd, KVM_SET_MP_STATE, &state);
	EXPECT_EQ(run_sync(halts), 1);
	run_done(kicks);
	EXPECT_EQ(run_sync(halts), 2);
	sigaction(SIGALRM, &action, NULL);
	/* It may take longer than that to get to its HLT. */
	for (int i = 0; i < 20 && state.mp_state != KVM_MP_STATE_HALTED; i++) {
		ualarm(50000, 0);
		EXPECT_ERRNO(ioctl(halts->fd, KVM_RUN, 0), EINTR);
		xioctl(halts->fd, KVM_GET_MP_STATE, &state);
	}
	EXPECT_EQ(state.mp_state, KVM_MP_STATE_HALTED);
}

TEST(kick)
{
	need_feature(KVM_FEATURE_PV_UNHALT);
	run_all(kicker, sleeper);
}
