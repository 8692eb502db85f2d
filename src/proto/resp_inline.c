/* SPDX-License-Identifier: MIT
 *
 * Inline requests: what people type. Blanks separate words; a word may hold one quoted part, which ends it:
 * "double" with \n \r \t \b \a \xHH, any other escaped character for itself, or 'single' with \' alone.
 */
#include "proto/resp_inner.h"

#include <errno.h>

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

static int parse_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Cuts one escape, which begins with a backslash and is at least two bytes, off *s. */
static char take_escape(struct slice *s)
{
	static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
	char c = s->ptr[1];

	if (c == 'x' && s->len >= 4) {
		int high = parse_hex(s->ptr[2]), low = parse_hex(s->ptr[3]);
		if (high >= 0 && low >= 0) {
			*s = slice_skip(*s, 4);
			return (char)(high << 4 | low);
		}
	}
	*s = slice_skip(*s, 2);
	const char *name = memchr(names, c, sizeof(names) - 1);
	return name ? values[name - names] : c;
}

/* Cuts a quoted part, whose opening quote is gone already, off *s. False: it is not closed as it must be. */
static bool take_quoted(struct slice *s, char quote, struct buf *out)
{
	while (s->len) {
		char c = s->ptr[0];
		if (c == quote) {
			*s = slice_skip(*s, 1);
			return s->len == 0 || is_blank(s->ptr[0]);
		}
		if (c == '\\' && s->len > 1 && (quote == '"' || s->ptr[1] == quote))
			c = take_escape(s);
		else
			*s = slice_skip(*s, 1);
		buf_append_char(out, c);
	}
	return false;
}

/* Cuts a word off *s; it begins with n plain bytes, then comes a quote. */
static int take_quoted_word(struct resp_reader *r, struct slice *s, size_t n)
{
	/* Taken once for the whole rest of the line, so that it does not move under earlier words. */
	int error = buf_reserve(&r->unquoted, s->len);
	if (error)
		return error;
	size_t start = r->unquoted.len;
	char quote = s->ptr[n];
	buf_append(&r->unquoted, s->ptr, n);
	*s = slice_skip(*s, n + 1);
	if (!take_quoted(s, quote, &r->unquoted))
		return resp_reader_bad(r, "unbalanced quotes in request");
	return resp_reader_push(r, r->unquoted.ptr + start, r->unquoted.len - start);
}

static int take_word(struct resp_reader *r, struct slice *s)
{
	size_t n = 0;

	while (n < s->len && !is_blank(s->ptr[n])) {
		if (is_quote(s->ptr[n]))
			return take_quoted_word(r, s, n);
		n++;
	}
	int error = resp_reader_push(r, s->ptr, n);
	*s = slice_skip(*s, n);
	return error;
}

/* Somebody made to talk HTTP to this socket must not get the body, which others chose, run as commands. */
static bool is_http(const struct slice *argv, size_t argc)
{
	static const char *const verbs[] = {
		"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
	};

	if (slice_is(argv[0], "POST") || slice_is(argv[0], "Host:"))
		return true;
	if (argc != 3 || !slice_has_prefix(argv[2], SLICE("HTTP/")))
		return false;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_is(argv[0], verbs[i]))
			return true;
	return false;
}

int resp_inline_split(struct resp_reader *r, struct slice line)
{
	r->nargs = 0;
	buf_reset(&r->unquoted, RESP_KEEP_UNQUOTED);
	for (;;) {
		while (line.len && is_blank(line.ptr[0]))
			line = slice_skip(line, 1);
		if (line.len == 0)
			break;
		if (r->nargs >= r->limits->args)
			return resp_reader_bad(
				r, "too big inline request, the limit is %zu arguments", r->limits->args);
		int result = take_word(r, &line);
		if (result)
			return result;
	}
	if (r->nargs && is_http(r->argv, r->nargs))
		return resp_reader_bad(r, "this is not an HTTP server");
	return 0;
}
