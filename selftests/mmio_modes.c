// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_modes.c - MMIO from real mode and from 32-bit code: 16-bit addressing, prefixes, segments.
 */
#include "guest.h"
#include "vm.h"

#define CODE	0x1000
#define VGA	0xa0000ULL

struct access {
	char dir;
	u64 gpa;
	u32 len;
	u64 value;
};

/* A VM whose memory ends below 640 KiB, so that the VGA window is MMIO. */
static struct vcpu *small_guest(const u8 *code, const u8 *end)
{
	struct vm *vm = vm_bare();
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vm->ram = mem_alloc(VGA);
	ASSERT_RET(vm_slot(vm, 0, 0, 0, VGA, vm->ram), 0);
	memcpy(vm->ram + CODE, code, end - code);
	vcpu_real(vcpu, CODE);
	return vcpu;
}

static void expect_accesses(struct vcpu *vcpu, const struct access *a, size_t count)
{
	for (size_t i = 0; i < count; i++, a++) {
		u64 value = 0;
		u8 *data;

		test_context("access %zu", i);
		data = expect_mmio(vcpu, a->dir == 'w', a->gpa, a->len);
		memcpy(&value, data, a->len);
		if (a->dir == 'w')
			EXPECT_EQ(value, a->value);
		else
			memcpy(data, &a->value, a->len);
	}
	test_context("");
	expect_exit(vcpu, KVM_EXIT_HLT);
}

GUEST_ASM(real, 16,
	  "mov $0xa000, %ax\n mov %ax, %ds\n mov %ax, %es\n mov $0x10, %bx\n mov $0x20, %si\n"
	  "mov $0x30, %di\n mov $0x40, %bp\n"
	  "movb $0x11, (0x1234)\n"		/* [disp16] */
	  "movw $0x2222, (%bx)\n"
	  "movl $0x33333333, (%bx,%si)\n"
	  "mov %ax, 4(%bx,%di)\n"
	  "mov %al, %ds:0x100(%bp,%si)\n"
	  "mov %al, %ds:(%bp,%di)\n"
	  "mov %al, %ds:8(%bp)\n"
	  "mov -1(%di), %cl\n"
	  "mov %cl, (%si)\n"
	  "movl $0x60, %edx\n movw $0x4444, (%edx)\n"	/* 32-bit address */
	  "movw $0x5555, 2(%ebx,%edx,2)\n"
	  "mov (0x77), %eax\n mov %eax, (0x7b)\n"
	  "mov $0xffff, %bx\n movb $9, 0x11(%bx)\n"	/* wraps at 64 KiB */
	  "cld\n mov $0x100, %di\n mov $3, %cx\n mov $0x6666, %ax\n rep stosw\n"
	  "mov $0x1000, %cx\n mov %cx, %ds\n xor %si, %si\n movsb\n hlt");

TEST(real_mode)
{
	static const struct access want[] = {
		{ 'w', VGA + 0x1234, 1, 0x11 }, { 'w', VGA + 0x10, 2, 0x2222 },
		{ 'w', VGA + 0x30, 4, 0x33333333 }, { 'w', VGA + 0x44, 2, 0xa000 },
		{ 'w', VGA + 0x160, 1, 0 }, { 'w', VGA + 0x70, 1, 0 }, { 'w', VGA + 0x48, 1, 0 },
		{ 'r', VGA + 0x2f, 1, 0x7e }, { 'w', VGA + 0x20, 1, 0x7e },
		{ 'w', VGA + 0x60, 2, 0x4444 }, { 'w', VGA + 0xd2, 2, 0x5555 },
		{ 'r', VGA + 0x77, 4, 0xabcd1234 }, { 'w', VGA + 0x7b, 4, 0xabcd1234 },
		{ 'w', VGA + 0x10, 1, 9 },
		{ 'w', VGA + 0x100, 2, 0x6666 }, { 'w', VGA + 0x102, 2, 0x6666 },
		{ 'w', VGA + 0x104, 2, 0x6666 }, { 'w', VGA + 0x106, 1, 0x99 },
	};
	struct vcpu *vcpu = small_guest(real, real_end);

	vcpu->vm->ram[0x10000] = 0x99;
	expect_accesses(vcpu, want, ARRAY_SIZE(want));
}

GUEST_ASM(flat, 32,
	  "mov $0xd0000000, %ebx\n mov $0x10, %esi\n mov $0x20, %ebp\n"
	  "movb $0x11, (%ebx)\n movw $0x2222, 4(%ebx,%esi)\n movl $0x33333333, (%ebx,%esi,4)\n"
	  "mov 0xd0000100, %eax\n mov %eax, 0xd0000104\n mov %ax, 0xd0000108\n"
	  "push 0xd0000200\n pop 0xd0000204\n incl 0xd0000300\n"
	  "mov %eax, %fs:(%ebp)\n mov %al, %fs:4\n"
	  "addr16 mov %al, %fs:8(%bp)\n"
	  "mov $0xd0000400, %edi\n mov $2, %ecx\n rep stosl\n hlt");

TEST(protected_mode)
{
	static const struct access want[] = {
		{ 'w', 0xd0000000, 1, 0x11 }, { 'w', 0xd0000014, 2, 0x2222 },
		{ 'w', 0xd0000040, 4, 0x33333333 }, { 'r', 0xd0000100, 4, 0x89abcdef },
		{ 'w', 0xd0000104, 4, 0x89abcdef }, { 'w', 0xd0000108, 2, 0xcdef },
		{ 'r', 0xd0000200, 4, 0x55667788 }, { 'w', 0xd0000204, 4, 0x55667788 },
		{ 'r', 0xd0000300, 4, 0xffffffff }, { 'w', 0xd0000300, 4, 0 },
		{ 'w', 0xe0000020, 4, 0x89abcdef }, { 'w', 0xe0000004, 1, 0xef },
		{ 'w', 0xe0000028, 1, 0xef },
		{ 'w', 0xd0000400, 4, 0x89abcdef }, { 'w', 0xd0000404, 4, 0x89abcdef },
	};
	struct vcpu *vcpu = small_guest(flat, flat_end);
	struct kvm_sregs sregs;

	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.fs.base = 0xe0000000;
	vcpu_set_sregs(vcpu, &sregs);
	{
		struct kvm_regs regs;

		vcpu_get_regs(vcpu, &regs);
		regs.rsp = 0x7000;
		vcpu_set_regs(vcpu, &regs);
	}
	expect_accesses(vcpu, want, ARRAY_SIZE(want));
}

/* Firmware's way: 16-bit code with a flat DS of 4 GiB ("unreal mode"). */
GUEST_ASM(unreal, 16, "movl $0xfee00000, %ebx\n movl $0x1ff, 0xf0(%ebx)\n hlt");

TEST(unreal_mode)
{
	static const struct access want[] = { { 'w', 0xfee000f0, 4, 0x1ff } };
	struct vcpu *vcpu = small_guest(unreal, unreal_end);
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.ds.limit = 0xffffffff;
	sregs.ds.g = 1;
	vcpu_set_sregs(vcpu, &sregs);
	expect_accesses(vcpu, want, ARRAY_SIZE(want));
}

/* On the way back to real mode, before the far jump: CS still is a segment of 32 bits. */
GUEST_ASM(half_way, 32,
	  "mov %cr0, %eax\n and $~1, %eax\n mov %eax, %cr0\n mov 0xd0000100, %ecx\n"
	  "movl $0x33333333, 4(%ebx,%esi,4)\n movw $0x2222, (%ebx)\n push 0xd0000200\n hlt");

TEST(real_mode_with_32_bit_code)
{
	static const struct access want[] = {
		{ 'r', 0xd0000100, 4, 0x89abcdef }, { 'w', 0xd0000044, 4, 0x33333333 },
		{ 'w', 0xd0000000, 2, 0x2222 }, { 'r', 0xd0000200, 4, 0x55667788 },
	};
	struct vcpu *vcpu = small_guest(half_way, half_way_end);
	struct kvm_regs regs;

	vcpu_flat32(vcpu, CODE);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = 0xd0000000;
	regs.rsi = 0x10;
	regs.rsp = 0x7000;
	vcpu_set_regs(vcpu, &regs);
	expect_accesses(vcpu, want, ARRAY_SIZE(want));
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0x89abcdef);
	EXPECT_EQ(regs.rsp, 0x6ffc);
	EXPECT_EQ(*(u32 *)(vcpu->vm->ram + 0x6ffc), 0x55667788);
}

/* In 32-bit code mov (%edi), %eax; in 16-bit code mov (%bx), %ax. */
GUEST_ASM(either, 32, "mov (%edi), %eax\n hlt");

/* What the same bytes were a moment ago, in another mode, they are no more. */
TEST(same_bytes_in_two_modes)
{
	struct vcpu *vcpu = small_guest(either, either_end);
	struct kvm_sregs real, sregs;
	struct kvm_regs regs;

	vcpu_get_sregs(vcpu, &real);
	real.ds.base = 0xd0000000;
	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	vcpu_get_regs(vcpu, &regs);
	regs.rbx = 0x10;
	regs.rdi = 0xd0000020;
	for (int i = 0; i < 3; i++) {
		test_context("32 bits, %d", i);
		vcpu_set_sregs(vcpu, &sregs);
		vcpu_set_regs(vcpu, &regs);
		*(u32 *)expect_mmio(vcpu, 0, 0xd0000020, 4) = 1;
		expect_exit(vcpu, KVM_EXIT_HLT);
		test_context("16 bits, %d", i);
		vcpu_set_sregs(vcpu, &real);
		vcpu_set_regs(vcpu, &regs);
		*(u16 *)expect_mmio(vcpu, 0, 0xd0000010, 2) = 1;
		expect_exit(vcpu, KVM_EXIT_HLT);
	}
}

/* Half of the operand is at the end of 4 GiB, half at their beginning. */
GUEST_ASM(wraps, 32, "mov 0xffe, %eax\n hlt");

TEST(over_the_end_of_4_gib)
{
	struct vcpu *vcpu = small_guest(wraps, wraps_end);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	memcpy(vcpu->vm->ram, "\x33\x44", 2);
	vcpu_flat32(vcpu, CODE);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.ds.base = 0xfffff000;
	vcpu_set_sregs(vcpu, &sregs);
	memcpy(expect_mmio(vcpu, 0, 0xfffffffe, 2), "\x11\x22", 2);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rax, 0x44332211);
}
