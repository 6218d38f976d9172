// SPDX-License-Identifier: GPL-2.0
/*
 * One instruction on the real processor: a signal frame is edited into the wanted state,
 * sigreturn enters it, and the INT3 behind the instruction, TF, or a fault gives the state after.
 * Entered from differ.c.
 * No locks: one thread, in a process that may make no system call but the few it needs.
 * sigreturn(2); Intel SDM vol. 1 "XSAVE-Supported Features" for the layout of the frame.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <cpuid.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include "native.h"

#define YMM_OFFSET	576		/* in the standard format of XSAVE */
#define MAGIC_OFFSET	464		/* struct _fpx_sw_bytes in the legacy area */
#define XSTATE_OFFSET	512		/* XSTATE_BV */

static const int sigs[] = { SIGUSR1, SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS };
#define NR_SIGS		(sizeof(sigs) / sizeof(sigs[0]))

static struct sigaction before[NR_SIGS];
static struct native_state *running;
static ucontext_t home;
static u8 home_fpregs[512];
static bool have_avx;

/* The order of enum emul_gpr. */
static const int gregs[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI,
			       REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
			       REG_R14, REG_R15 };

static void copy_vec(u8 *fp, struct native_state *s, bool in)
{
	bool extended = have_avx && *(u32 *)(fp + MAGIC_OFFSET) == 0x46505853;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		u8 *xmm = fp + 160 + 16 * i, *ymm = fp + YMM_OFFSET + 16 * i;

		memcpy(in ? xmm : s->vec[i], in ? s->vec[i] : xmm, 16);
		if (!extended)
			continue;
		if (in)
			memcpy(ymm, s->vec[i] + 16, 16);
		else if (*(u64 *)(fp + XSTATE_OFFSET) & 4)
			memcpy(s->vec[i] + 16, ymm, 16);
		else
			memset(s->vec[i] + 16, 0, 16);
	}
	for (i = 0; i < 8; i++) {
		u8 *st = fp + 32 + 16 * i;

		memcpy(in ? st : (u8 *)&s->mm[i], in ? (u8 *)&s->mm[i] : st, 8);
	}
	if (in && extended)
		*(u64 *)(fp + XSTATE_OFFSET) |= 7;
	if (in) {
		*(u16 *)(fp + 2) = 0;		/* TOP 0, nothing pending */
		fp[4] = 0xff;			/* all tags valid */
	}
}

static void frame_in(ucontext_t *uc, struct native_state *s)
{
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int i;

	for (i = 0; i < 16; i++)
		g[gregs[i]] = s->gpr[i];
	g[REG_RIP] = s->rip;
	g[REG_EFL] = s->rflags;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000ffffffff0000ll) | s->cs | (u64)s->ss << 48;
	copy_vec((u8 *)uc->uc_mcontext.fpregs, s, true);
}

static void frame_out(ucontext_t *uc, struct native_state *s)
{
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int i;

	for (i = 0; i < 16; i++)
		s->gpr[i] = g[gregs[i]];
	s->rip = g[REG_RIP];
	s->cs = g[REG_CSGSFS];
	s->rflags = g[REG_EFL];
	s->trap = g[REG_TRAPNO];
	s->error_code = g[REG_ERR];
	s->cr2 = g[REG_CR2];
	if (s->trap == 3) {
		s->rip--;
		s->trap = 1;
	}
	copy_vec((u8 *)uc->uc_mcontext.fpregs, s, false);
}

static u16 get_ds(void)
{
	u16 sel;

	asm volatile("movw %%ds, %0" : "=r" (sel));
	return sel;
}

static u16 get_es(void)
{
	u16 sel;

	asm volatile("movw %%es, %0" : "=r" (sel));
	return sel;
}

static void set_ds_es(u16 ds, u16 es)
{
	asm volatile("movw %0, %%ds; movw %1, %%es" : : "r" (ds), "r" (es));
}

/* A fault of the program itself is for whoever had the signal before: a sanitizer, if any. */
static void give_back(int sig)
{
	unsigned int i;

	for (i = 0; i < NR_SIGS; i++)
		if (sigs[i] == sig)
			sigaction(sig, &before[i], NULL);
}

/* SIGUSR1 enters the test state; any other signal comes out of it. */
static void handler(int sig, siginfo_t *si, void *arg)
{
	ucontext_t *uc = arg;
	u8 *fp = (u8 *)uc->uc_mcontext.fpregs;

	/* What ran may have left AC, NT or ID; sigreturn takes the latter two from here. */
	asm volatile("pushf; andl $~0x244000, (%%rsp); popf" : : : "memory", "cc");
	if (sig == SIGUSR1) {
		home = *uc;
		memcpy(home_fpregs, fp, 512);
		frame_in(uc, running);
		set_ds_es(running->ds, running->es);
		return;
	}
	if (!running) {
		give_back(sig);
		return;
	}
	running->ds = get_ds();
	running->es = get_es();
	set_ds_es(0, 0);
	frame_out(uc, running);
	memcpy(uc->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(gregset_t));
	memcpy(fp, home_fpregs, MAGIC_OFFSET);
	running = NULL;
}

void native_run(struct native_state *s)
{
	running = s;
	raise(SIGUSR1);
}

static bool make_ldt_entry(unsigned int nr, unsigned long base, bool code)
{
	struct user_desc d = { .entry_number = nr, .base_addr = base, .limit = 0xffff,
			       .contents = code ? 2 : 0 };

	return syscall(SYS_modify_ldt, 1, &d, sizeof(d)) == 0;
}

static bool detect_avx(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (3u << 27)) != 3u << 27)
		return false;
	asm volatile("xgetbv" : "=a" (a), "=d" (d) : "c" (0));
	return (a & 6) == 6;
}

bool native_has_avx(void)
{
	return have_avx;
}

static bool map_at(unsigned long addr, unsigned long size, int prot)
{
	return mmap((void *)addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		    -1, 0) == (void *)addr;
}

#define ALLOW(nr)	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), \
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* What raise(), a signal's return and stdio need; INT 80h is of another architecture. */
bool native_confine(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_rt_sigreturn), ALLOW(SYS_tgkill), ALLOW(SYS_getpid), ALLOW(SYS_gettid),
		ALLOW(SYS_rt_sigprocmask), ALLOW(SYS_rt_sigaction), ALLOW(SYS_arch_prctl),
		ALLOW(SYS_write), ALLOW(SYS_newfstatat), ALLOW(SYS_fstat), ALLOW(SYS_brk),
		ALLOW(SYS_mmap), ALLOW(SYS_munmap), ALLOW(SYS_exit_group),
#ifdef LIBFUZZER
		/* The fuzzer's own: its corpus, its artifacts, its threads and its statistics. */
		ALLOW(SYS_read), ALLOW(SYS_openat), ALLOW(SYS_close), ALLOW(SYS_lseek),
		ALLOW(SYS_stat), ALLOW(SYS_getdents64), ALLOW(SYS_rename), ALLOW(SYS_unlink),
		ALLOW(SYS_futex), ALLOW(SYS_madvise), ALLOW(SYS_mprotect), ALLOW(SYS_readlink),
		ALLOW(SYS_getrusage), ALLOW(SYS_clock_nanosleep), ALLOW(SYS_nanosleep),
		ALLOW(SYS_sigaltstack), ALLOW(SYS_sched_yield), ALLOW(SYS_exit), ALLOW(SYS_ioctl),
		ALLOW(SYS_clone), ALLOW(SYS_clone3), ALLOW(SYS_wait4), ALLOW(SYS_pipe2),
		ALLOW(SYS_process_vm_readv), ALLOW(SYS_mremap), ALLOW(SYS_rseq),
		ALLOW(SYS_set_robust_list), ALLOW(SYS_prlimit64), ALLOW(SYS_gettimeofday),
		ALLOW(SYS_clock_gettime), ALLOW(SYS_sched_getaffinity), ALLOW(SYS_prctl),
		ALLOW(SYS_dup), ALLOW(SYS_dup2), ALLOW(SYS_fcntl), ALLOW(SYS_access),
		ALLOW(SYS_getcwd), ALLOW(SYS_uname), ALLOW(SYS_getuid), ALLOW(SYS_sysinfo),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

bool native_init(void)
{
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_size = 1 << 16, .ss_sp = malloc(1 << 16) };
	unsigned int i;

	have_avx = detect_avx();
	sigfillset(&sa.sa_mask);
	if (sigaltstack(&ss, NULL))
		return false;
	for (i = 0; i < NR_SIGS; i++) {
		if (sigaction(sigs[i], &sa, &before[i]))
			return false;
	}
	return map_at(CODE_BASE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       map_at(SEG16_CODE, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       map_at(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE) &&
	       make_ldt_entry(0, SEG16_CODE, true) && make_ldt_entry(1, SEG16_DATA, false);
}
