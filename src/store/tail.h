/* SPDX-License-Identifier: MIT
 *
 * The tail: the youngest part of the log in memory. The owner appends encoded records; the sync thread writes them out; what
 * has been written stays a while, so that young records are read without a system call. A list of chunks, oldest
 * first. A chunk is never split between segments. A record is in one chunk, but for one with a large value: what comes before the
 * value is the end of a chunk, the value is a chunk by itself, which is a view of a block, the zeros behind it are another view.
 *
 * Threads: tail_* are the owner's. The sync thread follows `next` and reads bytes below the submitted position only.
 */
#ifndef STORE_TAIL_H
#define STORE_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

#define TAIL_CHUNK ((size_t)1 << 20) /* bytes of a usual chunk; a larger transaction gets one of its own */
#define TAIL_KEEP ((uint64_t)4 << 20) /* bytes that stay in memory after they were written */

#define TAIL_ZEROS ((size_t)17 << 20) /* bytes, more than the padding behind the largest record */

struct segment;

struct chunk {
	_Atomic(struct chunk *) next;
	struct segment *segment; /* gone, perhaps, when all of the chunk is on disk and a merge has taken the segment's place */
	uint64_t number;   /* of the segment; never used twice */
	uint64_t position; /* of the first byte */
	size_t len, cap;   /* the owner's; final once next is set */
	bool joined;       /* begins in the middle of a transaction; final once it is linked */
	bool view;           /* data is not its own memory: it shows a block, or zeros */
	struct block *block; /* that it shows, with a reference */
	char *data;
	char memory[];
};

struct tail {
	struct chunk **ring;         /* chunks oldest first, ring[head .. head + count) modulo ring_cap */
	size_t head, count, ring_cap;
	struct chunk *spare;         /* empty usual chunks, linked by next */
	unsigned spares;
	const char *zeros;           /* TAIL_ZEROS bytes; NULL: not yet needed */
	uint64_t bytes;              /* memory of all chunks, without that of blocks */
};

void tail_init(struct tail *t);
void tail_free(struct tail *t);

/* Room for len contiguous bytes at position in segment: NULL when there is no memory. Appending is then tail_advance. */
char *tail_room(struct tail *t, struct segment *segment, uint64_t position, size_t len);
void tail_advance(struct tail *t, size_t len);

/*
 * For a transaction with large values. While nothing has been appended and all may fail: tail_plan for each of them, then tail_room for what
 * comes before the first. Then, without failing: tail_advance, and at each large value tail_add_large.
 */
struct tail_plan {
	struct chunk *first, *last; /* in the order of use, linked by next */
	size_t count;
};
/* A value, the pad zero bytes behind it, and a piece of len bytes behind those: 0 or -ENOMEM. */
int tail_plan(struct tail *t, struct tail_plan *p, struct block *block, size_t pad, size_t len);
/* Takes what was not used. */
void tail_drop_plan(struct tail *t, struct tail_plan *p);
/* Appends the next planned value at a position, with what stands behind it. Returns the piece, to be written. */
char *tail_add_large(struct tail *t, struct tail_plan *p, struct segment *segment, uint64_t position);

/* The bytes at a position, or NULL when they are no longer (or not) in memory. */
const char *tail_at(const struct tail *t, uint64_t position);

/* The same for a record of a certain segment: a segment made by a merge has positions that other records had in the log.
 * *ret_len: how many bytes stand there together. */
const char *tail_at_segment(const struct tail *t, const struct segment *g, uint64_t position, size_t *ret_len);

/* The block of the value that begins at a position which tail_at has; NULL: it stands behind its key. */
struct block *tail_block_at(const struct tail *t, uint64_t position);

/* Lets go of chunks that are durable and too old to keep. */
void tail_trim(struct tail *t, uint64_t durable);

/* Drops everything from a position on, which must not be older than the tail. The sync thread must not be looking. */
void tail_cut(struct tail *t, uint64_t position);

struct chunk *tail_oldest(const struct tail *t); /* NULL: empty */
struct chunk *tail_youngest(const struct tail *t);

#endif
