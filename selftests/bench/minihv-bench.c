// SPDX-License-Identifier: GPL-2.0
/*
 * minihv-bench.c - what exits cost, in ticks of the host's TSC.
 * Entered as minihv-bench [--device DEV] [ROW]...; prints rows "name value", those named or all.
 * No locks: one thread.
 *
 * A guest does the same thing a few and then many times; the difference of the two runs,
 * divided, is the cost of one, and what the runs have in common cancels out. Of some rounds the
 * shortest runs count: those that no timer of the host interrupted. Where a TSC tick is an
 * instruction (QEMU's icount), so is a unit.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

#define FEW	40
#define MANY	240
#define ROUNDS	6

#define MMIO	0xd0000000ULL
#define PORT	0x60
#define MMIO_EVENT (MMIO + 0x1000)
#define PORT_EVENT 0x70
#define VECTOR	0x40
#define PAGES	0x10000000ULL	/* a slot of its own for the faults */
#define PAGES_SIZE (MANY * 0x1000ULL)

static volatile u64 handled;

static void on_irq(struct isr_frame *frame)
{
	(void)frame;
	handled++;
	x2apic_write(APIC_EOI, 0);
}

/* The guests: each does its thing @n times. */

static void cpuid_guest(u64 n)
{
	for (; n; n--)
		guest_cpuid(0, 0);
	guest_done();
}

/* IA32_APIC_BASE: intercepted, and answered in the kernel. */
static void rdmsr_guest(u64 n)
{
	for (; n; n--)
		rdmsr(MSR_APICBASE);
	guest_done();
}

static void vmmcall_guest(u64 n)
{
	u64 nr;

	for (; n; n--) {
		nr = 0x7fff;
		asm volatile("vmmcall" : "+a" (nr) : : "memory");
	}
	guest_done();
}

static void vmcall_guest(u64 n)
{
	u64 nr;

	for (; n; n--) {
		nr = 0x7fff;
		asm volatile("vmcall" : "+a" (nr) : : "memory");
	}
	guest_done();
}

static void out_guest(u64 n)
{
	for (; n; n--)
		outb(PORT, 0);
	guest_done();
}

static void in_guest(u64 n)
{
	for (; n; n--)
		inb(PORT);
	guest_done();
}

static void mmio_write_guest(u64 n)
{
	for (; n; n--)
		mmio_write32(MMIO, n);
	guest_done();
}

static void mmio_read_guest(u64 n)
{
	for (; n; n--)
		mmio_read32(MMIO);
	guest_done();
}

static void out_event_guest(u64 n)
{
	for (; n; n--)
		outb(PORT_EVENT, 0);
	guest_done();
}

static void mmio_event_guest(u64 n)
{
	for (; n; n--)
		mmio_write32(MMIO_EVENT, n);
	guest_done();
}

static void touch_guest(u64 n)
{
	for (u64 i = 0; i < n; i++)
		*(volatile u8 *)(PAGES + i * 0x1000) = 1;
	guest_done();
}

/* Arm, take the interrupt, EOI: the deadline is over before the guest is entered again. */
static void timer_guest(u64 n)
{
	isr_table[VECTOR] = on_irq;
	x2apic_enable();
	x2apic_write(APIC_LVTT, 0x40000 | VECTOR);
	sti();
	for (handled = 0; n; n--) {
		u64 before = handled;

		wrmsr(MSR_TSCDEADLINE, rdtsc() + 1);
		GUEST_WAIT(handled != before);
	}
	cli();
	guest_done();
}

static void self_ipi_guest(u64 n)
{
	isr_table[VECTOR] = on_irq;
	x2apic_enable();
	sti();
	for (handled = 0; n; n--) {
		u64 before = handled;

		wrmsr(0x83f, VECTOR);
		GUEST_WAIT(handled != before);
	}
	cli();
	guest_done();
}

static struct vm *vm;
static struct vcpu *vcpu;
static void *pages;

/* Present: the VMM has touched the pages; absent: the host has none. Both unmapped here. */
static void pages_present(void)
{
	if (pages)
		xioctl(vm->fd, KVM_SET_USER_MEMORY_REGION,
		       (&(struct kvm_userspace_memory_region){ .slot = 1 }));
	else
		pages = mem_alloc(PAGES_SIZE);
	madvise(pages, PAGES_SIZE, MADV_NOHUGEPAGE);
	memset(pages, 1, PAGES_SIZE);
	ASSERT_RET(vm_slot(vm, 1, 0, PAGES, PAGES_SIZE, pages), 0);
}

static void pages_absent(void)
{
	pages_present();
	madvise(pages, PAGES_SIZE, MADV_DONTNEED);
}

/* Run the guest to its end, with as little in userspace as can be; the ticks it took. */
static u64 run_to_end(void)
{
	struct kvm_run *run = vcpu->run;
	u64 begin = rdtsc();

	do {
		if (ioctl(vcpu->fd, KVM_RUN, 0)) {
			perror("KVM_RUN");
			exit(1);
		}
	} while (run->exit_reason == KVM_EXIT_MMIO ||
		 (run->exit_reason == KVM_EXIT_IO && run->io.port != UCALL_PORT));
	begin = rdtsc() - begin;
	if (run->exit_reason != KVM_EXIT_IO) {
		vcpu_dump(vcpu);
		exit(1);
	}
	return begin;
}

static u64 timed(void (*guest)(u64), void (*prepare)(void), u64 n)
{
	if (prepare)
		prepare();
	vcpu_finish_io(vcpu);
	vcpu_long(vcpu, (void *)guest, n);
	return run_to_end();
}

static void row(const char *name, u64 value)
{
	printf("%s %lu\n", name, value);
	fflush(stdout);
}

static u64 min_of(u64 a, u64 b)
{
	return a < b ? a : b;
}

static char **wanted;		/* rows, up to a NULL; none: all */

static int is_wanted(const char *name)
{
	for (char **row = wanted; *row; row++)
		if (!strcmp(*row, name))
			return 1;
	return !*wanted;
}

static void measure(const char *name, void (*guest)(u64), void (*prepare)(void))
{
	u64 few = ~0ULL, many = ~0ULL;

	if (!is_wanted(name))
		return;
	timed(guest, prepare, FEW);
	for (int i = 0; i < ROUNDS; i++) {
		few = min_of(few, timed(guest, prepare, FEW));
		many = min_of(many, timed(guest, prepare, MANY));
	}
	row(name, (many - few + (MANY - FEW) / 2) / (MANY - FEW));
}

static void add_event(u64 addr, u32 len, u32 flags)
{
	struct kvm_ioeventfd e = {
		.addr = addr, .len = len, .flags = flags, .fd = eventfd(0, EFD_NONBLOCK),
	};

	xioctl(vm->fd, KVM_IOEVENTFD, &e);
}

static void make_guest(int irqchip)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();

	vm = irqchip ? vm_new_irqchip() : vm_new();
	vcpu = vcpu_new(vm, 0);
	if (dev_cap(KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		cpuid_entry(cpuid, 1, 0)->ecx |= BIT(24);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

/* The sum of all values that follow one of the @keys in the file. */
static u64 sum_of(const char *path, const char *const *keys)
{
	FILE *f = fopen(path, "r");
	u64 sum = 0, value;
	char word[64];

	while (f && fscanf(f, "%63s", word) == 1)
		for (const char *const *key = keys; *key; key++)
			if (!strcmp(word, *key) && fscanf(f, "%lu", &value) == 1)
				sum += value;
	if (f)
		fclose(f);
	return sum;
}

/* Pages in the CPUs' own lists are free as well, though meminfo does not say so. */
static u64 free_kib(void)
{
	static const char *const free[] = { "MemFree:", "Buffers:", "Cached:", NULL };
	static const char *const lists[] = { "count:", NULL };

	return sum_of("/proc/meminfo", free) + 4 * sum_of("/proc/zoneinfo", lists);
}

/* VMs with one vCPU each: the time to make them, and the memory they take while idle. */
static void creation(int irqchip)
{
	enum { COUNT = 128 };
	static int vms[COUNT], vcpus[COUNT];
	u64 vm_best = 0, vcpu_best = 0, before;
	int dev = dev_open();

	/* What others have freed of late comes back first. */
	sleep(2);
	before = free_kib();
	for (int i = 0; i < COUNT; i++) {
		u64 t0 = rdtsc(), t1, t2, t3;

		vms[i] = xioctl(dev, KVM_CREATE_VM, 0);
		t1 = rdtsc();
		if (irqchip)
			xioctl(vms[i], KVM_CREATE_IRQCHIP, 0);
		t2 = rdtsc();
		vcpus[i] = xioctl(vms[i], KVM_CREATE_VCPU, 0);
		t3 = rdtsc();
		if (!vm_best || t1 - t0 < vm_best)
			vm_best = t1 - t0;
		if (!vcpu_best || t3 - t2 < vcpu_best)
			vcpu_best = t3 - t2;
	}
	row("vm_create", vm_best);
	row("vcpu_create", vcpu_best);
	row("memory_per_vm_kib", (before - free_kib()) / COUNT);
	for (int i = 0; i < COUNT; i++) {
		close(vcpus[i]);
		close(vms[i]);
	}
	close(dev);
}

static int is_amd(void)
{
	return guest_cpuid(0, 0).b == 0x68747541 || guest_cpuid(0, 0).b == 0x6f677948;
}

int main(int argc, char **argv)
{
	const char *device = getenv("DEV") ? getenv("DEV") : "/dev/minihv";
	int irqchip;

	wanted = argv + 1;
	if (argc > 2 && !strcmp(argv[1], "--device")) {
		device = argv[2];
		wanted += 2;
	}
	if (*wanted && **wanted == '-') {
		fprintf(stderr, "Usage: minihv-bench [--device DEV] [ROW]...\n");
		return 2;
	}
	test_setup(device);
	irqchip = dev_cap(KVM_CAP_IRQCHIP) > 0;
	make_guest(irqchip);
	vcpu_long(vcpu, (void *)cpuid_guest, FEW);
	run_to_end();

	measure("cpuid", cpuid_guest, NULL);
	measure("rdmsr", rdmsr_guest, NULL);
	measure("hypercall", is_amd() ? vmmcall_guest : vmcall_guest, NULL);
	measure("pio_out", out_guest, NULL);
	measure("pio_in", in_guest, NULL);
	measure("mmio_write", mmio_write_guest, NULL);
	measure("mmio_read", mmio_read_guest, NULL);
	if (dev_cap(KVM_CAP_IOEVENTFD) > 0) {
		add_event(PORT_EVENT, 1, KVM_IOEVENTFD_FLAG_PIO);
		add_event(MMIO_EVENT, 4, 0);
		measure("pio_ioeventfd", out_event_guest, NULL);
		measure("mmio_ioeventfd", mmio_event_guest, NULL);
	}
	measure("fault_present", touch_guest, pages_present);
	measure("fault_absent", touch_guest, pages_absent);
	if (irqchip && dev_cap(KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		measure("lapic_timer", timer_guest, NULL);
	if (irqchip)
		measure("self_ipi", self_ipi_guest, NULL);
	if (!*wanted)
		creation(irqchip);
	return 0;
}
