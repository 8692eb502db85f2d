/* SPDX-License-Identifier: MIT
 *
 * Parts of large values in files, read without the rest. The checksum of a record is one, so what is read first is all of it, a piece at a time and
 * kept nowhere but for the checksum of each piece; from then on a part is the pieces it lies in, each checked as it is read. What was learned of a
 * few records is remembered. Whatever goes wrong here (damage, a failing disk) is left to be found and told by a
 * read of the whole record.
 *
 * Threads: pieces_learn and pieces_read are for helper threads and touch nothing shared; the rest is the owner's.
 */
#ifndef STORE_PIECE_H
#define STORE_PIECE_H

#include "base/block.h"
#include "base/io.h"
#include "base/slice.h"

#define PIECE_SIZE ((size_t)256 << 10)
#define PIECE_LEAST ((size_t)1 << 20) /* bytes of a record below which it is better read whole */
#define PIECES_MOST 64                /* records that are remembered; of the largest one that takes 8 KiB each */

struct pieces {
	struct pieces *next;
	uint64_t where;
	size_t at, len; /* of the value, in the record */
	uint32_t sum[]; /* crc_update(0) of each piece */
};

static inline size_t pieces_count(size_t len)
{
	return (len + PIECE_SIZE - 1) / PIECE_SIZE;
}

/* Reads the record of a key at an offset of a file: *ret is to be freed with free(). -EUCLEAN: it is not that; -ENOMEM; -EIO and the like. */
int pieces_learn(struct io *io, int fd, uint64_t offset, uint32_t bind, struct slice key, uint64_t where, struct pieces **ret);
/* Reads n bytes of the value from `from` on, which it has. *ret has one reference, its value is these; it may also be set with an error, and NULL. */
int pieces_read(struct io *io, int fd, uint64_t offset, const struct pieces *p, size_t from, size_t n, struct blocks *home, struct block **ret);

/* A copy; NULL: no memory. */
struct pieces *pieces_copy(const struct pieces *p);
/* The list of those remembered, latest first: NULL when there is none of that place. */
const struct pieces *pieces_find(struct pieces **list, uint64_t where);
void pieces_remember(struct pieces **list, struct pieces *p); /* takes it over */
void pieces_forget(struct pieces **list);

#endif
