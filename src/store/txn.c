/* SPDX-License-Identifier: MIT
 *
 * Transactions: reads through memory, cache, page cache and the fetch list; writes that are only stated until commit.
 */
#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>

struct txn *txn_new(struct store *s)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->store = s;
	t->cap = 16;
	t->op = malloc(t->cap * sizeof(*t->op));
	t->meta = malloc(t->cap * sizeof(*t->meta));
	t->arena = malloc(TXN_ARENA);
	return t->op && t->meta && t->arena ? t : txn_free(t);
}

struct txn *txn_free(struct txn *t)
{
	if (!t)
		return NULL;
	txn_abort(t);
	free(t->op);
	free(t->meta);
	free(t->index);
	free(t->arena);
	free(t);
	return NULL;
}

struct txn *txn_begin(struct store *s, struct store_fetch *fetch)
{
	struct txn *t = s->txn;

	t->fetch = fetch;
	t->ops = 0;
	t->seen = 0;
	t->flushes = t->swaps = false;
	t->sorted = NULL;
	memcpy(t->ns_of, s->ns_of, s->databases);
	return t;
}

void txn_abort(struct txn *t)
{
	for (unsigned i = 0; i < t->cache_puts; i++)
		cache_put(&t->store->cache, t->cache_put[i].where, t->cache_put[i].value);
	t->cache_puts = 0;
	while (t->blocks) {
		struct txn_block *b = t->blocks;
		t->blocks = b->next;
		free(b);
	}
	t->arena_used = 0;
	t->allocated = 0;
	t->ops = 0;
	t->fetch = NULL;
	/* One huge transaction must not keep its tables. */
	if (t->cap > 65536) {
		struct txn_op *op = realloc(t->op, 16 * sizeof(*op));
		struct txn_meta *meta = realloc(t->meta, 16 * sizeof(*meta));
		t->op = op ? op : t->op;
		t->meta = meta ? meta : t->meta;
		t->cap = 16;
	}
	if (t->index_cap > 65536 * 2) {
		free(t->index);
		t->index = NULL;
		t->index_cap = 0;
	}
}

void *txn_alloc(struct txn *t, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (size <= TXN_ARENA - t->arena_used) {
		void *p = t->arena + t->arena_used;
		t->arena_used += size;
		return p;
	}
	struct txn_block *b = size > TXN_MEMORY - t->allocated ? NULL : malloc(sizeof(*b) + size);
	if (!b)
		return NULL;
	t->allocated += size;
	b->next = t->blocks;
	t->blocks = b;
	return b->data;
}

/* ---- own writes ---- */

static bool op_decides(const struct txn *t, size_t i, unsigned ns, struct slice key, uint64_t hash)
{
	if (t->meta[i].ns != ns)
		return false;
	if (t->op[i].kind == TXN_FLUSH)
		return true;
	return t->op[i].kind != TXN_SWAP && t->meta[i].hash == hash && slice_eq(t->op[i].key, key);
}

static uint32_t *find_index(const struct txn *t, unsigned ns, struct slice key, uint64_t hash)
{
	size_t i = hash & (t->index_cap - 1);

	while (t->index[i]) {
		size_t n = t->index[i] - 1;
		if (t->meta[n].hash == hash && t->meta[n].ns == ns && slice_eq(t->op[n].key, key))
			break;
		i = (i + 1) & (t->index_cap - 1);
	}
	return &t->index[i];
}

const struct txn_op *txn_find_op(const struct txn *t, unsigned ns, struct slice key)
{
	if (t->ops == 0)
		return NULL;
	uint64_t hash = txn_hash(ns, key);
	if (t->ops <= TXN_LINEAR) {
		for (size_t i = t->ops; i-- > 0;)
			if (op_decides(t, i, ns, key, hash))
				return &t->op[i];
		return NULL;
	}
	/* The later of the key's last write and the namespace's last flush. */
	uint32_t at = *find_index(t, ns, key, hash), flush = t->flushes ? t->flushed[ns] : 0;
	at = at > flush ? at : flush;
	return at ? &t->op[at - 1] : NULL;
}

static int build_index(struct txn *t)
{
	size_t cap = t->index_cap ? t->index_cap : 64;

	while (cap < (t->ops + 1) * 2)
		cap *= 2;
	uint32_t *index = calloc(cap, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(t->index);
	t->index = index;
	t->index_cap = cap;
	for (size_t i = 0; i < t->ops; i++)
		if (t->op[i].kind <= TXN_DELETE)
			*find_index(t, t->meta[i].ns, t->op[i].key, t->meta[i].hash) = (uint32_t)i + 1;
	return 0;
}

static int index_op(struct txn *t, size_t i)
{
	if (t->ops <= TXN_LINEAR)
		return 0;
	if (t->ops == TXN_LINEAR + 1 || t->ops * 2 > t->index_cap)
		return build_index(t);
	if (t->op[i].kind <= TXN_DELETE)
		*find_index(t, t->meta[i].ns, t->op[i].key, t->meta[i].hash) = (uint32_t)i + 1;
	return 0;
}

static int grow_ops(struct txn *t)
{
	if (t->ops < t->cap)
		return 0;
	size_t cap = t->cap * 2;
	struct txn_op *op = realloc(t->op, cap * sizeof(*op));
	if (op)
		t->op = op;
	struct txn_meta *meta = realloc(t->meta, cap * sizeof(*meta));
	if (meta)
		t->meta = meta;
	if (!op || !meta)
		return -ENOMEM;
	t->cap = cap;
	return 0;
}

static int add_op(struct txn *t, struct txn_op op, unsigned ns)
{
	struct store *s = t->store;

	if (store_health(s, NULL) && !((op.kind == TXN_DELETE || op.kind == TXN_FLUSH) && store_is_full(s)))
		return STORE_REFUSED;
	int r = grow_ops(t);
	if (r)
		return r;
	t->op[t->ops] = op;
	t->meta[t->ops] = (struct txn_meta){ .hash = op.kind <= TXN_DELETE ? txn_hash(ns, op.key) : 0, .ns = ns };
	t->ops++;
	r = index_op(t, t->ops - 1);
	if (r)
		t->ops--;
	return r;
}

int txn_put(struct txn *t, unsigned db, struct slice key, struct slice value, int64_t expire_ms)
{
	return txn_put_value(t, db, key, &(struct txn_value){ .data = value, .expire_ms = expire_ms });
}

static bool is_whole_block(const struct txn_value *v)
{
	return v->block && v->data.len && v->data.ptr == v->block->value.ptr && v->data.len == v->block->value.len;
}

int txn_put_value(struct txn *t, unsigned db, struct slice key, const struct txn_value *v)
{
	struct store *s = t->store;
	struct slice value = v->data;

	if (key.len > STORE_MAX_KEY || value.len > s->options.max_value) {
		store_set_problem(s, "%s is %zu bytes, the limit is %u", key.len > STORE_MAX_KEY ? "the key" : "the value",
			key.len > STORE_MAX_KEY ? key.len : value.len, key.len > STORE_MAX_KEY ? STORE_MAX_KEY : s->options.max_value);
		return -EMSGSIZE;
	}
	struct txn_op op = { .kind = TXN_PUT, .db = db, .key = key, .value = value, .expire_ms = v->expire_ms };
	if (is_whole_block(v))
		op.block = v->block;
	return add_op(t, op, t->ns_of[db]);
}

int txn_delete(struct txn *t, unsigned db, struct slice key)
{
	int r = txn_peek(t, db, key, NULL);

	if (r)
		return r;
	return txn_add_delete(t, db, t->ns_of[db], key);
}

int txn_add_delete(struct txn *t, unsigned db, unsigned ns, struct slice key)
{
	return add_op(t, (struct txn_op){ .kind = TXN_DELETE, .db = db, .key = key, .expire_ms = STORE_NO_EXPIRY }, ns);
}

int txn_touch(struct txn *t, unsigned db, struct slice key, int64_t expire_ms)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	v.expire_ms = expire_ms;
	return r ? r : txn_put_value(t, db, key, &v);
}

int txn_flush(struct txn *t, unsigned db)
{
	unsigned ns = t->ns_of[db];

	if (t->ops == 0 && keydir_count(t->store->keydir[ns]) == 0) {
		txn_see_all(t);
		return 0;
	}
	int r = add_op(t, (struct txn_op){ .kind = TXN_FLUSH, .db = db }, ns);
	if (r)
		return r;
	if (!t->flushes)
		memset(t->flushed, 0, sizeof(t->flushed));
	t->flushes = true;
	t->flushed[ns] = (uint32_t)t->ops;
	return 0;
}

int txn_swap(struct txn *t, unsigned db, unsigned other)
{
	if (db == other)
		return 0;
	int r = add_op(t, (struct txn_op){ .kind = TXN_SWAP, .db = db, .other = other }, t->ns_of[db]);
	if (r)
		return r;
	uint8_t ns = t->ns_of[db];
	t->ns_of[db] = t->ns_of[other];
	t->ns_of[other] = ns;
	t->swaps = true;
	return 0;
}

size_t txn_ops(const struct txn *t, const struct txn_op **ret)
{
	*ret = t->op;
	return t->ops;
}

bool txn_has_writes(const struct txn *t)
{
	return t->ops > 0;
}

/* ---- reads ---- */

void txn_see_record(struct txn *t, uint64_t where)
{
	/* Only the active segment can hold what is not yet durable, but the position tells by itself. */
	uint64_t position = read_position(t->store, where);

	if (position > t->seen)
		t->seen = position;
}

void txn_see_absence(struct txn *t, unsigned ns, struct slice key)
{
	struct store *s = t->store;
	uint64_t released = store_releasable(s), position;

	if (s->position == released)
		return;
	position = recent_find(&s->recent, txn_hash(ns, key), released);
	if (s->flushed_at[ns] > position)
		position = s->flushed_at[ns];
	if (position > t->seen)
		t->seen = position;
}

void txn_see_all(struct txn *t)
{
	t->seen = t->store->position;
}

uint64_t txn_seen(const struct txn *t)
{
	return t->seen;
}

/* Finds the current version: 0 with *ret_op (own write) or *ret_entry, or STORE_ABSENT. */
static int look_up(struct txn *t, unsigned db, struct slice key, const struct txn_op **ret_op, struct keydir_entry *ret_entry)
{
	struct store *s = t->store;
	unsigned ns = t->ns_of[db];

	/* The keydir may name records that were never written, and lack keys that are there. */
	if (s->incomplete)
		return -ENOMEM;
	if (s->swapped_at[db] > t->seen)
		t->seen = s->swapped_at[db];
	*ret_op = txn_find_op(t, ns, key);
	if (*ret_op)
		return (*ret_op)->kind == TXN_PUT && !txn_is_expired(s, (*ret_op)->expire_ms) ? 0 : STORE_ABSENT;
	if (keydir_get(s->keydir[ns], key, ret_entry)) {
		txn_see_absence(t, ns, key);
		return STORE_ABSENT;
	}
	txn_see_record(t, ret_entry->where);
	return txn_is_expired(s, ret_entry->expire_ms) ? STORE_ABSENT : 0;
}

int txn_peek(struct txn *t, unsigned db, struct slice key, int64_t *ret_expire_ms)
{
	struct keydir_entry entry;
	const struct txn_op *op;
	int r = look_up(t, db, key, &op, &entry);

	if (r == 0 && ret_expire_ms)
		*ret_expire_ms = op ? op->expire_ms : entry.expire_ms;
	return r;
}

int txn_version(struct txn *t, unsigned db, struct slice key, uint64_t *ret_version)
{
	struct keydir_entry entry;
	const struct txn_op *op;
	int r = look_up(t, db, key, &op, &entry);

	if (r == 0)
		*ret_version = op ? 0 : read_version(t->store, entry.where);
	return r;
}

/* From the log's tail: written by this process and never out of its memory, so there is nothing to check. */
static bool read_tail(const struct store *s, uint64_t where, unsigned *ret_codec, struct txn_value *ret)
{
	const struct segment *g = s->slot[locator_slot(where)];
	uint64_t position = segment_position(g, locator_offset(where));
	size_t there;
	const char *p = tail_at_segment(&s->tail, g, position, &there);

	if (!p)
		return false;
	size_t head = RECORD_HEADER + (p[5] & RECORD_EXPIRES ? 8 : 0) + (size_t)get_le32(p + 8), value_len = get_le32(p + 12);
	*ret_codec = (unsigned char)p[6];
	ret->block = head + value_len > there ? tail_block_at(&s->tail, position + head) : NULL;
	ret->data = ret->block ? ret->block->value : slice(p + head, value_len);
	return true;
}

static void remember(struct txn *t, uint64_t where, struct slice value)
{
	if (value.len <= CACHE_MAX_VALUE && t->cache_puts < TXN_CACHE_PUTS)
		t->cache_put[t->cache_puts++] = (struct txn_cache_put){ where, value };
}

/* From the page cache, or from the disk when the store was opened so. To read and check a large value takes too long for the owner anyway. */
static int read_file(struct txn *t, uint64_t where, struct slice key, struct slice *ret)
{
	struct store *s = t->store;
	size_t size = locator_size(where);
	bool wait = s->options.flags & STORE_BLOCKING;

	if (size >= RECORD_LARGE && !wait)
		return STORE_PENDING;
	struct segment *g = s->slot[locator_slot(where)];
	slots_want(s, g);
	int fd = store_segment_fd(s, g);
	if (fd == -EMFILE) {
		slots_close_idle(s);
		fd = store_segment_fd(s, g);
	}
	char *data = fd < 0 ? NULL : txn_alloc(t, size);

	if (!data)
		return read_failed(s, where, fd < 0 ? fd : -ENOMEM);
	ssize_t n = s->io->pread(s->io, fd, data, size, locator_offset(where), wait ? 0 : IO_NOWAIT);
	if (n == -EAGAIN)
		return STORE_PENDING;
	if (n < 0) {
		return read_failed(s, where, (int)n);
	}
	int r = read_check(s, where, slice(data, (size_t)n), key, ret);
	if (r == 0)
		remember(t, where, *ret);
	return r;
}

/* The copy that is put in anew must not overwrite its source. */
static void remember_again(struct txn *t, uint64_t where, struct slice value)
{
	char *copy = txn_alloc(t, value.len);

	if (!copy)
		return;
	memcpy(copy, value.ptr, value.len);
	remember(t, where, slice(copy, value.len));
}

static int read_value(struct txn *t, uint64_t where, struct slice key, struct txn_value *ret)
{
	struct store *s = t->store;
	const struct fetched *fetched;
	struct slice *data = &ret->data;
	bool aging = false;
	unsigned codec;

	if (read_tail(s, where, &codec, ret)) {
		if (ret->block && t->fetch)
			fetch_keep(t->fetch, where, ret->block);
		return read_unpack(s, where, codec, *data, data);
	}
	if (cache_get(&s->cache, where, data, &aging)) {
		if (aging)
			remember_again(t, where, *data);
		return 0;
	}
	int r = t->fetch ? fetch_find(t->fetch, where, &fetched) : STORE_ABSENT;
	if (r == 0 && fetched->young) {
		*ret = (struct txn_value){ .data = fetched->block->value, .block = fetched->block };
		return 0;
	}
	if (r == 0) {
		r = read_record(s, where, fetched->good ? &fetched->record : NULL, key, data);
		if (r == 0)
			remember(t, where, *data);
		/* Short ones have no checksum of their own. */
		ret->block = data->len >= RECORD_LARGE && data->ptr == fetched->block->value.ptr ? fetched->block : NULL;
		return r;
	}
	if (r < 0)
		return read_failed(s, where, r);
	return r == STORE_ABSENT ? read_file(t, where, key, data) : r;
}

int txn_read(struct txn *t, unsigned ns, struct slice key, uint64_t where, struct txn_value *ret)
{
	uint64_t damaged = t->store->damaged;
	const struct fetched *fetched;
	struct txn_value v = { 0 };
	int r = read_value(t, where, key, &v);

	if (t->store->damaged != damaged)
		read_list(t->store, where, ns, key);
	if (r == STORE_PENDING && t->fetch && fetch_find(t->fetch, where, &fetched) == STORE_ABSENT) {
		int added = fetch_add(t->fetch, where);
		return added ? added : STORE_PENDING;
	}
	if (r == 0)
		*ret = v;
	return r;
}

/* The value of what look_up() found. */
static int read_found(
	struct txn *t, unsigned db, struct slice key, const struct txn_op *op, const struct keydir_entry *entry, struct txn_value *ret)
{
	if (op) {
		*ret = (struct txn_value){ op->value, op->expire_ms, op->block };
		return 0;
	}
	int r = txn_read(t, t->ns_of[db], key, entry->where, ret);
	if (r == 0)
		ret->expire_ms = entry->expire_ms;
	return r;
}

int txn_get(struct txn *t, unsigned db, struct slice key, struct txn_value *ret)
{
	struct keydir_entry entry;
	const struct txn_op *op;
	int r = look_up(t, db, key, &op, &entry);

	return r ? r : read_found(t, db, key, op, &entry, ret);
}

/* ---- parts ---- */

/* What is known of the pieces of a large record in a file: 0, STORE_PENDING, STORE_ABSENT (it is to be read whole) or -ENOMEM. */
static int find_pieces(struct txn *t, struct slice key, uint64_t where, const struct pieces **ret)
{
	struct store *s = t->store;
	const struct fetched *fetched;
	struct txn_value v;
	unsigned codec;

	if (locator_size(where) < PIECE_LEAST || s->options.flags & STORE_BLOCKING || read_tail(s, where, &codec, &v) ||
		(t->fetch && fetch_find(t->fetch, where, &fetched) != STORE_ABSENT))
		return STORE_ABSENT;
	*ret = pieces_find(&s->pieces, where);
	if (*ret)
		return 0;
	return t->fetch ? fetch_learn(t->fetch, where, key, ret) : STORE_PENDING;
}

int txn_length(struct txn *t, unsigned db, struct slice key, size_t *ret)
{
	const struct pieces *pieces;
	struct keydir_entry entry;
	const struct txn_op *op;
	struct txn_value v;
	int r = look_up(t, db, key, &op, &entry);

	if (r)
		return r;
	r = op ? STORE_ABSENT : find_pieces(t, key, entry.where, &pieces);
	if (r == 0)
		*ret = pieces->len;
	if (r != STORE_ABSENT)
		return r;
	r = read_found(t, db, key, op, &entry, &v);
	if (r == 0)
		*ret = v.data.len;
	return r;
}

static struct slice cut_part(struct slice whole, size_t from, size_t n)
{
	from = from < whole.len ? from : whole.len;
	return slice(whole.ptr + from, n < whole.len - from ? n : whole.len - from);
}

/* The part of a large record, when that is worth it: 0, STORE_PENDING, STORE_ABSENT (read it whole) or an error. */
static int read_part(struct txn *t, struct slice key, const struct keydir_entry *entry, size_t from, size_t n, struct txn_value *ret)
{
	const struct pieces *pieces;
	struct block *block;
	int r = n > locator_size(entry->where) / 2 ? STORE_ABSENT : find_pieces(t, key, entry->where, &pieces);

	if (r)
		return r;
	struct slice part = cut_part(slice(NULL, pieces->len), from, n);
	*ret = (struct txn_value){ .data = slice("", 0), .expire_ms = entry->expire_ms };
	if (part.len == 0)
		return 0;
	r = t->fetch ? fetch_part(t->fetch, pieces, from, part.len, &block) : STORE_PENDING;
	if (r == 0) {
		ret->data = block->value;
		ret->block = block;
	}
	return r;
}

int txn_get_part(struct txn *t, unsigned db, struct slice key, size_t from, size_t n, struct txn_value *ret)
{
	struct keydir_entry entry;
	const struct txn_op *op;
	struct txn_value v;
	int r = look_up(t, db, key, &op, &entry);

	if (r)
		return r;
	r = op ? STORE_ABSENT : read_part(t, key, &entry, from, n, &v);
	if (r == STORE_ABSENT) {
		r = read_found(t, db, key, op, &entry, &v);
		if (r == 0)
			v.data = cut_part(v.data, from, n);
	}
	if (r == 0)
		*ret = v;
	return r;
}

int txn_prepare_part(struct txn *t, unsigned db, struct slice key)
{
	struct keydir_entry entry;
	const struct txn_op *op;
	int r = look_up(t, db, key, &op, &entry);

	return r || op || locator_size(entry.where) >= PIECE_LEAST ? 0 : txn_prepare(t, db, key);
}

int txn_prepare(struct txn *t, unsigned db, struct slice key)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	return r == STORE_ABSENT || r == STORE_CORRUPT ? 0 : r;
}

int txn_work(struct txn *t, const struct store_work *asked, const struct store_work **ret_done)
{
	return t->fetch ? fetch_work(t->fetch, asked, ret_done) : STORE_PENDING;
}

uint64_t txn_expiring(struct txn *t, unsigned db)
{
	txn_see_all(t);
	return keydir_expiring(t->store->keydir[t->ns_of[db]]);
}
