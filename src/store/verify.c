/* SPDX-License-Identifier: MIT */
#include "store/verify.h"

#include <errno.h>

#define SECTOR 4096 /* bytes given up when they cannot be read */
#define FREE_EFFORT ((uint64_t)64 << 20)

void verify_begin(struct verify_walk *v, struct io *io, int fd, const struct segment *g, uint64_t limit)
{
	*v = (struct verify_walk){ .w = { .io = io, .fd = fd, .limit = limit }, .g = g, .offset = SEGMENT_HEADER };
}

void verify_done(struct verify_walk *v)
{
	buf_free(&v->w.data);
}

static uint64_t base_of(const struct verify_walk *v)
{
	return v->g->first - SEGMENT_HEADER;
}

/* Where to go on behind a place that cannot be read. */
static uint64_t next_sector(uint64_t offset)
{
	return (offset / SECTOR + 1) * SECTOR;
}

/* Bytes of the record that a header speaks of, 0 when it is none or they cannot be there. */
static uint64_t claimed_size(const struct verify_walk *v, const char *head, uint64_t offset)
{
	struct record r;
	uint64_t size = RECORD_HEADER;

	if (record_decode(head, RECORD_HEADER, record_bind(v->g->seed, offset), &r, &size) == RECORD_BAD)
		return 0;
	return size <= v->w.limit - offset ? size : 0;
}

/* The position is the cheap test: few places that are no record hold their own position at the right spot. */
static bool may_stand(const struct verify_walk *v, struct slice bytes, uint64_t offset)
{
	return bytes.len >= RECORD_HEADER && get_le64(bytes.ptr + 16) == base_of(v) + offset && claimed_size(v, bytes.ptr, offset);
}

static bool is_too_much(uint64_t spent, uint64_t searched)
{
	return spent > FREE_EFFORT && spent / VERIFY_EFFORT > searched;
}

int verify_find(struct verify_walk *v, uint64_t from, uint64_t to, uint64_t *ret_offset, struct record *ret)
{
	uint64_t spent = 0, size;
	struct slice bytes;

	for (uint64_t offset = from; offset < to;) {
		int r = window_at(&v->w, offset, RECORD_HEADER, &bytes);
		bool candidate = r == 0 && may_stand(v, bytes, offset);
		uint64_t claimed = candidate ? claimed_size(v, bytes.ptr, offset) : 0;
		if (candidate)
			r = window_record(&v->w, v->g, offset, ret, &size);
		if (r < 0 && r != -EIO)
			return r;
		if (candidate && r == 0) {
			*ret_offset = offset;
			return 0;
		}
		spent += claimed;
		if (is_too_much(spent, to - from))
			return VERIFY_GIVEN_UP;
		offset = r == -EIO && !candidate ? next_sector(offset) : offset + RECORD_ALIGN;
	}
	return VERIFY_END;
}

int verify_find_claim(struct verify_walk *v, uint64_t bad)
{
	uint64_t at = bad + RECORD_ALIGN;
	struct record found;

	for (;;) {
		int r = verify_find(v, at, v->w.limit, &at, &found);
		if (r)
			return r;
		if (found.distance != RECORD_NO_CLAIM && found.position - found.distance > base_of(v) + bad)
			return 0;
		at += record_size(found.key.len, found.value.len, found.expire_wall_ms != RECORD_NEVER);
	}
}

/* The first place in [from, to) at which a head is valid that fits before `to`. */
static int find_head(struct verify_walk *v, uint64_t from, uint64_t to, struct verify_item *ret)
{
	struct slice bytes;
	uint64_t spent = 0;

	for (uint64_t offset = from; offset < to; offset += RECORD_ALIGN) {
		int r = window_at(&v->w, offset, RECORD_HEADER, &bytes);
		if (r == 0 && !may_stand(v, bytes, offset))
			continue;
		spent += r == 0 ? get_le32(bytes.ptr + 8) : 0;
		if (is_too_much(spent, to - from))
			return VERIFY_GIVEN_UP;
		if (r == 0)
			r = window_at(&v->w, offset, RECORD_HEADER + 8 + STORE_MAX_KEY, &bytes);
		if (r && r != -EIO)
			return r;
		if (r == 0 && record_decode_head(bytes.ptr, bytes.len, record_bind(v->g->seed, offset), &ret->record, &ret->size) == 0 &&
			ret->size <= to - offset) {
			ret->offset = offset;
			return 0;
		}
	}
	return VERIFY_END;
}

/* Something else than a whole record stands at v->offset: how far does it reach, and whose is it? */
static int take_damage(struct verify_walk *v, struct verify_item *ret)
{
	struct record next;
	int r = 0;

	/* A record that stands whole proves wrong whatever claims to reach over it. */
	if (v->good <= v->offset) {
		v->good = v->w.limit;
		r = verify_find(v, v->offset + RECORD_ALIGN, v->w.limit, &v->good, &next);
	}
	uint64_t end = v->good;
	if (r >= 0)
		r = find_head(v, v->offset, end, ret);
	if (r < 0)
		return r;
	ret->kind = VERIFY_BYTES;
	if (r == 0 && ret->offset == v->offset)
		ret->kind = VERIFY_VALUE;
	else
		*ret = (struct verify_item){ .kind = VERIFY_BYTES, .size = (r == 0 ? ret->offset : end) - v->offset };
	ret->offset = v->offset;
	return 0;
}

int verify_next(struct verify_walk *v, struct verify_item *ret)
{
	if (v->offset >= v->w.limit)
		return VERIFY_END;
	int r = window_record(&v->w, v->g, v->offset, &ret->record, &ret->size);
	ret->kind = VERIFY_RECORD;
	ret->offset = v->offset;
	if (r == RECORD_BAD || r == -EIO)
		r = take_damage(v, ret);
	if (r == 0)
		v->offset += ret->size;
	return r;
}

int verify_proven(struct verify_walk *v, uint64_t *ret_offset)
{
	uint64_t proven = 0, keep = v->offset;
	struct verify_item item;
	int r = 0;

	v->offset = SEGMENT_HEADER;
	while ((r = verify_next(v, &item)) == 0)
		if (item.kind == VERIFY_RECORD && item.record.distance != RECORD_NO_CLAIM &&
			item.record.position - item.record.distance > proven)
			proven = item.record.position - item.record.distance;
	v->offset = keep;
	if (r < 0)
		return r;
	proven = proven > v->g->first ? proven - base_of(v) : SEGMENT_HEADER;
	*ret_offset = proven < v->w.limit ? proven : v->w.limit;
	return 0;
}

int verify_used(struct verify_walk *v, uint64_t from, uint64_t *ret_end)
{
	struct slice bytes;

	*ret_end = from;
	for (uint64_t at = from; at < v->w.limit; at += bytes.len) {
		int r = window_at(&v->w, at, WINDOW, &bytes);
		if (r || bytes.len == 0)
			return r;
		size_t n = bytes.len;
		while (n && bytes.ptr[n - 1] == 0)
			n--;
		if (n)
			*ret_end = at + n;
	}
	return 0;
}
