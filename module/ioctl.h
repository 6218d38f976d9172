/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An ioctl is a row of a table; one dispatcher serves the three kinds of fd.
 */
#ifndef MHV_IOCTL_H
#define MHV_IOCTL_H

#include <linux/types.h>

/* What the dispatcher does around the handler. */
#define MHV_IOC_IN	BIT(0)	/* copy _IOC_SIZE(cmd) bytes in before */
#define MHV_IOC_OUT	BIT(1)	/* copy them out after, unless it failed */
#define MHV_IOC_USER	BIT(2)	/* the handler gets the user pointer itself */
#define MHV_IOC_VALUE	BIT(3)	/* the argument is a number, not a pointer */
#define MHV_IOC_ZERO	BIT(4)	/* the argument must be 0: else -EINVAL */
#define MHV_IOC_EVENT	BIT(5)	/* vCPU: look at pending events afterwards */

/**
 * struct mhv_ioctl - one ioctl of one kind of fd
 * @cmd: the full 32-bit command: KVM's numbers collide in the low 16
 * @flags: MHV_IOC_*; copying in and out goes by these, as the direction that
 *	is encoded in some of KVM's commands is wrong
 * @fn: handler; @obj is the fd's object, @arg what @flags say
 */
struct mhv_ioctl {
	unsigned int cmd;
	unsigned int flags;
	long (*fn)(void *obj, void *arg);
};

/* ioc_NAME(), a handler that is one call: @expr has it, with @obj and @arg. */
#define MHV_IOC_FN(name, expr)						\
	static long ioc_##name(void *obj, void *arg)			\
	{								\
		return expr;						\
	}

/* The same for a call that cannot fail and returns nothing. */
#define MHV_IOC_VOID_FN(name, call)					\
	static long ioc_##name(void *obj, void *arg)			\
	{								\
		call;							\
		return 0;						\
	}

const struct mhv_ioctl *mhv_ioctl_find(const struct mhv_ioctl *rows, size_t n,
				       unsigned int cmd);
long mhv_ioctl_call(const struct mhv_ioctl *row, void *obj, unsigned long arg);

#endif /* MHV_IOCTL_H */
