/* SPDX-License-Identifier: MIT */
#include "daemon/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMPACT_BYTES ((size_t)1 << 20)

/* Room for one more hold: by moving the live ones to the front, or by more memory. */
static int reserve_hold(struct outq *q)
{
	if (q->first + q->nholds < q->cap)
		return 0;
	if (q->first > q->cap / 2) {
		memmove(q->hold, q->hold + q->first, q->nholds * sizeof(*q->hold));
		q->first = 0;
		return 0;
	}
	size_t cap = q->cap ? q->cap * 2 : 4;
	struct outq_hold *hold = realloc(q->hold, cap * sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	q->hold = hold;
	q->cap = cap;
	return 0;
}

int outq_hold(struct outq *q, size_t start, uint64_t position, unsigned replies, uint64_t turn)
{
	struct outq_hold *last = q->nholds ? &q->hold[q->first + q->nholds - 1] : NULL;

	if (start == q->buf.len)
		return 0;
	if (last && last->end == start && last->turn == turn) {
		last->end = q->buf.len;
		last->position = position > last->position ? position : last->position;
		last->replies += replies;
		return 0;
	}
	if (reserve_hold(q))
		return -ENOMEM;
	q->hold[q->first + q->nholds++] = (struct outq_hold){ start, q->buf.len, position, turn, replies };
	return 0;
}

static void drop_holds(struct outq *q)
{
	free(q->hold);
	q->hold = NULL;
	q->first = q->nholds = q->cap = 0;
}

bool outq_release(struct outq *q, uint64_t releasable)
{
	size_t before = q->nholds;

	while (q->nholds && q->hold[q->first].position <= releasable) {
		q->first++;
		q->nholds--;
	}
	if (q->nholds == 0)
		q->first = 0;
	return q->nholds < before;
}

/* Drops what is lent to held replies, as those go; what stays is at another place then. `error` is what each of them becomes. */
static int move_lents(struct outq *q, size_t error)
{
	struct resp_lents kept = { 0 }, *l = &q->lents;
	size_t i = q->first, dropped = q->sent, added = 0;
	int r = 0;

	for (; l->count; resp_lents_shift(l)) {
		const struct resp_lent *lent = &l->lent[l->first];
		for (; i < q->first + q->nholds && q->hold[i].end <= lent->at; i++) {
			dropped += q->hold[i].end - q->hold[i].start;
			added += q->hold[i].replies * error;
		}
		if (r == 0 && (i == q->first + q->nholds || lent->at <= q->hold[i].start))
			r = resp_lents_add(&kept, lent->at - dropped + added, lent->bytes, lent->block);
	}
	q->lents = kept;
	return r;
}

int outq_refuse(struct outq *q, struct slice error)
{
	struct buf b = { 0 };
	size_t at = q->sent;

	for (size_t i = q->first; i < q->first + q->nholds; i++) {
		const struct outq_hold *h = &q->hold[i];
		buf_append(&b, q->buf.ptr + at, h->start - at);
		for (unsigned k = 0; k < h->replies; k++)
			buf_append_slice(&b, error);
		at = h->end;
	}
	buf_append(&b, q->buf.ptr + at, q->buf.len - at);
	if (b.failed) {
		buf_free(&b);
		return -ENOMEM;
	}
	if (move_lents(q, error.len)) {
		buf_free(&b);
		return -ENOMEM;
	}
	buf_free(&q->buf);
	q->buf = b;
	q->sent = 0;
	drop_holds(q);
	return 0;
}

struct slice outq_ready(const struct outq *q)
{
	size_t end = q->nholds ? q->hold[q->first].start : q->buf.len;
	const struct resp_lent *lent = q->lents.count ? &q->lents.lent[q->lents.first] : NULL;

	if (lent && lent->at == q->sent)
		return slice_skip(lent->bytes, q->lent_sent);
	if (lent && lent->at < end)
		end = lent->at;
	/* An empty buffer has no address to add to. */
	return end > q->sent ? slice(q->buf.ptr + q->sent, end - q->sent) : slice(NULL, 0);
}

/* A reader that is always a little behind must not make the sent part grow for ever. */
static void compact(struct outq *q)
{
	if (q->sent < COMPACT_BYTES || q->sent < q->buf.len / 2)
		return;
	buf_consume(&q->buf, q->sent);
	for (size_t i = q->first; i < q->first + q->nholds; i++) {
		q->hold[i].start -= q->sent;
		q->hold[i].end -= q->sent;
	}
	for (size_t i = q->lents.first; i < q->lents.first + q->lents.count; i++)
		q->lents.lent[i].at -= q->sent;
	q->sent = 0;
}

/* n bytes of the first lent value have left. */
static void sent_lent(struct outq *q, size_t n)
{
	q->lent_sent += n;
	if (q->lent_sent < q->lents.lent[q->lents.first].bytes.len)
		return;
	resp_lents_shift(&q->lents);
	q->lent_sent = 0;
}

void outq_sent(struct outq *q, size_t n, size_t keep)
{
	if (q->lents.count && q->lents.lent[q->lents.first].at == q->sent) {
		sent_lent(q, n);
		return;
	}
	q->sent += n;
	if (q->sent < q->buf.len) {
		compact(q);
		return;
	}
	buf_reset(&q->buf, keep);
	q->sent = 0;
	if (q->cap > 16 && q->nholds == 0)
		drop_holds(q);
}

void outq_free(struct outq *q)
{
	resp_lents_free(&q->lents);
	buf_free(&q->buf);
	drop_holds(q);
	q->sent = q->lent_sent = 0;
}
