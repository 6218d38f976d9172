// SPDX-License-Identifier: GPL-2.0
/*
 * mem_charged.c - what a guest can make the host allocate is charged to its VMM's cgroup: nested
 * page tables, of which a guest that touches a page here and there needs many. Under a limit that
 * is too low the VMM gets ENOMEM or is killed, and nobody else notices.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

#define GIB		(1ULL << 30)
#define SLOTS		12		/* of 1 GiB each, all the same memory of the VMM's */
#define FIRST_GPA	(4 * GIB)
#define TABLES		(SLOTS * 512)	/* one for each 2 MiB */
#define LIMIT		"16777216"	/* tables for two thirds of it, and nothing else */

#define HUGE		(16 * GIB)
#define HUGE_BITMAP	(HUGE / 4096 / 8)

#define LEAK		(3 << 19)	/* less than 150 vCPUs or VMs take */

static char group[64];

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[160];
	int fd, ok;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static u64 read_file(const char *name)
{
	char path[160], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_TRUE(fd >= 0);
	ASSERT_TRUE(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoull(text, NULL, 10);
}

static void make_group(void)
{
	static const char root[] = "/sys/fs/cgroup";

	snprintf(group, sizeof(group), "%s/minihv-test-%d", root, getpid());
	if (!write_file(root, "cgroup.subtree_control", "+memory") || mkdir(group, 0755))
		test_skip("no cgroup can be made with a limit of memory");
	write_file(group, "memory.swap.max", "0");
}

static void join_group(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	ASSERT_TRUE(write_file(group, "cgroup.procs", pid));
}

static void sparse_guest(void)
{
	for (u64 at = FIRST_GPA; at < FIRST_GPA + SLOTS * GIB; at += 0x200000)
		(void)*(volatile u64 *)at;
	guest_done();
}

/* Page tables of the guest's for what is above 4 GiB; it maps 2 MiB at a time. */
static void map_slots(struct vm *vm)
{
	u64 *pdpt = (u64 *)(vm->ram + GUEST_PT + 0x1000);
	u8 *memory = mem_alloc(GIB);

	/* The page of zeroes, everywhere: nothing of it is charged to anybody. */
	madvise(memory, GIB, MADV_NOHUGEPAGE);
	for (u64 i = 0; i < SLOTS; i++) {
		u64 gpa = FIRST_GPA + i * GIB, table = GUEST_FREE + i * 4096;
		u64 *pd = (u64 *)(vm->ram + table);

		ASSERT_RET(vm_slot(vm, 1 + i, 0, gpa, GIB, memory), 0);
		pdpt[4 + i] = table | PTE_P | PTE_W | PTE_U;
		for (u64 k = 0; k < 512; k++)
			pd[k] = (gpa + k * 0x200000) | PTE_P | PTE_W | PTE_PS;
	}
}

TEST(tables_are_charged)
{
	struct vcpu *vcpu;
	u64 before, after;

	make_group();
	join_group();
	vcpu = guest_new(sparse_guest);
	map_slots(vcpu->vm);
	before = read_file("memory.current");
	run_done(vcpu);
	after = read_file("memory.current");
	test_info("%llu KiB before, %llu KiB after", (unsigned long long)before >> 10,
		  (unsigned long long)after >> 10);
	/* Charges are made in batches; a few may be under way. */
	EXPECT_GE(after - before, TABLES * 4096 * 9 / 10);
	/* And all of it goes with the VM. */
	vm_free(vcpu->vm);
	for (int i = 0; i < 100 && read_file("memory.current") > after - TABLES * 2048; i++)
		usleep(20000);
	EXPECT_TRUE(read_file("memory.current") <= after - TABLES * 2048);
	write_file("/sys/fs/cgroup", "cgroup.procs", "0");
	rmdir(group);
}

/* @cmd finds no descriptor, and leaves nothing behind, however often it is tried. */
static void no_descriptor(int fd, unsigned long cmd)
{
	struct rlimit old, none;
	u64 before, after;

	make_group();
	join_group();
	ASSERT_RET(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	before = read_file("memory.current");
	ASSERT_RET(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 150; i++)
		EXPECT_ERRNO(ioctl(fd, cmd, 0L), EMFILE);
	ASSERT_RET(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* What is freed after a grace period may take a moment. */
	for (int i = 0; i < 500; i++) {
		after = read_file("memory.current");
		if (after < before + LEAK)
			break;
		usleep(20000);
	}
	test_info("%llu KiB before, %llu KiB after", (unsigned long long)before >> 10,
		  (unsigned long long)after >> 10);
	EXPECT_TRUE(after < before + LEAK);
	write_file("/sys/fs/cgroup", "cgroup.procs", "0");
	rmdir(group);
}

TEST(failed_vcpus)
{
	no_descriptor(vm_new()->fd, KVM_CREATE_VCPU);
}

TEST(failed_vms)
{
	no_descriptor(vm_bare()->dev, KVM_CREATE_VM);
}

/* In a process that may be killed; its status is 2 for ENOMEM. */
static void squeezed(void)
{
	struct vcpu *vcpu;
	long r;

	join_group();
	vcpu = guest_new(sparse_guest);
	map_slots(vcpu->vm);
	if (!write_file(group, "memory.max", LIMIT))
		_exit(3);
	do
		r = ioctl(vcpu->fd, KVM_RUN, 0);
	while (r < 0 && errno == EINTR);
	_exit(r < 0 && errno == ENOMEM ? 2 : r < 0 ? 4 : 0);
}

static void nothing_guest(void)
{
	guest_done();
}

TEST(a_limit_holds)
{
	int status;
	pid_t pid;

	make_group();
	fflush(stdout);
	pid = fork();
	if (!pid)
		squeezed();
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	test_info("status %#x, at most %llu KiB", status,
		  (unsigned long long)read_file("memory.current") >> 10);
	EXPECT_TRUE((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
		    (WIFEXITED(status) && WEXITSTATUS(status) == 2));
	rmdir(group);
	run_done(guest_new(nothing_guest));
}

/* The bitmap of a slot's dirty pages goes when logging ends, and with its slot. */
TEST(bitmaps_go)
{
	struct vm *vm;
	u64 before = 0;
	u8 *memory;

	memory = mmap(NULL, HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_TRUE(memory != MAP_FAILED);
	make_group();
	join_group();
	vm = vm_bare();
	/* KVM has more of a slot than its bitmap. */
	for (int i = 0; i < 24; i++) {
		if (i == 4)
			before = read_file("memory.current");
		ASSERT_RET(vm_slot(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, HUGE, memory), 0);
		ASSERT_RET(vm_slot(vm, 0, 0, 0, HUGE, memory), 0);
		ASSERT_RET(vm_slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, HUGE, HUGE, memory), 0);
		ASSERT_RET(vm_slot(vm, 1, 0, HUGE, 0, memory), 0);
	}
	EXPECT_TRUE(read_file("memory.current") < before + 10 * HUGE_BITMAP);
	write_file("/sys/fs/cgroup", "cgroup.procs", "0");
	rmdir(group);
}

/* A bus that is full refuses zones, and keeps nothing of them. */
TEST(refusals_cost_nothing)
{
	struct kvm_coalesced_mmio_zone zone = { .size = 4 };
	struct vm *vm;
	u64 before;
	int n;

	make_group();
	join_group();
	vm = vm_bare();
	for (n = 0; n < 5000; n++) {
		zone.addr = 0x10000000 + 8 * n;
		if (ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone))
			break;
	}
	ASSERT_EQ(errno, ENOSPC);
	before = read_file("memory.current");
	for (n = 0; n < 30000; n++)
		EXPECT_ERRNO(ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone), ENOSPC);
	EXPECT_TRUE(read_file("memory.current") < before + (1 << 20));
	write_file("/sys/fs/cgroup", "cgroup.procs", "0");
	rmdir(group);
}

/* Kernel memory of all kinds that cannot be reclaimed, in KiB. */
static u64 unreclaimable(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[128];

	ASSERT_TRUE(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "SUnreclaim: %llu", &kib) == 1)
			break;
	fclose(f);
	ASSERT_TRUE(kib);
	return kib;
}

static void halt_guest(void)
{
	guest_done();
}

/* Long arguments are copied, which is charged to nobody; the copies go, whatever came of them. */
#define ARGS	600
#define KIB	(ARGS * 10 / 2)		/* half of the smallest kind's */

static struct {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[256];
} many;

static struct {
	struct kvm_irq_routing head;
	struct kvm_irq_routing_entry entry[256];
} routes;

static void repeat(const char *what, int fd, unsigned long cmd, void *arg, int error)
{
	u64 before = unreclaimable();

	test_context("%s", what);
	for (int i = 0; i < ARGS; i++) {
		if (error)
			EXPECT_ERRNO(ioctl(fd, cmd, arg), error);
		else
			EXPECT_RET(ioctl(fd, cmd, arg), 0);
		if (test_failed())
			return;
	}
	EXPECT_TRUE(unreclaimable() < before + KIB);
	test_context("");
}

/*
 * KASAN keeps freed memory for a while, to see who still uses it. On a kernel with it, kmemleak
 * tells what was not freed.
 */
static bool freed_late(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	bool found = false;
	char line[256];

	while (f && !found && fgets(line, sizeof(line), f))
		found = !!strstr(line, " kasan_quarantine_put\n");
	if (f)
		fclose(f);
	return found;
}

TEST(copies_go)
{
	struct vcpu *vcpu = guest_new_irqchip(halt_guest);

	if (freed_late())
		test_skip("KASAN holds back what is freed");
	many.head.nent = ARRAY_SIZE(many.entry);
	for (u32 i = 0; i < ARRAY_SIZE(many.entry); i++)
		many.entry[i].function = i;
	repeat("CPUID", vcpu->fd, KVM_SET_CPUID2, &many, 0);
	many.entry[0] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 0x1234 };
	repeat("CPUID that cannot be", vcpu->fd, KVM_SET_CPUID2, &many, EINVAL);
	run_done(vcpu);
	repeat("CPUID too late", vcpu->fd, KVM_SET_CPUID2, &many, EINVAL);

	routes.head.nr = ARRAY_SIZE(routes.entry);
	for (u32 i = 0; i < ARRAY_SIZE(routes.entry); i++)
		routes.entry[i] = (struct kvm_irq_routing_entry){
			.gsi = i, .type = KVM_IRQ_ROUTING_MSI };
	routes.entry[255].gsi = 0;
	repeat("routing that cannot be", vcpu->vm->fd, KVM_SET_GSI_ROUTING, &routes, EINVAL);
}
