/* SPDX-License-Identifier: MIT
 *
 * A slice is a borrowed run of bytes: it owns nothing and is valid only as long as the bytes it
 * points to. Any byte may occur, NUL too; the length alone ends it. An empty slice may have a NULL ptr.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *ptr;
	size_t len;
};

/* A slice over a string literal, length known to the compiler. */
#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice slice(const void *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

static inline struct slice slice_str(const char *s)
{
	return slice(s, strlen(s));
}

/* Bytewise (unsigned) order; a proper prefix sorts before the longer slice. */
static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Equality with a C string, ASCII letters of either case alike. */
static inline bool slice_is(struct slice a, const char *word)
{
	return strlen(word) == a.len && (a.len == 0 || strncasecmp(a.ptr, word, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The slice without its first n bytes; n must not exceed its length. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
	return slice(s.ptr + n, s.len - n);
}

#endif
