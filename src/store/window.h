/* SPDX-License-Identifier: MIT
 *
 * A moving window over a segment file: recovery reads records through it without holding more than a few MiB (or one record) in memory.
 */
#ifndef STORE_WINDOW_H
#define STORE_WINDOW_H

#include "base/buf.h"
#include "base/io.h"
#include "store/record.h"
#include "store/segment.h"

#define WINDOW ((size_t)4 << 20) /* bytes read at a time, unless told otherwise */

struct window {
	struct io *io;
	int fd;
	size_t step;     /* bytes read at a time; 0: WINDOW */
	uint64_t limit;  /* file bytes that may be read */
	uint64_t start;  /* file offset of data.ptr[0] */
	struct buf data;
};

/*
 * Makes len bytes at offset readable; fewer only at the limit. 0 with the slice, valid until the next call, or an error. buf_free(&w->data)
 * ends the window.
 */
int window_at(struct window *w, uint64_t offset, size_t len, struct slice *ret);

/* The record at an offset, which must stand at its own position: 0, RECORD_BAD, or an error. */
int window_record(struct window *w, const struct segment *g, uint64_t offset, struct record *ret, uint64_t *ret_size);

/* Of a segment file: 1: something stands behind its header, or the header is not whole; 0: it was made and never used; or an error. */
int window_has_content(struct io *io, int dir, const char *name);

#endif
