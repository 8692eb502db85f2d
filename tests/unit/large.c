/* SPDX-License-Identifier: MIT
 * Large values on their way without a copy: the blocks, the reader that leaves them out, the writer that lends them, and the
 * queue of replies that sends them.
 */
#include <errno.h>
#include "base/block.h"
#include "base/crc.h"
#include "daemon/outq.h"
#include "proto/resp.h"
#include "tap.h"

static void fill(char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)tap_random(256);
}

static struct block *make_block(struct blocks *home, size_t len)
{
	struct block *b = block_new(home, len, len);

	if (!b)
		bail("no memory");
	fill(b->memory, len);
	block_take(b, len);
	return b;
}

/* ---- blocks ---- */

static void test_sums(void)
{
	char *data = malloc(100000);
	bool good = true;

	fill(data, 100000);
	for (int i = 0; i < 200; i++) {
		size_t len = i < 20 ? (size_t)i : tap_random(100000);
		uint32_t seed = (uint32_t)tap_random(UINT32_MAX);
		good &= crc_join(seed, crc_update(0, data, len), len) == crc_update(seed, data, len);
	}
	ok(good, "the sum of a value and a seed join to what the bytes give from the seed on");
	free(data);
}

static void test_growth(void)
{
	struct blocks home = { 0 };
	struct block *b = block_new(&home, BLOCK_LEAST, (size_t)64 << 20);
	const char *memory = b ? b->memory : NULL;
	char *copy = malloc((size_t)3 << 20);

	ok(b && home.bytes == BLOCK_LEAST, "what is reserved is not counted as memory");
	fill(copy, (size_t)3 << 20);
	for (size_t at = 0; at < (size_t)3 << 20;) {
		size_t n = tap_random(300000) + 1;
		n = n < ((size_t)3 << 20) - at ? n : ((size_t)3 << 20) - at;
		if (block_grow(b, at + n))
			bail("no memory");
		memcpy(b->memory + at, copy + at, n);
		block_take(b, n);
		at += n;
	}
	ok(b->memory == memory && memcmp(b->value.ptr, copy, b->value.len) == 0, "a block grows in place");
	is_int(b->sum, crc_update(0, copy, (size_t)3 << 20), "and knows the sum of what it was given");
	block_ref(b);
	ok(!block_unref(b) && home.bytes > 0, "it stays as long as there is a reference");
	block_unref(b);
	is_int((int64_t)home.bytes, 0, "with the last one all memory goes");
	ok(!block_unref(NULL), "no block is accepted");
	free(copy);
}

static void test_sweep(void)
{
	struct blocks home = { .later = true };
	struct block *small = block_new(&home, 100, 100), *large = block_new(&home, (size_t)30 << 20, (size_t)40 << 20);
	int turns = 1;

	if (!small || !large)
		bail("no memory");
	block_unref(small);
	is_int((int64_t)home.bytes, 30 << 20, "a small block goes at once");
	memset(large->memory, 1, large->cap);
	block_unref(large);
	is_int((int64_t)home.bytes, 30 << 20, "a large one waits");
	uint64_t before = home.bytes;
	while (blocks_sweep(&home, (size_t)8 << 20)) {
		if (before - home.bytes > (size_t)8 << 20)
			turns = 1000;
		before = home.bytes;
		turns++;
	}
	ok(home.bytes == 0 && turns >= 4 && turns < 10, "and goes in pieces (%d)", turns);
}

/* ---- the reader ---- */

/* Feeds a stream in pieces, as a connection does; the arguments of all requests, each in <>. */
static void feed(struct slice stream, size_t piece, struct buf *out)
{
	static const struct resp_limits limits = { .inline_bytes = 100, .bulk_bytes = 1000, .args = 10, .large_bytes = 20 };
	struct resp_reader r;
	struct resp_request q;
	struct buf in = { 0 };
	char large[4][1000];
	size_t nlarge = 0, want = 0, have = 0;

	resp_reader_init(&r, &limits);
	for (size_t at = 0; at < stream.len;) {
		size_t n = stream.len - at < piece ? stream.len - at : piece;
		if (want) {
			n = n < want - have ? n : want - have;
			memcpy(large[nlarge] + have, stream.ptr + at, n);
			have += n;
		} else {
			buf_append(&in, stream.ptr + at, n);
		}
		at += n;
		for (int result = 0; result == 0;) {
			if (want && have == want) {
				if (resp_large_give(&r, large[nlarge++]))
					bail("no memory");
				want = 0;
			}
			result = want ? RESP_MORE : resp_read(&r, in.ptr, in.len, &q);
			if (result == RESP_BAD)
				buf_append_str(out, r.error);
			if (result == RESP_LARGE) {
				want = resp_large_size(&r);
				have = in.len - r.offset < want ? in.len - r.offset : want;
				memcpy(large[nlarge], in.ptr + r.offset, have);
				memmove(in.ptr + r.offset, in.ptr + r.offset + have, in.len - r.offset - have);
				in.len -= have;
				result = have == want ? 0 : RESP_MORE;
				continue;
			}
			if (result)
				break;
			for (size_t i = 0; i < q.argc; i++)
				buf_printf(out, "<%.*s>", (int)q.argv[i].len, q.argv[i].ptr);
			buf_append_char(out, ';');
			nlarge = 0;
			buf_consume(&in, q.size);
			result = in.len == 0;
		}
	}
	resp_reader_free(&r);
	buf_free(&in);
}

static void test_reader(void)
{
	static const char stream[] = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
				     "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$20\r\n01234567890123456789\r\n"
				     "*3\r\n$25\r\nabcdefghijklmnopqrstuvwxy\r\n$19\r\n0123456789012345678\r\n"
				     "$21\r\nABCDEFGHIJKLMNOPQRSTU\r\nPING x\r\n";
	static const char expected[] = "<GET><a>;<SET><b><01234567890123456789>;"
				       "<abcdefghijklmnopqrstuvwxy><0123456789012345678><ABCDEFGHIJKLMNOPQRSTU>;<PING><x>;";
	bool good = true;

	for (size_t piece = 1; piece < sizeof(stream); piece++) {
		struct buf out = { 0 };
		feed(slice(stream, sizeof(stream) - 1), piece, &out);
		if (!slice_eq(buf_slice(&out), slice_str(expected))) {
			diag("pieces of %zu: %.*s", piece, (int)out.len, out.ptr);
			good = false;
		}
		buf_free(&out);
	}
	ok(good, "long arguments that are received elsewhere stand in their places, in any chunking");
	struct buf out = { 0 };
	feed(SLICE("*1\r\n$20\r\n01234567890123456789xx"), 7, &out);
	ok(slice_eq(buf_slice(&out), SLICE("Protocol error: invalid bulk length, no line end after the argument")),
		"one that is longer than announced is refused");
	buf_free(&out);
}

/* ---- writer and queue ---- */

/* All that may leave, in pieces of random size. */
static void drain(struct outq *q, struct buf *out)
{
	for (struct slice s = outq_ready(q); s.len; s = outq_ready(q)) {
		size_t n = tap_random(3) ? s.len : tap_random(s.len) + 1;
		buf_append(out, s.ptr, n);
		outq_sent(q, n, 0);
	}
}

static void test_writer(void)
{
	struct blocks home = { 0 };
	struct block *b = make_block(&home, 300000);
	struct outq q = { 0 };
	struct resp_writer lending = { .out = &q.buf, .proto = 3, .lents = &q.lents };
	struct buf plain = { 0 }, got = { 0 };
	struct resp_writer copying = { .out = &plain, .proto = 3 };
	struct resp_writer *w[] = { &lending, &copying };

	for (int i = 0; i < 2; i++) {
		size_t mark = resp_array_begin(w[i]);
		resp_bulk_block(w[i], b->value, b);
		resp_int(w[i], 7);
		size_t half = w[i]->out->len;
		resp_bulk_block(w[i], slice(b->value.ptr + 10, 270000), b);
		resp_cut(w[i], half);
		resp_bulk_block(w[i], slice(b->value.ptr + 10, 270000), b);
		resp_bulk_block(w[i], slice(b->value.ptr, 5), b);
		resp_bulk_block(w[i], b->value, NULL);
		resp_array_end(w[i], mark, 5);
	}
	is_int((int64_t)q.lents.count, 2, "large values of blocks are lent, short ones and others are copied, what is cut off is gone");
	is_int((int64_t)resp_total(&lending), (int64_t)plain.len, "what is lent counts");
	is_int((int64_t)outq_size(&q), (int64_t)plain.len, "also for the queue");
	is_int(b->refs, 3, "each of them has a reference");
	drain(&q, &got);
	ok(slice_eq(buf_slice(&got), buf_slice(&plain)), "the bytes are those that copying gives");
	ok(b->refs == 1 && outq_size(&q) == 0 && q.buf.cap == 0, "and with them the references are gone");
	block_unref(b);
	outq_free(&q);
	buf_free(&plain);
	buf_free(&got);
}

/* Replies with and without lent values, held, let go, refused and sent at random, against the bytes in one buffer. */
static void test_queue(void)
{
	struct blocks home = { 0 };
	struct block *b[4];
	bool good = true;
	uint64_t position = 0, lent = 0;

	for (int i = 0; i < 4; i++)
		b[i] = make_block(&home, BLOCK_LEAST + tap_random(1000));
	for (int round = 0; round < 60; round++) {
		struct outq q = { 0 };
		struct buf sure = { 0 }, held = { 0 }, got = { 0 }, refused = { 0 };
		struct resp_writer w = { .out = &q.buf, .proto = 2, .lents = &q.lents };
		uint64_t turn = 0;
		for (int i = 0; i < 12; i++) {
			size_t start = q.buf.len;
			struct buf reply = { 0 };
			struct resp_writer copy = { .out = &reply, .proto = 2 };
			struct block *one = b[tap_random(4)];
			if (tap_random(2)) {
				resp_bulk_block(&w, one->value, one);
				resp_bulk(&copy, one->value);
				lent++;
			} else {
				resp_int(&w, i);
				resp_int(&copy, i);
			}
			bool hold = tap_random(3) == 0;
			turn += tap_random(2);
			if (hold && outq_hold(&q, start, ++position, 1, turn))
				bail("no memory");
			buf_append_slice(held.len || hold ? &held : &sure, buf_slice(&reply));
			buf_append_slice(&refused, hold ? SLICE("-E\r\n") : buf_slice(&reply));
			buf_free(&reply);
			if (tap_random(4) == 0)
				drain(&q, &got);
		}
		drain(&q, &got);
		good &= slice_eq(buf_slice(&got), buf_slice(&sure));
		if (tap_random(2)) {
			outq_release(&q, position);
			buf_append_slice(&sure, buf_slice(&held));
			buf_reset(&refused, SIZE_MAX);
			buf_append_slice(&refused, buf_slice(&sure));
		} else if (outq_refuse(&q, SLICE("-E\r\n"))) {
			bail("no memory");
		}
		good &= outq_size(&q) == refused.len - got.len;
		if (tap_random(3))
			drain(&q, &got);
		good &= slice_eq(buf_slice(&got), slice(refused.ptr, got.len)) && outq_size(&q) == refused.len - got.len;
		outq_free(&q);
		buf_free(&sure);
		buf_free(&held);
		buf_free(&got);
		buf_free(&refused);
	}
	ok(good && lent > 100, "lent values leave, wait and are refused with their replies (%d)", (int)lent);
	good = true;
	for (int i = 0; i < 4; i++) {
		good &= b[i]->refs == 1;
		block_unref(b[i]);
	}
	ok(good && home.bytes == 0, "no reference is left over");
}

int main(void)
{
	tap_random_begin(tap_seed());
	test_sums();
	test_growth();
	test_sweep();
	test_reader();
	test_writer();
	test_queue();
	return done();
}
