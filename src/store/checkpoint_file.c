/* SPDX-License-Identifier: MIT */
#include "store/checkpoint.h"

#include <errno.h>
#include <fcntl.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "store/segment.h"

#define SYNC_STEP ((uint64_t)8 << 20) /* bytes between syncs: the log's own syncs never find much more of this in their way */
#define SPARE ((uint64_t)1 << 20)     /* bytes of the disk that are left to the log */

static const char magic[8] = { 'K', 'V', 'D', 'C', 'K', 'P', 'T', '\n' };

int checkpoint_create(struct checkpoint_writer *w, struct io *io, int dir, uint64_t expected_size)
{
	uint64_t free_space;

	*w = (struct checkpoint_writer){ .io = io, .dir = dir, .fd = -1, .offset = CHECKPOINT_HEADER };
	int r = io->unlink(io, dir, CHECKPOINT_NEW_NAME); /* of an attempt that failed */
	if (r && r != -ENOENT)
		return r;
	/* It must not be the one that fills the disk. */
	if (io->free_space(io, dir, &free_space) == 0 && free_space < 2 * expected_size + SPARE)
		return -ENOSPC;
	w->fd = io->open(io, dir, CHECKPOINT_NEW_NAME, O_RDWR | O_CREAT | O_EXCL, 0600);
	return w->fd < 0 ? w->fd : 0;
}

static int write_at(struct checkpoint_writer *w, const void *data, size_t len, uint64_t offset)
{
	struct iovec v = { (void *)(uintptr_t)data, len };
	ssize_t n = w->io->pwritev(w->io, w->fd, &v, 1, offset);

	return n < 0 ? (int)n : 0;
}

int checkpoint_write(struct checkpoint_writer *w, const struct checkpoint_block *block)
{
	char row[CHECKPOINT_ROW] = { 0 };

	put_le32(row, (uint32_t)block->data.len);
	put_le32(row + 4, block->count);
	put_le32(row + 8, crc_update(0, block->data.ptr, block->data.len));
	put_le16(row + 12, (uint16_t)block->ns);
	buf_append(&w->rows, row, sizeof(row));
	int r = w->rows.failed ? -ENOMEM : write_at(w, block->data.ptr, block->data.len, w->offset);
	if (r)
		return r;
	w->offset += block->data.len;
	w->keys += block->count;
	w->blocks++;
	if (w->offset - w->synced < SYNC_STEP)
		return 0;
	w->synced = w->offset;
	return w->io->fdatasync(w->io, w->fd);
}

static void print_index(const struct checkpoint_writer *w, const struct checkpoint_head *h, struct buf *out)
{
	char fixed[CHECKPOINT_INDEX] = { 0 };

	put_le32(fixed, (uint32_t)(h->segments.len / CHECKPOINT_SEGMENT));
	put_le32(fixed + 4, w->blocks);
	put_le32(fixed + 8, h->from);
	put_le32(fixed + 12, h->witness);
	put_le64(fixed + 16, h->offset);
	put_le64(fixed + 24, w->keys);
	put_le64(fixed + 32, (uint64_t)h->begun_wall_ms);
	memcpy(fixed + 40, h->ns_of, sizeof(h->ns_of));
	buf_append(out, fixed, sizeof(fixed));
	buf_append_slice(out, buf_slice(&h->segments));
	buf_append_slice(out, buf_slice(&w->rows));
}

int checkpoint_witness(struct io *io, int dir, uint64_t number, uint64_t offset, uint32_t *ret)
{
	char name[SEGMENT_NAME_SIZE], bytes[CHECKPOINT_WITNESS];
	size_t len = offset < sizeof(bytes) ? (size_t)offset : sizeof(bytes);

	segment_name(name, number);
	int fd = io->open(io, dir, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	ssize_t n = io->pread(io, fd, bytes, len, offset - len, 0);
	io->close(io, fd);
	if (n != (ssize_t)len)
		return n < 0 ? (int)n : -EIO;
	*ret = crc_update(0, bytes, len);
	return 0;
}

int checkpoint_finish(struct checkpoint_writer *w, struct checkpoint_head *h)
{
	char head[CHECKPOINT_HEADER] = { 0 };
	struct buf index = { 0 };

	int r = checkpoint_witness(w->io, w->dir, h->last_number, h->end - h->last_first + SEGMENT_HEADER, &h->witness);
	if (r)
		return r;
	print_index(w, h, &index);
	memcpy(head, magic, sizeof(magic));
	put_le32(head + 8, CHECKPOINT_VERSION);
	put_le32(head + 12, CHECKPOINT_HEADER);
	put_le64(head + 16, h->store_id);
	put_le64(head + 24, h->position);
	put_le64(head + 32, h->end);
	put_le64(head + 40, w->offset);
	put_le64(head + 48, index.len);
	put_le32(head + 56, crc_update(0, index.ptr, index.len));
	put_le32(head + 60, crc_update(0, head, 60));
	r = index.failed ? -ENOMEM : write_at(w, index.ptr, index.len, w->offset);
	w->offset += index.len;
	buf_free(&index);
	if (r == 0)
		r = write_at(w, head, sizeof(head), 0);
	return r ? r : w->io->fsync(w->io, w->fd);
}

int checkpoint_name(struct checkpoint_writer *w)
{
	int r = w->io->rename(w->io, w->dir, CHECKPOINT_NEW_NAME, CHECKPOINT_NAME);

	if (r)
		return r;
	/* It has its name: what comes now must not remove it. */
	w->io->close(w->io, w->fd);
	w->fd = -1;
	return w->io->fsync(w->io, w->dir);
}

void checkpoint_drop(struct checkpoint_writer *w)
{
	buf_free(&w->rows);
	if (!w->io || w->fd < 0)
		return;
	w->io->close(w->io, w->fd);
	w->io->unlink(w->io, w->dir, CHECKPOINT_NEW_NAME);
	w->fd = -1;
}
