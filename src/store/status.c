/* SPDX-License-Identifier: MIT
 *
 * What the owner asks of the running store: positions, health, time, settings, numbers.
 */
#include "store/txn.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#define MAX_TREMBLE_MS 20 /* between two clocks read one after the other */
#define SWEEP ((size_t)8 << 20) /* bytes of blocks given back in a turn */
#define BACKLOG_LIMIT ((uint64_t)64 << 20) /* bytes in memory waiting for the disk */

/* ---- positions ---- */

uint64_t store_position(const struct store *s)
{
	return s->position;
}

uint64_t store_durable(const struct store *s)
{
	return atomic_load_explicit(&s->sync.durable, memory_order_acquire);
}

uint64_t store_releasable(const struct store *s)
{
	if (atomic_load_explicit(&s->sync.durability, memory_order_relaxed) == STORE_ALWAYS) {
		uint64_t durable = store_durable(s), kept = atomic_load_explicit(&s->sync.kept, memory_order_relaxed);
		return durable > kept ? durable : kept;
	}
	return atomic_load_explicit(&s->sync.written, memory_order_acquire);
}

int store_notify_fd(const struct store *s)
{
	return s->notify_fd;
}

static void tell_state(struct store *s)
{
	int state = atomic_load(&s->sync.state);
	const char *text = NULL;

	if (state == s->told_state && state != SYNC_RUNNING && s->rolled_back != s->told_rolled_back)
		s->told_state = SYNC_RUNNING; /* refused again without having been well: that must be told, too */
	s->told_rolled_back = s->rolled_back;
	if (state == s->told_state)
		return;
	s->told_state = state;
	if (state == SYNC_RUNNING) {
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_RESUMED }, "writes are taken again");
		return;
	}
	store_health(s, &text);
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_REFUSING }, "writes are refused: %s", text);
}

void store_poll(struct store *s)
{
	uint64_t count;
	ssize_t n = read(s->notify_fd, &count, sizeof(count));

	(void)n; /* nothing there is as good */
	pool_poll(s);
	scrub_poll(s);
	bool refused = atomic_load(&s->sync.refused);
	if (refused) {
		rollback_run(s);
		s->rolled_back++;
	}
	tell_state(s);
	checkpoint_turn(s);
	snapshot_poll(s);
	/* A merge may commit (it deletes what has expired). Before that the caller must see how far the rollback went. */
	if (refused)
		store_notify(s);
	else
		compact_poll(s);
	tail_trim(&s->tail, store_durable(s));
	/* A little of it each turn. */
	if (blocks_sweep(s->blocks, SWEEP))
		store_notify(s);
}

void store_submit(struct store *s)
{
	if (atomic_load_explicit(&s->sync.submitted, memory_order_relaxed) == s->position)
		return;
	atomic_store(&s->sync.submitted, s->position);
	sync_wake(s);
}

void store_barrier(struct store *s)
{
	atomic_store(&s->sync.barrier, s->position);
	atomic_store(&s->sync.submitted, s->position);
	sync_wake(s);
}

int store_rotate(struct store *s, uint64_t *ret_segment)
{
	return store_health(s, NULL) ? STORE_REFUSED : store_seal(s, ret_segment);
}

int store_seal(struct store *s, uint64_t *ret_segment)
{
	struct sync *y = &s->sync;

	if (s->active->size > SEGMENT_HEADER && !store_begin_segment(s))
		return -ENOMEM;
	*ret_segment = s->active->number;
	if (store_rotated(s, s->active->number))
		return 0;
	/* The sync thread needs a place in the tail to stand at, and after an opening there may be none yet. */
	if (!tail_oldest(&s->tail) && !tail_room(&s->tail, s->active, s->position, 0))
		return -ENOMEM;
	store_submit(s);
	atomic_store(&y->wanted, s->active);
	sync_wake(s);
	return 0;
}

bool store_rotated(const struct store *s, uint64_t segment)
{
	return atomic_load(&s->sync.named) >= segment;
}

int store_wait(struct store *s, uint64_t position)
{
	struct sync *y = &s->sync;
	int r = 0;

	if (position <= s->position)
		store_barrier(s);
	pthread_mutex_lock(&y->lock);
	if (position > s->position) { /* it was taken back, or never given out */
		r = y->error ? y->error : -EINVAL;
		pthread_mutex_unlock(&y->lock);
		return r;
	}
	while (atomic_load(&y->durable) < position && !atomic_load(&y->refused) && atomic_load(&y->state) != SYNC_FAILED)
		pthread_cond_wait(&y->progress, &y->lock);
	if (atomic_load(&y->durable) < position)
		r = y->error ? y->error : -EIO;
	pthread_mutex_unlock(&y->lock);
	tail_trim(&s->tail, store_durable(s));
	return r;
}

int store_settle(struct store *s, uint64_t position)
{
	struct sync *y = &s->sync;
	int r = 0;

	store_submit(s);
	pthread_mutex_lock(&y->lock);
	while (store_releasable(s) < position && position <= s->position && !atomic_load(&y->refused) && atomic_load(&y->state) != SYNC_FAILED)
		pthread_cond_wait(&y->progress, &y->lock);
	if (store_releasable(s) < position)
		r = y->error ? y->error : position > s->position ? -EINVAL : -EIO;
	pthread_mutex_unlock(&y->lock);
	tail_trim(&s->tail, store_durable(s));
	return r;
}

uint64_t store_backlog(const struct store *s)
{
	return s->position - atomic_load_explicit(&s->sync.written, memory_order_relaxed);
}

uint64_t store_backlog_limit(const struct store *s)
{
	(void)s;
	return BACKLOG_LIMIT;
}

/* ---- health ---- */

int store_health(const struct store *s, const char **ret_text)
{
	struct store *mine = (struct store *)s; /* the text is a copy made for the caller; nothing of the state changes */

	if (s->options.flags & STORE_READ_ONLY) {
		store_set_problem(mine, "the store was opened read-only");
		if (ret_text)
			*ret_text = s->problem;
		return STORE_REFUSED;
	}
	if (atomic_load_explicit(&s->sync.state, memory_order_relaxed) == SYNC_RUNNING) {
		if (ret_text)
			*ret_text = "";
		return 0;
	}
	pthread_mutex_lock(&mine->sync.lock);
	store_set_problem(mine, "%s", s->sync.problem);
	pthread_mutex_unlock(&mine->sync.lock);
	if (ret_text)
		*ret_text = s->problem;
	return STORE_REFUSED;
}

uint64_t store_rollbacks(const struct store *s)
{
	return s->rolled_back;
}

const char *store_problem(const struct store *s)
{
	return s->problem;
}

/* ---- time ---- */

int64_t store_now(const struct store *s)
{
	return s->wall_base + (int64_t)((clock_mono_ns(s->clock) - s->mono_base) / 1000000);
}

static int64_t add_saturating(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b > 0 ? STORE_NO_EXPIRY - 1 : INT64_MIN;
	return sum == STORE_NO_EXPIRY ? sum - 1 : sum; /* the last moment is not "never" */
}

/* Wall time minus steady time, of one moment: the thread was not held up between the two clocks. */
static int64_t read_offset(const struct store *s)
{
	int64_t before, wall;
	unsigned tries = 0;

	do {
		before = store_now(s);
		wall = clock_wall_ms(s->clock);
	} while (store_now(s) - before > 1 && ++tries < 100);
	return wall - before;
}

static bool is_tremble(int64_t a, int64_t b)
{
	return a - b <= MAX_TREMBLE_MS && b - a <= MAX_TREMBLE_MS;
}

/*
 * The same, cached. The two clocks are read one after the other and cut to milliseconds, so the difference trembles; only a
 * real step (or slow drift that has added up) moves it, and times written and read back stay the same to the millisecond.
 */
static int64_t wall_offset(const struct store *s)
{
	struct store *mine = (struct store *)s; /* a cached reading of the clock, not state of the store */

	if (!is_tremble(clock_wall_ms(s->clock) - store_now(s), s->wall_offset)) {
		int64_t now = read_offset(s);
		if (!is_tremble(now, s->wall_offset))
			mine->wall_offset = now;
	}
	return s->wall_offset;
}

int64_t store_from_wall(const struct store *s, int64_t wall_ms)
{
	return add_saturating(wall_ms, -wall_offset(s));
}

int64_t store_to_wall(const struct store *s, int64_t steady_ms)
{
	return add_saturating(steady_ms, wall_offset(s));
}

bool store_is_full(const struct store *s)
{
	return atomic_load_explicit(&s->sync.state, memory_order_relaxed) == SYNC_FULL;
}

/* ---- settings and numbers ---- */

void store_set_durability(struct store *s, enum store_durability d, uint32_t interval_ms)
{
	/* Replies that left under a weaker policy cannot be called back. */
	atomic_store(&s->sync.kept, store_releasable(s));
	atomic_store(&s->sync.interval_ms, interval_ms ? interval_ms : 1000);
	atomic_store(&s->sync.durability, d);
	store_barrier(s);
}

void store_set_segment_size(struct store *s, uint64_t bytes)
{
	if (bytes < SEGMENT_SIZE_MIN || bytes > SEGMENT_SIZE_MAX)
		return;
	s->options.segment_size = bytes;
	atomic_store(&s->sync.segment_size, bytes);
}

void store_set_max_value(struct store *s, uint32_t bytes)
{
	if (bytes && bytes <= STORE_MAX_VALUE)
		s->options.max_value = bytes;
}

bool store_has_codec(enum store_codec codec)
{
	return codec == STORE_RAW || pack_has(codec);
}

void store_set_compression(struct store *s, enum store_codec codec, int level, uint32_t min)
{
	if (!store_has_codec(codec) || level < 0 || level > 9)
		return;
	s->pack.codec = codec;
	s->pack.level = level ? level : 1;
	s->pack.min = min ? min : 1024;
}

uint64_t store_count(const struct store *s, unsigned db)
{
	return keydir_count(s->keydir[s->ns_of[db]]);
}

uint64_t store_expiring(const struct store *s, unsigned db)
{
	return keydir_expiring(s->keydir[s->ns_of[db]]);
}

unsigned store_databases(const struct store *s)
{
	return s->databases;
}

void store_prefetch(struct store *s, const struct store_probe *probes, size_t n)
{
	struct keydir_probe k[STORE_PREFETCH_MAX];

	assert(n <= STORE_PREFETCH_MAX);
	for (size_t i = 0; i < n; i++)
		k[i] = (struct keydir_probe){ .k = s->keydir[s->ns_of[probes[i].db]], .key = probes[i].key };
	keydir_find(k, n);
	for (size_t i = 0; i < n; i++)
		if (k[i].found)
			cache_prefetch_index(&s->cache, k[i].entry.where);
	for (size_t i = 0; i < n; i++)
		if (k[i].found)
			cache_prefetch_entry(&s->cache, k[i].entry.where);
}

struct blocks *store_blocks(struct store *s)
{
	return s->blocks;
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	const struct sync *y = &s->sync;

	*ret = (struct store_stats){
		.cache_bytes = cache_bytes(&s->cache),
		.tail_bytes = s->tail.bytes,
		.block_bytes = atomic_load(&s->blocks->bytes),
		.cache_hits = s->cache.hits,
		.cache_misses = s->cache.misses,
		.fetches = s->fetches,
		.works = s->works,
		.active_segment = s->active->number,
		.commits = s->commits,
		.records = s->records,
		.bytes_appended = s->bytes_appended,
		.syncs = atomic_load(&y->syncs),
		.sync_us_total = atomic_load(&y->sync_us_total),
		.sync_us_max = atomic_load(&y->sync_us_max),
		.last_sync_us = atomic_load(&y->sync_us_last),
		.expired = s->expired,
		.reserve_bytes = atomic_load(&s->reserve.size),
		.recovered_records = s->recovered_records,
		.recovered_bytes = s->recovered_bytes,
		.recovery_us = s->recovery_us,
		.tail_bytes_cut = s->tail_bytes_cut,
		.damaged = s->damaged,
		.recovered_from_checkpoint = s->checkpoint.loaded,
		.checkpoint_running = s->checkpoint.job,
		.checkpoint_position = s->checkpoint.position,
		.checkpoint_bytes = s->checkpoint.bytes,
		.checkpoint_keys = s->checkpoint.keys,
		.checkpoint_us = s->checkpoint.us,
		.checkpoints = s->checkpoint.made,
		.checkpoint_failures = s->checkpoint.failed,
		.compressed_records = s->pack.records,
		.compressed_from = s->pack.given,
		.compressed_to = s->pack.stored,
	};
	int64_t age = clock_wall_ms(s->clock) - s->checkpoint.wall_ms;
	ret->checkpoint_age_ms = s->checkpoint.position && age > 0 ? (uint64_t)age : 0;
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		if (!s->keydir[i])
			continue;
		ret->keys += keydir_count(s->keydir[i]);
		ret->expiring += keydir_expiring(s->keydir[i]);
		ret->keydir_bytes += keydir_bytes(s->keydir[i]);
	}
	slots_stats(s, ret);
	compact_stats(s, ret);
}
