// SPDX-License-Identifier: GPL-2.0
/*
 * Which field of a VMCS is named where the CPU refuses an entry: one field is spoilt at a time.
 * Entered from KUnit.
 * No locks.
 * Intel SDM volume 3, "VM Entries".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "vmx.h"

/* Of another field than the good ones, or with another value. */
struct spoilt {
	u32 field;
	u64 value;
	const char *what;
};

static struct spoilt spoilt;

static u64 fake_read(unsigned long field);

#define vmcs_read(field) fake_read(field)
#include "vmx_caps.c"
#include "check_control.c"
#include "check.c"

#include "../kunit/kunit.h"

#define PIN	(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS)
#define PROC	(CPU_BASED_TPR_SHADOW | CPU_BASED_USE_MSR_BITMAPS | \
		 CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define PROC2	(SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST | \
		 SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_TSC_SCALING)
#define EXIT	(VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_LOAD_IA32_PAT | VM_EXIT_LOAD_IA32_EFER)
#define KERNEL	0xffffffff81000000ull
#define TPR	0x50

/* A VMCS that the CPU takes; what is not in it, is 0. */
static const struct {
	u32 field;
	u64 value;
} good[] = {
	{ PIN_BASED_VM_EXEC_CONTROL, PIN },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 },
	{ VM_EXIT_CONTROLS, EXIT },
	{ VM_ENTRY_CONTROLS, VM_ENTRY_LOAD_IA32_EFER },
	{ TPR_THRESHOLD, TPR >> 4 },
	{ VIRTUAL_PROCESSOR_ID, 1 },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 | VMX_EPTP_AD_ENABLE_BIT },
	{ TSC_MULTIPLIER, 1 },
	{ MSR_BITMAP, 0x1000 }, { VIRTUAL_APIC_PAGE_ADDR, 0x2000 },
	{ HOST_CR0, 0x80050033 }, { HOST_CR3, 0x1000 }, { HOST_CR4, 0x20a0 },
	{ HOST_IA32_PAT, 0x0407050600070106 }, { HOST_IA32_EFER, 0xd01 },
	{ HOST_CS_SELECTOR, 0x10 }, { HOST_SS_SELECTOR, 0x18 }, { HOST_TR_SELECTOR, 0x40 },
	{ HOST_GS_BASE, KERNEL }, { HOST_RIP, KERNEL },
	/* The guest's, after reset. */
	{ GUEST_CR0, 0x30 }, { GUEST_CR4, 0x2000 }, { GUEST_RFLAGS, 2 }, { GUEST_RIP, 0xfff0 },
	{ GUEST_CS_AR_BYTES, 0x9b }, { GUEST_SS_AR_BYTES, 0x93 }, { GUEST_DS_AR_BYTES, 0x93 },
	{ GUEST_ES_AR_BYTES, 0x93 }, { GUEST_FS_AR_BYTES, 0x93 }, { GUEST_GS_AR_BYTES, 0x93 },
	{ GUEST_TR_AR_BYTES, 0x8b }, { GUEST_LDTR_AR_BYTES, 0x82 },
	{ GUEST_CS_LIMIT, 0xffff }, { GUEST_CS_BASE, 0xffff0000 },
};

static const struct vmx_limits lim = {
	.must = { [VMX_PIN] = PIN_BASED_NMI_EXITING },
	.may = {
		[VMX_PIN] = PIN | PIN_BASED_POSTED_INTR,
		[VMX_PROC] = (u32)~CPU_BASED_USE_IO_BITMAPS,
		[VMX_PROC2] = ~0, [VMX_EXIT] = ~0, [VMX_ENTRY] = ~0,
	},
	.ept = VMX_EPTP_WB_BIT | VMX_EPT_PAGE_WALK_4_BIT | VMX_EPT_AD_BIT,
	.cr0_must = 0x80000021, .cr0_may = 0xffffffff,
	.cr4_must = 0x2000, .cr4_may = 0x3727ff,
	.phys_bits = 46, .virt_bits = 48, .cr3_targets = 4,
};

static u64 fake_read(unsigned long field)
{
	unsigned int i;

	if (field == spoilt.field)
		return spoilt.value;
	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (good[i].field == field)
			return good[i].value;
	return 0;
}

static void spoil(u32 field, u64 value)
{
	spoilt = (struct spoilt){ field, value };
}

static const struct spoilt bad_controls[] = {
	{ PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_VIRTUAL_NMIS, "NMI exiting" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN | BIT(6), "pin-based" },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_USE_IO_BITMAPS, "processor-based" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN | PIN_BASED_POSTED_INTR,
	  "posted interrupts without virtual-interrupt delivery" },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 & ~SECONDARY_EXEC_ENABLE_EPT,
	  "unrestricted guest without EPT" },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC, NULL },
	{ CR3_TARGET_COUNT, 5, "CR3-target count" },
	{ TPR_THRESHOLD, 16, "TPR threshold" },
	{ TPR_THRESHOLD, (TPR >> 4) + 1, "TPR threshold" },
	{ TPR_THRESHOLD, (TPR >> 4) - 1, NULL },
	{ VIRTUAL_PROCESSOR_ID, 0, "VPID" },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_PWL_4, "EPT pointer: memory type" },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB, "EPT pointer: length of the walk" },
	{ EPT_POINTER, 0x7080 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4,
	  "EPT pointer: reserved bits, or address" },
	{ EPT_POINTER, BIT_ULL(46) | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4,
	  "EPT pointer: reserved bits, or address" },
	{ TSC_MULTIPLIER, 0, "TSC multiplier" },
	{ MSR_BITMAP, 0x1008, "MSR bitmap: address" },
	{ VIRTUAL_APIC_PAGE_ADDR, BIT_ULL(46), "virtual-APIC page: address" },
	{ VM_EXIT_MSR_LOAD_ADDR, 8, NULL },	/* there are none */
};

static void test_controls(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad_controls); i++) {
		spoilt = bad_controls[i];
		KUNIT_EXPECT_STREQ(test, vmx_check_controls(&lim, TPR, 0).what ?: "",
				   spoilt.what ?: "");
	}
	spoil(PIN_BASED_VM_EXEC_CONTROL, PIN | BIT(6));
	KUNIT_EXPECT_EQ(test, vmx_check_controls(&lim, TPR, 0).value, BIT_ULL(6));
	/* Without the secondary controls, what that field has does not count. */
	spoil(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_USE_MSR_BITMAPS);
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, 0).what);
	spoil(CPU_BASED_VM_EXEC_CONTROL,
	      CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_NMI_WINDOW_EXITING);
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, 0).what);
}

static void test_areas(struct kunit *test)
{
	spoil(VM_ENTRY_MSR_LOAD_COUNT, 2);
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, 0).what);
	spoil(VM_EXIT_MSR_STORE_COUNT, 1ull << 46);
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&lim, TPR, 0).what,
			   "exit MSR-store area: address");
}

static const char *injected(u32 info)
{
	return vmx_check_controls(&lim, TPR, info | INTR_INFO_VALID_MASK).what ?: "";
}

static void test_injection(struct kunit *test)
{
	const u32 hard = INTR_TYPE_HARD_EXCEPTION, code = INTR_INFO_DELIVER_CODE_MASK;

	spoil(GUEST_CR0, 0x31);
	KUNIT_EXPECT_STREQ(test, injected(hard | 13 | code), "");
	KUNIT_EXPECT_STREQ(test, injected(hard | 6), "");
	KUNIT_EXPECT_STREQ(test, injected(hard | 13),
			   "injected event: an error code where there is none, or none");
	KUNIT_EXPECT_STREQ(test, injected(hard | 6 | code),
			   "injected event: an error code where there is none, or none");
	KUNIT_EXPECT_STREQ(test, injected(hard | 32), "injected event: vector");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_NMI_INTR | 3), "injected event: vector");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_EXT_INTR | 0xf0), "");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_RESERVED | 3),
			   "injected event: type, or reserved bits");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_INTR | 3),
			   "injected event: instruction length");
	spoil(VM_ENTRY_INSTRUCTION_LEN, 2);
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_INTR | 3), "");
	KUNIT_EXPECT_STREQ(test, injected(hard | 13), "");	/* real mode */
	KUNIT_EXPECT_STREQ(test, injected(hard | 13 | code),
			   "injected event: an error code in real mode, or of no exception");
	/* Nothing is injected: nothing is looked at. */
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, INTR_TYPE_RESERVED).what);
}

static const struct spoilt bad_host[] = {
	{ HOST_CR0, 0x50033, "host CR0" },
	{ HOST_CR4, 0xa0, "host CR4" },
	{ HOST_CR4, 0x20a0 | BIT(23), "host CR4" },
	{ HOST_CR3, BIT_ULL(46), "host CR3" },
	{ HOST_IA32_PAT, 2, "host PAT" },
	{ HOST_IA32_PAT, 0x0800000000000000, "host PAT" },
	{ HOST_IA32_EFER, 0x901, "host EFER: no long mode" },
	{ VM_EXIT_CONTROLS, 0, "64-bit host: exit control, or host CR4.PAE" },
	{ HOST_CS_SELECTOR, 0, "host CS" },
	{ HOST_SS_SELECTOR, 0, NULL },
	{ HOST_DS_SELECTOR, 0x2b, "host DS" },
	{ HOST_TR_SELECTOR, 0, "host TR" },
	{ HOST_FS_BASE, BIT_ULL(47), "host FS: base not canonical" },
	{ HOST_RIP, BIT_ULL(63), "host RIP: not canonical" },
};

static void test_host(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad_host); i++) {
		spoilt = bad_host[i];
		KUNIT_EXPECT_STREQ(test, vmx_check_host(&lim).what ?: "", spoilt.what ?: "");
	}
}

#define NOT_FOUND	"a check that is not known here"

static const struct spoilt bad_guest[] = {
	{ GUEST_CR0, 0x80000030, "CR0: paging without protection" },
	{ GUEST_CR4, 0x2000 | BIT(23), "CR4: bits that the CPU lacks" },
	{ GUEST_IA32_EFER, EFER_LMA, "EFER.LMA is not what the entry control says" },
	{ GUEST_CS_AR_BYTES, 0x9a, "CS: type is neither accessed code nor 3" },
	{ GUEST_CS_LIMIT, 0x100000, "CS: reserved bits, or G does not fit the limit" },
	{ GUEST_SS_AR_BYTES, 0xf3, "CS: DPL is not SS's" },
	{ GUEST_DS_AR_BYTES, 0x92, "DS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, VMX_AR_UNUSABLE_MASK, NOT_FOUND },
	{ GUEST_TR_AR_BYTES, 0x89, "TR: type is not that of a busy TSS" },
	{ GUEST_LDTR_AR_BYTES, 0x8b, "LDTR: type, S, P, G or base" },
	{ GUEST_GDTR_LIMIT, 0x10000, "GDTR or IDTR" },
	{ GUEST_RFLAGS, 0, "RFLAGS: reserved bits" },
	{ GUEST_RIP, BIT_ULL(32), "RIP: above 4 GiB outside of 64-bit mode" },
};

static void test_guest(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad_guest); i++) {
		spoilt = bad_guest[i];
		KUNIT_EXPECT_STREQ(test, guest_error(&lim, 0), spoilt.what);
	}
	spoil(GUEST_RFLAGS, 2);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, INTR_INFO_VALID_MASK | 0x20),
			   "an interrupt is injected while RFLAGS.IF or a shadow forbids it");
	spoil(GUEST_RFLAGS, 0x202);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, INTR_INFO_VALID_MASK | 0x20), NOT_FOUND);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_controls),
	KUNIT_CASE(test_areas),
	KUNIT_CASE(test_injection),
	KUNIT_CASE(test_host),
	KUNIT_CASE(test_guest),
	{}
};

static struct kunit_suite suite = {
	.name = "minihv_check",
	.test_cases = cases,
};

kunit_test_suite(suite);
