// SPDX-License-Identifier: GPL-2.0
/*
 * pv_steal.c - stolen time: what the guest's page says of time that the vCPU's thread had to
 * wait, and of a vCPU that does not run; which values the MSR takes.
 */
#include <linux/kvm_para.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define FEATURE_STEAL_TIME	5

static struct kvm_steal_time page __attribute__((aligned(64)));

static void guest(void)
{
	volatile struct kvm_steal_time *st = &page;
	u64 value;

	GUEST_EXPECT_EQ(rdmsr(MSR_KVM_STEAL_TIME), 0);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_KVM_STEAL_TIME, (u64)&page | 3), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_KVM_STEAL_TIME, (u64)&page | 0x20), 13);
	GUEST_EXPECT_EQ(wrmsr_try(MSR_KVM_STEAL_TIME, (u64)&page | 1), 256);
	GUEST_EXPECT_EQ(rdmsr_try(MSR_KVM_STEAL_TIME, &value), 256);
	GUEST_EXPECT_EQ(value, (u64)&page | 1);
	for (;;) {
		GUEST_EXPECT_EQ(st->version & 1, 0);
		GUEST_EXPECT(st->version > 0);
		GUEST_EXPECT_EQ(st->preempted, 0);
		guest_sync(st->steal);
	}
}

static void need_steal(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0x40000001, 0);

	if (!e || !(e->eax & BIT(FEATURE_STEAL_TIME)))
		test_skip("no stolen time");
	EXPECT_EQ(dev_cap(KVM_CAP_STEAL_TIME), 1);
}

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void *spinner(void *stop)
{
	while (!*(volatile int *)stop)
		;
	return NULL;
}

/* Nanoseconds that this thread has waited for a CPU. */
static u64 waited(void)
{
	unsigned long long ran = 0, wait = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "r");

	if (!file)
		test_skip("no schedstat");
	if (fscanf(file, "%llu %llu", &ran, &wait) != 2)
		wait = 0;
	fclose(file);
	return wait;
}

TEST(waiting_is_stolen)
{
	struct vcpu *vcpu;
	volatile int stop = 0;
	u64 first, stolen, before, end;
	pthread_t thread;
	cpu_set_t set;

	need_steal();
	vcpu = guest_new(guest);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	ASSERT_RET(sched_setaffinity(0, sizeof(set), &set), 0);
	run_sync(vcpu);
	first = run_sync(vcpu);
	before = waited();
	ASSERT_EQ(pthread_create(&thread, NULL, spinner, (void *)&stop), 0);
	end = now_ms() + 500;
	while (now_ms() < end)
		run_sync(vcpu);
	stop = 1;
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	before = waited() - before;
	stolen = run_sync(vcpu) - first;
	EXPECT_TRUE(before > 10000000);
	/* All of it but what came after the last entry. */
	EXPECT_GE(stolen + 20000000, before);
	EXPECT_LE(stolen, waited());
}

static volatile u64 wrong, stop;

static void spinning_guest(void)
{
	volatile struct kvm_steal_time *st = &page;

	wrmsr(MSR_KVM_STEAL_TIME, (u64)&page | 1);
	while (!stop) {
		wrong += st->preempted;
		guest_turn();
	}
	guest_done();
}

/*
 * Other vCPUs look at the flag, which says that this one would run if it had a CPU: while a thread
 * that has taken its CPU looks, it is set. To be with userspace is not to be preempted.
 */
TEST(preempted)
{
	struct vcpu *vcpu;
	u64 end, seen = 0;
	cpu_set_t set;

	need_steal();
	vcpu = guest_new(spinning_guest);
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	ASSERT_RET(sched_setaffinity(0, sizeof(set), &set), 0);
	vcpu_start(vcpu);
	for (end = now_ms() + 1000; now_ms() < end; )
		seen += *(volatile u8 *)&guest_var(vcpu->vm, page).preempted == 1;
	EXPECT_TRUE(seen > 0);
	guest_var(vcpu->vm, stop) = 1;
	vcpu_join(vcpu);
	EXPECT_EQ(guest_var(vcpu->vm, wrong), 0);
	EXPECT_EQ(guest_var(vcpu->vm, page).preempted, 0);
}

/* Userspace restores the MSR; the sum in the page goes on. */
TEST(restored)
{
	struct vcpu *vcpu;

	need_steal();
	vcpu = guest_new(guest);
	run_sync(vcpu);
	guest_var(vcpu->vm, page).steal = 1ULL << 60;
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_STEAL_TIME, vcpu_get_msr(vcpu, MSR_KVM_STEAL_TIME)),
		  1);
	EXPECT_GE(run_sync(vcpu), 1ULL << 60);
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_STEAL_TIME, 0), 1);
	guest_var(vcpu->vm, page).steal = 77;
	guest_var(vcpu->vm, page).preempted = 0;
	EXPECT_EQ(run_sync(vcpu), 77);
	EXPECT_EQ(guest_var(vcpu->vm, page).preempted, 0);
	/* Where there is no memory nothing is told, and the guest goes on. */
	EXPECT_EQ(vcpu_set_msr(vcpu, MSR_KVM_STEAL_TIME, 0xf0000000 | 1), 1);
	EXPECT_EQ(run_sync(vcpu), 77);
}

static volatile u64 shot;

/* Reads at one address what its page table says, by the TLB if it can. */
static void flushed_guest(void)
{
	volatile u64 *p = (void *)0x140000000UL;

	wrmsr(MSR_KVM_STEAL_TIME, (u64)&page | 1);
	for (;;) {
		shot = *p;
		guest_sync(shot);
	}
}

/* Another vCPU left word that the TLB is to be flushed before this one runs again. */
TEST(flush)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 0x40000001, 0);
	struct vcpu *vcpu;
	u64 *pte;

	need_steal();
	if (!(e->eax & BIT(KVM_FEATURE_PV_TLB_FLUSH)))
		test_skip("no flush by a flag");
	vcpu = guest_new(flushed_guest);
	vm_map(vcpu->vm, 0x140000000UL, GUEST_FREE, PTE_P | PTE_W);
	pte = vm_pte(vcpu->vm, 0x140000000UL);
	*(u64 *)(vcpu->vm->ram + GUEST_FREE) = 1;
	*(u64 *)(vcpu->vm->ram + GUEST_FREE + 0x1000) = 2;
	EXPECT_EQ(run_sync(vcpu), 1);
	for (int i = 0; i < 10; i++) {
		*pte ^= 0x1000 ^ (*pte & 0x60);
		guest_var(vcpu->vm, page).preempted = KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB;
		EXPECT_EQ(run_sync(vcpu), i & 1 ? 1 : 2);
		EXPECT_EQ(guest_var(vcpu->vm, page).preempted, 0);
	}
}
