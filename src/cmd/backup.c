/* SPDX-License-Identifier: MIT
 *
 * Snapshots, by kvd's own names and by those of Redis, and segments closed by hand.
 */
#include "cmd/room.h"

#include <errno.h>
#include "base/num.h"

#define KEEP_DEFAULT 7 /* where no host says snapshot-keep */

/* ---- waiting for the end ---- */

/* wait_seen: how many had ended before. */
static bool snapshot_over(struct cmd_client *c)
{
	struct store_snapshot_state st;

	store_snapshot_state(c->env->store, &st);
	return st.ended != c->wait_seen;
}

static void reply_end(struct call *call, bool reached, bool with_name)
{
	struct store_snapshot_state st;

	store_snapshot_state(call->env->store, &st);
	if (!reached)
		call_error(call, "ERR the store was closed, the snapshot is given up");
	else if (st.last_result)
		call_error(call, "IOERR snapshot %s: %s", st.name, st.problem);
	else if (with_name)
		resp_simple(&call->out, st.name);
	else
		resp_ok(&call->out);
}

static void snapshot_reply(struct call *call, bool reached)
{
	reply_end(call, reached, true);
}

static void ok_reply(struct call *call, bool reached)
{
	reply_end(call, reached, false);
}

static int wait_for_end(struct call *call, void (*reply)(struct call *call, bool reached))
{
	struct store_snapshot_state st;

	store_snapshot_state(call->env->store, &st);
	call->client->wait_seen = st.ended;
	call_wait(call, snapshot_over, reply);
	return 0;
}

/* What could not be begun. */
static int refuse(struct call *call, int r)
{
	const char *problem = store_problem(call->env->store);

	if (r == STORE_REFUSED)
		return call_error(call, "MISCONF %s", problem);
	return call_error(call, "ERR %s", problem);
}

/* ---- KVD.BACKUP, KVD.BACKUPDEL, KVD.BACKUPS ---- */

/* The name argument as a string; what is too long or holds a NUL becomes a name that is refused with the reason. */
static const char *read_name(const struct call *call, char out[STORE_SNAPSHOT_NAME + 2])
{
	struct slice name = call->argv[1];

	if (name.len > STORE_SNAPSHOT_NAME || memchr(name.ptr, 0, name.len))
		name = SLICE("?");
	memcpy(out, name.ptr, name.len);
	out[name.len] = '\0';
	return out;
}

/* Whether the words behind the name are none, or SYNC; false: a reply was made. */
static bool read_sync(struct call *call, bool *ret)
{
	*ret = call->argc > 2;
	if (call->argc == 2 || (call->argc == 3 && slice_is(call->argv[2], "sync")))
		return true;
	call_syntax(call);
	return false;
}

int backup_backup(struct call *call)
{
	char name[STORE_SNAPSHOT_NAME + 2], chosen[STORE_SNAPSHOT_NAME + 1];
	bool sync, by_time = slice_eq(call->argv[1], SLICE("*"));

	if (!read_sync(call, &sync))
		return 0;
	int r = store_snapshot_begin(call->env->store, by_time ? NULL : read_name(call, name), 0, chosen);
	if (r)
		return refuse(call, r);
	if (sync)
		return wait_for_end(call, snapshot_reply);
	resp_simple(&call->out, chosen);
	return 0;
}

int backup_delete(struct call *call)
{
	char name[STORE_SNAPSHOT_NAME + 2];
	bool sync;

	if (!read_sync(call, &sync))
		return 0;
	int r = store_snapshot_delete(call->env->store, read_name(call, name));
	if (r)
		return refuse(call, r);
	if (sync)
		return wait_for_end(call, ok_reply);
	resp_ok(&call->out);
	return 0;
}

int backup_list(struct call *call)
{
	const struct store_snapshot *s;
	size_t n = store_snapshots(call->env->store, &s);

	resp_array(&call->out, n);
	for (size_t i = 0; i < n; i++) {
		resp_map(&call->out, 6);
		resp_bulk_str(&call->out, "name");
		resp_bulk_str(&call->out, s[i].name);
		resp_bulk_str(&call->out, "kind");
		resp_bulk_str(&call->out, s[i].damaged ? "damaged" : s[i].timed ? "timed" : "hand");
		call_field(call, "time", (uint64_t)s[i].time_ms / 1000);
		call_field(call, "position", s[i].position);
		call_field(call, "segments", s[i].segments);
		call_field(call, "bytes", s[i].bytes);
	}
	return 0;
}

/* ---- the names of Redis ---- */

static unsigned read_keep(const struct cmd_env *e)
{
	uint64_t keep = KEEP_DEFAULT;
	struct buf value = { 0 };

	if (config_find(e, SLICE("snapshot-keep"), &value))
		num_parse_u64(buf_slice(&value), &keep);
	buf_free(&value);
	return (unsigned)keep;
}

static int begin_timed(struct call *call)
{
	int r = store_snapshot_begin(call->env->store, NULL, read_keep(call->env), NULL);

	if (r == -EBUSY)
		call_error(call, "ERR Background save already in progress");
	else if (r)
		refuse(call, r);
	return r;
}

int backup_save(struct call *call)
{
	return begin_timed(call) ? 0 : wait_for_end(call, ok_reply);
}

int backup_bgsave(struct call *call)
{
	if (call->argc > 2 || (call->argc == 2 && !slice_is(call->argv[1], "schedule")))
		return call_syntax(call);
	if (begin_timed(call) == 0)
		resp_simple(&call->out, "Background saving started");
	return 0;
}

int backup_lastsave(struct call *call)
{
	struct store_snapshot_state st;
	struct cmd_host_stats h = { 0 };

	/* Before the first one it is the start, as clients that wait for a change expect. */
	store_snapshot_state(call->env->store, &st);
	call->env->host.stats(call->env->host.arg, &h);
	resp_int(&call->out, st.time_ms ? st.time_ms / 1000 : (int64_t)h.start_wall_ms / 1000);
	return 0;
}

/* ---- KVD.ROTATE ---- */

/* wait_for: the segment begun; wait_seen: rollbacks before, as one of them may take the rotation back. */
static bool rotate_over(struct cmd_client *c)
{
	const struct store *s = c->env->store;

	return store_rotated(s, c->wait_for) || store_rollbacks(s) != c->wait_seen || store_health(s, NULL);
}

static void rotate_reply(struct call *call, bool reached)
{
	const struct cmd_client *c = call->client;

	(void)reached;
	if (store_rotated(call->env->store, c->wait_for))
		resp_ok(&call->out);
	else if (store_health(call->env->store, NULL))
		call_condition(call, STORE_REFUSED);
	else
		call_error(call, "ERR the rotation was not completed");
}

int backup_rotate(struct call *call)
{
	struct store *s = call->env->store;
	struct cmd_client *c = call->client;
	int r = store_rotate(s, &c->wait_for);

	if (r)
		return r;
	c->wait_seen = store_rollbacks(s);
	if (store_rotated(s, c->wait_for))
		resp_ok(&call->out);
	else
		call_wait(call, rotate_over, rotate_reply);
	return 0;
}
