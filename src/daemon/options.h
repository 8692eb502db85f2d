/* SPDX-License-Identifier: MIT
 *
 * The configuration: options.def with values. Later sources win: defaults, the file, its drop-ins, the environment
 * (KVD_DATA_DIR for data-dir), the command line.
 *
 * A file has lines `name = value`; a line beginning with # is a comment; an empty value means the default. Drop-ins are
 * FILE.d/NAME.conf and, for a file called kvd.conf, before them conf.d/NAME.conf beside it; each folder in byte order of the names.
 *
 * Errors are -EINVAL (a bad line: the text names file and line or other source, option, and what is allowed), -ENOMEM, or
 * what reading a file said. After an error the options are as before or partly set: throw them away.
 */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/slice.h"

enum option_id {
#define OPTION(id, ...) OPTION_##id,
#include "daemon/options.def"
#undef OPTION
	OPTION_COUNT
};

enum option_type {
	OPTION_TYPE_SIZE,     /* number: bytes */
	OPTION_TYPE_DURATION, /* number: milliseconds */
	OPTION_TYPE_INTEGER,
	OPTION_TYPE_BOOL,
	OPTION_TYPE_MODE,
	OPTION_TYPE_ENUM, /* number: index of the choice */
	OPTION_TYPE_USER, /* number: uid, gid, or OPTION_UNSET */
	OPTION_TYPE_GROUP,
	OPTION_TYPE_STRING,
	OPTION_TYPE_OR_OFF,  /* number, or OPTION_UNSET for the text -1 */
	OPTION_TYPE_HOURS,   /* 02:00-05:00; number: minute of the day it begins * 1440 + the one it ends */
	OPTION_TYPE_LETTERS, /* text of letters that are among the choices */
	OPTION_TYPE_PATH, /* absolute; relative ones only on the command line, taken from the working directory */
};

#define OPTION_UNSET UINT64_MAX /* the number of an option with an empty text */

struct option_info {
	const char *name;
	enum option_type type;
	const char *fallback; /* text of the default */
	uint64_t min, max;
	const char *choices;
	bool reloadable;
	const char *help;
};

struct option_value {
	char *text; /* as written, owned */
	uint64_t number;
};

struct options {
	struct option_value value[OPTION_COUNT];
	char *file; /* absolute path of the file that was read, owned; NULL: there was none */
};

/* What the command line asks for beside options. */
enum options_mode { OPTIONS_RUN, OPTIONS_RESTORE, OPTIONS_CHECK, OPTIONS_VERSION, OPTIONS_HELP };
#define OPTIONS_RESTORES 32
struct options_command {
	enum options_mode mode;
	const char *config; /* borrowed from argv; NULL: the default file, which may be missing */
	const char *restore[OPTIONS_RESTORES]; /* borrowed from argv: what is to be restored, in order */
	size_t restores;
	int argc;
	char **argv;
};

const struct option_info *option_info(size_t i); /* NULL past the last */
/* The option of that name, or -ENOENT. */
int option_find(struct slice name);

static inline uint64_t option_number(const struct options *o, enum option_id id)
{
	return o->value[id].number;
}

static inline const char *option_text(const struct options *o, enum option_id id)
{
	return o->value[id].text;
}

/* All defaults. 0 or -ENOMEM. A zeroed struct options is fit for options_free only. */
int options_init(struct options *o);
void options_free(struct options *o);
int options_copy(const struct options *o, struct options *ret);
/* `source` heads the error text ("kvd.conf:7: NAME: "), NULL: it tells nothing but what is wrong with the value; base_dir (may be NULL) is where relative paths start. */
int options_set(struct options *o, struct slice name, struct slice value, const char *source, const char *base_dir,
	struct error *e);

int options_read_file(struct options *o, const char *path, bool must_exist, struct error *e);
int options_read_environment(struct options *o, char *const *env, struct error *e);
/* Looks through the command line without applying options: what is to be done and with which file. */
int options_read_command(int argc, char **argv, struct options_command *ret, struct error *e);
/* Everything in order, then data-dir and socket by base/paths.h when not set. *ret is to be freed by options_free. */
int options_load(const struct options_command *command, char *const *env, struct options *ret, struct error *e);

/* What kvd --help prints. */
void options_print_help(struct buf *out);

#endif
