/* SPDX-License-Identifier: MIT
 *
 * The transaction as the files of the room see it: the stated writes, an index over them for reads of own writes, and the memory of one
 * request. There is one per store, reused.
 */
#ifndef STORE_TXN_H
#define STORE_TXN_H

#include "store/inner.h"

#define TXN_LINEAR 8       /* up to so many writes are searched one by one */
#define TXN_CACHE_PUTS 64  /* values read from disk in one transaction that go to the cache at its end */

struct txn_meta {
	uint64_t hash; /* of namespace and key */
	unsigned ns;
	struct slice packed; /* the value as it is to be stored, when it was compressed; ptr NULL: it was not */
};

struct txn_cache_put {
	uint64_t where;
	struct slice value;
};

struct txn_block {
	struct txn_block *next;
	char data[];
};

struct txn {
	struct store *store;
	struct store_fetch *fetch;
	struct txn_op *op;
	struct txn_meta *meta;
	size_t ops, cap;
	uint32_t *index; /* hash table of op numbers + 1, for more than TXN_LINEAR writes */
	size_t index_cap;
	uint64_t seen;   /* highest position a read has seen */
	uint8_t ns_of[STORE_MAX_DATABASES];
	bool flushes, swaps;
	uint32_t flushed[STORE_MAX_DATABASES]; /* namespace: number of its last flush + 1; set when `flushes` is */
	struct txn_cache_put cache_put[TXN_CACHE_PUTS];
	unsigned cache_puts;
	char *arena; /* first block, kept between transactions */
	size_t arena_used;
	struct txn_sorted *sorted; /* made when asked for */
	struct txn_block *blocks; /* larger or further memory */
	size_t allocated;         /* bytes of it */
};

#define TXN_ARENA 65536 /* bytes */
#define TXN_MEMORY ((size_t)2 << 30) /* bytes beyond the arena: the largest value read and written anew, and that twice */

/* The latest stated write that decides this key: its op, or NULL when the committed state does. A flush answers as a TXN_DELETE. */
const struct txn_op *txn_find_op(const struct txn *t, unsigned ns, struct slice key);

/* The value of a record: 0, STORE_PENDING (listed, when there is a fetch), STORE_CORRUPT (listed in damaged/INDEX) or an error, as txn_get. */
int txn_read(struct txn *t, unsigned ns, struct slice key, uint64_t where, struct txn_value *ret);

/* Remembers that the answer depends on a record or an absence. */
void txn_see_record(struct txn *t, uint64_t where);
void txn_see_absence(struct txn *t, unsigned ns, struct slice key);
/* The answer depends on the whole state. */
void txn_see_all(struct txn *t);

static inline uint64_t txn_hash(unsigned ns, struct slice key)
{
	return hash_bytes(ns, key);
}

static inline bool txn_is_expired(const struct store *s, int64_t expire_ms)
{
	return expire_ms != STORE_NO_EXPIRY && expire_ms <= store_now(s);
}

/* States the deletion of a key that is known to exist, expired or not. */
int txn_add_delete(struct txn *t, unsigned db, unsigned ns, struct slice key);

/*
 * The stated writes of a namespace in order of their keys, for scans and counts. They are in runs, each sorted and at least twice as
 * long as the next, so that a transaction that writes and scans in turn pays for each write a few times only. A run has each key once;
 * the same key in several runs: the op with the highest number decides. Lives as long as the transaction.
 */
#define TXN_RUNS 34

struct txn_run {
	uint32_t *op; /* numbers */
	size_t n;
};

struct txn_sorted {
	struct txn_sorted *next; /* of another namespace */
	unsigned ns;
	size_t covered;  /* ops looked at */
	bool flushed;    /* the committed state does not count */
	int64_t change;  /* keys there are more than committed ones (none, when flushed) */
	unsigned nruns;
	struct txn_run run[TXN_RUNS];
};

/* Brings it up to date; NULL: no memory. */
const struct txn_sorted *txn_sort(struct txn *t, unsigned ns);
/* The number of the first op of a run whose key is not below `key` (or the length of the run). */
size_t txn_run_seek(const struct txn *t, const struct txn_run *run, struct slice key);

#endif
