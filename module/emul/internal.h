/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the emulator's own files share: the opcode row, operand kinds, handlers.
 * Entered from nowhere else; other code includes emulate.h alone.
 * No locks: see emulate.h.
 * AMD APM vol. 3 "Opcode and Operand Encodings"; Intel SDM vol. 2 "Opcode Map".
 */
#ifndef MHV_EMUL_INTERNAL_H
#define MHV_EMUL_INTERNAL_H

#include "emulate.h"

#define FLAG_CF		0x000001
#define FLAG_PF		0x000004
#define FLAG_AF		0x000010
#define FLAG_ZF		0x000040
#define FLAG_SF		0x000080
#define FLAG_TF		0x000100
#define FLAG_IF		0x000200
#define FLAG_DF		0x000400
#define FLAG_OF		0x000800
#define FLAG_IOPL	0x003000
#define FLAG_IOPL_SHIFT	12
#define FLAG_NT		0x004000
#define FLAG_RF		0x010000
#define FLAG_VM		0x020000
#define FLAG_AC		0x040000
#define FLAG_VIF	0x080000
#define FLAG_VIP	0x100000
#define FLAG_ID		0x200000
#define FLAGS_ARITH	(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define EMUL_CR0_MP	0x00000002
#define EMUL_CR0_EM	0x00000004
#define EMUL_CR0_TS	0x00000008
#define EMUL_CR0_AM	0x00040000
#define EMUL_CR4_VME	0x00000001
#define EMUL_CR4_PVI	0x00000002
#define EMUL_CR4_TSD	0x00000004
#define EMUL_CR4_DE	0x00000008
#define EMUL_CR4_PCE	0x00000100
#define EMUL_CR4_OSFXSR	0x00000200
#define EMUL_CR4_UMIP	0x00000800
#define EMUL_CR4_LA57	0x00001000
#define EMUL_CR4_OSXSAVE 0x00040000

#define DR7_GD		0x2000
#define DR6_BD		0x2000

enum { VEC_DE = 0, VEC_DB = 1, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7,
	VEC_DF = 8, VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16,
	VEC_AC = 17 };

/* Operand kinds, named after the opcode maps' letters. */
enum emul_opd_kind {
	O_NONE,
	O_EB, O_EW, O_ED, O_EV,	/* ModRM.rm: register or memory; 1, 2, 4, operand size bytes */
	O_EY,			/* the same: 8 bytes with REX.W or VEX.W, else 4 */
	O_EVW,			/* the same: operand size if a register, 2 bytes if memory */
	O_EBIT,			/* O_EV; memory is a bit string indexed by ModRM.reg */
	O_RV,			/* ModRM.rm, a register always full width (MOV CR/DR) */
	O_M,			/* ModRM.rm: memory, address alone; the handler accesses it */
	O_GB, O_GW, O_GY, O_GV,	/* ModRM.reg; GY: as EY */
	O_ZB, O_ZV,		/* register in the opcode's low three bits */
	O_AL, O_AX,		/* accumulator, byte and operand size */
	O_CL, O_DX,		/* CL; DX, 2 bytes */
	O_ONE,			/* the constant 1 */
	O_IB,			/* 8-bit immediate, sign-extended */
	O_IBU,			/* 8-bit immediate, zero-extended */
	O_IW,			/* 16-bit immediate, zero-extended */
	O_IZ,			/* 16- or 32-bit immediate, sign-extended */
	O_IV,			/* immediate of operand size, up to 8 bytes */
	O_JB, O_JZ,		/* relative branch */
	O_AP,			/* far pointer */
	O_OB, O_OV,		/* memory at an offset in the instruction */
	O_NR_KINDS
};

/* struct emul_opcode.flags */
#define F_DEF		0x00000001	/* the opcode exists */
#define F_MODRM		0x00000002	/* has ModRM though no operand kind says so */
#define F_IMM8		0x00000004	/* has imm8 though no operand kind says so */
#define F_IMM16		0x00000008	/* the same: two bytes */
#define F_IMM32		0x00000010	/* the same: four bytes */
#define F_GROUP		0x00000020	/* sub[8], by ModRM.reg */
#define F_MODSEL	0x00000040	/* sub[2]: memory, register */
#define F_RMSEL		0x00000080	/* sub[8], by ModRM.rm */
#define F_PFX		0x00000100	/* sub[4]: no prefix, 66, F3, F2 */
#define F_LONGSEL	0x10000000	/* sub[2]: outside 64-bit mode, in it */
#define F_VEX128	0x20000000	/* #UD with VEX.L */
#define F_VVVV		0x40000000	/* VEX.vvvv is an operand; else it must name none */
#define F_FAR		0x80000000u	/* far pointer: REX.W may not widen it */
#define F_SELECT	(F_GROUP | F_MODSEL | F_RMSEL | F_PFX | F_LONGSEL)
#define F_LOCK		0x00000200	/* LOCK allowed if the destination is memory */
#define F_D64		0x00000400	/* 64-bit operands by default in 64-bit mode */
#define F_F64		0x00000800	/* the same, and 66h counts only with EMUL_DEC_BRANCH16 */
#define F_NO64		0x00001000	/* #UD in 64-bit mode */
#define F_ONLY64	0x00002000	/* #UD outside 64-bit mode */
#define F_MEM		0x00004000	/* #UD with a register */
#define F_REG		0x00008000	/* #UD with memory */
#define F_MODREG	0x00010000	/* ModRM.mod is ignored, as if 3 */
#define F_PRIV		0x00020000	/* CPL 0, else #GP(0) */
#define F_PROT		0x00040000	/* #UD in real and virtual-8086 mode */
#define F_UMIP		0x00080000	/* #GP(0) if CPL > 0 and CR4.UMIP */
#define F_MOV		0x00100000	/* the destination is not read */
#define F_NOWB		0x00200000	/* the destination is not written */
#define F_MMX		0x00400000	/* MMX state */
#define F_SSE		0x00800000	/* SSE state; with VEX: AVX */
#define F_VEX		0x01000000	/* the handler knows the VEX form too */
#define F_VEX_ONLY	0x02000000	/* no legacy form */
#define F_ALIGN		0x04000000	/* a memory operand is naturally aligned or #GP(0) */
#define F_STRING	0x08000000	/* string instruction: REP means repeat */

/**
 * struct emul_opcode - a row of the opcode tables
 * @exec: executes it; NULL: decoded only
 * @sub: the next table, if one of F_SELECT
 * @flags: F_*
 * @dst: enum emul_opd_kind
 * @src: the same
 * @src2: the same
 * @feature: EMUL_FEAT_* that the guest must have
 * @arg: the handler's own: a size, a condition, a segment
 */
struct emul_opcode {
	union {
		int (*exec)(struct emul_ctx *ctx);
		const struct emul_opcode *sub;
	};
	u32 flags;
	u16 feature;
	u8 dst;
	u8 src;
	u8 src2;
	u8 arg;
};

extern const struct emul_opcode emul_map_1b[256];
extern const struct emul_opcode emul_map_0f[256];
extern const struct emul_opcode emul_map_0f38[256];
extern const struct emul_opcode emul_map_0f3a[256];

/* struct emul_operand.kind */
enum { OPD_NONE, OPD_REG, OPD_MEM, OPD_IMM };

/* memory.c: registers, segments, memory */
u64 emul_effective(const struct emul_ctx *ctx, const struct emul_mem *mem);
int emul_linear(struct emul_ctx *ctx, unsigned int seg, u64 offset, unsigned int len,
		unsigned int access, u64 *linear);
int emul_read(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
	      unsigned int access);
int emul_write(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
	       unsigned int access);
int emul_read_seg(struct emul_ctx *ctx, unsigned int seg, u64 offset, u64 *val,
		  unsigned int len, unsigned int access);
int emul_write_seg(struct emul_ctx *ctx, unsigned int seg, u64 offset, u64 val,
		   unsigned int len);
int emul_mem_linear(struct emul_ctx *ctx, unsigned int len, unsigned int access, u64 *linear);
struct emul_seg *emul_seg(struct emul_ctx *ctx, unsigned int sreg);
void emul_seg_update(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg);
u64 emul_reg_get(const struct emul_ctx *ctx, unsigned int reg, unsigned int bytes);
void emul_reg_set(struct emul_ctx *ctx, unsigned int reg, u64 val, unsigned int bytes);
void emul_reg_add(struct emul_ctx *ctx, unsigned int reg, s64 delta, unsigned int bytes);
u64 emul_mask(unsigned int bytes);
u64 emul_sext(u64 val, unsigned int bytes);
bool emul_canonical(const struct emul_ctx *ctx, u64 addr);
bool emul_protected(const struct emul_ctx *ctx);
bool emul_cond(u64 rflags, unsigned int cc);
int emul_gp(struct emul_ctx *ctx, u32 error_code);
int emul_sel_fault(struct emul_ctx *ctx, u8 vector, u16 sel);
int emul_ud(struct emul_ctx *ctx);
int emul_io_allowed(struct emul_ctx *ctx, u16 port, unsigned int size);

/* exec.c: a register operand's write, for instructions that have two results */
void emul_operand_set_reg(struct emul_ctx *ctx, const struct emul_operand *o, u64 val);

/* control.c: the stack */
unsigned int emul_stack_bytes(struct emul_ctx *ctx);
int emul_push(struct emul_ctx *ctx, u64 val, unsigned int bytes);
int emul_pop(struct emul_ctx *ctx, u64 *val, unsigned int bytes);
int emul_peek(struct emul_ctx *ctx, u64 skip, u64 *val, unsigned int bytes);
int emul_probe_stack(struct emul_ctx *ctx, unsigned int below, unsigned int bytes);
int emul_jump(struct emul_ctx *ctx, u64 target, unsigned int bytes);
u64 emul_popf_mask(const struct emul_ctx *ctx);

/* Selectors, and types of system descriptors (attr's type with S clear). */
#define SEL_RPL		3u
#define SEL_TI		4u
#define TYPE_TSS16	1
#define TYPE_LDT	2
#define TYPE_CALL_GATE16 4
#define TYPE_TASK_GATE	5
#define TYPE_TSS	9
#define TYPE_CALL_GATE	12
#define TSS_BUSY	2

static inline bool emul_lma(const struct emul_ctx *ctx)
{
	return ctx->efer & 1 << 10;
}

static inline unsigned int emul_dpl(const struct emul_seg *s)
{
	return s->attr >> EMUL_SEG_DPL_SHIFT & 3;
}

/* segment.c */
int emul_load_sreg(struct emul_ctx *ctx, unsigned int sreg, u16 sel);
int emul_read_descriptor(struct emul_ctx *ctx, u16 sel, struct emul_seg *s, u64 *where,
			 u8 vector);
int emul_mark_descriptor(struct emul_ctx *ctx, struct emul_seg *s, u64 where, u32 bits);
void emul_load_real(struct emul_ctx *ctx, unsigned int sreg, u16 sel);
bool emul_ss_allowed(const struct emul_ctx *ctx, const struct emul_seg *s);
bool emul_data_allowed(const struct emul_ctx *ctx, const struct emul_seg *s);
int emul_read_far_ptr(struct emul_ctx *ctx, u64 *offset, u16 *sel);

/* task.c: from an instruction, within emul_exec() */
int emul_switch(struct emul_ctx *ctx, const struct emul_task *task);

/* The rows' handlers, by file; all are as the first. exec.c */
int em_mov(struct emul_ctx *ctx);
extern typeof(em_mov) em_movsx, em_lea, em_xchg, em_nop, em_pause, em_setcc, em_cmov, em_xlat,
	em_lahf, em_sahf, em_cmc, em_flag, em_cli, em_sti, em_in, em_out, em_salc, em_bound,
	em_touch, em_ud;
/* alu.c */
extern typeof(em_mov) em_add, em_or, em_adc, em_sbb, em_and, em_sub, em_xor, em_test, em_inc,
	em_dec, em_not, em_neg, em_rol, em_ror, em_rcl, em_rcr, em_shl, em_shr, em_sar, em_shld,
	em_shrd, em_bt, em_bts, em_btr, em_btc, em_bsf, em_bsr, em_tzcnt, em_lzcnt, em_popcnt,
	em_mul, em_imul1, em_imul, em_div, em_idiv, em_cbw, em_cwd, em_xadd, em_cmpxchg,
	em_cmpxchg8b, em_bswap, em_movbe, em_daa, em_aaa, em_aam, em_aad, em_crc32;
/* Flags of dst - src: CMPS and SCAS. */
void emul_cmp_flags(struct emul_ctx *ctx, u64 dst, u64 src, unsigned int bytes);
/* string.c */
extern typeof(em_mov) em_string, em_ins, em_outs;
/* control.c */
extern typeof(em_mov) em_push, em_pop, em_pop_mem, em_push_seg, em_pop_seg, em_pusha, em_popa,
	em_pushf, em_popf, em_enter, em_leave, em_jcc, em_jmp_rel, em_call_rel, em_jmp_ind,
	em_call_ind, em_ret, em_loop, em_jcxz;
/* segment.c */
extern typeof(em_mov) em_mov_from_seg, em_mov_to_seg, em_load_far_ptr, em_lldt, em_ltr, em_arpl,
	em_verr, em_lar, em_lsl;
/* fpu.c */
extern typeof(em_mov) em_fwait, em_fninit, em_fnst, em_fldcw, em_stmxcsr, em_ldmxcsr, em_fxsave,
	em_fxrstor;
/* syscall.c */
extern typeof(em_mov) em_syscall, em_sysenter, em_sysexit, em_rdpid;
/* transfer.c */
extern typeof(em_mov) em_jmp_far, em_call_far, em_ret_far, em_iret, em_int, em_into;
/* system.c */
extern typeof(em_mov) em_special, em_rdtsc, em_rdpmc, em_rdmsr, em_wrmsr, em_mov_from_cr,
	em_mov_to_cr, em_mov_from_dr, em_mov_to_dr, em_clts, em_smsw, em_lmsw, em_lgdt, em_sgdt,
	em_invlpg, em_xgetbv, em_xsetbv, em_monitor, em_mwait, em_swapgs, em_clac_stac;
/* simd.c */
extern typeof(em_mov) em_simd_load, em_simd_store, em_simd_half_load, em_simd_half_store,
	em_simd_from_gpr, em_simd_to_gpr, em_mmx_load, em_mmx_store, em_mmx_from_gpr, em_mmx_to_gpr;

#endif /* MHV_EMUL_INTERNAL_H */
