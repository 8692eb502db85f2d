/* SPDX-License-Identifier: MIT */
#include "store/whole.h"

#include <errno.h>
#include <fcntl.h>

#define MAX_DEPTH 3 /* a snapshot that was opened as a store has directories of its own; nothing of ours is deeper */

int whole_read(struct io *io, int dir, const char *name, size_t most, struct buf *ret)
{
	struct stat st;
	ssize_t n = 0;

	int fd = io->open(io, dir, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	int r = io->fstat(io, fd, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > most))
		r = -EFBIG;
	if (r == 0)
		r = buf_reserve(ret, (size_t)st.st_size + 1);
	if (r == 0)
		n = io->pread(io, fd, ret->ptr + ret->len, (size_t)st.st_size, 0, 0);
	io->close(io, fd);
	if (r || n < 0)
		return r ? r : (int)n;
	ret->len += (size_t)n;
	return 0;
}

int whole_write(struct io *io, int dir, const char *name, struct slice content)
{
	int fd = io->open(io, dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		return fd;
	struct iovec v = { (void *)(uintptr_t)content.ptr, content.len };
	ssize_t n = content.len ? io->pwritev(io, fd, &v, 1, 0) : 0;
	int r = n < 0 ? (int)n : io->fsync(io, fd);
	int closed = io->close(io, fd);
	return r ? r : closed;
}

int whole_open_dir(struct io *io, int dir, const char *name)
{
	return io->open(io, dir, name, O_RDONLY | O_DIRECTORY, 0);
}

int whole_make_dir(struct io *io, int dir, const char *name)
{
	int r = io->mkdir(io, dir, name, 0700);

	return r && r != -EEXIST ? r : whole_open_dir(io, dir, name);
}

static int add_name(void *arg, const char *name)
{
	struct buf *names = arg;

	buf_append(names, name, strlen(name) + 1);
	return names->failed ? -ENOMEM : 0;
}

int whole_list(struct io *io, int dir, struct buf *ret)
{
	return io->list(io, dir, add_name, ret);
}

static int remove_dir(struct io *io, int dir, const char *name, int depth)
{
	struct buf names = { 0 };

	int fd = whole_open_dir(io, dir, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	/* Listed first: a directory that changes while it is read may skip names. */
	int r = whole_list(io, fd, &names);
	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.ptr + at) + 1) {
		r = io->unlink(io, fd, names.ptr + at);
		if ((r == -EISDIR || r == -EPERM) && depth < MAX_DEPTH)
			r = remove_dir(io, fd, names.ptr + at, depth + 1);
	}
	buf_free(&names);
	io->close(io, fd);
	return r ? r : io->rmdir(io, dir, name);
}

int whole_remove_dir(struct io *io, int dir, const char *name)
{
	return remove_dir(io, dir, name, 0);
}
