/* SPDX-License-Identifier: MIT
 *
 * Reading segments for a replay, ahead of the owner: each thread takes the next segment, makes batches of its whole transactions, and waits
 * when it is too far ahead. Little is read by the owner itself.
 */
#include "store/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LITTLE ((uint64_t)256 << 10) /* bytes for which no thread is started */
#define PROGRESS_MS 100

/* ---- one segment ---- */

struct reader {
	struct crew *c;
	struct feed *f;
	struct window w;
	struct batch *b;
	struct sorter *sorter;
};

static struct batch *get_batch(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	struct batch *b = c->spare;
	if (b)
		c->spare = b->next;
	pthread_mutex_unlock(&c->lock);
	if (!b)
		b = calloc(1, sizeof(*b));
	if (b)
		batch_clear(b);
	return b;
}

static void put_batch(struct crew *c, struct batch *b)
{
	pthread_mutex_lock(&c->lock);
	b->next = c->spare;
	c->spare = b;
	pthread_mutex_unlock(&c->lock);
}

/* The owner takes one batch of a feed while the next one is made. */
static int queue_batch(struct crew *c, struct feed *f, struct batch *b)
{
	pthread_mutex_lock(&c->lock);
	while (f->first && !c->stop)
		pthread_cond_wait(&c->taken, &c->lock);
	bool stop = c->stop;
	if (!stop) {
		f->first = b;
		pthread_cond_signal(&c->given);
	}
	pthread_mutex_unlock(&c->lock);
	if (stop)
		batch_free(b);
	return stop ? -ECANCELED : 0;
}

/* Hands over the whole transactions; the batch in hand is then what is left. */
static int hand_over(struct reader *r)
{
	struct batch *rest = get_batch(r->c), *b = r->b;
	int error = rest ? batch_split(b, rest) : -ENOMEM;

	if (error) {
		batch_free(rest);
		return error;
	}
	r->b = rest;
	error = batch_sort(b, r->sorter);
	if (error == 0 && r->c->threads)
		return queue_batch(r->c, r->f, b);
	if (error == 0)
		error = batch_apply(r->c->s, b);
	put_batch(r->c, b);
	return error;
}

static int take_record(struct reader *r, const struct record *rec, uint64_t offset, uint64_t size)
{
	bool control = rec->type == RECORD_FLUSH || rec->type == RECORD_SWAP;
	int error = 0;

	r->f->records++;
	r->f->marks |= record_marks(rec->type);
	/* What came before such a transaction can still be sorted. */
	if (control && !r->b->in_order && r->b->whole)
		error = hand_over(r);
	if (control)
		r->b->in_order = true;
	if (rec->type == RECORD_GAP)
		r->f->gaps++;
	else if (error == 0)
		error = batch_add(r->b, rec, locator_make(r->f->g->slot, offset, size));
	if (error || !(rec->flags & RECORD_COMMIT))
		return error;
	r->b->whole = r->b->count;
	r->f->begun = offset + size;
	return r->b->in_order || batch_is_full(r->b) ? hand_over(r) : 0;
}

static int read_records(struct reader *r)
{
	struct feed *f = r->f;
	uint64_t offset = f->from, told = offset, size;
	struct record rec;
	int error = 0;

	f->begun = offset;
	for (unsigned n = 0; offset < f->limit && error == 0; offset += size, n++) {
		error = window_record(&r->w, f->g, offset, &rec, &size);
		if (error == RECORD_BAD || (error == 0 && rec.ns >= STORE_MAX_DATABASES))
			break;
		if (error)
			return error;
		if (rec.distance != RECORD_NO_CLAIM && rec.position - rec.distance > f->proven)
			f->proven = rec.position - rec.distance;
		error = take_record(r, &rec, offset, size);
		if ((n & 1023) == 0) {
			atomic_fetch_add(&r->c->read, offset - told);
			told = offset;
			if (r->c->stop)
				return -ECANCELED;
		}
	}
	if (error < 0)
		return error;
	f->end = offset;
	return r->b->whole ? hand_over(r) : 0;
}

static int read_feed(struct crew *c, struct feed *f, struct sorter *sorter)
{
	struct reader r = { .c = c, .f = f, .sorter = sorter };
	int fd = store_segment_fd(c->s, f->g);

	if (fd < 0)
		return fd;
	r.w = (struct window){ .io = c->s->io, .fd = fd, .limit = f->limit };
	r.b = get_batch(c);
	int error = r.b ? read_records(&r) : -ENOMEM;
	batch_free(r.b);
	buf_free(&r.w.data);
	return error;
}

/* ---- the threads ---- */

static void *run(void *arg)
{
	struct crew *c = arg;
	struct sorter sorter = { 0 };

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->stop && c->next < c->feeds && c->next > c->at + c->threads)
			pthread_cond_wait(&c->taken, &c->lock);
		if (c->stop || c->next == c->feeds)
			break;
		struct feed *f = &c->feed[c->next++];
		pthread_mutex_unlock(&c->lock);
		int error = read_feed(c, f, &sorter);
		pthread_mutex_lock(&c->lock);
		f->error = error;
		f->done = true;
		pthread_cond_signal(&c->given);
	}
	pthread_mutex_unlock(&c->lock);
	sorter_free(&sorter);
	return NULL;
}

void crew_begin(struct crew *c, struct store *s, struct feed *feeds, size_t count)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t monotonic;

	*c = (struct crew){ .s = s, .feed = feeds, .feeds = count };
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->given, &monotonic);
	pthread_cond_init(&c->taken, &monotonic);
	pthread_condattr_destroy(&monotonic);
	for (size_t i = 0; i < count; i++)
		c->total += feeds[i].limit - feeds[i].from;
	if (c->total < LITTLE)
		return;
	/* Under lock: a thread looks at how many there are. */
	pthread_mutex_lock(&c->lock);
	for (long i = 0; i < cores && i < REPLAY_THREADS && (size_t)i < count; i++)
		if (thread_start(&c->thread[c->threads], run, c) == 0)
			c->threads++;
	pthread_mutex_unlock(&c->lock);
}

static void tell_progress(struct crew *c)
{
	struct store *s = c->s;
	uint64_t now = clock_mono_ns(s->clock);

	if (!s->options.progress || now - c->told_ns < (uint64_t)PROGRESS_MS * 1000000)
		return;
	c->told_ns = now;
	s->options.progress(s->options.arg, c->read, c->total);
}

/* Under lock: until the feed has a batch or is done. */
static void await_batch(struct crew *c, struct feed *f)
{
	while (!f->first && !f->done) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += PROGRESS_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&c->given, &c->lock, &until);
		tell_progress(c);
	}
}

int crew_apply(struct crew *c, size_t i)
{
	struct feed *f = &c->feed[i];
	int r = 0;

	if (c->threads == 0) {
		struct sorter sorter = { 0 };
		r = read_feed(c, f, &sorter);
		sorter_free(&sorter);
		tell_progress(c);
		return r;
	}
	pthread_mutex_lock(&c->lock);
	c->at = i;
	pthread_cond_broadcast(&c->taken);
	for (;;) {
		await_batch(c, f);
		struct batch *b = f->first;
		if (!b)
			break;
		f->first = NULL;
		pthread_cond_broadcast(&c->taken);
		pthread_mutex_unlock(&c->lock);
		r = batch_apply(c->s, b);
		put_batch(c, b);
		tell_progress(c);
		pthread_mutex_lock(&c->lock);
		if (r)
			break;
	}
	r = r ? r : f->error;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void crew_end(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->taken);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->threads; i++)
		pthread_join(c->thread[i], NULL);
	for (size_t i = 0; i < c->feeds; i++)
		batch_free(c->feed[i].first);
	while (c->spare) {
		struct batch *b = c->spare;
		c->spare = b->next;
		batch_free(b);
	}
	pthread_cond_destroy(&c->taken);
	pthread_cond_destroy(&c->given);
	pthread_mutex_destroy(&c->lock);
}
