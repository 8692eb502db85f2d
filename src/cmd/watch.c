/* SPDX-License-Identifier: MIT
 *
 * Watched keys: a hash table from (database, key) to the clients that watch it. One entry per client and key,
 * hung into its bucket and into its client's list.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/hash.h"

enum { BUCKETS = 16384, MAX_WATCHES = 65536 };

struct watch {
	struct watch *next, **link; /* bucket */
	struct watch *sibling;      /* of the same client */
	struct cmd_client *client;
	unsigned db;
	bool existed; /* when it was watched */
	size_t len;
	char key[];
};

static struct watch **find_bucket(const struct cmd_env *e, unsigned db, struct slice key)
{
	return &e->watches[hash_bytes(db, key) % BUCKETS];
}

static bool is_watching(const struct watch *w, unsigned db, struct slice key)
{
	return w->db == db && slice_eq(slice(w->key, w->len), key);
}

static int add_watch(struct call *call, struct slice key)
{
	struct cmd_client *c = call->client;
	struct watch **bucket = find_bucket(call->env, c->db, key), *w;

	for (w = *bucket; w; w = w->next)
		if (w->client == c && is_watching(w, c->db, key))
			return 0;
	w = malloc(sizeof(*w) + key.len);
	if (!w)
		return -ENOMEM;
	*w = (struct watch){
		.next = *bucket, .link = bucket, .sibling = c->watch, .client = c, .db = c->db, .len = key.len
	};
	if (key.len)
		memcpy(w->key, key.ptr, key.len);
	w->existed = txn_peek(call->txn, c->db, key, NULL) == 0;
	if (*bucket)
		(*bucket)->link = &w->next;
	*bucket = c->watch = w;
	c->nwatch++;
	call->env->nwatches++;
	return 0;
}

int watch_watch(struct call *call)
{
	struct cmd_client *c = call->client;

	if (c->multi)
		return call_error(call, "ERR WATCH inside MULTI is not allowed");
	if (c->nwatch + call->argc - 1 > MAX_WATCHES)
		return call_error(call, "ERR a connection watches at most %d keys", MAX_WATCHES);
	if (!call->env->watches)
		call->env->watches = calloc(BUCKETS, sizeof(struct watch *));
	if (!call->env->watches)
		return -ENOMEM;
	for (size_t i = 1; !c->dirty && i < call->argc; i++) {
		int r = add_watch(call, call->argv[i]);
		if (r)
			return r;
	}
	resp_ok(&call->out);
	return 0;
}

void watch_clear(struct cmd_client *c)
{
	struct watch *w;

	while ((w = c->watch)) {
		c->watch = w->sibling;
		*w->link = w->next;
		if (w->next)
			w->next->link = w->link;
		c->env->nwatches--;
		free(w);
	}
	c->nwatch = 0;
	c->dirty = false;
}

int watch_unwatch(struct call *call)
{
	if (!call->in_exec) /* inside EXEC they are dropped at its end anyway */
		watch_clear(call->client);
	resp_ok(&call->out);
	return 0;
}

bool watch_expired(struct cmd_client *c, struct txn *t)
{
	for (const struct watch *w = c->watch; w; w = w->sibling)
		if (w->existed && txn_peek(t, w->db, slice(w->key, w->len), NULL) == STORE_ABSENT)
			return true;
	return false;
}

/* ---- what a transaction touches ---- */

static void touch(struct cmd_env *e, struct cmd_client *c)
{
	if (c->dirty || c->touched)
		return;
	c->touched = true;
	c->touched_next = e->touched;
	e->touched = c;
}

/*
 * A whole database goes or changes places. That concerns a watched key that existed (nobody has changed it
 * since, or its client would be dirty already) and, after an exchange, one that exists now.
 */
static void look_at_database(struct cmd_env *e, struct txn *t, unsigned db)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct watch *w = e->watches[i]; w; w = w->next)
			if (w->db == db && (w->existed || txn_peek(t, db, slice(w->key, w->len), NULL) == 0))
				touch(e, w->client);
}

void watch_look(struct cmd_env *e, struct txn *t)
{
	const struct txn_op *op;
	size_t n = txn_ops(t, &op);

	for (; n; n--, op++) {
		if (op->kind == TXN_FLUSH || op->kind == TXN_SWAP)
			look_at_database(e, t, op->db);
		if (op->kind == TXN_SWAP)
			look_at_database(e, t, op->other);
		if (op->kind != TXN_PUT && op->kind != TXN_DELETE)
			continue;
		for (struct watch *w = *find_bucket(e, op->db, op->key); w; w = w->next)
			if (is_watching(w, op->db, op->key))
				touch(e, w->client);
	}
}

void watch_mark(struct cmd_env *e, bool committed)
{
	struct cmd_client *c;

	while ((c = e->touched)) {
		e->touched = c->touched_next;
		c->touched = false;
		c->dirty |= committed;
	}
}
