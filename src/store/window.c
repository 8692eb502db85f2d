/* SPDX-License-Identifier: MIT */
#include "store/inner.h"
#include "store/window.h"

#include <errno.h>
#include <fcntl.h>

int window_at(struct window *w, uint64_t offset, size_t len, struct slice *ret)
{
	if (offset + len > w->limit)
		len = offset < w->limit ? (size_t)(w->limit - offset) : 0;
	if (offset < w->start || offset + len > w->start + w->data.len) {
		size_t step = w->step ? w->step : WINDOW, want = len > step ? len : step;
		if (offset + want > w->limit)
			want = (size_t)(w->limit - offset);
		buf_reset(&w->data, want > step ? want : step);
		int r = buf_reserve(&w->data, want + 1);
		ssize_t n = r ? r : w->io->pread(w->io, w->fd, w->data.ptr, want, offset, 0);
		if (n == -EIO && want > len) /* a bad place further on is not the caller's */
			n = w->io->pread(w->io, w->fd, w->data.ptr, len, offset, 0);
		if (n < 0)
			return (int)n;
		w->start = offset;
		w->data.len = (size_t)n;
	}
	size_t there = (size_t)(w->start + w->data.len - offset);
	*ret = slice(w->data.ptr + (offset - w->start), len < there ? len : there);
	return 0;
}

int window_record(struct window *w, const struct segment *g, uint64_t offset, struct record *ret, uint64_t *ret_size)
{
	struct slice bytes;
	size_t need = RECORD_HEADER;

	for (;;) {
		int r = window_at(w, offset, need, &bytes);
		if (r)
			return r;
		r = record_decode(bytes.ptr, bytes.len, record_bind(g->seed, offset), ret, ret_size);
		if (r != RECORD_SHORT) {
			bool misplaced = r == 0 && ret->position != segment_position(g, offset);
			return misplaced ? RECORD_BAD : r;
		}
		/* A length is believed only as far as there is file. */
		if (*ret_size > w->limit - offset || *ret_size <= need)
			return RECORD_BAD;
		need = *ret_size;
	}
}

int window_has_content(struct io *io, int dir, const char *name)
{
	struct stat st;
	struct slice bytes;
	uint64_t first;

	int fd = io->open(io, dir, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	struct window w = { .io = io, .fd = fd };
	char id[8] = { 0 };
	int r = io->fstat(io, fd, &st);
	/* The store's id may not be known: the file's own will do. */
	ssize_t n = io->pread(io, fd, id, sizeof(id), 16, 0);
	int found = r == 0 && st.st_size > SEGMENT_HEADER && (n < (ssize_t)sizeof(id) ||
		segment_check_header(io, fd, get_le64(id), segment_name_number(name), &first, NULL));
	w.limit = r ? 0 : (uint64_t)st.st_size;
	for (uint64_t at = SEGMENT_HEADER; r == 0 && !found && at < w.limit; at += bytes.len) {
		r = window_at(&w, at, WINDOW, &bytes);
		for (size_t i = 0; r == 0 && i < bytes.len && !found; i++)
			found = bytes.ptr[i] != 0;
	}
	buf_free(&w.data);
	io->close(io, fd);
	return r ? r : found;
}
