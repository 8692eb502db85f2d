/* SPDX-License-Identifier: MIT
 *
 * The protocol state of a connection, and the CLIENT command.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/num.h"

struct cmd_client *cmd_client_new(struct cmd_env *e, uint64_t id, void *token)
{
	struct cmd_client *c = calloc(1, sizeof(*c));
	bool required = false;

	if (!c)
		return NULL;
	c->env = e;
	c->id = id;
	c->token = token;
	c->proto = 2;
	TAILQ_INIT(&c->cursors);
	e->host.auth(e->host.arg, SLICE("default"), SLICE(""), &required);
	c->authenticated = !required;
	return c;
}

struct cmd_client *cmd_client_free(struct cmd_client *c)
{
	if (!c)
		return NULL;
	multi_reset(c);
	pubsub_leave(c);
	monitor_leave(c);
	cursors_leave(c);
	store_fetch_free(c->fetch);
	hold_end(c);
	free(c->name);
	free(c->lib_name);
	free(c->lib_ver);
	free(c);
	return NULL;
}

void *cmd_client_token(const struct cmd_client *c)
{
	return c->token;
}

uint64_t cmd_client_id(const struct cmd_client *c)
{
	return c->id;
}

int cmd_client_proto(const struct cmd_client *c)
{
	return c->proto;
}

bool cmd_client_listens(const struct cmd_client *c)
{
	return c->monitors || pubsub_is_subscribed(c);
}

const char *cmd_client_last(const struct cmd_client *c)
{
	return c->last ? c->last->info->name : "NULL";
}

/* ---- names ---- */

/* Printable, no blanks. */
static bool is_text_ok(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '!' || s.ptr[i] > '~')
			return false;
	return true;
}

bool client_check_name(struct call *call, struct slice name)
{
	if (is_text_ok(name))
		return true;
	call_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
	return false;
}

bool client_set_text(char **text, struct slice s)
{
	char *copy = s.len ? strndup(s.ptr, s.len) : NULL;

	if (s.len && !copy)
		return false;
	free(*text);
	*text = copy;
	return true;
}

int client_id(struct call *call)
{
	resp_int(&call->out, (int64_t)call->client->id);
	return 0;
}

int client_getname(struct call *call)
{
	if (call->client->name)
		resp_bulk_str(&call->out, call->client->name);
	else
		resp_null(&call->out);
	return 0;
}

int client_setname(struct call *call)
{
	if (!client_check_name(call, call->argv[2]))
		return 0;
	if (!client_set_text(&call->client->name, call->argv[2]))
		return -ENOMEM;
	resp_ok(&call->out);
	return 0;
}

int client_setinfo(struct call *call)
{
	struct cmd_client *c = call->client;
	bool name = slice_is(call->argv[2], "lib-name");

	if (!name && !slice_is(call->argv[2], "lib-ver"))
		return call_error(call, "ERR Unrecognized option '%.*s'",
			call->argv[2].len < 128 ? (int)call->argv[2].len : 128, call->argv[2].ptr);
	if (!is_text_ok(call->argv[3]))
		return call_error(call, "ERR %s cannot contain spaces, newlines or special characters.",
			name ? "lib-name" : "lib-ver");
	if (!client_set_text(name ? &c->lib_name : &c->lib_ver, call->argv[3]))
		return -ENOMEM;
	resp_ok(&call->out);
	return 0;
}

int client_accept(struct call *call)
{
	if (!slice_is(call->argv[2], "on") && !slice_is(call->argv[2], "off"))
		return call_syntax(call);
	resp_ok(&call->out);
	return 0;
}

int client_reply(struct call *call)
{
	struct cmd_client *c = call->client;

	if (slice_is(call->argv[2], "on")) {
		c->reply_off = c->reply_skip = c->reply_skip_next = false;
		resp_ok(&call->out);
	} else if (slice_is(call->argv[2], "off")) {
		c->reply_off = true;
	} else if (slice_is(call->argv[2], "skip")) {
		c->reply_skip_next = !c->reply_off;
		call->silent = true;
	} else {
		return call_syntax(call);
	}
	return 0;
}

/* ---- LIST and INFO ---- */

static const char *text_or_empty(const char *s)
{
	return s ? s : "";
}

static void describe(struct cmd_client *c, struct buf *out)
{
	struct cmd_client_facts f = { 0 };
	const struct cmd_host *host = &c->env->host;

	host->client_facts(host->arg, c, &f);
	buf_printf(out,
		"id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=U%s%s%s%s db=%u sub=%zu "
		"psub=%zu ssub=0 multi=%lld watch=%zu ",
		(unsigned long long)c->id, f.addr, f.addr, f.fd, text_or_empty(c->name),
		(unsigned long long)f.age_s, (unsigned long long)f.idle_s,
		c->monitors ? "O" : "", pubsub_is_subscribed(c) ? "P" : "", c->multi ? "x" : "", c->dirty ? "d" : "", c->db,
		c->nlistens[TOPIC_CHANNEL], c->nlistens[TOPIC_PATTERN], c->multi ? (long long)c->queued : -1, c->nwatch);
	buf_printf(out,
		"qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=0 rbp=0 obl=%zu oll=0 omem=%zu "
		"tot-mem=%zu events=r ",
		f.query_bytes, f.query_free, c->queue_bytes, f.output_bytes, f.output_bytes,
		sizeof(*c) + f.query_bytes + f.query_free + f.output_bytes + c->queue_bytes);
	buf_printf(out,
		"cmd=%s user=default redir=-1 resp=%d lib-name=%s lib-ver=%s uid=%lld pid=%lld "
		"tot-net-in=%llu tot-net-out=%llu\n",
		cmd_client_last(c), c->proto, text_or_empty(c->lib_name), text_or_empty(c->lib_ver),
		(long long)f.uid, (long long)f.pid, (unsigned long long)f.total_in,
		(unsigned long long)f.total_out);
}

int client_info(struct call *call)
{
	struct buf text = { 0 };

	describe(call->client, &text);
	resp_verbatim(&call->out, "txt", buf_slice(&text));
	buf_free(&text);
	return 0;
}

/* Which clients a LIST or KILL is about. */
struct filter {
	struct call *call;
	uint64_t *ids; /* sorted; NULL: any */
	size_t nids;
	enum { ANY_TYPE, TYPE_NORMAL, TYPE_PUBSUB, TYPE_ABSENT } type;
	struct slice addr, laddr; /* ptr NULL: any */
	bool skip_me;
	struct buf text;           /* LIST */
	uint64_t id;               /* KILL: what ids points to */
	struct cmd_client **found;
	size_t nfound, cap;
	bool failed;
};

static bool read_type(struct filter *f, struct slice type)
{
	static const char *const absent[] = { "master", "replica", "slave" };

	f->type = slice_is(type, "normal") ? TYPE_NORMAL : slice_is(type, "pubsub") ? TYPE_PUBSUB : TYPE_ABSENT;
	if (f->type != TYPE_ABSENT)
		return true;
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		if (slice_is(type, absent[i]))
			return true;
	call_error(f->call, "ERR Unknown client type '%.*s'", type.len < 128 ? (int)type.len : 128, type.ptr);
	return false;
}

static int compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool is_wanted(const struct filter *f, struct cmd_client *c)
{
	struct cmd_client_facts facts = { 0 };
	bool named = !f->ids || bsearch(&c->id, f->ids, f->nids, sizeof(*f->ids), compare_ids);

	if (!named || f->type == TYPE_ABSENT || (f->skip_me && c == f->call->client))
		return false;
	if (f->type != ANY_TYPE && (f->type == TYPE_PUBSUB) != pubsub_is_subscribed(c))
		return false;
	if (!f->addr.ptr && !f->laddr.ptr)
		return true;
	f->call->env->host.client_facts(f->call->env->host.arg, c, &facts);
	return (!f->addr.ptr || slice_eq(f->addr, slice_str(facts.addr))) &&
	       (!f->laddr.ptr || slice_eq(f->laddr, slice_str(facts.addr)));
}

static bool list_one(void *arg, struct cmd_client *c)
{
	struct filter *f = arg;

	if (is_wanted(f, c))
		describe(c, &f->text);
	return !f->text.failed;
}

/* 0, a negative errno, or 1: an error was replied. */
static int read_ids(struct filter *f, const struct slice *word, size_t n)
{
	int64_t id;

	f->ids = malloc(n * sizeof(*f->ids));
	if (!f->ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (num_parse_i64(word[i], &id)) {
			call_error(f->call, "ERR Invalid client ID");
			return 1;
		}
		f->ids[i] = (uint64_t)id;
	}
	f->nids = n;
	qsort(f->ids, n, sizeof(*f->ids), compare_ids);
	return 0;
}

int client_list(struct call *call)
{
	struct filter f = { .call = call };
	int r = 0;

	if (call->argc == 4 && slice_is(call->argv[2], "type")) {
		if (!read_type(&f, call->argv[3]))
			return 0;
	} else if (call->argc > 3 && slice_is(call->argv[2], "id")) {
		r = read_ids(&f, call->argv + 3, call->argc - 3);
	} else if (call->argc != 2) {
		return call_syntax(call);
	}
	if (r == 0)
		call->env->host.each_client(call->env->host.arg, list_one, &f);
	if (f.text.failed)
		r = -ENOMEM;
	if (r == 0)
		resp_verbatim(&call->out, "txt", buf_slice(&f.text));
	buf_free(&f.text);
	free(f.ids);
	return r < 0 ? r : 0;
}

/* ---- KILL ---- */

/* The host may drop a client the moment it is killed, so they are collected first. */
static bool collect_one(void *arg, struct cmd_client *c)
{
	struct filter *f = arg;

	if (!is_wanted(f, c))
		return true;
	if (f->nfound == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 16;
		struct cmd_client **found = realloc(f->found, cap * sizeof(struct cmd_client *));
		f->failed = !found;
		if (!found)
			return false;
		f->found = found;
		f->cap = cap;
	}
	f->found[f->nfound++] = c;
	return true;
}

static int kill_wanted(struct filter *f, int64_t *ret_n)
{
	struct call *call = f->call;
	const struct cmd_host *host = &call->env->host;

	host->each_client(host->arg, collect_one, f);
	for (size_t i = 0; !f->failed && i < f->nfound; i++)
		if (f->found[i] == call->client)
			call->close = true;
		else
			host->kill_client(host->arg, f->found[i]);
	*ret_n = (int64_t)f->nfound;
	free(f->found);
	return f->failed ? -ENOMEM : 0;
}

/* One pair of the newer form. False: an error was replied. */
static bool read_kill_filter(struct filter *f, const struct slice *pair)
{
	int64_t id;

	if (slice_is(pair[0], "id")) {
		if (num_parse_i64(pair[1], &id) || id < 1) {
			call_error(f->call, "ERR client-id should be greater than 0");
			return false;
		}
		f->id = (uint64_t)id;
		f->ids = &f->id;
		f->nids = 1;
	} else if (slice_is(pair[0], "type")) {
		return read_type(f, pair[1]);
	} else if (slice_is(pair[0], "addr")) {
		f->addr = pair[1];
	} else if (slice_is(pair[0], "laddr")) {
		f->laddr = pair[1];
	} else if (slice_is(pair[0], "user")) {
		if (slice_eq(pair[1], SLICE("default")))
			return true;
		call_error(f->call, "ERR No such user '%.*s'", pair[1].len < 128 ? (int)pair[1].len : 128,
			pair[1].ptr);
		return false;
	} else if (slice_is(pair[0], "skipme") && (slice_is(pair[1], "yes") || slice_is(pair[1], "no"))) {
		f->skip_me = slice_is(pair[1], "yes");
	} else {
		call_syntax(f->call);
		return false;
	}
	return true;
}

int client_kill(struct call *call)
{
	struct filter f = { .call = call, .skip_me = call->argc > 3 };
	int64_t n;
	int r;

	if (call->argc == 3)
		f.addr = call->argv[2].len ? call->argv[2] : SLICE("-");
	else if (call->argc % 2)
		return call_syntax(call);
	for (size_t i = 2; call->argc > 3 && i < call->argc; i += 2)
		if (!read_kill_filter(&f, &call->argv[i]))
			return 0;
	r = kill_wanted(&f, &n);
	if (r)
		return r;
	if (call->argc > 3)
		resp_int(&call->out, n);
	else if (n)
		resp_ok(&call->out);
	else
		call_error(call, "ERR No such client");
	return 0;
}
