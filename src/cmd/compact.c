/* SPDX-License-Identifier: MIT
 *
 * Compaction by hand, and the list of segments.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmd/room.h"

/* ---- KVD.COMPACT, BGREWRITEAOF ---- */

/* wait_for: the ticket of the compaction. */
static bool compact_over(struct cmd_client *c)
{
	struct store_stats s;

	store_stats(c->env->store, &s);
	return s.compactions_done >= c->wait_for;
}

static void reply_result(struct call *call)
{
	struct store *store = call->env->store;
	struct store_stats s;

	store_stats(store, &s);
	if (s.compact_result) {
		const char *text = store_compact_problem(store);
		call_error(call, "ERR the compaction was given up: %s", *text ? text : strerror(-s.compact_result));
		return;
	}
	resp_map(&call->out, 3);
	resp_bulk_str(&call->out, "before");
	resp_int(&call->out, (int64_t)s.compact_bytes_before);
	resp_bulk_str(&call->out, "after");
	resp_int(&call->out, (int64_t)s.compact_bytes_after);
	resp_bulk_str(&call->out, "saved");
	resp_int(&call->out, (int64_t)s.compact_bytes_saved);
}

static void compact_reply(struct call *call, bool reached)
{
	if (reached)
		reply_result(call);
	else
		call_error(call, "ERR the compaction was not completed");
}

static int compact_by_hand(struct call *call, bool sync, unsigned flags)
{
	struct cmd_client *c = call->client;
	int r = store_compact(call->env->store, flags, &c->wait_for);

	if (r && r != -EALREADY)
		return r;
	if (!sync && r)
		return call_error(call, "ERR a compaction is already running");
	if (!sync)
		resp_ok(&call->out);
	else if (compact_over(c))
		reply_result(call);
	else
		call_wait(call, compact_over, compact_reply);
	return 0;
}

int compact_run(struct call *call)
{
	bool sync = false, force = false;

	if (call->argc == 2 && (slice_is(call->argv[1], "pause") || slice_is(call->argv[1], "resume"))) {
		store_compact_pause(call->env->store, slice_is(call->argv[1], "pause"));
		resp_ok(&call->out);
		return 0;
	}
	for (size_t i = 1; i < call->argc; i++) {
		bool s = slice_is(call->argv[i], "sync");
		if (!s && !slice_is(call->argv[i], "force"))
			return call_syntax(call);
		sync |= s;
		force |= !s;
	}
	return compact_by_hand(call, sync, force ? STORE_COMPACT_FORCE : 0);
}

int compact_bgrewriteaof(struct call *call)
{
	uint64_t ticket;
	int r = store_compact(call->env->store, 0, &ticket);

	if (r == -EALREADY)
		return call_error(call, "ERR Background append only file rewriting already in progress");
	if (r)
		return r;
	resp_simple(&call->out, "Background append only file rewriting started");
	return 0;
}

/* ---- KVD.SEGMENTS ---- */

int compact_segments(struct call *call)
{
	struct store_segment *list;
	long n = store_segments(call->env->store, &list);

	if (n < 0)
		return (int)n;
	resp_array(&call->out, (size_t)n);
	for (long i = 0; i < n; i++) {
		const struct store_segment *g = &list[i];
		resp_map(&call->out, 6);
		call_field(call, "number", g->number);
		call_field(call, "first", g->first);
		call_field(call, "bytes", g->size);
		call_field(call, "live", g->live_bytes);
		call_field(call, "tombstones", g->tombstone_bytes);
		resp_bulk_str(&call->out, "state");
		resp_bulk_str(&call->out, g->active ? "active" : g->merging ? "merging" : g->complete ? "complete" : "sealed");
	}
	free(list);
	return 0;
}
