/* SPDX-License-Identifier: MIT
 *
 * The disk as an argument: the store reaches files only through this table, so that tests can stand in for
 * the disk (lose unsynced data, tear writes, fail call number n). Names are relative to a directory handle,
 * never paths with a slash, and are never followed when they are symbolic links.
 *
 * Every call returns 0 or a count, or a negative errno; EINTR is retried inside. Calls are made from several
 * threads at once (owner, sync thread, fetch threads), on different or the same handles.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { IO_NOWAIT = 1 }; /* pread: answer -EAGAIN rather than wait for the device */

struct io {
	/* Opens an existing directory by path. Returns a handle >= 0. */
	int (*open_dir)(struct io *io, const char *path);
	/* openat(2) with O_CLOEXEC and O_NOFOLLOW added. Returns a handle >= 0. */
	int (*open)(struct io *io, int dir, const char *name, int flags, mode_t mode);
	int (*close)(struct io *io, int fd);
	/* May return less than len only at the end of the file. */
	ssize_t (*pread)(struct io *io, int fd, void *data, size_t len, uint64_t offset, int flags);
	/* Writes all of it or returns an error; on error an unknown prefix may have been written. */
	ssize_t (*pwritev)(struct io *io, int fd, const struct iovec *iov, int iovcnt, uint64_t offset);
	int (*fdatasync)(struct io *io, int fd);
	int (*fsync)(struct io *io, int fd); /* files and directories */
	int (*ftruncate)(struct io *io, int fd, uint64_t size);
	int (*fstat)(struct io *io, int fd, struct stat *ret);
	int (*rename)(struct io *io, int dir, const char *from, const char *to);
	int (*unlink)(struct io *io, int dir, const char *name);
	int (*link)(struct io *io, int from_dir, const char *from, int to_dir, const char *to);
	int (*mkdir)(struct io *io, int dir, const char *name, mode_t mode);
	/* Calls each(arg, name) for every entry but "." and ".."; stops at its first non-zero answer and returns that. */
	int (*list)(struct io *io, int dir, int (*each)(void *arg, const char *name), void *arg);
	/* Takes an exclusive lock for the life of the handle: 0, or -EWOULDBLOCK when somebody else holds it. */
	int (*lock)(struct io *io, int fd);
	/* Bytes this process can still write on the file system of this directory or file; root may have more than others. */
	int (*free_space)(struct io *io, int dir, uint64_t *ret);
	/* rename between two directories of one file system. */
	int (*move)(struct io *io, int from_dir, const char *from, int to_dir, const char *to);
	int (*rmdir)(struct io *io, int dir, const char *name);
	/*
	 * Allocates blocks for the first `size` bytes of the file, whose size stays as it is; they are the file's until it is cut or removed. fstat tells of them.
	 * -EOPNOTSUPP where the file system cannot.
	 */
	int (*allocate)(struct io *io, int fd, uint64_t size);
};

/* The operating system's own files. Stateless: the one instance serves every store of a process. */
extern struct io io_system;

#endif
