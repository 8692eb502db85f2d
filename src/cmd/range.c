/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <errno.h>
#include "base/num.h"

/* A range without a limit must not make a reply of any size; more than this is asked for in pieces. */
enum { MAX_RANGE = 512 << 20, MAX_DELETED = 1048576 };

struct range {
	bool reverse, values;
	int64_t limit; /* negative: none */
};

static bool read_range(struct call *call, struct range *ret)
{
	*ret = (struct range){ .limit = -1 };
	for (size_t i = 3; i < call->argc; i++) {
		if (slice_is(call->argv[i], "rev")) {
			ret->reverse = true;
		} else if (slice_is(call->argv[i], "withvalues")) {
			ret->values = true;
		} else if (slice_is(call->argv[i], "limit") && i + 1 < call->argc) {
			if (!call_int(call, call->argv[++i], &ret->limit))
				return false;
			if (ret->limit < 0) {
				call_error(call, "ERR LIMIT must not be negative");
				return false;
			}
		} else {
			call_syntax(call);
			return false;
		}
	}
	return true;
}

/* One key of the range. After the first record that is not at hand the rest is only listed for the fetch. */
static int add_key(struct call *call, const struct range *range, struct slice key, bool *pending)
{
	struct txn_value v;
	int r = 0;

	if (range->values && !*pending)
		r = txn_get(call->txn, call->client->db, key, &v);
	if (r == STORE_PENDING)
		*pending = true;
	if (*pending) {
		txn_prepare(call->txn, call->client->db, key);
		return 0;
	}
	if (r)
		return r;
	resp_bulk(&call->out, key);
	if (range->values)
		call_value(call, &v, v.data);
	return 0;
}

int range_range(struct call *call)
{
	struct txn_scan *scan;
	struct range range;
	struct slice key;
	bool pending = false;
	size_t mark, n, before = resp_total(&call->out);
	int r = 0;

	if (!read_range(call, &range))
		return 0;
	scan = txn_scan_begin(call->txn, call->client->db, call->argv[1], call->argv[2], range.reverse);
	if (!scan)
		return -ENOMEM;
	mark = resp_array_begin(&call->out);
	for (n = 0; r == 0 && (range.limit < 0 || n < (size_t)range.limit); n++) {
		if (txn_scan_next(scan, &key, NULL))
			break;
		r = add_key(call, &range, key, &pending);
		if (r == 0 && resp_total(&call->out) - before > MAX_RANGE)
			r = -E2BIG;
	}
	txn_scan_end(scan);
	if (r == -E2BIG) {
		resp_cut(&call->out, mark);
		return call_error(call, "ERR the range is larger than %d bytes, ask with LIMIT", MAX_RANGE);
	}
	if (r || pending)
		return r ? r : STORE_PENDING;
	resp_array_end(&call->out, mark, range.values ? 2 * n : n);
	return 0;
}

/* ---- KVD.DELRANGE ---- */

/* A scan must not meet writes of its own transaction on its way, so the keys are listed first. */
static int list_keys(struct call *call, struct buf *list, size_t *ret_n)
{
	struct txn_scan *scan = txn_scan_begin(call->txn, call->client->db, call->argv[1], call->argv[2], false);
	struct slice key;
	bool failed = false;
	char *copy;
	size_t n = 0;

	if (!scan)
		return -ENOMEM;
	while (!failed && n <= MAX_DELETED && txn_scan_next(scan, &key, NULL) == 0) {
		copy = txn_alloc(call->txn, key.len ? key.len : 1);
		failed = !copy;
		if (failed)
			break;
		if (key.len)
			memcpy(copy, key.ptr, key.len);
		key.ptr = copy;
		buf_append(list, &key, sizeof(key));
		failed = list->failed;
		n++;
	}
	txn_scan_end(scan);
	*ret_n = n;
	return failed ? -ENOMEM : 0;
}

int range_delrange(struct call *call)
{
	struct buf list = { 0 };
	size_t n = 0;
	int r = list_keys(call, &list, &n);

	for (size_t i = 0; r == 0 && n <= MAX_DELETED && i < n; i++) {
		struct slice key;
		memcpy(&key, list.ptr + i * sizeof(key), sizeof(key));
		r = call_delete(call, key);
	}
	buf_free(&list);
	if (r)
		return r;
	if (n > MAX_DELETED)
		return call_error(call, "ERR the range holds more than %d keys, delete it in pieces", MAX_DELETED);
	resp_int(&call->out, (int64_t)n);
	return 0;
}
