/* SPDX-License-Identifier: MIT
 *
 * Cold records: reads that would wait for the disk are done by a small pool of threads, and so is work on large values. What a request waits for is one
 * store_fetch; it is complete when all has come back, and keeps the bytes until its request is done.
 */
#include "store/inner.h"
#include "store/work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_MAX ((uint64_t)1 << 30) /* bytes of records one request may hold */
#define WORK_MAX ((uint64_t)2 << 30)  /* and of values made for it */

enum item_state { ITEM_LISTED, ITEM_RUNNING, ITEM_READY };

struct part {
	bool learns;           /* the pieces, of the record of this key; otherwise some bytes are read */
	struct pieces *pieces;
	size_t from, n;
	size_t key_len;
	char key[];
};

struct fetch_item {
	struct fetch_item *next_in_queue;
	struct fetch_item *next; /* of the same fetch */
	struct store_fetch *fetch;
	struct segment *segment; /* of the record */
	struct keydir *keydir;   /* or a keydir to free, then nothing else is set */
	uint64_t where;
	struct store_work *work; /* or work on large values */
	struct part *part;       /* of the record not all, but its pieces or some bytes */
	bool joins;              /* or nothing: it waits for the scrub */
	uint64_t rollbacks, number; /* of what is young: its place may be given out again after others, or in another segment than of this number */
	enum item_state state;
	bool used;               /* by the last run of the request */
	int error;
	struct fetched fetched;
};

struct store_fetch {
	struct store *store;
	void *token;
	struct store_fetch *next, **link; /* all of the store */
	struct fetch_item *first, *last, *hint;
	size_t running;
	uint64_t bytes, work_bytes; /* of the records on the list, of the blocks that work makes */
	_Atomic bool dropped; /* freed by its owner while reads were running */
};

struct store_fetch *store_fetch_new(struct store *s, void *token)
{
	struct store_fetch *f = calloc(1, sizeof(*f));

	if (f) {
		f->store = s;
		f->token = token;
		f->next = s->pool.fetches;
		f->link = &s->pool.fetches;
		if (f->next)
			f->next->link = &f->next;
		s->pool.fetches = f;
	}
	return f;
}

static void free_part(struct part *part)
{
	if (part)
		free(part->pieces);
	free(part);
}

static void free_item(struct store_fetch *f, struct fetch_item *item)
{
	if (item->segment)
		slots_unpin(f->store, item->segment);
	block_unref(item->fetched.block);
	work_free(item->work);
	free_part(item->part);
	free(item);
}

void store_fetch_reset(struct store_fetch *f)
{
	while (f->first) {
		struct fetch_item *item = f->first;
		f->first = item->next;
		free_item(f, item);
	}
	f->last = f->hint = NULL;
	f->bytes = f->work_bytes = 0;
}

static uint64_t count_bytes(const struct fetch_item *item)
{
	if (item->part)
		return item->part->n;
	return item->segment ? locator_size(item->where) : 0;
}

/* What the last run did not ask for again is of keys that others have written anew: a request that is overtaken must not heap that up. */
static void drop_unused(struct store_fetch *f)
{
	struct fetch_item **link = &f->first, *item;

	f->last = f->hint = NULL;
	while ((item = *link)) {
		if (item->used || item->state != ITEM_READY) {
			item->used = false;
			f->last = item;
			link = &item->next;
			continue;
		}
		*link = item->next;
		f->bytes -= count_bytes(item);
		f->work_bytes -= item->work ? item->work->room : 0;
		free_item(f, item);
	}
}

struct store_fetch *store_fetch_free(struct store_fetch *f)
{
	if (!f)
		return NULL;
	if (f->running) {
		f->dropped = true; /* the last read to come back frees it */
		return NULL;
	}
	store_fetch_reset(f);
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	free(f);
	return NULL;
}

static struct fetch_item *add_item(struct store_fetch *f)
{
	struct fetch_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	item->fetch = f;
	item->used = true;
	if (f->last)
		f->last->next = item;
	else
		f->first = item;
	f->last = item;
	return item;
}

/* A segment that is pinned keeps its slot, and so the locator its meaning. */
static struct fetch_item *add_record(struct store_fetch *f, uint64_t where)
{
	struct fetch_item *item = add_item(f);

	if (!item)
		return NULL;
	item->where = where;
	item->segment = f->store->slot[locator_slot(where)];
	slots_want(f->store, item->segment);
	item->segment->readers++;
	return item;
}

int fetch_add(struct store_fetch *f, uint64_t where)
{
	uint64_t size = locator_size(where);

	if (size > FETCH_MAX - f->bytes) {
		store_set_problem(f->store, "the records of the request are larger than %llu bytes", (unsigned long long)FETCH_MAX);
		return -E2BIG;
	}
	if (!add_record(f, where))
		return -ENOMEM;
	f->bytes += size;
	return 0;
}

/* A young record pins nothing: a segment that is taken back goes at once. */
static bool is_young_gone(const struct store *s, const struct fetch_item *item)
{
	const struct segment *g = s->slot[locator_slot(item->where)];

	return item->rollbacks != s->rolled_back || !g || g->number != item->number;
}

static bool is_record(const struct store_fetch *f, const struct fetch_item *item, uint64_t where)
{
	return item->where == where && !item->part && !(item->fetched.young && is_young_gone(f->store, item));
}

static struct fetch_item *use_item(struct fetch_item *item)
{
	item->used = true;
	return item;
}

/* The record of this locator; NULL: it is not on the list. Keys are usually asked for in the order they were listed. */
static struct fetch_item *find_record(struct store_fetch *f, uint64_t where)
{
	struct fetch_item *start = f->hint ? f->hint : f->first, *item;

	for (item = start; item; item = item->next)
		if (is_record(f, item, where))
			return use_item(item);
	for (item = f->first; item != start; item = item->next)
		if (is_record(f, item, where))
			return use_item(item);
	return NULL;
}

int fetch_find(struct store_fetch *f, uint64_t where, const struct fetched **ret)
{
	struct fetch_item *item = find_record(f, where);

	if (!item)
		return STORE_ABSENT;
	f->hint = item->next;
	if (item->state != ITEM_READY)
		return STORE_PENDING;
	if (item->error)
		return item->error;
	*ret = &item->fetched;
	return 0;
}

void fetch_keep(struct store_fetch *f, uint64_t where, struct block *block)
{
	struct fetch_item *item = find_record(f, where) ? NULL : add_item(f);

	if (!item)
		return;
	item->where = where;
	item->state = ITEM_READY;
	item->rollbacks = f->store->rolled_back;
	item->number = f->store->slot[locator_slot(where)]->number;
	item->fetched.young = true;
	item->fetched.block = block_ref(block);
}

/* ---- parts ---- */

static struct fetch_item *find_part(struct store_fetch *f, uint64_t where, bool learns, size_t from, size_t n)
{
	for (struct fetch_item *item = f->first; item; item = item->next)
		if (item->part && item->where == where && item->part->learns == learns && item->part->from == from && item->part->n == n)
			return use_item(item);
	return NULL;
}

/* Takes over `part`, NULL: there was no memory for it. */
static int add_part(struct store_fetch *f, uint64_t where, struct part *part)
{
	struct fetch_item *item = part ? add_record(f, where) : NULL;

	if (!item) {
		free_part(part);
		return -ENOMEM;
	}
	item->part = part;
	return STORE_PENDING;
}

int fetch_learn(struct store_fetch *f, uint64_t where, struct slice key, const struct pieces **ret)
{
	struct fetch_item *item = find_part(f, where, true, 0, 0);

	if (!item) {
		struct part *part = calloc(1, sizeof(*part) + key.len);
		if (part && key.len)
			memcpy(part->key, key.ptr, key.len);
		if (part) {
			part->learns = true;
			part->key_len = key.len;
		}
		return add_part(f, where, part);
	}
	if (item->state != ITEM_READY)
		return STORE_PENDING;
	if (item->error)
		return STORE_ABSENT;
	*ret = item->part->pieces;
	return 0;
}

int fetch_part(struct store_fetch *f, const struct pieces *p, size_t from, size_t n, struct block **ret)
{
	struct fetch_item *item = find_part(f, p->where, false, from, n);

	if (!item && n > FETCH_MAX - f->bytes)
		return -E2BIG;
	if (!item) {
		struct part *part = calloc(1, sizeof(*part));
		if (part)
			*part = (struct part){ .pieces = pieces_copy(p), .from = from, .n = n };
		if (part && !part->pieces) {
			free(part);
			part = NULL;
		}
		f->bytes += part ? n : 0;
		return add_part(f, p->where, part);
	}
	if (item->state != ITEM_READY)
		return STORE_PENDING;
	if (item->error)
		return STORE_ABSENT;
	*ret = item->fetched.block;
	return 0;
}

static void read_part(struct store *s, struct fetch_item *item)
{
	struct part *part = item->part;
	uint64_t offset = locator_offset(item->where);
	int fd = store_segment_fd(s, item->segment);

	if (fd < 0)
		item->error = fd;
	else if (!part->learns)
		item->error = pieces_read(s->io, fd, offset, part->pieces, part->from, part->n, s->blocks, &item->fetched.block);
	else
		item->error = pieces_learn(s->io, fd, offset, record_bind(item->segment->seed, offset), slice(part->key, part->key_len), item->where,
			&part->pieces);
}

/* What was learned is remembered beyond this request, if there is memory. */
static void remember_pieces(struct store *s, const struct fetch_item *item)
{
	const struct part *part = item->part;
	struct pieces *copy = NULL;

	if (part && part->learns && item->error == 0 && !pieces_find(&s->pieces, item->where))
		copy = pieces_copy(part->pieces);
	if (copy)
		pieces_remember(&s->pieces, copy);
}

/* ---- work ---- */

static struct fetch_item *find_work(struct store_fetch *f, const struct store_work *asked)
{
	struct fetch_item *start = f->hint ? f->hint : f->first, *item;

	for (item = start; item; item = item->next)
		if (item->work && work_is(item->work, asked))
			return use_item(item);
	for (item = f->first; item != start; item = item->next)
		if (item->work && work_is(item->work, asked))
			return use_item(item);
	return NULL;
}

static int add_work(struct store_fetch *f, const struct store_work *asked)
{
	if (asked->room > WORK_MAX - f->work_bytes) {
		store_set_problem(f->store, "the values made by the request are larger than %llu bytes", (unsigned long long)WORK_MAX);
		return -E2BIG;
	}
	struct store_work *work = work_new(f->store->blocks, asked);
	struct fetch_item *item = work ? add_item(f) : NULL;
	if (!item) {
		work_free(work);
		return -ENOMEM;
	}
	item->work = work;
	f->work_bytes += asked->room;
	return STORE_PENDING;
}

int fetch_work(struct store_fetch *f, const struct store_work *asked, const struct store_work **ret_done)
{
	struct fetch_item *item = find_work(f, asked);

	if (!item)
		return add_work(f, asked);
	f->hint = item->next;
	if (item->state != ITEM_READY)
		return STORE_PENDING;
	if (item->error == 0)
		*ret_done = item->work;
	return item->error;
}

int fetch_join(struct store_fetch *f)
{
	struct fetch_item *item = add_item(f);

	if (!item)
		return -ENOMEM;
	item->joins = true;
	item->state = ITEM_RUNNING;
	f->running++;
	item->next_in_queue = f->store->pool.joined;
	f->store->pool.joined = item;
	return 0;
}

int fetch_joined(const struct store_fetch *f)
{
	for (struct fetch_item *item = f->first; item; item = item->next)
		if (item->joins)
			return use_item(item)->state == ITEM_READY ? item->error : STORE_PENDING;
	return STORE_ABSENT;
}

static void read_item(struct store *s, struct fetch_item *item)
{
	uint64_t offset = locator_offset(item->where), size = locator_size(item->where);
	struct fetched *f = &item->fetched;
	int fd = store_segment_fd(s, item->segment);
	ssize_t n = fd;

	f->block = block_new(s->blocks, size, size);
	if (!f->block)
		n = -ENOMEM;
	else if (fd >= 0)
		n = s->io->pread(s->io, fd, f->block->memory, size, offset, 0);
	item->error = n < 0 ? (int)n : 0;
	if (item->error)
		return;
	f->good = record_decode(f->block->memory, (size_t)n, record_bind(item->segment->seed, offset), &f->record, &size) == 0;
	if (f->good) {
		f->block->value = f->record.value;
		f->block->sum = f->record.value_sum;
	}
}

void store_free_keydir(struct store *s, struct keydir *k)
{
	struct keydir_cursor *c = keydir_cursor_new(k);

	if (c && keydir_seek(c, slice(NULL, 0), 0) == 0)
		do
			store_count_dead(s, keydir_cursor_entry(c).where);
		while (keydir_next(c) == 0);
	keydir_cursor_free(c);
	keydir_free(k);
}

static bool takes_long(const struct fetch_item *item)
{
	if (item->part && !item->part->learns)
		return item->part->n >= RECORD_LARGE;
	return item->work || item->keydir || locator_size(item->where) >= RECORD_LARGE;
}

/* Under lock: the next one there is a thread for; NULL: none. */
static struct fetch_item *take_item(struct pool *p)
{
	struct fetch_item **link = &p->queue, *item;

	while (*link && p->busy_long >= POOL_LONG && takes_long(*link))
		link = &(*link)->next_in_queue;
	item = *link;
	if (!item)
		return NULL;
	*link = item->next_in_queue;
	if (!*link)
		p->queue_end = link;
	p->busy_long += takes_long(item);
	return item;
}

static void run_item(struct store *s, struct fetch_item *item)
{
	if (item->keydir)
		store_free_keydir(s, item->keydir);
	else if (atomic_load_explicit(&item->fetch->dropped, memory_order_relaxed))
		item->error = -ECANCELED; /* nobody waits for it any more */
	else if (item->work)
		item->error = item->work->run(item->work);
	else if (item->part)
		read_part(s, item);
	else
		read_item(s, item);
}

static void *run(void *arg)
{
	struct store *s = arg;
	struct pool *p = &s->pool;
	struct fetch_item *item = NULL;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->stop && !(item = take_item(p)))
			pthread_cond_wait(&p->work, &p->lock);
		if (p->stop)
			break;
		pthread_mutex_unlock(&p->lock);
		run_item(s, item);
		pthread_mutex_lock(&p->lock);
		p->busy_long -= takes_long(item);
		item->next_in_queue = p->finished;
		p->finished = item;
		store_notify(s);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Under lock. Threads are started when there is first something to do. */
static int enqueue(struct store *s, struct fetch_item *item)
{
	struct pool *p = &s->pool;

	if (p->threads < POOL_THREADS && thread_start(&p->thread[p->threads], run, s) == 0)
		p->threads++;
	if (p->threads == 0)
		return -EAGAIN;
	item->next_in_queue = NULL;
	*p->queue_end = item;
	p->queue_end = &item->next_in_queue;
	pthread_cond_signal(&p->work);
	return 0;
}

int store_fetch_start(struct store_fetch *f)
{
	struct store *s = f->store;
	int r = 0;

	drop_unused(f);
	pthread_mutex_lock(&s->pool.lock);
	for (struct fetch_item *item = f->first; item && r == 0; item = item->next) {
		if (item->state != ITEM_LISTED)
			continue;
		r = enqueue(s, item);
		if (r == 0) {
			item->state = ITEM_RUNNING;
			f->running++;
			s->fetches += !item->work;
			s->works += item->work != NULL;
		}
	}
	pthread_mutex_unlock(&s->pool.lock);
	return f->running ? 0 : r;
}

static void finish_item(struct store *s, struct fetch_item *item)
{
	struct store_fetch *f = item->fetch;

	if (!f) { /* it was a keydir */
		free(item);
		return;
	}
	item->state = ITEM_READY;
	remember_pieces(s, item);
	if (--f->running)
		return;
	if (f->dropped)
		store_fetch_free(f);
	else if (s->options.fetched)
		s->options.fetched(s->options.arg, f->token);
}

void pool_poll(struct store *s)
{
	pthread_mutex_lock(&s->pool.lock);
	struct fetch_item *item = s->pool.finished;
	s->pool.finished = NULL;
	pthread_mutex_unlock(&s->pool.lock);
	while (item) {
		struct fetch_item *next = item->next_in_queue;
		finish_item(s, item);
		item = next;
	}
}

void fetch_release(struct store *s)
{
	struct fetch_item *item = s->pool.joined, *next;

	s->pool.joined = NULL;
	for (; item; item = next) {
		next = item->next_in_queue;
		finish_item(s, item);
	}
}

void pool_free_keydir(struct store *s, struct keydir *k)
{
	struct fetch_item *item = keydir_count(k) > 1000 ? calloc(1, sizeof(*item)) : NULL;
	int r = -ENOMEM;

	if (item) {
		item->keydir = k;
		pthread_mutex_lock(&s->pool.lock);
		r = enqueue(s, item);
		pthread_mutex_unlock(&s->pool.lock);
	}
	if (r) {
		free(item);
		store_free_keydir(s, k);
	}
}

int pool_start(struct store *s)
{
	pthread_mutex_init(&s->pool.lock, NULL);
	pthread_cond_init(&s->pool.work, NULL);
	s->pool.queue_end = &s->pool.queue;
	return 0;
}

static void leave_item(struct fetch_item *item)
{
	item->segment = NULL;
	item->fetched.block = block_unref(item->fetched.block);
	item->work = work_free(item->work);
}

/* The store goes, its fetches stay with their owners: they need no segment any more, nor the list. */
static void leave_fetches(struct pool *p)
{
	struct store_fetch *f;

	while ((f = p->fetches)) {
		p->fetches = f->next;
		f->next = NULL;
		f->link = &f->next;
		for (struct fetch_item *item = f->first; item; item = item->next)
			leave_item(item);
	}
}

void pool_stop(struct store *s)
{
	struct pool *p = &s->pool;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	/* What was still queued counts as finished; its owners are told nothing any more. */
	s->options.fetched = NULL;
	for (struct fetch_item *item = p->queue, *next; item; item = next) {
		next = item->next_in_queue;
		if (item->keydir)
			store_free_keydir(s, item->keydir);
		item->error = -ECANCELED;
		finish_item(s, item);
	}
	p->queue = NULL;
	pool_poll(s);
	fetch_release(s);
	leave_fetches(p);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
}
