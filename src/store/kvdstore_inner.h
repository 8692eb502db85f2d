/* SPDX-License-Identifier: MIT
 *
 * The handle of libkvdstore as its files see it. Names that begin with kvdstore_ leave the library; those of this header do not.
 */
#ifndef STORE_KVDSTORE_INNER_H
#define STORE_KVDSTORE_INNER_H

#include "store/kvdstore.h"

#include "base/buf.h"
#include "store/store.h"

struct kvdstore {
	struct store *store;
	bool lending; /* the transaction is open: a value in it was lent */
	struct buf key; /* a copy, when the key of a read was lent by the one before */
	unsigned iters;
	uint32_t checkpoint_interval_ms;
	uint64_t checkpoint_ns; /* monotonic: when kvdstore_maintain began the last one, or the opening */
	void (*event)(void *arg, const char *line);
	void *arg;
	char *path;
	char message[480];
};

/* Gives the message of a failure its text, and passes the result on. */
int handle_finish(struct kvdstore *s, int r);
int handle_refuse(struct kvdstore *s, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
int handle_check_db(struct kvdstore *s, unsigned db);
/* NULL is fine: 0 or -EINVAL. */
int handle_check_kind(struct kvdstore *s, const struct kvdstore_if *condition);
/*
 * The end of what was lent. Every call makes it, but not before it has used its arguments, since these may be what was lent. A transaction that
 * begins takes the memory over, and it goes with it.
 */
void handle_end_loan(struct kvdstore *s);
/* Begins a transaction on a database there is: 0 or -EINVAL. */
int handle_begin(struct kvdstore *s, unsigned db, struct txn **ret);
/* The transaction stays open for a value in it. */
void handle_lend(struct kvdstore *s);
/* Ends a transaction whose writes the store has taken with result r: commits and waits as long as the promise says, or aborts. */
int handle_commit(struct kvdstore *s, struct txn *t, int r);
/* Waits until the store has something to take in, and takes it in. */
void handle_wait(struct kvdstore *s);

/* States a put; ttl_ms as in the public calls. */
int handle_put(struct kvdstore *s, struct txn *t, unsigned db, struct slice key, struct slice value, uint64_t ttl_ms);
/* NULL holds always. 0, KVDSTORE_CONDITION or a failure. */
int handle_check(struct txn *t, unsigned db, struct slice key, const struct kvdstore_if *condition);

#endif
