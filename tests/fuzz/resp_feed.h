/* SPDX-License-Identifier: MIT
 *
 * Feeds a byte stream to a resp_reader as a connection would, in pieces of any size, and writes down what
 * came out. The transcript must not depend on the pieces. Every call gets the bytes in fresh memory of
 * exactly their size, so that a sanitizer sees reads past the end and slices kept too long.
 */
#ifndef TESTS_FUZZ_RESP_FEED_H
#define TESTS_FUZZ_RESP_FEED_H

#include <stdlib.h>
#include "proto/resp.h"

/* Size of the next piece, at least 1. */
typedef size_t resp_feed_piece(void *arg);

static inline void resp_feed_request(struct buf *out, const struct resp_request *q)
{
	buf_printf(out, "request of %zu bytes, argc %zu\n", q->size, q->argc);
	for (size_t i = 0; i < q->argc; i++) {
		buf_printf(out, "%zu:", q->argv[i].len);
		buf_append_slice(out, q->argv[i]);
		buf_append_char(out, '\n');
	}
}

/* Reads what is complete in data[0..len). Returns the bytes used; *ret_done after an error. */
static inline size_t resp_feed_some(struct resp_reader *r, const char *data, size_t len, struct buf *out,
	size_t *ret_wants, bool *ret_done)
{
	size_t used = 0;

	for (;;) {
		char *copy = malloc(len - used + 1); /* never NULL for no bytes */
		if (!copy)
			abort();
		memcpy(copy + 1, data + used, len - used);
		struct resp_request q;
		int result = resp_read(r, copy + 1, len - used, &q);
		if (result == 0 && *ret_wants > len)
			buf_append_str(out, "complete with fewer bytes than it wanted\n");
		if (result == 0)
			resp_feed_request(out, &q);
		else if (result == RESP_BAD)
			buf_printf(out, "bad: %s\n", r->error);
		else if (result != RESP_MORE)
			buf_printf(out, "error %d\n", result);
		free(copy);
		if (result == 0) {
			used += q.size;
			*ret_wants = 0;
			continue;
		}
		*ret_done = result != RESP_MORE;
		size_t wants = resp_wants(r, len - used);
		*ret_wants = wants ? len - used + wants : 0;
		return used;
	}
}

static inline void resp_feed(const struct resp_limits *limits, const void *bytes, size_t size,
	resp_feed_piece *piece, void *arg, struct buf *out)
{
	const char *data = bytes;
	struct resp_reader r;
	size_t used = 0, fed = 0, wants = 0;
	bool finished = false;

	resp_reader_init(&r, limits);
	while (fed < size && !finished) {
		size_t n = piece(arg);
		fed = n < size - fed ? fed + n : size;
		size_t before = used;
		used += resp_feed_some(&r, data + used, fed - used, out, &wants, &finished);
		if (used > fed || used < before)
			abort();
	}
	if (!finished)
		buf_printf(
			out, "left over: %zu bytes, wants %zu\n", size - used, resp_wants(&r, size - used));
	resp_reader_free(&r);
}

#endif
