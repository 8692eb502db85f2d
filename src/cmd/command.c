/* SPDX-License-Identifier: MIT
 *
 * COMMAND: the table, told to clients.
 */
#include "cmd/room.h"

#include <errno.h>
#include "cmd/syntax.h"

static bool is_sub(const struct command *k)
{
	return memchr(k->info->name, '|', k->name_len);
}

static bool belongs_to(const struct command *sub, const struct command *container)
{
	size_t n = container->name_len;

	return sub->name_len > n && sub->info->name[n] == '|' &&
	       memcmp(sub->info->name, container->info->name, n) == 0;
}

static size_t count_subs(const struct cmd_env *e, const struct command *container)
{
	size_t n = 0;

	for (size_t i = 0; (container->how & CONTAINER) && i < e->ncommands; i++)
		n += belongs_to(&e->commands[i], container);
	return n;
}

static size_t count_top(const struct cmd_env *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->ncommands; i++)
		n += !is_sub(&e->commands[i]);
	return n;
}

/* ---- COMMAND, COMMAND INFO ---- */

/* Blank-separated words as a set of status lines. */
void command_words(struct resp_writer *w, const char *words)
{
	char word[32];
	size_t n = 0;

	for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
		n++;
	resp_set(w, n);
	for (const char *p = words; *p; p += *p == ' ') {
		size_t len = strcspn(p, " ");
		memcpy(word, p, len < sizeof(word) - 1 ? len : sizeof(word) - 1);
		word[len < sizeof(word) - 1 ? len : sizeof(word) - 1] = 0;
		resp_simple(w, word);
		p += len;
	}
}

static void list_categories(const struct command *k, char *out, size_t size)
{
	static const struct {
		const char *group, *category;
	} groups[] = {
		{ "string", "@string" },
		{ "generic", "@keyspace" },
		{ "connection", "@connection" },
		{ "transactions", "@transaction" },
		{ "pubsub", "@pubsub" },
		{ "bitmap", "@bitmap" },
		{ "kvd", "@kvd" },
	};
	struct buf b = { 0 };

	if (k->how & KEYSPACE)
		buf_append_str(&b, "@keyspace ");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (strcmp(k->info->group, groups[i].group) == 0)
			buf_printf(&b, "%s ", groups[i].category);
	buf_append_str(&b, k->flags & FLAG_WRITE ? "@write " : k->flags & FLAG_READONLY ? "@read " : "");
	buf_append_str(&b, k->flags & FLAG_ADMIN ? "@admin @dangerous "
			   : k->how & DANGEROUS  ? "@dangerous "
						 : "");
	buf_append_str(&b, k->flags & FLAG_FAST ? "@fast" : "@slow");
	size_t n = b.failed ? 0 : b.len < size - 1 ? b.len : size - 1;
	if (n)
		memcpy(out, b.ptr, n);
	out[n] = 0;
	buf_free(&b);
}

static void reply_info(struct call *call, const struct command *k)
{
	struct resp_writer *w = &call->out;
	char categories[160];

	resp_array(w, 10);
	resp_bulk_str(w, k->info->name);
	resp_int(w, k->info->arity);
	command_words(w, k->info->flags);
	resp_int(w, k->info->first);
	resp_int(w, k->info->last);
	resp_int(w, k->info->step);
	list_categories(k, categories, sizeof(categories));
	command_words(w, categories);
	resp_set(w, 0);
	key_specs_reply(w, k);
	if (k->how & CONTAINER)
		resp_array(w, count_subs(call->env, k));
	else
		resp_set(w, 0); /* as Redis has it: no subcommands are a set */
	for (size_t i = 0; (k->how & CONTAINER) && i < call->env->ncommands; i++)
		if (belongs_to(&call->env->commands[i], k))
			reply_info(call, &call->env->commands[i]);
}

int command_all(struct call *call)
{
	resp_array(&call->out, count_top(call->env));
	for (size_t i = 0; i < call->env->ncommands; i++)
		if (!is_sub(&call->env->commands[i]))
			reply_info(call, &call->env->commands[i]);
	return 0;
}

int command_info(struct call *call)
{
	if (call->argc == 2)
		return command_all(call);
	resp_array(&call->out, call->argc - 2);
	for (size_t i = 2; i < call->argc; i++) {
		const struct command *k = table_find(call->env, call->argv[i]);
		if (k)
			reply_info(call, k);
		else
			resp_null(&call->out);
	}
	return 0;
}

int command_count(struct call *call)
{
	resp_int(&call->out, (int64_t)count_top(call->env));
	return 0;
}

/* Never reached with a subcommand, and without one only for a container that does not stand alone. */
int command_container(struct call *call)
{
	return call_error(call, "ERR wrong number of arguments for '%s' command", call->command->info->name);
}

/* ---- COMMAND DOCS ---- */

static void reply_docs(struct call *call, const struct command *k)
{
	const struct cmd_info *info = k->info;
	struct resp_writer *w = &call->out;
	size_t subs = count_subs(call->env, k);

	resp_bulk_str(w, info->name);
	resp_map(w, 3 + (*info->syntax != 0) + (subs != 0));
	resp_bulk_str(w, "summary");
	resp_bulk_str(w, info->summary);
	resp_bulk_str(w, "since");
	resp_bulk_str(w, info->since);
	resp_bulk_str(w, "group");
	resp_bulk_str(w, info->group);
	if (*info->syntax) {
		resp_bulk_str(w, "arguments");
		syntax_reply(w, k);
	}
	if (!subs)
		return;
	resp_bulk_str(w, "subcommands");
	resp_map(w, subs);
	for (size_t i = 0; i < call->env->ncommands; i++)
		if (belongs_to(&call->env->commands[i], k))
			reply_docs(call, &call->env->commands[i]);
}

int command_docs(struct call *call)
{
	const struct cmd_env *e = call->env;
	size_t n = 0;

	for (size_t i = 2; i < call->argc; i++)
		n += table_find(e, call->argv[i]) != NULL;
	resp_map(&call->out, call->argc == 2 ? count_top(e) : n);
	for (size_t i = 0; call->argc == 2 && i < e->ncommands; i++)
		if (!is_sub(&e->commands[i]))
			reply_docs(call, &e->commands[i]);
	for (size_t i = 2; i < call->argc; i++) {
		const struct command *k = table_find(e, call->argv[i]);
		if (k)
			reply_docs(call, k);
	}
	return 0;
}

/* ---- COMMAND LIST, GETKEYS, HELP ---- */

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

static bool is_listed(const struct command *k, enum filter filter, struct slice word)
{
	char categories[160], asked[64];

	switch (filter) {
	case FILTER_NONE:
		return !is_sub(k);
	case FILTER_MODULE:
		return false;
	case FILTER_PATTERN:
		return glob_match(word, slice(k->info->name, k->name_len), true);
	case FILTER_CATEGORY:
		break;
	}
	if (word.len == 0 || word.len > sizeof(asked) - 2)
		return false;
	list_categories(k, categories, sizeof(categories));
	asked[0] = '@';
	memcpy(asked + 1, word.ptr, word.len);
	asked[1 + word.len] = 0;
	return table_has_word(categories, asked);
}

int command_list(struct call *call)
{
	static const char *const words[] = { "", "module", "aclcat", "pattern" };
	enum filter filter = FILTER_NONE;
	size_t mark, n = 0;

	if (call->argc == 5 && slice_is(call->argv[2], "filterby"))
		for (enum filter f = FILTER_MODULE; f <= FILTER_PATTERN; f++)
			if (slice_is(call->argv[3], words[f]))
				filter = f;
	if (call->argc != 2 && filter == FILTER_NONE)
		return call_syntax(call);
	mark = resp_array_begin(&call->out);
	for (size_t i = 0; i < call->env->ncommands; i++)
		if (is_listed(&call->env->commands[i], filter, filter ? call->argv[4] : slice("", 0))) {
			resp_bulk_str(&call->out, call->env->commands[i].info->name);
			n++;
		}
	resp_array_end(&call->out, mark, n);
	return 0;
}

int command_getkeys(struct call *call)
{
	const struct command *k = table_find(call->env, call->argv[2]);
	size_t argc = call->argc - 2, first, step, end;

	if (k && (k->how & CONTAINER) && argc > 1)
		k = table_find_sub(call->env, k, call->argv[3]);
	if (!k)
		return call_error(call, "ERR Invalid command specified");
	end = call_keys(k, argc, &first, &step);
	if (!first)
		return call_error(call, "ERR The command has no key arguments");
	if (k->info->arity >= 0 ? argc != (size_t)k->info->arity : argc < (size_t)-k->info->arity)
		return call_error(call, "ERR Invalid number of arguments specified for command");
	resp_array(&call->out, (end - first + step - 1) / step);
	for (size_t i = first; i < end; i += step)
		resp_bulk(&call->out, call->argv[2 + i]);
	return 0;
}

/* Two lines a command: how to write it, what it does. */
static void reply_help_lines(struct resp_writer *w, const struct command *k, size_t skip)
{
	struct buf line = { 0 };
	size_t n = k->name_len - skip;

	buf_append(&line, k->info->name + skip, n);
	for (size_t i = 0; !line.failed && i < line.len; i++)
		line.ptr[i] -= line.ptr[i] >= 'a' && line.ptr[i] <= 'z' ? 32 : 0;
	if (*k->info->syntax)
		buf_printf(&line, " %s", k->info->syntax);
	buf_append_char(&line, 0);
	resp_simple(w, line.failed ? "" : line.ptr);
	line.len = 0;
	buf_printf(&line, "    %s", k->info->summary);
	buf_append_char(&line, 0);
	resp_simple(w, line.failed ? "" : line.ptr);
	buf_free(&line);
}

int command_help(struct call *call)
{
	const struct cmd_env *e = call->env;
	const struct command *container =
		table_find(e, slice(call->command->info->name, strcspn(call->command->info->name, "|")));
	char title[96] = "";

	for (size_t i = 0; i < container->name_len; i++)
		title[i] = (char)(container->info->name[i] & ~0x20);
	strcat(title, " <subcommand> [<arg> ...], where a subcommand is:");
	resp_array(&call->out, 1 + 2 * count_subs(e, container));
	resp_simple(&call->out, title);
	for (size_t i = 0; i < e->ncommands; i++)
		if (belongs_to(&e->commands[i], container))
			reply_help_lines(&call->out, &e->commands[i], container->name_len + 1);
	return 0;
}

int command_kvd_help(struct call *call)
{
	const struct cmd_env *e = call->env;
	size_t n = 0;

	for (size_t i = 0; i < e->ncommands; i++)
		n += strncmp(e->commands[i].info->name, "kvd.", 4) == 0;
	resp_array(&call->out, 2 * n);
	for (size_t i = 0; i < e->ncommands; i++)
		if (strncmp(e->commands[i].info->name, "kvd.", 4) == 0)
			reply_help_lines(&call->out, &e->commands[i], 0);
	return 0;
}
