/* SPDX-License-Identifier: MIT
 *
 * Building a directory from keys that come in order. One page of each level is being collected at a time; what does not fit any more
 * begins the next one, and the full one goes up as a child. No searching, no splitting: about the cost of copying the keys.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store/keydir_tree.h"

/* The smallest key takes so much of a page. */
#define MAX_ITEMS ((KEYDIR_MEM_MAX - sizeof(struct page)) / (PAGE_PER_KEY + 9))
/* All keys of one page, put together whole: what fits into it, the prefix again for each, and the one that does not fit. */
#define KEY_BYTES (KEYDIR_MEM_MAX + MAX_ITEMS * PAGE_MAX_PREFIX + PAGE_INLINE_KEY)

#define PARENT_COST 64 /* bytes: a separator, and what the allocator rounds up */

/* A page being collected. */
struct filling {
	struct page *child0;   /* inner pages only */
	unsigned count;
	unsigned prefix, size; /* of the page the items would make */
	struct page_item sep;  /* between the page before and this one; of the first page there is none */
	char sep_key[PAGE_INLINE_KEY];
	struct page_item item[MAX_ITEMS];
	size_t used;
	char keys[KEY_BYTES];
};

struct keydir_builder {
	struct keydir *k;
	uint64_t count, expiring;
	unsigned levels;
	struct filling *level[KEYDIR_MAX_DEPTH];
};

struct keydir_builder *keydir_builder_new(struct keydir *k)
{
	struct keydir_builder *b = calloc(1, sizeof(*b));

	assert(!k->root);
	if (b)
		b->k = k;
	return b;
}

static void free_long(struct keydir *k, struct page_long *out)
{
	if (out)
		keydir_mem_free_long(&k->mem, out, sizeof(*out) + out->len);
}

static void free_filling(struct keydir *k, struct filling *f, unsigned level)
{
	for (unsigned i = 0; i < f->count; i++) {
		free_long(k, f->item[i].out);
		if (level)
			keydir_free_pages(k, (struct page *)(uintptr_t)f->item[i].value);
	}
	if (f->child0)
		keydir_free_pages(k, f->child0);
	free_long(k, f->sep.out);
	free(f);
}

struct keydir_builder *keydir_builder_free(struct keydir_builder *b)
{
	for (unsigned i = 0; b && i < b->levels; i++)
		free_filling(b->k, b->level[i], i);
	free(b);
	return NULL;
}

/* Copies the key into memory the caller has, unless it has one out of line, which moves with the item. */
static void keep_key(struct page_item *item, char *room)
{
	if (item->out)
		return;
	if (item->key.len)
		memcpy(room, item->key.ptr, item->key.len);
	item->key = slice(room, item->key.len);
}

/* A long key gets its place out of line. */
static int move_out(struct keydir *k, struct page_item *item)
{
	struct slice key = item->key;

	if (key.len <= PAGE_INLINE_KEY)
		return 0;
	item->out = keydir_mem_alloc_long(&k->mem, sizeof(*item->out) + key.len);
	if (!item->out)
		return -ENOMEM;
	item->out->len = (uint32_t)key.len;
	memcpy(item->out->bytes, key.ptr, key.len);
	item->key = slice(item->out->bytes, key.len);
	return 0;
}

/* The page's size with the item as its last, and the prefix it would have then. */
static unsigned size_with(const struct filling *f, const struct page_item *item, unsigned *ret_prefix)
{
	unsigned prefix = (unsigned)page_common(f->count ? f->item[0].key : item->key, item->key).len;
	unsigned size = page_base_size(prefix) + page_item_size(item, prefix);

	*ret_prefix = prefix;
	if (f->count && prefix == f->prefix)
		return f->size + page_item_size(item, prefix);
	for (unsigned i = 0; i < f->count; i++)
		size += page_item_size(&f->item[i], prefix);
	return size;
}

/* A key that breaks the prefix of a page makes all its keys longer. True: a page of its own is smaller, its entry in the parent counted. */
static bool goes_alone(const struct filling *f, const struct page_item *item, unsigned size)
{
	unsigned prefix = (unsigned)page_common(item->key, item->key).len;

	return size > f->size + page_base_size(prefix) + page_item_size(item, prefix) + PARENT_COST;
}

/* Takes the item in, with its long key; false: the page is complete without it. */
static bool take_item(struct filling *f, const struct page_item *item)
{
	unsigned prefix, size = size_with(f, item, &prefix);
	struct page_item mine = *item;

	if (f->count && (size > KEYDIR_MEM_MAX || f->count == MAX_ITEMS || (prefix < f->prefix && goes_alone(f, item, size))))
		return false;
	keep_key(&mine, f->keys + f->used);
	if (!mine.out)
		f->used += mine.key.len;
	f->prefix = prefix;
	f->size = size;
	f->item[f->count++] = mine;
	return true;
}

static struct page *make_page(struct keydir_builder *b, struct filling *f, unsigned level)
{
	struct slice prefix = f->count ? slice(f->item[0].key.ptr, f->prefix) : slice(NULL, 0);
	size_t cap;
	struct page *p = keydir_mem_alloc(&b->k->mem, f->count ? f->size : page_base_size(0), &cap);

	if (!p)
		return NULL;
	page_init(p, cap, level, prefix);
	page_fill(p, f->item, f->count);
	if (level)
		p->child0 = f->child0;
	f->child0 = NULL;
	f->count = 0;
	f->used = 0;
	return p;
}

static struct filling *get_level(struct keydir_builder *b, unsigned level)
{
	if (level == b->levels) {
		assert(level < KEYDIR_MAX_DEPTH);
		struct filling *f = malloc(sizeof(*f));
		if (!f)
			return NULL;
		f->child0 = NULL;
		f->count = 0;
		f->used = 0;
		f->sep.out = NULL;
		b->level[b->levels++] = f;
	}
	return b->level[level];
}

static int add_child(struct keydir_builder *b, unsigned level, struct page *child, struct page_item *sep);

/* The page of this level is complete: it goes up with its separator. */
static int send_up(struct keydir_builder *b, unsigned level)
{
	struct filling *f = b->level[level];
	struct page *p = make_page(b, f, level);

	if (!p)
		return -ENOMEM;
	int r = add_child(b, level + 1, p, &f->sep);
	if (r)
		keydir_free_pages(b->k, p);
	return r;
}

/* 0: child and separator belong to the level from now on. */
static int add_child(struct keydir_builder *b, unsigned level, struct page *child, struct page_item *sep)
{
	bool first = level == b->levels;
	struct filling *f = get_level(b, level);

	if (!f)
		return -ENOMEM;
	if (first) {
		f->child0 = child;
		return 0;
	}
	sep->value = (uint64_t)(uintptr_t)child;
	sep->expire = KEYDIR_NO_EXPIRY;
	if (!take_item(f, sep)) {
		int r = send_up(b, level);
		if (r)
			return r;
		/* It goes between the two pages instead of into one of them. */
		f->sep = *sep;
		keep_key(&f->sep, f->sep_key);
		f->child0 = child;
	}
	sep->out = NULL;
	return 0;
}

/* The shortest key above a and not above b. */
static struct slice separate(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.len && a.ptr[n] == b.ptr[n])
		n++;
	return slice(b.ptr, n + 1);
}

static int next_leaf(struct keydir_builder *b, struct slice key)
{
	struct filling *f = b->level[0];
	struct page_item sep = { .key = separate(f->item[f->count - 1].key, key) };
	int r = move_out(b->k, &sep);

	if (r == 0)
		r = send_up(b, 0);
	if (r) {
		free_long(b->k, sep.out);
		return r;
	}
	f->sep = sep;
	keep_key(&f->sep, f->sep_key);
	return 0;
}

int keydir_builder_add(struct keydir_builder *b, struct slice key, struct keydir_entry entry)
{
	struct page_item item = { .key = key, .value = entry.where, .expire = entry.expire_ms };
	struct filling *f = get_level(b, 0);

	if (!f)
		return -ENOMEM;
	if (f->count && slice_cmp(f->item[f->count - 1].key, key) >= 0)
		return -EINVAL;
	int r = move_out(b->k, &item);
	if (r == 0 && !take_item(f, &item)) {
		r = next_leaf(b, key);
		if (r == 0)
			take_item(f, &item);
	}
	if (r) {
		free_long(b->k, item.out);
		return r;
	}
	b->count++;
	b->expiring += entry.expire_ms != KEYDIR_NO_EXPIRY;
	return 0;
}

int keydir_builder_end(struct keydir_builder *b)
{
	struct keydir *k = b->k;

	for (unsigned i = 0; i + 1 < b->levels; i++) {
		int r = send_up(b, i);
		if (r)
			return r;
	}
	if (b->levels) {
		struct page *root = make_page(b, b->level[b->levels - 1], b->levels - 1);
		if (!root)
			return -ENOMEM;
		k->root = root;
	}
	k->count = b->count;
	k->expiring = b->expiring;
	k->change++;
	keydir_builder_free(b);
	return 0;
}
