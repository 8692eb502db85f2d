/* SPDX-License-Identifier: MIT
 *
 * Replay: the records of the segments, in order, make the keydir. What the last run left may end in a torn tail: the unsynced bytes of its
 * last group, missing, partial, zero or out of order. That is cut back to the last whole transaction. Anything else that does not read back is
 * damage, and then the store does not open. The two are told apart by what records claim: each names a position that was known to be durable
 * when it was written, so a bad record below the claim of a later good one was once whole on disk.
 */
#include "store/damaged.h"
#include "store/replay.h"
#include "store/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPLAY_TOO_SHORT = 2 };

struct replay {
	struct store *s;
	struct segment *g;
	struct window w;
	uint64_t begun;     /* offset behind the last whole transaction of the active segment */
	uint64_t proven;    /* position that some record, or the checkpoint, says was durable */
	uint64_t must_reach; /* position the checkpoint has seen: a log that ends before is not its own */
	struct error *e;
};

static int report_damage(struct replay *p, uint64_t offset, const char *what)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, p->g->number);
	return error_set(p->e, -EUCLEAN, "%s/%s: damaged at offset %" PRIu64 ": %s", p->s->options.path, name, offset, what);
}

/* Looks behind a bad record for a good one that says the bad one's place was durable, and for the end of what is not zero. */
static int search_claim(struct replay *p, uint64_t bad, uint64_t *ret_used)
{
	struct verify_walk v = { .w = p->w, .g = p->g };
	int r = verify_used(&v, bad, ret_used);

	if (r == 0)
		r = verify_find_claim(&v, bad);
	p->w = v.w;
	if (r == 0)
		return report_damage(p, bad, "a record fails its checksum and later records prove that it was whole once");
	if (r == VERIFY_GIVEN_UP)
		return report_damage(p, bad, "a record fails its checksum, and too much behind it looks like records to tell why");
	return r == VERIFY_END ? 0 : r;
}

/* Copies the bytes that are about to be cut to damaged/, for whoever wants to look at them. Best effort. */
static void keep_tail(struct replay *p, uint64_t from, uint64_t to)
{
	struct store *s = p->s;
	struct io *io = s->io;
	char name[64];

	int dir = damaged_open(io, s->dir);
	if (dir < 0)
		return;
	snprintf(name, sizeof(name), "%010" PRIu64 "-%" PRIu64 ".tail", p->g->number, from);
	damaged_keep(io, dir, name, &p->w, from, to);
	io->close(io, dir);
}

/*
 * What no record proves to be durable may stand in the page cache alone: pages of a sync that failed are clean, and no later sync
 * carries them. Written again they are dirty, so that the sync that follows means what it says.
 */
static int write_again(struct replay *p, uint64_t end)
{
	struct io *io = p->s->io;
	uint64_t at = p->proven > p->g->first ? segment_offset(p->g, p->proven) : SEGMENT_HEADER;
	struct slice bytes;

	for (; at < end; at += bytes.len) {
		int r = window_at(&p->w, at, WINDOW, &bytes);
		if (r || bytes.len == 0)
			return r ? r : -EIO;
		if (bytes.len > end - at)
			bytes.len = (size_t)(end - at);
		struct iovec v = { (void *)(uintptr_t)bytes.ptr, bytes.len };
		ssize_t n = io->pwritev(io, p->w.fd, &v, 1, at);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* The active segment ended at `end` (a bad record, or the limit): decide, cut, make what is left durable. */
static int cut_tail(struct replay *p, uint64_t end, uint64_t file_size)
{
	struct store *s = p->s;
	struct io *io = s->io;
	uint64_t used, cut = p->begun;
	char name[SEGMENT_NAME_SIZE];

	p->w.limit = file_size;
	int r = search_claim(p, end, &used);
	if (r)
		return r;
	p->g->size = cut;
	if (s->options.flags & STORE_READ_ONLY)
		return 0;
	if (used > cut) {
		s->tail_bytes_cut = used - cut;
		keep_tail(p, cut, used);
		segment_name(name, p->g->number);
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_TAIL_CUT, .file = name, .offset = cut, .bytes = used - cut },
			"%s: an incomplete end of %" PRIu64 " bytes at offset %" PRIu64 " was cut; it is kept in damaged/", name,
			used - cut, cut);
	}
	/* Old bytes behind the cut must be gone before new records reach that far. And what was replayed from the page cache must be on
	 * disk before anybody is shown it. */
	r = write_again(p, cut);
	if (sync_needs_space(r) && reserve_give(s)) /* where even what is there is written to new blocks */
		r = write_again(p, cut);
	if (r == 0 && file_size > cut)
		r = io->ftruncate(io, p->w.fd, cut);
	return r ? r : io->fsync(io, p->w.fd);
}

/* What has been read of the active segment, judged by how the last run ended. */
static int judge_active(struct replay *p, const struct catalog *c, const struct feed *f)
{
	struct stat st;
	int r = p->s->io->fstat(p->s->io, p->w.fd, &st);

	if (r)
		return r;
	uint64_t file_size = (uint64_t)st.st_size;
	if (segment_position(p->g, f->begun) < p->must_reach)
		return REPLAY_TOO_SHORT;
	if (c->clean && f->begun != c->clean_size)
		return report_damage(p, f->end, "a record fails its checksum though the last stop was clean");
	if (c->clean && file_size > f->end) {
		struct record next;
		uint64_t size;
		p->w.limit = file_size;
		r = window_record(&p->w, p->g, f->end, &next, &size);
		if (r == 0)
			return report_damage(p, f->end, "a record behind the clean stop: " CATALOG_NAME " must be an old copy");
		if (r != RECORD_BAD)
			return r;
	}
	if (c->clean)
		p->proven = segment_position(p->g, f->end);
	p->begun = f->begun;
	return cut_tail(p, f->end, file_size);
}

/* Adds a segment to the table and looks at what can be seen without reading it: header and size. */
static int open_segment(struct replay *p, const struct catalog_segment *in)
{
	struct store *s = p->s;
	struct stat st;
	uint64_t first;
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, in->number);
	p->g = store_add_segment(s, in->number, in->first);
	if (!p->g)
		return error_set(p->e, -ENOMEM, "out of memory");
	int fd = s->io->open(s->io, s->dir, name, s->options.flags & STORE_READ_ONLY ? O_RDONLY : O_RDWR, 0);
	if (fd < 0)
		return error_set(p->e, fd == -ENOENT ? -EUCLEAN : fd, "%s/%s: %s", s->options.path, name,
			fd == -ENOENT ? "named in the catalog but missing" : strerror(-fd));
	atomic_store(&p->g->fd, fd);
	int r = segment_check_header(s->io, fd, s->id, in->number, &first, p->e);
	if (r == 0 && first != in->first)
		r = report_damage(p, 32, "its first position is not the catalog's");
	if (r)
		return r;
	p->e->code = 0;
	r = s->io->fstat(s->io, fd, &st);
	if (r)
		return error_set(p->e, r, "%s/%s: %s", s->options.path, name, strerror(-r));
	if (in->size && (uint64_t)st.st_size < in->size)
		return report_damage(p, (uint64_t)st.st_size, "the file is shorter than the catalog says");
	if (in->size) {
		p->g->size = in->size;
		/* Opened again when it is read: the number of segments must not be bounded by that of descriptors. */
		atomic_store(&p->g->fd, -1);
		s->io->close(s->io, fd);
	}
	return 0;
}

static int open_segments(struct replay *p, const struct catalog *c)
{
	for (size_t i = 0; i < c->count; i++) {
		/* Where a merge has been, the log has holes. */
		if (i && segment_position(p->g, p->g->size) > c->segment[i].first)
			return error_set(p->e, -EUCLEAN, "%s/" CATALOG_NAME ": segment %" PRIu64 " does not follow the one before it",
				p->s->options.path, c->segment[i].number);
		int r = open_segment(p, &c->segment[i]);
		if (r)
			return r;
	}
	return 0;
}

/* Applies what the crew has read of a segment, and judges how it ends. */
static int replay_segment(struct replay *p, const struct catalog *c, struct crew *crew, size_t i)
{
	struct store *s = p->s;
	struct feed *f = &crew->feed[i];
	char name[SEGMENT_NAME_SIZE];
	bool sealed = f->g != s->slot[c->count - 1];

	segment_name(name, f->g->number);
	p->g = f->g;
	int r = crew_apply(crew, i), fd = atomic_load(&f->g->fd);
	s->recovered_records += f->records;
	s->gaps += f->gaps;
	f->g->marks |= f->marks;
	if (f->proven > p->proven)
		p->proven = f->proven;
	p->w = (struct window){ .io = s->io, .fd = fd };
	if (r == 0 && sealed && f->begun != f->limit)
		r = report_damage(p, f->end, "a record fails its checksum");
	else if (r == 0 && !sealed)
		r = judge_active(p, c, f);
	buf_free(&p->w.data);
	if (sealed && fd >= 0) {
		/* Opened again when it is read: the number of segments must not be bounded by that of descriptors. */
		atomic_store(&f->g->fd, -1);
		s->io->close(s->io, fd);
	}
	if (r && !p->e->code)
		error_set(p->e, r, "%s/%s: %s", s->options.path, name, strerror(-r));
	s->recovered_bytes += f->g->size - (f->from > SEGMENT_HEADER ? f->from : 0);
	return r;
}

/* How far the active segment may be read. */
static int find_limit(struct replay *p, const struct catalog *c, uint64_t *ret)
{
	struct stat st;
	int r = p->s->io->fstat(p->s->io, atomic_load(&p->g->fd), &st);

	if (r)
		return error_set(p->e, r, "%s: %s", p->s->options.path, strerror(-r));
	if (c->clean && (uint64_t)st.st_size < c->clean_size)
		return report_damage(p, (uint64_t)st.st_size, "the file is shorter than the clean stop left it");
	*ret = c->clean ? c->clean_size : (uint64_t)st.st_size;
	return 0;
}

/* Replays from a place of the log on. */
static int replay_from(struct replay *p, const struct catalog *c, size_t from, uint64_t offset)
{
	struct store *s = p->s;
	size_t count = c->count - from;
	struct feed *feed = calloc(count, sizeof(*feed));
	struct crew crew;

	if (!feed)
		return error_set(p->e, -ENOMEM, "out of memory");
	s->recovered_records = s->recovered_bytes = s->gaps = 0;
	for (size_t i = 0; i < count; i++)
		feed[i] = (struct feed){ .g = s->slot[from + i], .from = i ? SEGMENT_HEADER : offset, .limit = c->segment[from + i].size };
	p->g = feed[count - 1].g;
	int r = find_limit(p, c, &feed[count - 1].limit);
	if (r == 0) {
		crew_begin(&crew, s, feed, count);
		for (size_t i = 0; i < count && r == 0; i++)
			r = replay_segment(p, c, &crew, i);
		crew_end(&crew);
	}
	free(feed);
	return r;
}

/* 0; 1: there is no checkpoint, or it has turned out not to be one of this log; or an error. */
static int replay_after_checkpoint(struct replay *p, const struct catalog *c)
{
	struct checkpoint_start start;

	if (checkpoint_load(p->s, c, &start))
		return 1;
	p->proven = p->must_reach = start.end;
	int r = replay_from(p, c, start.from, start.offset);
	p->must_reach = 0;
	if (r == 0 || (r != -EUCLEAN && r != REPLAY_TOO_SHORT))
		return r;
	/* Nothing was changed on disk yet. Whether it is the checkpoint that is wrong or the log, reading all of it tells. */
	p->proven = 0;
	p->e->code = 0;
	checkpoint_unload(p->s, "the log does not go on where it ends");
	return 1;
}

int replay_all(struct store *s, const struct catalog *c, struct error *e)
{
	struct replay p = { .s = s, .e = e };
	uint64_t start = clock_mono_ns(s->clock);

	int r = open_segments(&p, c);
	if (r == 0)
		r = replay_after_checkpoint(&p, c);
	if (r == 1)
		r = replay_from(&p, c, 0, SEGMENT_HEADER);
	if (r)
		return r;
	s->active = p.g;
	s->position = segment_position(p.g, p.g->size);
	s->recovery_us = (clock_mono_ns(s->clock) - start) / 1000;
	return 0;
}
