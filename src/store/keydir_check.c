/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include "store/keydir_tree.h"

struct check {
	uint64_t count, expiring;
	size_t bytes; /* of pages and long keys */
	char *text;
	size_t size;
};

static int complain(struct check *c, const struct page *p, const char *what)
{
	if (c->size)
		snprintf(c->text, c->size, "keydir page %p, level %u, %u keys: %s", (const void *)p, p->level,
			p->count, what);
	return -EINVAL;
}

static int check_tree(
	struct check *c, const struct page *p, const struct page_item *low, const struct page_item *high);

static int check_keys(
	struct check *c, const struct page *p, const struct page_item *low, const struct page_item *high)
{
	char tmp[PAGE_INLINE_KEY];

	for (unsigned i = 0; i < p->count; i++) {
		struct page_item item = page_item(p, i, tmp);
		if (low && slice_cmp(item.key, low->key) < (p->level ? 1 : 0))
			return complain(c, p, "key below its separator");
		if (high && slice_cmp(item.key, high->key) >= 0)
			return complain(c, p, "key not below the next separator");
		if (item.out)
			c->bytes += sizeof(*item.out) + item.out->len;
		if (p->level == 0) {
			c->count++;
			c->expiring += item.expire != KEYDIR_NO_EXPIRY;
		}
	}
	return 0;
}

static int check_children(
	struct check *c, const struct page *p, const struct page_item *low, const struct page_item *high)
{
	char tmp[2][PAGE_INLINE_KEY];
	struct page_item sep[2];

	for (unsigned i = 0; i <= p->count; i++) {
		const struct page *child = page_child(p, i);
		const struct page_item *from = low, *to = high;
		if (i > 0) {
			sep[0] = page_item(p, i - 1, tmp[0]);
			from = &sep[0];
		}
		if (i < p->count) {
			sep[1] = page_item(p, i, tmp[1]);
			to = &sep[1];
		}
		if (child->level + 1 != p->level)
			return complain(c, p, "child of another level");
		int r = check_tree(c, child, from, to);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_tree(
	struct check *c, const struct page *p, const struct page_item *low, const struct page_item *high)
{
	const char *what = page_check(p);

	if (what)
		return complain(c, p, what);
	if (p->level == 0 && p->count == 0)
		return complain(c, p, "empty leaf");
	c->bytes += p->size;
	int r = check_keys(c, p, low, high);
	return r < 0 || p->level == 0 ? r : check_children(c, p, low, high);
}

int keydir_check(const struct keydir *k, char *text, size_t size)
{
	struct check c = { .text = text, .size = size };

	int r = k->root ? check_tree(&c, k->root, NULL, NULL) : 0;
	if (r < 0)
		return r;
	if (c.count == k->count && c.expiring == k->expiring && c.bytes <= k->mem.bytes &&
		(k->root || k->mem.bytes == 0))
		return 0;
	snprintf(text, size, "keydir counts: %llu keys for %llu, %llu expiring for %llu, %zu bytes for %zu",
		(unsigned long long)k->count, (unsigned long long)c.count, (unsigned long long)k->expiring,
		(unsigned long long)c.expiring, k->mem.bytes, c.bytes);
	return -EINVAL;
}
