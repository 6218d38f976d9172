// SPDX-License-Identifier: GPL-2.0
/*
 * modes.c - makes the tables that a mode of the CPU needs, and sets a vCPU to it.
 * Entered from the oracle's kinds that run code.
 * No locks: one thread.
 * AMD APM vol. 2, "Segment Descriptors", "Page Translation and Protection".
 */
#include "modes.h"

#define TSS_LIMIT	0x2067		/* with an I/O bitmap for all ports, at 0x68: zeroes */

static void put64(struct diff *d, u64 at, u64 value)
{
	memcpy(d->ram + at, &value, sizeof(value));
}

static void put32(struct diff *d, u64 at, u32 value)
{
	memcpy(d->ram + at, &value, sizeof(value));
}

static void make_gdt(struct diff *d)
{
	static const u64 gdt[SEL_END / 8] = {
		[SEL_CS32 / 8]	= 0x00cf9b000000ffff,
		[SEL_DS / 8]	= 0x00cf93000000ffff,
		[SEL_CS64 / 8]	= 0x00af9b000000ffff,
		[SEL_UDS / 8]	= 0x00cff3000000ffff,
		[SEL_UCS32 / 8]	= 0x00cffb000000ffff,
		[SEL_UCS64 / 8]	= 0x00affb000000ffff,
		[SEL_CS16 / 8]	= 0x00009b000000ffff,
		[SEL_DS16 / 8]	= 0x000093010000ffff,	/* at DIFF_DATA */
		[SEL_TSS / 8]	= 0x0000890000000067 | DIFF_TSS << 16,
		[SEL_LDT / 8]	= 0x0000820000000fff | DIFF_GDT << 16,
		[SEL_GATE / 8]	= 0x0000ec0000080000 | (DIFF_HANDLERS + 4 * 0xf7),
		[SEL_ODD / 8]	= 0x00cf13000000ffff,	/* not present */
		[SEL_ODD / 8 + 1] = 0x00cf91000000ffff,	/* read-only */
		[SEL_ODD / 8 + 2] = 0x00cf99000000ffff,	/* execute-only */
		[SEL_ODD / 8 + 3] = 0x00cf970100000fff,	/* expand-down */
		[SEL_ODD / 8 + 4] = 0x00cf9f000000ffff,	/* conforming */
	};

	memcpy(d->ram + DIFF_GDT, gdt, sizeof(gdt));
}

static void make_idt(struct diff *d, enum cpu_mode mode)
{
	for (u64 v = 0; v < 256; v++) {
		u64 to = DIFF_HANDLERS + 4 * v;
		u64 dpl3 = v == 3 || v == 4 || (v >> 4) == 3 ? 0x600000000000 : 0;

		put32(d, to, 0x90f400e6 | (u32)v << 8);
		if (mode == MODE_REAL) {
			put32(d, 4 * v, (DIFF_HANDLERS >> 4) << 16 | 4 * v);
		} else if (mode >= MODE_COMPAT) {
			put64(d, DIFF_IDT + 16 * v, to | SEL_CS64 << 16 | 0x8e0000000000 | dpl3);
			put64(d, DIFF_IDT + 16 * v + 8, 0);
		} else {
			put64(d, DIFF_IDT + 8 * v, to | SEL_CS32 << 16 | 0x8e0000000000 | dpl3);
		}
	}
}

static void make_tss(struct diff *d, enum cpu_mode mode)
{
	memset(d->ram + DIFF_TSS, 0, 0x68);
	if (mode >= MODE_COMPAT) {
		put64(d, DIFF_TSS + 4, DIFF_STACK - 0x800);
	} else {
		put32(d, DIFF_TSS + 4, DIFF_STACK - 0x800);
		put32(d, DIFF_TSS + 8, SEL_DS);
	}
	put32(d, DIFF_TSS + 0x64, 0x68 << 16);
}

/* The attributes of a page: data's upper half has all kinds. */
static u64 page_flags(struct diff *d, u64 page, bool nx)
{
	u64 flags = PTE_P | PTE_W | PTE_U;

	if (page < DIFF_DATA + 0x8000 || page >= DIFF_DATA + 0x10000)
		return flags;
	flags = rnd_bits(d, flags, PTE_P | PTE_W | PTE_U | BIT(5) | BIT(6));
	return nx && one_in(d, 4) ? flags | PTE_NX : flags;
}

static void make_page_tables(struct diff *d, enum cpu_mode mode)
{
	const u64 rwu = PTE_P | PTE_W | PTE_U;

	memset(d->ram + DIFF_PT, 0, 0x5000);
	if (mode == MODE_PAGED32) {
		put32(d, DIFF_PT, (DIFF_PT + 0x3000) | rwu);
		for (u64 n = 0; n < 0x60; n++)
			put32(d, DIFF_PT + 0x3000 + 4 * n, n << 12 | page_flags(d, n << 12, false));
		return;
	}
	put64(d, DIFF_PT, (DIFF_PT + 0x1000) | rwu);
	put64(d, DIFF_PT + 0x1000, (DIFF_PT + 0x2000) | (mode == MODE_PAE ? PTE_P : rwu));
	put64(d, DIFF_PT + 0x2000, (DIFF_PT + 0x3000) | rwu);
	for (u64 n = 0; n < 0x60; n++)
		put64(d, DIFF_PT + 0x3000 + 8 * n, n << 12 | page_flags(d, n << 12, true));
	if (mode == MODE_PAE)
		return;
	/* IOAPIC and LAPIC. */
	put64(d, DIFF_PT + 0x1018, (DIFF_PT + 0x4000) | rwu);
	put64(d, DIFF_PT + 0x4000 + 8 * 0x1f6, 0xfec00000 | rwu | PTE_PS | PTE_D);
	put64(d, DIFF_PT + 0x4000 + 8 * 0x1f7, 0xfee00000 | rwu | PTE_PS | PTE_D);
}

void make_tables(struct diff *d, enum cpu_mode mode)
{
	make_gdt(d);
	make_idt(d, mode);
	make_tss(d, mode);
	make_page_tables(d, mode);
}

static struct kvm_segment segment(u16 selector, u64 base, u32 limit, u8 type, u8 db, u8 l)
{
	return (struct kvm_segment) {
		.base = base, .limit = limit, .selector = selector, .type = type, .present = 1,
		.dpl = selector & 3, .db = db, .s = 1, .l = l, .g = limit > 0xfffff,
	};
}

static void set_segments(struct kvm_sregs *s, enum cpu_mode mode, bool user)
{
	u16 cs = user ? SEL_UCS32 : SEL_CS32, ds = user ? SEL_UDS : SEL_DS;

	switch (mode) {
	case MODE_REAL:
		s->cs = segment(0, 0, 0xffff, 11, 0, 0);
		s->ss = segment(0, 0, 0xffff, 3, 0, 0);
		s->ds = segment(DIFF_DATA >> 4, DIFF_DATA, 0xffff, 3, 0, 0);
		s->fs = s->ds;
		s->es = segment(DIFF_MMIO >> 4, DIFF_MMIO, 0xffff, 3, 0, 0);
		s->gs = s->es;
		return;
	case MODE_PROT16:
		s->cs = segment(SEL_CS16, 0, 0xffff, 11, 0, 0);
		s->ss = segment(SEL_DS, 0, 0xffffffff, 3, 1, 0);
		s->ds = segment(SEL_DS16, DIFF_DATA, 0xffff, 3, 0, 0);
		s->es = segment(SEL_DS16, DIFF_MMIO, 0xffff, 3, 0, 0);
		s->fs = s->ss;
		s->gs = s->ss;
		return;
	case MODE_LONG:
		s->cs = segment(user ? SEL_UCS64 : SEL_CS64, 0, 0xffffffff, 11, 0, 1);
		break;
	default:
		s->cs = segment(cs, 0, 0xffffffff, 11, 1, 0);
	}
	s->ss = segment(ds, 0, 0xffffffff, 3, 1, 0);
	s->ds = s->ss;
	s->es = s->ss;
	s->fs = s->ss;
	s->gs = s->ss;
}

void set_mode(struct diff *d, int i, enum cpu_mode mode, bool user)
{
	bool real = mode == MODE_REAL;
	struct kvm_sregs s;

	must(d, ioctl(d->vcpu[i], KVM_GET_SREGS, &s), "get-sregs");
	d->user = user && mode >= MODE_PROT32;
	set_segments(&s, mode, d->user);
	s.gdt.base = DIFF_GDT;
	s.gdt.limit = SEL_END - 1;
	s.idt.base = real ? 0 : DIFF_IDT;
	s.idt.limit = real ? 0x3ff : 0xfff;
	/*
	 * Not busy on SVM: QEMU's TCG ends itself when a guest with a busy TSS enters an inner
	 * level. VMX refuses one that is not.
	 */
	s.tr = (struct kvm_segment) {
		.base = DIFF_TSS, .limit = TSS_LIMIT, .selector = SEL_TSS,
		.type = host_is_intel() ? 11 : 9, .present = 1,
	};
	s.ldt = (struct kvm_segment) {
		.base = DIFF_GDT, .limit = 0xfff, .selector = SEL_LDT, .type = 2, .present = 1,
	};
	s.cr0 = CR0_ET | CR0_NE | CR0_MP | (real ? 0 : CR0_PE) |
		(mode >= MODE_PAGED32 ? CR0_PG | CR0_WP : 0);
	s.cr3 = mode == MODE_PAE ? DIFF_PT + 0x1000 : DIFF_PT;
	s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | (mode >= MODE_PAE ? CR4_PAE : 0);
	s.efer = mode >= MODE_COMPAT ? EFER_LME | EFER_LMA | EFER_NX : 0;
	if (mode == MODE_PAE)
		s.efer = EFER_NX;
	s.cr8 = 0;
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	say_ret(d, ioctl(d->vcpu[i], KVM_SET_SREGS, &s), "v%d mode %d user %d", i, mode, user);
}
