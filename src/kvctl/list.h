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

/* The first key that no longer begins with the prefix, in place; empty: there is none. */
void range_prefix_end(struct buf *prefix);

#endif
