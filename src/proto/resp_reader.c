/* SPDX-License-Identifier: MIT
 *
 * A request is framed,
 *
 *	*<arguments>\r\n    then for each argument    $<bytes>\r\n<the bytes>\r\n
 *
 * or else a line ended by \n or \r\n (resp_inline.c). The state between two calls is: the header "*" is not
 * complete (args_left < 0), a header "$" is not complete (bulk_left < 0), or an argument is not complete.
 */
#include "proto/resp_inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/num.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static const char crlf[2] = { '\r', '\n' };

void resp_reader_init(struct resp_reader *r, const struct resp_limits *limits)
{
	*r = (struct resp_reader){ .limits = limits, .args_left = -1, .bulk_left = -1 };
}

void resp_reader_free(struct resp_reader *r)
{
	if (!r)
		return;
	free(r->argv);
	free(r->large);
	buf_free(&r->unquoted);
	resp_reader_init(r, r->limits);
}

int resp_reader_grow(struct resp_reader *r)
{
	size_t cap = r->cap ? r->cap * 2 : 16;
	struct slice *argv = reallocarray(r->argv, cap, sizeof(*argv));

	if (!argv)
		return -ENOMEM;
	r->argv = argv;
	r->cap = cap;
	return 0;
}

int resp_reader_bad(struct resp_reader *r, const char *format, ...)
{
	static const char prefix[] = "Protocol error: ";
	va_list ap;

	memcpy(r->error, prefix, sizeof(prefix));
	va_start(ap, format);
	vsnprintf(r->error + sizeof(prefix) - 1, sizeof(r->error) - sizeof(prefix) + 1, format, ap);
	va_end(ap);
	return RESP_BAD;
}

/* Gives back what a huge request made the reader take. */
static void trim_memory(struct resp_reader *r)
{
	if (UNLIKELY(r->cap > RESP_KEEP_ARGS)) {
		free(r->argv);
		r->argv = NULL;
		r->cap = 0;
	}
	if (UNLIKELY(r->unquoted.cap > RESP_KEEP_UNQUOTED))
		buf_free(&r->unquoted);
}

/*
 * The usual header, all there and well-formed: returns its size with the line end. 0 says nothing but that
 * find_header must look.
 */
static inline size_t match_header(const char *line, size_t len, size_t longest, int64_t *ret)
{
	size_t i = 2;

	if (UNLIKELY(len < 4))
		return 0;
	unsigned digit = (unsigned char)line[1] - '0';
	if (digit > 9)
		return 0;
	int64_t value = digit;
	if (digit)
		for (; i < len && i < 18 && (digit = (unsigned char)line[i] - '0') <= 9; i++)
			value = value * 10 + digit;
	if (len - i < 2 || memcmp(line + i, crlf, 2) != 0 || i > longest)
		return 0;
	*ret = value;
	return i + 2;
}

/* Any header: negative, malformed, too long, not all there yet. `what` is the word for the error texts. */
static __attribute__((noinline)) int find_header(
	struct resp_reader *r, const char *data, size_t len, int64_t *ret)
{
	bool array = data[r->offset] == '*';
	size_t from = r->scanned > r->offset ? r->scanned : r->offset;
	const char *cr = memchr(data + from, '\r', len - from);
	struct slice line = slice(data + r->offset, (cr ? (size_t)(cr - data) : len) - r->offset);

	if (line.len > r->limits->inline_bytes)
		return resp_reader_bad(r, "too big %s count string", array ? "mbulk" : "bulk");
	r->scanned = r->offset + line.len;
	if (r->scanned + 2 > len)
		return RESP_MORE;
	if (cr[1] != '\n' || num_parse_i64(slice_skip(line, 1), ret))
		return resp_reader_bad(r, "invalid %s length", array ? "multibulk" : "bulk");
	r->offset += line.len + 2;
	return 0;
}

static inline int read_header(struct resp_reader *r, const char *data, size_t len, int64_t *ret)
{
	size_t size = match_header(data + r->offset, len - r->offset, r->limits->inline_bytes, ret);

	if (UNLIKELY(size == 0))
		return find_header(r, data, len, ret);
	r->offset += size;
	return 0;
}

static int refuse_marker(struct resp_reader *r, unsigned char got)
{
	if (got >= ' ' && got < 127)
		return resp_reader_bad(r, "expected '$', got '%c'", got);
	return resp_reader_bad(r, "expected '$', got '\\x%02x'", got);
}

/* The header of the next argument, checked before anything is expected of its announced size. */
static inline int read_bulk_header(struct resp_reader *r, const char *data, size_t len)
{
	int64_t size;

	if (r->offset == len)
		return RESP_MORE;
	if (UNLIKELY(data[r->offset] != '$'))
		return refuse_marker(r, (unsigned char)data[r->offset]);
	int result = read_header(r, data, len, &size);
	if (UNLIKELY(result))
		return result;
	if (UNLIKELY(size < 0))
		return resp_reader_bad(r, "invalid bulk length");
	if (UNLIKELY((uint64_t)size > r->limits->bulk_bytes))
		return resp_reader_bad(
			r, "invalid bulk length, the limit is %zu bytes", r->limits->bulk_bytes);
	r->bulk_left = size;
	r->large_next = r->limits->large_bytes && (size_t)size >= r->limits->large_bytes;
	return 0;
}

size_t resp_large_size(const struct resp_reader *r)
{
	return r->large_next && !r->large_end ? (size_t)r->bulk_left : 0;
}

int resp_large_give(struct resp_reader *r, const char *ptr)
{
	if (r->nlarge == r->large_cap) {
		size_t cap = r->large_cap ? r->large_cap * 2 : 4;
		struct resp_large *large = reallocarray(r->large, cap, sizeof(*large));
		if (!large)
			return -ENOMEM;
		r->large = large;
		r->large_cap = cap;
	}
	int error = resp_reader_push(r, NULL, (size_t)r->bulk_left);
	if (error)
		return error;
	r->large[r->nlarge++] = (struct resp_large){ r->nargs - 1, ptr };
	r->large_end = true;
	return 0;
}

/* A long argument: until it has been given, then for its line end. */
static __attribute__((noinline)) int pass_large(struct resp_reader *r, const char *data, size_t len)
{
	if (!r->large_end)
		return RESP_LARGE;
	if (len - r->offset < 2)
		return RESP_MORE;
	if (memcmp(data + r->offset, crlf, 2) != 0)
		return resp_reader_bad(r, "invalid bulk length, no line end after the argument");
	r->offset += 2;
	r->bulk_left = -1;
	r->args_left--;
	r->large_next = r->large_end = false;
	return 0;
}

static inline int read_bulk(struct resp_reader *r, const char *data, size_t len)
{
	size_t size = (size_t)r->bulk_left, have = len - r->offset;

	if (UNLIKELY(have < 2 || have - 2 < size))
		return RESP_MORE;
	if (UNLIKELY(memcmp(data + r->offset + size, crlf, 2) != 0))
		return resp_reader_bad(r, "invalid bulk length, no line end after the argument");
	/* Not a pointer yet: the bytes may move before the request is complete. */
	int error = resp_reader_push(r, (const char *)(uintptr_t)r->offset, size);
	if (UNLIKELY(error))
		return error;
	r->offset += size + 2;
	r->bulk_left = -1;
	r->args_left--;
	return 0;
}

static int read_array_header(struct resp_reader *r, const char *data, size_t len)
{
	int64_t n;

	int result = read_header(r, data, len, &n);
	if (UNLIKELY(result))
		return result;
	if (UNLIKELY(n > 0 && (uint64_t)n > r->limits->args))
		return resp_reader_bad(
			r, "invalid multibulk length, the limit is %zu arguments", r->limits->args);
	r->args_left = n > 0 ? n : 0;
	return 0;
}

static inline int read_framed(struct resp_reader *r, const char *data, size_t len)
{
	int result = r->args_left < 0 ? read_array_header(r, data, len) : 0;

	while (LIKELY(result == 0) && r->args_left > 0) {
		if (r->bulk_left < 0)
			result = read_bulk_header(r, data, len);
		if (LIKELY(result == 0))
			result = UNLIKELY(r->large_next) ? pass_large(r, data, len) : read_bulk(r, data, len);
	}
	if (result)
		return result;
	for (size_t i = 0; i < r->nargs; i++)
		r->argv[i].ptr = data + (uintptr_t)r->argv[i].ptr;
	for (size_t i = 0; i < r->nlarge; i++)
		r->argv[r->large[i].arg].ptr = r->large[i].ptr;
	return 0;
}

static __attribute__((noinline)) int read_line(struct resp_reader *r, const char *data, size_t len)
{
	const char *end = memchr(data + r->scanned, '\n', len - r->scanned);
	size_t n = end ? (size_t)(end - data) : len;
	/* The CR may belong to the line end, then it does not count for the limit. */
	size_t text = n > 0 && data[n - 1] == '\r' ? n - 1 : n;

	if (text > r->limits->inline_bytes)
		return resp_reader_bad(r, "too big inline request");
	r->scanned = n;
	if (!end)
		return RESP_MORE;
	int result = resp_inline_split(r, slice(data, text));
	if (result == 0)
		r->offset = n + 1;
	return result;
}

int resp_read(struct resp_reader *r, const char *data, size_t len, struct resp_request *ret)
{
	if (UNLIKELY(r->error[0]))
		return RESP_BAD;
	if (r->args_left < 0)
		trim_memory(r);
	if (UNLIKELY(len == 0))
		return RESP_MORE;
	int result = LIKELY(data[0] == '*') ? read_framed(r, data, len) : read_line(r, data, len);
	if (result)
		return result;
	*ret = (struct resp_request){ .argv = r->argv, .argc = r->nargs, .size = r->offset };
	r->offset = r->scanned = r->nargs = r->nlarge = 0;
	r->args_left = r->bulk_left = -1;
	return 0;
}

size_t resp_wants(const struct resp_reader *r, size_t len)
{
	if (r->bulk_left < 0)
		return 0;
	size_t end = r->offset + (size_t)r->bulk_left + 2;
	return end > len ? end - len : 0;
}
