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

#define RUN_OUTPUT ((uint64_t)256 << 20) /* bytes of live records in a run, or one segment */
#define RUN_INPUTS 1024
#define RETRY_NS UINT64_C(10000000000)   /* after a failure nothing begins by itself for so long */

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

static bool fits(const struct store *s, const struct run *r, const struct segment *g)
{
	uint64_t live = r->live + atomic_load_explicit(&g->live_bytes, memory_order_relaxed);
	uint64_t limit = s->options.segment_size > RUN_OUTPUT ? s->options.segment_size : RUN_OUTPUT;

	return r->to - r->from < RUN_INPUTS && live <= limit;
}

static void take_after(struct run *r)
{
	r->live += atomic_load_explicit(&r->list[r->to++]->live_bytes, memory_order_relaxed);
}

static void take_before(struct run *r)
{
	r->live += atomic_load_explicit(&r->list[--r->from]->live_bytes, memory_order_relaxed);
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
	return merge_start(s, input, n, clean_before);
}

/* ---- by hand ---- */

/* The next run of a compaction by hand: true when there is one. */
static bool find_run(struct store *s, struct run *r)
{
	struct compact *c = &s->compact;
	bool force = c->flags & STORE_COMPACT_FORCE;

	for (r->from = 0; r->from < r->count; r->from++) {
		const struct segment *g = r->list[r->from];
		if (g->first >= c->at && g->first < c->until && may_merge(g) && (force || count_garbage(g)))
			break;
	}
	r->to = r->from;
	while (r->to < r->count && r->list[r->to]->first < c->until && may_merge(r->list[r->to]) &&
		(force || count_garbage(r->list[r->to])) && (r->to == r->from || fits(s, r, r->list[r->to])))
		take_after(r);
	return r->to > r->from;
}

static void end_by_hand(struct store *s, int result)
{
	struct compact *c = &s->compact;
	struct store_stats stats = { 0 };

	slots_stats(s, &stats);
	c->bytes_after = stats.log_bytes;
	c->saved = c->bytes_before > c->bytes_after ? c->bytes_before - c->bytes_after : 0;
	if (result)
		c->result = result;
	c->by_hand = false;
	c->sealing = NULL;
	c->done++;
}

static void go_on_by_hand(struct store *s)
{
	struct compact *c = &s->compact;
	struct run r = { 0 };

	if (c->sealing && (store_health(s, NULL) || c->sealing == s->active)) {
		end_by_hand(s, -EROFS); /* the disk refused the new segment */
		return;
	}
	if (c->sealing && !atomic_load(&c->sealing->complete))
		return;
	c->sealing = NULL;
	r.list = slots_list(s, &r.count);
	int error = r.list ? 0 : -ENOMEM;
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
	uint64_t number;

	c->wanted = false;
	c->by_hand = true;
	c->flags = c->wanted_flags;
	slots_stats(s, &stats);
	c->bytes_before = stats.log_bytes;
	c->result = 0;
	c->at = 0;
	c->sealing = s->active;
	bool seal = s->active->size > SEGMENT_HEADER && (c->flags & STORE_COMPACT_FORCE || count_garbage(s->active));
	int r = seal ? store_rotate(s, &number) : 0;
	if (!seal || r)
		c->sealing = NULL;
	c->until = s->active->first;
	if (r)
		end_by_hand(s, r < 0 ? r : -EROFS);
}

int store_compact(struct store *s, unsigned flags, uint64_t *ret_ticket)
{
	struct compact *c = &s->compact;

	if (store_health(s, NULL))
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

	for (size_t i = 0; i < r->count; i++) {
		const struct segment *g = r->list[i];
		uint64_t share = may_merge(g) ? count_gain(g) * 1000 / (g->size - SEGMENT_HEADER) : 0;
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

void store_compact_tick(struct store *s)
{
	struct compact *c = &s->compact;
	uint64_t gain = 0, kept = 0, total = s->active->size;
	struct run r = { 0 };

	if ((c->settings.garbage_ratio == 0 && c->settings.max_garbage == 0) || c->merge || c->wanted || c->by_hand || c->closed || c->paused || store_health(s, NULL) ||
		clock_mono_ns(s->clock) < c->retry_ns)
		return;
	r.list = slots_list(s, &r.count);
	for (size_t i = 0; i < r.count && r.list; i++) {
		const struct segment *g = r.list[i];
		if (!may_merge(g))
			continue;
		gain += count_gain(g);
		kept += g->kept;
		total += g->size;
	}
	if (is_too_much(s, gain, total)) {
		if (find_best_run(s, &r) && start_run(s, &r))
			c->retry_ns = clock_mono_ns(s->clock) + RETRY_NS;
	} else if (is_too_much(s, kept, total)) {
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
			"%zu segments of %" PRIu64 " bytes merged to %" PRIu64 " bytes", m->inputs, before, after);
		return;
	}
	struct store_event e = { .kind = STORE_EVENT_MERGE_FAILED };
	if (m->problem_segment) {
		segment_name(name, m->problem_segment->number);
		e.file = name;
		e.offset = m->problem_offset;
		s->damaged++;
	}
	/* A full disk is told once, not with every attempt. */
	if (m->result != -EAGAIN && (!c->told_failed || m->problem_segment))
		store_tell(s, e, "the merge was given up: %s", c->problem);
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
	} else {
		c->merges_failed++;
		c->retry_ns = clock_mono_ns(s->clock) + RETRY_NS;
		snprintf(c->problem, sizeof(c->problem), "%s", *m->problem ? m->problem :
			m->result == -EAGAIN ? "the disk refused writes meanwhile" : strerror(-m->result));
	}
	tell_end(s, m, before, after);
	int result = m->result;
	c->merge = merge_free(m);
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
