// SPDX-License-Identifier: GPL-2.0
/*
 * state_move.c - a busy guest of two vCPUs is stopped a hundred times at a random moment, and
 * goes on in another VM with other memory: interrupts, timers, I/O, exceptions, memory and
 * clocks stay right.
 */
#include <signal.h>
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

#define VCPUS		2
#define MMIO		0xd0000ff8ULL	/* reads of 16 bytes cross into the next page */
#define PORT		0x510
#define HASHED		GUEST_FREE
#define HASHED_PAGES	256
#define MSR_KVM_CLOCK	0x4b564d01
#define MAX_MSRS	256

#define VEC_TIMER	0x40
#define VEC_PIT		0x41
#define VEC_PING	0x42
#define VEC_PONG	0x43
#define VEC_DEADLINE	0x44

/* The guest's. */
static volatile u64 timer, pit, pings, pongs, deadlines, faults, rounds, ends, clock_now;
static volatile u64 has_deadline, bad_time, ready, listens;
static struct pvclock pvclock __attribute__((aligned(64)));

static void on_timer(struct isr_frame *frame)
{
	(void)frame;
	timer++;
	apic_write(APIC_EOI, 0);
}

static void on_pit(struct isr_frame *frame)
{
	(void)frame;
	pit++;
	apic_write(APIC_EOI, 0);
}

static void send(u32 dest, u32 vector)
{
	apic_write(APIC_ICR2, dest << 24);
	apic_write(APIC_ICR, 0x4000 | vector);
}

static void on_ping(struct isr_frame *frame)
{
	(void)frame;
	pings++;
	apic_write(APIC_EOI, 0);
	send(0, VEC_PONG);
}

static void on_pong(struct isr_frame *frame)
{
	(void)frame;
	pongs++;
	apic_write(APIC_EOI, 0);
}

static void arm_deadline(void)
{
	wrmsr(MSR_TSCDEADLINE, rdtsc() + 10000000);
}

static void on_deadline(struct isr_frame *frame)
{
	(void)frame;
	deadlines++;
	arm_deadline();
	apic_write(APIC_EOI, 0);
}

static void on_ud(struct isr_frame *frame)
{
	faults++;
	frame->rip += 2;
}

/* It has the interrupts, and sleeps in between. */
static void second(void)
{
	u64 last = 0, now;

	GUEST_WAIT(ready);
	apic_enable();
	if (has_deadline) {
		apic_write(APIC_LVTT, VEC_DEADLINE | 2 << 17);
		arm_deadline();
	}
	listens = 1;
	for (;;) {
		sti_hlt();
		now = rdtsc();
		bad_time += now < last;
		last = now;
	}
}

/* Each value comes from the host's counter; one that is missed or read twice shows. */
static void check_io(u64 *count)
{
	u64 low, high;
	u32 in[4];
	void *to = in;
	u64 n = 4;

	GUEST_EXPECT_EQ(inl(PORT), (u32)++*count);
	asm volatile("rep insl" : "+D" (to), "+c" (n) : "d" (PORT) : "memory");
	for (int i = 0; i < 4; i++)
		GUEST_EXPECT_EQ(in[i], (u32)++*count);
	outl(PORT, *count);
	asm volatile("movdqu (%2), %%xmm1; movq %%xmm1, %0; psrldq $8, %%xmm1; movq %%xmm1, %1"
		     : "=r" (low), "=r" (high) : "r" (MMIO));
	GUEST_EXPECT_EQ(low, ++*count);
	GUEST_EXPECT_EQ(high, ++*count);
	*(volatile u64 *)MMIO = *count;
}

static u64 next_hash(u64 x)
{
	return x * 6364136223846793005ULL + 1442695040888963407ULL;
}

static void first(void)
{
	u64 x = 1, count = 0, ticks = 0, time = 0, sum = 0, now;

	isr_table[VEC_TIMER] = on_timer;
	isr_table[VEC_PIT] = on_pit;
	isr_table[VEC_PING] = on_ping;
	isr_table[VEC_PONG] = on_pong;
	isr_table[VEC_DEADLINE] = on_deadline;
	isr_table[6] = on_ud;
	ready = 1;
	apic_enable();
	pic_init(0xffff);
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, VEC_TIMER | BIT(17));
	apic_write(APIC_TMICT, 5000000);
	ioapic_entry(0, VEC_PIT | BIT(56));
	outb(0x43, 0x34);
	outb(0x40, 0x00);
	outb(0x40, 0x20);
	wrmsr(MSR_KVM_CLOCK, (u64)&pvclock | 1);
	asm volatile("movq %0, %%xmm15; mov %0, %%dr1" : : "r" (0x123456789abcULL));
	sti();
	GUEST_WAIT(listens);	/* a ping before would be lost, and no other follows */
	while (!ends) {
		for (int i = 0; i < 32; i++) {
			x = next_hash(x);
			*(volatile u64 *)(HASHED + (x >> 33) % HASHED_PAGES * 0x1000) = x;
		}
		asm volatile("ud2");
		GUEST_EXPECT_EQ(faults, rounds + 1);
		check_io(&count);
		if (pongs == sum) {
			sum++;
			send(1, VEC_PING);
		}
		now = rdtsc();
		bad_time += now < ticks;
		ticks = now;
		now = pvclock_read(&pvclock);
		bad_time += now + 1000000 < time;
		time = now;
		clock_now = now;
		asm volatile("movq %%xmm15, %0" : "=r" (now));
		GUEST_EXPECT_EQ(now, 0x123456789abcULL);
		asm volatile("mov %%dr1, %0" : "=r" (now));
		GUEST_EXPECT_EQ(now, 0x123456789abcULL);
		rounds++;
	}
	cli();
	guest_sync(x);
}

/* ---- the host ---- */

/* Fewer where all is slow: most of the time goes into copying the memory. */
#define MOVES	(getenv("VMX_HOST") || test_slow() > 1 ? 25 : 100)

struct vcpu_image {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	u64 msr[MAX_MSRS];
	u8 has_msr[MAX_MSRS];
};

static struct {
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct vcpu_image vcpu[VCPUS];
} image;

static struct {
	struct kvm_msr_list head;
	u32 index[MAX_MSRS];
} list;

static volatile int stop, finished;
static u64 io_count, final_hash;
static u32 saw_injected, saw_halted, saw_irr;

/* What a failure can be understood from. */
static void describe(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events e;
	struct kvm_mp_state mp;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	xioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	xioctl(vcpu->fd, KVM_GET_LAPIC, &lapic);
	xioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e);
	if (vcpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		test_info("internal error %u: %#llx %#llx %#llx", vcpu->run->internal.suberror,
			  vcpu->run->internal.data[0], vcpu->run->internal.data[1],
			  vcpu->run->internal.data[2]);
	test_info("vCPU %d: rip %#llx rsp %#llx flags %#llx cr2 %#llx cr3 %#llx mp %u", vcpu->id,
		  regs.rip, regs.rsp, regs.rflags, sregs.cr2, sregs.cr3, mp.mp_state);
	test_info("exception %u/%u nr %u, interrupt %u nr %u shadow %u", e.exception.injected,
		  e.exception.pending, e.exception.nr, e.interrupt.injected, e.interrupt.nr,
		  e.interrupt.shadow);
	test_info("vectors from 0x40: IRR %08x ISR %08x", *(u32 *)(lapic.regs + APIC_IRR + 0x20),
		  *(u32 *)(lapic.regs + APIC_ISR + 0x20));
}

static void serve(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;

	if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
		describe(vcpu);
	if (run->exit_reason == KVM_EXIT_MMIO) {
		u64 *data = (u64 *)run->mmio.data;

		ASSERT_TRUE(run->mmio.phys_addr == MMIO || run->mmio.phys_addr == MMIO + 8);
		if (!run->mmio.is_write)
			*data = ++io_count;
		else
			EXPECT_EQ(*data, io_count);
		return;
	}
	ASSERT_EQ(run->exit_reason, KVM_EXIT_IO);
	if (run->io.port == PORT) {
		u32 *data = (u32 *)((u8 *)run + run->io.data_offset);

		if (run->io.direction == KVM_EXIT_IO_OUT)
			EXPECT_EQ(*data, (u32)io_count);
		for (u32 i = 0; run->io.direction == KVM_EXIT_IO_IN && i < run->io.count; i++)
			data[i] = ++io_count;
		return;
	}
	ASSERT_EQ(run->io.port, UCALL_PORT);
	vcpu_get_regs(vcpu, &regs);
	if ((regs.rax & 0xff) == UCALL_FAIL) {
		const struct guest_failure *failure = (void *)(uintptr_t)regs.rdi;

		test_fail(failure->file, (int)failure->line, "guest: %s: 0x%llx against 0x%llx",
			  failure->what, regs.rsi, regs.rcx);
		test_abort();
	}
	if ((regs.rax & 0xff) == UCALL_EXCEPTION)
		test_info("vector %llu, error %#llx, rip %#llx", regs.rdi, regs.rsi, regs.rcx);
	ASSERT_EQ(regs.rax & 0xff, UCALL_SYNC);
	final_hash = regs.rdi;
	finished = 1;
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;

	while (!stop && !(finished && !vcpu->id)) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0))
			serve(vcpu);
		else
			ASSERT_TRUE(errno == EINTR || errno == EAGAIN);
	}
	return NULL;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void start(struct vm *vm)
{
	stop = 0;
	for (int i = 0; i < VCPUS; i++) {
		vm->vcpu[i].run->immediate_exit = 0;
		ASSERT_EQ(pthread_create(&vm->vcpu[i].thread, NULL, vcpu_main, &vm->vcpu[i]), 0);
	}
}

/* Out of KVM_RUN, wherever it is; then to the end of an instruction that userspace had to serve. */
static void halt(struct vm *vm)
{
	stop = 1;
	for (int i = 0; i < VCPUS; i++) {
		vm->vcpu[i].run->immediate_exit = 1;
		pthread_kill(vm->vcpu[i].thread, SIGUSR1);
	}
	for (int i = 0; i < VCPUS; i++)
		vcpu_join(&vm->vcpu[i]);
	for (int i = 0; i < VCPUS; i++)
		while (!ioctl(vm->vcpu[i].fd, KVM_RUN, 0))
			serve(&vm->vcpu[i]);
}

static void save_msrs(struct vcpu *vcpu, struct vcpu_image *v)
{
	for (u32 i = 0; i < list.head.nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = { .head.nmsrs = 1, .entry.index = list.index[i] };

		v->has_msr[i] = ioctl(vcpu->fd, KVM_GET_MSRS, &one) == 1;
		v->msr[i] = one.entry.data;
	}
}

static void restore_msrs(struct vcpu *vcpu, struct vcpu_image *v, int deadline)
{
	for (u32 i = 0; i < list.head.nmsrs; i++) {
		int is_deadline = list.index[i] == MSR_TSCDEADLINE;

		if (!v->has_msr[i] || is_deadline != deadline)
			continue;
		test_context("MSR %#x", list.index[i]);
		EXPECT_RET(vcpu_set_msr(vcpu, list.index[i], v->msr[i]), 1);
	}
	test_context("");
}

static void save(struct vm *vm)
{
	for (int i = 0; i < VCPUS; i++) {
		struct vcpu_image *v = &image.vcpu[i];
		int fd = vm->vcpu[i].fd;

		/* First what may change the rest: INIT and SIPI are served by it. */
		xioctl(fd, KVM_GET_MP_STATE, &v->mp);
		xioctl(fd, KVM_GET_REGS, &v->regs);
		xioctl(fd, KVM_GET_SREGS, &v->sregs);
		xioctl(fd, KVM_GET_XSAVE, &v->xsave);
		xioctl(fd, KVM_GET_XCRS, &v->xcrs);
		xioctl(fd, KVM_GET_DEBUGREGS, &v->debugregs);
		xioctl(fd, KVM_GET_LAPIC, &v->lapic);
		xioctl(fd, KVM_GET_VCPU_EVENTS, &v->events);
		save_msrs(&vm->vcpu[i], v);
		saw_injected += v->events.interrupt.injected || v->events.exception.injected;
		saw_halted += v->mp.mp_state == KVM_MP_STATE_HALTED;
		for (int r = 0; r < 8; r++)
			saw_irr += !!*(u32 *)(v->lapic.regs + APIC_IRR + 16 * r);
	}
	for (u32 i = 0; i < 3; i++) {
		image.chip[i].chip_id = i;
		xioctl(vm->fd, KVM_GET_IRQCHIP, &image.chip[i]);
	}
	xioctl(vm->fd, KVM_GET_PIT2, &image.pit);
	xioctl(vm->fd, KVM_GET_CLOCK, &image.clock);
}

static void give_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_cpuid_entry2 *e = cpuid_entry(cpuid, 1, 0);

	e->ebx = (e->ebx & 0x00ffffff) | (u32)vcpu->id << 24;
	if (dev_cap(KVM_CAP_TSC_DEADLINE_TIMER))
		e->ecx |= BIT(24);
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

static struct vm *new_vm(void)
{
	struct kvm_pit_config config = { 0 };
	struct vm *vm = vm_new_irqchip();

	xioctl(vm->fd, KVM_CREATE_PIT2, &config);
	for (int i = 0; i < VCPUS; i++)
		give_cpuid(vcpu_new(vm, i));
	return vm;
}

/* TSCs that are set within a second are made equal: to the latest that was read. */
static void align_tscs(void)
{
	u64 max = 0;

	for (u32 i = 0; i < list.head.nmsrs; i++) {
		if (list.index[i] != MSR_TSC)
			continue;
		for (int v = 0; v < VCPUS; v++)
			if (image.vcpu[v].msr[i] > max)
				max = image.vcpu[v].msr[i];
		for (int v = 0; v < VCPUS; v++)
			image.vcpu[v].msr[i] = max;
	}
}

static void restore(struct vm *vm)
{
	align_tscs();
	for (u32 i = 0; i < 3; i++)
		xioctl(vm->fd, KVM_SET_IRQCHIP, &image.chip[i]);
	xioctl(vm->fd, KVM_SET_PIT2, &image.pit);
	image.clock.flags = 0;
	xioctl(vm->fd, KVM_SET_CLOCK, &image.clock);
	for (int i = 0; i < VCPUS; i++) {
		struct vcpu_image *v = &image.vcpu[i];
		int fd = vm->vcpu[i].fd;

		xioctl(fd, KVM_SET_SREGS, &v->sregs);
		restore_msrs(&vm->vcpu[i], v, 0);
		xioctl(fd, KVM_SET_XCRS, &v->xcrs);
		xioctl(fd, KVM_SET_XSAVE, &v->xsave);
		xioctl(fd, KVM_SET_LAPIC, &v->lapic);
		restore_msrs(&vm->vcpu[i], v, 1);
		xioctl(fd, KVM_SET_DEBUGREGS, &v->debugregs);
		xioctl(fd, KVM_SET_REGS, &v->regs);
		xioctl(fd, KVM_SET_MP_STATE, &v->mp);
		xioctl(fd, KVM_SET_VCPU_EVENTS, &v->events);
	}
}

static struct vm *move(struct vm *old)
{
	struct vm *vm;

	save(old);
	vm = new_vm();
	memcpy(vm->ram, old->ram, RAM_SIZE);
	vm_free(old);
	restore(vm);
	return vm;
}

/* Nothing of what goes on may have stopped. */
static void expect_progress(struct vm *vm)
{
	volatile u64 *counter[] = {
		&guest_var(vm, timer), &guest_var(vm, pit), &guest_var(vm, pings),
		&guest_var(vm, pongs), &guest_var(vm, rounds), &guest_var(vm, deadlines),
	};
	int n = guest_var(vm, has_deadline) ? 6 : 5;

	for (int i = 0; i < n; i++) {
		u64 before = *counter[i];

		test_context("waiting for counter %d", i);
		for (int j = 0; *counter[i] == before && j < 5000; j++)
			usleep(1000);
		EXPECT_TRUE(*counter[i] != before);
		if (test_failed()) {
			halt(vm);
			for (int v = 0; v < VCPUS; v++)
				describe(&vm->vcpu[v]);
			test_abort();
		}
	}
	test_context("");
}

static void check_memory(struct vm *vm)
{
	static u64 want[HASHED_PAGES];
	u64 x = 1;

	for (u64 i = 0; i < guest_var(vm, rounds) * 32; i++) {
		x = next_hash(x);
		want[(x >> 33) % HASHED_PAGES] = x;
	}
	EXPECT_EQ(x, final_hash);
	for (int i = 0; i < HASHED_PAGES; i++)
		EXPECT_EQ(*(u64 *)(vm->ram + HASHED + i * 0x1000), want[i]);
}

/*
 * The guest is not young: KVM before Linux 6.7 takes a TSC that is less than a second from that of
 * a new VM for the same, and sets it back (state_tsc.c has a case for that).
 */
static void age(struct vm *vm)
{
	u64 tsc = (u64)xioctl(vm->vcpu[0].fd, KVM_GET_TSC_KHZ, 0) * 100000;

	for (int i = 0; i < VCPUS; i++)
		EXPECT_EQ(vcpu_set_msr(&vm->vcpu[i], MSR_TSC, tsc), 1);
}

TEST(a_hundred_times)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm *vm = new_vm();

	signal(SIGUSR1, on_signal);
	list.head.nmsrs = MAX_MSRS;
	xioctl(vm->dev, KVM_GET_MSR_INDEX_LIST, &list);
	guest_var(vm, has_deadline) = dev_cap(KVM_CAP_TSC_DEADLINE_TIMER);
	vcpu_long(&vm->vcpu[0], first, 0);
	vcpu_long(&vm->vcpu[1], second, 0);
	xioctl(vm->vcpu[1].fd, KVM_SET_MP_STATE, &runnable);
	age(vm);
	srand(1);
	for (int i = 0; i < MOVES && !test_failed(); i++) {
		start(vm);
		if (i % 10 == 0)
			expect_progress(vm);
		usleep(rand() % 20000);
		halt(vm);
		vm = move(vm);
	}
	start(vm);
	expect_progress(vm);
	guest_var(vm, ends) = 1;
	for (int i = 0; !finished && i < 10000; i++)
		usleep(1000);
	halt(vm);
	save(vm);
	ASSERT_TRUE(finished);
	EXPECT_EQ(guest_var(vm, bad_time), 0);
	EXPECT_LE(guest_var(vm, clock_now), image.clock.clock);
	EXPECT_GE(guest_var(vm, clock_now) + 500000000, image.clock.clock);
	EXPECT_LE(guest_var(vm, pings) - guest_var(vm, pongs), 1);
	check_memory(vm);
	test_info("%lu rounds, %lu ticks, %lu of the PIT, %lu pings, %lu deadlines",
		  guest_var(vm, rounds), guest_var(vm, timer), guest_var(vm, pit),
		  guest_var(vm, pings), guest_var(vm, deadlines));
	test_info("events half delivered %u, halted %u, pending %u times", saw_injected,
		  saw_halted, saw_irr);
}
