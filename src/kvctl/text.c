/* SPDX-License-Identifier: MIT
 *
 * Bytes as text: UTF-8, escapes, base64.
 */
#include <errno.h>
#include "kvctl/output.h"

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_length(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return s.len >= 2 && is_tail(p[1]) ? 2 : 0;
	if (p[0] >= 0xe0 && p[0] <= 0xef) {
		/* Overlong forms and surrogates are no characters. */
		if (s.len < 3 || !is_tail(p[1]) || !is_tail(p[2]) || (p[0] == 0xe0 && p[1] < 0xa0) ||
			(p[0] == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (p[0] < 0xf0 || p[0] > 0xf4 || s.len < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3]) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

bool utf8_valid(struct slice s)
{
	while (s.len) {
		size_t n = utf8_length(s);
		if (n == 0)
			return false;
		s = slice_skip(s, n);
	}
	return true;
}

/* Controls, also the second set (U+0080 to U+009F), which terminals obey as well. */
static bool is_control(const unsigned char *p, size_t n)
{
	return n == 0 || (n == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

static void escape_byte(struct buf *out, unsigned char c)
{
	switch (c) {
	case '\n':
		buf_append_str(out, "\\n");
		break;
	case '\r':
		buf_append_str(out, "\\r");
		break;
	case '\t':
		buf_append_str(out, "\\t");
		break;
	default:
		buf_printf(out, "\\x%02x", c);
	}
}

void escape(struct buf *out, struct slice s, const char *also)
{
	while (s.len) {
		const unsigned char *p = (const unsigned char *)s.ptr;
		size_t n = utf8_length(s), width = n ? n : 1;

		if (is_control(p, n)) {
			for (size_t i = 0; i < width; i++)
				escape_byte(out, p[i]);
		} else {
			if (n == 1 && strchr(also, p[0]))
				buf_append_char(out, '\\');
			buf_append(out, p, n);
		}
		s = slice_skip(s, width);
	}
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;

	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = s.len - i < 3 ? s.len - i : 3;
		uint32_t v =
			(uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		char four[4] = { base64_digits[v >> 18], base64_digits[v >> 12 & 63],
			n > 1 ? base64_digits[v >> 6 & 63] : '=', n > 2 ? base64_digits[v & 63] : '=' };
		buf_append(out, four, sizeof(four));
	}
}

static int find_digit(char c)
{
	const char *found = c ? strchr(base64_digits, c) : NULL;

	return found ? (int)(found - base64_digits) : -1;
}

/* Four characters to one, two or three bytes; padding only where it may stand. 0: malformed. */
static size_t decode_four(const char *four, bool last, unsigned char *ret)
{
	size_t n = !last || four[3] != '=' ? 3 : four[2] != '=' ? 2 : 1;
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i <= n ? find_digit(four[i]) : 0;
		if (digit < 0)
			return 0;
		v = v << 6 | (uint32_t)digit;
	}
	/* The bits that padding cuts off must be zero: one text for each value. */
	if (v & (n == 1 ? 0xffff : n == 2 ? 0xff : 0))
		return 0;
	ret[0] = (unsigned char)(v >> 16);
	ret[1] = (unsigned char)(v >> 8);
	ret[2] = (unsigned char)v;
	return n;
}

int base64_decode(struct buf *out, struct slice s)
{
	if (s.len % 4)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i += 4) {
		unsigned char bytes[3];
		size_t n = decode_four(s.ptr + i, i + 4 == s.len, bytes);
		if (n == 0)
			return -EINVAL;
		buf_append(out, bytes, n);
	}
	return out->failed ? -ENOMEM : 0;
}
