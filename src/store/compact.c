/* SPDX-License-Identifier: MIT
 *
 * Compaction: which segments are merged, and when. A run is a row of neighbours in the log; what it will write is bounded, so that the space it
 * needs is. A compaction by hand goes over the whole log from its old end, one run after another; that order lets tombstones go, as every
 * older segment has just been cleaned (merge.c).
 */
#include "store/inner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define RUN_OUTPUT ((uint64_t)256 << 20) /* bytes of live records in a run, or one segment */
#define RUN_INPUTS 1024
#define RETRY_NS UINT64_C(10000000000)   /* after a failure nothing begins by itself for so long */
#define LEAST_GAIN ((uint64_t)64 << 10)  /* bytes that are worth a merge where there is little space */

/* ---- what there is to gain ---- */

static uint64_t count_garbage(const struct segment *g)
{
	uint64_t live = atomic_load_explicit(&g->live_bytes, memory_order_relaxed), content = g->size - SEGMENT_HEADER;

	return content > live ? content - live : 0;
}

/* What merging it is sure to bring: tombstones that a merge has kept once may have to be kept again. */
static uint64_t count_gain(const struct segment *g)
{
	uint64_t garbage = count_garbage(g);

	return garbage > g->kept ? garbage - g->kept : 0;
}

/* On a full disk merges go on: they are how space comes back. */
static bool is_refused(const struct store *s)
{
	return store_health(s, NULL) && !store_is_full(s);
}

static bool may_merge(const struct segment *g)
{
	return atomic_load(&g->complete) && g->role == SEGMENT_IN_LOG && !g->stuck;
}

/* ---- runs ---- */

struct run {
	struct segment **list; /* of all segments */
	size_t count;
	size_t from, to;
	uint64_t live;
};

/* It is for a full disk, as others must not write to it meanwhile. A compaction by hand may have writes refused for it. */
static bool may_use_reserve(const struct store *s)
{
	return store_is_full(s) || (s->compact.by_hand && reserve_is_short(s));
}

/* A segment alone may be larger than the limit, but not than the room. While the disk is not full no more than one at a time goes to the reserve. */
static bool fits(const struct store *s, const struct run *r, const struct segment *g)
{
	uint64_t live = r->live + segment_expected(g), limit = s->options.segment_size > RUN_OUTPUT ? s->options.segment_size : RUN_OUTPUT;
	bool alone = r->to == r->from;

	if (live > reserve_room(s, may_use_reserve(s) && (alone || store_is_full(s))))
		return false;
	return alone || (r->to - r->from < RUN_INPUTS && live <= limit);
}

static void take_after(struct run *r)
{
	r->live += segment_expected(r->list[r->to++]);
}

static void take_before(struct run *r)
{
	r->live += segment_expected(r->list[--r->from]);
}

static int start_run(struct store *s, const struct run *r)
{
	size_t n = r->to - r->from;
	struct segment **input = malloc(n * sizeof(struct segment *));
	uint64_t clean_before = UINT64_MAX;

	if (!input)
		return -ENOMEM;
	memcpy(input, r->list + r->from, n * sizeof(struct segment *));
	for (size_t i = 0; i < r->from; i++)
		if (r->list[i]->judged < clean_before)
			clean_before = r->list[i]->judged;
	reserve_lend(s, r->live, may_use_reserve(s));
	int error = merge_start(s, input, n, clean_before);
	if (error)
		reserve_take_back(s);
	return error;
}

/* ---- by hand ---- */

static void note_too_large(struct store *s, const struct segment *g)
{
	struct compact *c = &s->compact;

	merge_say_room(c->problem, sizeof(c->problem), segment_expected(g), reserve_room(s, may_use_reserve(s)));
	c->result = -ENOSPC;
}

/* The next run of a compaction by hand: true when there is one. What a full disk has no room for is left out. */
static bool find_run(struct store *s, struct run *r)
{
	struct compact *c = &s->compact;
	bool force = c->flags & STORE_COMPACT_FORCE;

	for (r->from = r->to = 0; r->to < r->count && r->list[r->to]->first < c->until;) {
		const struct segment *g = r->list[r->to];
		bool wanted = g->first >= c->at && may_merge(g) && (force || count_garbage(g));
		if (wanted && fits(s, r, g)) {
			take_after(r);
			continue;
		}
		if (r->to > r->from)
			break;
		if (wanted)
			note_too_large(s, g);
		r->from = ++r->to;
	}
	return r->to > r->from;
}

static void tell_failure(struct store *s, struct store_event e)
{
	struct compact *c = &s->compact;

	/* A full disk is told once, not with every attempt. */
	if (!c->told_failed || e.file)
		store_tell(s, e, "the merge was given up: %s", c->problem);
	c->told_failed = true;
}

static void end_by_hand(struct store *s, int result)
{
	struct compact *c = &s->compact;
	struct store_stats stats = { 0 };

	if (result == 0 && c->result == -ENOSPC)
		tell_failure(s, (struct store_event){ .kind = STORE_EVENT_MERGE_FAILED });
	slots_stats(s, &stats);
	c->bytes_after = stats.log_bytes;
	c->saved = c->bytes_before > c->bytes_after ? c->bytes_before - c->bytes_after : 0;
	if (result)
		c->result = result;
	c->by_hand = false;
	c->sealing = NULL;
	c->done++;
	reserve_take_back(s);
}

/* With little space a new segment is begun only when there is room to merge the one before, too: for that it is kept then. */
static bool may_seal(const struct store *s)
{
	return !reserve_is_short(s) || segment_expected(s->active) + SEGMENT_RESERVE <= reserve_room(s, may_use_reserve(s));
}

static int seal_active(struct store *s)
{
	uint64_t number;

	reserve_lend(s, segment_expected(s->active), may_use_reserve(s));
	int r = store_seal(s, &number);
	if (r)
		reserve_take_back(s);
	return r;
}

/* The first step of a compaction by hand, once it is known how much space there is: 0 or an error. */
static int seal_by_hand(struct store *s)
{
	struct compact *c = &s->compact;
	bool wanted = s->active->size > SEGMENT_HEADER && (c->flags & STORE_COMPACT_FORCE || count_garbage(s->active));
	int r = 0;

	c->unsealed = false;
	if (wanted && !may_seal(s)) {
		note_too_large(s, s->active);
	} else if (wanted) {
		c->sealing = s->active;
		r = seal_active(s);
	}
	c->until = s->active->first;
	return r > 0 ? -EROFS : r;
}

static void go_on_by_hand(struct store *s)
{
	struct compact *c = &s->compact;
	struct run r = { 0 };
	int error = 0;

	if (c->sealing && (is_refused(s) || c->sealing == s->active)) {
		end_by_hand(s, -EROFS); /* the disk refused the new segment */
		return;
	}
	if (c->sealing && !atomic_load(&c->sealing->complete))
		return;
	if (!is_refused(s) && !reserve_looked(&s->reserve))
		return;
	c->sealing = NULL;
	if (c->unsealed)
		error = seal_by_hand(s);
	if (error == 0 && c->sealing)
		return; /* the sync thread tells when that is done */
	r.list = slots_list(s, &r.count);
	if (!r.list)
		error = -ENOMEM;
	if (error == 0 && find_run(s, &r)) {
		const struct segment *last = r.list[r.to - 1];
		c->at = segment_position(last, last->size);
		error = start_run(s, &r);
	} else if (error == 0) {
		error = 1;
	}
	free(r.list);
	if (error)
		end_by_hand(s, error < 0 ? error : 0);
}

static void begin_by_hand(struct store *s)
{
	struct compact *c = &s->compact;
	struct store_stats stats = { 0 };

	c->wanted = false;
	c->by_hand = true;
	c->flags = c->wanted_flags;
	slots_stats(s, &stats);
	c->bytes_before = stats.log_bytes;
	c->result = 0;
	c->at = 0;
	c->sealing = NULL;
	c->unsealed = true;
	sync_ask_for_look(s);
}

int store_compact(struct store *s, unsigned flags, uint64_t *ret_ticket)
{
	struct compact *c = &s->compact;

	if (is_refused(s))
		return STORE_REFUSED;
	*ret_ticket = c->begun;
	if (c->wanted || c->by_hand)
		return -EALREADY;
	*ret_ticket = ++c->begun;
	c->wanted = true;
	c->wanted_flags = flags;
	compact_poll(s);
	return 0;
}

void store_compact_pause(struct store *s, bool pause)
{
	s->compact.paused = pause;
	if (s->compact.merge)
		atomic_store(&s->compact.merge->paused, pause);
}

/* ---- by itself ---- */

void store_set_compaction(struct store *s, const struct store_compaction *settings)
{
	s->compact.settings = *settings;
	if (s->compact.merge)
		merge_set_rate(s->compact.merge, settings->rate);
}

static bool is_mostly_garbage(const struct segment *g, unsigned ratio)
{
	return may_merge(g) && count_gain(g) > 0 && count_gain(g) * 100 >= (uint64_t)ratio * (g->size - SEGMENT_HEADER);
}

/* The segment with the largest share of garbage, and its neighbours as long as half of the limit of them is garbage, too. */
static bool find_best_run(struct store *s, struct run *r)
{
	unsigned half = s->compact.settings.garbage_ratio / 2;
	uint64_t best = 0;

	*r = (struct run){ .list = r->list, .count = r->count };
	for (size_t i = 0; i < r->count; i++) {
		const struct segment *g = r->list[i];
		uint64_t share = may_merge(g) && fits(s, r, g) ? count_gain(g) * 1000 / (g->size - SEGMENT_HEADER) : 0;
		if (share > best) {
			best = share;
			r->from = i;
		}
	}
	if (best == 0)
		return false;
	r->to = r->from;
	take_after(r);
	while (r->to < r->count && is_mostly_garbage(r->list[r->to], half) && fits(s, r, r->list[r->to]))
		take_after(r);
	while (r->from > 0 && is_mostly_garbage(r->list[r->from - 1], half) && fits(s, r, r->list[r->from - 1]))
		take_before(r);
	return true;
}

static bool is_too_much(const struct store *s, uint64_t garbage, uint64_t total)
{
	const struct store_compaction *set = &s->compact.settings;

	if (set->max_garbage && garbage >= set->max_garbage)
		return true;
	return set->garbage_ratio && garbage > 0 && garbage >= set->min_garbage && garbage * 100 >= set->garbage_ratio * total;
}

/*
 * There is little space: the best that fits, whatever its share is. When that is nothing, the active segment is sealed on a full disk, so that it can be
 * merged. True: there was something to do.
 */
static bool find_space(struct store *s, struct run *r)
{
	uint64_t gain = 0;

	if (find_best_run(s, r))
		for (size_t i = r->from; i < r->to; i++)
			gain += count_gain(r->list[i]);
	if (gain >= LEAST_GAIN) {
		if (start_run(s, r))
			s->compact.retry_ns = clock_mono_ns(s->clock) + RETRY_NS;
		return true;
	}
	s->reserve.caution = 0; /* others may have taken it, and be gone */
	return store_is_full(s) && count_garbage(s->active) >= RESERVE_LEAST && may_seal(s) && seal_active(s) == 0;
}

static bool is_off(const struct compact *c)
{
	return (c->settings.garbage_ratio == 0 && c->settings.max_garbage == 0) || c->closed || c->paused;
}

/* Where there is little space tombstones are worth it, too, now and then. */
static bool is_worth_a_sweep(struct store *s, uint64_t kept)
{
	uint64_t now = clock_mono_ns(s->clock);

	if (!reserve_is_short(s) || kept < LEAST_GAIN || now < s->compact.sweep_ns)
		return false;
	s->compact.sweep_ns = now + RESERVE_SHORT_NS;
	return true;
}

void store_compact_tick(struct store *s)
{
	struct compact *c = &s->compact;
	uint64_t gain = 0, kept = 0, total = s->active->size;
	struct run r = { 0 };

	if (is_off(c) || c->merge || c->wanted || c->by_hand || is_refused(s) || clock_mono_ns(s->clock) < c->retry_ns)
		return;
	if (reserve_is_short(s))
		sync_ask_for_look(s); /* for the next time */
	if (store_rotated(s, s->active->number))
		reserve_take_back(s); /* what was kept to merge the segment before with */
	rollback_forget(s); /* what a flush replaced counts as living while it could come back */
	r.list = slots_list(s, &r.count);
	for (size_t i = 0; i < r.count && r.list; i++) {
		const struct segment *g = r.list[i];
		if (!may_merge(g))
			continue;
		gain += count_gain(g);
		kept += g->kept;
		total += g->size;
	}
	if (reserve_is_short(s) && find_space(s, &r)) {
		/* whatever is set */
	} else if (is_too_much(s, gain, total)) {
		sync_ask_for_look(s);
		if (find_best_run(s, &r) && start_run(s, &r))
			c->retry_ns = clock_mono_ns(s->clock) + RETRY_NS;
	} else if (is_too_much(s, kept, total) || is_worth_a_sweep(s, kept)) {
		/* Tombstones go when everything older is clean: from the old end on. */
		c->wanted = true;
		c->wanted_flags = 0;
		c->begun++;
	}
	free(r.list);
	compact_poll(s);
}

/* ---- the end of a merge ---- */

static void tell_end(struct store *s, const struct merge *m, uint64_t before, uint64_t after)
{
	struct compact *c = &s->compact;
	char name[SEGMENT_NAME_SIZE];

	if (m->result == 0) {
		c->told_failed = false;
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_MERGED, .offset = before, .bytes = after, .records = m->froms },
			"%zu segment%s of %" PRIu64 " bytes merged to %" PRIu64 " bytes", m->inputs, num_plural(m->inputs), before, after);
		return;
	}
	struct store_event e = { .kind = STORE_EVENT_MERGE_FAILED };
	if (m->problem_segment) {
		segment_name(name, m->problem_segment->number);
		e.file = name;
		e.offset = m->problem_offset;
		s->damaged++;
	}
	if (m->result != -EAGAIN)
		tell_failure(s, e);
	c->told_failed = true;
}

static void end_merge(struct store *s, struct merge *m)
{
	struct compact *c = &s->compact;
	uint64_t before = 0, after = 0;

	for (size_t i = 0; i < m->inputs; i++)
		before += m->input[i]->size;
	for (size_t i = 0; i < m->outputs; i++)
		after += m->output[i]->size;
	c->merged_bytes_read += atomic_load(&m->bytes_read);
	c->merged_bytes_written += atomic_load(&m->bytes_written);
	if (m->result == 0) {
		c->merges++;
		c->merged_bytes_saved += before > after ? before - after : 0;
		s->checkpoint.position = 0; /* the one there is lists segments that are gone */
		s->reserve.caution = 0;
	} else {
		if (m->result == -ENOSPC && m->on_reserve)
			s->reserve.caution += s->reserve.caution < RESERVE_CAUTION_MAX;
		c->merges_failed++;
		c->retry_ns = clock_mono_ns(s->clock) + RETRY_NS;
		snprintf(c->problem, sizeof(c->problem), "%s", *m->problem ? m->problem :
			m->result == -EAGAIN ? "the disk refused writes meanwhile" : strerror(-m->result));
	}
	tell_end(s, m, before, after);
	int result = m->result;
	c->merge = merge_free(m);
	reserve_count(s);
	reserve_take_back(s);
	if (reserve_is_short(s))
		sync_ask_for_look(s);
	if (c->by_hand && result && result != -EUCLEAN)
		end_by_hand(s, result);
	else if (c->by_hand && result)
		c->result = result;
}

/* Once, however long it takes. */
static void tell_wait(struct store *s, struct merge *m)
{
	int why = atomic_load(&m->waits);

	if (why == 0 || m->told_waits)
		return;
	m->told_waits = true;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_MERGE_WAITS, .file = CATALOG_NAME },
		"%s/" CATALOG_NAME ": cannot be written: %s; the merge waits, and goes on by itself when it can", s->options.path, strerror(-why));
}

void compact_poll(struct store *s)
{
	struct compact *c = &s->compact;

	if (c->merge)
		tell_wait(s, c->merge);
	if (c->merge && merge_poll(c->merge))
		end_merge(s, c->merge);
	if (c->merge || c->closed)
		return;
	if (c->wanted && !c->by_hand)
		begin_by_hand(s);
	if (c->by_hand)
		go_on_by_hand(s);
}

/* ---- numbers ---- */

const char *store_compact_problem(const struct store *s)
{
	return s->compact.problem;
}

void compact_stats(const struct store *s, struct store_stats *ret)
{
	const struct compact *c = &s->compact;
	const struct merge *m = c->merge;

	for (unsigned i = 0; i < s->slots; i++)
		if (s->slot[i] && atomic_load(&s->slot[i]->complete) && s->slot[i]->role == SEGMENT_IN_LOG)
			ret->garbage_bytes += count_garbage(s->slot[i]);
	ret->merging = m != NULL;
	ret->compacting = c->wanted || c->by_hand;
	ret->compact_paused = c->paused;
	ret->merges = c->merges;
	ret->merges_failed = c->merges_failed;
	ret->merge_bytes_total = m ? atomic_load(&m->bytes_total) : 0;
	ret->merge_bytes_done = m ? atomic_load(&m->bytes_read) : 0;
	ret->merge_bytes_read = c->merged_bytes_read + ret->merge_bytes_done;
	ret->merge_bytes_written = c->merged_bytes_written + (m ? atomic_load(&m->bytes_written) : 0);
	ret->merge_bytes_saved = c->merged_bytes_saved;
	ret->compactions_done = c->done;
	ret->compact_bytes_before = c->bytes_before;
	ret->compact_bytes_after = c->bytes_after;
	ret->compact_bytes_saved = c->saved;
	ret->compact_result = c->result;
}

long store_segments(struct store *s, struct store_segment **ret_list)
{
	size_t n;
	struct segment **list = slots_list(s, &n);
	struct store_segment *out = list ? calloc(n, sizeof(*out)) : NULL;

	for (size_t i = 0; out && i < n; i++)
		out[i] = (struct store_segment){
			.number = list[i]->number,
			.first = list[i]->first,
			.size = list[i]->size,
			.live_bytes = atomic_load_explicit(&list[i]->live_bytes, memory_order_relaxed),
			.tombstone_bytes = list[i]->kept,
			.active = list[i] == s->active,
			.complete = atomic_load(&list[i]->complete),
			.merging = list[i]->role == SEGMENT_INPUT,
		};
	free(list);
	if (!out)
		return -ENOMEM;
	*ret_list = out;
	return (long)n;
}
