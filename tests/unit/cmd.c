/* SPDX-License-Identifier: MIT
 *
 * The rules of the dispatcher: transactions and watched keys, scans under change, parked requests, error
 * classes, held replies, passwords, limits. The commands one by one are in cmd_table.c.
 */
#include "cmd_fixture.h"
#include "cmd/lzf.h"
#include "cmd/room.h"

/* ---- WATCH ---- */

/* Client 0 watches k, `change` is run by client 1, EXEC must or must not go through. */
static void watch_case(const char *before, const char *change, bool fails)
{
	char name[200];

	fixture_open();
	if (*before)
		run_line(1, before);
	run_line(0, "WATCH k");
	run_line(1, change);
	run_line(0, "MULTI");
	run_line(0, "PING");
	run_line(0, "EXEC");
	snprintf(name, sizeof(name), "WATCH k, then %s (after %s): EXEC %s", change,
		*before ? before : "nothing", fails ? "fails" : "runs");
	reply_is(fails ? "*-1\n" : "*1\n+PONG\n", name);
	fixture_close();
}

static void test_watch(void)
{
	watch_case("", "SET k 1", true);
	watch_case("", "SET other 1", false);
	watch_case("", "DEL k", false);
	watch_case("", "GET k", false);
	watch_case("SET k 1", "DEL k", true);
	watch_case("SET k 1", "SET k 1", true);
	watch_case("SET k 1", "EXPIRE k 100", true);
	watch_case("SET k 1", "EXPIRE k 100 XX", false);
	watch_case("SET k 1", "RENAME k z", true);
	watch_case("SET z 1", "RENAME z k", true);
	watch_case("SET k 1", "FLUSHDB", true);
	watch_case("SET k 1", "FLUSHALL", true);
	watch_case("", "FLUSHALL", false);
	watch_case("SET k 1", "SWAPDB 0 1", true);
	watch_case("", "SWAPDB 0 1", false);
	watch_case("SET k 1", "SWAPDB 1 2", false);
	watch_case("SET k 1", "SETNX k 2", false);
	watch_case("SET k 1", "MSETNX j 1 k 2", false);
	watch_case("SET k abc", "INCR k", false);

	fixture_open();
	run_line(1, "SELECT 1");
	run_line(1, "SET k 1");
	run_line(0, "WATCH k");
	run_line(1, "SWAPDB 0 1");
	run_line(0, "MULTI");
	line_is(0, "EXEC", "*-1\n");
	run_line(0, "WATCH k");
	run_line(1, "SET k 2");
	run_line(0, "MULTI");
	line_is(0, "EXEC", "*0\n"); /* the key of the same name in another database */
	run_line(0, "WATCH k");
	run_line(1, "SELECT 0");
	model_refuse(fx.store, "full", true);
	line_is(1, "SET k 9", "-MISCONF writes are refused: full\n");
	model_refuse(fx.store, NULL, false);
	run_line(0, "MULTI");
	line_is(0, "EXEC", "*0\n"); /* a commit that failed changes nothing */
	run_line(0, "SET k 1 PX 50");
	run_line(0, "WATCH k");
	model_set_now(fx.store, store_now(fx.store) + 50, 0);
	run_line(0, "MULTI");
	line_is(0, "EXEC", "*-1\n"); /* expired since */
	run_line(0, "WATCH k");
	store_expire_some(fx.store, 10);
	run_line(0, "MULTI");
	line_is(0, "EXEC", "*0\n"); /* had expired before */
	run_line(0, "WATCH a b k");
	fx.client[0] = cmd_client_free(fx.client[0]);
	line_is(1, "SET a 1", "+OK\n"); /* whoever watched has gone */
	is_int((int64_t)fx.env->nwatches, 0, "a freed client leaves no watched keys");
	fixture_close();
}

/* ---- SCAN ---- */

/* The cursor in the reply of SCAN, which is a string from now on. */
static void read_cursor(char *cursor, size_t size)
{
	const char *p;

	buf_append_char(&fx.out, 0);
	p = strstr(strstr(fx.out.ptr, "\r\n") + 2, "\r\n") + 2;
	snprintf(cursor, size, "%.*s", (int)strcspn(p, "\r"), p);
}

/* Calls SCAN until the cursor is 0 again, changing keys meanwhile; counts how often each fixed key was given.
 */
static void test_scan_under_change(uint64_t seed)
{
	enum { FIXED = 500 };
	unsigned given[FIXED] = { 0 }, calls = 0, wrong = 0;
	char line[128], cursor[32] = "0";

	srandom((unsigned)seed);
	fixture_open();
	for (int i = 0; i < FIXED; i++) {
		snprintf(line, sizeof(line), "SET fixed:%04d x", i);
		run_line(0, line);
	}
	do {
		for (int i = 0; i < 20; i++) {
			snprintf(line, sizeof(line), "%s %s:%04ld x", random() % 3 ? "SET" : "DEL",
				random() % 2 ? "a" : "fixed:x", random() % 600);
			run_line(1, line);
		}
		snprintf(line, sizeof(line), "SCAN %s COUNT %ld", cursor, random() % 20 + 1);
		run_line(0, line);
		read_cursor(cursor, sizeof(cursor));
		for (const char *p = fx.out.ptr; (p = strstr(p, "fixed:"));) {
			p += 6;
			if (*p != 'x')
				given[atoi(p)]++;
		}
	} while (strcmp(cursor, "0") && ++calls < 10000);
	for (int i = 0; i < FIXED; i++)
		wrong += given[i] != 1;
	is_int(wrong, 0, "a key that is there all the time is given exactly once");
	fixture_close();
}

static void test_cursors(void)
{
	char line[300], first[32], again[256];

	fixture_open();
	run_line(0, "MSET a 1 b 2 c 3 d 4");
	run_line(0, "SCAN 0 COUNT 2");
	read_cursor(first, sizeof(first));
	snprintf(line, sizeof(line), "SCAN %s COUNT 10", first);
	line_is(0, line, "*2\n$1\n0\n*2\n$1\nc\n$1\nd\n");
	line_is(0, line, "*2\n$1\n0\n*2\n$1\nc\n$1\nd\n"); /* a cursor may be used again */
	run_line(1, "SELECT 1");
	snprintf(again, sizeof(again), "SCAN %s", first);
	line_is(1, again, "-ERR invalid cursor: no longer known, start again from 0\n");
	run_line(0, "DEL b");
	line_is(0, line, "*2\n$1\n0\n*2\n$1\nc\n$1\nd\n"); /* the key it stands for may go */
	for (int i = 0; i < 1023; i++)
		run_line(0, "SCAN 0 COUNT 1");
	line_is(0, line, "*2\n$1\n0\n*2\n$1\nc\n$1\nd\n");
	run_line(2, "SCAN 0 COUNT 2");
	read_cursor(again, sizeof(again));
	run_line(0, "SCAN 0 COUNT 1");
	line_is(0, line, "-ERR invalid cursor: no longer known, start again from 0\n");
	for (int i = 0; i < 70000; i++)
		run_line(0, "SCAN 0 COUNT 1");
	is_int((int64_t)cursors_count(fx.env->cursors), 1025, "each client has its share of the table of cursors");
	snprintf(line, sizeof(line), "SCAN %s COUNT 10", again);
	line_is(0, line, "*2\n$1\n0\n*1\n$1\nd\n"); /* another one may use it */
	for (int i = 0; i < 70; i++) {
		fx.client[0] = cmd_client_free(fx.client[0]);
		for (int j = 0; j < 1024; j++)
			run_line(0, "SCAN 0 COUNT 1");
	}
	is_int((int64_t)cursors_count(fx.env->cursors), 65536, "and the table is bounded");
	line_is(0, line, "*2\n$1\n0\n*1\n$1\nd\n"); /* those of clients that have gone went first */
	line_is(0, "SCAN 0 COUNT 1 MATCH d",
		"*2\n$1\n0\n*1\n$1\nd\n"); /* the prefix is looked up, not searched for */
	run_line(0, "FLUSHALL");
	run_line(0, "SET \"\\xff\\xffz\" 1");
	run_line(0, "SET \"\\xff\" 1");
	line_is(0, "KEYS \"\\xff\\xff*\"", "*1\n$3\n\xff\xffz\n");
	run_line(0, "SET t 1 PX 5");
	model_set_now(fx.store, store_now(fx.store) + 5, 0);
	line_is(0, "KEYS t", "*0\n"); /* expired keys are not listed */
	fixture_close();
}

/* ---- glob ---- */

/* COUNT is a wish: one call must not keep all others waiting. */
static void test_scan_bound(void)
{
	enum { KEYS = 150000, MOST = 100000 };
	size_t found[3] = { 0 };
	char line[100], cursor[32] = "0";

	fixture_open();
	for (int i = 0; i < KEYS; i++) {
		snprintf(line, sizeof(line), "SET k%06d v", i);
		run_line(0, line);
	}
	for (int call = 0; call < 3 && (call == 0 || strcmp(cursor, "0")); call++) {
		snprintf(line, sizeof(line), "SCAN %s MATCH *5 COUNT 1000000", cursor);
		run_line(0, line);
		buf_append_char(&fx.out, '\0');
		sscanf(fx.out.ptr, "*2\r\n$%*d\r\n%31[0-9]\r\n*%zu", cursor, &found[call]);
	}
	ok(found[0] == MOST / 10 && found[1] == (KEYS - MOST) / 10 && found[2] == 0 && strcmp(cursor, "0") == 0,
		"a SCAN looks at %d keys at most (%zu, %zu, %zu)", MOST, found[0], found[1], found[2]);
	fixture_close();
}

static void test_glob(void)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} cases[] = {
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "?", "", false },
		{ "?", "a", true },
		{ "a*", "a", true },
		{ "a*c", "abbc", true },
		{ "a*c", "abbd", false },
		{ "*a*b*", "xxaxxbxx", true },
		{ "*a*b", "ab ab a", false },
		{ "[abc]", "b", true },
		{ "[abc]", "d", false },
		{ "[^abc]", "d", true },
		{ "[^abc]", "a", false },
		{ "[a-c]x", "bx", true },
		{ "[c-a]x", "bx", true },
		{ "[a-]", "_", true },
		{ "[a-]", "-", false },
		{ "[]", "a", false },
		{ "[^]", "a", true },
		{ "[a", "a", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a\\", "a\\", true },
		{ "[\\]]", "]", true },
		{ "**", "abc", true },
		{ "h?llo", "hello", true },
		{ "h[^e]llo", "hello", false },
		{ "A", "a", false },
		{ "*\\", "x\\", true },
	};
	char text[4096], pattern[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(glob_match(slice_str(cases[i].pattern), slice_str(cases[i].text), false) == cases[i].match,
			"pattern '%s' %s '%s'", cases[i].pattern,
			cases[i].match ? "matches" : "does not match", cases[i].text);
	ok(glob_match(SLICE("A[B-C]"), SLICE("aB"), true), "without regard to case letters of either fit");
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a*", 2);
	pattern[sizeof(pattern) - 1] = 'b';
	ok(!glob_match(slice(pattern, sizeof(pattern)), slice(text, sizeof(text)), false),
		"many stars do not take for ever");
}

/* ---- parked requests ---- */

static void pending_case(const char *line, const char *reply)
{
	char name[160];

	fixture_open();
	run_line(0, "MSET a 1 b 2 c 3");
	model_make_cold(fx.store, 0, SLICE("a"));
	model_make_cold(fx.store, 0, SLICE("b"));
	run_line(0, line);
	snprintf(name, sizeof(name), "%s is parked while its record is cold", line);
	ok(fx.status == CMD_PENDING && fx.out.len == 0 && fx.result.replies == 0, "%s", name);
	store_poll(fx.store);
	is_int(fx.fetched, 1, "one fetch brings all it needs");
	line_is(0, line, reply);
	ok(fx.status == CMD_DONE && fx.result.replies == 1, "and then it is done");
	fixture_close();
}

static void test_pending(void)
{
	pending_case("GET a", "$1\n1\n");
	pending_case("MGET c a b", "*3\n$1\n3\n$1\n1\n$1\n2\n");
	pending_case("INCR a", ":2\n");
	pending_case("APPEND a x", ":2\n");
	pending_case("RENAME a z", "+OK\n");
	pending_case("SET a 9 IFEQ 1", "+OK\n");
	pending_case("SET a 9 GET", "$1\n1\n");
	pending_case("EXPIRE a 100", ":1\n");
	pending_case("BITCOUNT a", ":3\n");
	pending_case("BITOP OR a a b", ":1\n");
	pending_case("SETBIT a 7 0", ":1\n");
	pending_case("BITFIELD a GET u8 0 SET u8 0 0", "*2\n:49\n:49\n");
	pending_case("LCS a b LEN", ":0\n");
	pending_case("KVD.RANGE \"\" \"\" WITHVALUES", "*6\n$1\na\n$1\n1\n$1\nb\n$1\n2\n$1\nc\n$1\n3\n");

	fixture_open();
	run_line(0, "MSET a 1 b 2");
	model_make_cold(fx.store, 0, SLICE("a"));
	line_is(0, "SET a 9 NX", "$-1\n"); /* existence needs no record */
	line_is(0, "EXISTS a", ":1\n");
	line_is(0, "TTL a", ":-1\n");
	line_is(0, "SET a 5", "+OK\n");
	model_make_cold(fx.store, 0, SLICE("a"));
	model_make_cold(fx.store, 0, SLICE("b"));
	run_line(0, "MULTI");
	run_line(0, "CLIENT SETNAME x");
	run_line(0, "SELECT 1");
	run_line(0, "SELECT 0");
	run_line(0, "INCR a");
	run_line(0, "GET b");
	run_line(0, "EXEC");
	ok(fx.status == CMD_PENDING, "EXEC is parked as a whole");
	ok(!fx.client[0]->name && fx.client[0]->multi, "and none of its commands has run");
	store_poll(fx.store);
	is_int(fx.fetched, 1, "one fetch for the whole EXEC");
	line_is(0, "EXEC", "*5\n+OK\n+OK\n+OK\n:6\n$1\n2\n");
	model_make_cold(fx.store, 0, SLICE("a"));
	run_line(0, "CLIENT SETNAME y");
	run_line(0, "MULTI");
	run_line(0, "CLIENT SETNAME z");
	run_line(0, "SELECT 3");
	run_line(0, "SELECT 0");
	run_line(0, "EXPIRE a 10");
	run_line(0, "EXEC");
	ok(fx.status == CMD_PENDING, "a second EXEC is parked too");
	ok(fx.client[0]->name[0] == 'y', "and none of its commands has run either");
	store_poll(fx.store);
	line_is(0, "EXEC", "*4\n+OK\n+OK\n+OK\n:1\n");
	model_make_cold(fx.store, 0, SLICE("b"));
	run_line(0, "GET b");
	fx.client[0] = cmd_client_free(fx.client[0]);
	store_poll(fx.store);
	is_int(fx.fetched, 2, "a client that goes takes its fetch along");
	fixture_close();
}

/* ---- what the store answers ---- */

static void test_conditions(void)
{
	char *big = malloc(70100);

	fixture_open();
	run_line(0, "MSET a 1 b 2");
	model_make_corrupt(fx.store, 0, SLICE("a"));
	line_is(0, "GET a", "-CORRUPT 0000000001.seg, offset 4096: a record fails its checksum\n");
	line_is(0, "MGET b a", "-CORRUPT 0000000001.seg, offset 4096: a record fails its checksum\n");
	line_is(0, "EXISTS a", ":1\n");
	run_line(0, "MULTI");
	run_line(0, "SET b 3");
	run_line(0, "INCR a");
	run_line(0, "GET b");
	line_is(0, "EXEC",
		"*3\n+OK\n-CORRUPT 0000000001.seg, offset 4096: a record fails its checksum\n$1\n3\n");
	line_is(0, "SET a 1", "+OK\n");
	line_is(0, "GET a", "$1\n1\n");

	model_refuse(fx.store, "no space left", false);
	line_is(0, "SET a 2", "-MISCONF writes are refused: no space left\n");
	line_is(0, "DEL a", "-MISCONF writes are refused: no space left\n");
	line_is(0, "DEL nope", ":0\n");
	line_is(0, "GET a", "$1\n1\n");
	model_refuse(fx.store, "no space left", true);
	run_line(0, "MULTI");
	run_line(0, "SET a 2");
	run_line(0, "SET b 2");
	line_is(0, "EXEC", "-MISCONF writes are refused: no space left\n");
	model_refuse(fx.store, NULL, false);
	line_is(0, "MGET a b", "*2\n$1\n1\n$1\n3\n");
	line_is(0, "EXEC", "-ERR EXEC without MULTI\n");

	store_set_max_value(fx.store, 10);
	line_is(0, "APPEND a 1234567890",
		"-ERR string exceeds maximum allowed size (proto-max-bulk-len, 536870912 bytes)\n");
	line_is(0, "MSET c 1 d 12345678901",
		"-ERR string exceeds maximum allowed size (proto-max-bulk-len, 536870912 bytes)\n");
	line_is(0, "EXISTS c", ":0\n");
	run_line(0, "MULTI");
	run_line(0, "SET a 2");
	run_line(0, "MSET c 1 d 12345678901");
	line_is(0, "EXEC",
		"-ERR string exceeds maximum allowed size (proto-max-bulk-len, 536870912 bytes)\n");
	line_is(0, "MGET a c", "*2\n$1\n1\n$-1\n"); /* no half of MSET stays */

	strcpy(big, "GET ");
	memset(big + 4, 'k', 65537);
	big[4 + 65537] = 0;
	run_line(0, big);
	reply_is("-ERR key is 65537 bytes, the limit is 65536\n",
		"a key above the limit is refused with its size");
	big[4 + 65536] = 0;
	run_line(0, big);
	reply_is("$-1\n", "a key of the largest size is taken");
	fixture_close();
	free(big);
}

/* ---- LCS, DUMP ---- */

static void test_lcs_limit(void)
{
	char *value = malloc(1 << 20);
	struct slice argv[] = { SLICE("SET"), SLICE("a"), slice(value, 1 << 20) };

	memset(value, 'v', 1 << 20);
	fixture_open();
	cmd_run(client(0), argv, 3, NULL, &fx.out, &fx.result);
	run_line(0, "SET b vwv");
	line_is(0, "LCS a b LEN", ":2\n");
	line_is(0, "LCS a a LEN", "-ERR the values are too long for LCS: the product of their lengths is limited to 16777216\n");
	fixture_close();
	free(value);
}

/* Whatever is dumped is restored as it was; the bytes of a dump are those Redis would understand. */
static void test_dump(void)
{
	static const char twelve[] = "\0\xc0\x0c\x09\0\xec\xd8\xa9\x9d\x08\x82\xdf\x64";
	static const size_t lens[] = { 0, 1, 63, 64, 16383, 16384, 100000 };
	struct slice argv[] = { SLICE("SET"), SLICE("a"), slice("12", 2) }, dump;
	struct slice restore[] = { SLICE("RESTORE"), SLICE("b"), SLICE("0"), { 0 }, SLICE("REPLACE") };
	struct buf copy = { 0 };
	char *value = malloc(100000), head[32];
	unsigned bad = 0;

	fixture_open();
	cmd_run(client(0), argv, 3, NULL, &fx.out, &fx.result);
	run_line(0, "DUMP a");
	ok(fx.out.len == 20 && memcmp(fx.out.ptr + 5, twelve, 13) == 0, "an integer is dumped as one, with version and checksum");
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (size_t j = 0; j < lens[i]; j++)
			value[j] = (char)random();
		argv[2] = slice(value, lens[i]);
		cmd_run(client(0), argv, 3, NULL, &fx.out, &fx.result);
		run_line(0, "DUMP a");
		copy.len = 0;
		buf_append_slice(&copy, buf_slice(&fx.out));
		dump = slice((char *)memchr(copy.ptr, '\n', copy.len) + 1, 0);
		dump.len = (size_t)(copy.ptr + copy.len - dump.ptr) - 2;
		for (size_t cut = 0; cut < dump.len && cut < 40; cut++) {
			restore[3] = slice(dump.ptr, dump.len - cut - 1);
			buf_reset(&fx.out, 0);
			cmd_run(client(0), restore, 5, NULL, &fx.out, &fx.result);
			bad += fx.out.ptr[0] != '-';
		}
		restore[3] = dump;
		buf_reset(&fx.out, 0);
		cmd_run(client(0), restore, 5, NULL, &fx.out, &fx.result);
		run_line(0, "GET b");
		snprintf(head, sizeof(head), "$%zu\r\n", lens[i]);
		ok(fx.out.len == strlen(head) + lens[i] + 2 && memcmp(fx.out.ptr, head, strlen(head)) == 0 &&
			   (lens[i] == 0 || memcmp(fx.out.ptr + strlen(head), value, lens[i]) == 0),
			"%zu bytes are dumped and restored", lens[i]);
	}
	is_int(bad, 0, "and what is cut off is refused");
	fixture_close();
	buf_free(&copy);
	free(value);
}

/* Packed bytes of any kind: nothing outside the output is touched. The sanitizers look on. */
static void test_unpack(void)
{
	unsigned good = 0;

	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)random() % 12, len = (size_t)random() % 64;
		char *packed = malloc(n + 1), *out = malloc(len + 1);
		for (size_t j = 0; j < n; j++)
			packed[j] = (char)(random() % 3 ? random() % 8 : random());
		out[len] = 'x';
		good += lzf_unpack(slice(packed, n), out, len);
		if (out[len] != 'x')
			bail("lzf_unpack wrote beyond its output");
		free(packed);
		free(out);
	}
	ok(good > 0, "some random bytes (%u) are packed ones, the others are refused", good);
}

/* ---- the MULTI queue ---- */

static void test_queue_limit(void)
{
	char *value = malloc((8 << 20) + 1);
	struct slice argv[3] = { SLICE("SET"), SLICE("a"), slice(value, 8 << 20) };

	memset(value, 'v', 8 << 20);
	fixture_open();
	run_line(0, "MULTI");
	for (int i = 0; i < 8; i++) {
		buf_reset(&fx.out, 0);
		cmd_run(client(0), argv, 3, NULL, &fx.out, &fx.result);
	}
	reply_is("-ERR the commands of a transaction take at most 67108864 bytes of memory\n",
		"the queue of MULTI is bounded and says so");
	line_is(0, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\n");
	line_is(0, "EXISTS a", ":0\n");
	fixture_close();
	free(value);
}

/* ---- positions and barriers ---- */

static void test_positions(void)
{
	uint64_t written;

	fixture_open();
	run_line(0, "SET a 1");
	is_int((int64_t)fx.result.position, 0, "a durable write waits for nothing");
	model_hold(fx.store, true);
	run_line(0, "SET a 2");
	written = store_position(fx.store);
	ok(fx.result.position == written && written > store_durable(fx.store),
		"the reply of a write is held until it is durable");
	run_line(1, "GET a");
	ok(fx.result.position == written, "so is the reply of a read that saw it");
	run_line(1, "PING");
	is_int((int64_t)fx.result.position, 0, "a command without data is not held");
	line_is(1, "WAITAOF 1 0 100", "*2\n:1\n:0\n"); /* this client has written nothing */
	run_line(0, "WAITAOF 1 0 100");
	ok(fx.status == CMD_WAIT && fx.out.len == 0, "WAITAOF waits for this connection's writes");
	ok(fx.result.position == written && fx.result.wait_ms == 100, "up to its last one, for its timeout");
	is_int(model_barriers(fx.store), 1, "and asks for a sync");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), false, &fx.out);
	reply_is("*2\n:0\n:0\n", "a timeout answers that nothing was synced");
	line_is(0, "WAITAOF 0 0 0", "*2\n:0\n:0\n");
	run_line(0, "MULTI");
	run_line(0, "WAITAOF 1 0 0");
	line_is(0, "EXEC", "*1\n*2\n:0\n:0\n"); /* never blocks inside MULTI */
	model_hold(fx.store, false);
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), true, &fx.out);
	reply_is("*2\n:1\n:0\n", "WAITAOF answers once they are durable");
	run_line(0, "WAITAOF 1 1 50");
	ok(fx.status == CMD_WAIT && fx.result.position == UINT64_MAX,
		"a replica is waited for until the timeout");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), false, &fx.out);
	reply_is("*2\n:1\n:0\n", "and was never there");
	fixture_close();
}

static void test_compact(void)
{
	fixture_open();
	line_is(0, "KVD.COMPACT", "+OK\n");
	line_is(0, "KVD.COMPACT SYNC FORCE", "*6\n$6\nbefore\n:1000\n$5\nafter\n:100\n$5\nsaved\n:900\n");
	line_is(0, "KVD.COMPACT PAUSE", "+OK\n");
	line_is(0, "KVD.COMPACT RESUME", "+OK\n");
	line_is(0, "KVD.COMPACT PAUSE FORCE", "-ERR syntax error\n");
	line_is(0, "KVD.COMPACT SOON", "-ERR syntax error\n");
	line_is(0, "BGREWRITEAOF", "+Background append only file rewriting started\n");
	model_hold(fx.store, true);
	line_is(0, "KVD.COMPACT", "-ERR a compaction is already running\n");
	line_is(0, "BGREWRITEAOF", "-ERR Background append only file rewriting already in progress\n");
	run_line(0, "KVD.COMPACT SYNC");
	ok(fx.status == CMD_WAIT && !cmd_wait_over(client(0)), "KVD.COMPACT SYNC waits for the one that runs");
	model_hold(fx.store, false);
	ok(cmd_wait_over(client(0)), "as long as it does");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), true, &fx.out);
	reply_is("*6\n$6\nbefore\n:1000\n$5\nafter\n:100\n$5\nsaved\n:900\n", "then it says what was saved");
	model_refuse(fx.store, "the disk is full", false);
	line_is(0, "KVD.COMPACT", "-MISCONF writes are refused: the disk is full\n");
	model_refuse(fx.store, NULL, false);
	line_is(0, "KVD.SEGMENTS", "*1\n*12\n$6\nnumber\n:1\n$5\nfirst\n:64\n$5\nbytes\n:1000\n$4\nlive\n:500\n$10\ntombstones\n:0\n"
		"$5\nstate\n$6\nactive\n");
	fixture_close();
}

static void test_rotate(void)
{
	fixture_open();
	line_is(0, "KVD.ROTATE", "+OK\n");
	model_hold(fx.store, true);
	run_line(0, "KVD.ROTATE");
	ok(fx.status == CMD_WAIT && fx.out.len == 0, "KVD.ROTATE waits for the segment to be complete");
	ok(!cmd_wait_over(client(0)) && !cmd_wait_over(client(1)), "as long as it is not");
	model_hold(fx.store, false);
	ok(cmd_wait_over(client(0)) && !cmd_wait_over(client(1)), "and no longer");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), true, &fx.out);
	reply_is("+OK\n", "then it answers");
	ok(!cmd_wait_over(client(0)), "and nothing is waited for any more");
	model_hold(fx.store, true);
	run_line(0, "KVD.ROTATE");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), false, &fx.out);
	reply_is("-ERR the rotation was not completed\n", "a daemon that stops before says so");
	model_hold(fx.store, false);
	model_refuse(fx.store, "the disk is full", false);
	line_is(0, "KVD.ROTATE", "-MISCONF writes are refused: the disk is full\n");
	model_refuse(fx.store, NULL, false);
	run_line(0, "MULTI");
	line_is(0, "KVD.ROTATE", "-ERR Command not allowed inside a transaction\n");
	fixture_close();
}

static void test_snapshots(void)
{
	fixture_open();
	line_is(0, "KVD.BACKUPS", "*0\n");
	line_is(0, "LASTSAVE", ":0\n"); /* the start, of which the host says nothing here */
	line_is(0, "KVD.BACKUP one", "+one\n");
	line_is(0, "KVD.BACKUP two", "-ERR snapshot two: another one is being made or deleted\n");
	line_is(0, "BGSAVE", "-ERR Background save already in progress\n");
	store_poll(fx.store);
	line_is(0, "KVD.BACKUPS",
		"*1\n*12\n$4\nname\n$3\none\n$4\nkind\n$4\nhand\n$4\ntime\n:1700000000\n$8\nposition\n:0\n$8\nsegments\n:1\n"
		"$5\nbytes\n:64\n");
	run_line(0, "KVD.BACKUP * SYNC");
	ok(fx.status == CMD_WAIT && fx.out.len == 0 && !cmd_wait_over(client(0)), "with SYNC the client waits");
	store_poll(fx.store);
	ok(cmd_wait_over(client(0)), "until the snapshot is complete");
	cmd_wait_done(client(0), true, &fx.out);
	reply_is("+now\n", "then it gets the name");
	line_is(0, "KVD.BACKUPDEL other", "-ERR snapshot other: there is none of this name\n");
	run_line(0, "KVD.BACKUPDEL now SYNC");
	store_poll(fx.store);
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), true, &fx.out);
	reply_is("+OK\n", "a snapshot is deleted");
	line_is(0, "BGSAVE", "+Background saving started\n");
	store_poll(fx.store);
	run_line(0, "SAVE");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), false, &fx.out);
	reply_is("-ERR the store was closed, the snapshot is given up\n", "who waits for one when the daemon stops is told");
	store_poll(fx.store);
	line_is(0, "LASTSAVE", ":1700000000\n");
	line_is(0, "KVD.BACKUP one NOW", "-ERR syntax error\n");
	line_is(0, "KVD.BACKUP one SYNC SYNC", "-ERR syntax error\n");
	line_is(0, "BGSAVE NOW", "-ERR syntax error\n");
	line_is(0, "KVD.BACKUP 1234567890123456789012345678901234567890123456789012345678901234567", "-ERR snapshot ?: no name\n");
	line_is(0, "KVD.BACKUP \"a\\x00b\"", "-ERR snapshot ?: no name\n");
	model_refuse(fx.store, "the disk is full", false);
	line_is(0, "KVD.BACKUP one", "-MISCONF snapshot one: the disk is full\n");
	line_is(0, "SAVE", "-MISCONF snapshot now: the disk is full\n");
	model_refuse(fx.store, NULL, false);
	run_line(0, "MULTI");
	line_is(0, "SAVE", "-ERR Command not allowed inside a transaction\n");
	fixture_close();
}

/* The end of what client 0 waits for. */
static void wait_is(bool reached, const char *expected, const char *name)
{
	ok(fx.status == CMD_WAIT, "the client waits");
	buf_reset(&fx.out, 0);
	cmd_wait_done(client(0), reached, &fx.out);
	reply_is(expected, name);
}

static void test_checkpoint(void)
{
	fixture_open();
	line_is(0, "KVD.SNAPSHOT", "+OK\n");
	store_poll(fx.store);
	run_line(0, "KVD.SNAPSHOT SYNC");
	ok(!cmd_wait_over(client(0)), "with SYNC the client waits");
	store_poll(fx.store);
	ok(cmd_wait_over(client(0)), "until the index is written");
	wait_is(true, "+OK\n", "then it is told");
	model_fail_checkpoints(fx.store, true);
	run_line(0, "KVD.SNAPSHOT SYNC");
	store_poll(fx.store);
	ok(cmd_wait_over(client(0)), "a failure ends the wait, too");
	wait_is(true, "-ERR the index was not written, the journal says why; the log has everything\n", "and is told");
	run_line(0, "KVD.SNAPSHOT SYNC");
	wait_is(false, "-ERR the store was closed, the index is given up\n", "who waits for one when the daemon stops is told");
	line_is(0, "KVD.SNAPSHOT NOW", "-ERR syntax error\n");
	line_is(0, "KVD.SNAPSHOT SYNC SYNC", "-ERR syntax error\n");
	model_refuse(fx.store, "the disk is full", false);
	line_is(0, "KVD.SNAPSHOT", "-MISCONF writes are refused: the disk is full\n");
	fixture_close();
}

/* What the daemon does for DEBUG RELOAD, with the same store again. */
static void reopen(const char *problem)
{
	cmd_leave_store(fx.env);
	cmd_join_store(fx.env, fx.store);
	cmd_store_reopened(fx.env, problem);
}

static void test_reload(void)
{
	fixture_open();
	line_is(0, "DEBUG RELOAD",
		"-ERR DEBUG command not allowed: enable-debug-command = yes in the configuration allows it at the next start\n");
	cmd_set_debug(fx.env, true);
	line_is(0, "DEBUG RELOAD NOSAVE", "-ERR wrong number of arguments for 'debug|reload' command\n");
	line_is(1, "MULTI", "+OK\n");
	line_is(1, "DEBUG RELOAD", "-ERR Command not allowed inside a transaction\n");
	line_is(1, "DISCARD", "+OK\n");
	is_int(fx.reopens, 0, "the daemon is not asked for nothing");
	line_is(1, "SET k v", "+OK\n");
	line_is(1, "WATCH k", "+OK\n");
	line_is(1, "MULTI", "+OK\n");
	line_is(1, "GET k", "+QUEUED\n");
	line_is(1, "CLIENT ID", "+QUEUED\n");
	line_is(2, "CLIENT PAUSE 5000 WRITE", "+OK\n");
	run_line(0, "DEBUG RELOAD");
	ok(fx.reopens == 1 && !cmd_wait_over(client(0)) && !cmd_waits_for_store(client(0)), "who asks waits for the next store");
	reopen("");
	ok(cmd_wait_over(client(0)), "which ends the wait");
	wait_is(true, "+OK\n", "and it is told");
	line_is(1, "EXEC", "*2\n$1\nv\n:2\n");
	run_line(1, "SET k w");
	ok(fx.status == CMD_PAUSED, "a pause goes on");
	model_set_now(fx.store, INT64_C(1700000000000) + 5000, 0);
	line_is(1, "SET k w", "+OK\n");
	run_line(1, "WAITAOF 1 0 0");
	reply_is("*2\n:1\n:0\n", "what was written before counts as written");
	run_line(0, "DEBUG LOADAOF");
	reopen("the disk is on fire");
	wait_is(true, "-MISCONF the store was not opened again: the disk is on fire\n", "a reason is told");
	run_line(0, "DEBUG RELOAD");
	wait_is(false, "-ERR kvd stops, the store is not opened again\n", "who waits for it when the daemon stops is told");
	run_line(0, "SAVE");
	ok(cmd_waits_for_store(client(0)), "who waits for a snapshot waits for this store");
	fixture_close();
}

/* ---- clocks ---- */

static void test_clocks(void)
{
	const int64_t now = INT64_C(1700000000000);

	fixture_open();
	model_set_now(fx.store, now, 3600000); /* the wall clock is an hour ahead */
	line_is(0, "SET k 1 EXAT 1700003610", "+OK\n");
	line_is(0, "TTL k", ":10\n");
	line_is(0, "EXPIRETIME k", ":1700003610\n");
	line_is(0, "PEXPIREAT k 1700003620000", ":1\n");
	line_is(0, "PTTL k", ":20000\n");
	model_set_now(fx.store, now, -3600000); /* and is set back two */
	line_is(0, "PTTL k", ":20000\n");
	line_is(0, "SET j 1 PXAT 1700000000000", "+OK\n");
	line_is(0, "PTTL j", ":3600000\n");
	model_set_now(fx.store, now + 19999, 0);
	line_is(0, "PTTL k", ":1\n");
	line_is(0, "TTL k", ":0\n");
	model_set_now(fx.store, now + 20000, 0);
	line_is(0, "PTTL k", ":-2\n");
	line_is(0, "GET k", "$-1\n");
	line_is(0, "SET k 2 XX", "$-1\n");
	line_is(0, "SET k 2 NX", "+OK\n");
	fixture_close();
}

/* ---- connections ---- */

static void test_passwords(void)
{
	fixture_open();
	fx.password = "secret";
	line_is(0, "GET a", "-NOAUTH Authentication required.\n");
	line_is(0, "PING", "-NOAUTH Authentication required.\n");
	run_line(0, "HELLO 3");
	reply_has("-NOAUTH HELLO must be called", "HELLO asks for the password too");
	line_is(0, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\n");
	line_is(0, "AUTH other secret", "-WRONGPASS invalid username-password pair or user is disabled.\n");
	line_is(0, "HELLO 3 AUTH default wrong",
		"-WRONGPASS invalid username-password pair or user is disabled.\n");
	is_int(cmd_client_proto(client(0)), 2, "a refused HELLO changes nothing");
	line_is(0, "AUTH secret", "+OK\n");
	line_is(0, "GET a", "$-1\n");
	line_is(0, "RESET", "+RESET\n");
	line_is(0, "GET a", "-NOAUTH Authentication required.\n");
	run_line(0, "HELLO 3 AUTH default secret");
	reply_has("%7", "HELLO can bring the password");
	line_is(0, "GET a", "_\n");
	line_is(1, "QUIT", "+OK\n");
	ok(fx.status == CMD_CLOSE, "QUIT needs none, and closes");
	fixture_close();
}

static void test_replies(void)
{
	fixture_open();
	line_is(0, "CLIENT REPLY OFF", "");
	is_int(fx.result.replies, 0, "CLIENT REPLY OFF is not answered");
	line_is(0, "SET a 1", "");
	line_is(0, "NOPE", "");
	line_is(0, "CLIENT REPLY SKIP", "");
	line_is(0, "CLIENT REPLY ON", "+OK\n");
	line_is(0, "CLIENT REPLY SKIP", "");
	line_is(0, "PING", "");
	line_is(0, "PING", "+PONG\n");
	line_is(0, "SHUTDOWN", "");
	ok(fx.status == CMD_CLOSE && fx.shutdowns == 1 && fx.result.replies == 0,
		"SHUTDOWN is answered by closing");
	fixture_close();
}

static void test_clients(void)
{
	fixture_open();
	client(1);
	client(2);
	run_line(0, "CLIENT SETNAME al");
	run_line(0, "CLIENT LIST");
	reply_has("id=1 addr=/run/kvd/1:0 laddr=/run/kvd/1:0 fd=8 name=al age=0 idle=0 flags=U db=0 ",
		"CLIENT LIST describes the client");
	reply_has("cmd=client|list user=default redir=-1 resp=2 ", "and its last command");
	reply_has("\nid=3 ", "and the others");
	run_line(0, "CLIENT LIST ID 99 3 2 2 -1");
	ok(!memmem(fx.out.ptr, fx.out.len, "id=1 ", 5), "CLIENT LIST ID shows those asked for");
	run_line(0, "CLIENT INFO");
	reply_has("id=1 ", "CLIENT INFO describes the caller");
	line_is(0, "CLIENT KILL ID 2", ":1\n");
	line_is(0, "CLIENT KILL /run/kvd/3:0", "+OK\n");
	is_int(fx.kills, 2, "two clients were killed");
	line_is(0, "CLIENT KILL ID 1", ":0\n"); /* SKIPME is the default */
	line_is(0, "CLIENT KILL ID 1 SKIPME NO", ":1\n");
	ok(fx.status == CMD_CLOSE && fx.kills == 2, "a client that kills itself is closed after the reply");
	fixture_close();
}

/* ---- pauses ---- */

static void paused_is(int i, const char *line, bool paused)
{
	run_line(i, line);
	ok((fx.status == CMD_PAUSED) == paused && (fx.out.len == 0) == paused, "%s %s", line, paused ? "waits" : "is answered");
}

static void test_pause(void)
{
	fixture_open();
	run_line(1, "MULTI");
	run_line(1, "SET a 1");
	line_is(0, "CLIENT PAUSE 1000 WRITE", "+OK\n");
	is_int(fx.paused_ms, 1000, "the host is told for how long");
	paused_is(0, "SET a 1", true);
	paused_is(0, "PUBLISH a 1", true);
	paused_is(1, "EXEC", true);
	paused_is(0, "GET a", false);
	is_int((int64_t)store_count(fx.store, 0), 0, "what waits has done nothing");
	line_is(0, "CLIENT PAUSE 500 ALL", "+OK\n");
	is_int(fx.paused_ms, 1000, "a second pause never shortens the first");
	paused_is(0, "GET a", true);
	paused_is(0, "PING", true);
	paused_is(2, "HELLO 3", false);
	line_is(2, "CLIENT UNPAUSE", "+OK\n");
	is_int(fx.unpaused, 1, "the host is told of the end");
	line_is(1, "EXEC", "*1\n+OK\n");
	run_line(0, "CLIENT PAUSE 1000");
	paused_is(1, "PING", true);
	model_set_now(fx.store, store_now(fx.store) + 1000, 0);
	paused_is(1, "PING", false);
	line_is(0, "CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range\n");
	fixture_close();
}

/* ---- requests that are overtaken ---- */

/* Runs a request that is overtaken again and again, until the writes of others are left lying; how often it was run. */
static int run_overtaken(const char *line)
{
	int runs = 0;

	for (fx.status = CMD_DONE; fx.status != CMD_PAUSED && runs < 100; runs++) {
		model_make_cold(fx.store, 0, SLICE("a"));
		run_line(0, line);
		store_poll(fx.store);
		run_line(1, "SET a 1");
	}
	return runs;
}

static void test_hold(void)
{
	fixture_open();
	run_line(0, "MSET a 1 b 1 other 1");
	run_line(2, "MULTI");
	run_line(2, "GET c");
	run_line(2, "SET a 2");
	ok(run_overtaken("APPEND a x") == 5, "a request that is overtaken four times holds its key");
	fx.unpaused = 0;
	paused_is(2, "EXEC", true);
	paused_is(1, "RENAME b a", true);
	paused_is(1, "FLUSHALL", true);
	paused_is(1, "KVD.DELRANGE b c", true);
	paused_is(1, "EXISTS a", false);
	paused_is(1, "SET b 1", false);
	run_line(3, "MULTI");
	paused_is(3, "SET a 3", false);
	is_int(fx.unpaused, 0, "until it is done");
	line_is(0, "APPEND a x", ":2\n");
	is_int(fx.unpaused, 1, "then the host is told");
	line_is(2, "EXEC", "*2\n$-1\n+OK\n");
	line_is(1, "SET a 1", "+OK\n");
	line_is(3, "EXEC", "*1\n+OK\n");

	run_line(0, "MULTI");
	run_line(0, "INCR b");
	run_line(0, "APPEND a x");
	ok(run_overtaken("EXEC") == 13, "a transaction does after more runs, as it waits for each of its commands");
	paused_is(1, "SET b 1", true);
	for (int i = 0; i < 10; i++) {
		model_make_cold(fx.store, 0, SLICE("other"));
		run_line(2, "APPEND other x");
		store_poll(fx.store);
		run_line(1, "SET other 1");
	}
	ok(fx.status == CMD_DONE, "one request at a time does so");
	fx.client[0] = cmd_client_free(fx.client[0]);
	is_int(fx.unpaused, 2, "one whose client goes is over as well");
	paused_is(1, "SET b 1", false);
	model_make_cold(fx.store, 0, SLICE("other"));
	run_line(2, "APPEND other x");
	paused_is(1, "SET other 2", true);
	store_poll(fx.store);
	line_is(2, "APPEND other x", ":2\n");
	fixture_close();
}

/* ---- MONITOR ---- */

/* Takes the time off the lines pushed to client i; the rest is compared. */
static void told_is(int i, const char *expected, const char *name)
{
	struct buf got = { 0 };

	buf_append_char(&fx.pushed[i], 0);
	for (const char *p = fx.pushed[i].ptr; (p = strchr(p, '[')); p = strchr(p, '\n'))
		buf_printf(&got, "%.*s\n", (int)strcspn(p, "\r"), p);
	is_mem(got.ptr, got.len, expected, strlen(expected), name);
	buf_reset(&fx.pushed[i], 0);
	buf_free(&got);
}

static void test_monitor(void)
{
	fixture_open();
	line_is(3, "MONITOR", "+OK\n");
	run_line(0, "SET a \"x\\n\\\\\\x00\"");
	run_line(0, "NOPE");
	run_line(0, "GET");
	run_line(0, "CONFIG GET save");
	told_is(3, "[0 unix:/run/kvd/1] \"SET\" \"a\" \"x\\n\\\\\\x00\"\n", "what is run is told, quoted; what is not, or is for administrators, is not");
	run_line(0, "SELECT 3");
	run_line(0, "MULTI");
	run_line(0, "GET a");
	run_line(0, "EXEC");
	told_is(3, "[3 unix:/run/kvd/1] \"SELECT\" \"3\"\n[3 unix:/run/kvd/1] \"MULTI\"\n[3 unix:/run/kvd/1] \"GET\" \"a\"\n[3 unix:/run/kvd/1] \"EXEC\"\n",
		"a transaction when it runs");
	run_line(0, "SELECT 0");
	buf_reset(&fx.pushed[3], 0);
	model_make_cold(fx.store, 0, SLICE("a"));
	run_line(0, "GET a");
	told_is(3, "", "a parked request is told");
	store_poll(fx.store);
	run_line(0, "GET a");
	told_is(3, "[0 unix:/run/kvd/1] \"GET\" \"a\"\n", "once");
	run_line(0, "AUTH me secret");
	run_line(0, "HELLO 2 AUTH me secret SETNAME x");
	told_is(3, "[0 unix:/run/kvd/1] \"AUTH\" \"(redacted)\" \"(redacted)\"\n"
		   "[0 unix:/run/kvd/1] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"x\"\n", "no passwords");
	line_is(3, "GET a", "-ERR Replica can't interact with the keyspace\n");
	run_line(0, "CLIENT LIST ID 4");
	reply_has("flags=UO ", "CLIENT LIST shows who watches");
	line_is(3, "RESET", "+RESET\n");
	buf_reset(&fx.pushed[3], 0);
	run_line(0, "PING");
	told_is(3, "", "RESET ends it");
	fixture_close();
}

/* ---- times ---- */

static void test_slowlog(void)
{
	char line[600] = "MGET", *p = line + 4;

	fixture_open();
	cmd_set_slowlog(fx.env, 0, 3);
	run_line(0, "CLIENT SETNAME me");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, " k%d", i);
	run_line(0, line);
	run_line(0, "AUTH me secret");
	snprintf(line, sizeof(line), "SET a %0150d", 0);
	run_line(0, line);
	line_is(1, "SLOWLOG LEN", ":3\n");
	run_line(1, "SLOWLOG GET -1");
	reply_has("*3\r\n*6\r\n", "the latest requests are kept, up to the limit");
	reply_has("*2\r\n$7\r\nSLOWLOG\r\n$3\r\nLEN\r\n$12\r\n/run/kvd/2:0\r\n$0\r\n\r\n", "with the client's address");
	reply_has("... (22 more bytes)\r\n$12\r\n/run/kvd/1:0\r\n$2\r\nme\r\n", "and name, long words cut");
	reply_has("*3\r\n$4\r\nAUTH\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n", "and no passwords");
	run_line(0, "CONFIG SET save x RequirePass secret");
	run_line(1, "SLOWLOG GET 1");
	reply_has("$4\r\nsave\r\n$1\r\nx\r\n$11\r\nRequirePass\r\n$10\r\n(redacted)\r\n", "also not one that is set");
	run_line(0, "SLOWLOG RESET");
	p = line + sprintf(line, "MGET");
	for (int i = 0; i < 40; i++)
		p += sprintf(p, " k%d", i);
	run_line(0, "MULTI");
	run_line(0, line);
	cmd_set_slowlog(fx.env, 0, 10);
	run_line(0, "EXEC");
	run_line(0, "SLOWLOG GET");
	reply_has("*32\r\n$4\r\nMGET\r\n", "long requests are cut");
	reply_has("... (10 more arguments)\r\n", "and say by how much");
	ok(!memmem(fx.out.ptr, fx.out.len, "EXEC", 4), "the commands of a transaction stand for it");
	cmd_set_slowlog(fx.env, 3600000000, 10);
	run_line(0, "SLOWLOG RESET");
	run_line(0, "PING");
	line_is(0, "SLOWLOG LEN", ":0\n");
	cmd_set_slowlog(fx.env, -1, 10);
	run_line(0, "PING");
	line_is(0, "SLOWLOG LEN", ":0\n");
	fixture_close();
}

static void test_histogram(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	for (uint64_t ns = 1; ns <= 1000000; ns++)
		histogram_add(h, ns);
	for (int i = 1; i < 10; i++) {
		uint64_t p = histogram_percentile(h, i / 10.0), true_p = (uint64_t)i * 100000;
		ok(p >= true_p && p - true_p <= true_p / 8, "a percentile is at most an eighth too high (%llu for %llu)",
			(unsigned long long)p, (unsigned long long)true_p);
	}
	histogram_add(h, UINT64_MAX);
	histogram_add(h, 0);
	is_int((int64_t)h->count, 1000002, "no time is too long or too short");
	free(h);

	fixture_open();
	for (int i = 0; i < 1000; i++)
		run_line(0, "PING");
	run_line(0, "HELLO 3");
	run_line(0, "LATENCY HISTOGRAM ping nope");
	reply_has("%1\r\n$4\r\nping\r\n%2\r\n$5\r\ncalls\r\n:1000\r\n$14\r\nhistogram_usec\r\n%", "LATENCY HISTOGRAM is a map of maps");
	ok(fx.out.len > 7 && memcmp(fx.out.ptr + fx.out.len - 7, ":1000\r\n", 7) == 0, "whose last bucket holds all calls");
	run_line(0, "INFO latencystats");
	reply_has("latency_percentiles_usec_ping:p50=", "INFO latencystats has percentiles");
	run_line(0, "CONFIG RESETSTAT");
	line_is(0, "LATENCY HISTOGRAM ping", "%0\n");
	run_line(0, "LATENCY DOCTOR");
	reply_has("The latency monitor is off", "LATENCY DOCTOR says when there is nothing to see");
	run_line(0, "MEMORY STATS");
	reply_has("$10\r\nkeys.count\r\n:0\r\n", "MEMORY STATS");
	run_line(0, "LOLWUT");
	reply_has("txt:kvd ", "LOLWUT names the version");
	fixture_close();
}

/* ---- INFO, KVD.STATS ---- */

static void test_info(void)
{
	static const char *const fields[] = {
		"redis_version:7.2.4\r\n",
		"server_name:kvd\r\n",
		"kvd_version:",
		"redis_mode:standalone",
		"os:",
		"run_id:",
		"process_id:",
		"tcp_port:",
		"uptime_in_seconds:90061",
		"connected_clients:2",
		"blocked_clients:",
		"tracking_clients:0",
		"maxclients:10000",
		"client_recent_max_input_buffer:",
		"client_recent_max_output_buffer:",
		"used_memory:",
		"used_memory_rss:",
		"used_memory_peak:",
		"used_memory_overhead:",
		"used_memory_dataset:",
		"maxmemory:0",
		"maxmemory_policy:",
		"total_system_memory:",
		"mem_fragmentation_ratio:",
		"loading:0",
		"rdb_changes_since_last_save:",
		"rdb_bgsave_in_progress:",
		"rdb_last_save_time:",
		"rdb_last_bgsave_status:",
		"aof_enabled:1",
		"aof_rewrite_in_progress:",
		"aof_last_bgrewrite_status:",
		"aof_last_write_status:ok",
		"aof_current_size:",
		"aof_base_size:",
		"aof_pending_bio_fsync:",
		"aof_delayed_fsync:",
		"total_connections_received:5",
		"total_commands_processed:",
		"instantaneous_ops_per_sec:",
		"total_net_input_bytes:",
		"total_net_output_bytes:",
		"rejected_connections:",
		"expired_keys:",
		"evicted_keys:0",
		"keyspace_hits:1\r\n",
		"keyspace_misses:2\r\n",
		"pubsub_channels:",
		"pubsub_patterns:",
		"role:master",
		"connected_slaves:0",
		"master_repl_offset:",
		"used_cpu_sys:",
		"used_cpu_user:",
		"used_cpu_sys_children:",
		"used_cpu_user_children:",
		"cmdstat_get:calls=3,usec=",
		"cmdstat_client|id:calls=1",
		"rejected_calls=1,failed_calls=0",
		"errorstat_ERR:count=",
		"db0:keys=2,expires=1,avg_ttl=0",
		"kvd_keys:2",
		"# Latencystats",
	};

	fixture_open();
	run_line(0, "MSET a 1 b 2");
	run_line(0, "EXPIRE b 10");
	run_line(0, "GET a");
	run_line(0, "GET no");
	run_line(0, "GET nope");
	run_line(0, "GET");
	run_line(0, "CLIENT ID");
	run_line(0, "INFO everything");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		reply_has(fields[i], "INFO has a field that tools read");
	run_line(0, "INFO");
	ok(!memmem(fx.out.ptr, fx.out.len, "rejected_calls", 14),
		"rejected_calls is not in the default sections");
	run_line(0, "INFO default");
	ok(fx.out.len > 500 && !memmem(fx.out.ptr, fx.out.len, "rejected_calls", 14), "nor behind that name");
	run_line(0, "INFO clients CPU");
	reply_has("# Clients", "INFO takes several names");
	reply_has("\r\n\r\n# CPU", "of either case");
	ok(!memmem(fx.out.ptr, fx.out.len, "# Server", 8), "and shows no other section");
	run_line(0, "HELLO 3");
	run_line(0, "INFO server");
	ok(fx.out.ptr[0] == '=' && memmem(fx.out.ptr, fx.out.len, "txt:# Server", 12),
		"INFO is verbatim text in RESP3");
	line_is(0, "INFO nope", "=4\ntxt:\n");
	run_line(0, "KVD.STATS");
	ok(fx.out.ptr[0] == '%', "KVD.STATS is a map in RESP3");
	reply_has("$4\r\nkeys\r\n:2\r\n", "that names kvd's own numbers");
	run_line(0, "CONFIG RESETSTAT");
	run_line(0, "INFO stats errorstats");
	reply_has("keyspace_misses:0\r\n", "CONFIG RESETSTAT sets the counters back");
	ok(!memmem(fx.out.ptr, fx.out.len, "errorstat_", 10), "those of errors too");
	cmd_tick(fx.env, 1000);
	for (int i = 0; i < 40; i++)
		run_line(0, "PING");
	cmd_tick(fx.env, 3000);
	run_line(0, "INFO stats");
	reply_has("instantaneous_ops_per_sec:20\r\n", "the rate is counted from tick to tick");
	fixture_close();
}

/* cmdstat_NAME:calls=...,rejected_calls=...,failed_calls=... */
static void stat_is(const char *name, unsigned calls, unsigned rejected, unsigned failed)
{
	unsigned got[3] = { 0 };
	char head[64];

	run_line(1, "INFO commandstats");
	buf_append_char(&fx.out, '\0');
	snprintf(head, sizeof(head), "\ncmdstat_%s:", name);
	const char *line = strstr(fx.out.ptr, head);
	int n = line ? sscanf(line + strlen(head), "calls=%u,usec=%*f,usec_per_call=%*f,rejected_calls=%u,failed_calls=%u",
			       &got[0], &got[1], &got[2])
		     : 0;
	if (!ok(n == 3 && got[0] == calls && got[1] == rejected && got[2] == failed,
		    "%s: %u calls, %u rejected, %u failed", name, calls, rejected, failed))
		diag("got %u, %u, %u", got[0], got[1], got[2]);
}

/* A request is called or rejected, never both; a called one may fail, at the latest at its commit. */
static void test_call_counters(void)
{
	fixture_open();
	run_line(0, "SET a x");
	run_line(0, "SET");
	stat_is("set", 1, 1, 0);
	run_line(0, "SET a 1 NX XX");
	run_line(0, "INCR a");
	stat_is("set", 2, 1, 1);
	stat_is("incr", 1, 0, 1);
	model_refuse(fx.store, "no space left", true);
	run_line(0, "SET a 2");
	stat_is("set", 3, 1, 2);
	model_refuse(fx.store, NULL, false);
	run_line(0, "MULTI");
	run_line(0, "INCR a");
	run_line(0, "SET b 1");
	stat_is("incr", 1, 0, 1);
	run_line(0, "EXEC");
	stat_is("incr", 2, 0, 2);
	stat_is("set", 4, 1, 2);
	stat_is("exec", 1, 0, 0);
	run_line(0, "MULTI");
	run_line(0, "INCR");
	run_line(0, "EXEC");
	stat_is("incr", 2, 1, 2);
	stat_is("exec", 2, 0, 1);
	run_line(0, "MULTI");
	run_line(0, "EXEC now");
	stat_is("exec", 2, 1, 1);
	fx.password = "secret";
	run_line(0, "RESET");
	run_line(0, "GET a");
	fx.password = NULL;
	stat_is("get", 0, 1, 0);
	fixture_close();
}

/* ---- the table ---- */

static void test_table(void)
{
	size_t bad = 0;

	for (size_t i = 0; i < cmd_count(); i++) {
		const struct cmd_info *k = cmd_info(i);
		bool sane = k->name && k->arity && *k->summary && *k->group && *k->since &&
			    (k->first == 0) == (k->step == 0);
		for (size_t j = 0; j < i; j++)
			sane &= strcmp(k->name, cmd_info(j)->name) != 0;
		for (const char *p = k->name; *p; p++)
			sane &= *p < 'A' || *p > 'Z';
		if (!sane)
			diag("%s is not sane", k->name);
		bad += !sane;
	}
	is_int((int64_t)bad, 0, "every row of the table is complete and its own");
	ok(!cmd_info(cmd_count()), "the table has an end");
	fixture_open();
	for (size_t i = 0; i < cmd_count(); i++)
		bad += table_find(fx.env, slice_str(cmd_info(i)->name)) != &fx.env->commands[i];
	is_int((int64_t)bad, 0, "every command is found by its name");
	line_is(0, "COMMAND DOCS getex",
		"*2\n$5\ngetex\n*8\n$7\nsummary\n$50\nReturns the value of a key and changes its "
		"expiry.\n$5\nsince\n$5\n6.2.0\n$5\ngroup\n$6\nstring\n"
		"$9\narguments\n*2\n"
		"*8\n$4\nname\n$3\nkey\n$4\ntype\n$3\nkey\n$12\ndisplay_text\n$3\nkey\n$14\nkey_spec_index\n:"
		"0\n"
		"*8\n$4\nname\n$6\noption\n$4\ntype\n$5\noneof\n$5\nflags\n*1\n+optional\n$9\narguments\n*5\n"
		"*8\n$4\nname\n$7\nseconds\n$4\ntype\n$7\ninteger\n$12\ndisplay_text\n$7\nseconds\n$"
		"5\ntoken\n$2\nEX\n"
		"*8\n$4\nname\n$12\nmilliseconds\n$4\ntype\n$7\ninteger\n$12\ndisplay_text\n$"
		"12\nmilliseconds\n$5\ntoken\n$2\nPX\n"
		"*8\n$4\nname\n$17\nunix-time-seconds\n$4\ntype\n$9\nunix-time\n$12\ndisplay_text\n$17\nunix-"
		"time-seconds\n$5\ntoken\n$4\nEXAT\n"
		"*8\n$4\nname\n$22\nunix-time-milliseconds\n$4\ntype\n$9\nunix-time\n$12\ndisplay_text\n$"
		"22\nunix-time-milliseconds\n$5\ntoken\n$4\nPXAT\n"
		"*6\n$4\nname\n$7\npersist\n$4\ntype\n$10\npure-token\n$5\ntoken\n$7\nPERSIST\n");
	run_line(0, "COMMAND INFO get");
	reply_has("*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@"
		  "string\r\n+@read\r\n+@fast\r\n*0\r\n",
		"COMMAND INFO");
	run_line(0, "COMMAND DOCS mset");
	reply_has("$4\r\ntype\r\n$5\r\nblock\r\n$5\r\nflags\r\n*1\r\n+multiple\r\n",
		"repeated pairs are a block");
	run_line(0, "COMMAND DOCS bitfield_ro");
	reply_has("$5\r\ntoken\r\n$3\r\nGET\r\n$5\r\nflags\r\n*3\r\n+optional\r\n+multiple\r\n+multiple_token\r\n",
		"so are words behind one token, which is repeated with them");
	run_line(0, "COMMAND DOCS setbit");
	reply_has("$5\r\nvalue\r\n$4\r\ntype\r\n$7\r\ninteger\r\n", "a word may have a type of its own in a command");
	run_line(0, "COMMAND DOCS rename");
	reply_has("$6\r\nnewkey\r\n$14\r\nkey_spec_index\r\n:1\r\n", "keys of two kinds are told apart");
	line_is(0, "COMMAND LIST FILTERBY PATTERN get[de]*", "*2\n$6\ngetdel\n$5\ngetex\n");
	line_is(0, "COMMAND LIST FILTERBY ACLCAT transaction",
		"*5\n$5\nmulti\n$4\nexec\n$7\ndiscard\n$5\nwatch\n$7\nunwatch\n");
	run_line(0, "COMMAND");
	ok(fx.out.ptr[0] == '*' && fx.out.len > 5000, "COMMAND tells the whole table");
	run_line(0, "COMMAND DOCS");
	ok(fx.out.ptr[0] == '*' && fx.out.len > 5000, "COMMAND DOCS tells all the help");
	run_line(0, "CONFIG HELP");
	reply_has("+GET parameter [parameter ...]\r\n+    Returns the options whose names match.\r\n",
		"HELP is made from the table");
	run_line(0, "KVD.HELP");
	reply_has("+KVD.RANGE start end [REV]", "KVD.HELP lists kvd's own commands");
	run_line(0, "TIME");
	reply_has("*2\r\n$10\r\n", "TIME is two numbers");
	fixture_close();
}

static void test_probe(void)
{
	struct slice mset[] = { SLICE("MSET"), SLICE("a"), SLICE("1"), SLICE("b"), SLICE("2") };
	struct slice wrong[] = { SLICE("NOPE"), SLICE("a") }, ping[] = { SLICE("PING") };
	struct store_probe probe[4];

	fixture_open();
	run_line(0, "SELECT 5");
	is_int((int64_t)cmd_probe(client(0), mset, 5, probe, 4), 2, "MSET names its keys");
	ok(probe[1].db == 5 && slice_eq(probe[1].key, SLICE("b")), "with their database");
	is_int((int64_t)cmd_probe(client(0), mset, 5, probe, 1), 1, "never more than asked for");
	is_int((int64_t)cmd_probe(client(0), mset, 1, probe, 4), 0, "too short a request names none");
	is_int((int64_t)cmd_probe(client(0), wrong, 2, probe, 4), 0, "an unknown one neither");
	is_int((int64_t)cmd_probe(client(0), ping, 1, probe, 4), 0, "nor one without keys");
	fixture_close();
}

int main(void)
{
	uint64_t seed = tap_seed();

	test_watch();
	for (uint64_t i = 0; i < 3; i++)
		test_scan_under_change(seed + i);
	test_cursors();
	test_scan_bound();
	test_glob();
	test_pending();
	test_conditions();
	test_lcs_limit();
	test_dump();
	test_unpack();
	test_queue_limit();
	test_positions();
	test_rotate();
	test_snapshots();
	test_checkpoint();
	test_reload();
	test_compact();
	test_clocks();
	test_passwords();
	test_replies();
	test_clients();
	test_pause();
	test_hold();
	test_monitor();
	test_slowlog();
	test_histogram();
	test_info();
	test_call_counters();
	test_table();
	test_probe();
	return done();
}
