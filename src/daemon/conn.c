/* SPDX-License-Identifier: MIT */
#include "daemon/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "daemon/journal.h"
#include "daemon/request.h"
#include "daemon/server.h"

#define KEEP_OUTPUT 512                     /* bytes of output buffer an idle client may keep */
#define WRITE_MAX ((size_t)1 << 20)   /* and write */

bool conn_is_quiet(const struct conn *c)
{
	return !c->parked && !c->waiting && !c->ready && outq_size(&c->out) == 0;
}

/* ---- life ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	conn_read(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	conn_flush(arg);
}

static void on_wait_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	request_wait_timeout(arg);
}

struct conn *conn_new(struct server *s, int fd, uint64_t id)
{
	struct conn *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->peer);

	if (!c) {
		close(fd);
		return NULL;
	}
	c->server = s;
	c->fd = fd;
	c->id = id;
	c->since_ms = c->active_ms = s->now_ms;
	c->peer = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c->peer, &len);
	resp_reader_init(&c->reader, &s->limits);
	event_assign(&c->read_event, s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->write_event, s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	evtimer_assign(&c->wait_timer, s->base, on_wait_over, c);
	TAILQ_INSERT_TAIL(&s->conns, c, all);
	s->nconns++;
	c->client = cmd_client_new(s->env, id, c);
	c->reading = c->client && event_add(&c->read_event, NULL) == 0;
	return c->reading ? c : conn_free(c);
}

static void leave_lists(struct conn *c)
{
	struct server *s = c->server;

	TAILQ_REMOVE(&s->conns, c, all);
	s->nconns--;
	if (c->ready)
		TAILQ_REMOVE(c->stalled ? &s->stalled : &s->ready, c, ready_link);
	if (c->dirty)
		TAILQ_REMOVE(&s->dirty, c, dirty_link);
	if (c->held)
		TAILQ_REMOVE(&s->held, c, held_link);
	if (c->waiting)
		TAILQ_REMOVE(&s->waiting, c, wait_link);
	if (c->dead)
		TAILQ_REMOVE(&s->dead, c, dead_link);
}

struct conn *conn_free(struct conn *c)
{
	if (!c)
		return NULL;
	event_del(&c->wait_timer);
	event_del(&c->write_event);
	event_del(&c->read_event);
	leave_lists(c);
	c->server->output_bytes -= c->counted;
	cmd_client_free(c->client);
	buf_free(&c->pushed);
	outq_free(&c->out);
	conn_drop_large(c, c->nlarge);
	free(c->large);
	buf_free(&c->in);
	resp_reader_free(&c->reader);
	close(c->fd);
	free(c);
	return NULL;
}

void conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->server->output_bytes -= c->counted;
	c->counted = 0;
	event_del(&c->wait_timer);
	event_del(&c->write_event);
	event_del(&c->read_event);
	TAILQ_INSERT_TAIL(&c->server->dead, c, dead_link);
}

static void set_reading(struct conn *c, bool on)
{
	if (on == c->reading)
		return;
	c->reading = on;
	if (on ? event_add(&c->read_event, NULL) : event_del(&c->read_event))
		conn_kill(c);
}

static void set_writing(struct conn *c, bool on)
{
	if (on == c->writing)
		return;
	c->writing = on;
	if (on ? event_add(&c->write_event, NULL) : event_del(&c->write_event))
		conn_kill(c);
}

/* Brings events, lists and the end of the connection in line with its state; the last step of whatever changed it. */
void conn_settle(struct conn *c)
{
	if (c->dead)
		return;
	if (c->out.buf.failed) {
		conn_kill(c);
		return;
	}
	/* A request that is cut off by the end of input will never be whole. */
	if (c->eof && conn_can_run(c) && !c->ready)
		c->closing = true;
	set_reading(c, conn_can_run(c) && !c->ready && !c->eof && conn_may_read(c, 1));
	if (outq_ready(&c->out).len)
		server_queue_dirty(c->server, c);
	else if (c->closing && outq_size(&c->out) == 0)
		conn_kill(c);
}

void conn_close_after_replies(struct conn *c)
{
	c->closing = true;
	/* Inside its own command the reply is still to come. */
	if (c != c->server->running)
		conn_settle(c);
}

void conn_fetched(struct conn *c)
{
	if (c->dead)
		return;
	c->parked = false;
	server_queue_ready(c->server, c);
}

/* ---- output ---- */

void conn_push(struct conn *c, struct slice bytes)
{
	struct server *s = c->server;

	if (c->dead || c->closing)
		return;
	/* Its own reply is being written now; a push goes behind it, not into the middle. */
	if (c == s->running) {
		buf_append_slice(&c->pushed, bytes);
		return;
	}
	if (s->pushing && !c->pushed_to) {
		c->pushed_to = true;
		c->push_start = c->out.buf.len;
		TAILQ_INSERT_TAIL(&s->pushed, c, push_link);
	}
	buf_append_slice(&c->out.buf, bytes);
	server_account(s, c); /* at once: one message to many who do not read is much memory */
	if (!s->pushing)
		conn_settle(c);
}

/* Sends one run, at most so many bytes: how many have left. */
static size_t send_run(struct conn *c, size_t most)
{
	struct slice run = outq_ready(&c->out);
	size_t len = run.len < most ? run.len : most;
	ssize_t n = len ? send(c->fd, run.ptr, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n == -1 && errno != EAGAIN && errno != EINTR)
		conn_kill(c);
	if (n <= 0)
		return 0;
	outq_sent(&c->out, (size_t)n, KEEP_OUTPUT);
	c->active_ms = c->server->now_ms;
	c->total_out += (uint64_t)n;
	c->server->net_out += (uint64_t)n;
	server_account(c->server, c);
	return (size_t)n;
}

void conn_flush(struct conn *c)
{
	size_t left = WRITE_MAX, n;

	if (c->dead)
		return;
	/* A run ends where a large value begins or ends. */
	do {
		n = send_run(c, left);
		left -= n;
	} while (n && left && c->out.lents.count && !c->dead);
	if (!c->dead && n && outq_ready(&c->out).len && left)
		send_run(c, left);
	if (c->dead)
		return;
	set_writing(c, outq_ready(&c->out).len > 0);
	if (c->closing && outq_size(&c->out) == 0)
		conn_kill(c);
}

void conn_check_held(struct conn *c)
{
	struct server *s = c->server;

	if (outq_release(&c->out, s->released) && !c->dead)
		server_queue_dirty(s, c);
	if (!outq_held(&c->out)) {
		TAILQ_REMOVE(&s->held, c, held_link);
		c->held = false;
	}
}

void conn_refuse_held(struct conn *c, struct slice error)
{
	if (outq_refuse(&c->out, error))
		conn_kill(c);
	TAILQ_REMOVE(&c->server->held, c, held_link);
	c->held = false;
	server_account(c->server, c);
	conn_settle(c);
}
