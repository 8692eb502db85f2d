/* SPDX-License-Identifier: MIT
 *
 * MONITOR: every command that was run is told to those who watch, in the order in which they ran.
 */
#include "cmd/room.h"

#include <ctype.h>
#include <time.h>

enum { MAX_LINE = 1 << 20 }; /* bytes; longer requests are cut */

int monitor_monitor(struct call *call)
{
	struct cmd_client *c = call->client;

	if (call->in_exec)
		return call_error(call, "ERR MONITOR isn't allowed for DENY BLOCKING client");
	if (!c->monitors) {
		c->monitors = true;
		LIST_INSERT_HEAD(&call->env->monitors, c, monitor_link);
	}
	resp_ok(&call->out);
	return 0;
}

void monitor_leave(struct cmd_client *c)
{
	if (c->monitors)
		LIST_REMOVE(c, monitor_link);
	c->monitors = false;
}

static void append_quoted(struct buf *line, struct slice word)
{
	static const char from[] = "\n\r\t\a\b\\\"", to[] = "nrtab\\\"";

	buf_append_char(line, '"');
	for (size_t i = 0; i < word.len && line->len < MAX_LINE; i++) {
		const char *special = memchr(from, word.ptr[i], sizeof(from) - 1);
		if (special)
			buf_printf(line, "\\%c", to[special - from]);
		else if (isprint((unsigned char)word.ptr[i]))
			buf_append_char(line, word.ptr[i]);
		else
			buf_printf(line, "\\x%02x", (unsigned char)word.ptr[i]);
	}
	buf_append_char(line, '"');
}

bool call_is_secret(const struct call *call, size_t i)
{
	if (call->command->run == session_auth)
		return i > 0;
	if (call->command->run == config_set)
		return i > 2 && i % 2 && slice_is(call->argv[i - 1], "requirepass");
	/* HELLO version AUTH user password */
	return call->command->run == session_hello && i >= 2 &&
	       (slice_is(call->argv[i - 1], "auth") || (i >= 3 && slice_is(call->argv[i - 2], "auth")));
}

void monitor_tell(const struct call *call)
{
	const struct cmd_env *e = call->env;
	struct cmd_client_facts facts = { 0 };
	struct buf line = { 0 };
	struct cmd_client *to;
	struct timespec now;

	if (call->command->flags & FLAG_ADMIN)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	e->host.client_facts(e->host.arg, call->client, &facts); /* PATH:0 */
	buf_printf(&line, "+%lld.%06ld [%u unix:%.*s]", (long long)now.tv_sec, now.tv_nsec / 1000, call->client->db,
		(int)strlen(facts.addr) - 2, facts.addr);
	for (size_t i = 0; i < call->argc && line.len < MAX_LINE; i++) {
		buf_append_char(&line, ' ');
		append_quoted(&line, call_is_secret(call, i) ? SLICE("(redacted)") : call->argv[i]);
	}
	if (line.len >= MAX_LINE)
		buf_append_str(&line, " ...");
	buf_append_str(&line, "\r\n");
	if (!line.failed)
		LIST_FOREACH(to, &e->monitors, monitor_link)
			e->host.push(e->host.arg, to, buf_slice(&line));
	buf_free(&line);
}
