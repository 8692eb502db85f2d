/* SPDX-License-Identifier: MIT
 *
 * Snapshots as the owner sees them: the active segment is closed, and when the sync thread has completed it a thread makes the snapshot
 * of all closed segments. So it ends between two transactions, and nobody waits for it.
 */
#include "store/inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SAME_SECOND 999

/* ---- the thread ---- */

static unsigned count_timed(const struct snapshot_list *l)
{
	unsigned n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += l->item[i].timed;
	return n;
}

/* Deletes the oldest timed ones beyond `keep`; one that cannot be deleted is tried again after the next snapshot. */
static void prune(struct snapshot_job *j)
{
	const struct snapshot_order *o = &j->order;
	struct snapshot_list l = { 0 };

	if (snapshot_list_read(o->io, o->dir, false, &l))
		return;
	unsigned timed = count_timed(&l);
	for (size_t i = 0; i < l.count && timed > j->keep && !atomic_load(&j->cancel); i++)
		if (l.item[i].timed) {
			snapshot_remove(o->io, o->dir, l.item[i].name, NULL);
			timed--;
		}
	snapshot_list_free(&l);
}

static void *work(void *arg)
{
	struct store *s = arg;
	struct snapshot_job *j = &s->snapshot;
	const struct snapshot_order *o = &j->order;

	j->result = j->deleting ? snapshot_remove(o->io, o->dir, o->name, &j->error) : snapshot_make(o, &j->made, &j->error);
	if (j->result == 0 && j->keep)
		prune(j);
	/* The list in memory is what the directory says, so that it is right also after half of a pruning. */
	if (snapshot_list_read(o->io, o->dir, false, &j->fresh))
		j->fresh = (struct snapshot_list){ 0 };
	atomic_store(&j->finished, true);
	store_notify(s);
	return NULL;
}

/* ---- the owner ---- */

/* Takes the result over; the thread, if there was one, has ended. */
static void end_job(struct store *s)
{
	struct snapshot_job *j = &s->snapshot;

	j->step = SNAPSHOT_IDLE;
	j->ended++;
	j->last_result = j->result;
	snprintf(j->problem, sizeof(j->problem), "%s", j->result ? j->error.text : "");
	if (j->result) {
		store_tell(s, (struct store_event){ .kind = STORE_EVENT_SNAPSHOT_FAILED, .file = j->order.name }, "snapshot %s: %s",
			j->order.name, j->error.text);
		return;
	}
	if (j->deleting)
		return;
	j->records = j->begun_records;
	j->last_us = (clock_mono_ns(s->clock) - j->begun_ns) / 1000 + 1;
	store_tell(s, (struct store_event){ .kind = STORE_EVENT_SNAPSHOT, .file = j->order.name, .bytes = j->made.bytes },
		"snapshot %s: complete, %llu segments of %llu bytes", j->order.name, (unsigned long long)j->made.segments,
		(unsigned long long)j->made.bytes);
}

static void fail_job(struct store *s, int error, const char *text)
{
	s->snapshot.result = error_set(&s->snapshot.error, error, "%s", text);
	end_job(s);
}

static int start_thread(struct store *s)
{
	struct snapshot_job *j = &s->snapshot;

	atomic_store(&j->finished, false);
	atomic_store(&j->cancel, false);
	int r = thread_start(&j->thread, work, s);
	if (r == 0)
		j->step = SNAPSHOT_WORKING;
	return r;
}

static void join_thread(struct store *s)
{
	struct snapshot_job *j = &s->snapshot;

	pthread_join(j->thread, NULL);
	snapshot_list_free(&j->list);
	j->list = j->fresh;
	j->fresh = (struct snapshot_list){ 0 };
}

void snapshot_poll(struct store *s)
{
	struct snapshot_job *j = &s->snapshot;
	const char *why = "";

	if (j->step == SNAPSHOT_WORKING && atomic_load(&j->finished)) {
		join_thread(s);
		end_job(s);
	}
	if (j->step != SNAPSHOT_ROTATING)
		return;
	if (store_rollbacks(s) != j->rollbacks || store_health(s, NULL)) {
		store_health(s, &why);
		fail_job(s, -EIO, *why ? why : "the disk refused what it was to begin with; try again");
	} else if (store_rotated(s, j->segment)) {
		int r = start_thread(s);
		if (r)
			fail_job(s, r, "cannot start its thread");
	}
}

int snapshot_start(struct store *s)
{
	bool writable = !(s->options.flags & STORE_READ_ONLY);

	/* Snapshots that cannot be read are no reason not to serve the data. */
	return snapshot_list_read(s->io, s->dir, writable, &s->snapshot.list) == -ENOMEM ? -ENOMEM : 0;
}

void snapshot_stop(struct store *s)
{
	struct snapshot_job *j = &s->snapshot;

	if (j->step == SNAPSHOT_WORKING) {
		atomic_store(&j->cancel, true);
		join_thread(s);
		end_job(s);
	}
	j->step = SNAPSHOT_IDLE;
	snapshot_list_free(&j->list);
}

/* ---- what others ask for ---- */

static int refuse(struct store *s, int error, const char *name, const char *text)
{
	store_set_problem(s, "snapshot %s: %s", name, text);
	return error;
}

static int check_free(struct store *s, const char *name)
{
	if (!snapshot_name_ok(name))
		return refuse(s, -EINVAL, name, "a name has up to 64 letters, digits, '.', '_' and '-', no dot in front, and does not end in .new");
	if (s->options.flags & STORE_READ_ONLY)
		return refuse(s, STORE_REFUSED, name, "the store was opened read-only");
	if (s->snapshot.step != SNAPSHOT_IDLE)
		return refuse(s, -EBUSY, name, "another one is being made or deleted");
	return 0;
}

/* The time, and a number behind it when that is taken. */
static void choose_name(const struct store *s, char out[STORE_SNAPSHOT_NAME + 1])
{
	char base[STORE_SNAPSHOT_NAME + 1];

	snapshot_time_name(base, clock_wall_ms(s->clock));
	memcpy(out, base, sizeof(base));
	for (unsigned n = 2; n <= MAX_SAME_SECOND && snapshot_list_find(&s->snapshot.list, out); n++)
		snprintf(out, STORE_SNAPSHOT_NAME + 1, "%.32s-%u", base, n);
}

static void prepare(struct store *s, const char *name, bool deleting, unsigned keep)
{
	struct snapshot_job *j = &s->snapshot;

	j->order = (struct snapshot_order){ .io = s->io, .clock = s->clock, .dir = s->dir, .cancel = &j->cancel, .timed = keep != 0 };
	snprintf(j->order.name, sizeof(j->order.name), "%s", name);
	j->deleting = deleting;
	j->keep = keep;
	j->result = 0;
	j->error = (struct error){ 0 };
	j->begun_ns = clock_mono_ns(s->clock);
	j->begun_records = s->records;
}

int store_snapshot_begin(struct store *s, const char *name, unsigned keep, char *ret_name)
{
	struct snapshot_job *j = &s->snapshot;
	char own[STORE_SNAPSHOT_NAME + 1];
	const char *why;

	if (!name) {
		choose_name(s, own);
		name = own;
	}
	int r = check_free(s, name);
	if (r)
		return r;
	if (snapshot_list_find(&j->list, name))
		return refuse(s, -EEXIST, name, "there is one of this name");
	r = store_rotate(s, &j->segment);
	if (r == STORE_REFUSED) {
		char text[sizeof(s->problem)];
		store_health(s, &why);
		snprintf(text, sizeof(text), "%.400s", why);
		return refuse(s, r, name, text);
	}
	if (r)
		return refuse(s, r, name, "out of memory");
	prepare(s, name, false, keep);
	j->rollbacks = store_rollbacks(s);
	j->step = SNAPSHOT_ROTATING;
	if (ret_name)
		memcpy(ret_name, j->order.name, sizeof(j->order.name));
	/* It may be complete already; then nothing else would wake the owner. */
	store_notify(s);
	return 0;
}

int store_snapshot_delete(struct store *s, const char *name)
{
	int r = check_free(s, name);

	if (r)
		return r;
	if (!snapshot_list_find(&s->snapshot.list, name))
		return refuse(s, -ENOENT, name, "there is none of this name");
	prepare(s, name, true, 0);
	r = start_thread(s);
	return r ? refuse(s, r, name, "cannot start its thread") : 0;
}

void store_snapshot_state(const struct store *s, struct store_snapshot_state *ret)
{
	const struct snapshot_job *j = &s->snapshot;

	*ret = (struct store_snapshot_state){
		.running = j->step != SNAPSHOT_IDLE,
		.deleting = j->step != SNAPSHOT_IDLE && j->deleting,
		.ended = j->ended,
		.last_result = j->last_result,
		.name = j->order.name,
		.problem = j->problem,
		.last_us = j->last_us,
		.changes = s->records - j->records,
	};
	for (size_t i = 0; i < j->list.count; i++)
		if (j->list.item[i].time_ms > ret->time_ms)
			ret->time_ms = j->list.item[i].time_ms;
}

size_t store_snapshots(const struct store *s, const struct store_snapshot **ret)
{
	*ret = s->snapshot.list.item;
	return s->snapshot.list.count;
}
