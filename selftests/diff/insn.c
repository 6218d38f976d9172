// SPDX-License-Identifier: GPL-2.0
/*
 * insn.c - the oracle's kind "insn": a few random instructions in one of the CPU's modes, on memory
 * and on what is none, so that userspace must answer.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 * AMD APM vol. 3.
 *
 * A program ends with OUT to a port below 0x100: its own end, or the handler of an exception.
 */
#include "gen.h"

static u64 rnd_pointer(struct diff *d)
{
	u64 flat = d->mode >= MODE_PROT32;

	/*
	 * KVM takes no step after an instruction that ends with a write to a device, and leaves
	 * DR7 of the exit alone where it steps in its emulator.
	 */
	if (d->stepping)
		return (flat ? DIFF_DATA : 0) + below(d, 0x7000);
	switch (below(d, 8)) {
	case 0:
		return (flat ? DIFF_DATA : 0) + below(d, 0x10000);
	case 1:
		return (flat ? DIFF_DATA : 0) + 0x1000 * below(d, 16) - below(d, 16);
	case 2:
	case 3:
	case 4:
		return (flat ? DIFF_MMIO : 0) + 8 * below(d, 0x400);
	case 5:
		return (flat ? DIFF_MMIO : 0) + below(d, 0x10000);
	case 6:
		return (flat ? DIFF_MMIO : 0) - below(d, 16);
	default:
		return rnd_value(d);
	}
}

/* VMX refuses an entry with one that is not canonical. */
static u64 rnd_base(struct diff *d)
{
	u64 base = rnd_pointer(d);

	return host_is_intel() ? (u64)((int64_t)(base << 16) >> 16) : base;
}

static void set_regs(struct diff *d)
{
	struct kvm_regs regs;
	u64 *words = (u64 *)&regs;

	for (int n = 0; n < 16; n++)
		words[n] = d->stepping || below(d, 4) ? rnd_pointer(d) : rnd_value(d);
	regs.rcx = below(d, one_in(d, 8) ? 300 : 20);
	for (int n = 0; n < 16 && d->mode != MODE_LONG; n++) {
		words[n] = n < 8 ? (u32)words[n] : 0;
		/* What an operand does that wraps around at 4 GiB is up to the CPU. */
		if (words[n] >= 0xffffc000)
			words[n] -= 0x4000;
	}
	if (d->mode >= MODE_PROT32 && d->mode != MODE_LONG) {	/* the same, downwards */
		regs.rsi += regs.rsi < 0x1000 ? 0x1000 : 0;
		regs.rdi += regs.rdi < 0x1000 ? 0x1000 : 0;
	}
	regs.rsp = DIFF_STACK - 8 * below(d, 16);
	regs.rip = DIFF_CODE + (one_in(d, 16) ? 0xff0 + below(d, 16) : 0);
	regs.rflags = RFLAGS_FIXED | (rnd(d) & 0x8d5);
	if (one_in(d, 4))
		regs.rflags |= RFLAGS_DF;
	if (one_in(d, 8))
		regs.rflags |= RFLAGS_IF;
	if (one_in(d, 16))
		regs.rflags |= rnd(d) & 0x247000;	/* NT, RF, IOPL, AC, ID */
	must(d, ioctl(d->vcpu[0], KVM_SET_REGS, &regs), "set-regs");
	d->step_shown = regs.rip;
	make_program(d, regs.rip, 1 + below(d, 3));
}

static void set_debug(struct diff *d)
{
	struct kvm_guest_debug g = { 0 };

	if (d->stepping) {
		g.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
	} else if (one_in(d, 8)) {
		g.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
		g.arch.debugreg[0] = DIFF_CODE + below(d, 8);
		g.arch.debugreg[7] = 0x402;
	}
	say_ret(d, ioctl(d->vcpu[0], KVM_SET_GUEST_DEBUG, &g), "guest-debug %x", g.control);
}

static void set_sregs(struct diff *d)
{
	static const u64 cr0[] = { CR0_TS, CR0_EM, CR0_MP, CR0_NE, CR0_WP, CR0_AM };
	static const u64 cr4[] = {
		0x1, 0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x800, 0x10000, 0x40000, 0x100000,
		0x200000,
	};
	static const u64 efer[] = { EFER_SCE, EFER_NX, BIT(14) };	/* the last: AMD's */
	struct kvm_sregs s;
	u64 what;

	set_mode(d, 0, d->mode, one_in(d, 5));
	what = one_in(d, 6) ? below(d, 5) : 5;
	if (what == 5 && !d->stepping)
		return;
	must(d, ioctl(d->vcpu[0], KVM_GET_SREGS, &s), "get-sregs");
	if (!host_is_intel())		/* see set_mode() */
		s.tr.type &= ~2;
	if (d->stepping) {		/* off devices, see rnd_pointer() */
		s.es = s.ds;
		s.gs = s.ds;
	}
	switch (what) {
	case 0:
		s.cr0 ^= pick(d, cr0);
		break;
	case 1:
		s.cr4 ^= pick(d, cr4);
		break;
	case 2:
		s.efer ^= efer[below(d, ARRAY_SIZE(efer) - host_is_intel())];
		break;
	case 3:
		s.ds.limit = below(d, 0x1000);
		s.ds.g = 0;
		s.es.limit = below(d, 0x1000);
		s.es.g = 0;
		break;
	case 4:
		s.fs.base = rnd_base(d);
		s.gs.base = rnd_base(d);
		break;
	}
	say_ret(d, ioctl(d->vcpu[0], KVM_SET_SREGS, &s), "set-sregs cr0 %llx cr4 %llx efer %llx",
		s.cr0, s.cr4, s.efer);
}

static void clear_events(struct diff *d)
{
	struct kvm_vcpu_events e;

	must(d, ioctl(d->vcpu[0], KVM_GET_VCPU_EVENTS, &e), "get-events");
	e.exception.injected = 0;
	e.exception.pending = 0;
	e.interrupt.injected = 0;
	e.interrupt.shadow = one_in(d, 8) ? below(d, host_is_intel() ? 3 : 4) : 0;
	/* KVM drops it on VMX where the guest steps. A step over a load of SS ends behind it. */
	if (d->stepping && host_is_intel())
		e.interrupt.shadow = 0;
	e.nmi.injected = 0;
	/* QEMU's TCG forgets the shadow if the guest exits in it; KVM makes a step regardless. */
	e.nmi.pending = one_in(d, 16) && !e.interrupt.shadow;
	e.nmi.masked = one_in(d, 16);
	if (!nmis_work())
		memset(&e.nmi, 0, sizeof(e.nmi));
	e.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING;
	must(d, ioctl(d->vcpu[0], KVM_SET_VCPU_EVENTS, &e), "set-events");
	if (e.interrupt.shadow || e.nmi.pending || e.nmi.masked)
		say(d, "shadow %u nmi pending %u masked %u", e.interrupt.shadow, e.nmi.pending,
		    e.nmi.masked);
}

/*
 * VMX refuses an entry in the shadow of an STI that leaves interrupts off, or in both kinds of
 * shadow, and an interrupt that is injected where interrupts are off or held back.
 */
static void set_interrupt(struct diff *d, struct kvm_interrupt irq)
{
	bool wanted = one_in(d, 12);
	struct kvm_vcpu_events e;
	struct kvm_regs regs;

	if (host_is_intel()) {
		must(d, ioctl(d->vcpu[0], KVM_GET_VCPU_EVENTS, &e), "get-events");
		must(d, ioctl(d->vcpu[0], KVM_GET_REGS, &regs), "get-regs");
		if (wanted || e.interrupt.shadow)
			regs.rflags |= RFLAGS_IF;
		must(d, ioctl(d->vcpu[0], KVM_SET_REGS, &regs), "set-regs");
		wanted &= !e.interrupt.shadow;
	}
	if (wanted)
		say_ret(d, ioctl(d->vcpu[0], KVM_INTERRUPT, &irq), "interrupt %x", irq.irq);
}

static void begin(struct diff *d)
{
	make_vm(d, 1, false);
	d->mode = below(d, NR_MODES);
	make_tables(d, d->mode);
	for (u64 at = DIFF_DATA; at < DIFF_DATA + 0x10000; at += 8) {
		u64 value = rnd(d);

		memcpy(d->ram + at, &value, sizeof(value));
	}
	set_mode(d, 0, d->mode, false);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
	show_vcpu(d, 0);
}

static void act(struct diff *d)
{
	struct kvm_interrupt irq = { 0x30 + below(d, 16) };

	make_tables(d, d->mode);
	/* Frames of the last program's, which may not have been compared. */
	memset(d->ram + DIFF_STACK - 0x1000, 0, 0x1000);
	d->flags_hidden = 0;
	d->stepping = one_in(d, steps_linger() ? 24 : 6);
	/* Nothing of the last program's is to be completed by the next one. */
	d->run[0]->immediate_exit = 1;
	ioctl(d->vcpu[0], KVM_RUN, 0L);
	d->run[0]->immediate_exit = 0;
	set_sregs(d);
	clear_events(d);
	set_regs(d);
	set_debug(d);
	d->run[0]->request_interrupt_window = one_in(d, 8);
	set_interrupt(d, irq);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
	if (!run_vcpu(d, 0, 1000)) {
		/* In the middle of an instruction, perhaps, which nothing may follow. */
		say(d, "v0 goes on and on");
		d->stop = true;
	}
	show_vcpu(d, 0);
	show_vm(d);
	d->stop |= d->stepping && steps_linger();
}

const struct kind kind_insn = { "insn", 40, begin, act };
