/* SPDX-License-Identifier: MIT
 *
 * Completion for shells, written from the table of verbs: what they know is what kvctl knows. Keys of a
 * running daemon are offered, too, as far as no shell would read them as anything else.
 */
#include <ctype.h>
#include "kvctl/output.h"
#include "kvctl/verb.h"

/* What an argument's name in capitals stands for. */
enum kind { KIND_OTHER, KIND_FILE, KIND_KEY };

/* The script asks for keys that begin with what is typed; a dead daemon must not hold the shell. */
#define ASK_KEYS "kvctl --quiet --timeout 1 list --limit 200 --"

static enum kind find_kind(struct slice name)
{
	static const char *const files[] = { "FILE", "PATH", "DIR", "SEGMENT", "SERVER" }, *const keys[] = {
		"KEY", "PREFIX"
	};

	while (name.len && !isupper((unsigned char)name.ptr[0]))
		name = slice_skip(name, 1);
	for (size_t i = 0; i < name.len; i++)
		if (!isupper((unsigned char)name.ptr[i]))
			name.len = i;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (slice_eq(name, slice_str(files[i])))
			return KIND_FILE;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (slice_eq(name, slice_str(keys[i])))
			return KIND_KEY;
	return KIND_OTHER;
}

/* The first word of a syntax. */
static struct slice first_word(const char *syntax)
{
	return slice(syntax, strcspn(syntax, " "));
}

/* Words to choose from, "create|list": the first word is in small letters then. */
static bool has_choices(const struct verb *v)
{
	return islower((unsigned char)*v->syntax) != 0;
}

static enum kind verb_kind(const struct verb *v)
{
	return has_choices(v) ? KIND_OTHER : find_kind(first_word(v->syntax));
}

static const char *next_choice(struct slice *s, int *ret_len)
{
	const char *start = s->ptr;
	const char *bar = s->len ? memchr(start, '|', s->len) : NULL;

	if (s->len == 0)
		return NULL;
	*ret_len = (int)(bar ? bar - start : (ptrdiff_t)s->len);
	*s = slice_skip(*s, (size_t)*ret_len + (bar ? 1 : 0));
	return start;
}

/* Inside single quotes; what is in `also` gets a backslash. */
static void print_quoted(struct kvctl *k, const char *text, const char *also)
{
	struct buf out = { 0 };

	for (; *text; text++) {
		if (*text == '\'')
			buf_append_str(&out, "'\\'");
		else if (strchr(also, *text))
			buf_append_char(&out, '\\');
		buf_append_char(&out, *text);
	}
	output_bytes(k, buf_slice(&out));
	buf_free(&out);
}

static void print_names_of(struct kvctl *k, const struct verb *v, const char *between)
{
	const struct verb *of;
	const char *name, *before = "";

	for (size_t i = 0; (name = verb_name(i, &of)); i++)
		if (of == v) {
			output_printf(k, "%s%s", before, name);
			before = between;
		}
}

static const struct verb_option *next_option(const char *verb, size_t *at)
{
	const struct verb_option *o;

	while ((o = verb_option_row((*at)++)))
		if (strcmp(o->verb, verb) == 0)
			return o;
	return NULL;
}

/* ---- bash ---- */

static void print_bash_options(struct kvctl *k, const char *verb)
{
	const struct verb_option *o;

	for (size_t at = 0; (o = next_option(verb, &at));)
		output_printf(k, " --%s", o->name);
}

/* Patterns of the options that take an argument of this kind (-1: of any), or nothing. */
static void print_bash_valued(struct kvctl *k, const char *verb, int kind)
{
	const struct verb_option *o;

	for (size_t at = 0; (o = next_option(verb, &at));) {
		if (!o->argument || (kind >= 0 && (int)find_kind(slice_str(o->argument)) != kind))
			continue;
		output_printf(k, " --%s", o->name);
		if (o->letter)
			output_printf(k, " -%c", o->letter);
	}
}

static void print_bash_set(struct kvctl *k, const char *verb)
{
	output_printf(k, "\t\toptions+='");
	print_bash_options(k, verb);
	output_printf(k, "' valued+='");
	print_bash_valued(k, verb, -1);
	output_printf(k, " ' files+='");
	print_bash_valued(k, verb, KIND_FILE);
	output_printf(k, " ' keys+='");
	print_bash_valued(k, verb, KIND_KEY);
	output_printf(k, " '\n");
}

static void print_bash_verb(struct kvctl *k, const struct verb *v)
{
	static const char *const kinds[] = { "", "file", "key" };
	struct slice choices = has_choices(v) ? first_word(v->syntax) : slice("", 0);
	const char *choice;
	int len;

	output_printf(k, "\t");
	print_names_of(k, v, "|");
	output_printf(k, ")\n");
	print_bash_set(k, v->name);
	output_printf(k, "\t\targument='%s' choices='", kinds[verb_kind(v)]);
	while ((choice = next_choice(&choices, &len)))
		output_printf(k, "%.*s ", len, choice);
	output_printf(k, "'\n\t\t;;\n");
}

static void print_bash(struct kvctl *k)
{
	const struct verb *v;

	output_printf(k,
		"# bash completion for kvctl, written by \"kvctl completion bash\" from its table of verbs\n"
		"_kvctl_describe()\n{\n"
		"\toptions= valued=' ' files=' ' keys=' ' argument= choices=\n\tcase $1 in\n");
	for (size_t i = 0; (v = verb_row(i)); i++)
		if (!(v->flags & VERB_SHELL))
			print_bash_verb(k, v);
	output_printf(k, "\tesac\n");
	print_bash_set(k, "");
	output_printf(k, "}\n_kvctl_verbs='");
	for (size_t i = 0; (v = verb_row(i)); i++)
		if (!(v->flags & VERB_SHELL)) {
			print_names_of(k, v, " ");
			output_printf(k, " ");
		}
	output_printf(k, "'\n%s", "\
_kvctl_add_keys()\n\
{\n\
	local key\n\
	while IFS= read -r key; do\n\
		# Others would be read as something else by the shell.\n\
		[[ $key =~ ^[A-Za-z0-9_./@%+,:=-]+$ ]] && COMPREPLY+=(\"$key\")\n\
	done < <(" ASK_KEYS " \"$cur\" 2>/dev/null)\n\
}\n\
_kvctl()\n\
{\n\
	local cur prev words cword i verb= options valued files keys argument choices\n\
	if declare -F _get_comp_words_by_ref >/dev/null; then\n\
		_get_comp_words_by_ref -n := cur prev words cword\n\
	else\n\
		words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n\
	fi\n\
	COMPREPLY=()\n\
	_kvctl_describe ''\n\
	for ((i = 1; i < cword; i++)); do\n\
		case ${words[i]} in\n\
		-*) [[ $valued == *\" ${words[i]} \"* ]] && ((i++)) ;;\n\
		*) verb=${words[i]} && break ;;\n\
		esac\n\
	done\n\
	_kvctl_describe \"$verb\"\n\
	if [[ $files == *\" $prev \"* ]]; then\n\
		COMPREPLY=($(compgen -f -- \"$cur\"))\n\
	elif [[ $keys == *\" $prev \"* ]]; then\n\
		_kvctl_add_keys\n\
	elif [[ $valued == *\" $prev \"* ]]; then\n\
		:\n\
	elif [[ $cur == -* ]]; then\n\
		COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n\
	elif [[ -z $verb || ($verb == help && $prev == help) ]]; then\n\
		COMPREPLY=($(compgen -W \"$_kvctl_verbs\" -- \"$cur\"))\n\
	elif [[ $choices && $prev == \"$verb\" ]]; then\n\
		COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\"))\n\
	elif [[ $argument == file ]]; then\n\
		COMPREPLY=($(compgen -f -- \"$cur\"))\n\
	elif [[ $argument == key ]]; then\n\
		_kvctl_add_keys\n\
	fi\n\
	! declare -F __ltrim_colon_completions >/dev/null || __ltrim_colon_completions \"$cur\"\n\
}\n\
complete -F _kvctl kvctl\n");
}

/* ---- zsh ---- */

static void print_zsh_action(struct kvctl *k, const char *name, enum kind kind)
{
	static const char *const actions[] = { " ", "_files", "_kvctl_keys" };

	output_printf(k, ":");
	print_quoted(k, name, ":");
	output_printf(k, ":%s", actions[kind]);
}

static void print_zsh_options(struct kvctl *k, const char *verb)
{
	const struct verb_option *o;

	for (size_t at = 0; (o = next_option(verb, &at));) {
		for (int form = 0; form < (o->letter ? 2 : 1); form++) {
			output_printf(k, " \\\n\t\t'");
			if (form)
				output_printf(k, "-%c[", o->letter);
			else
				output_printf(k, "--%s[", o->name);
			print_quoted(k, o->help, "[]:");
			output_printf(k, "]");
			if (o->argument)
				print_zsh_action(k, o->argument, find_kind(slice_str(o->argument)));
			output_printf(k, "'");
		}
	}
}

static void print_zsh_verb(struct kvctl *k, const struct verb *v)
{
	struct slice choices = has_choices(v) ? first_word(v->syntax) : slice("", 0);
	const char *choice;
	int len;

	output_printf(k, "\t");
	print_names_of(k, v, "|");
	output_printf(k, ")\n\t\t_arguments");
	print_zsh_options(k, "");
	print_zsh_options(k, v->name);
	if (choices.len) {
		output_printf(k, " \\\n\t\t'1:what:(");
		while ((choice = next_choice(&choices, &len)))
			output_printf(k, "%.*s ", len, choice);
		output_printf(k, ")'");
	} else if (strcmp(v->name, "help") == 0) {
		output_printf(k, " \\\n\t\t'1:verb:_kvctl_verbs'");
	} else if (v->max) {
		output_printf(k, " \\\n\t\t'*");
		print_zsh_action(k, "argument", verb_kind(v));
		output_printf(k, "'");
	}
	output_printf(k, "\n\t\t;;\n");
}

static void print_zsh(struct kvctl *k)
{
	const struct verb *v, *of;
	const char *name;

	output_printf(k,
		"#compdef kvctl\n"
		"# zsh completion for kvctl, written by \"kvctl completion zsh\" from its table of verbs\n"
		"_kvctl_keys()\n{\n\tlocal -a keys\n\tkeys=(\"${(@f)$(" ASK_KEYS
		" \"$PREFIX\" 2>/dev/null)}\")\n"
		"\tcompadd -a keys\n}\n_kvctl_verbs()\n{\n\tlocal -a verbs\n\tverbs=(");
	for (size_t i = 0; (name = verb_name(i, &of)); i++) {
		if (of->flags & VERB_SHELL)
			continue;
		output_printf(k, "\n\t\t'%s:", name);
		print_quoted(k, of->summary, ":");
		output_printf(k, "'");
	}
	output_printf(k,
		"\n\t)\n\t_describe verb verbs\n}\n_kvctl()\n{\n\tlocal curcontext=$curcontext state line\n"
		"\t_arguments -C");
	print_zsh_options(k, "");
	output_printf(k, " \\\n\t\t'1: :_kvctl_verbs' '*:: :->rest' && return\n\tcase ${words[1]} in\n");
	for (size_t i = 0; (v = verb_row(i)); i++)
		if (!(v->flags & VERB_SHELL))
			print_zsh_verb(k, v);
	output_printf(k, "\tesac\n}\nif [[ ${funcstack[1]} == _kvctl ]]; then\n\t_kvctl "
			 "\"$@\"\nelse\n\tcompdef _kvctl kvctl\nfi\n");
}

/* ---- fish ---- */

static void print_fish_options(struct kvctl *k, const struct verb *v)
{
	const struct verb_option *o;

	for (size_t at = 0; (o = next_option(v ? v->name : "", &at));) {
		output_printf(k, "complete -c kvctl");
		if (v) {
			output_printf(k, " -n '__fish_seen_subcommand_from ");
			print_names_of(k, v, " ");
			output_printf(k, "'");
		}
		output_printf(k, " -l %s", o->name);
		if (o->letter)
			output_printf(k, " -s %c", o->letter);
		if (o->argument)
			output_printf(k, find_kind(slice_str(o->argument)) == KIND_FILE ? " -r -F"
					 : find_kind(slice_str(o->argument)) == KIND_KEY
						 ? " -x -a '(__kvctl_keys)'"
						 : " -x");
		output_printf(k, " -d '");
		print_quoted(k, o->help, "");
		output_printf(k, "'\n");
	}
}

static void print_fish_arguments(struct kvctl *k, const struct verb *v)
{
	struct slice choices = has_choices(v) ? first_word(v->syntax) : slice("", 0);
	const char *choice;
	int len;

	if (!choices.len && verb_kind(v) == KIND_OTHER && strcmp(v->name, "help") != 0)
		return;
	output_printf(k, "complete -c kvctl -n '__fish_seen_subcommand_from ");
	print_names_of(k, v, " ");
	if (verb_kind(v) == KIND_FILE) {
		output_printf(k, "' -F\n");
		return;
	}
	output_printf(k, "' -a '");
	while ((choice = next_choice(&choices, &len)))
		output_printf(k, "%.*s ", len, choice);
	if (verb_kind(v) == KIND_KEY)
		output_printf(k, "(__kvctl_keys)");
	if (strcmp(v->name, "help") == 0)
		output_printf(k, "(kvctl help --names)");
	output_printf(k, "'\n");
}

static void print_fish(struct kvctl *k)
{
	const struct verb *v, *of;
	const char *name;

	output_printf(k,
		"# fish completion for kvctl, written by \"kvctl completion fish\" from its table of verbs\n"
		"function __kvctl_keys\n\t" ASK_KEYS
		" (commandline -ct) 2>/dev/null\nend\ncomplete -c kvctl -f\n");
	for (size_t i = 0; (name = verb_name(i, &of)); i++) {
		if (of->flags & VERB_SHELL)
			continue;
		output_printf(k, "complete -c kvctl -n __fish_use_subcommand -a %s -d '", name);
		print_quoted(k, of->summary, "");
		output_printf(k, "'\n");
	}
	print_fish_options(k, NULL);
	for (size_t i = 0; (v = verb_row(i)); i++)
		if (!(v->flags & VERB_SHELL)) {
			print_fish_options(k, v);
			print_fish_arguments(k, v);
		}
}

int verb_completion(struct kvctl *k, const struct args *a)
{
	struct slice shell = a->arg[0];

	if (slice_eq(shell, SLICE("bash")))
		print_bash(k);
	else if (slice_eq(shell, SLICE("zsh")))
		print_zsh(k);
	else if (slice_eq(shell, SLICE("fish")))
		print_fish(k);
	else
		return refuse(k, KVCTL_USAGE,
			"there is no completion for \"%.*s\"; there are bash, zsh and fish", (int)shell.len,
			shell.ptr);
	return KVCTL_DONE;
}
