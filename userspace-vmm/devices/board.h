/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The board's fixed devices, all on port I/O: serial port, RTC, keyboard controller, ACPI power
 * management, pvpanic. The same numbers stand in acpi/dsdt.asl.
 * Entered from the vCPU threads; the serial port and the RTC from the loop's thread, too.
 * Each device has one lock of its own, a leaf but for irq.lock.
 */
#ifndef MINIVMM_BOARD_H
#define MINIVMM_BOARD_H

#define PORT_RTC	0x70
#define PORT_KBD_DATA	0x60
#define PORT_KBD_CMD	0x64
#define PORT_COM1	0x3f8
#define PORT_PVPANIC	0x505
#define PORT_PM		0x600		/* event block, control block, timer: see pm.c */
#define PORT_PM_CNT	(PORT_PM + 4)
#define PORT_PM_TIMER	(PORT_PM + 8)
#define PORT_RESET	0xcf9		/* the PCI host has it: reset control register */
#define RESET_VALUE	0x06

#ifndef __ASSEMBLER__
struct machine;

/* Each makes its device, registers its ports and its cleanup. Dies (log.h). */
void serial_create(struct machine *m);
void rtc_create(struct machine *m);
void i8042_create(struct machine *m);
void pm_create(struct machine *m);
void pvpanic_create(struct machine *m);

/** board_port() - register a device's ports, for the file that makes the device. Dies */
struct bus_region;
void board_port(struct machine *m, struct bus_region *region);

/** pm_power_button() - press it. Return: whether the guest has enabled its event. Any thread */
_Bool pm_power_button(struct machine *m);
#endif

#endif
