/* SPDX-License-Identifier: MIT
 *
 * export: keys in order, in transactions of a page each, so that a value and its expiry belong together.
 *
 * While the database has no expiring key, which the transaction itself tells, a page is one KVD.RANGE with
 * values. Else, and where a page cannot be had whole (a damaged record, values too large for one reply), its
 * keys are asked for one by one, with GET and PTTL.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/format.h"
#include "kvctl/list.h"
#include "kvctl/numbers.h"
#include "kvctl/outfile.h"
#include "kvctl/output.h"
#include "kvctl/progress.h"

#define WRITE_SIZE 65536 /* so much is gathered before it is written */

struct export_job {
	struct kvctl *k;
	struct outfile to; /* not open: standard output */
	enum format format;
	struct buf out;
	uint64_t written, failed;
	bool expiring;  /* some keys are, so each is asked for its time */
	uint64_t chunk; /* keys asked for at a time then */
	struct progress progress;
	struct progress_view view;
};

static enum kvctl_exit write_out(struct export_job *e)
{
	struct slice s = buf_slice(&e->out);
	enum kvctl_exit code;

	if (e->out.failed)
		return refuse(e->k, KVCTL_REFUSED, "out of memory");
	if (e->to.file) {
		code = outfile_write(e->k, &e->to, s);
	} else {
		output_bytes(e->k, s);
		code = e->k->output_error ? KVCTL_REFUSED : KVCTL_DONE;
	}
	buf_reset(&e->out, 1 << 20);
	e->view.items = e->view.done = e->written;
	progress_show(&e->progress, &e->view);
	return code;
}

static enum kvctl_exit write_record(
	struct export_job *e, struct slice key, struct slice value, int64_t ttl_ms)
{
	format_append(&e->out, e->format, key, value, ttl_ms);
	e->written++;
	return e->out.len >= WRITE_SIZE || e->out.failed ? write_out(e) : KVCTL_DONE;
}

/* ---- a page whose keys are asked for one by one ---- */

static enum kvctl_exit take_record(
	struct export_job *e, struct slice key, const redisReply *value, const redisReply *ttl)
{
	/* Gone or expired since its page was read. */
	if (value->type == REDIS_REPLY_NIL || (ttl->type == REDIS_REPLY_INTEGER && ttl->integer == -2))
		return KVCTL_DONE;
	if (value->type != REDIS_REPLY_STRING || ttl->type != REDIS_REPLY_INTEGER) {
		const redisReply *bad = value->type == REDIS_REPLY_STRING ? ttl : value;
		e->failed++;
		complain(e->k, "key %.*s is left out: %s", (int)key.len, key.ptr,
			bad->type == REDIS_REPLY_ERROR ? bad->str : "unexpected reply");
		return KVCTL_DONE;
	}
	/* A time of 0 is the last millisecond: too short to import, but not for ever. */
	return write_record(e, key, reply_slice(value), ttl->integer == 0 ? 1 : ttl->integer);
}

static enum kvctl_exit send_gets(struct kvctl *k, redisReply **keys, size_t n)
{
	struct slice multi = SLICE("MULTI"), exec = SLICE("EXEC"), argv[2];
	enum kvctl_exit code = connect_send(k, &multi, 1);

	for (size_t i = 0; !code && i < n; i++) {
		argv[1] = reply_slice(keys[i]);
		argv[0] = SLICE("GET");
		code = connect_send(k, argv, 2);
		argv[0] = SLICE("PTTL");
		if (!code)
			code = connect_send(k, argv, 2);
	}
	return code ? code : connect_send(k, &exec, 1);
}

/* The reply of EXEC to `commands` commands; those before it only say OK and QUEUED, or the error that EXEC's
 * own repeats in short. NULL: EXEC itself was refused, for its reply would be too large. */
static enum kvctl_exit take_exec(struct kvctl *k, size_t commands, redisReply **ret)
{
	redisReply *r = NULL;
	enum kvctl_exit code = KVCTL_DONE;
	bool told = false;

	for (size_t i = 0; !code && i < commands + 2; i++) {
		freeReplyObject(r);
		r = NULL;
		code = connect_reply(k, &r);
		if (!code && i <= commands && r->type == REDIS_REPLY_ERROR && !told) {
			complain(k, "%.*s", (int)r->len, r->str);
			told = true;
		}
	}
	if (!code && told) {
		code = KVCTL_REFUSED;
	} else if (!code && r->type == REDIS_REPLY_ERROR) {
		freeReplyObject(r);
		r = NULL;
	} else if (!code && (r->type != REDIS_REPLY_ARRAY || r->elements != commands)) {
		code = connect_unexpected(k, r);
	}
	if (!code)
		*ret = r;
	else
		freeReplyObject(r);
	return code;
}

/* Sets *ret_n to the number of keys dealt with, 0 when they were too many for one reply. */
static enum kvctl_exit get_chunk(struct export_job *e, redisReply **keys, size_t *ret_n)
{
	size_t n = *ret_n, bytes = 1;
	redisReply *r;
	enum kvctl_exit code = send_gets(e->k, keys, n);

	if (!code)
		code = take_exec(e->k, 2 * n, &r);
	if (code)
		return code;
	if (!r) {
		*ret_n = 0;
		e->chunk = 1;
		return n > 1 ? KVCTL_DONE : refuse(e->k, KVCTL_REFUSED, "EXEC of one key was refused");
	}
	for (size_t i = 0; !code && i < n; i++) {
		bytes += (size_t)r->element[2 * i]->len;
		code = take_record(e, reply_slice(keys[i]), r->element[2 * i], r->element[2 * i + 1]);
	}
	e->chunk = range_next_page(e->chunk, n, bytes);
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit export_one_by_one(struct export_job *e, struct range *r)
{
	redisReply *page;
	enum kvctl_exit code;

	/* Where a page was not had at once, get past the place key by key. */
	if (!e->expiring)
		r->page = 1;
	r->values = false;
	code = range_page(e->k, r, &page);
	r->values = true;
	if (code || !page)
		return code;
	for (size_t at = 0, n; !code && at < page->elements; at += n) {
		n = page->elements - at < e->chunk ? page->elements - at : (size_t)e->chunk;
		code = get_chunk(e, page->element + at, &n);
	}
	freeReplyObject(page);
	return code;
}

/* ---- a page at once ---- */

static enum kvctl_exit send_page(struct export_job *e, const struct range *r, uint64_t asked)
{
	char digits[NUM_I64_CHARS];
	struct slice multi = SLICE("MULTI"), exec = SLICE("EXEC"),
		     info[2] = { SLICE("INFO"), SLICE("keyspace") };
	struct slice argv[RANGE_WORDS];
	size_t n = range_request(r, asked, digits, argv);
	enum kvctl_exit code = connect_send(e->k, &multi, 1);

	if (!code)
		code = connect_send(e->k, argv, n);
	if (!code)
		code = connect_send(e->k, info, 2);
	if (!code)
		code = connect_send(e->k, &exec, 1);
	return code ? code : connect_flush(e->k);
}

/* By the lines db0:keys=1,expires=0,avg_ttl=0 of INFO; a database without keys has none. */
static bool has_expiring(const struct kvctl *k, const redisReply *info)
{
	char name[32];
	struct slice line;

	if (info->type != REDIS_REPLY_STRING)
		return true;
	snprintf(name, sizeof(name), "db%" PRId64, k->database);
	if (!info_find(reply_slice(info), name, &line))
		return false;
	return !memmem(line.ptr, line.len, ",expires=0,", 11);
}

static enum kvctl_exit write_page(struct export_job *e, const redisReply *page)
{
	enum kvctl_exit code = KVCTL_DONE;

	for (size_t i = 0; !code && i < page->elements; i += 2)
		code = write_record(e, reply_slice(page->element[i]), reply_slice(page->element[i + 1]), -1);
	return code;
}

/* Takes the page that was sent for and has the next one sent for while this one is written. *ret: it was had
 * at once. */
static enum kvctl_exit export_at_once(struct export_job *e, struct range *r, uint64_t *asked, bool *ret)
{
	redisReply *reply;
	enum kvctl_exit code = take_exec(e->k, 2, &reply);

	*ret = false;
	if (code || !reply)
		return code;
	e->expiring = has_expiring(e->k, reply->element[1]);
	if (!e->expiring && range_take(r, reply->element[0], *asked)) {
		*ret = true;
		*asked = r->end ? 0 : r->page < r->left ? r->page : r->left;
		if (*asked)
			code = send_page(e, r, *asked);
		if (!code)
			code = write_page(e, reply->element[0]);
	}
	freeReplyObject(reply);
	return code;
}

static enum kvctl_exit export_range(struct export_job *e, struct range *r)
{
	enum kvctl_exit code = KVCTL_DONE;
	uint64_t asked = 0; /* a page of so many keys is on its way */
	bool at_once;

	/* Nobody knows how large the values are: pages begin small, and grow with what comes. */
	r->values = true;
	r->page = 1;
	while (!code && !r->end && !e->k->output_error) {
		if (!e->expiring && !asked) {
			asked = r->page;
			code = send_page(e, r, asked);
		}
		at_once = false;
		if (!code && asked)
			code = export_at_once(e, r, &asked, &at_once);
		if (!code && !at_once) {
			asked = 0;
			code = export_one_by_one(e, r);
		}
	}
	if (!code)
		code = write_out(e);
	return code;
}

/* ---- the verb ---- */

/* The bar needs a terminal of its own, and its length is known for whole databases only. */
static void begin_progress(struct export_job *e, const struct range *r)
{
	struct slice argv[1] = { SLICE("DBSIZE") };
	int64_t keys;

	progress_begin(&e->progress, e->k, "exporting", "keys");
	e->progress.shown &= e->to.file || !e->k->terminal;
	if (e->progress.shown && !r->from.len && !r->to.len && !connect_ask_int(e->k, argv, 1, &keys))
		e->view.total = (uint64_t)keys;
}

static void summarize(const struct export_job *e, bool to_file)
{
	double seconds = (double)progress_age(&e->progress) / 1e9;

	if (e->k->json && to_file)
		output_json(e->k, json_pack("{s:I, s:I, s:f}", "exported", (json_int_t)e->written, "bad",
					  (json_int_t)e->failed, "seconds", seconds));
	else if (seconds >= 1)
		complain(e->k, "exported %" PRIu64 " key%s in %.1f s (%.0f/s)", e->written,
			num_plural(e->written), seconds, (double)e->written / seconds);
	else
		complain(e->k, "exported %" PRIu64 " key%s", e->written, num_plural(e->written));
}

int verb_export(struct kvctl *k, const struct args *a)
{
	struct export_job e = { .k = k, .chunk = 1 };
	struct slice name = args_at(a, 0);
	bool to_file = name.len && !slice_eq(name, SLICE("-"));
	struct range r;
	enum kvctl_exit code = range_init(k, a, true, &r);

	if (!code)
		code = format_choose(k, a, &e.format);
	if (!code && args_option(a, "header", NULL) && e.format != FORMAT_CSV)
		code = refuse(k, KVCTL_USAGE, "--header is for CSV");
	if (!code)
		code = connect_open(k);
	if (!code && to_file)
		code = outfile_open(k, &e.to, name);
	if (!code)
		begin_progress(&e, &r);
	if (args_option(a, "header", NULL))
		buf_append_str(&e.out, FORMAT_CSV_HEADER "\n");
	if (!code)
		code = export_range(&e, &r);
	code = outfile_close(k, &e.to, code);
	progress_end(&e.progress);
	range_free(&r);
	buf_free(&e.out);
	if (!to_file)
		output_flush(k);
	if (code != KVCTL_USAGE && !k->quiet && !k->output_error && (e.written || !code))
		summarize(&e, to_file);
	return !code && e.failed ? KVCTL_REFUSED : code;
}
