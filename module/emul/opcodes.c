// SPDX-License-Identifier: GPL-2.0
/*
 * The opcode tables: one row an instruction form, indexed by the opcode.
 * Entered by index from decode.c; the rows' handlers are in the other files here.
 * No locks; all of it is constant.
 * AMD APM vol. 3 "Opcode and Operand Encodings"; Intel SDM vol. 2 "Opcode Map".
 */
#include "internal.h"

/* Not an instruction; zero rows are it as well. */
#define U		{ .flags = 0 }
/* Decoded, not executed. */
#define N(fl)		{ .flags = F_DEF | (fl) }
/* Executed, with 0 to 3 operands; then with an argument for the handler. */
#define I0(fn, fl)	{ .exec = em_##fn, .flags = F_DEF | (fl) }
#define I1(fn, d, fl)	{ .exec = em_##fn, .flags = F_DEF | (fl), .dst = O_##d }
#define I2(fn, d, s, fl) \
	{ .exec = em_##fn, .flags = F_DEF | (fl), .dst = O_##d, .src = O_##s }
#define I3(fn, d, s, s2, fl) \
	{ .exec = em_##fn, .flags = F_DEF | (fl), .dst = O_##d, .src = O_##s, .src2 = O_##s2 }
#define SP(what, fl) { .exec = em_special, .flags = F_DEF | (fl), .arg = EMUL_SP_##what }
#define A0(fn, a, fl)	{ .exec = em_##fn, .flags = F_DEF | (fl), .arg = a }
#define A1(fn, a, s, fl) { .exec = em_##fn, .flags = F_DEF | (fl), .src = O_##s, .arg = a }
#define FT(fn, a, ft, fl) \
	{ .exec = em_##fn, .flags = F_DEF | (fl), .arg = a, .feature = EMUL_FEAT_##ft }
#define FT2(fn, d, s, ft, fl) \
	{ .exec = em_##fn, .flags = F_DEF | (fl), .dst = O_##d, .src = O_##s, \
	  .feature = EMUL_FEAT_##ft }
/* Further tables. */
#define GRP(t)		{ .sub = (t), .flags = F_DEF | F_GROUP }
#define MOD(t)		{ .sub = (t), .flags = F_DEF | F_MODSEL }
#define RM(t)		{ .sub = (t), .flags = F_DEF | F_RMSEL }
#define PFX(t)		{ .sub = (t), .flags = F_DEF | F_PFX }
#define LNG(t)		{ .sub = (t), .flags = F_DEF | F_LONGSEL }

#define LK	F_LOCK
#define CMP	F_NOWB
#define PRIV	F_PRIV
#define SSE	(F_SSE | F_MODRM)
#define SSEV	(F_SSE | F_MODRM | F_VEX)
#define SSE128	(SSEV | F_VEX128)
#define MMX	(F_MMX | F_MODRM)

#define ALU_GROUP(name, d, s) \
static const struct emul_opcode name[8] = { \
	I2(add, d, s, LK), I2(or, d, s, LK), I2(adc, d, s, LK), I2(sbb, d, s, LK), \
	I2(and, d, s, LK), I2(sub, d, s, LK), I2(xor, d, s, LK), I2(sub, d, s, CMP), \
}

ALU_GROUP(grp1_eb_ib, EB, IB);
ALU_GROUP(grp1_ev_iz, EV, IZ);
ALU_GROUP(grp1_ev_ib, EV, IB);
static const struct emul_opcode grp1_82[2] = { GRP(grp1_eb_ib), U };

#define SHIFT_GROUP(name, d, s) \
static const struct emul_opcode name[8] = { \
	I2(rol, d, s, 0), I2(ror, d, s, 0), I2(rcl, d, s, 0), I2(rcr, d, s, 0), \
	I2(shl, d, s, 0), I2(shr, d, s, 0), I2(shl, d, s, 0), I2(sar, d, s, 0), \
}

SHIFT_GROUP(grp2_eb_ib, EB, IBU);
SHIFT_GROUP(grp2_ev_ib, EV, IBU);
SHIFT_GROUP(grp2_eb_1, EB, ONE);
SHIFT_GROUP(grp2_ev_1, EV, ONE);
SHIFT_GROUP(grp2_eb_cl, EB, CL);
SHIFT_GROUP(grp2_ev_cl, EV, CL);

static const struct emul_opcode grp3_eb[8] = {
	I2(test, EB, IB, CMP), I2(test, EB, IB, CMP), I1(not, EB, LK), I1(neg, EB, LK),
	I2(mul, NONE, EB, 0), I2(imul1, NONE, EB, 0), I2(div, NONE, EB, 0), I2(idiv, NONE, EB, 0),
};

static const struct emul_opcode grp3_ev[8] = {
	I2(test, EV, IZ, CMP), I2(test, EV, IZ, CMP), I1(not, EV, LK), I1(neg, EV, LK),
	I2(mul, NONE, EV, 0), I2(imul1, NONE, EV, 0), I2(div, NONE, EV, 0), I2(idiv, NONE, EV, 0),
};

static const struct emul_opcode grp4[8] = { I1(inc, EB, LK), I1(dec, EB, LK) };

static const struct emul_opcode grp5[8] = {
	I1(inc, EV, LK), I1(dec, EV, LK),
	I2(call_ind, NONE, EV, F_F64), I2(call_far, NONE, M, F_MEM | F_FAR),
	I2(jmp_ind, NONE, EV, F_F64), I2(jmp_far, NONE, M, F_MEM | F_FAR),
	I2(push, NONE, EV, F_D64), U,
};

#define FROM_SEG(s, fl) \
	{ .exec = em_mov_from_seg, .flags = F_DEF | F_MOV | (fl), .dst = O_EVW, .arg = EMUL_##s }

static const struct emul_opcode grp_8c[8] = {
	FROM_SEG(ES, 0), FROM_SEG(CS, 0), FROM_SEG(SS, 0), FROM_SEG(DS, 0), FROM_SEG(FS, 0),
	FROM_SEG(GS, 0), U, U,
};

static const struct emul_opcode grp_8e[8] = {
	A1(mov_to_seg, EMUL_ES, EW, 0), U, A1(mov_to_seg, EMUL_SS, EW, 0),
	A1(mov_to_seg, EMUL_DS, EW, 0), A1(mov_to_seg, EMUL_FS, EW, 0),
	A1(mov_to_seg, EMUL_GS, EW, 0), U, U,
};

static const struct emul_opcode grp1a_0[2] = {
	I0(pop_mem, F_D64 | F_MODRM), I1(pop, EV, F_D64 | F_MOV),
};

static const struct emul_opcode grp1a[8] = { MOD(grp1a_0) };

static const struct emul_opcode grp11_eb[8] = {
	[0] = I2(mov, EB, IB, F_MOV),
	[7] = N(F_MODRM | F_IMM8 | F_REG),		/* XABORT */
};

static const struct emul_opcode grp11_ev[8] = {
	[0] = I2(mov, EV, IZ, F_MOV),
	[7] = { .flags = F_DEF | F_MODRM | F_REG, .src = O_JZ },	/* XBEGIN */
};

static const struct emul_opcode row_63[2] = {
	I2(arpl, EW, GW, F_PROT | CMP),
	I2(movsx, GV, ED, F_MOV),			/* MOVSXD */
};

static const struct emul_opcode row_90[4] = {
	I2(xchg, ZV, AX, 0), I2(xchg, ZV, AX, 0), I2(pause, ZV, AX, 0),
	I2(xchg, ZV, AX, 0),
};

/* x87: of it, what a hypervisor meets before it knows whether there is an FPU. */
#define FNST(what, d) \
	{ .exec = em_fnst, .flags = F_DEF | F_MOV, .dst = O_##d, .arg = EMUL_CTL_##what }

static const struct emul_opcode grp_d9[8] = {
	[0 ... 4] = N(F_MODRM), [5] = I2(fldcw, NONE, M, 0), N(F_MODRM), FNST(CW, EW),
};

static const struct emul_opcode row_d9[2] = { GRP(grp_d9), N(F_MODRM) };

static const struct emul_opcode rm_db_e0[8] = {
	[0 ... 2] = N(F_MODRM), [3] = I0(fninit, F_MODRM), [4 ... 7] = N(F_MODRM),
};

static const struct emul_opcode grp_db[8] = {
	[0 ... 3] = N(F_MODRM), [4] = RM(rm_db_e0), [5 ... 7] = N(F_MODRM),
};

static const struct emul_opcode row_db[2] = { N(F_MODRM), GRP(grp_db) };

static const struct emul_opcode grp_dd[8] = {
	[0 ... 6] = N(F_MODRM), [7] = FNST(SW, EW),
};

static const struct emul_opcode row_dd[2] = { GRP(grp_dd), N(F_MODRM) };

static const struct emul_opcode rm_df_e0[8] = {
	[0] = FNST(SW, EW), [1 ... 7] = N(F_MODRM),
};

static const struct emul_opcode grp_df[8] = {
	[0 ... 3] = N(F_MODRM), [4] = RM(rm_df_e0), [5 ... 7] = N(F_MODRM),
};

static const struct emul_opcode row_df[2] = { N(F_MODRM), GRP(grp_df) };

const struct emul_opcode emul_map_1b[256] = {
	[0x00] = I2(add, EB, GB, LK), I2(add, EV, GV, LK), I2(add, GB, EB, 0), I2(add, GV, EV, 0),
	[0x04] = I2(add, AL, IB, 0), I2(add, AX, IZ, 0),
	[0x06] = A0(push_seg, EMUL_ES, F_NO64), A0(pop_seg, EMUL_ES, F_NO64),
	[0x08] = I2(or, EB, GB, LK), I2(or, EV, GV, LK), I2(or, GB, EB, 0), I2(or, GV, EV, 0),
	[0x0c] = I2(or, AL, IB, 0), I2(or, AX, IZ, 0),
	[0x0e] = A0(push_seg, EMUL_CS, F_NO64), U,
	[0x10] = I2(adc, EB, GB, LK), I2(adc, EV, GV, LK), I2(adc, GB, EB, 0), I2(adc, GV, EV, 0),
	[0x14] = I2(adc, AL, IB, 0), I2(adc, AX, IZ, 0),
	[0x16] = A0(push_seg, EMUL_SS, F_NO64), A0(pop_seg, EMUL_SS, F_NO64),
	[0x18] = I2(sbb, EB, GB, LK), I2(sbb, EV, GV, LK), I2(sbb, GB, EB, 0), I2(sbb, GV, EV, 0),
	[0x1c] = I2(sbb, AL, IB, 0), I2(sbb, AX, IZ, 0),
	[0x1e] = A0(push_seg, EMUL_DS, F_NO64), A0(pop_seg, EMUL_DS, F_NO64),
	[0x20] = I2(and, EB, GB, LK), I2(and, EV, GV, LK), I2(and, GB, EB, 0), I2(and, GV, EV, 0),
	[0x24] = I2(and, AL, IB, 0), I2(and, AX, IZ, 0),
	[0x27] = I0(daa, F_NO64),
	[0x28] = I2(sub, EB, GB, LK), I2(sub, EV, GV, LK), I2(sub, GB, EB, 0), I2(sub, GV, EV, 0),
	[0x2c] = I2(sub, AL, IB, 0), I2(sub, AX, IZ, 0),
	[0x2f] = I0(daa, F_NO64),			/* DAS */
	[0x30] = I2(xor, EB, GB, LK), I2(xor, EV, GV, LK), I2(xor, GB, EB, 0), I2(xor, GV, EV, 0),
	[0x34] = I2(xor, AL, IB, 0), I2(xor, AX, IZ, 0),
	[0x37] = I0(aaa, F_NO64),
	[0x38] = I2(sub, EB, GB, CMP), I2(sub, EV, GV, CMP), I2(sub, GB, EB, CMP),
		 I2(sub, GV, EV, CMP),
	[0x3c] = I2(sub, AL, IB, CMP), I2(sub, AX, IZ, CMP),
	[0x3f] = I0(aaa, F_NO64),			/* AAS */
	[0x40 ... 0x47] = I1(inc, ZV, F_NO64),
	[0x48 ... 0x4f] = I1(dec, ZV, F_NO64),
	[0x50 ... 0x57] = I2(push, NONE, ZV, F_D64),
	[0x58 ... 0x5f] = I1(pop, ZV, F_D64 | F_MOV),
	[0x60] = I0(pusha, F_NO64), I0(popa, F_NO64),
	[0x62] = I2(bound, GV, M, F_NO64 | F_MEM | F_NOWB), LNG(row_63),
	[0x68] = I2(push, NONE, IZ, F_D64), I3(imul, GV, EV, IZ, F_MOV),
	[0x6a] = I2(push, NONE, IB, F_D64), I3(imul, GV, EV, IB, F_MOV),
	[0x6c] = I0(ins, F_STRING), I0(ins, F_STRING),
	[0x6e] = I0(outs, F_STRING), I0(outs, F_STRING),
	[0x70 ... 0x7f] = I2(jcc, NONE, JB, F_F64),
	[0x80] = GRP(grp1_eb_ib), GRP(grp1_ev_iz), LNG(grp1_82), GRP(grp1_ev_ib),
	[0x84] = I2(test, EB, GB, CMP), I2(test, EV, GV, CMP),
	[0x86] = I2(xchg, EB, GB, LK), I2(xchg, EV, GV, LK),
	[0x88] = I2(mov, EB, GB, F_MOV), I2(mov, EV, GV, F_MOV),
	[0x8a] = I2(mov, GB, EB, F_MOV), I2(mov, GV, EV, F_MOV),
	[0x8c] = GRP(grp_8c), I2(lea, GV, M, F_MOV | F_MEM),
	[0x8e] = GRP(grp_8e), GRP(grp1a),
	[0x90] = PFX(row_90),
	[0x91 ... 0x97] = I2(xchg, ZV, AX, 0),
	[0x98] = I0(cbw, 0), I0(cwd, 0),
	[0x9a] = I2(call_far, NONE, AP, F_NO64), I0(fwait, 0),
	[0x9c] = I0(pushf, F_D64), I0(popf, F_D64), I0(sahf, 0), I0(lahf, 0),
	[0xa0] = I2(mov, AL, OB, F_MOV), I2(mov, AX, OV, F_MOV),
	[0xa2] = I2(mov, OB, AL, F_MOV), I2(mov, OV, AX, F_MOV),
	[0xa4 ... 0xa7] = I0(string, F_STRING),
	[0xa8] = I2(test, AL, IB, CMP), I2(test, AX, IZ, CMP),
	[0xaa ... 0xaf] = I0(string, F_STRING),
	[0xb0 ... 0xb7] = I2(mov, ZB, IB, F_MOV),
	[0xb8 ... 0xbf] = I2(mov, ZV, IV, F_MOV),
	[0xc0] = GRP(grp2_eb_ib), GRP(grp2_ev_ib),
	[0xc2] = I2(ret, NONE, IW, F_F64), I0(ret, F_F64),
	[0xc4] = A1(load_far_ptr, EMUL_ES, M, F_NO64 | F_MEM),
		 A1(load_far_ptr, EMUL_DS, M, F_NO64 | F_MEM),
	[0xc6] = GRP(grp11_eb), GRP(grp11_ev),
	[0xc8] = I3(enter, NONE, IW, IBU, F_D64), I0(leave, F_D64),
	[0xca] = I2(ret_far, NONE, IW, 0), I0(ret_far, 0),
	[0xcc] = I0(int, 0), I2(int, NONE, IBU, 0), I0(into, F_NO64),
	[0xcf] = I0(iret, 0),
	[0xd0] = GRP(grp2_eb_1), GRP(grp2_ev_1), GRP(grp2_eb_cl), GRP(grp2_ev_cl),
	[0xd4] = I2(aam, NONE, IBU, F_NO64), I2(aad, NONE, IBU, F_NO64),
	[0xd6] = I0(salc, F_NO64), I0(xlat, 0),
	[0xd8] = N(F_MODRM), MOD(row_d9), N(F_MODRM), MOD(row_db), N(F_MODRM), MOD(row_dd),
	[0xde] = N(F_MODRM), MOD(row_df),
	[0xe0] = I2(loop, NONE, JB, F_F64), I2(loop, NONE, JB, F_F64), I2(loop, NONE, JB, F_F64),
		 I2(jcxz, NONE, JB, F_F64),
	[0xe4] = I2(in, AL, IBU, F_MOV), I2(in, AX, IBU, F_MOV),
	[0xe6] = I2(out, AL, IBU, CMP), I2(out, AX, IBU, CMP),
	[0xe8] = I2(call_rel, NONE, JZ, F_F64), I2(jmp_rel, NONE, JZ, F_F64),
	[0xea] = I2(jmp_far, NONE, AP, F_NO64), I2(jmp_rel, NONE, JB, F_F64),
	[0xec] = I2(in, AL, DX, F_MOV), I2(in, AX, DX, F_MOV),
	[0xee] = I2(out, AL, DX, CMP), I2(out, AX, DX, CMP),
	[0xf1] = N(0),
	[0xf4] = SP(HLT, PRIV), I0(cmc, 0), GRP(grp3_eb), GRP(grp3_ev),
	[0xf8] = I0(flag, 0), I0(flag, 0),		/* CLC, STC */
	[0xfa] = I0(cli, 0), I0(sti, 0),
	[0xfc] = I0(flag, 0), I0(flag, 0),		/* CLD, STD */
	[0xfe] = GRP(grp4), GRP(grp5),
};

static const struct emul_opcode grp6[8] = {
	FROM_SEG(LDTR, F_PROT | F_UMIP), FROM_SEG(TR, F_PROT | F_UMIP),		/* SLDT, STR */
	I2(lldt, NONE, EW, PRIV | F_PROT), I2(ltr, NONE, EW, PRIV | F_PROT),
	A1(verr, 0, EW, F_PROT), A1(verr, 1, EW, F_PROT),	/* VERR, VERW */
};

/* ENCLV; VMCALL; VMLAUNCH, VMRESUME, VMXOFF; PCONFIG, WRMSRNS */
static const struct emul_opcode grp7_rm0[8] = {
	N(0), SP(VMCALL, 0), N(0), N(0), N(0), N(0), N(0), U,
};

static const struct emul_opcode grp7_rm1[8] = {
	FT(monitor, 0, MONITOR, 0), FT(mwait, 0, MONITOR, 0),
	FT(clac_stac, 0, SMAP, 0), FT(clac_stac, 0, SMAP, 0), N(0), N(0), N(0), N(0),
};

static const struct emul_opcode row_xgetbv[4] = { I0(xgetbv, 0), U, U, U };
static const struct emul_opcode row_xsetbv[4] = { I0(xsetbv, 0), U, U, U };

static const struct emul_opcode grp7_rm2[8] = {
	PFX(row_xgetbv), PFX(row_xsetbv), U, U, N(0), N(0), N(0), N(0),
};

/* VMRUN; VMMCALL; VMLOAD, VMSAVE, STGI, CLGI, SKINIT, INVLPGA */
static const struct emul_opcode grp7_rm3[8] = {
	N(0), SP(VMMCALL, 0), [2 ... 7] = N(0),
};

/* SWAPGS; RDTSCP; MONITORX, MWAITX, CLZERO, RDPRU, INVLPGB, TLBSYNC */
static const struct emul_opcode grp7_rm7[8] = {
	I0(swapgs, F_ONLY64 | PRIV), FT(rdtsc, EMUL_SP_RDTSCP, RDTSCP, 0), [2 ... 7] = N(0),
};

static const struct emul_opcode grp7_mem_reg[8][2] = {
	{ A1(sgdt, EMUL_GDTR, M, F_UMIP), RM(grp7_rm0) },
	{ A1(sgdt, EMUL_IDTR, M, F_UMIP), RM(grp7_rm1) },
	{ A1(lgdt, EMUL_GDTR, M, PRIV), RM(grp7_rm2) },
	{ A1(lgdt, EMUL_IDTR, M, PRIV), RM(grp7_rm3) },
	{ U, U },
	{ N(F_MODRM), N(F_MODRM) },			/* RSTORSSP, SETSSBSY, RDPKRU, ... */
	{ U, U },
	{ I2(invlpg, NONE, M, PRIV), RM(grp7_rm7) },
};

static const struct emul_opcode grp7[8] = {
	MOD(grp7_mem_reg[0]), MOD(grp7_mem_reg[1]), MOD(grp7_mem_reg[2]), MOD(grp7_mem_reg[3]),
	I1(smsw, EVW, F_UMIP | F_MOV), MOD(grp7_mem_reg[5]), I2(lmsw, NONE, EW, PRIV),
	MOD(grp7_mem_reg[7]),
};

static const struct emul_opcode grp8[8] = {
	[4] = I2(bt, EV, IBU, CMP), I2(bts, EV, IBU, LK), I2(btr, EV, IBU, LK),
	[7] = I2(btc, EV, IBU, LK),
};

/* RDSEED; RDPID under F3h, of 8 bytes always in 64-bit mode. */
static const struct emul_opcode row_rdpid[4] = {
	N(F_MODRM), N(F_MODRM),
	{ .exec = em_rdpid, .flags = F_DEF | F_MOV, .dst = O_RV, .feature = EMUL_FEAT_RDPID },
	N(F_MODRM),
};

static const struct emul_opcode grp9_7[2] = { N(F_MODRM), PFX(row_rdpid) };

static const struct emul_opcode grp9[8] = {
	[1] = I2(cmpxchg8b, NONE, M, LK | F_MEM),
	[3] = N(F_MODRM), N(F_MODRM), N(F_MODRM), N(F_MODRM), MOD(grp9_7),
};

static const struct emul_opcode row_fxsave[4] = {
	I2(fxsave, NONE, M, 0), N(F_MODRM), N(F_MODRM), N(F_MODRM),
};

static const struct emul_opcode row_fxrstor[4] = {
	I2(fxrstor, NONE, M, 0), N(F_MODRM), N(F_MODRM), N(F_MODRM),
};

static const struct emul_opcode row_ldmxcsr[4] = {
	I2(ldmxcsr, NONE, ED, SSE128), N(F_MODRM), N(F_MODRM), N(F_MODRM),
};

static const struct emul_opcode row_stmxcsr[4] = {
	I1(stmxcsr, ED, SSE128 | F_MOV), N(F_MODRM), N(F_MODRM), N(F_MODRM),
};

/* CLWB, CLFLUSHOPT under 66h; the fences under ModRM.mod 3. */
static const struct emul_opcode grp15_7_mem[4] = { I2(touch, NONE, M, 0),
						   I2(touch, NONE, M, 0), U, U };
static const struct emul_opcode grp15_7_reg[4] = { I0(nop, F_MODRM), U, U, U };
static const struct emul_opcode grp15_7[2] = { PFX(grp15_7_mem), PFX(grp15_7_reg) };
static const struct emul_opcode grp15_6_mem[4] = { N(F_MODRM), I2(touch, NONE, M, 0),
						   N(F_MODRM), N(F_MODRM) };
static const struct emul_opcode grp15_6_reg[4] = { I0(nop, F_MODRM), N(F_MODRM), N(F_MODRM),
						   N(F_MODRM) };
static const struct emul_opcode grp15_6[2] = { PFX(grp15_6_mem), PFX(grp15_6_reg) };
static const struct emul_opcode grp15_5_reg[4] = { I0(nop, F_MODRM), U, N(F_MODRM), U };
static const struct emul_opcode grp15_5[2] = { N(F_MODRM), PFX(grp15_5_reg) };
static const struct emul_opcode grp15_0[2] = { PFX(row_fxsave), N(F_MODRM) };
static const struct emul_opcode grp15_1[2] = { PFX(row_fxrstor), N(F_MODRM) };
static const struct emul_opcode grp15_2[2] = { PFX(row_ldmxcsr), N(F_MODRM) };
static const struct emul_opcode grp15_3[2] = { PFX(row_stmxcsr), N(F_MODRM) };
static const struct emul_opcode grp15[8] = {
	MOD(grp15_0), MOD(grp15_1), MOD(grp15_2), MOD(grp15_3), N(F_MODRM),
	MOD(grp15_5), MOD(grp15_6), MOD(grp15_7),
};

/* SSE moves, by prefix: none, 66, F3, F2. The argument is the memory operand's size, 0: all. */
static const struct emul_opcode row_0f10[4] = {
	A0(simd_load, 0, SSEV), A0(simd_load, 0, SSEV), A0(simd_load, 4, SSEV),
	A0(simd_load, 8, SSEV),
};

static const struct emul_opcode row_0f11[4] = {
	A0(simd_store, 0, SSEV), A0(simd_store, 0, SSEV), A0(simd_store, 4, SSEV),
	A0(simd_store, 8, SSEV),
};

/* The halves: the argument is the offset in the register. */
static const struct emul_opcode row_0f12[4] = {
	A0(simd_half_load, 0, SSE128 | F_VVVV), A0(simd_half_load, 0, SSE128 | F_VVVV),
	N(F_MODRM), N(F_MODRM),
};

static const struct emul_opcode row_0f13[4] = {
	A0(simd_half_store, 0, SSE128 | F_MEM), A0(simd_half_store, 0, SSE128 | F_MEM), U, U,
};

static const struct emul_opcode row_0f16[4] = {
	A0(simd_half_load, 8, SSE128 | F_VVVV), A0(simd_half_load, 8, SSE128 | F_VVVV),
	N(F_MODRM), U,
};

static const struct emul_opcode row_0f17[4] = {
	A0(simd_half_store, 8, SSE128 | F_MEM), A0(simd_half_store, 8, SSE128 | F_MEM), U, U,
};

static const struct emul_opcode row_0f28[4] = {
	A0(simd_load, 0, SSEV | F_ALIGN), A0(simd_load, 0, SSEV | F_ALIGN), U, U,
};

static const struct emul_opcode row_0f29[4] = {
	A0(simd_store, 0, SSEV | F_ALIGN), A0(simd_store, 0, SSEV | F_ALIGN), U, U,
};

static const struct emul_opcode row_0f2b[4] = {
	A0(simd_store, 0, SSEV | F_ALIGN | F_MEM), A0(simd_store, 0, SSEV | F_ALIGN | F_MEM),
	A0(simd_store, 4, SSE | F_MEM), A0(simd_store, 8, SSE | F_MEM),	/* MOVNTSS, MOVNTSD */
};

static const struct emul_opcode row_0f6e[4] = {
	I2(mmx_from_gpr, NONE, EY, F_MMX), I2(simd_from_gpr, NONE, EY, SSE128), U, U,
};

static const struct emul_opcode row_0f6f[4] = {
	I0(mmx_load, MMX), A0(simd_load, 0, SSEV | F_ALIGN), A0(simd_load, 0, SSEV), U,
};

static const struct emul_opcode row_0f7e[4] = {
	I1(mmx_to_gpr, EY, F_MMX | F_MOV), I1(simd_to_gpr, EY, SSE128 | F_MOV),
	A0(simd_load, 8, SSE128), U,
};

static const struct emul_opcode row_0f7f[4] = {
	I0(mmx_store, MMX), A0(simd_store, 0, SSEV | F_ALIGN), A0(simd_store, 0, SSEV), U,
};

static const struct emul_opcode row_0fd6[4] = {
	U, A0(simd_store, 8, SSE128), N(F_MODRM), N(F_MODRM),
};

static const struct emul_opcode row_0fe7[4] = {
	I0(mmx_store, MMX | F_MEM), A0(simd_store, 0, SSEV | F_ALIGN | F_MEM), U, U,
};

static const struct emul_opcode row_0ff0[4] = {
	U, U, U, FT(simd_load, 0, SSE3, SSEV | F_MEM),	/* LDDQU */
};

static const struct emul_opcode row_0f78[4] = {		/* VMREAD; EXTRQ; -; INSERTQ */
	N(F_MODRM), N(F_MODRM | F_IMM16), U, N(F_MODRM | F_IMM16),
};

static const struct emul_opcode row_0f79[4] = {
	N(F_MODRM), N(F_MODRM), U, N(F_MODRM),
};

static const struct emul_opcode row_0fb8[4] = {
	U, U, FT2(popcnt, GV, EV, POPCNT, F_MOV), U,
};

static const struct emul_opcode row_0fbc[4] = {
	I2(bsf, GV, EV, 0), I2(bsf, GV, EV, 0), I2(tzcnt, GV, EV, 0), I2(bsf, GV, EV, 0),
};

static const struct emul_opcode row_0fbd[4] = {
	I2(bsr, GV, EV, 0), I2(bsr, GV, EV, 0), I2(lzcnt, GV, EV, 0), I2(bsr, GV, EV, 0),
};

static const struct emul_opcode row_0fc3[4] = {
	I2(mov, EY, GY, F_MOV | F_MEM), U, U, U,	/* MOVNTI */
};

/* With a register: #UD on AMD, a NOP on Intel. */
static const struct emul_opcode row_0f0d[2] = { I0(nop, F_MODRM), N(F_MODRM) };

const struct emul_opcode emul_map_0f[256] = {
	[0x00] = GRP(grp6), GRP(grp7), I2(lar, GV, EW, F_PROT), I2(lsl, GV, EW, F_PROT),
	[0x05] = I0(syscall, F_PROT), I0(clts, PRIV), N(PRIV),
	[0x08] = SP(INVD, PRIV), SP(WBINVD, PRIV),
	[0x0b] = I0(ud, 0),				/* UD2 */
	[0x0d] = MOD(row_0f0d), N(0),			/* PREFETCHW; FEMMS */
	[0x10] = PFX(row_0f10), PFX(row_0f11), PFX(row_0f12), PFX(row_0f13),
	[0x14 ... 0x15] = N(F_MODRM),
	[0x16] = PFX(row_0f16), PFX(row_0f17),
	[0x18 ... 0x1f] = I0(nop, F_MODRM),		/* PREFETCH, hints, NOP */
	[0x20] = I2(mov_from_cr, RV, NONE, F_MODREG | F_MOV),
		 I2(mov_from_dr, RV, NONE, F_MODREG | F_MOV),
		 I2(mov_to_cr, NONE, RV, F_MODREG),
		 I2(mov_to_dr, NONE, RV, F_MODREG),
	[0x28] = PFX(row_0f28), PFX(row_0f29), N(F_MODRM), PFX(row_0f2b),
	[0x2c ... 0x2f] = N(F_MODRM),
	[0x30] = I0(wrmsr, PRIV),
	[0x31] = A0(rdtsc, EMUL_SP_RDTSC, 0),
	[0x32] = I0(rdmsr, PRIV), I0(rdpmc, 0),
	[0x34] = I0(sysenter, 0), I0(sysexit, PRIV),
	[0x37] = N(0),					/* GETSEC */
	[0x40 ... 0x4f] = I2(cmov, GV, EV, 0),
	[0x50 ... 0x6d] = N(F_MODRM),
	[0x6e] = PFX(row_0f6e), PFX(row_0f6f),
	[0x70 ... 0x73] = N(F_MODRM | F_IMM8),
	[0x74 ... 0x76] = N(F_MODRM),
	[0x77] = N(0),					/* EMMS */
	[0x78] = PFX(row_0f78), PFX(row_0f79),
	[0x7c ... 0x7d] = N(F_MODRM),
	[0x7e] = PFX(row_0f7e), PFX(row_0f7f),
	[0x80 ... 0x8f] = I2(jcc, NONE, JZ, F_F64),
	[0x90 ... 0x9f] = I1(setcc, EB, F_MOV),
	[0xa0] = A0(push_seg, EMUL_FS, F_D64), A0(pop_seg, EMUL_FS, F_D64),
	[0xa2] = SP(CPUID, 0), I2(bt, EBIT, GV, CMP),
	[0xa4] = I3(shld, EV, GV, IBU, 0), I3(shld, EV, GV, CL, 0),
	[0xa6 ... 0xa7] = N(F_MODRM | F_REG),		/* VIA's PadLock */
	[0xa8] = A0(push_seg, EMUL_GS, F_D64), A0(pop_seg, EMUL_GS, F_D64),
	[0xaa] = N(0), I2(bts, EBIT, GV, LK),
	[0xac] = I3(shrd, EV, GV, IBU, 0), I3(shrd, EV, GV, CL, 0),
	[0xae] = GRP(grp15), I2(imul, GV, EV, 0),
	[0xb0] = I2(cmpxchg, EB, GB, LK), I2(cmpxchg, EV, GV, LK),
	[0xb2] = A1(load_far_ptr, EMUL_SS, M, F_MEM | F_FAR), I2(btr, EBIT, GV, LK),
	[0xb4] = A1(load_far_ptr, EMUL_FS, M, F_MEM | F_FAR),
		 A1(load_far_ptr, EMUL_GS, M, F_MEM | F_FAR),
	[0xb6] = I2(mov, GV, EB, F_MOV), I2(mov, GV, EW, F_MOV),	/* MOVZX */
	[0xb8] = PFX(row_0fb8), I0(ud, F_MODRM),	/* UD1 */
	[0xba] = GRP(grp8), I2(btc, EBIT, GV, LK),
	[0xbc] = PFX(row_0fbc), PFX(row_0fbd),
	[0xbe] = I2(movsx, GV, EB, F_MOV), I2(movsx, GV, EW, F_MOV),
	[0xc0] = I2(xadd, EB, GB, LK), I2(xadd, EV, GV, LK),
	[0xc2] = N(F_MODRM | F_IMM8), PFX(row_0fc3),
	[0xc4 ... 0xc6] = N(F_MODRM | F_IMM8),
	[0xc7] = GRP(grp9),
	[0xc8 ... 0xcf] = I1(bswap, ZV, 0),
	[0xd0 ... 0xd5] = N(F_MODRM),
	[0xd6] = PFX(row_0fd6),
	[0xd7 ... 0xe6] = N(F_MODRM),
	[0xe7] = PFX(row_0fe7),
	[0xe8 ... 0xef] = N(F_MODRM),
	[0xf0] = PFX(row_0ff0),
	[0xf1 ... 0xfe] = N(F_MODRM),
	[0xff] = I0(ud, F_MODRM),			/* UD0 */
};

static const struct emul_opcode row_0f382a[4] = {
	U, FT(simd_load, 0, SSE41, SSEV | F_ALIGN | F_MEM), U, U,	/* MOVNTDQA */
};

static const struct emul_opcode row_0f3882[4] = { U, N(F_MODRM | F_MEM), U, U };

static const struct emul_opcode row_0f38f0[4] = {	/* MOVBE; CRC32 */
	FT2(movbe, GV, EV, MOVBE, F_MOV | F_MEM), FT2(movbe, GV, EV, MOVBE, F_MOV | F_MEM),
	U, FT2(crc32, GY, EB, SSE42, 0),
};

static const struct emul_opcode row_0f38f1[4] = {
	FT2(movbe, EV, GV, MOVBE, F_MOV | F_MEM), FT2(movbe, EV, GV, MOVBE, F_MOV | F_MEM),
	U, FT2(crc32, GY, EV, SSE42, 0),
};

/* Everything in this map has ModRM and no immediate; what is undefined there is not told apart. */
const struct emul_opcode emul_map_0f38[256] = {
	[0x00 ... 0x29] = N(F_MODRM),
	[0x2a] = PFX(row_0f382a),
	[0x2b ... 0x7f] = N(F_MODRM),
	[0x80 ... 0x81] = N(F_MODRM | F_MEM),	/* INVEPT, INVVPID */
	[0x82] = PFX(row_0f3882),
	[0x83 ... 0xef] = N(F_MODRM),
	[0xf0] = PFX(row_0f38f0), PFX(row_0f38f1),
	[0xf2 ... 0xff] = N(F_MODRM),
};

/* Everything in this map has ModRM and imm8. */
const struct emul_opcode emul_map_0f3a[256] = {
	[0x00 ... 0xff] = N(F_MODRM | F_IMM8),
};
