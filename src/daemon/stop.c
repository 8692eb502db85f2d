/* SPDX-License-Identifier: MIT
 *
 * Stopping. What has been received by then is run and answered, nothing later: a client whose next request is
 * always there would keep the daemon alive as long as it likes. So the bytes each socket holds at that moment are
 * counted, and no more than these are read. Two get one request more, because they cannot know that it comes too
 * late: who is in the middle of one, and who has just connected and not spoken yet.
 */
#include <inttypes.h>
#include <sys/ioctl.h>
#include "daemon/notify.h"
#include "daemon/request.h"
#include "daemon/server.h"

#define LIMIT_MS 5000    /* the end for everybody */
#define PATIENCE_MS 1000 /* who has taken none of its replies for this long does not read them */
#define GRACE_MS 500     /* of silence, for those who may finish a request */
#define TURN_MS 20

static size_t count_received(const struct conn *c)
{
	int n = 0;

	return ioctl(c->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

void stop_begin(struct server *s)
{
	struct timeval tv = { 0, TURN_MS * 1000 };
	struct conn *c;

	s->stopping = true;
	cmd_unpause(s->env);
	s->stop_ms = s->now_ms;
	notify_stopping();
	notify_status("stopping: %zu clients to answer", s->nconns);
	accept_stop(s);
	TAILQ_FOREACH(c, &s->conns, all) {
		c->may_read = count_received(c);
		conn_settle(c);
	}
	event_add(&s->stop_timer, &tv);
}

static bool is_fresh(const struct server *s, const struct conn *c)
{
	return c->total_in == 0 && s->stop_ms - c->since_ms < GRACE_MS;
}

static uint64_t silent_ms(const struct server *s, const struct conn *c)
{
	return s->now_ms - (c->active_ms > s->stop_ms ? c->active_ms : s->stop_ms);
}

/* All it sent in time has been run and answered. */
static void end_quiet(struct server *s, struct conn *c)
{
	if (!c->last_request && !c->eof && (c->in.len || is_fresh(s, c))) {
		c->last_request = true;
		c->may_read = SIZE_MAX;
		conn_settle(c);
	}
	if (!c->last_request || silent_ms(s, c) >= GRACE_MS || s->now_ms - s->stop_ms >= PATIENCE_MS)
		conn_kill(c);
}

void stop_drain(struct server *s)
{
	bool late = s->now_ms - s->stop_ms >= LIMIT_MS;
	struct conn *c;

	TAILQ_FOREACH(c, &s->conns, all) {
		if (c->dead)
			continue;
		/* Some wait for what only time would end. */
		if (c->waiting && c->wait_position == UINT64_MAX)
			request_wait_done(c, false);
		if (conn_is_quiet(c) && (c->may_read == 0 || c->last_request || c->eof))
			end_quiet(s, c);
		else if (late || (outq_ready(&c->out).len && silent_ms(s, c) >= PATIENCE_MS))
			conn_kill(c);
	}
}
