/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>

static bool is_asked(const struct call *call, const char *name)
{
	for (size_t i = 2; i < call->argc; i++)
		if (glob_match(call->argv[i], slice_str(name), true))
			return true;
	return false;
}

int config_get(struct call *call)
{
	const struct cmd_host *host = &call->env->host;
	struct buf pairs = { 0 }, value = { 0 };
	struct resp_writer w = { .out = &pairs, .proto = call->out.proto };
	const char *name;
	size_t n = 0;

	for (size_t i = 0; host->config_get(host->arg, i, &name, &value); i++) {
		if (is_asked(call, name)) {
			resp_bulk_str(&w, name);
			resp_bulk(&w, buf_slice(&value));
			n++;
		}
		value.len = 0;
	}
	bool failed = pairs.failed || value.failed;
	if (!failed) {
		resp_map(&call->out, n);
		buf_append_slice(call->out.out, buf_slice(&pairs));
	}
	buf_free(&pairs);
	buf_free(&value);
	return failed ? -ENOMEM : 0;
}

bool config_find(const struct cmd_env *e, struct slice asked, struct buf *ret_value)
{
	const char *name;

	for (size_t i = 0; e->host.config_get && e->host.config_get(e->host.arg, i, &name, ret_value); i++) {
		if (slice_is(asked, name))
			return true;
		ret_value->len = 0;
	}
	return false;
}

static bool is_known(const struct cmd_env *e, struct slice asked)
{
	struct buf value = { 0 };
	bool found = config_find(e, asked, &value);

	buf_free(&value);
	return found;
}

/* The option at argv[i] cannot be set so. */
static int refuse(struct call *call, size_t i, struct slice why)
{
	struct slice name = call->argv[i];

	return call_error(call, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %.*s", name.len < 128 ? (int)name.len : 128,
		name.ptr, why.len < 512 ? (int)why.len : 512, why.ptr);
}

/* False: an error was replied. */
static bool check_names(struct call *call)
{
	for (size_t i = 2; i < call->argc; i += 2) {
		int len = call->argv[i].len < 128 ? (int)call->argv[i].len : 128;
		if (!is_known(call->env, call->argv[i])) {
			call_error(call, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
				len, call->argv[i].ptr);
			return false;
		}
		for (size_t j = 2; j < i; j += 2)
			if (call->argv[j].len == call->argv[i].len &&
				strncasecmp(call->argv[j].ptr, call->argv[i].ptr, call->argv[i].len) == 0) {
				refuse(call, i, SLICE("duplicate parameter"));
				return false;
			}
	}
	return true;
}

enum { MAX_PAIRS = 128 };

int config_set(struct call *call)
{
	const struct cmd_host *host = &call->env->host;
	struct slice name[MAX_PAIRS], value[MAX_PAIRS];
	size_t n = (call->argc - 2) / 2, bad = 0;
	struct buf why = { 0 };
	int r;

	if (call->argc % 2)
		return call_syntax(call);
	if (n > MAX_PAIRS)
		return call_error(call, "ERR CONFIG SET takes at most %d options at a time", MAX_PAIRS);
	if (!check_names(call))
		return 0;
	for (size_t i = 0; i < n; i++) {
		name[i] = call->argv[2 + 2 * i];
		value[i] = call->argv[3 + 2 * i];
	}
	r = host->config_set(host->arg, name, value, n, &bad, &why);
	if (r == 0)
		resp_ok(&call->out);
	else if (r != -ENOMEM)
		refuse(call, 2 + 2 * bad, r == -EPERM ? SLICE("can't set immutable config") : buf_slice(&why));
	buf_free(&why);
	return r == -ENOMEM ? r : 0;
}

int config_rewrite(struct call *call)
{
	return call_error(call, "ERR kvd does not write its configuration: put what is to stay into a drop-in of your own, see kvd.conf(5)");
}

int config_resetstat(struct call *call)
{
	struct cmd_env *e = call->env;
	struct store_stats store;

	for (size_t i = 0; i < e->ncommands; i++) {
		struct command *k = &e->commands[i];
		k->calls = k->rejected = k->failed = k->sampled_ns = 0;
	}
	timing_reset(e);
	memset(e->errors, 0, sizeof(e->errors));
	e->counters = (struct counters){ 0 };
	e->rate.commands = 0;
	e->host.stats(e->host.arg, &e->host_base);
	store_stats(e->store, &store);
	e->expired_base = store.expired;
	resp_ok(&call->out);
	return 0;
}
