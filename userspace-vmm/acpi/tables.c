// SPDX-License-Identifier: GPL-2.0
/*
 * The ACPI tables that depend on the machine, composed in C; the DSDT comes compiled from ASL.
 * Entered from machine_create().
 * No locks: set-up, on the main thread.
 * ACPI Specification: "RSDP", "XSDT", "FADT", "FACS", "MADT"; "AML Specification" for the SSDT.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "boot/boot.h"
#include "devices/board.h"
#include "machine.h"
#include "acpi/acpi.h"
#include "dsdt.hex"

#define PACKED		__attribute__((packed))

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

struct rsdp {
	char signature[8];
	uint8_t checksum;		/* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} PACKED;

struct address {			/* Generic Address Structure */
	uint8_t space, bits, offset, access;
	uint64_t address;
} PACKED;

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t model, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len;
	uint8_t gpe0_len, gpe1_len, gpe1_base, cst_cnt;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr;
	struct address x_gpe0, x_gpe1;
} PACKED;

_Static_assert(sizeof(struct header) == 36, "ACPI table header");
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");
_Static_assert(sizeof(struct fadt) == 244, "FADT, ACPI 3 to 4");

#define SPACE_IO	1
#define BOOT_LEGACY	(1u << 0)	/* ISA devices; and no keyboard controller worth probing */
#define BOOT_NO_VGA	(1u << 2)
#define FADT_WBINVD	(1u << 0)
#define FADT_C1		(1u << 2)
#define FADT_NO_SLPBTN	(1u << 5)
#define FADT_RTC_NOT_FIXED (1u << 6)
#define FADT_TMR_32BIT	(1u << 8)
#define FADT_RESET	(1u << 10)
#define LATENCY_NO_C2	0x65		/* above 100 microseconds: not supported, likewise C3 */
#define LATENCY_NO_C3	0x3e9

struct facs {
	char signature[4];
	uint32_t length, hardware, waking, lock, flags;
	uint64_t x_waking;
	uint8_t version, reserved[31];
} PACKED;

struct madt {
	struct header h;
	uint32_t lapic, flags;
} PACKED;

#define MADT_PCAT_COMPAT	1	/* there are PICs, too */

struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} PACKED;

struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} PACKED;

#define MPS_CONFORM	0x0		/* edge, active high on ISA */
#define MPS_LEVEL_HIGH	0xd
#define ALL_CPUS	0xff

struct mcfg {
	struct header h;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved2;
} PACKED;

/* Where the next table goes. After it was full once, nothing is written any more. */
struct image {
	uint8_t *base;
	size_t size, used;
	uint64_t gpa;
	bool full;
};

static void append(struct image *im, const void *data, size_t len)
{
	if (im->full || len > im->size - im->used) {
		im->full = true;
		return;
	}
	memcpy(im->base + im->used, data, len);
	im->used += len;
}

static void append_byte(struct image *im, uint8_t byte)
{
	append(im, &byte, 1);
}

static void align(struct image *im, size_t to)
{
	while (!im->full && im->used % to)
		append_byte(im, 0);
}

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static struct header head(const char *signature, uint8_t revision)
{
	struct header h = {
		.revision = revision,
		.oem_id = "MINIHV",
		.oem_revision = 1,
		.creator_id = { 'M', 'H', 'V', ' ' },
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, 4);
	memcpy(h.oem_table_id, "MINIVMM", 8);
	return h;
}

/* Length and checksum of the table that began at @start. Return: its guest address. */
static uint64_t seal(struct image *im, size_t start)
{
	struct header *h = (struct header *)(im->base + start);

	if (!im->full) {
		h->length = im->used - start;
		h->checksum = 0;
		h->checksum = checksum(h, h->length);
	}
	align(im, 64);
	return im->gpa + start;
}

static struct address io_register(uint64_t port, unsigned int bytes)
{
	return (struct address){ .space = SPACE_IO, .bits = bytes * 8, .address = port };
}

static uint64_t add_dsdt(struct image *im)
{
	size_t start = im->used;

	append(im, dsdt_aml_code, sizeof(dsdt_aml_code));
	return seal(im, start);
}

static uint64_t add_facs(struct image *im)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs), .version = 1 };
	uint64_t gpa = im->gpa + im->used;

	append(im, &facs, sizeof(facs));	/* the one table without a checksum */
	align(im, 64);
	return gpa;
}

static uint64_t add_fadt(struct image *im, uint64_t facs, uint64_t dsdt)
{
	size_t start = im->used;
	struct fadt fadt = {
		.h = head("FACP", 4),
		.facs = facs,
		.dsdt = dsdt,
		.sci = GSI_SCI,
		.pm1a_evt = PORT_PM,
		.pm1a_cnt = PORT_PM_CNT,
		.pm_tmr = PORT_PM_TIMER,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = LATENCY_NO_C2,
		.c3_latency = LATENCY_NO_C3,
		.century = 0x32,
		.boot_arch = BOOT_LEGACY | BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_C1 | FADT_NO_SLPBTN | FADT_RTC_NOT_FIXED |
			 FADT_TMR_32BIT | FADT_RESET,
		.reset = io_register(PORT_RESET, 1),
		.reset_value = RESET_VALUE,
		/* The 64-bit pointers stay zero where the 32-bit ones say it: both must not. */
		.x_dsdt = dsdt,
		.x_pm1a_evt = io_register(PORT_PM, 4),
		.x_pm1a_cnt = io_register(PORT_PM_CNT, 2),
		.x_pm_tmr = io_register(PORT_PM_TIMER, 4),
	};

	append(im, &fadt, sizeof(fadt));
	return seal(im, start);
}

static uint64_t add_madt(struct image *im, unsigned int cpus)
{
	size_t start = im->used;
	struct madt madt = { .h = head("APIC", 3), .lapic = LAPIC_BASE, .flags = MADT_PCAT_COMPAT };
	struct madt_ioapic ioapic = { 1, sizeof(ioapic), cpus, 0, IOAPIC_BASE, 0 };
	struct madt_override pit = { 2, sizeof(pit), 0, GSI_PIT, 2, MPS_CONFORM };
	struct madt_override sci = { 2, sizeof(sci), 0, GSI_SCI, GSI_SCI, MPS_LEVEL_HIGH };
	struct madt_nmi nmi = { 4, sizeof(nmi), ALL_CPUS, MPS_CONFORM, 1 };
	unsigned int i;

	append(im, &madt, sizeof(madt));
	for (i = 0; i < cpus; i++) {
		struct madt_lapic lapic = { 0, sizeof(lapic), i, i, 1 };

		append(im, &lapic, sizeof(lapic));
	}
	append(im, &ioapic, sizeof(ioapic));
	append(im, &pit, sizeof(pit));
	append(im, &sci, sizeof(sci));
	append(im, &nmi, sizeof(nmi));
	return seal(im, start);
}

static uint64_t add_mcfg(struct image *im)
{
	struct mcfg mcfg = { .h = head("MCFG", 1), .base = PCI_ECAM_BASE };
	size_t start = im->used;

	append(im, &mcfg, sizeof(mcfg));
	return seal(im, start);
}

/* PkgLength in its two-byte form; it counts itself. */
static void aml_length(struct image *im, size_t body)
{
	size_t len = body + 2;

	append_byte(im, 0x40 | (len & 0xf));
	append_byte(im, len >> 4);
}

/* Device (Cnnn) { Name (_HID, "ACPI0007") Name (_UID, nnn) }: the processors of the MADT. */
static uint64_t add_ssdt(struct image *im, unsigned int cpus)
{
	static const char hid[] = "\x08_HID\x0d\x41\x43PI0007", uid[] = "\x08_UID\x0a";
	struct header h = head("SSDT", 2);
	size_t start = im->used;
	size_t device = 4 + sizeof(hid) + (sizeof(uid) - 1) + 1;
	unsigned int i;
	char name[8];

	append(im, &h, sizeof(h));
	append_byte(im, 0x10);			/* Scope (\_SB) */
	aml_length(im, 5 + cpus * (2 + 2 + device));
	append(im, "\\_SB_", 5);
	for (i = 0; i < cpus; i++) {
		append(im, "\x5b\x82", 2);	/* Device */
		aml_length(im, device);
		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		append(im, name, 4);
		append(im, hid, sizeof(hid));	/* with the string's zero */
		append(im, uid, sizeof(uid) - 1);
		append_byte(im, i);
	}
	return seal(im, start);
}

size_t acpi_build(uint8_t *image, size_t size, uint64_t base, unsigned int cpus)
{
	struct image im = { .base = image, .size = size, .gpa = base };
	struct rsdp rsdp = {
		.signature = "RSD PTR ", .oem_id = "MINIHV", .revision = 2,
		.length = sizeof(rsdp),
	};
	struct header xsdt = head("XSDT", 1);
	uint64_t table[4], facs, dsdt;
	size_t start;

	append(&im, &rsdp, sizeof(rsdp));
	align(&im, 64);
	facs = add_facs(&im);
	dsdt = add_dsdt(&im);
	table[0] = add_fadt(&im, facs, dsdt);
	table[1] = add_madt(&im, cpus);
	table[2] = add_mcfg(&im);
	table[3] = add_ssdt(&im, cpus);

	start = im.used;
	append(&im, &xsdt, sizeof(xsdt));
	append(&im, table, sizeof(table));
	rsdp.xsdt = seal(&im, start);
	if (im.full)
		return 0;
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(image, &rsdp, sizeof(rsdp));
	return im.used;
}

uint64_t acpi_install(struct machine *m)
{
	uint8_t *image = mem_ptr(m, BOOT_ACPI, BOOT_ACPI_SIZE);

	if (!image || !acpi_build(image, BOOT_ACPI_SIZE, BOOT_ACPI, m->cfg.cpus))
		die("--memory: no room for the ACPI tables");
	return BOOT_ACPI;
}
