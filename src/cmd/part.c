/* SPDX-License-Identifier: MIT
 *
 * Parts of a value: its length, ranges of its bytes, what is put behind it or over it.
 */
#include "cmd/room.h"

#include <errno.h>

int part_strlen(struct call *call)
{
	struct txn_value v;
	int r = call_get(call, call->argv[1], &v);

	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, r ? 0 : (int64_t)v.data.len);
	return 0;
}

int part_getrange(struct call *call)
{
	struct txn_value v;
	int64_t start, end, len;
	int r;

	if (!call_int(call, call->argv[2], &start) || !call_int(call, call->argv[3], &end))
		return 0;
	r = call_get(call, call->argv[1], &v);
	if (r && r != STORE_ABSENT)
		return r;
	len = r ? 0 : (int64_t)v.data.len;
	if (start < 0 && end < 0 && start > end)
		len = 0;
	start = start < 0 ? (start + len < 0 ? 0 : start + len) : start;
	end = end < 0 ? (end + len < 0 ? 0 : end + len) : end;
	if (end >= len)
		end = len - 1;
	if (len == 0 || start > end)
		resp_bulk(&call->out, slice("", 0));
	else
		call_value(call, &v, slice(v.data.ptr + start, (size_t)(end - start) + 1));
	return 0;
}

/* Writes `part` at `offset` into the value (absent: empty), padding with zero bytes, and replies the new
 * length. */
static int splice(struct call *call, const struct txn_value *old, size_t offset, struct slice part, const char *what)
{
	size_t end = offset + part.len, len = old->data.len > end ? old->data.len : end;
	char *value;
	int r;

	if (len > STORE_MAX_VALUE)
		return -EMSGSIZE;
	value = txn_alloc(call->txn, len ? len : 1);
	if (!value)
		return -ENOMEM;
	if (old->data.len)
		memcpy(value, old->data.ptr, old->data.len);
	if (offset > old->data.len)
		memset(value + old->data.len, 0, offset - old->data.len);
	if (part.len)
		memcpy(value + offset, part.ptr, part.len);
	r = call_put(call, call->argv[1], slice(value, len), old->expire_ms, what);
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
