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
#include "cmd/lzf.h"
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/num.h"

enum {
	TYPE_STRING = 0,
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

int dump_dump(struct call *call)
{
	const struct crc64 *crc = get_crc(call->env);
	struct txn_value v;
	char head[16] = { TYPE_STRING }, trailer[TRAILER];
	size_t n;
	uint64_t sum;
	struct buf payload = { 0 };
	int r = call_get(call, call->argv[1], &v);

	if (r == STORE_ABSENT) {
		resp_null(&call->out);
		return 0;
	}
	if (r)
		return r;
	if (!crc)
		return -ENOMEM;
	n = write_integer(head + 1, v.data);
	if (n)
		v.data.len = 0;
	else
		n = write_length(head + 1, v.data.len);
	buf_append(&payload, head, 1 + n);
	buf_append_slice(&payload, v.data);
	put_le16(trailer, VERSION_WRITTEN);
	buf_append(&payload, trailer, 2);
	sum = payload.failed ? 0 : crc64_update(crc, 0, payload.ptr, payload.len);
	put_le64(trailer + 2, sum);
	buf_append(&payload, trailer + 2, 8);
	r = payload.failed ? -ENOMEM : 0;
	if (r == 0)
		resp_bulk(&call->out, buf_slice(&payload));
	buf_free(&payload);
	return r;
}

/* ---- RESTORE ---- */

static bool is_sound(const struct crc64 *crc, struct slice payload)
{
	const char *trailer = payload.ptr + payload.len - TRAILER;

	return payload.len >= TRAILER && get_le16(trailer) <= VERSION_KNOWN &&
	       get_le64(trailer + 2) == crc64_update(crc, 0, payload.ptr, payload.len - 8);
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

static bool read_integer(struct call *call, struct slice s, unsigned kind, struct slice *ret)
{
	size_t n = (size_t)1 << kind;
	uint64_t v = 0;
	char *text = txn_alloc(call->txn, NUM_I64_CHARS);

	if (s.len != n || !text)
		return false;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)s.ptr[i] << 8 * i;
	*ret = slice(text, num_format_i64(text, (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n)));
	return true;
}

/* 0, STORE_ABSENT (no such string) or an error. */
static int read_packed(struct call *call, struct slice s, struct slice *ret)
{
	uint64_t packed, len;
	char *out;

	if (!read_length(&s, &packed) || !read_length(&s, &len) || packed != s.len || len > (uint64_t)packed * LZF_MOST)
		return STORE_ABSENT;
	if (len > STORE_MAX_VALUE)
		return -EMSGSIZE;
	out = txn_alloc(call->txn, len ? len : 1);
	if (!out)
		return -ENOMEM;
	*ret = slice(out, len);
	return lzf_unpack(s, out, len) ? 0 : STORE_ABSENT;
}

static int read_string(struct call *call, struct slice s, struct slice *ret)
{
	unsigned char kind = s.len ? (unsigned char)s.ptr[0] : 0xff;
	uint64_t len;

	if (kind >= 0xc0 && kind <= 0xc2)
		return read_integer(call, slice_skip(s, 1), kind & 3, ret) ? 0 : STORE_ABSENT;
	if (kind == 0xc3)
		return read_packed(call, slice_skip(s, 1), ret);
	if (!read_length(&s, &len) || len != s.len)
		return STORE_ABSENT;
	*ret = s;
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

static int put_restored(struct call *call, struct slice value, int64_t expire_ms, bool exists)
{
	int r;

	if (expire_ms <= store_now(call->env->store)) {
		r = exists ? call_delete(call, call->argv[1]) : 0;
	} else {
		r = txn_put(call->txn, call->client->db, call->argv[1], value, expire_ms);
		if (r == 0) {
			call_event(call, EVENT_NEW, "new", call->argv[1]);
			call_event(call, EVENT_GENERIC, "restore", call->argv[1]);
		}
	}
	if (r == 0)
		resp_ok(&call->out);
	return r;
}

int dump_restore(struct call *call)
{
	const struct crc64 *crc = get_crc(call->env);
	struct restore o = { 0 };
	struct slice payload = call->argv[3], value;
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
	if (!is_sound(crc, payload))
		return call_error(call, "ERR DUMP payload version or checksum are wrong");
	if (payload.len == TRAILER || payload.ptr[0] != TYPE_STRING)
		return call_error(call, "ERR Bad data format: only strings can be restored");
	r = read_string(call, slice(payload.ptr + 1, payload.len - TRAILER - 1), &value);
	if (r == STORE_ABSENT)
		return call_error(call, "ERR Bad data format");
	return r ? r : put_restored(call, value, find_expiry(call->env->store, &o), exists);
}
