/* SPDX-License-Identifier: MIT
 *
 * Is a snapshot whole? Every file of the manifest, the catalog against it, and every record of every segment.
 */
#include "store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/crc.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/verify.h"
#include "store/whole.h"

struct checking {
	struct io *io;
	int dir;
	const struct manifest *m;
	struct catalog c;
	struct store_snapshot_check found;
	struct error *e;
};

/* The records of a segment follow each other without a gap, and the last one ends a transaction at `size`. */
static int check_records(struct checking *k, struct verify_walk *v, const char *name)
{
	struct verify_item item;
	bool whole = true;
	int r;

	while ((r = verify_next(v, &item)) == 0) {
		if (item.kind != VERIFY_RECORD)
			return error_set(k->e, -EUCLEAN, "%s: damaged at offset %" PRIu64 ": a record fails its checksum", name, item.offset);
		whole = item.record.flags & RECORD_COMMIT;
		k->found.records++;
	}
	if (r < 0)
		return error_set(k->e, r, "%s: cannot be read: %s", name, strerror(-r));
	if (v->offset != v->w.limit || !whole)
		return error_set(k->e, -EUCLEAN, "%s: damaged at offset %" PRIu64 ": it ends inside a transaction", name, v->offset);
	k->found.bytes += v->offset;
	return 0;
}

static int check_open_segment(struct checking *k, int fd, const struct catalog_segment *in, const struct manifest_file *f)
{
	struct segment g = { .number = in->number, .first = in->first, .seed = record_segment_seed(k->m->store_id, in->number) };
	struct verify_walk v;
	struct stat st;
	uint64_t first;
	uint32_t sum;

	int r = segment_check_header(k->io, fd, k->m->store_id, in->number, &first, k->e);
	if (r)
		return r;
	if (segment_header_sum(k->io, fd, &sum) || sum != f->sum || first != in->first)
		return error_set(k->e, -EUCLEAN, "%s: is not the file that " MANIFEST_NAME " names", f->name);
	r = k->io->fstat(k->io, fd, &st);
	if (r)
		return error_set(k->e, r, "%s: %s", f->name, strerror(-r));
	if ((uint64_t)st.st_size < f->size)
		return error_set(k->e, -EUCLEAN, "%s: damaged at offset %" PRIu64 ": it should have %" PRIu64 " bytes", f->name,
			(uint64_t)st.st_size, f->size);
	verify_begin(&v, k->io, fd, &g, f->size);
	r = check_records(k, &v, f->name);
	verify_done(&v);
	return r;
}

static int check_segment(struct checking *k, const struct catalog_segment *in)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(name, in->number);
	const struct manifest_file *f = manifest_find(k->m, name);
	if (!f || f->size != (in->size ? in->size : SEGMENT_HEADER))
		return error_set(k->e, -EUCLEAN, CATALOG_NAME ": %s is not as " MANIFEST_NAME " has it", name);
	int fd = k->io->open(k->io, k->dir, name, O_RDONLY, 0);
	if (fd < 0)
		return error_set(k->e, fd == -ENOENT ? -EUCLEAN : fd, "%s: %s", name, fd == -ENOENT ? "is missing" : strerror(-fd));
	int r = check_open_segment(k, fd, in, f);
	k->io->close(k->io, fd);
	k->found.segments++;
	return r;
}

static int check_catalog(struct checking *k)
{
	const struct manifest_file *f = manifest_find(k->m, CATALOG_NAME);
	struct buf text = { 0 };

	int r = whole_read(k->io, k->dir, CATALOG_NAME, SIZE_MAX, &text);
	bool same = r == 0 && f && f->size == text.len && f->sum == crc_update(0, text.ptr, text.len);
	buf_free(&text);
	if (r)
		return error_set(k->e, r == -ENOENT ? -EUCLEAN : r, CATALOG_NAME ": %s", r == -ENOENT ? "is missing" : strerror(-r));
	if (!same)
		return error_set(k->e, -EUCLEAN, CATALOG_NAME ": is not the file that " MANIFEST_NAME " names");
	r = catalog_read(k->io, k->dir, &k->c, k->e);
	if (r)
		return r;
	if (k->c.store_id != k->m->store_id || !k->c.clean || k->c.clean_size != SEGMENT_HEADER || k->c.count != manifest_segments(k->m))
		return error_set(k->e, -EUCLEAN, CATALOG_NAME ": is not that of the snapshot");
	return 0;
}

/* All of its blocks: 0 or -EUCLEAN, or what the disk said. */
static int check_blocks(struct checking *k, const struct checkpoint_reader *c)
{
	struct buf block = { 0 };
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < c->blocks; i++)
		if ((r = checkpoint_read_block(c, i, &block)))
			error_set(k->e, r, CHECKPOINT_NAME ": damaged in the block at offset %" PRIu64, c->row[i].offset);
	buf_free(&block);
	return r;
}

int snapshot_check_checkpoint(struct io *io, int dir, const struct manifest *m, struct error *e)
{
	const struct manifest_file *f = manifest_find(m, CHECKPOINT_NAME);
	struct checking k = { .io = io, .dir = dir, .m = m, .e = e };
	struct checkpoint_reader c;

	if (!f)
		return 0;
	int r = catalog_read(io, dir, &k.c, e);
	if (r)
		return r;
	int bad = checkpoint_open(&c, io, dir, m->store_id, &k.c);
	if (bad)
		r = error_set(e, -EUCLEAN, CHECKPOINT_NAME ": %s", bad < 0 ? "is missing" : c.why);
	else if (c.size != f->size || c.sum != f->sum)
		r = error_set(e, -EUCLEAN, CHECKPOINT_NAME ": is not the file that " MANIFEST_NAME " names");
	else
		r = check_blocks(&k, &c);
	checkpoint_close(&c);
	catalog_free(&k.c);
	return r;
}

int snapshot_check(struct io *io, int dir, const struct manifest *m, struct store_snapshot_check *ret, struct error *e)
{
	struct checking k = { .io = io, .dir = dir, .m = m, .e = e };
	int r = check_catalog(&k);

	for (size_t i = 0; r == 0 && i < k.c.count; i++)
		r = check_segment(&k, &k.c.segment[i]);
	catalog_free(&k.c);
	*ret = k.found;
	return r;
}
