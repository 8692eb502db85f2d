/* SPDX-License-Identifier: MIT */
#include "cmd/large.h"

#include <errno.h>

#define PIECE ((size_t)64 << 10) /* bytes that are still in the processor's cache when their checksum is made */

int large_make(struct store_work *w, large_fill *fill)
{
	struct block *b = block_new(w->home, w->room, w->room);

	if (!b)
		return -ENOMEM;
	for (size_t at = 0, n; at < w->room; at += n) {
		n = w->room - at < PIECE ? w->room - at : PIECE;
		fill(w, b->memory + at, at, n);
		block_take(b, n);
	}
	w->made = b;
	return 0;
}

int large_value(struct call *call, const struct store_work *w, large_fill *fill, struct txn_value *ret)
{
	const struct store_work *done;
	int r = w->room < BLOCK_LEAST ? 0 : txn_work(call->txn, w, &done);

	if (r)
		return r;
	if (w->room >= BLOCK_LEAST) {
		ret->data = done->made->value;
		ret->block = done->made;
		return 0;
	}
	char *value = txn_alloc(call->txn, w->room ? w->room : 1);
	if (!value)
		return -ENOMEM;
	memset(value, 0, w->room);
	fill(w, value, 0, w->room);
	ret->data = slice(value, w->room);
	ret->block = NULL;
	return 0;
}

static int run_compare(struct store_work *w)
{
	w->result = slice_eq(w->in[0].data, w->in[1].data);
	return 0;
}

int large_compare(struct call *call, const struct txn_value *v, struct slice argument, bool *ret_same)
{
	struct block *block = call_block(call, argument);
	const struct store_work_input in[] = { { v->data, v->block, 0 }, { argument, block, 0 } };
	const struct store_work asked = { .run = run_compare, .in = in, .inputs = 2 }, *done;

	if (v->data.len != argument.len || !block) {
		*ret_same = slice_eq(v->data, argument);
		return 0;
	}
	int r = txn_work(call->txn, &asked, &done);
	if (r == 0)
		*ret_same = done->result;
	return r;
}

/* The part of an input that lies in n bytes from `at` on, if any. */
static void copy_part(const struct store_work_input *in, char *to, size_t at, size_t n)
{
	size_t first = in->at > at ? in->at : at, end = in->at + in->data.len < at + n ? in->at + in->data.len : at + n;

	if (first < end)
		memcpy(to + (first - at), in->data.ptr + (first - in->at), end - first);
}

/* The first patch that ends behind `at`. */
static size_t find_patch(const struct store_work *w, size_t at)
{
	size_t low = 1, high = w->inputs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->in[middle].at + w->in[middle].data.len <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void fill_spliced(const struct store_work *w, char *to, size_t at, size_t n)
{
	copy_part(&w->in[0], to, at, n);
	for (size_t i = find_patch(w, at); i < w->inputs && w->in[i].at < at + n; i++)
		copy_part(&w->in[i], to, at, n);
}

static int run_splice(struct store_work *w)
{
	return large_make(w, fill_spliced);
}

int large_splice(struct call *call, const struct store_work_input *in, size_t inputs, size_t len, struct txn_value *ret)
{
	struct store_work w = { .run = run_splice, .in = in, .inputs = inputs, .room = len };

	return len > STORE_MAX_VALUE ? -EMSGSIZE : large_value(call, &w, fill_spliced, ret);
}
