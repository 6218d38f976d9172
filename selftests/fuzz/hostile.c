// SPDX-License-Identifier: GPL-2.0
/*
 * hostile.c - guests that do their worst, from several vCPUs at once, while the VMM changes their
 * memory: hostile [DEVICE [SEED [SECONDS]]]
 *
 * A round is a VM: pages of random and of structured code, random registers, modes and page tables.
 * Its vCPUs run for a moment, and are answered at random. Any way in which a guest ends is right,
 * but a round fails if KVM_RUN returns an error that no guest may cause (EIO: the VM died of a
 * bug), if a vCPU does not come back when it is told to, or if memory beside the guest's changed.
 * What the host's kernel says of it is for whoever started it to look at. A round is its seed's:
 * the one that is printed fails again, as far as threads allow.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "fuzz.h"
#include "guest.h"
#include "vm.h"

#define VCPUS		3
#define GUARD		0x10000UL	/* of pattern, before and after */
#define PATTERN		0xa5
#define ROUND_MS	150

struct round {
	u64 seed;
	int vm_fd;
	u8 *mem;
	struct {
		int fd;
		struct kvm_run *run;
		pthread_t thread;
		u64 seed;
		u64 back;		/* ms; when it last came back */
	} vcpu[VCPUS];
	volatile int stop;
	int failed;
	unsigned long exits;
};

static int dev_fd, run_size;
static struct kvm_cpuid2 *cpuid;

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000UL + t.tv_nsec / 1000000;
}

/* Page tables that map low memory to itself, with some entries spoilt. */
static void fill_tables(u8 *mem, u64 *seed)
{
	u64 *pml4 = (u64 *)(mem + 0x10000), *pdpt = pml4 + 512, *pd = pml4 + 1024;

	pml4[0] = 0x11000 | 7;
	for (int i = 0; i < 4; i++)
		pdpt[i] = (0x12000 + 0x1000 * i) | 7;
	for (u64 i = 0; i < 2048; i++)
		pd[i] = i << 21 | 0x87;
	for (int i = fuzz_rnd(seed) % 8; i > 0; i--)
		pml4[fuzz_rnd(seed) % (6 * 512)] = fuzz_rnd64(seed);
	if (fuzz_rnd(seed) % 4 == 0)		/* a table that is itself */
		pml4[fuzz_rnd(seed) % 512] = 0x10000 | 7;
	if (fuzz_rnd(seed) % 4 == 0)		/* tables in a device */
		pdpt[fuzz_rnd(seed) % 512] = 0xfee00000 | 7;
}

/* Every vector somewhere; descriptors of all kinds. */
static void fill_descriptors(u8 *mem, u64 *seed)
{
	u64 *gdt = (u64 *)(mem + 0x8000), *idt = (u64 *)(mem + 0x9000);

	for (int i = 0; i < 64; i++)
		gdt[i] = fuzz_rnd64(seed);
	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	/* The way to lose PG and PAE with LME on leads through code of 32 bits. */
	gdt[3] = getenv("MHV_NO_LME") ? gdt[1] : 0x00cf9b000000ffff;
	for (u64 i = 0; i < 256; i++) {
		u64 to = 0x100000 + (fuzz_rnd(seed) % 0x100000);

		idt[2 * i] = (to & 0xffff) | 8 << 16 | 0x8e0000000000 | (to >> 16) << 48;
		idt[2 * i + 1] = fuzz_rnd(seed) % 32 ? 0 : fuzz_rnd64(seed);
	}
}

/* ---- a vCPU ---- */

static void set_segment(struct kvm_segment *s, u16 sel, u8 type, int lng, int db)
{
	*s = (struct kvm_segment){ .selector = sel, .limit = ~0U, .type = type, .present = 1,
				   .s = 1, .g = 1, .l = lng, .db = db };
}

static void set_state(struct round *r, int n, u64 *seed, int mode)
{
	struct kvm_regs regs = { .rflags = 2 | (fuzz_rnd(seed) & 0x240dd5), .rsp = 0x200000 };
	struct kvm_sregs s;
	u64 *gpr = (u64 *)&regs;

	if (ioctl(r->vcpu[n].fd, KVM_GET_SREGS, &s))
		return;
	for (int i = 0; i < 16; i++)
		if (&gpr[i] != (u64 *)&regs.rsp)
			gpr[i] = fuzz_rnd(seed) & 1 ? fuzz_addr(seed) : fuzz_rnd64(seed);
	regs.rip = 0x100000 + fuzz_rnd(seed) % 0x100000;
	if (mode == 0) {		/* real */
		regs.rip &= 0xffff;
		s.cs.base = 0x100000;
		s.cs.selector = 0xf000;
	} else {
		set_segment(&s.cs, 8, 11, mode == 2, mode == 1);
		set_segment(&s.ds, 16, 3, 0, 1);
		s.es = s.ds;
		s.ss = s.ds;
		s.fs = s.ds;
		s.gs = s.ds;
		s.cr0 = 0x80000011 | (mode == 2 || fuzz_rnd(seed) & 1 ? 0x10000 : 0);
		s.cr3 = 0x10000;
		s.cr4 = 0x620 | (fuzz_rnd(seed) & 0x10009f);
		s.efer = mode == 2 ? 0xd01 : 0x800;
		if (mode == 1) {
			s.cr0 &= ~0x80000000ULL;
			s.efer = 0;
		}
	}
	s.gdt = (struct kvm_dtable){ .base = 0x8000, .limit = 511 };
	s.idt = (struct kvm_dtable){ .base = 0x9000, .limit = mode ? 4095 : 1023 };
	if (fuzz_rnd(seed) % 8 == 0)		/* anything at all: refused, or entered */
		((u64 *)&s)[fuzz_rnd(seed) % (sizeof(s) / 8)] = fuzz_rnd64(seed);
	/* Without paging, a guest that leaves PAE would be where TCG loses its host. */
	if (getenv("MHV_NO_LME") && !(s.cr0 & CR0_PG))
		s.efer &= ~(u64)EFER_LME;
	/*
	 * TCG ends itself if a guest with a busy TSS, or with none, enters an inner ring, but for
	 * long mode.
	 */
	if (getenv("MHV_NO_BUSY_TSS")) {
		s.tr.type = 9;
		s.tr.present = 1;
		s.tr.unusable = 0;
	}
	ioctl(r->vcpu[n].fd, KVM_SET_SREGS, &s);
	ioctl(r->vcpu[n].fd, KVM_SET_REGS, &regs);
}

/* Where no guest is to get LME: see fuzz_spare_vm(). */
static int write_efer(int fd, u64 value)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = { { .nmsrs = 1 }, { .index = MSR_EFER } };

	if (ioctl(fd, KVM_GET_MSRS, &m) != 1)
		return 1;
	m.e.data = value & (~(u64)EFER_LME | m.e.data);
	return ioctl(fd, KVM_SET_MSRS, &m) != 1;
}

/* What a VMM would do, with data of no meaning. Returns whether the guest may go on. */
static int answer(struct round *r, int n, u64 *seed)
{
	struct kvm_run *run = r->vcpu[n].run;
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			for (u32 i = 0; i < run->io.size * run->io.count && i < 4096; i++)
				((u8 *)run)[run->io.data_offset + i] = fuzz_rnd(seed);
		return 1;
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			for (int i = 0; i < 8; i++)
				run->mmio.data[i] = fuzz_rnd(seed);
		return 1;
	case KVM_EXIT_HLT:
		ioctl(r->vcpu[n].fd, KVM_NMI, 0);
		return 1;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_HYPERCALL:
		return 1;
	case KVM_EXIT_X86_WRMSR:	/* EFER, see fuzz_spare_vm() */
		run->msr.error = write_efer(r->vcpu[n].fd, run->msr.data);
		return 1;
	case KVM_EXIT_SHUTDOWN:
	case KVM_EXIT_INTERNAL_ERROR:
	case KVM_EXIT_FAIL_ENTRY:
	default:
		ioctl(r->vcpu[n].fd, KVM_SET_MP_STATE, &mp);
		set_state(r, n, seed, fuzz_rnd(seed) % 3);
		return 1;
	}
}

struct thread_arg {
	struct round *r;
	int n;
};

static void *vcpu_thread(void *arg)
{
	struct thread_arg *a = arg;
	struct round *r = a->r;
	u64 seed = r->vcpu[a->n].seed;
	int fd = r->vcpu[a->n].fd;

	while (!r->stop) {
		int ret = ioctl(fd, KVM_RUN, 0), e = errno;

		r->vcpu[a->n].back = now_ms();
		__atomic_add_fetch(&r->exits, 1, __ATOMIC_RELAXED);
		if (!ret) {
			answer(r, a->n, &seed);
			continue;
		}
		if (e == EINTR || e == EAGAIN || e == EFAULT || e == ENOMEM) {
			if (e != EINTR || fuzz_rnd(&seed) % 4 == 0)
				set_state(r, a->n, &seed, fuzz_rnd(&seed) % 3);
			continue;
		}
		printf("# seed %llu: vCPU %d: KVM_RUN: errno %d (%s)\n",
		       (unsigned long long)r->seed, a->n, e, strerror(e));
		r->failed = 1;
		break;
	}
	r->vcpu[a->n].back = ~0ULL;
	return NULL;
}

/* ---- a round ---- */

static int slot(struct round *r, u32 id, u32 flags, u64 gpa, u64 size, void *hva)
{
	struct kvm_userspace_memory_region m = {
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(r->vm_fd, KVM_SET_USER_MEMORY_REGION, &m);
}

static void change_something(struct round *r, u64 *seed)
{
	static u64 bitmap[64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct kvm_irq_level line = { .irq = fuzz_rnd(seed) % 24, .level = fuzz_rnd(seed) & 1 };
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | (fuzz_rnd(seed) & 0xff00c),
		.data = fuzz_rnd(seed) & 0xffff
	};
	u64 at = (fuzz_rnd(seed) % (FUZZ_MEM_SIZE / 0x10000)) * 0x10000;

	switch (fuzz_rnd(seed) % 9) {
	case 0:
	case 1:		/* the second half of memory comes, goes, is logged, is read-only */
		slot(r, 1, 0, 0, 0, NULL);
		slot(r, 1, fuzz_rnd(seed) & 3, FUZZ_MEM_SIZE / 2, FUZZ_MEM_SIZE / 2,
		     r->mem + FUZZ_MEM_SIZE / 2);
		break;
	case 2:
		ioctl(r->vm_fd, KVM_GET_DIRTY_LOG, &log);
		break;
	case 3:
		madvise(r->mem + at, 0x10000, MADV_DONTNEED);
		break;
	case 4:
		mprotect(r->mem + at, 0x10000, PROT_READ);
		mprotect(r->mem + at, 0x10000, PROT_READ | PROT_WRITE);
		break;
	case 5:
		ioctl(r->vm_fd, KVM_IRQ_LINE, &line);
		break;
	case 6:
		ioctl(r->vm_fd, KVM_SIGNAL_MSI, &msi);
		break;
	case 7:		/* memory where devices are, and over the LAPIC's page */
		slot(r, 2, 0, fuzz_rnd(seed) & 1 ? 0xfee00000 : FUZZ_HOLE, 0x1000, r->mem);
		slot(r, 2, 0, 0, 0, NULL);
		break;
	case 8:
		fuzz_code(r->mem + 0x100000 + (at & 0xfffff), 256, seed, fuzz_rnd(seed) & 1);
		break;
	}
}

static void nothing(int signal)
{
	(void)signal;
}

static int make_round(struct round *r, u64 *seed)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int chip = fuzz_rnd(seed) % 4, lng = fuzz_rnd(seed) % 3;

	r->vm_fd = ioctl(dev_fd, KVM_CREATE_VM, 0);
	if (r->vm_fd < 0) {
		printf("# KVM_CREATE_VM: %s\n", strerror(errno));
		return -1;
	}
	if (chip) {
		ioctl(r->vm_fd, KVM_CREATE_IRQCHIP, 0);
		ioctl(r->vm_fd, KVM_CREATE_PIT2, &pit);
	}
	fuzz_spare_vm(r->vm_fd);
	r->mem = mmap(NULL, FUZZ_MEM_SIZE + 2 * GUARD, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->mem == MAP_FAILED)
		return -1;
	memset(r->mem, PATTERN, GUARD);
	memset(r->mem + GUARD + FUZZ_MEM_SIZE, PATTERN, GUARD);
	r->mem += GUARD;
	fuzz_code(r->mem + 0x100000, 0x100000, seed, lng);
	fuzz_code(r->mem + FUZZ_MEM_SIZE / 2, 0x10000, seed, lng);
	fill_tables(r->mem, seed);
	fill_descriptors(r->mem, seed);
	for (int i = 0; i < 64; i++)		/* real mode's vectors, over some of it */
		((u32 *)r->mem)[i] = 0x10000000 | (fuzz_rnd(seed) & 0xffff);
	slot(r, 0, 0, 0, FUZZ_MEM_SIZE / 2, r->mem);
	slot(r, 1, 0, FUZZ_MEM_SIZE / 2, FUZZ_MEM_SIZE / 2, r->mem + FUZZ_MEM_SIZE / 2);
	for (int i = 0; i < VCPUS; i++) {
		struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

		r->vcpu[i].fd = ioctl(r->vm_fd, KVM_CREATE_VCPU, (long)i);
		if (r->vcpu[i].fd < 0)
			return -1;
		r->vcpu[i].run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
				      r->vcpu[i].fd, 0);
		r->vcpu[i].seed = fuzz_rnd64(seed) | 1;
		ioctl(r->vcpu[i].fd, KVM_SET_CPUID2, cpuid);
		fuzz_spare_vcpu(r->vcpu[i].fd);
		if (chip)
			ioctl(r->vcpu[i].fd, KVM_SET_MP_STATE, &mp);
		set_state(r, i, seed, lng ? 2 : fuzz_rnd(seed) % 2);
	}
	return 0;
}

/* All are told to stop, again and again: a signal may come just before KVM_RUN. */
static int stop_all(struct round *r)
{
	u64 told = now_ms();

	r->stop = 1;
	for (;;) {
		int running = 0;

		for (int i = 0; i < VCPUS; i++) {
			r->vcpu[i].run->immediate_exit = 1;
			if (r->vcpu[i].back != ~0ULL) {
				running++;
				pthread_kill(r->vcpu[i].thread, SIGUSR1);
			}
		}
		if (!running)
			return 0;
		usleep(1000);
		/* A busy test host is slow; one that never comes back takes for ever. */
		if (now_ms() - told > 10000) {
			printf("# seed %llu: a vCPU does not come back\n",
			       (unsigned long long)r->seed);
			return -1;
		}
	}
}

static int guards_intact(const struct round *r)
{
	for (unsigned long i = 0; i < GUARD; i++) {
		if (r->mem[-1L - (long)i] != PATTERN || r->mem[FUZZ_MEM_SIZE + i] != PATTERN) {
			printf("# seed %llu: memory beside the guest's was written\n",
			       (unsigned long long)r->seed);
			return 0;
		}
	}
	return 1;
}

static int one_round(u64 number)
{
	struct thread_arg args[VCPUS];
	struct round r = { .seed = number };
	u64 seed = number * 0x9e3779b97f4a7c15ULL | 1, end;
	int failed;

	/* Should the host not survive it, this is the last that is heard of it. */
	printf("# seed %llu\n", (unsigned long long)number);
	for (int i = 0; i < 8; i++)
		fuzz_rnd(&seed);
	if (make_round(&r, &seed))
		return 1;
	for (int i = 0; i < VCPUS; i++) {
		args[i] = (struct thread_arg){ &r, i };
		if (pthread_create(&r.vcpu[i].thread, NULL, vcpu_thread, &args[i]))
			return 1;
	}
	for (end = now_ms() + ROUND_MS; now_ms() < end; usleep(500)) {
		change_something(&r, &seed);
		pthread_kill(r.vcpu[fuzz_rnd(&seed) % VCPUS].thread, SIGUSR1);
	}
	failed = stop_all(&r);
	for (int i = 0; i < VCPUS && !failed; i++)
		pthread_join(r.vcpu[i].thread, NULL);
	failed |= r.failed || !guards_intact(&r);
	for (int i = 0; i < VCPUS; i++) {
		munmap(r.vcpu[i].run, run_size);
		close(r.vcpu[i].fd);
	}
	close(r.vm_fd);
	munmap(r.mem - GUARD, FUZZ_MEM_SIZE + 2 * GUARD);
	return failed;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = nothing };
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, first = seed;
	u64 seconds = argc > 3 ? strtoull(argv[3], NULL, 0) : 10, end;
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	test_setup(argc > 1 ? argv[1] : getenv("DEV") ? getenv("DEV") : "/dev/minihv");
	dev_fd = dev_open();
	run_size = ioctl(dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	cpuid = supported_cpuid();
	sigaction(SIGUSR1, &sa, NULL);
	printf("TAP version 13\n1..1\n");
	for (end = now_ms() + seconds * 1000; now_ms() < end && !failed; seed++)
		failed = one_round(seed);
	printf("# %llu rounds, seeds %llu to %llu\n", (unsigned long long)(seed - first),
	       (unsigned long long)first, (unsigned long long)seed - 1);
	printf("%s 1 hostile guests\n", failed ? "not ok" : "ok");
	return failed;
}
