/* SPDX-License-Identifier: MIT
 *
 * CLIENT PAUSE: for some time requests are left lying, all of them or those that write. A request that is left lying
 * has done nothing; it is run when the pause is over.
 */
#include "cmd/room.h"

#include "base/num.h"

static bool is_over(struct cmd_env *e)
{
	if (e->pause_end_ms && store_now(e->store) >= e->pause_end_ms)
		e->pause_end_ms = 0;
	return e->pause_end_ms == 0;
}

bool cmd_is_paused(struct cmd_env *e)
{
	return !is_over(e);
}

static bool writes(const struct call *call)
{
	const struct cmd_client *c = call->client;

	if ((call->command->flags & FLAG_WRITE) || call->command->run == pubsub_send)
		return true;
	for (size_t i = 0; call->command->run == multi_exec && i < c->queued; i++)
		if ((c->queue[i].command->flags & FLAG_WRITE) || c->queue[i].command->run == pubsub_send)
			return true;
	return false;
}

bool pause_applies(const struct call *call)
{
	/* Who comes to end it must get in. */
	if (is_over(call->env) || (call->command->flags & FLAG_NO_AUTH) || call->command->run == pause_unpause)
		return false;
	return call->env->pause_all || writes(call);
}

int pause_pause(struct call *call)
{
	struct cmd_env *e = call->env;
	bool all = true, was_over = is_over(e);
	int64_t timeout, end;

	if (call->argc > 4)
		return call_sub_syntax(call);
	if (call->argc == 4) {
		all = slice_is(call->argv[3], "all");
		if (!all && !slice_is(call->argv[3], "write"))
			return call_error(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
	}
	if (num_parse_i64(call->argv[2], &timeout))
		return call_error(call, "ERR timeout is not an integer or out of range");
	if (timeout < 0)
		return call_error(call, "ERR timeout is negative");
	if (__builtin_add_overflow(timeout, store_now(e->store), &end))
		return call_error(call, "ERR timeout is out of range");
	/* A second pause may only add to the first. */
	e->pause_end_ms = was_over || end > e->pause_end_ms ? end : e->pause_end_ms;
	e->pause_all = all || (!was_over && e->pause_all);
	e->host.pause(e->host.arg, e->pause_end_ms - store_now(e->store));
	resp_ok(&call->out);
	return 0;
}

void cmd_unpause(struct cmd_env *e)
{
	e->pause_end_ms = 0;
	e->host.pause(e->host.arg, 0);
}

int pause_unpause(struct call *call)
{
	cmd_unpause(call->env);
	resp_ok(&call->out);
	return 0;
}

/* No command blocks in the sense of this one, so there is nobody to be unblocked. */
int pause_unblock(struct call *call)
{
	int64_t id;

	if (call->argc > 4)
		return call_sub_syntax(call);
	if (call->argc == 4 && !slice_is(call->argv[3], "timeout") && !slice_is(call->argv[3], "error"))
		return call_error(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
	if (call_int(call, call->argv[2], &id))
		resp_int(&call->out, 0);
	return 0;
}
