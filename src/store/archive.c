/* SPDX-License-Identifier: MIT */
#include "store/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/num.h"
#include "base/tar.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/snapshot.h"
#include "store/whole.h"

#define COPY ((size_t)1 << 20) /* bytes moved at a time */
#define PAX_MAX ((uint64_t)64 << 10)

/* ---- writing ---- */

struct packing {
	struct io *io;
	int dir;
	const struct manifest *m;
	store_write *write;
	void *arg;
	char *copy; /* COPY bytes */
	struct error *e;
};

/* The older snapshot has this very file: number, size and header are the same. */
static bool is_old(const struct manifest *since, const struct manifest_file *f)
{
	const struct manifest_file *old = since && strcmp(f->name, CATALOG_NAME) != 0 ? manifest_find(since, f->name) : NULL;

	return old && old->size == f->size && old->sum == f->sum;
}

static void print_since(struct buf *out, const struct manifest *since)
{
	buf_printf(out, "kvd-since 1 %s %08" PRIx32 "\n", since->name, since->sum);
}

static int write_head(struct packing *p, const char *name, enum tar_type type, uint64_t size)
{
	struct tar_entry entry = { .type = type, .size = size, .mode = type == TAR_DIRECTORY ? 0700 : 0600, .mtime = p->m->time_ms / 1000 };
	char head[TAR_HEAD_MAX];

	snprintf(entry.name, sizeof(entry.name), "%s/%s", p->m->name, name);
	return p->write(p->arg, head, tar_encode(head, &entry));
}

static int write_padding(struct packing *p, uint64_t size)
{
	static const char zeros[TAR_BLOCK];

	return p->write(p->arg, zeros, tar_padding(size));
}

static int write_text(struct packing *p, const char *name, struct slice text)
{
	int r = write_head(p, name, TAR_FILE, text.len);

	if (r == 0)
		r = p->write(p->arg, text.ptr, text.len);
	return r ? r : write_padding(p, text.len);
}

static int write_small(struct packing *p, const char *name)
{
	struct buf text = { 0 };
	int r = whole_read(p->io, p->dir, name, SIZE_MAX, &text);

	if (r)
		error_set(p->e, r, "%s: %s", name, strerror(-r));
	else
		r = write_text(p, name, buf_slice(&text));
	buf_free(&text);
	return r;
}

static int copy_out(struct packing *p, int fd, const struct manifest_file *f)
{
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < f->size;) {
		size_t want = f->size - at < COPY ? (size_t)(f->size - at) : COPY;
		ssize_t n = p->io->pread(p->io, fd, p->copy, want, at, 0);
		if (n < 0)
			return error_set(p->e, (int)n, "%s: cannot be read at offset %" PRIu64 ": %s", f->name, at, strerror((int)-n));
		if (n == 0)
			return error_set(p->e, -EUCLEAN, "%s: damaged at offset %" PRIu64 ": it should have %" PRIu64 " bytes", f->name, at,
				f->size);
		r = p->write(p->arg, p->copy, (size_t)n);
		at += (uint64_t)n;
	}
	return r;
}

static int write_file(struct packing *p, int fd, const struct manifest_file *f)
{
	int r = write_head(p, f->name, TAR_FILE, f->size);

	if (r == 0)
		r = copy_out(p, fd, f);
	return r ? r : write_padding(p, f->size);
}

static int write_segment(struct packing *p, const struct manifest_file *f)
{
	uint32_t sum;
	int fd = p->io->open(p->io, p->dir, f->name, O_RDONLY, 0);

	if (fd < 0)
		return error_set(p->e, fd == -ENOENT ? -EUCLEAN : fd, "%s: %s", f->name, fd == -ENOENT ? "is missing" : strerror(-fd));
	int r = 0;
	if (segment_header_sum(p->io, fd, &sum) || sum != f->sum)
		r = error_set(p->e, -EUCLEAN, "%s: is not the file that " MANIFEST_NAME " names", f->name);
	if (r == 0)
		r = write_file(p, fd, f);
	p->io->close(p->io, fd);
	return r;
}

/* It can be done without: one that is missing or not the manifest's is left out. */
static int write_checkpoint(struct packing *p, const struct manifest_file *f)
{
	char head[CHECKPOINT_HEADER];
	struct stat st;
	int fd = p->io->open(p->io, p->dir, f->name, O_RDONLY, 0), r = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : error_set(p->e, fd, "%s: %s", f->name, strerror(-fd));
	bool same = p->io->fstat(p->io, fd, &st) == 0 && (uint64_t)st.st_size == f->size &&
		p->io->pread(p->io, fd, head, sizeof(head), 0, 0) == (ssize_t)sizeof(head) && get_le32(head + sizeof(head) - 4) == f->sum;
	if (same)
		r = write_file(p, fd, f);
	p->io->close(p->io, fd);
	return r;
}

static int write_end(struct packing *p)
{
	static const char zeros[2 * TAR_BLOCK];

	return p->write(p->arg, zeros, sizeof(zeros));
}

static int pack(struct packing *p, const struct manifest *since)
{
	struct buf text = { 0 };
	int r = write_head(p, "", TAR_DIRECTORY, 0);

	if (r == 0)
		r = write_small(p, MANIFEST_NAME);
	if (r == 0 && since) {
		print_since(&text, since);
		r = text.failed ? -ENOMEM : write_text(p, SINCE_NAME, buf_slice(&text));
		buf_free(&text);
	}
	if (r == 0)
		r = write_small(p, CATALOG_NAME);
	for (size_t i = 0; r == 0 && i < p->m->count; i++)
		if (segment_name_number(p->m->file[i].name) && !is_old(since, &p->m->file[i]))
			r = write_segment(p, &p->m->file[i]);
	const struct manifest_file *checkpoint = manifest_find(p->m, CHECKPOINT_NAME);
	if (r == 0 && checkpoint && !is_old(since, checkpoint))
		r = write_checkpoint(p, checkpoint);
	return r ? r : write_end(p);
}

int archive_write(struct io *io, int dir, const struct manifest *m, const struct manifest *since, store_write *write, void *arg,
	struct error *e)
{
	struct packing p = { .io = io, .dir = dir, .m = m, .write = write, .arg = arg, .copy = malloc(COPY), .e = e };
	int r = p.copy ? pack(&p, since) : -ENOMEM;

	free(p.copy);
	if (r && e && !e->code)
		error_set(e, r, "cannot be written: %s", strerror(-r));
	return r;
}

/* Adds up instead of writing. */
static int add_length(void *arg, const void *data, size_t len)
{
	(void)data;
	*(uint64_t *)arg += len;
	return 0;
}

static uint64_t file_size(uint64_t size)
{
	struct tar_entry entry = { .size = size };
	char head[TAR_HEAD_MAX];

	return tar_encode(head, &entry) + size + tar_padding(size);
}

uint64_t archive_size(const struct manifest *m, const struct manifest *since)
{
	struct packing p = { .m = m, .write = add_length };
	struct buf text = { 0 };
	uint64_t size = 0;

	p.arg = &size;
	write_head(&p, "", TAR_DIRECTORY, 0);
	size += file_size(m->length);
	if (since) {
		print_since(&text, since);
		size += file_size(text.len);
		buf_free(&text);
	}
	for (size_t i = 0; i < m->count; i++)
		if (!is_old(since, &m->file[i]))
			size += file_size(m->file[i].size);
	write_end(&p);
	return size;
}

/* ---- reading ---- */

struct unpacking {
	struct io *io;
	int dir;
	const struct manifest *base;
	store_read *read;
	void *arg;
	char *copy;
	char since[STORE_SNAPSHOT_NAME + 64]; /* what SINCE says; empty: there is none */
	bool has_manifest;
	struct error *e;
};

/* Reads exactly len bytes: 0, -EUCLEAN (it ends before), or an error. */
static int read_exactly(struct unpacking *u, void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = u->read(u->arg, (char *)data + at, len - at);
		if (n < 0)
			return error_set(u->e, (int)n, "cannot be read: %s", strerror((int)-n));
		if (n == 0)
			return error_set(u->e, -EUCLEAN, "is cut short");
		at += (size_t)n;
	}
	return 0;
}

static int skip(struct unpacking *u, uint64_t len)
{
	int r = 0;

	while (r == 0 && len) {
		size_t n = len < COPY ? (size_t)len : COPY;
		r = read_exactly(u, u->copy, n);
		len -= n;
	}
	return r;
}

static int copy_in(struct unpacking *u, int fd, const char *name, uint64_t size)
{
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < size;) {
		size_t n = size - at < COPY ? (size_t)(size - at) : COPY;
		struct iovec v = { u->copy, n };
		r = read_exactly(u, u->copy, n);
		if (r)
			return r;
		ssize_t written = u->io->pwritev(u->io, fd, &v, 1, at);
		if (written < 0)
			return error_set(u->e, (int)written, "%s: cannot be written: %s", name, strerror((int)-written));
		at += n;
	}
	r = u->io->fsync(u->io, fd);
	return r ? error_set(u->e, r, "%s: cannot be synced: %s", name, strerror(-r)) : 0;
}

/* The manifest says how much is to come: better to stop now than when the disk is full. */
static int check_room(struct unpacking *u)
{
	struct manifest m = { 0 };
	uint64_t need = SNAPSHOT_RESERVE, free_bytes = 0;
	int r = manifest_read(u->io, u->dir, &m, u->e);

	if (r)
		return r;
	for (size_t i = 0; i < m.count; i++)
		need += is_old(u->base, &m.file[i]) ? 0 : m.file[i].size;
	manifest_free(&m);
	u->has_manifest = true;
	r = u->io->free_space(u->io, u->dir, &free_bytes);
	if (r == 0 && free_bytes < need)
		return error_set(u->e, -ENOSPC, "%" PRIu64 " bytes are needed, %" PRIu64 " are free", need, free_bytes);
	return 0;
}

static int take_file(struct unpacking *u, const char *name, uint64_t size)
{
	/* It may be a link to a file of the store: removed it is, written into never. */
	int r = u->io->unlink(u->io, u->dir, name);

	if (r && r != -ENOENT)
		return error_set(u->e, r, "%s: %s", name, strerror(-r));
	int fd = u->io->open(u->io, u->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return error_set(u->e, fd, "%s: cannot be made: %s", name, strerror(-fd));
	r = copy_in(u, fd, name, size);
	u->io->close(u->io, fd);
	if (r == 0 && strcmp(name, MANIFEST_NAME) == 0)
		r = check_room(u);
	return r;
}

static int take_since(struct unpacking *u, uint64_t size)
{
	if (size >= sizeof(u->since))
		return error_set(u->e, -EUCLEAN, SINCE_NAME ": damaged");
	int r = read_exactly(u, u->since, (size_t)size);
	u->since[r ? 0 : size] = '\0';
	return r;
}

static int take_entry(struct unpacking *u, const struct tar_entry *entry)
{
	const char *slash = strrchr(entry->name, '/'), *name = slash ? slash + 1 : entry->name;
	int r;

	if (entry->type == TAR_DIRECTORY || entry->type == TAR_PAX_GLOBAL)
		return skip(u, entry->size + tar_padding(entry->size));
	if (entry->type == TAR_FILE && strcmp(name, SINCE_NAME) == 0)
		r = take_since(u, entry->size);
	else if (entry->type == TAR_FILE &&
		 (strcmp(name, MANIFEST_NAME) == 0 || strcmp(name, CATALOG_NAME) == 0 || strcmp(name, CHECKPOINT_NAME) == 0 ||
			 segment_name_number(name)))
		r = take_file(u, name, entry->size);
	else
		return error_set(u->e, -EUCLEAN, "holds \"%.100s\", which is no file of a snapshot", entry->name);
	return r ? r : skip(u, tar_padding(entry->size));
}

/* The next entry, what a pax head says about it applied: 0, TAR_END or an error. */
static int next_entry(struct unpacking *u, struct tar_entry *ret)
{
	struct buf pax = { 0 };
	char block[TAR_BLOCK];

	for (;;) {
		int r = read_exactly(u, block, sizeof(block));
		if (r == 0)
			r = tar_decode(block, ret);
		if (r == 0 && ret->type == TAR_PAX) {
			size_t whole = (size_t)ret->size + tar_padding(ret->size);
			buf_reset(&pax, 0);
			if (ret->size > PAX_MAX)
				r = error_set(u->e, -EUCLEAN, "is no archive that can be read");
			else if ((r = buf_reserve(&pax, whole)) == 0 && (r = read_exactly(u, pax.ptr, whole)) == 0)
				pax.len = (size_t)ret->size;
			if (r == 0)
				continue;
		}
		if (r == 0)
			r = tar_apply_pax(buf_slice(&pax), ret);
		buf_free(&pax);
		if (r < 0 && u->e && !u->e->code)
			error_set(u->e, r, r == -ENOMEM ? "out of memory" : "is no archive of a snapshot");
		return r;
	}
}

/* What an incremental archive says about the one before it must be so. */
static int check_chain(const struct unpacking *u)
{
	struct buf want = { 0 };

	if (!u->has_manifest)
		return error_set(u->e, -EUCLEAN, "holds no " MANIFEST_NAME);
	uint64_t version;
	if (sscanf(u->since, "kvd-since %" SCNu64 " ", &version) == 1 && version > SINCE_VERSION)
		return error_set(u->e, -EPROTONOSUPPORT, SINCE_NAME ": format version %" PRIu64 " is newer than version %d, which this kvd reads", version,
			SINCE_VERSION);
	if (!*u->since)
		return u->base ? error_set(u->e, -EUCLEAN, "is a whole snapshot: it builds on none") : 0;
	if (!u->base)
		return error_set(u->e, -EUCLEAN, "builds on another snapshot (\"%.*s\"), which has to come before it",
			(int)strcspn(u->since, "\n"), u->since);
	print_since(&want, u->base);
	bool same = slice_eq(buf_slice(&want), slice_str(u->since));
	buf_free(&want);
	if (!same)
		return error_set(u->e, -EUCLEAN, "builds on another snapshot (\"%.*s\") than %s", (int)strcspn(u->since, "\n"), u->since,
			u->base->name);
	return 0;
}

static int unpack(struct unpacking *u)
{
	struct tar_entry entry;
	int r;

	while ((r = next_entry(u, &entry)) == 0) {
		r = take_entry(u, &entry);
		if (r)
			return r;
	}
	if (r != TAR_END)
		return r;
	/* Who writes into a pipe is heard to the end. */
	while (u->read(u->arg, u->copy, COPY) > 0)
		;
	return check_chain(u);
}

int archive_read(struct io *io, int dir, const struct manifest *base, store_read *read, void *arg, struct error *e)
{
	struct unpacking u = { .io = io, .dir = dir, .base = base, .read = read, .arg = arg, .copy = malloc(COPY), .e = e };
	int r = u.copy ? unpack(&u) : error_set(e, -ENOMEM, "out of memory");

	free(u.copy);
	return r;
}
