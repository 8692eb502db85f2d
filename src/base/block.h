/* SPDX-License-Identifier: MIT
 *
 * A large value in memory, counted by reference: connection, log, transaction and replies hand it on without a copy of
 * its bytes. It knows the checksum of its value, which is computed as the value arrives, so that nobody has to go
 * through hundreds of megabytes at once.
 *
 * Threads: any thread may make a block and fill it; from when it is shared on its bytes never change, and references
 * are counted by one thread only, the store's owner.
 */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stdbool.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

#define BLOCK_LEAST ((size_t)256 << 10) /* bytes of a value from which on a reference is cheaper than a copy */

/* Where blocks come from and go to. */
struct blocks {
	bool later;              /* large ones that are let go of wait for blocks_sweep */
	bool left;               /* it goes with the last block */
	_Atomic size_t count;
	_Atomic uint64_t bytes;  /* memory of all blocks, those that wait included */
	struct block *waiting;
};

struct block {
	struct blocks *home;
	struct block *next; /* of those waiting */
	unsigned refs;
	size_t cap;         /* bytes at memory that may be used */
	size_t most;        /* bytes reserved there */
	char *memory;
	struct slice value; /* the value in it */
	uint32_t sum;       /* crc_update(0) of the value; of no meaning for blocks that are never written to the log */
};

/* NULL: no memory. */
struct blocks *blocks_new(bool later);
/* Gives back what waits. Blocks still in use stay valid. Accepts NULL. */
void blocks_leave(struct blocks *home);

/*
 * One reference, cap bytes that may be used and an empty value at their front. Addresses are reserved for up to `most` bytes, which
 * costs no memory; what may be used takes some when it is touched. Memory of BLOCK_LEAST and more begins as zeros. NULL: none.
 */
struct block *block_new(struct blocks *home, size_t cap, size_t most);
/* Makes cap bytes usable, at most those reserved; nothing moves. 0 or -ENOMEM. */
int block_grow(struct block *b, size_t cap);
/* The n bytes behind the value belong to it from now on, and to its checksum. */
void block_take(struct block *b, size_t n);

static inline struct block *block_ref(struct block *b)
{
	b->refs++;
	return b;
}

/* One reference less; accepts NULL, returns NULL. */
struct block *block_unref(struct block *b);

/* Giving back hundreds of megabytes takes the system many milliseconds: this does about `most` bytes of it. True: there is more to do. */
bool blocks_sweep(struct blocks *home, size_t most);

#endif
