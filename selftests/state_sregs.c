// SPDX-License-Identifier: GPL-2.0
/*
 * state_sregs.c - KVM_GET_SREGS and KVM_SET_SREGS: what is set comes back, bad sets are refused
 * and change nothing, an interrupt in the bitmap is injected.
 */
#include "guest.h"
#include "vm.h"

static struct kvm_segment segment(u64 base, u32 limit, u16 selector, u8 type, u8 s)
{
	return (struct kvm_segment) {
		.base = base, .limit = limit, .selector = selector, .type = type, .s = s,
		.present = 1, .g = limit > 0xfffff,
	};
}

static void nothing(void)
{
	guest_done();
}

static void fill(struct kvm_sregs *s)
{
	s->ds = segment(0x1000, 0xfffff, 0x13, 3, 1);
	s->es = segment(0x2000, 0x1fffffff, 0x1b, 1, 1);
	s->fs = segment(0x7f1234567890, 0xffffffff, 0x23, 3, 1);
	s->gs = segment(0xffff812345678900, 0x42, 0x33, 3, 1);
	s->fs.dpl = 3;
	s->fs.db = 1;
	s->gs.avl = 1;
	s->ldt = segment(0xffff900000001000, 0x77, 0x88, 2, 0);
	s->gdt.base = 0xffff888000001230;
	s->gdt.limit = 0x7f;
	s->idt.base = 0xffff888000004560;
	s->idt.limit = 0xfff;
	s->cr2 = 0xffffea0000001234;
	s->cr8 = 5;
}

/* Before and after an entry: then the values went through the hardware. */
TEST(round_trip)
{
	struct vcpu *vcpu = guest_new(nothing);
	struct kvm_sregs in, out;

	vcpu_get_sregs(vcpu, &in);
	fill(&in);
	vcpu_set_sregs(vcpu, &in);
	vcpu_get_sregs(vcpu, &out);
	EXPECT_EQ(memcmp(&in, &out, sizeof(in)), 0);

	/* Without an in-kernel APIC, CR8 is taken from the run page at each entry. */
	vcpu->run->cr8 = 5;
	run_done(vcpu);
	vcpu_get_sregs(vcpu, &out);
	EXPECT_EQ(memcmp(&in.cs, &out.cs, sizeof(in.cs)), 0);
	EXPECT_EQ(memcmp(&in.ds, &out.ds, sizeof(in.ds)), 0);
	EXPECT_EQ(memcmp(&in.es, &out.es, sizeof(in.es)), 0);
	EXPECT_EQ(memcmp(&in.fs, &out.fs, sizeof(in.fs)), 0);
	EXPECT_EQ(memcmp(&in.gs, &out.gs, sizeof(in.gs)), 0);
	EXPECT_EQ(memcmp(&in.ldt, &out.ldt, sizeof(in.ldt)), 0);
	EXPECT_EQ(memcmp(&in.tr, &out.tr, sizeof(in.tr)), 0);
	EXPECT_EQ(memcmp(&in.gdt, &out.gdt, sizeof(in.gdt)), 0);
	EXPECT_EQ(memcmp(&in.idt, &out.idt, sizeof(in.idt)), 0);
	EXPECT_EQ(out.cr0, in.cr0);
	EXPECT_EQ(out.cr2, in.cr2);
	EXPECT_EQ(out.cr3, in.cr3);
	EXPECT_EQ(out.cr4, in.cr4);
	EXPECT_EQ(out.cr8, 5);
	EXPECT_EQ(vcpu->run->cr8, 5);
	EXPECT_EQ(out.efer, in.efer);
}

/*
 * An entry leaves the types of segments as they were set. At reset CS and SS are not accessed, and
 * TR has a TSS of 16 bits; but VMX takes no segment that was not accessed, and the TSS there is one
 * of 32.
 */
TEST(types_after_entry)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0);
	u8 vmx = !!(guest_cpuid(1, 0).c & BIT(5));
	struct kvm_sregs before, after;

	vcpu_cpuid(vcpu);
	vcpu->vm->ram[0x1000] = 0xe6;	/* OUT to port 0x80 */
	vcpu->vm->ram[0x1001] = 0x80;
	vcpu_real(vcpu, 0x1000);
	vcpu_get_sregs(vcpu, &before);
	EXPECT_EQ(before.cs.type, 10 + vmx);
	EXPECT_EQ(before.ss.type, 2 + vmx);
	EXPECT_EQ(before.tr.type, vmx ? 11 : 3);
	expect_pio(vcpu, KVM_EXIT_IO_OUT, 0x80, 1, 1);
	vcpu_get_sregs(vcpu, &after);
	if (!vmx)	/* Bochs gives CS a data segment's in real mode */
		EXPECT_EQ(after.cs.type, before.cs.type);
	EXPECT_EQ(after.ss.type, before.ss.type);
	EXPECT_EQ(after.ds.type, before.ds.type);
	EXPECT_EQ(after.tr.type, before.tr.type);
}

#define UNMAPPED	0x8000000000UL

static void segments_guest(void)
{
	u64 a = 0, c = UNMAPPED, d = 0;

	GUEST_TRY("mov (%%rcx), %%rax", a, c, d);
	asm volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs" : : "r" (0));
	guest_sync(guest_fault.vector);
	guest_sync(1);
	GUEST_EXPECT_EQ(GET("cr2"), UNMAPPED);
	guest_done();
}

/* What the guest's own instructions have left there can be set again; null selectors, CR2. */
TEST(of_the_guests_making)
{
	struct vcpu *vcpu = guest_new(segments_guest);
	struct kvm_sregs s;

	EXPECT_EQ(run_sync(vcpu), 14);
	vcpu_get_sregs(vcpu, &s);
	EXPECT_EQ(s.ds.selector, 0);
	EXPECT_EQ(s.cr2, UNMAPPED);
	vcpu_set_sregs(vcpu, &s);
	EXPECT_EQ(run_sync(vcpu), 1);
	/* Segments that were not accessed, too, which no load leaves. */
	s.cs.type &= ~1;
	s.ds = segment(0, 0xffffffff, GUEST_DS, 2, 1);
	vcpu_set_sregs(vcpu, &s);
	run_done(vcpu);
}

#define OWN_GDT	GUEST_FREE
#define OWN_IDT	(GUEST_FREE + 0x1000)

static void loading_guest(void)
{
	static const u16 gdt[5] = { 0xfef, OWN_GDT & 0xffff, OWN_GDT >> 16 };
	static const u16 idt[5] = { 0xeff, OWN_IDT & 0xffff, OWN_IDT >> 16 };

	asm volatile("lgdt %0\n lidt %1\n ltr %w2\n lldt %w3\n mov %4, %%gs\n mov %4, %%es"
		     : : "m" (gdt), "m" (idt), "r" (GUEST_TR), "r" (0), "r" (GUEST_DS));
	guest_sync(0);
	guest_done();
}

/* Tables and selectors that the guest loads in place of those that userspace has set. */
TEST(loaded_by_the_guest)
{
	struct vcpu *vcpu = guest_new(loading_guest);
	u64 *gdt = (u64 *)(vcpu->vm->ram + OWN_GDT);
	struct kvm_sregs s;

	memcpy(gdt, vcpu->vm->ram + GUEST_GDT, 0x1000);
	memcpy(vcpu->vm->ram + OWN_IDT, vcpu->vm->ram + GUEST_IDT, 0x1000);
	/* A TSS that is not busy, of 0x6f bytes. */
	gdt[GUEST_TR / 8] = (GUEST_TSS & 0xffffff) << 16 | (u64)0x89 << 40 | 0x6f;
	gdt[GUEST_TR / 8 + 1] = 0;
	vcpu_get_sregs(vcpu, &s);
	s.gs = segment(0x1000, 0x42, 0x33, 3, 1);
	s.es = segment(0x2000, 0x43, 0x3b, 3, 1);
	s.ldt = segment(0x3000, 0x77, 0x88, 2, 0);
	vcpu_set_sregs(vcpu, &s);
	run_sync(vcpu);
	vcpu_get_sregs(vcpu, &s);
	EXPECT_EQ(s.gdt.base, OWN_GDT);
	EXPECT_EQ(s.gdt.limit, 0xfef);
	EXPECT_EQ(s.idt.base, OWN_IDT);
	EXPECT_EQ(s.idt.limit, 0xeff);
	EXPECT_EQ(s.tr.selector, GUEST_TR);
	EXPECT_EQ(s.tr.base, GUEST_TSS);
	EXPECT_EQ(s.tr.limit, 0x6f);
	EXPECT_EQ(s.tr.type, 11);
	EXPECT_EQ(s.ldt.selector, 0);
	EXPECT_EQ(s.gs.selector, GUEST_DS);
	EXPECT_EQ(s.gs.base, 0);
	EXPECT_EQ(s.gs.limit, 0xffffffff);
	EXPECT_EQ(s.es.selector, GUEST_DS);
	EXPECT_EQ(s.es.limit, 0xffffffff);
	run_done(vcpu);
}

/*
 * What VMX checks of segments, and no instruction looks at in 64-bit mode: a granularity that the
 * limit does not need, or that it needs; a TSS that is not busy; what is in a null segment.
 */
TEST(unusual_attributes)
{
	struct vcpu *vcpu;
	struct kvm_sregs good, s;

	if (!on_minihv() && guest_cpuid(1, 0).c & BIT(5))
		test_skip("KVM's entry is refused");
	for (int row = 0; row < 6; row++) {
		test_context("row %d", row);
		vcpu = guest_new(nothing);
		vcpu_get_sregs(vcpu, &good);
		s = good;
		switch (row) {
		case 0:
			s.es = segment(0, 0x12345fff, GUEST_DS, 3, 1);
			s.es.g = 0;
			break;
		case 1:
			s.fs = segment(0x1000, 0x42, GUEST_DS, 3, 1);
			s.fs.g = 1;
			break;
		case 2:
			s.gs = segment(0, 0xffffffff, GUEST_DS, 0, 1);
			break;
		case 3:
			s.tr.type = 9;
			break;
		case 4:
			s.tr.g = 1;
			break;
		case 5:
			s.ldt = segment(0x5000, 0x1234567, 0, 15, 1);
			s.ldt.present = 0;
			s.ldt.unusable = 1;
			break;
		}
		vcpu_set_sregs(vcpu, &s);
		run_done(vcpu);
		vcpu_get_sregs(vcpu, &s);
		EXPECT_EQ(s.tr.type | 2, good.tr.type);
		EXPECT_EQ(s.tr.limit, good.tr.limit);
		EXPECT_EQ(s.fs.base, row == 1 ? 0x1000 : good.fs.base);
		EXPECT_EQ(s.es.limit, row == 0 ? 0x12345fff : good.es.limit);
		EXPECT_EQ(s.ldt.unusable, row == 5 || good.ldt.unusable);
	}
}

/* The same of TR in protected mode: of either size, busy or not. */
TEST(unusual_tss)
{
	struct kvm_sregs s;
	struct vcpu *vcpu;

	if (!on_minihv() && guest_cpuid(1, 0).c & BIT(5))
		test_skip("KVM's entry is refused");
	for (u8 type = 1; type <= 11; type += type & 2 ? 6 : 2) {
		test_context("TSS of type %u", type);
		vcpu = vcpu_new(vm_new(), 0);
		vcpu_cpuid(vcpu);
		vcpu_flat32(vcpu, 0x1000);
		vcpu->vm->ram[0x1000] = 0xf4;	/* HLT */
		vcpu_get_sregs(vcpu, &s);
		s.tr.type = type;
		vcpu_set_sregs(vcpu, &s);
		expect_exit(vcpu, KVM_EXIT_HLT);
		vcpu_get_sregs(vcpu, &s);
		EXPECT_EQ(s.tr.type | 2, type | 2);
	}
}

static void expect_refused(struct vcpu *vcpu, const struct kvm_sregs *bad, const char *what)
{
	struct kvm_sregs before, after;

	test_context("%s", what);
	vcpu_get_sregs(vcpu, &before);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SREGS, bad), EINVAL);
	vcpu_get_sregs(vcpu, &after);
	EXPECT_EQ(memcmp(&before, &after, sizeof(before)), 0);
	test_context("");
}

TEST(refused)
{
	struct vcpu *vcpu = guest_new(nothing);
	struct kvm_sregs good, bad;

	vcpu_get_sregs(vcpu, &good);
#define REFUSE(change) do {							\
	bad = good;								\
	bad.cr2 = 0x1234;							\
	change;									\
	expect_refused(vcpu, &bad, #change);					\
} while (0)
	REFUSE(bad.cr4 &= ~CR4_PAE);
	REFUSE(bad.efer &= ~EFER_LMA);
	REFUSE(bad.efer &= ~EFER_LME);
	REFUSE(bad.cr0 &= ~CR0_PG);
	REFUSE(bad.cr3 |= BIT(63));
	REFUSE(bad.cr4 |= BIT(31));
	REFUSE(bad.cr4 |= BIT(15));
	REFUSE(bad.apic_base |= 1);
	REFUSE(bad.apic_base |= BIT(10) | BIT(9));
	REFUSE(bad.apic_base = (bad.apic_base & ~BIT(11)) | BIT(10));
	vcpu_set_sregs(vcpu, &good);
	run_done(vcpu);
}

/* All CR4 bits that the CPUID given to the guest allows, and none that it does not. */
TEST(cr4_follows_cpuid)
{
	static const struct {
		u8 bit, reg;	/* of leaf 1: 'c' or 'd', of leaf 7: 'B', 'C' */
		u8 feature;
	} rows[] = {
		{ 4, 'd', 3 }, { 2, 'd', 4 }, { 7, 'd', 13 }, { 9, 'd', 24 }, { 18, 'c', 26 },
		{ 17, 'c', 17 }, { 16, 'B', 0 }, { 20, 'B', 7 }, { 21, 'B', 20 }, { 22, 'C', 3 },
		{ 11, 'C', 2 }, { 12, 'C', 16 }, { 13, 'c', 5 }, { 14, 'c', 6 },
	};
	struct vcpu *vcpu = guest_new(nothing);
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_cpuid_entry2 *one = cpuid_entry(cpuid, 1, 0), *seven = cpuid_entry(cpuid, 7, 0);
	struct kvm_sregs sregs, now;

	ASSERT_TRUE(one && seven);
	vcpu_get_sregs(vcpu, &sregs);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		u32 reg = rows[i].reg == 'c' ? one->ecx : rows[i].reg == 'd' ? one->edx :
			  rows[i].reg == 'B' ? seven->ebx : seven->ecx;

		now = sregs;
		now.cr4 |= BIT(rows[i].bit);
		if (reg >> rows[i].feature & 1) {
			test_context("CR4 bit %d, offered", rows[i].bit);
			EXPECT_RET(ioctl(vcpu->fd, KVM_SET_SREGS, &now), 0);
			vcpu_get_sregs(vcpu, &now);
			EXPECT_EQ(now.cr4, sregs.cr4 | BIT(rows[i].bit));
			vcpu_set_sregs(vcpu, &sregs);
		} else {
			expect_refused(vcpu, &now, "CR4 bit that is not offered");
		}
	}
}

static volatile u64 got;

static void on_irq(struct isr_frame *frame)
{
	got = frame->vector;
}

static void wait_guest(void)
{
	isr_table[0x61] = on_irq;
	guest_sync(0);
	sti_nop();
	guest_sync(got);
	guest_done();
}

TEST(interrupt_bitmap)
{
	struct vcpu *vcpu = guest_new(wait_guest);
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	run_sync(vcpu);
	vcpu_finish_io(vcpu);
	/* It is injected at the next entry, wherever that is: interrupts must be on by then. */
	vcpu_get_regs(vcpu, &regs);
	regs.rflags |= RFLAGS_IF;
	vcpu_set_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.interrupt_bitmap[1] = BIT(0x61 - 64);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.interrupt_bitmap[1], BIT(0x61 - 64));
	EXPECT_EQ(run_sync(vcpu), 0x61);
	vcpu_get_sregs(vcpu, &sregs);
	EXPECT_EQ(sregs.interrupt_bitmap[1], 0);
}

/* PDPTRs that userspace has set are what it reads until the vCPU runs, whatever memory has. */
TEST(pdptrs)
{
	struct vcpu *vcpu;
	struct kvm_sregs2 s;

	NEED_CAP(KVM_CAP_SREGS2);
	vcpu = vcpu_new(vm_new(), 0);
	vcpu_cpuid(vcpu);
	vcpu_flat32(vcpu, 0x1000);
	xioctl(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(s.flags, 0);
	s.cr0 |= CR0_PG;
	s.cr4 |= CR4_PAE;
	s.cr3 = GUEST_FREE;
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	for (u64 i = 0; i < 4; i++)
		s.pdptrs[i] = (0x1000 * (i + 1)) | PTE_P;
	xioctl(vcpu->fd, KVM_SET_SREGS2, &s);
	memset(&s.pdptrs, 0, sizeof(s.pdptrs));
	xioctl(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	for (u64 i = 0; i < 4; i++)
		EXPECT_EQ(s.pdptrs[i], (0x1000 * (i + 1)) | PTE_P);
	/* Where there is no memory the old ones stay. */
	s.flags = 0;
	s.cr3 = 0xf0000000;
	xioctl(vcpu->fd, KVM_SET_SREGS2, &s);
	xioctl(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(s.pdptrs[3], 0x4000 | PTE_P);
}
