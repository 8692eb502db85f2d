/* SPDX-License-Identifier: MIT
 *
 * A request that had to wait is run again, and may find that others have written its keys meanwhile, so that it has to wait anew. One that was
 * overtaken again and again holds its keys: what others would write there is left lying, as in a pause, until it is done. One request does so at
 * a time, so that none waits for another that waits for it.
 */
#include "cmd/room.h"

#include "base/hash.h"

/* More than a request has to wait when nobody interferes: for a large record, its checksums, a part of it, work on it. */
enum { PATIENCE = 4 };

/* Two keys may share a bit: then a write waits that need not. */
static uint64_t *find_bit(struct hold *h, struct slice key, uint64_t *ret_bit)
{
	uint64_t hash = hash_bytes(0, key) % HOLD_BITS;

	*ret_bit = UINT64_C(1) << hash % 64;
	return &h->keys[hash / 64];
}

static void add_keys(struct hold *h, const struct command *k, const struct slice *argv, size_t argc)
{
	size_t first, step, end = call_keys(k, argc, &first, &step);
	uint64_t bit;

	if (first == 0 && (k->flags & (FLAG_WRITE | FLAG_READONLY)))
		memset(h->keys, 0xff, sizeof(h->keys)); /* ranges and whole databases */
	for (size_t i = first; first && i < end; i += step)
		*find_bit(h, argv[i], &bit) |= bit;
}

void hold_wait(struct call *call)
{
	struct cmd_client *c = call->client;
	struct hold *h = &call->env->hold;

	if (++c->waits <= PATIENCE * (1 + c->queued) || h->client)
		return;
	*h = (struct hold){ .client = c };
	add_keys(h, call->command, call->argv, call->argc);
	for (size_t i = 0; i < c->queued; i++)
		add_keys(h, c->queue[i].command, c->queue[i].argv, c->queue[i].argc);
}

void hold_end(struct cmd_client *c)
{
	struct cmd_env *e = c->env;

	c->waits = 0;
	if (e->hold.client != c)
		return;
	e->hold.client = NULL;
	e->host.pause(e->host.arg, 0);
}

static bool writes_held(struct hold *h, const struct command *k, const struct slice *argv, size_t argc)
{
	size_t first, step, end = call_keys(k, argc, &first, &step);
	bool held = first == 0;
	uint64_t bit;

	if (!(k->flags & FLAG_WRITE))
		return false;
	for (size_t i = first; !held && i < end; i += step)
		held = *find_bit(h, argv[i], &bit) & bit;
	return held;
}

bool hold_applies(const struct call *call)
{
	const struct cmd_client *c = call->client;
	struct hold *h = &call->env->hold;

	if (h->client == c)
		return false;
	if (call->command->run != multi_exec)
		return !c->multi && writes_held(h, call->command, call->argv, call->argc);
	for (size_t i = 0; i < c->queued; i++)
		if (writes_held(h, c->queue[i].command, c->queue[i].argv, c->queue[i].argc))
			return true;
	return false;
}
