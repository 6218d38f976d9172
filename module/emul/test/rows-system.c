// SPDX-License-Identifier: GPL-2.0
/*
 * rows-system.c - of rows: descriptors, tasks, far transfers, privilege, system registers.
 * Entered from main() of rows.c.
 * No locks: one thread.
 * AMD APM vol. 2 and 3; Intel SDM vol. 3.
 */
#include "machine.h"

bool test_descriptors(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	make_gdt();
	GPR(RAX) = 0x10;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK && m.seg[EMUL_DS].attr == 0xc093);
	EXPECT(m.seg[EMUL_DS].limit == 0xffffffff && m.seg[EMUL_DS].sel == 0x10);
	EXPECT(m.mem[GDT + 0x15] == 0x93);			/* accessed */
	GPR(RAX) = 0x18;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_NP, 0x18));
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_SS, 0x18));
	GPR(RAX) = 0x08;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK);			/* code that can be read */
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0x08));
	GPR(RAX) = 0x28;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x28));
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);		/* lldt */
	EXPECT(m.seg[EMUL_LDTR].base == 0x7000 && m.seg[EMUL_LDTR].limit == 0x27);
	GPR(RAX) = 0x100;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x100));	/* beyond the limit */
	GPR(RAX) = 0x2c;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x2c));	/* beyond the LDT's */
	GPR(RAX) = 0;
	EXPECT(run(2, 0x8e, 0xd8) == EMUL_OK && m.seg[EMUL_DS].attr & EMUL_SEG_UNUSABLE);
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0));
	GPR(RAX) = 0x13;
	EXPECT(faulted(run(2, 0x8e, 0xd8), VEC_GP, 0x10));	/* RPL 3 of a DPL 0 segment */
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0x10));
	GPR(RAX) = 0x30;
	EXPECT(run(3, 0x0f, 0x00, 0xd8) == EMUL_OK && m.mem[GDT + 0x35] == 0x8b);	/* ltr */
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* busy now */
	m.ctx.cpl = 3;
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0));
	GPR(RAX) = 0x3b;
	EXPECT(run(2, 0x8e, 0xc0) == EMUL_OK && run(2, 0x8e, 0xd0) == EMUL_OK);
	GPR(RAX) = 0x10;
	EXPECT(faulted(run(2, 0x8e, 0xc0), VEC_GP, 0x10));
	return ok;
}

/* One task, of the TSS at 0x6000, runs; another, of that at 0x6100, is to. */
static void make_tasks(void)
{
	reset(EMUL_MODE_PROT32);
	make_gdt();
	put(GDT + 0x40, 0x00008b0060000067, 8);
	put(GDT + 0x48, 0x0000890061000067, 8);
	m.seg[EMUL_GDTR].limit = 0x4f;
	m.seg[EMUL_TR] = (struct emul_seg){ .base = 0x6000, .limit = 0x67, .sel = 0x40,
					    .attr = 0x8b };
	m.seg[EMUL_CS].sel = 8;
	put(0x6100 + 0x20, 0x4000, 4);
	put(0x6100 + 0x24, 2, 4);
	put(0x6100 + 0x38, 0x7000, 4);
	put(0x6100 + 0x4c, 8, 4);
	put(0x6100 + 0x50, 0x10, 4);
}

/* From one to the other and back; what faults before, what after. */
bool test_tasks(void)
{
	bool ok = true;

	make_tasks();
	GPR(RBX) = 0x1234;
	EXPECT(faulted(run(7, 0xea, 0, 0, 0, 0, 0x40, 0), VEC_GP, 0x40));	/* busy */
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	EXPECT(m.ctx.rip == 0x4000 && GPR(RSP) == 0x7000 && m.special == EMUL_SP_TASK);
	EXPECT(mem32(0x6020) == CODE + 7 && mem32(0x6034) == 0x1234 && mem16(0x6100) == 0x40);
	EXPECT(m.seg[EMUL_TR].sel == 0x48 && m.seg[EMUL_TR].attr == 0x8b);
	EXPECT(m.seg[EMUL_DS].attr & EMUL_SEG_UNUSABLE && m.ctx.rflags == (FLAG_NT | 2));
	EXPECT(m.mem[GDT + 0x4d] == 0x8b);
	m.mem[0x6064] = 1;			/* the T bit */
	put(0x604c, 8, 4);
	put(0x6050, 0x10, 4);
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.after && m.ctx.fault.vector == VEC_DB);
	EXPECT(m.ctx.rip == CODE + 7 && GPR(RBX) == 0x1234 && m.mem[GDT + 0x4d] == 0x89);
	EXPECT(mem32(0x6124) == 2);		/* the task that IRET left is not nested any more */
	put(0x6100 + 0x54, 0x18, 4);		/* DS is not present */
	EXPECT(run(7, 0xea, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.after);
	EXPECT(m.ctx.fault.vector == VEC_NP && m.ctx.fault.error_code == 0x18);
	EXPECT(m.mem[GDT + 0x45] == 0x89 && m.mem[GDT + 0x4d] == 0x8b);
	put(0x604c, 0xb, 4);			/* CS of level 0 in a task of level 3 */
	EXPECT(run(7, 0xea, 0, 0, 0, 0, 0x40, 0) == EMUL_OK && m.ctx.after);
	EXPECT(m.ctx.fault.vector == VEC_TS && m.ctx.fault.error_code == 8);
	return ok;
}

/* Both TSSs have to be long enough, the old one for what is saved; nothing is written before. */
bool test_task_limits(void)
{
	bool ok = true;

	make_tasks();
	put(GDT + 0x48, 0x0000890061000066, 8);
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x48));
	put(GDT + 0x48, 0x000081006100002a, 8);
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x48));
	put(GDT + 0x48, 0x0000890061000067, 8);
	m.seg[EMUL_TR].limit = 0x5e;
	EXPECT(faulted(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0), VEC_TS, 0x40));
	EXPECT(!mem32(0x6020) && !mem16(0x6100));
	m.seg[EMUL_TR].limit = 0x5f;
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	/* Virtual-8086 mode is of level 3, whatever its CS. */
	make_tasks();
	put(0x6124, FLAG_VM | 2, 4);
	EXPECT(run(7, 0x9a, 0, 0, 0, 0, 0x48, 0) == EMUL_OK && m.ctx.switched && !m.ctx.after);
	EXPECT(m.ctx.cpl == 3 && m.ctx.mode == EMUL_MODE_VM86 && m.seg[EMUL_CS].base == 0x80);
	return ok;
}

bool test_far(void)
{
	bool ok = true;

	reset(EMUL_MODE_PROT32);
	make_gdt();
	m.seg[EMUL_CS].sel = 8;
	EXPECT(run(7, 0x9a, 0x00, 0x40, 0, 0, 0x08, 0x00) == EMUL_OK);	/* lcall $8, $0x4000 */
	EXPECT(m.ctx.rip == 0x4000 && mem32(0x7ff8) == CODE + 7 && mem16(0x7ffc) == 8);
	EXPECT(run(1, 0xcb) == EMUL_OK && m.ctx.rip == CODE + 7 && GPR(RSP) == 0x8000);
	EXPECT(faulted(run(7, 0xea, 0, 0x40, 0, 0, 0x10, 0), VEC_GP, 0x10));	/* data */
	EXPECT(run(7, 0xea, 0, 0x50, 0, 0, 0x20, 0) == EMUL_OK);	/* conforming */
	EXPECT(m.ctx.rip == 0x5000 && m.seg[EMUL_CS].sel == 0x20);
	put(0x7ff4, 0x4444, 4);			/* iret to the same level */
	put(0x7ff8, 8, 4);
	put(0x7ffc, FLAG_IF | FLAG_ZF | 2, 4);
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rip == 0x4444 && GPR(RSP) == 0x8000);
	EXPECT(m.ctx.rflags == (FLAG_IF | FLAG_ZF | 2));
	put(0x7ffc, FLAG_RF | FLAG_AC | 2, 4);	/* past a breakpoint that has hit */
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rflags == (FLAG_RF | FLAG_AC | 2));
	put(0x7ffc, FLAG_VIF | FLAG_VIP | FLAG_VM | 2, 4);
	GPR(RSP) = 0x7ff4;
	m.ctx.efer = 1 << 10;			/* no way to virtual-8086 mode */
	EXPECT(run(1, 0xcf) == EMUL_OK && m.ctx.rflags == (FLAG_VIF | FLAG_VIP | 2));
	m.ctx.efer = 0;
	put(0x7ff8, 0xb, 4);			/* to a lower privilege: not here */
	GPR(RSP) = 0x7ff4;
	EXPECT(run(1, 0xcf) == EMUL_UNHANDLEABLE);
	EXPECT(run(2, 0xcd, 0x80) == EMUL_UNHANDLEABLE);

	reset(EMUL_MODE_LONG);			/* 64-bit: SS:RSP comes along */
	make_gdt();
	put(GDT + 8, 0x00af9a000000ffff, 8);
	put(0x7fd8, 0x123456, 8);
	put(0x7fe0, 8, 8);
	put(0x7fe8, FLAG_CF | 2, 8);
	put(0x7ff0, 0xffff800000001000, 8);
	put(0x7ff8, 0x10, 8);
	GPR(RSP) = 0x7fd8;
	EXPECT(run(2, 0x48, 0xcf) == EMUL_OK && m.ctx.rip == 0x123456);
	EXPECT(GPR(RSP) == 0xffff800000001000 && m.seg[EMUL_SS].sel == 0x10);
	m.ctx.rflags |= FLAG_NT;
	EXPECT(faulted(run(2, 0x48, 0xcf), VEC_GP, 0));
	return ok;
}

bool test_privilege(void)
{
	static const u8 privileged[][3] = {
		{ 0xf4 }, { 0x0f, 0x32 }, { 0x0f, 0x30 }, { 0x0f, 0x06 }, { 0x0f, 0x08 },
		{ 0x0f, 0x09 }, { 0x0f, 0x20, 0xc0 }, { 0x0f, 0x22, 0xc0 }, { 0x0f, 0x21, 0xc0 },
		{ 0x0f, 0x23, 0xc0 }, { 0x0f, 0x01, 0x38 }, { 0x0f, 0x01, 0x10 },
		{ 0x0f, 0x01, 0xf0 }, { 0xfa }, { 0xfb }, { 0x0f, 0x00, 0xd0 },
	};
	static const u8 umip[][3] = {
		{ 0x0f, 0x01, 0x00 }, { 0x0f, 0x01, 0x08 }, { 0x0f, 0x01, 0xe0 },
		{ 0x0f, 0x00, 0xc0 }, { 0x0f, 0x00, 0xc8 },
	};
	unsigned int i;
	bool ok = true;

	reset(EMUL_MODE_LONG);
	GPR(RAX) = 0x2000;
	for (i = 0; i < sizeof(privileged) / 3; i++) {
		const u8 *b = privileged[i];

		m.ctx.cpl = 3;
		EXPECT(faulted(run(3, b[0], b[1], b[2]), VEC_GP, 0));
	}
	for (i = 0; i < sizeof(umip) / 3; i++) {
		const u8 *b = umip[i];

		m.ctx.cr4 &= ~(u64)EMUL_CR4_UMIP;
		EXPECT(run(3, b[0], b[1], b[2]) == EMUL_OK);
		m.ctx.cr4 |= EMUL_CR4_UMIP;
		EXPECT(faulted(run(3, b[0], b[1], b[2]), VEC_GP, 0));
	}
	EXPECT(run(2, 0x0f, 0x31) == EMUL_OK && m.special == EMUL_SP_RDTSC);
	m.ctx.cr4 |= EMUL_CR4_TSD;
	EXPECT(faulted(run(2, 0x0f, 0x31), VEC_GP, 0));
	EXPECT(faulted(run(2, 0x0f, 0x33), VEC_GP, 0));
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd1), VEC_UD, 0));	/* xsetbv without OSXSAVE */
	m.ctx.cr4 |= EMUL_CR4_OSXSAVE;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd1), VEC_GP, 0));
	EXPECT(run(3, 0x0f, 0x01, 0xd9) == EMUL_OK && m.special == EMUL_SP_VMMCALL);
	EXPECT(run(2, 0x0f, 0xa2) == EMUL_OK && m.special == EMUL_SP_CPUID);
	return ok;
}

bool test_system(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.msr = 0x1122334455667788;
	GPR(RCX) = 0xfffffffc0000080;
	EXPECT(run(2, 0x0f, 0x32) == EMUL_OK);
	EXPECT(GPR(RAX) == 0x55667788 && GPR(RDX) == 0x11223344);
	GPR(RDX) = ~0ull;
	EXPECT(run(2, 0x0f, 0x30) == EMUL_OK && m.set_reg[0] == EMUL_REG_MSR);
	EXPECT(m.set_reg[1] == 0xc0000080 && m.set_reg[2] == 0xffffffff55667788);
	m.cr[8] = 9;
	EXPECT(run(4, 0x44, 0x0f, 0x20, 0xc3) == EMUL_OK && GPR(RBX) == 9);	/* %cr8, %rbx */
	EXPECT(run(4, 0xf0, 0x0f, 0x22, 0xc3) == EMUL_OK && m.set_reg[1] == 8);
	EXPECT(faulted(run(3, 0x0f, 0x20, 0xc8), VEC_UD, 0));		/* CR1 */
	m.dr[6] = 0xffff0ff0;
	EXPECT(run(3, 0x0f, 0x21, 0xe0) == EMUL_OK && GPR(RAX) == 0xffff0ff0);	/* DR4 */
	m.ctx.cr4 |= EMUL_CR4_DE;
	EXPECT(faulted(run(3, 0x0f, 0x21, 0xe0), VEC_UD, 0));
	GPR(RAX) = 1ull << 32;
	EXPECT(faulted(run(3, 0x0f, 0x23, 0xf8), VEC_GP, 0));		/* DR7's upper half */
	m.dr[7] = DR7_GD;
	EXPECT(faulted(run(3, 0x0f, 0x21, 0xc0), VEC_DB, 0) && m.ctx.fault.address == DR6_BD);
	m.seg[EMUL_GS].base = 0x1000;
	GPR(RBX) = 0x800000000000;
	EXPECT(run(4, 0x65, 0x0f, 0x01, 0x3b) == EMUL_OK);		/* invlpg %gs:(%rbx) */
	EXPECT(m.special == EMUL_SP_INVLPG && m.special_arg == 0x800000001000);
	EXPECT(run(3, 0x0f, 0x01, 0xf8) == EMUL_OK);			/* swapgs */
	EXPECT(m.seg[EMUL_GS].base == 0x1122334455667788 && m.set_reg[2] == 0x1000);
	GPR(RBX) = 0x2000;
	put(0x2002, 0x8000000000000000, 8);
	EXPECT(faulted(run(3, 0x0f, 0x01, 0x13), VEC_GP, 0));		/* lgdt, not canonical */
	EXPECT(run(3, 0x0f, 0x01, 0xcb) == EMUL_OK && m.ctx.rflags & FLAG_AC);	/* stac */
	EXPECT(run(3, 0x0f, 0x01, 0xca) == EMUL_OK && !(m.ctx.rflags & FLAG_AC));
	m.ctx.cr4 = EMUL_CR4_OSXSAVE;
	EXPECT(run(3, 0x0f, 0x01, 0xd0) == EMUL_OK && GPR(RAX) == 7 && !GPR(RDX));	/* xgetbv */
	EXPECT(run(3, 0x0f, 0x01, 0xd1) == EMUL_OK && m.special == EMUL_SP_XSETBV);
	m.ctx.cr4 = 0;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xd0), VEC_UD, 0));
	m.ctx.cr0 |= EMUL_CR0_TS;
	EXPECT(run(2, 0x0f, 0x06) == EMUL_OK && !(m.set_reg[2] & EMUL_CR0_TS));
	return ok;
}

bool test_monitor(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.seg[EMUL_FS].base = 0x100;
	GPR(RAX) = 0x2000;
	EXPECT(run(4, 0x64, 0x0f, 0x01, 0xc8) == EMUL_OK);
	EXPECT(m.special == EMUL_SP_MONITOR && m.special_arg == 0x2100);
	EXPECT(run(3, 0x0f, 0x01, 0xc9) == EMUL_OK && m.special == EMUL_SP_MWAIT);
	GPR(RCX) = 1;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc8), VEC_GP, 0));
	m.ctx.cpl = 3;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc8), VEC_UD, 0));
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc9), VEC_UD, 0));
	m.ctx.cpl = 0;
	m.ctx.features &= ~(u32)EMUL_FEAT_MONITOR;
	EXPECT(faulted(run(3, 0x0f, 0x01, 0xc9), VEC_UD, 0));
	return ok;
}

/* SYSEXIT to 64-bit code: both addresses have to be canonical, or it is the kernel's own #GP. */
bool test_sysexit(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	m.ctx.features = 0;			/* as Intel's CPUs have it */
	m.msr = 8;
	GPR(RDX) = 0x4000;
	GPR(RCX) = 0x800000000000;
	EXPECT(faulted(run(3, 0x48, 0x0f, 0x35), VEC_GP, 0));
	GPR(RDX) = 0x800000000000;
	GPR(RCX) = 0x7000;
	EXPECT(faulted(run(3, 0x48, 0x0f, 0x35), VEC_GP, 0));
	GPR(RDX) = 0x4000;
	EXPECT(run(3, 0x48, 0x0f, 0x35) == EMUL_OK && m.ctx.rip == 0x4000);
	EXPECT(GPR(RSP) == 0x7000 && m.seg[EMUL_CS].sel == 0x2b && m.seg[EMUL_SS].sel == 0x33);
	return ok;
}

/* In long mode the descriptors of LDT and TSS have 16 bytes. */
bool test_long_descriptors(void)
{
	bool ok = true;

	reset(EMUL_MODE_LONG);
	make_gdt();
	put(GDT + 0x38, 0xffff8000, 8);
	GPR(RAX) = 0x30;
	EXPECT(run(3, 0x0f, 0x00, 0xd8) == EMUL_OK);		/* ltr */
	EXPECT(m.seg[EMUL_TR].base == 0xffff800000006000);
	EXPECT(m.seg[EMUL_TR].attr == 0x8b && m.seg[EMUL_TR].limit == 0x67);
	put(GDT + 0x30, 0x0000890060000067, 8);
	put(GDT + 0x38, 0x8000, 8);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* base not canonical */
	/* A 16-bit TSS is none in long mode, and a task gate no gate; an LDT is one. */
	put(GDT + 0x30, 0x0000810060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && !(m.ctx.rflags & FLAG_ZF));	/* lsl */
	put(GDT + 0x30, 0x0000850060000067, 8);
	EXPECT(run(3, 0x0f, 0x02, 0xd8) == EMUL_OK && !(m.ctx.rflags & FLAG_ZF));	/* lar */
	put(GDT + 0x30, 0x0000820060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	EXPECT(GPR(RBX) == 0x67);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd0), VEC_GP, 0x30));	/* lldt: not canonical */
	put(GDT + 0x38, 0xffff8000, 8);
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);
	EXPECT(m.seg[EMUL_LDTR].base == 0xffff800000006000);
	m.ctx.mode = EMUL_MODE_PROT32;
	m.ctx.efer = 0;
	put(GDT + 0x30, 0x0000810060000067, 8);
	EXPECT(run(3, 0x0f, 0x03, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	put(GDT + 0x30, 0x0000850060000067, 8);
	EXPECT(run(3, 0x0f, 0x02, 0xd8) == EMUL_OK && m.ctx.rflags & FLAG_ZF);
	m.ctx.mode = EMUL_MODE_LONG;
	m.ctx.efer = 0xd00;
	m.seg[EMUL_GDTR].limit = 0x37;
	put(GDT + 0x30, 0x0000890060000067, 8);
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0x30));	/* only half is inside */
	GPR(RAX) = 0;
	EXPECT(faulted(run(3, 0x0f, 0x00, 0xd8), VEC_GP, 0));
	EXPECT(run(3, 0x0f, 0x00, 0xd0) == EMUL_OK);		/* lldt of null */
	EXPECT(m.seg[EMUL_LDTR].attr & EMUL_SEG_UNUSABLE);
	EXPECT(run(2, 0x8e, 0xd0) == EMUL_OK);			/* a null SS is fine at CPL 0 */
	m.ctx.cpl = 3;
	GPR(RAX) = 3;
	EXPECT(faulted(run(2, 0x8e, 0xd0), VEC_GP, 0));
	return ok;
}
