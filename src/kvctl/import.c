/* SPDX-License-Identifier: MIT
 *
 * import: the verb, and records that are lines of text. Records are numbered by the line they begin in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/num.h"
#include "kvctl/csv.h"
#include "kvctl/format.h"
#include "kvctl/import.h"
#include "kvctl/output.h"
#include "kvctl/record.h"

#define CSV_RECORD_MAX (1 << 30) /* a quote that is never closed must not take all memory */

struct reader {
	FILE *file;
	enum format format;
	char *line;
	size_t cap;
	struct buf record; /* one that has several lines */
	uint64_t lines;    /* read so far */
	uint64_t number;   /* line in which the record began */
	uint64_t bytes;    /* read so far */
};

/* The next line, or 0 at the end, or a negative errno. */
static ssize_t read_line(struct reader *r)
{
	errno = 0;
	ssize_t n = getline(&r->line, &r->cap, r->file);

	if (n < 0)
		return errno ? -errno : ferror(r->file) ? -EIO : 0;
	r->lines++;
	r->bytes += (uint64_t)n;
	return n;
}

static int read_more_lines(struct reader *r, struct csv_state *state)
{
	ssize_t n;

	do {
		if (r->record.len > CSV_RECORD_MAX)
			return -EFBIG;
		n = read_line(r);
		if (n > 0)
			buf_append(&r->record, r->line, (size_t)n);
	} while (n > 0 && csv_goes_on(state, slice(r->line, (size_t)n)));
	return n < 0 ? (int)n : r->record.failed ? -ENOMEM : 1;
}

/* 1: there is one, whose bytes may be written to; 0: the end; or a negative errno. */
static int read_record(struct reader *r, char **ret, size_t *ret_len)
{
	struct csv_state state = { 0 };
	ssize_t n = read_line(r);

	if (n <= 0)
		return (int)n;
	r->number = r->lines;
	*ret = r->line;
	*ret_len = (size_t)n;
	if (r->format != FORMAT_CSV || !csv_goes_on(&state, slice(r->line, (size_t)n)))
		return 1;
	buf_reset(&r->record, SIZE_MAX);
	buf_append(&r->record, r->line, (size_t)n);
	int code = read_more_lines(r, &state);
	*ret = r->record.ptr;
	*ret_len = r->record.len;
	return code;
}

static bool is_empty(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!strchr(" \t\r\n", line.ptr[i]) || !line.ptr[i])
			return false;
	return true;
}

static enum kvctl_exit put_csv(struct loader *l, uint64_t number, char *text, size_t len, struct buf *why)
{
	struct slice field[3];
	int64_t ttl = -1;
	int n = csv_split(text, len, field, 3, why);

	if (n < 0)
		return loader_bad(l, number, buf_slice(why));
	if (n < 2 || n > 3) {
		buf_printf(why, "%d field%s; there should be a key, a value and perhaps a ttl_ms", n,
			num_plural(n));
		return loader_bad(l, number, buf_slice(why));
	}
	if (n == 3 && field[2].len && (num_parse_i64(field[2], &ttl) || ttl <= 0))
		return loader_bad(l, number, SLICE("the third field, ttl_ms, is not a positive integer"));
	return loader_put(l, number, field[0], field[1], ttl);
}

static enum kvctl_exit put_json(
	struct loader *l, uint64_t number, struct slice line, struct record *record, struct buf *why)
{
	int r = record_parse(line, record, why);

	if (r == -EINVAL)
		return loader_bad(l, number, buf_slice(why));
	if (r)
		return refuse(l->k, KVCTL_REFUSED, "out of memory");
	return loader_put(l, number, buf_slice(&record->key), buf_slice(&record->value), record->ttl_ms);
}

/* Lines before `start` are passed over. */
static enum kvctl_exit import_lines(struct loader *l, struct reader *r, uint64_t start)
{
	struct record record = { 0 };
	struct buf why = { 0 };
	enum kvctl_exit code = KVCTL_DONE;
	char *text = NULL;
	size_t len = 0;
	int got = 1;
	uint64_t next = start;

	while (!code && !loader_interrupted(l, next) && (got = read_record(r, &text, &len)) > 0) {
		l->view.done = r->bytes;
		next = r->lines < start ? start : r->lines + 1;
		if (r->number < start || is_empty(slice(text, len)))
			continue;
		if (r->format == FORMAT_CSV)
			code = put_csv(l, r->number, text, len, &why);
		else
			code = put_json(l, r->number, slice(text, len), &record, &why);
		buf_reset(&why, SIZE_MAX);
	}
	if (got && loader_interrupted(l, next))
		code = KVCTL_REFUSED;
	else if (got == -EFBIG)
		code = refuse(l->k, KVCTL_REFUSED,
			"%s, line %llu: a record of more than 1 GiB; is a quote not closed?", l->source,
			(unsigned long long)r->number);
	else if (got < 0)
		code = refuse(l->k, KVCTL_REFUSED, "cannot read %s: %s", l->source, strerror(-got));
	record_free(&record);
	buf_free(&why);
	return code;
}

static enum kvctl_exit open_input(struct kvctl *k, struct slice name, char *ret_name, FILE **ret)
{
	if (name.len == 0 || slice_eq(name, SLICE("-"))) {
		if (k->shell)
			return refuse(k, KVCTL_USAGE, "in the shell import needs a FILE");
		strcpy(ret_name, "standard input");
		*ret = stdin;
		return KVCTL_DONE;
	}
	if (name.len >= PATHS_MAX || memchr(name.ptr, 0, name.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name of a file", (int)name.len, name.ptr);
	memcpy(ret_name, name.ptr, name.len);
	ret_name[name.len] = 0;
	*ret = fopen(ret_name, "re");
	if (!*ret)
		return refuse(k, KVCTL_REFUSED, "cannot read %s: %s", ret_name, strerror(errno));
	return KVCTL_DONE;
}

struct source {
	FILE *file;
	char name[PATHS_MAX];
	enum format format;
	bool header; /* the first line of CSV is one */
	uint64_t start;
};

static enum kvctl_exit take_options(struct kvctl *k, const struct args *a, struct source *s)
{
	struct slice text;
	enum kvctl_exit code = format_choose(k, a, &s->format);

	s->header = args_option(a, "header", NULL);
	s->start = 1;
	if (!code && args_option(a, "start", &text) && (num_parse_u64(text, &s->start) || s->start == 0))
		code = refuse(k, KVCTL_USAGE, "\"%.*s\" is no number of a line; the first is 1",
			(int)text.len, text.ptr);
	if (!code && s->header && s->format != FORMAT_CSV)
		code = refuse(k, KVCTL_USAGE, "--header is for CSV");
	if (!code && s->format == FORMAT_RESP && args_option(a, "if-absent", NULL))
		code = refuse(k, KVCTL_USAGE,
			"--if-absent does not change requests of the protocol, which say NX themselves");
	if (s->header && s->start == 1)
		s->start = 2;
	return code;
}

/* How much there is to read, for the bar; 0 when nobody knows. */
static uint64_t find_size(FILE *file)
{
	struct stat st;

	return fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static enum kvctl_exit import_source(struct kvctl *k, const struct args *a, const struct source *s)
{
	bool requests = s->format == FORMAT_RESP;
	struct loader *l =
		loader_new(k, s->name, requests ? "request" : "line", requests ? "request" : "key");
	struct reader r = { .file = s->file, .format = s->format };
	enum kvctl_exit code;

	if (!l)
		return KVCTL_REFUSED;
	l->skip_bad = args_option(a, "skip-bad", NULL);
	l->if_absent = args_option(a, "if-absent", NULL);
	l->view.total = find_size(s->file);
	if (s->format == FORMAT_RESP)
		code = import_requests(l, s->file, s->start);
	else
		code = import_lines(l, &r, s->start);
	code = loader_finish(l, code);
	loader_summarize(l, "--start");
	free(r.line);
	buf_free(&r.record);
	loader_free(l);
	return code;
}

int verb_import(struct kvctl *k, const struct args *a)
{
	struct source s = { 0 };
	struct slice address;
	enum kvctl_exit code;

	if (args_option(a, "from-redis", &address)) {
		code = import_from_server(k, a, address);
		signals_obey(k);
		return code;
	}
	code = take_options(k, a, &s);
	if (!code)
		code = open_input(k, args_at(a, 0), s.name, &s.file);
	if (!code)
		code = connect_open(k);
	if (!code)
		code = import_source(k, a, &s);
	if (s.file && s.file != stdin)
		fclose(s.file);
	signals_obey(k);
	return code;
}
