/* SPDX-License-Identifier: MIT */
#include "store/tail.h"

#include <stdlib.h>
#include <string.h>

#include "store/segment.h"

#define MAX_SPARES 2

void tail_init(struct tail *t)
{
	*t = (struct tail){ 0 };
}

static struct chunk *chunk_at(const struct tail *t, size_t i)
{
	return t->ring[(t->head + i) & (t->ring_cap - 1)];
}

struct chunk *tail_oldest(const struct tail *t)
{
	return t->count ? chunk_at(t, 0) : NULL;
}

struct chunk *tail_youngest(const struct tail *t)
{
	return t->count ? chunk_at(t, t->count - 1) : NULL;
}

void tail_free(struct tail *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(chunk_at(t, i));
	while (t->spare) {
		struct chunk *c = t->spare;
		t->spare = atomic_load_explicit(&c->next, memory_order_relaxed);
		free(c);
	}
	free(t->ring);
	*t = (struct tail){ 0 };
}

static int grow_ring(struct tail *t)
{
	if (t->count < t->ring_cap)
		return 0;
	size_t cap = t->ring_cap ? t->ring_cap * 2 : 16;
	struct chunk **ring = malloc(cap * sizeof(struct chunk *));
	if (!ring)
		return -1;
	for (size_t i = 0; i < t->count; i++)
		ring[i] = chunk_at(t, i);
	free(t->ring);
	t->ring = ring;
	t->ring_cap = cap;
	t->head = 0;
	return 0;
}

static struct chunk *new_chunk(struct tail *t, size_t len)
{
	size_t cap = len > TAIL_CHUNK ? len : TAIL_CHUNK;
	struct chunk *c = cap == TAIL_CHUNK ? t->spare : NULL;

	if (grow_ring(t))
		return NULL;
	if (c) {
		t->spare = atomic_load_explicit(&c->next, memory_order_relaxed);
		t->spares--;
	} else {
		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		t->bytes += cap;
	}
	c->cap = cap;
	c->len = 0;
	atomic_store_explicit(&c->next, NULL, memory_order_relaxed);
	return c;
}

char *tail_room(struct tail *t, struct segment *segment, uint64_t position, size_t len)
{
	struct chunk *last = t->count ? chunk_at(t, t->count - 1) : NULL;

	if (last && last->segment == segment && last->cap - last->len >= len)
		return last->data + last->len;
	struct chunk *c = new_chunk(t, len);
	if (!c)
		return NULL;
	c->segment = segment;
	c->number = segment->number;
	c->position = position;
	t->ring[(t->head + t->count) & (t->ring_cap - 1)] = c;
	t->count++;
	/* From here on the previous chunk is final; the sync thread may look across. */
	if (last)
		atomic_store_explicit(&last->next, c, memory_order_release);
	return c->data;
}

void tail_advance(struct tail *t, size_t len)
{
	chunk_at(t, t->count - 1)->len += len;
}

static const struct chunk *find_chunk(const struct tail *t, uint64_t position)
{
	size_t low = 0, high = t->count;

	if (t->count == 0 || position < chunk_at(t, 0)->position)
		return NULL;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (chunk_at(t, mid)->position <= position)
			low = mid;
		else
			high = mid;
	}
	const struct chunk *c = chunk_at(t, low);
	return position - c->position < c->len ? c : NULL;
}

const char *tail_at(const struct tail *t, uint64_t position)
{
	const struct chunk *c = find_chunk(t, position);

	return c ? c->data + (position - c->position) : NULL;
}

const char *tail_at_segment(const struct tail *t, const struct segment *g, uint64_t position)
{
	const struct chunk *c = find_chunk(t, position);

	return c && c->number == g->number ? c->data + (position - c->position) : NULL;
}

static void drop_oldest(struct tail *t)
{
	struct chunk *c = chunk_at(t, 0);

	t->head = (t->head + 1) & (t->ring_cap - 1);
	t->count--;
	if (c->cap == TAIL_CHUNK && t->spares < MAX_SPARES) {
		atomic_store_explicit(&c->next, t->spare, memory_order_relaxed);
		t->spare = c;
		t->spares++;
	} else {
		t->bytes -= c->cap;
		free(c);
	}
}

void tail_cut(struct tail *t, uint64_t position)
{
	while (t->count > 1 && tail_youngest(t)->position >= position) {
		struct chunk *c = tail_youngest(t);
		t->count--;
		t->bytes -= c->cap;
		free(c);
	}
	struct chunk *last = tail_youngest(t);
	if (!last)
		return;
	last->len = position > last->position ? position - last->position : 0;
	atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
}

void tail_trim(struct tail *t, uint64_t durable)
{
	/* The sync thread has left a chunk for good only when something behind it is durable. */
	while (t->count > 1) {
		const struct chunk *next = chunk_at(t, 1), *last = chunk_at(t, t->count - 1);
		if (durable <= next->position || last->position + last->len - next->position < TAIL_KEEP)
			break;
		drop_oldest(t);
	}
}
