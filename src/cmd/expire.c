/* SPDX-License-Identifier: MIT
 *
 * Times to live. Clients speak of the wall clock; records carry the store's steady time, so that a stepped
 * wall clock moves neither. A record's expiry is never STORE_NO_EXPIRY by arithmetic: the largest time is one
 * less.
 */
#include "cmd/room.h"

#include <errno.h>

static int64_t cap(int64_t steady_ms)
{
	return steady_ms < STORE_NO_EXPIRY ? steady_ms : STORE_NO_EXPIRY - 1;
}

static bool refuse_time(struct call *call)
{
	call_error(call, "ERR invalid expire time in '%s' command", call->command->info->name);
	return false;
}

/* From the client's number to steady milliseconds; may lie in the past. */
static bool read_time(
	struct call *call, struct slice s, char unit, bool absolute, bool positive, int64_t *ret)
{
	struct store *store = call->env->store;
	int64_t v, now = store_now(store);

	if (!call_int(call, s, &v))
		return false;
	if ((positive && v <= 0) || (unit == 's' && __builtin_mul_overflow(v, 1000, &v)))
		return refuse_time(call);
	if (absolute) {
		*ret = cap(store_from_wall(store, v));
		return true;
	}
	if (v > INT64_MAX - now)
		return refuse_time(call);
	*ret = cap(v + now);
	return true;
}

bool expire_parse(struct call *call, struct slice s, char unit, bool absolute, int64_t *ret_expire_ms)
{
	return read_time(call, s, unit, absolute, true, ret_expire_ms);
}

/* ---- EXPIRE and its kin ---- */

enum { IF_NX = 1, IF_XX = 2, IF_GT = 4, IF_LT = 8 };

static bool read_conditions(struct call *call, unsigned *ret)
{
	static const char *const words[] = { "nx", "xx", "gt", "lt" };
	unsigned given = 0;

	for (size_t i = 3; i < call->argc; i++) {
		unsigned j = 0;
		while (j < 4 && !slice_is(call->argv[i], words[j]))
			j++;
		if (j == 4) {
			call_error(call, "ERR Unsupported option %.*s",
				call->argv[i].len < 128 ? (int)call->argv[i].len : 128, call->argv[i].ptr);
			return false;
		}
		given |= 1u << j;
	}
	if ((given & IF_NX) && (given & ~IF_NX & 15u)) {
		call_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
		return false;
	}
	if ((given & IF_GT) && (given & IF_LT)) {
		call_error(call, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	*ret = given;
	return true;
}

/* No expiry counts as later than any. */
static bool allows(unsigned given, int64_t now, int64_t then)
{
	bool none = now == STORE_NO_EXPIRY;

	return !((given & IF_NX) && !none) && !((given & IF_XX) && none) &&
	       !((given & IF_GT) && (none || then <= now)) && !((given & IF_LT) && !none && then >= now);
}

static int touch(struct call *call, int64_t expire_ms)
{
	int r = txn_touch(call->txn, call->client->db, call->argv[1], expire_ms);

	if (r == 0)
		call_event(call, EVENT_GENERIC, expire_ms == STORE_NO_EXPIRY ? "persist" : "expire", call->argv[1]);
	return r;
}

static int set_expiry(struct call *call, char unit, bool absolute)
{
	unsigned given = 0;
	int64_t then, now;
	int r;

	if (!read_conditions(call, &given) || !read_time(call, call->argv[2], unit, absolute, false, &then))
		return 0;
	r = txn_peek(call->txn, call->client->db, call->argv[1], &now);
	if (r == 0 && !allows(given, now, then))
		r = STORE_ABSENT;
	if (r == 0)
		r = then <= store_now(call->env->store)
			    ? call_delete(call, call->argv[1])
			    : touch(call, then);
	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, r == 0);
	return 0;
}

int expire_expire(struct call *call)
{
	return set_expiry(call, 's', false);
}

int expire_pexpire(struct call *call)
{
	return set_expiry(call, 'm', false);
}

int expire_expireat(struct call *call)
{
	return set_expiry(call, 's', true);
}

int expire_pexpireat(struct call *call)
{
	return set_expiry(call, 'm', true);
}

int expire_persist(struct call *call)
{
	int64_t now;
	int r = txn_peek(call->txn, call->client->db, call->argv[1], &now);

	if (r == 0)
		r = now == STORE_NO_EXPIRY
			    ? STORE_ABSENT
			    : touch(call, STORE_NO_EXPIRY);
	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, r == 0);
	return 0;
}

/* ---- TTL and its kin ---- */

static int reply_time(struct call *call, bool seconds, bool absolute)
{
	struct store *s = call->env->store;
	int64_t v;
	int r = call_peek(call, call->argv[1], &v);

	if (r && r != STORE_ABSENT)
		return r;
	if (r || v == STORE_NO_EXPIRY) {
		resp_int(&call->out, r ? -2 : -1);
		return 0;
	}
	v = absolute ? store_to_wall(s, v) : v - store_now(s);
	v = v < 0 ? 0 : v;
	resp_int(&call->out, seconds ? v / 1000 + (v % 1000 >= 500) : v);
	return 0;
}

int expire_ttl(struct call *call)
{
	return reply_time(call, true, false);
}

int expire_pttl(struct call *call)
{
	return reply_time(call, false, false);
}

int expire_expiretime(struct call *call)
{
	return reply_time(call, true, true);
}

int expire_pexpiretime(struct call *call)
{
	return reply_time(call, false, true);
}
