/* SPDX-License-Identifier: MIT
 *
 * LCS: the longest sequence of bytes that two values have in common, not necessarily side by side. The table of the
 * lengths for all pairs of beginnings is filled row by row, then walked from its end.
 */
#include "cmd/room.h"

#include <errno.h>

enum { MAX_CELLS = 1 << 24 }; /* so many take some ten milliseconds, and lengths fit 16 bits */

struct lcs {
	struct slice a, b;
	uint16_t *cell; /* (a.len + 1) rows of (b.len + 1) */
	bool len, idx, with_len;
	int64_t min;
	/* The run of matches the walk is in, [start, end) in a, and as long in b. */
	size_t a_start, b_start, run;
	size_t nruns;
};

static bool read_options(struct call *call, struct lcs *l)
{
	for (size_t i = 3; i < call->argc; i++) {
		struct slice word = call->argv[i];
		if (slice_is(word, "len")) {
			l->len = true;
		} else if (slice_is(word, "idx")) {
			l->idx = true;
		} else if (slice_is(word, "withmatchlen")) {
			l->with_len = true;
		} else if (slice_is(word, "minmatchlen") && i + 1 < call->argc) {
			if (!call_int(call, call->argv[++i], &l->min))
				return false;
		} else {
			call_syntax(call);
			return false;
		}
	}
	if (l->len && l->idx)
		call_error(call, "ERR If you want both the length and indexes, please just use IDX.");
	return !(l->len && l->idx);
}

static uint16_t *at(const struct lcs *l, size_t i, size_t j)
{
	return &l->cell[i * (l->b.len + 1) + j];
}

static void fill(struct lcs *l)
{
	memset(l->cell, 0, (l->b.len + 1) * sizeof(*l->cell));
	for (size_t i = 1; i <= l->a.len; i++) {
		const uint16_t *up = at(l, i - 1, 0);
		uint16_t *row = at(l, i, 0);
		row[0] = 0;
		for (size_t j = 1; j <= l->b.len; j++) {
			uint16_t longer = up[j] > row[j - 1] ? up[j] : row[j - 1];
			row[j] = l->a.ptr[i - 1] == l->b.ptr[j - 1] ? (uint16_t)(up[j - 1] + 1) : longer;
		}
	}
}

static void reply_range(struct resp_writer *w, size_t start, size_t len)
{
	resp_array(w, 2);
	resp_int(w, (int64_t)start);
	resp_int(w, (int64_t)(start + len - 1));
}

static void end_run(struct call *call, struct lcs *l)
{
	if (l->run && (int64_t)l->run >= l->min) {
		resp_array(&call->out, 2 + (size_t)l->with_len);
		reply_range(&call->out, l->a_start, l->run);
		reply_range(&call->out, l->b_start, l->run);
		if (l->with_len)
			resp_int(&call->out, (int64_t)l->run);
		l->nruns++;
	}
	l->run = 0;
}

/* From the end to the beginning. `common` takes the bytes, or is NULL; with idx the runs are replied. */
static void walk(struct call *call, struct lcs *l, char *common)
{
	size_t i = l->a.len, j = l->b.len, left = *at(l, i, j);

	while (i && j) {
		if (l->a.ptr[i - 1] == l->b.ptr[j - 1]) {
			i--;
			j--;
			l->a_start = i;
			l->b_start = j;
			l->run++;
			if (common)
				common[--left] = l->a.ptr[i];
			continue;
		}
		if (l->idx)
			end_run(call, l);
		if (*at(l, i - 1, j) > *at(l, i, j - 1))
			i--;
		else
			j--;
	}
	if (l->idx)
		end_run(call, l);
}

static int reply_ranges(struct call *call, struct lcs *l)
{
	size_t mark;

	resp_map(&call->out, 2);
	resp_bulk_str(&call->out, "matches");
	mark = resp_array_begin(&call->out);
	walk(call, l, NULL);
	resp_array_end(&call->out, mark, l->nruns);
	resp_bulk_str(&call->out, "len");
	resp_int(&call->out, *at(l, l->a.len, l->b.len));
	return 0;
}

static int reply_common(struct call *call, struct lcs *l)
{
	size_t len = *at(l, l->a.len, l->b.len);
	char *common = txn_alloc(call->txn, len ? len : 1);

	if (!common)
		return -ENOMEM;
	walk(call, l, common);
	resp_bulk(&call->out, slice(common, len));
	return 0;
}

static int read_values(struct call *call, struct lcs *l)
{
	struct txn_value v[2];

	for (int i = 0; i < 2; i++) {
		int r = call_get(call, call->argv[1 + i], &v[i]);
		if (r && r != STORE_ABSENT)
			return r;
		if (r)
			v[i].data = slice("", 0);
	}
	l->a = v[0].data;
	l->b = v[1].data;
	return 0;
}

int lcs_lcs(struct call *call)
{
	struct lcs l = { 0 };
	int r;

	if (!read_options(call, &l))
		return 0;
	r = read_values(call, &l);
	if (r)
		return r;
	if ((l.a.len + 1) > MAX_CELLS / (l.b.len + 1))
		return call_error(call, "ERR the values are too long for LCS: the product of their lengths is limited to %d", MAX_CELLS);
	l.cell = txn_alloc(call->txn, (l.a.len + 1) * (l.b.len + 1) * sizeof(*l.cell));
	if (!l.cell)
		return -ENOMEM;
	fill(&l);
	if (l.idx)
		return reply_ranges(call, &l);
	if (!l.len)
		return reply_common(call, &l);
	resp_int(&call->out, *at(&l, l.a.len, l.b.len));
	return 0;
}
