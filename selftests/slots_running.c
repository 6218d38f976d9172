// SPDX-License-Identifier: GPL-2.0
/*
 * slots_running.c - a slot is made and deleted while the guest reads there: memory, MMIO, memory.
 */
#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL

static volatile u64 stop, wrong;
static volatile u64 reads;

static void reader_guest(void)
{
	sti();
	while (!stop) {
		u64 value = *(volatile u64 *)BASE;

		if (value != 0x1111 && value != 0x2222)
			wrong = value;
		reads++;
		guest_turn();
	}
	guest_done();
}

static void *slot_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	u64 *a = mem_alloc(0x1000), *b = mem_alloc(0x1000);

	*a = 0x1111;
	*b = 0x2222;
	for (int i = 0; i < 50; i++) {
		u64 before = guest_var(vcpu->vm, reads);

		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, 0x1000, i & 1 ? b : a), 0);
		while (guest_var(vcpu->vm, reads) < before + 3)
			usleep(200);
		ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, 0, NULL), 0);
	}
	guest_var(vcpu->vm, stop) = 1;
	return NULL;
}

/* A slot that comes and goes: meanwhile the reads are MMIO, which we answer. */
TEST(slots_come_and_go)
{
	struct vcpu *vcpu = guest_new(reader_guest);
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, slot_thread, vcpu), 0);
	while (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
		EXPECT_EQ(vcpu->run->mmio.phys_addr, BASE);
		EXPECT_EQ(vcpu->run->mmio.is_write, 0);
		*(u64 *)vcpu->run->mmio.data = 0x1111;
	}
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_IO);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	EXPECT_EQ(guest_var(vcpu->vm, wrong), 0);
}
