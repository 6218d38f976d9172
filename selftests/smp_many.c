// SPDX-License-Identifier: GPL-2.0
/*
 * smp_many.c - 64 vCPUs at once, brought up by one broadcast of INIT and SIPI: an IPI to each by
 * its id and to all, by logical address in clusters, for xAPIC and for x2APIC. All but the one
 * that sends are halted; an IPI that gets lost ends the case at its time limit.
 */
#include "guest.h"
#include "vm.h"

#define CPUS		64
#define VECTOR		0x40
#define LOWEST		0x100		/* delivery modes and such, in the ICR's low half */
#define LOGICAL		0x800
#define SELF_AND_ALL	0x80000
#define ALL_BUT_SELF	0xc0000

#define CLUSTERS	15		/* xAPIC: of 4, and cluster 15 is all of them */

static volatile u32 hits[CPUS];
static volatile u32 up, switched, ended;
static volatile u32 go_x2apic, quit;

/* Not what all shall be, but what this CPU is. */
static u32 in_x2apic(void)
{
	return rdmsr(MSR_APICBASE) >> 10 & 1;
}

static void on_ipi(struct isr_frame *frame)
{
	u32 id;

	(void)frame;
	if (in_x2apic()) {
		id = x2apic_read(APIC_ID);
		x2apic_write(APIC_EOI, 0);
	} else {
		id = apic_read(APIC_ID) >> 24;
		apic_write(APIC_EOI, 0);
	}
	__atomic_add_fetch(&hits[id], 1, __ATOMIC_SEQ_CST);
}

/* xAPIC's cluster model: 4 CPUs a cluster, the last 4 CPUs in none. */
static void set_cluster(u32 id)
{
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, id / 4 < CLUSTERS ? (id / 4 << 4 | 1 << id % 4) << 24 : 0);
}

static void sleep_until(volatile u32 *flag)
{
	while (!*flag)
		sti_hlt();
}

static void ap(u32 id)
{
	apic_enable();
	set_cluster(id);
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	sleep_until(&go_x2apic);
	x2apic_enable();
	__atomic_add_fetch(&switched, 1, __ATOMIC_SEQ_CST);
	sleep_until(&quit);
	__atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
	guest_done();
}

static void send(u32 dest, u32 low)
{
	if (in_x2apic()) {
		x2apic_write(APIC_ICR, (u64)dest << 32 | low);
		return;
	}
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, low);
}

static u32 total(void)
{
	u32 sum = 0;

	for (u32 id = 0; id < CPUS; id++)
		sum += hits[id];
	return sum;
}

/*
 * Send, wait for @count hits, and see that they were those of @first, @first + @step, ...: one
 * each. The sender takes its own at once.
 */
static void expect_hits(u32 dest, u32 low, u32 first, u32 step, u32 count)
{
	for (u32 id = 0; id < CPUS; id++)
		hits[id] = 0;
	send(dest, low | VECTOR);
	sti_nop();
	GUEST_WAIT(total() >= count);
	for (u32 i = 0; i < count; i++)
		GUEST_EXPECT_EQ(hits[first + i * step], 1);
	GUEST_EXPECT_EQ(total(), count);
}

static void to_each_and_all(u32 everyone)
{
	for (u32 id = 0; id < CPUS; id++)
		expect_hits(id, 0, id, 1, 1);
	expect_hits(everyone, 0, 0, 1, CPUS);
	expect_hits(0, SELF_AND_ALL, 0, 1, CPUS);
	expect_hits(0, ALL_BUT_SELF, 1, 1, CPUS - 1);
}

/* Lowest priority: to one of the CPUs, whichever. */
static void to_any_of(u32 dest)
{
	for (u32 id = 0; id < CPUS; id++)
		hits[id] = 0;
	send(dest, LOGICAL | LOWEST | VECTOR);
	sti_nop();
	GUEST_WAIT(total());
	GUEST_EXPECT_EQ(total(), 1);
}

static void xapic_logical(void)
{
	for (u32 c = 0; c < CLUSTERS; c++) {
		expect_hits(c << 4 | 0xf, LOGICAL, 4 * c, 1, 4);
		expect_hits(c << 4 | 0xa, LOGICAL, 4 * c + 1, 2, 2);
		expect_hits(c << 4 | 0x4, LOGICAL, 4 * c + 2, 1, 1);
		to_any_of(c << 4 | 0xf);
	}
}

static void x2apic_logical(void)
{
	for (u32 c = 0; c < CPUS / 16; c++) {
		expect_hits(c << 16 | 0xffff, LOGICAL, 16 * c, 1, 16);
		expect_hits(c << 16 | 0x5555, LOGICAL, 16 * c, 2, 8);
		expect_hits(c << 16 | 0x8000, LOGICAL, 16 * c + 15, 1, 1);
		to_any_of(c << 16 | 0xffff);
	}
	expect_hits(0xffffffff, LOGICAL, 0, 1, CPUS);
}

static void bsp(void)
{
	isr_table[VECTOR] = on_ipi;
	apic_enable();
	set_cluster(0);
	ap_main = ap;
	apic_write(APIC_ICR, ALL_BUT_SELF | 0x4500);		/* INIT */
	apic_write(APIC_ICR, ALL_BUT_SELF | 0x4600 | AP_TRAMPOLINE >> 12);
	GUEST_WAIT(up == CPUS - 1);
	to_each_and_all(0xff);
	xapic_logical();

	/* All of them at the same time, each at its own pace. */
	x2apic_enable();
	go_x2apic = 1;
	send(0xffffffff, ALL_BUT_SELF | VECTOR);
	GUEST_WAIT(switched == CPUS - 1);
	to_each_and_all(0xffffffff);
	x2apic_logical();

	quit = 1;
	send(0, ALL_BUT_SELF | VECTOR);
	GUEST_WAIT(ended == CPUS - 1);
	guest_done();
}

TEST(sixty_four)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 1, 0);
	struct vm *vm;

	if (!e || !(e->ecx >> 21 & 1))
		test_skip("no x2APIC");
	vm = vm_new_irqchip();
	for (int i = 0; i < CPUS; i++)
		vcpu_cpuid(vcpu_new(vm, i));
	vcpu_long(&vm->vcpu[0], bsp, 0);
	for (int i = 0; i < CPUS; i++)
		vcpu_start(&vm->vcpu[i]);
	for (int i = 0; i < CPUS; i++)
		vcpu_join(&vm->vcpu[i]);
}
