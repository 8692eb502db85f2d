/* SPDX-License-Identifier: MIT */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Runs a call until it is not interrupted; the value is the call's result or -errno. */
#define RETRY(call)                                                                                          \
	({                                                                                                   \
		long retry_result_;                                                                          \
		do                                                                                           \
			retry_result_ = (long)(call);                                                        \
		while (retry_result_ < 0 && errno == EINTR);                                                 \
		retry_result_ < 0 ? -errno : retry_result_;                                                  \
	})

static int sys_open_dir(struct io *io, const char *path)
{
	(void)io;
	return (int)RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int sys_open(struct io *io, int dir, const char *name, int flags, mode_t mode)
{
	(void)io;
	return (int)RETRY(openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, mode));
}

static int sys_close(struct io *io, int fd)
{
	(void)io;
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t sys_pread(struct io *io, int fd, void *data, size_t len, uint64_t offset, int flags)
{
	size_t done = 0;

	(void)io;
	while (done < len) {
		struct iovec v = { (char *)data + done, len - done };
		long n = RETRY(preadv2(fd, &v, 1, (off_t)(offset + done), flags & IO_NOWAIT ? RWF_NOWAIT : 0));
		/* A file system without RWF_NOWAIT (tmpfs of older kernels) holds its data in memory anyway. */
		if (n == -EOPNOTSUPP && flags & IO_NOWAIT) {
			flags = 0;
			continue;
		}
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t write_rest(int fd, struct iovec v, uint64_t offset)
{
	size_t done = 0;

	while (done < v.iov_len) {
		long n = RETRY(pwrite(fd, (char *)v.iov_base + done, v.iov_len - done, (off_t)(offset + done)));
		if (n <= 0)
			return n < 0 ? n : -EIO;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static ssize_t sys_pwritev(struct io *io, int fd, const struct iovec *iov, int iovcnt, uint64_t offset)
{
	ssize_t n = RETRY(pwritev(fd, iov, iovcnt, (off_t)offset));
	size_t total = 0;

	(void)io;
	if (n < 0)
		return n;
	/* The usual case is one whole write; after a short one each vector's rest goes out by itself. */
	for (int i = 0; i < iovcnt; i++) {
		size_t skip = (size_t)n > total ? (size_t)n - total : 0;
		if (skip < iov[i].iov_len) {
			struct iovec rest = { (char *)iov[i].iov_base + skip, iov[i].iov_len - skip };
			ssize_t r = write_rest(fd, rest, offset + total + skip);
			if (r < 0)
				return r;
		}
		total += iov[i].iov_len;
	}
	return (ssize_t)total;
}

static int sys_fdatasync(struct io *io, int fd)
{
	(void)io;
	/* Not retried on EINTR by policy of the callers: a sync is never repeated over the same data. */
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int sys_fsync(struct io *io, int fd)
{
	(void)io;
	return fsync(fd) < 0 ? -errno : 0;
}

static int sys_ftruncate(struct io *io, int fd, uint64_t size)
{
	(void)io;
	return (int)RETRY(ftruncate(fd, (off_t)size));
}

static int sys_fstat(struct io *io, int fd, struct stat *ret)
{
	(void)io;
	return fstat(fd, ret) < 0 ? -errno : 0;
}

static int sys_rename(struct io *io, int dir, const char *from, const char *to)
{
	(void)io;
	return renameat(dir, from, dir, to) < 0 ? -errno : 0;
}

static int sys_unlink(struct io *io, int dir, const char *name)
{
	(void)io;
	return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

static int sys_link(struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
	(void)io;
	return linkat(from_dir, from, to_dir, to, 0) < 0 ? -errno : 0;
}

static int sys_mkdir(struct io *io, int dir, const char *name, mode_t mode)
{
	(void)io;
	return mkdirat(dir, name, mode) < 0 ? -errno : 0;
}

static int sys_list(struct io *io, int dir, int (*each)(void *arg, const char *name), void *arg)
{
	(void)io;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *d = fdopendir(fd);
	if (!d) {
		int r = -errno;
		close(fd);
		return r;
	}
	int r = 0;
	struct dirent *e;
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = each(arg, e->d_name);
	if (r == 0 && errno)
		r = -errno;
	closedir(d);
	return r;
}

static int sys_lock(struct io *io, int fd)
{
	(void)io;
	return (int)RETRY(flock(fd, LOCK_EX | LOCK_NB));
}

/*
 * Blocks this process can have. An ext4 keeps a part for root, 5 % as a rule, which f_bavail leaves out; root can have all but a
 * fiftieth of the device, at most 4096 blocks, that is nobody's. f_blocks is less than the device has.
 */
static uint64_t count_free(const struct statfs *v)
{
	uint64_t nobodys = (uint64_t)v->f_blocks / 40 < 4096 ? (uint64_t)v->f_blocks / 40 : 4096;

	if (v->f_type != EXT4_SUPER_MAGIC || geteuid() != 0 || v->f_bavail + nobodys >= v->f_bfree)
		return v->f_bavail;
	return v->f_bfree - nobodys;
}

static int sys_free_space(struct io *io, int dir, uint64_t *ret)
{
	struct statfs v;

	(void)io;
	if (fstatfs(dir, &v) < 0)
		return -errno;
	*ret = count_free(&v) * (uint64_t)(v.f_frsize ? v.f_frsize : v.f_bsize);
	return 0;
}

static int sys_move(struct io *io, int from_dir, const char *from, int to_dir, const char *to)
{
	(void)io;
	return renameat(from_dir, from, to_dir, to) < 0 ? -errno : 0;
}

static int sys_rmdir(struct io *io, int dir, const char *name)
{
	(void)io;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int sys_allocate(struct io *io, int fd, uint64_t size)
{
	(void)io;
	return (int)RETRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size));
}

struct io io_system = {
	.open_dir = sys_open_dir,
	.open = sys_open,
	.close = sys_close,
	.pread = sys_pread,
	.pwritev = sys_pwritev,
	.fdatasync = sys_fdatasync,
	.fsync = sys_fsync,
	.ftruncate = sys_ftruncate,
	.fstat = sys_fstat,
	.rename = sys_rename,
	.unlink = sys_unlink,
	.link = sys_link,
	.mkdir = sys_mkdir,
	.list = sys_list,
	.lock = sys_lock,
	.free_space = sys_free_space,
	.move = sys_move,
	.rmdir = sys_rmdir,
	.allocate = sys_allocate,
};
