/* SPDX-License-Identifier: MIT
 *
 * The large values among the replies, which are lent instead of copied.
 */
#include "proto/resp_inner.h"

#include <errno.h>
#include <stdlib.h>

int resp_lents_add(struct resp_lents *l, size_t at, struct slice bytes, struct block *block)
{
	if (l->first + l->count == l->cap) {
		size_t cap = l->first > l->cap / 2 ? l->cap : l->cap ? l->cap * 2 : 4;
		struct resp_lent *lent = malloc(cap * sizeof(*lent));
		if (!lent)
			return -ENOMEM;
		if (l->count)
			memcpy(lent, l->lent + l->first, l->count * sizeof(*lent));
		free(l->lent);
		l->lent = lent;
		l->first = 0;
		l->cap = cap;
	}
	l->lent[l->first + l->count++] = (struct resp_lent){ at, bytes, block_ref(block) };
	l->bytes += bytes.len;
	return 0;
}

static void drop(struct resp_lents *l, struct resp_lent *lent)
{
	l->bytes -= lent->bytes.len;
	l->count--;
	block_unref(lent->block);
	if (l->count)
		return;
	free(l->lent);
	*l = (struct resp_lents){ 0 };
}

void resp_lents_shift(struct resp_lents *l)
{
	drop(l, &l->lent[l->first++]);
}

void resp_lents_cut(struct resp_lents *l, size_t at)
{
	while (l->count && l->lent[l->first + l->count - 1].at > at)
		drop(l, &l->lent[l->first + l->count - 1]);
}

void resp_lents_free(struct resp_lents *l)
{
	while (l->count)
		resp_lents_shift(l);
}

void resp_cut(struct resp_writer *w, size_t mark)
{
	w->out->len = mark;
	if (w->lents)
		resp_lents_cut(w->lents, mark);
}

void resp_bulk_block(struct resp_writer *w, struct slice s, struct block *block)
{
	size_t mark = w->out->len;

	/* A small part of a block is not worth keeping all of it in memory. */
	if (!w->lents || !block || s.len < BLOCK_LEAST || s.len < block->cap / 8) {
		resp_bulk(w, s);
		return;
	}
	resp_bulk_head(w, s.len);
	if (w->out->failed)
		return;
	if (resp_lents_add(w->lents, w->out->len, s, block) == 0) {
		buf_append(w->out, "\r\n", 2);
		if (w->out->failed)
			resp_cut(w, mark);
		return;
	}
	w->out->len = mark;
	resp_bulk(w, s);
}
