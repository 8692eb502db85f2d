/* SPDX-License-Identifier: MIT
 *
 * Any bytes, whole, one at a time and in pieces the bytes themselves choose: the reader must answer the same.
 * Limits are small, so that inputs of a few hundred bytes reach them. What it accepts is then written by the
 * reply writer, whose arrays of bulk strings have the form of requests, and must come back as it was.
 */
#include "fuzz/fuzz_replay.h"

#include <stdio.h>
#include "fuzz/resp_feed.h"

const char fuzz_corpus[] = "resp";

static const struct resp_limits tight = { .inline_bytes = 64, .bulk_bytes = 256, .args = 16 };
static const struct resp_limits usual = { .inline_bytes = 65536, .bulk_bytes = 512 << 20, .args = 1 << 20 };

struct cutter {
	uint64_t state;
	size_t fixed; /* size of every piece, 0: from state */
};

static size_t cut(void *arg)
{
	struct cutter *c = arg;

	if (c->fixed)
		return c->fixed;
	c->state = c->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	unsigned bits = c->state >> 60 & 7;
	return 1 + (c->state >> 33 & ((1u << bits) - 1));
}

static void expect_same(const struct buf *a, const struct buf *b)
{
	if (!a->failed && !b->failed && slice_eq(buf_slice(a), buf_slice(b)))
		return;
	fprintf(stderr, "whole:\n%.*s\nin pieces:\n%.*s\n", (int)a->len, a->ptr, (int)b->len, b->ptr);
	abort();
}

static void compare_chunkings(
	const struct resp_limits *limits, const uint8_t *data, size_t size, uint64_t seed)
{
	struct cutter whole = { 0, size + 1 }, bytes = { 0, 1 }, pieces = { seed, 0 };
	struct cutter *others[] = { &bytes, &pieces };
	struct buf expected = { 0 }, got = { 0 };

	resp_feed(limits, data, size, cut, &whole, &expected);
	for (size_t i = 0; i < 2; i++) {
		/* A byte at a time into ever fresh copies is quadratic here, not in the reader. */
		if (others[i] == &bytes && size > 4096)
			continue;
		buf_reset(&got, SIZE_MAX);
		resp_feed(limits, data, size, cut, others[i], &got);
		expect_same(&expected, &got);
	}
	buf_free(&expected);
	buf_free(&got);
}

static void write_back(const struct resp_request *q)
{
	struct buf out = { 0 };
	struct resp_writer w = { .out = &out, .proto = 2 };
	struct resp_reader again;
	struct resp_request copy;

	resp_array(&w, q->argc);
	for (size_t i = 0; i < q->argc; i++)
		resp_bulk(&w, q->argv[i]);
	resp_reader_init(&again, &usual);
	if (out.failed || resp_read(&again, out.ptr, out.len, &copy) || copy.size != out.len ||
		copy.argc != q->argc)
		abort();
	for (size_t i = 0; i < q->argc; i++)
		if (!slice_eq(copy.argv[i], q->argv[i]))
			abort();
	resp_reader_free(&again);
	buf_free(&out);
}

static void write_back_all(const uint8_t *data, size_t size)
{
	struct resp_reader r;
	struct resp_request q;
	size_t used = 0;

	resp_reader_init(&r, &usual);
	while (resp_read(&r, (const char *)data + used, size - used, &q) == 0) {
		if (q.size == 0 || q.size > size - used)
			abort();
		used += q.size;
		write_back(&q);
	}
	resp_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = size;

	for (size_t i = 0; i < size; i++)
		seed = (seed ^ data[i]) * UINT64_C(0x100000001b3);
	compare_chunkings(&tight, data, size, seed);
	compare_chunkings(&usual, data, size, seed ^ 1);
	if (size)
		write_back_all(data, size);
	return 0;
}
