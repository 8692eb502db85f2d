/* SPDX-License-Identifier: MIT
 *
 * DEBUG RELOAD and LOADAOF: the daemon closes the store and opens it again under its clients. What they have of the old one is given back here,
 * and what was counted by it goes on: databases, queues, watched keys, cursors and subscriptions know keys and no store, and stay.
 */
#include "cmd/room.h"

#include <stdio.h>

/* ---- the command ---- */

/* wait_seen: how often it was opened again, or was not, before. */
static bool reopen_over(struct cmd_client *c)
{
	return c->env->reopened != c->wait_seen;
}

static void reopen_reply(struct call *call, bool reached)
{
	if (!reached)
		call_error(call, "ERR kvd stops, the store is not opened again");
	else if (*call->env->reopen_problem)
		call_error(call, "MISCONF the store was not opened again: %s", call->env->reopen_problem);
	else
		resp_ok(&call->out);
}

int debug_reload(struct call *call)
{
	struct cmd_env *e = call->env;

	if (!debug_is_allowed(call))
		return 0;
	call->client->wait_seen = e->reopened;
	e->host.reopen(e->host.arg);
	call_wait(call, reopen_over, reopen_reply);
	return 0;
}

/* ---- from one store to the next ---- */

bool cmd_waits_for_store(const struct cmd_client *c)
{
	return c->wait_over && c->wait_over != reopen_over;
}

/* All it has written is on disk by now, so its positions say nothing any more. */
static bool leave(void *arg, struct cmd_client *c)
{
	(void)arg;
	c->fetch = store_fetch_free(c->fetch);
	c->last_write = 0;
	return true;
}

void cmd_leave_store(struct cmd_env *e)
{
	struct store_stats s;

	e->host.each_client(e->host.arg, leave, NULL);
	store_stats(e->store, &s);
	e->expired_base -= s.expired; /* modulo 2^64: the sum goes on from what the next one counts */
	e->pause_end_ms -= cmd_is_paused(e) ? store_now(e->store) : 0; /* what is left of it, as the next one has its own clock */
	e->rate.at_ms = 0;
	e->store = NULL;
}

void cmd_join_store(struct cmd_env *e, struct store *s)
{
	e->store = s;
	e->pause_end_ms += e->pause_end_ms ? store_now(s) : 0;
}

void cmd_store_reopened(struct cmd_env *e, const char *problem)
{
	snprintf(e->reopen_problem, sizeof(e->reopen_problem), "%s", problem);
	e->reopened++;
}
