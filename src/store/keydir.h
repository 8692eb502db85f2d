/* SPDX-License-Identifier: MIT
 *
 * The key directory of one database: key -> where its record lives, ordered bytewise, all in memory. A
 * page-structured tree: leaf pages with a common prefix, short key heads for the search, suffix cells with the locator;
 * pages are as large as their content needs. It is derived data: recovery builds it from the segments.
 *
 * Keys are 0 to 65536 bytes. One thread owns it; nothing here locks. Returns follow base/error.h.
 */
#ifndef STORE_KEYDIR_H
#define STORE_KEYDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/slice.h"

#define KEYDIR_MAX_KEY 65536
#define KEYDIR_NO_EXPIRY INT64_MAX

enum { KEYDIR_ABSENT = 1 };

struct keydir;
struct page;

struct keydir_entry {
	uint64_t where;    /* opaque to the keydir */
	int64_t expire_ms; /* KEYDIR_NO_EXPIRY: none, and then no memory is used for it */
};

struct keydir *keydir_new(void); /* NULL: no memory */
struct keydir *keydir_free(struct keydir *k); /* accepts NULL, returns NULL */

uint64_t keydir_count(const struct keydir *k);
uint64_t keydir_expiring(const struct keydir *k); /* keys that have an expiry */
size_t keydir_bytes(const struct keydir *k);      /* memory of pages and long keys, allocator overhead estimated */

/* 0, or KEYDIR_ABSENT. Expiry is reported, not judged. */
int keydir_get(const struct keydir *k, struct slice key, struct keydir_entry *ret);

/* Adds or replaces. 0: replaced, *ret_old is what was there; KEYDIR_ABSENT: the key was new; -ENOMEM: nothing changed. */
int keydir_put(struct keydir *k, struct slice key, struct keydir_entry entry, struct keydir_entry *ret_old);

/* 0: removed, *ret_old is what was there; KEYDIR_ABSENT. Never fails otherwise. */
int keydir_delete(struct keydir *k, struct slice key, struct keydir_entry *ret_old);

/*
 * Fills an empty directory with keys that come in ascending order, without searches; pages are filled whole. Until keydir_builder_end
 * the directory is empty and must be left alone. add: 0, -EINVAL (not above the key before) or -ENOMEM; end: 0, and the builder is gone, or
 * -ENOMEM. After an error, or to give up, keydir_builder_free leaves the directory empty.
 */
struct keydir_builder;
struct keydir_builder *keydir_builder_new(struct keydir *k); /* NULL: no memory */
int keydir_builder_add(struct keydir_builder *b, struct slice key, struct keydir_entry entry);
int keydir_builder_end(struct keydir_builder *b);
struct keydir_builder *keydir_builder_free(struct keydir_builder *b); /* accepts NULL, returns NULL */

/*
 * Several lookups, whose cache misses overlap: all n keys are walked down the tree together, level by level. What is found is still in the cache afterwards.
 */
struct keydir_probe {
	struct keydir *k; /* NULL: nothing is found */
	struct slice key;
	bool found;
	struct keydir_entry entry; /* when it was found; zeros otherwise */
	struct page *page; /* for keydir_move: where it was found */
	uint16_t pos;
};
void keydir_find(struct keydir_probe *probes, size_t n);
/* Gives the key that was found another place; its expiry stays. Since then the keydir may only have been changed by this. */
void keydir_move(const struct keydir_probe *probe, uint64_t where);

/*
 * Ordered iteration. The cursor holds a copy of the current key and survives any change to the keydir: each step goes
 * on from that key (a step after a change costs one search more). A cursor is started by a seek and ends with keydir_cursor_free.
 */
struct keydir_cursor;
struct keydir_cursor *keydir_cursor_new(const struct keydir *k); /* NULL: no memory */
struct keydir_cursor *keydir_cursor_free(struct keydir_cursor *c);

/* Moves to the first key >= key (or, with `reverse`, the last key < key; an empty key means the end there).
 * Returns 0 or KEYDIR_ABSENT when there is none. */
int keydir_seek(struct keydir_cursor *c, struct slice key, int reverse);
/* Moves on in the direction of the seek. 0 or KEYDIR_ABSENT at the end. */
int keydir_next(struct keydir_cursor *c);
/* The key and entry the cursor is on, as they were when it came there; the slice is valid until the cursor moves. */
struct slice keydir_cursor_key(const struct keydir_cursor *c);
struct keydir_entry keydir_cursor_entry(const struct keydir_cursor *c);

/* A key chosen about evenly with the help of a random number. 0 with the cursor on it, KEYDIR_ABSENT when empty. */
int keydir_random(struct keydir_cursor *c, uint64_t random);

/*
 * Looks for expired keys, a bounded number of leaf pages per call: starts at the page that would hold *from, appends nothing
 * but calls each(arg, key, entry) for every key with expire_ms <= now_ms. `each` must not change the keydir: collect, then delete.
 * Returns 0 with *from moved to where the next call goes on, KEYDIR_ABSENT when the end was reached (*from is emptied), or
 * -ENOMEM when *from could not hold the next key (emptied too: the next call begins again).
 * Pages without expiring keys cost one comparison. *from is a buffer so that it survives changes.
 */
struct buf;
int keydir_expired(const struct keydir *k, struct buf *from, int64_t now_ms, unsigned pages,
	void (*each)(void *arg, struct slice key, struct keydir_entry entry), void *arg);

/* Checks the whole structure: order, counts, prefixes, heads, sizes. For tests. 0, or -EINVAL with a line in text. */
int keydir_check(const struct keydir *k, char *text, size_t size);

#endif
