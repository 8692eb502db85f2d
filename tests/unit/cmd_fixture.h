/* SPDX-License-Identifier: MIT
 *
 * A command environment over the model store and a host of plain values. Requests are written as lines with
 * words in blanks or double quotes (\n \r \\ \" \xHH inside); expected replies write CR LF as a plain
 * newline.
 */
#ifndef TESTS_CMD_FIXTURE_H
#define TESTS_CMD_FIXTURE_H

#include <errno.h>
#include "../model/model_store.h"
#include "cmd/cmd.h"
#include "tap.h"

enum { MAX_CLIENTS = 4, MAX_WORDS = 64 };

static struct {
	struct store *store;
	struct cmd_env *env;
	struct cmd_client *client[MAX_CLIENTS];
	const char *password;
	char appendonly[16];
	unsigned shutdowns, reopens, kills, fetched, unpaused;
	int64_t paused_ms;
	struct buf out, pushed[MAX_CLIENTS];
	struct cmd_result result;
	enum cmd_status status;
} fx;

static inline void host_stats(void *arg, struct cmd_host_stats *ret)
{
	(void)arg;
	*ret = (struct cmd_host_stats){
		.executable = "/usr/sbin/kvd", .config_file = "", .uptime_s = 90061, .connected_clients = 2, .max_clients = 10000, .connections_received = 5
	};
}

static inline void host_shutdown(void *arg)
{
	(void)arg;
	fx.shutdowns++;
}

static inline void host_each_client(
	void *arg, bool (*each)(void *each_arg, struct cmd_client *c), void *each_arg)
{
	(void)arg;
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (fx.client[i] && !each(each_arg, fx.client[i]))
			return;
}

static inline void host_facts(void *arg, struct cmd_client *c, struct cmd_client_facts *ret)
{
	(void)arg;
	ret->fd = 7 + (int)cmd_client_id(c);
	snprintf(ret->addr, sizeof(ret->addr), "/run/kvd/%d:0", (int)cmd_client_id(c));
}

static inline void host_kill(void *arg, struct cmd_client *c)
{
	(void)arg;
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (fx.client[i] == c)
			fx.client[i] = cmd_client_free(c);
	fx.kills++;
}

static inline bool host_config_get(void *arg, size_t i, const char **ret_name, struct buf *ret_value)
{
	static const char *const names[] = { "save", "appendonly", "maxclients", "databases" };
	const char *const values[] = { "", fx.appendonly, "10000", "16" };

	(void)arg;
	if (i >= 4)
		return false;
	*ret_name = names[i];
	buf_append_str(ret_value, values[i]);
	return true;
}

static inline int host_config_set(
	void *arg, const struct slice *name, const struct slice *value, size_t n, size_t *ret_bad, struct buf *error)
{
	(void)arg;
	for (size_t i = 0; i < n; i++) {
		*ret_bad = i;
		if (slice_is(name[i], "databases"))
			return -EPERM;
		if (!slice_is(name[i], "appendonly") || value[i].len > 15) {
			buf_append_str(error, "no good value");
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < n; i++)
		snprintf(fx.appendonly, sizeof(fx.appendonly), "%.*s", (int)value[i].len, value[i].ptr);
	return 0;
}

static inline bool host_auth(void *arg, struct slice user, struct slice password, bool *ret_required)
{
	(void)arg;
	*ret_required = fx.password;
	return !fx.password ||
	       (slice_eq(user, SLICE("default")) && slice_eq(password, slice_str(fx.password)));
}

static inline void host_push(void *arg, struct cmd_client *to, struct slice bytes)
{
	(void)arg;
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (fx.client[i] == to)
			buf_append_slice(&fx.pushed[i], bytes);
}

static inline void host_pause(void *arg, int64_t ms)
{
	(void)arg;
	fx.paused_ms = ms;
	fx.unpaused += ms == 0;
}

static inline void host_reopen(void *arg)
{
	(void)arg;
	fx.reopens++;
}

static inline void note_fetched(void *arg, void *token)
{
	(void)arg;
	(void)token;
	fx.fetched++;
}

static inline void fixture_open(void)
{
	static const struct cmd_host host = {
		.stats = host_stats,
		.shutdown = host_shutdown,
		.each_client = host_each_client,
		.client_facts = host_facts,
		.kill_client = host_kill,
		.config_get = host_config_get,
		.config_set = host_config_set,
		.auth = host_auth,
		.push = host_push,
		.pause = host_pause,
		.reopen = host_reopen,
	};
	fx.store = model_open(0, note_fetched, NULL);
	fx.env = cmd_env_new(fx.store, &host);
	strcpy(fx.appendonly, "yes");
	fx.shutdowns = fx.reopens = fx.kills = fx.fetched = fx.unpaused = 0;
}

static inline void fixture_close(void)
{
	for (int i = 0; i < MAX_CLIENTS; i++)
		fx.client[i] = cmd_client_free(fx.client[i]);
	fx.env = cmd_env_free(fx.env);
	store_close(fx.store);
	buf_free(&fx.out);
	for (int i = 0; i < MAX_CLIENTS; i++)
		buf_free(&fx.pushed[i]);
	fx.password = NULL;
}

static inline struct cmd_client *client(int i)
{
	if (!fx.client[i])
		fx.client[i] = cmd_client_new(fx.env, (uint64_t)i + 1, &fx.client[i]);
	return fx.client[i];
}

static inline int read_hex(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Cuts a line into words; text gets their bytes. */
static inline size_t split_line(const char *line, char *text, struct slice *argv)
{
	size_t n = 0;

	for (;; n++) {
		line += strspn(line, " ");
		if (!*line || n == MAX_WORDS)
			return n;
		bool quoted = *line == '"';
		char *start = text;
		for (line += quoted; *line && *line != (quoted ? '"' : ' '); line++) {
			if (*line != '\\' || !quoted) {
				*text++ = *line;
			} else if (*++line == 'x') {
				*text++ = (char)(read_hex(line[1]) * 16 + read_hex(line[2]));
				line += 2;
			} else {
				*text++ = *line == 'n' ? '\n' : *line == 'r' ? '\r' : *line;
			}
		}
		line += quoted;
		argv[n] = slice(start, (size_t)(text - start));
	}
}

/* Runs one line for client i; the reply is in fx.out, the rest in fx.status and fx.result. */
static inline void run_line(int i, const char *line)
{
	struct slice argv[MAX_WORDS];
	char *text = malloc(strlen(line) + 1);
	size_t argc = split_line(line, text, argv);

	buf_reset(&fx.out, 1 << 20);
	fx.status = cmd_run(client(i), argv, argc, NULL, &fx.out, &fx.result);
	free(text);
}

static inline size_t expand(const char *expected, char *out)
{
	size_t n = 0;

	for (; *expected; expected++) {
		if (*expected == '\n')
			out[n++] = '\r';
		out[n++] = *expected;
	}
	return n;
}

static inline bool reply_is(const char *expected, const char *name)
{
	char *text = malloc(2 * strlen(expected) + 1);
	bool good = is_mem(fx.out.ptr, fx.out.len, text, expand(expected, text), name);

	free(text);
	return good;
}

static inline bool line_is(int i, const char *line, const char *expected)
{
	char name[160];

	run_line(i, line);
	snprintf(name, sizeof(name), "%d> %.140s", i, line);
	for (char *p = name; *p; p++)
		if (*p == '#') /* TAP would read a directive */
			*p = '.';
	return reply_is(expected, name);
}

/* What was pushed to client i since the last look. */
static inline bool pushed_is(int i, const char *expected, const char *name)
{
	char *text = malloc(2 * strlen(expected) + 1);
	bool good = is_mem(fx.pushed[i].ptr, fx.pushed[i].len, text, expand(expected, text), name);

	free(text);
	buf_reset(&fx.pushed[i], 0);
	return good;
}

static inline bool reply_has(const char *part, const char *name)
{
	bool good = ok(fx.out.len && memmem(fx.out.ptr, fx.out.len, part, strlen(part)), "%s", name);

	if (!good)
		diag_mem("got", fx.out.ptr, fx.out.len);
	return good;
}

#endif
