// SPDX-License-Identifier: GPL-2.0
/*
 * The last words of a vCPU: why, its registers, how RIP translates, what the instruction is.
 * Entered from the vCPU's thread.
 * dump_lock keeps two vCPUs from talking at once.
 * AMD APM, "Long-Mode Page Translation" and "Legacy-Mode Page Translation"; Zydis disassembles.
 */
#include <Zydis/Zydis.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "kvm.h"
#include "machine.h"
#include "vcpu.h"

#define CR0_PE		(1ull << 0)
#define CR0_PG		(1ull << 31)
#define CR4_PSE		(1ull << 4)
#define CR4_PAE		(1ull << 5)
#define CR4_LA57	(1ull << 12)
#define EFER_LMA	(1ull << 10)
#define RFLAGS_VM	(1ull << 17)

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_U		(1ull << 2)
#define PTE_PS		(1ull << 7)
#define PTE_NX		(1ull << 63)
#define PTE_ADDR	0x000ffffffffff000ull

#define INSN_MAX	15
#define INSN_SHOWN	4

static pthread_mutex_t dump_lock = PTHREAD_MUTEX_INITIALIZER;

/* A line may go to a terminal in raw mode. */
__attribute__((format(printf, 1, 2)))
static void line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(isatty(STDERR_FILENO) ? "\r\n" : "\n", stderr);
}

static void dump_gprs(const struct kvm_regs *r)
{
	line("  RIP %016llx  RSP %016llx  RFLAGS %08llx", r->rip, r->rsp, r->rflags);
	line("  RAX %016llx  RBX %016llx  RCX %016llx  RDX %016llx",
	     r->rax, r->rbx, r->rcx, r->rdx);
	line("  RSI %016llx  RDI %016llx  RBP %016llx", r->rsi, r->rdi, r->rbp);
	line("  R8  %016llx  R9  %016llx  R10 %016llx  R11 %016llx",
	     r->r8, r->r9, r->r10, r->r11);
	line("  R12 %016llx  R13 %016llx  R14 %016llx  R15 %016llx",
	     r->r12, r->r13, r->r14, r->r15);
}

static void dump_segment(const char *name, const struct kvm_segment *s)
{
	line("  %-4s %04x  base %016llx  limit %08x  type %x s %d dpl %d p %d l %d db %d g %d",
	     name, s->selector, s->base, s->limit, s->type, s->s, s->dpl, s->present, s->l, s->db,
	     s->g);
}

static void dump_sregs(const struct kvm_sregs *s)
{
	line("  CR0 %08llx  CR2 %016llx  CR3 %016llx  CR4 %08llx  CR8 %llx  EFER %llx",
	     s->cr0, s->cr2, s->cr3, s->cr4, s->cr8, s->efer);
	dump_segment("CS", &s->cs);
	dump_segment("SS", &s->ss);
	dump_segment("DS", &s->ds);
	dump_segment("ES", &s->es);
	dump_segment("FS", &s->fs);
	dump_segment("GS", &s->gs);
	dump_segment("TR", &s->tr);
	dump_segment("LDTR", &s->ldt);
	line("  GDT  %016llx limit %04x   IDT %016llx limit %04x   APIC base %llx",
	     s->gdt.base, s->gdt.limit, s->idt.base, s->idt.limit, s->apic_base);
}

/* One paging mode: how many levels, the width of an entry and of an index. */
struct paging {
	const char *name;
	int levels;
	unsigned int entry_size, index_bits;
};

static const struct paging *paging_mode(const struct kvm_sregs *s)
{
	static const struct paging legacy = { "32-bit", 2, 4, 10 };
	static const struct paging pae = { "PAE", 3, 8, 9 };
	static const struct paging long4 = { "long mode", 4, 8, 9 };
	static const struct paging long5 = { "long mode, 5 levels", 5, 8, 9 };

	if (!(s->cr0 & CR0_PG))
		return NULL;
	if (!(s->efer & EFER_LMA))
		return s->cr4 & CR4_PAE ? &pae : &legacy;
	return s->cr4 & CR4_LA57 ? &long5 : &long4;
}

static bool read_entry(struct machine *m, const struct paging *p, uint64_t gpa, uint64_t *entry)
{
	uint32_t narrow = 0;

	if (p->entry_size == 8)
		return mem_read_u64(m, gpa, entry);
	if (!mem_read_u32(m, gpa, &narrow))
		return false;
	*entry = narrow;
	return true;
}

/*
 * Translate @va by the guest's tables, telling each step when @verbose.
 * Return: whether it is mapped to @gpa.
 */
static bool walk(struct machine *m, const struct kvm_sregs *s, uint64_t va, uint64_t *gpa,
		 bool verbose)
{
	const struct paging *p = paging_mode(s);
	uint64_t table, entry = 0, at;
	unsigned int shift;
	int level;

	*gpa = va;
	if (!p)
		return true;
	table = s->cr3 & (p->levels == 3 ? 0xffffffe0ull : PTE_ADDR);
	for (level = p->levels; level; level--) {
		shift = 12 + (level - 1) * p->index_bits;
		at = table + ((va >> shift) & ((1u << p->index_bits) - 1)) * p->entry_size;
		if (!read_entry(m, p, at, &entry)) {
			if (verbose)
				line("  level %d  entry at %llx: not in RAM", level,
				     (unsigned long long)at);
			return false;
		}
		if (verbose)
			line("  level %d  entry at %llx: %016llx%s%s%s%s%s", level,
			     (unsigned long long)at, (unsigned long long)entry,
			     entry & PTE_P ? "" : "  not present", entry & PTE_W ? " W" : "",
			     entry & PTE_U ? " U" : "", entry & PTE_NX ? " NX" : "",
			     level > 1 && entry & PTE_PS ? " large" : "");
		if (!(entry & PTE_P))
			return false;
		table = entry & PTE_ADDR;
		if (level > 1 && level < 4 && entry & PTE_PS &&
		    (p->levels != 2 || s->cr4 & CR4_PSE))
			break;
	}
	shift = level ? 12 + (level - 1) * p->index_bits : 12;
	*gpa = (table & ~((1ull << shift) - 1)) | (va & ((1ull << shift) - 1));
	return true;
}

/* Copy code at a linear address. Return: how many bytes could be had. */
static size_t fetch(struct machine *m, const struct kvm_sregs *s, uint64_t va, uint8_t *buf,
		    size_t len)
{
	uint64_t gpa;
	size_t n;

	for (n = 0; n < len; n++) {
		if (!walk(m, s, va + n, &gpa, false) || !mem_read(m, gpa, buf + n, 1))
			break;
	}
	return n;
}

static ZydisMachineMode machine_mode(const struct kvm_sregs *s, uint64_t rflags)
{
	if (!(s->cr0 & CR0_PE) || rflags & RFLAGS_VM)
		return ZYDIS_MACHINE_MODE_REAL_16;
	if (s->efer & EFER_LMA && s->cs.l)
		return ZYDIS_MACHINE_MODE_LONG_64;
	return s->cs.db ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16;
}

static void dump_code(struct machine *m, const struct kvm_sregs *s, const struct kvm_regs *r)
{
	ZydisMachineMode mode = machine_mode(s, r->rflags);
	uint8_t code[INSN_MAX * INSN_SHOWN];
	uint64_t rip = r->rip, base = mode == ZYDIS_MACHINE_MODE_LONG_64 ? 0 : s->cs.base;
	ZydisDisassembledInstruction insn;
	size_t len, at = 0;
	int i;

	len = fetch(m, s, base + rip, code, sizeof(code));
	if (!len) {
		line("  the instruction's bytes cannot be read");
		return;
	}
	for (i = 0; i < INSN_SHOWN && at < len; i++) {
		char hex[INSN_MAX * 3 + 1] = "";
		size_t b;

		if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip + at, code + at, len - at,
							&insn))) {
			line("  %s %016llx  (%02x ...: not an instruction)", i ? "  " : "=>",
			     (unsigned long long)(rip + at), code[at]);
			return;
		}
		for (b = 0; b < insn.info.length; b++)
			snprintf(hex + 3 * b, 4, "%02x ", code[at + b]);
		line("  %s %016llx  %-30s %s", i ? "  " : "=>", (unsigned long long)(rip + at),
		     hex, insn.text);
		at += insn.info.length;
	}
}

static void dump_walk(struct machine *m, const struct kvm_sregs *s, const struct kvm_regs *r)
{
	const struct paging *p = paging_mode(s);
	uint64_t va = r->rip + (s->efer & EFER_LMA && s->cs.l ? 0 : s->cs.base), gpa;

	line("page walk of RIP %016llx (%s):", (unsigned long long)va, p ? p->name : "no paging");
	if (walk(m, s, va, &gpa, true))
		line("  guest physical %016llx%s", (unsigned long long)gpa,
		     mem_ptr(m, gpa, 1) ? "" : ", which is not RAM");
}

/*
 * After AMD's SHUTDOWN intercept the VMCB is undefined (APM: "Shutdown Intercept"), so a
 * hypervisor may reset the vCPU before it tells: say so, rather than pass reset values off.
 */
static void dump_reset_note(const struct vcpu *vcpu, const struct kvm_regs *r,
			    const struct kvm_sregs *s)
{
	if (vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN && r->rip == 0xfff0 &&
	    s->cs.base == 0xffff0000)
		line("  (already reset by the hypervisor: not the registers of the fault)");
}

/* What KVM adds to an internal error: for an emulation failure, the bytes it stumbled over. */
static void dump_internal(const struct kvm_run *run)
{
	unsigned int i;

	if (run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return;
	for (i = 0; i < run->internal.ndata && i < 16; i++)
		line("  data[%u] %016llx", i, run->internal.data[i]);
}

void vcpu_dump(struct vcpu *vcpu, const char *why)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	pthread_mutex_lock(&dump_lock);
	chardev_flush(vcpu->m);
	line("minivmm: vCPU %u cannot go on: %s", vcpu->id, why);
	dump_internal(vcpu->run);
	if (kvm_try(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_try(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
		line("  and its registers cannot be read");
	} else {
		dump_reset_note(vcpu, &regs, &sregs);
		dump_gprs(&regs);
		dump_sregs(&sregs);
		dump_walk(vcpu->m, &sregs, &regs);
		dump_code(vcpu->m, &sregs, &regs);
	}
	pthread_mutex_unlock(&dump_lock);
}
