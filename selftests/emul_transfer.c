// SPDX-License-Identifier: GPL-2.0
/*
 * emul_transfer.c - SYSCALL, SYSENTER, SYSEXIT, RDPID and far transfers: by the emulator they do
 * what they do on the CPU, each row once without and once with UD2 and "kvm" before it. What
 * the emulator does not know is left out.
 */
#include <stdbool.h>

#include "guest.h"
#include "vm.h"

/* Offsets from the base. Code, handlers and targets are all OUT to port 0x10, at even addresses. */
#define CODE	0
#define TARGET	0x100
#define DATA	0x1000
#define STACK	0x2800		/* downwards; frames that are popped begin there */
#define HANDLERS 0x3000		/* 4 bytes for each vector */
#define KSTACK	0x5000		/* downwards */
#define GDT	0x5000
#define IDT	0x6000
#define TSS	0x7000
#define SIZE	0x8000

#define PORT	0x10
#define IOPL3	0x3000
#define T	~1ULL		/* in a frame: TARGET */
#define S	~2ULL		/* in a frame: STACK - 0x100 */

enum mode {
	REAL, PROT, COMPAT, LONG,
};

enum sel {
	KCS32 = 0x08, KDS = 0x10, KCS64 = 0x18, KDS2 = 0x20, UCS32 = 0x2b, UDS = 0x33, UCS64 = 0x3b,
	GATE = 0x40,		/* 16 bytes in long mode */
	NOT_PRESENT = 0x50, CONFORMING = 0x58, CS16 = 0x60, TSS_SEL = 0x68, GDT_SIZE = 0x78,
};

#define USER	1		/* at privilege level 3 */
#define BEYOND	2		/* of minihv's emulator: gates, and returns to an outer level */

struct row {
	const char *name;
	enum mode mode;
	int flags;
	u8 insn[4];
	int len;		/* of insn */
	int far_bytes;		/* an immediate far pointer follows: bytes of its offset */
	u16 sel;		/* of that pointer, or of those in memory */
	int unit;		/* bytes of each word of the frame */
	u64 frame[5];
};

static const struct row rows[] = {
	{ "ljmp imm in 64 bits", LONG, 0, { 0xea }, 1, 4, KCS64, 0, { 0 } },
	{ "ljmp imm, 32 bits", PROT, 0, { 0xea }, 1, 4, KCS32, 0, { 0 } },
	{ "ljmp imm, 16 bits", REAL, 0, { 0xea }, 1, 2, 0x1000, 0, { 0 } },
	{ "ljmp imm, null", PROT, 0, { 0xea }, 1, 4, 0, 0, { 0 } },
	{ "ljmp imm, not present", PROT, 0, { 0xea }, 1, 4, NOT_PRESENT, 0, { 0 } },
	{ "ljmp imm, data", PROT, 0, { 0xea }, 1, 4, KDS, 0, { 0 } },
	{ "ljmp imm, beyond the GDT", PROT, 0, { 0xea }, 1, 4, 0x200, 0, { 0 } },
	{ "ljmp imm, conforming", PROT, 0, { 0xea }, 1, 4, CONFORMING, 0, { 0 } },
	{ "ljmp imm, 16-bit code", PROT, 0, { 0xea }, 1, 4, CS16, 0, { 0 } },
	{ "ljmp imm to 64 bits", COMPAT, 0, { 0xea }, 1, 4, KCS64, 0, { 0 } },
	{ "lcall imm", PROT, 0, { 0x9a }, 1, 4, KCS32, 0, { 0 } },
	{ "lcall imm, 16 bits", REAL, 0, { 0x9a }, 1, 2, 0x1000, 0, { 0 } },
	{ "lcall imm to 64 bits", COMPAT, 0, { 0x9a }, 1, 4, KCS64, 0, { 0 } },
	{ "lcall imm, a user's", COMPAT, USER, { 0x9a }, 1, 4, UCS32, 0, { 0 } },
	{ "lcall imm, the kernel's", COMPAT, USER, { 0x9a }, 1, 4, KCS32, 0, { 0 } },
	{ "ljmp mem", LONG, 0, { 0xff, 0x2b }, 2, 0, KCS64, 0, { 0 } },
	{ "ljmp mem to 32 bits", LONG, 0, { 0xff, 0x2b }, 2, 0, KCS32, 0, { 0 } },
	{ "lcall mem", LONG, 0, { 0xff, 0x1b }, 2, 0, KCS64, 0, { 0 } },
	{ "lcall mem, a user's", LONG, USER, { 0xff, 0x1b }, 2, 0, UCS64, 0, { 0 } },
	{ "lcall mem, not present", LONG, 0, { 0xff, 0x1b }, 2, 0, NOT_PRESENT, 0, { 0 } },
	{ "lcall mem, null", LONG, 0, { 0xff, 0x1b }, 2, 0, 0, 0, { 0 } },
	{ "lcall mem, gate", LONG, BEYOND, { 0xff, 0x1b }, 2, 0, GATE, 0, { 0 } },
	{ "lcall mem, gate inwards", LONG, USER | BEYOND, { 0xff, 0x1b }, 2, 0, GATE, 0, { 0 } },
	{ "ljmp mem, 32 bits", PROT, 0, { 0xff, 0x2b }, 2, 0, KCS32, 0, { 0 } },
	{ "lcall mem, 32 bits", PROT, 0, { 0xff, 0x1b }, 2, 0, KCS32, 0, { 0 } },
	{ "lret", PROT, 0, { 0xcb }, 1, 0, 0, 4, { T, KCS32 } },
	{ "lret, 16 bits", REAL, 0, { 0xcb }, 1, 0, 0, 2, { T, 0x1000 } },
	{ "lret 8", PROT, 0, { 0xca, 8, 0 }, 3, 0, 0, 4, { T, KCS32 } },
	{ "lret to the user", PROT, BEYOND, { 0xcb }, 1, 0, 0, 4, { T, UCS32, S, UDS } },
	{ "lret, null", PROT, 0, { 0xcb }, 1, 0, 0, 4, { T, 0 } },
	{ "lret inwards", COMPAT, USER, { 0xcb }, 1, 0, 0, 4, { T, KCS32 } },
	{ "lretl", LONG, 0, { 0xcb }, 1, 0, 0, 4, { T, KCS64 } },
	{ "lretq", LONG, 0, { 0x48, 0xcb }, 2, 0, 0, 8, { T, KCS64 } },
	{ "lretq to the user", LONG, BEYOND, { 0x48, 0xcb }, 2, 0, 0, 8, { T, UCS64, S, UDS } },
	{ "lretq to 32 bits", LONG, BEYOND, { 0x48, 0xcb }, 2, 0, 0, 8, { T, UCS32, S, UDS } },
	{ "lretq, not present", LONG, 0, { 0x48, 0xcb }, 2, 0, 0, 8, { T, NOT_PRESENT } },
	{ "iret", PROT, 0, { 0xcf }, 1, 0, 0, 4, { T, KCS32, IOPL3 | 0x8d7 } },
	{ "iret, 16 bits", REAL, 0, { 0xcf }, 1, 0, 0, 2, { T, 0x1000, 0x8d7 } },
	{ "iret to the user", PROT, BEYOND, { 0xcf }, 1, 0, 0, 4, { T, UCS32, IOPL3 | 2, S, UDS } },
	{ "iretq", LONG, 0, { 0x48, 0xcf }, 2, 0, 0, 8, { T, KCS64, IOPL3 | 0xd6, S, KDS } },
	{ "iretq to the user", LONG, BEYOND, { 0x48, 0xcf }, 2, 0, 0, 8,
	  { T, UCS64, IOPL3 | 2, S, UDS } },
	{ "iretq to 32 bits", LONG, BEYOND, { 0x48, 0xcf }, 2, 0, 0, 8,
	  { T, UCS32, IOPL3 | 2, S, UDS } },
	{ "iretq, null", LONG, 0, { 0x48, 0xcf }, 2, 0, 0, 8, { T, 0, 2, S, UDS } },
	{ "iretq, a user's", LONG, USER, { 0x48, 0xcf }, 2, 0, 0, 8,
	  { T, UCS64, IOPL3 | 0x46, S, UDS } },
	{ "iretq inwards", LONG, USER, { 0x48, 0xcf }, 2, 0, 0, 8, { T, KCS64, 2, S, KDS } },
	{ "iret, 32 bits", COMPAT, USER, { 0xcf }, 1, 0, 0, 4, { T, UCS32, IOPL3 | 0x46 } },
	{ "syscall", LONG, USER, { 0x0f, 0x05 }, 2, 0, 0, 0, { 0 } },
	{ "syscall from 32 bits", COMPAT, USER, { 0x0f, 0x05 }, 2, 0, 0, 0, { 0 } },
	{ "syscall, protected mode", PROT, USER, { 0x0f, 0x05 }, 2, 0, 0, 0, { 0 } },
	{ "sysenter, protected mode", PROT, USER, { 0x0f, 0x34 }, 2, 0, 0, 0, { 0 } },
	{ "sysenter, long mode", LONG, USER, { 0x0f, 0x34 }, 2, 0, 0, 0, { 0 } },
	{ "sysexit, protected mode", PROT, 0, { 0x0f, 0x35 }, 2, 0, 0, 0, { 0 } },
	{ "sysexit, not the kernel", PROT, USER, { 0x0f, 0x35 }, 2, 0, 0, 0, { 0 } },
	{ "sysenter, real mode", REAL, 0, { 0x0f, 0x34 }, 2, 0, 0, 0, { 0 } },
	{ "sysexit, real mode", REAL, 0, { 0x0f, 0x35 }, 2, 0, 0, 0, { 0 } },
};

struct result {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u8 ram[SIZE];
	u32 reason;
};

static struct vm *vm;
static struct vcpu *vcpu;

static u64 base_of(enum mode mode)
{
	return mode == REAL ? 0x10000 : GUEST_FREE;
}

/* What addresses are relative to. */
static u64 flat(enum mode mode)
{
	return mode == REAL ? 0 : GUEST_FREE;
}

static void put(u64 at, u64 value, int bytes)
{
	memcpy(vm->ram + at, &value, bytes);
}

static void make_gdt(u64 base, enum mode mode)
{
	static const u64 gdt[GDT_SIZE / 8] = {
		[KCS32 / 8] = 0x00cf9b000000ffff, [KDS / 8] = 0x00cf93000000ffff,
		[KCS64 / 8] = 0x00af9b000000ffff, [KDS2 / 8] = 0x00cf93000000ffff,
		[UCS32 / 8] = 0x00cffb000000ffff, [UDS / 8] = 0x00cff3000000ffff,
		[UCS64 / 8] = 0x00affb000000ffff, [NOT_PRESENT / 8] = 0x00cf1b000000ffff,
		[CONFORMING / 8] = 0x00cf9f000000ffff, [CS16 / 8] = 0x008f9b000000ffff,
	};
	u64 to = base + TARGET, cs = mode >= COMPAT ? KCS64 : KCS32;

	memcpy(vm->ram + base + GDT, gdt, sizeof(gdt));
	put(base + GDT + GATE, (to & 0xffff) | cs << 16 | 0xecULL << 40 | to >> 16 << 48, 8);
	put(base + GDT + GATE + 8, 0, 8);
}

static void make_idt(u64 base, enum mode mode)
{
	for (u64 v = 0; v < 32; v++) {
		u64 to = base + HANDLERS + 4 * v;
		u64 gate = (to & 0xffff) | 0x8eULL << 40 | to >> 16 << 48;

		if (mode == REAL) {
			put(4 * v, (base >> 4) << 16 | (HANDLERS + 4 * v), 4);
		} else if (mode == PROT) {
			put(base + IDT + 8 * v, gate | KCS32 << 16, 8);
		} else {
			put(base + IDT + 16 * v, gate | KCS64 << 16, 8);
			put(base + IDT + 16 * v + 8, 0, 8);
		}
	}
}

static void make_memory(const struct row *row, bool forced)
{
	static const u8 nops[5] = { 0x90, 0x90, 0x90, 0x90, 0x90 };
	static const u8 prefix[5] = { 0x0f, 0x0b, 'k', 'v', 'm' };
	u64 base = base_of(row->mode), off = flat(row->mode), at = base + CODE;

	memset(vm->ram + base, 0, SIZE);
	for (u64 i = 0; i < 0x1000; i += 2) {
		put(base + CODE + i, 0xe6 | PORT << 8, 2);
		put(base + HANDLERS + i, 0xe6 | PORT << 8, 2);
	}
	make_gdt(base, row->mode);
	make_idt(base, row->mode);
	if (row->mode == PROT) {
		put(base + TSS + 4, base + KSTACK, 4);
		put(base + TSS + 8, KDS, 4);
	} else {
		put(base + TSS + 4, base + KSTACK, 8);
	}
	/* The far pointer in memory, m16:32. */
	put(base + DATA, off + TARGET, 4);
	put(base + DATA + 4, row->sel, 2);
	for (int i = 0; i < 5 && row->unit; i++)
		put(base + STACK + i * row->unit, row->frame[i] == T ? off + TARGET :
		    row->frame[i] == S ? off + STACK - 0x100 : row->frame[i], row->unit);
	memcpy(vm->ram + at, forced ? prefix : nops, 5);
	memcpy(vm->ram + at + 5, row->insn, row->len);
	at += 5 + row->len;
	if (row->far_bytes) {
		put(at, off + TARGET, row->far_bytes);
		put(at + row->far_bytes, row->sel, 2);
		at += row->far_bytes + 2;
	}
	if (at & 1)
		put(at, 0x90, 1);
}

static struct kvm_segment segment(u16 sel, u64 base, u8 type, u8 db, u8 l)
{
	return (struct kvm_segment) {
		.base = base, .limit = sel < 0x1000 ? 0xffffffff : 0xffff, .selector = sel,
		.type = type, .present = 1, .dpl = sel & 3, .db = db, .s = 1, .l = l,
		.g = sel < 0x1000,
	};
}

static void set_sregs(const struct row *row)
{
	u64 base = base_of(row->mode);
	u16 ds = row->flags & USER ? UDS : KDS;
	struct kvm_sregs s;

	vcpu_get_sregs(vcpu, &s);
	s.cr4 = CR4_PAE;
	s.cr3 = GUEST_PT;
	s.efer = EFER_SCE;
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (row->mode >= COMPAT) {
		s.cr0 |= CR0_PG;
		s.efer |= EFER_LME | EFER_LMA;
	}
	if (row->mode == REAL) {
		s.cr0 &= ~CR0_PE;
		s.cs = segment(base >> 4, base, 11, 0, 0);
		s.ds = segment(base >> 4, base, 3, 0, 0);
		s.idt.base = 0;
	} else {
		bool l = row->mode == LONG;
		u16 cs = l ? KCS64 : KCS32;

		if (row->flags & USER)
			cs = l ? UCS64 : UCS32;
		s.cs = segment(cs, 0, 11, !l, l);
		s.ds = segment(ds, 0, 3, 1, 0);
		s.idt.base = base + IDT;
	}
	s.ss = s.ds;
	s.es = s.ds;
	s.fs = s.ds;
	s.gs = s.ds;
	s.gdt.base = base + GDT;
	s.gdt.limit = GDT_SIZE - 1;
	s.idt.limit = 0x3ff;
	/* Not busy, which QEMU's TCG does not survive in protected mode. */
	s.tr = (struct kvm_segment) {
		.base = base + TSS, .limit = 0x67, .selector = TSS_SEL, .present = 1,
		.type = row->mode == PROT ? 9 : 11,
	};
	vcpu_set_sregs(vcpu, &s);
}

static void run_row(const struct row *row, bool forced, struct result *result)
{
	u64 off = flat(row->mode);
	struct kvm_regs regs = {
		.rax = 0xa0a1a2a3, .rbx = off + DATA, .rcx = off + STACK - 0x200,
		.rdx = off + TARGET, .rsi = 0x51, .rdi = 0xd1, .rbp = 0xb9, .rsp = off + STACK,
		.r11 = 0x11, .rip = off + CODE, .rflags = RFLAGS_FIXED | IOPL3 | 0x45,
	};

	memset(result, 0, sizeof(*result));
	make_memory(row, forced);
	set_sregs(row);
	vcpu_set_msr(vcpu, 0xc0000081, (u64)KCS64 << 32 | (u64)UCS32 << 48 |
		     (row->mode == PROT ? off + TARGET : 0));
	vcpu_set_msr(vcpu, 0xc0000082, off + TARGET);
	vcpu_set_msr(vcpu, 0xc0000083, off + TARGET + 0x20);
	vcpu_set_msr(vcpu, 0xc0000084, 0x8d5);	/* QEMU's TCG clears these anyway */
	vcpu_set_msr(vcpu, 0x174, KCS32);
	vcpu_set_msr(vcpu, 0x175, off + STACK - 0x300);
	vcpu_set_msr(vcpu, 0x176, off + TARGET);
	vcpu_set_regs(vcpu, &regs);
	result->reason = vcpu_run(vcpu);
	vcpu_get_regs(vcpu, &result->regs);
	vcpu_get_sregs(vcpu, &result->sregs);
	memcpy(result->ram, vm->ram + base_of(row->mode), SIZE);
	memset(result->ram, 0, 5);
	if (result->reason == KVM_EXIT_IO)
		vcpu_finish_io(vcpu);
}

static bool same_segment(const struct kvm_segment *a, const struct kvm_segment *b)
{
	return !memcmp(a, b, offsetof(struct kvm_segment, padding));
}

/* The pushed flags of a fault have RF set or not by who raised it. */
static void forget_rf(struct result *r, const struct row *row)
{
	int unit = row->mode == REAL ? 2 : row->mode == PROT ? 4 : 8;
	u64 at = r->regs.rip - flat(row->mode);

	if (at < HANDLERS || at >= HANDLERS + 0x80)
		return;
	for (int i = 0; i < 4 && unit > 2; i++)
		r->ram[(r->regs.rsp - flat(row->mode)) + i * unit + 2] &= ~1;
}

static void compare(const struct row *row, struct result *cpu, struct result *emul)
{
	const struct kvm_sregs *a = &cpu->sregs, *b = &emul->sregs;

	EXPECT_EQ(cpu->reason, KVM_EXIT_IO);
	EXPECT_EQ(emul->reason, KVM_EXIT_IO);
	forget_rf(cpu, row);
	forget_rf(emul, row);
	for (size_t i = 0; i < sizeof(cpu->regs) / 8; i++) {
		test_context("%s: register %zu", row->name, i);
		EXPECT_EQ(((u64 *)&emul->regs)[i], ((u64 *)&cpu->regs)[i]);
	}
	test_context("%s", row->name);
	EXPECT_TRUE(same_segment(&a->cs, &b->cs));
	EXPECT_TRUE(same_segment(&a->ss, &b->ss));
	EXPECT_TRUE(same_segment(&a->ds, &b->ds));
	EXPECT_TRUE(same_segment(&a->es, &b->es));
	EXPECT_EQ(b->cr0, a->cr0);
	for (u64 i = 0; i < SIZE; i += 8) {
		test_context("%s: memory at %#lx", row->name, i);
		EXPECT_EQ(*(u64 *)(emul->ram + i), *(u64 *)(cpu->ram + i));
	}
}

static void force(void)
{
	/* Whether Bochs does all of these as the manuals have it has not been looked into. */
	if (getenv("VMX_HOST"))
		test_skip("the CPU is Bochs's");
	if (!test_force_emulation())
		test_skip("the emulator cannot be asked for");
}

/* A user's pages, one to one. */
static void let_user(void)
{
	u64 table = GUEST_PT;

	for (int shift = 39; shift >= 12; shift -= 9) {
		u64 *entry = (u64 *)(vm->ram + table) + (GUEST_FREE >> shift & 511);

		*entry |= PTE_U;
		if (*entry & PTE_PS)
			return;
		table = *entry & 0xffffffffff000;
	}
}

/* What the emulator does not know is an internal error, or, in a user's code, #UD. */
static bool unknown(const struct row *row, const struct result *emul)
{
	return emul->reason == KVM_EXIT_INTERNAL_ERROR ||
	       (row->flags & USER && emul->regs.rip == flat(row->mode) + HANDLERS + 4 * 6);
}

static void start(void)
{
	vcpu = guest_new(NULL);
	vm = vcpu->vm;
	let_user();
}

TEST(transfers)
{
	bool kvm = !on_minihv();
	static struct result cpu, emul;
	int left_out = 0;

	force();
	start();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		test_context("%s", row->name);
		run_row(row, false, &cpu);
		run_row(row, true, &emul);
		if (emul.reason != KVM_EXIT_IO)
			start();	/* the vCPU may be of no use any more */
		if (kvm ? unknown(row, &emul) && !unknown(row, &cpu) : row->flags & BEYOND) {
			EXPECT_TRUE(unknown(row, &emul));
			left_out++;
		} else {
			compare(row, &cpu, &emul);
		}
	}
	test_info("%d of %zu are not known to the emulator", left_out, ARRAY_SIZE(rows));
}

TEST(rdpid)
{
	static const struct row row = {
		.name = "rdpid", .mode = LONG, .insn = { 0xf3, 0x0f, 0xc7, 0xf8 }, .len = 4,
	};
	static struct result emul;
	struct kvm_cpuid2 *cpuid;

	force();
	vm = vm_new();
	vcpu = vcpu_new(vm, 0);
	cpuid = supported_cpuid();
	if (!(cpuid_entry(cpuid, 0x80000001, 0)->edx & BIT(27)))
		test_skip("no TSC_AUX");
	cpuid_entry(cpuid, 7, 0)->ecx |= BIT(22);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	ASSERT_EQ(vcpu_set_msr(vcpu, 0xc0000103, 0x12345678), 1);
	run_row(&row, true, &emul);
	EXPECT_EQ(emul.reason, KVM_EXIT_IO);
	EXPECT_EQ(emul.regs.rip, GUEST_FREE + 10);
	EXPECT_EQ(emul.regs.rax, 0x12345678);
	/* A guest that has it not gets #UD. */
	start();
	run_row(&row, true, &emul);
	if (!(cpuid_entry(supported_cpuid(), 7, 0)->ecx & BIT(22)))
		EXPECT_EQ(emul.regs.rip, GUEST_FREE + HANDLERS + 4 * 6);
}
