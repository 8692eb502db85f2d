/* SPDX-License-Identifier: MIT
 *
 * DEBUG RELOAD: closes the store and opens it again, in the middle of everything, for tests of what a start makes of a store. The loop stands still
 * meanwhile, as with DEBUG SLEEP. All that was committed is made durable first, so every held reply leaves before. Requests that wait for a
 * record are run again with the new store. A snapshot, merge, checkpoint or scrub under way is given up, as when the daemon stops, and who waits
 * for it is told so.
 */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "daemon/request.h"
#include "daemon/server.h"

/* Why it must not be closed now, or "". */
static const char *settle(struct server *s)
{
	const char *why = "";

	store_submit(s->store);
	int r = store_wait(s->store, store_position(s->store));
	store_poll(s->store);
	server_release(s);
	if (store_health(s->store, &why) == 0)
		why = r ? strerror(-r) : "";
	return why;
}

static void leave_store(struct server *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->waiting); c; c = next) {
		next = TAILQ_NEXT(c, wait_link);
		if (cmd_waits_for_store(c->client))
			request_wait_done(c, false);
	}
	TAILQ_FOREACH(c, &s->conns, all)
		if (c->parked && !c->paused)
			conn_fetched(c);
	cmd_leave_store(s->env);
	events_leave_store(s);
}

/* 0, or an exit code with the reason logged. */
static int close_and_open(struct server *s)
{
	struct store_stats before;

	store_stats(s->store, &before);
	leave_store(s);
	s->closing = true;
	int r = store_close(s->store);
	if (r)
		log_error("the sync at the closing of the store failed: %s", strerror(-r));
	s->closing = false;
	s->store = NULL;
	s->recovery_done = s->recovery_said_ms = s->recovery_logged_ms = 0;
	r = server_open_store(s);
	if (r)
		return r;
	s->rollbacks_seen = s->released = s->small_until = 0;
	s->behind = false;
	s->status[0] = '\0';
	cmd_join_store(s->env, s->store);
	settings_apply(s);
	store_compact_pause(s->store, before.compact_paused);
	return events_watch_store(s);
}

bool reopen_store(struct server *s)
{
	char problem[256];

	s->reopen_asked = false;
	snprintf(problem, sizeof(problem), "%s", settle(s));
	if (*problem == '\0')
		s->exit_code = close_and_open(s);
	if (s->exit_code) {
		s->served = false; /* it ends like a start that failed */
		s->done = true;
		return false;
	}
	cmd_store_reopened(s->env, problem);
	server_release(s);
	return true;
}
