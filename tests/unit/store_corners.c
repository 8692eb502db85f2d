/* SPDX-License-Identifier: MIT
 * The store after single, chosen faults: each case is a course of events that random histories meet too rarely.
 */
#include <errno.h>
#include <time.h>
#include "sim/simdisk.h"
#include "store/store.h"
#include "tap.h"

static struct store *open_as(struct simdisk *d, enum store_durability durability, const char *name)
{
	struct store_options o = {
		.path = "sim",
		.flags = STORE_CREATE | STORE_BLOCKING,
		.databases = 4,
		.segment_size = 1 << 20,
		.durability = durability,
		.interval_ms = 3600000,
		.io = simdisk_io(d),
	};
	struct store *s = NULL;
	struct error e = { 0 };

	if (store_open(&o, &s, &e))
		diag("%s: %s", name, e.text);
	ok(s, "%s", name);
	return s;
}

static int put(struct store *s, const char *key, const char *value)
{
	struct txn *t = txn_begin(s, NULL);
	uint64_t position;
	int r = txn_put(t, 0, slice_str(key), slice_str(value), STORE_NO_EXPIRY);

	if (r) {
		txn_abort(t);
		return r;
	}
	return txn_commit(t, &position);
}

static int drop(struct store *s, const char *key)
{
	struct txn *t = txn_begin(s, NULL);
	uint64_t position;
	int r = txn_delete(t, 0, slice_str(key));

	if (r) {
		txn_abort(t);
		return r;
	}
	return txn_commit(t, &position);
}

static bool has(struct store *s, const char *key, const char *value)
{
	struct txn *t = txn_begin(s, NULL);
	struct txn_value v;
	int r = txn_get(t, 0, slice_str(key), &v);
	bool same = r == 0 && slice_eq(v.data, slice_str(value));

	if (r)
		diag("%s: %d %s", key, r, r == STORE_ABSENT ? "" : store_problem(s));
	txn_abort(t);
	return same;
}

static bool is_refusing(struct store *s)
{
	struct timespec ms = { 0, 1000000 };

	for (int i = 0; i < 120000 && store_health(s, NULL) == 0; i++)
		nanosleep(&ms, NULL);
	return store_health(s, NULL) == STORE_REFUSED;
}

/* What the next process reads may be in the page cache and nowhere else. */
static void test_failed_sync_then_restart(void)
{
	struct simdisk *d = simdisk_new(3);
	struct store *s = open_as(d, STORE_INTERVAL, "failed sync: a store that syncs seldom");

	is_int(put(s, "first", "1"), 0, "a write");
	is_int(store_wait(s, store_position(s)), 0, "that is synced");
	/* Some blocks of the log, so that what comes later does not carry the lost ones along by chance. */
	char value[20000];
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	is_int(put(s, "second", value), 0, "another");
	simdisk_fail(d, SIM_SYNC, 1, 0, -EIO);
	ok(store_wait(s, store_position(s)) != 0, "whose sync fails");
	simdisk_kill(d); /* the process ends at once; the machine goes on */
	simdisk_fail(d, SIM_ANY, 0, 0, 0);
	store_close(s);
	simdisk_kill(d);

	s = open_as(d, STORE_ALWAYS, "it opens");
	bool shown = s && has(s, "second", value);
	is_int(s ? put(s, "third", "3") : -1, 0, "and takes a write");
	is_int(s ? store_wait(s, store_position(s)) : -1, 0, "that becomes durable");
	if (s)
		simdisk_die_at(d, 1);
	store_close(s);
	simdisk_power_cycle(d);
	s = open_as(d, STORE_ALWAYS, "after power loss it opens again");
	ok(s && has(s, "first", "1") && has(s, "third", "3"), "with what was acknowledged");
	ok(s && (!shown || has(s, "second", value)), "and with everything that was shown as durable");
	store_close(s);
	simdisk_free(d);
}

/* Replies that have left cannot be taken back because a stricter policy came after them. */
static void test_stricter_policy_on_a_failing_disk(void)
{
	struct simdisk *d = simdisk_new(4);
	struct store *s = open_as(d, STORE_INTERVAL, "stricter policy: a store that syncs seldom");

	is_int(put(s, "a", "1"), 0, "a write");
	is_int(store_wait(s, store_position(s)), 0, "that is synced");
	is_int(put(s, "b", "2"), 0, "another");
	store_submit(s);
	struct timespec ms = { 0, 1000000 };
	for (int i = 0; i < 120000 && store_releasable(s) < store_position(s); i++)
		nanosleep(&ms, NULL);
	ok(store_releasable(s) == store_position(s), "is acknowledged, as the policy says");
	is_int(put(s, "c", "3"), 0, "a third lets the store forget how to undo the second");
	simdisk_fail(d, SIM_SYNC, 1, 0, -EIO);
	store_set_durability(s, STORE_ALWAYS, 0);
	ok(is_refusing(s), "the policy becomes stricter, and the sync fails");
	store_poll(s);
	ok(has(s, "a", "1") && has(s, "b", "2"), "what was acknowledged before is still served");
	struct txn *t = txn_begin(s, NULL);
	ok(txn_peek(t, 0, SLICE("b"), NULL) == 0 && txn_seen(t) <= store_releasable(s), "and nobody waits for it for ever");
	ok(txn_peek(t, 0, SLICE("c"), NULL) == STORE_ABSENT || txn_seen(t) <= store_releasable(s), "nor for what came after");
	txn_abort(t);
	store_close(s);
	simdisk_free(d);
}

/* Invariant I2: an exchange of databases shows other values under the same names. */
static void test_exchange_is_seen(void)
{
	struct simdisk *d = simdisk_new(5);
	struct store *s = open_as(d, STORE_ALWAYS, "exchange: a store");
	uint64_t position = 0;

	is_int(put(s, "k", "in 0"), 0, "a write to database 0");
	is_int(store_wait(s, store_position(s)), 0, "that is durable");
	struct txn *t = txn_begin(s, NULL);
	is_int(txn_swap(t, 0, 1), 0, "databases 0 and 1 are exchanged");
	is_int(txn_commit(t, &position), 0, "and that is committed, not synced");

	struct txn_value v;
	t = txn_begin(s, NULL);
	ok(txn_get(t, 1, SLICE("k"), &v) == 0, "the key is in database 1 now");
	ok(txn_seen(t) >= position, "who reads it there has seen the exchange");
	txn_abort(t);
	t = txn_begin(s, NULL);
	ok(txn_get(t, 0, SLICE("k"), &v) == STORE_ABSENT, "and it is not in database 0");
	ok(txn_seen(t) >= position, "nor does its absence leave before the exchange is durable");
	txn_abort(t);
	t = txn_begin(s, NULL);
	ok(txn_peek(t, 2, SLICE("k"), NULL) == STORE_ABSENT && txn_seen(t) < position, "other databases are not held up");
	txn_abort(t);
	store_close(s);
	simdisk_free(d);
}

/* A transaction that begins with a flush is as quick as any. */
static void test_flush_before_many_writes(void)
{
	enum { N = 200000 };
	struct simdisk *d = simdisk_new(6);
	struct store *s = open_as(d, STORE_ALWAYS, "flush: a store");
	struct timespec from, to;
	bool right = true;

	is_int(put(s, "old", "1"), 0, "a key from before");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	struct txn *t = txn_begin(s, NULL);
	is_int(txn_flush(t, 0), 0, "a transaction flushes");
	for (int i = 0; i < N && right; i++) {
		char *key = txn_alloc(t, 16);
		size_t len = (size_t)snprintf(key, 16, "k%d", i);
		right = txn_put(t, 0, slice(key, len), SLICE("v"), STORE_NO_EXPIRY) == 0;
	}
	for (int i = 0; i < N && right; i++) {
		char key[16];
		size_t len = (size_t)snprintf(key, sizeof(key), "k%d", i);
		right = txn_peek(t, 0, slice(key, len), NULL) == 0 && txn_peek(t, 1, slice(key, len), NULL) == STORE_ABSENT;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
		if (to.tv_sec - from.tv_sec > 10)
			break;
	}
	ok(right, "then writes many keys and finds them all, and none of another database");
	ok(txn_peek(t, 0, SLICE("old"), NULL) == STORE_ABSENT, "and not what it flushed");
	ok(to.tv_sec - from.tv_sec <= 10, "in less time than a client would stall others for");
	is_int(txn_flush(t, 0), 0, "a second flush");
	ok(txn_peek(t, 0, SLICE("k1"), NULL) == STORE_ABSENT, "hides them");
	is_int(txn_put(t, 0, SLICE("k1"), SLICE("again"), STORE_NO_EXPIRY), 0, "one is written again");
	ok(txn_peek(t, 0, SLICE("k1"), NULL) == 0 && txn_peek(t, 0, SLICE("k2"), NULL) == STORE_ABSENT, "and only that one is there");
	txn_abort(t);
	store_close(s);
	simdisk_free(d);
}

/* Invariant I12: what one transaction takes has an end. */
static void test_memory_of_a_transaction(void)
{
	struct simdisk *d = simdisk_new(7);
	struct store *s = open_as(d, STORE_ALWAYS, "memory: a store");
	struct txn *t = txn_begin(s, NULL);
	uint64_t got = 0, position;
	char *big = NULL;

	while (got < (UINT64_C(64) << 30)) {
		char *p = txn_alloc(t, 256 << 20);
		if (!p)
			break;
		big = p;
		got += 256 << 20;
	}
	ok(got >= UINT64_C(1) << 30 && got <= UINT64_C(4) << 30, "a transaction has enough memory for the largest values, and no more");
	int r = 0;
	for (unsigned i = 0; i < 200 && r == 0; i++) {
		char *key = (char[8]){ 0 };
		key = txn_alloc(t, 8);
		if (!key)
			bail("no memory for a key");
		snprintf(key, 8, "%u", i);
		r = txn_put(t, 0, slice_str(key), slice(big, 256 << 20), STORE_NO_EXPIRY);
	}
	if (r == 0)
		r = txn_commit(t, &position);
	else
		txn_abort(t);
	is_int(r, -E2BIG, "nor can it write more than that, though it repeats the same bytes");
	is_int(put(s, "k", "v"), 0, "the store goes on");
	is_int(drop(s, "k"), 0, "as usual");
	store_close(s);
	simdisk_free(d);
}

/* An old copy of the catalog must not make the store forget what came later. */
static void test_catalog_of_an_earlier_clean_stop(void)
{
	struct simdisk *d = simdisk_new(8);
	struct store *s = open_as(d, STORE_ALWAYS, "old catalog: a store");
	struct store_options o = { .path = "sim", .io = simdisk_io(d) };
	struct error e = { 0 };
	char copy[4096];
	size_t size;

	is_int(put(s, "a", "1"), 0, "a write");
	is_int(store_close(s), 0, "and a clean stop");
	const unsigned char *catalog = simdisk_file(d, "CATALOG", &size);
	size_t kept = size;
	memcpy(copy, catalog, kept);
	s = open_as(d, STORE_ALWAYS, "it is opened again");
	is_int(put(s, "b", "2"), 0, "for one more write");
	is_int(store_wait(s, store_position(s)), 0, "that is acknowledged");
	simdisk_die_at(d, 1);
	store_close(s);
	simdisk_kill(d);
	simdisk_resize(d, "CATALOG", kept);
	memcpy(simdisk_file(d, "CATALOG", &size), copy, kept);
	is_int(store_open(&o, &s, &e), -EUCLEAN, "with the catalog of the clean stop put back it is refused");
	ok(strstr(e.text, "old copy"), "and the reason is named");
	simdisk_free(d);
}

int main(void)
{
	test_failed_sync_then_restart();
	test_stricter_policy_on_a_failing_disk();
	test_exchange_is_seen();
	test_flush_before_many_writes();
	test_memory_of_a_transaction();
	test_catalog_of_an_earlier_clean_stop();
	return done();
}
