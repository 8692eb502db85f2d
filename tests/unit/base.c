/* SPDX-License-Identifier: MIT
 * The base room: numbers, buffers, slices, checksum.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include "base/buf.h"
#include "base/crc.h"
#include "base/hash.h"
#include "base/num.h"
#include "tap.h"

static void test_integers(void)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} cases[] = {
		{ "0", 0, 0 }, { "-1", 0, -1 }, { "9223372036854775807", 0, INT64_MAX },
		{ "-9223372036854775808", 0, INT64_MIN }, { "9223372036854775808", -ERANGE, 0 },
		{ "-9223372036854775809", -ERANGE, 0 }, { "", -EINVAL, 0 }, { "-", -EINVAL, 0 }, { "01", -EINVAL, 0 },
		{ "-0", -EINVAL, 0 }, { "+1", -EINVAL, 0 }, { " 1", -EINVAL, 0 }, { "1 ", -EINVAL, 0 }, { "1x", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t v = 77;
		int r = num_parse_i64(slice_str(cases[i].text), &v);
		ok(r == cases[i].result && v == (r ? 77 : cases[i].value), "integer \"%s\" gives %d", cases[i].text, cases[i].result);
	}
	char out[NUM_I64_CHARS];
	size_t n = num_format_i64(out, INT64_MIN);
	is_mem(out, n, "-9223372036854775808", 20, "the smallest integer is written whole");
}

static void test_units(void)
{
	uint64_t v = 0;
	ok(num_parse_size(SLICE("64M"), &v) == 0 && v == 64 << 20, "64M is 64 MiB");
	ok(num_parse_size(SLICE("1GiB"), &v) == 0 && v == 1 << 30, "1GiB is taken");
	ok(num_parse_size(SLICE("2kb"), &v) == 0 && v == 2048, "units of either case");
	ok(num_parse_size(SLICE("17"), &v) == 0 && v == 17, "no unit is bytes");
	is_int(num_parse_size(SLICE("1X"), &v), -EINVAL, "an unknown unit is refused");
	is_int(num_parse_size(SLICE("1BB"), &v), -EINVAL, "bytes have no second letter");
	is_int(num_parse_size(SLICE("M"), &v), -EINVAL, "a unit alone is refused");
	is_int(num_parse_size(SLICE("99999999T"), &v), -ERANGE, "a size above 64 bits is refused");
	ok(num_parse_duration(SLICE("15min"), &v) == 0 && v == 900000, "15min");
	ok(num_parse_duration(SLICE("1h30min"), &v) == 0 && v == 5400000, "durations add up");
	ok(num_parse_duration(SLICE("250ms"), &v) == 0 && v == 250, "250ms");
	ok(num_parse_duration(SLICE("3"), &v) == 0 && v == 3000, "a bare number is seconds");
	is_int(num_parse_duration(SLICE("3 parsecs"), &v), -EINVAL, "an unknown unit of time is refused");
	is_int(num_parse_duration(SLICE(""), &v), -EINVAL, "an empty duration is refused");
}

static void test_floats(void)
{
	long double v;
	char out[NUM_FLOAT_CHARS];
	ok(num_parse_float(SLICE("10.5"), &v) == 0, "10.5 is read");
	is_mem(out, num_format_float(out, v), "10.5", 4, "10.5 is written without trailing zeros");
	ok(num_parse_float(SLICE("5.0e3"), &v) == 0, "exponents are read");
	is_mem(out, num_format_float(out, v), "5000", 4, "5.0e3 is written as 5000");
	is_int(num_parse_float(SLICE("nan"), &v), -EINVAL, "NaN is refused");
	is_int(num_parse_float(SLICE(" 1"), &v), -EINVAL, "a leading blank is refused");
	is_int(num_parse_float(SLICE("1\0"), &v), -EINVAL, "a NUL is refused");
	if (tap_has_long_double())
		ok(num_parse_float(SLICE("inf"), &v) == 0 && isinf(v), "inf is read");
	else
		skip("inf is read", "long double is not what it is on this architecture");
	is_mem(out, num_format_float(out, -0.0L), "0", 1, "minus zero is zero");
	/* What is written can be read: a counter never refuses its own value. */
	static const long double large[] = { 1.7e308L, -1.7e308L, LDBL_MAX, -LDBL_MAX };
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
		size_t n = num_format_float(out, large[i]);
		ok(num_parse_float(slice(out, n), &v) == 0 && v == large[i], "%Lg comes back from its %zu characters", large[i], n);
	}
	char digits[NUM_FLOAT_CHARS + 1];
	memset(digits, '0', sizeof(digits));
	ok(num_parse_float(slice(digits, NUM_FLOAT_CHARS - 1), &v) == 0 && v == 0, "the longest text is read");
	is_int(num_parse_float(slice(digits, NUM_FLOAT_CHARS), &v), -EINVAL, "a longer one is refused");
}

static void test_buffers(void)
{
	struct buf b = { 0 };
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	ok(!b.failed && b.len == 3890 && memcmp(b.ptr + b.len - 4, "999,", 4) == 0, "a buffer grows over many appends");
	buf_consume(&b, 3886);
	is_mem(b.ptr, b.len, "999,", 4, "consume keeps the rest");
	is_int(buf_reserve(&b, SIZE_MAX), -ENOMEM, "an impossible size is refused");
	buf_append_str(&b, "x");
	ok(b.failed && b.len == 4, "the failure is sticky and later appends do nothing");
	buf_reset(&b, 0);
	ok(!b.failed && b.len == 0 && b.cap == 0, "reset clears the failure and gives memory back");
	buf_free(&b);
}

static void test_order_and_sums(void)
{
	ok(slice_cmp(SLICE("a"), SLICE("ab")) < 0, "a prefix sorts first");
	ok(slice_cmp(SLICE("\xff"), SLICE("a")) > 0, "bytes compare unsigned");
	ok(slice_cmp(slice(NULL, 0), SLICE("")) == 0, "empty slices are equal");
	ok(slice_is(SLICE("PiNg"), "ping") && !slice_is(SLICE("pin"), "ping"), "words compare without case");
	is_int(crc_update(0, "123456789", 9), 0xcbf43926, "the checksum is CRC-32 (check value of its definition)");
	is_int(crc_update(crc_update(0, "1234", 4), "56789", 5), 0xcbf43926, "a checksum can be continued");
	ok(hash_bytes(0, SLICE("a")) != hash_bytes(0, SLICE("a\0")), "the hash counts trailing zeros");
}

int main(void)
{
	test_integers();
	test_units();
	test_floats();
	test_buffers();
	test_order_and_sums();
	return done();
}
