/* SPDX-License-Identifier: MIT */
#include "store/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "store/archive.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/whole.h"

#define NEW_NAME "restore.new"
#define READY_NAME "restore.ready"
#define SWITCH_NAME "restore.switch"
#define ASIDE_NAME "ASIDE" /* file in them: where the present store goes */
#define ASIDE_PREFIX "replaced-"
#define ASIDE_MAX (STORE_SNAPSHOT_NAME)

static int fail(struct error *e, int code, const char *name)
{
	return error_set(e, code, "%s: %s", name, strerror(-code));
}

/* ---- what belongs to a store ---- */

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && strcmp(name + len - n, suffix) == 0;
}

/* Not its lock, which we hold, and not its snapshots, which outlive it. */
static bool is_store_file(const char *name)
{
	static const char *const names[] = { CATALOG_NAME, CATALOG_NEW_NAME, CHECKPOINT_NAME, CHECKPOINT_NEW_NAME, "damaged" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return has_suffix(name, ".seg") || has_suffix(name, ".seg" SEGMENT_NEW_SUFFIX) || has_suffix(name, ".hint");
}

/* ---- going on with a complete one ---- */

static int read_aside(struct io *io, int ready, char out[ASIDE_MAX + 1], struct error *e)
{
	struct buf text = { 0 };
	int r = whole_read(io, ready, ASIDE_NAME, ASIDE_MAX, &text);

	if (r == 0)
		snprintf(out, ASIDE_MAX + 1, "%.*s", (int)text.len, text.ptr);
	if (r == 0 && (strncmp(out, ASIDE_PREFIX, strlen(ASIDE_PREFIX)) != 0 || !snapshot_name_ok(out)))
		r = -EUCLEAN;
	buf_free(&text);
	return r ? fail(e, r, READY_NAME "/" ASIDE_NAME) : 0;
}

/* Its own name is on the disk before it takes anything that has no other. */
static int make_aside(struct io *io, int dir, const char *name)
{
	int fd = whole_make_dir(io, dir, name), r = fd < 0 ? fd : io->fsync(io, dir);

	if (r && fd >= 0)
		io->close(io, fd);
	return r ? r : fd;
}

/* The present store steps aside. */
static int move_store_out(struct io *io, int dir, const char *aside_name, struct error *e)
{
	struct buf names = { 0 };
	int aside = -1, r = whole_list(io, dir, &names);

	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.ptr + at) + 1) {
		if (!is_store_file(names.ptr + at))
			continue;
		if (aside < 0)
			aside = make_aside(io, dir, aside_name);
		r = aside < 0 ? aside : io->move(io, dir, names.ptr + at, aside, names.ptr + at);
	}
	if (aside >= 0) {
		if (r == 0)
			r = io->fsync(io, aside);
		io->close(io, aside);
	}
	if (r == 0)
		r = io->fsync(io, dir);
	buf_free(&names);
	return r ? fail(e, r, aside_name) : 0;
}

static int make_way(struct io *io, int dir, int ready, struct error *e)
{
	char aside[ASIDE_MAX + 1];
	int r = read_aside(io, ready, aside, e);

	if (r == 0)
		r = move_store_out(io, dir, aside, e);
	if (r)
		return r;
	r = io->rename(io, dir, READY_NAME, SWITCH_NAME);
	if (r == 0)
		r = io->fsync(io, dir);
	return r ? fail(e, r, SWITCH_NAME) : 0;
}

static int move_in(struct io *io, int dir, int from, struct error *e)
{
	struct buf names = { 0 };
	bool catalog = false;
	int r = whole_list(io, from, &names);

	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.ptr + at) + 1) {
		const char *name = names.ptr + at;
		catalog |= strcmp(name, CATALOG_NAME) == 0;
		if (segment_name_number(name) || strcmp(name, CHECKPOINT_NAME) == 0)
			r = io->move(io, from, name, dir, name);
	}
	buf_free(&names);
	if (r == 0)
		r = io->fsync(io, dir);
	if (r == 0 && catalog)
		r = io->move(io, from, CATALOG_NAME, dir, CATALOG_NAME);
	if (r == 0)
		r = io->fsync(io, dir);
	return r ? fail(e, r, SWITCH_NAME) : 0;
}

/* Does something in a directory below, if it is there: 1 when it was. */
static int in_dir(struct io *io, int dir, const char *name, int (*act)(struct io *io, int dir, int below, struct error *e), struct error *e)
{
	int below = whole_open_dir(io, dir, name);

	if (below < 0)
		return below == -ENOENT ? 0 : fail(e, below, name);
	int r = act(io, dir, below, e);
	io->close(io, below);
	return r ? r : 1;
}

bool restore_is_due(struct io *io, int dir)
{
	static const char *const names[] = { READY_NAME, SWITCH_NAME };

	for (size_t i = 0; i < 2; i++) {
		int fd = whole_open_dir(io, dir, names[i]);
		if (fd >= 0)
			io->close(io, fd);
		if (fd != -ENOENT)
			return true;
	}
	return false;
}

int restore_finish(struct io *io, int dir, struct error *e)
{
	int r = in_dir(io, dir, READY_NAME, make_way, e), done = 0;

	if (r >= 0)
		r = done = in_dir(io, dir, SWITCH_NAME, move_in, e);
	if (r > 0 && (r = whole_remove_dir(io, dir, SWITCH_NAME)) < 0)
		fail(e, r, SWITCH_NAME);
	if (r == 0 && (r = whole_remove_dir(io, dir, NEW_NAME)) < 0)
		fail(e, r, NEW_NAME);
	return r ? r : done;
}

/* ---- putting one together ---- */

struct staging {
	struct io *io;
	int dir, stage; /* data directory, restore.new */
	struct manifest m; /* of what is there so far; count 0: nothing */
	struct error *e;
};

static int copy_file(struct staging *g, int from, const char *name)
{
	struct buf content = { 0 };
	int r = whole_read(g->io, from, name, SIZE_MAX, &content);

	if (r == 0)
		r = whole_write(g->io, g->stage, name, buf_slice(&content));
	buf_free(&content);
	return r ? fail(g->e, r, name) : 0;
}

/* Links where nothing will be written again; what the store writes to must be its own. */
static int stage_files(struct staging *g, int from, const struct manifest *m)
{
	int r = copy_file(g, from, MANIFEST_NAME);

	for (size_t i = 0; r == 0 && i < m->count; i++) {
		const struct manifest_file *f = &m->file[i];
		bool checkpoint = strcmp(f->name, CHECKPOINT_NAME) == 0;
		bool own = !checkpoint && (!segment_name_number(f->name) || f->size == SEGMENT_HEADER);
		if (own)
			r = copy_file(g, from, f->name);
		else if ((r = g->io->link(g->io, from, f->name, g->stage, f->name)) == -ENOENT && checkpoint)
			r = 0;
		else if (r)
			fail(g->e, r, f->name);
	}
	return r;
}

static int stage_snapshot(struct staging *g, const char *name)
{
	struct manifest m = { 0 };

	if (g->m.count)
		return error_set(g->e, -EINVAL, "%s: a snapshot of the directory is whole and builds on none", name);
	int from = snapshot_open(g->io, g->dir, name, &m, g->e);
	if (from < 0)
		return from;
	int r = stage_files(g, from, &m);
	g->io->close(g->io, from);
	manifest_free(&m);
	return r;
}

static int stage_archive(struct staging *g, const struct store_source *s)
{
	struct error inner = { 0 };
	int r = archive_read(g->io, g->stage, g->m.count ? &g->m : NULL, s->read, s->arg, &inner);

	return r ? error_set(g->e, r, "%.200s: %.250s", s->label, inner.text) : 0;
}

/* Takes away what only the snapshot before had. */
static int drop_unlisted(struct staging *g)
{
	struct buf names = { 0 };
	int r = whole_list(g->io, g->stage, &names);

	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.ptr + at) + 1)
		if ((segment_name_number(names.ptr + at) || strcmp(names.ptr + at, CHECKPOINT_NAME) == 0) && !manifest_find(&g->m, names.ptr + at))
			r = g->io->unlink(g->io, g->stage, names.ptr + at);
	buf_free(&names);
	return r ? fail(g->e, r, NEW_NAME) : 0;
}

static int stage_one(struct staging *g, const struct store_source *s)
{
	int r = s->name ? stage_snapshot(g, s->name) : stage_archive(g, s);

	manifest_free(&g->m);
	if (r == 0)
		r = manifest_read(g->io, g->stage, &g->m, g->e);
	return r ? r : drop_unlisted(g);
}

/* Where the present store goes: a name that is not taken. */
static int choose_aside(struct staging *g, const struct clock *clock, char out[ASIDE_MAX + 1])
{
	char when[STORE_SNAPSHOT_NAME + 1];

	snapshot_time_name(when, clock_wall_ms(clock));
	for (unsigned n = 1; n < 1000; n++) {
		snprintf(out, ASIDE_MAX + 1, n == 1 ? ASIDE_PREFIX "%.20s" : ASIDE_PREFIX "%.20s-%u", when, n);
		int fd = whole_open_dir(g->io, g->dir, out);
		if (fd == -ENOENT)
			return 0;
		if (fd >= 0)
			g->io->close(g->io, fd);
	}
	return fail(g->e, -EEXIST, out);
}

static int commit(struct staging *g, const char *aside)
{
	struct io *io = g->io;
	int r = whole_write(io, g->stage, ASIDE_NAME, slice_str(aside));

	if (r == 0)
		r = io->fsync(io, g->stage);
	if (r == 0)
		r = io->rename(io, g->dir, NEW_NAME, READY_NAME);
	if (r == 0)
		r = io->fsync(io, g->dir);
	return r ? fail(g->e, r, READY_NAME) : 0;
}

/* The first start would leave one that is damaged aside as well; but then it would have something to complain of. */
static int drop_bad_checkpoint(struct staging *g)
{
	struct error inner = { 0 };
	int r = snapshot_check_checkpoint(g->io, g->stage, &g->m, &inner);

	if (r == -EUCLEAN)
		r = g->io->unlink(g->io, g->stage, CHECKPOINT_NAME);
	return r && r != -ENOENT ? fail(g->e, r, CHECKPOINT_NAME) : 0;
}

static int stage_all(struct staging *g, const struct store_source *from, size_t count, struct store_restored *ret)
{
	struct store_snapshot_check check = { 0 };
	struct error inner = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = stage_one(g, &from[i]);
	if (r)
		return r;
	r = snapshot_check(g->io, g->stage, &g->m, &check, &inner);
	if (r)
		return error_set(g->e, r, "%s: %.400s", g->m.name, inner.text);
	r = drop_bad_checkpoint(g);
	if (r)
		return r;
	snprintf(ret->name, sizeof(ret->name), "%s", g->m.name);
	ret->segments = check.segments;
	ret->records = check.records;
	ret->bytes = check.bytes;
	return 0;
}

int restore_run(struct io *io, int dir, const struct store_source *from, size_t count, const struct clock *clock, struct store_restored *ret,
	struct error *e)
{
	struct staging g = { .io = io, .dir = dir, .e = e };
	struct store_restored done = { 0 };
	int r = restore_finish(io, dir, e);

	if (r < 0)
		return r;
	g.stage = whole_make_dir(io, dir, NEW_NAME);
	if (g.stage < 0)
		return fail(e, g.stage, NEW_NAME);
	r = stage_all(&g, from, count, &done);
	if (r == 0)
		r = choose_aside(&g, clock, done.aside);
	if (r == 0)
		r = commit(&g, done.aside);
	io->close(io, g.stage);
	manifest_free(&g.m);
	if (r) {
		whole_remove_dir(io, dir, NEW_NAME);
		return r;
	}
	r = restore_finish(io, dir, e);
	if (r < 0)
		return r;
	int aside = whole_open_dir(io, dir, done.aside);
	if (aside < 0)
		*done.aside = '\0';
	else
		io->close(io, aside);
	*ret = done;
	return 0;
}
