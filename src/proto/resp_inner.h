/* SPDX-License-Identifier: MIT
 *
 * Inner door of the room: what the two halves of the reader share, and those of the writer.
 */
#ifndef PROTO_RESP_INNER_H
#define PROTO_RESP_INNER_H

#include "proto/resp.h"

/* Of the writer: the header of a bulk string alone. */
void resp_bulk_head(struct resp_writer *w, size_t len);

/* What a reader may hold on to between requests: 16 KiB of argument table, 4 KiB of unquoted text. */
enum { RESP_KEEP_ARGS = 1024, RESP_KEEP_UNQUOTED = 4096 };

/* Makes the argument table larger. Returns 0 or -ENOMEM, then nothing has changed. */
int resp_reader_grow(struct resp_reader *r);

static inline int resp_reader_push(struct resp_reader *r, const char *ptr, size_t len)
{
	if (__builtin_expect(r->nargs == r->cap, 0)) {
		int error = resp_reader_grow(r);
		if (error)
			return error;
	}
	r->argv[r->nargs++] = slice(ptr, len);
	return 0;
}

/* Sets the error text, "Protocol error: " and what is given here. Returns RESP_BAD. */
int resp_reader_bad(struct resp_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Cuts a whole line (without its end) into r->argv, slices of the line or, for quoted words, of r->unquoted.
 * Returns 0, RESP_BAD or -ENOMEM.
 */
int resp_inline_split(struct resp_reader *r, struct slice line);

#endif
