/* SPDX-License-Identifier: MIT */
#include "daemon/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "daemon/server.h"

#define REQUESTS_PER_TURN 256
#define HEAVY ((size_t)1 << 20) /* bytes of a request and its reply together */

void request_reset_reader(struct conn *c)
{
	resp_reader_free(&c->reader);
	resp_reader_init(&c->reader, &c->server->limits);
	c->large_given = 0;
}

/* ---- a batch ---- */

static int keep_request(struct server *s, struct server_request *r, const struct resp_request *req, size_t at)
{
	size_t used = r == s->batch ? 0 : r[-1].argv + r[-1].argc;

	if (s->argv_cap - used < req->argc) {
		size_t cap = (used + req->argc) * 2 + SERVER_BATCH * 4;
		struct slice *argv = realloc(s->argv, cap * sizeof(*argv));
		if (!argv)
			return -ENOMEM;
		s->argv = argv;
		s->argv_cap = cap;
	}
	memcpy(s->argv + used, req->argv, req->argc * sizeof(*req->argv));
	*r = (struct server_request){ .argv = used, .argc = req->argc, .at = at, .size = req->size, .bytes = req->size };
	return 0;
}

static int read_request(struct conn *c, const char *data, size_t len, struct resp_request *ret)
{
	int r = len ? resp_read(&c->reader, data, len, ret) : RESP_MORE;

	while (r == RESP_LARGE) {
		r = conn_give_large(c);
		if (r)
			break;
		r = resp_read(&c->reader, data, len, ret);
	}
	return r;
}

/*
 * Parses up to a batch of requests. Returns what ended it: 0 (it is full), RESP_MORE, RESP_LARGE (a long argument has to be received),
 * RESP_BAD or -ENOMEM.
 */
static int parse_batch(struct conn *c, const char *data, size_t len, size_t most, size_t *ret_n)
{
	struct server *s = c->server;
	struct resp_request req;
	size_t n = 0, at = 0, given = 0;
	int r = 0;

	*ret_n = 0;
	while (n < most && r == 0) {
		r = read_request(c, data + at, len - at, &req);
		if (r)
			break;
		r = req.argc ? keep_request(s, &s->batch[n], &req, at) : 0;
		if (req.argc == 0)
			s->batch[n] = (struct server_request){ .argv = n ? s->batch[n - 1].argv + s->batch[n - 1].argc : 0,
				.at = at, .size = req.size, .bytes = req.size };
		if (r == 0 && c->large_given > given) {
			s->batch[n].large = c->large_given - given;
			s->batch[n].bytes += conn_count_large(c, given, s->batch[n].large);
			given = c->large_given;
		}
		n += r == 0;
		bool framed = data[at] == '*';
		at += req.size;
		/* Arguments of an inline line may live in the reader, where the next line would overwrite them. */
		if (!framed)
			break;
	}
	*ret_n = n;
	return r;
}

static void prefetch_batch(struct conn *c, size_t n)
{
	struct server *s = c->server;
	size_t probes = 0;

	for (size_t i = 0; i < n && probes < STORE_PREFETCH_MAX; i++)
		if (s->batch[i].argc)
			probes += cmd_probe(c->client, s->argv + s->batch[i].argv, s->batch[i].argc, s->probes + probes,
				STORE_PREFETCH_MAX - probes);
	if (probes > 1)
		store_prefetch(s->store, s->probes, probes);
}

/* ---- one request ---- */

static void hold_reply(struct conn *c, size_t start, uint64_t position, unsigned replies)
{
	struct server *s = c->server;

	if (position == 0 || start == c->out.buf.len || position <= store_releasable(s->store))
		return;
	if (outq_hold(&c->out, start, position, replies, s->turn)) {
		conn_kill(c);
		return;
	}
	if (!c->held) {
		c->held = true;
		TAILQ_INSERT_TAIL(&s->held, c, held_link);
	}
}

/* What the command said to its own client goes behind the reply. */
static void append_pushed(struct conn *c, uint64_t position)
{
	size_t start = c->out.buf.len;

	if (c->pushed.len == 0)
		return;
	buf_append_slice(&c->out.buf, buf_slice(&c->pushed));
	hold_reply(c, start, position, 0);
	buf_free(&c->pushed);
}

void request_begin_pushes(struct server *s)
{
	s->pushing = true;
}

void request_end_pushes(struct server *s, uint64_t position)
{
	struct conn *to;

	s->pushing = false;
	while ((to = TAILQ_FIRST(&s->pushed))) {
		TAILQ_REMOVE(&s->pushed, to, push_link);
		to->pushed_to = false;
		if (to->dead)
			continue;
		hold_reply(to, to->push_start, position, 0);
		server_account(s, to);
		conn_settle(to);
	}
}

/* The timer counts from the loop's own clock, which stands still while requests run: it may be early. */
static void arm_wait(struct conn *c, uint64_t left_ns)
{
	uint64_t us = left_ns / 1000 + 1;
	struct timeval tv = { (time_t)(us / 1000000), (suseconds_t)(us % 1000000) };

	evtimer_add(&c->wait_timer, &tv);
}

static void begin_wait(struct conn *c, const struct cmd_result *result)
{
	/* Longer than a century is for ever all the same, and does not overflow. */
	uint64_t ms = (uint64_t)(result->wait_ms < INT64_C(3200000000000) ? result->wait_ms : INT64_C(3200000000000)), ns = ms * 1000000;

	c->waiting = true;
	/* A position that was taken back must not be waited for: it is given out again. UINT64_MAX: only the time ends it. */
	c->wait_position = result->position;
	if (c->wait_position != UINT64_MAX && c->wait_position > store_position(c->server->store))
		c->wait_position = store_position(c->server->store);
	TAILQ_INSERT_TAIL(&c->server->waiting, c, wait_link);
	c->wait_end_ns = clock_mono_ns(&clock_system) + ns;
	if (ns)
		arm_wait(c, ns);
}

void request_wait_timeout(struct conn *c)
{
	uint64_t now = clock_mono_ns(&clock_system);

	if (now < c->wait_end_ns)
		arm_wait(c, c->wait_end_ns - now);
	else
		request_wait_done(c, false);
}

void request_wait_done(struct conn *c, bool reached)
{
	struct server *s = c->server;

	if (c->dead || !c->waiting)
		return;
	c->waiting = false;
	TAILQ_REMOVE(&s->waiting, c, wait_link);
	evtimer_del(&c->wait_timer);
	cmd_wait_done(c->client, reached, &c->out.buf);
	if (c->last_request)
		c->closing = true;
	server_account(s, c);
	server_queue_ready(s, c);
	conn_settle(c);
}

static void run_one(struct conn *c, const struct slice *argv, const struct server_request *r)
{
	struct server *s = c->server;
	struct cmd_result result = { 0 };
	struct cmd_large large = { c->large, r->large, &c->out.lents };
	size_t start = c->out.buf.len;

	s->running = c;
	request_begin_pushes(s);
	enum cmd_status status = cmd_run(c->client, argv, r->argc, &large, &c->out.buf, &result);
	s->running = NULL;
	uint64_t position = status == CMD_DONE || status == CMD_CLOSE ? result.position : 0;
	if (status == CMD_PENDING || status == CMD_PAUSED)
		c->parked = true;
	c->paused = status == CMD_PAUSED;
	hold_reply(c, start, position, result.replies);
	append_pushed(c, position);
	request_end_pushes(s, position); /* what others were told is seen no earlier than the reply */
	if (status == CMD_WAIT)
		begin_wait(c, &result);
	if (status == CMD_CLOSE || (status == CMD_DONE && c->last_request))
		c->closing = true;
	server_account(s, c);
}

/* A large value is work of many milliseconds for the processor: one of them in a turn, the others in the next ones. */
static bool must_yield(const struct conn *c, const struct server_request *r)
{
	return c->server->heavy_done && (c->heavy || r->bytes > HEAVY);
}

static void note_heavy(struct conn *c, size_t bytes)
{
	c->heavy = bytes > HEAVY;
	c->server->heavy_done |= c->heavy;
}

/* Runs n parsed requests. Returns the bytes done with; fewer than all when one stopped the connection. */
static size_t run_batch(struct conn *c, size_t n, bool *ret_yield)
{
	struct server *s = c->server;
	size_t done = 0;

	for (size_t i = 0; i < n && conn_can_run(c); i++) {
		const struct server_request *r = &s->batch[i];
		size_t before = outq_size(&c->out);
		*ret_yield = must_yield(c, r);
		if (*ret_yield)
			break;
		if (r->argc)
			run_one(c, s->argv + r->argv, r);
		note_heavy(c, r->bytes + outq_size(&c->out) - before);
		if (c->parked)
			break;
		conn_drop_large(c, r->large);
		done = r->at + r->size;
	}
	return done;
}

static void answer_bad(struct conn *c)
{
	buf_append_str(&c->out.buf, "-ERR ");
	buf_append_str(&c->out.buf, c->reader.error);
	buf_append_str(&c->out.buf, "\r\n");
	c->closing = true;
	server_account(c->server, c);
}

/*
 * While the store is behind: one small request of a client that waits for nothing. So the backlog grows little more,
 * and one client's large values do not keep the others from being served. True: this one must wait.
 */
static bool must_stall(struct conn *c, const struct server_request *next)
{
	return c->held || (next && next->bytes > SERVER_SMALL) || !server_takes_small(c->server);
}

size_t request_run(struct conn *c, const char *data, size_t len)
{
	struct server *s = c->server;
	size_t at = 0, left = REQUESTS_PER_TURN, n;
	bool stall = false, yield = false;
	int r = 0;

	while (at < len && left && r == 0 && !yield && conn_can_run(c)) {
		bool behind = server_is_behind(s);
		stall = behind && must_stall(c, NULL);
		if (stall)
			break;
		r = parse_batch(c, data + at, len - at, behind ? 1 : left < SERVER_BATCH ? left : SERVER_BATCH, &n);
		stall = behind && n && must_stall(c, s->batch);
		if (stall)
			break;
		if (n > 1)
			prefetch_batch(c, n);
		cmd_wake(s->env);
		at += run_batch(c, n, &yield);
		left -= n;
	}
	if (c->dead || c->closing)
		return len;
	if (stall || yield || !conn_can_run(c)) {
		/* The reader is ahead of what was run; it begins again at the request that comes next. */
		request_reset_reader(c);
		if (stall)
			server_stall(s, c);
		else if (yield)
			server_queue_ready(s, c);
		return at;
	}
	if (r == RESP_BAD) {
		answer_bad(c);
		return len;
	}
	if (r < 0)
		conn_kill(c);
	else if (r == 0 && at < len)
		server_queue_ready(s, c);
	return at;
}
