/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include "base/hash.h"

int key_del(struct call *call)
{
	int64_t n = 0;

	for (size_t i = 1; i < call->argc; i++) {
		int r = call_delete(call, call->argv[i]);
		if (r && r != STORE_ABSENT)
			return r;
		n += r == 0;
	}
	resp_int(&call->out, n);
	return 0;
}

int key_exists(struct call *call)
{
	int64_t n = 0;

	for (size_t i = 1; i < call->argc; i++) {
		int r = call_peek(call, call->argv[i], NULL);
		if (r && r != STORE_ABSENT)
			return r;
		n += r == 0;
	}
	resp_int(&call->out, n);
	return 0;
}

int key_type(struct call *call)
{
	int r = call_peek(call, call->argv[1], NULL);

	if (r && r != STORE_ABSENT)
		return r;
	resp_simple(&call->out, r ? "none" : "string");
	return 0;
}

int key_dbsize(struct call *call)
{
	resp_int(&call->out, (int64_t)txn_count(call->txn, call->client->db));
	return 0;
}

int key_randomkey(struct call *call)
{
	struct slice key;
	int r;

	call->env->random = hash_u64(call->env->random + 1);
	r = txn_random(call->txn, call->client->db, call->env->random, &key);
	if (r && r != STORE_ABSENT)
		return r;
	if (r)
		resp_null(&call->out);
	else
		resp_bulk(&call->out, key);
	return 0;
}

/* ---- from one name to another ---- */

/* The value must outlive the deletion of its key, so it is taken before. */
static int move_record(struct call *call, struct slice to, const struct txn_value *v)
{
	int r = txn_put_value(call->txn, call->client->db, to, v);

	if (r == 0)
		r = txn_delete(call->txn, call->client->db, call->argv[1]);
	if (r)
		return r;
	call_event(call, EVENT_NEW, "new", to);
	call_event(call, EVENT_GENERIC, "rename_from", call->argv[1]);
	call_event(call, EVENT_GENERIC, "rename_to", to);
	return 0;
}

static int rename_key(struct call *call, bool only_new)
{
	struct txn_value v;
	int r = txn_get(call->txn, call->client->db, call->argv[1], &v);
	bool taken;

	if (r == STORE_ABSENT)
		return call_error(call, "ERR no such key");
	if (r)
		return r;
	taken = only_new && txn_peek(call->txn, call->client->db, call->argv[2], NULL) == 0;
	if (!taken && !slice_eq(call->argv[1], call->argv[2]))
		r = move_record(call, call->argv[2], &v);
	if (r)
		return r;
	if (only_new)
		resp_int(&call->out, !taken);
	else
		resp_ok(&call->out);
	return 0;
}

int key_rename(struct call *call)
{
	return rename_key(call, false);
}

int key_renamenx(struct call *call)
{
	return rename_key(call, true);
}

static int put_elsewhere(struct call *call, unsigned db, struct slice to, bool replace, bool moving)
{
	struct txn_value v;
	/* A copy reads, a move does not: only one of them counts as a hit or a miss. */
	int r = moving ? txn_get(call->txn, call->client->db, call->argv[1], &v) : call_get(call, call->argv[1], &v);

	if (r == 0 && !replace && txn_peek(call->txn, db, to, NULL) == 0)
		r = STORE_ABSENT;
	if (r == 0)
		r = txn_put_value(call->txn, db, to, &v);
	if (r == 0 && moving)
		r = txn_delete(call->txn, call->client->db, call->argv[1]);
	if (r && r != STORE_ABSENT)
		return r;
	if (r == 0) {
		call_event_in(call, EVENT_NEW, "new", db, to);
		if (moving)
			call_event(call, EVENT_GENERIC, "move_from", call->argv[1]);
		call_event_in(call, EVENT_GENERIC, moving ? "move_to" : "copy_to", db, to);
	}
	resp_int(&call->out, r == 0);
	return 0;
}

int key_copy(struct call *call)
{
	unsigned db = call->client->db;
	bool replace = false;

	for (size_t i = 3; i < call->argc; i++) {
		if (slice_is(call->argv[i], "replace")) {
			replace = true;
		} else if (slice_is(call->argv[i], "db") && i + 1 < call->argc) {
			if (!call_db(call, call->argv[++i], &db))
				return 0;
		} else {
			return call_syntax(call);
		}
	}
	if (db == call->client->db && slice_eq(call->argv[1], call->argv[2]))
		return call_error(call, "ERR source and destination objects are the same");
	return put_elsewhere(call, db, call->argv[2], replace, false);
}

int key_move(struct call *call)
{
	unsigned db;

	if (!call_db(call, call->argv[2], &db))
		return 0;
	if (db == call->client->db)
		return call_error(call, "ERR source and destination objects are the same");
	return put_elsewhere(call, db, call->argv[1], false, true);
}

/* ---- whole databases ---- */

static bool reads_flush_option(struct call *call)
{
	if (call->argc == 1 ||
		(call->argc == 2 && (slice_is(call->argv[1], "sync") || slice_is(call->argv[1], "async"))))
		return true;
	call_syntax(call);
	return false;
}

int key_flushdb(struct call *call)
{
	int r;

	if (!reads_flush_option(call))
		return 0;
	r = txn_flush(call->txn, call->client->db);
	if (r == 0)
		resp_ok(&call->out);
	return r;
}

int key_flushall(struct call *call)
{
	if (!reads_flush_option(call))
		return 0;
	for (unsigned db = 0; db < store_databases(call->env->store); db++) {
		int r = txn_flush(call->txn, db);
		if (r)
			return r;
	}
	resp_ok(&call->out);
	return 0;
}

int key_swapdb(struct call *call)
{
	int a, b, r = 0;

	if (!call_db_number(call, call->argv[1], "invalid first DB index", &a) ||
		!call_db_number(call, call->argv[2], "invalid second DB index", &b) || !call_db_exists(call, a) || !call_db_exists(call, b))
		return 0;
	if (a != b)
		r = txn_swap(call->txn, (unsigned)a, (unsigned)b);
	if (r == 0)
		resp_ok(&call->out);
	return r;
}
