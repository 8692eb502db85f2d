/* SPDX-License-Identifier: MIT
 *
 * KVD.SNAPSHOT: writes the index, the checkpoint of the directory of keys, so that the next start reads the end of the log only.
 */
#include "cmd/room.h"

static struct store_stats read_stats(const struct cmd_env *e)
{
	struct store_stats s;

	store_stats(e->store, &s);
	return s;
}

/* wait_seen: how many had been written before; wait_for: how many had failed. */
static bool checkpoint_over(struct cmd_client *c)
{
	struct store_stats s = read_stats(c->env);

	return s.checkpoints != c->wait_seen || s.checkpoint_failures != c->wait_for;
}

static void checkpoint_reply(struct call *call, bool reached)
{
	if (!reached)
		call_error(call, "ERR the store was closed, the index is given up");
	else if (read_stats(call->env).checkpoints == call->client->wait_seen)
		call_error(call, "ERR the index was not written, the journal says why; the log has everything");
	else
		resp_ok(&call->out);
}

int checkpoint_snapshot(struct call *call)
{
	struct store_stats before = read_stats(call->env);
	struct cmd_client *c = call->client;
	bool sync = call->argc == 2 && slice_is(call->argv[1], "sync");

	if (call->argc > 2 || (call->argc == 2 && !sync))
		return call_syntax(call);
	int r = store_checkpoint(call->env->store);
	if (r)
		return r;
	if (!sync) {
		resp_ok(&call->out);
		return 0;
	}
	c->wait_seen = before.checkpoints;
	c->wait_for = before.checkpoint_failures;
	call_wait(call, checkpoint_over, checkpoint_reply);
	return 0;
}
