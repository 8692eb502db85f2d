/* SPDX-License-Identifier: MIT
 *
 * Taking back commits that the disk refused. A commit is applied in memory before it is on disk; until it is released, what each of its
 * writes replaced is remembered here. When the sync thread cannot write or sync, the owner undoes those commits, youngest first, so that memory
 * shows what the disk holds, and clients get an error for exactly the writes that did not happen.
 */
#include "store/inner.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static struct undo *undo_at(const struct rollback *r, size_t i)
{
	return &r->ring[(r->head + i) & (r->cap - 1)];
}

/* Entries below a position cannot be refused any more. */
static void forget(struct store *s, uint64_t position)
{
	struct rollback *r = &s->rollback;

	while (r->count && undo_at(r, 0)->position < position) {
		if (undo_at(r, 0)->flushed)
			pool_free_keydir(s, undo_at(r, 0)->flushed);
		r->head = (r->head + 1) & (r->cap - 1);
		r->count--;
	}
}

void rollback_forget(struct store *s)
{
	forget(s, store_releasable(s));
}

int rollback_reserve(struct store *s, size_t more)
{
	struct rollback *r = &s->rollback;

	forget(s, store_releasable(s));
	if (r->cap - r->count >= more)
		return 0;
	size_t cap = r->cap ? r->cap : 256;
	while (cap - r->count < more)
		cap *= 2;
	struct undo *ring = malloc(cap * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (size_t i = 0; i < r->count; i++)
		ring[i] = *undo_at(r, i);
	free(r->ring);
	*r = (struct rollback){ ring, 0, r->count, cap };
	return 0;
}

void rollback_add(struct store *s, struct undo u)
{
	struct rollback *r = &s->rollback;

	*undo_at(r, r->count) = u;
	r->count++;
}

void rollback_free(struct store *s)
{
	for (size_t i = 0; i < s->rollback.count; i++)
		keydir_free(undo_at(&s->rollback, i)->flushed);
	free(s->rollback.ring);
	s->rollback = (struct rollback){ 0 };
}

static void put_back(struct store *s, unsigned ns, struct slice key, struct keydir_entry old)
{
	struct keydir_entry gone;

	int r = keydir_put(s->keydir[ns], key, old, &gone);

	if (r < 0) {
		store_lose_sight(s);
		return;
	}
	if (r == 0)
		store_count_dead(s, gone.where);
	store_count_live(s, old.where);
}

static void undo_one(struct store *s, const struct undo *u)
{
	const char *p = tail_at(&s->tail, u->position);
	struct keydir_entry gone;

	assert(p); /* the tail keeps what is not durable */
	unsigned ns = get_le16(p + 28);
	struct slice key = slice(p + RECORD_HEADER + (p[5] & RECORD_EXPIRES ? 8 : 0), get_le32(p + 8));
	switch ((enum record_type)p[4]) {
	case RECORD_PUT:
	case RECORD_DELETE:
		if (u->old.where)
			put_back(s, ns, key, u->old);
		else if (keydir_delete(s->keydir[ns], key, &gone) == 0)
			store_count_dead(s, gone.where);
		break;
	case RECORD_FLUSH:
		keydir_free(s->keydir[ns]);
		s->keydir[ns] = u->flushed;
		break;
	case RECORD_SWAP: {
		uint8_t keep = s->ns_of[ns];
		s->ns_of[ns] = s->ns_of[get_le16(key.ptr)];
		s->ns_of[get_le16(key.ptr)] = keep;
		break;
	}
	case RECORD_LOST:
	case RECORD_GAP: /* never committed */
		break;
	}
}

void rollback_run(struct store *s)
{
	struct rollback *r = &s->rollback;
	struct sync *y = &s->sync;
	uint64_t end = atomic_load(&y->durability) == STORE_ALWAYS ? atomic_load(&y->durable) : atomic_load(&y->written);

	if (end < atomic_load(&y->kept))
		end = atomic_load(&y->kept);
	checkpoint_give_up(s);
	while (r->count && undo_at(r, r->count - 1)->position >= end) {
		undo_one(s, undo_at(r, r->count - 1));
		r->count--;
	}
	view_roll_back(s, end);
	while (s->active->first > end || (s->active->first == end && s->active != y->segment))
		store_drop_segment(s);
	s->active->size = segment_offset(s->active, end);
	s->position = end;
	tail_cut(&s->tail, end);
	/* A chunk that is left empty may have been begun for a segment that is gone. */
	struct chunk *left = tail_youngest(&s->tail);
	if (left && left->len == 0) {
		left->segment = s->active;
		left->number = s->active->number;
	}
	recent_clear(&s->recent);
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		if (s->flushed_at[i] > end)
			s->flushed_at[i] = 0;
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		if (s->swapped_at[i] > end)
			s->swapped_at[i] = 0;

	pthread_mutex_lock(&y->lock);
	y->chunk = tail_youngest(&s->tail);
	atomic_store(&y->submitted, end);
	atomic_store(&y->barrier, 0);
	atomic_store(&y->wanted, NULL);
	if (atomic_load(&y->state) != SYNC_FAILED)
		atomic_store(&y->written, end);
	atomic_store(&y->refused, false);
	pthread_cond_broadcast(&y->work);
	pthread_mutex_unlock(&y->lock);
}
