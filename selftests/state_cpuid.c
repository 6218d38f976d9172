// SPDX-License-Identifier: GPL-2.0
/*
 * state_cpuid.c - KVM_GET_SUPPORTED_CPUID, SET_CPUID2, GET_CPUID2: sizes, what the guest sees,
 * and that it cannot change once the vCPU has run.
 */
#include "guest.h"
#include "vm.h"

struct cpuid_buf {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[256];
};

static struct cpuid_buf buf;

TEST(buffer_sizes)
{
	int dev = dev_open();
	u32 want = supported_cpuid()->nent;

	/* kvm-bindings, which other VMMs use, has room for 80. */
	EXPECT_LE(want, 80);
	EXPECT_GE(want, 8);
	for (u32 n = 0; n < want; n++) {
		buf.head.nent = n;
		EXPECT_ERRNO(ioctl(dev, KVM_GET_SUPPORTED_CPUID, &buf), E2BIG);
	}
	buf.head.nent = want;
	EXPECT_RET(ioctl(dev, KVM_GET_SUPPORTED_CPUID, &buf), 0);
	EXPECT_EQ(buf.head.nent, want);
}

/* With room for exactly what was set: not every kernel corrects a number that is too big. */
static void get_cpuid(struct vcpu *vcpu)
{
	buf.head.nent = supported_cpuid()->nent;
	xioctl(vcpu->fd, KVM_GET_CPUID2, &buf);
}

TEST(get_is_what_was_set)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_cpuid2 *set = supported_cpuid();

	xioctl(vcpu->fd, KVM_SET_CPUID2, set);
	buf.head.nent = set->nent - 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_GET_CPUID2, &buf), E2BIG);
	get_cpuid(vcpu);
	ASSERT_EQ(buf.head.nent, set->nent);
	for (u32 i = 0; i < set->nent; i++) {
		struct kvm_cpuid_entry2 *a = &set->entries[i], *b = &buf.entries[i];

		test_context("leaf %#x.%u", a->function, a->index);
		EXPECT_EQ(b->function, a->function);
		EXPECT_EQ(b->index, a->index);
		/* EBX of 0xd.0 and 0xd.1 is a size that follows XCR0; the rest is as set. */
		EXPECT_EQ(b->eax, a->eax);
		if (a->function != 0xd || a->index > 1)
			EXPECT_EQ(b->ebx, a->ebx);
		EXPECT_EQ(b->ecx, a->ecx);
		EXPECT_EQ(b->edx, a->edx);
	}
}

static u32 leaf, subleaf;

static void guest(void)
{
	for (;;) {
		struct cpuid_regs r = guest_cpuid(leaf, subleaf);

		ucall(UCALL_SYNC, r.a | (u64)r.b << 32, r.c | (u64)r.d << 32, 0);
	}
}

static struct cpuid_regs ask(struct vcpu *vcpu, u32 function, u32 index)
{
	struct kvm_regs regs;

	guest_var(vcpu->vm, leaf) = function;
	guest_var(vcpu->vm, subleaf) = index;
	run_sync(vcpu);
	vcpu_get_regs(vcpu, &regs);
	return (struct cpuid_regs){ regs.rdi, regs.rdi >> 32, regs.rsi, regs.rsi >> 32 };
}

TEST(guest_sees_it)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_cpuid2 *set = &buf.head;

	get_cpuid(vcpu);
	for (u32 i = 0; i < set->nent; i++) {
		struct kvm_cpuid_entry2 *e = &set->entries[i];
		struct cpuid_regs r = ask(vcpu, e->function, e->index);

		test_context("leaf %#x.%u", e->function, e->index);
		EXPECT_EQ(r.a, e->eax);
		EXPECT_EQ(r.b, e->ebx);
		EXPECT_EQ(r.c, e->ecx);
		EXPECT_EQ(r.d, e->edx);
	}
}

/* Own leaves: what the vendor's CPU answers outside of its range, and an index not listed. */
TEST(out_of_range)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	struct kvm_cpuid2 *set = &buf.head;
	struct cpuid_regs r;

	memset(&buf, 0, sizeof(buf));
	set->nent = 4;
	set->entries[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 2,
		.ebx = 0x68747541, .edx = 0x69746e65, .ecx = 0x444d4163 };
	set->entries[1] = (struct kvm_cpuid_entry2){ .function = 1, .eax = 0x800f12,
		.ebx = 0x1111, .ecx = 0x2222, .edx = 0x178bfbff };
	set->entries[2] = (struct kvm_cpuid_entry2){ .function = 0x80000000, .eax = 0x80000001 };
	set->entries[3] = (struct kvm_cpuid_entry2){ .function = 0x80000001, .edx = BIT(29) };
	xioctl(vcpu->fd, KVM_SET_CPUID2, set);
	vcpu_long(vcpu, guest, 0);

	r = ask(vcpu, 1, 77);		/* the index of a leaf without indices does not matter */
	EXPECT_EQ(r.a, 0x800f12);
	EXPECT_EQ(r.b, 0x1111);
	r = ask(vcpu, 2, 0);
	EXPECT_EQ(r.a | r.b | r.c | r.d, 0);
	r = ask(vcpu, 0x1000, 0);
	EXPECT_EQ(r.a | r.b | r.c | r.d, 0);
	r = ask(vcpu, 0x80000008, 0);
	EXPECT_EQ(r.a | r.b | r.c | r.d, 0);
	r = ask(vcpu, 0x40000000, 0);
	EXPECT_EQ(r.a | r.b | r.c | r.d, 0);
}

TEST(fixed_after_run)
{
	struct vcpu *vcpu = guest_new(guest);
	struct kvm_cpuid2 *set = &buf.head;
	struct kvm_cpuid_entry2 *one;

	get_cpuid(vcpu);
	ask(vcpu, 0, 0);
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_CPUID2, set), 0);
	one = cpuid_entry(set, 1, 0);
	one->ebx ^= 0x100;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, set), EINVAL);
	one->ebx ^= 0x100;
	set->nent--;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, set), EINVAL);
	set->nent++;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_CPUID2, set), 0);
}

TEST(errors)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);

	buf.head.nent = 257;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), E2BIG);
	buf.head.nent = 0;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), 0);
	/* Addresses are of 48 or 57 bits, if it is said at all. */
	buf.head.nent = 1;
	buf.entries[0] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 0x2828 };
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), EINVAL);
	buf.entries[0].eax = 0x3028;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), 0);
	/* AMX's tiles only for processes that have asked for them. */
	buf.entries[0] = (struct kvm_cpuid_entry2){
		.function = 0xd, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 7 | BIT(18),
	};
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), EPERM);
	buf.entries[0].eax = 7;
	EXPECT_RET(ioctl(vcpu->fd, KVM_SET_CPUID2, &buf), 0);
}
