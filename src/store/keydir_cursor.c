/* SPDX-License-Identifier: MIT
 *
 * Walks over the keys: cursor, random choice, the sweep for expired keys.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/hash.h"
#include "store/keydir_tree.h"

struct keydir_cursor {
	const struct keydir *k;
	uint64_t change;         /* of the keydir when the path was right */
	bool reverse, on;        /* on: there is a current key */
	struct keydir_path path; /* leaf step: the current key */
	struct keydir_entry entry;
	size_t len;
	char key[KEYDIR_MAX_KEY];
};

/* From this step on, down to the first (or behind the last) key of the subtree. */
static void go_down(struct keydir_path *path, unsigned depth, bool reverse)
{
	struct page *p = path->step[depth].page;

	for (; p->level; depth++) {
		p = page_child(p, path->step[depth].pos);
		path->step[depth + 1].page = p;
		path->step[depth + 1].pos = reverse ? p->count : 0;
	}
	path->depth = depth + 1;
}

/* To the next leaf, its first key, or in reverse to the one before, behind its last key. False: there is
 * none. */
static bool next_leaf(struct keydir_path *path, bool reverse)
{
	for (unsigned d = path->depth - 1; d-- > 0;) {
		struct keydir_step *step = &path->step[d];
		if (reverse ? step->pos == 0 : step->pos == step->page->count)
			continue;
		step->pos += reverse ? -1u : 1u;
		go_down(path, d, reverse);
		return true;
	}
	return false;
}

/* The path stands before the key to take (forward) or behind it (reverse), maybe at the end of a leaf. */
static int take_key(struct keydir_cursor *c)
{
	struct keydir_step *leaf = keydir_leaf(&c->path);

	while (c->reverse ? leaf->pos == 0 : leaf->pos == leaf->page->count) {
		c->on = next_leaf(&c->path, c->reverse);
		if (!c->on)
			return KEYDIR_ABSENT;
		leaf = keydir_leaf(&c->path);
	}
	if (c->reverse)
		leaf->pos--;
	struct page_item item = page_item(leaf->page, leaf->pos, c->key);
	if (item.out)
		memcpy(c->key, item.key.ptr, item.key.len);
	c->len = item.key.len;
	c->entry = (struct keydir_entry){ item.value, item.expire };
	c->change = c->k->change;
	c->on = true;
	return 0;
}

struct keydir_cursor *keydir_cursor_new(const struct keydir *k)
{
	/* Room for any key at once, so that no step can fail; untouched memory costs nothing. */
	struct keydir_cursor *c = malloc(sizeof(*c));

	if (c) {
		c->k = k;
		c->on = false;
		c->len = 0;
	}
	return c;
}

struct keydir_cursor *keydir_cursor_free(struct keydir_cursor *c)
{
	free(c);
	return NULL;
}

int keydir_seek(struct keydir_cursor *c, struct slice key, int reverse)
{
	c->reverse = reverse;
	c->on = false;
	if (!c->k->root)
		return KEYDIR_ABSENT;
	if (reverse && key.len == 0) {
		struct page *root = c->k->root;
		c->path.step[0] = (struct keydir_step){ root, root->count };
		go_down(&c->path, 0, true);
	} else {
		keydir_descend(c->k, key, &c->path);
	}
	return take_key(c);
}

int keydir_next(struct keydir_cursor *c)
{
	if (!c->on)
		return KEYDIR_ABSENT;
	if (c->change == c->k->change) {
		if (!c->reverse)
			keydir_leaf(&c->path)->pos++;
		return take_key(c);
	}
	c->on = c->k->root;
	if (!c->on)
		return KEYDIR_ABSENT;
	bool found = keydir_descend(c->k, slice(c->key, c->len), &c->path);
	if (found && !c->reverse)
		keydir_leaf(&c->path)->pos++;
	return take_key(c);
}

struct slice keydir_cursor_key(const struct keydir_cursor *c)
{
	return slice(c->key, c->len);
}

struct keydir_entry keydir_cursor_entry(const struct keydir_cursor *c)
{
	return c->entry;
}

/* ---- random ---- */

static unsigned pick_below(uint64_t *random, unsigned n)
{
	*random = hash_u64(*random + 1);
	return (unsigned)((__uint128_t)*random * n >> 64);
}

/* A random way down. Returns how many ways there are at its forks below the root. */
static double pick_path(const struct keydir *k, uint64_t *random, struct keydir_path *ret)
{
	struct page *p = k->root;
	double ways = 1;

	for (ret->depth = 0;;) {
		unsigned n = p->level ? p->count + 1u : p->count;
		struct keydir_step *step = &ret->step[ret->depth++];
		*step = (struct keydir_step){ p, pick_below(random, n) };
		if (ret->depth > 1)
			ways *= n;
		if (p->level == 0)
			return ways;
		p = page_child(p, step->pos);
	}
}

/*
 * A key reached through many forks is that much less likely. So several ways are tried and one is chosen with
 * that number as its weight, which evens the chances out as far as the tries go.
 */
int keydir_random(struct keydir_cursor *c, uint64_t random)
{
	struct keydir_path path;
	double sum = 0;

	c->reverse = c->on = false;
	if (!c->k->root)
		return KEYDIR_ABSENT;
	for (int tries = 0; tries < 8; tries++) {
		double ways = pick_path(c->k, &random, &path);
		sum += ways;
		random = hash_u64(random + 1);
		if ((double)random / 18446744073709551616.0 * sum < ways)
			c->path = path;
	}
	return take_key(c);
}

/* ---- expired keys ---- */

static void sweep_page(const struct page *p, int64_t now_ms,
	void (*each)(void *arg, struct slice key, struct keydir_entry entry), void *arg)
{
	char tmp[PAGE_INLINE_KEY];

	for (unsigned i = 0; i < p->count; i++) {
		int64_t expire;
		page_value(p, i, &expire);
		if (expire > now_ms || expire == KEYDIR_NO_EXPIRY)
			continue;
		struct page_item item = page_item(p, i, tmp);
		each(arg, item.key, (struct keydir_entry){ item.value, item.expire });
	}
}

int keydir_expired(const struct keydir *k, struct buf *from, int64_t now_ms, unsigned pages,
	void (*each)(void *arg, struct slice key, struct keydir_entry entry), void *arg)
{
	struct keydir_path path;
	bool more = k->root && k->expiring;

	if (more)
		keydir_descend(k, buf_slice(from), &path);
	for (; more && pages; pages--) {
		const struct page *p = keydir_leaf(&path)->page;
		if (p->min_expire <= now_ms)
			sweep_page(p, now_ms, each, arg);
		more = next_leaf(&path, false);
	}
	buf_reset(from, PAGE_INLINE_KEY);
	if (!more)
		return KEYDIR_ABSENT;
	char tmp[PAGE_INLINE_KEY];
	buf_append_slice(from, page_item(keydir_leaf(&path)->page, 0, tmp).key);
	if (!from->failed)
		return 0;
	buf_free(from);
	return -ENOMEM;
}
