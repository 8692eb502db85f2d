/* SPDX-License-Identifier: MIT
 *
 * The inside of a page, for keydir_page.c and keydir_edit.c only; keydir_page.h has the layout.
 */
#ifndef STORE_KEYDIR_CELL_H
#define STORE_KEYDIR_CELL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/bytes.h"
#include "store/keydir_page.h"

#define TAG_EXPIRY 0x80u
#define TAG_OUT 0x40u
#define TAG_LEN 0x3fu

struct cell {
	const uint8_t *tail;  /* key after prefix and head */
	const uint8_t *value; /* eight bytes, then the expiry */
	struct page_long *out;
	uint32_t len; /* of the key after the prefix */
	bool expires;
};

static inline uint32_t *page_heads(const struct page *p)
{
	return (uint32_t *)(void *)((char *)(uintptr_t)p + p->heads);
}

static inline uint16_t *page_slots(const struct page *p)
{
	return (uint16_t *)(page_heads(p) + p->count);
}

static inline const uint8_t *page_prefix(const struct page *p)
{
	return (const uint8_t *)(p + 1);
}

static inline uint8_t *cell_at(const struct page *p, unsigned slot)
{
	return (uint8_t *)(uintptr_t)p + p->size - slot;
}

static inline uint32_t cell_tail_len(uint32_t len)
{
	return len > 4 ? len - 4 : 0;
}

/* The key after its first n bytes; the empty key may have no address. */
static inline struct slice key_rest(struct slice key, size_t n)
{
	return n ? slice_skip(key, n) : key;
}

static inline uint32_t key_head(struct slice rest)
{
	uint32_t v = 0;

	if (rest.len >= 4) {
		memcpy(&v, rest.ptr, 4);
		return be32toh(v);
	}
	for (size_t i = 0; i < rest.len; i++)
		v |= (uint32_t)(uint8_t)rest.ptr[i] << (24 - 8 * i);
	return v;
}

static inline struct cell cell_read(const struct page *p, unsigned i)
{
	const uint8_t *c = cell_at(p, page_slots(p)[i]);
	uint8_t tag = *c++;
	struct cell cell = { .len = tag & TAG_LEN, .expires = tag & TAG_EXPIRY };

	if (tag & TAG_OUT) {
		memcpy(&cell.out, c, sizeof(cell.out));
		cell.len = cell.out->len - p->prefix;
		cell.tail = cell.out->bytes + p->prefix + 4;
		cell.value = c + sizeof(cell.out);
		return cell;
	}
	if (cell.len == TAG_LEN)
		cell.len += *c++;
	cell.tail = c;
	cell.value = c + cell_tail_len(cell.len);
	return cell;
}

static inline unsigned cell_size_for(size_t len, bool out, bool expires)
{
	unsigned key = out ? sizeof(struct page_long *) : cell_tail_len((uint32_t)len) + (len >= TAG_LEN);

	return 1 + key + 8 + (expires ? 8 : 0);
}

static inline unsigned cell_size(const struct page *p, unsigned i)
{
	struct cell c = cell_read(p, i);

	return (unsigned)(c.value - cell_at(p, page_slots(p)[i])) + 8 + (c.expires ? 8 : 0);
}

static inline unsigned page_room(const struct page *p)
{
	return p->size - p->heads - PAGE_PER_KEY * p->count - p->cells;
}

/* What an insertion at pos makes of the page's run. */
static inline int8_t page_next_run(const struct page *p, unsigned pos)
{
	if (pos == p->last + 1u)
		return (int8_t)(p->run < 0 ? 1 : p->run < PAGE_RUN ? p->run + 1 : PAGE_RUN);
	if (pos == p->last)
		return (int8_t)(p->run > 0 ? -1 : p->run > -PAGE_RUN ? p->run - 1 : -PAGE_RUN);
	return 0;
}

/* Puts an item with the page's prefix in before key pos. False: there is no room. */
bool page_place(struct page *p, unsigned pos, const struct page_item *item);

#endif
