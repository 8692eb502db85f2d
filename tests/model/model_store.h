/* SPDX-License-Identifier: MIT
 *
 * The reference model of the store: the functions of store/store.h over sorted arrays in memory. Nothing is
 * on disk; a commit is durable at once unless a test holds it back. Only what a test asks for ever fails.
 */
#ifndef TESTS_MODEL_STORE_H
#define TESTS_MODEL_STORE_H

#include "store/store.h"

/* A store of `databases` databases (0: 16) that tells fetched(arg, token); opened without a directory. */
struct store *model_open(unsigned databases, void (*fetched)(void *arg, void *token), void *arg);

/* The steady clock, and how far the wall clock is ahead of it. It stands still until set; it starts at
 * 1700000000000. */
void model_set_now(struct store *s, int64_t steady_ms, int64_t wall_offset_ms);

/* While held, nothing more becomes durable; letting go catches up. store_barrier does not. */
void model_hold(struct store *s, bool held);
unsigned model_barriers(const struct store *s); /* how often a barrier was asked for */

/* The record of this key is not in memory until it has been fetched (the next time it is asked for). 0 or
 * STORE_ABSENT. */
int model_make_cold(struct store *s, unsigned db, struct slice key);
/* The record of this key is damaged from now on, until it is written again. */
int model_make_corrupt(struct store *s, unsigned db, struct slice key);
/* NULL: writes are taken. Otherwise they answer STORE_REFUSED and this is why; at_commit: only the commit
 * does. */
void model_refuse(struct store *s, const char *why, bool at_commit);

/* Whether checkpoints fail from now on. */
void model_fail_checkpoints(struct store *s, bool fail);

#endif
