// SPDX-License-Identifier: GPL-2.0
/*
 * mem_special.c - guest memory that is not ordinary: userfaultfd, poisoned, hugetlb, a device's.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"
#include "vm.h"

#define BASE	0x10000000ULL
#define SIZE	0x800000ULL
#define PAGE	0x1000ULL
#define STEP	0x1f000ULL

static volatile u64 where, value;

static void guest(void)
{
	for (;;) {
		guest_sync(*(volatile u64 *)where);
		*(volatile u64 *)where = value;
		guest_sync(value);
	}
}

static struct vcpu *vcpu;
static u8 *mem;

static void start(void *memory, u64 size)
{
	mem = memory;
	vcpu = guest_new(guest);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, size, mem), 0);
}

static u64 exchange(u64 offset, u64 new)
{
	u64 old;

	guest_var(vcpu->vm, where) = BASE + offset;
	guest_var(vcpu->vm, value) = new;
	old = run_sync(vcpu);
	run_sync(vcpu);
	return old;
}

static u64 *host(u64 offset)
{
	return (u64 *)(mem + offset);
}

static int uffd;

/* Fills two missing pages, each a while after it was asked for. */
static void *fill_missing(void *arg)
{
	static u64 page[512] __attribute__((aligned(4096)));

	for (u64 i = 0; i < 2; i++) {
		struct uffdio_copy copy = { .src = (u64)page, .len = PAGE };
		struct uffd_msg msg;

		if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			return NULL;
		usleep(20000);
		page[0] = 0x1000 + i;
		copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
		ioctl(uffd, UFFDIO_COPY, &copy);
	}
	return arg;
}

TEST(userfaultfd)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t thread;

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		test_skip("userfaultfd: %s", strerror(errno));
	start(mem_alloc(SIZE), SIZE);
	reg.range.start = (u64)mem;
	reg.range.len = SIZE;
	ASSERT_RET(ioctl(uffd, UFFDIO_API, &api), 0);
	ASSERT_RET(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
	ASSERT_RET(pthread_create(&thread, NULL, fill_missing, NULL), 0);
	EXPECT_EQ(exchange(0, 1), 0x1000);
	EXPECT_EQ(exchange(PAGE, 2), 0x1001);
	EXPECT_EQ(exchange(0, 3), 1);
	pthread_join(thread, NULL);
}

static volatile int bus_code;
static void *volatile bus_addr;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	bus_code = info->si_code;
	bus_addr = info->si_addr;
}

/* The VMM gets the signal that its own access would give: as on a machine check. */
TEST(poisoned)
{
	struct sigaction action = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };

	start(mem_alloc(SIZE), SIZE);
	sigaction(SIGBUS, &action, NULL);
	exchange(PAGE, 3);
	if (madvise(mem + PAGE, PAGE, MADV_HWPOISON))
		test_skip("MADV_HWPOISON: %s", strerror(errno));
	bus_code = 0;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	EXPECT_EQ(bus_code, BUS_MCEERR_AR);
	EXPECT_EQ((u64)bus_addr, (u64)(mem + PAGE));
}

TEST(hugetlb)
{
	void *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	int status;
	pid_t child;

	if (p == MAP_FAILED)
		test_skip("no huge pages reserved (vm.nr_hugepages)");
	start(p, SIZE);
	for (u64 i = 0; i < SIZE; i += STEP)
		EXPECT_EQ(exchange(i, i + 1), 0);
	child = fork();
	if (!child) {
		usleep(100000);
		for (u64 i = 0; i < SIZE; i += STEP) {
			if (*host(i) != i + 1)
				_exit(1);
		}
		_exit(0);
	}
	for (u64 i = 0; i < SIZE; i += STEP)
		EXPECT_EQ(exchange(i, i + 2), i + 1);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	for (u64 i = 0; i < SIZE; i += STEP)
		EXPECT_EQ(*host(i), i + 2);
}

/* Memory without struct page, or that is no RAM at all: the BIOS, the HPET. */
TEST(of_a_device)
{
	int fd = open("/dev/mem", O_RDWR);
	u64 *rom, *hpet;

	if (fd < 0)
		test_skip("/dev/mem: %s", strerror(errno));
	rom = mmap(NULL, 0x10000, PROT_READ, MAP_SHARED, fd, 0xf0000);
	hpet = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0xfed00000);
	if (rom == MAP_FAILED || hpet == MAP_FAILED)
		test_skip("mmap of /dev/mem: %s", strerror(errno));
	start(rom, 0x10000);
	guest_var(vcpu->vm, where) = BASE + 0xfff0;
	EXPECT_EQ(run_sync(vcpu), rom[0xfff0 / 8]);
	expect_mmio(vcpu, 1, BASE + 0xfff0, 8);		/* it may only be read */
	run_sync(vcpu);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, 0, 0, NULL), 0);
	ASSERT_RET(vm_slot(vcpu->vm, 1, 0, BASE, PAGE, hpet), 0);
	guest_var(vcpu->vm, where) = BASE;
	guest_var(vcpu->vm, value) = hpet[0];	/* that register only reads */
	EXPECT_EQ(run_sync(vcpu), hpet[0]);
	run_sync(vcpu);
	ASSERT_RET(munmap(hpet, PAGE), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EFAULT);
}
