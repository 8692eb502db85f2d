/* SPDX-License-Identifier: MIT
 *
 * What commands may ask of the daemon (struct cmd_host).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "daemon/alias.h"
#include "daemon/server.h"

static struct conn *conn_of(const struct cmd_client *c)
{
	return cmd_client_token(c);
}

static void give_stats(void *arg, struct cmd_host_stats *ret)
{
	struct server *s = arg;
	struct cmd_host_stats st = {
		.start_wall_ms = s->start_wall_ms,
		.executable = s->executable,
		.config_file = s->options.file ? s->options.file : "",
		.uptime_s = (s->now_ms - s->start_ms) / 1000,
		.connections_received = s->received,
		.connections_rejected = s->rejected,
		.max_clients = s->max_clients,
		.net_input_bytes = s->net_in,
		.net_output_bytes = s->net_out,
		.output_bytes = s->output_bytes,
	};
	struct conn *c;

	TAILQ_FOREACH(c, &s->conns, all) {
		if (c->dead)
			continue;
		st.connected_clients++;
		st.blocked_clients += c->waiting || c->paused;
		st.recent_max_input = c->in.cap > st.recent_max_input ? c->in.cap : st.recent_max_input;
		st.recent_max_output = c->out.buf.cap > st.recent_max_output ? c->out.buf.cap : st.recent_max_output;
	}
	*ret = st;
}

static void ask_shutdown(void *arg)
{
	server_ask_stop(arg);
}

static void each_client(void *arg, bool (*each)(void *each_arg, struct cmd_client *c), void *each_arg)
{
	struct server *s = arg;
	struct conn *c;

	/* Connections are appended as they come, so this is the order of ids; the dead leave only after the turn. */
	TAILQ_FOREACH(c, &s->conns, all)
		if (!c->dead && !each(each_arg, c->client))
			return;
}

static void give_facts(void *arg, struct cmd_client *client, struct cmd_client_facts *ret)
{
	const struct server *s = arg;
	const struct conn *c = conn_of(client);
	struct cmd_client_facts f = {
		.fd = c->fd,
		.uid = c->peer.uid,
		.pid = c->peer.pid,
		.age_s = (s->now_ms - c->since_ms) / 1000,
		.idle_s = (s->now_ms - c->active_ms) / 1000,
		.query_bytes = c->in.len - c->in_at,
		.query_free = c->in.cap - c->in.len,
		.output_bytes = outq_size(&c->out),
		.total_in = c->total_in,
		.total_out = c->total_out,
	};

	snprintf(f.addr, sizeof(f.addr), "%s:0", s->listener.path);
	*ret = f;
}

static void kill_client(void *arg, struct cmd_client *client)
{
	const struct server *s = arg;
	struct conn *c = conn_of(client);

	if (c == s->running)
		conn_close_after_replies(c);
	else
		conn_kill(c);
}

static void ask_reopen(void *arg)
{
	((struct server *)arg)->reopen_asked = true;
}

/* ---- configuration ---- */

static bool get_config(void *arg, size_t i, const char **ret_name, struct buf *ret_value)
{
	const struct server *s = arg;
	const struct option_info *info = option_info(i);

	if (info) {
		*ret_name = info->name;
		if (i == OPTION_NOTIFY_KEYSPACE_EVENTS)
			cmd_print_events(option_text(&s->options, OPTION_NOTIFY_KEYSPACE_EVENTS), ret_value);
		else
			buf_append_str(ret_value, option_text(&s->options, (enum option_id)i));
		return true;
	}
	*ret_name = alias_get(&s->options, i - OPTION_COUNT, ret_value);
	return *ret_name != NULL;
}

static int set_one(struct options *o, struct slice name, struct slice value, struct error *e)
{
	int id = option_find(name);

	if (id < 0)
		return alias_set(o, name, value, e);
	if (!option_info((size_t)id)->reloadable)
		return -EPERM;
	return options_set(o, name, value, NULL, NULL, e);
}

static int set_config(void *arg, const struct slice *name, const struct slice *value, size_t n, size_t *ret_bad, struct buf *error)
{
	struct server *s = arg;
	struct options copy;
	struct error e = { 0 };
	int r = options_copy(&s->options, &copy);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		r = set_one(&copy, name[i], value[i], &e);
		if (r == 0)
			continue;
		*ret_bad = i;
		buf_append_str(error, e.text);
		options_free(&copy);
		return r;
	}
	settings_set(s, &copy);
	return 0;
}

/* Takes as long for a wrong password as for one that is nearly right. */
static bool same_secret(struct slice given, const char *secret)
{
	size_t len = strlen(secret);
	unsigned char diff = given.len != len;

	for (size_t i = 0; i < given.len; i++)
		diff |= (unsigned char)(given.ptr[i] ^ secret[i < len ? i : 0]);
	return diff == 0;
}

static bool check_password(void *arg, struct slice user, struct slice password, bool *ret_required)
{
	const struct server *s = arg;
	const char *secret = option_text(&s->options, OPTION_REQUIREPASS);

	*ret_required = *secret != '\0';
	if (user.len && !slice_eq(user, SLICE("default"))) /* there is no other user */
		return false;
	return !*secret || same_secret(password, secret);
}

static void push_to(void *arg, struct cmd_client *to, struct slice bytes)
{
	(void)arg;
	conn_push(conn_of(to), bytes);
}

static void pause_requests(void *arg, int64_t ms)
{
	struct server *s = arg;

	if (ms == 0)
		server_end_pause(s);
	else
		events_arm_pause(s, ms);
}

void host_init(struct server *s)
{
	s->host = (struct cmd_host){
		.arg = s,
		.stats = give_stats,
		.shutdown = ask_shutdown,
		.each_client = each_client,
		.client_facts = give_facts,
		.kill_client = kill_client,
		.config_get = get_config,
		.config_set = set_config,
		.auth = check_password,
		.push = push_to,
		.pause = pause_requests,
		.reopen = ask_reopen,
	};
}
