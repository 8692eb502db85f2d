/* SPDX-License-Identifier: MIT
 *
 * Making pages of parts of other pages.
 */
#include <assert.h>
#include "store/keydir.h"
#include "store/keydir_cell.h"

/* ---- sizes ---- */

unsigned page_base_size(size_t prefix)
{
	return (unsigned)(sizeof(struct page) + ((prefix + 3) & ~(size_t)3));
}

unsigned page_item_size(const struct page_item *item, size_t prefix)
{
	return PAGE_PER_KEY +
	       cell_size_for(item->key.len - prefix, item->out, item->expire != KEYDIR_NO_EXPIRY);
}

unsigned page_used(const struct page *p)
{
	return p->heads + PAGE_PER_KEY * p->count + p->cells - p->dead;
}

unsigned page_range_size(const struct page *p, unsigned from, unsigned to, size_t prefix)
{
	unsigned sum = 0;

	if (from == 0 && to == p->count && prefix == p->prefix)
		return page_used(p) - p->heads;
	for (unsigned i = from; i < to; i++) {
		struct cell c = cell_read(p, i);
		sum += PAGE_PER_KEY + cell_size_for(p->prefix + c.len - prefix, c.out, c.expires);
	}
	return sum;
}

struct slice page_common(struct slice a, struct slice b)
{
	size_t n = 0, max = a.len < b.len ? a.len : b.len;

	if (max > PAGE_MAX_PREFIX)
		max = PAGE_MAX_PREFIX;
	while (n < max && a.ptr[n] == b.ptr[n])
		n++;
	return slice(a.ptr, n);
}

/* ---- copying ---- */

void page_append(struct page *p, const struct page_item *item)
{
	bool fits = page_place(p, p->count, item);

	assert(fits);
	(void)fits;
}

/* Same prefix: heads and cells go over as they are. Slots count from the end, so they stay right, too. */
static void copy_whole(struct page *p, const struct page *from)
{
	p->count = from->count;
	p->cells = from->cells;
	p->dead = from->dead;
	if (p->level == 0)
		p->min_expire = from->min_expire;
	memcpy(page_heads(p), page_heads(from), from->count * (size_t)PAGE_PER_KEY);
	memcpy(cell_at(p, p->cells), cell_at(from, from->cells), from->cells);
}

static void copy_range(struct page *p, const struct page *from, unsigned begin, unsigned end)
{
	uint32_t *heads = page_heads(p);
	unsigned n = end - begin;

	memmove(heads + p->count + n, heads + p->count, p->count * sizeof(uint16_t));
	memcpy(heads + p->count, page_heads(from) + begin, n * sizeof(*heads));
	p->count = (uint16_t)(p->count + n);
	uint16_t *slots = page_slots(p) + p->count - n;
	for (unsigned i = begin; i < end; i++) {
		unsigned size = cell_size(from, i);
		int64_t expire = KEYDIR_NO_EXPIRY;
		p->cells = (uint16_t)(p->cells + size);
		memcpy(cell_at(p, p->cells), page_cell(from, i), size);
		*slots++ = p->cells;
		if (p->level == 0)
			page_value(from, i, &expire);
		if (expire < KEYDIR_NO_EXPIRY && expire < p->min_expire)
			p->min_expire = expire;
	}
}

void page_append_range(struct page *p, const struct page *from, unsigned begin, unsigned end)
{
	if (begin >= end)
		return;
	if (p->prefix == from->prefix) {
		if (p->count == 0 && begin == 0 && end == from->count && from->dead == 0)
			copy_whole(p, from);
		else
			copy_range(p, from, begin, end);
		return;
	}
	for (unsigned i = begin; i < end; i++) {
		char tmp[PAGE_INLINE_KEY];
		struct page_item item = page_item(from, i, tmp);
		page_append(p, &item);
	}
}

/* ---- edits ---- */

unsigned page_edit_count(const struct page_edit *e)
{
	return e->page->count + !e->replace;
}

struct page_item page_edit_item(const struct page_edit *e, unsigned i, char *tmp)
{
	if (i == e->pos)
		return e->item;
	return page_item(e->page, i < e->pos || e->replace ? i : i - 1, tmp);
}

static unsigned min_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned max_of(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

unsigned page_edit_size(const struct page_edit *e, unsigned from, unsigned to, size_t prefix)
{
	unsigned back = !e->replace; /* an item after pos is that much further front in the page */
	unsigned size;

	if (back && from == 0 && to == e->page->count + 1u)
		return page_range_size(e->page, 0, e->page->count, prefix) + page_item_size(&e->item, prefix);
	size = page_range_size(e->page, from, min_of(to, e->pos), prefix);

	if (from <= e->pos && e->pos < to)
		size += page_item_size(&e->item, prefix);
	if (to > e->pos + 1)
		size += page_range_size(e->page, max_of(from, e->pos + 1) - back, to - back, prefix);
	return size;
}

void page_edit_append(struct page *p, const struct page_edit *e, unsigned from, unsigned to)
{
	unsigned back = !e->replace;

	/* The common case: as it is but larger. */
	if (back && from == 0 && to == e->page->count + 1u && p->prefix == e->page->prefix &&
		e->page->dead == 0) {
		copy_whole(p, e->page);
		p->run = page_next_run(e->page, e->pos);
		p->last = (uint16_t)e->pos;
		bool fits = page_place(p, e->pos, &e->item);
		assert(fits);
		(void)fits;
		return;
	}
	page_append_range(p, e->page, from, min_of(to, e->pos));
	if (from <= e->pos && e->pos < to) {
		p->run = e->replace ? 0 : page_next_run(e->page, e->pos);
		p->last = p->count;
		page_append(p, &e->item);
	}
	if (to > e->pos + 1)
		page_append_range(p, e->page, max_of(from, e->pos + 1) - back, to - back);
}

/* ---- check ---- */

const char *page_check(const struct page *p)
{
	unsigned cells = 0;

	if (p->heads != page_base_size(p->prefix) || p->dead > p->cells)
		return "header";
	if (p->heads + PAGE_PER_KEY * p->count + p->cells > p->size)
		return "page overflows";
	for (unsigned i = 0; i < p->count; i++) {
		char tmp[PAGE_INLINE_KEY], before[PAGE_INLINE_KEY];
		struct page_item item = page_item(p, i, tmp);
		if (page_slots(p)[i] > p->cells || cell_size(p, i) > page_slots(p)[i])
			return "cell outside";
		cells += cell_size(p, i);
		if (item.key.len > KEYDIR_MAX_KEY || !item.out != (item.key.len <= PAGE_INLINE_KEY))
			return "key length";
		if (!slice_has_prefix(item.key, slice(page_prefix(p), p->prefix)))
			return "prefix of a long key";
		if (page_heads(p)[i] != key_head(key_rest(item.key, p->prefix)))
			return "head";
		if (p->level == 0 && item.expire < p->min_expire)
			return "bound of expiry";
		if (i && slice_cmp(page_item(p, i - 1, before).key, item.key) >= 0)
			return "order";
	}
	return cells + p->dead == p->cells ? NULL : "holes";
}
