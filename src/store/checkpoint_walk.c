/* SPDX-License-Identifier: MIT
 *
 * The owner's part of a checkpoint: what to note at its beginning and end, and the walk over the keys between, in blocks. From one block to
 * the next only the last key is kept, so that anything may happen to the directories meanwhile.
 */
#include "store/inner.h"

#include <errno.h>
#include <stdlib.h>

static void list_segment(struct buf *out, const struct segment *g, bool active)
{
	char line[CHECKPOINT_SEGMENT] = { 0 };

	put_le32(line, g->slot);
	put_le64(line + 8, g->number);
	put_le64(line + 16, g->first);
	put_le64(line + 24, active ? 0 : g->size);
	buf_append(out, line, sizeof(line));
}

static int list_segments(struct store *s, struct buf *out)
{
	size_t n;

	buf_reset(out, SIZE_MAX);
	/* While keys move to segments no catalog names yet, their places mean nothing to a start. */
	if (slots_hold_unnamed(s))
		return -ESTALE;
	struct segment **list = slots_list(s, &n);
	for (size_t i = 0; list && i < n; i++)
		list_segment(out, list[i], list[i] == s->active);
	free(list);
	return list && !out->failed ? 0 : -ENOMEM;
}

int checkpoint_walk_begin(struct store *s, struct checkpoint_walk *w)
{
	*w = (struct checkpoint_walk){
		.head = {
			.store_id = s->id,
			.position = s->position,
			.offset = s->active->size,
			.begun_wall_ms = clock_wall_ms(s->clock),
		},
	};
	memcpy(w->head.ns_of, s->ns_of, sizeof(w->head.ns_of));
	int r = list_segments(s, &w->head.segments);
	w->head.from = (uint32_t)(w->head.segments.len / CHECKPOINT_SEGMENT) - 1;
	if (r)
		checkpoint_walk_free(w);
	return r;
}

/* At the end: what is written between belongs to it. */
static void note_marks(const struct store *s, struct buf *segments)
{
	for (char *line = segments->ptr; line < segments->ptr + segments->len; line += CHECKPOINT_SEGMENT)
		put_le32(line + 4, CHECKPOINT_MARKS | s->slot[get_le32(line)]->marks);
}

/*
 * An active segment in which nothing stands is left out: the file then also fits a snapshot, which has an empty segment of its own there.
 */
static void end_before_empty(const struct store *s, struct checkpoint_head *h)
{
	size_t lines = h->segments.len / CHECKPOINT_SEGMENT;

	if (s->active->size > SEGMENT_HEADER || lines < 2)
		return;
	const struct segment *last = s->slot[get_le32(h->segments.ptr + (lines - 2) * CHECKPOINT_SEGMENT)];
	h->segments.len -= CHECKPOINT_SEGMENT;
	h->end = segment_position(last, last->size);
	h->last_number = last->number;
	h->last_first = last->first;
	if (h->from < lines - 1)
		return;
	h->from--;
	h->position = h->end;
	h->offset = last->size;
}

int checkpoint_walk_end(struct store *s, struct checkpoint_walk *w)
{
	struct buf before = w->head.segments;

	w->head.segments = (struct buf){ 0 };
	int r = list_segments(s, &w->head.segments);
	/* All but the last were sealed: they must be the same, and in the same slots. */
	size_t sealed = before.len - CHECKPOINT_SEGMENT;
	if (r == 0 && (w->head.segments.len < before.len || memcmp(before.ptr, w->head.segments.ptr, sealed + CHECKPOINT_SEGMENT - 8) != 0))
		r = -ESTALE;
	if (r == 0)
		note_marks(s, &w->head.segments);
	w->head.end = s->position;
	w->head.last_number = w->head.named = s->active->number;
	w->head.last_first = s->active->first;
	if (r == 0)
		end_before_empty(s, &w->head);
	buf_free(&before);
	return r;
}

void checkpoint_walk_free(struct checkpoint_walk *w)
{
	buf_free(&w->head.segments);
	buf_free(&w->last);
}

/* ---- entries ---- */

static char *put_varint(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

static size_t count_same(struct slice a, struct slice b)
{
	size_t n = 0, max = a.len < b.len ? a.len : b.len;

	while (n < max && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* There is room. */
static void put_entry(struct store *s, struct buf *out, struct slice before, struct slice key, struct keydir_entry e)
{
	bool expires = e.expire_ms != KEYDIR_NO_EXPIRY;
	size_t same = count_same(before, key), rest = key.len - same;
	char *p = put_varint(out->ptr + out->len, same);

	p = put_varint(p, rest << 1 | expires);
	if (rest)
		memcpy(p, key.ptr + same, rest);
	p += rest;
	put_le64(p, e.where);
	p += 8;
	if (expires) {
		put_le64(p, (uint64_t)store_to_wall(s, e.expire_ms));
		p += 8;
	}
	out->len = (size_t)(p - out->ptr);
}

static void keep_last(struct checkpoint_walk *w, struct slice key)
{
	w->last.len = 0;
	buf_append_slice(&w->last, key);
	w->begun = true;
}

static int take_entries(struct store *s, struct checkpoint_walk *w, struct checkpoint_block *out)
{
	struct keydir_cursor *c = keydir_cursor_new(s->keydir[w->ns]);
	struct slice before = slice(NULL, 0);

	/* Room for one entry beyond the size a block should have, and for any key. */
	if (!c || buf_reserve(&out->data, CHECKPOINT_BLOCK + KEYDIR_MAX_KEY + 32) || buf_reserve(&w->last, KEYDIR_MAX_KEY)) {
		keydir_cursor_free(c);
		return -ENOMEM;
	}
	int r = keydir_seek(c, buf_slice(&w->last), 0);
	if (r == 0 && w->begun && slice_eq(keydir_cursor_key(c), buf_slice(&w->last)))
		r = keydir_next(c);
	for (; r == 0 && out->data.len < CHECKPOINT_BLOCK; r = keydir_next(c)) {
		put_entry(s, &out->data, before, keydir_cursor_key(c), keydir_cursor_entry(c));
		keep_last(w, keydir_cursor_key(c));
		before = buf_slice(&w->last);
		out->count++;
	}
	keydir_cursor_free(c);
	return 0;
}

int checkpoint_walk_next(struct store *s, struct checkpoint_walk *w, struct checkpoint_block *out)
{
	int r = 0;

	out->data.len = 0;
	out->count = 0;
	for (; w->ns < STORE_MAX_DATABASES; w->ns++, w->begun = false, w->last.len = 0) {
		out->ns = w->ns;
		if (s->keydir[w->ns])
			r = take_entries(s, w, out);
		if (r || out->count)
			break;
	}
	w->keys += out->count;
	return r;
}
