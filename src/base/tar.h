/* SPDX-License-Identifier: MIT
 *
 * Heads of tar archives (POSIX ustar, with a pax head before files of 8 GiB and more). Only what an archive of plain files needs: no
 * links, devices or owners. The same entry always gives the same bytes. Blocks and files are the caller's to move.
 */
#ifndef BASE_TAR_H
#define BASE_TAR_H

#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

#define TAR_BLOCK 512
#define TAR_HEAD_MAX (3 * TAR_BLOCK)
#define TAR_NAME_MAX 100 /* bytes of a name that can be written */

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_PAX, TAR_PAX_GLOBAL, TAR_OTHER };

struct tar_entry {
	char name[257]; /* "prefix/name" when read */
	enum tar_type type;
	uint64_t size;  /* bytes of content, which follow filled up to whole blocks */
	unsigned mode;  /* permissions */
	int64_t mtime;  /* Unix seconds, not negative */
};

/* Writes the head of a file or directory; returns its bytes: one block, or three for a large file. */
size_t tar_encode(char out[TAR_HEAD_MAX], const struct tar_entry *e);

/* Bytes that fill the last block of a file of this size. */
static inline size_t tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}

/* Positive condition of tar_decode: a block of zeros, two of which end an archive. */
enum { TAR_END = 1 };

/* Reads one block: 0, TAR_END, or -EUCLEAN (no head of an archive, or it fails its checksum). */
int tar_decode(const char block[TAR_BLOCK], struct tar_entry *ret);

/* Applies the content of a TAR_PAX entry (its size and path) to the entry that follows it. 0 or -EUCLEAN. */
int tar_apply_pax(struct slice content, struct tar_entry *e);

#endif
