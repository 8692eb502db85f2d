/* SPDX-License-Identifier: MIT
 * The reader over time: any chunking gives the same, a byte costs the same everywhere, memory comes late and
 * goes back.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>
#include "fuzz/resp_feed.h"
#include "proto/resp.h"
#include "tap.h"

static const struct resp_limits limits = { .inline_bytes = 65536, .bulk_bytes = 512 << 20, .args = 1 << 20 };
static const struct resp_limits tight = { .inline_bytes = 20, .bulk_bytes = 10, .args = 4 };

static size_t piece_whole(void *arg)
{
	(void)arg;
	return SIZE_MAX;
}

struct random {
	uint64_t state;
	unsigned bits; /* pieces have up to 2^bits bytes */
};

static uint64_t draw(struct random *r, uint64_t below)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return (r->state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

static size_t piece_random(void *arg)
{
	struct random *r = arg;

	return 1 + draw(r, UINT64_C(1) << r->bits);
}

static void append_framed(struct random *r, struct buf *b)
{
	size_t n = draw(r, 6);

	buf_printf(b, "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++) {
		size_t len = draw(r, draw(r, 8) ? 14 : 300);
		buf_printf(b, "$%zu\r\n", len);
		for (size_t k = 0; k < len; k++)
			buf_append_char(b, (char)draw(r, 256));
		buf_append_str(b, "\r\n");
	}
}

static void append_inline(struct random *r, struct buf *b)
{
	static const char *const words[] = { "GET", "a", " ", "\t", "\"q w\"", "'\\''", "\"\\x41\\n\"",
		"\"\"", "k" };

	for (size_t n = draw(r, 6); n > 0; n--) {
		buf_append_str(b, words[draw(r, sizeof(words) / sizeof(words[0]))]);
		buf_append_char(b, ' ');
	}
	buf_append_str(b, draw(r, 2) ? "\r\n" : "\n");
}

static void spoil(struct random *r, struct buf *b)
{
	static const char bytes[] = "\r\n*$-0159\"'\\ x";

	if (b->len)
		b->ptr[draw(r, b->len)] = draw(r, 4) ? bytes[draw(r, sizeof(bytes))] : (char)draw(r, 256);
}

/* One stream and several ways to cut it. False: a way gave something else. */
static bool compare_chunkings(uint64_t seed, size_t *ret_bad)
{
	struct random r = { seed * 2 + 1, 0 };
	struct buf stream = { 0 }, expected = { 0 }, got = { 0 };
	const struct resp_limits *l = draw(&r, 3) ? &limits : &tight;
	bool same = true;

	for (size_t n = 1 + draw(&r, 8); n > 0; n--)
		draw(&r, 3) ? append_framed(&r, &stream) : append_inline(&r, &stream);
	for (size_t n = draw(&r, 4); n > 2; n--)
		spoil(&r, &stream);
	resp_feed(l, stream.ptr, stream.len, piece_whole, NULL, &expected);
	*ret_bad += memmem(expected.ptr, expected.len, "bad: ", 5) != NULL;
	for (r.bits = 0; r.bits < 9 && same; r.bits++) {
		buf_reset(&got, SIZE_MAX);
		resp_feed(l, stream.ptr, stream.len, piece_random, &r, &got);
		same = !got.failed && slice_eq(buf_slice(&got), buf_slice(&expected));
	}
	if (!same) {
		diag_mem("stream", stream.ptr, stream.len);
		diag("whole:\n%.*s\npieces of up to %d:\n%.*s", (int)expected.len, expected.ptr,
			1 << (r.bits - 1), (int)got.len, got.ptr);
	}
	buf_free(&stream);
	buf_free(&expected);
	buf_free(&got);
	return same;
}

static void test_chunkings(void)
{
	enum { STREAMS = 2000 };
	uint64_t seed = tap_seed();
	size_t bad = 0, n = 0;

	while (n < STREAMS && compare_chunkings(seed + n * UINT64_C(0x9e3779b97f4a7c15), &bad))
		n++;
	ok(n == STREAMS, "%d random streams give the same in 9 chunkings each", STREAMS);
	ok(bad > STREAMS / 20 && bad < STREAMS, "some of them, not all, are malformed (%zu)", bad);
}

static void append_times(struct buf *b, const char *text, size_t n)
{
	while (n-- > 0)
		buf_append_str(b, text);
}

static void test_bytewise_cost(void)
{
	const struct resp_limits wide = { .inline_bytes = 4 << 20, .bulk_bytes = 4 << 20, .args = 1 << 20 };
	struct buf b = { 0 };
	struct resp_reader r;
	struct resp_request q;
	size_t used = 0, requests = 0, fed = 1;
	double seconds = 0;

	/* A long argument, many arguments, a long line, a long header. Were any of them read again from its
	 * start with each byte, it would take minutes. */
	buf_append_str(&b, "*2\r\n$3\r\nGET\r\n$4194304\r\n");
	append_times(&b, "x", 4 << 20);
	buf_append_str(&b, "\r\n*150000\r\n");
	append_times(&b, "$1\r\na\r\n", 150000);
	append_times(&b, "w", 4 << 20);
	buf_append_str(&b, "\n*");
	append_times(&b, "1", (4 << 20) - 1);
	resp_reader_init(&r, &wide);
	clock_t start = clock();
	for (; fed <= b.len && seconds < 10; fed++) {
		if (resp_read(&r, b.ptr + used, fed - used, &q) == 0) {
			used += q.size;
			requests++;
		}
		if (fed % 4096 == 0)
			seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	}
	ok(fed > b.len, "13 MiB a byte at a time cost what grows with the bytes, not their square (%.2f s)",
		seconds);
	is_int((int64_t)requests, 3, "they are three requests");
	is_int((int64_t)(b.len - used), 4 << 20, "and the beginning of a fourth");
	resp_reader_free(&r);
	buf_free(&b);
}

static void test_memory(void)
{
	static const char announced[] = "*1048576\r\n$536870912\r\n";
	struct resp_reader r;
	struct resp_request q;
	struct buf b = { 0 };

	resp_reader_init(&r, &limits);
	ok(resp_read(&r, announced, 22, &q) == RESP_MORE && r.cap == 0 && r.unquoted.cap == 0,
		"announcing a million arguments and 512 MiB takes no memory");
	is_int((int64_t)resp_wants(&r, 22), 536870914, "the reader wants the argument and its line end");
	is_int((int64_t)resp_wants(&r, 22 + 536870912), 2, "less as more has come");
	resp_reader_free(&r);
	resp_reader_free(&r);
	ok(!r.argv && r.nargs == 0 && resp_read(&r, "PING\n", 5, &q) == 0,
		"a freed reader can be freed again and used");

	buf_append_str(&b, "*100000\r\n");
	for (size_t i = 0; i < 100000; i++)
		buf_append_str(&b, "$1\r\na\r\n");
	ok(resp_read(&r, b.ptr, b.len, &q) == 0 && q.argc == 100000 && q.argv[99999].ptr == b.ptr + b.len - 3,
		"arguments of a framed request are places in the fed bytes");
	ok(resp_read(&r, b.ptr, 0, &q) == RESP_MORE && r.cap <= 1024, "a huge argument table is given back");
	buf_reset(&b, 0);
	buf_append_char(&b, '"');
	for (size_t i = 0; i < 60000; i++)
		buf_append_char(&b, 'q');
	buf_append_str(&b, "\"\n");
	ok(resp_read(&r, b.ptr, b.len, &q) == 0 && q.argc == 1 && q.argv[0].len == 60000,
		"a long quoted word is read");
	ok(resp_read(&r, NULL, 0, &q) == RESP_MORE && r.unquoted.cap <= 4096, "and its memory is given back");
	is_int((int64_t)resp_wants(&r, 0), 0, "between requests nothing is wanted");
	resp_reader_free(&r);
	resp_reader_free(NULL);
	buf_free(&b);
}

/* ---- every allocation made to fail in turn ---- */

static int calls_until_failure = -1; /* -1: none fails */

static bool fails_now(void)
{
	return calls_until_failure >= 0 && calls_until_failure-- == 0;
}

void *__real_realloc(void *ptr, size_t size);
void *__real_reallocarray(void *ptr, size_t n, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void *__wrap_reallocarray(void *ptr, size_t n, size_t size);

void *__wrap_realloc(void *ptr, size_t size)
{
	return fails_now() ? NULL : __real_realloc(ptr, size);
}

void *__wrap_reallocarray(void *ptr, size_t n, size_t size)
{
	return fails_now() ? NULL : __real_reallocarray(ptr, n, size);
}

/* Reads one request, allocation number n failing. Returns whether one failed; *ret_good: all was as it should
 * be. */
static bool read_with_failure(struct slice input, int n, size_t argc, bool *ret_good)
{
	struct resp_reader r;
	struct resp_request q = { 0 };

	resp_reader_init(&r, &limits);
	calls_until_failure = n;
	int first = resp_read(&r, input.ptr, input.len, &q);
	bool failed = calls_until_failure < 0;
	calls_until_failure = -1;
	int last = failed ? resp_read(&r, input.ptr, input.len, &q) : first;
	*ret_good = first == (failed ? -ENOMEM : 0) && last == 0 && q.argc == argc && q.size == input.len &&
		    slice_eq(q.argv[argc - 1], SLICE("z z"));
	resp_reader_free(&r);
	return failed;
}

static void test_no_memory(void)
{
	struct buf framed = { 0 }, line = { 0 };

	buf_append_str(&framed, "*100\r\n");
	for (int i = 0; i < 99; i++) {
		buf_append_str(&framed, "$1\r\na\r\n");
		buf_append_str(&line, i % 2 ? "'a' " : "a ");
	}
	buf_append_str(&framed, "$3\r\nz z\r\n");
	buf_append_str(&line, "\"z z\"\n");
	struct slice inputs[] = { buf_slice(&framed), buf_slice(&line) };
	for (size_t i = 0; i < 2; i++) {
		int n = 0;
		bool good = true;
		while (read_with_failure(inputs[i], n, 100, &good) && good)
			n++;
		ok(good && n >= 4, "%s request: each of %d allocations may fail and be tried again",
			i ? "an inline" : "a framed", n);
	}
	buf_free(&framed);
	buf_free(&line);
}

int main(void)
{
	test_chunkings();
	test_bytewise_cost();
	test_memory();
	test_no_memory();
	return done();
}
