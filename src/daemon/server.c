/* SPDX-License-Identifier: MIT */
#include "daemon/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/num.h"
#include "daemon/journal.h"
#include "daemon/notify.h"
#include "daemon/request.h"

#define SUBSCRIBER_HARD ((size_t)32 << 20)
#define SUBSCRIBER_SOFT ((size_t)8 << 20)
#define SUBSCRIBER_SOFT_MS 60000
#define CLOSING_LIMIT_MS 60000

static uint64_t read_clock(void)
{
	return clock_mono_ns(&clock_system) / 1000000;
}

/* ---- lists and limits ---- */

void server_queue_ready(struct server *s, struct conn *c)
{
	if (c->ready)
		return;
	c->ready = true;
	TAILQ_INSERT_TAIL(&s->ready, c, ready_link);
}

void server_stall(struct server *s, struct conn *c)
{
	if (c->ready)
		return;
	c->ready = c->stalled = true;
	TAILQ_INSERT_TAIL(&s->stalled, c, ready_link);
}

static void wake_stalled(struct server *s)
{
	struct conn *c;

	TAILQ_FOREACH(c, &s->stalled, ready_link)
		c->stalled = false;
	TAILQ_CONCAT(&s->ready, &s->stalled, ready_link);
}

bool server_is_behind(struct server *s)
{
	/* When writes are refused the backlog neither grows nor drains, and reads must go on. */
	bool behind = store_backlog(s->store) > store_backlog_limit(s->store) && store_health(s->store, NULL) == 0;

	if (behind && !s->behind)
		s->small_until = store_position(s->store) + store_backlog_limit(s->store);
	s->behind = behind;
	return behind;
}

bool server_takes_small(const struct server *s)
{
	return store_position(s->store) < s->small_until;
}

void server_queue_dirty(struct server *s, struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&s->dirty, c, dirty_link);
}

static void close_greedy(struct conn *c, const char *limit)
{
	journal_write(JOURNAL_CLIENT_CLOSED, LOG_LEVEL_WARNING,
		"client %" PRIu64 " (uid %u, pid %d) closed: %zu bytes of replies not read, limit %s", c->id,
		(unsigned)c->peer.uid, (int)c->peer.pid, outq_size(&c->out), limit);
	conn_kill(c);
}

static struct conn *find_worst(struct server *s)
{
	struct conn *c, *worst = NULL;

	TAILQ_FOREACH(c, &s->conns, all)
		if (!c->dead && (!worst || c->counted > worst->counted))
			worst = c;
	return worst;
}

void server_account(struct server *s, struct conn *c)
{
	if (c->dead)
		return;
	size_t size = outq_size(&c->out);
	s->output_bytes += size - c->counted;
	c->counted = size;
	if (size > s->output_limit)
		close_greedy(c, "client-output-limit");
	else if (size > SUBSCRIBER_HARD && cmd_client_listens(c->client))
		close_greedy(c, "for subscribers");
	while (s->output_bytes > s->output_total) {
		struct conn *worst = find_worst(s);
		if (!worst)
			break;
		close_greedy(worst, "client-output-total");
	}
}

void server_ask_stop(struct server *s)
{
	s->stop_asked = true;
}

void server_end_pause(struct server *s)
{
	struct conn *c;

	TAILQ_FOREACH(c, &s->conns, all) {
		if (!c->paused || c->dead)
			continue;
		c->paused = false;
		conn_fetched(c);
	}
}

/* ---- the end of a turn ---- */

static void run_ready(struct server *s)
{
	struct conn_list now = TAILQ_HEAD_INITIALIZER(now);
	struct conn *c;

	/* Who becomes ready again has its turn after the others. */
	TAILQ_CONCAT(&now, &s->ready, ready_link);
	while ((c = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, c, ready_link);
		c->ready = false;
		if (!c->dead)
			conn_work(c);
	}
}

static void release_held(struct server *s)
{
	uint64_t releasable = store_releasable(s->store);
	struct conn *c, *next;

	if (releasable == s->released)
		return;
	s->released = releasable;
	for (c = TAILQ_FIRST(&s->held); c; c = next) {
		next = TAILQ_NEXT(c, held_link);
		conn_check_held(c);
	}
}

static void end_waits(struct server *s)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&s->waiting); c; c = next) {
		next = TAILQ_NEXT(c, wait_link);
		if (store_durable(s->store) >= c->wait_position || cmd_wait_over(c->client))
			request_wait_done(c, true);
	}
}

/*
 * The disk refused commits and the store took them back: whoever still waits for one of them is told so, before new commits are given
 * the same positions. What could be released has been by now.
 */
static void give_up_held(struct server *s)
{
	const char *reason = "";
	struct conn *c;

	if (store_rollbacks(s->store) == s->rollbacks_seen)
		return;
	s->rollbacks_seen = store_rollbacks(s->store);
	TAILQ_FOREACH(c, &s->waiting, wait_link)
		if (c->wait_position != UINT64_MAX && c->wait_position > store_position(s->store))
			c->wait_position = store_position(s->store);
	store_health(s->store, &reason);
	struct buf text = { 0 };
	buf_printf(&text, "-MISCONF the disk refused what this reply depends on: %s", reason);
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\r' || text.ptr[i] == '\n')
			text.ptr[i] = ' ';
	buf_append_str(&text, "\r\n");
	while ((c = TAILQ_FIRST(&s->held)))
		if (text.failed) {
			conn_kill(c);
			c->held = false;
			TAILQ_REMOVE(&s->held, c, held_link);
		} else {
			conn_refuse_held(c, buf_slice(&text));
		}
	buf_free(&text);
}

void server_release(struct server *s)
{
	release_held(s);
	end_waits(s);
	give_up_held(s);
}

static void flush_dirty(struct server *s)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&s->dirty))) {
		TAILQ_REMOVE(&s->dirty, c, dirty_link);
		c->dirty = false;
		if (!c->dead && !c->writing)
			conn_flush(c);
	}
}

static void bury_dead(struct server *s)
{
	while (!TAILQ_EMPTY(&s->dead))
		conn_free(TAILQ_FIRST(&s->dead));
}

static void end_turn(struct server *s)
{
	s->now_ms = read_clock();
	run_ready(s);
	if (s->stop_asked && !s->stopping)
		stop_begin(s);
	if (s->store_ready) {
		s->store_ready = false;
		store_poll(s->store);
	}
	server_release(s);
	if (s->reopen_asked && !s->stopping && !reopen_store(s))
		return;
	store_submit(s->store);
	flush_dirty(s);
	if (s->stopping)
		stop_drain(s);
	bury_dead(s);
	s->done = s->stopping && TAILQ_EMPTY(&s->conns);
	if (!server_is_behind(s))
		wake_stalled(s);
	s->heavy_done = false;
	if (s->watchdog_asks) {
		s->watchdog_asks = false;
		notify_watchdog();
	}
	s->turn++;
}

int server_run(struct server *s)
{
	while (!s->done) {
		bool more = !TAILQ_EMPTY(&s->ready);
		if (event_base_loop(s->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) < 0) {
			log_error("the event loop failed: %s", strerror(errno));
			s->exit_code = EXIT_IO;
			break;
		}
		end_turn(s);
	}
	return s->exit_code;
}

/* ---- once a second ---- */

/* By time, and only when the next start would be faster for it: an idle daemon writes nothing. */
static void begin_checkpoint(struct server *s)
{
	uint64_t interval = option_number(&s->options, OPTION_CHECKPOINT_INTERVAL);

	if (interval == 0 || !store_checkpoint_due(s->store, s->now_ms - s->checkpoint_ms, interval))
		return;
	s->checkpoint_ms = s->now_ms;
	store_checkpoint(s->store);
}

void server_tick(struct server *s)
{
	uint64_t idle = option_number(&s->options, OPTION_CLIENT_IDLE_TIMEOUT);
	struct conn *c;

	s->now_ms = read_clock();
	TAILQ_FOREACH(c, &s->conns, all) {
		if (c->dead)
			continue;
		bool subscribed = cmd_client_listens(c->client);
		uint64_t silent = s->now_ms - c->active_ms;
		if (!subscribed || outq_size(&c->out) <= SUBSCRIBER_SOFT)
			c->soft_since_ms = 0;
		else if (c->soft_since_ms == 0)
			c->soft_since_ms = s->now_ms;
		else if (s->now_ms - c->soft_since_ms > SUBSCRIBER_SOFT_MS)
			close_greedy(c, "for subscribers");
		if ((idle && silent > idle && !subscribed && !c->waiting && !c->parked) ||
			(c->closing && silent > CLOSING_LIMIT_MS && !c->held))
			conn_kill(c);
	}
	store_scrub_tick(s->store);
	cmd_tick(s->env, store_now(s->store));
	if (!s->stopping) {
		begin_checkpoint(s);
		compaction_tick(s);
	}
	snapshots_tick(s);
	s->store_ready = true; /* should a notification ever be missed */
}

void server_say_status(struct server *s)
{
	struct store_stats stats = { 0 };
	const char *reason = NULL;
	char text[sizeof(s->status)];

	store_stats(s->store, &stats);
	struct store_scrub scrub;
	char damage[80] = "";
	store_scrub_state(s->store, &scrub);
	if (scrub.standing)
		snprintf(damage, sizeof(damage), "; damaged: at least %" PRIu64 " record%s, see kvctl verify", scrub.standing,
			num_plural(scrub.standing));
	bool refused = store_health(s->store, &reason) != 0, failed = *s->reload_problem != '\0';
	snprintf(text, sizeof(text), "%" PRIu64 " key%s, %" PRIu64 " MiB%s%s%s%s%s", stats.keys, num_plural(stats.keys),
		stats.live_bytes >> 20, damage, refused ? "; writes are refused: " : "", refused && reason ? reason : "",
		failed ? "; reload failed: " : "", s->reload_problem);
	if (strcmp(text, s->status) == 0)
		return;
	if (notify_status("%s", text))
		memcpy(s->status, text, sizeof(text));
}
