/* SPDX-License-Identifier: MIT
 *
 * Beginning, state and end of a connection as its client sees it.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/num.h"

/* False: an error was replied. */
static bool authenticate(struct call *call, struct slice user, struct slice password)
{
	bool required = false;

	if (call->env->host.auth(call->env->host.arg, user, password, &required)) {
		call->client->authenticated = true;
		return true;
	}
	call_error(call, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

static bool needs_password(const struct cmd_env *e)
{
	bool required = false;

	e->host.auth(e->host.arg, SLICE("default"), SLICE(""), &required);
	return required;
}

int session_auth(struct call *call)
{
	if (call->argc > 3)
		return call_syntax(call);
	if (call->argc == 2 && !needs_password(call->env))
		return call_error(call,
			"ERR AUTH <password> called without any password configured for the default user. "
			"Are you sure your configuration is correct?");
	if (authenticate(
		    call, call->argc == 3 ? call->argv[1] : SLICE("default"), call->argv[call->argc - 1]))
		resp_ok(&call->out);
	return 0;
}

static void reply_hello(struct call *call)
{
	struct resp_writer *w = &call->out;

	resp_map(w, 7);
	resp_bulk_str(w, "server");
	resp_bulk_str(w, "kvd");
	resp_bulk_str(w, "version");
	resp_bulk_str(w, CMD_REDIS_VERSION);
	resp_bulk_str(w, "proto");
	resp_int(w, call->client->proto);
	resp_bulk_str(w, "id");
	resp_int(w, (int64_t)call->client->id);
	resp_bulk_str(w, "mode");
	resp_bulk_str(w, "standalone");
	resp_bulk_str(w, "role");
	resp_bulk_str(w, "master");
	resp_bulk_str(w, "modules");
	resp_array(w, 0);
}

struct greeting {
	int64_t proto;
	const struct slice *auth; /* user, password */
	const struct slice *name;
};

static bool read_greeting(struct call *call, struct greeting *g)
{
	*g = (struct greeting){ .proto = call->client->proto };
	if (call->argc > 1 && num_parse_i64(call->argv[1], &g->proto)) {
		call_error(call, "ERR Protocol version is not an integer or out of range");
		return false;
	}
	if (g->proto != 2 && g->proto != 3) {
		call_error(call, "NOPROTO unsupported protocol version");
		return false;
	}
	for (size_t i = 2; i < call->argc; i++) {
		if (slice_is(call->argv[i], "auth") && i + 2 < call->argc) {
			g->auth = &call->argv[i + 1];
			i += 2;
		} else if (slice_is(call->argv[i], "setname") && i + 1 < call->argc) {
			g->name = &call->argv[++i];
		} else {
			call_error(call, "ERR Syntax error in HELLO option '%.*s'",
				call->argv[i].len < 128 ? (int)call->argv[i].len : 128, call->argv[i].ptr);
			return false;
		}
	}
	return !g->name || client_check_name(call, *g->name);
}

int session_hello(struct call *call)
{
	struct cmd_client *c = call->client;
	struct greeting g;

	if (!read_greeting(call, &g))
		return 0;
	if (g.auth && !authenticate(call, g.auth[0], g.auth[1]))
		return 0;
	if (!c->authenticated)
		return call_error(call, "NOAUTH HELLO must be called with the client already authenticated, "
					"otherwise the HELLO <proto> AUTH "
					"<user> <pass> option can be used to authenticate the client and "
					"select the RESP protocol version "
					"at the same time");
	if (g.name && !client_set_text(&c->name, *g.name))
		return -ENOMEM;
	c->proto = call->out.proto = (int)g.proto;
	reply_hello(call);
	return 0;
}

int session_ping(struct call *call)
{
	if (call->argc > 2)
		return call_error(call, "ERR wrong number of arguments for 'ping' command");
	if (pubsub_is_subscribed(call->client) && call->client->proto == 2) {
		resp_array(&call->out, 2);
		resp_bulk_str(&call->out, "pong");
		resp_bulk(&call->out, call->argc == 2 ? call->argv[1] : slice("", 0));
	} else if (call->argc == 2) {
		resp_bulk(&call->out, call->argv[1]);
	} else {
		resp_simple(&call->out, "PONG");
	}
	return 0;
}

int session_echo(struct call *call)
{
	resp_bulk(&call->out, call->argv[1]);
	return 0;
}

int session_select(struct call *call)
{
	if (call_db(call, call->argv[1], &call->client->db))
		resp_ok(&call->out);
	return 0;
}

int session_quit(struct call *call)
{
	resp_ok(&call->out);
	call->close = true;
	return 0;
}

void session_reset_state(struct cmd_client *c)
{
	multi_reset(c);
	pubsub_leave(c);
	monitor_leave(c);
	free(c->name);
	c->name = NULL;
	c->db = 0;
	c->proto = 2;
	c->reply_off = c->reply_skip = c->reply_skip_next = false;
	c->authenticated = !needs_password(c->env);
}

int session_reset(struct call *call)
{
	session_reset_state(call->client);
	call->out.proto = 2;
	resp_simple(&call->out, "RESET");
	return 0;
}
