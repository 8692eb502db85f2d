/* SPDX-License-Identifier: MIT */
#include "store/keydir_page.h"

#include <assert.h>
#include "store/keydir.h"
#include "store/keydir_cell.h"

/* ---- search ---- */

#define FEW 16

/* How many of FEW heads are below h. In vectors by hand: not every compiler does it at -O2. */
static inline unsigned count_below(const uint32_t *heads, uint32_t h)
{
	uint32_t __attribute__((vector_size(16))) v, all = { h, h, h, h };
	int32_t __attribute__((vector_size(16))) sum = { 0 };

	for (unsigned i = 0; i < FEW; i += 4) {
		memcpy(&v, heads + i, sizeof(v));
		sum += v < all; /* -1 where it holds */
	}
	return (unsigned)-(sum[0] + sum[1] + sum[2] + sum[3]);
}

/* The first of n heads that is not below h: halving down to a few, then counting; no branch depends on the
 * data. */
static inline unsigned lower_bound(const uint32_t *heads, unsigned n, uint32_t h)
{
	const uint32_t *base = heads;
	unsigned count = 0;

	while (n > FEW) {
		unsigned half = n / 2;
		base += half &
			-(unsigned)(base[half - 1] < h); /* as an expression: compilers make a branch of ?: */
		n -= half;
	}
	/* Those before base are all below h, so the count may begin among them. */
	if (base - heads >= (ptrdiff_t)(FEW - n)) {
		base -= FEW - n;
		return (unsigned)(base - heads) + count_below(base, h);
	}
	for (unsigned i = 0; i < n; i++)
		count += base[i] < h;
	return (unsigned)(base - heads) + count;
}

/*
 * Order of a key whose head equals that of key i. When one of them ends within the head, the zeros after its
 * end equal bytes of the other, so the shorter one is the smaller; comparing tails of no length and then
 * lengths says that.
 */
static int compare_rest(const struct page *p, unsigned i, struct slice rest)
{
	struct cell c = cell_read(p, i);
	uint32_t a = cell_tail_len((uint32_t)rest.len), b = cell_tail_len(c.len);
	uint32_t n = a < b ? a : b;
	int order = n ? memcmp(rest.ptr + 4, c.tail, n) : 0;

	return order ? order : (rest.len > c.len) - (rest.len < c.len);
}

bool page_find(const struct page *p, struct slice key, unsigned *ret_pos)
{
	size_t n = key.len < p->prefix ? key.len : p->prefix;
	int order = n ? memcmp(key.ptr, page_prefix(p), n) : 0;

	if (order || n < p->prefix) {
		*ret_pos = order > 0 ? p->count : 0;
		return false;
	}
	struct slice rest = key_rest(key, n);
	uint32_t h = key_head(rest);
	const uint32_t *heads = page_heads(p);
	unsigned lo = lower_bound(heads, p->count, h), hi = lo;

	if (lo < p->count && heads[lo] == h) {
		hi = lo + 1;
		if (hi < p->count && heads[hi] == h)
			hi = h == UINT32_MAX ? p->count : lo + lower_bound(heads + lo, p->count - lo, h + 1);
	}
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		order = compare_rest(p, mid, rest);
		if (order == 0) {
			*ret_pos = mid;
			return true;
		}
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_pos = lo;
	return false;
}

bool page_is(const struct page *p, unsigned i, struct slice key)
{
	return compare_rest(p, i, key_rest(key, p->prefix)) == 0;
}

bool page_guess(const struct page *p, struct slice key, uint16_t *ret_pos)
{
	if (!slice_has_prefix(key, slice(page_prefix(p), p->prefix)))
		return false;
	uint32_t h = key_head(key_rest(key, p->prefix));
	unsigned pos = lower_bound(page_heads(p), p->count, h);

	*ret_pos = (uint16_t)pos;
	return pos < p->count && page_heads(p)[pos] == h;
}

const uint16_t *page_slot(const struct page *p, unsigned i)
{
	return page_slots(p) + i;
}

const void *page_cell(const struct page *p, unsigned i)
{
	return cell_at(p, page_slots(p)[i]);
}

uint64_t page_value(const struct page *p, unsigned i, int64_t *ret_expire)
{
	struct cell c = cell_read(p, i);

	*ret_expire = c.expires ? (int64_t)get_le64(c.value + 8) : KEYDIR_NO_EXPIRY;
	return get_le64(c.value);
}

void page_set_value(struct page *p, unsigned i, uint64_t value)
{
	put_le64((uint8_t *)(uintptr_t)cell_read(p, i).value, value);
}

struct page *page_child(const struct page *p, unsigned i)
{
	return i ? (struct page *)(uintptr_t)get_le64(cell_read(p, i - 1).value) : p->child0;
}

void page_set_child(struct page *p, unsigned i, struct page *child)
{
	if (i == 0)
		p->child0 = child;
	else
		page_set_value(p, i - 1, (uint64_t)(uintptr_t)child);
}

struct page_item page_item(const struct page *p, unsigned i, char *tmp)
{
	struct cell c = cell_read(p, i);
	struct page_item item = { .out = c.out, .value = get_le64(c.value), .expire = KEYDIR_NO_EXPIRY };

	if (c.expires)
		item.expire = (int64_t)get_le64(c.value + 8);
	if (c.out) {
		item.key = slice(c.out->bytes, c.out->len);
		return item;
	}
	uint32_t head = htobe32(page_heads(p)[i]);
	memcpy(tmp, page_prefix(p), p->prefix);
	memcpy(tmp + p->prefix, &head, c.len < 4 ? c.len : 4);
	if (c.len > 4)
		memcpy(tmp + p->prefix + 4, c.tail, c.len - 4);
	item.key = slice(tmp, p->prefix + c.len);
	return item;
}

/* ---- change ---- */

void page_init(struct page *p, size_t size, unsigned level, struct slice prefix)
{
	unsigned base = page_base_size(prefix.len);

	assert(prefix.len <= PAGE_MAX_PREFIX && size <= UINT16_MAX);
	memset(p, 0, base);
	p->size = (uint16_t)size;
	p->level = (uint8_t)level;
	p->prefix = (uint8_t)prefix.len;
	p->heads = (uint16_t)base;
	if (level == 0)
		p->min_expire = KEYDIR_NO_EXPIRY;
	if (prefix.len)
		memcpy(p + 1, prefix.ptr, prefix.len);
}

static void write_cell(uint8_t *c, const struct page_item *item, size_t prefix)
{
	size_t len = item->key.len - prefix;
	bool expires = item->expire != KEYDIR_NO_EXPIRY;
	uint8_t tag = expires ? TAG_EXPIRY : 0;

	if (item->out) {
		*c++ = tag | TAG_OUT;
		memcpy(c, &item->out, sizeof(item->out));
		c += sizeof(item->out);
	} else {
		*c++ = (uint8_t)(tag | (len < TAG_LEN ? len : TAG_LEN));
		if (len >= TAG_LEN)
			*c++ = (uint8_t)(len - TAG_LEN);
		if (len > 4)
			memcpy(c, item->key.ptr + prefix + 4, len - 4);
		c += cell_tail_len((uint32_t)len);
	}
	put_le64(c, item->value);
	if (expires)
		put_le64(c + 8, (uint64_t)item->expire);
}

/* Opens a gap in heads and slots. The slots move up by the new head. */
static void open_gap(struct page *p, unsigned pos, uint32_t head, unsigned slot)
{
	uint32_t *heads = page_heads(p);
	uint16_t *slots = page_slots(p);
	unsigned n = p->count;

	memmove(slots + 2 + pos + 1, slots + pos, (n - pos) * sizeof(*slots));
	memmove(slots + 2, slots, pos * sizeof(*slots));
	memmove(heads + pos + 1, heads + pos, (n - pos) * sizeof(*heads));
	heads[pos] = head;
	p->count++;
	page_slots(p)[pos] = (uint16_t)slot;
}

static void close_gap(struct page *p, unsigned pos)
{
	uint32_t *heads = page_heads(p);
	uint16_t *slots = page_slots(p);
	unsigned n = p->count;

	memmove(heads + pos, heads + pos + 1, (n - pos - 1) * sizeof(*heads));
	memmove(slots - 2, slots, pos * sizeof(*slots));
	memmove(slots - 2 + pos, slots + pos + 1, (n - pos - 1) * sizeof(*slots));
	p->count--;
}

bool page_place(struct page *p, unsigned pos, const struct page_item *item)
{
	unsigned size = page_item_size(item, p->prefix);

	if (size > page_room(p))
		return false;
	p->cells = (uint16_t)(p->cells + size - PAGE_PER_KEY);
	write_cell(cell_at(p, p->cells), item, p->prefix);
	open_gap(p, pos, key_head(key_rest(item->key, p->prefix)), p->cells);
	if (p->level == 0 && item->expire < p->min_expire)
		p->min_expire = item->expire;
	return true;
}

void page_fill(struct page *p, const struct page_item *items, unsigned n)
{
	p->count = (uint16_t)n;
	uint32_t *heads = page_heads(p);
	uint16_t *slots = page_slots(p);

	for (unsigned i = 0; i < n; i++) {
		p->cells = (uint16_t)(p->cells + page_item_size(&items[i], p->prefix) - PAGE_PER_KEY);
		write_cell(cell_at(p, p->cells), &items[i], p->prefix);
		heads[i] = key_head(key_rest(items[i].key, p->prefix));
		slots[i] = p->cells;
		if (p->level == 0 && items[i].expire < p->min_expire)
			p->min_expire = items[i].expire;
	}
	p->last = (uint16_t)(n ? n - 1 : 0);
	assert(p->heads + PAGE_PER_KEY * n + p->cells <= p->size);
}

bool page_insert(struct page *p, unsigned pos, const struct page_item *item)
{
	if (!slice_has_prefix(item->key, slice(page_prefix(p), p->prefix)) || !page_place(p, pos, item))
		return false;
	p->run = page_next_run(p, pos);
	p->last = (uint16_t)pos;
	return true;
}

static void find_min_expire(struct page *p)
{
	int64_t min = KEYDIR_NO_EXPIRY;

	for (unsigned i = 0; i < p->count; i++) {
		int64_t expire;
		page_value(p, i, &expire);
		if (expire < min)
			min = expire;
	}
	p->min_expire = min;
}

/* Called when a key with this expiry is gone. */
static void forget_expire(struct page *p, int64_t expire)
{
	if (p->level == 0 && expire != KEYDIR_NO_EXPIRY && expire == p->min_expire)
		find_min_expire(p);
}

/* The bytes of a hole; those at the very front of the cells are room again. */
static void add_hole(struct page *p, unsigned slot, unsigned size)
{
	if (slot == p->cells)
		p->cells = (uint16_t)(p->cells - size);
	else
		p->dead = (uint16_t)(p->dead + size);
}

bool page_update(struct page *p, unsigned i, uint64_t value, int64_t expire)
{
	struct cell c = cell_read(p, i);
	uint8_t *cell = cell_at(p, page_slots(p)[i]), *at = (uint8_t *)(uintptr_t)c.value;
	bool expires = expire != KEYDIR_NO_EXPIRY;
	int64_t old = c.expires ? (int64_t)get_le64(at + 8) : KEYDIR_NO_EXPIRY;

	if (expires && !c.expires) {
		unsigned key = (unsigned)(at - cell), size = key + 16;
		if (size > page_room(p))
			return false;
		p->cells = (uint16_t)(p->cells + size);
		uint8_t *to = cell_at(p, p->cells);
		memcpy(to, cell, key);
		*to |= TAG_EXPIRY;
		p->dead = (uint16_t)(p->dead + key + 8);
		page_slots(p)[i] = p->cells;
		at = to + key;
	} else if (!expires && c.expires) {
		*cell &= (uint8_t)~TAG_EXPIRY;
		p->dead += 8;
	}
	put_le64(at, value);
	if (expires)
		put_le64(at + 8, (uint64_t)expire);
	if (expire < p->min_expire)
		p->min_expire = expire;
	else if (expire != old)
		forget_expire(p, old);
	return true;
}

void page_remove(struct page *p, unsigned i)
{
	unsigned slot = page_slots(p)[i], size = cell_size(p, i);
	int64_t expire;

	page_value(p, i, &expire);
	close_gap(p, i);
	add_hole(p, slot, size);
	forget_expire(p, expire);
	p->run = 0;
}
