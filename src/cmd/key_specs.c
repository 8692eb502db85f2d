/* SPDX-License-Identifier: MIT
 *
 * What a command does with its keys, as COMMAND says it (key specifications). The positions are those of commands.def;
 * here stand the words, and where the keys are of two kinds.
 *
 * RO, RW, OW, RM: the value is read, changed in dependence on what it was, overwritten, or removed unseen;
 * access, insert, update, delete: what is done with the user's data; a name or a length alone is no data.
 */
#include "cmd/room.h"

static const struct {
	const char *words, *commands;
} uses[] = {
	{ "RO", "strlen exists type touch watch object|encoding object|refcount object|idletime object|freq memory|usage" },
	{ "RO access", "copy" },
	{ "RW access update", "getset getex incr decr incrby decrby incrbyfloat setbit move" },
	{ "RW access update variable_flags", "set bitfield" },
	{ "RW access delete", "getdel delex delifeq rename renamenx" },
	{ "RW insert", "append" },
	{ "OW insert", "setnx msetnx" },
	{ "OW update", "setex psetex mset restore bitop" },
	{ "RM delete", "del unlink" },
};

/* The keys from this position on are of another kind. */
static const struct second {
	const char *command;
	int from;
	const char *words;
} seconds[] = {
	{ "rename", 2, "OW update" },
	{ "renamenx", 2, "OW insert" },
	{ "copy", 2, "OW update" },
	{ "bitop", 3, "RO access" },
};

static const char *find_words(const struct command *k)
{
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		if (table_has_word(uses[i].commands, k->info->name))
			return uses[i].words;
	return k->flags & FLAG_WRITE ? "RW update" : "RO access";
}

static const struct second *find_second(const struct command *k)
{
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
		if (strcmp(seconds[i].command, k->info->name) == 0)
			return &seconds[i];
	return NULL;
}

size_t key_specs_count(const struct command *k)
{
	return k->info->first == 0 ? 0 : find_second(k) ? 2 : 1;
}

/* last: absolute, or from the end when negative. */
static void reply_spec(struct resp_writer *w, const char *words, int first, int last, int step)
{
	resp_map(w, 3);
	resp_bulk_str(w, "flags");
	command_words(w, words);
	resp_bulk_str(w, "begin_search");
	resp_map(w, 2);
	resp_bulk_str(w, "type");
	resp_bulk_str(w, "index");
	resp_bulk_str(w, "spec");
	resp_map(w, 1);
	resp_bulk_str(w, "index");
	resp_int(w, first);
	resp_bulk_str(w, "find_keys");
	resp_map(w, 2);
	resp_bulk_str(w, "type");
	resp_bulk_str(w, "range");
	resp_bulk_str(w, "spec");
	resp_map(w, 3);
	resp_bulk_str(w, "lastkey");
	resp_int(w, last < 0 ? last : last - first);
	resp_bulk_str(w, "keystep");
	resp_int(w, step);
	resp_bulk_str(w, "limit");
	resp_int(w, 0);
}

void key_specs_reply(struct resp_writer *w, const struct command *k)
{
	const struct cmd_info *info = k->info;
	const struct second *second = find_second(k);

	resp_set(w, key_specs_count(k));
	if (info->first)
		reply_spec(w, find_words(k), info->first, second ? second->from - 1 : info->last, info->step);
	if (second)
		reply_spec(w, second->words, second->from, info->last, info->step);
}
