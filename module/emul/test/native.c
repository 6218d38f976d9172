// SPDX-License-Identifier: GPL-2.0
/*
 * One instruction on the real processor: a signal frame is edited into the wanted state,
 * sigreturn enters it, and the INT3 behind the instruction, TF, or a fault gives the state after.
 * Entered from differ.c.
 * No locks: one thread.
 * sigreturn(2); Intel SDM vol. 1 "XSAVE-Supported Features" for the layout of the frame.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>
#include "native.h"

#define YMM_OFFSET	576		/* in the standard format of XSAVE */
#define MAGIC_OFFSET	464		/* struct _fpx_sw_bytes in the legacy area */
#define XSTATE_OFFSET	512		/* XSTATE_BV */

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
		signal(sig, SIG_DFL);
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

static bool map_at(unsigned long addr, unsigned long size, int prot)
{
	return mmap((void *)addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		    -1, 0) == (void *)addr;
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

bool native_init(void)
{
	static const int sigs[] = { SIGUSR1, SIGTRAP, SIGSEGV, SIGILL, SIGFPE, SIGBUS };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t ss = { .ss_size = 1 << 16, .ss_sp = malloc(1 << 16) };
	unsigned int i;

	have_avx = detect_avx();
	sigfillset(&sa.sa_mask);
	if (sigaltstack(&ss, NULL))
		return false;
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		if (sigaction(sigs[i], &sa, NULL))
			return false;
	}
	return map_at(CODE_BASE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       map_at(SEG16_CODE, 0x10000, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	       map_at(DATA_BASE, DATA_SIZE, PROT_READ | PROT_WRITE) &&
	       make_ldt_entry(0, SEG16_CODE, true) && make_ldt_entry(1, SEG16_DATA, false);
}
