/* SPDX-License-Identifier: MIT */
#include "store/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "store/survey.h"

static const char *type_name(enum record_type type)
{
	switch (type) {
	case RECORD_PUT:
		return "put";
	case RECORD_DELETE:
		return "delete";
	case RECORD_FLUSH:
		return "flush";
	case RECORD_SWAP:
		return "swap";
	case RECORD_LOST:
		return "lost";
	case RECORD_GAP:
		return "gap";
	}
	return "unknown";
}

struct offline_item offline_item_of(const char *file, const struct verify_item *in)
{
	struct offline_item out = { .file = file, .offset = in->offset, .size = in->size };

	out.kind = in->kind == VERIFY_RECORD ? OFFLINE_RECORD : in->kind == VERIFY_VALUE ? OFFLINE_VALUE : OFFLINE_BYTES;
	if (in->kind != VERIFY_RECORD)
		out.text = in->kind == VERIFY_VALUE ? "the value of this record is damaged" : "no record reads back here";
	if (in->kind == VERIFY_BYTES)
		return out;
	out.type = type_name(in->record.type);
	out.position = in->record.position;
	out.ns = in->record.ns;
	out.codec = in->record.codec;
	out.commit = in->record.flags & RECORD_COMMIT;
	out.key = in->record.key;
	out.value_len = in->record.value.len;
	out.expire_wall_ms = in->record.expire_wall_ms;
	return out;
}

void offline_count(struct offline_report *r, const struct offline_item *item, const struct record *record)
{
	r->bytes += item->kind == OFFLINE_FILE ? 0 : item->size;
	switch (item->kind) {
	case OFFLINE_RECORD:
		r->records++;
		r->lost += record->type == RECORD_LOST;
		r->gaps += record->type == RECORD_GAP;
		break;
	case OFFLINE_TAIL:
		r->tail_bytes += item->size;
		break;
	case OFFLINE_VALUE:
	case OFFLINE_BYTES:
	case OFFLINE_FILE:
		r->damaged++;
		r->damaged_bytes += item->size;
	}
}

/* What does not read back behind the last place known to have been on disk is an unfinished end, if it is anything. */
static int report_tail(struct survey_segment *g, struct verify_walk *v, uint64_t from, offline_each *each, void *arg, struct offline_report *ret)
{
	uint64_t end;
	int r = verify_used(v, from, &end);

	if (r == 0 && end > from) {
		struct offline_item item = { .kind = OFFLINE_TAIL, .file = g->name, .offset = from, .size = end - from,
			.text = "an unfinished end; the next start cuts it off" };
		offline_count(ret, &item, NULL);
		each(arg, &item);
	}
	return r;
}

static int verify_records(struct survey *y, struct survey_segment *g, offline_each *each, void *arg, struct offline_report *ret)
{
	struct verify_item in;
	struct verify_walk v;
	int r;

	verify_begin(&v, y->io, g->fd, &g->g, g->limit < g->file_size ? g->limit : g->file_size);
	while ((r = verify_next(&v, &in)) == 0) {
		struct offline_item item = offline_item_of(g->name, &in);
		if (item.kind != OFFLINE_RECORD && in.offset >= g->must) {
			r = report_tail(g, &v, in.offset, each, arg, ret);
			break;
		}
		offline_count(ret, &item, &in.record);
		if (item.kind != OFFLINE_RECORD)
			each(arg, &item);
	}
	verify_done(&v);
	return r == VERIFY_END ? 0 : r;
}

static int verify_segment(struct survey *y, size_t i, offline_each *each, void *arg, struct offline_report *ret, struct error *e)
{
	struct survey_segment g;
	int r = survey_segment(y, i, &g, e);

	if (r == 0 && g.fault) {
		struct offline_item item = { .kind = OFFLINE_FILE, .file = g.name, .text = g.fault,
			.size = g.must > g.file_size ? g.must - g.file_size : 0, .offset = g.must > g.file_size ? g.file_size : 0 };
		offline_count(ret, &item, NULL);
		each(arg, &item);
	}
	ret->segments++;
	if (r == 0 && g.fd >= 0) {
		r = verify_records(y, &g, each, arg, ret);
		if (r)
			error_set(e, r, "%s/%s: %s", y->path, g.name, strerror(-r));
	}
	survey_release(y, &g);
	return r;
}

int offline_verify(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e)
{
	struct survey y;
	int r = survey_open(&y, io, path, false, e);

	*ret = (struct offline_report){ 0 };
	if (r == 0 && y.rebuilt) {
		struct offline_item item = { .kind = OFFLINE_FILE, .file = CATALOG_NAME, .text = y.problem };
		offline_count(ret, &item, NULL);
		each(arg, &item);
	}
	for (size_t i = 0; r == 0 && i < y.catalog.count; i++)
		r = verify_segment(&y, i, each, arg, ret, e);
	survey_close(&y);
	return r;
}

/* ---- one file ---- */

/* path names the file in messages. */
static int begin_dump(struct io *io, int fd, const char *path, struct segment *ret, uint64_t *ret_limit, struct error *e)
{
	char head[SEGMENT_HEADER], name[SEGMENT_NAME_SIZE];
	struct stat st;
	uint64_t first;
	ssize_t n = io->pread(io, fd, head, sizeof(head), 0, 0);

	if (n < 0)
		return error_set(e, (int)n, "%s: %s", path, strerror((int)-n));
	if (n < (ssize_t)sizeof(head))
		return error_set(e, -EUCLEAN, "%s: shorter than the header of a segment", path);
	/* Whatever the name says: a copy under another name can be looked at, too. */
	struct error why = { 0 };
	uint64_t id = get_le64(head + 16), number = get_le64(head + 24);
	int r = segment_check_header(io, fd, id, number, &first, &why);
	segment_name(name, number);
	if (r) /* the reason begins with the name that the number would give */
		return error_set(e, r, "%s: not a segment, or its header is damaged (%s)", path, why.text + strlen(name) + 2);
	*ret = (struct segment){ .number = number, .first = first, .seed = record_segment_seed(id, number) };
	r = io->fstat(io, fd, &st);
	*ret_limit = r ? 0 : (uint64_t)st.st_size;
	return r ? error_set(e, r, "%s: %s", path, strerror(-r)) : 0;
}

static int dump_records(struct io *io, int fd, const char *file, const struct segment *g, uint64_t limit, offline_each *each, void *arg,
	struct offline_report *ret)
{
	struct verify_item in;
	struct verify_walk v;
	uint64_t used;
	int r;

	verify_begin(&v, io, fd, g, limit);
	while ((r = verify_next(&v, &in)) == 0) {
		struct offline_item item = offline_item_of(file, &in);
		if (in.kind == VERIFY_BYTES) { /* the zeros that are written ahead are nothing */
			r = verify_used(&v, in.offset, &used);
			if (r || used == in.offset)
				break;
			item.size = in.size < used - in.offset ? in.size : used - in.offset;
		}
		offline_count(ret, &item, &in.record);
		each(arg, &item);
	}
	verify_done(&v);
	return r == VERIFY_END ? 0 : r;
}

/* Opens a file by its path: a descriptor or a negative errno. */
static int open_path(struct io *io, const char *path)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int d = dir ? io->open_dir(io, dir) : -ENOMEM, fd = d;

	if (d >= 0) {
		fd = *file ? io->open(io, d, file, O_RDONLY, 0) : -EISDIR;
		io->close(io, d);
	}
	free(dir);
	return fd;
}

int offline_dump(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	struct segment g;
	uint64_t limit;
	int fd = open_path(io, path);
	int r = fd < 0 ? error_set(e, fd, "%s: %s", path, strerror(-fd)) : begin_dump(io, fd, path, &g, &limit, e);

	*ret = (struct offline_report){ 0 };
	if (r == 0) {
		ret->segments = 1;
		r = dump_records(io, fd, file, &g, limit, each, arg, ret);
		if (r)
			error_set(e, r, "%s: %s", path, strerror(-r));
	}
	if (fd >= 0)
		io->close(io, fd);
	return r;
}
