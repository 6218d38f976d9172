// SPDX-License-Identifier: GPL-2.0
/*
 * vm_many.c - many VMs: a hundred at once, each with its own memory, and a thousand in turn,
 * after which the fds are gone.
 */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

/* Real mode at 0x1000: reads the word at 0x2000, adds what it was told, writes it back. */
GUEST_ASM(code, 16,
	  "mov $0x10, %dx\n 1: in (%dx), %ax\n add %ax, 0x2000\n mov 0x2000, %ax\n out %ax, (%dx)\n"
	  "jmp 1b");

struct small {
	int vm, vcpu;
	u8 *mem;
	struct kvm_run *run;
};

static void make(struct small *s, int dev)
{
	struct kvm_userspace_memory_region region = { .memory_size = 0x4000 };
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;

	s->vm = xioctl(dev, KVM_CREATE_VM, 0);
	s->mem = mem_alloc(0x4000);
	memcpy(s->mem + 0x1000, code, code_end - code);
	region.userspace_addr = (uintptr_t)s->mem;
	xioctl(s->vm, KVM_SET_USER_MEMORY_REGION, &region);
	s->vcpu = xioctl(s->vm, KVM_CREATE_VCPU, 0);
	s->run = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, s->vcpu, 0);
	ASSERT_TRUE(s->run != MAP_FAILED);
	xioctl(s->vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	xioctl(s->vcpu, KVM_SET_SREGS, &sregs);
	xioctl(s->vcpu, KVM_SET_REGS, &regs);
	xioctl(s->vcpu, KVM_RUN, 0);
}

/* Give it a number, and read the sum that it has so far. */
static u16 add(struct small *s, u16 number)
{
	u16 *data = (u16 *)((u8 *)s->run + 4096);

	ASSERT_EQ(s->run->exit_reason, KVM_EXIT_IO);
	ASSERT_EQ(s->run->io.direction, KVM_EXIT_IO_IN);
	*data = number;
	xioctl(s->vcpu, KVM_RUN, 0);
	ASSERT_EQ(s->run->io.direction, KVM_EXIT_IO_OUT);
	number = *data;
	xioctl(s->vcpu, KVM_RUN, 0);
	return number;
}

static void end(struct small *s)
{
	munmap(s->run, 12288);
	close(s->vcpu);
	close(s->vm);
	munmap(s->mem, 0x4000);
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	ASSERT_TRUE(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

TEST(a_hundred_at_once)
{
	static struct small vms[100];
	int dev = dev_open();

	for (int i = 0; i < 100; i++)
		make(&vms[i], dev);
	for (int round = 1; round <= 3; round++)
		for (int i = 0; i < 100; i++)
			EXPECT_EQ(add(&vms[i], i + 1), round * (i + 1));
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(*(u16 *)(vms[i].mem + 0x2000), 3 * (i + 1));
		end(&vms[i]);
	}
}

TEST(a_thousand_in_turn)
{
	int dev = dev_open(), fds = open_fds();
	time_t until = time(NULL) + 25;
	struct small s;

	/* As many as there is time for, on a host that is slow to make them. */
	for (int i = 0; i < 1000 && (i < 200 || time(NULL) < until); i++) {
		make(&s, dev);
		EXPECT_EQ(add(&s, i), i);
		end(&s);
	}
	EXPECT_EQ(open_fds(), fds);
}

/* With everything: irqchip, PIT, vCPUs, slots, and nothing ever run. */
TEST(full_ones_in_turn)
{
	for (int i = 0; i < 50; i++) {
		struct vm *vm = vm_new_irqchip();
		struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

		xioctl(vm->fd, KVM_CREATE_PIT2, &pit);
		for (int id = 0; id < 4; id++)
			vcpu_cpuid(vcpu_new(vm, id));
		vm_free(vm);
	}
}

/* No fd is left for the VM or the vCPU: the error is clean, and what is there works on. */
TEST(out_of_fds)
{
	struct rlimit limit;
	struct small s;
	int dev = dev_open();

	make(&s, dev);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < 20; i++) {
		EXPECT_ERRNO(ioctl(dev, KVM_CREATE_VM, 0), EMFILE);
		EXPECT_ERRNO(ioctl(s.vm, KVM_CREATE_VCPU, 1L), EMFILE);
	}
	EXPECT_EQ(add(&s, 9), 9);
}
