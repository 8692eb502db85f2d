/* SPDX-License-Identifier: MIT */
#include "store/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hash.h"

#define WAYS 4       /* index entries per bucket, half a cache line */
#define ENTRY_HEAD 16

/*
 * Index entry: 24 bits of tag above 40 bits of the entry's place, counted in 8 bytes from the beginning of time. A place further back than
 * the ring is long has been overwritten. 0 is empty (head starts above 0).
 */
#define PLACE_BITS 40
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

struct entry {
	uint64_t where;
	uint64_t len;
	char data[];
};

static char *map_memory(uint64_t bytes)
{
	/* Untouched pages cost nothing, so an idle daemon does not pay for its cache. */
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

int cache_init(struct cache *c, uint64_t size)
{
	*c = (struct cache){ 0 };
	size &= ~UINT64_C(4095);
	if (size < 8 * CACHE_MAX_VALUE)
		return 0;
	uint64_t buckets = 1;
	while (buckets * WAYS * 192 < size)
		buckets *= 2;
	c->ring = map_memory(size);
	c->index = (uint64_t *)(void *)map_memory(buckets * WAYS * sizeof(uint64_t));
	c->size = size;
	c->mask = buckets - 1;
	c->head = ENTRY_HEAD;
	if (c->ring && c->index)
		return 0;
	cache_free(c);
	return -ENOMEM;
}

void cache_free(struct cache *c)
{
	if (c->ring)
		munmap(c->ring, c->size);
	if (c->index)
		munmap(c->index, (c->mask + 1) * WAYS * sizeof(uint64_t));
	*c = (struct cache){ 0 };
}

void cache_clear(struct cache *c)
{
	if (c->index)
		memset(c->index, 0, (c->mask + 1) * WAYS * sizeof(uint64_t));
}

static uint64_t *find_bucket(const struct cache *c, uint64_t where, uint64_t *ret_tag)
{
	uint64_t h = hash_u64(where);

	*ret_tag = h >> PLACE_BITS << PLACE_BITS;
	return &c->index[(h & c->mask) * WAYS];
}

static struct entry *entry_at(const struct cache *c, uint64_t place)
{
	return (struct entry *)(void *)(c->ring + place % c->size);
}

/* The entry of an index word when its tag fits and the ring still holds it. */
static struct entry *follow(const struct cache *c, uint64_t word, uint64_t tag, uint64_t *ret_place)
{
	uint64_t now = c->head / 8, place = word & PLACE_MASK;

	if (word == 0 || ((word ^ tag) & ~PLACE_MASK))
		return NULL;
	/* The upper bits of the place are those of now, or one turn of 2^40 before. */
	place |= now & ~PLACE_MASK;
	if (place >= now)
		place -= UINT64_C(1) << PLACE_BITS;
	if (place >= now || (now - place) * 8 > c->size)
		return NULL;
	*ret_place = place * 8;
	return entry_at(c, place * 8);
}

bool cache_get(struct cache *c, uint64_t where, struct slice *ret, bool *ret_aging)
{
	uint64_t tag, place;

	if (!c->ring)
		return false;
	const uint64_t *bucket = find_bucket(c, where, &tag);
	for (int i = 0; i < WAYS; i++) {
		const struct entry *e = follow(c, bucket[i], tag, &place);
		if (!e || e->where != where)
			continue;
		*ret = slice(e->data, e->len);
		*ret_aging = c->head - place > c->size / 4 * 3;
		c->hits++;
		return true;
	}
	c->misses++;
	return false;
}

void cache_put(struct cache *c, uint64_t where, struct slice value)
{
	uint64_t need = (ENTRY_HEAD + value.len + 7) & ~UINT64_C(7), tag, place;

	if (!c->ring || value.len > CACHE_MAX_VALUE)
		return;
	/* An entry does not wrap round the end of the ring. */
	if (c->head % c->size + need > c->size)
		c->head += c->size - c->head % c->size;
	uint64_t *bucket = find_bucket(c, where, &tag), *way = &bucket[0];
	uint64_t oldest = UINT64_MAX;
	for (int i = 0; i < WAYS; i++) {
		const struct entry *e = follow(c, bucket[i], bucket[i], &place);
		if (!e || (e->where == where && ((bucket[i] ^ tag) & ~PLACE_MASK) == 0)) {
			way = &bucket[i];
			break;
		}
		if (place < oldest) {
			oldest = place;
			way = &bucket[i];
		}
	}
	struct entry *e = entry_at(c, c->head);
	e->where = where;
	e->len = value.len;
	if (value.len)
		memcpy(e->data, value.ptr, value.len);
	*way = tag | (c->head / 8 & PLACE_MASK);
	c->head += need;
}

void cache_prefetch_index(const struct cache *c, uint64_t where)
{
	uint64_t tag;

	if (c->ring)
		__builtin_prefetch(find_bucket(c, where, &tag));
}

void cache_prefetch_entry(const struct cache *c, uint64_t where)
{
	uint64_t tag, place;

	if (!c->ring)
		return;
	const uint64_t *bucket = find_bucket(c, where, &tag);
	for (int i = 0; i < WAYS; i++) {
		const struct entry *e = follow(c, bucket[i], tag, &place);
		if (e) {
			__builtin_prefetch(e);
			__builtin_prefetch((const char *)e + 64);
			__builtin_prefetch((const char *)e + 128);
		}
	}
}

uint64_t cache_bytes(const struct cache *c)
{
	return c->head < c->size ? c->head : c->size;
}
