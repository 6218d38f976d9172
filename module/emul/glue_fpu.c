// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's callbacks on FPU registers, which are the guest's while KVM_RUN lasts.
 * Entered from emul_exec(), through the table in glue.c.
 * vcpu->mutex held; the registers are held with fpregs_lock().
 * AMD APM volume 1, "Media and x87 Registers".
 */
#include <asm/fpu/api.h>

#include "../compat.h"
#include "glue.h"

#define FPU_CASE(n, insn, reg, load)					\
	case n:								\
		if (load)						\
			asm volatile(insn " (%0), %%" reg #n : : "r" (p) : "memory"); \
		else							\
			asm volatile(insn " %%" reg #n ", (%0)" : : "r" (p) : "memory"); \
		break;

#define FPU_CASES8(insn, reg, load)					\
	FPU_CASE(0, insn, reg, load) FPU_CASE(1, insn, reg, load)	\
	FPU_CASE(2, insn, reg, load) FPU_CASE(3, insn, reg, load)	\
	FPU_CASE(4, insn, reg, load) FPU_CASE(5, insn, reg, load)	\
	FPU_CASE(6, insn, reg, load) FPU_CASE(7, insn, reg, load)

#define FPU_CASES16(insn, reg, load)					\
	FPU_CASES8(insn, reg, load)					\
	FPU_CASE(8, insn, reg, load) FPU_CASE(9, insn, reg, load)	\
	FPU_CASE(10, insn, reg, load) FPU_CASE(11, insn, reg, load)	\
	FPU_CASE(12, insn, reg, load) FPU_CASE(13, insn, reg, load)	\
	FPU_CASE(14, insn, reg, load) FPU_CASE(15, insn, reg, load)

static void move_mmx(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES8("movq", "mm", load)
	}
}

static void move_sse(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES16("movdqu", "xmm", load)
	}
}

static void move_avx(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	FPU_CASES16("vmovdqu", "ymm", load)
	}
}

/* A VEX-encoded write of 16 bytes clears the rest, whatever its width. */
static void clear_above_sse(void *p, unsigned int reg)
{
	switch (reg) {
	FPU_CASES16("vmovdqu", "xmm", true)
	}
}

static void fpu_begin(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static bool x87_exception_pending(void)
{
	u16 sw;

	asm volatile("fnstsw %0" : "=a" (sw));
	return sw & BIT(7);
}

static void move_control(void *p, unsigned int reg, bool load)
{
	switch (reg) {
	case EMUL_CTL_CW:
		if (load)
			asm volatile("fldcw %0" : : "m" (*(u16 *)p));
		else
			asm volatile("fnstcw %0" : "=m" (*(u16 *)p));
		break;
	case EMUL_CTL_SW:
		asm volatile("fnstsw %0" : "=m" (*(u16 *)p));
		break;
	case EMUL_CTL_MXCSR:
		if (load)
			asm volatile("ldmxcsr %0" : : "m" (*(u32 *)p));
		else
			asm volatile("stmxcsr %0" : "=m" (*(u32 *)p));
		break;
	}
}

/* The emulator has checked MXCSR, all that FXRSTOR could fault on. */
static int move_image(void *data, bool wide, bool load)
{
	/* Not each CPU writes all of it (QEMU's TCG leaves FOP). */
	u8 image[EMUL_FXSAVE] __aligned(16) = {};

	fpu_begin();
	if (load) {
		memcpy(image, data, sizeof(image));
		if (wide)
			asm volatile("fxrstor64 %0" : : "m" (image));
		else
			asm volatile("fxrstor %0" : : "m" (image));
	} else if (wide) {
		asm volatile("fxsave64 %0" : "=m" (image));
	} else {
		asm volatile("fxsave %0" : "=m" (image));
	}
	fpregs_unlock();
	if (!load)
		memcpy(data, image, sizeof(image));
	return EMUL_OK;
}

/**
 * glue_x87() - FWAIT or FNINIT
 * @ctx: the instruction
 * @init: the latter
 */
int glue_x87(struct emul_ctx *ctx, bool init)
{
	int r = EMUL_OK;

	fpu_begin();
	if (init)
		asm volatile("fninit");
	else if (x87_exception_pending())
		r = emul_fault(ctx, X86_TRAP_MF, 0);
	fpregs_unlock();
	return r;
}

static int move_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		    void *data, unsigned int len, bool load)
{
	u8 buf[32];
	int r = EMUL_OK;

	if (kind == EMUL_FPU_IMAGE)
		return move_image(data, reg, load);
	if (len > sizeof(buf))
		return EMUL_UNHANDLEABLE;
	fpu_begin();
	switch (kind) {
	case EMUL_FPU_MMX:
		if (x87_exception_pending()) {
			r = emul_fault(ctx, X86_TRAP_MF, 0);
			break;
		}
		memcpy(buf, data, load ? len : 0);
		move_mmx(buf, reg, load);
		break;
	case EMUL_FPU_SSE:
		if (load && len < 16)
			move_sse(buf, reg, false);
		memcpy(buf, data, load ? len : 0);
		move_sse(buf, reg, load);
		break;
	case EMUL_FPU_CONTROL:
		memcpy(buf, data, load ? len : 0);
		move_control(buf, reg, load);
		break;
	case EMUL_FPU_AVX:
		memcpy(buf, data, load ? len : 0);
		if (load && len <= 16)
			clear_above_sse(buf, reg);
		else
			move_avx(buf, reg, load);
		break;
	case EMUL_FPU_IMAGE:
		break;
	}
	fpregs_unlock();
	if (!r && !load)
		memcpy(data, buf, len);
	return r;
}

int glue_read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		  void *data, unsigned int len)
{
	return move_fpu(ctx, kind, reg, data, len, false);
}

int glue_write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		   const void *data, unsigned int len)
{
	return move_fpu(ctx, kind, reg, (void *)data, len, true);
}
