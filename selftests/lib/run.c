// SPDX-License-Identifier: GPL-2.0
/*
 * run.c - runs a vCPU to the exit that a test expects, and says what came when another did.
 * Entered from the tests, on the host.
 * No locks: one thread runs a vCPU.
 * Linux Documentation/virt/kvm/api.rst, "The kvm_run structure".
 */
#include <signal.h>
#include <stdlib.h>

#include "guest.h"
#include "vm.h"

void vcpu_dump(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	test_info("vCPU %d: exit %u at cs:rip %#llx:%#llx rsp %#llx rax %#llx rflags %#llx",
		  vcpu->id, run->exit_reason, sregs.cs.base, regs.rip, regs.rsp, regs.rax,
		  regs.rflags);
	if (run->exit_reason == KVM_EXIT_IO)
		test_info("I/O: direction %u size %u port %#x count %u", run->io.direction,
			  run->io.size, run->io.port, run->io.count);
	if (run->exit_reason == KVM_EXIT_MMIO)
		test_info("MMIO: write %u gpa %#llx len %u", run->mmio.is_write,
			  run->mmio.phys_addr, run->mmio.len);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		test_info("internal error: suberror %u", run->internal.suberror);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		test_info("entry failed: %#llx", run->fail_entry.hardware_entry_failure_reason);
}

int vcpu_run(struct vcpu *vcpu)
{
	int ret;

	/* EAGAIN is what the wait for SIPI ends with. */
	do
		ret = ioctl(vcpu->fd, KVM_RUN, 0);
	while (ret && errno == EAGAIN);
	if (ret) {
		test_fail(__FILE__, __LINE__, "KVM_RUN: errno %d (%s)", errno, strerror(errno));
		vcpu_dump(vcpu);
		test_abort();
	}
	return vcpu->run->exit_reason;
}

void vcpu_finish_io(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	vcpu->run->immediate_exit = 0;
}

void expect_exit(struct vcpu *vcpu, u32 reason)
{
	u32 got = vcpu_run(vcpu);

	if (got == reason)
		return;
	test_fail(__FILE__, __LINE__, "exit reason %u, want %u", got, reason);
	vcpu_dump(vcpu);
	test_abort();
}

void need_shutdown(void)
{
	if (getenv("MHV_NO_SHUTDOWN"))
		test_skip("a triple fault would end the host");
}

void need_step(void)
{
	if (getenv("MHV_NO_STEP"))
		test_skip("a guest's single step would end the host");
}

void expect_shutdown(struct vcpu *vcpu)
{
	if (!getenv("MHV_NO_SHUTDOWN"))
		expect_exit(vcpu, KVM_EXIT_SHUTDOWN);
}

void *expect_pio(struct vcpu *vcpu, int dir, u16 port, int size, u32 count)
{
	struct kvm_run *run = vcpu->run;

	expect_exit(vcpu, KVM_EXIT_IO);
	if (run->io.direction != dir || run->io.port != port || run->io.size != size ||
	    run->io.count != count) {
		test_fail(__FILE__, __LINE__, "I/O wanted: direction %d size %d port %#x count %u",
			  dir, size, port, count);
		vcpu_dump(vcpu);
		test_abort();
	}
	return (u8 *)run + run->io.data_offset;
}

u8 *expect_mmio(struct vcpu *vcpu, int is_write, u64 gpa, u32 len)
{
	struct kvm_run *run = vcpu->run;

	expect_exit(vcpu, KVM_EXIT_MMIO);
	if (run->mmio.is_write != is_write || run->mmio.phys_addr != gpa || run->mmio.len != len) {
		test_fail(__FILE__, __LINE__, "MMIO wanted: write %d gpa %#lx len %u", is_write,
			  gpa, len);
		vcpu_dump(vcpu);
		test_abort();
	}
	return run->mmio.data;
}

/* Run to the next call of the guest that is not a failure; failures are noted. */
static u32 run_ucall(struct vcpu *vcpu, struct kvm_regs *regs)
{
	for (;;) {
		const struct guest_failure *failure;

		expect_exit(vcpu, KVM_EXIT_IO);
		if (vcpu->run->io.port != UCALL_PORT) {
			test_fail(__FILE__, __LINE__, "unexpected I/O exit");
			vcpu_dump(vcpu);
			test_abort();
		}
		vcpu_get_regs(vcpu, regs);
		switch (regs->rax & 0xff) {
		case UCALL_FAIL:
			failure = (void *)(uintptr_t)regs->rdi;
			test_fail(failure->file, (int)failure->line,
				  "guest: %s: 0x%llx against 0x%llx", failure->what,
				  regs->rsi, regs->rcx);
			break;
		case UCALL_EXCEPTION:
			test_fail(__FILE__, __LINE__,
				  "guest: vector %llu, error %#llx, rip %#llx",
				  regs->rdi, regs->rsi, regs->rcx);
			test_abort();
		default:
			return regs->rax & 0xff;
		}
	}
}

u64 run_sync(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	ASSERT_EQ(run_ucall(vcpu, &regs), UCALL_SYNC);
	return regs.rdi;
}

static void nothing(int signal)
{
	(void)signal;
}

static void *kick(void *thread)
{
	usleep(100000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

void run_interrupted(struct vcpu *vcpu)
{
	struct sigaction sa = { .sa_handler = nothing };
	pthread_t me = pthread_self(), other;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(pthread_create(&other, NULL, kick, &me), 0);
	EXPECT_ERRNO(ioctl(vcpu->fd, KVM_RUN, 0), EINTR);
	ASSERT_EQ(pthread_join(other, NULL), 0);
}

void run_done(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	ASSERT_EQ(run_ucall(vcpu, &regs), UCALL_DONE);
}

static void *thread_main(void *vcpu)
{
	run_done(vcpu);
	return NULL;
}

void vcpu_start(struct vcpu *vcpu)
{
	ASSERT_EQ(pthread_create(&vcpu->thread, NULL, thread_main, vcpu), 0);
}

void vcpu_join(struct vcpu *vcpu)
{
	ASSERT_EQ(pthread_join(vcpu->thread, NULL), 0);
}
