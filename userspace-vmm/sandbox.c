// SPDX-License-Identifier: GPL-2.0
/*
 * The seccomp filter of a running machine.
 * Entered from machine_run(), once, on the main thread.
 * No locks.
 * seccomp(2), "SECCOMP_FILTER_FLAG_TSYNC"; libseccomp.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/if_tun.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "machine.h"
#include "sandbox.h"
#include "terminal.h"

#define KVM_IOCTL_TYPE	0xae00ull	/* KVMIO in bits 8 to 15 of an ioctl's number */
#define IOCTL_TYPE_MASK	0xff00ull

/*
 * What vCPU, device and main threads call. Not on it: execve, fork, ptrace, mount, opening a
 * file to write, making memory executable.
 */
static const int allowed[] = {
	/* device I/O */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev),
	SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
	SCMP_SYS(fallocate), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	SCMP_SYS(stat), SCMP_SYS(close), SCMP_SYS(getrandom), SCMP_SYS(io_uring_enter),
	/* event loop */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(pipe2), SCMP_SYS(fcntl), SCMP_SYS(dup),
	/* user-mode network: what libslirp does for the guest */
	SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(bind), SCMP_SYS(connect),
	SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown),
	SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(uname), SCMP_SYS(getuid),
	/* threads, memory, time, the end */
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(set_robust_list), SCMP_SYS(rseq),
	SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(madvise),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(tgkill),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall),
	SCMP_SYS(prctl), SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* The terminal is asked for its kind, and restored; a tap learns what its guest negotiated. */
static const unsigned long allowed_ioctls[] = { TCGETS, TCSETS, TIOCGWINSZ, FIONREAD, FIONBIO,
					       TUNSETOFFLOAD };

/* Files are opened to be read (libslirp reads /etc/resolv.conf); no memory becomes code. */
static int add_file_rules(scmp_filter_ctx ctx)
{
	int ret;

	ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			       SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
				       O_RDONLY));
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return ret;
}

static int add_rules(scmp_filter_ctx ctx)
{
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
		if (ret)
			return ret;
	}
	ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			       SCMP_A1(SCMP_CMP_MASKED_EQ, IOCTL_TYPE_MASK, KVM_IOCTL_TYPE));
	for (i = 0; !ret && i < sizeof(allowed_ioctls) / sizeof(allowed_ioctls[0]); i++)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				       SCMP_A1(SCMP_CMP_EQ, allowed_ioctls[i]));
	return ret ? ret : add_file_rules(ctx);
}

/* Signal context: no allocation, and _exit() since other threads run on. */
static void on_violation(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	terminal_restore();
	complain("sandbox: system call %d is not on its list; --sandbox off runs without",
		 info->si_syscall);
	_exit(EXIT_HOST);
}

/* glibc makes each of these calls in all threads. */
void sandbox_user(const char *name)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	if (!pw)
		die("--user %s: %s", name, errno ? strerror(errno) : "there is no such user");
	if (geteuid())
		die("--user %s: only root can become another user", name);
	if (setgroups(0, NULL) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		die("--user %s: %s", name, strerror(errno));
}

void sandbox_enter(void)
{
	struct sigaction sa = { .sa_sigaction = on_violation, .sa_flags = SA_SIGINFO };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int ret;

	if (!ctx)
		die("--sandbox on: out of memory");
	sigaction(SIGSYS, &sa, NULL);
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);	/* sets no_new_privs, too */
	if (!ret)
		ret = add_rules(ctx);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	if (ret)
		die("--sandbox on: cannot install the filter: %s", strerror(-ret));
}
