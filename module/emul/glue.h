/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files share that join the emulator to a vCPU: its state between executions.
 * Included by glue.c and glue_*.c alone.
 * vcpu->mutex protects all of it.
 */
#ifndef MHV_EMUL_GLUE_H
#define MHV_EMUL_GLUE_H

#include <linux/mm.h>

#include "../backend.h"
#include "emulate.h"

#define MMIO_CHUNK	8	/* most that one exit carries */
#define LOG_ENTRIES	64
#define LOG_RESERVE	10	/* one string iteration: 2 operands of 32 bytes, crossing */
#define MAX_POSTED	52	/* of FXSAVE */

/* struct mhv_emul's @move: MOV between a register or an immediate and memory; MOVZX from memory. */
enum glue_move { GLUE_NO_MOVE, GLUE_LOAD, GLUE_STORE };

/* One access to a device, done. */
struct mmio_access {
	gpa_t gpa;
	u8 len;
	bool write;
	u64 data;
};

/**
 * struct mhv_emul - a vCPU's emulator
 * @ctx: the instruction
 * @vcpu: whose
 * @rip: where the instruction stands
 * @bytes: the instruction, and what follows it, as words to be compared
 * @nbytes: how many were fetched
 * @decoded: @bytes of the instruction in ctx->insn
 * @decoded_len: @nbytes of it; 0: none
 * @decoded_flags: EMUL_DEC_* that they were decoded with
 * @one_operand: that instruction accesses memory once, at one operand
 * @move: whether it is a plain move
 * @hint_valid: the CPU told which address the memory operand has
 * @hint: that address
 * @hint_write: the CPU has checked that it may be written, not only read
 * @log: accesses to devices that this instruction has made
 * @nlog: how many
 * @pos: how many of them this execution has come to
 * @posted: writes that userspace is to see
 * @nposted: how many
 * @next_posted: the next one to leave with
 * @want: the read that userspace is to serve
 * @pio: the port access that @pio_answered and @pio_out are about
 * @pio_answered: vcpu->pio_data has what an INS or IN asked for
 * @pio_out: vcpu->pio_data has what an OUTS or OUT wrote, for userspace
 * @queued: a fault that is pending already, not in ctx->fault
 * @simple: a plain move, done by simple_move()
 * @halt: the instruction was HLT
 * @hypercall: it was a hypercall
 */
struct mhv_emul {
	struct emul_ctx ctx;
	struct mhv_vcpu *vcpu;
	u64 rip;
	u8 bytes[16] __aligned(8);	/* EMUL_MAX_INSN and a zero */
	u8 nbytes;
	u8 decoded[16] __aligned(8);
	u8 decoded_len;
	u8 decoded_flags;
	bool one_operand;
	u8 move;
	bool hint_valid;
	bool hint_write;
	gpa_t hint;
	struct mmio_access log[LOG_ENTRIES];
	unsigned int nlog;
	unsigned int pos;
	struct mmio_access posted[MAX_POSTED];
	unsigned int nposted;
	unsigned int next_posted;
	struct mmio_access want;
	bool pio_answered;
	struct {
		u16 port;
		u8 size;
		u16 count;
	} pio;
	bool pio_out;
	bool queued;
	bool simple;
	bool halt;
	bool hypercall;
};

/* glue.c */
int glue_fetch_decode(struct mhv_emul *e, const u8 *bytes, unsigned int n);
int glue_execute(struct mhv_emul *e);
int glue_finish(struct mhv_emul *e, int r);
int glue_switch_task(struct mhv_emul *e, const struct emul_task *task, u64 next_rip);
int glue_fail(struct mhv_emul *e);

/* glue_mmio.c */
void glue_classify(struct mhv_emul *e);
int glue_device_read(struct mhv_emul *e, gpa_t gpa, void *data, unsigned int len);
int glue_device_write(struct mhv_emul *e, gpa_t gpa, const void *data, unsigned int len);
int glue_next_posted(struct mhv_emul *e);
int glue_ask_userspace(struct mhv_emul *e);

/* The callbacks of struct emul_ops: glue_mem.c */
int glue_read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		  unsigned int access);
int glue_write_mem(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
		   unsigned int access);
int glue_cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		     unsigned int len);
int glue_probe_mem(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access);
int glue_pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		void *data);
int glue_pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		 const void *data);

/* glue_regs.c */
void glue_get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg);
void glue_set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg);
int glue_get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value);
int glue_set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value);
int glue_special(struct emul_ctx *ctx, enum emul_special what, u64 arg);

/* glue_fpu.c */
int glue_read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *data,
		  unsigned int len);
int glue_write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		   const void *data, unsigned int len);

int glue_x87(struct emul_ctx *ctx, bool init);

static inline struct mhv_emul *to_emul(struct emul_ctx *ctx)
{
	return ctx->priv;
}

static inline struct mhv_vcpu *to_vcpu(struct emul_ctx *ctx)
{
	return to_emul(ctx)->vcpu;
}

#endif /* MHV_EMUL_GLUE_H */
