// SPDX-License-Identifier: GPL-2.0
/*
 * Events: which comes first, what has to wait for a window, and what two exceptions make.
 * Entered from KUnit.
 * No locks.
 * AMD APM volume 2, "#DF" and "Event Injection"; Intel SDM volume 3, "Priority Among Concurrent
 * Events".
 */
#include "../run.c"

#include "kunit.h"

#define NOTHING		0xffff
#define EVENT(t, v)	(MHV_EV_##t << 8 | (v))
#define INTR		MHV_WINDOW_INTR
#define NMI		MHV_WINDOW_NMI

/* What the backend was told. */
static struct {
	unsigned int injected, injections, window, flushes, roots;
} told;

static void note_inject(struct mhv_vcpu *vcpu, const struct mhv_event *ev)
{
	told.injected = ev->type << 8 | ev->vector;
	told.injections++;
	if (ev->type == MHV_EV_NMI)
		vcpu->state.nmi_masked = true;
}

static void note_window(struct mhv_vcpu *vcpu, unsigned int which)
{
	told.window = which;
}

static void note_flush(struct mhv_vcpu *vcpu)
{
	told.flushes++;
}

static void note_root(struct mhv_vcpu *vcpu, hpa_t root)
{
	told.roots++;
}

static const struct mhv_backend *saved;
static struct mhv_backend backend;

static int run_init(struct kunit *test)
{
	saved = mhv_backend;
	backend = mhv_kunit_backend;
	backend.inject = note_inject;
	backend.open_window = note_window;
	backend.flush_tlb = note_flush;
	backend.set_root = note_root;
	mhv_backend = &backend;
	return 0;
}

static void run_exit(struct kunit *test)
{
	mhv_backend = saved;
}

/* Without a LAPIC: its interrupts are userspace's, vcpu->extint. */
static struct mhv_vcpu *new_vcpu(struct kunit *test)
{
	struct mhv_vcpu *vcpu = mhv_kunit_vcpu(test, mhv_kunit_vm(test), 0);

	vcpu->run = kunit_kzalloc(test, sizeof(*vcpu->run), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vcpu->run);
	vcpu->cpu = raw_smp_processor_id();
	vcpu->state.cr0 = X86_CR0_PE;
	vcpu->state.rflags = X86_EFLAGS_IF;
	return vcpu;
}

/* One entry; what is injected, or NOTHING. */
static unsigned int enter_once(struct mhv_vcpu *vcpu)
{
	told.injected = NOTHING;
	told.injections = 0;
	vcpu->requests = 0;
	choose_event(vcpu);
	return told.injections > 1 ? ~0U : told.injected;
}

/* All kinds at once: one for each entry, in order. */
static void test_order(struct kunit *test)
{
	struct mhv_vcpu *vcpu = new_vcpu(test);

	vcpu->reinject = (struct mhv_event){ .type = MHV_EV_INTR, .vector = 0x99 };
	vcpu->exception = (struct mhv_event){ .type = MHV_EV_EXCEPTION, .vector = X86_TRAP_GP };
	atomic_set(&vcpu->nmi_queued, 1);
	vcpu->extint = 0x30;
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(INTR, 0x99U));
	KUNIT_EXPECT_EQ(test, told.window, INTR);
	KUNIT_EXPECT_TRUE(test, test_bit(MHV_REQ_EVENT, &vcpu->requests));	/* the NMI's */
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(EXCEPTION, X86_TRAP_GP));
	KUNIT_EXPECT_TRUE(test, test_bit(MHV_REQ_EVENT, &vcpu->requests));
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(NMI, X86_TRAP_NMI));
	KUNIT_EXPECT_EQ(test, told.window, INTR);
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(INTR, 0x30U));
	KUNIT_EXPECT_EQ(test, told.window, 0U);
	KUNIT_EXPECT_EQ(test, vcpu->extint, -1);
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), (unsigned int)NOTHING);
}

static void test_windows(struct kunit *test)
{
	static const struct {
		u32 debug;
		u8 nmis, shadow, masked, wants;
		bool intr, cli, exception;
		unsigned int event, window, nmis_left;
	} rows[] = {
		{ .intr = true, .event = EVENT(INTR, 0x30) },
		{ .intr = true, .cli = true, .event = NOTHING, .window = INTR },
		{ .intr = true, .shadow = MHV_SHADOW_STI, .event = NOTHING, .window = INTR },
		{ .intr = true, .exception = true, .event = EVENT(EXCEPTION, X86_TRAP_UD),
		  .window = INTR },
		{ .intr = true, .debug = KVM_GUESTDBG_BLOCKIRQ, .event = NOTHING },
		{ .wants = 1, .event = NOTHING, .window = INTR },
		{ .nmis = 1, .event = EVENT(NMI, X86_TRAP_NMI) },
		{ .nmis = 1, .cli = true, .event = EVENT(NMI, X86_TRAP_NMI) },
		{ .nmis = 1, .shadow = MHV_SHADOW_MOV_SS, .event = NOTHING, .window = NMI,
		  .nmis_left = 1 },
		{ .nmis = 1, .masked = 1, .event = NOTHING, .window = NMI, .nmis_left = 1 },
		{ .nmis = 1, .debug = KVM_GUESTDBG_BLOCKIRQ, .event = NOTHING, .nmis_left = 1 },
		/* One is held while another is handled; more are lost. */
		{ .nmis = 3, .event = EVENT(NMI, X86_TRAP_NMI), .window = NMI, .nmis_left = 1 },
		{ .nmis = 3, .masked = 1, .event = NOTHING, .window = NMI, .nmis_left = 1 },
		{ .nmis = 1, .masked = 1, .intr = true, .event = EVENT(INTR, 0x30),
		  .window = NMI, .nmis_left = 1 },
		{ .nmis = 1, .masked = 1, .intr = true, .cli = true, .event = NOTHING,
		  .window = NMI | INTR, .nmis_left = 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct mhv_vcpu *vcpu = new_vcpu(test);

		told.window = 0;
		vcpu->guest_debug = rows[i].debug;
		vcpu->run->request_interrupt_window = rows[i].wants;
		atomic_set(&vcpu->nmi_queued, rows[i].nmis);
		vcpu->state.shadow = rows[i].shadow;
		vcpu->state.nmi_masked = rows[i].masked;
		if (rows[i].intr)
			vcpu->extint = 0x30;
		if (rows[i].cli)
			vcpu->state.rflags = 0;
		if (rows[i].exception)
			mhv_queue_exception(vcpu, X86_TRAP_UD);
		KUNIT_EXPECT_EQ_MSG(test, enter_once(vcpu), rows[i].event, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, told.window, rows[i].window, "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, (unsigned int)vcpu->nmi_pending, rows[i].nmis_left,
				    "row %u", i);
	}
}

/*
 * CR2, DR6 and DR7 change when the exception is raised, or, if userspace makes it pending with its
 * payload, when it is delivered; RF then.
 */
static void test_payload(struct kunit *test)
{
	struct mhv_vcpu *vcpu = new_vcpu(test);

	vcpu->dirty = 0;
	mhv_queue_page_fault(vcpu, 0x4321, 2);
	KUNIT_EXPECT_EQ(test, vcpu->state.cr2, 0x4321ULL);
	KUNIT_EXPECT_FALSE(test, vcpu->exception.has_payload);
	KUNIT_EXPECT_FALSE(test, vcpu->state.rflags & X86_EFLAGS_RF);
	vcpu->exception.has_payload = true;
	vcpu->exception.payload = 0x1234;
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(EXCEPTION, X86_TRAP_PF));
	KUNIT_EXPECT_EQ(test, vcpu->state.cr2, 0x1234ULL);
	KUNIT_EXPECT_EQ(test, vcpu->dirty & (MHV_G_CR | MHV_G_RIP_FLAGS),
			(u32)(MHV_G_CR | MHV_G_RIP_FLAGS));
	KUNIT_EXPECT_TRUE(test, vcpu->state.rflags & X86_EFLAGS_RF);

	vcpu = new_vcpu(test);
	vcpu->dirty = 0;
	vcpu->state.dr6 = DR6_RESERVED | BIT(12) | DR_TRAP1;
	vcpu->state.dr7 = DR7_GD | 2;
	mhv_queue_event(vcpu, &(struct mhv_event){ .type = MHV_EV_EXCEPTION,
			.vector = X86_TRAP_DB, .has_payload = true, .payload = DR_STEP });
	KUNIT_EXPECT_EQ(test, enter_once(vcpu), EVENT(EXCEPTION, X86_TRAP_DB));
	KUNIT_EXPECT_EQ(test, vcpu->state.dr6, (u64)(DR6_RESERVED | DR_STEP));
	KUNIT_EXPECT_EQ(test, vcpu->state.dr7, 2ULL);
	KUNIT_EXPECT_TRUE(test, vcpu->dirty & MHV_G_DR);
	KUNIT_EXPECT_FALSE(test, vcpu->state.rflags & X86_EFLAGS_RF);
}

/* An exception while another is delivered: the second, a double fault, or the end. */
static void test_merge(struct kunit *test)
{
	enum { SECOND, DOUBLE, TRIPLE };
	static const struct {
		u8 first, second, result;
	} rows[] = {
		{ X86_TRAP_UD, X86_TRAP_GP, SECOND }, { X86_TRAP_UD, X86_TRAP_PF, SECOND },
		{ X86_TRAP_DE, X86_TRAP_GP, DOUBLE }, { X86_TRAP_GP, X86_TRAP_DE, DOUBLE },
		{ X86_TRAP_TS, X86_TRAP_NP, DOUBLE }, { X86_TRAP_SS, X86_TRAP_TS, DOUBLE },
		{ X86_TRAP_GP, X86_TRAP_GP, DOUBLE }, { X86_TRAP_GP, X86_TRAP_PF, SECOND },
		{ X86_TRAP_GP, X86_TRAP_UD, SECOND }, { X86_TRAP_GP, X86_TRAP_DB, SECOND },
		{ X86_TRAP_PF, X86_TRAP_PF, DOUBLE }, { X86_TRAP_PF, X86_TRAP_GP, DOUBLE },
		{ X86_TRAP_PF, X86_TRAP_NP, DOUBLE }, { X86_TRAP_PF, X86_TRAP_UD, SECOND },
		{ X86_TRAP_PF, X86_TRAP_AC, SECOND }, { X86_TRAP_DB, X86_TRAP_PF, SECOND },
		{ X86_TRAP_DF, X86_TRAP_GP, TRIPLE }, { X86_TRAP_DF, X86_TRAP_PF, TRIPLE },
		{ X86_TRAP_DF, X86_TRAP_UD, TRIPLE },
	};
	unsigned int i;

	/* The first is pending, or its delivery was cut short. */
	for (i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct mhv_event first = { .type = MHV_EV_EXCEPTION, .vector = rows[i / 2].first };
		struct mhv_vcpu *vcpu = new_vcpu(test);
		u8 result = rows[i / 2].result;
		u8 vector = result == DOUBLE ? X86_TRAP_DF : rows[i / 2].second;

		*(i % 2 ? &vcpu->exception : &vcpu->reinject) = first;
		mhv_queue_exception_e(vcpu, rows[i / 2].second, 5);
		KUNIT_EXPECT_EQ_MSG(test, !!test_bit(MHV_REQ_TRIPLE_FAULT, &vcpu->requests),
				    result == TRIPLE, "row %u", i / 2);
		KUNIT_EXPECT_EQ_MSG(test, enter_once(vcpu),
				    result == TRIPLE ? NOTHING : EVENT(EXCEPTION, vector),
				    "row %u", i / 2);
		KUNIT_EXPECT_EQ_MSG(test, enter_once(vcpu), (unsigned int)NOTHING, "row %u", i / 2);
		if (result != TRIPLE)
			KUNIT_EXPECT_EQ_MSG(test, vcpu->exception.error, result == DOUBLE ? 0U : 5U,
					    "row %u", i / 2);
	}
}

/* What the CPU does at the end of an instruction is done where it is stepped over. */
static void test_skip(struct kunit *test)
{
	struct mhv_vcpu *vcpu = new_vcpu(test);
	struct mhv_state *state = &vcpu->state;

	state->efer = 0;
	state->rip = 0xfffffffe;
	state->rflags = X86_EFLAGS_FIXED | X86_EFLAGS_RF;
	state->shadow = MHV_SHADOW_STI;
	KUNIT_EXPECT_EQ(test, mhv_skip(vcpu, 0x100000002ULL), MHV_RESUME);
	KUNIT_EXPECT_EQ(test, state->rip, 2ULL);
	KUNIT_EXPECT_EQ(test, state->rflags, (u64)X86_EFLAGS_FIXED);
	KUNIT_EXPECT_EQ(test, (u32)state->shadow, 0U);
	KUNIT_EXPECT_EQ(test, vcpu->dirty & (MHV_G_RIP_FLAGS | MHV_G_INTR),
			(u32)(MHV_G_RIP_FLAGS | MHV_G_INTR));
	KUNIT_EXPECT_EQ(test, (u32)vcpu->exception.type, (u32)MHV_EV_NONE);
	/* In long mode it is up to the code segment. */
	state->efer = EFER_LME | EFER_LMA;
	state->rip = 0xffffffff;
	KUNIT_EXPECT_EQ(test, mhv_skip(vcpu, 0x100000001ULL), MHV_RESUME);
	KUNIT_EXPECT_EQ(test, state->rip, 1ULL);
	state->seg[MHV_CS].attr |= MHV_SEG_L;
	state->rip = 0xfffffffe;
	state->rflags |= X86_EFLAGS_TF;
	KUNIT_EXPECT_EQ(test, mhv_skip(vcpu, 0x100000004ULL), MHV_RESUME);
	KUNIT_EXPECT_EQ(test, state->rip, 0x100000004ULL);
	KUNIT_EXPECT_EQ(test, vcpu->exception.vector, (u8)X86_TRAP_DB);
	KUNIT_EXPECT_EQ(test, state->dr6 & (DR_STEP | DR_TRAP_BITS), (u64)DR_STEP);
}

/* Breakpoints that userspace sets are the CPU's to watch, as those that the guest sets. */
static void test_debugregs(struct kunit *test)
{
	struct kvm_debugregs dbg = { .dr7 = BIT(10) | 2 };
	struct mhv_vcpu *vcpu = new_vcpu(test);

	KUNIT_EXPECT_EQ(test, mhv_set_debugregs(vcpu, &dbg), 0);
	KUNIT_EXPECT_NE(test, (u32)vcpu->dr_active, 0U);
	dbg.dr7 = BIT(10);
	KUNIT_EXPECT_EQ(test, mhv_set_debugregs(vcpu, &dbg), 0);
	KUNIT_EXPECT_EQ(test, (u32)vcpu->dr_active, 0U);
}

/* Once for each new generation of either, and at the first entry. */
static void test_sync_mmu(struct kunit *test)
{
	struct mhv_vcpu *vcpu = new_vcpu(test);
	struct mhv_vm *vm = vcpu->vm;

	vm->mmu.root = (u64 *)__get_free_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, (void *)vm->mmu.root);
	vm->mmu.root_gen = 1;
	told.flushes = 0;
	told.roots = 0;
	sync_mmu(vcpu);
	KUNIT_EXPECT_EQ(test, told.roots, 1U);
	KUNIT_EXPECT_EQ(test, told.flushes, 0U);
	mhv_mmu_flush(vm);
	mhv_mmu_flush(vm);
	sync_mmu(vcpu);
	sync_mmu(vcpu);
	KUNIT_EXPECT_EQ(test, told.flushes, 1U);
	vm->mmu.root_gen++;
	sync_mmu(vcpu);
	sync_mmu(vcpu);
	KUNIT_EXPECT_EQ(test, told.roots, 2U);
	mhv_mmu_flush(vm);
	sync_mmu(vcpu);
	KUNIT_EXPECT_EQ(test, told.flushes, 2U);
	free_page((unsigned long)vm->mmu.root);
	vm->mmu.root = NULL;
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_order),
	KUNIT_CASE(test_windows),
	KUNIT_CASE(test_payload),
	KUNIT_CASE(test_merge),
	KUNIT_CASE(test_skip),
	KUNIT_CASE(test_debugregs),
	KUNIT_CASE(test_sync_mmu),
	{}
};

static struct kunit_suite suite = {
	.name = "minihv_run", .init = run_init, .exit = run_exit, .test_cases = cases,
};

kunit_test_suite(suite);
