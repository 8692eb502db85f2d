/* SPDX-License-Identifier: MIT
 *
 * Repair: a segment in which something does not read back is written anew beside the old one, with records in the place of what is damaged, and takes its
 * name; the old file keeps existing under damaged/. Offsets and positions stay as they were, so nothing else has to change:
 *
 *   new file written and synced -> old file linked into damaged/, listed, that synced -> renamed over the old name -> directory synced
 *
 * A crash in between leaves the old file in force, and the repair can be run again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/damaged.h"
#include "store/survey.h"

#define PIECE ((uint64_t)8160) /* bytes of a gap record: below the sizes that are rounded */
#define COPY ((size_t)1 << 20)

struct repair {
	struct survey *y;
	struct survey_segment *g;
	int folder; /* damaged/ */
	int fd;     /* of the new file */
	struct buf out;
	uint64_t at; /* offset of out in the new file */
	char kept[SEGMENT_NAME_SIZE + 32]; /* name of the old file in damaged/ */
	offline_each *each;
	void *arg;
	struct offline_report *report;
	struct error *e;
};

static int flush_out(struct repair *p)
{
	struct io *io = p->y->io;
	struct iovec v = { p->out.ptr, p->out.len };

	if (p->out.failed)
		return -ENOMEM;
	ssize_t n = p->out.len ? io->pwritev(io, p->fd, &v, 1, p->at) : 0;
	if (n < 0)
		return (int)n;
	p->at += p->out.len;
	p->out.len = 0;
	return 0;
}

static uint64_t out_offset(const struct repair *p)
{
	return p->at + p->out.len;
}

static int put_record(struct repair *p, const struct record *r)
{
	uint64_t size = record_size(r->key.len, r->value.len, r->expire_wall_ms != RECORD_NEVER);

	if (buf_reserve(&p->out, size + 1))
		return -ENOMEM;
	record_encode(p->out.ptr + p->out.len, r, record_bind(p->g->g.seed, out_offset(p)));
	p->out.len += size;
	return p->out.len >= COPY ? flush_out(p) : 0;
}

/* Records that say nothing but that something was here. Each closes a transaction: what is whole of one that was hit stays. */
static int put_gap(struct repair *p, uint64_t size)
{
	static const char zeros[PIECE];
	int r = 0;

	while (size && r == 0) {
		uint64_t piece = size < PIECE ? size : PIECE;
		if (size - piece && size - piece < RECORD_HEADER)
			piece -= RECORD_HEADER;
		r = put_record(p, &(struct record){ .type = RECORD_GAP, .flags = RECORD_COMMIT, .distance = RECORD_NO_CLAIM,
			.position = segment_position(&p->g->g, out_offset(p)), .expire_wall_ms = RECORD_NEVER, .value = slice(zeros, piece - RECORD_HEADER) });
		size -= piece;
		p->report->gaps++;
	}
	return r;
}

static int put_header(struct repair *p)
{
	char head[SEGMENT_HEADER];

	segment_encode_header(head, &p->g->g, p->y->catalog.store_id, clock_wall_ms(&clock_system));
	buf_append(&p->out, head, sizeof(head));
	return 0;
}

static int list_place(struct repair *p, const struct offline_item *item, const char *kind)
{
	bool has_key = item->kind == OFFLINE_VALUE;
	char note[160];

	if (*p->kept)
		snprintf(note, sizeof(note), "repaired; the file as it was is " DAMAGED_NAME "/%s", p->kept);
	else
		snprintf(note, sizeof(note), "repaired; there was nothing to keep");
	int r = damaged_list(p->y->io, p->folder, clock_wall_ms(&clock_system), &(struct damaged_place){ .file = item->file, .offset = item->offset,
		.size = item->size, .kind = kind, .has_key = has_key, .ns = item->ns, .key = item->key, .note = note });
	offline_count(p->report, item, NULL);
	p->each(p->arg, item);
	return r < 0 ? r : 0;
}

/* One item of the old file becomes records of the new one. */
static int take_item(struct repair *p, struct verify_item *in, const struct offline_item *item)
{
	if (in->kind == VERIFY_RECORD) {
		p->report->records++;
		p->report->bytes += in->size;
		p->report->lost += in->record.type == RECORD_LOST;
		return put_record(p, &in->record);
	}
	int r = list_place(p, item, in->kind == VERIFY_VALUE ? "value" : "bytes");
	if (r)
		return r;
	if (in->size % RECORD_ALIGN || in->size < RECORD_HEADER)
		return -EUCLEAN; /* the sizes of whole records make it otherwise */
	if (in->kind == VERIFY_BYTES || (in->record.type != RECORD_PUT && in->record.type != RECORD_LOST && in->record.type != RECORD_DELETE))
		return put_gap(p, in->size);
	in->record.type = RECORD_LOST;
	p->report->lost++;
	return put_record(p, &in->record);
}

static int copy_records(struct repair *p)
{
	struct survey_segment *g = p->g;
	struct verify_item in;
	struct verify_walk v;
	int r;

	if (g->fd < 0)
		return 0;
	verify_begin(&v, p->y->io, g->fd, &g->g, g->limit < g->file_size ? g->limit : g->file_size);
	while ((r = verify_next(&v, &in)) == 0) {
		struct offline_item item = offline_item_of(g->name, &in);
		if (in.kind != VERIFY_RECORD && in.offset >= g->must)
			break;
		if (in.kind == VERIFY_BYTES && v.offset == v.w.limit && v.w.limit < g->must) {
			r = list_place(p, &item, "bytes"); /* the rest of a short file: one gap with what is missing */
			break;
		}
		r = take_item(p, &in, &item);
		if (r)
			break;
	}
	verify_done(&v);
	return r == VERIFY_END ? 0 : r;
}

/* What stands behind the last record, for recovery to judge: as it was. */
static int copy_rest(struct repair *p)
{
	struct survey_segment *g = p->g;
	struct window w = { .io = p->y->io, .fd = g->fd, .limit = g->file_size };
	struct slice bytes = { 0 };
	int r = 0;

	for (uint64_t at = out_offset(p); g->fd >= 0 && g->active && !g->undecided && at < g->file_size && r == 0; at += bytes.len) {
		r = window_at(&w, at, COPY, &bytes);
		if (r == 0 && bytes.len == 0)
			break;
		buf_append_slice(&p->out, r ? slice(NULL, 0) : bytes);
		if (r == 0)
			r = flush_out(p);
	}
	buf_free(&w.data);
	return r;
}

static int write_segment(struct repair *p)
{
	struct survey_segment *g = p->g;
	int r = put_header(p);

	if (g->fault) {
		struct offline_item item = { .kind = OFFLINE_FILE, .file = g->name, .text = g->fault,
			.offset = g->must > g->file_size ? g->file_size : 0, .size = g->must > g->file_size ? g->must - g->file_size : 0 };
		r = list_place(p, &item, "file");
	}
	if (r == 0)
		r = copy_records(p);
	if (r == 0 && out_offset(p) < g->must)
		r = (g->must - out_offset(p)) % RECORD_ALIGN || g->must - out_offset(p) < RECORD_HEADER ? -EUCLEAN : put_gap(p, g->must - out_offset(p));
	if (r == 0 && g->undecided) {
		struct offline_item item = { .kind = OFFLINE_BYTES, .file = g->name, .text = "what looks like many records is cut off",
			.offset = out_offset(p), .size = g->file_size - out_offset(p) };
		r = list_place(p, &item, "bytes");
	}
	if (r == 0)
		r = copy_rest(p);
	return r ? r : flush_out(p);
}

/* The old file under a name of its own in damaged/. */
static int keep_file(struct repair *p, const char *name)
{
	struct io *io = p->y->io;
	int r = -EEXIST;

	for (unsigned n = 1; r == -EEXIST && n < 1000; n++) {
		snprintf(p->kept, sizeof(p->kept), n == 1 ? "%s" : "%s.%u", name, n);
		r = io->link(io, p->y->dir, name, p->folder, p->kept);
	}
	return r ? r : io->fsync(io, p->folder);
}

static int replace_segment(struct repair *p, const char *new_name)
{
	struct io *io = p->y->io;
	int r = write_segment(p);

	if (r == 0)
		r = io->fsync(io, p->fd);
	if (r == 0)
		r = io->rename(io, p->y->dir, new_name, p->g->name);
	return r ? r : catalog_sync_dir(io, p->y->dir);
}

/* What the log says counts, also where that is less than it was: a checkpoint would go on showing what it knew before. */
static int drop_checkpoint(struct repair *p)
{
	int r = p->y->io->unlink(p->y->io, p->y->dir, CHECKPOINT_NAME);

	return r == -ENOENT ? 0 : r ? r : catalog_sync_dir(p->y->io, p->y->dir);
}

static int repair_segment(struct repair *p)
{
	struct io *io = p->y->io;
	char new_name[SEGMENT_NAME_SIZE + 8];

	snprintf(new_name, sizeof(new_name), "%s" SEGMENT_NEW_SUFFIX, p->g->name);
	p->kept[0] = '\0';
	p->at = p->out.len = 0;
	int r = p->g->fd >= 0 ? keep_file(p, p->g->name) : 0;
	if (r == 0 && (r = io->unlink(io, p->y->dir, new_name)) == -ENOENT)
		r = 0;
	if (r == 0)
		r = p->fd = io->open(io, p->y->dir, new_name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (r < 0)
		return r;
	r = replace_segment(p, new_name);
	io->close(io, p->fd);
	return r;
}

/* 1: there is something to mend; 0: there is not. */
static int needs_repair(struct survey *y, struct survey_segment *g, struct offline_report *ret)
{
	struct verify_item in;
	struct verify_walk v;
	int r;

	ret->segments++;
	if (g->fault)
		return 1;
	struct offline_report seen = { 0 };
	verify_begin(&v, y->io, g->fd, &g->g, g->limit);
	while ((r = verify_next(&v, &in)) == 0 && in.kind == VERIFY_RECORD) {
		struct offline_item item = offline_item_of(g->name, &in);
		offline_count(&seen, &item, &in.record);
	}
	if (r == 0 && in.offset >= g->must)
		g->undecided = verify_find_claim(&v, in.offset) == VERIFY_GIVEN_UP;
	verify_done(&v);
	if (r < 0)
		return r;
	if (r == 0 && (in.offset < g->must || g->undecided))
		return 1; /* it is counted when it is written anew */
	ret->records += seen.records;
	ret->lost += seen.lost;
	ret->gaps += seen.gaps;
	ret->bytes += seen.bytes;
	return 0;
}

static int repair_one(struct repair *p, size_t i, bool change)
{
	struct survey_segment g;
	int r = survey_segment(p->y, i, &g, p->e);

	p->g = &g;
	/* A whole segment under a wrong name would be given up for lost. */
	if (r == 0 && !change)
		r = survey_check_name(p->y, g.fd, g.name, g.g.number, p->y->catalog.store_id, p->e);
	if (r == 0 && change) {
		r = needs_repair(p->y, &g, p->report);
		if (r == 1 && (r = drop_checkpoint(p)) == 0)
			r = repair_segment(p);
		if (r)
			error_set(p->e, r, "%s/%s: cannot be repaired: %s", p->y->path, g.name, strerror(-r));
	}
	survey_release(p->y, &g);
	return r;
}

static int replace_catalog(struct repair *p)
{
	struct offline_item item = { .kind = OFFLINE_FILE, .file = CATALOG_NAME, .text = p->y->problem };
	int r = keep_file(p, CATALOG_NAME);

	if (r == -ENOENT) {
		p->kept[0] = '\0';
		r = 0;
	}
	if (r == 0)
		r = list_place(p, &item, "file");
	if (r == 0)
		r = catalog_write(p->y->io, p->y->dir, &p->y->catalog);
	return r ? error_set(p->e, r, "%s/" CATALOG_NAME ": cannot be written: %s", p->y->path, strerror(-r)) : 0;
}

int offline_repair(struct io *io, const char *path, offline_each *each, void *arg, struct offline_report *ret, struct error *e)
{
	struct survey y;
	struct repair p = { .y = &y, .folder = -1, .each = each, .arg = arg, .report = ret, .e = e };
	int r = survey_open(&y, io, path, true, e);

	*ret = (struct offline_report){ 0 };
	for (size_t i = 0; r == 0 && i < y.catalog.count; i++)
		r = repair_one(&p, i, false);
	if (r == 0) {
		p.folder = damaged_open(io, y.dir);
		r = p.folder < 0 ? error_set(e, p.folder, "%s/" DAMAGED_NAME ": %s", path, strerror(-p.folder)) : 0;
	}
	for (size_t i = 0; r == 0 && i < y.catalog.count; i++)
		r = repair_one(&p, i, true);
	if (r == 0 && y.rebuilt)
		r = replace_catalog(&p);
	if (p.folder >= 0)
		io->close(io, p.folder);
	buf_free(&p.out);
	survey_close(&y);
	return r;
}
