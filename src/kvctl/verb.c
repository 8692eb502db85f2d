/* SPDX-License-Identifier: MIT
 *
 * The table and the way of one call through it.
 */
#include "kvctl/verb.h"

#include <errno.h>
#include "base/num.h"
#include "kvctl/output.h"

static const struct verb verbs[] = {
#define VERB(name, min, max, flags, syntax, summary) { #name, verb_##name, min, max, flags, syntax, summary },
#include "kvctl/verbs.def"
};

static const struct verb_option options[] = {
#define OPTION(verb, name, letter, argument, help) { verb, name, letter, argument, help },
#include "kvctl/verbs.def"
};

static const struct {
	const char *name, *of;
} names[] = {
#define VERB(name, min, max, flags, syntax, summary) { #name, #name },
#define ALIAS(name, of) { #name, #of },
#include "kvctl/verbs.def"
};

#define COUNT(table) (sizeof(table) / sizeof(table[0]))

const struct verb *verb_row(size_t i)
{
	return i < COUNT(verbs) ? &verbs[i] : NULL;
}

const struct verb_option *verb_option_row(size_t i)
{
	return i < COUNT(options) ? &options[i] : NULL;
}

static const struct verb *find_row(const char *name)
{
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

const char *verb_name(size_t i, const struct verb **ret_verb)
{
	if (i >= COUNT(names))
		return NULL;
	if (ret_verb)
		*ret_verb = find_row(names[i].of);
	return names[i].name;
}

const struct verb *verb_find(struct slice name)
{
	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_eq(name, slice_str(names[i].name)))
			return find_row(names[i].of);
	return NULL;
}

static enum kvctl_exit refuse_unknown(struct kvctl *k, struct slice word)
{
	const char *meant = suggest_verb(word);

	if (meant)
		return refuse(k, KVCTL_USAGE, "unknown verb \"%.*s\"; did you mean \"%s\"?", (int)word.len,
			word.ptr, meant);
	return refuse(k, KVCTL_USAGE, "unknown verb \"%.*s\"; \"%shelp\" lists the verbs", (int)word.len,
		word.ptr, k->shell ? "" : "kvctl ");
}

static enum kvctl_exit take_socket(struct kvctl *k, const struct args *a)
{
	struct slice path;

	if (!args_option(a, "socket", &path))
		return KVCTL_DONE;
	if (path.len == 0 || path.len >= sizeof(k->socket) || memchr(path.ptr, 0, path.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no path of a socket", (int)path.len, path.ptr);
	memcpy(k->socket, path.ptr, path.len);
	k->socket[path.len] = 0;
	return KVCTL_DONE;
}

/* The connection is made once: in the shell its settings belong to the command line that began it. */
static enum kvctl_exit take_connection_options(struct kvctl *k, const struct args *a)
{
	struct slice text;

	if (k->shell && (args_option(a, "socket", NULL) || args_option(a, "database", NULL) ||
				args_option(a, "timeout", NULL)))
		return refuse(k, KVCTL_USAGE,
			"--socket, --database and --timeout belong on the command line of kvctl");
	if (args_option(a, "database", &text) && (num_parse_i64(text, &k->database) || k->database < 0))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no number of a database", (int)text.len, text.ptr);
	if (args_option(a, "timeout", &text) && num_parse_duration(text, &k->timeout_ms))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no duration; examples: 5, 500ms, 1min",
			(int)text.len, text.ptr);
	return take_socket(k, a);
}

static enum kvctl_exit run_verb(struct kvctl *k, const struct args *a)
{
	bool json = k->json, quiet = k->quiet;
	enum kvctl_exit code;

	k->json |= args_option(a, "json", NULL);
	k->quiet |= args_option(a, "quiet", NULL);
	if ((a->verb->flags & VERB_SHELL) && !k->shell)
		code = refuse(
			k, KVCTL_USAGE, "\"%s\" is for the shell; \"kvctl\" alone begins it", a->verb->name);
	else
		code = (enum kvctl_exit)a->verb->run(k, a);
	/* Said on one line of the shell, they hold for that line. */
	k->json = json;
	k->quiet = quiet;
	return code;
}

static enum kvctl_exit run_parsed(struct kvctl *k, const struct args *a)
{
	enum kvctl_exit code = take_connection_options(k, a);

	if (code)
		return code;
	if (args_option(a, "help", NULL)) {
		if (a->verb)
			help_verb(k, a->verb);
		else
			help_general(k);
		return KVCTL_DONE;
	}
	if (args_option(a, "version", NULL)) {
		output_printf(k, "kvctl %s\n", PACKAGE_VERSION);
		return KVCTL_DONE;
	}
	if (a->verb)
		return run_verb(k, a);
	if (k->shell)
		return refuse(k, KVCTL_USAGE, "a verb is missing");
	k->json = args_option(a, "json", NULL);
	k->quiet = args_option(a, "quiet", NULL);
	return shell_run(k);
}

enum kvctl_exit verb_run_words(struct kvctl *k, const struct slice *words, size_t n)
{
	struct buf error = { 0 };
	struct args a;
	enum kvctl_exit code;
	int r = args_parse(words, n, &a, &error);

	if (r == ARGS_UNKNOWN)
		code = refuse_unknown(k, a.unknown);
	else if (r == ARGS_BAD && !error.failed)
		code = refuse(k, KVCTL_USAGE, "%.*s", (int)error.len, error.ptr);
	else if (r)
		code = refuse(k, KVCTL_REFUSED, "out of memory");
	else
		code = run_parsed(k, &a);
	args_free(&a);
	buf_free(&error);
	return code;
}
