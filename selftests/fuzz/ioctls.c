// SPDX-License-Identifier: GPL-2.0
/*
 * ioctls.c - sequences of ioctls with arguments that are nearly right:
 * ioctls [DEVICE [SEED [SECONDS [CORPUS]]]]
 *
 * A program is a list of calls, each with a seed for its arguments: what the matching GET
 * returned, with some of it changed, or random bytes. Where the kernel has KCOV and the module
 * was built with it (scripts/fuzz does both), a program that reaches new code joins the
 * corpus, and others are made from it; else all are random. CORPUS is a file to begin with;
 * new ones are added to it. Each runs in a process of its own. It fails on EIO, by which a VM
 * says that it died of a bug, and if it does not end; what the kernel's log says is for
 * whoever started it to look at.
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "fuzz.h"
#include "vm.h"

#define MAX_CALLS	24
#define MAX_CORPUS	4096
#define COVER_WORDS	(64 << 10)
#define SEEN_BITS	(1 << 20)
#define MEM		0x200000UL
#define END_SECONDS	20
#define PROGRESS_SECONDS	60

enum { DEV, VM, VCPU };

struct op {
	const char *name;
	unsigned long cmd;
	unsigned long get;	/* what to begin with; 0: nothing */
	u8 fd;
	u8 value;		/* the argument is a number */
	u16 size;		/* of the argument, where the command does not say */
};

/* Newer headers have it: the structure begins as the older one does. */
#define SET_REGION2	_IOC(_IOC_WRITE, KVMIO, 0x49, 160)

#define OP(fd, cmd, get)	{ #cmd, cmd, get, fd, 0, 0 }
#define OPV(fd, cmd)		{ #cmd, cmd, 0, fd, 1, 0 }
#define OPS(fd, cmd, get, size)	{ #cmd, cmd, get, fd, 0, size }

static const struct op ops[] = {
	OPV(DEV, KVM_CHECK_EXTENSION), OPS(DEV, KVM_GET_SUPPORTED_CPUID, 0, 4096),
	OPS(DEV, KVM_GET_MSR_INDEX_LIST, 0, 1024),
	OPV(VM, KVM_CHECK_EXTENSION), OPV(VM, KVM_CREATE_VCPU), OPV(VM, KVM_CREATE_IRQCHIP),
	OP(VM, KVM_CREATE_PIT2, 0), OP(VM, KVM_SET_USER_MEMORY_REGION, 0),
	OP(VM, KVM_SET_USER_MEMORY_REGION, 0), OP(VM, KVM_GET_DIRTY_LOG, 0),
	OP(VM, KVM_CLEAR_DIRTY_LOG, 0), OP(VM, KVM_REGISTER_COALESCED_MMIO, 0),
	OP(VM, KVM_UNREGISTER_COALESCED_MMIO, 0), OP(VM, KVM_IRQFD, 0), OP(VM, KVM_IOEVENTFD, 0),
	OP(VM, KVM_SIGNAL_MSI, 0), OPS(VM, KVM_SET_GSI_ROUTING, 0, 4096),
	OP(VM, KVM_SET_IRQCHIP, KVM_GET_IRQCHIP), OP(VM, KVM_SET_PIT2, KVM_GET_PIT2),
	OP(VM, KVM_IRQ_LINE, 0), OP(VM, KVM_IRQ_LINE_STATUS, 0), OPV(VM, KVM_SET_TSS_ADDR),
	OP(VM, KVM_SET_IDENTITY_MAP_ADDR, 0), OPV(VM, KVM_SET_BOOT_CPU_ID),
	OPS(VM, KVM_REINJECT_CONTROL, 0, 64), OP(VM, KVM_SET_CLOCK, KVM_GET_CLOCK),
	OP(VM, KVM_ENABLE_CAP, 0), OP(VM, KVM_ENABLE_CAP, 0), OP(VM, KVM_X86_SET_MSR_FILTER, 0),
	OPV(VCPU, KVM_RUN), OPV(VCPU, KVM_RUN), OPV(VCPU, KVM_RUN), OPV(VCPU, KVM_NMI),
	OP(VCPU, KVM_SET_REGS, KVM_GET_REGS), OP(VCPU, KVM_SET_SREGS, KVM_GET_SREGS),
	OP(VCPU, KVM_SET_SREGS2, KVM_GET_SREGS2), OP(VCPU, KVM_SET_FPU, KVM_GET_FPU),
	OPS(VCPU, KVM_SET_XSAVE, KVM_GET_XSAVE, 8192), OP(VCPU, KVM_SET_XCRS, KVM_GET_XCRS),
	OPS(VCPU, KVM_SET_MSRS, 0, 4096), OPS(VCPU, KVM_GET_MSRS, 0, 4096),
	OPS(VCPU, KVM_SET_CPUID2, KVM_GET_CPUID2, 4096), OP(VCPU, KVM_SET_LAPIC, KVM_GET_LAPIC),
	OP(VCPU, KVM_SET_MP_STATE, KVM_GET_MP_STATE), OP(VCPU, KVM_INTERRUPT, 0),
	OP(VCPU, KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS), OP(VCPU, KVM_TRANSLATE, 0),
	OP(VCPU, KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS), OP(VCPU, KVM_SET_GUEST_DEBUG, 0),
	OPS(VCPU, KVM_SET_SIGNAL_MASK, 0, 64), OPV(VCPU, KVM_SET_TSC_KHZ),
	OPV(VCPU, KVM_KVMCLOCK_CTRL), OP(VCPU, KVM_X86_SETUP_MCE, 0),
	OP(VCPU, KVM_X86_SET_MCE, 0), OP(VCPU, KVM_ENABLE_CAP, 0), OP(VCPU, KVM_SET_VAPIC_ADDR, 0),
	OPS(DEV, KVM_GET_MSR_FEATURE_INDEX_LIST, 0, 1024), OPS(DEV, KVM_GET_MSRS, 0, 4096),
	OP(DEV, KVM_GET_DEVICE_ATTR, 0),
	OPS(VM, SET_REGION2, 0, 160), OPV(VM, KVM_RESET_DIRTY_RINGS), OPV(VM, KVM_CREATE_PIT),
	OP(VM, KVM_SET_PIT, KVM_GET_PIT), OPV(VM, KVM_SET_NR_MMU_PAGES),
	OPV(VM, KVM_GET_NR_MMU_PAGES), OPV(VM, KVM_SET_TSC_KHZ), OPV(VM, KVM_GET_STATS_FD),
	OPV(VCPU, KVM_GET_TSC_KHZ), OPV(VCPU, KVM_GET_STATS_FD),
	OP(VCPU, KVM_HAS_DEVICE_ATTR, 0), OP(VCPU, KVM_GET_DEVICE_ATTR, 0),
	OP(VCPU, KVM_SET_DEVICE_ATTR, 0), OP(VCPU, KVM_TPR_ACCESS_REPORTING, 0),
	OPS(VCPU, KVM_SET_XSAVE, KVM_GET_XSAVE2, 8192), OPS(VCPU, KVM_SET_CPUID2, 0, 4096),
};

struct call {
	u8 op;
	u64 seed;
};

struct program {
	u32 n;
	struct call call[MAX_CALLS];
};

static struct program corpus[MAX_CORPUS];
static unsigned int nr_corpus;
static const char *corpus_path;
static u64 state;

/* Between the process that runs a program and this one. */
static struct {
	u8 seen[SEEN_BITS / 8];		/* hashes of addresses */
	u32 fresh;			/* new ones of this program */
	u32 total;
	int died;			/* EIO, of call */
	int call;
	u64 done;
} *shared;

/* ---- running one program ---- */

static int fds[3];
static u8 *mem;

/* Numbers that mean something: ids, addresses, sizes, flags. */
static u64 number(u64 *seed)
{
	static const u64 odd[] = {
		0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 127, 128, 254, 255, 256, 4095,
		4096, 0xfee00000, 0xfec00000, 0x7fffffff, 0xffffffff, 1ULL << 32, ~0ULL, 1ULL << 63,
		0x800000000000, 0x1000, 0x200000, 0x80050033, 0xd01, 0x6f0, 0x3f8, 0x40, 0x20,
	};
	u32 x = fuzz_rnd(seed);

	if (x % 8 < 5)
		return odd[(x >> 4) % ARRAY_SIZE(odd)];
	if (x % 8 == 5)
		return (uintptr_t)mem + ((x >> 4) % 512) * 4096;
	return x % 8 == 6 ? 1ULL << (x >> 4 & 63) : (u64)fuzz_rnd(seed) << 32 | fuzz_rnd(seed);
}

static void mutate(u8 *buf, size_t size, u64 *seed)
{
	for (int n = fuzz_rnd(seed) % 5; n > 0; n--) {
		size_t at = fuzz_rnd(seed) % size;
		u64 value = number(seed);

		switch (fuzz_rnd(seed) % 4) {
		case 0:
			buf[at] ^= 1 << (fuzz_rnd(seed) & 7);
			break;
		case 1:
			at &= ~3UL;
			memcpy(buf + at, &value, size - at < 4 ? size - at : 4);
			break;
		default:
			at &= ~7UL;
			memcpy(buf + at, &value, size - at < 8 ? size - at : 8);
			break;
		}
	}
}

/* What a vCPU finds after its reset, if there is memory: a jump to somewhere in 64 KiB of code. */
static void make_code(u64 seed)
{
	const u8 jump[] = { 0xe9, seed >> 8, seed >> 16 };

	seed |= 1;
	fuzz_code(mem, 0x10000, &seed, 0);
	memcpy(mem + 0xfff0, jump, sizeof(jump));
}

/* Fields that must fit each other now and then, for anything to come of the call. */
static void make_sense(const struct op *op, u8 *buf, u64 *seed)
{
	struct kvm_userspace_memory_region *m = (void *)buf;
	struct kvm_irqfd *irqfd = (void *)buf;
	struct kvm_ioeventfd *ioeventfd = (void *)buf;
	struct kvm_enable_cap *cap = (void *)buf;
	u32 x = fuzz_rnd(seed);

	switch (op->cmd) {
	case KVM_SET_USER_MEMORY_REGION:
	case SET_REGION2:
		*m = (struct kvm_userspace_memory_region) {
			.slot = x & 3, .flags = x >> 2 & 3,
			.guest_phys_addr = x >> 11 & 1 ? 0xffff0000 : (x >> 4 & 15) << 16,
			.memory_size = (x >> 8 & 7) << 16, .userspace_addr = (uintptr_t)mem,
		};
		break;
	case KVM_GET_DIRTY_LOG:
	case KVM_CLEAR_DIRTY_LOG:
		((struct kvm_dirty_log *)buf)->slot = x & 3;
		((struct kvm_dirty_log *)buf)->dirty_bitmap = mem;
		break;
	case KVM_IRQFD:
		*irqfd = (struct kvm_irqfd){ .fd = eventfd(0, 0), .gsi = x & 31,
					     .flags = x >> 5 & 3, .resamplefd = eventfd(0, 0) };
		break;
	case KVM_IOEVENTFD:
		*ioeventfd = (struct kvm_ioeventfd) {
			.addr = x & 0xffff, .len = 1 << (x >> 16 & 3), .fd = eventfd(0, 0),
			.flags = x >> 18 & 7,
		};
		break;
	case KVM_ENABLE_CAP:
		cap->cap = x % 240;
		cap->args[0] = x >> 8 & 31;
		if (cap->cap == KVM_CAP_DIRTY_LOG_RING)
			cap->args[0] = 4096 << (x >> 8 & 3);
		break;
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		*(struct kvm_device_attr *)buf =
			(struct kvm_device_attr){ .attr = x & 1, .addr = (uintptr_t)mem };
		break;
	case KVM_SET_MSRS:
	case KVM_GET_MSRS:
	case KVM_SET_GSI_ROUTING:
	case KVM_SET_CPUID2:
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_MSR_INDEX_LIST:
		*(u32 *)buf = x & 63;
		break;
	}
}

/* Before KVM_RUN: nothing that QEMU's TCG does not survive, where that is asked for. */
static void spare(int fd)
{
	struct kvm_sregs s;

	fuzz_spare_vcpu(fd);
	if (!getenv("MHV_NO_LME") || ioctl(fd, KVM_GET_SREGS, &s))
		return;
	if (!(s.cr0 & CR0_PG))		/* and the guest may yet leave PAE */
		s.efer &= ~(u64)EFER_LME;
	if (getenv("MHV_NO_BUSY_TSS")) {
		s.tr.type = 9;
		s.tr.present = 1;
		s.tr.unusable = 0;
	}
	ioctl(fd, KVM_SET_SREGS, &s);
}

static void run_call(const struct call *c)
{
	const struct op *op = &ops[c->op % ARRAY_SIZE(ops)];
	size_t size = op->size ? op->size : _IOC_SIZE(op->cmd);
	u64 seed = c->seed | 1;
	static u8 buf[16384];
	long r;

	fuzz_rnd(&seed);
	if (op->value) {
		u64 arg = op->cmd == KVM_RUN || fuzz_rnd(&seed) % 4 == 0 ? 0 : number(&seed);

		if (op->cmd == KVM_RUN)
			spare(fds[op->fd]);
		r = ioctl(fds[op->fd], op->cmd, arg);
		if (r >= 0 && op->cmd == KVM_CREATE_VCPU) {
			if (fds[VCPU] >= 0)
				close(fds[VCPU]);
			fds[VCPU] = r;
			mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED | MAP_POPULATE, r, 0);
			mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_POPULATE, r,
			     KVM_DIRTY_LOG_PAGE_OFFSET * 4096);
		} else if (r >= 0 && op->cmd == KVM_GET_STATS_FD) {
			/* What there is to be read, in a length that may be any. */
			if (pread(r, buf, number(&seed) % sizeof(buf), number(&seed) % 4096) < 0)
				errno = 0;
			close(r);
		}
	} else {
		memset(buf, 0, size);
		if (op->get) {
			*(u32 *)buf = op->get == KVM_GET_CPUID2 ? 80 : fuzz_rnd(&seed) % 3;
			ioctl(fds[op->fd], op->get, buf);
		} else if (fuzz_rnd(&seed) % 4 == 0) {
			for (size_t i = 0; i < size; i++)
				buf[i] = fuzz_rnd(&seed);
		}
		if (fuzz_rnd(&seed) % 4)
			make_sense(op, buf, &seed);
		mutate(buf, size, &seed);
		r = ioctl(fds[op->fd], op->cmd, buf);
	}
	if (r < 0 && errno == EIO)
		shared->died = 1;
}

static void note_coverage(const u64 *cover)
{
	u64 n = __atomic_load_n(&cover[0], __ATOMIC_RELAXED);

	for (u64 i = 0; i < n && i < COVER_WORDS - 1; i++) {
		u32 hash = (cover[i + 1] * 0x9e3779b97f4a7c15ULL) >> 44;

		if (!(shared->seen[hash / 8] & 1 << hash % 8)) {
			shared->seen[hash / 8] |= 1 << hash % 8;
			shared->fresh++;
			shared->total++;
		}
	}
}

static void nothing(int signal)
{
	(void)signal;
}

static void run_program(const struct program *p, int have_kcov)
{
	struct itimerspec each = { .it_value.tv_nsec = 20000000, .it_interval.tv_nsec = 20000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct sigaction sa = { .sa_handler = nothing };
	u64 *cover = NULL;
	timer_t timer;
	int kcov = -1;

	alarm(END_SECONDS * test_slow());
	sigaction(SIGUSR1, &sa, NULL);
	/* A guest that spins is interrupted now and then; the call ends with EINTR. */
	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &each, NULL);
	if (have_kcov) {
		kcov = open("/sys/kernel/debug/kcov", O_RDWR);
		if (ioctl(kcov, KCOV_INIT_TRACE, COVER_WORDS))
			_exit(3);
		cover = mmap(NULL, COVER_WORDS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, kcov, 0);
		if (cover == MAP_FAILED || ioctl(kcov, KCOV_ENABLE, KCOV_TRACE_PC))
			_exit(3);
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	}
	fds[DEV] = open(test_device(), O_RDWR);
	fds[VM] = ioctl(fds[DEV], KVM_CREATE_VM, 0);
	fds[VCPU] = -1;
	fuzz_spare_vm(fds[VM]);
	mem = mem_alloc(MEM);
	make_code(p->call[0].seed);
	for (shared->call = 0; shared->call < (int)p->n; shared->call++)
		run_call(&p->call[shared->call]);
	for (int i = VCPU; i >= DEV; i--)
		close(fds[i]);
	if (cover) {
		ioctl(kcov, KCOV_DISABLE, 0);
		note_coverage(cover);
	}
	_exit(0);
}

static void print_program(const struct program *p)
{
	for (u32 i = 0; i < p->n; i++)
		printf("#   %s %#llx\n", ops[p->call[i].op % ARRAY_SIZE(ops)].name,
		       (unsigned long long)p->call[i].seed);
}

/* Returns whether it ended as it should. */
static int run(const struct program *p, int have_kcov)
{
	int status;
	pid_t pid;

	shared->fresh = 0;
	shared->died = 0;
	pid = fork();
	if (!pid)
		run_program(p, have_kcov);
	if (waitpid(pid, &status, 0) != pid)
		return 0;
	shared->done++;
	if (WIFEXITED(status) && !WEXITSTATUS(status) && !shared->died)
		return 1;
	printf("# %s, at call %d of:\n", shared->died ? "a VM died of a bug (EIO)" :
	       WIFSIGNALED(status) ? "killed: no end" : "no coverage to be had", shared->call);
	print_program(p);
	return 0;
}

/* ---- making programs ---- */

static struct call new_call(void)
{
	return (struct call){ .op = fuzz_rnd(&state) % ARRAY_SIZE(ops),
			      .seed = (u64)fuzz_rnd(&state) << 32 | fuzz_rnd(&state) };
}

/* How clients begin; the rest is left to chance. */
static void begin(struct program *p)
{
	static const unsigned long first[] = {
		KVM_CREATE_IRQCHIP, KVM_SET_USER_MEMORY_REGION, KVM_CREATE_VCPU, KVM_SET_SREGS,
	};

	p->n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		struct call c = new_call();

		for (c.op = 0; ops[c.op].cmd != first[i]; c.op++)
			;
		if (i || fuzz_rnd(&state) % 2)
			p->call[p->n++] = c;
	}
}

static void make(struct program *p)
{
	if (nr_corpus && fuzz_rnd(&state) % 4) {
		*p = corpus[fuzz_rnd(&state) % nr_corpus];
	} else {
		begin(p);
		for (u32 n = p->n + fuzz_rnd(&state) % 12; p->n < n; p->n++)
			p->call[p->n] = new_call();
	}
	for (int n = 1 + fuzz_rnd(&state) % 3; n > 0; n--) {
		u32 at = fuzz_rnd(&state) % p->n;

		switch (fuzz_rnd(&state) % 4) {
		case 0:
			p->call[at].seed = fuzz_rnd(&state);
			break;
		case 1:
			p->call[at] = new_call();
			break;
		case 2:
			if (p->n < MAX_CALLS) {
				memmove(&p->call[at + 1], &p->call[at],
					(p->n++ - at) * sizeof(struct call));
				p->call[at] = new_call();
			}
			break;
		case 3:
			if (p->n > 1)
				memmove(&p->call[at], &p->call[at + 1],
					(--p->n - at) * sizeof(struct call));
			break;
		}
	}
}

static void load_corpus(void)
{
	FILE *f = corpus_path ? fopen(corpus_path, "rb") : NULL;

	while (f && nr_corpus < MAX_CORPUS &&
	       fread(&corpus[nr_corpus], sizeof(corpus[0]), 1, f) == 1)
		if (corpus[nr_corpus].n && corpus[nr_corpus].n <= MAX_CALLS)
			nr_corpus++;
	if (f)
		fclose(f);
}

static void keep(const struct program *p)
{
	FILE *f = corpus_path ? fopen(corpus_path, "ab") : NULL;

	corpus[nr_corpus < MAX_CORPUS ? nr_corpus++ : fuzz_rnd(&state) % MAX_CORPUS] = *p;
	if (f) {
		fwrite(p, sizeof(*p), 1, f);
		fclose(f);
	}
}

static u64 now_s(void)
{
	return time(NULL);
}

/* How much new is found, as time goes on. */
static void progress(int have_kcov)
{
	printf("# %llu programs, corpus %u, %u places reached%s\n",
	       (unsigned long long)shared->done, nr_corpus, shared->total,
	       have_kcov ? "" : " (the kernel has no KCOV)");
}

int main(int argc, char **argv)
{
	u64 seconds = argc > 3 ? strtoull(argv[3], NULL, 0) : 10, end, next;
	int have_kcov = access("/sys/kernel/debug/kcov", R_OK) == 0, ok = 1;
	struct program p;

	setvbuf(stdout, NULL, _IOLBF, 0);
	test_setup(argc > 1 ? argv[1] : getenv("DEV") ? getenv("DEV") : "/dev/minihv");
	state = (argc > 2 ? strtoull(argv[2], NULL, 0) : 1) * 0x9e3779b97f4a7c15ULL | 1;
	corpus_path = argc > 4 ? argv[4] : NULL;
	close(dev_open());
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	printf("TAP version 13\n1..1\n");
	load_corpus();
	for (unsigned int i = 0; i < nr_corpus && ok; i++)
		ok = run(&corpus[i], have_kcov);
	for (end = now_s() + seconds, next = now_s(); now_s() < end && ok; ) {
		if (now_s() >= next) {
			progress(have_kcov);
			next = now_s() + PROGRESS_SECONDS;
		}
		make(&p);
		ok = run(&p, have_kcov);
		if (shared->fresh)
			keep(&p);
	}
	progress(have_kcov);
	/* A module that was built without it reports nothing. */
	if (ok && have_kcov && !shared->total)
		printf("# the kernel has KCOV, the module has none\n");
	printf("%s 1 ioctl sequences\n", ok ? "ok" : "not ok");
	return !ok;
}
