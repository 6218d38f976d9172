// SPDX-License-Identifier: GPL-2.0
/*
 * umip.c - CR4.UMIP: SGDT, SIDT, SLDT, STR and SMSW are for the kernel alone. Also where a CPU
 * without it is made to exit on them, as VMX's can be: then what the kernel does with these
 * registers, which exits as well, works as before, and SMSW, which does not exit, is everybody's.
 */
#include <cpuid.h>
#include <stdbool.h>

#include "guest.h"
#include "vm.h"

#define CR4_UMIP	BIT(11)
#define GP	13
#define UD	6
#define NONE	256

/* Descriptors behind those of the library. */
#define UCS32		0x803
#define LDT		0x810
#define TSS		0x820

/* In 2 MiB that ring 3 has, too. */
#define USER_CODE	GUEST_FREE
#define USER_DATA	(GUEST_FREE + 0x1000)
#define USER_STACK	(GUEST_FREE + 0x3000)
#define NEW_GDT		(GUEST_FREE + 0x4000)
#define NEW_IDT		(GUEST_FREE + 0x5000)
#define NEW_LDT		(GUEST_FREE + 0x6000)
#define NEW_TSS		(GUEST_FREE + 0x7000)
#define DEVICE		0xd0000000ULL

/* What an instruction with these bytes does, RAX being an address. 32-bit code has the same. */
enum what { PRIVILEGED, GDT_MEM, IDT_MEM, LDT_MEM, LDT_REG, TR_MEM, TR_REG, CR0_MEM, CR0_REG };

static const struct row {
	const char *name;
	u8 bytes[3];
	u8 what;
} rows[] = {
	{ "sgdt (%rax)", { 0x0f, 0x01, 0x00 }, GDT_MEM },
	{ "sidt (%rax)", { 0x0f, 0x01, 0x08 }, IDT_MEM },
	{ "sldt (%rax)", { 0x0f, 0x00, 0x00 }, LDT_MEM },
	{ "sldt %ecx", { 0x0f, 0x00, 0xc1 }, LDT_REG },
	{ "str (%rax)", { 0x0f, 0x00, 0x08 }, TR_MEM },
	{ "str %ecx", { 0x0f, 0x00, 0xc9 }, TR_REG },
	{ "smsw (%rax)", { 0x0f, 0x01, 0x20 }, CR0_MEM },
	{ "smsw %ecx", { 0x0f, 0x01, 0xe1 }, CR0_REG },
	{ "lgdt (%rax)", { 0x0f, 0x01, 0x10 }, PRIVILEGED },
	{ "lidt (%rax)", { 0x0f, 0x01, 0x18 }, PRIVILEGED },
	{ "lldt %ecx", { 0x0f, 0x00, 0xd1 }, PRIVILEGED },
	{ "ltr %ecx", { 0x0f, 0x00, 0xd9 }, PRIVILEGED },
};

#define NR_ROWS	ARRAY_SIZE(rows)
#define FILLER	0xa5a5a5a5a5a5a5a5ULL

struct outcome {
	u64 vector, error, rip, rcx;
	u64 mem[2];
};

/* The guest's: of each row, with UMIP off and on, in 64-bit mode and in compatibility mode. */
static struct outcome outcomes[2][2][NR_ROWS];
static struct outcome last;
static u64 rows_umip, rows_forced, rows_address, rows_reading, emulated;
static u64 kernel_rsp, kernel_rip, user_rip, user_cs;

static void set_umip(bool on)
{
	asm volatile("mov %0, %%cr4"
		     : : "r" (on ? GET("cr4") | CR4_UMIP : GET("cr4") & ~CR4_UMIP) : "memory");
}

/* Back from ring 3, behind the IRET that went there. */
static void on_fault(struct isr_frame *frame)
{
	if (!(frame->cs & 3)) {
		ucall(UCALL_EXCEPTION, frame->vector, frame->error, frame->rip);
		return;
	}
	last.vector = frame->vector;
	last.error = frame->error;
	last.rip = frame->rip;
	last.rcx = frame->rcx;
	frame->rip = kernel_rip;
	frame->rsp = kernel_rsp;
	frame->cs = GUEST_CS64;
	frame->ss = GUEST_DS;
	frame->rflags = RFLAGS_FIXED;
}

/* An IRET to ring 3 clears segment registers that are too good for it. */
static void in_ring3(u64 cs, u64 rip, u64 address)
{
	u64 rcx = FILLER;

	user_cs = cs;
	user_rip = rip;
	asm volatile("push %%rbp\n\t"
		     "mov %[uds], %%edx\n\t"
		     "mov %%edx, %%ds\n\t"
		     "lea 1f(%%rip), %%rdx\n\t"
		     "mov %%rdx, %[kernel_rip]\n\t"
		     "mov %%rsp, %[kernel_rsp]\n\t"
		     "pushq %[uds]\n\t"
		     "pushq %[stack]\n\t"
		     "pushq %[flags]\n\t"
		     "pushq %[cs]\n\t"
		     "pushq %[rip]\n\t"
		     "iretq\n"
		     "1: pop %%rbp"
		     : "+a" (address), "+c" (rcx), [kernel_rip] "=m" (kernel_rip),
		       [kernel_rsp] "=m" (kernel_rsp)
		     : [uds] "i" (GUEST_UDS), [stack] "i" ((u32)USER_STACK),
		       [flags] "i" ((u32)RFLAGS_FIXED), [cs] "m" (user_cs), [rip] "m" (user_rip)
		     : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
		       "r15", "cc", "memory");
}

/* With UD2 behind it; and with what has it emulated before it. */
static void write_row(const struct row *row)
{
	u8 *p = (u8 *)USER_CODE;

	if (rows_forced) {
		*p++ = 0x0f;
		*p++ = 0x0b;
		*p++ = 'k';
		*p++ = 'v';
		*p++ = 'm';
	}
	for (size_t i = 0; i < sizeof(row->bytes); i++)
		*p++ = row->bytes[i];
	*p++ = 0x0f;
	*p++ = 0x0b;
}

static void try_row(const struct row *row, struct outcome *o, u64 cs)
{
	u64 *mem = (u64 *)USER_DATA;

	mem[0] = FILLER;
	mem[1] = FILLER;
	write_row(row);
	in_ring3(cs, USER_CODE, rows_address);
	o->vector = last.vector;
	o->error = last.error;
	o->rip = last.rip;
	o->rcx = last.rcx;
	o->mem[0] = mem[0];
	o->mem[1] = mem[1];
}

static void rows_guest(void)
{
	isr_table[UD] = on_fault;
	isr_table[GP] = on_fault;
	asm volatile("lldt %w0" : : "r" (LDT));
	for (u64 umip = 0; umip <= rows_umip; umip++) {
		if (rows_umip)
			set_umip(umip);
		for (size_t i = 0; i < NR_ROWS; i++) {
			try_row(&rows[i], &outcomes[umip][0][i], GUEST_UCS64);
			try_row(&rows[i], &outcomes[umip][1][i], UCS32);
		}
	}
	guest_done();
}

static bool umip_offered(void)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(supported_cpuid(), 7, 0);

	return e && e->ecx & BIT(2);
}

static void need_umip(void)
{
	if (!umip_offered())
		test_skip("no UMIP");
}

static bool cpu_has_umip(void)
{
	u32 a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & BIT(2);
}

static u64 system_descriptor(u64 base, u64 limit, u64 type)
{
	return limit | base << 16 | type << 40;
}

static struct vcpu *umip_vcpu(void (*fn)(void))
{
	struct vcpu *vcpu = guest_new(fn);
	u8 *ram = vcpu->vm->ram;
	u64 *gdt = (u64 *)(ram + GUEST_GDT);
	u64 *pd = (u64 *)(ram + GUEST_PT + 0x2000);

	gdt[UCS32 / 8] = 0x00cffb000000ffff;
	gdt[LDT / 8] = system_descriptor(NEW_LDT, 15, 0x82);
	gdt[TSS / 8] = system_descriptor(NEW_TSS, 0x67, 0x89);
	memcpy(ram + NEW_GDT, ram + GUEST_GDT, 0x1000);
	memcpy(ram + NEW_IDT, ram + GUEST_IDT, 0x1000);
	*(u64 *)(ram + NEW_LDT) = gdt[GUEST_DS / 8];
	pd[GUEST_FREE >> 21] |= PTE_U;
	pd[DEVICE >> 21] |= PTE_U;
	return vcpu;
}

static struct vcpu *rows_vcpu(bool umip, bool forced, u64 address)
{
	struct vcpu *vcpu = umip_vcpu(rows_guest);

	guest_var(vcpu->vm, rows_umip) = umip;
	guest_var(vcpu->vm, rows_forced) = forced;
	guest_var(vcpu->vm, rows_address) = address;
	return vcpu;
}

static u64 low_bytes(u64 value, unsigned int n)
{
	return (value & (BIT(8 * n) - 1)) | (FILLER & ~(BIT(8 * n) - 1));
}

/* What it stores, as if it were allowed. */
static void expect_result(const struct outcome *o, u8 what, bool compat, u64 cr0)
{
	u64 mem[2] = { FILLER, FILLER }, rcx = FILLER;

	switch (what) {
	case GDT_MEM:
		mem[0] = 0xfff | GUEST_GDT << 16;
		break;
	case IDT_MEM:
		mem[0] = 0xfff | GUEST_IDT << 16;
		break;
	case LDT_MEM:
		mem[0] = low_bytes(LDT, 2);
		break;
	case LDT_REG:
		rcx = LDT;
		break;
	case TR_MEM:
		mem[0] = low_bytes(GUEST_TR, 2);
		break;
	case TR_REG:
		rcx = GUEST_TR;
		break;
	case CR0_MEM:
		mem[0] = low_bytes(cr0, 2);
		break;
	case CR0_REG:
		rcx = (u16)cr0;
		break;
	}
	if (what == GDT_MEM || what == IDT_MEM) {
		if (compat)
			mem[0] = low_bytes(mem[0], 6);
		else
			mem[1] = low_bytes(0, 2);
	}
	EXPECT_EQ(o->mem[0], mem[0]);
	EXPECT_EQ(o->mem[1], mem[1]);
	/* Of CR0, the upper half need not be there. */
	EXPECT_EQ(what == CR0_REG ? (u16)o->rcx : o->rcx, rcx);
}

static void expect_refused(const struct outcome *o, u64 rip)
{
	EXPECT_EQ(o->vector, GP);
	EXPECT_EQ(o->error, 0);
	EXPECT_EQ(o->rip, rip);
	EXPECT_EQ(o->rcx, FILLER);
	EXPECT_EQ(o->mem[0], FILLER);
	EXPECT_EQ(o->mem[1], FILLER);
}

static void expect_rows(struct vcpu *vcpu, bool umip, bool forced, bool smsw_refused)
{
	u64 rip = USER_CODE + (forced ? 5 : 0);
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	for (size_t i = 0; i < 2 * NR_ROWS; i++) {
		const struct row *row = &rows[i / 2];
		const struct outcome *o = &guest_var(vcpu->vm, outcomes)[umip][i & 1][i / 2];
		bool smsw = row->what == CR0_MEM || row->what == CR0_REG;

		test_context("%s%s, UMIP %d%s", row->name, i & 1 ? ", compatibility mode" : "",
			     umip, forced ? ", emulated" : "");
		if (row->what == PRIVILEGED || (umip && (!smsw || smsw_refused))) {
			expect_refused(o, rip);
			continue;
		}
		EXPECT_EQ(o->vector, UD);
		EXPECT_EQ(o->rip, rip + sizeof(row->bytes));
		expect_result(o, row->what, i & 1, sregs.cr0);
	}
}

TEST(ring3_without)
{
	struct vcpu *vcpu = rows_vcpu(false, false, USER_DATA);

	run_done(vcpu);
	expect_rows(vcpu, false, false, false);
}

TEST(ring3)
{
	struct vcpu *vcpu;

	need_umip();
	vcpu = rows_vcpu(true, false, USER_DATA);
	run_done(vcpu);
	expect_rows(vcpu, false, false, false);
	expect_rows(vcpu, true, false, cpu_has_umip());
}

/* Whoever emulates one of the five, for whatever reason, minds the bit. */
TEST(ring3_emulated)
{
	struct vcpu *vcpu;

	need_umip();
	if (!test_force_emulation())
		test_skip("emulation cannot be forced");
	vcpu = rows_vcpu(true, true, USER_DATA);
	run_done(vcpu);
	expect_rows(vcpu, false, true, false);
	expect_rows(vcpu, true, true, true);
}

static void device_guest(void)
{
	isr_table[UD] = on_fault;
	isr_table[GP] = on_fault;
	set_umip(true);
	for (size_t i = 0; i < NR_ROWS; i++) {
		if (rows[i].what == LDT_REG || rows[i].what == TR_REG || rows[i].what == CR0_REG)
			continue;
		if (!rows_reading && (rows[i].what == LDT_MEM || rows[i].what == TR_MEM))
			continue;
		try_row(&rows[i], &outcomes[1][0][i], GUEST_UCS64);
		GUEST_EXPECT_EQ(last.vector, GP);
		GUEST_EXPECT_EQ(last.error, 0);
		GUEST_EXPECT_EQ(last.rip, USER_CODE);
	}
	guest_done();
}

/*
 * The refusal comes before the access: no exit to userspace.  But for SLDT and STR, which KVM's
 * emulator has read the device before, though they only store.
 */
TEST(ring3_to_a_device)
{
	struct vcpu *vcpu;

	need_umip();
	vcpu = umip_vcpu(device_guest);
	guest_var(vcpu->vm, rows_address) = DEVICE;
	guest_var(vcpu->vm, rows_reading) = on_minihv();
	run_done(vcpu);
}

/* ---- ring 0 ---- */

/* As in memory: nothing is aligned to more than two bytes. */
struct table {
	u16 limit;
	u16 base[4];
};

static struct table stored, loaded;
static u16 selector;

static u64 table_base(const struct table *t)
{
	return t->base[0] | (u64)t->base[1] << 16 | (u64)t->base[2] << 32 | (u64)t->base[3] << 48;
}

static void set_table(struct table *t, u16 limit, u64 base)
{
	t->limit = limit;
	for (int i = 0; i < 4; i++)
		t->base[i] = base >> 16 * i;
}

#define EXPECT_TABLE(what, l, b) do {						\
	asm volatile("s" what " %0" : "=m" (stored));				\
	GUEST_EXPECT_EQ(stored.limit, l);					\
	GUEST_EXPECT_EQ(table_base(&stored), b);				\
} while (0)

#define LOAD_TABLE(what, l, b) do {						\
	set_table(&loaded, l, b);						\
	asm volatile("l" what " %0" : : "m" (loaded) : "memory");		\
} while (0)

/* To a register, whose upper part becomes 0, and to memory. */
static u64 get_ldtr(void)
{
	u64 reg = FILLER;

	asm volatile("sldt %q0" : "+r" (reg));
	asm volatile("sldt %0" : "=m" (selector));
	GUEST_EXPECT_EQ(reg, selector);
	return reg;
}

static u64 get_tr(void)
{
	u64 reg = FILLER;

	asm volatile("str %q0" : "+r" (reg));
	asm volatile("str %0" : "=m" (selector));
	GUEST_EXPECT_EQ(reg, selector);
	return reg;
}

static void gdt_and_idt(void)
{
	u64 a = 0, c = 0, d = 0;

	EXPECT_TABLE("gdt", 0xfff, GUEST_GDT);
	LOAD_TABLE("gdt", 0xeff, NEW_GDT);
	EXPECT_TABLE("gdt", 0xeff, NEW_GDT);
	asm volatile("mov %0, %%es" : : "r" (GUEST_DS));
	LOAD_TABLE("gdt", 0xfff, GUEST_GDT);

	EXPECT_TABLE("idt", 0xfff, GUEST_IDT);
	LOAD_TABLE("idt", 0xefe, NEW_IDT);
	EXPECT_TABLE("idt", 0xefe, NEW_IDT);
	GUEST_TRY("ud2", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, UD);
	LOAD_TABLE("idt", 0xfff, GUEST_IDT);

	/* QEMU's TCG does not mind. */
	if (!(emulated && GET("cr4") & CR4_UMIP))
		return;
	set_table(&loaded, 0xfff, 1ULL << 63);
	a = (u64)&loaded;
	GUEST_TRY("lgdt (%%rax)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, GP);
	GUEST_TRY("lidt (%%rax)", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, GP);
	EXPECT_TABLE("gdt", 0xfff, GUEST_GDT);
	EXPECT_TABLE("idt", 0xfff, GUEST_IDT);
}

static void ldt_and_tr(void)
{
	u64 *gdt = (u64 *)GUEST_GDT;
	u64 a, c = 0, d = 0;

	GUEST_EXPECT_EQ(get_ldtr(), 0);
	selector = LDT;
	asm volatile("lldt %0" : : "m" (selector));
	GUEST_EXPECT_EQ(get_ldtr(), LDT);
	asm volatile("mov %0, %%fs" : : "r" (4));	/* its first descriptor */
	a = GUEST_DS;
	GUEST_TRY("lldt %%ax", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, GP);
	GUEST_EXPECT_EQ(guest_fault.error, GUEST_DS);

	GUEST_EXPECT_EQ(get_tr(), GUEST_TR);
	a = TSS;
	GUEST_TRY("ltr %%ax", a, c, d);
	GUEST_EXPECT_EQ(guest_fault.vector, NONE);
	GUEST_EXPECT_EQ(get_tr(), TSS);
	GUEST_EXPECT_EQ(gdt[TSS / 8] >> 40 & 0xff, 0x8b);
	GUEST_TRY("ltr %%ax", a, c, d);			/* which is busy now */
	GUEST_EXPECT_EQ(guest_fault.vector, GP);
	GUEST_EXPECT_EQ(guest_fault.error, TSS);
	guest_sync(0);

	selector = GUEST_TR;
	asm volatile("ltr %0" : : "m" (selector));
	gdt[GUEST_TR / 8] &= ~BIT(41);
	gdt[TSS / 8] &= ~BIT(41);
	asm volatile("lldt %w0" : : "r" (0));
}

static void ring0_guest(void)
{
	u64 smsw;

	for (u64 umip = 0; umip <= rows_umip; umip++) {
		if (rows_umip)
			set_umip(umip);
		gdt_and_idt();
		ldt_and_tr();
		asm volatile("smsw %0" : "=r" (smsw));
		GUEST_EXPECT_EQ((u16)smsw, (u16)GET("cr0"));
	}
	guest_done();
}

TEST(ring0)
{
	bool umip = umip_offered();
	struct vcpu *vcpu = umip_vcpu(ring0_guest);
	struct kvm_sregs sregs;

	guest_var(vcpu->vm, rows_umip) = umip;
	guest_var(vcpu->vm, emulated) = umip && !cpu_has_umip();
	for (int i = 0; i <= umip; i++) {
		test_context("UMIP %d", i);
		EXPECT_EQ(run_sync(vcpu), 0);
		vcpu_get_sregs(vcpu, &sregs);
		EXPECT_EQ(sregs.cr4 & CR4_UMIP, i ? CR4_UMIP : 0);
		EXPECT_EQ(sregs.ldt.selector, LDT);
		EXPECT_EQ(sregs.ldt.base, NEW_LDT);
		EXPECT_EQ(sregs.ldt.limit, 15);
		EXPECT_EQ(sregs.tr.selector, TSS);
		EXPECT_EQ(sregs.tr.base, NEW_TSS);
		EXPECT_EQ(sregs.tr.limit, 0x67);
		EXPECT_EQ(sregs.tr.type, 11);
	}
	run_done(vcpu);
}

#define TIMES	2000

static void exits_guest(void)
{
	guest_sync(0);
	for (;;) {
		for (int i = 0; i < TIMES; i++) {
			asm volatile("sgdt %0" : "=m" (stored));
			asm volatile("sldt %0" : "=m" (selector));
		}
		guest_sync(0);
		set_umip(!(GET("cr4") & CR4_UMIP));
	}
}

/* Nobody pays for it who has not switched it on, nor where the CPU does it. */
TEST(exits_only_where_they_must)
{
	struct vcpu *vcpu;
	u64 before, after;
	int fd;

	need_umip();
	NEED_CAP(KVM_CAP_BINARY_STATS_FD);
	vcpu = umip_vcpu(exits_guest);
	fd = xioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	run_sync(vcpu);
	before = stats_counter(fd, "exits");
	for (int i = 0; i < 3; i++) {
		run_sync(vcpu);
		after = stats_counter(fd, "exits");
		test_context("loop %d", i);
		if (i & 1 && !cpu_has_umip())
			EXPECT_GE(after - before, 2 * TIMES);
		else
			EXPECT_LE(after - before, TIMES);
		before = after;
	}
}

/* ---- real mode, which has no SLDT: its #UD comes before anything else ---- */

#define REAL_CODE	0x4000
#define REAL_UD		0x5000
#define REAL_DATA	0x6000
GUEST_ASM(real, 16,
	  "mov $0x800, %eax\n mov %eax, %cr4\n"
	  "lgdtl 0x6000\n sgdtl 0x6020\n lidtl 0x6010\n sidtl 0x6028\n"
	  "smsw %ax\n mov %ax, 0x6030\n"
	  "sldt %ax\n hlt");
GUEST_ASM(real_ud, 16, "movw $1, 0x6032\n hlt");

TEST(real_mode)
{
	struct vcpu *vcpu;
	struct kvm_sregs sregs;
	struct vm *vm;
	u8 *data;

	need_umip();
	vm = vm_new();
	data = vm->ram + REAL_DATA;
	vcpu = vcpu_new(vm, 0);
	vcpu_cpuid(vcpu);
	vcpu_real(vcpu, REAL_CODE);
	GUEST_ASM_COPY(vm, REAL_CODE, real);
	GUEST_ASM_COPY(vm, REAL_UD, real_ud);
	*(u16 *)(vm->ram + 4 * UD) = REAL_UD;
	set_table((struct table *)data, 0x7f, 0x654321);
	set_table((struct table *)(data + 16), 0x3fe, 0);
	expect_exit(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(*(u64 *)(data + 0x20), 0x654321ULL << 16 | 0x7f);
	EXPECT_EQ(*(u64 *)(data + 0x28), 0x3fe);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.cr4, CR4_UMIP);
	EXPECT_EQ(sregs.gdt.base, 0x654321);
	EXPECT_EQ(sregs.gdt.limit, 0x7f);
	EXPECT_EQ(sregs.idt.limit, 0x3fe);
	EXPECT_EQ(*(u16 *)(data + 0x30), (u16)sregs.cr0);
	EXPECT_EQ(*(u16 *)(data + 0x32), 1);
}

/* ---- the bit itself ---- */

static void toggled_guest(void)
{
	isr_table[UD] = on_fault;
	isr_table[GP] = on_fault;
	write_row(&rows[0]);
	for (;;) {
		guest_sync(GET("cr4") & CR4_UMIP);
		EXPECT_TABLE("gdt", 0xfff, GUEST_GDT);
		in_ring3(GUEST_UCS64, USER_CODE, USER_DATA);
		guest_sync(last.vector);
	}
}

TEST(set_by_userspace)
{
	struct vcpu *vcpu;
	struct kvm_sregs sregs;

	need_umip();
	vcpu = umip_vcpu(toggled_guest);
	vcpu_get_sregs(vcpu, &sregs);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(run_sync(vcpu), i & 1 ? CR4_UMIP : 0);
		EXPECT_EQ(run_sync(vcpu), i & 1 ? GP : UD);
		vcpu_finish_io(vcpu);
		vcpu_get_sregs(vcpu, &sregs);
		EXPECT_EQ(sregs.cr4 & CR4_UMIP, i & 1 ? CR4_UMIP : 0);
		sregs.cr4 ^= CR4_UMIP;
		vcpu_set_sregs(vcpu, &sregs);
	}
}

static void offered_guest(void)
{
	u64 cr4 = GET("cr4");

	guest_sync(guest_cpuid(7, 0).c & BIT(2));
	guest_sync(TRY_MOV("cr4", cr4 | CR4_UMIP));
	guest_sync(GET("cr4") ^ cr4);
	guest_done();
}

/* What GET_SUPPORTED_CPUID says is what there is, and a guest that is not told has none. */
TEST(offered)
{
	for (int tell = 0; tell < 2; tell++) {
		struct vm *vm = vm_new();
		struct vcpu *vcpu = vcpu_new(vm, 0);
		struct kvm_cpuid2 *cpuid = supported_cpuid();
		struct kvm_cpuid_entry2 *e = cpuid_entry(cpuid, 7, 0);
		bool has = tell && umip_offered();
		struct kvm_sregs sregs;

		test_context("%s", tell ? "as offered" : "without");
		if (e && !tell)
			e->ecx &= ~BIT(2);
		xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
		vcpu_long(vcpu, offered_guest, 0);
		EXPECT_EQ(run_sync(vcpu), has ? BIT(2) : 0);
		EXPECT_EQ(run_sync(vcpu), has ? NONE : GP);
		EXPECT_EQ(run_sync(vcpu), has ? CR4_UMIP : 0);
		run_done(vcpu);
		vcpu_get_sregs(vcpu, &sregs);
		sregs.cr4 |= CR4_UMIP;
		if (has)
			EXPECT_RET(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), 0);
		else
			EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, &sregs), EINVAL);
		vm_free(vm);
	}
}
