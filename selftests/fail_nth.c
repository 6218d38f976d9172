// SPDX-License-Identifier: GPL-2.0
/*
 * fail_nth.c - each ioctl with its 1st, 2nd, ... nth allocation (or copy from and to the process)
 * failing, until none is left to fail: a clean errno, nothing changed that can be seen, no fd left
 * behind; and then it works. Needs a kernel with fault injection (/proc/self/fail-nth); whether
 * memory leaked, kmemleak knows.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define MOST	400	/* allocations in one ioctl */

static int nth_fd = -1;

static void knob(const char *dir, const char *file, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, file);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		test_info("%s: %s", path, strerror(errno));
	close(fd);
}

static void touch_stack(void)
{
	volatile u8 room[64 << 10];

	for (size_t i = 0; i < sizeof(room); i += 1024)
		room[i] = 0;
}

static void need_injection(void)
{
	nth_fd = open(getenv("FAIL_NTH") ?: "/proc/self/fail-nth", O_RDWR);
	if (nth_fd < 0)
		test_skip("no /proc/self/fail-nth: the kernel has no fault injection");
	/*
	 * What the process itself would take from the kernel in between, it has now: a
	 * failure is to hit the ioctl, not a page fault before it.
	 */
	touch_stack();
	if (mlockall(MCL_CURRENT))
		test_info("mlockall: %s", strerror(errno));
	knob("failslab", "ignore-gfp-wait", "N");
	knob("failslab", "verbose", "0");
	knob("fail_page_alloc", "ignore-gfp-wait", "N");
	knob("fail_page_alloc", "ignore-gfp-highmem", "N");
	knob("fail_page_alloc", "min-order", "0");
	knob("fail_page_alloc", "verbose", "0");
	knob("fail_usercopy", "verbose", "0");
}

/* The write itself copies, and takes what may be left from before: then it is tried once more. */
static void nth_set(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(nth_fd, text, len, 0) != len && pwrite(nth_fd, text, len, 0) != len)
		test_abort();
}

/* Was the failure injected? A read that itself fails used it up: then it was not. */
static int nth_used(void)
{
	char text[16] = "";
	ssize_t len = pread(nth_fd, text, sizeof(text) - 1, 0);

	nth_set(0);
	return len > 0 && atoi(text) == 0;
}

static int lowest_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* What userspace can see of a vCPU and its VM; clocks aside. */
struct sight {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_lapic_state lapic;
	struct kvm_irqchip chip[3];
	u64 msr[4];
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[100];
	} cpuid;
	int fd;
};

static void look(struct vcpu *vcpu, struct sight *s)
{
	static const u32 msrs[4] = { 0xc0000081, 0xc0000082, 0x277, 0x174 };

	memset(s, 0, sizeof(*s));
	s->fd = lowest_fd();
	xioctl(vcpu->fd, KVM_GET_REGS, &s->regs);
	xioctl(vcpu->fd, KVM_GET_SREGS, &s->sregs);
	xioctl(vcpu->fd, KVM_GET_FPU, &s->fpu);
	ioctl(vcpu->fd, KVM_GET_XCRS, &s->xcrs);
	xioctl(vcpu->fd, KVM_GET_DEBUGREGS, &s->debug);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &s->events);
	xioctl(vcpu->fd, KVM_GET_MP_STATE, &s->mp);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &s->lapic);
	for (int i = 0; i < 3; i++) {
		s->chip[i].chip_id = i;
		xioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, &s->chip[i]);
	}
	for (int i = 0; i < 4; i++)
		s->msr[i] = vcpu_get_msr(vcpu, msrs[i]);
	s->cpuid.head.nent = ARRAY_SIZE(s->cpuid.entries);
	xioctl(vcpu->fd, KVM_GET_CPUID2, &s->cpuid.head);
}

static int attempt;	/* what is set differs from one to the next */
static int hits;	/* failures that were injected at all */

/*
 * Fail the 1st, 2nd, ... allocation of @call until it has no more, with nothing to be seen of the
 * failed attempts. @call returns what its ioctl did; the last one must have worked. A failure that
 * @call, or one of the kernel's checkers, did without is none: @undo, if there is one, then makes
 * what was before.
 */
static void fail_each(const char *name, struct vcpu *vcpu, long (*call)(struct vcpu *vcpu),
		      void (*undo)(void))
{
	struct sight *before = malloc(sizeof(*before)), *after = malloc(sizeof(*after));
	int n, used, e = 0, failed = 0, survived = 0;
	long r = -1;

	ASSERT_TRUE(before && after);
	test_context("%s", name);
	for (n = 1; n < MOST; n++) {
		if (vcpu)
			look(vcpu, before);
		else
			before->fd = lowest_fd();
		attempt = n;
		nth_set(n);
		r = call(vcpu);
		e = errno;
		used = nth_used();
		if (!used)
			break;
		if (r != -1) {
			survived++;
			if (undo)
				undo();
			continue;
		}
		errno = e;
		failed++;
		if (errno != ENOMEM && errno != EFAULT)
			test_fail(__FILE__, __LINE__, "attempt %d: errno %d (%s)", n, errno,
				  strerror(errno));
		if (!vcpu) {
			EXPECT_EQ(lowest_fd(), before->fd);
			continue;
		}
		look(vcpu, after);
		if (memcmp(before, after, sizeof(*before)))
			test_fail(__FILE__, __LINE__, "attempt %d changed something", n);
	}
	EXPECT_TRUE(n < MOST);
	hits += failed + survived;
	if (r < 0)
		test_fail(__FILE__, __LINE__, "without a failure: errno %d (%s)", e, strerror(e));
	test_info("%s: %d attempts failed, %d did without, then it worked", name, failed, survived);
	test_context("");
	free(before);
	free(after);
}

/* ---- the system fd ---- */

static int dev;

static long call_open(struct vcpu *vcpu)
{
	int fd = open(test_device(), O_RDWR);

	(void)vcpu;
	if (fd >= 0)
		close(fd);
	return fd;
}

static long call_create_vm(struct vcpu *vcpu)
{
	long fd = ioctl(dev, KVM_CREATE_VM, 0);

	(void)vcpu;
	if (fd >= 0)
		close(fd);
	return fd;
}

static long call_supported(struct vcpu *vcpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} buf;

	(void)vcpu;
	buf.head.nent = 256;
	return ioctl(dev, KVM_GET_SUPPORTED_CPUID, &buf);
}

static long call_msr_list(struct vcpu *vcpu)
{
	static struct {
		struct kvm_msr_list head;
		u32 indices[1000];
	} buf;

	(void)vcpu;
	buf.head.nmsrs = 1000;
	return ioctl(dev, KVM_GET_MSR_INDEX_LIST, &buf);
}

TEST(system_fd)
{
	need_injection();
	dev = dev_open();
	fail_each("open", NULL, call_open, NULL);
	fail_each("CREATE_VM", NULL, call_create_vm, NULL);
	fail_each("GET_SUPPORTED_CPUID", NULL, call_supported, NULL);
	fail_each("GET_MSR_INDEX_LIST", NULL, call_msr_list, NULL);
	EXPECT_TRUE(hits > 0);
}

/* ---- a VM comes to be: each part can be made after an attempt that failed ---- */

static struct vm *vm;
static void *memory;
static u64 bitmap[64];

static long call_irqchip(struct vcpu *vcpu)
{
	(void)vcpu;
	return ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);
}

static long call_pit(struct vcpu *vcpu)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	(void)vcpu;
	return ioctl(vm->fd, KVM_CREATE_PIT2, &config);
}

static long call_split(struct vcpu *vcpu)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	(void)vcpu;
	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static long call_ring(struct vcpu *vcpu)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 16384 } };

	(void)vcpu;
	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static long call_identity_map(struct vcpu *vcpu)
{
	u64 addr = 0xfffbc000;

	(void)vcpu;
	return ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &addr);
}

static long call_vcpu(struct vcpu *vcpu)
{
	long fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0L);

	(void)vcpu;
	if (fd >= 0)
		close(fd);
	return fd;
}

static void new_vm(void)
{
	vm_free(vm);
	vm = vm_bare();
}

static void new_vm_irqchip(void)
{
	new_vm();
	ASSERT_RET(call_irqchip(NULL), 0);
}

static void new_vm_split(void)
{
	new_vm();
	ASSERT_RET(call_split(NULL), 0);
}

static void new_vm_ring(void)
{
	new_vm();
	ASSERT_RET(call_ring(NULL), 0);
}

static long call_slot(struct vcpu *vcpu)
{
	(void)vcpu;
	return vm_slot(vm, 5, 0, 0x10000000, 0x10000, memory);
}

static long call_slot_log(struct vcpu *vcpu)
{
	(void)vcpu;
	return vm_slot(vm, 5, KVM_MEM_LOG_DIRTY_PAGES, 0x10000000, 0x10000, memory);
}

static long call_slot_move(struct vcpu *vcpu)
{
	(void)vcpu;
	return vm_slot(vm, 5, KVM_MEM_LOG_DIRTY_PAGES, 0x20000000, 0x10000, memory);
}

static long call_slot_delete(struct vcpu *vcpu)
{
	(void)vcpu;
	return vm_slot(vm, 5, 0, 0, 0, NULL);
}

static void no_slot(void)
{
	ASSERT_RET(call_slot_delete(NULL), 0);
}

static void slot(void)
{
	no_slot();
	ASSERT_RET(call_slot(NULL), 0);
}

/* Where call_slot_log() left it, deleted or moved meanwhile. */
static void slot_log(void)
{
	call_slot_delete(NULL);
	ASSERT_RET(call_slot_log(NULL), 0);
}

static long call_dirty_log(struct vcpu *vcpu)
{
	struct kvm_dirty_log log = { .slot = 5, .dirty_bitmap = bitmap };

	(void)vcpu;
	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}

TEST(making_a_vm)
{
	need_injection();
	memory = mem_alloc(0x10000);
	vm = vm_bare();
	fail_each("CREATE_IRQCHIP", NULL, call_irqchip, new_vm);
	fail_each("CREATE_PIT2", NULL, call_pit, new_vm_irqchip);
	fail_each("CREATE_VCPU", NULL, call_vcpu, new_vm_irqchip);
	fail_each("SET_USER_MEMORY_REGION, new", NULL, call_slot, no_slot);
	fail_each("SET_USER_MEMORY_REGION, flags", NULL, call_slot_log, slot);
	fail_each("GET_DIRTY_LOG", NULL, call_dirty_log, NULL);
	fail_each("SET_USER_MEMORY_REGION, moved", NULL, call_slot_move, slot_log);
	fail_each("SET_USER_MEMORY_REGION, deleted", NULL, call_slot_delete, slot_log);
	EXPECT_ERRNO(call_slot_delete(NULL), EINVAL);
	EXPECT_TRUE(hits > 0);
}

TEST(making_a_split_vm)
{
	need_injection();
	vm = vm_bare();
	fail_each("SPLIT_IRQCHIP", NULL, call_split, new_vm);
	fail_each("CREATE_VCPU", NULL, call_vcpu, new_vm_split);
	EXPECT_TRUE(hits > 0);
}

TEST(making_a_vm_with_rings)
{
	need_injection();
	vm = vm_bare();
	fail_each("SET_IDENTITY_MAP_ADDR", NULL, call_identity_map, NULL);
	fail_each("DIRTY_LOG_RING", NULL, call_ring, new_vm);
	fail_each("CREATE_VCPU with a ring", NULL, call_vcpu, new_vm_ring);
	EXPECT_TRUE(hits > 0);
}

/* A slot that could not be changed is as it was: its memory is there, and not elsewhere. */
TEST(slots_stay)
{
	struct kvm_dirty_log log = { .slot = 5, .dirty_bitmap = bitmap };
	int moved = 0;

	need_injection();
	memory = mem_alloc(0x10000);
	vm = vm_bare();
	ASSERT_RET(call_slot(NULL), 0);
	for (int n = 1; n < MOST; n++) {
		nth_set(n);
		moved = call_slot_move(NULL) == 0;
		if (!nth_used() || moved)
			break;
		/* Where it would have gone is free, where it is, is not. */
		ASSERT_RET(vm_slot(vm, 6, 0, 0x20000000, 0x1000, memory), 0);
		ASSERT_RET(vm_slot(vm, 6, 0, 0, 0, NULL), 0);
		EXPECT_ERRNO(vm_slot(vm, 6, 0, 0x10000000, 0x1000, memory), EEXIST);
		EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log), ENOENT);
	}
	EXPECT_TRUE(moved);
}

/* ---- routes and eventfds ---- */

static int event;

static long call_routing(struct vcpu *vcpu)
{
	static struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry e[600];
	} t = { .head.nr = 600 };

	(void)vcpu;
	for (int i = 0; i < 600; i++)
		t.e[i] = (struct kvm_irq_routing_entry) {
			.gsi = i, .type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = 0xfee00000, .data = 0x40 },
		};
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, &t);
}

static long irqfd(u32 flags, int resample)
{
	struct kvm_irqfd irqfd = { .fd = event, .gsi = 5, .flags = flags, .resamplefd = resample };

	return ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

static long call_irqfd(struct vcpu *vcpu)
{
	(void)vcpu;
	return irqfd(0, 0);
}

static long call_irqfd_off(struct vcpu *vcpu)
{
	(void)vcpu;
	return irqfd(KVM_IRQFD_FLAG_DEASSIGN, 0);
}

static int resample_event;

static long call_irqfd_resample(struct vcpu *vcpu)
{
	(void)vcpu;
	return irqfd(KVM_IRQFD_FLAG_RESAMPLE, resample_event);
}

static void irqfd_on(void)
{
	ASSERT_RET(irqfd(0, 0), 0);
}

static void irqfd_off(void)
{
	ASSERT_RET(irqfd(KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
}

static long ioeventfd(u32 flags, u64 addr)
{
	struct kvm_ioeventfd e = { .addr = addr, .len = 4, .fd = event, .flags = flags };

	return ioctl(vm->fd, KVM_IOEVENTFD, &e);
}

static long call_ioeventfd(struct vcpu *vcpu)
{
	(void)vcpu;
	return ioeventfd(0, 0x30000000);
}

static long call_ioeventfd_off(struct vcpu *vcpu)
{
	(void)vcpu;
	return ioeventfd(KVM_IOEVENTFD_FLAG_DEASSIGN, 0x30000000);
}

static long call_ioeventfd_pio(struct vcpu *vcpu)
{
	(void)vcpu;
	return ioeventfd(KVM_IOEVENTFD_FLAG_PIO, 0x900);
}

static void ioeventfd_on(void)
{
	ASSERT_RET(call_ioeventfd(NULL), 0);
}

static void ioeventfd_off(void)
{
	ASSERT_RET(call_ioeventfd_off(NULL), 0);
}

static void ioeventfd_pio_off(void)
{
	ASSERT_RET(ioeventfd(KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0x900), 0);
}

static long call_coalesced(struct vcpu *vcpu)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x40000000, .size = 0x1000 };

	(void)vcpu;
	return ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

static long call_coalesced_off(struct vcpu *vcpu)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x40000000, .size = 0x1000 };

	(void)vcpu;
	return ioctl(vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
}

static void coalesced_on(void)
{
	ASSERT_RET(call_coalesced(NULL), 0);
}

static void coalesced_off(void)
{
	ASSERT_RET(call_coalesced_off(NULL), 0);
}

static long call_msr_filter(struct vcpu *vcpu)
{
	static u8 bits[512];
	struct kvm_msr_filter filter = {
		.ranges = {
			{ .flags = 3, .nmsrs = 4096, .base = 0, .bitmap = bits },
			{ .flags = 1, .nmsrs = 64, .base = 0xc0000000, .bitmap = bits },
		},
	};

	(void)vcpu;
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

TEST(vm_ioctls)
{
	need_injection();
	vm = vm_new_irqchip();
	event = eventfd(0, EFD_NONBLOCK);
	resample_event = eventfd(0, EFD_NONBLOCK);
	fail_each("SET_GSI_ROUTING", NULL, call_routing, NULL);
	fail_each("IRQFD", NULL, call_irqfd, irqfd_off);
	fail_each("IRQFD, deassign", NULL, call_irqfd_off, irqfd_on);
	fail_each("IRQFD, resample", NULL, call_irqfd_resample, irqfd_off);
	fail_each("IOEVENTFD", NULL, call_ioeventfd, ioeventfd_off);
	/* There once, and no more: another one is refused, and so is a second removal. */
	EXPECT_ERRNO(call_ioeventfd(NULL), EEXIST);
	fail_each("IOEVENTFD, deassign", NULL, call_ioeventfd_off, ioeventfd_on);
	EXPECT_ERRNO(call_ioeventfd_off(NULL), ENOENT);
	fail_each("IOEVENTFD, PIO", NULL, call_ioeventfd_pio, ioeventfd_pio_off);
	fail_each("REGISTER_COALESCED_MMIO", NULL, call_coalesced, coalesced_off);
	fail_each("UNREGISTER_COALESCED_MMIO", NULL, call_coalesced_off, coalesced_on);
	fail_each("X86_SET_MSR_FILTER", NULL, call_msr_filter, NULL);
	EXPECT_TRUE(hits > 0);
}

/* ---- a vCPU's ioctls: what is set by them is what it was, until it is set ---- */

static void guest(void)
{
	for (;;)
		guest_sync(0x1234);
}

#define IOCTL(name, cmd, type, ...)						\
static long call_##name(struct vcpu *vcpu)					\
{										\
	type arg = __VA_ARGS__;							\
										\
	return ioctl(vcpu->fd, cmd, &arg);					\
}

IOCTL(get_regs, KVM_GET_REGS, struct kvm_regs, {})
IOCTL(get_sregs, KVM_GET_SREGS, struct kvm_sregs, {})
IOCTL(get_fpu, KVM_GET_FPU, struct kvm_fpu, {})
IOCTL(get_xcrs, KVM_GET_XCRS, struct kvm_xcrs, {})
IOCTL(get_lapic, KVM_GET_LAPIC, struct kvm_lapic_state, {})
IOCTL(get_events, KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events, {})
IOCTL(translate, KVM_TRANSLATE, struct kvm_translation, { .linear_address = 0x400000 })
IOCTL(debug, KVM_SET_GUEST_DEBUG, struct kvm_guest_debug, { .control = KVM_GUESTDBG_ENABLE })
IOCTL(set_regs, KVM_SET_REGS, struct kvm_regs, { .rip = 0x5555 + attempt })
IOCTL(set_fpu, KVM_SET_FPU, struct kvm_fpu, { .fcw = attempt & 1 ? 0x27f : 0x37f })
IOCTL(set_debugregs, KVM_SET_DEBUGREGS, struct kvm_debugregs, { .db[0] = attempt, .dr7 = 0x401 })

static long call_set_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = {};

	/* Their state, got without failures before, with another CR2. */
	sregs = *(struct kvm_sregs *)memory;
	sregs.cr2 = 0x98765000 + attempt;
	return ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
}

static long call_set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic = *(struct kvm_lapic_state *)((u8 *)memory + 4096);

	lapic.regs[APIC_TPR] = (attempt & 15) << 4;
	return ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic);
}

static long call_xsave(struct vcpu *vcpu)
{
	static u8 buf[16384];

	return ioctl(vcpu->fd, KVM_GET_XSAVE, buf) ?: ioctl(vcpu->fd, KVM_SET_XSAVE, buf);
}

static long call_set_msrs(struct vcpu *vcpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[2];
	} msrs = {
		{ .nmsrs = 2 },
		{ { .index = 0xc0000081, .data = 0x1122334455667788 + attempt },
		  { .index = 0xc0000082, .data = 0x7788 } },
	};

	return ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
}

static u32 nr_cpuid;

static long call_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = (void *)((u8 *)memory + 8192);

	/* With its last entry, and without. */
	cpuid->nent = nr_cpuid - (attempt & 1);
	return ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

static long call_irqchip_state(struct vcpu *vcpu)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	return ioctl(vcpu->vm->fd, KVM_GET_IRQCHIP, &chip) ?:
	       ioctl(vcpu->vm->fd, KVM_SET_IRQCHIP, &chip);
}

TEST(vcpu_ioctls)
{
	struct kvm_cpuid2 *cpuid;
	struct vcpu *vcpu;

	need_injection();
	vcpu = guest_new_irqchip(guest);
	vm = vcpu->vm;
	memory = mem_alloc(0x10000);
	vcpu_get_sregs(vcpu, memory);
	xioctl(vcpu->fd, KVM_GET_LAPIC, (u8 *)memory + 4096);
	cpuid = (void *)((u8 *)memory + 8192);
	*cpuid = *supported_cpuid();
	memcpy(cpuid->entries, supported_cpuid()->entries, cpuid->nent * sizeof(cpuid->entries[0]));
	nr_cpuid = cpuid->nent;

	fail_each("GET_REGS", vcpu, call_get_regs, NULL);
	fail_each("GET_SREGS", vcpu, call_get_sregs, NULL);
	fail_each("GET_FPU", vcpu, call_get_fpu, NULL);
	fail_each("GET_XCRS", vcpu, call_get_xcrs, NULL);
	fail_each("GET_LAPIC", vcpu, call_get_lapic, NULL);
	fail_each("GET_VCPU_EVENTS", vcpu, call_get_events, NULL);
	fail_each("TRANSLATE", vcpu, call_translate, NULL);
	fail_each("SET_GUEST_DEBUG", vcpu, call_debug, NULL);
	fail_each("SET_REGS", vcpu, call_set_regs, NULL);
	fail_each("SET_SREGS", vcpu, call_set_sregs, NULL);
	fail_each("SET_FPU", vcpu, call_set_fpu, NULL);
	fail_each("SET_DEBUGREGS", vcpu, call_set_debugregs, NULL);
	fail_each("SET_LAPIC", vcpu, call_set_lapic, NULL);
	fail_each("XSAVE", vcpu, call_xsave, NULL);
	fail_each("SET_MSRS", vcpu, call_set_msrs, NULL);
	fail_each("SET_CPUID2", vcpu, call_cpuid, NULL);
	fail_each("IRQCHIP", vcpu, call_irqchip_state, NULL);
	EXPECT_TRUE(hits > 0);
}

/* ---- the others that take or give something: by rows ---- */

enum which_fd { DEV, VM, VCPU };

struct row {
	const char *name;
	enum which_fd on;
	unsigned long cmd;
	void *arg;
	int gives_fd;
};

static const struct row *row;

static long call_row(struct vcpu *vcpu)
{
	int fd = row->on == DEV ? vcpu->vm->dev : row->on == VM ? vcpu->vm->fd : vcpu->fd;
	long r = ioctl(fd, row->cmd, row->arg);

	if (row->gives_fd && r >= 0)
		close(r);
	return r;
}

static struct kvm_pit_state pit;
static struct kvm_pit_state2 pit2;
static struct kvm_reinject_control reinject = { .pit_reinject = 1 };

static struct kvm_irq_level line = { .irq = 5 };

static struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x40 };

static struct kvm_clock_data kvm_clock;

static struct kvm_enable_cap vm_cap = {
	.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
};

static struct kvm_clear_dirty_log clear = {
	.slot = 5, .num_pages = 64, .dirty_bitmap = bitmap,
};

static struct kvm_sregs2 sregs2;
static struct kvm_xcrs xcrs;
static struct kvm_debugregs debugregs;
static struct kvm_vcpu_events events;
static struct kvm_mp_state mp_state;
static struct kvm_tpr_access_ctl tpr_access = { .enabled = 1 };

static struct kvm_vapic_addr vapic = { .vapic_addr = GUEST_FREE };

static struct kvm_x86_mce mce = { .status = 1ULL << 63 | 1ULL << 61, .bank = 1 };

static u64 mce_cap, mce_setup = 1 << 8 | 10, offset, xcr0, xsave[2048];

static struct kvm_device_attr offset_attr = {
	.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)&offset,
};

static struct kvm_device_attr xcr0_attr = {
	.attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (unsigned long)&xcr0,
};

static struct {
	struct kvm_msrs head;
	struct kvm_msr_entry e[1];
} get_msrs = { { .nmsrs = 1 }, { { .index = 0x277 } } };

static struct {
	struct kvm_msr_list head;
	u32 indices[100];
} features = { .head.nmsrs = 100 };

static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[256];
} get_cpuid = { .head.nent = 256 };

static struct {
	struct kvm_signal_mask head;
	u8 set[8];
} signals = { .head.len = 8 };

static const struct row rows[] = {
	{ "GET_MSR_FEATURE_INDEX_LIST", DEV, KVM_GET_MSR_FEATURE_INDEX_LIST, &features, 0 },
	{ "GET_MSRS of features", DEV, KVM_GET_MSRS, &get_msrs, 0 },
	{ "X86_GET_MCE_CAP_SUPPORTED", DEV, KVM_X86_GET_MCE_CAP_SUPPORTED, &mce_cap, 0 },
	{ "HAS_DEVICE_ATTR of the device", DEV, KVM_HAS_DEVICE_ATTR, &xcr0_attr, 0 },
	{ "GET_DEVICE_ATTR of the device", DEV, KVM_GET_DEVICE_ATTR, &xcr0_attr, 0 },

	{ "GET_PIT", VM, KVM_GET_PIT, &pit, 0 },
	{ "SET_PIT", VM, KVM_SET_PIT, &pit, 0 },
	{ "GET_PIT2", VM, KVM_GET_PIT2, &pit2, 0 },
	{ "SET_PIT2", VM, KVM_SET_PIT2, &pit2, 0 },
	{ "REINJECT_CONTROL", VM, KVM_REINJECT_CONTROL, &reinject, 0 },
	{ "IRQ_LINE", VM, KVM_IRQ_LINE, &line, 0 },
	{ "IRQ_LINE_STATUS", VM, KVM_IRQ_LINE_STATUS, &line, 0 },
	{ "SIGNAL_MSI", VM, KVM_SIGNAL_MSI, &msi, 0 },
	{ "GET_CLOCK", VM, KVM_GET_CLOCK, &kvm_clock, 0 },
	{ "SET_CLOCK", VM, KVM_SET_CLOCK, &kvm_clock, 0 },
	{ "ENABLE_CAP", VM, KVM_ENABLE_CAP, &vm_cap, 0 },
	{ "CLEAR_DIRTY_LOG", VM, KVM_CLEAR_DIRTY_LOG, &clear, 0 },
	{ "GET_STATS_FD of a VM", VM, KVM_GET_STATS_FD, NULL, 1 },

	{ "GET_SREGS2", VCPU, KVM_GET_SREGS2, &sregs2, 0 },
	{ "SET_SREGS2", VCPU, KVM_SET_SREGS2, &sregs2, 0 },
	{ "GET_XSAVE2", VCPU, KVM_GET_XSAVE2, xsave, 0 },
	{ "SET_XCRS", VCPU, KVM_SET_XCRS, &xcrs, 0 },
	{ "GET_MSRS", VCPU, KVM_GET_MSRS, &get_msrs, 0 },
	{ "GET_CPUID2", VCPU, KVM_GET_CPUID2, &get_cpuid, 0 },
	{ "GET_MP_STATE", VCPU, KVM_GET_MP_STATE, &mp_state, 0 },
	{ "SET_MP_STATE", VCPU, KVM_SET_MP_STATE, &mp_state, 0 },
	{ "SET_VCPU_EVENTS", VCPU, KVM_SET_VCPU_EVENTS, &events, 0 },
	{ "GET_DEBUGREGS", VCPU, KVM_GET_DEBUGREGS, &debugregs, 0 },
	{ "SET_SIGNAL_MASK", VCPU, KVM_SET_SIGNAL_MASK, &signals, 0 },
	{ "X86_SETUP_MCE", VCPU, KVM_X86_SETUP_MCE, &mce_setup, 0 },
	{ "X86_SET_MCE", VCPU, KVM_X86_SET_MCE, &mce, 0 },
	{ "SET_VAPIC_ADDR", VCPU, KVM_SET_VAPIC_ADDR, &vapic, 0 },
	{ "TPR_ACCESS_REPORTING", VCPU, KVM_TPR_ACCESS_REPORTING, &tpr_access, 0 },
	{ "GET_STATS_FD of a vCPU", VCPU, KVM_GET_STATS_FD, NULL, 1 },
	{ "HAS_DEVICE_ATTR", VCPU, KVM_HAS_DEVICE_ATTR, &offset_attr, 0 },
	{ "GET_DEVICE_ATTR", VCPU, KVM_GET_DEVICE_ATTR, &offset_attr, 0 },
	{ "SET_DEVICE_ATTR", VCPU, KVM_SET_DEVICE_ATTR, &offset_attr, 0 },
};

TEST(other_ioctls)
{
	struct kvm_pit_config config = {};
	struct vcpu *vcpu;

	need_injection();
	vcpu = guest_new_irqchip(guest);
	vm = vcpu->vm;
	memory = mem_alloc(0x40000);
	xioctl(vm->fd, KVM_CREATE_PIT2, &config);
	ASSERT_RET(vm_slot(vm, 5, KVM_MEM_LOG_DIRTY_PAGES, 0x10000000, 0x40000, memory), 0);

	/* What is set is what was there, but for something that would be seen. */
	xioctl(vm->fd, KVM_GET_PIT, &pit);
	xioctl(vm->fd, KVM_GET_PIT2, &pit2);
	xioctl(vcpu->fd, KVM_GET_XCRS, &xcrs);
	xcrs.xcrs[0].value = 1;
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events);
	events.nmi.masked = 1;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		if (row->cmd == KVM_SET_MP_STATE)
			mp_state.mp_state = KVM_MP_STATE_HALTED;
		if (row->cmd == KVM_SET_SREGS2)
			sregs2.cr2 = 0x1234567000;
		fail_each(row->name, vcpu, call_row, NULL);
	}
	EXPECT_TRUE(hits > 0);
}

/* ---- KVM_RUN: what failed can be tried again, and the guest knows nothing of it ---- */

static volatile u64 guest_sum;

static void touch_guest(void)
{
	for (;;) {
		/* Pages that nobody has touched: table pages have to be allocated for each. */
		for (u64 at = GUEST_FREE; at < RAM_SIZE; at += 0x200000) {
			*(volatile u64 *)at += at;
			guest_sum += *(volatile u64 *)at == at;
		}
		apic_write(APIC_TPR, 0x20);
		guest_sum += apic_read(APIC_TPR) == 0x20;
		guest_sync(guest_sum);
	}
}

TEST(run)
{
	int n, used, failed = 0;
	u64 rounds = (RAM_SIZE - GUEST_FREE) / 0x200000 + 1;

	need_injection();
	for (n = 1; n < 120; n++) {
		struct vcpu *vcpu = guest_new_irqchip(touch_guest);
		long r;

		nth_set(n);
		r = ioctl(vcpu->fd, KVM_RUN, 0);
		used = nth_used();
		if (r < 0) {
			failed++;
			if (errno != ENOMEM && errno != EFAULT)
				test_fail(__FILE__, __LINE__, "attempt %d: errno %d", n, errno);
			r = ioctl(vcpu->fd, KVM_RUN, 0);
		}
		/* A read of guest memory that fails is an instruction that cannot be emulated. */
		if (!(used && vcpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)) {
			struct kvm_regs regs;

			ASSERT_RET(r, 0);
			ASSERT_EQ(vcpu->run->exit_reason, KVM_EXIT_IO);
			vcpu_get_regs(vcpu, &regs);
			EXPECT_EQ(regs.rdi, rounds);
		}
		vm_free(vcpu->vm);
		if (!used)
			break;
	}
	EXPECT_TRUE(n < 120);
	EXPECT_TRUE(failed > 0);
	test_info("KVM_RUN: %d attempts failed", failed);
}
