/* SPDX-License-Identifier: MIT
 *
 * The sync thread: takes what the owner submitted, writes it with one call, syncs it with one call, publishes the durable position. All that
 * arrives meanwhile is the next group. It also makes the files of new segments, since only it knows when the old one is complete on disk:
 *
 *   rest of the old segment written and synced -> new file written, synced -> directory synced -> catalog replaced -> first record in the new
 *
 * A sync that failed is never repeated over the same data (invariant I5): the pages may be marked clean though they are lost. What was not
 * durable is taken back by the owner (rollback.c), and the store is read-only from then on. Running out of space is different: deletes go to the
 * allocated blocks ahead of the records, merges to the reserve (reserve.h), and writes are taken again when there is space for more than these.
 */
#include "store/inner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <time.h>

#define MAX_VECTORS 64
#define ZERO_STEP ((uint64_t)1 << 20)   /* bytes written ahead of the records at a time */
#define BIG_GROUP ((uint64_t)256 << 10) /* from this size on allocation costs less than writing twice */
#define LOOK_NS 150000                  /* how long the thread looks for more work before it sleeps */
#define RETRY_MS 1000                   /* between looks for space when the disk is full */

static const char zeros[64 << 10];

struct group {
	struct iovec iov[MAX_VECTORS + (size_t)((ZERO_STEP + SEGMENT_RESERVE) / sizeof(zeros)) + 2];
	int count;
	uint64_t offset, len; /* in the file; len without the zeros */
	uint64_t zeros;
	uint64_t end;         /* position behind it */
	bool partial;         /* its last transaction goes on behind it */
};

static void note_no_space(struct store *s)
{
	atomic_store(&s->sync.no_space_ns, clock_mono_ns(s->clock));
}

/*
 * refused: what was submitted behind `written` will never be written. Who sees that has to see why, and not take more: the reason comes first,
 * and both under the lock.
 */
static void set_state(struct store *s, enum sync_state state, int error, const char *what, bool refused)
{
	struct sync *y = &s->sync;
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, y->segment ? y->segment->number : 0);
	pthread_mutex_lock(&y->lock);
	/* Failed is for good, and so is its reason. */
	if (atomic_load(&y->state) != SYNC_FAILED) {
		y->error = error;
		if (sync_needs_space(error))
			note_no_space(s);
		if (atomic_load(&y->state) == SYNC_RUNNING)
			y->reserve_before = atomic_load(&s->reserve.size);
		if (error)
			snprintf(y->problem, sizeof(y->problem), "%s %s failed: %s%s", what, name, strerror(-error),
				state == SYNC_FULL ? "; deletes are taken, and writes again when there is space" :
						     "; the store is read-only until it is opened anew");
		atomic_store(&y->state, state);
	}
	if (refused)
		atomic_store(&y->refused, true);
	pthread_cond_broadcast(&y->progress);
	pthread_mutex_unlock(&y->lock);
	store_notify(s);
}

static void refuse(struct store *s, enum sync_state state, int error, const char *what)
{
	set_state(s, state, error, what, true);
}

void sync_fail(struct store *s, int error, const char *what)
{
	set_state(s, SYNC_FAILED, error, what, false);
}

bool sync_may_pass(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE || sync_needs_space(error);
}

bool sync_needs_space(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* Bytes of a chunk below the submitted position. */
static uint64_t chunk_end(const struct chunk *c, uint64_t submitted)
{
	const struct chunk *next = atomic_load_explicit(&((struct chunk *)c)->next, memory_order_acquire);

	return next && next->position < submitted ? next->position : submitted;
}

/* Moves to the chunk that holds the first unwritten byte. */
static struct chunk *find_chunk(struct sync *y, uint64_t written)
{
	for (;;) {
		struct chunk *next = atomic_load_explicit(&y->chunk->next, memory_order_acquire);
		if (!next || next->position > written)
			return y->chunk;
		y->chunk = next;
	}
}

static void collect(struct sync *y, uint64_t written, uint64_t submitted, struct group *g)
{
	struct chunk *c = find_chunk(y, written);

	*g = (struct group){ .offset = segment_offset(c->segment, written), .end = written };
	for (const struct segment *segment = c->segment; c && c->segment == segment && g->count < MAX_VECTORS;) {
		uint64_t end = chunk_end(c, submitted);
		if (end <= g->end && end < submitted) { /* nothing stands behind the value before */
			c = atomic_load_explicit(&c->next, memory_order_acquire);
			continue;
		}
		if (end <= g->end)
			break;
		g->iov[g->count++] = (struct iovec){ c->data + (g->end - c->position), end - g->end };
		g->len += end - g->end;
		g->end = end;
		c = end < submitted ? atomic_load_explicit(&c->next, memory_order_acquire) : NULL;
	}
	/* An empty chunk is not the rest of a transaction, and what is behind it may be of another segment. */
	while (c && c->position < submitted && chunk_end(c, submitted) == c->position)
		c = atomic_load_explicit(&c->next, memory_order_acquire);
	g->partial = c && c->joined && c->position < submitted;
}

/* A small group that comes near the end of the allocated blocks takes zeros along, so that the next ones find blocks. */
static void add_zeros(const struct store *s, struct group *g)
{
	const struct sync *y = &s->sync;
	uint64_t end = g->offset + g->len, limit = reserve_segment_size(s) + SEGMENT_RESERVE;
	uint64_t want = g->len < BIG_GROUP ? ((end + SEGMENT_RESERVE) / ZERO_STEP + 1) * ZERO_STEP : end + SEGMENT_RESERVE;

	if (end + SEGMENT_RESERVE <= y->allocated)
		return;
	if (want > limit)
		want = limit;
	if (want < end + SEGMENT_RESERVE)
		want = end + SEGMENT_RESERVE;
	/* What is left of the allocated blocks is zero already and is written again, so that group and zeros are one write. */
	for (uint64_t left = want - end; left;) {
		uint64_t n = left < sizeof(zeros) ? left : sizeof(zeros);
		g->iov[g->count++] = (struct iovec){ (void *)(uintptr_t)zeros, n };
		g->zeros += n;
		left -= n;
	}
}

static int write_group(struct store *s, struct group *g)
{
	struct sync *y = &s->sync;

	/* On a full disk only deletes come this far: they use up the reserve. Otherwise a group that would is refused whole. */
	if (atomic_load_explicit(&y->state, memory_order_relaxed) != SYNC_FULL && !g->partial)
		add_zeros(s, g);
	ssize_t n = s->io->pwritev(s->io, y->fd, g->iov, g->count, g->offset);
	if (n < 0)
		return (int)n;
	if (g->offset + g->len + g->zeros > y->allocated)
		y->allocated = g->offset + g->len + g->zeros;
	return 0;
}

static int sync_file(struct store *s)
{
	struct sync *y = &s->sync;
	uint64_t start = clock_mono_ns(s->clock);
	int r = s->io->fdatasync(s->io, y->fd);

	y->last_sync_ns = clock_mono_ns(s->clock);
	uint64_t us = (y->last_sync_ns - start) / 1000;
	atomic_fetch_add_explicit(&y->syncs, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&y->sync_us_total, us, memory_order_relaxed);
	atomic_store_explicit(&y->sync_us_last, us, memory_order_relaxed);
	if (us > atomic_load_explicit(&y->sync_us_max, memory_order_relaxed))
		atomic_store_explicit(&y->sync_us_max, us, memory_order_relaxed);
	return r;
}

static void publish_progress(struct store *s)
{
	store_notify(s);
	pthread_mutex_lock(&s->sync.lock);
	pthread_cond_broadcast(&s->sync.progress);
	pthread_mutex_unlock(&s->sync.lock);
}

static void publish_durable(struct store *s, uint64_t position)
{
	atomic_store_explicit(&s->sync.durable, position, memory_order_release);
	publish_progress(s);
}

/*
 * The old segment is written and synced: make the new file, name it, cut what the old one had allocated ahead. A failure leaves at most a file that no
 * catalog names, and the next attempt (or start) removes it.
 */
static int switch_segment(struct store *s, struct segment *next, const char **ret_what)
{
	struct sync *y = &s->sync;
	struct segment *old = y->segment;
	char name[SEGMENT_NAME_SIZE];
	int fd;

	segment_name(name, next->number);
	*ret_what = "making the segment after";
	int r = s->io->unlink(s->io, s->dir, name);
	if (r && r != -ENOENT)
		return r;
	r = segment_create(s->io, s->dir, next, s->id, clock_wall_ms(s->clock), &fd);
	if (r)
		return r;
	r = slots_sync_dir(s);
	if (r == 0) {
		*ret_what = "naming the segment after";
		r = slots_name_active(s, next, false);
	}
	if (r) {
		s->io->close(s->io, fd);
		return r;
	}
	/* Only now, since until here it is the reserve. Failing costs space, nothing else: the catalog knows the size. */
	s->io->ftruncate(s->io, y->fd, old->size);
	struct segment *wanted = next;
	atomic_compare_exchange_strong(&y->wanted, &wanted, NULL);
	atomic_store(&next->fd, fd);
	y->segment = next;
	y->fd = fd;
	/* From here on a merge may take the old one, and close its file. */
	atomic_store(&old->complete, true);
	y->allocated = SEGMENT_HEADER + SEGMENT_RESERVE;
	atomic_store(&y->named, next->number);
	store_notify(s);
	return 0;
}

static bool must_sync(struct store *s, uint64_t written, uint64_t durable)
{
	struct sync *y = &s->sync;

	if (written == durable)
		return false;
	switch (atomic_load_explicit(&y->durability, memory_order_relaxed)) {
	case STORE_ALWAYS:
		return true;
	case STORE_INTERVAL:
		if (clock_mono_ns(s->clock) - y->last_sync_ns >=
			(uint64_t)atomic_load_explicit(&y->interval_ms, memory_order_relaxed) * 1000000)
			return true;
	}
	return atomic_load_explicit(&y->barrier, memory_order_relaxed) > durable;
}

static int sync_now(struct store *s)
{
	struct sync *y = &s->sync;
	uint64_t written = atomic_load_explicit(&y->written, memory_order_relaxed);

	if (written == atomic_load_explicit(&y->durable, memory_order_relaxed))
		return 0;
	int r = sync_file(s);
	if (r) {
		refuse(s, SYNC_FAILED, r, "sync of");
		/* Best effort: what was refused should not show up at the next start. */
		uint64_t durable = atomic_load(&y->durable), first = y->segment->first;
		if (atomic_load(&y->durability) == STORE_ALWAYS && durable >= first && durable >= atomic_load(&y->kept))
			s->io->ftruncate(s->io, y->fd, segment_offset(y->segment, durable));
		return r;
	}
	publish_durable(s, written);
	return 0;
}

/* Goes over to the next segment: 0, or an error that has been reported. */
static int move_on(struct store *s, struct segment *next)
{
	const struct sync *y = &s->sync;
	const char *what;
	int r = sync_now(s);

	if (r)
		return r;
	/* A merge is to follow: the new file takes less than the end of the old one gives back. */
	if (atomic_load_explicit(&y->state, memory_order_relaxed) == SYNC_FULL)
		reserve_give(s);
	r = switch_segment(s, next, &what);
	if (r)
		refuse(s, sync_may_pass(r) ? SYNC_FULL : SYNC_FAILED, r, what);
	return r;
}

/* The segment that a rotation by hand asks for, once all before it is written. */
static struct segment *find_wanted(struct sync *y)
{
	struct segment *next = atomic_load(&y->wanted);

	return next && next->first == atomic_load_explicit(&y->written, memory_order_relaxed) ? next : NULL;
}

/* One group: 0 done, or an error that has been reported. */
static int write_some(struct store *s, uint64_t submitted)
{
	struct sync *y = &s->sync;
	uint64_t written = atomic_load_explicit(&y->written, memory_order_relaxed);
	struct segment *segment = find_chunk(y, written)->segment;
	struct group g;
	int r = segment != y->segment ? move_on(s, segment) : 0;

	if (r)
		return r;
	/* What is told to be written ends with a transaction, so that a rollback leaves no half of one. */
	for (g.end = written, g.partial = true; g.partial;) {
		collect(y, g.end, submitted, &g);
		r = write_group(s, &g);
		if (r) {
			y->garbage_end = g.offset + g.len + g.zeros;
			refuse(s, sync_may_pass(r) ? SYNC_FULL : SYNC_FAILED, r, "write of");
			return r;
		}
	}
	/* Leave the chunks of this group before anybody learns that they are done: the owner may free them then. */
	find_chunk(y, g.end);
	atomic_store_explicit(&y->written, g.end, memory_order_release);
	if (atomic_load_explicit(&y->durability, memory_order_relaxed) != STORE_ALWAYS)
		publish_progress(s);
	return 0;
}

/* Fills the file with zeros from *at up to end; *at is how far it came. */
/* Where in its file the next record goes. */
static uint64_t find_end(const struct sync *y)
{
	return segment_offset(y->segment, atomic_load_explicit(&y->written, memory_order_relaxed));
}

static int write_zeros(struct store *s, uint64_t *at, uint64_t end)
{
	while (*at < end) {
		uint64_t n = end - *at < sizeof(zeros) ? end - *at : sizeof(zeros);
		struct iovec v = { (void *)(uintptr_t)zeros, n };
		ssize_t written = s->io->pwritev(s->io, s->sync.fd, &v, 1, *at);
		if (written < 0)
			return (int)written;
		*at += n;
	}
	return 0;
}

/*
 * Removes the bytes of a refused group, and syncs that, so that no start takes them for commits: the kernel may have written them to the disk by itself.
 * At the stop there is no later attempt: where not even zeros can be written over them, they are cut off together with the reserve.
 */
static int clean_up(struct store *s, bool stop)
{
	struct sync *y = &s->sync;
	uint64_t start = find_end(y), offset = start;
	uint64_t end = y->garbage_end < y->allocated ? y->garbage_end : y->allocated;
	int r = 0;

	if (y->garbage_end > y->allocated)
		r = s->io->ftruncate(s->io, y->fd, y->allocated > offset ? y->allocated : offset);
	if (r == 0)
		r = write_zeros(s, &offset, end);
	/* Some file systems write even what is there to new blocks. */
	if (sync_needs_space(r) && reserve_give(s))
		r = write_zeros(s, &offset, end);
	if (r && stop) {
		r = s->io->ftruncate(s->io, y->fd, start);
		y->allocated = start;
	}
	if (r)
		return r;
	r = sync_file(s);
	if (r)
		refuse(s, SYNC_FAILED, r, "sync of");
	else
		y->garbage_end = 0;
	return r;
}

/* Blocks ahead of the records, as far as there is space; not more than the segment can use, as a new one would not get them. */
static int allocate_ahead(struct store *s, uint64_t bytes)
{
	struct sync *y = &s->sync;
	uint64_t offset = find_end(y), limit = reserve_segment_size(s) + SEGMENT_RESERVE, end = offset + bytes;

	if (end > limit)
		end = limit > offset + SEGMENT_RESERVE ? limit : offset + SEGMENT_RESERVE;
	if (y->allocated < offset)
		y->allocated = offset;
	return write_zeros(s, &y->allocated, end);
}

/* Deletes go on from the reserve, as long as enough of it stays for a merge. */
static void feed_deletes(struct store *s)
{
	struct sync *y = &s->sync;

	if (y->allocated >= find_end(y) + SEGMENT_RESERVE || atomic_load(&s->reserve.size) < RESERVE_LEAST || !reserve_give(s))
		return;
	allocate_ahead(s, SEGMENT_RESERVE);
	reserve_fill(s, y->allocated, 0);
}

/* Whether so much can be written, here or in a new segment. */
static bool has_room(struct store *s, uint64_t bytes)
{
	struct sync *y = &s->sync;
	uint64_t room;

	return s->io->free_space(s->io, s->dir, &room) || room + (y->allocated - find_end(y)) >= bytes;
}

/* It is back when there are blocks for the next writes and a reserve again, beside what a merge may still need. */
static void look_for_space(struct store *s)
{
	struct sync *y = &s->sync;
	int r = -ENOSPC;

	if (reserve_look(s, y->allocated, ZERO_STEP))
		r = reserve_fill(s, y->allocated, y->reserve_before);
	if (r == 0)
		r = allocate_ahead(s, ZERO_STEP);
	if (r == 0 && !has_room(s, ZERO_STEP))
		r = -ENOSPC;
	/* When the trouble was elsewhere (a new segment could not be made), the next write tells. */
	if (r == 0)
		set_state(s, SYNC_RUNNING, 0, "", false);
	if (sync_needs_space(r)) {
		note_no_space(s);
		feed_deletes(s);
		reserve_look(s, y->allocated, 0);
	}
}

static void answer_look(struct store *s, uint64_t asked)
{
	if (atomic_load(&s->reserve.answered) == asked)
		return;
	reserve_look(s, s->sync.allocated, 0);
	atomic_store(&s->reserve.answered, asked);
	store_notify(s);
}

/* As the log grows. Whoever waits for a write has had his reply. */
static void tend_reserve(struct store *s)
{
	struct sync *y = &s->sync;
	uint64_t end = segment_position(y->segment, y->allocated);

	/* A catalog may have been written to it. */
	if (y->tended_at == end && !atomic_exchange(&s->reserve.given, false))
		return;
	y->tended_at = end;
	if (reserve_is_due(s, y->allocated))
		reserve_fill(s, y->allocated, 0);
	reserve_look(s, y->allocated, 0);
}

/*
 * A client that waits for each of its writes sends the next one some 50 to 100 us after its reply. To sleep and be woken costs about as much again, so the
 * thread first looks for it, as long as the last ones did come that soon. Others who want the processor get it.
 */
static bool look_for_work(struct store *s, uint64_t submitted)
{
	struct sync *y = &s->sync;
	uint64_t now = clock_mono_ns(&clock_system), end = now + LOOK_NS;

	if (y->gap_ns > LOOK_NS || atomic_load_explicit(&y->durability, memory_order_relaxed) != STORE_ALWAYS)
		return false;
	for (; now < end; now = clock_mono_ns(&clock_system)) {
		if (atomic_load_explicit(&y->submitted, memory_order_acquire) != submitted)
			return true;
		sched_yield();
	}
	return false;
}

static void wait_for_work(struct store *s, uint64_t submitted)
{
	struct sync *y = &s->sync;
	uint64_t written = atomic_load_explicit(&y->written, memory_order_relaxed);
	bool dirty = written != atomic_load_explicit(&y->durable, memory_order_relaxed);
	bool full = atomic_load(&y->state) == SYNC_FULL;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t ms = full ? RETRY_MS : atomic_load_explicit(&y->interval_ms, memory_order_relaxed);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;

	pthread_mutex_lock(&y->lock);
	atomic_store(&y->sleeping, true);
	/* Submitting sets the position before it looks at `sleeping`; looking again after setting that misses nothing. */
	while (!y->stop && atomic_load(&y->submitted) == submitted && !find_wanted(y) &&
		reserve_looked(&s->reserve) && !must_sync(s, written, atomic_load(&y->durable))) {
		bool timed = full || (dirty && atomic_load(&y->durability) == STORE_INTERVAL);
		if (timed ? pthread_cond_timedwait(&y->work, &y->lock, &until) == ETIMEDOUT
			  : pthread_cond_wait(&y->work, &y->lock) != 0)
			break;
	}
	atomic_store(&y->sleeping, false);
	pthread_mutex_unlock(&y->lock);
}

/* Until the owner has taken back what was refused. False: it never will, the store is being closed. */
static bool wait_for_rollback(struct store *s)
{
	struct sync *y = &s->sync;

	pthread_mutex_lock(&y->lock);
	while (atomic_load(&y->refused) && !y->stop)
		pthread_cond_wait(&y->work, &y->lock);
	bool done = !atomic_load(&y->refused);
	pthread_mutex_unlock(&y->lock);
	return done;
}

static bool is_stopping(struct sync *y)
{
	pthread_mutex_lock(&y->lock);
	bool stop = y->stop;
	pthread_mutex_unlock(&y->lock);
	return stop;
}

/* Writes and syncs whatever is there to be. */
static int work(struct store *s, uint64_t submitted, bool stop)
{
	struct sync *y = &s->sync;
	int r = 0;

	while (r == 0 && atomic_load_explicit(&y->written, memory_order_relaxed) < submitted) {
		r = write_some(s, submitted);
		uint64_t written = atomic_load_explicit(&y->written, memory_order_relaxed);
		if (r == 0 && must_sync(s, written, atomic_load_explicit(&y->durable, memory_order_relaxed)))
			r = sync_now(s);
		/* Whatever came in meanwhile belongs to the next group. */
		submitted = atomic_load_explicit(&y->submitted, memory_order_acquire);
	}
	struct segment *wanted = r == 0 ? find_wanted(y) : NULL;
	if (wanted)
		r = move_on(s, wanted);
	if (r == 0 && (stop || must_sync(s, atomic_load(&y->written), atomic_load(&y->durable))))
		r = sync_now(s);
	return r;
}

static void *run(void *arg)
{
	struct store *s = arg;
	struct sync *y = &s->sync;

	for (;;) {
		bool stop = is_stopping(y);
		uint64_t submitted = atomic_load_explicit(&y->submitted, memory_order_acquire);
		uint64_t asked = atomic_load(&s->reserve.asked);
		bool full = atomic_load(&y->state) == SYNC_FULL;
		int r = full && y->garbage_end ? clean_up(s, stop) : 0;
		if (r == 0)
			r = work(s, submitted, stop);
		else if (atomic_load(&y->written) < submitted)
			refuse(s, SYNC_FULL, r, "cleaning of");
		if (r == 0 && full && !stop)
			look_for_space(s);
		else if (r == 0 && !stop)
			tend_reserve(s);
		answer_look(s, asked);
		if (stop || atomic_load(&y->state) == SYNC_FAILED)
			return NULL;
		if (atomic_load(&y->refused)) {
			if (!wait_for_rollback(s))
				return NULL;
			continue;
		}
		uint64_t idle_since = clock_mono_ns(&clock_system);
		if (!look_for_work(s, submitted))
			wait_for_work(s, submitted);
		y->gap_ns = clock_mono_ns(&clock_system) - idle_since;
	}
}

int sync_start(struct store *s)
{
	struct sync *y = &s->sync;
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&y->lock, NULL);
	pthread_cond_init(&y->work, &monotonic);
	pthread_cond_init(&y->progress, &monotonic);
	pthread_condattr_destroy(&monotonic);
	atomic_store(&y->submitted, s->position);
	atomic_store(&y->written, s->position);
	atomic_store(&y->durable, s->position);
	y->segment = s->active;
	y->fd = atomic_load(&s->active->fd);
	atomic_store(&y->named, s->active->number);
	y->allocated = s->active->size; /* recovery has cut it to its records */
	y->last_sync_ns = clock_mono_ns(s->clock);
	atomic_store(&y->segment_size, s->options.segment_size);
	y->started = true;
	return 0;
}

/* The thread itself starts with the first record: before, there is no chunk to follow. */
static int start_thread(struct store *s)
{
	struct sync *y = &s->sync;

	y->chunk = tail_oldest(&s->tail);
	int r = thread_start(&y->thread, run, s);
	y->running = r == 0;
	return r;
}

void sync_keep_full(struct store *s)
{
	struct sync *y = &s->sync;

	pthread_mutex_lock(&y->lock);
	if (atomic_load(&y->state) == SYNC_RUNNING) {
		y->error = -ENOSPC;
		snprintf(y->problem, sizeof(y->problem), "the disk is full; deletes are taken, and writes again when there is space");
		atomic_store(&y->state, SYNC_FULL);
	}
	pthread_mutex_unlock(&y->lock);
}

void sync_ask_for_look(struct store *s)
{
	uint64_t asked = atomic_fetch_add(&s->reserve.asked, 1) + 1;

	/* After an opening the thread has yet to be started, and needs a place in the tail to stand at. Without memory what was seen then has to do. */
	if (s->sync.running || tail_oldest(&s->tail) || tail_room(&s->tail, s->active, s->position, 0))
		sync_wake(s);
	else
		atomic_store(&s->reserve.answered, asked);
}

void sync_wake(struct store *s)
{
	struct sync *y = &s->sync;

	if (!y->running) {
		int r = tail_oldest(&s->tail) ? start_thread(s) : 0;
		if (r)
			refuse(s, SYNC_FAILED, r, "starting the thread that writes");
		return;
	}
	if (!atomic_load(&y->sleeping))
		return;
	/* The thread decides to sleep under the lock: after passing through it, it either has seen the work or is waiting. Signalling
	 * outside spares it from waking into a lock that is still held. */
	pthread_mutex_lock(&y->lock);
	pthread_mutex_unlock(&y->lock);
	pthread_cond_signal(&y->work);
}

/* On a full disk, too, when what was refused is gone from the file and from memory. */
static bool is_all_there(const struct sync *y)
{
	switch ((enum sync_state)atomic_load(&y->state)) {
	case SYNC_RUNNING:
		return true;
	case SYNC_FULL:
		return !atomic_load(&y->refused) && y->garbage_end == 0 && atomic_load(&y->durable) == atomic_load(&y->submitted);
	case SYNC_FAILED:
		break;
	}
	return false;
}

int sync_stop(struct store *s)
{
	struct sync *y = &s->sync;

	if (!y->started)
		return 0;
	pthread_mutex_lock(&y->lock);
	y->stop = true;
	pthread_cond_broadcast(&y->work);
	pthread_mutex_unlock(&y->lock);
	if (y->running)
		pthread_join(y->thread, NULL);
	int r = is_all_there(y) ? 0 : y->error;
	pthread_cond_destroy(&y->progress);
	pthread_cond_destroy(&y->work);
	pthread_mutex_destroy(&y->lock);
	y->running = false;
	y->started = false;
	return r;
}
