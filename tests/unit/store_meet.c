/* SPDX-License-Identifier: MIT
 *
 * Merges that meet other work: places that are used again, commits that are taken back at each step, keys whose time comes.
 */
#include "store_fixture.h"
#include "store/inner.h"

/* ---- what the owner could see ---- */

static struct store *_Atomic watched;
static _Atomic unsigned unreasoned;

int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);

/* When the sync thread comes to its lock: has it told of a refusal without the reason? */
int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	struct store *s = atomic_load(&watched);

	if (s && m == &s->sync.lock)
		unreasoned += atomic_load(&s->sync.refused) && atomic_load(&s->sync.state) == SYNC_RUNNING;
	return __real_pthread_mutex_lock(m);
}

static void rotate(struct fx *f)
{
	uint64_t number;

	if (store_rotate(f->store, &number) || !FX_UNTIL(f, store_rotated(f->store, number)))
		bail("no new segment");
}

static void compact(struct fx *f)
{
	uint64_t ticket;

	if (store_compact(f->store, 0, &ticket) || !FX_UNTIL(f, is_idle(f)) || stats_of(f).compact_result)
		bail("no compaction: %s", store_compact_problem(f->store));
}

/* ---- slots ---- */

#define PER_ROUND 16
#define ROUNDS 12

static const char *name_value(unsigned round, unsigned i)
{
	static char text[64];

	snprintf(text, sizeof(text), "round %04u, key %04u", round, i);
	return text;
}

static void make_snapshot(struct fx *f)
{
	struct store_snapshot_state st;

	if (store_snapshot_begin(f->store, NULL, 0, NULL) || !FX_UNTIL(f, (store_submit(f->store), store_snapshot_state(f->store, &st), !st.running)) ||
		st.last_result)
		bail("no snapshot");
	f->clock.wall += 1000; /* the next one has another name */
	f->clock.mono += 1000;
}

/* The place of a segment in the table is part of every locator, by which the cache knows values: a new segment in the place of an old one, with
 * records of the same sizes at the same offsets, must not be taken for it. */
static void test_slots(void)
{
	struct store_snapshot_check check;
	struct error e = { 0 };
	const struct store_snapshot *list;
	struct fx f;
	char key[16];
	bool right = true;

	fx_init(&f, simdisk_new(1));
	f.options.cache_size = 4 << 20;
	fx_must_open(&f);
	f.store->slots_before_reuse = 2 * PER_ROUND;
	for (unsigned round = 0; round < ROUNDS && right; round++) {
		for (unsigned i = 0; i < PER_ROUND; i++) {
			snprintf(key, sizeof(key), "key%02u", i);
			fx_put(&f, key, name_value(round, i));
			rotate(&f);
		}
		/* Pushes the young end of the log out of memory: what is read comes from the files, then from the cache. */
		fx_put_size(&f, "filler", 'f', 5 << 20);
		fx_put(&f, "behind", "the filler");
		fx_wait(&f);
		store_poll(f.store);
		for (unsigned i = 0; i < 2 * PER_ROUND && right; i++) {
			snprintf(key, sizeof(key), "key%02u", i % PER_ROUND);
			right = strcmp(fx_get(&f, key), name_value(round, i % PER_ROUND)) == 0;
			if (!right)
				diag("round %u: %s is %s", round, key, fx_get(&f, key));
		}
		compact(&f);
		if (round % 5 == 1)
			make_snapshot(&f);
	}
	ok(stats_of(&f).cache_hits > 0, "values come from the cache: %" PRIu64, stats_of(&f).cache_hits);
	ok(right, "every value is the one that was written last");
	ok(f.store->slots < f.store->next_number - 1, "though places were used again: %u for %" PRIu64 " segments", f.store->slots, f.store->next_number - 1);
	size_t n = store_snapshots(f.store, &list), whole = 0;
	for (size_t i = 0; i < n; i++)
		whole += store_snapshot_verify(f.options.io, "sim", list[i].name, &check, &e) == 0;
	ok(n == 3 && whole == n, "and the snapshots that were made meanwhile are whole: %zu", whole);
	fx_done(&f);
}

/* ---- commits that are taken back ---- */

static enum merge_ask asked(struct fx *f)
{
	struct merge *m = f->store->compact.merge;

	if (!m)
		return MERGE_NOTHING;
	pthread_mutex_lock(&m->lock);
	enum merge_ask ask = m->ask;
	pthread_mutex_unlock(&m->lock);
	return ask;
}

/* Goes on until the merge waits for an answer of this kind. */
static bool reach(struct fx *f, enum merge_ask step)
{
	struct timespec begun = fx_now();

	for (enum merge_ask ask; (ask = asked(f)) != step;) {
		if (!f->store->compact.merge || fx_now().tv_sec - begun.tv_sec >= FX_DEADLINE_S)
			return false;
		if (ask != MERGE_NOTHING)
			store_poll(f->store);
		sched_yield();
	}
	return true;
}

static bool wait_refused(struct fx *f)
{
	struct timespec begun = fx_now();

	while (!atomic_load(&f->store->sync.refused) && fx_now().tv_sec - begun.tv_sec < FX_DEADLINE_S)
		sched_yield();
	return atomic_load(&f->store->sync.refused);
}

/* The disk refuses a commit just when the merge has come to a step, so one call of store_poll meets both. */
static void meet(enum merge_ask step, enum simdisk_call call, int error, const char *name)
{
	struct buf before = { 0 };
	struct fx f;
	uint64_t position;

	fx_init(&f, simdisk_new(2));
	fx_must_open(&f);
	for (unsigned i = 0; i < 40; i++)
		fx_put(&f, (char[]){ 'a', (char)('a' + i % 20), 0 }, i < 20 ? "old" : "new");
	fx_delete(&f, "ab");
	fx_put_size(&f, "garbage", 'g', 5000);
	fx_delete(&f, "garbage");
	rotate(&f);
	fx_wait(&f);
	fx_dump(&f, &before);
	position = store_position(f.store);
	fx_put(&f, "ac", "not yet on disk"); /* makes a record obsolete that is to be merged */
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 1, .min_garbage = 1 });
	simdisk_hold(f.disk, SIM_READ, true); /* the tick itself answers a thread that is quick */
	store_compact_tick(f.store);
	simdisk_hold(f.disk, SIM_READ, false);
	if (!reach(&f, step))
		bail("the merge does not come to %s", name);
	if (store_durable(f.store) > position) { /* the merge has waited for that one */
		fx_dump(&f, &before);
		position = store_position(f.store);
	}
	fx_put(&f, "ad", "refused");
	fx_delete(&f, "ae");
	simdisk_fail(f.disk, call, 1, 0, error);
	store_submit(f.store);
	ok(wait_refused(&f), "%s: a commit is refused meanwhile", name);
	simdisk_fail(f.disk, SIM_ANY, 0, 0, 0);
	store_poll(f.store);
	ok(store_rollbacks(f.store) == 1 && store_position(f.store) == position && fx_holds(&f, &before), "%s: it is taken back", name);
	ok(FX_UNTIL(&f, !stats_of(&f).merging), "%s: the merge comes to its end, or is given up", name);
	ok(fx_holds(&f, &before), "%s: every key is as it was", name);
	/* What a full disk took in part is gone for good as soon as the store is healthy again; after a failed sync it never is. */
	if (error == -ENOSPC && !FX_UNTIL(&f, store_health(f.store, NULL) == 0))
		bail("%s: the store does not recover", name);
	fx_power(&f);
	fx_must_open(&f);
	ok(fx_holds(&f, &before), "%s: also after power loss", name);
	fx_put(&f, "ad", "after");
	uint64_t ticket;
	ok(store_compact(f.store, STORE_COMPACT_FORCE, &ticket) == 0 && FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).compact_result == 0,
		"%s: and all of it can be merged then", name);
	is_str(fx_get(&f, "ad"), "after", "with what is written");
	buf_free(&before);
	fx_done(&f);
}

/* A commit that is taken in between would never be written, and nobody would be told. */
static void test_reason(void)
{
	static const int errors[] = { -ENOSPC, -EIO };

	for (int i = 0; i < 4; i++) {
		struct fx f;
		fx_init(&f, simdisk_new(4));
		fx_must_open(&f);
		fx_put(&f, "a", "1");
		fx_wait(&f);
		unreasoned = 0;
		watched = f.store;
		simdisk_fail(f.disk, i < 2 ? SIM_WRITE : SIM_SYNC, 1, 0, errors[i % 2]);
		fx_put(&f, "a", "2");
		store_submit(f.store);
		ok(wait_refused(&f) && store_health(f.store, NULL) == STORE_REFUSED && unreasoned == 0, "who sees that a commit is refused sees why");
		watched = NULL;
		fx_done(&f);
	}
}

static void test_meetings(void)
{
	static const struct {
		enum merge_ask step;
		const char *name;
	} steps[] = { { MERGE_JUDGE, "judging" }, { MERGE_OUTPUT, "an output" }, { MERGE_SETTLE, "settling" }, { MERGE_MOVE, "moving" },
		{ MERGE_MOVED, "the end of moving" }, { MERGE_RETIRE, "retiring" } };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		meet(steps[i].step, SIM_WRITE, -ENOSPC, steps[i].name);
		meet(steps[i].step, SIM_SYNC, -EIO, steps[i].name);
	}
}

/* ---- keys whose time comes ---- */

static void test_expired(void)
{
	struct fx f;
	char key[16];

	fx_init(&f, simdisk_new(3));
	fx_must_open(&f);
	store_set_compaction(f.store, &(struct store_compaction){ .garbage_ratio = 50, .min_garbage = 10000 });
	for (unsigned i = 0; i < 30; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		fx_put_in(&f, 0, slice_str(key), slice_str("a value of a size that does not matter much, but is not nothing: 200 bytes or so, as there "
			"is to be enough garbage for a merge to begin by itself, which the settings of this test say is 10000 bytes; a few more words do "
			"it, and these are some of them, and these as well, and here are the last ones of all, which end the value at 360 or so"),
			i < 28 ? store_now(f.store) + 1000 : STORE_NO_EXPIRY);
	}
	rotate(&f);
	fx_wait(&f);
	uint64_t size = stats_of(&f).log_bytes;
	store_compact_tick(f.store);
	ok(!stats_of(&f).merging, "while all keys live nothing is merged");
	f.clock.mono += 2000;
	f.clock.wall += 2000;
	while (store_expire_some(f.store, 100) > 0)
		;
	ok(stats_of(&f).expired == 28 && stats_of(&f).garbage_bytes > 10000, "keys that have expired become garbage");
	fx_wait(&f);
	store_compact_tick(f.store);
	ok(stats_of(&f).merging, "which begins a merge by its share");
	ok(FX_UNTIL(&f, is_idle(&f)) && stats_of(&f).merges == 1, "that succeeds");
	ok(stats_of(&f).log_bytes * 3 < size, "and gives their space back: %" PRIu64 " of %" PRIu64, stats_of(&f).log_bytes, size);
	fx_close(&f);
	f.clock.wall -= 5000; /* before their time */
	fx_must_open(&f);
	is_str(fx_get(&f, "key0"), "(absent)", "they do not come back when the clock is set back");
	ok(strncmp(fx_get(&f, "key29"), "a value", 7) == 0, "the others are there");
	fx_done(&f);
}

int main(void)
{
	test_slots();
	test_reason();
	test_meetings();
	test_expired();
	return done();
}
