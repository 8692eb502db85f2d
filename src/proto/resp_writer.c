/* SPDX-License-Identifier: MIT
 *
 * Replies. Each function takes the room for its whole reply once and then writes without further checks.
 */
#include "proto/resp_inner.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include "base/num.h"

enum { HEAD_CHARS = NUM_I64_CHARS + 3 }; /* type, digits, line end */

/* The short numbers, most of all lengths, without a loop. */
static inline char *put_digits(char *p, uint64_t n)
{
	if (n < 10) {
		*p = (char)('0' + n);
		return p + 1;
	}
	if (n < 100) {
		p[0] = (char)('0' + n / 10);
		p[1] = (char)('0' + n % 10);
		return p + 2;
	}
	return p + num_format_u64(p, n);
}

static inline char *put_end(char *p)
{
	p[0] = '\r';
	p[1] = '\n';
	return p + 2;
}

static inline char *put_head(char *p, char type, uint64_t n)
{
	*p = type;
	return put_end(put_digits(p + 1, n));
}

/* Where the next `room` bytes go, NULL without memory; end_reply says how many they were. */
static inline char *begin_reply(struct resp_writer *w, size_t room)
{
	return buf_reserve(w->out, room) ? NULL : w->out->ptr + w->out->len;
}

static inline void end_reply(struct resp_writer *w, const char *end)
{
	w->out->len = (size_t)(end - w->out->ptr);
}

static void write_head(struct resp_writer *w, char type, uint64_t n)
{
	char *p = begin_reply(w, HEAD_CHARS);

	if (p)
		end_reply(w, put_head(p, type, n));
}

/* type len \r\n prefix text \r\n */
static inline void write_counted(struct resp_writer *w, char type, struct slice prefix, struct slice s)
{
	char *p = begin_reply(w, HEAD_CHARS + prefix.len + s.len + 2);

	if (!p)
		return;
	p = put_head(p, type, prefix.len + s.len);
	if (prefix.len)
		p = mempcpy(p, prefix.ptr, prefix.len);
	if (s.len)
		p = mempcpy(p, s.ptr, s.len);
	end_reply(w, put_end(p));
}

static inline void write_line(struct resp_writer *w, char type, struct slice s)
{
	char *p = begin_reply(w, s.len + 3);

	if (!p)
		return;
	*p = type;
	end_reply(w, put_end(mempcpy(p + 1, s.ptr, s.len)));
}

void resp_simple(struct resp_writer *w, const char *text)
{
	assert(!strpbrk(text, "\r\n"));
	write_line(w, '+', slice_str(text));
}

void resp_ok(struct resp_writer *w)
{
	buf_append(w->out, "+OK\r\n", 5);
}

void resp_error(struct resp_writer *w, const char *format, ...)
{
	size_t start = w->out->len;
	va_list ap;

	buf_append_char(w->out, '-');
	va_start(ap, format);
	buf_vprintf(w->out, format, ap);
	va_end(ap);
	if (w->out->failed) {
		w->out->len = start;
		return;
	}
	/* A client's own words may stand in the text; they must not end the line and begin a reply. */
	for (char *p = w->out->ptr + start; p < w->out->ptr + w->out->len; p++)
		if (*p == '\r' || *p == '\n')
			*p = ' ';
	buf_append(w->out, "\r\n", 2);
}

void resp_int(struct resp_writer *w, int64_t value)
{
	char *p = begin_reply(w, HEAD_CHARS);

	if (!p)
		return;
	*p++ = ':';
	if (value < 0)
		*p++ = '-';
	end_reply(w, put_end(put_digits(p, value < 0 ? -(uint64_t)value : (uint64_t)value)));
}

void resp_bulk(struct resp_writer *w, struct slice s)
{
	write_counted(w, '$', slice(NULL, 0), s);
}

void resp_bulk_head(struct resp_writer *w, size_t len)
{
	write_head(w, '$', len);
}

void resp_bulk_str(struct resp_writer *w, const char *s)
{
	resp_bulk(w, slice_str(s));
}

void resp_bulk_int(struct resp_writer *w, int64_t value)
{
	char digits[NUM_I64_CHARS];

	resp_bulk(w, slice(digits, num_format_i64(digits, value)));
}

void resp_null(struct resp_writer *w)
{
	if (w->proto >= 3)
		buf_append(w->out, "_\r\n", 3);
	else
		buf_append(w->out, "$-1\r\n", 5);
}

void resp_null_array(struct resp_writer *w)
{
	if (w->proto >= 3)
		buf_append(w->out, "_\r\n", 3);
	else
		buf_append(w->out, "*-1\r\n", 5);
}

void resp_bool(struct resp_writer *w, bool value)
{
	if (w->proto >= 3)
		buf_append(w->out, value ? "#t\r\n" : "#f\r\n", 4);
	else
		buf_append(w->out, value ? ":1\r\n" : ":0\r\n", 4);
}

void resp_double(struct resp_writer *w, double value)
{
	char text[40];
	int n = isnan(value) ? snprintf(text, sizeof(text), "nan")
			     : snprintf(text, sizeof(text), "%.17g", value);
	struct slice s = slice(text, (size_t)n);

	if (w->proto >= 3)
		write_line(w, ',', s);
	else
		resp_bulk(w, s);
}

void resp_verbatim(struct resp_writer *w, const char *format3, struct slice s)
{
	assert(strlen(format3) == 3);
	if (w->proto < 3) {
		resp_bulk(w, s);
		return;
	}
	char prefix[4] = { format3[0], format3[1], format3[2], ':' };
	write_counted(w, '=', slice(prefix, 4), s);
}

void resp_array(struct resp_writer *w, size_t n)
{
	write_head(w, '*', n);
}

void resp_map(struct resp_writer *w, size_t n)
{
	if (w->proto >= 3)
		write_head(w, '%', n);
	else
		write_head(w, '*', 2 * (uint64_t)n);
}

void resp_set(struct resp_writer *w, size_t n)
{
	write_head(w, w->proto >= 3 ? '~' : '*', n);
}

void resp_push(struct resp_writer *w, size_t n)
{
	write_head(w, w->proto >= 3 ? '>' : '*', n);
}

size_t resp_array_begin(struct resp_writer *w)
{
	return w->out->len;
}

static void insert_head(struct resp_writer *w, size_t mark, char type, uint64_t n)
{
	char head[HEAD_CHARS];
	size_t size = (size_t)(put_head(head, type, n) - head);

	assert(mark <= w->out->len);
	if (!begin_reply(w, size))
		return;
	char *at = w->out->ptr + mark;
	memmove(at + size, at, w->out->len - mark);
	memcpy(at, head, size);
	w->out->len += size;
	for (size_t i = w->lents ? w->lents->count : 0; i-- > 0 && w->lents->lent[w->lents->first + i].at > mark;)
		w->lents->lent[w->lents->first + i].at += size;
}

void resp_array_end(struct resp_writer *w, size_t mark, size_t n)
{
	insert_head(w, mark, '*', n);
}

void resp_map_end(struct resp_writer *w, size_t mark, size_t n)
{
	if (w->proto >= 3)
		insert_head(w, mark, '%', n);
	else
		insert_head(w, mark, '*', 2 * (uint64_t)n);
}
