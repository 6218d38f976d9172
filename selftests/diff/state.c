// SPDX-License-Identifier: GPL-2.0
/*
 * state.c - the oracle's kind "state": a vCPU's state is set to values good and bad, read back, and
 * now and then run with.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 * Linux Documentation/virt/kvm/api.rst.
 */
#include <stdlib.h>

#include "modes.h"

#define VCPU(d) ((d)->vcpu[0])

static void set_regs(struct diff *d)
{
	struct kvm_regs regs;
	u64 *words = (u64 *)&regs;

	ioctl(VCPU(d), KVM_GET_REGS, &regs);
	for (u64 n = 1 + below(d, 4); n; n--)
		words[below(d, 16)] = rnd_value(d);
	if (one_in(d, 4))
		regs.rip = rnd_value(d);
	if (one_in(d, 3))	/* no RF, which KVM leaves set after an OUT */
		regs.rflags = rnd_value(d) & ~0x10000ULL;
	say_ret(d, ioctl(VCPU(d), KVM_SET_REGS, &regs), "set-regs");
}

static void change_segment(struct diff *d, struct kvm_segment *s)
{
	switch (below(d, 9)) {
	case 0:
		s->base = rnd_value(d);
		break;
	case 1:
		s->limit = rnd_value(d);
		break;
	case 2:
		s->selector = rnd_value(d);
		break;
	case 3:
		s->type = below(d, one_in(d, 8) ? 256 : 16);
		break;
	case 4:
		s->present ^= 1;
		break;
	case 5:
		s->dpl = below(d, one_in(d, 8) ? 256 : 4);
		break;
	case 6:
		s->db ^= 1;
		s->l = one_in(d, 2);
		break;
	case 7:
		s->s = below(d, 2);
		s->g = below(d, 2);
		s->avl = below(d, 2);
		break;
	default:
		s->unusable = below(d, 3);
		break;
	}
}

static u64 change_cr0(struct diff *d, u64 old)
{
	return one_in(d, 8) ? rnd_value(d) : rnd_bits(d, old, 0xe005003fULL);
}

static u64 change_cr4(struct diff *d, u64 old)
{
	return one_in(d, 8) ? rnd_value(d) : rnd_bits(d, old, 0x7f7fffULL);
}

static u64 change_apic_base(struct diff *d, u64 old)
{
	return one_in(d, 4) ? rnd_value(d) : rnd_bits(d, old, 0xfff | BIT(39) | BIT(40) | BIT(41));
}

/* What struct kvm_sregs and kvm_sregs2 have in common stands at the same places. */
static void change_sregs(struct diff *d, struct kvm_sregs *s)
{
	for (u64 n = 1 + below(d, 3); n; n--) {
		switch (below(d, 12)) {
		case 0:
			s->cr0 = change_cr0(d, s->cr0);
			break;
		case 1:
			s->cr2 = rnd_value(d);
			break;
		case 2:
			s->cr3 = rnd_value(d);
			break;
		case 3:
			s->cr4 = change_cr4(d, s->cr4);
			break;
		case 4:
			s->cr8 = one_in(d, 4) ? rnd_value(d) : below(d, 18);
			break;
		case 5:
			s->efer = rnd_bits(d, s->efer, one_in(d, 4) ? ~EFER_SVME : 0x6d01);
			break;
		case 6:
			s->apic_base = change_apic_base(d, s->apic_base);
			break;
		case 7:
			s->gdt.base = rnd_value(d);
			s->gdt.limit = rnd_value(d);
			break;
		case 8:
			s->idt.base = rnd_value(d);
			s->idt.limit = rnd_value(d);
			break;
		default:
			change_segment(d, &(&s->cs)[below(d, 8)]);
			break;
		}
	}
	/* Of CR3 the CPU takes 32 bits then; KVM looks for PDPTEs at all 64. */
	if (!(s->efer & EFER_LMA))
		s->cr3 = (u32)s->cr3;
	/*
	 * Where there is no memory for PDPTEs, or a reserved bit in one, KVM goes on with the old
	 * ones. QEMU's TCG sets one, as if PDPTEs were ever accessed.
	 */
	if (!(s->efer & EFER_LMA) && s->cr0 & CR0_PG && s->cr4 & CR4_PAE) {
		if (s->cr3 >= DIFF_RAM)
			s->cr3 = DIFF_PT + 0x1000;
		for (u64 *p = (u64 *)(d->ram + (s->cr3 & ~31)), n = 0; n < 4; n++)
			p[n] &= ~BIT(5);
	}
	/* KVM's emulator steps over no HLT in what is an expand-down data segment. */
	if ((s->cs.type & 0xc) == 4)
		s->cs.type |= 8;
}

static void set_sregs(struct diff *d)
{
	struct kvm_vcpu_events e;
	struct kvm_sregs s;

	ioctl(VCPU(d), KVM_GET_SREGS, &s);
	change_sregs(d, &s);
	ioctl(VCPU(d), KVM_GET_VCPU_EVENTS, &e);
	if (one_in(d, 6) && !e.exception.injected && !e.nmi.injected)
		s.interrupt_bitmap[below(d, 4)] |= BIT(below(d, 64));
	say_ret(d, ioctl(VCPU(d), KVM_SET_SREGS, &s), "set-sregs");
}

static void set_sregs2(struct diff *d)
{
	struct kvm_sregs2 s;
	u64 cr3;

	ioctl(VCPU(d), KVM_GET_SREGS2, &s);
	cr3 = s.cr3;
	change_sregs(d, (struct kvm_sregs *)&s);
	if (one_in(d, 3))
		s.flags = below(d, 4);
	/* SVM has those in memory, whatever is set; KVM translates with what was set. */
	if (one_in(d, 3) && host_is_intel())
		s.pdptrs[below(d, 4)] = rnd_value(d);
	if (s.cr3 != cr3 && !host_is_intel())
		s.flags &= ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID;
	say_ret(d, ioctl(VCPU(d), KVM_SET_SREGS2, &s), "set-sregs2");
}

static void set_debugregs(struct diff *d)
{
	struct kvm_debugregs r;

	ioctl(VCPU(d), KVM_GET_DEBUGREGS, &r);
	switch (below(d, 5)) {
	case 0:
		r.dr6 = rnd_value(d);
		break;
	case 1:
		r.dr7 = rnd_value(d) & ~0xffff0000ULL;	/* no data breakpoints: TCG */
		break;
	case 2:
		r.flags = below(d, 2);
		break;
	default:
		r.db[below(d, 4)] = rnd_value(d);
		break;
	}
	say_ret(d, ioctl(VCPU(d), KVM_SET_DEBUGREGS, &r), "set-debugregs");
}

void sane_events(struct kvm_vcpu_events *e)
{
	if (!nmis_work())
		memset(&e->nmi, 0, sizeof(e->nmi));
	/* KVM looks at the triple fault last, and has changed the rest when it refuses it. */
	e->flags &= ~(KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	/*
	 * #BP and #OF return behind an INT3 or INTO, which is not there: KVM looks what is. #VC
	 * it does not inject again, on SVM.
	 */
	if (e->exception.nr == 3 || e->exception.nr == 4 || e->exception.nr == 29)
		e->exception.nr = 6;
	/*
	 * Both devices deliver one event at a time; that two are half delivered, cannot be. Of an
	 * INT n userspace is not told, but KVM takes it.
	 */
	if (e->exception.injected || e->interrupt.soft)
		e->interrupt.injected = 0;
	if (e->exception.injected || e->interrupt.injected)
		e->nmi.injected = 0;
}

static void set_events(struct diff *d)
{
	struct kvm_vcpu_events e;
	u8 *bytes = (u8 *)&e;

	ioctl(VCPU(d), KVM_GET_VCPU_EVENTS, &e);
	if (!e.exception.injected && !e.exception.pending)
		memset(&e.exception, 0, sizeof(e.exception));
	if (!e.interrupt.injected)
		e.interrupt.nr = 0;
	for (u64 n = 1 + below(d, 4); n; n--) {
		switch (below(d, 10)) {
		case 0:
			e.exception.injected ^= 1;
			break;
		case 1:
			e.exception.pending ^= 1;
			break;
		case 2:
			e.exception.nr = below(d, one_in(d, 4) ? 256 : 32);
			break;
		case 3:
			e.exception.has_error_code ^= 1;
			e.exception.error_code = rnd_value(d);
			break;
		case 4:
			e.interrupt.injected ^= 1;
			e.interrupt.nr = rnd(d);
			break;
		case 5:
			e.interrupt.soft ^= 1;
			e.interrupt.shadow = below(d, 4);
			break;
		case 6:
			e.nmi.injected = below(d, 2);
			e.nmi.pending = below(d, 3);
			break;
		case 7:
			e.nmi.masked ^= 1;
			break;
		case 8:
			e.flags = below(d, one_in(d, 4) ? 0x80 : 0x10) & ~8;
			break;
		default:
			bytes[below(d, sizeof(e) - 27)] = rnd(d);
			break;
		}
	}
	sane_events(&e);
	say_ret(d, ioctl(VCPU(d), KVM_SET_VCPU_EVENTS, &e), "set-events flags %x exc %u/%u nr %u",
		e.flags, e.exception.injected, e.exception.pending, e.exception.nr);
}

static void set_xsave(struct diff *d)
{
	struct kvm_xsave x;

	ioctl(VCPU(d), KVM_GET_XSAVE, &x);
	for (u64 n = 1 + below(d, 4); n; n--) {
		switch (below(d, 6)) {
		case 0:
			x.region[6] = rnd_value(d);	/* MXCSR */
			break;
		case 1:
			x.region[128] = below(d, 8);	/* XSTATE_BV */
			break;
		case 2:				/* all of the header */
			x.region[128 + below(d, 16)] = rnd_value(d);
			break;
		case 3:
			x.region[below(d, 6)] = rnd_value(d);
			break;
		case 4:				/* YMM */
			x.region[144 + below(d, 64)] = rnd(d);
			break;
		default:
			x.region[8 + below(d, 120)] = rnd(d);
			break;
		}
	}
	say_ret(d, ioctl(VCPU(d), KVM_SET_XSAVE, &x), "set-xsave bv %x", x.region[128]);
}

/* KVM loses what KVM_SET_FPU sets of components that are in their initial state. */
static void set_fpu(struct diff *d)
{
	struct kvm_xsave x;
	struct kvm_fpu f;

	ioctl(VCPU(d), KVM_GET_XSAVE, &x);
	x.region[128] |= 3;
	say_ret(d, ioctl(VCPU(d), KVM_SET_XSAVE, &x), "set-xsave");
	ioctl(VCPU(d), KVM_GET_FPU, &f);
	for (u64 n = 1 + below(d, 4); n; n--)
		((u8 *)&f)[below(d, sizeof(f))] = rnd(d);
	say_ret(d, ioctl(VCPU(d), KVM_SET_FPU, &f), "set-fpu");
}

static void set_xcrs(struct diff *d)
{
	struct kvm_xcrs x = { .nr_xcrs = 1 };

	x.xcrs[0].value = one_in(d, 3) ? rnd_value(d) : below(d, 16);
	if (one_in(d, 6))
		x.nr_xcrs = below(d, 20);
	if (one_in(d, 6))
		x.flags = below(d, 2);
	if (one_in(d, 6))
		x.xcrs[0].xcr = below(d, 3);
	say_ret(d, ioctl(VCPU(d), KVM_SET_XCRS, &x), "set-xcrs %llx", x.xcrs[0].value);
}

static u32 any_msr(struct diff *d)
{
	static const u32 bases[] = {
		0, 0x10, 0x174, 0x176, 0x200, 0x250, 0x258, 0x268, 0x277, 0x2ff, 0x400, 0x800,
		0x1d9, 0xc0000080, 0xc0010000, 0xc0010010, 0xc0010110, 0xc0011020, 0xd90,
	};
	unsigned int n;
	const u32 *index = msr_common(d, &n);
	u32 msr;

	do {
		if (!one_in(d, 4))
			msr = index[below(d, n)];
		else
			msr = pick(d, bases) + below(d, 32);
	} while (~msr_mask(msr) || msr_is_clock(msr));
	return msr;
}

static void set_msrs(struct diff *d)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[4];
	} m = { .head.nmsrs = one_in(d, 4) ? below(d, 5) : 1 };
	long ret;

	for (u32 i = 0; i < m.head.nmsrs; i++) {
		m.entry[i].index = any_msr(d);
		m.entry[i].data = one_in(d, 4) ? below(d, 2) : rnd_value(d);
		if (one_in(d, 3)) {
			struct { struct kvm_msrs head; struct kvm_msr_entry entry; } old = {
				.head.nmsrs = 1, .entry.index = m.entry[i].index,
			};
			ioctl(VCPU(d), KVM_GET_MSRS, &old);
			m.entry[i].data = rnd_bits(d, old.entry.data, ~0ULL);
		}
	}
	ret = ioctl(VCPU(d), KVM_SET_MSRS, &m);
	say_ret(d, ret, "set-msrs %x %llx of %u", m.entry[0].index, m.entry[0].data, m.head.nmsrs);
}

static void get_msr(struct diff *d)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m = {
		.head.nmsrs = 1, .entry.index = any_msr(d),
	};
	long ret = ioctl(VCPU(d), KVM_GET_MSRS, &m);

	say_ret(d, ret, "get-msr %x", m.entry.index);
	if (ret == 1)
		say(d, "data %llx", m.entry.data & msr_mask(m.entry.index));
}

static void set_cpuid(struct diff *d)
{
	struct kvm_cpuid2 *c = d->cpuid;
	size_t size = sizeof(*c) + (c->nent + 1) * sizeof(c->entries[0]);
	struct kvm_cpuid2 *own = malloc(size);
	struct kvm_cpuid_entry2 *e;
	long ret;

	if (!own)
		abort();
	memcpy(own, c, size - sizeof(c->entries[0]));
	e = &own->entries[below(d, own->nent)];
	switch (below(d, 6)) {
	case 0:
		*e = own->entries[--own->nent];
		break;
	case 1:
		own->entries[own->nent++] = *e;
		break;
	case 2:
		e->function = rnd_value(d);
		break;
	case 3:
		e->flags = below(d, 8);
		break;
	case 4:
		break;
	default:
		((u32 *)&e->eax)[below(d, 4)] ^= BIT(below(d, 32));
		break;
	}
	ret = ioctl(VCPU(d), KVM_SET_CPUID2, own);
	say_ret(d, ret, "set-cpuid %x %x %08x %08x %08x %08x", e->function, e->index, e->eax,
		e->ebx, e->ecx, e->edx);
	if (!ret)
		d->cpuid_nent = own->nent;
	own->nent = d->cpuid_nent;	/* KVM leaves a larger number as it is */
	if (!ioctl(VCPU(d), KVM_GET_CPUID2, own))
		for (u32 i = 0; i < own->nent; i++) {
			u64 sum = 0;

			e = &own->entries[i];
			for (int k = 0; k < 7; k++)
				sum = (sum ^ ((u32 *)e)[k]) * 0x100000001b3ULL;
			if (one_in(d, 4) || e->function == 1)
				say(d, "cpuid %x %x: %08x %08x %08x %08x", e->function, e->index,
				    e->eax, e->ebx, e->ecx, e->edx);
		}
	free(own);
}

static void set_lapic(struct diff *d)
{
	/* Reserved ones and EOI hold whatever is set there. */
	static const u16 regs[] = { 0x80, 0x100, 0x180, 0x200, 0x300 };
	struct kvm_lapic_state l;
	u32 reg;

	if (ioctl(VCPU(d), KVM_GET_LAPIC, &l)) {
		say_ret(d, -1, "get-lapic");
		return;
	}
	reg = pick(d, regs) + 0x10 * below(d, 8);
	if ((reg >= 0x90 && reg <= 0xc0) || (reg > 0xf0 && reg < 0x100))
		reg = 0x80;
	*(u32 *)(l.regs + reg) = one_in(d, 2) ? rnd_value(d) : below(d, 0x100);
	if (reg == 0x80)		/* KVM loses the lower half with the next entry */
		*(u32 *)(l.regs + reg) &= 0xf0;
	if (reg == 0x320 || reg == 0x380)	/* no timer runs: time */
		*(u32 *)(l.regs + 0x320) |= 0x10000;
	*(u32 *)(l.regs + 0x380) = 0;
	say_ret(d, ioctl(VCPU(d), KVM_SET_LAPIC, &l), "set-lapic %x", reg);
}

static void set_mp_state(struct diff *d)
{
	struct kvm_mp_state mp = { below(d, one_in(d, 2) ? 4 : 12) };

	say_ret(d, ioctl(VCPU(d), KVM_SET_MP_STATE, &mp), "set-mp-state %u", mp.mp_state);
}

static void set_guest_debug(struct diff *d)
{
	struct kvm_guest_debug g = { .control = below(d, 4) | (below(d, 8) << 16) };

	if (one_in(d, 8))
		g.control = rnd(d);
	g.control &= ~KVM_GUESTDBG_SINGLESTEP;	/* of kind insn */
	g.control &= ~KVM_GUESTDBG_INJECT_BP;	/* there is no INT3 to return behind */
	g.arch.debugreg[7] = 0x400 | below(d, 0x100);
	for (int i = 0; i < 4; i++)
		g.arch.debugreg[i] = DIFF_CODE + below(d, 4);
	say_ret(d, ioctl(VCPU(d), KVM_SET_GUEST_DEBUG, &g), "guest-debug %x", g.control);
}

static void inject(struct diff *d)
{
	struct kvm_interrupt irq = { rnd_value(d) };

	if (one_in(d, 3) && nmis_work())
		say_ret(d, ioctl(VCPU(d), KVM_NMI), "nmi");
	else
		say_ret(d, ioctl(VCPU(d), KVM_INTERRUPT, &irq), "interrupt %x", irq.irq);
}

static void translate(struct diff *d)
{
	struct kvm_translation t = { .linear_address = rnd_value(d) };

	if (one_in(d, 2))
		t.linear_address = below(d, DIFF_MMIO + 0x20000);
	say_ret(d, ioctl(VCPU(d), KVM_TRANSLATE, &t), "translate %llx", t.linear_address);
	say(d, "to %llx valid %u write %u user %u", t.physical_address, t.valid, t.writeable,
	    t.usermode);
}

static void misc(struct diff *d)
{
	struct kvm_vapic_addr vapic = { 0 };
	u64 mcg = rnd_bits(d, below(d, 40), 0xffffff00ULL);
	struct kvm_x86_mce mce = {
		.status = rnd_value(d), .addr = rnd_value(d), .misc = rnd_value(d),
		.mcg_status = below(d, 8), .bank = below(d, 12),
	};

	switch (below(d, 5)) {
	case 0:
		say_ret(d, ioctl(VCPU(d), KVM_X86_SETUP_MCE, &mcg), "setup-mce %llx",
			(unsigned long long)mcg);
		break;
	case 1:
		say_ret(d, ioctl(VCPU(d), KVM_X86_SET_MCE, &mce), "set-mce %u %llx", mce.bank,
			mce.status);
		break;
	case 2:
		say_ret(d, ioctl(VCPU(d), KVM_SET_VAPIC_ADDR, &vapic), "vapic");
		break;
	case 3:
		say_ret(d, ioctl(VCPU(d), KVM_KVMCLOCK_CTRL), "kvmclock-ctrl");
		break;
	default:
		d->run[0]->cr8 = below(d, 18);
		d->run[0]->request_interrupt_window = below(d, 2);
		say(d, "run-page");
		break;
	}
}

/*
 * What KVM_SET_VCPU_EVENTS, KVM_INTERRUPT and KVM_SET_MP_STATE can say together, and cannot be: of
 * an exception, an NMI and an interrupt that were all being delivered KVM loses all but the first,
 * and leaves a vCPU halted for which one is. An NMI wakes one up, be it masked or taken back. An
 * NMI that waits for an exception, an interrupt or a shadow it holds back for longer.
 */
void settle_events(struct diff *d)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events e;
	bool exception, nmi;

	if (ioctl(VCPU(d), KVM_GET_VCPU_EVENTS, &e) || ioctl(VCPU(d), KVM_GET_MP_STATE, &mp))
		return;
	exception = e.exception.injected || e.exception.pending;
	nmi = e.nmi.pending;
	if ((exception && (e.interrupt.injected || e.nmi.injected)) ||
	    (e.nmi.injected && e.interrupt.injected) ||
	    (e.nmi.pending && (exception || e.interrupt.injected || e.interrupt.shadow))) {
		e.interrupt.injected &= !exception && !e.nmi.injected;
		e.nmi.injected &= !exception;
		e.nmi.pending = 0;
		e.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
		e.flags &= ~KVM_VCPUEVENT_VALID_SMM;
		say_ret(d, ioctl(VCPU(d), KVM_SET_VCPU_EVENTS, &e), "settle");
	}
	if ((mp.mp_state == KVM_MP_STATE_HALTED || mp.mp_state == KVM_MP_STATE_AP_RESET_HOLD) &&
	    (e.exception.injected || e.interrupt.injected || e.nmi.injected || nmi)) {
		mp.mp_state = KVM_MP_STATE_RUNNABLE;
		say_ret(d, ioctl(VCPU(d), KVM_SET_MP_STATE, &mp), "awake");
	}
}

/*
 * A sane mode again, or what there is; with immediate_exit, or for good. QEMU's TCG ends itself
 * when an exception leaves level 3 with a TSS that is none; see tcg_survives(), too.
 */
static void run(struct diff *d)
{
	static const u8 code[] = { 0x90, 0x90, 0xe6, 0xf5, 0xf4 };
	struct kvm_sregs s;

	if (!one_in(d, 3)) {
		struct kvm_regs regs;

		d->mode = below(d, NR_MODES);
		make_tables(d, d->mode);
		set_mode(d, 0, d->mode, false);
		ioctl(VCPU(d), KVM_GET_REGS, &regs);
		regs.rip = DIFF_CODE;
		regs.rsp = DIFF_STACK;
		regs.rflags &= ~0x20000ULL;
		say_ret(d, ioctl(VCPU(d), KVM_SET_REGS, &regs), "set-regs");
	}
	ioctl(VCPU(d), KVM_GET_SREGS, &s);
	if (s.ss.dpl || !tcg_survives(&s))
		return;
	memcpy(d->ram + DIFF_CODE, code, sizeof(code));
	settle_events(d);
	d->run[0]->immediate_exit = one_in(d, 3);
	run_vcpu(d, 0, 6);
	d->run[0]->immediate_exit = 0;
}

static void begin(struct diff *d)
{
	make_vm(d, 1, one_in(d, 2));
	d->mode = below(d, NR_MODES);
	make_tables(d, d->mode);
	if (!one_in(d, 4))
		set_mode(d, 0, d->mode, false);
	if (one_in(d, 3)) {
		struct kvm_enable_cap cap = {
			.cap = KVM_CAP_EXCEPTION_PAYLOAD, .args[0] = 1,
		};
		say_ret(d, ioctl(d->vm, KVM_ENABLE_CAP, &cap), "exception-payload");
	}
	show_vcpu(d, 0);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
}

static void act(struct diff *d)
{
	static void (*const acts[])(struct diff *d) = {
		set_regs, set_sregs, set_sregs, set_sregs, set_sregs2, set_debugregs, set_events,
		set_events, set_xsave, set_fpu, set_xcrs, set_msrs, set_msrs, set_msrs, get_msr,
		set_cpuid, set_lapic, set_lapic, set_mp_state, set_guest_debug, inject, translate,
		misc, run, run, run,
	};

	pick(d, acts)(d);
	show_vcpu(d, 0);
	show_vm(d);
}

const struct kind kind_state = { "state", 40, begin, act };
