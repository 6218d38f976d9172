// SPDX-License-Identifier: GPL-2.0
/*
 * Option values, ACPI tables, the buses.
 * Entered from make check.
 * No locks.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acpi/acpi.h"
#include "bus.h"
#include "machine.h"
#include "options.h"

static void sizes(void **state)
{
	static const char *const bad[] = {
		"", "0", "0M", "-1", "+1", " 1", "1 ", "M", "1MB", "1X", "0x10", "1.5G",
		"18446744073709551616", "18014398509481984K", "99999999999999999999T", "16777216T",
	};
	uint64_t bytes;
	size_t i;

	(void)state;
	assert_true(parse_size("65536", &bytes) && bytes == 65536);
	assert_true(parse_size("1k", &bytes) && bytes == 1024);
	assert_true(parse_size("512M", &bytes) && bytes == 512ull << 20);
	assert_true(parse_size("3G", &bytes) && bytes == 3ull << 30);
	assert_true(parse_size("16777215T", &bytes) && bytes == 16777215ull << 40);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parse_size(bad[i], &bytes));
}

static void numbers(void **state)
{
	unsigned int n;

	(void)state;
	assert_true(parse_number("1", 1, 64, &n) && n == 1);
	assert_true(parse_number("64", 1, 64, &n) && n == 64);
	assert_false(parse_number("0", 1, 64, &n));
	assert_false(parse_number("65", 1, 64, &n));
	assert_false(parse_number("4294967297", 1, 64, &n));
	assert_false(parse_number("2x", 1, 64, &n));
	assert_false(parse_number("", 1, 64, &n));
	assert_false(parse_number("-1", 1, 64, &n));
}

static void forwards(void **state)
{
	static const char *const bad[] = {
		"", "-", ":", ":8080-:80", "tcp::80", "tcp::80-80", "tcp::0-:80", "tcp::80-:0",
		"tcp::65536-:80", "x::1-:2", "tcp:1.2.3:80-:80", "tcp:host:80-:80", "tcp::22-::22",
		"tcp::80-:80-:80", "tcp::80-:80 ", "tcp:1.2.3.4.5:80-:80",
	};
	struct net_forward f;
	size_t i;

	(void)state;
	assert_true(parse_forward("tcp:127.0.0.1:8080-10.0.2.16:80", &f));
	assert_false(f.udp);
	assert_int_equal(f.host.s_addr, inet_addr("127.0.0.1"));
	assert_int_equal(f.guest.s_addr, inet_addr("10.0.2.16"));
	assert_true(f.host_port == 8080 && f.guest_port == 80);
	assert_true(parse_forward("::2222-:22", &f));
	assert_false(f.udp);
	assert_int_equal(f.host.s_addr, INADDR_ANY);
	assert_int_equal(f.guest.s_addr, inet_addr("10.0.2.15"));
	assert_true(f.host_port == 2222 && f.guest_port == 22);
	assert_true(parse_forward("udp::53-:65535", &f) && f.udp && f.guest_port == 65535);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parse_forward(bad[i], &f));
}

#define ACPI_AT	0xe0000ull

static uint8_t image[0x20000];

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* A table with this signature, checked: it lies in the image and its checksum is right. */
static const uint8_t *table(uint64_t gpa, size_t used, const char *signature)
{
	const uint8_t *t;

	assert_true(gpa >= ACPI_AT && gpa + 36 <= ACPI_AT + used);
	t = image + (gpa - ACPI_AT);
	assert_true(get32(t + 4) <= ACPI_AT + used - gpa);
	assert_int_equal(sum(t, get32(t + 4)), 0);
	if (signature)
		assert_memory_equal(t, signature, 4);
	return t;
}

static unsigned int enabled_lapics(const uint8_t *madt)
{
	const uint8_t *e = madt + 44, *end = madt + get32(madt + 4);
	unsigned int n = 0;

	for (; e < end; e += e[1]) {
		assert_true(e[1] >= 2 && e + e[1] <= end);
		if (e[0] == 0 && get32(e + 4) & 1)
			assert_int_equal(e[3], n++);	/* APIC IDs without a gap */
	}
	return n;
}

static void acpi_tables(void **state)
{
	static const unsigned int counts[] = { 1, 2, 15, 64 };
	size_t i, j, used;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const uint8_t *xsdt, *madt = NULL, *fadt = NULL;

		memset(image, 0, sizeof(image));
		used = acpi_build(image, sizeof(image), ACPI_AT, counts[i]);
		assert_true(used > 0);
		assert_memory_equal(image, "RSD PTR ", 8);
		assert_int_equal(sum(image, 20), 0);
		assert_int_equal(sum(image, 36), 0);
		xsdt = table(get64(image + 24), used, "XSDT");
		for (j = 36; j < get32(xsdt + 4); j += 8) {
			const uint8_t *t = table(get64(xsdt + j), used, NULL);

			if (!memcmp(t, "APIC", 4))
				madt = t;
			if (!memcmp(t, "FACP", 4))
				fadt = t;
		}
		assert_non_null(madt);
		assert_non_null(fadt);
		assert_int_equal(enabled_lapics(madt), counts[i]);
		table(get32(fadt + 40), used, "DSDT");
		assert_memory_equal(image + (get32(fadt + 36) - ACPI_AT), "FACS", 4);
		assert_int_equal(get32(fadt + 36) % 64, 0);
	}
}

/* Any size too small is noticed, and nothing is written behind it. */
static void acpi_too_small(void **state)
{
	size_t size, need;

	(void)state;
	need = acpi_build(image, sizeof(image), ACPI_AT, 2);
	for (size = 0; size < need; size += 7) {
		memset(image, 0xa5, sizeof(image));
		assert_int_equal(acpi_build(image, size, ACPI_AT, 2), 0);
		assert_int_equal(image[size], 0xa5);
	}
}

struct last {
	uint64_t offset;
	unsigned int len, calls;
};

static void record(void *opaque, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct last *last = opaque;

	last->offset = offset;
	last->len = len;
	last->calls++;
	if (!write)
		memset(data, 0x11, len);
}

static void bus_lookup(void **state)
{
	struct last la = { 0 }, lb = { 0 };
	struct bus_region a = { .base = 0x100, .len = 8, .handler = record, .opaque = &la };
	struct bus_region b = { .base = 0x108, .len = 8, .handler = record, .opaque = &lb };
	struct bus_region over = { .base = 0x10f, .len = 1, .handler = record };
	struct bus_region none = { .base = 0x200, .len = 0, .handler = record };
	struct bus_region beyond = { .base = 0xffff, .len = 2, .handler = record };
	uint32_t val = 0;
	struct bus bus;

	(void)state;
	bus_init(&bus, 0xffff);
	assert_int_equal(bus_register(&bus, &b), 0);
	assert_int_equal(bus_register(&bus, &a), 0);
	assert_int_equal(bus_register(&bus, &a), -EEXIST);
	assert_int_equal(bus_register(&bus, &over), -EEXIST);
	assert_int_equal(bus_register(&bus, &none), -EINVAL);
	assert_int_equal(bus_register(&bus, &beyond), -EINVAL);

	assert_true(bus_access(&bus, 0x104, &val, 4, true));
	assert_true(la.calls == 1 && la.offset == 4 && la.len == 4);
	assert_true(bus_access(&bus, 0x10f, &val, 1, true));
	assert_true(lb.calls == 1 && lb.offset == 7);
	assert_false(bus_access(&bus, 0xff, &val, 1, false));
	assert_int_equal(val, 0xff);
	assert_false(bus_access(&bus, 0x110, &val, 4, false));
	assert_int_equal(val, 0xffffffff);

	/* Over the edge of both, and over the edge into nothing: single bytes. */
	la.calls = 0;
	lb.calls = 0;
	assert_true(bus_access(&bus, 0x106, &val, 4, true));
	assert_true(la.calls == 2 && lb.calls == 2);
	assert_true(bus_access(&bus, 0x10e, &val, 4, false));
	assert_int_equal(val, 0xffff1111);
	assert_true(bus_access(&bus, 0xffff, &val, 4, false) == false);
	bus_unregister(&bus, &a);
	bus_unregister(&bus, &a);
	assert_false(bus_access(&bus, 0x100, &val, 1, false));
	bus_unregister(&bus, &b);
	free(bus.region);
}

static void bus_moving(void **state)
{
	struct last la = { 0 };
	struct bus_region a = { .base = 0x1000, .len = 0x1000, .handler = record, .opaque = &la };
	struct bus_region b = { .base = 0x4000, .len = 0x1000, .handler = record, .opaque = &la };
	uint32_t val = 0;
	struct bus bus;

	(void)state;
	bus_init(&bus, UINT64_MAX);
	assert_int_equal(bus_move(&bus, &a, 0x2000), -EINVAL);
	assert_int_equal(bus_register(&bus, &a), 0);
	assert_int_equal(bus_register(&bus, &b), 0);
	assert_int_equal(bus_move(&bus, &a, 0x3800), -EEXIST);
	assert_true(bus_access(&bus, 0x1000, &val, 4, true));
	assert_int_equal(bus_move(&bus, &a, 0x1800), 0);	/* over its own old place */
	assert_false(bus_access(&bus, 0x1000, &val, 4, true));
	assert_true(bus_access(&bus, 0x2000, &val, 4, true));
	assert_int_equal(la.offset, 0x800);
	assert_int_equal(bus_move(&bus, &a, UINT64_MAX - 0xfff), 0);
	assert_true(bus_access(&bus, UINT64_MAX, &val, 1, true));
	assert_int_equal(la.offset, 0xfff);
	assert_int_equal(bus_move(&bus, &a, UINT64_MAX - 0xffe), -EINVAL);
	bus_unregister(&bus, &a);
	bus_unregister(&bus, &b);
	free(bus.region);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(forwards),
		cmocka_unit_test(acpi_tables),
		cmocka_unit_test(acpi_too_small),
		cmocka_unit_test(bus_lookup),
		cmocka_unit_test(bus_moving),
	};

	return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
