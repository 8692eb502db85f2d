/* SPDX-License-Identifier: MIT */
#include "store/record.h"

#include "base/bytes.h"
#include "base/crc.h"
#include "store/store.h"

#define EXACT_CLASSES 1024 /* classes below are the size in units of RECORD_ALIGN */
#define STEPS 32           /* classes per octave above */

static unsigned top_bit(uint64_t v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

unsigned record_class(uint64_t size)
{
	uint64_t units = (size + RECORD_ALIGN - 1) / RECORD_ALIGN;

	if (units < EXACT_CLASSES)
		return (unsigned)units;
	unsigned octave = top_bit(units) - 10;
	uint64_t step = UINT64_C(1) << (octave + 5);
	/* Rounding up may reach the next octave; the sum below carries over by itself. */
	uint64_t steps = (units + step - 1) / step - STEPS;
	return EXACT_CLASSES + octave * STEPS + (unsigned)steps;
}

uint64_t record_class_size(unsigned class)
{
	if (class < EXACT_CLASSES)
		return (uint64_t)class * RECORD_ALIGN;
	unsigned octave = (class - EXACT_CLASSES) / STEPS, steps = (class - EXACT_CLASSES) % STEPS;
	return ((uint64_t)(STEPS + steps) << (octave + 5)) * RECORD_ALIGN;
}

uint64_t record_size(size_t key_len, size_t value_len, bool expires)
{
	uint64_t size = RECORD_HEADER + (expires ? 8 : 0) + (uint64_t)key_len + value_len;

	if (size <= (EXACT_CLASSES - 1) * RECORD_ALIGN)
		return (size + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
	return record_class_size(record_class(size));
}

uint32_t record_segment_seed(uint64_t store_id, uint64_t segment)
{
	char name[16];

	put_le64(name, store_id);
	put_le64(name + 8, segment);
	return crc_update(0, name, sizeof(name));
}

uint32_t record_bind(uint32_t segment_seed, uint64_t offset)
{
	return segment_seed ^ (uint32_t)(offset / RECORD_ALIGN) * UINT32_C(0x9e3779b1);
}

/* The head check of a sum; never 0, which means that there is none. */
static uint16_t fold_sum(uint32_t sum)
{
	uint16_t folded = (uint16_t)(sum ^ sum >> 16);

	return folded ? folded : 1;
}

/* The sum of header and key: what stands in the place of the head check counts as zero. */
static uint32_t sum_head(const char *data, size_t head, uint32_t bind)
{
	char fixed[RECORD_HEADER];

	memcpy(fixed, data, sizeof(fixed));
	put_le16(fixed + 30, 0);
	return crc_update(crc_update(bind, fixed + 4, sizeof(fixed) - 4), data + RECORD_HEADER, head - RECORD_HEADER);
}

/* Everything before the value but the checksum. Returns its end, and in *ret_sum the checksum as far as there. */
static char *put_head(char *out, const struct record *r, uint32_t bind, uint32_t *ret_sum)
{
	bool expires = r->expire_wall_ms != RECORD_NEVER;
	char *p = out + RECORD_HEADER;

	out[4] = (char)r->type;
	out[5] = (char)(r->flags | (expires ? RECORD_EXPIRES : 0));
	out[6] = (char)r->codec;
	out[7] = 0;
	put_le32(out + 8, (uint32_t)r->key.len);
	put_le32(out + 12, (uint32_t)r->value.len);
	put_le64(out + 16, r->position);
	put_le32(out + 24, r->distance);
	put_le16(out + 28, (uint16_t)r->ns);
	put_le16(out + 30, 0); /* until it is known */
	if (expires) {
		put_le64(p, (uint64_t)r->expire_wall_ms);
		p += 8;
	}
	if (r->key.len)
		memcpy(p, r->key.ptr, r->key.len);
	p += r->key.len;
	*ret_sum = crc_update(bind, out + 4, (size_t)(p - out) - 4);
	put_le16(out + 30, fold_sum(*ret_sum));
	return p;
}

size_t record_encode_head(char *out, const struct record *r, uint32_t bind)
{
	uint32_t sum;
	char *p = put_head(out, r, bind, &sum);

	put_le32(out, crc_join(sum, r->value_sum, r->value.len));
	return (size_t)(p - out);
}

void record_encode(char *out, const struct record *r, uint32_t bind)
{
	uint32_t sum;
	char *p = put_head(out, r, bind, &sum);

	if (r->value.len)
		memcpy(p, r->value.ptr, r->value.len);
	put_le32(out, crc_update(sum, p, r->value.len));
	p += r->value.len;
	memset(p, 0, record_size(r->key.len, r->value.len, r->expire_wall_ms != RECORD_NEVER) - (size_t)(p - out));
}

static bool is_plausible(const char *data, uint32_t key_len, uint32_t value_len)
{
	unsigned type = (unsigned char)data[4], flags = (unsigned char)data[5];

	return type >= RECORD_PUT && type <= RECORD_GAP && !(flags & ~(unsigned)(RECORD_COMMIT | RECORD_EXPIRES)) &&
		data[7] == 0 && key_len <= STORE_MAX_KEY && value_len <= STORE_MAX_VALUE;
}

/* Reads the fields of a plausible header; `head` is the end of the key and `value` what is there of the value. */
static void take_fields(const char *data, size_t head, size_t value, struct record *ret)
{
	bool expires = data[5] & RECORD_EXPIRES;
	uint32_t key_len = get_le32(data + 8);

	*ret = (struct record){
		.type = (enum record_type)data[4],
		.flags = (unsigned char)data[5],
		.codec = (unsigned char)data[6],
		.ns = get_le16(data + 28),
		.position = get_le64(data + 16),
		.distance = get_le32(data + 24),
		.expire_wall_ms = expires ? (int64_t)get_le64(data + RECORD_HEADER) : RECORD_NEVER,
		.key = slice(data + head - key_len, key_len),
		.value = slice(data + head, value),
	};
}

int record_decode(const char *data, size_t len, uint32_t bind, struct record *ret, uint64_t *ret_size)
{
	if (len < RECORD_HEADER) {
		*ret_size = RECORD_HEADER;
		return RECORD_SHORT;
	}
	uint32_t key_len = get_le32(data + 8), value_len = get_le32(data + 12);
	if (!is_plausible(data, key_len, value_len))
		return RECORD_BAD;
	bool expires = data[5] & RECORD_EXPIRES;
	uint64_t size = record_size(key_len, value_len, expires);
	if (len < size) {
		*ret_size = size;
		return RECORD_SHORT;
	}
	size_t head = RECORD_HEADER + (expires ? 8 : 0) + key_len;
	uint32_t sum = sum_head(data, head, bind);
	uint16_t check = get_le16(data + 30);
	if (check && check != fold_sum(sum))
		return RECORD_BAD;
	uint32_t value_sum = value_len >= RECORD_LARGE ? crc_update(0, data + head, value_len) : 0;
	sum = value_len >= RECORD_LARGE ? crc_join(sum, value_sum, value_len) : crc_update(sum, data + head, value_len);
	if (sum != get_le32(data))
		return RECORD_BAD;
	take_fields(data, head, value_len, ret);
	ret->value_sum = value_sum;
	*ret_size = size;
	return 0;
}

int record_decode_head(const char *data, size_t len, uint32_t bind, struct record *ret, uint64_t *ret_size)
{
	if (len < RECORD_HEADER)
		return RECORD_BAD;
	uint32_t key_len = get_le32(data + 8), value_len = get_le32(data + 12);
	size_t head = RECORD_HEADER + (data[5] & RECORD_EXPIRES ? 8 : 0) + (size_t)key_len;
	if (!is_plausible(data, key_len, value_len) || head > len || get_le16(data + 30) != fold_sum(sum_head(data, head, bind)))
		return RECORD_BAD;
	take_fields(data, head, value_len < len - head ? value_len : len - head, ret);
	*ret_size = record_size(key_len, value_len, data[5] & RECORD_EXPIRES);
	return 0;
}

int record_decode_start(const char *data, size_t len, uint32_t bind, struct record *ret, size_t *ret_value_at, size_t *ret_value_len,
	uint32_t *ret_sum, uint32_t *ret_whole)
{
	if (len < RECORD_HEADER)
		return RECORD_SHORT;
	uint32_t key_len = get_le32(data + 8), value_len = get_le32(data + 12);
	if (!is_plausible(data, key_len, value_len))
		return RECORD_BAD;
	size_t head = RECORD_HEADER + (data[5] & RECORD_EXPIRES ? 8 : 0) + (size_t)key_len;
	if (len < head)
		return RECORD_SHORT;
	take_fields(data, head, 0, ret);
	*ret_value_at = head;
	*ret_value_len = value_len;
	*ret_sum = sum_head(data, head, bind);
	*ret_whole = get_le32(data);
	return 0;
}
