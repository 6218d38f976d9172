// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_string.c - REP MOVS and REP STOS to, from and within MMIO, up and down, over pages and
 * over the edge between memory and MMIO: every byte once and in order, and the registers after.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define RAM	(GUEST_FREE + 0x10000)
#define DEV_SIZE 0x4000

static u8 dev[DEV_SIZE];

/* A device that remembers; exits may be cut as the hypervisor likes, up to eight bytes each. */
static void serve(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	while (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
		u64 at = run->mmio.phys_addr - MMIO;

		ASSERT_TRUE(at + run->mmio.len <= DEV_SIZE && run->mmio.len <= 8);
		if (run->mmio.is_write)
			memcpy(dev + at, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, dev + at, run->mmio.len);
	}
	EXPECT_EQ(run->exit_reason, KVM_EXIT_HLT);
}

struct row {
	const char *name;
	const char *insn;
	int size, down;
	u64 count, from, to;	/* from 0: STOS */
};

static const struct row rows[] = {
	{ "memory to device, bytes", "\xf3\xa4\xf4", 1, 0, 100, RAM, MMIO + 3 },
	{ "memory to device, words", "\xf3\x66\xa5\xf4", 2, 0, 100, RAM + 1, MMIO },
	{ "memory to device, quads", "\xf3\x48\xa5\xf4", 8, 0, 600, RAM, MMIO + 0x10 },
	{ "device to memory, longs", "\xf3\xa5\xf4", 4, 0, 600, MMIO + 0x40, RAM },
	{ "device to memory, quads", "\xf3\x48\xa5\xf4", 8, 0, 600, MMIO, RAM + 4 },
	{ "device to device", "\xf3\xa5\xf4", 4, 0, 32, MMIO + 0x100, MMIO + 0x300 },
	{ "down, memory to device", "\xf3\xa5\xf4", 4, 1, 64, RAM + 0x1080, MMIO + 0x1080 },
	{ "down, device to memory", "\xf3\xa4\xf4", 1, 1, 64, MMIO + 0x1020, RAM + 0x1020 },
	{ "fill, bytes", "\xf3\xaa\xf4", 1, 0, 77, 0, MMIO + 0xff0 },
	{ "fill, longs", "\xf3\xab\xf4", 4, 0, 1100, 0, MMIO + 8 },
	{ "fill, quads, down", "\xf3\x48\xab\xf4", 8, 1, 100, 0, MMIO + 0x1100 },
	{ "one quad over two pages", "\xf3\x48\xa5\xf4", 8, 0, 3, RAM + 0xffa, MMIO + 0xffc },
};

static u8 *byte_at(struct vm *vm, u64 gpa)
{
	return gpa >= MMIO ? dev + (gpa - MMIO) : vm->ram + gpa;
}

static void run_row(struct vcpu *vcpu, const struct row *row)
{
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED | (row->down ? RFLAGS_DF : 0),
		.rcx = row->count, .rsi = row->from, .rdi = row->to, .rsp = 0x7000,
		.rax = 0xc3c2c1c0bfbebdbc,
	};
	u64 step = row->down ? -(u64)row->size : (u64)row->size;
	struct vm *vm = vcpu->vm;

	test_context("%s", row->name);
	memcpy(vm->ram + 0x1000, row->insn, 4);
	for (int i = 0; i < DEV_SIZE; i++) {
		dev[i] = 0x40 + i * 5 + (i >> 8);
		vm->ram[RAM + i] = 0x80 + i * 3 + (i >> 8);
	}
	vcpu_set_regs(vcpu, &regs);
	serve(vcpu);
	for (u64 n = 0; n < row->count * row->size; n++) {
		u64 offset = n / row->size * step + n % row->size;
		u8 want = regs.rax >> n % row->size * 8;

		if (row->from >= MMIO)
			want = 0x40 + (row->from - MMIO + offset) * 5 +
			       ((row->from - MMIO + offset) >> 8);
		else if (row->from)
			want = 0x80 + (row->from - RAM + offset) * 3 +
			       ((row->from - RAM + offset) >> 8);
		EXPECT_EQ(*byte_at(vm, row->to + offset), want);
	}
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0);
	EXPECT_EQ(regs.rdi, row->to + row->count * step);
	EXPECT_EQ(regs.rsi, row->from + (row->from ? row->count * step : 0));
	EXPECT_EQ(regs.rax, 0xc3c2c1c0bfbebdbc);
}

TEST(rep_movs_and_stos)
{
	struct vcpu *vcpu = guest_new(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		run_row(vcpu, &rows[i]);
}

/* From the last page of memory on into MMIO: part of the bytes land in each. */
TEST(memory_into_mmio)
{
	struct vcpu *vcpu = guest_new(NULL);
	u8 *edge = mem_alloc(0x1000);
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED, .rcx = 64, .rdi = MMIO - 34, .rsp = 0x7000,
		.rax = 0x77, .rsi = RAM,
	};

	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, MMIO - 0x1000, 0x1000, edge), 0);
	memcpy(vcpu->vm->ram + 0x1000, "\xf3\x66\xa5\xf4", 4);
	memset(dev, 0, sizeof(dev));
	for (int i = 0; i < 128; i++)
		vcpu->vm->ram[RAM + i] = i + 1;
	vcpu_set_regs(vcpu, &regs);
	serve(vcpu);
	for (int i = 0; i < 128; i++)
		EXPECT_EQ(i < 34 ? edge[0x1000 - 34 + i] : dev[i - 34], i + 1);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0);
	EXPECT_EQ(regs.rdi, MMIO + 94);
	EXPECT_EQ(regs.rsi, RAM + 128);
}
