/* SPDX-License-Identifier: MIT
 * The key directory: its promises one by one, then random operations against a sorted array, then failing
 * memory. KVD_TEST_SEED replays a random run.
 */
#include <errno.h>
#include <time.h>
#include "base/buf.h"
#include "base/hash.h"
#include "store/keydir.h"
#include "store/keydir_tree.h"
#include "tap.h"

#define NEVER KEYDIR_NO_EXPIRY

static char text[200];
static uint64_t seed;

static uint64_t next_random(void)
{
	seed += UINT64_C(0x9e3779b97f4a7c15);
	return hash_u64(seed);
}

static unsigned below(unsigned n)
{
	return (unsigned)(next_random() % n);
}

static int put(struct keydir *k, struct slice key, uint64_t where, int64_t expire)
{
	struct keydir_entry old;

	return keydir_put(k, key, (struct keydir_entry){ where, expire }, &old);
}

static bool has(const struct keydir *k, struct slice key, uint64_t where, int64_t expire)
{
	struct keydir_entry e;

	return keydir_get(k, key, &e) == 0 && e.where == where && e.expire_ms == expire;
}

static bool sound(const struct keydir *k)
{
	if (keydir_check(k, text, sizeof(text)) == 0)
		return true;
	diag("%s", text);
	return false;
}

/* ---- promises ---- */

static void test_empty(void)
{
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	struct keydir_entry e = { 7, 7 };

	ok(keydir_get(k, SLICE("a"), &e) == KEYDIR_ABSENT && e.where == 7,
		"an empty directory has no key, output untouched");
	is_int(keydir_delete(k, SLICE("a"), &e), KEYDIR_ABSENT, "nothing to delete in it");
	ok(keydir_seek(c, SLICE(""), 0) == KEYDIR_ABSENT && keydir_seek(c, SLICE(""), 1) == KEYDIR_ABSENT,
		"a seek in it ends at once");
	is_int(keydir_next(c), KEYDIR_ABSENT, "and so does a step");
	is_int(keydir_random(c, 5), KEYDIR_ABSENT, "no random key in it");
	ok(keydir_count(k) == 0 && keydir_expiring(k) == 0 && sound(k), "it counts nothing");
	ok(keydir_cursor_free(c) == NULL && keydir_free(k) == NULL, "freeing gives NULL");
	ok(keydir_free(NULL) == NULL && keydir_cursor_free(NULL) == NULL, "freeing NULL is allowed");
}

static void test_order(void)
{
	static const struct {
		const char *ptr;
		size_t len;
	} keys[] = {
		{ "", 0 },
		{ "\0", 1 },
		{ "\0\0", 2 },
		{ "\0\0\0\0", 4 },
		{ "\0\0\0\0\0", 5 },
		{ "\0\0\0\0\0\0", 6 },
		{ "\0\1", 2 },
		{ "a", 1 },
		{ "a\0", 2 },
		{ "a\0\0\0", 4 },
		{ "a\0\0\0\0", 5 },
		{ "a\0\0\0\0\0x", 7 },
		{ "a\0\0\0b", 5 },
		{ "aa", 2 },
		{ "ab", 2 },
		{ "abcd", 4 },
		{ "abcd\0", 5 },
		{ "abcde", 5 },
		{ "abcdefgh", 8 },
		{ "abcdf", 5 },
		{ "b", 1 },
		{ "\x7f\xff", 2 },
		{ "\x80", 1 },
		{ "\xff", 1 },
		{ "\xff\xff\xff", 3 },
		{ "\xff\xff\xff\xff", 4 },
		{ "\xff\xff\xff\xff\0", 5 },
		{ "\xff\xff\xff\xff\xff", 5 },
	};
	enum { N = sizeof(keys) / sizeof(keys[0]) };
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);

	bool fresh = true, found = true;
	for (unsigned i = 0; i < N; i++) {
		unsigned j = i * 11 % N;
		fresh &= put(k, slice(keys[j].ptr, keys[j].len), j, NEVER) == KEYDIR_ABSENT;
	}
	ok(fresh && keydir_count(k) == N, "keys that differ only in trailing zeros are different keys");
	for (unsigned i = 0; i < N; i++)
		found &= has(k, slice(keys[i].ptr, keys[i].len), i, NEVER);
	ok(found && sound(k), "each has its own entry");
	unsigned i = 0;
	for (int r = keydir_seek(c, SLICE(""), 0); r == 0; r = keydir_next(c), i++)
		if (keydir_cursor_entry(c).where != i ||
			!slice_eq(keydir_cursor_key(c), slice(keys[i].ptr, keys[i].len)))
			break;
	is_int(i, N, "a cursor meets them in bytewise order");
	for (int r = keydir_seek(c, SLICE(""), 1); r == 0 && keydir_cursor_entry(c).where == i - 1;
		r = keydir_next(c))
		i--;
	is_int(i, 0, "and backwards");
	ok(keydir_seek(c, SLICE("abce"), 0) == 0 && slice_eq(keydir_cursor_key(c), SLICE("b")),
		"a seek lands on the first key not below");
	ok(keydir_seek(c, SLICE("abcd"), 0) == 0 && slice_eq(keydir_cursor_key(c), SLICE("abcd")),
		"which may be the key itself");
	ok(keydir_seek(c, SLICE("abcd"), 1) == 0 && slice_eq(keydir_cursor_key(c), SLICE("ab")),
		"in reverse on the last key below");
	is_int(keydir_seek(c, slice("\xff\xff\xff\xff\xff\xff", 6), 0), KEYDIR_ABSENT,
		"there is nothing after the last");
	keydir_cursor_free(c);
	keydir_free(k);
}

static void test_replace(void)
{
	struct keydir *k = keydir_new();
	struct keydir_entry old = { 0, 0 };

	put(k, SLICE("k"), 1, NEVER);
	int r = keydir_put(k, SLICE("k"), (struct keydir_entry){ 2, 500 }, &old);
	ok(r == 0 && old.where == 1 && old.expire_ms == NEVER, "replacing hands out what was there");
	ok(has(k, SLICE("k"), 2, 500) && keydir_expiring(k) == 1, "an entry can get an expiry");
	r = keydir_put(k, SLICE("k"), (struct keydir_entry){ 3, -4 }, &old);
	ok(r == 0 && old.expire_ms == 500 && has(k, SLICE("k"), 3, -4) && keydir_expiring(k) == 1,
		"another expiry, a negative one too");
	r = keydir_put(k, SLICE("k"), (struct keydir_entry){ UINT64_MAX, NEVER }, &old);
	ok(r == 0 && old.expire_ms == -4 && has(k, SLICE("k"), UINT64_MAX, NEVER) && keydir_expiring(k) == 0,
		"and lose it");
	ok(keydir_count(k) == 1 && sound(k), "it stays one key");
	r = keydir_delete(k, SLICE("k"), &old);
	ok(r == 0 && old.where == UINT64_MAX && keydir_count(k) == 0 && sound(k),
		"deletion hands it out as well");
	keydir_free(k);
}

static struct slice long_key(char *out, size_t len, unsigned n)
{
	memset(out, 'x', len);
	memcpy(out + len - 4, &(uint32_t){ htobe32(n) }, 4);
	return slice(out, len);
}

static void test_long_keys(void)
{
	static const size_t lengths[] = { 60, 66, 67, 68, 255, 258, 259, 260, 263, 299, 300, 301, 304, 1000,
		65535, 65536 };
	enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]), EACH = 40 };
	static char tmp[KEYDIR_MAX_KEY];
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	struct keydir_entry old;
	size_t least = keydir_bytes(k);
	bool good = true;

	for (unsigned n = 0; n < EACH; n++)
		for (unsigned l = 0; l < LENGTHS; l++)
			good &= put(k, long_key(tmp, lengths[l], n), n * 100 + l,
					n % 3 ? NEVER : (int64_t)n) == KEYDIR_ABSENT;
	ok(good && sound(k), "keys up to 64 KiB go in");
	for (unsigned n = 0; n < EACH; n++)
		for (unsigned l = 0; l < LENGTHS; l++)
			good &= has(k, long_key(tmp, lengths[l], n), n * 100 + l, n % 3 ? NEVER : (int64_t)n);
	ok(good, "and are found");
	ok(keydir_seek(c, SLICE(""), 1) == 0 && keydir_cursor_key(c).len == 65536,
		"a cursor holds the longest");
	put(k, SLICE("a"), 1, NEVER);
	put(k, SLICE("z"), 1, NEVER);
	ok(sound(k), "a key without the long common prefix fits in beside them");
	for (unsigned n = 0; n < EACH; n++)
		for (unsigned l = 0; l < LENGTHS; l++)
			good &= keydir_delete(k, long_key(tmp, lengths[l], n), &old) == 0 &&
				old.where == n * 100 + l;
	ok(good && keydir_count(k) == 2 && sound(k), "and can be deleted");
	ok(keydir_bytes(k) < least + 1000, "their memory is given back");
	keydir_cursor_free(c);
	keydir_free(k);
}

static struct slice numbered(char *out, unsigned n)
{
	return slice(out, (size_t)sprintf(out, "key:%08u", n));
}

static void test_runs(void)
{
	enum { N = 50000 };
	struct keydir *k = keydir_new();
	char tmp[32];

	for (unsigned i = 0; i < N; i++)
		put(k, numbered(tmp, i), i, NEVER);
	ok(keydir_bytes(k) < N * 18 && sound(k), "ascending keys fill their pages");
	diag("ascending: %.1f bytes a key", (double)keydir_bytes(k) / N);
	k = keydir_free(k);
	k = keydir_new();
	for (unsigned i = N; i-- > 0;)
		put(k, numbered(tmp, i), i, NEVER);
	ok(keydir_bytes(k) < N * 18 && sound(k), "descending keys too");
	diag("descending: %.1f bytes a key", (double)keydir_bytes(k) / N);
	k = keydir_free(k);
	k = keydir_new();
	for (unsigned i = 0; i < N; i++)
		put(k, slice(tmp, (size_t)sprintf(tmp, "%u:%07u", i % 5, i / 5)), i, NEVER);
	ok(keydir_bytes(k) < N * 21 && sound(k), "and several rows that grow side by side");
	diag("five rows: %.1f bytes a key", (double)keydir_bytes(k) / N);
	keydir_free(k);
}

/* Ascending rows split inner pages at their end, which leaves inner pages with one child for a while. */
static void test_tall(void)
{
	enum { N = 150000 };
	struct keydir *k = keydir_new();
	struct keydir_entry old;
	char tmp[32];
	bool good = true;

	for (unsigned i = 0; i < N; i++) {
		put(k, numbered(tmp, i), i, NEVER);
		good &= i % 5000 || sound(k);
	}
	ok(good && k->root->level > 1 && sound(k), "a tree of three levels is right while it grows at its end");
	for (unsigned i = N; i-- > N / 3;) {
		good &= keydir_delete(k, numbered(tmp, i), &old) == 0 && old.where == i;
		good &= i % 5000 || sound(k);
	}
	for (unsigned i = 0; i < N / 3; i++) {
		good &= keydir_delete(k, numbered(tmp, i), &old) == 0 && old.where == i;
		good &= i % 5000 || sound(k);
	}
	ok(good && keydir_mem_empty(&k->mem) && sound(k), "and while it shrinks from either end");
	keydir_free(k);
}

static void test_memory_returned(void)
{
	enum { N = 100000 };
	struct keydir *k = keydir_new();
	struct keydir_entry old;
	size_t least = keydir_bytes(k);
	bool good = true;

	for (uint64_t i = 0; i < N; i++)
		put(k, slice(&(uint64_t[2]){ hash_u64(i), i }, 16), i, i % 4 ? NEVER : 5);
	size_t full = keydir_bytes(k);
	diag("random: %.1f bytes a key with a quarter expiring", (double)full / N);
	ok(full < (size_t)N * 40 && sound(k), "random keys cost less than 40 bytes each");
	for (uint64_t i = 0; i < N; i++)
		if (i % 20)
			good &= keydir_delete(k, slice(&(uint64_t[2]){ hash_u64(i), i }, 16), &old) == 0 &&
				old.where == i;
	ok(good && sound(k), "19 of 20 can be deleted");
	diag("%.1f bytes a key when 19 of 20 are gone", (double)keydir_bytes(k) / (N / 20));
	ok(keydir_bytes(k) < full / 4, "which frees most of the memory");
	for (uint64_t i = 0; i < N; i += 20)
		good &= keydir_delete(k, slice(&(uint64_t[2]){ hash_u64(i), i }, 16), &old) == 0;
	ok(good && keydir_bytes(k) == least && keydir_mem_empty(&k->mem) && sound(k),
		"deleting all frees all");
	keydir_free(k);
}

static void test_cursor_under_change(void)
{
	enum { N = 3000 };
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	struct keydir_entry old;
	char tmp[32];

	for (unsigned i = 0; i < N; i++)
		put(k, numbered(tmp, i * 2), i * 2, NEVER);
	unsigned seen = 0;
	bool good = true;
	for (int r = keydir_seek(c, SLICE(""), 0); r == 0; r = keydir_next(c)) {
		unsigned at = (unsigned)keydir_cursor_entry(c).where;
		good &= at % 2 == 1 || at == seen++ * 2;
		if (at % 2)
			continue;
		keydir_delete(k, numbered(tmp, at), &old);    /* the key under the cursor */
		put(k, numbered(tmp, at + 1), at + 1, NEVER); /* one just ahead */
		if (at >= 2)
			put(k, numbered(tmp, at - 2), at - 2, NEVER); /* one behind */
	}
	ok(good && seen == N, "forward: each lasting key is met once while others come and go");
	seen = 0;
	for (int r = keydir_seek(c, SLICE(""), 1); r == 0; r = keydir_next(c)) {
		unsigned at = (unsigned)keydir_cursor_entry(c).where;
		seen += at % 2;
		keydir_delete(k, numbered(tmp, at), &old);
		put(k, numbered(tmp, at + 1), at + 1, NEVER);
	}
	ok(seen == N && sound(k), "and backwards");
	keydir_seek(c, SLICE(""), 0);
	for (unsigned i = 0; i < 3 * N; i++)
		keydir_delete(k, numbered(tmp, i), &old);
	ok(keydir_count(k) == 0 && keydir_next(c) == KEYDIR_ABSENT, "a cursor over what was emptied ends");
	ok(keydir_cursor_key(c).len == 12, "and still holds its key");
	keydir_cursor_free(c);
	keydir_free(k);
}

static void test_cursor_stays(void)
{
	enum { N = 3000 };
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	char tmp[32];
	unsigned seen = 0;
	bool good = true;

	for (unsigned i = 0; i < N; i++)
		put(k, numbered(tmp, i * 2), i * 2, NEVER);
	for (int r = keydir_seek(c, SLICE(""), 0); r == 0 && good; r = keydir_next(c)) {
		unsigned at = (unsigned)keydir_cursor_entry(c).where;
		good = at == seen++ * 2;
		if (at)
			put(k, numbered(tmp, at - 1), at - 1, NEVER);
	}
	ok(good && seen == N && sound(k), "a key that stays under the cursor is not met again");
	keydir_cursor_free(c);
	keydir_free(k);
}

static void test_random_choice(void)
{
	enum { N = 5000, DRAWS = 200000 };
	static unsigned hits[N];
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	unsigned most = 0, missed = 0;

	for (unsigned i = 0; i < N; i++)
		put(k, slice(&(uint64_t[2]){ hash_u64(i), i }, 16), i, NEVER);
	for (uint64_t i = 0; i < DRAWS; i++)
		if (keydir_random(c, i) == 0)
			hits[keydir_cursor_entry(c).where]++;
	for (unsigned i = 0; i < N; i++) {
		most = hits[i] > most ? hits[i] : most;
		missed += hits[i] < 10;
	}
	diag("of %d draws %d each: most %u", DRAWS, DRAWS / N, most);
	ok(most < 100 && missed == 0, "random choice is about even");
	keydir_cursor_free(c);
	keydir_free(k);
}

struct sweep {
	unsigned found;
	bool early;
	int64_t now;
};

static void note_expired(void *arg, struct slice key, struct keydir_entry e)
{
	struct sweep *s = arg;

	s->found++;
	s->early |= e.expire_ms > s->now || key.len != 12;
}

static void test_expired(void)
{
	enum { N = 20000 };
	struct keydir *k = keydir_new();
	struct buf from = { 0 };
	struct sweep s = { .now = 1000 };
	char tmp[32];
	unsigned calls = 1, expected = 0;

	is_int(keydir_expired(k, &from, 1, 10, note_expired, &s), KEYDIR_ABSENT,
		"nothing expires in an empty directory");
	for (unsigned i = 0; i < N; i++) {
		int64_t expire = i % 3 == 0 ? (int64_t)(i % 2000) : NEVER;
		expected += expire <= 1000;
		put(k, numbered(tmp, i), i, expire);
	}
	while (keydir_expired(k, &from, s.now, 3, note_expired, &s) == 0)
		calls++;
	ok(s.found == expected && !s.early, "a sweep finds exactly the keys whose time has come");
	ok(calls > 10 && from.len == 0, "in portions, and ends at the beginning");
	s = (struct sweep){ .now = NEVER };
	while (keydir_expired(k, &from, s.now, 1000, note_expired, &s) == 0)
		;
	is_int(s.found, keydir_expiring(k), "a key without expiry never expires");
	buf_append_str(&from, "key:00019999");
	s = (struct sweep){ .now = NEVER };
	is_int(keydir_expired(k, &from, s.now, 1, note_expired, &s), KEYDIR_ABSENT,
		"a sweep may begin anywhere");
	ok(s.found > 0 && s.found < 400, "and looks at the pages from there");
	buf_free(&from);
	keydir_free(k);
}

static void test_find(void)
{
	enum { N = 20000, BATCH = 150 };
	struct keydir *k = keydir_new(), *empty = keydir_new();
	static struct keydir_probe probes[BATCH];
	static char keys[BATCH][32];
	struct keydir_entry e;
	bool good = true, moved = true;

	for (unsigned i = 0; i < N; i++)
		put(k, numbered(keys[0], i * 2), i + 1, i % 3 ? NEVER : (int64_t)i);
	for (unsigned i = 0; i < BATCH; i++)
		probes[i] = (struct keydir_probe){ .k = i % 10 ? k : i % 20 ? empty : NULL, .key = numbered(keys[i], i * 77), .found = true };
	probes[3].key = SLICE("");
	probes[4].key = SLICE("z");
	keydir_find(probes, BATCH);
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned n = i * 77 / 2;
		bool there = i * 77 % 2 == 0 && i % 10 != 0 && i != 3 && i != 4;
		good &= probes[i].found == there && probes[i].entry.where == (there ? n + 1 : 0) &&
			probes[i].entry.expire_ms == (!there ? 0 : n % 3 ? NEVER : (int64_t)n);
	}
	ok(good, "several keys are found at once, with what they have, and others are not");
	for (unsigned i = 0; i < BATCH; i++)
		if (probes[i].found)
			keydir_move(&probes[i], 1000000 + i);
	for (unsigned i = 0; i < N; i++) {
		unsigned at = i * 2 / 77;
		bool there = i * 2 % 77 == 0 && at < BATCH && probes[at].found;
		moved &= keydir_get(k, numbered(keys[0], i * 2), &e) == 0 && e.where == (there ? 1000000 + at : i + 1) &&
			e.expire_ms == (i % 3 ? NEVER : (int64_t)i);
	}
	ok(moved && sound(k), "they can be given other places, and only they have them");
	keydir_find(probes, 0);
	keydir_free(k);
	keydir_free(empty);
}

/* Takes n blocks of one size, each filled with its number, then gives back all but every `keep`th. */
static void fill_and_thin(
	struct keydir_mem *m, uint32_t **blocks, unsigned n, unsigned keep, size_t *ret_size)
{
	for (uint32_t i = 0; i < n; i++) {
		blocks[i] = keydir_mem_alloc(m, 3000, ret_size);
		memset(blocks[i], 0xee, *ret_size);
		blocks[i][0] = i;
	}
	for (unsigned i = 0; i < n; i++)
		if (i % keep) {
			keydir_mem_free(m, blocks[i], *ret_size);
			blocks[i] = NULL;
		}
}

static void test_thin_slabs(void)
{
	enum { N = 3000, KEEP = 30 };
	static uint32_t *blocks[N];
	struct keydir_mem m = { 0 };
	size_t size, full, moved = 0;
	bool good = true;

	fill_and_thin(&m, blocks, N, KEEP, &size);
	full = m.bytes;
	m.thin = m.slabs ? (unsigned)(65472 / size) : 0;
	for (struct keydir_slab *slab; (slab = keydir_mem_thin(&m)); m.thin = (unsigned)(65472 / size))
		for (bool last = false; !last; moved++) {
			uint32_t *block = keydir_mem_next(slab, &size), i = block[0];
			good &= i < N && blocks[i] == block;
			blocks[i] = keydir_mem_move(&m, block, size, &last);
			good &= blocks[i][0] == i;
		}
	diag("%zu blocks moved, %zu bytes before and %zu after", moved, full, m.bytes);
	if (moved || m.slabs)
		ok(good && moved < 2 * N / KEEP && m.bytes < N / KEEP * size + 65536 * 2,
			"blocks of thin slabs move together");
	else
		skip("blocks of thin slabs move together", "no slabs under the address sanitizer");
	for (unsigned i = 0; i < N; i++)
		if (blocks[i])
			keydir_mem_free(&m, blocks[i], size);
	ok(keydir_mem_empty(&m), "and the last one takes the last memory along");
}

/* ---- against a plain sorted array ---- */

struct model_item {
	char *key;
	size_t len;
	struct keydir_entry e;
};

static struct model {
	struct model_item *items;
	size_t count, cap;
} model;

static size_t model_find(struct slice key, bool *ret_found)
{
	size_t lo = 0, hi = model.count;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = slice_cmp(key, slice(model.items[mid].key, model.items[mid].len));
		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void model_put(struct slice key, struct keydir_entry e)
{
	bool found;
	size_t i = model_find(key, &found);

	if (!found) {
		if (model.count == model.cap)
			model.items =
				realloc(model.items, (model.cap = model.cap * 2 + 64) * sizeof(*model.items));
		memmove(model.items + i + 1, model.items + i, (model.count++ - i) * sizeof(*model.items));
		model.items[i].key = malloc(key.len + 1);
		if (key.len)
			memcpy(model.items[i].key, key.ptr, key.len);
		model.items[i].len = key.len;
	}
	model.items[i].e = e;
}

static void model_delete(size_t i)
{
	free(model.items[i].key);
	memmove(model.items + i, model.items + i + 1, (--model.count - i) * sizeof(*model.items));
}

static struct slice model_key(size_t i)
{
	return slice(model.items[i].key, model.items[i].len);
}

static bool model_agrees(const struct keydir *k, struct keydir_cursor *c, bool reverse)
{
	size_t i = 0;

	for (int r = keydir_seek(c, SLICE(""), reverse); r == 0; r = keydir_next(c), i++) {
		size_t at = reverse ? model.count - 1 - i : i;
		if (i >= model.count || !slice_eq(keydir_cursor_key(c), model_key(at)))
			return false;
		struct keydir_entry e = keydir_cursor_entry(c);
		if (e.where != model.items[at].e.where || e.expire_ms != model.items[at].e.expire_ms)
			return false;
	}
	return i == model.count && keydir_count(k) == i && sound(k);
}

/* Keys of one sort each; `n` counts the operations. */
static struct slice random_key(unsigned sort, unsigned n, char *out)
{
	size_t len = 0;

	switch (sort) {
	case 0: /* tiny alphabet, many shared prefixes, trailing zeros */
		for (len = below(12); len-- > 0;)
			*out++ = "\0\xff"
				 "ab"[below(4)];
		return slice(out, 0);
	case 1:
		return slice(out, (size_t)sprintf(out, "%08u", n));
	case 2:
		return slice(out, (size_t)sprintf(out, "%08u", 10000000 - n));
	case 3:
		return slice(out, (size_t)sprintf(out, "user:%u:session:%u", below(30), below(200)));
	case 4: /* around the limit of what is kept in the page, long common parts */
		len = 230 + below(120);
		memset(out, 'a' + (int)below(2), len);
		for (unsigned i = 0; i < 4; i++)
			out[below((unsigned)len)] ^= 1;
		return slice(out, len);
	case 5:
		for (; len < 16; len += 8)
			memcpy(out + len, &(uint64_t){ next_random() }, 8);
		return slice(out, len);
	case 6: /* long and short ones together */
		len = below(8) ? below(40) : 200 + below(3000);
		memset(out, 'q', len);
		if (len)
			out[below((unsigned)len)] = (char)below(256);
		return slice(out, len);
	default: /* one long prefix, then something that breaks it */
		len = below(50) ? 250 : below(250);
		memset(out, 'p', 250);
		return slice(out, len + (size_t)sprintf(out + len, "%u", below(2000)));
	}
}

static struct slice some_key(unsigned sort, unsigned n, char *out)
{
	char *begin = out;
	struct slice key = random_key(sort, n, out);

	if (sort == 0)
		key = slice(begin, (size_t)(key.ptr - begin));
	return model.count && below(3) == 0 ? model_key(below((unsigned)model.count)) : key;
}

static bool one_put(struct keydir *k, struct slice key, bool found, size_t i)
{
	struct keydir_entry e = { next_random(), below(3) ? NEVER : (int64_t)below(1000) }, old = { 0, 0 };
	int r = keydir_put(k, key, e, &old);
	bool good = r == (found ? 0 : KEYDIR_ABSENT);

	if (found)
		good &= old.where == model.items[i].e.where && old.expire_ms == model.items[i].e.expire_ms;
	model_put(key, e);
	return good;
}

static bool one_delete(struct keydir *k, struct slice key, bool found, size_t i)
{
	struct keydir_entry old = { 0, 0 };
	int r = keydir_delete(k, key, &old);
	bool good = r == (found ? 0 : KEYDIR_ABSENT);

	if (found) {
		good &= old.where == model.items[i].e.where && old.expire_ms == model.items[i].e.expire_ms;
		model_delete(i);
	}
	return good;
}

static bool one_get(struct keydir *k, struct slice key, bool found, size_t i)
{
	struct keydir_entry e = { 0, 0 };
	int r = keydir_get(k, key, &e);

	if (!found)
		return r == KEYDIR_ABSENT;
	return r == 0 && e.where == model.items[i].e.where && e.expire_ms == model.items[i].e.expire_ms;
}

static bool one_seek(struct keydir_cursor *c, struct slice key, bool found, size_t i)
{
	bool reverse = below(2);
	size_t at = reverse ? (key.len ? i : model.count) : i, steps = below(5) + 1u;
	int r = keydir_seek(c, key, reverse);

	(void)found;
	for (; steps; steps--, r = keydir_next(c)) {
		if (reverse ? at == 0 : at == model.count)
			return r == KEYDIR_ABSENT;
		at -= reverse;
		if (r || !slice_eq(keydir_cursor_key(c), model_key(at)))
			return false;
		at += !reverse;
	}
	return true;
}

/* A stretch leans towards puts or towards deletions, so that the tree grows and shrinks. */
static bool run_stretch(
	struct keydir *k, struct keydir_cursor *c, unsigned sort, unsigned *n, unsigned ops, unsigned puts)
{
	static char tmp[KEYDIR_MAX_KEY];

	for (; ops; ops--) {
		struct slice key = some_key(sort, (*n)++, tmp);
		static char copy[KEYDIR_MAX_KEY];
		if (key.len)
			memcpy(copy, key.ptr, key.len); /* the model may free its own */
		key = slice(copy, key.len);
		bool found, good;
		size_t i = model_find(key, &found);
		unsigned what = below(100);
		if (what < puts)
			good = one_put(k, key, found, i);
		else if (what < 80)
			good = one_delete(k, key, found, i);
		else if (what < 90)
			good = one_get(k, key, found, i);
		else
			good = one_seek(c, key, found, i);
		if (!good) {
			diag_mem("key", key.ptr, key.len);
			return false;
		}
	}
	return true;
}

/* A directory of the model's keys, built in order; NULL: an allocation failed, and all went back. */
static struct keydir *build(bool (*refuse)(void *arg), void *arg)
{
	struct keydir *k = keydir_new();
	struct keydir_builder *b = keydir_builder_new(k);
	int r = 0;

	k->mem.refuse = refuse;
	k->mem.refuse_arg = arg;
	for (size_t i = 0; r == 0 && i < model.count; i++)
		r = keydir_builder_add(b, model_key(i), model.items[i].e);
	if (r == 0)
		r = keydir_builder_end(b);
	k->mem.refuse = NULL;
	if (r == 0)
		return k;
	keydir_builder_free(b);
	if (r != -ENOMEM || !keydir_mem_empty(&k->mem) || k->root)
		diag("a builder that gave up with %d left something", r);
	return keydir_free(k);
}

/* What was built from sorted keys takes the place of what insertions have made. */
static bool rebuild(struct keydir **k, struct keydir_cursor **c)
{
	struct keydir *built = build(NULL, NULL);
	size_t before = keydir_bytes(*k);

	if (keydir_bytes(built) > before + before / 50 + 4096) {
		diag("built it takes %zu bytes, grown %zu", keydir_bytes(built), before);
		return false;
	}
	keydir_cursor_free(*c);
	keydir_free(*k);
	*k = built;
	*c = keydir_cursor_new(built);
	return model_agrees(*k, *c, false) && model_agrees(*k, *c, true);
}

static void test_model(unsigned sort, const char *name)
{
	struct keydir *k = keydir_new();
	struct keydir_cursor *c = keydir_cursor_new(k);
	unsigned n = 0;
	bool good = true;

	for (unsigned stretch = 0; good && stretch < 14; stretch++) {
		unsigned puts = stretch % 7 < 4 ? 60 : 25;
		good = run_stretch(k, c, sort, &n, 1000, puts) && model_agrees(k, c, stretch % 2) &&
		       (stretch % 3 || rebuild(&k, &c));
	}
	while (good && model.count) {
		size_t i = below((unsigned)model.count);
		good = one_delete(k, model_key(i), true, i) && (model.count % 64 || sound(k));
	}
	ok(good && keydir_mem_empty(&k->mem) && sound(k), "%s: agrees with a sorted array throughout", name);
	while (model.count)
		model_delete(model.count - 1);
	keydir_cursor_free(c);
	keydir_free(k);
}

/* ---- building ---- */

static void test_builder(void)
{
	struct keydir *k = keydir_new();
	struct keydir_builder *b = keydir_builder_new(k);
	struct keydir_entry e = { 1, NEVER };

	is_int(keydir_builder_end(b), 0, "nothing makes an empty directory");
	ok(keydir_count(k) == 0 && sound(k), "which is one");
	b = keydir_builder_new(k);
	ok(keydir_builder_add(b, SLICE(""), e) == 0 && keydir_builder_add(b, SLICE(""), e) == -EINVAL,
		"a key comes once, be it empty");
	ok(keydir_builder_add(b, SLICE("b"), e) == 0 && keydir_builder_add(b, SLICE("a"), e) == -EINVAL, "and in order");
	ok(keydir_builder_free(b) == NULL && keydir_count(k) == 0 && sound(k), "a builder given up leaves it empty");
	ok(keydir_builder_free(NULL) == NULL, "freeing NULL is allowed");
	keydir_free(k);
}

/* ---- failing memory ---- */

struct failing {
	unsigned calls, fail; /* the call that fails */
};

static bool refuse(void *arg)
{
	struct failing *f = arg;

	return ++f->calls == f->fail;
}

/* Half of them in twenty families whose long common part makes long separators, so that inner pages split
 * soon. */
static struct slice failing_key(unsigned i, char *tmp)
{
	uint32_t h = (uint32_t)hash_u64(i);

	if (i % 2 == 0) {
		struct slice key = long_key(tmp, h % 20 < 10 ? 292 : 330, h / 20 % 4096);
		*tmp = (char)('a' + h % 20);
		return key;
	}
	return slice(tmp, (size_t)sprintf(tmp, "%s%u", i % 3 ? "item:" : "", h % 2048));
}

static void test_failing_memory(void)
{
	enum { N = 1200 };
	static char tmp[400];
	unsigned refusals = 0, fail = 1;
	bool good = true, more = true;

	for (; good && more; fail++) {
		struct keydir *k = keydir_new();
		struct keydir_cursor *c = keydir_cursor_new(k);
		struct failing f = { .fail = fail };
		k->mem.refuse = refuse;
		k->mem.refuse_arg = &f;
		for (unsigned i = 0; good && i < N; i++) {
			struct slice key = failing_key(i, tmp);
			struct keydir_entry e = { i, i % 4 ? NEVER : 9 }, old = { 1, 2 };
			int r = keydir_put(k, key, e, &old);
			if (r == -ENOMEM) {
				refusals++;
				good = old.where == 1 && old.expire_ms == 2 && model_agrees(k, c, false);
				r = keydir_put(k, key, e, &old);
			}
			good &= r >= 0;
			model_put(key, e);
		}
		more = f.calls >= fail;
		for (f.fail = f.calls + 1 + fail % 30; good && model.count;) {
			struct keydir_entry old;
			good = keydir_delete(k, model_key(model.count / 2), &old) == 0;
			model_delete(model.count / 2);
		}
		good &= keydir_mem_empty(&k->mem) && sound(k);
		while (model.count)
			model_delete(model.count - 1);
		keydir_cursor_free(c);
		keydir_free(k);
	}
	diag("%u allocations failed in turn", refusals);
	ok(good && refusals > 100 && refusals == fail - 2,
		"a put without memory changes nothing, whichever allocation fails");
}

static void test_failing_builder(void)
{
	static char tmp[400];
	struct failing f = { 0, 1 };
	struct keydir *k = NULL;
	struct keydir_cursor *c;

	while (model.count)
		model_delete(model.count - 1);
	for (unsigned i = 0; i < 3000; i++) {
		struct slice key = failing_key(i, tmp);
		model_put(key, (struct keydir_entry){ i + 1, i % 3 ? NEVER : (int64_t)i });
	}
	for (; !k && f.fail < 100000; f.fail++) {
		f.calls = 0;
		k = build(refuse, &f);
	}
	diag("%u allocations failed in turn", f.fail - 2);
	c = keydir_cursor_new(k);
	ok(k && f.fail > 100 && model_agrees(k, c, false), "a builder without memory leaves nothing, whichever allocation fails");
	keydir_cursor_free(c);
	keydir_free(k);
	while (model.count)
		model_delete(model.count - 1);
}

int main(void)
{

	test_empty();
	test_order();
	test_replace();
	test_long_keys();
	test_runs();
	test_tall();
	test_memory_returned();
	test_cursor_under_change();
	test_cursor_stays();
	test_random_choice();
	test_expired();
	test_find();
	test_thin_slabs();
	test_builder();
	seed = tap_seed();
	test_model(0, "short keys of four letters");
	test_model(1, "ascending keys");
	test_model(2, "descending keys");
	test_model(3, "numbered keys");
	test_model(4, "keys around the inline limit");
	test_model(5, "random keys");
	test_model(6, "long and short keys");
	test_model(7, "a long prefix and what breaks it");
	free(model.items);
	model.items = NULL;
	model.cap = 0;
	test_failing_memory();
	test_failing_builder();
	free(model.items);
	return done();
}
