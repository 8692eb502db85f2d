/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

struct parser {
	const struct slice *words;
	size_t n, at;
	struct args *a;
	struct buf *error;
};

static bool is_for(const struct verb_option *o, const struct verb *v)
{
	return !*o->verb || (v && strcmp(o->verb, v->name) == 0);
}

static const struct verb_option *find_long(const struct verb *v, struct slice name)
{
	const struct verb_option *o;

	for (size_t i = 0; (o = verb_option_row(i)); i++)
		if (is_for(o, v) && slice_eq(name, slice_str(o->name)))
			return o;
	return NULL;
}

static const struct verb_option *find_letter(const struct verb *v, char letter)
{
	const struct verb_option *o;

	for (size_t i = 0; (o = verb_option_row(i)); i++)
		if (o->letter && o->letter == letter && is_for(o, v))
			return o;
	return NULL;
}

__attribute__((format(printf, 3, 4))) static int refuse_word(
	struct parser *p, struct slice word, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(p->error, format, ap);
	va_end(ap);
	buf_append_str(p->error, " \"");
	escape(p->error, word, "\"");
	buf_append_char(p->error, '"');
	return ARGS_BAD;
}

static int refuse_option(struct parser *p, struct slice word)
{
	int r = refuse_word(p, word, "unknown option");

	if (p->a->verb)
		buf_append_str(p->error, " (put -- before an argument that begins with a dash)");
	return r;
}

/* Takes the option; `attached` (ptr NULL: none) is what stood behind it in the same word. */
static int take_option(
	struct parser *p, const struct verb_option *o, struct slice word, struct slice attached)
{
	struct args *a = p->a;
	struct slice value = attached;

	if (!o->argument && attached.ptr)
		return refuse_word(p, word, "the option takes no value:");
	if (o->argument && !attached.ptr) {
		if (p->at == p->n)
			return refuse_word(p, word, "%s is missing after", o->argument);
		value = p->words[p->at++];
	}
	if (a->nset == ARGS_OPTIONS)
		return refuse_word(p, word, "too many options at");
	a->set[a->nset].option = o;
	a->set[a->nset++].value = value;
	return 0;
}

static int take_long(struct parser *p, struct slice word)
{
	struct slice name = slice_skip(word, 2), attached = { 0 };
	const char *equals = name.len ? memchr(name.ptr, '=', name.len) : NULL;

	if (equals) {
		attached = slice(equals + 1, (size_t)(name.ptr + name.len - equals - 1));
		name.len = (size_t)(equals - name.ptr);
	}
	const struct verb_option *o = find_long(p->a->verb, name);
	return o ? take_option(p, o, word, attached) : refuse_option(p, word);
}

static int take_letters(struct parser *p, struct slice word)
{
	for (size_t i = 1; i < word.len; i++) {
		const struct verb_option *o = find_letter(p->a->verb, word.ptr[i]);
		struct slice rest = slice_skip(word, i + 1), none = { 0 };
		if (!o)
			return refuse_option(p, word);
		int r = take_option(p, o, word, o->argument && rest.len ? rest : none);
		if (r || o->argument)
			return r;
	}
	return 0;
}

/* A lone dash is an argument, and so is a negative number where no option has that digit. */
static bool is_option(const struct parser *p, struct slice word)
{
	if (word.len < 2 || word.ptr[0] != '-')
		return false;
	return !isdigit((unsigned char)word.ptr[1]) || find_letter(p->a->verb, word.ptr[1]);
}

static int take_word(struct parser *p, struct slice word)
{
	struct args *a = p->a;

	if (a->verb) {
		a->arg[a->n++] = word;
		return 0;
	}
	a->verb = verb_find(word);
	if (a->verb)
		return 0;
	a->unknown = word;
	return ARGS_UNKNOWN;
}

static int check_count(struct parser *p)
{
	const struct args *a = p->a;
	const struct verb *v = a->verb;

	if (!v || args_option(a, "help", NULL) || args_option(a, "version", NULL))
		return 0;
	if (a->n < (size_t)v->min)
		buf_append_str(p->error, "too few arguments; usage: ");
	else if (v->max >= 0 && a->n > (size_t)v->max)
		buf_append_str(p->error, "too many arguments; usage: ");
	else
		return 0;
	help_usage(v, p->error);
	return ARGS_BAD;
}

int args_parse(const struct slice *words, size_t n, struct args *ret, struct buf *error)
{
	struct parser p = { words, n, 0, ret, error };
	bool options = true;

	*ret = (struct args){ .arg = calloc(n + 1, sizeof(*ret->arg)) };
	if (!ret->arg)
		return -ENOMEM;
	while (p.at < n) {
		struct slice word = words[p.at++];
		int r;
		if (options && slice_eq(word, SLICE("--"))) {
			options = false;
			continue;
		}
		if (options && is_option(&p, word))
			r = word.ptr[1] == '-' ? take_long(&p, word) : take_letters(&p, word);
		else
			r = take_word(&p, word);
		if (r)
			return r;
		if (ret->n && (ret->verb->flags & VERB_VERBATIM))
			options = false;
	}
	return check_count(&p);
}

void args_free(struct args *a)
{
	free(a->arg);
	a->arg = NULL;
}

bool args_option(const struct args *a, const char *name, struct slice *ret_value)
{
	for (size_t i = a->nset; i > 0; i--) {
		if (strcmp(a->set[i - 1].option->name, name) == 0) {
			if (ret_value)
				*ret_value = a->set[i - 1].value;
			return true;
		}
	}
	return false;
}

struct slice args_at(const struct args *a, size_t i)
{
	return i < a->n ? a->arg[i] : slice("", 0);
}

enum kvctl_exit args_duration(struct kvctl *k, struct slice text, char *digits, struct slice *ret)
{
	uint64_t ms;

	if (num_parse_duration(text, &ms) || ms > INT64_MAX)
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no duration; examples: 90, 250ms, 1h30min, 7d",
			(int)text.len, text.ptr);
	*ret = slice(digits, num_format_u64(digits, ms));
	return KVCTL_DONE;
}
