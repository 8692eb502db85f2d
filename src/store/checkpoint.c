/* SPDX-License-Identifier: MIT
 *
 * Making checkpoints: the owner fills a block in each of its turns, a thread of the checkpoint writes it. Neither waits for the other:
 * the thread tells when it has nothing to do, and then the owner's next turn gives it the next step.
 *
 *   create -> block ... -> when all that was seen is durable: finish (index, header, sync, rename, sync of the directory)
 */
#include "store/inner.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/num.h"

#define WORTH_BYTES ((uint64_t)256 << 10) /* a shorter tail is replayed before anybody notices */
#define WORTH_PART 8                      /* of the directory's memory: reading so much of a tail takes about as long as reading that */
#define SOON 15                           /* part of the interval after which the first one is written */
#define PROGRESS_NS UINT64_C(100000000)

enum step { STEP_NONE, STEP_BLOCK, STEP_FINISH };
enum stage { WALKING, SETTLING, FINISHING };

struct checkpoint_job {
	struct store *s;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t given;
	enum step step;                  /* under lock: what the thread is at; none: it waits */
	int error;                       /* under lock: why it does nothing more; 1: it is done */
	bool given_up;                   /* under lock */
	enum stage stage;                /* the owner's, like the rest but for what the step at hand uses */
	struct checkpoint_walk walk;
	struct checkpoint_block block;   /* of the step at hand */
	struct checkpoint_writer writer; /* the thread's */
	uint64_t expected_size, start_ns;
};

static void tell_failure(struct store *s, int error)
{
	s->checkpoint.failed++;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_NO_CHECKPOINT, .file = CHECKPOINT_NAME },
		"%s/" CHECKPOINT_NAME ": not written: %s; the next start reads more of the log", s->options.path,
		error == -ECANCELED || error == -ESTALE ? "the store changed under it" : strerror(-error));
}

static void tell_success(struct store *s, const struct checkpoint_walk *w, uint64_t bytes, uint64_t start_ns)
{
	struct checkpoint *c = &s->checkpoint;

	c->position = w->head.position;
	c->wall_ms = w->head.begun_wall_ms;
	c->bytes = bytes;
	c->keys = w->keys;
	c->us = (clock_mono_ns(s->clock) - start_ns) / 1000;
	c->made++;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_CHECKPOINT, .file = CHECKPOINT_NAME, .bytes = bytes, .records = w->keys },
		"%s/" CHECKPOINT_NAME ": %" PRIu64 " key%s, %" PRIu64 " bytes written in %" PRIu64 " ms", s->options.path, w->keys, num_plural(w->keys),
		bytes, c->us / 1000);
}

/* ---- the thread ---- */

static int finish(struct checkpoint_writer *w, struct checkpoint_head *head)
{
	int r = checkpoint_finish(w, head);

	return r ? r : checkpoint_name(w);
}

static void *run(void *arg)
{
	struct checkpoint_job *j = arg;
	struct store *s = j->s;
	int r = checkpoint_create(&j->writer, s->io, s->dir, j->expected_size);

	pthread_mutex_lock(&j->lock);
	while (r == 0) {
		while (j->step == STEP_NONE && !j->given_up)
			pthread_cond_wait(&j->given, &j->lock);
		enum step step = j->step;
		if (j->given_up) {
			r = -ECANCELED;
			break;
		}
		pthread_mutex_unlock(&j->lock);
		r = step == STEP_BLOCK ? checkpoint_write(&j->writer, &j->block) : finish(&j->writer, &j->walk.head);
		pthread_mutex_lock(&j->lock);
		if (r || step == STEP_FINISH)
			break;
		j->step = STEP_NONE;
		store_notify(s);
	}
	pthread_mutex_unlock(&j->lock);
	checkpoint_drop(&j->writer);
	pthread_mutex_lock(&j->lock);
	j->error = r ? r : 1;
	store_notify(s);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static void give_up(struct checkpoint_job *j)
{
	pthread_mutex_lock(&j->lock);
	j->given_up = true;
	pthread_cond_signal(&j->given);
	pthread_mutex_unlock(&j->lock);
}

static void give_step(struct checkpoint_job *j, enum step step)
{
	pthread_mutex_lock(&j->lock);
	j->step = step;
	pthread_cond_signal(&j->given);
	pthread_mutex_unlock(&j->lock);
}

/* ---- the owner ---- */

static void free_job(struct checkpoint_job *j)
{
	pthread_cond_destroy(&j->given);
	pthread_mutex_destroy(&j->lock);
	checkpoint_walk_free(&j->walk);
	buf_free(&j->block.data);
	free(j);
}

static void end_job(struct store *s)
{
	struct checkpoint_job *j = s->checkpoint.job;

	pthread_join(j->thread, NULL);
	s->checkpoint.job = NULL;
	if (j->error > 0)
		tell_success(s, &j->walk, j->writer.offset, j->start_ns);
	else if (!s->closing)
		tell_failure(s, j->error);
	free_job(j);
}

static uint64_t expected_size(const struct store *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		sum += s->keydir[i] ? keydir_bytes(s->keydir[i]) : 0;
	return sum;
}

int store_checkpoint(struct store *s)
{
	if (s->options.flags & STORE_READ_ONLY || s->incomplete)
		return STORE_REFUSED;
	if (s->checkpoint.job)
		return 0;
	struct checkpoint_job *j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->s = s;
	j->expected_size = expected_size(s);
	j->start_ns = clock_mono_ns(s->clock);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->given, NULL);
	int r = checkpoint_walk_begin(s, &j->walk);
	if (r == 0)
		r = thread_start(&j->thread, run, j);
	if (r) {
		free_job(j);
		return r;
	}
	s->checkpoint.job = j;
	store_notify(s);
	return 0;
}

static bool is_worth_it(const struct store *s)
{
	uint64_t tail = s->position - s->checkpoint.position, part = expected_size(s) / WORTH_PART;

	/* A merge changes the segments a checkpoint lists. On a full disk space is for what brings more. */
	return !s->compact.merge && !store_is_full(s) && tail > WORTH_BYTES && tail > part;
}

bool store_checkpoint_due(const struct store *s, uint64_t since_ms, uint64_t interval_ms)
{
	return since_ms >= (s->checkpoint.position ? interval_ms : interval_ms / SOON) && is_worth_it(s);
}

/* What the walk gives goes to the thread; at its end, the order to finish. */
static int walk_on(struct store *s, struct checkpoint_job *j)
{
	int r = checkpoint_walk_next(s, &j->walk, &j->block);

	if (r)
		return r;
	if (j->block.count) {
		give_step(j, STEP_BLOCK);
		return 0;
	}
	r = checkpoint_walk_end(s, &j->walk);
	if (r)
		return r;
	/* It may be named when all this is durable, under any policy. */
	store_barrier(s);
	j->stage = SETTLING;
	return 0;
}

void checkpoint_turn(struct store *s)
{
	struct checkpoint_job *j = s->checkpoint.job;

	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	bool idle = j->step == STEP_NONE && !j->given_up, over = j->error;
	pthread_mutex_unlock(&j->lock);
	if (over) {
		end_job(s);
		return;
	}
	if (!idle)
		return;
	if (atomic_load(&s->sync.state) == SYNC_FAILED || (j->stage == WALKING && walk_on(s, j))) {
		checkpoint_give_up(s);
		return;
	}
	if (j->stage == SETTLING && store_durable(s) >= j->walk.head.end && store_rotated(s, j->walk.head.named)) {
		j->stage = FINISHING;
		give_step(j, STEP_FINISH);
	}
}

void checkpoint_give_up(struct store *s)
{
	struct checkpoint_job *j = s->checkpoint.job;

	/* One that is being finished has seen durable commits only: they stay. */
	if (j && j->stage != FINISHING)
		give_up(j);
}

void checkpoint_stop(struct store *s)
{
	if (!s->checkpoint.job)
		return;
	give_up(s->checkpoint.job);
	end_job(s);
}

static int write_all(struct store *s, struct checkpoint_walk *w, struct checkpoint_block *block, struct checkpoint_writer *out)
{
	uint64_t total = 0, told = clock_mono_ns(s->clock), now;
	int r = checkpoint_create(out, s->io, s->dir, expected_size(s));

	for (unsigned i = 0; i < STORE_MAX_DATABASES; i++)
		total += s->keydir[i] ? keydir_count(s->keydir[i]) : 0;
	while (r == 0 && (r = checkpoint_walk_next(s, w, block)) == 0 && block->count) {
		r = checkpoint_write(out, block);
		now = clock_mono_ns(s->clock);
		if (s->options.progress && now - told >= PROGRESS_NS) {
			s->options.progress(s->options.arg, w->keys, total);
			told = now;
		}
	}
	if (r == 0)
		r = checkpoint_walk_end(s, w);
	if (r == 0 && !store_rotated(s, w->head.named))
		r = -ESTALE;
	return r ? r : finish(out, &w->head);
}

void checkpoint_at_close(struct store *s)
{
	struct checkpoint_walk w;
	struct checkpoint_block block = { 0 };
	struct checkpoint_writer out = { 0 };
	uint64_t start = clock_mono_ns(s->clock);

	if (!is_worth_it(s))
		return;
	int r = checkpoint_walk_begin(s, &w);
	if (r == 0)
		r = write_all(s, &w, &block, &out);
	if (r)
		tell_failure(s, r);
	else
		tell_success(s, &w, out.offset, start);
	checkpoint_drop(&out);
	checkpoint_walk_free(&w);
	buf_free(&block.data);
}
