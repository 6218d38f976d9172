/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction emulator's interface: decode, execute.
 * Entered from emul/glue.c with the vCPU loaded; from KUnit, the native tests and fuzzers.
 * No locks: everything it knows is in the caller's struct emul_ctx; effects leave by callbacks.
 * AMD APM vol. 3 "Instruction Encoding"; Intel SDM vol. 2 "Instruction Format".
 */
#ifndef MHV_EMULATE_H
#define MHV_EMULATE_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/string.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#endif

#define EMUL_MAX_INSN	15	/* longest legal instruction, in bytes */
#define EMUL_PIO_BATCH	1024	/* most bytes that one pio callback moves */
#define EMUL_REP_BUDGET	64	/* most iterations of a REP string instruction per emul_exec() */

/* What every function and callback here answers. */
enum emul_result {
	EMUL_OK = 0,
	EMUL_FAULT,		/* the guest gets an exception: ctx->fault */
	EMUL_IO_NEEDED,		/* userspace must act; run the same instruction again after */
	EMUL_RETRY,		/* lost a race on guest memory; enter the guest, it comes again */
	EMUL_UNHANDLEABLE,	/* legal, but not executed here */
	EMUL_MORE_BYTES,	/* decode only: the instruction is longer than what was given */
	EMUL_UD,		/* decode only: no such instruction, #UD */
	EMUL_TOO_LONG,		/* decode only: more than 15 bytes, #GP(0) */
};

/*
 * CR0.PE	EFLAGS.VM	EFER.LMA	CS.L	CS.D	mode
 *   0		-		-		-	-	REAL
 *   1		1		0		-	-	VM86
 *   1		0		-		0	0	PROT16 (compatibility mode too)
 *   1		0		-		0	1	PROT32 (compatibility mode too)
 *   1		0		1		1	0	LONG
 */
enum emul_mode {
	EMUL_MODE_REAL,
	EMUL_MODE_VM86,
	EMUL_MODE_PROT16,
	EMUL_MODE_PROT32,
	EMUL_MODE_LONG,
};

/* General registers, in the encoding's order: the index into ctx->gpr. */
enum emul_gpr {
	EMUL_RAX, EMUL_RCX, EMUL_RDX, EMUL_RBX, EMUL_RSP, EMUL_RBP, EMUL_RSI, EMUL_RDI,
	EMUL_R8, EMUL_R9, EMUL_R10, EMUL_R11, EMUL_R12, EMUL_R13, EMUL_R14, EMUL_R15,
	EMUL_NO_REG = 0xff,
};

/* Segment registers in the encoding's order, then the other holders of a base and a limit. */
enum emul_sreg {
	EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS,
	EMUL_LDTR, EMUL_TR, EMUL_GDTR, EMUL_IDTR,
	EMUL_NR_SREGS,
	EMUL_NO_SEG = 0xff,
};

/**
 * struct emul_seg - a segment register with its hidden part
 * @base: linear base address
 * @limit: last valid offset, in bytes (granularity applied)
 * @attr: EMUL_SEG_*: the descriptor's bits 47:40 in 7:0 and 55:52 in 15:12
 * @sel: selector
 *
 * GDTR and IDTR have @base and @limit alone.
 */
struct emul_seg {
	u64 base;
	u32 limit;
	u32 attr;
	u16 sel;
};

#define EMUL_SEG_TYPE		0x0000f
#define EMUL_SEG_ACCESSED	0x00001
#define EMUL_SEG_WRITE		0x00002	/* data: writable; code: readable */
#define EMUL_SEG_EXPDOWN	0x00004	/* data: expand-down; code: conforming */
#define EMUL_SEG_CODE		0x00008
#define EMUL_SEG_S		0x00010
#define EMUL_SEG_DPL_SHIFT	5
#define EMUL_SEG_P		0x00080
#define EMUL_SEG_L		0x02000
#define EMUL_SEG_DB		0x04000
#define EMUL_SEG_G		0x08000
#define EMUL_SEG_UNUSABLE	0x10000	/* null selector loaded */

enum emul_map {
	EMUL_MAP_1B,		/* one-byte opcodes */
	EMUL_MAP_0F,
	EMUL_MAP_0F38,
	EMUL_MAP_0F3A,
	EMUL_MAP_0F0F,		/* 3DNow!: the opcode is the byte after the operands */
	EMUL_MAP_EVEX5,		/* maps that only EVEX reaches */
	EMUL_MAP_EVEX6,
	EMUL_MAP_XOP8,
	EMUL_MAP_XOP9,
	EMUL_MAP_XOPA,
};

enum emul_encoding {
	EMUL_ENC_LEGACY,
	EMUL_ENC_VEX,
	EMUL_ENC_EVEX,
	EMUL_ENC_XOP,
};

/**
 * struct emul_mem - a memory operand, as encoded
 * @disp: displacement, sign-extended; a moffs is here too, zero-extended
 * @seg: segment that applies (override or default), enum emul_sreg
 * @base: base register or EMUL_NO_REG
 * @index: index register or EMUL_NO_REG
 * @scale: 1, 2, 4, 8
 * @addr_bytes: 2, 4, 8: the effective address wraps there
 * @rip_rel: add the address of the next instruction
 */
struct emul_mem {
	u64 disp;
	u8 seg;
	u8 base;
	u8 index;
	u8 scale;
	u8 addr_bytes;
	bool rip_rel;
};

struct emul_opcode;

/**
 * struct emul_insn - a decoded instruction
 * @op: its row in the tables
 * @imm: first immediate, sign-extended from its encoded size; a relative branch's offset
 * @imm2: second immediate (ENTER's level, a far pointer's selector)
 * @mem: valid if has_mem
 * @length: in bytes, prefixes included
 * @mode: enum emul_mode that it was decoded for
 * @map: enum emul_map
 * @opcode: opcode byte in that map
 * @enc: enum emul_encoding
 * @code_bytes: the code segment's default size 2, 4, 8
 * @op_bytes: operand size 2, 4, 8 (byte forms are known by their operands)
 * @addr_bytes: address size 2, 4, 8
 * @rep: 0, 0xf2 or 0xf3, the last one given
 * @lock: LOCK prefix (legal: decode refuses it where it is not)
 * @seg_override: enum emul_sreg or EMUL_NO_SEG
 * @opsize_pfx: 66h was there
 * @rex: the REX byte, or its bits out of VEX/EVEX/XOP as 4xh; 0 if there was none
 * @vvvv: VEX.vvvv, not inverted
 * @vlen: vector length in bytes, 16, 32, 64; 0 for a legacy encoding
 * @pp: SIMD prefix 0, 0x66, 0xf3, 0xf2, by VEX or by legacy prefix
 * @modrm: the byte
 * @reg: ModRM.reg with REX.R: also the number of a control or debug register
 * @rm: ModRM.rm with REX.B: a register if !has_mem
 * @has_modrm: there is a ModRM byte
 * @has_mem: ModRM (or moffs) gives a memory operand
 */
struct emul_insn {
	const struct emul_opcode *op;
	u64 imm;
	u64 imm2;
	struct emul_mem mem;
	u8 length;
	u8 mode;
	u8 map;
	u8 opcode;
	u8 enc;
	u8 code_bytes;
	u8 op_bytes;
	u8 addr_bytes;
	u8 rep;
	bool lock;
	u8 seg_override;
	bool opsize_pfx;
	u8 rex;
	u8 vvvv;
	u8 vlen;
	u8 pp;
	u8 modrm;
	u8 reg;
	u8 rm;
	bool has_modrm;
	bool has_mem;
};

/* emul_decode() flags. */
#define EMUL_DEC_BRANCH16	1	/* 66h makes near branches 16-bit in 64-bit mode (AMD) */
#define EMUL_DEC_FAR32		2	/* REX.W does not widen far pointers to m16:64 (AMD) */
#define EMUL_DEC_CODE32		4	/* CS.D is set, which counts in real mode, too */

/**
 * struct emul_fault - the exception that an instruction raised
 * @address: #PF: linear address (CR2); #DB: the DR6 bits; else 0
 * @error_code: valid if @has_error_code
 * @vector: 0 to 31
 * @has_error_code: this exception pushes one
 */
struct emul_fault {
	u64 address;
	u32 error_code;
	u8 vector;
	bool has_error_code;
};

/* access of the memory callbacks */
#define EMUL_ACC_READ		0x00
#define EMUL_ACC_WRITE		0x01	/* needs write permission */
#define EMUL_ACC_RMW		0x02	/* a read whose write follows: check for write as well */
#define EMUL_ACC_FETCH		0x04	/* needs execute permission */
#define EMUL_ACC_SYSTEM		0x08	/* as CPL 0 whatever CPL is: descriptor tables, TSS */
#define EMUL_ACC_LOCK		0x10	/* a locked read-modify-write's read */

/* Classes of get_reg() and set_reg(). */
enum emul_reg_class {
	EMUL_REG_CR,		/* 0, 2, 3, 4, 8 */
	EMUL_REG_DR,		/* 0 to 3, 6, 7 (exec maps 4 and 5) */
	EMUL_REG_MSR,
	EMUL_REG_XCR,
};

/* Kinds of read_fpu() and write_fpu(). */
enum emul_fpu_kind {
	EMUL_FPU_MMX,		/* 8 bytes; an access also makes TOP 0 and all tags valid */
	EMUL_FPU_SSE,		/* 16 bytes (or fewer); what lies above them stays */
	EMUL_FPU_AVX,		/* 16 or 32 bytes; a write clears what lies above them */
	EMUL_FPU_CONTROL,	/* reg: enum emul_fpu_control; only MXCSR is written */
	EMUL_FPU_IMAGE,		/* EMUL_FXSAVE bytes as FXSAVE has them; reg 1: as with REX.W */
};

#define EMUL_FXSAVE	512

/* Control and status: 2, 2 and 4 bytes. A write of MXCSR has no reserved bit set. */
enum emul_fpu_control {
	EMUL_CTL_CW,
	EMUL_CTL_SW,
	EMUL_CTL_MXCSR,
};

/* What emul_ops.special() is asked to do. Operands and results are in ctx->gpr. */
enum emul_special {
	EMUL_SP_CPUID,		/* EAX, ECX -> EAX to EDX */
	EMUL_SP_RDTSC,		/* -> EDX:EAX */
	EMUL_SP_RDTSCP,		/* -> EDX:EAX, ECX */
	EMUL_SP_RDPMC,		/* ECX -> EDX:EAX */
	EMUL_SP_HLT,
	EMUL_SP_PAUSE,
	EMUL_SP_INVD,
	EMUL_SP_WBINVD,		/* WBNOINVD too */
	EMUL_SP_INVLPG,		/* arg: linear address */
	EMUL_SP_XSETBV,		/* ECX, EDX:EAX; checks the value */
	EMUL_SP_MONITOR,	/* arg: linear address */
	EMUL_SP_MWAIT,
	EMUL_SP_VMMCALL,
	EMUL_SP_VMCALL,
	EMUL_SP_FWAIT,		/* #MF if an x87 exception is pending */
	EMUL_SP_FNINIT,
	EMUL_SP_TASK,		/* a task switch: set CR0.TS, clear DR7's local enables */
};

struct emul_ctx;

/**
 * struct emul_ops - how the emulator reaches the machine
 * @read_mem: read 1 to EMUL_PIO_BATCH bytes at a linear address; it may cross a page
 * @write_mem: write; both pages are checked before anything is written
 * @cmpxchg_mem: store @new if memory is still @old, else EMUL_RETRY; 1, 2, 4, 8, 16 bytes; a
 *	write on MMIO
 * @probe_mem: may this access be made? Page faults alone; moves nothing, never EMUL_IO_NEEDED;
 *	sets ctx->device if a device has some of it
 * @pio_in: @count elements of 1, 2, 4 bytes, packed; at most EMUL_PIO_BATCH bytes
 * @pio_out: the same, outwards
 * @get_seg: a segment register, enum emul_sreg; cannot fail
 * @set_seg: called only when the instruction is sure to complete; cannot fail
 * @get_reg: a register of a class
 * @set_reg: checks the value and faults (#GP(0)) as the instruction would
 * @read_fpu: an MMX access raises #MF itself if an x87 exception is pending
 * @write_fpu: the same
 * @special: CPL and mode are checked; RIP is advanced by emul_exec() after EMUL_OK
 *
 * Each returns EMUL_OK, EMUL_FAULT (ctx->fault filled; emul_fault() and emul_page_fault() help),
 * EMUL_IO_NEEDED or EMUL_UNHANDLEABLE. Page faults are the callee's to find.
 *
 * After EMUL_IO_NEEDED the same instruction is executed again from the same state and issues the
 * same callbacks in the same order, so the callee answers the earlier ones from its record. A
 * write or a pio_out that userspace must see is recorded and answered EMUL_OK; the callee may
 * set ctx->stop so that a string instruction ends after this iteration. If emul_exec() returns
 * EMUL_OK after a callback said EMUL_IO_NEEDED (a string instruction with iterations done), that
 * last request is void.
 */
struct emul_ops {
	int (*read_mem)(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
			unsigned int access);
	int (*write_mem)(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
			 unsigned int access);
	int (*cmpxchg_mem)(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
			   unsigned int len);
	int (*probe_mem)(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access);
	int (*pio_in)(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		      void *data);
	int (*pio_out)(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		       const void *data);
	void (*get_seg)(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg);
	void (*set_seg)(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg);
	int (*get_reg)(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value);
	int (*set_reg)(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value);
	int (*read_fpu)(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
			void *data, unsigned int len);
	int (*write_fpu)(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
			 const void *data, unsigned int len);
	int (*special)(struct emul_ctx *ctx, enum emul_special what, u64 arg);
};

/* ctx->features: instructions that the guest's CPUID has; without its bit one is #UD. */
#define EMUL_FEAT_MOVBE		0x0001
#define EMUL_FEAT_CX16		0x0002
#define EMUL_FEAT_RDTSCP	0x0004
#define EMUL_FEAT_AVX		0x0008
#define EMUL_FEAT_AVX2		0x0010
#define EMUL_FEAT_SSE3		0x0020
#define EMUL_FEAT_SSE41		0x0040
#define EMUL_FEAT_POPCNT	0x0080
#define EMUL_FEAT_LZCNT		0x0100	/* without it F3 0F BD is BSR */
#define EMUL_FEAT_BMI1		0x0200	/* without it F3 0F BC is BSF */
#define EMUL_FEAT_MONITOR	0x0400
#define EMUL_FEAT_SMAP		0x0800	/* CLAC, STAC */
#define EMUL_FEAT_SSE42		0x1000	/* CRC32 */
#define EMUL_FEAT_RDPID		0x2000
#define EMUL_FEAT_SYSCALL32	0x4000	/* AMD's: SYSCALL outside, no SYSENTER within long mode */
#define EMUL_FEAT_ALL		0x7fff

/* ctx->shadow */
#define EMUL_SHADOW_STI		1
#define EMUL_SHADOW_MOV_SS	2

/* An operand after its fetch; internal to the emulator. */
struct emul_operand {
	u64 val;		/* value if it fits 8 bytes */
	u64 old;		/* destination: as read, for a locked write */
	u64 linear;		/* memory: linear address; else the register's number */
	u8 kind;
	u8 bytes;
	bool high_byte;		/* AH, CH, DH, BH */
};

/**
 * struct emul_ctx - one execution
 * @ops: in: the callbacks
 * @priv: the callbacks' own
 * @insn: in: from emul_decode()
 * @gpr: in and out: general registers, by enum emul_gpr
 * @rip: in: this instruction; out: where to go on
 * @rflags: in and out
 * @cr0: in
 * @cr4: in
 * @efer: in
 * @features: in: EMUL_FEAT_* of the guest's CPUID
 * @mode: in: enum emul_mode
 * @cpl: in: current privilege level
 * @stop: set by a callback: end a string instruction after this iteration
 * @device: set by probe_mem: not all of this is memory
 * @more: out: iterations remain, RIP has not moved
 * @shadow: out: EMUL_SHADOW_*, the interrupt shadow after this instruction
 * @after: out: EMUL_OK, and @fault is to be delivered in the state that is left: a task switch
 * @switched: out: another task runs now
 * @new_tf: out: whether there is a single step is up to the TF that it ended with
 * @iret: out: it was an IRET, which ends an NMI
 * @fault: out: the exception, after EMUL_FAULT or with @after
 * @dst: internal: destination
 * @src: internal: source
 * @src2: internal: third operand
 * @next_rip: internal
 * @seg_cached: internal: a bit per enum emul_sreg, seg[] is valid
 * @seg_dirty: internal: the same, seg[] is to be given to set_seg() at the end
 * @seg: internal: segment registers met so far
 *
 * After EMUL_OK the caller takes @gpr, @rip, @rflags and @shadow; after anything else none.
 */
struct emul_ctx {
	const struct emul_ops *ops;
	void *priv;
	struct emul_insn insn;
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u64 cr0;
	u64 cr4;
	u64 efer;
	u32 features;
	u8 mode;
	u8 cpl;
	bool stop;
	bool device;
	bool more;
	u8 shadow;
	bool after;
	bool switched;
	bool new_tf;
	bool iret;
	struct emul_fault fault;

	struct emul_operand dst, src, src2;
	u64 next_rip;
	u16 seg_cached;
	u16 seg_dirty;
	struct emul_seg seg[EMUL_NR_SREGS];
};

/**
 * emul_decode() - take one instruction apart
 * @insn: filled in on EMUL_OK
 * @bytes: instruction bytes
 * @n: how many there are (more than 15 are ignored)
 * @mode: enum emul_mode
 * @flags: EMUL_DEC_*
 *
 * Knows the length of every instruction, also of those that emul_exec() does not execute.
 *
 * Context: any.
 * Return: EMUL_OK, EMUL_MORE_BYTES, EMUL_UD, EMUL_TOO_LONG.
 */
int emul_decode(struct emul_insn *insn, const u8 *bytes, unsigned int n, enum emul_mode mode,
		unsigned int flags);

/**
 * emul_exec() - execute ctx->insn once, or a bounded number of iterations of it
 * @ctx: see struct emul_ctx
 *
 * Context: that of the callbacks.
 * Return: EMUL_OK (take the registers; if ctx->more enter the
 * guest at the same RIP), EMUL_FAULT, EMUL_IO_NEEDED, EMUL_RETRY, EMUL_UNHANDLEABLE (nothing
 * changed).
 */
int emul_exec(struct emul_ctx *ctx);

/* Why a task is switched. */
enum emul_task_reason {
	EMUL_TASK_CALL,
	EMUL_TASK_IRET,
	EMUL_TASK_JMP,
	EMUL_TASK_GATE,		/* an exception or interrupt, through a task gate in the IDT */
};

/**
 * struct emul_task - a task switch
 * @reason: enum emul_task_reason
 * @sel: of the new TSS
 * @external: 1 if neither the program nor its INT n is the cause: bit 0 of error codes
 * @has_error: the exception has an error code, for the new task's stack
 * @error_code: valid if @has_error
 */
struct emul_task {
	u8 reason;
	u16 sel;
	u8 external;
	bool has_error;
	u32 error_code;
};

/**
 * emul_task_switch() - switch to another task, without an instruction
 * @ctx: as for emul_exec(), but for @insn
 * @task: to which, and why; the privilege to do so has been checked
 * @next_rip: where the old task is to go on
 *
 * Context: that of the callbacks.
 * Return: as emul_exec().
 */
int emul_task_switch(struct emul_ctx *ctx, const struct emul_task *task, u64 next_rip);

/**
 * emul_fault() - note an exception
 * @ctx: context
 * @vector: without an error code for 0-7, 9, 16, 18-20; with @error_code otherwise
 * @error_code: pushed if the vector has one
 *
 * Return: EMUL_FAULT, so that a caller can return it.
 */
int emul_fault(struct emul_ctx *ctx, u8 vector, u32 error_code);

/**
 * emul_page_fault() - note a page fault
 * @ctx: context
 * @linear: faulting address
 * @error_code: #PF error code
 *
 * Return: EMUL_FAULT.
 */
int emul_page_fault(struct emul_ctx *ctx, u64 linear, u32 error_code);

#endif /* MHV_EMULATE_H */
