/* SPDX-License-Identifier: GPL-2.0 */
/*
 * test.h - the test harness: TEST() cases, EXPECT_*() and ASSERT_*(), KTAP output.
 * Every case runs in a child process of its own, under a time limit, so that a crash or
 * a hang is one failure. ASSERT ends the case, EXPECT notes the failure and goes on.
 * A binary exits with 0, 1 (a case failed) or 4 (every case was skipped).
 */
#ifndef MINIHV_SELFTEST_TEST_H
#define MINIHV_SELFTEST_TEST_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ULL << (n))

struct test_case {
	const char *name;
	void (*fn)(void);
	int line;
};

/* The linker gathers the cases in a section; test.c sorts them by line. */
#define TEST(id)								\
	static void id(void);							\
	static const struct test_case case_##id = { #id, id, __LINE__ };	\
	static const struct test_case *const case_ptr_##id			\
		__attribute__((used, section("test_cases"))) = &case_##id;	\
	static void id(void)

/** test_fail() - note that the case failed at @file:@line; printf-like reason. */
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** test_abort() - end the case here, as a failure. */
_Noreturn void test_abort(void);

/** test_skip() - end the case here, as skipped; printf-like reason. */
void test_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** test_info() - print one diagnostic line. */
void test_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** test_context() - words put before each failure that follows (a row of a table). */
void test_context(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * test_slow() - by how much everything here is slower than on an ordinary machine: $MHV_SLOW, or 1.
 *
 * Limits of time are multiplied by it.
 */
unsigned int test_slow(void);

/** test_failed() - did this case fail already? */
int test_failed(void);

/** test_device() - path of the device under test: argv[1], else $DEV, else /dev/minihv. */
const char *test_device(void);

/**
 * test_force_emulation() - until the end of the case, UD2 and "kvm" before an instruction of a
 * guest have the hypervisor's emulator execute it; 0 if that cannot be had.
 */
int test_force_emulation(void);

/** test_setup() - what else is here may be used, on @device; test_main() does it by itself. */
void test_setup(const char *device);

/** test_main() - run all cases, or that which argv[2] names; the exit status. */
int test_main(int argc, char **argv);

#define CMP_(a, op, b, stop) do {						\
	unsigned long long a_ = (unsigned long long)(a);			\
	unsigned long long b_ = (unsigned long long)(b);			\
										\
	if (!(a_ op b_)) {							\
		test_fail(__FILE__, __LINE__, "%s %s %s: 0x%llx against 0x%llx",\
			  #a, #op, #b, a_, b_);					\
		if (stop)							\
			test_abort();						\
	}									\
} while (0)

#define TRUE_(cond, stop) do {							\
	if (!(cond)) {								\
		test_fail(__FILE__, __LINE__, "%s", #cond);			\
		if (stop)							\
			test_abort();						\
	}									\
} while (0)

#define EXPECT_EQ(a, b) CMP_(a, ==, b, 0)
#define EXPECT_NE(a, b) CMP_(a, !=, b, 0)
#define EXPECT_GE(a, b) CMP_(a, >=, b, 0)
#define EXPECT_LE(a, b) CMP_(a, <=, b, 0)
#define ASSERT_EQ(a, b) CMP_(a, ==, b, 1)
#define ASSERT_NE(a, b) CMP_(a, !=, b, 1)
#define EXPECT_TRUE(c) TRUE_(c, 0)
#define ASSERT_TRUE(c) TRUE_(c, 1)

/* The call must return -1 with exactly this errno. */
#define EXPECT_ERRNO(call, want) do {						\
	long r_ = (long)(call);							\
	int e_ = errno;								\
										\
	if (r_ != -1 || e_ != (want))						\
		test_fail(__FILE__, __LINE__, "%s: %ld, errno %d (%s), want errno %d (%s)", \
			  #call, r_, r_ == -1 ? e_ : 0,				\
			  r_ == -1 ? strerror(e_) : "-", want, strerror(want));	\
} while (0)

/* The call must return exactly this and no error. */
#define RET_(call, want, stop) do {						\
	long r_ = (long)(call);							\
	int e_ = errno;								\
										\
	if (r_ != (long)(want)) {						\
		test_fail(__FILE__, __LINE__, "%s: %ld, want %ld (%s)",		\
			  #call, r_, (long)(want), r_ == -1 ? strerror(e_) : "-"); \
		if (stop)							\
			test_abort();						\
	}									\
} while (0)
#define EXPECT_RET(call, want) RET_(call, want, 0)
#define ASSERT_RET(call, want) RET_(call, want, 1)

#endif
