// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's callbacks on memory and ports.
 * Entered from emul_exec(), through the table in glue.c.
 * vcpu->mutex and vm->srcu held.
 * AMD APM volume 2, "Page Translation and Protection"; volume 1, "I/O Ports".
 */
#include "glue.h"

/* ---- memory ---- */

static u32 walk_access(const struct emul_ctx *ctx, unsigned int access)
{
	u32 acc = 0;

	if (access & (EMUL_ACC_WRITE | EMUL_ACC_RMW))
		acc |= MHV_ACC_WRITE;
	if (access & EMUL_ACC_FETCH)
		acc |= MHV_ACC_FETCH;
	if (access & EMUL_ACC_SYSTEM)
		acc |= MHV_ACC_IMPLICIT;
	else if (ctx->cpl == 3)
		acc |= MHV_ACC_USER;
	return acc;
}

static int translate(struct mhv_emul *e, u64 linear, unsigned int access, gpa_t *gpa)
{
	struct mhv_walk walk;
	int r;

	if (e->hint_valid && offset_in_page(linear) == offset_in_page(e->hint) &&
	    (e->hint_write || !(access & (EMUL_ACC_WRITE | EMUL_ACC_RMW)))) {
		*gpa = e->hint;
		return EMUL_OK;
	}
	r = mhv_walk(e->vcpu, linear, walk_access(&e->ctx, access), &walk);
	if (r == 0) {
		*gpa = walk.gpa;
		return EMUL_OK;
	}
	if (r == -EFAULT && walk.faulted)
		return emul_page_fault(&e->ctx, walk.fault_addr, walk.fault_error);
	return EMUL_UNHANDLEABLE;
}

/* The parts of an operand in its one or two pages, both translated first. */
struct span {
	gpa_t gpa[2];
	unsigned int len[2];
};

static int translate_span(struct mhv_emul *e, u64 linear, unsigned int len,
			  unsigned int access, struct span *span)
{
	unsigned int first = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(linear));
	int r;

	span->len[0] = first;
	span->len[1] = len - first;
	if (span->len[1])
		e->hint_valid = false;
	r = translate(e, linear, access, &span->gpa[0]);
	if (r || !span->len[1])
		return r;
	linear += first;
	if (e->ctx.mode != EMUL_MODE_LONG)
		linear = (u32)linear;
	return translate(e, linear, access, &span->gpa[1]);
}

/*
 * An access to memory failed.  If the slot has gone since it was looked up,
 * the instruction starts anew; else the process has nothing there.
 */
static int memory_failed(struct mhv_emul *e, gpa_t gpa, bool write)
{
	return mhv_gfn_to_hva(e->vcpu->vm, gpa >> PAGE_SHIFT, write) ?
		EMUL_UNHANDLEABLE : EMUL_RETRY;
}

static int read_part(struct mhv_emul *e, gpa_t gpa, u8 *data, unsigned int len)
{
	struct mhv_vm *vm = e->vcpu->vm;
	unsigned int n;
	int r;

	if (mhv_gfn_to_hva(vm, gpa >> PAGE_SHIFT, false))
		return mhv_gmem_read(vm, gpa, data, len) ?
			memory_failed(e, gpa, false) : EMUL_OK;
	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, MMIO_CHUNK);
		r = glue_device_read(e, gpa, data, n);
		if (r)
			return r;
	}
	return EMUL_OK;
}

static int write_part(struct mhv_emul *e, gpa_t gpa, const u8 *data, unsigned int len)
{
	struct mhv_vm *vm = e->vcpu->vm;
	unsigned int n;
	int r;

	if (mhv_gfn_to_hva(vm, gpa >> PAGE_SHIFT, true))
		return mhv_gmem_write(vm, gpa, data, len) ?
			memory_failed(e, gpa, true) : EMUL_OK;
	for (; len; len -= n, data += n, gpa += n) {
		n = min_t(unsigned int, len, MMIO_CHUNK);
		r = glue_device_write(e, gpa, data, n);
		if (r)
			return r;
	}
	return EMUL_OK;
}

int glue_read_mem(struct emul_ctx *ctx, u64 linear, void *data, unsigned int len,
		  unsigned int access)
{
	struct mhv_emul *e = ctx->priv;
	struct span span;
	int r = translate_span(e, linear, len, access, &span);

	if (!r)
		r = read_part(e, span.gpa[0], data, span.len[0]);
	if (!r && span.len[1])
		r = read_part(e, span.gpa[1], data + span.len[0], span.len[1]);
	return r;
}

int glue_write_mem(struct emul_ctx *ctx, u64 linear, const void *data,
		   unsigned int len, unsigned int access)
{
	struct mhv_emul *e = ctx->priv;
	struct span span;
	int r = translate_span(e, linear, len, access | EMUL_ACC_WRITE, &span);

	if (!r)
		r = write_part(e, span.gpa[0], data, span.len[0]);
	if (!r && span.len[1])
		r = write_part(e, span.gpa[1], data + span.len[0], span.len[1]);
	return r;
}

/* Atomic within a page of memory; over two pages and on devices, a write. */
int glue_cmpxchg_mem(struct emul_ctx *ctx, u64 linear, const void *old,
		     const void *new, unsigned int len)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vm *vm = e->vcpu->vm;
	struct span span;
	u8 expected[16];
	int r;

	r = translate_span(e, linear, len, EMUL_ACC_WRITE, &span);
	if (r)
		return r;
	if (span.len[1] ||
	    !mhv_gfn_to_hva(vm, span.gpa[0] >> PAGE_SHIFT, true))
		return glue_write_mem(ctx, linear, new, len, EMUL_ACC_WRITE);
	memcpy(expected, old, len);
	r = mhv_gmem_cmpxchg(vm, span.gpa[0], expected, new, len);
	if (r == -EAGAIN)
		return EMUL_RETRY;
	return r ? memory_failed(e, span.gpa[0], true) : EMUL_OK;
}

int glue_probe_mem(struct emul_ctx *ctx, u64 linear, unsigned int len,
		   unsigned int access)
{
	struct mhv_vm *vm = ((struct mhv_emul *)ctx->priv)->vcpu->vm;
	bool write = access & EMUL_ACC_WRITE;
	struct span span;
	int r = translate_span(ctx->priv, linear, len, access, &span);

	if (!r && !(mhv_gfn_to_hva(vm, span.gpa[0] >> PAGE_SHIFT, write) &&
		    (!span.len[1] || mhv_gfn_to_hva(vm, span.gpa[1] >> PAGE_SHIFT, write))))
		ctx->device = true;
	return r;
}

/* ---- port I/O ---- */

int glue_pio_in(struct emul_ctx *ctx, u16 port, unsigned int size,
		unsigned int count, void *data)
{
	struct mhv_emul *e = ctx->priv;
	struct mhv_vcpu *vcpu = e->vcpu;
	unsigned int i;

	if (e->pio_answered && e->pio.port == port && e->pio.size == size &&
	    e->pio.count == count) {
		memcpy(data, vcpu->pio_data, size * count);
		return EMUL_OK;
	}
	for (i = 0; i < count; i++) {
		if (!mhv_iobus_read(vcpu, MHV_BUS_PIO, port, size, data + i * size))
			continue;
		if (i) {	/* the device has gone meanwhile */
			memset(data + i * size, 0xff, (count - i) * size);
			break;
		}
		e->pio.port = port;
		e->pio.size = size;
		e->pio.count = count;
		return EMUL_IO_NEEDED;
	}
	/* Should the store fault, the device must not be read again. */
	memcpy(vcpu->pio_data, data, size * count);
	ctx->stop = true;
	return EMUL_OK;
}

int glue_pio_out(struct emul_ctx *ctx, u16 port, unsigned int size,
		 unsigned int count, const void *data)
{
	struct mhv_emul *e = ctx->priv;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (!mhv_iobus_write(e->vcpu, MHV_BUS_PIO, port, size, data + i * size))
			continue;
		if (i)
			break;
		memcpy(e->vcpu->pio_data, data, size * count);
		e->pio.port = port;
		e->pio.size = size;
		e->pio.count = count;
		e->pio_out = true;
		break;
	}
	ctx->stop = true;
	return EMUL_OK;
}
