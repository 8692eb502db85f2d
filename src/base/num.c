/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int num_parse_u64(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 20 || (s.len > 1 && s.ptr[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int num_parse_i64(struct slice s, int64_t *ret)
{
	bool minus = s.len > 0 && s.ptr[0] == '-';
	uint64_t v, limit = (uint64_t)INT64_MAX + minus;

	int r = num_parse_u64(minus ? slice_skip(s, 1) : s, &v);
	if (r)
		return r;
	if (minus && v == 0)
		return -EINVAL;
	if (v > limit)
		return -ERANGE;
	*ret = minus ? (int64_t)-v : (int64_t)v;
	return 0;
}

int num_parse_float(struct slice s, long double *ret)
{
	char text[NUM_FLOAT_CHARS], *end; /* what num_format_float() writes can be read again */

	if (s.len == 0 || s.len >= sizeof(text) || memchr(s.ptr, 0, s.len))
		return -EINVAL;
	if (s.ptr[0] == ' ' || (s.ptr[0] >= '\t' && s.ptr[0] <= '\r'))
		return -EINVAL;
	memcpy(text, s.ptr, s.len);
	text[s.len] = 0;
	errno = 0;
	long double v = strtold(text, &end);
	if (*end || isnan(v))
		return -EINVAL;
	if (errno == ERANGE && (isinf(v) || v == 0))
		return -ERANGE;
	*ret = v;
	return 0;
}

/* Cuts the leading digits off *s; the rest is the unit. */
static int take_digits(struct slice *s, uint64_t *ret)
{
	size_t n = 0;

	while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9')
		n++;
	int r = num_parse_u64(slice(s->ptr, n), ret);
	if (r == 0)
		*s = slice_skip(*s, n);
	return r;
}

int num_parse_size(struct slice s, uint64_t *ret)
{
	static const char units[] = "BKMGT";
	uint64_t v, factor = 1;

	int r = take_digits(&s, &v);
	if (r)
		return r;
	if (s.len) {
		char c = s.ptr[0] >= 'a' ? (char)(s.ptr[0] - 32) : s.ptr[0];
		const char *u = memchr(units, c, sizeof(units) - 1);
		struct slice rest = slice_skip(s, 1);
		bool plain = rest.len == 0 || (c != 'B' && (slice_is(rest, "B") || slice_is(rest, "iB")));
		if (!u || !plain)
			return -EINVAL;
		factor = UINT64_C(1) << (10 * (u - units));
	}
	if (__builtin_mul_overflow(v, factor, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

static uint64_t take_unit(struct slice *s)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "ms", 1 }, { "msec", 1 }, { "s", 1000 }, { "sec", 1000 }, { "min", 60000 }, { "m", 60000 },
		{ "h", 3600000 }, { "hour", 3600000 }, { "d", 86400000 }, { "day", 86400000 }, { "w", 604800000 },
	};
	size_t n = 0;

	while (n < s->len && ((s->ptr[n] >= 'a' && s->ptr[n] <= 'z') || (s->ptr[n] >= 'A' && s->ptr[n] <= 'Z')))
		n++;
	struct slice word = slice(s->ptr, n);
	*s = slice_skip(*s, n);
	if (n == 0 && s->len == 0)
		return 1000;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_is(word, units[i].name))
			return units[i].ms;
	return 0;
}

int num_parse_duration(struct slice s, uint64_t *ret_ms)
{
	uint64_t total = 0;

	if (s.len == 0)
		return -EINVAL;
	while (s.len) {
		uint64_t v, unit;
		int r = take_digits(&s, &v);
		if (r)
			return r;
		unit = take_unit(&s);
		if (unit == 0)
			return -EINVAL;
		if (__builtin_mul_overflow(v, unit, &v) || __builtin_add_overflow(total, v, &total))
			return -ERANGE;
	}
	*ret_ms = total;
	return 0;
}

size_t num_format_u64(char *out, uint64_t value)
{
	char digits[NUM_I64_CHARS];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

size_t num_format_i64(char *out, int64_t value)
{
	if (value >= 0)
		return num_format_u64(out, (uint64_t)value);
	*out = '-';
	return 1 + num_format_u64(out + 1, -(uint64_t)value);
}

size_t num_format_float(char *out, long double value)
{
	int n = snprintf(out, NUM_FLOAT_CHARS, "%.17Lf", value);

	if (n < 0 || !memchr(out, '.', (size_t)n))
		return n < 0 ? 0 : (size_t)n;
	while (out[n - 1] == '0')
		n--;
	if (out[n - 1] == '.')
		n--;
	if (n == 2 && out[0] == '-' && out[1] == '0') {
		out[0] = '0';
		n = 1;
	}
	return (size_t)n;
}
