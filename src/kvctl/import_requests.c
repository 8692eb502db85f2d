/* SPDX-License-Identifier: MIT
 *
 * A stream of requests, sent as it is. It is looked through only to know where each request ends: so they can
 * be counted and numbered, and a stream that ends in the middle of one is noticed instead of being waited
 * for.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/num.h"
#include "kvctl/import.h"
#include "kvctl/output.h"

#define CHUNK 65536
#define HEAD_MAX 32 /* "*1048576" is far shorter */

struct scanner {
	enum { AT_START, IN_INLINE, IN_HEAD, IN_BULK } state;
	char head[HEAD_MAX];
	size_t head_len;
	uint64_t words;    /* of this request still to come */
	uint64_t skip;     /* bytes of this word still to come, its line end included */
	bool blank;        /* nothing but blanks on this inline line so far */
	uint64_t requests; /* that have ended */
};

static bool end_head(struct scanner *s)
{
	struct slice head = slice(s->head, s->head_len);
	int64_t n;

	if (head.len && head.ptr[head.len - 1] == '\r')
		head.len--;
	if (head.len < 2 || num_parse_i64(slice_skip(head, 1), &n))
		return false;
	s->head_len = 0;
	if (head.ptr[0] == '*' && s->words == 0) {
		/* A request of nothing has no reply. */
		s->state = n > 0 ? IN_HEAD : AT_START;
		s->words = n > 0 ? (uint64_t)n : 0;
		return true;
	}
	s->skip = (uint64_t)n + 2;
	s->state = IN_BULK;
	return head.ptr[0] == '$' && s->words && n >= 0;
}

static void end_word(struct scanner *s)
{
	s->state = IN_HEAD;
	if (--s->words)
		return;
	s->state = AT_START;
	s->requests++;
}

/* Takes bytes up to the end of a request, or all. Returns how many; 0: malformed. */
static size_t scan(struct scanner *s, const char *p, size_t len)
{
	uint64_t before = s->requests;
	size_t i = 0;

	while (i < len && s->requests == before) {
		char c = p[i];
		if (s->state == IN_BULK) {
			size_t n = s->skip < len - i ? (size_t)s->skip : len - i;
			i += n;
			s->skip -= n;
			if (!s->skip)
				end_word(s);
			continue;
		}
		i++;
		if (s->state == AT_START) {
			s->state = c == '*' ? IN_HEAD : IN_INLINE;
			s->blank = true;
		}
		if (s->state == IN_HEAD && c == '\n') {
			if (!end_head(s))
				return 0;
		} else if (s->state == IN_HEAD) {
			if (s->head_len == HEAD_MAX)
				return 0;
			s->head[s->head_len++] = c;
		} else if (c == '\n') {
			s->state = AT_START;
			s->requests += !s->blank;
		} else {
			s->blank = s->blank && (c == ' ' || c == '\t' || c == '\r');
		}
	}
	return i;
}

struct stream {
	struct loader *l;
	struct scanner scanner;
	uint64_t start, sent, answered; /* requests: first wanted, whole ones on their way, replies taken */
	enum kvctl_exit code;
};

static void take_reply(struct stream *s, const redisReply *r)
{
	s->answered++;
	if (r->type != REDIS_REPLY_ERROR)
		s->l->stored++;
	else if (loader_bad(s->l, s->start - 1 + s->answered, reply_slice(r)))
		s->code = KVCTL_REFUSED;
}

/* Takes the replies that have come; with wait, at least one. */
static enum kvctl_exit take_replies(struct stream *s, bool wait)
{
	redisContext *c = s->l->k->redis;
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	void *r = NULL;

	if (!wait && poll(&p, 1, 0) <= 0)
		return KVCTL_DONE;
	if (wait) {
		enum kvctl_exit code = connect_reply(s->l->k, (redisReply **)&r);
		if (code)
			return code;
	} else if (redisBufferRead(c) != REDIS_OK || redisGetReplyFromReader(c, &r) != REDIS_OK) {
		return refuse(s->l->k, KVCTL_NO_CONNECTION,
			"kvd closed the connection after %" PRIu64 " replies", s->answered);
	}
	while (r) {
		take_reply(s, r);
		freeReplyObject(r);
		r = NULL;
		if (redisGetReplyFromReader(c, &r) != REDIS_OK)
			break;
	}
	s->l->view.items = s->answered;
	progress_show(&s->l->progress, &s->l->view);
	return KVCTL_DONE;
}

static enum kvctl_exit send_bytes(struct stream *s, const char *p, size_t len)
{
	int fd = s->l->k->redis->fd;
	uint64_t ms = s->l->k->timeout_ms;
	int limit = ms == 0 ? -1 : ms < INT32_MAX ? (int)ms : INT32_MAX;

	while (len) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return refuse(
				s->l->k, KVCTL_NO_CONNECTION, "the connection failed: %s", strerror(errno));
		/* Room for more, or replies, without which there may never be room. */
		if (poll(&poll_fd, 1, limit) == 0)
			return refuse(s->l->k, KVCTL_NO_CONNECTION, CONNECT_TOO_LATE);
		enum kvctl_exit code = take_replies(s, false);
		if (code)
			return code;
	}
	return KVCTL_DONE;
}

/* Sends what of a chunk belongs to wanted requests. */
static enum kvctl_exit send_chunk(struct stream *s, const char *p, size_t len)
{
	size_t at = 0, from = 0;

	while (at < len) {
		bool wanted = s->scanner.requests + 1 >= s->start;
		size_t n = scan(&s->scanner, p + at, len - at);
		if (n == 0) {
			loader_bad(s->l, s->scanner.requests + 1, SLICE("no request of the protocol"));
			len = at;
			s->code = KVCTL_REFUSED;
			break;
		}
		at += n;
		if (!wanted)
			from = at;
	}
	enum kvctl_exit code = send_bytes(s, p + from, len - from);
	s->sent = s->scanner.requests < s->start - 1 ? 0 : s->scanner.requests - (s->start - 1);
	return code;
}

static enum kvctl_exit send_all(struct stream *s, FILE *file)
{
	char *chunk = malloc(CHUNK);
	enum kvctl_exit code = KVCTL_DONE;
	ssize_t n = 0;

	if (!chunk)
		return refuse(s->l->k, KVCTL_REFUSED, "out of memory");
	while (!code && !s->code && !signals_came() && (n = read(fileno(file), chunk, CHUNK)) > 0) {
		s->l->view.done += (uint64_t)n;
		code = send_chunk(s, chunk, (size_t)n);
		if (!code)
			code = take_replies(s, false);
	}
	if (!code && !s->code && loader_interrupted(s->l, s->start + s->sent))
		s->code = KVCTL_REFUSED;
	else if (n < 0)
		s->code = refuse(s->l->k, KVCTL_REFUSED, "cannot read %s: %s", s->l->source, strerror(errno));
	/* The last line of a file may have no end; a request that is counted by lengths must be whole. */
	if (!code && !s->code && s->scanner.state == IN_INLINE)
		code = send_chunk(s, "\r\n", 2);
	if (!code && !s->code && s->scanner.state != AT_START) {
		loader_bad(
			s->l, s->scanner.requests + 1, SLICE("the stream ends in the middle of the request"));
		s->code = KVCTL_REFUSED;
	}
	free(chunk);
	return code;
}

enum kvctl_exit import_requests(struct loader *l, FILE *file, uint64_t start)
{
	struct stream s = { .l = l, .start = start };
	enum kvctl_exit code = send_all(&s, file);

	while (!code && s.answered < s.sent)
		code = take_replies(&s, true);
	/* Where replies stopped, not where sending did, is where to go on. */
	if (code == KVCTL_NO_CONNECTION && (!l->failed || start + s.answered < l->failed))
		l->failed = start + s.answered;
	connect_close(l->k);
	return code ? code : s.code;
}
