/* SPDX-License-Identifier: MIT
 *
 * The replies of one connection on their way out, some of them held until the log is durable up to a position. Bytes
 * leave in order: what stands behind a held reply waits with it. No sockets here: bytes and positions in, runs to send out.
 *
 * Replies are appended straight to `buf`, large values to `lents`; outq_hold() then says that those since `start` may not be seen before `position`.
 */
#ifndef DAEMON_OUTQ_H
#define DAEMON_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/slice.h"
#include "proto/resp.h"

struct outq_hold {
	size_t start, end; /* offsets in buf */
	uint64_t position;
	uint64_t turn;
	unsigned replies;
};

struct outq {
	struct buf buf;
	size_t sent; /* bytes of buf already gone */
	struct resp_lents lents; /* those not gone yet; they belong between the bytes of buf */
	size_t lent_sent;        /* bytes of the first one already gone */
	struct outq_hold *hold;
	size_t first, nholds, cap; /* live ones are hold[first] to hold[first + nholds - 1] */
};

static inline size_t outq_size(const struct outq *q)
{
	return q->buf.len - q->sent + q->lents.bytes - q->lent_sent;
}

static inline bool outq_held(const struct outq *q)
{
	return q->nholds > 0;
}

/*
 * Holds the bytes appended since `start`, which are `replies` replies, back until position. Holds of one turn that touch
 * become one: they are synced together. 0 or -ENOMEM: nothing is held, the connection must be given up.
 */
int outq_hold(struct outq *q, size_t start, uint64_t position, unsigned replies, uint64_t turn);

/* Lets go what is held for positions up to `releasable`. Returns whether anything was let go. */
bool outq_release(struct outq *q, uint64_t releasable);

/* Puts `error` (a whole reply) in the place of each held reply and lets all go. 0 or -ENOMEM: give the connection up. */
int outq_refuse(struct outq *q, struct slice error);

/* Bytes that may leave now, in one run; empty when there are none. Behind a run another one may follow. Valid until the queue changes. */
struct slice outq_ready(const struct outq *q);

/* n bytes of outq_ready() have left. An empty queue keeps at most `keep` bytes of memory. */
void outq_sent(struct outq *q, size_t n, size_t keep);

void outq_free(struct outq *q);

#endif
