/* SPDX-License-Identifier: MIT
 *
 * Where options come from: files with drop-ins, the environment, the command line.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/paths.h"
#include "daemon/options.h"

/* ---- files ---- */

static struct slice trim(struct slice s)
{
	while (s.len && isspace((unsigned char)s.ptr[0]))
		s = slice_skip(s, 1);
	while (s.len && isspace((unsigned char)s.ptr[s.len - 1]))
		s.len--;
	return s;
}

static int read_line(struct options *o, struct slice line, const char *source, struct error *e)
{
	/* Neither would be seen in a message about the name or the value. */
	if (memchr(line.ptr, '\0', line.len))
		return error_set(e, -EINVAL, "%s: there is a NUL byte in this line", source);
	if (slice_has_prefix(line, SLICE("\xef\xbb\xbf")))
		return error_set(e, -EINVAL, "%s: the line begins with a byte order mark, take that away", source);
	line = trim(line);
	if (line.len == 0 || line.ptr[0] == '#')
		return 0;
	const char *sign = memchr(line.ptr, '=', line.len);
	if (!sign)
		return error_set(e, -EINVAL, "%s: expected 'name = value'", source);
	size_t at = (size_t)(sign - line.ptr);
	return options_set(o, trim(slice(line.ptr, at)), trim(slice_skip(line, at + 1)), source, NULL, e);
}

static int read_stream(struct options *o, FILE *file, const char *path, struct error *e)
{
	char *line = NULL, source[PATHS_MAX + 32];
	size_t size = 0;
	ssize_t len;
	int r = 0;

	for (unsigned number = 1; r == 0 && (len = getline(&line, &size, file)) >= 0; number++) {
		snprintf(source, sizeof(source), "%s:%u", path, number);
		r = read_line(o, slice(line, (size_t)len), source, e);
	}
	if (r == 0 && ferror(file))
		r = error_set(e, -EIO, "%s: cannot be read", path);
	free(line);
	return r;
}

/* 0, 1 when there is no such file, or an error. */
static int read_one_file(struct options *o, const char *path, struct error *e)
{
	FILE *file = fopen(path, "re");

	if (!file && (errno == ENOENT || errno == ENOTDIR))
		return 1;
	if (!file)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	int r = read_stream(o, file, path, e);
	fclose(file);
	return r;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* Byte order whatever the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(struct options *o, const char *dir, struct error *e)
{
	struct dirent **list;
	char path[PATHS_MAX];
	int n = scandir(dir, &list, is_drop_in, compare_names), r = 0;

	if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (n < 0)
		return error_set(e, -errno, "%s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		if (r == 0 && (size_t)snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name) >= sizeof(path))
			r = error_set(e, -ENAMETOOLONG, "%s: the path is too long", dir);
		if (r == 0)
			r = read_one_file(o, path, e);
		if (r > 0)
			r = 0; /* gone since we looked */
		free(list[i]);
	}
	free(list);
	return r;
}

static int note_file(struct options *o, const char *path, struct error *e)
{
	free(o->file);
	o->file = *path == '/' ? strdup(path) : realpath(path, NULL);
	return o->file ? 0 : error_set(e, -errno, "%s: %s", path, strerror(errno));
}

int options_read_file(struct options *o, const char *path, bool must_exist, struct error *e)
{
	char dir[PATHS_MAX];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int r = read_one_file(o, path, e);

	if (r > 0 && must_exist)
		return error_set(e, -ENOENT, "%s: %s", path, strerror(ENOENT));
	if (r == 0)
		r = note_file(o, path, e);
	if (r < 0)
		return r;
	if (strcmp(name, "kvd.conf") == 0) {
		snprintf(dir, sizeof(dir), "%.*sconf.d", (int)(name - path), path);
		r = read_drop_ins(o, dir, e);
		if (r)
			return r;
	}
	if ((size_t)snprintf(dir, sizeof(dir), "%s.d", path) >= sizeof(dir))
		return error_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
	return read_drop_ins(o, dir, e);
}

/* ---- environment ---- */

static void name_variable(char *out, size_t size, const char *name)
{
	int n = snprintf(out, size, "KVD_%s", name);

	for (int i = 0; i < n; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

int options_read_environment(struct options *o, char *const *env, struct error *e)
{
	char variable[64], source[80];

	for (size_t i = 0; option_info(i); i++) {
		name_variable(variable, sizeof(variable), option_info(i)->name);
		size_t len = strlen(variable);
		for (char *const *p = env; p && *p; p++) {
			if (strncmp(*p, variable, len) != 0 || (*p)[len] != '=')
				continue;
			snprintf(source, sizeof(source), "environment %s", variable);
			int r = options_set(o, slice_str(option_info(i)->name), slice_str(*p + len + 1), source, NULL, e);
			if (r)
				return r;
		}
	}
	return 0;
}

/* ---- command line ---- */

struct argument {
	struct slice name;
	const char *value; /* NULL: none follows */
	int next;          /* index of the argument after it */
};

/* "--name=value", "--name value" and "-o name=value" alike; words without a value are found by their name. */
static int cut_argument(int argc, char **argv, int i, struct argument *ret, struct error *e)
{
	const char *word = argv[i], *sign;

	*ret = (struct argument){ .next = i + 1 };
	if (strcmp(word, "-o") == 0) {
		word = i + 1 < argc ? argv[i + 1] : "";
		sign = strchr(word, '=');
		if (!sign)
			return error_set(e, -EINVAL, "command line: -o needs name=value");
		*ret = (struct argument){ slice(word, (size_t)(sign - word)), sign + 1, i + 2 };
		return 0;
	}
	if (strcmp(word, "-h") == 0 || strcmp(word, "-V") == 0) {
		ret->name = word[1] == 'h' ? SLICE("help") : SLICE("version");
		return 0;
	}
	if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
		return error_set(e, -EINVAL, "command line: '%s' is not understood, see kvd --help", word);
	word += 2;
	sign = strchr(word, '=');
	ret->name = sign ? slice(word, (size_t)(sign - word)) : slice_str(word);
	ret->value = sign ? sign + 1 : NULL;
	bool takes_value = slice_is(ret->name, "config") || slice_is(ret->name, "restore") || option_find(ret->name) >= 0;
	if (!sign && takes_value && i + 1 < argc)
		*ret = (struct argument){ ret->name, argv[i + 1], i + 2 };
	if (takes_value && !ret->value)
		return error_set(e, -EINVAL, "command line: --%s needs a value", word);
	return 0;
}

int options_read_command(int argc, char **argv, struct options_command *ret, struct error *e)
{
	static const struct {
		const char *name;
		enum options_mode mode;
	} words[] = { { "restore", OPTIONS_RESTORE }, { "check-config", OPTIONS_CHECK }, { "version", OPTIONS_VERSION }, { "help", OPTIONS_HELP } };
	struct options_command c = { .argc = argc, .argv = argv };
	struct argument a;

	for (int i = 1; i < argc; i = a.next) {
		int r = cut_argument(argc, argv, i, &a, e);
		if (r)
			return r;
		if (slice_is(a.name, "config"))
			c.config = a.value;
		if (slice_is(a.name, "restore")) {
			if (c.restores == OPTIONS_RESTORES)
				return error_set(e, -EINVAL, "command line: --restore can be given %d times", OPTIONS_RESTORES);
			c.restore[c.restores++] = a.value;
		}
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (slice_is(a.name, words[k].name) && c.mode < words[k].mode)
				c.mode = words[k].mode;
	}
	*ret = c;
	return 0;
}

static bool is_word(struct slice name)
{
	return slice_is(name, "config") || slice_is(name, "restore") || slice_is(name, "check-config") || slice_is(name, "version") ||
	       slice_is(name, "help");
}

static int apply_command(struct options *o, const struct options_command *c, struct error *e)
{
	char cwd[PATH_MAX];
	const char *base = getcwd(cwd, sizeof(cwd));
	struct argument a;

	for (int i = 1; i < c->argc; i = a.next) {
		int r = cut_argument(c->argc, c->argv, i, &a, e);
		if (r)
			return r;
		if (is_word(a.name))
			continue;
		r = options_set(o, a.name, slice_str(a.value ? a.value : ""), "command line", base, e);
		if (r)
			return r;
	}
	return 0;
}

/* ---- all of it ---- */

static int set_default_path(struct options *o, enum option_id id, int found, const char *path, struct error *e)
{
	const char *name = option_info(id)->name;

	if (found)
		return error_set(e, -EINVAL, "%s: there is no home directory to take as default, set it", name);
	return options_set(o, slice_str(name), slice_str(path), "default", NULL, e);
}

static int fill_paths(struct options *o, struct error *e)
{
	char path[PATHS_MAX];
	int r = 0, found;

	if (!*option_text(o, OPTION_DATA_DIR)) {
		found = paths_data_dir(path, sizeof(path));
		r = set_default_path(o, OPTION_DATA_DIR, found, path, e);
	}
	if (r == 0 && !*option_text(o, OPTION_SOCKET)) {
		found = paths_socket_for(option_text(o, OPTION_DATA_DIR), path, sizeof(path));
		r = set_default_path(o, OPTION_SOCKET, found, path, e);
	}
	return r;
}

int options_load(const struct options_command *command, char *const *env, struct options *ret, struct error *e)
{
	char path[PATHS_MAX];
	struct options o;
	int r = options_init(&o);

	if (r)
		return error_set(e, r, "no memory for the options");
	if (command->config)
		r = options_read_file(&o, command->config, true, e);
	else if (paths_config(path, sizeof(path)) == 0)
		r = options_read_file(&o, path, false, e);
	if (r == 0)
		r = options_read_environment(&o, env, e);
	if (r == 0)
		r = apply_command(&o, command, e);
	if (r == 0)
		r = fill_paths(&o, e);
	if (r) {
		options_free(&o);
		return r;
	}
	*ret = o;
	return 0;
}
