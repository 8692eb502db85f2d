/* SPDX-License-Identifier: MIT
 *
 * The C interface for embedding: a thin, blocking layer over store.h.
 */
#include "store/kvdstore.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/store.h"

struct kvdstore {
	struct store *store;
	char message[480];
};

struct batch_op {
	bool put;
	unsigned db;
	size_t key, key_len, value, value_len; /* places in `bytes` */
	uint64_t ttl_ms;
};

struct kvdstore_batch {
	struct kvdstore *s;
	struct buf bytes, ops;
};

struct kvdstore_iter {
	struct kvdstore *s;
	unsigned db;
	int reverse;
	bool ended; /* downwards, after the empty key */
	struct buf from, to, key;
};

static int finish(struct kvdstore *s, int r)
{
	if (r < 0 || r >= STORE_CORRUPT)
		snprintf(s->message, sizeof(s->message), "%s", *store_problem(s->store) ? store_problem(s->store) : strerror(r < 0 ? -r : EIO));
	return r;
}

static int refuse(struct kvdstore *s, int error, const char *text)
{
	snprintf(s->message, sizeof(s->message), "%s", text);
	return error;
}

static int check_db(struct kvdstore *s, unsigned db)
{
	return db < store_databases(s->store) ? 0 : refuse(s, -EINVAL, "the database number is above the store's databases");
}

/* After the writes of a call: hand over, and wait for the disk when that is the promise. */
static int settle(struct kvdstore *s, uint64_t position)
{
	uint64_t releasable = store_releasable(s->store);
	int r = 0;

	if (position > releasable || store_backlog(s->store) > store_backlog_limit(s->store))
		r = store_wait(s->store, position);
	else
		store_submit(s->store);
	store_poll(s->store);
	return finish(s, r);
}

static int64_t expiry(struct kvdstore *s, uint64_t ttl_ms)
{
	int64_t now = store_now(s->store);

	if (ttl_ms == 0)
		return STORE_NO_EXPIRY;
	return ttl_ms < (uint64_t)(STORE_NO_EXPIRY - now) ? now + (int64_t)ttl_ms : STORE_NO_EXPIRY - 1;
}

int kvdstore_open(const char *path, const struct kvdstore_options *options, struct kvdstore **ret, char *message, size_t message_size)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE };
	struct error e = { 0 };

	if (options) {
		memset(&o, 0, sizeof(o));
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	}
	struct store_options so = {
		.path = path,
		.flags = (o.flags & (KVDSTORE_CREATE | KVDSTORE_READ_ONLY)) | STORE_BLOCKING,
		.databases = o.databases,
		.segment_size = o.segment_size,
		.durability = (enum store_durability)o.durability,
		.interval_ms = o.interval_ms,
		.cache_size = o.cache_size,
	};
	struct kvdstore *s = calloc(1, sizeof(*s));
	int r = s ? store_open(&so, &s->store, &e) : error_set(&e, -ENOMEM, "out of memory");
	if (r) {
		if (message_size)
			snprintf(message, message_size, "%s", e.text);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int kvdstore_close(struct kvdstore *s)
{
	if (!s)
		return 0;
	int r = store_close(s->store);
	free(s);
	return r;
}

const char *kvdstore_message(const struct kvdstore *s)
{
	return s->message;
}

int kvdstore_get(struct kvdstore *s, unsigned db, const void *key, size_t key_len, void **ret_value, size_t *ret_len)
{
	struct txn_value v;
	int r = check_db(s, db);

	if (r)
		return r;
	struct txn *t = txn_begin(s->store, NULL);
	r = finish(s, txn_get(t, db, slice(key, key_len), &v));
	if (r == 0) {
		char *copy = malloc(v.data.len + 1);
		if (copy) {
			if (v.data.len)
				memcpy(copy, v.data.ptr, v.data.len);
			copy[v.data.len] = 0;
			*ret_value = copy;
			*ret_len = v.data.len;
		} else {
			r = refuse(s, -ENOMEM, "out of memory");
		}
	}
	txn_abort(t);
	return r;
}

int kvdstore_exists(struct kvdstore *s, unsigned db, const void *key, size_t key_len, int64_t *ret_ttl_ms)
{
	int64_t expire_ms;
	int r = check_db(s, db);

	if (r)
		return r;
	struct txn *t = txn_begin(s->store, NULL);
	r = txn_peek(t, db, slice(key, key_len), &expire_ms);
	txn_abort(t);
	if (r == 0 && ret_ttl_ms)
		*ret_ttl_ms = expire_ms == STORE_NO_EXPIRY ? -1 : expire_ms - store_now(s->store);
	return r;
}

static int commit(struct kvdstore *s, struct txn *t, int r)
{
	uint64_t position;

	if (r) {
		txn_abort(t);
		return finish(s, r);
	}
	r = txn_commit(t, &position);
	return r ? finish(s, r) : settle(s, position);
}

int kvdstore_put(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms)
{
	int r = check_db(s, db);

	if (r)
		return r;
	struct txn *t = txn_begin(s->store, NULL);
	return commit(s, t, txn_put(t, db, slice(key, key_len), slice(value, len), expiry(s, ttl_ms)));
}

int kvdstore_delete(struct kvdstore *s, unsigned db, const void *key, size_t key_len)
{
	int r = check_db(s, db);

	if (r)
		return r;
	struct txn *t = txn_begin(s->store, NULL);
	return commit(s, t, txn_delete(t, db, slice(key, key_len)));
}

/* ---- batches ---- */

struct kvdstore_batch *kvdstore_batch_new(struct kvdstore *s)
{
	struct kvdstore_batch *b = calloc(1, sizeof(*b));

	if (b)
		b->s = s;
	return b;
}

static int add_op(struct kvdstore_batch *b, struct batch_op op, const void *key, const void *value)
{
	int r = check_db(b->s, op.db);

	if (r)
		return r;
	op.key = b->bytes.len;
	buf_append(&b->bytes, key, op.key_len);
	op.value = b->bytes.len;
	buf_append(&b->bytes, value, op.value_len);
	buf_append(&b->ops, &op, sizeof(op));
	return b->bytes.failed || b->ops.failed ? refuse(b->s, -ENOMEM, "out of memory") : 0;
}

int kvdstore_batch_put(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms)
{
	struct batch_op op = { .put = true, .db = db, .key_len = key_len, .value_len = len, .ttl_ms = ttl_ms };

	return add_op(b, op, key, value);
}

int kvdstore_batch_delete(struct kvdstore_batch *b, unsigned db, const void *key, size_t key_len)
{
	return add_op(b, (struct batch_op){ .db = db, .key_len = key_len }, key, "");
}

int kvdstore_batch_commit(struct kvdstore_batch *b)
{
	struct kvdstore *s = b->s;
	struct txn *t = txn_begin(s->store, NULL);
	int r = b->bytes.failed || b->ops.failed ? -ENOMEM : 0;

	for (size_t at = 0; r == 0 && at < b->ops.len; at += sizeof(struct batch_op)) {
		struct batch_op op;
		memcpy(&op, b->ops.ptr + at, sizeof(op));
		struct slice key = slice(b->bytes.ptr + op.key, op.key_len), value = slice(b->bytes.ptr + op.value, op.value_len);
		r = op.put ? txn_put(t, op.db, key, value, expiry(s, op.ttl_ms)) : txn_delete(t, op.db, key);
		if (!op.put && r == STORE_ABSENT)
			r = 0;
	}
	r = commit(s, t, r);
	kvdstore_batch_abort(b);
	return r;
}

void kvdstore_batch_abort(struct kvdstore_batch *b)
{
	if (!b)
		return;
	buf_free(&b->bytes);
	buf_free(&b->ops);
	free(b);
}

/* ---- iteration ---- */

/* The first key behind every key with this prefix: the prefix counted up by one; empty when there is none. */
static void set_end(struct buf *to, struct slice prefix)
{
	while (prefix.len && (unsigned char)prefix.ptr[prefix.len - 1] == 0xff)
		prefix.len--;
	if (prefix.len == 0)
		return;
	buf_append_slice(to, prefix);
	if (!to->failed)
		to->ptr[to->len - 1]++;
}

struct kvdstore_iter *kvdstore_iter_new(struct kvdstore *s, unsigned db, const void *prefix, size_t prefix_len, int reverse)
{
	struct kvdstore_iter *i = check_db(s, db) ? NULL : calloc(1, sizeof(*i));

	if (!i)
		return NULL;
	i->s = s;
	i->db = db;
	i->reverse = reverse;
	buf_append(&i->from, prefix, prefix_len);
	set_end(&i->to, slice(prefix, prefix_len));
	if (i->from.failed || i->to.failed) {
		kvdstore_iter_free(i);
		return NULL;
	}
	return i;
}

int kvdstore_iter_next(struct kvdstore_iter *i, const void **ret_key, size_t *ret_len)
{
	struct slice key;

	if (i->ended)
		return KVDSTORE_ABSENT;
	struct txn *t = txn_begin(i->s->store, NULL);
	/* Each step is a search of its own, so that the caller may change the store between two steps. */
	struct txn_scan *scan = txn_scan_begin(t, i->db, buf_slice(&i->from), buf_slice(&i->to), i->reverse);
	int r = scan ? txn_scan_next(scan, &key, NULL) : -ENOMEM;
	if (r == 0) {
		buf_reset(&i->key, SIZE_MAX);
		buf_append_slice(&i->key, key);
		struct buf *bound = i->reverse ? &i->to : &i->from;
		buf_reset(bound, SIZE_MAX);
		buf_append_slice(bound, key);
		if (!i->reverse)
			buf_append_char(bound, 0); /* the next possible key */
		if (i->key.failed || bound->failed)
			r = refuse(i->s, -ENOMEM, "out of memory");
		/* Downwards nothing sorts before the empty key, and an empty bound would mean no bound. */
		if (i->reverse && key.len == 0)
			i->ended = true;
	}
	txn_scan_end(scan);
	txn_abort(t);
	if (r)
		return r;
	*ret_key = i->key.ptr ? i->key.ptr : "";
	*ret_len = i->key.len;
	return 0;
}

void kvdstore_iter_free(struct kvdstore_iter *i)
{
	if (!i)
		return;
	buf_free(&i->from);
	buf_free(&i->to);
	buf_free(&i->key);
	free(i);
}

int kvdstore_sync(struct kvdstore *s)
{
	return finish(s, store_wait(s->store, store_position(s->store)));
}

int kvdstore_checkpoint(struct kvdstore *s)
{
	struct store_stats st;

	store_stats(s->store, &st);
	uint64_t made = st.checkpoints;
	store_submit(s->store);
	int r = store_checkpoint(s->store);
	if (r)
		return finish(s, r);
	while (store_stats(s->store, &st), st.checkpoint_running) {
		struct pollfd p = { store_notify_fd(s->store), POLLIN, 0 };
		poll(&p, 1, -1);
		store_poll(s->store);
	}
	return st.checkpoints > made ? 0 : refuse(s, -EIO, "the checkpoint was not written");
}

int kvdstore_snapshot(struct kvdstore *s, const char *name)
{
	struct pollfd ready = { .fd = store_notify_fd(s->store), .events = POLLIN };
	struct store_snapshot_state st;
	int r = store_snapshot_begin(s->store, name, 0, NULL);

	if (r)
		return refuse(s, r, store_problem(s->store));
	for (store_snapshot_state(s->store, &st); st.running; store_snapshot_state(s->store, &st)) {
		poll(&ready, 1, -1);
		store_poll(s->store);
	}
	return st.last_result ? refuse(s, st.last_result, st.problem) : 0;
}

int kvdstore_compact(struct kvdstore *s, int all, uint64_t *ret_saved)
{
	struct store_stats st;
	uint64_t ticket;

	int r = store_compact(s->store, all ? STORE_COMPACT_FORCE : 0, &ticket);
	if (r && r != -EALREADY)
		return finish(s, r);
	while (store_stats(s->store, &st), st.compactions_done < ticket) {
		struct pollfd p = { store_notify_fd(s->store), POLLIN, 0 };
		store_submit(s->store);
		poll(&p, 1, -1);
		store_poll(s->store);
	}
	if (st.compact_result) {
		const char *why = store_compact_problem(s->store);
		return refuse(s, st.compact_result, *why ? why : "the compaction was given up");
	}
	if (ret_saved)
		*ret_saved = st.compact_bytes_saved;
	return 0;
}

int kvdstore_stats(struct kvdstore *s, struct kvdstore_stats *ret)
{
	struct store_stats st;

	if (ret->size == 0)
		return refuse(s, -EINVAL, "stats: the field size is not set");
	store_stats(s->store, &st);
	struct kvdstore_stats all = { ret->size, st.keys, st.segments, st.log_bytes, st.live_bytes, st.keydir_bytes };
	memcpy(ret, &all, ret->size < sizeof(all) ? ret->size : sizeof(all));
	return 0;
}
