/* SPDX-License-Identifier: MIT
 *
 * DUMP and RESTORE: a value in the framing of Redis, the way in and out.
 *
 *   type    1 byte, 0: a string; others are refused
 *   string  a length and its bytes, or 11 and a kind:
 *             00 xxxxxx            length in 6 bits
 *             01 xxxxxx  1 byte    in 14 bits, high ones first
 *             10 000000  4 bytes   in 32 bits, big-endian
 *             10 000001  8 bytes   in 64 bits, big-endian
 *             11 000000, 1, 2      an integer in 1, 2 or 4 bytes, little-endian
 *             11 000011            compressed (lzf.h): length packed, length unpacked, bytes
 *   version 2 bytes, little-endian
 *   sum     8 bytes, little-endian: CRC-64 of all before
 */
#include "cmd/large.h"
#include "cmd/lzf.h"

#include <errno.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/num.h"

enum {
	TYPE_STRING = 0,
	HEAD = 16, /* bytes, at least those before a value */
	TRAILER = 10,
	VERSION_WRITTEN = 9, /* strings have not changed since; so older servers take it, too */
	VERSION_KNOWN = 12
};

static const struct crc64 *get_crc(struct cmd_env *e)
{
	if (!e->crc64 && (e->crc64 = malloc(sizeof(*e->crc64))))
		crc64_init(e->crc64);
	return e->crc64;
}

/* ---- DUMP ---- */

static size_t write_length(char *out, uint64_t len)
{
	if (len < 64) {
		out[0] = (char)len;
		return 1;
	}
	if (len < 16384) {
		out[0] = (char)(0x40 | len >> 8);
		out[1] = (char)len;
		return 2;
	}
	out[0] = (char)0x80;
	for (int i = 0; i < 4; i++)
		out[1 + i] = (char)(len >> (24 - 8 * i));
	return 5;
}

/* Text that is an integer of up to 32 bits is kept as one. Returns the bytes written, 0: it is not. */
static size_t write_integer(char *out, struct slice s)
{
	int64_t v;
	int kind;

	if (num_parse_i64(s, &v) || v < INT32_MIN || v > INT32_MAX)
		return 0;
	kind = v >= INT8_MIN && v <= INT8_MAX ? 0 : v >= INT16_MIN && v <= INT16_MAX ? 1 : 2;
	out[0] = (char)(0xc0 | kind);
	for (int i = 0; i < 1 << kind; i++)
		out[1 + i] = (char)((uint64_t)v >> 8 * i);
	return 1 + ((size_t)1 << kind);
}

/* What stands before the bytes of a value. Returns its length; *ret_text: they follow. */
static size_t write_head(char *out, struct slice value, bool *ret_text)
{
	size_t n = write_integer(out + 1, value);

	out[0] = TYPE_STRING;
	*ret_text = n == 0;
	return 1 + (n ? n : write_length(out + 1, value.len));
}

/* Makes a payload of a value: its length. */
static size_t pack(const struct crc64 *crc, struct slice value, char *out)
{
	bool text;
	size_t n = write_head(out, value, &text);

	if (text && value.len) {
		memcpy(out + n, value.ptr, value.len);
		n += value.len;
	}
	put_le16(out + n, VERSION_WRITTEN);
	put_le64(out + n + 2, crc64_update(crc, 0, out, n + 2));
	return n + TRAILER;
}

/* in[0]: the value; in[1]: the struct crc64 */
static int run_pack(struct store_work *w)
{
	struct crc64 crc;
	struct block *b = block_new(w->home, w->room, w->room);

	if (!b)
		return -ENOMEM;
	memcpy(&crc, w->in[1].data.ptr, sizeof(crc));
	b->value.len = pack(&crc, w->in[0].data, b->memory);
	w->made = b;
	return 0;
}

static int reply_large(struct call *call, const struct crc64 *crc, const struct txn_value *v)
{
	const struct store_work_input in[] = { { v->data, v->block, 0 }, { slice((const char *)crc, sizeof(*crc)), NULL, 0 } };
	struct store_work w = { .run = run_pack, .in = in, .inputs = 2, .room = v->data.len + HEAD + TRAILER };
	const struct store_work *done;
	int r = txn_work(call->txn, &w, &done);

	if (r == 0)
		resp_bulk_block(&call->out, done->made->value, done->made);
	return r;
}

int dump_dump(struct call *call)
{
	const struct crc64 *crc = get_crc(call->env);
	struct txn_value v;
	char *payload;
	int r = call_get(call, call->argv[1], &v);

	if (r == STORE_ABSENT) {
		resp_null(&call->out);
		return 0;
	}
	if (r || !crc)
		return r ? r : -ENOMEM;
	if (v.data.len >= BLOCK_LEAST)
		return reply_large(call, crc, &v);
	payload = txn_alloc(call->txn, v.data.len + HEAD + TRAILER);
	if (!payload)
		return -ENOMEM;
	resp_bulk(&call->out, slice(payload, pack(crc, v.data, payload)));
	return 0;
}

/* ---- RESTORE ---- */

static bool is_sound(const struct crc64 *crc, struct slice payload)
{
	if (payload.len < TRAILER)
		return false;
	const char *trailer = payload.ptr + payload.len - TRAILER;
	return get_le16(trailer) <= VERSION_KNOWN && get_le64(trailer + 2) == crc64_update(crc, 0, payload.ptr, payload.len - 8);
}

/* Takes a length off the front. False: there is none. */
static bool read_length(struct slice *s, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)s->ptr;
	unsigned char kind = s->len ? p[0] : 0xff;
	size_t n = kind < 0x40 ? 1 : kind < 0x80 ? 2 : kind == 0x80 ? 5 : kind == 0x81 ? 9 : SIZE_MAX;

	if (s->len < n)
		return false;
	*ret = kind < 0x80 ? kind & 0x3f : 0;
	for (size_t i = 1; i < n; i++)
		*ret = *ret << 8 | p[i];
	*s = slice_skip(*s, n);
	return true;
}

/* What a payload holds, not yet unpacked. */
struct packed {
	enum { TEXT, INTEGER, PACKED } how;
	size_t len; /* of the value; at least so many, for an integer */
	struct slice bytes;
	unsigned kind; /* of an integer */
};

/* False: there is no such string. Looks at its head only. */
static bool read_string(struct slice payload, struct packed *ret)
{
	struct slice s = slice(payload.ptr + 1, payload.len - TRAILER - 1);
	unsigned char first = s.len ? (unsigned char)s.ptr[0] : 0xff;
	uint64_t packed, len;

	*ret = (struct packed){ .how = first == 0xc3 ? PACKED : first >= 0xc0 && first <= 0xc2 ? INTEGER : TEXT, .kind = first & 3 };
	if (ret->how != TEXT)
		s = slice_skip(s, 1);
	ret->bytes = s;
	ret->len = NUM_I64_CHARS;
	if (ret->how == INTEGER)
		return s.len == (size_t)1 << ret->kind;
	if (!read_length(&s, &packed) || (ret->how == PACKED && !read_length(&s, &len)) || packed != s.len)
		return false;
	ret->bytes = s;
	ret->len = ret->how == PACKED ? (size_t)len : s.len;
	return ret->how == TEXT || len <= (uint64_t)packed * LZF_MOST;
}

static size_t write_number(const struct packed *p, char *out)
{
	uint64_t v = 0;
	unsigned n = 1U << p->kind;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)p->bytes.ptr[i] << 8 * i;
	v <<= 64 - 8 * n; /* the sign to its place, and back */
	return num_format_i64(out, (int64_t)v >> (64 - 8 * n));
}

/* To at least p->len bytes. The length of the value, or SIZE_MAX: there is none. */
static size_t unpack(const struct packed *p, char *out)
{
	if (p->how == INTEGER)
		return write_number(p, out);
	if (p->how == PACKED)
		return lzf_unpack(p->bytes, out, p->len) ? p->len : SIZE_MAX;
	if (p->len)
		memcpy(out, p->bytes.ptr, p->len);
	return p->len;
}

enum { RESTORE_GOOD, RESTORE_UNSOUND, RESTORE_NO_STRING };

/* in[0]: the payload; in[1]: the struct crc64; number[0]: there is something in it to unpack, of room bytes */
static int run_unpack(struct store_work *w)
{
	struct slice payload = w->in[0].data;
	struct packed p;
	struct crc64 crc;

	memcpy(&crc, w->in[1].data.ptr, sizeof(crc));
	w->result = is_sound(&crc, payload) ? RESTORE_NO_STRING : RESTORE_UNSOUND;
	if (w->result == RESTORE_UNSOUND || !w->number[0] || !read_string(payload, &p))
		return 0;
	struct block *b = block_new(w->home, w->room, w->room);
	if (!b)
		return -ENOMEM;
	size_t len = unpack(&p, b->memory);
	w->made = b;
	if (len == SIZE_MAX)
		return 0;
	block_take(b, len);
	w->result = RESTORE_GOOD;
	return 0;
}

struct restore {
	bool replace, absolute;
	int64_t ttl;
};

/* IDLETIME and FREQ are for other servers' evictions: checked, and that is all. */
static bool read_number(struct call *call, const char *name, struct slice s, int64_t max)
{
	int64_t v;

	if (!call_int(call, s, &v))
		return false;
	if (v < 0 || v > max)
		call_error(call, max == 255 ? "ERR Invalid %s value, must be >= 0 and <= 255" : "ERR Invalid %s value, must be >= 0", name);
	return v >= 0 && v <= max;
}

static bool read_options(struct call *call, struct restore *o)
{
	bool idle = false, freq = false;

	for (size_t i = 4; i < call->argc; i++) {
		struct slice word = call->argv[i];
		bool more = i + 1 < call->argc;
		if (slice_is(word, "replace")) {
			o->replace = true;
		} else if (slice_is(word, "absttl")) {
			o->absolute = true;
		} else if (slice_is(word, "idletime") && more && !freq) {
			idle = true;
			if (!read_number(call, "IDLETIME", call->argv[++i], INT64_MAX))
				return false;
		} else if (slice_is(word, "freq") && more && !idle) {
			freq = true;
			if (!read_number(call, "FREQ", call->argv[++i], 255))
				return false;
		} else {
			call_syntax(call);
			return false;
		}
	}
	return true;
}

static int64_t find_expiry(const struct store *s, const struct restore *o)
{
	int64_t then;

	if (o->ttl == 0)
		return STORE_NO_EXPIRY;
	if (o->absolute)
		then = store_from_wall(s, o->ttl);
	else if (__builtin_add_overflow(o->ttl, store_now(s), &then))
		then = STORE_NO_EXPIRY;
	return then < STORE_NO_EXPIRY ? then : STORE_NO_EXPIRY - 1;
}

static int put_restored(struct call *call, const struct txn_value *value, bool exists)
{
	int r;

	if (value->expire_ms <= store_now(call->env->store)) {
		r = exists ? call_delete(call, call->argv[1]) : 0;
	} else {
		r = txn_put_value(call->txn, call->client->db, call->argv[1], value);
		if (r == 0) {
			call_event(call, EVENT_NEW, "new", call->argv[1]);
			call_event(call, EVENT_GENERIC, "restore", call->argv[1]);
		}
	}
	if (r == 0)
		resp_ok(&call->out);
	return r;
}

/* 0 with a value of the payload, and how good that is: then there is one; STORE_PENDING, or an error. */
static int read_payload(struct call *call, const struct crc64 *crc, struct slice payload, struct txn_value *ret_value, uint64_t *ret_result)
{
	const struct store_work_input in[] = { { payload, call_block(call, payload), 0 }, { slice((const char *)crc, sizeof(*crc)), NULL, 0 } };
	struct store_work w = { .run = run_unpack, .in = in, .inputs = 2 };
	const struct store_work *done;
	struct packed p = { 0 };
	bool good = payload.len > TRAILER && payload.ptr[0] == TYPE_STRING && read_string(payload, &p);

	if (payload.len >= BLOCK_LEAST || (good && p.len >= BLOCK_LEAST)) {
		if (good && p.len > STORE_MAX_VALUE)
			return -EMSGSIZE;
		w.number[0] = good;
		w.room = p.len;
		int r = txn_work(call->txn, &w, &done);
		if (r)
			return r;
		*ret_result = done->result;
		ret_value->data = done->made ? done->made->value : slice("", 0);
		ret_value->block = ret_value->data.len < BLOCK_LEAST ? NULL : done->made;
		return 0;
	}
	*ret_result = is_sound(crc, payload) ? RESTORE_NO_STRING : RESTORE_UNSOUND;
	if (*ret_result == RESTORE_UNSOUND || !good)
		return 0;
	char *value = txn_alloc(call->txn, p.len ? p.len : 1);
	if (!value)
		return -ENOMEM;
	size_t len = unpack(&p, value);
	*ret_result = len == SIZE_MAX ? RESTORE_NO_STRING : RESTORE_GOOD;
	ret_value->data = slice(value, len == SIZE_MAX ? 0 : len);
	return 0;
}

int dump_restore(struct call *call)
{
	const struct crc64 *crc = get_crc(call->env);
	struct restore o = { 0 };
	struct slice payload = call->argv[3];
	struct txn_value value = { 0 };
	uint64_t result;
	bool exists;
	int r;

	if (!crc)
		return -ENOMEM;
	if (!read_options(call, &o))
		return 0;
	exists = txn_peek(call->txn, call->client->db, call->argv[1], NULL) == 0;
	if (exists && !o.replace)
		return call_error(call, "BUSYKEY Target key name already exists.");
	if (!call_int(call, call->argv[2], &o.ttl))
		return 0;
	if (o.ttl < 0)
		return call_error(call, "ERR Invalid TTL value, must be >= 0");
	r = read_payload(call, crc, payload, &value, &result);
	if (r)
		return r;
	if (result == RESTORE_UNSOUND)
		return call_error(call, "ERR DUMP payload version or checksum are wrong");
	if (payload.len == TRAILER || payload.ptr[0] != TYPE_STRING)
		return call_error(call, "ERR Bad data format: only strings can be restored");
	if (result == RESTORE_NO_STRING)
		return call_error(call, "ERR Bad data format");
	value.expire_ms = find_expiry(call->env->store, &o);
	return put_restored(call, &value, exists);
}
