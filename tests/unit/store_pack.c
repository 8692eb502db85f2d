/* SPDX-License-Identifier: MIT
 *
 * Compressed values: the same to every reader, smaller on disk, never worse than raw; what is stored may lie about its length.
 */
#include <zlib.h>
#include "base/bytes.h"
#include "store/pack.h"
#include "store/segment.h"
#include "store/record.h"
#include "store_fixture.h"

static char text[300000], noise[20000];

static void make_inputs(void)
{
	uint64_t random = 5;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "the same words again and again, "[i % 32];
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)sim_random(&random);
}

static bool reads_back(struct fx *f, const char *key, struct slice value)
{
	struct txn *t = txn_begin(f->store, NULL);
	struct txn_value v;
	bool good = txn_get(t, 0, slice_str(key), &v) == 0 && slice_eq(v.data, value);

	txn_abort(t);
	return good;
}

static uint64_t compressed(struct fx *f)
{
	struct store_stats s;

	store_stats(f->store, &s);
	return s.compressed_records;
}

static void put(struct fx *f, const char *key, struct slice value)
{
	if (fx_put_in(f, 0, slice_str(key), value, STORE_NO_EXPIRY) || fx_wait(f))
		bail("%s is not taken: %s", key, store_problem(f->store));
}

static const struct {
	const char *key;
	const char *from;
	size_t len;
	bool small; /* is compressed */
} cases[] = {
	{ "short", text, 1023, false }, { "shortest", text, 1024, true }, { "middling", text, 20000, true }, { "longest", text, PACK_MAX, true },
	{ "long", text, PACK_MAX + 1, false }, { "larger", text, sizeof(text), false }, { "noise", noise, sizeof(noise), false },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void all_read_back(struct fx *f, const char *when)
{
	for (size_t i = 0; i < CASES; i++)
		ok(reads_back(f, cases[i].key, slice(cases[i].from, cases[i].len)), "%s: %s reads back", when, cases[i].key);
}

static void test_values(void)
{
	struct fx f;
	struct store_stats s;
	struct buf before = { 0 };

	fx_init(&f, simdisk_new(1));
	f.options.compression = STORE_ZLIB;
	fx_must_open(&f);
	for (size_t i = 0; i < CASES; i++) {
		uint64_t n = compressed(&f);
		put(&f, cases[i].key, slice(cases[i].from, cases[i].len));
		ok(compressed(&f) - n == cases[i].small, "%s is %s", cases[i].key, cases[i].small ? "compressed" : "kept as it is");
	}
	all_read_back(&f, "from the tail");
	store_stats(f.store, &s);
	ok(s.compressed_from == 1024 + 20000 + PACK_MAX && s.compressed_to * 10 < s.compressed_from, "the numbers say how much it gave");
	ok(s.bytes_appended < (sizeof(text) + PACK_MAX + 1 + sizeof(noise)) * 33 / 32 + 10000, "and so does the log");
	fx_dump(&f, &before);
	fx_kill(&f);
	f.options.compression = STORE_RAW;
	f.options.cache_size = 1 << 20;
	fx_must_open(&f);
	ok(fx_holds(&f, &before), "after a kill all is the same, though no more is compressed");
	all_read_back(&f, "from the file");
	all_read_back(&f, "from the cache");
	put(&f, "middling", slice(text, 20001));
	is_int((int64_t)compressed(&f), 0, "nothing is compressed when that is off");
	store_set_compression(f.store, STORE_ZLIB, 9, 64);
	put(&f, "tiny", slice(text, 64));
	is_int((int64_t)compressed(&f), 1, "it can be turned on while the store is open, and the shortest length set");
	ok(reads_back(&f, "tiny", slice(text, 64)) && reads_back(&f, "middling", slice(text, 20001)), "both kinds read back");
	buf_free(&before);
	fx_done(&f);
}

/* Touch writes the value anew, and one transaction may hold both kinds. */
static void test_transaction(void)
{
	struct fx f;
	uint64_t position;
	struct txn_value v;

	fx_init(&f, simdisk_new(1));
	f.options.compression = STORE_ZLIB;
	f.options.compression_level = 6;
	fx_must_open(&f);
	struct txn *t = txn_begin(f.store, NULL);
	txn_put(t, 0, SLICE("a"), slice(text, 5000), STORE_NO_EXPIRY);
	txn_put(t, 0, SLICE("b"), slice(noise, 5000), STORE_NO_EXPIRY);
	txn_put(t, 0, SLICE("c"), slice(text, 6000), STORE_NO_EXPIRY);
	ok(txn_get(t, 0, SLICE("a"), &v) == 0 && slice_eq(v.data, slice(text, 5000)), "a transaction sees its own value");
	txn_commit(t, &position);
	t = txn_begin(f.store, NULL);
	txn_touch(t, 0, SLICE("a"), store_now(f.store) + 100000);
	txn_commit(t, &position);
	ok(fx_wait(&f) == 0 && reads_back(&f, "a", slice(text, 5000)) && reads_back(&f, "b", slice(noise, 5000)) && reads_back(&f, "c", slice(text, 6000)),
		"a transaction of both kinds reads back");
	fx_kill(&f);
	fx_must_open(&f);
	ok(reads_back(&f, "a", slice(text, 5000)) && reads_back(&f, "b", slice(noise, 5000)) && reads_back(&f, "c", slice(text, 6000)), "also from the file");
	fx_done(&f);
}

/* Every codec of this build at every level, and a store that changes from one to the other. */
static void test_codecs(void)
{
	struct fx f;
	char key[32];

	fx_init(&f, simdisk_new(1));
	fx_must_open(&f);
	for (unsigned codec = STORE_ZLIB; codec < STORE_CODECS; codec++) {
		if (!store_has_codec(codec)) {
			skip(pack_name(codec), "it is not in this build");
			continue;
		}
		uint64_t n = compressed(&f);
		for (int level = 1; level <= 9; level++) {
			store_set_compression(f.store, codec, level, 64);
			snprintf(key, sizeof(key), "%s %d", pack_name(codec), level);
			put(&f, key, slice(text, PACK_MAX - (size_t)level));
			put(&f, strcat(key, " noise"), slice(noise, 1000));
		}
		ok(compressed(&f) - n == 9, "%s takes what shrinks, at each level", pack_name(codec));
	}
	for (int life = 0; life < 2; life++) {
		unsigned wrong = 0;
		for (unsigned codec = STORE_ZLIB; codec < STORE_CODECS; codec++)
			for (int level = 1; level <= 9 && store_has_codec(codec); level++) {
				snprintf(key, sizeof(key), "%s %d", pack_name(codec), level);
				wrong += !reads_back(&f, key, slice(text, PACK_MAX - (size_t)level));
				wrong += !reads_back(&f, strcat(key, " noise"), slice(noise, 1000));
			}
		ok(wrong == 0, "all of them read back, %s", life ? "also from the file" : "from the tail");
		fx_kill(&f);
		fx_must_open(&f);
	}
	fx_done(&f);
}

/* The one record of a store with one key, decoded in place. */
static char *only_record(struct simdisk *d, struct record *ret, uint32_t *ret_bind)
{
	size_t size;
	char *p = (char *)simdisk_file(d, SEG1, &size);
	uint64_t got;

	*ret_bind = record_bind(record_segment_seed(get_le64(p + 16), 1), SEGMENT_HEADER);
	if (record_decode(p + SEGMENT_HEADER, size - SEGMENT_HEADER, *ret_bind, ret, &got))
		bail("no record");
	return p + SEGMENT_HEADER;
}

static void make_one(struct fx *f, enum store_codec codec)
{
	fx_init(f, simdisk_new(1));
	f->options.compression = codec;
	fx_must_open(f);
	put(f, "k", slice(text, 4000));
	fx_close(f);
	simdisk_kill(f->disk);
}

static void test_layout(void)
{
	struct fx f;
	struct record r;
	uint32_t bind;
	unsigned char out[4001];
	uLongf len = sizeof(out);

	make_one(&f, STORE_ZLIB);
	only_record(f.disk, &r, &bind);
	ok(r.codec == 1 && get_le32(r.value.ptr) == 4000, "codec 1 begins with the length");
	ok(uncompress(out, &len, (const Bytef *)r.value.ptr + 4, (uLong)r.value.len - 4) == Z_OK && len == 4000 && memcmp(out, text, 4000) == 0,
		"and goes on with a zlib stream");
	fx_done(&f);
}

/* Whatever a record with a right checksum says: never another value, never memory for a length that cannot be. */
static void lies(const char *what, enum store_codec made, unsigned codec, uint32_t length, size_t cut)
{
	struct fx f;
	struct record r;
	uint32_t bind;
	char value[4000];

	make_one(&f, made);
	char *at = only_record(f.disk, &r, &bind);
	uint64_t size = record_size(1, r.value.len, false);
	memcpy(value, r.value.ptr, r.value.len);
	put_le32(value, length);
	memset(value + r.value.len - cut, 0x55, cut);
	r.value = slice(value, r.value.len);
	r.key = SLICE("k");
	r.codec = codec;
	if (record_size(1, r.value.len, false) != size)
		bail("another size");
	record_encode(at, &r, bind);
	fx_must_open(&f);
	ok(strcmp(fx_get(&f, "k"), "(3)") == 0, "%s, %s: CORRUPT", pack_name(made), what);
	fx_done(&f);
}

static void test_lies(void)
{
	size_t len;
	char huge[100] = { 0 };

	for (unsigned codec = STORE_ZLIB; codec < STORE_CODECS; codec++) {
		if (!store_has_codec(codec)) {
			skip(pack_name(codec), "it is not in this build");
			continue;
		}
		lies("a length too large", codec, codec, 4001, 0);
		lies("a length too small", codec, codec, 3999, 0);
		lies("no length", codec, codec, 0, 0);
		lies("an impossible length", codec, codec, UINT32_MAX, 0);
		lies("packed bytes that are none", codec, codec, 4000, 8);
		lies("a codec nobody knows", codec, 7, 4000, 0);
		lies("another codec", codec, codec % (STORE_CODECS - 1) + 1, 4000, 0);
	}
	put_le32(huge, 200 * 1032);
	is_int(unpack_length(1, slice(huge, sizeof(huge)), &len), -EUCLEAN, "a length that these bytes cannot hold is refused before any memory is asked for");
	is_int(unpack_length(1, slice(huge, 3), &len), -EUCLEAN, "and so is a value without one");
}

int main(void)
{
	make_inputs();
	test_values();
	test_transaction();
	test_codecs();
	test_layout();
	test_lies();
	return done();
}
