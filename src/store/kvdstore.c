/* SPDX-License-Identifier: MIT
 *
 * The C interface for embedding, a thin, blocking layer over store.h: the handle, and reads and writes of one key.
 */
#include "store/kvdstore_inner.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "store/offline.h"

#define READ_ONLY_TRIES 20
#define COMPACT_RATIO 50
#define COMPACT_MIN (UINT64_C(16) << 20)
#define CHECKPOINT_INTERVAL_MS (15 * 60 * 1000)

_Static_assert(KVDSTORE_ABSENT == STORE_ABSENT && KVDSTORE_CORRUPT == STORE_CORRUPT && KVDSTORE_REFUSED == STORE_REFUSED, "one set of numbers");
_Static_assert(KVDSTORE_CREATE == STORE_CREATE && KVDSTORE_READ_ONLY == STORE_READ_ONLY, "one set of flags");

/* ---- the handle ---- */

int handle_finish(struct kvdstore *s, int r)
{
	const char *problem = r == -ENOMEM ? "out of memory" : store_problem(s->store);

	if (r < 0 || r >= STORE_CORRUPT)
		snprintf(s->message, sizeof(s->message), "%s", *problem ? problem : strerror(r < 0 ? -r : EIO));
	return r;
}

int handle_refuse(struct kvdstore *s, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->message, sizeof(s->message), format, ap);
	va_end(ap);
	return error;
}

int handle_check_db(struct kvdstore *s, unsigned db)
{
	unsigned n = store_databases(s->store);

	return db < n ? 0 : handle_refuse(s, -EINVAL, "database %u: there are %u, counted from 0", db, n);
}

void handle_end_loan(struct kvdstore *s)
{
	if (s->lending)
		txn_abort(txn_begin(s->store, NULL));
	s->lending = false;
}

int handle_begin(struct kvdstore *s, unsigned db, struct txn **ret)
{
	int r = handle_check_db(s, db);

	if (r)
		return r;
	s->lending = false;
	*ret = txn_begin(s->store, NULL);
	return 0;
}

void handle_lend(struct kvdstore *s)
{
	s->lending = true;
}

/* After the writes of a call: hand over, and wait for the disk when that is the promise. */
static int settle(struct kvdstore *s, uint64_t position)
{
	int r = store_settle(s->store, position);

	store_poll(s->store);
	return handle_finish(s, r);
}

int handle_commit(struct kvdstore *s, struct txn *t, int r)
{
	uint64_t position;

	if (r) {
		txn_abort(t);
		return handle_finish(s, r);
	}
	r = txn_commit(t, &position);
	return r ? handle_finish(s, r) : settle(s, position);
}

void handle_wait(struct kvdstore *s)
{
	struct pollfd ready = { .fd = store_notify_fd(s->store), .events = POLLIN };

	store_submit(s->store);
	poll(&ready, 1, -1);
	store_poll(s->store);
}

/* ---- opening ---- */

static void pass_event(void *arg, const struct store_event *e)
{
	struct kvdstore *s = arg;

	if (s->event)
		s->event(s->arg, e->text);
}

static int check_options(const struct kvdstore_options *o, struct error *e)
{
	unsigned known = KVDSTORE_CREATE | KVDSTORE_READ_ONLY | KVDSTORE_REPAIR;

	if (o->flags & ~known)
		return error_set(e, -EINVAL, "flags: 0x%x is not known", o->flags & ~known);
	if (o->flags & KVDSTORE_READ_ONLY && o->flags & KVDSTORE_REPAIR)
		return error_set(e, -EINVAL, "flags: a store that is opened read-only cannot be repaired");
	if (o->durability < KVDSTORE_ALWAYS || o->durability > KVDSTORE_NEVER)
		return error_set(e, -EINVAL, "durability: %d, allowed are 0 to %d", o->durability, KVDSTORE_NEVER);
	if (o->compression < 0 || o->compression >= STORE_CODECS)
		return error_set(e, -EINVAL, "compression: %d, allowed are 0 to %d", o->compression, STORE_CODECS - 1);
	if (!store_has_codec((enum store_codec)o->compression))
		return error_set(e, -EINVAL, "compression: %d is not in this build", o->compression);
	if (o->compression_level < 0 || o->compression_level > 9)
		return error_set(e, -EINVAL, "compression level: %d, allowed are 0 to 9", o->compression_level);
	if (o->compact_ratio > 100)
		return error_set(e, -EINVAL, "compact ratio: %u, allowed are 0 to 100", o->compact_ratio);
	return 0;
}

static void ignore_item(void *arg, const struct offline_item *item)
{
	(void)arg;
	(void)item; /* it is listed in damaged/INDEX */
}

/* What was mended is left in the text of the error, whose code stays 0. */
static int repair(const char *path, unsigned flags, struct error *e)
{
	struct offline_report report;
	int r = offline_repair(&io_system, path, ignore_item, NULL, &report, e);

	if (r == -ENOENT && flags & KVDSTORE_CREATE)
		r = 0; /* opening makes it, or says what is missing */
	else if (r)
		return r;
	else if (report.damaged)
		return error_set(e, 0, "%s: repaired: %" PRIu64 " damaged place%s of %" PRIu64 " bytes; %" PRIu64 " value%s lost, %" PRIu64
			" gap%s; the files as they were are in damaged/", path, report.damaged, num_plural(report.damaged), report.damaged_bytes, report.lost,
			num_plural(report.lost), report.gaps, num_plural(report.gaps));
	*e->text = 0;
	return r;
}

static int open_store(struct kvdstore *s, const char *path, const struct kvdstore_options *o, struct error *e)
{
	struct store_options so = {
		.path = path,
		.flags = (o->flags & (KVDSTORE_CREATE | KVDSTORE_READ_ONLY)) | STORE_BLOCKING,
		.databases = o->databases,
		.segment_size = o->segment_size,
		.max_value = o->max_value,
		.durability = (enum store_durability)o->durability,
		.interval_ms = o->interval_ms,
		.compression = (enum store_codec)o->compression,
		.compression_level = o->compression_level,
		.compression_min = o->compression_min,
		.cache_size = o->cache_size,
		.event = pass_event,
		.arg = s,
	};
	int r = store_open(&so, &s->store, e);

	/* Files may go and come while an owner writes beside us, which looks like damage; damage stays. */
	for (int i = 1; r == -EUCLEAN && o->flags & KVDSTORE_READ_ONLY && i < READ_ONLY_TRIES; i++)
		r = store_open(&so, &s->store, e);
	return r;
}

static void set_upkeep(struct kvdstore *s, const struct kvdstore_options *o)
{
	store_set_compaction(s->store, &(struct store_compaction){
		.garbage_ratio = o->compact_ratio ? o->compact_ratio : COMPACT_RATIO,
		.min_garbage = o->compact_min ? o->compact_min : COMPACT_MIN,
		.rate = o->compact_rate,
	});
	s->checkpoint_interval_ms = o->checkpoint_interval_ms ? o->checkpoint_interval_ms : CHECKPOINT_INTERVAL_MS;
	s->checkpoint_ns = clock_mono_ns(&clock_system);
}

static void free_handle(struct kvdstore *s)
{
	if (!s)
		return;
	buf_free(&s->key);
	free(s->path);
	free(s);
}

int kvdstore_open(const char *path, const struct kvdstore_options *options, struct kvdstore **ret, char *message, size_t message_size)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE };
	struct error e = { 0 }, mended = { 0 };

	if (options) {
		memset(&o, 0, sizeof(o));
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	}
	struct kvdstore *s = calloc(1, sizeof(*s));
	/* Of one piece, as the program may go to another directory. A path that leads nowhere is for the opening to tell. */
	if (s && !(s->path = realpath(path, NULL)))
		s->path = strdup(path);
	int r = s && s->path ? check_options(&o, &e) : error_set(&e, -ENOMEM, "out of memory");
	if (r == 0 && o.flags & KVDSTORE_REPAIR && (r = repair(path, o.flags, &mended)))
		e = mended;
	if (r == 0) {
		s->event = o.event;
		s->arg = o.arg;
		r = open_store(s, path, &o, &e);
	}
	if (r == 0)
		set_upkeep(s, &o);
	if (message_size && (r || o.flags & KVDSTORE_REPAIR))
		snprintf(message, message_size, "%s", r ? e.text : mended.text);
	if (r) {
		free_handle(s);
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
	free_handle(s);
	return r;
}

const char *kvdstore_message(const struct kvdstore *s)
{
	return s->message;
}

/* ---- reading ---- */

int kvdstore_get(struct kvdstore *s, unsigned db, const void *key, size_t key_len, void **ret_value, size_t *ret_len)
{
	const void *value;
	size_t len;
	int r = kvdstore_get_view(s, db, key, key_len, &value, &len, NULL);

	if (r)
		return r;
	char *copy = malloc(len + 1);
	if (copy) {
		if (len)
			memcpy(copy, value, len);
		copy[len] = 0;
		*ret_value = copy;
		*ret_len = len;
	}
	handle_end_loan(s);
	return copy ? 0 : handle_refuse(s, -ENOMEM, "out of memory");
}

/* The loan before ends though this one stays, so a key that is part of it is copied. */
static int own_key(struct kvdstore *s, struct slice *key)
{
	if (!s->lending)
		return 0;
	buf_reset(&s->key, SIZE_MAX);
	buf_append_slice(&s->key, *key);
	if (s->key.failed)
		return handle_refuse(s, -ENOMEM, "out of memory");
	*key = slice(s->key.ptr, key->len);
	handle_end_loan(s);
	return 0;
}

int kvdstore_get_view(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void **ret_value, size_t *ret_len,
	uint64_t *ret_version)
{
	struct slice k = slice(key, key_len);
	struct txn_value v;
	uint64_t version;
	struct txn *t;
	int r = own_key(s, &k);

	if (r == 0)
		r = handle_begin(s, db, &t);
	if (r)
		return r;
	r = handle_finish(s, txn_get(t, db, k, &v));
	/* The key may have come to its end just now. */
	if (r == 0 && ret_version)
		r = txn_version(t, db, k, &version);
	if (r) {
		txn_abort(t);
		return r;
	}
	handle_lend(s);
	*ret_value = v.data.len ? v.data.ptr : "";
	*ret_len = v.data.len;
	if (ret_version)
		*ret_version = version;
	return 0;
}

int kvdstore_exists(struct kvdstore *s, unsigned db, const void *key, size_t key_len, int64_t *ret_ttl_ms)
{
	int64_t expire_ms;
	struct txn *t;
	int r = handle_begin(s, db, &t);

	if (r)
		return r;
	r = handle_finish(s, txn_peek(t, db, slice(key, key_len), &expire_ms));
	txn_abort(t);
	if (r == 0 && ret_ttl_ms)
		*ret_ttl_ms = expire_ms == STORE_NO_EXPIRY ? -1 : expire_ms - store_now(s->store);
	return r;
}

/* ---- writing ---- */

static int64_t expiry(const struct store *store, uint64_t ttl_ms)
{
	int64_t now = store_now(store);

	if (ttl_ms == 0)
		return STORE_NO_EXPIRY;
	return ttl_ms < (uint64_t)(STORE_NO_EXPIRY - now) ? now + (int64_t)ttl_ms : STORE_NO_EXPIRY - 1;
}

int handle_put(struct kvdstore *s, struct txn *t, unsigned db, struct slice key, struct slice value, uint64_t ttl_ms)
{
	int64_t expire_ms;

	if (ttl_ms != KVDSTORE_KEEP_TTL)
		expire_ms = expiry(s->store, ttl_ms);
	else if (txn_peek(t, db, key, &expire_ms))
		expire_ms = STORE_NO_EXPIRY;
	return txn_put(t, db, key, value, expire_ms);
}

static int check_value(struct txn *t, unsigned db, struct slice key, struct slice value)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	if (r == 0)
		return slice_eq(v.data, value) ? 0 : KVDSTORE_CONDITION;
	return r == STORE_ABSENT ? KVDSTORE_CONDITION : r;
}

static int check_version(struct txn *t, unsigned db, struct slice key, uint64_t version)
{
	uint64_t now = 0;
	int r = txn_version(t, db, key, &now);

	return r < 0 ? r : now == version ? 0 : KVDSTORE_CONDITION;
}

int handle_check_kind(struct kvdstore *s, const struct kvdstore_if *condition)
{
	if (!condition || (condition->kind >= KVDSTORE_IF_ABSENT && condition->kind <= KVDSTORE_IF_VERSION))
		return 0;
	return handle_refuse(s, -EINVAL, "condition: there is no kind %d", condition->kind);
}

int handle_check(struct txn *t, unsigned db, struct slice key, const struct kvdstore_if *condition)
{
	int r;

	switch (condition ? condition->kind : 0) {
	case KVDSTORE_IF_ABSENT:
	case KVDSTORE_IF_PRESENT:
		r = txn_peek(t, db, key, NULL);
		return r < 0 ? r : (r == 0) == (condition->kind == KVDSTORE_IF_PRESENT) ? 0 : KVDSTORE_CONDITION;
	case KVDSTORE_IF_VALUE:
		return check_value(t, db, key, slice(condition->value, condition->len));
	case KVDSTORE_IF_VERSION:
		return check_version(t, db, key, condition->version);
	}
	return 0;
}

int kvdstore_put(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms)
{
	return kvdstore_put_if(s, db, key, key_len, value, len, ttl_ms, NULL, NULL);
}

/* *ret_version: 0 when it has come to its end already. */
static int read_version(struct kvdstore *s, unsigned db, struct slice key, uint64_t *ret_version)
{
	uint64_t version = 0;
	struct txn *t;
	int r = handle_begin(s, db, &t);

	if (r)
		return r;
	r = txn_version(t, db, key, &version);
	txn_abort(t);
	if (r < 0)
		return handle_finish(s, r);
	*ret_version = version;
	return 0;
}

int kvdstore_put_if(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const void *value, size_t len, uint64_t ttl_ms,
	const struct kvdstore_if *condition, uint64_t *ret_version)
{
	struct txn *t;
	int r = handle_check_kind(s, condition);

	if (r == 0)
		r = handle_begin(s, db, &t);
	if (r)
		return r;
	r = handle_check(t, db, slice(key, key_len), condition);
	if (r == 0)
		r = handle_put(s, t, db, slice(key, key_len), slice(value, len), ttl_ms);
	r = handle_commit(s, t, r);
	return r || !ret_version ? r : read_version(s, db, slice(key, key_len), ret_version);
}

int kvdstore_delete(struct kvdstore *s, unsigned db, const void *key, size_t key_len)
{
	return kvdstore_delete_if(s, db, key, key_len, NULL);
}

int kvdstore_delete_if(struct kvdstore *s, unsigned db, const void *key, size_t key_len, const struct kvdstore_if *condition)
{
	struct txn *t;
	int r = handle_check_kind(s, condition);

	if (r == 0)
		r = handle_begin(s, db, &t);
	if (r)
		return r;
	r = handle_check(t, db, slice(key, key_len), condition);
	return handle_commit(s, t, r ? r : txn_delete(t, db, slice(key, key_len)));
}

int kvdstore_expire(struct kvdstore *s, unsigned db, const void *key, size_t key_len, uint64_t ttl_ms)
{
	struct txn *t;
	int r = handle_begin(s, db, &t);

	return r ? r : handle_commit(s, t, txn_touch(t, db, slice(key, key_len), expiry(s->store, ttl_ms)));
}

int kvdstore_flush(struct kvdstore *s, unsigned db)
{
	struct txn *t;
	int r = handle_begin(s, db, &t);

	return r ? r : handle_commit(s, t, txn_flush(t, db));
}
