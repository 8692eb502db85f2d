/* SPDX-License-Identifier: MIT
 *
 * export: pages of keys, and for each page one transaction that reads values and expiry times, so that the
 * two belong together.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "kvctl/list.h"
#include "kvctl/output.h"
#include "kvctl/record.h"

struct export_job {
	FILE *file; /* NULL: standard output */
	char name[PATHS_MAX];
	uint64_t written, failed;
};

static enum kvctl_exit write_line(struct kvctl *k, struct export_job *e, json_t *object)
{
	if (!e->file || !object) {
		output_json(k, object);
		return k->output_error ? KVCTL_REFUSED : KVCTL_DONE;
	}
	int r = json_dumpf(object, e->file, JSON_COMPACT);
	json_decref(object);
	if (r || fputc('\n', e->file) == EOF)
		return refuse(k, KVCTL_REFUSED, "cannot write %s: %s", e->name, strerror(errno));
	e->written++;
	return KVCTL_DONE;
}

static enum kvctl_exit write_record(struct kvctl *k, struct export_job *e, struct slice key,
	const redisReply *value, const redisReply *ttl)
{
	/* Gone or expired since its page was read. */
	if (value->type == REDIS_REPLY_NIL || (ttl->type == REDIS_REPLY_INTEGER && ttl->integer == -2))
		return KVCTL_DONE;
	if (value->type != REDIS_REPLY_STRING || ttl->type != REDIS_REPLY_INTEGER) {
		const redisReply *bad = value->type == REDIS_REPLY_STRING ? ttl : value;
		e->failed++;
		complain(k, "key %.*s is left out: %s", (int)key.len, key.ptr,
			bad->type == REDIS_REPLY_ERROR ? bad->str : "unexpected reply");
		return KVCTL_DONE;
	}
	/* A time of 0 is the last millisecond: too short to import, but not for ever. */
	int64_t ms = ttl->integer == 0 ? 1 : ttl->integer;
	enum kvctl_exit code = write_line(k, e, record_to_json(key, reply_slice(value), ms));
	e->written += !code && !e->file;
	return code;
}

static enum kvctl_exit send_page(struct kvctl *k, const redisReply *page)
{
	struct slice multi = SLICE("MULTI"), exec = SLICE("EXEC"), argv[2];
	enum kvctl_exit code = connect_send(k, &multi, 1);

	for (size_t i = 0; !code && i < page->elements; i++) {
		argv[1] = reply_slice(page->element[i]);
		argv[0] = SLICE("GET");
		code = connect_send(k, argv, 2);
		argv[0] = SLICE("PTTL");
		if (!code)
			code = connect_send(k, argv, 2);
	}
	return code ? code : connect_send(k, &exec, 1);
}

/* The reply of EXEC; those before it only say OK and QUEUED, or the error that EXEC's own repeats in short.
 */
static enum kvctl_exit take_exec(struct kvctl *k, size_t keys, redisReply **ret)
{
	redisReply *r = NULL;
	enum kvctl_exit code = KVCTL_DONE;
	bool told = false;

	for (size_t i = 0; !code && i < 2 * keys + 2; i++) {
		freeReplyObject(r);
		r = NULL;
		code = connect_reply(k, &r);
		if (!code && r->type == REDIS_REPLY_ERROR && !told) {
			complain(k, "%.*s", (int)r->len, r->str);
			told = true;
		}
	}
	if (!code && told)
		code = KVCTL_REFUSED;
	else if (!code && (r->type != REDIS_REPLY_ARRAY || r->elements != 2 * keys))
		code = connect_unexpected(k, r);
	if (!code)
		*ret = r;
	else
		freeReplyObject(r);
	return code;
}

static enum kvctl_exit export_page(struct kvctl *k, struct export_job *e, const redisReply *page)
{
	redisReply *r;
	enum kvctl_exit code = send_page(k, page);

	if (!code)
		code = take_exec(k, page->elements, &r);
	if (code)
		return code;
	for (size_t i = 0; !code && i < page->elements; i++)
		code = write_record(
			k, e, reply_slice(page->element[i]), r->element[2 * i], r->element[2 * i + 1]);
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit open_file(struct kvctl *k, struct slice name, struct export_job *e)
{
	int fd;

	if (name.len == 0 || slice_eq(name, SLICE("-")))
		return KVCTL_DONE;
	if (name.len >= sizeof(e->name) || memchr(name.ptr, 0, name.len))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no name of a file", (int)name.len, name.ptr);
	memcpy(e->name, name.ptr, name.len);
	/* The daemon lets its group in only; a copy of its data must not be open to more. */
	fd = open(e->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		e->file = fdopen(fd, "w");
	if (!e->file)
		return refuse(k, KVCTL_REFUSED, "cannot write %s: %s", e->name, strerror(errno));
	return KVCTL_DONE;
}

static enum kvctl_exit close_file(struct kvctl *k, struct export_job *e, enum kvctl_exit code)
{
	bool bad = false;

	if (!e->file)
		return code;
	bad |= fflush(e->file) != 0;
	/* A pipe or a terminal cannot be synced, which is no fault of theirs. */
	bad |= !bad && fsync(fileno(e->file)) != 0 && errno != EINVAL && errno != EROFS;
	int error = errno;
	bad |= fclose(e->file) != 0;
	if (bad && !code)
		return refuse(k, KVCTL_REFUSED, "cannot write %s: %s", e->name, strerror(error));
	return code;
}

int verb_export(struct kvctl *k, const struct args *a)
{
	struct export_job e = { 0 };
	struct range r;
	redisReply *page;
	enum kvctl_exit code = range_init(k, a, true, &r);

	/* First the daemon: a file that is there already must not be emptied for nothing. */
	if (!code)
		code = connect_open(k);
	if (!code)
		code = open_file(k, args_at(a, 0), &e);
	while (!code && !k->output_error && !(code = range_page(k, &r, &page)) && page) {
		code = export_page(k, &e, page);
		freeReplyObject(page);
	}
	code = close_file(k, &e, code);
	range_free(&r);
	if (!e.file)
		output_flush(k);
	if (code != KVCTL_USAGE && !k->quiet && !k->output_error && (e.written || !code))
		complain(k, "exported %" PRIu64 " key%s", e.written, e.written == 1 ? "" : "s");
	return !code && e.failed ? KVCTL_REFUSED : code;
}
