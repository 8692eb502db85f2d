/* SPDX-License-Identifier: MIT */
#include "store/replay.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_OPS 256
#define AHEAD 8    /* keys */
#define NS_DIGIT 8 /* behind the eight of the head */

struct batch *batch_free(struct batch *b)
{
	if (b) {
		free(b->op);
		buf_free(&b->keys);
	}
	free(b);
	return NULL;
}

void batch_clear(struct batch *b)
{
	b->count = b->whole = b->common = 0;
	b->keys.len = 0;
	b->in_order = false;
	b->next = NULL;
}

static int make_room(struct batch *b)
{
	if (b->count < b->cap)
		return 0;
	size_t cap = b->cap ? b->cap * 2 : FIRST_OPS;
	struct batch_op *op = realloc(b->op, cap * sizeof(*op));
	if (!op)
		return -ENOMEM;
	b->op = op;
	b->cap = cap;
	return 0;
}

static struct slice key_of(const struct batch *b, const struct batch_op *op)
{
	return slice(b->keys.ptr + op->key, op->key_len);
}

/* Keeps `common` what all keys begin with. */
static void count_common(struct batch *b, struct slice key)
{
	size_t n = 0;

	if (b->count == 0) {
		b->common = key.len;
		return;
	}
	if (key.len < b->common)
		b->common = key.len;
	const char *first = b->keys.ptr + b->op[0].key;
	while (n < b->common && first[n] == key.ptr[n])
		n++;
	b->common = n;
}

int batch_add(struct batch *b, const struct record *r, uint64_t where)
{
	if (make_room(b) || buf_reserve(&b->keys, r->key.len + 1))
		return -ENOMEM;
	count_common(b, r->key);
	b->op[b->count++] = (struct batch_op){ .where = where, .expire_wall_ms = r->expire_wall_ms, .key = (uint32_t)b->keys.len,
		.key_len = (uint32_t)r->key.len, .type = (uint8_t)r->type, .ns = (uint8_t)r->ns };
	buf_append_slice(&b->keys, r->key);
	return 0;
}

bool batch_is_full(const struct batch *b)
{
	return b->count * sizeof(*b->op) + b->keys.len >= BATCH_BYTES;
}

int batch_split(struct batch *b, struct batch *rest)
{
	for (size_t i = b->whole; i < b->count; i++) {
		const struct batch_op *op = &b->op[i];
		struct record r = { .type = (enum record_type)op->type, .ns = op->ns, .expire_wall_ms = op->expire_wall_ms, .key = key_of(b, op) };
		if (batch_add(rest, &r, op->where))
			return -ENOMEM;
	}
	b->count = b->whole;
	return 0;
}

/* ---- sorting ---- */

static uint64_t head_of(struct slice key)
{
	uint64_t head = 0;

	if (key.len)
		memcpy(&head, key.ptr, key.len < 8 ? key.len : 8);
	return be64toh(head);
}

/* By key and age, the heads and namespaces being the same: a shorter key may have zeros for what it lacks. */
static int compare(const void *x, const void *y, void *arg)
{
	const struct batch_place *a = x, *b = y;
	const struct batch *batch = arg;

	int order = slice_cmp(key_of(batch, &batch->op[a->op]), key_of(batch, &batch->op[b->op]));
	return order ? order : a->op < b->op ? -1 : 1;
}

static int reserve(struct sorter *w, const struct batch *b)
{
	if (w->place_cap < b->count) {
		free(w->place);
		free(w->other);
		w->place = malloc(b->count * sizeof(*w->place));
		w->other = malloc(b->count * sizeof(*w->other));
		w->place_cap = w->place && w->other ? b->count : 0;
	}
	if (w->op_cap < b->count) {
		free(w->op);
		w->op = malloc(b->count * sizeof(*w->op));
		w->op_cap = w->op ? b->count : 0;
	}
	buf_reset(&w->keys, SIZE_MAX);
	return !w->place_cap || !w->op || buf_reserve(&w->keys, b->keys.len + 1) ? -ENOMEM : 0;
}

static unsigned digit_of(const struct batch_place *p, unsigned digit)
{
	return digit < NS_DIGIT ? (unsigned)(p->head >> 8 * digit) & 255 : p->ns;
}

/* One pass of a radix sort. `count` says how often each value of the digit occurs. */
static void sort_by_digit(struct sorter *w, size_t n, unsigned digit, const uint32_t count[256])
{
	uint32_t at[256], sum = 0;

	if (count[digit_of(&w->place[0], digit)] == n)
		return;
	for (unsigned i = 0; i < 256; i++) {
		at[i] = sum;
		sum += count[i];
	}
	for (size_t i = 0; i < n; i++)
		w->other[at[digit_of(&w->place[i], digit)]++] = w->place[i];
	struct batch_place *place = w->place;
	w->place = w->other;
	w->other = place;
}

/* By the heads, from the last byte to the first, and namespace; then, where those are the same, by all of the key. */
static void sort_places(struct batch *b, struct sorter *w)
{
	uint32_t count[NS_DIGIT + 1][256] = { 0 };

	for (size_t i = 0; i < b->count; i++) {
		w->place[i] = (struct batch_place){ head_of(slice_skip(key_of(b, &b->op[i]), b->common)), (uint32_t)i, b->op[i].ns };
		for (unsigned d = 0; d <= NS_DIGIT; d++)
			count[d][digit_of(&w->place[i], d)]++;
	}
	for (unsigned d = 0; d <= NS_DIGIT; d++)
		sort_by_digit(w, b->count, d, count[d]);
	for (size_t i = 0, end; i < b->count; i = end) {
		const struct batch_place *first = &w->place[i];
		for (end = i + 1; end < b->count && w->place[end].head == first->head && w->place[end].ns == first->ns; end++)
			;
		if (end > i + 1)
			qsort_r(&w->place[i], end - i, sizeof(*w->place), compare, b);
	}
}

/* Of the writes of a key the last one counts. */
static bool is_last(const struct batch *b, const struct batch_place *at, const struct batch_place *next)
{
	return at->ns != next->ns || at->head != next->head || !slice_eq(key_of(b, &b->op[at->op]), key_of(b, &b->op[next->op]));
}

/* Ops and keys in the order of the places, side by side: what is far apart is asked for ahead. */
static size_t gather(const struct batch *b, struct sorter *w)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++) {
		if (i + 2 * AHEAD < b->count)
			__builtin_prefetch(&b->op[w->place[i + 2 * AHEAD].op]);
		if (i + AHEAD < b->count)
			__builtin_prefetch(b->keys.ptr + b->op[w->place[i + AHEAD].op].key);
		if (i + 1 < b->count && !is_last(b, &w->place[i], &w->place[i + 1]))
			continue;
		const struct batch_op *op = &b->op[w->place[i].op];
		w->op[n] = *op;
		w->op[n++].key = (uint32_t)w->keys.len;
		buf_append_slice(&w->keys, key_of(b, op));
	}
	return n;
}

int batch_sort(struct batch *b, struct sorter *w)
{
	if (b->in_order || b->count == 0)
		return 0;
	if (reserve(w, b))
		return -ENOMEM;
	sort_places(b, w);
	size_t n = gather(b, w), cap = b->cap;
	struct batch_op *op = b->op;
	struct buf keys = b->keys;

	b->op = w->op;
	b->cap = w->op_cap;
	b->keys = w->keys;
	b->count = b->whole = n;
	w->op = op;
	w->op_cap = cap;
	w->keys = keys;
	return 0;
}

void sorter_free(struct sorter *w)
{
	free(w->place);
	free(w->other);
	free(w->op);
	buf_free(&w->keys);
}

/* ---- applying ---- */

static struct keydir_entry entry_of(struct store *s, const struct batch_op *op)
{
	struct keydir_entry e = { op->where, STORE_NO_EXPIRY };

	if (op->expire_wall_ms != RECORD_NEVER)
		e.expire_ms = store_from_wall(s, op->expire_wall_ms);
	return e;
}

static bool is_put(const struct batch_op *op)
{
	return op->type == RECORD_PUT || op->type == RECORD_LOST;
}

static int apply_key(struct store *s, struct slice key, const struct batch_op *op)
{
	struct keydir_entry old;

	if (!is_put(op)) {
		if (keydir_delete(s->keydir[op->ns], key, &old) == 0)
			store_count_dead(s, old.where);
		return 0;
	}
	int r = keydir_put(s->keydir[op->ns], key, entry_of(s, op), &old);
	if (r < 0)
		return r;
	if (r == 0)
		store_count_dead(s, old.where);
	store_count_live(s, op->where);
	return 0;
}

static int apply_flush(struct store *s, unsigned ns)
{
	struct keydir *fresh = keydir_new();

	if (!fresh)
		return -ENOMEM;
	store_free_keydir(s, s->keydir[ns]); /* here and now: a replay may have to begin again */
	s->keydir[ns] = fresh;
	return 0;
}

static void apply_swap(struct store *s, unsigned db, struct slice key)
{
	unsigned other = key.len == 2 ? get_le16(key.ptr) : db;

	if (other < STORE_MAX_DATABASES) {
		uint8_t keep = s->ns_of[db];
		s->ns_of[db] = s->ns_of[other];
		s->ns_of[other] = keep;
	}
}

static int open_namespace(struct store *s, unsigned ns)
{
	if (!s->keydir[ns])
		s->keydir[ns] = keydir_new();
	return s->keydir[ns] ? 0 : -ENOMEM;
}

static int apply_in_order(struct store *s, const struct batch *b)
{
	int r = 0;

	for (size_t i = 0; i < b->count && r == 0; i++) {
		const struct batch_op *op = &b->op[i];
		r = open_namespace(s, op->ns);
		if (r == 0 && op->type == RECORD_FLUSH)
			r = apply_flush(s, op->ns);
		else if (r == 0 && op->type == RECORD_SWAP)
			apply_swap(s, op->ns, key_of(b, op));
		else if (r == 0)
			r = apply_key(s, key_of(b, op), op);
	}
	return r;
}

/* Sorted keys of one namespace into an empty directory; what is deleted was never there. */
static int build(struct store *s, struct keydir *k, const struct batch *b, size_t from, size_t to)
{
	struct keydir_builder *builder = keydir_builder_new(k);
	int r = builder ? 0 : -ENOMEM;

	for (size_t i = from; i < to && r == 0; i++) {
		const struct batch_op *op = &b->op[i];
		if (!is_put(op))
			continue;
		r = keydir_builder_add(builder, key_of(b, op), entry_of(s, op));
		store_count_live(s, op->where);
	}
	if (r == 0)
		r = keydir_builder_end(builder);
	if (r) /* and with it the opening, so that what was counted does not matter */
		keydir_builder_free(builder);
	return r;
}

int batch_apply(struct store *s, const struct batch *b)
{
	int r = 0;

	if (b->in_order)
		return apply_in_order(s, b);
	for (size_t i = 0, end; i < b->count && r == 0; i = end) {
		unsigned ns = b->op[i].ns;
		for (end = i + 1; end < b->count && b->op[end].ns == ns; end++)
			;
		r = open_namespace(s, ns);
		if (r == 0 && keydir_count(s->keydir[ns]) == 0) {
			r = build(s, s->keydir[ns], b, i, end);
			continue;
		}
		for (; i < end && r == 0; i++)
			r = apply_key(s, key_of(b, &b->op[i]), &b->op[i]);
	}
	return r;
}
