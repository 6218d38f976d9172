// SPDX-License-Identifier: GPL-2.0
/*
 * log_storm.c - what a guest and its VMM can have the kernel say is limited in rate: a storm of
 * everything that is wrong leaves some lines in the log, and not one for each.
 */
#include <fcntl.h>
#include <time.h>

#include "guest.h"
#include "vm.h"

#define ROUNDS	600
/* The kernel lets ten lines of a place through in five seconds; there are some such places. */
#define LINES_A_SECOND	20
#define MMIO	0xd0000000ULL

static int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		test_skip("/dev/kmsg: %s", strerror(errno));
	if (lseek(fd, 0, SEEK_END) < 0)
		test_skip("/dev/kmsg: %s", strerror(errno));
	return fd;
}

/* Records since the last time. EPIPE: so many that some were overwritten. */
static int kmsg_count(int fd, const char **first)
{
	static char text[8192], kept[8192];
	int n = 0;
	ssize_t len;

	for (;;) {
		len = read(fd, text, sizeof(text) - 1);
		if (len < 0 && errno == EPIPE)
			n += 1000;
		else if (len < 0)
			break;
		if (len > 0 && !n++) {
			text[len] = 0;
			strcpy(kept, text);
		}
	}
	*first = n ? kept : "";
	return n;
}

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void expect_few(int fd, u64 began)
{
	const char *first;
	u64 took = now_ms() - began;
	int n = kmsg_count(fd, &first);

	test_info("%d lines in %llu ms", n, (unsigned long long)took);
	if (n > (int)(LINES_A_SECOND * (took / 1000 + 5)))
		test_fail(__FILE__, __LINE__, "%d lines in %llu ms; the first: %s", n,
			  (unsigned long long)took, first);
}

/* MSRs that there are not, bits that there are not, chips programmed with anything. */
static void wrong_guest(void)
{
	static const u32 msrs[] = { 0x0, 0x8b, 0x1d9, 0x345, 0x480, 0x9ff, 0xc001ffff, 0x4b564dff,
				    0x40000000, 0xffffffff, 0x1b, 0x277, 0xc0000080 };
	u64 value, seed = 88172645463325252ULL;

	for (u64 i = 0; i < ROUNDS; i++) {
		u64 a = seed, c = 0, d = seed >> 32;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		rdmsr_try(msrs[i % ARRAY_SIZE(msrs)], &value);
		wrmsr_try(msrs[i % ARRAY_SIZE(msrs)], seed | 1ULL << 63);
		GUEST_TRY("mov %%rax, %%cr4", a, c, d);
		guest_cpuid(seed, seed >> 32);
		/* Not the ICR, nor what brings an NMI or an INIT in another way. */
		if ((seed >> 8 & 0xf00) != 0x300 && (seed >> 8 & 0xff0) != APIC_TPR)
			apic_write(seed >> 8 & 0xff0, seed);
		ioapic_write(seed >> 20, seed | BIT(16));
		outb(0x20 + (seed & 1), seed >> 40);
		outb(0xa0 + (seed & 1), seed >> 48);
		outb(0x40 + (seed & 3), seed >> 56);
		outb(0x61, seed >> 33);
	}
	guest_done();
}

TEST(wrong_registers)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int fd = kmsg_open();
	struct vcpu *vcpu;
	u64 began;

	NEED_CAP(KVM_CAP_PIT2);
	vcpu = guest_new_irqchip(wrong_guest);
	xioctl(vcpu->vm->fd, KVM_CREATE_PIT2, &config);
	began = now_ms();
	run_done(vcpu);
	expect_few(fd, began);
}

/* With the error to userspace comes #UD to the guest; it tries once more. */
static void on_ud(struct isr_frame *frame)
{
	(void)frame;
}

static void failing_guest(void)
{
	isr_table[6] = on_ud;
	for (;;)
		asm volatile("fbld (%0)" : : "r" (MMIO));
}

TEST(what_nobody_emulates)
{
	struct vcpu *vcpu = guest_new(failing_guest);
	int fd = kmsg_open();
	u64 began = now_ms();

	for (int i = 0; i < ROUNDS; i++) {
		expect_exit(vcpu, KVM_EXIT_INTERNAL_ERROR);
		EXPECT_EQ(vcpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	}
	expect_few(fd, began);
}

/*
 * A code segment that is of 64 and of 32 bits: no CPU enters that. Bochs's SVM leaves the host's
 * state behind in the VMCB, in which the second entry then runs, to a triple fault now and then.
 */
TEST(refused_entries)
{
	struct kvm_sregs sregs;
	int fd = kmsg_open();
	u64 began = now_ms();
	struct vcpu *vcpu;

	need_shutdown();
	vcpu = guest_new(wrong_guest);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.db = 1;
	sregs.cs.l = 1;
	vcpu_set_sregs(vcpu, &sregs);
	for (int i = 0; i < ROUNDS; i++)
		expect_exit(vcpu, KVM_EXIT_FAIL_ENTRY);
	expect_few(fd, began);
}

static void shutdown_guest(void)
{
	static const u8 no_idt[10];

	asm volatile("lidt %0\n ud2" : : "m" (no_idt));
}

TEST(shutdowns)
{
	struct vcpu *vcpu;
	int fd = kmsg_open();
	u64 began = now_ms();

	need_shutdown();
	vcpu = guest_new(shutdown_guest);
	for (int i = 0; i < ROUNDS / 10; i++) {
		vcpu_long(vcpu, shutdown_guest, 0);
		expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
	}
	expect_few(fd, began);
}
