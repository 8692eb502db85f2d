/* SPDX-License-Identifier: MIT
 *
 * The shell: verbs a line each. On a terminal with banner, prompt, editing and history; from anything else as
 * a script, without.
 */
#include <ctype.h>
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvctl/output.h"
#include "kvctl/verb.h"

#define HISTORY_LINES 1000

struct shell {
	struct kvctl *k;
	EditLine *edit;
	History *history;
	char path[PATHS_MAX]; /* of the history; empty: not kept */
};

/* ---- one line ---- */

/* A word that is no verb but looks like a command of the protocol is one. */
static bool is_command(struct slice word)
{
	bool letters = false;

	if (verb_find(word) || word.len == 0)
		return false;
	if (word.len > 4 && strncasecmp(word.ptr, "kvd.", 4) == 0)
		return true;
	for (size_t i = 0; i < word.len; i++) {
		if (islower((unsigned char)word.ptr[i]) || word.ptr[i] == '-')
			return false;
		letters |= isupper((unsigned char)word.ptr[i]) != 0;
	}
	return letters;
}

static enum kvctl_exit run_words(struct kvctl *k, struct slice *words, size_t n)
{
	if (!is_command(words[0]))
		return verb_run_words(k, words, n);
	struct slice *with_raw = calloc(n + 1, sizeof(*with_raw));
	if (!with_raw)
		return refuse(k, KVCTL_REFUSED, "out of memory");
	with_raw[0] = SLICE("raw");
	memcpy(with_raw + 1, words, n * sizeof(*words));
	enum kvctl_exit code = verb_run_words(k, with_raw, n + 1);
	free(with_raw);
	return code;
}

static enum kvctl_exit run_line(struct kvctl *k, char *line, size_t len)
{
	struct slice *words = NULL;
	int n = words_split(line, len, &words);
	enum kvctl_exit code = KVCTL_DONE;

	if (n == -EINVAL)
		code = refuse(k, KVCTL_USAGE, "unbalanced quotes");
	else if (n < 0)
		code = refuse(k, KVCTL_REFUSED, "out of memory");
	else if (n > 0)
		code = run_words(k, words, (size_t)n);
	free(words);
	/* Whoever drives us through pipes waits for this answer before the next line. */
	output_flush(k);
	return code;
}

/* ---- a script ---- */

static enum kvctl_exit run_script(struct kvctl *k)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	bool failed = false, lost = false;

	while (!k->leave && !lost && !k->output_error && (len = getline(&line, &cap, stdin)) >= 0) {
		k->line++;
		enum kvctl_exit code = run_line(k, line, (size_t)len);
		failed |= code != KVCTL_DONE;
		lost = code == KVCTL_NO_CONNECTION;
	}
	k->line = 0;
	if (ferror(stdin)) {
		complain(k, "cannot read standard input: %s", strerror(errno));
		failed = true;
	}
	free(line);
	return lost ? KVCTL_NO_CONNECTION : failed ? KVCTL_REFUSED : KVCTL_DONE;
}

/* ---- history ---- */

static bool make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
		*slash = '/';
		if (!made)
			return false;
	}
	return true;
}

static void find_history(struct shell *s)
{
	const char *wanted = getenv("KVCTL_HISTORY"), *state = getenv("XDG_STATE_HOME"),
		   *home = getenv("HOME");
	int n = 0;

	if (wanted && strcasecmp(wanted, "no") == 0)
		return;
	if (state && state[0] == '/')
		n = snprintf(s->path, sizeof(s->path), "%s/kvd/history", state);
	else if (home && home[0] == '/')
		n = snprintf(s->path, sizeof(s->path), "%s/.local/state/kvd/history", home);
	if (n <= 0 || (size_t)n >= sizeof(s->path) || !make_directories(s->path))
		s->path[0] = 0;
}

/* A word of AUTH, HELLO or CONFIG SET behind which a password stands. */
static bool has_secret(const char *line)
{
	static const char *const words[] = { "auth", "requirepass" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (const char *at = line; (at = strcasestr(at, words[i])); at++)
			if ((at == line || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[strlen(words[i])]))
				return true;
	return false;
}

/* Saved after each line: a shell that is killed in the middle of a long command has not forgotten it. */
static void remember(struct shell *s, const char *line)
{
	HistEvent event;

	/* Passwords are not for a file. */
	if (isspace((unsigned char)line[0]) || has_secret(line))
		return;
	history(s->history, &event, H_ENTER, line);
	if (s->path[0])
		history(s->history, &event, H_SAVE, s->path);
}

/* ---- editing ---- */

static char *show_prompt(EditLine *edit)
{
	static char prompt[] = "> ";

	(void)edit;
	return prompt;
}

/* Candidate i for the word being typed: a verb first, then options of that verb. */
static const char *find_candidate(const struct verb *v, size_t i)
{
	const struct verb_option *o;

	if (!v)
		return verb_name(i, NULL);
	for (size_t row = 0; (o = verb_option_row(row)); row++)
		if (strcmp(o->verb, v->name) == 0 && i-- == 0)
			return o->name;
	return NULL;
}

/* How much of their first `most` bytes two words share. */
static size_t common_length(const char *a, const char *b, size_t most)
{
	size_t n = 0;

	while (n < most && a[n] && a[n] == b[n])
		n++;
	return n;
}

/* Adds what all candidates have in common behind `typed`. Returns their number. */
static unsigned complete_word(EditLine *edit, const struct verb *v, struct slice typed)
{
	char text[64];
	const char *candidate, *first = NULL;
	size_t common = 0;
	unsigned n = 0;

	for (size_t i = 0; (candidate = find_candidate(v, i)); i++) {
		if (!slice_has_prefix(slice_str(candidate), typed))
			continue;
		common = n++ ? common_length(first, candidate, common) : strlen(candidate);
		first = n == 1 ? candidate : first;
	}
	if (n && common >= typed.len && common - typed.len < sizeof(text) - 1) {
		snprintf(text, sizeof(text), "%.*s%s", (int)(common - typed.len), first + typed.len,
			n == 1 ? " " : "");
		if (*text)
			el_insertstr(edit, text);
	}
	return n;
}

static unsigned char complete(EditLine *edit, int key)
{
	const LineInfo *info = el_line(edit);
	const char *start = info->cursor, *verb_end = info->buffer;
	const struct verb *v = NULL;
	struct slice typed;

	(void)key;
	while (start > info->buffer && !isspace((unsigned char)start[-1]))
		start--;
	typed = slice(start, (size_t)(info->cursor - start));
	while (verb_end < info->cursor && !isspace((unsigned char)*verb_end))
		verb_end++;
	if (start != info->buffer &&
		!slice_eq(slice(info->buffer, (size_t)(verb_end - info->buffer)), SLICE("help"))) {
		v = verb_find(slice(info->buffer, (size_t)(verb_end - info->buffer)));
		if (!v || !slice_has_prefix(typed, SLICE("--")))
			return CC_ERROR;
		typed = slice_skip(typed, 2);
	}
	return complete_word(edit, v, typed) ? CC_REFRESH : CC_ERROR;
}

static int begin_editing(struct shell *s)
{
	HistEvent event;

	s->history = history_init();
	s->edit = el_init("kvctl", stdin, stdout, stderr);
	if (!s->history || !s->edit)
		return -ENOMEM;
	history(s->history, &event, H_SETSIZE, HISTORY_LINES);
	history(s->history, &event, H_SETUNIQUE, 1);
	find_history(s);
	if (s->path[0])
		history(s->history, &event, H_LOAD, s->path);
	el_set(s->edit, EL_PROMPT, show_prompt);
	el_set(s->edit, EL_EDITOR, "emacs");
	el_set(s->edit, EL_HIST, history, s->history);
	el_set(s->edit, EL_SIGNAL, 1);
	el_set(s->edit, EL_ADDFN, "kvctl-complete", "complete a verb or an option", complete);
	el_set(s->edit, EL_BIND, "^I", "kvctl-complete", NULL);
	el_source(s->edit, NULL);
	return 0;
}

static void end_editing(struct shell *s)
{
	if (s->edit)
		el_end(s->edit);
	if (s->history)
		history_end(s->history);
}

static void note_interrupt(int number)
{
	(void)number;
}

/* Ctrl-C drops the line being typed; while a command runs it ends kvctl, as it would outside the shell. */
static const char *read_line(struct shell *s, int *ret_len)
{
	struct sigaction ours = { .sa_handler = note_interrupt }, before;
	const char *line;

	sigaction(SIGINT, &ours, &before);
	for (;;) {
		errno = 0;
		line = el_gets(s->edit, ret_len);
		if (line || *ret_len != -1 || errno != EINTR)
			break;
		fputc('\n', stdout);
		el_reset(s->edit);
	}
	sigaction(SIGINT, &before, NULL);
	return line && *ret_len > 0 ? line : NULL;
}

static void run_edited_line(struct shell *s, const char *line, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy) {
		complain(s->k, "out of memory");
		return;
	}
	memcpy(copy, line, len);
	copy[len] = 0;
	remember(s, copy);
	run_line(s->k, copy, len);
	free(copy);
}

static enum kvctl_exit run_interactive(struct kvctl *k)
{
	struct shell s = { .k = k };
	const char *line = "";
	int len;

	if (begin_editing(&s)) {
		end_editing(&s);
		return refuse(k, KVCTL_REFUSED, "cannot set up the terminal");
	}
	output_printf(k, "kvctl %s; \"help\" lists the verbs, \"quit\" leaves\n", PACKAGE_VERSION);
	output_flush(k);
	while (!k->leave && !k->output_error && (line = read_line(&s, &len)))
		run_edited_line(&s, line, (size_t)len);
	if (!line)
		output_printf(k, "\n");
	end_editing(&s);
	return KVCTL_DONE;
}

int verb_quit(struct kvctl *k, const struct args *a)
{
	(void)a;
	k->leave = true;
	return KVCTL_DONE;
}

enum kvctl_exit shell_run(struct kvctl *k)
{
	k->shell = true;
	return isatty(STDIN_FILENO) ? run_interactive(k) : run_script(k);
}
