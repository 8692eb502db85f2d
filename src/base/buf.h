/* SPDX-License-Identifier: MIT
 *
 * A growable byte buffer. It owns its memory. A failed allocation is sticky: later appends do
 * nothing and `failed` stays set, so that a builder of many steps checks once at the end.
 * A zeroed struct buf is a valid empty buffer. Not thread-safe.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/slice.h"

struct buf {
	char *ptr;
	size_t len; /* bytes in use */
	size_t cap; /* bytes allocated */
	bool failed;
};

/* Makes room for `more` bytes after len. Returns 0, or -ENOMEM (sticky). */
int buf_grow(struct buf *b, size_t more);

static inline int buf_reserve(struct buf *b, size_t more)
{
	return b->cap - b->len >= more && !b->failed ? 0 : buf_grow(b, more);
}

static inline void buf_append(struct buf *b, const void *ptr, size_t len)
{
	if (len == 0 || buf_reserve(b, len))
		return;
	memcpy(b->ptr + b->len, ptr, len);
	b->len += len;
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
	buf_append(b, s.ptr, s.len);
}

static inline void buf_append_char(struct buf *b, char c)
{
	buf_append(b, &c, 1);
}

static inline struct slice buf_slice(const struct buf *b)
{
	return slice(b->ptr, b->len);
}

void buf_append_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

/* Drops the first n bytes, moving the rest to the front; n must not exceed len. */
void buf_consume(struct buf *b, size_t n);

/* Empties the buffer; memory above `keep` bytes goes back to the allocator. Clears `failed`. */
void buf_reset(struct buf *b, size_t keep);

/* Frees the memory; the buffer is empty and usable again. */
void buf_free(struct buf *b);

#endif
