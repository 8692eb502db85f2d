/* SPDX-License-Identifier: MIT
 *
 * Help, all of it from the table.
 */
#include "kvctl/output.h"
#include "kvctl/verb.h"

enum { LEFT_WIDTH = 24 };

void help_usage(const struct verb *v, struct buf *out)
{
	const struct verb_option *o;
	bool options = false;

	for (size_t i = 0; (o = verb_option_row(i)); i++)
		options |= strcmp(o->verb, v->name) == 0;
	buf_printf(out, "kvctl %s%s%s%s", v->name, options ? " [OPTION...]" : "", *v->syntax ? " " : "",
		v->syntax);
}

/* Two columns; what is too wide for the first one has a line of its own. */
static void print_row(struct kvctl *k, const struct buf *left, const char *right)
{
	int width = (int)left->len;

	if (width > LEFT_WIDTH)
		output_printf(k, "  %.*s\n  %-*s  %s\n", width, left->ptr, LEFT_WIDTH, "", right);
	else
		output_printf(k, "  %-*.*s  %s\n", LEFT_WIDTH, width, left->ptr, right);
}

static void print_options(struct kvctl *k, const char *verb)
{
	const struct verb_option *o;

	for (size_t i = 0; (o = verb_option_row(i)); i++) {
		struct buf left = { 0 };
		if (strcmp(o->verb, verb) != 0)
			continue;
		if (o->letter)
			buf_printf(&left, "-%c, ", o->letter);
		else
			buf_append_str(&left, "    ");
		buf_printf(&left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
		print_row(k, &left, o->help);
		buf_free(&left);
	}
}

void help_general(struct kvctl *k)
{
	const struct verb *v;

	output_printf(k,
		"usage: kvctl [OPTION...] VERB [ARGUMENT...]\n"
		"       kvctl [OPTION...]              a shell, or a script on standard input\n\nverbs:\n");
	for (size_t i = 0; (v = verb_row(i)); i++) {
		struct buf left = { 0 };
		buf_printf(&left, "%s%s%s", v->name, *v->syntax ? " " : "", v->syntax);
		print_row(k, &left, v->summary);
		buf_free(&left);
	}
	output_printf(k, "\noptions:\n");
	print_options(k, "");
	output_printf(k, "\n\"kvctl help VERB\" shows the options of a verb. "
			 "Exit code: 0 done, 1 absent or refused, 2 wrong usage, 3 no connection.\n");
}

static void print_aliases(struct kvctl *k, const struct verb *v)
{
	const struct verb *of;
	const char *name, *before = "also: ";

	for (size_t i = 0; (name = verb_name(i, &of)); i++) {
		if (of != v || strcmp(name, v->name) == 0)
			continue;
		output_printf(k, "%s%s", before, name);
		before = ", ";
	}
	if (*before == ',')
		output_printf(k, "\n");
}

void help_verb(struct kvctl *k, const struct verb *v)
{
	struct buf usage = { 0 };
	const struct verb_option *o;
	bool options = false;

	help_usage(v, &usage);
	output_printf(k, "usage: %.*s\n%s\n", (int)usage.len, usage.len ? usage.ptr : "", v->summary);
	buf_free(&usage);
	print_aliases(k, v);
	for (size_t i = 0; (o = verb_option_row(i)); i++)
		options |= strcmp(o->verb, v->name) == 0;
	if (options)
		output_printf(k, "\noptions:\n");
	print_options(k, v->name);
}

static void print_names(struct kvctl *k, const struct verb *of)
{
	const struct verb_option *o;
	const char *name;

	for (size_t i = 0; !of && (name = verb_name(i, NULL)); i++)
		output_printf(k, "%s\n", name);
	for (size_t i = 0; of && (o = verb_option_row(i)); i++)
		if (!*o->verb || strcmp(o->verb, of->name) == 0)
			output_printf(k, "--%s\n", o->name);
}

/* ---- JSON: an object for each verb, on a line of its own ---- */

static json_t *options_json(const char *verb)
{
	json_t *all = json_array();
	const struct verb_option *o;

	for (size_t i = 0; all && (o = verb_option_row(i)); i++) {
		if (strcmp(o->verb, verb) != 0)
			continue;
		json_t *one = json_pack("{s:s, s:s}", "name", o->name, "help", o->help);
		if (one && o->letter)
			json_object_set_new(one, "letter", json_stringn(&o->letter, 1));
		if (one && o->argument)
			json_object_set_new(one, "argument", json_string(o->argument));
		json_array_append_new(all, one);
	}
	return all;
}

static void print_verb_json(struct kvctl *k, const struct verb *v)
{
	json_t *names = json_array();
	const struct verb *of;
	const char *name;

	for (size_t i = 0; (name = verb_name(i, &of)); i++)
		if (of == v && strcmp(name, v->name) != 0)
			json_array_append_new(names, json_string(name));
	output_json(k, json_pack("{s:s, s:o, s:s, s:s, s:o}", "verb", v->name, "aliases", names, "syntax",
			       v->syntax, "summary", v->summary, "options", options_json(v->name)));
}

static void print_json(struct kvctl *k, const struct verb *of)
{
	const struct verb *v;

	for (size_t i = 0; (v = verb_row(i)); i++)
		if (!of || v == of)
			print_verb_json(k, v);
}

int verb_help(struct kvctl *k, const struct args *a)
{
	const struct verb *v = a->n ? verb_find(a->arg[0]) : NULL;

	if (a->n && !v)
		return refuse(k, KVCTL_USAGE, "there is no verb \"%.*s\"; \"kvctl help\" lists them",
			(int)a->arg[0].len, a->arg[0].ptr);
	if (args_option(a, "names", NULL))
		print_names(k, v);
	else if (k->json)
		print_json(k, v);
	else if (v)
		help_verb(k, v);
	else
		help_general(k);
	return KVCTL_DONE;
}
