/* SPDX-License-Identifier: MIT
 *
 * The value cache: values read from disk, kept in a ring of fixed size, found by locator. First in, first out; an entry that is read
 * again while it is about to go is put in anew. It saves a system call, not a disk access: the page cache is beneath. What it holds was
 * checked when it was read. The owner's thread only.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/slice.h"

#define CACHE_DEFAULT ((uint64_t)128 << 20)
#define CACHE_MAX_VALUE 8192 /* bytes; larger values are left to the page cache */

struct cache {
	char *ring;          /* NULL: no cache */
	uint64_t size, head; /* head only grows; the place in the ring is head % size */
	uint64_t *index;
	uint64_t mask;       /* buckets - 1 */
	uint64_t hits, misses;
};

/* size 0: no cache. 0 or -ENOMEM. */
int cache_init(struct cache *c, uint64_t size);
void cache_free(struct cache *c);

/* True with the value, borrowed until the next cache_put; *ret_aging: it will soon be overwritten, put it again. */
bool cache_get(struct cache *c, uint64_t where, struct slice *ret, bool *ret_aging);
void cache_put(struct cache *c, uint64_t where, struct slice value);

/* Prefetching in two steps, for a batch: the index first, then the entry it names. */
void cache_prefetch_index(const struct cache *c, uint64_t where);
void cache_prefetch_entry(const struct cache *c, uint64_t where);

/* Forgets everything. */
void cache_clear(struct cache *c);

/* Memory in use now. */
uint64_t cache_bytes(const struct cache *c);

#endif
