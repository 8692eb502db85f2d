/* SPDX-License-Identifier: MIT
 *
 * The shape of the tree: pages grow, split, shrink, merge and go.
 *
 * All memory is taken before anything is changed, so a failed insertion leaves no trace and a deletion never
 * needs memory: shrinking and merging are given up when there is none.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include "store/keydir_tree.h"

#define MERGE_BELOW (KEYDIR_MEM_MAX / 4) /* bytes used: a page this small looks for a neighbour to join */
#define MERGE_UP_TO (KEYDIR_MEM_MAX * 3 / 4)

static void free_page(struct keydir *k, struct page *p)
{
	keydir_mem_free(&k->mem, p, p->size);
}

static void free_long(struct keydir *k, struct page_long *out)
{
	if (out)
		keydir_mem_free_long(&k->mem, out, sizeof(*out) + out->len);
}

static struct page *new_page(struct keydir *k, unsigned level, struct slice prefix, unsigned size)
{
	size_t cap;
	struct page *p = keydir_mem_alloc(&k->mem, size, &cap);

	if (p)
		page_init(p, cap, level, prefix);
	return p;
}

/* Puts `child` where the path leads at this depth. */
static void set_link(struct keydir *k, const struct keydir_path *path, unsigned depth, struct page *child)
{
	if (depth == 0)
		k->root = child;
	else
		page_set_child(path->step[depth - 1].page, path->step[depth - 1].pos, child);
}

/* ---- insertion ---- */

static struct slice edit_prefix(const struct page_edit *e, unsigned from, unsigned to, char *tmp)
{
	char last[PAGE_INLINE_KEY];

	if (from >= to)
		return slice(NULL, 0);
	return page_common(page_edit_item(e, from, tmp).key, page_edit_item(e, to - 1, last).key);
}

static unsigned part_size(const struct page_edit *e, unsigned from, unsigned to)
{
	char tmp[PAGE_INLINE_KEY];
	size_t prefix = edit_prefix(e, from, to, tmp).len;

	return page_base_size(prefix) + page_edit_size(e, from, to, prefix);
}

/* A page of the items [from, to), with `extra` bytes to spare; inner pages still lack their first child. */
static struct page *new_part(
	struct keydir *k, const struct page_edit *e, unsigned from, unsigned to, unsigned extra)
{
	char tmp[PAGE_INLINE_KEY];
	struct slice prefix = edit_prefix(e, from, to, tmp);
	unsigned size = page_base_size(prefix.len) + page_edit_size(e, from, to, prefix.len);
	unsigned cap = size + extra < KEYDIR_MEM_MAX ? size + extra : KEYDIR_MEM_MAX;
	struct page *p = new_page(k, e->page->level, prefix, cap);

	if (!p)
		return NULL;
	page_edit_append(p, e, from, to);
	return p;
}

/*
 * Where to divide the items: [0, cut) and [cut, n). A run goes on growing at full pages' end. A key that does
 * not share the page's prefix is first or last and goes alone, since the others would not fit into a page
 * without their prefix.
 */
static unsigned choose_cut(const struct page_edit *e, bool shared)
{
	char tmp[PAGE_INLINE_KEY];
	unsigned n = page_edit_count(e), cut = 0, sum = 0;

	if (!shared && !e->replace)
		return e->pos ? n - 1 : 1;
	if (!e->replace && e->page->run >= PAGE_RUN && e->pos)
		cut = e->pos;
	else if (!e->replace && e->page->run <= -PAGE_RUN && e->pos + 1 < n)
		cut = e->pos + 1;
	if (cut && part_size(e, 0, cut) <= KEYDIR_MEM_MAX && part_size(e, cut, n) <= KEYDIR_MEM_MAX)
		return cut;
	size_t prefix = edit_prefix(e, 0, n, tmp).len;
	unsigned half = page_edit_size(e, 0, n, prefix) / 2;
	for (cut = 0; cut < n - 1 && sum < half; cut++)
		sum += page_edit_size(e, cut, cut + 1, prefix);
	return cut;
}

/* The shortest key above all of the left part and not above any of the right. */
static struct slice separate(const struct page_edit *e, unsigned cut, char *tmp, char *tmp2)
{
	struct slice a = page_edit_item(e, cut - 1, tmp).key, b = page_edit_item(e, cut, tmp2).key;
	size_t n = 0;

	while (n < a.len && a.ptr[n] == b.ptr[n])
		n++;
	return slice(b.ptr, n + 1);
}

static int insert_at(struct keydir *k, struct keydir_path *path, unsigned depth, const struct page_item *item,
	bool replace);

struct halves {
	struct page *left, *right;
	struct page_item up;    /* separator, with the right half */
	struct page_long *made; /* the separator's own home, to be freed on failure */
};

static bool split_leaf(struct keydir *k, const struct page_edit *e, unsigned cut, struct halves *h, char *tmp)
{
	char other[PAGE_INLINE_KEY];

	h->up.key = separate(e, cut, other, tmp);
	if (h->up.key.len > PAGE_INLINE_KEY) {
		h->made = keydir_mem_alloc_long(&k->mem, sizeof(*h->made) + h->up.key.len);
		if (!h->made)
			return false;
		h->made->len = (uint32_t)h->up.key.len;
		memcpy(h->made->bytes, h->up.key.ptr, h->up.key.len);
		h->up.out = h->made;
	}
	h->left = new_part(k, e, 0, cut, 0);
	h->right = new_part(k, e, cut, page_edit_count(e), 0);
	return h->left && h->right;
}

/* The separator in the middle goes up instead of into a half, and its child begins the right one. */
static bool split_inner(
	struct keydir *k, const struct page_edit *e, unsigned cut, struct halves *h, char *tmp)
{
	unsigned n = page_edit_count(e), mid = cut < n ? cut : n - 1;

	h->up = page_edit_item(e, mid, tmp);
	h->left = new_part(k, e, 0, mid, 0);
	h->right = new_part(k, e, mid + 1, n, 0);
	if (!h->left || !h->right)
		return false;
	h->left->child0 = e->page->child0;
	h->right->child0 = (struct page *)(uintptr_t)h->up.value;
	return true;
}

/* Hangs both halves in where the page was. On failure the tree is as before. */
static int link_halves(struct keydir *k, struct keydir_path *path, unsigned depth, struct halves *h)
{
	struct page *old = path->step[depth].page;

	h->up.value = (uint64_t)(uintptr_t)h->right;
	h->up.expire = KEYDIR_NO_EXPIRY;
	if (depth) {
		/* First, so that the parent takes it along when it is itself made anew. */
		set_link(k, path, depth, h->left);
		int r = insert_at(k, path, depth - 1, &h->up, false);
		if (r < 0)
			set_link(k, path, depth, old);
		return r;
	}
	struct slice prefix = page_common(h->up.key, h->up.key);
	struct page *root = new_page(
		k, old->level + 1u, prefix, page_base_size(prefix.len) + page_item_size(&h->up, prefix.len));
	if (!root)
		return -ENOMEM;
	root->child0 = h->left;
	page_append(root, &h->up);
	k->root = root;
	return 0;
}

static int split_page(
	struct keydir *k, struct keydir_path *path, unsigned depth, const struct page_edit *e, bool shared)
{
	struct page *old = path->step[depth].page;
	struct halves h = { 0 };
	char tmp[PAGE_INLINE_KEY];
	unsigned cut = choose_cut(e, shared);
	bool good = old->level ? split_inner(k, e, cut, &h, tmp) : split_leaf(k, e, cut, &h, tmp);
	int r = good ? link_halves(k, path, depth, &h) : -ENOMEM;

	if (r < 0) {
		if (h.left)
			free_page(k, h.left);
		if (h.right)
			free_page(k, h.right);
		free_long(k, h.made);
		return r;
	}
	free_page(k, old);
	return 0;
}

static int insert_at(struct keydir *k, struct keydir_path *path, unsigned depth, const struct page_item *item,
	bool replace)
{
	struct keydir_step *step = &path->step[depth];
	struct page *p = step->page;

	if (!replace && page_insert(p, step->pos, item))
		return 0;
	struct page_edit e = { .page = p, .pos = step->pos, .replace = replace, .item = *item };
	unsigned size = part_size(&e, 0, page_edit_count(&e));
	bool shared = slice_has_prefix(item->key, slice(p + 1, p->prefix));
	if (size > KEYDIR_MEM_MAX)
		return split_page(k, path, depth, &e, shared);
	/* A page that grows at one end will go on. */
	bool runs = p->run >= PAGE_RUN || p->run <= -PAGE_RUN;
	struct page *bigger = new_part(k, &e, 0, page_edit_count(&e), runs ? size / 4 : 0);
	if (!bigger)
		return -ENOMEM;
	if (p->level)
		bigger->child0 = p->child0;
	set_link(k, path, depth, bigger);
	free_page(k, p);
	return 0;
}

static int insert_first(struct keydir *k, const struct page_item *item)
{
	struct slice prefix = page_common(item->key, item->key);
	struct page *p =
		new_page(k, 0, prefix, page_base_size(prefix.len) + page_item_size(item, prefix.len));

	if (!p)
		return -ENOMEM;
	page_append(p, item);
	k->root = p;
	return 0;
}

/* ---- keeping memory dense ---- */

/* The way to a page that is in the tree, by a key that leads through it. */
static void find_page(struct keydir *k, const struct page *page, struct keydir_path *ret)
{
	const struct page *p = page;
	char tmp[PAGE_INLINE_KEY];

	while (p->count == 0)
		p = p->child0;
	keydir_descend(k, page_item(p, 0, tmp).key, ret);
	ret->depth = 0;
	while (ret->step[ret->depth].page != page)
		ret->depth++;
}

/* Empties a slab that is mostly free. At most one each time, so that no single call takes long. */
static void tidy_memory(struct keydir *k)
{
	struct keydir_slab *slab = k->mem.thin ? keydir_mem_thin(&k->mem) : NULL;

	for (bool last = !slab; !last;) {
		struct keydir_path path;
		size_t size;
		struct page *p = keydir_mem_next(slab, &size);
		find_page(k, p, &path);
		set_link(k, &path, path.depth, keydir_mem_move(&k->mem, p, size, &last));
	}
}

int keydir_insert(struct keydir *k, struct keydir_path *path, const struct page_item *item, bool replace)
{
	int r = k->root ? insert_at(k, path, path->depth - 1, item, replace) : insert_first(k, item);

	if (r < 0)
		return r;
	k->change++;
	tidy_memory(k);
	return 0;
}

/* ---- deletion ---- */

static void tend_page(struct keydir *k, struct keydir_path *path, unsigned depth);

/* Takes child i and the separator beside it out of an inner page that has more than one. */
static struct page_long *unlink_child(struct page *p, unsigned i)
{
	char tmp[PAGE_INLINE_KEY];
	unsigned sep = i ? i - 1 : 0;
	struct page_long *out = page_item(p, sep, tmp).out;

	if (i == 0)
		p->child0 = page_child(p, 1);
	page_remove(p, sep);
	return out;
}

/* The page at this depth is empty. */
static void drop_page(struct keydir *k, struct keydir_path *path, unsigned depth)
{
	free_page(k, path->step[depth].page);
	if (depth == 0) {
		k->root = NULL;
		return;
	}
	struct page *parent = path->step[depth - 1].page;
	if (parent->count == 0) {
		drop_page(k, path, depth - 1);
		return;
	}
	free_long(k, unlink_child(parent, path->step[depth - 1].pos));
	tend_page(k, path, depth - 1);
}

/* Left and right as one page, in an inner page with the separator between them; NULL: too large or no memory.
 */
static struct page *new_merged(
	struct keydir *k, const struct page *left, const struct page *right, const struct page_item *sep)
{
	char tmp[PAGE_INLINE_KEY], tmp2[PAGE_INLINE_KEY];

	if (page_used(left) + page_used(right) > MERGE_UP_TO)
		return NULL;
	struct page_item middle = *sep;
	if (left->level)
		middle.value = (uint64_t)(uintptr_t)right->child0;
	/* An inner page may have no key at all; then the separator is the first or last. */
	struct slice first = left->count ? page_item(left, 0, tmp).key : middle.key;
	struct slice last = right->count ? page_item(right, right->count - 1u, tmp2).key : middle.key;
	struct slice prefix = page_common(first, last);
	unsigned size = page_base_size(prefix.len) + (left->level ? page_item_size(&middle, prefix.len) : 0) +
			page_range_size(left, 0, left->count, prefix.len) +
			page_range_size(right, 0, right->count, prefix.len);
	if (size > MERGE_UP_TO)
		return NULL;
	struct page *p = new_page(k, left->level, prefix, size);
	if (!p)
		return NULL;
	if (left->level)
		p->child0 = left->child0;
	page_append_range(p, left, 0, left->count);
	if (left->level)
		page_append(p, &middle);
	page_append_range(p, right, 0, right->count);
	return p;
}

/* Joins child i of the page at this depth with the one after it. */
static bool merge_children(struct keydir *k, struct keydir_path *path, unsigned depth, unsigned i)
{
	struct page *parent = path->step[depth].page;
	struct page *left = page_child(parent, i), *right = page_child(parent, i + 1);
	char tmp[PAGE_INLINE_KEY];
	struct page_item sep = page_item(parent, i, tmp);
	struct page *merged = new_merged(k, left, right, &sep);

	if (!merged)
		return false;
	page_remove(parent, i);
	if (left->level == 0)
		free_long(k, sep.out); /* else it moved into the merged page */
	page_set_child(parent, i, merged);
	free_page(k, left);
	free_page(k, right);
	return true;
}

static bool merge_page(struct keydir *k, struct keydir_path *path, unsigned depth)
{
	if (depth == 0 || page_used(path->step[depth].page) >= MERGE_BELOW)
		return false;
	const struct keydir_step *up = &path->step[depth - 1];
	if (up->pos < up->page->count && merge_children(k, path, depth - 1, up->pos))
		return true;
	return up->pos > 0 && merge_children(k, path, depth - 1, up->pos - 1);
}

static void shrink_page(struct keydir *k, struct keydir_path *path, unsigned depth)
{
	struct page *p = path->step[depth].page, *smaller;
	unsigned used = page_used(p);
	char tmp[PAGE_INLINE_KEY];

	if (p->size - used <= p->size / 4u || p->size < 128)
		return;
	/* Its own prefix: the copy is then never larger. */
	struct slice prefix = p->prefix ? slice(memcpy(tmp, p + 1, p->prefix), p->prefix) : slice(NULL, 0);
	smaller = new_page(k, p->level, prefix, used);
	if (!smaller)
		return;
	if (p->level)
		smaller->child0 = p->child0;
	page_append_range(smaller, p, 0, p->count);
	set_link(k, path, depth, smaller);
	free_page(k, p);
}

/* After something was taken out of the page at this depth, which is not empty. */
static void tend_page(struct keydir *k, struct keydir_path *path, unsigned depth)
{
	struct page *p = path->step[depth].page;

	if (depth == 0 && p->level && p->count == 0) {
		while (k->root->level && k->root->count == 0) {
			p = k->root;
			k->root = p->child0;
			free_page(k, p);
		}
		return;
	}
	if (merge_page(k, path, depth))
		tend_page(k, path, depth - 1);
	else
		shrink_page(k, path, depth);
}

void keydir_remove(struct keydir *k, struct keydir_path *path)
{
	struct keydir_step *leaf = keydir_leaf(path);
	char tmp[PAGE_INLINE_KEY];
	struct page_long *out = page_item(leaf->page, leaf->pos, tmp).out;

	page_remove(leaf->page, leaf->pos);
	free_long(k, out);
	k->change++;
	if (leaf->page->count)
		tend_page(k, path, path->depth - 1);
	else
		drop_page(k, path, path->depth - 1);
	tidy_memory(k);
}
