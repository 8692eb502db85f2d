/* SPDX-License-Identifier: MIT
 *
 * Numbers and text. Parsers are strict: the whole slice must be the number, no blanks, no plus sign,
 * no leading zeros (but "0"), as Redis reads integers. They return 0, or -EINVAL (not such a number) or
 * -ERANGE (does not fit), and leave the output untouched on failure. Pure functions, any thread.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

#define NUM_I64_CHARS 21 /* longest decimal int64 with its NUL */

int num_parse_i64(struct slice s, int64_t *ret);
int num_parse_u64(struct slice s, uint64_t *ret);

/* Decimal or exponent floating point, also "inf", below NUM_FLOAT_CHARS long; NaN is -EINVAL. */
int num_parse_float(struct slice s, long double *ret);

/* Bytes: a number with an optional unit B, K, M, G, T (powers of 1024; "KiB", "MB" are accepted alike). */
int num_parse_size(struct slice s, uint64_t *ret);

/* Milliseconds: one or more numbers with units ms, s, min, h, d, w ("1h30min"); a bare number is seconds. */
int num_parse_duration(struct slice s, uint64_t *ret_ms);

/* Writes decimal digits, no NUL; returns their number. The output needs NUM_I64_CHARS bytes. */
size_t num_format_i64(char *out, int64_t value);
size_t num_format_u64(char *out, uint64_t value);

/* The shortest plain text Redis gives for a counter: up to 17 decimals, trailing zeros gone. Returns its length;
 * the output needs at least 5 KiB for the largest long double, NUM_FLOAT_CHARS. */
#define NUM_FLOAT_CHARS 5120
size_t num_format_float(char *out, long double value);

/* The ending of a noun behind the number: "1 key", "2 keys". */
static inline const char *num_plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

#endif
