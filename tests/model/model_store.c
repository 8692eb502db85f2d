/* SPDX-License-Identifier: MIT */
#include "model_store.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
	int64_t expire_ms;
	uint64_t position; /* of its commit */
	size_t key_len, value_len;
	bool cold, corrupt;
	char bytes[]; /* key, value */
};

struct database {
	struct entry **entry; /* sorted by key */
	size_t n, cap;
};

/* Things to free at the end of the transaction. */
struct list {
	void **item;
	size_t n, cap;
};

struct txn {
	struct store *s;
	struct store_fetch *fetch;
	bool open, dirty, read;
	struct txn_op *op;
	size_t nops, cap_ops;
	struct database *before; /* copies of the arrays, made at the first write */
	struct list added, removed, memory, works;
};

struct key_ref {
	unsigned db;
	struct slice key;
	uint64_t position; /* of the version that is fetched */
};

struct store_fetch {
	struct store *s;
	void *token;
	struct key_ref *key;
	size_t n, cap;
	bool ready, flying;
	struct store_fetch *next; /* flying */
};

struct store {
	unsigned databases;
	struct database *db;
	struct txn txn;
	struct blocks blocks;
	uint64_t position, durable;
	bool held, refuse_commit;
	unsigned barriers;
	bool compacting, compact_paused;
	uint64_t compactions;
	int64_t now, wall_offset;
	uint32_t max_value;
	enum store_durability durability;
	const char *refusing;
	const char *problem;
	struct store_fetch *flying;
	void (*fetched)(void *arg, void *token);
	void *arg;
	struct store_stats stats;
	struct store_snapshot snapshot[4];
	size_t snapshots;
	uint64_t snapshots_ended;
	bool snapshot_running; /* until store_poll, unless held */
	char snapshot_problem[160];
	bool checkpoints_fail;
};

static void *must(void *p)
{
	assert(p);
	return p;
}

static void list_add(struct list *l, void *item)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->item = must(realloc(l->item, l->cap * sizeof(void *)));
	}
	l->item[l->n++] = item;
}

static void list_drop(struct list *l, bool with_items)
{
	for (size_t i = 0; with_items && i < l->n; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct list){ 0 };
}

/* ---- open and close ---- */

struct store *model_open(unsigned databases, void (*fetched)(void *arg, void *token), void *arg)
{
	struct store *s = must(calloc(1, sizeof(*s)));

	s->databases = databases ? databases : 16;
	s->db = must(calloc(s->databases, sizeof(*s->db)));
	s->now = INT64_C(1700000000000);
	s->max_value = STORE_MAX_VALUE;
	s->fetched = fetched;
	s->arg = arg;
	s->problem = "";
	s->txn.s = s;
	return s;
}

int store_open(const struct store_options *options, struct store **ret, struct error *ret_error)
{
	if (options->databases > STORE_MAX_DATABASES)
		return error_set(ret_error, -EINVAL, "at most %d databases", STORE_MAX_DATABASES);
	*ret = model_open(options->databases, options->fetched, options->arg);
	(*ret)->durability = options->durability;
	if (options->max_value)
		(*ret)->max_value = options->max_value;
	return 0;
}

int store_close(struct store *s)
{
	if (!s)
		return 0;
	for (unsigned db = 0; db < s->databases; db++) {
		for (size_t i = 0; i < s->db[db].n; i++)
			free(s->db[db].entry[i]);
		free(s->db[db].entry);
	}
	free(s->txn.op);
	free(s->db);
	free(s);
	return 0;
}

/* ---- what tests ask for ---- */

static size_t find(const struct database *d, struct slice key, bool *ret_found);

void model_set_now(struct store *s, int64_t steady_ms, int64_t wall_offset_ms)
{
	s->now = steady_ms;
	s->wall_offset = wall_offset_ms;
}

void model_hold(struct store *s, bool held)
{
	s->held = held;
	if (!held)
		s->durable = s->position;
}

unsigned model_barriers(const struct store *s)
{
	return s->barriers;
}

static struct entry *find_entry(const struct store *s, unsigned db, struct slice key)
{
	bool found;
	size_t i = find(&s->db[db], key, &found);

	return found ? s->db[db].entry[i] : NULL;
}

int model_make_cold(struct store *s, unsigned db, struct slice key)
{
	struct entry *e = find_entry(s, db, key);

	if (!e)
		return STORE_ABSENT;
	e->cold = true;
	return 0;
}

int model_make_corrupt(struct store *s, unsigned db, struct slice key)
{
	struct entry *e = find_entry(s, db, key);

	if (!e)
		return STORE_ABSENT;
	e->corrupt = true;
	return 0;
}

void model_refuse(struct store *s, const char *why, bool at_commit)
{
	s->refusing = why;
	s->refuse_commit = at_commit;
}

/* ---- position and loop ---- */

uint64_t store_rollbacks(const struct store *s)
{
	(void)s;
	return 0; /* nothing is ever taken back here */
}

uint64_t store_position(const struct store *s)
{
	return s->position;
}

uint64_t store_durable(const struct store *s)
{
	return s->durable;
}

uint64_t store_releasable(const struct store *s)
{
	return s->durability == STORE_ALWAYS ? s->durable : UINT64_MAX;
}

int store_notify_fd(const struct store *s)
{
	(void)s;
	return -1;
}

void store_poll(struct store *s)
{
	struct store_fetch *f;

	if (s->snapshot_running && !s->held) {
		s->snapshot_running = false;
		s->snapshots_ended++;
	}
	if (s->stats.checkpoint_running) {
		s->stats.checkpoint_running = false;
		s->stats.checkpoints += !s->checkpoints_fail;
		s->stats.checkpoint_failures += s->checkpoints_fail;
	}
	while ((f = s->flying)) {
		s->flying = f->next;
		f->flying = false;
		f->ready = true;
		s->fetched(s->arg, f->token);
	}
}

void store_submit(struct store *s)
{
	if (!s->held)
		s->durable = s->position;
}

void store_barrier(struct store *s)
{
	s->barriers++;
}

int store_rotate(struct store *s, uint64_t *ret_segment)
{
	if (s->refusing)
		return STORE_REFUSED;
	*ret_segment = 2;
	return 0;
}

bool store_rotated(const struct store *s, uint64_t segment)
{
	(void)segment;
	return !s->held;
}

static int refuse_snapshot(struct store *s, int error, const char *name, const char *text)
{
	snprintf(s->snapshot_problem, sizeof(s->snapshot_problem), "snapshot %s: %s", name, text);
	s->problem = s->snapshot_problem;
	return error;
}

int store_snapshot_begin(struct store *s, const char *name, unsigned keep, char *ret_name)
{
	struct store_snapshot *one = &s->snapshot[s->snapshots];

	if (s->refusing)
		return refuse_snapshot(s, STORE_REFUSED, name ? name : "now", s->refusing);
	if (s->snapshot_running)
		return refuse_snapshot(s, -EBUSY, name ? name : "now", "another one is being made or deleted");
	if (name && strcmp(name, "?") == 0)
		return refuse_snapshot(s, -EINVAL, name, "no name");
	*one = (struct store_snapshot){ .timed = keep != 0, .time_ms = s->now, .position = s->position, .segments = 1, .bytes = 64 };
	snprintf(one->name, sizeof(one->name), "%s", name ? name : "now");
	if (ret_name)
		memcpy(ret_name, one->name, sizeof(one->name));
	s->snapshots++;
	s->snapshot_running = true;
	return 0;
}

int store_snapshot_delete(struct store *s, const char *name)
{
	if (s->snapshots == 0 || strcmp(s->snapshot[s->snapshots - 1].name, name) != 0)
		return refuse_snapshot(s, -ENOENT, name, "there is none of this name");
	s->snapshots--;
	s->snapshot_running = true;
	return 0;
}

void store_snapshot_state(const struct store *s, struct store_snapshot_state *ret)
{
	const struct store_snapshot *last = &s->snapshot[s->snapshots ? s->snapshots - 1 : 0];

	*ret = (struct store_snapshot_state){ .running = s->snapshot_running, .ended = s->snapshots_ended, .name = last->name,
		.time_ms = last->time_ms, .changes = 3, .problem = "" };
}

size_t store_snapshots(const struct store *s, const struct store_snapshot **ret)
{
	*ret = s->snapshot;
	return s->snapshots;
}

/* One is written when the store is polled, or fails when the test has said so. */
int store_checkpoint(struct store *s)
{
	if (s->refusing)
		return STORE_REFUSED;
	s->stats.checkpoint_running = true;
	return 0;
}

void model_fail_checkpoints(struct store *s, bool fail)
{
	s->checkpoints_fail = fail;
}

/* A compaction is over at once, unless held. */
int store_compact(struct store *s, unsigned flags, uint64_t *ret_ticket)
{
	(void)flags;
	if (s->refusing)
		return STORE_REFUSED;
	*ret_ticket = s->compactions;
	if (s->held && s->compacting)
		return -EALREADY;
	*ret_ticket = ++s->compactions;
	s->compacting = true;
	return 0;
}

void store_compact_pause(struct store *s, bool pause)
{
	s->compact_paused = pause;
}

const char *store_compact_problem(const struct store *s)
{
	(void)s;
	return "";
}

long store_segments(struct store *s, struct store_segment **ret_list)
{
	(void)s;
	*ret_list = calloc(1, sizeof(**ret_list));
	if (!*ret_list)
		return -ENOMEM;
	**ret_list = (struct store_segment){ .number = 1, .first = 64, .size = 1000, .live_bytes = 500, .active = true };
	return 1;
}

int store_wait(struct store *s, uint64_t position)
{
	if (position > s->durable)
		s->durable = s->position;
	return 0;
}

uint64_t store_backlog(const struct store *s)
{
	return s->position - s->durable;
}

uint64_t store_backlog_limit(const struct store *s)
{
	(void)s;
	return UINT64_C(64) << 20;
}

int store_health(const struct store *s, const char **ret_text)
{
	if (s->refusing && ret_text)
		*ret_text = s->refusing;
	return s->refusing ? STORE_REFUSED : 0;
}

const char *store_problem(const struct store *s)
{
	return s->problem;
}

int64_t store_now(const struct store *s)
{
	return s->now;
}

int64_t store_from_wall(const struct store *s, int64_t wall_ms)
{
	int64_t v;

	if (__builtin_sub_overflow(wall_ms, s->wall_offset, &v))
		return s->wall_offset > 0 ? INT64_MIN : INT64_MAX;
	return v;
}

int64_t store_to_wall(const struct store *s, int64_t steady_ms)
{
	int64_t v;

	if (__builtin_add_overflow(steady_ms, s->wall_offset, &v))
		return s->wall_offset > 0 ? INT64_MAX : INT64_MIN;
	return v;
}

void store_set_durability(struct store *s, enum store_durability d, uint32_t interval_ms)
{
	(void)interval_ms;
	s->durability = d;
}

void store_set_segment_size(struct store *s, uint64_t bytes)
{
	(void)s;
	(void)bytes;
}

/* There is no disk to read back. */
int store_scrub_begin(struct store *s, bool hurry)
{
	(void)s;
	(void)hurry;
	return 0;
}

int store_scrub_wait(struct store *s, struct store_fetch *f)
{
	(void)s;
	return f ? 0 : STORE_PENDING;
}

void store_scrub_state(const struct store *s, struct store_scrub *ret)
{
	(void)s;
	*ret = (struct store_scrub){ 0 };
}

void store_set_max_value(struct store *s, uint32_t bytes)
{
	s->max_value = bytes;
}

unsigned store_expire_some(struct store *s, unsigned pages)
{
	struct txn *t = txn_begin(s, NULL);
	unsigned n = 0;
	uint64_t position;

	(void)pages;
	for (unsigned db = 0; db < s->databases; db++)
		for (size_t i = s->db[db].n; i--;) {
			struct entry *e = s->db[db].entry[i];
			int64_t expire = e->expire_ms;
			if (expire > s->now)
				continue;
			e->expire_ms = STORE_NO_EXPIRY; /* or the delete would not see it */
			n += txn_delete(t, db, slice(e->bytes, e->key_len)) == 0;
		}
	txn_commit(t, &position);
	s->stats.expired += n;
	return n;
}

/* ---- the sorted arrays ---- */

static struct slice entry_key(const struct entry *e)
{
	return slice(e->bytes, e->key_len);
}

/* The place of the first key >= key. */
static size_t find(const struct database *d, struct slice key, bool *ret_found)
{
	size_t low = 0, high = d->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (slice_cmp(entry_key(d->entry[mid]), key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = low < d->n && slice_eq(entry_key(d->entry[low]), key);
	return low;
}

static struct entry *find_live(const struct store *s, unsigned db, struct slice key)
{
	struct entry *e = find_entry(s, db, key);

	return e && e->expire_ms > s->now ? e : NULL;
}

static void insert_at(struct database *d, size_t i, struct entry *e)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 16;
		d->entry = must(realloc(d->entry, d->cap * sizeof(*d->entry)));
	}
	memmove(d->entry + i + 1, d->entry + i, (d->n - i) * sizeof(*d->entry));
	d->entry[i] = e;
	d->n++;
}

/* ---- transactions: writes go into the arrays at once, copies of the arrays bring them back ---- */

struct txn *txn_begin(struct store *s, struct store_fetch *fetch)
{
	assert(!s->txn.open);
	s->txn.open = true;
	s->txn.fetch = fetch;
	return &s->txn;
}

static void save_before(struct txn *t)
{
	struct store *s = t->s;

	if (t->before)
		return;
	t->before = must(calloc(s->databases, sizeof(*t->before)));
	for (unsigned db = 0; db < s->databases; db++) {
		size_t size = s->db[db].n * sizeof(struct entry *);
		t->before[db] = s->db[db];
		t->before[db].cap = s->db[db].n;
		t->before[db].entry = must(malloc(size + 1));
		if (size)
			memcpy(t->before[db].entry, s->db[db].entry, size);
	}
}

static void drop_works(struct list *works)
{
	for (size_t i = 0; i < works->n; i++)
		block_unref(((struct store_work *)works->item[i])->made);
	list_drop(works, true);
}

static void end(struct txn *t, bool keep)
{
	struct store *s = t->s;

	for (unsigned db = 0; t->before && db < s->databases; db++) {
		if (keep) {
			free(t->before[db].entry);
		} else {
			free(s->db[db].entry);
			s->db[db] = t->before[db];
		}
	}
	free(t->before);
	t->before = NULL;
	list_drop(&t->added, !keep);
	list_drop(&t->removed, keep);
	list_drop(&t->memory, true);
	drop_works(&t->works);
	t->nops = 0;
	t->open = t->dirty = t->read = false;
}

static void note(struct txn *t, struct txn_op op)
{
	if (t->nops == t->cap_ops) {
		t->cap_ops = t->cap_ops ? 2 * t->cap_ops : 16;
		t->op = must(realloc(t->op, t->cap_ops * sizeof(*t->op)));
	}
	t->op[t->nops++] = op;
	t->dirty = true;
}

static bool is_listed(const struct store_fetch *f, const struct key_ref *ref)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->key[i].db == ref->db && slice_eq(f->key[i].key, ref->key) && f->key[i].position == ref->position)
			return true;
	return false;
}

static void list_for_fetch(struct store_fetch *f, const struct key_ref *ref)
{
	struct slice key = ref->key;
	char *copy;

	if (is_listed(f, ref))
		return;
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 8;
		f->key = must(realloc(f->key, f->cap * sizeof(*f->key)));
	}
	copy = must(malloc(key.len + 1));
	if (key.len)
		memcpy(copy, key.ptr, key.len);
	f->key[f->n++] = (struct key_ref){ ref->db, slice(copy, key.len), ref->position };
}

int txn_prepare(struct txn *t, unsigned db, struct slice key)
{
	const struct entry *e = find_live(t->s, db, key);
	const struct key_ref ref = { db, key, e ? e->position : 0 };

	if (!e || !e->cold || (t->fetch && t->fetch->ready && is_listed(t->fetch, &ref)))
		return 0;
	if (t->fetch)
		list_for_fetch(t->fetch, &ref);
	return STORE_PENDING;
}

int txn_get(struct txn *t, unsigned db, struct slice key, struct txn_value *ret)
{
	const struct entry *e = find_live(t->s, db, key);

	t->read = true;
	if (!e)
		return STORE_ABSENT;
	if (txn_prepare(t, db, key))
		return STORE_PENDING;
	if (e->corrupt) {
		t->s->problem = "0000000001.seg, offset 4096: a record fails its checksum";
		return STORE_CORRUPT;
	}
	*ret = (struct txn_value){ slice(e->bytes + e->key_len, e->value_len), e->expire_ms, NULL };
	return 0;
}

int txn_length(struct txn *t, unsigned db, struct slice key, size_t *ret)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	if (r == 0)
		*ret = v.data.len;
	return r;
}

int txn_get_part(struct txn *t, unsigned db, struct slice key, size_t from, size_t n, struct txn_value *ret)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	if (r)
		return r;
	from = from < v.data.len ? from : v.data.len;
	v.data = slice(v.data.ptr + from, n < v.data.len - from ? n : v.data.len - from);
	*ret = v;
	return 0;
}

int txn_prepare_part(struct txn *t, unsigned db, struct slice key)
{
	return txn_prepare(t, db, key);
}

int txn_peek(struct txn *t, unsigned db, struct slice key, int64_t *ret_expire_ms)
{
	const struct entry *e = find_live(t->s, db, key);

	t->read = true;
	if (!e)
		return STORE_ABSENT;
	if (ret_expire_ms)
		*ret_expire_ms = e->expire_ms;
	return 0;
}

static int refuse_write(const struct txn *t)
{
	return t->s->refusing && !t->s->refuse_commit ? STORE_REFUSED : 0;
}

int txn_put(struct txn *t, unsigned db, struct slice key, struct slice value, int64_t expire_ms)
{
	struct database *d = &t->s->db[db];
	struct entry *e;
	bool found;
	size_t i;

	if (key.len > STORE_MAX_KEY || value.len > t->s->max_value)
		return -EMSGSIZE;
	if (refuse_write(t))
		return STORE_REFUSED;
	save_before(t);
	e = must(calloc(1, sizeof(*e) + key.len + value.len));
	e->expire_ms = expire_ms;
	e->key_len = key.len;
	e->value_len = value.len;
	if (key.len)
		memcpy(e->bytes, key.ptr, key.len);
	if (value.len)
		memcpy(e->bytes + key.len, value.ptr, value.len);
	list_add(&t->added, e);
	i = find(d, key, &found);
	if (found) {
		list_add(&t->removed, d->entry[i]);
		d->entry[i] = e;
	} else {
		insert_at(d, i, e);
	}
	note(t, (struct txn_op){ TXN_PUT, db, 0, key, value, expire_ms, NULL });
	return 0;
}

int txn_put_value(struct txn *t, unsigned db, struct slice key, const struct txn_value *v)
{
	return txn_put(t, db, key, v->data, v->expire_ms);
}

int txn_delete(struct txn *t, unsigned db, struct slice key)
{
	struct database *d = &t->s->db[db];
	bool found;
	size_t i;

	t->read = true;
	if (!find_live(t->s, db, key))
		return STORE_ABSENT;
	if (refuse_write(t))
		return STORE_REFUSED;
	save_before(t);
	i = find(d, key, &found);
	list_add(&t->removed, d->entry[i]);
	note(t, (struct txn_op){ TXN_DELETE, db, 0, entry_key(d->entry[i]), slice("", 0), 0, NULL });
	memmove(d->entry + i, d->entry + i + 1, (d->n - i - 1) * sizeof(*d->entry));
	d->n--;
	return 0;
}

int txn_touch(struct txn *t, unsigned db, struct slice key, int64_t expire_ms)
{
	struct txn_value v;
	int r = txn_get(t, db, key, &v);

	return r ? r : txn_put(t, db, key, v.data, expire_ms);
}

int txn_flush(struct txn *t, unsigned db)
{
	struct database *d = &t->s->db[db];

	if (refuse_write(t))
		return STORE_REFUSED;
	save_before(t);
	for (size_t i = 0; i < d->n; i++)
		list_add(&t->removed, d->entry[i]);
	d->n = 0;
	note(t, (struct txn_op){ .kind = TXN_FLUSH, .db = db });
	return 0;
}

int txn_swap(struct txn *t, unsigned db, unsigned other)
{
	struct database d = t->s->db[db];

	if (refuse_write(t))
		return STORE_REFUSED;
	save_before(t);
	d = t->s->db[db];
	t->s->db[db] = t->s->db[other];
	t->s->db[other] = d;
	note(t, (struct txn_op){ .kind = TXN_SWAP, .db = db, .other = other });
	return 0;
}

void *txn_alloc(struct txn *t, size_t size)
{
	void *p = must(malloc(size ? size : 1));

	list_add(&t->memory, p);
	return p;
}

uint64_t txn_count(struct txn *t, unsigned db)
{
	t->read = true;
	return t->s->db[db].n;
}

uint64_t txn_expiring(struct txn *t, unsigned db)
{
	t->read = true;
	return store_expiring(t->s, db);
}

bool txn_has_writes(const struct txn *t)
{
	return t->dirty;
}

uint64_t txn_seen(const struct txn *t)
{
	return t->read && t->s->position > t->s->durable ? t->s->position : 0;
}

int txn_commit(struct txn *t, uint64_t *ret_position)
{
	struct store *s = t->s;
	uint64_t bytes = 0;

	if (!t->dirty) {
		*ret_position = txn_seen(t);
		end(t, true);
		return 0;
	}
	if (s->refusing) {
		end(t, false);
		return STORE_REFUSED;
	}
	for (size_t i = 0; i < t->nops; i++)
		bytes += 24 + t->op[i].key.len + t->op[i].value.len;
	s->position += bytes;
	s->stats.commits++;
	s->stats.records += t->nops;
	s->stats.bytes_appended += bytes;
	for (size_t i = 0; i < t->added.n; i++)
		((struct entry *)t->added.item[i])->position = s->position;
	end(t, true);
	if (!s->held)
		s->durable = s->position;
	*ret_position = s->position > s->durable ? s->position : 0;
	return 0;
}

void txn_abort(struct txn *t)
{
	end(t, false);
}

size_t txn_ops(const struct txn *t, const struct txn_op **ret)
{
	*ret = t->op;
	return t->nops;
}

/* ---- scans: each step looks for the next key anew, so they may see the transaction's own writes ---- */

struct txn_scan {
	struct txn *t;
	unsigned db;
	char *from, *to, *key;
	size_t from_len, to_len, key_len;
	bool reverse, started;
};

static char *copy_bytes(struct slice s)
{
	char *copy = must(malloc(s.len + 1));

	if (s.len)
		memcpy(copy, s.ptr, s.len);
	return copy;
}

struct txn_scan *txn_scan_begin(struct txn *t, unsigned db, struct slice from, struct slice to, bool reverse)
{
	struct txn_scan *scan = must(calloc(1, sizeof(*scan)));

	t->read = true;
	*scan = (struct txn_scan){ t, db, copy_bytes(from), copy_bytes(to), NULL, from.len, to.len, 0,
		reverse, false };
	return scan;
}

/* Index of the next candidate, n when there is none. */
static size_t step(const struct txn_scan *scan, const struct database *d)
{
	struct slice at = scan->started   ? slice(scan->key, scan->key_len)
			  : scan->reverse ? slice(scan->to, scan->to_len)
					  : slice(scan->from, scan->from_len);
	bool found;
	size_t i = !scan->started && scan->reverse && scan->to_len == 0 ? d->n : find(d, at, &found);

	if (scan->reverse)
		return i ? i - 1 : d->n;
	return scan->started && i < d->n && slice_eq(entry_key(d->entry[i]), at) ? i + 1 : i;
}

int txn_scan_next(struct txn_scan *scan, struct slice *ret_key, int64_t *ret_expire_ms)
{
	const struct database *d = &scan->t->s->db[scan->db];
	const struct entry *e;
	size_t i;

	do {
		i = step(scan, d);
		if (i >= d->n)
			return STORE_ABSENT;
		e = d->entry[i];
		if (!scan->reverse && scan->to_len &&
			slice_cmp(entry_key(e), slice(scan->to, scan->to_len)) >= 0)
			return STORE_ABSENT;
		if (scan->reverse && slice_cmp(entry_key(e), slice(scan->from, scan->from_len)) < 0)
			return STORE_ABSENT;
		free(scan->key);
		scan->key = copy_bytes(entry_key(e));
		scan->key_len = e->key_len;
		scan->started = true;
	} while (e->expire_ms <= scan->t->s->now);
	*ret_key = slice(scan->key, scan->key_len);
	if (ret_expire_ms)
		*ret_expire_ms = e->expire_ms;
	return 0;
}

struct txn_scan *txn_scan_end(struct txn_scan *scan)
{
	if (!scan)
		return NULL;
	free(scan->from);
	free(scan->to);
	free(scan->key);
	free(scan);
	return NULL;
}

int txn_random(struct txn *t, unsigned db, uint64_t random, struct slice *ret_key)
{
	const struct database *d = &t->s->db[db];

	t->read = true;
	for (size_t i = 0; i < d->n; i++) {
		const struct entry *e = d->entry[(random + i) % d->n];
		if (e->expire_ms > t->s->now) {
			*ret_key = entry_key(e);
			return 0;
		}
	}
	return STORE_ABSENT;
}

/* ---- work: done at once ---- */

int txn_work(struct txn *t, const struct store_work *asked, const struct store_work **ret_done)
{
	struct store_work *w = must(malloc(sizeof(*w)));
	int r;

	*w = *asked;
	w->home = &t->s->blocks;
	w->made = NULL;
	r = w->run(w);
	list_add(&t->works, w);
	*ret_done = w;
	return r;
}

/* ---- cold records ---- */

struct store_fetch *store_fetch_new(struct store *s, void *token)
{
	struct store_fetch *f = must(calloc(1, sizeof(*f)));

	f->s = s;
	f->token = token;
	return f;
}

void store_fetch_reset(struct store_fetch *f)
{
	struct store_fetch **link = &f->s->flying;

	for (; *link; link = &(*link)->next)
		if (*link == f) {
			*link = f->next;
			break;
		}
	for (size_t i = 0; i < f->n; i++)
		free((char *)f->key[i].key.ptr);
	f->n = 0;
	f->ready = f->flying = false;
}

struct store_fetch *store_fetch_free(struct store_fetch *f)
{
	if (!f)
		return NULL;
	store_fetch_reset(f);
	free(f->key);
	free(f);
	return NULL;
}

int store_fetch_start(struct store_fetch *f)
{
	assert(!f->flying);
	f->flying = true;
	f->ready = false;
	f->next = f->s->flying;
	f->s->flying = f;
	f->s->stats.fetches += f->n;
	return 0;
}

void store_prefetch(struct store *s, const struct store_probe *probes, size_t n)
{
	(void)s;
	(void)probes;
	(void)n;
}

/* ---- numbers ---- */

uint64_t store_count(const struct store *s, unsigned db)
{
	return s->db[db].n;
}

uint64_t store_expiring(const struct store *s, unsigned db)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->db[db].n; i++)
		n += s->db[db].entry[i]->expire_ms != STORE_NO_EXPIRY;
	return n;
}

unsigned store_databases(const struct store *s)
{
	return s->databases;
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	*ret = s->stats;
	ret->compacting = s->held && s->compacting;
	ret->compact_paused = s->compact_paused;
	ret->compactions_done = s->held ? s->compactions - s->compacting : s->compactions;
	ret->compact_bytes_before = 1000;
	ret->compact_bytes_after = 100;
	ret->compact_bytes_saved = 900;
	for (unsigned db = 0; db < s->databases; db++) {
		ret->keys += store_count(s, db);
		ret->expiring += store_expiring(s, db);
	}
}
