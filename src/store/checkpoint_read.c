/* SPDX-License-Identifier: MIT
 *
 * A checkpoint's file as it is read, by a start and by whoever only wants to know whether it is whole: nothing here needs a store.
 */
#include "store/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "store/catalog.h"
#include "store/locator.h"
#include "store/segment.h"
#include "store/store.h"

int checkpoint_reject(struct checkpoint_reader *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(r->why, sizeof(r->why), format, ap);
	va_end(ap);
	return 1;
}

static int read_at(const struct checkpoint_reader *r, void *data, size_t len, uint64_t offset)
{
	ssize_t n = r->io->pread(r->io, r->fd, data, len, offset, 0);

	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

static int read_header(struct checkpoint_reader *r)
{
	char head[CHECKPOINT_HEADER];
	struct stat st;

	int error = r->io->fstat(r->io, r->fd, &st);
	if (error)
		return checkpoint_reject(r, "%s", strerror(-error));
	r->size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || r->size < CHECKPOINT_HEADER || read_at(r, head, sizeof(head), 0) ||
		memcmp(head, "KVDCKPT\n", 8) != 0 || crc_update(0, head, 60) != get_le32(head + 60))
		return checkpoint_reject(r, "damaged at offset 0: no header");
	if (get_le32(head + 8) != CHECKPOINT_VERSION || get_le32(head + 12) != CHECKPOINT_HEADER)
		return checkpoint_reject(r, "format version %" PRIu32 ", this kvd reads version %d", get_le32(head + 8), CHECKPOINT_VERSION);
	if (get_le64(head + 16) != r->store_id)
		return checkpoint_reject(r, "it belongs to another store");
	r->position = get_le64(head + 24);
	r->start.end = get_le64(head + 32);
	r->sum = get_le32(head + 60);
	uint64_t at = get_le64(head + 40), len = get_le64(head + 48);
	if (at < CHECKPOINT_HEADER || at > r->size || r->size - at != len || len < CHECKPOINT_INDEX)
		return checkpoint_reject(r, "damaged: it is not as long as its header says");
	if (buf_reserve(&r->index, len))
		return checkpoint_reject(r, "out of memory");
	r->index.len = len;
	if (read_at(r, r->index.ptr, len, at) || crc_update(0, r->index.ptr, len) != get_le32(head + 56))
		return checkpoint_reject(r, "damaged at offset %" PRIu64 ": the index fails its checksum", at);
	return 0;
}

/* The catalog must begin with the segments of the list. */
static int match_segments(struct checkpoint_reader *r)
{
	const char *line = r->index.ptr + CHECKPOINT_INDEX;

	if (r->segments == 0 || r->segments > r->c->count)
		return checkpoint_reject(r, "it lists segments that the catalog does not name");
	for (uint32_t i = 0; i < r->segments; i++, line += CHECKPOINT_SEGMENT) {
		const struct catalog_segment *g = &r->c->segment[i];
		uint64_t size = get_le64(line + 24);
		if (get_le32(line) >= LOCATOR_SLOTS || get_le64(line + 8) != g->number || get_le64(line + 16) != g->first || (size && size != g->size))
			return checkpoint_reject(r, "segment %" PRIu64 " is not the catalog's any more", get_le64(line + 8));
	}
	return 0;
}

static int read_rows(struct checkpoint_reader *r)
{
	const char *p = r->index.ptr + CHECKPOINT_INDEX + (size_t)r->segments * CHECKPOINT_SEGMENT;
	uint64_t offset = CHECKPOINT_HEADER, end = r->size - r->index.len;

	r->row = calloc(r->blocks ? r->blocks : 1, sizeof(*r->row));
	if (!r->row)
		return checkpoint_reject(r, "out of memory");
	for (uint32_t i = 0; i < r->blocks; i++, p += CHECKPOINT_ROW) {
		r->row[i] = (struct checkpoint_row){ offset, get_le32(p), get_le32(p + 4), get_le32(p + 8), get_le16(p + 12) };
		if (r->row[i].len > end - offset || r->row[i].ns >= STORE_MAX_DATABASES || (i && r->row[i].ns < r->row[i - 1].ns))
			return checkpoint_reject(r, "damaged: the index names no such block");
		offset += r->row[i].len;
	}
	return offset == end ? 0 : checkpoint_reject(r, "damaged: its blocks do not fill it");
}

static int read_index(struct checkpoint_reader *r)
{
	r->segments = get_le32(r->index.ptr);
	r->blocks = get_le32(r->index.ptr + 4);
	if (r->index.len != CHECKPOINT_INDEX + (uint64_t)r->segments * CHECKPOINT_SEGMENT + (uint64_t)r->blocks * CHECKPOINT_ROW)
		return checkpoint_reject(r, "damaged: the index has another length");
	int bad = match_segments(r);
	return bad ? bad : read_rows(r);
}

static int check_start(struct checkpoint_reader *r)
{
	uint32_t from = get_le32(r->index.ptr + 8), witness = 0;
	uint64_t offset = get_le64(r->index.ptr + 16), end = r->start.end;

	if (from >= r->segments || offset < SEGMENT_HEADER || r->c->segment[from].first - SEGMENT_HEADER + offset != r->position ||
		(r->c->segment[from].size && offset > r->c->segment[from].size) || end < r->position)
		return checkpoint_reject(r, "damaged: it does not say where to go on");
	/* A log that was set back, or has gone on another way since, is not the one the locators are for. */
	const struct catalog_segment *last = &r->c->segment[r->segments - 1];
	if (end < last->first || checkpoint_witness(r->io, r->dir, last->number, end - last->first + SEGMENT_HEADER, &witness) ||
		witness != get_le32(r->index.ptr + 12))
		return checkpoint_reject(r, "it was made of another state of the log");
	r->start.from = from;
	r->start.offset = offset;
	return 0;
}

int checkpoint_open(struct checkpoint_reader *r, struct io *io, int dir, uint64_t store_id, const struct catalog *c)
{
	*r = (struct checkpoint_reader){ .io = io, .dir = dir, .fd = io->open(io, dir, CHECKPOINT_NAME, O_RDONLY, 0), .store_id = store_id, .c = c };
	if (r->fd < 0)
		return r->fd == -ENOENT ? -ENOENT : checkpoint_reject(r, "%s", strerror(-r->fd));
	int bad = read_header(r);
	if (bad == 0)
		bad = read_index(r);
	return bad ? bad : check_start(r);
}

void checkpoint_close(struct checkpoint_reader *r)
{
	buf_free(&r->index);
	free(r->row);
	if (r->io && r->fd >= 0)
		r->io->close(r->io, r->fd);
	*r = (struct checkpoint_reader){ .fd = -1 };
}

int checkpoint_read_block(const struct checkpoint_reader *r, uint32_t i, struct buf *ret)
{
	const struct checkpoint_row *row = &r->row[i];

	ret->len = 0;
	int error = buf_reserve(ret, row->len + 1);
	if (error == 0)
		error = read_at(r, ret->ptr, row->len, row->offset);
	if (error)
		return error;
	ret->len = row->len;
	return crc_update(0, ret->ptr, ret->len) == row->crc ? 0 : -EUCLEAN;
}
