/* SPDX-License-Identifier: MIT */
#include "store/tail.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

static void free_chunk(struct tail *t, struct chunk *c)
{
	t->bytes -= c->view ? 0 : c->cap;
	block_unref(c->block);
	free(c);
}

void tail_free(struct tail *t)
{
	for (size_t i = 0; i < t->count; i++)
		free_chunk(t, chunk_at(t, i));
	while (t->spare) {
		struct chunk *c = t->spare;
		t->spare = atomic_load_explicit(&c->next, memory_order_relaxed);
		free(c);
	}
	free(t->ring);
	if (t->zeros)
		munmap((void *)(uintptr_t)t->zeros, TAIL_ZEROS);
	*t = (struct tail){ 0 };
}

static int grow_ring(struct tail *t, size_t more)
{
	if (t->count + more <= t->ring_cap)
		return 0;
	size_t cap = t->ring_cap ? t->ring_cap * 2 : 16;
	while (cap < t->count + more)
		cap *= 2;
	struct chunk **ring = malloc(cap * sizeof(struct chunk *));
	if (!ring)
		return -ENOMEM;
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

	if (grow_ring(t, 1))
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
	c->joined = c->view = false;
	c->block = NULL;
	c->data = c->memory;
	atomic_store_explicit(&c->next, NULL, memory_order_relaxed);
	return c;
}

static void link_chunk(struct tail *t, struct chunk *c, struct segment *segment, uint64_t position)
{
	struct chunk *last = tail_youngest(t);

	c->segment = segment;
	c->number = segment->number;
	c->position = position;
	t->ring[(t->head + t->count) & (t->ring_cap - 1)] = c;
	t->count++;
	/* From here on the previous chunk is final; the sync thread may look across. */
	if (last)
		atomic_store_explicit(&last->next, c, memory_order_release);
}

char *tail_room(struct tail *t, struct segment *segment, uint64_t position, size_t len)
{
	struct chunk *last = tail_youngest(t);

	if (last && last->segment == segment && last->cap - last->len >= len)
		return last->data + last->len;
	struct chunk *c = new_chunk(t, len);
	if (!c)
		return NULL;
	link_chunk(t, c, segment, position);
	return c->data;
}

/* ---- large values ---- */

static void add_planned(struct tail_plan *p, struct chunk *c)
{
	if (p->last)
		atomic_store_explicit(&p->last->next, c, memory_order_relaxed);
	else
		p->first = c;
	p->last = c;
	p->count++;
}

static struct chunk *take_planned(struct tail_plan *p)
{
	struct chunk *c = p->first;

	p->first = atomic_load_explicit(&c->next, memory_order_relaxed);
	p->count--;
	if (!p->first)
		p->last = NULL;
	atomic_store_explicit(&c->next, NULL, memory_order_relaxed);
	return c;
}

static struct chunk *new_view(const char *data, size_t len)
{
	struct chunk *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->view = true;
	c->data = (char *)(uintptr_t)data;
	c->len = c->cap = len;
	return c;
}

/* Zeros that take no memory, as nobody writes to them. */
static const char *get_zeros(struct tail *t)
{
	if (!t->zeros) {
		void *p = mmap(NULL, TAIL_ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		t->zeros = p == MAP_FAILED ? NULL : p;
	}
	return t->zeros;
}

int tail_plan(struct tail *t, struct tail_plan *p, struct block *block, size_t pad, size_t len)
{
	assert(pad <= TAIL_ZEROS);
	const char *zeros = get_zeros(t);
	struct chunk *value = new_view(block->value.ptr, block->value.len), *behind = zeros ? new_view(zeros, pad) : NULL;
	struct chunk *piece = malloc(sizeof(*piece) + len);

	if (!value || !behind || !piece || grow_ring(t, p->count + 4)) {
		free(value);
		free(behind);
		free(piece);
		return -ENOMEM;
	}
	*piece = (struct chunk){ .len = len, .cap = len };
	piece->data = piece->memory;
	t->bytes += len;
	value->block = block_ref(block);
	value->joined = behind->joined = piece->joined = true;
	add_planned(p, value);
	add_planned(p, behind);
	add_planned(p, piece);
	return 0;
}

void tail_drop_plan(struct tail *t, struct tail_plan *p)
{
	while (p->first)
		free_chunk(t, take_planned(p));
}

char *tail_add_large(struct tail *t, struct tail_plan *p, struct segment *segment, uint64_t position)
{
	struct chunk *c = NULL;

	for (int i = 0; i < 3; i++) {
		c = take_planned(p);
		link_chunk(t, c, segment, position);
		position += c->len;
	}
	return c->data;
}

/* ---- all ---- */

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

const char *tail_at_segment(const struct tail *t, const struct segment *g, uint64_t position, size_t *ret_len)
{
	const struct chunk *c = find_chunk(t, position);

	if (!c || c->number != g->number)
		return NULL;
	*ret_len = c->len - (position - c->position);
	return c->data + (position - c->position);
}

struct block *tail_block_at(const struct tail *t, uint64_t position)
{
	const struct chunk *c = find_chunk(t, position);

	return c && c->block && c->position == position ? c->block : NULL;
}

static void drop_oldest(struct tail *t)
{
	struct chunk *c = chunk_at(t, 0);

	t->head = (t->head + 1) & (t->ring_cap - 1);
	t->count--;
	if (c->cap == TAIL_CHUNK && !c->view && t->spares < MAX_SPARES) {
		atomic_store_explicit(&c->next, t->spare, memory_order_relaxed);
		t->spare = c;
		t->spares++;
	} else {
		free_chunk(t, c);
	}
}

void tail_cut(struct tail *t, uint64_t position)
{
	while (t->count > 1) {
		struct chunk *c = tail_youngest(t);
		/* Behind a view there always is a chunk, be it an empty one: see is_left(). */
		if (c->position < position || (c->position == position && chunk_at(t, t->count - 2)->view))
			break;
		t->count--;
		free_chunk(t, c);
	}
	struct chunk *last = tail_youngest(t);
	if (!last)
		return;
	last->len = position > last->position ? position - last->position : 0;
	last->joined &= last->len > 0;
	atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
}

/*
 * Whether the sync thread has left the oldest chunk for good. It goes on to a chunk that begins where it has written up to only if that
 * one was there by then; behind a view there always is one.
 */
static bool is_left(const struct tail *t, uint64_t durable)
{
	const struct chunk *next = chunk_at(t, 1);

	return chunk_at(t, 0)->view ? durable >= next->position : durable > next->position;
}

void tail_trim(struct tail *t, uint64_t durable)
{
	while (t->count > 1 && is_left(t, durable)) {
		const struct chunk *next = chunk_at(t, 1), *last = chunk_at(t, t->count - 1);
		bool huge = chunk_at(t, 0)->len >= TAIL_KEEP;
		if (!huge && last->position + last->len - next->position < TAIL_KEEP)
			break;
		drop_oldest(t);
	}
}
