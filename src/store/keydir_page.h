/* SPDX-License-Identifier: MIT
 *
 * One page of the key directory: a sorted array of keys, each with eight bytes (a locator in a leaf, a child
 *in an inner page) and, in a leaf, maybe an expiry. Inner pages have one child more than keys: page_child(p,
 *i) holds what is not below key i-1 and below key i. A page knows nothing of its neighbours.
 *
 *	header    struct page
 *	prefix    what all its keys begin with, up to 255 bytes, once; padded to 4
 *	heads     u32 per key: its next four bytes, big end first, zeros after its end
 *	slots     u16 per key: where its cell begins, counted back from the end of the page
 *	room
 *	cells     in any order, with holes
 *
 * Cell: tag byte (0x80: has an expiry, 0x40: key out of line, low six bits: length of the key after the
 *prefix, 63: a byte follows that is added); the key after prefix and head, or a pointer to the whole key;
 *eight bytes; the expiry.
 */
#ifndef STORE_KEYDIR_PAGE_H
#define STORE_KEYDIR_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/slice.h"

#define PAGE_MAX_PREFIX 255
#define PAGE_INLINE_KEY 300 /* longer keys live out of line, whole */
#define PAGE_PER_KEY 6      /* bytes of head and slot */
#define PAGE_RUN 4          /* so many insertions side by side are a run */

struct page {
	uint16_t size;  /* of the block */
	uint16_t count; /* keys */
	uint16_t cells; /* bytes from the first cell to the end */
	uint16_t dead;  /* of them, holes */
	uint16_t heads; /* offset */
	uint16_t last;  /* where the last key went in */
	uint8_t prefix; /* length */
	uint8_t level;  /* 0: leaf */
	int8_t run;     /* insertions in a row just above (or, negative, just below) the one before */
	uint8_t unused;
	union {
		int64_t min_expire;  /* leaf: no expiry is smaller; KEYDIR_NO_EXPIRY: there is none */
		struct page *child0; /* inner page */
	};
};

struct page_long {
	uint32_t len;
	uint8_t bytes[];
};

/* A key with what belongs to it, outside of any page. Borrows all it points to. */
struct page_item {
	struct slice key;
	struct page_long *out; /* key's home when it is out of line */
	uint64_t value;
	int64_t expire;
};

/* One change to a page: item goes in before key `pos`, or takes its place. The items after it are numbered as
 * if done. */
struct page_edit {
	const struct page *page;
	unsigned pos;
	bool replace;
	struct page_item item;
};

/* Finds the key; true: *ret_pos is where it is, false: where it belongs. */
bool page_find(const struct page *p, struct slice key, unsigned *ret_pos);
/* A key with the same head as this one, mostly the key itself; false: it is not here. Reads only prefix and
 * heads. */
bool page_guess(const struct page *p, struct slice key, uint16_t *ret_pos);
/* Whether the key that was guessed there is the one there. */
bool page_is(const struct page *p, unsigned i, struct slice key);
struct page *page_child(const struct page *p, unsigned i); /* 0 to count */
void page_set_child(struct page *p, unsigned i, struct page *child);

/* Key i; tmp (PAGE_INLINE_KEY bytes) is where its key is put together. */
struct page_item page_item(const struct page *p, unsigned i, char *tmp);
uint64_t page_value(const struct page *p, unsigned i, int64_t *ret_expire);
void page_set_value(struct page *p, unsigned i, uint64_t value);
/* Where the cell of key i is, for prefetching. */
const void *page_cell(const struct page *p, unsigned i);
const uint16_t *page_slot(const struct page *p, unsigned i);

/* Bytes it would need without holes. */
unsigned page_used(const struct page *p);
/* An empty page in a block of `size` bytes whose keys all begin with prefix. */
void page_init(struct page *p, size_t size, unsigned level, struct slice prefix);
/* True: done; false: there is no room as it is. */
bool page_insert(struct page *p, unsigned pos, const struct page_item *item);
/* Gives key i another value and expiry; false: there is no room for the expiry. */
bool page_update(struct page *p, unsigned i, uint64_t value, int64_t expire);
void page_remove(struct page *p, unsigned i);

/* The bytes both begin with, PAGE_MAX_PREFIX at most. */
struct slice page_common(struct slice a, struct slice b);
/* The bytes of a page with this prefix that is to hold nothing yet; of an item in it; of items [from, to). */
unsigned page_base_size(size_t prefix);
unsigned page_item_size(const struct page_item *item, size_t prefix);
unsigned page_range_size(const struct page *p, unsigned from, unsigned to, size_t prefix);
/* Appends items, which must fit. */
void page_append(struct page *p, const struct page_item *item);
void page_append_range(struct page *p, const struct page *from, unsigned begin, unsigned end);

/* Puts n items into a page that page_init has just made and that has room for them. */
void page_fill(struct page *p, const struct page_item *items, unsigned n);

/* The same through an edit. */
unsigned page_edit_count(const struct page_edit *e);
struct page_item page_edit_item(const struct page_edit *e, unsigned i, char *tmp);
unsigned page_edit_size(const struct page_edit *e, unsigned from, unsigned to, size_t prefix);
void page_edit_append(struct page *p, const struct page_edit *e, unsigned from, unsigned to);

/* Checks one page by itself; NULL or what is wrong. */
const char *page_check(const struct page *p);

#endif
