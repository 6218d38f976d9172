// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: what guests can be offered, what a vCPU was given, and its look-up.
 * Entered from the ioctls on the system fd and on vCPUs, and from CPUID exits.
 * vcpu->mutex for what belongs to a vCPU; the supported table never changes.
 * Intel SDM volume 2, "CPUID"; AMD APM volume 3, "Obtaining Processor
 * Information Via the CPUID Instruction".
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/kvm_para.h>
#include <asm/processor.h>

#include "minihv.h"
#include "backend.h"

#define F(name)		BIT(X86_FEATURE_##name & 31)

/* Entries that one SET_CPUID2 may bring, as KVM has it. */
#define CPUID_SET_MAX	256

/* State components that a guest can be given, where the host has them. */
#define CPUID_XCR0	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | XFEATURE_MASK_YMM | \
			 XFEATURE_MASK_AVX512)

enum { EAX, EBX, ECX, EDX };

/*
 * How a register of a supported leaf comes about.  The mask is always applied
 * to what this CPU says; a kernel feature word further removes what the host
 * kernel found unusable or was told not to use.
 */
#define NO_WORD		-1

/**
 * struct cpuid_reg_rule - the bits of one register that guests can have
 * @word: index of the kernel's feature word, or NO_WORD
 * @mask: bits let through; the default, 0, hides all
 */
struct cpuid_reg_rule {
	s8 word;
	u32 mask;
};

#define WORD(w, m)	{ .word = (w), .mask = (m) }
#define RAW(m)		{ .word = NO_WORD, .mask = (m) }

/**
 * struct cpuid_row - a leaf, or one sub-leaf of it, that is not all zeros
 * @leaf: as in EAX
 * @sub: as in ECX
 * @reg: EAX, EBX, ECX, EDX
 * @fix: what a mask cannot express: bits of our own making, limits
 */
struct cpuid_row {
	u32 leaf;
	u32 sub;
	struct cpuid_reg_rule reg[4];
	void (*fix)(struct kvm_cpuid_entry2 *e);
};

static struct kvm_cpuid_entry2 supported[MHV_MAX_CPUID] __ro_after_init;
static u32 nr_supported __ro_after_init;
static u64 host_xcr0 __ro_after_init;		/* what guests can have of it */

/* Size and offset of each extended state component (leaf 0xd). */
static struct {
	u32 size;
	u32 offset;
	bool aligned;
} xstate[10] __ro_after_init;

static u32 xstate_size(u64 xcr0, bool compacted)
{
	u32 size = XSAVE_HDR_OFFSET + XSAVE_HDR_SIZE;
	unsigned int i;

	for (i = XFEATURE_YMM; i < ARRAY_SIZE(xstate); i++) {
		u32 at;

		if (!(xcr0 & BIT_ULL(i)))
			continue;
		if (!compacted)
			at = xstate[i].offset;
		else
			at = xstate[i].aligned ? ALIGN(size, 64) : size;
		size = max(size, at + xstate[i].size);
	}
	return size;
}

/* ---- the supported table ---- */

static void fix_basic_max(struct kvm_cpuid_entry2 *e)
{
	e->eax = min(e->eax, 0x1fu);
}

static void fix_1(struct kvm_cpuid_entry2 *e)
{
	/*
	 * The LAPIC's x2APIC mode is emulated.  So is its TSC-deadline timer,
	 * but that has a capability instead; userspace sets the bit, and the
	 * hypervisor bit as well.
	 */
	e->ecx |= F(X2APIC);
}

static void fix_6(struct kvm_cpuid_entry2 *e)
{
	e->eax = BIT(2);	/* ARAT: the emulated timer never stops */
}

/* Take a bit away if that is what the backend cannot give guests. */
static void drop_lacking(u32 *reg, u32 bit, u32 feature)
{
	if (mhv_backend->caps.lacks & feature)
		*reg &= ~bit;
}

static void fix_7(struct kvm_cpuid_entry2 *e)
{
	e->eax = min(e->eax, 2u);
	drop_lacking(&e->ebx, F(INVPCID), MHV_GUEST_INVPCID);
	drop_lacking(&e->ecx, F(RDPID), MHV_GUEST_TSC_AUX);
	if (mhv_backend->caps.umip)
		e->ecx |= F(UMIP);
	/* Emulated: both MSRs are plain values to us. */
	e->ebx |= F(TSC_ADJUST);
	e->edx |= F(ARCH_CAPABILITIES);
	if (!mhv_backend->caps.spec_ctrl) {
		e->edx &= ~(F(SPEC_CTRL) | F(SPEC_CTRL_SSBD) | F(INTEL_STIBP));
		return;
	}
	/* AMD has a bit of its own for each; offer them in Intel's way too. */
	if (boot_cpu_has(X86_FEATURE_IBPB) && boot_cpu_has(X86_FEATURE_IBRS))
		e->edx |= F(SPEC_CTRL);
	if (boot_cpu_has(X86_FEATURE_STIBP))
		e->edx |= F(INTEL_STIBP);
	if (boot_cpu_has(X86_FEATURE_AMD_SSBD))
		e->edx |= F(SPEC_CTRL_SSBD);
}

static void fix_d_0(struct kvm_cpuid_entry2 *e)
{
	e->eax = (u32)host_xcr0;
	e->edx = (u32)(host_xcr0 >> 32);
	e->ebx = xstate_size(host_xcr0, false);
	e->ecx = e->ebx;
}

static void fix_d_1(struct kvm_cpuid_entry2 *e)
{
	drop_lacking(&e->eax, F(XSAVES), MHV_GUEST_XSAVES);
	e->ebx = e->eax & (F(XSAVES) | F(XSAVEC)) ? xstate_size(host_xcr0, true) : 0;
}

static void fix_kvm_signature(struct kvm_cpuid_entry2 *e)
{
	u32 sig[3];

	memcpy(sig, KVM_SIGNATURE, sizeof(sig));
	e->eax = KVM_CPUID_FEATURES;
	e->ebx = sig[0];
	e->ecx = sig[1];
	e->edx = sig[2];
}

static void fix_kvm_features(struct kvm_cpuid_entry2 *e)
{
	e->eax = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
		 BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
		 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) |
		 BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_PV_EOI) |
		 BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_TLB_FLUSH);
	if (sched_info_on())
		e->eax |= BIT(KVM_FEATURE_STEAL_TIME);
}

static void fix_extended_max(struct kvm_cpuid_entry2 *e)
{
	e->eax = min(e->eax, 0x80000021u);
	/*
	 * Leaf 0x80000021 says things that guests want to know on CPUs too
	 * old to have it.  Not below 0x8000001d: QEMU would then ask the CPU
	 * itself for that leaf.
	 */
	if (e->eax >= 0x8000001d && (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ||
				     !boot_cpu_has_bug(X86_BUG_NULL_SEG)))
		e->eax = 0x80000021;
}

static void fix_80000001(struct kvm_cpuid_entry2 *e)
{
	drop_lacking(&e->edx, F(RDTSCP), MHV_GUEST_TSC_AUX);
}

static void fix_80000008(struct kvm_cpuid_entry2 *e)
{
	/*
	 * Guest-physical addresses are the CPU's, whatever the host kernel
	 * lost of them to memory encryption; linear ones have 4 levels.
	 */
	e->eax = (e->eax & 0xff) | 48 << 8;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		e->ebx |= F(AMD_SSB_NO);
	if (!mhv_backend->caps.spec_ctrl) {
		e->ebx &= ~(F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_SSBD) |
			    F(AMD_STIBP_ALWAYS_ON));
		return;
	}
	/* The kernel's words are the same bits, whichever way found. */
	if (boot_cpu_has(X86_FEATURE_IBPB))
		e->ebx |= F(AMD_IBPB);
	if (boot_cpu_has(X86_FEATURE_IBRS))
		e->ebx |= F(AMD_IBRS);
	if (boot_cpu_has(X86_FEATURE_STIBP))
		e->ebx |= F(AMD_STIBP);
	if (boot_cpu_has(X86_FEATURE_SPEC_CTRL_SSBD))
		e->ebx |= F(AMD_SSBD);
}

static void fix_80000021(struct kvm_cpuid_entry2 *e)
{
	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		e->eax |= BIT(2);	/* LFENCE serializes */
	if (!boot_cpu_has_bug(X86_BUG_NULL_SEG))
		e->eax |= BIT(6);	/* a null selector clears the base */
	e->eax |= BIT(9);		/* no SMM_CTL MSR */
#ifdef X86_FEATURE_SRSO_NO
	if (boot_cpu_has(X86_FEATURE_SRSO_NO))
		e->eax |= F(SRSO_NO);
#endif
#ifdef X86_FEATURE_TSA_SQ_NO
	if (boot_cpu_has(X86_FEATURE_VERW_CLEAR))
		e->eax |= BIT(5);
	if (boot_cpu_has(X86_FEATURE_TSA_SQ_NO))
		e->ecx |= BIT(1);
	if (boot_cpu_has(X86_FEATURE_TSA_L1_NO))
		e->ecx |= BIT(2);
#endif
}

/*
 * Not offered, though hosts have it: SVM and VMX (no nesting), PMUs, MONITOR
 * and MWAIT, protection keys, 5-level paging, dynamically enabled state (AMX),
 * supervisor state (CET, PT), SGX, SEV, VIRT_SSBD.
 */
#define MASK_1_EDX	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) |	\
			 F(MCE) | F(CX8) | F(APIC) | F(SEP) | F(MTRR) | F(PGE) |		\
			 F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | F(CLFLUSH) | F(MMX) |	\
			 F(FXSR) | F(XMM) | F(XMM2) | F(SELFSNOOP))
#define MASK_1_ECX	(F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) |		\
			 F(PCID) | F(XMM4_1) | F(XMM4_2) | F(X2APIC) | F(MOVBE) |		\
			 F(POPCNT) | F(AES) | F(XSAVE) | F(AVX) | F(F16C) | F(RDRAND))
#define MASK_7_EBX	(F(FSGSBASE) | F(BMI1) | F(HLE) | F(AVX2) | F(FDP_EXCPTN_ONLY) |	\
			 F(SMEP) | F(BMI2) | F(ERMS) | F(INVPCID) | F(RTM) |		\
			 F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) | F(RDSEED) |		\
			 F(ADX) | F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) |	\
			 F(AVX512PF) | F(AVX512ER) | F(AVX512CD) | F(SHA_NI) |		\
			 F(AVX512BW) | F(AVX512VL))
#define MASK_7_ECX	(F(AVX512VBMI) | F(RDPID) | F(AVX512_VPOPCNTDQ) | F(UMIP) |	\
			 F(AVX512_VBMI2) | F(GFNI) | F(VAES) | F(VPCLMULQDQ) |		\
			 F(AVX512_VNNI) | F(AVX512_BITALG) | F(CLDEMOTE) | F(MOVDIRI) |	\
			 F(MOVDIR64B))
#define MASK_7_EDX	(F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(SPEC_CTRL) |		\
			 F(SPEC_CTRL_SSBD) | F(ARCH_CAPABILITIES) | F(INTEL_STIBP) |	\
			 F(MD_CLEAR) | F(AVX512_VP2INTERSECT) | F(FSRM) | F(SERIALIZE) |	\
			 F(TSXLDTRK) | F(AVX512_FP16))
#define MASK_E1_EDX	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) |	\
			 F(MCE) | F(CX8) | F(APIC) | F(SYSCALL) | F(MTRR) | F(PGE) |	\
			 F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | F(NX) | F(MMXEXT) |	\
			 F(MMX) | F(FXSR) | F(FXSR_OPT) | F(GBPAGES) | F(RDTSCP) |		\
			 F(LM) | F(3DNOWEXT) | F(3DNOW))
#define MASK_E1_ECX	(F(LAHF_LM) | F(CMP_LEGACY) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) |	\
			 F(MISALIGNSSE) | F(3DNOWPREFETCH) | F(OSVW) | F(XOP) |		\
			 F(FMA4) | F(TBM) | F(TOPOEXT))
#define MASK_E8_EBX	(F(CLZERO) | F(XSAVEERPTR) | F(WBNOINVD) | F(AMD_IBPB) |		\
			 F(AMD_IBRS) | F(AMD_SSBD) | F(AMD_SSB_NO) | F(AMD_STIBP) |	\
			 F(AMD_STIBP_ALWAYS_ON) | BIT(28))

/* FPU, VME ... of leaf 0x80000001 repeat leaf 1: the kernel keeps one word. */
static const struct cpuid_row rows[] = {
	{ .leaf = 0x00, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(~0u) },
	  .fix = fix_basic_max },
	/* Which CPU this is (APIC id, topology) is for userspace to make up. */
	{ .leaf = 0x01, .reg = { RAW(~0u), RAW(0x00ffffff), WORD(CPUID_1_ECX, MASK_1_ECX),
				 WORD(CPUID_1_EDX, MASK_1_EDX) }, .fix = fix_1 },
	{ .leaf = 0x02, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(~0u) } },
	{ .leaf = 0x04, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(~0u) } },
	{ .leaf = 0x06, .fix = fix_6 },
	{ .leaf = 0x07, .reg = { RAW(~0u), WORD(CPUID_7_0_EBX, MASK_7_EBX),
				 WORD(CPUID_7_ECX, MASK_7_ECX),
				 WORD(CPUID_7_EDX, MASK_7_EDX) }, .fix = fix_7 },
	{ .leaf = 0x07, .sub = 1,
	  .reg = { WORD(CPUID_7_1_EAX, F(AVX_VNNI) | F(AVX512_BF16)) } },
	/* PSFD, IPRED_CTRL, RRSBA_CTRL, DDPD_U, BHI_CTRL, MCDT_NO */
	{ .leaf = 0x07, .sub = 2, .reg = { [EDX] = RAW(GENMASK(5, 0)) } },
	{ .leaf = 0x0d, .fix = fix_d_0 },
	{ .leaf = 0x0d, .sub = 1,
	  .reg = { WORD(CPUID_D_1_EAX, F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES)) },
	  .fix = fix_d_1 },
	{ .leaf = 0x40000000, .fix = fix_kvm_signature },
	{ .leaf = 0x40000001, .fix = fix_kvm_features },
	{ .leaf = 0x80000000, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(~0u) },
	  .fix = fix_extended_max },
	{ .leaf = 0x80000001, .reg = { RAW(~0u), RAW(0xf000ffff),
				       WORD(CPUID_8000_0001_ECX, MASK_E1_ECX),
				       WORD(CPUID_8000_0001_EDX, MASK_E1_EDX) },
	  .fix = fix_80000001 },
	{ .leaf = 0x80000006, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(0xfffcffff) } },
	{ .leaf = 0x80000007, .reg = { [EDX] = RAW(BIT(8)) } },	/* invariant TSC */
	{ .leaf = 0x80000008, .reg = { RAW(0xffff), WORD(CPUID_8000_0008_EBX, MASK_E8_EBX),
				       RAW(0xf0ff) }, .fix = fix_80000008 },
	{ .leaf = 0x80000019, .reg = { RAW(~0u), RAW(~0u) } },
	{ .leaf = 0x8000001a, .reg = { RAW(GENMASK(2, 0)) } },
	{ .leaf = 0x8000001d, .reg = { RAW(~0u), RAW(~0u), RAW(~0u), RAW(~0u) } },
	{ .leaf = 0x80000021, .reg = { WORD(CPUID_8000_0021_EAX, BIT(0) | BIT(2) | BIT(5)) },
	  .fix = fix_80000021 },
};

/* Leaves whose answer depends on ECX. */
static bool leaf_is_indexed(u32 leaf)
{
	static const u32 basic = BIT(0x4) | BIT(0x7) | BIT(0xb) | BIT(0xd) | BIT(0xf) |
				 BIT(0x10) | BIT(0x12) | BIT(0x14) | BIT(0x17) | BIT(0x18) |
				 BIT(0x1d) | BIT(0x1e) | BIT(0x1f);

	return leaf < 32 ? basic & BIT(leaf) : leaf == 0x8000001d;
}

static void apply_row(const struct cpuid_row *row, struct kvm_cpuid_entry2 *e)
{
	u32 *reg[4] = { &e->eax, &e->ebx, &e->ecx, &e->edx };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		*reg[i] &= row->reg[i].mask;
		if (row->reg[i].mask && row->reg[i].word != NO_WORD)
			*reg[i] &= boot_cpu_data.x86_capability[row->reg[i].word];
	}
	if (row->fix)
		row->fix(e);
}

/* Add an entry with the CPU's own values; NULL if the table is full. */
static struct kvm_cpuid_entry2 *add_host(u32 leaf, u32 sub)
{
	struct kvm_cpuid_entry2 *e;
	u32 class = leaf & 0xc0000000;

	if (nr_supported == MHV_MAX_CPUID)
		return NULL;
	e = &supported[nr_supported++];
	e->function = leaf;
	e->index = sub;
	if (leaf_is_indexed(leaf))
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	/* Beyond its last leaf the CPU may answer anything. */
	if (class != 0x40000000 && leaf <= cpuid_eax(class))
		cpuid_count(leaf, sub, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

static const struct cpuid_row *find_row(u32 leaf, u32 sub)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].leaf == leaf && rows[i].sub == sub)
			return &rows[i];
	return NULL;
}

static struct kvm_cpuid_entry2 *add_leaf(u32 leaf, u32 sub)
{
	static const struct cpuid_row zero;
	const struct cpuid_row *row = find_row(leaf, sub);
	struct kvm_cpuid_entry2 *e = add_host(leaf, sub);

	if (e)
		apply_row(row ?: &zero, e);
	return e;
}

/* Caches: sub-leaves up to and with the first whose type is 0. */
static void add_caches(u32 leaf, const struct kvm_cpuid_entry2 *first)
{
	const struct kvm_cpuid_entry2 *e = first;
	u32 sub;

	for (sub = 1; e && e->eax & 0x1f && sub < 8; sub++)
		e = add_host(leaf, sub);
}

static void add_xstate(void)
{
	struct kvm_cpuid_entry2 *e;
	unsigned int i;

	if (!host_xcr0)
		return;
	add_leaf(0xd, 1);
	for (i = XFEATURE_YMM; i < ARRAY_SIZE(xstate); i++) {
		if (!(host_xcr0 & BIT_ULL(i)))
			continue;
		e = add_host(0xd, i);
		if (e) {
			e->ecx &= ~BIT(2);	/* not under XFD's control */
			e->edx = 0;
		}
	}
}

static void add_class(u32 base)
{
	u32 leaf = base, last = base;

	do {
		struct kvm_cpuid_entry2 *e = add_leaf(leaf, 0);
		u32 sub, nr;

		if (!e)
			return;
		if (leaf == base)
			last = e->eax;
		switch (leaf) {
		case 0x4:
		case 0x8000001d:
			add_caches(leaf, e);
			break;
		case 0x7:
			for (sub = 1, nr = e->eax; sub <= nr; sub++)
				add_leaf(leaf, sub);
			break;
		case 0xd:
			add_xstate();
			break;
		}
	} while (leaf++ < last);
}

static void probe_xstate(void)
{
	unsigned int i;
	u32 edx, ecx;

	if (boot_cpu_has(X86_FEATURE_OSXSAVE))
		host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK) & CPUID_XCR0;
	if (!host_xcr0)
		return;
	for (i = XFEATURE_YMM; i < ARRAY_SIZE(xstate); i++) {
		cpuid_count(0xd, i, &xstate[i].size, &xstate[i].offset, &ecx, &edx);
		xstate[i].aligned = ecx & BIT(1);
	}
}

/**
 * mhv_cpuid_setup - make the table of what guests can be given
 *
 * Context: module load, after the backend's setup().
 */
void mhv_cpuid_setup(void)
{
	probe_xstate();
	nr_supported = 0;
	memset(supported, 0, sizeof(supported));
	/* First, so that a CPU with very many leaves cannot crowd them out. */
	add_class(0x40000000);
	add_class(0);
	add_class(0x80000000);
}

/**
 * mhv_host_xcr0 - XCR0 bits that a guest can be given at all
 *
 * Context: any.
 */
u64 mhv_host_xcr0(void)
{
	return host_xcr0;
}

static int copy_entries(struct kvm_cpuid2 __user *user, const struct kvm_cpuid_entry2 *entries,
			u32 nr)
{
	u32 nent;

	if (get_user(nent, &user->nent))
		return -EFAULT;
	if (nent < nr)
		return -E2BIG;
	if (copy_to_user(user->entries, entries, nr * sizeof(*entries)) ||
	    put_user(nr, &user->nent))
		return -EFAULT;
	return 0;
}

/**
 * mhv_cpuid_supported - KVM_GET_SUPPORTED_CPUID
 * @user: nent, and room for that many entries
 *
 * Context: may sleep.
 * Return: 0 with nent the number written; -E2BIG if there is no room for all;
 * -EFAULT.
 */
int mhv_cpuid_supported(struct kvm_cpuid2 __user *user)
{
	return copy_entries(user, supported, nr_supported);
}

/* Does the host's offer have this bit? */
static bool host_has(u32 leaf, u32 sub, unsigned int reg, u32 mask)
{
	unsigned int i;

	for (i = 0; i < nr_supported; i++) {
		const struct kvm_cpuid_entry2 *e = &supported[i];
		const u32 regs[4] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->function == leaf && e->index == sub)
			return regs[reg] & mask;
	}
	return false;
}

/* ---- a vCPU's CPUID ---- */

static __always_inline struct kvm_cpuid_entry2 *find_inline(struct mhv_vcpu *vcpu,
							    u32 leaf, u32 sub)
{
	struct kvm_cpuid_entry2 *e = vcpu->cpuid, *end = e + vcpu->nr_cpuid;
	u32 class = leaf >> 30, n = leaf & GENMASK(29, 0);

	if (likely(class < ARRAY_SIZE(vcpu->cpuid_index) && n < ARRAY_SIZE(vcpu->cpuid_index[0]))) {
		u16 first;

		class = array_index_nospec(class, ARRAY_SIZE(vcpu->cpuid_index));
		n = array_index_nospec(n, ARRAY_SIZE(vcpu->cpuid_index[0]));
		first = vcpu->cpuid_index[class][n];
		if (!first)
			return NULL;
		e += first - 1;
	}
	for (; e < end; e++) {
		if (e->function == leaf && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
					    e->index == sub))
			return e;
	}
	return NULL;
}

/**
 * mhv_cpuid_find - a vCPU's CPUID entry
 * @vcpu: the vCPU
 * @leaf: as in EAX
 * @sub: as in ECX; ignored by leaves that have no sub-leaves
 *
 * Context: vcpu->mutex held.
 * Return: the entry, or NULL.
 */
struct kvm_cpuid_entry2 *mhv_cpuid_find(struct mhv_vcpu *vcpu, u32 leaf, u32 sub)
{
	return find_inline(vcpu, leaf, sub);
}

static bool is_vendor(const struct kvm_cpuid_entry2 *e, const char *name)
{
	return !memcmp(&e->ebx, name, 4) && !memcmp(&e->edx, name + 4, 4) &&
	       !memcmp(&e->ecx, name + 8, 4);
}

/*
 * A leaf that is not there.  On AMD's CPUs it reads as zeros; Intel's answer
 * with the last basic leaf if it lies beyond its range's last.
 */
static const struct kvm_cpuid_entry2 *out_of_range(struct mhv_vcpu *vcpu, u32 *leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *basic = mhv_cpuid_find(vcpu, 0, 0), *class;

	if (!basic || vcpu->features & MHV_GUEST_AMD)
		return NULL;
	if (*leaf >= 0x40000000 && *leaf <= 0x4fffffff)
		class = mhv_cpuid_find(vcpu, *leaf & 0xffffff00, 0);
	else if (*leaf >= 0xc0000000)
		class = mhv_cpuid_find(vcpu, 0xc0000000, 0);
	else
		class = mhv_cpuid_find(vcpu, *leaf & 0x80000000, 0);
	if (class && *leaf <= class->eax)
		return NULL;
	*leaf = basic->eax;
	return mhv_cpuid_find(vcpu, *leaf, sub);
}

/* What a leaf or sub-leaf reads as that userspace has not set. */
static noinline void cpuid_absent(struct mhv_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx,
				  u32 *edx)
{
	u32 leaf = *eax, sub = *ecx;
	const struct kvm_cpuid_entry2 *e = out_of_range(vcpu, &leaf, sub);

	*eax = e ? e->eax : 0;
	*ebx = e ? e->ebx : 0;
	*ecx = e ? e->ecx : 0;
	*edx = e ? e->edx : 0;
	if (e || (leaf != 0xb && leaf != 0x1f))
		return;
	/*
	 * Topology leaves: past the last level, CL still is the sub-leaf and
	 * EDX the x2APIC id.  Sub-leaf 1 exists if the leaf is implemented.
	 */
	e = mhv_cpuid_find(vcpu, leaf, 1);
	if (e) {
		*ecx = sub & 0xff;
		*edx = e->edx;
	}
}

/**
 * mhv_cpuid - what the guest reads
 * @vcpu: the vCPU
 * @eax: leaf; becomes EAX
 * @ebx: becomes EBX
 * @ecx: sub-leaf; becomes ECX
 * @edx: becomes EDX
 *
 * Context: vcpu->mutex held.
 */
void mhv_cpuid(struct mhv_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	const struct kvm_cpuid_entry2 *e = find_inline(vcpu, *eax, *ecx);

	if (unlikely(!e)) {
		cpuid_absent(vcpu, eax, ebx, ecx, edx);
		return;
	}
	*eax = e->eax;
	*ebx = e->ebx;
	*ecx = e->ecx;
	*edx = e->edx;
}

static void set_bit_if(u32 *reg, u32 bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/**
 * mhv_cpuid_runtime - bring the bits up to date that follow other state
 * @vcpu: the vCPU
 *
 * OSXSAVE follows CR4, APIC the APIC base, the sizes in leaf 0xd XCR0, and
 * MWAIT, where that quirk is off, IA32_MISC_ENABLE.
 *
 * Context: vcpu->mutex held, vCPU loaded.
 */
void mhv_cpuid_runtime(struct mhv_vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e;

	e = mhv_cpuid_find(vcpu, 1, 0);
	if (e) {
		mhv_state_need(vcpu, MHV_G_CR);
		if (boot_cpu_has(X86_FEATURE_XSAVE))
			set_bit_if(&e->ecx, F(OSXSAVE), vcpu->state.cr4 & X86_CR4_OSXSAVE);
		set_bit_if(&e->edx, F(APIC), vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
		if (vcpu->vm->disabled_quirks & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
			set_bit_if(&e->ecx, F(MWAIT),
				   vcpu->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
	}
	/* Nobody wakes a vCPU whose HLT does not exit. */
	e = mhv_cpuid_find(vcpu, KVM_CPUID_FEATURES, 0);
	if (e && vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
	e = mhv_cpuid_find(vcpu, 0xd, 0);
	if (e)
		e->ebx = xstate_size(vcpu->xcr0, false);
	e = mhv_cpuid_find(vcpu, 0xd, 1);
	if (e && e->eax & (F(XSAVES) | F(XSAVEC)))
		e->ebx = xstate_size(vcpu->xcr0, true);
}

/* CR4 bits that exist only with a feature; all others always do. */
static const struct {
	u32 leaf;
	u8 reg;
	u32 mask;
	u64 cr4;
} cr4_bits[] = {
	{ 1, ECX, F(XSAVE), X86_CR4_OSXSAVE },
	{ 1, ECX, F(PCID), X86_CR4_PCIDE },
	{ 7, EBX, F(SMEP), X86_CR4_SMEP },
	{ 7, EBX, F(SMAP), X86_CR4_SMAP },
	{ 7, EBX, F(FSGSBASE), X86_CR4_FSGSBASE },
	{ 7, ECX, F(UMIP), X86_CR4_UMIP },
};

#define CR4_ALWAYS	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |	\
			 X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | \
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/* Guest features that the core asks for: see enum mhv_guest_feature. */
static const struct {
	u32 leaf;
	u8 reg;
	u32 mask;
	u32 feature;
} features[] = {
	{ 1, ECX, F(X2APIC), MHV_GUEST_X2APIC },
	{ 1, ECX, F(TSC_DEADLINE_TIMER), MHV_GUEST_TSC_DEADLINE },
	{ 1, ECX, F(XMM3), MHV_GUEST_SSE3 },
	{ 1, ECX, F(PCID), MHV_GUEST_PCID },
	{ 1, ECX, F(RDRAND), MHV_GUEST_RDRAND },
	{ 7, EBX, F(TSC_ADJUST), MHV_GUEST_TSC_ADJUST },
	{ 7, EBX, F(INVPCID), MHV_GUEST_INVPCID },
	{ 7, EBX, F(RDSEED), MHV_GUEST_RDSEED },
	{ 7, EBX, F(RTM), MHV_GUEST_RTM },
	{ 7, ECX, F(RDPID), MHV_GUEST_TSC_AUX },
	{ 7, EDX, F(ARCH_CAPABILITIES), MHV_GUEST_ARCH_CAPS },
	{ 7, EDX, F(SPEC_CTRL), MHV_GUEST_SPEC_CTRL | MHV_GUEST_PRED_CMD },
	{ 0x80000001, EDX, F(RDTSCP), MHV_GUEST_TSC_AUX | MHV_GUEST_RDTSCP },
	{ 0x80000001, EDX, F(LM), MHV_GUEST_LM },
	{ 0x80000001, EDX, F(NX), MHV_GUEST_NX },
	{ 0x80000001, EDX, F(FXSR_OPT), MHV_GUEST_FXSR_OPT },
	{ 0x80000001, ECX, F(OSVW), MHV_GUEST_OSVW },
	{ 0x80000008, EBX, F(AMD_IBPB), MHV_GUEST_PRED_CMD },
	{ 0x80000008, EBX, F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_SSBD), MHV_GUEST_SPEC_CTRL },
};

static bool guest_has(struct mhv_vcpu *vcpu, u32 leaf, unsigned int reg, u32 mask)
{
	const struct kvm_cpuid_entry2 *e = mhv_cpuid_find(vcpu, leaf, 0);
	const u32 regs[4] = { e ? e->eax : 0, e ? e->ebx : 0, e ? e->ecx : 0, e ? e->edx : 0 };

	return regs[reg] & mask;
}

/* What is asked for often, or on the path of an exit, is worked out once. */
static void derive(struct mhv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;
	unsigned int i;

	vcpu->features = 0;
	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (guest_has(vcpu, features[i].leaf, features[i].reg, features[i].mask))
			vcpu->features |= features[i].feature;
	e = mhv_cpuid_find(vcpu, 0xd, 1);
	if (e && e->eax & F(XSAVES))
		vcpu->features |= MHV_GUEST_XSAVES;
	e = mhv_cpuid_find(vcpu, 0, 0);
	if (e && (is_vendor(e, "AuthenticAMD") || is_vendor(e, "AMDisbetter!") ||
		  is_vendor(e, "HygonGenuine")))
		vcpu->features |= MHV_GUEST_AMD;
	if (e && is_vendor(e, "GenuineIntel"))
		vcpu->features |= MHV_GUEST_INTEL;

	/* Before the first SET_CPUID2 whatever the host supports is allowed. */
	vcpu->cr4_allowed = CR4_ALWAYS;
	for (i = 0; i < ARRAY_SIZE(cr4_bits); i++)
		if (host_has(cr4_bits[i].leaf, 0, cr4_bits[i].reg, cr4_bits[i].mask) &&
		    (!vcpu->cpuid_set || guest_has(vcpu, cr4_bits[i].leaf, cr4_bits[i].reg,
						   cr4_bits[i].mask)))
			vcpu->cr4_allowed |= cr4_bits[i].cr4;

	e = mhv_cpuid_find(vcpu, 0xd, 0);
	vcpu->xcr0_supported = e ? (e->eax | (u64)e->edx << 32) & host_xcr0 : 0;

	vcpu->maxphyaddr = 36;
	e = mhv_cpuid_find(vcpu, 0x80000000, 0);
	if (e && e->eax >= 0x80000008) {
		e = mhv_cpuid_find(vcpu, 0x80000008, 0);
		if (e)
			vcpu->maxphyaddr = e->eax & 0xff;
	}
	e = mhv_cpuid_find(vcpu, KVM_CPUID_FEATURES, 0);
	vcpu->pv_features = e ? e->eax : 0;
	mhv_emul_cpuid(vcpu);
}

static void build_index(struct mhv_vcpu *vcpu)
{
	unsigned int i;

	memset(vcpu->cpuid_index, 0, sizeof(vcpu->cpuid_index));
	for (i = 0; i < vcpu->nr_cpuid; i++) {
		u32 class = vcpu->cpuid[i].function >> 30;
		u32 n = vcpu->cpuid[i].function & GENMASK(29, 0);

		if (class < ARRAY_SIZE(vcpu->cpuid_index) &&
		    n < ARRAY_SIZE(vcpu->cpuid_index[0]) && !vcpu->cpuid_index[class][n])
			vcpu->cpuid_index[class][n] = i + 1;
	}
}

/* Make @entries what the vCPU has; runtime bits in them are brought up to date. */
static void install(struct mhv_vcpu *vcpu, struct kvm_cpuid_entry2 *entries, u32 nr)
{
	vcpu->cpuid = entries;
	vcpu->nr_cpuid = nr;
	build_index(vcpu);
	mhv_cpuid_runtime(vcpu);
}

static bool same_cpuid(const struct kvm_cpuid_entry2 *a, const struct kvm_cpuid_entry2 *b, u32 nr)
{
	u32 i;

	/* Not memcmp(): the padding is userspace's. */
	for (i = 0; i < nr; i++)
		if (a[i].function != b[i].function || a[i].index != b[i].index ||
		    a[i].flags != b[i].flags || a[i].eax != b[i].eax || a[i].ebx != b[i].ebx ||
		    a[i].ecx != b[i].ecx || a[i].edx != b[i].edx)
			return false;
	return true;
}

/*
 * Linear addresses are 48 bits wide, or the leaf does not say.  Of what XSAVE
 * switches, AMX's tiles need the host's permission, which nobody has.
 */
static int check_cpuid(const struct kvm_cpuid_entry2 *e, u32 nr)
{
	int tiles = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		u32 virt = (e[i].eax >> 8) & 0xff;

		if (e[i].function == 0x80000008 && virt != 48 && virt != 57 && virt)
			return -EINVAL;
		if (e[i].function == 0xd && !e[i].index && e[i].eax & XFEATURE_MASK_XTILE_DATA)
			tiles = -EPERM;
	}
	return tiles;
}

/**
 * mhv_cpuid_vcpu_init - a vCPU's CPUID before userspace sets one: empty
 * @vcpu: the vCPU
 *
 * Context: creation of the vCPU, before mhv_vcpu_reset().
 */
void mhv_cpuid_vcpu_init(struct mhv_vcpu *vcpu)
{
	vcpu->cpuid = NULL;
	vcpu->nr_cpuid = 0;
	vcpu->cpuid_set = false;
	build_index(vcpu);
	derive(vcpu);
}

/**
 * mhv_cpuid_set - KVM_SET_CPUID2
 * @vcpu: the vCPU
 * @user: the entries
 *
 * Once the vCPU has run, only what it has already (runtime bits aside) is
 * accepted: QEMU sets it again when it hands a parked vCPU out anew.
 *
 * Context: vcpu->mutex held, vCPU loaded; may sleep.
 * Return: 0; -E2BIG for more than 256 entries; -EINVAL for a change after the
 * first entry or an impossible address width; -EPERM for AMX's tiles; -ENOMEM;
 * -EFAULT.
 */
int mhv_cpuid_set(struct mhv_vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	struct kvm_cpuid_entry2 *entries = NULL, *old = vcpu->cpuid;
	u32 nr, old_nr = vcpu->nr_cpuid;
	bool same;
	int r;

	if (get_user(nr, &user->nent))
		return -EFAULT;
	if (nr > CPUID_SET_MAX)
		return -E2BIG;
	if (nr) {
		entries = vmemdup_user(user->entries, array_size(sizeof(*entries), nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}

	if (vcpu->stat.exits) {
		install(vcpu, entries, nr);
		same = nr == old_nr && same_cpuid(entries, old, nr);
		install(vcpu, old, old_nr);
		kvfree(entries);
		return same ? 0 : -EINVAL;
	}
	r = check_cpuid(entries, nr);
	if (r) {
		kvfree(entries);
		return r;
	}
	vcpu->cpuid_set = true;
	install(vcpu, entries, nr);
	kvfree(old);
	derive(vcpu);
	mhv_backend->update_intercepts(vcpu);
	if (vcpu->lapic)
		mhv_lapic_cpuid_changed(vcpu);
	return 0;
}

/**
 * mhv_cpuid_get - KVM_GET_CPUID2
 * @vcpu: the vCPU
 * @user: nent, and room for that many entries
 *
 * Context: vcpu->mutex held; may sleep.
 * Return: 0 with nent the number written; -E2BIG; -EFAULT.
 */
int mhv_cpuid_get(struct mhv_vcpu *vcpu, struct kvm_cpuid2 __user *user)
{
	return copy_entries(user, vcpu->cpuid, vcpu->nr_cpuid);
}
