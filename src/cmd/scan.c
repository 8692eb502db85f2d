/* SPDX-License-Identifier: MIT
 *
 * KEYS and SCAN. The keys are in order, so a scan is at every moment described by the last key it gave, and a
 * key that is there all the time is given exactly once whatever else changes. The cursor a client holds is a
 * number that stands for that key in a bounded table. Any connection may use it, as pools do, but it counts for the
 * one that got it: each has its share, and the oldest of its own go first. Those of connections that have
 * gone are the first to go when the whole table is full. Numbers start with the time, so that one of an earlier run
 * of the daemon is unknown rather than wrong.
 */
#include "cmd/room.h"

#include <errno.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/num.h"

enum { CURSORS = 65536, CURSOR_BYTES = 64 << 20, OWN_CURSORS = 1024, OWN_BYTES = 4 << 20 };
enum { MAX_COUNT = 100000 }; /* keys one SCAN looks at, whatever it asks for: some milliseconds, in which nobody else is served */

struct cursor {
	struct index_link link; /* first: by number */
	TAILQ_ENTRY(cursor) by_age, of_owner;
	struct cmd_client *owner; /* NULL: has gone */
	uint64_t number;
	unsigned db;
	size_t len;
	char key[];
};

struct cursors {
	struct index index;
	TAILQ_HEAD(, cursor) owned, left; /* oldest first */
	size_t bytes;
	uint64_t next;
};

static void forget(struct cursors *cs, struct cursor *c)
{
	index_remove(&cs->index, &c->link);
	cs->bytes -= c->len;
	if (c->owner) {
		TAILQ_REMOVE(&cs->owned, c, by_age);
		TAILQ_REMOVE(&c->owner->cursors, c, of_owner);
		c->owner->ncursors--;
		c->owner->cursor_bytes -= c->len;
	} else {
		TAILQ_REMOVE(&cs->left, c, by_age);
	}
	free(c);
}

static struct cursor *find_oldest(const struct cursors *cs)
{
	return TAILQ_EMPTY(&cs->left) ? TAILQ_FIRST(&cs->owned) : TAILQ_FIRST(&cs->left);
}

struct cursors *cursors_free(struct cursors *cs)
{
	while (cs && cs->index.count)
		forget(cs, find_oldest(cs));
	free(cs);
	return NULL;
}

size_t cursors_count(const struct cursors *cs)
{
	return cs ? cs->index.count : 0;
}

void cursors_leave(struct cmd_client *client)
{
	struct cursors *cs = client->env->cursors;
	struct cursor *c;

	while ((c = TAILQ_FIRST(&client->cursors))) {
		TAILQ_REMOVE(&client->cursors, c, of_owner);
		TAILQ_REMOVE(&cs->owned, c, by_age);
		TAILQ_INSERT_TAIL(&cs->left, c, by_age);
		c->owner = NULL;
	}
	client->ncursors = client->cursor_bytes = 0;
}

static struct cursors *make_cursors(const struct cmd_env *e)
{
	struct cursors *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return NULL;
	TAILQ_INIT(&cs->owned);
	TAILQ_INIT(&cs->left);
	/* Below 2^53 for clients that keep numbers as doubles. */
	cs->next = ((uint64_t)store_now(e->store) << 10 & ((UINT64_C(1) << 53) - 1)) | 1;
	return cs;
}

/* Returns the number, 0 without memory. */
static uint64_t remember(struct cmd_client *owner, struct slice key)
{
	struct cmd_env *e = owner->env;
	struct cursors *cs = e->cursors = e->cursors ? e->cursors : make_cursors(e);
	struct cursor *c = cs ? malloc(sizeof(*c) + key.len) : NULL;

	if (!c)
		return 0;
	*c = (struct cursor){ .link.hash = hash_u64(cs->next), .owner = owner, .number = cs->next, .db = owner->db, .len = key.len };
	if (key.len)
		memcpy(c->key, key.ptr, key.len);
	while (owner->ncursors >= OWN_CURSORS || (owner->ncursors && owner->cursor_bytes + key.len > OWN_BYTES))
		forget(cs, TAILQ_FIRST(&owner->cursors));
	while (cs->index.count >= CURSORS || (cs->index.count && cs->bytes + key.len > CURSOR_BYTES))
		forget(cs, find_oldest(cs));
	if (index_add(&cs->index, &c->link)) {
		free(c);
		return 0;
	}
	TAILQ_INSERT_TAIL(&cs->owned, c, by_age);
	TAILQ_INSERT_TAIL(&owner->cursors, c, of_owner);
	owner->ncursors++;
	owner->cursor_bytes += key.len;
	cs->bytes += key.len;
	return cs->next++;
}

static const struct cursor *recall(const struct cmd_env *e, uint64_t number, unsigned db)
{
	struct index_link *link = e->cursors ? index_first(&e->cursors->index, hash_u64(number)) : NULL;

	for (; link; link = index_next(link)) {
		const struct cursor *c = (const struct cursor *)link;
		if (c->number == number)
			return c->db == db ? c : NULL;
	}
	return NULL;
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
			if (o->count < 1) {
				call_syntax(call);
				return false;
			}
			o->count = o->count < MAX_COUNT ? o->count : MAX_COUNT;
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
		number = remember(call->client, buf_slice(&last));
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
