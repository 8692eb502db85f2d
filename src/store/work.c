/* SPDX-License-Identifier: MIT */
#include "store/work.h"

#include <stdlib.h>
#include <string.h>

static size_t measure_copies(const struct store_work *asked)
{
	size_t size = 0;

	for (size_t i = 0; i < asked->inputs; i++)
		size += asked->in[i].block ? 0 : asked->in[i].data.len;
	return size;
}

struct store_work *work_new(struct blocks *home, const struct store_work *asked)
{
	size_t table = asked->inputs * sizeof(*asked->in);
	struct store_work *w = malloc(sizeof(*w) + table + measure_copies(asked));

	if (!w)
		return NULL;
	struct store_work_input *in = (struct store_work_input *)(w + 1);
	char *at = (char *)in + table;
	*w = *asked;
	w->in = in;
	w->home = home;
	w->made = NULL;
	w->result = 0;
	for (size_t i = 0; i < asked->inputs; i++) {
		in[i] = asked->in[i];
		if (in[i].block) {
			block_ref(in[i].block);
			continue;
		}
		if (in[i].data.len)
			memcpy(at, in[i].data.ptr, in[i].data.len);
		in[i].data.ptr = at;
		at += in[i].data.len;
	}
	return w;
}

struct store_work *work_free(struct store_work *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < w->inputs; i++)
		block_unref(w->in[i].block);
	block_unref(w->made);
	free(w);
	return NULL;
}

/* A block's bytes never change, so the place tells. */
static bool is_same_input(const struct store_work_input *a, const struct store_work_input *b)
{
	if (a->at != b->at || a->block != b->block || a->data.len != b->data.len)
		return false;
	return a->block ? a->data.ptr == b->data.ptr : slice_eq(a->data, b->data);
}

bool work_is(const struct store_work *w, const struct store_work *asked)
{
	if (w->run != asked->run || w->room != asked->room || w->inputs != asked->inputs || memcmp(w->number, asked->number, sizeof(w->number)))
		return false;
	for (size_t i = 0; i < w->inputs; i++)
		if (!is_same_input(&w->in[i], &asked->in[i]))
			return false;
	return true;
}
