/* SPDX-License-Identifier: MIT
 *
 * Views: what they show stays as it was whatever else happens to the store: writes, emptied and exchanged databases, merges, commits that are
 * taken back, no memory.
 */
#include "store_fixture.h"

/* ---- allocations that fail ---- */

static _Thread_local bool armed; /* of the thread that asks: helpers are spared */
static unsigned long asked, fail_at;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool must_fail(void)
{
	return armed && !simdisk_allocates && ++asked == fail_at;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : __real_realloc(p, size);
}

/* ---- short forms ---- */

static struct store_view *view(struct fx *f, bool reverse)
{
	struct store_view *v = store_view_new(f->store, 0, slice(NULL, 0), slice(NULL, 0), reverse);

	if (!v)
		bail("no view");
	return v;
}

/* "key=value key=value " of what is left; what a step answers in the end, if it is not the end. */
static const char *show(struct fx *f, struct store_view *v)
{
	static char out[4000];
	struct slice key, value;
	size_t at = 0;
	int r;

	out[0] = 0;
	while ((r = store_view_next(v, &key, NULL)) == 0 && at < sizeof(out) - 600) {
		struct txn *t = txn_begin(f->store, NULL);
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%.*s=", (int)key.len, key.ptr);
		r = store_view_read(v, t, &value, NULL);
		if (r)
			at += (size_t)snprintf(out + at, sizeof(out) - at, "(%d) ", r);
		else
			at += (size_t)snprintf(out + at, sizeof(out) - at, "%.*s ", (int)(value.len < 20 ? value.len : 20), value.ptr);
		txn_abort(t);
	}
	if (r != STORE_ABSENT)
		snprintf(out + at, sizeof(out) - at, "(%d)", r);
	return out;
}

static void flush(struct fx *f)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t position;

	if (txn_flush(t, 0) || txn_commit(t, &position))
		bail("no flush");
}

/* ---- commits that are taken back ---- */

static void test_rollback(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	fx_put(&f, "a", "1");
	fx_put(&f, "b", "1");
	fx_wait(&f);
	struct store_view *before = view(&f, false), *walking = view(&f, true);
	struct slice key;
	store_view_next(walking, &key, NULL);
	simdisk_fail(f.disk, SIM_SYNC, 1, 1000, -EIO);
	fx_put(&f, "a", "2");
	fx_put(&f, "c", "2");
	fx_delete(&f, "b");
	struct store_view *between = view(&f, false);
	flush(&f);
	fx_put(&f, "d", "2");
	fx_put_size(&f, "large", 'l', 1500000); /* into a segment of its own */
	struct store_view *after = view(&f, false);
	fx_put_size(&f, "large", 'm', 10);
	ok(fx_wait(&f) < 0, "the disk refuses some commits");
	store_poll(f.store);
	is_str(fx_get(&f, "a"), "1", "they are taken back");
	is_str(show(&f, before), "a=1 b=1 ", "a view from before shows what it always did");
	is_str(show(&f, walking), "a=1 ", "also one that was under way");
	char stale[20];
	snprintf(stale, sizeof(stale), "(%d)", -ESTALE);
	is_str(show(&f, between), stale, "one that saw some of them shows nothing any more");
	is_str(show(&f, after), stale, "nor does one that saw all");
	struct txn *t = txn_begin(f.store, NULL);
	is_int(store_view_read(between, t, &key, NULL), -ESTALE, "and it reads nothing");
	txn_abort(t);
	store_view_free(before);
	store_view_free(walking);
	store_view_free(between);
	store_view_free(after);
	fx_done(&f);
}

/* ---- merges ---- */

static void test_merge(void)
{
	struct store_stats st;
	struct fx f;
	char key[16];
	uint64_t ticket, number;

	fx_init(&f, simdisk_new(2));
	fx_must_open(&f);
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		fx_put(&f, key, "old");
	}
	fx_wait(&f);
	struct store_view *v = view(&f, false), *w = view(&f, true);
	for (int i = 0; i < 10; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		fx_put(&f, key, "new");
	}
	fx_wait(&f);
	const char *all = "k0=old k1=old k2=old k3=old k4=old k5=old k6=old k7=old k8=old k9=old ";
	if (store_rotate(f.store, &number) || !FX_UNTIL(&f, store_rotated(f.store, number)))
		bail("no rotation");
	is_int(store_compact(f.store, STORE_COMPACT_FORCE, &ticket), 0, "segments a view needs are merged");
	/* The last step, the removal of the old files, waits. */
	ok(FX_UNTIL(&f, (store_submit(f.store), store_stats(f.store, &st), st.merge_bytes_written > 0 && simdisk_file(f.disk, "0000000001.seg", &(size_t){ 0 }) &&
		fx_count(&f, STORE_EVENT_MERGED, NULL) == 0)), "a merge runs");
	is_str(show(&f, v), all, "the view shows what it did");
	for (int i = 0; i < 200; i++) {
		store_submit(f.store);
		store_poll(f.store);
	}
	store_view_seek(v, slice(NULL, 0));
	is_str(show(&f, v), all, "and again");
	fx_put(&f, "k1", "newer");
	store_view_seek(w, slice_str("k3"));
	is_str(show(&f, w), "k3=old k2=old k1=old k0=old ", "also after a write beside the merge");
	store_stats(f.store, &st);
	ok(st.compactions_done < ticket, "the merge is not over while they are there");
	store_view_free(v);
	store_view_free(w);
	ok(FX_UNTIL(&f, (store_submit(f.store), store_stats(f.store, &st), st.compactions_done >= ticket)), "then it is");
	is_int(st.compact_result, 0, "well");
	is_str(fx_get(&f, "k1"), "newer", "with what was written");
	is_str(fx_get(&f, "k3"), "old", "and what was there");
	fx_done(&f);
}

/* ---- no memory ---- */

static void make_store(struct fx *f)
{
	fx_init(f, simdisk_new(3));
	fx_must_open(f);
	for (char k[2] = "a"; *k < 'f'; (*k)++)
		fx_put(f, k, "1");
	fx_wait(f);
}

static void test_memory(void)
{
	bool right = true;
	unsigned broken = 0;
	char no_memory[20];

	snprintf(no_memory, sizeof(no_memory), "(%d)", -ENOMEM);
	for (fail_at = 1; fail_at < 60 && right; fail_at++) {
		struct fx f;
		make_store(&f);
		asked = 0;
		armed = true;
		struct store_view *v = store_view_new(f.store, 0, slice(NULL, 0), slice_str("z"), false);
		int first = v ? fx_put(&f, "b", "2") : 0, second = v ? fx_delete(&f, "c") : 0;
		struct txn *t = txn_begin(f.store, NULL);
		uint64_t position;
		int r = txn_flush(t, 0);
		if (r)
			txn_abort(t);
		else
			r = txn_commit(t, &position);
		armed = false;
		if (v) {
			const char *shown = show(&f, v);
			bool is_broken = strcmp(shown, no_memory) == 0;
			broken += is_broken;
			right = (is_broken || strcmp(shown, "a=1 b=1 c=1 d=1 e=1 ") == 0) && (first == 0 || first == -ENOMEM) &&
				(second == 0 || second == -ENOMEM) && (r == 0 || r == -ENOMEM);
			if (!right)
				diag("allocation %lu: %s", fail_at, shown);
		}
		store_view_free(v);
		fx_done(&f);
	}
	ok(right, "whichever allocation fails, a view shows what it should or says that it cannot");
	ok(broken > 0, "and that does happen");
}

/* ---- everything at random, against a model ---- */

#define KEYS 60
#define VIEWS 5

struct cell {
	uint32_t value; /* 0: absent */
	int64_t expire_ms;
};

struct seen {
	struct store_view *view;
	struct cell cell[KEYS];
	unsigned from, to; /* keys of the range */
	bool reverse;
	int next; /* where the view goes on, in its direction */
};

struct world {
	struct fx f;
	uint64_t random;
	struct cell cell[2][KEYS];
	struct seen seen[VIEWS];
	uint32_t next_value;
};

static unsigned pick(struct world *w, unsigned n)
{
	return (unsigned)(sim_random(&w->random) % n);
}

/* Keys of many lengths, in the order of their numbers. */
static struct slice key_of(unsigned i, char *out)
{
	size_t len = i == 0 ? 0 : 2 + i % 7 * 40;

	memset(out, 'x', len);
	if (i) {
		out[0] = (char)(i * 4);
		out[1] = (char)(i % 3);
	}
	return slice(out, len);
}

static struct slice value_of(uint32_t v, char *out)
{
	size_t len = v % 5 == 0 ? 9000 : 4 + v % 100;

	memset(out, (char)v, len);
	memcpy(out, &v, sizeof(v));
	return slice(out, len);
}

static void write_some(struct world *w)
{
	static char keys[8][400], values[8][9000];
	struct txn *t = txn_begin(w->f.store, NULL);
	uint64_t position;

	for (unsigned i = 0, n = 1 + pick(w, 8); i < n; i++) {
		unsigned db = pick(w, 2), k = pick(w, KEYS);
		struct slice key = key_of(k, keys[i]);
		struct cell c = { ++w->next_value, STORE_NO_EXPIRY };
		if (pick(w, 40) == 0) {
			txn_flush(t, db);
			memset(w->cell[db], 0, sizeof(w->cell[db]));
		} else if (pick(w, 100) == 0) {
			struct cell keep[KEYS];
			txn_swap(t, 0, 1);
			memcpy(keep, w->cell[0], sizeof(keep));
			memcpy(w->cell[0], w->cell[1], sizeof(keep));
			memcpy(w->cell[1], keep, sizeof(keep));
		} else if (pick(w, 3) == 0) {
			txn_delete(t, db, key);
			w->cell[db][k] = (struct cell){ 0 };
		} else {
			if (pick(w, 5) == 0)
				c.expire_ms = store_now(w->f.store) + 1 + pick(w, 50);
			txn_put(t, db, key, value_of(c.value, values[i]), c.expire_ms);
			w->cell[db][k] = c;
		}
	}
	if (txn_commit(t, &position))
		bail("commit failed: %s", store_problem(w->f.store));
}

static void begin_view(struct world *w, struct seen *v)
{
	unsigned db = pick(w, 2);
	char from[400], to[400];
	int64_t now = store_now(w->f.store);

	memcpy(v->cell, w->cell[db], sizeof(v->cell));
	for (unsigned i = 0; i < KEYS; i++)
		if (v->cell[i].expire_ms <= now)
			v->cell[i].value = 0;
	v->from = pick(w, 3) ? 0 : pick(w, KEYS);
	v->to = pick(w, 3) ? KEYS : pick(w, KEYS);
	v->to = v->to < 1 ? 1 : v->to;
	v->reverse = pick(w, 2);
	v->view = store_view_new(w->f.store, db, key_of(v->from, from), v->to == KEYS ? slice(NULL, 0) : key_of(v->to, to), v->reverse);
	v->next = v->reverse ? (int)v->to - 1 : (int)v->from;
	if (!v->view)
		bail("no view");
}

static void end_view(struct seen *v)
{
	v->view = store_view_free(v->view);
}

static void seek(struct world *w, struct seen *v)
{
	unsigned k = pick(w, KEYS);
	char key[400];

	store_view_seek(v->view, key_of(k, key));
	v->next = (int)k;
	if (v->reverse && k >= v->to)
		v->next = (int)v->to - 1;
	if (!v->reverse && k < v->from)
		v->next = (int)v->from;
}

/* One step of a view and of its model; false when they differ. */
static bool step(struct world *w, struct seen *v)
{
	static char value[9000];
	struct slice key, got;
	char expected[400];
	int r = store_view_next(v->view, &key, NULL), d = v->reverse ? -1 : 1, end = v->reverse ? (int)v->from - 1 : (int)v->to;

	while (v->next * d < end * d && v->cell[v->next].value == 0)
		v->next += d;
	if (v->next * d >= end * d)
		return r == STORE_ABSENT;
	if (r || !slice_eq(key, key_of((unsigned)v->next, expected)))
		return false;
	struct txn *t = txn_begin(w->f.store, NULL);
	r = store_view_read(v->view, t, &got, NULL);
	bool right = r == 0 && slice_eq(got, value_of(v->cell[v->next].value, value));
	txn_abort(t);
	v->next += d;
	return right;
}

static bool use_view(struct world *w, struct seen *v)
{
	if (!v->view) {
		begin_view(w, v);
		return true;
	}
	if (pick(w, 30) == 0) {
		end_view(v);
		return true;
	}
	if (pick(w, 8) == 0)
		seek(w, v);
	for (unsigned i = 0, n = 1 + pick(w, 6); i < n; i++)
		if (!step(w, v))
			return false;
	return true;
}

static void keep_house(struct world *w)
{
	uint64_t ignored;

	switch (pick(w, 5)) {
	case 0:
		w->f.clock.mono += pick(w, 20);
		w->f.clock.wall = (int64_t)w->f.clock.mono + 1699999995000;
		break;
	case 1:
		store_expire_some(w->f.store, 4);
		break;
	case 2:
		fx_wait(&w->f);
		break;
	case 3:
		if (pick(w, 4) == 0)
			store_compact(w->f.store, STORE_COMPACT_FORCE, &ignored);
		break;
	default:
		if (pick(w, 4) == 0)
			store_rotate(w->f.store, &ignored);
	}
}

static bool is_quiet(struct fx *f)
{
	struct store_stats st;

	store_submit(f->store);
	store_stats(f->store, &st);
	return !st.merging && !st.compacting;
}

static void run_world(uint64_t seed, unsigned steps)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_stats st;
	unsigned i;

	if (!w)
		bail("out of memory");
	w->random = seed;
	fx_init(&w->f, simdisk_new(seed));
	fx_must_open(&w->f);
	for (i = 0; i < steps; i++) {
		if (pick(w, 3) == 0)
			write_some(w);
		else if (pick(w, 4) == 0)
			keep_house(w);
		else if (!use_view(w, &w->seen[pick(w, VIEWS)]))
			break;
		store_submit(w->f.store);
		store_poll(w->f.store);
	}
	ok(i == steps, "seed %" PRIu64 ": every view shows its moment", seed);
	for (unsigned v = 0; v < VIEWS; v++)
		end_view(&w->seen[v]);
	ok(FX_UNTIL(&w->f, is_quiet(&w->f)), "and no merge waits for one that is gone");
	store_stats(w->f.store, &st);
	ok(st.merges > 0 && st.merges_failed == 0, "there were some: %" PRIu64, st.merges);
	fx_done(&w->f);
	free(w);
}

int main(void)
{
	uint64_t seed = tap_seed();

	test_rollback();
	test_merge();
	test_memory();
	for (unsigned i = 0; i < (getenv("KVD_TEST_LONG") ? 100 : 4); i++)
		run_world(seed + i, 6000);
	return done();
}
