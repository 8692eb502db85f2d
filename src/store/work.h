/* SPDX-License-Identifier: MIT
 *
 * Work on large values (store.h) as an entry of a store_fetch: what was asked for, with references to its blocks and copies of
 * the rest, then what came of it. Owner's thread but for run().
 */
#ifndef STORE_WORK_H
#define STORE_WORK_H

#include "store/store.h"

/* A copy of what is asked for; NULL: no memory. */
struct store_work *work_new(struct blocks *home, const struct store_work *asked);
/* With the references it has; accepts NULL, returns NULL. */
struct store_work *work_free(struct store_work *w);
/* Whether it was made from the same. */
bool work_is(const struct store_work *w, const struct store_work *asked);

#endif
