/* SPDX-License-Identifier: MIT */
#include "store/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/num.h"
#include "store/catalog.h"
#include "store/checkpoint.h"
#include "store/snapshot.h"
#include "store/whole.h"

#define MANIFEST_MAX ((size_t)256 << 20) /* bytes: far above a million files */
#define MAX_WORDS 8

void manifest_free(struct manifest *m)
{
	free(m->file);
	*m = (struct manifest){ 0 };
}

int manifest_add(struct manifest *m, const char *name, uint64_t size, uint32_t sum)
{
	if ((m->count & (m->count - 1)) == 0) {
		struct manifest_file *more = realloc(m->file, (m->count ? m->count * 2 : 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		m->file = more;
	}
	struct manifest_file *f = &m->file[m->count++];
	*f = (struct manifest_file){ .size = size, .sum = sum };
	snprintf(f->name, sizeof(f->name), "%s", name);
	return 0;
}

const struct manifest_file *manifest_find(const struct manifest *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->file[i].name, name) == 0)
			return &m->file[i];
	return NULL;
}

size_t manifest_segments(const struct manifest *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		n += segment_name_number(m->file[i].name) != 0;
	return n;
}

uint64_t manifest_bytes(const struct manifest *m)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < m->count; i++)
		bytes += m->file[i].size;
	return bytes;
}

int manifest_write(struct io *io, int dir, struct manifest *m)
{
	struct buf text = { 0 };

	buf_printf(&text, "kvd-snapshot %d\nname %s\nkind %s\ntime %" PRId64 "\n", manifest_find(m, CHECKPOINT_NAME) ? 2 : 1, m->name, m->timed ? "timed" : "hand", m->time_ms);
	buf_printf(&text, "store %016" PRIx64 "\nposition %" PRIu64 "\n", m->store_id, m->position);
	for (size_t i = 0; i < m->count; i++)
		buf_printf(&text, "file %s size %" PRIu64 " crc32 %08" PRIx32 "\n", m->file[i].name, m->file[i].size, m->file[i].sum);
	m->sum = crc_update(0, text.ptr, text.len);
	buf_printf(&text, "crc32 %08" PRIx32 "\n", m->sum);
	m->length = text.len;
	int r = text.failed ? -ENOMEM : whole_write(io, dir, MANIFEST_NAME, buf_slice(&text));
	buf_free(&text);
	return r;
}

/* ---- reading ---- */

struct reader {
	struct slice rest;
	unsigned line;
	struct slice word[MAX_WORDS];
	size_t words;
};

/* The next line, cut at single blanks; false at the end or when there is no whole line. */
static bool next_line(struct reader *p)
{
	const char *end = p->rest.len ? memchr(p->rest.ptr, '\n', p->rest.len) : NULL;

	if (!end)
		return false;
	struct slice line = slice(p->rest.ptr, (size_t)(end - p->rest.ptr));
	p->rest = slice_skip(p->rest, line.len + 1);
	p->line++;
	for (p->words = 0; p->words < MAX_WORDS; p->words++) {
		const char *blank = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
		size_t len = blank ? (size_t)(blank - line.ptr) : line.len;
		p->word[p->words] = slice(line.ptr, len);
		if (!blank) {
			p->words++;
			return true;
		}
		line = slice_skip(line, len + 1);
	}
	return true;
}

static bool is_word(const struct reader *p, size_t i, const char *text)
{
	return i < p->words && slice_eq(p->word[i], slice_str(text));
}

static bool read_hex(struct slice s, size_t digits, uint64_t *ret)
{
	static const char set[] = "0123456789abcdef";
	uint64_t v = 0;

	if (s.len != digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		const char *at = memchr(set, s.ptr[i], 16);
		if (!at)
			return false;
		v = v * 16 + (uint64_t)(at - set);
	}
	*ret = v;
	return true;
}

/* A line of one word and one value. */
static bool take_pair(struct reader *p, const char *name)
{
	return next_line(p) && p->words == 2 && is_word(p, 0, name);
}

static bool read_head(struct reader *p, struct manifest *m)
{
	if (!take_pair(p, "name") || p->word[1].len > STORE_SNAPSHOT_NAME)
		return false;
	memcpy(m->name, p->word[1].ptr, p->word[1].len);
	if (!snapshot_name_ok(m->name) || !take_pair(p, "kind"))
		return false;
	m->timed = is_word(p, 1, "timed");
	if (!m->timed && !is_word(p, 1, "hand"))
		return false;
	if (!take_pair(p, "time") || num_parse_i64(p->word[1], &m->time_ms))
		return false;
	if (!take_pair(p, "store") || !read_hex(p->word[1], 16, &m->store_id))
		return false;
	return take_pair(p, "position") && num_parse_u64(p->word[1], &m->position) == 0;
}

/* 0, -EUCLEAN or -ENOMEM. Only names that a snapshot has: nothing can point out of its directory. */
static int read_file(struct reader *p, struct manifest *m)
{
	char name[SEGMENT_NAME_SIZE];
	uint64_t size, sum;

	if (p->words != 6 || !is_word(p, 2, "size") || !is_word(p, 4, "crc32") || p->word[1].len >= sizeof(name) ||
		num_parse_u64(p->word[3], &size) || !read_hex(p->word[5], 8, &sum))
		return -EUCLEAN;
	snprintf(name, sizeof(name), "%.*s", (int)p->word[1].len, p->word[1].ptr);
	if (strcmp(name, CATALOG_NAME) != 0 && strcmp(name, CHECKPOINT_NAME) != 0 && (!segment_name_number(name) || size < SEGMENT_HEADER))
		return -EUCLEAN;
	return manifest_add(m, name, size, (uint32_t)sum);
}

static int parse(struct slice text, struct manifest *m, struct error *e)
{
	struct reader p = { .rest = text };
	uint64_t sum, version;
	int r = 0;

	if (!next_line(&p) || !is_word(&p, 0, "kvd-snapshot") || p.words < 2 || num_parse_u64(p.word[1], &version) || version < 1)
		return error_set(e, -EUCLEAN, MANIFEST_NAME ": damaged at line 1: not a manifest");
	if (version > MANIFEST_VERSION)
		return error_set(e, -EPROTONOSUPPORT, MANIFEST_NAME ": format version %" PRIu64 " is newer than version %d, which this kvd reads", version,
			MANIFEST_VERSION);
	if (!read_head(&p, m))
		return error_set(e, -EUCLEAN, MANIFEST_NAME ": damaged at line %u", p.line);
	struct slice before = p.rest;
	while (r == 0 && next_line(&p) && is_word(&p, 0, "file")) {
		r = read_file(&p, m);
		before = p.rest;
	}
	if (r == -ENOMEM)
		return error_set(e, r, MANIFEST_NAME ": out of memory");
	if (r || p.words != 2 || !is_word(&p, 0, "crc32") || !read_hex(p.word[1], 8, &sum) || p.rest.len || m->count < 2)
		return error_set(e, -EUCLEAN, MANIFEST_NAME ": damaged at line %u", p.line);
	m->sum = (uint32_t)sum;
	m->length = text.len;
	if (m->sum != crc_update(0, text.ptr, text.len - before.len))
		return error_set(e, -EUCLEAN, MANIFEST_NAME ": damaged: it fails its checksum");
	return 0;
}

int manifest_read(struct io *io, int dir, struct manifest *ret, struct error *e)
{
	struct manifest m = { 0 };
	struct buf text = { 0 };

	int r = whole_read(io, dir, MANIFEST_NAME, MANIFEST_MAX, &text);
	if (r)
		r = error_set(e, r == -EFBIG ? -EUCLEAN : r, MANIFEST_NAME ": cannot be read: %s", strerror(-r));
	else
		r = parse(buf_slice(&text), &m, e);
	buf_free(&text);
	if (r)
		manifest_free(&m);
	else
		*ret = m;
	return r;
}
