/* SPDX-License-Identifier: MIT
 *
 * The daemon's own numbers (KVD.STATS) and the lines of INFO, looked up by name.
 */
#ifndef KVCTL_NUMBERS_H
#define KVCTL_NUMBERS_H

#include "kvctl/kvctl.h"

struct numbers {
	redisReply *reply; /* owned; names and integers in turn */
};

/* numbers_free what was fetched. */
enum kvctl_exit numbers_fetch(struct kvctl *k, struct numbers *ret);
void numbers_free(struct numbers *n);

/* False: the daemon has no such number. */
bool numbers_find(const struct numbers *n, const char *name, int64_t *ret);
/* 0 when the daemon has no such number. */
int64_t numbers_get(const struct numbers *n, const char *name);

/* One section of INFO; freeReplyObject the reply, whose text it is. */
enum kvctl_exit info_fetch(struct kvctl *k, const char *section, redisReply **ret);

/* The next line of a text, without its end; false: there is none. Moves *text on. */
bool info_next_line(struct slice *text, struct slice *ret);
/* "name:value" of INFO; false: there is no such name. */
bool info_find(struct slice text, const char *name, struct slice *ret);

#endif
