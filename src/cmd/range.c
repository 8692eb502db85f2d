/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <errno.h>
#include "base/num.h"

/* A range without a limit must not make a reply of any size; more than this is asked for in pieces. */
enum { MAX_RANGE = 512 << 20 };

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
		resp_bulk(&call->out, v.data);
	return 0;
}

int range_range(struct call *call)
{
	struct txn_scan *scan;
	struct range range;
	struct slice key;
	bool pending = false;
	size_t mark, n;
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
		if (r == 0 && call->out.out->len - mark > MAX_RANGE)
			r = -E2BIG;
	}
	txn_scan_end(scan);
	if (r == -E2BIG) {
		call->out.out->len = mark;
		return call_error(call, "ERR the range is larger than %d bytes, ask with LIMIT", MAX_RANGE);
	}
	if (r || pending)
		return r ? r : STORE_PENDING;
	resp_array_end(&call->out, mark, range.values ? 2 * n : n);
	return 0;
}
