/* SPDX-License-Identifier: MIT */
#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/crc.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/whole.h"

#define MAX_TRIES 100 /* a merge that ends just now changes the catalog; it cannot do so all the time */

/* ---- names ---- */

bool snapshot_name_ok(const char *name)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strlen(name), suffix = strlen(SNAPSHOT_NEW_SUFFIX);

	if (len == 0 || len > STORE_SNAPSHOT_NAME || *name == '.' || name[strspn(name, set)])
		return false;
	return len < suffix || strcmp(name + len - suffix, SNAPSHOT_NEW_SUFFIX) != 0;
}

void snapshot_time_name(char out[STORE_SNAPSHOT_NAME + 1], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	strftime(out, STORE_SNAPSHOT_NAME + 1, "%Y%m%dT%H%M%SZ", &tm);
}

static void print_new_name(char out[STORE_SNAPSHOT_NAME + 8], const char *name)
{
	snprintf(out, STORE_SNAPSHOT_NAME + 8, "%s" SNAPSHOT_NEW_SUFFIX, name);
}

static int fail(struct error *e, int code, const char *name, const char *what)
{
	return error_set(e, code, SNAPSHOTS_NAME "/%s: %s: %s", name, what, strerror(-code));
}

/* ---- making ---- */

struct making {
	const struct snapshot_order *o;
	int snapshots, dir; /* handles */
	struct catalog c;
	struct manifest m;
	struct error *e;
};

static int check_room(struct making *k)
{
	struct io *io = k->o->io;
	uint64_t free_bytes = 0;
	int r = io->free_space(io, k->snapshots, &free_bytes);

	if (r)
		return fail(k->e, r, k->o->name, "cannot see how much space is free");
	if (free_bytes < SNAPSHOT_RESERVE)
		return error_set(k->e, -ENOSPC, SNAPSHOTS_NAME "/%s: %" PRIu64 " bytes are free, at least %" PRIu64 " are needed", k->o->name,
			free_bytes, SNAPSHOT_RESERVE);
	return 0;
}

static int add_file(struct making *k, const char *name, uint64_t size)
{
	struct io *io = k->o->io;
	uint32_t sum = 0;
	int fd = io->open(io, k->dir, name, O_RDONLY, 0);
	int r = fd < 0 ? fd : segment_header_sum(io, fd, &sum);

	if (fd >= 0)
		io->close(io, fd);
	return r ? r : manifest_add(&k->m, name, size, sum);
}

/* 0; -ENOENT: a merge has taken the file away; or an error. */
static int link_segment(struct making *k, const struct catalog_segment *g)
{
	struct io *io = k->o->io;
	char name[SEGMENT_NAME_SIZE];

	if (atomic_load(k->o->cancel))
		return -ECANCELED;
	segment_name(name, g->number);
	int r = io->link(io, k->o->dir, name, k->dir, name);
	return r ? r : add_file(k, name, g->size);
}

/* The active segment of the snapshot: begins where that of the store did, and is empty. */
static int make_last(struct making *k, const struct catalog_segment *last)
{
	struct io *io = k->o->io;
	struct segment g = { .number = last->number, .first = last->first };
	char name[SEGMENT_NAME_SIZE];
	int fd;

	int r = segment_create(io, k->dir, &g, k->c.store_id, k->m.time_ms, &fd);
	if (r)
		return r;
	r = io->ftruncate(io, fd, SEGMENT_HEADER);
	if (r == 0)
		r = io->fsync(io, fd);
	io->close(io, fd);
	segment_name(name, g.number);
	return r ? r : add_file(k, name, SEGMENT_HEADER);
}

static int write_catalog(struct making *k)
{
	struct io *io = k->o->io;
	struct buf text = { 0 };

	k->c.clean = true;
	k->c.clean_size = SEGMENT_HEADER;
	int r = catalog_write(io, k->dir, &k->c);
	if (r == 0)
		r = whole_read(io, k->dir, CATALOG_NAME, SIZE_MAX, &text);
	if (r == 0)
		r = manifest_add(&k->m, CATALOG_NAME, text.len, crc_update(0, text.ptr, text.len));
	buf_free(&text);
	return r;
}

/*
 * The store's checkpoint, when it is one of what the snapshot holds: a start of the snapshot then need not read all of it. It is never written again
 * once it has its name, so a link does. One that a merge has made useless, or that is younger than the snapshot, is left out.
 */
static int link_checkpoint(struct making *k)
{
	struct io *io = k->o->io;
	struct checkpoint_reader c;
	int r = io->link(io, k->o->dir, CHECKPOINT_NAME, k->dir, CHECKPOINT_NAME);

	if (r)
		return r == -ENOENT ? 0 : r;
	if (checkpoint_open(&c, io, k->dir, k->c.store_id, &k->c) == 0)
		r = manifest_add(&k->m, CHECKPOINT_NAME, c.size, c.sum);
	else
		r = io->unlink(io, k->dir, CHECKPOINT_NAME);
	checkpoint_close(&c);
	return r;
}

/* Everything in the new directory: 0, -ENOENT (the catalog has changed meanwhile), or an error. */
static int fill(struct making *k)
{
	struct io *io = k->o->io;

	int r = catalog_read(io, k->o->dir, &k->c, k->e);
	if (r)
		return r == -ENOENT ? -EIO : r;
	struct catalog_segment *last = &k->c.segment[k->c.count - 1];
	k->m.store_id = k->c.store_id;
	k->m.position = last->first;
	for (size_t i = 0; r == 0 && i + 1 < k->c.count; i++)
		r = link_segment(k, &k->c.segment[i]);
	if (r == -ENOENT)
		return r;
	if (r == 0)
		r = make_last(k, last);
	if (r == 0)
		r = write_catalog(k);
	if (r == 0)
		r = link_checkpoint(k);
	if (r == 0)
		r = manifest_write(io, k->dir, &k->m);
	if (r == 0)
		r = io->fsync(io, k->dir);
	return r == -ENOENT ? -EIO : r;
}

static void drop_fill(struct making *k, const char *new_name)
{
	struct io *io = k->o->io;

	if (k->dir >= 0)
		io->close(io, k->dir);
	k->dir = -1;
	whole_remove_dir(io, k->snapshots, new_name);
	catalog_free(&k->c);
	manifest_free(&k->m);
}

static int make_and_fill(struct making *k, const char *new_name)
{
	struct io *io = k->o->io;
	int r = -ENOENT;

	for (int tries = 0; r == -ENOENT && tries < MAX_TRIES; tries++) {
		drop_fill(k, new_name);
		k->m = (struct manifest){ .timed = k->o->timed, .time_ms = clock_wall_ms(k->o->clock) };
		snprintf(k->m.name, sizeof(k->m.name), "%s", k->o->name);
		r = io->mkdir(io, k->snapshots, new_name, 0700);
		if (r == 0) {
			k->dir = whole_open_dir(io, k->snapshots, new_name);
			r = k->dir < 0 ? k->dir : fill(k);
		}
	}
	return r;
}

static void describe(const struct manifest *m, struct store_snapshot *ret)
{
	*ret = (struct store_snapshot){ .timed = m->timed, .time_ms = m->time_ms, .position = m->position, .bytes = manifest_bytes(m),
		.segments = manifest_segments(m) };
	snprintf(ret->name, sizeof(ret->name), "%s", m->name);
}

static int make_in(struct making *k, struct store_snapshot *ret)
{
	struct io *io = k->o->io;
	char new_name[STORE_SNAPSHOT_NAME + 8];

	int there = whole_open_dir(io, k->snapshots, k->o->name);
	if (there >= 0)
		io->close(io, there);
	if (there != -ENOENT)
		return error_set(k->e, -EEXIST, SNAPSHOTS_NAME "/%s: there is one of this name", k->o->name);
	int r = check_room(k);
	if (r)
		return r;
	print_new_name(new_name, k->o->name);
	k->e->code = 0;
	r = make_and_fill(k, new_name);
	if (r == 0)
		r = io->rename(io, k->snapshots, new_name, k->o->name);
	if (r == 0) {
		describe(&k->m, ret);
		/* From here on it may be seen; a sync that fails leaves it to the next start whether it is there. */
		r = catalog_sync_dir(io, k->snapshots);
		if (r)
			whole_remove_dir(io, k->snapshots, k->o->name);
	}
	if (r && !k->e->code)
		fail(k->e, r, k->o->name, "cannot be made");
	drop_fill(k, new_name);
	return r;
}

int snapshot_make(const struct snapshot_order *o, struct store_snapshot *ret, struct error *e)
{
	struct making k = { .o = o, .dir = -1, .e = e };
	struct io *io = o->io;

	k.snapshots = whole_make_dir(io, o->dir, SNAPSHOTS_NAME);
	if (k.snapshots < 0)
		return error_set(e, k.snapshots, SNAPSHOTS_NAME ": %s", strerror(-k.snapshots));
	int r = catalog_sync_dir(io, o->dir);
	r = r ? error_set(e, r, "the data directory cannot be synced: %s", strerror(-r)) : make_in(&k, ret);
	io->close(io, k.snapshots);
	return r;
}

int snapshot_remove(struct io *io, int dir, const char *name, struct error *e)
{
	char new_name[STORE_SNAPSHOT_NAME + 8];

	int snapshots = whole_open_dir(io, dir, SNAPSHOTS_NAME);
	if (snapshots < 0)
		return fail(e, snapshots, name, "cannot be removed");
	print_new_name(new_name, name);
	int r = whole_remove_dir(io, snapshots, new_name);
	if (r == 0)
		r = io->rename(io, snapshots, name, new_name);
	if (r == 0)
		r = catalog_sync_dir(io, snapshots);
	if (r == 0)
		r = whole_remove_dir(io, snapshots, new_name);
	io->close(io, snapshots);
	return r ? fail(e, r, name, "cannot be removed") : 0;
}

/* ---- looking ---- */

void snapshot_list_free(struct snapshot_list *l)
{
	free(l->item);
	*l = (struct snapshot_list){ 0 };
}

const struct store_snapshot *snapshot_list_find(const struct snapshot_list *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->item[i].name, name) == 0)
			return &l->item[i];
	return NULL;
}

static int compare_age(const void *a, const void *b)
{
	const struct store_snapshot *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void read_one(struct io *io, int snapshots, const char *name, struct store_snapshot *ret)
{
	struct manifest m = { 0 };
	int dir = whole_open_dir(io, snapshots, name);
	int r = dir < 0 ? dir : manifest_read(io, dir, &m, NULL);

	if (r == 0)
		describe(&m, ret);
	else
		*ret = (struct store_snapshot){ .damaged = true };
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	manifest_free(&m);
	if (dir >= 0)
		io->close(io, dir);
}

static bool is_unfinished(const char *name)
{
	size_t len = strlen(name), suffix = strlen(SNAPSHOT_NEW_SUFFIX);

	return len > suffix && strcmp(name + len - suffix, SNAPSHOT_NEW_SUFFIX) == 0;
}

static int read_all(struct io *io, int snapshots, bool remove_unfinished, struct snapshot_list *ret)
{
	struct buf names = { 0 };
	size_t count = 0;
	int r = whole_list(io, snapshots, &names);

	for (size_t at = 0; at < names.len; at += strlen(names.ptr + at) + 1)
		count++;
	if (r == 0)
		ret->item = calloc(count ? count : 1, sizeof(*ret->item));
	if (r == 0 && !ret->item)
		r = -ENOMEM;
	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.ptr + at) + 1) {
		const char *name = names.ptr + at;
		if (snapshot_name_ok(name))
			read_one(io, snapshots, name, &ret->item[ret->count++]);
		else if (remove_unfinished && is_unfinished(name))
			whole_remove_dir(io, snapshots, name); /* what cannot be removed now is tried again at the next start */
	}
	buf_free(&names);
	if (r == 0)
		qsort(ret->item, ret->count, sizeof(*ret->item), compare_age);
	return r;
}

int snapshot_list_read(struct io *io, int dir, bool remove_unfinished, struct snapshot_list *ret)
{
	struct snapshot_list l = { 0 };
	int snapshots = whole_open_dir(io, dir, SNAPSHOTS_NAME);

	if (snapshots < 0) {
		*ret = l;
		return snapshots == -ENOENT ? 0 : snapshots;
	}
	int r = read_all(io, snapshots, remove_unfinished, &l);
	io->close(io, snapshots);
	if (r)
		snapshot_list_free(&l);
	else
		*ret = l;
	return r;
}

int snapshot_open(struct io *io, int data_dir, const char *name, struct manifest *ret, struct error *e)
{
	if (!snapshot_name_ok(name))
		return error_set(e, -EINVAL, "\"%s\" is no name of a snapshot: up to %d letters, digits, '.', '_' and '-'", name,
			STORE_SNAPSHOT_NAME);
	int snapshots = whole_open_dir(io, data_dir, SNAPSHOTS_NAME);
	int dir = snapshots < 0 ? snapshots : whole_open_dir(io, snapshots, name);
	if (snapshots >= 0)
		io->close(io, snapshots);
	if (dir < 0)
		return dir == -ENOENT ? error_set(e, dir, "there is no snapshot %s", name) : fail(e, dir, name, "cannot be opened");
	struct error inner = { 0 };
	int r = manifest_read(io, dir, ret, &inner);
	if (r == 0)
		return dir;
	io->close(io, dir);
	return error_set(e, r == -ENOENT ? -EUCLEAN : r, SNAPSHOTS_NAME "/%s/%.380s", name, inner.text);
}
