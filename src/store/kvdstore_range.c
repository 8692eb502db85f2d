/* SPDX-License-Identifier: MIT
 *
 * libkvdstore: ranges of keys, counted, deleted, walked over.
 */
#include "store/kvdstore_inner.h"

#include <errno.h>
#include <stdlib.h>

struct kvdstore_iter {
	struct kvdstore *s;
	struct store_view *view;
};

/* A range as two bounds; empty: none. */
struct bounds {
	struct buf from, to;
	bool empty; /* nothing can be in it */
};

/* ---- bounds ---- */

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

static void free_bounds(struct bounds *b)
{
	buf_free(&b->from);
	buf_free(&b->to);
}

static int set_bounds(struct kvdstore *s, const struct kvdstore_range *range, struct bounds *ret)
{
	struct kvdstore_range all = { 0 };
	const struct kvdstore_range *r = range ? range : &all;
	struct slice prefix = slice(r->prefix, r->prefix_len), from = slice(r->from, r->from_len), to = slice(r->to, r->to_len);

	*ret = (struct bounds){ 0 };
	buf_append_slice(&ret->from, slice_cmp(from, prefix) > 0 ? from : prefix);
	set_end(&ret->to, prefix);
	if (to.len && (ret->to.len == 0 || slice_cmp(to, buf_slice(&ret->to)) < 0)) {
		buf_reset(&ret->to, SIZE_MAX);
		buf_append_slice(&ret->to, to);
	}
	ret->empty = ret->to.len && slice_cmp(buf_slice(&ret->from), buf_slice(&ret->to)) >= 0;
	if (!ret->from.failed && !ret->to.failed)
		return 0;
	free_bounds(ret);
	return handle_refuse(s, -ENOMEM, "out of memory");
}

/* ---- all keys of a range at once ---- */

/* Calls each() for every key of the range; what that answers other than 0 ends it and is returned. */
static int walk(struct txn *t, unsigned db, const struct bounds *b, int (*each)(void *arg, struct slice key), void *arg)
{
	struct txn_scan *scan = txn_scan_begin(t, db, buf_slice(&b->from), buf_slice(&b->to), false);
	struct slice key;
	int r = scan ? 0 : -ENOMEM;

	while (r == 0 && !b->empty && txn_scan_next(scan, &key, NULL) == 0)
		r = each(arg, key);
	txn_scan_end(scan);
	return r;
}

static int count_key(void *arg, struct slice key)
{
	uint64_t *n = arg;

	(void)key;
	++*n;
	return 0;
}

int kvdstore_count(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, uint64_t *ret)
{
	struct bounds b;
	struct txn *t;
	uint64_t n = 0;
	int r = set_bounds(s, range, &b);

	if (r == 0 && (r = handle_begin(s, db, &t)) == 0) {
		if (b.from.len == 0 && b.to.len == 0 && store_expiring(s->store, db) == 0)
			n = store_count(s->store, db);
		else
			r = handle_finish(s, walk(t, db, &b, count_key, &n));
		txn_abort(t);
	}
	if (r == 0)
		*ret = n;
	free_bounds(&b);
	return r;
}

struct doomed {
	struct buf keys, ends; /* ends: size_t, of each key in `keys` */
};

static int list_key(void *arg, struct slice key)
{
	struct doomed *d = arg;

	buf_append_slice(&d->keys, key);
	buf_append(&d->ends, &d->keys.len, sizeof(d->keys.len));
	return d->keys.failed || d->ends.failed ? -ENOMEM : 0;
}

/* A walk must not meet the writes of its own transaction, so the keys are listed first. */
static int delete_keys(struct txn *t, unsigned db, const struct doomed *d, uint64_t *ret_deleted)
{
	size_t start = 0, end;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->ends.len; i += sizeof(end), start = end) {
		memcpy(&end, d->ends.ptr + i, sizeof(end));
		r = txn_delete(t, db, slice(d->keys.ptr ? d->keys.ptr + start : "", end - start));
		if (r == 0)
			++*ret_deleted;
		else if (r == STORE_ABSENT) /* its time came just now */
			r = 0;
	}
	return r;
}

int kvdstore_delete_range(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, uint64_t *ret_deleted)
{
	struct doomed d = { 0 };
	struct bounds b;
	struct txn *t;
	uint64_t n = 0;
	int r = set_bounds(s, range, &b);

	if (r == 0 && (r = handle_begin(s, db, &t)) == 0) {
		r = walk(t, db, &b, list_key, &d);
		r = handle_commit(s, t, r ? r : delete_keys(t, db, &d, &n));
	}
	if (r == 0 && ret_deleted)
		*ret_deleted = n;
	buf_free(&d.keys);
	buf_free(&d.ends);
	free_bounds(&b);
	return r;
}

/* ---- iterations ---- */

int kvdstore_iter_new(struct kvdstore *s, unsigned db, const struct kvdstore_range *range, int reverse, struct kvdstore_iter **ret)
{
	struct kvdstore_iter *i = NULL;
	struct bounds b;
	int r = set_bounds(s, range, &b);

	handle_end_loan(s);
	if (r || (r = handle_check_db(s, db))) {
		free_bounds(&b);
		return r;
	}
	i = calloc(1, sizeof(*i));
	if (i) {
		i->s = s;
		/* A range that is upside down: every key is at once above and below. */
		i->view = store_view_new(s->store, db, buf_slice(&b.from), buf_slice(b.empty ? &b.from : &b.to), reverse);
	}
	free_bounds(&b);
	if (!i || !i->view) {
		free(i);
		return handle_refuse(s, -ENOMEM, "out of memory");
	}
	s->iters++;
	*ret = i;
	return 0;
}

static int finish_step(struct kvdstore_iter *i, int r)
{
	if (r == -ESTALE)
		return handle_refuse(i->s, r, "the disk refused writes this iteration shows: they were taken back");
	return handle_finish(i->s, r);
}

int kvdstore_iter_next(struct kvdstore_iter *i, const void **ret_key, size_t *ret_len)
{
	struct slice key;
	int r = store_view_next(i->view, &key, NULL);

	handle_end_loan(i->s);
	if (r)
		return finish_step(i, r);
	*ret_key = key.len ? key.ptr : "";
	*ret_len = key.len;
	return 0;
}

int kvdstore_iter_value(struct kvdstore_iter *i, const void **ret_value, size_t *ret_len, uint64_t *ret_version)
{
	struct slice value;
	uint64_t version;
	struct txn *t;

	handle_end_loan(i->s);
	int r = handle_begin(i->s, 0, &t);
	if (r)
		return r;
	r = store_view_read(i->view, t, &value, &version);
	if (r) {
		txn_abort(t);
		return finish_step(i, r);
	}
	handle_lend(i->s);
	*ret_value = value.len ? value.ptr : "";
	*ret_len = value.len;
	if (ret_version)
		*ret_version = version;
	return 0;
}

int kvdstore_iter_seek(struct kvdstore_iter *i, const void *key, size_t key_len)
{
	int r = store_view_seek(i->view, slice(key, key_len));

	handle_end_loan(i->s);
	return handle_finish(i->s, r);
}

void kvdstore_iter_free(struct kvdstore_iter *i)
{
	if (!i)
		return;
	handle_end_loan(i->s);
	store_view_free(i->view);
	i->s->iters--;
	free(i);
}
