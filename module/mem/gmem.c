// SPDX-License-Identifier: GPL-2.0
/*
 * Access to guest memory from the kernel, through the VMM's mappings of it.
 * Entered from the emulator, the walk of guest page tables, and kvmclock, on a vCPU's thread.
 * The caller holds vm->srcu; page faults on the VMM's memory sleep.
 * Linux, Documentation/virt/kvm/api.rst: KVM_SET_USER_MEMORY_REGION.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/asm.h>

#include "minihv.h"

/* The slot of @gpa if this thread may access it so. */
static const struct mhv_memslot *gmem_slot(struct mhv_vm *vm, gpa_t gpa, bool write)
{
	const struct mhv_memslot *slot;

	if (unlikely(current->mm != vm->mm))
		return NULL;
	slot = mhv_memslot_find(vm, gpa >> PAGE_SHIFT);
	if (slot && write && (slot->flags & KVM_MEM_READONLY))
		return NULL;
	return slot;
}

static void __user *gmem_user(const struct mhv_memslot *slot, gpa_t gpa)
{
	return (void __user *)(mhv_slot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

static unsigned int in_this_page(gpa_t gpa, unsigned int len)
{
	return min_t(unsigned int, len, PAGE_SIZE - offset_in_page(gpa));
}

/**
 * mhv_gmem_read - read guest memory
 * @vm: the VM
 * @gpa: from here; may cross pages and slots
 * @data: to here
 * @len: bytes
 *
 * Context: a thread of the VMM, vm->srcu held, may sleep.
 *
 * Returns: 0, or -EFAULT if some of it is not memory, or not mapped by the
 * VMM; @data is then partly written.
 */
int mhv_gmem_read(struct mhv_vm *vm, gpa_t gpa, void *data, unsigned int len)
{
	while (len) {
		const struct mhv_memslot *slot = gmem_slot(vm, gpa, false);
		unsigned int n = in_this_page(gpa, len);

		if (!slot || __copy_from_user(data, gmem_user(slot, gpa), n))
			return -EFAULT;
		data += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

/**
 * mhv_gmem_write - write guest memory
 * @vm: the VM
 * @gpa: to here; may cross pages and slots
 * @data: from here
 * @len: bytes
 *
 * Context: a thread of the VMM, vm->srcu held, may sleep.
 *
 * Returns: 0, or -EFAULT if some of it is not memory, is read-only, or is not
 * mapped writable by the VMM; what came before that is then written.
 */
int mhv_gmem_write(struct mhv_vm *vm, gpa_t gpa, const void *data, unsigned int len)
{
	while (len) {
		const struct mhv_memslot *slot = gmem_slot(vm, gpa, true);
		unsigned int n = in_this_page(gpa, len);

		if (!slot || __copy_to_user(gmem_user(slot, gpa), data, n))
			return -EFAULT;
		mhv_mark_dirty(vm, slot, gpa >> PAGE_SHIFT);
		data += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

/**
 * mhv_gmem_write_nofault - write guest memory if the VMM has it mapped now
 * @vm: the VM
 * @gpa: to here
 * @data: from here
 * @len: bytes, in one page
 *
 * Context: a thread of the VMM, vm->srcu held, does not sleep.
 *
 * Returns: 0; -EFAULT as mhv_gmem_write(), or if the page would have to be
 * brought in.
 */
int mhv_gmem_write_nofault(struct mhv_vm *vm, gpa_t gpa, const void *data, unsigned int len)
{
	const struct mhv_memslot *slot = gmem_slot(vm, gpa, true);

	if (!slot || copy_to_user_nofault(gmem_user(slot, gpa), data, len))
		return -EFAULT;
	mhv_mark_dirty(vm, slot, gpa >> PAGE_SHIFT);
	return 0;
}

/**
 * mhv_gmem_is_writable - do slots have all of this, and not read-only?
 * @vm: the VM
 * @gpa: from here
 * @len: bytes
 *
 * Context: a thread of the VMM, vm->srcu held.
 */
bool mhv_gmem_is_writable(struct mhv_vm *vm, gpa_t gpa, unsigned int len)
{
	gpa_t last = gpa + len - 1;
	gfn_t gfn;

	if (last < gpa)
		return false;
	for (gfn = gpa >> PAGE_SHIFT; gfn <= last >> PAGE_SHIFT; gfn++)
		if (!gmem_slot(vm, gfn << PAGE_SHIFT, true))
			return false;
	return true;
}

/* CMPXCHG16B on the VMM's memory.  Returns 0, 1 if it held something else, -EFAULT. */
static int user_cmpxchg16(void __user *ptr, u64 *old, const u64 *new)
{
	int r = -EFAULT;

	if (!user_access_begin(ptr, 16))
		return r;
	asm volatile("1: lock cmpxchg16b %[mem]\n"
		     "mov $0, %[r]\n"
		     "setnz %b[r]\n"
		     "2:\n"
		     _ASM_EXTABLE_UA(1b, 2b)
		     : [mem] "+m" (*(unsigned __int128 __force *)ptr), [r] "+q" (r),
		       "+a" (old[0]), "+d" (old[1])
		     : "b" (new[0]), "c" (new[1])
		     : "memory", "cc");
	user_access_end();
	return r;
}

/* Returns 0, 1 if it held something else, -EFAULT. */
static int user_cmpxchg(void __user *ptr, void *old, const void *new, unsigned int len)
{
	switch (len) {
	case 1:
		return __try_cmpxchg_user((u8 __user *)ptr, (u8 *)old, *(const u8 *)new, fault1);
	case 2:
		return __try_cmpxchg_user((u16 __user *)ptr, (u16 *)old, *(const u16 *)new, fault2);
	case 4:
		return __try_cmpxchg_user((u32 __user *)ptr, (u32 *)old, *(const u32 *)new, fault4);
	case 8:
		return __try_cmpxchg_user((u64 __user *)ptr, (u64 *)old, *(const u64 *)new, fault8);
	default:
		return user_cmpxchg16(ptr, old, new);
	}
}

/*
 * An operand that spans cache lines: a locked access to it stops the whole
 * machine, and where the kernel forbids split locks it would oops.  No guest
 * depends on such an access being atomic with a device's.
 */
static int split_cmpxchg(struct mhv_vm *vm, gpa_t gpa, void *old, const void *new,
			 unsigned int len)
{
	u8 now[16];

	if (mhv_gmem_read(vm, gpa, now, len))
		return -EFAULT;
	if (memcmp(now, old, len)) {
		memcpy(old, now, len);
		return -EAGAIN;
	}
	return mhv_gmem_write(vm, gpa, new, len);
}

/**
 * mhv_gmem_cmpxchg - compare and exchange in guest memory
 * @vm: the VM
 * @gpa: where; atomic unless the operand spans two cache lines
 * @old: expected; what was found instead is written here
 * @new: replacement
 * @len: 1, 2, 4, 8 or 16 bytes; 16 only at a multiple of 16
 *
 * Context: a thread of the VMM, vm->srcu held, may sleep.
 *
 * Returns: 0 if exchanged; -EAGAIN if memory held something else; -EFAULT if
 * it is not writable memory; -EINVAL for another @len or alignment.
 */
int mhv_gmem_cmpxchg(struct mhv_vm *vm, gpa_t gpa, void *old, const void *new,
		     unsigned int len)
{
	const struct mhv_memslot *slot;
	int r;

	if (!len || len > 16 || (len & (len - 1)) || (len == 16 && (gpa & 15)))
		return -EINVAL;
	if ((gpa & (cache_line_size() - 1)) + len > cache_line_size())
		return split_cmpxchg(vm, gpa, old, new, len);

	slot = gmem_slot(vm, gpa, true);
	if (!slot)
		return -EFAULT;
	r = user_cmpxchg(gmem_user(slot, gpa), old, new, len);
	if (r < 0)
		return r;
	mhv_mark_dirty(vm, slot, gpa >> PAGE_SHIFT);
	return r ? -EAGAIN : 0;
}
