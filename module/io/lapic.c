// SPDX-License-Identifier: GPL-2.0
/*
 * The local APIC of a vCPU: registers in xAPIC and x2APIC form, IRR and ISR.
 * Entered from exits.c and msr.c (accesses), run.c (what is next), ipi.c and
 * lapic_timer.c (what comes in), vcpu.c (state).
 * No lock: see lapic.h for what other threads may touch.
 * Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "lapic.h"
#include "trace.h"

#define LAPIC_PAGE		4096U
#define LAPIC_ESR_SEND_ILLEGAL	5	/* bits of ESR */
#define LAPIC_ESR_RECV_ILLEGAL	6

#define ICR_X2APIC_RESERVED	(GENMASK_ULL(31, 20) | GENMASK_ULL(17, 16) | BIT_ULL(13))

#define LVT_COMMON	(APIC_LVT_MASKED | APIC_SEND_PENDING | APIC_VECTOR_MASK)
#define LVT_LINT	(LVT_COMMON | APIC_MODE_MASK | APIC_INPUT_POLARITY | \
			 APIC_LVT_REMOTE_IRR | APIC_LVT_LEVEL_TRIGGER)

/* ---- IRR, ISR, PPR ---- */

/**
 * lapic_top - the highest vector in a bitmap, or -1
 * @vectors: IRR, ISR or TMR
 *
 * Context: any.
 */
int lapic_top(const unsigned long *vectors)
{
	unsigned long word;
	int i;

	for (i = BITS_TO_LONGS(LAPIC_VECTORS) - 1; i >= 0; i--) {
		word = READ_ONCE(vectors[i]);
		if (word)
			return i * BITS_PER_LONG + __fls(word);
	}
	return -1;
}

/**
 * lapic_bitmap_reg - a word of a bitmap of vectors, as its registers show it
 * @vectors: the bitmap
 * @offset: of the register; bits 6:4 count
 *
 * Context: any.
 */
u32 lapic_bitmap_reg(const unsigned long *vectors, unsigned int offset)
{
	return ((const u32 *)vectors)[(offset >> 4) & 7];
}

/**
 * lapic_update_ppr - work the processor priority out anew, from TPR and ISR
 * @lapic: the LAPIC
 *
 * Context: the vCPU's thread.
 */
void lapic_update_ppr(struct mhv_lapic *lapic)
{
	u32 tpr = lapic_get(lapic, APIC_TASKPRI);
	u32 isr = lapic->isr_top < 0 ? 0 : lapic->isr_top;

	lapic_set(lapic, APIC_PROCPRI, (tpr & 0xf0) >= (isr & 0xf0) ? tpr : isr & 0xf0);
}

/**
 * mhv_lapic_pending - the highest vector that may be delivered now
 * @vcpu: the vCPU; without a LAPIC in the kernel there is none
 *
 * Context: the vCPU's thread.  Returns it, or -1.
 */
int mhv_lapic_pending(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	int vector;

	if (!lapic || !READ_ONCE(lapic->irr_pending) || !lapic->hw_enabled)
		return -1;
	vector = lapic_top(lapic->irr);
	if (vector < 0 || (vector & 0xf0) <= lapic_get(lapic, APIC_PROCPRI))
		return -1;
	return vector;
}

/**
 * mhv_lapic_tpr_threshold - is the task priority holding something back?
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread.  Returns the CR8 below which the highest vector
 * requested comes through, or 0 if CR8 does not matter.
 */
u8 mhv_lapic_tpr_threshold(struct mhv_vcpu *vcpu)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	int class;

	/* A guest that has a VAPIC page sees there what waits. */
	if (!READ_ONCE(lapic->irr_pending) || vcpu->vapic.page)
		return 0;
	class = lapic_top(lapic->irr) >> 4;
	return class > 0 && mhv_lapic_get_tpr(vcpu) >= class ? class : 0;
}

/**
 * mhv_lapic_ack - a vector goes from IRR to ISR: it is being injected
 * @vcpu: the vCPU
 * @vector: what mhv_lapic_pending() returned
 *
 * Holds the timer's vector back until its deadline, some microseconds at most.
 * Context: the vCPU's thread.
 */
void mhv_lapic_ack(struct mhv_vcpu *vcpu, u8 vector)
{
	struct mhv_lapic *lapic = vcpu->lapic;

	/* Pairs with set_irr(): whoever sets a bit after the look sets the hint. */
	WRITE_ONCE(lapic->irr_pending, false);
	clear_bit(vector, lapic->irr);
	if (lapic_top(lapic->irr) >= 0)
		WRITE_ONCE(lapic->irr_pending, true);
	if (READ_ONCE(lapic->timer.early) &&
	    vector == (lapic_get(lapic, APIC_LVTT) & APIC_VECTOR_MASK))
		lapic_timer_wait(lapic);
	__set_bit(vector, lapic->isr);
	lapic->isr_top = vector;
	lapic_update_ppr(lapic);
}

/* @self: on the vCPU's own thread, so it will look without being kicked. */
static void set_irr(struct mhv_lapic *lapic, u8 vector, bool self)
{
	/* Already there: whoever set it kicks. */
	if (test_and_set_bit(vector, lapic->irr))
		return;
	WRITE_ONCE(lapic->irr_pending, true);
	mhv_request(lapic->vcpu, MHV_REQ_EVENT);
	if (!self)
		mhv_kick(lapic->vcpu);
}

/* ---- what comes in ---- */

/* An error is shown by the next write to ESR, and interrupts at once. */
static void lapic_error(struct mhv_lapic *lapic, unsigned int bit)
{
	u32 lvt = lapic_get(lapic, APIC_LVTERR);

	set_bit(bit, &lapic->errors);
	if ((lvt & APIC_VECTOR_MASK) >= LAPIC_FIRST_VECTOR)
		mhv_lapic_local_deliver(lapic->vcpu, APIC_LVTERR);
}

static bool accept_fixed(struct mhv_lapic *lapic, u8 vector, bool level, bool self)
{
	if (unlikely(!lapic->hw_enabled || !lapic->sw_enabled))
		return false;
	if (unlikely(vector < LAPIC_FIRST_VECTOR)) {
		lapic_error(lapic, LAPIC_ESR_RECV_ILLEGAL);
		return false;
	}
	if (test_bit(vector, lapic->tmr) != level)
		assign_bit(vector, lapic->tmr, level);
	set_irr(lapic, vector, self);
	return true;
}

static bool accept_nmi(struct mhv_vcpu *vcpu)
{
	/* Two are as good as more: one is handled, one waits. */
	if (atomic_read(&vcpu->nmi_queued) < 2)
		atomic_inc(&vcpu->nmi_queued);
	mhv_request(vcpu, MHV_REQ_NMI);
	mhv_kick(vcpu);
	return true;
}

static bool accept_event(struct mhv_lapic *lapic)
{
	/* Not a matter of what to inject: the run loop is left, and looks. */
	mhv_request(lapic->vcpu, MHV_REQ_UNBLOCK);
	mhv_kick(lapic->vcpu);
	return true;
}

/**
 * lapic_accept - a message has reached this LAPIC
 * @lapic: the LAPIC
 * @msg: the message
 * @self: this is its vCPU's own thread
 *
 * Context: any.  Returns true if it was taken, false if it was blocked.
 */
bool lapic_accept(struct mhv_lapic *lapic, const struct mhv_apic_msg *msg, bool self)
{
	switch (msg->delivery) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		if (msg->level && !msg->assert)
			return false;
		return accept_fixed(lapic, msg->vector, msg->level, self);
	case APIC_DM_NMI:
		return accept_nmi(lapic->vcpu);
	case APIC_DM_INIT:
		if (msg->level && !msg->assert)	/* "de-assert": no longer used */
			return false;
		/* An INIT makes a SIPI before it void. */
		WRITE_ONCE(lapic->events, BIT(LAPIC_EV_INIT));
		return accept_event(lapic);
	case APIC_DM_STARTUP:
		WRITE_ONCE(lapic->sipi_vector, msg->vector);
		smp_wmb();	/* pairs with the rmb in take_sipi() */
		set_bit(LAPIC_EV_SIPI, &lapic->events);
		return accept_event(lapic);
	}
	/* SMI: there is no SMM.  ExtINT: the PIC's INTR pin is looked at directly. */
	return false;
}

/**
 * mhv_lapic_local_deliver - an interrupt source of the LAPIC itself
 * @vcpu: the vCPU
 * @lvt: APIC_LVT*, the offset of its entry in the local vector table
 *
 * Context: any.
 */
void mhv_lapic_local_deliver(struct mhv_vcpu *vcpu, int lvt)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 entry = lapic_get(lapic, lvt);
	struct mhv_apic_msg msg = {
		.vector = entry,
		.delivery = entry & APIC_MODE_MASK,
		.level = entry & APIC_LVT_LEVEL_TRIGGER,
		.assert = true,
	};

	if (lapic->hw_enabled && !(entry & APIC_LVT_MASKED))
		lapic_accept(lapic, &msg, false);
}

/* ---- registers ---- */

/**
 * lapic_set_tpr - the task priority is written, in one way or another
 * @lapic: the LAPIC
 * @tpr: bits 7 to 0 count
 *
 * Context: the vCPU's thread.
 */
void lapic_set_tpr(struct mhv_lapic *lapic, u32 tpr)
{
	if (lapic_get(lapic, APIC_TASKPRI) == (tpr & 0xff))
		return;
	lapic_set(lapic, APIC_TASKPRI, tpr & 0xff);
	lapic_update_ppr(lapic);
	/* CR8 is to show it, and something may come through now. */
	mhv_request(lapic->vcpu, MHV_REQ_EVENT);
}

static void broadcast_eoi(struct mhv_lapic *lapic, u8 vector)
{
	struct mhv_vcpu *vcpu = lapic->vcpu;

	if (vcpu->vm->irqchip.mode == MHV_IRQCHIP_SPLIT) {
		if (test_bit(vector, lapic->eoi_exits)) {
			vcpu->eoi_vector = vector;
			mhv_request(vcpu, MHV_REQ_IOAPIC_EOI);
		}
	} else if (test_bit(vector, vcpu->vm->irqchip.eoi_vectors)) {
		mhv_ioapic_eoi(vcpu, vector, test_bit(vector, lapic->tmr),
			       lapic_get(lapic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI);
	}
}

/**
 * lapic_eoi - the end of the interrupt that is in service
 * @lapic: the LAPIC
 *
 * Context: the vCPU's thread.
 */
void lapic_eoi(struct mhv_lapic *lapic)
{
	int vector = lapic->isr_top;

	if (vector < 0)
		return;
	__clear_bit(vector, lapic->isr);
	lapic->isr_top = lapic_top(lapic->isr);
	lapic_update_ppr(lapic);
	broadcast_eoi(lapic, vector);
	if (READ_ONCE(lapic->irr_pending) || lapic->vcpu->vapic.page)
		mhv_request(lapic->vcpu, MHV_REQ_EVENT);
}

static int write_eoi(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	lapic_eoi(lapic);
	return 0;
}

static void send_ipi(struct mhv_lapic *lapic, u32 icr, u32 dest)
{
	struct mhv_apic_msg msg = {
		.dest = dest,
		.vector = icr,
		.shorthand = (icr & ICR_SHORTHAND) >> 18,
		.delivery = icr & APIC_MODE_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
		.level = icr & APIC_INT_LEVELTRIG,
		.assert = icr & APIC_INT_ASSERT,
	};

	if (msg.vector < LAPIC_FIRST_VECTOR &&
	    (msg.delivery == APIC_DM_FIXED || msg.delivery == APIC_DM_LOWEST)) {
		lapic_error(lapic, LAPIC_ESR_SEND_ILLEGAL);
		return;
	}
	/* A vCPU created meanwhile, as by hotplug, is not in the map yet. */
	lapic_map_update(lapic->vcpu->vm);
	mhv_lapic_deliver(lapic->vcpu->vm, lapic->vcpu, &msg);
}

static int write_icr(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	val &= ~APIC_ICR_BUSY;	/* sent at once */
	send_ipi(lapic, val, GET_XAPIC_DEST_FIELD(lapic_get(lapic, APIC_ICR2)));
	lapic_set(lapic, APIC_ICR, val);
	return 0;
}

/* A fixed, edge-triggered IPI to itself is usual enough to be quick. */
static void send_self(struct mhv_lapic *lapic, u8 vector)
{
	if (vector >= LAPIC_FIRST_VECTOR)
		accept_fixed(lapic, vector, false, true);
	else
		lapic_error(lapic, LAPIC_ESR_SEND_ILLEGAL);
}

/* In x2APIC mode ICR is one register of 64 bits. */
static int write_icr_x2apic(struct mhv_lapic *lapic, u64 val)
{
	if (val & ICR_X2APIC_RESERVED)
		return 1;
	val &= ~(u64)APIC_ICR_BUSY;
	lapic_set(lapic, APIC_ICR, val);
	lapic_set(lapic, APIC_ICR2, val >> 32);
	if ((val & (ICR_SHORTHAND | APIC_MODE_MASK | APIC_INT_LEVELTRIG)) == APIC_DEST_SELF)
		send_self(lapic, val);
	else
		send_ipi(lapic, val, val >> 32);
	return 0;
}

static int write_self_ipi(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	if (val & ~APIC_VECTOR_MASK)
		return 1;
	send_self(lapic, val);
	return 0;
}

static int write_icr2(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	lapic_set(lapic, APIC_ICR2, val & 0xff000000);
	return 0;
}

static int write_tpr(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	lapic_tpr_accessed(lapic, true);
	lapic_set_tpr(lapic, val);
	return 0;
}

/* ID, LDR and DFR: who is addressed changes. */
static int write_address(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	val = offset == APIC_DFR ? val | 0x0fffffff : val & 0xff000000;
	if (val == lapic_get(lapic, offset))
		return 0;
	lapic_set(lapic, offset, val);
	lapic_map_stale(lapic->vcpu->vm);
	return 0;
}

/**
 * lapic_set_spiv - the spurious-interrupt vector register is set: on or off
 * @lapic: the LAPIC
 * @val: its value
 *
 * Context: the vCPU's thread.
 */
void lapic_set_spiv(struct mhv_lapic *lapic, u32 val)
{
	lapic_set(lapic, APIC_SPIV, val);
	WRITE_ONCE(lapic->sw_enabled, val & APIC_SPIV_APIC_ENABLED);
}

static int write_spiv(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	u32 mask = 0x3ff;
	unsigned int lvt;

	if (lapic_get(lapic, APIC_LVR) & APIC_LVR_DIRECTED_EOI)
		mask |= APIC_SPIV_DIRECTED_EOI;
	lapic_set_spiv(lapic, val & mask);
	if (lapic->sw_enabled)
		return 0;
	for (lvt = APIC_LVTT; lvt <= APIC_LVTERR; lvt += 0x10)
		lapic_set(lapic, lvt, lapic_get(lapic, lvt) | APIC_LVT_MASKED);
	return 0;
}

static int write_esr(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	if (lapic->x2apic && val)
		return 1;
	lapic_set(lapic, APIC_ESR, xchg(&lapic->errors, 0));
	return 0;
}

/**
 * lapic_count_lint0_nmi - count the LAPICs whose LINT0 is an NMI, so that the PIT need not look
 * @lapic: one whose LINT0 was set
 *
 * Context: the vCPU's thread.
 */
void lapic_count_lint0_nmi(struct mhv_lapic *lapic)
{
	u32 lvt = lapic_get(lapic, APIC_LVT0);
	bool nmi = (lvt & (APIC_MODE_MASK | APIC_LVT_MASKED)) == APIC_DM_NMI;

	if (nmi == lapic->lint0_nmi)
		return;
	lapic->lint0_nmi = nmi;
	atomic_add(nmi ? 1 : -1, &lapic->vcpu->vm->irqchip.lint0_nmi);
}

static const u32 lvt_bits[LAPIC_NR_LVT] = {
	LVT_COMMON,			/* timer; and its modes */
	LVT_COMMON | APIC_MODE_MASK,	/* thermal sensor */
	LVT_COMMON | APIC_MODE_MASK,	/* performance counters */
	LVT_LINT,
	LVT_LINT,
	LVT_COMMON,			/* error */
};

static int write_lvt(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	u32 bits = lvt_bits[(offset - APIC_LVTT) >> 4];

	if (offset == APIC_LVTT)
		bits |= lapic->timer.mode_mask;
	if (!lapic->sw_enabled)
		val |= APIC_LVT_MASKED;
	lapic_set(lapic, offset, val & bits);
	if (offset == APIC_LVTT)
		lapic_timer_set_mode(lapic);
	if (offset == APIC_LVT0) {
		lapic_count_lint0_nmi(lapic);
		/* The PIC may have waited for it to be opened. */
		mhv_request(lapic->vcpu, MHV_REQ_EVENT);
	}
	return 0;
}

static int write_tmict(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	lapic_timer_load(lapic, val);
	return 0;
}

static int write_tdcr(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	lapic_set(lapic, APIC_TDCR, val & 0xb);
	lapic_timer_set_divide(lapic);
	return 0;
}

static u32 read_zero(struct mhv_lapic *lapic, unsigned int offset)
{
	return 0;
}

static u32 read_tpr(struct mhv_lapic *lapic, unsigned int offset)
{
	lapic_tpr_accessed(lapic, false);
	return lapic_get(lapic, offset);
}

static u32 read_tmcct(struct mhv_lapic *lapic, unsigned int offset)
{
	return lapic_timer_current(lapic);
}

static u32 read_isr(struct mhv_lapic *lapic, unsigned int offset)
{
	return lapic_bitmap_reg(lapic->isr, offset);
}

static u32 read_tmr(struct mhv_lapic *lapic, unsigned int offset)
{
	return lapic_bitmap_reg(lapic->tmr, offset);
}

static u32 read_irr(struct mhv_lapic *lapic, unsigned int offset)
{
	return lapic_bitmap_reg(lapic->irr, offset);
}

#define XR	BIT(0)		/* may be read in xAPIC mode */
#define XW	BIT(1)
#define X2R	BIT(2)		/* may be read in x2APIC mode; else #GP */
#define X2W	BIT(3)
#define RO	(XR | X2R)
#define RW	(XR | XW | X2R | X2W)

/**
 * struct lapic_reg - a row of the register table
 * @access: how it may be accessed
 * @read: NULL: what was stored is read
 * @write: returns 0, or 1: #GP in x2APIC mode
 */
struct lapic_reg {
	u8 access;
	u32 (*read)(struct mhv_lapic *lapic, unsigned int offset);
	int (*write)(struct mhv_lapic *lapic, unsigned int offset, u32 val);
};

static const struct lapic_reg lapic_regs[64] = {
	[APIC_ID >> 4]		= { RO | XW, NULL, write_address },
	[APIC_LVR >> 4]		= { RO },
	[APIC_TASKPRI >> 4]	= { RW, read_tpr, write_tpr },
	[APIC_ARBPRI >> 4]	= { XR, read_zero },
	[APIC_PROCPRI >> 4]	= { RO },
	[APIC_EOI >> 4]		= { XW | X2W, NULL, write_eoi },
	[APIC_LDR >> 4]		= { RO | XW, NULL, write_address },
	[APIC_DFR >> 4]		= { XR | XW, NULL, write_address },
	[APIC_SPIV >> 4]	= { RW, NULL, write_spiv },
	[APIC_ISR >> 4 ... (APIC_ISR >> 4) + 7] = { RO, read_isr },
	[APIC_TMR >> 4 ... (APIC_TMR >> 4) + 7] = { RO, read_tmr },
	[APIC_IRR >> 4 ... (APIC_IRR >> 4) + 7] = { RO, read_irr },
	[APIC_ESR >> 4]		= { RW, NULL, write_esr },
	[APIC_ICR >> 4]		= { XR | XW, NULL, write_icr },
	[APIC_ICR2 >> 4]	= { XR | XW, NULL, write_icr2 },
	[APIC_LVTT >> 4 ... (APIC_LVTT >> 4) + 5] = { RW, NULL, write_lvt },
	[APIC_TMICT >> 4]	= { RW, NULL, write_tmict },
	[APIC_TMCCT >> 4]	= { RO, read_tmcct },
	[APIC_TDCR >> 4]	= { RW, NULL, write_tdcr },
	[APIC_SELF_IPI >> 4]	= { X2W, NULL, write_self_ipi },
};

/* @offset is below 0x400 and a multiple of 16; 0, or 1: no such register */
static int reg_read(struct mhv_lapic *lapic, unsigned int offset, u32 *val)
{
	const struct lapic_reg *reg = &lapic_regs[offset >> 4];

	if (!(reg->access & (lapic->x2apic ? X2R : XR)))
		return 1;
	*val = reg->read ? reg->read(lapic, offset) : lapic_get(lapic, offset);
	trace_mhv_apic(lapic->vcpu->id, 0, offset, *val);
	return 0;
}

static int reg_write(struct mhv_lapic *lapic, unsigned int offset, u32 val)
{
	const struct lapic_reg *reg = &lapic_regs[offset >> 4];
	int ret;

	if (!(reg->access & (lapic->x2apic ? X2W : XW)))
		return 1;
	trace_mhv_apic(lapic->vcpu->id, 1, offset, val);
	if (offset == APIC_EOI)
		return write_eoi(lapic, offset, val);
	ret = reg->write(lapic, offset, val);
	lapic_map_update(lapic->vcpu->vm);
	return ret;
}

/* Where is the page, and does it answer?  -EOPNOTSUPP: it is not there. */
static int mmio_find(struct mhv_vcpu *vcpu, gpa_t gpa, unsigned int *offset)
{
	struct mhv_lapic *lapic = vcpu->lapic;

	if (gpa - lapic->base >= LAPIC_PAGE)
		return -EOPNOTSUPP;
	*offset = gpa - lapic->base;
	if (lapic->hw_enabled && !lapic->x2apic)
		return 1;
	/* Disabled, or MSRs only: the page is a hole unless userspace wants it. */
	return vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE ? -EOPNOTSUPP : 0;
}

/**
 * mhv_lapic_mmio_read - a read, perhaps at the LAPIC's page
 * @vcpu: the vCPU
 * @gpa: where
 * @len: 1 to 8
 * @data: filled
 *
 * Context: the vCPU's thread.  Returns 0, or -EOPNOTSUPP if it is not there.
 */
int mhv_lapic_mmio_read(struct mhv_vcpu *vcpu, gpa_t gpa, int len, void *data)
{
	unsigned int offset;
	int ret = mmio_find(vcpu, gpa, &offset);
	u32 val = 0;

	if (ret < 0)
		return ret;
	memset(data, ret ? 0 : 0xff, len);
	if (!ret || offset >= 0x400 || (offset & 0xf) + len > sizeof(val))
		return 0;
	if (!reg_read(vcpu->lapic, offset & ~0xf, &val))
		memcpy(data, (u8 *)&val + (offset & 0xf), len);
	return 0;
}

/**
 * mhv_lapic_mmio_write - a write, perhaps at the LAPIC's page
 * @vcpu: the vCPU
 * @gpa: where
 * @len: 1 to 8; registers take 4 bytes at a multiple of 16 only
 * @data: what
 *
 * Context: the vCPU's thread, may sleep.  Returns 0, or -EOPNOTSUPP if it is
 * not there.
 */
int mhv_lapic_mmio_write(struct mhv_vcpu *vcpu, gpa_t gpa, int len, const void *data)
{
	unsigned int offset;
	int ret = mmio_find(vcpu, gpa, &offset);
	u32 val;

	if (ret <= 0)
		return ret;
	if (len == sizeof(val) && !(offset & 0xf) && offset < 0x400) {
		memcpy(&val, data, sizeof(val));
		reg_write(vcpu->lapic, offset, val);
	}
	return 0;
}

/**
 * mhv_lapic_msr_read - RDMSR of an x2APIC register
 * @vcpu: the vCPU
 * @index: 0x800 to 0x8ff
 * @val: filled
 *
 * Context: the vCPU's thread.  Returns 0, or 1: #GP.
 */
int mhv_lapic_msr_read(struct mhv_vcpu *vcpu, u32 index, u64 *val)
{
	unsigned int offset = (index - APIC_BASE_MSR) << 4;
	struct mhv_lapic *lapic = vcpu->lapic;
	u32 low;

	if (!lapic->x2apic || offset >= 0x400)
		return 1;
	if (offset == APIC_ICR) {
		*val = (u64)lapic_get(lapic, APIC_ICR2) << 32 | lapic_get(lapic, APIC_ICR);
		return 0;
	}
	if (reg_read(lapic, offset, &low))
		return 1;
	*val = low;
	return 0;
}

/**
 * mhv_lapic_msr_write - WRMSR of an x2APIC register
 * @vcpu: the vCPU
 * @index: 0x800 to 0x8ff
 * @val: the value
 *
 * Context: the vCPU's thread, may sleep.  Returns 0, or 1: #GP.
 */
int mhv_lapic_msr_write(struct mhv_vcpu *vcpu, u32 index, u64 val)
{
	unsigned int offset = (index - APIC_BASE_MSR) << 4;
	struct mhv_lapic *lapic = vcpu->lapic;

	if (!lapic->x2apic || offset >= 0x400)
		return 1;
	if (offset == APIC_ICR) {
		trace_mhv_apic(vcpu->id, 1, offset, val);
		return write_icr_x2apic(lapic, val);
	}
	if (val >> 32)
		return 1;
	return reg_write(lapic, offset, val);
}

/* ---- CR8, APIC base, LINT0 ---- */

/**
 * mhv_lapic_get_tpr - the task priority, as CR8 has it
 * @vcpu: the vCPU
 *
 * Returns 0 to 15.
 */
u8 mhv_lapic_get_tpr(struct mhv_vcpu *vcpu)
{
	return lapic_get(vcpu->lapic, APIC_TASKPRI) >> 4;
}

/**
 * mhv_lapic_set_tpr - CR8 was written
 * @vcpu: the vCPU
 * @cr8: 0 to 15
 *
 * Context: the vCPU's thread.
 */
void mhv_lapic_set_tpr(struct mhv_vcpu *vcpu, u8 cr8)
{
	if (mhv_lapic_get_tpr(vcpu) != cr8)
		lapic_set_tpr(vcpu->lapic, cr8 << 4);
}

/**
 * mhv_lapic_accepts_extint - does the PIC's INTR reach this vCPU?
 * @vcpu: the vCPU
 *
 * Through LINT0 in ExtINT mode, or past a LAPIC that is disabled.
 * Context: any.
 */
bool mhv_lapic_accepts_extint(struct mhv_vcpu *vcpu)
{
	u32 lvt = lapic_get(vcpu->lapic, APIC_LVT0);

	return !vcpu->lapic->hw_enabled ||
	       (lvt & (APIC_LVT_MASKED | APIC_MODE_MASK)) == APIC_DM_EXTINT;
}

/**
 * mhv_lapic_set_base - IA32_APIC_BASE changed
 * @vcpu: the vCPU
 * @base: validated
 * @old: what it was
 *
 * Context: the vCPU's thread.
 */
void mhv_lapic_set_base(struct mhv_vcpu *vcpu, u64 base, u64 old)
{
	struct mhv_lapic *lapic = vcpu->lapic;
	u64 changed = base ^ old;

	WRITE_ONCE(lapic->hw_enabled, base & MSR_IA32_APICBASE_ENABLE);
	WRITE_ONCE(lapic->x2apic, base & X2APIC_ENABLE);
	lapic->base = base & MSR_IA32_APICBASE_BASE;
	if (changed & base & MSR_IA32_APICBASE_ENABLE)
		lapic_set(lapic, APIC_ID, vcpu->id << 24);
	if (changed & base & X2APIC_ENABLE) {
		lapic_set(lapic, APIC_ID, vcpu->id);
		lapic_set(lapic, APIC_LDR, lapic_x2apic_ldr(vcpu->id));
	}
	/* Only userspace can go back in one step. */
	if (changed & X2APIC_ENABLE && !(base & X2APIC_ENABLE) && lapic->hw_enabled)
		lapic_set(lapic, APIC_ID, vcpu->id << 24);
	if (changed & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE)) {
		lapic_map_stale(vcpu->vm);
		/* The PIC's INTR goes past a LAPIC that is off. */
		mhv_request(vcpu, MHV_REQ_EVENT);
	}
}

/* ---- INIT and SIPI ---- */

/**
 * mhv_lapic_has_events - is an INIT or a SIPI pending?
 * @vcpu: the vCPU
 *
 * Context: any.
 */
bool mhv_lapic_has_events(struct mhv_vcpu *vcpu)
{
	return READ_ONCE(vcpu->lapic->events);
}

/* The guest's code begins at the page that the SIPI names. */
static void take_sipi(struct mhv_vcpu *vcpu)
{
	u8 page;

	smp_rmb();	/* pairs with the wmb in lapic_accept() */
	page = READ_ONCE(vcpu->lapic->sipi_vector);
	mhv_state_change(vcpu, MHV_G_SEG | MHV_G_RIP_FLAGS);
	vcpu->state.seg[MHV_CS].selector = page << 8;
	vcpu->state.seg[MHV_CS].base = page << 12;
	vcpu->state.rip = 0;
	vcpu->complete = NULL;		/* what was to be completed was elsewhere */
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

/**
 * mhv_lapic_accept_events - serve a pending INIT and SIPI
 * @vcpu: the vCPU, loaded
 *
 * A SIPI counts only for one that waits for it, after an INIT.
 * Context: the vCPU's thread, may sleep.
 */
void mhv_lapic_accept_events(struct mhv_vcpu *vcpu)
{
	unsigned long *events = &vcpu->lapic->events;

	if (!READ_ONCE(*events))
		return;
	if (test_and_clear_bit(LAPIC_EV_INIT, events)) {
		mhv_vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu->apic_base & MSR_IA32_APICBASE_BSP ?
				 KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(LAPIC_EV_SIPI, events) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		take_sipi(vcpu);
}

/**
 * mhv_lapic_queue_sipi - userspace restores one that was pending
 * @vcpu: the vCPU
 */
void mhv_lapic_queue_sipi(struct mhv_vcpu *vcpu)
{
	set_bit(LAPIC_EV_SIPI, &vcpu->lapic->events);
	mhv_request(vcpu, MHV_REQ_UNBLOCK);
}

/**
 * mhv_lapic_set_sipi_vector - and its vector
 * @vcpu: the vCPU
 * @vector: the page
 */
void mhv_lapic_set_sipi_vector(struct mhv_vcpu *vcpu, u8 vector)
{
	WRITE_ONCE(vcpu->lapic->sipi_vector, vector);
}

/**
 * mhv_lapic_scan_eoi - split irqchip: gather anew whose EOI userspace wants
 * @vcpu: the vCPU
 *
 * Context: the vCPU's thread.
 */
void mhv_lapic_scan_eoi(struct mhv_vcpu *vcpu)
{
	if (!vcpu->lapic->hw_enabled || vcpu->vm->irqchip.mode != MHV_IRQCHIP_SPLIT)
		return;
	bitmap_zero(vcpu->lapic->eoi_exits, LAPIC_VECTORS);
	mhv_routing_scan_eoi(vcpu, vcpu->lapic->eoi_exits);
}
