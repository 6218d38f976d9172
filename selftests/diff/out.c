// SPDX-License-Identifier: GPL-2.0
/*
 * out.c - the oracle's transcript: a line for each fact, each with its step's number, and of state
 * only what changed since it was last shown.
 * Entered from all parts of minihv-diff.
 * No locks: one thread.
 * Linux Documentation/virt/kvm/api.rst, "The kvm_run structure".
 */
#include <stdlib.h>

#include "modes.h"

#define MAX_WORDS	24		/* of one structure in one step; the rest is summed up */

void say(struct diff *d, const char *fmt, ...)
{
	va_list ap;

	printf("%u ", d->step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void say_ret(struct diff *d, long ret, const char *fmt, ...)
{
	int error = errno;
	va_list ap;

	printf("%u ", d->step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (ret < 0)
		printf(" = %s\n", strerrorname_np(error) ?: "?");
	else
		printf(" = %ld\n", ret);
}

void say_words(struct diff *d, const char *name, const void *now, void *shown, size_t size,
	       unsigned int unit)
{
	unsigned int changed = 0;
	u64 sum = 0;

	for (size_t i = 0; i < size; i += unit) {
		u64 a = 0, b = 0;

		memcpy(&a, now + i, unit);
		memcpy(&b, shown + i, unit);
		if (a == b)
			continue;
		if (++changed <= MAX_WORDS)
			say(d, "%s[%zx] %llx", name, i, (unsigned long long)a);
		sum = (sum ^ a ^ i) * 0x100000001b3ULL;
	}
	if (changed > MAX_WORDS)
		say(d, "%s: %u changed, sum %llx", name, changed, (unsigned long long)sum);
	memcpy(shown, now, size);
}

static void show_regs(struct diff *d, int i)
{
	static const char *const names[] = {
		"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11",
		"r12", "r13", "r14", "r15", "rip", "rflags",
	};
	u64 now[ARRAY_SIZE(names)], *shown = (void *)d->shown[i].regs;
	long ret = ioctl(d->vcpu[i], KVM_GET_REGS, now);

	if (ret)
		say_ret(d, ret, "get-regs");
	if (ret)
		return;
	now[17] &= ~d->flags_hidden;
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (now[n] != shown[n])
			say(d, "v%d %s %llx", i, names[n], (unsigned long long)now[n]);
	memcpy(shown, now, sizeof(now));
}

/* The ioctls that fill one structure of a fixed size. */
#define SHOW(d, i, cmd, type, member, unit) do {				\
	type now_;								\
	long ret_;								\
										\
	memset(&now_, 0, sizeof(now_));						\
	ret_ = ioctl((d)->vcpu[i], cmd, &now_);					\
	snprintf(name, sizeof(name), "v%d " #member, i);			\
	if (ret_)								\
		say_ret(d, ret_, "v%d get-" #member, i);			\
	else									\
		say_words(d, name, &now_, &(d)->shown[i].member, sizeof(now_), unit); \
} while (0)

/* Attributes that no CPU would load: VMX refuses them; what is put right, and when, differs. */
static void hide_attributes(struct kvm_sregs2 *s)
{
	struct kvm_segment *const seg[] = {
		&s->cs, &s->ds, &s->es, &s->fs, &s->gs, &s->ss, &s->tr, &s->ldt,
	};

	for (size_t i = 0; i < ARRAY_SIZE(seg); i++) {
		seg[i]->type |= i < 6;
		seg[i]->g = seg[i]->limit > 0xfffff;
	}
	s->tr.type |= 3;
}

static void show_sregs(struct diff *d, int i)
{
	struct kvm_sregs2 now;
	char name[16];

	memset(&now, 0, sizeof(now));
	if (ioctl(d->vcpu[i], KVM_GET_SREGS2, &now)) {
		say_ret(d, -1, "v%d get-sregs", i);
		return;
	}
	if (host_is_intel())
		hide_attributes(&now);
	snprintf(name, sizeof(name), "v%d sregs", i);
	say_words(d, name, &now, d->shown[i].sregs, sizeof(now), 8);
}

static void show_events(struct diff *d, int i)
{
	struct kvm_vcpu_events now;
	char name[16];

	if (ioctl(d->vcpu[i], KVM_GET_VCPU_EVENTS, &now)) {
		say_ret(d, -1, "v%d get-events", i);
		return;
	}
	now.flags &= ~KVM_VCPUEVENT_VALID_SMM;	/* not served */
	memset(&now.smi, 0, sizeof(now.smi));
	if (!nmis_work())
		now.nmi.masked = 0;
	if (!(now.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT))
		now.triple_fault.pending = 0;	/* KVM does not write it */
	if (!now.exception.injected && !now.exception.pending) {	/* no exception: no data */
		now.exception.nr = 0;
		now.exception.has_error_code = 0;
		now.exception.error_code = 0;
	}
	if (!now.exception.pending) {
		now.exception_has_payload = 0;
		now.exception_payload = 0;
	}
	if (!now.interrupt.injected) {
		now.interrupt.nr = 0;
		now.interrupt.soft = 0;
	}
	snprintf(name, sizeof(name), "v%d events", i);
	say_words(d, name, &now, d->shown[i].events, sizeof(now), 1);
}

static void show_lapic(struct diff *d, int i)
{
	struct kvm_lapic_state now;
	char name[16];

	if (!d->irqchip || ioctl(d->vcpu[i], KVM_GET_LAPIC, &now))
		return;
	memset(now.regs + 0x390, 0, 4);		/* the timer's current count: time */
	memset(now.regs + 0xa0, 0, 4);		/* PPR: KVM's is stale after KVM_SET_LAPIC */
	snprintf(name, sizeof(name), "v%d lapic", i);
	say_words(d, name, &now, d->shown[i].lapic, sizeof(now), 4);
}

/* All MSRs at once; if one of them cannot be read, from the next one on again. */
static void show_msrs(struct diff *d, int i)
{
	static struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[512];
	} msrs;
	unsigned int n, at = 0;
	const u32 *index = msr_common(d, &n);

	while (at < n) {
		long ret;

		msrs.head.nmsrs = n - at;
		for (unsigned int k = at; k < n; k++)
			msrs.entry[k - at].index = index[k];
		ret = ioctl(d->vcpu[i], KVM_GET_MSRS, &msrs);
		for (long k = 0; k < ret; k++, at++) {
			u64 value = msrs.entry[k].data & msr_mask(index[at]);

			if (value != d->shown[i].msr[at])
				say(d, "v%d msr %x %llx", i, index[at], (unsigned long long)value);
			d->shown[i].msr[at] = value;
		}
		if (at < n && d->shown[i].msr[at] != ~0xbadULL)
			say(d, "v%d msr %x cannot be read", i, index[at]);
		if (at < n)
			d->shown[i].msr[at++] = ~0xbadULL;
	}
}

/* KVM leaves a guest's breakpoints in the CPU; DR6 of one that has none may tell of them. */
static void show_debugregs(struct diff *d, int i)
{
	struct kvm_debugregs now = { };
	char name[16];

	if (ioctl(d->vcpu[i], KVM_GET_DEBUGREGS, &now)) {
		say_ret(d, -1, "v%d get-debugregs", i);
		return;
	}
	if (d->kind == KIND_STATE || !(now.dr7 & 0xff))
		now.dr6 &= ~15ULL;
	snprintf(name, sizeof(name), "v%d debugregs", i);
	say_words(d, name, &now, &d->shown[i].debugregs, sizeof(now), 8);
}

void show_vcpu(struct diff *d, int i)
{
	char name[24];

	if (d->stop)
		return;
	show_regs(d, i);
	show_sregs(d, i);
	show_events(d, i);
	show_debugregs(d, i);
	SHOW(d, i, KVM_GET_XSAVE, struct kvm_xsave, xsave, 4);
	SHOW(d, i, KVM_GET_XCRS, struct kvm_xcrs, xcrs, 8);
	SHOW(d, i, KVM_GET_FPU, struct kvm_fpu, fpu, 4);
	SHOW(d, i, KVM_GET_MP_STATE, struct kvm_mp_state, mp_state, 4);
	show_lapic(d, i);
	show_msrs(d, i);
}

static void show_chips(struct diff *d)
{
	static const char *const names[] = { "pic0", "pic1", "ioapic" };
	struct kvm_pit_state2 pit;

	for (u32 n = 0; n < 3; n++) {
		struct kvm_irqchip chip = { .chip_id = n };

		if (d->irqchip && !ioctl(d->vm, KVM_GET_IRQCHIP, &chip))
			say_words(d, names[n], &chip, d->chip_shown[n], sizeof(chip),
				  n < 2 ? 1 : 8);
	}
	if (!d->pit || ioctl(d->vm, KVM_GET_PIT2, &pit))
		return;
	for (int n = 0; n < 3; n++)
		pit.channels[n].count_load_time = 0;	/* time */
	say_words(d, "pit", &pit, d->pit_shown, sizeof(pit), 1);
}

/*
 * The page table's entries for devices: for a write after a read KVM does not walk again, and does
 * not set the dirty bit. Of kind state, the accessed bits: of events that are taken back again, and
 * of shutdowns, KVM sometimes begins the delivery.
 */
static void hide_bits(struct diff *d, u8 *table)
{
	unsigned int size = d->mode == MODE_PAGED32 ? 4 : 8;

	for (u64 n = DIFF_MMIO >> 12; n < 0x60; n++)
		table[n * size] &= ~0x40;
	for (u64 n = 0; n < 0x60 && d->kind == KIND_STATE; n++)
		table[n * size] &= ~0x20;
}

/* Where frames are pushed: at first, and where LEAVE and the like have moved the stack to. */
static bool is_stack(struct diff *d, u64 page)
{
	struct kvm_regs regs = { };

	ioctl(d->vcpu[0], KVM_GET_REGS, &regs);
	return page == DIFF_STACK - 0x1000 || (regs.rsp - page) % DIFF_RAM < 0x1000;
}

void show_vm(struct diff *d)
{
	if (d->stop || !d->ram)
		return;
	show_chips(d);
	for (u64 page = 0; page < DIFF_RAM; page += 0x1000) {
		u8 now[0x1000];
		char name[24];

		if (!memcmp(d->ram + page, d->ram_shown + page, 0x1000))
			continue;
		memcpy(now, d->ram + page, sizeof(now));
		if (page == DIFF_PT + 0x3000)
			hide_bits(d, now);
		/*
		 * Sometimes the TF that makes steps is in what KVM pushes, sometimes not. After a
		 * triple fault frames may be anywhere.
		 */
		if (d->stepping && (is_stack(d, page) || d->shut_down))
			memcpy(now, d->ram_shown + page, sizeof(now));
		snprintf(name, sizeof(name), "ram %05llx", (unsigned long long)page);
		say_words(d, name, now, d->ram_shown + page, 0x1000, 8);
	}
}

static void show_bytes(struct diff *d, const char *what, const u8 *data, unsigned int n)
{
	char text[2 * 64 + 1] = "";

	for (unsigned int k = 0; k < n && k < 64; k++)
		sprintf(text + 2 * k, "%02x", data[k]);
	say(d, "%s data %s", what, text);
}

/*
 * What each exit says of interrupts and the LAPIC, where it is not what the last one said: into how
 * many exits the accesses of a string instruction are cut is up to the hypervisor.
 */
static void show_ready(struct diff *d, const struct kvm_run *run, const char *vcpu)
{
	char now[sizeof(d->ready_shown)];

	snprintf(now, sizeof(now), "%s ready %u if %u flags %x cr8 %llx apic-base %llx", vcpu,
		 run->ready_for_interrupt_injection, run->if_flag, run->flags, run->cr8,
		 run->apic_base);
	if (strcmp(now, d->ready_shown))
		say(d, "%s", now);
	strcpy(d->ready_shown, now);
}

static void show_io(struct diff *d, struct kvm_run *run, const char *vcpu)
{
	for (u32 n = 0; n < run->io.count && n < 64; n++) {
		say(d, "%s exit io dir %u size %u port %x", vcpu, run->io.direction, run->io.size,
		    run->io.port);
		if (run->io.direction == KVM_EXIT_IO_OUT)
			show_bytes(d, vcpu, (u8 *)run + run->io.data_offset + n * run->io.size,
				   run->io.size);
	}
}

static void show_reason(struct diff *d, struct kvm_run *run, const char *vcpu)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		show_io(d, run, vcpu);
		break;
	case KVM_EXIT_MMIO:
		say(d, "%s exit mmio write %u addr %llx len %u", vcpu, run->mmio.is_write,
		    run->mmio.phys_addr, run->mmio.len);
		if (run->mmio.is_write)
			show_bytes(d, vcpu, run->mmio.data, run->mmio.len);
		/* KVM makes no more steps after what its emulator has executed. */
		d->stop |= d->stepping;
		break;
	case KVM_EXIT_DEBUG:
		if (d->stepping && steps_linger() && run->debug.arch.pc == d->step_shown)
			break;
		d->step_shown = run->debug.arch.pc;
		/* A step shows breakpoints that are not enabled; KVM leaves old ones in DR0. */
		say(d, "%s exit debug exception %x pc %llx dr6 %llx", vcpu,
		    run->debug.arch.exception, run->debug.arch.pc,
		    run->debug.arch.dr6 & ~(d->stepping ? 15ULL : 0));
		break;
	case KVM_EXIT_FAIL_ENTRY:
		say(d, "%s exit fail-entry %llx", vcpu,
		    run->fail_entry.hardware_entry_failure_reason);
		d->stop = true;		/* how far it came before, the host's interrupts say */
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		say(d, "%s exit internal-error %u", vcpu, run->internal.suberror);
		break;
	case KVM_EXIT_IOAPIC_EOI:
		say(d, "%s exit ioapic-eoi %u", vcpu, run->eoi.vector);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		say(d, "%s exit msr %u index %x data %llx reason %u", vcpu, run->exit_reason,
		    run->msr.index, run->msr.data, run->msr.reason);
		break;
	default:
		d->shut_down = run->exit_reason == KVM_EXIT_SHUTDOWN;
		say(d, "%s exit %u", vcpu, run->exit_reason);
	}
}

void show_exit(struct diff *d, int i, int ret)
{
	struct kvm_run *run = d->run[i];
	char vcpu[8];

	snprintf(vcpu, sizeof(vcpu), "v%d", i);
	show_ready(d, run, vcpu);
	if (ret)
		say_ret(d, ret, "%s run", vcpu);
	else
		show_reason(d, run, vcpu);
}
