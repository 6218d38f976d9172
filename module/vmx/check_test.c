// SPDX-License-Identifier: GPL-2.0
/*
 * Which field of a VMCS is named where the CPU refuses an entry: one field is spoilt at a time, or
 * two that must fit each other. And which features of a CPU are used, by its MSRs.
 * Entered from KUnit.
 * No locks.
 * Intel SDM volume 3, "VM Entries".
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "vmx.h"

/* One field, or two, with another value than the good one; what is said of it, NULL for nothing. */
struct spoilt {
	u32 field;
	u64 value;
	const char *what;
	u32 field2;
	u64 value2;
};

struct field {
	u32 field;
	u64 value;
};

static struct spoilt spoilt;
static const struct field *mode;	/* in place of good ones; ends with a field 0 */

static u64 fake_read(unsigned long field);
static int fake_rdmsr(u32 msr, u64 *val);

#define vmcs_read(field) fake_read(field)
#undef rdmsrl
#define rdmsrl(msr, val) do {							\
	u64 val_;								\
										\
	fake_rdmsr(msr, &val_);							\
	(val) = val_;								\
} while (0)
#define rdmsrl_safe(msr, val) fake_rdmsr(msr, val)
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
static const struct field good[] = {
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
	.must = { [VMX_ENTRY] = VM_ENTRY_LOAD_IA32_EFER },
	.may = {
		[VMX_PIN] = PIN | PIN_BASED_POSTED_INTR,
		[VMX_PROC] = (u32)~CPU_BASED_MONITOR_TRAP_FLAG,
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
	if (field == spoilt.field2 && field)
		return spoilt.value2;
	for (i = 0; mode && mode[i].field; i++)
		if (mode[i].field == field)
			return mode[i].value;
	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (good[i].field == field)
			return good[i].value;
	return 0;
}

static void spoil(u32 field, u64 value)
{
	spoilt = (struct spoilt){ field, value };
}

static void spoil_two(u32 field, u64 value, u32 field2, u64 value2)
{
	spoilt = (struct spoilt){ field, value, NULL, field2, value2 };
}

#define PROC_NO_TPR	(PROC & ~CPU_BASED_TPR_SHADOW)

static const struct spoilt bad_controls[] = {
	{ VM_ENTRY_CONTROLS, 0, "load EFER" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN | BIT(6), "pin-based" },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_MONITOR_TRAP_FLAG, "processor-based" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN & ~PIN_BASED_NMI_EXITING,
	  "virtual NMIs without NMI exiting" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_EXT_INTR_MASK, NULL },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN & ~PIN_BASED_VIRTUAL_NMIS,
	  "NMI-window exiting without virtual NMIs",
	  CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_NMI_WINDOW_EXITING },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_NMI_WINDOW_EXITING, NULL },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC_NO_TPR, "virtual x2APIC mode without TPR shadow",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC_NO_TPR,
	  "APIC-register virtualization without TPR shadow",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_APIC_REGISTER_VIRT },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC_NO_TPR,
	  "virtual-interrupt delivery without TPR shadow",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
	  SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES, "virtual APIC accesses in x2APIC mode" },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE, NULL },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY,
	  "virtual-interrupt delivery without external-interrupt exiting",
	  PIN_BASED_VM_EXEC_CONTROL, PIN & ~PIN_BASED_EXT_INTR_MASK },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY, NULL },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN | PIN_BASED_POSTED_INTR,
	  "posted interrupts without virtual-interrupt delivery" },
	{ PIN_BASED_VM_EXEC_CONTROL, PIN | PIN_BASED_POSTED_INTR,
	  "posted interrupts without acknowledgment on exit",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY },
	{ SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_PML,
	  "page-modification log without EPT" },
	{ SECONDARY_VM_EXEC_CONTROL, PROC2 & ~SECONDARY_EXEC_ENABLE_EPT,
	  "unrestricted guest without EPT" },
	{ VM_EXIT_CONTROLS, EXIT | VM_EXIT_SAVE_VMX_PREEMPTION_TIMER,
	  "save preemption timer without the timer" },
	{ CPU_BASED_VM_EXEC_CONTROL, PROC, NULL },
	/* What the secondary field has does not count then. */
	{ CPU_BASED_VM_EXEC_CONTROL, PROC & ~CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, NULL,
	  SECONDARY_VM_EXEC_CONTROL, PROC2 & ~SECONDARY_EXEC_ENABLE_EPT },
	{ CR3_TARGET_COUNT, 5, "CR3-target count" },
	{ CR3_TARGET_COUNT, 4, NULL },
	{ TPR_THRESHOLD, 16, "TPR threshold" },
	{ TPR_THRESHOLD, (TPR >> 4) + 1, "TPR threshold" },
	{ TPR_THRESHOLD, (TPR >> 4) - 1, NULL },
	/* Then it is compared with nothing, or only with 15. */
	{ TPR_THRESHOLD, 16, NULL, CPU_BASED_VM_EXEC_CONTROL, PROC_NO_TPR },
	{ TPR_THRESHOLD, 16, NULL,
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY },
	{ TPR_THRESHOLD, 16, "TPR threshold",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES },
	{ TPR_THRESHOLD, 15, NULL,
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES },
	{ VIRTUAL_PROCESSOR_ID, 0, "VPID" },
	{ VIRTUAL_PROCESSOR_ID, 0, NULL,
	  SECONDARY_VM_EXEC_CONTROL, PROC2 & ~SECONDARY_EXEC_ENABLE_VPID },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_PWL_4, "EPT pointer: memory type" },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB, "EPT pointer: length of the walk" },
	{ EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_5,
	  "EPT pointer: length of the walk" },
	{ EPT_POINTER, 0x7080 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4,
	  "EPT pointer: reserved bits, or address" },
	{ EPT_POINTER, BIT_ULL(46) | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4,
	  "EPT pointer: reserved bits, or address" },
	{ EPT_POINTER, 0, NULL, SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_VPID },
	{ TSC_MULTIPLIER, 0, "TSC multiplier" },
	{ TSC_MULTIPLIER, 0, NULL,
	  SECONDARY_VM_EXEC_CONTROL, PROC2 & ~SECONDARY_EXEC_TSC_SCALING },
	{ MSR_BITMAP, 0x1008, "MSR bitmap: address" },
	{ MSR_BITMAP, 0x1008, NULL,
	  CPU_BASED_VM_EXEC_CONTROL, PROC & ~CPU_BASED_USE_MSR_BITMAPS },
	{ VIRTUAL_APIC_PAGE_ADDR, BIT_ULL(46), "virtual-APIC page: address" },
	{ IO_BITMAP_A, 0x800, "I/O bitmap A: address",
	  CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_USE_IO_BITMAPS },
	{ IO_BITMAP_B, 0x800, "I/O bitmap B: address",
	  CPU_BASED_VM_EXEC_CONTROL, PROC | CPU_BASED_USE_IO_BITMAPS },
	{ APIC_ACCESS_ADDR, 1, "APIC-access page: address",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES },
	{ PML_ADDRESS, 1, "page-modification log: address",
	  SECONDARY_VM_EXEC_CONTROL, PROC2 | SECONDARY_EXEC_ENABLE_PML },
	/* Of no entries the address is none; the last one must fit as well. */
	{ VM_EXIT_MSR_LOAD_ADDR, 8, NULL },
	{ VM_EXIT_MSR_LOAD_ADDR, 8, "exit MSR-load area: address", VM_EXIT_MSR_LOAD_COUNT, 1 },
	{ VM_EXIT_MSR_STORE_ADDR, 8, "exit MSR-store area: address", VM_EXIT_MSR_STORE_COUNT, 1 },
	{ VM_ENTRY_MSR_LOAD_ADDR, 8, "entry MSR-load area: address", VM_ENTRY_MSR_LOAD_COUNT, 1 },
	{ VM_ENTRY_MSR_LOAD_ADDR, BIT_ULL(46) - 16, NULL, VM_ENTRY_MSR_LOAD_COUNT, 1 },
	{ VM_ENTRY_MSR_LOAD_ADDR, BIT_ULL(46) - 16, "entry MSR-load area: address",
	  VM_ENTRY_MSR_LOAD_COUNT, 2 },
};

static void test_controls(struct kunit *test)
{
	struct vmx_limits other = lim;
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
	/* Nor what it must have. */
	other.must[VMX_PROC2] = SECONDARY_EXEC_ENABLE_EPT;
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&other, TPR, 0).what);
	spoil(SECONDARY_VM_EXEC_CONTROL, 0);
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&other, TPR, 0).what ?: "",
			   "nested paging (extended page tables, EPT)");
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
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_EXT_INTR | 13), "");
	KUNIT_EXPECT_EQ(test, vmx_check_controls(&lim, TPR, INTR_INFO_VALID_MASK | 13).value, 0);
	KUNIT_EXPECT_EQ(test,
			vmx_check_controls(&lim, TPR, INTR_INFO_VALID_MASK | hard | 13).value,
			INTR_INFO_VALID_MASK | hard | 13);
	KUNIT_EXPECT_STREQ(test, injected(hard | 13),
			   "injected event: an error code where there is none, or none");
	KUNIT_EXPECT_STREQ(test, injected(hard | 6 | code),
			   "injected event: an error code where there is none, or none");
	KUNIT_EXPECT_STREQ(test, injected(hard | 32), "injected event: vector");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_NMI_INTR | 3), "injected event: vector");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_EXT_INTR | 0xf0), "");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_RESERVED | 3),
			   "injected event: type, or reserved bits");
	KUNIT_EXPECT_STREQ(test, injected(hard | 6 | BIT(13)),
			   "injected event: type, or reserved bits");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_NMI_INTR | 2), "");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_OTHER_EVENT | 1), "injected event: vector");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_OTHER_EVENT), "");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_EXT_INTR | 0x20 | code),
			   "injected event: an error code in real mode, or of no exception");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_PRIV_SW_EXCEPTION | 1),
			   "injected event: instruction length");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_EXCEPTION | 3),
			   "injected event: instruction length");
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_INTR | 3),
			   "injected event: instruction length");
	spoil(VM_ENTRY_INSTRUCTION_LEN, 16);
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_INTR | 3),
			   "injected event: instruction length");
	spoil(VM_ENTRY_INSTRUCTION_LEN, 15);
	KUNIT_EXPECT_STREQ(test, injected(INTR_TYPE_SOFT_INTR | 3), "");
	KUNIT_EXPECT_STREQ(test, injected(hard | 13), "");	/* real mode */
	KUNIT_EXPECT_STREQ(test, injected(hard | 13 | code),
			   "injected event: an error code in real mode, or of no exception");
	/* Nothing is injected: nothing is looked at. */
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, INTR_TYPE_RESERVED).what);
}

/* An access bit that the CPU lacks, a type or length that it has. */
static void test_eptp(struct kunit *test)
{
	struct vmx_limits other = lim;

	spoil(EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 | VMX_EPTP_AD_ENABLE_BIT);
	other.ept = VMX_EPTP_WB_BIT | VMX_EPT_PAGE_WALK_4_BIT;
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&other, TPR, 0).what ?: "",
			   "EPT pointer: accessed and dirty bits");
	spoil(EPT_POINTER, 0x7000 | VMX_EPTP_MT_UC | VMX_EPTP_PWL_5);
	other.ept = VMX_EPTP_UC_BIT | VMX_EPT_PAGE_WALK_5_BIT;
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&other, TPR, 0).what);
	spoil(EPT_POINTER, 0x7000 | VMX_EPTP_MT_UC | VMX_EPTP_PWL_4);
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&other, TPR, 0).what ?: "",
			   "EPT pointer: length of the walk");
	spoil(EPT_POINTER, 0x7000 | VMX_EPTP_MT_WB | VMX_EPTP_PWL_5);
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&other, TPR, 0).what ?: "",
			   "EPT pointer: memory type");
}

/* What an injected event may be differs between CPUs. */
static void test_any_error_code(struct kunit *test)
{
	const u32 hard = INTR_TYPE_HARD_EXCEPTION | INTR_INFO_VALID_MASK;
	const u32 code = INTR_INFO_DELIVER_CODE_MASK;
	struct vmx_limits other = lim;
	unsigned int i;

	other.any_error_code = true;
	other.zero_len = true;
	spoil(GUEST_CR0, 0x31);
	for (i = 0; i < 32; i++) {
		bool has = BIT(i) & 0x27d00;

		KUNIT_EXPECT_EQ(test, !vmx_check_controls(&lim, TPR, hard | i).what, !has);
		KUNIT_EXPECT_EQ(test, !vmx_check_controls(&lim, TPR, hard | code | i).what, has);
		KUNIT_EXPECT_NULL(test, vmx_check_controls(&other, TPR, hard | i).what);
		KUNIT_EXPECT_NULL(test, vmx_check_controls(&other, TPR, hard | code | i).what);
	}
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&other, TPR, INTR_INFO_VALID_MASK |
						   INTR_TYPE_SOFT_INTR | 3).what);
	spoil_two(GUEST_CR0, 0x31, VM_ENTRY_EXCEPTION_ERROR_CODE, BIT(16));
	KUNIT_EXPECT_STREQ(test, vmx_check_controls(&lim, TPR, hard | code | 13).what ?: "",
			   "injected event: reserved bits of the error code");
	KUNIT_EXPECT_NULL(test, vmx_check_controls(&lim, TPR, hard | 6).what);
}

static const struct spoilt bad_host[] = {
	{ HOST_CR0, 0x50033, "host CR0" },
	{ HOST_CR0, BIT_ULL(40) | 0x80050033, "host CR0" },
	{ HOST_CR4, 0xa0, "host CR4" },
	{ HOST_CR4, 0x20a0 | BIT(23), "host CR4" },
	{ HOST_CR3, BIT_ULL(46), "host CR3" },
	{ HOST_IA32_PAT, 2, "host PAT" },
	{ HOST_IA32_PAT, 0x0800000000000000, "host PAT" },
	{ HOST_IA32_PAT, 3, "host PAT" },
	{ HOST_IA32_PAT, 0x0001040506070000, NULL },
	{ HOST_IA32_PAT, 2, NULL, VM_EXIT_CONTROLS, EXIT & ~VM_EXIT_LOAD_IA32_PAT },
	{ HOST_IA32_EFER, 0x901, "host EFER: no long mode" },
	{ HOST_IA32_EFER, 0xc01, "host EFER: no long mode" },
	{ HOST_IA32_EFER, 0x901, NULL, VM_EXIT_CONTROLS, EXIT & ~VM_EXIT_LOAD_IA32_EFER },
	{ HOST_CR4, 0x2080, "64-bit host: exit control, or host CR4.PAE" },
	{ VM_EXIT_CONTROLS, 0, "64-bit host: exit control, or host CR4.PAE" },
	{ HOST_CS_SELECTOR, 0, "host CS" },
	{ HOST_SS_SELECTOR, 0, NULL },
	{ HOST_CS_SELECTOR, 0x14, "host CS" },
	{ HOST_SS_SELECTOR, 0x19, "host SS" },
	{ HOST_DS_SELECTOR, 0x2b, "host DS" },
	{ HOST_DS_SELECTOR, 0x28, NULL },
	{ HOST_ES_SELECTOR, 0x2c, "host ES" },
	{ HOST_FS_SELECTOR, 0x2a, "host FS" },
	{ HOST_GS_SELECTOR, 1, "host GS" },
	{ HOST_TR_SELECTOR, 0, "host TR" },
	{ HOST_IA32_SYSENTER_ESP, BIT_ULL(47), "host SYSENTER_ESP: not canonical" },
	{ HOST_IA32_SYSENTER_EIP, BIT_ULL(47), "host SYSENTER_EIP: not canonical" },
	{ HOST_FS_BASE, BIT_ULL(47), "host FS: base not canonical" },
	{ HOST_FS_BASE, BIT_ULL(47) - 1, NULL },
	{ HOST_GS_BASE, BIT_ULL(47), "host GS: base not canonical" },
	{ HOST_GDTR_BASE, BIT_ULL(47), "host GDTR: base not canonical" },
	{ HOST_IDTR_BASE, BIT_ULL(47), "host IDTR: base not canonical" },
	{ HOST_TR_BASE, BIT_ULL(47), "host TR: base not canonical" },
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

#define CS_LIMIT_OR_BITS	"CS: reserved bits, or G does not fit the limit"
#define SS_TYPE			"SS: type is not writable accessed data"
#define SS_OTHER		"SS: not present, a system segment, a wrong G or base"
#define TR_OTHER		"TR: not present, no system segment, or in the LDT"
#define LDTR_ANY		"LDTR: type, S, P, G or base"
#define STEP			"the pending single step is not what RFLAGS.TF says"
#define TF			0x102

/* In real mode, as after reset. */
static const struct spoilt bad_guest[] = {
	{ GUEST_CR0, 0x80000030, "CR0: paging without protection" },
	{ GUEST_CR0, BIT_ULL(32) | 0x30, "CR0: reserved bits" },
	{ GUEST_CR4, 0x2000 | BIT(23), "CR4: bits that the CPU lacks" },
	{ VM_ENTRY_CONTROLS, VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_IA32E_MODE,
	  "long mode without paging, or without CR4.PAE" },
	{ GUEST_CR4, 0x2000 | X86_CR4_PCIDE, "CR4.PCIDE outside of long mode" },
	{ GUEST_CR3, BIT_ULL(46), "CR3: address too large" },
	{ GUEST_CR3, BIT_ULL(46) - 1, NULL },
	{ GUEST_IA32_EFER, EFER_LMA, "EFER.LMA is not what the entry control says" },
	{ GUEST_IA32_EFER, EFER_LME, NULL },
	{ GUEST_IA32_EFER, EFER_LME, "EFER.LME without EFER.LMA, while there is paging",
	  GUEST_CR0, 0x80000031 },
	{ GUEST_DR7, BIT_ULL(32), "DR7: reserved bits" },
	{ GUEST_SYSENTER_ESP, BIT_ULL(63), "SYSENTER_ESP or SYSENTER_EIP: not canonical" },
	{ GUEST_SYSENTER_EIP, BIT_ULL(63), "SYSENTER_ESP or SYSENTER_EIP: not canonical" },

	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_UNUSABLE_MASK, "CS: not present, or a system segment" },
	{ GUEST_CS_AR_BYTES, 0x1b, "CS: not present, or a system segment" },
	{ GUEST_CS_AR_BYTES, 0x8b, "CS: not present, or a system segment" },
	{ GUEST_CS_AR_BYTES, 0x9a, "CS: type is neither accessed code nor 3" },
	{ GUEST_CS_AR_BYTES, 0x91, "CS: type is neither accessed code nor 3" },
	{ GUEST_CS_AR_BYTES, 0x93, NULL },
	{ GUEST_CS_AR_BYTES, 0xf3, "CS: of data type, and DPL is not 0" },
	{ GUEST_CS_AR_BYTES, 0xfb, "CS: DPL is not SS's" },
	{ GUEST_CS_AR_BYTES, 0xf9, "CS: DPL is not SS's" },
	{ GUEST_CS_AR_BYTES, 0x9f, NULL },
	{ GUEST_CS_AR_BYTES, 0xff, "CS: conforming, and DPL is above SS's" },
	{ GUEST_CS_AR_BYTES, 0xfd, "CS: conforming, and DPL is above SS's" },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_L_MASK | VMX_AR_DB_MASK, NULL },
	{ GUEST_CS_AR_BYTES, 0x19b, CS_LIMIT_OR_BITS },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_G_MASK, NULL },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_G_MASK, CS_LIMIT_OR_BITS, GUEST_CS_LIMIT, 0x1ffe },
	{ GUEST_CS_LIMIT, 0x100000, CS_LIMIT_OR_BITS },
	{ GUEST_CS_LIMIT, 0xfffff, NULL },
	{ GUEST_CS_BASE, BIT_ULL(32), "CS: base too large" },

	{ GUEST_SS_AR_BYTES, 0xf3, "CS: DPL is not SS's" },
	{ GUEST_SS_AR_BYTES, 0xf3, "SS: DPL is not 0 in real mode", GUEST_CS_AR_BYTES, 0x9f },
	{ GUEST_SS_AR_BYTES, 0xf3, "SS: DPL is not 0 in real mode", GUEST_CS_AR_BYTES, 0xfb },
	{ GUEST_SS_AR_BYTES, 0x91, SS_TYPE },
	{ GUEST_SS_AR_BYTES, 0x92, SS_TYPE },
	{ GUEST_SS_AR_BYTES, 0x9b, SS_TYPE },
	{ GUEST_SS_AR_BYTES, 0x97, NULL },
	{ GUEST_SS_AR_BYTES, 0x13, SS_OTHER },
	{ GUEST_SS_AR_BYTES, 0x83, SS_OTHER },
	{ GUEST_SS_LIMIT, 0x100000, SS_OTHER },
	{ GUEST_SS_BASE, BIT_ULL(32), SS_OTHER },
	{ GUEST_SS_AR_BYTES, VMX_AR_UNUSABLE_MASK, NULL },

	{ GUEST_ES_AR_BYTES, 0x92, "ES: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, 0x92, "DS: type, S, P or G" },
	{ GUEST_FS_AR_BYTES, 0x92, "FS: type, S, P or G" },
	{ GUEST_GS_AR_BYTES, 0x92, "GS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, 0x13, "DS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, 0x83, "DS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, 0x99, "DS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, 0x9b, NULL },
	{ GUEST_DS_AR_BYTES, 0x91, NULL },
	{ GUEST_GS_LIMIT, 0x100000, "GS: type, S, P or G" },
	{ GUEST_DS_AR_BYTES, VMX_AR_UNUSABLE_MASK, NULL },

	{ GUEST_TR_AR_BYTES, 0x8b | VMX_AR_UNUSABLE_MASK, TR_OTHER },
	{ GUEST_TR_AR_BYTES, 0x0b, TR_OTHER },
	{ GUEST_TR_AR_BYTES, 0x9b, TR_OTHER },
	{ GUEST_TR_SELECTOR, 4, TR_OTHER },
	{ GUEST_TR_AR_BYTES, 0x89, "TR: type is not that of a busy TSS" },
	{ GUEST_TR_AR_BYTES, 0x83, NULL },
	{ GUEST_TR_LIMIT, 0x100000, "TR: G or base" },
	{ GUEST_TR_BASE, BIT_ULL(63), "TR: G or base" },
	{ GUEST_LDTR_AR_BYTES, 0x8b, LDTR_ANY },
	{ GUEST_LDTR_AR_BYTES, 0x92, LDTR_ANY },
	{ GUEST_LDTR_AR_BYTES, 0x02, LDTR_ANY },
	{ GUEST_LDTR_LIMIT, 0x100000, LDTR_ANY },
	{ GUEST_LDTR_BASE, BIT_ULL(63), LDTR_ANY },
	{ GUEST_LDTR_AR_BYTES, VMX_AR_UNUSABLE_MASK, NULL },
	{ GUEST_GDTR_BASE, BIT_ULL(63), "GDTR or IDTR" },
	{ GUEST_IDTR_BASE, BIT_ULL(63), "GDTR or IDTR" },
	{ GUEST_GDTR_LIMIT, 0x10000, "GDTR or IDTR" },
	{ GUEST_IDTR_LIMIT, 0x10000, "GDTR or IDTR" },

	{ GUEST_RFLAGS, 0, "RFLAGS: reserved bits" },
	{ GUEST_RFLAGS, BIT(3) | 2, "RFLAGS: reserved bits" },
	{ GUEST_RFLAGS, BIT(22) | 2, "RFLAGS: reserved bits" },
	{ GUEST_RFLAGS, 0x3f7fd7 & ~X86_EFLAGS_VM, NULL },
	{ GUEST_RFLAGS, X86_EFLAGS_VM | 2, "RFLAGS.VM in long or real mode" },
	{ GUEST_RIP, BIT_ULL(32), "RIP: above 4 GiB outside of 64-bit mode" },
	{ GUEST_RIP, BIT_ULL(32), "RIP: above 4 GiB outside of 64-bit mode",
	  GUEST_CS_AR_BYTES, 0x9b | VMX_AR_L_MASK },
	{ GUEST_RFLAGS, TF, NULL },
	{ GUEST_RFLAGS, TF, STEP, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI },
	{ GUEST_RFLAGS, TF, STEP, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS },
	{ GUEST_RFLAGS, TF, NULL, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_NMI },
	{ GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI, NULL },
	{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(14), NULL },
	{ GUEST_PENDING_DBG_EXCEPTIONS, BIT(14), STEP,
	  GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI },
};

static const struct field long_mode[] = {
	{ GUEST_CR0, 0x80000031 }, { GUEST_CR4, 0x2020 }, { GUEST_IA32_EFER, EFER_LMA | EFER_LME },
	{ VM_ENTRY_CONTROLS, VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_IA32E_MODE },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_L_MASK },
	{}
};

static const struct spoilt bad_long[] = {
	{ GUEST_SS_AR_BYTES, 0xf3, NULL, GUEST_CS_AR_BYTES, 0xfb | VMX_AR_L_MASK },
	{ GUEST_SS_AR_BYTES, 0xf3, "SS: DPL is not 0 in real mode", GUEST_CS_AR_BYTES, 0x93 },
	{ GUEST_CR0, 0x31, "long mode without paging, or without CR4.PAE" },
	{ GUEST_CR4, 0x2000, "long mode without paging, or without CR4.PAE" },
	{ GUEST_CR4, 0x2020 | X86_CR4_PCIDE, NULL },
	{ GUEST_IA32_EFER, EFER_LME, "EFER.LMA is not what the entry control says" },
	{ GUEST_IA32_EFER, EFER_LMA, "EFER.LME without EFER.LMA, while there is paging" },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_L_MASK | VMX_AR_DB_MASK, "CS: both L and D" },
	{ GUEST_CS_AR_BYTES, 0x9b | VMX_AR_DB_MASK, NULL },
	{ GUEST_TR_AR_BYTES, 0x83, "TR: type is not that of a busy TSS" },
	{ GUEST_RFLAGS, X86_EFLAGS_VM | 2, "RFLAGS.VM in long or real mode" },
	{ GUEST_RIP, BIT_ULL(32), NULL },
	{ GUEST_RIP, BIT_ULL(32), "RIP: above 4 GiB outside of 64-bit mode",
	  GUEST_CS_AR_BYTES, 0x9b | VMX_AR_DB_MASK },
};

static const struct field v86_mode[] = {
	{ GUEST_CR0, 0x31 }, { GUEST_RFLAGS, X86_EFLAGS_VM | 2 },
	{ GUEST_ES_SELECTOR, 0x123 }, { GUEST_ES_BASE, 0x1230 },
	{ GUEST_ES_LIMIT, 0xffff }, { GUEST_ES_AR_BYTES, 0xf3 },
	{ GUEST_CS_SELECTOR, 0x123 }, { GUEST_CS_BASE, 0x1230 },
	{ GUEST_CS_LIMIT, 0xffff }, { GUEST_CS_AR_BYTES, 0xf3 },
	{ GUEST_SS_SELECTOR, 0x123 }, { GUEST_SS_BASE, 0x1230 },
	{ GUEST_SS_LIMIT, 0xffff }, { GUEST_SS_AR_BYTES, 0xf3 },
	{ GUEST_DS_SELECTOR, 0x123 }, { GUEST_DS_BASE, 0x1230 },
	{ GUEST_DS_LIMIT, 0xffff }, { GUEST_DS_AR_BYTES, 0xf3 },
	{ GUEST_FS_SELECTOR, 0x123 }, { GUEST_FS_BASE, 0x1230 },
	{ GUEST_FS_LIMIT, 0xffff }, { GUEST_FS_AR_BYTES, 0xf3 },
	{ GUEST_GS_SELECTOR, 0x123 }, { GUEST_GS_BASE, 0x1230 },
	{ GUEST_GS_LIMIT, 0xffff }, { GUEST_GS_AR_BYTES, 0xf3 },
	{}
};

#define V86_BASE	"a segment's base in virtual-8086 mode"
#define V86_OTHER	"a segment's limit or access rights in virtual-8086 mode"

static const struct spoilt bad_v86[] = {
	{ GUEST_ES_BASE, 0x1231, V86_BASE },
	{ GUEST_GS_BASE, 0x1231, V86_BASE },
	{ GUEST_ES_LIMIT, 0xfffff, V86_OTHER },
	{ GUEST_GS_LIMIT, 0xfffff, V86_OTHER },
	{ GUEST_ES_AR_BYTES, 0x93, V86_OTHER },
	{ GUEST_GS_AR_BYTES, 0xfb, V86_OTHER },
	{ GUEST_TR_AR_BYTES, 0x89, "TR: type is not that of a busy TSS" },
	{ GUEST_LDTR_AR_BYTES, VMX_AR_UNUSABLE_MASK, NULL },
};

static void test_rows(struct kunit *test, const struct spoilt *rows, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		spoilt = rows[i];
		KUNIT_EXPECT_STREQ(test, guest_error(&lim, 0), rows[i].what ?: NOT_FOUND);
	}
}

static void test_guest(struct kunit *test)
{
	test_rows(test, bad_guest, ARRAY_SIZE(bad_guest));
	mode = long_mode;
	test_rows(test, bad_long, ARRAY_SIZE(bad_long));
	mode = v86_mode;
	test_rows(test, bad_v86, ARRAY_SIZE(bad_v86));
	mode = NULL;
}

#define FORBIDDEN	"an interrupt is injected while RFLAGS.IF or a shadow forbids it"
#define NMI_BLOCKED	"an NMI is injected while NMIs are blocked"

static void test_guest_injection(struct kunit *test)
{
	const u32 intr = INTR_INFO_VALID_MASK | 0x20;
	const u32 nmi = INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR | 2;

	spoil(GUEST_RFLAGS, 2);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr), FORBIDDEN);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, nmi), NOT_FOUND);
	spoil(GUEST_RFLAGS, 0x202);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr), NOT_FOUND);
	spoil_two(GUEST_RFLAGS, 0x202, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_STI);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr), FORBIDDEN);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, nmi), NMI_BLOCKED);
	spoil_two(GUEST_RFLAGS, 0x202, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_MOV_SS);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr), FORBIDDEN);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, nmi), NMI_BLOCKED);
	spoil_two(GUEST_RFLAGS, 0x202, GUEST_INTERRUPTIBILITY_INFO, GUEST_INTR_STATE_NMI);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr), NOT_FOUND);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, nmi), NMI_BLOCKED);
	/* Without the valid bit there is none. */
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, nmi & ~INTR_INFO_VALID_MASK), NOT_FOUND);
	spoil(GUEST_RFLAGS, 2);
	KUNIT_EXPECT_STREQ(test, guest_error(&lim, intr & ~INTR_INFO_VALID_MASK), NOT_FOUND);
}

static void test_instruction(struct kunit *test)
{
	KUNIT_EXPECT_STREQ(test, instruction_error(0), "VMX is off");
	KUNIT_EXPECT_STREQ(test, instruction_error(4), "VMLAUNCH of a VMCS that was launched");
	KUNIT_EXPECT_STREQ(test, instruction_error(5), "VMRESUME of a VMCS that was not launched");
	KUNIT_EXPECT_STREQ(test, instruction_error(6), "VMRESUME after VMXOFF");
	KUNIT_EXPECT_STREQ(test, instruction_error(7), "a control field is invalid");
	KUNIT_EXPECT_STREQ(test, instruction_error(8), "a host-state field is invalid");
	KUNIT_EXPECT_STREQ(test, instruction_error(26), "the host is in a MOV SS shadow");
	KUNIT_EXPECT_STREQ(test, instruction_error(1), "unknown");
	KUNIT_EXPECT_STREQ(test, instruction_error(~0), "unknown");
}

/* ---- what the CPU can do, as its MSRs have it ---- */

static struct {
	u64 basic, ept, word[VMX_NR_WORDS], old_word[VMX_NR_WORDS];
} cpu;

static int fake_rdmsr(u32 msr, u64 *val)
{
	static const u32 word_msr[VMX_NR_WORDS][2] = {
		[VMX_PIN] = { 0x481, 0x48d }, [VMX_PROC] = { 0x482, 0x48e },
		[VMX_PROC2] = { 0x48b, 0x48b }, [VMX_EXIT] = { 0x483, 0x48f },
		[VMX_ENTRY] = { 0x484, 0x490 },
	};
	unsigned int i;

	for (i = 0; i < VMX_NR_WORDS; i++) {
		if (msr == word_msr[i][1]) {
			*val = cpu.word[i];
			return 0;
		}
		if (msr == word_msr[i][0]) {
			*val = cpu.old_word[i];
			return 0;
		}
	}
	*val = 0;
	switch (msr) {
	case 0x480:
		*val = cpu.basic;
		return 0;
	case 0x48c:
		*val = cpu.ept;
		return 0;
	case 0x485:	/* MISC: 4 CR3-target values, instructions of length 0 */
		*val = 4 << 16 | BIT(30);
		return 0;
	case 0x486: case 0x488:
		*val = 0x21 + (msr & 8);
		return 0;
	case 0x487: case 0x489:
		*val = 0x1000 + (msr & 8);
		return 0;
	}
	return -EIO;
}

/* One that can do everything, and leaves everything to be chosen. */
static void good_cpu(void)
{
	unsigned int i;

	cpu.basic = 0x1234 | 0x1000ull << 32 | 6ull << 50 | BASIC_TRUE_MSRS;
	cpu.ept = VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT | VMX_EPT_2MB_PAGE_BIT |
		  VMX_EPT_INVEPT_BIT | VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_AD_BIT |
		  BIT_ULL(32) | BIT_ULL(41);
	for (i = 0; i < VMX_NR_WORDS; i++) {
		cpu.word[i] = ~0ull << 32;
		cpu.old_word[i] = ~0ull << 32 | (i == VMX_PROC ? CPU_BASED_CR3_LOAD_EXITING : 0);
	}
}

/* By the manual's bit numbers: what must be there, and whether it is on from the start. */
static const u32 required[VMX_NR_WORDS] = {
	[VMX_PIN] = BIT(0) | BIT(3) | BIT(5),
	[VMX_PROC] = BIT(2) | BIT(3) | BIT(7) | BIT(10) | BIT(11) | BIT(19) | BIT(21) | BIT(22) |
		     BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(31),
	[VMX_PROC2] = BIT(1) | BIT(6) | BIT(7),
	[VMX_EXIT] = BIT(2) | BIT(9) | BIT(19) | BIT(21),
	[VMX_ENTRY] = BIT(2) | BIT(9) | BIT(14) | BIT(15),
};

static const u32 later[VMX_NR_WORDS] = {
	[VMX_PROC] = BIT(2) | BIT(19) | BIT(22), [VMX_ENTRY] = BIT(9),
};

static const u32 wanted[VMX_NR_WORDS] = {
	[VMX_PROC2] = BIT(3) | BIT(5) | BIT(10) | BIT(11) | BIT(12) | BIT(15) | BIT(16) |
		      BIT(20) | BIT(25),
};

static const u32 never[VMX_NR_WORDS] = {
	[VMX_PROC] = BIT(9) | BIT(15) | BIT(16), [VMX_EXIT] = BIT(15),
};

static u32 wished(unsigned int word)
{
	return (required[word] & ~later[word]) | wanted[word];
}

static void test_probe(struct kunit *test)
{
	unsigned int word, bit;

	for (word = 0; word < VMX_NR_WORDS; word++) {
		for (bit = 0; bit < 32; bit++) {
			good_cpu();
			cpu.word[word] &= ~(BIT_ULL(bit) << 32);
			KUNIT_EXPECT_EQ(test, vmx_caps_probe(),
					required[word] & BIT(bit) ? -EOPNOTSUPP : 0);
			KUNIT_EXPECT_EQ(test, vmx_caps.ctl[word], wished(word) & ~(u32)BIT(bit));
			good_cpu();
			cpu.word[word] |= BIT_ULL(bit);
			KUNIT_EXPECT_EQ(test, vmx_caps_probe(),
					never[word] & BIT(bit) ? -EOPNOTSUPP : 0);
			KUNIT_EXPECT_EQ(test, vmx_caps.ctl[word], wished(word) | BIT(bit));
		}
	}
	good_cpu();
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), 0);
	KUNIT_EXPECT_EQ(test, vmx_caps.revision, 0x1234);
	/* Without the newer MSRs, what an older CPU always has on. */
	cpu.basic &= ~BASIC_TRUE_MSRS;
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), -EOPNOTSUPP);
}

static void test_probe_basic(struct kunit *test)
{
	good_cpu();
	cpu.basic += 1ull << 32;	/* larger than a page */
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), -EOPNOTSUPP);
	good_cpu();
	cpu.basic ^= 6ull << 50;	/* uncached */
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), -EOPNOTSUPP);
	good_cpu();
	cpu.basic |= BIT_ULL(48);	/* below 4 GiB */
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), -EOPNOTSUPP);
}

static void test_probe_ept(struct kunit *test)
{
	const u64 need[] = { BIT_ULL(6), BIT_ULL(14), BIT_ULL(16), BIT_ULL(20), BIT_ULL(25) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(need); i++) {
		good_cpu();
		cpu.ept &= ~need[i];
		KUNIT_EXPECT_EQ(test, vmx_caps_probe(), -EOPNOTSUPP);
	}
	good_cpu();
	vmx_caps_probe();
	KUNIT_EXPECT_TRUE(test, vmx_caps.ept_ad);
	KUNIT_EXPECT_TRUE(test, vmx_caps.invept_context);
	KUNIT_EXPECT_TRUE(test, vmx_caps.vpid);
	/* INVEPT for all is enough. */
	cpu.ept ^= BIT_ULL(21) | BIT_ULL(25) | BIT_ULL(26);
	KUNIT_EXPECT_EQ(test, vmx_caps_probe(), 0);
	KUNIT_EXPECT_FALSE(test, vmx_caps.ept_ad);
	KUNIT_EXPECT_FALSE(test, vmx_caps.invept_context);
	/* A VPID is of no use without INVVPID for it. */
	for (i = 0; i < 3; i++) {
		good_cpu();
		if (i == 2)
			cpu.word[VMX_PROC2] &= ~(BIT_ULL(5) << 32);
		else
			cpu.ept &= ~(i ? BIT_ULL(41) : BIT_ULL(32));
		KUNIT_EXPECT_EQ(test, vmx_caps_probe(), 0);
		KUNIT_EXPECT_FALSE(test, vmx_caps.vpid);
		KUNIT_EXPECT_EQ(test, vmx_caps.ctl[VMX_PROC2], wished(VMX_PROC2) & ~(u32)BIT(5));
	}
}

/* Another CPU of the machine. */
static void test_fit(struct kunit *test)
{
	unsigned int word;

	good_cpu();
	vmx_caps_probe();
	KUNIT_EXPECT_TRUE(test, vmx_caps_fit());
	cpu.basic++;
	KUNIT_EXPECT_FALSE(test, vmx_caps_fit());
	for (word = 0; word < VMX_NR_WORDS; word++) {
		good_cpu();
		cpu.word[word] |= BIT(8);		/* always on: it was off */
		KUNIT_EXPECT_FALSE(test, vmx_caps_fit());
		good_cpu();
		cpu.word[word] &= ~((u64)(wished(word) & -wished(word)) << 32);
		KUNIT_EXPECT_FALSE(test, vmx_caps_fit());
		good_cpu();
		cpu.word[word] &= ~(BIT_ULL(8) << 32);	/* nobody uses it */
		KUNIT_EXPECT_TRUE(test, vmx_caps_fit());
	}
}

static void test_limits(struct kunit *test)
{
	struct vmx_limits now;

	good_cpu();
	cpu.word[VMX_EXIT] = 0x1234ull << 32 | 0x56;
	vmx_read_limits(&now);
	KUNIT_EXPECT_EQ(test, now.may[VMX_EXIT], 0x1234);
	KUNIT_EXPECT_EQ(test, now.must[VMX_EXIT], 0x56);
	KUNIT_EXPECT_EQ(test, now.may[VMX_PIN], ~0u);
	KUNIT_EXPECT_EQ(test, now.must[VMX_PIN], 0);
	KUNIT_EXPECT_EQ(test, now.ept, cpu.ept);
	KUNIT_EXPECT_EQ(test, now.cr0_must, 0x21);
	KUNIT_EXPECT_EQ(test, now.cr0_may, 0x1000);
	KUNIT_EXPECT_EQ(test, now.cr4_must, 0x29);
	KUNIT_EXPECT_EQ(test, now.cr4_may, 0x1008);
	KUNIT_EXPECT_EQ(test, now.cr3_targets, 4);
	KUNIT_EXPECT_TRUE(test, now.zero_len);
	KUNIT_EXPECT_FALSE(test, now.any_error_code);
	cpu.basic |= BIT_ULL(56);
	vmx_read_limits(&now);
	KUNIT_EXPECT_TRUE(test, now.any_error_code);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(test_controls),
	KUNIT_CASE(test_areas),
	KUNIT_CASE(test_eptp),
	KUNIT_CASE(test_any_error_code),
	KUNIT_CASE(test_injection),
	KUNIT_CASE(test_host),
	KUNIT_CASE(test_guest),
	KUNIT_CASE(test_guest_injection),
	KUNIT_CASE(test_instruction),
	KUNIT_CASE(test_probe),
	KUNIT_CASE(test_probe_basic),
	KUNIT_CASE(test_probe_ept),
	KUNIT_CASE(test_fit),
	KUNIT_CASE(test_limits),
	{}
};

static struct kunit_suite suite = {
	.name = "minihv_check",
	.test_cases = cases,
};

kunit_test_suite(suite);
