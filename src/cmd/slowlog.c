/* SPDX-License-Identifier: MIT
 *
 * The slow log: the latest requests that took longer than slowlog-log-slower-than, cut to a bearable size.
 */
#include "cmd/room.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/num.h"

enum { MAX_WORDS = 32, MAX_WORD = 128, MAX_NOTE = 64 };

void timing_init(struct timing *t)
{
	TAILQ_INIT(&t->slow);
	t->slow_us = -1;
}

static void drop_last(struct timing *t)
{
	struct slow_entry *s = TAILQ_LAST(&t->slow, slow_list);

	TAILQ_REMOVE(&t->slow, s, link);
	t->nslow--;
	free(s->addr);
	free(s->name);
	free(s);
}

void timing_free(struct timing *t)
{
	while (t->nslow)
		drop_last(t);
}

/* One word, or what says how much was left out. Returns the bytes written; out NULL: only counts them. */
static size_t copy_word(const struct call *call, size_t i, char *out)
{
	char note[MAX_NOTE] = "";
	struct slice word = call->argv[i];

	if (i == MAX_WORDS - 1 && call->argc > MAX_WORDS) {
		snprintf(note, sizeof(note), "... (%zu more arguments)", call->argc - MAX_WORDS + 1);
		word.len = 0;
	} else if (call_is_secret(call, i)) {
		word = SLICE("(redacted)");
	} else if (word.len > MAX_WORD) {
		snprintf(note, sizeof(note), "... (%zu more bytes)", word.len - MAX_WORD);
		word.len = MAX_WORD;
	}
	if (out && word.len)
		memcpy(out, word.ptr, word.len);
	if (out)
		memcpy(out + word.len, note, strlen(note));
	return word.len + strlen(note);
}

static struct slow_entry *make_entry(const struct call *call)
{
	size_t argc = call->argc < MAX_WORDS ? call->argc : MAX_WORDS, size = sizeof(struct slow_entry) + argc * sizeof(struct slice);
	struct cmd_client_facts facts = { 0 };
	struct slow_entry *s;
	char *at;

	for (size_t i = 0; i < argc; i++)
		size += copy_word(call, i, NULL);
	s = malloc(size);
	if (!s)
		return NULL;
	*s = (struct slow_entry){ .argc = argc };
	at = (char *)(s->argv + argc);
	for (size_t i = 0; i < argc; i++) {
		s->argv[i] = slice(at, copy_word(call, i, at));
		at += s->argv[i].len;
	}
	call->env->host.client_facts(call->env->host.arg, call->client, &facts);
	s->addr = strdup(facts.addr);
	s->name = strdup(call->client->name ? call->client->name : "");
	return s;
}

void slowlog_add(struct call *call, uint64_t us)
{
	struct timing *t = &call->env->timing;
	struct slow_entry *s;

	if (call->command->run == multi_exec) /* its commands are looked at one by one */
		return;
	while (t->nslow && t->nslow >= t->max_slow)
		drop_last(t);
	s = t->max_slow ? make_entry(call) : NULL;
	if (!s)
		return;
	s->id = t->next_slow++;
	s->us = us;
	s->time_s = clock_wall_ms(&clock_system) / 1000;
	TAILQ_INSERT_HEAD(&t->slow, s, link);
	t->nslow++;
}

int slowlog_get(struct call *call)
{
	const struct timing *t = &call->env->timing;
	const struct slow_entry *s;
	int64_t count = 10;

	if (call->argc > 3)
		return call_sub_syntax(call);
	if (call->argc == 3 && (num_parse_i64(call->argv[2], &count) || count < -1))
		return call_error(call, "ERR count should be greater than or equal to -1");
	if (count == -1 || (uint64_t)count > t->nslow)
		count = (int64_t)t->nslow;
	resp_array(&call->out, (size_t)count);
	TAILQ_FOREACH(s, &t->slow, link) {
		if (count-- == 0)
			break;
		resp_array(&call->out, 6);
		resp_int(&call->out, (int64_t)s->id);
		resp_int(&call->out, s->time_s);
		resp_int(&call->out, (int64_t)s->us);
		resp_array(&call->out, s->argc);
		for (size_t i = 0; i < s->argc; i++)
			resp_bulk(&call->out, s->argv[i]);
		resp_bulk_str(&call->out, s->addr ? s->addr : "");
		resp_bulk_str(&call->out, s->name ? s->name : "");
	}
	return 0;
}

int slowlog_len(struct call *call)
{
	resp_int(&call->out, (int64_t)call->env->timing.nslow);
	return 0;
}

int slowlog_reset(struct call *call)
{
	timing_free(&call->env->timing);
	resp_ok(&call->out);
	return 0;
}
