// SPDX-License-Identifier: GPL-2.0
/*
 * The dispatcher of ioctl tables: find the row, copy in, call, copy out.
 * Entered from main.c, vm.c and vcpu.c, which own the tables.
 * No locks.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "ioctl.h"

#define STACK_BYTES	256

/**
 * mhv_ioctl_find() - the row of a command
 * @rows: the table of this kind of fd
 * @n: how many rows
 * @cmd: the command
 *
 * Return: the row, or NULL.
 */
const struct mhv_ioctl *mhv_ioctl_find(const struct mhv_ioctl *rows, size_t n,
				       unsigned int cmd)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (rows[i].cmd == cmd)
			return &rows[i];
	return NULL;
}

static long call_copying(const struct mhv_ioctl *row, void *obj, void *buf,
			 size_t size, void __user *user)
{
	long r;

	if ((row->flags & MHV_IOC_IN) && copy_from_user(buf, user, size))
		return -EFAULT;
	r = row->fn(obj, buf);
	if (r >= 0 && (row->flags & MHV_IOC_OUT) && copy_to_user(user, buf, size))
		return -EFAULT;
	return r;
}

/**
 * mhv_ioctl_call() - call a row's handler with its argument
 * @row: from mhv_ioctl_find()
 * @obj: the fd's object
 * @arg: as userspace gave it
 *
 * Context: process; may sleep.
 * Return: the handler's, or -EFAULT, -EINVAL (an argument where none belongs),
 * -ENOMEM.
 */
long mhv_ioctl_call(const struct mhv_ioctl *row, void *obj, unsigned long arg)
{
	size_t size = _IOC_SIZE(row->cmd);
	u64 stack[STACK_BYTES / sizeof(u64)] = {};
	void *buf;
	long r;

	if (row->flags & MHV_IOC_ZERO)
		return arg ? -EINVAL : row->fn(obj, NULL);
	if (row->flags & (MHV_IOC_VALUE | MHV_IOC_USER))
		return row->fn(obj, (void *)arg);
	if (!(row->flags & (MHV_IOC_IN | MHV_IOC_OUT)))
		return row->fn(obj, NULL);
	if (size <= sizeof(stack))
		return call_copying(row, obj, stack, size, (void __user *)arg);
	buf = kzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	r = call_copying(row, obj, buf, size, (void __user *)arg);
	kfree(buf);
	return r;
}
