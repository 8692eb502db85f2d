/* SPDX-License-Identifier: MIT
 *
 * The table of segments: which slot is whose, and the catalog, which is the same on disk. Sync thread and merge thread both replace the catalog; one
 * lock makes that one after the other, and what it names is decided under it. So whatever the two do, each catalog differs from the one
 * before by exactly one step: a new active segment, or outputs in the place of inputs.
 */
#include "store/inner.h"

#include <errno.h>
#include <stdlib.h>

/* ---- slots ---- */

static int push_slot(struct slot_list *l, unsigned slot)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		unsigned *more = realloc(l->slot, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->slot = more;
		l->cap = cap;
	}
	l->slot[l->count++] = slot;
	return 0;
}

/* The value cache and the pieces know records by slot and offset, and they are not searched when a segment goes: so freed slots wait, and come back
 * all together when the cache is emptied. */
static void reuse_slots(struct store *s)
{
	struct slot_list empty = s->reusable;

	s->reusable = s->freed;
	s->freed = empty;
	cache_clear(&s->cache);
	pieces_forget(&s->pieces);
}

int slots_take(struct store *s, unsigned *ret)
{
	if (s->reusable.count == 0 && s->freed.count && (s->freed.count >= s->slots_before_reuse || s->slots == LOCATOR_SLOTS))
		reuse_slots(s);
	if (s->reusable.count) {
		*ret = s->reusable.slot[--s->reusable.count];
		return 0;
	}
	/* Others go through the table up to there. */
	pthread_mutex_lock(&s->table_lock);
	int r = s->slots < LOCATOR_SLOTS ? 0 : -ENOMEM;
	if (r == 0)
		*ret = s->slots++;
	pthread_mutex_unlock(&s->table_lock);
	return r;
}

void slots_remove(struct store *s, struct segment *g)
{
	pthread_mutex_lock(&s->table_lock);
	s->slot[g->slot] = NULL;
	pthread_mutex_unlock(&s->table_lock);
	push_slot(&s->freed, g->slot); /* without memory the slot is lost: there are a million */
}

void slots_free(struct store *s)
{
	for (unsigned i = 0; i < s->slots; i++) {
		struct segment *g = s->slot[i];
		if (!g)
			continue;
		if (atomic_load(&g->fd) >= 0)
			s->io->close(s->io, atomic_load(&g->fd));
		free(g);
	}
	free(s->freed.slot);
	free(s->reusable.slot);
}

void slots_opened(struct store *s)
{
	for (unsigned i = 0; i < s->slots; i++) {
		struct segment *g = s->slot[i];
		if (!g || g == s->active)
			continue;
		g->sealed = true;
		atomic_store(&g->complete, true);
	}
	s->named_active = s->active;
}

void slots_unpin(struct store *s, struct segment *g)
{
	if (--g->readers == 0 && g->role != SEGMENT_IN_LOG)
		store_notify(s); /* a merge may wait for that */
}

/* ---- descriptors ---- */

static bool is_idle(const struct store *s, const struct segment *g)
{
	return g && g != s->active && atomic_load(&g->complete) && g->readers == 0 && atomic_load(&g->role) != SEGMENT_OUTPUT &&
		atomic_load(&g->fd) >= 0;
}

static int compare_uses(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	return x->used < y->used ? -1 : x->used > y->used;
}

/* Leaves `keep` of the idle ones open. */
static void close_idle(struct store *s, size_t keep)
{
	struct segment **list = malloc((s->slots ? s->slots : 1) * sizeof(struct segment *));
	size_t n = 0;

	for (unsigned i = 0; list && i < s->slots; i++)
		if (is_idle(s, s->slot[i]))
			list[n++] = s->slot[i];
	if (n > keep)
		qsort(list, n, sizeof(struct segment *), compare_uses);
	for (size_t i = 0; i + keep < n; i++) {
		int fd = atomic_exchange(&list[i]->fd, -1);
		if (fd >= 0)
			s->io->close(s->io, fd);
	}
	free(list);
	s->opens = 0;
}

void slots_want(struct store *s, struct segment *g)
{
	g->used = ++s->uses;
	/* Half of them stay, so that looking for them is paid for by as many openings as the other half. */
	if (atomic_load_explicit(&g->fd, memory_order_relaxed) < 0 && ++s->opens > s->options.open_segments / 2)
		close_idle(s, s->options.open_segments / 2);
}

void slots_close_idle(struct store *s)
{
	close_idle(s, 0);
}

/* ---- order ---- */

static int compare_places(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_in_log(const struct segment *g)
{
	return g && (g->role == SEGMENT_IN_LOG || g->role == SEGMENT_INPUT);
}

/* Under the table's lock. */
static struct segment **pick_segments(struct store *s, bool (*want)(const struct segment *g, const void *arg), const void *arg, size_t *ret)
{
	struct segment **list = malloc((s->slots ? s->slots : 1) * sizeof(struct segment *));
	size_t n = 0;

	for (unsigned i = 0; list && i < s->slots; i++)
		if (s->slot[i] && want(s->slot[i], arg))
			list[n++] = s->slot[i];
	if (list)
		qsort(list, n, sizeof(struct segment *), compare_places);
	*ret = n;
	return list;
}

static bool want_log(const struct segment *g, const void *arg)
{
	(void)arg;
	return is_in_log(g);
}

struct segment **slots_list(struct store *s, size_t *ret_count)
{
	pthread_mutex_lock(&s->table_lock);
	struct segment **list = pick_segments(s, want_log, NULL, ret_count);
	pthread_mutex_unlock(&s->table_lock);
	return list;
}

void slots_stats(const struct store *s, struct store_stats *ret)
{
	const struct segment *oldest = s->active;

	for (unsigned i = 0; i < s->slots; i++) {
		const struct segment *g = s->slot[i];
		if (!g)
			continue;
		/* What a merge has moved is in its output already. */
		ret->live_bytes += atomic_load_explicit(&g->live_bytes, memory_order_relaxed);
		if (!is_in_log(g))
			continue;
		ret->segments++;
		ret->log_bytes += g->size;
		if (g->first < oldest->first)
			oldest = g;
	}
	ret->oldest_segment = oldest->number;
}

bool slots_hold_unnamed(const struct store *s)
{
	for (unsigned i = 0; i < s->slots; i++)
		if (s->slot[i] && !is_in_log(s->slot[i]) && atomic_load(&s->slot[i]->live_bytes))
			return true;
	return false;
}

/* ---- the catalog ---- */

struct naming {
	const struct segment *active;
	bool merged;
};

static bool want_named(const struct segment *g, const void *arg)
{
	const struct naming *n = arg;

	switch ((enum segment_role)g->role) {
	case SEGMENT_IN_LOG:
		return !g->unnamed || g == n->active;
	case SEGMENT_INPUT:
		return !n->merged;
	case SEGMENT_OUTPUT:
		return n->merged;
	case SEGMENT_STRAY:
		return false;
	}
	return false;
}

/*
 * A log that grows is not what the reserve is for: then the disk is full, and the reserve is there for what follows. It is for a merge that is to remove
 * its inputs with that catalog, when nobody else may write to it meanwhile, and for openings and stops.
 */
static bool give_for_catalog(struct store *s, bool merged, bool clean)
{
	if (merged)
		sync_keep_full(s);
	return (store_is_full(s) || clean || !s->named_active) && reserve_give(s);
}

/* Under catalog_lock. */
static int replace_catalog(struct store *s, const struct segment *active, bool merged, bool clean, uint64_t next)
{
	struct naming naming = { active, merged };
	struct catalog c = { .store_id = s->id, .clean = clean, .next = next > s->reserved ? next : s->reserved };
	size_t n;

	pthread_mutex_lock(&s->table_lock);
	struct segment **list = pick_segments(s, want_named, &naming, &n);
	c.segment = list ? calloc(n, sizeof(*c.segment)) : NULL;
	for (size_t i = 0; c.segment && i < n; i++) {
		const struct segment *g = list[i];
		c.segment[c.count++] = (struct catalog_segment){ g->number, g->first, g == active ? 0 : g->size };
		if (g == active && clean)
			c.clean_size = g->size;
		if (g->number >= c.next)
			c.next = g->number + 1;
	}
	pthread_mutex_unlock(&s->table_lock);
	free(list);
	int r = !c.segment ? -ENOMEM : s->dir_failed ? -EIO : catalog_write(s->io, s->dir, &c);
	if (sync_needs_space(r) && give_for_catalog(s, merged, clean))
		r = catalog_write(s->io, s->dir, &c);
	if (r == 0)
		s->reserved = c.next;
	s->dir_failed |= r == -EIO;
	catalog_free(&c);
	return r;
}

int slots_sync_dir(struct store *s)
{
	pthread_mutex_lock(&s->catalog_lock);
	int r = s->dir_failed ? -EIO : catalog_sync_dir(s->io, s->dir);
	s->dir_failed |= r != 0;
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}

int slots_name_active(struct store *s, struct segment *active, bool clean)
{
	pthread_mutex_lock(&s->catalog_lock);
	int r = replace_catalog(s, active, false, clean, 0);
	if (r == 0) {
		pthread_mutex_lock(&s->table_lock);
		active->unnamed = false;
		pthread_mutex_unlock(&s->table_lock);
		s->named_active = active;
	}
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}

int slots_reserve_numbers(struct store *s, uint64_t next)
{
	pthread_mutex_lock(&s->catalog_lock);
	int r = replace_catalog(s, s->named_active, false, false, next);
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}

int slots_name_merged(struct store *s)
{
	pthread_mutex_lock(&s->catalog_lock);
	int r = replace_catalog(s, s->named_active, true, false, 0);
	pthread_mutex_lock(&s->table_lock);
	for (unsigned i = 0; r == 0 && i < s->slots; i++) {
		struct segment *g = s->slot[i];
		if (g && g->role == SEGMENT_INPUT)
			g->role = SEGMENT_STRAY;
		if (g && g->role == SEGMENT_OUTPUT) {
			g->unnamed = false;
			g->role = SEGMENT_IN_LOG;
			atomic_store(&g->complete, true);
		}
	}
	pthread_mutex_unlock(&s->table_lock);
	pthread_mutex_unlock(&s->catalog_lock);
	return r;
}
