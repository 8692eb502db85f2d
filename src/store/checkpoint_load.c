/* SPDX-License-Identifier: MIT
 *
 * A start from a checkpoint: a thread reads blocks and checks their sums, the owner's thread makes pages of them. Whatever is wrong with
 * the file, the answer is the same: leave it, and read the segments.
 */
#include "store/inner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define AHEAD 8         /* blocks being read before they are needed */
#define FEW_BLOCKS 4    /* so many are read without a thread */
#define PROGRESS_NS UINT64_C(100000000)

/* A segment as the checkpoint's locators name it. */
struct place {
	struct segment *segment; /* NULL: no such slot */
	uint64_t limit;          /* file offset behind its last record */
	uint64_t live;
	unsigned marks;
};

struct load {
	struct store *s;
	struct checkpoint_reader r;
	struct place *place;     /* by slot of the file */
	uint32_t places;
	struct keydir *keydir[STORE_MAX_DATABASES];
	struct keydir_builder *builder; /* of keydir[ns] */
	unsigned ns;
	uint64_t told_ns;
	/* Reading ahead. */
	pthread_t thread;
	bool threaded;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	uint32_t read, used;     /* under lock: blocks read, blocks made pages of */
	bool stop;               /* under lock */
	int error[AHEAD];
	struct buf ring[AHEAD];
};

/* ---- segments ---- */

/* Where the locators of the file lead. */
static int find_places(struct load *l)
{
	const char *line = l->r.index.ptr + CHECKPOINT_INDEX;
	struct store *s = l->s;

	for (uint32_t i = 0; i < l->r.segments; i++)
		if (get_le32(line + (size_t)i * CHECKPOINT_SEGMENT) >= l->places)
			l->places = get_le32(line + (size_t)i * CHECKPOINT_SEGMENT) + 1;
	l->place = calloc(l->places, sizeof(*l->place));
	if (!l->place)
		return checkpoint_reject(&l->r, "out of memory");
	for (uint32_t i = 0; i < l->r.segments; i++, line += CHECKPOINT_SEGMENT) {
		uint64_t first = l->r.c->segment[i].first, size = get_le64(line + 24), end = l->r.start.end;
		uint32_t marks = get_le32(line + 4);
		l->place[get_le32(line)] = (struct place){
			.segment = s->slot[i],
			.limit = size ? size : end >= first ? end - first + SEGMENT_HEADER : 0,
			.marks = marks & CHECKPOINT_MARKS ? marks & SEGMENT_ALL_MARKS : SEGMENT_ALL_MARKS,
		};
	}
	return 0;
}

/* ---- blocks ---- */

static int read_block(struct load *l, uint32_t i)
{
	return checkpoint_read_block(&l->r, i, &l->ring[i % AHEAD]);
}

static void *read_ahead(void *arg)
{
	struct load *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && l->read < l->r.blocks) {
		if (l->read - l->used == AHEAD) {
			pthread_cond_wait(&l->moved, &l->lock);
			continue;
		}
		pthread_mutex_unlock(&l->lock);
		l->error[l->read % AHEAD] = read_block(l, l->read);
		pthread_mutex_lock(&l->lock);
		l->read++;
		pthread_cond_signal(&l->moved);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static int await_block(struct load *l, uint32_t i)
{
	if (!l->threaded)
		return read_block(l, i);
	pthread_mutex_lock(&l->lock);
	while (l->read <= i)
		pthread_cond_wait(&l->moved, &l->lock);
	pthread_mutex_unlock(&l->lock);
	return l->error[i % AHEAD];
}

static void release_block(struct load *l)
{
	pthread_mutex_lock(&l->lock);
	l->used++;
	pthread_cond_signal(&l->moved);
	pthread_mutex_unlock(&l->lock);
}

static bool take_varint(const char **p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; *p < end && shift < 63; shift += 7) {
		unsigned char c = (unsigned char)*(*p)++;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/* The locator as this process has it; false: it leads nowhere. */
static bool translate(struct load *l, uint64_t *where)
{
	unsigned slot = locator_slot(*where);
	uint64_t offset = locator_offset(*where), size = locator_size(*where);
	struct place *at = slot < l->places ? &l->place[slot] : NULL;

	if (!at || !at->segment || offset < SEGMENT_HEADER || size > at->limit || offset > at->limit - size)
		return false;
	at->live += size;
	*where = (*where & ((UINT64_C(1) << 43) - 1)) | (uint64_t)at->segment->slot << 43;
	return true;
}

static int build_block(struct load *l, const struct checkpoint_row *row, const struct buf *b)
{
	static _Thread_local char key[KEYDIR_MAX_KEY];
	const char *p = b->ptr, *end = b->ptr + b->len;
	size_t len = 0;
	uint64_t same, rest;

	for (uint32_t n = 0; n < row->count; n++) {
		struct keydir_entry e = { 0, KEYDIR_NO_EXPIRY };
		if (!take_varint(&p, end, &same) || !take_varint(&p, end, &rest))
			return -EUCLEAN;
		bool expires = rest & 1;
		rest >>= 1;
		if (same > len || rest > KEYDIR_MAX_KEY - same || (uint64_t)(end - p) < rest + 8 + (expires ? 8 : 0))
			return -EUCLEAN;
		memcpy(key + same, p, rest);
		len = same + rest;
		p += rest;
		e.where = get_le64(p);
		p += 8;
		if (expires) {
			e.expire_ms = store_from_wall(l->s, (int64_t)get_le64(p));
			p += 8;
		}
		int r = translate(l, &e.where) ? keydir_builder_add(l->builder, slice(key, len), e) : -EUCLEAN;
		if (r)
			return r;
	}
	return p == end ? 0 : -EUCLEAN;
}

static int end_builder(struct load *l)
{
	int r = l->builder ? keydir_builder_end(l->builder) : 0;

	if (r == 0)
		l->builder = NULL;
	return r;
}

/* The builder of the block's namespace. */
static int turn_to(struct load *l, unsigned ns)
{
	if (l->builder && l->ns == ns)
		return 0;
	int r = end_builder(l);
	if (r)
		return r;
	l->ns = ns;
	l->keydir[ns] = keydir_new();
	l->builder = l->keydir[ns] ? keydir_builder_new(l->keydir[ns]) : NULL;
	return l->builder ? 0 : -ENOMEM;
}

static void tell_progress(struct load *l, uint64_t done)
{
	struct store *s = l->s;
	uint64_t now = clock_mono_ns(s->clock);

	if (!s->options.progress || now - l->told_ns < PROGRESS_NS)
		return;
	l->told_ns = now;
	s->options.progress(s->options.arg, done, l->r.size);
}

static int build_all(struct load *l)
{
	int r = 0;

	l->threaded = l->r.blocks > FEW_BLOCKS && thread_start(&l->thread, read_ahead, l) == 0;
	for (uint32_t i = 0; i < l->r.blocks && r == 0; i++) {
		r = await_block(l, i);
		if (r == 0)
			r = turn_to(l, l->r.row[i].ns);
		if (r == 0)
			r = build_block(l, &l->r.row[i], &l->ring[i % AHEAD]);
		if (r)
			checkpoint_reject(&l->r, r == -EUCLEAN || r == -EINVAL ? "damaged in the block at offset %" PRIu64 "%s" :
				"the block at offset %" PRIu64 ": %s", l->r.row[i].offset, r == -EUCLEAN || r == -EINVAL ? "" : strerror(-r));
		release_block(l);
		tell_progress(l, l->r.row[i].offset);
	}
	if (r == 0 && (r = end_builder(l)))
		checkpoint_reject(&l->r, "%s", strerror(-r));
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->moved);
	pthread_mutex_unlock(&l->lock);
	if (l->threaded)
		pthread_join(l->thread, NULL);
	return r ? 1 : 0;
}

/* ---- all of it ---- */

static void install(struct load *l)
{
	struct store *s = l->s;
	struct checkpoint *c = &s->checkpoint;

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		s->keydir[i] = l->keydir[i];
		l->keydir[i] = NULL;
	}
	for (uint32_t i = 0; i < l->places; i++)
		if (l->place[i].segment) {
			atomic_store(&l->place[i].segment->live_bytes, l->place[i].live);
			l->place[i].segment->marks = l->place[i].marks;
		}
	memcpy(s->ns_of, l->r.index.ptr + 40, sizeof(s->ns_of));
	*c = (struct checkpoint){ .loaded = true, .position = l->r.position, .bytes = l->r.size, .keys = get_le64(l->r.index.ptr + 24),
		.wall_ms = (int64_t)get_le64(l->r.index.ptr + 32) };
}

static void free_load(struct load *l)
{
	keydir_builder_free(l->builder);
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		keydir_free(l->keydir[i]);
	for (unsigned i = 0; i < AHEAD; i++)
		buf_free(&l->ring[i]);
	free(l->place);
	pthread_cond_destroy(&l->moved);
	pthread_mutex_destroy(&l->lock);
	checkpoint_close(&l->r);
	free(l);
}

static void tell_unused(struct store *s, const char *why)
{
	s->checkpoint.unusable = true;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_CHECKPOINT_UNUSED, .file = CHECKPOINT_NAME },
		"%s/" CHECKPOINT_NAME ": not used: %s; the whole log is read instead", s->options.path, why);
}

int checkpoint_load(struct store *s, const struct catalog *c, struct checkpoint_start *ret)
{
	struct load *l = calloc(1, sizeof(*l));

	if (!l)
		return 1;
	l->s = s;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->moved, NULL);
	int r = checkpoint_open(&l->r, s->io, s->dir, s->id, c);
	if (r == 0)
		r = find_places(l);
	if (r == 0)
		r = build_all(l);
	*ret = l->r.start;
	if (r == 0)
		install(l);
	else if (r != -ENOENT)
		tell_unused(s, l->r.why);
	free_load(l);
	return r ? 1 : 0;
}

void checkpoint_unload(struct store *s, const char *why)
{
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		s->keydir[i] = keydir_free(s->keydir[i]);
		s->ns_of[i] = (uint8_t)i;
	}
	for (unsigned i = 0; i < s->slots; i++) {
		atomic_store(&s->slot[i]->live_bytes, 0);
		s->slot[i]->marks = 0;
	}
	s->checkpoint = (struct checkpoint){ 0 };
	tell_unused(s, why);
}
