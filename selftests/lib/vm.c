// SPDX-License-Identifier: GPL-2.0
/*
 * vm.c - makes VMs and vCPUs for the tests and runs them to what a test expects.
 * Entered from the tests, on the host.
 * No locks: one thread has a VM, or the test sees to it.
 * Linux Documentation/virt/kvm/api.rst; AMD APM vol. 2, "Long Mode", "Segment Descriptors".
 */
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "guest.h"
#include "vm.h"

/* Of uapi/linux/minihv.h, which a copy of these tests in a kernel's tree has not beside it. */
#define MINIHV_CAP_VERSION	0x6d680000

#define MAX_CPUID	256
#define TSS_SIZE	128

extern const u8 isr_entries[];

int dev_open(void)
{
	int fd = open(test_device(), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		test_skip("%s: %s", test_device(), strerror(errno));
	return fd;
}

int dev_cap(int cap)
{
	int fd = dev_open();
	int value = xioctl(fd, KVM_CHECK_EXTENSION, cap);

	close(fd);
	return value;
}

void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	ASSERT_RET(sched_setaffinity(0, sizeof(set), &set), 0);
}

int on_minihv(void)
{
	return dev_cap(MINIHV_CAP_VERSION) > 0;
}

void need_cap(int cap, const char *name)
{
	if (dev_cap(cap) <= 0)
		test_skip("no %s", name);
}

void *mem_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ASSERT_TRUE(p != MAP_FAILED);
	return p;
}

u64 stats_counter(int fd, const char *name)
{
	struct kvm_stats_header head;
	u64 value = 0;

	ASSERT_RET(pread(fd, &head, sizeof(head), 0), sizeof(head));
	for (u32 i = 0; i < head.num_desc; i++) {
		char buf[sizeof(struct kvm_stats_desc) + 256] = "";
		struct kvm_stats_desc *desc = (void *)buf;
		size_t size = sizeof(*desc) + head.name_size;

		ASSERT_TRUE(size < sizeof(buf));
		ASSERT_RET(pread(fd, buf, size, head.desc_offset + i * size), size);
		if (strncmp(desc->name, name, strlen(name)))
			continue;
		ASSERT_RET(pread(fd, &value, 8, head.data_offset + desc->offset), 8);
		return value;
	}
	test_skip("no counter %s", name);
}

static int number_of(int fd)
{
	char path[40], line[80];
	int number = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "eventfd-id: %d", &number);
	if (f)
		fclose(f);
	return number;
}

int eventfd_number(void)
{
	int fds[4], highest = -1;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = eventfd(0, 0);
		if (number_of(fds[i]) > highest)
			highest = number_of(fds[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	return highest;
}

int vm_slot(struct vm *vm, u32 slot, u32 flags, u64 gpa, u64 size, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa,
		.memory_size = size, .userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

struct vm *vm_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	ASSERT_TRUE(vm);
	vm->dev = dev_open();
	vm->fd = xioctl(vm->dev, KVM_CREATE_VM, 0);
	vm->pt_next = GUEST_PT + 0x6000;
	return vm;
}

/* Each loadable segment goes to the GPA that is its address here. */
static void load_program(struct vm *vm)
{
	const Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);

	guest_turns_exit = !!getenv("MHV_TURNS_EXIT");
	for (u64 i = 0; i < getauxval(AT_PHNUM); i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		ASSERT_TRUE(ph[i].p_vaddr >= 0x400000 &&
			    ph[i].p_vaddr + ph[i].p_memsz <= GUEST_FREE);
		memcpy(vm->ram + ph[i].p_vaddr, (void *)ph[i].p_vaddr, ph[i].p_memsz);
	}
}

static void make_gdt(struct vm *vm)
{
	u64 *gdt = (u64 *)(vm->ram + GUEST_GDT);

	gdt[GUEST_CS32 / 8] = 0x00cf9b000000ffff;
	gdt[GUEST_DS / 8] = 0x00cf93000000ffff;
	gdt[GUEST_CS64 / 8] = 0x00af9b000000ffff;
	gdt[GUEST_UDS / 8] = 0x00cff3000000ffff;
	gdt[GUEST_UCS64 / 8] = 0x00affb000000ffff;
	for (u64 i = 0; i < MAX_VCPUS; i++) {
		u64 tss = GUEST_TSS + i * TSS_SIZE;
		u64 rsp0 = GUEST_STACKS + (i + 1) * GUEST_STACK_SIZE - 0x2000;

		gdt[GUEST_TR / 8 + 2 * i] = 0x0000890000000000 | (TSS_SIZE - 1) | tss << 16;
		memcpy(vm->ram + tss + 4, &rsp0, sizeof(rsp0));
		/* No I/O bitmap: it would begin behind the limit. */
		memcpy(vm->ram + tss + 102, &(u16){ TSS_SIZE }, sizeof(u16));
	}
}

static void make_idt(struct vm *vm)
{
	u64 *idt = (u64 *)(vm->ram + GUEST_IDT);

	for (u64 i = 0; i < 256; i++) {
		u64 to = (uintptr_t)isr_entries + 16 * i;

		idt[2 * i] = (to & 0xffff) | GUEST_CS64 << 16 | 0x8e00ULL << 32 |
			     (to >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = to >> 32;
	}
}

static void make_page_tables(struct vm *vm)
{
	u64 *pml4 = (u64 *)(vm->ram + GUEST_PT);
	u64 *pdpt = (u64 *)(vm->ram + GUEST_PT + 0x1000);
	u64 *pd = (u64 *)(vm->ram + GUEST_PT + 0x2000);

	pml4[0] = (GUEST_PT + 0x1000) | PTE_P | PTE_W | PTE_U;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PT + 0x2000 + i * 0x1000) | PTE_P | PTE_W | PTE_U;
	for (u64 i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
}

static void add_ram(struct vm *vm)
{
	vm->ram = mem_alloc(RAM_SIZE);
	ASSERT_RET(vm_slot(vm, 0, 0, 0, RAM_SIZE, vm->ram), 0);
	load_program(vm);
	make_gdt(vm);
	make_idt(vm);
	make_page_tables(vm);
	memcpy(vm->ram + AP_TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
}

struct vm *vm_new(void)
{
	struct vm *vm = vm_bare();

	xioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	add_ram(vm);
	return vm;
}

struct vm *vm_new_irqchip(void)
{
	struct vm *vm;

	NEED_CAP(KVM_CAP_IRQCHIP);
	vm = vm_new();
	xioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);
	return vm;
}

void vm_free(struct vm *vm)
{
	for (int i = 0; i < MAX_VCPUS; i++) {
		struct vcpu *vcpu = &vm->vcpu[i];

		if (!vcpu->run)
			continue;
		munmap(vcpu->run, xioctl(vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0));
		close(vcpu->fd);
	}
	close(vm->fd);
	close(vm->dev);
	if (vm->ram)
		munmap(vm->ram, RAM_SIZE);
	free(vm);
}

u64 *vm_pte(struct vm *vm, u64 va)
{
	u64 table = GUEST_PT;

	for (int shift = 39; ; shift -= 9) {
		u64 *pte = (u64 *)(vm->ram + table) + (va >> shift & 511);

		if (shift == 12)
			return pte;
		if (!(*pte & PTE_P)) {
			ASSERT_TRUE(vm->pt_next < GUEST_PT_END);
			*pte = vm->pt_next | PTE_P | PTE_W | PTE_U;
			vm->pt_next += 0x1000;
		}
		ASSERT_TRUE(!(*pte & PTE_PS));
		table = *pte & 0xffffffffff000;
	}
}

void vm_map(struct vm *vm, u64 va, u64 gpa, u64 flags)
{
	*vm_pte(vm, va) = gpa | flags;
}

void vm_irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	xioctl(vm->fd, KVM_IRQ_LINE, &line);
}

struct vcpu *vcpu_new(struct vm *vm, int id)
{
	struct vcpu *vcpu = &vm->vcpu[id];
	int size = xioctl(vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0);

	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = xioctl(vm->fd, KVM_CREATE_VCPU, (long)id);
	vcpu->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	ASSERT_TRUE(vcpu->run != MAP_FAILED);
	return vcpu;
}

struct kvm_cpuid2 *supported_cpuid(void)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[MAX_CPUID];
	} cpuid;
	int fd = dev_open();

	cpuid.head.nent = MAX_CPUID;
	xioctl(fd, KVM_GET_SUPPORTED_CPUID, &cpuid);
	close(fd);
	return &cpuid.head;
}

struct kvm_cpuid_entry2 *cpuid_entry(struct kvm_cpuid2 *cpuid, u32 function, u32 index)
{
	for (u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		int indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

		if (e->function == function && (!indexed || e->index == index))
			return e;
	}
	return NULL;
}

void vcpu_cpuid(struct vcpu *vcpu)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid();

	for (u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0x00ffffff) | (u32)vcpu->id << 24;
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = vcpu->id;
	}
	xioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
}

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs)
{
	xioctl(vcpu->fd, KVM_GET_REGS, regs);
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	xioctl(vcpu->fd, KVM_SET_REGS, regs);
}

void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	xioctl(vcpu->fd, KVM_GET_SREGS, sregs);
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	xioctl(vcpu->fd, KVM_SET_SREGS, sregs);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

u64 vcpu_get_msr(struct vcpu *vcpu, u32 index)
{
	struct one_msr msr = { .head.nmsrs = 1, .entry.index = index };

	ASSERT_RET(ioctl(vcpu->fd, KVM_GET_MSRS, &msr), 1);
	return msr.entry.data;
}

int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 value)
{
	struct one_msr msr = {
		.head.nmsrs = 1, .entry.index = index, .entry.data = value,
	};

	return xioctl(vcpu->fd, KVM_SET_MSRS, &msr);
}

void vcpu_real(struct vcpu *vcpu, u16 ip)
{
	struct kvm_regs regs = { .rip = ip, .rsp = 0x7000, .rflags = RFLAGS_FIXED };
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

static struct kvm_segment flat_segment(u16 selector, u8 type, u8 db, u8 l)
{
	return (struct kvm_segment) {
		.limit = 0xffffffff, .selector = selector, .type = type, .present = 1,
		.db = db, .s = 1, .l = l, .g = 1,
	};
}

/* GDT, IDT and data segments, the same for 32 and 64 bits. */
static void set_tables(struct vcpu *vcpu, struct kvm_sregs *s)
{
	s->ds = flat_segment(GUEST_DS, 3, 1, 0);
	s->es = s->ds;
	s->fs = s->ds;
	s->gs = s->ds;
	s->ss = s->ds;
	s->gdt.base = GUEST_GDT;
	s->gdt.limit = 0xfff;
	s->idt.base = GUEST_IDT;
	s->idt.limit = 0xfff;
	s->tr = (struct kvm_segment) {
		.base = GUEST_TSS + vcpu->id * TSS_SIZE, .limit = TSS_SIZE - 1,
		.selector = GUEST_TR + 16 * vcpu->id, .type = 11, .present = 1,
	};
}

void vcpu_flat32(struct vcpu *vcpu, u32 eip)
{
	struct kvm_regs regs = {
		.rip = eip, .rsp = GUEST_STACKS + (vcpu->id + 1) * GUEST_STACK_SIZE,
		.rflags = RFLAGS_FIXED,
	};
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	set_tables(vcpu, &sregs);
	sregs.idt.limit = 0;
	sregs.cs = flat_segment(GUEST_CS32, 11, 1, 0);
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

void vcpu_long(struct vcpu *vcpu, void *fn, u64 arg)
{
	struct kvm_regs regs = {
		.rip = (uintptr_t)fn, .rdi = arg, .rflags = RFLAGS_FIXED,
		/* As after a call. */
		.rsp = GUEST_STACKS + (vcpu->id + 1) * GUEST_STACK_SIZE - 8,
	};
	struct kvm_sregs sregs;

	vcpu_get_sregs(vcpu, &sregs);
	set_tables(vcpu, &sregs);
	sregs.cs = flat_segment(GUEST_CS64, 11, 0, 1);
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = GUEST_PT;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	sregs.efer = EFER_LME | EFER_LMA | EFER_NX;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

static struct vcpu *first_vcpu(struct vm *vm, void (*fn)(void))
{
	struct vcpu *vcpu = vcpu_new(vm, 0);

	vcpu_cpuid(vcpu);
	vcpu_long(vcpu, fn, 0);
	return vcpu;
}

struct vcpu *guest_new(void (*fn)(void))
{
	return first_vcpu(vm_new(), fn);
}

struct vcpu *guest_new_irqchip(void (*fn)(void))
{
	return first_vcpu(vm_new_irqchip(), fn);
}
