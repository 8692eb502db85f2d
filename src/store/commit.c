/* SPDX-License-Identifier: MIT
 *
 * Commit: the stated writes become one run of records in the tail, one change of the keydir each, and a new position. Everything that can
 * fail comes before the first byte is appended.
 */
#include "store/txn.h"

#include <errno.h>

/* Where the next bytes of the transaction go, and what is planned for those behind its large values. */
struct run {
	char *out;
	size_t first; /* bytes of its first piece, which is all without large values */
	struct tail_plan plan;
};

/* What a write replaced, to be counted afterwards or put back when a later one of the same transaction finds no memory. */
struct applied {
	uint64_t where;
	struct keydir_entry old;
	bool had;
	struct keydir *flushed;
};

static uint64_t op_size(const struct txn *t, size_t i)
{
	const struct txn_op *op = &t->op[i];
	size_t value_len = t->meta[i].packed.ptr ? t->meta[i].packed.len : op->value.len;

	switch (op->kind) {
	case TXN_PUT:
		return record_size(op->key.len, value_len, op->expire_ms != STORE_NO_EXPIRY);
	case TXN_DELETE:
		return record_size(op->key.len, 0, false);
	case TXN_FLUSH:
		return record_size(0, 0, false);
	case TXN_SWAP:
		return record_size(2, 0, false);
	}
	return 0;
}

static int apply_op(struct store *s, const struct txn_op *op, unsigned ns, struct applied *a)
{
	struct keydir_entry entry = { a->where, op->expire_ms };
	struct keydir *fresh;
	int r;

	switch (op->kind) {
	case TXN_PUT:
		r = keydir_put(s->keydir[ns], op->key, entry, &a->old);
		a->had = r == 0;
		return r < 0 ? r : 0;
	case TXN_DELETE:
		a->had = keydir_delete(s->keydir[ns], op->key, &a->old) == 0;
		return 0;
	case TXN_FLUSH:
		fresh = keydir_new();
		if (!fresh)
			return -ENOMEM;
		a->flushed = s->keydir[ns];
		s->keydir[ns] = fresh;
		return 0;
	case TXN_SWAP:
		return 0;
	}
	return -EINVAL;
}

static void undo_op(struct store *s, const struct txn_op *op, unsigned ns, const struct applied *a)
{
	struct keydir_entry gone;

	if (op->kind == TXN_FLUSH) {
		keydir_free(s->keydir[ns]);
		s->keydir[ns] = a->flushed;
	} else if (a->had) {
		/* Usually the tree has just let go of as much room as this needs. */
		if (keydir_put(s->keydir[ns], op->key, a->old, &gone) < 0)
			store_lose_sight(s);
	} else if (op->kind == TXN_PUT) {
		keydir_delete(s->keydir[ns], op->key, &gone);
	}
}

static int apply_all(struct txn *t, uint64_t offset, struct applied *applied)
{
	struct store *s = t->store;
	int r = 0;

	for (size_t i = 0; i < t->ops && r == 0; i++) {
		uint64_t size = op_size(t, i);
		applied[i] = (struct applied){ .where = locator_make(s->active->slot, offset, size) };
		offset += size;
		r = apply_op(s, &t->op[i], t->meta[i].ns, &applied[i]);
		if (r == 0)
			continue;
		while (i-- > 0)
			undo_op(s, &t->op[i], t->meta[i].ns, &applied[i]);
		return r;
	}
	return r;
}

/* The value is shown to the tail where it is; what follows goes behind it. */
static void encode_large(struct store *s, struct run *run, const struct record *r, uint64_t offset, uint64_t position)
{
	size_t head = record_encode_head(run->out, r, record_bind(s->active->seed, offset));

	run->out = tail_add_large(&s->tail, &run->plan, s->active, position + head);
}

static void encode_op(struct txn *t, size_t i, struct run *run, uint64_t offset, uint64_t position, uint32_t distance)
{
	struct store *s = t->store;
	const struct txn_op *op = &t->op[i];
	char other[2];
	struct record r = {
		.type = (enum record_type)(RECORD_PUT + op->kind),
		.flags = i + 1 == t->ops ? RECORD_COMMIT : 0,
		.ns = op->kind == TXN_SWAP ? op->db : t->meta[i].ns,
		.position = position,
		.distance = distance,
		.expire_wall_ms = RECORD_NEVER,
		.key = op->key,
		.value = op->kind == TXN_PUT ? op->value : slice(NULL, 0),
	};
	if (t->meta[i].packed.ptr) {
		r.codec = s->pack.codec;
		r.value = t->meta[i].packed;
	}
	if (op->kind == TXN_PUT && op->expire_ms != STORE_NO_EXPIRY)
		r.expire_wall_ms = store_to_wall(s, op->expire_ms);
	if (op->kind == TXN_FLUSH)
		r.key = slice(NULL, 0);
	if (op->kind == TXN_SWAP) {
		put_le16(other, (uint16_t)op->other);
		r.key = slice(other, sizeof(other));
	}
	if (op->block) {
		r.value_sum = op->block->sum;
		encode_large(s, run, &r, offset, position);
		return;
	}
	record_encode(run->out, &r, record_bind(s->active->seed, offset));
	run->out += op_size(t, i);
}

static void settle_op(struct txn *t, size_t i, const struct applied *a, uint64_t position, uint64_t end)
{
	struct store *s = t->store;
	struct undo u = { .position = position, .flushed = a->flushed };

	if (a->had) {
		u.old = a->old;
		store_count_dead(s, a->old.where);
	}
	rollback_add(s, u);
	if (s->views && a->flushed)
		view_keep_all(s, t->meta[i].ns, a->flushed);
	else if (s->views && t->op[i].kind <= TXN_DELETE)
		view_keep(s, t->meta[i].ns, t->op[i].key, a->had ? a->old : (struct keydir_entry){ 0 });
	if (t->op[i].kind == TXN_PUT)
		store_count_live(s, a->where);
	if (t->op[i].kind == TXN_DELETE)
		recent_add(&s->recent, t->meta[i].hash, end);
	if (t->op[i].kind == TXN_FLUSH)
		s->flushed_at[t->meta[i].ns] = end;
	s->active->marks |= record_marks((enum record_type)(RECORD_PUT + t->op[i].kind));
}

static bool deletes_only(const struct txn *t)
{
	for (size_t i = 0; i < t->ops; i++)
		if (t->op[i].kind != TXN_DELETE && t->op[i].kind != TXN_FLUSH)
			return false;
	return true;
}

static int check_room(struct txn *t, uint64_t size)
{
	struct store *s = t->store;
	size_t deletes = 0;

	for (size_t i = 0; i < t->ops; i++)
		deletes += t->op[i].kind == TXN_DELETE;
	if (rollback_reserve(s, t->ops) || (deletes && recent_reserve(&s->recent, deletes, store_releasable(s))))
		return -ENOMEM;
	if (store_health(s, NULL) && !(deletes_only(t) && store_is_full(s)))
		return STORE_REFUSED;
	/* On a full disk the reserve is where the segment is: no new one is begun. */
	if (!store_is_full(s) && s->active->size + size > reserve_segment_size(s) && s->active->size > SEGMENT_HEADER && !store_begin_segment(s))
		return -ENOMEM;
	return 0;
}

/* Bytes of the records from number i on that stand together: up to and with the head of one with a large value, which is *ret. */
static size_t measure_piece(const struct txn *t, size_t i, size_t *ret)
{
	size_t size = 0;

	for (; i < t->ops && !t->op[i].block; i++)
		size += op_size(t, i);
	if (i < t->ops)
		size += RECORD_HEADER + (t->op[i].expire_ms != STORE_NO_EXPIRY ? 8 : 0) + t->op[i].key.len;
	*ret = i;
	return size;
}

static int make_room(struct txn *t, uint64_t size, struct run *ret)
{
	struct store *s = t->store;
	int r = check_room(t, size);
	size_t i;

	ret->first = measure_piece(t, 0, &i);
	while (r == 0 && i < t->ops) {
		const struct txn_op *op = &t->op[i];
		size_t pad = op_size(t, i) - op->value.len - op->key.len - RECORD_HEADER - (op->expire_ms != STORE_NO_EXPIRY ? 8 : 0);
		r = tail_plan(&s->tail, &ret->plan, op->block, pad, measure_piece(t, i + 1, &i));
	}
	ret->out = r ? NULL : tail_room(&s->tail, s->active, s->position, ret->first);
	return r ? r : ret->out ? 0 : -ENOMEM;
}

static void settle_swaps(struct txn *t, uint64_t end)
{
	struct store *s = t->store;

	for (unsigned db = 0; db < s->databases; db++) {
		if (s->ns_of[db] != t->ns_of[db])
			s->swapped_at[db] = end;
		s->ns_of[db] = t->ns_of[db];
	}
}

/* Compresses what is worth it, into memory of the transaction. What does not get any is stored as it is. */
static void pack_ops(struct txn *t)
{
	struct pack *p = &t->store->pack;

	for (size_t i = 0; p->codec != STORE_RAW && i < t->ops; i++) {
		const struct txn_op *op = &t->op[i];
		char *out = op->kind == TXN_PUT && pack_tries(p, op->value.len) ? txn_alloc(t, pack_room(op->value.len)) : NULL;
		size_t len = out ? pack_value(p, op->value, out) : 0;
		if (len)
			t->meta[i].packed = slice(out, len);
	}
}

static int commit_ops(struct txn *t)
{
	struct store *s = t->store;
	uint64_t size = 0, durable = store_durable(s), one = 0;
	struct applied single, *applied = t->ops == 1 ? &single : txn_alloc(t, t->ops * sizeof(*applied));
	struct run run = { 0 };

	pack_ops(t);
	for (size_t i = 0; i < t->ops; i++)
		size += op_size(t, i);
	int r = size > STORE_MAX_TRANSACTION ? -E2BIG : applied ? make_room(t, size, &run) : -ENOMEM;
	if (r == 0)
		r = apply_all(t, s->active->size, applied);
	if (r) {
		tail_drop_plan(&s->tail, &run.plan);
		return r;
	}
	tail_advance(&s->tail, run.first);
	uint64_t offset = s->active->size, position = s->position, end = s->position + size;
	uint32_t distance = position - durable < RECORD_NO_CLAIM ? (uint32_t)(position - durable) : RECORD_NO_CLAIM;
	for (size_t i = 0; i < t->ops; i++, offset += one, position += one) {
		one = op_size(t, i);
		uint64_t back = (uint64_t)distance + (position - s->position);
		encode_op(t, i, &run, offset, position, back < RECORD_NO_CLAIM ? (uint32_t)back : RECORD_NO_CLAIM);
		settle_op(t, i, &applied[i], position, end);
	}
	s->active->size += size;
	s->position = end;
	s->commits++;
	s->records += t->ops;
	s->bytes_appended += size;
	if (t->swaps)
		settle_swaps(t, end);
	return 0;
}

int txn_commit(struct txn *t, uint64_t *ret_position)
{
	struct store *s = t->store;
	uint64_t seen = t->seen;
	int r = 0;

	if (t->ops) {
		r = commit_ops(t);
		seen = s->position;
	}
	txn_abort(t);
	if (r == 0)
		*ret_position = seen;
	else if (r == -ENOMEM)
		store_set_problem(s, "out of memory");
	else if (r == -E2BIG)
		store_set_problem(s, "the transaction is larger than %llu bytes", (unsigned long long)STORE_MAX_TRANSACTION);
	return r;
}
