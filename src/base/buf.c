/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int buf_grow(struct buf *b, size_t more)
{
	if (b->failed || more > SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return -ENOMEM;
	}
	size_t need = b->len + more;
	if (need <= b->cap)
		return 0;
	size_t cap = b->cap + b->cap / 2 > need ? b->cap + b->cap / 2 : need;
	if (cap < 64)
		cap = 64;
	char *ptr = realloc(b->ptr, cap);
	if (!ptr) {
		b->failed = true;
		return -ENOMEM;
	}
	b->ptr = ptr;
	b->cap = cap;
	return 0;
}

void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_vprintf(struct buf *b, const char *format, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0 || buf_reserve(b, (size_t)n + 1))
		return;
	vsnprintf(b->ptr + b->len, (size_t)n + 1, format, ap);
	b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	buf_vprintf(b, format, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
	b->len -= n;
	if (n && b->len)
		memmove(b->ptr, b->ptr + n, b->len);
}

void buf_reset(struct buf *b, size_t keep)
{
	b->len = 0;
	b->failed = false;
	if (b->cap > keep)
		buf_free(b);
}

void buf_free(struct buf *b)
{
	free(b->ptr);
	*b = (struct buf){ 0 };
}
