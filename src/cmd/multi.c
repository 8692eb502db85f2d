/* SPDX-License-Identifier: MIT
 *
 * MULTI: requests are checked and copied into a queue, EXEC runs them all in one store transaction. A command
 * that answers with an error does not undo the others; what the store answers (damage, memory, refusal) does
 * when writes were under way.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/num.h"

enum { MAX_QUEUED = 1048576, MAX_QUEUED_BYTES = 64 << 20 };

static void free_queue(struct cmd_client *c)
{
	for (size_t i = 0; i < c->queued; i++) {
		for (size_t k = 0; k < c->queue[i].blocks; k++)
			block_unref(c->queue[i].block[k]);
		free(c->queue[i].argv);
	}
	free(c->queue);
	c->queue = NULL;
	c->queued = c->queue_cap = c->queue_bytes = 0;
}

static void drop_queue(struct cmd_client *c)
{
	free_queue(c);
	c->multi = c->multi_broken = false;
}

void multi_reset(struct cmd_client *c)
{
	drop_queue(c);
	watch_clear(c);
}

/* Bytes it takes while it is queued, and how many of them have to be copied. */
static size_t measure(const struct call *call, size_t *ret_copy)
{
	size_t size = call->argc * sizeof(struct slice), in_blocks = 0;

	for (size_t i = 0; i < call->argc; i++) {
		size += call->argv[i].len;
		in_blocks += call_block(call, call->argv[i]) ? call->argv[i].len : 0;
	}
	*ret_copy = size - in_blocks;
	return size;
}

/* What memory it takes in all: the queue may be half empty, and the allocator adds to each block. */
static size_t with_overhead(size_t size)
{
	return size + 2 * sizeof(struct queued) + 2 * sizeof(size_t);
}

/* EXEC will refuse it all, so nothing of it is worth keeping. */
static int refuse(struct call *call, const char *text)
{
	free_queue(call->client);
	call->client->multi_broken = true;
	call->command->rejected++;
	return call_error(call, "%s", text);
}

/*
 * The copy is one piece of memory: the slices, the list of blocks, then the bytes. Whole blocks are not copied. NULL: no memory.
 */
static struct slice *copy_request(const struct call *call, size_t size, struct queued *ret)
{
	struct slice *argv = malloc(size + call->blocks * sizeof(struct block *));
	char *at = argv ? (char *)(argv + call->argc) + call->blocks * sizeof(struct block *) : NULL;

	*ret = (struct queued){ call->command, argv, call->argc, (struct block **)(void *)(argv + call->argc), 0 };
	for (size_t i = 0; argv && i < call->argc; i++) {
		struct block *block = call_block(call, call->argv[i]);
		if (block) {
			ret->block[ret->blocks++] = block_ref(block);
			argv[i] = block->value;
			continue;
		}
		if (call->argv[i].len)
			memcpy(at, call->argv[i].ptr, call->argv[i].len);
		argv[i] = slice(at, call->argv[i].len);
		at += call->argv[i].len;
	}
	return argv;
}

static int grow_queue(struct cmd_client *c)
{
	size_t cap = c->queue_cap ? c->queue_cap * 2 : 8;
	struct queued *queue;

	if (c->queued < c->queue_cap)
		return 0;
	queue = realloc(c->queue, cap * sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	c->queue = queue;
	c->queue_cap = cap;
	return 0;
}

int multi_queue(struct call *call)
{
	struct cmd_client *c = call->client;
	size_t copy, size = measure(call, &copy);

	if (c->multi_broken) {
		resp_simple(&call->out, "QUEUED");
		return 0;
	}
	if (c->queued >= MAX_QUEUED)
		return refuse(call, "ERR a transaction holds at most 1048576 commands");
	if (with_overhead(size) > MAX_QUEUED_BYTES - c->queue_bytes)
		return refuse(call, "ERR the commands of a transaction take at most 67108864 bytes of memory");
	if (grow_queue(c))
		return refuse(call, "OOM not enough memory to queue the command");
	if (!copy_request(call, copy, &c->queue[c->queued]))
		return refuse(call, "OOM not enough memory to queue the command");
	c->queued++;
	c->queue_bytes += with_overhead(size);
	resp_simple(&call->out, "QUEUED");
	return 0;
}

int multi_multi(struct call *call)
{
	if (call->client->multi)
		return call_error(call, "ERR MULTI calls can not be nested");
	call->client->multi = true;
	resp_ok(&call->out);
	return 0;
}

int multi_discard(struct call *call)
{
	if (!call->client->multi)
		return call_error(call, "ERR DISCARD without MULTI");
	multi_reset(call->client);
	resp_ok(&call->out);
	return 0;
}

static struct call make_call(const struct call *exec, const struct queued *q)
{
	return (struct call){
		.env = exec->env,
		.client = exec->client,
		.command = q->command,
		.argv = q->argv,
		.argc = q->argc,
		.block = q->block,
		.blocks = q->blocks,
		.txn = exec->txn,
		.out = { exec->out.out, exec->client->proto, exec->out.lents },
		.in_exec = true,
	};
}

/*
 * Some queued commands change more than the store (SELECT, CLIENT SETNAME), so it must be known before the
 * first of them runs whether the records are at hand. STORE_PENDING: some are not, and are listed with the
 * fetch.
 */
static int prepare_all(struct call *call)
{
	struct cmd_client *c = call->client;
	unsigned db = c->db;
	int result = 0;

	for (size_t i = 0; i < c->queued; i++) {
		struct call sub = make_call(call, &c->queue[i]);
		int64_t other;
		if ((sub.command->how & VALUE) && call_prepare(&sub, db) == STORE_PENDING)
			result = STORE_PENDING;
		if (sub.command->run == session_select && num_parse_i64(sub.argv[1], &other) == 0 &&
			other >= 0 && other < store_databases(call->env->store))
			db = (unsigned)other;
	}
	return result;
}

static bool asks_for_work(const struct cmd_client *c)
{
	for (size_t i = 0; i < c->queued; i++)
		if ((c->queue[i].command->how & LONG) || ((c->queue[i].command->how & COMPARES) && c->queue[i].blocks))
			return true;
	return false;
}

/* Those commands whose writes later ones see, and those that ask; as though for good, but nothing of it stays. */
static int rehearse_all(struct call *call)
{
	struct cmd_client *c = call->client;
	unsigned db = c->db;
	int r = 0;

	for (size_t i = 0; r != STORE_PENDING && i < c->queued; i++) {
		struct call sub = make_call(call, &c->queue[i]);
		size_t mark = sub.out.out->len;
		int64_t other;
		sub.rehearsed = true;
		if (sub.command->run == session_select && num_parse_i64(sub.argv[1], &other) == 0 && other >= 0 &&
			other < store_databases(call->env->store))
			c->db = (unsigned)other;
		if (!(sub.command->how & LONG) && !(sub.command->flags & FLAG_WRITE))
			continue;
		r = sub.command->run(&sub);
		resp_cut(&sub.out, mark);
	}
	c->db = db;
	pubsub_forget(call->env);
	return r == STORE_PENDING ? r : 0;
}

/* After this nothing that runs has to wait any more. It may begin the transaction anew. */
static int make_ready(struct call *call)
{
	int r = prepare_all(call);

	if (r || !asks_for_work(call->client))
		return r;
	r = rehearse_all(call);
	if (r)
		return r;
	txn_abort(call->txn);
	call->txn = txn_begin(call->env->store, call->client->fetch);
	return 0;
}

/* One queued command. Not 0: the whole EXEC fails with that. */
static int run_queued(struct call *call, const struct queued *q)
{
	struct call sub = make_call(call, q);
	const struct txn_op *ops;
	size_t mark = sub.out.out->len, total = resp_total(&sub.out), writes = txn_ops(call->txn, &ops);
	uint64_t begun = timing_begin(call->env);
	int r = call_run(&sub);

	if (r != STORE_PENDING) {
		timing_end(&sub, begun, resp_total(&sub.out) - total);
		if (!LIST_EMPTY(&call->env->monitors))
			monitor_tell(&sub);
	}
	call->close |= sub.close;
	if (r == 0 && sub.out.out->len == mark)
		resp_null(&sub.out); /* one that never answers (CLIENT REPLY OFF) still has its place */
	if (r == 0 || r == STORE_PENDING || r == -ENOMEM || txn_ops(call->txn, &ops) != writes)
		return r;
	resp_cut(&sub.out, mark);
	call_condition(&sub, r);
	return 0;
}

static int run_all(struct call *call)
{
	struct cmd_client *c = call->client;
	unsigned db = c->db;
	size_t before = resp_total(&call->out);
	int r = make_ready(call);

	if (r)
		return r;
	if (watch_expired(c, call->txn)) { /* it may be another transaction, and later, than when this was asked first */
		resp_null_array(&call->out);
		return 0;
	}
	resp_array(&call->out, c->queued);
	for (size_t i = 0; r == 0 && i < c->queued; i++) {
		r = run_queued(call, &c->queue[i]);
		if (r == 0 && resp_total(&call->out) - before > MAX_REPLY)
			r = -E2BIG;
	}
	if (r == STORE_PENDING)
		c->db = db;
	return r;
}

int multi_exec(struct call *call)
{
	struct cmd_client *c = call->client;
	int r = 0;

	if (!c->multi)
		return call_error(call, "ERR EXEC without MULTI");
	if (c->multi_broken)
		call_error(call, "EXECABORT Transaction discarded because of previous errors.");
	else if (c->dirty || watch_expired(c, call->txn))
		resp_null_array(&call->out);
	else
		r = run_all(call);
	call->end_multi = r != STORE_PENDING;
	return r;
}
