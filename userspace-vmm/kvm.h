/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ioctls on the hypervisor's file descriptors, with error text that names them.
 * Entered from set-up and from the vCPU threads.
 * No locks, no state.
 */
#ifndef MINIVMM_KVM_H
#define MINIVMM_KVM_H

struct machine;

/** kvm_must() - an ioctl of set-up; dies with its name when it fails. Return: its value */
#define kvm_must(fd, cmd, arg) kvm_ioctl_or_die(fd, cmd, (unsigned long)(arg), #cmd)

/** kvm_try() - an ioctl that may fail. Return: its value, or -errno */
#define kvm_try(fd, cmd, arg) kvm_ioctl(fd, cmd, (unsigned long)(arg))

int kvm_ioctl(int fd, unsigned long cmd, unsigned long arg);
int kvm_ioctl_or_die(int fd, unsigned long cmd, unsigned long arg, const char *name);

/**
 * kvm_create() - open m->cfg.device, check what it can do, and make the VM with its irqchip
 *
 * Dies when the device is not there, is not a KVM of version 12, or lacks what minivmm needs.
 */
void kvm_create(struct machine *m);

#endif
