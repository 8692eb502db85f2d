/* SPDX-License-Identifier: MIT
 *
 * A small TAP producer for C tests: plan first (plan(n)) or last (done() alone), one line per check, exit 1 when a
 * check failed. Every check needs a name that says what must hold.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <float.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int tap_count, tap_failed, tap_planned = -1;

static inline void plan(int n)
{
	tap_planned = n;
	printf("1..%d\n", n);
	fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static inline void diag(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("# ", stdout);
	vprintf(format, ap);
	fputc('\n', stdout);
	va_end(ap);
	fflush(stdout);
}

/* False under valgrind, which computes long double with 64 bits and so gives other sums and infinities. */
static inline bool tap_has_long_double(void)
{
	volatile long double one = 1, next = 1 + LDBL_EPSILON;

	return LDBL_MANT_DIG == 64 && next != one;
}

/* Printed, so that a run can be repeated: $KVD_TEST_SEED, or one that is always the same, but new with $KVD_TEST_LONG. */
static inline uint64_t tap_seed(void)
{
	const char *given = getenv("KVD_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : getenv("KVD_TEST_LONG") ? (uint64_t)time(NULL) : 1;

	diag("KVD_TEST_SEED=%" PRIu64, seed);
	return seed;
}

/* $KVD_TEST_STRIDE: of many things to try in turn, only every Nth is tried, for tools that slow a program down. */
static inline uint64_t tap_stride(void)
{
	const char *given = getenv("KVD_TEST_STRIDE");
	uint64_t stride = given ? strtoull(given, NULL, 10) : 0;

	return stride ? stride : 1;
}

static uint64_t tap_random_state;

/* A number below n. Begin with tap_random_begin(tap_seed()). */
static inline void tap_random_begin(uint64_t seed)
{
	tap_random_state = (seed * 2654435761U) | 1;
}

static inline uint64_t tap_random(uint64_t n)
{
	tap_random_state ^= tap_random_state << 13;
	tap_random_state ^= tap_random_state >> 7;
	tap_random_state ^= tap_random_state << 17;
	return tap_random_state % n;
}

__attribute__((format(printf, 2, 3))) static inline bool ok(bool good, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	vprintf(format, ap);
	fputc('\n', stdout);
	va_end(ap);
	tap_failed += !good;
	fflush(stdout);
	return good;
}

static inline bool is_int(int64_t got, int64_t expected, const char *name)
{
	if (!ok(got == expected, "%s", name)) {
		diag("got %" PRId64 ", expected %" PRId64, got, expected);
		return false;
	}
	return true;
}

static inline void diag_mem(const char *label, const void *ptr, size_t len)
{
	printf("# %s (%zu bytes): ", label, len);
	for (size_t i = 0; i < len && i < 200; i++) {
		unsigned char c = ((const unsigned char *)ptr)[i];
		printf(c >= 32 && c < 127 && c != '\\' ? "%c" : "\\x%02x", c);
	}
	fputc('\n', stdout);
	fflush(stdout);
}

static inline bool is_mem(const void *got, size_t got_len, const void *expected, size_t len, const char *name)
{
	if (!ok(got_len == len && (len == 0 || memcmp(got, expected, len) == 0), "%s", name)) {
		diag_mem("got", got, got_len);
		diag_mem("expected", expected, len);
		return false;
	}
	return true;
}

static inline bool is_str(const char *got, const char *expected, const char *name)
{
	return is_mem(got, strlen(got), expected, strlen(expected), name);
}

static inline void skip(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, name, why);
	fflush(stdout);
}

__attribute__((noreturn)) static inline void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void bail(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("Bail out! ", stdout);
	vprintf(format, ap);
	fputc('\n', stdout);
	va_end(ap);
	fflush(stdout); /* a leak checker ends the process before stdio does */
	exit(99);
}

/* The last line of main: return done(); */
static inline int done(void)
{
	if (tap_planned < 0)
		printf("1..%d\n", tap_count);
	else if (tap_planned != tap_count)
		diag("planned %d checks, ran %d", tap_planned, tap_count);
	return tap_failed || (tap_planned >= 0 && tap_planned != tap_count);
}

#endif
