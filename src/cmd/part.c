/* SPDX-License-Identifier: MIT
 *
 * Parts of a value: its length, ranges of its bytes, what is put behind it or over it.
 */
#include "cmd/large.h"

#include <errno.h>

enum { SHORT_RANGE = 4 << 20 };

int part_strlen(struct call *call)
{
	size_t len = 0;
	int r = call_length(call, call->argv[1], &len);

	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, (int64_t)len);
	return 0;
}

/* A range as the request has it, the ends counted from the end of the value when they are negative. False: it is empty. */
static bool resolve(int64_t start, int64_t end, int64_t len, size_t *ret_from, size_t *ret_n)
{
	if (start < 0 && end < 0 && start > end)
		return false;
	start = start < 0 ? (start + len < 0 ? 0 : start + len) : start;
	end = end < 0 ? (end + len < 0 ? 0 : end + len) : end;
	if (end >= len)
		end = len - 1;
	if (start > end)
		return false;
	*ret_from = (size_t)start;
	*ret_n = (size_t)(end - start) + 1;
	return true;
}

/* By its words alone it is less than most values. Otherwise all is read at once, rather than its length and then most of it. */
static bool is_short(int64_t start, int64_t end)
{
	return (start < 0) == (end < 0) && start <= end && end - start < SHORT_RANGE;
}

/* Where the range is counted from the front it says itself where it is. */
static int read_short(struct call *call, int64_t start, int64_t end, struct txn_value *ret)
{
	size_t len, from, n;
	int r;

	if (start >= 0)
		return call_part(call, call->argv[1], (size_t)start, (size_t)(end - start) + 1, ret);
	r = call_length(call, call->argv[1], &len);
	if (r || !resolve(start, end, (int64_t)len, &from, &n))
		return r;
	return txn_get_part(call->txn, call->client->db, call->argv[1], from, n, ret);
}

static int read_any(struct call *call, int64_t start, int64_t end, struct txn_value *ret)
{
	size_t from = 0, n = 0;
	int r = call_get(call, call->argv[1], ret);

	if (r)
		return r;
	ret->data = resolve(start, end, (int64_t)ret->data.len, &from, &n) ? slice(ret->data.ptr + from, n) : slice("", 0);
	return 0;
}

int part_getrange(struct call *call)
{
	struct txn_value v = { .data = { "", 0 } };
	int64_t start, end;
	int r;

	if (!call_int(call, call->argv[2], &start) || !call_int(call, call->argv[3], &end))
		return 0;
	r = is_short(start, end) ? read_short(call, start, end, &v) : read_any(call, start, end, &v);
	if (r && r != STORE_ABSENT)
		return r;
	call_value(call, &v, v.data);
	return 0;
}

/* Writes `part` at `offset` into the value (absent: empty), padding with zero bytes, and replies the new
 * length. */
static int splice(struct call *call, const struct txn_value *old, size_t offset, struct slice part, const char *what)
{
	size_t end = offset + part.len, len = old->data.len > end ? old->data.len : end;
	const struct store_work_input in[] = { { old->data, old->block, 0 }, { part, call_block(call, part), offset } };
	struct txn_value value = { part, old->expire_ms, in[1].block };
	int r = len == part.len && value.block ? 0 : large_splice(call, in, 2, len, &value);

	if (r)
		return r;
	r = call_put_value(call, call->argv[1], &value, what);
	if (r == 0)
		resp_int(&call->out, (int64_t)len);
	return r;
}

int part_append(struct call *call)
{
	struct txn_value old = { .data = { "", 0 }, .expire_ms = STORE_NO_EXPIRY };
	int r = txn_get(call->txn, call->client->db, call->argv[1], &old);

	return r && r != STORE_ABSENT ? r : splice(call, &old, old.data.len, call->argv[2], "append");
}

int part_setrange(struct call *call)
{
	struct txn_value old = { .data = { "", 0 }, .expire_ms = STORE_NO_EXPIRY };
	int64_t offset;
	int r;

	if (!call_int(call, call->argv[2], &offset))
		return 0;
	if (offset < 0)
		return call_error(call, "ERR offset is out of range");
	r = txn_get(call->txn, call->client->db, call->argv[1], &old);
	if (r && r != STORE_ABSENT)
		return r;
	if (call->argv[3].len == 0) {
		resp_int(&call->out, (int64_t)old.data.len);
		return 0;
	}
	return offset > (int64_t)STORE_MAX_VALUE ? -EMSGSIZE
						 : splice(call, &old, (size_t)offset, call->argv[3], "setrange");
}
