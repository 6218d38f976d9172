// SPDX-License-Identifier: GPL-2.0
/*
 * mmio_insns.c - each instruction of mmio_insns_guest.S on memory, where the CPU does it, and
 * on MMIO at the same address: registers, flags and memory must come out the same, and the
 * accesses that userspace sees must be those that the row says.
 */
#include "guest.h"
#include "vm.h"

#define VA	0x8000000000ULL
#define OPERAND	(VA + 0x800)
#define MMIO	0xd0000000ULL
#define RAM	GUEST_FREE
#define CODE	(GUEST_FREE + 0x1000)	/* at VA + 0x1000; the stack follows at VA + 0x2000 */
#define MINIHV_VERSION	0x6d680000	/* a capability that KVM has not */
#define TABLES	(GUEST_FREE + 0x10000)	/* the same address space, but for MMIO at VA */

struct insn_row {
	const char *name, *accesses;
	const u8 *code;
	u64 len, flags;
};

extern const struct insn_row insn_rows[], insn_rows_end[], more_rows_end[];

struct result {
	struct kvm_regs regs;
	struct kvm_fpu fpu;
	u8 mem[0x1000], stack[0x1000];
	char accesses[512];
	u64 sel, tables;	/* of ES and FS; where GDT and IDT are */
};

static void map_page(struct vm *vm)
{
	for (u64 i = 0; i < 3; i++)
		vm_map(vm, VA + i * 0x1000, RAM + i * 0x1000, PTE_P | PTE_W);
	/* A second tree: PML4, PDPT, PD and PT of VA copied, and the first PTE changed. */
	for (int level = 0; level < 4; level++) {
		u64 *to = (u64 *)(vm->ram + TABLES + level * 0x1000), from = GUEST_PT;

		for (int i = 0, shift = 39; i < level; i++, shift -= 9)
			from = ((u64 *)(vm->ram + from))[VA >> shift & 511] & 0xffffffffff000;
		memcpy(to, vm->ram + from, 0x1000);
		to[VA >> (39 - 9 * level) & 511] = level == 3 ? MMIO | PTE_P | PTE_W :
			(TABLES + (level + 1) * 0x1000) | PTE_P | PTE_W;
	}
}

static void set_state(struct vcpu *vcpu, u64 cr3)
{
	struct kvm_regs regs = {
		.rax = 0x8182838485868788, .rbx = OPERAND, .rcx = 3, .rdx = 0x1122334455667788,
		.rsi = OPERAND + 0x20, .rdi = OPERAND + 0x40, .rsp = VA + 0x2800,
		.rbp = OPERAND - 0x10, .r8 = 0x10, .r9 = 0xfedcba9876543210, .r10 = 10,
		.r11 = 11, .r12 = OPERAND, .r13 = OPERAND, .r14 = -8, .r15 = 0x1515151515151515,
		.rip = VA + 0x1000, .rflags = RFLAGS_FIXED | 1,
	};
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_sregs sregs;

	for (size_t i = 0; i < sizeof(fpu.xmm); i++)
		((u8 *)fpu.xmm)[i] = 0xff - i;
	vcpu_set_regs(vcpu, &regs);
	xioctl(vcpu->fd, KVM_SET_FPU, &fpu);
	vcpu_get_sregs(vcpu, &sregs);
	sregs.cr3 = cr3;
	sregs.fs.base = OPERAND;
	sregs.gs.base = OPERAND + 4;
	vcpu_set_sregs(vcpu, &sregs);
}

static void serve(struct vcpu *vcpu, struct result *result)
{
	struct kvm_run *run = vcpu->run;
	size_t n = 0;

	while (vcpu_run(vcpu) == KVM_EXIT_MMIO) {
		u64 at = run->mmio.phys_addr - MMIO;

		ASSERT_TRUE(at + run->mmio.len <= 0x1000);
		if (run->mmio.is_write)
			memcpy(result->mem + at, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, result->mem + at, run->mmio.len);
		n += snprintf(result->accesses + n, sizeof(result->accesses) - n, "%c%u",
			      run->mmio.is_write ? 'w' : 'r', run->mmio.len);
		ASSERT_TRUE(n < sizeof(result->accesses));
	}
}

/* Run the row with VA on memory or on MMIO; false if it did not come to its end. */
static int run_row(struct vcpu *vcpu, const struct insn_row *row, int mmio, struct result *result)
{
	u8 *ram = vcpu->vm->ram;
	struct kvm_sregs sregs;
	u64 target = VA + 0x1000 + row->len - 1;

	memset(result, 0, sizeof(*result));
	for (int i = 0; i < 0x1000; i++)
		result->mem[i] = 0x11 + 3 * i;
	memcpy(result->mem + 0x818, &target, 8);	/* for the indirect jump */
	memcpy(ram + RAM, result->mem, 0x1000);
	memset(ram + RAM + 0x2000, 0x5c, 0x1000);
	memcpy(ram + CODE, row->code, row->len);
	ram[CODE + row->len] = 0xf4;
	set_state(vcpu, mmio ? TABLES : GUEST_PT);
	serve(vcpu, result);
	if (!mmio)
		memcpy(result->mem, ram + RAM, 0x1000);
	memcpy(result->stack, ram + RAM + 0x2000, 0x1000);
	vcpu_get_regs(vcpu, &result->regs);
	result->regs.rflags &= ~0x8d5ULL | row->flags;
	xioctl(vcpu->fd, KVM_GET_FPU, &result->fpu);
	vcpu_get_sregs(vcpu, &sregs);
	result->sel = sregs.es.selector | sregs.fs.selector << 16;
	result->tables = sregs.gdt.base ^ sregs.idt.base << 32;
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_HLT);
	if (vcpu->run->exit_reason != KVM_EXIT_HLT)
		vcpu_dump(vcpu);
	return vcpu->run->exit_reason == KVM_EXIT_HLT;
}

static void compare(const struct insn_row *row, const struct result *emulated,
		    const struct result *cpu)
{
	for (size_t i = 0; i < sizeof(cpu->regs) / 8; i++) {
		test_context("%s, kvm_regs[%zu]", row->name, i);
		EXPECT_EQ(((u64 *)&emulated->regs)[i], ((u64 *)&cpu->regs)[i]);
	}
	test_context("%s", row->name);
	EXPECT_EQ(memcmp(emulated->mem, cpu->mem, sizeof(cpu->mem)), 0);
	EXPECT_EQ(memcmp(emulated->stack, cpu->stack, sizeof(cpu->stack)), 0);
	EXPECT_EQ(memcmp(emulated->fpu.xmm, cpu->fpu.xmm, sizeof(cpu->fpu.xmm)), 0);
	EXPECT_EQ(emulated->fpu.fcw, cpu->fpu.fcw);
	EXPECT_EQ(emulated->fpu.mxcsr, cpu->fpu.mxcsr);
	EXPECT_EQ(emulated->sel, cpu->sel);
	EXPECT_EQ(emulated->tables, cpu->tables);
	if (strcmp(emulated->accesses, row->accesses))
		test_fail(__FILE__, __LINE__, "accesses %s, want %s", emulated->accesses,
			  row->accesses);
}

static void run_rows(const struct insn_row *from, const struct insn_row *to)
{
	struct vcpu *vcpu = guest_new(NULL);
	static struct result cpu, emulated;
	unsigned int n = 0;

	vcpu_cpuid(vcpu);
	map_page(vcpu->vm);
	/* KVM lets the first entry reset the FPU, whatever KVM_SET_FPU set before it. */
	run_row(vcpu, insn_rows, 0, &cpu);
	for (const struct insn_row *row = from; row < to; row++) {
		/* Not every CPU has it. */
		if (!strncmp(row->name, "movbe", 5) &&
		    !(cpuid_entry(supported_cpuid(), 1, 0)->ecx & BIT(22)))
			continue;
		test_context("%s", row->name);
		if (!run_row(vcpu, row, 0, &cpu) || !run_row(vcpu, row, 1, &emulated))
			continue;
		compare(row, &emulated, &cpu);
		n++;
	}
	test_context("");
	if (!n)
		test_skip("none is known");
	test_info("%u of %td", n, to - from);
}

TEST(like_the_cpu_on_memory)
{
	run_rows(insn_rows, insn_rows_end);
}

TEST(more_of_them)
{
	if (!dev_cap(MINIHV_VERSION))
		test_skip("KVM's emulator does not know them, or tries forever");
	run_rows(insn_rows_end, more_rows_end);
}
