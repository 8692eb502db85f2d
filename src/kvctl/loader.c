/* SPDX-License-Identifier: MIT */
#include "kvctl/loader.h"

#include <inttypes.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/output.h"

/* Requests are handed to the daemon in lots of this many, or these many bytes. */
#define LOT_REQUESTS 256
#define LOT_BYTES (256 << 10)

struct loader *loader_new(struct kvctl *k, const char *source, const char *unit, const char *noun)
{
	struct loader *l = calloc(1, sizeof(*l));

	if (!l) {
		complain(k, "out of memory");
		return NULL;
	}
	l->k = k;
	l->source = source;
	l->unit = unit;
	l->noun = noun;
	signals_hold(&l->signals, true);
	progress_begin(&l->progress, k, "importing", *noun == 'k' ? "keys" : "requests");
	return l;
}

void loader_free(struct loader *l)
{
	if (!l)
		return;
	progress_end(&l->progress);
	signals_release(&l->signals);
	free(l);
}

static void note_failure(struct loader *l, uint64_t number)
{
	if (!l->failed || number < l->failed)
		l->failed = number;
}

bool loader_interrupted(struct loader *l, uint64_t next)
{
	if (!signals_came())
		return false;
	note_failure(l, next);
	return true;
}

enum kvctl_exit loader_bad(struct loader *l, uint64_t number, struct slice why)
{
	l->bad++;
	note_failure(l, number);
	complain(l->k, "%s, %s %" PRIu64 ": %.*s", l->source, l->unit, number, (int)why.len, why.ptr);
	return l->skip_bad ? KVCTL_DONE : KVCTL_REFUSED;
}

static enum kvctl_exit take_reply(struct loader *l)
{
	uint64_t number = l->under_way[l->first].number;
	redisReply *r;
	enum kvctl_exit code = connect_reply(l->k, &r);

	if (code) {
		note_failure(l, number);
		return code;
	}
	l->bytes -= l->under_way[l->first].bytes;
	l->first = (l->first + 1) % LOADER_REQUESTS;
	l->n--;
	if (r->type == REDIS_REPLY_STATUS && slice_eq(reply_slice(r), SLICE("OK")))
		l->stored++;
	else if (r->type == REDIS_REPLY_NIL)
		l->kept++;
	else
		code = loader_bad(l, number,
			r->type == REDIS_REPLY_ERROR ? reply_slice(r)
						     : SLICE("unexpected reply from the daemon"));
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit take_replies(struct loader *l, size_t n_left, size_t bytes_left)
{
	enum kvctl_exit worst = KVCTL_DONE;

	l->unsent = 0;
	while ((l->n > n_left || l->bytes > bytes_left) && worst != KVCTL_NO_CONNECTION) {
		enum kvctl_exit code = take_reply(l);
		if (code > worst)
			worst = code;
	}
	l->view.items = l->stored + l->kept;
	progress_show(&l->progress, &l->view);
	return worst;
}

/* Half of what may be under way stays there, so that the daemon has work while we read on. */
static enum kvctl_exit keep_moving(struct loader *l)
{
	if (l->n == LOADER_REQUESTS || l->bytes >= LOADER_BYTES)
		return take_replies(l, LOADER_REQUESTS / 2, LOADER_BYTES / 2);
	if (++l->unsent < LOT_REQUESTS && l->bytes < LOT_BYTES)
		return KVCTL_DONE;
	l->unsent = 0;
	return connect_flush(l->k);
}

enum kvctl_exit loader_put(
	struct loader *l, uint64_t number, struct slice key, struct slice value, int64_t ttl_ms)
{
	char digits[NUM_I64_CHARS];
	struct slice argv[6] = { SLICE("SET"), key, value };
	size_t n = 3, last = (l->first + l->n) % LOADER_REQUESTS;
	enum kvctl_exit code;

	if (ttl_ms >= 0) {
		argv[n++] = SLICE("PX");
		argv[n++] = slice(digits, num_format_i64(digits, ttl_ms));
	}
	if (l->if_absent)
		argv[n++] = SLICE("NX");
	code = connect_send(l->k, argv, n);
	if (code) {
		note_failure(l, number);
		return code;
	}
	l->under_way[last].number = number;
	l->under_way[last].bytes = key.len + value.len;
	l->n++;
	l->bytes += key.len + value.len;
	return keep_moving(l);
}

enum kvctl_exit loader_finish(struct loader *l, enum kvctl_exit code)
{
	enum kvctl_exit last = KVCTL_DONE;

	if (code == KVCTL_NO_CONNECTION) {
		if (l->n)
			note_failure(l, l->under_way[l->first].number);
	} else {
		last = take_replies(l, 0, 0);
	}
	progress_end(&l->progress);
	if (last > code)
		code = last;
	return !code && l->bad ? KVCTL_REFUSED : code;
}

static void summarize_json(struct loader *l)
{
	json_t *object = json_pack("{s:I, s:I, s:I, s:f}", "imported", (json_int_t)l->stored, "kept",
		(json_int_t)l->kept, "bad", (json_int_t)l->bad, "seconds",
		(double)progress_age(&l->progress) / 1e9);

	if (object && signals_came())
		json_object_set_new(object, "interrupted", json_true());
	if (object && l->failed)
		json_object_set_new(object, "failed", json_integer((json_int_t)l->failed));
	output_json(l->k, object);
}

void loader_summarize(struct loader *l, const char *again)
{
	struct buf text = { 0 };
	double seconds = (double)progress_age(&l->progress) / 1e9;

	if (l->k->quiet)
		return;
	if (l->k->json) {
		summarize_json(l);
		return;
	}
	buf_printf(&text, "imported %" PRIu64 " %s%s", l->stored, l->noun, num_plural(l->stored));
	if (l->kept)
		buf_printf(&text, ", left %" PRIu64 " as found", l->kept);
	if (l->bad)
		buf_printf(&text, ", %s %" PRIu64 " bad %s%s", l->skip_bad ? "skipped" : "stopped at", l->bad,
			l->unit, num_plural(l->bad));
	if (signals_came())
		buf_append_str(&text, ", interrupted");
	if (seconds >= 1)
		buf_printf(&text, " in %.1f s (%.0f/s)", seconds, (double)(l->stored + l->kept) / seconds);
	complain(l->k, "%.*s", (int)text.len, text.ptr);
	if (again && l->failed && (!l->skip_bad || signals_came()))
		complain(l->k, "go on with %s %" PRIu64, again, l->failed);
	buf_free(&text);
}
