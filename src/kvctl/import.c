/* SPDX-License-Identifier: MIT
 *
 * import: lines to SET requests, many under way at once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/record.h"
#include "kvctl/verb.h"

#define IMPORT_REQUESTS 1000   /* under way at most */
#define IMPORT_BYTES (4 << 20) /* of keys and values, about */

struct import_job {
	FILE *file;
	char name[PATHS_MAX];
	bool skip_bad, if_absent;
	unsigned long line;                       /* last one read */
	unsigned long under_way[IMPORT_REQUESTS]; /* their lines */
	size_t n, bytes;
	uint64_t stored, kept, bad;
	struct record record;
};

static enum kvctl_exit count_bad(struct kvctl *k, struct import_job *im, unsigned long line, struct slice why)
{
	im->bad++;
	complain(k, "%s, line %lu: %.*s", im->name, line, (int)why.len, why.ptr);
	return im->skip_bad ? KVCTL_DONE : KVCTL_REFUSED;
}

static enum kvctl_exit take_reply(struct kvctl *k, struct import_job *im, unsigned long line)
{
	redisReply *r;
	enum kvctl_exit code = connect_reply(k, &r);

	if (code)
		return code;
	if (r->type == REDIS_REPLY_STATUS && slice_eq(reply_slice(r), SLICE("OK")))
		im->stored++;
	else if (r->type == REDIS_REPLY_NIL)
		im->kept++;
	else
		code = count_bad(k, im, line,
			r->type == REDIS_REPLY_ERROR ? reply_slice(r)
						     : SLICE("unexpected reply from the daemon"));
	freeReplyObject(r);
	return code;
}

/* Takes every reply due, also after a bad one: what was sent has happened and is to be counted. */
static enum kvctl_exit take_replies(struct kvctl *k, struct import_job *im)
{
	enum kvctl_exit worst = KVCTL_DONE;

	for (size_t i = 0; i < im->n && worst != KVCTL_NO_CONNECTION; i++) {
		enum kvctl_exit code = take_reply(k, im, im->under_way[i]);
		if (code > worst)
			worst = code;
	}
	im->n = 0;
	im->bytes = 0;
	return worst;
}

static enum kvctl_exit send_record(struct kvctl *k, struct import_job *im)
{
	const struct record *rec = &im->record;
	char digits[NUM_I64_CHARS];
	struct slice argv[6] = { SLICE("SET"), buf_slice(&rec->key), buf_slice(&rec->value) };
	size_t n = 3;

	if (rec->ttl_ms >= 0) {
		argv[n++] = SLICE("PX");
		argv[n++] = slice(digits, num_format_i64(digits, rec->ttl_ms));
	}
	if (im->if_absent)
		argv[n++] = SLICE("NX");
	enum kvctl_exit code = connect_send(k, argv, n);
	if (code)
		return code;
	im->under_way[im->n++] = im->line;
	im->bytes += rec->key.len + rec->value.len;
	return im->n == IMPORT_REQUESTS || im->bytes >= IMPORT_BYTES ? take_replies(k, im) : KVCTL_DONE;
}

static bool is_empty(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!strchr(" \t\r\n", line.ptr[i]) || !line.ptr[i])
			return false;
	return true;
}

static enum kvctl_exit import_line(struct kvctl *k, struct import_job *im, struct slice line)
{
	struct buf why = { 0 };
	enum kvctl_exit code = KVCTL_DONE;

	if (is_empty(line))
		return KVCTL_DONE;
	int r = record_parse(line, &im->record, &why);
	if (r == -EINVAL)
		code = count_bad(k, im, im->line, buf_slice(&why));
	else if (r)
		code = refuse(k, KVCTL_REFUSED, "out of memory");
	else
		code = send_record(k, im);
	buf_free(&why);
	return code;
}

static enum kvctl_exit import_all(struct kvctl *k, struct import_job *im)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	enum kvctl_exit code = KVCTL_DONE, last;

	errno = 0;
	while (!code && (len = getline(&line, &cap, im->file)) >= 0) {
		im->line++;
		code = import_line(k, im, slice(line, (size_t)len));
		errno = 0;
	}
	if (!code && (ferror(im->file) || errno == ENOMEM))
		code = refuse(k, KVCTL_REFUSED, "cannot read %s: %s", im->name, strerror(errno));
	free(line);
	last = code == KVCTL_NO_CONNECTION ? KVCTL_DONE : take_replies(k, im);
	return last > code ? last : code;
}

static enum kvctl_exit open_input(struct kvctl *k, struct slice name, struct import_job *im)
{
	if (name.len == 0 || slice_eq(name, SLICE("-"))) {
		if (k->shell)
			return refuse(k, KVCTL_USAGE, "in the shell import needs a FILE");
		strcpy(im->name, "standard input");
		im->file = stdin;
		return KVCTL_DONE;
	}
	if (name.len >= sizeof(im->name) || memchr(name.ptr, 0, name.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name of a file", (int)name.len, name.ptr);
	memcpy(im->name, name.ptr, name.len);
	im->file = fopen(im->name, "re");
	if (!im->file)
		return refuse(k, KVCTL_REFUSED, "cannot read %s: %s", im->name, strerror(errno));
	return KVCTL_DONE;
}

static void summarize(struct kvctl *k, const struct import_job *im)
{
	struct buf text = { 0 };

	buf_printf(&text, "imported %" PRIu64 " key%s", im->stored, im->stored == 1 ? "" : "s");
	if (im->kept)
		buf_printf(&text, ", left %" PRIu64 " as found", im->kept);
	if (im->bad)
		buf_printf(&text, ", %s %" PRIu64 " bad line%s", im->skip_bad ? "skipped" : "stopped at",
			im->bad, im->bad == 1 ? "" : "s");
	complain(k, "%.*s", (int)text.len, text.ptr);
	buf_free(&text);
}

int verb_import(struct kvctl *k, const struct args *a)
{
	struct import_job *im = calloc(1, sizeof(*im));
	enum kvctl_exit code;

	if (!im)
		return refuse(k, KVCTL_REFUSED, "out of memory");
	im->skip_bad = args_option(a, "skip-bad", NULL);
	im->if_absent = args_option(a, "if-absent", NULL);
	code = open_input(k, args_at(a, 0), im);
	if (!code)
		code = connect_open(k);
	if (!code) {
		code = import_all(k, im);
		if (!k->quiet)
			summarize(k, im);
	}
	if (im->file && im->file != stdin)
		fclose(im->file);
	if (!code && im->bad)
		code = KVCTL_REFUSED;
	record_free(&im->record);
	free(im);
	return code;
}
