/* SPDX-License-Identifier: MIT
 *
 * The writes of a transaction in order of their keys (txn.h).
 */
#include "store/txn.h"

#include <stdlib.h>

static int compare_ops(const void *a, const void *b, void *arg)
{
	const uint32_t *x = a, *y = b;
	const struct txn_op *op = arg;
	int c = slice_cmp(op[*x].key, op[*y].key);

	/* The same key twice: the later write first, so that it is the one kept. */
	return c ? c : (*x < *y) - (*x > *y);
}

size_t txn_run_seek(const struct txn *t, const struct txn_run *run, struct slice key)
{
	size_t low = 0, high = run->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (slice_cmp(t->op[run->op[middle]].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Whether a key is there as far as the runs so far tell, or else the committed state. Expired ones count, too. */
static bool was_there(const struct txn *t, const struct txn_sorted *s, struct slice key)
{
	const struct txn_op *latest = NULL;
	struct keydir_entry entry;

	for (unsigned i = 0; i < s->nruns; i++) {
		const struct txn_run *run = &s->run[i];
		size_t at = txn_run_seek(t, run, key);
		const struct txn_op *op = at < run->n ? &t->op[run->op[at]] : NULL;
		if (op && slice_eq(op->key, key) && (!latest || op > latest))
			latest = op;
	}
	if (latest)
		return latest->kind == TXN_PUT;
	return !s->flushed && keydir_get(t->store->keydir[s->ns], key, &entry) == 0;
}

/* The ops not yet covered as one more run. False: no memory. */
static bool add_run(struct txn *t, struct txn_sorted *s)
{
	uint32_t *list = txn_alloc(t, (t->ops - s->covered) * sizeof(*list));
	size_t n = 0, kept = 0;

	if (!list)
		return false;
	for (size_t i = s->covered; i < t->ops; i++)
		if (t->meta[i].ns == s->ns && t->op[i].kind <= TXN_DELETE)
			list[n++] = (uint32_t)i;
	qsort_r(list, n, sizeof(*list), compare_ops, t->op);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || !slice_eq(t->op[list[kept - 1]].key, t->op[list[i]].key))
			list[kept++] = list[i];
	for (size_t i = 0; i < kept; i++)
		s->change += (t->op[list[i]].kind == TXN_PUT) - was_there(t, s, t->op[list[i]].key);
	if (kept)
		s->run[s->nruns++] = (struct txn_run){ list, kept };
	s->covered = t->ops;
	return true;
}

/* The last two runs become one. */
static bool merge_last(struct txn *t, struct txn_sorted *s)
{
	const struct txn_run *a = &s->run[s->nruns - 2], *b = &s->run[s->nruns - 1];
	uint32_t *list = txn_alloc(t, (a->n + b->n) * sizeof(*list));
	size_t i = 0, j = 0, n = 0;

	if (!list)
		return false;
	while (i < a->n || j < b->n) {
		int c = i == a->n ? 1 : j == b->n ? -1 : slice_cmp(t->op[a->op[i]].key, t->op[b->op[j]].key);
		list[n++] = c < 0 ? a->op[i] : b->op[j]; /* all of b is later than all of a */
		i += c <= 0;
		j += c >= 0;
	}
	s->run[--s->nruns - 1] = (struct txn_run){ list, n };
	return true;
}

/* A flush among the ops not yet covered makes all before it, and the committed state, not count. */
static void skip_flushed(const struct txn *t, struct txn_sorted *s)
{
	for (size_t i = s->covered; t->flushes && i < t->ops; i++)
		if (t->op[i].kind == TXN_FLUSH && t->meta[i].ns == s->ns) {
			s->covered = i + 1;
			s->flushed = true;
			s->change = 0;
			s->nruns = 0;
		}
}

static struct txn_sorted *find_sorted(struct txn *t, unsigned ns)
{
	struct txn_sorted *s = t->sorted;

	while (s && s->ns != ns)
		s = s->next;
	if (s || !(s = txn_alloc(t, sizeof(*s))))
		return s;
	*s = (struct txn_sorted){ .next = t->sorted, .ns = ns };
	t->sorted = s;
	return s;
}

const struct txn_sorted *txn_sort(struct txn *t, unsigned ns)
{
	struct txn_sorted *s = find_sorted(t, ns);

	if (!s)
		return NULL;
	skip_flushed(t, s);
	if (s->covered < t->ops && !add_run(t, s))
		return NULL;
	while (s->nruns > 1 && s->run[s->nruns - 2].n <= 2 * s->run[s->nruns - 1].n)
		if (!merge_last(t, s))
			return NULL;
	return s;
}
