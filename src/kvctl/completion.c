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

	if (name.len && islower((unsigned char)name.ptr[0]))
		return KIND_OTHER; /* words to choose from */
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

static enum kind verb_kind(const struct verb *v)
{
	return find_kind(first_word(v->syntax));
}

/* Of the words to choose from at the start of a syntax, "create | list [NAME]": the next one, NULL: there is none (any more). */
static const char *next_choice(const char **at, int *ret_len)
{
	const char *start = *at, *end = start;

	if (!islower((unsigned char)*start))
		return NULL;
	while (islower((unsigned char)*end))
		end++;
	*ret_len = (int)(end - start);
	end += strspn(end, " ");
	*at = *end == '|' ? end + 1 + strspn(end + 1, " ") : "";
	return start;
}

static void print_choices(struct kvctl *k, const char *syntax, const char *between)
{
	const char *choice, *before = "";
	int len;

	while ((choice = next_choice(&syntax, &len))) {
		output_printf(k, "%s%.*s", before, len, choice);
		before = between;
	}
}

static bool has_choices(const char *syntax)
{
	return islower((unsigned char)*syntax) != 0;
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

/* "--format:ndjson,csv,resp" for each option with words to choose from. */
static void print_bash_choices(struct kvctl *k, const char *verb)
{
	const struct verb_option *o;

	for (size_t at = 0; (o = next_option(verb, &at));)
		for (int form = 0; o->argument && has_choices(o->argument) && form < (o->letter ? 2 : 1); form++) {
			if (form)
				output_printf(k, " -%c:", o->letter);
			else
				output_printf(k, " --%s:", o->name);
			print_choices(k, o->argument, ",");
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
	output_printf(k, " ' chosen+='");
	print_bash_choices(k, verb);
	output_printf(k, " '\n");
}

static void print_bash_verb(struct kvctl *k, const struct verb *v)
{
	static const char *const kinds[] = { "", "file", "key" };

	output_printf(k, "\t");
	print_names_of(k, v, "|");
	output_printf(k, ")\n");
	print_bash_set(k, v->name);
	output_printf(k, "\t\targument='%s' choices='", kinds[verb_kind(v)]);
	print_choices(k, v->syntax, " ");
	output_printf(k, "'\n\t\t;;\n");
}

static void print_bash(struct kvctl *k)
{
	const struct verb *v;

	output_printf(k,
		"# bash completion for kvctl, written by \"kvctl completion bash\" from its table of verbs\n"
		"_kvctl_describe()\n{\n"
		"\toptions= valued=' ' files=' ' keys=' ' chosen=' ' argument= choices=\n\tcase $1 in\n");
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
	local cur prev words cword i verb= options valued files keys chosen argument choices\n\
	if declare -F _get_comp_words_by_ref >/dev/null; then\n\
		_get_comp_words_by_ref -n := cur prev words cword\n\
	else\n\
		words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n\
	fi\n\
	COMPREPLY=()\n\
	# Bash cuts --option=value in three.\n\
	if [[ $cur == = ]]; then\n\
		cur=\n\
	elif [[ $prev == = ]]; then\n\
		prev=${words[cword - 2]}\n\
	fi\n\
	_kvctl_describe ''\n\
	for ((i = 1; i < cword; i++)); do\n\
		case ${words[i]} in\n\
		-*)\n\
			[[ $valued == *\" ${words[i]} \"* ]] && ((i++))\n\
			[[ ${words[i]} == = ]] && ((i++))\n\
			;;\n\
		*) verb=${words[i]} && break ;;\n\
		esac\n\
	done\n\
	_kvctl_describe \"$verb\"\n\
	if [[ $files == *\" $prev \"* ]]; then\n\
		COMPREPLY=($(compgen -f -- \"$cur\"))\n\
	elif [[ $keys == *\" $prev \"* ]]; then\n\
		_kvctl_add_keys\n\
	elif [[ $chosen == *\" $prev:\"* ]]; then\n\
		i=${chosen##*\" $prev:\"} i=${i%% *}\n\
		COMPREPLY=($(compgen -W \"${i//,/ }\" -- \"$cur\"))\n\
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

static void print_zsh_action(struct kvctl *k, const char *name, const char *syntax)
{
	static const char *const actions[] = { " ", "_files", "_kvctl_keys" };

	output_printf(k, ":");
	print_quoted(k, name, ":");
	output_printf(k, ":");
	if (has_choices(syntax)) {
		output_printf(k, "(");
		print_choices(k, syntax, " ");
		output_printf(k, ")");
	} else {
		output_printf(k, "%s", actions[find_kind(first_word(syntax))]);
	}
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
				output_printf(k, "--%s%s[", o->name, o->argument ? "=" : "");
			print_quoted(k, o->help, "[]:");
			output_printf(k, "]");
			if (o->argument)
				print_zsh_action(k, has_choices(o->argument) ? o->name : o->argument, o->argument);
			output_printf(k, "'");
		}
	}
}

static void print_zsh_verb(struct kvctl *k, const struct verb *v)
{
	output_printf(k, "\t");
	print_names_of(k, v, "|");
	output_printf(k, ")\n\t\t_arguments");
	print_zsh_options(k, "");
	print_zsh_options(k, v->name);
	if (has_choices(v->syntax)) {
		output_printf(k, " \\\n\t\t'1");
		print_zsh_action(k, "what", v->syntax);
		output_printf(k, "'");
	} else if (strcmp(v->name, "help") == 0) {
		output_printf(k, " \\\n\t\t'1:verb:_kvctl_verbs'");
	} else if (v->max) {
		output_printf(k, " \\\n\t\t'*");
		print_zsh_action(k, "argument", v->syntax);
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

/* How the argument of an option is completed. */
static void print_fish_value(struct kvctl *k, const char *argument)
{
	static const char *const actions[] = { " -x", " -r -F", " -x -a '(__kvctl_keys)'" };

	output_printf(k, "%s", actions[find_kind(slice_str(argument))]);
	if (has_choices(argument)) {
		output_printf(k, " -a '");
		print_choices(k, argument, " ");
		output_printf(k, "'");
	}
}

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
			print_fish_value(k, o->argument);
		output_printf(k, " -d '");
		print_quoted(k, o->help, "");
		output_printf(k, "'\n");
	}
}

static void print_fish_arguments(struct kvctl *k, const struct verb *v)
{
	if (!has_choices(v->syntax) && verb_kind(v) == KIND_OTHER && strcmp(v->name, "help") != 0)
		return;
	output_printf(k, "complete -c kvctl -n '__fish_seen_subcommand_from ");
	print_names_of(k, v, " ");
	if (verb_kind(v) == KIND_FILE) {
		output_printf(k, "' -F\n");
		return;
	}
	output_printf(k, "' -a '");
	print_choices(k, v->syntax, " ");
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
