/* SPDX-License-Identifier: MIT
 *
 * import --from-redis: keys by SCAN, values and expiry times by transactions, so that the two belong
 * together. What is no string is counted by type.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/import.h"
#include "kvctl/list.h"
#include "kvctl/output.h"

#define SCAN_COUNT "1000"
#define TYPES 8      /* Redis has six and modules */
#define NAMED_MOST 5 /* keys that are left out and named */
#define DEFAULT_PORT 6379

struct server {
	struct kvctl *k;
	struct loader *l;
	redisContext *c;
	char name[PATHS_MAX];
	char cursor[NUM_I64_CHARS];
	uint64_t keys, chunk; /* seen so far; asked for at a time */
	struct {
		char name[32];
		uint64_t n;
	} types[TYPES];
	uint64_t others;
	struct buf named;
};

/* Without a reply errno must still be that of the failed call. */
static enum kvctl_exit refuse_server(struct server *s, const redisReply *r)
{
	bool late = !r && s->c && s->c->err == REDIS_ERR_IO && errno == EAGAIN;

	if (r)
		return refuse(s->k, KVCTL_REFUSED, "%s: %s", s->name,
			r->type == REDIS_REPLY_ERROR ? r->str : "unexpected reply");
	return refuse(s->k, KVCTL_NO_CONNECTION, "%s: %s", s->name,
		late                                                  ? CONNECT_TOO_LATE
		: s->c && s->c->err == REDIS_ERR_IO && !*s->c->errstr ? "the connection failed"
		: s->c                                                ? s->c->errstr
								      : "out of memory");
}

static enum kvctl_exit take(struct server *s, redisReply **ret)
{
	void *r = NULL;

	errno = 0;
	if (redisGetReply(s->c, &r) != REDIS_OK || !r)
		return refuse_server(s, NULL);
	*ret = r;
	return KVCTL_DONE;
}

static void send_word(struct server *s, const char *command, const char *key, size_t len)
{
	const char *argv[2] = { command, key };
	size_t lengths[2] = { strlen(command), len };

	redisAppendCommandArgv(s->c, key ? 2 : 1, argv, lengths);
}

static enum kvctl_exit ask(
	struct server *s, const char *command, const char *argument, int type, redisReply **ret)
{
	enum kvctl_exit code;

	send_word(s, command, argument, argument ? strlen(argument) : 0);
	code = take(s, ret);
	if (!code && (*ret)->type != type) {
		code = refuse_server(s, *ret);
		freeReplyObject(*ret);
	}
	return code;
}

/* ---- connecting ---- */

/* HOST, HOST:PORT, [ADDRESS]:PORT */
static enum kvctl_exit connect_host(struct server *s)
{
	char host[PATHS_MAX], *colon;
	int64_t port = DEFAULT_PORT;

	strcpy(host, s->name);
	colon = strrchr(host, ':');
	if (colon && (strchr(host, ':') == colon || colon[-1] == ']')) {
		if (num_parse_i64(slice_str(colon + 1), &port) || port < 1 || port > 65535)
			return refuse(
				s->k, KVCTL_USAGE, "\"%s\" is no port; ports are 1 to 65535", colon + 1);
		*colon = 0;
	}
	char *end = host + strlen(host);
	bool bracketed = host[0] == '[' && end[-1] == ']';
	if (bracketed)
		end[-1] = 0;
	s->c = s->k->timeout_ms ? redisConnectWithTimeout(host + bracketed, (int)port, connect_limit(s->k))
				: redisConnect(host + bracketed, (int)port);
	return KVCTL_DONE;
}

static enum kvctl_exit open_server(struct server *s, const struct args *a)
{
	const char *password = getenv("REDISCLI_AUTH");
	char digits[NUM_I64_CHARS + 1] = "";
	struct slice number;
	redisReply *r = NULL;
	enum kvctl_exit code = KVCTL_DONE;

	if (strchr(s->name, '/'))
		s->c = s->k->timeout_ms ? redisConnectUnixWithTimeout(s->name, connect_limit(s->k)) : redisConnectUnix(s->name);
	else
		code = connect_host(s);
	if (code)
		return code;
	if (!s->c || s->c->err)
		return refuse(s->k, KVCTL_NO_CONNECTION, "cannot connect to %s: %s", s->name,
			s->c ? s->c->errstr : "out of memory");
	if (s->k->timeout_ms)
		redisSetTimeout(s->c, connect_limit(s->k));
	if (password && *password) {
		code = ask(s, "AUTH", password, REDIS_REPLY_STATUS, &r);
		if (!code)
			freeReplyObject(r);
	}
	if (!code && args_option(a, "from-database", &number)) {
		snprintf(digits, sizeof(digits), "%.*s", (int)number.len, number.ptr);
		code = ask(s, "SELECT", digits, REDIS_REPLY_STATUS, &r);
		if (!code)
			freeReplyObject(r);
	}
	return code;
}

/* ---- what is left out ---- */

static void count_other(struct server *s, const redisReply *type, const redisReply *key)
{
	const char *name = type->type == REDIS_REPLY_STATUS ? type->str : "unknown";
	size_t i = 0;

	while (i < TYPES - 1 && s->types[i].n && strcmp(s->types[i].name, name) != 0)
		i++;
	snprintf(s->types[i].name, sizeof(s->types[i].name), "%s", name);
	s->types[i].n++;
	if (s->others++ >= NAMED_MOST)
		return;
	buf_append_str(&s->named, s->named.len ? ", " : "");
	escape(&s->named, reply_slice(key), "");
}

static void complain_others(struct server *s)
{
	struct buf text = { 0 };

	if (!s->others)
		return;
	buf_printf(&text, "left out %" PRIu64 " key%s that are no strings (", s->others,
		num_plural(s->others));
	for (size_t i = 0; i < TYPES && s->types[i].n; i++)
		buf_printf(&text, "%s%" PRIu64 " %s", i ? ", " : "", s->types[i].n, s->types[i].name);
	buf_printf(
		&text, "): %.*s%s", (int)s->named.len, s->named.ptr, s->others > NAMED_MOST ? ", ..." : "");
	complain(s->k, "%.*s", (int)text.len, text.ptr);
	buf_free(&text);
}

/* ---- copying ---- */

static void send_transaction(struct server *s, redisReply **keys, size_t n)
{
	send_word(s, "MULTI", NULL, 0);
	for (size_t i = 0; i < n; i++) {
		send_word(s, "GET", keys[i]->str, keys[i]->len);
		send_word(s, "PTTL", keys[i]->str, keys[i]->len);
	}
	send_word(s, "EXEC", NULL, 0);
}

/* The reply of EXEC, an array of 2 n; those before it say OK and QUEUED. */
static enum kvctl_exit take_transaction(struct server *s, size_t n, redisReply **ret)
{
	redisReply *r = NULL;
	enum kvctl_exit code = KVCTL_DONE;

	for (size_t i = 0; !code && i < 2 * n + 2; i++) {
		freeReplyObject(r);
		r = NULL;
		code = take(s, &r);
	}
	if (!code && (r->type != REDIS_REPLY_ARRAY || r->elements != 2 * n)) {
		code = refuse_server(s, r);
		freeReplyObject(r);
	}
	if (!code)
		*ret = r;
	return code;
}

static enum kvctl_exit put_key(
	struct server *s, const redisReply *key, const redisReply *value, const redisReply *ttl)
{
	redisReply *type = NULL;
	enum kvctl_exit code;

	s->keys++;
	if (value->type == REDIS_REPLY_STRING && ttl->type == REDIS_REPLY_INTEGER && ttl->integer != -2)
		return loader_put(s->l, s->keys, reply_slice(key), reply_slice(value),
			ttl->integer == 0 ? 1 : ttl->integer);
	if (value->type == REDIS_REPLY_ERROR && strncmp(value->str, "WRONGTYPE", 9) == 0) {
		send_word(s, "TYPE", key->str, key->len);
		code = take(s, &type);
		if (!code) {
			count_other(s, type, key);
			freeReplyObject(type);
		}
		return code;
	}
	/* Gone since the scan. */
	if (value->type == REDIS_REPLY_NIL || ttl->type == REDIS_REPLY_INTEGER)
		return KVCTL_DONE;
	return loader_bad(s->l, s->keys,
		value->type == REDIS_REPLY_ERROR ? reply_slice(value) : SLICE("unexpected reply"));
}

static enum kvctl_exit copy_keys(struct server *s, redisReply **keys, size_t n)
{
	redisReply *r = NULL;
	size_t bytes = 1;
	enum kvctl_exit code;

	send_transaction(s, keys, n);
	code = take_transaction(s, n, &r);
	if (code)
		return code;
	for (size_t i = 0; !code && i < n; i++) {
		bytes += r->element[2 * i]->len;
		code = put_key(s, keys[i], r->element[2 * i], r->element[2 * i + 1]);
	}
	s->chunk = range_next_page(s->chunk, n, bytes);
	freeReplyObject(r);
	return code;
}

static bool is_scan(const redisReply *r)
{
	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
		r->element[0]->len >= NUM_I64_CHARS || r->element[1]->type != REDIS_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i < r->element[1]->elements; i++)
		if (r->element[1]->element[i]->type != REDIS_REPLY_STRING)
			return false;
	return true;
}

static enum kvctl_exit copy_page(struct server *s)
{
	const char *argv[] = { "SCAN", s->cursor, "COUNT", SCAN_COUNT };
	redisReply *r = NULL, *keys;
	enum kvctl_exit code;

	redisAppendCommandArgv(s->c, 4, argv, NULL);
	code = take(s, &r);
	if (code)
		return code;
	if (!is_scan(r)) {
		code = refuse_server(s, r);
		freeReplyObject(r);
		return code;
	}
	strcpy(s->cursor, r->element[0]->str);
	keys = r->element[1];
	for (size_t at = 0, n; !code && !signals_came() && at < keys->elements; at += n) {
		n = keys->elements - at < s->chunk ? keys->elements - at : (size_t)s->chunk;
		code = copy_keys(s, keys->element + at, n);
		s->l->view.done = s->keys;
	}
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit copy_all(struct server *s)
{
	redisReply *r = NULL;
	enum kvctl_exit code = ask(s, "DBSIZE", NULL, REDIS_REPLY_INTEGER, &r);

	if (code)
		return code;
	s->l->view.total = (uint64_t)r->integer;
	freeReplyObject(r);
	strcpy(s->cursor, "0");
	do
		code = copy_page(s);
	while (!code && !signals_came() && strcmp(s->cursor, "0") != 0);
	return code || !signals_came() ? code : KVCTL_REFUSED;
}

enum kvctl_exit import_from_server(struct kvctl *k, const struct args *a, struct slice address)
{
	struct server s = { .k = k, .chunk = 16 };
	enum kvctl_exit code;

	if (a->n || args_option(a, "format", NULL) || args_option(a, "header", NULL) ||
		args_option(a, "start", NULL))
		return refuse(k, KVCTL_USAGE, "--from-redis excludes FILE, --format, --header and --start");
	if (address.len == 0 || address.len >= sizeof(s.name) || memchr(address.ptr, 0, address.len))
		return refuse(k, KVCTL_USAGE,
			"\"%.*s\" is no address; give the path of a socket, or HOST[:PORT]", (int)address.len,
			address.ptr);
	memcpy(s.name, address.ptr, address.len);
	code = connect_open(k);
	if (!code)
		code = open_server(&s, a);
	s.l = code ? NULL : loader_new(k, s.name, "key", "key");
	if (s.l) {
		s.l->skip_bad = args_option(a, "skip-bad", NULL);
		s.l->if_absent = args_option(a, "if-absent", NULL);
		code = loader_finish(s.l, copy_all(&s));
		loader_summarize(s.l, NULL);
		if (!k->quiet)
			complain_others(&s);
		if (!k->quiet && !k->json && signals_came())
			complain(k, "run it again to go on; --if-absent leaves alone what is there already");
	} else if (!code) {
		code = KVCTL_REFUSED;
	}
	loader_free(s.l);
	if (s.c)
		redisFree(s.c);
	buf_free(&s.named);
	return code;
}
