/* SPDX-License-Identifier: MIT */
#include "cmd/set_options.h"

#include <errno.h>

static void reply_value(struct call *call, int r, const struct txn_value *v)
{
	if (r == 0)
		call_value(call, v, v->data);
	else
		resp_null(&call->out);
}

int string_get(struct call *call)
{
	struct txn_value v;
	int r = call_get(call, call->argv[1], &v);

	if (r == 0 || r == STORE_ABSENT) {
		reply_value(call, r, &v);
		return 0;
	}
	return r;
}

/* ---- SET ---- */

/* timed: the request says when it expires. What expires at once is not written at all. */
static int put_or_delete(struct call *call, struct slice key, struct slice value, int64_t expire_ms, bool timed)
{
	bool gone = expire_ms <= store_now(call->env->store);
	int r;

	if (gone) {
		r = txn_delete(call->txn, call->client->db, key);
		r = r == STORE_ABSENT ? 0 : r;
		if (r == 0)
			call_event(call, EVENT_STRING, "set", key);
	} else {
		r = call_put(call, key, value, expire_ms, "set");
	}
	if (r == 0 && timed)
		call_event(call, EVENT_GENERIC, "expire", key);
	if (r == 0 && gone)
		call_event(call, EVENT_EXPIRED, "expired", key);
	return r;
}

/* What SET must know of the old record: nothing, whether it is there, or all of it. */
static int read_old(struct call *call, const struct set_options *o, struct txn_value *ret)
{
	if (o->given & OPT_GET)
		return call_get(call, call->argv[1], ret);
	if (o->given & (OPT_IFEQ | OPT_IFNE))
		return txn_get(call->txn, call->client->db, call->argv[1], ret);
	if (o->given & (OPT_NX | OPT_XX | OPT_KEEPTTL))
		return txn_peek(call->txn, call->client->db, call->argv[1], &ret->expire_ms);
	return STORE_ABSENT;
}

int string_set(struct call *call)
{
	struct txn_value old = { .expire_ms = STORE_NO_EXPIRY };
	int64_t expire = STORE_NO_EXPIRY;
	struct set_options o = { 0 };
	bool go = false;
	int found, r;

	if (call->argc > 3 && (!set_options_read(call, 3, OPT_CONDITIONS | OPT_GET | OPT_KEEPTTL | OPT_EXPIRE, &o) ||
				      !set_options_expiry(call, &o, &expire)))
		return 0;
	found = read_old(call, &o, &old);
	if (found && found != STORE_ABSENT)
		return found;
	r = set_options_allow(call, &o, found == 0, &old, &go);
	if (r == 0 && go) {
		if (found == 0 && (o.given & OPT_KEEPTTL))
			expire = old.expire_ms;
		r = put_or_delete(call, call->argv[1], call->argv[2], expire, o.given & OPT_EXPIRE);
	}
	if (r)
		return r;
	if (o.given & OPT_GET)
		reply_value(call, found, &old);
	else if (go)
		resp_ok(&call->out);
	else
		resp_null(&call->out);
	return 0;
}

int string_setnx(struct call *call)
{
	int r = txn_peek(call->txn, call->client->db, call->argv[1], NULL);

	if (r == STORE_ABSENT) {
		r = call_put(call, call->argv[1], call->argv[2], STORE_NO_EXPIRY, "set");
		if (r == 0)
			resp_int(&call->out, 1);
		return r;
	}
	if (r == 0)
		resp_int(&call->out, 0);
	return r;
}

static int set_expiring(struct call *call, char unit)
{
	int64_t expire;
	int r;

	if (!expire_parse(call, call->argv[2], unit, false, &expire))
		return 0;
	r = put_or_delete(call, call->argv[1], call->argv[3], expire, true);
	if (r == 0)
		resp_ok(&call->out);
	return r;
}

int string_setex(struct call *call)
{
	return set_expiring(call, 's');
}

int string_psetex(struct call *call)
{
	return set_expiring(call, 'm');
}

int string_getset(struct call *call)
{
	struct txn_value old;
	int found = call_get(call, call->argv[1], &old), r;

	if (found && found != STORE_ABSENT)
		return found;
	r = call_put(call, call->argv[1], call->argv[2], STORE_NO_EXPIRY, "set");
	if (r == 0)
		reply_value(call, found, &old);
	return r;
}

int string_getdel(struct call *call)
{
	struct txn_value old;
	int found = call_get(call, call->argv[1], &old), r = 0;

	if (found && found != STORE_ABSENT)
		return found;
	if (found == 0)
		r = call_delete(call, call->argv[1]);
	if (r == 0)
		reply_value(call, found, &old);
	return r;
}

static int change_expiry(struct call *call, int64_t expire)
{
	int r = txn_touch(call->txn, call->client->db, call->argv[1], expire);

	if (r == 0)
		call_event(call, EVENT_GENERIC, expire == STORE_NO_EXPIRY ? "persist" : "expire", call->argv[1]);
	return r;
}

int string_getex(struct call *call)
{
	int64_t expire = STORE_NO_EXPIRY;
	struct txn_value v;
	struct set_options o;
	int r;

	if (!set_options_read(call, 2, OPT_PERSIST | OPT_EXPIRE, &o))
		return 0;
	r = call_get(call, call->argv[1], &v);
	if (r && r != STORE_ABSENT)
		return r;
	/* As Redis: an absent key is nil whatever the expiry says. */
	if (r == 0 && !set_options_expiry(call, &o, &expire))
		return 0;
	if (r == 0 && o.given && expire <= store_now(call->env->store))
		r = call_delete(call, call->argv[1]);
	else if (r == 0 && o.given && (expire != STORE_NO_EXPIRY || v.expire_ms != STORE_NO_EXPIRY))
		r = change_expiry(call, expire);
	if (r && r != STORE_ABSENT)
		return r;
	reply_value(call, r, &v);
	return 0;
}

/* ---- several keys ---- */

int string_mget(struct call *call)
{
	size_t before = resp_total(&call->out);

	resp_array(&call->out, call->argc - 1);
	for (size_t i = 1; i < call->argc; i++) {
		struct txn_value v;
		int r = call_get(call, call->argv[i], &v);
		if (r && r != STORE_ABSENT)
			return r;
		reply_value(call, r, &v);
		if (resp_total(&call->out) - before > MAX_REPLY)
			return -E2BIG;
	}
	return 0;
}

static int put_all(struct call *call)
{
	for (size_t i = 1; i < call->argc; i += 2) {
		int r = call_put(call, call->argv[i], call->argv[i + 1], STORE_NO_EXPIRY, "set");
		if (r)
			return r;
	}
	return 0;
}

static bool is_paired(struct call *call)
{
	if (call->argc % 2)
		return true;
	call_error(call, "ERR wrong number of arguments for '%s' command", call->command->info->name);
	return false;
}

int string_mset(struct call *call)
{
	int r;

	if (!is_paired(call))
		return 0;
	r = put_all(call);
	if (r == 0)
		resp_ok(&call->out);
	return r;
}

int string_msetnx(struct call *call)
{
	int r;

	if (!is_paired(call))
		return 0;
	for (size_t i = 1; i < call->argc; i += 2) {
		r = txn_peek(call->txn, call->client->db, call->argv[i], NULL);
		if (r == 0)
			resp_int(&call->out, 0);
		if (r != STORE_ABSENT)
			return r;
	}
	r = put_all(call);
	if (r == 0)
		resp_int(&call->out, 1);
	return r;
}

/* ---- deleting what is still ours ---- */

static int delete_if(struct call *call, const struct set_options *o)
{
	struct txn_value v = { .data = { "", 0 } };
	int r = o->given ? txn_get(call->txn, call->client->db, call->argv[1], &v)
			 : txn_peek(call->txn, call->client->db, call->argv[1], NULL);

	bool go = false;

	if (r == 0)
		r = set_options_allow(call, o, true, &v, &go);
	if (r == 0)
		r = go ? call_delete(call, call->argv[1]) : STORE_ABSENT;
	if (r && r != STORE_ABSENT)
		return r;
	resp_int(&call->out, r == 0);
	return 0;
}

int string_delex(struct call *call)
{
	struct set_options o;

	return set_options_read(call, 2, OPT_IFEQ | OPT_IFNE, &o) ? delete_if(call, &o) : 0;
}

int string_delifeq(struct call *call)
{
	struct set_options o = { .given = OPT_IFEQ, .compare = call->argv[2] };

	return delete_if(call, &o);
}
