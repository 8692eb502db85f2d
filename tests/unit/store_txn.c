/* SPDX-License-Identifier: MIT
 * The promises of store.h one by one: transactions and their own writes, ordered reads, limits, positions while a disk takes its
 * time, cold records, expiry, the durability modes.
 */
#include "store_fixture.h"

#include "store/tail.h"

/* Lives as long as the transaction, as keys and values must. */
__attribute__((format(printf, 2, 3))) static struct slice text(struct txn *t, const char *format, ...)
{
	char *p = txn_alloc(t, 32);
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(p, 32, format, ap);
	va_end(ap);
	return slice(p, (size_t)n);
}

static bool reads(struct txn *t, unsigned db, struct slice key, struct slice expected)
{
	struct txn_value v;

	return txn_get(t, db, key, &v) == 0 && slice_eq(v.data, expected) && txn_peek(t, db, key, NULL) == 0;
}

static bool is_absent(struct txn *t, unsigned db, struct slice key)
{
	struct txn_value v;

	return txn_get(t, db, key, &v) == STORE_ABSENT && txn_peek(t, db, key, NULL) == STORE_ABSENT;
}

static void start(struct fx *f)
{
	fx_init(f, simdisk_new(1));
	fx_must_open(f);
}

/* ---- own writes ---- */

static void own_writes(struct fx *f, int n)
{
	struct txn *t = txn_begin(f->store, NULL);
	bool right = true;
	uint64_t position;

	for (int i = 0; i < n; i++) {
		txn_put(t, 0, text(t, "k%d", i), text(t, "first %d", i), STORE_NO_EXPIRY);
		right &= reads(t, 0, text(t, "k%d", i), text(t, "first %d", i));
	}
	for (int i = 0; i < n; i += 3)
		txn_put(t, 0, text(t, "k%d", i), text(t, "second %d", i), STORE_NO_EXPIRY);
	for (int i = 1; i < n; i += 3)
		right &= txn_delete(t, 0, text(t, "k%d", i)) == 0 && txn_delete(t, 0, text(t, "k%d", i)) == STORE_ABSENT;
	for (int i = 0; i < n; i++) {
		struct slice key = text(t, "k%d", i);
		right &= i % 3 == 0 ? reads(t, 0, key, text(t, "second %d", i)) :
			 i % 3 == 1 ? is_absent(t, 0, key) :
				      reads(t, 0, key, text(t, "first %d", i));
		right &= is_absent(t, 1, key);
	}
	ok(right, "a transaction of %d keys reads what it wrote, the last of it, and nothing of deleted keys or other databases", n);
	is_int((int64_t)txn_count(t, 0), n - (n + 1) / 3, "and counts so");
	txn_abort(t);
	is_int((int64_t)store_count(f->store, 0), 0, "aborted, nothing of it is there");

	t = txn_begin(f->store, NULL);
	for (int i = 0; i < n; i++)
		txn_put(t, 0, text(t, "k%d", i), text(t, "first %d", i), STORE_NO_EXPIRY);
	is_int(txn_commit(t, &position), 0, "committed");
	is_int((int64_t)store_count(f->store, 0), n, "all of it is");
	t = txn_begin(f->store, NULL);
	right = reads(t, 0, text(t, "k%d", n - 1), text(t, "first %d", n - 1));
	for (int i = 0; i < n; i++)
		txn_delete(t, 0, text(t, "k%d", i));
	for (int i = 0; i < n; i++)
		right &= is_absent(t, 0, text(t, "k%d", i));
	ok(right && txn_count(t, 0) == 0, "own deletions hide what is committed");
	is_int(txn_commit(t, &position), 0, "committed");
}

static void test_own_writes(void)
{
	struct fx f;

	start(&f);
	own_writes(&f, 3);
	own_writes(&f, 30);
	own_writes(&f, 1500);
	/* Beyond what a request keeps in memory afterwards. */
	own_writes(&f, 70000);
	own_writes(&f, 12);
	fx_close(&f);
	fx_must_open(&f);
	is_int((int64_t)store_count(f.store, 0), 0, "and so it is after opening anew");
	fx_done(&f);
}

static void test_flush_and_swap(int n)
{
	struct fx f;
	struct txn *t;
	uint64_t position;

	start(&f);
	fx_put(&f, "old", "committed");
	fx_put_in(&f, 1, SLICE("one"), SLICE("of database one"), STORE_NO_EXPIRY);
	t = txn_begin(f.store, NULL);
	for (int i = 0; i < n; i++)
		txn_put(t, 0, text(t, "before%d", i), SLICE("x"), STORE_NO_EXPIRY);
	ok(txn_flush(t, 0) == 0, "a flush among %d writes", n);
	ok(is_absent(t, 0, SLICE("old")) && (n == 0 || is_absent(t, 0, SLICE("before0"))) && txn_count(t, 0) == 0, "hides all before it");
	ok(reads(t, 1, SLICE("one"), SLICE("of database one")), "in its database only");
	for (int i = 0; i < n; i++)
		txn_put(t, 0, text(t, "after%d", i), SLICE("y"), STORE_NO_EXPIRY);
	is_int((int64_t)txn_count(t, 0), n, "writes behind it count");
	is_int(txn_swap(t, 0, 1), 0, "a swap");
	ok(reads(t, 0, SLICE("one"), SLICE("of database one")) && is_absent(t, 1, SLICE("one")), "exchanges what was committed");
	ok(n == 0 || (reads(t, 1, SLICE("after0"), SLICE("y")) && is_absent(t, 0, SLICE("after0"))), "and the own writes");
	is_int(txn_put(t, 1, SLICE("late"), SLICE("z"), STORE_NO_EXPIRY), 0, "a write behind it");
	ok(reads(t, 1, SLICE("late"), SLICE("z")) && is_absent(t, 0, SLICE("late")), "goes where it says");
	is_int(txn_delete(t, 0, SLICE("one")), 0, "so does a deletion");
	ok(is_absent(t, 0, SLICE("one")) && txn_count(t, 0) == 0 && txn_count(t, 1) == (uint64_t)n + 1, "and the counts");
	is_int(txn_commit(t, &position), 0, "committed");
	for (int again = 0; again < 2; again++) {
		is_str(fx_get_in(&f, 1, "late"), "z", again ? "and so it is after opening anew" : "it is as the transaction saw it");
		is_str(fx_get_in(&f, 0, "one"), "(absent)", "with the deletion");
		is_str(fx_get_in(&f, 1, "old"), "(absent)", "and the flush");
		is_int((int64_t)store_count(f.store, 1), n + 1, "and all the others");
		fx_close(&f);
		fx_must_open(&f);
	}
	t = txn_begin(f.store, NULL);
	is_int(txn_swap(t, 2, 2), 0, "a swap with itself is possible");
	is_int(txn_flush(t, 3), 0, "so is the flush of an empty database");
	ok(!txn_has_writes(t), "and neither writes anything");
	txn_abort(t);
	fx_done(&f);
}

static void test_ops(void)
{
	const struct txn_op *op;
	struct txn *t;
	struct fx f;

	start(&f);
	fx_put(&f, "k", "v");
	t = txn_begin(f.store, NULL);
	ok(!txn_has_writes(t) && txn_ops(t, &op) == 0, "a transaction begins without writes");
	txn_put(t, 2, SLICE("a"), SLICE("1"), 77);
	txn_delete(t, 0, SLICE("k"));
	txn_delete(t, 0, SLICE("missing"));
	txn_flush(t, 3);
	txn_swap(t, 1, 2);
	is_int((int64_t)txn_ops(t, &op), 4, "the stated writes can be looked at; deleting a missing key is none");
	ok(op[0].kind == TXN_PUT && op[0].db == 2 && op[0].expire_ms == 77 && slice_eq(op[0].key, SLICE("a")) && slice_eq(op[0].value, SLICE("1")),
		"a put with all it says");
	ok(op[1].kind == TXN_DELETE && slice_eq(op[1].key, SLICE("k")) && op[2].kind == TXN_FLUSH && op[2].db == 3 && op[3].kind == TXN_SWAP &&
			op[3].db == 1 && op[3].other == 2,
		"and the others, in order");
	txn_abort(t);
	uint64_t before = store_position(f.store), position = 1;
	t = txn_begin(f.store, NULL);
	is_int(txn_delete(t, 0, SLICE("missing")), STORE_ABSENT, "there is nothing to delete");
	is_int(txn_commit(t, &position), 0, "and the commit");
	is_int((int64_t)store_position(f.store), (int64_t)before, "writes nothing");
	fx_done(&f);
}

static void test_limits(void)
{
	char *key = calloc(1, STORE_MAX_KEY + 1), *value = calloc(1, 2000);
	struct txn *t;
	struct fx f;
	uint64_t position;

	fx_init(&f, simdisk_new(1));
	f.options.max_value = 1000;
	fx_must_open(&f);
	t = txn_begin(f.store, NULL);
	is_int(txn_put(t, 0, slice(key, STORE_MAX_KEY), slice(value, 1000), STORE_NO_EXPIRY), 0, "the largest key and value are taken");
	is_int(txn_put(t, 0, slice(key, STORE_MAX_KEY + 1), slice(value, 1), STORE_NO_EXPIRY), -EMSGSIZE, "a larger key is not");
	ok(strstr(store_problem(f.store), "key") && strstr(store_problem(f.store), "65536"), "and the limit named: %s", store_problem(f.store));
	is_int(txn_put(t, 0, SLICE("k"), slice(value, 1001), STORE_NO_EXPIRY), -EMSGSIZE, "a larger value is not");
	ok(strstr(store_problem(f.store), "value") && strstr(store_problem(f.store), "1000"), "and the limit named: %s", store_problem(f.store));
	is_int(txn_commit(t, &position), 0, "what was taken is committed");
	store_set_max_value(f.store, 2000);
	t = txn_begin(f.store, NULL);
	is_int(txn_put(t, 0, SLICE("k"), slice(value, 1001), STORE_NO_EXPIRY), 0, "the limit can be raised");
	txn_abort(t);
	fx_close(&f);
	fx_must_open(&f);
	t = txn_begin(f.store, NULL);
	ok(reads(t, 0, slice(key, STORE_MAX_KEY), slice(value, 1000)), "the largest key is there after opening anew");
	txn_abort(t);
	fx_close(&f);
	static const struct store_options wrong[] = {
		{ .databases = 257 }, { .segment_size = 1000 }, { .segment_size = UINT64_C(17) << 30 }, { .max_value = UINT32_MAX },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		f.options.databases = wrong[i].databases;
		f.options.segment_size = wrong[i].segment_size;
		f.options.max_value = wrong[i].max_value;
		is_int(fx_open(&f), -EINVAL, "options out of range are refused");
		ok(strstr(f.error.text, "limit") || strstr(f.error.text, "allowed"), "with the limit: %s", f.error.text);
	}
	fx_done(&f);
	free(key);
	free(value);
}

/* A transaction larger than a segment makes a larger segment. */
static void test_large(void)
{
	struct fx f;
	char *value = malloc(3 << 20);
	struct txn *t;
	uint64_t position;

	memset(value, 'v', 3 << 20);
	start(&f);
	fx_put(&f, "small", "before");
	t = txn_begin(f.store, NULL);
	txn_put(t, 0, SLICE("big"), slice(value, 3 << 20), STORE_NO_EXPIRY);
	txn_put(t, 0, SLICE("bigger"), slice(value, (3 << 20) - 5), STORE_NO_EXPIRY);
	is_int(txn_commit(t, &position), 0, "a transaction of six segments' size");
	fx_put(&f, "small", "after");
	is_int(fx_wait(&f), 0, "is written");
	fx_power(&f);
	fx_must_open(&f);
	t = txn_begin(f.store, NULL);
	ok(reads(t, 0, SLICE("big"), slice(value, 3 << 20)) && reads(t, 0, SLICE("bigger"), slice(value, (3 << 20) - 5)), "and is there after a power loss");
	txn_abort(t);
	is_str(fx_get(&f, "small"), "after", "with what came after it");
	fx_done(&f);
	free(value);
}

/* ---- ordered reads ---- */

#define ALPHABET 12

/* Every mix of committed and own writes over a few keys, with every pair of bounds, against a plain list. */
static unsigned compare_scan(struct txn *t, const bool *there, int from, int to, bool reverse)
{
	char f[2] = { (char)('a' + from), 0 }, e[2] = { (char)('a' + to), 0 };
	struct slice bound_from = from < 0 ? slice(NULL, 0) : slice(f, 1), bound_to = to < 0 ? slice(NULL, 0) : slice(e, 1), key;
	struct txn_scan *scan = txn_scan_begin(t, 0, bound_from, bound_to, reverse);
	unsigned bad = 0;

	/* The bounds are the caller's only until begin returns. */
	f[0] = e[0] = '~';
	for (int n = 0; n < ALPHABET; n++) {
		int i = reverse ? ALPHABET - 1 - n : n;
		if (!there[i] || (from >= 0 && i < from) || (to >= 0 && i >= to))
			continue;
		bad += txn_scan_next(scan, &key, NULL) != 0 || key.len != 1 || key.ptr[0] != 'a' + i;
	}
	bad += txn_scan_next(scan, &key, NULL) != STORE_ABSENT;
	txn_scan_end(scan);
	return bad;
}

static void test_scans(void)
{
	const char *seed = getenv("KVD_TEST_SEED");
	uint64_t random = seed ? strtoull(seed, NULL, 10) : 99;
	unsigned bad = 0, wrong_counts = 0, wrong_random = 0;

	diag("seed %" PRIu64, random);
	for (int round = 0; round < 150; round++) {
		struct fx f;
		bool there[ALPHABET] = { false };
		start(&f);
		for (int phase = 0; phase < 2; phase++) {
			struct txn *t = txn_begin(f.store, NULL);
			uint64_t position, expected = 0;
			bool flushed = false;
			for (uint64_t n = sim_random(&random) % 14; n > 0; n--) {
				int i = (int)(sim_random(&random) % ALPHABET);
				uint64_t kind = sim_random(&random) % 20;
				if (kind < 12) {
					there[i] = true;
					txn_put(t, 0, text(t, "%c", 'a' + i), SLICE("v"), STORE_NO_EXPIRY);
				} else if (kind < 14) { /* an expiry that has passed */
					there[i] = false;
					txn_put(t, 0, text(t, "%c", 'a' + i), SLICE("v"), store_now(f.store));
				} else if (kind < 19) {
					there[i] = false;
					txn_delete(t, 0, text(t, "%c", 'a' + i));
				} else {
					memset(there, 0, sizeof(there));
					txn_flush(t, 0);
					flushed = true;
				}
			}
			(void)flushed;
			for (int from = -1; from < ALPHABET; from += 1 + (int)(sim_random(&random) % 3))
				for (int to = -1; to < ALPHABET; to += 1 + (int)(sim_random(&random) % 3))
					for (int reverse = 0; reverse < 2; reverse++)
						bad += compare_scan(t, there, from, to, reverse);
			for (int i = 0; i < ALPHABET; i++)
				expected += there[i];
			wrong_counts += txn_count(t, 0) < expected;
			struct slice key;
			int r = txn_random(t, 0, sim_random(&random), &key);
			wrong_random += expected ? r != 0 || key.len != 1 || !there[key.ptr[0] - 'a'] : r != STORE_ABSENT;
			txn_commit(t, &position);
		}
		fx_done(&f);
	}
	ok(bad == 0, "scans merge committed and own writes, in both directions, within bounds");
	ok(wrong_counts == 0, "a count has at least the keys that are alive");
	ok(wrong_random == 0, "a random key is one that is there, or there is none");
}

/* Keys "000" to "199" of two databases, written, counted and scanned in turn within one transaction. */
enum { INTERLEAVED = 200 };

static bool scan_agrees(struct txn *t, unsigned db, const bool *there, int from, int to, bool reverse)
{
	char low[4], high[4];
	struct slice key;
	bool good = true;

	snprintf(low, sizeof(low), "%03d", from % 1000);
	snprintf(high, sizeof(high), "%03d", to % 1000);
	struct txn_scan *scan = txn_scan_begin(t, db, slice(low, 3), slice(high, 3), reverse);
	for (int n = from; n < to; n++) {
		int i = reverse ? from + to - 1 - n : n;
		if (there[i])
			good = good && txn_scan_next(scan, &key, NULL) == 0 && key.len == 3 &&
			       (key.ptr[0] - '0') * 100 + (key.ptr[1] - '0') * 10 + key.ptr[2] - '0' == i;
	}
	good = good && txn_scan_next(scan, &key, NULL) == STORE_ABSENT;
	txn_scan_end(scan);
	return good;
}

static void test_interleaved(void)
{
	uint64_t random = 4711, position;
	unsigned wrong_counts = 0, wrong_scans = 0;

	for (int round = 0; round < 4; round++) {
		bool there[2][INTERLEAVED] = { { false } };
		struct fx f;
		start(&f);
		for (int phase = 0; phase < 2; phase++) {
			struct txn *t = txn_begin(f.store, NULL);
			for (int step = 0; step < 1500; step++) {
				unsigned db = (unsigned)(sim_random(&random) % 2);
				int i = (int)(sim_random(&random) % INTERLEAVED), from = (int)(sim_random(&random) % INTERLEAVED);
				uint64_t kind = sim_random(&random) % 1000, count = 0;
				struct slice key = text(t, "%03d", i);
				if (kind < 600)
					txn_put(t, db, key, SLICE("v"), STORE_NO_EXPIRY);
				else
					txn_delete(t, db, key);
				there[db][i] = kind < 600;
				if (kind == 999) {
					txn_flush(t, db);
					memset(there[db], 0, sizeof(there[db]));
				} else if (kind == 998) {
					bool keep[INTERLEAVED];
					txn_swap(t, 0, 1);
					memcpy(keep, there[0], sizeof(keep));
					memcpy(there[0], there[1], sizeof(keep));
					memcpy(there[1], keep, sizeof(keep));
				}
				if (kind % 7 == 0) {
					for (int k = 0; k < INTERLEAVED; k++)
						count += there[db][k];
					wrong_counts += txn_count(t, db) != count;
				}
				if (kind % 5 == 0)
					wrong_scans += !scan_agrees(t, db, there[db], from, from + (int)(kind % (INTERLEAVED + 1 - (unsigned)from)),
						kind % 2);
			}
			txn_commit(t, &position);
		}
		fx_done(&f);
	}
	is_int(wrong_counts, 0, "counts between writes are exact");
	is_int(wrong_scans, 0, "scans between writes see all that was written before them");
}

static void test_random(void)
{
	struct fx f;
	unsigned seen[10] = { 0 }, least = 1000;
	struct slice key;

	start(&f);
	for (int i = 0; i < 10; i++)
		fx_put(&f, (char[]){ (char)('0' + i), 0 }, "v");
	fx_put_in(&f, 1, slice(NULL, 0), SLICE("of the empty key"), STORE_NO_EXPIRY);
	for (uint64_t i = 0, state = 5; i < 2000; i++) {
		struct txn *t = txn_begin(f.store, NULL);
		if (txn_random(t, 0, sim_random(&state), &key) == 0 && key.len == 1)
			seen[key.ptr[0] - '0']++;
		txn_abort(t);
	}
	for (int i = 0; i < 10; i++)
		least = seen[i] < least ? seen[i] : least;
	ok(least > 50, "random keys are chosen about evenly (the rarest %u times of 2000)", least);
	struct txn *t = txn_begin(f.store, NULL);
	ok(txn_random(t, 1, 1, &key) == 0 && key.len == 0, "the empty key can be chosen");
	is_int(txn_random(t, 2, 1, &key), STORE_ABSENT, "an empty database has none");
	txn_delete(t, 1, slice(NULL, 0));
	is_int(txn_random(t, 1, 1, &key), STORE_ABSENT, "nor one whose keys the transaction has deleted");
	txn_put(t, 2, SLICE("own"), SLICE("v"), STORE_NO_EXPIRY);
	ok(txn_random(t, 2, 1, &key) == 0 && slice_eq(key, SLICE("own")), "but one it has just put a key into");
	txn_abort(t);
	fx_done(&f);
}

/* ---- positions: what is shown can not be taken back ---- */

/* The disk takes its time; the first `n` commits are durable. */
static void stall(struct fx *f)
{
	if (fx_wait(f))
		bail("no sync");
	simdisk_hold(f->disk, SIM_SYNC, true);
}

static uint64_t seen_by_get(struct fx *f, unsigned db, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v;
	uint64_t position = 1, seen;

	txn_get(t, db, slice_str(key), &v);
	seen = txn_seen(t);
	if (txn_commit(t, &position))
		bail("a commit of nothing fails");
	return position == seen ? position : UINT64_MAX;
}

static uint64_t seen_by_peek(struct fx *f, unsigned db, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);

	txn_peek(t, db, slice_str(key), NULL);
	uint64_t seen = txn_seen(t);
	txn_abort(t);
	return seen;
}

static uint64_t seen_by_delete(struct fx *f, unsigned db, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);

	txn_delete(t, db, slice_str(key));
	uint64_t seen = txn_seen(t);
	txn_abort(t);
	return seen;
}

static uint64_t seen_by_scan(struct fx *f, unsigned db)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), false);
	struct slice key;

	while (txn_scan_next(scan, &key, NULL) == 0)
		;
	txn_scan_end(scan);
	uint64_t seen = txn_seen(t);
	txn_abort(t);
	return seen;
}

static uint64_t seen_by_count(struct fx *f, unsigned db)
{
	struct txn *t = txn_begin(f->store, NULL);
	uint64_t seen;

	txn_count(t, db);
	seen = txn_seen(t);
	txn_abort(t);
	return seen;
}

static void check_stalled(struct fx *f, const char *what)
{
	uint64_t releasable = store_releasable(f->store);

	store_submit(f->store);
	bool stalled = FX_UNTIL(f, store_backlog(f->store) == 0 && simdisk_waiting(f->disk, SIM_SYNC));
	ok(stalled && store_releasable(f->store) == releasable && store_durable(f->store) == releasable,
		"%s: while the disk takes its time, nothing is releasable that was not", what);
}

static bool is_held(struct fx *f, uint64_t position)
{
	return position > store_releasable(f->store) && position <= store_position(f->store);
}

static void test_positions(void)
{
	struct fx f;
	struct txn *t;
	uint64_t position;

	start(&f);
	fx_put(&f, "old", "durable");
	fx_put(&f, "gone", "durable");
	fx_put_in(&f, 1, SLICE("flushed"), SLICE("durable"), STORE_NO_EXPIRY);
	fx_put_in(&f, 2, SLICE("moved"), SLICE("durable"), STORE_NO_EXPIRY);
	stall(&f);
	uint64_t durable = store_position(f.store);
	ok(seen_by_get(&f, 0, "old") <= durable && seen_by_get(&f, 0, "never") <= durable && seen_by_scan(&f, 0) <= durable &&
			seen_by_count(&f, 0) <= durable,
		"with everything durable no read has to wait");

	t = txn_begin(f.store, NULL);
	txn_put(t, 0, SLICE("new"), SLICE("v"), STORE_NO_EXPIRY);
	is_int(txn_commit(t, &position), 0, "a write");
	is_int((int64_t)position, (int64_t)store_position(f.store), "has the position behind it");
	check_stalled(&f, "after a put");
	ok(is_held(&f, position), "its reply is held");
	ok(is_held(&f, seen_by_get(&f, 0, "new")) && is_held(&f, seen_by_peek(&f, 0, "new")), "so is a read of the value");
	ok(is_held(&f, seen_by_scan(&f, 0)), "and a scan that shows its key");
	ok(is_held(&f, seen_by_count(&f, 0)), "and a count that has it in");
	ok(seen_by_get(&f, 0, "old") <= durable && seen_by_get(&f, 0, "never") <= durable, "reads of other keys are not");

	fx_delete(&f, "gone");
	ok(is_held(&f, seen_by_get(&f, 0, "gone")) && is_held(&f, seen_by_peek(&f, 0, "gone")), "an absence that a deletion made is held");
	ok(is_held(&f, seen_by_delete(&f, 0, "gone")), "so is finding nothing to delete");
	ok(seen_by_get(&f, 0, "never") <= durable && seen_by_get(&f, 1, "gone") <= durable, "any other absence is not");

	t = txn_begin(f.store, NULL);
	txn_flush(t, 1);
	is_int(txn_commit(t, &position), 0, "a flush");
	ok(is_held(&f, position) && is_held(&f, seen_by_get(&f, 1, "flushed")), "holds the absence of what it removed");
	ok(is_held(&f, seen_by_scan(&f, 1)), "and the emptiness");
	ok(seen_by_get(&f, 0, "old") <= durable, "in its database only");
	t = txn_begin(f.store, NULL);
	txn_flush(t, 1);
	txn_commit(t, &position);
	ok(is_held(&f, position), "flushing what is empty only for now is held, too");
	/* Many deletions, more than one generation of what is remembered. */
	bool all = true;
	char key[32];
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "d%d", i);
		fx_put(&f, key, "v");
		fx_delete(&f, key);
	}
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "d%d", i);
		all &= is_held(&f, seen_by_get(&f, 0, key));
	}
	ok(all && is_held(&f, seen_by_get(&f, 0, "gone")), "every one of many deletions is remembered");
	ok(store_releasable(f.store) == durable, "all that while nothing became releasable");

	simdisk_hold(f.disk, SIM_SYNC, false);
	is_int(fx_wait(&f), 0, "the disk comes to an end");
	ok(!is_held(&f, seen_by_get(&f, 0, "new")) && !is_held(&f, seen_by_get(&f, 0, "gone")) && !is_held(&f, seen_by_get(&f, 1, "flushed")) &&
			!is_held(&f, seen_by_scan(&f, 0)),
		"and nothing has to wait any more");
	fx_done(&f);
}

static void test_swap_positions(void)
{
	struct fx f;
	struct txn *t;
	uint64_t position;

	start(&f);
	fx_put_in(&f, 0, SLICE("zero"), SLICE("durable"), STORE_NO_EXPIRY);
	fx_put_in(&f, 1, SLICE("one"), SLICE("durable"), STORE_NO_EXPIRY);
	stall(&f);
	t = txn_begin(f.store, NULL);
	txn_swap(t, 0, 1);
	is_int(txn_commit(t, &position), 0, "a swap");
	ok(is_held(&f, position), "its reply is held");
	ok(is_held(&f, seen_by_get(&f, 0, "one")) && is_held(&f, seen_by_peek(&f, 1, "zero")), "what is found through it is held");
	ok(is_held(&f, seen_by_get(&f, 0, "zero")) && is_held(&f, seen_by_get(&f, 1, "one")), "what is missing because of it, too");
	ok(!is_held(&f, seen_by_get(&f, 2, "zero")), "other databases are free");
	fx_done(&f);
}

/* More in one group than stays in memory afterwards: the tail is trimmed while the sync thread goes on. */
static void test_stalled_group(void)
{
	struct fx f;
	struct buf expected = { 0 };
	char key[32];

	for (int round = 0; round < 5; round++) {
		fx_init(&f, simdisk_new((uint64_t)round));
		f.options.segment_size = UINT64_C(64) << 20;
		f.options.cache_size = 0;
		fx_must_open(&f);
		fx_put(&f, "first", "value");
		stall(&f);
		fx_put(&f, "second", "value");
		store_submit(f.store);
		FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_SYNC));
		for (int i = 0; i < 40; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			fx_put_size(&f, key, (char)('a' + i % 26), 400000 + (size_t)(i * 100));
			if (round % 2)
				store_submit(f.store);
		}
		store_submit(f.store);
		simdisk_hold(f.disk, SIM_SYNC, false);
		FX_UNTIL(&f, store_durable(f.store) == store_position(f.store));
		for (int i = 0; i < 60; i++) {
			snprintf(key, sizeof(key), "later%d", i);
			fx_put_size(&f, key, (char)('A' + i % 26), 30000);
			store_submit(f.store);
			store_poll(f.store);
		}
		if (fx_wait(&f))
			bail("no sync");
		store_poll(f.store);
		struct store_stats st;
		store_stats(f.store, &st);
		fx_dump(&f, &expected);
		fx_power(&f);
		fx_must_open(&f);
		ok(fx_holds(&f, &expected) && st.tail_bytes <= TAIL_KEEP + 4 * TAIL_CHUNK,
			"a group of sixteen megabytes, then small ones: all written, memory bounded (round %d)", round);
		fx_done(&f);
	}
	buf_free(&expected);
}

/* ---- durability ---- */

static void test_durability(void)
{
	struct fx f;
	struct store_stats st;

	fx_init(&f, simdisk_new(1));
	f.options.durability = STORE_NEVER;
	fx_must_open(&f);
	fx_put(&f, "k", "v");
	store_submit(f.store);
	ok(FX_UNTIL(&f, store_backlog(f.store) == 0), "never: what is submitted is written");
	store_stats(f.store, &st);
	ok(st.syncs == 0 && store_durable(f.store) < store_position(f.store), "and not synced");
	ok(FX_UNTIL(&f, store_releasable(f.store) >= store_position(f.store)), "but releasable");
	store_barrier(f.store);
	ok(FX_UNTIL(&f, store_durable(f.store) == store_position(f.store)), "a barrier makes it durable");
	fx_power(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "k"), "v", "so that a power loss does not take it");
	fx_put(&f, "k", "w");
	is_int(fx_wait(&f), 0, "a wait does the same");
	fx_power(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "k"), "w", "whatever the mode");
	fx_put(&f, "k", "x");
	is_int(fx_close(&f), 0, "and so does a clean stop");
	simdisk_power_cycle(f.disk);
	f.options.durability = STORE_INTERVAL;
	f.options.interval_ms = 20;
	fx_must_open(&f);
	is_str(fx_get(&f, "k"), "x", "which keeps everything");

	fx_put(&f, "k", "y");
	store_submit(f.store);
	FX_UNTIL(&f, store_backlog(f.store) == 0);
	ok(store_durable(f.store) < store_position(f.store), "interval: written and not synced while no time passes");
	f.clock.mono += 21;
	ok(FX_UNTIL(&f, store_durable(f.store) == store_position(f.store)), "synced by itself when the interval is over");
	fx_put(&f, "k", "z");
	store_submit(f.store);
	FX_UNTIL(&f, store_backlog(f.store) == 0);
	store_set_durability(f.store, STORE_ALWAYS, 0);
	ok(FX_UNTIL(&f, store_releasable(f.store) == store_position(f.store)), "going back to always syncs what is there");
	fx_put(&f, "k", "end");
	ok(store_releasable(f.store) < store_position(f.store), "and from then on nothing goes before its sync");
	is_int(store_wait(f.store, store_position(f.store)), 0, "wait");
	fx_power(&f);
	fx_must_open(&f);
	is_str(fx_get(&f, "k"), "end", "always: there after a power loss");
	fx_done(&f);
}

/* ---- cold records ---- */

static void start_cold(struct fx *f)
{
	fx_init(f, simdisk_new(3));
	f->options.flags = STORE_CREATE;
	f->options.cache_size = 0;
	fx_must_open(f);
}

/* After this no record is in the store's memory, and the page cache answers nothing. */
static void make_cold(struct fx *f)
{
	if (fx_close(f))
		bail("no clean stop");
	fx_must_open(f);
	simdisk_cold(f->disk, 1);
}

static void test_cold(void)
{
	struct store_fetch *fetch;
	struct txn_value v;
	struct txn *t;
	struct fx f;
	int token = 0;

	start_cold(&f);
	fx_put(&f, "cold", "value");
	fx_put(&f, "other", "another");
	make_cold(&f);

	t = txn_begin(f.store, NULL);
	is_int(txn_get(t, 0, SLICE("cold"), &v), STORE_PENDING, "a cold record is pending");
	is_int(txn_peek(t, 0, SLICE("cold"), NULL), 0, "its existence is not");
	is_int(txn_get(t, 0, SLICE("never"), &v), STORE_ABSENT, "nor is an absence");
	is_int(txn_touch(t, 0, SLICE("cold"), 5), STORE_PENDING, "a touch needs the value");
	txn_abort(t);

	fetch = store_fetch_new(f.store, &token);
	t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, SLICE("cold"), &v), STORE_PENDING, "asked with a fetch");
	is_int(txn_get(t, 0, SLICE("cold"), &v), STORE_PENDING, "twice");
	is_int(txn_prepare(t, 0, SLICE("other")), STORE_PENDING, "another one named");
	is_int(txn_prepare(t, 0, SLICE("never")), 0, "a missing one needs nothing");
	txn_abort(t);
	is_int(f.tokens, 0, "nothing comes before it is begun");
	is_int(store_fetch_start(fetch), 0, "the reads begin");
	ok(FX_UNTIL(&f, f.tokens) && f.token[0] == &token, "their token comes back");
	t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, SLICE("cold"), &v), 0, "the second run has it");
	is_mem(v.data.ptr, v.data.len, "value", 5, "with its value");
	ok(txn_prepare(t, 0, SLICE("other")) == 0 && txn_get(t, 0, SLICE("other"), &v) == 0, "and the other");
	txn_abort(t);
	store_fetch_reset(fetch);
	t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, SLICE("cold"), &v), STORE_PENDING, "after a reset it is cold again, as nothing is cached");
	txn_abort(t);
	for (int i = 0; i < 1000; i++)
		store_poll(f.store);
	is_int(f.tokens, 1, "the token came once");
	store_fetch_free(fetch);

	/* Freed while the disk still reads. */
	fetch = store_fetch_new(f.store, &token);
	t = txn_begin(f.store, fetch);
	txn_prepare(t, 0, SLICE("cold"));
	txn_prepare(t, 0, SLICE("other"));
	txn_abort(t);
	simdisk_hold(f.disk, SIM_READ, true);
	is_int(store_fetch_start(fetch), 0, "reads begin");
	ok(FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_READ)), "the disk takes its time");
	store_fetch_free(fetch);
	simdisk_hold(f.disk, SIM_READ, false);
	struct store_stats st;
	FX_UNTIL(&f, simdisk_waiting(f.disk, SIM_READ) == 0);
	fetch = store_fetch_new(f.store, &f);
	t = txn_begin(f.store, fetch);
	txn_prepare(t, 0, SLICE("cold"));
	txn_abort(t);
	store_fetch_start(fetch);
	ok(FX_UNTIL(&f, f.tokens == 2) && f.token[1] == &f, "the freed one's token never comes, the next one's does");
	store_fetch_free(fetch);
	store_stats(f.store, &st);
	is_int((int64_t)st.fetches, 5, "fetches are counted");

	/* The store is closed while a fetch is under way; it is freed afterwards. */
	fetch = store_fetch_new(f.store, &token);
	t = txn_begin(f.store, fetch);
	txn_prepare(t, 0, SLICE("cold"));
	txn_abort(t);
	store_fetch_start(fetch);
	is_int(fx_close(&f), 0, "closing with a fetch under way");
	store_fetch_free(fetch);
	fx_done(&f);
}

static void test_many_cold(void)
{
	enum { N = 500 };
	struct store_fetch *fetch;
	struct txn_value v;
	struct txn *t;
	struct fx f;
	unsigned pending = 0, right = 0;
	char key[32];

	start_cold(&f);
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		fx_put_size(&f, key, (char)('a' + i % 26), (size_t)i * 20);
	}
	make_cold(&f);
	fetch = store_fetch_new(f.store, &f);
	t = txn_begin(f.store, fetch);
	for (int i = 0; i < N; i++)
		pending += txn_prepare(t, 0, text(t, "k%d", i)) == STORE_PENDING;
	txn_abort(t);
	is_int(pending, N, "many keys are listed in one fetch");
	store_fetch_start(fetch);
	ok(FX_UNTIL(&f, f.tokens), "they come back together");
	t = txn_begin(f.store, fetch);
	for (int i = N; i-- > 0;)
		right += txn_get(t, 0, text(t, "k%d", i), &v) == 0 && v.data.len == (size_t)i * 20 && (i == 0 || v.data.ptr[v.data.len - 1] == 'a' + i % 26);
	is_int(right, N, "each with its own value, in whatever order they are asked for");
	txn_abort(t);
	for (int i = 0; i < 1000; i++)
		store_poll(f.store);
	is_int(f.tokens, 1, "one token for all");
	store_fetch_free(fetch);
	fx_done(&f);
}

static void test_cold_cached(void)
{
	struct txn *t;
	struct txn_value v;
	struct store_stats st;
	struct fx f;
	unsigned right = 0;
	char key[32];

	fx_init(&f, simdisk_new(3));
	f.options.cache_size = 1 << 20;
	fx_must_open(&f);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		fx_put(&f, key, key);
	}
	fx_close(&f);
	fx_must_open(&f);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 100; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			right += strcmp(fx_get(&f, key), key) == 0;
		}
	is_int(right, 200, "values read from disk are right, and again from memory");
	store_stats(f.store, &st);
	ok(st.cache_hits >= 100 && st.cache_misses <= 100, "the second time without the disk (%" PRIu64 " hits)", st.cache_hits);
	/* A key that changes must not be answered with what was cached for its old record. */
	fx_put(&f, "k7", "changed");
	is_str(fx_get(&f, "k7"), "changed", "a change is seen");
	fx_delete(&f, "k8");
	is_str(fx_get(&f, "k8"), "(absent)", "a deletion, too");
	t = txn_begin(f.store, NULL);
	ok(txn_get(t, 0, SLICE("k9"), &v) == 0 && txn_put(t, 0, SLICE("copy"), v.data, STORE_NO_EXPIRY) == 0, "a cached value can be written again");
	uint64_t position;
	is_int(txn_commit(t, &position), 0, "under another name");
	is_str(fx_get(&f, "copy"), "k9", "and is the same");
	fx_done(&f);
}

static void test_corrupt(void)
{
	struct store_fetch *fetch;
	const struct fx_told *told = NULL;
	struct txn_value v;
	struct txn *t;
	struct fx f;
	size_t size;
	int token;

	for (int blocking = 0; blocking < 2; blocking++) {
		start_cold(&f);
		if (blocking)
			f.options.flags |= STORE_BLOCKING;
		fx_put(&f, "first", "value");
		uint64_t at = store_position(f.store);
		fx_put(&f, "bad", "value");
		fx_put(&f, "good", "value");
		make_cold(&f);
		simdisk_file(f.disk, SEG1, &size)[at + 36] ^= 0x10;
		fetch = blocking ? NULL : store_fetch_new(f.store, &token);
		t = txn_begin(f.store, fetch);
		if (!blocking) {
			is_int(txn_prepare(t, 0, SLICE("bad")), STORE_PENDING, "a record that will prove damaged");
			txn_prepare(t, 0, SLICE("good"));
			txn_abort(t);
			store_fetch_start(fetch);
			FX_UNTIL(&f, f.tokens);
			t = txn_begin(f.store, fetch);
			is_int(txn_prepare(t, 0, SLICE("bad")), 0, "is not waited for again");
		}
		is_int(txn_get(t, 0, SLICE("bad"), &v), STORE_CORRUPT, "it is corrupt, not absent");
		ok(strstr(store_problem(f.store), SEG1) && strstr(store_problem(f.store), "offset"), "file and offset are named: %s",
			store_problem(f.store));
		ok(fx_count(&f, STORE_EVENT_DAMAGE, &told) >= 1 && told->offset == at && strcmp(told->file, SEG1) == 0, "and told");
		is_int(txn_get(t, 0, SLICE("good"), &v), 0, "others are served");
		is_int(txn_peek(t, 0, SLICE("bad"), NULL), 0, "its existence is known");
		is_int(txn_touch(t, 0, SLICE("bad"), 5), STORE_CORRUPT, "it is not copied to another place");
		txn_abort(t);
		store_fetch_free(fetch);
		is_int(fx_put(&f, "bad", "anew"), 0, "it can be overwritten");
		is_str(fx_get(&f, "bad"), "anew", "and is whole again");
		struct store_stats st;
		store_stats(f.store, &st);
		ok(st.damaged >= 1, "damage is counted");
		fx_done(&f);
	}
}

static void test_read_errors(void)
{
	struct store_fetch *fetch;
	struct txn_value v;
	struct txn *t;
	struct fx f;
	int token;

	start_cold(&f);
	f.options.flags |= STORE_BLOCKING;
	fx_put(&f, "k", "value");
	make_cold(&f);
	simdisk_fail(f.disk, SIM_READ, 1, 0, -EIO);
	t = txn_begin(f.store, NULL);
	is_int(txn_get(t, 0, SLICE("k"), &v), -EIO, "a read that fails is neither an absence nor another value");
	ok(strstr(store_problem(f.store), SEG1) && strstr(store_problem(f.store), "offset"), "file and offset are named: %s", store_problem(f.store));
	txn_abort(t);
	is_str(fx_get(&f, "k"), "value", "the next one may succeed");
	fx_done(&f);

	start_cold(&f);
	fx_put(&f, "k", "value");
	make_cold(&f);
	fetch = store_fetch_new(f.store, &token);
	t = txn_begin(f.store, fetch);
	txn_prepare(t, 0, SLICE("k"));
	txn_abort(t);
	simdisk_fail(f.disk, SIM_READ, 1, 0, -EIO);
	store_fetch_start(fetch);
	FX_UNTIL(&f, f.tokens);
	simdisk_cold(f.disk, 1);
	t = txn_begin(f.store, fetch);
	is_int(txn_get(t, 0, SLICE("k"), &v), -EIO, "so it is for a read off the loop");
	ok(strstr(store_problem(f.store), SEG1) && strstr(store_problem(f.store), "offset"), "with file and offset: %s", store_problem(f.store));
	txn_abort(t);
	store_fetch_free(fetch);
	fx_done(&f);
}

/* ---- time ---- */

static void test_expiry(void)
{
	struct txn *t;
	struct txn_value v;
	struct fx f;
	int64_t at;

	start(&f);
	fx_put_in(&f, 0, SLICE("k"), SLICE("v"), store_now(f.store) + 3000);
	fx_put(&f, "plain", "v");
	f.clock.wall -= 3600000;
	f.clock.mono += 2999;
	is_str(fx_get(&f, "k"), "v", "the wall clock goes back an hour: a key of 3 s is there before its time");
	f.clock.mono += 1;
	is_str(fx_get(&f, "k"), "(absent)", "and gone at its time");
	fx_put_in(&f, 0, SLICE("k"), SLICE("v"), store_now(f.store) + 3000);
	f.clock.wall += 7200000;
	f.clock.mono += 2999;
	is_str(fx_get(&f, "k"), "v", "the clock goes ahead two hours: it is there before its time");
	t = txn_begin(f.store, NULL);
	ok(txn_peek(t, 0, SLICE("k"), &at) == 0 && at == store_now(f.store) + 1, "with the time it has left");
	ok(txn_get(t, 0, SLICE("k"), &v) == 0 && v.expire_ms == at, "both ways of asking");
	is_int((int64_t)txn_expiring(t, 0), 1, "keys with an expiry are counted");
	txn_abort(t);
	f.clock.mono += 1;
	t = txn_begin(f.store, NULL);
	ok(is_absent(t, 0, SLICE("k")) && txn_delete(t, 0, SLICE("k")) == STORE_ABSENT && txn_touch(t, 0, SLICE("k"), STORE_NO_EXPIRY) == STORE_ABSENT,
		"an expired key is absent for every call");
	is_int((int64_t)txn_count(t, 0), 2, "but counted until it is swept");
	txn_abort(t);

	is_int(store_expire_some(f.store, 100), 1, "sweeping removes it");
	is_int(store_expire_some(f.store, 100), 0, "once");
	is_int((int64_t)store_count(f.store, 0), 1, "and not the others");
	struct store_stats st;
	store_stats(f.store, &st);
	is_int((int64_t)st.expired, 1, "it is counted");
	fx_close(&f);
	f.clock.wall -= 86400000;
	fx_must_open(&f);
	is_str(fx_get(&f, "k"), "(absent)", "opened with the clock a day back, it does not come back");
	is_str(fx_get(&f, "plain"), "v", "what has no expiry stays");

	/* Touch and its removal, and times as wall time over a restart. */
	fx_put_in(&f, 1, SLICE("t"), SLICE("value"), STORE_NO_EXPIRY);
	t = txn_begin(f.store, NULL);
	uint64_t position;
	int64_t wall = f.clock.wall + 5000;
	is_int(txn_touch(t, 1, SLICE("t"), store_from_wall(f.store, wall)), 0, "a touch gives an expiry");
	is_int(txn_commit(t, &position), 0, "committed");
	fx_close(&f);
	f.clock.wall += 1000;
	fx_must_open(&f);
	t = txn_begin(f.store, NULL);
	ok(txn_get(t, 1, SLICE("t"), &v) == 0 && slice_eq(v.data, SLICE("value")) && store_to_wall(f.store, v.expire_ms) == wall, "kept over a restart");
	is_int(txn_touch(t, 1, SLICE("t"), STORE_NO_EXPIRY), 0, "a touch takes it away");
	txn_commit(t, &position);
	f.clock.mono += 100000;
	is_str(fx_get_in(&f, 1, "t"), "value", "and then it stays");
	is_int((int64_t)store_expiring(f.store, 1), 0, "counted so");
	ok(store_from_wall(f.store, INT64_MAX) > store_now(f.store) && store_from_wall(f.store, INT64_MIN) < 0, "times saturate");
	fx_done(&f);
}

/* Times at the end of time: whatever the clock has done, they stay an expiry, and the log stays readable. */
static void test_far_expiry(void)
{
	static const int64_t steps[] = { 0, 1, 2, 100, 3600000, -1, -3600000 };
	struct fx f;
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		for (int64_t back = 1; back <= 3600000; back += back < 110 ? 1 : 3599890) {
			start(&f);
			f.clock.wall += steps[i];
			fx_put_in(&f, 0, SLICE("far"), SLICE("v"), STORE_NO_EXPIRY - back);
			fx_put(&f, "next", "v");
			fx_close(&f);
			if (fx_open(&f)) {
				diag("clock %+" PRId64 " ms, expiry %" PRId64 " ms before the end: %s", steps[i], back, f.error.text);
				bad++;
			} else {
				bad += strcmp(fx_get(&f, "far"), "v") != 0 || strcmp(fx_get(&f, "next"), "v") != 0 || store_expiring(f.store, 0) != 1;
			}
			fx_done(&f);
			if (bad > 2)
				break;
		}
	ok(bad == 0, "an expiry at the end of time is kept, after steps of the clock, too");
}

static void test_sweep(void)
{
	struct fx f;
	char key[32];
	unsigned removed = 0, most = 0;

	start(&f);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		fx_put_in(&f, (unsigned)(i % 2), slice_str(key), SLICE("v"), i % 5 ? store_now(f.store) + 10 : STORE_NO_EXPIRY);
	}
	is_int(store_expire_some(f.store, 1000), 0, "nothing is swept before its time");
	f.clock.mono += 10;
	for (int i = 0; i < 2000; i++) {
		unsigned n = store_expire_some(f.store, 4);
		removed += n;
		most = n > most ? n : most;
	}
	is_int(removed, 4000, "sweeping by and by removes all that has expired");
	is_int((int64_t)(store_count(f.store, 0) + store_count(f.store, 1)), 1000, "and nothing else");
	ok(most <= 1000, "a bounded number at a time");
	fx_power(&f);
	f.clock.wall -= 10000;
	fx_must_open(&f);
	fx_done(&f);
}

static struct fake_clock *held_up;

/* The thread is held up for five seconds just behind its look at the clock. */
static int64_t read_wall_slowly(const struct clock *c)
{
	int64_t now = fx_wall(c);

	if (held_up) {
		held_up->wall += 5000;
		held_up->mono += 5000;
	}
	held_up = NULL;
	return now;
}

static void test_held_up(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(1));
	f.clock.clock.wall_ms = read_wall_slowly;
	fx_must_open(&f);
	int64_t wall = f.clock.wall + 100000, steady = store_from_wall(f.store, wall);
	held_up = &f.clock;
	is_int(store_from_wall(f.store, wall), steady, "time that passes between two looks at clocks moves no expiry");
	held_up = &f.clock;
	is_int(store_to_wall(f.store, steady), wall, "in neither direction");
	f.clock.wall += 60000;
	held_up = &f.clock;
	is_int(store_to_wall(f.store, steady), wall + 60000, "a step does, also then");
	fx_done(&f);
}

int main(void)
{
	test_own_writes();
	test_flush_and_swap(0);
	test_flush_and_swap(3);
	test_flush_and_swap(1200);
	test_ops();
	test_limits();
	test_large();
	test_scans();
	test_interleaved();
	test_random();
	test_positions();
	test_swap_positions();
	test_stalled_group();
	test_durability();
	test_cold();
	test_many_cold();
	test_cold_cached();
	test_corrupt();
	test_read_errors();
	test_expiry();
	test_far_expiry();
	test_held_up();
	test_sweep();
	return done();
}
