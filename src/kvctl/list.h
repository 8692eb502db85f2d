/* SPDX-License-Identifier: MIT
 *
 * Keys in order, a page at a time: whatever the size of the store, one page is in memory. Keys that come and
 * go between two pages may be seen or not; all others are seen once.
 */
#ifndef KVCTL_LIST_H
#define KVCTL_LIST_H

#include "base/buf.h"
#include "kvctl/verb.h"

struct range {
	struct buf from, to; /* what is left; empty: no bound */
	bool reverse, values;
	bool end;      /* nothing is left */
	uint64_t left; /* entries still wanted */
	uint64_t page; /* entries of the next page; follows their size */
};

/* From --prefix (or the first argument, unless `no_argument`), --from, --to, --limit and --reverse;
 * range_free it in every case. */
enum kvctl_exit range_init(struct kvctl *k, const struct args *a, bool no_argument, struct range *ret);
void range_free(struct range *r);

/* The next page: an array of keys, or key, value, key, value with r->values; NULL: the end. freeReplyObject
 * it. */
enum kvctl_exit range_page(struct kvctl *k, struct range *r, redisReply **ret);

/* The two halves of it, for those who send more in between: the words of the request for up to `asked`
 * entries (RANGE_WORDS of argv are written, digits has NUM_I64_CHARS bytes), whose number is returned, and
 * what its reply, an array as above, leaves to be asked for. */
#define RANGE_WORDS 7
size_t range_request(const struct range *r, uint64_t asked, char *digits, struct slice *argv);
/* False: this is no page. */
bool range_take(struct range *r, const redisReply *page, uint64_t asked);

/* How many entries to ask for after `got` of them took `bytes`: twice as many, or what fits a page of about 1
 * MiB. */
uint64_t range_next_page(uint64_t asked, uint64_t got, uint64_t bytes);

/* The first key that no longer begins with the prefix, in place; empty: there is none. */
void range_prefix_end(struct buf *prefix);

#endif
