/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ACPI tables: the board as the guest is told of it.
 * Entered from machine_create(), on the main thread.
 * No locks.
 * ACPI Specification 6: "ACPI Software Programming Model"; PCI Firmware Specification: MCFG.
 */
#ifndef MINIVMM_ACPI_H
#define MINIVMM_ACPI_H

#include <stddef.h>
#include <stdint.h>

struct machine;

/**
 * acpi_build() - compose all tables
 * @image: where, as host memory of @size bytes; RSDP is at its start
 * @base: the guest physical address of @image
 * @cpus: 1 to 64
 *
 * Return: bytes used, or 0 when @size is too small.
 */
size_t acpi_build(uint8_t *image, size_t size, uint64_t base, unsigned int cpus);

/** acpi_install() - put the tables where the guest looks. Dies. Return: the RSDP's address */
uint64_t acpi_install(struct machine *m);

#endif
