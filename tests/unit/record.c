/* SPDX-License-Identifier: MIT
 * The record format: sizes, golden bytes, every flipped bit, every cut.
 */
#include "base/bytes.h"
#include "base/crc.h"
#include "store/locator.h"
#include "store/record.h"
#include "tap.h"

static void test_sizes(void)
{
	bool exact = true, enough = true, small = true;
	for (uint64_t value = 0; value < (UINT64_C(512) << 20); value += value < 20000 ? 1 : value / 37) {
		uint64_t size = record_size(16, value, value & 1), used = RECORD_HEADER + 16 + value + (value & 1 ? 8 : 0);
		exact &= record_class_size(record_class(size)) == size;
		enough &= size >= used && size % RECORD_ALIGN == 0;
		small &= size - used <= used / 31 + RECORD_ALIGN;
	}
	ok(exact, "a size class names the size of every record exactly");
	ok(enough, "a record has room for what it holds, in units of 8 bytes");
	ok(small, "rounding costs at most a 32nd");
	uint64_t largest = record_size(65536, 512u << 20, true);
	ok(record_class(largest) < 2048, "the largest record fits the 11 bits of a locator");
	uint64_t where = locator_make(LOCATOR_SLOTS - 1, LOCATOR_MAX_OFFSET - 8, largest);
	ok(locator_slot(where) == LOCATOR_SLOTS - 1 && locator_offset(where) == LOCATOR_MAX_OFFSET - 8 && locator_size(where) == largest,
		"a locator keeps its three parts at their limits");
}

static const struct record sample = {
	.type = RECORD_PUT, .flags = RECORD_COMMIT, .ns = 3, .position = 0x1122334455, .distance = 77,
	.expire_wall_ms = 1700000000123, .key = { "key\0\r\n", 6 }, .value = { "value\xff", 6 },
};

static void test_golden(void)
{
	/* Written by hand from the layout in record.h; a change of format must change this file and the version. */
	static const unsigned char golden[] = {
		0, 0, 0, 0, 1, 3, 0, 0, 6, 0, 0, 0, 6, 0, 0, 0, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0, 0, 77, 0, 0, 0, 3, 0, 0, 0,
		0x7b, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0, 0, 'k', 'e', 'y', 0, '\r', '\n', 'v', 'a', 'l', 'u', 'e', 0xff, 0, 0, 0, 0,
	};
	char out[64];
	uint32_t bind = record_bind(record_segment_seed(1, 2), 64);
	uint64_t size = record_size(6, 6, true);
	record_encode(out, &sample, bind);
	is_int((int64_t)size, sizeof(golden), "the sample takes 56 bytes");
	uint32_t head = crc_update(bind, golden + 4, 46 - 4), sum = crc_update(bind, golden + 4, 52 - 4);
	is_int(get_le16(out + 30), (head ^ head >> 16) & 0xffff, "the head check is the checksum up to the end of the key, folded");
	put_le16(out + 30, 0);
	is_mem(out + 4, size - 4, golden + 4, sizeof(golden) - 4, "the sample is encoded byte by byte as documented");
	ok(memcmp(out, &sum, 4) == 0, "the checksum runs from byte 4 to the end of the value, from the binding on");
	struct record r;
	uint64_t got;
	is_int(record_decode(out, size, bind, &r, &got), 0, "it reads back, also without a head check");
	ok(got == size && r.type == RECORD_PUT && r.ns == 3 && r.position == sample.position && r.distance == 77 &&
			r.expire_wall_ms == sample.expire_wall_ms && slice_eq(r.key, sample.key) && slice_eq(r.value, sample.value),
		"every field reads back");
}

static void test_damage(void)
{
	char out[64];
	struct record r;
	uint64_t size = record_size(6, 6, true), got;
	uint32_t seed = record_segment_seed(1, 2), bind = record_bind(seed, 64);
	unsigned accepted = 0;

	record_encode(out, &sample, bind);
	for (size_t bit = 0; bit < 52 * 8; bit++) {
		out[bit / 8] ^= (char)(1 << bit % 8);
		accepted += record_decode(out, size, bind, &r, &got) == 0;
		out[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(accepted, 0, "no flipped bit of header, key or value is accepted");
	unsigned known = 0, denied = 0;
	for (size_t bit = 0; bit < 52 * 8; bit++) {
		out[bit / 8] ^= (char)(1 << bit % 8);
		int head = record_decode_head(out, size, bind, &r, &got);
		bool in_head = bit / 8 >= 4 && bit / 8 < 46;
		denied += in_head && head == RECORD_BAD;
		known += !in_head && head == 0 && slice_eq(r.key, sample.key) && got == size;
		out[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(denied, (46 - 4) * 8, "no flipped bit of header or key passes the head check");
	is_int(known, (4 + 6) * 8, "a flipped bit of checksum or value leaves the key known");
	accepted = 0;
	for (size_t len = 0; len < size; len++)
		accepted += record_decode(out, len, bind, &r, &got) != RECORD_SHORT;
	is_int(accepted, 0, "a record cut at any length asks for more");
	is_int(record_decode(out, size, record_bind(seed, 72), &r, &got), RECORD_BAD, "a record is not valid at another offset");
	is_int(record_decode(out, size, record_bind(record_segment_seed(1, 3), 64), &r, &got), RECORD_BAD, "nor in another segment");
	is_int(record_decode(out, size, record_bind(record_segment_seed(2, 2), 64), &r, &got), RECORD_BAD, "nor in another store");
	memset(out, 0, sizeof(out));
	is_int(record_decode(out, size, bind, &r, &got), RECORD_BAD, "zeros are no record");
	memset(out, 0xff, sizeof(out));
	is_int(record_decode(out, size, bind, &r, &got), RECORD_BAD, "ones are no record");
}

static void test_start(void)
{
	char out[64];
	struct record r = { 0 };
	size_t at = 0, len = 0;
	uint32_t bind = record_bind(record_segment_seed(1, 2), 64), sum = 0, whole = 0;
	unsigned shorter = 0;

	record_encode(out, &sample, bind);
	is_int(record_decode_start(out, 46, bind, &r, &at, &len, &sum, &whole), 0, "header and key alone are enough to read the value by pieces");
	ok(at == 46 && len == 6 && slice_eq(r.key, sample.key) && r.type == RECORD_PUT, "and say where it is");
	ok(crc_join(sum, crc_update(0, sample.value.ptr, 6), 6) == whole, "its checksum completes that of the record");
	for (size_t n = 0; n < 46; n++)
		shorter += record_decode_start(out, n, bind, &r, &at, &len, &sum, &whole) == RECORD_SHORT;
	is_int(shorter, 46, "less is not enough");
	unsigned refused = 0;
	for (size_t bit = 0; bit < 46 * 8; bit++) {
		out[bit / 8] ^= (char)(1 << bit % 8);
		int r2 = record_decode_start(out, 46, bind, &r, &at, &len, &sum, &whole);
		refused += r2 != 0 || crc_join(sum, crc_update(0, sample.value.ptr, 6), 6) != whole;
		out[bit / 8] ^= (char)(1 << bit % 8);
	}
	is_int(refused, 44 * 8, "no flipped bit of header or key is accepted, but of the head check, which adds nothing");
}

int main(void)
{
	test_start();
	test_sizes();
	test_golden();
	test_damage();
	return done();
}
