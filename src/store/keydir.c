/* SPDX-License-Identifier: MIT */
#include "store/keydir.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "store/keydir_tree.h"

struct keydir *keydir_new(void)
{
	return calloc(1, sizeof(struct keydir));
}

void keydir_free_pages(struct keydir *k, struct page *p)
{
	/* First, since finding a child looks at the key beside it. */
	for (unsigned i = 0; p->level && i <= p->count; i++)
		keydir_free_pages(k, page_child(p, i));
	for (unsigned i = 0; i < p->count; i++) {
		char tmp[PAGE_INLINE_KEY];
		struct page_long *out = page_item(p, i, tmp).out;
		if (out)
			keydir_mem_free_long(&k->mem, out, sizeof(*out) + out->len);
	}
	keydir_mem_free(&k->mem, p, p->size);
}

struct keydir *keydir_free(struct keydir *k)
{
	if (!k)
		return NULL;
	if (k->root)
		keydir_free_pages(k, k->root);
	assert(keydir_mem_empty(&k->mem));
	free(k);
	return NULL;
}

uint64_t keydir_count(const struct keydir *k)
{
	return k->count;
}

uint64_t keydir_expiring(const struct keydir *k)
{
	return k->expiring;
}

size_t keydir_bytes(const struct keydir *k)
{
	return sizeof(*k) + k->mem.bytes;
}

/* A separator is the smallest key of the child behind it, so an equal one leads there too. */
static unsigned find_child(const struct page *p, struct slice key)
{
	unsigned pos;
	bool found = page_find(p, key, &pos);

	return pos + found;
}

bool keydir_descend(const struct keydir *k, struct slice key, struct keydir_path *ret)
{
	struct page *p = k->root;

	ret->depth = 0;
	for (;;) {
		assert(ret->depth < KEYDIR_MAX_DEPTH);
		struct keydir_step *step = &ret->step[ret->depth++];
		step->page = p;
		if (p->level == 0)
			return page_find(p, key, &step->pos);
		step->pos = find_child(p, key);
		p = page_child(p, step->pos);
		keydir_prefetch_page(p);
	}
}

int keydir_get(const struct keydir *k, struct slice key, struct keydir_entry *ret)
{
	const struct page *p = k->root;
	unsigned pos;

	if (!p)
		return KEYDIR_ABSENT;
	while (p->level) {
		p = page_child(p, find_child(p, key));
		keydir_prefetch_page(p);
	}
	if (!page_find(p, key, &pos))
		return KEYDIR_ABSENT;
	ret->where = page_value(p, pos, &ret->expire_ms);
	return 0;
}

static int replace_entry(
	struct keydir *k, struct keydir_path *path, struct keydir_entry entry, struct keydir_entry *ret_old)
{
	struct keydir_step *leaf = keydir_leaf(path);
	char tmp[PAGE_INLINE_KEY];
	struct page_item item = page_item(leaf->page, leaf->pos, tmp);
	struct keydir_entry old = { item.value, item.expire };

	if (!page_update(leaf->page, leaf->pos, entry.where, entry.expire_ms)) {
		item.value = entry.where;
		item.expire = entry.expire_ms;
		int r = keydir_insert(k, path, &item, true);
		if (r < 0)
			return r;
	}
	k->expiring += entry.expire_ms != KEYDIR_NO_EXPIRY;
	k->expiring -= old.expire_ms != KEYDIR_NO_EXPIRY;
	*ret_old = old;
	return 0;
}

static int add_entry(struct keydir *k, struct keydir_path *path, struct slice key, struct keydir_entry entry)
{
	struct page_item item = { .key = key, .value = entry.where, .expire = entry.expire_ms };

	if (key.len > PAGE_INLINE_KEY) {
		item.out = keydir_mem_alloc_long(&k->mem, sizeof(*item.out) + key.len);
		if (!item.out)
			return -ENOMEM;
		item.out->len = (uint32_t)key.len;
		memcpy(item.out->bytes, key.ptr, key.len);
	}
	int r = keydir_insert(k, path, &item, false);
	if (r < 0) {
		if (item.out)
			keydir_mem_free_long(&k->mem, item.out, sizeof(*item.out) + key.len);
		return r;
	}
	k->count++;
	k->expiring += entry.expire_ms != KEYDIR_NO_EXPIRY;
	return KEYDIR_ABSENT;
}

int keydir_put(struct keydir *k, struct slice key, struct keydir_entry entry, struct keydir_entry *ret_old)
{
	struct keydir_path path = { .depth = 0 };

	assert(key.len <= KEYDIR_MAX_KEY);
	if (k->root && keydir_descend(k, key, &path))
		return replace_entry(k, &path, entry, ret_old);
	return add_entry(k, &path, key, entry);
}

int keydir_delete(struct keydir *k, struct slice key, struct keydir_entry *ret_old)
{
	struct keydir_path path;

	if (!k->root || !keydir_descend(k, key, &path))
		return KEYDIR_ABSENT;
	struct keydir_step *leaf = keydir_leaf(&path);
	ret_old->where = page_value(leaf->page, leaf->pos, &ret_old->expire_ms);
	k->count--;
	k->expiring -= ret_old->expire_ms != KEYDIR_NO_EXPIRY;
	keydir_remove(k, &path);
	return 0;
}

/* ---- several at once: each pass asks for what the next one reads, for all probes ---- */

/* One level down; true while there are inner pages ahead. */
static bool step_down(struct keydir_probe *probes, size_t n)
{
	bool more = false;

	for (size_t i = 0; i < n; i++) {
		struct page *p = probes[i].page;
		if (!p || p->level == 0)
			continue;
		p = page_child(p, find_child(p, probes[i].key));
		keydir_prefetch_page(p);
		probes[i].page = p;
		more = true;
	}
	return more;
}

/* What was guessed is looked at. */
static void settle(struct keydir_probe *probe)
{
	const struct page *p = probe->page;
	unsigned pos = probe->pos;

	probe->found = p && (page_is(p, pos, probe->key) || page_find(p, probe->key, &pos));
	if (!probe->found)
		return;
	probe->pos = (uint16_t)pos;
	probe->entry.where = page_value(p, pos, &probe->entry.expire_ms);
}

#define FIND_GROUP 64

static void find_group(struct keydir_probe *probes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		probes[i].page = probes[i].k ? probes[i].k->root : NULL;
		probes[i].entry = (struct keydir_entry){ 0 };
	}
	while (step_down(probes, n))
		;
	for (size_t i = 0; i < n; i++) {
		const struct page *p = probes[i].page;
		if (p && page_guess(p, probes[i].key, &probes[i].pos))
			__builtin_prefetch(page_slot(p, probes[i].pos));
		else
			probes[i].page = NULL;
	}
	for (size_t i = 0; i < n; i++)
		if (probes[i].page) {
			const char *cell = page_cell(probes[i].page, probes[i].pos);
			__builtin_prefetch(cell);
			__builtin_prefetch(cell + 24);
		}
	for (size_t i = 0; i < n; i++)
		settle(&probes[i]);
}

void keydir_find(struct keydir_probe *probes, size_t n)
{
	for (size_t i = 0; i < n; i += FIND_GROUP)
		find_group(probes + i, n - i < FIND_GROUP ? n - i : FIND_GROUP);
}

void keydir_move(const struct keydir_probe *probe, uint64_t where)
{
	page_set_value(probe->page, probe->pos, where);
}
