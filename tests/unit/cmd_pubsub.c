/* SPDX-License-Identifier: MIT
 *
 * Messages and keyspace events: who gets them, and when. The replies of the commands are in cmd_table.c.
 */
#include "cmd_fixture.h"
#include "cmd/room.h"

#define MESSAGE2 "*3\n$7\nmessage\n$1\na\n$1\nx\n"
#define MESSAGE3 ">3\n$7\nmessage\n$1\na\n$1\nx\n"
#define PMESSAGE3 ">4\n$8\npmessage\n$1\n?\n$1\na\n$1\nx\n"

static void test_delivery(void)
{
	fixture_open();
	run_line(0, "SUBSCRIBE a");
	run_line(1, "HELLO 3");
	run_line(1, "SUBSCRIBE a b");
	run_line(1, "PSUBSCRIBE ? b*");
	line_is(2, "PUBLISH a x", ":3\n");
	pushed_is(0, MESSAGE2, "a subscriber in RESP2 gets an array");
	pushed_is(1, MESSAGE3 PMESSAGE3, "one in RESP3 pushes, by channel and by pattern");
	line_is(2, "PUBLISH c x", ":1\n");
	pushed_is(0, "", "who listens to another channel gets nothing");
	pushed_is(1, ">4\n$8\npmessage\n$1\n?\n$1\nc\n$1\nx\n", "a pattern matches channels nobody has named");
	line_is(2, "PUBLISH \"\\x00\\r\\n\" x", ":0\n");
	line_is(1, "PUBLISH a x", ":3\n");
	pushed_is(1, MESSAGE3 PMESSAGE3, "a client may publish to itself");
	pushed_is(0, MESSAGE2, "and to others at the same time");
	run_line(0, "CLIENT LIST");
	run_line(2, "CLIENT LIST TYPE pubsub");
	reply_has("flags=UP db=0 sub=1 psub=0 ", "CLIENT LIST says who has subscribed");
	reply_has("sub=2 psub=2 ", "and to how much");
	run_line(2, "CLIENT LIST TYPE normal");
	ok(!memmem(fx.out.ptr, fx.out.len, "id=1 ", 5), "a subscriber is no normal client");
	run_line(2, "INFO stats");
	reply_has("pubsub_channels:2\r\npubsub_patterns:2\r\n", "INFO counts channels and patterns");
	fx.client[1] = cmd_client_free(fx.client[1]);
	line_is(2, "PUBLISH a x", ":1\n");
	is_int((int64_t)fx.env->pubsub.count[TOPIC_PATTERN], 0, "who goes takes its subscriptions along");
	run_line(0, "UNSUBSCRIBE");
	line_is(2, "PUBLISH a x", ":0\n");
	is_int((int64_t)(fx.env->pubsub.topics.count + fx.env->pubsub.subscriptions.count), 0, "a channel goes with the last of them");
	fixture_close();
}

/* A message is out when its request has succeeded, and held as its reply is. */
static void test_transactions(void)
{
	uint64_t written;

	fixture_open();
	run_line(0, "SUBSCRIBE a");
	run_line(1, "MULTI");
	run_line(1, "PUBLISH a x");
	run_line(1, "SET k 1");
	pushed_is(0, "", "nothing is sent before EXEC");
	model_hold(fx.store, true);
	line_is(1, "EXEC", "*2\n:1\n+OK\n");
	pushed_is(0, MESSAGE2, "EXEC sends what was published");
	written = store_position(fx.store);
	ok(fx.result.position == written && written > store_durable(fx.store), "not to be seen before the transaction is durable");
	line_is(1, "PUBLISH a x", ":1\n");
	ok(fx.result.position == written, "nor is a later message of the same client seen before what it wrote");
	line_is(2, "PUBLISH a x", ":1\n");
	is_int((int64_t)fx.result.position, 0, "that of another one waits for nothing");
	pushed_is(0, MESSAGE2 MESSAGE2, "both are sent");
	model_hold(fx.store, false);
	run_line(1, "MULTI");
	run_line(1, "PUBLISH a x");
	run_line(1, "SET k 2");
	model_refuse(fx.store, "full", true);
	line_is(1, "EXEC", "-MISCONF writes are refused: full\n");
	pushed_is(0, "", "a transaction that fails has said nothing");
	model_refuse(fx.store, NULL, false);
	run_line(2, "HELLO 3");
	run_line(2, "MULTI");
	run_line(2, "SUBSCRIBE a");
	run_line(2, "PUBLISH a x");
	run_line(2, "RESET");
	pushed_is(2, "", "a transaction that is dropped neither");
	line_is(1, "PUBLISH a x", ":1\n");
	fixture_close();
}

static void events_are(int i, const char *line, const char *expected)
{
	struct buf got = { 0 };
	char name[160];
	const char *p, *end;

	run_line(i, line);
	buf_append_char(&fx.pushed[3], 0);
	/* *4 $8 pmessage $n pattern $n __keyevent@N__:WHAT $n KEY */
	for (p = fx.pushed[3].ptr; (p = strstr(p, "\n__keyevent@")); p = end) {
		const char *what = strchr(p, ':') + 1, *key = strchr(strchr(what, '\n') + 1, '\n') + 1;
		end = strchr(key, '\r');
		buf_printf(&got, "%s%.*s:%.*s", got.len ? " " : "", (int)strcspn(what, "\r"), what, (int)(end - key), key);
		if (p[12] != '0')
			buf_printf(&got, "/%c", p[12]);
	}
	buf_reset(&fx.pushed[3], 0);
	snprintf(name, sizeof(name), "events of %.100s", line);
	is_mem(got.ptr, got.len, expected, strlen(expected), name);
	buf_free(&got);
}

/* Seen with redis-server 7.0; tests/blackbox/compat.t compares the two. */
static void test_events(void)
{
	static const struct {
		const char *line, *events;
	} cases[] = {
		{ "SET a 1", "new:a set:a" },
		{ "SET a 2 EX 100", "set:a expire:a" },
		{ "SET nx 1 XX GET", "keymiss:nx" },
		{ "SET p 1 EXAT 1", "set:p expire:p expired:p" },
		{ "GETSET d 4", "keymiss:d new:d set:d" },
		{ "GETDEL d", "del:d" },
		{ "GETEX a PERSIST", "persist:a" },
		{ "GETEX a EXAT 1", "del:a" },
		{ "MGET a b", "keymiss:a keymiss:b" },
		{ "MSET a 1 e 2", "new:a set:a new:e set:e" },
		{ "APPEND a x", "append:a" },
		{ "SETRANGE i 1 zz", "new:i setrange:i" },
		{ "SETRANGE i 1 \"\"", "" },
		{ "DECRBY n 5", "new:n incrby:n" },
		{ "INCRBYFLOAT n 1.5", "incrbyfloat:n" },
		{ "DEL a zzz n", "del:a del:n" },
		{ "RENAME e f", "new:f rename_from:e rename_to:f" },
		{ "COPY f g DB 1", "new:g/1 copy_to:g/1" },
		{ "COPY none g DB 1", "keymiss:none" },
		{ "MOVE none 1", "" },
		{ "MOVE f 2", "new:f/2 move_from:f move_to:f/2" },
		{ "EXPIRE i 100", "expire:i" },
		{ "PERSIST i", "persist:i" },
		{ "EXPIRE i -1", "del:i" },
		{ "FLUSHALL", "" },
	};

	fixture_open();
	run_line(3, "PSUBSCRIBE *");
	events_are(0, "SET a 0", "");
	run_line(0, "DEL a");
	cmd_set_events(fx.env, "EAnm");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		events_are(0, cases[i].line, cases[i].events);
	cmd_set_events(fx.env, "K$");
	run_line(0, "SET a 1");
	pushed_is(3, "*4\n$8\npmessage\n$1\n*\n$16\n__keyspace@0__:a\n$3\nset\n", "by key, and only the kinds that are wanted");
	cmd_set_events(fx.env, "$g");
	run_line(0, "SET a 1");
	pushed_is(3, "", "without K and E there are no channels to tell them on");
	cmd_set_events(fx.env, "Ex");
	cmd_expired(fx.env, 2, SLICE("gone"));
	pushed_is(3, "*4\n$8\npmessage\n$1\n*\n$22\n__keyevent@2__:expired\n$4\ngone\n", "an expired key is told when the store removes it");
	fixture_close();
}

static void test_events_and_store(void)
{
	fixture_open();
	cmd_set_events(fx.env, "EAm");
	run_line(3, "PSUBSCRIBE *");
	model_hold(fx.store, true);
	events_are(0, "SET a 1", "set:a");
	ok(fx.result.position == store_position(fx.store), "an event is held as long as the reply of its write");
	model_hold(fx.store, false);
	model_make_cold(fx.store, 0, SLICE("a"));
	run_line(0, "MGET nope a");
	ok(fx.status == CMD_PENDING, "a request that is parked");
	pushed_is(3, "", "says nothing yet");
	store_poll(fx.store);
	events_are(0, "MGET nope a", "keymiss:nope");
	model_refuse(fx.store, "full", true);
	events_are(0, "SET a 2", "");
	fixture_close();
}

static void test_limits(void)
{
	char *line = malloc(70 << 20), word[32];
	struct slice *argv = malloc(65537 * sizeof(*argv));
	struct buf names = { 0 };

	fixture_open();
	argv[0] = SLICE("SUBSCRIBE");
	for (int i = 1; i <= 65536; i++) {
		snprintf(word, sizeof(word), "%05d", i);
		buf_append(&names, word, 5);
	}
	for (int i = 1; i <= 65536; i++)
		argv[i] = slice(names.ptr + 5 * (i - 1), 5);
	buf_reset(&fx.out, 0);
	cmd_run(client(0), argv, 65537, NULL, &fx.out, &fx.result);
	is_int((int64_t)fx.env->pubsub.topics.count, 65536, "a client subscribes to as many channels as it may");
	line_is(0, "SUBSCRIBE x", "-ERR a connection subscribes to at most 65536 channels and patterns\n");
	line_is(1, "PUBLISH 00001 x", ":1\n");
	run_line(0, "UNSUBSCRIBE");
	is_int((int64_t)fx.env->pubsub.topics.count, 0, "and leaves them all");
	memset(line, 'n', 64 << 20);
	buf_reset(&fx.out, 0);
	cmd_run(client(0), (struct slice[]){ SLICE("SUBSCRIBE"), slice(line, (64 << 20) + 1) }, 2, NULL, &fx.out, &fx.result);
	reply_is("-ERR the names a connection subscribes to are at most 67108864 bytes together\n", "the bytes of the names are bounded");
	fixture_close();
	buf_free(&names);
	free(argv);
	free(line);
}

int main(void)
{
	test_delivery();
	test_transactions();
	test_events();
	test_events_and_store();
	test_limits();
	return done();
}
