/* SPDX-License-Identifier: MIT
 * The smaller parts of the store room: catalog, segment names, tail, value cache, recent deletions.
 */
#include <errno.h>
#include "base/hash.h"
#include "sim/simdisk.h"
#include "store/cache.h"
#include "store/catalog.h"
#include "store/recent.h"
#include "store/segment.h"
#include "store/tail.h"
#include "tap.h"

static void test_catalog(void)
{
	struct simdisk *d = simdisk_new(1);
	struct io *io = simdisk_io(d);
	struct catalog_segment list[] = { { 6, 64, 4096 }, { 7, 4096, 0 } };
	struct catalog c = { .store_id = 0x0123456789abcdef, .next = 8, .clean = true, .clean_size = 64, .count = 2, .segment = list }, got;
	struct error e = { 0 };
	int dir = io->open_dir(io, "sim");

	is_int(catalog_read(io, dir, &got, &e), -ENOENT, "no catalog is told apart from a damaged one");
	is_int(catalog_write(io, dir, &c), 0, "a catalog is written");
	is_int(catalog_read(io, dir, &got, &e), 0, "and read");
	ok(got.store_id == c.store_id && got.next == 8 && got.clean && got.clean_size == 64 && got.count == 2 &&
			got.segment[0].number == 6 && got.segment[0].first == 64 && got.segment[0].size == 4096 && got.segment[1].size == 0,
		"with everything in it");
	catalog_free(&got);
	size_t size;
	static const char expected[] = "kvd-catalog 1\nstore 0123456789abcdef\nnext 8\nsegment 6 first 64 size 4096\nsegment 7 first 4096\nclean 64\n";
	char *text = (char *)simdisk_file(d, CATALOG_NAME, &size);
	is_mem(text, sizeof(expected) - 1, expected, sizeof(expected) - 1, "it is the text that catalog.h shows");

	unsigned accepted = 0;
	for (size_t bit = 0; bit < size * 8; bit++) {
		text[bit / 8] ^= (char)(1 << bit % 8);
		if (catalog_read(io, dir, &got, &e) == 0) {
			accepted++;
			catalog_free(&got);
		}
		text[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(accepted, 0, "no flipped bit is accepted");
	accepted = 0;
	for (size_t len = 0; len < size; len++) {
		char keep[512];
		memcpy(keep, simdisk_file(d, CATALOG_NAME, &size), size);
		simdisk_resize(d, CATALOG_NAME, len);
		accepted += catalog_read(io, dir, &got, &e) == 0;
		simdisk_resize(d, CATALOG_NAME, size);
		memcpy(simdisk_file(d, CATALOG_NAME, &size), keep, size);
	}
	is_int(accepted, 0, "no shorter file is accepted");
	memcpy(simdisk_file(d, CATALOG_NAME, &size), "kvd-catalog 2", 13);
	is_int(catalog_read(io, dir, &got, &e), -EPROTONOSUPPORT, "a later version is named as such");
	ok(strstr(e.text, "version 1"), "and the message says what this kvd reads");
	simdisk_free(d);
}

static void test_names(void)
{
	char name[SEGMENT_NAME_SIZE];
	segment_name(name, 42);
	is_str(name, "0000000042.seg", "a segment's name is its number, padded");
	is_int((int64_t)segment_name_number("0000000042.seg"), 42, "and gives the number back");
	is_int((int64_t)segment_name_number("12345678901.seg"), 12345678901, "numbers grow beyond the padding");
	is_int((int64_t)segment_name_number("042.seg"), 0, "another spelling is no segment");
	is_int((int64_t)segment_name_number("0000000000.seg"), 0, "there is no segment 0");
	is_int((int64_t)segment_name_number("CATALOG"), 0, "other files are no segments");
	is_int((int64_t)segment_name_number("0000000042.seg~"), 0, "nor are copies");
}

static void append(struct tail *t, struct segment *g, uint64_t *position, size_t len)
{
	char *room = tail_room(t, g, *position, len);
	memset(room, (int)(*position >> 10), len);
	tail_advance(t, len);
	*position += len;
}

static void test_tail(void)
{
	struct tail t;
	struct segment a = { .number = 1 }, b = { .number = 2 };
	uint64_t position = 64;

	tail_init(&t);
	ok(!tail_at(&t, 64) && !tail_oldest(&t), "an empty tail has nothing");
	append(&t, &a, &position, 1000);
	uint64_t second = position;
	append(&t, &a, &position, TAIL_CHUNK - 500);
	ok(tail_at(&t, 64) && tail_at(&t, second) == tail_oldest(&t)->next->data, "what does not fit begins a chunk of its own");
	uint64_t third = position;
	append(&t, &b, &position, 100);
	ok(tail_at(&t, third) && t.count == 3, "a new segment begins a chunk of its own");
	ok(!tail_at(&t, position), "what is not appended yet is not there");
	for (int i = 0; i < 20; i++)
		append(&t, &b, &position, TAIL_CHUNK / 2);
	tail_trim(&t, second);
	ok(tail_at(&t, 64), "what is not durable stays");
	tail_trim(&t, position);
	ok(!tail_at(&t, 64) && !tail_at(&t, third), "what is durable and old goes");
	ok(tail_at(&t, position - TAIL_KEEP + TAIL_CHUNK), "what is young stays to be read");
	ok(t.bytes <= TAIL_KEEP + 4 * TAIL_CHUNK, "memory is bounded");
	uint64_t big = position;
	append(&t, &b, &position, 5 * TAIL_CHUNK);
	ok(tail_at(&t, big) + 5 * TAIL_CHUNK - 1 == tail_at(&t, position - 1), "a large record is in one piece");
	tail_free(&t);
}

static void test_cache(void)
{
	struct cache c;
	struct slice v;
	bool aging, right = true, bounded = true;
	unsigned hits = 0;

	is_int(cache_init(&c, 1 << 20), 0, "a cache of 1 MiB");
	for (uint64_t i = 1; i <= 200000; i++) {
		char text[200];
		memset(text, (int)(i % 251), sizeof(text));
		cache_put(&c, i * 4096, slice(text, i % 200));
		uint64_t old = i > 100 ? i - hash_u64(i) % 100 : i;
		if (cache_get(&c, old * 4096, &v, &aging)) {
			hits++;
			right &= v.len == old % 200 && (v.len == 0 || (unsigned char)v.ptr[v.len - 1] == old % 251);
		}
		bounded &= cache_bytes(&c) <= 1 << 20;
	}
	ok(right, "every hit gives the value that was put, through many turns of the ring");
	ok(hits > 190000, "young values are found (%u of 200000)", hits);
	ok(bounded, "memory is bounded");
	ok(!cache_get(&c, 4096, &v, &aging), "old values are gone");
	/* The index has a part of the hash only: among so many places some agree in that. */
	unsigned strangers = 0;
	for (uint64_t i = 1; i <= 40000000; i++)
		strangers += cache_get(&c, hash_u64(i) | 1, &v, &aging);
	ok(strangers == 0, "no value is given for another place");
	/* The ring overwrites an entry with bytes that look like one. */
	uint64_t forged[CACHE_MAX_VALUE / sizeof(uint64_t)];
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
		forged[i] = 64;
	cache_put(&c, 64, SLICE("mine"));
	for (uint64_t i = 1; i <= 160; i++)
		cache_put(&c, i << 20, slice(forged, sizeof(forged)));
	ok(!cache_get(&c, 64, &v, &aging), "what stands in the place of an overwritten entry is not taken for it");
	cache_put(&c, 7, SLICE("one"));
	cache_put(&c, 7, SLICE("two"));
	ok(cache_get(&c, 7, &v, &aging) && slice_eq(v, SLICE("two")) && !aging, "a second put replaces the first");
	char big[CACHE_MAX_VALUE + 1] = { 0 };
	cache_put(&c, 8, slice(big, sizeof(big)));
	ok(!cache_get(&c, 8, &v, &aging), "large values are not kept");
	cache_free(&c);
	is_int(cache_init(&c, 0), 0, "a cache of nothing is possible");
	cache_put(&c, 7, SLICE("one"));
	ok(!cache_get(&c, 7, &v, &aging), "and keeps nothing");
	cache_free(&c);
}

static void test_recent(void)
{
	struct recent r = { 0 };
	bool held = true, freed = true;

	for (uint64_t i = 1; i <= 10000; i++) {
		uint64_t durable = i > 300 ? i - 300 : 0;
		if (recent_reserve(&r, 1, durable))
			bail("no memory");
		recent_add(&r, hash_u64(i), i);
		held &= recent_find(&r, hash_u64(i), durable) == i && recent_find(&r, hash_u64(durable + 1), durable) == durable + 1;
		freed &= recent_find(&r, hash_u64(durable), durable) == 0;
	}
	ok(held, "a deletion not yet durable is found");
	ok(freed, "a durable one is not");
	ok(r.now.cap + r.before.cap < 8192, "memory does not grow with history");
	recent_free(&r);
}

int main(void)
{
	test_catalog();
	test_names();
	test_tail();
	test_cache();
	test_recent();
	return done();
}
