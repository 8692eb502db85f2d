/* SPDX-License-Identifier: MIT
 *
 * Views: a range of keys as it was. The keydir is changed in place and knows the present only, so each commit hands the views what it replaces, and a
 * view shows that in the place of what is there now. Only the first record a key had counts; so a view pays for the keys that
 * are changed beside it, once each, and never for the size of its range.
 */
#include "store/txn.h"

#include <errno.h>
#include <stdlib.h>

#define NO_RECORD 1 /* a place no record has: the key did not exist */

struct store_view {
	struct store_view *next; /* of the store */
	struct store *store;
	unsigned ns;
	int64_t now_ms;
	uint64_t position;  /* the store's when it was made */
	bool reverse, ended, placed;
	bool given;         /* there is a key that was given last: so many bytes of `at` */
	size_t key_len;
	int broken;         /* an error for good, or 0 */
	struct buf from, to;
	struct buf at;      /* where to go on: upwards from here on, downwards below this; empty downwards: from the end */
	struct buf next_at; /* the memory for the next place, as a caller may seek a key we gave */
	struct keydir *old; /* the records of keys that have others now */
	struct keydir_cursor *live_cursor, *old_cursor;
	bool live_on, old_on;
};

/* ---- what is replaced ---- */

static struct segment *segment_of(const struct store *s, uint64_t where)
{
	return s->slot[locator_slot(where)];
}

static bool is_in_range(const struct store_view *v, struct slice key)
{
	return slice_cmp(key, buf_slice(&v->from)) >= 0 && (v->to.len == 0 || slice_cmp(key, buf_slice(&v->to)) < 0);
}

static void keep(struct store_view *v, struct slice key, struct keydir_entry old)
{
	struct keydir_entry known;

	if (!is_in_range(v, key))
		return;
	v->placed = false;
	if (keydir_get(v->old, key, &known) == 0)
		return;
	if (old.where == 0)
		old = (struct keydir_entry){ NO_RECORD, STORE_NO_EXPIRY };
	if (keydir_put(v->old, key, old, &known) < 0)
		v->broken = -ENOMEM;
	else if (old.where != NO_RECORD)
		segment_of(v->store, old.where)->readers++;
}

void view_keep(struct store *s, unsigned ns, struct slice key, struct keydir_entry old)
{
	for (struct store_view *v = s->views; v; v = v->next)
		if (v->ns == ns && !v->broken)
			keep(v, key, old);
}

/* The keydir under the cursor is another one. */
static void forget_place(struct store_view *v)
{
	v->live_cursor = keydir_cursor_free(v->live_cursor);
	v->placed = false;
}

static void keep_range(struct store_view *v, const struct keydir *flushed)
{
	struct keydir_cursor *c = keydir_cursor_new(flushed);

	if (!c) {
		v->broken = -ENOMEM;
		return;
	}
	for (int r = keydir_seek(c, buf_slice(&v->from), 0); r == 0 && is_in_range(v, keydir_cursor_key(c)); r = keydir_next(c))
		keep(v, keydir_cursor_key(c), keydir_cursor_entry(c));
	keydir_cursor_free(c);
}

void view_keep_all(struct store *s, unsigned ns, const struct keydir *flushed)
{
	for (struct store_view *v = s->views; v; v = v->next) {
		if (v->ns != ns || v->broken)
			continue;
		keep_range(v, flushed);
		forget_place(v);
	}
}

static void let_go(struct store_view *v)
{
	struct keydir_cursor *c = v->old_cursor;

	for (int r = c ? keydir_seek(c, slice(NULL, 0), 0) : KEYDIR_ABSENT; r == 0; r = keydir_next(c))
		if (keydir_cursor_entry(c).where != NO_RECORD)
			slots_unpin(v->store, segment_of(v->store, keydir_cursor_entry(c).where));
	v->old_cursor = keydir_cursor_free(v->old_cursor);
	v->old = keydir_free(v->old);
}

void view_roll_back(struct store *s, uint64_t end)
{
	for (struct store_view *v = s->views; v; v = v->next) {
		forget_place(v);
		if (v->position <= end)
			continue;
		let_go(v);
		v->broken = -ESTALE;
	}
}

/* ---- making and freeing ---- */

struct store_view *store_view_new(struct store *s, unsigned db, struct slice from, struct slice to, bool reverse)
{
	struct store_view *v = s->incomplete ? NULL : calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->store = s;
	v->ns = s->ns_of[db];
	v->now_ms = store_now(s);
	v->position = s->position;
	v->reverse = reverse;
	buf_append_slice(&v->from, from);
	buf_append_slice(&v->to, to);
	buf_append_slice(&v->at, reverse ? to : from);
	v->old = keydir_new();
	/* Made now, as letting go of what is kept must not need memory. */
	v->old_cursor = v->old ? keydir_cursor_new(v->old) : NULL;
	v->next = s->views;
	s->views = v;
	return v->old_cursor && !v->from.failed && !v->to.failed && !v->at.failed ? v : store_view_free(v);
}

struct store_view *store_view_free(struct store_view *v)
{
	struct store_view **place;

	if (!v)
		return NULL;
	for (place = &v->store->views; *place != v;)
		place = &(*place)->next;
	*place = v->next;
	let_go(v);
	keydir_cursor_free(v->live_cursor);
	buf_free(&v->from);
	buf_free(&v->to);
	buf_free(&v->at);
	buf_free(&v->next_at);
	free(v);
	return NULL;
}

/* ---- walking ---- */

/* Puts both cursors where the walk goes on. */
static int place_cursors(struct store_view *v)
{
	if (!v->live_cursor)
		v->live_cursor = keydir_cursor_new(v->store->keydir[v->ns]);
	if (!v->live_cursor)
		return -ENOMEM;
	v->live_on = keydir_seek(v->live_cursor, buf_slice(&v->at), v->reverse) == 0;
	v->old_on = keydir_seek(v->old_cursor, buf_slice(&v->at), v->reverse) == 0;
	v->placed = true;
	return 0;
}

/* Goes on behind a key, or at it. */
static int go_on(struct store_view *v, struct slice key, bool at_key)
{
	struct buf last = v->at;

	buf_reset(&v->next_at, SIZE_MAX);
	if (buf_reserve(&v->next_at, key.len + 1))
		return -ENOMEM;
	buf_append_slice(&v->next_at, key);
	/* Upwards a place counts itself, downwards it does not: the next possible key behind this one is the one with a zero more. */
	if (at_key == v->reverse)
		buf_append_char(&v->next_at, 0);
	v->at = v->next_at;
	v->next_at = last;
	/* Downwards nothing comes behind the empty key, and an empty place would be the end. */
	v->ended = v->reverse && v->at.len == 0;
	v->key_len = key.len;
	return 0;
}

int store_view_seek(struct store_view *v, struct slice key)
{
	struct slice to = buf_slice(&v->to), from = buf_slice(&v->from);

	v->placed = v->given = false;
	if (v->reverse && to.len && slice_cmp(key, to) >= 0)
		return go_on(v, to, false);
	return go_on(v, !v->reverse && slice_cmp(key, from) < 0 ? from : key, true);
}

/* Takes the next key of the two: its entry is left in *ret, and its key in v->at. 0, STORE_ABSENT or -ENOMEM. */
static int take_next(struct store_view *v, struct keydir_entry *ret)
{
	struct slice live = v->live_on ? keydir_cursor_key(v->live_cursor) : slice(NULL, 0);
	struct slice old = v->old_on ? keydir_cursor_key(v->old_cursor) : slice(NULL, 0);

	if (!v->live_on && !v->old_on)
		return STORE_ABSENT;
	int order = !v->old_on ? -1 : !v->live_on ? 1 : slice_cmp(live, old) * (v->reverse ? -1 : 1);
	struct slice key = order < 0 ? live : old;
	if (!is_in_range(v, key))
		return STORE_ABSENT;
	*ret = keydir_cursor_entry(order < 0 ? v->live_cursor : v->old_cursor);
	int r = go_on(v, key, false);
	if (r)
		return r;
	if (order <= 0)
		v->live_on = keydir_next(v->live_cursor) == 0;
	if (order >= 0)
		v->old_on = keydir_next(v->old_cursor) == 0;
	return 0;
}

int store_view_next(struct store_view *v, struct slice *ret_key, int64_t *ret_expire_ms)
{
	struct keydir_entry entry;
	int r;

	if (v->broken)
		return v->broken;
	if (v->store->incomplete)
		return -ENOMEM;
	if (v->ended)
		return STORE_ABSENT;
	if (!v->placed && (r = place_cursors(v)))
		return r;
	do {
		r = v->ended ? STORE_ABSENT : take_next(v, &entry);
		if (r)
			return r;
	} while (entry.where == NO_RECORD || entry.expire_ms <= v->now_ms);
	v->given = true;
	*ret_key = slice(v->at.ptr, v->key_len);
	if (ret_expire_ms)
		*ret_expire_ms = entry.expire_ms;
	return 0;
}

int store_view_read(struct store_view *v, struct txn *t, struct slice *ret_value, uint64_t *ret_version)
{
	struct store *s = v->store;
	struct slice key = slice(v->at.ptr, v->key_len);
	struct keydir_entry entry;

	if (v->broken || s->incomplete)
		return v->broken ? v->broken : -ENOMEM;
	/* Where it is now: a merge may have moved it since the key was given. */
	if (!v->given || (keydir_get(v->old, key, &entry) && keydir_get(s->keydir[v->ns], key, &entry)) || entry.where == NO_RECORD)
		return STORE_ABSENT;
	txn_see_record(t, entry.where);
	if (ret_version)
		*ret_version = read_version(s, entry.where);
	struct txn_value value;
	int r = txn_read(t, v->ns, key, entry.where, &value);
	if (r == 0)
		*ret_value = value.data;
	return r;
}
