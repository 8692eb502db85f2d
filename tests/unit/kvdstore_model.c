/* SPDX-License-Identifier: MIT
 *
 * libkvdstore against a plain model: random writes, conditions, batches, ranges, iterations under change, compactions, snapshots, and opening anew with
 * other options, on a real directory, through the shared library alone. What it answers must be what the model answers, each time.
 *
 * KVD_TEST_SEED=N replays one case; KVD_TEST_CASES=N sets how many are run.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kvdstore_fixture.h"
#include "store/kvdstore.h"

#define KEYS 40
#define DATABASES 2
#define ITERS 3
#define STEPS 1000
#define MAX_VALUE 80000

struct cell {
	uint32_t value;   /* names the bytes; 0: absent */
	uint64_t version; /* as told by the write or a later read; 0: not known */
	bool ends;        /* far in the future */
};

struct walk {
	struct kvdstore_iter *iter;
	uint32_t value[KEYS]; /* as when it began */
	int from, to;         /* keys of the range */
	int next;             /* where it goes on */
	bool reverse;
};

struct world {
	uint64_t random;
	struct kvdstore *s;
	struct cell cell[DATABASES][KEYS];
	struct walk walk[ITERS];
	uint32_t next_value;
	char value[MAX_VALUE], key[64];
	char why[200];
};

static unsigned pick(struct world *w, unsigned n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (unsigned)((w->random >> 16) % n);
}

static bool wrong(struct world *w, const char *what)
{
	snprintf(w->why, sizeof(w->why), "%s (%s)", what, kvdstore_message(w->s));
	return false;
}

/* Keys in the order of their numbers, the first one empty, groups of ten with a common prefix. */
static size_t make_key(char *out, int i)
{
	return i == 0 ? 0 : (size_t)snprintf(out, 64, "group%d:%c%0*d", i / 10, 'a' + i % 10, 1 + i % 10 * 5, i);
}

static size_t make_value(char *out, uint32_t v)
{
	static const size_t lengths[] = { 0, 1, 20, 100, 1000, 5000, 9000, MAX_VALUE };
	size_t len = lengths[v % 8];

	for (size_t i = 0; i < len; i++)
		out[i] = (char)(v % 3 ? v * 2654435761u >> (i % 24) : v);
	return len;
}

static bool is_value(const void *got, size_t len, uint32_t v)
{
	static char expected[MAX_VALUE];

	return len == make_value(expected, v) && memcmp(got, expected, len) == 0;
}

/* ---- one key ---- */

static bool check_key(struct world *w, unsigned db, int k)
{
	struct cell *c = &w->cell[db][k];
	size_t key_len = make_key(w->key, k), len;
	const void *value;
	uint64_t version;
	int64_t ttl;
	int r = kvdstore_get_view(w->s, db, w->key, key_len, &value, &len, &version);

	if (c->value == 0)
		return r == KVDSTORE_ABSENT || wrong(w, "a key that should not be there");
	if (r || !is_value(value, len, c->value))
		return wrong(w, "not the value that was put");
	if (c->version && version != c->version)
		return wrong(w, "another version without a write");
	c->version = version;
	if (kvdstore_exists(w->s, db, w->key, key_len, &ttl) || (ttl > 0) != c->ends)
		return wrong(w, "not the end that was given");
	return true;
}

/* A condition of any kind, and whether the model says that it holds. */
static bool make_condition(struct world *w, const struct cell *c, struct kvdstore_if *ret, char *memory)
{
	uint32_t value = pick(w, 2) ? c->value : w->next_value + 1;

	*ret = (struct kvdstore_if){ .kind = 1 + (int)pick(w, 4), .value = memory, .version = pick(w, 2) && c->value ? c->version : 0 };
	switch (ret->kind) {
	case KVDSTORE_IF_ABSENT:
		return c->value == 0;
	case KVDSTORE_IF_PRESENT:
		return c->value != 0;
	case KVDSTORE_IF_VALUE:
		ret->len = make_value(memory, value);
		return c->value && is_value(memory, ret->len, c->value); /* the empty value has many numbers */
	default:
		/* A version that is not known is never 0. */
		return c->value ? c->version && ret->version == c->version : ret->version == 0;
	}
}

static bool write_key(struct world *w, unsigned db, int k)
{
	static char memory[MAX_VALUE];
	struct cell *c = &w->cell[db][k], old = *c;
	struct kvdstore_if condition;
	bool conditional = pick(w, 2), holds = make_condition(w, c, &condition, memory) || !conditional, deletes = pick(w, 4) == 0;
	uint64_t version = 0, ttl = pick(w, 4) == 0 ? 1000000000 : pick(w, 4) == 0 ? KVDSTORE_KEEP_TTL : 0;
	size_t key_len = make_key(w->key, k), len = make_value(w->value, ++w->next_value);
	int r;

	if (deletes)
		r = kvdstore_delete_if(w->s, db, w->key, key_len, conditional ? &condition : NULL);
	else
		r = kvdstore_put_if(w->s, db, w->key, key_len, w->value, len, ttl, conditional ? &condition : NULL, &version);
	if (!holds)
		return r == KVDSTORE_CONDITION || wrong(w, "written though the condition does not hold");
	if (deletes) {
		*c = (struct cell){ 0 };
		return r == (old.value ? 0 : KVDSTORE_ABSENT) || wrong(w, "a deletion answers wrongly");
	}
	if (r || version == 0 || version == old.version)
		return wrong(w, "a put fails, or gives no new version");
	*c = (struct cell){ w->next_value, version, ttl == KVDSTORE_KEEP_TTL ? old.ends : ttl != 0 };
	return true;
}

static bool change_end(struct world *w, unsigned db, int k)
{
	struct cell *c = &w->cell[db][k];
	bool ends = pick(w, 2);
	size_t key_len = make_key(w->key, k);
	int r = kvdstore_expire(w->s, db, w->key, key_len, ends ? 1000000000 : 0);

	if (r != (c->value ? 0 : KVDSTORE_ABSENT))
		return wrong(w, "an end cannot be given");
	c->ends = c->value && ends;
	c->version = 0;
	return true;
}

/* ---- batches ---- */

static bool write_batch(struct world *w)
{
	static char memory[MAX_VALUE];
	struct cell after[DATABASES][KEYS];
	struct kvdstore_batch *b = kvdstore_batch_new(w->s);
	bool holds = true;

	memcpy(after, w->cell, sizeof(after));
	for (unsigned i = 0, n = pick(w, 20); i < n; i++) {
		unsigned db = pick(w, DATABASES);
		int k = (int)pick(w, KEYS), r;
		size_t key_len = make_key(w->key, k);
		struct kvdstore_if condition;
		if (pick(w, 6) == 0) {
			holds &= make_condition(w, &w->cell[db][k], &condition, memory);
			r = kvdstore_batch_check(b, db, w->key, key_len, &condition);
		} else if (pick(w, 3) == 0) {
			r = kvdstore_batch_delete(b, db, w->key, key_len);
			after[db][k] = (struct cell){ 0 };
		} else {
			r = kvdstore_batch_put(b, db, w->key, key_len, w->value, make_value(w->value, ++w->next_value), 0);
			after[db][k] = (struct cell){ .value = w->next_value };
		}
		if (r)
			return wrong(w, "a step of a batch is refused");
	}
	if (pick(w, 8) == 0) {
		kvdstore_batch_abort(b);
		return true;
	}
	int r = kvdstore_batch_commit(b);
	if (r != (holds ? 0 : KVDSTORE_CONDITION))
		return wrong(w, "a batch answers wrongly");
	if (holds)
		memcpy(w->cell, after, sizeof(after));
	return true;
}

/* ---- ranges ---- */

/* By bounds or by prefix; *ret_from and *ret_to are what the model makes of it. */
static struct kvdstore_range make_range(struct world *w, char *memory, int *ret_from, int *ret_to)
{
	struct kvdstore_range range = { .from = memory, .to = memory + 64, .prefix = memory + 128 };
	int from = (int)pick(w, KEYS), to = (int)pick(w, KEYS), group = (int)pick(w, KEYS / 10);

	*ret_from = 0;
	*ret_to = KEYS;
	if (pick(w, 2)) {
		range.from_len = make_key(memory, from);
		*ret_from = from;
	}
	if (pick(w, 2) && to) {
		range.to_len = make_key(memory + 64, to);
		*ret_to = to;
	}
	if (pick(w, 2)) {
		range.prefix_len = (size_t)snprintf(memory + 128, 64, "group%d", group);
		int first = group ? group * 10 : 1, end = group * 10 + 10; /* the empty key is in no group */
		*ret_from = *ret_from < first ? first : *ret_from;
		*ret_to = *ret_to > end ? end : *ret_to;
	}
	return range;
}

static bool use_range(struct world *w)
{
	unsigned db = pick(w, DATABASES);
	uint64_t expected = 0, n = 0;
	char memory[192];
	int from, to;
	struct kvdstore_range range = make_range(w, memory, &from, &to);
	bool deletes = pick(w, 6) == 0;

	for (int k = from; k < to; k++) {
		expected += w->cell[db][k].value != 0;
		if (deletes)
			w->cell[db][k] = (struct cell){ 0 };
	}
	int r = deletes ? kvdstore_delete_range(w->s, db, &range, &n) : kvdstore_count(w->s, db, &range, &n);
	return (r == 0 && n == expected) || wrong(w, deletes ? "a range is deleted wrongly" : "a range is counted wrongly");
}

static bool flush(struct world *w)
{
	unsigned db = pick(w, DATABASES);

	memset(w->cell[db], 0, sizeof(w->cell[db]));
	return kvdstore_flush(w->s, db) == 0 || wrong(w, "a database is not emptied");
}

/* ---- iterations ---- */

static void end_walks(struct world *w)
{
	for (int i = 0; i < ITERS; i++) {
		kvdstore_iter_free(w->walk[i].iter);
		w->walk[i].iter = NULL;
	}
}

static bool begin_walk(struct world *w, struct walk *i)
{
	unsigned db = pick(w, DATABASES);
	char memory[192];
	struct kvdstore_range range = make_range(w, memory, &i->from, &i->to);

	for (int k = 0; k < KEYS; k++)
		i->value[k] = w->cell[db][k].value;
	i->reverse = pick(w, 2);
	i->next = i->reverse ? i->to - 1 : i->from;
	return kvdstore_iter_new(w->s, db, &range, i->reverse, &i->iter) == 0 || wrong(w, "no iteration");
}

static bool step(struct world *w, struct walk *i)
{
	int d = i->reverse ? -1 : 1, end = i->reverse ? i->from - 1 : i->to;
	const void *key, *value;
	size_t key_len, len;
	int r = kvdstore_iter_next(i->iter, &key, &key_len);

	while (i->next * d < end * d && i->value[i->next] == 0)
		i->next += d;
	if (i->next * d >= end * d)
		return r == KVDSTORE_ABSENT || wrong(w, "an iteration goes on beyond its end");
	if (r || key_len != make_key(w->key, i->next) || memcmp(key, w->key, key_len) != 0)
		return wrong(w, "an iteration gives another key");
	if (kvdstore_iter_value(i->iter, &value, &len, NULL) || !is_value(value, len, i->value[i->next]))
		return wrong(w, "an iteration gives another value");
	i->next += d;
	return true;
}

static bool use_walk(struct world *w, struct walk *i)
{
	if (!i->iter)
		return begin_walk(w, i);
	if (pick(w, 20) == 0) {
		kvdstore_iter_free(i->iter);
		i->iter = NULL;
		return true;
	}
	if (pick(w, 6) == 0) {
		int k = (int)pick(w, KEYS);
		kvdstore_iter_seek(i->iter, w->key, make_key(w->key, k));
		i->next = i->reverse ? (k < i->to ? k : i->to - 1) : k > i->from ? k : i->from;
	}
	for (unsigned n = 1 + pick(w, 5); n; n--)
		if (!step(w, i))
			return false;
	return true;
}

/* ---- the store ---- */

static void forget_versions(struct world *w)
{
	for (unsigned db = 0; db < DATABASES; db++)
		for (int k = 0; k < KEYS; k++)
			w->cell[db][k].version = 0;
}

static bool open_world(struct world *w)
{
	struct kvdstore_options o = { .size = sizeof(o), .flags = KVDSTORE_CREATE | (pick(w, 4) == 0 ? KVDSTORE_REPAIR : 0), .databases = DATABASES,
		.segment_size = 1 << 20, .durability = pick(w, 8) ? KVDSTORE_NEVER : (int)pick(w, 2), .cache_size = pick(w, 2) ? 1 << 16 : 0,
		.compression = (int)pick(w, 2), .compression_min = 50 };
	char message[300] = "";

	int r = kvdstore_open(dir, &o, &w->s, message, sizeof(message));
	if (r || *message)
		snprintf(w->why, sizeof(w->why), "opening: %.180s", message);
	return r == 0 && !*message;
}

static bool keep_house(struct world *w)
{
	struct kvdstore_verified v = { .size = sizeof(v) };
	bool iterates = false;
	int r;

	for (int i = 0; i < ITERS; i++)
		iterates |= w->walk[i].iter != NULL;
	switch (pick(w, 6)) {
	case 0:
		end_walks(w);
		r = kvdstore_close(w->s);
		return r == 0 ? open_world(w) : (snprintf(w->why, sizeof(w->why), "close: %d", r), false);
	case 1:
		r = kvdstore_compact(w->s, (int)pick(w, 2), NULL);
		if (r == 0)
			forget_versions(w);
		return r == (iterates ? -EBUSY : 0) || wrong(w, "a compaction answers wrongly");
	case 2:
		return kvdstore_sync(w->s) == 0 || wrong(w, "no sync");
	case 3:
		return kvdstore_checkpoint(w->s) == 0 || wrong(w, "no checkpoint");
	case 4:
		r = kvdstore_snapshot(w->s, "s");
		if (r == -EEXIST)
			r = kvdstore_snapshot_verify(w->s, "s", NULL) ? -EIO : kvdstore_snapshot_delete(w->s, "s");
		return r == 0 || wrong(w, "no snapshot");
	default:
		return (kvdstore_verify(w->s, &v) == 0 && v.damaged == 0) || wrong(w, "it does not read back");
	}
}

static bool take_step(struct world *w)
{
	unsigned what = pick(w, 100), db = pick(w, DATABASES);
	int k = (int)pick(w, KEYS);

	return what < 25 ? check_key(w, db, k) : what < 55 ? write_key(w, db, k) : what < 60 ? change_end(w, db, k) : what < 67 ? write_batch(w) :
		what < 75 ? use_range(w) : what < 76 ? flush(w) : what < 97 ? use_walk(w, &w->walk[pick(w, ITERS)]) : keep_house(w);
}

static bool run_case(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	int i = 0;

	if (!w)
		bail("out of memory");
	w->random = seed * 0x9E3779B97F4A7C15u + 1;
	make_dir();
	bool right = open_world(w);
	while (right && i < STEPS && (right = take_step(w)))
		i++;
	for (unsigned db = 0; right && db < DATABASES; db++)
		for (int k = 0; right && k < KEYS; k++)
			right = check_key(w, db, k);
	if (!right)
		diag("seed %" PRIu64 ", step %d: %s", seed, i, w->why);
	end_walks(w);
	kvdstore_close(w->s);
	free(w);
	return right;
}

int main(void)
{
	const char *cases = getenv("KVD_TEST_CASES");
	uint64_t seed = tap_seed();
	unsigned n = cases ? (unsigned)strtoul(cases, NULL, 10) : getenv("KVD_TEST_LONG") ? 200 : 4;
	unsigned right = 0;

	atexit(clean_up);
	n = getenv("KVD_TEST_SEED") && !cases ? 1 : n;
	for (unsigned i = 0; i < n; i++)
		right += run_case(seed + i);
	ok(right == n, "%u of %u random runs of %d steps answer as the model", right, n, STEPS);
	return done();
}
