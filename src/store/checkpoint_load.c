/* SPDX-License-Identifier: MIT
 *
 * A start from a checkpoint: a thread reads blocks and checks their sums, the owner's thread makes pages of them. Whatever is wrong with
 * the file, the answer is the same: leave it, and read the segments.
 */
#include "store/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc.h"

#define AHEAD 8         /* blocks being read before they are needed */
#define FEW_BLOCKS 4    /* so many are read without a thread */
#define PROGRESS_NS UINT64_C(100000000)

struct row {
	uint64_t offset;
	uint32_t len, count, crc;
	unsigned ns;
};

/* A segment as the checkpoint's locators name it. */
struct place {
	struct segment *segment; /* NULL: no such slot */
	uint64_t limit;          /* file offset behind its last record */
	uint64_t live;
	unsigned marks;
};

struct load {
	struct store *s;
	const struct catalog *c;
	int fd;
	uint64_t size;
	struct buf index;
	uint64_t position, end;
	uint32_t segments, blocks;
	struct row *row;
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
	char why[160];
};

static int reject(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int reject(struct load *l, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(l->why, sizeof(l->why), format, ap);
	va_end(ap);
	return 1;
}

static int read_at(struct load *l, void *data, size_t len, uint64_t offset)
{
	ssize_t n = l->s->io->pread(l->s->io, l->fd, data, len, offset, 0);

	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

/* ---- header and index ---- */

static int read_header(struct load *l)
{
	char head[CHECKPOINT_HEADER];
	struct stat st;

	int r = l->s->io->fstat(l->s->io, l->fd, &st);
	if (r)
		return reject(l, "%s", strerror(-r));
	l->size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || l->size < CHECKPOINT_HEADER || read_at(l, head, sizeof(head), 0) ||
		memcmp(head, "KVDCKPT\n", 8) != 0 || crc_update(0, head, 60) != get_le32(head + 60))
		return reject(l, "damaged at offset 0: no header");
	if (get_le32(head + 8) != CHECKPOINT_VERSION || get_le32(head + 12) != CHECKPOINT_HEADER)
		return reject(l, "format version %" PRIu32 ", this kvd reads version %d", get_le32(head + 8), CHECKPOINT_VERSION);
	if (get_le64(head + 16) != l->s->id)
		return reject(l, "it belongs to another store");
	l->position = get_le64(head + 24);
	l->end = get_le64(head + 32);
	uint64_t at = get_le64(head + 40), len = get_le64(head + 48);
	if (at < CHECKPOINT_HEADER || at > l->size || l->size - at != len || len < CHECKPOINT_INDEX)
		return reject(l, "damaged: it is not as long as its header says");
	if (buf_reserve(&l->index, len))
		return reject(l, "out of memory");
	l->index.len = len;
	if (read_at(l, l->index.ptr, len, at) || crc_update(0, l->index.ptr, len) != get_le32(head + 56))
		return reject(l, "damaged at offset %" PRIu64 ": the index fails its checksum", at);
	return 0;
}

/* The catalog must begin with the segments of the list. */
static int match_segments(struct load *l)
{
	const char *line = l->index.ptr + CHECKPOINT_INDEX;
	struct store *s = l->s;

	for (uint32_t i = 0; i < l->segments; i++)
		if (get_le32(line + (size_t)i * CHECKPOINT_SEGMENT) >= l->places)
			l->places = get_le32(line + (size_t)i * CHECKPOINT_SEGMENT) + 1;
	if (l->segments == 0 || l->segments > l->c->count || l->places > LOCATOR_SLOTS)
		return reject(l, "it lists segments that the catalog does not name");
	l->place = calloc(l->places, sizeof(*l->place));
	if (!l->place)
		return reject(l, "out of memory");
	for (uint32_t i = 0; i < l->segments; i++, line += CHECKPOINT_SEGMENT) {
		const struct catalog_segment *g = &l->c->segment[i];
		uint64_t size = get_le64(line + 24);
		if (get_le64(line + 8) != g->number || get_le64(line + 16) != g->first || (size && size != g->size) || s->slot[i]->number != g->number)
			return reject(l, "segment %" PRIu64 " is not the catalog's any more", get_le64(line + 8));
		uint32_t marks = get_le32(line + 4);
		l->place[get_le32(line)] = (struct place){
			.segment = s->slot[i],
			.limit = size ? size : l->end >= g->first ? l->end - g->first + SEGMENT_HEADER : 0,
			.marks = marks & CHECKPOINT_MARKS ? marks & SEGMENT_ALL_MARKS : SEGMENT_ALL_MARKS,
		};
	}
	return 0;
}

static int read_index(struct load *l)
{
	const char *p = l->index.ptr;
	uint64_t offset = CHECKPOINT_HEADER, end = l->size - l->index.len;

	l->segments = get_le32(p);
	l->blocks = get_le32(p + 4);
	if (l->index.len != CHECKPOINT_INDEX + (uint64_t)l->segments * CHECKPOINT_SEGMENT + (uint64_t)l->blocks * CHECKPOINT_ROW)
		return reject(l, "damaged: the index has another length");
	int r = match_segments(l);
	if (r)
		return r;
	l->row = calloc(l->blocks ? l->blocks : 1, sizeof(*l->row));
	if (!l->row)
		return reject(l, "out of memory");
	p += CHECKPOINT_INDEX + (size_t)l->segments * CHECKPOINT_SEGMENT;
	for (uint32_t i = 0; i < l->blocks; i++, p += CHECKPOINT_ROW) {
		l->row[i] = (struct row){ offset, get_le32(p), get_le32(p + 4), get_le32(p + 8), get_le16(p + 12) };
		if (l->row[i].len > end - offset || l->row[i].ns >= STORE_MAX_DATABASES || (i && l->row[i].ns < l->row[i - 1].ns))
			return reject(l, "damaged: the index names no such block");
		offset += l->row[i].len;
	}
	return offset == end ? 0 : reject(l, "damaged: its blocks do not fill it");
}

/* ---- blocks ---- */

static int read_block(struct load *l, uint32_t i)
{
	const struct row *row = &l->row[i];
	struct buf *b = &l->ring[i % AHEAD];

	b->len = 0;
	int r = buf_reserve(b, row->len + 1);
	if (r == 0)
		r = read_at(l, b->ptr, row->len, row->offset);
	if (r)
		return r;
	b->len = row->len;
	return crc_update(0, b->ptr, b->len) == row->crc ? 0 : -EUCLEAN;
}

static void *read_ahead(void *arg)
{
	struct load *l = arg;

	pthread_mutex_lock(&l->lock);
	while (!l->stop && l->read < l->blocks) {
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

static int build_block(struct load *l, const struct row *row, const struct buf *b)
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
	s->options.progress(s->options.arg, done, l->size);
}

static int build_all(struct load *l)
{
	int r = 0;

	l->threaded = l->blocks > FEW_BLOCKS && thread_start(&l->thread, read_ahead, l) == 0;
	for (uint32_t i = 0; i < l->blocks && r == 0; i++) {
		r = await_block(l, i);
		if (r == 0)
			r = turn_to(l, l->row[i].ns);
		if (r == 0)
			r = build_block(l, &l->row[i], &l->ring[i % AHEAD]);
		if (r)
			reject(l, r == -EUCLEAN || r == -EINVAL ? "damaged in the block at offset %" PRIu64 "%s" :
				"the block at offset %" PRIu64 ": %s", l->row[i].offset, r == -EUCLEAN || r == -EINVAL ? "" : strerror(-r));
		release_block(l);
		tell_progress(l, l->row[i].offset);
	}
	if (r == 0 && (r = end_builder(l)))
		reject(l, "%s", strerror(-r));
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->moved);
	pthread_mutex_unlock(&l->lock);
	if (l->threaded)
		pthread_join(l->thread, NULL);
	return r ? 1 : 0;
}

/* ---- all of it ---- */

static int check_start(struct load *l, struct checkpoint_start *ret)
{
	uint32_t from = get_le32(l->index.ptr + 8);
	uint64_t offset = get_le64(l->index.ptr + 16);

	if (from >= l->segments || offset < SEGMENT_HEADER || l->c->segment[from].first - SEGMENT_HEADER + offset != l->position ||
		(l->c->segment[from].size && offset > l->c->segment[from].size) || l->end < l->position)
		return reject(l, "damaged: it does not say where to go on");
	/* A log that was set back, or has gone on another way since, is not the one the locators are for. */
	const struct catalog_segment *last = &l->c->segment[l->segments - 1];
	uint32_t witness = 0;
	if (l->end < last->first || checkpoint_witness(l->s->io, l->s->dir, last->number, l->end - last->first + SEGMENT_HEADER, &witness) ||
		witness != get_le32(l->index.ptr + 12))
		return reject(l, "it was made of another state of the log");
	*ret = (struct checkpoint_start){ from, offset, l->end };
	return 0;
}

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
	memcpy(s->ns_of, l->index.ptr + 40, sizeof(s->ns_of));
	*c = (struct checkpoint){ .loaded = true, .position = l->position, .bytes = l->size, .keys = get_le64(l->index.ptr + 24),
		.wall_ms = (int64_t)get_le64(l->index.ptr + 32) };
}

static void free_load(struct load *l)
{
	keydir_builder_free(l->builder);
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		keydir_free(l->keydir[i]);
	for (unsigned i = 0; i < AHEAD; i++)
		buf_free(&l->ring[i]);
	buf_free(&l->index);
	free(l->row);
	free(l->place);
	pthread_cond_destroy(&l->moved);
	pthread_mutex_destroy(&l->lock);
	if (l->fd >= 0)
		l->s->io->close(l->s->io, l->fd);
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
	int fd = s->io->open(s->io, s->dir, CHECKPOINT_NAME, O_RDONLY, 0);
	struct load *l = fd == -ENOENT ? NULL : calloc(1, sizeof(*l));

	if (!l) {
		if (fd >= 0)
			s->io->close(s->io, fd);
		return 1;
	}
	l->s = s;
	l->c = c;
	l->fd = fd;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->moved, NULL);
	int r = fd < 0 ? reject(l, "%s", strerror(-fd)) : read_header(l);
	if (r == 0)
		r = read_index(l);
	if (r == 0)
		r = check_start(l, ret);
	if (r == 0)
		r = build_all(l);
	if (r == 0)
		install(l);
	else
		tell_unused(s, l->why);
	free_load(l);
	return r;
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
