/* SPDX-License-Identifier: MIT
 *
 * What is done with values too large to be walked through, or written anew, on the owner's thread (from BLOCK_LEAST on): as work of a helper
 * thread, see store.h. A handler that uses this has LONG or COMPARES in its row. Inner door of the room.
 */
#ifndef CMD_LARGE_H
#define CMD_LARGE_H

#include "cmd/room.h"

/* Writes the n bytes of a value from `at` on to memory that is zero. */
typedef void large_fill(const struct store_work *w, char *to, size_t at, size_t n);

/*
 * A value of w->room bytes by fill(), at once when that is short, otherwise by w->run, which is large_make() with the same. 0 with ret->data and
 * ret->block, for call_put_value; STORE_PENDING, -E2BIG or -ENOMEM.
 */
int large_value(struct call *call, const struct store_work *w, large_fill *fill, struct txn_value *ret);
/* Makes the block of w->room bytes. 0 or -ENOMEM. */
int large_make(struct store_work *w, large_fill *fill);

/*
 * large_value() of len bytes: that of in[0], then zeros, with in[1] and so on written over it, each where its `at` says; these are in order, do not
 * overlap and end within len. Also -EMSGSIZE.
 */
int large_splice(struct call *call, const struct store_work_input *in, size_t inputs, size_t len, struct txn_value *ret);

/* Whether a value is the same as an argument. 0 with *ret_same, STORE_PENDING or -ENOMEM. */
int large_compare(struct call *call, const struct txn_value *v, struct slice argument, bool *ret_same);

#endif
