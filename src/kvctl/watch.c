/* SPDX-License-Identifier: MIT
 *
 * watch: keyspace events of a prefix as they happen. The connection is in subscribe mode then, so it is
 * closed behind.
 */
#include <inttypes.h>
#include "base/num.h"
#include "kvctl/output.h"
#include "kvctl/verb.h"

#define CHANNEL "__keyspace@%" PRId64 "__:"

/* The daemon's patterns know * ? [ and the backslash that takes their meaning away. */
void watch_pattern(struct buf *out, int64_t database, struct slice prefix)
{
	buf_printf(out, CHANNEL, database);
	for (size_t i = 0; i < prefix.len; i++) {
		if (memchr("*?[]^\\", prefix.ptr[i], 6))
			buf_append_char(out, '\\');
		buf_append_char(out, prefix.ptr[i]);
	}
	buf_append_char(out, '*');
}

/* Nothing would ever come when events are off. */
static enum kvctl_exit check_events(struct kvctl *k)
{
	struct slice argv[3] = { SLICE("CONFIG"), SLICE("GET"), SLICE("notify-keyspace-events") };
	redisReply *r = NULL;
	struct slice flags = { 0 };
	enum kvctl_exit code = connect_ask(k, argv, 3, &r);

	if (code)
		return code;
	bool known =
		r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->type == REDIS_REPLY_STRING;
	if (known)
		flags = reply_slice(r->element[1]);
	if (!known)
		code = refuse(k, KVCTL_REFUSED, "this daemon has no keyspace events");
	else if (!flags.len || !memchr(flags.ptr, 'K', flags.len) || !strpbrk(flags.ptr, "Ag$xnm")) /* of strings there are no others */
		code = refuse(k, KVCTL_REFUSED,
			"keyspace events are off; \"kvctl raw CONFIG SET notify-keyspace-events KA\" turns "
			"them on until the next start, "
			"\"notify-keyspace-events = KA\" in kvd.conf for good");
	freeReplyObject(r);
	return code;
}

static enum kvctl_exit subscribe(struct kvctl *k, struct slice prefix)
{
	struct buf pattern = { 0 };
	struct slice argv[2] = { SLICE("PSUBSCRIBE") };
	redisReply *r = NULL;
	enum kvctl_exit code;

	watch_pattern(&pattern, k->database, prefix);
	argv[1] = buf_slice(&pattern);
	code = pattern.failed ? refuse(k, KVCTL_REFUSED, "out of memory") : connect_ask(k, argv, 2, &r);
	buf_free(&pattern);
	freeReplyObject(r);
	return code;
}

static void print_event(struct kvctl *k, struct slice event, struct slice key)
{
	json_t *object;

	if (k->json) {
		object = json_pack("{s:s%}", "event", event.ptr, event.len);
		if (object && json_put_bytes(object, "key", key)) {
			json_decref(object);
			object = NULL;
		}
		output_json(k, object);
		return;
	}
	output_style(k, STYLE_BOLD);
	output_text(k, event);
	output_style(k, STYLE_PLAIN);
	output_bytes(k, SLICE("\t"));
	output_text(k, key);
	output_bytes(k, SLICE("\n"));
}

/* Everything on this connection is a message of the pattern. *left: events still wanted. */
static enum kvctl_exit take_message(struct kvctl *k, size_t prefix_len, uint64_t *left)
{
	redisReply *r = NULL;
	enum kvctl_exit code = connect_reply(k, &r);

	if (code)
		return code;
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 4 && r->element[2]->type == REDIS_REPLY_STRING &&
		r->element[3]->type == REDIS_REPLY_STRING && r->element[2]->len >= prefix_len) {
		print_event(
			k, reply_slice(r->element[3]), slice_skip(reply_slice(r->element[2]), prefix_len));
		output_flush(k);
		--*left;
	} else {
		code = connect_unexpected(k, r);
	}
	freeReplyObject(r);
	return code;
}

int verb_watch(struct kvctl *k, const struct args *a)
{
	char channel[64];
	size_t channel_len = (size_t)snprintf(channel, sizeof(channel), CHANNEL, k->database);
	uint64_t left = UINT64_MAX;
	struct slice text;
	enum kvctl_exit code;

	if (args_option(a, "limit", &text) && num_parse_u64(text, &left))
		return refuse(k, KVCTL_USAGE, "\"%.*s\" is no number", (int)text.len, text.ptr);
	code = check_events(k);
	if (!code)
		code = subscribe(k, args_at(a, 0));
	/* A quiet prefix is no silent daemon. */
	if (!code)
		redisSetTimeout(k->redis, (struct timeval){ 0 });
	if (!code && !k->quiet && k->terminal)
		complain(k, "watching; control-C ends it");
	while (!code && left && !k->output_error)
		code = take_message(k, channel_len, &left);
	connect_close(k);
	return code;
}
