/* SPDX-License-Identifier: MIT
 *
 * The way of a request: find its row, check, queue or run it in one transaction, commit, park or turn what
 * the store said into the reply.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- running ---- */

static const struct slice *find_long_key(const struct call *call)
{
	size_t first, step, end = call_keys(call->command, call->argc, &first, &step);

	for (size_t i = first; first && i < end; i += step)
		if (call->argv[i].len > STORE_MAX_KEY)
			return &call->argv[i];
	return NULL;
}

static int run_timed(struct call *call)
{
	struct command *k = call->command;
	uint64_t start;
	int r;

	if (call->env->sample++ % CALL_SAMPLE)
		return k->run(call);
	start = clock_mono_ns(&clock_system);
	r = k->run(call);
	start = clock_mono_ns(&clock_system) - start;
	k->sampled_ns += start;
	if (!k->histogram)
		k->histogram = calloc(1, sizeof(*k->histogram));
	if (k->histogram)
		histogram_add(k->histogram, start);
	return r;
}

int call_run(struct call *call)
{
	struct command *k = call->command;
	const struct slice *key = find_long_key(call);
	int r;

	if (key)
		r = call_error(call, "ERR key is %zu bytes, the limit is %d", key->len, STORE_MAX_KEY);
	else
		r = run_timed(call);
	if (r == STORE_PENDING)
		return r;
	k->calls++;
	k->failed += call->failed || r;
	call->env->counters.commands++;
	call->env->counters.hits += call->hits;
	call->env->counters.misses += call->misses;
	return r;
}

/*
 * Sends what the request has said to others. It may be seen no earlier than what the request wrote or saw, and no
 * earlier than what the same client wrote before: who hears of a write finds it there, also after a power loss.
 */
static void send_messages(struct call *call, uint64_t *position)
{
	struct cmd_env *e = call->env;
	uint64_t before = call->client->last_write, end = store_position(e->store);

	if (!pubsub_has_messages(&e->pubsub))
		return;
	before = before < end ? before : end; /* a position that was taken back is given out again */
	*position = *position > before ? *position : before;
	pubsub_deliver(e);
}

static void end_request(struct call *call)
{
	struct cmd_client *c = call->client;

	if (call->end_multi)
		multi_reset(c);
	if (c->fetch)
		store_fetch_reset(c->fetch);
	if (c->waits)
		hold_end(c);
}

/* Commits, or aborts and turns the reply into an error. */
static void finish(struct call *call, int r, size_t mark, uint64_t *ret_position)
{
	struct cmd_env *e = call->env;
	bool writes = r == 0 && txn_has_writes(call->txn), watched = writes && e->nwatches;

	if (watched)
		watch_look(e, call->txn);
	if (r == 0) {
		*ret_position = txn_seen(call->txn);
		r = txn_commit(call->txn, ret_position);
		call->command->failed += r != 0 && !call->failed; /* its handler was counted as a success */
		if (r == 0 && writes)
			call->client->last_write = store_position(e->store);
	} else {
		*ret_position = txn_seen(call->txn);
		txn_abort(call->txn);
	}
	call->txn = NULL;
	if (watched)
		watch_mark(e, r == 0);
	if (r) {
		pubsub_forget(e);
		resp_cut(&call->out, mark);
		call_condition(call, r);
	} else {
		send_messages(call, ret_position);
	}
}

/* Lists what the request will need and starts the reading. */
static int park(struct call *call)
{
	int r;

	call_prepare(call, call->client->db);
	pubsub_forget(call->env);
	txn_abort(call->txn);
	call->txn = NULL;
	r = store_fetch_start(call->client->fetch);
	if (r)
		return r;
	call->env->counters.parked++;
	hold_wait(call);
	return 0;
}

/* One run in one transaction. STORE_PENDING: the request is parked, nothing happened. */
static int run_in_txn(struct call *call, size_t mark, uint64_t *ret_position)
{
	struct cmd_client *c = call->client;
	struct cmd_env *e = call->env;
	int r;

	call->txn = txn_begin(e->store, c->fetch);
	r = call_run(call);
	if (r == STORE_PENDING && !c->fetch) {
		/* Only now is it known that a fetch is needed; the list of records is kept there, so ask
		 * again. */
		txn_abort(call->txn);
		pubsub_forget(e);
		resp_cut(&call->out, mark);
		c->fetch = store_fetch_new(e->store, c->token);
		call->hits = call->misses = 0;
		call->txn = txn_begin(e->store, c->fetch);
		r = c->fetch ? call_run(call) : -ENOMEM;
	}
	if (r != STORE_PENDING) {
		finish(call, r, mark, ret_position);
		return 0;
	}
	resp_cut(&call->out, mark);
	r = park(call);
	if (r == 0)
		return STORE_PENDING;
	call_condition(call, r);
	return 0;
}

static enum cmd_status run_request(struct call *call, struct cmd_result *ret)
{
	size_t mark = call->out.out->len, total = resp_total(&call->out);
	uint64_t begun = timing_begin(call->env);
	int r = 0;

	if (call->command->store) {
		r = run_in_txn(call, mark, &ret->position);
	} else {
		r = call_run(call);
		if (r) {
			pubsub_forget(call->env);
			resp_cut(&call->out, mark);
			call_condition(call, r);
			r = 0;
		}
		send_messages(call, &ret->position);
	}
	if (r == STORE_PENDING)
		return CMD_PENDING;
	timing_end(call, begun, resp_total(&call->out) - total);
	if (!LIST_EMPTY(&call->env->monitors))
		monitor_tell(call);
	end_request(call);
	if (call->wait) {
		ret->position = call->wait_position;
		ret->wait_ms = call->wait_ms;
		return CMD_WAIT;
	}
	return call->close ? CMD_CLOSE : CMD_DONE;
}

/* ---- before running ---- */

static void reject(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void reject(struct call *call, const char *format, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (call->command)
		call->command->rejected++;
	if (call->command && call->command->run == multi_exec) { /* what it would have run goes with it */
		multi_reset(call->client);
		call_error(call, "EXECABORT Transaction discarded because of: %s",
			strncmp(text, "ERR ", 4) ? text : text + 4);
		return;
	}
	if (call->client->multi)
		call->client->multi_broken = true;
	call_error(call, "%s", text);
}

static void reject_unknown(struct call *call)
{
	char args[192];
	size_t len = 0;

	args[0] = 0;
	for (size_t i = 1; i < call->argc && len < 128; i++) {
		size_t room = 128 - len, n = call->argv[i].len < room ? call->argv[i].len : room;
		len += (size_t)snprintf(args + len, sizeof(args) - len, "'%.*s' ", (int)n, call->argv[i].ptr);
	}
	reject(call, "ERR unknown command '%.*s', with args beginning with: %s",
		call->argv[0].len < 128 ? (int)call->argv[0].len : 128, call->argv[0].ptr, args);
}

static void reject_unknown_sub(struct call *call)
{
	char upper[32];
	size_t i;

	for (i = 0; i < call->command->name_len && i < sizeof(upper) - 1; i++)
		upper[i] = (char)(call->command->info->name[i] & ~0x20);
	upper[i] = 0;
	reject(call, "ERR unknown subcommand '%.*s'. Try %s HELP.",
		call->argv[1].len < 128 ? (int)call->argv[1].len : 128, call->argv[1].ptr, upper);
}

static bool is_word(struct slice s, const char *lower, size_t len)
{
	if (s.len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s.ptr[i] | 0x20) != (unsigned char)lower[i])
			return false;
	return true;
}

/* Most requests name the same command as the one before. */
static struct command *find(struct cmd_client *c, struct slice name)
{
	struct command *k = c->seen;

	if (k && is_word(name, k->info->name, k->name_len))
		return k;
	k = table_find(c->env, name);
	if (k && !memchr(name.ptr, '|', name.len)) {
		c->seen = k;
		return k;
	}
	return NULL;
}

static bool has_arity(const struct command *k, size_t argc)
{
	int arity = k->info->arity;

	return arity >= 0 ? argc == (size_t)arity : argc >= (size_t)-arity;
}

/* Finds the command and checks what can be checked without running it; false: an error was replied. */
static bool admit(struct call *call)
{
	struct cmd_client *c = call->client;
	struct command *k = find(c, call->argv[0]), *sub;

	call->command = k;
	if (!k) {
		reject_unknown(call);
		return false;
	}
	if ((k->how & CONTAINER) && call->argc > 1) {
		sub = table_find_sub(call->env, k, call->argv[1]);
		if (!sub) {
			reject_unknown_sub(call);
			return false;
		}
		call->command = k = sub;
	}
	if (!has_arity(k, call->argc)) {
		reject(call, "ERR wrong number of arguments for '%s' command", k->info->name);
		return false;
	}
	if (!c->authenticated && !(k->flags & FLAG_NO_AUTH)) {
		reject(call, "NOAUTH Authentication required.");
		return false;
	}
	if (c->proto == 2 && !(k->how & LISTENER) && pubsub_is_subscribed(c)) {
		reject(call,
			"ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
			"allowed in this context",
			k->info->name);
		return false;
	}
	if (c->monitors && ((k->flags & (FLAG_WRITE | FLAG_READONLY)) || k->run == pubsub_send)) {
		reject(call, "ERR Replica can't interact with the keyspace");
		return false;
	}
	if (c->multi && (k->flags & FLAG_NO_MULTI)) {
		reject(call, "ERR Command not allowed inside a transaction");
		return false;
	}
	return true;
}

/* CLIENT REPLY itself has changed the state by now: ON is answered, OFF and SKIP are not. */
static void mute(struct call *call, size_t mark, struct cmd_result *ret)
{
	struct cmd_client *c = call->client;

	if (!call->unmuted && (call->silent || c->reply_off || c->reply_skip)) {
		resp_cut(&call->out, mark);
		ret->replies = 0;
	}
	c->reply_skip = c->reply_skip_next;
	c->reply_skip_next = false;
}

enum cmd_status cmd_run(
	struct cmd_client *c, const struct slice *argv, size_t argc, const struct cmd_large *large, struct buf *out, struct cmd_result *ret)
{
	struct call call = {
		.env = c->env, .client = c, .argv = argv, .argc = argc, .out = { out, c->proto, large ? large->out : NULL }
	};
	enum cmd_status status = CMD_DONE;
	size_t mark = out->len;

	if (large) {
		call.block = large->in;
		call.blocks = large->count;
	}
	*ret = (struct cmd_result){ .replies = 1 };
	if (admit(&call)) {
		c->last = call.command;
		if ((c->env->pause_end_ms && pause_applies(&call)) || (c->env->hold.client && hold_applies(&call)))
			status = CMD_PAUSED;
		else if (c->multi && !(call.command->how & NOW))
			multi_queue(&call);
		else
			status = run_request(&call, ret);
	}
	if (status == CMD_PENDING || status == CMD_PAUSED) {
		ret->replies = 0;
		return status;
	}
	if (status == CMD_WAIT) {
		c->wait_silent = c->reply_off || c->reply_skip;
		ret->replies = 0;
	}
	mute(&call, mark, ret);
	return status;
}

size_t cmd_probe(
	struct cmd_client *c, const struct slice *argv, size_t argc, struct store_probe *ret, size_t max)
{
	size_t first, step, end, n = 0;
	const struct command *k;

	if (c->multi)
		return 0;
	k = find(c, argv[0]);
	if (!k || k->info->first == 0)
		return 0;
	end = call_keys(k, argc, &first, &step);
	for (size_t i = first; i < end && n < max; i += step)
		ret[n++] = (struct store_probe){ c->db, argv[i] };
	return n;
}

bool cmd_wait_over(struct cmd_client *c)
{
	return c->wait_over && c->wait_over(c);
}

void cmd_wait_done(struct cmd_client *c, bool reached, struct buf *out)
{
	struct call call = { .env = c->env, .client = c, .command = c->last, .out = { .out = out, .proto = c->proto } };
	struct resp_writer w = call.out;
	size_t mark = out->len;

	if (c->wait_reply) {
		c->wait_reply(&call, reached);
		c->wait_over = NULL;
		c->wait_reply = NULL;
		if (c->wait_silent)
			out->len = mark;
		return;
	}
	/* After a timeout the log may have got there all the same: the store knows. */
	if (c->wait_silent)
		return;
	resp_array(&w, 2);
	resp_int(&w, store_durable(c->env->store) >= c->last_write);
	resp_int(&w, 0);
}
