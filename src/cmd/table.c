/* SPDX-License-Identifier: MIT */
#include "cmd/room.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include "base/hash.h"

enum { SLOTS = 1024 }; /* at a tenth full a lookup mostly ends at its first slot */

#define ROW(name, arity, flags, how, first, last, step, group, since, handler, syntax, summary)              \
	{ name, arity, flags, first, last, step, group, since, syntax, summary },
static const struct cmd_info rows[] = {
#include "cmd/commands.def"
};
#undef ROW

#define ROW(name, arity, flags, how, first, last, step, group, since, handler, syntax, summary)              \
	{ handler, how },
static const struct {
	call_handler *run;
	unsigned how;
} inner[] = {
#include "cmd/commands.def"
};
#undef ROW

enum { NROWS = sizeof(rows) / sizeof(rows[0]) };
static_assert(NROWS < SLOTS / 2, "the table of names is too full");

size_t cmd_count(void)
{
	return NROWS;
}

const struct cmd_info *cmd_info(size_t i)
{
	return i < NROWS ? &rows[i] : NULL;
}

bool table_has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += len)
		if ((p == words || p[-1] == ' ') && (p[len] == 0 || p[len] == ' '))
			return true;
	return false;
}

/* Letters of either case give the same; other bytes may collide, the comparison sorts that out. */
static unsigned hash_name(struct slice name)
{
	uint32_t h = (uint32_t)name.len;

	for (size_t i = 0; i < name.len; i++)
		h = (h ^ ((unsigned char)name.ptr[i] | 0x20)) * 0x9e3779b1u;
	return h >> 22;
}

static bool is_named(const struct command *k, struct slice name)
{
	return k->name_len == name.len && strncasecmp(k->info->name, name.ptr, name.len) == 0;
}

struct command *table_find(const struct cmd_env *e, struct slice name)
{
	if (name.len == 0 || name.len > 64)
		return NULL;
	for (unsigned i = hash_name(name); e->slots[i]; i = (i + 1) % SLOTS)
		if (is_named(&e->commands[e->slots[i] - 1], name))
			return &e->commands[e->slots[i] - 1];
	return NULL;
}

struct command *table_find_sub(const struct cmd_env *e, const struct command *container, struct slice sub)
{
	char name[64];
	size_t len = container->name_len;

	if (sub.len == 0 || len + 1 + sub.len > sizeof(name))
		return NULL;
	memcpy(name, container->info->name, len);
	name[len] = '|';
	memcpy(name + len + 1, sub.ptr, sub.len);
	return table_find(e, slice(name, len + 1 + sub.len));
}

static unsigned read_flags(const char *words)
{
	static const struct {
		const char *word;
		unsigned flag;
	} known[] = {
		{ "write", FLAG_WRITE },
		{ "readonly", FLAG_READONLY },
		{ "fast", FLAG_FAST },
		{ "no_auth", FLAG_NO_AUTH },
		{ "no_multi", FLAG_NO_MULTI },
		{ "admin", FLAG_ADMIN },
		{ "pubsub", FLAG_PUBSUB },
	};
	unsigned flags = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (table_has_word(words, known[i].word))
			flags |= known[i].flag;
	return flags;
}

static void add_row(struct cmd_env *e, size_t i)
{
	struct command *k = &e->commands[i];
	unsigned slot;

	k->info = &rows[i];
	k->run = inner[i].run;
	k->how = inner[i].how;
	k->name_len = strlen(rows[i].name);
	k->flags = read_flags(rows[i].flags);
	k->store = (k->flags & (FLAG_WRITE | FLAG_READONLY)) || (k->how & TXN);
	for (slot = hash_name(slice(rows[i].name, k->name_len)); e->slots[slot];)
		slot = (slot + 1) % SLOTS;
	e->slots[slot] = (uint16_t)(i + 1);
}

int table_init(struct cmd_env *e)
{
	e->ncommands = NROWS;
	e->commands = calloc(NROWS, sizeof(*e->commands));
	e->slots = calloc(SLOTS, sizeof(*e->slots));
	if (!e->commands || !e->slots)
		return -ENOMEM;
	for (size_t i = 0; i < NROWS; i++)
		add_row(e, i);
	return 0;
}

void table_free(struct cmd_env *e)
{
	for (size_t i = 0; e->commands && i < e->ncommands; i++)
		free(e->commands[i].histogram);
	free(e->commands);
	free(e->slots);
	e->commands = NULL;
	e->slots = NULL;
}
