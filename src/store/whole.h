/* SPDX-License-Identifier: MIT
 *
 * Small files that are read and written as a whole, and directories that go as a whole. Any thread.
 */
#ifndef STORE_WHOLE_H
#define STORE_WHOLE_H

#include "base/buf.h"
#include "base/io.h"

/* Appends the content of a regular file of at most `most` bytes. 0, -EFBIG (larger, or no regular file), -ENOMEM, or what the disk said. */
int whole_read(struct io *io, int dir, const char *name, size_t most, struct buf *ret);

/* Makes or replaces a file and syncs it. Not atomic: for a directory that nobody looks into yet. */
int whole_write(struct io *io, int dir, const char *name, struct slice content);

/* A directory of that name, opened: a handle or a negative errno. whole_make_dir makes it first unless it is there. */
int whole_open_dir(struct io *io, int dir, const char *name);
int whole_make_dir(struct io *io, int dir, const char *name);

/* The names in a directory, each ended by a NUL, appended. 0, -ENOMEM, or what the disk said. */
int whole_list(struct io *io, int dir, struct buf *ret);

/* Removes a directory with the files in it, and those of directories in it. 0 also when there is none. */
int whole_remove_dir(struct io *io, int dir, const char *name);

#endif
