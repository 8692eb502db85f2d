/* SPDX-License-Identifier: MIT */
#include "store/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/thread.h"
#include "store/verify.h"

#define STATE_NAME "SCRUB" /* holds the time of the last pass, Unix ms */
#define FIRST_MS ((int64_t)3600 * 1000)
#define BACKGROUND_NICE 19
#define LISTING_MAX 100 /* damaged reads waiting to be listed: who reads the same again and again adds nothing */
#define NOTES_MAX 1000 /* places of one pass that are listed and told one by one */

/* One segment as it was when the pass began: the owner's own may change or go meanwhile. */
struct scrub_segment {
	uint64_t number, first, limit;
};

struct scrub_note {
	struct scrub_note *next;
	uint64_t segment, offset, size;
	const char *kind;
	bool has_key;
	unsigned ns;
	size_t key_len;
	char key[];
};

static struct scrub_note *new_note(uint64_t segment, uint64_t offset, uint64_t size, const char *kind, bool has_key, unsigned ns,
	struct slice key)
{
	struct scrub_note *n = malloc(sizeof(*n) + key.len);

	if (!n)
		return NULL;
	*n = (struct scrub_note){ .segment = segment, .offset = offset, .size = size, .kind = kind, .has_key = has_key, .ns = ns, .key_len = key.len };
	if (key.len)
		memcpy(n->key, key.ptr, key.len);
	return n;
}

static void free_notes(struct scrub_note *n)
{
	while (n) {
		struct scrub_note *next = n->next;
		free(n);
		n = next;
	}
}

/* ---- the thread ---- */

/* The damaged bytes as they are now: the segment may be merged away. */
static void keep_bytes(struct store *s, int folder, const char *segment, const struct scrub_note *n)
{
	char name[64];
	int fd = s->io->open(s->io, s->dir, segment, O_RDONLY, 0);
	struct window w = { .io = s->io, .fd = fd, .limit = n->offset + n->size };

	if (fd < 0)
		return;
	snprintf(name, sizeof(name), "%010" PRIu64 "-%" PRIu64 ".bytes", n->segment, n->offset);
	damaged_keep(s->io, folder, name, &w, n->offset, n->offset + n->size);
	buf_free(&w.data);
	s->io->close(s->io, fd);
}

static void list_note(struct store *s, const struct scrub_note *n)
{
	char name[SEGMENT_NAME_SIZE];

	if (s->options.flags & STORE_READ_ONLY)
		return;
	segment_name(name, n->segment);
	int folder = damaged_open(s->io, s->dir);
	if (folder < 0)
		return;
	struct damaged_place place = { .file = name, .offset = n->offset, .size = n->size, .kind = n->kind, .has_key = n->has_key, .ns = n->ns,
		.key = slice(n->key, n->key_len), .note = "found while running" };
	if (damaged_list(s->io, folder, clock_wall_ms(s->clock), &place) == 0)
		keep_bytes(s, folder, name, n);
	s->io->close(s->io, folder);
}

static void report(struct store *s, const struct scrub_segment *g, const struct verify_item *item)
{
	struct scrub *c = &s->scrub;
	bool known = item->kind == VERIFY_VALUE;
	struct scrub_note *n = new_note(g->number, item->offset, item->size, known ? "value" : "bytes", known, known ? item->record.ns : 0,
		known ? item->record.key : slice(NULL, 0));

	pthread_mutex_lock(&c->lock);
	c->counts.damaged++;
	bool tell = n && c->counts.damaged <= NOTES_MAX;
	pthread_mutex_unlock(&c->lock);
	if (!tell) {
		free(n);
		return;
	}
	list_note(s, n);
	pthread_mutex_lock(&c->lock);
	n->next = c->found;
	c->found = n;
	pthread_mutex_unlock(&c->lock);
	store_notify(s);
}

/* Sleeps until the bytes read so far are within the rate. */
static void keep_rate(struct store *s, uint64_t begun_ns, uint64_t bytes)
{
	struct scrub *c = &s->scrub;
	uint64_t rate = atomic_load(&c->rate);

	while (rate && !atomic_load(&c->hurry) && !atomic_load(&c->quit)) {
		struct timespec now, until;
		clock_gettime(CLOCK_MONOTONIC, &now);
		uint64_t due = begun_ns + bytes / rate * 1000000000 + bytes % rate * 1000000000 / rate;
		uint64_t at = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
		if (at >= due)
			return;
		if (due - at > 100000000) /* the rate may be changed meanwhile */
			due = at + 100000000;
		until = (struct timespec){ (time_t)(due / 1000000000), (long)(due % 1000000000) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		rate = atomic_load(&c->rate);
	}
}

struct pass {
	uint64_t begun_ns, bytes, paced;
};

static void count_item(struct store *s, struct pass *p, const struct scrub_segment *g, const struct verify_item *item)
{
	struct scrub *c = &s->scrub;

	p->bytes += item->size;
	pthread_mutex_lock(&c->lock);
	c->counts.bytes += item->size;
	c->counts.records += item->kind == VERIFY_RECORD;
	c->counts.segment = g->number;
	c->counts.offset = item->offset;
	pthread_mutex_unlock(&c->lock);
	if (item->kind != VERIFY_RECORD)
		report(s, g, item);
	if (p->bytes - p->paced > WINDOW / 4) {
		p->paced = p->bytes;
		keep_rate(s, p->begun_ns, p->bytes);
	}
}

static void walk_segment(struct store *s, struct pass *p, const struct scrub_segment *in)
{
	struct segment g = { .number = in->number, .first = in->first, .seed = record_segment_seed(s->id, in->number) };
	char name[SEGMENT_NAME_SIZE];
	struct verify_item item = { .size = in->limit };
	struct verify_walk v;
	uint64_t first;
	struct error e = { 0 };

	segment_name(name, in->number);
	int fd = s->io->open(s->io, s->dir, name, O_RDONLY, 0);
	if (fd == -ENOENT) /* a merge has taken it away */
		return;
	int r = fd < 0 ? fd : segment_check_header(s->io, fd, s->id, in->number, &first, &e);
	if (r)
		report(s, in, &(struct verify_item){ .kind = VERIFY_BYTES, .size = SEGMENT_HEADER });
	if (fd < 0)
		return;
	verify_begin(&v, s->io, fd, &g, in->limit);
	while (!atomic_load(&s->scrub.quit) && verify_next(&v, &item) == 0)
		count_item(s, p, in, &item);
	verify_done(&v);
	s->io->close(s->io, fd);
}

static void save_time(struct store *s)
{
	char text[NUM_I64_CHARS + 2];
	size_t len = num_format_u64(text, (uint64_t)clock_wall_ms(s->clock));

	if (s->options.flags & STORE_READ_ONLY)
		return;
	int fd = s->io->open(s->io, s->dir, STATE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return;
	text[len++] = '\n';
	struct iovec v = { text, len };
	(void)s->io->pwritev(s->io, fd, &v, 1, 0); /* when it is lost the next pass comes early */
	s->io->close(s->io, fd);
}

static void run_pass(struct store *s)
{
	struct scrub *c = &s->scrub;
	struct timespec now;
	struct pass p = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	p.begun_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	for (size_t i = 0; i < c->count && !atomic_load(&c->quit); i++) {
		walk_segment(s, &p, &c->list[i]);
		pthread_mutex_lock(&c->lock);
		c->counts.segments++;
		pthread_mutex_unlock(&c->lock);
	}
	if (!atomic_load(&c->quit))
		save_time(s);
	pthread_mutex_lock(&c->lock);
	c->ended = true;
	c->counts.ended_ms = clock_wall_ms(s->clock);
	pthread_mutex_unlock(&c->lock);
	store_notify(s);
}

static void *run(void *arg)
{
	struct store *s = arg;
	struct scrub *c = &s->scrub;

	thread_to_background(BACKGROUND_NICE);
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		struct scrub_note *n = c->to_list;
		bool begin = c->begin && !n;
		if (!n && !begin) {
			pthread_cond_wait(&c->work, &c->lock);
			continue;
		}
		c->to_list = n ? n->next : NULL;
		c->listing -= n != NULL;
		c->begin &= !begin;
		pthread_mutex_unlock(&c->lock);
		if (n)
			list_note(s, n);
		else
			run_pass(s);
		free(n);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* ---- the owner ---- */

static int wake(struct store *s)
{
	struct scrub *c = &s->scrub;

	if (!c->running)
		c->running = thread_start(&c->thread, run, s) == 0;
	pthread_mutex_lock(&c->lock);
	pthread_cond_signal(&c->work);
	pthread_mutex_unlock(&c->lock);
	return c->running ? 0 : -EAGAIN;
}

/* Segments, and of each what is known to be on disk. */
static int list_segments(struct store *s)
{
	struct scrub *c = &s->scrub;
	uint64_t durable = store_durable(s);

	free(c->list);
	c->count = 0;
	c->list = calloc(s->slots ? s->slots : 1, sizeof(*c->list));
	for (unsigned i = 0; c->list && i < s->slots; i++) {
		const struct segment *g = s->slot[i];
		if (!g || g->role == SEGMENT_OUTPUT || durable <= g->first)
			continue;
		uint64_t end = segment_offset(g, durable);
		c->list[c->count++] = (struct scrub_segment){ g->number, g->first, end < g->size ? end : g->size };
	}
	return c->list ? 0 : -ENOMEM;
}

int store_scrub_begin(struct store *s, bool hurry)
{
	struct scrub *c = &s->scrub;

	if (hurry)
		atomic_store(&c->hurry, true);
	if (c->active)
		return 0;
	int r = list_segments(s);
	if (r)
		return r;
	atomic_store(&c->hurry, hurry);
	pthread_mutex_lock(&c->lock);
	c->counts = (struct store_scrub){ .running = true, .passes = c->counts.passes, .of = c->count };
	c->begin = true;
	c->ended = false;
	pthread_mutex_unlock(&c->lock);
	c->active = true;
	r = wake(s);
	if (r) {
		c->active = c->begin = false;
		c->counts.running = false;
	}
	return r;
}

int store_scrub_wait(struct store *s, struct store_fetch *f)
{
	if (!f)
		return STORE_PENDING;
	int r = fetch_joined(f);
	if (r != STORE_ABSENT)
		return r;
	r = store_scrub_begin(s, true);
	if (r == 0)
		r = fetch_join(f);
	return r ? r : STORE_PENDING;
}

void store_scrub_tick(struct store *s)
{
	struct scrub *c = &s->scrub;

	if (c->interval_ms && !c->active && clock_wall_ms(s->clock) >= c->due_ms)
		store_scrub_begin(s, false);
}

/* A clock that was set back must not put the next pass off for ever. */
static void set_due(struct store *s, int64_t last)
{
	int64_t now = clock_wall_ms(s->clock);

	s->scrub.due_ms = (last > now ? now : last) + (int64_t)s->scrub.interval_ms;
}

static int64_t read_time(struct store *s)
{
	char text[NUM_I64_CHARS + 2];
	uint64_t last;
	int fd = s->io->open(s->io, s->dir, STATE_NAME, O_RDONLY, 0);
	ssize_t n = fd < 0 ? 0 : s->io->pread(s->io, fd, text, sizeof(text), 0, 0);

	if (fd >= 0)
		s->io->close(s->io, fd);
	if (n < 2 || text[n - 1] != '\n' || num_parse_u64(slice(text, (size_t)n - 1), &last) || last > INT64_MAX / 2)
		return 0;
	return (int64_t)last;
}

void store_set_scrub(struct store *s, uint64_t rate, uint64_t interval_ms)
{
	struct scrub *c = &s->scrub;

	atomic_store(&c->rate, rate);
	if (interval_ms == c->interval_ms)
		return;
	int64_t last = interval_ms ? read_time(s) : 0, now = clock_wall_ms(s->clock);
	c->interval_ms = interval_ms;
	if (last) {
		set_due(s, last);
	} else {
		/* Never yet: not at once, when a daemon has much else to do. */
		c->due_ms = now + ((int64_t)interval_ms < FIRST_MS ? (int64_t)interval_ms : FIRST_MS);
	}
}

void store_scrub_state(const struct store *s, struct store_scrub *ret)
{
	struct store *mine = (struct store *)s; /* the lock is not state */

	pthread_mutex_lock(&mine->scrub.lock);
	*ret = s->scrub.counts;
	pthread_mutex_unlock(&mine->scrub.lock);
	ret->standing = s->scrub.standing;
}

/* A damaged place: is it somebody's current version? */
static bool is_live(struct store *s, const struct scrub_note *n)
{
	struct keydir_entry entry;

	if (!n->has_key || n->ns >= STORE_MAX_DATABASES || !s->keydir[n->ns] || keydir_get(s->keydir[n->ns], slice(n->key, n->key_len), &entry))
		return false;
	const struct segment *g = s->slot[locator_slot(entry.where)];
	return g->number == n->segment && locator_offset(entry.where) == n->offset;
}

static void tell(struct store *s, const struct scrub_note *n)
{
	char name[SEGMENT_NAME_SIZE], key[200] = "";

	segment_name(name, n->segment);
	if (n->has_key)
		snprintf(key, sizeof(key), ", %s key \"%.*s\"", is_live(s, n) ? "the current value of" : "an older value of",
			(int)(n->key_len < 100 ? n->key_len : 100), n->key);
	for (char *p = key; *p; p++)
		if ((unsigned char)*p < 32 || *p == 127)
			*p = '?';
	s->damaged++;
	s->scrub.standing++;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_DAMAGE, .file = name, .offset = n->offset, .bytes = n->size },
		"%s: damaged at offset %" PRIu64 ", %" PRIu64 " bytes%s", name, n->offset, n->size, key);
}

void scrub_poll(struct store *s)
{
	struct scrub *c = &s->scrub;

	if (!c->active)
		return;
	pthread_mutex_lock(&c->lock);
	struct scrub_note *found = c->found, *n;
	bool ended = c->ended;
	c->found = NULL;
	c->ended = false;
	if (ended) {
		c->counts.running = false;
		c->counts.passes++;
	}
	struct store_scrub counts = c->counts;
	pthread_mutex_unlock(&c->lock);
	for (n = found; n; n = n->next)
		tell(s, n);
	free_notes(found);
	if (!ended)
		return;
	c->active = false;
	c->standing = counts.damaged;
	set_due(s, clock_wall_ms(s->clock));
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_SCRUBBED, .records = counts.records, .bytes = counts.bytes },
		"%" PRIu64 " segment%s, %" PRIu64 " record%s, %" PRIu64 " bytes read back: %" PRIu64 " damaged", counts.segments,
		num_plural(counts.segments), counts.records, num_plural(counts.records), counts.bytes, counts.damaged);
	fetch_release(s);
}

void scrub_note(struct store *s, const struct damaged_place *place)
{
	struct scrub *c = &s->scrub;
	struct scrub_note *n = new_note(segment_name_number(place->file), place->offset, place->size, place->kind, place->has_key, place->ns, place->key);

	if (s->scrub.standing == 0)
		s->scrub.standing = 1;
	if (!n || s->options.flags & STORE_READ_ONLY) {
		free(n);
		return;
	}
	pthread_mutex_lock(&c->lock);
	bool take = c->listing < LISTING_MAX;
	if (take) {
		n->next = c->to_list;
		c->to_list = n;
		c->listing++;
	}
	pthread_mutex_unlock(&c->lock);
	if (take)
		wake(s);
	else
		free(n);
}

void scrub_init(struct store *s)
{
	pthread_mutex_init(&s->scrub.lock, NULL);
	pthread_cond_init(&s->scrub.work, NULL);
}

void scrub_stop(struct store *s)
{
	struct scrub *c = &s->scrub;

	atomic_store(&c->quit, true);
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
	if (c->running)
		pthread_join(c->thread, NULL);
	free_notes(c->to_list);
	free_notes(c->found);
	free(c->list);
	pthread_cond_destroy(&c->work);
	pthread_mutex_destroy(&c->lock);
}
