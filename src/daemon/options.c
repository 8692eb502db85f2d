/* SPDX-License-Identifier: MIT */
#include "daemon/options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "base/paths.h"
#include "store/store.h"

static const struct option_info infos[OPTION_COUNT] = {
#define OPTION(id, name, type, fallback, min, max, choices, reloadable, help) \
	{ name, OPTION_TYPE_##type, fallback, min, max, choices, reloadable, help },
#include "daemon/options.def"
#undef OPTION
};

const struct option_info *option_info(size_t i)
{
	return i < OPTION_COUNT ? &infos[i] : NULL;
}

int option_find(struct slice name)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		if (slice_is(name, infos[i].name))
			return i;
	return -ENOENT;
}

/* ---- one value ---- */

static int parse_octal(struct slice s, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 6)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '7')
			return -EINVAL;
		v = v * 8 + (uint64_t)(s.ptr[i] - '0');
	}
	*ret = v;
	return 0;
}

static int parse_choice(const char *choices, struct slice s, uint64_t *ret)
{
	for (uint64_t i = 0; *choices; i++) {
		size_t len = strcspn(choices, " ");
		if (s.len == len && strncasecmp(s.ptr, choices, len) == 0) {
			*ret = i;
			return 0;
		}
		choices += len + (choices[len] == ' ');
	}
	return -EINVAL;
}

static int parse_bool(struct slice s, uint64_t *ret)
{
	uint64_t i;

	if (parse_choice("no yes off on false true 0 1", s, &i))
		return -EINVAL;
	*ret = i & 1;
	return 0;
}

/* A name of the user database, or a number. */
static int parse_owner(enum option_type type, const char *text, uint64_t *ret)
{
	uint64_t id;

	if (num_parse_u64(slice_str(text), &id) == 0 && id < UINT32_MAX) {
		*ret = id;
		return 0;
	}
	if (type == OPTION_TYPE_USER) {
		const struct passwd *pw = getpwnam(text);
		if (!pw)
			return -EINVAL;
		*ret = pw->pw_uid;
		return 0;
	}
	const struct group *gr = getgrnam(text);
	if (!gr)
		return -EINVAL;
	*ret = gr->gr_gid;
	return 0;
}

/* Exactly HH:MM-HH:MM. */
static int parse_hours(const char *text, uint64_t *ret)
{
	static const char form[] = "dd:dd-dd:dd";
	unsigned n[8], digits = 0;

	if (strlen(text) != sizeof(form) - 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] != 'd' ? text[i] != form[i] : text[i] < '0' || text[i] > '9')
			return -EINVAL;
		if (form[i] == 'd')
			n[digits++] = (unsigned)(text[i] - '0');
	}
	unsigned from_hour = n[0] * 10 + n[1], from = n[2] * 10 + n[3], to_hour = n[4] * 10 + n[5], to = n[6] * 10 + n[7];
	if (from_hour > 23 || from > 59 || to_hour > 23 || to > 59)
		return -EINVAL;
	*ret = (uint64_t)(from_hour * 60 + from) * 1440 + to_hour * 60 + to;
	return 0;
}

static int parse_number(const struct option_info *info, const char *text, uint64_t *ret)
{
	struct slice s = slice_str(text);

	switch (info->type) {
	case OPTION_TYPE_SIZE:
		return num_parse_size(s, ret);
	case OPTION_TYPE_DURATION:
		return num_parse_duration(s, ret);
	case OPTION_TYPE_INTEGER:
		return num_parse_u64(s, ret);
	case OPTION_TYPE_MODE:
		return parse_octal(s, ret);
	case OPTION_TYPE_BOOL:
		return parse_bool(s, ret);
	case OPTION_TYPE_ENUM:
		return parse_choice(info->choices, s, ret);
	case OPTION_TYPE_USER:
	case OPTION_TYPE_GROUP:
		return parse_owner(info->type, text, ret);
	case OPTION_TYPE_OR_OFF:
		*ret = OPTION_UNSET;
		return strcmp(text, "-1") ? num_parse_u64(s, ret) : 0;
	case OPTION_TYPE_HOURS:
		return parse_hours(text, ret);
	case OPTION_TYPE_LETTERS:
		return text[strspn(text, info->choices)] ? -EINVAL : 0;
	case OPTION_TYPE_STRING:
	case OPTION_TYPE_PATH:
		break;
	}
	*ret = 0;
	return 0;
}

static bool is_bounded(enum option_type type)
{
	return type == OPTION_TYPE_OR_OFF || type == OPTION_TYPE_SIZE || type == OPTION_TYPE_DURATION || type == OPTION_TYPE_INTEGER ||
	       type == OPTION_TYPE_MODE;
}

static void print_size(struct buf *b, uint64_t v)
{
	static const char units[] = "BKMGTP";
	size_t unit = 0;

	while (v && v % 1024 == 0 && unit + 1 < sizeof(units) - 1) {
		v /= 1024;
		unit++;
	}
	buf_printf(b, "%llu", (unsigned long long)v);
	if (unit)
		buf_append_char(b, units[unit]);
}

static void print_duration(struct buf *b, uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" }, { 1, "ms" } };

	for (size_t i = 0; ms && i < sizeof(units) / sizeof(units[0]); i++)
		if (ms % units[i].ms == 0) {
			buf_printf(b, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
			return;
		}
	buf_append_str(b, "0");
}

static void print_bound(struct buf *b, enum option_type type, uint64_t v)
{
	if (type == OPTION_TYPE_SIZE)
		print_size(b, v);
	else if (type == OPTION_TYPE_DURATION)
		print_duration(b, v);
	else
		buf_printf(b, type == OPTION_TYPE_MODE ? "%04llo" : "%llu", (unsigned long long)v);
}

/* "a size from 1M to 16G", for error texts and --help. */
static void print_allowed(struct buf *b, const struct option_info *info)
{
	static const char *const nouns[] = { "a size", "a duration", "an integer", "yes or no", "an octal mode", "one of",
		"a user", "a group", "a text", "-1 or an integer", "hours as 02:00-05:00", "letters of", "an absolute path" };

	buf_append_str(b, nouns[info->type]);
	if (info->type == OPTION_TYPE_ENUM || info->type == OPTION_TYPE_LETTERS)
		buf_printf(b, " %s", info->choices);
	if (is_bounded(info->type)) {
		buf_append_str(b, " from ");
		print_bound(b, info->type, info->min);
		buf_append_str(b, " to ");
		print_bound(b, info->type, info->max);
	}
}

/* "kvd.conf:7: segment-size: ", how an error text begins. */
static const char *print_place(char *out, size_t size, const char *source, const char *name)
{
	out[0] = '\0';
	if (source)
		snprintf(out, size, "%s: %s: ", source, name);
	return out;
}

static int refuse_value(const struct option_info *info, const char *text, const char *source, struct error *e)
{
	char place[PATHS_MAX + 96];
	struct buf allowed = { 0 };

	print_allowed(&allowed, info);
	buf_append_char(&allowed, '\0');
	/* A password does not belong into a log, not even a bad one. */
	bool secret = info->type == OPTION_TYPE_STRING;
	error_set(e, -EINVAL, "%s'%s' is not allowed, use %s", print_place(place, sizeof(place), source, info->name), secret ? "..." : text,
		allowed.failed ? "another value" : allowed.ptr);
	buf_free(&allowed);
	return -EINVAL;
}

static char *copy_text(const struct option_info *info, struct slice value, const char *base_dir)
{
	char *text = NULL;

	if (value.len == 0)
		return strdup(info->fallback);
	if (info->type == OPTION_TYPE_PATH && value.ptr[0] != '/' && base_dir) {
		if (asprintf(&text, "%s/%.*s", base_dir, (int)value.len, value.ptr) < 0)
			return NULL;
		return text;
	}
	return strndup(value.ptr, value.len);
}

static int check_text(const struct option_info *info, const char *text, struct option_value *ret)
{
	uint64_t number = OPTION_UNSET;

	if (*text && parse_number(info, text, &number))
		return -EINVAL;
	if (*text && is_bounded(info->type) && number != OPTION_UNSET && (number < info->min || number > info->max))
		return -ERANGE;
	if (*text && info->type == OPTION_TYPE_PATH && text[0] != '/')
		return -EINVAL;
	ret->number = number;
	return 0;
}

/* What is in the table, but not in this build. */
static bool is_built(int id, const struct option_value *v)
{
	return id != OPTION_COMPRESSION || store_has_codec((enum store_codec)v->number);
}

static int set_value(struct options *o, int id, struct slice value, const char *source, const char *base_dir,
	struct error *e)
{
	const struct option_info *info = &infos[id];
	struct option_value v = { 0 };
	char place[PATHS_MAX + 96];

	v.text = copy_text(info, value, base_dir);
	if (!v.text)
		return error_set(e, -ENOMEM, "%sno memory", print_place(place, sizeof(place), source, info->name));
	if ((value.len && memchr(value.ptr, '\0', value.len)) || check_text(info, v.text, &v)) {
		refuse_value(info, v.text, source, e);
		free(v.text);
		return -EINVAL;
	}
	if (!is_built(id, &v)) {
		error_set(e, -EINVAL, "%sthis kvd was built without %s", print_place(place, sizeof(place), source, info->name), v.text);
		free(v.text);
		return -EINVAL;
	}
	free(o->value[id].text);
	o->value[id] = v;
	return 0;
}

int options_set(struct options *o, struct slice name, struct slice value, const char *source, const char *base_dir,
	struct error *e)
{
	int id = option_find(name);

	if (id < 0)
		return error_set(e, -EINVAL, "%s: '%.*s' is not an option", source, (int)(name.len < 64 ? name.len : 64),
			name.ptr);
	return set_value(o, id, value, source, base_dir, e);
}

int options_init(struct options *o)
{
	*o = (struct options){ 0 };
	for (int i = 0; i < OPTION_COUNT; i++)
		if (set_value(o, i, slice(NULL, 0), "default", NULL, NULL)) {
			options_free(o);
			return -ENOMEM;
		}
	return 0;
}

void options_free(struct options *o)
{
	for (int i = 0; i < OPTION_COUNT; i++)
		free(o->value[i].text);
	free(o->file);
	*o = (struct options){ 0 };
}

int options_copy(const struct options *o, struct options *ret)
{
	struct options copy = { 0 };

	for (int i = 0; i < OPTION_COUNT; i++) {
		copy.value[i].number = o->value[i].number;
		copy.value[i].text = strdup(o->value[i].text);
		if (!copy.value[i].text) {
			options_free(&copy);
			return -ENOMEM;
		}
	}
	copy.file = o->file ? strdup(o->file) : NULL;
	if (o->file && !copy.file) {
		options_free(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

void options_print_help(struct buf *out)
{
	buf_append_str(out, "usage: kvd [--config FILE] [--check-config] [--NAME=VALUE | -o NAME=VALUE ...]\n"
			    "\n"
			    "  --config FILE     read this file instead of the default one\n"
			    "  --check-config    only say whether the configuration is good\n"
			    "  --restore SOURCE  put a snapshot (a name, or an archive) in the place of the data, and end\n"
			    "  --version         say which release this is\n"
			    "  --help            this text\n"
			    "\n"
			    "Options, also in the file and as KVD_NAME in the environment:\n");
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct option_info *info = &infos[i];
		buf_printf(out, "\n  %s = %s\n      %s;\n      ", info->name, info->fallback, info->help);
		print_allowed(out, info);
		buf_append_str(out, info->reloadable ? "; may change at run time\n" : "\n");
	}
}
