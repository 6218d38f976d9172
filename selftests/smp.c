// SPDX-License-Identifier: GPL-2.0
/*
 * smp.c - INIT and SIPI bring vCPUs up from real mode: 2, 4 and 8 of them, and the state that
 * they start with; work shared by locked instructions; wake-up by IPI out of HLT.
 */
#include "guest.h"
#include "vm.h"

static volatile u32 up, go, sum, awake, cpus;

static void on_ipi(struct isr_frame *frame)
{
	(void)frame;
	apic_write(APIC_EOI, 0);
}

static void ap(u32 id)
{
	apic_enable();
	GUEST_EXPECT_EQ(apic_read(APIC_ID), id << 24);
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	/* Asleep until the BSP says so; an IPI that comes before HLT must wake it all the same. */
	while (!go)
		sti_hlt();
	for (int i = 0; i < 1000; i++)
		__atomic_add_fetch(&sum, id, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
	guest_done();
}

static void init_sipi(u32 dest, u32 shorthand)
{
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, shorthand | 0x4500);		/* INIT */
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, shorthand | 0x4600 | AP_TRAMPOLINE >> 12);
}

static void bsp(void)
{
	u32 want = 0;

	isr_table[0x40] = on_ipi;
	apic_enable();
	ap_main = ap;
	for (u32 id = 1; id < cpus; id++) {
		init_sipi(id, 0);
		/* One after the other, and a second SIPI is ignored. */
		GUEST_WAIT(up == id);
		apic_write(APIC_ICR, 0x4600 | AP_TRAMPOLINE >> 12);
		want += id * 1000;
	}
	go = 1;
	apic_write(APIC_ICR, 0xc4000 | 0x40);
	GUEST_WAIT(awake == cpus - 1);
	GUEST_EXPECT_EQ(sum, want);
	guest_done();
}

static void run(int count)
{
	struct vm *vm = vm_new_irqchip();

	for (int i = 0; i < count; i++)
		vcpu_cpuid(vcpu_new(vm, i));
	vcpu_long(&vm->vcpu[0], bsp, 0);
	guest_var(vm, cpus) = count;
	for (int i = 0; i < count; i++)
		vcpu_start(&vm->vcpu[i]);
	for (int i = 0; i < count; i++)
		vcpu_join(&vm->vcpu[i]);
}

TEST(two)
{
	run(2);
}

TEST(four)
{
	run(4);
}

TEST(eight)
{
	run(8);
}

static void all_at_once(void)
{
	apic_enable();
	ap_main = ap;
	init_sipi(0, 0xc0000);
	GUEST_WAIT(up == cpus - 1);
	isr_table[0x40] = on_ipi;
	go = 1;
	apic_write(APIC_ICR, 0xc4000 | 0x40);
	GUEST_WAIT(awake == cpus - 1);
	guest_done();
}

TEST(broadcast_to_four)
{
	struct vm *vm = vm_new_irqchip();

	for (int i = 0; i < 4; i++)
		vcpu_cpuid(vcpu_new(vm, i));
	vcpu_long(&vm->vcpu[0], all_at_once, 0);
	guest_var(vm, cpus) = 4;
	for (int i = 0; i < 4; i++)
		vcpu_start(&vm->vcpu[i]);
	for (int i = 0; i < 4; i++)
		vcpu_join(&vm->vcpu[i]);
}

/* 64 vCPUs, of which the last one is started: its thread is the only other one. */
static void last_ap(u32 id)
{
	GUEST_EXPECT_EQ(id, 63);
	up = 63;
	guest_done();
}

static void start_last(void)
{
	apic_enable();
	ap_main = last_ap;
	init_sipi(63, 0);
	GUEST_WAIT(up == 63);
	guest_done();
}

TEST(sixty_four)
{
	struct vm *vm = vm_new_irqchip();

	for (int i = 0; i < 64; i++)
		vcpu_cpuid(vcpu_new(vm, i));
	vcpu_long(&vm->vcpu[0], start_last, 0);
	vcpu_start(&vm->vcpu[63]);
	vcpu_start(&vm->vcpu[0]);
	vcpu_join(&vm->vcpu[0]);
	vcpu_join(&vm->vcpu[63]);
}

/* An INIT takes a running AP back to the wait for SIPI; its registers are those of reset. */
static void reset_me(u32 id)
{
	(void)id;
	__atomic_add_fetch(&up, 1, __ATOMIC_SEQ_CST);
	if (up == 2)
		guest_done();
	for (;;)
		cpu_pause();
}

static void init_guest(void)
{
	apic_enable();
	ap_main = reset_me;
	init_sipi(1, 0);
	GUEST_WAIT(up == 1);
	init_sipi(1, 0);
	GUEST_WAIT(up == 2);
	guest_done();
}

TEST(init_of_a_running_one)
{
	struct vm *vm = vm_new_irqchip();
	struct kvm_sregs sregs;

	for (int i = 0; i < 2; i++)
		vcpu_cpuid(vcpu_new(vm, i));
	vcpu_long(&vm->vcpu[0], init_guest, 0);
	vcpu_start(&vm->vcpu[0]);
	vcpu_start(&vm->vcpu[1]);
	vcpu_join(&vm->vcpu[0]);
	vcpu_join(&vm->vcpu[1]);
	vcpu_get_sregs(&vm->vcpu[1], &sregs);
	EXPECT_EQ(sregs.cs.selector, GUEST_CS64);
	EXPECT_EQ(sregs.cr0, 0x80010033);
}
