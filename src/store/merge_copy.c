/* SPDX-License-Identifier: MIT
 *
 * The merge's thread: reads the inputs, writes the outputs, and walks through the steps merge.h lists. It never looks at the keydir.
 */
#include "store/inner.h"
#include "store/window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"

#define STEP_MOST ((size_t)256 << 10)  /* bytes of one batch, or one record; not more: a copy in the kernel is not left for a client */
#define STEP_LEAST ((size_t)16 << 10)
#define STEP_PART 2048                 /* of what the rate lets through in a second: the owner looks at a step without a rest, and a client waits */
#define MAX_ITEMS 4096                 /* records of one batch */
#define CATALOG_ROOM ((uint64_t)32 << 10) /* bytes of the disk without which a merge does not go on to its moves */
#define SYNC_MOST ((uint64_t)8 << 20)  /* bytes written between syncs */
#define SYNC_PART 128                  /* of what the rate lets through in a second: the log's own sync waits for this one */
#define BACKGROUND_NICE 10             /* not less: under load it would fall behind the garbage that the load makes */
#define LOOK_PAUSED_NS 50000000        /* between looks whether it still is */
#define RETRY_NS 1000000000            /* until a catalog that could not be written is tried again */
#define REST_LEAST_NS 500000           /* a rest that is shorter is not taken */
#define MAKE_UP_NS 5000000             /* what a slow disk kept back is made up for so far */

/* ---- waiting ---- */

/* Asks once the question before has its answer. */
static int post(struct merge *m, enum merge_ask ask, struct merge_batch *about)
{
	pthread_mutex_lock(&m->lock);
	while (m->ask != MERGE_NOTHING && !m->stop)
		pthread_cond_wait(&m->answered, &m->lock);
	int r = m->stop ? -ECANCELED : 0;
	if (r == 0) {
		m->ask = ask;
		m->about = about;
	}
	pthread_mutex_unlock(&m->lock);
	if (r == 0)
		store_notify(m->store);
	return r;
}

static int wait_answer(struct merge *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->ask != MERGE_NOTHING && !m->stop)
		pthread_cond_wait(&m->answered, &m->lock);
	int r = m->stop ? -ECANCELED : m->answer;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static int ask_owner(struct merge *m, enum merge_ask ask)
{
	int r = post(m, ask, NULL);

	return r ? r : wait_answer(m);
}

static uint64_t read_clock(void)
{
	return clock_mono_ns(&clock_system);
}

/* Rests until that time, or until another rate is set, or the store is closed: -ECANCELED then. */
static int rest_until(struct merge *m, uint64_t ns)
{
	struct timespec until = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };
	uint64_t rate = atomic_load(&m->rate);

	pthread_mutex_lock(&m->lock);
	while (!m->stop && atomic_load(&m->rate) == rate && pthread_cond_timedwait(&m->answered, &m->lock, &until) != ETIMEDOUT)
		;
	int r = m->stop ? -ECANCELED : 0;
	pthread_mutex_unlock(&m->lock);
	return r;
}

/* Keeps to the rate, and stands still while paused. */
static int keep_pace(struct merge *m, uint64_t bytes)
{
	int r = 0;

	while (r == 0 && atomic_load(&m->paused))
		r = rest_until(m, read_clock() + LOOK_PAUSED_NS);
	uint64_t rate = atomic_load(&m->rate), now = rate ? read_clock() : 0;
	if (rate == 0 || r)
		return r;
	if (m->paid_ns + MAKE_UP_NS < now)
		m->paid_ns = now - MAKE_UP_NS;
	m->paid_ns += (uint64_t)((double)bytes * 1e9 / (double)rate);
	if (m->paid_ns < now + REST_LEAST_NS)
		return 0;
	r = rest_until(m, m->paid_ns);
	if (atomic_load(&m->rate) != rate)
		m->paid_ns = 0;
	return r;
}

/* Bytes read or written at once: few where there is time, so that the work comes in small pieces, evenly. */
static size_t choose_step(const struct merge *m)
{
	uint64_t step = atomic_load(&m->rate) / STEP_PART;

	return step == 0 || step > STEP_MOST ? STEP_MOST : step < STEP_LEAST ? STEP_LEAST : (size_t)step;
}

/* ---- reading ---- */

static int fail(struct merge *m, int error, const char *what, const struct segment *g)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, g->number);
	if (!*m->problem)
		snprintf(m->problem, sizeof(m->problem), "%s %s: %s", what, name, strerror(-error));
	return error;
}

static int report_damage(struct merge *m, struct segment *g, uint64_t offset)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, g->number);
	snprintf(m->problem, sizeof(m->problem), "%s: damaged at offset %" PRIu64 ": a record fails its checksum", name, offset);
	m->problem_segment = g;
	m->problem_offset = offset;
	return -EUCLEAN;
}

static int grow_batch(struct merge_batch *b)
{
	size_t cap = b->cap ? b->cap * 2 : 1024;
	struct merge_item *more = realloc(b->item, cap * sizeof(*more));

	if (!more)
		return -ENOMEM;
	b->item = more;
	b->cap = cap;
	return 0;
}

/* Fills a batch with records from *at on, whose bytes stay valid as long as it is not filled again; *at moves behind them. */
static int read_batch(struct merge *m, struct merge_batch *b, struct segment *g, uint64_t *at)
{
	struct window *w = &b->window;
	struct slice bytes;
	uint64_t begun = *at;
	size_t step = choose_step(m);

	*w = (struct window){ .io = m->store->io, .fd = m->in_fd, .step = step, .limit = g->size, .data = w->data };
	w->data.len = 0; /* of another place */
	int r = window_at(w, *at, step, &bytes);
	for (b->items = b->answered = 0; r == 0 && b->items < MAX_ITEMS && *at < g->size;) {
		r = b->items == b->cap ? grow_batch(b) : 0;
		if (r)
			break;
		struct merge_item *item = &b->item[b->items];
		*item = (struct merge_item){ 0 };
		int d = record_decode(bytes.ptr, bytes.len, record_bind(g->seed, *at), &item->r, &item->size);
		if (d == RECORD_SHORT && b->items)
			break;
		if (d == RECORD_SHORT && item->size > bytes.len && item->size <= g->size - *at) {
			r = window_at(w, *at, item->size, &bytes);
			if (r == 0 && bytes.len < item->size)
				return report_damage(m, g, *at);
			continue;
		}
		if (d || item->r.ns >= STORE_MAX_DATABASES || item->r.position != segment_position(g, *at))
			return report_damage(m, g, *at);
		item->where = locator_make(g->slot, *at, item->size);
		bytes = slice_skip(bytes, item->size);
		*at += item->size;
		b->items++;
	}
	return r ? fail(m, r, "reading", g) : keep_pace(m, *at - begun);
}

/* ---- writing ---- */

static struct segment *current_output(const struct merge *m)
{
	return m->out_fd >= 0 ? m->output[m->outputs - 1] : NULL;
}

static uint64_t sync_step(const struct merge *m)
{
	uint64_t step = atomic_load(&m->rate) / SYNC_PART;

	return step && step < SYNC_MOST ? step : SYNC_MOST;
}

static int write_out(struct merge *m)
{
	struct store *s = m->store;
	struct segment *g = current_output(m);
	struct iovec v = { m->out.ptr, m->out.len };

	if (m->out.len == 0)
		return 0;
	ssize_t n = s->io->pwritev(s->io, m->out_fd, &v, 1, g->size - m->out.len);
	if (n < 0)
		return fail(m, (int)n, "writing", g);
	atomic_fetch_add(&m->bytes_written, m->out.len);
	uint64_t len = m->out.len;
	m->unsynced += len;
	buf_reset(&m->out, STEP_MOST);
	if (m->unsynced >= sync_step(m)) {
		int r = s->io->fdatasync(s->io, m->out_fd);
		if (r)
			return fail(m, r, "syncing", g);
		m->unsynced = 0;
	}
	return keep_pace(m, len);
}

static int end_output(struct merge *m)
{
	struct store *s = m->store;
	struct segment *g = current_output(m);

	if (!g)
		return 0;
	int r = write_out(m);
	if (r)
		return r;
	r = s->io->fsync(s->io, m->out_fd);
	if (r)
		return fail(m, r, "syncing", g);
	m->next_first = segment_position(g, g->size);
	m->unsynced = 0;
	s->io->close(s->io, m->out_fd); /* it is opened again where it is read */
	m->out_fd = -1;
	return 0;
}

static int begin_output(struct merge *m)
{
	struct store *s = m->store;
	int r = end_output(m);

	if (r == 0)
		r = ask_owner(m, MERGE_OUTPUT);
	if (r)
		return r;
	struct segment *g = m->output[m->outputs - 1];
	r = segment_begin(s->io, s->dir, g, s->id, clock_wall_ms(s->clock), &m->out_fd);
	if (r) {
		m->out_fd = -1;
		return fail(m, r, "making", g);
	}
	return 0;
}

/*
 * The thread reads segments through descriptors of its own, one at a time: those of the segments are the owner's to close, and a merge of many must
 * not need one for each.
 */
static int open_input(struct merge *m, const struct segment *g)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, g->number);
	int fd = m->store->io->open(m->store->io, m->store->dir, name, O_RDONLY, 0);
	if (fd < 0)
		return fail(m, fd, "opening", g);
	m->in_fd = fd;
	return 0;
}

static void close_input(struct merge *m)
{
	if (m->in_fd >= 0)
		m->store->io->close(m->store->io, m->in_fd);
	m->in_fd = -1;
}

static int note_place(struct merge *m, uint64_t where)
{
	if (m->froms == m->froms_cap) {
		size_t cap = m->froms_cap ? m->froms_cap * 2 : 4096;
		uint64_t *more = realloc(m->from, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->from = more;
		m->froms_cap = cap;
	}
	m->from[m->froms++] = where;
	return 0;
}

/* Appends a record: itself, but for place, position and the batch it was in, which is long complete. */
static int copy_record(struct merge *m, struct record r, uint64_t size, uint64_t from)
{
	struct segment *g = current_output(m);
	uint64_t limit = reserve_segment_size(m->store);
	int error = 0;

	if (!g || (g->size > SEGMENT_HEADER && g->size + size > limit)) {
		error = begin_output(m);
		if (error)
			return error;
		g = current_output(m);
	}
	if (merge_is_value(&r))
		error = note_place(m, from);
	else
		g->kept += size;
	g->marks |= record_marks(r.type);
	if (error || buf_reserve(&m->out, size))
		return fail(m, -ENOMEM, "writing", g);
	r.flags |= RECORD_COMMIT;
	r.position = segment_position(g, g->size);
	r.distance = 0; /* all before it is durable: it was when its inputs were sealed */
	record_encode(m->out.ptr + m->out.len, &r, record_bind(g->seed, g->size));
	m->out.len += size;
	g->size += size;
	return m->out.len >= choose_step(m) / 2 ? write_out(m) : 0;
}

/* Exchanges of databases concern no record: all of a run come to one arrangement, which is written at its end. */
static void fold_swap(struct merge *m, const struct record *r)
{
	unsigned other = r->key.len == 2 ? get_le16(r->key.ptr) : r->ns;

	if (other >= STORE_MAX_DATABASES)
		return;
	uint8_t keep = m->database[r->ns];
	m->database[r->ns] = m->database[other];
	m->database[other] = keep;
}

static int write_swaps(struct merge *m)
{
	uint8_t now[STORE_MAX_DATABASES];
	char key[2];
	int r = 0;

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		now[i] = (uint8_t)i;
	for (unsigned i = 0; i < STORE_MAX_DATABASES && r == 0; i++) {
		if (now[i] == m->database[i])
			continue;
		unsigned other = i + 1;
		while (now[other] != m->database[i])
			other++;
		now[other] = now[i];
		now[i] = m->database[i];
		put_le16(key, (uint16_t)other);
		struct record swap = { .type = RECORD_SWAP, .ns = i, .expire_wall_ms = RECORD_NEVER, .key = slice(key, sizeof(key)) };
		r = copy_record(m, swap, record_size(sizeof(key), 0, false), 0);
	}
	return r;
}

/* Writes what the owner wants kept. */
static int copy_batch(struct merge *m, const struct merge_batch *b)
{
	int r = 0;

	for (size_t i = 0; i < b->items && r == 0; i++) {
		const struct merge_item *item = &b->item[i];
		if (item->r.type == RECORD_SWAP)
			fold_swap(m, &item->r);
		else if (item->keep)
			r = copy_record(m, item->r, item->size, item->where);
	}
	return r;
}

static int copy_segment(struct merge *m, struct segment *g)
{
	int r = open_input(m, g);
	struct merge_batch *judged = NULL, *next = &m->batch[0];

	for (uint64_t at = SEGMENT_HEADER, begun = at; r == 0 && (at < g->size || judged); begun = at) {
		bool more = at < g->size;
		if (more)
			r = read_batch(m, next, g, &at);
		atomic_fetch_add(&m->bytes_read, at - begun);
		if (r == 0)
			r = wait_answer(m);
		if (r == 0 && more)
			r = post(m, MERGE_JUDGE, next);
		if (r == 0 && judged)
			r = copy_batch(m, judged);
		judged = more ? next : NULL;
		next = &m->batch[next == &m->batch[0]];
	}
	close_input(m);
	return r;
}

/* ---- the steps ---- */

/* It must not be the merge that fills the disk. On a full one the owner has reckoned what the reserve is enough for. */
static int find_room(struct merge *m)
{
	struct io *io = m->store->io;
	uint64_t room;

	if (m->on_reserve)
		reserve_give(m->store);
	if (m->on_reserve || m->expected == 0 || io->free_space(io, m->store->dir, &room) || room >= m->expected + MERGE_SPARE)
		return 0;
	merge_say_room(m->problem, sizeof(m->problem), m->expected, room);
	return -ENOSPC;
}

static int copy_all(struct merge *m)
{
	int r = find_room(m);

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		m->database[i] = (uint8_t)i;
	for (size_t i = 0; i < m->inputs && r == 0; i++)
		r = m->input[i]->unread ? keep_pace(m, 0) : copy_segment(m, m->input[i]);
	if (r == 0)
		r = write_swaps(m);
	return r ? r : end_output(m);
}

static int name_outputs(struct merge *m)
{
	struct store *s = m->store;

	if (m->outputs == 0)
		return 0;
	/* A file with a number the catalog does not know would prove the catalog an old copy. */
	struct segment *last = m->output[m->outputs - 1];
	uint64_t room;
	int r = slots_reserve_numbers(s, last->number + 1);
	m->naming = r == 0;
	/* From the moves on it cannot be given up, and would wait for a block for its catalog. */
	if (r == 0 && s->io->free_space(s->io, s->dir, &room) == 0 && room < CATALOG_ROOM)
		r = -ENOSPC;
	for (size_t i = 0; i < m->outputs && r == 0; i++)
		r = segment_give_name(s->io, s->dir, m->output[i]);
	if (r == 0)
		r = slots_sync_dir(s);
	return r ? fail(m, r, "naming", last) : 0;
}

/* The batches take turns across all segments: the one before may still be with the owner. */
static int move_segment(struct merge *m, struct segment *g, size_t *next, unsigned *turn)
{
	int r = open_input(m, g);

	for (uint64_t at = SEGMENT_HEADER; r == 0 && at < g->size;) {
		struct merge_batch *b = &m->batch[(*turn)++ % 2];
		r = read_batch(m, b, g, &at);
		for (size_t i = 0; i < b->items && r == 0; i++)
			if (merge_is_value(&b->item[i].r))
				b->item[i].from = m->from[(*next)++];
		if (r == 0)
			r = post(m, MERGE_MOVE, b);
	}
	close_input(m);
	return r;
}

static int move_all(struct merge *m)
{
	int r = MERGE_AGAIN;
	unsigned turn = 0;

	m->moving = true;
	while (r == MERGE_AGAIN) {
		size_t next = 0;
		r = 0;
		for (size_t i = 0; i < m->outputs && r == 0; i++)
			r = move_segment(m, m->output[i], &next, &turn);
		if (r == 0)
			r = ask_owner(m, MERGE_MOVED);
	}
	return r;
}

/* Both sets of files are there, so either catalog is right, and after an error it need not be known which of them is on the disk. */
static int switch_catalog(struct merge *m)
{
	for (;;) {
		int r = slots_name_merged(m->store);
		m->switched = r == 0;
		if (!sync_may_pass(r))
			return r ? fail(m, r, "naming", m->input[0]) : 0;
		atomic_store(&m->waits, r);
		store_notify(m->store);
		if (rest_until(m, read_clock() + RETRY_NS))
			return -ECANCELED;
	}
}

static void remove_inputs(struct merge *m)
{
	struct store *s = m->store;

	for (size_t i = 0; i < m->inputs; i++) {
		int fd = atomic_exchange(&m->input[i]->fd, -1);
		if (fd >= 0)
			s->io->close(s->io, fd);
		segment_remove(s->io, s->dir, m->input[i], true); /* what stays is removed at the next start */
	}
}

static void remove_outputs(struct merge *m)
{
	struct store *s = m->store;

	if (m->out_fd >= 0)
		s->io->close(s->io, m->out_fd);
	m->out_fd = -1;
	for (size_t i = 0; i < m->outputs; i++) {
		int fd = atomic_exchange(&m->output[i]->fd, -1);
		if (fd >= 0)
			s->io->close(s->io, fd);
		segment_remove(s->io, s->dir, m->output[i], m->naming);
	}
}

static int merge_all(struct merge *m)
{
	int r = copy_all(m);

	if (r == 0)
		r = ask_owner(m, MERGE_SETTLE);
	if (r == 0)
		r = name_outputs(m);
	if (r == 0)
		r = move_all(m);
	if (r == 0)
		r = switch_catalog(m);
	if (r == 0)
		r = ask_owner(m, MERGE_RETIRE);
	if (r == 0)
		remove_inputs(m);
	return r;
}

void *merge_run(void *arg)
{
	struct merge *m = arg;

	thread_to_background(BACKGROUND_NICE);
	m->result = merge_all(m);
	wait_answer(m); /* to a question that a failure left behind */
	if (m->result && !m->moving)
		remove_outputs(m);
	pthread_mutex_lock(&m->lock);
	m->ask = MERGE_DONE;
	pthread_mutex_unlock(&m->lock);
	store_notify(m->store);
	return NULL;
}
