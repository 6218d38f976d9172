// SPDX-License-Identifier: GPL-2.0
/*
 * pio_string.c - INS and OUTS: widths, REP, both directions, operands across pages, the
 * registers they leave, and the whole transfer whatever way it is cut into exits.
 */
#include "guest.h"
#include "vm.h"

#define PORT	0x1f0
#define BUF	(GUEST_FREE + 0x10000)

struct row {
	const char *name;
	u8 insn[4];		/* at most REP, prefix, opcode */
	int len, size, in, df;
	u64 count;		/* 0: no REP */
	u64 start;
};

static const struct row rows[] = {
	{ "outsb", { 0x6e }, 1, 1, 0, 0, 0, BUF },
	{ "outsw", { 0x66, 0x6f }, 2, 2, 0, 0, 0, BUF },
	{ "outsl", { 0x6f }, 1, 4, 0, 0, 0, BUF + 1 },
	{ "insb", { 0x6c }, 1, 1, 1, 0, 0, BUF },
	{ "insw", { 0x66, 0x6d }, 2, 2, 1, 0, 0, BUF + 3 },
	{ "insl", { 0x6d }, 1, 4, 1, 0, 0, BUF },
	{ "rep outsb", { 0xf3, 0x6e }, 2, 1, 0, 0, 5, BUF + 7 },
	{ "rep outsw", { 0xf3, 0x66, 0x6f }, 3, 2, 0, 0, 256, BUF },
	{ "rep outsl", { 0xf3, 0x6f }, 2, 4, 0, 0, 2000, BUF },
	{ "rep insb", { 0xf3, 0x6c }, 2, 1, 1, 0, 9000, BUF + 100 },
	{ "rep insw", { 0xf3, 0x66, 0x6d }, 3, 2, 1, 0, 256, BUF + 1 },
	{ "rep insl", { 0xf3, 0x6d }, 2, 4, 1, 0, 1024, BUF },
	{ "outsw, two pages", { 0x66, 0x6f }, 2, 2, 0, 0, 0, BUF + 0xfff },
	{ "outsl, two pages", { 0x6f }, 1, 4, 0, 0, 0, BUF + 0xffd },
	{ "insw, two pages", { 0x66, 0x6d }, 2, 2, 1, 0, 0, BUF + 0xfff },
	{ "insl, two pages", { 0x6d }, 1, 4, 1, 0, 0, BUF + 0xffe },
	{ "rep outsl, unaligned", { 0xf3, 0x6f }, 2, 4, 0, 0, 1100, BUF + 3 },
	{ "rep insl, unaligned", { 0xf3, 0x6d }, 2, 4, 1, 0, 1100, BUF + 2 },
	{ "rep outsb, down", { 0xf3, 0x6e }, 2, 1, 0, 1, 100, BUF + 0x1010 },
	{ "rep outsl, down", { 0xf3, 0x6f }, 2, 4, 0, 1, 100, BUF + 0x1010 },
	{ "rep insb, down", { 0xf3, 0x6c }, 2, 1, 1, 1, 100, BUF + 0x1010 },
	{ "rep insw, down", { 0xf3, 0x66, 0x6d }, 3, 2, 1, 1, 100, BUF + 0x1011 },
};

static u8 pattern(u64 n)
{
	return n * 7 + (n >> 8) + 1;
}

/* Where byte @n of the stream lies in guest memory. */
static u64 place(const struct row *row, u64 n)
{
	u64 unit = n / row->size * row->size;

	return (row->df ? row->start - unit : row->start + unit) + n % row->size;
}

/* Serve exits until the HLT; returns how many bytes passed. */
static u64 serve(struct vcpu *vcpu, const struct row *row)
{
	struct kvm_run *run = vcpu->run;
	u64 done = 0;

	while (vcpu_run(vcpu) == KVM_EXIT_IO) {
		u8 *data = (u8 *)run + run->io.data_offset;
		u64 bytes = (u64)run->io.size * run->io.count;

		EXPECT_EQ(run->io.port, PORT);
		EXPECT_EQ(run->io.size, row->size);
		EXPECT_EQ(run->io.direction, row->in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT);
		EXPECT_EQ(run->io.data_offset, 4096);
		ASSERT_TRUE(run->io.count && bytes <= 4096);
		for (u64 i = 0; i < bytes; i++, done++) {
			if (row->in)
				data[i] = pattern(done);
			else
				EXPECT_EQ(data[i], pattern(done));
		}
	}
	EXPECT_EQ(run->exit_reason, KVM_EXIT_HLT);
	return done;
}

static void run_row(struct vcpu *vcpu, const struct row *row)
{
	u64 units = row->count ? row->count : 1;
	u64 step = row->df ? -(u64)row->size : (u64)row->size;
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED | (row->df ? RFLAGS_DF : 0),
		.rdx = PORT, .rcx = row->count, .rsi = row->start, .rdi = row->start,
		.rsp = 0x7000, .rax = 0x1234,
	};
	u8 *ram = vcpu->vm->ram;

	test_context("%s", row->name);
	memset(ram + BUF - 0x4000, 0, 0x10000);
	memcpy(ram + 0x1000, row->insn, row->len);
	ram[0x1000 + row->len] = 0xf4;
	for (u64 n = 0; !row->in && n < units * row->size; n++)
		ram[place(row, n)] = pattern(n);

	vcpu_set_regs(vcpu, &regs);
	EXPECT_EQ(serve(vcpu, row), units * row->size);
	for (u64 n = 0; row->in && n < units * row->size; n++)
		EXPECT_EQ(ram[place(row, n)], pattern(n));
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rip, 0x1000 + row->len + 1);
	EXPECT_EQ(regs.rcx, 0);
	EXPECT_EQ(regs.rsi, row->start + (row->in ? 0 : units * step));
	EXPECT_EQ(regs.rdi, row->start + (row->in ? units * step : 0));
	EXPECT_EQ(regs.rax, 0x1234);
}

TEST(string_pio)
{
	struct vcpu *vcpu = guest_new(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		run_row(vcpu, &rows[i]);
}

TEST(rep_with_count_zero)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED, .rdx = PORT, .rsi = BUF, .rdi = BUF,
	};

	memcpy(vcpu->vm->ram + 0x1000, "\xf3\x6e\xf3\x6d\xf4", 5);
	vcpu_set_regs(vcpu, &regs);
	expect_exit(vcpu, KVM_EXIT_HLT);
	vcpu_get_regs(vcpu, &regs);
	EXPECT_EQ(regs.rsi, BUF);
	EXPECT_EQ(regs.rdi, BUF);
}

/* A guest must not see what the page held before: the buffer of an IN starts as zeroes. */
TEST(in_buffer_is_zeroed)
{
	struct vcpu *vcpu = guest_new(NULL);
	struct kvm_regs regs = {
		.rip = 0x1000, .rflags = RFLAGS_FIXED, .rdx = PORT, .rdi = BUF, .rcx = 16,
	};
	u8 *page = (u8 *)vcpu->run + 4096;

	memcpy(vcpu->vm->ram + 0x1000, "\xf3\x6c\xf4", 3);
	memset(page, 0xff, 4096);
	vcpu_set_regs(vcpu, &regs);
	expect_exit(vcpu, KVM_EXIT_IO);
	for (u32 i = 0; i < vcpu->run->io.count; i++)
		EXPECT_EQ(page[i], 0);
}
