/* SPDX-License-Identifier: MIT
 * Values in blocks, in the store: kept and read by reference, written together with their transaction or not at all.
 */
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

int main(void)
{
	test_by_reference();
	test_failing_writes();
	test_power();
	return done();
}
