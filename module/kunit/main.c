// SPDX-License-Identifier: GPL-2.0
/*
 * minihv-kunit.ko: all of minihv but the hardware and the device, and suites.
 * Entered from KUnit, which finds the suites in their section when the module is loaded.
 * No locks.
 * Linux, Documentation/dev-tools/kunit.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "kunit.h"

const struct mhv_backend *mhv_backend = &mhv_kunit_backend;

static int nothing(void)
{
	return 0;
}

static void nothing_vcpu(struct mhv_vcpu *vcpu)
{
}

static void nothing_reset(struct mhv_vcpu *vcpu, bool init)
{
}

static void nothing_groups(struct mhv_vcpu *vcpu, u32 groups)
{
}

/* The nested page tables' format is that of AMD's CPUs. */
struct mhv_backend mhv_kunit_backend = {
	.name = "KUnit",
	.vcpu_size = sizeof(struct mhv_vcpu),
	.caps = {
		.de_cfg = true,
		.levels = 4,
		.spec_ctrl = true,
		.pte = {
			.present = BIT(0), .write = BIT(1), .user = BIT(2), .accessed = BIT(5),
			.dirty = BIT(6), .huge = BIT(7),
			.memtype_mmio = BIT(3) | BIT(4),
		},
	},
	.supported = nothing,
	.setup = nothing,
	.vcpu_destroy = nothing_vcpu,
	.vcpu_reset = nothing_reset,
	.vcpu_put = nothing_vcpu,
	.state_load = nothing_groups,
	.flush_tlb = nothing_vcpu,
	.update_intercepts = nothing_vcpu,
};

/* What minihv.ko's main.c has and other files call. */
int mhv_hardware_get(void)
{
	return -EBUSY;
}

void mhv_hardware_put(void)
{
}

int mhv_check_extension(struct mhv_vm *vm, long cap)
{
	return 0;
}

u32 mhv_exits_to_disable(void)
{
	return 0;
}

static void vm_free(struct kunit_resource *res)
{
	struct mhv_vm *vm = res->data;

	mhv_lapic_map_free(vm);
	xa_destroy(&vm->vcpus);
	cleanup_srcu_struct(&vm->srcu);
	cleanup_srcu_struct(&vm->irq_srcu);
}

/**
 * mhv_kunit_vm - a VM that has locks, and nothing else
 * @test: it lives as long
 */
struct mhv_vm *mhv_kunit_vm(struct kunit *test)
{
	struct mhv_vm *vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, vm);
	KUNIT_ASSERT_EQ(test, init_srcu_struct(&vm->srcu), 0);
	KUNIT_ASSERT_EQ(test, init_srcu_struct(&vm->irq_srcu), 0);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	mutex_init(&vm->irqchip.apic_map_lock);
	rwlock_init(&vm->mmu_lock);
	xa_init(&vm->vcpus);
	vm->max_vcpu_id = MHV_MAX_VCPU_ID;
	mhv_clock_vm_init(vm);
	mhv_eventfd_init(vm);
	kunit_alloc_resource(test, NULL, vm_free, GFP_KERNEL, vm);
	return vm;
}

static void vcpu_free(struct kunit_resource *res)
{
	struct mhv_vcpu *vcpu = res->data;

	mhv_lapic_destroy(vcpu);
	mhv_emul_destroy(vcpu);
	mhv_msr_vcpu_free(vcpu);
	kvfree(vcpu->cpuid);
}

/**
 * mhv_kunit_vcpu - a vCPU whose registers are all in vcpu->state
 * @test: it lives as long
 * @vm: of mhv_kunit_vm(), whose irqchip.mode says whether there is a LAPIC
 * @id: its APIC id
 */
struct mhv_vcpu *mhv_kunit_vcpu(struct kunit *test, struct mhv_vm *vm, u32 id)
{
	struct mhv_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->extint = -1;
	vcpu->avail = MHV_G_ALL;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	vcpu->index = vm->nr_vcpus;
	vcpu->maxphyaddr = 48;
	kunit_alloc_resource(test, NULL, vcpu_free, GFP_KERNEL, vcpu);
	mhv_cpuid_vcpu_init(vcpu);
	vcpu->maxphyaddr = 48;
	KUNIT_ASSERT_EQ(test, mhv_msr_vcpu_init(vcpu), 0);
	KUNIT_ASSERT_EQ(test, mhv_emul_create(vcpu), 0);
	if (vm->irqchip.mode != MHV_IRQCHIP_NONE) {
		KUNIT_ASSERT_EQ(test, mhv_lapic_create(vcpu), 0);
		vcpu->apic_base = 0xfee00000 | MSR_IA32_APICBASE_ENABLE;
		mhv_lapic_set_base(vcpu, vcpu->apic_base, 0);
		mhv_lapic_reset(vcpu, false);
	}
	KUNIT_ASSERT_EQ(test, xa_err(xa_store(&vm->vcpus, vm->nr_vcpus++, vcpu, GFP_KERNEL)), 0);
	vm->vcpu_by_id[id] = vcpu;
	return vcpu;
}

MODULE_DESCRIPTION("Unit tests of minihv");
MODULE_LICENSE("GPL");
