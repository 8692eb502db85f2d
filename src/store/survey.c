/* SPDX-License-Identifier: MIT */
#include "store/survey.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int take_lock(struct survey *y, bool write, struct error *e)
{
	char text[32] = { 0 };

	y->lock_fd = y->io->open(y->io, y->dir, "LOCK", O_RDWR | (write ? O_CREAT : 0), 0600);
	/* A snapshot has no lock, and who may only read cannot take it: then nothing is known of others. */
	if (y->lock_fd < 0 && !write)
		return 0;
	int r = y->lock_fd < 0 ? y->lock_fd : y->io->lock(y->io, y->lock_fd);
	if (r == -EWOULDBLOCK) {
		ssize_t n = y->io->pread(y->io, y->lock_fd, text, sizeof(text) - 1, 0, 0);
		text[n > 0 ? strcspn(text, "\n") : 0] = 0;
		return error_set(e, -EBUSY, "%s: in use by process %s", y->path, *text ? text : "(unknown)");
	}
	return r ? error_set(e, r, "%s/LOCK: %s", y->path, strerror(-r)) : 0;
}

/* ---- a catalog made up from the segments ---- */

struct finder {
	struct survey *y;
	struct error *e;
	uint64_t highest;
};

static int read_header(struct survey *y, int fd, uint64_t *ret_id, uint64_t number, uint64_t *ret_first)
{
	char id[8];
	ssize_t n = y->io->pread(y->io, fd, id, sizeof(id), 16, 0);

	if (n < (ssize_t)sizeof(id))
		return n < 0 ? (int)n : -EUCLEAN;
	*ret_id = get_le64(id);
	return segment_check_header(y->io, fd, *ret_id, number, ret_first, NULL);
}

static int add_segment(struct finder *f, struct catalog_segment g)
{
	struct catalog *c = &f->y->catalog;
	struct catalog_segment *more = realloc(c->segment, (c->count + 1) * sizeof(*more));

	if (!more)
		return error_set(f->e, -ENOMEM, "out of memory");
	c->segment = more;
	c->segment[c->count++] = g;
	return 0;
}

static int look_at(void *arg, const char *name)
{
	struct finder *f = arg;
	struct survey *y = f->y;
	uint64_t number = segment_name_number(name), id = 0, first = 0;
	struct stat st = { 0 };

	if (number == 0)
		return 0;
	if (number > f->highest)
		f->highest = number;
	int fd = y->io->open(y->io, y->dir, name, O_RDONLY, 0);
	int r = fd < 0 ? fd : y->io->fstat(y->io, fd, &st);
	if (r == 0)
		r = read_header(y, fd, &id, number, &first);
	if (r == -EUCLEAN)
		survey_check_name(y, fd, name, number, id, f->e);
	if (fd >= 0)
		y->io->close(y->io, fd);
	if (r)
		return f->e->code ? r : error_set(f->e, r, "%s/%s: its header cannot be read, and there is no " CATALOG_NAME " to say what it was", y->path, name);
	if (y->catalog.count && id != y->catalog.store_id)
		return error_set(f->e, -EUCLEAN, "%s/%s: belongs to another store than the segments beside it", y->path, name);
	y->catalog.store_id = id;
	return add_segment(f, (struct catalog_segment){ number, first, (uint64_t)st.st_size });
}

static int by_first(const void *a, const void *b)
{
	const struct catalog_segment *x = a, *y = b;

	return x->first != y->first ? (x->first > y->first) - (x->first < y->first) : (x->number > y->number) - (x->number < y->number);
}

/* Sealed files end where their last record does; only in that order, and only when none reaches into the next, is the log whole. */
static int order_segments(struct survey *y, struct error *e)
{
	struct catalog *c = &y->catalog;

	qsort(c->segment, c->count, sizeof(*c->segment), by_first);
	for (size_t i = 0; i + 1 < c->count; i++)
		if (c->segment[i].first + c->segment[i].size - SEGMENT_HEADER > c->segment[i + 1].first)
			return error_set(e, -EUCLEAN, "%s: segments %llu and %llu overlap, and there is no " CATALOG_NAME " to say which one counts; restore a backup",
				y->path, (unsigned long long)c->segment[i].number, (unsigned long long)c->segment[i + 1].number);
	c->segment[c->count - 1].size = 0;
	return 0;
}

static int rebuild(struct survey *y, struct error *e)
{
	struct finder f = { .y = y, .e = e };

	y->rebuilt = true;
	snprintf(y->problem, sizeof(y->problem), "%s", e->text);
	e->code = 0;
	int r = y->io->list(y->io, y->dir, look_at, &f);
	if (r)
		return e->code ? r : error_set(e, r, "%s: cannot list: %s", y->path, strerror(-r));
	if (y->catalog.count == 0)
		return error_set(e, -ENOENT, "%s: there is no store here", y->path);
	y->catalog.next = f.highest + 1;
	return order_segments(y, e);
}

/* ---- a catalog that is older than the segments ---- */

static int look_for_younger(void *arg, const char *name)
{
	struct finder *f = arg;
	struct survey *y = f->y;

	if (segment_name_number(name) < y->catalog.next)
		return 0;
	int r = window_has_content(y->io, y->dir, name);
	if (r < 0)
		return error_set(f->e, r, "%s/%s: %s", y->path, name, strerror(-r));
	return r ? error_set(f->e, -EUCLEAN, "%s is younger than " CATALOG_NAME ", which must be an old copy", name) : 0;
}

/* After a clean stop nothing is written behind the end it noted. */
static int look_behind_end(struct survey *y, struct error *e)
{
	const struct catalog *c = &y->catalog;
	struct survey_segment g;
	struct record next;
	uint64_t size;

	if (!c->clean || c->count == 0)
		return 0;
	int r = survey_segment(y, c->count - 1, &g, e);
	struct window w = { .io = y->io, .fd = g.fd, .limit = g.file_size };
	if (r == 0 && !g.fault && g.file_size > c->clean_size && window_record(&w, &g.g, c->clean_size, &next, &size) == 0)
		r = error_set(e, -EUCLEAN, "%s has a record behind the clean stop: " CATALOG_NAME " must be an old copy", g.name);
	buf_free(&w.data);
	survey_release(y, &g);
	return r;
}

/* What a start refuses for these reasons is told and mended by the segments, as though there were no catalog. */
static int check_age(struct survey *y, struct error *e)
{
	struct finder f = { .y = y, .e = e };
	int r = y->io->list(y->io, y->dir, look_for_younger, &f);

	if (r == 0)
		r = look_behind_end(y, e);
	else if (!e->code)
		error_set(e, r, "%s: cannot list: %s", y->path, strerror(-r));
	if (r == -EUCLEAN)
		catalog_free(&y->catalog);
	return r;
}

static int read_catalog(struct survey *y, struct error *e)
{
	struct error why = { 0 };
	int r = catalog_read(y->io, y->dir, &y->catalog, &why);

	return r ? error_set(e, r, "%s/%s", y->path, why.text) : 0;
}

int survey_open(struct survey *y, struct io *io, const char *path, bool write, struct error *e)
{
	*y = (struct survey){ .io = io, .path = path, .lock_fd = -1, .dir = io->open_dir(io, path) };
	if (y->dir < 0)
		return error_set(e, y->dir, "%s: %s", path, strerror(-y->dir));
	int r = take_lock(y, write, e);
	if (r == 0)
		r = read_catalog(y, e);
	if (r == 0)
		r = check_age(y, e);
	return r == -ENOENT || r == -EUCLEAN ? rebuild(y, e) : r;
}

void survey_close(struct survey *y)
{
	catalog_free(&y->catalog);
	if (y->lock_fd >= 0)
		y->io->close(y->io, y->lock_fd);
	if (y->dir >= 0)
		y->io->close(y->io, y->dir);
}

/* ---- one segment ---- */

int survey_check_name(struct survey *y, int fd, const char *name, uint64_t number, uint64_t store_id, struct error *e)
{
	struct error why = { 0 };
	char head[SEGMENT_HEADER];
	uint64_t first;

	if (fd < 0 || y->io->pread(y->io, fd, head, sizeof(head), 0, 0) < (ssize_t)sizeof(head))
		return 0;
	uint64_t own_id = get_le64(head + 16), own_number = get_le64(head + 24);
	if (segment_check_header(y->io, fd, own_id, own_number, &first, &why) || (own_id == store_id && own_number == number))
		return 0;
	return error_set(e, -EUCLEAN, "%s/%s: is segment %" PRIu64 " of store %016" PRIx64 ", whole, under a wrong name; give it back its name, or take it away",
		y->path, name, own_number, own_id);
}

static int find_must(struct survey *y, struct survey_segment *g, const struct catalog_segment *in)
{
	struct verify_walk v;

	if (in->size || y->catalog.clean) {
		g->must = in->size ? in->size : y->catalog.clean_size;
		g->limit = g->must;
		return 0;
	}
	g->limit = g->file_size;
	verify_begin(&v, y->io, g->fd, &g->g, g->limit);
	int r = g->fd < 0 ? 0 : verify_proven(&v, &g->must);
	verify_done(&v);
	return r;
}

int survey_segment(struct survey *y, size_t i, struct survey_segment *ret, struct error *e)
{
	const struct catalog_segment *in = &y->catalog.segment[i];
	struct stat st = { 0 };
	struct error why = { 0 };
	uint64_t first = in->first;

	*ret = (struct survey_segment){ .g = { .number = in->number, .first = in->first }, .active = in->size == 0, .must = SEGMENT_HEADER };
	ret->g.seed = record_segment_seed(y->catalog.store_id, in->number);
	segment_name(ret->name, in->number);
	ret->fd = y->io->open(y->io, y->dir, ret->name, O_RDONLY, 0);
	int r = ret->fd < 0 ? ret->fd : y->io->fstat(y->io, ret->fd, &st);
	ret->file_size = (uint64_t)st.st_size;
	if (r == 0) {
		int header = segment_check_header(y->io, ret->fd, y->catalog.store_id, in->number, &first, &why);
		if (header == -EPROTONOSUPPORT)
			return error_set(e, header, "%s/%s", y->path, why.text);
		ret->fault = header || first != in->first ? "its header is damaged or another segment's" : NULL;
	} else if (r == -ENOENT) {
		ret->fault = "named in the catalog but missing";
		ret->fd = -1;
		r = 0;
	}
	if (r == 0)
		r = find_must(y, ret, in);
	if (r == 0 && !ret->fault && ret->file_size < ret->must)
		ret->fault = "the file is shorter than the catalog says";
	return r ? error_set(e, r, "%s/%s: %s", y->path, ret->name, strerror(-r)) : 0;
}

void survey_release(struct survey *y, struct survey_segment *g)
{
	if (g->fd >= 0)
		y->io->close(y->io, g->fd);
	g->fd = -1;
}
