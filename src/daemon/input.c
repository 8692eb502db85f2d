/* SPDX-License-Identifier: MIT
 *
 * The way in: what the socket has is run where the shared buffer has it; what is left over waits in the connection's own
 * buffer. The bytes of a long argument go to a block of their own instead, where commands and store take them over.
 */
#include "daemon/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "daemon/journal.h"
#include "daemon/request.h"
#include "daemon/server.h"

#define READ_MIN ((size_t)16 << 10)
#define READ_MAX ((size_t)256 << 10) /* bytes one connection may read in one turn */
#define KEEP_ARGS 256                /* entries of the argument table an idle client may keep */

/* How many of `room` bytes may be read; 0: none any more. */
size_t conn_may_read(const struct conn *c, size_t room)
{
	return c->server->stopping && c->may_read < room ? c->may_read : room;
}

/* Drops what has been run; an empty buffer goes back to the allocator. */
static void trim_input(struct conn *c)
{
	if (c->in_at < c->in.len) {
		if (c->in_at > c->in.len / 2) {
			buf_consume(&c->in, c->in_at);
			c->in_at = 0;
		}
		return;
	}
	buf_free(&c->in);
	c->in_at = 0;
	if (c->nlarge == 0) {
		free(c->large);
		c->large = NULL;
		c->large_cap = 0;
	}
	if (c->reader.cap > KEEP_ARGS)
		request_reset_reader(c);
}

static void check_query_limit(struct conn *c)
{
	if (c->in.len - c->in_at + c->large_bytes <= c->server->query_limit)
		return;
	journal_write(JOURNAL_CLIENT_CLOSED, LOG_LEVEL_WARNING,
		"client %llu (uid %u, pid %d) closed: its request is longer than client-query-limit",
		(unsigned long long)c->id, (unsigned)c->peer.uid, (int)c->peer.pid);
	conn_kill(c);
}

/* After a read of n bytes (0: end, -1: errno). True when there are bytes. */
static bool take_read(struct conn *c, ssize_t n)
{
	if (n == -1 && errno != EAGAIN && errno != EINTR)
		conn_kill(c);
	if (n == 0)
		c->eof = true;
	if (n <= 0)
		return false;
	c->active_ms = c->server->now_ms;
	c->total_in += (uint64_t)n;
	c->may_read -= c->server->stopping ? (size_t)n : 0;
	c->server->net_in += (uint64_t)n;
	return true;
}

/* ---- long arguments ---- */

size_t conn_count_large(const struct conn *c, size_t first, size_t n)
{
	size_t bytes = 0;

	for (size_t i = first; i < first + n; i++)
		bytes += c->large[i]->value.len;
	return bytes;
}

void conn_drop_large(struct conn *c, size_t n)
{
	if (n == 0)
		return;
	c->large_bytes -= conn_count_large(c, 0, n);
	for (size_t i = 0; i < n; i++)
		block_unref(c->large[i]);
	c->nlarge -= n;
	c->large_given -= n < c->large_given ? n : c->large_given;
	memmove(c->large, c->large + n, c->nlarge * sizeof(*c->large));
}

int conn_give_large(struct conn *c)
{
	size_t complete = c->nlarge - (c->large_want > 0);

	if (c->large_given == complete)
		return RESP_LARGE;
	int r = resp_large_give(&c->reader, c->large[c->large_given]->value.ptr);
	c->large_given += r == 0;
	return r;
}

/* n bytes have been put behind what is there of the last one. */
static void take_large(struct conn *c, size_t n)
{
	struct block *b = c->large[c->nlarge - 1];

	block_take(b, n);
	c->large_bytes += n;
	if (b->value.len == c->large_want)
		c->large_want = 0;
}

static struct block *add_large(struct conn *c, size_t size)
{
	if (c->nlarge == c->large_cap) {
		size_t cap = c->large_cap ? c->large_cap * 2 : 4;
		struct block **large = reallocarray(c->large, cap, sizeof(struct block *));
		if (!large)
			return NULL;
		c->large = large;
		c->large_cap = cap;
	}
	struct block *b = block_new(store_blocks(c->server->store), BLOCK_LEAST, size);
	if (b)
		c->large[c->nlarge++] = b;
	return b;
}

/* Takes what there is of a long argument out of the input; the rest is received where it will stay. */
static void begin_large(struct conn *c, size_t size)
{
	size_t at = c->in_at + c->reader.offset, n = c->in.len - at < size ? c->in.len - at : size;
	struct block *b = add_large(c, size);

	if (!b || block_grow(b, n)) {
		conn_kill(c);
		return;
	}
	c->large_want = size;
	memcpy(b->memory, c->in.ptr + at, n);
	take_large(c, n);
	memmove(c->in.ptr + at, c->in.ptr + at + n, c->in.len - at - n);
	c->in.len -= n;
}

/* Runs what stands in the connection's own buffer. */
static void run_own_input(struct conn *c)
{
	size_t size;

	do {
		c->in_at += request_run(c, c->in.ptr + c->in_at, c->in.len - c->in_at);
		size = c->dead || c->closing || c->large_want ? 0 : resp_large_size(&c->reader);
		if (size)
			begin_large(c, size);
	} while (size && !c->dead && c->large_want == 0);
	trim_input(c);
}

/* Memory follows the bytes that have come, twice as much of it each time. */
static void read_to_large(struct conn *c)
{
	struct block *b = c->large[c->nlarge - 1];
	size_t left = c->large_want - b->value.len, room = left < READ_MAX ? left : READ_MAX, cap = b->cap;

	if (b->value.len + room > cap)
		cap = b->value.len + room > cap * 2 ? b->value.len + room : cap * 2 < c->large_want ? cap * 2 : c->large_want;
	if (block_grow(b, cap)) {
		conn_kill(c);
		return;
	}
	ssize_t n = recv(c->fd, b->memory + b->value.len, conn_may_read(c, room), 0);
	if (!take_read(c, n))
		return;
	take_large(c, (size_t)n);
	if (c->large_want == 0)
		run_own_input(c);
}

/* ---- reading ---- */

/* The usual case: nothing is left over, so the bytes are run where the shared buffer has them. */
static void read_to_scratch(struct conn *c)
{
	struct server *s = c->server;
	ssize_t n = recv(c->fd, s->scratch, conn_may_read(c, SERVER_SCRATCH), 0);

	if (!take_read(c, n))
		return;
	size_t used = request_run(c, s->scratch, (size_t)n);
	if (used < (size_t)n && !c->dead && !c->closing) {
		buf_append(&c->in, s->scratch + used, (size_t)n - used);
		if (c->in.failed)
			conn_kill(c);
		else if (resp_large_size(&c->reader))
			run_own_input(c);
	} else {
		trim_input(c);
	}
}

/* A request is incomplete. Memory follows the bytes that have come, not the size that was announced. */
static void read_to_own(struct conn *c)
{
	buf_consume(&c->in, c->in_at);
	c->in_at = 0;
	size_t want = resp_wants(&c->reader, c->in.len), most = c->in.len > READ_MAX ? c->in.len : READ_MAX;
	size_t room = want < READ_MIN ? READ_MIN : want < most ? want : most;

	if (buf_reserve(&c->in, room)) {
		conn_kill(c);
		return;
	}
	ssize_t n = recv(c->fd, c->in.ptr + c->in.len, conn_may_read(c, room < READ_MAX ? room : READ_MAX), 0);
	if (!take_read(c, n))
		return;
	c->in.len += (size_t)n;
	run_own_input(c);
}

void conn_read(struct conn *c)
{
	struct server *s = c->server;

	if (!conn_can_run(c) || c->ready || c->eof || !conn_may_read(c, 1))
		return;
	/* Who has a write under way, or sends something large, waits for the disk like the disk's other customers. */
	if (server_is_behind(s) && (c->held || c->large_want || c->in.len >= SERVER_SMALL))
		server_stall(s, c);
	else if (c->large_want)
		read_to_large(c);
	else if (c->in.len)
		read_to_own(c);
	else
		read_to_scratch(c);
	if (!c->dead)
		check_query_limit(c);
	conn_settle(c);
}

void conn_work(struct conn *c)
{
	if (conn_can_run(c) && c->in.len)
		run_own_input(c);
	conn_settle(c);
}
