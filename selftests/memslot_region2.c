// SPDX-License-Identifier: GPL-2.0
/*
 * memslot_region2.c - KVM_SET_USER_MEMORY_REGION2, which newer clients use: a slot made by either
 * form is the same slot; a flag that is not for an ordinary VM's memory is refused.
 */
#include "guest.h"
#include "vm.h"

/* As <linux/kvm.h> has it since 6.8. */
struct region2 {
	u32 slot, flags;
	u64 gpa, size, hva;
	u64 memfd_offset;
	u32 memfd, pad1;
	u64 pad2[14];
};

#define CAP_USER_MEMORY2	231
#define SET_REGION2		_IOW(KVMIO, 0x49, struct region2)

#define MB	0x100000ULL
#define GPA	(32 * MB)

static void guest(void)
{
	volatile u64 *p = (u64 *)GPA;

	guest_sync(*p);
	*p = 2;
	guest_sync(*p);
	guest_done();
}

static int set(struct vm *vm, u32 flags, u64 size, void *hva)
{
	struct region2 region = {
		.slot = 3, .flags = flags, .gpa = GPA, .size = size, .hva = (uintptr_t)hva,
		/* Not looked at without the flag. */
		.memfd = 0xffffffff, .memfd_offset = 1,
	};

	return ioctl(vm->fd, SET_REGION2, &region);
}

TEST(same_slot)
{
	struct vcpu *vcpu;
	u64 *mem = mem_alloc(MB);

	need_cap(CAP_USER_MEMORY2, "KVM_CAP_USER_MEMORY2");
	vcpu = guest_new(guest);
	mem[0] = 1;
	EXPECT_RET(set(vcpu->vm, 0, MB, mem), 0);
	EXPECT_EQ(run_sync(vcpu), 1);
	EXPECT_EQ(run_sync(vcpu), 2);
	EXPECT_EQ(mem[0], 2);
	EXPECT_ERRNO(vm_slot(vcpu->vm, 4, 0, GPA, MB, mem), EEXIST);
	EXPECT_RET(vm_slot(vcpu->vm, 3, 0, GPA, 0, mem), 0);
	EXPECT_ERRNO(set(vcpu->vm, 0, 0, mem), EINVAL);
	run_done(vcpu);
}

TEST(refused)
{
	struct vm *vm;
	u64 *mem = mem_alloc(MB);

	need_cap(CAP_USER_MEMORY2, "KVM_CAP_USER_MEMORY2");
	vm = vm_bare();
	for (int bit = 2; bit < 32; bit++) {
		test_context("flag %d", bit);
		EXPECT_ERRNO(set(vm, 1U << bit, MB, mem), EINVAL);
	}
	test_context("");
	EXPECT_ERRNO(set(vm, 0, MB + 1, mem), EINVAL);
	EXPECT_ERRNO(ioctl(vm->fd, SET_REGION2, 8), EFAULT);
}
