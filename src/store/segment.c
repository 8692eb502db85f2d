/* SPDX-License-Identifier: MIT */
#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/crc.h"
#include "base/num.h"

static const char magic[8] = { 'K', 'V', 'D', 'S', 'E', 'G', '\r', '\n' };

void segment_name(char out[SEGMENT_NAME_SIZE], uint64_t number)
{
	snprintf(out, SEGMENT_NAME_SIZE, "%010" PRIu64 ".seg", number);
}

uint64_t segment_name_number(const char *name)
{
	char again[SEGMENT_NAME_SIZE];
	uint64_t number = 0;
	size_t zeros = strspn(name, "0"), digits = strcspn(name + zeros, ".");

	/* Only the very name segment_name gives is a segment: no second spelling of a number. */
	if (num_parse_u64(slice(name + zeros, digits), &number))
		return 0;
	segment_name(again, number);
	return strcmp(again, name) == 0 ? number : 0;
}

void segment_encode_header(char *out, const struct segment *g, uint64_t store_id, int64_t now_wall_ms)
{
	memset(out, 0, SEGMENT_HEADER);
	memcpy(out, magic, sizeof(magic));
	put_le32(out + 8, SEGMENT_VERSION);
	put_le32(out + 12, SEGMENT_HEADER);
	put_le64(out + 16, store_id);
	put_le64(out + 24, g->number);
	put_le64(out + 32, g->first);
	put_le64(out + 40, (uint64_t)now_wall_ms);
	put_le32(out + 60, crc_update(0, out, 60));
}

static void fill_new_name(char out[SEGMENT_NEW_NAME_SIZE], const struct segment *g)
{
	segment_name(out, g->number);
	memcpy(out + strlen(out), SEGMENT_NEW_SUFFIX, sizeof(SEGMENT_NEW_SUFFIX));
}

/* The file with its header and `reserve` zeros behind it. */
static int make_file(struct io *io, int dir, const struct segment *g, const char *head, size_t reserve, int *ret_fd)
{
	static const char zeros[SEGMENT_RESERVE];
	char new_name[SEGMENT_NEW_NAME_SIZE];

	fill_new_name(new_name, g);
	int r = io->unlink(io, dir, new_name); /* of an attempt that failed */
	if (r && r != -ENOENT)
		return r;
	int fd = io->open(io, dir, new_name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	struct iovec v[] = { { (void *)(uintptr_t)head, SEGMENT_HEADER }, { (void *)(uintptr_t)zeros, reserve } };
	ssize_t n = io->pwritev(io, fd, v, reserve ? 2 : 1, 0);
	if (n < 0) {
		io->close(io, fd);
		io->unlink(io, dir, new_name); /* a second failure changes nothing: such files go at the next start */
		return (int)n;
	}
	*ret_fd = fd;
	return 0;
}

int segment_begin(struct io *io, int dir, const struct segment *g, uint64_t store_id, int64_t now_wall_ms, int *ret_fd)
{
	char head[SEGMENT_HEADER];

	segment_encode_header(head, g, store_id, now_wall_ms);
	return make_file(io, dir, g, head, 0, ret_fd);
}

int segment_give_name(struct io *io, int dir, const struct segment *g)
{
	char name[SEGMENT_NAME_SIZE], new_name[SEGMENT_NEW_NAME_SIZE];

	segment_name(name, g->number);
	fill_new_name(new_name, g);
	return io->rename(io, dir, new_name, name);
}

void segment_remove(struct io *io, int dir, const struct segment *g, bool named)
{
	char name[SEGMENT_NAME_SIZE], new_name[SEGMENT_NEW_NAME_SIZE];

	segment_name(name, g->number);
	fill_new_name(new_name, g);
	io->unlink(io, dir, new_name);
	if (named)
		io->unlink(io, dir, name);
}

int segment_create(struct io *io, int dir, const struct segment *g, uint64_t store_id, int64_t now_wall_ms, int *ret_fd)
{
	char head[SEGMENT_HEADER], new_name[SEGMENT_NEW_NAME_SIZE];
	int fd;

	segment_encode_header(head, g, store_id, now_wall_ms);
	int r = make_file(io, dir, g, head, SEGMENT_RESERVE, &fd);
	if (r)
		return r;
	r = io->fsync(io, fd);
	if (r == 0)
		r = segment_give_name(io, dir, g);
	if (r < 0) {
		fill_new_name(new_name, g);
		io->close(io, fd);
		io->unlink(io, dir, new_name);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int segment_header_sum(struct io *io, int fd, uint32_t *ret)
{
	char sum[4];
	ssize_t n = io->pread(io, fd, sum, sizeof(sum), 60, 0);

	if (n < (ssize_t)sizeof(sum))
		return n < 0 ? (int)n : -EUCLEAN;
	*ret = get_le32(sum);
	return 0;
}

int segment_check_header(struct io *io, int fd, uint64_t store_id, uint64_t number, uint64_t *ret_first, struct error *e)
{
	char head[SEGMENT_HEADER], name[SEGMENT_NAME_SIZE];

	segment_name(name, number);
	ssize_t n = io->pread(io, fd, head, sizeof(head), 0, 0);
	if (n < 0)
		return error_set(e, (int)n, "%s: read failed at offset 0: %s", name, strerror((int)-n));
	if (n < (ssize_t)sizeof(head) || memcmp(head, magic, sizeof(magic)) != 0)
		return error_set(e, -EUCLEAN, "%s: damaged at offset 0: no segment header", name);
	if (crc_update(0, head, 60) != get_le32(head + 60))
		return error_set(e, -EUCLEAN, "%s: damaged at offset 0: the header fails its checksum", name);
	if (get_le32(head + 8) != SEGMENT_VERSION || get_le32(head + 12) != SEGMENT_HEADER)
		return error_set(e, -EPROTONOSUPPORT, "%s: format version %" PRIu32 ", this kvd reads version %d", name,
			get_le32(head + 8), SEGMENT_VERSION);
	if (get_le64(head + 16) != store_id)
		return error_set(e, -EUCLEAN, "%s: belongs to another store", name);
	if (get_le64(head + 24) != number)
		return error_set(e, -EUCLEAN, "%s: holds segment %" PRIu64 ", not the one its name says", name, get_le64(head + 24));
	*ret_first = get_le64(head + 32);
	return 0;
}
