/* SPDX-License-Identifier: MIT
 *
 * What the parts of the key directory share: the tree of pages and the way down to a key.
 */
#ifndef STORE_KEYDIR_TREE_H
#define STORE_KEYDIR_TREE_H

#include "store/keydir.h"
#include "store/keydir_mem.h"
#include "store/keydir_page.h"

#define KEYDIR_MAX_DEPTH 32

struct keydir {
	struct page *root; /* NULL: empty */
	uint64_t count, expiring;
	uint64_t change; /* grows when keys come or go or pages move: a remembered path is stale then */
	struct keydir_mem mem;
};

/* From the root to a leaf. pos: in an inner page the child taken, in the leaf the key. */
struct keydir_path {
	unsigned depth; /* pages */
	struct keydir_step {
		struct page *page;
		unsigned pos;
	} step[KEYDIR_MAX_DEPTH];
};

/* Walks down to where the key is (true) or belongs. The directory must not be empty. */
bool keydir_descend(const struct keydir *k, struct slice key, struct keydir_path *ret);

static inline struct keydir_step *keydir_leaf(struct keydir_path *path)
{
	return &path->step[path->depth - 1];
}

/* Asks for the lines of a page that a search will touch first. */
static inline void keydir_prefetch_page(const struct page *p)
{
	for (unsigned i = 0; i < 10; i++)
		__builtin_prefetch((const char *)p + 64 * i);
}

/* keydir_put and keydir_delete, once the way is known: keydir_shape.c, which adds, splits, merges and drops
 * pages. */
int keydir_insert(struct keydir *k, struct keydir_path *path, const struct page_item *item, bool replace);
void keydir_remove(struct keydir *k, struct keydir_path *path);

/* Frees a page with all that hangs below it. */
void keydir_free_pages(struct keydir *k, struct page *p);

#endif
