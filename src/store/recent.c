/* SPDX-License-Identifier: MIT */
#include "store/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct recent_slot {
	uint64_t hash, position; /* position 0: free */
};

static struct recent_slot *find_slot(const struct recent_table *t, uint64_t hash)
{
	size_t i = hash & (t->cap - 1);

	while (t->slot[i].position && t->slot[i].hash != hash)
		i = (i + 1) & (t->cap - 1);
	return &t->slot[i];
}

static void clear_table(struct recent_table *t)
{
	/* A burst of deletions must not leave its table behind. */
	if (t->cap > 4096) {
		free(t->slot);
		*t = (struct recent_table){ 0 };
		return;
	}
	if (t->count)
		memset(t->slot, 0, t->cap * sizeof(*t->slot));
	t->count = 0;
	t->last = 0;
}

static void turn_generation(struct recent *r)
{
	struct recent_table old = r->before;

	r->before = r->now;
	clear_table(&old);
	r->now = old;
}

int recent_reserve(struct recent *r, size_t more, uint64_t durable)
{
	if (r->before.last <= durable && r->now.count >= 32)
		turn_generation(r);
	struct recent_table *t = &r->now, bigger = *t;
	if ((t->count + more) * 2 <= t->cap)
		return 0;
	bigger.cap = t->cap ? t->cap : 64;
	while ((t->count + more) * 2 > bigger.cap)
		bigger.cap *= 2;
	bigger.slot = calloc(bigger.cap, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slot[i].position)
			*find_slot(&bigger, t->slot[i].hash) = t->slot[i];
	free(t->slot);
	*t = bigger;
	return 0;
}

void recent_add(struct recent *r, uint64_t hash, uint64_t position)
{
	struct recent_slot *slot = find_slot(&r->now, hash);

	r->now.count += slot->position == 0;
	*slot = (struct recent_slot){ hash, position };
	r->now.last = position;
}

static uint64_t find_in(const struct recent_table *t, uint64_t hash, uint64_t durable)
{
	if (t->count == 0 || t->last <= durable)
		return 0;
	uint64_t position = find_slot(t, hash)->position;
	return position > durable ? position : 0;
}

uint64_t recent_find(const struct recent *r, uint64_t hash, uint64_t durable)
{
	uint64_t position = find_in(&r->now, hash, durable);

	return position ? position : find_in(&r->before, hash, durable);
}

void recent_clear(struct recent *r)
{
	clear_table(&r->now);
	clear_table(&r->before);
}

void recent_free(struct recent *r)
{
	free(r->now.slot);
	free(r->before.slot);
	*r = (struct recent){ 0 };
}
