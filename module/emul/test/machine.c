// SPDX-License-Identifier: GPL-2.0
/*
 * machine.c - memory, an MMIO window, ports, registers, for the emulator to work on.
 * Entered from the tests of rows.
 * No locks: one thread.
 */
#include <stdarg.h>
#include <stdlib.h>
#include "machine.h"

struct machine m;

static bool in_mmio(u64 linear)
{
	return linear >= MMIO_BASE && linear < MMIO_END;
}

/* Page faults: everything beyond the memory; supervisor pages from 0xf0000. */
static int translate(struct emul_ctx *ctx, u64 linear, unsigned int len, unsigned int access)
{
	u32 error = access & (EMUL_ACC_WRITE | EMUL_ACC_RMW) ? 2 : 0;

	if (ctx->cpl == 3 && !(access & EMUL_ACC_SYSTEM))
		error |= 4;
	if (linear >= MEM_SIZE || linear + len > MEM_SIZE)
		return emul_page_fault(ctx, linear < MEM_SIZE ? MEM_SIZE : linear, error);
	if (error & 4 && linear + len > 0xf0000)
		return emul_page_fault(ctx, linear, error | 1);
	return EMUL_OK;
}

static int read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		    unsigned int access)
{
	int r = translate(ctx, linear, len, access);

	if (r)
		return r;
	if (in_mmio(linear) && m.asked++ >= m.answers)
		return EMUL_IO_NEEDED;
	memcpy(data, m.mem + linear, len);
	return EMUL_OK;
}

static int write_mem(struct emul_ctx *ctx, u64 linear, const void *data, unsigned int len,
		     unsigned int access)
{
	int r = translate(ctx, linear, len, access);

	if (r)
		return r;
	if (in_mmio(linear))
		ctx->stop = true;
	memcpy(m.mem + linear, data, len);
	return EMUL_OK;
}

static int cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old, const void *new,
		       unsigned int len)
{
	int r = translate(ctx, linear, len, EMUL_ACC_WRITE);

	m.ncmpxchg++;
	if (r)
		return r;
	if (m.lose_race || memcmp(m.mem + linear, old, len))
		return EMUL_RETRY;
	memcpy(m.mem + linear, new, len);
	return EMUL_OK;
}

static int pio(u16 port, unsigned int size, unsigned int count)
{
	m.port = port;
	m.pio_size = size;
	m.pio_count = count;
	m.npio++;
	return EMUL_OK;
}

static int pio_in(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		  void *data)
{
	unsigned int i;

	pio(port, size, count);
	if (m.asked++ >= m.answers)
		return EMUL_IO_NEEDED;
	for (i = 0; i < size * count; i++)
		((u8 *)data)[i] = 0x80 + i;
	return EMUL_OK;
}

static int pio_out(struct emul_ctx *ctx, u16 port, unsigned int size, unsigned int count,
		   const void *data)
{
	return pio(port, size, count);
}

static void get_seg(struct emul_ctx *ctx, unsigned int sreg, struct emul_seg *seg)
{
	*seg = m.seg[sreg];
}

static void set_seg(struct emul_ctx *ctx, unsigned int sreg, const struct emul_seg *seg)
{
	m.seg[sreg] = *seg;
}

static int get_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 *value)
{
	*value = class == EMUL_REG_CR ? m.cr[index] : class == EMUL_REG_DR ? m.dr[index] :
		 class == EMUL_REG_XCR ? 7 : m.msr;
	return EMUL_OK;
}

static int set_reg(struct emul_ctx *ctx, enum emul_reg_class class, u32 index, u64 value)
{
	m.set_reg[0] = class;
	m.set_reg[1] = index;
	m.set_reg[2] = value;
	return EMUL_OK;
}

static int read_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg, void *data,
		    unsigned int len)
{
	memcpy(data, m.ymm[reg], len);
	return EMUL_OK;
}

static int write_fpu(struct emul_ctx *ctx, enum emul_fpu_kind kind, unsigned int reg,
		     const void *data, unsigned int len)
{
	if (kind == EMUL_FPU_AVX)
		memset(m.ymm[reg], 0, 32);
	memcpy(m.ymm[reg], data, len);
	return EMUL_OK;
}

static int special(struct emul_ctx *ctx, enum emul_special what, u64 arg)
{
	m.special = what;
	m.nspecial++;
	m.special_arg = arg;
	return EMUL_OK;
}

static const struct emul_ops ops = {
	.read_mem = read_mem, .write_mem = write_mem, .cmpxchg_mem = cmpxchg_mem,
	.probe_mem = translate, .pio_in = pio_in, .pio_out = pio_out, .get_seg = get_seg,
	.set_seg = set_seg, .get_reg = get_reg, .set_reg = set_reg, .read_fpu = read_fpu,
	.write_fpu = write_fpu, .special = special,
};

/* A fresh machine in @mode at CPL 0: flat segments, or real mode's of 64 KiB. */
void reset(enum emul_mode mode)
{
	bool real = mode == EMUL_MODE_REAL || mode == EMUL_MODE_VM86;
	struct emul_seg d = { .limit = real ? 0xffff : 0xffffffff, .attr = real ? 0xf3 : 0xc093 };
	unsigned int i;

	memset(&m, 0, sizeof(m));
	if (mode == EMUL_MODE_PROT16)
		d = (struct emul_seg){ .limit = 0xffff, .attr = 0x93 };
	for (i = EMUL_ES; i <= EMUL_GS; i++)
		m.seg[i] = d;
	if (!real)
		m.seg[EMUL_CS].attr = mode == EMUL_MODE_LONG ? 0xa09b :
				      mode == EMUL_MODE_PROT32 ? 0xc09b : 0x9b;
	if (mode == EMUL_MODE_VM86)
		m.ctx.rflags = FLAG_VM;
	m.seg[EMUL_LDTR].attr = EMUL_SEG_UNUSABLE;
	m.seg[EMUL_TR] = (struct emul_seg){ .base = TSS, .limit = 0xff, .attr = 0x8b };
	m.seg[EMUL_GDTR] = (struct emul_seg){ .base = GDT, .limit = 0xff };
	m.ctx.ops = &ops;
	m.ctx.mode = mode;
	m.ctx.cpl = mode == EMUL_MODE_VM86 ? 3 : 0;
	m.ctx.cr0 = real && mode == EMUL_MODE_REAL ? 0x10 : 0x80000011;
	m.ctx.cr4 = EMUL_CR4_OSFXSR;
	m.ctx.efer = mode == EMUL_MODE_LONG ? 0xd00 : 0;
	m.ctx.features = EMUL_FEAT_ALL;
	m.ctx.rip = CODE;
	m.ctx.rflags |= 2;
	GPR(RSP) = 0x8000;
}

int decode_at(const u8 *bytes, unsigned int n)
{
	return emul_decode(&m.ctx.insn, bytes, n, m.ctx.mode, 0);
}

/* Decode and execute @n bytes as the vCPU would: registers are taken only on EMUL_OK. */
int run(unsigned int n, ...)
{
	struct emul_ctx before;
	u8 bytes[16] = { 0 };
	unsigned int i;
	va_list ap;
	int r;

	va_start(ap, n);
	for (i = 0; i < n; i++)
		bytes[i] = va_arg(ap, int);
	va_end(ap);
	r = decode_at(bytes, n);
	if (r)
		return r;
	before = m.ctx;
	m.asked = 0;
	r = emul_exec(&m.ctx);
	if (r) {
		memcpy(m.ctx.gpr, before.gpr, sizeof(before.gpr));
		m.ctx.rip = before.rip;
		m.ctx.rflags = before.rflags;
	}
	return r;
}

bool faulted(int r, u8 vector, u32 error_code)
{
	return r == EMUL_FAULT && m.ctx.fault.vector == vector &&
	       m.ctx.fault.error_code == error_code;
}

u16 mem16(u64 addr)
{
	return m.mem[addr] | m.mem[addr + 1] << 8;
}

u32 mem32(u64 addr)
{
	return mem16(addr) | (u32)mem16(addr + 2) << 16;
}

void put(u64 addr, u64 val, unsigned int bytes)
{
	memcpy(m.mem + addr, &val, bytes);
}

/* A GDT: 8 code, 10h data, 18h not present, 20h code conforming, 28h LDT, 30h TSS, 38h data 3. */
void make_gdt(void)
{
	static const u64 gdt[] = {
		0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cf12000000ffff,
		0x00cf9e000000ffff, 0x0000820070000027, 0x0000890060000067, 0x00cff2000000ffff,
	};

	memcpy(m.mem + GDT, gdt, sizeof(gdt));
}
