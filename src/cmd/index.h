/* SPDX-License-Identifier: MIT
 *
 * A hash table of things that carry their own links: it owns nothing but its array of chains, grows with what is in
 * it, and never fails to take something once it has an array. Inner door of the room.
 */
#ifndef CMD_INDEX_H
#define CMD_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct index_link {
	struct index_link *next;
	uint64_t hash;
};

struct index {
	struct index_link **chain;
	size_t size, count; /* chains, a power of two; things */
};

/* Takes a thing whose link->hash is set. 0, or -ENOMEM: nothing has changed. */
int index_add(struct index *x, struct index_link *link);
/* Takes out what is in it. */
void index_remove(struct index *x, struct index_link *link);
/* The first thing with this hash, and the next one behind it; NULL: no more. Equal hashes need not mean equal things. */
struct index_link *index_first(const struct index *x, uint64_t hash);
struct index_link *index_next(const struct index_link *link);
/* Frees the array; what was in it is left alone. */
void index_free(struct index *x);

#endif
