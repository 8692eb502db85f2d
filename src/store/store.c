/* SPDX-License-Identifier: MIT
 *
 * The store as a whole: opening and closing, events, the segment table.
 */
#include "store/txn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define OPEN_SEGMENTS 64

void store_set_problem(struct store *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->problem, sizeof(s->problem), format, ap);
	va_end(ap);
}

void store_tell(struct store *s, struct store_event e, const char *format, ...)
{
	char text[640];
	va_list ap;

	if (!s->options.event)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	e.text = text;
	s->options.event(s->options.arg, &e);
}

void store_notify(struct store *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->notify_fd, &one, sizeof(one));

	(void)n; /* full means that it is readable already */
}

void store_lose_sight(struct store *s)
{
	s->incomplete = true;
	sync_fail(s, -ENOMEM, "taking back a commit of");
}

/* ---- segments ---- */

static struct segment *add_segment(struct store *s, uint64_t number, uint64_t first, bool unnamed, enum segment_role role)
{
	struct segment *g = calloc(1, sizeof(*g));

	if (!g || slots_take(s, &g->slot)) {
		free(g);
		return NULL;
	}
	g->number = number;
	g->first = first;
	g->size = SEGMENT_HEADER;
	g->seed = record_segment_seed(s->id, number);
	g->unnamed = unnamed;
	g->role = role;
	atomic_init(&g->fd, -1);
	pthread_mutex_lock(&s->table_lock);
	s->slot[g->slot] = g;
	if (s->next_number <= number)
		s->next_number = number + 1;
	pthread_mutex_unlock(&s->table_lock);
	return g;
}

struct segment *store_add_segment(struct store *s, uint64_t number, uint64_t first)
{
	return add_segment(s, number, first, false, SEGMENT_IN_LOG);
}

struct segment *store_add_output(struct store *s, uint64_t first)
{
	return add_segment(s, s->next_number, first, true, SEGMENT_OUTPUT);
}

void store_drop_segment(struct store *s)
{
	struct segment *g = s->active;

	if (s->next_number == g->number + 1)
		s->next_number = g->number;
	s->active = g->previous;
	s->active->sealed = false;
	if (s->compact.sealing == g)
		s->compact.sealing = s->active; /* which is how a compaction sees that it is not sealed */
	slots_remove(s, g);
	free(g);
}

struct segment *store_begin_segment(struct store *s)
{
	char name[SEGMENT_NAME_SIZE];
	struct segment *g = add_segment(s, s->next_number, s->position, true, SEGMENT_IN_LOG);

	if (!g)
		return NULL;
	g->previous = s->active;
	s->active->sealed = true;
	s->active = g;
	s->opens++; /* the one before stays open */
	reserve_count(s);
	segment_name(name, g->number);
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_ROTATED, .file = name }, "%s: begun", name);
	return g;
}

int store_segment_fd(struct store *s, struct segment *g)
{
	char name[SEGMENT_NAME_SIZE];
	int fd = atomic_load(&g->fd), none = -1;

	if (fd >= 0)
		return fd;
	segment_name(name, g->number);
	fd = s->io->open(s->io, s->dir, name, O_RDONLY, 0);
	/* Two threads may have opened it at once: the first one's descriptor stays. */
	if (fd >= 0 && !atomic_compare_exchange_strong(&g->fd, &none, fd)) {
		s->io->close(s->io, fd);
		fd = none;
	}
	return fd;
}

void store_count_live(struct store *s, uint64_t where)
{
	atomic_fetch_add_explicit(&s->slot[locator_slot(where)]->live_bytes, locator_size(where), memory_order_relaxed);
}

void store_count_dead(struct store *s, uint64_t where)
{
	atomic_fetch_sub_explicit(&s->slot[locator_slot(where)]->live_bytes, locator_size(where), memory_order_relaxed);
}

/* ---- opening and closing ---- */

static int check_options(struct store_options *o, struct error *e)
{
	if (o->databases == 0)
		o->databases = 16;
	if (o->segment_size == 0)
		o->segment_size = UINT64_C(64) << 20;
	if (o->max_value == 0)
		o->max_value = STORE_MAX_VALUE;
	if (o->interval_ms == 0)
		o->interval_ms = 1000;
	if (o->cache_size == UINT64_MAX)
		o->cache_size = CACHE_DEFAULT;
	if (o->open_segments == 0)
		o->open_segments = OPEN_SEGMENTS;
	if (!o->io)
		o->io = &io_system;
	if (!o->clock)
		o->clock = &clock_system;
	if (o->databases > STORE_MAX_DATABASES)
		return error_set(e, -EINVAL, "databases: %u, the limit is %d", o->databases, STORE_MAX_DATABASES);
	if (o->segment_size < SEGMENT_SIZE_MIN || o->segment_size > SEGMENT_SIZE_MAX)
		return error_set(e, -EINVAL, "segment size: %llu bytes, allowed are 1 MiB to 16 GiB", (unsigned long long)o->segment_size);
	if (o->max_value > STORE_MAX_VALUE)
		return error_set(e, -EINVAL, "largest value: %u bytes, the limit is %u", o->max_value, STORE_MAX_VALUE);
	return 0;
}

static int make_keydirs(struct store *s)
{
	for (unsigned i = 0; i < s->databases; i++) {
		if (!s->keydir[i])
			s->keydir[i] = keydir_new();
		if (!s->keydir[i])
			return -ENOMEM;
	}
	/* A database may have been exchanged with one that is outside the number now configured. */
	for (unsigned i = 0; i < s->databases; i++)
		if (!s->keydir[s->ns_of[i]] && !(s->keydir[s->ns_of[i]] = keydir_new()))
			return -ENOMEM;
	return 0;
}

static int set_up(struct store *s)
{
	void *table = mmap(NULL, LOCATOR_SLOTS * sizeof(*s->slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Reserved whole, so that it never moves under a reading thread; pages never touched cost nothing. */
	s->slot = table == MAP_FAILED ? NULL : table;
	s->txn = txn_new(s);
	s->blocks = blocks_new(!(s->options.flags & STORE_BLOCKING)); /* there, nobody need come again for the rest */
	s->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->notify_fd < 0)
		return -errno;
	if (!s->slot || !s->txn || !s->blocks)
		return -ENOMEM;
	return cache_init(&s->cache, s->options.cache_size);
}

static void release(struct store *s)
{
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++) {
		keydir_free(s->keydir[i]);
		buf_free(&s->expire_from[i]);
	}
	snapshot_stop(s);
	rollback_free(s);
	recent_free(&s->recent);
	cache_free(&s->cache);
	pieces_forget(&s->pieces);
	txn_free(s->txn);
	pack_free(&s->pack);
	tail_free(&s->tail);
	slots_free(s);
	blocks_leave(s->blocks);
	if (s->slot)
		munmap(s->slot, LOCATOR_SLOTS * sizeof(*s->slot));
	if (s->notify_fd >= 0)
		close(s->notify_fd);
	if (s->lock_fd >= 0)
		s->io->close(s->io, s->lock_fd);
	if (s->dir >= 0)
		s->io->close(s->io, s->dir);
	pthread_mutex_destroy(&s->table_lock);
	pthread_mutex_destroy(&s->catalog_lock);
	pthread_mutex_destroy(&s->reserve.lock);
	free(s);
}

static int open_store(struct store *s, struct error *e)
{
	int r = set_up(s);

	if (r)
		return error_set(e, r, "cannot set up the store: %s", strerror(-r));
	s->dir = s->io->open_dir(s->io, s->options.path);
	if (s->dir < 0)
		return error_set(e, s->dir, "%s: %s", s->options.path, strerror(-s->dir));
	r = recover_open(s, e);
	if (r)
		return r;
	slots_opened(s);
	r = make_keydirs(s);
	if (r == 0)
		r = snapshot_start(s);
	if (r == 0)
		r = sync_start(s);
	if (r == 0 && !(s->options.flags & STORE_READ_ONLY))
		reserve_open(s);
	return r ? error_set(e, r, "%s", strerror(-r)) : 0;
}

int store_open(const struct store_options *options, struct store **ret, struct error *ret_error)
{
	struct error local = { 0 }, *e = ret_error ? ret_error : &local;
	struct store *s = calloc(1, sizeof(*s));

	e->code = 0;
	if (!s)
		return error_set(e, -ENOMEM, "out of memory");
	s->options = *options;
	int r = check_options(&s->options, e);
	if (r) {
		free(s);
		return r;
	}
	s->io = s->options.io;
	s->clock = s->options.clock;
	s->dir = s->lock_fd = s->notify_fd = -1;
	s->slots_before_reuse = 4096;
	s->databases = s->options.databases;
	store_set_compression(s, s->options.compression, s->options.compression_level, s->options.compression_min);
	s->wall_base = clock_wall_ms(s->clock);
	s->mono_base = clock_mono_ns(s->clock);
	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		s->ns_of[i] = (uint8_t)i;
	atomic_store(&s->sync.durability, s->options.durability);
	atomic_store(&s->sync.interval_ms, s->options.interval_ms);
	pthread_mutex_init(&s->table_lock, NULL);
	pthread_mutex_init(&s->catalog_lock, NULL);
	pthread_mutex_init(&s->reserve.lock, NULL);
	pool_start(s);
	scrub_init(s);
	r = open_store(s, e);
	if (r) {
		scrub_stop(s);
		pool_stop(s);
		if (s->sync.started)
			sync_stop(s);
		release(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* Everything is synced: cut what was allocated ahead and say so in the catalog. */
static int mark_clean(struct store *s)
{
	int fd = store_segment_fd(s, s->active);

	if (fd < 0)
		return fd;
	int r = s->io->ftruncate(s->io, fd, s->active->size);
	if (r == 0)
		r = s->io->fsync(s->io, fd);
	return r ? r : slots_name_active(s, s->active, true);
}

int store_close(struct store *s)
{
	if (!s)
		return 0;
	txn_abort(s->txn);
	snapshot_stop(s);
	merge_stop(s);
	store_poll(s);
	store_submit(s);
	s->closing = true;
	checkpoint_stop(s);
	scrub_stop(s);
	int r = sync_stop(s);
	pool_stop(s);
	if (r == 0 && !(s->options.flags & STORE_READ_ONLY)) {
		r = mark_clean(s);
		if (r == 0)
			checkpoint_at_close(s);
	}
	release(s);
	return r;
}
