/* SPDX-License-Identifier: MIT
 *
 * The table of verbs (verbs.def) and the arguments of one call.
 */
#ifndef KVCTL_VERB_H
#define KVCTL_VERB_H

#include "base/buf.h"
#include "kvctl/kvctl.h"

enum {
	VERB_VERBATIM = 1, /* from the first argument on nothing is an option */
	VERB_LOCAL = 2,    /* needs no daemon */
	VERB_SHELL = 4,    /* known in the shell only */
};

struct args;

struct verb {
	const char *name;
	int (*run)(struct kvctl *k, const struct args *a); /* enum kvctl_exit */
	int min, max;                                      /* arguments; max -1: any number */
	unsigned flags;
	const char *syntax, *summary;
};

struct verb_option {
	const char *verb; /* "": of all verbs */
	const char *name;
	char letter;          /* 0: none */
	const char *argument; /* NULL: takes none */
	const char *help;
};

/* Rows of the tables; NULL past the last. */
const struct verb *verb_row(size_t i);
const struct verb_option *verb_option_row(size_t i);
/* Names in order of the table, aliases included; NULL past the last. *ret_verb (may be NULL) is what it
 * stands for. */
const char *verb_name(size_t i, const struct verb **ret_verb);

const struct verb *verb_find(struct slice name); /* also by alias; NULL: there is none */

/* Runs one call: words are global options, the verb and its arguments. Without a verb the shell begins. */
enum kvctl_exit verb_run_words(struct kvctl *k, const struct slice *words, size_t n);

/* ---- args.c ---- */

#define ARGS_OPTIONS 16

struct args {
	const struct verb *verb; /* NULL: none was given */
	struct slice *arg;       /* owned array of borrowed slices */
	size_t n;
	struct {
		const struct verb_option *option;
		struct slice value;
	} set[ARGS_OPTIONS];
	size_t nset;
	struct slice unknown; /* the word that is no verb */
};

/* Positive conditions of args_parse. */
enum { ARGS_BAD = 1, ARGS_UNKNOWN = 2 };

/*
 * Sorts words into options, verb and arguments and checks them against the table. The words stay borrowed.
 * Returns 0; ARGS_BAD with a sentence appended to error; ARGS_UNKNOWN: ret->unknown is no verb; -ENOMEM. *ret
 * is filled in every case, args_free it.
 */
int args_parse(const struct slice *words, size_t n, struct args *ret, struct buf *error);
void args_free(struct args *a);

/* Whether the option was given; *ret_value (may be NULL) is its argument. The last one counts. */
bool args_option(const struct args *a, const char *name, struct slice *ret_value);

/* Argument i, or an empty slice when there are fewer. */
struct slice args_at(const struct args *a, size_t i);

/* Reads a duration for people as decimal milliseconds, written to digits (NUM_I64_CHARS bytes). */
enum kvctl_exit args_duration(struct kvctl *k, struct slice text, char *digits, struct slice *ret);

/* ---- help.c ---- */

void help_general(struct kvctl *k);
void help_verb(struct kvctl *k, const struct verb *v);
void help_usage(const struct verb *v, struct buf *out); /* "kvctl get KEY", no newline */

/* ---- reload.c, watch.c: parts that tests look at ---- */

/* The unit a process runs in, from its /proc/PID/cgroup, and whether a user's service manager runs it. False: in none. */
bool reload_find_unit(struct slice cgroup, struct slice *ret_unit, bool *ret_user);
/* The pattern of the keyspace events of all keys with this prefix. */
void watch_pattern(struct buf *out, int64_t database, struct slice prefix);

/* The functions of the verbs: verb_NAME. */
#define VERB(name, min, max, flags, syntax, summary) int verb_##name(struct kvctl *k, const struct args *a);
#include "kvctl/verbs.def"

#endif
