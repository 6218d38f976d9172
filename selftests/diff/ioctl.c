// SPDX-License-Identifier: GPL-2.0
/*
 * ioctl.c - the oracle's kind "ioctl": all ioctls in any order, on the right and the wrong
 * descriptors, with arguments good, bad and senseless.
 * Entered from minihv-diff.c.
 * No locks: one thread.
 * Linux Documentation/virt/kvm/api.rst.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "modes.h"

#define BUFFER	0x2000		/* the argument's memory; what follows is not mapped */
#define BUFFER_AT	0x7a0000000000ULL	/* always there: addresses are in results */
#define MCE_HIDDEN	(BIT(10) | BIT(27))	/* CMCI, local machine checks: KVM on VMX */

enum fd_kind { DEV, VM, VCPU, NR_FDS };

/* What the argument is. */
enum {
	NONE,
	VALUE,			/* a small number */
	POINTER,		/* to what the command's size says */
	COUNTED,		/* to a u32 that says how many entries follow */
	TIME = 0x10,		/* what comes back is not compared */
};

struct row {
	const char *name;
	u32 cmd;
	u8 fd;
	u8 arg;
};

#define ROW(fd, name, arg) { #name, KVM_##name, fd, arg }

static const struct row rows[] = {
	ROW(DEV, GET_API_VERSION, NONE), ROW(DEV, CREATE_VM, VALUE),
	ROW(DEV, CHECK_EXTENSION, VALUE), ROW(DEV, GET_VCPU_MMAP_SIZE, NONE),
	ROW(DEV, GET_MSR_FEATURE_INDEX_LIST, COUNTED | TIME), ROW(DEV, GET_MSRS, COUNTED),
	ROW(DEV, X86_GET_MCE_CAP_SUPPORTED, POINTER),
	ROW(VM, CHECK_EXTENSION, VALUE), ROW(VM, CREATE_VCPU, VALUE),
	ROW(VM, SET_USER_MEMORY_REGION, POINTER), ROW(VM, GET_DIRTY_LOG, POINTER),
	ROW(VM, CLEAR_DIRTY_LOG, POINTER), ROW(VM, REGISTER_COALESCED_MMIO, POINTER),
	ROW(VM, UNREGISTER_COALESCED_MMIO, POINTER), ROW(VM, IRQFD, POINTER),
	ROW(VM, IOEVENTFD, POINTER), ROW(VM, SIGNAL_MSI, POINTER),
	ROW(VM, SET_GSI_ROUTING, COUNTED),
	ROW(VM, CREATE_IRQCHIP, NONE), ROW(VM, GET_IRQCHIP, POINTER), ROW(VM, SET_IRQCHIP, POINTER),
	ROW(VM, CREATE_PIT, NONE), ROW(VM, CREATE_PIT2, POINTER), ROW(VM, GET_PIT, POINTER | TIME),
	ROW(VM, SET_PIT, POINTER), ROW(VM, GET_PIT2, POINTER | TIME), ROW(VM, SET_PIT2, POINTER),
	ROW(VM, REINJECT_CONTROL, POINTER), ROW(VM, IRQ_LINE, POINTER),
	ROW(VM, IRQ_LINE_STATUS, POINTER), ROW(VM, SET_TSS_ADDR, VALUE),
	ROW(VM, SET_IDENTITY_MAP_ADDR, POINTER), ROW(VM, SET_BOOT_CPU_ID, VALUE),
	ROW(VM, SET_NR_MMU_PAGES, VALUE), ROW(VM, GET_CLOCK, POINTER | TIME),
	ROW(VM, SET_CLOCK, POINTER), ROW(VM, ENABLE_CAP, POINTER),
	ROW(VCPU, GET_REGS, POINTER), ROW(VCPU, SET_REGS, POINTER), ROW(VCPU, GET_SREGS, POINTER),
	ROW(VCPU, SET_SREGS, POINTER), ROW(VCPU, GET_SREGS2, POINTER),
	ROW(VCPU, SET_SREGS2, POINTER), ROW(VCPU, GET_FPU, POINTER), ROW(VCPU, GET_XSAVE, POINTER),
	ROW(VCPU, SET_XSAVE, POINTER), ROW(VCPU, GET_XSAVE2, POINTER), ROW(VCPU, GET_XCRS, POINTER),
	ROW(VCPU, SET_XCRS, POINTER), ROW(VCPU, GET_MSRS, COUNTED), ROW(VCPU, SET_MSRS, COUNTED),
	ROW(VCPU, GET_CPUID2, COUNTED | TIME), ROW(VCPU, SET_CPUID2, COUNTED),
	ROW(VCPU, GET_LAPIC, POINTER), ROW(VCPU, GET_MP_STATE, POINTER),
	ROW(VCPU, SET_MP_STATE, POINTER), ROW(VCPU, GET_VCPU_EVENTS, POINTER | TIME),
	ROW(VCPU, SET_VCPU_EVENTS, POINTER), ROW(VCPU, GET_DEBUGREGS, POINTER),
	ROW(VCPU, SET_DEBUGREGS, POINTER), ROW(VCPU, INTERRUPT, POINTER), ROW(VCPU, NMI, NONE),
	ROW(VCPU, TRANSLATE, POINTER), ROW(VCPU, SET_GUEST_DEBUG, POINTER),
	ROW(VCPU, GET_TSC_KHZ, NONE), ROW(VCPU, KVMCLOCK_CTRL, NONE),
	ROW(VCPU, X86_SETUP_MCE, POINTER), ROW(VCPU, X86_SET_MCE, POINTER),
	ROW(VCPU, ENABLE_CAP, POINTER), ROW(VCPU, SET_VAPIC_ADDR, POINTER),
	ROW(VCPU, TPR_ACCESS_REPORTING, POINTER), ROW(VCPU, GET_STATS_FD, NONE),
	ROW(VCPU, HAS_DEVICE_ATTR, POINTER | TIME), ROW(VCPU, GET_DEVICE_ATTR, POINTER),
	ROW(VCPU, SET_DEVICE_ATTR, POINTER | TIME), ROW(VCPU, SET_SIGNAL_MASK, COUNTED),
	ROW(DEV, HAS_DEVICE_ATTR, POINTER | TIME), ROW(DEV, GET_DEVICE_ATTR, POINTER),
	ROW(VM, GET_STATS_FD, NONE), ROW(VM, RESET_DIRTY_RINGS, NONE),
	ROW(VM, GET_TSC_KHZ, NONE),
};

static u8 *buffer;
static u8 *last;		/* where the last good result is, for the next argument */
static bool created_irqchip;

static int fd_of(struct diff *d, u8 kind)
{
	return kind == DEV ? d->dev : kind == VM ? d->vm : d->vcpu[0];
}

static void fill(struct diff *d, u8 *at, size_t size)
{
	switch (below(d, 5)) {
	case 0:
		memset(at, 0, size);
		break;
	case 1:
		for (size_t i = 0; i < size; i++)
			at[i] = rnd(d);
		break;
	case 2:
		for (size_t i = 0; i + 4 <= size; i += 4)
			*(u32 *)(at + i) = below(d, 16);
		break;
	case 3:
		for (size_t i = 0; i + 8 <= size; i += 8)
			*(u64 *)(at + i) = rnd_value(d);
		break;
	default:
		memcpy(at, last, size);
		for (u64 n = below(d, 3); n; n--)
			at[below(d, size)] = rnd(d);
	}
}

/* A VM's ioctls: values make sense where what KVM does with senseless ones is beside the point. */
static void amend_vm(u32 cmd, u8 *at)
{
	struct kvm_pit_state2 *pit = (void *)at;
	struct kvm_irqchip *chip = (void *)at;
	struct kvm_msi *msi = (void *)at;

	switch (cmd) {
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_GET_DIRTY_LOG:
	case KVM_CLEAR_DIRTY_LOG:
		*(u32 *)at &= ~0x10000;		/* that is system management mode's memory */
		break;
	case KVM_SET_IRQCHIP:
		if (chip->chip_id == KVM_IRQCHIP_IOAPIC)
			chip->chip.ioapic.pad = 0;	/* KVM keeps it */
		break;
	case KVM_SET_PIT:
	case KVM_SET_PIT2:
		for (int i = 0; i < 3; i++)	/* no timer runs */
			pit->channels[i].mode = 0xff;
		break;
	case KVM_SIGNAL_MSI:
		if ((msi->data & 0x600) == 0x200)	/* an SMI, or the reserved mode behind it */
			msi->data &= ~0x200;
		break;
	case KVM_IOEVENTFD:
		((struct kvm_ioeventfd *)at)->flags &= ~8;	/* another architecture's */
		break;
	}
}

/* And of the others. */
static void amend(struct diff *d, u32 cmd, u8 *at)
{
	struct kvm_enable_cap *cap = (void *)at;
	struct kvm_msrs *msrs = (void *)at;
	struct kvm_device_attr *attr = (void *)at;
	struct kvm_sregs *sregs = (void *)at;

	switch (cmd) {
	case KVM_SET_SREGS:
	case KVM_SET_SREGS2:
		/* KVM's emulator does not step over a HLT in what is no code. */
		sregs->cs.type = 11;
		sregs->cs.s = 1;
		sregs->cs.present = 1;
		sregs->cs.unusable = 0;
		sregs->cs.limit |= 0xffff;
		sregs->efer &= ~EFER_SVME;
		break;
	case KVM_SET_REGS:
		((struct kvm_regs *)at)->rip = DIFF_CODE + below(d, 16);
		break;
	case KVM_ENABLE_CAP:
		cap->cap = below(d, 230);
		while (cap_hidden(cap->cap))
			cap->cap = below(d, 230);
		break;
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		for (u32 i = 0; i < msrs->nmsrs && i < 64; i++)
			if (msr_hidden(msrs->entries[i].index) ||
			    msr_is_clock(msrs->entries[i].index))
				msrs->entries[i].index = 0x174;
		break;
	case KVM_SET_VCPU_EVENTS:
		sane_events((void *)at);
		break;
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		/* On Intel's CPUs most are about nested virtualization. */
		if (host_is_intel() && *(u32 *)at)
			*(u32 *)at = 64;
		break;
	case KVM_X86_SETUP_MCE:
		*(u64 *)at &= ~MCE_HIDDEN;
		break;
	case KVM_SET_GUEST_DEBUG:
		*(u32 *)at &= 0x00170001;	/* no INJECT_BP, no steps, see state.c */
		break;
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		attr->flags = one_in(d, 4);
		attr->group = one_in(d, 4);
		attr->attr = one_in(d, 4) ? rnd_value(d) : 0;
		/* KVM returns one that looks like an errno as such. */
		attr->addr = one_in(d, 4) ? rnd_value(d) << 1 >> 1 :
					    (uintptr_t)(at + sizeof(*attr));
		break;
	case KVM_SET_SIGNAL_MASK:
		memset(at + 4, 0, 60);
		break;
	}
}

static u8 *make_argument(struct diff *d, const struct row *row, u8 arg, size_t *size)
{
	u8 *at = buffer;

	*size = _IOC_SIZE(row->cmd);
	if ((arg & 0xf) == COUNTED)
		*size += 64 * 24;
	if (!*size)
		*size = 64;
	if (one_in(d, 10))		/* its end is not mapped */
		at = buffer + BUFFER - *size + below(d, *size);
	if (at == buffer) {
		fill(d, at, *size);
		if ((arg & 0xf) == COUNTED) {
			*(u32 *)at = one_in(d, 10) ? rnd_value(d) : below(d, 64);
			if (row->cmd == KVM_SET_GSI_ROUTING && !one_in(d, 8))
				*(u32 *)(at + 4) = 0;
		}
		amend_vm(row->cmd, at);
		amend(d, row->cmd, at);
	}
	return at;
}

static void show_result(struct diff *d, const u8 *at, const u8 *before, size_t size)
{
	static u8 shown[BUFFER];

	memcpy(shown, before, size);
	say_words(d, "out", at, shown, size, 4);
}

static void call(struct diff *d)
{
	const struct row *row = &pick(d, rows);
	u8 fd = one_in(d, 12) ? below(d, NR_FDS) : row->fd;
	static u8 before[BUFFER];
	u8 *at = buffer;
	size_t size = 0;
	long ret, value;

	switch (row->arg & 0xf) {
	case NONE:
		ret = ioctl(fd_of(d, fd), row->cmd, one_in(d, 8) ? rnd_value(d) : 0);
		break;
	case VALUE:
		value = one_in(d, 4) ? rnd_value(d) : below(d, 256);
		if (row->cmd == KVM_CREATE_VCPU)	/* 6.1's KVM cuts it off there */
			value = (u32)value;
		if (row->cmd == KVM_CHECK_EXTENSION && cap_hidden(value))
			value = 0;
		if (row->cmd == KVM_CREATE_VCPU && value >= 128 && value < 4096)
			value = 1;
		ret = ioctl(fd_of(d, fd), row->cmd, value);
		say(d, "value %lx", value);
		break;
	default:
		at = make_argument(d, row, row->arg, &size);
		if (one_in(d, 16))
			at = one_in(d, 2) ? NULL : (u8 *)rnd_value(d);
		else if (at == buffer)
			memcpy(before, at, size);
		ret = ioctl(fd_of(d, fd), row->cmd, at);
	}
	say_ret(d, ret, "%s on %u", row->name, fd);
	if (row->cmd == KVM_X86_GET_MCE_CAP_SUPPORTED && at == buffer)
		*(u64 *)buffer &= ~MCE_HIDDEN;
	if (row->cmd == KVM_CREATE_IRQCHIP && fd == VM && !ret)
		created_irqchip = true;
	if (!size || at != buffer || row->arg & TIME)
		return;
	show_result(d, buffer, before, size);
	if (ret >= 0)
		memcpy(last, buffer, size);
}

static void unknown(struct diff *d)
{
	u8 fd = below(d, NR_FDS), nr = rnd(d);
	u32 cmd = _IOC(below(d, 4), one_in(d, 8) ? 0xaf : KVMIO, nr, below(d, 64));

	if (nr == 0x80 || nr == 0x8b || ioctl_hidden(nr))
		return;
	if (one_in(d, 2))
		cmd = pick(d, rows).cmd ^ BIT(16 + below(d, 16));
	if (ioctl_hidden(cmd))
		return;
	memset(buffer, 0, BUFFER);
	say_ret(d, ioctl(fd_of(d, fd), cmd, buffer), "ioctl %x on %u", cmd, fd);
}

static void eventfds(struct diff *d)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd irqfd = {
		.fd = fd, .gsi = below(d, 30), .flags = below(d, 4), .resamplefd = fd,
	};
	struct kvm_ioeventfd ioeventfd = {
		.fd = fd, .addr = below(d, 8), .len = below(d, 9),
		.flags = below(d, 16) & 7,	/* the next one is another architecture's */
		.datamatch = below(d, 4),
	};

	if (one_in(d, 2))
		say_ret(d, ioctl(d->vm, KVM_IRQFD, &irqfd), "irqfd %u flags %x", irqfd.gsi,
			irqfd.flags);
	else
		say_ret(d, ioctl(d->vm, KVM_IOEVENTFD, &ioeventfd),
			"ioeventfd addr %llx len %u flags %x", ioeventfd.addr,
			ioeventfd.len, ioeventfd.flags);
}

static void run(struct diff *d)
{
	struct kvm_sregs s;

	if (ioctl(d->vcpu[0], KVM_GET_SREGS, &s) || !tcg_survives(&s))
		return;
	settle_events(d);
	d->run[0]->immediate_exit = one_in(d, 2);
	run_vcpu(d, 0, 4);
	d->run[0]->immediate_exit = 0;
}

/* Wherever the guest gets to, it halts; at the reset vector, too. */
static void halt_everywhere(struct diff *d)
{
	struct kvm_userspace_memory_region top = {
		.slot = 31, .guest_phys_addr = 0x100000000 - DIFF_RAM, .memory_size = DIFF_RAM,
		.userspace_addr = (uintptr_t)d->ram,
	};

	memset(d->ram, 0xf4, DIFF_RAM);
	must(d, ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &top), "reset vector");
}

static void begin(struct diff *d)
{
	make_vm(d, 1, one_in(d, 4));
	halt_everywhere(d);
	make_tables(d, MODE_REAL);
	make_tables(d, MODE_PROT32);
	memcpy(d->ram_shown, d->ram, DIFF_RAM);
	buffer = mmap((void *)BUFFER_AT, BUFFER + 0x1000, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	must(d, buffer == MAP_FAILED ? -1 : 0, "buffer");
	mprotect(buffer + BUFFER, 0x1000, PROT_NONE);
	last = calloc(1, BUFFER);
	show_vcpu(d, 0);
}

static void act(struct diff *d)
{
	switch (below(d, 16)) {
	case 0:
		unknown(d);
		break;
	case 1:
		eventfds(d);
		break;
	case 2:
		run(d);
		break;
	default:
		call(d);
		break;
	}
	/* What KVM has reset then, on SVM, fetches its first instruction for ever. */
	d->stop |= d->shut_down;
	d->irqchip |= created_irqchip;
	show_vcpu(d, 0);
	show_vm(d);
}

const struct kind kind_ioctl = { "ioctl", 60, begin, act };
