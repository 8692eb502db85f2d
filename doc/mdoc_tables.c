/* SPDX-License-Identifier: MIT
 *
 * Fills the reference sections of manual pages from the tables of the source, so that the two cannot drift apart. Copies
 * standard input to standard output; a line between two at signs becomes mdoc(7):
 *
 *   @OPTION name@   one row of options.def, prose may follow
 *   @OPTIONS@       the rows no @OPTION@ has named before
 *   @COMMANDS@      all of commands.def, a subsection for each group
 *   @STATS@         all of stats.def
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { SIZE, DURATION, INTEGER, BOOL, MODE, ENUM, USER, GROUP, STRING, OR_OFF, HOURS, LETTERS, PATH };

struct option {
	const char *name;
	enum type type;
	const char *fallback;
	uint64_t min, max;
	const char *choices;
	bool reloadable;
	const char *help;
	bool *done;
};

#define OPTION(id, ...) static bool done_##id;
#include "daemon/options.def"
#undef OPTION

static const struct option options[] = {
#define OPTION(id, name, type, fallback, min, max, choices, reloadable, help) \
	{ name, type, fallback, min, max, choices, reloadable, help, &done_##id },
#include "daemon/options.def"
#undef OPTION
};

/* The words the dispatcher's column of commands.def is written in; containers alone matter here. */
enum { VALUE = 0, TXN = 0, NOW = 0, DANGEROUS = 0, KEYSPACE = 0, LISTENER = 0, LONG = 0, PART = 0, COMPARES = 0, CONTAINER = 1, ALONE = 2 };

static const struct command {
	const char *name;
	unsigned how;
	const char *group, *syntax, *summary;
} commands[] = {
#define ROW(name, arity, flags, how, first, last, step, group, since, handler, syntax, summary) \
	{ name, how, group, syntax, summary },
#include "cmd/commands.def"
#undef ROW
};

static const struct stat {
	const char *name, *kind, *unit, *help;
} stats[] = {
#define STAT(name, kind, unit, value, help) { #name, kind, unit, help },
#include "cmd/stats.def"
#undef STAT
};

#define LINE_WIDTH 78
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Text as roff takes it: a hyphen that stays one, no escapes by accident, no request at the start of a line. */
static void put_text(const char *s, size_t len, bool literal)
{
	if (len && (*s == '.' || *s == '\''))
		fputs("\\&", stdout);
	for (size_t i = 0; i < len; i++)
		if (s[i] == '\\')
			fputs("\\e", stdout);
		else if (s[i] == '-' && literal)
			fputs("\\-", stdout);
		else
			putchar(s[i]);
}

static void put_literal(const char *s)
{
	put_text(s, strlen(s), true);
}

/* A help text as a sentence of its own, in lines as short as mandoc likes them. */
static void put_sentence(const char *s)
{
	size_t column = 0, len;
	char first = (char)toupper((unsigned char)*s);

	for (const char *word = s; *word; word += len + strspn(word + len, " ")) {
		len = strcspn(word, " ");
		if (column) {
			putchar(column + 1 + len > LINE_WIDTH ? '\n' : ' ');
			column = column + 1 + len > LINE_WIDTH ? 0 : column + 1;
		}
		if (word == s)
			put_text(&first, 1, false);
		put_text(word + (word == s), len - (word == s), false);
		column += len;
	}
	puts(s[strlen(s) - 1] == '.' ? "" : ".");
}

/* ---- options ---- */

static void put_bound(enum type type, uint64_t v)
{
	static const char sizes[] = "\0KMGT";
	static const struct {
		uint64_t ms;
		const char *name;
	} times[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" }, { 1, "ms" } };
	size_t unit = 0;

	if (type == SIZE) {
		for (; v && v % 1024 == 0 && unit < 4; unit++)
			v /= 1024;
		printf("%" PRIu64 "%.1s", v, sizes + unit);
	} else if (type == DURATION && v) {
		while (v % times[unit].ms)
			unit++;
		printf("%" PRIu64 "%s", v / times[unit].ms, times[unit].name);
	} else {
		printf(type == MODE ? "%04" PRIo64 : "%" PRIu64, v);
	}
}

static void put_option(const struct option *o)
{
	static const char *const nouns[] = { "size", "duration", "number", "yes | no", "mode", "", "user", "group", "text",
		"number", "hours", "letters", "path" };

	*o->done = true;
	fputs(".It Ic ", stdout);
	put_literal(o->name);
	if (o->type != ENUM)
		printf(" No = Ar %s\n", nouns[o->type]);
	else
		fputs(" No = Cm ", stdout);
	for (const char *c = o->choices; o->type == ENUM && *c; c++)
		fputs(*c == ' ' ? " | " : (char[]){ *c, '\0' }, stdout);
	if (o->type == ENUM)
		putchar('\n');
	put_sentence(o->help);
	if (o->type == SIZE || o->type == DURATION || o->type == INTEGER || o->type == OR_OFF || o->type == MODE) {
		fputs("From ", stdout);
		put_bound(o->type, o->min);
		fputs(" to ", stdout);
		put_bound(o->type, o->max);
		puts(".");
	}
	if (*o->fallback)
		printf("Default:\n.Li %s .\n", o->fallback);
	if (!o->reloadable)
		puts("Takes effect at the next start.");
}

static bool put_named_option(const char *name, size_t len)
{
	for (size_t i = 0; i < COUNT(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
			put_option(&options[i]);
			return true;
		}
	return false;
}

static void put_other_options(void)
{
	for (size_t i = 0; i < COUNT(options); i++)
		if (!*options[i].done)
			put_option(&options[i]);
}

/* ---- commands ---- */

/* One word, bracket or bar of a syntax, which begins at s, as a line of its own; returns what follows. */
static const char *put_token(const char *s)
{
	static const struct {
		char c;
		const char *macro;
	} signs[] = { { '[', ".Oo" }, { ']', ".Oc" }, { '<', ".Bro" }, { '>', ".Brc" }, { '|', ".No \\(ba" } };
	size_t len = strcspn(s, " []<>|");

	for (size_t i = 0; i < COUNT(signs); i++)
		if (*s == signs[i].c) {
			puts(signs[i].macro);
			return s + 1;
		}
	if (len == 3 && memcmp(s, "...", 3) == 0)
		fputs(".No ", stdout);
	else
		fputs(islower((unsigned char)*s) ? ".Ar " : ".Cm ", stdout);
	put_text(s, len, true);
	putchar('\n');
	return s + len;
}

static void put_command(const struct command *c)
{
	fputs(".It Xo\n.Ic ", stdout);
	for (const char *p = c->name; *p; p++)
		putchar(*p == '|' ? ' ' : toupper((unsigned char)*p));
	putchar('\n');
	for (const char *s = c->syntax + strspn(c->syntax, " "); *s; s += strspn(s, " "))
		s = put_token(s);
	puts(".Xc");
	put_sentence(c->summary);
}

static void put_commands(void)
{
	static const struct {
		const char *group, *title;
	} titles[] = { { "string", "Strings" }, { "bitmap", "Bits" }, { "generic", "Keys" }, { "transactions", "Transactions" },
		{ "pubsub", "Publish and subscribe" }, { "connection", "Connections" }, { "server", "Server" },
		{ "kvd", "kvd's own" } };

	for (size_t i = 0; i < COUNT(commands); i++) {
		const char *group = commands[i].group, *title = group;
		bool first = true;
		for (size_t j = 0; j < i; j++)
			first = first && strcmp(commands[j].group, group) != 0;
		if (!first)
			continue;
		for (size_t j = 0; j < COUNT(titles); j++)
			title = strcmp(titles[j].group, group) == 0 ? titles[j].title : title;
		printf(".Ss %s\n.Bl -tag -width Ds\n", title);
		for (size_t j = i; j < COUNT(commands); j++)
			if (strcmp(commands[j].group, group) == 0 && commands[j].how != CONTAINER)
				put_command(&commands[j]);
		puts(".El");
	}
}

static void put_stats(void)
{
	for (size_t i = 0; i < COUNT(stats); i++) {
		printf(".It Va %s Pq %s%s%s\n", stats[i].name, stats[i].kind, *stats[i].unit ? ", " : "", stats[i].unit);
		put_sentence(stats[i].help);
	}
}

/* ---- the page ---- */

static bool put_marker(const char *line)
{
	if (strncmp(line, "@OPTION ", 8) == 0)
		return put_named_option(line + 8, strcspn(line + 8, "@"));
	if (strcmp(line, "@OPTIONS@\n") == 0)
		put_other_options();
	else if (strcmp(line, "@COMMANDS@\n") == 0)
		put_commands();
	else if (strcmp(line, "@STATS@\n") == 0)
		put_stats();
	else
		return false;
	return true;
}

int main(void)
{
	char line[1024];

	while (fgets(line, sizeof(line), stdin)) {
		if (*line != '@') {
			fputs(line, stdout);
		} else if (!put_marker(line)) {
			fprintf(stderr, "mdoc_tables: no such table or row: %s", line);
			return EXIT_FAILURE;
		}
	}
	return fflush(stdout) || ferror(stdin) ? EXIT_FAILURE : EXIT_SUCCESS;
}
