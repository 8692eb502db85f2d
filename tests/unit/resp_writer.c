/* SPDX-License-Identifier: MIT
 * Every reply in both protocol versions, byte by byte.
 */
#include <math.h>
#include "proto/resp.h"
#include "tap.h"

/* One line per reply: a function that writes it, then RESP2 and RESP3. */
#define REPLIES(X)                                                                                           \
	X(resp_simple(w, "QUEUED"), "+QUEUED\r\n", "+QUEUED\r\n")                                            \
	X(resp_simple(w, ""), "+\r\n", "+\r\n")                                                              \
	X(resp_ok(w), "+OK\r\n", "+OK\r\n")                                                                  \
	X(resp_error(w, "ERR no %s, %d", "such", 7), "-ERR no such, 7\r\n", "-ERR no such, 7\r\n")           \
	X(resp_error(w, "ERR '%s'", "a\r\nb\n"), "-ERR 'a  b '\r\n", "-ERR 'a  b '\r\n")                     \
	X(resp_int(w, 0), ":0\r\n", ":0\r\n")                                                                \
	X(resp_int(w, -1), ":-1\r\n", ":-1\r\n")                                                             \
	X(resp_int(w, 42), ":42\r\n", ":42\r\n")                                                             \
	X(resp_int(w, INT64_MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n")                    \
	X(resp_int(w, INT64_MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n")                  \
	X(resp_bulk(w, slice(NULL, 0)), "$0\r\n\r\n", "$0\r\n\r\n")                                          \
	X(resp_bulk(w, SLICE("a\0\r\nb")), "$5\r\na\0\r\nb\r\n", "$5\r\na\0\r\nb\r\n")                       \
	X(resp_bulk_str(w, "twelve bytes"), "$12\r\ntwelve bytes\r\n", "$12\r\ntwelve bytes\r\n")            \
	X(resp_bulk_int(w, -120), "$4\r\n-120\r\n", "$4\r\n-120\r\n")                                        \
	X(resp_bulk_int(w, INT64_MIN), "$20\r\n-9223372036854775808\r\n", "$20\r\n-9223372036854775808\r\n") \
	X(resp_null(w), "$-1\r\n", "_\r\n")                                                                  \
	X(resp_null_array(w), "*-1\r\n", "_\r\n")                                                            \
	X(resp_bool(w, true), ":1\r\n", "#t\r\n")                                                            \
	X(resp_bool(w, false), ":0\r\n", "#f\r\n")                                                           \
	X(resp_double(w, 1.5), "$3\r\n1.5\r\n", ",1.5\r\n")                                                  \
	X(resp_double(w, 0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n")                 \
	X(resp_double(w, -3), "$2\r\n-3\r\n", ",-3\r\n")                                                     \
	X(resp_double(w, -2.2250738585072014e-308), "$24\r\n-2.2250738585072014e-308\r\n",                   \
		",-2.2250738585072014e-308\r\n")                                                             \
	X(resp_double(w, INFINITY), "$3\r\ninf\r\n", ",inf\r\n")                                             \
	X(resp_double(w, -INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n")                                          \
	X(resp_double(w, -(double)NAN), "$3\r\nnan\r\n", ",nan\r\n")                                         \
	X(resp_verbatim(w, "txt", SLICE("some text")), "$9\r\nsome text\r\n", "=13\r\ntxt:some text\r\n")    \
	X(resp_verbatim(w, "mkd", slice(NULL, 0)), "$0\r\n\r\n", "=4\r\nmkd:\r\n")                           \
	X(resp_array(w, 0), "*0\r\n", "*0\r\n")                                                              \
	X(resp_array(w, 1000000), "*1000000\r\n", "*1000000\r\n")                                            \
	X(resp_map(w, 6), "*12\r\n", "%6\r\n")                                                               \
	X(resp_map(w, 0), "*0\r\n", "%0\r\n")                                                                \
	X(resp_set(w, 3), "*3\r\n", "~3\r\n")                                                                \
	X(resp_push(w, 99), "*99\r\n", ">99\r\n")

struct reply {
	const char *call;
	struct slice text[2]; /* RESP2, RESP3 */
};

static void write_reply(struct resp_writer *w, int which)
{
	int line = 0;

#define WRITE(call, resp2, resp3)                                                                            \
	if (line++ == which)                                                                                 \
		call;
	REPLIES(WRITE)
#undef WRITE
}

static void test_replies(void)
{
#define ROW(call, resp2, resp3) { #call, { SLICE(resp2), SLICE(resp3) } },
	static const struct reply replies[] = { REPLIES(ROW) };
#undef ROW
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		for (int proto = 2; proto <= 3; proto++) {
			struct buf out = { 0 };
			struct resp_writer w = { .out = &out, .proto = proto };
			char name[200];
			buf_append_str(&out, "x"); /* replies are appended, not put */
			write_reply(&w, (int)i);
			snprintf(name, sizeof(name), "RESP%d %s", proto, replies[i].call);
			struct slice expected = replies[i].text[proto - 2],
				     got = slice_skip(buf_slice(&out), 1);
			is_mem(got.ptr, got.len, expected.ptr, expected.len, name);
			buf_free(&out);
		}
}

static void test_lengths(void)
{
	static const size_t lengths[] = { 1, 9, 10, 11, 99, 100, 101, 999, 1000, 65535, 1048576 };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i];
		struct buf out = { 0 }, value = { 0 }, expected = { 0 };
		struct resp_writer w = { .out = &out, .proto = 2 };
		char name[80];
		while (value.len < n)
			buf_append_char(&value, (char)(value.len * 31));
		buf_printf(&expected, "$%zu\r\n", n);
		buf_append_slice(&expected, buf_slice(&value));
		buf_append_str(&expected, "\r\n");
		resp_bulk(&w, buf_slice(&value));
		snprintf(name, sizeof(name), "a bulk string of %zu bytes", n);
		is_mem(out.ptr, out.len, expected.ptr, expected.len, name);
		buf_free(&out);
		buf_free(&value);
		buf_free(&expected);
	}
}

static void test_late_array(void)
{
	struct buf out = { 0 };
	struct resp_writer w = { .out = &out, .proto = 3 };

	resp_ok(&w);
	size_t outer = resp_array_begin(&w);
	resp_int(&w, 1);
	size_t inner = resp_array_begin(&w);
	resp_bulk_str(&w, "in");
	resp_array_end(&w, inner, 1);
	size_t empty = resp_array_begin(&w);
	resp_array_end(&w, empty, 0);
	resp_array_end(&w, outer, 3);
	resp_int(&w, 2);
	static const char expected[] = "+OK\r\n*3\r\n:1\r\n*1\r\n$2\r\nin\r\n*0\r\n:2\r\n";
	is_mem(out.ptr, out.len, expected, sizeof(expected) - 1, "arrays counted at their end nest");

	buf_reset(&out, SIZE_MAX);
	size_t mark = resp_array_begin(&w);
	for (int i = 0; i < 100000; i++)
		resp_int(&w, 7);
	resp_array_end(&w, mark, 100000);
	ok(out.len == 9 + 400000 && memcmp(out.ptr, "*100000\r\n:7\r\n", 13) == 0 &&
			memcmp(out.ptr + out.len - 8, ":7\r\n:7\r\n", 8) == 0,
		"a long array counted at its end is whole");
	buf_free(&out);
}

static void test_no_memory(void)
{
	struct buf out = { 0 };
	struct resp_writer w = { .out = &out, .proto = 2 };

	resp_int(&w, 5);
	size_t mark = resp_array_begin(&w);
	resp_bulk(&w, slice("x", SIZE_MAX / 2)); /* more than there can be; the bytes are never touched */
	ok(out.failed && out.len == 4,
		"a reply without memory leaves what was there and the mark of failure");
	int rows = 0;
#define COUNT(call, resp2, resp3) rows++;
	REPLIES(COUNT)
#undef COUNT
	for (int i = 0; i < rows; i++)
		write_reply(&w, i);
	resp_array_end(&w, mark, 1);
	is_mem(out.ptr, out.len, ":5\r\n", 4, "later replies append nothing");
	buf_free(&out);

	struct buf never = { .failed = true };
	w.out = &never;
	for (int i = 0; i < rows; i++)
		write_reply(&w, i);
	ok(never.len == 0 && !never.ptr, "a buffer that never had memory stays empty");
}

int main(void)
{
	test_replies();
	test_lengths();
	test_late_array();
	test_no_memory();
	return done();
}
