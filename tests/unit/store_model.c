/* SPDX-License-Identifier: MIT
 * The store against a plain model: random transactions, ordered reads, expiry, checkpoints, snapshots, segments begun and merged at any time, clean reopen, kill, power loss at
 * any call, failing calls, disks that get full.
 * What a store shows after any of these must be the model's state after some commit, none of them older than the last one known durable.
 *
 * KVD_TEST_LONG=1: a part of the disks is so small that they get full. KVD_TEST_SEED=N replays one case; KVD_TEST_CASES=N sets how many are run.
 */
#include <errno.h>
#include <sched.h>
#include <poll.h>
#include "sim/simdisk.h"
#include "store/inner.h"
#include "store/snapshot_tool.h"
#include "tap.h"

#define KEYS 24      /* distinct keys a database */
#define DATABASES 3
#define MAX_STEPS 60 /* of a transaction */
#define HISTORY 4096 /* commits between two moments known to be durable */

struct cell {
	bool there;
	uint32_t value; /* names the bytes: see make_value */
	int64_t expire_wall_ms;
};

struct state {
	struct cell cell[DATABASES][KEYS];
};

struct fake_clock {
	struct clock clock;
	_Atomic int64_t ms;
};

struct world {
	uint64_t seed, random;
	struct simdisk *disk;
	struct fake_clock clock;
	struct store *store;
	struct state *history; /* states after each commit since the last durable one; [0] is durable */
	uint64_t *position;
	size_t count;
	struct state *ghost;  /* states that a full disk has refused, as long as their bytes may stand in the log: until something later is durable */
	size_t ghosts;
	uint64_t ghosts_at;   /* the position behind which they stood */
	uint64_t rollbacks; /* of the open store, those seen */
	size_t taken_back; /* states up to here existed before a rollback; a failing disk may bring them back at the next start */
	uint32_t next_value;
	unsigned segment_kib;
	unsigned from_checkpoint; /* starts that used one */
	char snapshot[20];        /* name of the last one made; empty: none */
	struct state snapshot_state;
	unsigned snapshots;
	struct block *block[MAX_STEPS]; /* of the open transaction */
	size_t blocks;
	bool lockstep, merges, failing;
	uint64_t capacity;        /* of the disk; 0: it never gets full */
	unsigned fills;           /* times it was */
	enum store_durability durability;
	char why[200];
};

static uint64_t pick(struct world *w, uint64_t n)
{
	return sim_random(&w->random) % n;
}

static int64_t fake_wall(const struct clock *c)
{
	return ((const struct fake_clock *)(const void *)c)->ms;
}

static uint64_t fake_mono(const struct clock *c)
{
	return (uint64_t)((const struct fake_clock *)(const void *)c)->ms * 1000000;
}

static size_t make_key(char *out, unsigned i)
{
	/* Short, empty, binary and long keys, some a prefix of others. */
	static const size_t lengths[] = { 0, 1, 2, 3, 8, 16, 17, 300 };
	size_t len = i && i % 8 == 0 ? 5 : lengths[i % 8]; /* one empty key is enough */

	memset(out, i < 8 ? 'a' : i < 16 ? 0 : 0xff, len);
	if (len > 2)
		out[len - 1] = (char)i;
	return len;
}

static size_t make_value(char *out, uint32_t value)
{
	static const size_t lengths[] = { 0, 1, 7, 60, 100, 4000, 9000, 70000 };
	size_t len = lengths[value % 8];

	for (size_t i = 0; i < len; i++)
		out[i] = (char)(value >> (8 * (i & 3)) ^ i);
	return len;
}

static void open_world(struct world *w, int *ret, struct error *e)
{
	struct store_options o = {
		.path = "sim",
		.flags = STORE_CREATE | STORE_BLOCKING,
		.databases = DATABASES,
		.segment_size = (uint64_t)w->segment_kib << 10,
		.durability = w->durability,
		.interval_ms = 1,
		.cache_size = 1 << 20,
		.io = simdisk_io(w->disk),
		.clock = &w->clock.clock,
	};
	w->store = NULL;
	w->rollbacks = 0;
	*ret = store_open(&o, &w->store, e);
	/* There may not be room for what a crash has left to do, and then it says so. */
	if (*ret == -ENOSPC && w->capacity) {
		simdisk_set_capacity(w->disk, w->capacity += 1 << 20);
		open_world(w, ret, e);
		return;
	}
	if (*ret == 0)
		store_set_compaction(w->store, &(struct store_compaction){ .garbage_ratio = 20, .min_garbage = 1 });
}

static struct state *last_state(struct world *w)
{
	return &w->history[w->count - 1];
}

static bool is_alive(const struct world *w, const struct cell *c)
{
	return c->there && c->expire_wall_ms > w->clock.ms;
}

/* ---- one transaction, on both sides ---- */

/* It lives as long as the transaction. */
static struct block *make_block(struct world *w, struct slice value)
{
	struct block *b = block_new(store_blocks(w->store), value.len, value.len);

	memcpy(b->memory, value.ptr, value.len);
	block_take(b, value.len);
	w->block[w->blocks++] = b;
	return b;
}

static bool step_put(struct world *w, struct txn *t, struct state *s, char *memory)
{
	unsigned db = (unsigned)pick(w, DATABASES), k = (unsigned)pick(w, KEYS);
	struct cell c = { true, w->next_value++, INT64_MAX };
	int64_t expire = STORE_NO_EXPIRY;
	char *key = memory, *value = memory + 512;

	if (pick(w, 6) == 0) {
		c.expire_wall_ms = w->clock.ms + 1 + (int64_t)pick(w, 50);
		expire = store_from_wall(w->store, c.expire_wall_ms);
	}
	size_t key_len = make_key(key, k), len = make_value(value, c.value);
	/* What is large is a matter of the caller: small values in blocks go the way of large ones. */
	struct block *block = pick(w, 3) == 0 ? make_block(w, slice(value, len)) : NULL;
	struct txn_value v = { block ? block->value : slice(value, len), expire, block };
	int r = txn_put_value(t, db, slice(key, key_len), &v);
	if (r == 0)
		s->cell[db][k] = c;
	return r == 0;
}

static bool step_delete(struct world *w, struct txn *t, struct state *s, char *memory)
{
	unsigned db = (unsigned)pick(w, DATABASES), k = (unsigned)pick(w, KEYS);
	size_t len = make_key(memory, k);
	int r = txn_delete(t, db, slice(memory, len));

	if (r != 0 && r != STORE_ABSENT)
		return false;
	if ((r == 0) != is_alive(w, &s->cell[db][k])) {
		snprintf(w->why, sizeof(w->why), "delete of key %u in %u says %d", k, db, r);
		return true;
	}
	if (r == 0)
		s->cell[db][k].there = false;
	return true;
}

static bool step_flush(struct world *w, struct txn *t, struct state *s)
{
	unsigned db = (unsigned)pick(w, DATABASES);

	if (txn_flush(t, db))
		return false;
	memset(s->cell[db], 0, sizeof(s->cell[db]));
	return true;
}

static bool step_swap(struct world *w, struct txn *t, struct state *s)
{
	unsigned a = (unsigned)pick(w, DATABASES), b = (unsigned)pick(w, DATABASES);
	struct cell keep[KEYS];

	if (txn_swap(t, a, b))
		return false;
	memcpy(keep, s->cell[a], sizeof(keep));
	memmove(s->cell[a], s->cell[b], sizeof(keep));
	memcpy(s->cell[b], keep, sizeof(keep));
	return true;
}

/* Compares one key of the open transaction with the model. */
static void check_key(struct world *w, struct txn *t, const struct state *s, unsigned db, unsigned k)
{
	char key[512], value[70000];
	struct txn_value v;
	const struct cell *c = &s->cell[db][k];
	size_t key_len = make_key(key, k);
	int r = txn_get(t, db, slice(key, key_len), &v);

	if (r < 0 && simdisk_is_dead(w->disk))
		return;
	if (r != 0 && r != STORE_ABSENT)
		snprintf(w->why, sizeof(w->why), "get of key %u in %u: %d (%s)", k, db, r, store_problem(w->store));
	else if ((r == 0) != is_alive(w, c))
		snprintf(w->why, sizeof(w->why), "key %u in %u is %s", k, db, r == 0 ? "there, and should not" : "lost");
	else if (r == 0) {
		size_t len = make_value(value, c->value);
		if (v.data.len != len || (len && memcmp(v.data.ptr, value, len) != 0))
			snprintf(w->why, sizeof(w->why), "key %u in %u has another value", k, db);
		int64_t expire = v.expire_ms == STORE_NO_EXPIRY ? INT64_MAX : store_to_wall(w->store, v.expire_ms);
		if (expire != c->expire_wall_ms)
			snprintf(w->why, sizeof(w->why), "key %u in %u has another expiry", k, db);
	}
}

/* An ordered read of a whole database: exactly the model's keys, in order. */
static void check_scan(struct world *w, struct txn *t, const struct state *s, unsigned db, bool reverse)
{
	unsigned seen = 0, expected = 0;
	char last[512], name[512];
	size_t last_len = 0;
	struct slice key;

	for (unsigned k = 0; k < KEYS; k++)
		expected += is_alive(w, &s->cell[db][k]);
	struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), reverse);
	while (txn_scan_next(scan, &key, NULL) == 0) {
		int order = seen ? slice_cmp(slice(last, last_len), key) : reverse ? 1 : -1;
		bool known = false;
		for (unsigned k = 0; k < KEYS && !known; k++)
			known = is_alive(w, &s->cell[db][k]) && slice_eq(key, slice(name, make_key(name, k)));
		if (!known || (reverse ? order <= 0 : order >= 0))
			snprintf(w->why, sizeof(w->why), "scan of %u shows a key %s", db, known ? "out of order" : "that is not there");
		memcpy(last, key.ptr, key.len);
		last_len = key.len;
		seen++;
	}
	txn_scan_end(scan);
	if (seen != expected)
		snprintf(w->why, sizeof(w->why), "scan of %u shows %u keys of %u", db, seen, expected);
}

static void check_all(struct world *w, const struct state *s)
{
	struct txn *t = txn_begin(w->store, NULL);

	for (unsigned db = 0; db < DATABASES; db++) {
		for (unsigned k = 0; k < KEYS && !*w->why; k++)
			check_key(w, t, s, db, k);
		if (!*w->why)
			check_scan(w, t, s, db, pick(w, 2));
	}
	txn_abort(t);
}

/* Commits the disk refused are taken back, and then they never were. */
/* Before anything new is committed: it gets the positions of what was taken back. */
static void note_rollback(struct world *w)
{
	bool full = w->capacity && store_rollbacks(w->store) != w->rollbacks;

	if (store_rollbacks(w->store) != w->rollbacks)
		w->taken_back = w->count;
	w->rollbacks = store_rollbacks(w->store);
	if (full)
		w->ghosts_at = store_position(w->store);
	while (w->count > 1 && w->position[w->count - 1] > store_position(w->store)) {
		w->count--;
		if (full && w->ghosts < HISTORY)
			w->ghost[w->ghosts++] = w->history[w->count];
	}
}

static void poll_store(struct world *w)
{
	store_poll(w->store);
	note_rollback(w);
}

/* A wait that fails takes back, too. */
static void wait_for_all(struct world *w)
{
	store_wait(w->store, store_position(w->store));
	note_rollback(w);
}

static void forget_durable(struct world *w)
{
	uint64_t durable = store_durable(w->store);
	size_t keep = 0;

	if (durable > w->ghosts_at)
		w->ghosts = 0;
	while (keep + 1 < w->count && w->position[keep + 1] <= durable)
		keep++;
	size_t all = w->taken_back > w->count ? w->taken_back : w->count;
	memmove(w->history, w->history + keep, (all - keep) * sizeof(*w->history));
	memmove(w->position, w->position + keep, (all - keep) * sizeof(*w->position));
	w->count -= keep;
	w->taken_back = all > w->count ? all - keep : 0;
}

static void run_transaction(struct world *w)
{
	struct state next = *last_state(w);
	struct txn *t = txn_begin(w->store, NULL);
	size_t steps = pick(w, 8) == 0 ? 1 + pick(w, pick(w, 4) ? 30 : MAX_STEPS) : 1 + pick(w, 2);
	char *memory = malloc(steps * 71000);
	bool good = true, abort = pick(w, 20) == 0;
	uint64_t position, before = store_position(w->store);

	for (size_t i = 0; i < steps && good && !*w->why; i++) {
		uint64_t kind = pick(w, 100);
		char *m = memory + i * 71000;
		good = kind < 65 ? step_put(w, t, &next, m) :
		       kind < 96 ? step_delete(w, t, &next, m) :
		       kind < 98 ? step_swap(w, t, &next) :
				   step_flush(w, t, &next);
		if (good && pick(w, 10) == 0)
			check_key(w, t, &next, (unsigned)pick(w, DATABASES), (unsigned)pick(w, KEYS));
		if (good && pick(w, 30) == 0)
			check_scan(w, t, &next, (unsigned)pick(w, DATABASES), pick(w, 2));
	}
	if (abort || !good) {
		txn_abort(t);
	} else if (txn_commit(t, &position) == 0 && store_position(w->store) != before && w->count < HISTORY - 1) {
		w->history[w->count] = next;
		w->position[w->count++] = store_position(w->store);
		w->taken_back = 0;
	}
	while (w->blocks)
		block_unref(w->block[--w->blocks]);
	free(memory);
}

/* Makes a snapshot and deletes the one before. On a dying machine it may be there or not; one that is reported as made is there from then on. */
static void run_snapshot(struct world *w)
{
	struct store_snapshot_state st;
	char name[20];

	snprintf(name, sizeof(name), "s%u", ++w->snapshots);
	if (store_snapshot_begin(w->store, name, 0, NULL))
		return;
	do {
		sched_yield();
		poll_store(w);
		store_snapshot_state(w->store, &st);
	} while (st.running);
	if (st.last_result)
		return;
	char old[20];
	memcpy(old, w->snapshot, sizeof(old));
	memcpy(w->snapshot, name, sizeof(name));
	w->snapshot_state = *last_state(w);
	if (!*old || store_snapshot_delete(w->store, old))
		return;
	do {
		sched_yield();
		poll_store(w);
		store_snapshot_state(w->store, &st);
	} while (st.running);
}

static bool is_merging(struct world *w)
{
	struct store_stats stats;

	store_stats(w->store, &stats);
	return (stats.merging || stats.compacting) && !simdisk_is_dead(w->disk);
}

/* Segments are begun and merged, by hand or by themselves; sometimes the world waits for that, usually it goes on meanwhile. */
static void run_merges(struct world *w)
{
	uint64_t ticket, number;

	if (pick(w, 6) == 0)
		store_rotate(w->store, &number);
	if (pick(w, 12) == 0)
		store_compact(w->store, pick(w, 2) ? STORE_COMPACT_FORCE : 0, &ticket);
	if (pick(w, 4) == 0)
		store_compact_tick(w->store);
	if (pick(w, 10) == 0 && !w->failing) {
		while (is_merging(w)) {
			struct pollfd ready = { .fd = store_notify_fd(w->store), .events = POLLIN };
			poll(&ready, 1, 100);
			poll_store(w);
			store_submit(w->store);
			/* Without a block for its catalog it waits until others make room. */
			if (w->capacity && w->store->compact.merge && atomic_load(&w->store->compact.merge->waits))
				simdisk_set_capacity(w->disk, w->capacity += 1 << 20);
		}
		if (!simdisk_is_dead(w->disk) && !*w->why)
			check_all(w, last_state(w));
	}
}

static void run_stretch(struct world *w)
{
	for (size_t n = pick(w, 60); n > 0 && !*w->why; n--) {
		run_transaction(w);
		if (w->lockstep || pick(w, 3) == 0)
			store_submit(w->store);
		if (w->lockstep ? pick(w, 3) == 0 : pick(w, 12) == 0)
			wait_for_all(w);
		if (pick(w, 10) == 0)
			w->clock.ms += (int64_t)pick(w, 20);
		if (pick(w, 8) == 0)
			store_expire_some(w->store, 4);
		if (pick(w, 25) == 0)
			store_checkpoint(w->store);
		if (pick(w, 150) == 0)
			run_snapshot(w);
		if (w->merges)
			run_merges(w);
		poll_store(w);
		forget_durable(w);
		if (w->capacity && store_is_full(w->store)) {
			w->fills++;
			store_compact_tick(w->store);
		}
	}
}

/* ---- ends and beginnings ---- */

/* The live bytes of each segment are those of the records the keydirs lead to, however these were filled. */
static void check_live(struct world *w)
{
	const struct store *s = w->store;
	uint64_t *live = calloc(s->slots, sizeof(*live));

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		struct keydir_cursor *c = s->keydir[i] ? keydir_cursor_new(s->keydir[i]) : NULL;
		for (int r = c ? keydir_seek(c, slice(NULL, 0), 0) : 1; r == 0; r = keydir_next(c)) {
			uint64_t where = keydir_cursor_entry(c).where;
			live[locator_slot(where)] += locator_size(where);
		}
		keydir_cursor_free(c);
	}
	for (unsigned i = 0; i < s->slots; i++)
		if (live[i] != s->slot[i]->live_bytes)
			snprintf(w->why, sizeof(w->why), "segment %" PRIu64 " has %" PRIu64 " live bytes and counts %" PRIu64,
				s->slot[i]->number, live[i], s->slot[i]->live_bytes);
	free(live);
}

/* Every snapshot there is must be whole, and the last one made must be there and hold the state of its moment. */
static void check_snapshots(struct world *w)
{
	struct store_options o = { .flags = STORE_READ_ONLY | STORE_BLOCKING, .databases = DATABASES, .io = simdisk_io(w->disk),
		.clock = &w->clock.clock };
	const struct store_snapshot *list;
	struct store_snapshot_check check;
	struct store *live = w->store;
	struct error e = { 0 };
	char path[100];

	for (size_t i = store_snapshots(w->store, &list); i-- > 0 && !*w->why;)
		if (store_snapshot_verify(o.io, "sim", list[i].name, &check, &e))
			snprintf(w->why, sizeof(w->why), "%.190s", e.text);
	if (*w->why || !*w->snapshot)
		return;
	snprintf(path, sizeof(path), "sim/snapshots/%s", w->snapshot);
	o.path = path;
	if (store_open(&o, &w->store, &e)) {
		snprintf(w->why, sizeof(w->why), "snapshot: %.180s", e.text);
	} else {
		check_all(w, &w->snapshot_state);
		store_close(w->store);
	}
	w->store = live;
}

/* The reopened store must show one of the states it may show; that one is the only one from then on. */
static void settle(struct world *w, const char *how)
{
	char first_why[200] = "";

	w->from_checkpoint += w->store->checkpoint.loaded;
	check_live(w);
	if (!*w->why)
		check_snapshots(w);
	if (*w->why)
		return;

	size_t count = w->count + w->ghosts;
	for (size_t i = count; i-- > 0;) {
		const struct state *state = i < w->ghosts ? &w->ghost[i] : &w->history[i - w->ghosts];
		*w->why = 0;
		check_all(w, state);
		if (!*w->why) {
			w->history[0] = *state;
			w->ghosts = 0;
			w->position[0] = store_position(w->store);
			w->count = 1;
			return;
		}
		if (!*first_why)
			snprintf(first_why, sizeof(first_why), "%s", w->why);
	}
	snprintf(w->why, sizeof(w->why), "after %s none of %zu states fits: %.100s", how, count, first_why);
}

static void reopen(struct world *w, const char *how)
{
	struct error e = { 0 };
	int r;

	if (pick(w, 4) == 0)
		simdisk_die_at(w->disk, 1 + pick(w, 12)); /* a crash during recovery */
	open_world(w, &r, &e);
	/* It may die as late as in the removal of files nobody needs any more, and then the opening was a good one. */
	while (simdisk_is_dead(w->disk)) {
		store_close(w->store);
		simdisk_power_cycle(w->disk);
		if (pick(w, 3) == 0)
			simdisk_die_at(w->disk, 1 + pick(w, 12));
		open_world(w, &r, &e);
	}
	simdisk_die_at(w->disk, 0);
	if (r)
		snprintf(w->why, sizeof(w->why), "after %s it does not open: %.120s", how, e.text);
	else
		settle(w, how);
}

static void end_clean(struct world *w)
{
	struct state only = *last_state(w);
	int r = store_close(w->store);

	/* What is committed last may not fit any more, and then it is no clean one. */
	if (r == -ENOSPC && w->capacity) {
		simdisk_kill(w->disk);
		reopen(w, "a stop on a full disk");
		return;
	}
	if (r) {
		snprintf(w->why, sizeof(w->why), "close: %d", r);
		return;
	}
	if (pick(w, 2))
		simdisk_power_cycle(w->disk); /* a clean stop promises everything */
	else
		simdisk_kill(w->disk);
	w->history[0] = only;
	w->count = 1;
	w->ghosts = 0;
	reopen(w, "a clean stop");
}

/* The power goes at some call from here on; clients go on until they notice. */
static void end_power(struct world *w)
{
	simdisk_die_at(w->disk, 1 + pick(w, 12));
	for (int i = 0; i < 40 && !simdisk_is_dead(w->disk) && !*w->why; i++) {
		run_transaction(w);
		if (pick(w, 30) == 0)
			run_snapshot(w);
		store_submit(w->store);
		if (pick(w, 10) == 0)
			store_checkpoint(w->store);
		if (pick(w, 2))
			poll_store(w);
		if (w->lockstep || pick(w, 2))
			wait_for_all(w);
		if (w->merges) {
			run_merges(w);
			poll_store(w);
		}
		forget_durable(w);
	}
	*w->why = 0; /* what a dying machine answered counts for nothing; what it called durable does */
	/* What it took back, as calls failed, may have reached the disk all the same. */
	if (w->taken_back > w->count)
		w->count = w->taken_back;
	w->taken_back = 0;
	store_close(w->store);
	simdisk_power_cycle(w->disk);
	reopen(w, "power loss");
}

static void end_kill(struct world *w)
{
	/* Killed between two calls: nothing that was written is lost, nothing else ever reaches the disk. */
	simdisk_die_at(w->disk, 1 + pick(w, 3));
	store_close(w->store);
	simdisk_kill(w->disk);
	reopen(w, "kill");
}

static void end_failure(struct world *w)
{
	static const int errors[] = { EIO, ENOSPC };
	int error = errors[pick(w, 2)];
	enum simdisk_call kind = pick(w, 2) ? SIM_WRITE : SIM_SYNC;

	simdisk_fail(w->disk, kind, 1 + pick(w, 6), pick(w, 2) ? 1000000 : 0, -error);
	w->failing = true;
	run_stretch(w);
	w->failing = false;
	store_submit(w->store);
	wait_for_all(w);
	poll_store(w);
	/* Reads go on whatever happened. */
	if (!*w->why)
		check_all(w, last_state(w));
	store_close(w->store);
	/* When only the process ends, the next one finds in the page cache what the disk has lost. */
	bool power_gone = pick(w, 2);
	if (power_gone)
		simdisk_power_cycle(w->disk);
	else
		simdisk_kill(w->disk);
	/* A full disk says cleanly what it did not do; after an error nobody knows what reached the medium. */
	if ((error == EIO || kind == SIM_SYNC) && w->taken_back > w->count)
		w->count = w->taken_back;
	w->taken_back = 0;
	if (!*w->why)
		reopen(w, error == EIO ? power_gone ? "an I/O error" : "an I/O error, the machine going on" : "a full disk");
}

static uint64_t starts_from_checkpoints, fills;
static bool small_disks; /* what they refuse and when hangs on the threads: such a case is not always the same one */

static bool run_case(uint64_t seed)
{
	struct world w = { .seed = seed, .random = seed, .count = 1 };
	struct error e;
	int r;

	w.clock.clock = (struct clock){ fake_wall, fake_mono };
	w.clock.ms = 1700000000000;
	w.disk = simdisk_new(sim_random(&w.random));
	w.history = calloc(HISTORY, sizeof(*w.history));
	w.position = calloc(HISTORY, sizeof(*w.position));
	w.ghost = calloc(HISTORY, sizeof(*w.ghost));
	w.segment_kib = 1024;
	w.lockstep = pick(&w, 2);
	w.merges = pick(&w, 3) == 0;
	if (pick(&w, 6) == 0 && small_disks)
		simdisk_set_capacity(w.disk, w.capacity = (3 + pick(&w, 5)) << 20);
	w.durability = pick(&w, 4) ? STORE_ALWAYS : pick(&w, 2) ? STORE_INTERVAL : STORE_NEVER;
	open_world(&w, &r, &e);
	if (r)
		snprintf(w.why, sizeof(w.why), "a new store does not open: %.150s", e.text);
	for (size_t rounds = 1 + pick(&w, 5); rounds > 0 && !*w.why; rounds--) {
		run_stretch(&w);
		if (*w.why)
			break;
		uint64_t end = pick(&w, 10);
		if (end < 2)
			end_clean(&w);
		else if (end < 6)
			end_power(&w);
		else if (end < 8)
			end_kill(&w);
		else
			end_failure(&w);
	}
	if (w.store && !*w.why)
		store_close(w.store);
	if (*w.why)
		diag("seed %" PRIu64 " (%s, %s): %s", seed, w.durability == STORE_ALWAYS ? "always" : "relaxed",
			w.lockstep ? "lockstep" : "free", w.why);
	starts_from_checkpoints += w.from_checkpoint;
	fills += w.fills;
	simdisk_free(w.disk);
	free(w.history);
	free(w.position);
	free(w.ghost);
	return !*w.why;
}

int main(void)
{
	const char *seed = getenv("KVD_TEST_SEED"), *cases = getenv("KVD_TEST_CASES");
	uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
	uint64_t count = seed ? 1 : cases ? strtoull(cases, NULL, 10) : 1000, bad = 0;

	small_disks = getenv("KVD_TEST_LONG");
	diag("seeds %" PRIu64 " to %" PRIu64, first, first + count - 1);
	for (uint64_t i = 0; i < count && bad < 5; i++)
		bad += !run_case(first + i);
	ok(bad == 0, "every store agrees with the model after every end (%" PRIu64 " cases)", count);
	diag("%" PRIu64 " starts from a checkpoint", starts_from_checkpoints);
	if (small_disks) {
		diag("a full disk met %" PRIu64 " times", fills);
		ok(seed || cases || fills > 500, "on a full disk, too");
	}
	ok(seed || cases || starts_from_checkpoints > 500, "many of them from a checkpoint");
	return done();
}
