// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_string.c - REP MOVS and REP STOS to, from and within MMIO, up and down, over pages and
 * over the edge between memory and MMIO: every byte once and in order, and the registers after.
 * INS and OUTS likewise, from a port straight to a device and back.
 */
#include "guest.h"
#include "vm.h"

#define MMIO	0xd0000000ULL
#define RAM	(GUEST_FREE + 0x10000)
#define DEV_SIZE 0x4000
#define MINIHV_VERSION	0x6d680000	/* a capability that KVM has not */

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

struct io_row {
	const char *name;
	const char *insn;
	int size, in, down;
	u64 count, at;
};

static const struct io_row io_rows[] = {
	{ "insb", "\xf3\x6c\xf4", 1, 1, 0, 1500, MMIO + 0xfc0 },
	{ "insw", "\xf3\x66\x6d\xf4", 2, 1, 0, 300, MMIO + 0xf01 },
	{ "insl, down", "\xf3\x6d\xf4", 4, 1, 1, 70, MMIO + 0x1080 },
	{ "outsb", "\xf3\x6e\xf4", 1, 0, 0, 1500, MMIO + 0xfc0 },
	{ "outsl", "\xf3\x6f\xf4", 4, 0, 0, 300, MMIO + 0xf02 },
	{ "outsw, down", "\xf3\x66\x6f\xf4", 2, 0, 1, 70, MMIO + 0x1081 },
	{ "insb, from memory on", "\xf3\x6c\xf4", 1, 1, 0, 200, MMIO - 101 },
	{ "outsl, from memory on", "\xf3\x6f\xf4", 4, 0, 0, 50, MMIO - 101 },
};

/* Byte @n of the transfer, in the device or in the page of memory before it. */
static u8 *io_byte(const struct io_row *row, u8 *edge, u64 n)
{
	u64 step = row->down ? -(u64)row->size : (u64)row->size;
	u64 at = row->at + n / row->size * step + n % row->size;

	return at < MMIO ? edge + (at - (MMIO - 0x1000)) : dev + (at - MMIO);
}

/* The port's side of one exit: the next bytes of the stream. */
static u64 io_stream(struct kvm_run *run, const struct io_row *row, u64 done)
{
	u8 *data = (u8 *)run + run->io.data_offset;

	EXPECT_EQ(run->io.direction, row->in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT);
	EXPECT_EQ(run->io.size, row->size);
	for (u32 i = 0; i < run->io.size * run->io.count; i++, done++) {
		if (row->in)
			data[i] = done * 11 + (done >> 8);
		else
			EXPECT_EQ(data[i], (u8)(done * 11 + (done >> 8)));
	}
	return done;
}

static void run_io_row(struct vcpu *vcpu, u8 *edge, const struct io_row *row)
{
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED | (row->down ? RFLAGS_DF : 0),
		.rcx = row->count, .rdx = 0x1f0, .rsp = 0x7000,
	};
	u64 bytes = row->count * row->size, done = 0;
	struct kvm_run *run = vcpu->run;
	__u64 *pointer = row->in ? &regs.rdi : &regs.rsi;
	u32 reason;

	test_context("%s", row->name);
	memcpy(vcpu->vm->ram + 0x1000, row->insn, 4);
	memset(dev, 0, sizeof(dev));
	memset(edge, 0, 0x1000);
	for (u64 n = 0; !row->in && n < bytes; n++)
		*io_byte(row, edge, n) = n * 11 + (n >> 8);
	*pointer = row->at;
	vcpu_set_regs(vcpu, &regs);
	while ((reason = vcpu_run(vcpu)) == KVM_EXIT_MMIO || reason == KVM_EXIT_IO) {
		u64 at = run->mmio.phys_addr - MMIO;

		if (reason == KVM_EXIT_IO) {
			done = io_stream(run, row, done);
			continue;
		}
		ASSERT_TRUE(at + run->mmio.len <= DEV_SIZE && run->mmio.len <= 8);
		ASSERT_EQ(run->mmio.is_write, row->in);
		if (row->in)
			memcpy(dev + at, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, dev + at, run->mmio.len);
	}
	EXPECT_EQ(reason, KVM_EXIT_HLT);
	EXPECT_EQ(done, bytes);
	for (u64 n = 0; n < bytes; n++)
		EXPECT_EQ(*io_byte(row, edge, n), (u8)(n * 11 + (n >> 8)));
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rcx, 0);
	EXPECT_EQ(*pointer, row->at + (row->down ? -bytes : bytes));
}

TEST(rep_ins_and_outs)
{
	struct vcpu *vcpu = guest_new(NULL);
	u8 *edge = mem_alloc(0x1000);

	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, MMIO - 0x1000, 0x1000, edge), 0);
	for (size_t i = 0; i < ARRAY_SIZE(io_rows); i++) {
		/* KVM reads the port for a whole page, and stores an element of it. */
		if (io_rows[i].in && io_rows[i].down && !dev_cap(MINIHV_VERSION))
			continue;
		run_io_row(vcpu, edge, &io_rows[i]);
	}
}
