/* SPDX-License-Identifier: MIT
 *
 * The grammar (commands.def has it in words):
 *
 *   list   = element { element }
 *   choice = list { "|" list }
 *   element = "[" choice "]" | "<" choice ">" | word [ "..." ]
 *
 * An upper-case word right before a lower-case word or a choice is its token, and that of the whole group when more stands in the
 * group; alone it is a pure token. "[x ...]" behind the same x is no argument of its own but says that x may be repeated, and "..."
 * at the end of a choice that another alternative may follow.
 */
#include "cmd/syntax.h"

#include <assert.h>
#include <ctype.h>

enum kind { WORD, TOKEN, BLOCK, ONEOF };

struct node {
	enum kind kind;
	struct slice name, token;
	bool optional, multiple, multiple_token;
	int child, next; /* indices, -1: none */
};

struct parser {
	const char *at, *command;
	struct node node[SYNTAX_MAX];
	int n;
	bool repeat; /* "..." was the last word */
	size_t keys, key_specs; /* met while replying; there are */
};

static int add_node(struct parser *p, enum kind kind, struct slice name)
{
	assert(p->n < SYNTAX_MAX);
	p->node[p->n] = (struct node){ .kind = kind, .name = name, .child = -1, .next = -1 };
	return p->n++;
}

static void skip_blanks(struct parser *p)
{
	while (*p->at == ' ')
		p->at++;
}

static struct slice read_word(struct parser *p)
{
	const char *start = p->at;

	p->at += strcspn(p->at, " []<>|");
	return slice(start, (size_t)(p->at - start));
}

static int count_list(const struct parser *p, int i)
{
	int n = 0;

	for (; i >= 0; i = p->node[i].next)
		n++;
	return n;
}

static int parse_choice(struct parser *p);

/* A block; the token before its first word is that of all of it. */
static int add_block(struct parser *p, int child)
{
	struct node *first = &p->node[child];
	int i = add_node(p, BLOCK, first->token.len ? first->token : first->name);

	p->node[i].child = child;
	if (first->kind == WORD && !first->optional) {
		p->node[i].token = first->token;
		first->token = slice(NULL, 0);
	}
	return i;
}

/* A "[key value ...]" that repeats the last nodes of the list is folded into them. */
static bool fold_repeat(struct parser *p, int *first, int group)
{
	int n = count_list(p, group), len = count_list(p, *first), start = *first, before = -1, i, j;

	if (n == 0 || n > len)
		return false;
	for (int skip = len - n; skip; skip--) {
		before = start;
		start = p->node[start].next;
	}
	for (i = start, j = group; i >= 0; i = p->node[i].next, j = p->node[j].next)
		if (p->node[i].kind != WORD || !slice_eq(p->node[i].name, p->node[j].name))
			return false;
	bool with_token = p->node[group].token.len;
	i = n == 1 ? start : add_block(p, start);
	p->node[i].multiple = true;
	p->node[i].multiple_token = with_token;
	if (n == 1)
		return true;
	if (before < 0)
		*first = i;
	else
		p->node[before].next = i;
	return true;
}

static int wrap(struct parser *p, int list, bool optional)
{
	int i = count_list(p, list) > 1 ? add_block(p, list) : list;

	p->node[i].optional |= optional;
	return i;
}

static int parse_word(struct parser *p)
{
	struct slice word = read_word(p), token = { NULL, 0 };
	int i;

	if (isupper((unsigned char)word.ptr[0])) {
		skip_blanks(p);
		if (!islower((unsigned char)*p->at) && *p->at != '<') {
			i = add_node(p, TOKEN, word);
			p->node[i].token = word;
			return i;
		}
		token = word;
	}
	if (*p->at == '<') {
		p->at++;
		i = parse_choice(p);
		p->at++;
	} else {
		i = add_node(p, WORD, token.len ? read_word(p) : word);
	}
	p->node[i].token = token;
	return i;
}

static int parse_list(struct parser *p)
{
	int first = -1, i;

	for (skip_blanks(p); *p->at && !strchr("|]>", *p->at); skip_blanks(p)) {
		bool optional = *p->at == '[', group = optional || *p->at == '<', repeat = false;
		if (strncmp(p->at, "...", 3) == 0) {
			p->at += 3;
			p->repeat = true;
			continue;
		}
		if (group) {
			const char *close = strchr(p->at, ']');
			repeat = optional && close && close - p->at > 4 && memcmp(close - 3, "...", 3) == 0 &&
				 !memchr(p->at + 1, '[', (size_t)(close - p->at - 1));
			p->at++;
			if (repeat) {
				i = parse_list(p);
				p->at++;
				p->repeat = false;
				if (fold_repeat(p, &first, i))
					continue;
				p->node[i].multiple = true;
				i = wrap(p, i, true);
			} else {
				i = parse_choice(p);
				p->at++;
				p->node[i].optional |= optional;
				p->node[i].multiple |= p->repeat;
				p->repeat = false;
			}
		} else {
			i = parse_word(p);
		}
		int last = first;
		while (last >= 0 && p->node[last].next >= 0)
			last = p->node[last].next;
		if (last < 0)
			first = i;
		else
			p->node[last].next = i;
	}
	return first;
}

static int parse_choice(struct parser *p)
{
	int first = wrap(p, parse_list(p), false), last = first, i;

	if (*p->at != '|')
		return first;
	while (*p->at == '|') {
		p->at++;
		i = wrap(p, parse_list(p), false);
		p->node[last].next = i;
		last = i;
	}
	i = add_node(p, ONEOF, SLICE("option"));
	p->node[i].child = first;
	return i;
}

/* Words that mean something else in these commands. */
static const struct {
	const char *command, *name, *type;
} special[] = {
	{ "setbit", "value", "integer" },
	{ "bitfield", "value", "integer" },
	{ "incrbyfloat", "increment", "double" },
	{ "kvd.range", "start", "string" },
	{ "kvd.range", "end", "string" },
	{ "kvd.delrange", "start", "string" },
	{ "kvd.delrange", "end", "string" },
};

static const char *find_type(const struct parser *p, const struct node *n)
{
	static const struct {
		const char *name, *type;
	} types[] = {
		{ "key", "key" },
		{ "newkey", "key" },
		{ "key1", "key" },
		{ "key2", "key" },
		{ "destkey", "key" },
		{ "source", "key" },
		{ "destination", "key" },
		{ "pattern", "pattern" },
		{ "seconds", "integer" },
		{ "milliseconds", "integer" },
		{ "unix-time-seconds", "unix-time" },
		{ "unix-time-milliseconds", "unix-time" },
		{ "increment", "integer" },
		{ "decrement", "integer" },
		{ "offset", "integer" },
		{ "start", "integer" },
		{ "end", "integer" },
		{ "len", "integer" },
		{ "cursor", "integer" },
		{ "count", "integer" },
		{ "index", "integer" },
		{ "index1", "integer" },
		{ "index2", "integer" },
		{ "db", "integer" },
		{ "destination-db", "integer" },
		{ "client-id", "integer" },
		{ "protover", "integer" },
		{ "numlocal", "integer" },
		{ "numreplicas", "integer" },
		{ "timeout", "integer" },
		{ "version", "integer" },
		{ "bit", "integer" },
		{ "ttl", "integer" },
		{ "frequency", "integer" },
	};

	switch (n->kind) {
	case TOKEN:
		return "pure-token";
	case BLOCK:
		return "block";
	case ONEOF:
		return "oneof";
	case WORD:
		break;
	}
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (slice_eq(n->name, slice_str(special[i].name)) && strcmp(special[i].command, p->command) == 0)
			return special[i].type;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (slice_eq(n->name, slice_str(types[i].name)))
			return types[i].type;
	return "string";
}

static void reply_lower(struct resp_writer *w, struct slice s)
{
	char lower[48];
	size_t n = s.len < sizeof(lower) ? s.len : sizeof(lower);

	for (size_t i = 0; i < n; i++)
		lower[i] = (char)tolower((unsigned char)s.ptr[i]);
	resp_bulk(w, slice(lower, n));
}

static void reply_list(struct resp_writer *w, struct parser *p, int first);

static void reply_node(struct resp_writer *w, struct parser *p, const struct node *n)
{
	const char *type = find_type(p, n);
	bool key = strcmp(type, "key") == 0, flags = n->optional || n->multiple;

	resp_map(w, 2 + (n->kind == WORD) + key + (n->token.len != 0) + flags + (n->child >= 0));
	resp_bulk_str(w, "name");
	reply_lower(w, n->name);
	resp_bulk_str(w, "type");
	resp_bulk_str(w, type);
	if (n->kind == WORD) {
		resp_bulk_str(w, "display_text");
		resp_bulk(w, n->name);
	}
	if (key) {
		resp_bulk_str(w, "key_spec_index");
		resp_int(w, (int64_t)(p->keys < p->key_specs ? p->keys : p->key_specs - 1));
		p->keys++;
	}
	if (n->token.len) {
		resp_bulk_str(w, "token");
		resp_bulk(w, n->token);
	}
	if (flags) {
		resp_bulk_str(w, "flags");
		resp_set(w, (size_t)n->optional + n->multiple + n->multiple_token);
		if (n->optional)
			resp_simple(w, "optional");
		if (n->multiple)
			resp_simple(w, "multiple");
		if (n->multiple_token)
			resp_simple(w, "multiple_token");
	}
	if (n->child >= 0) {
		resp_bulk_str(w, "arguments");
		reply_list(w, p, n->child);
	}
}

static void reply_list(struct resp_writer *w, struct parser *p, int first)
{
	resp_array(w, (size_t)count_list(p, first));
	for (int i = first; i >= 0; i = p->node[i].next)
		reply_node(w, p, &p->node[i]);
}

void syntax_reply(struct resp_writer *w, const struct command *k)
{
	const struct parser start = { .at = k->info->syntax, .command = k->info->name, .key_specs = key_specs_count(k) };
	struct parser p = start;
	int first = parse_list(&p);

	/* A choice at the outermost level needs no brackets. */
	if (*p.at == '|') {
		p = start;
		first = parse_choice(&p);
	}
	reply_list(w, &p, first);
}
