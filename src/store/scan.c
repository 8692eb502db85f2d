/* SPDX-License-Identifier: MIT
 *
 * Ordered reads of a transaction: the committed keys and its own stated writes, merged.
 */
#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>

struct txn_scan {
	struct txn *txn;
	struct keydir_cursor *cursor; /* NULL: the committed keys do not count */
	bool cursor_on;               /* the cursor stands on a key */
	bool cursor_used;             /* that key has been given out: move on first */
	bool reverse;
	struct slice from, to;
	const struct txn_sorted *own;
	struct {
		size_t from, to; /* what is left of each run; from the back, in reverse */
	} left[TXN_RUNS];
};

uint64_t txn_count(struct txn *t, unsigned db)
{
	const struct keydir *k = t->store->keydir[t->ns_of[db]];
	const struct txn_sorted *own;

	txn_see_all(t);
	if (t->ops == 0)
		return keydir_count(k);
	own = txn_sort(t, t->ns_of[db]);
	if (!own) /* no memory: what is committed is the best answer there is */
		return keydir_count(k);
	return (own->flushed ? 0 : keydir_count(k)) + (uint64_t)own->change;
}


static bool is_past_end(const struct txn_scan *c, struct slice key)
{
	return c->reverse ? slice_cmp(key, c->from) < 0 : c->to.len && slice_cmp(key, c->to) >= 0;
}

static struct slice copy_bound(struct txn *t, struct slice bound, bool *failed)
{
	char *copy = bound.len ? txn_alloc(t, bound.len) : NULL;

	*failed |= bound.len && !copy;
	if (!copy)
		return slice(NULL, 0);
	memcpy(copy, bound.ptr, bound.len);
	return slice(copy, bound.len);
}

static void bound_own(struct txn_scan *c)
{
	for (unsigned i = 0; c->own && i < c->own->nruns; i++) {
		c->left[i].from = txn_run_seek(c->txn, &c->own->run[i], c->from);
		c->left[i].to = c->to.len ? txn_run_seek(c->txn, &c->own->run[i], c->to) : c->own->run[i].n;
	}
}

struct txn_scan *txn_scan_begin(struct txn *t, unsigned db, struct slice from, struct slice to, bool reverse)
{
	unsigned ns = t->ns_of[db];
	bool flushed = false, failed = false;

	txn_see_all(t);
	if (t->store->incomplete)
		return NULL;
	struct txn_scan *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->txn = t;
	c->reverse = reverse;
	c->from = copy_bound(t, from, &failed);
	c->to = copy_bound(t, to, &failed);
	if (t->ops) {
		c->own = txn_sort(t, ns);
		failed |= !c->own;
		flushed = c->own && c->own->flushed;
	}
	if (!flushed)
		c->cursor = keydir_cursor_new(t->store->keydir[ns]);
	if (failed || (!flushed && !c->cursor))
		return txn_scan_end(c);
	bound_own(c);
	if (c->cursor)
		c->cursor_on = keydir_seek(c->cursor, reverse ? c->to : c->from, reverse) == 0;
	return c;
}

struct txn_scan *txn_scan_end(struct txn_scan *c)
{
	if (c) {
		keydir_cursor_free(c->cursor);
		free(c);
	}
	return NULL;
}

/* The next own write of one run, or NULL. */
static const struct txn_op *peek_run(const struct txn_scan *c, unsigned i)
{
	const struct txn_run *run = &c->own->run[i];

	if (c->left[i].from >= c->left[i].to)
		return NULL;
	return &c->txn->op[run->op[c->reverse ? c->left[i].to - 1 : c->left[i].from]];
}

/* The own write that is next in order, or NULL; of several of one key the latest. */
static const struct txn_op *peek_own(const struct txn_scan *c)
{
	const struct txn_op *next = NULL;

	for (unsigned i = 0; c->own && i < c->own->nruns; i++) {
		const struct txn_op *op = peek_run(c, i);
		int order = !op ? 1 : !next ? -1 : slice_cmp(op->key, next->key) * (c->reverse ? -1 : 1);
		if (order < 0 || (order == 0 && op > next))
			next = op;
	}
	return next;
}

/* Goes beyond a key in all runs. */
static void pass_own(struct txn_scan *c, struct slice key)
{
	for (unsigned i = 0; i < c->own->nruns; i++) {
		const struct txn_op *op = peek_run(c, i);
		if (!op || !slice_eq(op->key, key))
			continue;
		if (c->reverse)
			c->left[i].to--;
		else
			c->left[i].from++;
	}
}

static bool peek_committed(struct txn_scan *c, struct slice *ret)
{
	if (!c->cursor_on)
		return false;
	*ret = keydir_cursor_key(c->cursor);
	return !is_past_end(c, *ret);
}

static void step(struct txn_scan *c)
{
	c->cursor_on = keydir_next(c->cursor) == 0;
	c->cursor_used = false;
}

int txn_scan_next(struct txn_scan *c, struct slice *ret_key, int64_t *ret_expire_ms)
{
	struct store *s = c->txn->store;

	if (c->cursor_used)
		step(c);
	for (;;) {
		const struct txn_op *op = peek_own(c);
		struct slice key = { 0 };
		bool committed = peek_committed(c, &key);
		if (!op && !committed)
			return STORE_ABSENT;
		int order = !op ? 1 : !committed ? -1 : slice_cmp(op->key, key) * (c->reverse ? -1 : 1);
		if (op && order <= 0) {
			pass_own(c, op->key);
			if (order == 0) /* the own write hides the committed one */
				step(c);
			if (op->kind == TXN_DELETE || txn_is_expired(s, op->expire_ms))
				continue;
			*ret_key = op->key;
			if (ret_expire_ms)
				*ret_expire_ms = op->expire_ms;
			return 0;
		}
		struct keydir_entry entry = keydir_cursor_entry(c->cursor);
		if (!txn_is_expired(s, entry.expire_ms)) {
			/* The key is the cursor's own memory: it moves on at the next call. */
			c->cursor_used = true;
			*ret_key = key;
			if (ret_expire_ms)
				*ret_expire_ms = entry.expire_ms;
			return 0;
		}
		step(c);
	}
}

int txn_random(struct txn *t, unsigned db, uint64_t random, struct slice *ret_key)
{
	struct store *s = t->store;
	unsigned ns = t->ns_of[db];

	txn_see_all(t);
	/* With own writes at hand, or when luck hits only expired keys, the first key in order serves. */
	for (int tries = 0; tries < 16 && t->ops == 0; tries++) {
		struct keydir_cursor *c = keydir_cursor_new(s->keydir[ns]);
		int r = c ? keydir_random(c, random) : KEYDIR_ABSENT;
		bool good = r == 0 && !txn_is_expired(s, keydir_cursor_entry(c).expire_ms);
		struct slice key = good ? keydir_cursor_key(c) : slice(NULL, 0);
		char *copy = good ? txn_alloc(t, key.len) : NULL;
		if (copy)
			memcpy(copy, key.ptr, key.len);
		keydir_cursor_free(c);
		if (copy) {
			*ret_key = slice(copy, key.len);
			return 0;
		}
		if (r)
			return STORE_ABSENT;
		random = hash_u64(random);
	}
	struct txn_scan *scan = txn_scan_begin(t, db, slice(NULL, 0), slice(NULL, 0), false);
	struct slice key;
	int r = scan ? txn_scan_next(scan, &key, NULL) : -ENOMEM;
	if (r == 0) {
		char *copy = txn_alloc(t, key.len);
		if (copy && key.len)
			memcpy(copy, key.ptr, key.len);
		*ret_key = slice(copy, copy ? key.len : 0);
		r = copy ? 0 : -ENOMEM;
	}
	txn_scan_end(scan);
	return r;
}
