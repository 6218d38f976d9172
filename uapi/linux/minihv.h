/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/minihv is that of <linux/kvm.h>: ioctl numbers, structures,
 * errors.  This header is for what goes beyond it.
 *
 * Capabilities of our own are asked for with KVM_CHECK_EXTENSION, above all
 * numbers that KVM will use; on /dev/kvm they are 0.
 */
#ifndef _UAPI_LINUX_MINIHV_H
#define _UAPI_LINUX_MINIHV_H

#include <linux/kvm.h>

#define MINIHV_CAP_BASE		0x6d680000

/* The device is minihv; the value is this header's version. */
#define MINIHV_CAP_VERSION	(MINIHV_CAP_BASE + 0)
#define MINIHV_VERSION		1

#endif /* _UAPI_LINUX_MINIHV_H */
