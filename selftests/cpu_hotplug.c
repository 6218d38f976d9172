// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_hotplug.c - a CPU goes and comes back, again and again, while guests run on it: they go on,
 * and a CPU that came back runs guests.
 */
#include <sched.h>
#include <stdio.h>

#include "guest.h"
#include "vm.h"

#define CPU	1
#define ROUNDS	6

static volatile u64 counter[2], stop;

static void guest(u64 me)
{
	u64 tsc, last = 0;

	while (!stop) {
		counter[me]++;
		tsc = guest_cpuid(0, 0).a;	/* an exit */
		GUEST_EXPECT(tsc);
		last += tsc;
	}
	guest_done();
}

static int set_online(int on)
{
	char path[64];
	FILE *file;
	int r;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", CPU);
	file = fopen(path, "w");
	if (!file)
		return -1;
	fprintf(file, "%d", on);
	r = fclose(file);
	return r;
}

static void expect_progress(struct vm *vm)
{
	for (int i = 0; i < 2; i++) {
		u64 before = guest_var(vm, counter[i]);

		for (int j = 0; guest_var(vm, counter[i]) == before && j < 5000; j++)
			usleep(1000);
		EXPECT_TRUE(guest_var(vm, counter[i]) != before);
	}
}

static void own(u64 me)
{
	guest_sync(me + 1);
}

TEST(off_and_on_under_guests)
{
	struct vm *vm;
	cpu_set_t set;

	if (set_online(1))
		test_skip("cpu%d cannot be switched", CPU);
	vm = vm_new();
	for (int i = 0; i < 2; i++) {
		vcpu_cpuid(vcpu_new(vm, i));
		vcpu_long(&vm->vcpu[i], guest, i);
		vcpu_start(&vm->vcpu[i]);
	}
	expect_progress(vm);
	for (int i = 0; i < ROUNDS; i++) {
		EXPECT_RET(set_online(0), 0);
		expect_progress(vm);
		EXPECT_RET(set_online(1), 0);
		expect_progress(vm);
	}
	/* On the very CPU. */
	CPU_ZERO(&set);
	CPU_SET(CPU, &set);
	ASSERT_RET(sched_setaffinity(0, sizeof(set), &set), 0);
	{
		struct vm *other = vm_new();

		vcpu_cpuid(vcpu_new(other, 0));
		vcpu_long(&other->vcpu[0], own, 6);
		EXPECT_EQ(run_sync(&other->vcpu[0]), 7);
		vm_free(other);
	}
	guest_var(vm, stop) = 1;
	for (int i = 0; i < 2; i++)
		vcpu_join(&vm->vcpu[i]);
}
