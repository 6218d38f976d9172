/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine: what the command line asked for, the VM, its RAM, vCPUs, buses and devices.
 * Built and taken down on the main thread; vCPU and loop threads run in between.
 * Fields are constant while threads run, except what a device guards by its own lock.
 */
#ifndef MINIVMM_MACHINE_H
#define MINIVMM_MACHINE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "irq.h"
#include "log.h"
#include "loop.h"
#include "memory.h"

#define CPUS_MAX	64
#define DISKS_MAX	8
#define NETS_MAX	4
#define FORWARDS_MAX	16

enum net_kind { NET_USER, NET_TAP };
enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO };

/** struct disk_option - one --disk */
struct disk_option {
	const char *path;
	bool readonly;
};

/** struct net_forward - a port of the host that leads to the guest */
struct net_forward {
	const char *text;		/* as it was given, for messages */
	bool udp;
	struct in_addr host, guest;
	uint16_t host_port, guest_port;
};

/** struct net_option - one --net */
struct net_option {
	enum net_kind kind;
	const char *ifname;		/* tap's name */
	const char *mac;		/* aa:bb:cc:dd:ee:ff, or NULL for a made-up one */
	struct net_forward forward[FORWARDS_MAX];
	unsigned int nr_forwards;
};

/** struct machine_config - the command line, checked for form but not yet opened */
struct machine_config {
	const char *device;		/* /dev/minihv or /dev/kvm */
	const char *kernel, *initrd, *cmdline;
	uint64_t memory;		/* bytes */
	unsigned int cpus;
	struct disk_option disk[DISKS_MAX];
	unsigned int nr_disks;
	struct net_option net[NETS_MAX];
	unsigned int nr_nets;
	bool rng;
	enum console_kind console;	/* which device has the terminal */
	bool sandbox;
	const char *user;		/* whose privileges to keep, or NULL for no change */
};

struct vcpu;
struct chardev;
struct irq_router;
struct pci_host;
struct pm;
struct machine_exit_hook;

/** struct machine - see the file header */
struct machine {
	struct machine_config cfg;
	int sys_fd, vm_fd;
	unsigned int run_size;		/* of a vCPU's mmap */
	struct memory mem;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct loop *loop;		/* the I/O thread */
	struct chardev *chardev;
	struct pci_host *pci;		/* devices/pci.c */
	struct pm *pm;			/* ACPI power management block */
	struct vcpu *vcpu;		/* cfg.cpus of them */
	struct machine_exit_hook *hooks;
	int stop_fd;			/* eventfd: wakes the main thread */
	int status;			/* [atomic] EXIT_*, or -1 while the guest runs */
};

/**
 * machine_create() - open the hypervisor, build the VM, its devices and vCPUs, load the guest
 * @m: m->cfg filled in, all else zero
 *
 * Dies (log.h) with one line when anything that the options name cannot be used.
 */
void machine_create(struct machine *m);

/** machine_run() - start the vCPUs and wait for the end. Return: the exit status */
int machine_run(struct machine *m);

/** machine_destroy() - stop every thread and give everything back */
void machine_destroy(struct machine *m);

/** machine_stopping() - whether machine_stop() was called. Any thread */
bool machine_stopping(struct machine *m);

/** typedef machine_cleanup - called once, on the main thread, vCPUs stopped */
typedef void (*machine_cleanup)(void *opaque);

/**
 * machine_at_exit() - have something called when the machine is taken down
 *
 * In set-up alone. Last come, first served; vCPU threads and the I/O loop have stopped by then,
 * the VM's fds are still open.
 */
void machine_at_exit(struct machine *m, machine_cleanup fn, void *opaque);

/**
 * machine_stop() - end the run; minivmm exits with @status (EXIT_* of log.h)
 *
 * Any thread, returns at once; the first call's status counts.
 */
void machine_stop(struct machine *m, int status);

/** machine_reset_request() - the guest pulled its reset line. Any thread, returns at once */
void machine_reset_request(struct machine *m);

/*
 * What the machine's set-up calls in devices/ of PCI and virtio. Each dies (log.h) with one
 * line naming the option when what it was given cannot be used.
 */
void pci_host_create(struct machine *m);
void virtio_blk_create(struct machine *m, const struct disk_option *opt);
void virtio_net_create(struct machine *m, const struct net_option *opt);
void virtio_rng_create(struct machine *m);
void virtio_console_create(struct machine *m);

#endif
