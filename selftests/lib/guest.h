/* SPDX-License-Identifier: GPL-2.0 */
/*
 * guest.h - for code that runs in the guest: calls to the test, ports, MSRs, APIC, exceptions.
 * A call to the test is an OUT to UCALL_PORT with the operands in RDI, RSI and RCX.
 */
#ifndef MINIHV_SELFTEST_GUEST_H
#define MINIHV_SELFTEST_GUEST_H

#include <stdlib.h>

#include "test.h"

#define UCALL_PORT	0x500
#define UCALL_SYNC	1
#define UCALL_DONE	2
#define UCALL_FAIL	3
#define UCALL_EXCEPTION	4

#define APIC_BASE	0xfee00000UL
#define APIC_ID		0x20
#define APIC_VERSION	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SPIV	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVTPC	0x340
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0

#define MSR_TSC		0x10
#define MSR_APICBASE	0x1b
#define MSR_TSC_ADJUST	0x3b
#define MSR_TSCDEADLINE	0x6e0
#define MSR_X2APIC	0x800
#define MSR_EFER	0xc0000080

/* What the common interrupt entry pushes. */
struct isr_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void (*isr_fn)(struct isr_frame *frame);

/* The guest's own: handler for each vector; unhandled exceptions end the test. */
extern isr_fn isr_table[256];

/* An exception that GUEST_TRY() caught. */
struct guest_fault {
	u64 vector, error, cr2, rip;
};

extern volatile struct guest_fault guest_fault;
extern volatile u64 guest_resume;

static inline void ucall(u32 kind, u64 a, u64 b, u64 c)
{
	asm volatile("out %%al, %%dx" : : "a" (kind), "d" (UCALL_PORT), "D" (a), "S" (b), "c" (c)
		     : "memory");
}

static inline void guest_sync(u64 value)
{
	ucall(UCALL_SYNC, value, 0, 0);
}

static inline void guest_done(void)
{
	for (;;)
		ucall(UCALL_DONE, 0, 0, 0);
}

struct guest_failure {
	const char *file, *what;
	u64 line;
};

/* The place is a constant of the program, which the host has at the same address. */
#define GUEST_EXPECT_EQ(a, b) do {						\
	static const struct guest_failure f_ = {				\
		__FILE__, #a " == " #b, __LINE__ };				\
	u64 a_ = (u64)(a), b_ = (u64)(b);					\
										\
	if (a_ != b_)								\
		ucall(UCALL_FAIL, (u64)&f_, a_, b_);				\
} while (0)

#define GUEST_EXPECT(cond) GUEST_EXPECT_EQ(!!(cond), 1)

/*
 * Run one asm statement; the exception it raises is in guest_fault, vector 256 if none.
 * The statement may use RAX, RCX and RDX, given and returned in a, c, d.
 */
#define GUEST_TRY(insn, a, c, d) do {						\
	guest_fault.vector = 256;						\
	asm volatile("lea 1f(%%rip), %%r8\n\t"					\
		     "mov %%r8, guest_resume(%%rip)\n\t"			\
		     insn "\n"							\
		     "1: movq $0, guest_resume(%%rip)"				\
		     : "+a" (a), "+c" (c), "+d" (d) : : "r8", "memory", "cc");	\
} while (0)

/* TRY_MOV() - write a control register: the vector of the exception that came of it, or 256. */
#define TRY_MOV(reg, value) ({							\
	u64 a_ = (value), c_ = 0, d_ = 0;					\
										\
	GUEST_TRY("mov %%rax, %%" reg, a_, c_, d_);				\
	guest_fault.vector;							\
})

/* GET() - read one. */
#define GET(reg) ({								\
	u64 v_;									\
										\
	asm volatile("mov %%" reg ", %0" : "=r" (v_));				\
	v_;									\
})

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a" (value), "Nd" (port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a" (value) : "Nd" (port) : "memory");
	return value;
}

static inline void outl(u16 port, u32 value)
{
	asm volatile("outl %0, %1" : : "a" (value), "Nd" (port) : "memory");
}

static inline u32 inl(u16 port)
{
	u32 value;

	asm volatile("inl %1, %0" : "=a" (value) : "Nd" (port) : "memory");
	return value;
}

static inline u64 rdmsr(u32 index)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a" (lo), "=d" (hi) : "c" (index) : "memory");
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 index, u64 value)
{
	asm volatile("wrmsr" : : "a" ((u32)value), "d" ((u32)(value >> 32)), "c" (index)
		     : "memory");
}

/* The vector of the exception that RDMSR raises, 256 for none; the value through @value. */
static inline u64 rdmsr_try(u32 index, u64 *value)
{
	u64 a = 0, c = index, d = 0;

	GUEST_TRY("rdmsr", a, c, d);
	*value = (u32)a | d << 32;
	return guest_fault.vector;
}

static inline u64 wrmsr_try(u32 index, u64 value)
{
	u64 a = (u32)value, c = index, d = value >> 32;

	GUEST_TRY("wrmsr", a, c, d);
	return guest_fault.vector;
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a" (lo), "=d" (hi) : : "memory");
	return lo | (u64)hi << 32;
}

struct cpuid_regs {
	u32 a, b, c, d;
};

static inline struct cpuid_regs guest_cpuid(u32 leaf, u32 index)
{
	struct cpuid_regs r;

	asm volatile("cpuid" : "=a" (r.a), "=b" (r.b), "=c" (r.c), "=d" (r.d)
		     : "a" (leaf), "c" (index) : "memory");
	return r;
}

static inline u32 mmio_read32(u64 addr)
{
	u32 value;

	asm volatile("movl (%1), %0" : "=r" (value) : "r" (addr) : "memory");
	return value;
}

static inline void mmio_write32(u64 addr, u32 value)
{
	asm volatile("movl %0, (%1)" : : "r" (value), "r" (addr) : "memory");
}

static inline u32 apic_read(u32 reg)
{
	return mmio_read32(APIC_BASE + reg);
}

static inline void apic_write(u32 reg, u32 value)
{
	mmio_write32(APIC_BASE + reg, value);
}

static inline void apic_enable(void)
{
	apic_write(APIC_SPIV, 0x1ff);
}

static inline void x2apic_enable(void)
{
	wrmsr(MSR_APICBASE, rdmsr(MSR_APICBASE) | BIT(10));
	wrmsr(MSR_X2APIC + (APIC_SPIV >> 4), 0x1ff);
}

static inline u64 x2apic_read(u32 reg)
{
	return rdmsr(MSR_X2APIC + (reg >> 4));
}

static inline void x2apic_write(u32 reg, u64 value)
{
	wrmsr(MSR_X2APIC + (reg >> 4), value);
}

/*
 * A guest that runs for long without an exit has interrupts on. One with interrupts off cannot keep
 * the host's from the host; but so it is in Bochs's emulation.
 */
static inline void sti(void)
{
	asm volatile("sti" : : : "memory");
}

static inline void cli(void)
{
	asm volatile("cli" : : : "memory");
}

/* Interrupts on for one instruction: what is pending is taken. */
static inline void sti_nop(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* Interrupts on, and sleep until one has been served: none comes between STI and HLT. */
void sti_hlt(void);

extern volatile u32 guest_turns_exit;

/**
 * guest_turn() - once in each turn of a loop that only the host, or another vCPU, ends.
 *
 * Where $MHV_TURNS_EXIT is set it makes an exit: Bochs lets no interrupt of the host end a guest
 * that was entered with its own interrupts off, and the host would stand still.
 */
static inline void guest_turn(void)
{
	u32 a = 0, c = 0;

	if (guest_turns_exit)
		asm volatile("cpuid" : "+a" (a), "+c" (c) : : "ebx", "edx", "memory");
}

/**
 * need_interruptible_guests() - skip a case whose guests go on without a guest_turn().
 */
static inline void need_interruptible_guests(void)
{
	if (getenv("MHV_TURNS_EXIT"))
		test_skip("no interrupt of this host ends a guest that has its own off");
}

static inline void cpu_pause(void)
{
	asm volatile("pause" : : : "memory");
	guest_turn();
}

/* Wait in the guest; the case's time limit is the end of it. */
#define GUEST_WAIT(cond) do {							\
	while (!(cond))								\
		cpu_pause();							\
} while (0)

#define IOAPIC_BASE	0xfec00000UL

static inline u32 ioapic_read(u8 index)
{
	mmio_write32(IOAPIC_BASE, index);
	return mmio_read32(IOAPIC_BASE + 0x10);
}

static inline void ioapic_write(u8 index, u32 value)
{
	mmio_write32(IOAPIC_BASE, index);
	mmio_write32(IOAPIC_BASE + 0x10, value);
}

/* Redirection entry @pin, its upper half first: it may be unmasked by the lower. */
static inline void ioapic_entry(int pin, u64 value)
{
	ioapic_write(0x11 + 2 * pin, value >> 32);
	ioapic_write(0x10 + 2 * pin, value);
}

/* Both PICs, vectors 0x20 and 0x28 on, with @mask (slave in the upper byte). */
static inline void pic_init(u16 mask)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0xa0, 0x11);
	outb(0xa1, 0x28);
	outb(0xa1, 2);
	outb(0xa1, 1);
	outb(0x21, mask);
	outb(0xa1, mask >> 8);
}

/* Guest code given as assembly text: @name and @name_end are its bounds. */
#define GUEST_ASM(name, bits, text)						\
	extern const u8 name[], name##_end[];					\
	asm(".pushsection .rodata\n.code" #bits "\n"				\
	    ".globl " #name ", " #name "_end\n"					\
	    #name ":\n" text "\n" #name "_end:\n"				\
	    ".code64\n.popsection")

#define GUEST_ASM_COPY(vm, gpa, name) \
	memcpy((vm)->ram + (gpa), name, (size_t)(name##_end - name))

/* The first instructions of an AP: real mode at a page below 64 KiB to ap_main() in long mode. */
extern const u8 ap_trampoline[], ap_trampoline_end[];
extern void (*volatile ap_main)(u32 apic_id);
#define AP_TRAMPOLINE 0x8000ULL

/* The kvmclock page, Documentation/virt/kvm/x86/msr.rst of the kernel. */
struct pvclock {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	int8_t tsc_shift;
	u8 flags, pad[2];
} __attribute__((packed));

/** pvclock_read() - the time in ns, by a kvmclock page. */
static inline u64 pvclock_read(volatile struct pvclock *p)
{
	u64 delta, time;
	u32 version;

	do {
		version = p->version;
		delta = rdtsc() - p->tsc_timestamp;
		if (p->tsc_shift >= 0)
			delta <<= p->tsc_shift;
		else
			delta >>= -p->tsc_shift;
		time = p->system_time +
		       (u64)((__uint128_t)delta * p->tsc_to_system_mul >> 32);
	} while (version & 1 || version != p->version);
	return time;
}

#endif
