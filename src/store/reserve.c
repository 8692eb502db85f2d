/* SPDX-License-Identifier: MIT */
#include "store/inner.h"

#include <errno.h>
#include <fcntl.h>

#define STEP_PART 4               /* it grows by a fourth at least: not with every write */
#define LARGE 2                    /* times what it should be: it shrinks */
#define SEGMENT_PART 20            /* of the disk that the log can have: less than RESERVE_PART, for what is not records */
#define SPARE ((uint64_t)64 << 10) /* bytes that others find: a file system that says how much is free is not exact */

uint64_t reserve_segment_size(const struct store *s)
{
	uint64_t size = atomic_load_explicit(&s->sync.segment_size, memory_order_relaxed);
	uint64_t most = atomic_load_explicit(&s->reserve.segment_most, memory_order_relaxed);

	return size < most ? size : most;
}

static uint64_t wanted_size(const struct store *s, uint64_t active_size)
{
	uint64_t size = (atomic_load(&s->reserve.log_bytes) + active_size) / RESERVE_PART;
	uint64_t most = atomic_load_explicit(&s->sync.segment_size, memory_order_relaxed);

	if (size > most)
		size = most;
	return size < RESERVE_LEAST ? RESERVE_LEAST : size;
}

bool reserve_is_due(const struct store *s, uint64_t active_size)
{
	uint64_t size = atomic_load_explicit(&s->reserve.size, memory_order_relaxed), wanted = wanted_size(s, active_size);

	return wanted >= size + (size / STEP_PART > RESERVE_LEAST ? size / STEP_PART : RESERVE_LEAST) || size > LARGE * wanted;
}

static int remove_file(struct store *s)
{
	atomic_store(&s->reserve.size, 0);
	return s->io->unlink(s->io, s->dir, RESERVE_NAME);
}

/* Bytes of blocks the file has: 0 or an error. */
static int measure(struct store *s, int fd, uint64_t *ret)
{
	struct stat st;
	int r = s->io->fstat(s->io, fd, &st);

	*ret = r ? 0 : (uint64_t)st.st_blocks * 512;
	return r;
}

/* Under the lock. */
static int enlarge(struct store *s, uint64_t size)
{
	uint64_t has;
	int fd = s->io->open(s->io, s->dir, RESERVE_NAME, O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		return fd;
	int r = measure(s, fd, &has);
	if (r == 0 && has < size) {
		r = s->io->allocate(s->io, fd, size);
		if (measure(s, fd, &has) && r == 0)
			has = size;
	}
	s->io->close(s->io, fd);
	/* A part is better than nothing: a quota, say, is not seen in what is free. */
	if (has == 0)
		remove_file(s);
	else
		atomic_store(&s->reserve.size, has);
	return r;
}

/* Under the lock. */
static int adjust(struct store *s, uint64_t active_size, uint64_t least)
{
	uint64_t wanted = wanted_size(s, active_size), size = atomic_load(&s->reserve.size), room;

	if (least > wanted)
		least = wanted;
	if (size > LARGE * wanted) {
		remove_file(s);
		size = 0;
	}
	if (size >= wanted)
		return 0;
	if (s->io->free_space(s->io, s->dir, &room) == 0 && room < wanted - size + SPARE)
		wanted = size + (room > SPARE ? room - SPARE : 0);
	int r = wanted > size ? enlarge(s, wanted) : 0;
	if (r && !sync_may_pass(r))
		return 0;
	return atomic_load(&s->reserve.size) < least ? -ENOSPC : 0;
}

int reserve_fill(struct store *s, uint64_t active_size, uint64_t least)
{
	pthread_mutex_lock(&s->reserve.lock);
	int r = adjust(s, active_size, least);
	pthread_mutex_unlock(&s->reserve.lock);
	return r;
}

bool reserve_give(struct store *s)
{
	pthread_mutex_lock(&s->reserve.lock);
	bool given = remove_file(s) == 0;
	atomic_store(&s->reserve.given, true);
	pthread_mutex_unlock(&s->reserve.lock);
	return given;
}

bool reserve_look(struct store *s, uint64_t active_size, uint64_t ahead)
{
	uint64_t lent = atomic_load(&s->reserve.lent), size = atomic_load(&s->reserve.size), room;

	if (s->io->free_space(s->io, s->dir, &room))
		return true; /* trying tells */
	room += size;
	uint64_t most = (atomic_load(&s->reserve.log_bytes) + active_size + room) / SEGMENT_PART;
	atomic_store(&s->reserve.room, room);
	atomic_store(&s->reserve.segment_most, most > SEGMENT_SIZE_MIN ? most : SEGMENT_SIZE_MIN);
	return lent == 0 || room >= wanted_size(s, active_size) + ahead + lent;
}

/* ---- for merges ---- */

bool reserve_is_short(const struct store *s)
{
	uint64_t at = atomic_load(&s->sync.no_space_ns);

	return store_is_full(s) || (at && clock_mono_ns(s->clock) - at < RESERVE_SHORT_NS) ||
	       atomic_load(&s->reserve.room) < atomic_load(&s->reserve.size) + MERGE_SPARE;
}

/* Bytes that are not for records: two catalogs, the headers of the outputs, names. */
static uint64_t count_overhead(const struct store *s)
{
	return SEGMENT_RESERVE + (uint64_t)s->reserve.segments * 256;
}

uint64_t reserve_room(const struct store *s, bool use)
{
	uint64_t room = atomic_load(&s->reserve.room);
	uint64_t kept = use ? count_overhead(s) : atomic_load(&s->reserve.size) + MERGE_SPARE;

	return room > kept ? (room - kept) >> (use ? s->reserve.caution : 0) : 0;
}

void reserve_take_back(struct store *s)
{
	atomic_store(&s->reserve.lent, 0);
}

void reserve_lend(struct store *s, uint64_t bytes, bool use)
{
	bytes += count_overhead(s);
	bool needed = use && bytes > reserve_room(s, false);

	atomic_store(&s->reserve.lent, needed || store_is_full(s) ? bytes : 0);
	if (needed) {
		sync_keep_full(s);
		sync_wake(s); /* for the looks it takes now and then in that state */
	} else if (!store_is_full(s)) {
		reserve_take_back(s);
	}
}

/* ---- what the owner tells ---- */

void reserve_count(struct store *s)
{
	struct store_stats stats = { 0 };

	slots_stats(s, &stats);
	s->reserve.segments = stats.segments;
	atomic_store(&s->reserve.log_bytes, stats.log_bytes - s->active->size);
}

void reserve_open(struct store *s)
{
	uint64_t has;
	int fd = s->io->open(s->io, s->dir, RESERVE_NAME, O_RDONLY, 0);

	if (fd >= 0) {
		if (measure(s, fd, &has) == 0)
			atomic_store(&s->reserve.size, has);
		s->io->close(s->io, fd);
	}
	reserve_count(s);
	reserve_fill(s, s->active->size, 0);
	atomic_store(&s->reserve.room, UINT64_MAX);
	atomic_store(&s->reserve.segment_most, UINT64_MAX);
	reserve_look(s, s->active->size, 0);
}
