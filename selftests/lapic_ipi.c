// SPDX-License-Identifier: GPL-2.0
/*
 * lapic_ipi.c - IPIs between four vCPUs, in xAPIC mode: physical, flat and cluster, shorthands,
 * lowest priority, NMI, and the same in x2APIC mode.
 */
#include "guest.h"
#include "vm.h"

#define CPUS	4
#define VECTOR	0x70

static volatile u32 hits[CPUS], nmis[CPUS], ready, stop, x2apic;
static volatile u32 ldr[CPUS], dfr;

static u32 my_id(void)
{
	return guest_cpuid(1, 0).b >> 24;
}

static void on_ipi(struct isr_frame *frame)
{
	(void)frame;
	hits[my_id()]++;
	if (x2apic)
		x2apic_write(APIC_EOI, 0);
	else
		apic_write(APIC_EOI, 0);
}

static void on_nmi(struct isr_frame *frame)
{
	(void)frame;
	nmis[my_id()]++;
}

static void join(u32 id)
{
	if (x2apic) {
		x2apic_enable();
	} else {
		apic_enable();
		apic_write(APIC_DFR, dfr);
		apic_write(APIC_LDR, ldr[id] << 24);
	}
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
}

static void target(u32 id)
{
	join(id);
	sti();
	while (!stop)
		cpu_pause();
	guest_done();
}

static void send(u32 dest, u32 low)
{
	if (x2apic) {
		x2apic_write(APIC_ICR, (u64)dest << 32 | low);
	} else {
		apic_write(APIC_ICR2, dest << 24);
		apic_write(APIC_ICR, low);
	}
}

/* Exactly the CPUs in @who (bits) must get one each; all that is sent arrives sooner or later. */
static void expect_ipi(u32 who, u32 dest, u32 low)
{
	u32 before[CPUS];

	for (int i = 0; i < CPUS; i++)
		before[i] = hits[i];
	send(dest, low | VECTOR);
	for (int i = 0; i < CPUS; i++)
		if (who >> i & 1)
			GUEST_WAIT(hits[i] == before[i] + 1);
	/* Another IPI to each, after the first: what was wrong has come before it. */
	send(0, 0x80000 | VECTOR);
	for (int i = 0; i < CPUS; i++)
		GUEST_WAIT(hits[i] >= before[i] + (who >> i & 1) + 1);
	for (int i = 0; i < CPUS; i++)
		GUEST_EXPECT_EQ(hits[i], before[i] + (who >> i & 1) + 1);
}

static void common(void)
{
	isr_table[VECTOR] = on_ipi;
	isr_table[2] = on_nmi;
	join(0);
	GUEST_WAIT(ready == CPUS);
	sti();
	for (u32 i = 0; i < CPUS; i++)
		expect_ipi(1 << i, i, 0);
	expect_ipi(1, 0, 0x40000);			/* self */
	expect_ipi(0xf, 0, 0x80000);			/* all */
	expect_ipi(0xe, 0, 0xc0000);			/* all but self */
	expect_ipi(0xf, x2apic ? 0xffffffff : 0xff, 0);	/* physical broadcast */
	send(3, 0x400);
	GUEST_WAIT(nmis[3] == 1);
	send(0, 0xc0400);
	GUEST_WAIT(nmis[1] == 1 && nmis[2] == 1 && nmis[3] == 2);
	GUEST_EXPECT_EQ(nmis[0], 0);
}

static void flat_guest(void)
{
	common();
	expect_ipi(0x2, 2, 0x800);
	expect_ipi(0xa, 0xa, 0x800);
	expect_ipi(0x4, 4, 0x900);			/* lowest priority, of one */
	stop = 1;
	guest_done();
}

static void cluster_guest(void)
{
	common();
	expect_ipi(0x1, 0x01, 0x800);
	expect_ipi(0x3, 0x03, 0x800);
	expect_ipi(0x8, 0x12, 0x800);
	expect_ipi(0xc, 0x1f, 0x800);
	stop = 1;
	guest_done();
}

static void x2apic_guest(void)
{
	common();
	expect_ipi(0x4, 0x4, 0x800);			/* cluster 0, by mask */
	expect_ipi(0xb, 0xb, 0x800);
	stop = 1;
	guest_done();
}

static void run(void (*fn)(void), int x2, u32 format, const u8 *logical)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct vm *vm = vm_new_irqchip();

	for (int i = 0; i < CPUS; i++) {
		struct vcpu *vcpu = vcpu_new(vm, i);

		vcpu_cpuid(vcpu);
		vcpu_long(vcpu, i ? (void *)target : (void *)fn, i);
		xioctl(vcpu->fd, KVM_SET_MP_STATE, &runnable);
		guest_var(vm, ldr)[i] = logical[i];
	}
	guest_var(vm, dfr) = format;
	guest_var(vm, x2apic) = x2;
	for (int i = 0; i < CPUS; i++)
		vcpu_start(&vm->vcpu[i]);
	for (int i = 0; i < CPUS; i++)
		vcpu_join(&vm->vcpu[i]);
}

TEST(xapic_flat)
{
	run(flat_guest, 0, 0xffffffff, (const u8 []){ 1, 2, 4, 8 });
}

TEST(xapic_cluster)
{
	run(cluster_guest, 0, 0x0fffffff, (const u8 []){ 0x01, 0x02, 0x11, 0x12 });
}

TEST(x2apic_mode)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 1, 0);

	if (!e || !(e->ecx >> 21 & 1))
		test_skip("no x2APIC");
	run(x2apic_guest, 1, 0, (const u8 []){ 0, 0, 0, 0 });
}
