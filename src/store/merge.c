/* SPDX-License-Identifier: MIT
 *
 * The owner's side of a merge: which records are still needed, where keys live now, and when it is safe to go on. Each answer is a bounded piece of
 * work. The rules are those of doc/durability.md.
 */
#include "store/txn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBES 64 /* lookups that are overlapped */

static void set_role(struct store *s, struct segment *g, enum segment_role role)
{
	pthread_mutex_lock(&s->table_lock);
	g->role = role;
	pthread_mutex_unlock(&s->table_lock);
}

/* ---- judging ---- */

/* The next of the items: how many. */
static size_t look_up(const struct store *s, const struct merge_item *item, size_t items, struct keydir_probe *probe)
{
	size_t n = items < PROBES ? items : PROBES;

	for (size_t i = 0; i < n; i++)
		probe[i] = (struct keydir_probe){ .k = s->keydir[item[i].r.ns], .key = item[i].r.key };
	keydir_find(probe, n);
	return n;
}

/*
 * Whether no segment older than the run can hold what a tombstone at this position of an input hides. A merge that wrote the input has lowered the position; what
 * it copied was written before it began.
 */
static bool is_older_clean(const struct merge *m, const struct segment *input, uint64_t position)
{
	return position < m->clean_before && input->judged <= m->clean_before;
}

/*
 * A tombstone (of a key or a namespace) hides older versions from the replay. It may go when none are left: none in older segments, and those of the
 * run go with it. Or when a younger version hides them as well.
 */
static bool is_needed_tombstone(const struct merge *m, const struct merge_item *item, const struct keydir_probe *now)
{
	if (item->r.type == RECORD_GAP) /* says of a place that it is not known, and the place goes */
		return false;
	if (is_older_clean(m, m->store->slot[locator_slot(item->where)], item->r.position))
		return false;
	if (item->r.type != RECORD_DELETE)
		return true;
	return !now->found || read_position(m->store, now->entry.where) <= item->r.position;
}

/*
 * All that is known of a segment without reading it: judging its records one by one would keep none of them. As there, commits that may be taken back are
 * waited for before anything is done about it.
 */
static bool is_needed_segment(const struct merge *m, const struct segment *g)
{
	if (atomic_load(&g->live_bytes) || g->marks & SEGMENT_SWAPS)
		return true;
	return g->marks & SEGMENT_TOMBSTONES && !is_older_clean(m, g, segment_position(g, g->size));
}

/* now: what the keydir says of its key. */
static void judge_item(struct merge *m, struct merge_item *item, const struct keydir_probe *now)
{
	if (!merge_is_value(&item->r)) {
		item->keep = is_needed_tombstone(m, item, now);
		return;
	}
	item->keep = now->found && now->entry.where == item->where;
	item->expired = item->keep && txn_is_expired(m->store, now->entry.expire_ms);
}

/* Keys whose time has come are deleted the ordinary way, with a tombstone, so that their records need not be copied. */
static void delete_expired(struct store *s, struct merge_item *item, size_t items)
{
	struct txn *t = NULL;
	uint64_t position, n = 0;

	for (size_t i = 0; i < items; i++) {
		if (!item[i].expired)
			continue;
		if (!t)
			t = txn_begin(s, NULL);
		if (txn_add_delete(t, 0, item[i].r.ns, item[i].r.key)) {
			txn_abort(t);
			return;
		}
		n++;
	}
	if (!t || txn_commit(t, &position))
		return;
	s->expired += n;
	for (size_t i = 0; i < items; i++)
		item[i].keep &= !item[i].expired;
}

static void judge(struct merge *m, struct merge_item *item, size_t items)
{
	struct store *s = m->store;
	struct keydir_probe probe[PROBES];

	for (size_t i = 0, n; i < items; i += n) {
		n = look_up(s, &item[i], items - i, probe);
		for (size_t j = 0; j < n; j++)
			judge_item(m, &item[i + j], &probe[j]);
	}
	if (store_health(s, NULL) == 0)
		delete_expired(s, item, items);
}

static int add_output(struct merge *m)
{
	struct store *s = m->store;

	if (m->outputs == m->outputs_cap) {
		size_t cap = m->outputs_cap ? m->outputs_cap * 2 : 8;
		struct segment **more = realloc(m->output, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->output = more;
		m->outputs_cap = cap;
	}
	struct segment *g = store_add_output(s, m->next_first);
	if (!g)
		return -ENOMEM;
	g->sealed = true;
	g->judged = m->begun_at;
	m->output[m->outputs++] = g;
	return 0;
}

/* ---- waiting for what a power loss or a rollback could take back ---- */

static int wait_durable(struct merge *m)
{
	struct store *s = m->store;

	if (store_durable(s) >= m->settle_at)
		return 0;
	if (atomic_load(&s->sync.state) == SYNC_FAILED)
		return -EROFS;
	if (atomic_load(&s->sync.barrier) < m->settle_at)
		store_barrier(s);
	return MERGE_NOT_YET;
}

static int settle(struct merge *m)
{
	/* A commit was taken back: a record that was judged obsolete may be current again. */
	if (m->store->rolled_back != m->rollbacks)
		return -EAGAIN;
	return wait_durable(m);
}

/* ---- moving ---- */

static void move_item(struct store *s, const struct merge_item *item, const struct keydir_probe *now)
{
	if (!merge_is_value(&item->r) || !now->found || now->entry.where != item->from)
		return;
	keydir_move(now, item->where);
	store_count_dead(s, item->from);
	store_count_live(s, item->where);
}

static void move(struct merge *m, struct merge_item *item, size_t items)
{
	struct keydir_probe probe[PROBES];

	for (size_t i = 0, n; i < items; i += n) {
		n = look_up(m->store, &item[i], items - i, probe);
		for (size_t j = 0; j < n; j++)
			move_item(m->store, &item[i + j], &probe[j]);
	}
}

static int end_moves(struct merge *m)
{
	struct store *s = m->store;

	if (s->rolled_back != m->rollbacks) {
		/* Keys that were given back their old places move now. */
		m->rollbacks = s->rolled_back;
		m->settle_at = s->position;
		return MERGE_AGAIN;
	}
	int r = wait_durable(m);
	if (r)
		return r;
	/* A flushed database still counts while it could be put back, and while a thread frees it. */
	rollback_forget(s);
	for (size_t i = 0; i < m->inputs; i++)
		if (atomic_load(&m->input[i]->live_bytes))
			return MERGE_NOT_YET;
	return 0;
}

static int retire(struct merge *m)
{
	struct store *s = m->store;

	for (size_t i = 0; i < m->inputs; i++)
		if (m->input[i]->readers)
			return MERGE_NOT_YET;
	for (size_t i = 0; i < m->inputs; i++)
		slots_remove(s, m->input[i]);
	m->retired = true;
	return 0;
}

/* ---- the life of a merge ---- */

/* A piece of the batch in each turn, so that clients are served in between. */
static int look_at_batch(struct merge *m, struct merge_batch *b, void (*look)(struct merge *m, struct merge_item *item, size_t items))
{
	size_t left = b->items - b->answered, piece = left < MERGE_PIECE ? left : MERGE_PIECE;

	look(m, b->item + b->answered, piece);
	m->settle_at = m->store->position;
	b->answered += piece;
	if (b->answered == b->items)
		return 0;
	store_notify(m->store);
	return MERGE_NOT_YET;
}

static int answer(struct merge *m, enum merge_ask ask)
{
	switch (ask) {
	case MERGE_JUDGE:
		return look_at_batch(m, m->about, judge);
	case MERGE_OUTPUT:
		return add_output(m);
	case MERGE_SETTLE:
		return settle(m);
	case MERGE_MOVE:
		return look_at_batch(m, m->about, move);
	case MERGE_MOVED:
		return end_moves(m);
	case MERGE_RETIRE:
		return retire(m);
	case MERGE_NOTHING:
	case MERGE_DONE:
		break;
	}
	return 0;
}

bool merge_poll(struct merge *m)
{
	pthread_mutex_lock(&m->lock);
	enum merge_ask ask = m->ask;
	pthread_mutex_unlock(&m->lock);
	if (ask == MERGE_NOTHING || ask == MERGE_DONE)
		return ask == MERGE_DONE;
	int r = answer(m, ask);
	if (r == MERGE_NOT_YET)
		return false;
	pthread_mutex_lock(&m->lock);
	m->answer = r;
	m->ask = MERGE_NOTHING;
	pthread_cond_signal(&m->answered);
	pthread_mutex_unlock(&m->lock);
	return false;
}

int merge_start(struct store *s, struct segment **input, size_t n, uint64_t clean_before)
{
	struct merge *m = calloc(1, sizeof(*m));
	pthread_condattr_t monotonic;

	if (!m) {
		free(input);
		return -ENOMEM;
	}
	m->store = s;
	m->input = input;
	m->inputs = n;
	m->clean_before = clean_before;
	m->on_reserve = atomic_load(&s->reserve.lent) != 0;
	m->begun_at = m->settle_at = s->position;
	m->rollbacks = s->rolled_back;
	m->next_first = input[0]->first;
	m->in_fd = m->out_fd = -1;
	atomic_store(&m->rate, s->compact.settings.rate);
	atomic_store(&m->paused, s->compact.paused);
	for (size_t i = 0; i < n; i++) {
		m->expected += segment_expected(input[i]);
		input[i]->unread = !is_needed_segment(m, input[i]);
		if (!input[i]->unread)
			atomic_fetch_add(&m->bytes_total, input[i]->size - SEGMENT_HEADER);
	}
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	int r = thread_start(&m->thread, merge_run, m);
	if (r) {
		pthread_cond_destroy(&m->answered);
		pthread_mutex_destroy(&m->lock);
		free(m->input);
		free(m);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		set_role(s, input[i], SEGMENT_INPUT);
	s->compact.merge = m;
	return 0;
}

/* The inputs were replaced; unlinked, too, unless the store was closed just then. */
static void drop_inputs(struct merge *m)
{
	struct io *io = m->store->io;

	for (size_t i = 0; i < m->inputs; i++) {
		if (atomic_load(&m->input[i]->fd) >= 0)
			io->close(io, atomic_load(&m->input[i]->fd));
		free(m->input[i]);
	}
}

/* Nothing has happened: the log is as it was. */
static void drop_outputs(struct merge *m)
{
	struct store *s = m->store;

	for (size_t i = 0; i < m->outputs; i++) {
		slots_remove(s, m->output[i]);
		free(m->output[i]);
	}
	for (size_t i = 0; i < m->inputs; i++) {
		set_role(s, m->input[i], SEGMENT_IN_LOG);
		m->input[i]->stuck = m->input[i] == m->problem_segment;
	}
}

/*
 * Keys live in the outputs, the catalog names the inputs: both stay as they are. Merging the inputs again would take what lives in the outputs
 * for garbage, so they are left alone until the next start, which finds all in the inputs.
 */
static void leave_both(struct merge *m)
{
	struct store *s = m->store;

	for (size_t i = 0; i < m->outputs; i++)
		set_role(s, m->output[i], SEGMENT_STRAY);
	for (size_t i = 0; i < m->inputs; i++) {
		set_role(s, m->input[i], SEGMENT_IN_LOG);
		m->input[i]->stuck = true;
	}
}

struct merge *merge_free(struct merge *m)
{
	if (!m)
		return NULL;
	pthread_join(m->thread, NULL);
	if (m->retired)
		drop_inputs(m);
	else if (!m->moving)
		drop_outputs(m);
	else if (!m->switched) /* otherwise the store is being closed: the inputs go with the table, and their files at the next start */
		leave_both(m);
	pthread_cond_destroy(&m->answered);
	pthread_mutex_destroy(&m->lock);
	for (size_t i = 0; i < 2; i++) {
		buf_free(&m->batch[i].window.data);
		free(m->batch[i].item);
	}
	buf_free(&m->out);
	free(m->from);
	free(m->input);
	free(m->output);
	free(m);
	return NULL;
}

void merge_say_room(char *out, size_t size, uint64_t expected, uint64_t room)
{
	snprintf(out, size, "%" PRIu64 " bytes have to be copied, and there is room for %" PRIu64, expected, room);
}

void merge_set_rate(struct merge *m, uint64_t rate)
{
	pthread_mutex_lock(&m->lock);
	atomic_store(&m->rate, rate);
	pthread_cond_signal(&m->answered);
	pthread_mutex_unlock(&m->lock);
}

void merge_stop(struct store *s)
{
	struct merge *m = s->compact.merge;

	s->compact.closed = true;
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->stop = true;
	pthread_cond_signal(&m->answered);
	pthread_mutex_unlock(&m->lock);
	s->compact.merge = merge_free(m);
}
