/* SPDX-License-Identifier: MIT */
#include "store/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/num.h"

#define CATALOG_MAX (256u << 20) /* bytes: far above a million segments */

void catalog_free(struct catalog *c)
{
	free(c->segment);
	*c = (struct catalog){ 0 };
}

static void print_catalog(const struct catalog *c, struct buf *out)
{
	buf_printf(out, "kvd-catalog 1\nstore %016" PRIx64 "\nnext %" PRIu64 "\n", c->store_id, c->next);
	for (size_t i = 0; i < c->count; i++) {
		const struct catalog_segment *g = &c->segment[i];
		buf_printf(out, "segment %" PRIu64 " first %" PRIu64, g->number, g->first);
		if (g->size)
			buf_printf(out, " size %" PRIu64, g->size);
		buf_append_char(out, '\n');
	}
	if (c->clean)
		buf_printf(out, "clean %" PRIu64 "\n", c->clean_size);
	buf_printf(out, "crc32 %08" PRIx32 "\n", crc_update(0, out->ptr, out->len));
}

static int write_file(struct io *io, int dir, const struct buf *text)
{
	int fd = io->open(io, dir, CATALOG_NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return fd;
	struct iovec v = { text->ptr, text->len };
	ssize_t n = io->pwritev(io, fd, &v, 1, 0);
	int r = n < 0 ? (int)n : io->fsync(io, fd);
	int closed = io->close(io, fd);
	return r ? r : closed;
}

int catalog_sync_dir(struct io *io, int dir)
{
	return io->fsync(io, dir) ? -EIO : 0;
}

int catalog_write(struct io *io, int dir, const struct catalog *c)
{
	struct buf text = { 0 };

	print_catalog(c, &text);
	int r = text.failed ? -ENOMEM : write_file(io, dir, &text);
	buf_free(&text);
	if (r == 0)
		r = io->rename(io, dir, CATALOG_NEW_NAME, CATALOG_NAME);
	return r ? r : catalog_sync_dir(io, dir);
}

/* A cursor over the text; every helper takes what it names or leaves `bad` set. */
struct parser {
	struct slice rest;
	unsigned line;
	bool bad;
};

static bool take(struct parser *p, const char *word)
{
	struct slice w = slice_str(word);

	if (p->bad || !slice_has_prefix(p->rest, w))
		return false;
	for (size_t i = 0; i < w.len; i++)
		p->line += w.ptr[i] == '\n';
	p->rest = slice_skip(p->rest, w.len);
	return true;
}

static void expect(struct parser *p, const char *word)
{
	if (!take(p, word))
		p->bad = true;
}

static struct slice take_word(struct parser *p)
{
	size_t n = 0;

	while (n < p->rest.len && p->rest.ptr[n] != ' ' && p->rest.ptr[n] != '\n')
		n++;
	struct slice w = slice(p->rest.ptr, n);
	p->rest = slice_skip(p->rest, n);
	return w;
}

static uint64_t take_number(struct parser *p)
{
	uint64_t v = 0;

	if (p->bad || num_parse_u64(take_word(p), &v))
		p->bad = true;
	return v;
}

static uint64_t take_hex(struct parser *p, size_t digits)
{
	uint64_t v = 0;
	struct slice w = take_word(p);

	if (w.len != digits)
		p->bad = true;
	for (size_t i = 0; i < w.len && !p->bad; i++) {
		const char *set = "0123456789abcdef", *at = memchr(set, w.ptr[i], 16);
		if (!at)
			p->bad = true;
		else
			v = v * 16 + (uint64_t)(at - set);
	}
	return v;
}

static int add_segment(struct catalog *c, struct parser *p)
{
	struct catalog_segment g = { .number = take_number(p) };

	expect(p, " first ");
	g.first = take_number(p);
	if (take(p, " size ")) {
		g.size = take_number(p);
		p->bad |= g.size == 0;
	}
	expect(p, "\n");
	/* Only the last segment may be active, and no number can have been given out yet that next does not cover. */
	if (c->count && c->segment[c->count - 1].size == 0)
		p->bad = true;
	if (g.number == 0 || g.number >= c->next)
		p->bad = true;
	if (p->bad)
		return 0;
	if ((c->count & (c->count - 1)) == 0) {
		size_t cap = c->count ? c->count * 2 : 1;
		struct catalog_segment *more = realloc(c->segment, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->segment = more;
	}
	c->segment[c->count++] = g;
	return 0;
}

static int parse(struct slice text, struct catalog *c, struct error *e)
{
	struct parser p = { .rest = text, .line = 1 };

	expect(&p, "kvd-catalog ");
	uint64_t version = take_number(&p);
	expect(&p, "\n");
	if (p.bad || version < CATALOG_VERSION)
		return error_set(e, -EUCLEAN, CATALOG_NAME ": damaged at line 1: not a catalog");
	if (version > CATALOG_VERSION)
		return error_set(e, -EPROTONOSUPPORT, CATALOG_NAME ": format version %" PRIu64 " is newer than version %d, which this kvd reads", version,
			CATALOG_VERSION);
	expect(&p, "store ");
	c->store_id = take_hex(&p, 16);
	expect(&p, "\nnext ");
	c->next = take_number(&p);
	expect(&p, "\n");
	int r = 0;
	while (!p.bad && r == 0 && take(&p, "segment "))
		r = add_segment(c, &p);
	if (r)
		return error_set(e, r, CATALOG_NAME ": out of memory");
	if (take(&p, "clean ")) {
		c->clean = true;
		c->clean_size = take_number(&p);
		expect(&p, "\n");
	}
	size_t covered = text.len - p.rest.len;
	expect(&p, "crc32 ");
	uint64_t sum = take_hex(&p, 8);
	expect(&p, "\n");
	if (p.bad || p.rest.len || c->count == 0 || c->segment[c->count - 1].size != 0)
		return error_set(e, -EUCLEAN, CATALOG_NAME ": damaged at line %u", p.line);
	if (sum != crc_update(0, text.ptr, covered))
		return error_set(e, -EUCLEAN, CATALOG_NAME ": damaged: it fails its checksum");
	return 0;
}

int catalog_read(struct io *io, int dir, struct catalog *ret, struct error *e)
{
	struct stat st;
	struct buf text = { 0 };
	struct catalog c = { 0 };

	int fd = io->open(io, dir, CATALOG_NAME, O_RDONLY, 0);
	if (fd < 0)
		return error_set(e, fd, CATALOG_NAME ": cannot open: %s", strerror(-fd));
	int r = io->fstat(io, fd, &st);
	if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size > CATALOG_MAX))
		r = -EUCLEAN;
	if (r == 0)
		r = buf_reserve(&text, (size_t)st.st_size + 1);
	ssize_t n = r ? r : io->pread(io, fd, text.ptr, (size_t)st.st_size, 0, 0);
	io->close(io, fd);
	if (n < 0)
		r = error_set(e, (int)n, CATALOG_NAME ": cannot read: %s", strerror((int)-n));
	else
		r = parse(slice(text.ptr, (size_t)n), &c, e);
	buf_free(&text);
	if (r)
		catalog_free(&c);
	else
		*ret = c;
	return r;
}
