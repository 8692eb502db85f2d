/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include "base/hash.h"

/* Names one run of the daemon; need not be secret. */
static void make_run_id(struct cmd_env *e)
{
	unsigned char bytes[20];

	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes)) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (unsigned char)hash_u64(clock_mono_ns(&clock_system) + i);
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(e->run_id + 2 * i, 3, "%02x", bytes[i]);
	memcpy(&e->random, bytes, sizeof(e->random));
}

struct cmd_env *cmd_env_new(struct store *s, const struct cmd_host *host)
{
	struct cmd_env *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->store = s;
	e->host = *host;
	timing_init(&e->timing);
	LIST_INIT(&e->monitors);
	if (table_init(e))
		return cmd_env_free(e);
	make_run_id(e);
	return e;
}

struct cmd_env *cmd_env_free(struct cmd_env *e)
{
	if (!e)
		return NULL;
	cursors_free(e->cursors);
	free(e->crc64);
	free(e->watches);
	pubsub_free(e);
	timing_free(&e->timing);
	table_free(e);
	free(e);
	return NULL;
}

void cmd_tick(struct cmd_env *e, int64_t steady_ms)
{
	struct cmd_host_stats now = { 0 };
	int64_t passed = steady_ms - e->rate.at_ms;

	if (e->rate.at_ms && passed <= 0)
		return;
	timing_tick(e);
	e->host.stats(e->host.arg, &now);
	if (e->rate.at_ms) {
		e->rate.commands_s = (e->counters.commands - e->rate.commands) * 1000 / (uint64_t)passed;
		e->rate.in_s = (now.net_input_bytes - e->rate.in) * 1000 / (uint64_t)passed;
		e->rate.out_s = (now.net_output_bytes - e->rate.out) * 1000 / (uint64_t)passed;
	}
	e->rate.at_ms = steady_ms;
	e->rate.commands = e->counters.commands;
	e->rate.in = now.net_input_bytes;
	e->rate.out = now.net_output_bytes;
}
