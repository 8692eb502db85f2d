/* SPDX-License-Identifier: MIT */
#include "kvctl/csv.h"

#include <errno.h>

static bool needs_quotes(struct slice s)
{
	if (s.len && (s.ptr[0] == ' ' || s.ptr[s.len - 1] == ' '))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == ',' || s.ptr[i] == '"' || s.ptr[i] == '\n' || s.ptr[i] == '\r')
			return true;
	return false;
}

void csv_append(struct buf *out, struct slice field)
{
	if (!needs_quotes(field)) {
		buf_append_slice(out, field);
		return;
	}
	buf_append_char(out, '"');
	while (field.len) {
		const char *quote = memchr(field.ptr, '"', field.len);
		size_t n = quote ? (size_t)(quote - field.ptr) + 1 : field.len;
		buf_append(out, field.ptr, n);
		if (quote)
			buf_append_char(out, '"');
		field = slice_skip(field, n);
	}
	buf_append_char(out, '"');
}

bool csv_goes_on(struct csv_state *s, struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		bool quote = line.ptr[i] == '"';
		if (s->inside) {
			s->inside = !quote;
			s->closing = quote;
		} else if (quote && (!s->begun || s->closing)) {
			/* The first of a field, or the second of two, which stand for one. */
			s->inside = true;
			s->closing = false;
		} else {
			s->closing = false;
		}
		s->begun = s->inside || line.ptr[i] != ',';
	}
	return s->inside;
}

/* A field that begins with a quote, from behind it; *at is left behind the closing one. */
static int unquote(char *text, size_t len, size_t *at, struct slice *ret, struct buf *error)
{
	char *start = text + *at, *out = start;
	size_t i = *at;

	for (;; i++) {
		const char *quote = memchr(text + i, '"', len - i);
		if (!quote) {
			buf_append_str(error, "a quote is not closed");
			return -EINVAL;
		}
		size_t n = (size_t)(quote - (text + i));
		memmove(out, text + i, n);
		out += n;
		i += n + 1;
		if (i == len || text[i] != '"')
			break;
		*out++ = '"';
	}
	*at = i;
	*ret = slice(start, (size_t)(out - start));
	return 0;
}

static int take_plain(char *text, size_t len, size_t *at, struct slice *ret, struct buf *error)
{
	size_t start = *at;

	while (*at < len && text[*at] != ',' && text[*at] != '"')
		++*at;
	if (*at < len && text[*at] == '"') {
		buf_append_str(error, "a quote stands inside a field that does not begin with one");
		return -EINVAL;
	}
	*ret = slice(text + start, *at - start);
	return 0;
}

int csv_split(char *text, size_t len, struct slice *fields, size_t most, struct buf *error)
{
	struct slice field;
	size_t at = 0;
	int n = 0, r;

	if (len && text[len - 1] == '\n')
		len--;
	if (len && text[len - 1] == '\r')
		len--;
	for (;;) {
		if (at < len && text[at] == '"') {
			at++;
			r = unquote(text, len, &at, &field, error);
		} else {
			r = take_plain(text, len, &at, &field, error);
		}
		if (r)
			return r;
		if (at < len && text[at] != ',') {
			buf_append_str(error, "something follows a closing quote");
			return -EINVAL;
		}
		if ((size_t)n < most)
			fields[n] = field;
		n++;
		if (at++ >= len)
			return n;
	}
}
