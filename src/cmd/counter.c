/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <errno.h>
#include <math.h>
#include "base/num.h"

static int put_text(struct call *call, const char *text, size_t len, int64_t expire_ms, const char *what)
{
	char *copy = txn_alloc(call->txn, len);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	return call_put(call, call->argv[1], slice(copy, len), expire_ms, what);
}

static int add(struct call *call, int64_t by)
{
	struct txn_value old = { .data = { "0", 1 }, .expire_ms = STORE_NO_EXPIRY };
	char text[NUM_I64_CHARS];
	int64_t value;
	int r = txn_get(call->txn, call->client->db, call->argv[1], &old);

	if (r && r != STORE_ABSENT)
		return r;
	if (!call_int(call, old.data, &value))
		return 0;
	if (__builtin_add_overflow(value, by, &value))
		return call_error(call, "ERR increment or decrement would overflow");
	r = put_text(call, text, num_format_i64(text, value), old.expire_ms, "incrby");
	if (r == 0)
		resp_int(&call->out, value);
	return r;
}

int counter_incr(struct call *call)
{
	return add(call, 1);
}

int counter_decr(struct call *call)
{
	return add(call, -1);
}

int counter_incrby(struct call *call)
{
	int64_t by;

	return call_int(call, call->argv[2], &by) ? add(call, by) : 0;
}

int counter_decrby(struct call *call)
{
	int64_t by;

	if (!call_int(call, call->argv[2], &by))
		return 0;
	if (by == INT64_MIN)
		return call_error(call, "ERR decrement would overflow");
	return add(call, -by);
}

int counter_incrbyfloat(struct call *call)
{
	struct txn_value old = { .data = { "0", 1 }, .expire_ms = STORE_NO_EXPIRY };
	char text[NUM_FLOAT_CHARS];
	long double value, by;
	size_t len;
	int r = txn_get(call->txn, call->client->db, call->argv[1], &old);

	if (r && r != STORE_ABSENT)
		return r;
	if (num_parse_float(old.data, &value) || num_parse_float(call->argv[2], &by))
		return call_error(call, "ERR value is not a valid float");
	value += by;
	if (isnan(value) || isinf(value))
		return call_error(call, "ERR increment would produce NaN or Infinity");
	len = num_format_float(text, value);
	r = put_text(call, text, len, old.expire_ms, "incrbyfloat");
	if (r == 0)
		resp_bulk(&call->out, slice(text, len));
	return r;
}
