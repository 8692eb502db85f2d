/* SPDX-License-Identifier: MIT
 * Values in blocks, in the store: kept and read by reference, written together with their transaction or not at all.
 */
#include <unistd.h>
#include "store_fixture.h"

#define MIB ((size_t)1 << 20)
#define MANY 60 /* values of one transaction: more than one write takes */

static struct block *make_block(struct store *s, char letter, size_t len)
{
	struct block *b = block_new(store_blocks(s), len, len);

	if (!b)
		bail("no memory");
	memset(b->memory, letter, len);
	block_take(b, len);
	return b;
}

/* Commits a value by reference; the caller's own one is given up. */
static int put_block(struct fx *f, const char *key, char letter, size_t len)
{
	struct block *b = make_block(f->store, letter, len);
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v = { b->value, STORE_NO_EXPIRY, b };
	uint64_t position;
	int r = txn_put_value(t, 0, slice_str(key), &v);

	if (r == 0)
		r = txn_commit(t, &position);
	else
		txn_abort(t);
	block_unref(b);
	return r;
}

static uint64_t memory_of_blocks(struct fx *f)
{
	struct store_stats stats;

	store_poll(f->store);
	store_stats(f->store, &stats);
	return stats.block_bytes;
}

/* What the log has of a key in a block of its own; NULL: nothing. */
static const struct block *young_block(struct fx *f, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v = { .block = NULL };
	int r = txn_get(t, 0, slice_str(key), &v);

	txn_abort(t);
	return r ? NULL : v.block;
}

static void test_by_reference(void)
{
	struct fx f;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	is_int(put_block(&f, "a", 'a', MIB), 0, "a value in a block is taken");
	is_int(fx_put(&f, "b", "small"), 0, "a small one behind it");
	is_int(fx_wait(&f), 0, "both are written");
	const struct block *b = young_block(&f, "a");
	ok(b && b->value.len == MIB && b->refs == 1, "the log has the block itself, and alone");
	struct txn *t = txn_begin(f.store, NULL);
	uint64_t position;
	is_int(txn_touch(t, 0, SLICE("a"), store_now(f.store) + 100000), 0, "its expiry is changed");
	is_int(txn_commit(t, &position), 0, "in another record");
	ok(young_block(&f, "a") == b && b->refs == 2, "of the same block");
	is_str(fx_get_in(&f, 0, "b"), "small", "what stands behind it is right");
	is_int(fx_wait(&f), 0, "all is written");
	is_int(put_block(&f, "a", 'b', 5 * MIB), 0, "a larger value in its place");
	is_int(put_block(&f, "c", 'c', 300000), 0, "and another one");
	is_int(fx_wait(&f), 0, "are written");
	ok(memory_of_blocks(&f) < 2 * MIB, "what is on disk and old, or large, is not in memory any more");
	is_int(fx_close(&f), 0, "a clean stop");
	fx_must_open(&f);
	ok(!strncmp(fx_get_in(&f, 0, "a"), "bbbb", 4) && !strncmp(fx_get_in(&f, 0, "c"), "cccc", 4), "the values read back");
	fx_close(&f);
	fx_done(&f);
}

static int commit_many(struct fx *f)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct block *b[MANY];
	char key[MANY][24];
	uint64_t position;
	int r = 0;

	for (int i = 0; i < MANY; i++) {
		b[i] = make_block(f->store, 'm', 100 + (size_t)i);
		snprintf(key[i], sizeof(key[i]), "many %d", i);
		struct txn_value v = { b[i]->value, STORE_NO_EXPIRY, b[i] };
		r = r ? r : txn_put_value(t, 0, slice_str(key[i]), &v);
	}
	if (r == 0)
		r = txn_commit(t, &position);
	else
		txn_abort(t);
	for (int i = 0; i < MANY; i++)
		block_unref(b[i]);
	return r;
}

/* How many of them are there; -1: one is not as it was written. */
static int count_many(struct fx *f)
{
	struct txn *t = txn_begin(f->store, NULL);
	char key[24];
	int n = 0;

	for (int i = 0; i < MANY && n >= 0; i++) {
		struct txn_value v;
		snprintf(key, sizeof(key), "many %d", i);
		int r = txn_get(t, 0, slice_str(key), &v);
		if (r == 0)
			n = v.data.len == 100 + (size_t)i && v.data.ptr[0] == 'm' ? n + 1 : -1;
	}
	txn_abort(t);
	return n;
}

static void begin_many(struct fx *f, unsigned n)
{
	fx_init(f, simdisk_new(n));
	fx_must_open(f);
	if (fx_put(f, "before", "1") || fx_wait(f))
		bail("a store that writes is needed");
}

static void test_failing_writes(void)
{
	static const int errors[] = { -ENOSPC, -EIO };
	unsigned met = 0;
	bool whole = true, opens = true;

	for (unsigned n = 1; n < 12; n++) {
		struct fx f;
		begin_many(&f, n);
		simdisk_fail(f.disk, SIM_WRITE, n / 2 + 1, 0, errors[n % 2]);
		int r = commit_many(&f);
		int waited = r ? r : fx_wait(&f);
		store_poll(f.store);
		int there = count_many(&f);
		met += waited != 0;
		whole &= there == (waited ? 0 : MANY);
		fx_close(&f);
		simdisk_kill(f.disk);
		simdisk_fail(f.disk, SIM_WRITE, 0, 0, 0);
		opens &= fx_open(&f) == 0;
		there = count_many(&f);
		whole &= waited ? there == 0 || there == MANY : there == MANY;
		opens &= !strcmp(fx_get_in(&f, 0, "before"), "1");
		fx_close(&f);
		fx_done(&f);
	}
	ok(met >= 4, "a transaction of many values takes several writes (%u failed)", met);
	ok(whole, "when one of them fails all of it is taken back");
	ok(opens, "and the store opens afterwards with what was there before");
}

static void test_power(void)
{
	bool whole = true;
	unsigned absent = 0, there = 0;

	for (unsigned n = 1; n < 40; n++) {
		struct fx f;
		begin_many(&f, n);
		simdisk_die_at(f.disk, n % 8 + 1);
		int r = commit_many(&f);
		bool acknowledged = r == 0 && fx_wait(&f) == 0;
		fx_power(&f);
		fx_must_open(&f);
		int found = count_many(&f);
		whole &= found == MANY || (found == 0 && !acknowledged);
		absent += found == 0;
		there += found == MANY;
		fx_close(&f);
		fx_done(&f);
	}
	ok(whole, "power loss at any call leaves all of it or nothing (%u and %u times)", there, absent);
	ok(there && absent, "both were met");
}

/* ---- work ---- */

static _Atomic bool may_go; /* the work waits for it */

static int run_copy(struct store_work *w)
{
	struct slice from = w->in[0].data;
	struct block *b = block_new(w->home, w->room, w->room);

	while (!atomic_load(&may_go))
		sched_yield();
	if (!b)
		return -ENOMEM;
	memcpy(b->memory, from.ptr, from.len);
	memcpy(b->memory + from.len, w->in[1].data.ptr, w->in[1].data.len);
	block_take(b, from.len + w->in[1].data.len);
	w->made = b;
	w->result = w->number[0];
	return 0;
}

static int run_failing(struct store_work *w)
{
	(void)w;
	return -ENOMEM;
}

/* As a request does: appends one letter to the value of a key, by work. What txn_work said, or commit. */
static int append_letter(struct fx *f, struct store_fetch *fetch, const char *key)
{
	struct txn *t = txn_begin(f->store, fetch);
	struct txn_value v = { .data = { "", 0 } };
	const struct store_work *done = NULL;
	uint64_t position;
	int r = txn_get(t, 0, slice_str(key), &v);

	if (r == 0) {
		struct store_work_input in[] = { { v.data, v.block, 0 }, { SLICE("z"), NULL, 0 } };
		struct store_work w = { .run = run_copy, .in = in, .inputs = 2, .number = { 7 }, .room = v.data.len + 1 };
		r = txn_work(t, &w, &done);
	}
	if (r == 0 && done->result == 7) {
		v.data = done->made->value;
		v.block = done->made;
		r = txn_put_value(t, 0, slice_str(key), &v);
	}
	if (r)
		txn_abort(t);
	else
		r = txn_commit(t, &position);
	if (r == STORE_PENDING && fetch)
		store_fetch_start(fetch);
	return r;
}

static void wait_tokens(struct fx *f, unsigned n)
{
	for (int i = 0; f->tokens < n && i < 1000000; i++) {
		store_poll(f->store);
		usleep(100);
	}
	if (f->tokens < n)
		bail("the work does not end");
}

static size_t length_of(struct fx *f, const char *key)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v = { .data = { "", 0 } };

	(void)txn_get(t, 0, slice_str(key), &v);
	txn_abort(t);
	return v.data.len;
}

static void test_work(void)
{
	struct fx f;
	int token;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	struct store_fetch *fetch = store_fetch_new(f.store, &token);
	put_block(&f, "a", 'a', MIB);
	is_int(append_letter(&f, NULL, "a"), STORE_PENDING, "work without a fetch is not even begun");
	atomic_store(&may_go, false);
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "work is waited for");
	/* The log lets go of what is on disk, so the second run would not find the same block. */
	fx_put(&f, "b", "behind it");
	is_int(fx_wait(&f), 0, "meanwhile the value is written");
	store_poll(f.store);
	atomic_store(&may_go, true);
	wait_tokens(&f, 1);
	is_int(append_letter(&f, fetch, "a"), 0, "it is done, and found again though the value is no longer young");
	store_fetch_reset(fetch);
	is_int((int64_t)length_of(&f, "a"), (int64_t)MIB + 1, "the value it made is there");
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "another one");
	wait_tokens(&f, 2);
	put_block(&f, "a", 'b', MIB / 2);
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "is no use when the value was written anew");
	wait_tokens(&f, 3);
	is_int(append_letter(&f, fetch, "a"), 0, "it is made from that instead");
	store_fetch_reset(fetch);
	is_int((int64_t)length_of(&f, "a"), (int64_t)MIB / 2 + 1, "and is right");
	struct txn *t = txn_begin(f.store, fetch);
	const struct store_work *done;
	struct store_work failing = { .run = run_failing }, huge = { .run = run_failing, .room = (size_t)3 << 30 };
	is_int(txn_work(t, &huge, &done), -E2BIG, "more than a request may have is refused");
	is_int(txn_work(t, &failing, &done), STORE_PENDING, "work that will fail");
	store_fetch_start(fetch);
	txn_abort(t);
	wait_tokens(&f, 4);
	t = txn_begin(f.store, fetch);
	is_int(txn_work(t, &failing, &done), -ENOMEM, "says so");
	txn_abort(t);
	store_fetch_reset(fetch);
	atomic_store(&may_go, false);
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "work whose request is given up");
	store_fetch_free(fetch);
	atomic_store(&may_go, true);
	fetch = store_fetch_new(f.store, &token);
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "and work that the closing store does not wait for");
	fx_close(&f);
	ok(!store_fetch_free(fetch), "leave nothing behind");
	fx_done(&f);
}

/* A request that is overtaken again and again has memory for its last try only. */
static void test_work_overtaken(void)
{
	struct fx f;
	struct store_stats stats;
	bool pending = true;
	int token;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	struct store_fetch *fetch = store_fetch_new(f.store, &token);
	atomic_store(&may_go, true);
	for (unsigned i = 0; i < 20; i++) {
		put_block(&f, "a", (char)('a' + i), MIB);
		pending &= append_letter(&f, fetch, "a") == STORE_PENDING;
		wait_tokens(&f, i + 1);
	}
	ok(pending, "work is begun anew whenever the value was written anew");
	fx_put(&f, "b", "behind it");
	is_int(fx_wait(&f), 0, "all is written");
	store_poll(f.store);
	store_stats(f.store, &stats);
	ok(stats.block_bytes < 8 * MIB, "what was made of older values is not kept (%d bytes)", (int)stats.block_bytes);
	is_int(append_letter(&f, fetch, "a"), 0, "and it ends");
	store_fetch_free(fetch);
	fx_close(&f);
	fx_done(&f);
}

/* What was taken back may have its place in the log given to something else. */
static void test_work_rolled_back(void)
{
	struct fx f;
	int token;

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	struct store_fetch *fetch = store_fetch_new(f.store, &token);
	fx_put(&f, "before", "1");
	fx_wait(&f);
	simdisk_fail(f.disk, SIM_WRITE, 1, 0, -ENOSPC);
	put_block(&f, "a", 'a', MIB);
	atomic_store(&may_go, true);
	is_int(append_letter(&f, fetch, "a"), STORE_PENDING, "work on a value that is about to be refused");
	ok(fx_wait(&f) != 0, "it is");
	wait_tokens(&f, 1);
	simdisk_fail(f.disk, SIM_WRITE, 0, 0, 0);
	f.clock.mono += 5000;
	int r = STORE_REFUSED;
	for (int i = 0; i < 1000000 && r == STORE_REFUSED; i++) {
		f.clock.mono += 1000;
		store_poll(f.store);
		r = put_block(&f, "a", 'b', MIB);
		usleep(100);
	}
	is_int(r, 0, "another value gets its place");
	fx_put(&f, "b", "behind it");
	is_int(fx_wait(&f), 0, "and is written");
	store_poll(f.store);
	while ((r = append_letter(&f, fetch, "a")) == STORE_PENDING)
		wait_tokens(&f, f.tokens + 1);
	is_int(r, 0, "the work is done on that");
	ok(fx_get_in(&f, 0, "a")[0] == 'b', "not on what was taken back");
	store_fetch_free(fetch);
	fx_close(&f);
	fx_done(&f);
}

int main(void)
{
	test_work();
	test_work_overtaken();
	test_work_rolled_back();
	test_by_reference();
	test_failing_writes();
	test_power();
	return done();
}
