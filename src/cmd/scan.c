/* SPDX-License-Identifier: MIT
 *
 * KEYS and SCAN. The keys are in order, so a scan is at every moment described by the last key it gave, and a
 * key that is there all the time is given exactly once whatever else changes. The cursor a client holds is a
 * number that stands for that key in a bounded table; the oldest are forgotten first. Numbers start with the
 * time, so that one of an earlier run of the daemon is unknown rather than wrong.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/num.h"

enum { CURSORS = 65536, CURSOR_BYTES = 64 << 20 };

struct cursor {
	char *key; /* NULL: free */
	size_t len;
	unsigned db;
};

struct cursors {
	uint64_t first, next; /* numbers first .. next - 1 are known; number n is in slot n % CURSORS */
	size_t bytes;
	struct cursor slot[CURSORS];
};

struct cursors *cursors_free(struct cursors *cs)
{
	for (uint64_t n = cs ? cs->first : 0; cs && n < cs->next; n++)
		free(cs->slot[n % CURSORS].key);
	free(cs);
	return NULL;
}

size_t cursors_count(const struct cursors *cs)
{
	return cs ? (size_t)(cs->next - cs->first) : 0;
}

static struct cursors *make_cursors(const struct cmd_env *e)
{
	struct cursors *cs = calloc(1, sizeof(*cs));

	/* Below 2^53 for clients that keep numbers as doubles. */
	if (cs)
		cs->first = cs->next = ((uint64_t)store_now(e->store) << 10 & ((UINT64_C(1) << 53) - 1)) | 1;
	return cs;
}

static void forget_oldest(struct cursors *cs)
{
	struct cursor *c = &cs->slot[cs->first++ % CURSORS];

	cs->bytes -= c->len;
	free(c->key);
	c->key = NULL;
}

/* Returns the number, 0 without memory. */
static uint64_t remember(struct cmd_env *e, unsigned db, struct slice key)
{
	struct cursors *cs = e->cursors = e->cursors ? e->cursors : make_cursors(e);
	struct cursor *c;
	char *copy;

	if (!cs || !(copy = malloc(key.len + 1)))
		return 0;
	while (cs->next - cs->first >= CURSORS ||
		(cs->bytes + key.len > CURSOR_BYTES && cs->first < cs->next))
		forget_oldest(cs);
	if (key.len)
		memcpy(copy, key.ptr, key.len);
	c = &cs->slot[cs->next % CURSORS];
	*c = (struct cursor){ copy, key.len, db };
	cs->bytes += key.len;
	return cs->next++;
}

static const struct cursor *recall(const struct cmd_env *e, uint64_t number, unsigned db)
{
	const struct cursors *cs = e->cursors;

	if (!cs || number < cs->first || number >= cs->next || cs->slot[number % CURSORS].db != db)
		return NULL;
	return &cs->slot[number % CURSORS];
}

/* ---- ranges ---- */

struct slice scan_after_prefix(struct txn *t, struct slice prefix)
{
	size_t len = prefix.len;
	char *end;

	while (len && (unsigned char)prefix.ptr[len - 1] == 0xff)
		len--;
	end = len ? txn_alloc(t, len) : NULL;
	if (!end)
		return slice("", 0); /* no bound: more to look at, nothing missed */
	memcpy(end, prefix.ptr, len);
	end[len - 1]++;
	return slice(end, len);
}

static struct txn_scan *begin_prefix(struct call *call, struct slice prefix, struct slice from)
{
	struct slice to = scan_after_prefix(call->txn, prefix);

	return txn_scan_begin(
		call->txn, call->client->db, slice_cmp(from, prefix) < 0 ? prefix : from, to, false);
}

int scan_keys(struct call *call)
{
	struct slice pattern = call->argv[1], key;
	struct slice prefix = slice(pattern.ptr, glob_literal(pattern));
	struct txn_scan *scan = begin_prefix(call, prefix, slice("", 0));
	size_t mark, n = 0;

	if (!scan)
		return -ENOMEM;
	mark = resp_array_begin(&call->out);
	/* A pattern without any special byte names one key, the first of its range or none. */
	while (txn_scan_next(scan, &key, NULL) == 0) {
		if (prefix.len == pattern.len && key.len > pattern.len)
			break;
		if (slice_has_prefix(key, prefix) && glob_match(pattern, key, false)) {
			resp_bulk(&call->out, key);
			n++;
		}
	}
	txn_scan_end(scan);
	resp_array_end(&call->out, mark, n);
	return 0;
}

struct scan_options {
	struct slice pattern;
	int64_t count;
	bool all, none; /* no pattern; a type that never is */
};

static bool read_options(struct call *call, struct scan_options *o)
{
	*o = (struct scan_options){ .pattern = SLICE("*"), .count = 10 };
	for (size_t i = 2; i < call->argc; i += 2) {
		struct slice word = call->argv[i];
		bool value = i + 1 < call->argc;
		if (value && slice_is(word, "match")) {
			o->pattern = call->argv[i + 1];
		} else if (value && slice_is(word, "type")) {
			o->none = !slice_is(call->argv[i + 1], "string");
		} else if (value && slice_is(word, "count")) {
			if (!call_int(call, call->argv[i + 1], &o->count))
				return false;
			if (o->count >= 1)
				continue;
			call_syntax(call);
			return false;
		} else {
			call_syntax(call);
			return false;
		}
	}
	o->all = slice_eq(o->pattern, SLICE("*"));
	return true;
}

/* Gives up to count keys a look; *ret_last is the last of them, and *ret_more says that there are others. */
static int look_at_some(struct call *call, const struct scan_options *o, struct slice from, struct buf *last,
	bool *ret_more, size_t *ret_n)
{
	struct slice prefix = slice(o->pattern.ptr, glob_literal(o->pattern)), key;
	struct txn_scan *scan = begin_prefix(call, prefix, from);
	int64_t left = o->count;

	if (!scan)
		return -ENOMEM;
	*ret_more = false;
	while (txn_scan_next(scan, &key, NULL) == 0) {
		if (left-- == 0) {
			*ret_more = true;
			break;
		}
		if (left == 0) {
			last->len = 0;
			buf_append_slice(last, key);
		}
		if (o->all || glob_match(o->pattern, key, false)) {
			resp_bulk(&call->out, key);
			++*ret_n;
		}
	}
	txn_scan_end(scan);
	return last->failed ? -ENOMEM : 0;
}

static void reply_cursor(struct call *call, uint64_t number)
{
	char text[NUM_I64_CHARS];

	resp_bulk(&call->out, slice(text, num_format_u64(text, number)));
}

/* The keys come first into the reply buffer's end, because the cursor before them is known only after the
 * walk. */
static int scan_from(struct call *call, const struct scan_options *o, struct slice from)
{
	struct buf keys = { 0 }, last = { 0 }, *out = call->out.out;
	uint64_t number = 0;
	bool more = false;
	size_t n = 0;
	int r;

	call->out.out = &keys;
	r = look_at_some(call, o, from, &last, &more, &n);
	call->out.out = out;
	if (r == 0 && more) {
		number = remember(call->env, call->client->db, buf_slice(&last));
		r = number ? 0 : -ENOMEM;
	}
	if (r == 0 && keys.failed)
		r = -ENOMEM;
	if (r == 0) {
		resp_array(&call->out, 2);
		reply_cursor(call, number);
		resp_array(&call->out, n);
		buf_append_slice(out, buf_slice(&keys));
	}
	buf_free(&keys);
	buf_free(&last);
	return r;
}

int scan_scan(struct call *call)
{
	const struct cursor *c = NULL;
	struct scan_options o;
	uint64_t number;
	char *from = NULL;

	if (num_parse_u64(call->argv[1], &number))
		return call_error(call, "ERR invalid cursor");
	if (!read_options(call, &o))
		return 0;
	if (number && !(c = recall(call->env, number, call->client->db)))
		return call_error(call, "ERR invalid cursor: no longer known, start again from 0");
	if (o.none) {
		resp_array(&call->out, 2);
		resp_bulk(&call->out, SLICE("0"));
		resp_array(&call->out, 0);
		return 0;
	}
	if (!c)
		return scan_from(call, &o, slice("", 0));
	/* The next possible key after the last one is that key with a zero byte behind it. */
	from = txn_alloc(call->txn, c->len + 1);
	if (!from)
		return -ENOMEM;
	memcpy(from, c->key, c->len);
	from[c->len] = 0;
	return scan_from(call, &o, slice(from, c->len + 1));
}
