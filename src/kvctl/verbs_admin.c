/* SPDX-License-Identifier: MIT
 *
 * Verbs on the daemon, and the way to every command that has no verb.
 */
#include <inttypes.h>
#include <stdlib.h>
#include "base/num.h"
#include "kvctl/numbers.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

int verb_ping(struct kvctl *k, const struct args *a)
{
	struct slice argv[1] = { SLICE("PING") };
	redisReply *r;
	enum kvctl_exit code = connect_ask(k, argv, 1, &r);

	(void)a;
	if (code)
		return code;
	if (r->type != REDIS_REPLY_STATUS)
		code = connect_unexpected(k, r);
	else if (!k->quiet)
		output_printf(k, k->json ? "\"%s\"\n" : "%s\n", r->str);
	freeReplyObject(r);
	return code;
}

/* ---- stats ---- */

static void print_number(struct kvctl *k, const char *label, const struct numbers *n, const char *name)
{
	int64_t value;

	output_printf(k, "%-16s", label);
	if (numbers_find(n, name, &value))
		output_printf(k, "%" PRId64 "\n", value);
	else
		output_printf(k, "unknown\n");
}

static void print_size(struct kvctl *k, const char *label, const struct numbers *n, const char *name)
{
	int64_t bytes;

	output_printf(k, "%-16s", label);
	if (numbers_find(n, name, &bytes))
		output_printf(k, "%.2f MB\n", (double)bytes / (1 << 20));
	else
		output_printf(k, "unknown\n");
}

static void print_all(struct kvctl *k, const redisReply *r)
{
	for (size_t i = 0; i + 1 < r->elements; i += 2) {
		const redisReply *value = r->element[i + 1];
		if (r->element[i]->type != REDIS_REPLY_STRING)
			continue;
		output_printf(k, "%s: ", r->element[i]->str);
		if (value->type == REDIS_REPLY_INTEGER)
			output_printf(k, "%lld", value->integer);
		else if (value->type == REDIS_REPLY_STRING || value->type == REDIS_REPLY_STATUS)
			output_text(k, reply_slice(value));
		output_printf(k, "\n");
	}
}

static void print_stats_json(struct kvctl *k, const redisReply *r)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i + 1 < r->elements; i += 2) {
		json_t *value = reply_json(r->element[i + 1]);
		if (r->element[i]->type != REDIS_REPLY_STRING ||
			json_object_set_new(object, r->element[i]->str, value)) {
			json_decref(object);
			object = NULL;
		}
	}
	output_json(k, object);
}

int verb_stats(struct kvctl *k, const struct args *a)
{
	struct numbers n;
	enum kvctl_exit code = numbers_fetch(k, &n);

	if (code)
		return code;
	if (k->json) {
		print_stats_json(k, n.reply);
	} else {
		print_number(k, "Keys:", &n, "keys");
		print_number(k, "Segments:", &n, "segments");
		print_size(k, "Total size:", &n, "log_bytes");
		print_number(k, "Active segment:", &n, "active_segment");
		print_number(k, "Oldest segment:", &n, "oldest_segment");
		print_size(k, "Live:", &n, "live_bytes");
		print_size(k, "Garbage:", &n, "dead_bytes");
		if (args_option(a, "verbose", NULL))
			print_all(k, n.reply);
	}
	numbers_free(&n);
	return code;
}

/* ---- compact ---- */

static void print_saved(struct kvctl *k, const redisReply *r)
{
	if (k->quiet)
		return;
	output_printf(k, k->json ? "{\"before\":%" PRId64 ",\"after\":%" PRId64 ",\"saved\":%" PRId64 "}\n"
				 : "%" PRId64 " bytes before, %" PRId64 " after, %" PRId64 " saved\n",
		reply_int(r, "before"), reply_int(r, "after"), reply_int(r, "saved"));
}

int verb_compact(struct kvctl *k, const struct args *a)
{
	static const struct {
		const char *option, *word;
	} words[] = { { "wait", "SYNC" }, { "force", "FORCE" }, { "pause", "PAUSE" }, { "resume", "RESUME" } };
	struct slice argv[5] = { SLICE("KVD.COMPACT") };
	size_t n = 1;
	redisReply *r;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!args_option(a, words[i].option, NULL))
			continue;
		if (i >= 2 && n > 1)
			return refuse(k, KVCTL_USAGE, "--%s stands alone", words[i].option);
		argv[n++] = slice_str(words[i].word);
	}
	enum kvctl_exit code = connect_ask(k, argv, n, &r);
	if (code)
		return code;
	if (r->type == REDIS_REPLY_ARRAY)
		print_saved(k, r);
	else if (r->type == REDIS_REPLY_STATUS)
		output_confirm(k);
	else
		code = connect_unexpected(k, r);
	freeReplyObject(r);
	return code;
}

/* ---- info ---- */

/* "# Section" and "name:value" lines to an object of objects; values stay text, as they are on the wire. */
static json_t *info_json(struct slice text)
{
	json_t *all = json_object(), *section = NULL;
	struct slice line;

	while (all && info_next_line(&text, &line)) {
		const char *colon;
		char name[128];
		if (line.len > 2 && line.ptr[0] == '#') {
			snprintf(name, sizeof(name), "%.*s", (int)line.len - 2, line.ptr + 2);
			section = json_object();
			json_object_set_new(all, name, section);
		} else if (section && line.len && (colon = memchr(line.ptr, ':', line.len))) {
			struct slice value = slice(colon + 1, (size_t)(line.ptr + line.len - colon - 1));
			snprintf(name, sizeof(name), "%.*s", (int)(colon - line.ptr), line.ptr);
			json_put_bytes(section, name, value);
		}
	}
	return all;
}

/* The wire ends lines with CR LF; text tools want LF. */
static void print_info(struct kvctl *k, struct slice text)
{
	while (text.len) {
		const char *cr = memchr(text.ptr, '\r', text.len);
		size_t n = cr ? (size_t)(cr - text.ptr) : text.len;
		output_bytes(k, slice(text.ptr, n));
		text = slice_skip(text, n + (cr ? 1 : 0));
	}
}

int verb_info(struct kvctl *k, const struct args *a)
{
	struct slice *argv = calloc(a->n + 1, sizeof(*argv));
	redisReply *r;
	enum kvctl_exit code;

	if (!argv)
		return refuse(k, KVCTL_REFUSED, "out of memory");
	argv[0] = SLICE("INFO");
	memcpy(argv + 1, a->arg, a->n * sizeof(*argv));
	code = connect_ask(k, argv, a->n + 1, &r);
	free(argv);
	if (code)
		return code;
	if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
		code = connect_unexpected(k, r);
	else if (r->len == 0)
		code = refuse(k, KVCTL_REFUSED, "there is no such section; \"kvctl info all\" shows them");
	else if (k->json)
		output_json(k, info_json(reply_slice(r)));
	else
		print_info(k, reply_slice(r));
	freeReplyObject(r);
	return code;
}

/* ---- raw ---- */

/* Commands whose replies do not come one for each request, or in a form this client does not read, would
 * leave it hanging. */
static bool has_other_replies(const struct args *a)
{
	static const char *const words[] = { "monitor", "subscribe", "psubscribe", "ssubscribe", "sync",
		"psync" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_is(a->arg[0], words[i]))
			return true;
	if (a->n < 2)
		return false;
	return (slice_is(a->arg[0], "client") && slice_is(a->arg[1], "reply")) ||
	       (slice_is(a->arg[0], "hello") && slice_eq(a->arg[1], SLICE("3")));
}

static void print_reply(struct kvctl *k, const redisReply *r)
{
	struct buf text = { 0 };

	if (k->json) {
		output_json(k, reply_json(r));
		return;
	}
	reply_format(&text, r);
	output_bytes(k, buf_slice(&text));
	buf_free(&text);
}

/* A connection made anew must find the database that was selected last. */
static void note_select(struct kvctl *k, const struct args *a)
{
	int64_t n;

	if (a->n == 2 && slice_is(a->arg[0], "select") && num_parse_i64(a->arg[1], &n) == 0)
		k->database = n;
	else if (slice_is(a->arg[0], "reset"))
		k->database = 0;
}

int verb_raw(struct kvctl *k, const struct args *a)
{
	redisReply *r;
	enum kvctl_exit code;

	if (has_other_replies(a))
		return refuse(k, KVCTL_USAGE, "kvctl cannot follow the replies of this command");
	code = connect_ask(k, a->arg, a->n, &r);
	if (code)
		return code;
	print_reply(k, r);
	note_select(k, a);
	freeReplyObject(r);
	/* The daemon hangs up after these. */
	if (slice_is(a->arg[0], "quit") || slice_is(a->arg[0], "shutdown"))
		connect_close(k);
	return KVCTL_DONE;
}
