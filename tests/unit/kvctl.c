/* SPDX-License-Identifier: MIT
 * The client's parts that need no daemon: words, arguments, suggestions, text, replies, records, bounds.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "kvctl/csv.h"
#include "kvctl/format.h"
#include "kvctl/list.h"
#include "kvctl/numbers.h"
#include "kvctl/output.h"
#include "kvctl/progress.h"
#include "kvctl/record.h"
#include "kvctl/top.h"
#include "kvctl/verb.h"
#include "tap.h"

static struct slice buf_or_empty(const struct buf *b)
{
	return slice(b->len ? b->ptr : "", b->len);
}

/* ---- words ---- */

static void check_words(const char *line, size_t len, int n, const struct slice *expected, const char *name)
{
	char *copy = malloc(len + 1);
	struct slice *words = NULL;

	if (!copy)
		bail("no memory");
	memcpy(copy, line, len);
	int got = words_split(copy, len, &words);
	bool good = got == n;
	for (int i = 0; good && i < n; i++)
		good = slice_eq(words[i], expected[i]);
	ok(good, "words: %s", name);
	free(words);
	free(copy);
}

#define WORDS(line, name, ...)                                                                               \
	check_words(line, sizeof(line) - 1,                                                                  \
		(int)(sizeof((struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice)),                       \
		(struct slice[]){ __VA_ARGS__ }, name)
#define BAD_WORDS(line, name) check_words(line, sizeof(line) - 1, -EINVAL, NULL, name)

static void test_words(void)
{
	check_words("", 0, 0, NULL, "an empty line has none");
	check_words(" \t\r\n", 4, 0, NULL, "blanks are none");
	WORDS("set  key\tvalue\r\n", "blanks separate", SLICE("set"), SLICE("key"), SLICE("value"));
	WORDS("a \"b c\" d", "double quotes hold blanks", SLICE("a"), SLICE("b c"), SLICE("d"));
	WORDS("\"\\x00\\xFf\\n\\r\\t\\b\\a\\\\\\\"\\q\"", "escapes", SLICE("\0\xff\n\r\t\b\a\\\"q"));
	WORDS("\"\\x0g\"", "x without two digits is a letter", SLICE("x0g"));
	WORDS("'a\\n\\'\"'", "single quotes know one escape", SLICE("a\\n'\""));
	WORDS("\"\" ''", "empty words", SLICE(""), SLICE(""));
	WORDS("a\"b c\"", "a quote may begin inside a word", SLICE("ab c"));
	WORDS("a\0b", "a NUL byte is a byte", SLICE("a\0b"));
	WORDS("\xc3\xa4 \xff", "bytes above 127", SLICE("\xc3\xa4"), SLICE("\xff"));
	BAD_WORDS("\"a", "an open quote is refused");
	BAD_WORDS("a '", "an open single quote is refused");
	BAD_WORDS("\"a\"b", "a letter behind a closing quote is refused");
	BAD_WORDS("'a\\'", "an escaped quote does not close");
	BAD_WORDS("\"a\\", "a backslash at the end is refused");
}

/* Any bytes, quoted with every byte as \xHH or raw where that is allowed, come back. */
static void test_words_random(void)
{
	bool good = true;

	for (int round = 0; good && round < 2000; round++) {
		struct buf line = { 0 }, word = { 0 };
		struct slice *words = NULL;
		buf_append_char(&line, '"');
		for (uint64_t n = tap_random(40); n; n--) {
			char c = (char)tap_random(256);
			buf_append_char(&word, c);
			if (c == '"' || c == '\\' || tap_random(2))
				buf_printf(&line, "\\x%02x", (unsigned char)c);
			else
				buf_append_char(&line, c);
		}
		buf_append_char(&line, '"');
		int n = words_split(line.ptr, line.len, &words);
		good = n == 1 && slice_eq(words[0], buf_or_empty(&word));
		free(words);
		buf_free(&line);
		buf_free(&word);
	}
	ok(good, "2000 random words come back from their quoted form");
	for (int round = 0; round < 2000; round++) {
		char line[64];
		struct slice *words = NULL;
		size_t len = tap_random(sizeof(line));
		for (size_t i = 0; i < len; i++)
			line[i] = "a \\\"'x0\n"[tap_random(8)];
		int n = words_split(line, len, &words);
		for (int i = 0; i < n; i++)
			good &= words[i].ptr >= line && words[i].ptr + words[i].len <= line + len;
		free(words);
	}
	ok(good, "words of 2000 random lines stay inside their line");
}

/* ---- arguments ---- */

static int parse(const char *line, struct args *ret, struct buf *error)
{
	static char copy[256];
	static struct slice *words;

	snprintf(copy, sizeof(copy), "%s", line);
	free(words);
	words = NULL;
	int n = words_split(copy, strlen(copy), &words);
	return args_parse(words, (size_t)(n < 0 ? 0 : n), ret, error);
}

static bool refused(const char *line, int r, const char *needle)
{
	struct args a;
	struct buf error = { 0 };
	int got = parse(line, &a, &error);
	buf_append_char(&error, 0);
	bool good = got == r && (!needle || strstr(error.ptr, needle));

	if (!good)
		diag("\"%s\" gave %d, %s", line, got, error.ptr);
	args_free(&a);
	buf_free(&error);
	return good;
}

static void test_args(void)
{
	struct args a;
	struct buf error = { 0 };
	struct slice v = { 0 };

	is_int(parse("-s /x -qn 3 set k v --ttl=5 --if-absent", &a, &error), 0,
		"options before and after the verb");
	ok(a.verb && !strcmp(a.verb->name, "set") && a.n == 2, "verb and two arguments");
	ok(args_option(&a, "socket", &v) && slice_eq(v, SLICE("/x")), "a letter with an argument");
	ok(args_option(&a, "database", &v) && slice_eq(v, SLICE("3")) && args_option(&a, "quiet", NULL),
		"letters together");
	ok(args_option(&a, "ttl", &v) && slice_eq(v, SLICE("5")), "a long option with =");
	ok(args_option(&a, "if-absent", NULL) && !args_option(&a, "if-present", NULL),
		"options that are there, and not");
	args_free(&a);
	is_int(parse("rm -- -x --y", &a, &error), 0, "after -- nothing is an option");
	ok(!strcmp(a.verb->name, "delete") && a.n == 2 && slice_eq(a.arg[1], SLICE("--y")),
		"an alias gives its verb");
	args_free(&a);
	is_int(parse("incr k -5", &a, &error), 0, "a negative number is an argument");
	ok(slice_eq(args_at(&a, 1), SLICE("-5")) && args_at(&a, 2).len == 0, "arguments by number");
	args_free(&a);
	is_int(parse("raw --json SET k --ttl -- x", &a, &error), 0,
		"raw takes options before the command only");
	ok(a.n == 5 && a.nset == 1 && slice_eq(a.arg[3], SLICE("--")), "the rest of raw stays as it is");
	args_free(&a);
	is_int(parse("set k -", &a, &error), 0, "a dash is an argument");
	args_free(&a);
	is_int(parse("", &a, &error), 0, "no words");
	ok(!a.verb, "no verb");
	args_free(&a);
	buf_free(&error);
	ok(refused("get", ARGS_BAD, "usage: kvctl get [OPTION...] KEY"), "too few arguments show the usage");
	ok(refused("get a b", ARGS_BAD, "too many"), "too many arguments");
	ok(refused("get a --ttl 5", ARGS_BAD, "unknown option \"--ttl\""),
		"an option of another verb is refused");
	ok(refused("get a -x", ARGS_BAD, "--"), "an unknown letter is refused");
	ok(refused("set k v --ttl", ARGS_BAD, "DURATION is missing"), "a missing value of an option");
	ok(refused("get k --raw=1", ARGS_BAD, "no value"), "a value where none belongs");
	ok(refused("nothing k", ARGS_UNKNOWN, NULL), "an unknown verb");
	ok(refused("-q -q -q -q -q -q -q -q -q -q -q -q -q -q -q -q -q ping", ARGS_BAD, "too many options"),
		"options have a limit");
	ok(refused("get --help", 0, NULL), "help needs no arguments");
}

static void test_table(void)
{
	const char *name, *other;
	const struct verb *v;
	const struct verb_option *o;
	bool unique = true, complete = true, known = true;

	for (size_t i = 0; (name = verb_name(i, &v)); i++) {
		complete &= v && verb_find(slice_str(name)) == v;
		for (size_t j = 0; j < i && (other = verb_name(j, NULL)); j++)
			unique &= strcmp(name, other) != 0;
	}
	ok(unique, "each verb is there once");
	ok(complete, "each alias stands for a verb");
	unique = true;
	for (size_t i = 0; (o = verb_option_row(i)); i++) {
		const struct verb_option *p;
		known &= !*o->verb || ((v = verb_find(slice_str(o->verb))) && !strcmp(v->name, o->verb));
		for (size_t j = 0; j < i && (p = verb_option_row(j)); j++)
			if (!*p->verb || !strcmp(p->verb, o->verb))
				unique &= strcmp(p->name, o->name) && (!p->letter || p->letter != o->letter);
	}
	ok(known, "each option belongs to a verb");
	ok(unique, "no option hides another");
}

static void test_suggest(void)
{
	is_int(suggest_distance(SLICE("list"), SLICE("list")), 0, "equal words have no distance");
	is_int(suggest_distance(SLICE("lsit"), SLICE("list")), 1, "neighbours swapped are one edit");
	is_int(suggest_distance(SLICE(""), SLICE("get")), 3, "all letters inserted");
	is_int(suggest_distance(SLICE("kitten"), SLICE("sitting")), 3, "three edits");
	is_str(suggest_verb(SLICE("lst")), "list", "lst is list");
	is_str(suggest_verb(SLICE("exprot")), "export", "exprot is export");
	is_str(suggest_verb(SLICE("GET")), "get", "large letters are meant small");
	ok(!suggest_verb(SLICE("xyzzy")), "nothing near");
	is_str(suggest_verb(SLICE("pers")), "persist", "a beginning is completed");
	ok(!suggest_verb(SLICE("")) && !suggest_verb(SLICE("frobnicate")), "no far-fetched suggestion");
	char longest[300];
	memset(longest, 'x', sizeof(longest));
	ok(!suggest_verb(slice(longest, sizeof(longest))), "a very long word is nobody's slip");
}

/* ---- text ---- */

static void check_escape(struct slice s, const char *expected, const char *name)
{
	struct buf out = { 0 };

	escape(&out, s, "\\");
	is_mem(out.ptr, out.len, expected, strlen(expected), name);
	buf_free(&out);
}

static void test_text(void)
{
	check_escape(SLICE("plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
		"plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "UTF-8 stays");
	check_escape(SLICE("\0\x1b[2J\n\t\r\x7f"), "\\x00\\x1b[2J\\n\\t\\r\\x7f", "controls are escaped");
	check_escape(SLICE("\xff\xc3"), "\\xff\\xc3", "bytes that are not UTF-8 are escaped");
	check_escape(SLICE("\xc2\x9b"), "\\xc2\\x9b", "controls of the second set are escaped");
	check_escape(SLICE("a\\n"), "a\\\\n", "a backslash is doubled");
	ok(utf8_valid(SLICE("")) && utf8_valid(SLICE("a\0b")), "empty text and NUL are UTF-8");
	ok(!utf8_valid(SLICE("\xc0\x80")) && !utf8_valid(SLICE("\xe0\x80\x80")) &&
			!utf8_valid(SLICE("\xf0\x80\x80\x80")),
		"overlong forms are not");
	ok(!utf8_valid(SLICE("\xed\xa0\x80")) && !utf8_valid(SLICE("\xf4\x90\x80\x80")),
		"surrogates and beyond are not");
	ok(!utf8_valid(SLICE("\xe2\x82")) && !utf8_valid(SLICE("\x80")), "torn characters are not");
}

static void test_base64(void)
{
	static const char *const bad[] = { "A", "AA", "AAA", "A===", "====", "AA=A",
		"AB==", "AAB=", "AA==AAAA", "AA\n=", "!AAA", "AAA\x80" };
	struct buf out = { 0 };
	bool good = true;

	base64_encode(&out, SLICE("foob"));
	is_mem(out.ptr, out.len, "Zm9vYg==", 8, "base64 as its standard shows it");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&out, 0);
		good &= base64_decode(&out, slice_str(bad[i])) == -EINVAL;
		if (!good)
			diag("taken: %s", bad[i]);
	}
	ok(good, "malformed base64 is refused");
	for (int round = 0; good && round < 1000; round++) {
		char bytes[64];
		struct buf text = { 0 };
		size_t len = tap_random(sizeof(bytes));
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)tap_random(256);
		base64_encode(&text, slice(bytes, len));
		buf_reset(&out, 0);
		good = base64_decode(&out, buf_or_empty(&text)) == 0 &&
		       slice_eq(buf_or_empty(&out), slice(bytes, len));
		buf_free(&text);
	}
	ok(good, "1000 random byte strings come back");
	buf_free(&out);
}

/* ---- replies ---- */

static redisReply *read_reply(const char *text, size_t len)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	redisReaderFeed(reader, text, len);
	if (redisReaderGetReply(reader, &reply) != REDIS_OK || !reply)
		bail("the test's own reply is malformed");
	redisReaderFree(reader);
	return reply;
}

static void check_reply(struct slice wire, const char *people, const char *json, const char *name)
{
	redisReply *r = read_reply(wire.ptr, wire.len);
	struct buf out = { 0 };
	json_t *value = reply_json(r);
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	reply_format(&out, r);
	is_mem(out.ptr, out.len, people, strlen(people), name);
	is_str(text ? text : "none", json, name);
	free(text);
	json_decref(value);
	buf_free(&out);
	freeReplyObject(r);
}

static void test_replies(void)
{
	check_reply(SLICE(":-7\r\n"), "(integer) -7\n", "-7", "an integer");
	check_reply(SLICE("$-1\r\n"), "(nil)\n", "null", "nil");
	check_reply(SLICE("+OK\r\n"), "OK\n", "\"OK\"", "a status");
	check_reply(SLICE("-ERR no\r\n"), "(error) ERR no\n", "{\"error\":\"ERR no\"}", "an error");
	check_reply(SLICE("$4\r\na\"\0\n\r\n"), "\"a\\\"\\x00\\n\"\n", "\"a\\\"\\u0000\\n\"", "a string");
	check_reply(SLICE("$1\r\n\xff\r\n"), "\"\\xff\"\n", "{\"base64\":\"/w==\"}",
		"a string that is not UTF-8");
	check_reply(SLICE("*0\r\n"), "(empty array)\n", "[]", "an empty array");
	check_reply(SLICE("*2\r\n*2\r\n:1\r\n:2\r\n$1\r\na\r\n"),
		"1) 1) (integer) 1\n   2) (integer) 2\n2) \"a\"\n", "[[1,2],\"a\"]", "nested arrays");
}

/* ---- records ---- */

static void check_record(struct slice key, struct slice value, int64_t ttl, const char *name)
{
	struct buf line = { 0 };
	struct record rec = { 0 };
	struct buf error = { 0 };

	record_append(&line, key, value, ttl);
	ok(record_parse(buf_slice(&line), &rec, &error) == 0 && line.ptr[line.len - 1] == '\n' &&
			slice_eq(buf_or_empty(&rec.key), key) && slice_eq(buf_or_empty(&rec.value), value) &&
			rec.ttl_ms == ttl,
		"record: %s", name);
	buf_free(&line);
	record_free(&rec);
	buf_free(&error);
}

static bool bad_record(const char *line, const char *needle)
{
	struct record rec = { 0 };
	struct buf error = { 0 };
	int r = record_parse(slice_str(line), &rec, &error);

	buf_append_char(&error, 0);
	bool good = r == -EINVAL && strstr(error.ptr, needle);
	if (!good)
		diag("%s gave %d, %s", line, r, error.ptr);
	record_free(&rec);
	buf_free(&error);
	return good;
}

static void test_records(void)
{
	check_record(SLICE("k"), SLICE("v"), -1, "plain");
	check_record(SLICE("k"), SLICE("v"), 1500, "with a time to live");
	check_record(SLICE(""), SLICE(""), -1, "empty");
	check_record(SLICE("a\0b\n"), SLICE("\0"), -1, "NUL and newline");
	check_record(SLICE("\xff"), SLICE("\x80\0\xfe"), 1, "not UTF-8");
	check_record(SLICE("\xc3\xa4"), SLICE("\xed\xa0\x80"), -1, "a surrogate is kept as bytes");
	ok(bad_record("", "not JSON") && bad_record("{", "not JSON") && bad_record("{} x", "not JSON"),
		"no JSON");
	ok(bad_record("[1]", "not a JSON object"), "an array");
	ok(bad_record("{\"value\":\"v\"}", "\"key\" is missing"), "no key");
	ok(bad_record("{\"key\":\"k\"}", "\"value\" is missing"), "no value");
	ok(bad_record("{\"key\":1,\"value\":\"v\"}", "\"key\" is not a string"), "a number as key");
	ok(bad_record("{\"key\":\"k\",\"key_base64\":\"\",\"value\":\"v\"}", "twice"), "both forms of a key");
	ok(bad_record("{\"key\":\"k\",\"key\":\"l\",\"value\":\"v\"}", "not JSON"), "a member given twice");
	ok(bad_record("{\"key\":\"k\",\"value_base64\":\"?\"}", "not base64"), "bad base64");
	ok(bad_record("{\"key\":\"k\",\"value\":\"v\",\"ttl_ms\":0}", "positive"), "a time to live of 0");
	ok(bad_record("{\"key\":\"k\",\"value\":\"v\",\"ttl_ms\":1.5}", "positive"), "half a millisecond");
	ok(bad_record("{\"key\":\"k\",\"value\":\"v\",\"ttl_ms\":0}\n", "positive") &&
			bad_record("{\"key\":\"k\",\"value\":\"\xff\"}\n", "not JSON") &&
			bad_record("{\"key\":\"k\",\"value\":\"v\"}x\n", "not JSON"),
		"the quick way for plain lines is as strict");
	ok(bad_record("{\"key\":\"k\",\"value\":\"v\",\"tll\":5}", "unknown member"), "a misspelt member");
}

/* ---- CSV ---- */

/* fields: as text, with | between them; NULL: refused */
static void check_csv(const char *text, const char *fields, const char *name)
{
	char copy[128];
	struct slice field[4];
	struct buf joined = { 0 }, why = { 0 };
	int n;

	snprintf(copy, sizeof(copy), "%s", text);
	n = csv_split(copy, strlen(copy), field, 4, &why);
	for (int i = 0; i < n && i < 4; i++) {
		buf_append_str(&joined, i ? "|" : "");
		buf_append_slice(&joined, field[i]);
	}
	if (fields)
		is_mem(joined.len ? joined.ptr : "", joined.len, fields, strlen(fields), name);
	else
		ok(n == -EINVAL && why.len, "%s", name);
	buf_free(&joined);
	buf_free(&why);
}

static bool goes_on(const char *first, const char *second)
{
	struct csv_state state = { 0 };
	bool more = csv_goes_on(&state, slice_str(first));

	return second ? more && csv_goes_on(&state, slice_str(second)) : more;
}

static void test_csv(void)
{
	check_csv("a,b\n", "a|b", "csv: two fields");
	check_csv("a,,\r\n", "a||", "csv: empty fields, and CR LF");
	check_csv("", "", "csv: one empty field");
	check_csv("\"a,\r\n\",\"\"\"\"", "a,\r\n|\"",
		"csv: quotes hold what ends fields, and themselves twice");
	check_csv("\"\",x", "|x", "csv: an empty field in quotes");
	check_csv(" a , b ", " a | b ", "csv: blanks belong to the field");
	check_csv("a\"b,c", NULL, "csv: a quote in the middle is refused");
	check_csv("\"a\"b,c", NULL, "csv: so is text behind a closing quote");
	check_csv("\"a,b", NULL, "csv: and an open quote");
	ok(!goes_on("a,b\n", NULL) && !goes_on("\"a\"\"\",\"\"\n", NULL), "csv: lines that are whole");
	ok(goes_on("a,\"b\n", NULL) && goes_on("\"a\n", "\"\"b\n") && !goes_on("\"a\n", "\"\n"),
		"csv: lines that go on");
	ok(!goes_on("a\"b\n", NULL), "csv: a quote that begins no field does not swallow the next line");
}

/* What csv_append wrote is one record, and comes back. */
static void test_csv_random(void)
{
	bool good = true;

	for (int round = 0; good && round < 2000; round++) {
		struct buf line = { 0 }, first = { 0 }, second = { 0 }, why = { 0 };
		struct csv_state scan = { 0 };
		struct slice field[3];
		for (uint64_t n = tap_random(12); n; n--)
			buf_append_char(&first, "a,\"\n\r \xff\0"[tap_random(8)]);
		for (uint64_t n = tap_random(12); n; n--)
			buf_append_char(&second, "b,\"\n\r \xff\0"[tap_random(8)]);
		csv_append(&line, buf_or_empty(&first));
		buf_append_char(&line, ',');
		csv_append(&line, buf_or_empty(&second));
		buf_append_char(&line, '\n');
		/* Cut into lines as a reader does, only the last of which may end the record. */
		struct slice rest = buf_slice(&line);
		while (good && rest.len) {
			size_t len = (size_t)((const char *)memchr(rest.ptr, '\n', rest.len) - rest.ptr) + 1;
			good = csv_goes_on(&scan, slice(rest.ptr, len)) == (len < rest.len);
			rest = slice_skip(rest, len);
		}
		good = good && csv_split(line.ptr, line.len, field, 3, &why) == 2 &&
		       slice_eq(field[0], buf_or_empty(&first)) && slice_eq(field[1], buf_or_empty(&second));
		buf_free(&line);
		buf_free(&first);
		buf_free(&second);
		buf_free(&why);
	}
	ok(good, "2000 random pairs of fields come back from CSV");
}

static void check_format(
	enum format f, struct slice value, int64_t ttl, const char *expected, const char *name)
{
	struct buf out = { 0 };

	format_append(&out, f, SLICE("k"), value, ttl);
	is_mem(out.ptr, out.len, expected, strlen(expected), name);
	buf_free(&out);
}

static void test_formats(void)
{
	check_format(FORMAT_NDJSON, SLICE("a\"\\\n\x01\x7f\xc3\xa4"), -1,
		"{\"key\":\"k\",\"value\":\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa4\"}\n", "ndjson escapes");
	check_format(FORMAT_NDJSON, SLICE("\xff"), 5,
		"{\"key\":\"k\",\"value_base64\":\"/w==\",\"ttl_ms\":5}\n", "ndjson of odd bytes");
	check_format(FORMAT_CSV, SLICE("a,b"), 5, "k,\"a,b\",5\n", "csv");
	check_format(FORMAT_RESP, SLICE(""), -1, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", "resp");
	check_format(FORMAT_RESP, SLICE("v"), 77,
		"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nPX\r\n$2\r\n77\r\n", "resp that expires");
}

/* ---- progress, INFO ---- */

static void check_progress(
	struct progress_view view, uint64_t seconds, size_t width, const char *expected, const char *name)
{
	struct progress p = { .what = "importing", .unit = "keys" };
	struct buf out = { 0 };

	progress_format(&out, &p, &view, seconds * 1000000000, width);
	is_mem(out.ptr, out.len, expected, strlen(expected), name);
	buf_free(&out);
}

static void test_progress(void)
{
	check_progress((struct progress_view){ .items = 500, .done = 50, .total = 200 }, 5, 100,
		"importing  25% [#####---------------] 500 keys, 100/s, 15 s left",
		"a bar, a rate, the time left");
	check_progress((struct progress_view){ .items = 500 }, 5, 100, "importing 500 keys, 100/s",
		"no bar when nobody knows how much there is");
	check_progress((struct progress_view){ .items = 1, .done = 300, .total = 200 }, 1, 100,
		"importing 100% [####################] 1 keys, 1/s", "more than all is all");
	check_progress((struct progress_view){ .items = 1, .done = 1, .total = 100000 }, 1, 100,
		"importing   0% [--------------------] 1 keys, 1/s, 27 h left", "hours");
	check_progress((struct progress_view){ .items = 500 }, 5, 12, "importing 50", "a narrow terminal");
}

static void test_info(void)
{
	struct slice text = SLICE("# A\r\none:1\r\nonetwo:x:y\r\n\r\nlast:"), found = { 0 };

	ok(info_find(text, "one", &found) && slice_eq(found, SLICE("1")), "a line of INFO");
	ok(info_find(text, "onetwo", &found) && slice_eq(found, SLICE("x:y")), "whose value holds a colon");
	ok(info_find(text, "last", &found) && found.len == 0, "the last one, with nothing");
	ok(!info_find(text, "two", &found) && !info_find(text, "on", &found), "a part of a name is no name");
}

/* ---- top, watch, reload ---- */

static struct top_sample make_sample(const char *wire, const char *info, uint64_t at_ns)
{
	struct buf text = { 0 };

	buf_printf(&text, "$%zu\r\n%s\r\n", strlen(info), info);
	struct top_sample s = { { read_reply(wire, strlen(wire)) }, read_reply(text.ptr, text.len), at_ns };
	buf_free(&text);
	return s;
}

/* What is drawn fits: lines, and columns without what only colours. */
static void check_screen(const struct top_view *v, size_t width, size_t height)
{
	struct kvctl k = { .colour = true, .socket = "/a/rather/long/path/of/a/socket/kvd.sock" };
	struct buf text = { 0 };
	struct slice rest, line;
	size_t lines = 0, widest = 0;

	top_format(&k, v, width, height, &text);
	for (rest = buf_slice(&text); info_next_line(&rest, &line); lines++) {
		size_t columns = 0;
		for (size_t i = 0; i < line.len; i++) {
			while (i < line.len && line.ptr[i] == '\033')
				i += (size_t)((const char *)memchr(line.ptr + i, 'm', line.len - i) - (line.ptr + i)) + 1;
			columns += i < line.len;
		}
		widest = columns > widest ? columns : widest;
	}
	ok(lines <= height && widest <= width && (lines > 0) == (height > 0), "top: %zu lines of %zu columns on a screen of %zu and %zu", lines,
		widest, height, width);
	buf_free(&text);
}

/* The line below the first one. */
static void check_trouble(bool refusing, const char *problem, int64_t damaged, const char *expected)
{
	struct top_view v = { .refusing = refusing, .damaged = damaged };
	struct kvctl k = { .socket = "/s" };
	struct buf text = { 0 };

	snprintf(v.problem, sizeof(v.problem), "%s", problem);
	top_format(&k, &v, 200, 24, &text);
	struct slice rest = buf_slice(&text), line = { 0 };
	info_next_line(&rest, &line);
	info_next_line(&rest, &line);
	is_mem(line.ptr, line.len, expected, strlen(expected), "top says what is wrong");
	buf_free(&text);
}

static void test_top_trouble(void)
{
	check_trouble(true, "no space left", 0, "refuses writes: no space left");
	check_trouble(true, "no space left", 1, "refuses writes: no space left; 1 damaged record");
	check_trouble(true, "", 0, "refuses writes");
	check_trouble(false, "at least 3 damaged records; damaged/INDEX lists them", 3, "at least 3 damaged records; damaged/INDEX lists them");
	check_trouble(false, "", 2, "2 damaged records");
}

static void test_top(void)
{
	struct top_sample before =
		make_sample("*4\r\n$8\r\ncommands\r\n:100\r\n$13\r\nkeyspace_hits\r\n:5\r\n",
			"cmdstat_get:calls=10,usec=100\r\ncmdstat_old:calls=7,usec=9\r\n", 1000000000);
	struct top_sample now = make_sample("*6\r\n$8\r\ncommands\r\n:300\r\n$13\r\nkeyspace_hits\r\n:8\r\n$"
					    "15\r\nkeyspace_misses\r\n:1\r\n",
		"cmdstat_get:calls=30,usec=300\r\ncmdstat_old:calls=7,usec=9\r\ncmdstat_set:calls=100,usec="
		"50\r\n"
		"latency_percentiles_usec_get:p50=1.5,p99=20,p99.9=33.25\r\n",
		3000000000);
	struct top_view v;

	top_compare(&before, &now, &v);
	ok(v.commands_s > 99.9 && v.commands_s < 100.1, "top: commands a second");
	ok(v.hit_rate > 0.74 && v.hit_rate < 0.76, "top: hit rate");
	is_int((int)v.ncommands, 2, "top: commands that were called");
	is_str(v.command[0].name, "set", "top: the busiest first");
	ok(v.command[1].mean_us > 9.9 && v.command[1].mean_us < 10.1, "top: mean time");
	ok(v.command[1].p50 > 1.4 && v.command[1].p99 > 19 && v.command[1].p999 > 33, "top: percentiles");
	ok(v.command[0].p50 < 0, "top: no percentiles where there are none");
	for (size_t height = 0; height < 20; height++)
		check_screen(&v, 20, height);
	check_screen(&v, 1, 5);
	check_screen(&v, 80, 24);
	top_compare(&now, &before, &v);
	ok(v.commands_s == 0 && v.hit_rate < 0, "top: a daemon that began anew has no negative rates");
	top_sample_free(&before);
	top_sample_free(&now);
}

static void test_watch_pattern(void)
{
	struct buf out = { 0 };

	watch_pattern(&out, 3, SLICE("a*?[b]\\"));
	is_mem(out.ptr, out.len, "__keyspace@3__:a\\*\\?\\[b\\]\\\\*", 28, "watch: a prefix is no pattern");
	buf_free(&out);
}

static void check_unit(const char *cgroup, const char *unit, bool user, const char *name)
{
	struct slice found = { 0 };
	bool is_user = false, got = reload_find_unit(slice_str(cgroup), &found, &is_user);

	ok(unit ? got && slice_eq(found, slice_str(unit)) && is_user == user : !got, "reload: %s", name);
}

static void test_units(void)
{
	check_unit("0::/system.slice/kvd.service\n", "kvd.service", false, "a unit of the system");
	check_unit("0::/system.slice/system-kvd.slice/kvd@other.service\n", "kvd@other.service", false,
		"an instance");
	check_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/kvd.service\n", "kvd.service",
		true, "a user's own");
	check_unit("12:cpu:/x\n1:name=systemd:/system.slice/kvd.service\n0::/\n", "kvd.service", false,
		"the older hierarchy");
	check_unit("0::/system.slice/kvd.service/inner\n", "kvd.service", false,
		"a group below that of the unit");
	check_unit("0::/user.slice/user-0.slice/session-3.scope\n", NULL, false, "a session is no unit");
	check_unit("0::/\n", NULL, false, "nor is the root");
	check_unit("", NULL, false, "nor is nothing");
}

/* ---- ranges ---- */

static void check_prefix_end(struct slice prefix, struct slice expected, const char *name)
{
	struct buf b = { 0 };

	buf_append_slice(&b, prefix);
	range_prefix_end(&b);
	is_mem(b.ptr, b.len, expected.ptr, expected.len, name);
	buf_free(&b);
}

static void test_ranges(void)
{
	check_prefix_end(SLICE("ab"), SLICE("ac"), "the end of a prefix");
	check_prefix_end(SLICE("a\xff\xff"), SLICE("b"), "bytes that cannot grow fall away");
	check_prefix_end(SLICE("\xff"), SLICE(""), "the last prefix has no end");
	check_prefix_end(SLICE("a\x7f"), SLICE("a\x80"), "bytes are unsigned");
	check_prefix_end(SLICE(""), SLICE(""), "no prefix has no end");
}

int main(void)
{
	tap_random_begin(tap_seed());
	test_words();
	test_words_random();
	test_args();
	test_table();
	test_suggest();
	test_text();
	test_base64();
	test_replies();
	test_records();
	test_csv();
	test_csv_random();
	test_formats();
	test_progress();
	test_info();
	test_top();
	test_top_trouble();
	test_watch_pattern();
	test_units();
	test_ranges();
	return done();
}
