/* SPDX-License-Identifier: MIT
 * The reader: what it accepts, what it refuses and with which words.
 */
#include "proto/resp.h"
#include "tap.h"

static const struct resp_limits limits = { .inline_bytes = 65536, .bulk_bytes = 512 << 20, .args = 1 << 20 };
static const struct resp_limits tight = { .inline_bytes = 20, .bulk_bytes = 10, .args = 4 };

/* The arguments of the first request as text, each in <>; or MORE, or the error. */
static void describe(const struct resp_limits *l, struct slice input, struct buf *out)
{
	struct resp_reader r;
	struct resp_request q;

	resp_reader_init(&r, l);
	int result = resp_read(&r, input.ptr, input.len, &q);
	if (result == RESP_MORE)
		buf_append_str(out, "MORE");
	else if (result == RESP_BAD)
		buf_append_str(out, r.error);
	else if (result)
		buf_printf(out, "error %d", result);
	for (size_t i = 0; result == 0 && i < q.argc; i++) {
		buf_append_char(out, '<');
		buf_append_slice(out, q.argv[i]);
		buf_append_char(out, '>');
	}
	if (result == 0 && q.size != input.len)
		buf_printf(out, " and %zu bytes", input.len - q.size);
	if (result == RESP_BAD && resp_read(&r, input.ptr, input.len, &q) != RESP_BAD)
		buf_append_str(out, ", then forgotten");
	resp_reader_free(&r);
}

struct expectation {
	struct slice input;
	struct slice result;
};

/* clang-format off */
#define CASE(input, result) { SLICE(input), SLICE(result) }
#define BAD(input, text) { SLICE(input), SLICE("Protocol error: " text) }
/* clang-format on */

static void check_cases(const char *what, const struct resp_limits *l, const struct expectation *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf got = { 0 };
		describe(l, c[i].input, &got);
		if (!ok(slice_eq(buf_slice(&got), c[i].result), "%s, case %zu", what, i)) {
			diag_mem("input", c[i].input.ptr, c[i].input.len);
			diag_mem("got", got.ptr, got.len);
			diag_mem("expected", c[i].result.ptr, c[i].result.len);
		}
		buf_free(&got);
	}
}

#define CHECK_CASES(what, l, cases) check_cases(what, l, cases, sizeof(cases) / sizeof(cases[0]))

static void test_framed(void)
{
	static const struct expectation good[] = {
		CASE("*1\r\n$4\r\nPING\r\n", "<PING>"),
		CASE("*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "<GET><a>"),
		CASE("*2\r\n$0\r\n\r\n$0\r\n\r\n", "<><>"),
		CASE("*1\r\n$6\r\n\r\n\0*1\n\r\n", "<\r\n\0*1\n>"),
		CASE("*1\r\n$4\r\nPING\r\n*1\r\n", "<PING> and 4 bytes"),
		CASE("*0\r\n", ""),
		CASE("*-1\r\n", ""),
		CASE("*-7\r\nPING\n", " and 5 bytes"),
		CASE("*11\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n"
		     "$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n$2\r\n10\r\n",
			"<0><1><2><3><4><5><6><7><8><9><10>"),
	};
	static const struct expectation incomplete[] = {
		CASE("*", "MORE"),
		CASE("*1", "MORE"),
		CASE("*1\r", "MORE"),
		CASE("*1\r\n", "MORE"),
		CASE("*1\r\n$", "MORE"),
		CASE("*1\r\n$3\r\n", "MORE"),
		CASE("*1\r\n$3\r\nabc", "MORE"),
		CASE("*1\r\n$3\r\nabc\r", "MORE"),
		CASE("*1\r\n$0\r\n\r", "MORE"),
		CASE("*abc", "MORE"),
		CASE("*1\r\n$x", "MORE"),
		CASE("*1048576\r\n$536870912\r\nx", "MORE"),
	};
	CHECK_CASES("framed requests", &limits, good);
	CHECK_CASES("incomplete framed requests", &limits, incomplete);
}

static void test_malformed(void)
{
	static const struct expectation arrays[] = {
		BAD("*\r\n", "invalid multibulk length"),
		BAD("*x\r\n", "invalid multibulk length"),
		BAD("*+1\r\n", "invalid multibulk length"),
		BAD("* 1\r\n", "invalid multibulk length"),
		BAD("*1 \r\n", "invalid multibulk length"),
		BAD("*01\r\n", "invalid multibulk length"),
		BAD("*-\r\n", "invalid multibulk length"),
		BAD("*-0\r\n", "invalid multibulk length"),
		BAD("*1.0\r\n", "invalid multibulk length"),
		BAD("*1\0\r\n", "invalid multibulk length"),
		BAD("*1\n$4\r\nPING\r\n", "invalid multibulk length"),
		BAD("*1\rx", "invalid multibulk length"),
		BAD("*1\r\r\n", "invalid multibulk length"),
		BAD("**1\r\n", "invalid multibulk length"),
		BAD("*18446744073709551617\r\n", "invalid multibulk length"),
		BAD("*99999999999999999999999\r\n", "invalid multibulk length"),
		BAD("*1048577\r\n", "invalid multibulk length, the limit is 1048576 arguments"),
		BAD("*2147483648\r\n", "invalid multibulk length, the limit is 1048576 arguments"),
		BAD("*9223372036854775807\r\n", "invalid multibulk length, the limit is 1048576 arguments"),
	};
	static const struct expectation bulks[] = {
		BAD("*1\r\nPING\r\n", "expected '$', got 'P'"),
		BAD("*1\r\n:1\r\n", "expected '$', got ':'"),
		BAD("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
		BAD("*1\r\n\r\n", "expected '$', got '\\x0d'"),
		BAD("*1\r\n\0", "expected '$', got '\\x00'"),
		BAD("*2\r\n$1\r\na\r\n\xff", "expected '$', got '\\xff'"),
		BAD("*1\r\n$\r\n", "invalid bulk length"),
		BAD("*1\r\n$-1\r\n", "invalid bulk length"),
		BAD("*1\r\n$x\r\n", "invalid bulk length"),
		BAD("*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
		BAD("*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
		BAD("*1\r\n$4\nPING\r\n", "invalid bulk length"),
		BAD("*1\r\n$4\rPING\r\n", "invalid bulk length"),
		BAD("*1\r\n$4 \r\nPING\r\n", "invalid bulk length"),
		BAD("*1\r\n$-9223372036854775808\r\n", "invalid bulk length"),
		BAD("*1\r\n$18446744073709551615\r\n", "invalid bulk length"),
		BAD("*1\r\n$9223372036854775807\r\n", "invalid bulk length, the limit is 536870912 bytes"),
		BAD("*1\r\n$536870913\r\n", "invalid bulk length, the limit is 536870912 bytes"),
		BAD("*1\r\n$4\r\nPINGS\r\n", "invalid bulk length, no line end after the argument"),
		BAD("*1\r\n$4\r\nPIN\r\n*1", "invalid bulk length, no line end after the argument"),
		BAD("*1\r\n$4\r\nPING\n\n", "invalid bulk length, no line end after the argument"),
	};
	CHECK_CASES("malformed array headers", &limits, arrays);
	CHECK_CASES("malformed arguments", &limits, bulks);
}

static void test_inline(void)
{
	static const struct expectation good[] = {
		CASE("PING\r\n", "<PING>"),
		CASE("PING\n", "<PING>"),
		CASE("GET a\nGET b\n", "<GET><a> and 6 bytes"),
		CASE("\n", ""),
		CASE("\r\n", ""),
		CASE(" \t \r\n", ""),
		CASE("\r\r\n", ""),
		CASE("  SET\t a \v b\f \r\n", "<SET><a><b>"),
		CASE("PING *1\r\n", "<PING><*1>"),
		CASE(" *1\r\n", "<*1>"),
		CASE("ECHO a\0b\n", "<ECHO><a\0b>"),
		CASE("$4\r\n", "<$4>"),
		CASE("\x80\xff\n", "<\x80\xff>"),
		CASE("a\\n\n", "<a\\n>"),
		CASE("ECHO \"\" ''\n", "<ECHO><><>"),
		CASE("ECHO \"a b\" 'c d'\r\n", "<ECHO><a b><c d>"),
		CASE("\"\\n\\r\\t\\b\\a\\\\\\\"\"\n", "<\n\r\t\b\a\\\">"),
		CASE("\"\\x00\\xfF\\x4a\"\n", "<\0\xff\x4a>"),
		CASE("\"\\xg1\\x1\\x\\q\\0\"\n", "<xg1x1xq0>"),
		CASE("\"it's\" 'say \"no\"'\n", "<it's><say \"no\">"),
		CASE("'\\n\\\\\\'\\x41'\n", "<\\n\\\\'\\x41>"),
		CASE("fo\"o b\"\tar\n", "<foo b><ar>"),
		CASE("a'b'\n", "<ab>"),
		CASE("x \"1\" y '2' z \"33333333333333333333\"\n", "<x><1><y><2><z><33333333333333333333>"),
	};
	static const struct expectation bad[] = {
		BAD("SET a \"b\n", "unbalanced quotes in request"),
		BAD("SET a 'b\r\n", "unbalanced quotes in request"),
		BAD("\"a\"b\n", "unbalanced quotes in request"),
		BAD("'a''b'\n", "unbalanced quotes in request"),
		BAD("\"a\\\"\n", "unbalanced quotes in request"),
		BAD("\"a\\\n", "unbalanced quotes in request"),
		BAD("'a\\'\n", "unbalanced quotes in request"),
		BAD("it's\n", "unbalanced quotes in request"),
		BAD("\"\n", "unbalanced quotes in request"),
		BAD("\"\\x4\n", "unbalanced quotes in request"),
		BAD("POST / HTTP/1.1\r\n", "this is not an HTTP server"),
		BAD("post\n", "this is not an HTTP server"),
		BAD("GET /key HTTP/1.1\r\nHost: x\r\n", "this is not an HTTP server"),
		BAD("Host: localhost\r\n", "this is not an HTTP server"),
		BAD("OPTIONS * HTTP/1.0\r\n", "this is not an HTTP server"),
	};
	static const struct expectation ours[] = {
		CASE("GET /key\r\n", "<GET></key>"),
		CASE("GET HTTP/1.1\n", "<GET><HTTP/1.1>"),
		CASE("SET /key HTTP/1.1\n", "<SET></key><HTTP/1.1>"),
		CASE("Host:x\n", "<Host:x>"),
		CASE("*1\r\n$4\r\nPOST\r\n", "<POST>"),
		CASE("\"GET\" a \"b HTTP/1.1\"\n", "<GET><a><b HTTP/1.1>"),
		CASE("", "MORE"),
		CASE("PING", "MORE"),
		CASE("PING\r", "MORE"),
		CASE("SET a \"b", "MORE"),
	};
	CHECK_CASES("inline requests", &limits, good);
	CHECK_CASES("malformed inline requests", &limits, bad);
	CHECK_CASES("inline requests that look like HTTP or are incomplete", &limits, ours);
}

/* Their bytes are in memory of the reader's own, which must not move while the line is read. */
static void test_many_quoted_words(void)
{
	struct buf line = { 0 }, expected = { 0 }, got = { 0 };

	for (int i = 0; i < 500; i++) {
		buf_printf(&line, i % 3 ? "\"word\\t%d\" " : "plain%d ", i);
		buf_printf(&expected, i % 3 ? "<word\t%d>" : "<plain%d>", i);
	}
	buf_append_str(&line, "\r\n");
	describe(&limits, buf_slice(&line), &got);
	is_mem(got.ptr, got.len, expected.ptr, expected.len, "many quoted words of a line stay as they are");
	buf_free(&line);
	buf_free(&expected);
	buf_free(&got);
}

static void test_limits(void)
{
	static const struct expectation cases[] = {
		CASE("*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n", "<a><b><c><d>"),
		BAD("*5\r\n", "invalid multibulk length, the limit is 4 arguments"),
		CASE("*1\r\n$10\r\n0123456789\r\n", "<0123456789>"),
		BAD("*1\r\n$11\r\n", "invalid bulk length, the limit is 10 bytes"),
		CASE("a b c d\n", "<a><b><c><d>"),
		BAD("a b c d e\n", "too big inline request, the limit is 4 arguments"),
		CASE("12345678901234567890\n", "<12345678901234567890>"),
		CASE("12345678901234567890\r\n", "<12345678901234567890>"),
		CASE("12345678901234567890", "MORE"),
		CASE("12345678901234567890\r", "MORE"),
		BAD("123456789012345678901", "too big inline request"),
		BAD("123456789012345678901\n", "too big inline request"),
		BAD("12345678901234567890\rx", "too big inline request"),
		BAD("12345678901234567890\r\r\n", "too big inline request"),
		CASE("*2345678901234567890", "MORE"),
		CASE("*2345678901234567890\r", "MORE"),
		BAD("*23456789012345678901", "too big mbulk count string"),
		BAD("*23456789012345678901\r\n", "too big mbulk count string"),
		BAD("*2345678901234567890\r\n", "invalid multibulk length, the limit is 4 arguments"),
		CASE("*1\r\n$2345678901234567890", "MORE"),
		BAD("*1\r\n$23456789012345678901", "too big bulk count string"),
		BAD("*1\r\n$23456789012345678901\r\n", "too big bulk count string"),
		BAD("*1\r\n$2345678901234567890\r\n", "invalid bulk length, the limit is 10 bytes"),
	};
	static const struct resp_limits tiny = { .inline_bytes = 3, .bulk_bytes = 1000, .args = 1000 };
	static const struct expectation headers[] = {
		CASE("*1\r\n$12\r\n012345678901\r\n", "<012345678901>"),
		BAD("*1\r\n$123\r\n", "too big bulk count string"),
		BAD("*123\r\n", "too big mbulk count string"),
		BAD("*123", "too big mbulk count string"),
	};
	CHECK_CASES("at a limit and one above", &tight, cases);
	CHECK_CASES("header lines at their limit and one above", &tiny, headers);

	/* The ordinary limit of a line, at which nothing may depend on a small buffer. */
	static const char *const starts[] = { "x", "*", "*1\r\n$" };
	static const char *const words[] = { "too big inline request", "too big mbulk count string",
		"too big bulk count string" };
	for (size_t i = 0; i < 3; i++) {
		struct buf line = { 0 }, got = { 0 };
		buf_append_str(&line, starts[i]);
		size_t header = line.len - 1;
		while (line.len < header + 65536)
			buf_append_char(&line, '1');
		describe(&limits, buf_slice(&line), &got);
		is_mem(got.ptr, got.len, "MORE", 4, "a line of 64 KiB is not too long");
		buf_append_char(&line, '1');
		buf_reset(&got, 0);
		describe(&limits, buf_slice(&line), &got);
		ok(got.len > 16 && slice_eq(slice_skip(buf_slice(&got), 16), slice_str(words[i])),
			"one byte more is: %s", words[i]);
		buf_free(&line);
		buf_free(&got);
	}
}

int main(void)
{
	test_framed();
	test_malformed();
	test_inline();
	test_many_quoted_words();
	test_limits();
	return done();
}
