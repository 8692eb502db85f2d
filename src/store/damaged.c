/* SPDX-License-Identifier: MIT */
#include "store/damaged.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "store/inner.h"
#include "store/window.h"

#define INDEX_MAX ((size_t)4 << 20) /* bytes; a list longer than this grows no further */

int damaged_open(struct io *io, int dir)
{
	int r = io->mkdir(io, dir, DAMAGED_NAME, 0700);

	return r && r != -EEXIST ? r : io->open(io, dir, DAMAGED_NAME, O_RDONLY | O_DIRECTORY, 0);
}

static void print_time(struct buf *out, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char text[32] = "-";

	if (gmtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_append_str(out, text);
}

static void print_key(struct buf *out, struct slice key)
{
	if (key.len == 0)
		buf_append_str(out, "\\x");
	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.ptr[i];
		if (c < 33 || c > 126 || c == '\\')
			buf_printf(out, "\\x%02x", c);
		else
			buf_append_char(out, (char)c);
	}
}

static void print_place(struct buf *out, const struct damaged_place *p)
{
	if (p->has_key) {
		buf_printf(out, "%s\t%u\t", p->kind, p->ns);
		print_key(out, p->key);
	} else {
		buf_printf(out, "%s\t-\t-", p->kind);
	}
	buf_printf(out, "\t%s\n", p->note ? p->note : "-");
}

/* The file as it is, behind it the new line; *ret_size: where that begins. */
static int read_index(struct io *io, int fd, struct buf *ret)
{
	struct stat st;
	int r = io->fstat(io, fd, &st);

	if (r == 0 && (uint64_t)st.st_size > INDEX_MAX)
		r = -EFBIG;
	if (r == 0)
		r = buf_reserve(ret, (size_t)st.st_size + 1);
	ssize_t n = r ? r : io->pread(io, fd, ret->ptr, (size_t)st.st_size, 0, 0);
	ret->len = n > 0 ? (size_t)n : 0;
	return n < 0 ? (int)n : 0;
}

static int add_line(struct io *io, int fd, int64_t wall_ms, const struct damaged_place *p)
{
	struct buf text = { 0 }, place = { 0 }, line = { 0 };
	int r = read_index(io, fd, &text);

	buf_printf(&place, "\t%s\t%" PRIu64 "\t%" PRIu64 "\t", p->file, p->offset, p->size);
	print_time(&line, wall_ms);
	buf_append_slice(&line, buf_slice(&place));
	print_place(&line, p);
	if (text.failed || place.failed || line.failed)
		r = -ENOMEM;
	if (r == 0 && text.len && memmem(text.ptr, text.len, place.ptr, place.len))
		r = 1;
	if (r == 0) {
		struct iovec v = { line.ptr, line.len };
		ssize_t n = io->pwritev(io, fd, &v, 1, text.len);
		r = n < 0 ? (int)n : io->fsync(io, fd);
	}
	buf_free(&text);
	buf_free(&place);
	buf_free(&line);
	return r;
}

int damaged_list(struct io *io, int folder, int64_t wall_ms, const struct damaged_place *p)
{
	int fd = io->open(io, folder, DAMAGED_INDEX, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return fd;
	int r = add_line(io, fd, wall_ms, p);
	io->close(io, fd);
	return r < 0 || r == 1 ? r : io->fsync(io, folder);
}

void damaged_keep(struct io *io, int folder, const char *name, struct window *w, uint64_t from, uint64_t to)
{
	int fd = io->open(io, folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	struct slice bytes;

	for (uint64_t at = from; fd >= 0 && at < to; at += bytes.len) {
		if (window_at(w, at, WINDOW, &bytes) || bytes.len == 0)
			break;
		if (at + bytes.len > to)
			bytes.len = (size_t)(to - at);
		struct iovec v = { (void *)(uintptr_t)bytes.ptr, bytes.len };
		if (io->pwritev(io, fd, &v, 1, at - from) < 0)
			break;
	}
	if (fd >= 0)
		io->close(io, fd);
}
