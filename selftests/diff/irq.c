// SPDX-License-Identifier: GPL-2.0
/*
 * irq.c - the oracle's kind "irq": interrupt controllers programmed by the guest and by ioctls,
 * lines, messages, NMIs, IPIs between two vCPUs that run by turns.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 * Intel SDM vol. 3, "Advanced Programmable Interrupt Controller"; 82093AA; 8259A.
 *
 * No timer runs: its interrupts would come at times that no two runs have in common.
 */
#include "gen.h"

#define LAPIC		0xfee00000
#define IOAPIC		0xfec00000
#define MAX_CODE	256

struct code {
	u8 byte[MAX_CODE];
	unsigned int n;
	bool lm;
};

static void put_n(struct code *c, u64 value, unsigned int n)
{
	while (n-- && c->n < MAX_CODE) {
		c->byte[c->n++] = value;
		value >>= 8;
	}
}

static void put_store(struct code *c, u32 address, u32 value)
{
	put_n(c, c->lm ? 0x2504c7 : 0x05c7, c->lm ? 3 : 2);
	put_n(c, address, 4);
	put_n(c, address >= LAPIC + 0x300 ? without_nmi(value) : value, 4);
}

static void put_load(struct code *c, u32 address)
{
	put_n(c, c->lm ? 0x25048b : 0x058b, c->lm ? 3 : 2);
	put_n(c, address, 4);
}

static void put_out(struct code *c, u8 port, u8 value)
{
	put_n(c, 0xb0 | value << 8, 2);
	put_n(c, 0xe6 | port << 8, 2);
}

/* A delivery mode: no SMI, and not the one that KVM has made its paravirtual kick. */
static u32 rnd_delivery(struct diff *d)
{
	u32 mode = one_in(d, 2) ? 0 : below(d, 8);

	return without_nmi((mode == 2 || mode == 3 ? 0 : mode) << 8);
}

/* One bit, in either model: of several, 6.1's KVM knows the lowest alone. */
static u32 logical_id(struct diff *d)
{
	return (one_in(d, 8) ? 0 : BIT(24 + below(d, 4))) | (rnd(d) & 0xffffff);
}

/* A register up to LVTERR. What KVM answers for others is whatever it read last. */
static u32 lapic_register(struct diff *d)
{
	u32 n = below(d, 0x38);
	bool valid = n == 2 || n == 3 || (n >= 8 && n <= 0x28 && n != 0xb && n != 0xc) || n >= 0x30;

	return 0x10 * (valid ? n : 8);
}

/* Not one below 16: the LAPIC drops those, as Documentation/abi.rst has it, and KVM keeps them. */
static u32 rnd_vector(struct diff *d)
{
	return one_in(d, 8) ? 0x10 + below(d, 0x10) : 0x20 + below(d, 0xd0);
}

static void lapic_write(struct diff *d, struct code *c)
{
	static const u16 lvt[] = { 0x330, 0x340, 0x350, 0x360, 0x370 };

	switch (below(d, 10)) {
	case 0:
		put_store(c, LAPIC + 0x80, below(d, 16) << 4);
		break;
	case 1:
	case 2:
		put_store(c, LAPIC + 0xb0, 0);
		break;
	case 3:
		put_store(c, LAPIC + 0xd0, logical_id(d));
		break;
	case 4:
		put_store(c, LAPIC + 0xe0, one_in(d, 2) ? 0xffffffff : 0x0fffffff);
		break;
	case 5:
		put_store(c, LAPIC + 0xf0, below(d, 0x200) | (one_in(d, 4) ? 0 : 0x100));
		break;
	case 6:
		put_store(c, LAPIC + pick(d, lvt),
			  rnd_vector(d) | rnd_delivery(d) | (rnd(d) & 0x1f000));
		break;
	case 7:
		put_store(c, LAPIC + 0x320, 0x10000 | rnd_vector(d) | (rnd(d) & 0x60000));
		break;
	case 8:
		put_store(c, LAPIC + 0x10 * (9 + below(d, 0x2f)), rnd_value(d));
		break;
	default:
		put_load(c, LAPIC + lapic_register(d));
		break;
	}
}

static void icr_write(struct diff *d, struct code *c)
{
	u32 low = rnd_vector(d) | rnd_delivery(d) | below(d, 2) << 11 |
		  (one_in(d, 4) ? 0x8000 : 0x4000) | (one_in(d, 2) ? 0 : below(d, 4)) << 18;

	if (one_in(d, 16))
		low = rnd(d) | 0x400;
	put_store(c, LAPIC + 0x310, (one_in(d, 6) ? rnd(d) & 0xff : below(d, 3)) << 24);
	put_store(c, LAPIC + 0x300, low);
}

static void ioapic_write(struct diff *d, struct code *c)
{
	u32 pin = below(d, one_in(d, 8) ? 64 : 24), reg = 0x10 + 2 * pin;
	u32 random = 0xa000, id = 0;

	if (one_in(d, 8))
		reg = below(d, 0x10);
	if (one_in(d, 3)) {
		id = one_in(d, 4) ? rnd(d) & 0xff : below(d, 3);
		put_store(c, IOAPIC, reg + 1);
		put_store(c, IOAPIC + 0x10, id << 24);
	}
	if (id)		/* what goes to no logical id may set remote IRR in KVM */
		random |= 0x800;
	put_store(c, IOAPIC, reg);
	put_store(c, IOAPIC + 0x10, rnd_vector(d) | rnd_delivery(d) |
		  (rnd(d) & random) | (one_in(d, 4) ? 0x10000 : 0));
	if (one_in(d, 4))
		put_load(c, IOAPIC + 0x10 * below(d, 5));
	if (one_in(d, 8))
		put_store(c, IOAPIC + 0x40, below(d, 256));
}

/* Not a poll: KVM answers without bit 7. */
static u8 no_poll(u8 command)
{
	return (command & 0x18) == 8 ? command & ~4 : command;
}

static void pic_write(struct diff *d, struct code *c)
{
	/* No ICW1 by itself: KVM delivers in the middle of an initialization. No special masks. */
	static const u8 commands[] = { 0x20, 0x60, 0xa0, 0xc0, 0xe0, 0x0a, 0x0b, 0x0c, 0x80, 0x00,
				       0x40 };
	u8 base = one_in(d, 2) ? 0x20 : 0xa0;

	switch (below(d, 6)) {
	case 0:				/* all of an initialization */
		put_out(c, base, 0x11 | (rnd(d) & 8));
		put_out(c, base + 1, 0x20 + 8 * below(d, 12));
		put_out(c, base + 1, base == 0x20 ? 4 : 2);
		put_out(c, base + 1, 1 | (one_in(d, 4) ? rnd(d) & 0x1e : 0));
		/* KVM looks at the slave's output again when the mask is written. */
		put_out(c, base + 1, one_in(d, 2) ? 0 : rnd(d));
		break;
	case 1:
		put_out(c, base + 1, one_in(d, 2) ? 0 : rnd(d));
		break;
	case 2:
		put_n(c, 0xe4 | (base + below(d, 2)) << 8, 2);
		break;
	case 3:				/* edge or level: MOV to DX and AL, OUT */
		put_n(c, 0xba | (0x4d0 + below(d, 2)) << 8, 5);
		put_n(c, 0xee00b0 | below(d, 256) << 8, 3);
		break;
	case 4:
		put_out(c, base, no_poll(rnd(d) & 0xaf));
		break;
	default:
		put_out(c, base, no_poll(pick(d, commands) | below(d, 8)));
		break;
	}
}

/* Interrupts on for a moment; what then comes, goes to a handler, which exits. */
static void window(struct diff *d, struct code *c)
{
	if (one_in(d, 6))
		put_n(c, 0xfaf4fb, 3);			/* STI, HLT, CLI */
	else
		put_n(c, 0xfa9090fb, 4);		/* STI, NOP, NOP, CLI */
}

/* One that is halted is woken by KVM for an NMI, though NMIs are masked. */
static void run_awake(struct diff *d, int i)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events e = { 0 };

	ioctl(d->vcpu[i], KVM_GET_VCPU_EVENTS, &e);
	ioctl(d->vcpu[i], KVM_GET_MP_STATE, &mp);
	if (e.nmi.pending && e.nmi.masked && mp.mp_state == KVM_MP_STATE_HALTED) {
		mp.mp_state = KVM_MP_STATE_RUNNABLE;
		say_ret(d, ioctl(d->vcpu[i], KVM_SET_MP_STATE, &mp), "awake");
	}
	run_vcpu(d, i, 20);
}

static void program(struct diff *d)
{
	static void (*const puts[])(struct diff *d, struct code *c) = {
		lapic_write, lapic_write, icr_write, icr_write, ioapic_write, pic_write, window,
	};
	struct code c = { .lm = d->mode == MODE_LONG };
	int i = one_in(d, 3);
	struct kvm_regs regs = {
		.rip = DIFF_CODE + 0x800 * i, .rsp = DIFF_STACK - 0x400 * i, .rflags = RFLAGS_FIXED,
	};
	char text[2 * MAX_CODE + 1] = "";

	for (u64 n = 1 + below(d, 4); n; n--)
		pick(d, puts)(d, &c);
	if (one_in(d, 2))
		window(d, &c);
	for (unsigned int k = 0; k < c.n; k++)
		sprintf(text + 2 * k, "%02x", c.byte[k]);
	say(d, "v%d code %s", i, text);
	put_n(&c, 0xf4f5e6, 3);
	memcpy(d->ram + regs.rip, c.byte, c.n);
	say_ret(d, ioctl(d->vcpu[i], KVM_SET_REGS, &regs), "set-regs");
	run_awake(d, i);
}

static void run(struct diff *d)
{
	run_awake(d, one_in(d, 2));
}

static void line(struct diff *d)
{
	struct kvm_irq_level l = {
		.irq = below(d, one_in(d, 8) ? 64 : 24),
		.level = one_in(d, 8) ? rnd(d) : below(d, 2),
	};

	if (one_in(d, 2)) {
		say_ret(d, ioctl(d->vm, KVM_IRQ_LINE, &l), "irq-line %u %u", l.irq, l.level);
		return;
	}
	say_ret(d, ioctl(d->vm, KVM_IRQ_LINE_STATUS, &l), "irq-line-status %u", l.irq);
	say(d, "status %d", l.status);
}

static void message(struct diff *d)
{
	struct kvm_msi m = {
		.address_lo = LAPIC | (one_in(d, 6) ? rnd(d) & 0xff : below(d, 3)) << 12 |
			      (rnd(d) & 0xc),
		.data = rnd_vector(d) | rnd_delivery(d) |
			(one_in(d, 4) ? rnd(d) & 0xc000 : 0),
	};
	long ret;

	if (one_in(d, 8))
		m.flags = below(d, 3);
	if (one_in(d, 12))
		m.address_hi = rnd(d);
	/* A hint at one of those addressed, which by their ids must not be all. */
	if ((m.address_lo & 0xff00c) == 0xff008)
		m.address_lo &= ~8U;
	/* Of several ids KVM may choose one that nobody has. */
	if ((m.address_lo & 0xc) == 0xc || (m.address_lo & 4 && (m.data & 0x700) == 0x100)) {
		u32 ids = m.address_lo & 0xff000;

		m.address_lo ^= ids ^ (ids & -ids);
	}
	ret = ioctl(d->vm, KVM_SIGNAL_MSI, &m);
	/* Nobody is addressed, or who is does not take it: which is up to KVM's map of LAPICs. */
	if (ret < 0 && errno == EPERM)
		ret = 0;
	say_ret(d, ret, "msi %x %x", m.address_lo, m.data);
}

static void set_lapic(struct diff *d)
{
	int i = below(d, 2);
	struct kvm_lapic_state l;
	u32 reg = 0x10 * below(d, 0x32);

	/* Reserved ones, and EOI's, hold whatever is set there. */
	if (reg < 0x20 || (reg >= 0x40 && reg < 0x80) ||
	    reg == 0x90 || reg == 0xb0 || reg == 0xc0 ||
	    (reg >= 0x290 && reg < 0x300))
		reg = 0x80;

	must(d, ioctl(d->vcpu[i], KVM_GET_LAPIC, &l), "get-lapic");
	*(u32 *)(l.regs + reg) = reg == 0xd0 ? logical_id(d) :
		rnd_bits(d, *(u32 *)(l.regs + reg), reg == 0x80 ? 0xf0 : ~0U);
	say_ret(d, ioctl(d->vcpu[i], KVM_SET_LAPIC, &l), "v%d set-lapic %x", i, reg);
}

static void set_chip(struct diff *d)
{
	/* Of a PIC: edges, requests, mask, in service, vectors. */
	static const u8 pic[] = { 0, 1, 2, 3, 5 };
	struct kvm_irqchip chip = { .chip_id = below(d, 3) };
	u64 size = sizeof(chip.chip.ioapic);

	if (one_in(d, 8))
		chip.chip_id = rnd_value(d);
	if (ioctl(d->vm, KVM_GET_IRQCHIP, &chip)) {
		say_ret(d, -1, "get-irqchip %x", chip.chip_id);
		return;
	}
	for (u64 n = 1 + below(d, 3); n; n--)
		chip.chip.dummy[chip.chip_id == 2 ? below(d, size) : pick(d, pic)] = rnd(d);
	if (chip.chip_id == 2)
		chip.chip.ioapic.pad = 0;		/* KVM keeps it */
	else if (chip.chip_id == 0)
		chip.chip.pic.last_irr &= ~4;		/* the slave's pulse is over */
	say_ret(d, ioctl(d->vm, KVM_SET_IRQCHIP, &chip), "set-irqchip %x", chip.chip_id);
}

static void set_routing(struct diff *d)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[32];
	} r = { .head.nr = below(d, 33) };

	for (u32 n = 0; n < r.head.nr; n++) {
		struct kvm_irq_routing_entry *e = &r.entry[n];

		e->gsi = one_in(d, 16) ? rnd_value(d) : below(d, 32);
		e->type = one_in(d, 64) ? below(d, 6) : 1 + below(d, 2);
		if (e->type == KVM_IRQ_ROUTING_HV_SINT)
			e->type = KVM_IRQ_ROUTING_S390_ADAPTER;	/* no Hyper-V; this is nobody's */
		if (e->type == KVM_IRQ_ROUTING_MSI) {
			e->u.msi.address_lo = LAPIC | below(d, 3) << 12;
			e->u.msi.data = rnd_vector(d);
			continue;
		}
		e->u.irqchip.irqchip = below(d, one_in(d, 16) ? 4 : 3);
		e->u.irqchip.pin = below(d, one_in(d, 16) ? 32 : 8);
	}
	if (one_in(d, 16))
		r.head.flags = 1;
	say_ret(d, ioctl(d->vm, KVM_SET_GSI_ROUTING, &r), "set-routing %u", r.head.nr);
}

static void nmi(struct diff *d)
{
	int i = below(d, 2);

	if (nmis_work())
		say_ret(d, ioctl(d->vcpu[i], KVM_NMI), "v%d nmi", i);
}

static void set_mp_state(struct diff *d)
{
	struct kvm_mp_state mp = { one_in(d, 2) ? 0 : below(d, 5) };
	int i = below(d, 2);

	say_ret(d, ioctl(d->vcpu[i], KVM_SET_MP_STATE, &mp), "v%d set-mp-state %u", i, mp.mp_state);
}

static void begin(struct diff *d)
{
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };
	struct kvm_lapic_state lapic;

	make_vm(d, 2, true);
	/* KVM knows no vCPU by its id before somebody has touched its LAPIC. */
	must(d, ioctl(d->vcpu[1], KVM_GET_LAPIC, &lapic), "get-lapic");
	must(d, ioctl(d->vcpu[1], KVM_SET_LAPIC, &lapic), "set-lapic");
	d->mode = one_in(d, 2) ? MODE_LONG : MODE_PROT32;
	make_tables(d, d->mode);
	set_mode(d, 0, d->mode, false);
	set_mode(d, 1, d->mode, false);
	if (!one_in(d, 4))
		say_ret(d, ioctl(d->vcpu[1], KVM_SET_MP_STATE, &mp), "v1 runnable");
	show_vcpu(d, 0);
	show_vcpu(d, 1);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
	show_vm(d);
}

static void act(struct diff *d)
{
	static void (*const acts[])(struct diff *d) = {
		program, program, program, program, program, program, run, run, line, line, line,
		message, message, set_lapic, set_chip, set_routing, nmi, set_mp_state,
	};

	pick(d, acts)(d);
	show_vcpu(d, 0);
	show_vcpu(d, 1);
	show_vm(d);
}

const struct kind kind_irq = { "irq", 40, begin, act };
