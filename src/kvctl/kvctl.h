/* SPDX-License-Identifier: MIT
 *
 * kvctl, the administrator's client. One struct kvctl holds what a run knows; every part gets it. One thread.
 *
 * Calls that can fail return an enum kvctl_exit: KVCTL_DONE, or the code to leave with after the reason has
 * been printed to standard error. Keys and values are slices throughout: any byte may occur in them.
 */
#ifndef KVCTL_KVCTL_H
#define KVCTL_KVCTL_H

#include <stdbool.h>
#include <stdint.h>
#include <hiredis/hiredis.h>
#include "base/paths.h"
#include "base/slice.h"

enum kvctl_exit {
	KVCTL_DONE = 0,
	KVCTL_REFUSED = 1, /* absent, refused by the daemon, or a local file failed */
	KVCTL_USAGE = 2,
	KVCTL_NO_CONNECTION = 3,
};

struct progress;
struct screen;

struct kvctl {
	char socket[PATHS_MAX];
	int64_t database;
	uint64_t timeout_ms; /* 0: wait */
	bool json, quiet;
	bool terminal;             /* standard output is one */
	bool colour;               /* and it shows colours, which nobody has forbidden with NO_COLOR */
	bool shell;                /* standard input gives the verbs, so it cannot give values */
	bool leave;                /* quit was said */
	unsigned long line;        /* of a script on standard input, for messages; 0: none */
	int output_error;          /* errno of the first failed write to standard output */
	redisContext *redis;       /* NULL: not connected */
	struct progress *progress; /* drawn on standard error, NULL: nothing; see progress.h */
	struct screen *screen;     /* top has the terminal, NULL: nobody; complaints give it back first */
};

/* The program: everything main does. */
int kvctl_main(int argc, char **argv);

/* ---- connect.c: the daemon ---- */

/* Connects unless connected. */
enum kvctl_exit connect_open(struct kvctl *k);
void connect_close(struct kvctl *k);
/* --timeout, 0: there is none; and what is said when it is over. */
struct timeval connect_limit(const struct kvctl *k);
#define CONNECT_TOO_LATE "no reply within the time limit"

/* Queues a request. connect_reply then takes one reply for each, in order; error replies come back as
 * replies. */
enum kvctl_exit connect_send(struct kvctl *k, const struct slice *argv, size_t argc);
enum kvctl_exit connect_reply(struct kvctl *k, redisReply **ret);
/* Puts what was queued on its way, so that the daemon works while we do. */
enum kvctl_exit connect_flush(struct kvctl *k);

/* One request and its reply, to be freed with freeReplyObject. An error reply is printed and gives
 * KVCTL_REFUSED. */
enum kvctl_exit connect_ask(struct kvctl *k, const struct slice *argv, size_t argc, redisReply **ret);
/* The same when an integer is the answer. */
enum kvctl_exit connect_ask_int(struct kvctl *k, const struct slice *argv, size_t argc, int64_t *ret);
/* Prints an error reply, or that a reply is not of the kind expected. Returns KVCTL_REFUSED. */
enum kvctl_exit connect_unexpected(struct kvctl *k, const redisReply *r);

static inline struct slice reply_slice(const redisReply *r)
{
	return slice(r->str, (size_t)r->len);
}

/* ---- reply.c: replies of names and values in turn ---- */

/* The value of this name, when it is of this type (REDIS_REPLY_...); NULL: there is none. */
const redisReply *reply_find(const redisReply *r, const char *name, int type);
/* 0 when there is no such number. */
int64_t reply_int(const redisReply *r, const char *name);

/* ---- suggest.c, words.c: text ---- */

/* Number of edits (insert, drop, change, swap neighbours) between two words. */
unsigned suggest_distance(struct slice a, struct slice b);
/* The verb that was probably meant, or NULL. */
const char *suggest_verb(struct slice word);

/*
 * Cuts a line into words by the inline rules of the protocol. The words point into the line, which is
 * overwritten. Returns their number, or -EINVAL (unbalanced quotes) or -ENOMEM; *ret is to be freed, also
 * when there are none.
 */
int words_split(char *line, size_t len, struct slice **ret);

/* ---- top.c ---- */

/* Gives the terminal back; s may be NULL, or have done so. */
void screen_close(struct screen *s);

/* ---- shell.c ---- */

/* Runs the verbs of standard input: with prompt and editing on a terminal, else as a script. */
enum kvctl_exit shell_run(struct kvctl *k);

#endif
